//! The YAML samples of StreamPark's page on its Kafka connector, as printed there, with other hosts and topics:
//! each drives a real job, at the top level, nested and below `app:`.

mod common;

use common::{
    User, UserSchema, context, failure, fill_numbers, layouts, run_until, run_until_collected, sorted_numbers,
};
use stream_conf::Format;
use stream_core::{ErrorKind, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource, ProducerRecord};
use stream_testkit::KafkaFixture;

const SOURCE: &str = "\
kafka.source:
  bootstrap.servers: kfk1:9092,kfk2:9092,kfk3:9092
  topic: test_user
  group.id: user_01
  auto.offset.reset: earliest
  enable.auto.commit: true
";

const TWO_SOURCES: &str = "\
kafka.source:
  kafka1:
    bootstrap.servers: kfk1:9092,kfk2:9092,kfk3:9092
    topic: test_user
    group.id: user_01
    auto.offset.reset: earliest
    enable.auto.commit: true
  kafka2:
    bootstrap.servers: kfk4:9092,kfk5:9092,kfk6:9092
    topic: kafka2
    group.id: kafka2
    auto.offset.reset: earliest
    enable.auto.commit: true
";

/// The page ends it with a line of three dots, which stands for what else one may set.
const SEVERAL_TOPICS: &str = "\
kafka.source:
  bootstrap.servers: kfk1:9092,kfk2:9092,kfk3:9092
  topic: topic1,topic2,topic3...
  group.id: user_01
  auto.offset.reset: earliest # (earliest | latest)
";

const SINK: &str = "\
kafka.sink:
    bootstrap.servers: kfk1:9092,kfk2:9092,kfk3:9092
    topic: kfk_sink
    transaction.timeout.ms: 1000
    semantic: AT_LEAST_ONCE # EXACTLY_ONCE|AT_LEAST_ONCE|NONE
    batch.size: 1
";

const TWO_SINKS: &str = "\
kafka.sink:
    kafka_cluster1:
        bootstrap.servers: kfk1:9092,kfk2:9092,kfk3:9092
        topic: kfk_sink
        transaction.timeout.ms: 1000
        semantic: AT_LEAST_ONCE # EXACTLY_ONCE|AT_LEAST_ONCE|NONE
        batch.size: 1
    kafka_cluster2:
        bootstrap.servers: kfk6:9092,kfk7:9092,kfk8:9092
        topic: kfk_sink
        transaction.timeout.ms: 1000
        semantic: AT_LEAST_ONCE # EXACTLY_ONCE|AT_LEAST_ONCE|NONE
        batch.size: 1
";

/// The sample with our broker in place of the page's hosts.
fn on(kafka: &KafkaFixture, sample: &str) -> String {
    let lists = ["kfk1:9092,kfk2:9092,kfk3:9092", "kfk4:9092,kfk5:9092,kfk6:9092", "kfk6:9092,kfk7:9092,kfk8:9092"];
    lists.iter().fold(sample.to_owned(), |text, hosts| text.replace(hosts, kafka.bootstrap()))
}

/// The groups of the page would be shared by all tests and runs.
fn in_group(text: &str, group: &str, own: &str) -> String {
    text.replace(&format!("group.id: {group}\n"), &format!("group.id: {own}\n"))
}

