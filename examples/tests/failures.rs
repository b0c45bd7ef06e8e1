//! Programs that fail, as a person sees them: what standard error says and when, the exit code, and that they end.

mod common;

use std::net::TcpListener;
use std::time::Duration;

use common::{LIMIT, Program};
use stream_testkit::KafkaFixture;

#[test]
fn without_a_broker_the_program_says_within_two_seconds_what_it_waits_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let mut settings = ["source", "sink"].map(|end| format!("kafka.{end}.bootstrap.servers={address}")).to_vec();
    settings.extend(["source", "sink"].map(|end| format!("kafka.{end}.topic=any")));
    let program = Program::start("user_csv", &settings);
    let line = program.line_with(&format!("waiting for broker {address}"), Duration::from_secs(2));
    assert!(line.is_some_and(|line| line.contains("Connection refused")));
    // TERM ends the wait, and well: nothing was read, so nothing is lost.
    program.terminate();
    let (code, text) = program.end(Duration::from_secs(5));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("before anything was read: stopped while waiting for broker {address}")), "{text}");
}

#[test]
fn a_closure_that_panics_ends_the_program_with_exit_code_1() {
    let program = Program::start("failing", &[]);
    let (code, text) = program.end(LIMIT);
    assert_eq!(code, Some(1), "{text}");
    let error =
        "error[user]: panicked: a number: ParseIntError { kind: InvalidDigit }\n  --> operator `parse` (uid parse)";
    assert!(text.contains(error), "{text}");
    assert!(text.contains("source position numbers["), "{text}");

    let kafka = KafkaFixture::new("failing");
    let topic = kafka.topic("numbers", 1);
    kafka.fill(&topic, 100, |i, out| out.set_value(if i == 77 { "x".to_owned() } else { i.to_string() }));
    let (servers, group) = (kafka.bootstrap(), kafka.group());
    let settings = [("bootstrap.servers", servers), ("topic", &topic), ("group.id", &group)];
    let program = Program::start("failing", &settings.map(|(key, value)| format!("kafka.source.{key}={value}")));
    let (code, text) = program.end(LIMIT);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("source position {topic}[0] offset 77")), "{text}");
    assert_eq!(kafka.lag(&group, &topic), [100], "nothing was committed");
}

/// Runs `user_csv validate --connect` and returns its exit code and what it says.
fn validate(settings: &[String]) -> (Option<i32>, String) {
    let mut all = settings.to_vec();
    all.push("kafka.source.group.id=validate".to_owned());
    let program = Program::start_with("user_csv", &["validate", "--connect", "--timeout", "3s"], &all);
    program.end(LIMIT)
}

#[test]
fn validate_asks_the_brokers() {
    let kafka = KafkaFixture::new("validate");
    let (source, sink) = (kafka.topic("users", 3), kafka.topic("csv", 2));
    let servers = kafka.bootstrap();
    let settings = |servers: &str, source: &str, sink: &str| {
        let ends = [("source", source), ("sink", sink)];
        let pairs = ends.map(|(end, topic)| {
            [format!("kafka.{end}.bootstrap.servers={servers}"), format!("kafka.{end}.topic={topic}")]
        });
        pairs.concat()
    };
    let (code, text) = validate(&settings(servers, &source, &sink));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("3 partitions to read") && text.contains("2 partitions to write to"), "{text}");

    let (code, text) = validate(&settings(servers, "missing-users", "missing-csv"));
    assert_eq!(code, Some(2), "{text}");
    for topic in ["missing-users", "missing-csv"] {
        assert!(text.contains(&format!("no such topic on {servers}: `{topic}`")), "{text}");
    }

    let (code, text) = validate(&settings("127.0.0.1:9", &source, &sink));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("broker 127.0.0.1:9 did not answer within 3s") && text.contains("refused"), "{text}");
}
