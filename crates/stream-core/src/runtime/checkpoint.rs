//! What a job needs to go on from the end of an epoch: positions of its sources and snapshots of its operators.
//!
//! An operator's subtask begins its snapshot when the barrier reaches it, and the sinks behind it flush after that. So
//! [`Gathering`] knows which snapshots are being written when an epoch seems complete, and waits for them. A
//! subtask that ended before the barrier came writes none: it has handed out everything it had, and must not do so
//! again after a restore (as FLIP-147).

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::operator::Snapshot;
use crate::runtime::coordinator::CompletedEpoch;
use crate::source::SplitPosition;

/// A job at the end of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    /// The epoch that ended.
    pub(crate) epoch: u64,
    /// Per source uid, the positions of all its subtasks.
    pub(crate) positions: BTreeMap<String, Vec<SplitPosition>>,
    /// Per operator uid and subtask.
    pub(crate) operators: BTreeMap<String, BTreeMap<usize, Kept>>,
    /// Per uid, how many subtasks there were.
    pub(crate) parallelism: BTreeMap<String, usize>,
    /// Per uid of a staged sink, what its subtasks have put aside to be published.
    pub(crate) staged: BTreeMap<String, Vec<Vec<u8>>>,
}

/// What a subtask left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    State(Snapshot),
    /// It had ended: it has nothing more to say.
    Finished,
}

impl Checkpoint {
    /// This one and the next, as if this one had never been taken.
    pub(crate) fn followed_by(mut self, mut next: Checkpoint) -> Checkpoint {
        for (uid, mut later) in std::mem::replace(&mut next.staged, self.staged) {
            next.staged.entry(uid).or_default().append(&mut later);
        }
        for (uid, subtasks) in &mut next.operators {
            for (subtask, later) in subtasks {
                let before = self.operators.get_mut(uid).and_then(|before| before.remove(subtask));
                later.go_on_from(before);
            }
        }
        next
    }

    /// Who would lose something if nobody took its part.
    pub(crate) fn uids_with_state(&self) -> Vec<&str> {
        let has_state = |kept: &Kept| matches!(kept, Kept::State(snapshot) if !snapshot.is_empty());
        let operators = self.operators.iter().filter(|(_, subtasks)| subtasks.values().any(has_state));
        let sources = self.positions.iter().filter(|(_, positions)| !positions.is_empty());
        let sinks = self.staged.iter().filter(|(_, staged)| !staged.is_empty());
        let mut uids: Vec<&str> = operators.map(|(uid, _)| uid.as_str()).collect();
        uids.extend(sources.map(|(uid, _)| uid.as_str()).chain(sinks.map(|(uid, _)| uid.as_str())));
        uids.sort_unstable();
        uids.dedup();
        uids
    }

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
        let all = || {
            let mut all = Snapshot::default();
            subtasks.values().filter_map(Kept::state).for_each(|snapshot| all.merge(snapshot));
            all
        };
        if self.parallelism.get(uid) == Some(&parallelism) {
            let mut own = subtasks.get(&subtask)?.clone();
            if let Kept::State(snapshot) = &mut own
                && !snapshot.lists().is_empty()
            {
                snapshot.take_unions(&all());
            }
            return Some(own);
        }
        if subtasks.values().all(|kept| *kept == Kept::Finished) {
            return Some(Kept::Finished);
        }
        let mut all = all();
        all.deal(subtask, parallelism);
        Some(Kept::State(all))
    }
}

impl Kept {
    pub(crate) fn state(&self) -> Option<&Snapshot> {
        match self {
            Kept::State(snapshot) => Some(snapshot),
            Kept::Finished => None,
        }
    }

    /// Makes this what is left of the state `before` and this.
    fn go_on_from(&mut self, before: Option<Kept>) {
        if let Kept::State(later) = self
            && let Some(Kept::State(mut before)) = before
        {
            before.follow(std::mem::take(later));
            *later = before;
        }
    }
}

/// By uid and subtask.
type BySubtask<V> = BTreeMap<(String, usize), V>;

