//! The two interfaces of the data plane: [`Operator`], which turns batches into batches, and
//! [`Output`], the one thing anybody pushes at.
//!
//! Chain links, exchange writers and test collectors implement `Output`; nothing else is needed to
//! run an operator alone. An operator never waits, never starts a thread and never asks whether
//! there is room: it takes one batch and pushes what comes of it. One whose output can be much
//! larger than its input keeps the rest and says so by [`Operator::pending`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::batch::Batch;
use crate::clock::{Clock, Now, SystemClock};
use crate::error::{Place, Result};
use crate::state::StateBackend;
use crate::time::Timestamp;

/// How many key groups a job has unless it is told otherwise.
pub(crate) const MAX_PARALLELISM: usize = 256;

/// What can travel on a stream: any owned type that can be sent to another thread.
pub trait Record: Send + 'static {}

impl<T: Send + 'static> Record for T {}

/// Separates the records of one epoch from those of the next; flows between records, through every edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Barrier {
    /// The epoch that ends here, counted from 1.
    pub epoch: u64,
}

/// What comes next in the dataflow.
pub trait Output<T>: Send {
    /// Takes the records of a batch; the caller keeps the buffer and clears it.
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<()>;

    /// No record with a timestamp at or before `watermark` follows.
    fn watermark(&mut self, watermark: Timestamp) -> Result<()>;

    /// Nothing comes for now: don't wait for this input's watermark.
    fn idle(&mut self) -> Result<()>;

    /// An epoch ends here.
    fn barrier(&mut self, barrier: Barrier) -> Result<()>;

    /// Nothing follows, ever.
    fn end(&mut self) -> Result<()>;
}

/// One step of processing from records of type `I` to records of type `O`.
///
/// The engine calls `open` once, then `process`, `watermark` and `snapshot` in stream order, `end` last. While
/// [`pending`](Operator::pending) is true it calls nothing but `resume`. Barriers and the end are forwarded by
/// the engine, so an operator can neither lose nor reorder them.
///
/// # Example
/// ```
/// use stream_core::{Batch, Operator, Output, Result};
///
/// /// Sums every batch into one record.
/// struct SumBatch;
///
/// impl Operator<u64, u64> for SumBatch {
///     fn process(&mut self, batch: &mut Batch<u64>, out: &mut dyn Output<u64>) -> Result<()> {
///         let mut sums = Batch::from_iter([batch.drain().sum()]);
///         out.batch(&mut sums)
///     }
/// }
/// ```
pub trait Operator<I, O>: Send {
    /// Called once, before anything else.
    ///
    /// # Errors
    /// Any error stops the job before it has read a record.
    fn open(&mut self, _context: &OperatorContext) -> Result<()> {
        Ok(())
    }

    /// Takes one batch and pushes at most one batch of results; what is left over makes `pending` true.
    ///
    /// # Errors
    /// Any error fails the subtask; the engine attaches operator, uid, subtask and source position.
    fn process(&mut self, batch: &mut Batch<I>, out: &mut dyn Output<O>) -> Result<()>;

    /// Event time has reached `watermark`; returns the watermark to pass on, if any. It is passed on
    /// after what this call left pending.
    ///
    /// # Errors
    /// As [`process`](Operator::process).
    fn watermark(&mut self, watermark: Timestamp, _out: &mut dyn Output<O>) -> Result<Option<Timestamp>> {
        Ok(Some(watermark))
    }

    /// The input is silent for now; returns whether to pass that on. An operator that makes watermarks of its own
    /// doesn't.
    ///
    /// # Errors
    /// As [`process`](Operator::process).
    fn idle(&mut self, _out: &mut dyn Output<O>) -> Result<bool> {
        Ok(true)
    }

    /// The input is drained for the moment: push what waited for more of it. Not called while more input waits.
    ///
    /// # Errors
    /// As [`process`](Operator::process).
    fn flush(&mut self, _out: &mut dyn Output<O>) -> Result<()> {
        Ok(())
    }

    /// When [`tick`](Operator::tick) is to be called, on the monotonic clock of [`OperatorContext::now`].
    fn due(&self) -> Option<Duration> {
        None
    }

    /// The time of [`due`](Operator::due) has come, or is near: push at most one batch of what it brings.
    ///
    /// # Errors
    /// As [`process`](Operator::process).
    fn tick(&mut self, _now: Now, _out: &mut dyn Output<O>) -> Result<()> {
        Ok(())
    }

    /// The input has ended: push what is still held back.
    ///
    /// # Errors
    /// As [`process`](Operator::process).
    fn end(&mut self, _out: &mut dyn Output<O>) -> Result<()> {
        Ok(())
    }

