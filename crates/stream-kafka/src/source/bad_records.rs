//! What becomes of records that the schema refuses: `on_bad_record`, the limit that stops a job whose input is all
//! bad, the log lines and the counts.
//!
//! A good record costs one addition. Everything else happens when a record is bad.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};
use stream_core::{Barrier, Error, ErrorKind, Result};

use super::dead_letters::DeadLetterLane;
use crate::keys::{self, BadRecords, DeadLetterFormat};
use crate::record::RawRecord;
use crate::schema::SchemaError;
use crate::settings::Settings;

/// The part of a window that may be bad, unless `bad_records.max_ratio` says otherwise.
const MAX_RATIO: f64 = 0.9;

/// The records that the ratio is taken over, unless `bad_records.window` says otherwise.
const WINDOW: u64 = 1_000;

/// How many bad records are logged one by one.
const ONE_BY_ONE: u32 = 5;

/// How often one is logged after that, together with how many came in between.
const REPEAT: Duration = Duration::from_secs(10);

/// The checked policy of one source.
pub(super) struct BadRecordPlan {
    pub(super) policy: BadRecords,
    pub(super) format: DeadLetterFormat,
    limit: Limit,
}

/// At most `allowed` of `window` records in a row may be bad.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit {
    ratio: f64,
    window: u64,
    allowed: u64,
}

impl Limit {
    fn new(ratio: f64, window: u64) -> Limit {
        // 0.29 of 100 comes out as 28.999…: a little more makes it the 29 that was meant.
        let allowed = (ratio * window as f64 + 1e-6) as u64;
        Limit { ratio, window, allowed: allowed.min(window) }
    }
}

impl BadRecordPlan {
    /// What code and settings say together; the code wins.
    ///
    /// # Errors
    /// Settings that contradict each other, or that have no effect under this policy.
    pub(super) fn new(settings: &Settings, in_code: Option<&BadRecords>, topics: &[String]) -> Result<BadRecordPlan> {
        let engine = &settings.translation.engine;
        let policy = in_code.cloned().or_else(|| engine.on_bad_record.clone()).unwrap_or_default();
        let mut errors = Vec::new();
        let mut useless = |key: &str, needs: &str| {
            let hint = format!("set on_bad_record to {needs}, or remove the line");
            errors.push(settings.error(key, format!("`{key}` has no effect: nothing is done with bad records"), hint));
        };
        if policy == BadRecords::Fail {
            let needs = "`skip` or `dead_letter(TOPIC)`";
            engine.bad_records_max_ratio.inspect(|_| useless("bad_records.max_ratio", needs));
            engine.bad_records_window.inspect(|_| useless("bad_records.window", needs));
        }
        if !matches!(policy, BadRecords::DeadLetter(_)) {
            engine.dead_letter_format.inspect(|_| useless("dead_letter.format", "`dead_letter(TOPIC)`"));
        }
        if let BadRecords::DeadLetter(topic) = &policy {
            let wrong = if topics.contains(topic) {
                Some((
                    "is the dead-letter topic of a source that reads it",
                    "choose a topic of its own for bad records",
                ))
            } else if !keys::is_topic_name(topic) {
                Some(("is the dead-letter topic and no topic name", "correct the argument of .on_bad_record(…)"))
            } else {
                None
            };
            let error = wrong.map(|(what, hint)| settings.error("on_bad_record", format!("`{topic}` {what}"), hint));
            errors.extend(error);
        }
        let ratio = engine.bad_records_max_ratio.unwrap_or(MAX_RATIO);
        let limit = Limit::new(ratio, engine.bad_records_window.unwrap_or(WINDOW));
        let format = engine.dead_letter_format.unwrap_or_default();
        Error::join(errors).map_or(Ok(BadRecordPlan { policy, format, limit }), Err)
    }

    /// What the plan of the job shows; nothing for the default.
    pub(super) fn describe(&self) -> String {
        match &self.policy {
            BadRecords::Fail => String::new(),
            BadRecords::Skip => ", bad records skipped".to_owned(),
            BadRecords::DeadLetter(topic) => format!(", bad records to {topic}"),
        }
    }

