//! Late records: counted, said in the log from time to time, and handed out to whoever asked for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::either::Either;
use crate::operator::OperatorContext;
use crate::window::time_window::WindowResult;

/// How long the log is silent about late records after it has spoken of them.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// How many records came too late for every window they belong to; counted over all subtasks, while the job runs.
#[derive(Clone, Debug, Default)]
pub struct LateCount(Arc<AtomicU64>);

impl LateCount {
    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One subtask's part in it.
pub(crate) struct LateRecords {
    total: LateCount,
    /// How many since the log spoke of them.
    unsaid: u64,
    said_at: Option<Duration>,
}

impl LateRecords {
    pub(crate) fn new(total: LateCount) -> LateRecords {
        LateRecords { total, unsaid: 0, said_at: None }
    }

    /// Counts the late records of a batch.
    pub(crate) fn add(&mut self, count: u64, context: Option<&OperatorContext>) {
        if count == 0 {
            return;
        }
        self.total.0.fetch_add(count, Ordering::Relaxed);
        self.unsaid += count;
        let Some(context) = context else { return };
        let now = context.now().monotonic;
        if self.said_at.is_none_or(|at| now.saturating_sub(at) >= WARN_EVERY) {
            tracing::warn!(
                operator = context.name(),
                subtask = context.subtask(),
                records = self.unsaid,
                "records came after their windows had closed; allowed_lateness() keeps windows longer, late_records() \
                 hands such records out"
            );
            (self.unsaid, self.said_at) = (0, Some(now));
        }
    }
}

/// What a window operator makes of its results and of late records.
pub(crate) trait Emit<K, V, T, O>: Clone + Send + 'static {
    fn result(&self, result: WindowResult<K, V>) -> O;
    fn late(&self, record: T) -> Option<O>;
}

/// Results only.
#[derive(Clone, Copy)]
pub(crate) struct Results;

impl<K, V, T> Emit<K, V, T, WindowResult<K, V>> for Results {
    #[inline]
    fn result(&self, result: WindowResult<K, V>) -> WindowResult<K, V> {
        result
    }

    fn late(&self, _record: T) -> Option<WindowResult<K, V>> {
        None
    }
}

/// Results on the left, late records on the right.
#[derive(Clone, Copy)]
pub(crate) struct ResultsAndLate;

impl<K, V, T> Emit<K, V, T, Either<WindowResult<K, V>, T>> for ResultsAndLate {
    fn result(&self, result: WindowResult<K, V>) -> Either<WindowResult<K, V>, T> {
        Either::Left(result)
    }

    fn late(&self, record: T) -> Option<Either<WindowResult<K, V>, T>> {
        Some(Either::Right(record))
    }
}
