//! Where records come from: a [`Source`] makes one [`SourceReader`] per subtask.
//!
//! Readers are polled, never waited for: one that has nothing says so and wakes its subtask when
//! that changes. Positions are reported at barriers; once every sink has flushed what came before
//! them, the source's [`Committer`] may store them outside.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::clock::Clock;
use crate::error::Result;
use crate::operator::{Barrier, OperatorContext};
use crate::sink::Released;
use crate::thread::Waker;
use crate::time::Timestamp;

/// A source of records of type `T`, described once per job.
pub trait Source<T>: Send {
    /// Opens the source and makes exactly `context.parallelism()` readers, in subtask order.
    ///
    /// Called once, when the job starts; may wait for outside systems.
    ///
    /// # Errors
    /// `Config` for settings that can't work, `Unavailable` if the outside system does not answer.
    fn open(&mut self, context: &SourceContext) -> Result<Opened<T>>;

    /// Asks the outside system, for at most `limit`, whether the job could start: for people who check before they run.
    /// Starts nothing and changes nothing. Returns what was found, in a few words.
    ///
    /// # Errors
    /// As [`open`](Source::open) would give.
    fn check(&mut self, _limit: Duration) -> Result<String> {
        Ok("nothing to ask".to_owned())
    }

    /// What people read in the plan besides the name, such as the topics.
    fn describe(&self) -> String {
        String::new()
    }
}

/// An open source.
pub struct Opened<T> {
    /// One reader per subtask.
    pub readers: Vec<Box<dyn SourceReader<T>>>,
    /// Stores positions outside after sinks have flushed, if the source wants that.
    pub committer: Option<Box<dyn Committer>>,
}

/// What a source learns about its job when it is opened.
pub struct SourceContext {
    operator: OperatorContext,
    wakers: Vec<Waker>,
    stopping: Arc<dyn Fn() -> bool + Send + Sync>,
    released: Released,
    positions: Option<Vec<SplitPosition>>,
}

impl SourceContext {
    /// A context with one waker per subtask; `stopping` tells a source that waits for something to give up.
    pub fn new(
        operator: OperatorContext,
        wakers: Vec<Waker>,
        stopping: impl Fn() -> bool + Send + Sync + 'static,
    ) -> SourceContext {
        SourceContext { operator, wakers, stopping: Arc::new(stopping), released: Arc::new(|_| true), positions: None }
    }

    /// The same context in a job where `released` tells whether an epoch is decided.
    #[must_use]
    pub fn released_by(self, released: impl Fn(u64) -> bool + Send + Sync + 'static) -> SourceContext {
        SourceContext { released: Arc::new(released), ..self }
    }

    /// As [`SinkContext::released`](crate::SinkContext::released), for a source that writes, too, such as dead letters.
    pub fn released(&self) -> Released {
        self.released.clone()
    }

    /// The stable id of the source.
    pub fn uid(&self) -> &str {
        self.operator.uid()
    }

    /// The same context in a job that goes on from a checkpoint.
    #[must_use]
    pub fn going_on(self, positions: Option<Vec<SplitPosition>>) -> SourceContext {
        SourceContext { positions, ..self }
    }

    /// The positions of all splits at the checkpoint that the job goes on from. None if it begins anew.
    pub fn positions(&self) -> Option<&[SplitPosition]> {
        self.positions.as_deref()
    }

    /// Where the split with this name goes on, in a job that goes on.
    pub fn position(&self, split: &str) -> Option<i64> {
        self.restored(split).map(|position| position.next)
    }

    /// What the checkpoint that the job goes on from has of the split with this name.
    pub fn restored(&self, split: &str) -> Option<&SplitPosition> {
        self.positions()?.iter().find(|position| *position.split == *split)
    }

    /// How many readers to make.
    pub fn parallelism(&self) -> usize {
        self.wakers.len()
    }

    /// The operator's name.
    pub fn name(&self) -> &str {
        self.operator.name()
    }

    /// The clock of the job.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.operator.clock()
    }

    /// The job's `pipeline.auto-watermark-interval`, if somebody chose one.
    pub fn watermark_interval(&self) -> Option<Duration> {
        self.operator.watermark_interval()
    }

    /// Wakes subtask `subtask` when its reader has something new.
    pub fn waker(&self, subtask: usize) -> Waker {
        self.wakers[subtask].clone()
    }

    /// Whether the job is being stopped, so that waiting makes no sense any more.
    pub fn is_stopping(&self) -> bool {
        (self.stopping)()
    }
}

/// What a poll found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// There are records in the batch.
    Ready,
    /// Nothing for now; the waker is called when that changes.
    Idle,
    /// Nothing follows, ever. The batch is empty.
    End,
}

/// How far a source is in event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No record with a timestamp at or before this one follows, but late ones.
    Watermark(Timestamp),
    /// All splits are silent: nobody has to wait for them.
    Idle,
}

/// Reads the splits of one subtask.
pub trait SourceReader<T>: Send {
    /// Fills the empty batch with about [`BATCH_SIZE`](crate::BATCH_SIZE) records; never waits.
    ///
    /// # Errors
    /// Any error fails the subtask.
    fn poll(&mut self, batch: &mut Batch<T>) -> Result<Poll>;

    /// What this reader knows about event time, if that is news; asked after every poll. A reader without event time
    /// says nothing.
    fn progress(&mut self) -> Option<Progress> {
        None
    }

    /// When this reader has something to say about event time even if no record comes, on the monotonic clock of
    /// [`SourceContext::clock`]; it is polled then.
    fn due(&self) -> Option<Duration> {
        None
    }

    /// Adds, for every split read here, the position of the next record that `poll` has not handed out yet.
    fn positions(&mut self, positions: &mut Vec<SplitPosition>);

    /// An epoch ends here; called right after [`positions`](SourceReader::positions) was asked for it. For a reader that
    /// writes, too.
    ///
    /// # Errors
    /// Any error fails the subtask.
    fn barrier(&mut self, _barrier: Barrier) -> Result<()> {
        Ok(())
    }

    /// After an error or a panic in `poll`: which position was in hand, where that is known.
    fn failed_at(&self) -> Option<SplitPosition> {
        None
    }
}

/// How far one split has been read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SplitPosition {
    /// The split's name, such as `test_user[2]`.
    pub split: Arc<str>,
    /// The position of the next record.
    pub next: i64,
    /// What the reader knows of event time in this split, in its own encoding; empty for nothing.
    pub time: Vec<u8>,
}

impl SplitPosition {
    /// The next record of a split, without event time.
    pub fn new(split: impl Into<Arc<str>>, next: i64) -> SplitPosition {
        SplitPosition { split: split.into(), next, time: Vec::new() }
    }
}

/// Stores positions in the outside system. Runs on the coordinator's thread, so it may wait.
pub trait Committer: Send {
    /// How often positions should be stored.
    fn interval(&self) -> Duration;

    /// Makes safe whatever the source itself has written outside, such as records put aside: an epoch is about to count
    /// as complete, and what came before its end is not read again.
    ///
    /// # Errors
    /// `Unavailable` is logged and made good with the next epoch; at the end of the job it is repeated.
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    /// Stores `positions`: everything before them has reached every sink and was flushed there.
    ///
    /// # Errors
    /// `Unavailable` is logged and made good by the next commit; at the end of the job it is repeated until
    /// it succeeds or the job is given up.
    fn commit(&mut self, epoch: u64, positions: &[SplitPosition]) -> Result<()>;
}
