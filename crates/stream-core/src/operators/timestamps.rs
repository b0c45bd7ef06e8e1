//! Sets timestamps and makes watermarks in the middle of a stream.
//!
//! It is a reader with one split: what comes in. The split is at its end whenever the input is drained.

use crate::batch::Batch;
use crate::clock::Now;
use crate::error::Result;
use crate::operator::{Operator, OperatorContext, Output, Snapshot};
use crate::source::Progress;
use crate::time::Timestamp;
use crate::watermark::{SplitWatermarks, WatermarkStrategy};

/// The only split.
const INPUT: usize = 0;

/// The name of the state in a snapshot.
const STATE: &str = "watermarks";

/// Runs a [`WatermarkStrategy`] over its input; upstream watermarks and idleness end here.
pub(crate) struct TimestampsAndWatermarks<T> {
    watermarks: SplitWatermarks<T>,
    context: OperatorContext,
}

impl<T: 'static> TimestampsAndWatermarks<T> {
    pub(crate) fn new(strategy: &WatermarkStrategy<T>, context: &OperatorContext) -> TimestampsAndWatermarks<T> {
        let interval = context.watermark_interval();
        let mut watermarks = SplitWatermarks::new(strategy, context.name(), interval, context.clock());
        watermarks.add_split(format!("{}[{}]", context.name(), context.subtask()));
        // A job that begins with silence is told of no drained input.
        watermarks.at_end(INPUT);
        TimestampsAndWatermarks { watermarks, context: context.clone() }
    }

    fn advance(&mut self, now: Now, drained: bool, out: &mut dyn Output<T>) -> Result<()> {
        match self.watermarks.advance(now, drained) {
            Some(Progress::Watermark(watermark)) => out.watermark(watermark),
            Some(Progress::Idle) => out.idle(),
            None => Ok(()),
        }
    }
}

impl<T: Send + 'static> Operator<T, T> for TimestampsAndWatermarks<T> {
    fn process(&mut self, batch: &mut Batch<T>, out: &mut dyn Output<T>) -> Result<()> {
        self.watermarks.on_records(INPUT, batch, 0)?;
        out.batch(batch)?;
        // Otherwise `tick` does it when the interval is over, and the clock is not read here.
        if self.watermarks.is_urgent() {
            self.advance(self.context.now(), false, out)?;
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp, _out: &mut dyn Output<T>) -> Result<Option<Timestamp>> {
        if watermark < Timestamp::MAX {
            return Ok(None);
        }
        self.watermarks.finished(INPUT);
        Ok(Some(Timestamp::MAX))
    }

    fn idle(&mut self, _out: &mut dyn Output<T>) -> Result<bool> {
        Ok(false)
    }

    fn flush(&mut self, out: &mut dyn Output<T>) -> Result<()> {
        self.watermarks.at_end(INPUT);
        self.advance(self.context.now(), true, out)
    }

    fn due(&self) -> Option<std::time::Duration> {
        self.watermarks.due()
    }

    fn tick(&mut self, now: Now, out: &mut dyn Output<T>) -> Result<()> {
        self.advance(now, false, out)
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.put(STATE, self.watermarks.snapshot(INPUT, self.context.now()));
        Ok(())
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        snapshot.get(STATE).map_or(Ok(()), |bytes| self.watermarks.restore(INPUT, bytes))
    }

    fn failed_at(&self) -> Option<usize> {
        self.watermarks.failed_at()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::Harness;

    fn operator(strategy: WatermarkStrategy<i64>) -> impl Fn() -> TimestampsAndWatermarks<i64> {
        move || TimestampsAndWatermarks::new(&strategy, &OperatorContext::new("times", "times", 0, 1))
    }

    #[test]
    fn in_every_variation() {
        // As far out of order as the bound allows: the harness fails a record that is late.
        let records = [40, 10, 41, 60, 30, 55, 90, 61];
        let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(30));
        let assigned = strategy.clone().with_timestamp_assigner(|record: &i64, _| Timestamp::from_millis(*record));
        let timed = records.map(|record| (record, record));
        Harness::new(operator(assigned)).input(records).output_at(timed).check();
        Harness::new(operator(strategy)).input_at(timed).output_at(timed).check();
        let punctuated =
            WatermarkStrategy::punctuated(|record: &i64, _| (*record == 41).then_some(Timestamp::from_millis(20)));
        Harness::new(operator(punctuated)).input_at(timed).output_at(timed).check();
        Harness::new(operator(WatermarkStrategy::no_watermarks())).input_at(timed).output_at(timed).check();
    }

    #[test]
    fn a_record_beyond_the_bound_would_be_found_late_also_after_a_restore() {
        let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(30));
        let harness = Harness::new(operator(strategy)).input_at([(40, 40), (9, 9)]).output([40, 9]);
        let failure = harness.failure().expect("9 is late");
        assert!(failure.contains("a record of 9ms came after watermark 9ms"), "{failure}");
    }
}
