//! What happens when a job fails: [`Restarts`] counts failures and says how long to wait, or that it is enough.
//!
//! Pure: it is told the time. The strategies and their keys are Flink's (`RestartBackoffTimeStrategy`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::random::Random;
use crate::settings::RestartStrategy;

/// The failures of one job.
pub(crate) struct Restarts {
    strategy: RestartStrategy,
    /// How many there were; with a growing pause, since it was reset.
    failures: u32,
    /// When the last few were, newest last.
    recent: VecDeque<Duration>,
    /// The pause before the next restart, where pauses grow.
    backoff: Duration,
    /// The chance of jitter, which keeps many jobs from coming back in step.
    random: Random,
}

/// Whether trying again can help. A wrong setting, a takeover and damaged state stay what they are.
pub(crate) fn is_retryable(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::Config | ErrorKind::Fenced | ErrorKind::Corrupt)
}

impl Restarts {
    pub(crate) fn new(strategy: RestartStrategy, seed: u64) -> Restarts {
        let backoff = match &strategy {
            RestartStrategy::ExponentialDelay { initial_backoff, .. } => *initial_backoff,
            _ => Duration::ZERO,
        };
        Restarts { strategy, failures: 0, recent: VecDeque::new(), backoff, random: Random::new(seed) }
    }

    /// The job has failed: how long to wait before it is restarted, or None if it is not.
    pub(crate) fn failed(&mut self, now: Duration) -> Option<Duration> {
        let last = self.recent.back().copied();
        self.recent.push_back(now);
        self.failures += 1;
        let chance = self.chance();
        match &self.strategy {
            RestartStrategy::None => None,
            RestartStrategy::FixedDelay { attempts, delay } => (self.failures <= *attempts).then_some(*delay),
            RestartStrategy::FailureRate { max_failures, interval, delay } => {
                while self.recent.front().is_some_and(|first| now.saturating_sub(*first) > *interval) {
                    self.recent.pop_front();
                }
                (self.recent.len() <= *max_failures as usize).then_some(*delay)
            }
            RestartStrategy::ExponentialDelay {
                initial_backoff,
                max_backoff,
                multiplier,
                reset_after,
                jitter,
                attempts,
            } => {
                // A pause is no proof of health: the time is counted from the end of it.
                if last.is_some_and(|last| now.saturating_sub(last) >= *reset_after + self.backoff) {
                    (self.backoff, self.failures) = (*initial_backoff, 1);
                }
                if attempts.is_some_and(|attempts| self.failures > attempts) {
                    return None;
                }
                let pause = self.backoff;
                self.backoff = pause.mul_f64(multiplier.max(1.0)).min(*max_backoff);
                self.recent.drain(..self.recent.len() - 1);
                Some(pause.mul_f64(1.0 + jitter * chance).min(*max_backoff))
            }
        }
    }

    /// From -1 to 1.
    fn chance(&mut self) -> f64 {
        (self.random.next() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn exponential(jitter: f64, attempts: Option<u32>) -> Restarts {
        let strategy = RestartStrategy::ExponentialDelay {
            initial_backoff: s(1),
            max_backoff: s(10),
            multiplier: 2.0,
            reset_after: s(60),
            jitter,
            attempts,
        };
        Restarts::new(strategy, 7)
    }

    #[test]
    fn without_a_strategy_the_first_failure_is_the_last() {
        assert_eq!(Restarts::new(RestartStrategy::None, 0).failed(s(1)), None);
    }

    #[test]
    fn a_fixed_delay_ends_after_its_attempts() {
        let mut restarts = Restarts::new(RestartStrategy::FixedDelay { attempts: 2, delay: s(5) }, 0);
        assert_eq!([s(1), s(2), s(3)].map(|now| restarts.failed(now)), [Some(s(5)), Some(s(5)), None]);
    }

    #[test]
    fn a_failure_rate_forgets_what_is_long_ago() {
        let strategy = RestartStrategy::FailureRate { max_failures: 2, interval: s(10), delay: s(1) };
        let mut restarts = Restarts::new(strategy.clone(), 0);
        assert_eq!([s(0), s(9), s(18), s(27)].map(|now| restarts.failed(now)), [Some(s(1)); 4]);
        let mut restarts = Restarts::new(strategy, 0);
        assert_eq!([s(0), s(5), s(10)].map(|now| restarts.failed(now)), [Some(s(1)), Some(s(1)), None]);
    }

    #[test]
    fn pauses_grow_up_to_a_limit_and_begin_again_after_a_good_time() {
        let mut restarts = exponential(0.0, None);
        let pauses = [0, 1, 2, 3, 4, 5].map(|now| restarts.failed(s(now)));
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10].map(|pause| Some(s(pause))));
        assert_eq!(restarts.failed(s(64)), Some(s(10)), "59 s, of which 10 were the pause");
        assert_eq!(restarts.failed(s(64 + 70)), Some(s(1)));
    }

    #[test]
    fn jitter_stays_in_its_part_and_attempts_are_counted_since_the_reset() {
        let mut restarts = exponential(0.5, Some(3));
        for (now, pause) in [(0, 1.0), (1, 2.0), (2, 4.0)] {
            let is = restarts.failed(s(now)).expect("within the attempts").as_secs_f64();
            assert!((pause * 0.5..=pause * 1.5).contains(&is), "{is} for {pause}");
        }
        assert_eq!(restarts.failed(s(3)), None);
    }
}
