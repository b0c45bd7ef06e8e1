//! What goes wrong, and what the job says and does then: brokers that are away, records and closures that fail.

mod common;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::{LIMIT, collect_log, context, ended, failure, fill_numbers, logged};
use stream_core::clock::{Clock, SystemClock};
use stream_core::thread::Waker;
use stream_core::{Configuration, Error, ErrorKind, JobHandle, Place, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource, ProducerRecord, RawRecord};
use stream_testkit::{KafkaCluster, KafkaFixture, wait_until};

fn source_yaml(kafka: &KafkaFixture, topic: &str) -> String {
    let (servers, group) = (kafka.bootstrap(), kafka.group());
    format!(
        "kafka.source:\n  bootstrap.servers: {servers}\n  topic: {topic}\n  group.id: {group}\n  \
         auto.offset.reset: earliest\n  auto.commit.interval.ms: 500\n"
    )
}

fn sink<'c>(ctx: &'c StreamingContext, kafka: &KafkaFixture, topic: &str) -> KafkaSink<'c> {
    KafkaSink::new(ctx).property("bootstrap.servers", kafka.bootstrap()).property("topic", topic)
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

fn without_broker(address: &str, more: &str) -> String {
    format!("kafka.source:\n  bootstrap.servers: {address}\n  topic: t\n  group.id: g\n{more}")
}

#[test]
fn without_a_broker_the_job_says_what_it_waits_for() {
    collect_log();
    let reading: fn(&StreamingContext) = |ctx| drop(KafkaSource::<String>::new(ctx).values().for_each(|_| {}));
    let writing: fn(&StreamingContext) = |ctx| drop(KafkaSink::new(ctx).sink(ctx.from_iter(["a"])));
    for describe in [reading, writing] {
        let address = nobody();
        let sink = format!("kafka.sink:\n  bootstrap.servers: {address}\n  topic: t\n");
        let ctx = context(&without_broker(&address, &sink));
        describe(&ctx);
        let job = ctx.start("waiting").expect("a good plan");
        let says =
            format!("waiting for broker {address}: {address}: Connect to ipv4#{address} failed: Connection refused");
        wait_until("the log says so", Duration::from_secs(2), || logged().contains(&says));
        // Stopping it ends the wait.
        job.stop();
        wait_until("the job has ended", Duration::from_secs(5), || job.is_finished());
        let report = job.wait().expect("nothing was read, so nothing is left undone");
        assert_eq!(report.epochs, 0);
        let says = format!("stopped before anything was read: stopped while waiting for broker {address}: ");
        assert!(logged().contains(&says), "{}", logged());
    }
}

#[test]
fn a_wait_has_an_end_and_names_the_key_that_sets_it() {
    let address = nobody();
    let ctx = context(&without_broker(&address, "  default.api.timeout.ms: 1500\n"));
    KafkaSource::<String>::new(&ctx).values().for_each(|_| {});
    let error = failure(ctx);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let message = format!("can't read the topics: broker {address} did not answer within 1.5s: {address}: Connect to");
    assert!(error.message().starts_with(&message), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("default.api.timeout.ms")), "{error}");

    let ctx = context(&format!("kafka.sink:\n  bootstrap.servers: {address}\n  topic: t\n  max.block.ms: 1500\n"));
    KafkaSink::new(&ctx).sink(ctx.from_iter(["a"]));
    let error = failure(ctx);
    assert!(error.hint().is_some_and(|hint| hint.contains("max.block.ms")), "{error}");
}

/// A job from `from` to `to` on one broker; no more than `gate` records pass.
fn gated_job(kafka: &KafkaFixture, from: &str, to: &str, gate: &Arc<AtomicU64>) -> JobHandle {
    let ctx = context(&source_yaml(kafka, from));
    let (gate, mut passed) = (gate.clone(), 0);
    let numbers = KafkaSource::<String>::new(&ctx).values().inspect(move |_| {
        passed += 1;
        while passed > gate.load(Ordering::Acquire) {
            Waker::new().park(Duration::from_millis(5));
        }
    });
    sink(&ctx, kafka, to).sink(numbers);
    ctx.start("gated").expect("a good plan")
}

fn total(counts: &[i64]) -> i64 {
    counts.iter().sum()
}

#[test]
fn after_twenty_seconds_without_a_broker_the_job_goes_on_and_nothing_is_lost() {
    const RECORDS: u64 = 200_000;
    collect_log();
    let cluster = KafkaCluster::start_new("outage");
    let kafka = KafkaFixture::on(cluster.bootstrap(), "outage");
    let (from, to) = (kafka.topic("from", 4), kafka.topic("to", 4));
    fill_numbers(&kafka, &from, RECORDS, 4);
    let gate = Arc::new(AtomicU64::new(60_000));
    let job = gated_job(&kafka, &from, &to, &gate);
    wait_until("part of it is written", LIMIT, || job.is_finished() || total(&kafka.counts(&to)) >= 50_000);
    cluster.stop();
    // Now the job finds out: it reads what was fetched, and fills the send queue until there is no room.
    gate.store(u64::MAX, Ordering::Release);
    Waker::new().park(Duration::from_secs(20));
    assert!(!job.is_finished(), "{:?}", job.wait());
    cluster.start();
    let done = || total(&kafka.counts(&to)) >= 200_000 && total(&kafka.lag(&kafka.group(), &from)) == 0;
    wait_until("the job has caught up", LIMIT, || job.is_finished() || done());
    job.stop();
    ended(&job).expect("the job ends well");
    let ids: BTreeSet<String> = kafka.read(&to).into_iter().map(|r| r.value).collect();
    assert_eq!(ids.len() as u64, RECORDS, "nothing is lost");
    assert_eq!(kafka.lag(&kafka.group(), &from), [0; 4]);
    assert!(logged().contains("brokers answer again, all records are delivered"), "{}", logged());
}

