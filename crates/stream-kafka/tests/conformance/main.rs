//! What users of Flink's Kafka connector rely on, promised by its tests: scenarios with a number each, ported where they
//! have a meaning here. docs/src/conformance.md lists every number.

#[path = "../common/mod.rs"]
mod common;

mod exactly_once;
mod faults;
mod ownership;
mod sink;
mod site;
mod transactions;
mod wire;
