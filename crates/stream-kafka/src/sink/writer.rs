//! The loop of one sink subtask: choose partitions for the batch, encode, hand over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};
use stream_core::thread::Waker;
use stream_core::{Barrier, Batch, Error, ErrorKind, Record, Result, SinkContext, SinkWriter, StagedWriter};

use crate::client::producer::{ProducerHandle, ProducerTopic, Refused};
use crate::client::rights::Right;
use crate::dev;
use crate::keys::EngineSettings;
use crate::partitioner::{KafkaPartitioner, TopicPartitioner};
use crate::record::Topic;
use crate::schema::{ProducerRecord, SerializationSchema};
use crate::transactions::log::{self, LogPlace};
use crate::transactions::{Lane, RecordBuffer};
use crate::waiting::{Limit, Question, Signs, wait_for};

/// How long to wait between two tries when the send queue is full.
const FULL: Duration = Duration::from_millis(2);

/// Stands for "the client library's partitioner decides".
const BY_CLIENT: i32 = -1;

pub(super) struct KafkaWriter<T, S, P> {
    schema: S,
    partitioner: Arc<P>,
    default_topic: Topic,
    topics: BTreeMap<Topic, TopicState<T>>,
    record: ProducerRecord,
    chosen: Vec<i32>,
    /// How many records of the batch were handed over.
    done: usize,
    flush: Flush,
    client_partitions: bool,
    connect: Connect,
    output: Output,
    /// The epoch that has ended, until it is flushed.
    ended: u64,
}

/// Where records go.
pub(super) enum Output {
    /// Straight to the sink's own producer.
    Direct(Arc<ProducerHandle>),
    /// Into the job's transaction.
    Transaction(Box<Lane>),
    /// Into the log of the epoch; the producer is asked for partitions only.
    Log(RecordBuffer, Arc<ProducerHandle>),
}

/// What it takes to find a topic's partitions.
struct Connect {
    brokers: String,
    is_dev: bool,
    max_block: Duration,
    waker: Waker,
    subtask: usize,
    parallelism: usize,
}

struct TopicState<T> {
    /// None in a transaction, where the lane has it.
    topic: Option<ProducerTopic>,
    partitions: Vec<i32>,
    partitioner: Box<dyn TopicPartitioner<T>>,
    /// Bytes written, where the broker is one that keeps little.
    volume: Option<dev::Volume>,
}

/// Where this subtask is with its last barrier.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flush {
    Done,
    /// Records wait for the transaction of their epoch; the flag says whether nothing follows.
    Draining(bool),
    /// Waits for this round of the shared producer; the flag says whether nothing follows it.
    Waiting(u64, bool),
}

impl<T, S, P> KafkaWriter<T, S, P>
where
    T: Record,
    S: SerializationSchema<T>,
    P: KafkaPartitioner<T>,
{
    #[expect(clippy::too_many_arguments, reason = "the parts of one sink, put together in one place")]
    pub(super) fn new(
        topic: Topic,
        brokers: String,
        engine: &EngineSettings,
        is_dev: bool,
        client_partitions: bool,
        schema: S,
        partitioner: Arc<P>,
        output: Output,
        context: &SinkContext,
    ) -> Result<KafkaWriter<T, S, P>> {
        let connect = Connect {
            brokers,
            is_dev,
            max_block: engine.max_block,
            waker: context.waker.clone(),
            subtask: context.operator.subtask(),
            parallelism: context.operator.parallelism(),
        };
        let state = connect.open(&output, topic, &*partitioner, &|| context.is_stopping())?;
        Ok(KafkaWriter {
            schema,
            partitioner,
            default_topic: topic,
            topics: BTreeMap::from([(topic, state)]),
            record: ProducerRecord::default(),
            chosen: Vec::new(),
            done: 0,
            flush: Flush::Done,
            client_partitions,
            connect,
            output,
            ended: 0,
        })
    }

    /// Encodes one record and hands it over.
    #[inline]
    fn send(&mut self, value: &T, index: usize, timestamp: Option<stream_core::Timestamp>) -> Result<()> {
        self.record.reset(timestamp);
        self.schema.serialize(value, &mut self.record).map_err(|e| {
            let message = format!("can't encode a record for topic `{}`: {e}", self.default_topic);
            Error::new(ErrorKind::Data, message)
        })?;
        let topic = self.record.topic().unwrap_or(self.default_topic);
        let state = match self.topics.entry(topic) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(self.connect.open(&self.output, topic, &*self.partitioner, &|| false)?)
            }
        };
        let partition = match self.record.partition() {
            Some(partition) => partition,
            None if topic == self.default_topic => self.chosen[index],
            None if self.client_partitions => BY_CLIENT,
            None => {
                let mut one = Vec::with_capacity(1);
                state.partitioner.assign(std::slice::from_ref(value), &state.partitions, &mut one);
                one[0]
            }
        };
        if let Some(volume) = &state.volume {
            volume.add(self.record.bytes())?;
        }
        match (&mut self.output, &state.topic) {
            (Output::Transaction(lane), _) => lane.send(topic, partition, &self.record),
            (Output::Log(log, _), _) => {
                log.push(topic, partition, &self.record);
                Ok(())
            }
            (Output::Direct(producer), Some(topic)) => match topic.produce(partition, &self.record) {
                Ok(()) => Ok(()),
                Err(Refused::Failed(error)) => Err(error),
                Err(Refused::Full) => self.connect.send_when_there_is_room(producer, topic, partition, &self.record),
            },
            (Output::Direct(_), None) => Err(Error::internal("a topic was opened without a handle")),
        }
    }
}

