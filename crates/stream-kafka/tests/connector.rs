//! Source, sink and partitioner on a real broker: where reading begins and ends, what a record carries, where
//! records go, what is committed.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{LIMIT, context, ended, failure, fill_numbers, run_until, run_until_collected, sorted_numbers};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use stream_core::clock::{Clock, SystemClock};
use stream_core::{Collected, DataStream, ErrorKind, StreamingContext, Timestamp};
use stream_kafka::{
    KafkaDeserializationSchema, KafkaRecord, KafkaSink, KafkaSource, OffsetsInitializer, ProducerRecord, RawRecord,
    SchemaError, TimestampType, Topic,
};
use stream_testkit::{KafkaFixture, wait_until};

/// A context whose source reads `topic` in the test's group and commits twice a second.
fn reading(kafka: &KafkaFixture, topic: &str, more: &[(&str, &str)]) -> StreamingContext {
    let (servers, group) = (kafka.bootstrap(), kafka.group());
    let mut yaml = format!(
        "kafka.source:\n  bootstrap.servers: {servers}\n  topic: {topic}\n  group.id: {group}\n  \
         auto.commit.interval.ms: 500\n"
    );
    for (key, value) in more {
        yaml.push_str(&format!("  {key}: {value}\n"));
    }
    context(&yaml)
}

fn sink<'c>(ctx: &'c StreamingContext, kafka: &KafkaFixture, topic: &str) -> KafkaSink<'c> {
    KafkaSink::new(ctx).property("bootstrap.servers", kafka.bootstrap()).property("topic", topic)
}

fn values(records: Vec<KafkaRecord<String>>) -> Vec<u64> {
    sorted_numbers(records.into_iter().map(|r| r.value))
}

fn earliest(kafka: &KafkaFixture, topic: &str) -> StreamingContext {
    reading(kafka, topic, &[("auto.offset.reset", "earliest")])
}

#[test]
fn a_restart_goes_on_at_the_committed_positions() {
    let kafka = KafkaFixture::new("restart");
    let topic = kafka.topic("numbers", 3);
    fill_numbers(&kafka, &topic, 90, 3);
    let ctx = earliest(&kafka, &topic);
    let first = KafkaSource::<String>::new(&ctx).stream().collect();
    assert_eq!(values(run_until_collected(ctx, &first, 90)), (0..90).collect::<Vec<_>>());
    assert_eq!(kafka.lag(&kafka.group(), &topic), [0, 0, 0]);

    kafka.fill(&topic, 30, |i, out: &mut ProducerRecord| {
        out.set_value((90 + i).to_string());
        out.set_partition(i32::try_from(i % 3).expect("small"));
    });
    assert_eq!(kafka.lag(&kafka.group(), &topic), [10, 10, 10]);
    let ctx = earliest(&kafka, &topic);
    let second = KafkaSource::<String>::new(&ctx).bounded().stream().collect();
    ctx.execute("second").expect("the job ends well");
    assert_eq!(values(second.take()), (90..120).collect::<Vec<_>>());
    assert_eq!(kafka.lag(&kafka.group(), &topic), [0, 0, 0]);
}

#[test]
fn positions_are_committed_while_the_job_runs() {
    let kafka = KafkaFixture::new("commit");
    let topic = kafka.topic("numbers", 2);
    fill_numbers(&kafka, &topic, 100, 2);
    let ctx = earliest(&kafka, &topic);
    KafkaSource::<String>::new(&ctx).values().for_each(|_| {});
    let job = ctx.start("commit").expect("a good plan");
    wait_until("lag 0 without an end", LIMIT, || job.is_finished() || kafka.lag(&kafka.group(), &topic) == [0, 0]);
    // Nothing is drained, flushed or committed by an abort: what is committed was so before.
    job.abort();
    ended(&job).expect_err("aborted");
    assert_eq!(kafka.lag(&kafka.group(), &topic), [0, 0]);
}

