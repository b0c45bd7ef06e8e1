//! The example `user_csv` as a person runs it: a million users through a real Kafka, undisturbed at
//! parallelism 1 to 3, once killed in the middle, and once told twice to stop.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Program, example};
use stream_core::clock::{Clock, SystemClock};
use stream_kafka::{KafkaRecord, ProducerRecord};
use stream_testkit::{KafkaFixture, wait_until};

const PARTITIONS: u64 = 4;
const LIMIT: Duration = Duration::from_secs(180);

/// User `i`: the id is the name, the source partition is in the address.
fn fill_users(kafka: &KafkaFixture, topic: &str, users: u64) {
    kafka.fill(topic, users, |i, out: &mut ProducerRecord| {
        let (age, gender, partition) = (i % 90, i % 3, i % PARTITIONS);
        out.set_value(format!(r#"{{"name":"{i}","age":{age},"gender":{gender},"address":"{partition}"}}"#));
        out.set_partition(i32::try_from(partition).expect("small"));
    });
}

fn settings(kafka: &KafkaFixture, source: &str, sink: &str, parallelism: u64) -> Vec<String> {
    let (servers, group) = (kafka.bootstrap(), kafka.group());
    vec![
        format!("kafka.source.bootstrap.servers={servers}"),
        format!("kafka.source.topic={source}"),
        format!("kafka.source.group.id={group}"),
        "kafka.source.auto.offset.reset=earliest".to_owned(),
        "kafka.source.auto.commit.interval.ms=500".to_owned(),
        format!("kafka.sink.bootstrap.servers={servers}"),
        format!("kafka.sink.topic={sink}"),
        format!("parallelism.default={parallelism}"),
    ]
}

struct Job(Child);

impl Job {
    fn start(kafka: &KafkaFixture, source: &str, sink: &str, parallelism: u64) -> Job {
        let mut command = Command::new(example("user_csv"));
        for setting in &settings(kafka, source, sink, parallelism) {
            command.args(["--set", setting]);
        }
        Job(command.stderr(Stdio::inherit()).spawn().expect("the example is built with the tests"))
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.0.id().to_string()]).status().expect("kill");
        assert!(status.success(), "the job is no longer there");
    }

    /// Stops it well and returns whether it ended with exit code 0.
    fn stop(mut self) -> bool {
        self.signal("-TERM");
        self.0.wait().expect("wait").success()
    }

    fn kill(mut self) {
        self.signal("-KILL");
        self.0.wait().expect("wait");
    }
}

fn total(counts: &[i64]) -> i64 {
    counts.iter().sum()
}

/// (source partition, id) of a CSV line.
fn parse(record: &KafkaRecord<String>) -> (u64, u64) {
    let mut fields = record.value.split(',');
    let id = fields.next().and_then(|f| f.parse().ok()).expect("an id");
    (fields.nth(2).and_then(|f| f.parse().ok()).expect("a partition"), id)
}

fn undisturbed(parallelism: u64, users: u64) {
    let kafka = KafkaFixture::new(&format!("user-csv-p{parallelism}"));
    let (source, sink) = (kafka.topic("users", 4), kafka.topic("csv", 4));
    fill_users(&kafka, &source, users);
    let job = Job::start(&kafka, &source, &sink, parallelism);
    let expected = i64::try_from(users).expect("fits");
    wait_until("all users are written", LIMIT, || total(&kafka.counts(&sink)) >= expected);
    assert!(job.stop(), "exit code 0 on TERM");

    let counts = kafka.counts(&sink);
    assert_eq!(total(&counts), expected, "each user once");
    let spread = counts.iter().max().expect("partitions") - counts.iter().min().expect("partitions");
    assert!(spread <= i64::try_from(parallelism).expect("small"), "even over the partitions: {counts:?}");
    assert_eq!(kafka.lag(&kafka.group(), &source), [0, 0, 0, 0]);

    let mut last: BTreeMap<(u64, i32), u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for record in kafka.read(&sink) {
        let (source_partition, id) = parse(&record);
        assert!(seen.insert(id), "user {id} twice");
        if let Some(before) = last.insert((source_partition, record.partition), id) {
            assert!(before < id, "{before} before {id} from partition {source_partition} in {}", record.partition);
        }
    }
    assert_eq!(seen.len() as u64, users);
}

