//! What goes in: numbers whose keys come round and round, as fast as the job can or in step with the clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stream_core::clock::Clock;
use stream_core::{BATCH_SIZE, Batch, Opened, Poll, Result, Source, SourceContext, SourceReader, SplitPosition};

/// How many keys there are.
pub(super) const KEYS: u64 = 1_000_000;

/// Number `i` has a key that lies anywhere in 64 bits, and [`KEYS`] numbers in a row have as many keys.
#[inline(always)]
pub(super) fn key_of(i: u64) -> u64 {
    (i % KEYS).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// What is written down while a job runs. Shared by its source, its last operator and its store; none of them asks for
/// it per record.
#[derive(Default)]
pub(super) struct Log {
    /// The number that the source began with.
    pub(super) start: u64,
    /// When the source answered a barrier, and its next number then. Its end counts as one.
    pub(super) barriers: Vec<(Instant, u64)>,
    /// When the first batch of those that keep time was due.
    pub(super) paced_from: Option<Instant>,
    /// The durable checkpoints.
    pub(super) stored: Vec<Stored>,
    /// When each batch left the operator that counts.
    pub(super) left: Vec<Instant>,
}

/// A checkpoint in the store.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    /// When its barrier began.
    pub(super) began: Instant,
    /// The next number of the source then.
    pub(super) next: u64,
    /// From the barrier until its manifest was durable.
    pub(super) took: Duration,
    /// Everything that was written for it.
    pub(super) bytes: u64,
}

/// A [`Log`] that several write to.
#[derive(Clone, Default)]
pub(super) struct SharedLog(Arc<Mutex<Log>>);

impl SharedLog {
    pub(super) fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Batches that keep time.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// From the time of one to that of the next.
    pub(super) every: Duration,
    /// How many numbers each has; not more than fit into one batch of the engine.
    pub(super) numbers: u64,
}

/// The numbers below `end`, by one reader. The first [`KEYS`] come as fast as they are taken.
#[derive(Clone)]
pub(super) struct Numbers {
    pub(super) end: u64,
    /// The first [`KEYS`] numbers come as one batch, so that no barrier can come before the last of them.
    pub(super) fills_at_once: bool,
    /// None for as fast as they are taken to the end.
    pub(super) pace: Option<Pace>,
    pub(super) log: SharedLog,
}

impl Source<u64> for Numbers {
    fn open(&mut self, context: &SourceContext) -> Result<Opened<u64>> {
        let split: Arc<str> = context.name().into();
        let next = context.position(&split).and_then(|next| u64::try_from(next).ok()).unwrap_or(0);
        self.log.lock().start = next;
        let reader = Reader { numbers: self.clone(), clock: context.clock(), split, next, due: None };
        Ok(Opened { readers: vec![Box::new(reader)], committer: None })
    }
}

struct Reader {
    numbers: Numbers,
    clock: Arc<dyn Clock>,
    split: Arc<str>,
    next: u64,
    /// When the next batch is, once they keep time.
    due: Option<Duration>,
}

impl Reader {
    /// How many numbers are to be handed out now.
    fn allowed(&mut self) -> u64 {
        let batch = BATCH_SIZE as u64;
        match self.numbers.pace {
            _ if self.next < KEYS => (KEYS - self.next).min(if self.numbers.fills_at_once { KEYS } else { batch }),
            None => batch,
            Some(pace) => {
                let now = self.clock.monotonic();
                let due = *self.due.get_or_insert_with(|| {
                    self.numbers.log.lock().paced_from = Some(Instant::now());
                    now
                });
                if due > now {
                    return 0;
                }
                // Not from now on: what came late is made up for, as by a topic that goes on filling meanwhile.
                self.due = Some(due + pace.every);
                pace.numbers
            }
        }
    }
}

impl SourceReader<u64> for Reader {
    fn poll(&mut self, batch: &mut Batch<u64>) -> Result<Poll> {
        if self.next >= self.numbers.end {
            return Ok(Poll::End);
        }
        let until = (self.next + self.allowed()).min(self.numbers.end);
        if until == self.next {
            return Ok(Poll::Idle);
        }
        (self.next..until).for_each(|number| batch.push(number));
        self.next = until;
        Ok(Poll::Ready)
    }

    fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Asked at a barrier, on the thread of the stream, before any operator has seen it.
    fn positions(&mut self, positions: &mut Vec<SplitPosition>) {
        self.numbers.log.lock().barriers.push((Instant::now(), self.next));
        positions.push(SplitPosition::new(self.split.clone(), i64::try_from(self.next).unwrap_or(i64::MAX)));
    }
}
