//! The keys of one source or sink for `config keys`: the table, and the names that only librdkafka knows.

use stream_core::{KeyInfo, KeyState};

use super::table::{Action, ROWS, Row};
use super::{Role, native, table};

/// What the table calls the engine's work and the engine does not do yet. Goes with `unsupported` of source and sink.
const NOT_YET: &[(&str, KeyState)] = &[
    ("flink.partition-discovery.interval-millis", KeyState::NotYet),
    ("partition.discovery.interval.ms", KeyState::NotYet),
    ("pattern", KeyState::Refused),
    ("schema.registry.url", KeyState::NotYet),
    ("start.from.offset.<topic>", KeyState::Refused),
    ("start.from.offset.topic", KeyState::Refused),
    ("start.from.timestamp", KeyState::Refused),
    ("transactional.id", KeyState::Refused),
];

/// Every key that may stand below `section`, such as `kafka.source.orders`.
pub(crate) fn keys(role: Role, section: &str) -> Vec<KeyInfo> {
    let rows = ROWS.iter().filter(|row| row.applies.to(role)).map(|row| of_row(row, section));
    let natives = native::names(role).filter(|name| table::find(name).is_none());
    rows.chain(natives.map(|name| of_native(name, section))).collect()
}

fn of_row(row: &Row, section: &str) -> KeyInfo {
    let state = match row.action {
        Action::Same | Action::Rename | Action::Transform => KeyState::PassedTo("Kafka"),
        Action::Engine => KeyState::ActedOn,
        Action::Ignore => KeyState::NoEffect,
        Action::Reject => KeyState::Refused,
    };
    let state = NOT_YET.iter().find(|(key, _)| *key == row.key).map_or(state, |(_, state)| *state);
    KeyInfo {
        key: format!("{section}.{}", row.key),
        spellings: Vec::new(),
        kind: row.rule.kind(),
        default: String::new(),
        meaning: row.note.to_owned(),
        state,
    }
}

fn of_native(name: &str, section: &str) -> KeyInfo {
    let (state, meaning) = match native::denied(name) {
        Some(reason) => (KeyState::Refused, reason),
        None => (KeyState::PassedTo("Kafka"), "a property of librdkafka"),
    };
    KeyInfo {
        key: format!("{section}.{name}"),
        spellings: Vec::new(),
        kind: String::new(),
        default: String::new(),
        meaning: meaning.to_owned(),
        state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(role: Role, key: &str) -> Option<KeyState> {
        let keys = keys(role, "kafka.x.orders");
        keys.into_iter().find(|info| info.key == format!("kafka.x.orders.{key}")).map(|info| info.state)
    }

    #[test]
    fn a_role_has_its_own_keys() {
        assert_eq!(state(Role::Sink, "linger.ms"), Some(KeyState::PassedTo("Kafka")));
        assert_eq!(state(Role::Source, "linger.ms"), None);
        assert_eq!(state(Role::Source, "on_bad_record"), Some(KeyState::ActedOn));
        assert_eq!(state(Role::Source, "broker.address.family"), Some(KeyState::PassedTo("Kafka")));
        assert_eq!(state(Role::Source, "plugin.library.paths"), Some(KeyState::Refused));
        assert_eq!(state(Role::Sink, "metric.reporters"), Some(KeyState::NoEffect));
    }

    #[test]
    fn exceptions_are_rows_of_the_table() {
        for (key, _) in NOT_YET {
            assert!(ROWS.iter().any(|row| row.key == *key), "{key}");
        }
    }
}
