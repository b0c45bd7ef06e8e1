//! B, how a writer and its transaction end: what of scenarios 19 to 36 has a meaning without pools and without ids per
//! checkpoint. Those that look at requests are in `wire.rs`.

use stream_core::Error;
use stream_core::ErrorKind;
use stream_kafka::{KafkaSink, ProducerRecord};
use stream_testkit::{KafkaFixture, wait_until};

use crate::common::copy::{Copy, Point, Setup, at, epoch};
use crate::common::{LIMIT, ended};

#[test]
fn s019_a_stranger_with_our_id_costs_the_transaction_and_one_error() {
    let kafka = KafkaFixture::new("s019");
    let job = Copy::new(&kafka, "s019");
    job.write(0..10);
    let run = job.start(&Setup::default());
    run.sees(0..10);
    run.checkpoint();
    drop(job.fence());
    job.write(10..20);
    let error = run.fails_at_checkpoint();
    assert!(error.message().starts_with("the transaction was lost"), "{error}");
    job.shows(0..10);

    // With a restart strategy the job goes on by itself.
    let run = job.start(&Setup { restarts: 3, ..Setup::default() });
    run.sees(10..20);
    drop(job.fence());
    wait_until("all is committed", LIMIT, || {
        let _ = run.handle.checkpoint();
        run.handle.is_finished() || job.committed().len() == 20
    });
    assert_eq!(run.stop().restarts, 1);
    job.shows(0..20);
}

/// The end of an exactly-once job whose sink may send records up to `limit` bytes.
fn with_large(kafka: &KafkaFixture, name: &str, limit: usize, texts: Vec<usize>, is_endless: bool) -> Error {
    let job = Copy::new(kafka, name);
    let (ctx, _) = job.context(&Setup { sink: format!("  max.request.size: {limit}\n"), ..Setup::default() });
    let count = if is_endless { u64::MAX } else { texts.len() as u64 };
    let texts = ctx.generate(count, move |i| {
        let length = usize::try_from(i).ok().and_then(|i| texts.get(i));
        "1".repeat(*length.unwrap_or(&1))
    });
    KafkaSink::new(&ctx).topic(&job.to[0]).sink(texts);
    let error = ended(&ctx.start(name).expect("a good plan")).expect_err("too large");
    // Nothing of an epoch that fails appears.
    job.shows([]);
    error
}

#[test]
fn s020_an_error_that_is_first_seen_by_a_write_ends_the_job() {
    let kafka = KafkaFixture::new("s020");
    let error = with_large(&kafka, "s020", 50_000, vec![1, 1, 60_000], true);
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.message().starts_with("can't send a record of 60000 bytes"), "{error}");
}

#[test]
fn s021_an_error_that_the_broker_tells_later_ends_the_job_without_a_barrier() {
    let kafka = KafkaFixture::new("s021");
    let error = with_large(&kafka, "s021", 2_000_000, vec![1, 1, 1_500_000], true);
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.message().contains("was not delivered: MessageSizeTooLarge"), "{error}");
}

#[test]
fn s022_an_error_that_is_first_seen_at_the_end_fails_the_job() {
    let kafka = KafkaFixture::new("s022");
    let error = with_large(&kafka, "s022", 2_000_000, vec![1, 1, 1_500_000], false);
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.message().contains("was not delivered: MessageSizeTooLarge"), "{error}");
}

#[test]
fn s023_two_runs_die_with_open_transactions_and_the_third_has_its_own_records_seen() {
    let kafka = KafkaFixture::new("s023");
    let job = Copy::new(&kafka, "s023");
    job.write(0..10);
    let mut dead = Vec::new();
    for _ in 0..2 {
        dead.push(job.start_dying(&at(2), Point::Storing));
    }
    job.shows([]);
    job.finish(&at(2));
    job.shows(0..10);
}

#[test]
fn s026_epochs_without_records_are_committed_too() {
    let kafka = KafkaFixture::new("s026");
    let job = Copy::new(&kafka, "s026");
    job.write(0..10);
    let run = job.start(&at(2));
    run.sees(0..10);
    run.checkpoint();
    let before = epoch(&job.marker().expect("a marker"));
    let numbers = [run.checkpoint(), run.checkpoint(), run.checkpoint()];
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(epoch(&job.marker().expect("a marker")), before + 3);
    run.stop();
    assert_eq!(job.finish(&at(2)), [0; 0]);
    job.shows(0..10);
}

#[test]
fn s027_a_job_that_is_aborted_gives_its_transaction_up_at_once() {
    let kafka = KafkaFixture::new("s027");
    let job = Copy::new(&kafka, "s027");
    job.write(0..10);
    let run = job.start(&at(2));
    run.sees(0..10);
    run.checkpoint();
    job.write(10..20);
    run.sees(10..20);
    job.await_written(19);
    run.abort();
    // Behind an open transaction nobody would see this for minutes.
    kafka.fill(&job.to[0], 1, |_, out: &mut ProducerRecord| out.set_value("99"));
    job.shows((0..10).chain([99]));
    job.finish(&at(2));
    job.shows((0..20).chain([99]));
}
