//! [`KeyedStream`]: a stream whose records are grouped by a key, so that operators can keep state per key.

use std::marker::PhantomData;
use std::ops::AddAssign;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::key::{Key, Keyed};
use crate::operator::Record;
use crate::process::{FunctionResult, Process, ProcessContext, ProcessFunction};
use crate::state::{States, ValueState};
use crate::stream::DataStream;
use crate::window::{CountWindowedStream, WindowedStream, Windows};

/// A stream whose records are grouped by a key of type `K`: made by [`DataStream::key_by`].
///
/// All records with one key reach the same subtask of the next operator, in the order in which each subtask before it
/// had them.
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct KeyedStream<K, T> {
    stream: DataStream<Keyed<K, T>>,
}

/// What a state can hold.
pub trait StateValue: Serialize + DeserializeOwned + Send + 'static {}

impl<V: Serialize + DeserializeOwned + Send + 'static> StateValue for V {}

impl<K: Key, T: Record> KeyedStream<K, T> {
    pub(crate) fn new(stream: DataStream<Keyed<K, T>>) -> KeyedStream<K, T> {
        KeyedStream { stream }
    }

    /// Groups the records of each key into windows; what follows says what comes of them
    /// ([`WindowedStream`](crate::window::WindowedStream)).
    pub fn window(self, windows: impl Windows<T>) -> WindowedStream<K, T> {
        WindowedStream::new(self.stream, windows.assigner())
    }

    /// Windows of `count` records with the same key each (Flink: `countWindow`). What is left at the end of the input is
    /// no window.
    ///
    /// # Panics
    /// If `count` is 0.
    #[track_caller]
    pub fn count_window(self, count: u64) -> CountWindowedStream<K, T> {
        CountWindowedStream::new(self.stream, count, count)
    }

    /// Every `step` records with the same key, a window of the last `count` of them, or of all if there were not as many
    /// yet (Flink: `countWindow(size, slide)`).
    ///
    /// # Panics
    /// If one of them is 0.
    #[track_caller]
    pub fn sliding_count_window(self, count: u64, step: u64) -> CountWindowedStream<K, T> {
        CountWindowedStream::new(self.stream, count, step)
    }

    /// The stream of records with their keys, each still going to the subtask of its key; for operators of your own.
    pub fn keyed(self) -> DataStream<Keyed<K, T>> {
        self.stream
    }

    /// Applies a function with state and timers per key; `make` is called once per subtask.
    ///
    /// # Example
    /// See [`ProcessFunction`].
    pub fn process<F: ProcessFunction<K, T>>(self, make: impl FnMut() -> F + Send + 'static) -> DataStream<F::Out> {
        self.processed("process", make)
    }

