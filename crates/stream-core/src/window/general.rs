//! Windows of any kind with any trigger, in event time or by the clock on the wall: the general path.
//!
//! 1. A record finds its key, and there its windows: those that contain it, or the session that it makes of itself and
//!    of every session it overlaps.
//! 2. The trigger is asked, the record is added, and what the trigger has decided is done.
//! 3. Times that triggers ask for, and the ends of windows, are kept with the windows. Per key there is one alarm, at the
//!    earliest of them; an alarm that finds nothing due is set again. So a session that grows with every record
//!    leaves no trail of alarms.
//! 4. A window whose time and allowed lateness are over is dropped. What comes for it after that is late.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::clock::Now;
use crate::error::{Error, Result};
use crate::key::{Key, Keyed};
use crate::operator::{Operator, OperatorContext, Output, Snapshot};
use crate::state::table::Budget;
use crate::state::values::{Then, Values};
use crate::time::Timestamp;
use crate::window::aggregate::Aggregator;
use crate::window::assign::{Assigner, Gap, Kind, TimeKind};
use crate::window::grid::millis;
use crate::window::late::{Emit, LateRecords};
use crate::window::outbox::{Outbox, no_timestamps, read_watermark, write_watermark};
use crate::window::time_window::{TimeWindow, WindowResult};
use crate::window::trigger::{Fire, Trigger, TriggerContext, TriggerState};

/// What snapshots call the state.
const WINDOWS: &str = "windows";

/// The operator of the general path.
pub(crate) struct GeneralWindows<K, T, A: Aggregator<T>, E, O> {
    rules: Rules<T>,
    aggregator: A,
    emit: E,
    late: LateRecords,
    context: Option<OperatorContext>,
    keys: Values<K, KeyWindows<A::State>>,
    event_alarms: Alarms<K>,
    wall_alarms: Alarms<K>,
    watermark: i64,
    /// What the clocks showed when somebody last looked.
    now: Now,
    outbox: Outbox<O>,
    seen: usize,
    records: PhantomData<fn(T)>,
}

/// How windows of this kind behave.
pub(crate) struct Rules<T> {
    pub(crate) assigner: Assigner<T>,
    pub(crate) trigger: Arc<dyn Trigger<T>>,
    pub(crate) lateness: i64,
}

impl<T> Clone for Rules<T> {
    fn clone(&self) -> Self {
        Rules { assigner: self.assigner.clone(), trigger: self.trigger.clone(), lateness: self.lateness }
    }
}

/// The windows of one key.
#[derive(Serialize, Deserialize)]
struct KeyWindows<S> {
    /// In the order of their starts.
    windows: Vec<Open<S>>,
    /// The alarms that are set.
    event_alarm: Option<i64>,
    wall_alarm: Option<i64>,
}

/// An open window.
#[derive(Clone, Serialize, Deserialize)]
struct Open<S> {
    window: TimeWindow,
    /// None if it was purged.
    state: Option<S>,
    trigger: TriggerState,
    /// The greatest timestamp of its records, if they have any.
    latest: Option<i64>,
}

/// Keys to look after, by time.
struct Alarms<K>(BTreeMap<i64, Vec<(u64, K)>>);

impl<K> Alarms<K> {
    fn first(&self) -> Option<i64> {
        self.0.first_key_value().map(|(time, _)| *time)
    }

    fn pop(&mut self) -> Option<(i64, u64, K)> {
        let mut first = self.0.first_entry()?;
        let time = *first.key();
        let (hash, key) = first.get_mut().pop()?;
        if first.get().is_empty() {
            first.remove();
        }
        Some((time, hash, key))
    }
}

