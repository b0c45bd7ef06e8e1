//! [`MapState`]: a map per key.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::key::Key;
use crate::operator::OperatorContext;
use crate::state::nested::Nested;
use crate::state::{CurrentKey, StateTask, Ttl, not_open, sealed};

/// A map per key, ordered by `S`; a value is changed without touching the others.
///
/// # Panics
/// Every access panics if the state is not on the list of [`ProcessFunction::states`](crate::ProcessFunction::states).
#[derive(Debug)]
pub struct MapState<K, S, V> {
    name: String,
    ttl: Ttl,
    entries: Option<Nested<K, S, V>>,
}

impl<K, S, V> MapState<K, S, V>
where
    K: Key,
    S: Ord + Clone + Serialize + DeserializeOwned + Send,
    V: Serialize + DeserializeOwned + Send,
{
    /// A state that snapshots know by `name`.
    pub fn new(name: impl Into<String>) -> MapState<K, S, V> {
        MapState { name: name.into(), ttl: Ttl::NEVER, entries: None }
    }

    /// Lets every value expire this long after it was last written, by the wall clock.
    #[must_use]
    pub fn ttl(self, limit: Duration) -> MapState<K, S, V> {
        MapState { ttl: Ttl::after(limit), ..self }
    }

    /// Lets `f` see, change, set (`Some`) or remove (`None`) one value of the key's map.
    pub fn with<R>(&mut self, key: CurrentKey<'_, K>, entry: &S, f: impl FnOnce(&mut Option<V>) -> R) -> R {
        let expiry = self.ttl.expiry(key.now);
        self.entries().with(key, entry, expiry, f)
    }

    /// Sets one value of the key's map; returns the one before.
    pub fn insert(&mut self, key: CurrentKey<'_, K>, entry: S, value: V) -> Option<V> {
        self.with(key, &entry, |old| old.replace(value))
    }

    /// Removes one value of the key's map and returns it.
    pub fn remove(&mut self, key: CurrentKey<'_, K>, entry: &S) -> Option<V> {
        self.with(key, entry, Option::take)
    }

    /// Hands every entry of the key's map to `f`, in order.
    pub fn for_each(&mut self, key: CurrentKey<'_, K>, mut f: impl FnMut(&S, &V)) {
        self.retain(key, |entry, value| {
            f(entry, value);
            true
        });
    }

    /// Hands every entry of the key's map to `keep`, in order, and removes those for which it returns false.
    pub fn retain(&mut self, key: CurrentKey<'_, K>, keep: impl FnMut(&S, &V) -> bool) {
        self.entries().retain(key, keep);
    }

    /// Removes the key's map and returns its entries, in order.
    pub fn take(&mut self, key: CurrentKey<'_, K>) -> Vec<(S, V)> {
        self.entries().take(key).into_iter().collect()
    }

    fn entries(&mut self) -> &mut Nested<K, S, V> {
        match &mut self.entries {
            Some(entries) => entries,
            None => not_open(&self.name),
        }
    }
}

impl<K, S, V> sealed::Handle<K> for MapState<K, S, V>
where
    K: Key,
    S: Ord + Clone + Serialize + DeserializeOwned + Send,
    V: Serialize + DeserializeOwned + Send,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn handle(&mut self, task: &mut StateTask<'_>, context: &OperatorContext) -> Result<()> {
        task.apply_to_nested(&self.name, &mut self.entries, context)
    }
}
