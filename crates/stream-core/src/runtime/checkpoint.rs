//! What a job needs to go on from the end of an epoch: positions of its sources and snapshots of its operators.
//!
//! An operator's subtask writes its snapshot when the barrier reaches it, and the sinks behind it flush after that. So
//! an epoch that is complete has all snapshots there will ever be; [`Gathering`] only has to put them in order. A
//! subtask that ended before the barrier came writes none: it has handed out everything it had, and must not do so
//! again after a restore (as FLIP-147).

use std::collections::{BTreeMap, BTreeSet};

use crate::operator::Snapshot;
use crate::runtime::coordinator::CompletedEpoch;
use crate::source::SplitPosition;

/// A job at the end of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The epoch that ended.
    pub(crate) epoch: u64,
    /// Per source uid, the positions of all its subtasks.
    positions: BTreeMap<String, Vec<SplitPosition>>,
    /// Per operator uid and subtask.
    operators: BTreeMap<String, BTreeMap<usize, Kept>>,
    /// Per uid, how many subtasks there were.
    parallelism: BTreeMap<String, usize>,
}

/// What a subtask left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    State(Snapshot),
    /// It had ended: it has nothing more to say.
    Finished,
}

impl Checkpoint {
    /// The positions of the source `uid`.
    pub(crate) fn positions(&self, uid: &str) -> &[SplitPosition] {
        self.positions.get(uid).map_or(&[], Vec::as_slice)
    }

    /// What subtask `subtask` of `parallelism` of the operator `uid` is to go on with.
    ///
    /// At the parallelism of the checkpoint that is what this very subtask has left. At another one it is everything:
    /// keyed state finds its part by key group.
    pub(crate) fn operator(&self, uid: &str, subtask: usize, parallelism: usize) -> Option<Kept> {
        let subtasks = self.operators.get(uid)?;
        if self.parallelism.get(uid) == Some(&parallelism) {
            return subtasks.get(&subtask).cloned();
        }
        if subtasks.values().all(|kept| *kept == Kept::Finished) {
            return Some(Kept::Finished);
        }
        let mut all = Snapshot::default();
        for kept in subtasks.values() {
            if let Kept::State(snapshot) = kept {
                all.merge(snapshot);
            }
        }
        Some(Kept::State(all))
    }
}

/// The parts of checkpoints under way.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    parallelism: BTreeMap<String, usize>,
    kept: BTreeMap<u64, BTreeMap<(String, usize), Kept>>,
    finished: BTreeSet<(String, usize)>,
    /// Epochs of which a part could not be written.
    failed: BTreeSet<u64>,
}

impl Gathering {
    /// For the operators with these uids and numbers of subtasks.
    pub(crate) fn new(parallelism: BTreeMap<String, usize>) -> Gathering {
        Gathering { parallelism, ..Gathering::default() }
    }

    pub(crate) fn add(&mut self, uid: String, subtask: usize, epoch: u64, kept: Kept) {
        self.kept.entry(epoch).or_default().insert((uid, subtask), kept);
    }

    pub(crate) fn finished(&mut self, uid: String, subtask: usize) {
        self.finished.insert((uid, subtask));
    }

    pub(crate) fn failed(&mut self, epoch: u64) {
        self.failed.insert(epoch);
    }

    /// The checkpoint of an epoch that is complete, unless a part of it failed.
    pub(crate) fn close(&mut self, completed: &CompletedEpoch) -> Option<Checkpoint> {
        let epoch = completed.epoch;
        let mut kept = self.kept.remove(&epoch).unwrap_or_default();
        // A barrier that was overtaken by the next one is complete with it.
        self.kept.retain(|other, _| *other > epoch);
        if self.failed.remove(&epoch) {
            return None;
        }
        for subtask in &self.finished {
            kept.entry(subtask.clone()).or_insert(Kept::Finished);
        }
        let mut operators: BTreeMap<String, BTreeMap<usize, Kept>> = BTreeMap::new();
        for ((uid, subtask), kept) in kept {
            operators.entry(uid).or_default().insert(subtask, kept);
        }
        let (positions, parallelism) = (completed.positions.clone(), self.parallelism.clone());
        Some(Checkpoint { epoch, positions, operators, parallelism })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(value: u8) -> Kept {
        let mut snapshot = Snapshot::default();
        snapshot.put(format!("v/{value}"), vec![value]);
        Kept::State(snapshot)
    }

    fn gathering() -> Gathering {
        Gathering::new([("o".to_owned(), 2)].into())
    }

    fn completed(epoch: u64) -> CompletedEpoch {
        CompletedEpoch { epoch, positions: BTreeMap::new() }
    }

    #[test]
    fn a_subtask_that_ended_before_its_barrier_is_finished_and_one_after_it_is_not() {
        let mut gathering = gathering();
        gathering.finished("o".into(), 0);
        gathering.add("o".into(), 1, 1, state(7));
        gathering.finished("o".into(), 1);
        let checkpoint = gathering.close(&completed(1)).expect("a checkpoint");
        assert_eq!(checkpoint.operator("o", 0, 2), Some(Kept::Finished));
        assert_eq!(checkpoint.operator("o", 1, 2), Some(state(7)));
        let next = gathering.close(&completed(2)).expect("a checkpoint");
        assert_eq!(next.operator("o", 1, 2), Some(Kept::Finished));
        assert_eq!(next.operator("o", 0, 3), Some(Kept::Finished));
    }

    #[test]
    fn at_another_parallelism_everybody_gets_everything() {
        let mut gathering = gathering();
        gathering.add("o".into(), 0, 1, state(1));
        gathering.add("o".into(), 1, 1, state(2));
        let checkpoint = gathering.close(&completed(1)).expect("a checkpoint");
        let Some(Kept::State(all)) = checkpoint.operator("o", 2, 3) else { panic!("state is there") };
        assert_eq!((all.get("v/1"), all.get("v/2")), (Some(&[1][..]), Some(&[2][..])));
        assert_eq!(checkpoint.operator("other", 0, 1), None);
    }

    #[test]
    fn a_checkpoint_with_a_part_that_failed_does_not_exist() {
        let mut gathering = gathering();
        gathering.failed(1);
        assert_eq!(gathering.close(&completed(1)), None);
        assert!(gathering.close(&completed(2)).is_some());
    }
}
