//! A, the sink end to end: scenarios 1 to 17.

use std::time::Duration;

use stream_core::checkpoint::MemoryStore;
use stream_core::thread::Waker;
use stream_core::{ErrorKind, JobReport};
use stream_kafka::{KafkaSink, KafkaSource};
use stream_testkit::{KafkaFixture, wait_until};

use crate::common::copy::{Copy, Point, Setup, at, every_shape};
use crate::common::{LIMIT, context, ended};

/// At least once, otherwise as usual.
fn at_least_once() -> Setup {
    Setup { semantic: "AT_LEAST_ONCE", bump: "", ..Setup::default() }
}

fn both_guarantees() -> [Setup; 2] {
    [at_least_once(), Setup::default()]
}

fn numbers(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

/// A thousand numbers over at least half a second, at a checkpoint every 100 ms.
fn throttled(test: &str, semantic: &'static str) {
    let kafka = KafkaFixture::new(test);
    let job = Copy::new(&kafka, test);
    let (ctx, _) = job.context(&Setup { semantic, interval: "100 ms", ..at_least_once() });
    let slow = ctx.generate(1000, |i| {
        if i % 20 == 0 {
            Waker::new().park(Duration::from_millis(10));
        }
        i.to_string()
    });
    KafkaSink::new(&ctx).topic(&job.to[0]).sink(slow);
    let run = ctx.start(test).expect("a good plan");
    let report = ended(&run).expect("the job ends well");
    assert!(report.checkpoints.completed > 2, "{report:?}");
    assert_eq!(job.written(), numbers(0..1000));
}

#[test]
fn s001_without_a_guarantee_everything_arrives_if_nothing_fails() {
    throttled("s001", "NONE");
}

#[test]
fn s002_at_least_once_everything_arrives() {
    throttled("s002", "AT_LEAST_ONCE");
}

#[test]
fn s003_readers_of_committed_records_see_what_checkpoints_hold() {
    let kafka = KafkaFixture::new("s003");
    for (i, setup) in every_shape().iter().enumerate() {
        let job = Copy::new(&kafka, &format!("s003-{i}"));
        job.write(0..30);
        let run = job.start(setup);
        run.sees(0..30);
        run.checkpoint();
        job.write(30..50);
        run.sees(30..50);
        job.await_written(49);
        job.shows(0..30);
        run.checkpoint();
        job.shows(0..50);
        run.abort();
        job.shows(0..50);
    }
}

#[test]
fn s004_the_end_of_a_bounded_job_commits_what_no_checkpoint_has() {
    let kafka = KafkaFixture::new("s004");
    let job = Copy::new(&kafka, "s004");
    job.write(0..1000);
    assert_eq!(job.finish(&Setup::default()).len(), 1000);
    job.shows(0..1000);

    // Without checkpoints there is nothing that a transaction could be committed with.
    let servers = kafka.bootstrap();
    let ctx = context(&format!("kafka.sink:\n  bootstrap.servers: {servers}\n  semantic: EXACTLY_ONCE\n  topic: t\n"));
    KafkaSink::new(&ctx).sink(ctx.from_iter(["a"]));
    let error = ctx.start("s004").err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("promises exactly-once, and takes no checkpoints"), "{error}");
}

/// Commits 30 numbers, fails once in the next 30, and is restarted.
fn failing_once(job: &Copy<'_>, setup: &Setup) -> JobReport {
    job.write(0..30);
    let run = job.start(&Setup { fails_at: Some(45), restarts: 1, ..setup.clone() });
    run.sees(0..30);
    wait_until("a checkpoint", LIMIT, || run.handle.is_finished() || run.handle.checkpoint().is_ok());
    job.write(30..60);
    run.sees(30..60);
    job.await_read(&run);
    let report = run.stop();
    assert_eq!(report.restarts, 1);
    report
}

#[test]
fn s005_at_least_once_a_failure_loses_nothing() {
    let kafka = KafkaFixture::new("s005");
    let job = Copy::new(&kafka, "s005");
    failing_once(&job, &at_least_once());
    let mut written = job.written();
    assert!(written.len() >= 60);
    written.dedup();
    assert_eq!(written, numbers(0..60));
}

#[test]
fn s006_exactly_once_a_failure_neither_loses_nor_repeats() {
    let kafka = KafkaFixture::new("s006");
    for (i, setup) in every_shape().iter().enumerate() {
        let job = Copy::new(&kafka, &format!("s006-{i}"));
        failing_once(&job, setup);
        job.shows(0..60);
    }
}

#[test]
fn s007_as_well_if_two_checkpoints_at_a_time_are_asked_for() {
    let kafka = KafkaFixture::new("s007");
    let job = Copy::new(&kafka, "s007");
    let two = "execution.checkpointing.max-concurrent-checkpoints: 2\n".to_owned();
    let report = failing_once(&job, &Setup { job: two, interval: "20 ms", ..at(2) });
    assert!(report.checkpoints.completed > 0);
    job.shows(0..60);
}

