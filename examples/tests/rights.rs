//! A broker that asks who comes and what for: what `validate --connect` finds missing, and jobs with and without rights.

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::{LIMIT, Program};
use stream_core::clock::{Clock, SystemClock};
use stream_kafka::ProducerRecord;
use stream_testkit::{KafkaCluster, KafkaFixture, wait_until};

/// A whole answer has to come within this time, of which the job itself may ask for three seconds.
const SOON: Duration = Duration::from_secs(10);

/// How users say who they are, as Java's clients call it, and the module that does it.
const PLAIN: (&str, &str) = ("PLAIN", "plain.PlainLoginModule");
const SCRAM: (&str, &str) = ("SCRAM-SHA-512", "scram.ScramLoginModule");

/// An `application.yml` as people write it for Java's clients.
fn application_yml(
    name: &str,
    kafka: &KafkaFixture,
    (mechanism, module): (&str, &str),
    (user, password): (&str, &str),
    topics: [&str; 2],
) -> PathBuf {
    let (servers, group, [from, to]) = (kafka.bootstrap(), kafka.group(), topics);
    let login = format!(
        "  bootstrap.servers: {servers}\n  security.protocol: SASL_PLAINTEXT\n  sasl.mechanism: {mechanism}\n  \
         sasl.jaas.config: 'org.apache.kafka.common.security.{module} required username=\"{user}\" password=\"{password}\";'\n"
    );
    let text = format!(
        "kafka.source:\n{login}  topic: {from}\n  group.id: {group}\n  auto.offset.reset: earliest\n  \
         auto.commit.interval.ms: 300\nkafka.sink:\n{login}  topic: {to}\n"
    );
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.yml", std::process::id()));
    std::fs::write(&file, text).expect("a file of the test");
    file
}

/// Runs `user_csv validate --connect` and returns its exit code and what it says, which has to come soon.
fn validate(file: &std::path::Path) -> (Option<i32>, String) {
    let clock = SystemClock::new();
    let file = file.to_string_lossy();
    let line = ["validate", "--connect", "--timeout", "3s", "--conf", &file];
    let (code, text) = Program::start_with("user_csv", &line, &[]).end(LIMIT);
    assert!(clock.monotonic() < SOON, "{:?}: {text}", clock.monotonic());
    (code, text)
}

