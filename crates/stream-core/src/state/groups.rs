//! State in snapshots: encoded entries, collected by key group.
//!
//! What a snapshot has of one state and one key group is one byte string. So a restore at another parallelism is a
//! matter of names: every subtask takes the groups that it owns from whatever snapshot has them.
//!
//! ```text
//!   all there is:      entry*, number of entries
//!   what has changed:  entry*, key*, number of keys, number of entries      (numbers: u32, little endian)
//! ```
//! Changes are taken in by removing the keys, then setting the entries. Numbers come last because nobody knows them
//! before; they are there because entries can be of no size.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::key::key_group;
use crate::operator::{OperatorContext, Parts, Snapshot};
use crate::state::schema::{difference, schema_of};

/// Encodes the entries of one state.
#[derive(Debug)]
pub(crate) struct GroupWriter {
    max_parallelism: usize,
    groups: BTreeMap<usize, Group>,
}

/// What was written of one key group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    entries: Encoded,
    removed: Encoded,
}

#[derive(Debug, Default)]
struct Encoded {
    count: u32,
    bytes: Vec<u8>,
}

impl Encoded {
    /// Adds a value; returns its size.
    fn add<E: Serialize>(&mut self, value: &E) -> Result<usize> {
        let before = self.bytes.len();
        // Encoding into a vector that is handed through keeps one buffer per group.
        self.bytes = postcard::to_extend(value, std::mem::take(&mut self.bytes)).map_err(|error| {
            let hint = "types in state must not need a self-describing format: no #[serde(flatten)], no untagged enums";
            Error::new(ErrorKind::User, format!("a value can't be encoded: {error}")).with_hint(hint)
        })?;
        self.count += 1;
        Ok(self.bytes.len() - before)
    }
}

impl Group {
    pub(crate) fn has_entries(&self) -> bool {
        self.entries.count > 0
    }

    /// As all there is of the key group.
    pub(crate) fn into_whole(self) -> Vec<u8> {
        let Encoded { count, mut bytes } = self.entries;
        bytes.extend(count.to_le_bytes());
        bytes
    }

    /// As what has changed, if anything has.
    pub(crate) fn into_changes(self) -> Option<Vec<u8>> {
        let Group { entries: Encoded { count, mut bytes }, removed } = self;
        if count == 0 && removed.count == 0 {
            return None;
        }
        bytes.extend(removed.bytes);
        bytes.extend(removed.count.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        Some(bytes)
    }
}

impl GroupWriter {
    pub(crate) fn new(context: &OperatorContext) -> GroupWriter {
        GroupWriter { max_parallelism: context.max_parallelism(), groups: BTreeMap::new() }
    }

    /// Adds an entry of the key with this hash; returns its size.
    pub(crate) fn add<E: Serialize>(&mut self, hash: u64, entry: &E) -> Result<usize> {
        self.group_of(hash).entries.add(entry)
    }

    /// Adds an entry of a key group.
    pub(crate) fn add_to<E: Serialize>(&mut self, group: usize, entry: &E) -> Result<()> {
        self.groups.entry(group).or_default().entries.add(entry).map(|_| ())
    }

    /// Notes that what there was of the key with this hash is there no more.
    pub(crate) fn remove<K: Serialize>(&mut self, hash: u64, key: &K) -> Result<usize> {
        self.group_of(hash).removed.add(key)
    }

    fn group_of(&mut self, hash: u64) -> &mut Group {
        self.groups.entry(key_group(hash, self.max_parallelism)).or_default()
    }

    /// Takes out all that was written.
    pub(crate) fn take_all(&mut self) -> GroupWriter {
        GroupWriter { max_parallelism: self.max_parallelism, groups: std::mem::take(&mut self.groups) }
    }

    /// Takes out what was written of a key group.
    pub(crate) fn take(&mut self, group: usize) -> Group {
        self.groups.remove(&group).unwrap_or_default()
    }

    /// Puts everything into `snapshot` under `name`; an entry reads back as an `E`.
    pub(crate) fn finish_as<E: DeserializeOwned>(self, name: &str, snapshot: &mut Snapshot) {
        snapshot.put_schema(name, schema_of::<E>());
        self.finish(name, snapshot);
    }