fn all(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn the_first_sample_reads_strings() {
    let kafka = KafkaFixture::new("sample-source");
    let topic = kafka.topic("test_user", 3);
    fill_numbers(&kafka, &topic, 300, 3);
    for (i, layout) in layouts(SOURCE).into_iter().enumerate() {
        let group = format!("{}-{i}", kafka.group());
        let yaml = in_group(&on(&kafka, &layout).replace("test_user", &topic), "user_01", &group);
        let ctx = context(&yaml);
        let records = KafkaSource::<String>::new(&ctx).stream().collect();
        let records = run_until_collected(ctx, &records, 300);
        assert!(records.iter().all(|r| r.topic.as_str() == topic && r.key.is_none()), "{yaml}");
        assert_eq!(sorted_numbers(records.into_iter().map(|r| r.value)), all(300), "{yaml}");
        assert_eq!(kafka.lag(&group, &topic), [0, 0, 0], "{yaml}");
    }
}

#[test]
fn two_instances_are_told_apart_by_alias() {
    let kafka = KafkaFixture::new("sample-alias");
    let (one, two) = (kafka.topic("one", 2), kafka.topic("two", 2));
    fill_numbers(&kafka, &one, 50, 2);
    fill_numbers(&kafka, &two, 70, 2);
    for (i, layout) in layouts(TWO_SOURCES).into_iter().enumerate() {
        let groups = [1, 2].map(|n| format!("{}-{i}-{n}", kafka.group()));
        let yaml = on(&kafka, &layout).replace("test_user", &one).replace("topic: kafka2", &format!("topic: {two}"));
        let yaml = in_group(&in_group(&yaml, "user_01", &groups[0]), "kafka2", &groups[1]);
        let ctx = context(&yaml);
        let source = |alias: &str, uid: &str| {
            KafkaSource::<String>::new(&ctx).alias(alias).stream().uid(uid).name(uid).map(|r| r.value).collect()
        };
        let (first, second) = (source("kafka1", "kfkSource1"), source("kafka2", "kfkSource2"));
        run_until(ctx, "both topics", || first.len() >= 50 && second.len() >= 70);
        assert_eq!(sorted_numbers(first.take()), all(50), "{yaml}");
        assert_eq!(sorted_numbers(second.take()), all(70), "{yaml}");
        assert_eq!((kafka.lag(&groups[0], &one), kafka.lag(&groups[1], &two)), (vec![0, 0], vec![0, 0]), "{yaml}");
    }
}

/// Topics of 10, 20 and 30 records.
fn three_topics(kafka: &KafkaFixture) -> [String; 3] {
    let topics = ["topic1", "topic2", "topic3"].map(|name| kafka.topic(name, 1));
    for (topic, count) in topics.iter().zip([10, 20, 30]) {
        fill_numbers(kafka, topic, count, 1);
    }
    topics
}

/// How many records of each topic were read.
fn read_counts(ctx: StreamingContext, source: KafkaRecords, topics: &[String; 3], expected: [usize; 3]) {
    let records = run_until_collected(ctx, &source, expected.iter().sum());
    let counts = topics.each_ref().map(|topic| records.iter().filter(|r| r.topic.as_str() == topic).count());
    assert_eq!(counts, expected);
}

type KafkaRecords = stream_core::Collected<stream_kafka::KafkaRecord<String>>;

#[test]
fn several_topics_are_all_read() {
    let kafka = KafkaFixture::new("sample-topics");
    let topics = three_topics(&kafka);
    let lists = [topics.join(","), topics.join(" "), topics.join(", "), format!("[{}]", topics.join(", "))];
    let listed: String = topics.iter().map(|topic| format!("\n    - {topic}")).collect();
    for (i, list) in lists.into_iter().chain([listed]).enumerate() {
        let sample = SEVERAL_TOPICS.replace("topic1,topic2,topic3...", &list);
        for (j, layout) in layouts(&sample).into_iter().enumerate() {
            let group = format!("{}-{i}-{j}", kafka.group());
            let ctx = context(&in_group(&on(&kafka, &layout), "user_01", &group));
            let records = KafkaSource::<String>::new(&ctx).stream().collect();
            read_counts(ctx, records, &topics, [10, 20, 30]);
            for topic in &topics {
                assert_eq!(kafka.lag(&group, topic), [0]);
            }
        }
    }
}

#[test]
fn one_or_some_of_several_topics_are_read_by_name() {
    let kafka = KafkaFixture::new("sample-some-topics");
    let topics = three_topics(&kafka);
    let yaml = on(&kafka, SEVERAL_TOPICS).replace("topic1,topic2,topic3...", &topics.join(","));
    let yaml = |n: u8| in_group(&yaml, "user_01", &format!("{}-{n}", kafka.group()));

    let ctx = context(&yaml(1));
    let records = KafkaSource::<String>::new(&ctx).topic(&topics[1]).stream().collect();
    read_counts(ctx, records, &topics, [0, 20, 0]);

    let ctx = context(&yaml(2));
    let records = KafkaSource::<String>::new(&ctx).topics([&topics[0], &topics[2]]).stream().collect();
    read_counts(ctx, records, &topics, [10, 0, 30]);
}

#[test]
fn a_foreign_topic_is_an_error_with_its_place() {
    let yaml = SEVERAL_TOPICS.replace("topic1,topic2,topic3...", "topic1,topic2,topic3");
    let ctx = context(&yaml);
    KafkaSource::<String>::new(&ctx).topic("topic4").stream().for_each(|_| {});
    let error = failure(ctx);
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "\
error[config]: the job reads `topic4`, which is not among the configured topics
  --> application.yml:3:10
   |
 3 |   topic: topic1,topic2,topic3
   |          ^^^^^^^^^^^^^^^^^^^^
   = key: kafka.source.topic
   = help: add it to the list, or read one of those"
    );
}

