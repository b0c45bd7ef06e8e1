//! What the end-to-end tests share: a deadline, a source that commits, a sink that flushes late, and the
//! ledger in which the two meet.
//!
//! The ledger knows which records every sink has flushed. The committer looks into it at every commit, so a
//! position that is committed too early is found at once, in whatever order threads run.

#![allow(dead_code, reason = "every test file uses its own part")]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stream_core::thread::{Waker, spawn};
use stream_core::{
    Barrier, Batch, Committer, Configuration, Error, ErrorKind, Opened, Poll, Result, Sink, SinkContext, SinkWriter,
    Source, SourceContext, SourceReader, SplitPosition, StreamingContext,
};

/// How long a job may take before the test says that it hangs. Far more than any of them needs.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn context(parallelism: usize) -> StreamingContext {
    StreamingContext::new(Configuration::empty()).parallelism(parallelism)
}

/// Runs `body` on a thread of its own and fails if it has not ended at the deadline.
pub(crate) fn ends<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = mpsc::channel();
    let thread = spawn("test-body", move || sender.send(body())).expect("a thread");
    match receiver.recv_timeout(DEADLINE) {
        Ok(result) => result,
        late @ Err(RecvTimeoutError::Timeout) => late.expect("hangs: no end before the deadline"),
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().expect_err("nothing was sent, so the body has panicked"))
        }
    }
}

/// A record that knows where it comes from: the split, its position there, and how many barriers its reader had sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    pub(crate) split: Arc<str>,
    pub(crate) position: i64,
    epoch: u64,
}

/// What sinks have flushed and committers have committed.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// Per sink, per split: the flushed positions.
    flushed: BTreeMap<String, BTreeMap<Arc<str>, BTreeSet<i64>>>,
    /// Per split: the last committed position.
    committed: BTreeMap<Arc<str>, i64>,
    /// How often a commit was tried.
    tries: usize,
    /// How many tries were refused so far by [`CountingSource::refuse`].
    refused: usize,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn expect_sink(&self, sink: &str) {
        self.lock().flushed.entry(sink.to_owned()).or_default();
    }

    fn flush(&self, sink: &str, records: Vec<Origin>) {
        let mut entries = self.lock();
        let splits = entries.flushed.entry(sink.to_owned()).or_default();
        for record in records {
            let new = splits.entry(record.split.clone()).or_default().insert(record.position);
            assert!(new, "{record:?} reached {sink} twice");
        }
    }

    pub(crate) fn tries(&self) -> usize {
        self.lock().tries
    }

    pub(crate) fn committed(&self) -> BTreeMap<String, i64> {
        self.lock().committed.iter().map(|(split, next)| (split.to_string(), *next)).collect()
    }

    /// How many records of each split `sink` has flushed.
    pub(crate) fn flushed(&self, sink: &str) -> BTreeMap<String, i64> {
        let entries = self.lock();
        let splits = entries.flushed.get(sink).expect("a known sink");
        splits.iter().map(|(split, positions)| (split.to_string(), positions.len() as i64)).collect()
    }

    /// Every committed position must be covered by flushed records in every sink.
    fn commit(&self, positions: &[SplitPosition]) -> Result<()> {
        let mut entries = self.lock();
        for SplitPosition { split, next, .. } in positions {
            for (sink, splits) in &entries.flushed {
                let flushed = splits.get(split).map_or(0, |positions| positions.range(..*next).count());
                if flushed as i64 != *next {
                    let message = format!("{split} committed at {next}, but {sink} has flushed {flushed} before it");
                    return Err(Error::new(ErrorKind::Internal, message));
                }
            }
            let before = entries.committed.insert(split.clone(), *next);
            if before.is_some_and(|before| before > *next) {
                return Err(Error::new(ErrorKind::Internal, format!("{split} went back from {before:?} to {next}")));
            }
        }
        Ok(())
    }
}

