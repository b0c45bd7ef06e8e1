//! Records that can't be decoded, on a real broker: counts, dead letters, the limit, and what is refused at the start.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::time::Duration;

use common::{LIMIT, collect_log, context, ended, failure, logged};
use stream_core::clock::{Clock, SystemClock};
use stream_core::thread::Waker;
use stream_core::{Configuration, DataStream, ErrorKind, StreamingContext, Timestamp};
use stream_kafka::{
    BadRecords, KafkaDeserializationSchema, KafkaRecord, KafkaSink, KafkaSource, OffsetsInitializer, ProducerRecord,
    RawRecord, SchemaError, SerializationSchema,
};
use stream_testkit::{KafkaCluster, KafkaFixture, wait_until};

const RECORDS: u64 = 100_000;
const BAD: usize = 1_000;

/// A number as text. Gives a value before it looks at the rest, as a schema with several values per record may.
#[derive(Clone)]
struct Number;

impl KafkaDeserializationSchema<u64> for Number {
    fn deserialize(&mut self, record: &RawRecord<'_>, out: &mut Vec<u64>) -> Result<(), SchemaError> {
        out.push(u64::MAX);
        let value = record.value().ok_or_else(|| SchemaError::new("no value"))?;
        let text = std::str::from_utf8(value).map_err(|_| SchemaError::new("not text"))?;
        out[0] = text.parse().map_err(|_| SchemaError::new(format!("`{text}` is no number")))?;
        Ok(())
    }
}

/// One in every hundred is bad, in all partitions and in three ways.
fn is_bad(i: u64) -> bool {
    i % 100 == 37 + i / 100 % 4
}

/// The first record's timestamp: an hour ago, as a topic soon forgets what is a week old.
fn start() -> i64 {
    static START: OnceLock<i64> = OnceLock::new();
    *START.get_or_init(|| SystemClock::new().wall().as_millis() - 3_600_000)
}

fn record(i: u64, out: &mut ProducerRecord) {
    out.set_partition(i32::try_from(i % 4).expect("small"));
    out.set_timestamp(Timestamp::from_millis(start() + i64::try_from(i).expect("small")));
    if !i.is_multiple_of(3) {
        out.set_key(format!("key {i}"));
    }
    if !i.is_multiple_of(5) {
        out.add_header("trace", Some(&i.to_be_bytes()));
        out.add_header("trace", None);
        out.add_header("empty", Some(b""));
    }
    match i / 100 % 3 {
        _ if !is_bad(i) => out.set_value(i.to_string()),
        0 => out.set_value([0xff, 0, 1]),
        1 => out.set_value(format!("x{i}")),
        _ => {}
    }
}

/// Record i as [`record`] has it; a value that is not set is a tombstone.
#[derive(Clone)]
struct Numbered;

impl SerializationSchema<u64> for Numbered {
    fn serialize(&mut self, i: &u64, out: &mut ProducerRecord) -> Result<(), SchemaError> {
        record(*i, out);
        Ok(())
    }
}

fn fill(kafka: &KafkaFixture, topic: &str) {
    let ctx = StreamingContext::new(Configuration::empty());
    let sink = KafkaSink::new(&ctx).property("bootstrap.servers", kafka.bootstrap()).topic(topic);
    sink.serializer(Numbered).sink(ctx.generate(RECORDS, |i| i));
    ctx.execute("fill").expect("the job ends well");
}

fn reason(record: &Raw) -> String {
    let reason = match &record.value {
        None => "no value".to_owned(),
        Some(value) if value[0] == 0xff => "not text".to_owned(),
        Some(value) => format!("`{}` is no number", String::from_utf8_lossy(value)),
    };
    format!("can't decode {}[{}] offset {}: {reason}", record.topic, record.partition, record.offset)
}

type Raw = KafkaRecord<Option<Vec<u8>>>;

fn read_raw(kafka: &KafkaFixture, topic: &str) -> Vec<Raw> {
    let ctx = StreamingContext::new(Configuration::empty());
    let source = KafkaSource::<Option<Vec<u8>>>::new(&ctx).property("bootstrap.servers", kafka.bootstrap());
    let source = source.topic(topic).starting_offsets(OffsetsInitializer::Earliest).bounded();
    let records = source.stream().collect();
    ctx.execute("read").expect("the job ends well");
    records.take()
}

fn is_number(record: &Raw) -> bool {
    record.value.as_ref().is_some_and(|v| v.iter().all(u8::is_ascii_digit))
}

