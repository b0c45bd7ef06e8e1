//! Event time: which timestamps records have, and how far time has come.
//!
//! A *watermark* says that no record at or before it follows, except late ones. [`WatermarkStrategy`] is what the user
//! says; the same strategy works at a source, with one generator per split, and in the middle of a stream.
//!
//! Reading order: this file, [`generator`] (timestamps to watermarks), [`pace`] (how often they are asked), [`splits`]
//! (the minimum over splits, idleness, when to send), [`progress`] (who holds event time back).

mod generator;
mod pace;
mod progress;
mod splits;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::clock::Now;
use crate::source::SourceContext;
use crate::time::Timestamp;

pub use generator::WatermarkGenerator;
pub use progress::{SplitActivity, SplitProgress, WatermarkProgress};
pub use splits::SplitWatermarks;

use generator::{Assign, BuiltIn, FarFutureHook, Made, MakeGenerator, Punctuated};

/// How far ahead of the clock a record may be dated and still move event time. A wrong time zone is at most 26 hours
/// off, mostly less than a day; milliseconds taken for seconds are off by centuries.
const MAX_FUTURE: Duration = Duration::from_secs(24 * 60 * 60);

/// A wall clock that shows less than this (July 2017) has not been set, and can't judge what is the future.
const CLOCK_IS_SET: Timestamp = Timestamp::from_millis(1_500_000_000_000);

/// Which timestamps records have, and how watermarks follow from them.
///
/// Made by one of the constructors, refined by the `with_…` methods, and given to a source (such as
/// `KafkaSource::watermarks`) or to
/// [`assign_timestamps_and_watermarks`](crate::DataStream::assign_timestamps_and_watermarks).
///
/// *At a source* there is one generator per split, and the watermark is the smallest of those that are not idle: splits
/// may be any time apart, and no record is late by the watermark of another split alone. *In the middle of a stream*
/// there is one generator per subtask, which sees records of all splits mixed.
///
/// Watermarks are sent once per `pipeline.auto-watermark-interval`. Where nobody sets it (nor
/// [`with_interval`](WatermarkStrategy::with_interval)) that is every 200 ms, and whenever the input is drained, so that a
/// quiet stream does not wait. They follow the batch that brought them.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use stream_core::{Timestamp, WatermarkStrategy};
///
/// struct Order {
///     order_time: i64,
/// }
///
/// let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(60))
///     .with_timestamp_assigner(|order: &Order, _| Timestamp::from_millis(order.order_time))
///     .with_idleness(Duration::from_secs(30));
/// # let _ = strategy;
/// ```
#[must_use = "a strategy does nothing before a source or a stream gets it"]
pub struct WatermarkStrategy<T> {
    generator: Box<dyn MakeGenerator<T>>,
    assigner: Option<Box<dyn Assign<T>>>,
    on_far_future: Option<Box<dyn FarFutureHook<T>>>,
    /// Whether the generator has something to say although no record comes.
    periodic: bool,
    /// None for the job's.
    interval: Option<Duration>,
    idleness: Option<Duration>,
    /// The drift, in milliseconds.
    alignment: Option<i64>,
    max_future: Option<Duration>,
    progress: WatermarkProgress,
}

