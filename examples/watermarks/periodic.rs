//! Watermarks by a generator that is asked once per interval: Flink's `AssignerWithPeriodicWatermarks`.
//!
//! ```sh
//! cargo run --example watermarks_periodic
//! ```
//! counts the orders of each user in each minute. Without configuration it reads some from a broker inside the process and
//! ends; `--set kafka.source.bootstrap.servers=…`, `--set kafka.source.topic=…` name a real topic of users as JSON, with
//! their `orderTime` in milliseconds.

mod orders;

use std::process::ExitCode;
use std::time::Duration;

use orders::User;
use stream_core::clock::Now;
use stream_core::window::TumblingWindows;
use stream_core::{Result, StreamingContext, Timestamp, WatermarkGenerator, WatermarkStrategy};

/// Orders come at most a minute after the newest. There is one per partition.
struct AMinuteBehind {
    newest: Timestamp,
}

impl WatermarkGenerator<User> for AMinuteBehind {
    fn on_event(&mut self, _user: &User, order_time: Timestamp) -> Option<Timestamp> {
        self.newest = self.newest.max(order_time);
        None
    }

    fn on_periodic(&mut self, _now: Now) -> Option<Timestamp> {
        Some(Timestamp::from_millis(self.newest.as_millis().saturating_sub(60_001)))
    }
}

fn handle(ctx: &StreamingContext) -> Result<()> {
    let strategy = WatermarkStrategy::custom(|| AMinuteBehind { newest: Timestamp::MIN })
        .with_timestamp_assigner(|user: &User, _| Timestamp::from_millis(user.order_time));
    let users = orders::source(ctx, false)?.watermarks(strategy).values();
    let minutes = users.key_by(|user| user.name.clone()).window(TumblingWindows::of(Duration::from_secs(60)));
    minutes.count().map(|count| format!("{}: {} orders in {}", count.key, count.value, count.window)).print();
    Ok(())
}

fn main() -> ExitCode {
    stream_app::run(handle)
}
