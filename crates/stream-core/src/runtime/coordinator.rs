//! Epochs: when a barrier starts, and when everything before it is safe.
//!
//! [`Epochs`] is the pure core. It is told what sources and sinks report and answers with the positions
//! that may be committed. [`Control`] and [`Reporter`] are the two thin wires to the subtasks:
//!
//! ```text
//!   coordinator --- Control: epoch k begins, stop, abort --> source subtasks
//!   source subtasks --- Reporter: positions at k ---------> coordinator
//!   sink subtasks ----- Reporter: flushed up to k --------> coordinator --- commit(k) --> sources' committers
//! ```
//!
//! One epoch is under way at a time. A subtask that has ended has reported epoch `u64::MAX`, which is
//! after every other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use crate::error::Error;
use crate::source::SplitPosition;
use crate::thread::Waker;

/// What the coordinator and the job's handle tell the subtasks.
#[derive(Default)]
pub(crate) struct Control {
    epoch: AtomicU64,
    stopping: AtomicBool,
    aborting: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Control {
    /// Whoever must notice a change at once adds a waker.
    pub(crate) fn add_waker(&self, waker: Waker) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
    }

    fn wake_all(&self) {
        for waker in self.wakers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            waker.wake();
        }
    }

    /// The epoch that sources should have closed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn start_barrier(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Release);
        self.wake_all();
    }

    /// Whether sources should end where they are.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Whether to drop everything now.
    pub(crate) fn is_aborting(&self) -> bool {
        self.aborting.load(Ordering::Acquire)
    }

    pub(crate) fn abort(&self) {
        self.aborting.store(true, Ordering::Release);
        self.stop();
    }
}

/// What subtasks and threads tell the coordinator.
pub(crate) enum Report {
    Positions {
        uid: String,
        subtask: usize,
        epoch: u64,
        positions: Vec<SplitPosition>,
    },
    Flushed {
        uid: String,
        subtask: usize,
        epoch: u64,
    },
    /// A thread's subtasks are all done, or the thread gave up.
    ThreadEnded,
    Failed(Error),
}

/// The subtasks' end of the wire to the coordinator.
pub(crate) struct Reporter(Mutex<mpsc::Sender<Report>>);

impl Reporter {
    pub(crate) fn new(reports: mpsc::Sender<Report>) -> Reporter {
        Reporter(Mutex::new(reports))
    }

    pub(crate) fn send(&self, report: Report) {
        // A coordinator that is gone has already stopped the job; nobody is left to tell.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).send(report);
    }

    pub(crate) fn positions(&self, uid: &str, subtask: usize, epoch: u64, positions: Vec<SplitPosition>) {
        self.send(Report::Positions { uid: uid.to_owned(), subtask, epoch, positions });
    }

    pub(crate) fn flushed(&self, uid: &str, subtask: usize, epoch: u64) {
        self.send(Report::Flushed { uid: uid.to_owned(), subtask, epoch });
    }
}

/// Which reports an epoch still waits for.
#[derive(Default)]
pub(crate) struct Epochs {
    sources: BTreeMap<(String, usize), Source>,
    sinks: BTreeMap<(String, usize), u64>,
    current: u64,
    completed: u64,
}

/// What one source subtask has reported and no completed epoch has used up, oldest first: at most the
/// epoch under way and the end. Both are needed, because a source may end while the records before the
/// barrier are still being flushed, and then its last positions are not yet safe.
#[derive(Default)]
struct Source(VecDeque<(u64, Vec<SplitPosition>)>);

impl Source {
    /// The positions at the barrier of `epoch`, or at the end for a source that has ended before it.
    fn at(&self, epoch: u64) -> Option<&[SplitPosition]> {
        self.0.iter().find(|(reported, _)| *reported >= epoch).map(|(_, positions)| positions.as_slice())
    }
}

/// An epoch all of whose records are safe in every sink.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CompletedEpoch {
    pub(crate) epoch: u64,
    /// Per source uid, the positions of all its subtasks.
    pub(crate) positions: BTreeMap<String, Vec<SplitPosition>>,
}

impl Epochs {
    pub(crate) fn add_source(&mut self, uid: &str, subtask: usize) {
        self.sources.insert((uid.to_owned(), subtask), Source::default());
    }

    pub(crate) fn add_sink(&mut self, uid: &str, subtask: usize) {
        self.sinks.insert((uid.to_owned(), subtask), 0);
    }