impl<K, T, A, E, O> GeneralWindows<K, T, A, E, O>
where
    K: Key,
    T: 'static,
    A: Aggregator<T>,
    E: Emit<K, A::Output, T, O>,
{
    pub(crate) fn new(rules: Rules<T>, aggregator: A, emit: E, late: LateRecords) -> Self {
        GeneralWindows {
            rules,
            aggregator,
            emit,
            late,
            context: None,
            keys: Values::closed(),
            event_alarms: Alarms(BTreeMap::new()),
            wall_alarms: Alarms(BTreeMap::new()),
            watermark: i64::MIN,
            now: Now { monotonic: Duration::ZERO, wall: Timestamp::MIN },
            outbox: Outbox::new(),
            seen: 0,
            records: PhantomData,
        }
    }

    fn is_event_time(&self) -> bool {
        self.rules.assigner.time == TimeKind::Event
    }

    /// Whether windows need to know the time of a record.
    fn needs_timestamps(&self) -> bool {
        self.is_event_time() && !matches!(self.rules.assigner.kind, Kind::Global)
    }

    /// Takes in one record; true if it is late.
    fn record(&mut self, keyed: Keyed<K, T>, timestamp: Option<Timestamp>) -> bool {
        let (hash, key, record) = keyed.into_parts();
        let time = if self.is_event_time() { timestamp.unwrap_or(Timestamp::MIN) } else { self.now.wall };
        let GeneralWindows { rules, aggregator, emit, outbox, keys, event_alarms, wall_alarms, .. } = self;
        let (watermark, wall) = (self.watermark, self.now.wall.as_millis());
        let mut one = One { rules, aggregator, emit, outbox, watermark, wall, types: PhantomData };
        let init = || KeyWindows { windows: Vec::new(), event_alarm: None, wall_alarm: None };
        let late = keys.upsert(hash, key, init, |key, keys| {
            let late = one.record(key, keys, record, time.as_millis(), timestamp);
            one.set_alarms(hash, key, keys, event_alarms, wall_alarms);
            (late, Then::keep_if(!keys.windows.is_empty()))
        });
        let Some(record) = late else { return false };
        if let Some(late) = self.emit.late(record) {
            self.outbox.push(late, timestamp);
        }
        true
    }

    /// Looks after one key whose alarm has rung.
    fn look_after(&mut self, hash: u64, key: &K, time: i64, is_event: bool) {
        let GeneralWindows { rules, aggregator, emit, outbox, keys, event_alarms, wall_alarms, .. } = self;
        let (watermark, wall) = (self.watermark, self.now.wall.as_millis());
        let mut one = One { rules, aggregator, emit, outbox, watermark, wall, types: PhantomData };
        keys.visit(hash, key, |keys| {
            let alarm = if is_event { &mut keys.event_alarm } else { &mut keys.wall_alarm };
            // Otherwise an earlier one was set after this one.
            if *alarm == Some(time) {
                *alarm = None;
                one.time(key, keys, time, is_event);
                one.set_alarms(hash, key, keys, event_alarms, wall_alarms);
            }
            ((), Then::keep_if(!keys.windows.is_empty()))
        });
    }

    /// The next alarm that is due. At the end of time the windows of processing time are over, too.
    fn next_due(&self) -> Option<bool> {
        if self.event_alarms.first().is_some_and(|time| time <= self.watermark) {
            return Some(true);
        }
        let wall = self.wall_alarms.first().is_some_and(|time| time < self.now.wall.as_millis() || self.is_over());
        wall.then_some(false)
    }

    fn is_over(&self) -> bool {
        self.watermark == i64::MAX && !self.is_event_time()
    }

    /// Hands on one batch of what is ready, windows whose time has come included.
    fn fire(&mut self, out: &mut dyn Output<O>) -> Result<()> {
        while !self.outbox.is_full()
            && let Some(is_event) = self.next_due()
        {
            let alarms = if is_event { &mut self.event_alarms } else { &mut self.wall_alarms };
            if let Some((time, hash, key)) = alarms.pop() {
                self.look_after(hash, &key, time, is_event);
            }
        }
        self.keys.check()?;
        self.outbox.send_waiting(out)
    }
}

/// One key under the hands of the operator.
struct One<'a, K, T, A, E, O> {
    rules: &'a Rules<T>,
    aggregator: &'a A,
    emit: &'a E,
    outbox: &'a mut Outbox<O>,
    watermark: i64,
    wall: i64,
    types: PhantomData<fn(K)>,
}

