//! What users chain: a keyed stream in windows, and what comes of them.

use std::ops::Add;
use std::sync::Arc;
use std::time::Duration;

use crate::key::{Key, Keyed};
use crate::operator::Record;
use crate::stream::DataStream;
use crate::window::aggregate::{Aggregator, Collect, Count, Reduce, WindowState, max, min, sum};
use crate::window::assign::{Assigner, Kind, TimeKind, Windows};
use crate::window::count::{CountWindows, Counts};
use crate::window::general::{GeneralWindows, Rules as GeneralRules};
use crate::window::grid::millis;
use crate::window::late::{Emit, LateCount, LateRecords, Results, ResultsAndLate};
use crate::window::sliced::{Rules, SlicedWindows};
use crate::window::time_window::{TimeWindow, WindowResult};
use crate::window::trigger::{EventTimeTrigger, Trigger};

impl<T: Record> DataStream<T> {
    /// Groups all records into windows, without a key. One subtask has them all: where there is a key, use
    /// [`key_by`](DataStream::key_by) (Flink: `windowAll`).
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// use stream_core::Timestamp;
    /// use stream_core::testing::TestDriver;
    /// use stream_core::window::TumblingWindows;
    ///
    /// let mut driver = TestDriver::new().parallelism(2);
    /// let minute = TumblingWindows::of(Duration::from_secs(60));
    /// let (prices, highest) = driver.job(|prices| {
    ///     prices.rebalance().window_all(minute).max(|price: &u32| *price).map(|result| result.value)
    /// });
    /// for (second, price) in [(5, 7), (59, 9), (60, 3)] {
    ///     prices.push_at(price, Timestamp::from_millis(second * 1000));
    /// }
    /// driver.finish()?;
    /// assert_eq!(highest.take_sorted(), [3, 9]);
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    pub fn window_all(self, windows: impl Windows<T>) -> WindowedStream<(), T> {
        let keyed = self.map(|record| Keyed::new((), record)).global();
        WindowedStream { is_keyed: false, ..WindowedStream::new(keyed, windows.assigner()) }
    }
}

/// The records of each key in windows: made by [`KeyedStream::window`](crate::KeyedStream::window). What follows says
/// what comes of a window.
///
/// Results carry their key and window, and the last timestamp of the window.
#[must_use = "windows give nothing until something is made of them, such as .count()"]
pub struct WindowedStream<K, T> {
    stream: DataStream<Keyed<K, T>>,
    assigner: Assigner<T>,
    /// None for the default.
    trigger: Option<Arc<dyn Trigger<T>>>,
    lateness: i64,
    late: LateCount,
    is_keyed: bool,
}

impl<K: Key, T: Record> WindowedStream<K, T> {
    pub(crate) fn new(stream: DataStream<Keyed<K, T>>, assigner: Assigner<T>) -> WindowedStream<K, T> {
        WindowedStream { stream, assigner, trigger: None, lateness: 0, late: LateCount::default(), is_keyed: true }
    }

    /// Says when windows give a result; by default, once, at their end ([`EventTimeTrigger`]).
    ///
    /// Windows with a trigger of their own cost more per record: sliding ones as much as there are windows.
    pub fn trigger(self, trigger: impl Trigger<T>) -> WindowedStream<K, T> {
        WindowedStream { trigger: Some(Arc::new(trigger)), ..self }
    }

    /// Keeps windows for so long after their end, in event time (Flink: `allowedLateness`; Kafka Streams: `grace`). A
    /// record that comes in that time makes its windows give their result again, the record included.
    ///
    /// # Panics
    /// If `lateness` is above ten thousand years.
    #[track_caller]
    pub fn allowed_lateness(self, lateness: Duration) -> WindowedStream<K, T> {
        WindowedStream { lateness: millis(lateness), ..self }
    }