/// A context whose source reads `topic` from the beginning.
fn reading(kafka: &KafkaFixture, topic: &str, more: &str) -> StreamingContext {
    let (servers, group) = (kafka.bootstrap(), kafka.group());
    context(&format!(
        "kafka.source:\n  bootstrap.servers: {servers}\n  topic: {topic}\n  group.id: {group}\n  \
         auto.offset.reset: earliest\n  auto.commit.interval.ms: 200\n{more}"
    ))
}

fn numbers(ctx: &StreamingContext) -> DataStream<u64> {
    KafkaSource::new(ctx).deserializer(Number).bounded().values()
}

/// The 99,000 good ones, in any order, and nothing else.
#[track_caller]
fn expect_good(mut found: Vec<u64>) {
    found.sort_unstable();
    assert!(found == (0..RECORDS).filter(|i| !is_bad(*i)).collect::<Vec<_>>(), "{} values", found.len());
}

#[test]
fn fail_names_the_first_bad_record() {
    let kafka = KafkaFixture::new("bad-fail");
    let topic = kafka.topic("numbers", 4);
    fill(&kafka, &topic);
    let raw = read_raw(&kafka, &topic);
    assert_eq!(raw.iter().filter(|r| !is_number(r)).count(), BAD);
    let mut first: BTreeMap<i32, &Raw> = BTreeMap::new();
    for bad in raw.iter().filter(|r| !is_number(r)) {
        let found = first.entry(bad.partition).or_insert(bad);
        if bad.offset < found.offset {
            *found = bad;
        }
    }
    for more in ["", "  on_bad_record: fail\n"] {
        let ctx = reading(&kafka, &topic, more);
        numbers(&ctx).for_each(|_| {});
        let error = failure(ctx);
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(first.values().any(|r| error.message() == reason(r)), "{error}");
        let place = error.place().and_then(|p| p.position.clone()).expect("a position");
        assert!(first.values().any(|r| place == format!("{topic}[{}] offset {}", r.partition, r.offset)), "{place}");
    }
}

#[test]
fn skip_leaves_out_exactly_the_bad_ones_and_counts_them() {
    collect_log();
    let kafka = KafkaFixture::new("bad-skip");
    let topic = kafka.topic("numbers", 4);
    fill(&kafka, &topic);
    let ctx = reading(&kafka, &topic, "  on_bad_record: skip\n").parallelism(2);
    let found = numbers(&ctx).collect();
    ctx.execute("skip").expect("the job ends well");
    expect_good(found.take());
    assert_eq!(kafka.lag(&kafka.group(), &topic), [0, 0, 0, 0]);
    let log = logged();
    assert!(log.contains("kafka: 100000 records read, 1000 of them bad and skipped"), "{log}");
    let lines = log.lines().filter(|l| l.contains("bad record skipped") && l.contains(&topic)).count();
    assert!((5..=20).contains(&lines), "{lines} lines for 1000 bad records");
    let raw = read_raw(&kafka, &topic);
    let named = raw.iter().filter(|r| !is_number(r)).any(|r| log.contains(&format!("skipped: {}", reason(r))));
    assert!(named, "topic, partition, offset and reason are said");
}

#[test]
fn dead_letters_are_the_records_with_their_provenance() {
    collect_log();
    let kafka = KafkaFixture::new("bad-dead");
    let (topic, dead) = (kafka.topic("numbers", 4), kafka.topic("dead", 3));
    fill(&kafka, &topic);
    let ctx = reading(&kafka, &topic, &format!("  on_bad_record: dead_letter({dead})\n")).parallelism(2);
    let found = numbers(&ctx).collect();
    ctx.execute("dead").expect("the job ends well");
    expect_good(found.take());
    assert_eq!(kafka.lag(&kafka.group(), &topic), [0, 0, 0, 0]);
    let says = format!("kafka: 100000 records read, 1000 of them bad and sent to `{dead}`");
    assert!(logged().contains(&says), "{}", logged());

    let source: BTreeMap<(i32, i64), Raw> =
        read_raw(&kafka, &topic).into_iter().map(|r| ((r.partition, r.offset), r)).collect();
    let letters = read_raw(&kafka, &dead);
    assert_eq!(letters.len(), BAD);
    let mut seen = Vec::new();
    for letter in &letters {
        let header = |name: &str| String::from_utf8_lossy(letter.headers.last(name).expect(name)).into_owned();
        let partition: i32 = header("__streams.errors.partition").parse().expect("a number");
        let offset: i64 = header("__streams.errors.offset").parse().expect("a number");
        let original = &source[&(partition, offset)];
        assert!(!is_number(original), "{letter:?}");
        assert_eq!((&letter.value, &letter.key), (&original.value, &original.key));
        assert_eq!((letter.timestamp, letter.timestamp_type), (original.timestamp, original.timestamp_type));
        let mut expected = original.headers.clone();
        let text = reason(original);
        let (_, message) = text.split_once(": ").expect("a reason");
        for (name, value) in [
            ("__streams.errors.exception", "stream_kafka::SchemaError"),
            ("__streams.errors.message", message),
            ("__streams.errors.stacktrace", ""),
            ("__streams.errors.topic", &topic),
            ("__streams.errors.partition", &partition.to_string()),
            ("__streams.errors.offset", &offset.to_string()),
        ] {
            expected.push(name, Some(value.as_bytes()));
        }
        assert_eq!(letter.headers, expected);
        seen.push((partition, offset));
    }
    seen.sort_unstable();
    let bad: Vec<_> = source.iter().filter(|(_, r)| !is_number(r)).map(|(place, _)| *place).collect();
    assert_eq!(seen, bad, "each of them once");
}

