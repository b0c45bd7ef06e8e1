//! Keys of sinks: guarantee, idempotence, batches, timeouts, partitioner.

use super::common::millis;
use super::refuse::simple_name;
use crate::keys::draft::Draft;
use crate::keys::engine::{EpochBump, PartitionerChoice, Semantic};

/// Both clients' default of `transaction.timeout.ms`.
pub(super) const TRANSACTION_TIMEOUT: i64 = 60_000;

/// Translates them.
pub(super) fn run(draft: &mut Draft) {
    semantic(draft);
    transaction(draft);
    idempotence(draft);
    back_pressure(draft);
    compression_level(draft);
    buffer(draft);
    delivery_timeout(draft);
    partitioner(draft);
    if let Some(limit) = draft.get("max.block.ms").as_ref().and_then(millis) {
        draft.engine.max_block = limit;
    }
}

fn semantic(draft: &mut Draft) {
    let Some(given) = draft.get("semantic") else {
        return;
    };
    draft.engine.semantic = match given.value.to_ascii_uppercase().replace('-', "_").as_str() {
        "AT_LEAST_ONCE" => Semantic::AtLeastOnce,
        "EXACTLY_ONCE" => Semantic::ExactlyOnce,
        "NONE" => Semantic::None,
        _ => {
            let message = format!("`{}` under `{}` is not a guarantee", given.value, given.key);
            return draft.refuse(&given.key, message, "write `AT_LEAST_ONCE`, `EXACTLY_ONCE` or `NONE`");
        }
    };
}

fn transaction(draft: &mut Draft) {
    const BROKER_CAP: i64 = 900_000;
    let bump = draft.get("commit.epoch-bump");
    draft.engine.epoch_bump = bump.map(|given| match given.value.to_ascii_lowercase().as_str() {
        "always" => EpochBump::Always,
        _ => EpochBump::OnDisturbance,
    });
    draft.engine.marker_topic = draft.get("commit.marker-topic").map(|given| given.value);
    draft.engine.transaction_timeout = draft.get("transaction.timeout.ms").as_ref().and_then(millis);
    if let Some(given) = draft.get("transactional.id") {
        if draft.engine.semantic == Semantic::ExactlyOnce {
            let message = format!("`{}` cannot be set under exactly-once: the engine names its own", given.key);
            draft.refuse(&given.key, message, "remove the line");
        } else {
            draft.put("transactional.id", given.value.clone(), &given.key);
            draft.engine.transactional_id = Some(given.value);
        }
    }
    let timeout = draft.number("transaction.timeout.ms", TRANSACTION_TIMEOUT);
    if draft.engine.is_transactional() && timeout > BROKER_CAP {
        let key = draft.writer("transaction.timeout.ms");
        draft.warn(format!(
            "`{key}` is {timeout}: brokers refuse more than their transaction.max.timeout.ms, {BROKER_CAP} by default"
        ));
    }
}

/// Java's rules: on unless the settings rule it out; asked for outright, what rules it out is an error.
fn idempotence(draft: &mut Draft) {
    let rivals: Vec<(String, &str)> = [
        ("acks", !matches!(draft.written("acks"), None | Some("all" | "-1")), "it needs `acks: all`"),
        ("retries", draft.number("retries", 1) == 0, "it needs retries"),
        (
            "max.in.flight.requests.per.connection",
            draft.number("max.in.flight.requests.per.connection", 5) > 5,
            "it allows at most 5 requests in flight",
        ),
    ]
    .into_iter()
    .filter(|(_, rival, _)| *rival)
    .map(|(property, _, why)| (draft.writer(property), why))
    .collect();
    let key = draft.writer("enable.idempotence");
    let asked = draft.written("enable.idempotence").map(str::to_ascii_lowercase);
    let needs =
        if draft.engine.semantic == Semantic::ExactlyOnce { "exactly-once" } else { "a transactional producer" };
    match asked.as_deref() {
        Some("false") if draft.engine.is_transactional() => {
            draft.refuse(&key, format!("`{key}: false` contradicts {needs}"), "remove the line");
        }
        Some("false") => {}
        Some(_) => {
            for (rival, why) in rivals {
                draft.refuse(&rival, format!("`{rival}` contradicts `{key}: true`: {why}"), "change one of the two");
            }
        }
        None if draft.engine.is_transactional() => {
            for (rival, why) in rivals {
                let message = format!("`{rival}` contradicts {needs}, which is idempotent: {why}");
                draft.refuse(&rival, message, "remove the line");
            }
            draft.put_derived("enable.idempotence", "true");
        }
        None => {
            if let Some((rival, why)) = rivals.first() {
                draft.warn(format!("`{rival}` turns idempotence off ({why}): a retry may repeat or reorder records"));
            }
            draft.put_derived("enable.idempotence", rivals.is_empty().to_string());
        }
    }
}

