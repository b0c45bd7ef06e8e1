//! [`ListState`]: values of one key, in the order in which they were added.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::key::Key;
use crate::operator::OperatorContext;
use crate::state::nested::Nested;
use crate::state::{CurrentKey, StateTask, Ttl, not_open, sealed};

/// A list per key; an element is added without touching those before it.
///
/// # Panics
/// Every access panics if the state is not on the list of [`ProcessFunction::states`](crate::ProcessFunction::states).
#[derive(Debug)]
pub struct ListState<K, V> {
    name: String,
    ttl: Ttl,
    elements: Option<Nested<K, Index, V>>,
}

/// A number whose encodings are ordered as the numbers are.
type Index = [u8; 8];

impl<K, V> ListState<K, V>
where
    K: Key,
    V: Serialize + DeserializeOwned + Send,
{
    /// A state that snapshots know by `name`.
    pub fn new(name: impl Into<String>) -> ListState<K, V> {
        ListState { name: name.into(), ttl: Ttl::NEVER, elements: None }
    }

    /// Lets every element expire this long after it was added, by the wall clock.
    #[must_use]
    pub fn ttl(self, limit: Duration) -> ListState<K, V> {
        ListState { ttl: Ttl::after(limit), ..self }
    }

    /// Adds an element behind the others.
    pub fn push(&mut self, key: CurrentKey<'_, K>, value: V) {
        self.extend(key, [value]);
    }

    /// Adds elements behind the others.
    pub fn extend(&mut self, key: CurrentKey<'_, K>, values: impl IntoIterator<Item = V>) {
        let expiry = self.ttl.expiry(key.now);
        let elements = self.elements();
        let next = elements.last(key).map_or(0, |last| u64::from_be_bytes(last) + 1);
        for (index, value) in (next..).zip(values) {
            elements.with(key, &index.to_be_bytes(), expiry, |element| *element = Some(value));
        }
    }

    /// Hands every element of the key to `f`, in order.
    pub fn for_each(&mut self, key: CurrentKey<'_, K>, mut f: impl FnMut(&V)) {
        self.retain(key, |value| {
            f(value);
            true
        });
    }

    /// Hands every element of the key to `keep`, in order, and removes those for which it returns false.
    pub fn retain(&mut self, key: CurrentKey<'_, K>, mut keep: impl FnMut(&V) -> bool) {
        self.elements().retain(key, |_, value| keep(value));
    }

    /// Removes all elements of the key and returns them, in order.
    pub fn take(&mut self, key: CurrentKey<'_, K>) -> Vec<V> {
        self.elements().take(key).into_values().collect()
    }

    /// Puts these elements in the place of those that the key has.
    pub fn set(&mut self, key: CurrentKey<'_, K>, values: impl IntoIterator<Item = V>) {
        self.take(key);
        self.extend(key, values);
    }

    fn elements(&mut self) -> &mut Nested<K, Index, V> {
        match &mut self.elements {
            Some(elements) => elements,
            None => not_open(&self.name),
        }
    }
}

impl<K, V> sealed::Handle<K> for ListState<K, V>
where
    K: Key,
    V: Serialize + DeserializeOwned + Send,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn handle(&mut self, task: &mut StateTask<'_>, context: &OperatorContext) -> Result<()> {
        task.apply_to_nested(&self.name, &mut self.elements, context)
    }
}
