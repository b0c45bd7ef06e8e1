//! Records as Kafka has them: borrowed for deserializers, owned for streams.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use stream_core::Timestamp;

/// The name of a topic; as cheap to copy as a pointer.
///
/// Names are kept once per process and never freed, which is bounded by the number of topics a process ever sees.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(&'static str);

impl Topic {
    pub(crate) const EMPTY: Topic = Topic("");

    /// The topic with this name.
    pub fn new(name: &str) -> Topic {
        static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Topic(known);
        }
        let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
        names.insert(kept);
        Topic(kept)
    }

    /// The name.
    pub fn as_str(&self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

/// What the timestamp of a record means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// Set by the producer.
    CreateTime,
    /// Set by the broker when it appended the record.
    LogAppendTime,
    /// The broker is too old to keep timestamps.
    NotAvailable,
}

/// A record as it came from the broker, borrowed while it is decoded.
#[derive(Clone, Copy)]
pub struct RawRecord<'a> {
    pub(crate) topic: Topic,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: Timestamp,
    pub(crate) timestamp_type: TimestampType,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) rest: &'a dyn ReadHeaders,
}

/// The parts of a record that are decoded only if asked for.
pub(crate) trait ReadHeaders {
    fn headers(&self) -> Headers;
    fn leader_epoch(&self) -> Option<i32>;
}

impl<'a> RawRecord<'a> {
    /// The topic.
    pub fn topic(&self) -> Topic {
        self.topic
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The offset within the partition.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The record's timestamp; [`Timestamp::MIN`] if the broker keeps none.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// What the timestamp means.
    pub fn timestamp_type(&self) -> TimestampType {
        self.timestamp_type
    }

    /// The key's bytes; `None` for a null key.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// The value's bytes; `None` for a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// The headers, decoded by this call.
    pub fn headers(&self) -> Headers {
        self.rest.headers()
    }

    /// The epoch of the leader that appended the record, where the broker says so.
    pub fn leader_epoch(&self) -> Option<i32> {
        self.rest.leader_epoch()
    }
}

/// Headers in order; names may repeat and values may be null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Option<Vec<u8>>)>);

impl Headers {
    /// Adds a header at the end.
    pub fn push(&mut self, name: impl Into<String>, value: Option<&[u8]>) {
        self.0.push((name.into(), value.map(<[u8]>::to_vec)));
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }

    /// The value of the last header of this name, as Kafka's `lastHeader` has it; `None` if there is none or it is null.
    pub fn last(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(n, _)| n == name).and_then(|(_, value)| value.as_deref())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// A decoded record with everything Kafka knows about it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KafkaRecord<T> {
    /// The topic.
    pub topic: Topic,
    /// The partition.
    pub partition: i32,
    /// The offset within the partition.
    pub offset: i64,
    /// The record's timestamp; [`Timestamp::MIN`] if the broker keeps none. It is the stream's event time too,
    /// unless a strategy assigns another.
    pub timestamp: Timestamp,
    /// What the timestamp means.
    pub timestamp_type: TimestampType,
    /// The key's bytes; `None` for a null key.
    pub key: Option<Vec<u8>>,
    /// The headers in order.
    pub headers: Headers,
    /// The epoch of the leader that appended the record, where the broker says so.
    pub leader_epoch: Option<i32>,
    /// The decoded value.
    pub value: T,
}

impl<T> KafkaRecord<T> {
    pub(crate) fn new(raw: &RawRecord<'_>, value: T) -> KafkaRecord<T> {
        KafkaRecord {
            topic: raw.topic,
            partition: raw.partition,
            offset: raw.offset,
            timestamp: raw.timestamp,
            timestamp_type: raw.timestamp_type,
            key: raw.key.map(<[u8]>::to_vec),
            headers: raw.headers(),
            leader_epoch: raw.leader_epoch(),
            value,
        }
    }

    /// The key as text, if it is UTF-8.
    pub fn key_str(&self) -> Option<&str> {
        self.key.as_deref().and_then(|key| std::str::from_utf8(key).ok())
    }
}

impl<T: fmt::Display> fmt::Display for KafkaRecord<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]@{} ", self.topic, self.partition, self.offset)?;
        if let Some(key) = &self.key {
            write!(f, "{}: ", String::from_utf8_lossy(key))?;
        }
        write!(f, "{}", self.value)
    }
}
