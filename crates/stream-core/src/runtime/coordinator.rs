//! Epochs: when a barrier starts, and when everything before it is safe.
//!
//! [`Epochs`] is the pure core. It is told what sources and sinks report and answers with the positions
//! that may be committed; [`Coordinator`] adds the clock and the commits. [`Control`] and [`Reporter`] are the two thin wires to the
//! subtasks:
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
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::operator::OperatorContext;
use crate::runtime::build::Build;
use crate::runtime::checkpoint::{Checkpoint, Gathering, Kept};
use crate::runtime::control::Control;
use crate::runtime::link::guard;
use crate::runtime::schedule::{Action, Rhythm, Schedule};
use crate::runtime::storing::Stored;
use crate::source::{Committer, SplitPosition};

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
    /// None if no checkpoints are taken: an epoch is over when every sink has flushed it.
    gathering: Option<Gathering>,
    schedule: Schedule,
    phase: Phase,
    request: Option<Request>,
    /// The epoch after which nothing may follow, once it has begun.
    last: Option<u64>,
    /// The last checkpoint is stored.
    is_finished: bool,
    final_positions: Option<CompletedEpoch>,
    /// Threads, or whatever else drives a slot, that have not ended.
    alive: usize,
    counts: CheckpointCounts,
    /// Who is to be told of the checkpoint under way.
    demands: Vec<Demand>,
}

/// How far the end of an epoch has come.
enum Phase {
    Between,
    /// The barrier is on its way, the sinks are flushing.
    Gathering,
    /// The checkpoint is being stored.
    Storing(CompletedEpoch),
    /// It has failed, and there is no later one: it is tried again then.
    Waiting(CompletedEpoch, Duration, Again),
}

#[derive(Clone, Copy)]
enum Again {
    Gather,
    Store,
}

/// What the coordinator wants stored.
#[derive(Debug)]
pub(crate) enum Request {
    Store(Box<Checkpoint>),
    /// The one before again.
    Again,
}

/// Who has asked for a checkpoint, and is to be told its number.
pub(crate) type Demand = mpsc::Sender<Result<u64>>;

/// How many checkpoints there were, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckpointCounts {
    /// Durable, and published where sinks waited for that.
    pub completed: u64,
    /// Given up, or not stored.
    pub failed: u64,
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.control.refuse_demands();
    }
}

impl Coordinator {
    pub(crate) fn new(job: &str, control: Arc<Control>) -> Coordinator {
        Coordinator {
            job: job.to_owned(),
            control,
            epochs: Epochs::default(),
            committers: Committers::new(),
            gathering: None,
            schedule: Schedule::never(),
            phase: Phase::Between,
            request: None,
            last: None,
            is_finished: false,
            final_positions: None,
            alive: 0,
            counts: CheckpointCounts::default(),
            demands: Vec::new(),
        }
    }

    /// Takes over what was built; `alive` drivers of slots will report their end. Without a `rhythm` epochs end as
    /// often as the sources want to store their positions.
    pub(crate) fn begin(&mut self, build: &mut Build, rhythm: Option<Rhythm>, alive: usize, now: Duration) {
        self.epochs = std::mem::take(&mut build.epochs);
        self.gathering = build.takes_checkpoints().then(|| Gathering::new(build.parallelism()));
        self.committers = std::mem::take(&mut build.committers);
        self.alive = alive;
        let first_soon = rhythm.is_some();
        let rhythm = rhythm.or_else(|| {
            let interval = self.committers.iter().map(|(_, c)| c.interval()).min()?;
            Some(Rhythm { interval, min_pause: Duration::ZERO, timeout: None, tolerable: None })
        });
        if let Some(rhythm) = rhythm {
            self.schedule = Schedule::new(rhythm, first_soon, now);
        }
        if first_soon && build.begins_anew() {
            // A crash must not make a job that begins at the end of a topic begin at a later end.
            self.control.hold();
            self.schedule.demand();
        }
    }

    /// Ends an epoch at least so often from now on.
    #[cfg(feature = "testing")]
    pub(crate) fn shorten_interval(&mut self, interval: Duration, now: Duration) {
        self.schedule.shorten(interval, now);
    }

    /// What became of the checkpoints so far.
    pub(crate) fn counts(&self) -> CheckpointCounts {
        self.counts
    }

