//! Schemas: bytes to values and back. Strings, bytes and JSON are built in; closures and your own types work too.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stream_core::Timestamp;

use crate::record::{Headers, RawRecord, Topic};

/// Why a record can't be decoded or encoded. Topic, partition and offset are added by the source.
#[derive(Debug)]
pub struct SchemaError(String);

impl SchemaError {
    /// With the reason, lower case, without the record's position.
    pub fn new(reason: impl Into<String>) -> SchemaError {
        SchemaError(reason.into())
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SchemaError {}

/// Turns Kafka records into values of type `T`.
///
/// The payload is borrowed: nothing is copied that the value does not keep. One record may yield none, one or
/// several values, in order, all with the record's timestamp.
///
/// # Example
/// ```
/// use stream_kafka::{KafkaDeserializationSchema, RawRecord, SchemaError};
///
/// /// One number per line.
/// #[derive(Clone)]
/// struct Lines;
///
/// impl KafkaDeserializationSchema<u64> for Lines {
///     fn deserialize(&mut self, record: &RawRecord<'_>, out: &mut Vec<u64>) -> Result<(), SchemaError> {
///         let text = std::str::from_utf8(record.value().unwrap_or_default());
///         for line in text.map_err(|e| SchemaError::new(e.to_string()))?.lines() {
///             out.push(line.parse().map_err(|_| SchemaError::new(format!("`{line}` is not a number")))?);
///         }
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not decode Kafka records into `{T}`",
    note = "String, Vec<u8> and Option of them are decoded by default, and types with #[derive(KafkaSchema)]; for others call `.json()`, `.decode(|record| …)` or `.deserializer(your schema)` on the KafkaSource"
)]
pub trait KafkaDeserializationSchema<T>: Clone + Send + 'static {
    /// Adds the record's values to `out`.
    ///
    /// # Errors
    /// A [`SchemaError`] with the reason; the source adds where the record is.
    fn deserialize(&mut self, record: &RawRecord<'_>, out: &mut Vec<T>) -> Result<(), SchemaError>;

    /// Whether `value` is the last of its partition: it is dropped, and nothing more of the partition is read.
    fn is_end_of_stream(&self, _value: &T) -> bool {
        false
    }

    /// The topic to read when neither the configuration nor the code names one.
    fn default_topic(&self) -> Option<&'static str> {
        None
    }
}

/// A type that says by itself how a Kafka record becomes one; what `KafkaSource::<T>::new` uses by default.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default Kafka format",
    note = "add #[derive(KafkaSchema)] to the type, or call `.json()`, `.decode(|record| …)` or `.deserializer(your schema)` on the KafkaSource"
)]
pub trait FromKafka: Sized + Send + 'static {
    /// Decodes a record.
    ///
    /// # Errors
    /// A [`SchemaError`] with the reason; the source adds where the record is.
    fn from_kafka(record: &RawRecord<'_>) -> Result<Self, SchemaError>;

    /// The topic to read when neither the configuration nor the code names one.
    fn default_topic() -> Option<&'static str> {
        None
    }
}

/// A type that says by itself how it is written to Kafka; what a `KafkaSink` uses by default.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default Kafka format",
    note = "add #[derive(KafkaSchema)] to the type, or call `.json()` or `.serializer(|value: &{Self}| bytes)` on the KafkaSink"
)]
pub trait ToKafka {
    /// Fills the record, which comes with the defaults set.
    ///
    /// # Errors
    /// A [`SchemaError`] with the reason; it fails the job.
    fn to_kafka(&self, record: &mut ProducerRecord) -> Result<(), SchemaError>;

    /// The topic to write when neither the configuration nor the code names one.
    fn default_topic() -> Option<&'static str>
    where
        Self: Sized,
    {
        None
    }
}

pub(crate) fn tombstone() -> SchemaError {
    SchemaError::new("the value is null (a tombstone); use Option<…> to accept those")
}

impl FromKafka for String {
    fn from_kafka(record: &RawRecord<'_>) -> Result<String, SchemaError> {
        let text = std::str::from_utf8(record.value().ok_or_else(tombstone)?);
        text.map(str::to_owned).map_err(|e| SchemaError::new(format!("the value is not UTF-8: {e}")))
    }
}

impl FromKafka for Vec<u8> {
    fn from_kafka(record: &RawRecord<'_>) -> Result<Vec<u8>, SchemaError> {
        record.value().map(<[u8]>::to_vec).ok_or_else(tombstone)
    }
}

impl<T: FromKafka> FromKafka for Option<T> {
    fn from_kafka(record: &RawRecord<'_>) -> Result<Option<T>, SchemaError> {
        record.value().map(|_| T::from_kafka(record)).transpose()
    }

