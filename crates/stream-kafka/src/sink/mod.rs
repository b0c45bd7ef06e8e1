//! The Kafka sink: from a typed stream to a topic, as a section of the configuration says.

mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stream_core::{
    DataSink, DataStream, Error, Record, Result, Sink, SinkContext, SinkWriter, StagedCommitter, StagedSink,
    StagedWriter, StreamingContext, Timestamp,
};

use crate::client::producer::ProducerHandle;
use crate::client::rights::{Resource, Right};
use crate::dev;
use crate::keys::{Codec, EngineSettings, EpochBump, PartitionerChoice, Role, Semantic};
use crate::partitioner::{KafkaEqualityPartitioner, KafkaPartitioner};
use crate::record::Topic;
use crate::schema::{DefaultSchema, JsonSchema, ProducerRecord, SerializationSchema, With};
use crate::settings::{Chosen, Settings};
use crate::transactions::log::LogCommitter;
use crate::transactions::{self, Cluster, JobTransactions, Member, RecordBuffer};
use crate::waiting::Limit;
use writer::{KafkaWriter, LogWriter, Output};

/// Writes a stream to Kafka, as `kafka.sink` (or `kafka.sink.<alias>`) of the configuration says.
///
/// *Order:* what one subtask writes to one partition stays in order. *Delivery:* as `semantic` says. `AT_LEAST_ONCE`, the
/// default: at every barrier all outstanding records are flushed and every delivery is checked before sources commit
/// their positions. `EXACTLY_ONCE`: records are written in a transaction, which is committed together with the
/// checkpoint of its epoch, so readers of committed records see each of them once, once per checkpoint interval.
/// *Time:* a record's event time becomes its Kafka timestamp.
///
/// # Example
/// ```
/// use stream_core::{Configuration, StreamingContext};
/// use stream_kafka::KafkaSink;
///
/// let configuration = Configuration::builder()
///     .set("kafka.sink.bootstrap.servers", "localhost:9092")
///     .set("kafka.sink.topic", "greetings")
///     .build()?;
/// let ctx = StreamingContext::new(configuration);
/// let names = ctx.from_iter(["ada", "grace"]);
/// KafkaSink::new(&ctx).key(|name: &&str| name.as_bytes().to_vec()).sink(names);
/// assert!(ctx.plan("greet")?.explain(stream_core::ExplainFormat::Text).contains("topic greetings"));
/// # Ok::<(), stream_core::Error>(())
/// ```
#[must_use = "call .sink(stream) to write"]
pub struct KafkaSink<'c, S = DefaultSchema, P = KafkaEqualityPartitioner> {
    context: &'c StreamingContext,
    chosen: Chosen,
    topic: Option<String>,
    serializer: S,
    partitioner: P,
    /// Whether the code chose the partitioner, so that the configuration has no say.
    partitioner_in_code: bool,
}

impl<'c> KafkaSink<'c> {
    /// A sink with the settings of the context's configuration; writes text and bytes as they are.
    pub fn new(context: &'c StreamingContext) -> KafkaSink<'c> {
        let (chosen, topic) = (Chosen::default(), None);
        let (serializer, partitioner) = (DefaultSchema, KafkaEqualityPartitioner);
        KafkaSink { context, chosen, topic, serializer, partitioner, partitioner_in_code: false }
    }
}

impl<'c, S, P> KafkaSink<'c, S, P> {
    /// Chooses one of several instances below `kafka.sink`.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.chosen.alias = Some(alias.into());
        self
    }