/// A source of [`Origin`]s whose positions are committed every millisecond.
#[derive(Clone)]
pub(crate) struct CountingSource {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) name: &'static str,
    /// Records per subtask; `None` never ends.
    pub(crate) records: Option<i64>,
    pub(crate) batch: i64,
    /// Read a further batch only when a commit has been tried since the one before, so that epochs and batches mix.
    pub(crate) paced: bool,
    /// Which tries of a commit to refuse, counted from 0 over the whole job.
    pub(crate) refuse: fn(usize, &[SplitPosition]) -> Option<Error>,
}

impl CountingSource {
    pub(crate) fn new(ledger: &Arc<Ledger>, name: &'static str, records: i64) -> CountingSource {
        let records = Some(records);
        CountingSource { ledger: ledger.clone(), name, records, batch: 7, paced: true, refuse: |_, _| None }
    }
}

impl Source<Origin> for CountingSource {
    fn open(&mut self, context: &SourceContext) -> Result<Opened<Origin>> {
        let readers = (0..context.parallelism()).map(|subtask| {
            let split = format!("{}[{subtask}]", self.name).into();
            let reader = CountingReader {
                source: self.clone(),
                split,
                next: 0,
                epoch: 0,
                waker: context.waker(subtask),
                tries: self.ledger.tries(),
            };
            Box::new(reader) as Box<dyn SourceReader<Origin>>
        });
        let committer = LedgerCommitter { ledger: self.ledger.clone(), refuse: self.refuse };
        Ok(Opened { readers: readers.collect(), committer: Some(Box::new(committer)) })
    }
}

struct CountingReader {
    source: CountingSource,
    split: Arc<str>,
    next: i64,
    epoch: u64,
    waker: Waker,
    tries: usize,
}

impl SourceReader<Origin> for CountingReader {
    fn poll(&mut self, batch: &mut Batch<Origin>) -> Result<Poll> {
        let end = self.source.records.unwrap_or(i64::MAX).min(self.next.saturating_add(self.source.batch));
        if self.next == end {
            return Ok(Poll::End);
        }
        let tries = self.source.ledger.tries();
        if self.source.paced && tries == self.tries && self.next > 0 {
            self.waker.wake();
            return Ok(Poll::Idle);
        }
        self.tries = tries;
        batch.add_position(&self.split, self.next, end - 1);
        for position in self.next..end {
            batch.push(Origin { split: self.split.clone(), position, epoch: self.epoch });
        }
        self.next = end;
        Ok(Poll::Ready)
    }

    fn positions(&mut self, positions: &mut Vec<SplitPosition>) {
        self.epoch += 1;
        positions.push(SplitPosition::new(self.split.clone(), self.next));
    }
}

struct LedgerCommitter {
    ledger: Arc<Ledger>,
    refuse: fn(usize, &[SplitPosition]) -> Option<Error>,
}

impl Committer for LedgerCommitter {
    fn interval(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn commit(&mut self, _epoch: u64, positions: &[SplitPosition]) -> Result<()> {
        let refused = {
            let mut entries = self.ledger.lock();
            entries.tries += 1;
            let refused = (self.refuse)(entries.refused, positions);
            entries.refused += usize::from(refused.is_some());
            refused
        };
        match refused {
            Some(error) => Err(error),
            None => self.ledger.commit(positions),
        }
    }
}

/// When a [`LateSink`] says that a flush is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flush {
    /// After so many polls, each of which asks for another.
    Polls(usize),
    /// When another thread has done it and wakes the subtask.
    Thread,
}

/// A sink that flushes into the ledger, some time after it was told to.
pub(crate) struct LateSink {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) name: &'static str,
    pub(crate) flush: Flush,
}

