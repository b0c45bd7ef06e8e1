//! Where records go: a [`Sink`] makes one [`SinkWriter`] per subtask.
//!
//! A writer is asked for room before it gets records. At a barrier it starts to flush, and the epoch
//! counts as written when [`SinkWriter::flushed`] says so; until then the subtask takes no input.

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

/// What a sink learns about its subtask when it is opened.
pub struct SinkContext {
    /// Who the subtask is.
    pub operator: OperatorContext,
    /// Wakes the subtask, for instance when a flush is done or there is room again.
    pub waker: Waker,
    stopping: Box<dyn Fn() -> bool + Send + Sync>,
}

impl SinkContext {
    /// A context; `stopping` tells a sink that waits for something to give up.
    pub fn new(
        operator: OperatorContext,
        waker: Waker,
        stopping: impl Fn() -> bool + Send + Sync + 'static,
    ) -> SinkContext {
        SinkContext { operator, waker, stopping: Box::new(stopping) }
    }

    /// Whether the job is being stopped, so that waiting makes no sense any more.
    pub fn is_stopping(&self) -> bool {
        (self.stopping)()
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
}