/// The parts of checkpoints under way.
#[derive(Debug, Default)]
pub(crate) struct Gathering {
    parallelism: BTreeMap<String, usize>,
    /// By epoch, oldest first.
    kept: BTreeMap<u64, BySubtask<Kept>>,
    /// By epoch; by `u64::MAX` what a sink put aside when its input had ended.
    staged: BTreeMap<u64, BySubtask<Vec<Vec<u8>>>>,
    finished: BTreeSet<(String, usize)>,
    /// Who is writing a snapshot, of which epoch.
    expected: BTreeSet<(String, usize, u64)>,
    /// Epochs of which a part could not be written, and why.
    failed: BTreeMap<u64, Error>,
}

impl Gathering {
    /// For the operators with these uids and numbers of subtasks.
    pub(crate) fn new(parallelism: BTreeMap<String, usize>) -> Gathering {
        Gathering { parallelism, ..Gathering::default() }
    }

    /// A subtask has begun to write its snapshot.
    pub(crate) fn expect(&mut self, uid: String, subtask: usize, epoch: u64) {
        self.expected.insert((uid, subtask, epoch));
    }

    /// Whether a snapshot is still being written.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.expected.is_empty()
    }

    pub(crate) fn add(&mut self, uid: String, subtask: usize, epoch: u64, kept: Kept) {
        self.expected.remove(&(uid.clone(), subtask, epoch));
        self.kept.entry(epoch).or_default().insert((uid, subtask), kept);
    }

    pub(crate) fn finished(&mut self, uid: String, subtask: usize) {
        self.finished.insert((uid, subtask));
    }

    pub(crate) fn failed(&mut self, uid: String, subtask: usize, epoch: u64, error: Error) {
        self.expected.remove(&(uid, subtask, epoch));
        self.failed.entry(epoch).or_insert(error);
    }

    /// A sink's subtask has flushed an epoch and put this aside; told of every flush.
    pub(crate) fn staged(&mut self, uid: String, subtask: usize, epoch: u64, staged: Vec<Vec<u8>>) {
        self.staged.entry(epoch).or_default().insert((uid, subtask), staged);
    }

    /// The checkpoint of an epoch that is complete. It has what was kept and put aside in earlier epochs that came to
    /// nothing.
    ///
    /// # Errors
    /// Why a part of it is missing.
    pub(crate) fn close(&mut self, completed: &CompletedEpoch) -> Result<Checkpoint> {
        let epoch = completed.epoch;
        if let Some(error) = up_to(&mut self.failed, epoch).remove(&epoch) {
            return Err(error);
        }
        let mut kept: BTreeMap<(String, usize), Kept> = BTreeMap::new();
        for (_, later) in up_to(&mut self.kept, epoch) {
            for (subtask, mut later) in later {
                later.go_on_from(kept.remove(&subtask));
                kept.insert(subtask, later);
            }
        }
        for subtask in &self.finished {
            kept.entry(subtask.clone()).or_insert(Kept::Finished);
        }
        let mut operators: BTreeMap<String, BTreeMap<usize, Kept>> = BTreeMap::new();
        for ((uid, subtask), kept) in kept {
            operators.entry(uid).or_default().insert(subtask, kept);
        }
        let mut staged: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        let mut flushed = up_to(&mut self.staged, epoch);
        let with_barrier: BTreeSet<_> = flushed.get(&epoch).into_iter().flat_map(BTreeMap::keys).cloned().collect();
        if let Some(ended) = self.staged.get_mut(&u64::MAX) {
            // A sink that ended after the barrier has put that aside for the next epoch.
            let (before, after) =
                std::mem::take(ended).into_iter().partition(|(subtask, _)| !with_barrier.contains(subtask));
            *ended = after;
            flushed.insert(u64::MAX, before);
        }
        for ((uid, _), mut later) in flushed.into_values().flatten() {
            staged.entry(uid).or_default().append(&mut later);
        }
        let (positions, parallelism) = (completed.positions.clone(), self.parallelism.clone());
        Ok(Checkpoint { epoch, positions, operators, parallelism, staged })
    }
}