impl<K, T, A, E, O> One<'_, K, T, A, E, O>
where
    K: Key,
    T: 'static,
    A: Aggregator<T>,
    E: Emit<K, A::Output, T, O>,
{
    fn is_event_time(&self) -> bool {
        self.rules.assigner.time == TimeKind::Event
    }

    /// Adds a record to its windows; gives it back if it is late for all of them.
    fn record(
        &mut self,
        key: &K,
        keys: &mut KeyWindows<A::State>,
        record: T,
        time: i64,
        timestamp: Option<Timestamp>,
    ) -> Option<T> {
        let rules = self.rules;
        match &rules.assigner.kind {
            Kind::Global => self.add(key, keys, TimeWindow::ALL, record, timestamp),
            Kind::Session(gap) => {
                let gap = match gap {
                    Gap::Fixed(gap) => *gap,
                    Gap::Of(gap) => millis(gap(&record)).max(1),
                };
                let alone = TimeWindow::of_millis(time, time.saturating_add(gap));
                let joined = keys.windows.iter().map(|open| open.window).filter(|window| window.joins(alone));
                let session = joined.fold(alone, TimeWindow::cover);
                if self.is_gone(session) {
                    return Some(record);
                }
                self.join(keys, alone, session);
                self.add(key, keys, session, record, timestamp)
            }
            Kind::Slices(slicing) => {
                let slice = slicing.grid.slice(time);
                if !slicing.covers(slice) {
                    return None;
                }
                let windows = slicing.ends(slice).map(|end| slicing.window(end));
                let windows: Vec<_> = windows.filter(|window| !self.is_gone(*window)).collect();
                match windows[..] {
                    [] => Some(record),
                    [window] => self.add(key, keys, window, record, timestamp),
                    _ => {
                        self.add_to_all(key, keys, &windows, record, timestamp);
                        None
                    }
                }
            }
        }
    }

    /// Adds a record to several windows: each gets a copy of what the record alone comes to.
    fn add_to_all(
        &mut self,
        key: &K,
        keys: &mut KeyWindows<A::State>,
        windows: &[TimeWindow],
        record: T,
        timestamp: Option<Timestamp>,
    ) {
        let fires: Vec<_> = windows.iter().map(|window| self.ask(keys, *window, &record, timestamp)).collect();
        let mut alone = self.aggregator.create();
        self.aggregator.add(&mut alone, record);
        for (window, fire) in windows.iter().zip(fires) {
            let Ok(at) = position(keys, *window) else { continue };
            match &mut keys.windows[at].state {
                Some(state) => self.aggregator.merge(state, alone.clone()),
                none => *none = Some(alone.clone()),
            }
            self.act(key, &mut keys.windows[at], fire);
        }
    }

    /// Whether a window is over for good.
    fn is_gone(&self, window: TimeWindow) -> bool {
        self.is_event_time() && window.last().saturating_add(self.rules.lateness) <= self.watermark
    }

    /// Makes one of the sessions that overlap a new one.
    fn join(&mut self, keys: &mut KeyWindows<A::State>, alone: TimeWindow, session: TimeWindow) {
        let from = keys.windows.partition_point(|open| open.window.end() <= alone.start());
        let joined = keys.windows[from..].iter().take_while(|open| open.window.joins(alone)).count();
        if joined == 0 || joined == 1 && keys.windows[from].window == session {
            return;
        }
        let mut parts = keys.windows.drain(from..from + joined);
        let Some(mut whole) = parts.next() else { return };
        for part in parts {
            match (&mut whole.state, part.state) {
                (Some(state), Some(later)) => self.aggregator.merge(state, later),
                (state, later) => *state = state.take().or(later),
            }
            whole.trigger.value = self.rules.trigger.merge(whole.trigger.value, part.trigger.value);
            whole.latest = whole.latest.max(part.latest);
        }
        whole.window = session;
        (whole.trigger.event, whole.trigger.wall) = (Vec::new(), Vec::new());
        let (kind, watermark, wall) = (self.rules.assigner.time, self.watermark, self.wall);
        self.rules.trigger.on_merge(&mut TriggerContext {
            window: session,
            kind,
            watermark,
            wall,
            state: &mut whole.trigger,
        });
        keys.windows.insert(from, whole);
    }

    /// Adds a record to a window and does what the trigger says.
    fn add(
        &mut self,
        key: &K,
        keys: &mut KeyWindows<A::State>,
        window: TimeWindow,
        record: T,
        timestamp: Option<Timestamp>,
    ) -> Option<T> {
        let fire = self.ask(keys, window, &record, timestamp);
        let at = position(keys, window).ok()?;
        let open = &mut keys.windows[at];
        self.aggregator.add(open.state.get_or_insert_with(|| self.aggregator.create()), record);
        self.act(key, &mut keys.windows[at], fire);
        None
    }

    /// Asks the trigger about a record; the window is open after that.
    fn ask(
        &mut self,
        keys: &mut KeyWindows<A::State>,
        window: TimeWindow,
        record: &T,
        timestamp: Option<Timestamp>,
    ) -> Fire {
        let at = position(keys, window).unwrap_or_else(|at| {
            let open = Open { window, state: None, trigger: TriggerState::default(), latest: None };
            keys.windows.insert(at, open);
            at
        });
        let open = &mut keys.windows[at];
        open.latest = open.latest.max(timestamp.map(Timestamp::as_millis));
        let (kind, watermark, wall) = (self.rules.assigner.time, self.watermark, self.wall);
        let mut context = TriggerContext { window, kind, watermark, wall, state: &mut open.trigger };
        self.rules.trigger.on_record(record, timestamp.unwrap_or(Timestamp::MIN), &mut context)
    }

    /// Does what a trigger has decided.
    fn act(&mut self, key: &K, open: &mut Open<A::State>, fire: Fire) {
        let state = match fire {
            Fire::No => return,
            Fire::Yes => open.state.clone(),
            Fire::AndPurge => open.state.take(),
            Fire::Purge => {
                open.state = None;
                return;
            }
        };
        let Some(state) = state else { return };
        let window = open.window;
        // A window without end has no time of its own: its result is as old as the newest record in it.
        let timestamp = match window == TimeWindow::ALL {
            true => open.latest.map(Timestamp::from_millis),
            false => Some(window.max_timestamp()),
        };
        let value = self.aggregator.result(state);
        self.outbox.push(self.emit.result(WindowResult { key: key.clone(), window, value }), timestamp);
    }

    /// The times of a key's windows up to `time` have come.
    fn time(&mut self, key: &K, keys: &mut KeyWindows<A::State>, time: i64, is_event: bool) {
        let rules = self.rules;
        // At the end of a bounded input the windows of processing time are complete, whatever the clock shows.
        let is_over = !is_event && self.watermark == i64::MAX && !self.is_event_time();
        for open in &mut keys.windows {
            loop {
                let (kind, watermark, wall) = (rules.assigner.time, self.watermark, self.wall);
                let window = open.window;
                let times = if is_event { &mut open.trigger.event } else { &mut open.trigger.wall };
                let Some(asked) = times.first().copied().filter(|asked| *asked <= time) else { break };
                times.remove(0);
                let asked = Timestamp::from_millis(asked);
                let mut context = TriggerContext { window, kind, watermark, wall, state: &mut open.trigger };
                let fire = match is_event {
                    true => rules.trigger.on_event_time(asked, &mut context),
                    false => rules.trigger.on_processing_time(asked, &mut context),
                };
                self.act(key, open, fire);
                if is_over {
                    // Whoever asks for the next moment again and again would never come to an end.
                    open.trigger.wall.retain(|asked| *asked == window.last());
                }
            }
        }
        keys.windows.retain(|open| {
            let gone = is_event == rules.is_event_time() && rules.closes(open.window) <= time;
            !gone
        });
    }

    /// Sets the alarms of a key to the first time that something is due.
    fn set_alarms(
        &self,
        hash: u64,
        key: &K,
        keys: &mut KeyWindows<A::State>,
        event_alarms: &mut Alarms<K>,
        wall_alarms: &mut Alarms<K>,
    ) {
        let closes = keys.windows.iter().map(|open| self.rules.closes(open.window)).min();
        let (event_close, wall_close) = if self.is_event_time() { (closes, None) } else { (None, closes) };
        let first = |times: fn(&TriggerState) -> &Vec<i64>| {
            keys.windows.iter().filter_map(|open| times(&open.trigger).first().copied()).min()
        };
        let event = first(|t| &t.event).into_iter().chain(event_close).min();
        let wall = first(|t| &t.wall).into_iter().chain(wall_close).min();
        set_alarm(event_alarms, &mut keys.event_alarm, event, hash, key);
        set_alarm(wall_alarms, &mut keys.wall_alarm, wall, hash, key);
    }
}

