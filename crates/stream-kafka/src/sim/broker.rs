//! The brokers of a [`FakeKafka`](super::FakeKafka), as one state machine without waiting: logs with transactions, groups
//! with offsets, and the coordinator that decides transactions.
//!
//! ```text
//!                 first record or offset           end                  markers written
//!   nothing ──────────────────────▶ ongoing ──────────────▶ deciding ──────────────▶ nothing
//!                                      └── timeout, or the next init: decided as aborted, by a new epoch
//! ```
//!
//! It speaks the first version of transactions, as librdkafka does: a request to end one names the producer's epoch and
//! nothing else, so one that arrives late ends whatever is ongoing in that epoch (KAFKA-17754).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::client::ErrorCode;
use crate::client::consumer::TopicPartition;
use crate::client::last::{LastRecord, PARTITION};
use crate::client::transactional::StoredOffset;
use crate::record::{Headers, ReadHeaders, Topic};
use crate::schema::ProducerRecord;

/// A record in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FakeRecord {
    /// The partition it is in.
    pub partition: i32,
    /// The key; none for null.
    pub key: Option<Vec<u8>>,
    /// The value; none for null.
    pub value: Option<Vec<u8>>,
    /// The headers.
    pub headers: Headers,
    /// Milliseconds since 1970, as the producer said; 0 if it did not.
    pub timestamp: i64,
}

impl FakeRecord {
    pub(super) fn of(partition: i32, record: &ProducerRecord) -> FakeRecord {
        FakeRecord {
            partition,
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: record.headers().clone(),
            timestamp: record.timestamp().map_or(0, |timestamp| timestamp.as_millis()),
        }
    }
}

impl ReadHeaders for FakeRecord {
    fn headers(&self) -> Headers {
        self.headers.clone()
    }

    fn leader_epoch(&self) -> Option<i32> {
        None
    }
}

/// Who writes: a producer with its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) producer: u64,
    pub(super) epoch: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Committed,
    Aborted,
    /// Its transaction is not decided, or its marker is not written.
    Open(u64),
}

struct Entry {
    /// None for a control record, which takes an offset and nobody sees.
    record: Option<FakeRecord>,
    fate: Fate,
}

#[derive(Default)]
struct Partition(Vec<Entry>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Nothing,
    Ongoing,
    /// Decided; the markers are still to be written.
    Deciding(bool),
}

/// What the coordinator knows of one transactional id.
struct Coordinated {
    writer: Writer,
    status: Status,
    partitions: BTreeSet<TopicPartition>,
    /// By group, what becomes its offset if the transaction is committed.
    offsets: BTreeMap<String, BTreeMap<TopicPartition, StoredOffset>>,
    /// When the first record or offset came.
    since: Duration,
    timeout: Duration,
    /// How the one before was decided: the same request again is answered again.
    last: Option<bool>,
}

#[derive(Default)]
pub(super) struct Broker {
    topics: BTreeMap<Topic, Vec<Partition>>,
    coordinated: BTreeMap<String, Coordinated>,
    groups: BTreeMap<String, BTreeMap<TopicPartition, StoredOffset>>,
    producers: u64,
    /// Grows whenever there may be more to read.
    pub(super) version: u64,
}

type Answer<T> = Result<T, ErrorCode>;

/// What is read from a log.
pub(super) enum Read<'a> {
    Record(i64, &'a FakeRecord),
    /// Nothing to see at this offset.
    Hidden,
    /// The log ends here for now.
    End,
}

impl Broker {
    pub(super) fn create_topic(&mut self, topic: Topic, partitions: i32) {
        self.topics.entry(topic).or_insert_with(|| (0..partitions).map(|_| Partition::default()).collect());
    }

    pub(super) fn partitions(&self, topic: Topic) -> Option<Vec<i32>> {
        Some((0..i32::try_from(self.topics.get(&topic)?.len()).ok()?).collect())
    }

