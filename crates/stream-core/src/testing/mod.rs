//! Testing without brokers and without threads; behind the feature `testing`.
//!
//! | | runs | for |
//! | --- | --- | --- |
//! | [`TestDriver`] | a whole typed job, records pushed and taken by hand | users' tests of jobs |
//! | [`Harness`] | one operator, in every way the engine may run it | whoever writes an operator |
//! | [`SteppedJob`] | any job, its interleaving chosen by a seed | tests of the engine, sources and sinks |
//!
//! All three run the code that runs in production; only the threads are missing. Time is a [`VirtualClock`], and the
//! same seed gives the same trace.
//!
//! ```
//! use stream_core::DataStream;
//! use stream_core::testing::TestDriver;
//!
//! fn shouting(lines: DataStream<String>) -> DataStream<String> {
//!     lines.filter(|line| line.ends_with('!')).map(|line| line.to_uppercase())
//! }
//!
//! let mut driver = TestDriver::new();
//! let (lines, shouted) = driver.job(shouting);
//! lines.push_all(["hello".to_owned(), "help!".to_owned()]);
//! driver.run_until_idle()?;
//! assert_eq!(shouted.take(), ["HELP!"]);
//! driver.finish()?;
//! # Ok::<(), stream_core::Error>(())
//! ```

mod clock;
#[cfg(test)]
pub(crate) mod crew;
#[cfg(test)]
pub(crate) mod described;
mod difference;
mod driver;
mod harness;
mod input;
mod output;
mod rig;
#[cfg(test)]
pub(crate) mod simulation;
mod stepped;

pub use clock::VirtualClock;
pub use driver::TestDriver;
pub use harness::Harness;
pub use input::TestInput;
pub use output::TestOutput;
pub use stepped::SteppedJob;