#[test]
fn latest_reads_only_what_comes_after_the_start() {
    let kafka = KafkaFixture::new("latest");
    let topic = kafka.topic("numbers", 1);
    fill_numbers(&kafka, &topic, 10, 1);
    for start in [OffsetsInitializer::Committed, OffsetsInitializer::Latest] {
        let ctx = reading(&kafka, &topic, &[("auto.offset.reset", "latest")]);
        let records = KafkaSource::<String>::new(&ctx).starting_offsets(start).stream().collect();
        let end = kafka.counts(&topic)[0];
        let job = ctx.start("latest").expect("a good plan");
        // Its position shows in the group as soon as it has read to the end, which it does without a record.
        wait_until("the job is at the end", LIMIT, || job.is_finished() || kafka.lag(&kafka.group(), &topic) == [0]);
        fill_numbers(&kafka, &topic, 5, 1);
        wait_until("five records", LIMIT, || job.is_finished() || records.len() >= 5);
        job.stop();
        job.wait().expect("the job ends well");
        let offsets: Vec<i64> = records.take().iter().map(|r| r.offset).collect();
        assert_eq!(offsets, (end..end + 5).collect::<Vec<_>>());
    }
}

#[test]
fn earliest_by_code_wins_over_the_group() {
    let kafka = KafkaFixture::new("earliest");
    let topic = kafka.topic("numbers", 1);
    fill_numbers(&kafka, &topic, 10, 1);
    for _ in 0..2 {
        let ctx = reading(&kafka, &topic, &[]);
        let source = KafkaSource::<String>::new(&ctx).starting_offsets(OffsetsInitializer::Earliest).bounded();
        let records = source.stream().collect();
        ctx.execute("earliest").expect("the job ends well");
        assert_eq!(values(records.take()), (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn without_a_position_and_with_reset_none_nothing_is_guessed() {
    let kafka = KafkaFixture::new("none");
    let topic = kafka.topic("numbers", 1);
    let ctx = reading(&kafka, &topic, &[("auto.offset.reset", "none")]);
    KafkaSource::<String>::new(&ctx).values().for_each(|_| {});
    let error = failure(ctx);
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(error.message(), format!("the group has no position for `{topic}` partition 0"));
    assert!(error.place().is_some_and(|place| place.operator.contains("kafka")), "{error}");
}

#[test]
fn bounded_ends_with_empty_partitions_and_an_empty_topic() {
    let kafka = KafkaFixture::new("bounded");
    let (some, empty) = (kafka.topic("some", 4), kafka.topic("empty", 2));
    fill_numbers(&kafka, &some, 10, 1);
    for (topic, count) in [(&some, 10), (&empty, 0)] {
        for parallelism in [1, 3, 6] {
            let ctx = earliest(&kafka, topic).parallelism(parallelism);
            let source = KafkaSource::<String>::new(&ctx).starting_offsets(OffsetsInitializer::Earliest).bounded();
            let records = source.stream().collect();
            let job = ctx.start("bounded").expect("a good plan");
            ended(&job).expect("the job ends by itself");
            assert_eq!(values(records.take()), (0..count).collect::<Vec<_>>(), "at parallelism {parallelism}");
        }
    }
    assert_eq!(kafka.lag(&kafka.group(), &some), [0, 0, 0, 0]);
}

/// Ten records committed, ten aborted, ten committed: the log ends in a control record, which nobody reads.
fn fill_in_transactions(kafka: &KafkaFixture, topic: &str) {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", kafka.bootstrap()).set("transactional.id", topic);
    let producer: BaseProducer = settings.create().expect("a producer");
    producer.init_transactions(LIMIT).expect("init");
    for round in 0..3 {
        producer.begin_transaction().expect("begin");
        for i in 0..10 {
            let value = (10 * round + i).to_string();
            producer.send(BaseRecord::<(), _>::to(topic).payload(&value).partition(0)).expect("room");
        }
        // Written before it is aborted, so that readers meet it.
        producer.flush(LIMIT).expect("flush");
        let ended = if round == 1 { producer.abort_transaction(LIMIT) } else { producer.commit_transaction(LIMIT) };
        ended.expect("end");
    }
}

#[test]
fn bounded_ends_at_control_records() {
    let kafka = KafkaFixture::new("transactions");
    let topic = kafka.topic("numbers", 1);
    fill_in_transactions(&kafka, &topic);
    let committed: Vec<u64> = (0..10).chain(20..30).collect();
    for (level, expected) in [("read_uncommitted", (0..30).collect()), ("read_committed", committed)] {
        let more = [("auto.offset.reset", "earliest"), ("isolation.level", level)];
        let ctx = reading(&kafka, &topic, &more);
        let source = KafkaSource::<String>::new(&ctx).starting_offsets(OffsetsInitializer::Earliest).bounded();
        let records = source.stream().collect();
        let job = ctx.start("bounded").expect("a good plan");
        ended(&job).expect("the job ends by itself");
        assert_eq!(values(records.take()), expected, "{level}");
        assert_eq!(kafka.lag(&kafka.group(), &topic), [0], "{level}");
    }
}

#[test]
fn without_a_group_nothing_is_committed() {
    let kafka = KafkaFixture::new("no-group");
    let topic = kafka.topic("numbers", 1);
    fill_numbers(&kafka, &topic, 10, 1);
    let servers = kafka.bootstrap();
    let ctx = context(&format!(
        "kafka.source:\n  bootstrap.servers: {servers}\n  topic: {topic}\n  auto.offset.reset: earliest\n"
    ));
    let records = KafkaSource::<String>::new(&ctx).stream().collect();
    assert_eq!(run_until_collected(ctx, &records, 10).len(), 10);
    assert_eq!(kafka.lag("stream-rs-without-group", &topic), [10]);
}

#[test]
fn tombstones_are_none_or_an_error() {
    let kafka = KafkaFixture::new("tombstones");
    let topic = kafka.topic("values", 1);
    // A record without a value is a tombstone; an empty value is none.
    let ctx = StreamingContext::new(stream_core::Configuration::empty());
    sink(&ctx, &kafka, &topic).serializer(Nullable).sink(ctx.from_iter([Some("a"), Some(""), None]));
    ctx.execute("write").expect("the job ends well");

    let ctx = earliest(&kafka, &topic);
    let values = KafkaSource::<Option<String>>::new(&ctx).bounded().values().collect();
    ctx.execute("options").expect("the job ends well");
    assert_eq!(values.take(), [Some("a".to_owned()), Some(String::new()), None]);

    let ctx = reading(&kafka, &topic, &[]);
    let source = KafkaSource::<String>::new(&ctx).starting_offsets(OffsetsInitializer::Earliest);
    source.values().for_each(|_| {});
    let error = failure(ctx);
    assert_eq!(error.kind(), ErrorKind::Data);
    let expected =
        format!("can't decode {topic}[0] offset 2: the value is null (a tombstone); use Option<…> to accept those");
    assert_eq!(error.message(), expected);
}

/// Writes `None` as a tombstone.
#[derive(Clone)]
struct Nullable;

impl stream_kafka::SerializationSchema<Option<&'static str>> for Nullable {
    fn serialize(&mut self, value: &Option<&'static str>, record: &mut ProducerRecord) -> Result<(), SchemaError> {
        if let Some(text) = value {
            record.set_value(text);
        }
        Ok(())
    }
}

#[test]
fn key_headers_timestamp_partition_and_topic_come_back() {
    let kafka = KafkaFixture::new("roundtrip");
    let (topic, other) = (kafka.topic("main", 3), kafka.topic("other", 2));
    let ctx = StreamingContext::new(stream_core::Configuration::empty());
    let to_other = Topic::new(&other);
    sink(&ctx, &kafka, &topic)
        .serializer(|i: &u64| format!("value-{i}").into_bytes())
        .key(|i: &u64| format!("key-{i}").into_bytes())
        .header("number", |i: &u64| i.to_string().into_bytes())
        .timestamp(|i: &u64| Timestamp::from_millis(1_600_000_000_000 + i64::try_from(*i).expect("small")))
        .with(move |i: &u64, record: &mut ProducerRecord| {
            record.add_header("number", None);
            record.add_header("empty", Some(b""));
            match i % 4 {
                0 => record.set_partition(2),
                1 => record.set_topic(to_other),
                2 => record.set_key(""),
                _ => {}
            }
        })
        .sink(ctx.generate(8, |i| i));
    ctx.execute("write").expect("the job ends well");

    let read = [kafka.read(&topic), kafka.read(&other)].concat();
    assert_eq!(read.len(), 8);
    for record in read {
        let i: u64 = record.value.strip_prefix("value-").and_then(|i| i.parse().ok()).expect("a number");
        let key = if i % 4 == 2 { String::new() } else { format!("key-{i}") };
        assert_eq!(record.key_str(), Some(key.as_str()));
        let number = i.to_string();
        let headers: Vec<_> = record.headers.iter().collect();
        assert_eq!(headers, [("number", Some(number.as_bytes())), ("number", None), ("empty", Some(&b""[..]))]);
        assert_eq!(record.headers.last("number"), None);
        assert_eq!(record.timestamp.as_millis(), 1_600_000_000_000 + i64::try_from(i).expect("small"));
        assert_eq!(record.timestamp_type, TimestampType::CreateTime);
        assert_eq!(record.topic.as_str(), if i % 4 == 1 { &other } else { &topic });
        if i.is_multiple_of(4) {
            assert_eq!(record.partition, 2);
        }
        assert_eq!(record.leader_epoch, Some(0));
    }
}

#[test]
fn a_record_keeps_its_event_time_on_the_way_through() {
    let kafka = KafkaFixture::new("event-time");
    let (from, to) = (kafka.topic("from", 2), kafka.topic("to", 2));
    kafka.fill(&from, 20, |i, out: &mut ProducerRecord| {
        out.set_value(i.to_string());
        out.set_timestamp(Timestamp::from_millis(1_500_000_000_000 + 1_000 * i64::try_from(i).expect("small")));
    });
    let ctx = earliest(&kafka, &from);
    let numbers = KafkaSource::<String>::new(&ctx).bounded().values().map(|v| v);
    sink(&ctx, &kafka, &to).sink(numbers);
    ctx.execute("copy").expect("the job ends well");
    for record in kafka.read(&to) {
        let i: i64 = record.value.parse().expect("a number");
        assert_eq!(record.timestamp.as_millis(), 1_500_000_000_000 + 1_000 * i);
        assert_eq!(record.key, None);
    }
    // Without an event time the client stamps the record when it is written.
    let before = SystemClock::new().wall();
    let ctx = StreamingContext::new(stream_core::Configuration::empty());
    let now = kafka.topic("now", 1);
    sink(&ctx, &kafka, &now).sink(ctx.from_iter(["x"]));
    ctx.execute("write").expect("the job ends well");
    assert!(kafka.read(&now)[0].timestamp >= before);
}

/// Splits at blanks; the word `end` ends its partition.
#[derive(Clone)]
struct Words;

impl KafkaDeserializationSchema<String> for Words {
    fn deserialize(&mut self, record: &RawRecord<'_>, out: &mut Vec<String>) -> Result<(), SchemaError> {
        let text = std::str::from_utf8(record.value().unwrap_or_default());
        let text = text.map_err(|e| SchemaError::new(e.to_string()))?;
        out.extend(text.split_whitespace().map(str::to_owned));
        Ok(())
    }

    fn is_end_of_stream(&self, value: &String) -> bool {
        value == "end"
    }
}

fn fill_lines(kafka: &KafkaFixture, topic: &str, lines: &'static [&'static str], partitions: usize) {
    kafka.fill(topic, lines.len() as u64, move |i, out: &mut ProducerRecord| {
        let i = usize::try_from(i).expect("small");
        out.set_value(lines[i]);
        out.set_partition(i32::try_from(i % partitions).expect("small"));
    });
}

#[test]
fn one_record_may_yield_none_or_several_values() {
    let kafka = KafkaFixture::new("words");
    let topic = kafka.topic("lines", 1);
    fill_lines(&kafka, &topic, &["to be or", "", "not to be", "   "], 1);
    let ctx = earliest(&kafka, &topic);
    let words = KafkaSource::new(&ctx).deserializer(Words).bounded().stream().collect();
    ctx.execute("words").expect("the job ends well");
    let words: Vec<_> = words.take().into_iter().map(|r| (r.offset, r.value)).collect();
    let expected = [(0, "to"), (0, "be"), (0, "or"), (2, "not"), (2, "to"), (2, "be")];
    assert_eq!(words, expected.map(|(offset, word)| (offset, word.to_owned())));
    assert_eq!(kafka.lag(&kafka.group(), &topic), [0]);
}

#[test]
fn the_stream_ends_where_the_schema_says_so() {
    for parallelism in [1, 2, 4] {
        let kafka = KafkaFixture::new("end");
        let topic = kafka.topic("lines", 2);
        fill_lines(&kafka, &topic, &["a", "b c", "d end e", "f", "after", "g end", "after", "after"], 2);
        let ctx = earliest(&kafka, &topic).parallelism(parallelism);
        let words = KafkaSource::new(&ctx).deserializer(Words).values().collect();
        let job = ctx.start("end").expect("a good plan");
        ended(&job).expect("the job ends by itself");
        let mut words = words.take();
        words.sort_unstable();
        assert_eq!(words, ["a", "b", "c", "d", "f", "g"], "at parallelism {parallelism}");
        // The end itself was read, what follows it was not.
        assert_eq!(kafka.lag(&kafka.group(), &topic), [2, 1], "at parallelism {parallelism}");
    }
}

#[test]
fn records_are_spread_evenly_whatever_the_parallelism() {
    let kafka = KafkaFixture::new("even");
    for partitions in [1, 3, 5] {
        for parallelism in 1..=3_usize {
            let topic = kafka.topic(&format!("{partitions}-{parallelism}"), partitions);
            let ctx = StreamingContext::new(stream_core::Configuration::empty()).parallelism(parallelism);
            sink(&ctx, &kafka, &topic).sink(ctx.generate(10_007, |i| i.to_string()));
            ctx.execute("write").expect("the job ends well");
            let counts = kafka.counts(&topic);
            assert_eq!(counts.iter().sum::<i64>(), 10_007);
            let spread = counts.iter().max().expect("some") - counts.iter().min().expect("some");
            assert!(spread <= i64::try_from(parallelism).expect("small"), "{counts:?} at parallelism {parallelism}");
        }
    }
}

#[test]
fn a_large_record_passes() {
    let kafka = KafkaFixture::new("large");
    let topic = kafka.topic("large", 1);
    let ctx = StreamingContext::new(stream_core::Configuration::empty());
    sink(&ctx, &kafka, &topic).sink(ctx.generate(10, |i| i.to_string().repeat(900_000)));
    ctx.execute("write").expect("the job ends well");
    let lengths: Vec<usize> = kafka.read(&topic).iter().map(|r| r.value.len()).collect();
    assert_eq!(lengths, [900_000; 10]);
}

#[test]
fn two_sinks_of_one_stream_get_every_record() {
    let kafka = KafkaFixture::new("two-sinks");
    let from = kafka.topic("from", 2);
    let to = [kafka.topic("to-1", 2), kafka.topic("to-2", 3)];
    fill_numbers(&kafka, &from, 5_000, 2);
    let ctx = earliest(&kafka, &from).parallelism(2);
    let numbers = KafkaSource::<String>::new(&ctx).values();
    sink(&ctx, &kafka, &to[0]).sink(numbers.clone());
    sink(&ctx, &kafka, &to[1]).sink(numbers);
    let written = |topic: &String| kafka.counts(topic).iter().sum::<i64>();
    run_until(ctx, "both topics are written", || to.iter().all(|topic| written(topic) >= 5_000));
    for topic in &to {
        assert_eq!(values(kafka.read(topic)), (0..5_000).collect::<Vec<_>>());
    }
    assert_eq!(kafka.lag(&kafka.group(), &from), [0, 0]);
}

#[test]
fn nothing_is_lost_from_one_source_over_rebalance_to_three_sinks() {
    let kafka = KafkaFixture::new("rebalance");
    let (from, to) = (kafka.topic("from", 4), kafka.topic("to", 3));
    fill_numbers(&kafka, &from, 20_000, 4);
    let ctx = earliest(&kafka, &from);
    let numbers: DataStream<String> = KafkaSource::<String>::new(&ctx).values().parallelism(1).rebalance();
    sink(&ctx, &kafka, &to).sink(numbers).parallelism(3);
    run_until(ctx, "all is written", || kafka.counts(&to).iter().sum::<i64>() >= 20_000);
    assert_eq!(values(kafka.read(&to)), (0..20_000).collect::<Vec<_>>());
    assert_eq!(kafka.lag(&kafka.group(), &from), [0; 4]);
}

#[test]
fn a_stop_in_the_middle_drains_and_commits_exactly_what_was_read() {
    let kafka = KafkaFixture::new("stop");
    let (from, to) = (kafka.topic("from", 3), kafka.topic("to", 2));
    fill_numbers(&kafka, &from, 200_000, 3);
    let ctx = earliest(&kafka, &from).parallelism(2);
    let numbers = KafkaSource::<String>::new(&ctx).values();
    let seen = numbers.clone().map(|v| v.len()).collect();
    sink(&ctx, &kafka, &to).sink(numbers);
    run_until(ctx, "something was read", || !seen.is_empty());

    let lag = kafka.lag(&kafka.group(), &from).iter().sum::<i64>();
    let written: BTreeSet<u64> = values(kafka.read(&to)).into_iter().collect();
    assert_eq!(written.len() as i64, 200_000 - lag, "what is committed is written, and nothing else");
    // The rest is read by the next run.
    let ctx = earliest(&kafka, &from);
    let rest: Collected<String> = KafkaSource::<String>::new(&ctx).bounded().values().collect();
    ctx.execute("rest").expect("the job ends well");
    let rest = sorted_numbers(rest.take());
    assert!(rest.iter().all(|i| !written.contains(i)), "nothing twice after a good stop");
    assert_eq!(written.len() + rest.len(), 200_000);
}

#[test]
fn order_is_kept_per_partition_when_subtasks_outnumber_partitions() {
    let kafka = KafkaFixture::new("many-subtasks");
    let topic = kafka.topic("numbers", 2);
    fill_numbers(&kafka, &topic, 1_000, 2);
    let ctx = earliest(&kafka, &topic).parallelism(5);
    let records = KafkaSource::<String>::new(&ctx).stream().collect();
    let mut last: BTreeMap<i32, i64> = BTreeMap::new();
    for record in run_until_collected(ctx, &records, 1_000) {
        let before = last.insert(record.partition, record.offset);
        assert_eq!(record.offset, before.map_or(0, |offset| offset + 1));
    }
    assert_eq!(kafka.lag(&kafka.group(), &topic), [0, 0]);
}
