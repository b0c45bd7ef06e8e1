//! [`DataStream`]: a handle on one node of the graph, typed by the records it yields.

use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::either::Either;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Erased, Graph, Input, Logic, Node, NodeId, Partitioning, Route};
use crate::key::{Key, KeyRoutes, Keyed};
use crate::keyed::KeyedStream;
use crate::nodes::{OperatorNode, SinkNode, SourceNode, StagedSinkNode, UnionNode};
use crate::operator::{Operator, OperatorContext, Record};
use crate::operators::{FarFuture, Filter, FlatMap, Inspect, Map, TimestampsAndWatermarks, TryMap};
use crate::runtime::exchange::{BroadcastWriter, RoutedWriter, TypeOps, erase_link, split, tee};
use crate::sink::{Sink, StagedSink};
use crate::sinks::{Collected, ForEach, Print};
use crate::source::Source;
use crate::watermark::WatermarkStrategy;

/// A stream of records of type `T`: a light handle that can be named, stored and returned.
///
/// Its type does not grow with the pipeline. A stream whose records are `Clone` can be used more than
/// once: clone the handle. Order is kept from operator to operator as long as nothing redistributes
/// ([`rebalance`](DataStream::rebalance), another parallelism).
///
/// # Example
/// ```
/// use stream_core::{Configuration, DataStream, StreamingContext};
///
/// fn evens(numbers: DataStream<u64>) -> DataStream<u64> {
///     numbers.filter(|n| n % 2 == 0).uid("evens")
/// }
///
/// let ctx = StreamingContext::new(Configuration::empty());
/// let collected = evens(ctx.from_iter(0..6)).collect();
/// ctx.execute("evens")?;
/// assert_eq!(collected.take(), [0, 2, 4]);
/// # Ok::<(), stream_core::Error>(())
/// ```
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct DataStream<T> {
    graph: SharedGraph,
    node: NodeId,
    /// How the next operator takes its input.
    partitioning: Partitioning,
    /// The writer that does so, where the type of the records does not say.
    route: Option<Route>,
    records: PhantomData<fn() -> T>,
}

/// A sink in the graph, to be named.
pub struct DataSink {
    graph: SharedGraph,
    node: NodeId,
}

#[derive(Clone, Default)]
pub(crate) struct SharedGraph(Arc<Mutex<Graph>>);

impl SharedGraph {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Graph> {
        // The graph is only ever appended to, so one left by a panic is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn source<T: Record>(&self, kind: &'static str, source: impl Source<T> + 'static) -> DataStream<T> {
        let detail = source.describe();
        let logic = Logic::Source(Box::new(SourceNode::new(source)));
        let mut node = Node::new(kind, logic, Vec::new(), Some(TypeOps::of::<T>()));
        node.detail = detail;
        let node = self.lock().add(node);
        DataStream { graph: self.clone(), node, partitioning: Partitioning::Forward, route: None, records: PhantomData }
    }
}

impl<T: Record> DataStream<T> {
    /// Applies `function` to every record.
    pub fn map<O: Record>(self, function: impl FnMut(T) -> O + Clone + Send + 'static) -> DataStream<O> {
        self.transform("map", move |_| Map::new(function.clone()))
    }

    /// Applies a `function` that may fail; an error fails the job and names operator, subtask and source position.
    pub fn try_map<O, E>(self, function: impl FnMut(T) -> Result<O, E> + Clone + Send + 'static) -> DataStream<O>
    where
        O: Record,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        self.transform("try_map", move |_| TryMap::new(function.clone()))
    }

    /// Keeps the records for which `predicate` is true.
    pub fn filter(self, predicate: impl FnMut(&T) -> bool + Clone + Send + 'static) -> DataStream<T> {
        self.transform("filter", move |_| Filter::new(predicate.clone()))
    }

