//! Watermarks by bounded out-of-orderness: the sample of StreamPark's page on its Kafka connector.
//!
//! ```sh
//! cargo run --example watermarks_bounded
//! ```
//! counts the orders of each user in each minute. Without configuration it reads some from a broker inside the process and
//! ends; `--set kafka.source.bootstrap.servers=…`, `--set kafka.source.topic=…` name a real topic of users as JSON, with
//! their `orderTime` in milliseconds.

mod orders;

use std::process::ExitCode;
use std::time::Duration;

use orders::User;
use stream_core::window::TumblingWindows;
use stream_core::{Result, StreamingContext, Timestamp, WatermarkStrategy};
use stream_kafka::KafkaRecord;

fn handle(ctx: &StreamingContext) -> Result<()> {
    let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(60))
        .with_timestamp_assigner(|record: &KafkaRecord<User>, _| Timestamp::from_millis(record.value.order_time));
    let users = orders::source(ctx, false)?.watermarks(strategy).stream().map(|record| record.value);
    let minutes = users.key_by(|user| user.name.clone()).window(TumblingWindows::of(Duration::from_secs(60)));
    minutes.count().map(|count| format!("{}: {} orders in {}", count.key, count.value, count.window)).print();
    Ok(())
}

fn main() -> ExitCode {
    stream_app::run(handle)
}
