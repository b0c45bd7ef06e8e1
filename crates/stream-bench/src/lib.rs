//! Benchmarks, load generators and the contestant for side-by-side runs
//!
//! Nothing here is published and nothing may depend on it but `xtask`.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures the real clock and starts its own threads")]

pub mod auctions;
pub mod bidders;
pub mod bids;
pub mod checkpoints;
pub mod copy;
pub mod dispatch;
pub mod engine;
mod figures;
pub mod latency;
mod measure;
pub mod prices;
pub mod process;
#[allow(unsafe_code, reason = "the loop without an engine speaks to librdkafka directly")]
pub mod raw;
pub mod schemas;
pub mod usage;
pub mod windows;
