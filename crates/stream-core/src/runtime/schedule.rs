//! When checkpoints begin, when one is given up, when a job has seen too many fail.
//!
//! [`Schedule`] is pure: it is told the time and what happened, and answers with what to do.
//!
//! - From the start of one to the start of the next it is `interval`; from the end of one to the start of the next
//!   at least `min_pause` (as Flink's `CheckpointRequestDecider`). One at a time.
//! - The first comes soon after the start, so that a job that fails early does not repeat much.
//! - One that is not done after `timeout` is given up: it counts as failed, and the next may begin.
//! - More than `tolerable` failures in a row fail the job.

use std::time::Duration;

/// How soon after the start the first checkpoint begins, if the interval is longer.
const FIRST: Duration = Duration::from_millis(100);

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rhythm {
    pub(crate) interval: Duration,
    pub(crate) min_pause: Duration,
    /// None if nothing is ever given up.
    pub(crate) timeout: Option<Duration>,
    /// None if any number of failures is accepted.
    pub(crate) tolerable: Option<u32>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Begin,
    /// The one under way has taken too long.
    GiveUp,
}

#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    rhythm: Option<Rhythm>,
    /// When the next begins by the interval.
    next: Option<Duration>,
    /// Not before that.
    pause_until: Duration,
    /// When the one under way began.
    began: Option<Duration>,
    /// The one under way has taken too long, but nothing can be done about it.
    overdue: bool,
    demanded: bool,
    failures_in_a_row: u32,
}

impl Schedule {
    /// No checkpoint ever begins unless one is demanded.
    pub(crate) fn never() -> Schedule {
        Schedule {
            rhythm: None,
            next: None,
            pause_until: Duration::ZERO,
            began: None,
            overdue: false,
            demanded: false,
            failures_in_a_row: 0,
        }
    }

    pub(crate) fn new(rhythm: Rhythm, first_soon: bool, now: Duration) -> Schedule {
        let first = if first_soon { rhythm.interval.min(FIRST) } else { rhythm.interval };
        Schedule { rhythm: Some(rhythm), next: Some(now + first), ..Schedule::never() }
    }

    /// Begins one at least so often from now on.
    #[cfg(feature = "testing")]
    pub(crate) fn shorten(&mut self, interval: Duration, now: Duration) {
        let none = Rhythm { interval, min_pause: Duration::ZERO, timeout: None, tolerable: None };
        let rhythm = self.rhythm.get_or_insert(none);
        rhythm.interval = rhythm.interval.min(interval);
        self.next = self.next.into_iter().chain([now + interval]).min();
    }

    /// Begins one as soon as none is under way, whatever the interval says.
    pub(crate) fn demand(&mut self) {
        self.demanded = true;
    }

    /// When [`Schedule::decide`] has something to say next.
    pub(crate) fn due(&self) -> Option<Duration> {
        match (self.began, self.rhythm) {
            (Some(began), Some(Rhythm { timeout: Some(timeout), .. })) if !self.overdue => Some(began + timeout),
            (Some(_), _) => None,
            (None, _) if self.demanded => Some(Duration::ZERO),
            (None, _) => self.next.map(|next| next.max(self.pause_until)),
        }
    }