    /// Writes to this topic; if topics are configured too, it must be one of them.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Sets a Kafka key in code; wins over the configuration.
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.chosen.properties.push((key.into(), value.into()));
        self
    }

    /// Encodes with a schema of your own, or a closure from `&T` to bytes.
    pub fn serializer<Z>(self, serializer: Z) -> KafkaSink<'c, Z, P> {
        let KafkaSink { context, chosen, topic, partitioner, partitioner_in_code, .. } = self;
        KafkaSink { context, chosen, topic, serializer, partitioner, partitioner_in_code }
    }

    /// Encodes as JSON by serde.
    pub fn json(self) -> KafkaSink<'c, JsonSchema, P> {
        self.serializer(JsonSchema)
    }

    /// Sets the key of every record.
    pub fn key<T, F>(
        self,
        mut key: F,
    ) -> KafkaSink<'c, With<S, impl FnMut(&T, &mut ProducerRecord) + Clone + Send + 'static>, P>
    where
        F: FnMut(&T) -> Vec<u8> + Clone + Send + 'static,
    {
        self.with(move |value: &T, record: &mut ProducerRecord| record.set_key(key(value)))
    }

    /// Adds a header to every record.
    pub fn header<T, F>(
        self,
        name: &'static str,
        mut value: F,
    ) -> KafkaSink<'c, With<S, impl FnMut(&T, &mut ProducerRecord) + Clone + Send + 'static>, P>
    where
        F: FnMut(&T) -> Vec<u8> + Clone + Send + 'static,
    {
        self.with(move |v: &T, record: &mut ProducerRecord| record.add_header(name, Some(&value(v))))
    }

    /// Sets the timestamp of every record, in place of its event time.
    pub fn timestamp<T, F>(
        self,
        mut timestamp: F,
    ) -> KafkaSink<'c, With<S, impl FnMut(&T, &mut ProducerRecord) + Clone + Send + 'static>, P>
    where
        F: FnMut(&T) -> Timestamp + Clone + Send + 'static,
    {
        self.with(move |value: &T, record: &mut ProducerRecord| record.set_timestamp(timestamp(value)))
    }

    /// Sets more of every record (key, headers, timestamp, topic, partition) after the schema has filled it.
    pub fn with<T, F>(self, more: F) -> KafkaSink<'c, With<S, F>, P>
    where
        F: FnMut(&T, &mut ProducerRecord) + Clone + Send + 'static,
    {
        let KafkaSink { context, chosen, topic, serializer, partitioner, partitioner_in_code } = self;
        let serializer = With { schema: serializer, more };
        KafkaSink { context, chosen, topic, serializer, partitioner, partitioner_in_code }
    }

    /// Chooses partitions in a way of your own.
    pub fn partitioner<Q>(self, partitioner: Q) -> KafkaSink<'c, S, Q> {
        let KafkaSink { context, chosen, topic, serializer, .. } = self;
        KafkaSink { context, chosen, topic, serializer, partitioner, partitioner_in_code: true }
    }

    /// Ends the stream in this sink.
    pub fn sink<T: Record>(self, stream: DataStream<T>) -> DataSink
    where
        S: SerializationSchema<T>,
        P: KafkaPartitioner<T>,
    {
        let description = match self.describe(self.serializer.default_topic()) {
            Ok(description) => Some(description),
            Err(error) => {
                self.context.reject(error);
                None
            }
        };
        let part = description.as_ref().map_or(Part::None, |description| self.transactions(description));
        let node = KafkaSinkNode {
            description,
            application: self.context.settings().application.clone(),
            cluster: match &part {
                Part::Transaction(cluster) => Some(cluster.clone()),
                Part::None | Part::Log => None,
            },
            serializer: self.serializer,
            partitioner: Arc::new(self.partitioner),
            producer: None,
        };
        match part {
            Part::Log => stream.staged_sink("kafka", node),
            Part::None | Part::Transaction(_) => stream.sink("kafka", node),
        }
    }

    /// The transactions that this sink takes part in, if it promises exactly-once.
    fn transactions(&self, description: &Description) -> Part {
        let Description { client, engine, brokers, topic, section, is_dev, .. } = description;
        let member = Member { section, client, engine, brokers, topic: *topic };
        if engine.semantic != Semantic::ExactlyOnce {
            if !is_dev {
                transactions::settle_by(self.context, &member);
            }
            return Part::None;
        }
        let joined = self.context.shared::<JobTransactions>().join(self.context, &member);
        match joined {
            Ok(Some(cluster)) => Part::Transaction(cluster),
            Ok(None) => Part::Log,
            Err(error) => {
                self.context.reject(error);
                Part::None
            }
        }
    }

    /// Checks everything that can be checked without a broker.
    fn describe(&self, default_topic: Option<&str>) -> Result<Description> {
        let settings = Settings::read_for(self.context, Role::Sink, &self.chosen)?;
        let engine = settings.translation.engine.clone();
        let mut errors = unsupported(&settings, self.partitioner_in_code);
        let topic = match self.choose_topic(&settings, &engine, default_topic) {
            Ok(topic) => topic,
            Err(error) => {
                errors.push(error);
                Topic::EMPTY
            }
        };
        if let Some(error) = Error::join(errors) {
            return Err(error);
        }
        let section = settings.section.prefix().to_owned();
        let mut client = settings.translation.client;
        let is_dev = dev::is_dev(&client);
        if is_dev && engine.semantic == Semantic::ExactlyOnce {
            return Err(dev::no_transactions());
        }
        let brokers = dev::resolve(&mut client, &[topic.as_str().to_owned()])?;
        let choice = engine.partitioner;
        let by_client =
            matches!(choice, PartitionerChoice::Murmur2 | PartitionerChoice::IgnoreKeys | PartitionerChoice::Client);
        let client_partitions = by_client && !self.partitioner_in_code;
        let bump = transactions::bump_in(self.context, &engine);
        Ok(Description { section, bump, client, brokers, topic, engine, is_dev, client_partitions })
    }

    fn choose_topic(&self, settings: &Settings, engine: &EngineSettings, default_topic: Option<&str>) -> Result<Topic> {
        match (&self.topic, &engine.topics[..]) {
            (None, [topic]) => Ok(Topic::new(topic)),
            (None, []) => {
                if let Some(topic) = default_topic {
                    return Ok(Topic::new(topic));
                }
                Err(settings.error("topic", "no topic to write to", "add `topic: name`, or call .topic(\"name\")"))
            }
            (None, several) => {
                let message = format!("a sink writes to one topic, not to {}", several.len());
                Err(settings.error("topic", message, "name it by .topic(\"name\")"))
            }
            (Some(topic), configured) if configured.is_empty() || configured.contains(topic) => Ok(Topic::new(topic)),
            (Some(topic), _) => {
                let message = format!("the job writes to `{topic}`, which is not among the configured topics");
                Err(settings.error("topic", message, "add it to the list, or write to one of those"))
            }
        }
    }
}

