//! The Kafka source: from a section of the configuration to a typed stream.
//!
//! Reading order: this file (what the user says), [`start`] (where reading begins), [`reader`] (the loop),
//! [`bad_records`] and [`dead_letters`] (what can't be decoded), [`committer`] (positions for the group).

mod bad_records;
mod committer;
mod dead_letters;
mod reader;
mod replay;
mod start;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use stream_core::{
    DataStream, Error, ErrorKind, Opened, OperatorContext, Record, Result, Source, SourceContext, SourceReader,
    StreamingContext, WatermarkStrategy,
};

pub use start::OffsetsInitializer;

use crate::client::consumer::{ConsumerHandle, TopicPartition};
use crate::client::rights::{Resource, Right};
use crate::dev;
use crate::keys::{AutoOffsetReset, BadRecords, Codec, Role, Semantic};
use crate::record::{KafkaRecord, RawRecord};
use crate::schema::{Decode, DefaultSchema, JsonSchema, KafkaDeserializationSchema};
use crate::settings::{Chosen, Settings};
use crate::transactions::{Group, JobTransactions};
use bad_records::BadRecordPlan;
use committer::KafkaCommitter;
use dead_letters::DeadLetters;
use reader::{KafkaReader, Parts, Shape, ValueOnly, WholeRecord};
use start::{StartPlan, resolve};

/// Reads records of type `T` from Kafka, as `kafka.source` (or `kafka.source.<alias>`) of the configuration says.
///
/// *Order:* per partition; a partition is read by one subtask. *Delivery:* nothing is lost. With checkpoints the job
/// goes on from the positions of the last one, and commits them to the group for people and tools. Without, positions
/// are committed every `auto.commit.interval.ms`, after every sink has flushed what came before them, and records since
/// the last commit are read again after a crash. *Time:* event time is the record's timestamp.
///
/// Mistakes in the configuration are reported when the job is planned or started, all at once.
///
/// # Example
/// ```
/// use stream_core::{Configuration, StreamingContext};
/// use stream_kafka::KafkaSource;
///
/// let configuration = Configuration::builder()
///     .set("kafka.source.bootstrap.servers", "localhost:9092")
///     .set("kafka.source.topic", "test_user")
///     .set("kafka.source.group.id", "user_01")
///     .build()?;
/// let ctx = StreamingContext::new(configuration);
/// KafkaSource::<String>::new(&ctx).stream().map(|record| record.value).print();
/// assert!(ctx.plan("users")?.explain(stream_core::ExplainFormat::Text).contains("test_user"));
/// # Ok::<(), stream_core::Error>(())
/// ```
#[must_use = "call .stream() or .values() to read"]
pub struct KafkaSource<'c, T, D = DefaultSchema, W = NoWatermarks> {
    context: &'c StreamingContext,
    chosen: Chosen,
    topics: Vec<String>,
    start: Option<OffsetsInitializer>,
    bounded: bool,
    bad_records: Option<BadRecords>,
    deserializer: D,
    watermarks: W,
    records: PhantomData<fn() -> T>,
}

/// A source without event time of its own: records have Kafka's timestamps, and the only watermark is the end.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWatermarks;

impl<'c, T: Record> KafkaSource<'c, T> {
    /// A source with the settings of the context's configuration; decodes strings and bytes by themselves.
    pub fn new(context: &'c StreamingContext) -> KafkaSource<'c, T> {
        KafkaSource {
            context,
            chosen: Chosen::default(),
            topics: Vec::new(),
            start: None,
            bounded: false,
            bad_records: None,
            deserializer: DefaultSchema,
            watermarks: NoWatermarks,
            records: PhantomData,
        }
    }
}

impl<'c, T: Record, D, W> KafkaSource<'c, T, D, W> {
    /// Chooses one of several instances below `kafka.source`.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.chosen.alias = Some(alias.into());
        self
    }

    /// Reads one topic; if topics are configured too, it must be one of them.
    pub fn topic(self, topic: impl Into<String>) -> Self {
        self.topics([topic.into()])
    }

