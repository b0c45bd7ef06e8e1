//! [`TimeWindow`] and [`WindowResult`]: which stretch of time, and what came of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A stretch of time: from `start` on, up to but not including `end`.
///
/// # Example
/// ```
/// use stream_core::Timestamp;
/// use stream_core::window::TimeWindow;
///
/// let window = TimeWindow::new(Timestamp::from_millis(0), Timestamp::from_millis(10_000));
/// assert!(window.contains(Timestamp::from_millis(9_999)));
/// assert_eq!(window.max_timestamp(), Timestamp::from_millis(9_999));
/// assert_eq!(window.to_string(), "[0ms, 10000ms)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeWindow {
    start: i64,
    end: i64,
}

impl TimeWindow {
    /// The window that everything is in: what global and count windows say they are.
    pub const ALL: TimeWindow = TimeWindow { start: i64::MIN, end: i64::MAX };

    /// The window from `start` to before `end`.
    pub const fn new(start: Timestamp, end: Timestamp) -> TimeWindow {
        TimeWindow { start: start.as_millis(), end: end.as_millis() }
    }

    pub(crate) const fn of_millis(start: i64, end: i64) -> TimeWindow {
        TimeWindow { start, end }
    }

    /// Where the window begins.
    pub const fn start(self) -> Timestamp {
        Timestamp::from_millis(self.start)
    }

    /// Where the window ends; this moment is not in it.
    pub const fn end(self) -> Timestamp {
        Timestamp::from_millis(self.end)
    }

    /// The last moment in the window: the window is complete when the watermark has got here, and its results carry
    /// this timestamp. For [`TimeWindow::ALL`] that is the end of time.
    pub const fn max_timestamp(self) -> Timestamp {
        Timestamp::from_millis(self.last())
    }

    pub(crate) const fn last(self) -> i64 {
        if self.end == i64::MAX { i64::MAX } else { self.end.saturating_sub(1) }
    }

    /// Whether the moment is in the window.
    pub const fn contains(self, timestamp: Timestamp) -> bool {
        self.start <= timestamp.as_millis() && (timestamp.as_millis() < self.end || self.end == i64::MAX)
    }

    /// Whether the windows overlap, so that as sessions they are one. Windows that only touch do not: the first is
    /// complete at a watermark that the second's first record is not late for, so one session or two would depend on
    /// when the watermark came.
    pub(crate) fn joins(self, other: TimeWindow) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The smallest window that covers both.
    pub(crate) fn cover(self, other: TimeWindow) -> TimeWindow {
        TimeWindow { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

impl fmt::Display for TimeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:?}, {:?})", self.start(), self.end())
    }
}

impl fmt::Debug for TimeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What came of one window of one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowResult<K, V> {
    /// Whose window this is.
    pub key: K,
    /// Which window this is.
    pub window: TimeWindow,
    /// What its records came to.
    pub value: V,
}