    /// The same for entries that nobody wants to see.
    pub(crate) fn finish(self, name: &str, snapshot: &mut Snapshot) {
        for (group, written) in self.groups {
            snapshot.put_group(name, group_number(group), written.into_whole());
        }
    }
}

pub(crate) fn group_number(group: usize) -> u32 {
    u32::try_from(group).unwrap_or(u32::MAX)
}

/// Hands the entries of the state `name` to `take`, those of the key groups that `context` owns. The state is one that is
/// written whole every time.
pub(crate) fn read_groups<E: DeserializeOwned>(
    snapshot: &Snapshot,
    name: &str,
    context: &OperatorContext,
    mut take: impl FnMut(E),
) -> Result<()> {
    let mut has_changes = false;
    read_changes(snapshot, name, context, |change: Change<(), E>| match change {
        Change::Entry(entry) => take(entry),
        Change::Removed(()) => has_changes = true,
    })?;
    if has_changes { Err(corrupt(name, "it has changes, which this state never has")) } else { Ok(()) }
}

/// A step on the way to what a state was.
pub(crate) enum Change<K, E> {
    /// There was nothing under this key from then on.
    Removed(K),
    Entry(E),
}

/// Hands the entries of the state `name` to `take` and, where it was written as changes, the changes in their order;
/// those of the key groups that `context` owns.
pub(crate) fn read_changes<K: DeserializeOwned, E: DeserializeOwned>(
    snapshot: &Snapshot,
    name: &str,
    context: &OperatorContext,
    mut take: impl FnMut(Change<K, E>),
) -> Result<()> {
    if let Some(stored) = snapshot.schema(name)
        && let Some(difference) = difference(stored, &schema_of::<E>())
    {
        let message = format!("the state `{name}` was stored with another type:\n{difference}");
        let hint = "restore it with the type it had; to begin without it, give the state another name";
        return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
    }
    for (group, parts) in owned_parts(snapshot, name, context) {
        if !parts.whole {
            return Err(corrupt(name, &format!("key group {group} has changes, and nothing that they changed")));
        }
        for (index, bytes) in parts.parts.iter().enumerate() {
            let (mut rest, entries, removed) = match index {
                0 => split_whole(bytes).map(|(rest, entries)| (rest, entries, 0)),
                _ => split_changes(bytes),
            }
            .ok_or_else(|| corrupt(name, &format!("key group {group} is too short")))?;
            let unreadable = |error: postcard::Error| corrupt(name, &error.to_string());
            let mut changed = Vec::new();
            for _ in 0..entries {
                let (entry, left) = postcard::take_from_bytes(rest).map_err(unreadable)?;
                // What was removed goes first, and is written behind.
                match removed {
                    0 => take(Change::Entry(entry)),
                    _ => changed.push(entry),
                }
                rest = left;
            }
            for _ in 0..removed {
                let (key, left) = postcard::take_from_bytes(rest).map_err(unreadable)?;
                take(Change::Removed(key));
                rest = left;
            }
            changed.into_iter().for_each(|entry| take(Change::Entry(entry)));
            if !rest.is_empty() {
                return Err(corrupt(name, &format!("key group {group} has {} bytes too many", rest.len())));
            }
        }
    }
    Ok(())
}

/// The entries of all there is of a key group, and how many there are.
pub(crate) fn split_whole(bytes: &[u8]) -> Option<(&[u8], u32)> {
    let (rest, count) = bytes.split_last_chunk::<4>()?;
    Some((rest, u32::from_le_bytes(*count)))
}

/// The entries and keys of what has changed in a key group, and how many there are of each.
pub(crate) fn split_changes(bytes: &[u8]) -> Option<(&[u8], u32, u32)> {
    let (rest, entries) = split_whole(bytes)?;
    let (rest, removed) = split_whole(rest)?;
    Some((rest, entries, removed))
}

/// The key groups that the subtask owns: the range that [`key_group_subtask`](crate::key::key_group_subtask) gives it.
pub(crate) fn owned_groups(context: &OperatorContext) -> Range<usize> {
    let (subtask, parallelism, groups) = (context.subtask(), context.parallelism(), context.max_parallelism());
    let first = |subtask: usize| (subtask * groups).div_ceil(parallelism);
    first(subtask)..first(subtask + 1)
}

/// What a snapshot has of the key groups of the state `name` that the subtask owns.
fn owned_parts<'a>(
    snapshot: &'a Snapshot,
    name: &'a str,
    context: &OperatorContext,
) -> impl Iterator<Item = (u32, &'a Parts)> + use<'a> {
    let owned = owned_groups(context);
    snapshot.groups_of(name).filter(move |(group, _)| owned.contains(&(*group as usize)))
}

/// How many entries the key groups that `context` owns had when the state `name` was last written whole.
pub(crate) fn expected_entries(snapshot: &Snapshot, name: &str, context: &OperatorContext) -> usize {
    let parts = owned_parts(snapshot, name, context);
    let whole = parts.filter_map(|(_, parts)| split_whole(parts.parts.first()?));
    // Damage has no say in how much memory is taken.
    whole.map(|(entries, count)| entries.len().min(count as usize)).sum()
}

pub(crate) fn corrupt(name: &str, reason: &str) -> Error {
    let error = Error::new(ErrorKind::Corrupt, format!("the state `{name}` in the snapshot can't be read: {reason}"));
    error.with_hint("a type that changed since the snapshot was taken can't be read back; restore with the old one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyHash;
    use crate::key::key_group_subtask;

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
    fn a_subtask_owns_the_groups_whose_keys_it_gets() {
        for max_parallelism in [1, 7, 128, 256] {
            for parallelism in 1..=max_parallelism.min(20) {
                for group in 0..max_parallelism {
                    let context = |subtask| context(subtask, parallelism).with_max_parallelism(max_parallelism);
                    let owners: Vec<usize> =
                        (0..parallelism).filter(|subtask| owned_groups(&context(*subtask)).contains(&group)).collect();
                    assert_eq!(owners, [key_group_subtask(group, parallelism, max_parallelism)]);
                }
            }
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