    /// Whether an earlier call left output behind that did not fit into one batch.
    fn pending(&self) -> bool {
        false
    }

    /// Pushes at most one more batch of what is pending.
    ///
    /// # Errors
    /// As [`process`](Operator::process).
    fn resume(&mut self, _out: &mut dyn Output<O>) -> Result<()> {
        Ok(())
    }

    /// Writes this operator's part of a checkpoint; called at a barrier, between two records.
    ///
    /// # Errors
    /// An error fails the checkpoint, not the job.
    fn snapshot(&mut self, _snapshot: &mut Snapshot) -> Result<()> {
        Ok(())
    }

    /// Writes more of the part that the last [`snapshot`](Operator::snapshot) began, as the state was then; returns
    /// whether there is still more. Called between batches, until there is not, so that much state does not keep
    /// records waiting.
    ///
    /// # Errors
    /// An error fails the checkpoint, not the job.
    fn snapshot_more(&mut self, _snapshot: &mut Snapshot) -> Result<bool> {
        Ok(false)
    }

    /// Takes back what [`snapshot`](Operator::snapshot) and [`snapshot_more`](Operator::snapshot_more) wrote; called
    /// after `open`, before the first record.
    ///
    /// # Errors
    /// `Corrupt` if the bytes can't be read.
    fn restore(&mut self, _snapshot: &Snapshot) -> Result<()> {
        Ok(())
    }

    /// After an error or a panic in `process`: which record of the batch was in hand, where that is known.
    fn failed_at(&self) -> Option<usize> {
        None
    }
}

impl fmt::Debug for OperatorContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (uid {}), subtask {} of {}", self.0.name, self.0.uid, self.0.subtask, self.0.parallelism)
    }
}

/// One operator's part of a checkpoint: named byte strings, lists of them, and keyed state by key group.
///
/// What is not keyed says by its kind who gets it (as Flink's operator state):
///
/// | Kind | At the same parallelism | At another one |
/// |---|---|---|
/// | [`put`](Snapshot::put) | each subtask its own | each that of the first subtask |
/// | [`put_list`](Snapshot::put_list) | each subtask its own items | the items of all, dealt out evenly |
/// | [`put_union`](Snapshot::put_union) | each the items of all | each the items of all |
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    entries: BTreeMap<String, Bytes>,
    /// By name and kind.
    lists: BTreeMap<String, Vec<Bytes>>,
    groups: BTreeMap<(String, u32), Parts>,
    /// What an entry of a keyed state looks like, by the state's name.
    schemas: BTreeMap<String, Arc<str>>,
    /// Whether nothing that was written earlier may be relied on.
    everything: bool,
}

/// The bytes of one key group of a keyed state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Whether the first part is all there was; otherwise every part is what changed since the snapshot before.
    pub(crate) whole: bool,
    pub(crate) parts: Vec<Bytes>,
}

impl Snapshot {
    /// One that is to have everything, not only what has changed since the one before.
    pub(crate) fn of_everything() -> Snapshot {
        Snapshot { everything: true, ..Snapshot::default() }
    }

    pub(crate) fn is_of_everything(&self) -> bool {
        self.everything
    }

    /// Stores `bytes` under `name`, in place of what was there. A name that ends with ` (list)` or ` (union)` is taken.
    pub fn put(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.entries.insert(name.into(), bytes.into());
    }

    /// Stores items under `name` that are dealt out evenly when the number of subtasks changes, in place of what was
    /// there.
    ///
    /// # Example
    /// ```
    /// use stream_core::Snapshot;
    ///
    /// let mut snapshot = Snapshot::default();
    /// snapshot.put_list("shards", [b"shard 1".to_vec(), b"shard 2".to_vec()]);
    /// assert_eq!(snapshot.list("shards").collect::<Vec<_>>(), [b"shard 1", b"shard 2"]);
    /// ```
    pub fn put_list(&mut self, name: &str, items: impl IntoIterator<Item = Vec<u8>>) {
        self.lists.insert(ListKind::Dealt.key(name), items.into_iter().map(Bytes::from).collect());
    }

