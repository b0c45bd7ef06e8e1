//! [`ProcessFunction`]: a user's function with state and timers per key, and the operator that runs it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::batch::{BATCH_SIZE, Batch};
use crate::clock::Now;
use crate::error::{Error, Result};
use crate::key::{Key, Keyed};
use crate::operator::{Operator, OperatorContext, Output, Record, Snapshot};
use crate::position::Origin;
use crate::state::groups::{GroupWriter, owned_groups, read_groups};
use crate::state::table::Budget;
use crate::state::timers::Timers;
use crate::state::{CurrentKey, SnapshotRest, StateBackend, StateTask, States};
use crate::time::Timestamp;

/// Where the engine keeps what is its own among the states of an operator: users' names have no slash.
const EVENT_TIMERS: &str = "engine/event-timers";
const PROCESSING_TIMERS: &str = "engine/processing-timers";

const WATERMARK: &str = "engine/watermark";

/// Whether the entries of a state are timers: they begin with their time, not with their key.
pub(crate) fn is_timers(state: &str) -> bool {
    state == EVENT_TIMERS || state == PROCESSING_TIMERS
}

/// How long a processing-time timer is slept for at most: the wall clock may be set forward meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// What a function may fail with: any error, also one of [`Error`].
pub type FunctionResult = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A function over a keyed stream that keeps state per key and can ask to be called again, in event time or in
/// processing time.
///
/// All records and timers of one key are handled by one subtask, one after another; those of different keys don't see
/// each other's state. States are fields, named in [`states`](ProcessFunction::states).
///
/// # Example
/// An alarm for users that have been silent for a minute of event time:
/// ```
/// use stream_core::testing::TestDriver;
/// use stream_core::{
///     FunctionResult, ProcessContext, ProcessFunction, States, Timer, Timestamp, ValueState,
/// };
///
/// struct Silence {
///     last_seen: ValueState<String, Timestamp>,
/// }
///
/// const MINUTE: i64 = 60_000;
///
/// impl ProcessFunction<String, String> for Silence {
///     type Out = String;
///
///     fn states(&mut self, states: &mut States<'_, String>) {
///         states.add(&mut self.last_seen);
///     }
///
///     fn process(&mut self, _user: String, ctx: &mut ProcessContext<'_, String, String>) -> FunctionResult {
///         let now = ctx.timestamp().ok_or("a record without a timestamp")?;
///         self.last_seen.set(ctx.key(), now);
///         ctx.register_event_timer(Timestamp::from_millis(now.as_millis() + MINUTE));
///         Ok(())
///     }
///
///     fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, String, String>) -> FunctionResult {
///         let last = self.last_seen.get(ctx.key()).map(Timestamp::as_millis);
///         if last.is_some_and(|last| last + MINUTE <= timer.at().as_millis()) {
///             self.last_seen.take(ctx.key());
///             ctx.emit(format!("{} is silent", ctx.key().get()));
///         }
///         Ok(())
///     }
/// }
///
/// let mut driver = TestDriver::new();
/// let (users, alarms) = driver.job(|users| {
///     users.key_by(String::clone).process(|| Silence { last_seen: ValueState::new("last-seen") })
/// });
/// users.push_at("ada".into(), Timestamp::from_millis(0));
/// users.push_at("ada".into(), Timestamp::from_millis(30_000));
/// driver.finish()?;
/// assert_eq!(alarms.take(), ["ada is silent"]);
/// # Ok::<(), stream_core::Error>(())
/// ```
pub trait ProcessFunction<K, I>: Send + 'static {
    /// What comes out. For side outputs, an [`Either`](crate::Either), and
    /// [`split`](crate::DataStream::split) behind.
    type Out: Record;

    /// Puts every state of this function on the list. Called whenever the engine needs it: at the start, for snapshots
    /// and restores. A state that is not on the list panics when it is used.
    fn states(&mut self, _states: &mut States<'_, K>) {}

    /// Takes one record. Several results of one record stay together, in order, with its timestamp.
    ///
    /// # Errors
    /// Any error fails the job and names operator, subtask and source position.
    fn process(&mut self, record: I, ctx: &mut ProcessContext<'_, K, Self::Out>) -> FunctionResult;

    /// A timer has fallen due: in event time when the watermark has reached it, in processing time when the wall clock
    /// has. Results carry the timer's time if it is one of event time, and none otherwise.
    ///
    /// At the end of a bounded input all event-time timers fire, then those processing-time timers that are still
    /// waiting, once.
    ///
    /// # Errors
    /// As [`process`](ProcessFunction::process).
    fn on_timer(&mut self, _timer: Timer, _ctx: &mut ProcessContext<'_, K, Self::Out>) -> FunctionResult {
        Ok(())
    }
}

/// A timer that has fallen due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// One of event time.
    Event(Timestamp),
    /// One of processing time.
    Processing(Timestamp),
}

