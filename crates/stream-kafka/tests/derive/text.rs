//! Text and bytes: one field.

use stream_kafka::KafkaSchema;
use stream_kafka::testing::RecordBuilder;

use crate::{refused, round_trip, value_of, written};

#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(format = "string")]
struct Celsius(f32);

#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(format = "string")]
struct Line {
    #[kafka(key)]
    from: String,
    text: Option<String>,
}

#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(format = "bytes")]
struct Blob<B>(B);

#[test]
fn text_and_bytes_are_one_field() {
    assert_eq!(value_of(&Celsius(-3.5)), "-3.5");
    assert_eq!(refused::<Celsius>("warm"), "the value: can't read `warm`: invalid float literal");
    round_trip(&Celsius(21.25));
    round_trip(&Line { from: "a".into(), text: Some(String::new()) });
    let gone = Line { from: "a".into(), text: None };
    assert_eq!(written(&gone).value(), None);
    round_trip(&gone);
    round_trip(&Blob(vec![0, 255]));
    round_trip(&Blob(Box::from([1])));
    assert!(RecordBuilder::new().decode::<Blob<Vec<u8>>>().is_err());
}
