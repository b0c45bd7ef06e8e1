//! [`Trigger`]: when a window says what it has.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::window::assign::TimeKind;
use crate::window::grid::millis;
use crate::window::time_window::TimeWindow;

/// What a trigger has decided (Flink: `TriggerResult`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fire {
    /// Nothing.
    No,
    /// The window gives a result and keeps what it has.
    Yes,
    /// The window gives a result and forgets what it has.
    AndPurge,
    /// The window forgets what it has.
    Purge,
}

/// Decides when a window gives a result. One object serves all windows of a subtask: what it has to remember of one of
/// them is in the [`TriggerContext`].
///
/// A window is closed when its time and the allowed lateness are over, whatever its trigger says. So a trigger that does
/// not fire at the end of the window loses what is in it.
///
/// # Example
/// ```
/// use stream_core::Timestamp;
/// use stream_core::window::{Fire, Trigger, TriggerContext};
///
/// /// Fires at once for a record that can't wait, and at the end of the window.
/// struct Urgent;
///
/// impl Trigger<(String, bool)> for Urgent {
///     fn on_record(&self, (_, urgent): &(String, bool), _time: Timestamp, ctx: &mut TriggerContext<'_>) -> Fire {
///         ctx.at_event_time(ctx.window().max_timestamp());
///         if *urgent { Fire::Yes } else { Fire::No }
///     }
///
///     fn on_event_time(&self, _time: Timestamp, _ctx: &mut TriggerContext<'_>) -> Fire {
///         Fire::Yes
///     }
/// }
/// ```
pub trait Trigger<T>: Send + Sync + 'static {
    /// A record comes into the window; `timestamp` is [`Timestamp::MIN`] if it has none.
    fn on_record(&self, record: &T, timestamp: Timestamp, context: &mut TriggerContext<'_>) -> Fire;

    /// The watermark has reached a time that was asked for.
    fn on_event_time(&self, _time: Timestamp, _context: &mut TriggerContext<'_>) -> Fire {
        Fire::No
    }

    /// The clock has passed a time that was asked for.
    fn on_processing_time(&self, _time: Timestamp, _context: &mut TriggerContext<'_>) -> Fire {
        Fire::No
    }

    /// Sessions have become one, which is the context's window; times that were asked for are forgotten, the values
    /// have been [merged](Trigger::merge). Ask again for what is needed; by default that is the end of the window.
    fn on_merge(&self, context: &mut TriggerContext<'_>) {
        context.at_end();
    }

    /// What the values of two sessions that become one come to.
    fn merge(&self, a: i64, b: i64) -> i64 {
        a.saturating_add(b)
    }
}

/// What a trigger remembers of one window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TriggerState {
    pub(crate) value: i64,
    /// Times asked for, in order.
    pub(crate) event: Vec<i64>,
    pub(crate) wall: Vec<i64>,
}

/// One window as its trigger sees it.
pub struct TriggerContext<'a> {
    pub(crate) window: TimeWindow,
    pub(crate) kind: TimeKind,
    pub(crate) watermark: i64,
    pub(crate) wall: i64,
    pub(crate) state: &'a mut TriggerState,
}

impl TriggerContext<'_> {
    /// The window.
    pub fn window(&self) -> TimeWindow {
        self.window
    }

    /// How far event time has come.
    pub fn watermark(&self) -> Timestamp {
        Timestamp::from_millis(self.watermark)
    }

    /// What the clock on the wall shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall)
    }

    /// The number that the trigger remembers for this window, 0 at first. It is part of snapshots.
    pub fn value(&self) -> i64 {
        self.state.value
    }

    /// Remembers a number for this window.
    pub fn set_value(&mut self, value: i64) {
        self.state.value = value;
    }

    /// Asks to be called when the watermark reaches `time`. A time that was asked for twice comes once.
    pub fn at_event_time(&mut self, time: Timestamp) {
        ask(&mut self.state.event, time);
    }

    /// Asks to be called when the clock on the wall has passed `time`.
    pub fn at_processing_time(&mut self, time: Timestamp) {
        ask(&mut self.state.wall, time);
    }

    /// Asks to be called at the end of the window, in the time that the window is made of: event time or the clock on the
    /// wall. Says [`Fire::Yes`] if event time is there already, which a record within the allowed lateness finds.
    pub fn at_end(&mut self) -> Fire {
        match self.kind {
            TimeKind::Processing => self.at_processing_time(self.window.max_timestamp()),
            TimeKind::Event if self.window.last() <= self.watermark => return Fire::Yes,
            TimeKind::Event => self.at_event_time(self.window.max_timestamp()),
        }
        Fire::No
    }

    fn count(&mut self) -> i64 {
        self.state.value = self.state.value.saturating_add(1);
        self.state.value
    }
}

