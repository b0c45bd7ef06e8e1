//! [`Lane`]: how one subtask writes into the job's transaction.
//!
//! The transaction of an epoch is closed between the barrier and the commit. What a subtask writes meanwhile belongs to
//! the next one, so it waits here, up to a number of bytes; beyond that the subtask takes no input.
//!
//! ```text
//!   open ── barrier ──▶ closed ── epoch decided ──▶ draining ── nothing left ──▶ open
//!   to the producer     to the buffer               buffer to producer
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};
use stream_core::thread::Waker;
use stream_core::{Error, ErrorKind, Released, Result};

use super::Cluster;
use super::buffer::RecordBuffer;
#[cfg(test)]
use super::simulation::{Bug, is_planted};
use crate::client::producer::{ProducerHandle, ProducerTopic, Refused};
use crate::record::Topic;
use crate::schema::ProducerRecord;

/// How many bytes of the next epoch one subtask keeps. At 100 ms of closed time that is 80 MB/s.
const BUFFER: usize = 8 << 20;

/// How long to wait between two tries when the send queue is full.
const FULL: Duration = Duration::from_millis(2);

/// The end of one subtask's writes.
pub(crate) struct Lane {
    /// None where there are no transactions: then the lane is always open.
    cluster: Option<Arc<Cluster>>,
    producer: Arc<ProducerHandle>,
    topics: Topics,
    released: Released,
    /// The epoch that has ended here and is not known to be decided.
    closed: Option<u64>,
    buffer: RecordBuffer,
    scratch: ProducerRecord,
    /// Wakes the subtask.
    waker: Waker,
    max_block: Duration,
}

impl Lane {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        producer: Arc<ProducerHandle>,
        released: Released,
        waker: Waker,
        max_block: Duration,
    ) -> Lane {
        Lane { cluster: Some(cluster), released, ..Lane::direct(producer, waker, max_block) }
    }

    /// Writes without transactions.
    pub(crate) fn direct(producer: Arc<ProducerHandle>, waker: Waker, max_block: Duration) -> Lane {
        Lane {
            cluster: None,
            producer,
            topics: Topics::default(),
            released: Arc::new(|_| true),
            closed: None,
            buffer: RecordBuffer::default(),
            scratch: ProducerRecord::default(),
            waker,
            max_block,
        }
    }

    /// The producer that the lane writes to now.
    pub(crate) fn producer(&self) -> &Arc<ProducerHandle> {
        &self.producer
    }

    /// What is written from here on belongs to the next epoch.
    pub(crate) fn close(&mut self, epoch: u64) {
        #[cfg(test)]
        if is_planted(Bug::LaneStaysOpen) {
            return;
        }
        self.closed = self.cluster.is_some().then_some(epoch);
    }

    /// Whether there is room for a batch; if not, the subtask is woken when there is.
    pub(crate) fn has_room(&self) -> bool {
        match self.closed {
            None => self.producer.has_room(),
            Some(_) => self.buffer.bytes() < BUFFER,
        }
    }

    /// Goes on with what waits, if it may. True if nothing waits any more.
    ///
    /// # Errors
    /// The producer has failed, or a record can't be sent.
    pub(crate) fn open(&mut self) -> Result<bool> {
        let Some(epoch) = self.closed else { return Ok(true) };
        if !(self.released)(epoch) {
            return Ok(false);
        }
        self.renew()?;
        let (topics, producer, scratch) = (&mut self.topics, &self.producer, &mut self.scratch);
        self.buffer.drain(scratch, |topic, partition, record| {
            match topics.get(producer, topic)?.produce(partition, record) {
                Ok(()) => Ok(true),
                Err(Refused::Full) => Ok(false),
                Err(Refused::Failed(error)) => Err(error),
            }
        })?;
        if self.buffer.is_empty() {
            self.closed = None;
            return Ok(true);
        }
        self.producer.check()?;
        // Asked for, so that the subtask is woken.
        self.producer.has_room();
        Ok(false)
    }

    /// Goes on with what waits, as long as that takes.
    ///
    /// # Errors
    /// As [`Lane::open`]; `Unavailable` if the send queue stays full.
    pub(crate) fn open_in_time(&mut self) -> Result<()> {
        let clock = SystemClock::new();
        while !self.open()? {
            if clock.monotonic() >= self.max_block {
                return Err(self.full());
            }
            self.waker.park(FULL);
        }
        Ok(())
    }

    /// The transaction that follows may have another producer.
    fn renew(&mut self) -> Result<()> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let current = cluster.producer()?;
        if !Arc::ptr_eq(&current, &self.producer) {
            self.topics = Topics::default();
            self.producer = current;
        }
        Ok(())
    }

    /// Writes a record into the transaction of its epoch.
    ///
    /// # Errors
    /// It can't be sent, or the send queue stays full.
    #[inline]
    pub(crate) fn send(&mut self, topic: Topic, partition: i32, record: &ProducerRecord) -> Result<()> {
        if self.closed.is_some() {
            self.buffer.push(topic, partition, record);
            return Ok(());
        }
        let sent = self.topics.get(&self.producer, topic)?.produce(partition, record);
        match sent {
            Ok(()) => Ok(()),
            Err(Refused::Failed(error)) => Err(error),
            Err(Refused::Full) => self.send_when_there_is_room(topic, partition, record),
        }
    }

    /// The queue filled up in the middle of a batch, in spite of the room there was: other subtasks fill it, too.
    #[cold]
    fn send_when_there_is_room(&mut self, topic: Topic, partition: i32, record: &ProducerRecord) -> Result<()> {
        let clock = SystemClock::new();
        while clock.monotonic() < self.max_block {
            self.waker.park(FULL);
            self.producer.check()?;
            match self.topics.get(&self.producer, topic)?.produce(partition, record) {
                Ok(()) => return Ok(()),
                Err(Refused::Failed(error)) => return Err(error),
                Err(Refused::Full) => {}
            }
        }
        Err(self.full())
    }

    fn full(&self) -> Error {
        let message = format!("the send queue was full for {:?}", self.max_block);
        let hint = "the brokers take less than the job writes, or none answers; max.block.ms sets how long to wait";
        Error::new(ErrorKind::Unavailable, message).with_hint(hint)
    }
}

/// The topics of one producer.
#[derive(Default)]
struct Topics {
    known: BTreeMap<Topic, usize>,
    handles: Vec<ProducerTopic>,
    /// That of the record before: records come in runs.
    last: Option<(Topic, usize)>,
}

impl Topics {
    #[inline]
    fn get(&mut self, producer: &Arc<ProducerHandle>, topic: Topic) -> Result<&ProducerTopic> {
        let index = match self.last {
            Some((last, index)) if last == topic => index,
            _ => self.find(producer, topic)?,
        };
        Ok(&self.handles[index])
    }

    fn find(&mut self, producer: &Arc<ProducerHandle>, topic: Topic) -> Result<usize> {
        let index = match self.known.get(&topic) {
            Some(index) => *index,
            None => {
                self.handles.push(producer.topic(topic)?);
                self.known.insert(topic, self.handles.len() - 1);
                self.handles.len() - 1
            }
        };
        self.last = Some((topic, index));
        Ok(index)
    }
}