#[test]
fn s008_a_run_that_dies_while_it_stores_blocks_no_reader_after_the_next_start() {
    let kafka = KafkaFixture::new("s008");
    for (i, setup) in every_shape().iter().enumerate() {
        let job = Copy::new(&kafka, &format!("s008-{i}"));
        job.write(0..20);
        let run = job.start(setup);
        run.sees(0..20);
        run.checkpoint();
        job.write(20..40);
        run.sees(20..40);
        let dead = run.dies_at(Point::Storing);
        job.await_written(39);
        job.shows(0..20);
        job.finish(setup);
        job.shows(0..40);
        assert_eq!(dead.wakes().kind(), ErrorKind::Fenced);
        job.shows(0..40);
    }
}

#[test]
fn s009_five_subtasks_that_die_before_a_record_is_committed_leave_nothing_to_one() {
    let kafka = KafkaFixture::new("s009");
    let job = Copy::new(&kafka, "s009");
    let run = job.start(&at(5));
    job.write(0..30);
    run.sees(0..30);
    let _dead = run.dies_at(Point::Storing);
    job.await_written(29);
    job.shows(0..0);

    // The marker names a checkpoint that a run without state does not have.
    let without_state = Copy { objects: MemoryStore::new(), ..job.clone() };
    let error = without_state.launch(&at(1)).fails();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");

    job.finish(&at(1));
    job.shows(0..30);
}

/// Each step of the original from one parallelism to another, here and in the next one.
#[test]
fn s010_the_parallelism_goes_up_over_open_transactions() {
    let kafka = KafkaFixture::new("s010-up");
    Copy::new(&kafka, "s010").chain(&[at(1), at(2), at(3), at(5), at(6), at(5)]);
}

#[test]
fn s010_the_parallelism_goes_down_over_open_transactions() {
    let kafka = KafkaFixture::new("s010-down");
    Copy::new(&kafka, "s010").chain(&[at(5), at(2), at(5), at(3), at(2), at(1)]);
}

#[test]
fn s011_the_epoch_policy_may_change_between_runs_at_another_parallelism() {
    let kafka = KafkaFixture::new("s011");
    let job = Copy::new(&kafka, "s011");
    let always = |parallelism| Setup { bump: "always", ..at(parallelism) };
    job.chain(&[at(5), always(3), always(3)]);
}

#[test]
fn s012_and_back_again() {
    let kafka = KafkaFixture::new("s012");
    let job = Copy::new(&kafka, "s012");
    job.chain(&[Setup { bump: "always", ..at(2) }, at(2), Setup { bump: "always", ..at(2) }]);
}

#[test]
fn s013_two_sinks_share_a_transaction_and_must_agree_on_the_producer() {
    let kafka = KafkaFixture::new("s013");
    for (i, setup) in both_guarantees().into_iter().enumerate() {
        let job = Copy::to(&kafka, &format!("s013-{i}"), &[2, 3]);
        job.write(0..30);
        job.finish(&setup);
        job.shows(0..30);
    }
    let job = Copy::to(&kafka, "s013-differing", &[2, 3]);
    for (key, value) in [("linger.ms", "7"), ("commit.marker-topic", "markers")] {
        let (ctx, _) = job.context(&Setup::default());
        let lines = KafkaSource::<String>::new(&ctx).bounded().values();
        KafkaSink::new(&ctx).topic(&job.to[0]).sink(lines.clone());
        KafkaSink::new(&ctx).topic(&job.to[1]).property(key, value).sink(lines);
        let error = ctx.start("s013").err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains(&format!("differ in `{key}`")), "{error}");
    }
}

#[test]
fn s014_both_guarantees_copy_everything_once_if_nothing_fails() {
    let kafka = KafkaFixture::new("s014");
    for (i, setup) in both_guarantees().into_iter().enumerate() {
        let job = Copy::new(&kafka, &format!("s014-{i}"));
        job.write(0..500);
        job.finish(&setup);
        job.shows(0..500);
        assert_eq!(kafka.lag(&job.group(), &job.from), [0; 3]);
    }
}

/// A run that is stopped well, and one that goes on where it was.
fn stopped_and_started(test: &str, before: usize, after: usize) {
    let kafka = KafkaFixture::new(test);
    for (i, setup) in both_guarantees().into_iter().enumerate() {
        let job = Copy::new(&kafka, &format!("{test}-{i}"));
        job.write(0..30);
        let run = job.start(&Setup { parallelism: before, ..setup.clone() });
        run.sees(0..30);
        run.stop();
        job.write(30..60);
        let read = job.finish(&Setup { parallelism: after, ..setup });
        assert_eq!(read, numbers(30..60), "nothing is read again");
        job.shows(0..60);
    }
}

#[test]
fn s015_a_stopped_job_goes_on_where_it_was() {
    stopped_and_started("s015", 2, 2);
}

#[test]
fn s016_also_with_more_subtasks() {
    stopped_and_started("s016", 2, 4);
}

#[test]
fn s017_also_with_fewer() {
    stopped_and_started("s017", 4, 2);
}
