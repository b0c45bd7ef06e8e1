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
use crate::state::groups::{GroupWriter, read_groups};
use crate::state::values::Values;
use crate::state::{CurrentKey, StateBackend};
use crate::time::Timestamp;

/// Values of type `V` per key and second key `S`, each with the time it expires.
#[derive(Debug)]
pub(crate) enum Nested<K, S, V> {
    Memory(Values<K, BTreeMap<S, (V, Timestamp)>>),
    Bytes(ByteTable),
}

impl<K, S, V> Nested<K, S, V>
where
    K: Key,
    S: Ord + Clone + Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    pub(crate) fn new(backend: StateBackend) -> Nested<K, S, V> {
        match backend {
            StateBackend::Memory => Nested::Memory(Values::new(backend)),
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
            Nested::Memory(values) => values.with(key, |map| {
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
            Nested::Memory(values) => values.with(key, |map| {
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
            Nested::Memory(values) => {
                let map = values.with(key, Option::take).unwrap_or_default();
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
            Nested::Memory(values) => {
                values.read(key, |map| map.and_then(|map| map.last_key_value()).map(|(second, _)| second.clone()))
            }
            Nested::Bytes(table) => table.last(key.key),
        }
    }

    pub(crate) fn snapshot(&mut self, name: &str, context: &OperatorContext, snapshot: &mut Snapshot) -> Result<()> {
        let now = context.now().wall;
        let mut writer = GroupWriter::new(context);
        let mut written = Ok(());
        let mut add = |key: &K, second: &S, value: &V, expiry: &Timestamp| {
            if written.is_ok() && *expiry > now {
                written = writer.add(key.key_hash(), &(key, second, value, expiry));
            }
        };
        match self {
            Nested::Memory(values) => values.for_each(|key, map| {
                map.iter().for_each(|(second, (value, expiry))| add(key, second, value, expiry));
            }),
            Nested::Bytes(table) => {
                table.scan(&(), |(key, second): (K, S), (value, expiry): (V, Timestamp)| {
                    add(&key, &second, &value, &expiry);
                    true
                });
                table.check()?;
            }
        }
        written?;
        writer.finish_as::<(K, S, V, Timestamp)>(name, snapshot);
        Ok(())
    }

    pub(crate) fn restore(&mut self, name: &str, context: &OperatorContext, snapshot: &Snapshot) -> Result<()> {
        let now = context.now().wall;
        read_groups(snapshot, name, context, |(key, second, value, expiry): (K, S, V, Timestamp)| {
            let current = CurrentKey { hash: key.key_hash(), key: &key, now };
            self.with(current, &second, expiry, |entry| *entry = Some(value));
        })
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        match self {
            Nested::Memory(_) => Ok(()),
            Nested::Bytes(table) => table.check(),
        }
    }
}