    /// Reads several topics; if topics are configured too, they must be among them.
    pub fn topics<I: Into<String>>(mut self, topics: impl IntoIterator<Item = I>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        self
    }

    /// Sets a Kafka key in code; wins over the configuration.
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.chosen.properties.push((key.into(), value.into()));
        self
    }

    /// Where to begin; by default at the group's positions, then as `auto.offset.reset` says.
    pub fn starting_offsets(mut self, start: OffsetsInitializer) -> Self {
        self.start = Some(start);
        self
    }

    /// Ends the stream at what is the end of each partition when the job starts.
    pub fn bounded(mut self) -> Self {
        self.bounded = true;
        self
    }

    /// What becomes of records that can't be decoded; wins over `on_bad_record` of the configuration. By default they
    /// fail the job.
    ///
    /// # Example
    /// ```
    /// # let configuration = stream_core::Configuration::builder()
    /// #     .set("kafka.source.bootstrap.servers", "h:9092").set("kafka.source.topic", "users").build()?;
    /// # let ctx = stream_core::StreamingContext::new(configuration);
    /// use stream_kafka::{BadRecords, KafkaSource};
    ///
    /// let users = KafkaSource::<String>::new(&ctx).on_bad_record(BadRecords::dead_letter("users.dead")).values();
    /// # users.print();
    /// # assert!(ctx.plan("users")?.explain(stream_core::ExplainFormat::Text).contains("bad records to users.dead"));
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    pub fn on_bad_record(mut self, policy: BadRecords) -> Self {
        self.bad_records = Some(policy);
        self
    }

    /// Makes watermarks in the source: one generator per partition, merged by the minimum over the partitions that are not
    /// idle, so no record is late by the watermark of another partition.
    ///
    /// The strategy looks at what the stream carries: `WatermarkStrategy<KafkaRecord<T>>` before
    /// [`stream`](KafkaSource::stream), `WatermarkStrategy<T>` before [`values`](KafkaSource::values). Without an assigner a
    /// record's time is Kafka's timestamp.
    ///
    /// With [`with_idleness`](WatermarkStrategy::with_idleness) a partition is idle when it has been silent for the timeout
    /// *and* its position has reached the log end (under `read_committed`, the last stable offset). Without it a partition
    /// that nothing is written to holds event time back; the log names it after ten seconds, and
    /// [`WatermarkStrategy::progress`] at any time. A subtask without partitions holds nobody back in either case.
    ///
    /// With [`with_alignment`](WatermarkStrategy::with_alignment) partitions that are too far ahead are not fetched.
    ///
    /// # Example
    /// ```
    /// # let configuration = stream_core::Configuration::builder()
    /// #     .set("kafka.source.bootstrap.servers", "h:9092").set("kafka.source.topic", "orders").build()?;
    /// # let ctx = stream_core::StreamingContext::new(configuration);
    /// use std::time::Duration;
    /// use stream_core::{Timestamp, WatermarkStrategy};
    /// use stream_kafka::{KafkaSchema, KafkaSource};
    ///
    /// #[derive(KafkaSchema)]
    /// struct Order {
    ///     order_time: i64,
    /// }
    ///
    /// let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(60))
    ///     .with_timestamp_assigner(|order: &Order, _| Timestamp::from_millis(order.order_time))
    ///     .with_idleness(Duration::from_secs(30));
    /// let orders = KafkaSource::<Order>::new(&ctx).watermarks(strategy).values();
    /// # orders.for_each(|_| {});
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    pub fn watermarks<O>(self, strategy: WatermarkStrategy<O>) -> KafkaSource<'c, T, D, WatermarkStrategy<O>> {
        let KafkaSource { context, chosen, topics, start, bounded, bad_records, deserializer, records, .. } = self;
        KafkaSource {
            context,
            chosen,
            topics,
            start,
            bounded,
            bad_records,
            deserializer,
            watermarks: strategy,
            records,
        }
    }

    /// Decodes with a schema of your own.
    pub fn deserializer<E: KafkaDeserializationSchema<T>>(self, deserializer: E) -> KafkaSource<'c, T, E, W> {
        let KafkaSource { context, chosen, topics, start, bounded, bad_records, watermarks, records, .. } = self;
        KafkaSource { context, chosen, topics, start, bounded, bad_records, deserializer, watermarks, records }
    }

    /// Decodes JSON by serde.
    pub fn json(self) -> KafkaSource<'c, T, JsonSchema, W>
    where
        T: DeserializeOwned,
    {
        self.deserializer(JsonSchema)
    }

    /// Decodes with a function of the borrowed record; nothing is copied that it does not keep.
    pub fn decode<F, E>(self, function: F) -> KafkaSource<'c, T, Decode<F, T>, W>
    where
        E: std::fmt::Display,
        F: FnMut(&RawRecord<'_>) -> Result<T, E> + Clone + Send + 'static,
    {
        self.deserializer(Decode::new(function))
    }

    fn build<S: Shape<T>>(
        self,
        strategy: impl FnOnce(W) -> Option<WatermarkStrategy<S::Output>>,
    ) -> DataStream<S::Output>
    where
        D: KafkaDeserializationSchema<T>,
    {
        let context = self.context;
        let described = self.describe(self.deserializer.default_topic());
        let description = match described {
            Ok(description) => Some(description),
            Err(error) => {
                context.reject(error);
                None
            }
        };
        let (deserializer, strategy) = (self.deserializer, strategy(self.watermarks));
        let transactions = context.shared::<JobTransactions>();
        if let Some(description) = &description {
            let dead_letters = matches!(description.bad_records.policy, BadRecords::DeadLetter(_));
            transactions.note_source(description.bootstrap(), &description.topics, dead_letters);
            if let BadRecords::DeadLetter(topic) = &description.bad_records.policy {
                let client = description.client.clone();
                context.add_side_job(replay::side_job(&description.section, client, topic.clone()));
            }
        }
        let node: KafkaSourceNode<T, D, S> = KafkaSourceNode { description, deserializer, strategy, transactions };
        context.source("kafka", node)
    }

    /// Checks everything that can be checked without a broker.
    fn describe(&self, default_topic: Option<&str>) -> Result<Description> {
        let settings = Settings::read_for(self.context, Role::Source, &self.chosen)?;
        let engine = settings.translation.engine.clone();
        let mut errors = Vec::new();
        let topics = match self.choose_topics(&settings, default_topic) {
            Ok(topics) => topics,
            Err(error) => {
                errors.push(error);
                Vec::new()
            }
        };
        let bad_records = BadRecordPlan::new(&settings, self.bad_records.as_ref(), &topics);
        let bad_records = bad_records.map_err(|error| errors.push(error)).ok();
        // With checkpoints the group's positions are a copy for tools, which one may do without.
        if engine.enable_auto_commit == Some(false) && self.context.settings().checkpointing.is_none() {
            let message = "positions would never be stored: checkpointing is off and so is enable.auto.commit";
            errors.push(settings.error(
                "enable.auto.commit",
                message,
                "remove the line, or take checkpoints: set execution.checkpointing.interval",
            ));
        }
        errors.extend(unsupported(&settings));
        if engine.partition_discovery_interval.is_some() {
            tracing::warn!(
                "{}: new partitions are not looked for yet; restart the job to read them",
                settings.section.prefix()
            );
        }
        debug_assert_eq!(engine.semantic, Semantic::AtLeastOnce, "a source has no semantic");
        let bad_records = match (Error::join(errors), bad_records) {
            (Some(error), _) => return Err(error),
            (None, Some(plan)) => plan,
            (None, None) => return Err(Error::internal("a policy was refused without a reason")),
        };
        let section = settings.section.prefix().to_owned();
        let mut client = settings.translation.client;
        let is_dev = dev::is_dev(&client);
        let mut created = topics.clone();
        if let BadRecords::DeadLetter(topic) = &bad_records.policy {
            created.push(topic.clone());
        }
        let brokers = dev::resolve(&mut client, &created)?;
        let commits = engine.group_id.is_some();
        let stores = commits && engine.enable_auto_commit != Some(false);
        // Assigning partitions needs a group, even if nothing is ever stored in it.
        client.entry("group.id".to_owned()).or_insert_with(|| "stream-rs-without-group".to_owned());
        // librdkafka's default of one second would leave a reader that has emptied its queue without data for that long.
        client.entry("fetch.queue.backoff.ms".to_owned()).or_insert_with(|| "5".to_owned());
        // What to do without a position is decided by the engine, once; a lost position is an error, never a silent jump.
        client.insert("auto.offset.reset".to_owned(), "error".to_owned());
        let reset = engine.auto_offset_reset.unwrap_or(AutoOffsetReset::Latest);
        let start = StartPlan { initializer: self.start.unwrap_or_default(), reset, bounded: self.bounded };
        let group = engine.group_id.clone();
        Ok(Description { section, client, brokers, is_dev, topics, group, commits, stores, start, bad_records, engine })
    }

    fn choose_topics(&self, settings: &Settings, default_topic: Option<&str>) -> Result<Vec<String>> {
        let configured = &settings.translation.engine.topics;
        if self.topics.is_empty() {
            if configured.is_empty() && settings.translation.engine.pattern.is_none() {
                if let Some(topic) = default_topic {
                    return Ok(vec![topic.to_owned()]);
                }
                let hint = "add `topic: name` to the section, or call .topic(\"name\")";
                return Err(settings.error("topic", "no topic to read", hint));
            }
            return Ok(configured.clone());
        }
        if let Some(foreign) = self.topics.iter().find(|t| !configured.is_empty() && !configured.contains(t)) {
            let message = format!("the job reads `{foreign}`, which is not among the configured topics");
            return Err(settings.error("topic", message, "add it to the list, or read one of those"));
        }
        Ok(self.topics.clone())
    }
}

