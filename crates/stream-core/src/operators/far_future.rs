//! Takes records that are dated too far ahead out of a stream.

use std::time::Duration;

use crate::batch::Batch;
use crate::either::Either;
use crate::error::Result;
use crate::operator::{Operator, OperatorContext, Output};
use crate::time::Timestamp;
use crate::watermark::latest_by_clock;

/// Marks records: left if they are dated at most `max` ahead of the wall clock or not at all, right if further.
/// Order, timestamps and watermarks stay as they are.
pub(crate) struct FarFuture<T> {
    max: Duration,
    /// The greatest timestamp that is not too far, by the clock as it was read last.
    latest: Timestamp,
    context: OperatorContext,
    results: Batch<Either<T, T>>,
}

impl<T> FarFuture<T> {
    pub(crate) fn new(max: Duration, context: &OperatorContext) -> FarFuture<T> {
        FarFuture { max, latest: Timestamp::MIN, context: context.clone(), results: Batch::new() }
    }
}

impl<T: Send + 'static> Operator<T, Either<T, T>> for FarFuture<T> {
    fn process(&mut self, batch: &mut Batch<T>, out: &mut dyn Output<Either<T, T>>) -> Result<()> {
        // The clock is read only for a batch with something in it that may be too far.
        if batch.timestamps().iter().max().is_some_and(|newest| *newest > self.latest) {
            self.latest = latest_by_clock(Some(self.max), self.context.now());
        }
        self.results.clear();
        let (records, timestamps) = batch.drain_timed();
        let mut timestamps = timestamps.iter();
        for record in records {
            let is_far = timestamps.next().is_some_and(|timestamp| *timestamp > self.latest);
            self.results.push(if is_far { Either::Right(record) } else { Either::Left(record) });
        }
        self.results.take_header(batch);
        out.batch(&mut self.results)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::{Harness, VirtualClock};

    #[test]
    fn in_every_variation() {
        let clock = VirtualClock::new();
        let now = 1_800_000_000_000;
        clock.set_wall(Timestamp::from_millis(now));
        let context = OperatorContext::new("future", "future", 0, 1).with_clock(Arc::new(clock));
        let make = move || FarFuture::new(Duration::from_millis(10), &context);
        let timed = [(1, now), (2, now + 11), (3, now + 10), (4, 0), (5, i64::MAX - 1)];
        let marked = timed.map(|(record, at)| match record {
            2 | 5 => (Either::Right(record), at),
            _ => (Either::Left(record), at),
        });
        Harness::new(&make).input_at(timed).output_at(marked).check();
        // Without a time nothing is too far.
        Harness::new(&make).input([1, 2]).output([Either::Left(1), Either::Left(2)]).check();
    }
}
