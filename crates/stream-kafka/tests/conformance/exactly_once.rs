//! F, exactly-once through crashes, takeovers and changes between runs: scenarios 66 to 78 (76 has a file of its own).

use stream_core::ErrorKind;
use stream_kafka::{KafkaPartitioner, KafkaSink, ProducerRecord, Topic, TopicPartitioner};
use stream_testkit::{KafkaFixture, wait_until};

use crate::common::copy::{Copy, Point, Setup, at};
use crate::common::{LIMIT, ended};

fn numbers(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

#[test]
fn s066_going_back_to_an_older_checkpoint_must_be_asked_for_and_repeats_what_came_after() {
    let kafka = KafkaFixture::new("s066");
    let job = Copy::new(&kafka, "s066");
    let setup = Setup { job: "state.checkpoints.num-retained: 10\n".to_owned(), ..at(2) };
    job.write(0..10);
    let run = job.start(&setup);
    run.sees(0..10);
    let first = run.checkpoint();
    job.write(10..20);
    run.sees(10..20);
    run.stop();

    let back = Setup { restore_from: Some(first), ..setup };
    let error = job.launch(&back).fails();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("is committed up to checkpoint"), "{error}");
    job.shows(0..20);

    assert_eq!(job.finish(&Setup { rewind: true, ..back }), numbers(10..20));
    let twice = (10..20).flat_map(|number| [number, number]);
    job.shows((0..10).chain(twice));
}

#[test]
fn s067_an_instance_that_is_still_alive_is_fenced_and_what_it_had_open_is_done_again() {
    let kafka = KafkaFixture::new("s067");
    let job = Copy::new(&kafka, "s067");
    job.write(42..44);
    let old = job.start(&at(2));
    old.sees(42..44);
    old.checkpoint();
    job.write(44..46);
    old.sees(44..46);
    job.await_written(45);

    let new = job.start(&at(2));
    new.sees(44..46);
    job.write(46..47);
    new.sees(46..47);
    new.checkpoint();
    job.write(47..48);
    new.sees(47..48);
    job.await_written(47);
    // 47 is pending.
    job.shows(42..47);
    let error = old.fails_at_checkpoint();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(error.message().contains("has taken over"), "{error}");
    new.stop();
    job.shows(42..48);
}

#[test]
fn s068_one_checkpoint_is_restored_twice_and_what_follows_it_appears_once() {
    let kafka = KafkaFixture::new("s068");
    let job = Copy::new(&kafka, "s068");
    job.write(42..43);
    let run = job.start(&at(1));
    run.sees(42..43);
    run.checkpoint();
    job.write(43..44);
    run.sees(43..44);
    let _first = run.dies_at(Point::Storing);
    let _second = job.start_dying(&at(1), Point::Storing);
    assert_eq!(job.finish(&at(1)), [43], "it begins behind 42 again");
    job.shows([42, 43]);
}

#[test]
fn s069_fewer_subtasks_before_anything_was_committed() {
    let kafka = KafkaFixture::new("s069");
    let job = Copy::new(&kafka, "s069");
    let run = job.start(&at(4));
    job.write(0..10);
    run.sees(0..10);
    let dead = run.dies_at(Point::Committing);
    job.finish(&at(2));
    assert_eq!(dead.wakes().kind(), ErrorKind::Fenced);
    job.shows(0..10);
}

#[test]
fn s070_four_two_three_and_one_subtasks_each_with_an_open_transaction() {
    let kafka = KafkaFixture::new("s070");
    Copy::new(&kafka, "s070").chain(&[at(4), at(2), at(3), at(1)]);
}

#[test]
fn s071_a_run_that_dies_after_its_commit_has_committed() {
    let kafka = KafkaFixture::new("s071");
    for (i, bump) in ["on_disturbance", "always"].into_iter().enumerate() {
        let job = Copy::new(&kafka, &format!("s071-{i}"));
        let setup = Setup { bump, job: "state.checkpoints.num-retained: 1\n".to_owned(), ..at(2) };
        job.write(0..10);
        let run = job.start(&setup);
        run.sees(0..10);
        let dead = run.dies_at(Point::Deleting);
        job.shows(0..10);
        job.write(10..20);
        assert_eq!(job.finish(&setup), numbers(10..20));
        assert_eq!(dead.wakes().kind(), ErrorKind::Fenced);
        job.shows(0..20);
    }
}

fn at_least_once() -> Setup {
    Setup { semantic: "AT_LEAST_ONCE", bump: "", ..at(2) }
}

#[test]
fn s072_from_at_least_once_to_exactly_once() {
    let kafka = KafkaFixture::new("s072");
    let job = Copy::new(&kafka, "s072");
    job.write(42..44);
    assert_eq!(job.finish(&at_least_once()), [42, 43]);
    job.write(44..46);
    assert_eq!(job.finish(&at(2)), [44, 45]);
    job.shows([42, 43, 44, 45]);
}