    /// What this subtask gets of the lists that were stored under `name`.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.lists.get(&ListKind::Dealt.key(name)).into_iter().flatten().map(|bytes| &**bytes)
    }

    /// Stores items under `name` that every subtask gets, together with those of all others, in place of what was there.
    pub fn put_union(&mut self, name: &str, items: impl IntoIterator<Item = Vec<u8>>) {
        self.lists.insert(ListKind::Union.key(name), items.into_iter().map(Bytes::from).collect());
    }

    /// What all subtasks have stored under `name`, in the order of the subtasks.
    pub fn union(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.lists.get(&ListKind::Union.key(name)).into_iter().flatten().map(|bytes| &**bytes)
    }

    /// Whether nothing was stored.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.lists.is_empty() && self.groups.is_empty()
    }

    /// What was stored under `name`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.entries.get(name).map(|bytes| &**bytes)
    }

    /// All entries whose names begin with `prefix`, in the order of their names.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let from = self.entries.range(prefix.to_owned()..);
        from.take_while(move |(name, _)| name.starts_with(prefix)).map(|(name, bytes)| (&**name, &**bytes))
    }

    /// Stores all there is of a key group of the state `name`.
    pub(crate) fn put_group(&mut self, name: &str, group: u32, bytes: Vec<u8>) {
        self.groups.insert((name.to_owned(), group), Parts { whole: true, parts: vec![bytes.into()] });
    }

    /// Stores what has changed in a key group of the state `name` since the snapshot before.
    pub(crate) fn put_changes(&mut self, name: &str, group: u32, changes: Option<Vec<u8>>) {
        let parts = changes.into_iter().map(Bytes::from).collect();
        self.groups.insert((name.to_owned(), group), Parts { whole: false, parts });
    }

    /// The key groups of the state `name`.
    pub(crate) fn groups_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (u32, &'a Parts)> {
        let from = self.groups.range((name.to_owned(), 0)..);
        from.take_while(move |((state, _), _)| state == name).map(|((_, group), parts)| (*group, parts))
    }

    /// The names of the keyed states.
    pub(crate) fn states(&self) -> impl Iterator<Item = &str> {
        let mut last = None;
        let names = self.groups.keys().map(|(state, _)| state.as_str());
        names.filter(move |name| last.replace(*name) != Some(*name))
    }

    pub(crate) fn entries(&self) -> &BTreeMap<String, Bytes> {
        &self.entries
    }

    pub(crate) fn lists(&self) -> &BTreeMap<String, Vec<Bytes>> {
        &self.lists
    }

    pub(crate) fn groups(&self) -> &BTreeMap<(String, u32), Parts> {
        &self.groups
    }

    pub(crate) fn put_schema(&mut self, name: &str, schema: Arc<str>) {
        self.schemas.insert(name.to_owned(), schema);
    }

    /// What an entry of the state `name` looked like when it was stored.
    pub(crate) fn schema(&self, name: &str) -> Option<&str> {
        self.schemas.get(name).map(|schema| &**schema)
    }

    pub(crate) fn schemas(&self) -> &BTreeMap<String, Arc<str>> {
        &self.schemas
    }

    pub(crate) fn from_parts(
        entries: BTreeMap<String, Bytes>,
        lists: BTreeMap<String, Vec<Bytes>>,
        groups: BTreeMap<(String, u32), Parts>,
        schemas: BTreeMap<String, Arc<str>>,
    ) -> Snapshot {
        Snapshot { entries, lists, groups, schemas, everything: false }
    }

    /// Adds the part of a later subtask: of two byte strings with one name the first stays, lists become one.
    pub(crate) fn merge(&mut self, other: &Snapshot) {
        for (name, bytes) in &other.entries {
            self.entries.entry(name.clone()).or_insert_with(|| bytes.clone());
        }
        for (name, items) in &other.lists {
            self.lists.entry(name.clone()).or_default().extend(items.iter().cloned());
        }
        self.groups.extend(other.groups.iter().map(|(name, parts)| (name.clone(), parts.clone())));
        self.schemas.extend(other.schemas.iter().map(|(name, schema)| (name.clone(), schema.clone())));
    }

    /// Of the merged parts of all subtasks, leaves of each list what subtask `subtask` of `parallelism` gets.
    pub(crate) fn deal(&mut self, subtask: usize, parallelism: usize) {
        for (key, items) in &mut self.lists {
            if matches!(ListKind::of(key), Some(ListKind::Dealt)) {
                let mut index = 0;
                items.retain(|_| {
                    index += 1;
                    (index - 1) % parallelism == subtask
                });
            }
        }
    }

    /// Takes the lists of which every subtask gets everything from the merged parts of all subtasks.
    pub(crate) fn take_unions(&mut self, all: &Snapshot) {
        for (key, items) in &all.lists {
            if matches!(ListKind::of(key), Some(ListKind::Union)) {
                self.lists.insert(key.clone(), items.clone());
            }
        }
    }

    /// Makes this and the later snapshot `next` of the same subtask one, as if this one had never been taken.
    pub(crate) fn follow(&mut self, next: Snapshot) {
        (self.entries, self.lists, self.schemas) = (next.entries, next.lists, next.schemas);
        let mut before = std::mem::replace(&mut self.groups, next.groups);
        for (name, parts) in &mut self.groups {
            if !parts.whole
                && let Some(mut earlier) = before.remove(name)
            {
                earlier.parts.append(&mut parts.parts);
                *parts = earlier;
            }
        }
    }
}

