//! What a [`FakeKafka`] promises, through the same handles that jobs use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::client::producer::{ProducerHandle, ProducerTopic};
use crate::schema::ProducerRecord;

const LIMIT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(10);

fn cluster() -> FakeKafka {
    let kafka = FakeKafka::new();
    kafka.create_topic("t", 1);
    kafka
}

/// A producer of the id that all tests share, ready to begin a transaction.
fn producer(kafka: &FakeKafka, client: &str) -> Arc<ProducerHandle> {
    let settings = [
        ("bootstrap.servers", kafka.bootstrap()),
        ("transactional.id", "id".to_owned()),
        ("transaction.timeout.ms", TIMEOUT.as_millis().to_string()),
        ("client.id", client.to_owned()),
    ];
    let settings: BTreeMap<String, String> = settings.map(|(key, value)| (key.to_owned(), value)).into();
    let producer = ProducerHandle::new("test", &settings, 100, false).expect("a known cluster");
    producer.init_transactions(LIMIT).expect("nobody is in the way");
    producer
}

fn begin(producer: &Arc<ProducerHandle>) -> ProducerTopic {
    producer.begin_transaction().expect("it is ready");
    producer.topic(Topic::new("t")).expect("a topic")
}

fn write(topic: &ProducerTopic, value: &str) -> bool {
    let mut record = ProducerRecord::default();
    record.set_value(value);
    topic.produce(0, &record).is_ok()
}

fn values(records: Vec<FakeRecord>) -> Vec<String> {
    records.into_iter().map(|record| String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned()).collect()
}

fn marker(metadata: &str) -> StoredOffset {
    StoredOffset { topic: Topic::new("t"), partition: 0, offset: 0, metadata: metadata.to_owned() }
}

#[test]
fn readers_of_committed_records_stop_at_an_open_transaction_and_skip_an_aborted_one() {
    let kafka = cluster();
    let first = producer(&kafka, "a");
    let topic = begin(&first);
    assert!(write(&topic, "aborted"));
    kafka.append("t", 0, "", "after it");
    assert_eq!(values(kafka.read_uncommitted("t")), ["aborted", "after it"]);
    assert_eq!(values(kafka.read_committed("t")), [""; 0]);
    first.abort_transaction(LIMIT).expect("it is open");
    assert_eq!(values(kafka.read_committed("t")), ["after it"]);
    let topic = begin(&first);
    assert!(write(&topic, "committed"));
    first.commit_transaction(LIMIT).expect("it is open");
    assert_eq!(values(kafka.read_committed("t")), ["after it", "committed"]);
}

#[test]
fn a_new_producer_of_an_id_fences_the_one_before_and_aborts_what_it_had() {
    let kafka = cluster();
    let old = producer(&kafka, "a");
    let topic = begin(&old);
    assert!(write(&topic, "old"));
    let new = producer(&kafka, "b");
    let refused = old.commit_transaction(LIMIT).expect_err("it is fenced");
    assert!(!refused.may_repeat);
    assert_eq!(old.flush_now().expect_err("for good").kind(), ErrorKind::Fenced);
    assert!(!write(&topic, "more"));
    let topic = begin(&new);
    assert!(write(&topic, "new"));
    new.commit_transaction(LIMIT).expect("it is the newest");
    assert_eq!(values(kafka.read_committed("t")), ["new"]);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() {
    let kafka = cluster();
    let producer = producer(&kafka, "a");
    let topic = begin(&producer);
    assert!(write(&topic, "slow"));
    kafka.clock().advance(TIMEOUT);
    assert!(producer.commit_transaction(LIMIT).is_err());
    assert_eq!(kafka.deliver(0), Some("markers"));
    assert_eq!((values(kafka.read_committed("t")), kafka.open_transactions()), (Vec::new(), 0));
}

#[test]
fn offsets_in_a_transaction_count_with_it_and_make_readers_wait() {
    let kafka = cluster();
    let producer = producer(&kafka, "a");
    begin(&producer);
    producer.add_offsets("g", &[marker("one")], LIMIT).expect("it is open");
    let waits = producer.stored_offsets("g", LIMIT).expect_err("not decided").rdkafka_error_code();
    assert_eq!(waits, Some(ErrorCode::UnstableOffsetCommit));
    producer.commit_transaction(LIMIT).expect("it is open");
    assert_eq!(producer.stored_offsets("g", LIMIT).ok(), Some(vec![marker("one")]));
    begin(&producer);
    producer.add_offsets("g", &[marker("two")], LIMIT).expect("it is open");
    producer.abort_transaction(LIMIT).expect("it is open");
    assert_eq!(producer.stored_offsets("g", LIMIT).ok(), Some(vec![marker("one")]));
}

/// What becomes of the next request to end a transaction.
struct Ends(Mutex<Option<Passage>>);

impl Network for Ends {
    fn carry(&self, _client: &str, request: Request) -> Passage {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        next.take_if(|_| request == Request::EndTransaction).unwrap_or(Passage::Good)
    }
}

/// Whether a commit was answered, whether a repeated one is, and what is visible after each, under this passage.
fn committed_under(passage: Passage) -> (bool, usize, bool, usize) {
    let kafka = cluster();
    let producer = producer(&kafka, "a");
    let topic = begin(&producer);
    assert!(write(&topic, "x"));
    kafka.set_network(Arc::new(Ends(Mutex::new(Some(passage)))));
    let commit = || {
        let answered = producer.commit_transaction(LIMIT);
        assert!(answered.as_ref().err().is_none_or(|failed| failed.may_repeat));
        (answered.is_ok(), kafka.read_committed("t").len())
    };
    let (first, seen) = commit();
    let (second, seen_then) = if first { (true, seen) } else { commit() };
    (first, seen, second, seen_then)
}

#[test]
fn a_commit_without_an_answer_may_be_repeated() {
    assert_eq!(committed_under(Passage::Good), (true, 1, true, 1));
    assert_eq!(committed_under(Passage::RequestLost), (false, 0, true, 1));
    assert_eq!(committed_under(Passage::AnswerLost), (false, 1, true, 1));
    assert_eq!(committed_under(Passage::Late), (false, 0, true, 1));
}

/// What is visible when a request to commit arrives once more while the next transaction is open.
fn torn(with_new_epoch: bool) -> Vec<String> {
    let kafka = cluster();
    let mut producer_of = producer(&kafka, "a");
    let topic = begin(&producer_of);
    assert!(write(&topic, "whole"));
    kafka.set_network(Arc::new(Ends(Mutex::new(Some(Passage::Twice)))));
    producer_of.commit_transaction(LIMIT).expect("it is answered");
    if with_new_epoch {
        producer_of = producer(&kafka, "a");
    }
    let topic = begin(&producer_of);
    assert!(write(&topic, "half"));
    assert!(kafka.deliver(0).is_some());
    values(kafka.read_committed("t"))
}

#[test]
fn a_late_request_ends_the_transaction_of_its_epoch_whichever_it_is() {
    assert_eq!(torn(false), ["whole", "half"]);
    assert_eq!(torn(true), ["whole"]);
}

#[test]
fn the_dead_are_refused_everything() {
    let kafka = cluster();
    let producer = producer(&kafka, "a");
    let topic = begin(&producer);
    assert!(write(&topic, "x"));
    kafka.kill("a");
    assert!(!write(&topic, "y"));
    assert!(!producer.commit_transaction(LIMIT).expect_err("it is dead").may_repeat);
    assert_eq!(values(kafka.read_uncommitted("t")), ["x"]);
}
