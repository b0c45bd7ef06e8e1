//! A source whose records a test pushes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::batch::{BATCH_SIZE, Batch};
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Committer, Opened, Poll, Progress, Source, SourceContext, SourceReader, SplitPosition};
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
    waiting: VecDeque<Item<T>>,
    /// What was read, for an input that can be read again, and how to hand out a copy.
    read: Vec<Item<T>>,
    copy: Option<fn(&T) -> T>,
    /// How many records were handed out for good, because they can't be copied.
    gone: i64,
    ended: bool,
    committed: i64,
    /// Known when the job runs.
    reader: Option<Waker>,
}

/// What was pushed.
enum Item<T> {
    Record(T, Option<Timestamp>),
    Progress(Progress),
}

impl<T> Item<T> {
    /// Of a record, whether it has a timestamp.
    fn has_time(&self) -> Option<bool> {
        match self {
            Item::Record(_, timestamp) => Some(timestamp.is_some()),
            Item::Progress(_) => None,
        }
    }
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
        self.add(Item::Record(record, None));
    }

    /// Adds a record with an event-time timestamp.
    ///
    /// # Panics
    /// If the input has ended.
    #[track_caller]
    pub fn push_at(&self, record: T, timestamp: Timestamp) {
        self.add(Item::Record(record, Some(timestamp)));
    }

    /// Lets event time reach `watermark` behind what was pushed before, as a source with event time of its own would.
    ///
    /// # Panics
    /// If the input has ended.
    ///
    /// # Example
    /// ```
    /// use stream_core::Timestamp;
    /// use stream_core::testing::TestDriver;
    ///
    /// let mut driver = TestDriver::new();
    /// let (words, same) = driver.job(|words| words);
    /// words.push_at("early", Timestamp::from_millis(10));
    /// words.push_watermark(Timestamp::from_millis(50));
    /// words.push_at("late", Timestamp::from_millis(20));
    /// words.push_idle();
    /// driver.run_until_idle()?;
    /// assert_eq!(same.take(), ["early", "late"]);
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    #[track_caller]
    pub fn push_watermark(&self, watermark: Timestamp) {
        self.add(Item::Progress(Progress::Watermark(watermark)));
    }

    /// Tells the job that the input is silent, behind what was pushed before: nobody waits for its watermark until the
    /// next one is pushed.
    ///
    /// # Panics
    /// If the input has ended.
    #[track_caller]
    pub fn push_idle(&self) {
        self.add(Item::Progress(Progress::Idle));
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
        self.lock().waiting.iter().filter(|item| matches!(item, Item::Record(..))).count()
    }

    /// The committed position: everything with a smaller offset has reached every sink and would not be read again
    /// by another run. Moves with [`TestDriver::advance`](super::TestDriver::advance) and at the end of the job.
    pub fn committed(&self) -> i64 {
        self.lock().committed
    }

    #[track_caller]
    fn add(&self, item: Item<T>) {
        let mut shared = self.lock();
        assert!(!shared.ended, "pushed into an input that has ended; push before end() and finish()");
        shared.waiting.push_back(item);
        shared.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Shared<T>> {
        // Nothing that can panic runs between two changes that belong together.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Shared<T> {
    /// Hands out the next record.
    fn take(&mut self) -> Option<Item<T>> {
        let item = self.waiting.pop_front()?;
        match (self.copy, &item) {
            (Some(copy), Item::Record(record, timestamp)) => self.read.push(Item::Record(copy(record), *timestamp)),
            (Some(_), Item::Progress(progress)) => self.read.push(Item::Progress(*progress)),
            (None, Item::Record(..)) => self.gone += 1,
            (None, Item::Progress(_)) => {}
        }
        Some(item)
    }

    /// Makes the record at position `next` the one to be read next.
    fn go_back(&mut self, next: i64, name: &str) -> Result<()> {
        if self.gone > next {
            let error = Error::new(ErrorKind::Config, format!("the input `{name}` can't be read again"));
            return Err(error.with_hint("make it with TestDriver::durable_input"));
        }
        let mut records = self.read.iter().filter(|item| matches!(item, Item::Record(..))).count() as i64;
        // What was said about time behind the last record counts again: it may have come after the barrier.
        while (records > next || matches!(self.read.last(), Some(Item::Progress(_))))
            && let Some(item) = self.read.pop()
        {
            records -= i64::from(matches!(item, Item::Record(..)));
            self.waiting.push_front(item);
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
        let has_time = shared.waiting.front().and_then(Item::has_time);
        while batch.len() < BATCH_SIZE {
            // A batch has timestamps for all its records or for none.
            if has_time.is_none() || shared.waiting.front().and_then(Item::has_time) != has_time {
                break;
            }
            let Some(Item::Record(record, timestamp)) = shared.take() else { break };
            batch.push_as(record, timestamp);
        }
        if batch.is_empty() {
            // What comes first says how far time is: `progress` takes it, and the rest needs another poll.
            if shared.waiting.len() > 1 || shared.ended && !shared.waiting.is_empty() {
                shared.wake();
            }
            return Ok(if shared.ended && shared.waiting.is_empty() { Poll::End } else { Poll::Idle });
        }
        let first = self.next;
        self.next += batch.len() as i64;
        batch.add_position(&self.split, first, self.next - 1);
        Ok(Poll::Ready)
    }

    fn progress(&mut self) -> Option<Progress> {
        let mut shared = self.input.lock();
        let Some(Item::Progress(progress)) = shared.waiting.front() else { return None };
        let progress = *progress;
        shared.take();
        Some(progress)
    }

    fn positions(&mut self, positions: &mut Vec<SplitPosition>) {
        positions.push(SplitPosition::new(self.split.clone(), self.next));
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
