//! Windows: finite stretches of an endless stream, so that something can be said about them.
//!
//! ```
//! use std::time::Duration;
//! use stream_core::Timestamp;
//! use stream_core::testing::TestDriver;
//! use stream_core::window::TumblingWindows;
//!
//! let mut driver = TestDriver::new();
//! let (words, counts) = driver.job(|words| {
//!     words.key_by(|word: &String| word.clone()).window(TumblingWindows::of(Duration::from_secs(10))).count()
//! });
//! for (word, second) in [("to", 1), ("be", 2), ("to", 9), ("to", 10)] {
//!     words.push_at(word.to_owned(), Timestamp::from_millis(second * 1000));
//! }
//! driver.finish()?;
//! let counts: Vec<_> = counts.take_sorted().into_iter().map(|c| (c.key, c.window.to_string(), c.value)).collect();
//! let first = "[0ms, 10000ms)".to_owned();
//! assert_eq!(counts[0], ("be".to_owned(), first.clone(), 1));
//! assert_eq!(counts[1], ("to".to_owned(), first, 2));
//! assert_eq!(counts[2], ("to".to_owned(), "[10000ms, 20000ms)".to_owned(), 1));
//! # Ok::<(), stream_core::Error>(())
//! ```
//!
//! | file | what |
//! | --- | --- |
//! | `stream` | what users chain: [`WindowedStream`] and what ends it |
//! | `assign`, `grid`, `time_window` | which windows there are, and which a record belongs to |
//! | `aggregate` | what is kept of the records of a window |
//! | `trigger` | when a window says what it has |
//! | `sliced`, `slices` | the fast path: windows on a grid that fire at the watermark |
//! | `general` | everything else in time: sessions, triggers, the clock on the wall |
//! | `count` | windows that count records |
//! | `late`, `outbox` | late records; what waits to be handed on |

mod aggregate;
mod assign;
mod count;
mod general;
mod grid;
mod late;
mod outbox;
mod sliced;
mod slices;
mod stream;
mod time_window;
mod trigger;

#[cfg(test)]
mod tests;

pub use aggregate::{Aggregator, Count, WindowState};
pub use assign::{
    Assigner, DynamicSessionWindows, GlobalWindows, SessionWindows, SlidingWindows, TumblingWindows, Windows,
};
pub use late::LateCount;
pub use stream::{CountWindowedStream, LateWindowedStream, WindowedStream};
pub use time_window::{TimeWindow, WindowResult};
pub use trigger::{
    ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountTrigger, EarlyTrigger, EventTimeTrigger, Fire,
    ProcessingTimeTrigger, PurgingTrigger, Trigger, TriggerContext,
};
