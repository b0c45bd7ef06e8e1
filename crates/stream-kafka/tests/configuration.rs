//! Mistakes in the configuration, as people read them: all at once, each with its place and what to do.

mod common;

use common::{context, failure, layouts};
use stream_core::{ErrorKind, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource};

type Describe = fn(&StreamingContext);

fn read(ctx: &StreamingContext) {
    KafkaSource::<String>::new(ctx).values().for_each(|_| {});
}

fn write(ctx: &StreamingContext) {
    KafkaSink::new(ctx).sink(ctx.from_iter(["a"]));
}

/// What the job says, without a broker being asked.
fn refusal(yaml: &str, describe: impl FnOnce(&StreamingContext)) -> String {
    let ctx = context(yaml);
    describe(&ctx);
    let error = failure(ctx);
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    error.to_string()
}

const TWO: &str = "\
kafka.source:
  kafka1:
    bootstrap.servers: h:9092
    topic: t
  kafka2:
    bootstrap.servers: h:9092
    topic: t
";

#[test]
fn an_unknown_key_is_named_with_its_place_in_every_layout() {
    let places = ["4:3", "5:5", "5:5", "6:7"];
    let layouts = layouts("kafka.source:\n  bootstrap.servers: h:9092\n  topic: t\n  gruop.id: g\n");
    for (layout, place) in layouts.iter().zip(places) {
        let text = refusal(layout, read);
        assert!(text.starts_with(&format!("error[config]: unknown key `gruop.id`\n  --> application.yml:{place}\n")));
        assert!(text.ends_with("= key: kafka.source.gruop.id\n   = help: did you mean `group.id`?"), "{text}");
    }
}

#[test]
fn a_job_knows_the_keys_of_the_ends_that_it_uses() {
    let ctx = context(TWO);
    let has = |key: &str| ctx.keys().iter().any(|info| info.key == key);
    assert!(has("parallelism.default") && !has("kafka.source.kafka2.group.id"));
    KafkaSource::<String>::new(&ctx).alias("kafka2").values().for_each(|_| {});
    assert!(has("kafka.source.kafka2.group.id") && has("kafka.source.kafka2.on_bad_record"));
    assert!(!has("kafka.source.kafka1.group.id") && !has("kafka.sink.linger.ms"));
    let keys: Vec<String> = ctx.keys().into_iter().map(|info| info.key).collect();
    let mut once = keys.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), keys.len(), "a key is listed twice");
}

#[test]
fn several_mistakes_are_reported_together() {
    let yaml = "\
kafka.source:
  bootstrap.servers: h:9092
  topic: t
  fetch.min.bytes: lots
  acks: all
kafka.sink:
  bootstrap.servers: h:9092
  topic: t
  semantic: SOMETIMES
";
    let text = refusal(yaml, |ctx| {
        read(ctx);
        write(ctx);
    });
    let expected = "\
error[config]: `lots` under `fetch.min.bytes` is not a whole number, 0 or more
  --> application.yml:4:20
   |
 4 |   fetch.min.bytes: lots
   |                    ^^^^
   = key: kafka.source.fetch.min.bytes
   = help: correct the value, or remove the line to use the default

error[config]: `acks` is a producer setting and has no meaning for a source
  --> application.yml:5:9
   |
 5 |   acks: all
   |         ^^^
   = key: kafka.source.acks
   = help: move it to `kafka.sink`, or remove it

error[config]: `SOMETIMES` under `semantic` is not a guarantee
  --> application.yml:9:13
   |
 9 |   semantic: SOMETIMES
   |             ^^^^^^^^^
   = key: kafka.sink.semantic
   = help: write `AT_LEAST_ONCE`, `EXACTLY_ONCE` or `NONE`";
    assert_eq!(text, expected);
}

#[test]
fn a_source_that_would_never_commit_is_refused() {
    let yaml = "kafka.source:\n  bootstrap.servers: h:9092\n  topic: t\n  group.id: g\n  enable.auto.commit: false\n";
    let expected = "\
error[config]: positions would never be stored: checkpointing is off and so is enable.auto.commit
  --> application.yml:5:23
   |
 5 |   enable.auto.commit: false
   |                       ^^^^^
   = key: kafka.source.enable.auto.commit
   = help: remove the line, or take checkpoints: set execution.checkpointing.interval";
    assert_eq!(refusal(yaml, read), expected);
}

#[test]
fn what_is_missing_is_said() {
    for (yaml, describe, expected) in [
        ("", read as Describe, "`kafka.source` is not configured\n   = help: add a section `kafka.source:`"),
        ("", write, "`kafka.sink` is not configured\n   = help: add a section `kafka.sink:`"),
        ("kafka.source:\n  bootstrap.servers: h:9092\n", read, "no topic to read\n  --> application.yml:2:3"),
        ("kafka.sink:\n  bootstrap.servers: h:9092\n", write, "no topic to write to\n  --> application.yml:2:3"),
        ("kafka.source:\n  topic: t\n", read, "no broker to connect to\n  --> application.yml:2:3"),
    ] {
        let text = refusal(yaml, describe);
        assert!(text.starts_with(&format!("error[config]: {expected}")), "{text}");
    }
}

#[test]
fn an_instance_is_chosen_by_its_alias() {
    let choose: [(Describe, &str); 3] = [
        (
            read,
            "`kafka.source` holds several instances: choose one of `kafka1`, `kafka2`\n   = help: call .alias(\"kafka1\")",
        ),
        (|ctx| read_alias(ctx, "kafka3"), "`kafka.source.kafka3` is not configured\n   = help: did you mean `kafka1`?"),
        (
            |ctx| read_alias(ctx, "elsewhere"),
            "`kafka.source.elsewhere` is not configured\n   = help: configured aliases: `kafka1`, `kafka2`",
        ),
    ];
    for (describe, expected) in choose {
        assert_eq!(refusal(TWO, describe), format!("error[config]: {expected}"));
    }
}

fn read_alias(ctx: &StreamingContext, alias: &str) {
    KafkaSource::<String>::new(ctx).alias(alias).values().for_each(|_| {});
}

#[test]
fn a_secret_under_a_misspelt_key_is_not_printed() {
    for key in [
        "sasl.pasword",
        "sasl.jaas.confg",
        "ssl.key.pasword",
        "ssl.keystore.kye",
        "basic.auth.usr.info",
        "sasl.oauthbearer.client.credentials.client.secrt",
    ] {
        let text = refusal(&format!("kafka.source:\n  bootstrap.servers: h:9092\n  topic: t\n  {key}: hush\n"), read);
        assert!(text.contains(&format!("unknown key `{key}`\n  --> application.yml:4:")), "{text}");
        assert!(text.contains("did you mean"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }
}
