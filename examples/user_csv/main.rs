//! Users in as JSON, out as CSV: the job of the StreamPark documentation, on a real Kafka.
//!
//! ```sh
//! cargo xtask kafka up
//! cargo xtask kafka tool topics --create --topic test_user --partitions 4
//! cargo xtask kafka tool topics --create --topic test_csv --partitions 4
//! cargo run --release --example user_csv -- --conf examples/user_csv/application.yml
//! ```
//! Ctrl-C stops it well: what was read is written and its positions are committed. A second Ctrl-C stops it at once.
//! `--help` says what else it can do.

use std::process::ExitCode;

use stream_core::{Result, StreamingContext};
use stream_kafka::{KafkaSchema, KafkaSink, KafkaSource};

#[derive(KafkaSchema)]
struct User {
    name: String,
    age: u32,
    gender: u8,
    address: String,
}

fn handle(ctx: &StreamingContext) -> Result<()> {
    let users = KafkaSource::<User>::new(ctx).values().uid("users");
    let csv = users.map(|user| format!("{},{},{},{}", user.name, user.age, user.gender, user.address));
    KafkaSink::new(ctx).sink(csv.uid("csv"));
    Ok(())
}

fn main() -> ExitCode {
    stream_app::run(handle)
}
