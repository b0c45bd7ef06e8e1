//! JSON: the same as serde's derive, nested, generic, with enums, in one direction.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use stream_kafka::testing::RecordBuilder;
use stream_kafka::{JsonSchema, KafkaDeserializationSchema, KafkaSchema, ProducerRecord, SerializationSchema};

use crate::{read, refused, round_trip, value_of, written};

#[derive(KafkaSchema, Clone, Debug, PartialEq)]
#[kafka(rename_all = "camelCase")]
pub(crate) struct User {
    first_name: String,
    age: u32,
    #[kafka(rename = "sex")]
    gender: Option<u8>,
    #[kafka(default)]
    tags: Vec<String>,
    scores: BTreeMap<String, f64>,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct ByHand {
    first_name: String,
    age: u32,
    #[serde(rename = "sex")]
    gender: Option<u8>,
    #[serde(default)]
    tags: Vec<String>,
    scores: BTreeMap<String, f64>,
}

fn by_hand(user: User) -> ByHand {
    let User { first_name, age, gender, tags, scores } = user;
    ByHand { first_name, age, gender, tags, scores }
}

prop_compose! {
    fn users()(
        first_name in ".*",
        age in any::<u32>(),
        gender in any::<Option<u8>>(),
        tags in proptest::collection::vec(".*", 0..4),
        // serde_json reads the last digit of a fraction exactly only with its feature `float_roundtrip`.
        scores in proptest::collection::btree_map("[a-z\"\\\\]{0,5}", any::<i32>().prop_map(|n| f64::from(n) / 4.0), 0..4),
    ) -> User {
        User { first_name, age, gender, tags, scores }
    }
}

proptest! {
    #[test]
    fn json_equals_the_schema_by_hand(user in users(), cut in any::<prop::sample::Index>(), noise in any::<u8>()) {
        let mut record = ProducerRecord::default();
        JsonSchema.serialize(&by_hand(user.clone()), &mut record).expect("writes");
        let derived = written(&user);
        prop_assert_eq!(record.value(), derived.value());
        round_trip(&user);

        // The same for input that is not what it should be, down to the words of the error.
        let mut bytes = record.value().expect("a value").to_vec();
        let at = cut.index(bytes.len());
        if noise.is_multiple_of(2) { bytes.truncate(at) } else { bytes[at] = noise }
        let broken = RecordBuilder::new().value(&bytes);
        let mut hand: Vec<ByHand> = Vec::new();
        let hand = broken.with(|raw| JsonSchema.deserialize(raw, &mut hand).map(|()| hand.remove(0)));
        let derived = broken.decode::<User>().map(by_hand).map_err(|e| e.to_string());
        let in_its_words = hand.map_err(|e: stream_kafka::SchemaError| e.to_string().replace("ByHand", "User"));
        prop_assert_eq!(format!("{derived:?}"), format!("{in_its_words:?}"));
    }
}

#[derive(KafkaSchema, Debug, PartialEq)]
struct Order {
    #[kafka(key)]
    id: String,
    lines: Vec<OrderLine>,
    status: Status,
    note: Option<Note>,
    #[kafka(flatten)]
    event: Event,
}

#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(nested)]
struct OrderLine {
    sku: Sku,
    amount: u32,
    parts: Vec<Self>,
}

#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(nested)]
struct Sku(String);

#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(nested, rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    InWork,
    #[kafka(rename = "gone")]
    Sent,
}

/// Types with serde's own derives go inside too.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Note {
    text: String,
}

#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase", nested)]
enum Event {
    SignedUp { user_name: String },
    LoggedOut,
    Noted(Note),
}

#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(tag = "t", content = "c")]
enum Pair<T> {
    Two(u8, T),
    None,
}

