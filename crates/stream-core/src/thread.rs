//! The one file that starts threads, and the waker that lets them sleep until there is work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// Starts a named thread.
///
/// # Errors
/// `Unavailable` if the operating system refuses another thread.
pub fn spawn<T: Send + 'static>(name: &str, body: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    #[expect(clippy::disallowed_methods, reason = "this is the one file that starts a thread")]
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    started.map_err(|e| Error::new(ErrorKind::Unavailable, format!("can't start thread `{name}`: {e}")).with_cause(e))
}

/// Wakes one sleeping thread. Cheap to clone; waking an awake thread costs one atomic swap.
///
/// A wake between the last look for work and [`Waker::park`] is not lost: it makes the next `park` return at once.
#[derive(Clone, Debug, Default)]
pub struct Waker(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    notified: AtomicBool,
    sleeper: OnceLock<Thread>,
}

impl Waker {
    /// A waker that belongs to the first thread that parks on it.
    pub fn new() -> Waker {
        Waker::default()
    }

    /// Says that there may be work.
    pub fn wake(&self) {
        // The swap orders what the caller wrote before the sleeper's next look at it.
        if !self.0.notified.swap(true, Ordering::AcqRel)
            && let Some(thread) = self.0.sleeper.get()
        {
            thread.unpark();
        }
    }

    /// What [`Waker::park`] asks before it sleeps: whether there was a wake since the last look. For drivers that never
    /// sleep.
    #[cfg(feature = "testing")]
    pub(crate) fn take(&self) -> bool {
        self.0.notified.swap(false, Ordering::AcqRel)
    }

    /// Sleeps until woken, at most for `limit`. Only the owning thread may call this.
    pub fn park(&self, limit: Duration) {
        self.0.sleeper.get_or_init(std::thread::current);
        // Checked after the thread is known, so that a wake before this line is seen here and one
        // after it finds the thread to unpark.
        if !self.0.notified.swap(false, Ordering::AcqRel) {
            std::thread::park_timeout(limit);
            // A swap, not a store: a second wake that comes just here finds `notified` still set and unparks
            // nobody, so this must see what that caller wrote, or leave the flag for the next park.
            self.0.notified.swap(false, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn a_wake_before_park_is_not_lost() {
        let waker = Waker::new();
        waker.wake();
        // Would sleep far beyond any test's patience if the wake were lost.
        waker.park(Duration::from_secs(3600));
    }

    #[test]
    fn a_wake_from_another_thread_ends_the_sleep() {
        let waker = Waker::new();
        let other = waker.clone();
        let thread = spawn("sleeper", move || other.park(Duration::from_secs(3600))).expect("thread");
        while !thread.is_finished() {
            waker.wake();
            std::thread::yield_now();
        }
        thread.join().expect("no panic");
    }

    #[test]
    fn no_wake_is_lost_when_two_threads_wake_at_once() {
        const ROUNDS: usize = 20_000;
        let waker = Waker::new();
        let numbers = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let seen = Arc::new(AtomicUsize::new(0));
        let producers = numbers.clone().map(|number| {
            let (waker, seen) = (waker.clone(), seen.clone());
            spawn("producer", move || {
                for round in 1..=ROUNDS {
                    number.store(round, Ordering::Release);
                    waker.wake();
                    // Without this, wakes would come so thick that a lost one is made good by the next.
                    while seen.load(Ordering::Acquire) < round {
                        std::thread::yield_now();
                    }
                }
            })
            .expect("thread")
        });
        for round in 1..=ROUNDS {
            while numbers.iter().any(|n| n.load(Ordering::Acquire) < round) {
                waker.park(Duration::from_secs(3600));
            }
            seen.store(round, Ordering::Release);
        }
        for producer in producers {
            producer.join().expect("no panic");
        }
    }
}
