//! One value per key, as objects or as bytes: what all states are made of.

use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, IntoIter};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::key::Key;
use crate::operator::{OperatorContext, Snapshot};
use crate::state::bytes::{ByteEntries, ByteTable};
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
    /// Boxed, so that it adds nothing to the size of the other one.
    Bytes(Box<ByteTable>),
}

/// What becomes of a value that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Remove,
}

impl Then {
    pub(crate) fn keep_if(keep: bool) -> Then {
        if keep { Then::Keep } else { Then::Remove }
    }
}

impl<K, V> Values<K, V>
where
    K: Key,
    V: Serialize + DeserializeOwned,
{
    pub(crate) fn new(backend: StateBackend) -> Values<K, V> {
        Values::with_capacity(backend, 0)
    }

    /// With room for so many keys, where room is made in advance.
    pub(crate) fn with_capacity(backend: StateBackend, capacity: usize) -> Values<K, V> {
        match backend {
            StateBackend::Memory => Values::Memory(HashTable::with_capacity(capacity)),
            StateBackend::Bytes => Values::Bytes(Box::default()),
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

    /// As [`update`](Values::update), for a caller that has no more use for the key: a new one is not copied.
    #[inline(always)]
    pub(crate) fn upsert<R>(
        &mut self,
        hash: u64,
        key: K,
        init: impl FnOnce() -> V,
        f: impl FnOnce(&K, &mut V) -> (R, Then),
    ) -> R {
        match self {
            Values::Memory(table) => {
                let mut entry = match table.entry(table_hash(hash), |(k, _)| *k == key, rehash) {
                    Entry::Occupied(found) => found,
                    Entry::Vacant(hole) => hole.insert((key, init())),
                };
                let (key, value) = entry.get_mut();
                let (result, then) = f(key, value);
                if then == Then::Remove {
                    entry.remove();
                }
                result
            }
            Values::Bytes(table) => upsert_bytes(table, &key, init, f),
        }
    }

    /// Lets `f` change the value of a key, if there is one.
    pub(crate) fn visit<R>(&mut self, hash: u64, key: &K, f: impl FnOnce(&mut V) -> (R, Then)) -> Option<R> {
        match self {
            Values::Memory(table) => {
                let mut found = table.find_entry(table_hash(hash), |(k, _)| k == key).ok()?;
                let (result, then) = f(&mut found.get_mut().1);
                if then == Then::Remove {
                    found.remove();
                }
                Some(result)
            }
            Values::Bytes(table) => table.with(key, |value| {
                let (result, then) = f(value.as_mut()?);
                if then == Then::Remove {
                    *value = None;
                }
                Some(result)
            }),
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

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes everything; room is kept.
    pub(crate) fn clear(&mut self) {
        match self {
            Values::Memory(table) => table.clear(),
            Values::Bytes(table) => table.clear(),
        }
    }

    /// Removes the values for which `keep` returns false.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        match self {
            Values::Memory(table) => table.retain(|(_, value)| keep(value)),
            Values::Bytes(table) => table.scan(&(), |_: K, value: V| keep(&value)),
        }
    }

    /// Lets `f` see every key and change its value; removes those for which it says so.
    pub(crate) fn visit_all(&mut self, mut f: impl FnMut(&K, &mut V) -> Then) {
        match self {
            Values::Memory(table) => table.retain(|(key, value)| f(key, value) == Then::Keep),
            Values::Bytes(table) => table.retain(|key, value| f(&key, value) == Then::Keep),
        }
    }

    /// All keys and their values, in no order.
    pub(crate) fn into_entries(self) -> Entries<K, V> {
        match self {
            Values::Memory(table) => Entries::Memory(table.into_iter()),
            Values::Bytes(table) => Entries::Bytes(table.into_entries()),
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

/// The keys and values of a table that was taken apart.
#[derive(Debug)]
pub(crate) enum Entries<K, V> {
    Memory(IntoIter<(K, V)>),
    Bytes(ByteEntries),
}

impl<K, V> Entries<K, V> {
    /// How many are left.
    pub(crate) fn len(&self) -> usize {
        match self {
            Entries::Memory(entries) => entries.len(),
            Entries::Bytes(entries) => entries.len(),
        }
    }

    /// Whether there is an end because something could not be decoded.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self {
            Entries::Memory(_) => Ok(()),
            Entries::Bytes(entries) => entries.check(),
        }
    }
}

impl<K: DeserializeOwned, V: DeserializeOwned> Iterator for Entries<K, V> {
    type Item = (K, V);

    #[inline]
    fn next(&mut self) -> Option<(K, V)> {
        match self {
            Entries::Memory(entries) => entries.next(),
            Entries::Bytes(entries) => entries.next(),
        }
    }
}

/// Apart from the loop over the records of a batch, which is compiled around the other backend.
#[inline(never)]
fn upsert_bytes<K: Key, V: Serialize + DeserializeOwned, R>(
    table: &mut ByteTable,
    key: &K,
    init: impl FnOnce() -> V,
    f: impl FnOnce(&K, &mut V) -> (R, Then),
) -> R {
    table.with(key, |value| {
        let (result, then) = f(key, value.get_or_insert_with(init));
        if then == Then::Remove {
            *value = None;
        }
        result
    })
}

#[inline]
fn rehash<K: Key, V>(entry: &(K, V)) -> u64 {
    table_hash(entry.0.key_hash())
}
