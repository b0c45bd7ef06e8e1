//! E, brokers that are away: scenarios 59 to 65. Limits are short here; by default a job waits for a broker.

use std::net::TcpListener;
use std::time::Duration;

use stream_core::thread::Waker;
use stream_core::{Error, ErrorKind};
use stream_kafka::KafkaSink;
use stream_testkit::{ApiKey, Fault, KafkaCluster, KafkaFixture, wait_until};

use crate::common::copy::{Copy, Point, Run, Setup, at};
use crate::common::{LIMIT, ended};
use crate::site::Site;

fn numbers(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

/// Gives up a record after two seconds.
const IMPATIENT: &str = "  delivery.timeout.ms: 2000\n  request.timeout.ms: 1000\n  linger.ms: 1\n";

#[track_caller]
fn assert_gave_up(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[test]
fn s059_writes_to_a_broker_that_is_gone_fail_within_their_limit() {
    let site = Site::new();
    let kafka = site.kafka("s059");
    let job = Copy::new(&kafka, "s059");
    let setup = Setup { sink: IMPATIENT.to_owned(), ..site.setup() };
    let (ctx, _) = job.context(&setup);
    let endless = ctx.generate(u64::MAX, |i| {
        Waker::new().park(Duration::from_millis(1));
        i.to_string()
    });
    KafkaSink::new(&ctx).topic(&job.to[0]).sink(endless).uid("sink-0");
    let run = ctx.start("s059").expect("a good plan");
    wait_until("something is written", LIMIT, || run.is_finished() || !job.written().is_empty());
    site.proxy().refuse(true);
    site.proxy().cut_all();
    assert_gave_up(&ended(&run).expect_err("nobody takes its records"));
    job.shows([]);
}

/// A job over ten numbers that are committed, and ten that the broker does not take.
fn undeliverable(site: &Site, job: &Copy<'_>, end: impl FnOnce(Run) -> Error) {
    let setup = Setup { sink: IMPATIENT.to_owned(), ..site.setup() };
    job.write(0..10);
    let run = job.start(&setup);
    run.sees(0..10);
    run.checkpoint();
    site.proxy().on(ApiKey::Produce, Fault::DropRequest);
    job.write(10..20);
    run.sees(10..20);
    assert_gave_up(&end(run));
    site.proxy().clear();
    job.shows(0..10);
    assert_eq!(job.finish(&setup), numbers(10..20));
    job.shows(0..20);
}

#[test]
fn s060_a_flush_fails_within_the_limit_of_its_records() {
    let site = Site::new();
    let kafka = site.kafka("s060");
    undeliverable(&site, &Copy::new(&kafka, "s060"), |run| {
        run.handle.checkpoint().expect_err("records are lost");
        run.fails()
    });
}

#[test]
fn s061_so_does_the_end_of_a_job() {
    let site = Site::new();
    let kafka = site.kafka("s061");
    undeliverable(&site, &Copy::new(&kafka, "s061"), |run| {
        run.handle.stop();
        run.fails()
    });
}

#[test]
fn s062_a_record_that_is_given_up_ends_the_job_at_the_next_checkpoint_at_the_latest() {
    let site = Site::new();
    let kafka = site.kafka("s062");
    let job = Copy::new(&kafka, "s062");
    undeliverable(&site, &job, |run| {
        // Long enough for the client to give up, with nobody waiting for it.
        Waker::new().park(Duration::from_secs(3));
        run.fails_at_checkpoint()
    });
}

#[test]
fn s063_a_broker_that_restarts_while_the_job_runs_costs_no_record() {
    let cluster = KafkaCluster::start_new("s063");
    let kafka = KafkaFixture::on(cluster.bootstrap(), "s063");
    let job = Copy::new(&kafka, "s063");
    job.write(0..2000);
    let run = job.start(&Setup { interval: "100 ms", restarts: 20, ..at(2) });
    run.sees(0..2000);
    cluster.stop();
    cluster.start();
    job.write(2000..4000);
    run.sees(2000..4000);
    run.stop();
    job.shows(0..4000);
}

#[test]
fn s064_without_a_broker_at_the_start_the_job_fails_after_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let kafka = KafkaFixture::new("s064");
    let job = Copy::new(&kafka, "s064");
    let away = Setup { servers: Some(nobody), sink: "  max.block.ms: 1500\n".to_owned(), ..Setup::default() };
    let error = job.launch(&away).fails();
    assert_gave_up(&error);
    assert!(error.hint().is_some_and(|hint| hint.contains("max.block.ms")), "{error}");
}

#[test]
fn s065_a_broker_that_dies_between_checkpoint_and_commit_costs_no_record() {
    let cluster = KafkaCluster::start_new("s065");
    let kafka = KafkaFixture::on(cluster.bootstrap(), "s065");
    let job = Copy::new(&kafka, "s065");
    job.write(0..10);
    let run = job.start(&at(2));
    run.sees(0..10);
    run.checkpoint();
    job.write(10..20);
    run.sees(10..20);
    let dead = run.dies_at(Point::Committing);
    cluster.stop();
    cluster.start();
    job.finish(&at(2));
    assert_eq!(dead.wakes().kind(), ErrorKind::Fenced);
    job.shows(0..20);
}
