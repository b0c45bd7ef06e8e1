//! When generators are asked for watermarks, apart from what they find in records.

use std::time::Duration;

/// How often watermarks are sent at most where nobody says how often.
const EAGER: Duration = Duration::from_millis(200);

/// How often watermarks are sent at the very most: each one goes through the whole job.
const LEAST: Duration = Duration::from_millis(1);

/// When generators are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Nobody chose: every 200 ms as in Flink, and when there is nothing more to read, so that neither a quiet stream
    /// nor a test waits for the rest of an interval in which nothing can come.
    Eager,
    /// At this interval and at no other time: somebody chose how much watermarks may cost.
    Every(Duration),
    /// Never, which is what Flink's 0 means.
    Never,
}

impl Pace {
    /// What the strategy says, or else the job.
    pub(super) fn new(strategy: Option<Duration>, job: Option<Duration>) -> Pace {
        match strategy.or(job) {
            None => Pace::Eager,
            Some(Duration::ZERO) => Pace::Never,
            Some(interval) => Pace::Every(interval.max(LEAST)),
        }
    }

    /// Whether generators are asked at all.
    pub(super) fn asks(self) -> bool {
        self != Pace::Never
    }

    /// Whether a drained input is a reason to ask before the interval is over. Where nobody is asked, it is a reason to
    /// look who is idle and how far the others are.
    pub(super) fn asks_when_drained(self) -> bool {
        !matches!(self, Pace::Every(_))
    }

    /// How long after one look at all splits the next is due.
    pub(super) fn interval(self) -> Duration {
        match self {
            Pace::Every(interval) => interval,
            Pace::Eager | Pace::Never => EAGER,
        }
    }
}