impl<T: Record, D: KafkaDeserializationSchema<T>> KafkaSource<'_, T, D> {
    /// The stream of records with topic, partition, offset, key, headers and the decoded value.
    pub fn stream(self) -> DataStream<KafkaRecord<T>> {
        self.build::<WholeRecord>(|NoWatermarks| None)
    }

    /// The stream of decoded values alone; keys and headers are not even looked at.
    pub fn values(self) -> DataStream<T> {
        self.build::<ValueOnly>(|NoWatermarks| None)
    }
}

impl<T, D> KafkaSource<'_, T, D, WatermarkStrategy<KafkaRecord<T>>>
where
    T: Record,
    D: KafkaDeserializationSchema<T>,
{
    /// The stream of whole records, with the watermarks of the strategy.
    pub fn stream(self) -> DataStream<KafkaRecord<T>> {
        self.build::<WholeRecord>(Some)
    }
}

impl<T: Record, D: KafkaDeserializationSchema<T>> KafkaSource<'_, T, D, WatermarkStrategy<T>> {
    /// The stream of decoded values alone, with the watermarks of the strategy.
    pub fn values(self) -> DataStream<T> {
        self.build::<ValueOnly>(Some)
    }
}

/// What the configuration asks for and this version does not have: better an error than a setting without effect.
fn unsupported(settings: &Settings) -> Vec<Error> {
    let engine = &settings.translation.engine;
    let mut errors = Vec::new();
    if let Some(AutoOffsetReset::ByDuration(_)) = engine.auto_offset_reset {
        errors.push(not_yet(settings, "auto.offset.reset", "by_duration"));
    }
    for (key, codec) in [("key.deserializer", engine.key_codec), ("value.deserializer", engine.value_codec)] {
        if !matches!(codec, None | Some(Codec::String | Codec::Bytes)) {
            let hint = "remove the line and call .json(), .decode(…) or .deserializer(…) on the KafkaSource";
            errors.push(settings.error(key, "only String and ByteArray deserializers can be chosen here yet", hint));
        }
    }
    if engine.start_from_timestamp.is_some() {
        errors.push(not_yet(settings, "start.from.timestamp", "starting at a timestamp"));
    }
    if !engine.start_from_offsets.is_empty() {
        errors.push(not_yet(settings, "start.from.offset.topic", "starting at given offsets"));
    }
    if engine.pattern.is_some() {
        errors.push(not_yet(settings, "pattern", "reading topics by pattern"));
    }
    errors
}

