//! The limit to compare with: W1, W4 and W5 as a bare loop round librdkafka, without an engine.
//!
//! Batch queue in, produce out, flush and commit once a second; the same client settings that a careful person
//! would choose. What it leaves out is what an engine is for: windows and counts are in maps that die with the process.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::time::{Duration, Instant};

use rdkafka::bindings as rd;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use crate::copy::{Copied, Copy};
use crate::usage::now_ms;

const BATCH: usize = 2000;
const LIMIT: Duration = Duration::from_secs(30);

/// What is done with a record.
#[derive(Default)]
pub enum Work {
    /// W1: it is copied.
    #[default]
    Copy,
    /// W4: it is counted.
    Auctions(Auctions),
    /// W5: it is counted, too.
    Bidders(Bidders),
}

/// W5 by hand: a running count per bidder.
#[derive(Default)]
pub struct Bidders {
    counts: hashbrown::HashMap<u64, u64>,
    row: Vec<u8>,
}

impl Bidders {
    /// Takes in a bid; a row if it is every fourth one of its bidder. One that can't be read is left out.
    pub fn add(&mut self, value: &[u8]) -> Option<&[u8]> {
        #[derive(serde::Deserialize)]
        struct Bid {
            bidder: u64,
        }
        let Bid { bidder } = serde_json::from_slice(value).ok()?;
        let count = self.counts.entry(bidder).or_default();
        *count += 1;
        if !count.is_multiple_of(4) {
            return None;
        }
        self.row.clear();
        // Writing to a Vec can't fail.
        let _ = write!(self.row, r#"{{"bidder":{bidder},"count":{count}}}"#);
        Some(&self.row)
    }
}

/// Count and greatest price, by auction.
type Counts = HashMap<u64, (u64, u64)>;

/// W4 by hand: count and greatest price per auction in windows of ten seconds of event time.
#[derive(Default)]
pub struct Auctions {
    /// By the start of the window and the auction.
    windows: BTreeMap<i64, Counts>,
    /// By partition, the newest time.
    newest: HashMap<i32, i64>,
    row: Vec<u8>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bid {
    auction: u64,
    price: u64,
    date_time: i64,
}

const WINDOW: i64 = 10_000;

/// How far the watermark is behind.
const DELAY: i64 = 2_000;

impl Auctions {
    /// Takes in a bid; one that can't be read is left out.
    pub fn add(&mut self, partition: i32, value: &[u8]) {
        let Ok(bid) = serde_json::from_slice::<Bid>(value) else { return };
        let start = bid.date_time.div_euclid(WINDOW) * WINDOW;
        let (count, max) = self.windows.entry(start).or_default().entry(bid.auction).or_default();
        (*count, *max) = (*count + 1, bid.price.max(*max));
        let newest = self.newest.entry(partition).or_insert(i64::MIN);
        *newest = bid.date_time.max(*newest);
    }

    /// The windows that are complete if there are so many partitions; all of them at the end.
    fn complete(&mut self, partitions: usize, is_end: bool) -> Vec<(i64, Counts)> {
        let slowest = self.newest.values().min().copied().filter(|_| self.newest.len() == partitions);
        let watermark = if is_end { i64::MAX } else { slowest.unwrap_or(i64::MIN).saturating_sub(DELAY + 1) };
        let mut complete = Vec::new();
        while let Some(first) = self.windows.first_entry().filter(|first| first.key() + WINDOW - 1 <= watermark) {
            complete.push(first.remove_entry());
        }
        complete
    }