#[test]
fn connect_headers_by_a_setting_and_the_policy_by_code() {
    let kafka = KafkaFixture::new("bad-connect");
    let (topic, dead) = (kafka.topic("numbers", 1), kafka.topic("dead", 1));
    kafka.fill(&topic, 1, |_, out: &mut ProducerRecord| out.set_value("x"));
    let more = "  on_bad_record: fail\n  dead_letter.format: connect\n";
    let ctx = reading(&kafka, &topic, more);
    let source = KafkaSource::new(&ctx).on_bad_record(BadRecords::dead_letter(&dead)).deserializer(Number).bounded();
    source.values().for_each(|_| {});
    ctx.execute("connect").expect("the job ends well");
    let letters = kafka.read(&dead);
    assert_eq!(letters.len(), 1);
    let found: Vec<_> = letters[0].headers.iter().map(|(n, v)| (n, String::from_utf8_lossy(v.expect(n)))).collect();
    let expected = [
        ("__connect.errors.topic", topic.as_str()),
        ("__connect.errors.partition", "0"),
        ("__connect.errors.offset", "0"),
        ("__connect.errors.connector.name", "kafka"),
        ("__connect.errors.task.id", "0"),
        ("__connect.errors.stage", "VALUE_CONVERTER"),
        ("__connect.errors.class.name", std::any::type_name::<Number>()),
        ("__connect.errors.exception.class.name", "stream_kafka::SchemaError"),
        ("__connect.errors.exception.message", "`x` is no number"),
        ("__connect.errors.exception.stacktrace", ""),
    ];
    assert_eq!(found, expected.map(|(n, v)| (n, v.into())));
}

/// `count` records that are all bad, in one partition.
fn all_bad(kafka: &KafkaFixture, count: u64) -> String {
    let topic = kafka.topic("bad", 1);
    kafka.fill(&topic, count, |_, out: &mut ProducerRecord| {
        out.set_value("x");
        out.set_partition(0);
    });
    topic
}

#[test]
fn an_input_that_is_all_bad_stops_the_job() {
    let kafka = KafkaFixture::new("bad-all");
    let (topic, dead) = (all_bad(&kafka, 5_000), kafka.topic("dead", 1));
    for policy in ["skip".to_owned(), format!("dead_letter({dead})")] {
        let ctx = reading(&kafka, &topic, &format!("  on_bad_record: {policy}\n"));
        numbers(&ctx).for_each(|_| {});
        let expected = format!(
            "error[data]: too many bad records: 901 of the last 901, and at most 900 of 1000 may be; the last one: \
             can't decode {topic}[0] offset 900: `x` is no number\n  --> operator `kafka` (uid kafka-1), subtask 1 of \
             1\n  --> source position {topic}[0] offset 900\n   = help: check that topic and schema belong together; \
             bad_records.max_ratio (0.9) and bad_records.window (1000) set the limit"
        );
        assert_eq!(failure(ctx).to_string(), expected);
    }
    // A tenth of a smaller window.
    let ctx =
        reading(&kafka, &topic, "  on_bad_record: skip\n  bad_records.max_ratio: 0.1\n  bad_records.window: 100\n");
    numbers(&ctx).for_each(|_| {});
    let message = "too many bad records: 11 of the last 11, and at most 10 of 100 may be; the last one: ";
    assert!(failure(ctx).message().starts_with(message));
    // Switched off.
    let ctx = reading(&kafka, &topic, "  on_bad_record: skip\n  bad_records.max_ratio: 1\n");
    let found = numbers(&ctx).collect();
    ctx.execute("all bad").expect("the job ends well");
    assert_eq!(found.take(), [0_u64; 0]);
    assert_eq!(kafka.lag(&kafka.group(), &topic), [0]);
}