impl Timer {
    /// What it was registered for.
    pub fn at(self) -> Timestamp {
        let (Timer::Event(at) | Timer::Processing(at)) = self;
        at
    }
}

/// What a [`ProcessFunction`] can ask and do while it handles a record or a timer.
pub struct ProcessContext<'a, K, O> {
    key: CurrentKey<'a, K>,
    timestamp: Option<Timestamp>,
    watermark: Timestamp,
    results: &'a mut Batch<O>,
    event_timers: &'a mut Timers<K>,
    processing_timers: &'a mut Timers<K>,
}

impl<'a, K: Key, O> ProcessContext<'a, K, O> {
    /// The key in hand: what every access to state takes.
    #[inline]
    pub fn key(&self) -> CurrentKey<'a, K> {
        self.key
    }

    /// The event time of the record or timer in hand, if it has one.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// How far event time has come: no record at or before this follows, but late ones. [`Timestamp::MIN`] before the
    /// first watermark.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// What the wall clock showed when the batch of this record was taken in.
    pub fn processing_time(&self) -> Timestamp {
        self.key.now
    }

    /// Yields a result, with the timestamp of the record or timer in hand.
    #[inline]
    pub fn emit(&mut self, result: O) {
        self.results.push_as(result, self.timestamp);
    }

    /// Asks to be called with this key when the watermark reaches `at`; at the next watermark if it has already.
    pub fn register_event_timer(&mut self, at: Timestamp) {
        self.event_timers.register(self.key, at);
    }

    /// Forgets a timer of this key; it is no mistake if there is none.
    pub fn delete_event_timer(&mut self, at: Timestamp) {
        self.event_timers.delete(self.key, at);
    }

    /// Asks to be called with this key when the wall clock reaches `at`.
    pub fn register_processing_timer(&mut self, at: Timestamp) {
        self.processing_timers.register(self.key, at);
    }

    /// Forgets a timer of this key; it is no mistake if there is none.
    pub fn delete_processing_timer(&mut self, at: Timestamp) {
        self.processing_timers.delete(self.key, at);
    }
}

/// Runs a [`ProcessFunction`].
pub(crate) struct Process<K, I, F: ProcessFunction<K, I>> {
    function: F,
    context: OperatorContext,
    event_timers: Timers<K>,
    processing_timers: Timers<K>,
    watermark: Timestamp,
    /// Records taken in whose turn has not come, because those before them gave enough for a batch.
    waiting: VecDeque<(Keyed<K, I>, Option<Timestamp>)>,
    results: Batch<F::Out>,
    now: Now,
    /// The processing-time timers that still fire, once the input has ended.
    ending: Option<Timers<K>>,
    origin: Origin,
    taken: usize,
    seen: usize,
}

impl<K: Key, I: Record, F: ProcessFunction<K, I>> Process<K, I, F> {
    pub(crate) fn new(function: F, context: &OperatorContext) -> Process<K, I, F> {
        Process {
            function,
            context: context.clone(),
            event_timers: Timers::new(),
            processing_timers: Timers::new(),
            watermark: Timestamp::MIN,
            waiting: VecDeque::new(),
            results: Batch::new(),
            now: context.now(),
            ending: None,
            origin: Origin::new(),
            taken: 0,
            seen: 0,
        }
    }