impl Sink<Origin> for LateSink {
    fn open(&mut self, context: &SinkContext) -> Result<Box<dyn SinkWriter<Origin>>> {
        self.ledger.expect_sink(self.name);
        let flusher = match self.flush {
            Flush::Polls(_) => None,
            Flush::Thread => Some(Flusher::start(self.ledger.clone(), self.name, context.waker.clone())?),
        };
        Ok(Box::new(LateWriter {
            ledger: self.ledger.clone(),
            name: self.name,
            waker: context.waker.clone(),
            flusher,
            polls: if let Flush::Polls(polls) = self.flush { polls } else { 0 },
            written: Vec::new(),
            epoch: 0,
            flushing: None,
            full: Cell::new(false),
        }))
    }
}

struct LateWriter {
    ledger: Arc<Ledger>,
    name: &'static str,
    waker: Waker,
    flusher: Option<Flusher>,
    polls: usize,
    written: Vec<Origin>,
    /// The last barrier.
    epoch: u64,
    /// The polls that are left; for a flusher, none.
    flushing: Option<usize>,
    /// There is no room the first time it is asked for after a write.
    full: Cell<bool>,
}

impl LateWriter {
    fn start(&mut self) {
        assert!(self.flushing.is_none(), "a flush was started before the last one was done");
        self.flushing = Some(self.polls);
        if let Some(flusher) = &self.flusher {
            flusher.send(std::mem::take(&mut self.written));
        }
    }
}

impl SinkWriter<Origin> for LateWriter {
    fn write(&mut self, batch: &mut Batch<Origin>) -> Result<()> {
        assert!(self.flushing.is_none(), "a batch was written while a flush was under way");
        let mixed = batch.records().iter().find(|record| record.epoch != self.epoch);
        assert!(mixed.is_none(), "{mixed:?} was overtaken by a barrier, or the other way round: now {}", self.epoch);
        self.written.extend(batch.drain());
        self.full.set(true);
        Ok(())
    }

    fn room(&self) -> bool {
        if self.full.take() {
            self.waker.wake();
            return false;
        }
        true
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        assert_eq!(barrier.epoch, self.epoch + 1, "every barrier comes once, in order");
        self.epoch = barrier.epoch;
        self.start();
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.start();
        Ok(())
    }

    fn flushed(&mut self) -> Result<bool> {
        match (&mut self.flushing, &self.flusher) {
            (Some(_), Some(flusher)) => {
                if !flusher.is_done() {
                    return Ok(false);
                }
            }
            (Some(0), None) => self.ledger.flush(self.name, std::mem::take(&mut self.written)),
            (Some(polls), None) => {
                *polls -= 1;
                self.waker.wake();
                return Ok(false);
            }
            (None, _) => {}
        }
        self.flushing = None;
        Ok(true)
    }
}

/// A thread that flushes what it is sent.
struct Flusher {
    records: mpsc::Sender<Vec<Origin>>,
    sent: AtomicUsize,
    done: Arc<AtomicUsize>,
}

impl Flusher {
    fn start(ledger: Arc<Ledger>, name: &'static str, waker: Waker) -> Result<Flusher> {
        let (records, received) = mpsc::channel::<Vec<Origin>>();
        let done = Arc::new(AtomicUsize::new(0));
        let counter = done.clone();
        spawn("flusher", move || {
            for records in received {
                ledger.flush(name, records);
                counter.fetch_add(1, Ordering::Release);
                waker.wake();
            }
        })?;
        Ok(Flusher { records, sent: AtomicUsize::new(0), done })
    }

    fn send(&self, records: Vec<Origin>) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        // The thread outlives us: it ends when this sender is dropped.
        let _ = self.records.send(records);
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) == self.sent.load(Ordering::Relaxed)
    }
}

/// Something a test can wait for without a clock.
#[derive(Clone, Default)]
pub(crate) struct Signal(Arc<(AtomicBool, Waker)>);

impl Signal {
    pub(crate) fn raise(&self) {
        self.0.0.store(true, Ordering::Release);
        self.0.1.wake();
    }

    /// Only one thread may wait.
    pub(crate) fn wait(&self) {
        while !self.0.0.load(Ordering::Acquire) {
            self.0.1.park(DEADLINE);
        }
    }
}
