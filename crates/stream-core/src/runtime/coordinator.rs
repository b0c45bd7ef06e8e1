//! Epochs: when a barrier starts, and when everything before it is safe.
//!
//! [`Epochs`] is the pure core. It is told what sources and sinks report and answers with the positions
//! that may be committed; [`Coordinator`] adds the clock and the commits. [`Control`] and [`Reporter`] are the two thin wires to the subtasks:
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
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::operator::OperatorContext;
use crate::runtime::build::Build;
use crate::runtime::checkpoint::{Checkpoint, Gathering, Kept};
use crate::runtime::link::guard;
use crate::source::{Committer, SplitPosition};
use crate::thread::Waker;

/// How long to wait before a final commit is tried again.
const COMMIT_RETRY: Duration = Duration::from_millis(500);

/// Who stores the positions of which source.
pub(crate) type Committers = Vec<(OperatorContext, Box<dyn Committer>)>;

/// The job's control loop, without the waiting: whoever drives the subtasks hands it reports and the time.
pub(crate) struct Coordinator {
    job: String,
    control: Arc<Control>,
    epochs: Epochs,
    committers: Committers,
    gathering: Gathering,
    /// The latest one.
    checkpoint: Option<Arc<Checkpoint>>,
    interval: Option<Duration>,
    next_epoch: Option<Duration>,
    /// Threads, or whatever else drives a slot, that have not ended.
    alive: usize,
}

impl Coordinator {
    pub(crate) fn new(job: &str, control: Arc<Control>) -> Coordinator {
        Coordinator {
            job: job.to_owned(),
            control,
            epochs: Epochs::default(),
            committers: Committers::new(),
            gathering: Gathering::default(),
            checkpoint: None,
            interval: None,
            next_epoch: None,
            alive: 0,
        }
    }

    /// Takes over what was built; `alive` drivers of slots will report their end.
    pub(crate) fn begin(&mut self, build: &mut Build, alive: usize, now: Duration) {
        self.epochs = std::mem::take(&mut build.epochs);
        self.gathering = Gathering::new(build.parallelism());
        self.checkpoint = build.restored.clone();
        self.committers = std::mem::take(&mut build.committers);
        self.alive = alive;
        self.interval = self.committers.iter().map(|(_, c)| c.interval()).chain(self.interval).min();
        self.next_epoch = self.interval.map(|interval| now + interval);
    }

    /// Sets how often an epoch ends at least, before the job begins.
    #[cfg(feature = "testing")]
    pub(crate) fn set_interval(&mut self, interval: Duration) {
        self.interval = Some(interval);
    }

    /// The same while the job runs.
    #[cfg(feature = "testing")]
    pub(crate) fn shorten_interval(&mut self, interval: Duration, now: Duration) {
        self.interval = self.interval.into_iter().chain([interval]).min();
        self.next_epoch = self.next_epoch.into_iter().chain([now + interval]).min();
    }

    /// The checkpoint of the last epoch that has one.
    #[cfg(feature = "testing")]
    pub(crate) fn checkpoint(&self) -> Option<Arc<Checkpoint>> {
        self.checkpoint.clone()
    }

    /// Whether all drivers have ended, so that [`Coordinator::finish`] is due.
    pub(crate) fn is_over(&self) -> bool {
        self.alive == 0
    }

    /// When [`Coordinator::tick`] has something to do next.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.next_epoch
    }

    /// Starts the end of an epoch if it is time and none is under way.
    pub(crate) fn tick(&mut self, now: Duration) {
        let (Some(interval), Some(due)) = (self.interval, self.next_epoch) else { return };
        if now < due {
            return;
        }
        self.next_epoch = Some(now + interval);
        if let Some(epoch) = self.epochs.start() {
            self.control.start_barrier(epoch);
        }
    }

    /// Takes note of a report, and commits the epoch that it completes.
    pub(crate) fn on_report(&mut self, report: Report) -> Result<()> {
        match report {
            Report::Failed(error) => return Err(error),
            Report::ThreadEnded => self.alive -= 1,
            Report::Positions { uid, subtask, epoch, positions } => {
                self.epochs.positions(uid, subtask, epoch, positions);
            }
            Report::Flushed { uid, subtask, epoch } => self.epochs.flushed(uid, subtask, epoch),
            Report::Kept { uid, subtask, epoch, kept } => self.gathering.add(uid, subtask, epoch, kept),
            Report::Finished { uid, subtask } => self.gathering.finished(uid, subtask),
            Report::SnapshotFailed { epoch, error } => {
                tracing::warn!(epoch, "no checkpoint, the next epoch tries again: {error}");
                self.gathering.failed(epoch);
            }
        }
        let Some(completed) = self.epochs.complete() else { return Ok(()) };
        if let Some(checkpoint) = self.gathering.close(&completed) {
            self.checkpoint = Some(Arc::new(checkpoint));
        }
        self.commit(&completed)
    }

    /// Lets every source store its positions. An outside system that is away now is tried again with the next epoch.
    fn commit(&mut self, completed: &CompletedEpoch) -> Result<()> {
        if self.control.is_aborting() {
            return Ok(());
        }
        for (operator, committer) in &mut self.committers {
            match commit_one(operator, &mut **committer, completed) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    let (epoch, uid) = (completed.epoch, operator.uid());
                    tracing::warn!(epoch, uid, "positions not committed, the next epoch tries again: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Commits the final positions and returns how many epochs were completed. `wait` waits before a commit is tried
    /// again.
    pub(crate) fn finish(&mut self, mut wait: impl FnMut(Duration)) -> Result<u64> {
        if self.control.is_aborting() {
            return Err(self.aborted());
        }
        let Some(last) = self.epochs.finish() else {
            return Err(Error::internal("the job has ended, but not every sink has flushed"));
        };
        for (operator, committer) in &mut self.committers {
            while let Err(error) = commit_one(operator, &mut **committer, &last) {
                if error.kind() != ErrorKind::Unavailable {
                    return Err(error);
                }
                if self.control.is_aborting() {
                    return Err(aborted(&self.job).with_cause(error));
                }
                tracing::warn!(uid = operator.uid(), "final positions not committed yet: {error}");
                wait(COMMIT_RETRY);
            }
        }
        Ok(last.epoch)
    }

    pub(crate) fn aborted(&self) -> Error {
        aborted(&self.job)
    }
}

fn aborted(job: &str) -> Error {
    Error::new(ErrorKind::User, format!("job `{job}` was aborted"))
        .with_hint("what was read since the last commit is read again by the next run")
}

fn commit_one(operator: &OperatorContext, committer: &mut dyn Committer, completed: &CompletedEpoch) -> Result<()> {
    let positions = completed.positions.get(operator.uid()).map_or(&[][..], Vec::as_slice);
    guard(|| committer.commit(completed.epoch, positions)).map_err(|e| e.at(|| operator.place(None)))?;
    tracing::debug!(epoch = completed.epoch, uid = operator.uid(), "positions committed");
    Ok(())
}

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
    /// What a subtask of an operator needs to go on from the end of `epoch`.
    Kept {
        uid: String,
        subtask: usize,
        epoch: u64,
        kept: Kept,
    },
    /// A subtask could not write its snapshot.
    SnapshotFailed {
        epoch: u64,
        error: Error,
    },
    /// A subtask of an operator has handed out all it had.
    Finished {
        uid: String,
        subtask: usize,
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
    /// Goes on after an epoch of an earlier run.
    pub(crate) fn after(epoch: u64) -> Epochs {
        Epochs { current: epoch, completed: epoch, ..Epochs::default() }
    }

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
