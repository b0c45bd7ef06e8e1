//! Test kit for stream-rs jobs.
//!
//! [`TestDriver`] runs a whole typed job without broker and threads, [`Harness`] one operator in every way the engine
//! may. [`KafkaFixture`] gives every test topics of its own on a real broker, and [`wait_until`] waits for a condition
//! with a deadline in place of sleeping for luck. [`KafkaProxy`] stands between a job and a broker of the test's own, and
//! loses, delays, repeats and holds what the test names.
//!
//! The broker's address comes from `STREAM_TEST_KAFKA`; `cargo xtask test` starts one and sets it.

mod fixture;
mod proxy;
mod wait;

pub use fixture::{KafkaCluster, KafkaFixture};
pub use proxy::{ApiKey, Fault, Hold, KafkaProxy, Requests};
pub use stream_core::testing::{Harness, SteppedJob, TestDriver, TestInput, TestOutput, VirtualClock};
pub use wait::wait_until;