fn fill_users(kafka: &KafkaFixture, topic: &str, users: u64) {
    kafka.fill(topic, users, |i, out: &mut ProducerRecord| {
        out.set_value(format!(r#"{{"name":"{i}","age":1,"gender":0,"address":"a"}}"#));
    });
}

#[test]
fn validate_names_every_missing_right_and_what_gives_it() {
    let cluster = KafkaCluster::start_secured("rights");
    let kafka = KafkaFixture::on_secured(&cluster, "rights");
    let (from, to, group) = (kafka.topic("users", 2), kafka.topic("csv", 2), kafka.group());
    let file = application_yml("rights", &kafka, PLAIN, ("alice", "alice-secret"), [&from, &to]);
    let missing = |text: &str, may_not: &str, option: &str| {
        let said =
            format!("error[config]: user `alice` may not {may_not}\n   = help: an administrator can give the right");
        assert!(text.contains(&said), "{said}\nis missing in\n{text}");
        let command = format!("--bootstrap-server {} ", kafka.bootstrap());
        let allowing = format!("--allow-principal User:alice {option}");
        assert!(text.lines().any(|line| line.contains(&command) && line.ends_with(&allowing)), "{allowing}: {text}");
    };
    let no_right = |text: &str, may_not: &str| assert!(!text.contains(may_not), "{text}");

    // Nothing is allowed: all three are named at once.
    let (code, text) = validate(&file);
    assert_eq!(code, Some(2), "{text}");
    missing(&text, &format!("read topic `{from}`"), &format!("--operation Read --topic {from}"));
    missing(&text, &format!("use group `{group}`"), &format!("--operation Read --group {group}"));
    assert!(text.contains(&format!("user `alice` may not write to topic `{to}`")), "{text}");
    assert!(text.contains(&format!("--operation Write --topic {to}")), "{text}");
    assert!(!text.contains("alice-secret"), "{text}");

    // It may look at everything, which is not enough.
    for topic in [&from, &to] {
        cluster.allow("alice", &["--operation", "Describe", "--topic", topic]);
    }
    cluster.allow("alice", &["--operation", "Describe", "--group", &group]);
    let (code, text) = validate(&file);
    assert_eq!(code, Some(2), "{text}");
    missing(&text, &format!("read topic `{from}`"), &format!("--operation Read --topic {from}"));
    missing(&text, &format!("use group `{group}`"), &format!("--operation Read --group {group}"));
    missing(&text, &format!("write to topic `{to}`"), &format!("--operation Write --topic {to}"));

    // Each right that is given is no longer asked for.
    cluster.allow("alice", &["--operation", "Read", "--topic", &from]);
    let (code, text) = validate(&file);
    assert_eq!(code, Some(2), "{text}");
    no_right(&text, "may not read topic");
    missing(&text, &format!("use group `{group}`"), &format!("--operation Read --group {group}"));
    cluster.allow("alice", &["--operation", "Read", "--group", &group]);
    let (code, text) = validate(&file);
    assert_eq!(code, Some(2), "{text}");
    no_right(&text, "may not use group");
    missing(&text, &format!("write to topic `{to}`"), &format!("--operation Write --topic {to}"));
    cluster.allow("alice", &["--operation", "Write", "--topic", &to]);
    let (code, text) = validate(&file);
    assert_eq!(code, Some(0), "{text}");

    let file = application_yml("scram", &kafka, SCRAM, ("alice", "alice-secret"), [&from, &to]);
    let (code, text) = validate(&file);
    assert_eq!(code, Some(0), "{text}");

    // A place for bad records has to be written to, as well.
    let (dead, line) = (kafka.topic("dead", 1), file.to_string_lossy().into_owned());
    let line = ["validate", "--connect", "--timeout", "3s", "--conf", &line];
    let policy = format!("kafka.source.on_bad_record=dead_letter({dead})");
    let (code, text) = Program::start_with("user_csv", &line, &[policy]).end(LIMIT);
    assert_eq!(code, Some(2), "{text}");
    missing(&text, &format!("write to topic `{dead}`"), &format!("--operation Write --topic {dead}"));

    // A wrong password is found at both ends, without waiting for the limit, and is not shown.
    for mechanism in [PLAIN, SCRAM] {
        let file = application_yml("wrong-password", &kafka, mechanism, ("alice", "hunter2"), [&from, &to]);
        let (code, text) = validate(&file);
        assert_eq!(code, Some(2), "{text}");
        let refused = format!("broker {} refused user `alice`: ", kafka.bootstrap());
        assert_eq!(text.matches(&refused).count(), 2, "{text}");
        assert!(text.contains("uthentication failed") && text.contains("sasl.jaas.config"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        // Nor does a job wait for it.
        let line = ["--conf", &file.to_string_lossy()];
        let (code, text) = Program::start_with("user_csv", &line, &[]).end(SOON);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(&refused), "{text}");
    }
}

#[test]
fn a_job_runs_with_its_rights_and_fails_without_them() {
    let cluster = KafkaCluster::start_secured("losing");
    let kafka = KafkaFixture::on_secured(&cluster, "losing");
    let (from, to, group) = (kafka.topic("users", 2), kafka.topic("csv", 2), kafka.group());
    let file = application_yml("losing", &kafka, SCRAM, ("bob", "bob-secret"), [&from, &to]);
    let start = || Program::start_with("user_csv", &["--conf", &file.to_string_lossy()], &[]);
    let written = || kafka.counts(&to).iter().sum::<i64>();

    // Without any right it does not even start, and does not wait either.
    let (code, text) = start().end(LIMIT);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&format!("user `bob` may not write to topic `{to}`")), "{text}");

    // It may look at the sink's topic and write to none: the producer is not even let in.
    cluster.allow("bob", &["--consumer", "--topic", &from, "--group", &group]);
    cluster.allow("bob", &["--operation", "Describe", "--topic", &to]);
    fill_users(&kafka, &from, 10);
    let (code, text) = start().end(LIMIT);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("Write on the topic"), "{text}");
    assert_eq!(written(), 0);

    cluster.allow("bob", &["--producer", "--topic", &to]);
    fill_users(&kafka, &from, 990);
    let job = start();
    wait_until("all users are written", LIMIT, || written() == 1_000);
    wait_until("their positions are stored", LIMIT, || kafka.lag(&group, &from).iter().sum::<i64>() == 0);

    // It loses the right to write while it runs.
    cluster.forbid("bob", &["--producer", "--topic", &to]);
    fill_users(&kafka, &from, 1_000);
    let (code, text) = job.end(LIMIT);
    assert_eq!(code, Some(2), "{text}");
    // Whichever comes first: a record is not delivered, or the next one is not even taken.
    assert!(text.contains(&format!("user `bob` may not write to topic `{to}`")), "{text}");
    assert!(kafka.lag(&group, &from).iter().sum::<i64>() > 0, "what was not written is not committed");

    // It goes on where it was, and loses the right to read.
    cluster.allow("bob", &["--producer", "--topic", &to]);
    let job = start();
    wait_until("the others are written", LIMIT, || kafka.lag(&group, &from).iter().sum::<i64>() == 0);
    assert!(written() >= 2_000, "{}", written());
    cluster.forbid("bob", &["--operation", "Read", "--topic", &from]);
    let (code, text) = job.end(LIMIT);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&format!("user `bob` may not read topic `{from}`")), "{text}");

    // The same for the group: the positions can't be stored.
    cluster.allow("bob", &["--operation", "Read", "--topic", &from]);
    let job = start();
    assert!(job.line_with("reading", LIMIT).is_some());
    cluster.forbid("bob", &["--operation", "Read", "--group", &group]);
    fill_users(&kafka, &from, 100);
    let (code, text) = job.end(LIMIT);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&format!("user `bob` may not use group `{group}`")), "{text}");
}