/// What the configuration asks for and this version does not have: better an error than a setting without effect.
fn unsupported(settings: &Settings, partitioner_in_code: bool) -> Vec<Error> {
    let engine = &settings.translation.engine;
    let mut errors = Vec::new();
    if engine.transactional_id.is_some() {
        let message = "an at-least-once sink writes without transactions";
        errors.push(settings.error("transactional.id", message, "remove the line"));
    }
    if engine.partitioner == PartitionerChoice::RoundRobin && !partitioner_in_code {
        let hint = "remove the line: the default spreads records evenly too";
        errors.push(settings.error("partitioner.class", "RoundRobinPartitioner is not supported yet", hint));
    }
    for (key, codec) in [("key.serializer", engine.key_codec), ("value.serializer", engine.value_codec)] {
        if !matches!(codec, None | Some(Codec::String | Codec::Bytes)) {
            let hint = "remove the line and call .serializer(…) or .json() on the KafkaSink";
            errors.push(settings.error(key, "only String and ByteArray serializers can be chosen here yet", hint));
        }
    }
    errors
}

/// Nothing is sent by a check.
const CHECK_CAPACITY: usize = 1;

/// A checked sink.
struct Description {
    /// Its section of the configuration.
    section: String,
    /// When a transactional producer gets a new epoch.
    bump: EpochBump,
    client: BTreeMap<String, String>,
    brokers: String,
    topic: Topic,
    engine: EngineSettings,
    is_dev: bool,
    /// Whether the settings leave the choice of partitions to the client library.
    client_partitions: bool,
}

/// How a sink takes part in the job's transactions.
enum Part {
    None,
    Transaction(Arc<Cluster>),
    /// It is on another cluster.
    Log,
}

struct KafkaSinkNode<S, P> {
    description: Option<Description>,
    serializer: S,
    partitioner: Arc<P>,
    /// Keeps deployments of the job apart.
    application: String,
    /// The job's transactions, if it writes in them.
    cluster: Option<Arc<Cluster>>,
    /// Made for the first subtask, shared by all.
    producer: Option<Arc<ProducerHandle>>,
}

impl<S, P> KafkaSinkNode<S, P> {
    fn description(&self) -> Result<&Description> {
        self.description.as_ref().ok_or_else(|| Error::internal("a sink with mistakes in its settings was used"))
    }

