//! The job that is measured: numbers, by key, counted, watched. And the store that is: a directory, and what is
//! written to it.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stream_core::checkpoint::{CheckpointStore, Creation, Manifest, StoredObject};
use stream_core::{Batch, Configuration, Error, ErrorKind, JobReport, Operator, Output, Result, StreamingContext};
use stream_store::Store;

use super::numbers::{KEYS, Log, Numbers, SharedLog, Stored, key_of};

const JOB: &str = "running-count";

/// How often checkpoints are taken, and where they are kept.
#[derive(Clone, Copy)]
pub(super) struct Checkpointing<'a> {
    pub(super) interval: Duration,
    pub(super) dir: &'a Path,
}

/// What is printed as it happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Nothing,
    /// `first N` when the first batch leaves, N its first number; `durable N` for each checkpoint, N its next number.
    FirstAndDurable,
}

/// Counts `numbers` by key to their end; every count is compared with what it has to be.
pub(super) fn run(numbers: Numbers, checkpointing: Option<Checkpointing<'_>>, says: Says) -> Result<(JobReport, Log)> {
    let log = numbers.log.clone();
    let mut configuration = Configuration::builder();
    if let Some(Checkpointing { interval, dir }) = checkpointing {
        configuration = configuration
            .set("execution.checkpointing.interval", format!("{} ms", interval.as_millis()))
            .set("execution.checkpointing.dir", dir.display().to_string());
    }
    let configuration = configuration.build().map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
    let mut ctx = StreamingContext::new(configuration).parallelism(1);
    if let Some(Checkpointing { dir, .. }) = checkpointing {
        let store = stream_store::open(&dir.display().to_string(), JOB)?;
        ctx = ctx.checkpoint_store(Observed { store, written: Default::default(), log: log.clone(), says });
    }
    let counts = ctx.source("numbers", numbers).uid("numbers").key_by(|i| key_of(*i)).count().uid("count");
    let shared = log.clone();
    counts
        .transform("watch", move |_| Watch { log: shared.clone(), says, next: None, left: Vec::new() })
        .for_each(|()| {});
    let report = ctx.execute(JOB)?;
    let log = std::mem::take(&mut *log.lock());
    Ok((report, log))
}

/// Writes down when batches come, and refuses a count that is wrong.
struct Watch {
    log: SharedLog,
    says: Says,
    /// The number whose count comes next; none before the first.
    next: Option<u64>,
    left: Vec<Instant>,
}

impl Operator<(u64, u64), ()> for Watch {
    fn process(&mut self, batch: &mut Batch<(u64, u64)>, _out: &mut dyn Output<()>) -> Result<()> {
        self.left.push(Instant::now());
        let mut next = match self.next {
            Some(next) => next,
            None => {
                let start = self.log.lock().start;
                if self.says == Says::FirstAndDurable {
                    say(format_args!("first {start}"));
                }
                start
            }
        };
        for found in batch.drain() {
            let expected = (key_of(next), next / KEYS + 1);
            if found != expected {
                let message = format!("number {next} was counted as {found:?}, expected {expected:?}");
                return Err(Error::new(ErrorKind::Internal, message));
            }
            next += 1;
        }
        self.next = Some(next);
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.log.lock().left.append(&mut self.left);
    }
}

/// A store, and when what was durable in it.
struct Observed {
    store: Store,
    /// Bytes since the last manifest.
    written: std::sync::atomic::AtomicU64,
    log: SharedLog,
    says: Says,
}

impl CheckpointStore for Observed {
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation> {
        use std::sync::atomic::Ordering::Relaxed;
        let created = self.store.create(name, content)?;
        let bytes = content.iter().map(|part| part.len() as u64).sum::<u64>();
        let bytes = self.written.fetch_add(bytes, Relaxed) + bytes;
        if Manifest::sequence_of(name).is_none() {
            return Ok(created);
        }
        self.written.store(0, Relaxed);
        let mut log = self.log.lock();
        // One checkpoint is under way at a time: the last barrier is that of this one. There is none yet at the start,
        // when a run takes the store over.
        if let Some((began, next)) = log.barriers.last().copied() {
            log.stored.push(Stored { began, next, took: began.elapsed(), bytes });
            if self.says == Says::FirstAndDurable {
                say(format_args!("durable {next}"));
            }
        }
        Ok(created)
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>> {
        self.store.read(name)
    }

    fn list(&self) -> Result<Vec<StoredObject>> {
        self.store.list()
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.store.delete(name)
    }

    fn location(&self) -> String {
        self.store.location()
    }
}

#[expect(clippy::print_stdout, reason = "another process waits for it")]
fn say(what: std::fmt::Arguments<'_>) {
    println!("{what}");
}
