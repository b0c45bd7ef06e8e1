//! One value per key, as objects or as bytes: what all states are made of.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::key::Key;
use crate::operator::{OperatorContext, Snapshot};
use crate::state::bytes::ByteTable;
use crate::state::groups::{GroupWriter, read_groups};
use crate::state::{CurrentKey, StateBackend};

/// What a table is entered with. The lowest bits of the hash chose the key group, so within one subtask they say little.
#[inline]
pub(crate) fn table_hash(hash: u64) -> u64 {
    hash.rotate_left(32)
}

/// A value per key.
#[derive(Debug)]
pub(crate) enum Values<K, V> {
    Memory(HashTable<(K, V)>),
    Bytes(ByteTable),
}

impl<K, V> Values<K, V>
where
    K: Key,
    V: Serialize + DeserializeOwned,
{
    pub(crate) fn new(backend: StateBackend) -> Values<K, V> {
        match backend {
            StateBackend::Memory => Values::Memory(HashTable::new()),
            StateBackend::Bytes => Values::Bytes(ByteTable::default()),
        }
    }

    /// Lets `f` see, change, set or remove the value of a key.
    #[inline]
    pub(crate) fn with<R>(&mut self, key: CurrentKey<'_, K>, f: impl FnOnce(&mut Option<V>) -> R) -> R {
        match self {
            Values::Memory(table) => match table.find_entry(table_hash(key.hash), |(k, _)| k == key.key) {
                Ok(found) => {
                    let ((k, v), hole) = found.remove();
                    let mut value = Some(v);
                    let result = f(&mut value);
                    if let Some(value) = value {
                        hole.insert((k, value));
                    }
                    result
                }
                Err(absent) => {
                    let mut value = None;
                    let result = f(&mut value);
                    if let Some(value) = value {
                        let entry = (key.key.clone(), value);
                        absent.into_table().insert_unique(table_hash(key.hash), entry, rehash);
                    }
                    result
                }
            },
            Values::Bytes(table) => table.with(key.key, f),
        }
    }

    /// Lets `f` change the value of a key, made by `init` if there is none. Cheaper than [`with`](Values::with).
    #[inline]
    pub(crate) fn update<R>(
        &mut self,
        key: CurrentKey<'_, K>,
        init: impl FnOnce() -> V,
        f: impl FnOnce(&mut V) -> R,
    ) -> R {
        match self {
            Values::Memory(table) => {
                let mut entry = match table.entry(table_hash(key.hash), |(k, _)| k == key.key, rehash) {
                    Entry::Occupied(found) => found,
                    Entry::Vacant(hole) => hole.insert((key.key.clone(), init())),
                };
                f(&mut entry.get_mut().1)
            }
            Values::Bytes(table) => table.with(key.key, |value| f(value.get_or_insert_with(init))),
        }
    }

    /// Hands a copy-free look at the value of a key to `f`.
    #[inline]
    pub(crate) fn read<R>(&mut self, key: CurrentKey<'_, K>, f: impl FnOnce(Option<&V>) -> R) -> R {
        match self {
            Values::Memory(table) => f(table.find(table_hash(key.hash), |(k, _)| k == key.key).map(|(_, value)| value)),
            Values::Bytes(table) => table.with(key.key, |value: &mut Option<V>| f(value.as_ref())),
        }
    }

    /// How many keys have a value.
    pub(crate) fn len(&self) -> usize {
        match self {
            Values::Memory(table) => table.len(),
            Values::Bytes(table) => table.len(),
        }
    }

    /// Removes the values for which `keep` returns false.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        match self {
            Values::Memory(table) => table.retain(|(_, value)| keep(value)),
            Values::Bytes(table) => table.scan(&(), |_: K, value: V| keep(&value)),
        }
    }

    /// Hands every key and value to `f`, in no order.
    pub(crate) fn for_each(&mut self, mut f: impl FnMut(&K, &V)) {
        match self {
            Values::Memory(table) => table.iter().for_each(|(key, value)| f(key, value)),
            Values::Bytes(table) => table.scan(&(), |key, value| {
                f(&key, &value);
                true
            }),
        }
    }

    pub(crate) fn snapshot(&mut self, name: &str, context: &OperatorContext, snapshot: &mut Snapshot) -> Result<()> {
        let (mut writer, mut written) = (GroupWriter::new(context), Ok(()));
        self.for_each(|key, value| {
            if written.is_ok() {
                written = writer.add(key.key_hash(), &(key, value));
            }
        });
        written?;
        self.check()?;
        writer.finish_as::<(K, V)>(name, snapshot);
        Ok(())
    }

    pub(crate) fn restore(&mut self, name: &str, context: &OperatorContext, snapshot: &Snapshot) -> Result<()> {
        read_groups(snapshot, name, context, |(key, value): (K, V)| match self {
            Values::Memory(table) => {
                table.insert_unique(table_hash(key.key_hash()), (key, value), rehash);
            }
            Values::Bytes(table) => table.with(&key, |entry| *entry = Some(value)),
        })
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        match self {
            Values::Memory(_) => Ok(()),
            Values::Bytes(table) => table.check(),
        }
    }
}

fn rehash<K: Key, V>(entry: &(K, V)) -> u64 {
    table_hash(entry.0.key_hash())
}