    /// The counts of one run of the source.
    pub(super) fn tally(&self, source: &str) -> Arc<Tally> {
        let outcome = match &self.policy {
            BadRecords::Fail => "bad".to_owned(),
            BadRecords::Skip => "bad and skipped".to_owned(),
            BadRecords::DeadLetter(topic) => format!("bad and sent to `{topic}`"),
        };
        Arc::new(Tally { source: source.to_owned(), outcome, seen: AtomicU64::new(0), bad: AtomicU64::new(0) })
    }

    /// The policy at work in one subtask.
    pub(super) fn triage(&self, letters: Option<DeadLetterLane>, tally: Arc<Tally>) -> Triage {
        let action = match letters {
            Some(lane) => Action::Send(Box::new(lane)),
            None if self.policy == BadRecords::Fail => Action::Fail,
            None => Action::Skip,
        };
        let (limit, recent) = (self.limit, VecDeque::new());
        Triage { seen: 0, bad: 0, action, recent: Recent { limit, recent }, talk: Talk::default(), tally }
    }
}

/// Counts of all subtasks, logged when the last of them has gone.
pub(super) struct Tally {
    source: String,
    outcome: String,
    seen: AtomicU64,
    bad: AtomicU64,
}

impl Drop for Tally {
    fn drop(&mut self) {
        let (source, outcome, seen, bad) = (&self.source, &self.outcome, self.seen.get_mut(), self.bad.get_mut());
        if *bad == 0 {
            tracing::info!("{source}: {seen} records read");
        } else {
            tracing::warn!("{source}: {seen} records read, {bad} of them {outcome}");
        }
    }
}

enum Action {
    Fail,
    Skip,
    Send(Box<DeadLetterLane>),
}

/// The policy at work in one subtask.
pub(super) struct Triage {
    seen: u64,
    bad: u64,
    action: Action,
    recent: Recent,
    talk: Talk,
    tally: Arc<Tally>,
}

impl Triage {
    /// Counts a record that is about to be decoded.
    #[inline]
    pub(super) fn count(&mut self) {
        self.seen += 1;
    }

    /// Whether records may be read now; if not, the subtask is woken when they may.
    ///
    /// # Errors
    /// A dead letter was lost.
    pub(super) fn ready(&mut self) -> Result<bool> {
        match &mut self.action {
            Action::Send(lane) => lane.ready(),
            Action::Fail | Action::Skip => Ok(true),
        }
    }

    /// An epoch ends here.
    ///
    /// # Errors
    /// A dead letter was lost.
    pub(super) fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        match &mut self.action {
            Action::Send(lane) => lane.barrier(barrier),
            Action::Fail | Action::Skip => Ok(()),
        }
    }

    /// Whether no dead letter waits for its transaction; if one does, the subtask is woken.
    ///
    /// # Errors
    /// A dead letter was lost.
    pub(super) fn is_settled(&mut self) -> Result<bool> {
        match &mut self.action {
            Action::Send(lane) => lane.is_settled(),
            Action::Fail | Action::Skip => Ok(true),
        }
    }

    /// Deals with a record that the schema has refused; its offset counts as read afterwards.
    ///
    /// # Errors
    /// The policy is to fail, too many records are bad, or the dead letter can't be sent.
    #[cold]
    pub(super) fn refused(&mut self, split: &str, raw: &RawRecord<'_>, reason: &SchemaError) -> Result<()> {
        self.bad += 1;
        let what = || format!("can't decode {split} offset {}: {reason}", raw.offset());
        let fate = match &self.action {
            Action::Fail => {
                let hint = "mend the producer, decode with a schema that accepts such records, or choose what becomes \
                            of them by on_bad_record";
                return Err(Error::new(ErrorKind::Data, what()).with_hint(hint));
            }
            Action::Skip => "skipped",
            Action::Send(_) => "sent to the dead-letter topic",
        };
        if let Some(too_many) = self.recent.note(self.seen) {
            return Err(too_many.error(self.recent.limit, &what()));
        }
        if let Action::Send(lane) = &mut self.action {
            lane.send(raw, reason)?;
        }
        match self.talk.turn() {
            Some(0) => tracing::warn!("bad record {fate}: {}", what()),
            Some(silent) => tracing::warn!("bad record {fate}, as {silent} before it: {}", what()),
            None => {}
        }
        Ok(())
    }
}

impl Drop for Triage {
    fn drop(&mut self) {
        self.tally.seen.fetch_add(self.seen, Ordering::Relaxed);
        self.tally.bad.fetch_add(self.bad, Ordering::Relaxed);
    }
}