    pub(crate) fn decide(&mut self, now: Duration) -> Option<Action> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        if self.began.is_some() {
            return Some(Action::GiveUp);
        }
        self.demanded = false;
        self.began = Some(now);
        self.next = self.rhythm.map(|rhythm| now + rhythm.interval);
        Some(Action::Begin)
    }

    /// The one under way can't be given up: its end is waited for, however long that takes.
    pub(crate) fn wait(&mut self) {
        self.overdue = true;
    }

    /// The one under way is done.
    pub(crate) fn completed(&mut self, now: Duration) {
        self.ended(now);
        self.failures_in_a_row = 0;
    }

    /// The one under way has failed; true if that was one too many.
    pub(crate) fn failed(&mut self, now: Duration) -> bool {
        self.ended(now);
        self.failures_in_a_row += 1;
        let tolerable = self.rhythm.and_then(|rhythm| rhythm.tolerable);
        tolerable.is_some_and(|tolerable| self.failures_in_a_row > tolerable)
    }

    pub(crate) fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row
    }

    fn ended(&mut self, now: Duration) {
        (self.began, self.overdue) = (None, false);
        self.pause_until = now + self.rhythm.map_or(Duration::ZERO, |rhythm| rhythm.min_pause);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rhythm(interval: u64, min_pause: u64, timeout: u64, tolerable: u32) -> Rhythm {
        Rhythm {
            interval: ms(interval),
            min_pause: ms(min_pause),
            timeout: Some(ms(timeout)),
            tolerable: Some(tolerable),
        }
    }

    #[test]
    fn the_first_comes_soon_and_the_others_by_the_interval() {
        let mut schedule = Schedule::new(rhythm(1000, 0, 500, 0), true, ms(5000));
        assert_eq!((schedule.due(), schedule.decide(ms(5099))), (Some(ms(5100)), None));
        assert_eq!(schedule.decide(ms(5100)), Some(Action::Begin));
        schedule.completed(ms(5300));
        assert_eq!(schedule.due(), Some(ms(6100)));
    }

    #[test]
    fn the_pause_is_kept_when_one_takes_long() {
        let mut schedule = Schedule::new(rhythm(100, 50, 500, 0), true, ms(0));
        assert_eq!(schedule.decide(ms(100)), Some(Action::Begin));
        schedule.completed(ms(190));
        assert_eq!(schedule.due(), Some(ms(240)));
    }

    #[test]
    fn one_that_takes_too_long_is_given_up_and_too_many_failures_are_told() {
        let mut schedule = Schedule::new(rhythm(100, 0, 500, 1), false, ms(0));
        assert_eq!(schedule.decide(ms(100)), Some(Action::Begin));
        assert_eq!(schedule.decide(ms(599)), None);
        assert_eq!(schedule.decide(ms(600)), Some(Action::GiveUp));
        assert!(!schedule.failed(ms(600)));
        assert_eq!(schedule.decide(ms(600)), Some(Action::Begin));
        assert!(schedule.failed(ms(700)), "one in a row is accepted, two are not");
    }

    #[test]
    fn one_on_demand_waits_for_the_one_under_way_only() {
        let mut schedule = Schedule::new(rhythm(1000, 300, 500, 0), false, ms(0));
        schedule.demand();
        assert_eq!(schedule.decide(ms(1)), Some(Action::Begin));
        schedule.demand();
        assert_eq!(schedule.decide(ms(2)), None);
        schedule.completed(ms(3));
        assert_eq!(schedule.decide(ms(3)), Some(Action::Begin));
        schedule.completed(ms(4));
        assert_eq!(schedule.decide(ms(5)), None);
    }

    proptest! {
        /// Whatever happens: one at a time, never before interval and pause, and always another one.
        #[test]
        fn checkpoints_keep_their_distance(
            interval in 1_u64..50, min_pause in 0_u64..50, timeout in 1_u64..50,
            steps in prop::collection::vec((1_u64..20, 0..3), 1..200),
        ) {
            let mut schedule = Schedule::new(rhythm(interval, min_pause, timeout, u32::MAX), true, ms(0));
            let (mut now, mut began, mut last_began, mut last_ended) = (0, None, None::<u64>, None::<u64>);
            for (by, what) in steps {
                now += by;
                match schedule.decide(ms(now)) {
                    Some(Action::Begin) => {
                        prop_assert!(began.is_none());
                        prop_assert!(last_began.is_none_or(|last| now - last >= interval));
                        prop_assert!(last_ended.is_none_or(|last| now - last >= min_pause));
                        (began, last_began) = (Some(now), Some(now));
                    }
                    Some(Action::GiveUp) => {
                        prop_assert!(began.is_some_and(|began| now - began >= timeout));
                        schedule.failed(ms(now));
                        (began, last_ended) = (None, Some(now));
                    }
                    None if began.is_some() && what == 0 => {
                        schedule.completed(ms(now));
                        (began, last_ended) = (None, Some(now));
                    }
                    None => {}
                }
                prop_assert!(schedule.due().is_some());
            }
        }
    }
}
