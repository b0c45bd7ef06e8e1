//! The last committed record of a topic that has one writer: what a marker in a topic of its own is read by.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::time::Time;
use crate::record::Topic;

/// The partition that such a topic has, or the one of several that is used.
pub(crate) const PARTITION: i32 = 0;

/// How far from the end the search begins; what the end of a transaction takes is an offset, too.
const TAIL: i64 = 64;

/// What others need of a producer's properties.
const SHARED: [&str; 9] =
    ["bootstrap.servers", "client.", "security.", "sasl.", "ssl.", "enable.ssl", "broker.", "socket.", "reconnect."];

/// How to get to the brokers and in, of a producer's properties.
pub(crate) fn access(settings: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    let shared = settings.iter().filter(|(key, _)| SHARED.iter().any(|prefix| key.starts_with(prefix)));
    shared.map(|(key, value)| (key.clone(), value.clone()))
}

/// A record as it lies in the topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastRecord {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// The last record that is committed before the first transaction that is not decided; none if there is none. `group` is one
/// that the user may read.
///
/// # Errors
/// No answer within `limit`, or one that says why not.
pub(crate) fn last_record(
    settings: &BTreeMap<String, String>,
    topic: Topic,
    group: &str,
    limit: Duration,
) -> Result<Option<LastRecord>, KafkaError> {
    #[cfg(feature = "sim")]
    if let Some(answer) = crate::sim::last_record(settings, topic, limit) {
        return answer;
    }
    let mut config: ClientConfig = access(settings).collect();
    config
        // Never joined, but asked about: one that the user has rights for.
        .set("group.id", group)
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        // The end is told by a fetch that finds nothing more, and that one would be held for half a second.
        .set("fetch.wait.max.ms", "5");
    let consumer: BaseConsumer = config.create()?;
    let time = Time::of(settings);
    let until = time.now() + limit;
    let (first, end) = consumer.fetch_watermarks(topic.as_str(), PARTITION, limit)?;
    let mut from = first.max(end - TAIL);
    let mut tail = TAIL;
    loop {
        let found = read(&consumer, (topic, from..end), || until.saturating_sub(time.now()))?;
        if found.is_some() || from <= first {
            return Ok(found);
        }
        tail *= 16;
        from = first.max(end - tail);
    }
}

/// The last committed record of a range.
fn read(
    consumer: &BaseConsumer,
    (topic, range): (Topic, std::ops::Range<i64>),
    left: impl Fn() -> Duration,
) -> Result<Option<LastRecord>, KafkaError> {
    let mut last = None;
    if range.is_empty() {
        return Ok(last);
    }
    let mut position = TopicPartitionList::with_capacity(1);
    position.add_partition_offset(topic.as_str(), PARTITION, Offset::Offset(range.start))?;
    consumer.assign(&position)?;
    loop {
        match consumer.poll(left()) {
            None => return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)),
            // Whatever can be read now has been read, and `end` was such a place before.
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(last),
            Some(Err(error)) => return Err(error),
            Some(Ok(message)) => {
                let bytes = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
                last = Some(LastRecord { key: bytes(message.key()), value: bytes(message.payload()) });
                if message.offset() + 1 >= range.end {
                    return Ok(last);
                }
            }
        }
    }
}
