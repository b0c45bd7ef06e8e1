//! Test kit for stream-rs jobs: [`KafkaFixture`], a real broker with topics of their own for every test, and
//! [`wait_until`], which waits for a condition with a deadline in place of sleeping for luck.
//!
//! The broker's address comes from `STREAM_TEST_KAFKA`; `cargo xtask test` starts one and sets it.

mod fixture;
mod wait;

pub use fixture::{KafkaCluster, KafkaFixture};
pub use wait::wait_until;