#[test]
fn a_million_users_at_parallelism_1() {
    undisturbed(1, 1_000_000);
}

#[test]
fn a_million_users_at_parallelism_2() {
    undisturbed(2, 1_000_000);
}

#[test]
fn a_million_users_at_parallelism_3() {
    undisturbed(3, 1_000_000);
}

#[test]
fn killed_in_the_middle_nothing_is_lost() {
    let users = 1_000_000;
    let kafka = KafkaFixture::new("user-csv-kill");
    let (source, sink) = (kafka.topic("users", 4), kafka.topic("csv", 4));
    fill_users(&kafka, &source, users);

    let job = Job::start(&kafka, &source, &sink, 2);
    // In the middle: something is committed, something is not.
    wait_until("the job has committed something", LIMIT, || total(&kafka.lag(&kafka.group(), &source)) < 1_000_000);
    job.kill();
    let (lag, written) = (total(&kafka.lag(&kafka.group(), &source)), total(&kafka.counts(&sink)));
    assert!(lag > 0, "the kill came too late to show anything");
    assert!(written >= 1_000_000 - lag, "committed {} users, but only {written} are written", 1_000_000 - lag);

    let job = Job::start(&kafka, &source, &sink, 3);
    wait_until("the restarted job has caught up", LIMIT, || total(&kafka.lag(&kafka.group(), &source)) == 0);
    assert!(job.stop(), "exit code 0 on TERM");
    let ids: BTreeSet<u64> = kafka.read(&sink).iter().map(|record| parse(record).1).collect();
    assert_eq!(ids.len() as u64, users, "no user is lost");
}

/// The first signal drains, which takes long at a sink that is slow; the second one ends the job at once.
#[test]
fn told_twice_to_stop_under_load_it_ends_at_once_and_nothing_is_lost() {
    let users = 200_000;
    let kafka = KafkaFixture::new("user-csv-twice");
    let (source, sink) = (kafka.topic("users", 4), kafka.topic("csv", 4));
    fill_users(&kafka, &source, users);
    let lag = || total(&kafka.lag(&kafka.group(), &source));

    // Few records per request, and one request at a time.
    let mut slowly = settings(&kafka, &source, &sink, 2);
    slowly.extend(["batch.size=300", "max.in.flight.requests.per.connection=1"].map(|s| format!("kafka.sink.{s}")));
    let job = Program::start("user_csv", &slowly);
    wait_until("the job has written something", LIMIT, || total(&kafka.counts(&sink)) > 5_000);
    job.terminate();
    assert!(job.line_with("stopping: draining", Duration::from_secs(5)).is_some());
    let clock = SystemClock::new();
    job.terminate();
    let (code, text) = job.end(LIMIT);
    let took = clock.monotonic();
    assert!(took < Duration::from_secs(4), "at once, not after {took:?}: {text}");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("cutting off") && text.contains("read again by the next run"), "{text}");
    let (left, written) = (lag(), total(&kafka.counts(&sink)));
    assert!(left > 0, "it had drained before the second signal: nothing is shown");
    assert!(written >= 200_000 - left, "committed {} users, but only {written} are written", 200_000 - left);

    let job = Job::start(&kafka, &source, &sink, 2);
    wait_until("the restarted job has caught up", LIMIT, || lag() == 0);
    assert!(job.stop(), "exit code 0 on TERM");
    let ids: BTreeSet<u64> = kafka.read(&sink).iter().map(|record| parse(record).1).collect();
    assert_eq!(ids.len() as u64, users, "no user is lost");
}