fn not_yet(settings: &Settings, key: &str, what: &str) -> Error {
    settings.error(
        key,
        format!("{what} is not supported yet"),
        "remove the line; docs/src/status.md says what works today",
    )
}

/// A checked source.
struct Description {
    /// Its section of the configuration.
    section: String,
    client: BTreeMap<String, String>,
    brokers: String,
    is_dev: bool,
    topics: Vec<String>,
    group: Option<String>,
    /// Whether it has a group that may know positions.
    commits: bool,
    /// Whether it stores positions in that group.
    stores: bool,
    start: StartPlan,
    bad_records: BadRecordPlan,
    engine: crate::keys::EngineSettings,
}

impl Description {
    /// The brokers, as the client knows them.
    fn bootstrap(&self) -> &str {
        self.client.get("bootstrap.servers").map_or("", String::as_str)
    }
}

/// Finds out what `open` would find, and goes away again.
fn ask_brokers(description: &Description) -> Result<String> {
    let handle = ConsumerHandle::new(&description.client)?;
    let context = SourceContext::new(OperatorContext::new("kafka", "check", 0, 1), Vec::new(), || false);
    let splits = resolve(&handle, description, &context);
    let splits = splits.and_then(|s| DeadLetters::open(&handle, description, &context, None).map(|_| s.len()));
    if handle.is_refused() || splits.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable) {
        return splits.map(|_| String::new());
    }
    // The first refusal ends the questions above; people want to know of all that is missing.
    let mut needs: Vec<_> = description.topics.iter().map(|topic| (Right::Read, Resource::Topic(topic))).collect();
    needs.extend(description.group.as_deref().map(|group| (Right::Read, Resource::Group(group))));
    if let BadRecords::DeadLetter(topic) = &description.bad_records.policy {
        needs.push((Right::Write, Resource::Topic(topic)));
    }
    let limit = description.engine.default_api_timeout;
    needs.retain(|(right, resource)| handle.may(*right, *resource, limit) == Some(false));
    let denied = needs.into_iter().map(|(right, resource)| handle.account().denied(right, resource));
    match Error::join(denied.collect()) {
        Some(error) => Err(error),
        None => splits.map(|count| format!("{count} partitions to read")),
    }
}

