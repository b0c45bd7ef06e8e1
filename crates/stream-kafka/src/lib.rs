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

pub mod admin;
mod client;
mod dev;
pub mod keys;
mod partitioner;
mod record;
mod schema;
mod settings;
mod sink;
mod source;
mod waiting;

pub use partitioner::{KafkaEqualityPartitioner, KafkaPartitioner, TopicPartitioner};
pub use record::{Headers, KafkaRecord, RawRecord, TimestampType, Topic};
pub use schema::{
    Decode, DefaultSchema, FromKafka, JsonSchema, KafkaDeserializationSchema, ProducerRecord, SchemaError,
    SerializationSchema, ToKafka, With,
};
pub use sink::KafkaSink;
pub use source::{KafkaSource, OffsetsInitializer};
