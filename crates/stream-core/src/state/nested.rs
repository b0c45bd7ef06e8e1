//! Several values per key, each under a second key: what lists and maps are made of.
//!
//! In bytes every value is an entry of its own, so that one of them can be changed without touching the others.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::key::Key;
use crate::operator::{OperatorContext, Snapshot};
use crate::state::bytes::ByteTable;
use crate::state::groups::{Change, GroupWriter, read_changes};
use crate::state::table::Budget;
use crate::state::tables::Tables;
use crate::state::{CurrentKey, StateBackend};
use crate::time::Timestamp;

/// Values of type `V` per key and second key `S`, each with the time it expires.
#[derive(Debug)]
pub(crate) enum Nested<K, S, V> {
    Memory(Tables<K, BTreeMap<S, (V, Timestamp)>>),
    Bytes(ByteTable),
}

impl<K, S, V> Nested<K, S, V>
where
    K: Key,
    S: Ord + Clone + Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    pub(crate) fn new(context: &OperatorContext) -> Nested<K, S, V> {
        match context.state_backend() {
            StateBackend::Memory => Nested::Memory(Tables::new(context, 0)),
            StateBackend::Bytes => Nested::Bytes(ByteTable::default()),
        }
    }

    /// Lets `f` see, change, set or remove one value; what is there afterwards lives until `expiry`.
    pub(crate) fn with<R>(
        &mut self,
        key: CurrentKey<'_, K>,
        second: &S,
        expiry: Timestamp,
        f: impl FnOnce(&mut Option<V>) -> R,
    ) -> R {
        let change = |entry: &mut Option<(V, Timestamp)>| {
            let mut value = entry.take().filter(|(_, expiry)| *expiry > key.now).map(|(value, _)| value);
            let result = f(&mut value);
            *entry = value.map(|value| (value, expiry));
            result
        };
        match self {
            Nested::Memory(tables) => tables.with(key.hash, key.key, |map| {
                let mut entry = map.as_mut().and_then(|map| map.remove(second));
                let result = change(&mut entry);
                match entry {
                    Some(entry) => {
                        map.get_or_insert_with(BTreeMap::new).insert(second.clone(), entry);
                    }
                    None => *map = map.take().filter(|map| !map.is_empty()),
                }
                result
            }),
            Nested::Bytes(table) => table.with(&(key.key, second), change),
        }
    }

    /// Hands every value of the key to `f`, in the order of their second keys, and removes those for which it returns
    /// false.
    pub(crate) fn retain(&mut self, key: CurrentKey<'_, K>, mut f: impl FnMut(&S, &V) -> bool) {
        match self {
            Nested::Memory(tables) => tables.with(key.hash, key.key, |map| {
                if let Some(entries) = map {
                    entries.retain(|second, (value, expiry)| *expiry > key.now && f(second, value));
                    *map = map.take().filter(|map| !map.is_empty());
                }
            }),
            Nested::Bytes(table) => {
                let mut entries = BTreeMap::new();
                table.scan(key.key, |second: S, (value, expiry): (V, Timestamp)| {
                    let alive = expiry > key.now;
                    if alive {
                        entries.insert(second, value);
                    }
                    alive
                });
                // In the order of the second keys, which need not be that of their encodings.
                for second in entries.iter().filter(|(second, value)| !f(second, value)).map(|(second, _)| second) {
                    table.with(&(key.key, second), |entry: &mut Option<(V, Timestamp)>| *entry = None);
                }
            }
        }
    }

    /// Removes and returns everything that the key has, in the order of the second keys.
    pub(crate) fn take(&mut self, key: CurrentKey<'_, K>) -> BTreeMap<S, V> {
        let alive = |(second, (value, expiry)): (S, (V, Timestamp))| (expiry > key.now).then_some((second, value));
        match self {
            Nested::Memory(tables) => {
                let map = tables.with(key.hash, key.key, Option::take).unwrap_or_default();
                map.into_iter().filter_map(alive).collect()
            }
            Nested::Bytes(table) => {
                let mut entries = BTreeMap::new();
                table.scan(key.key, |second: S, entry: (V, Timestamp)| {
                    entries.extend(alive((second, entry)));
                    false
                });
                entries
            }
        }
    }

    /// The greatest second key that the key has, expired ones included.
    pub(crate) fn last(&mut self, key: CurrentKey<'_, K>) -> Option<S> {
        match self {
            Nested::Memory(tables) => {
                let (second, _) = tables.get(key.hash, key.key)?.last_key_value()?;
                Some(second.clone())
            }
            Nested::Bytes(table) => table.last(key.key),
        }
    }

    pub(crate) fn begin_snapshot(
        &mut self,
        name: &str,
        context: &OperatorContext,
        snapshot: &mut Snapshot,
    ) -> Result<()> {
        match self {
            Nested::Memory(tables) => {
                tables.begin_snapshot(snapshot.is_of_everything(), write_all, true, context);
                Ok(())
            }
            Nested::Bytes(table) => {
                let entry = |(key, second): (K, S), (value, expiry): (V, Timestamp)| {
                    (key.key_hash(), (key, second, value, expiry))
                };
                table.snapshot(name, context, snapshot, entry)
            }
        }
    }

    pub(crate) fn write_snapshot(&mut self, name: &str, budget: &mut Budget, snapshot: &mut Snapshot) -> Result<bool> {
        match self {
            Nested::Memory(tables) => tables.write_snapshot::<(K, S, V, Timestamp)>(name, budget, snapshot),
            Nested::Bytes(_) => Ok(false),
        }
    }

    pub(crate) fn restore(&mut self, name: &str, context: &OperatorContext, snapshot: &Snapshot) -> Result<()> {
        let now = context.now().wall;
        read_changes(snapshot, name, context, |change: Change<K, (K, S, V, Timestamp)>| match change {
            Change::Entry((key, second, value, expiry)) => {
                if expiry > now {
                    let current = CurrentKey { hash: key.key_hash(), key: &key, now };
                    self.with(current, &second, expiry, |entry| *entry = Some(value));
                }
            }
            Change::Removed(key) => {
                self.take(CurrentKey { hash: key.key_hash(), key: &key, now });
            }
        })?;
        if let Nested::Memory(tables) = self {
            tables.is_restored(name, snapshot);
        }
        Ok(())
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        match self {
            Nested::Memory(_) => Ok(()),
            Nested::Bytes(table) => table.check(),
        }
    }
}

/// Writes every value of a key as an entry of its own.
fn write_all<K, S, V>(key: &K, values: &BTreeMap<S, (V, Timestamp)>, writer: &mut GroupWriter) -> Result<usize>
where
    K: Key,
    S: Serialize,
    V: Serialize,
{
    let hash = key.key_hash();
    values
        .iter()
        .try_fold(0, |bytes, (second, (value, expiry))| Ok(bytes + writer.add(hash, &(key, second, value, expiry))?))
}