    fn states(&mut self, task: StateTask<'_>) -> Result<()> {
        let context = self.context.clone();
        let mut states = States::new(task, &context);
        self.function.states(&mut states);
        states.finish()
    }

    #[inline]
    fn one(&mut self, keyed: Keyed<K, I>, timestamp: Option<Timestamp>) -> Result<()> {
        let (hash, key, record) = keyed.into_parts();
        let mut ctx = ProcessContext {
            key: CurrentKey { hash, key: &key, now: self.now.wall },
            timestamp,
            watermark: self.watermark,
            results: &mut self.results,
            event_timers: &mut self.event_timers,
            processing_timers: &mut self.processing_timers,
        };
        self.function.process(record, &mut ctx).map_err(Error::user)
    }

    /// Handles records until there are enough results for a batch.
    fn work(&mut self) -> Result<()> {
        while self.results.len() < BATCH_SIZE
            && let Some((keyed, timestamp)) = self.waiting.pop_front()
        {
            self.one(keyed, timestamp)?;
            self.seen += 1;
        }
        Ok(())
    }

    fn fire(&mut self, timer: Timer, hash: u64, key: &K) -> Result<()> {
        let mut ctx = ProcessContext {
            key: CurrentKey { hash, key, now: self.now.wall },
            timestamp: matches!(timer, Timer::Event(_)).then(|| timer.at()),
            watermark: self.watermark,
            results: &mut self.results,
            event_timers: &mut self.event_timers,
            processing_timers: &mut self.processing_timers,
        };
        self.function.on_timer(timer, &mut ctx).map_err(Error::user)
    }

    /// Fires event-time timers until there are enough results for a batch.
    fn fire_event(&mut self) -> Result<()> {
        while self.results.len() < BATCH_SIZE
            && let Some((at, hash, key)) = self.event_timers.take_due(self.watermark)
        {
            self.fire(Timer::Event(at), hash, &key)?;
        }
        Ok(())
    }

    fn fire_ending(&mut self) -> Result<()> {
        while self.results.len() < BATCH_SIZE
            && let Some(ending) = &mut self.ending
        {
            let Some((at, hash, key)) = ending.take_due(Timestamp::MAX) else {
                self.ending = None;
                break;
            };
            self.fire(Timer::Processing(at), hash, &key)?;
        }
        Ok(())
    }

    fn push(&mut self, out: &mut dyn Output<F::Out>) -> Result<()> {
        if self.context.state_backend() != StateBackend::Memory {
            self.states(StateTask::Check)?;
        }
        if self.results.is_empty() {
            return Ok(());
        }
        self.results.come_from(&self.origin);
        out.batch(&mut self.results)?;
        self.results.clear();
        Ok(())
    }

    fn has_event_timer_due(&self) -> bool {
        self.event_timers.first().is_some_and(|at| at <= self.watermark)
    }
}

