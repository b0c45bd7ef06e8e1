//! A sink whose records a test takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::Batch;
use crate::error::Result;
use crate::sink::{Sink, SinkContext, SinkWriter};
use crate::time::Timestamp;

/// What has come out of one of the job's streams. Clones take from the same output.
///
/// # Example
/// ```
/// use stream_core::Timestamp;
/// use stream_core::testing::TestDriver;
///
/// let mut driver = TestDriver::new().parallelism(2);
/// let (words, lengths) = driver.job(|words| words.rebalance().map(|word: &str| word.len()));
/// words.push_all(["three", "one", "seven"]);
/// driver.run_until_idle()?;
/// assert_eq!(lengths.take_sorted(), [3, 5, 5]);
///
/// words.push_at("two", Timestamp::from_millis(7));
/// driver.finish()?;
/// assert_eq!(lengths.take_timed(), [(3, Some(Timestamp::from_millis(7)))]);
/// # Ok::<(), stream_core::Error>(())
/// ```
pub struct TestOutput<T> {
    records: Arc<Mutex<Timed<T>>>,
}

type Timed<T> = Vec<(T, Option<Timestamp>)>;

impl<T> TestOutput<T> {
    pub(crate) fn new() -> TestOutput<T> {
        TestOutput { records: Arc::default() }
    }

    /// Takes what has arrived since the last take; records of one subtask are in order.
    pub fn take(&self) -> Vec<T> {
        self.lock().drain(..).map(|(record, _)| record).collect()
    }

    /// As [`take`](TestOutput::take), with the event-time timestamps of those that have one.
    pub fn take_timed(&self) -> Vec<(T, Option<Timestamp>)> {
        std::mem::take(&mut *self.lock())
    }

    /// As [`take`](TestOutput::take), sorted: for jobs whose subtasks run in an order that does not matter.
    pub fn take_sorted(&self) -> Vec<T>
    where
        T: Ord,
    {
        let mut records = self.take();
        records.sort();
        records
    }

    /// How many records wait to be taken.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing has arrived since the last take.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Timed<T>> {
        // Records are only ever added or taken, so what a panic left is whole.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for TestOutput<T> {
    fn clone(&self) -> TestOutput<T> {
        TestOutput { records: self.records.clone() }
    }
}

impl<T: Send + 'static> Sink<T> for TestOutput<T> {
    fn open(&mut self, _context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        Ok(Box::new(self.clone()))
    }
}

impl<T: Send> SinkWriter<T> for TestOutput<T> {
    fn write(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let timestamps: Vec<Option<Timestamp>> = (0..batch.len()).map(|index| batch.timestamp(index)).collect();
        self.lock().extend(batch.drain().zip(timestamps));
        Ok(())
    }
}
