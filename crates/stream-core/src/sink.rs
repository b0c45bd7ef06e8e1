//! Where records go: a [`Sink`] makes one [`SinkWriter`] per subtask.
//!
//! A writer is asked for room before it gets records. At a barrier it starts to flush, and the epoch
//! counts as written when [`SinkWriter::flushed`] says so; until then the subtask takes no input.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::{Barrier, OperatorContext};
use crate::thread::Waker;

/// A sink for records of type `T`, described once per job.
pub trait Sink<T>: Send {
    /// Makes the writer of one subtask; called for every subtask in order, when the job starts.
    ///
    /// # Errors
    /// `Config` for settings that can't work, `Unavailable` if the outside system does not answer.
    fn open(&mut self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>>;

    /// Asks the outside system, for at most `limit`, whether the job could start: for people who check before they run.
    /// Starts nothing and changes nothing. Returns what was found, in a few words.
    ///
    /// # Errors
    /// As [`open`](Sink::open) would give.
    fn check(&mut self, _limit: Duration) -> Result<String> {
        Ok("nothing to ask".to_owned())
    }

    /// What people read in the plan besides the name, such as the topic.
    fn describe(&self) -> String {
        String::new()
    }
}

/// Tells whether an epoch is decided.
pub type Released = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// What a sink learns about its subtask when it is opened.
pub struct SinkContext {
    /// Who the subtask is.
    pub operator: OperatorContext,
    /// Wakes the subtask, for instance when a flush is done or there is room again.
    pub waker: Waker,
    stopping: Arc<dyn Fn() -> bool + Send + Sync>,
    released: Released,
    job: Arc<str>,
    generation: u64,
}

impl SinkContext {
    /// A context; `stopping` tells a sink that waits for something to give up.
    pub fn new(
        operator: OperatorContext,
        waker: Waker,
        stopping: impl Fn() -> bool + Send + Sync + 'static,
    ) -> SinkContext {
        let released: Released = Arc::new(|_| true);
        SinkContext { operator, waker, stopping: Arc::new(stopping), released, job: "".into(), generation: 0 }
    }

    /// The same context in a job where `released` tells whether an epoch is decided.
    #[must_use]
    pub fn released_by(self, released: impl Fn(u64) -> bool + Send + Sync + 'static) -> SinkContext {
        SinkContext { released: Arc::new(released), ..self }
    }

    /// Tells whether an epoch that has ended is decided: its checkpoint counts, or it was given up and the next one has
    /// its records, too. A sink that writes in the job's transaction writes nothing of the next epoch before that. The
    /// subtask is woken when an epoch is decided.
    pub fn released(&self) -> Released {
        self.released.clone()
    }

    /// The same context in this run of this job.
    #[must_use]
    pub fn in_run(self, job: &str, generation: u64) -> SinkContext {
        SinkContext { job: job.into(), generation, ..self }
    }

    /// The name of the job.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Which run of the job this is: what an earlier run has put aside bears the same number or a lower one, what a later
    /// run puts aside a higher one. An earlier run may not know yet that it is over, and go on for a while.
    ///
    /// 0 without checkpoints.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the job is being stopped, so that waiting makes no sense any more.
    pub fn is_stopping(&self) -> bool {
        (self.stopping)()
    }

    /// As [`is_stopping`](SinkContext::is_stopping), to be kept.
    pub fn stopping(&self) -> Arc<dyn Fn() -> bool + Send + Sync> {
        self.stopping.clone()
    }
}

/// Writes the records of one subtask.
pub trait SinkWriter<T>: Send {
    /// Takes the records of a batch; the caller keeps the buffer and clears it.
    ///
    /// # Errors
    /// Any error fails the subtask.
    fn write(&mut self, batch: &mut Batch<T>) -> Result<()>;

    /// Whether there is room for another batch. A `false` must be followed by a wake when that changes.
    fn room(&self) -> bool {
        true
    }

    /// Goes on with whatever the writer has kept back; called before every step of the subtask.
    ///
    /// # Errors
    /// Any error fails the subtask.
    fn resume(&mut self) -> Result<()> {
        Ok(())
    }

    /// The epoch ends here: start to flush everything written so far; never waits.
    ///
    /// # Errors
    /// Any error fails the subtask.
    fn barrier(&mut self, _barrier: Barrier) -> Result<()> {
        Ok(())
    }

    /// Nothing follows: start to flush everything written so far; never waits.
    ///
    /// # Errors
    /// Any error fails the subtask.
    fn end(&mut self) -> Result<()> {
        Ok(())
    }

