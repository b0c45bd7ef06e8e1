//! Watermarks that records announce: Flink's `AssignerWithPunctuatedWatermarks`.
//!
//! ```sh
//! cargo run --example watermarks_punctuated
//! ```
//! counts the orders of each user in each minute. Without configuration it reads some, with marks, from a broker inside the process and
//! ends; `--set kafka.source.bootstrap.servers=…`, `--set kafka.source.topic=…` name a real topic of users as JSON, with
//! their `orderTime` in milliseconds.

mod orders;

use std::process::ExitCode;
use std::time::Duration;

use orders::User;
use stream_core::window::TumblingWindows;
use stream_core::{Result, StreamingContext, Timestamp, WatermarkStrategy};

fn handle(ctx: &StreamingContext) -> Result<()> {
    // "No order of before this time follows." Each partition needs marks of its own.
    let strategy = WatermarkStrategy::punctuated(|user: &User, order_time| (user.name == "mark").then_some(order_time))
        .with_timestamp_assigner(|user: &User, _| Timestamp::from_millis(user.order_time));
    let users = orders::source(ctx, true)?.watermarks(strategy).values().filter(|user| user.name != "mark");
    let minutes = users.key_by(|user| user.name.clone()).window(TumblingWindows::of(Duration::from_secs(60)));
    minutes.count().map(|count| format!("{}: {} orders in {}", count.key, count.value, count.window)).print();
    Ok(())
}

fn main() -> ExitCode {
    stream_app::run(handle)
}
