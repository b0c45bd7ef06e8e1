//! What the tests against a real broker share: configurations from text, jobs with a deadline, users.
#![allow(dead_code, reason = "every test file takes what it needs")]

pub(crate) mod copy;

use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stream_conf::Format;
use stream_core::{Collected, Configuration, Error, JobHandle, StreamingContext};
use stream_kafka::{KafkaDeserializationSchema, ProducerRecord, RawRecord, SchemaError};
use stream_testkit::{KafkaFixture, wait_until};

/// No test waits longer for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A context with this text as its `application.yml`.
#[track_caller]
pub(crate) fn context(yaml: &str) -> StreamingContext {
    let configuration = Configuration::builder().text("application.yml", Format::Yaml, yaml).build();
    StreamingContext::new(configuration.expect("a text that parses"))
}

/// A sample of the page in each layout in which it may stand: as printed, nested, and both below `app:`.
pub(crate) fn layouts(sample: &str) -> Vec<String> {
    let (head, body) = sample.split_once('\n').expect("a section with keys");
    let (first, second) = head.trim_end_matches(':').split_once('.').expect("a dotted section");
    let nested = format!("{first}:\n  {second}:\n{}", indented(body));
    let below_app = |text: &str| format!("app:\n{}", indented(text));
    vec![sample.to_owned(), nested.clone(), below_app(sample), below_app(&nested)]
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Starts a job that has no end of its own, waits for `done`, stops it and checks that it ended well.
#[track_caller]
pub(crate) fn run_until(ctx: StreamingContext, what: &str, mut done: impl FnMut() -> bool) {
    let job = ctx.start("test").expect("a good plan");
    // A job that has failed is never done: its own error says more than the deadline would.
    wait_until(what, LIMIT, || job.is_finished() || done());
    job.stop();
    job.wait().expect("the job ends well");
}

/// As [`run_until`], until `count` records were collected; returns them.
#[track_caller]
pub(crate) fn run_until_collected<T>(ctx: StreamingContext, collected: &Collected<T>, count: usize) -> Vec<T> {
    run_until(ctx, &format!("{count} records"), || collected.len() >= count);
    collected.take()
}

/// The error that a job ends with, within the deadline.
#[track_caller]
pub(crate) fn failure(ctx: StreamingContext) -> Error {
    match ctx.start("test") {
        Ok(job) => ended(&job).expect_err("the job should have failed"),
        Err(error) => error,
    }
}

/// Waits for the job's own end.
#[track_caller]
pub(crate) fn ended(job: &JobHandle) -> Result<stream_core::JobReport, Error> {
    wait_until("the job has ended", LIMIT, || job.is_finished());
    job.wait()
}

/// Record i is the text `i`, and the partitions take turns.
pub(crate) fn fill_numbers(kafka: &KafkaFixture, topic: &str, count: u64, partitions: u64) {
    kafka.fill(topic, count, move |i, out: &mut ProducerRecord| {
        out.set_value(i.to_string());
        out.set_partition(i32::try_from(i % partitions).expect("small"));
    });
}

/// The numbers of [`fill_numbers`], sorted.
pub(crate) fn sorted_numbers(values: impl IntoIterator<Item = String>) -> Vec<u64> {
    let mut numbers: Vec<u64> = values.into_iter().map(|v| v.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

/// The class of the page's examples.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) age: u32,
    pub(crate) gender: u8,
    pub(crate) address: String,
}

impl User {
    pub(crate) fn csv(&self) -> String {
        format!("{},{},{},{}", self.name, self.age, self.gender, self.address)
    }
}

/// `UserSchema` of the page.
#[derive(Clone)]
pub(crate) struct UserSchema;

impl KafkaDeserializationSchema<User> for UserSchema {
    fn deserialize(&mut self, record: &RawRecord<'_>, out: &mut Vec<User>) -> Result<(), SchemaError> {
        let value = record.value().ok_or_else(|| SchemaError::new("no user"))?;
        out.push(serde_json::from_slice(value).map_err(|e| SchemaError::new(e.to_string()))?);
        Ok(())
    }
}

/// What the jobs of this process have logged so far. Tests run side by side, so each looks for its own names.
pub(crate) fn logged() -> String {
    let text = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&text).into_owned()
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Collects the log from now on.
pub(crate) fn collect_log() {
    static SET: OnceLock<()> = OnceLock::new();
    SET.get_or_init(|| tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).init());
}

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