#[test]
fn committed_positions_are_behind_the_dead_letters() {
    let kafka = KafkaFixture::new("bad-commit");
    let (topic, dead) = (all_bad(&kafka, 20_000), kafka.topic("dead", 2));
    let more = format!("  on_bad_record: dead_letter({dead})\n  bad_records.max_ratio: 1\n");
    let ctx = reading(&kafka, &topic, &more);
    KafkaSource::new(&ctx).deserializer(Number).values().for_each(|_| {});
    let job = ctx.start("commit").expect("a good plan");
    let lag = || kafka.lag(&kafka.group(), &topic)[0];
    wait_until("something is committed", LIMIT, || job.is_finished() || lag() < 20_000);
    // An abort flushes nothing: what is there was there before.
    job.abort();
    ended(&job).expect_err("aborted");
    let committed = 20_000 - lag();
    let letters: i64 = kafka.counts(&dead).iter().sum();
    assert!(letters >= committed, "{letters} dead letters for {committed} committed positions");

    // What was not committed comes again, so every record is there.
    let ctx = reading(&kafka, &topic, &more);
    numbers(&ctx).for_each(|_| {});
    ctx.execute("rest").expect("the job ends well");
    let offset = |r: &Raw| r.headers.last("__streams.errors.offset").map(<[u8]>::to_vec);
    let offsets: BTreeSet<_> = read_raw(&kafka, &dead).iter().map(offset).collect();
    assert_eq!((offsets.len(), lag()), (20_000, 0));
}

#[test]
fn dead_letters_wait_for_a_broker_that_is_away() {
    const COUNT: u64 = 60_000;
    let cluster = KafkaCluster::start_new("bad-outage");
    let kafka = KafkaFixture::on(cluster.bootstrap(), "bad-outage");
    let (topic, dead) = (all_bad(&kafka, COUNT), kafka.topic("dead", 2));
    let more = format!("  on_bad_record: dead_letter({dead})\n  bad_records.max_ratio: 1\n");
    let ctx = reading(&kafka, &topic, &more);
    // Slow enough for the broker to go in the middle of it.
    let mut seen = 0_u64;
    let slow = move |record: &RawRecord<'_>| {
        seen += 1;
        if seen.is_multiple_of(1_000) {
            Waker::new().park(Duration::from_millis(50));
        }
        Err::<u64, _>(format!("{} is bad", record.offset()))
    };
    KafkaSource::new(&ctx).decode(slow).values().for_each(|_| {});
    let job = ctx.start("outage").expect("a good plan");
    let letters = || kafka.counts(&dead).iter().sum::<i64>();
    wait_until("some dead letters", LIMIT, || job.is_finished() || letters() > 5_000);
    cluster.stop();
    // Longer than a commit waits for dead letters, so that some commits give up.
    Waker::new().park(Duration::from_secs(8));
    assert!(!job.is_finished(), "{:?}", job.wait());
    cluster.start();
    wait_until("all is committed", LIMIT, || job.is_finished() || kafka.lag(&kafka.group(), &topic) == [0]);
    // Nothing is flushed by an abort.
    job.abort();
    ended(&job).expect_err("aborted");
    let message = |r: &Raw| r.headers.last("__streams.errors.message").map(<[u8]>::to_vec);
    let messages: BTreeSet<_> = read_raw(&kafka, &dead).iter().map(message).collect();
    assert_eq!(messages.len() as u64, COUNT, "nothing is lost");
}

#[test]
fn without_a_group_dead_letters_are_flushed_all_the_same() {
    let kafka = KafkaFixture::new("bad-no-group");
    let (topic, dead) = (all_bad(&kafka, 500), kafka.topic("dead", 1));
    let ctx = StreamingContext::new(Configuration::empty());
    let source = KafkaSource::new(&ctx).property("bootstrap.servers", kafka.bootstrap()).topic(&topic);
    let source = source.starting_offsets(OffsetsInitializer::Earliest).bounded().deserializer(Number);
    source.on_bad_record(BadRecords::dead_letter(&dead)).values().for_each(|_| {});
    ctx.execute("no group").expect("the job ends well");
    assert_eq!(kafka.counts(&dead), [500]);
}

