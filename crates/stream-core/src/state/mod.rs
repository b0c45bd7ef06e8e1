//! State: what an operator keeps between records, per key, and how it gets into snapshots and back.
//!
//! A state is a field of the user's function: [`ValueState`], [`ListState`], [`MapState`], [`ReducingState`],
//! [`AggregatingState`]. It is asked with the [`CurrentKey`] and never hands out a reference that outlives the call, so
//! that values may live as objects (the memory backend) or as encoded bytes in order (the backend that a disk will take
//! the place of). Which one it is decides the job, not the function.
//!
//! The function names its states to [`States`]; by that list they are opened, written into snapshots and restored. One
//! that is not on the list refuses to be used.

mod bytes;
pub(crate) mod groups;
mod list;
mod map;
mod nested;
mod reducing;
pub(crate) mod schema;
pub(crate) mod table;
mod tables;
pub(crate) mod timers;
mod value;
pub(crate) mod values;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::key::Key;
use crate::operator::{OperatorContext, Snapshot};
use crate::time::Timestamp;

pub use list::ListState;
pub use map::MapState;
pub use reducing::{AggregatingState, ReducingState};
pub use value::ValueState;

/// Where state lives while the job runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateBackend {
    /// As objects in memory: nothing is encoded until a snapshot is taken.
    #[default]
    Memory,
    /// As encoded bytes in an ordered map: slower, smaller for wide values, and the way a disk would hold it.
    Bytes,
}

/// The key of the record or timer in hand, with its hash: what every access to state takes.
#[derive(Debug)]
pub struct CurrentKey<'a, K> {
    pub(crate) hash: u64,
    pub(crate) key: &'a K,
    /// What the wall clock showed when the batch was taken in.
    pub(crate) now: Timestamp,
}

impl<K> Clone for CurrentKey<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for CurrentKey<'_, K> {}

impl<'a, K> CurrentKey<'a, K> {
    /// The key itself.
    pub fn get(&self) -> &'a K {
        self.key
    }
}

/// A state that [`States`] can handle: one of the types of this module.
pub trait KeyedState<K>: sealed::Handle<K> {}

impl<K, S: sealed::Handle<K>> KeyedState<K> for S {}

pub(crate) mod sealed {
    use super::{OperatorContext, Result, StateTask};

    pub trait Handle<K> {
        fn name(&self) -> &str;
        fn handle(&mut self, task: &mut StateTask<'_>, context: &OperatorContext) -> Result<()>;
    }
}

/// What is to be done with every state of a function.
pub enum StateTask<'a> {
    #[doc(hidden)]
    Open,
    #[doc(hidden)]
    BeginSnapshot(&'a mut Snapshot),
    #[doc(hidden)]
    WriteSnapshot(SnapshotRest<'a>),
    #[doc(hidden)]
    Restore(&'a Snapshot),
    /// Tell of a value that could not be encoded or decoded.
    #[doc(hidden)]
    Check,
}

/// A snapshot under way, how much may be written of it now, and whether something is left then.
#[doc(hidden)]
pub struct SnapshotRest<'a> {
    pub(crate) snapshot: &'a mut Snapshot,
    pub(crate) budget: &'a mut table::Budget,
    pub(crate) more: &'a mut bool,
}

impl SnapshotRest<'_> {
    /// Lets a state write its part.
    fn add(&mut self, write: impl FnOnce(&mut table::Budget, &mut Snapshot) -> Result<bool>) -> Result<()> {
        *self.more |= write(self.budget, self.snapshot)?;
        Ok(())
    }
}

/// The list of a function's states, made anew whenever the engine needs it.
pub struct States<'a, K> {
    task: StateTask<'a>,
    context: &'a OperatorContext,
    names: BTreeSet<String>,
    errors: Vec<Error>,
    keys: std::marker::PhantomData<fn(K)>,
}

impl<'a, K: Key> States<'a, K> {
    pub(crate) fn new(task: StateTask<'a>, context: &'a OperatorContext) -> States<'a, K> {
        States { task, context, names: BTreeSet::new(), errors: Vec::new(), keys: std::marker::PhantomData }
    }

    /// Puts a state on the list. Its name must be another one than those of the states before it.
    pub fn add(&mut self, state: &mut impl KeyedState<K>) -> &mut Self {
        let name = state.name().to_owned();
        if name.is_empty() || name.contains('/') || !self.names.insert(name.clone()) {
            let message = format!("`{name}` can't be the name of this state: it is taken, empty or has a `/`");
            self.errors.push(Error::new(ErrorKind::Config, message).with_hint("give every state a name of its own"));
        } else if let Err(error) = state.handle(&mut self.task, self.context) {
            self.errors.push(error);
        }
        self
    }

    pub(crate) fn finish(self) -> Result<()> {
        Error::join(self.errors).map_or(Ok(()), Err)
    }
}

/// How long values live: each until this long after it was last written, by the wall clock (as Flink's `StateTtlConfig`
/// with `OnCreateAndWrite`); one that has expired is never seen again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ttl(Option<Duration>);

impl Ttl {
    pub(crate) const NEVER: Ttl = Ttl(None);

    pub(crate) fn after(limit: Duration) -> Ttl {
        Ttl(Some(limit))
    }

    /// When something written now expires; [`Timestamp::MAX`] is never.
    #[inline]
    pub(crate) fn expiry(self, now: Timestamp) -> Timestamp {
        let Some(limit) = self.0 else { return Timestamp::MAX };
        let millis = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(now.as_millis().saturating_add(millis))
    }
}

#[cold]
#[track_caller]
#[expect(clippy::panic, reason = "a mistake in the user's function, reported with its operator")]
pub(crate) fn not_open(name: &str) -> ! {
    panic!("the state `{name}` is not open: add it to the list in ProcessFunction::states")
}

impl StateTask<'_> {
    fn apply_to_nested<K, S, V>(
        &mut self,
        name: &str,
        nested: &mut Option<nested::Nested<K, S, V>>,
        context: &OperatorContext,
    ) -> Result<()>
    where
        K: Key,
        S: Ord + Clone + Serialize + DeserializeOwned,
        V: Serialize + DeserializeOwned,
    {
        match (self, nested) {
            (StateTask::Open, nested) => {
                *nested = Some(nested::Nested::new(context));
                Ok(())
            }
            (StateTask::BeginSnapshot(snapshot), Some(nested)) => nested.begin_snapshot(name, context, snapshot),
            (StateTask::WriteSnapshot(rest), Some(nested)) => {
                rest.add(|budget, snapshot| nested.write_snapshot(name, budget, snapshot))
            }
            (StateTask::Restore(snapshot), Some(nested)) => nested.restore(name, context, snapshot),
            (StateTask::Check, Some(nested)) => nested.check(),
            (_, None) => not_open(name),
        }
    }
}