    /// The sink's own producer, made for the first subtask and shared by all.
    fn own_producer(&mut self, context: &SinkContext) -> Result<Arc<ProducerHandle>> {
        // Each attempt to run the job has one of its own: a failure stays with its producer, and subtasks that have failed
        // never arrive at its flushes.
        if let Some(producer) = self.producer.as_ref().filter(|_| context.operator.subtask() > 0) {
            return Ok(producer.clone());
        }
        let description = self.description()?;
        let capacity = transactions::capacity(&description.client);
        let lossy = description.engine.semantic == Semantic::None;
        let made = ProducerHandle::new(context.operator.name(), &description.client, capacity, lossy)?;
        Ok(self.producer.insert(made).clone())
    }

    fn writer<T>(&self, output: Output, context: &SinkContext) -> Result<KafkaWriter<T, S, P>>
    where
        T: Record,
        S: SerializationSchema<T>,
        P: KafkaPartitioner<T>,
    {
        let description = self.description()?;
        KafkaWriter::new(
            description.topic,
            description.brokers.clone(),
            &description.engine,
            description.is_dev,
            description.client_partitions,
            self.serializer.clone(),
            self.partitioner.clone(),
            output,
            context,
        )
    }

    fn ask(&self, limit: Duration) -> Result<String> {
        let description = self.description()?;
        let producer = ProducerHandle::new("check", &description.client, CHECK_CAPACITY, true)?;
        let (topic, brokers) = (description.topic, &description.brokers);
        let patience = Limit { time: limit, key: "max.block.ms" };
        let partitions = writer::find_partitions(&producer, topic, brokers, patience, &|| false)?;
        let written = Resource::Topic(topic.as_str());
        if producer.may(Right::Write, written, limit) == Some(false) {
            return Err(producer.account().denied(Right::Write, written));
        }
        Ok(format!("{} partitions to write to", partitions.len()))
    }

    fn described(&self) -> String {
        let Some(description) = &self.description else { return String::new() };
        let guarantee = match description.engine.semantic {
            Semantic::AtLeastOnce => "at least once",
            Semantic::ExactlyOnce => transactions::promise(description.bump),
            Semantic::None => "no guarantee",
        };
        format!("topic {}, {guarantee}", description.topic)
    }
}

impl<T, S, P> Sink<T> for KafkaSinkNode<S, P>
where
    T: Record,
    S: SerializationSchema<T>,
    P: KafkaPartitioner<T>,
{
    fn open(&mut self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let output = match &self.cluster {
            Some(cluster) => {
                cluster.producer()?.join(context.waker.clone());
                let (released, waker) = (context.released(), context.waker.clone());
                let max_block = self.description()?.engine.max_block;
                Output::Transaction(Box::new(cluster.lane(released, waker, max_block)?))
            }
            None => {
                let producer = self.own_producer(context)?;
                producer.join(context.waker.clone());
                Output::Direct(producer)
            }
        };
        Ok(Box::new(self.writer(output, context)?))
    }

    fn check(&mut self, limit: Duration) -> Result<String> {
        self.ask(limit)
    }

    fn describe(&self) -> String {
        self.described()
    }
}

impl<T, S, P> StagedSink<T> for KafkaSinkNode<S, P>
where
    T: Record,
    S: SerializationSchema<T>,
    P: KafkaPartitioner<T>,
{
    fn open(&mut self, context: &SinkContext) -> Result<Box<dyn StagedWriter<T>>> {
        let producer = self.own_producer(context)?;
        let writer = self.writer(Output::Log(RecordBuffer::default(), producer), context)?;
        Ok(Box::new(LogWriter::new(writer, context.generation())))
    }

    fn committer(&mut self, context: &SinkContext) -> Result<Box<dyn StagedCommitter>> {
        let Description { client, brokers, topic, engine, .. } = self.description()?;
        let (application, job, uid) = (&self.application, context.job(), context.operator.uid());
        let stopping = context.stopping();
        let stopping = move || stopping();
        let bump = self.description()?.bump;
        let made = LogCommitter::new(client, brokers, *topic, application, job, uid, engine, bump, stopping);
        Ok(Box::new(made))
    }

    fn check(&mut self, limit: Duration) -> Result<String> {
        self.ask(limit)
    }

    fn describe(&self) -> String {
        format!("{}, by a log in the checkpoint", self.described())
    }
}
