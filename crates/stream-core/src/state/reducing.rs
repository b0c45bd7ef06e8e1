//! [`ReducingState`] and [`AggregatingState`]: one value per key that takes in others.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::key::Key;
use crate::operator::OperatorContext;
use crate::state::{CurrentKey, StateTask, ValueState, sealed};

/// One value per key, into which every value that is added is merged by one function.
///
/// # Panics
/// As [`ValueState`].
pub struct ReducingState<K, V> {
    value: ValueState<K, V>,
    reduce: fn(V, V) -> V,
}

impl<K, V> ReducingState<K, V>
where
    K: Key,
    V: Serialize + DeserializeOwned + Send,
{
    /// A state that snapshots know by `name`; `reduce` gets what is there and what is added.
    pub fn new(name: impl Into<String>, reduce: fn(V, V) -> V) -> ReducingState<K, V> {
        ReducingState { value: ValueState::new(name), reduce }
    }

    /// Lets every value expire this long after something was last added, by the wall clock.
    #[must_use]
    pub fn ttl(self, limit: Duration) -> ReducingState<K, V> {
        ReducingState { value: self.value.ttl(limit), ..self }
    }

    /// Merges a value into the key's.
    pub fn add(&mut self, key: CurrentKey<'_, K>, added: V) {
        let reduce = self.reduce;
        self.value.with(key, |value| {
            *value = Some(match value.take() {
                Some(old) => reduce(old, added),
                None => added,
            });
        });
    }

    /// A copy of the key's value.
    pub fn get(&mut self, key: CurrentKey<'_, K>) -> Option<V>
    where
        V: Clone,
    {
        self.value.get(key)
    }

    /// Removes the key's value and returns it.
    pub fn take(&mut self, key: CurrentKey<'_, K>) -> Option<V> {
        self.value.take(key)
    }
}

/// One accumulator per key, which takes in values of another type.
///
/// # Panics
/// As [`ValueState`].
pub struct AggregatingState<K, A, I> {
    accumulator: ValueState<K, A>,
    add: fn(&mut A, I),
}

impl<K, A, I> AggregatingState<K, A, I>
where
    K: Key,
    A: Default + Serialize + DeserializeOwned + Send,
{
    /// A state that snapshots know by `name`; `add` changes the accumulator, which begins as its type's default.
    pub fn new(name: impl Into<String>, add: fn(&mut A, I)) -> AggregatingState<K, A, I> {
        AggregatingState { accumulator: ValueState::new(name), add }
    }

    /// Lets every accumulator expire this long after something was last added, by the wall clock.
    #[must_use]
    pub fn ttl(self, limit: Duration) -> AggregatingState<K, A, I> {
        AggregatingState { accumulator: self.accumulator.ttl(limit), ..self }
    }

    /// Adds a value to the key's accumulator.
    pub fn add(&mut self, key: CurrentKey<'_, K>, value: I) {
        let add = self.add;
        self.accumulator.update(key, A::default, |accumulator| add(accumulator, value));
    }

    /// A copy of the key's accumulator.
    pub fn get(&mut self, key: CurrentKey<'_, K>) -> Option<A>
    where
        A: Clone,
    {
        self.accumulator.get(key)
    }

    /// Removes the key's accumulator and returns it.
    pub fn take(&mut self, key: CurrentKey<'_, K>) -> Option<A> {
        self.accumulator.take(key)
    }
}

impl<K, V> sealed::Handle<K> for ReducingState<K, V>
where
    K: Key,
    V: Serialize + DeserializeOwned + Send,
{
    fn name(&self) -> &str {
        sealed::Handle::<K>::name(&self.value)
    }

    fn handle(&mut self, task: &mut StateTask<'_>, context: &OperatorContext) -> Result<()> {
        self.value.handle(task, context)
    }
}

impl<K, A, I> sealed::Handle<K> for AggregatingState<K, A, I>
where
    K: Key,
    A: Serialize + DeserializeOwned + Send,
{
    fn name(&self) -> &str {
        sealed::Handle::<K>::name(&self.accumulator)
    }

    fn handle(&mut self, task: &mut StateTask<'_>, context: &OperatorContext) -> Result<()> {
        self.accumulator.handle(task, context)
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for ReducingState<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReducingState").field(&self.value).finish()
    }
}

impl<K: fmt::Debug, A: fmt::Debug, I> fmt::Debug for AggregatingState<K, A, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AggregatingState").field(&self.accumulator).finish()
    }
}
