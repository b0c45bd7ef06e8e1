//! Showing state to people, without the program that keeps it.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::checkpoint::ledger;
use crate::checkpoint::manifest::{Manifest, damaged};
use crate::checkpoint::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};
use crate::process::is_timers;
use crate::runtime::checkpoint::Kept;
use crate::state::groups::{split_changes, split_whole};
use crate::state::schema::{Schema, to_json};

/// The entries of the keyed states of an operator as JSON, one object with `state`, `group` and `entry` each, in no
/// order that means anything. An entry is a tuple that begins with the key, but for timers, which begin with their time.
///
/// # Errors
/// `Config` if the checkpoint has no such operator or state, or its type could not be looked at when it was stored;
/// `Corrupt` if it is damaged; whatever the store says.
pub fn read_state(
    store: &dyn CheckpointStore,
    manifest: &Manifest,
    uid: &str,
    state: Option<&str>,
) -> Result<Vec<Value>> {
    let Some(operator) = manifest.operators.get(uid) else {
        let there: Vec<&str> = manifest.operators.keys().map(String::as_str).collect();
        let message = format!("`{}` has no operator with the uid `{uid}`", manifest.name());
        return Err(Error::new(ErrorKind::Config, message).with_hint(format!("it has: {}", there.join(", "))));
    };
    let names: Vec<&String> = operator.schemas.keys().filter(|name| state.is_none_or(|state| state == *name)).collect();
    if let (Some(state), []) = (state, &names[..]) {
        let there: Vec<&str> = operator.schemas.keys().map(String::as_str).collect();
        let message = format!("the operator `{uid}` has no keyed state `{state}`");
        return Err(Error::new(ErrorKind::Config, message).with_hint(format!("it has: {}", there.join(", "))));
    }
    let checkpoint = ledger::load(store, manifest)?;
    let subtasks = checkpoint.operators.get(uid).into_iter().flat_map(|subtasks| subtasks.values());
    let snapshots: Vec<_> = subtasks.filter_map(Kept::state).collect();
    let mut entries = Vec::new();
    for name in names {
        let Some(schema) = operator.schemas.get(name).and_then(|schema| Schema::read(schema)) else {
            let message = format!("the entries of the state `{name}` have a type that can't be shown");
            let hint = "types that deserialize only from text, or that check what they are given, can't be looked at";
            return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
        };
        for (group, parts) in snapshots.iter().flat_map(|snapshot| snapshot.groups_of(name)) {
            let read = read_group(name, &schema, &parts.parts).ok_or_else(|| {
                damaged(&manifest.name(), &format!("key group {group} of the state `{name}` can't be read"))
            })?;
            entries.extend(read.into_iter().map(|entry| json!({ "state": name, "group": group, "entry": entry })));
        }
    }
    Ok(entries)
}

/// The entries of a key group, from all there was at first and what has changed since then.
fn read_group(name: &str, schema: &Schema, parts: &[Bytes]) -> Option<Vec<Value>> {
    let Some((whole, changes)) = parts.split_first() else { return Some(Vec::new()) };
    let (mut rest, count) = split_whole(whole)?;
    if changes.is_empty() {
        return (0..count).map(|_| to_json(schema, &mut rest).ok()).collect();
    }
    let key_at = usize::from(is_timers(name));
    let elements = schema.elements()?;
    let (before_key, key) = (elements.get(..key_at)?, elements.get(key_at)?);
    let read_entries = |rest: &mut &[u8], count: u32| {
        // A list has several entries under one key.
        let mut by_key: BTreeMap<Vec<u8>, Vec<Value>> = BTreeMap::new();
        for _ in 0..count {
            let mut inside = *rest;
            before_key.iter().try_for_each(|element| to_json(element, &mut inside).map(|_| ())).ok()?;
            let key = read_key(key, &mut inside)?;
            by_key.entry(key).or_default().push(to_json(schema, rest).ok()?);
        }
        Some(by_key)
    };
    let mut by_key = read_entries(&mut rest, count)?;
    for part in changes {
        let (mut rest, count, removed) = split_changes(part)?;
        let changed = read_entries(&mut rest, count)?;
        for _ in 0..removed {
            by_key.remove(&read_key(key, &mut rest)?);
        }
        by_key.extend(changed);
    }
    Some(by_key.into_values().flatten().collect())
}

/// Reads a key; returns the bytes it has.
fn read_key(schema: &Schema, rest: &mut &[u8]) -> Option<Vec<u8>> {
    let before = *rest;
    to_json(schema, rest).ok()?;
    before.get(..before.len() - rest.len()).map(<[u8]>::to_vec)
}