/// The partitions of a topic that a sink writes to.
pub(super) fn find_partitions(
    producer: &ProducerHandle,
    topic: Topic,
    brokers: &str,
    limit: Limit,
    stopping: &dyn Fn() -> bool,
) -> Result<Vec<i32>> {
    let what = format!("can't read the partitions of `{topic}`");
    let name = topic.as_str();
    let question = Question { what: &what, brokers, account: producer.account(), right: Right::Write, topic: name };
    let (time, trouble, refused) = (producer.time(), || producer.trouble(), || producer.is_refused());
    let signs = Signs { time: &time, trouble: &trouble, refused: &refused };
    let found = wait_for(&question, limit, stopping, &signs, |patience| producer.partitions(topic, patience))?;
    found.ok_or_else(|| {
        Error::new(ErrorKind::Config, format!("no such topic on {brokers}: `{topic}`"))
            .with_hint("create it first; topics are not created by writing to them")
    })
}

impl Output {
    fn producer(&self) -> &Arc<ProducerHandle> {
        match self {
            Output::Direct(producer) | Output::Log(_, producer) => producer,
            Output::Transaction(lane) => lane.producer(),
        }
    }

    /// Whether nothing waits for the transaction that it belongs to.
    fn open(&mut self) -> Result<bool> {
        match self {
            Output::Direct(_) | Output::Log(..) => Ok(true),
            Output::Transaction(lane) => lane.open(),
        }
    }
}

impl Connect {
    fn open<T, P: KafkaPartitioner<T>>(
        &self,
        output: &Output,
        topic: Topic,
        partitioner: &P,
        stopping: &dyn Fn() -> bool,
    ) -> Result<TopicState<T>> {
        let limit = Limit { time: self.max_block, key: "max.block.ms" };
        let partitions = find_partitions(output.producer(), topic, &self.brokers, limit, stopping)?;
        let partitioner = partitioner.for_topic(topic.as_str(), self.subtask, self.parallelism);
        let volume = self.is_dev.then(|| dev::Volume::of(topic));
        let topic = match output {
            Output::Direct(producer) => Some(producer.topic(topic)?),
            Output::Transaction(_) | Output::Log(..) => None,
        };
        Ok(TopicState { topic, partitions, partitioner, volume })
    }