/// Who gets the items of a list.
#[derive(Clone, Copy)]
enum ListKind {
    Dealt,
    Union,
}

impl ListKind {
    /// What a list of this kind is called in checkpoints.
    fn key(self, name: &str) -> String {
        match self {
            ListKind::Dealt => format!("{name}{DEALT}"),
            ListKind::Union => format!("{name}{UNION}"),
        }
    }

    fn of(key: &str) -> Option<ListKind> {
        if key.ends_with(DEALT) { Some(ListKind::Dealt) } else { key.ends_with(UNION).then_some(ListKind::Union) }
    }
}

const DEALT: &str = " (list)";
const UNION: &str = " (union)";

/// Whether this name in a checkpoint is that of a list.
pub(crate) fn is_list(key: &str) -> bool {
    ListKind::of(key).is_some()
}

/// Who an operator is: its names and its place among the parallel instances.
#[derive(Clone)]
pub struct OperatorContext(Arc<Identity>);

struct Identity {
    name: String,
    uid: String,
    subtask: usize,
    parallelism: usize,
    max_parallelism: usize,
    state_backend: StateBackend,
    watermark_interval: Option<Duration>,
    clock: Arc<dyn Clock>,
}

impl OperatorContext {
    /// Subtask `subtask` (from 0) of `parallelism` of the operator `name` with stable id `uid`.
    pub fn new(name: impl Into<String>, uid: impl Into<String>, subtask: usize, parallelism: usize) -> OperatorContext {
        OperatorContext(Arc::new(Identity {
            name: name.into(),
            uid: uid.into(),
            subtask,
            parallelism,
            max_parallelism: MAX_PARALLELISM,
            state_backend: StateBackend::default(),
            watermark_interval: None,
            clock: Arc::new(SystemClock::new()),
        }))
    }

    /// The same operator, living by this clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> OperatorContext {
        self.with(|identity| identity.clock = clock)
    }

    /// The same operator in a job with this many key groups.
    #[must_use]
    pub fn with_max_parallelism(self, max_parallelism: usize) -> OperatorContext {
        self.with(|identity| identity.max_parallelism = max_parallelism)
    }

    fn with(self, change: impl FnOnce(&mut Identity)) -> OperatorContext {
        let mut identity =
            Identity { name: self.0.name.clone(), uid: self.0.uid.clone(), clock: self.0.clock.clone(), ..*self.0 };
        change(&mut identity);
        OperatorContext(Arc::new(identity))
    }

    /// The same operator with its state in another backend.
    #[must_use]
    pub fn with_state_backend(self, backend: StateBackend) -> OperatorContext {
        self.with(|identity| identity.state_backend = backend)
    }

    /// The same operator in a job with this `pipeline.auto-watermark-interval`; none if nobody chose one.
    #[must_use]
    pub fn with_watermark_interval(self, interval: Option<Duration>) -> OperatorContext {
        self.with(|identity| identity.watermark_interval = interval)
    }

    /// The job's `pipeline.auto-watermark-interval`, if somebody chose one.
    pub fn watermark_interval(&self) -> Option<Duration> {
        self.0.watermark_interval
    }

    /// Where the operator keeps its state.
    pub fn state_backend(&self) -> StateBackend {
        self.0.state_backend
    }

    /// What the clocks of the job show.
    pub fn now(&self) -> Now {
        self.0.clock.now()
    }

    /// The clock of the job.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.0.clock.clone()
    }

    /// How many key groups the job has; fixed for its life.
    pub fn max_parallelism(&self) -> usize {
        self.0.max_parallelism
    }

    /// What people read.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The stable id by which state is found.
    pub fn uid(&self) -> &str {
        &self.0.uid
    }

    /// Which parallel instance this is, from 0.
    pub fn subtask(&self) -> usize {
        self.0.subtask
    }

    /// How many parallel instances there are.
    pub fn parallelism(&self) -> usize {
        self.0.parallelism
    }

    pub(crate) fn place(&self, position: Option<String>) -> Place {
        Place {
            operator: self.0.name.clone(),
            uid: self.0.uid.clone(),
            subtask: self.0.subtask,
            parallelism: self.0.parallelism,
            position,
        }
    }
}
