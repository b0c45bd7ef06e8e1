//! The clock that waiting for brokers goes by: that of the system, or that of a fake cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};
use stream_core::thread::Waker;

/// Time as the clients of one cluster see it.
#[derive(Debug)]
pub(crate) enum Time {
    System(SystemClock),
    #[cfg(feature = "sim")]
    Virtual(stream_core::testing::VirtualClock),
}

impl Time {
    /// That of the cluster that these settings name.
    pub(crate) fn of(settings: &BTreeMap<String, String>) -> Time {
        #[cfg(feature = "sim")]
        if let Some(clock) = crate::sim::clock(settings) {
            return Time::Virtual(clock);
        }
        #[cfg(not(feature = "sim"))]
        let _ = settings;
        Time::System(SystemClock::new())
    }

    /// Time since an arbitrary start; never goes back.
    pub(crate) fn now(&self) -> Duration {
        match self {
            Time::System(clock) => clock.monotonic(),
            #[cfg(feature = "sim")]
            Time::Virtual(clock) => clock.monotonic(),
        }
    }

    /// Lets this time pass.
    pub(crate) fn pause(&self, time: Duration) {
        match self {
            Time::System(_) => Waker::new().park(time),
            #[cfg(feature = "sim")]
            Time::Virtual(clock) => clock.advance(time),
        }
    }
}
