//! What the client handles call when their cluster is a fake one: a producer, a consumer and its lanes, each with the
//! answers and the states of librdkafka's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use stream_core::clock::Clock;
use stream_core::testing::VirtualClock;
use stream_core::thread::Waker;
use stream_core::{Result, Timestamp};

use super::broker::{Broker, FakeRecord, Read, Writer};
use super::{Cluster, NO_ANSWER, Passage, Request, named, stored};
use crate::client::connection::Connection;
use crate::client::consumer::{ConsumerHandle, Fetched, Start, TopicPartition};
use crate::client::transactional::{CallError, StoredOffset};
use crate::client::{ClientError, ErrorCode};
use crate::record::{RawRecord, TimestampType, Topic};
use crate::schema::ProducerRecord;

/// A producer handle, told when what it has sent has arrived.
pub(crate) trait Attended: Send + Sync {
    fn attend(&self);
}

/// Where a transactional producer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It has no producer id.
    New,
    Ready,
    Open,
    /// A record was lost, so the transaction can only be aborted.
    Abortable,
    /// It was fenced.
    Fatal,
}

/// What the network knows of one producer handle.
pub(super) struct Sending {
    pub(super) client: String,
    pub(super) attended: Weak<dyn Attended>,
    id: Option<String>,
    writer: Option<Writer>,
    phase: Phase,
    /// What was sent and has not arrived.
    records: BTreeMap<TopicPartition, VecDeque<FakeRecord>>,
    /// The first record that was lost.
    lost: Option<(ErrorCode, TopicPartition)>,
}

impl Sending {
    pub(super) fn splits(&self) -> impl Iterator<Item = TopicPartition> {
        self.records.keys().copied()
    }

    fn pop(&mut self, split: TopicPartition) -> Option<FakeRecord> {
        let queue = self.records.get_mut(&split)?;
        let record = queue.pop_front();
        if queue.is_empty() {
            self.records.remove(&split);
        }
        record
    }

    /// Lets the first record for a partition arrive.
    pub(super) fn deliver(&mut self, broker: &mut Broker, split: TopicPartition, now: Duration) {
        let Some(record) = self.pop(split) else { return };
        let written = match (&self.id, self.writer) {
            (Some(id), Some(writer)) => match broker.produce((id, writer), split.0, record.clone(), now) {
                Err(ErrorCode::ConcurrentTransactions) => {
                    // The one before is decided: the client tries again until its markers are written.
                    broker.complete(id);
                    broker.produce((id, writer), split.0, record, now)
                }
                written => written,
            },
            _ => broker.append(split.0, record),
        };
        match written {
            Ok(()) => {}
            Err(ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch) => self.fence(),
            Err(code) => self.note_lost(code, split),
        }
    }

    /// Loses the first record for a partition.
    pub(super) fn lose(&mut self, split: TopicPartition) {
        if self.pop(split).is_some() {
            self.note_lost(ErrorCode::MessageTimedOut, split);
        }
    }

    fn note_lost(&mut self, code: ErrorCode, split: TopicPartition) {
        self.lost.get_or_insert((code, split));
        if self.phase == Phase::Open {
            self.phase = Phase::Abortable;
        }
    }

    fn fence(&mut self) {
        self.phase = Phase::Fatal;
        self.records.clear();
    }

    /// The name and epoch of an open transaction.
    fn open(&self) -> Result<(String, Writer), ErrorCode> {
        match (self.phase, &self.id, self.writer) {
            (Phase::Open, Some(id), Some(writer)) => Ok((id.clone(), writer)),
            (Phase::Fatal, ..) => Err(ErrorCode::Fenced),
            _ => Err(ErrorCode::State),
        }
    }
}

/// The producer of one handle.
pub(crate) struct FakeProducer {
    cluster: Arc<Cluster>,
    connection: Arc<Connection>,
    client: String,
    handle: u64,
    timeout: Duration,
}

