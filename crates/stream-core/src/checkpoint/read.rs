//! Showing state to people, without the program that keeps it.

use serde_json::{Value, json};

use crate::checkpoint::ledger;
use crate::checkpoint::manifest::{Manifest, damaged};
use crate::checkpoint::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::checkpoint::Kept;
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
            for bytes in &parts.parts {
                let misfit =
                    || damaged(&manifest.name(), &format!("key group {group} of the state `{name}` can't be read"));
                let (mut rest, count) = bytes.split_last_chunk::<4>().ok_or_else(misfit)?;
                for _ in 0..u32::from_le_bytes(*count) {
                    let entry = to_json(&schema, &mut rest).map_err(|_| misfit())?;
                    entries.push(json!({ "state": name, "group": group, "entry": entry }));
                }
            }
        }
    }
    Ok(entries)
}