fn ask(times: &mut Vec<i64>, time: Timestamp) {
    if let Err(at) = times.binary_search(&time.as_millis()) {
        times.insert(at, time.as_millis());
    }
}

/// Fires at the end of the window, when the watermark gets there, and for every record that comes later than that
/// within the allowed lateness. The default. Windows of processing time end when the clock on the wall says so.
#[derive(Clone, Copy, Debug)]
pub struct EventTimeTrigger;

impl<T> Trigger<T> for EventTimeTrigger {
    fn on_record(&self, _record: &T, _timestamp: Timestamp, context: &mut TriggerContext<'_>) -> Fire {
        context.at_end()
    }

    fn on_event_time(&self, _time: Timestamp, _context: &mut TriggerContext<'_>) -> Fire {
        Fire::Yes
    }

    fn on_processing_time(&self, _time: Timestamp, _context: &mut TriggerContext<'_>) -> Fire {
        Fire::Yes
    }
}

/// Fires when the clock on the wall passes the end of the window, whatever time the window is made of.
#[derive(Clone, Copy, Debug)]
pub struct ProcessingTimeTrigger;

impl<T> Trigger<T> for ProcessingTimeTrigger {
    fn on_record(&self, _record: &T, _timestamp: Timestamp, context: &mut TriggerContext<'_>) -> Fire {
        context.at_processing_time(context.window.max_timestamp());
        Fire::No
    }

    fn on_processing_time(&self, _time: Timestamp, _context: &mut TriggerContext<'_>) -> Fire {
        Fire::Yes
    }

    fn on_merge(&self, context: &mut TriggerContext<'_>) {
        context.at_processing_time(context.window.max_timestamp());
    }
}

/// Fires at every `n`th record of the window, and at nothing else: what is left at the window's end gives no result.
/// See [`EarlyTrigger::every_records`] for a count and the end.
#[derive(Clone, Copy, Debug)]
pub struct CountTrigger(i64);

impl CountTrigger {
    /// Fires at every `n`th record.
    ///
    /// # Panics
    /// If `n` is 0.
    #[track_caller]
    pub fn of(n: u32) -> CountTrigger {
        assert!(n > 0, "a count trigger counts records: at least 1");
        CountTrigger(i64::from(n))
    }
}

impl<T> Trigger<T> for CountTrigger {
    fn on_record(&self, _record: &T, _timestamp: Timestamp, context: &mut TriggerContext<'_>) -> Fire {
        if context.count() < self.0 {
            return Fire::No;
        }
        context.set_value(0);
        Fire::Yes
    }

    fn on_merge(&self, _context: &mut TriggerContext<'_>) {}
}

/// Fires whenever event time has gone on by an interval, and at the end of the window.
#[derive(Clone, Copy, Debug)]
pub struct ContinuousEventTimeTrigger(i64);

impl ContinuousEventTimeTrigger {
    /// Fires at every multiple of `interval`, as long as the window is open.
    ///
    /// # Panics
    /// If `interval` is below a millisecond.
    #[track_caller]
    pub fn every(interval: Duration) -> ContinuousEventTimeTrigger {
        ContinuousEventTimeTrigger(positive(interval))
    }
}

#[track_caller]
fn positive(interval: Duration) -> i64 {
    let interval = millis(interval);
    assert!(interval > 0, "a trigger's interval is at least 1 ms");
    interval
}

/// The first multiple of `interval` after `time`, if the window is not over by then.
fn next_tick(window: TimeWindow, time: i64, interval: i64) -> Option<Timestamp> {
    let next = time.saturating_sub(time.rem_euclid(interval)).saturating_add(interval);
    (next < window.last()).then(|| Timestamp::from_millis(next))
}

impl<T> Trigger<T> for ContinuousEventTimeTrigger {
    fn on_record(&self, _record: &T, timestamp: Timestamp, context: &mut TriggerContext<'_>) -> Fire {
        let fire = context.at_end();
        if fire == Fire::No && context.state.event.len() < 2 {
            let from = timestamp.as_millis().max(context.watermark);
            if let Some(next) = next_tick(context.window, from, self.0) {
                context.at_event_time(next);
            }
        }
        fire
    }

    fn on_event_time(&self, time: Timestamp, context: &mut TriggerContext<'_>) -> Fire {
        if time < context.window.max_timestamp()
            && let Some(next) = next_tick(context.window, time.as_millis().max(context.watermark), self.0)
        {
            context.at_event_time(next);
        }
        Fire::Yes
    }

