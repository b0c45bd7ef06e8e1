//! Sections parsed into settings.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;
use stream_conf::{Format, Secret, Section};

use crate::{text_as, yaml};

fn section(text: &str) -> Section {
    yaml(text).unwrap().section("s")
}

#[derive(Debug, Deserialize)]
struct Everything {
    whole: i32,
    #[serde(rename = "dotted.name")]
    dotted: String,
    max_poll_records: NonZeroU32,
    ratio: f64,
    flag: bool,
    mode: Mode,
    timeout: Duration,
    #[serde(with = "stream_conf::duration")]
    pause: Duration,
    #[serde(with = "stream_conf::byte_size")]
    buffer: u64,
    topics: Vec<String>,
    numbers: Vec<u16>,
    nested: Nested,
    #[serde(default)]
    optional: Option<u8>,
    given: Option<u8>,
    properties: BTreeMap<String, String>,
    password: Secret<String>,
    letter: char,
    kind: Kind,
    pair: (u8, String),
}

#[derive(Debug, Deserialize)]
struct Nested {
    path: String,
    deeper: Deeper,
}

#[derive(Debug, Deserialize)]
struct Deeper {
    #[serde(alias = "old.name")]
    name: String,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Mode {
    AtLeastOnce,
    ExactlyOnce,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Local {
        folder: String,
    },
    #[allow(dead_code)]
    Remote(Nested),
}

#[test]
fn every_kind_of_field() {
    let settings: Everything = section(
        "s:\n  whole: -7\n  dotted.name: 007\n  max.poll.records: 500\n  ratio: 1e-3\n  flag: TRUE\n  mode: exactly-once\n  \
         timeout: 1 min\n  pause: 250\n  buffer: 64 mb\n  topics: a, b\n  numbers: [1, 2]\n  nested.path: p\n  nested:\n    \
         deeper: {old.name: n}\n  given: 3\n  properties:\n    ssl.key: a\n    ssl.key.location: b\n  password: x\n  letter: ä\n  \
         kind.local.folder: data\n  pair: [1, b]\n",
    )
    .deserialize()
    .unwrap();
    assert_eq!(settings.whole, -7);
    assert_eq!(settings.dotted, "007");
    assert_eq!(settings.max_poll_records.get(), 500);
    assert!((settings.ratio - 0.001).abs() < f64::EPSILON);
    assert!(settings.flag);
    assert_eq!(settings.mode, Mode::ExactlyOnce);
    assert_eq!(settings.timeout, Duration::from_secs(60));
    assert_eq!(settings.pause, Duration::from_millis(250));
    assert_eq!(settings.buffer, 64 << 20);
    assert_eq!(settings.topics, ["a", "b"]);
    assert_eq!(settings.numbers, [1, 2]);
    assert_eq!(settings.nested.path, "p");
    assert_eq!(settings.nested.deeper.name, "n");
    assert_eq!((settings.optional, settings.given), (None, Some(3)));
    let properties: Vec<_> = settings.properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(properties, ["ssl.key=a", "ssl.key.location=b"]);
    assert_eq!(settings.password.expose(), "x");
    assert_eq!(settings.letter, 'ä');
    assert!(matches!(settings.kind, Kind::Local { folder } if folder == "data"));
    assert_eq!(settings.pair, (1, "b".to_owned()));
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct Small {
    topic: String,
    #[serde(default)]
    group_id: Option<String>,
    #[serde(default)]
    count: u8,
    #[serde(default)]
    nested: Option<Deeper>,
}

fn problems(text: &str) -> Vec<String> {
    let error = section(text).deserialize::<Small>().unwrap_err();
    let line = |problem: &stream_conf::Problem| {
        format!("{}: {} ({})", problem.key().unwrap_or("-"), problem.message(), problem.hint().unwrap_or("-"))
    };
    error.problems().iter().map(line).collect()
}

#[test]
fn settings_that_are_refused() {
    for (text, expected) in [
        ("s: {}\n", vec!["s.topic: the key `topic` is missing (add `topic` to the section `s`)"]),
        (
            "s:\n  topc: t\n",
            vec![
                "s.topic: the key `topic` is missing (add `topic` to the section `s`)",
                "s.topc: unknown key `topc` (did you mean `topic`?)",
            ],
        ),
        ("s:\n  topic: t\n  groop.id: g\n", vec!["s.groop.id: unknown key `groop.id` (did you mean `group.id`?)"]),
        (
            "s:\n  topic: t\n  group.id: g\n  group-id: h\n",
            vec!["s.group.id: `group_id` is given in two spellings (keep one of the two)"],
        ),
        (
            "s:\n  topic: t\n  count: 256\n",
            vec![
                "s.count: `256` is out of range (write a whole number from 0 to 255, or remove the line to use the default)",
            ],
        ),
        (
            "s:\n  topic: t\n  count: ''\n",
            vec![
                "s.count: `\"\"` is not a whole number (write a whole number from 0 to 255, or remove the line to use the default)",
            ],
        ),
        (
            "s:\n  topic: t\n  nested: x\n",
            vec!["s.nested: `x` does not fit here (write its settings below `s.nested`)"],
        ),
        (
            "s:\n  topic: t\n  nested: {nam: x}\n",
            vec![
                "s.nested.name: the key `name` is missing (add `name` to the section `s.nested`)",
                "s.nested.nam: unknown key `nam` (did you mean `name`?)",
            ],
        ),
        (
            "s:\n  topic:\n    name: x\n",
            vec!["s.topic.name: `s.topic` is a value, not a section (write the value behind the key)"],
        ),
        (
            "s:\n  topic: t\n  topic.name: x\n",
            vec!["s.topic.name: unknown key `s.topic.name` (check the spelling, or remove it)"],
        ),
        (
            "s:\n  count: x\n  nested: {nam: x}\n  zzz: 1\n  topic: t\n",
            vec![
                "s.count: `x` is not a whole number (write a whole number from 0 to 255, or remove the line to use the default)",
                "s.nested.name: the key `name` is missing (add `name` to the section `s.nested`)",
                "s.nested.nam: unknown key `nam` (did you mean `name`?)",
                "s.zzz: unknown key `zzz` (check the spelling, or remove it)",
            ],
        ),
    ] {
        let mut found = problems(text);
        let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }
}

#[derive(Debug, Deserialize)]
struct Flattened {
    topic: String,
    #[serde(default)]
    count: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, String>,
}

#[test]
fn free_keys_beside_settings() {
    let section = section("s:\n  topic: t\n  count: 3\n  group.id: g\n  linger.ms: 5\n");
    let settings: Flattened = section.deserialize().unwrap();
    assert_eq!((settings.topic.as_str(), settings.count), ("t", 3));
    assert_eq!(settings.rest.len(), 2);
    let (settings, rest) = section.deserialize_some::<Small>().unwrap();
    assert_eq!((settings.group_id.as_deref(), settings.count), (Some("g"), 3));
    assert_eq!(rest.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["linger.ms"]);
    assert_eq!(rest.full_key("linger.ms"), "s.linger.ms");
}

#[derive(Debug, Deserialize)]
#[serde(try_from = "Unchecked")]
struct Checked;

#[derive(Deserialize)]
struct Unchecked {
    low: u8,
    high: u8,
}

impl TryFrom<Unchecked> for Checked {
    type Error = String;

    fn try_from(unchecked: Unchecked) -> Result<Self, String> {
        if unchecked.low > unchecked.high { Err("`low` is above `high`".into()) } else { Ok(Self) }
    }
}

#[test]
fn checks_of_the_whole() {
    assert!(section("s: {low: 1, high: 2}\n").deserialize::<Checked>().is_ok());
    let error = section("s: {low: 3, high: 2}\n").deserialize::<Checked>().unwrap_err();
    assert_eq!(error.problems()[0].message(), "`low` is above `high`");
    assert_eq!(error.problems()[0].key(), Some("s"));
    assert!(error.problems()[0].origin().is_some());
    let error = section("s: {low: x, high: 2}\n").deserialize::<Checked>().unwrap_err();
    assert_eq!(error.problems().len(), 1);
}

#[test]
fn walking_a_section() {
    let configuration = yaml("kafka.source:\n  b:\n    topic: 1\n    group.id: 2\n  a.topic: 3\n  topic: 4\n").unwrap();
    let section = configuration.section("kafka.source");
    assert_eq!(section.prefix(), "kafka.source");
    assert_eq!(section.child_names(), ["a", "b"]);
    assert_eq!((section.len(), section.is_empty()), (4, false));
    let sub = section.subsection("b");
    assert_eq!(
        sub.iter().map(|(key, entry)| format!("{key}={}", entry.text())).collect::<Vec<_>>(),
        ["group.id=2", "topic=1"]
    );
    assert_eq!(sub.full_key("topic"), "kafka.source.b.topic");
    assert!(configuration.section("kafka.sink").is_empty());
    assert_eq!(configuration.section("").len(), 4);
    assert_eq!(section.parse::<u8>("topic").unwrap(), Some(4));
    assert_eq!(section.parse::<u8>("none").unwrap(), None);
}

#[test]
fn toml_and_properties_parse_the_same() {
    let small: Small =
        text_as(Format::Toml, "[s]\ntopic = 't'\ncount = 0x10\n").unwrap().section("s").deserialize().unwrap();
    assert_eq!(small.count, 16);
    let small: Small =
        text_as(Format::Properties, "s.topic=t\ns.count=16\n").unwrap().section("s").deserialize().unwrap();
    assert_eq!(small.count, 16);
}