    fn partition(&mut self, (topic, partition): TopicPartition) -> Answer<&mut Partition> {
        let found =
            self.topics.get_mut(&topic).and_then(|partitions| partitions.get_mut(usize::try_from(partition).ok()?));
        found.ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    fn log(&self, (topic, partition): TopicPartition) -> Answer<&[Entry]> {
        let found = self.topics.get(&topic).and_then(|partitions| partitions.get(usize::try_from(partition).ok()?));
        found.map(|partition| &partition.0[..]).ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    /// The offset after the last record that a reader may see.
    pub(super) fn end(&self, split: TopicPartition, committed: bool) -> Answer<i64> {
        let log = self.log(split)?;
        let open = log.iter().position(|entry| matches!(entry.fate, Fate::Open(_)));
        Ok(open.filter(|_| committed).unwrap_or(log.len()) as i64)
    }

    pub(super) fn read(&self, split: TopicPartition, offset: i64, committed: bool) -> Answer<Read<'_>> {
        let Some(entry) = usize::try_from(offset).ok().and_then(|offset| self.log(split).ok()?.get(offset)) else {
            return self.log(split).map(|_| Read::End);
        };
        Ok(match (&entry.record, entry.fate) {
            // In the order of the log: an open one is before everything that may not be read yet.
            _ if committed && offset >= self.end(split, true)? => Read::End,
            (Some(_), Fate::Aborted) if committed => Read::Hidden,
            (Some(record), _) => Read::Record(offset, record),
            (None, _) => Read::Hidden,
        })
    }

    /// The last record that a reader of committed records sees of a topic with one partition.
    pub(super) fn last(&self, topic: Topic) -> Option<LastRecord> {
        let split = (topic, PARTITION);
        let offsets = (0..self.end(split, true).ok()?).rev();
        let mut records = offsets.filter_map(|offset| match self.read(split, offset, true) {
            Ok(Read::Record(_, record)) => Some(record),
            _ => None,
        });
        let bytes = |bytes: &Option<Vec<u8>>| bytes.clone().unwrap_or_default();
        records.next().map(|record| LastRecord { key: bytes(&record.key), value: bytes(&record.value) })
    }

    /// Appends without a transaction.
    pub(super) fn append(&mut self, topic: Topic, record: FakeRecord) -> Answer<()> {
        self.write(topic, record, Fate::Committed)
    }

    fn write(&mut self, topic: Topic, record: FakeRecord, fate: Fate) -> Answer<()> {
        let partition = self.partition((topic, record.partition))?;
        partition.0.push(Entry { record: Some(record), fate });
        self.version += 1;
        Ok(())
    }

    /// Makes this the only producer of the id. Whatever was ongoing is aborted.
    pub(super) fn init(&mut self, id: &str, timeout: Duration) -> Answer<Writer> {
        let Some(known) = self.coordinated.get_mut(id) else {
            self.producers += 1;
            let writer = Writer { producer: self.producers, epoch: 0 };
            let (partitions, offsets, since) = (BTreeSet::new(), BTreeMap::new(), Duration::ZERO);
            let new = Coordinated { writer, status: Status::Nothing, partitions, offsets, since, timeout, last: None };
            self.coordinated.insert(id.to_owned(), new);
            return Ok(writer);
        };
        match known.status {
            Status::Nothing => {
                known.writer.epoch += 1;
                (known.timeout, known.last) = (timeout, None);
                Ok(known.writer)
            }
            Status::Ongoing => {
                // From here on the producer before is fenced, even though this one has to ask again.
                known.writer.epoch += 1;
                known.status = Status::Deciding(false);
                Err(ErrorCode::ConcurrentTransactions)
            }
            Status::Deciding(_) => Err(ErrorCode::ConcurrentTransactions),
        }
    }

    fn of(&mut self, id: &str, writer: Writer) -> Answer<&mut Coordinated> {
        let known = self.coordinated.get_mut(id).ok_or(ErrorCode::InvalidProducerEpoch)?;
        if known.writer != writer {
            return Err(ErrorCode::ProducerFenced);
        }
        match known.status {
            Status::Deciding(_) => Err(ErrorCode::ConcurrentTransactions),
            _ => Ok(known),
        }
    }

    fn join(&mut self, id: &str, writer: Writer, now: Duration) -> Answer<&mut Coordinated> {
        let known = self.of(id, writer)?;
        if known.status == Status::Nothing {
            (known.status, known.since) = (Status::Ongoing, now);
        }
        Ok(known)
    }

    /// Appends in the transaction of a producer.
    pub(super) fn produce(
        &mut self,
        (id, writer): (&str, Writer),
        topic: Topic,
        record: FakeRecord,
        now: Duration,
    ) -> Answer<()> {
        let split = (topic, record.partition);
        self.partition(split)?;
        self.join(id, writer, now)?.partitions.insert(split);
        self.write(topic, record, Fate::Open(writer.producer))
    }

    pub(super) fn add_offsets(
        &mut self,
        (id, writer): (&str, Writer),
        group: &str,
        offsets: &[StoredOffset],
        now: Duration,
    ) -> Answer<()> {
        for stored in offsets {
            self.partition((stored.topic, stored.partition))?;
        }
        let pending = self.join(id, writer, now)?.offsets.entry(group.to_owned()).or_default();
        pending.extend(offsets.iter().map(|stored| ((stored.topic, stored.partition), stored.clone())));
        Ok(())
    }

    /// Ends whatever is ongoing in this epoch.
    pub(super) fn end_transaction(&mut self, id: &str, writer: Writer, commit: bool) -> Answer<()> {
        let known = self.of(id, writer)?;
        match known.status {
            Status::Ongoing => {
                (known.status, known.last) = (Status::Deciding(commit), Some(commit));
                Ok(())
            }
            _ if known.last == Some(commit) => Ok(()),
            _ => Err(ErrorCode::InvalidTransactionalState),
        }
    }

    /// The ids whose transaction is decided, and whose markers are still to be written.
    pub(super) fn decided(&self) -> Vec<String> {
        let decided = self.coordinated.iter().filter(|(_, known)| matches!(known.status, Status::Deciding(_)));
        decided.map(|(id, _)| id.clone()).collect()
    }

    /// Writes the markers of a decided transaction.
    pub(super) fn complete(&mut self, id: &str) {
        let Some(known) = self.coordinated.get_mut(id) else { return };
        let Status::Deciding(commit) = known.status else { return };
        known.status = Status::Nothing;
        let (partitions, offsets) = (std::mem::take(&mut known.partitions), std::mem::take(&mut known.offsets));
        let (open, fate) = (Fate::Open(known.writer.producer), if commit { Fate::Committed } else { Fate::Aborted });
        for split in partitions {
            let Ok(partition) = self.partition(split) else { continue };
            partition.0.iter_mut().filter(|entry| entry.fate == open).for_each(|entry| entry.fate = fate);
            partition.0.push(Entry { record: None, fate: Fate::Committed });
        }
        for (group, offsets) in offsets.into_iter().filter(|_| commit) {
            self.groups.entry(group).or_default().extend(offsets);
        }
        self.version += 1;
    }

    /// Aborts what has taken too long, and fences who took that long.
    pub(super) fn expire(&mut self, now: Duration) {
        for known in self.coordinated.values_mut() {
            if known.status == Status::Ongoing && now >= known.since + known.timeout {
                known.writer.epoch += 1;
                known.status = Status::Deciding(false);
            }
        }
    }

    /// Whether a transaction has records or offsets and is not decided.
    pub(super) fn is_ongoing(&self, id: &str) -> bool {
        self.coordinated.get(id).is_some_and(|known| known.status != Status::Nothing)
    }

    pub(super) fn ongoing(&self) -> usize {
        self.coordinated.values().filter(|known| known.status != Status::Nothing).count()
    }

    /// Stores positions of a group without a transaction.
    pub(super) fn store_offsets(&mut self, group: &str, offsets: &[StoredOffset]) {
        let known = self.groups.entry(group.to_owned()).or_default();
        known.extend(offsets.iter().map(|stored| ((stored.topic, stored.partition), stored.clone())));
    }

    /// The positions of a group, once none of them is part of a transaction that is not decided.
    pub(super) fn offsets(&self, group: &str) -> Answer<Vec<StoredOffset>> {
        if self.coordinated.values().any(|known| known.offsets.contains_key(group)) {
            return Err(ErrorCode::UnstableOffsetCommit);
        }
        Ok(self.groups.get(group).map(|offsets| offsets.values().cloned().collect()).unwrap_or_default())
    }
}
