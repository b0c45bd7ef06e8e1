//! A source whose records a test pushes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::batch::{BATCH_SIZE, Batch};
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Committer, Opened, Poll, Source, SourceContext, SourceReader, SplitPosition};
use crate::thread::Waker;
use crate::time::Timestamp;

/// How often, in virtual time, an input wants its position stored.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// The hand of a test in one of its job's inputs. Clones push into the same input.
///
/// An input is one split, read in order by one subtask; errors name it and the record's offset, counted from 0. Its
/// position is committed once every second of virtual time.
///
/// # Example
/// ```
/// use stream_core::Timestamp;
/// use stream_core::testing::TestDriver;
///
/// let mut driver = TestDriver::new();
/// let (numbers, doubled) = driver.job(|numbers| numbers.map(|x: u64| x * 2));
/// numbers.push_at(1, Timestamp::from_millis(10));
/// numbers.push_at(2, Timestamp::from_millis(20));
/// assert_eq!(numbers.waiting(), 2);
/// driver.finish()?;
/// assert_eq!((numbers.waiting(), numbers.committed()), (0, 2));
/// # assert_eq!(doubled.take(), [2, 4]);
/// # Ok::<(), stream_core::Error>(())
/// ```
pub struct TestInput<T> {
    shared: Arc<Mutex<Shared<T>>>,
}

struct Shared<T> {
    waiting: VecDeque<(T, Option<Timestamp>)>,
    /// What was read, for an input that can be read again, and how to hand out a copy.
    read: Vec<(T, Option<Timestamp>)>,
    copy: Option<fn(&T) -> T>,
    /// How many records were handed out for good, because they can't be copied.
    gone: i64,
    ended: bool,
    committed: i64,
    /// Known when the job runs.
    reader: Option<Waker>,
}

impl<T> TestInput<T> {
    pub(crate) fn new() -> TestInput<T> {
        let shared = Shared {
            waiting: VecDeque::new(),
            read: Vec::new(),
            copy: None,
            gone: 0,
            ended: false,
            committed: 0,
            reader: None,
        };
        TestInput { shared: Arc::new(Mutex::new(shared)) }
    }

    /// An input that keeps what was read, so that a job that has crashed can read it again.
    pub(crate) fn durable() -> TestInput<T>
    where
        T: Clone,
    {
        let input = TestInput::new();
        input.lock().copy = Some(T::clone);
        input
    }

    /// Adds a record without a timestamp.
    ///
    /// # Panics
    /// If the input has ended.
    #[track_caller]
    pub fn push(&self, record: T) {
        self.add(record, None);
    }

    /// Adds a record with an event-time timestamp.
    ///
    /// # Panics
    /// If the input has ended.
    #[track_caller]
    pub fn push_at(&self, record: T, timestamp: Timestamp) {
        self.add(record, Some(timestamp));
    }

    /// Adds records without timestamps.
    ///
    /// # Panics
    /// If the input has ended.
    #[track_caller]
    pub fn push_all(&self, records: impl IntoIterator<Item = T>) {
        for record in records {
            self.push(record);
        }
    }

    /// Nothing follows: the input ends after what was pushed.
    pub fn end(&self) {
        let mut shared = self.lock();
        shared.ended = true;
        shared.wake();
    }

    /// How many records the job has not read yet.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// The committed position: everything with a smaller offset has reached every sink and would not be read again
    /// by another run. Moves with [`TestDriver::advance`](super::TestDriver::advance) and at the end of the job.
    pub fn committed(&self) -> i64 {
        self.lock().committed
    }

    #[track_caller]
    fn add(&self, record: T, timestamp: Option<Timestamp>) {
        let mut shared = self.lock();
        assert!(!shared.ended, "pushed into an input that has ended; push before end() and finish()");
        shared.waiting.push_back((record, timestamp));
        shared.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Shared<T>> {
        // Nothing that can panic runs between two changes that belong together.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Shared<T> {
    /// Hands out the next record.
    fn take(&mut self) -> Option<(T, Option<Timestamp>)> {
        let (record, timestamp) = self.waiting.pop_front()?;
        match self.copy {
            Some(copy) => self.read.push((copy(&record), timestamp)),
            None => self.gone += 1,
        }
        Some((record, timestamp))
    }

    /// Makes the record at position `next` the one to be read next.
    fn go_back(&mut self, next: i64, name: &str) -> Result<()> {
        if self.gone > next {
            let error = Error::new(ErrorKind::Config, format!("the input `{name}` can't be read again"));
            return Err(error.with_hint("make it with TestDriver::durable_input"));
        }
        let next = usize::try_from(next).unwrap_or(0);
        while self.read.len() > next
            && let Some(record) = self.read.pop()
        {
            self.waiting.push_front(record);
        }
        Ok(())
    }

    fn wake(&self) {
        if let Some(reader) = &self.reader {
            reader.wake();
        }
    }
}

impl<T> Clone for TestInput<T> {
    fn clone(&self) -> TestInput<T> {
        TestInput { shared: self.shared.clone() }
    }
}

/// The job's side of a [`TestInput`].
pub(crate) struct TestSource<T>(pub(crate) TestInput<T>);

impl<T: Send + 'static> Source<T> for TestSource<T> {
    fn open(&mut self, context: &SourceContext) -> Result<Opened<T>> {
        let next = context.position(context.name()).unwrap_or(0);
        let mut shared = self.0.lock();
        shared.reader = Some(context.waker(0));
        shared.go_back(next, context.name())?;
        drop(shared);
        let reader = TestReader { input: self.0.clone(), split: context.name().into(), next };
        Ok(Opened { readers: vec![Box::new(reader)], committer: Some(Box::new(TestCommitter(self.0.clone()))) })
    }
}

struct TestReader<T> {
    input: TestInput<T>,
    split: Arc<str>,
    next: i64,
}

impl<T: Send> SourceReader<T> for TestReader<T> {
    fn poll(&mut self, batch: &mut Batch<T>) -> Result<Poll> {
        let mut shared = self.input.lock();
        let has_time = shared.waiting.front().is_some_and(|(_, timestamp)| timestamp.is_some());
        while batch.len() < BATCH_SIZE {
            // A batch has timestamps for all its records or for none.
            if shared.waiting.front().is_none_or(|(_, timestamp)| timestamp.is_some() != has_time) {
                break;
            }
            let Some((record, timestamp)) = shared.take() else { break };
            batch.push_as(record, timestamp);
        }
        if batch.is_empty() {
            return Ok(if shared.ended { Poll::End } else { Poll::Idle });
        }
        let first = self.next;
        self.next += batch.len() as i64;
        batch.add_position(&self.split, first, self.next - 1);
        Ok(Poll::Ready)
    }

    fn positions(&mut self, positions: &mut Vec<SplitPosition>) {
        positions.push(SplitPosition { split: self.split.clone(), next: self.next });
    }
}

struct TestCommitter<T>(TestInput<T>);

impl<T: Send> Committer for TestCommitter<T> {
    fn interval(&self) -> Duration {
        COMMIT_INTERVAL
    }

    fn commit(&mut self, _epoch: u64, positions: &[SplitPosition]) -> Result<()> {
        if let Some(position) = positions.first() {
            self.0.lock().committed = position.next;
        }
        Ok(())
    }
}
