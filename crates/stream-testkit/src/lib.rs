//! Test kit for stream-rs jobs.
//!
//! [`TestDriver`] runs a whole typed job without broker and threads, [`Harness`] one operator in every way the engine
//! may. [`KafkaFixture`] gives every test topics of its own on a real broker, and [`wait_until`] waits for a condition
//! with a deadline in place of sleeping for luck.
//!
//! The broker's address comes from `STREAM_TEST_KAFKA`; `cargo xtask test` starts one and sets it.

mod fixture;
mod wait;

pub use fixture::{KafkaCluster, KafkaFixture};
pub use stream_core::testing::{Harness, SteppedJob, TestDriver, TestInput, TestOutput, VirtualClock};
pub use wait::wait_until;
