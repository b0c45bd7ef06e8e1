//! A source that can be read again, disks that fail on command, and the lines of a directory.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use stream_core::checkpoint::{CheckpointStore, Creation, MemoryStore, StoredObject};
use stream_core::{
    Batch, Error, ErrorKind, Opened, Poll, Result, SinkContext, Source, SourceContext, SourceReader, SplitPosition,
    StagedCommitter, StagedSink, StagedWriter, Timestamp,
};
use stream_files::FileSink;
use tempfile::TempDir;

/// SplitMix64.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) key: u8,
    pub(crate) at: i64,
    pub(crate) value: u64,
}

/// Reads the same records as often as it is asked to.
pub(crate) struct Replay(pub(crate) Arc<Vec<Event>>);

struct ReplayReader {
    events: Arc<Vec<Event>>,
    next: usize,
}

impl Source<Event> for Replay {
    fn open(&mut self, context: &SourceContext) -> Result<Opened<Event>> {
        let next = context.position("replay").unwrap_or(0) as usize;
        let reader = ReplayReader { events: self.0.clone(), next };
        Ok(Opened { readers: vec![Box::new(reader)], committer: None })
    }
}

impl SourceReader<Event> for ReplayReader {
    fn poll(&mut self, batch: &mut Batch<Event>) -> Result<Poll> {
        let first = self.next;
        for event in self.events.iter().skip(first).take(1 + first % 3) {
            batch.push_at(event.clone(), Timestamp::from_millis(event.at));
            self.next += 1;
        }
        if first == self.next {
            return Ok(Poll::End);
        }
        batch.add_position(&"replay".into(), first as i64, self.next as i64 - 1);
        Ok(Poll::Ready)
    }

    fn positions(&mut self, positions: &mut Vec<SplitPosition>) {
        positions.push(SplitPosition::new("replay", self.next as i64));
    }
}

/// Which operations fail, for all of a job's disks. It is the checkpoint store as well.
#[derive(Clone)]
pub(crate) struct Faults {
    store: MemoryStore,
    state: Arc<Mutex<State>>,
    /// The bug to be found: files are published when they are prepared.
    is_eager: bool,
}

struct State {
    random: Random,
    is_off: bool,
    just_failed: bool,
}

impl Faults {
    pub(crate) fn new(seed: u64, is_eager: bool) -> Faults {
        let state = State { random: Random::new(seed), is_off: false, just_failed: false };
        Faults { store: MemoryStore::new(), state: Arc::new(Mutex::new(state)), is_eager }
    }

    pub(crate) fn set_off(&self, is_off: bool) {
        self.state.lock().expect("no panic").is_off = is_off;
    }

    /// Whether something has failed since the last call.
    pub(crate) fn take_just_failed(&self) -> bool {
        std::mem::take(&mut self.state.lock().expect("no panic").just_failed)
    }

    /// Fails now and then.
    fn check(&self) -> Result<()> {
        let mut state = self.state.lock().expect("no panic");
        if state.is_off || state.random.below(10) > 0 {
            return Ok(());
        }
        state.just_failed = true;
        Err(Error::new(ErrorKind::Unavailable, "the disk has trouble"))
    }
}

impl CheckpointStore for Faults {
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation> {
        self.check()?;
        let created = self.store.create(name, content)?;
        self.check().map(|()| created)
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>> {
        self.store.read(name)
    }

    fn list(&self) -> Result<Vec<StoredObject>> {
        self.check().and_then(|()| self.store.list())
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.check()?;
        self.store.delete(name)
    }

    fn location(&self) -> String {
        self.store.location()
    }
}

/// A file sink whose committer fails now and then, before, after or in the middle of what it does.
pub(crate) struct Watched {
    sink: FileSink,
    faults: Faults,
}

impl Watched {
    pub(crate) fn new(sink: FileSink, faults: &Faults) -> Watched {
        Watched { sink, faults: faults.clone() }
    }
}

impl<T: serde::Serialize + Send + 'static> StagedSink<T> for Watched {
    fn open(&mut self, context: &SinkContext) -> Result<Box<dyn StagedWriter<T>>> {
        self.sink.open(context)
    }

    fn committer(&mut self, context: &SinkContext) -> Result<Box<dyn StagedCommitter>> {
        let committer = StagedSink::<T>::committer(&mut self.sink, context)?;
        Ok(Box::new(WatchedCommitter { committer, faults: self.faults.clone() }))
    }

    fn check(&mut self, limit: Duration) -> Result<String> {
        StagedSink::<T>::check(&mut self.sink, limit)
    }
}

struct WatchedCommitter {
    committer: Box<dyn StagedCommitter>,
    faults: Faults,
}

impl StagedCommitter for WatchedCommitter {
    fn prepare(&mut self, staged: &[Vec<u8>]) -> Result<()> {
        self.faults.check()?;
        self.committer.prepare(staged)?;
        if self.faults.is_eager {
            self.committer.publish(staged)?;
        }
        self.faults.check()
    }

    fn publish(&mut self, staged: &[Vec<u8>]) -> Result<()> {
        for one in staged {
            self.faults.check()?;
            self.committer.publish(std::slice::from_ref(one))?;
        }
        self.faults.check()
    }

    fn discard_leftovers(&mut self) -> Result<()> {
        self.committer.discard_leftovers()
    }
}

/// A directory for one test, in memory where that is possible: what is tested is not the disk.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a directory")
}

/// The sorted lines of all published files, whose first line is `header`. Fails if anything else was left behind, or a
/// file is empty.
pub(crate) fn lines(directory: &Path, header: Option<&str>) -> std::result::Result<Vec<String>, String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == ".stream-files" {
            continue;
        }
        if name.starts_with('.') {
            return Err(format!("`{name}` was left behind"));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
        let mut lines = text.lines();
        if header.is_some() && lines.next() != header {
            return Err(format!("`{name}` has another header"));
        }
        let before = all.len();
        all.extend(lines.map(str::to_owned));
        if all.len() == before {
            return Err(format!("`{name}` has no records"));
        }
    }
    all.sort_unstable();
    Ok(all)
}