#[test]
fn an_abort_during_an_outage_ends_the_job() {
    collect_log();
    let cluster = KafkaCluster::start_new("abort");
    let kafka = KafkaFixture::on(cluster.bootstrap(), "abort");
    let (from, to) = (kafka.topic("from", 2), kafka.topic("to", 2));
    fill_numbers(&kafka, &from, 20_000, 2);
    let gate = Arc::new(AtomicU64::new(10_000));
    let job = gated_job(&kafka, &from, &to, &gate);
    wait_until("part of it is written", LIMIT, || job.is_finished() || total(&kafka.counts(&to)) >= 5_000);
    cluster.stop();
    gate.store(u64::MAX, Ordering::Release);
    let clock = SystemClock::new();
    // A good stop can't be had: what was read can't be written. A second signal gives up.
    job.stop();
    wait_until("the job has noticed", LIMIT, || logged().contains("waiting to deliver"));
    assert!(!job.is_finished());
    job.abort();
    let before = clock.monotonic();
    ended(&job).expect_err("aborted");
    eprintln!("aborted within {:?}", clock.monotonic() - before);
}

/// Its positions can't be stored, which must not hold up whoever wants the job to end.
#[test]
fn a_job_that_only_reads_can_be_aborted_during_an_outage() {
    collect_log();
    let cluster = KafkaCluster::start_new("abort-reading");
    let kafka = KafkaFixture::on(cluster.bootstrap(), "abort-reading");
    let from = kafka.topic("from", 1);
    fill_numbers(&kafka, &from, 2_000, 1);
    let ctx = context(&source_yaml(&kafka, &from));
    // Nothing is committed before the job ends, so that the last commit has something to wait for.
    let source = KafkaSource::<String>::new(&ctx).property("auto.commit.interval.ms", "3600000");
    let seen = source.values().collect();
    let job = ctx.start("reading").expect("a good plan");
    wait_until("something is read", LIMIT, || job.is_finished() || seen.len() >= 2_000);
    cluster.stop();
    let says = |line: &str| line.contains("reading waits for a broker") && line.contains(cluster.bootstrap());
    wait_until("the job has noticed", LIMIT, || job.is_finished() || logged().lines().any(says));
    job.stop();
    assert!(!job.is_finished());
    job.abort();
    wait_until("the job has ended", LIMIT, || job.is_finished());
    job.wait().expect_err("aborted");
}

fn place(error: &Error) -> &Place {
    error.place().expect("an error of a job has a place")
}

/// A job at parallelism 2 over numbers in two partitions: 137 is in partition 1 at offset 68.
fn over_numbers(kafka: &KafkaFixture, describe: impl FnOnce(&StreamingContext)) -> Error {
    let topic = kafka.topic("numbers", 2);
    fill_numbers(kafka, &topic, 300, 2);
    let ctx = context(&source_yaml(kafka, &topic)).parallelism(2);
    describe(&ctx);
    let error = failure(ctx);
    assert_eq!(place(&error).position, Some(format!("{topic}[1] offset 68")), "{error}");
    assert_eq!((place(&error).subtask, place(&error).parallelism), (1, 2), "{error}");
    kafka.delete_topic(&topic);
    error
}

#[test]
fn a_closure_that_fails_stops_the_job_and_names_the_record() {
    let kafka = KafkaFixture::new("closure");
    let error = over_numbers(&kafka, |ctx| {
        let numbers = KafkaSource::<String>::new(ctx).values().uid("numbers");
        numbers.map(|v| if v == "137" { panic!("no {v}") } else { v.len() }).uid("size").name("sizes").for_each(|_| {});
    });
    assert_eq!((error.kind(), error.message()), (ErrorKind::User, "panicked: no 137"));
    assert_eq!((place(&error).operator.as_str(), place(&error).uid.as_str()), ("sizes", "size"));

    let error = over_numbers(&kafka, |ctx| {
        let numbers = KafkaSource::<String>::new(ctx).stream().uid("numbers");
        let checked = numbers.try_map(|r| if r.value == "137" { Err(format!("no {}", r.value)) } else { Ok(r.value) });
        checked.uid("check").for_each(|_| {});
    });
    assert_eq!((error.kind(), error.message()), (ErrorKind::User, "no 137"));
    assert_eq!(place(&error).uid, "check");
}