    /// Hands the rows of the windows that are complete to `send`.
    ///
    /// # Errors
    /// What `send` says.
    pub fn rows<E>(
        &mut self,
        partitions: usize,
        is_end: bool,
        mut send: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (start, auctions) in self.complete(partitions, is_end) {
            for (auction, (count, max)) in auctions {
                self.row.clear();
                // Writing to a Vec can't fail.
                let _ = write!(self.row, r#"{{"auction":{auction},"start":{start},"count":{count},"max":{max}}}"#);
                send(&self.row)?;
            }
        }
        Ok(())
    }
}

/// Works with one thread of ours.
///
/// # Errors
/// What the client says.
pub fn run(copy: &Copy, work: Work, partitions: i32, events: u64) -> Result<Copied, KafkaError> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &copy.bootstrap)
        .set("group.id", &copy.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("queued.min.messages", "100000")
        .set("queued.max.messages.kbytes", "65536")
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &copy.bootstrap)
        .set("linger.ms", "20")
        .set("sticky.partitioning.linger.ms", "20")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", "131072")
        .set("enable.idempotence", "true")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(&copy.from, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let interval = Duration::from_millis(copy.commit_ms);
    let mut run = Loop { copy, work, consumer, producer, next: vec![0; list.count()], records: 0, first_ms: 0 };
    let mut due = Instant::now() + interval;
    while run.records < events {
        run.batch()?;
        run.windows(false)?;
        if Instant::now() >= due {
            run.commit()?;
            due = Instant::now() + interval;
        }
    }
    run.windows(true)?;
    run.commit()?;
    Ok(Copied { records: run.records, first_ms: run.first_ms })
}

struct Loop<'a> {
    copy: &'a Copy,
    work: Work,
    consumer: BaseConsumer,
    producer: BaseProducer,
    next: Vec<i64>,
    records: u64,
    first_ms: u64,
}

impl Loop<'_> {
    fn batch(&mut self) -> Result<(), KafkaError> {
        let mut messages = [std::ptr::null_mut(); BATCH];
        // SAFETY: the handle is alive, the array has room for BATCH pointers; the queue reference is given back.
        let taken = unsafe {
            let queue = rd::rd_kafka_queue_get_consumer(self.consumer.client().native_ptr());
            let taken = rd::rd_kafka_consume_batch_queue(queue, 20, messages.as_mut_ptr(), BATCH);
            rd::rd_kafka_queue_destroy(queue);
            usize::try_from(taken).unwrap_or(0)
        };
        if taken > 0 && self.first_ms == 0 {
            self.first_ms = u64::try_from(now_ms()).unwrap_or(0);
        }
        // Apart from the loop while it sends.
        let mut work = std::mem::take(&mut self.work);
        let result = self.messages(&messages[..taken], &mut work);
        self.work = work;
        result
    }

    fn messages(&mut self, messages: &[*mut rd::rd_kafka_message_t], work: &mut Work) -> Result<(), KafkaError> {
        for &message in messages {
            // SAFETY: librdkafka has written `taken` valid messages, each destroyed once, after its last use.
            unsafe {
                if (*message).err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let code = (*message).err;
                    rd::rd_kafka_message_destroy(message);
                    return Err(KafkaError::MessageConsumption(code.into()));
                }
                let value = std::slice::from_raw_parts((*message).payload.cast::<u8>(), (*message).len);
                self.next[usize::try_from((*message).partition).unwrap_or(0)] = (*message).offset + 1;
                match work {
                    Work::Copy => self.send(value)?,
                    Work::Auctions(auctions) => auctions.add((*message).partition, value),
                    Work::Bidders(bidders) => bidders.add(value).map_or(Ok(()), |row| self.send(row))?,
                }
                rd::rd_kafka_message_destroy(message);
            }
            self.records += 1;
        }
        Ok(())
    }

    /// Writes the windows that are complete.
    fn windows(&mut self, is_end: bool) -> Result<(), KafkaError> {
        let Work::Auctions(auctions) = &mut self.work else { return Ok(()) };
        let mut auctions = std::mem::take(auctions);
        let written = auctions.rows(self.next.len(), is_end, |row| self.send(row));
        self.work = Work::Auctions(auctions);
        written
    }

    fn send(&self, value: &[u8]) -> Result<(), KafkaError> {
        let mut record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&self.copy.to).payload(value);
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(Duration::from_millis(5));
                    record = back;
                }
                Err((error, _)) => return Err(error),
            }
        }
        if self.records.is_multiple_of(1024) {
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), KafkaError> {
        self.producer.flush(LIMIT)?;
        let mut list = TopicPartitionList::new();
        for (partition, next) in (0..).zip(&self.next) {
            list.add_partition_offset(&self.copy.from, partition, Offset::Offset(*next))?;
        }
        self.consumer.commit(&list, CommitMode::Sync)
    }
}