impl<K: Key, I: Record, F: ProcessFunction<K, I>> Operator<Keyed<K, I>, F::Out> for Process<K, I, F> {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.context = context.clone();
        self.states(StateTask::Open)
    }

    fn process(&mut self, batch: &mut Batch<Keyed<K, I>>, out: &mut dyn Output<F::Out>) -> Result<()> {
        (self.taken, self.seen) = (batch.len(), 0);
        self.origin.clone_from(batch.origin());
        self.now = self.context.now();
        let (records, timestamps) = batch.drain_timed();
        for (index, keyed) in records.enumerate() {
            let timestamp = timestamps.get(index).copied();
            if self.results.len() < BATCH_SIZE {
                self.one(keyed, timestamp)?;
                self.seen += 1;
            } else {
                self.waiting.push_back((keyed, timestamp));
            }
        }
        self.push(out)
    }

    fn watermark(&mut self, watermark: Timestamp, out: &mut dyn Output<F::Out>) -> Result<Option<Timestamp>> {
        self.watermark = self.watermark.max(watermark);
        self.now = self.context.now();
        self.origin.clear();
        self.fire_event()?;
        self.push(out)?;
        Ok(Some(watermark))
    }

    fn end(&mut self, out: &mut dyn Output<F::Out>) -> Result<()> {
        // A job that is stopped ends too, but goes on some day: only an input that is complete has brought this.
        if self.watermark == Timestamp::MAX {
            self.ending = Some(self.processing_timers.take());
            self.now = self.context.now();
            self.fire_ending()?;
        }
        self.push(out)
    }

    fn pending(&self) -> bool {
        !self.waiting.is_empty() || self.has_event_timer_due() || self.ending.is_some()
    }

    fn resume(&mut self, out: &mut dyn Output<F::Out>) -> Result<()> {
        self.now = self.context.now();
        if !self.waiting.is_empty() {
            self.work()?;
        } else if self.has_event_timer_due() {
            self.fire_event()?;
        } else {
            self.fire_ending()?;
        }
        self.push(out)
    }

    fn due(&self) -> Option<Duration> {
        let first = self.processing_timers.first()?;
        let left = first.as_millis().saturating_sub(self.now.wall.as_millis()).max(0);
        let left = Duration::from_millis(left.unsigned_abs()).min(MAX_SLEEP);
        Some(self.now.monotonic + left)
    }

    fn tick(&mut self, now: Now, out: &mut dyn Output<F::Out>) -> Result<()> {
        self.now = now;
        while self.results.len() < BATCH_SIZE
            && let Some((at, hash, key)) = self.processing_timers.take_due(now.wall)
        {
            self.fire(Timer::Processing(at), hash, &key)?;
        }
        self.push(out)
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        self.states(StateTask::BeginSnapshot(snapshot))?;
        self.event_timers.begin_snapshot(&self.context, snapshot);
        self.processing_timers.begin_snapshot(&self.context, snapshot);
        snapshot_watermark(self.watermark, &self.context, snapshot)
    }

    fn snapshot_more(&mut self, snapshot: &mut Snapshot) -> Result<bool> {
        let (mut budget, mut more) = (Budget::slice(), false);
        for (name, timers) in [(EVENT_TIMERS, &mut self.event_timers), (PROCESSING_TIMERS, &mut self.processing_timers)]
        {
            more |= timers.write_snapshot(name, &mut budget, snapshot)?;
        }
        let rest = SnapshotRest { snapshot, budget: &mut budget, more: &mut more };
        self.states(StateTask::WriteSnapshot(rest))?;
        Ok(more)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.states(StateTask::Restore(snapshot))?;
        self.event_timers.restore(EVENT_TIMERS, &self.context, snapshot)?;
        self.processing_timers.restore(PROCESSING_TIMERS, &self.context, snapshot)?;
        self.watermark = restored_watermark(&self.context, snapshot)?;
        Ok(())
    }

    fn failed_at(&self) -> Option<usize> {
        (self.seen < self.taken).then_some(self.seen)
    }
}

/// Writes how far event time has come, for every key group: after a restore at another parallelism a subtask may own
/// groups of several.
pub(crate) fn snapshot_watermark(
    watermark: Timestamp,
    context: &OperatorContext,
    snapshot: &mut Snapshot,
) -> Result<()> {
    let mut writer = GroupWriter::new(context);
    for group in owned_groups(context) {
        writer.add_to(group, &watermark)?;
    }
    writer.finish(WATERMARK, snapshot);
    Ok(())
}

/// How far event time had come for all key groups that this subtask owns.
pub(crate) fn restored_watermark(context: &OperatorContext, snapshot: &Snapshot) -> Result<Timestamp> {
    let mut slowest = None;
    read_groups(snapshot, WATERMARK, context, |watermark: Timestamp| {
        slowest = Some(slowest.map_or(watermark, |slowest: Timestamp| slowest.min(watermark)));
    })?;
    Ok(slowest.unwrap_or(Timestamp::MIN))
}