impl<T> Rules<T> {
    fn is_event_time(&self) -> bool {
        self.assigner.time == TimeKind::Event
    }

    /// When a window is dropped.
    fn closes(&self, window: TimeWindow) -> i64 {
        if self.is_event_time() { window.last().saturating_add(self.lateness) } else { window.last() }
    }
}

fn set_alarm<K: Key>(alarms: &mut Alarms<K>, alarm: &mut Option<i64>, time: Option<i64>, hash: u64, key: &K) {
    // One that rings too early is set again then.
    if let Some(time) = time
        && alarm.is_none_or(|set| time < set)
    {
        *alarm = Some(time);
        alarms.0.entry(time).or_default().push((hash, key.clone()));
    }
}

fn position<S>(keys: &KeyWindows<S>, window: TimeWindow) -> Result<usize, usize> {
    keys.windows.binary_search_by_key(&window, |open| open.window)
}

impl<K, T, A, E, O> Operator<Keyed<K, T>, O> for GeneralWindows<K, T, A, E, O>
where
    K: Key,
    T: 'static,
    A: Aggregator<T>,
    E: Emit<K, A::Output, T, O>,
    O: Send,
{
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.now = context.now();
        self.keys = Values::new(context);
        self.context = Some(context.clone());
        Ok(())
    }

    fn process(&mut self, batch: &mut Batch<Keyed<K, T>>, out: &mut dyn Output<O>) -> Result<()> {
        let needs_timestamps = self.needs_timestamps();
        if let Some(context) = &self.context {
            self.now = context.now();
        }
        let (records, timestamps) = batch.drain_timed();
        if needs_timestamps && records.len() != timestamps.len() {
            return Err(no_timestamps());
        }
        let mut late = 0;
        for (index, keyed) in records.enumerate() {
            self.seen = index;
            late += u64::from(self.record(keyed, timestamps.get(index).copied()));
        }
        self.late.add(late, self.context.as_ref());
        self.keys.check()?;
        self.outbox.send_waiting(out)
    }

    fn watermark(&mut self, watermark: Timestamp, out: &mut dyn Output<O>) -> Result<Option<Timestamp>> {
        if watermark.as_millis() > self.watermark {
            self.watermark = watermark.as_millis();
            self.fire(out)?;
        }
        Ok(Some(watermark))
    }

    fn due(&self) -> Option<Duration> {
        let time = self.wall_alarms.first()?;
        // A moment is over when the next one has come: until then records still belong to it.
        let from_now = time.saturating_add(1).saturating_sub(self.now.wall.as_millis()).max(0);
        Some(self.now.monotonic.saturating_add(Duration::from_millis(from_now.unsigned_abs())))
    }

    fn tick(&mut self, now: Now, out: &mut dyn Output<O>) -> Result<()> {
        self.now = now;
        self.fire(out)
    }

    fn pending(&self) -> bool {
        !self.outbox.is_empty() || self.next_due().is_some()
    }

    fn resume(&mut self, out: &mut dyn Output<O>) -> Result<()> {
        self.fire(out)
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let context = self.context.as_ref().ok_or_else(|| Error::internal("a snapshot before open"))?;
        self.keys.begin_snapshot(WINDOWS, context, snapshot)?;
        write_watermark(self.watermark, context, snapshot)
    }

    fn snapshot_more(&mut self, snapshot: &mut Snapshot) -> Result<bool> {
        self.keys.write_snapshot(WINDOWS, &mut Budget::slice(), snapshot)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let context = self.context.clone().ok_or_else(|| Error::internal("a restore before open"))?;
        self.watermark = read_watermark(&context, snapshot)?;
        let (watermark, wall) = (self.watermark, self.now.wall.as_millis());
        let GeneralWindows { rules, aggregator, emit, outbox, keys, event_alarms, wall_alarms, .. } = self;
        let one = One { rules, aggregator, emit, outbox, watermark, wall, types: PhantomData };
        keys.restore(WINDOWS, &context, snapshot)?;
        keys.visit_all(|key, keys| {
            // Those of the subtask that wrote the snapshot.
            (keys.event_alarm, keys.wall_alarm) = (None, None);
            one.set_alarms(key.key_hash(), key, keys, event_alarms, wall_alarms);
            Then::Keep
        });
        keys.check()
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.seen)
    }
}