/// librdkafka's own rule: an idempotent producer takes no larger threshold.
fn back_pressure(draft: &mut Draft) {
    const PROPERTY: &str = "queue.buffering.backpressure.threshold";
    if draft.number(PROPERTY, 1) > 1 && draft.written("enable.idempotence") == Some("true") {
        let key = draft.writer(PROPERTY);
        let message = format!("`{key}` above 1 does not go with an idempotent producer");
        draft.refuse(&key, message, "remove it, or set `enable.idempotence: false`");
    }
}

fn compression_level(draft: &mut Draft) {
    let codec = draft.written("compression.type").unwrap_or("none").to_ascii_lowercase();
    for (key, of, note) in [
        ("compression.gzip.level", "gzip", "only with `compression.type: gzip`"),
        ("compression.lz4.level", "lz4", "only with `compression.type: lz4`"),
        ("compression.zstd.level", "zstd", "only with `compression.type: zstd`"),
    ] {
        match draft.get(key) {
            Some(given) if codec == of => draft.put("compression.level", given.value, &given.key),
            Some(given) => draft.ignored.push((given.key, note)),
            None => {}
        }
    }
}

fn buffer(draft: &mut Draft) {
    let Some(given) = draft.get("buffer.memory") else {
        return;
    };
    let bytes: u64 = given.value.parse().unwrap_or(1);
    draft.put("queue.buffering.max.kbytes", bytes.div_ceil(1024).to_string(), &given.key);
    // Java knows no limit on the number of records; librdkafka's would be reached first.
    draft.put_derived("queue.buffering.max.messages", "0");
}

fn delivery_timeout(draft: &mut Draft) {
    const JAVA_DEFAULT: i64 = 120_000;
    const PROPERTY: &str = "delivery.timeout.ms";
    if let Some(given) = draft.get(PROPERTY) {
        draft.put(PROPERTY, given.value, &given.key);
    }
    let linger = draft.number("linger.ms", 5);
    let request = i64::try_from(draft.engine.request_timeout.as_millis()).unwrap_or(i64::MAX);
    let default = JAVA_DEFAULT.max(linger.saturating_add(request));
    let wanted = draft.number(PROPERTY, default);
    let explicit = draft.is_explicit(PROPERTY);
    let key = draft.writer(PROPERTY);
    // In librdkafka's own spelling 0 is for ever.
    if explicit && wanted != 0 && wanted <= linger {
        let message = format!("`{key}` ({wanted}) is not more than `linger.ms` ({linger})");
        draft.refuse(&key, message, "raise it: it covers lingering, sending and every retry");
    }
    let limit = draft.number("transaction.timeout.ms", TRANSACTION_TIMEOUT);
    let capped = draft.engine.is_transactional() && wanted > limit;
    if capped && limit <= linger {
        let lingers = draft.writer("linger.ms");
        let message = format!("`{lingers}` ({linger}) is not less than `transaction.timeout.ms` ({limit})");
        draft.refuse(&lingers, message, "linger for less: a record has to leave while its transaction is open");
    }
    if capped && explicit {
        draft.warn(format!(
            "`{key}` was lowered to {limit}: in a transaction it cannot exceed `transaction.timeout.ms`"
        ));
    }
    draft.overwrite(PROPERTY, if capped { limit } else { wanted }.to_string());
}

fn partitioner(draft: &mut Draft) {
    const HASH: &str = "murmur2_random";
    let class = draft.get("partitioner.class").filter(|given| !given.value.is_empty());
    if draft.is_explicit("partitioner") {
        draft.engine.partitioner = PartitionerChoice::Client;
    }
    if let Some(given) = &class {
        let key = &given.key;
        draft.engine.partitioner = match simple_name(&given.value) {
            "RoundRobinPartitioner" => PartitionerChoice::RoundRobin,
            "KafkaEqualityPartitioner" => PartitionerChoice::Equality,
            name @ ("DefaultPartitioner" | "UniformStickyPartitioner") => {
                draft.warn(format!("`{key}`: `{name}` left Kafka with 4.0; used Kafka's hash of the key in its place"));
                PartitionerChoice::Murmur2
            }
            _ => {
                let message = format!("`{}` under `{key}` is a Java class and cannot run here", given.value);
                return draft.refuse(key, message, "give the sink a partitioner in Rust: `.partitioner(...)`");
            }
        };
        draft.put("partitioner", HASH, key);
    }
    match draft.get("partitioner.ignore.keys").filter(|given| given.value == "true") {
        Some(given) if class.is_some() => {
            draft.ignored.push((given.key, "`partitioner.class` decides"));
        }
        Some(given) => {
            draft.put("partitioner", "random", &given.key);
            draft.engine.partitioner = PartitionerChoice::IgnoreKeys;
        }
        None => draft.put_derived("partitioner", HASH),
    }
}