/// Refuses a group that another application is a member of: positions in a transaction would be refused by the brokers,
/// and the transaction with them, or the two would overwrite each other's.
fn refuse_members(handle: &ConsumerHandle, group: &str, limit: Duration) -> Result<()> {
    let Some(count @ 1..) = handle.members(group, limit) else { return Ok(()) };
    let message = format!("group `{group}` has {count} live members: another application consumes with it");
    let hint = "under exactly-once the job commits its positions to the group in its transactions: choose a group.id of its \
                own, or stop the other application";
    Err(Error::new(ErrorKind::Config, message).with_hint(hint))
}

/// Says that somebody has moved the group: the checkpoint's positions count all the same.
fn warn_of_moves(handle: &ConsumerHandle, group: &str, splits: &[(TopicPartition, i64)], limit: Duration) {
    let names: Vec<TopicPartition> = splits.iter().map(|(split, _)| *split).collect();
    // Only for people: without an answer there is nothing to tell.
    let Ok(committed) = handle.committed(&names, limit) else { return };
    let moved = splits.iter().zip(committed).filter_map(|((split, start), committed)| {
        let committed = committed.filter(|committed| committed != start)?;
        Some(format!("{}[{}] {committed} instead of {start}", split.0, split.1))
    });
    let moved: Vec<String> = moved.collect();
    if !moved.is_empty() {
        tracing::warn!(
            "group `{group}` was moved: {}; the job goes on at the positions of its checkpoint, `run \
             --accept-offset-reset` at the group's",
            moved.join(", ")
        );
    }
}

struct KafkaSourceNode<T, D, S: Shape<T>> {
    description: Option<Description>,
    deserializer: D,
    strategy: Option<WatermarkStrategy<S::Output>>,
    transactions: Arc<JobTransactions>,
}

