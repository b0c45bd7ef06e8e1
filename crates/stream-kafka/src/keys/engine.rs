//! What the engine itself does with a source's or a sink's settings, typed; librdkafka never hears of most of these.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The settings that the engine handles. Fields that belong to the other role keep their default.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EngineSettings {
    /// The name of this instance, when the section carries one under `alias`.
    pub alias: Option<String>,
    /// Topics from `topic`, in the order given, without repeats; empty where unset. For a sink at most one.
    pub topics: Vec<String>,
    /// Regular expression of topic names from `pattern`; never set together with `topics`.
    pub pattern: Option<String>,
    /// `group.id`; the client gets it too.
    pub group_id: Option<String>,
    /// What client ids start with: `client.id.prefix`, or `client.id`. The caller appends operator and subtask.
    pub client_id_prefix: Option<String>,
    /// Delivery guarantee of a sink. Default: at least once.
    pub semantic: Semantic,
    /// `start.from.timestamp`, milliseconds since the epoch.
    pub start_from_timestamp: Option<i64>,
    /// `start.from.offset.<topic>`: per topic its (partition, first offset to read), in the order given.
    pub start_from_offsets: BTreeMap<String, Vec<(i32, i64)>>,
    /// `auto.offset.reset`; Kafka's own default is latest.
    pub auto_offset_reset: Option<AutoOffsetReset>,
    /// Always written to the client explicitly. Default: read uncommitted, as in Java and Flink.
    pub isolation_level: IsolationLevel,
    /// `enable.auto.commit` as the user set it; the client's own commit is always off.
    pub enable_auto_commit: Option<bool>,
    /// `auto.commit.interval.ms`, used only without checkpoints. Default: 5 s.
    pub auto_commit_interval: Duration,
    /// `commit.offsets.on.checkpoint`: show positions in the group after each checkpoint. Default: true.
    pub commit_offsets_on_checkpoint: bool,
    /// How often to look for new partitions; `None` is never, the default.
    pub partition_discovery_interval: Option<Duration>,
    /// `exclude.internal.topics`: leave Kafka's own topics out of a `pattern`. Default: true.
    pub exclude_internal_topics: bool,
    /// `max.poll.records`: the size of a batch.
    pub max_poll_records: Option<usize>,
    /// `max.block.ms`: how long a full send queue may hold the sink up. Default: 60 s.
    pub max_block: Duration,
    /// `default.api.timeout.ms`: limit for metadata, committed positions and offsets by time. Default: 60 s.
    pub default_api_timeout: Duration,
    /// `request.timeout.ms`: limit for one request. Default: 30 s.
    pub request_timeout: Duration,
    /// `key.deserializer` or `key.serializer`.
    pub key_codec: Option<Codec>,
    /// `value.deserializer` or `value.serializer`.
    pub value_codec: Option<Codec>,
    /// `partitioner.class`, `partitioner.ignore.keys` or `partitioner`.
    pub partitioner: PartitionerChoice,
    /// `transactional.id`, never set under exactly-once, where the engine names its own.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms`.
    pub transaction_timeout: Option<Duration>,
    /// `commit.epoch-bump`: when the producer of exactly-once gets a new epoch. By default after every commit if they are 5 s
    /// apart or more, otherwise after one that was disturbed.
    pub epoch_bump: Option<EpochBump>,
    /// `commit.marker-topic`: a compacted topic that holds the marker of exactly-once, too, so that a job may rest for longer
    /// than Kafka remembers groups.
    pub marker_topic: Option<String>,
    /// `schema.registry.url` and its relatives.
    pub schema_registry: Option<SchemaRegistry>,
    /// `on_bad_record`. Default: fail.
    pub on_bad_record: Option<BadRecords>,
    /// `bad_records.max_ratio`, from 0 to 1. Default: 0.9.
    pub bad_records_max_ratio: Option<f64>,
    /// `bad_records.window`, in records. Default: 1000.
    pub bad_records_window: Option<u64>,
    /// `dead_letter.format`. Default: that of Kafka Streams.
    pub dead_letter_format: Option<DeadLetterFormat>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            alias: None,
            topics: Vec::new(),
            pattern: None,
            group_id: None,
            client_id_prefix: None,
            semantic: Semantic::default(),
            start_from_timestamp: None,
            start_from_offsets: BTreeMap::new(),
            auto_offset_reset: None,
            isolation_level: IsolationLevel::default(),
            enable_auto_commit: None,
            auto_commit_interval: Duration::from_secs(5),
            commit_offsets_on_checkpoint: true,
            partition_discovery_interval: None,
            exclude_internal_topics: true,
            max_poll_records: None,
            max_block: Duration::from_secs(60),
            default_api_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(30),
            key_codec: None,
            value_codec: None,
            partitioner: PartitionerChoice::default(),
            transactional_id: None,
            transaction_timeout: None,
            epoch_bump: None,
            marker_topic: None,
            schema_registry: None,
            on_bad_record: None,
            bad_records_max_ratio: None,
            bad_records_window: None,
            dead_letter_format: None,
        }
    }
}

