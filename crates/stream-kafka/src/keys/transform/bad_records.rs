//! Keys of stream-rs about records that cannot be decoded.

use super::common::is_topic_name;
use crate::keys::draft::Draft;
use crate::keys::engine::{BadRecords, DeadLetterFormat};

/// Translates them.
pub(super) fn run(draft: &mut Draft) {
    policy(draft);
    max_ratio(draft);
    draft.engine.bad_records_window = draft.get("bad_records.window").and_then(|given| given.value.parse().ok());
    draft.engine.dead_letter_format = draft.get("dead_letter.format").map(|given| match given.value.as_str() {
        "connect" => DeadLetterFormat::Connect,
        _ => DeadLetterFormat::Streams,
    });
}

fn policy(draft: &mut Draft) {
    let Some(given) = draft.get("on_bad_record") else {
        return;
    };
    let (key, value) = (&given.key, given.value.as_str());
    let (word, topic) = match value.split_once('(') {
        Some((word, rest)) => (word.trim(), rest.strip_suffix(')').map(str::trim)),
        None => (value, None),
    };
    let bare = !value.contains('(');
    draft.engine.on_bad_record = match (word.to_ascii_lowercase().as_str(), topic) {
        ("fail", None) if bare => Some(BadRecords::Fail),
        ("skip", None) if bare => Some(BadRecords::Skip),
        ("dead_letter", Some(topic)) if is_topic_name(topic) => Some(BadRecords::dead_letter(topic)),
        ("dead_letter", Some(topic)) if !topic.is_empty() => {
            let message = format!("`{topic}` under `{key}` is not a topic name");
            return draft.refuse(key, message, "names have letters, digits, `.`, `_` and `-`, 249 at most");
        }
        ("dead_letter", _) => {
            let message = format!("`{value}` under `{key}` names no topic");
            return draft.refuse(key, message, "write `dead_letter(TOPIC)`, with a topic that exists");
        }
        _ => {
            let message = format!("`{value}` under `{key}` is not one of `fail`, `skip`, `dead_letter(TOPIC)`");
            return draft.refuse(key, message, "correct the value, or remove the line to use the default");
        }
    };
}

fn max_ratio(draft: &mut Draft) {
    let Some(given) = draft.get("bad_records.max_ratio") else {
        return;
    };
    match given.value.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => draft.engine.bad_records_max_ratio = Some(ratio),
        _ => {
            let message = format!("`{}` under `{}` is not a number from 0 to 1", given.value, given.key);
            draft.refuse(&given.key, message, "write 0.9 for 90 %; 1 turns the limit off");
        }
    }
}
