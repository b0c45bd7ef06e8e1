//! The limit to compare with: W1 as a bare loop round librdkafka, without an engine.
//!
//! Batch queue in, produce out, flush and commit once a second; the same client settings that a careful person
//! would choose. What it leaves out is what an engine is for.

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

/// Copies with one thread of ours.
///
/// # Errors
/// What the client says.
pub fn run(copy: &Copy, partitions: i32, events: u64) -> Result<Copied, KafkaError> {
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
    let mut run = Loop { copy, consumer, producer, next: vec![0; list.count()], records: 0, first_ms: 0 };
    let mut due = Instant::now() + interval;
    while run.records < events {
        run.batch()?;
        if Instant::now() >= due {
            run.commit()?;
            due = Instant::now() + interval;
        }
    }
    run.commit()?;
    Ok(Copied { records: run.records, first_ms: run.first_ms })
}

struct Loop<'a> {
    copy: &'a Copy,
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
        for &message in &messages[..taken] {
            // SAFETY: librdkafka has written `taken` valid messages, each destroyed once, after its last use.
            unsafe {
                if (*message).err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    let code = (*message).err;
                    rd::rd_kafka_message_destroy(message);
                    return Err(KafkaError::MessageConsumption(code.into()));
                }
                let value = std::slice::from_raw_parts((*message).payload.cast::<u8>(), (*message).len);
                self.next[usize::try_from((*message).partition).unwrap_or(0)] = (*message).offset + 1;
                self.send(value)?;
                rd::rd_kafka_message_destroy(message);
            }
            self.records += 1;
        }
        Ok(())
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