impl EngineSettings {
    /// Whether the producer will run transactions: the engine's own, or under the user's `transactional.id`.
    pub fn is_transactional(&self) -> bool {
        self.semantic == Semantic::ExactlyOnce || self.transactional_id.is_some()
    }
}

/// Delivery guarantee of a sink (`semantic`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Semantic {
    /// Nothing is lost, records may repeat.
    #[default]
    AtLeastOnce,
    /// Nothing is lost, nothing repeats for readers of committed records.
    ExactlyOnce,
    /// No promise.
    None,
}

impl EngineSettings {
    /// The key of what transactions are made by in which this differs from other settings.
    pub(crate) fn differs_in_transactions(&self, other: &EngineSettings) -> Option<&'static str> {
        let differs = [
            ("transaction.timeout.ms", self.transaction_timeout != other.transaction_timeout),
            ("commit.epoch-bump", self.epoch_bump != other.epoch_bump),
            ("commit.marker-topic", self.marker_topic != other.marker_topic),
        ];
        differs.into_iter().find_map(|(key, differs)| differs.then_some(key))
    }
}

/// When the producer of exactly-once gets a new epoch (`commit.epoch-bump`). Only a new epoch is proof against a request
/// to end a transaction that arrives late and once more (KAFKA-17754).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpochBump {
    /// After every commit; sinks wait for half a second longer then.
    Always,
    /// After a commit that may have been sent twice: repeated, slow, or with a connection lost.
    OnDisturbance,
}

/// Where to read when a partition has no position, or an unusable one (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// The first record still there.
    Earliest,
    /// After the last record.
    Latest,
    /// Fail.
    None,
    /// The first record not older than this; the engine asks the broker and seeks.
    ByDuration(Duration),
}

/// Which transactional records a source sees (`isolation.level`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationLevel {
    /// All of them, aborted ones too.
    #[default]
    ReadUncommitted,
    /// Only committed ones.
    ReadCommitted,
}

/// A Kafka (de)serializer class as the Rust side knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names are the documentation.
pub enum Codec {
    String,
    Bytes,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Uuid,
    Boolean,
    Void,
    Json,
    Avro,
    Protobuf,
    JsonSchema,
}

/// Which partitioner the settings ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionerChoice {
    /// Nothing was said: the sink's own default.
    #[default]
    Unset,
    /// Kafka's hash of the key; records without a key stick to a random partition.
    Murmur2,
    /// `RoundRobinPartitioner`: each record to the next partition, whatever its key.
    RoundRobin,
    /// `partitioner.ignore.keys`: random sticky partitions, whatever the key.
    IgnoreKeys,
    /// `KafkaEqualityPartitioner`: the same number of records to every partition.
    Equality,
    /// librdkafka's own property `partitioner` was set: the client decides.
    Client,
}

/// What a source does with records that its schema refuses (`on_bad_record`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRecords {
    /// Fail the job, naming topic, partition, offset and reason.
    #[default]
    Fail,
    /// Leave them out: counted and logged.
    Skip,
    /// Copy them to this topic of the same cluster, with headers that say where they come from and what is wrong.
    DeadLetter(String),
}

impl BadRecords {
    /// Copies bad records to `topic`, which has to exist.
    pub fn dead_letter(topic: impl Into<String>) -> BadRecords {
        BadRecords::DeadLetter(topic.into())
    }
}

/// The headers that a dead letter gets (`dead_letter.format`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadLetterFormat {
    /// `__streams.errors.*`, those of Kafka Streams.
    #[default]
    Streams,
    /// `__connect.errors.*`, those of Kafka Connect.
    Connect,
}

/// Settings for a schema registry's client. Values of the properties are not printable.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SchemaRegistry {
    /// `schema.registry.url`.
    pub url: String,
    /// The other properties, by name.
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for SchemaRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Both the URL (user:password@) and the properties may carry credentials.
        f.debug_struct("SchemaRegistry").field("properties", &self.properties.keys()).finish_non_exhaustive()
    }
}