#[test]
fn a_dead_letter_that_is_refused_fails_the_job_before_its_position_is_committed() {
    let kafka = KafkaFixture::new("bad-lost");
    let (topic, dead) = (kafka.topic("large", 1), kafka.topic("dead", 1));
    // Just below what a topic takes; the headers make it too large.
    kafka.fill(&topic, 1, |_, out: &mut ProducerRecord| out.set_value(vec![0xff; 1_048_400]));
    let ctx = reading(&kafka, &topic, &format!("  on_bad_record: dead_letter({dead})\n"));
    numbers(&ctx).for_each(|_| {});
    let error = failure(ctx);
    assert_eq!(error.kind(), ErrorKind::Data);
    let message = format!("a dead letter was lost: a record for `{dead}` partition 0 was not delivered: ");
    assert!(error.message().starts_with(&message) && error.message().contains("MessageSizeTooLarge"), "{error}");
    assert_eq!(kafka.lag(&kafka.group(), &topic), [1]);
}

#[test]
fn a_missing_dead_letter_topic_is_said_at_the_start() {
    let kafka = KafkaFixture::new("bad-missing");
    let topic = all_bad(&kafka, 1);
    let ctx = reading(&kafka, &topic, &format!("  on_bad_record: dead_letter({topic}-dead)\n"));
    numbers(&ctx).for_each(|_| {});
    let expected = format!(
        "error[config]: no such topic on {}: `{topic}-dead`, the dead-letter topic\n  --> operator `kafka` (uid \
         kafka-1), subtask 1 of 1\n   = help: create it first, or correct on_bad_record; the topic is not created by writing to it",
        kafka.bootstrap()
    );
    assert_eq!(failure(ctx).to_string(), expected);
}

#[test]
fn wrong_settings_are_refused_with_place_and_hint() {
    for (line, mark, message, hint) in [
        (
            "on_bad_record: drop",
            "18",
            "`drop` under `on_bad_record` is not one of `fail`, `skip`, `dead_letter(TOPIC)`",
            "correct the value, or remove the line to use the default",
        ),
        (
            "on_bad_record: dead_letter",
            "18",
            "`dead_letter` under `on_bad_record` names no topic",
            "write `dead_letter(TOPIC)`, with a topic that exists",
        ),
        (
            "on_bad_record: dead_letter(a/b)",
            "18",
            "`a/b` under `on_bad_record` is not a topic name",
            "names have letters, digits, `.`, `_` and `-`, 249 at most",
        ),
        (
            "on_bad_record: dead_letter(t)",
            "18",
            "`t` is the dead-letter topic of a source that reads it",
            "choose a topic of its own for bad records",
        ),
        (
            "bad_records.max_ratio: 90",
            "26",
            "`90` under `bad_records.max_ratio` is not a number from 0 to 1",
            "write 0.9 for 90 %; 1 turns the limit off",
        ),
        (
            "bad_records.window: 500",
            "23",
            "`bad_records.window` has no effect: nothing is done with bad records",
            "set on_bad_record to `skip` or `dead_letter(TOPIC)`, or remove the line",
        ),
        (
            "dead_letter.format: connect",
            "23",
            "`dead_letter.format` has no effect: nothing is done with bad records",
            "set on_bad_record to `dead_letter(TOPIC)`, or remove the line",
        ),
        (
            "dead_letter.format: flink",
            "23",
            "`flink` under `dead_letter.format` is not one of `streams`, `connect`",
            "correct the value, or remove the line to use the default",
        ),
    ] {
        let ctx = context(&format!("kafka.source:\n  bootstrap.servers: h:9092\n  topic: t\n  {line}\n"));
        numbers(&ctx).for_each(|_| {});
        let (key, value) = line.split_once(": ").expect("a setting");
        let (blank, under) = (" ".repeat(key.len() + 4), "^".repeat(value.len()));
        let expected = format!(
            "error[config]: {message}\n  --> application.yml:4:{mark}\n   |\n 4 |   {line}\n   | {blank}{under}\n   = \
             key: kafka.source.{key}\n   = help: {hint}"
        );
        assert_eq!(failure(ctx).to_string(), expected);
    }
}

#[test]
fn a_dead_letter_topic_in_code_is_checked_too() {
    let ctx = context("kafka.source:\n  bootstrap.servers: h:9092\n  topic: t\n");
    let source = KafkaSource::new(&ctx).deserializer(Number).on_bad_record(BadRecords::dead_letter("a b"));
    source.values().for_each(|_| {});
    let expected = "error[config]: `a b` is the dead-letter topic and no topic name\n  --> \
                    application.yml:2:3\n   = key: \
                    kafka.source.on_bad_record\n   = help: correct the argument of .on_bad_record(…)";
    assert_eq!(failure(ctx).to_string(), expected);
}