    /// Whether all drivers have ended, so that [`Coordinator::finish`] is due.
    pub(crate) fn is_over(&self) -> bool {
        self.alive == 0 && self.gathering.is_none() || self.is_finished
    }

    /// What is to be stored now, if anything is; the answer is a [`Report::Stored`].
    pub(crate) fn take_request(&mut self) -> Option<Request> {
        self.request.take()
    }

    /// When [`Coordinator::tick`] has something to do next.
    pub(crate) fn due(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Waiting(_, until, _) => Some(*until),
            Phase::Between if self.wants_last() => Some(Duration::ZERO),
            _ => self.schedule.due(),
        }
    }

    /// Whether the job ends with a checkpoint, and that one has not begun.
    fn wants_last(&self) -> bool {
        let ends = self.alive == 0 || self.control.is_stopping() && self.control.ends_with_checkpoint();
        self.gathering.is_some() && self.last.is_none() && ends && !self.control.is_aborting()
    }

    /// Begins and gives up what is due.
    ///
    /// # Errors
    /// If too many checkpoints in a row have failed.
    pub(crate) fn tick(&mut self, now: Duration) -> Result<()> {
        if let Phase::Waiting(_, until, _) = self.phase {
            if until > now {
                return Ok(());
            }
            self.note_begun(now);
            return match std::mem::replace(&mut self.phase, Phase::Between) {
                Phase::Waiting(completed, _, Again::Gather) => self.gathered(completed, now),
                Phase::Waiting(completed, _, Again::Store) => {
                    self.phase = Phase::Storing(completed);
                    self.request = Some(Request::Again);
                    Ok(())
                }
                phase => {
                    self.phase = phase;
                    Ok(())
                }
            };
        }
        if matches!(self.phase, Phase::Between) && self.wants_last() {
            if self.alive == 0 {
                return self.begin_final(now);
            }
            self.schedule.demand();
        }
        if self.last.is_some() && matches!(self.phase, Phase::Between) {
            return Ok(());
        }
        if matches!(self.phase, Phase::Between) && self.control.has_demands() {
            self.schedule.demand();
        }
        match self.schedule.decide(now) {
            None => {}
            Some(Action::Begin) => {
                let epoch = self.epochs.start();
                if self.wants_last() {
                    self.last = Some(epoch);
                }
                self.phase = Phase::Gathering;
                self.demands.append(&mut self.control.take_demands());
                self.control.start_barrier(epoch);
            }
            Some(Action::GiveUp) if matches!(self.phase, Phase::Gathering) => {
                let epoch = self.epochs.give_up();
                let message = format!("the checkpoint of epoch {epoch} is given up: barriers or sinks took too long");
                let hint = "look for a slow sink or back pressure, or raise execution.checkpointing.timeout";
                self.phase = Phase::Between;
                self.last = None;
                self.control.release(epoch);
                self.failed(Error::new(ErrorKind::Unavailable, message).with_hint(hint), now)?;
            }
            Some(Action::GiveUp) => {
                tracing::warn!("the checkpoint store takes longer than execution.checkpointing.timeout");
                self.schedule.wait();
            }
        }
        Ok(())
    }

    /// Every source has ended: the last epoch is complete.
    fn begin_final(&mut self, now: Duration) -> Result<()> {
        let Some(last) = self.epochs.finish() else {
            return Err(Error::internal("the job has ended, but not every sink has flushed"));
        };
        self.last = Some(last.epoch);
        self.note_begun(now);
        self.gathered(last, now)
    }

    /// A checkpoint is under way that the schedule has not asked for: it must not ask for another one.
    fn note_begun(&mut self, now: Duration) {
        self.schedule.demand();
        self.schedule.decide(now);
    }

    /// Takes note of a report, and goes on with the epoch that it completes.
    pub(crate) fn on_report(&mut self, report: Report, now: Duration) -> Result<()> {
        match report {
            Report::Failed(error) => return Err(error),
            Report::ThreadEnded => self.alive -= 1,
            Report::Positions { uid, subtask, epoch, positions } => {
                self.epochs.positions(uid, subtask, epoch, positions);
            }
            Report::Flushed { uid, subtask, epoch, staged } => {
                if let Some(gathering) = &mut self.gathering {
                    gathering.staged(uid.clone(), subtask, epoch, staged);
                }
                self.epochs.flushed(uid, subtask, epoch);
            }
            Report::Keeping { uid, subtask, epoch } => {
                if let Some(gathering) = &mut self.gathering {
                    gathering.expect(uid, subtask, epoch);
                }
            }
            Report::Kept { uid, subtask, epoch, kept } => {
                if let Some(gathering) = &mut self.gathering {
                    gathering.add(uid, subtask, epoch, kept);
                }
            }
            Report::Finished { uid, subtask } => {
                if let Some(gathering) = &mut self.gathering {
                    gathering.finished(uid, subtask);
                }
            }
            Report::SnapshotFailed { uid, subtask, epoch, error } => {
                if let Some(gathering) = &mut self.gathering {
                    gathering.failed(uid, subtask, epoch, error);
                }
            }
            Report::Stored(stored) => return self.stored(stored, now),
        }
        if self.gathering.as_ref().is_some_and(Gathering::is_waiting) {
            return Ok(());
        }
        match self.epochs.complete() {
            Some(completed) => self.gathered(completed, now),
            None => Ok(()),
        }
    }

    /// Every part of an epoch is there.
    fn gathered(&mut self, completed: CompletedEpoch, now: Duration) -> Result<()> {
        if self.gathering.is_none() {
            self.phase = Phase::Between;
            self.schedule.completed(now);
            return self.commit(&completed);
        }
        // Before the parts are taken: what fails here is in the next checkpoint.
        for (operator, committer) in &mut self.committers {
            match guard(|| committer.prepare()).map_err(|e| e.at(|| operator.place(None))) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    return self.not_gathered(completed, error, now);
                }
                Err(error) => return Err(error),
            }
        }
        let Some(gathering) = &mut self.gathering else { return Ok(()) };
        match gathering.close(&completed) {
            Ok(checkpoint) => {
                self.request = Some(Request::Store(Box::new(checkpoint)));
                self.phase = Phase::Storing(completed);
                Ok(())
            }
            Err(error) => self.not_gathered(completed, error, now),
        }
    }

    /// A complete epoch has come to nothing; the last one is tried again.
    fn not_gathered(&mut self, completed: CompletedEpoch, error: Error, now: Duration) -> Result<()> {
        self.control.release(completed.epoch);
        self.failed(error, now)?;
        self.phase = match self.alive {
            0 if self.last.is_some() => Phase::Waiting(completed, now + COMMIT_RETRY, Again::Gather),
            _ => Phase::Between,
        };
        self.last = self.last.filter(|_| self.alive == 0);
        Ok(())
    }

    fn stored(&mut self, stored: Result<Stored>, now: Duration) -> Result<()> {
        let Phase::Storing(completed) = std::mem::replace(&mut self.phase, Phase::Between) else {
            return Err(Error::internal("a checkpoint was stored that nobody asked for"));
        };
        let is_last = self.last.is_some_and(|last| last <= completed.epoch);
        self.control.release(completed.epoch);
        match stored {
            Ok(stored) => {
                self.control.let_read();
                self.counts.completed += 1;
                let Stored { sequence, epoch, bytes } = stored;
                for demand in self.demands.drain(..) {
                    // Who does not wait any more need not be told.
                    let _ = demand.send(Ok(sequence));
                }
                match self.counts.completed {
                    // People want to see that it works; after that they have the list of checkpoints.
                    1 => tracing::info!(epoch, bytes, "checkpoint {sequence} is complete, the first of this run"),
                    _ => tracing::debug!(epoch, bytes, "checkpoint {sequence} is complete"),
                }
                self.schedule.completed(now);
                if is_last {
                    self.is_finished = true;
                    self.final_positions = Some(completed);
                    return Ok(());
                }
                self.commit(&completed)
            }
            Err(error) if error.kind() != ErrorKind::Unavailable => Err(error),
            Err(error) => {
                self.failed(error, now)?;
                if is_last {
                    self.phase = Phase::Waiting(completed, now + COMMIT_RETRY, Again::Store);
                }
                Ok(())
            }
        }
    }

    /// A checkpoint has come to nothing.
    fn failed(&mut self, error: Error, now: Duration) -> Result<()> {
        let too_many = self.schedule.failed(now);
        self.counts.failed += 1;
        for demand in self.demands.drain(..) {
            let told = Error::new(error.kind(), error.message().to_owned());
            let _ = demand.send(Err(told));
        }
        let (in_a_row, failed) = (self.schedule.failures_in_a_row(), self.counts.failed);
        if too_many {
            let message = format!("{in_a_row} checkpoints in a row have failed; the last: {}", error.message());
            let hint = error.hint().unwrap_or("execution.checkpointing.tolerable-failed-checkpoints says how many may");
            return Err(Error::new(ErrorKind::Unavailable, message).with_hint(hint.to_owned()).with_cause(error));
        }
        tracing::warn!(failed, in_a_row, "no checkpoint, the next one tries again: {error}");
        Ok(())
    }

    /// Lets every source store its positions. An outside system that is away now is tried again with the next epoch.
    fn commit(&mut self, completed: &CompletedEpoch) -> Result<()> {
        if self.control.is_aborting() {
            return Ok(());
        }
        // With checkpoints that came before the parts were taken.
        let is_prepared = self.gathering.is_some();
        for (operator, committer) in &mut self.committers {
            match commit_one(operator, &mut **committer, completed, is_prepared) {
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
        let last = match self.final_positions.take() {
            Some(last) => last,
            None => self
                .epochs
                .finish()
                .ok_or_else(|| Error::internal("the job has ended, but not every sink has flushed"))?,
        };
        let is_prepared = self.gathering.is_some();
        for (operator, committer) in &mut self.committers {
            while let Err(error) = commit_one(operator, &mut **committer, &last, is_prepared) {
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

fn commit_one(
    operator: &OperatorContext,
    committer: &mut dyn Committer,
    completed: &CompletedEpoch,
    is_prepared: bool,
) -> Result<()> {
    let positions = completed.positions.get(operator.uid()).map_or(&[][..], Vec::as_slice);
    let commit = || {
        if !is_prepared {
            committer.prepare()?;
        }
        committer.commit(completed.epoch, positions)
    };
    guard(commit).map_err(|e| e.at(|| operator.place(None)))?;
    tracing::debug!(epoch = completed.epoch, uid = operator.uid(), "positions committed");
    Ok(())
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
        /// What was put aside to be published with the checkpoint.
        staged: Vec<Vec<u8>>,
    },
    /// A subtask of an operator writes its snapshot of the end of `epoch`.
    Keeping {
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
        uid: String,
        subtask: usize,
        epoch: u64,
        error: Error,
    },
    /// A subtask of an operator has handed out all it had.
    Finished {
        uid: String,
        subtask: usize,
    },
    /// The answer to a [`Request`].
    Stored(Result<Stored>),
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

    pub(crate) fn flushed(&self, uid: &str, subtask: usize, epoch: u64, staged: Vec<Vec<u8>>) {
        self.send(Report::Flushed { uid: uid.to_owned(), subtask, epoch, staged });
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

    /// Starts the end of the next epoch.
    pub(crate) fn start(&mut self) -> u64 {
        self.current += 1;
        self.current
    }

    /// The epoch under way comes to nothing; the next one has its records, too. Returns which one it was.
    pub(crate) fn give_up(&mut self) -> u64 {
        self.completed = self.current;
        self.current
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
        vec![SplitPosition::new("t[0]", next)]
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
        assert_eq!(epochs.start(), 1);
        epochs.positions("src".into(), 0, 1, at(7));
        epochs.flushed("snk".into(), 0, 1);
        assert_eq!(epochs.complete(), None);
        epochs.flushed("snk".into(), 1, 1);
        let completed = epochs.complete().expect("complete");
        assert_eq!((completed.epoch, &completed.positions["src"]), (1, &at(7)));
        assert_eq!(epochs.complete(), None, "only once");
        assert_eq!(epochs.start(), 2);
    }

    #[test]
    fn a_source_that_ends_while_sinks_flush_is_committed_at_the_barrier_only() {
        let mut epochs = epochs();
        assert_eq!(epochs.start(), 1);
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
        assert_eq!(epochs.start(), 1);
        assert_eq!((epochs.complete(), epochs.finish()), (None, None));
        epochs.flushed("snk".into(), 1, u64::MAX);
        assert_eq!(epochs.finish().map(|c| c.positions["src"].clone()), Some(at(9)));
    }
}