    fn default_topic() -> Option<&'static str> {
        T::default_topic()
    }
}

impl ToKafka for String {
    fn to_kafka(&self, record: &mut ProducerRecord) -> Result<(), SchemaError> {
        record.set_value(self);
        Ok(())
    }
}

impl ToKafka for &str {
    fn to_kafka(&self, record: &mut ProducerRecord) -> Result<(), SchemaError> {
        record.set_value(self);
        Ok(())
    }
}

impl ToKafka for Vec<u8> {
    fn to_kafka(&self, record: &mut ProducerRecord) -> Result<(), SchemaError> {
        record.set_value(self);
        Ok(())
    }
}

/// `None` is written as a tombstone.
impl<T: ToKafka> ToKafka for Option<T> {
    fn to_kafka(&self, record: &mut ProducerRecord) -> Result<(), SchemaError> {
        self.as_ref().map_or(Ok(()), |value| value.to_kafka(record))
    }

    fn default_topic() -> Option<&'static str> {
        T::default_topic()
    }
}

/// Decodes and encodes by the type's own [`FromKafka`] and [`ToKafka`]: text and bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultSchema;

impl<T: FromKafka> KafkaDeserializationSchema<T> for DefaultSchema {
    #[inline]
    fn deserialize(&mut self, record: &RawRecord<'_>, out: &mut Vec<T>) -> Result<(), SchemaError> {
        out.push(T::from_kafka(record)?);
        Ok(())
    }

    fn default_topic(&self) -> Option<&'static str> {
        T::default_topic()
    }
}

impl<T: ToKafka> SerializationSchema<T> for DefaultSchema {
    #[inline]
    fn serialize(&mut self, value: &T, record: &mut ProducerRecord) -> Result<(), SchemaError> {
        value.to_kafka(record)
    }

    fn default_topic(&self) -> Option<&'static str> {
        T::default_topic()
    }
}

/// JSON by serde, both ways.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonSchema;

impl<T: DeserializeOwned + Send + 'static> KafkaDeserializationSchema<T> for JsonSchema {
    fn deserialize(&mut self, record: &RawRecord<'_>, out: &mut Vec<T>) -> Result<(), SchemaError> {
        let value = record.value().ok_or_else(tombstone)?;
        out.push(serde_json::from_slice(value).map_err(|e| SchemaError::new(format!("not the expected JSON: {e}")))?);
        Ok(())
    }
}

/// Decodes with a function of the borrowed record.
pub struct Decode<F, T> {
    function: F,
    value: PhantomData<fn() -> T>,
}

impl<F, T> Decode<F, T> {
    pub(crate) fn new(function: F) -> Decode<F, T> {
        Decode { function, value: PhantomData }
    }
}

impl<F: Clone, T> Clone for Decode<F, T> {
    fn clone(&self) -> Decode<F, T> {
        Decode::new(self.function.clone())
    }
}

