//! A job whose every part has state in its checkpoints, and a world outside that notices what is lost or twice.
//!
//! Numbers come from two splits as far as the test allows; they are counted by key and summed in windows; what comes
//! out is put aside and published with the checkpoint. What is put aside and not published when a run begins is
//! discarded, as files would be.

#![allow(dead_code, reason = "every test file uses its own part")]

pub(crate) mod faulty;
pub(crate) mod log;

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use stream_core::checkpoint::CheckpointStore;
use stream_core::thread::Waker;
use stream_core::window::TumblingWindows;
use stream_core::{
    Batch, Configuration, DataStream, Error, ErrorKind, JobHandle, Opened, Poll, Result, SinkContext, Source,
    SourceContext, SourceReader, SplitPosition, StagedCommitter, StagedSink, StagedWriter, StreamingContext, Timestamp,
    WatermarkStrategy,
};

/// How many numbers each split has.
pub(crate) const END: i64 = 300;

const SPLITS: usize = 2;
const KEYS: u64 = 7;
const WINDOW: u64 = 50;

/// How long anything may take before the test says that it hangs.
const DEADLINE: Duration = Duration::from_secs(30);

/// The outside of the job: it survives its runs.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    /// How far splits may be read.
    limit: i64,
    /// How far each has been read.
    read: [i64; SPLITS],
    wakers: Vec<Waker>,
    aside: BTreeSet<Vec<u8>>,
    published: BTreeSet<Vec<u8>>,
}

impl World {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().expect("nobody panics while holding it")
    }

    /// Lets the splits be read up to `limit`, and waits until they were.
    pub(crate) fn read_to(&self, limit: i64) {
        let mut state = self.lock();
        state.limit = limit;
        state.wakers.iter().for_each(Waker::wake);
        let not_yet = |state: &mut State| state.read.iter().any(|read| *read < limit);
        let (state, waited) = self.0.1.wait_timeout_while(state, DEADLINE, not_yet).expect("nobody panics");
        drop(state);
        assert!(!waited.timed_out(), "hangs: the splits are not read up to {limit}");
    }

    /// Lets the splits be read up to `limit` by the next run.
    pub(crate) fn allow(&self, limit: i64) {
        self.lock().limit = limit;
    }

    /// Every line that was published, as often as it was.
    pub(crate) fn published(&self) -> Vec<String> {
        let state = self.lock();
        let whole = state.published.iter().map(|file| String::from_utf8(file.clone()).expect("text"));
        let mut lines: Vec<String> =
            whole.flat_map(|file| file.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        lines.sort();
        lines
    }

    /// What must have been published when all was read.
    pub(crate) fn expected() -> Vec<String> {
        let all = SPLITS as u64 * END as u64;
        let mut lines = Vec::new();
        for key in 0..KEYS {
            let numbers = || (0..all).filter(move |n| n % KEYS == key);
            lines.extend((1..=numbers().count()).map(|count| format!("count {key} {count}")));
            for start in (0..all).step_by(WINDOW as usize) {
                let in_window = numbers().filter(|n| (start..start + WINDOW).contains(n));
                let sum: u64 = in_window.sum();
                if numbers().any(|n| (start..start + WINDOW).contains(&n)) {
                    lines.push(format!("window {key} {start} {sum}"));
                }
            }
        }
        lines.sort();
        lines
    }

    /// Describes the job and starts it.
    pub(crate) fn start(&self, store: impl CheckpointStore + 'static, settings: &[&str]) -> Result<JobHandle> {
        self.start_as("totals", store, settings)
    }

    pub(crate) fn start_as(
        &self,
        job: &str,
        store: impl CheckpointStore + 'static,
        settings: &[&str],
    ) -> Result<JobHandle> {
        let (ctx, lines) = self.describe(settings);
        lines.staged_sink("aside", Aside(self.clone())).uid("aside");
        ctx.checkpoint_store(store).start(job)
    }

    /// The job without its sink.
    pub(crate) fn describe(&self, settings: &[&str]) -> (StreamingContext, DataStream<String>) {
        let given = ["execution.checkpointing.interval=10ms", "restart-strategy=none", "parallelism.default=2"];
        let arguments = given.iter().chain(settings).flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]);
        let configuration = Configuration::builder().args(arguments).build().expect("good settings");
        let ctx = StreamingContext::new(configuration);
        let in_order = WatermarkStrategy::for_monotonous_timestamps()
            .with_timestamp_assigner(|n: &u64, _| Timestamp::from_millis(*n as i64));
        let numbers = ctx.source("numbers", Numbers(self.clone())).uid("numbers").parallelism(SPLITS);
        let numbers = numbers.assign_timestamps_and_watermarks(in_order).uid("time");
        let counts = numbers.clone().key_by(|n| n % KEYS).count().uid("counts");
        let counts = counts.map(|(key, count)| format!("count {key} {count}")).uid("count-lines");
        let windows = TumblingWindows::of(Duration::from_millis(WINDOW));
        let sums = numbers.key_by(|n| n % KEYS).window(windows).sum(|n| *n).uid("sums");
        let sums = sums.map(|sum| format!("window {} {} {}", sum.key, sum.window.start().as_millis(), sum.value));
        (ctx, counts.union([sums.uid("sum-lines")]))
    }
}

