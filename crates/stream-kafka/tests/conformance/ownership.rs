//! D, whose transactions a run ends: what of scenarios 49 to 58 is left where a job has one transactional id, whatever its
//! parallelism.

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stream_core::ErrorKind;
use stream_testkit::KafkaFixture;

use crate::common::copy::{Copy, Point, at};

#[test]
fn s049_fewer_subtasks_end_the_transaction_of_all_that_were_there() {
    let kafka = KafkaFixture::new("s049");
    Copy::new(&kafka, "s049").chain(&[at(4), at(2), at(2)]);
}

#[test]
fn s050_a_transaction_of_a_job_whose_name_begins_alike_is_left_alone() {
    let kafka = KafkaFixture::new("s050");
    let (job, other) = (Copy::new(&kafka, "orders"), Copy::new(&kafka, "orders-eu"));
    let bystander = other.start(&at(2));
    other.write(0..10);
    bystander.sees(0..10);
    other.await_written(9);
    job.chain(&[at(4), at(2)]);
    other.shows([]);
    bystander.checkpoint();
    other.shows(0..10);
    assert_eq!(bystander.stop().restarts, 0);
}

#[test]
fn s051_a_larger_run_that_failed_leaves_nothing_behind() {
    let kafka = KafkaFixture::new("s051");
    Copy::new(&kafka, "s051").chain(&[at(2), at(4), at(2)]);
}

#[test]
fn s052_more_subtasks_go_on_where_fewer_were() {
    let kafka = KafkaFixture::new("s052");
    Copy::new(&kafka, "s052").chain(&[at(2), at(4)]);
}

#[test]
fn s053_more_subtasks_after_a_larger_run_that_failed() {
    let kafka = KafkaFixture::new("s053");
    Copy::new(&kafka, "s053").chain(&[at(2), at(5), at(3)]);
}

#[test]
fn s054_subtasks_that_are_new_need_no_state_of_their_own() {
    let kafka = KafkaFixture::new("s054");
    let job = Copy::new(&kafka, "s054");
    job.write(0..10);
    let run = job.start(&at(1));
    run.sees(0..10);
    run.checkpoint();
    let _dead = run.dies_at(Point::Committing);
    job.write(10..40);
    // More of them than there is to read.
    assert_eq!(job.finish(&at(7)), (10..40).collect::<Vec<_>>());
    job.shows(0..40);
}

#[test]
fn s057_a_marker_that_nobody_understands_stops_the_start() {
    let kafka = KafkaFixture::new("s057");
    let job = Copy::new(&kafka, "s057");
    let mut list = TopicPartitionList::new();
    let mut element = list.add_partition(&job.to[0], 0);
    element.set_offset(Offset::Offset(0)).expect("an offset");
    element.set_metadata("{\"version\":99}");
    job.marker_consumer().commit(&list, CommitMode::Sync).expect("a commit");
    job.write(0..10);
    let error = job.launch(&at(2)).fails();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.message().contains("a marker of version 99"), "{error}");
    assert_eq!(job.written(), [0; 0]);
}