#[test]
fn a_schema_that_fails_stops_the_job_and_names_the_record() {
    let kafka = KafkaFixture::new("schema");
    let out = kafka.topic("out", 1);
    let parse = |record: &RawRecord<'_>| {
        let text = std::str::from_utf8(record.value().unwrap_or_default()).map_err(|e| e.to_string())?;
        if text == "137" { Err(format!("no {text}")) } else { Ok(text.to_owned()) }
    };
    let error = over_numbers(&kafka, |ctx| {
        KafkaSource::<String>::new(ctx).decode(parse).values().uid("numbers").for_each(|_| {});
    });
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.message().ends_with("-numbers[1] offset 68: no 137"), "{error}");
    assert!(error.message().starts_with("can't decode schema-"), "{error}");

    let error = over_numbers(&kafka, |ctx| {
        let decode = move |record: &RawRecord<'_>| parse(record).map_err(|e| -> String { panic!("{e}") });
        KafkaSource::<String>::new(ctx).decode(decode).values().uid("numbers").for_each(|_| {});
    });
    assert_eq!((error.kind(), error.message()), (ErrorKind::User, "panicked: no 137"));
    assert_eq!(place(&error).uid, "numbers");

    let error = over_numbers(&kafka, |ctx| {
        let numbers = KafkaSource::<String>::new(ctx).values().uid("numbers");
        let encode = |v: &String| if v == "137" { panic!("no {v}") } else { v.clone().into_bytes() };
        sink(ctx, &kafka, &out).serializer(encode).sink(numbers).uid("out");
    });
    assert_eq!((error.kind(), error.message()), (ErrorKind::User, "panicked: no 137"));
    assert_eq!(place(&error).uid, "out");
}

#[test]
fn a_record_that_is_no_text_is_named() {
    let kafka = KafkaFixture::new("no-text");
    let topic = kafka.topic("bytes", 1);
    kafka.fill(&topic, 3, |i, out: &mut ProducerRecord| out.set_value([b'a', if i == 2 { 0xff } else { b'b' }]));
    let ctx = context(&source_yaml(&kafka, &topic));
    KafkaSource::<String>::new(&ctx).values().for_each(|_| {});
    let error = failure(ctx);
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error.message().starts_with(&format!("can't decode {topic}[0] offset 2: the value is not UTF-8")),
        "{error}"
    );
}

#[test]
fn a_missing_topic_is_an_error_and_is_not_created() {
    let kafka = KafkaFixture::new("missing");
    let (here, missing) = (kafka.topic("here", 1), format!("{}-missing", kafka.group()));
    let ctx = context(&source_yaml(&kafka, &format!("{here},{missing}")));
    KafkaSource::<String>::new(&ctx).values().for_each(|_| {});
    let error = failure(ctx);
    let message = format!("no such topic on {}: `{missing}`", kafka.bootstrap());
    assert_eq!((error.kind(), error.message()), (ErrorKind::Config, message.as_str()));

    let ctx = StreamingContext::new(Configuration::empty());
    sink(&ctx, &kafka, &missing).sink(ctx.from_iter(["a"]));
    let error = failure(ctx);
    assert_eq!((error.kind(), error.message()), (ErrorKind::Config, message.as_str()));
    assert_eq!(kafka.counts(&missing), [0; 0]);
}

#[test]
fn a_record_that_is_too_large_names_the_topic() {
    let kafka = KafkaFixture::new("too-large");
    let topic = kafka.topic("t", 1);
    // Larger than the client may send.
    let ctx = StreamingContext::new(Configuration::empty());
    sink(&ctx, &kafka, &topic).property("max.request.size", "50000").sink(ctx.from_iter(["a".repeat(60_000)]));
    let error = failure(ctx);
    assert_eq!(error.kind(), ErrorKind::Data);
    let message = format!("can't send a record of 60000 bytes to `{topic}` partition 0: MessageSizeTooLarge");
    assert!(error.message().starts_with(&message), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("max.request.size")), "{error}");

    // A sink that promises nothing goes on without it.
    let ctx = StreamingContext::new(Configuration::empty());
    let texts = ["a".repeat(1_500_000), "b".to_owned(), "c".to_owned()];
    let careless = sink(&ctx, &kafka, &topic).property("max.request.size", "2000000").property("semantic", "NONE");
    careless.property("batch.size", "1").sink(ctx.from_iter(texts));
    ctx.execute("careless").expect("the job ends well");
    assert_eq!(kafka.read(&topic).into_iter().map(|r| r.value).collect::<Vec<_>>(), ["b", "c"]);

    // Larger than the broker takes. It says so later; nothing commits here, so there is no barrier to find out at.
    let ctx = StreamingContext::new(Configuration::empty());
    let endless = ctx.generate(u64::MAX, |i| if i == 0 { "a".repeat(1_500_000) } else { i.to_string() });
    sink(&ctx, &kafka, &topic).property("max.request.size", "2000000").sink(endless);
    let error = failure(ctx);
    assert_eq!(error.kind(), ErrorKind::Data);
    let message = format!("a record for `{topic}` partition 0 was not delivered: MessageSizeTooLarge");
    assert!(error.message().starts_with(&message), "{error}");
}