    /// Applies a function to every record and the state of its key, which is `None` at first; set it to `None` to forget
    /// the key.
    ///
    /// # Example
    /// ```
    /// use stream_core::{Configuration, StreamingContext};
    ///
    /// let ctx = StreamingContext::new(Configuration::empty());
    /// let readings = ctx.from_iter([("a", 5), ("b", 1), ("a", 7), ("a", 4)]);
    /// let changes = readings.key_by(|(sensor, _)| sensor.to_string()).map_with_state(|(sensor, value), last| {
    ///     let change = value - last.unwrap_or(value);
    ///     *last = Some(value);
    ///     (sensor, change)
    /// });
    /// let changes = changes.collect();
    /// ctx.execute("changes")?;
    /// assert_eq!(changes.take(), [("a", 0), ("b", 0), ("a", 2), ("a", -3)]);
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    pub fn map_with_state<S: StateValue, O: Record>(
        self,
        function: impl FnMut(T, &mut Option<S>) -> O + Clone + Send + 'static,
    ) -> DataStream<O> {
        self.stateful("map_with_state", move || {
            let mut function = function.clone();
            move |record, state: &mut ValueState<K, S>, ctx: &mut ProcessContext<'_, K, O>| {
                let result = state.with(ctx.key(), |state| function(record, state));
                ctx.emit(result);
            }
        })
    }

    /// As [`map_with_state`](KeyedStream::map_with_state), with any number of results per record.
    pub fn flat_map_with_state<S: StateValue, R>(
        self,
        function: impl FnMut(T, &mut Option<S>) -> R + Clone + Send + 'static,
    ) -> DataStream<R::Item>
    where
        R: IntoIterator + 'static,
        R::Item: Record,
    {
        self.stateful("flat_map_with_state", move || {
            let mut function = function.clone();
            move |record, state: &mut ValueState<K, S>, ctx: &mut ProcessContext<'_, K, R::Item>| {
                let results = state.with(ctx.key(), |state| function(record, state));
                results.into_iter().for_each(|result| ctx.emit(result));
            }
        })
    }

    /// Numbers the records of each key, from 1: every record yields its key and how many there were so far.
    ///
    /// # Example
    /// ```
    /// use stream_core::{Configuration, StreamingContext};
    ///
    /// let ctx = StreamingContext::new(Configuration::empty()).parallelism(2);
    /// let words = ctx.from_iter(["to", "be", "or", "not", "to", "be"]);
    /// let counts = words.key_by(|word| word.to_string()).count().collect();
    /// ctx.execute("counts")?;
    /// let mut counts = counts.take();
    /// counts.sort();
    /// let expected = [("be", 1), ("be", 2), ("not", 1), ("or", 1), ("to", 1), ("to", 2)];
    /// assert_eq!(counts, expected.map(|(word, count)| (word.to_owned(), count)));
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    pub fn count(self) -> DataStream<(K, u64)> {
        self.stateful("count", || {
            |_, counts: &mut ValueState<K, u64>, ctx: &mut ProcessContext<'_, K, (K, u64)>| {
                let count = counts.update(
                    ctx.key(),
                    || 0,
                    |count| {
                        *count += 1;
                        *count
                    },
                );
                ctx.emit((ctx.key().get().clone(), count));
            }
        })
    }

    /// Merges the records of each key: every record yields what has become of all so far.
    pub fn reduce(self, function: impl FnMut(T, T) -> T + Clone + Send + 'static) -> DataStream<T>
    where
        T: StateValue + Clone,
    {
        self.stateful("reduce", move || {
            let mut function = function.clone();
            move |record, reduced: &mut ValueState<K, T>, ctx: &mut ProcessContext<'_, K, T>| {
                let result = reduced.with(ctx.key(), |reduced| {
                    let result = match reduced.take() {
                        Some(old) => function(old, record),
                        None => record,
                    };
                    *reduced = Some(result.clone());
                    result
                });
                ctx.emit(result);
            }
        })
    }

    /// Adds up a number of the records of each key: every record yields its key and the sum so far.
    pub fn sum<N>(self, number: impl FnMut(&T) -> N + Clone + Send + 'static) -> DataStream<(K, N)>
    where
        N: StateValue + Clone + AddAssign,
    {
        self.folded("sum", number, |sum, number| *sum += number)
    }

    /// The least value of the records of each key: every record yields its key and the least so far.
    pub fn min<V>(self, value: impl FnMut(&T) -> V + Clone + Send + 'static) -> DataStream<(K, V)>
    where
        V: StateValue + Clone + PartialOrd,
    {
        self.folded("min", value, |least, value| {
            if value < *least {
                *least = value;
            }
        })
    }

    /// The greatest value of the records of each key: every record yields its key and the greatest so far.
    pub fn max<V>(self, value: impl FnMut(&T) -> V + Clone + Send + 'static) -> DataStream<(K, V)>
    where
        V: StateValue + Clone + PartialOrd,
    {
        self.folded("max", value, |greatest, value| {
            if value > *greatest {
                *greatest = value;
            }
        })
    }

    /// Keeps the first record of every key. Keys are remembered for ever; see [`dedup_within`](KeyedStream::dedup_within).
    pub fn dedup(self) -> DataStream<T> {
        self.stateful("dedup", || dedup)
    }

    /// Keeps the first record of every key, and again the first one after the key was silent for `limit`, by the wall
    /// clock.
    pub fn dedup_within(self, limit: Duration) -> DataStream<T> {
        self.processed("dedup", move || Stateful {
            state: ValueState::new(STATE).ttl(limit),
            function: dedup,
            output: PhantomData,
        })
    }

    fn folded<V: StateValue + Clone>(
        self,
        kind: &'static str,
        value: impl FnMut(&T) -> V + Clone + Send + 'static,
        fold: fn(&mut V, V),
    ) -> DataStream<(K, V)> {
        self.stateful(kind, move || {
            let mut value = value.clone();
            move |record, folded: &mut ValueState<K, V>, ctx: &mut ProcessContext<'_, K, (K, V)>| {
                let value = value(&record);
                let result = folded.with(ctx.key(), |folded| {
                    match folded {
                        Some(folded) => fold(folded, value),
                        None => *folded = Some(value),
                    }
                    folded.clone()
                });
                if let Some(result) = result {
                    ctx.emit((ctx.key().get().clone(), result));
                }
            }
        })
    }

    /// One state and a function of it.
    fn stateful<S, O, F>(self, kind: &'static str, mut make: impl FnMut() -> F + Send + 'static) -> DataStream<O>
    where
        S: StateValue,
        O: Record,
        F: FnMut(T, &mut ValueState<K, S>, &mut ProcessContext<'_, K, O>) + Send + 'static,
    {
        self.processed(kind, move || Stateful { state: ValueState::new(STATE), function: make(), output: PhantomData })
    }

    fn processed<F: ProcessFunction<K, T>>(
        self,
        kind: &'static str,
        mut make: impl FnMut() -> F + Send + 'static,
    ) -> DataStream<F::Out> {
        self.stream.transform(kind, move |context| Process::new(make(), context))
    }
}

/// The name of the only state of a built-in operator.
const STATE: &str = "state";

/// An operator with one state.
struct Stateful<K, S, O, F> {
    state: ValueState<K, S>,
    function: F,
    output: PhantomData<fn() -> O>,
}

impl<K, I, S, O, F> ProcessFunction<K, I> for Stateful<K, S, O, F>
where
    K: Key,
    I: Record,
    S: StateValue,
    O: Record,
    F: FnMut(I, &mut ValueState<K, S>, &mut ProcessContext<'_, K, O>) + Send + 'static,
{
    type Out = O;

    fn states(&mut self, states: &mut States<'_, K>) {
        states.add(&mut self.state);
    }

    #[inline]
    fn process(&mut self, record: I, ctx: &mut ProcessContext<'_, K, O>) -> FunctionResult {
        (self.function)(record, &mut self.state, ctx);
        Ok(())
    }
}

fn dedup<K: Key, T>(record: T, seen: &mut ValueState<K, ()>, ctx: &mut ProcessContext<'_, K, T>) {
    if seen.set(ctx.key(), ()).is_none() {
        ctx.emit(record);
    }
}
