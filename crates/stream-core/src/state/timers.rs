//! Timers: keys that want to be called at a time, each key at most once for each time.
//!
//! Their order is a map by time. Snapshots need them by key, to say what has changed: from the first snapshot or restore
//! on they are kept that way, too, in the tables that all keyed state is made of.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::key::Key;
use crate::operator::{OperatorContext, Snapshot};
use crate::state::CurrentKey;
use crate::state::groups::{Change, GroupWriter, expected_entries, read_changes};
use crate::state::table::Budget;
use crate::state::tables::Tables;
use crate::state::values::Then;
use crate::time::Timestamp;

/// The timers of one subtask on one kind of time, in the order in which they fall due.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    /// By time and hash, so that the order is the same after a restore; different keys with one hash are rare.
    timers: BTreeMap<(Timestamp, u64), Vec<K>>,
    by_key: Option<Tables<K, Times>>,
}

/// The times of one key. Most keys have one.
#[derive(Debug)]
enum Times {
    One(Timestamp),
    Several(BTreeSet<Timestamp>),
}

impl Times {
    fn add(&mut self, at: Timestamp) {
        match self {
            Times::One(time) if *time == at => {}
            Times::One(time) => *self = Times::Several([*time, at].into()),
            Times::Several(times) => {
                times.insert(at);
            }
        }
    }

    /// What becomes of the key if it has a time no more.
    fn remove(&mut self, at: Timestamp) -> Then {
        match self {
            Times::One(time) => Then::keep_if(*time != at),
            Times::Several(times) => {
                times.remove(&at);
                Then::keep_if(!times.is_empty())
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = Timestamp> {
        let (one, several) = match self {
            Times::One(time) => (Some(*time), None),
            Times::Several(times) => (None, Some(times)),
        };
        one.into_iter().chain(several.into_iter().flatten().copied())
    }
}

impl<K> Timers<K> {
    pub(crate) const fn new() -> Timers<K> {
        Timers { timers: BTreeMap::new(), by_key: None }
    }
}

impl<K: Key> Timers<K> {
    pub(crate) fn register(&mut self, key: CurrentKey<'_, K>, at: Timestamp) {
        let keys = self.timers.entry((at, key.hash)).or_default();
        if !keys.contains(key.key) {
            keys.push(key.key.clone());
            if let Some(by_key) = &mut self.by_key {
                by_key.update(key.hash, key.key, || Times::One(at), |times| times.add(at));
            }
        }
    }

    pub(crate) fn delete(&mut self, key: CurrentKey<'_, K>, at: Timestamp) {
        if let Some(keys) = self.timers.get_mut(&(at, key.hash)) {
            keys.retain(|k| k != key.key);
            if keys.is_empty() {
                self.timers.remove(&(at, key.hash));
            }
            self.forget(key.hash, key.key, at);
        }
    }

    /// When the first timer falls due.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first timer, if it falls due at or before `time`.
    pub(crate) fn take_due(&mut self, time: Timestamp) -> Option<(Timestamp, u64, K)> {
        let mut first = self.timers.first_entry().filter(|entry| entry.key().0 <= time)?;
        let (at, hash) = *first.key();
        let key = first.get_mut().pop();
        if first.get().is_empty() {
            first.remove();
        }
        let key = key?;
        self.forget(hash, &key, at);
        Some((at, hash, key))
    }

    fn forget(&mut self, hash: u64, key: &K, at: Timestamp) {
        if let Some(by_key) = &mut self.by_key {
            by_key.visit(hash, key, |times| ((), times.remove(at)));
        }
    }

    /// Takes all timers; none are left.
    pub(crate) fn take(&mut self) -> Timers<K> {
        if let Some(by_key) = &mut self.by_key {
            by_key.clear();
        }
        Timers { timers: std::mem::take(&mut self.timers), by_key: None }
    }

    /// Begins a snapshot of what is there now.
    pub(crate) fn begin_snapshot(&mut self, context: &OperatorContext, snapshot: &Snapshot) {
        let by_key = self.by_key.get_or_insert_with(|| {
            let mut by_key = Tables::new(context, self.timers.len());
            for ((at, hash), keys) in &self.timers {
                for key in keys {
                    by_key.update(*hash, key, || Times::One(*at), |times| times.add(*at));
                }
            }
            by_key
        });
        by_key.begin_snapshot(snapshot.is_of_everything(), write_times, true, context);
    }

    /// Writes more of the snapshot that was begun. Returns whether there is still more.
    pub(crate) fn write_snapshot(&mut self, name: &str, budget: &mut Budget, snapshot: &mut Snapshot) -> Result<bool> {
        self.by_key.as_mut().map_or(Ok(false), |by_key| by_key.write_snapshot::<(Timestamp, K)>(name, budget, snapshot))
    }

    pub(crate) fn restore(&mut self, name: &str, context: &OperatorContext, snapshot: &Snapshot) -> Result<()> {
        #[cfg(test)]
        if crate::testing::simulation::is_planted(crate::testing::simulation::Bug::TimersForgotten) {
            return Ok(());
        }
        let mut by_key = Tables::new(context, expected_entries(snapshot, name, context));
        read_changes(snapshot, name, context, |change: Change<K, (Timestamp, K)>| match change {
            Change::Entry((at, key)) => {
                by_key.update(key.key_hash(), &key, || Times::One(at), |times| times.add(at));
            }
            Change::Removed(key) => {
                by_key.with(key.key_hash(), &key, |times| *times = None);
            }
        })?;
        by_key.is_restored(name, snapshot);
        let timers = &mut self.timers;
        by_key.for_each(|key, times| {
            let hash = key.key_hash();
            times.iter().for_each(|at| timers.entry((at, hash)).or_default().push(key.clone()));
        });
        self.by_key = Some(by_key);
        Ok(())
    }
}

/// Writes every time of a key as an entry of its own.
fn write_times<K: Key>(key: &K, times: &Times, writer: &mut GroupWriter) -> Result<usize> {
    let hash = key.key_hash();
    times.iter().try_fold(0, |bytes, at| Ok(bytes + writer.add(hash, &(at, key))?))
}