    /// Counts the records that came too late for every window they belong to. The log speaks of them, too.
    pub fn late_count(&self) -> LateCount {
        self.late.clone()
    }

    /// Hands out the records that came too late, as a second stream beside the results (Flink: `sideOutputLateData`).
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// # use stream_core::{DataStream, Timestamp};
    /// # use stream_core::window::{TumblingWindows, WindowResult};
    /// fn counted(clicks: DataStream<String>) -> (DataStream<WindowResult<usize, u64>>, DataStream<String>) {
    ///     let minutes = clicks.key_by(|click| click.len()).window(TumblingWindows::of(Duration::from_secs(60)));
    ///     minutes.late_records().count()
    /// }
    /// # drop(counted as fn(_) -> _);
    /// ```
    pub fn late_records(self) -> LateWindowedStream<K, T> {
        LateWindowedStream(self)
    }

    /// Takes in the records of a window one at a time (Flink: `aggregate`).
    pub fn aggregate<A: Aggregator<T>>(self, aggregator: A) -> DataStream<WindowResult<K, A::Output>> {
        self.windows("window_aggregate", aggregator, Results, true)
    }

    /// How many records a window has.
    pub fn count(self) -> DataStream<WindowResult<K, u64>> {
        self.windows("window_count", Count, Results, true)
    }

