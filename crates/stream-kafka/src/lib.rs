//! Kafka for stream-rs: source, sink, partitioners, schemas and every Kafka key.
//!
//! ```no_run
//! use stream_core::{Configuration, StreamingContext};
//! use stream_kafka::{KafkaSink, KafkaSource};
//!
//! fn main() -> Result<(), stream_core::Error> {
//!     let configuration = Configuration::builder().file("application.yml").process_env().build()?;
//!     let ctx = StreamingContext::new(configuration);
//!     let shouted = KafkaSource::<String>::new(&ctx).stream().map(|record| record.value.to_uppercase());
//!     KafkaSink::new(&ctx).sink(shouted);
//!     ctx.execute("shout")?;
//!     Ok(())
//! }
//! ```
//!
//! Only this crate names the Kafka client, only its `client` module uses `unsafe`. Settings go through [`keys`]:
//! Java's names as Kafka documents them, librdkafka's own names too.

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
pub mod admin;
mod client;
mod dev;
pub mod keys;
mod partitioner;
mod record;
mod schema;
mod settings;
#[cfg(feature = "sim")]
pub mod sim;
mod sink;
mod source;
pub mod testing;
mod transactions;
mod waiting;

pub use keys::{BadRecords, DeadLetterFormat};
pub use partitioner::{KafkaEqualityPartitioner, KafkaPartitioner, TopicPartitioner};
pub use record::{Headers, KafkaRecord, RawRecord, TimestampType, Topic};
pub use schema::{
    Decode, DefaultSchema, FromKafka, JsonSchema, KafkaDeserializationSchema, ProducerRecord, SchemaError,
    SerializationSchema, ToKafka, With,
};
pub use sink::KafkaSink;
pub use source::{KafkaSource, NoWatermarks, OffsetsInitializer};

/// How a type of yours is read from Kafka and written to it, said where the type is.
///
/// Four formats: JSON (the default), CSV, text and bytes. Key, headers and timestamp can be fields too. Nothing else
/// is needed: no serde, no schema on the source or the sink.
///
/// # Example
/// ```
/// use stream_core::{Configuration, StreamingContext};
/// use stream_kafka::testing::RecordBuilder;
/// use stream_kafka::{KafkaSchema, KafkaSink, KafkaSource, ProducerRecord, ToKafka};
///
/// #[derive(KafkaSchema)]
/// #[kafka(topic = "users", rename_all = "camelCase")]
/// struct User {
///     #[kafka(key)]
///     id: u64,
///     #[kafka(header = "trace-id")]
///     trace: Option<String>,
///     first_name: String,
///     #[kafka(default)]
///     age: u8,
/// }
///
/// // The key is not part of the value.
/// let user: User = RecordBuilder::new().key("17").value(r#"{"firstName":"Ada"}"#).decode()?;
/// assert_eq!((user.id, user.trace.as_deref(), user.first_name.as_str(), user.age), (17, None, "Ada", 0));
///
/// let mut record = ProducerRecord::default();
/// user.to_kafka(&mut record)?;
/// assert_eq!(record.key(), Some(&b"17"[..]));
/// assert_eq!(record.value(), Some(&br#"{"firstName":"Ada","age":0}"#[..]));
///
/// // In a job: neither a schema nor, as the type has one, a topic.
/// let configuration = Configuration::builder()
///     .set("kafka.source.bootstrap.servers", "localhost:9092")
///     .set("kafka.source.group.id", "readers")
///     .set("kafka.sink.bootstrap.servers", "localhost:9092")
///     .set("kafka.sink.topic", "adults")
///     .build()
///     .expect("four settings");
/// let ctx = StreamingContext::new(configuration);
/// let adults = KafkaSource::<User>::new(&ctx).values().filter(|user| user.age >= 18);
/// KafkaSink::new(&ctx).sink(adults);
/// assert!(ctx.plan("adults").expect("a plan").explain(stream_core::ExplainFormat::Text).contains("topic users"));
/// # Ok::<(), stream_kafka::SchemaError>(())
/// ```
pub use stream_macros::KafkaSchema;