    fn on_merge(&self, context: &mut TriggerContext<'_>) {
        context.at_end();
        if let Some(next) = next_tick(context.window, context.watermark.max(context.window.start().as_millis()), self.0)
        {
            context.at_event_time(next);
        }
    }
}

/// Fires whenever an interval has passed on the wall, and at the end of the window.
#[derive(Clone, Copy, Debug)]
pub struct ContinuousProcessingTimeTrigger(i64);

impl ContinuousProcessingTimeTrigger {
    /// Fires at every multiple of `interval` since the epoch, as long as the window is open and has records.
    ///
    /// # Panics
    /// If `interval` is below a millisecond.
    #[track_caller]
    pub fn every(interval: Duration) -> ContinuousProcessingTimeTrigger {
        ContinuousProcessingTimeTrigger(positive(interval))
    }

    fn ask(&self, context: &mut TriggerContext<'_>) {
        let next = context.wall.saturating_sub(context.wall.rem_euclid(self.0)).saturating_add(self.0);
        context.at_processing_time(Timestamp::from_millis(next));
    }
}

impl<T> Trigger<T> for ContinuousProcessingTimeTrigger {
    fn on_record(&self, _record: &T, _timestamp: Timestamp, context: &mut TriggerContext<'_>) -> Fire {
        if context.value() == 0 {
            context.set_value(1);
            self.ask(context);
        }
        context.at_end()
    }

    fn on_event_time(&self, _time: Timestamp, _context: &mut TriggerContext<'_>) -> Fire {
        Fire::Yes
    }

    fn on_processing_time(&self, time: Timestamp, context: &mut TriggerContext<'_>) -> Fire {
        if context.kind == TimeKind::Event || time < context.window.max_timestamp() {
            self.ask(context);
        }
        Fire::Yes
    }

    fn on_merge(&self, context: &mut TriggerContext<'_>) {
        context.at_end();
        self.ask(context);
    }
}

/// Results before the end of the window, after every so many records, and the final one at its end.
#[derive(Clone, Copy, Debug)]
pub struct EarlyTrigger(i64);

impl EarlyTrigger {
    /// A result after every `n` records, and at the end.
    ///
    /// # Panics
    /// If `n` is 0.
    #[track_caller]
    pub fn every_records(n: u32) -> EarlyTrigger {
        assert!(n > 0, "an early trigger counts records: at least 1");
        EarlyTrigger(i64::from(n))
    }
}

impl<T> Trigger<T> for EarlyTrigger {
    fn on_record(&self, _record: &T, _timestamp: Timestamp, context: &mut TriggerContext<'_>) -> Fire {
        let counted = context.count() >= self.0;
        if counted {
            context.set_value(0);
        }
        if context.at_end() == Fire::Yes || counted { Fire::Yes } else { Fire::No }
    }

    fn on_event_time(&self, _time: Timestamp, _context: &mut TriggerContext<'_>) -> Fire {
        Fire::Yes
    }

    fn on_processing_time(&self, _time: Timestamp, _context: &mut TriggerContext<'_>) -> Fire {
        Fire::Yes
    }
}

/// Fires when another trigger does, and empties the window then: each result is of what came since the one before.
#[derive(Clone, Copy, Debug)]
pub struct PurgingTrigger<G>(G);

impl<G> PurgingTrigger<G> {
    /// The same trigger, purging.
    pub fn of(trigger: G) -> PurgingTrigger<G> {
        PurgingTrigger(trigger)
    }
}

fn purging(fire: Fire) -> Fire {
    if fire == Fire::Yes { Fire::AndPurge } else { fire }
}

impl<T, G: Trigger<T>> Trigger<T> for PurgingTrigger<G> {
    fn on_record(&self, record: &T, timestamp: Timestamp, context: &mut TriggerContext<'_>) -> Fire {
        purging(self.0.on_record(record, timestamp, context))
    }

    fn on_event_time(&self, time: Timestamp, context: &mut TriggerContext<'_>) -> Fire {
        purging(self.0.on_event_time(time, context))
    }

    fn on_processing_time(&self, time: Timestamp, context: &mut TriggerContext<'_>) -> Fire {
        purging(self.0.on_processing_time(time, context))
    }

    fn on_merge(&self, context: &mut TriggerContext<'_>) {
        self.0.on_merge(context);
    }

    fn merge(&self, a: i64, b: i64) -> i64 {
        self.0.merge(a, b)
    }
}