struct Numbers(World);

impl Source<u64> for Numbers {
    fn open(&mut self, context: &SourceContext) -> Result<Opened<u64>> {
        self.0.lock().wakers = (0..SPLITS).map(|subtask| context.waker(subtask)).collect();
        let readers = (0..SPLITS).map(|index| {
            let split: Arc<str> = format!("numbers[{index}]").into();
            let next = context.position(&split).unwrap_or(0);
            Box::new(Reader { world: self.0.clone(), index, split, next }) as Box<dyn SourceReader<u64>>
        });
        Ok(Opened { readers: readers.collect(), committer: None })
    }
}

struct Reader {
    world: World,
    index: usize,
    split: Arc<str>,
    next: i64,
}

impl SourceReader<u64> for Reader {
    fn poll(&mut self, batch: &mut Batch<u64>) -> Result<Poll> {
        let mut state = self.world.lock();
        state.read[self.index] = self.next;
        self.world.0.1.notify_all();
        if self.next == END {
            return Ok(Poll::End);
        }
        let until = state.limit.min(self.next + 10);
        if until <= self.next {
            return Ok(Poll::Idle);
        }
        (self.next..until).for_each(|i| batch.push(i as u64 * SPLITS as u64 + self.index as u64));
        self.next = until;
        Ok(Poll::Ready)
    }

    fn positions(&mut self, positions: &mut Vec<SplitPosition>) {
        positions.push(SplitPosition::new(self.split.clone(), self.next));
    }
}

struct Aside(World);

impl StagedSink<String> for Aside {
    fn open(&mut self, _context: &SinkContext) -> Result<Box<dyn StagedWriter<String>>> {
        Ok(Box::new(Writer { world: self.0.clone(), lines: String::new() }))
    }

    fn committer(&mut self, _context: &SinkContext) -> Result<Box<dyn StagedCommitter>> {
        Ok(Box::new(Publisher(self.0.clone())))
    }
}

struct Writer {
    world: World,
    lines: String,
}

impl StagedWriter<String> for Writer {
    fn write(&mut self, batch: &mut Batch<String>) -> Result<()> {
        for line in batch.drain() {
            self.lines.push_str(&line);
            self.lines.push('\n');
        }
        Ok(())
    }

    fn stage(&mut self, _epoch: u64) -> Result<Option<Vec<u8>>> {
        let file = std::mem::take(&mut self.lines).into_bytes();
        if file.is_empty() {
            return Ok(None);
        }
        self.world.lock().aside.insert(file.clone());
        Ok(Some(file))
    }
}

struct Publisher(World);

impl StagedCommitter for Publisher {
    fn prepare(&mut self, _staged: &[Vec<u8>]) -> Result<()> {
        Ok(())
    }

    fn publish(&mut self, staged: &[Vec<u8>]) -> Result<()> {
        let mut state = self.0.lock();
        for file in staged {
            if state.aside.remove(file) {
                state.published.insert(file.clone());
            } else if !state.published.contains(file) {
                return Err(Error::new(ErrorKind::Corrupt, "what was put aside is gone"));
            }
        }
        Ok(())
    }

    fn discard_leftovers(&mut self) -> Result<()> {
        self.0.lock().aside.clear();
        Ok(())
    }
}

/// What a world has that goes on from stored files: everything the checkpoints name is there.
impl World {
    pub(crate) fn with_aside(files: impl IntoIterator<Item = Vec<u8>>) -> World {
        let world = World::default();
        world.lock().aside.extend(files);
        world
    }
}
