//! Last: defaults that keep what Java does, and the properties that are the engine's alone.

use std::time::Duration;

use super::producer::TRANSACTION_TIMEOUT;
use crate::keys::draft::Draft;
use crate::keys::{IsolationLevel, Role};

/// Writes them.
pub(super) fn run(draft: &mut Draft) {
    // A misspelt topic is to be an error, not a new topic with one partition.
    draft.put_derived("allow.auto.create.topics", "false");
    match draft.role {
        Role::Source => source(draft),
        Role::Sink => sink(draft),
    }
    // librdkafka's own spelling counts as well.
    let timeout = draft.number("socket.timeout.ms", 0);
    if let Some(timeout) = u64::try_from(timeout).ok().filter(|timeout| *timeout > 0) {
        draft.engine.request_timeout = Duration::from_millis(timeout);
    }
}

fn source(draft: &mut Draft) {
    draft.put_derived("check.crcs", "true");
    draft.put_derived("socket.timeout.ms", REQUEST_TIMEOUT);
    let isolation = match draft.engine.isolation_level {
        IsolationLevel::ReadUncommitted => "read_uncommitted",
        IsolationLevel::ReadCommitted => "read_committed",
    };
    draft.overwrite("isolation.level", isolation);
    for (property, value) in
        [("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"), ("enable.partition.eof", "true")]
    {
        draft.overwrite(property, value);
    }
}

fn sink(draft: &mut Draft) {
    if !draft.is_explicit("max.in.flight.requests.per.connection") {
        draft.put_derived("max.in.flight.requests.per.connection", "5");
    }
    draft.put_derived("message.max.bytes", "1048576");
    if draft.engine.is_transactional() {
        return transactional_socket(draft);
    }
    draft.put_derived("socket.timeout.ms", REQUEST_TIMEOUT);
}

/// Java's default of `request.timeout.ms`.
const REQUEST_TIMEOUT: &str = "30000";

/// In a transaction a request may not wait longer than the transaction lives; left alone, librdkafka sees to it.
fn transactional_socket(draft: &mut Draft) {
    const PROPERTY: &str = "socket.timeout.ms";
    let limit = draft.number("transaction.timeout.ms", TRANSACTION_TIMEOUT) + 100;
    if draft.is_explicit(PROPERTY) && draft.number(PROPERTY, 0) > limit {
        let key = draft.writer(PROPERTY);
        draft.warn(format!("`{key}` is longer than `transaction.timeout.ms` and was left to the client"));
        draft.withdraw(PROPERTY);
    }
    if limit >= REQUEST_TIMEOUT.parse().unwrap_or(i64::MAX) {
        draft.put_derived(PROPERTY, REQUEST_TIMEOUT);
    }
}
