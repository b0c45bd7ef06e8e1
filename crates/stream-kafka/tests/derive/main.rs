//! `#[derive(KafkaSchema)]` at work: what it reads and writes, and that it does so as schemas written by hand.

#![expect(clippy::panic, reason = "a helper of tests ends the test")]

mod csv_lines;
mod json;
mod parts;
mod text;

use std::fmt::Debug;

use stream_core::{Configuration, ExplainFormat, StreamingContext};
use stream_kafka::testing::RecordBuilder;
use stream_kafka::{FromKafka, KafkaSchema, KafkaSink, KafkaSource, ProducerRecord, ToKafka};

fn written(value: &impl ToKafka) -> ProducerRecord {
    let mut record = ProducerRecord::default();
    value.to_kafka(&mut record).expect("writes");
    record
}

fn value_of(value: &impl ToKafka) -> String {
    String::from_utf8(written(value).value().expect("not a tombstone").to_vec()).expect("UTF-8")
}

fn read<T: FromKafka>(value: &str) -> T {
    RecordBuilder::new().value(value).decode().unwrap_or_else(|e| panic!("`{value}`: {e}"))
}

fn refused<T: FromKafka + Debug>(value: &str) -> String {
    RecordBuilder::new().value(value).decode::<T>().expect_err("is refused").to_string()
}

/// What is written is read as what it was.
fn round_trip<T: FromKafka + ToKafka + PartialEq + Debug>(value: &T) {
    let record = RecordBuilder::of(&written(value));
    assert_eq!(&record.decode::<T>().unwrap_or_else(|e| panic!("{record:?}: {e}")), value);
}

mod facade {
    //! The crate under another name.
    pub(crate) use stream_kafka::*;
}

#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(crate = "crate::facade", nested)]
struct Elsewhere {
    a: u8,
}

#[test]
fn the_crate_may_have_another_name() {
    round_trip(&Elsewhere { a: 1 });
}

#[derive(KafkaSchema)]
#[kafka(topic = "members")]
struct Member {
    name: String,
}

#[test]
fn a_types_topic_is_used_when_nobody_names_one() {
    let plan = |settings: &[(&str, &str)]| {
        let mut configuration = Configuration::builder()
            .set("kafka.source.bootstrap.servers", "localhost:9092")
            .set("kafka.source.group.id", "g")
            .set("kafka.sink.bootstrap.servers", "localhost:9092");
        for (key, value) in settings {
            configuration = configuration.set(*key, *value);
        }
        let ctx = StreamingContext::new(configuration.build().expect("settings"));
        KafkaSink::new(&ctx).sink(KafkaSource::<Member>::new(&ctx).values());
        ctx.plan("users").expect("a plan").explain(ExplainFormat::Text)
    };
    let by_type = plan(&[]);
    assert_eq!(by_type.matches("topic members").count(), 2, "{by_type}");
    let configured = plan(&[("kafka.source.topic", "in"), ("kafka.sink.topic", "out")]);
    assert!(configured.contains("topic in") && configured.contains("topic out"), "{configured}");
    assert_eq!(<Option<Member> as FromKafka>::default_topic(), Some("members"));
    assert_eq!(<Elsewhere as ToKafka>::default_topic(), None);
}
