//! Key, headers, timestamp and the other parts of a record as fields.

use stream_core::Timestamp;
use stream_kafka::testing::RecordBuilder;
use stream_kafka::{Headers, KafkaSchema, Topic};

use crate::csv_lines::{Reading, forty_two};
use crate::json::User;
use crate::{read, refused, round_trip, written};

#[derive(KafkaSchema, Debug, PartialEq)]
struct Everything {
    #[kafka(key)]
    id: u64,
    #[kafka(header = "trace")]
    trace: Option<String>,
    #[kafka(header = "raw")]
    raw: Vec<u8>,
    #[kafka(header = "tries", default)]
    tries: u8,
    #[kafka(timestamp)]
    at: i64,
    #[kafka(partition)]
    partition: i32,
    #[kafka(offset)]
    offset: i64,
    #[kafka(topic)]
    topic: String,
    #[kafka(headers)]
    headers: Headers,
    #[kafka(skip, default = "forty_two")]
    cached: u8,
    #[kafka(default = "forty_two")]
    answer: u8,
    text: String,
}

#[test]
fn every_part_of_a_record_can_be_a_field() {
    let record = RecordBuilder::new().topic("t").partition(3).offset(9).timestamp(Timestamp::from_millis(77));
    let record =
        record.key("17").header("raw", [0, 255]).null_header("trace").null_header("more").value(r#"{"text":"x"}"#);
    let read: Everything = record.decode().expect("reads");
    assert_eq!((read.id, read.trace.as_deref(), &read.raw[..], read.tries), (17, None, &[0, 255][..], 0));
    assert_eq!((read.at, read.partition, read.offset, read.topic.as_str()), (77, 3, 9, "t"));
    assert_eq!(read.headers.iter().collect::<Vec<_>>(), [("more", None)]);
    assert_eq!((read.cached, read.answer, read.text.as_str()), (42, 42, "x"));

    let record = written(&Everything { trace: Some("a".into()), ..read });
    assert_eq!(record.key(), Some(&b"17"[..]));
    assert_eq!(record.timestamp(), Some(Timestamp::from_millis(77)));
    assert_eq!((record.partition(), record.topic()), (Some(3), None));
    let headers: Vec<_> = record.headers().iter().collect();
    assert_eq!(
        headers,
        [("trace", Some(&b"a"[..])), ("raw", Some(&[0, 255][..])), ("tries", Some(&b"0"[..])), ("more", None)]
    );
    assert_eq!(record.value(), Some(&br#"{"answer":42,"text":"x"}"#[..]));
}

#[test]
fn a_missing_part_is_named() {
    let decode = |record: RecordBuilder| record.decode::<Everything>().expect_err("is refused").to_string();
    let record = RecordBuilder::new().value(r#"{"text":"x"}"#);
    assert_eq!(decode(record.clone()), "the key is null; use Option<…> to accept that");
    let keyed = record.clone().key("seventeen");
    assert_eq!(decode(keyed), "the key: can't read `seventeen`: invalid digit found in string");
    assert_eq!(decode(record.clone().key("1")), "header `raw` is missing; use Option<…> to accept that");
    let latin = record.clone().key([0xe4]).header("raw", "");
    assert!(decode(latin).starts_with("the key is not UTF-8"));
    let timeless = record.key("1").header("raw", "").timestamp(Timestamp::MIN);
    assert_eq!(decode(timeless), "the timestamp is missing; use Option<…> to accept that");
    assert_eq!(refused::<User>("{} "), "not the expected JSON: missing field `firstName` at line 1 column 2");
    assert!(refused::<User>(r#"{"firstName":"","age":0,"scores":{}} x"#).contains("trailing characters"));
    let tombstone = RecordBuilder::new().key("k").decode::<User>().expect_err("is refused");
    assert!(tombstone.to_string().contains("tombstone"));
    assert_eq!(RecordBuilder::new().decode::<Option<User>>().expect("a tombstone"), None);
}

#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(deny_unknown_fields)]
struct Strict {
    #[kafka(key)]
    key: Option<Vec<u8>>,
    #[kafka(timestamp)]
    at: Option<Timestamp>,
    #[kafka(partition)]
    partition: Option<i32>,
    #[kafka(topic)]
    topic: Topic,
    r#type: String,
}

#[test]
fn unknown_fields_can_be_denied() {
    let strict: Strict = read(r#"{"type":"a"}"#);
    assert_eq!((strict.key.is_none(), strict.partition, strict.r#type.as_str()), (true, Some(0), "a"));
    assert_eq!(strict.topic, Topic::new("test"));
    assert_eq!(
        refused::<Strict>(r#"{"type":"a","key":"b"}"#),
        "not the expected JSON: unknown field `key`, expected `type` at line 1 column 17"
    );
    let open = Strict { key: None, at: None, partition: None, ..strict };
    let record = written(&open);
    assert_eq!((record.key(), record.timestamp(), record.partition()), (None, None, None));
}

/// Formats itself as it likes, and has neither Default nor serde.
#[derive(KafkaSchema, Debug, PartialEq, Clone)]
struct Keyed<K, V> {
    #[kafka(key)]
    key: K,
    #[kafka(value)]
    value: V,
}

#[test]
fn a_value_field_brings_its_own_format_and_tombstones() {
    let deleted = Keyed { key: std::net::Ipv4Addr::LOCALHOST, value: None::<Reading> };
    let record = written(&deleted);
    assert_eq!((record.key(), record.value()), (Some(&b"127.0.0.1"[..]), None));
    round_trip(&deleted);
    round_trip(&Keyed { key: "k".to_owned(), value: "text".to_owned() });
}