    /// Whether what was written before the last barrier or end is safe outside.
    ///
    /// # Errors
    /// Any record that could not be written fails the subtask here at the latest.
    fn flushed(&mut self) -> Result<bool> {
        Ok(true)
    }

    /// After an error or a panic in `write`: which record of the batch was in hand, where that is known.
    fn failed_at(&self) -> Option<usize> {
        None
    }

    /// What was put aside by the last flush. [`StagedSink`] is the way to do that.
    #[doc(hidden)]
    fn staged(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

/// A sink whose output appears only when the checkpoint that it belongs to is durable, so that it appears once.
///
/// Its writers put the records of an epoch aside, out of sight, and hand over what is needed to publish them, such as
/// a file's name. That is stored with the checkpoint. Only then the committer publishes it; if the job dies before, the
/// next run does so, from the checkpoint.
///
/// Delivery is exactly once as long as publishing something twice is the same as publishing it once. Needs
/// checkpoints: a job that takes none is refused.
pub trait StagedSink<T>: Send {
    /// Makes the writer of one subtask; called for every subtask in order, when the job starts, after
    /// [`committer`](StagedSink::committer).
    ///
    /// # Errors
    /// As [`Sink::open`].
    fn open(&mut self, context: &SinkContext) -> Result<Box<dyn StagedWriter<T>>>;

    /// Makes what publishes; called once, when the job starts.
    ///
    /// # Errors
    /// As [`Sink::open`].
    fn committer(&mut self, context: &SinkContext) -> Result<Box<dyn StagedCommitter>>;

    /// As [`Sink::check`].
    ///
    /// # Errors
    /// As [`open`](StagedSink::open) would give.
    fn check(&mut self, _limit: Duration) -> Result<String> {
        Ok("nothing to ask".to_owned())
    }

    /// As [`Sink::describe`].
    fn describe(&self) -> String {
        String::new()
    }
}

/// Puts the records of one subtask of a [`StagedSink`] aside.
pub trait StagedWriter<T>: Send {
    /// Takes the records of a batch; the caller keeps the buffer and clears it.
    ///
    /// # Errors
    /// Any error fails the subtask.
    fn write(&mut self, batch: &mut Batch<T>) -> Result<()>;

    /// Whether there is room for another batch. A `false` must be followed by a wake when that changes.
    fn room(&self) -> bool {
        true
    }

    /// The epoch, or the input as a whole, ends here: close what was written since the last call and return what is
    /// needed to publish it; nothing if nothing was written. Making it durable is up to
    /// [`StagedCommitter::prepare`], which may take its time.
    ///
    /// `epoch` grows from call to call, also over restarts: a run that goes on from a checkpoint counts on from there. An
    /// epoch that came to nothing because the job has failed is counted again.
    ///
    /// # Errors
    /// Any error fails the subtask.
    fn stage(&mut self, epoch: u64) -> Result<Option<Vec<u8>>>;

    /// After an error or a panic in `write`: which record of the batch was in hand, where that is known.
    fn failed_at(&self) -> Option<usize> {
        None
    }
}

/// Publishes what the writers of a [`StagedSink`] have put aside. Runs beside the stream, on the thread that stores
/// checkpoints, so it may wait.
pub trait StagedCommitter: Send {
    /// Makes everything in `staged` durable, still out of sight: the checkpoint that names it is written after that.
    ///
    /// # Errors
    /// The checkpoint fails, and the next one brings the same again.
    fn prepare(&mut self, _staged: &[Vec<u8>]) -> Result<()> {
        Ok(())
    }

    /// Publishes everything in `staged`, which is part of a durable checkpoint. What is already published stays as it
    /// is: after a crash the same is published again, and an earlier run that wakes up late may do so at any time.
    ///
    /// # Errors
    /// `Unavailable` counts as a failed checkpoint, and is tried again before the next; anything else fails the job.
    fn publish(&mut self, staged: &[Vec<u8>]) -> Result<()>;

    /// Everything that counts is published, and no writer of this run is at work: removes what earlier runs have put aside.
    /// By the time this is called, a later run may be at work already: nothing with a higher
    /// [generation](SinkContext::generation) may be touched.
    ///
    /// # Errors
    /// Any error but `Unavailable`, which is only logged, stops the job before it has read a record.
    fn discard_leftovers(&mut self) -> Result<()> {
        Ok(())
    }
}