/// The most recent bad records: as many as it takes to exceed the limit, so nothing is done for the good ones between.
struct Recent {
    limit: Limit,
    /// The number of each, oldest first.
    recent: VecDeque<u64>,
}

/// The limit is exceeded.
#[derive(Debug, PartialEq, Eq)]
struct TooMany {
    bad: u64,
    of: u64,
}

impl Recent {
    /// Notes that the record with this number is bad.
    fn note(&mut self, number: u64) -> Option<TooMany> {
        let Limit { window, allowed, .. } = self.limit;
        if allowed >= window {
            return None;
        }
        self.recent.push_back(number);
        let bad = self.recent.len() as u64;
        if bad <= allowed {
            return None;
        }
        let of = number - self.recent.pop_front()? + 1;
        (of <= window).then_some(TooMany { bad, of })
    }
}

impl TooMany {
    fn error(&self, limit: Limit, last: &str) -> Error {
        let (TooMany { bad, of }, Limit { ratio, window, allowed }) = (self, limit);
        let message = format!(
            "too many bad records: {bad} of the last {of}, and at most {allowed} of {window} may be; the last one: {last}"
        );
        let hint = format!(
            "check that topic and schema belong together; bad_records.max_ratio ({ratio}) and bad_records.window \
             ({window}) set the limit"
        );
        Error::new(ErrorKind::Data, message).with_hint(hint)
    }
}

/// Whether to log a bad record: the first few, then one every few seconds.
#[derive(Default)]
struct Talk {
    said: u32,
    silent: u64,
    next: Duration,
    clock: SystemClock,
}

impl Talk {
    /// How many went unmentioned before this one, if it is to be mentioned.
    fn turn(&mut self) -> Option<u64> {
        let now = self.clock.monotonic();
        self.turn_at(now)
    }

    fn turn_at(&mut self, now: Duration) -> Option<u64> {
        if self.said >= ONE_BY_ONE && now < self.next {
            self.silent += 1;
            return None;
        }
        self.said = self.said.saturating_add(1);
        self.next = now + REPEAT;
        Some(std::mem::take(&mut self.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(ratio: f64, window: u64) -> Recent {
        Recent { limit: Limit::new(ratio, window), recent: VecDeque::new() }
    }

    #[test]
    fn an_input_that_is_all_bad_stops_as_soon_as_the_window_is_lost() {
        let mut recent = recent(0.9, 1_000);
        assert!((1..=900).all(|number| recent.note(number).is_none()));
        assert_eq!(recent.note(901), Some(TooMany { bad: 901, of: 901 }));
    }

    #[test]
    fn the_share_counts_in_every_window_and_not_in_total() {
        // Nine in ten for ever is what the limit allows.
        let mut even = recent(0.9, 1_000);
        assert!((1..=100_000).filter(|n| n % 10 != 0).all(|number| even.note(number).is_none()));
        // After a long good time a window full of bad ones is one too many.
        let mut late = recent(0.9, 1_000);
        assert!((1_000_000..1_000_900).all(|number| late.note(number).is_none()));
        assert_eq!(late.note(1_000_999), Some(TooMany { bad: 901, of: 1_000 }));
        let mut later = recent(0.9, 1_000);
        assert!((1_000_000..1_000_900).all(|number| later.note(number).is_none()));
        assert_eq!(later.note(1_001_000), None, "the first of them has left the window");
    }

    #[test]
    fn ratios_at_the_ends_and_in_between() {
        assert_eq!(Limit::new(0.29, 100).allowed, 29);
        assert_eq!(Limit::new(0.9, 1).allowed, 0);
        assert_eq!(recent(0.0, 10).note(5), Some(TooMany { bad: 1, of: 1 }));
        let mut off = recent(1.0, 10);
        assert!((1..=100).all(|number| off.note(number).is_none()));
        assert!(off.recent.is_empty());
    }

    #[test]
    fn the_first_few_are_logged_and_then_one_in_ten_seconds() {
        let mut talk = Talk::default();
        let second = Duration::from_secs;
        assert!((0..5).all(|_| talk.turn_at(second(1)) == Some(0)));
        assert!((0..7).all(|_| talk.turn_at(second(2)).is_none()));
        assert_eq!(talk.turn_at(second(11)), Some(7));
        assert_eq!(talk.turn_at(second(12)), None);
        assert_eq!(talk.turn_at(second(30)), Some(1));
    }
}