#[test]
fn values_nest_and_enums_have_tags() {
    let lines = vec![OrderLine { sku: Sku("x".into()), amount: 2, parts: vec![] }];
    let event = Event::SignedUp { user_name: "ada".into() };
    let order = Order { id: "o1".into(), lines, status: Status::InWork, note: None, event };
    let json = r#"{"lines":[{"sku":"x","amount":2,"parts":[]}],"status":"IN_WORK","note":null,"#;
    assert_eq!(value_of(&order), format!(r#"{json}"type":"signed_up","userName":"ada"}}"#));
    round_trip(&order);
    assert_eq!(value_of(&Event::LoggedOut), r#"{"type":"logged_out"}"#);
    assert_eq!(value_of(&Event::Noted(Note { text: "n".into() })), r#"{"type":"noted","text":"n"}"#);
    assert_eq!(value_of(&Status::Sent), r#""gone""#);
    assert_eq!(value_of(&Pair::Two(1, "b".to_owned())), r#"{"t":"Two","c":[1,"b"]}"#);
    round_trip(&Pair::<u8>::None);
    let unknown = refused::<Event>(r#"{"type":"lost"}"#);
    assert!(unknown.contains("unknown variant `lost`, expected one of"), "{unknown}");
}

#[derive(KafkaSchema, Debug, PartialEq)]
struct Envelope<K, T, I: Iterator + 'static, const N: usize = 2>
where
    I::Item: PartialEq + Debug + Send + 'static,
{
    #[kafka(key)]
    key: K,
    payload: Vec<T>,
    #[kafka(default)]
    last: Option<I::Item>,
    #[kafka(skip, default)]
    marker: PhantomData<I>,
    pairs: Option<[u8; 2]>,
}

/// A part of other values that is generic itself.
#[derive(KafkaSchema, Debug, PartialEq, Default)]
#[kafka(nested)]
struct Page<T> {
    rows: Vec<T>,
    next: Option<Box<Page<T>>>,
}

type Numbers = std::ops::Range<u16>;

#[test]
fn generic_types_ask_for_what_their_fields_need() {
    let envelope: Envelope<u8, String, Numbers> =
        Envelope { key: 1, payload: vec!["a".into()], last: Some(7), marker: PhantomData, pairs: None };
    assert_eq!(value_of(&envelope), r#"{"payload":["a"],"last":7,"pairs":null}"#);
    round_trip(&envelope);
    round_trip(&Page { rows: vec![1, 2], next: Some(Box::new(Page { rows: vec![3], next: None })) });
    let pages: Envelope<String, Page<u8>, Numbers> = Envelope {
        key: "k".into(),
        payload: vec![Page::default()],
        last: None,
        marker: PhantomData,
        pairs: Some([1, 2]),
    };
    round_trip(&pages);
}

#[test]
fn types_may_be_local_and_come_from_macros() {
    macro_rules! point {
        ($name:ident: $x:ty, $y:ty) => {
            #[derive(KafkaSchema, Debug, PartialEq)]
            struct $name {
                #[kafka(key)]
                key: $x,
                x: $x,
                y: $y,
            }
        };
    }
    point!(Point: Option<i8>, (u8, String));
    let point = Point { key: None, x: Some(-1), y: (2, "two".into()) };
    assert_eq!(value_of(&point), r#"{"x":-1,"y":[2,"two"]}"#);
    round_trip(&point);
}

/// One direction asks for one half only: a type without Serialize can be read.
#[derive(KafkaSchema, Debug, PartialEq)]
#[kafka(only = "read")]
struct ReadOnly {
    note: OnlyDeserialize,
}

#[derive(Deserialize, Debug, PartialEq)]
struct OnlyDeserialize(u8);

#[derive(KafkaSchema)]
#[kafka(only = "write")]
struct WriteOnly {
    note: &'static str,
}

/// serde's own attributes go on to serde.
#[derive(KafkaSchema, Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "UPPERCASE", rename = "other")]
struct WithSerde {
    #[serde(skip_serializing_if = "Option::is_none", alias = "B")]
    a: Option<u8>,
    #[serde(with = "reversed")]
    word: String,
}

mod reversed {
    //! Writes texts backwards.
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&text.chars().rev().collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer).map(|text| text.chars().rev().collect())
    }
}

#[test]
fn one_direction_and_serde_beside() {
    assert_eq!(read::<ReadOnly>(r#"{"note":7}"#).note, OnlyDeserialize(7));
    assert_eq!(value_of(&WriteOnly { note: "n" }), r#"{"note":"n"}"#);
    let both = WithSerde { a: None, word: "abc".into() };
    assert_eq!(value_of(&both), r#"{"WORD":"cba"}"#);
    assert_eq!(value_of(&both), serde_json::to_string(&both).expect("writes"));
    assert_eq!(read::<WithSerde>(r#"{"B":1,"WORD":"cba"}"#), WithSerde { a: Some(1), word: "abc".into() });
}