    /// The queue filled up in the middle of a batch, in spite of the room there was: other subtasks fill it too.
    #[cold]
    fn send_when_there_is_room(
        &self,
        producer: &ProducerHandle,
        topic: &ProducerTopic,
        partition: i32,
        record: &ProducerRecord,
    ) -> Result<()> {
        let clock = SystemClock::new();
        while clock.monotonic() < self.max_block {
            self.waker.park(FULL);
            producer.check()?;
            match topic.produce(partition, record) {
                Ok(()) => return Ok(()),
                Err(Refused::Failed(error)) => return Err(error),
                Err(Refused::Full) => {}
            }
        }
        let message = format!("the send queue was full for {:?}", self.max_block);
        let hint = "the brokers take less than the job writes, or none answers; max.block.ms sets how long to wait";
        Err(Error::new(ErrorKind::Unavailable, message).with_hint(hint))
    }
}

impl<T, S, P> SinkWriter<T> for KafkaWriter<T, S, P>
where
    T: Record,
    S: SerializationSchema<T>,
    P: KafkaPartitioner<T>,
{
    fn write(&mut self, batch: &mut Batch<T>) -> Result<()> {
        // At once, not only at the next barrier: there may be none before the end.
        self.output.producer().check()?;
        self.done = 0;
        self.chosen.clear();
        if self.client_partitions {
            self.chosen.resize(batch.len(), BY_CLIENT);
        } else if let Some(state) = self.topics.get_mut(&self.default_topic) {
            state.partitioner.assign(batch.records(), &state.partitions, &mut self.chosen);
        }
        if self.chosen.len() != batch.len() {
            let (made, wanted) = (self.chosen.len(), batch.len());
            let error =
                Error::new(ErrorKind::User, format!("the partitioner chose {made} partitions for {wanted} records"));
            return Err(error.with_hint("add exactly one partition per record to `chosen`"));
        }
        for (index, value) in batch.records().iter().enumerate() {
            self.send(value, index, batch.timestamp(index))?;
            self.done += 1;
        }
        Ok(())
    }

    fn room(&self) -> bool {
        match &self.output {
            Output::Direct(producer) => producer.has_room(),
            Output::Transaction(lane) => lane.has_room(),
            Output::Log(..) => true,
        }
    }

    fn resume(&mut self) -> Result<()> {
        self.output.open().map(|_| ())
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.ended = barrier.epoch;
        self.flush = Flush::Draining(false);
        self.flushed().map(|_| ())
    }

    fn end(&mut self) -> Result<()> {
        self.flush = Flush::Draining(true);
        self.flushed().map(|_| ())
    }

    fn flushed(&mut self) -> Result<bool> {
        if let Flush::Draining(is_last) = self.flush {
            if !self.output.open()? {
                return Ok(false);
            }
            self.flush = Flush::Waiting(self.output.producer().arrive(), is_last);
        }
        let Flush::Waiting(round, is_last) = self.flush else { return Ok(true) };
        let flushed = self.output.producer().flushed(round)?;
        if flushed {
            self.flush = Flush::Done;
            match (&mut self.output, is_last) {
                (output, true) => output.producer().leave(),
                (Output::Transaction(lane), false) => lane.close(self.ended),
                (Output::Direct(_) | Output::Log(..), false) => {}
            }
        }
        Ok(flushed)
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.done)
    }
}

/// Keeps the records of a sink on another cluster in the log of their epoch.
pub(super) struct LogWriter<T, S, P> {
    writer: KafkaWriter<T, S, P>,
    generation: u64,
}

impl<T, S, P> LogWriter<T, S, P> {
    pub(super) fn new(writer: KafkaWriter<T, S, P>, generation: u64) -> LogWriter<T, S, P> {
        LogWriter { writer, generation }
    }
}

impl<T, S, P> StagedWriter<T> for LogWriter<T, S, P>
where
    T: Record,
    S: SerializationSchema<T>,
    P: KafkaPartitioner<T>,
{
    fn write(&mut self, batch: &mut Batch<T>) -> Result<()> {
        self.writer.write(batch)
    }

    fn stage(&mut self, epoch: u64) -> Result<Option<Vec<u8>>> {
        let place = LogPlace { generation: self.generation, epoch };
        match &mut self.writer.output {
            Output::Log(records, _) => Ok(log::staged(place, records)),
            Output::Direct(_) | Output::Transaction(_) => Err(Error::internal("a log was opened without a buffer")),
        }
    }

    fn failed_at(&self) -> Option<usize> {
        self.writer.failed_at()
    }
}