impl<T, D, S> Source<S::Output> for KafkaSourceNode<T, D, S>
where
    T: Record,
    D: KafkaDeserializationSchema<T>,
    S: Shape<T>,
{
    fn open(&mut self, context: &SourceContext) -> Result<Opened<S::Output>> {
        let Some(description) = &self.description else {
            return Err(Error::internal("a source with mistakes in its settings was started"));
        };
        let handle = ConsumerHandle::new(&description.client)?;
        let splits = resolve(&handle, description, context)?;
        let cluster = self.transactions.on(description.bootstrap());
        let letters = DeadLetters::open(&handle, description, context, cluster.as_ref())?;
        let (n, topics) = (context.parallelism(), description.topics.join(", "));
        tracing::info!("{}: reading {topics}, partitions: {}, subtasks: {n}", context.name(), splits.len());
        let mut dealt: Vec<Vec<_>> = (0..n).map(|_| Vec::new()).collect();
        for (index, split) in splits.iter().enumerate() {
            dealt[index % n].push(split.clone());
        }
        let starts: Vec<Vec<_>> = dealt.iter().map(|d| d.iter().map(start::Resolved::start).collect()).collect();
        let lanes = handle.assign(&starts, (0..n).map(|subtask| context.waker(subtask)).collect())?;
        let (bounded, tally) = (description.start.bounded, description.bad_records.tally(context.name()));
        let mut readers: Vec<Box<dyn SourceReader<_>>> = Vec::with_capacity(n);
        for (subtask, (lane, splits)) in lanes.into_iter().zip(dealt).enumerate() {
            let letters = letters.as_ref().map(|l| l.lane(subtask, std::any::type_name::<D>())).transpose()?;
            let triage = description.bad_records.triage(letters, Arc::clone(&tally));
            readers.push(Box::new(KafkaReader::<T, D, S>::new(Parts {
                serves: subtask == 0,
                lane,
                waker: context.waker(subtask),
                splits,
                bounded,
                deserializer: self.deserializer.clone(),
                triage,
                watermarks: self.strategy.as_ref().map(|strategy| strategy.reader(context)),
                clock: context.clock(),
            })?));
        }
        let stored = splits.iter().filter(|_| description.stores);
        let names: BTreeMap<_, _> = stored.map(|s| (Arc::clone(&s.name), s.split)).collect();
        if let (Some(cluster), Some(group)) = (&cluster, description.group.as_ref().filter(|_| description.stores)) {
            refuse_members(&handle, group, description.engine.request_timeout)?;
            if context.positions().is_some() {
                let splits: Vec<_> = splits.iter().map(|split| (split.split, split.start)).collect();
                warn_of_moves(&handle, group, &splits, description.engine.request_timeout);
            }
            cluster.add_group(context.uid(), Group { id: group.clone(), splits: names.clone() });
        }
        let committer = (cluster.is_none() && (description.stores || letters.is_some())).then(|| {
            // Dead letters are flushed even where no position is stored.
            let flush = letters.as_ref().and_then(DeadLetters::flush);
            Box::new(KafkaCommitter::new(handle, names, description.engine.auto_commit_interval, flush)) as _
        });
        Ok(Opened { readers, committer })
    }

    fn check(&mut self, limit: Duration) -> Result<String> {
        let Some(description) = &mut self.description else {
            return Err(Error::internal("a source with mistakes in its settings was checked"));
        };
        let usual = std::mem::replace(&mut description.engine.default_api_timeout, limit);
        let asked = ask_brokers(description);
        description.engine.default_api_timeout = usual;
        asked
    }

    fn describe(&self) -> String {
        let Some(description) = &self.description else { return String::new() };
        let group = description.group.as_deref().map_or("no group".to_owned(), |g| format!("group {g}"));
        let plural = if description.topics.len() == 1 { "topic" } else { "topics" };
        let (start, bad) = (description.start.describe(), description.bad_records.describe());
        format!("{plural} {}, {group}, {start}{bad}", description.topics.join(", "))
    }
}
