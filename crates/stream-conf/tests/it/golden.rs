//! Reports, letter by letter.

use std::num::NonZeroU32;

use stream_conf::{Configuration, Error, Format, Problem};

use crate::{refused, yaml};

#[test]
fn a_value_that_does_not_fit() {
    let configuration = yaml("kafka.source:\n  kafka1:\n    # how many at once\n    max.poll.records: many\n").unwrap();
    let error = configuration.section("kafka.source.kafka1").parse::<NonZeroU32>("max.poll.records").unwrap_err();
    assert_eq!(
        error.to_string(),
        "\
error[config]: `many` is not a whole number
  --> application.yml:4:23
   |
 4 |     max.poll.records: many
   |                       ^^^^
   = key: kafka.source.kafka1.max.poll.records
   = help: write a whole number from 1 to 4294967295, or remove the line to use the default"
    );
    assert_eq!(format!("{error:?}"), error.to_string());
    assert_eq!(error.problems()[0].snippet(), Some("    max.poll.records: many"));
}

#[test]
fn values_of_other_layers() {
    let configuration = Configuration::builder()
        .env([("STREAM__S__COUNT".to_owned(), "many".to_owned())])
        .args(["--s.size".to_owned(), "big".to_owned()])
        .defaults([("s.flag", "on")])
        .build()
        .unwrap();
    let section = configuration.section("s");
    let report = |error: Option<Error>| error.map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(
        report(section.parse::<i64>("count").err()),
        "\
error[config]: `many` is not a whole number
  --> environment variable STREAM__S__COUNT
   = key: s.count
   = help: write a whole number, or remove the line to use the default"
    );
    assert_eq!(
        report(section.parse::<f32>("size").err()),
        "\
error[config]: `big` is not a number
  --> command line --s.size
   = key: s.size
   = help: write a number such as `0.5`, or remove the line to use the default"
    );
    assert_eq!(
        report(section.parse::<bool>("flag").err()),
        "\
error[config]: `on` is neither `true` nor `false`
  --> default
   = key: s.flag
   = help: write `true` or `false`, or remove the line to use the default"
    );
}

#[test]
fn the_same_key_twice() {
    assert_eq!(
        refused(Format::Yaml, "app:\n  kafka.source.topic: a\nkafka.source:\n  topic: b\n"),
        "\
error[config]: `kafka.source.topic` is given twice in this file
  --> application.yml:4:3
   |
 4 |   topic: b
   |   ^^^^^
   = key: kafka.source.topic
   = note: first given as `app.kafka.source.topic` at application.yml:2:3
   = help: keep one of the two"
    );
}

#[test]
fn syntax_errors_of_every_format() {
    assert_eq!(
        refused(Format::Yaml, "a:\n  b: c: d\n"),
        "\
error[config]: not valid YAML: mapping values are not allowed in this context
  --> application.yml:2:7
   |
 2 |   b: c: d
   |       ^
   = help: put the value in quotes if it contains `: `, and check the indentation"
    );
    assert_eq!(
        refused(Format::Toml, "[a]\nb = \n"),
        "\
error[config]: not valid TOML: string values must be quoted, expected literal string
  --> application.toml:2:5
   |
 2 | b =
   |     ^
   = help: check quotes, brackets and doubled keys"
    );
    assert_eq!(
        refused(Format::Properties, "a = 1\nb = \\u00g0\n"),
        "\
error[config]: `\\u` without four hexadecimal digits
  --> application.properties:2:5
   |
 2 | b = \\u00g0
   |     ^^
   = key: b
   = help: write four hexadecimal digits; a single backslash is written `\\\\`"
    );
}

#[test]
fn a_secret_on_the_line() {
    let configuration = yaml("s: {user: u, password: hunter2, count: many}\n").unwrap();
    let section = configuration.section("s");
    assert_eq!(
        section.parse::<u8>("count").unwrap_err().to_string(),
        "\
error[config]: `many` is not a whole number
  --> application.yml:1:40
   |
 1 | s: {user: u, password: ***, count: many}
   |                                    ^^^^
   = key: s.count
   = help: write a whole number from 0 to 255, or remove the line to use the default"
    );
    assert_eq!(
        section.error("password", "`hunter2` is too short", "take a longer one than `hunter2`").to_string(),
        "\
error[config]: `***` is too short
  --> application.yml:1:24
   |
 1 | s: {user: u, password: ***, count: many}
   |                        ^^^
   = key: s.password
   = help: take a longer one than `***`"
    );
}

#[test]
fn long_lines_are_cut_and_control_characters_do_not_get_out() {
    let configuration =
        yaml(&format!("s: {{a: {}, b: \"x\u{1b}[31m\", c: y}}\n", "z".repeat(500)).replace('\u{1b}', "\\e"));
    let error = configuration.unwrap().section("s").error("c", "no", "");
    assert!(error.problems()[0].snippet().unwrap().chars().count() <= 122, "{error}");
    assert!(error.to_string().contains("c: y"), "{error}");
    let configuration =
        Configuration::builder().text("a", Format::Properties, "a = x\u{1b}[31my\tz\n").build().unwrap();
    let section = configuration.section("");
    let error = section.parse::<u8>("a").unwrap_err();
    assert_eq!(
        error.to_string(),
        "\
error[config]: `x\\u{1b}[31my\\tz` is not a whole number
  --> a:1:5
   |
 1 | a = x [31my z
   |     ^^^^^^^^^
   = key: a
   = help: write a whole number from 0 to 255, or remove the line to use the default"
    );
}

#[test]
fn a_problem_by_hand() {
    let one = Problem::new("two sources have no group").with_key("kafka.source").with_note("a").with_note("b");
    let other = Problem::new("nothing to do").with_hint("name a source");
    let error = Error::of([one, other]).unwrap();
    assert_eq!(
        error.to_string(),
        "\
error[config]: two sources have no group
   = key: kafka.source
   = note: a
   = note: b

error[config]: nothing to do
   = help: name a source"
    );
    assert!(Error::of([]).is_none());
    assert!(Error::check([]).is_ok());
}

#[test]
fn a_missing_key_points_at_its_section() {
    let configuration = yaml("kafka.source:\n  group.id: g\n").unwrap();
    let error = configuration.section("kafka.source").error("topic", "the source has no topic", "add `topic: …`");
    assert_eq!(
        error.to_string(),
        "\
error[config]: the source has no topic
  --> application.yml:2:3
   = key: kafka.source.topic
   = help: add `topic: …`"
    );
}