    /// Turns every record into any number of records, which stay together, in order.
    ///
    /// The results of one record may be more than memory holds: they are handed on in batches, under back pressure.
    pub fn flat_map<R>(self, function: impl FnMut(T) -> R + Clone + Send + 'static) -> DataStream<R::Item>
    where
        R: IntoIterator + 'static,
        R::IntoIter: Send,
        R::Item: Record,
    {
        self.transform("flat_map", move |_| FlatMap::new(function.clone()))
    }

    /// Calls `function` with a reference to every record; the stream is unchanged.
    pub fn inspect(self, function: impl FnMut(&T) + Clone + Send + 'static) -> DataStream<T> {
        self.transform("inspect", move |_| Inspect::new(function.clone()))
    }

    /// Sets timestamps and makes watermarks as `strategy` says, in place of those that come from upstream; only the end
    /// of time, with which a complete input ends, is passed on.
    ///
    /// *Order* and *delivery* stay as they are. *Time:* one generator per subtask sees the records of all splits mixed, so
    /// splits may only be as far apart as the strategy's bound; where the source can run the strategy itself, with a
    /// generator per split, let it. The watermark comes right behind the batch that moved it. A checkpoint keeps how far
    /// each subtask was.
    ///
    /// # Errors
    /// The plan refuses a strategy [`with_alignment`](WatermarkStrategy::with_alignment). The job fails with `Config` at the
    /// first record without a timestamp, if the strategy has no assigner.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// use stream_core::testing::TestDriver;
    /// use stream_core::{Timestamp, WatermarkStrategy};
    ///
    /// let mut driver = TestDriver::new();
    /// let (millis, timed) = driver.job(|millis| {
    ///     let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(1));
    ///     millis.assign_timestamps_and_watermarks(strategy.with_timestamp_assigner(|m: &i64, _| Timestamp::from_millis(*m)))
    /// });
    /// millis.push(5_000);
    /// driver.run_until_idle()?;
    /// assert_eq!(timed.take_timed(), [(5_000, Some(Timestamp::from_millis(5_000)))]);
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    pub fn assign_timestamps_and_watermarks(self, strategy: WatermarkStrategy<T>) -> DataStream<T> {
        if strategy.is_aligned() {
            let error = Error::new(ErrorKind::Config, "with_alignment has no effect in the middle of a stream");
            let hint = "an operator never chooses its input: give the strategy to the source, or leave alignment out";
            self.graph.lock().errors.push(error.with_hint(hint));
        }
        self.transform("watermarks", move |context| TimestampsAndWatermarks::new(&strategy, context))
    }

    /// Takes the records that are dated more than `max` ahead of the wall clock out of the stream: the first stream is
    /// without them, the second has them, such as for a topic of their own. Left in the stream they open windows that
    /// nothing closes.
    ///
    /// *Order*, timestamps and watermarks stay as they are. *Time:* this stands behind a source or
    /// [`assign_timestamps_and_watermarks`](DataStream::assign_timestamps_and_watermarks), whose
    /// [`with_max_future`](WatermarkStrategy::with_max_future) keeps such records from moving event time; give both the
    /// same limit (the strategy's is one day unless it says otherwise). A record without a timestamp is never too far, and
    /// a clock that was never set judges nothing. The clock is the one of the moment in which the record comes by: what is
    /// read again after a failure may be too far no more.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// use stream_core::Timestamp;
    /// use stream_core::testing::TestDriver;
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 3_600);
    /// let mut driver = TestDriver::new();
    /// let (orders, stream) = driver.input("orders");
    /// let (sound, far) = stream.split_far_future(DAY);
    /// let (sound, far) = (driver.output(sound), driver.output(far));
    /// driver.set_wall(Timestamp::from_millis(1_800_000_000_000))?;
    /// orders.push_at("now", Timestamp::from_millis(1_800_000_000_000));
    /// orders.push_at("2099", Timestamp::from_millis(4_070_908_800_000));
    /// driver.finish()?;
    /// assert_eq!((sound.take(), far.take()), (vec!["now"], vec!["2099"]));
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    pub fn split_far_future(self, max: Duration) -> (DataStream<T>, DataStream<T>) {
        self.transform("far_future", move |context| FarFuture::new(max, context)).split()
    }

    /// Applies an operator of your own; `make` is called once per subtask.
    pub fn transform<O, P>(
        self,
        kind: &'static str,
        make: impl FnMut(&OperatorContext) -> P + Send + 'static,
    ) -> DataStream<O>
    where
        O: Record,
        P: Operator<T, O> + 'static,
    {
        let logic = Logic::Operator(Box::new(OperatorNode::new(make)));
        let inputs = vec![self.input()];
        let node = self.graph.lock().add(Node::new(kind, logic, inputs, Some(TypeOps::of::<O>())));
        DataStream { graph: self.graph, node, partitioning: Partitioning::Forward, route: None, records: PhantomData }
    }

    /// Merges streams of one type; the order between them is open, the order within each is kept.
    pub fn union(self, others: impl IntoIterator<Item = DataStream<T>>) -> DataStream<T> {
        let mut inputs = vec![self.input()];
        let mut foreign = false;
        for other in others {
            foreign |= !Arc::ptr_eq(&self.graph.0, &other.graph.0);
            inputs.push(other.input());
        }
        let mut graph = self.graph.lock();
        if foreign {
            inputs.truncate(1);
            let error = Error::new(ErrorKind::Config, "a union joins streams of different contexts");
            graph.errors.push(error.with_hint("make all streams of a job from one StreamingContext"));
        }
        let logic = Logic::Operator(Box::new(UnionNode));
        let node = graph.add(Node::new("union", logic, inputs, Some(TypeOps::of::<T>())));
        drop(graph);
        DataStream { graph: self.graph, node, partitioning: Partitioning::Forward, route: None, records: PhantomData }
    }