impl<T: 'static> WatermarkStrategy<T> {
    fn with(generator: impl MakeGenerator<T> + 'static, periodic: bool) -> WatermarkStrategy<T> {
        WatermarkStrategy {
            generator: Box::new(generator),
            assigner: None,
            on_far_future: None,
            periodic,
            interval: None,
            idleness: None,
            alignment: None,
            max_future: Some(MAX_FUTURE),
            progress: WatermarkProgress::default(),
        }
    }

    /// Records come at most `bound` later than their timestamps say: the watermark is the greatest timestamp so far,
    /// minus `bound`, minus one millisecond (as Flink's `forBoundedOutOfOrderness`). Whole milliseconds count.
    pub fn for_bounded_out_of_orderness(bound: Duration) -> WatermarkStrategy<T> {
        WatermarkStrategy::with(BuiltIn(Some(millis(bound))), false)
    }

    /// Timestamps never go down within a split: the watermark is one millisecond behind the greatest so far.
    pub fn for_monotonous_timestamps() -> WatermarkStrategy<T> {
        WatermarkStrategy::for_bounded_out_of_orderness(Duration::ZERO)
    }

    /// A watermark wherever `function` finds one in a record, given the record and its timestamp. It is sent right behind
    /// the record's batch; of several in one batch the greatest counts.
    ///
    /// # Example
    /// ```
    /// use stream_core::{Timestamp, WatermarkStrategy};
    ///
    /// struct Order {
    ///     is_marker: bool,
    /// }
    ///
    /// let strategy = WatermarkStrategy::punctuated(|order: &Order, timestamp| order.is_marker.then_some(timestamp));
    /// # let _ = strategy;
    /// ```
    pub fn punctuated(
        function: impl FnMut(&T, Timestamp) -> Option<Timestamp> + Clone + Send + 'static,
    ) -> WatermarkStrategy<T> {
        WatermarkStrategy::with(Made(move || Punctuated(function.clone())), false)
    }

    /// No watermarks: timestamps are set, event time begins at the end of the stream.
    pub fn no_watermarks() -> WatermarkStrategy<T> {
        WatermarkStrategy::with(BuiltIn(None), false)
    }

    /// Generators of your own; `make` is called once per split.
    pub fn custom<G>(make: impl Fn() -> G + Clone + Send + 'static) -> WatermarkStrategy<T>
    where
        G: WatermarkGenerator<T> + 'static,
    {
        WatermarkStrategy::with(Made(make), true)
    }

    /// Takes a record's timestamp from `assigner`, given the record and the timestamp it came with (at a Kafka source,
    /// Kafka's own). Without an assigner that timestamp stays.
    pub fn with_timestamp_assigner(
        mut self,
        assigner: impl FnMut(&T, Option<Timestamp>) -> Timestamp + Clone + Send + 'static,
    ) -> WatermarkStrategy<T> {
        self.assigner = Some(Box::new(assigner));
        self
    }

    /// Lets event time go on without a split that has been silent for `timeout`. Off by default, as in Flink: then a
    /// split without records holds everybody back, and the log names it.
    ///
    /// A split is idle only if its reader has read it to its end: a slow reader, a broker that is away or back pressure
    /// make no split idle (Flink's `withIdleness` takes those for silence). When a record comes after all, the split is
    /// waited for again; records older than the watermark are late then. In the middle of a stream "read to its end"
    /// means that the operator's input was drained.
    pub fn with_idleness(mut self, timeout: Duration) -> WatermarkStrategy<T> {
        self.idleness = Some(timeout);
        self
    }

    /// Does not read a split further while it is more than `max_drift` ahead of the slowest split of its source that
    /// others wait for (as Flink's `withWatermarkAlignment`), so that state does not grow with what the fast ones bring
    /// in. Order and results stay the same; the batch in hand may go beyond the drift.
    ///
    /// A split that is silent without being idle stops the others, too: use it together with
    /// [`with_idleness`](WatermarkStrategy::with_idleness). One that was empty from the beginning stops nobody.
    ///
    /// Clones of one strategy are aligned to each other: give them to several sources of a job to keep those together, or
    /// strategies [`with_progress`](WatermarkStrategy::with_progress) of one of them where records differ in type.
    ///
    /// Works at a source that can leave a split unread, such as Kafka's. In the middle of a stream there are no splits,
    /// and an operator never chooses its input: there the plan refuses it.
    pub fn with_alignment(mut self, max_drift: Duration) -> WatermarkStrategy<T> {
        self.alignment = Some(millis(max_drift));
        self
    }

    /// How far ahead of the wall clock a record may be dated and still move event time; one day by default.
    ///
    /// One record dated 2099 would otherwise close every window and make everything after it late. Such a record keeps
    /// its timestamp and stays in the stream, but its split's watermark does not see it. It is counted
    /// ([`WatermarkProgress::far_future_records`]), logged at most every ten seconds, and shown to
    /// [`on_far_future`](WatermarkStrategy::on_far_future);
    /// [`split_far_future`](crate::DataStream::split_far_future) takes it out of the stream. A clock that shows a time before July 2017 was never set and
    /// judges nothing.
    pub fn with_max_future(mut self, max: Duration) -> WatermarkStrategy<T> {
        self.max_future = Some(max);
        self
    }

    /// Lets every record move event time, whatever its date: for streams of forecasts and appointments.
    pub fn without_max_future(mut self) -> WatermarkStrategy<T> {
        self.max_future = None;
        self
    }

    /// Shows `function` every record that is dated too far ahead, with its timestamp, before the record goes on.
    pub fn on_far_future(
        mut self,
        function: impl FnMut(&T, Timestamp) + Clone + Send + 'static,
    ) -> WatermarkStrategy<T> {
        self.on_far_future = Some(Box::new(function));
        self
    }

    /// How often generators are asked for watermarks, in place of the job's `pipeline.auto-watermark-interval`; at least
    /// 1 ms. Each watermark goes through the whole job.
    ///
    /// Zero is never, as in Flink: then bounded and monotonous strategies send no watermark before the end of a bounded
    /// stream; those that generators find in records ([`punctuated`](WatermarkStrategy::punctuated)) are sent as before,
    /// and idleness works as before.
    ///
    /// If neither is set, generators are asked every 200 ms and whenever the input is drained. An interval that is set
    /// holds for a drained input, too: it says how much watermarks may cost.
    pub fn with_interval(mut self, interval: Duration) -> WatermarkStrategy<T> {
        self.interval = Some(interval);
        self
    }

    /// How far the splits are, to be asked while the job runs.
    pub fn progress(&self) -> WatermarkProgress {
        self.progress.clone()
    }

    /// Puts the splits into the table of another strategy, which may be for another type of records: splits of several
    /// sources are then compared with each other. The log names the one among them that holds the others back,
    /// [`with_alignment`](WatermarkStrategy::with_alignment) keeps all of them together, and
    /// [`progress`](WatermarkStrategy::progress) of each strategy speaks of all. For sources whose streams meet.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// use stream_core::WatermarkStrategy;
    ///
    /// let orders = WatermarkStrategy::<u64>::for_bounded_out_of_orderness(Duration::from_secs(5));
    /// let payments = WatermarkStrategy::<String>::for_monotonous_timestamps().with_progress(orders.progress());
    /// # let _ = (orders, payments);
    /// ```
    pub fn with_progress(mut self, progress: WatermarkProgress) -> WatermarkStrategy<T> {
        self.progress = progress;
        self
    }

    /// The strategy at work in one subtask of a source, for readers. All subtasks share alignment and
    /// [`progress`](WatermarkStrategy::progress).
    pub fn reader(&self, context: &SourceContext) -> SplitWatermarks<T> {
        SplitWatermarks::new(self, context.name(), context.watermark_interval(), context.clock())
    }

    pub(crate) fn is_aligned(&self) -> bool {
        self.alignment.is_some()
    }

    /// The greatest timestamp that moves event time.
    fn latest(&self, now: Now) -> Timestamp {
        latest_by_clock(self.max_future, now)
    }
}

/// The greatest timestamp that is at most `max` ahead of the wall clock. Without a limit, or with a clock that was never
/// set, that is any.
pub(crate) fn latest_by_clock(max: Option<Duration>, now: Now) -> Timestamp {
    match max {
        Some(max) if now.wall >= CLOCK_IS_SET => {
            Timestamp::from_millis(now.wall.as_millis().saturating_add(millis(max)))
        }
        _ => Timestamp::MAX,
    }
}

impl<T> Clone for WatermarkStrategy<T> {
    fn clone(&self) -> WatermarkStrategy<T> {
        WatermarkStrategy {
            generator: self.generator.duplicate(),
            assigner: self.assigner.as_ref().map(|assigner| assigner.duplicate()),
            on_far_future: self.on_far_future.as_ref().map(|hook| hook.duplicate()),
            periodic: self.periodic,
            interval: self.interval,
            idleness: self.idleness,
            alignment: self.alignment,
            max_future: self.max_future,
            progress: self.progress.clone(),
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
