//! State in snapshots: encoded entries, collected by key group.
//!
//! The entries of one state and one key group are one byte string. So a restore at another parallelism is a matter of
//! names: every subtask takes the groups that it owns from whatever snapshot has them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::key::{key_group, key_group_subtask};
use crate::operator::{OperatorContext, Snapshot};
use crate::state::schema::{difference, schema_of};

/// Encodes the entries of one state.
pub(crate) struct GroupWriter {
    max_parallelism: usize,
    /// How many entries, and their bytes.
    groups: BTreeMap<usize, (u32, Vec<u8>)>,
}

impl GroupWriter {
    pub(crate) fn new(context: &OperatorContext) -> GroupWriter {
        GroupWriter { max_parallelism: context.max_parallelism(), groups: BTreeMap::new() }
    }

    /// Adds an entry of the key with this hash.
    pub(crate) fn add<E: Serialize>(&mut self, hash: u64, entry: &E) -> Result<()> {
        self.add_to(key_group(hash, self.max_parallelism), entry)
    }

    /// Adds an entry of a key group.
    pub(crate) fn add_to<E: Serialize>(&mut self, group: usize, entry: &E) -> Result<()> {
        let (count, bytes) = self.groups.entry(group).or_default();
        // Encoding into a vector that is handed through keeps one buffer per group.
        *bytes = postcard::to_extend(entry, std::mem::take(bytes)).map_err(|error| {
            let hint = "types in state must not need a self-describing format: no #[serde(flatten)], no untagged enums";
            Error::new(ErrorKind::User, format!("a value can't be encoded: {error}")).with_hint(hint)
        })?;
        *count += 1;
        Ok(())
    }

    /// Puts everything into `snapshot` under `name`; an entry reads back as an `E`.
    pub(crate) fn finish_as<E: DeserializeOwned>(self, name: &str, snapshot: &mut Snapshot) {
        snapshot.put_schema(name, schema_of::<E>());
        self.finish(name, snapshot);
    }

    /// The same for entries that nobody wants to see.
    pub(crate) fn finish(self, name: &str, snapshot: &mut Snapshot) {
        for (group, (count, mut bytes)) in self.groups {
            // Entries can be of no size, so bytes alone do not say how many there are.
            bytes.extend(count.to_le_bytes());
            snapshot.put_group(name, u32::try_from(group).unwrap_or(u32::MAX), bytes);
        }
    }
}

/// Hands the entries of the state `name` to `take`, those of the key groups that `context` owns.
pub(crate) fn read_groups<E: DeserializeOwned>(
    snapshot: &Snapshot,
    name: &str,
    context: &OperatorContext,
    mut take: impl FnMut(E),
) -> Result<()> {
    if let Some(stored) = snapshot.schema(name)
        && let Some(difference) = difference(stored, &schema_of::<E>())
    {
        let message = format!("the state `{name}` was stored with another type:\n{difference}");
        let hint = "restore it with the type it had; to begin without it, give the state another name";
        return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
    }
    for (group, parts) in snapshot.groups_of(name) {
        if !owns_group(context, group as usize) {
            continue;
        }
        for bytes in &parts.parts {
            let Some((mut rest, count)) = bytes.split_last_chunk::<4>() else {
                return Err(corrupt(name, &format!("key group {group} is too short")));
            };
            for _ in 0..u32::from_le_bytes(*count) {
                let (value, left) = postcard::take_from_bytes(rest).map_err(|e| corrupt(name, &e.to_string()))?;
                take(value);
                rest = left;
            }
            if !rest.is_empty() {
                return Err(corrupt(name, &format!("key group {group} has {} bytes too many", rest.len())));
            }
        }
    }
    Ok(())
}

/// Whether the subtask owns a key group.
pub(crate) fn owns_group(context: &OperatorContext, group: usize) -> bool {
    group < context.max_parallelism()
        && key_group_subtask(group, context.parallelism(), context.max_parallelism()) == context.subtask()
}

pub(crate) fn corrupt(name: &str, reason: &str) -> Error {
    let error = Error::new(ErrorKind::Corrupt, format!("the state `{name}` in the snapshot can't be read: {reason}"));
    error.with_hint("a type that changed since the snapshot was taken can't be read back; restore with the old one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyHash;

    fn context(subtask: usize, parallelism: usize) -> OperatorContext {
        OperatorContext::new("o", "o", subtask, parallelism)
    }

    #[test]
    fn every_entry_comes_back_once_at_any_parallelism() {
        let mut writer = GroupWriter::new(&context(0, 1));
        for key in 0..1000_u32 {
            writer.add(key.key_hash(), &(key, key.to_string())).expect("a plain value");
        }
        let mut snapshot = Snapshot::default();
        writer.finish("count", &mut snapshot);
        for parallelism in [1, 2, 3, 256] {
            let mut found = Vec::new();
            for subtask in 0..parallelism {
                let take = |(key, text): (u32, String)| {
                    assert_eq!(text, key.to_string());
                    found.push(key);
                };
                read_groups(&snapshot, "count", &context(subtask, parallelism), take).expect("whole");
            }
            found.sort_unstable();
            assert_eq!(found, (0..1000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn damage_is_named() {
        let mut snapshot = Snapshot::default();
        snapshot.put_group("count", 7, vec![0xFF, 1, 0, 0, 0]);
        let error = read_groups(&snapshot, "count", &context(0, 1), |_: u64| {}).expect_err("not a number");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.message().starts_with("the state `count` in the snapshot can't be read"), "{error}");
    }
}
