//! Tests of schemas without a broker: records as Kafka would deliver them.

use stream_core::Timestamp;

use crate::record::{Headers, RawRecord, ReadHeaders, TimestampType, Topic};
use crate::schema::{FromKafka, ProducerRecord, SchemaError};

/// Builds a record to decode.
///
/// What is not said stays as here: topic `test`, partition 0, offset 0, timestamp 0, a null key, a null value (a
/// tombstone), no headers.
///
/// # Example
/// ```
/// use stream_kafka::testing::RecordBuilder;
///
/// let record = RecordBuilder::new().key("k1").value("hello").header("trace", "7");
/// assert_eq!(record.decode::<String>()?, "hello");
/// record.with(|raw| assert_eq!(raw.headers().last("trace"), Some(&b"7"[..])));
/// # Ok::<(), stream_kafka::SchemaError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RecordBuilder {
    topic: Topic,
    partition: i32,
    offset: i64,
    timestamp: Timestamp,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    rest: Rest,
}

#[derive(Clone, Debug, Default)]
struct Rest {
    headers: Headers,
    leader_epoch: Option<i32>,
}

impl ReadHeaders for Rest {
    fn headers(&self) -> Headers {
        self.headers.clone()
    }

    fn leader_epoch(&self) -> Option<i32> {
        self.leader_epoch
    }
}

impl Default for RecordBuilder {
    fn default() -> RecordBuilder {
        RecordBuilder::new()
    }
}

impl RecordBuilder {
    /// A record with a null key and a null value.
    pub fn new() -> RecordBuilder {
        RecordBuilder {
            topic: Topic::new("test"),
            partition: 0,
            offset: 0,
            timestamp: Timestamp::from_millis(0),
            key: None,
            value: None,
            rest: Rest::default(),
        }
    }

    /// The record that a consumer would get of what a schema has written; to test that a schema reads what it writes.
    ///
    /// A timestamp, topic or partition that the schema left open stays as in [`RecordBuilder::new`].
    pub fn of(written: &ProducerRecord) -> RecordBuilder {
        let new = RecordBuilder::new();
        RecordBuilder {
            topic: written.topic().unwrap_or(new.topic),
            partition: written.partition().unwrap_or(new.partition),
            timestamp: written.timestamp().unwrap_or(new.timestamp),
            key: written.key().map(<[u8]>::to_vec),
            value: written.value().map(<[u8]>::to_vec),
            rest: Rest { headers: written.headers().clone(), ..new.rest },
            offset: new.offset,
        }
    }

    /// Sets the topic.
    #[must_use]
    pub fn topic(mut self, topic: &str) -> RecordBuilder {
        self.topic = Topic::new(topic);
        self
    }

    /// Sets the partition.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> RecordBuilder {
        self.partition = partition;
        self
    }

    /// Sets the offset.
    #[must_use]
    pub fn offset(mut self, offset: i64) -> RecordBuilder {
        self.offset = offset;
        self
    }

    /// Sets the timestamp; [`Timestamp::MIN`] stands for a record without one.
    #[must_use]
    pub fn timestamp(mut self, timestamp: Timestamp) -> RecordBuilder {
        self.timestamp = timestamp;
        self
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl AsRef<[u8]>) -> RecordBuilder {
        self.key = Some(key.as_ref().to_vec());
        self
    }

    /// Sets the value.
    #[must_use]
    pub fn value(mut self, value: impl AsRef<[u8]>) -> RecordBuilder {
        self.value = Some(value.as_ref().to_vec());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> RecordBuilder {
        self.rest.headers.push(name, Some(value.as_ref()));
        self
    }

    /// Adds a header with a null value.
    #[must_use]
    pub fn null_header(mut self, name: &str) -> RecordBuilder {
        self.rest.headers.push(name, None);
        self
    }

    /// Sets the leader's epoch.
    #[must_use]
    pub fn leader_epoch(mut self, epoch: i32) -> RecordBuilder {
        self.rest.leader_epoch = Some(epoch);
        self
    }

    /// Lends the record, for schemas that are called by hand.
    pub fn with<R>(&self, read: impl FnOnce(&RawRecord<'_>) -> R) -> R {
        let no_timestamp = self.timestamp == Timestamp::MIN;
        read(&RawRecord {
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            timestamp_type: if no_timestamp { TimestampType::NotAvailable } else { TimestampType::CreateTime },
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            rest: &self.rest,
        })
    }

    /// Decodes the record by the type's own format.
    ///
    /// # Errors
    /// What the type's `from_kafka` says.
    pub fn decode<T: FromKafka>(&self) -> Result<T, SchemaError> {
        self.with(T::from_kafka)
    }
}