#[test]
fn the_sink_sample_writes_strings() {
    let kafka = KafkaFixture::new("sample-sink");
    for layout in layouts(SINK) {
        let topic = kafka.topic("kfk_sink", 3);
        let yaml = on(&kafka, &layout).replace("kfk_sink", &topic);
        let ctx = context(&yaml);
        let source = ctx.generate(200, |i| i.to_string());
        KafkaSink::new(&ctx).sink(source);
        ctx.execute("sink").expect("the job ends well");
        let records = kafka.read(&topic);
        assert!(records.iter().all(|r| r.key.is_none()));
        assert_eq!(sorted_numbers(records.into_iter().map(|r| r.value)), all(200), "{yaml}");
        kafka.delete_topic(&topic);
    }
}

#[test]
fn two_sinks_are_told_apart_by_alias() {
    let kafka = KafkaFixture::new("sample-sinks");
    for (i, layout) in layouts(TWO_SINKS).into_iter().enumerate() {
        let topics = [1, 2].map(|n| kafka.topic(&format!("{i}-kfk_sink-{n}"), 2));
        let yaml = on(&kafka, &layout).replacen("kfk_sink", &topics[0], 1);
        let last = yaml.rfind("topic: kfk_sink").expect("a second sink");
        let yaml = format!("{}topic: {}{}", &yaml[..last], topics[1], &yaml[last + "topic: kfk_sink".len()..]);
        let ctx = context(&yaml);
        for (alias, count) in [("kafka_cluster1", 40), ("kafka_cluster2", 60)] {
            KafkaSink::new(&ctx).alias(alias).sink(ctx.generate(count, |i| i.to_string()));
        }
        ctx.execute("sinks").expect("the job ends well");
        for (topic, count) in topics.iter().zip([40, 60]) {
            let values = kafka.read(topic).into_iter().map(|r| r.value);
            assert_eq!(sorted_numbers(values), all(count), "{yaml}");
        }
    }
}

fn user(i: u64) -> User {
    let small = |n: u64| u8::try_from(i % n).expect("small");
    User { name: format!("user-{i:03}"), age: small(90).into(), gender: small(2), address: format!("road {i}") }
}

#[test]
fn the_users_of_the_page_become_csv() {
    let kafka = KafkaFixture::new("sample-users");
    let source = kafka.topic("test_user", 4);
    kafka.fill(&source, 100, |i, out: &mut ProducerRecord| {
        out.set_value(serde_json::to_vec(&user(i)).expect("JSON"));
        out.set_partition(i32::try_from(i % 4).expect("small"));
    });
    let expected: Vec<String> = (0..100).map(|i| user(i).csv()).collect();
    for (i, (read, write)) in layouts(SOURCE).into_iter().zip(layouts(SINK)).enumerate() {
        // Two blocks below one parent stand in one file of two documents' worth of keys: give each its own file.
        let (group, sink) = (format!("{}-{i}", kafka.group()), kafka.topic(&format!("{i}-csv"), 3));
        let read = in_group(&on(&kafka, &read).replace("test_user", &source), "user_01", &group);
        let write = on(&kafka, &write).replace("kfk_sink", &sink);
        let configuration = stream_core::Configuration::builder()
            .text("source.yml", Format::Yaml, read)
            .text("sink.yml", Format::Yaml, write)
            .build()
            .expect("two files");
        let ctx = StreamingContext::new(configuration).parallelism(2);
        let users = KafkaSource::new(&ctx).deserializer(UserSchema).stream().map(|record| record.value);
        KafkaSink::new(&ctx).serializer(|u: &User| u.csv().into_bytes()).sink(users);
        run_until(ctx, "all users are written", || kafka.counts(&sink).iter().sum::<i64>() >= 100);
        let mut written: Vec<String> = kafka.read(&sink).into_iter().map(|r| r.value).collect();
        written.sort_unstable();
        assert_eq!(written, expected);
        assert_eq!(kafka.lag(&group, &source), [0, 0, 0, 0]);
    }
}