impl FakeProducer {
    /// A producer, if the settings name a fake cluster; `attended` is told when records have arrived.
    pub(crate) fn new(settings: &BTreeMap<String, String>) -> Result<Option<FakeProducer>> {
        let Some(cluster) = named(settings)? else { return Ok(None) };
        let client = settings.get("client.id").cloned().unwrap_or_default();
        let handle = {
            let mut state = cluster.lock();
            state.handles += 1;
            state.handles
        };
        let timeout = settings.get("transaction.timeout.ms").and_then(|millis| millis.parse().ok());
        let timeout = Duration::from_millis(timeout.unwrap_or(60_000));
        let made = FakeProducer { cluster, connection: Arc::new(Connection::new(settings)), client, handle, timeout };
        made.cluster.lock().producers.insert(handle, made.sending(settings));
        Ok(Some(made))
    }

    fn sending(&self, settings: &BTreeMap<String, String>) -> Sending {
        Sending {
            client: self.client.clone(),
            attended: Weak::<Nobody>::new(),
            id: settings.get("transactional.id").cloned(),
            writer: None,
            phase: Phase::New,
            records: BTreeMap::new(),
            lost: None,
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn clock(&self) -> &VirtualClock {
        &self.cluster.clock
    }

    pub(crate) fn set_attended(&self, attended: Weak<dyn Attended>) {
        self.with(|sending| sending.attended = attended);
    }

    /// None once the client is dead.
    fn with<R>(&self, f: impl FnOnce(&mut Sending) -> R) -> Option<R> {
        self.cluster.lock().producers.get_mut(&self.handle).map(f)
    }

    /// How many records were sent and have not arrived.
    pub(crate) fn outstanding(&self) -> usize {
        self.with(|sending| sending.records.values().map(VecDeque::len).sum()).unwrap_or(0)
    }

    /// The first record that was lost since the last call.
    pub(crate) fn take_lost(&self) -> Option<(ClientError, TopicPartition)> {
        let (code, split) = self.with(|sending| sending.lost.take()).flatten()?;
        Some((ClientError::MessageProduction(code), split))
    }

    /// Why the handle can't be used any more.
    pub(crate) fn fatal(&self) -> Option<ErrorCode> {
        let is_fatal = self.with(|sending| sending.phase == Phase::Fatal);
        is_fatal.unwrap_or(false).then_some(ErrorCode::Fenced)
    }

    pub(crate) fn produce(&self, topic: Topic, partition: i32, record: &ProducerRecord) -> Result<(), ClientError> {
        let network = self.cluster.network();
        let mut state = self.cluster.lock();
        let count = state.broker.partitions(topic).map_or(0, |partitions| partitions.len());
        let partition = match partition {
            // The client's own partitioner: by key, or anywhere.
            -1 => {
                let sum: usize = record.key().unwrap_or_default().iter().map(|byte| usize::from(*byte)).sum();
                i32::try_from(sum % count.max(1)).unwrap_or(0)
            }
            partition => partition,
        };
        let failed = |code| Err(ClientError::MessageProduction(code));
        let Some(sending) = state.producers.get_mut(&self.handle) else { return failed(ErrorCode::Fatal) };
        match sending.phase {
            Phase::Fatal => return failed(ErrorCode::Fatal),
            Phase::New | Phase::Ready if sending.id.is_some() => return failed(ErrorCode::State),
            _ => {}
        }
        sending.records.entry((topic, partition)).or_default().push_back(FakeRecord::of(partition, record));
        drop(state);
        if !network.holds_records() {
            self.deliver_all();
        }
        Ok(())
    }

    fn deliver_all(&self) {
        let now = self.cluster.clock.monotonic();
        let mut state = self.cluster.lock();
        let super::State { broker, producers, .. } = &mut *state;
        if let Some(sending) = producers.get_mut(&self.handle) {
            loop {
                let first = sending.splits().next();
                let Some(split) = first else { break };
                sending.deliver(broker, split, now);
            }
        }
        state.wake_readers();
    }

    /// Lets all that was sent arrive, unless the network is in the way.
    pub(crate) fn flush(&self, limit: Duration) {
        if self.outstanding() > 0 {
            let flushed = self.cluster.carry(&self.client, Request::Flush, limit, |_, _, _| Ok(()));
            if flushed.is_ok() {
                self.deliver_all();
            }
        }
    }

    pub(crate) fn partitions(&self, topic: Topic, limit: Duration) -> Result<Option<Vec<i32>>, ClientError> {
        let answer =
            self.cluster.carry(&self.client, Request::Metadata, limit, |s, _, _| Ok(s.broker.partitions(topic)));
        answer.map_err(ClientError::MetadataFetch)
    }

    pub(crate) fn init_transactions(&self, limit: Duration) -> Result<(), ClientError> {
        let Some(id) = self.with(|sending| sending.id.clone()).flatten() else {
            return Err(ClientError::Flush(ErrorCode::State));
        };
        let answer = self.cluster.carry_patiently(&self.client, Request::Init, limit, &id, |state, _, passage| {
            let writer = state.broker.init(&id, self.timeout)?;
            let sending = state.producers.get_mut(&self.handle).filter(|_| passage == Passage::Good);
            if let Some(sending) = sending {
                (sending.writer, sending.phase) = (Some(writer), Phase::Ready);
            }
            Ok(passage == Passage::Good)
        });
        match answer {
            Ok(true) => Ok(()),
            Ok(false) => Err(ClientError::Flush(NO_ANSWER)),
            Err(code) => Err(ClientError::Flush(code)),
        }
    }

    pub(crate) fn begin_transaction(&self) -> Result<(), ClientError> {
        let begun = self.with(|sending| match sending.phase {
            Phase::Ready => {
                sending.phase = Phase::Open;
                Ok(())
            }
            Phase::Fatal => Err(ErrorCode::Fenced),
            _ => Err(ErrorCode::State),
        });
        begun.unwrap_or(Err(super::DEAD)).map_err(ClientError::Flush)
    }

    /// Makes a request about the open transaction.
    fn about_transaction(
        &self,
        request: Request,
        limit: Duration,
        mut serve: impl FnMut(&mut super::State, (&str, Writer), Duration, Passage) -> Result<(), ErrorCode>,
    ) -> Result<(), CallError> {
        let refused = |code| CallError { error: ClientError::Flush(code), may_repeat: code == NO_ANSWER };
        let (id, writer) = self.with(|sending| sending.open()).unwrap_or(Err(super::DEAD)).map_err(refused)?;
        let answer = self.cluster.carry_patiently(&self.client, request, limit, &id, |state, now, passage| {
            serve(state, (&id, writer), now, passage)
        });
        answer.map_err(|code| {
            match code {
                ErrorCode::ProducerFenced | ErrorCode::InvalidProducerEpoch => {
                    self.with(Sending::fence);
                    return refused(ErrorCode::Fenced);
                }
                NO_ANSWER | super::DEAD => {}
                _ => {
                    self.with(|sending| sending.phase = Phase::Abortable);
                }
            }
            refused(code)
        })
    }

    pub(crate) fn add_offsets(&self, group: &str, offsets: &[StoredOffset], limit: Duration) -> Result<(), CallError> {
        self.about_transaction(Request::AddOffsets, limit, |state, writer, now, _| {
            state.broker.add_offsets(writer, group, offsets, now)
        })
    }

    pub(crate) fn end_transaction(&self, commit: bool, limit: Duration) -> Result<(), CallError> {
        let markers = self.cluster.network().writes_markers();
        if !commit && self.is_unknown() {
            return Ok(());
        }
        self.about_transaction(Request::EndTransaction, limit, |state, (id, writer), _, passage| {
            if matches!(passage, Passage::Late | Passage::Twice) {
                state.late.push((id.to_owned(), writer, commit));
            }
            match passage {
                Passage::Late => Ok(()),
                _ => state.end_transaction(id, writer, commit, markers),
            }
        })?;
        self.with(|sending| sending.phase = Phase::Ready);
        Ok(())
    }

    /// Prepares the end of a transaction that is given up. True if the brokers know nothing of it.
    fn is_unknown(&self) -> bool {
        let mut state = self.cluster.lock();
        let super::State { broker, producers, .. } = &mut *state;
        let Some(sending) = producers.get_mut(&self.handle) else { return false };
        sending.records.clear();
        if sending.phase == Phase::Abortable {
            sending.phase = Phase::Open;
        }
        let is_unknown = sending.phase == Phase::Open && sending.id.as_deref().is_some_and(|id| !broker.is_ongoing(id));
        if is_unknown {
            sending.phase = Phase::Ready;
        }
        is_unknown
    }

    pub(crate) fn stored_offsets(&self, group: &str, limit: Duration) -> Result<Vec<StoredOffset>, ClientError> {
        let answer =
            self.cluster.carry(&self.client, Request::Offsets, limit, |state, _, _| state.broker.offsets(group));
        answer.map_err(ClientError::OffsetFetch)
    }
}

impl Drop for FakeProducer {
    fn drop(&mut self) {
        self.cluster.lock().producers.remove(&self.handle);
    }
}

/// Until a handle is there to be told.
struct Nobody;

impl Attended for Nobody {
    fn attend(&self) {}
}

/// The consumer of one handle.
pub(crate) struct FakeConsumer {
    cluster: Arc<Cluster>,
    connection: Arc<Connection>,
    client: String,
    group: String,
    committed: bool,
    paused: Mutex<BTreeSet<TopicPartition>>,
}

impl FakeConsumer {
    /// A consumer, if the settings name a fake cluster.
    pub(crate) fn new(settings: &BTreeMap<String, String>) -> Result<Option<FakeConsumer>> {
        let Some(cluster) = named(settings)? else { return Ok(None) };
        let get = |key: &str| settings.get(key).cloned().unwrap_or_default();
        Ok(Some(FakeConsumer {
            cluster,
            connection: Arc::new(Connection::new(settings)),
            client: get("client.id"),
            group: get("group.id"),
            committed: get("isolation.level") != "read_uncommitted",
            paused: Mutex::default(),
        }))
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn clock(&self) -> &VirtualClock {
        &self.cluster.clock
    }

    pub(crate) fn partitions(&self, topic: &str, limit: Duration) -> Result<Option<Vec<i32>>, ClientError> {
        let topic = Topic::new(topic);
        let answer =
            self.cluster.carry(&self.client, Request::Metadata, limit, |s, _, _| Ok(s.broker.partitions(topic)));
        answer.map_err(ClientError::MetadataFetch)
    }

    pub(crate) fn committed(
        &self,
        splits: &[TopicPartition],
        limit: Duration,
    ) -> Result<Vec<Option<i64>>, ClientError> {
        let group = &self.group;
        let answer =
            self.cluster.carry(&self.client, Request::Offsets, limit, |state, _, _| state.broker.offsets(group));
        let stored = answer.map_err(ClientError::OffsetFetch)?;
        let find = |split: &TopicPartition| stored.iter().find(|stored| (stored.topic, stored.partition) == *split);
        Ok(splits.iter().map(|split| find(split).map(|stored| stored.offset)).collect())
    }

    pub(crate) fn watermarks(&self, split: TopicPartition, limit: Duration) -> Result<(i64, i64), ClientError> {
        let answer = self
            .cluster
            .carry(&self.client, Request::LogEnds, limit, |state, _, _| state.broker.end(split, self.committed));
        answer.map(|end| (0, end)).map_err(ClientError::MetadataFetch)
    }

    pub(crate) fn commit(&self, positions: &[(TopicPartition, i64)]) -> Option<Result<(), ClientError>> {
        let limit = Duration::from_secs(1);
        let answer = self.cluster.carry(&self.client, Request::StoreOffsets, limit, |state, _, _| {
            state.broker.store_offsets(&self.group, &stored(positions));
            Ok(())
        });
        match answer {
            Err(NO_ANSWER) => None,
            answer => Some(answer.map_err(ClientError::ConsumerCommit)),
        }
    }

    pub(crate) fn set_paused(&self, split: TopicPartition, paused: bool) {
        let mut all = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        match paused {
            true => all.insert(split),
            false => all.remove(&split),
        };
    }
}

/// The records of one subtask's partitions.
pub(crate) struct FakeLane {
    consumer: Arc<FakeConsumer>,
    handle: ConsumerHandle,
    waker: Waker,
    number: u64,
    splits: Vec<Position>,
    /// Which split is read first.
    turn: usize,
}

struct Position {
    split: TopicPartition,
    next: i64,
    /// Whether it was said that the log ends there.
    said: bool,
}

/// What was taken off a log.
enum Taken {
    Record(TopicPartition, i64, FakeRecord),
    End(TopicPartition, i64),
}

impl FakeLane {
    pub(crate) fn new(handle: ConsumerHandle, consumer: Arc<FakeConsumer>, starts: &[Start], waker: Waker) -> FakeLane {
        let number = {
            let mut state = consumer.cluster.lock();
            state.handles += 1;
            let number = state.handles;
            state.readers.insert(number, waker.clone());
            number
        };
        let splits = starts.iter().map(|start| Position { split: start.split, next: start.offset, said: false });
        FakeLane { handle, waker, number, splits: splits.collect(), turn: 0, consumer }
    }

    pub(crate) fn handle(&self) -> &ConsumerHandle {
        &self.handle
    }

    pub(crate) fn fetch(&mut self, mut each: impl FnMut(Fetched<'_>) -> Result<()>) -> Result<usize> {
        let taken = self.take();
        let count = taken.len();
        for taken in taken {
            match taken {
                Taken::End((topic, partition), offset) => each(Fetched::PartitionEnd((topic, partition), offset))?,
                Taken::Record((topic, partition), offset, record) => each(Fetched::Record(RawRecord {
                    topic,
                    partition,
                    offset,
                    timestamp: Timestamp::from_millis(record.timestamp),
                    timestamp_type: TimestampType::CreateTime,
                    key: record.key.as_deref(),
                    value: record.value.as_deref(),
                    rest: &record,
                }))?,
            }
        }
        Ok(count)
    }

    fn take(&mut self) -> Vec<Taken> {
        let FakeConsumer { cluster, client, committed, paused, .. } = &*self.consumer;
        let (mut room, mut taken) = (cluster.network().fetches(), Vec::new());
        let state = cluster.lock();
        if state.dead.contains(client) {
            return taken;
        }
        let paused = paused.lock().unwrap_or_else(PoisonError::into_inner);
        self.turn += 1;
        let count = self.splits.len();
        for index in 0..count {
            let at = &mut self.splits[(self.turn + index) % count];
            while !paused.contains(&at.split) {
                match state.broker.read(at.split, at.next, *committed) {
                    Ok(Read::Record(..) | Read::Hidden) if room == 0 => {
                        // There is more, and nobody else would say so.
                        self.waker.wake();
                        break;
                    }
                    Ok(Read::Record(offset, record)) => taken.push(Taken::Record(at.split, offset, record.clone())),
                    Ok(Read::Hidden) => {}
                    Ok(Read::End) | Err(_) => {
                        if !std::mem::replace(&mut at.said, true) {
                            taken.push(Taken::End(at.split, at.next));
                        }
                        break;
                    }
                }
                (at.next, at.said, room) = (at.next + 1, false, room - 1);
            }
        }
        taken
    }
}

impl Drop for FakeLane {
    fn drop(&mut self) {
        self.consumer.cluster.lock().readers.remove(&self.number);
    }
}
