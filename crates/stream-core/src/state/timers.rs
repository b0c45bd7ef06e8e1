//! Timers: keys that want to be called at a time, each key at most once for each time.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::key::Key;
use crate::operator::{OperatorContext, Snapshot};
use crate::state::CurrentKey;
use crate::state::groups::{GroupWriter, read_groups};
use crate::time::Timestamp;

/// The timers of one subtask on one kind of time, in the order in which they fall due.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    /// By time and hash, so that the order is the same after a restore; different keys with one hash are rare.
    timers: BTreeMap<(Timestamp, u64), Vec<K>>,
}

impl<K> Timers<K> {
    pub(crate) const fn new() -> Timers<K> {
        Timers { timers: BTreeMap::new() }
    }
}

impl<K: Key> Timers<K> {
    pub(crate) fn register(&mut self, key: CurrentKey<'_, K>, at: Timestamp) {
        let keys = self.timers.entry((at, key.hash)).or_default();
        if !keys.contains(key.key) {
            keys.push(key.key.clone());
        }
    }

    pub(crate) fn delete(&mut self, key: CurrentKey<'_, K>, at: Timestamp) {
        if let Some(keys) = self.timers.get_mut(&(at, key.hash)) {
            keys.retain(|k| k != key.key);
            if keys.is_empty() {
                self.timers.remove(&(at, key.hash));
            }
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
        key.map(|key| (at, hash, key))
    }

    pub(crate) fn snapshot(&self, name: &str, context: &OperatorContext, snapshot: &mut Snapshot) -> Result<()> {
        let mut writer = GroupWriter::new(context);
        for ((at, hash), keys) in &self.timers {
            keys.iter().try_for_each(|key| writer.add(*hash, &(at, key)))?;
        }
        writer.finish_as::<(Timestamp, K)>(name, snapshot);
        Ok(())
    }

    pub(crate) fn restore(&mut self, name: &str, context: &OperatorContext, snapshot: &Snapshot) -> Result<()> {
        #[cfg(test)]
        if crate::testing::simulation::is_planted(crate::testing::simulation::Bug::TimersForgotten) {
            return Ok(());
        }
        read_groups(snapshot, name, context, |(at, key): (Timestamp, K)| {
            self.register(CurrentKey { hash: key.key_hash(), key: &key, now: Timestamp::MIN }, at);
        })
    }
}