    /// Makes one record of all: `function` joins two at a time, the earlier one first. It must be associative.
    pub fn reduce(self, function: impl Fn(T, T) -> T + Clone + Send + 'static) -> DataStream<WindowResult<K, T>>
    where
        T: WindowState,
    {
        self.windows("window_reduce", Reduce(function), Results, true)
    }

    /// The sum of what `get` takes from each record.
    pub fn sum<N>(self, get: impl Fn(&T) -> N + Clone + Send + 'static) -> DataStream<WindowResult<K, N>>
    where
        N: WindowState + Add<Output = N>,
    {
        self.windows("window_sum", sum(get), Results, true)
    }

    /// The smallest of what `get` takes from each record.
    pub fn min<N>(self, get: impl Fn(&T) -> N + Clone + Send + 'static) -> DataStream<WindowResult<K, N>>
    where
        N: WindowState + PartialOrd,
    {
        self.windows("window_min", min(get), Results, true)
    }

    /// The greatest of what `get` takes from each record.
    pub fn max<N>(self, get: impl Fn(&T) -> N + Clone + Send + 'static) -> DataStream<WindowResult<K, N>>
    where
        N: WindowState + PartialOrd,
    {
        self.windows("window_max", max(get), Results, true)
    }

    /// Calls `function` with all records of a window; any number of results come out (Flink: `process`,
    /// `ProcessWindowFunction`).
    ///
    /// All records are kept until their window is gone: where an aggregate will do, it needs far less memory. The
    /// records come in the order of arrival, those of sliding windows slice by slice.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// # use stream_core::DataStream;
    /// # use stream_core::window::SessionWindows;
    /// fn visits(pages: DataStream<(String, String)>) -> DataStream<String> {
    ///     let sessions = SessionWindows::with_gap(Duration::from_secs(1800));
    ///     pages.key_by(|(user, _)| user.clone()).window(sessions).process(|user, window, pages| {
    ///         [format!("{user} looked at {} pages from {:?} on", pages.len(), window.start())]
    ///     })
    /// }
    /// # drop(visits as fn(_) -> _);
    /// ```
    pub fn process<R>(
        self,
        mut function: impl FnMut(&K, TimeWindow, Vec<T>) -> R + Clone + Send + 'static,
    ) -> DataStream<R::Item>
    where
        T: WindowState,
        R: IntoIterator + 'static,
        R::IntoIter: Send,
        R::Item: Record,
    {
        let contents = self.windows("window_process", Collect, Results, false);
        contents.flat_map(move |WindowResult { key, window, value }| function(&key, window, value))
    }

    /// Adds the operator that these windows need.
    fn windows<A, E, O>(self, kind: &'static str, aggregator: A, emit: E, premerge: bool) -> DataStream<O>
    where
        A: Aggregator<T>,
        E: Emit<K, A::Output, T, O>,
        O: Record,
    {
        let WindowedStream { stream, assigner, trigger, lateness, late, is_keyed } = self;
        let windows = match (assigner, trigger) {
            (Assigner { kind: Kind::Slices(slicing), time: TimeKind::Event }, None) => {
                let rules = Rules { slicing, lateness, premerge };
                stream.transform(kind, move |_| {
                    let late = LateRecords::new(late.clone());
                    SlicedWindows::new(rules.clone(), aggregator.clone(), emit.clone(), late)
                })
            }
            (assigner, trigger) => {
                let trigger = trigger.unwrap_or_else(|| Arc::new(EventTimeTrigger));
                let rules = GeneralRules { assigner, trigger, lateness };
                stream.transform(kind, move |_| {
                    let late = LateRecords::new(late.clone());
                    GeneralWindows::new(rules.clone(), aggregator.clone(), emit.clone(), late)
                })
            }
        };
        if is_keyed { windows } else { windows.fixed_parallelism(1) }
    }
}

/// As [`WindowedStream`], with late records as a second stream: what ends it gives two streams.
#[must_use = "windows give nothing until something is made of them, such as .count()"]
pub struct LateWindowedStream<K, T>(WindowedStream<K, T>);

impl<K: Key, T: Record> LateWindowedStream<K, T> {
    /// As [`WindowedStream::aggregate`], and the late records.
    pub fn aggregate<A>(self, aggregator: A) -> (DataStream<WindowResult<K, A::Output>>, DataStream<T>)
    where
        A: Aggregator<T>,
    {
        self.windows("window_aggregate", aggregator, true)
    }

    /// As [`WindowedStream::count`], and the late records.
    pub fn count(self) -> (DataStream<WindowResult<K, u64>>, DataStream<T>) {
        self.windows("window_count", Count, true)
    }

    /// As [`WindowedStream::reduce`], and the late records.
    pub fn reduce(
        self,
        function: impl Fn(T, T) -> T + Clone + Send + 'static,
    ) -> (DataStream<WindowResult<K, T>>, DataStream<T>)
    where
        T: WindowState,
    {
        self.windows("window_reduce", Reduce(function), true)
    }

    /// As [`WindowedStream::sum`], and the late records.
    pub fn sum<N>(
        self,
        get: impl Fn(&T) -> N + Clone + Send + 'static,
    ) -> (DataStream<WindowResult<K, N>>, DataStream<T>)
    where
        N: WindowState + Add<Output = N>,
    {
        self.windows("window_sum", sum(get), true)
    }

    /// As [`WindowedStream::min`], and the late records.
    pub fn min<N>(
        self,
        get: impl Fn(&T) -> N + Clone + Send + 'static,
    ) -> (DataStream<WindowResult<K, N>>, DataStream<T>)
    where
        N: WindowState + PartialOrd,
    {
        self.windows("window_min", min(get), true)
    }

    /// As [`WindowedStream::max`], and the late records.
    pub fn max<N>(
        self,
        get: impl Fn(&T) -> N + Clone + Send + 'static,
    ) -> (DataStream<WindowResult<K, N>>, DataStream<T>)
    where
        N: WindowState + PartialOrd,
    {
        self.windows("window_max", max(get), true)
    }

    /// As [`WindowedStream::process`], and the late records.
    pub fn process<R>(
        self,
        mut function: impl FnMut(&K, TimeWindow, Vec<T>) -> R + Clone + Send + 'static,
    ) -> (DataStream<R::Item>, DataStream<T>)
    where
        T: WindowState,
        R: IntoIterator + 'static,
        R::IntoIter: Send,
        R::Item: Record,
    {
        let (contents, late) = self.windows("window_process", Collect, false);
        (contents.flat_map(move |WindowResult { key, window, value }| function(&key, window, value)), late)
    }

    fn windows<A>(
        self,
        kind: &'static str,
        aggregator: A,
        premerge: bool,
    ) -> (DataStream<WindowResult<K, A::Output>>, DataStream<T>)
    where
        A: Aggregator<T>,
    {
        self.0.windows(kind, aggregator, ResultsAndLate, premerge).split()
    }
}

/// The records of each key in windows of so many records: made by
/// [`KeyedStream::count_window`](crate::KeyedStream::count_window).
///
/// Such windows know no time: their results say [`TimeWindow::ALL`], and carry the greatest timestamp that the key has had
/// since its windows began to overlap, if records have timestamps.
#[must_use = "windows give nothing until something is made of them, such as .count()"]
pub struct CountWindowedStream<K, T> {
    stream: DataStream<Keyed<K, T>>,
    count: u64,
    step: u64,
}

impl<K: Key, T: Record> CountWindowedStream<K, T> {
    #[track_caller]
    pub(crate) fn new(stream: DataStream<Keyed<K, T>>, count: u64, step: u64) -> CountWindowedStream<K, T> {
        assert!(count > 0 && step > 0, "a count window counts records: at least 1");
        CountWindowedStream { stream, count, step }
    }

    /// As [`WindowedStream::aggregate`].
    pub fn aggregate<A: Aggregator<T>>(self, aggregator: A) -> DataStream<WindowResult<K, A::Output>> {
        self.windows("count_window_aggregate", aggregator, true)
    }

    /// As [`WindowedStream::count`]: the count of the window, less for the first sliding ones.
    pub fn count(self) -> DataStream<WindowResult<K, u64>> {
        self.windows("count_window_count", Count, true)
    }

    /// As [`WindowedStream::reduce`].
    pub fn reduce(self, function: impl Fn(T, T) -> T + Clone + Send + 'static) -> DataStream<WindowResult<K, T>>
    where
        T: WindowState,
    {
        self.windows("count_window_reduce", Reduce(function), true)
    }

    /// As [`WindowedStream::sum`].
    pub fn sum<N>(self, get: impl Fn(&T) -> N + Clone + Send + 'static) -> DataStream<WindowResult<K, N>>
    where
        N: WindowState + Add<Output = N>,
    {
        self.windows("count_window_sum", sum(get), true)
    }

    /// As [`WindowedStream::min`].
    pub fn min<N>(self, get: impl Fn(&T) -> N + Clone + Send + 'static) -> DataStream<WindowResult<K, N>>
    where
        N: WindowState + PartialOrd,
    {
        self.windows("count_window_min", min(get), true)
    }

    /// As [`WindowedStream::max`].
    pub fn max<N>(self, get: impl Fn(&T) -> N + Clone + Send + 'static) -> DataStream<WindowResult<K, N>>
    where
        N: WindowState + PartialOrd,
    {
        self.windows("count_window_max", max(get), true)
    }

    /// As [`WindowedStream::process`], without a window: there is no time to speak of.
    pub fn process<R>(self, mut function: impl FnMut(&K, Vec<T>) -> R + Clone + Send + 'static) -> DataStream<R::Item>
    where
        T: WindowState,
        R: IntoIterator + 'static,
        R::IntoIter: Send,
        R::Item: Record,
    {
        let contents = self.windows("count_window_process", Collect, false);
        contents.flat_map(move |WindowResult { key, value, .. }| function(&key, value))
    }

    fn windows<A: Aggregator<T>>(
        self,
        kind: &'static str,
        aggregator: A,
        premerge: bool,
    ) -> DataStream<WindowResult<K, A::Output>> {
        let counts = Counts { count: self.count, step: self.step, premerge };
        self.stream.transform(kind, move |_| CountWindows::new(counts, aggregator.clone(), Results))
    }
}