    /// Deals the records evenly over all subtasks of the next operator. Order is kept between any two subtasks only.
    pub fn rebalance(mut self) -> DataStream<T> {
        self.partitioning = Partitioning::Rebalance;
        self.route = None;
        self
    }

    /// Groups the records by a key: all records with one key go to one subtask of the next operator, in the order in
    /// which each subtask before it had them, and see the same state.
    ///
    /// The key is taken once per record. Its hash ([`KeyHash`](crate::KeyHash)) decides the key group (of 256), the key
    /// group decides the subtask.
    ///
    /// # Example
    /// ```
    /// use stream_core::{Configuration, StreamingContext};
    ///
    /// let ctx = StreamingContext::new(Configuration::empty()).parallelism(2);
    /// let words = ctx.from_iter(["to", "be", "or", "not", "to", "be"]);
    /// let keyed = words.key_by(|word| word.len()).keyed().map(|keyed| keyed.into_parts()).collect();
    /// ctx.execute("lengths")?;
    /// assert!(keyed.take().iter().all(|(_, length, word)| *length == word.len()));
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    pub fn key_by<K: Key>(self, key: impl FnMut(&T) -> K + Clone + Send + 'static) -> KeyedStream<K, T> {
        let keyed = self.transform("key_by", move |_| {
            let mut key = key.clone();
            Map::new(move |record| Keyed::new(key(&record), record))
        });
        KeyedStream::new(keyed.routed(Partitioning::Key, |senders, max_parallelism| {
            let routes = KeyRoutes::new(senders.len(), max_parallelism);
            erase_link(RoutedWriter::new(senders, move |keyed: &Keyed<K, T>, _| routes.subtask(keyed.hash())))
        }))
    }

    /// Gives every record to every subtask of the next operator.
    pub fn broadcast(self) -> DataStream<T>
    where
        T: Clone,
    {
        self.routed(Partitioning::Broadcast, |senders, _| erase_link(BroadcastWriter::<T>::new(senders)))
    }

    /// Gives all records to the first subtask of the next operator.
    pub fn global(self) -> DataStream<T> {
        self.routed(Partitioning::Global, |senders, _| erase_link(RoutedWriter::new(senders, |_: &T, _| 0)))
    }

    /// Gives every record to the subtask of the next operator that `partitioner` chooses, given the record and how many
    /// subtasks there are. It is not asked where there is only one.
    ///
    /// # Errors
    /// A number that is not below the number of subtasks fails the job.
    pub fn partition_custom(
        self,
        partitioner: impl FnMut(&T, usize) -> usize + Clone + Send + Sync + 'static,
    ) -> DataStream<T> {
        self.routed(Partitioning::Custom, move |senders, _| {
            let mut partitioner = partitioner.clone();
            erase_link(RoutedWriter::new(senders, move |record: &T, n| partitioner(record, n)))
        })
    }

    fn routed(
        mut self,
        partitioning: Partitioning,
        route: impl Fn(Vec<Erased>, usize) -> Erased + Send + Sync + 'static,
    ) -> DataStream<T> {
        self.partitioning = partitioning;
        self.route = Some(Arc::new(route));
        self
    }

    /// Gives the operator a stable id: state is found by it, so it must not change between runs.
    pub fn uid(self, uid: impl Into<String>) -> DataStream<T> {
        self.graph.lock().edit(self.node, |node| node.uid = Some(uid.into()));
        self
    }

    /// Gives the operator a name for people.
    pub fn name(self, name: impl Into<String>) -> DataStream<T> {
        self.graph.lock().edit(self.node, |node| node.name = Some(name.into()));
        self
    }

    /// Sets how many subtasks run the operator; the default is the job's.
    ///
    /// # Panics
    /// If `parallelism` is 0.
    pub fn parallelism(self, parallelism: usize) -> DataStream<T> {
        assert!(parallelism > 0, "parallelism counts subtasks: at least 1");
        self.graph.lock().edit(self.node, |node| node.parallelism = Some(parallelism));
        self
    }

    /// Ends the stream in a sink of your own.
    pub fn sink(self, kind: &'static str, sink: impl Sink<T> + 'static) -> DataSink {
        let detail = sink.describe();
        let mut node = Node::new(kind, Logic::Sink(Box::new(SinkNode::new(sink))), vec![self.input()], None);
        node.detail = detail;
        let node = self.graph.lock().add(node);
        DataSink { graph: self.graph, node }
    }

