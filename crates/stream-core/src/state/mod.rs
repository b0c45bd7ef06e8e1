//! State: what an operator keeps between records, by key, and how it gets into snapshots and back.

pub(crate) mod groups;