impl<T, E, F> KafkaDeserializationSchema<T> for Decode<F, T>
where
    T: 'static,
    E: fmt::Display,
    F: FnMut(&RawRecord<'_>) -> Result<T, E> + Clone + Send + 'static,
{
    #[inline]
    fn deserialize(&mut self, record: &RawRecord<'_>, out: &mut Vec<T>) -> Result<(), SchemaError> {
        out.push((self.function)(record).map_err(|e| SchemaError::new(e.to_string()))?);
        Ok(())
    }
}

/// What a sink sends: filled by a [`SerializationSchema`], reused from record to record.
///
/// What is not set stays at its default: no key, a null value, no headers, the topic of the sink, the partition
/// that the partitioner chooses, the event time of the record.
#[derive(Debug, Default)]
pub struct ProducerRecord {
    value: Vec<u8>,
    has_value: bool,
    key: Vec<u8>,
    has_key: bool,
    headers: Headers,
    timestamp: Option<Timestamp>,
    topic: Option<Topic>,
    partition: Option<i32>,
}

impl ProducerRecord {
    /// Back to defaults; buffers are kept.
    pub(crate) fn reset(&mut self, timestamp: Option<Timestamp>) {
        self.value.clear();
        self.key.clear();
        self.has_value = false;
        self.has_key = false;
        if !self.headers.is_empty() {
            self.headers = Headers::default();
        }
        self.timestamp = timestamp.filter(|t| *t != Timestamp::MIN);
        self.topic = None;
        self.partition = None;
    }

    /// Sets the value.
    pub fn set_value(&mut self, value: impl AsRef<[u8]>) {
        self.value_buffer().extend_from_slice(value.as_ref());
    }

    /// The value's buffer, empty, to be written into; the value is no longer null.
    pub fn value_buffer(&mut self) -> &mut Vec<u8> {
        self.has_value = true;
        self.value.clear();
        &mut self.value
    }

    /// Sets the key.
    pub fn set_key(&mut self, key: impl AsRef<[u8]>) {
        self.key_buffer().extend_from_slice(key.as_ref());
    }

    /// The key's buffer, empty, to be written into; the key is no longer null.
    pub fn key_buffer(&mut self) -> &mut Vec<u8> {
        self.has_key = true;
        self.key.clear();
        &mut self.key
    }

    /// Adds a header.
    pub fn add_header(&mut self, name: impl Into<String>, value: Option<&[u8]>) {
        self.headers.push(name, value);
    }

    /// Sets the timestamp, in place of the record's event time.
    pub fn set_timestamp(&mut self, timestamp: Timestamp) {
        self.timestamp = Some(timestamp);
    }

    /// Sets the topic, in place of the sink's.
    pub fn set_topic(&mut self, topic: Topic) {
        self.topic = Some(topic);
    }

    /// Sets the partition, in place of the partitioner's choice.
    pub fn set_partition(&mut self, partition: i32) {
        self.partition = Some(partition);
    }

    /// The value; `None` is a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.has_value.then_some(&*self.value)
    }

    /// The key.
    pub fn key(&self) -> Option<&[u8]> {
        self.has_key.then_some(&*self.key)
    }

    /// How many bytes it holds.
    pub(crate) fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
        self.value.len() + self.key.len() + headers.sum::<usize>()
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The timestamp the record will be written with; `None` leaves it to the client.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// The topic, if it was set.
    pub fn topic(&self) -> Option<Topic> {
        self.topic
    }

    /// The partition, if it was set.
    pub fn partition(&self) -> Option<i32> {
        self.partition
    }
}

/// Turns values of type `T` into what Kafka stores.
///
/// A closure from `&T` to the value's bytes is a schema too.
///
/// # Example
/// ```
/// use stream_kafka::{ProducerRecord, SchemaError, SerializationSchema};
///
/// struct User { name: String, age: u8 }
///
/// #[derive(Clone)]
/// struct Csv;
///
/// impl SerializationSchema<User> for Csv {
///     fn serialize(&mut self, user: &User, record: &mut ProducerRecord) -> Result<(), SchemaError> {
///         record.set_key(&user.name);
///         record.set_value(format!("{},{}", user.name, user.age));
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not encode `{T}` for Kafka",
    note = "text and types with #[derive(KafkaSchema)] are written by default; for others call `.json()` or `.serializer(|value: &{T}| bytes)` on the KafkaSink"
)]
pub trait SerializationSchema<T>: Clone + Send + 'static {
    /// Fills the record, which comes with the defaults set.
    ///
    /// # Errors
    /// A [`SchemaError`] with the reason; it fails the job.
    fn serialize(&mut self, value: &T, record: &mut ProducerRecord) -> Result<(), SchemaError>;

    /// The topic to write when neither the configuration nor the code names one.
    fn default_topic(&self) -> Option<&'static str> {
        None
    }
}

impl<T, F> SerializationSchema<T> for F
where
    F: FnMut(&T) -> Vec<u8> + Clone + Send + 'static,
{
    fn serialize(&mut self, value: &T, record: &mut ProducerRecord) -> Result<(), SchemaError> {
        record.set_value(self(value));
        Ok(())
    }
}

impl<T: Serialize> SerializationSchema<T> for JsonSchema {
    fn serialize(&mut self, value: &T, record: &mut ProducerRecord) -> Result<(), SchemaError> {
        serde_json::to_writer(record.value_buffer(), value)
            .map_err(|e| SchemaError::new(format!("can't write as JSON: {e}")))
    }
}

/// Another schema, with more of the record set by functions of the value.
#[derive(Clone)]
pub struct With<S, F> {
    pub(crate) schema: S,
    pub(crate) more: F,
}

impl<T, S, F> SerializationSchema<T> for With<S, F>
where
    S: SerializationSchema<T>,
    F: FnMut(&T, &mut ProducerRecord) + Clone + Send + 'static,
{
    fn serialize(&mut self, value: &T, record: &mut ProducerRecord) -> Result<(), SchemaError> {
        self.schema.serialize(value, record)?;
        (self.more)(value, record);
        Ok(())
    }

    fn default_topic(&self) -> Option<&'static str> {
        self.schema.default_topic()
    }
}
