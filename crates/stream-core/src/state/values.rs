//! One value per key, as objects or as bytes: what all states are made of.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::key::Key;
use crate::operator::{OperatorContext, Snapshot};
use crate::state::bytes::{ByteEntries, ByteTable};
use crate::state::groups::{Change, GroupWriter, expected_entries, read_changes};
use crate::state::table::Budget;
use crate::state::tables::{TableEntries, Tables};
use crate::state::{CurrentKey, StateBackend};

/// A value per key.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the common one, and a pointer to it would cost every record"
)]
pub(crate) enum Values<K, V> {
    Memory(Tables<K, V>),
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

impl<K, V> Values<K, V> {
    /// What an operator has before it is opened.
    pub(crate) fn closed() -> Values<K, V> {
        Values::Bytes(Box::default())
    }

    pub(crate) fn new(context: &OperatorContext) -> Values<K, V> {
        Values::with_capacity(context, 0)
    }

    /// With room for so many keys, where room is made in advance.
    pub(crate) fn with_capacity(context: &OperatorContext, capacity: usize) -> Values<K, V> {
        match context.state_backend() {
            StateBackend::Memory => Values::Memory(Tables::new(context, capacity)),
            StateBackend::Bytes => Values::Bytes(Box::default()),
        }
    }

    /// Whether a snapshot was begun that [`write_snapshot`](Values::write_snapshot) has more to do for.
    pub(crate) fn is_writing(&self) -> bool {
        match self {
            Values::Memory(tables) => tables.is_writing(),
            Values::Bytes(_) => false,
        }
    }

    /// How many keys have a value.
    pub(crate) fn len(&self) -> usize {
        match self {
            Values::Memory(tables) => tables.len(),
            Values::Bytes(table) => table.len(),
        }
    }

    /// Another number whenever there are more keys than there ever were, and sometimes if not.
    pub(crate) fn growths(&self) -> u64 {
        match self {
            Values::Memory(tables) => tables.growths(),
            Values::Bytes(table) => table.len() as u64,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All keys and their values, in no order.
    pub(crate) fn into_entries(self) -> Entries<K, V> {
        match self {
            Values::Memory(tables) => Entries::Memory(tables.into_entries()),
            Values::Bytes(table) => Entries::Bytes(table.into_entries()),
        }
    }

    /// Tells of a value that could not be encoded or decoded.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self {
            Values::Memory(_) => Ok(()),
            Values::Bytes(table) => table.check(),
        }
    }
}

impl<K, V> Values<K, V>
where
    K: Key,
    V: Serialize + DeserializeOwned,
{
    /// Lets `f` see, change, set or remove the value of a key.
    #[inline]
    pub(crate) fn with<R>(&mut self, key: CurrentKey<'_, K>, f: impl FnOnce(&mut Option<V>) -> R) -> R {
        match self {
            Values::Memory(tables) => tables.with(key.hash, key.key, f),
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
            Values::Memory(tables) => tables.update(key.hash, key.key, init, f),
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
            Values::Memory(tables) => tables.upsert(hash, key, init, f),
            Values::Bytes(table) => upsert_bytes(table, &key, init, f),
        }
    }

    /// Lets `f` change the value of a key, if there is one.
    pub(crate) fn visit<R>(&mut self, hash: u64, key: &K, f: impl FnOnce(&mut V) -> (R, Then)) -> Option<R> {
        match self {
            Values::Memory(tables) => tables.visit(hash, key, f),
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
            Values::Memory(tables) => f(tables.get(key.hash, key.key)),
            Values::Bytes(table) => table.with(key.key, |value: &mut Option<V>| f(value.as_ref())),
        }
    }

    /// Removes everything; room is kept.
    pub(crate) fn clear(&mut self) {
        match self {
            Values::Memory(tables) => tables.clear(),
            Values::Bytes(table) => table.clear(),
        }
    }

    /// Removes the values for which `keep` returns false.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        match self {
            Values::Memory(tables) => tables.retain(keep),
            Values::Bytes(table) => table.scan(&(), |_: K, value: V| keep(&value)),
        }
    }

    /// Lets `f` see every key and change its value; removes those for which it says so.
    pub(crate) fn visit_all(&mut self, mut f: impl FnMut(&K, &mut V) -> Then) {
        match self {
            Values::Memory(tables) => tables.visit_all(f),
            Values::Bytes(table) => table.retain(|key, value| f(&key, value) == Then::Keep),
        }
    }

    /// Hands every key and value to `f`, in no order.
    pub(crate) fn for_each(&mut self, mut f: impl FnMut(&K, &V)) {
        match self {
            Values::Memory(tables) => tables.for_each(f),
            Values::Bytes(table) => table.scan(&(), |key, value| {
                f(&key, &value);
                true
            }),
        }
    }

    /// Begins a snapshot under `name`, of what is there now.
    pub(crate) fn begin_snapshot(
        &mut self,
        name: &str,
        context: &OperatorContext,
        snapshot: &mut Snapshot,
    ) -> Result<()> {
        match self {
            Values::Memory(tables) => {
                tables.begin_snapshot(snapshot.is_of_everything(), write_pair, false, context);
                Ok(())
            }
            Values::Bytes(table) => {
                table.snapshot(name, context, snapshot, |key: K, value: V| (key.key_hash(), (key, value)))
            }
        }
    }

    /// Writes more of the snapshot that was begun. Returns whether there is still more.
    pub(crate) fn write_snapshot(&mut self, name: &str, budget: &mut Budget, snapshot: &mut Snapshot) -> Result<bool> {
        match self {
            Values::Memory(tables) => tables.write_snapshot::<(K, V)>(name, budget, snapshot),
            Values::Bytes(_) => Ok(false),
        }
    }

    /// Forgets the snapshot that was begun.
    pub(crate) fn give_snapshot_up(&mut self) {
        if let Values::Memory(tables) = self {
            tables.give_up();
        }
    }

    pub(crate) fn restore(&mut self, name: &str, context: &OperatorContext, snapshot: &Snapshot) -> Result<()> {
        if self.is_empty() {
            *self = Values::with_capacity(context, expected_entries(snapshot, name, context));
        }
        read_changes(snapshot, name, context, |change: Change<K, (K, V)>| {
            let (key, value) = match change {
                Change::Entry((key, value)) => (key, Some(value)),
                Change::Removed(key) => (key, None),
            };
            match self {
                Values::Memory(tables) => tables.with(key.key_hash(), &key, |entry| *entry = value),
                Values::Bytes(table) => table.with(&key, |entry: &mut Option<V>| *entry = value),
            }
        })?;
        if let Values::Memory(tables) = self {
            tables.is_restored(name, snapshot);
        }
        self.check()
    }
}

fn write_pair<K: Key, V: Serialize>(key: &K, value: &V, writer: &mut GroupWriter) -> Result<usize> {
    writer.add(key.key_hash(), &(key, value))
}

/// The keys and values of a table that was taken apart.
#[derive(Debug)]
pub(crate) enum Entries<K, V> {
    Memory(TableEntries<K, V>),
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
