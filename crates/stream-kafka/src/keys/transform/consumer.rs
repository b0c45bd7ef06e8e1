//! Keys of sources: group, commits, batches, assignment.

use std::time::Duration;

use super::common::millis;
use super::refuse::simple_name;
use crate::keys::draft::{Draft, Given};
use crate::keys::engine::IsolationLevel;

/// Kafka's own topics, as `topic.blacklist` wants them.
const INTERNAL_TOPICS: &str = "^__(consumer_offsets|transaction_state|share_group_state)$";

/// Translates them.
pub(super) fn run(draft: &mut Draft) {
    group(draft);
    group_protocol(draft);
    liveness(draft);
    commits(draft);
    batches(draft);
    discovery(draft);
    internal_topics(draft);
    assignors(draft);
    if draft.written("isolation.level") == Some("read_committed") {
        draft.engine.isolation_level = IsolationLevel::ReadCommitted;
    }
}

fn group(draft: &mut Draft) {
    draft.engine.group_id = draft.get("group.id").map(|given| given.value);
    if let Some(given) = draft.get("group.instance.id") {
        draft.warn(format!("`{}` has no effect: the engine assigns partitions itself", given.key));
        draft.put("group.instance.id", given.value, &given.key);
    }
}

/// The new protocol leaves these to the brokers; librdkafka and Java refuse them, their defaults included.
fn group_protocol(draft: &mut Draft) {
    const CLASSIC_ONLY: [&str; 4] =
        ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"];
    let new = draft.written("group.protocol") == Some("consumer");
    for property in CLASSIC_ONLY {
        if new && (draft.is_explicit(property) || draft.given.contains_key(property)) {
            let key = draft.get(property).map_or_else(|| draft.writer(property), |given| given.key);
            let message = format!("`{key}` cannot be set together with `group.protocol: consumer`");
            draft.refuse(&key, message, "remove it: with this protocol the brokers decide");
        }
    }
    if let Some(given) = draft.get("group.remote.assignor").filter(|_| !new) {
        let message = format!("`{}` needs `group.protocol: consumer`", given.key);
        draft.refuse(&given.key, message, "set the protocol, or remove the assignor");
    }
}

/// librdkafka wants a session no longer than the interval between polls, Java does not mind.
fn liveness(draft: &mut Draft) {
    let (session, poll) = ("session.timeout.ms", "max.poll.interval.ms");
    let (session_ms, poll_ms) = (draft.number(session, 45_000), draft.number(poll, 300_000));
    if draft.written("group.protocol") == Some("consumer") || session_ms <= poll_ms {
        return;
    }
    let (session_key, poll_key) = (draft.writer(session), draft.writer(poll));
    match (draft.is_explicit(session), draft.is_explicit(poll)) {
        (true, true) => {
            let message = format!("`{session_key}` ({session_ms}) is more than `{poll_key}` ({poll_ms})");
            draft.refuse(&session_key, message, "lower the session timeout, or raise the poll interval");
        }
        (true, false) => {
            draft.warn(format!("`{poll}` was raised to {session_ms}, to be no less than `{session_key}`"));
            draft.put_derived(poll, session_ms.to_string());
        }
        (false, _) => {
            draft.warn(format!("`{session}` was lowered to {poll_ms}, to be no more than `{poll_key}`"));
            draft.put_derived(session, poll_ms.to_string());
        }
    }
}

fn commits(draft: &mut Draft) {
    draft.engine.enable_auto_commit = draft.get("enable.auto.commit").map(|given| given.value == "true");
    if let Some(interval) = draft.get("auto.commit.interval.ms").as_ref().and_then(millis) {
        draft.engine.auto_commit_interval = interval;
    }
    if let Some(given) = draft.get("commit.offsets.on.checkpoint") {
        draft.engine.commit_offsets_on_checkpoint = given.value == "true";
    }
}

fn batches(draft: &mut Draft) {
    draft.engine.max_poll_records = draft.get("max.poll.records").and_then(|given| given.value.parse().ok());
    if let Some(timeout) = draft.get("default.api.timeout.ms").as_ref().and_then(millis) {
        draft.engine.default_api_timeout = timeout;
    }
}

fn discovery(draft: &mut Draft) {
    let old = draft.get("flink.partition-discovery.interval-millis");
    let new = draft.get("partition.discovery.interval.ms");
    if let (Some(old), Some(new)) = (&old, &new) {
        let message = format!("`{}` and `{}` are the same setting", old.key, new.key);
        draft.refuse(&new.key, message, "keep one of the two");
    }
    let interval = |given: Given| given.value.parse::<i64>().ok().and_then(|millis| u64::try_from(millis).ok());
    draft.engine.partition_discovery_interval =
        new.or(old).and_then(interval).filter(|millis| *millis > 0).map(Duration::from_millis);
}

fn internal_topics(draft: &mut Draft) {
    let Some(given) = draft.get("exclude.internal.topics") else {
        return;
    };
    draft.engine.exclude_internal_topics = given.value == "true";
    // A topic that is named outright stays readable, as in Java: the key is about patterns.
    let named = draft.engine.topics.iter().any(|topic| topic.starts_with("__"));
    if draft.engine.exclude_internal_topics && !named {
        draft.put("topic.blacklist", INTERNAL_TOPICS, &given.key);
    }
}

fn assignors(draft: &mut Draft) {
    let Some(given) = draft.get("partition.assignment.strategy") else {
        return;
    };
    let key = &given.key;
    let mut names: Vec<&str> = Vec::new();
    for class in given.value.split(',').map(str::trim).filter(|class| !class.is_empty()) {
        match assignor(class) {
            Some(name) => names.push(name),
            None if simple_name(class) == "StickyAssignor" => {
                let message = format!("`{key}`: the eager `StickyAssignor` does not exist here");
                draft.refuse(key, message, "use `cooperative-sticky`");
            }
            None => {
                let message = format!("`{key}`: `{class}` is a Java class and cannot run here");
                draft.refuse(key, message, "use `range`, `roundrobin` or `cooperative-sticky`");
            }
        }
    }
    let Some(first) = names.first().copied() else {
        return;
    };
    // Java moves from one family to the other by listing both; librdkafka takes one family only.
    let family = |name: &str| name == "cooperative-sticky";
    let kept: Vec<&str> = names.iter().copied().filter(|name| family(name) == family(first)).collect();
    if kept.len() < names.len() {
        draft.warn(format!("`{key}`: eager and cooperative assignors do not mix here; kept `{}`", kept.join(",")));
    }
    draft.put("partition.assignment.strategy", kept.join(","), key);
}

fn assignor(class: &str) -> Option<&'static str> {
    let name = class.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(class);
    match name {
        "RangeAssignor" | "range" => Some("range"),
        "RoundRobinAssignor" | "roundrobin" => Some("roundrobin"),
        "CooperativeStickyAssignor" | "cooperative-sticky" => Some("cooperative-sticky"),
        _ => None,
    }
}
