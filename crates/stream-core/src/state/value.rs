//! [`ValueState`]: one value per key.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::key::Key;
use crate::operator::OperatorContext;
use crate::state::values::Values;
use crate::state::{CurrentKey, StateTask, Ttl, not_open, sealed};
use crate::time::Timestamp;

/// One value per key, or none.
///
/// # Panics
/// Every access panics if the state is not on the list of [`ProcessFunction::states`](crate::ProcessFunction::states).
///
/// # Example
/// See [`ProcessFunction`](crate::ProcessFunction).
#[derive(Debug)]
pub struct ValueState<K, V> {
    name: String,
    ttl: Ttl,
    values: Kept<K, V>,
}

#[derive(Debug)]
enum Kept<K, V> {
    Closed,
    /// Without a time to live there is no room for one: state is mostly small values.
    Plain(Values<K, V>),
    Expiring(Values<K, (V, Timestamp)>, Sweep),
}

/// When a table of values that expire is searched for them: whenever it has doubled.
#[derive(Clone, Copy, Debug)]
struct Sweep {
    limit: usize,
    growths: u64,
}

impl Sweep {
    const START: Sweep = Sweep { limit: 1024, growths: 0 };

    fn is_due<K, V>(&mut self, values: &Values<K, V>) -> bool {
        let growths = values.growths();
        // Counting takes longer than looking whether there can be more.
        std::mem::replace(&mut self.growths, growths) != growths && values.len() >= self.limit
    }

    /// What is left after a sweep may double before the next.
    fn done(&mut self, len: usize) {
        self.limit = (2 * len).max(Sweep::START.limit);
    }
}

impl<K, V> ValueState<K, V>
where
    K: Key,
    V: Serialize + DeserializeOwned + Send,
{
    /// A state that snapshots know by `name`.
    pub fn new(name: impl Into<String>) -> ValueState<K, V> {
        ValueState { name: name.into(), ttl: Ttl::NEVER, values: Kept::Closed }
    }

    /// Lets every value expire this long after it was last written, by the wall clock; an expired value is never seen
    /// again (as Flink's `StateTtlConfig`).
    #[must_use]
    pub fn ttl(self, limit: Duration) -> ValueState<K, V> {
        ValueState { ttl: Ttl::after(limit), ..self }
    }

    /// Lets `f` see, change, set (`Some`) or remove (`None`) the value of the key.
    #[inline]
    pub fn with<R>(&mut self, key: CurrentKey<'_, K>, f: impl FnOnce(&mut Option<V>) -> R) -> R {
        match &mut self.values {
            Kept::Plain(values) => values.with(key, f),
            Kept::Expiring(values, sweep) => {
                if sweep.is_due(values) {
                    values.retain(|(_, expiry)| *expiry > key.now);
                    sweep.done(values.len());
                }
                values.with(key, |entry| {
                    let mut value = entry.take().filter(|(_, expiry)| *expiry > key.now).map(|(value, _)| value);
                    let result = f(&mut value);
                    *entry = value.map(|value| (value, self.ttl.expiry(key.now)));
                    result
                })
            }
            Kept::Closed => not_open(&self.name),
        }
    }

    /// Lets `f` change the value of the key, made by `init` if there is none.
    #[inline]
    pub fn update<R>(&mut self, key: CurrentKey<'_, K>, init: impl FnOnce() -> V, f: impl FnOnce(&mut V) -> R) -> R {
        match &mut self.values {
            Kept::Plain(values) => values.update(key, init, f),
            _ => self.with(key, |value| f(value.get_or_insert_with(init))),
        }
    }

    /// A copy of the value of the key. Does not count as a use: the time to live goes on.
    pub fn get(&mut self, key: CurrentKey<'_, K>) -> Option<V>
    where
        V: Clone,
    {
        match &mut self.values {
            Kept::Plain(values) => values.read(key, |value| value.cloned()),
            Kept::Expiring(values, _) => {
                values.read(key, |entry| entry.filter(|(_, expiry)| *expiry > key.now).map(|(value, _)| value.clone()))
            }
            Kept::Closed => not_open(&self.name),
        }
    }

    /// Sets the value of the key; returns the one before.
    pub fn set(&mut self, key: CurrentKey<'_, K>, value: V) -> Option<V> {
        self.with(key, |old| old.replace(value))
    }

    /// Removes the value of the key and returns it.
    pub fn take(&mut self, key: CurrentKey<'_, K>) -> Option<V> {
        self.with(key, Option::take)
    }
}

impl<K, V> sealed::Handle<K> for ValueState<K, V>
where
    K: Key,
    V: Serialize + DeserializeOwned + Send,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn handle(&mut self, task: &mut StateTask<'_>, context: &OperatorContext) -> Result<()> {
        match (task, &mut self.values) {
            (StateTask::Open, values) => {
                *values = match self.ttl.0 {
                    None => Kept::Plain(Values::new(context)),
                    Some(_) => Kept::Expiring(Values::new(context), Sweep::START),
                };
                Ok(())
            }
            (StateTask::BeginSnapshot(snapshot), Kept::Plain(values)) => {
                values.begin_snapshot(&self.name, context, snapshot)
            }
            (StateTask::BeginSnapshot(snapshot), Kept::Expiring(values, _)) => {
                values.begin_snapshot(&self.name, context, snapshot)
            }
            (StateTask::WriteSnapshot(rest), Kept::Plain(values)) => {
                rest.add(|budget, snapshot| values.write_snapshot(&self.name, budget, snapshot))
            }
            (StateTask::WriteSnapshot(rest), Kept::Expiring(values, _)) => {
                rest.add(|budget, snapshot| values.write_snapshot(&self.name, budget, snapshot))
            }
            (StateTask::Restore(snapshot), Kept::Plain(values)) => values.restore(&self.name, context, snapshot),
            (StateTask::Restore(snapshot), Kept::Expiring(values, sweep)) => {
                values.restore(&self.name, context, snapshot)?;
                let now = context.now().wall;
                values.retain(|(_, expiry)| *expiry > now);
                sweep.done(values.len());
                Ok(())
            }
            (StateTask::Check, Kept::Plain(values)) => values.check(),
            (StateTask::Check, Kept::Expiring(values, _)) => values.check(),
            (_, Kept::Closed) => not_open(&self.name),
        }
    }
}
