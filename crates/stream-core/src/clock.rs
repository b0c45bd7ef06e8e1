//! The one file that reads the clock, so that everything else can be driven by a clock moved by hand.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// A source of time. Production uses [`SystemClock`]; the stepped scheduler moves its own.
pub trait Clock: Send + Sync {
    /// Time since an arbitrary start; never goes back. Deadlines and intervals use this one.
    fn monotonic(&self) -> Duration;

    /// Wall-clock time. May jump; only for processing-time semantics and for people.
    fn wall(&self) -> Timestamp;

    /// Both at once.
    fn now(&self) -> Now {
        Now { monotonic: self.monotonic(), wall: self.wall() }
    }
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since an arbitrary start; never goes back.
    pub monotonic: Duration,
    /// Wall-clock time.
    pub wall: Timestamp,
}

/// The clocks of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts at zero now.
    #[expect(clippy::disallowed_methods, reason = "this is the one file that reads the clock")]
    pub fn new() -> SystemClock {
        SystemClock { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one file that reads the clock")]
    fn wall(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}