/// Takes what belongs to epochs up to `epoch`.
fn up_to<V>(by_epoch: &mut BTreeMap<u64, V>, epoch: u64) -> BTreeMap<u64, V> {
    let later = by_epoch.split_off(&(epoch.saturating_add(1)));
    std::mem::replace(by_epoch, later)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn state(value: u8) -> Kept {
        let mut snapshot = Snapshot::default();
        snapshot.put(format!("v/{value}"), vec![value]);
        Kept::State(snapshot)
    }

    fn failure() -> Error {
        Error::new(ErrorKind::Unavailable, "no room")
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
    fn what_a_sink_puts_aside_at_its_end_belongs_to_the_epoch_in_which_it_ends() {
        let mut gathering = gathering();
        gathering.staged("s".into(), 0, 1, vec![vec![1]]);
        gathering.staged("s".into(), 0, u64::MAX, vec![vec![2]]);
        gathering.staged("s".into(), 1, u64::MAX, vec![vec![3]]);
        let staged =
            |checkpoint: Result<Checkpoint>| checkpoint.ok().map(|c| c.staged.get("s").cloned().unwrap_or_default());
        assert_eq!(staged(gathering.close(&completed(1))), Some(vec![vec![1], vec![3]]));
        assert_eq!(staged(gathering.close(&completed(2))), Some(vec![vec![2]]));
        assert_eq!(staged(gathering.close(&completed(3))), Some(vec![]));
    }

    #[test]
    fn what_was_put_aside_in_an_epoch_that_failed_is_in_the_next() {
        let mut gathering = gathering();
        gathering.staged("s".into(), 0, 1, vec![vec![1]]);
        gathering.failed("o".into(), 0, 1, failure());
        assert!(gathering.close(&completed(1)).is_err());
        gathering.staged("s".into(), 0, 2, vec![vec![2]]);
        let checkpoint = gathering.close(&completed(2)).expect("a checkpoint");
        assert_eq!(checkpoint.staged["s"], [[1], [2]]);
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
    fn lists_are_dealt_out_and_unions_are_everybodys() {
        let part = |items: &[u8]| {
            let mut snapshot = Snapshot::default();
            snapshot.put("own", items.to_vec());
            snapshot.put_list("items", items.iter().map(|item| vec![*item]));
            snapshot.put_union("all", items.iter().map(|item| vec![*item]));
            Kept::State(snapshot)
        };
        let mut gathering = gathering();
        gathering.add("o".into(), 0, 1, part(&[1, 2, 3]));
        gathering.add("o".into(), 1, 1, part(&[4]));
        let checkpoint = gathering.close(&completed(1)).expect("a checkpoint");
        let get = |subtask, parallelism| {
            let kept = checkpoint.operator("o", subtask, parallelism);
            let snapshot = kept.as_ref().and_then(Kept::state).cloned().expect("state is there");
            let own = snapshot.get("own").map(<[u8]>::to_vec);
            let (items, all) = (
                snapshot.list("items").collect::<Vec<_>>().concat(),
                snapshot.union("all").collect::<Vec<_>>().concat(),
            );
            (own.unwrap_or_default(), items, all)
        };
        assert_eq!(get(0, 2), (vec![1, 2, 3], vec![1, 2, 3], vec![1, 2, 3, 4]));
        assert_eq!(get(1, 2), (vec![4], vec![4], vec![1, 2, 3, 4]));
        assert_eq!(get(0, 3), (vec![1, 2, 3], vec![1, 4], vec![1, 2, 3, 4]));
        assert_eq!(get(2, 3), (vec![1, 2, 3], vec![3], vec![1, 2, 3, 4]));
    }

    #[test]
    fn a_checkpoint_with_a_part_that_failed_does_not_exist() {
        let mut gathering = gathering();
        gathering.failed("o".into(), 0, 1, failure());
        assert!(gathering.close(&completed(1)).is_err());
        assert!(gathering.close(&completed(2)).is_ok());
    }
}