    /// Ends the stream in a sink of your own whose output appears with the checkpoint it belongs to; `kind` says what
    /// it is, as in `files`.
    ///
    /// # Errors
    /// A job that takes no checkpoints is refused when it is planned.
    pub fn staged_sink(self, kind: &'static str, sink: impl StagedSink<T> + 'static) -> DataSink {
        let detail = sink.describe();
        let logic = Logic::Sink(Box::new(StagedSinkNode::new(sink)));
        let mut node = Node::new(kind, logic, vec![self.input()], None);
        node.detail = detail;
        let node = self.graph.lock().add(node);
        DataSink { graph: self.graph, node }
    }

    /// Calls `function` with every record.
    pub fn for_each(self, function: impl FnMut(T) + Clone + Send + 'static) -> DataSink {
        self.sink("for_each", ForEach(function))
    }

    /// Collects the records in memory, for tests and small results.
    pub fn collect(self) -> Collected<T> {
        let collected = Collected::new();
        self.sink("collect", collected.clone());
        collected
    }

    /// Writes one line per record to standard output, with the subtask in front where there are several.
    pub fn print(self) -> DataSink
    where
        T: Display,
    {
        self.sink("print", Print)
    }

    /// Makes this the only parallelism the node can have.
    pub(crate) fn fixed_parallelism(self, parallelism: usize) -> DataStream<T> {
        self.graph.lock().edit(self.node, |node| node.fixed_parallelism = Some(parallelism));
        self
    }

    fn input(&self) -> Input {
        Input { from: self.node, partitioning: self.partitioning, route: self.route.clone() }
    }
}

impl<L: Record, R: Record> DataStream<Either<L, R>> {
    /// Takes records of two types apart: into the stream of the left ones and that of the right ones, such as results
    /// and a side output. Timestamps stay, and both streams get every watermark.
    ///
    /// # Example
    /// ```
    /// use stream_core::{Configuration, Either, StreamingContext};
    ///
    /// let ctx = StreamingContext::new(Configuration::empty());
    /// let parsed = ctx.from_iter(["1", "two", "3"]).map(|text| match text.parse::<i32>() {
    ///     Ok(number) => Either::Left(number),
    ///     Err(_) => Either::Right(text),
    /// });
    /// let (numbers, rest) = parsed.split();
    /// let (numbers, rest) = (numbers.collect(), rest.collect());
    /// ctx.execute("split")?;
    /// assert_eq!((numbers.take(), rest.take()), (vec![1, 3], vec!["two"]));
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    pub fn split(self) -> (DataStream<L>, DataStream<R>) {
        // A node of its own: nobody else can have a handle on it, so these two are its only readers, in this order.
        let both = self.transform("split", |_| Inspect::new(|_: &Either<L, R>| {}));
        both.graph.lock().edit(both.node, |node| node.tee = Some(split::<L, R>));
        let right = DataStream {
            graph: both.graph.clone(),
            node: both.node,
            partitioning: Partitioning::Forward,
            route: None,
            records: PhantomData::<fn() -> Either<L, R>>,
        };
        let left = both.transform("left", |_| {
            FlatMap::new(|either| match either {
                Either::Left(left) => Some(left),
                Either::Right(_) => None,
            })
        });
        let right = right.transform("right", |_| {
            FlatMap::new(|either| match either {
                Either::Left(_) => None,
                Either::Right(right) => Some(right),
            })
        });
        (left, right)
    }
}

impl<T: Record + Clone> Clone for DataStream<T> {
    /// A second handle on the same stream: both readers get every record.
    fn clone(&self) -> DataStream<T> {
        self.graph.lock().edit(self.node, |node| node.tee = Some(tee::<T>));
        DataStream {
            graph: self.graph.clone(),
            node: self.node,
            partitioning: self.partitioning,
            route: self.route.clone(),
            records: PhantomData,
        }
    }
}

impl DataSink {
    /// Gives the sink a stable id.
    pub fn uid(self, uid: impl Into<String>) -> DataSink {
        self.graph.lock().edit(self.node, |node| node.uid = Some(uid.into()));
        self
    }

    /// Gives the sink a name for people.
    pub fn name(self, name: impl Into<String>) -> DataSink {
        self.graph.lock().edit(self.node, |node| node.name = Some(name.into()));
        self
    }

    /// Sets how many subtasks write; the default is the job's.
    ///
    /// # Panics
    /// If `parallelism` is 0.
    pub fn parallelism(self, parallelism: usize) -> DataSink {
        assert!(parallelism > 0, "parallelism counts subtasks: at least 1");
        self.graph.lock().edit(self.node, |node| node.parallelism = Some(parallelism));
        self
    }
}
