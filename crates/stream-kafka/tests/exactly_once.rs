//! Exactly-once on a real broker: what a reader of committed records sees, however the job ends and begins again.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{LIMIT, context, ended, sorted_numbers};
use stream_core::checkpoint::MemoryStore;
use stream_core::{JobHandle, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource, ProducerRecord};
use stream_testkit::{KafkaFixture, wait_until};

/// A job that copies `from` to `to`, exactly once, with a checkpoint every 100 ms.
struct Copy<'a> {
    kafka: &'a KafkaFixture,
    store: MemoryStore,
    from: String,
    to: String,
    more: String,
}

impl<'a> Copy<'a> {
    fn new(kafka: &'a KafkaFixture, partitions: i32) -> Copy<'a> {
        let (from, to) = (kafka.topic("from", partitions), kafka.topic("to", partitions));
        Copy { kafka, store: MemoryStore::new(), from, to, more: String::new() }
    }

    fn context(&self) -> StreamingContext {
        let (servers, group) = (self.kafka.bootstrap(), self.kafka.group());
        let (Copy { from, to, more, .. }, application) = (self, self.kafka.group());
        context(&format!(
            "application.id: {application}\nexecution.checkpointing.interval: 100 ms\n\
             kafka.source:\n  bootstrap.servers: {servers}\n  topic: {from}\n  group.id: {group}\n  auto.offset.reset: earliest\n\
             kafka.sink:\n  bootstrap.servers: {servers}\n  topic: {to}\n  semantic: EXACTLY_ONCE\n{more}"
        ))
        .checkpoint_store(self.store.clone())
    }

    fn start(&self) -> (JobHandle, Arc<AtomicU64>) {
        let ctx = self.context();
        let seen = Arc::new(AtomicU64::new(0));
        let seen_by_job = seen.clone();
        let copied = KafkaSource::<String>::new(&ctx).values().uid("source").map(move |line| {
            seen_by_job.fetch_add(1, Ordering::Relaxed);
            line
        });
        KafkaSink::new(&ctx).sink(copied).uid("sink");
        (ctx.start("copy").expect("a good plan"), seen)
    }

    fn committed(&self) -> Vec<u64> {
        sorted_numbers(self.kafka.read_committed(&self.to).into_iter().map(|record| record.value))
    }
}

#[test]
fn what_is_committed_is_there_once_whenever_the_job_is_aborted() {
    let kafka = KafkaFixture::new("eos-abort");
    let job = Copy::new(&kafka, 3);
    for round in 0..4 {
        fill(&kafka, &job.from, round * 600);
        let (handle, seen) = job.start();
        wait_until("records are under way", LIMIT, || handle.is_finished() || seen.load(Ordering::Relaxed) > 0);
        if round % 2 == 1 {
            let all = (round + 1) * 600;
            wait_until("all is committed", LIMIT, || handle.is_finished() || job.committed().len() as u64 >= all);
        }
        handle.abort();
        let error = ended(&handle).expect_err("aborted");
        assert!(error.message().contains("was aborted"), "{error}");
    }
    let (handle, _) = job.start();
    wait_until("everything is committed", LIMIT, || handle.is_finished() || job.committed().len() >= 2400);
    handle.stop();
    ended(&handle).expect("the job ends well");
    assert_eq!(job.committed(), (0..2400).collect::<Vec<_>>());
    assert_eq!(kafka.lag(&kafka.group(), &job.from), [0, 0, 0], "the group has the positions, too");
}

/// 600 numbers from `first` on, over three partitions.
fn fill(kafka: &KafkaFixture, topic: &str, first: u64) {
    kafka.fill(topic, 600, move |i, out: &mut ProducerRecord| {
        out.set_value((first + i).to_string());
        out.set_partition(i32::try_from(i % 3).expect("small"));
    });
}
