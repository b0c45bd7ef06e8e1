//! Programs that fail, as a person sees them: what standard error says and when, the exit code, and that they end.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};
use stream_testkit::{KafkaFixture, wait_until};

const LIMIT: Duration = Duration::from_secs(30);

/// Examples are built beside the tests.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    test.ancestors().nth(2).expect("target/<profile>").join("examples").join(name)
}

/// A running example and the lines of its standard error.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn start(name: &str, settings: &[String]) -> Program {
        Program::start_with(name, &[], settings)
    }

    fn start_with(name: &str, arguments: &[&str], settings: &[String]) -> Program {
        let mut command = Command::new(example(name));
        command.args(arguments);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the example is built with the tests");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        let read = move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
        stream_core::thread::spawn("stderr", read).expect("a thread");
        Program { child, lines }
    }

    /// The first line with these words, if it comes in time.
    fn line_with(&self, words: &str, limit: Duration) -> Option<String> {
        let clock = SystemClock::new();
        loop {
            let line = self.lines.recv_timeout(limit.saturating_sub(clock.monotonic())).ok()?;
            if line.contains(words) {
                return Some(line);
            }
        }
    }

    fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill");
        assert!(status.success(), "the program is no longer there");
    }

    /// The exit code, and what standard error said that was not read yet.
    fn end(mut self, limit: Duration) -> (Option<i32>, String) {
        let mut status = None;
        wait_until("the program has ended", limit, || {
            status = self.child.try_wait().expect("a child of ours");
            status.is_some()
        });
        let text: Vec<String> = self.lines.iter().collect();
        (status.and_then(|status| status.code()), text.join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ = self.child.kill();
    }
}

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
    // TERM ends the wait.
    program.terminate();
    let (code, text) = program.end(Duration::from_secs(5));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("error[unavailable]: stopped while waiting for broker {address}")), "{text}");
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
