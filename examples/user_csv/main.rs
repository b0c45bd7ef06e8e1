//! Users in as JSON, out as CSV: the job of the StreamPark documentation, on a real Kafka.
//!
//! ```sh
//! cargo xtask kafka up
//! cargo xtask kafka tool topics --create --topic test_user --partitions 4
//! cargo xtask kafka tool topics --create --topic test_csv --partitions 4
//! cargo run --release --example user_csv -- --conf examples/user_csv/application.yml
//! ```
//! Ctrl-C stops it well: what was read is written and its positions are committed. A second Ctrl-C stops it at once.

use std::process::ExitCode;

use serde::Deserialize;
use stream_core::{Configuration, StreamingContext};
use stream_examples::run_until_stopped;
use stream_kafka::{KafkaSink, KafkaSource};

#[derive(Deserialize)]
struct User {
    name: String,
    age: u32,
    gender: u8,
    address: String,
}

fn main() -> ExitCode {
    run_until_stopped(|| {
        let configuration = Configuration::builder()
            .default_file(concat!(env!("CARGO_MANIFEST_DIR"), "/user_csv/application.yml"))
            .process_env()
            .process_args()
            .build()?;
        let ctx = StreamingContext::new(configuration);
        let users = KafkaSource::<User>::new(&ctx).json().values().uid("users");
        KafkaSink::new(&ctx)
            .serializer(|u: &User| format!("{},{},{},{}", u.name, u.age, u.gender, u.address).into_bytes())
            .sink(users);
        ctx.start("user_csv")
    })
}
