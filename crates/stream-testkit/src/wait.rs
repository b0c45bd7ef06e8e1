//! Waiting for a condition, with a deadline.

use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};
use stream_core::thread::Waker;

/// Looks every 20 ms until `condition` holds.
///
/// # Panics
/// If it does not hold within `limit`; the message says `what` was waited for.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    while !condition() {
        assert!(clock.monotonic() < limit, "waited {limit:?} in vain: {what}");
        Waker::new().park(Duration::from_millis(20));
    }
}
