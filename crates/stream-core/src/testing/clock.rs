//! A clock that stands still until somebody moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::time::Timestamp;

/// Time moved by hand. Clones show the same time. Both its clocks start at zero: the wall clock at 1970-01-01T00:00:00Z,
/// until it is set.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use stream_core::clock::Clock;
/// use stream_core::testing::VirtualClock;
///
/// let clock = VirtualClock::new();
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.monotonic(), Duration::from_secs(2));
/// assert_eq!(clock.wall().as_millis(), 2000);
/// ```
#[derive(Clone, Debug, Default)]
pub struct VirtualClock {
    nanoseconds: Arc<AtomicU64>,
    /// What the wall clock shows at monotonic time zero, in milliseconds.
    epoch: Arc<AtomicI64>,
}

impl VirtualClock {
    /// A clock that shows zero.
    pub fn new() -> VirtualClock {
        VirtualClock::default()
    }

    /// Sets the wall clock, as people and time servers do; the monotonic clock goes on as before.
    pub fn set_wall(&self, wall: Timestamp) {
        let since_start = i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX);
        self.epoch.store(wall.as_millis().saturating_sub(since_start), Ordering::Release);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        // 64 bits of nanoseconds are 584 years.
        self.nanoseconds.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::AcqRel);
    }
}

impl Clock for VirtualClock {
    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Acquire))
    }

    fn wall(&self) -> Timestamp {
        let since_start = i64::try_from(self.monotonic().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.epoch.load(Ordering::Acquire).saturating_add(since_start))
    }
}