#[test]
fn s073_from_exactly_once_to_at_least_once_over_an_open_transaction() {
    let kafka = KafkaFixture::new("s073");
    let job = Copy::new(&kafka, "s073");
    job.write(42..44);
    let run = job.start(&at(2));
    run.sees(42..44);
    run.checkpoint();
    job.write(44..45);
    run.sees(44..45);
    let dead = run.dies_at(Point::Committing);
    job.write(45..48);
    // The checkpoint is there, but no marker names it.
    assert_eq!(job.finish(&at_least_once()), numbers(44..48));
    // No reader waits behind the transaction.
    job.shows(42..48);
    // At-least-once leaves no marker that could name who has taken over.
    let error = dead.wakes();
    assert!(error.message().starts_with("the transaction was lost"), "{error}");
    job.shows(42..48);
}

#[test]
fn s074_another_application_does_not_take_checkpoints_that_it_can_not_vouch_for() {
    let kafka = KafkaFixture::new("s074");
    let job = Copy::new(&kafka, "s074");
    job.write(42..44);
    job.finish(&at(1));
    let renamed = Copy { application: format!("{}-2", job.application), ..job.clone() };
    let error = renamed.launch(&at(1)).fails();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    job.shows([42, 43]);
}

#[test]
fn s075_the_id_says_application_and_job() {
    let kafka = KafkaFixture::new("s075");
    let named = Copy::new(&kafka, &kafka.group());
    let unnamed = Copy { application: "default".to_owned(), ..Copy::new(&kafka, &format!("{}-2", kafka.group())) };
    for job in [named, unnamed] {
        job.write(0..10);
        let run = job.start(&at(1));
        run.sees(0..10);
        run.checkpoint();
        // The group of this name has the marker, and the owner of this transactional id is fenced.
        let marker = job.marker().expect("a marker");
        assert!(marker.contains(&format!("\"job\":\"{}\"", job.name)), "{marker}");
        drop(job.fence());
        assert!(run.fails_at_checkpoint().message().starts_with("the transaction was lost"));
    }
}

#[test]
fn s077_a_failure_midway_with_one_sink_and_with_several() {
    let kafka = KafkaFixture::new("s077");
    for partitions in [&[2][..], &[2, 3, 1]] {
        let job = Copy::to(&kafka, &format!("s077-{}", partitions.len()), partitions);
        job.write(0..300);
        let run = job.launch(&Setup { fails_at: Some(150), restarts: 2, interval: "20 ms", ..at(2) });
        run.sees(0..300);
        job.await_read(&run);
        assert_eq!(run.stop().restarts, 1);
        job.shows(0..300);
    }
}

/// A number goes to the partition that is its remainder.
struct Remainder;

impl KafkaPartitioner<String> for Remainder {
    fn for_topic(&self, _topic: &str, _subtask: usize, _parallelism: usize) -> Box<dyn TopicPartitioner<String>> {
        Box::new(Remainder)
    }
}

impl TopicPartitioner<String> for Remainder {
    fn assign(&mut self, records: &[String], partitions: &[i32], chosen: &mut Vec<i32>) {
        chosen.extend(records.iter().map(|record| {
            let number: usize = record.parse().expect("a number");
            partitions[number % partitions.len()]
        }));
    }
}

#[test]
fn s078_an_own_partitioner_over_topics_of_different_sizes_chosen_per_record() {
    let kafka = KafkaFixture::new("s078");
    let job = Copy::to(&kafka, "s078", &[2, 5]);
    job.write(0..100);
    let (ctx, _) = job.context(&Setup { bounded: true, fails_at: Some(50), restarts: 1, ..at(2) });
    let (lines, _) = job.numbers(&ctx, &Setup { bounded: true, fails_at: Some(50), ..at(2) });
    let topics = [0, 1].map(|i| Topic::new(&job.to[i]));
    // Tens of even numbers stay in the sink's own topic, the others go to the second one.
    let of = |number: u64| usize::from(number / 10 % 2 == 1);
    let choose = move |line: &String, out: &mut ProducerRecord| {
        out.set_topic(topics[of(line.parse().expect("a number"))]);
    };
    KafkaSink::new(&ctx).topic(&job.to[0]).with(choose).partitioner(Remainder).sink(lines);
    let run = ctx.start("s078").expect("a good plan");
    wait_until("the job has ended", LIMIT, || run.is_finished());
    assert_eq!(ended(&run).expect("it ends well").restarts, 1);
    for (i, size) in [(0, 2), (1, 5)] {
        let records = kafka.read_committed(&job.to[i]);
        assert_eq!(records.len(), 50);
        for record in records {
            let number: u64 = record.value.parse().expect("a number");
            assert_eq!((of(number), u64::try_from(record.partition).expect("small")), (i, number % size));
        }
    }
}
