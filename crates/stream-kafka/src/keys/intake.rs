//! Taking settings in: which key is this, may this role set it, does its value have the right shape.

use super::draft::{Draft, Given, shown};
use super::native::{self, Native};
use super::rule::Rule;
use super::table::{self, Action, Applies, Row};
use super::{KeyProblem, RawSetting, Role, is_secret, suggest};

/// Takes all settings in. Afterwards `given` holds the rows of the table, and the client's properties hold what passes
/// under its own or another name.
pub(crate) fn take_in(draft: &mut Draft, settings: &[RawSetting<'_>]) {
    for setting in settings {
        if let Some(origin) = &setting.origin {
            draft.origins.entry(setting.key.to_owned()).or_insert_with(|| origin.clone());
        }
        take_in_one(draft, setting);
    }
}

fn take_in_one(draft: &mut Draft, setting: &RawSetting<'_>) {
    let written = setting.key;
    let key = written.strip_prefix("properties.").unwrap_or(written);
    if let Some(reason) = native::denied(key).filter(|_| table::find(key).is_none()) {
        return draft.refuse(written, format!("`{written}` cannot be set: {reason}"), "remove the line");
    }
    match table::find(key) {
        Some(row) if row.applies.to(draft.role) => take_in_row(draft, row, key, setting),
        // Not Java's way for this role, yet librdkafka has a use for it: `client.rack` of a producer.
        found => match (native::lookup(draft.role, key), found) {
            (Native::Ours, _) => take_in_native(draft, key, setting),
            (Native::Unknown, None) => refuse_unknown(draft, written, key),
            (Native::Theirs, _) | (Native::Unknown, Some(_)) => refuse_other_role(draft, written),
        },
    }
}

fn take_in_row(draft: &mut Draft, row: &'static Row, key: &str, setting: &RawSetting<'_>) {
    let checked = match row.rule.check(&setting.value) {
        // Java takes an absent class list and an empty one for the same.
        Err(_) if matches!(row.action, Action::Reject) && setting.value.trim().is_empty() => return,
        Ok(checked) => checked,
        Err(expected) => {
            let problem = wrong_shape(setting, &expected, row.rule);
            return draft.refuse(&problem.key, problem.message, problem.hint.unwrap_or_default());
        }
    };
    if let Some(change) = checked.change {
        draft.warn(format!("`{}` {change}", setting.key));
    }
    let value = match row.rule {
        // Blanks at the ends of a password may be part of it.
        Rule::Text | Rule::NonEmpty if is_secret(key) => setting.value.clone(),
        _ => checked.value,
    };
    let given = Given { key: setting.key.to_owned(), value };
    if let Some(first) = draft.given.get(key) {
        let message = match first.key == given.key {
            true => format!("`{}` is set twice", given.key),
            false => format!("`{}`{} and `{}` are the same setting", first.key, draft.place(&first.key), given.key),
        };
        return draft.refuse(setting.key, message, "keep one of the two");
    }
    if matches!(row.action, Action::Same | Action::Rename) {
        for property in row.native {
            draft.put(property, given.value.clone(), &given.key);
        }
    }
    draft.given.insert(key.to_owned(), given);
}

fn take_in_native(draft: &mut Draft, key: &str, setting: &RawSetting<'_>) {
    if key == "debug" {
        draft.warn("`debug` makes the client log what it sends and receives; meant for a short time");
    }
    let value = if is_secret(key) { &setting.value } else { setting.value.trim() };
    draft.put(key, value, setting.key);
}

fn wrong_shape(setting: &RawSetting<'_>, expected: &str, rule: Rule) -> KeyProblem {
    let key = setting.key;
    let value = setting.value.trim();
    let message = match rule {
        _ if !value.is_empty() => format!("{} under `{key}` is not {expected}", shown(key, value)),
        Rule::NonEmpty => format!("`{key}` is empty"),
        _ => format!("`{key}` is empty, expected {expected}"),
    };
    let hint = match rule {
        Rule::Int(_) | Rule::Millis(_) if key.ends_with(".ms") => "write milliseconds, without a unit",
        _ => "correct the value, or remove the line to use the default",
    };
    KeyProblem { key: key.to_owned(), message, hint: Some(hint.to_owned()) }
}

fn refuse_unknown(draft: &mut Draft, written: &str, key: &str) {
    let message = format!("unknown key `{written}`");
    match suggest::nearest(draft.role, key) {
        Some(near) => draft.refuse(written, message, format!("did you mean `{near}`?")),
        None => draft.refuse(written, message, "the page `Kafka keys` of the book lists the known ones"),
    }
}

fn refuse_other_role(draft: &mut Draft, written: &str) {
    let (this, other, section) = match draft.role {
        Role::Source => ("source", Applies::Sink, "kafka.sink"),
        Role::Sink => ("sink", Applies::Source, "kafka.source"),
    };
    let kind = if other == Applies::Sink { "producer" } else { "consumer" };
    let message = format!("`{written}` is a {kind} setting and has no meaning for a {this}");
    draft.refuse(written, message, format!("move it to `{section}`, or remove it"));
}
