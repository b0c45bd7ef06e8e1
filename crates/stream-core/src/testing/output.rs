//! A sink whose records a test takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::Barrier;
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
    shared: Arc<Mutex<Shared<T>>>,
}

type Timed<T> = Vec<(T, Option<Timestamp>)>;

struct Shared<T> {
    records: Timed<T>,
    /// In which epoch each of the records came.
    epochs: Vec<u64>,
    /// The epoch that the job goes on from.
    start: u64,
}

impl<T> TestOutput<T> {
    pub(crate) fn new() -> TestOutput<T> {
        TestOutput { shared: Arc::new(Mutex::new(Shared { records: Vec::new(), epochs: Vec::new(), start: 0 })) }
    }

    /// Takes what has arrived since the last take; records of one subtask are in order.
    pub fn take(&self) -> Vec<T> {
        self.take_timed().into_iter().map(|(record, _)| record).collect()
    }

    /// As [`take`](TestOutput::take), with the event-time timestamps of those that have one.
    pub fn take_timed(&self) -> Vec<(T, Option<Timestamp>)> {
        let mut shared = self.lock();
        shared.epochs.clear();
        std::mem::take(&mut shared.records)
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
        self.lock().records.len()
    }

    /// Whether nothing has arrived since the last take.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what came after the end of `epoch`, from which the job goes on. What a test has taken it keeps.
    pub(crate) fn roll_back(&self, epoch: u64) {
        let shared = &mut *self.lock();
        let mut epochs = shared.epochs.iter();
        shared.records.retain(|_| epochs.next().is_some_and(|came| *came <= epoch));
        shared.epochs.retain(|came| *came <= epoch);
        shared.start = epoch;
    }

    fn lock(&self) -> MutexGuard<'_, Shared<T>> {
        // Records are only ever added or taken, so what a panic left is whole.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for TestOutput<T> {
    fn clone(&self) -> TestOutput<T> {
        TestOutput { shared: self.shared.clone() }
    }
}

impl<T: Send + 'static> Sink<T> for TestOutput<T> {
    fn open(&mut self, _context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let epoch = self.lock().start + 1;
        Ok(Box::new(TestWriter { output: self.clone(), epoch }))
    }
}

/// One subtask's hand on an output.
struct TestWriter<T> {
    output: TestOutput<T>,
    epoch: u64,
}

impl<T: Send> SinkWriter<T> for TestWriter<T> {
    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.epoch = barrier.epoch + 1;
        Ok(())
    }

    fn write(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let timestamps: Vec<Option<Timestamp>> = (0..batch.len()).map(|index| batch.timestamp(index)).collect();
        let shared = &mut *self.output.lock();
        shared.epochs.extend(std::iter::repeat_n(self.epoch, batch.len()));
        shared.records.extend(batch.drain().zip(timestamps));
        Ok(())
    }
}