    /// Starts the next epoch's end, unless one is under way.
    pub(crate) fn start(&mut self) -> Option<u64> {
        if self.current > self.completed {
            return None;
        }
        self.current += 1;
        Some(self.current)
    }

    pub(crate) fn positions(&mut self, uid: String, subtask: usize, epoch: u64, positions: Vec<SplitPosition>) {
        self.sources.entry((uid, subtask)).or_default().0.push_back((epoch, positions));
    }

    pub(crate) fn flushed(&mut self, uid: String, subtask: usize, epoch: u64) {
        self.sinks.insert((uid, subtask), epoch);
    }

    /// The epoch under way, once every source has reported and every sink has flushed it.
    pub(crate) fn complete(&mut self) -> Option<CompletedEpoch> {
        (self.current > self.completed && self.reached(self.current)).then(|| self.close())
    }

    /// The last epoch, once everything has ended.
    pub(crate) fn finish(&mut self) -> Option<CompletedEpoch> {
        self.reached(u64::MAX).then(|| {
            self.current = self.completed + 1;
            let positions = self.positions_at(u64::MAX);
            self.completed = self.current;
            CompletedEpoch { epoch: self.current, positions }
        })
    }

    fn reached(&self, epoch: u64) -> bool {
        self.sources.values().all(|s| s.at(epoch).is_some()) && self.sinks.values().all(|s| *s >= epoch)
    }

    fn close(&mut self) -> CompletedEpoch {
        let positions = self.positions_at(self.current);
        self.completed = self.current;
        for Source(reports) in self.sources.values_mut() {
            reports.retain(|(epoch, _)| *epoch > self.completed);
        }
        CompletedEpoch { epoch: self.completed, positions }
    }

    fn positions_at(&self, epoch: u64) -> BTreeMap<String, Vec<SplitPosition>> {
        let mut positions: BTreeMap<String, Vec<SplitPosition>> = BTreeMap::new();
        for ((uid, _), source) in &self.sources {
            positions.entry(uid.clone()).or_default().extend_from_slice(source.at(epoch).unwrap_or_default());
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(next: i64) -> Vec<SplitPosition> {
        vec![SplitPosition { split: "t[0]".into(), next }]
    }

    fn epochs() -> Epochs {
        let mut epochs = Epochs::default();
        epochs.add_source("src", 0);
        epochs.add_sink("snk", 0);
        epochs.add_sink("snk", 1);
        epochs
    }

    #[test]
    fn an_epoch_completes_when_every_sink_has_flushed() {
        let mut epochs = epochs();
        assert_eq!(epochs.start(), Some(1));
        assert_eq!(epochs.start(), None, "one epoch at a time");
        epochs.positions("src".into(), 0, 1, at(7));
        epochs.flushed("snk".into(), 0, 1);
        assert_eq!(epochs.complete(), None);
        epochs.flushed("snk".into(), 1, 1);
        let completed = epochs.complete().expect("complete");
        assert_eq!((completed.epoch, &completed.positions["src"]), (1, &at(7)));
        assert_eq!(epochs.complete(), None, "only once");
        assert_eq!(epochs.start(), Some(2));
    }

    #[test]
    fn a_source_that_ends_while_sinks_flush_is_committed_at_the_barrier_only() {
        let mut epochs = epochs();
        assert_eq!(epochs.start(), Some(1));
        epochs.positions("src".into(), 0, 1, at(7));
        epochs.flushed("snk".into(), 0, 1);
        // What was read from 7 to 9 is on its way to the sinks when the first epoch completes.
        epochs.positions("src".into(), 0, u64::MAX, at(9));
        epochs.flushed("snk".into(), 1, 1);
        assert_eq!(epochs.complete().map(|c| c.positions["src"].clone()), Some(at(7)));
        epochs.flushed("snk".into(), 0, u64::MAX);
        epochs.flushed("snk".into(), 1, u64::MAX);
        assert_eq!(epochs.finish().map(|c| (c.epoch, c.positions["src"].clone())), Some((2, at(9))));
    }

    #[test]
    fn what_has_ended_counts_for_every_later_epoch() {
        let mut epochs = epochs();
        epochs.positions("src".into(), 0, u64::MAX, at(9));
        epochs.flushed("snk".into(), 0, u64::MAX);
        assert_eq!(epochs.start(), Some(1));
        assert_eq!((epochs.complete(), epochs.finish()), (None, None));
        epochs.flushed("snk".into(), 1, u64::MAX);
        assert_eq!(epochs.finish().map(|c| c.positions["src"].clone()), Some(at(9)));
    }
}
