//! Feeding and killing.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stream_core::clock::{Clock, SystemClock};
use stream_core::{Error, ErrorKind, Result};
use stream_kafka::ProducerRecord;
use stream_testkit::KafkaFixture;

use crate::Run;
use crate::audit::{self, Faults};
use crate::events::{Input, Oracle, PARTITIONS, random};

/// How many records are written at once, and how long it is to the next ones.
const CHUNK: u64 = 500;
const PAUSE: Duration = Duration::from_millis(100);

/// The longest and the shortest life of a run: from before it has read anything to several checkpoints.
const LIVES: (u64, u64) = (300, 3_000);

/// How long ago the input begins, in milliseconds: within Kafka's retention, and never in the future.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// The last run has all the time it needs, but not for ever.
const LAST: Duration = Duration::from_secs(300);

pub(crate) fn run(run: &Run) -> Result<()> {
    let bootstrap = std::env::var("BOOTSTRAP").map_err(|_| {
        let hint = "run it by `cargo xtask chaos`, which starts a broker";
        Error::new(ErrorKind::Config, "BOOTSTRAP names no broker").with_hint(hint)
    })?;
    let kafka = Arc::new(KafkaFixture::on(&bootstrap, "chaos"));
    let temporary = tempfile::tempdir().map_err(failed("can't make a directory"))?;
    let dir = run.dir.as_deref().unwrap_or(temporary.path());
    let topics = Topics {
        input: kafka.topic("input", PARTITIONS),
        counts: kafka.topic("counts", PARTITIONS),
        windows: kafka.topic("windows", PARTITIONS),
    };
    let input = Input { seed: run.seed, start: SystemClock::new().wall().as_millis() - DAY };
    println!("chaos: mode {}, {} kills, seed {}, in {}", run.mode, run.kills, run.seed, dir.display());

    let (stop, fed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let feeder = feed(kafka.clone(), topics.input.clone(), input, stop.clone(), fed.clone());
    let began = Instant::now();
    for kill in 0..run.kills {
        let chance = |what: u64| random(run.seed ^ 0xC4A0, u64::from(kill) * 2 + what);
        let parallelism = chance(0) % 3 + 1;
        let life = Duration::from_millis(LIVES.0 + chance(1) % (LIVES.1 - LIVES.0));
        let mut child = start(run, &bootstrap, &topics, dir, parallelism, false, kill)?;
        let ended = wait(&mut child, life)?;
        if let Some(status) = ended {
            stop.store(true, Ordering::Relaxed);
            let log = log_of(dir, kill);
            let message = format!("run {kill} ended by itself ({status}) instead of being killed; its log: {log}");
            return Err(Error::new(ErrorKind::Internal, message));
        }
        child.kill().and_then(|()| child.wait()).map_err(failed("can't kill the job"))?;
        let fed = fed.load(Ordering::Relaxed);
        println!("  kill {:>4}: after {life:>7.1?} at parallelism {parallelism}, {fed} records written", kill + 1);
    }
    stop.store(true, Ordering::Relaxed);
    if feeder.join().is_err() {
        return Err(Error::new(ErrorKind::Unavailable, "the input could not be written"));
    }
    let count = fed.load(Ordering::Relaxed);
    let parallelism = random(run.seed, u64::MAX) % 3 + 1;
    let mut child = start(run, &bootstrap, &topics, dir, parallelism, true, run.kills)?;
    match wait(&mut child, LAST)? {
        Some(status) if status.success() => {}
        status => {
            let _ = child.kill();
            let log = log_of(dir, run.kills);
            let how = status.map_or("did not end".to_owned(), |status| format!("ended with {status}"));
            return Err(Error::new(ErrorKind::Internal, format!("the last run {how}; its log: {log}")));
        }
    }
    println!("  the rest is done after {:.0?}; auditing {count} records", began.elapsed());
    let repeats = check(&kafka, &topics, dir, input, count)?;
    println!(
        "chaos: ok. {} kills, {count} records, nothing lost; in Kafka {repeats} repeats, in files none",
        run.kills
    );
    Ok(())
}

struct Topics {
    input: String,
    counts: String,
    windows: String,
}

/// Writes the input until it is told to stop; never half a chunk.
fn feed(
    kafka: Arc<KafkaFixture>,
    topic: String,
    input: Input,
    stop: Arc<AtomicBool>,
    fed: Arc<AtomicU64>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let from = fed.load(Ordering::Relaxed);
            kafka.fill(&topic, CHUNK, move |i, out: &mut ProducerRecord| {
                let event = input.event(from + i);
                out.set_value(event.line());
                out.set_partition(event.partition());
            });
            fed.store(from + CHUNK, Ordering::Relaxed);
            std::thread::sleep(PAUSE);
        }
    })
}

fn start(
    run: &Run,
    bootstrap: &str,
    topics: &Topics,
    dir: &Path,
    parallelism: u64,
    bounded: bool,
    number: u32,
) -> Result<Child> {
    let program = std::env::current_exe().map_err(failed("can't find this program"))?;
    let log = std::fs::File::create(dir.join(format!("run-{number}.log"))).map_err(failed("can't write a log"))?;
    let mut command = Command::new(program);
    command.arg("job").args(["--bootstrap", bootstrap, "--input", &topics.input]);
    command.args(["--counts", &topics.counts, "--windows", &topics.windows, "--dir"]).arg(dir);
    command.args(["--parallelism", &parallelism.to_string()]);
    if bounded {
        command.arg("--bounded");
    }
    if run.plant_bug {
        command.arg("--plant-bug");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(failed("can't start the job"))
}

/// Waits for the end of a child, at most so long.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<std::process::ExitStatus>> {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().map_err(failed("can't wait for the job"))? {
            return Ok(Some(status));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(None)
}

fn log_of(dir: &Path, number: u32) -> String {
    let log = std::fs::read_to_string(dir.join(format!("run-{number}.log"))).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    format!("\n{}", lines[lines.len().saturating_sub(20)..].join("\n"))
}

/// Returns how many records in Kafka are repeats.
fn check(kafka: &KafkaFixture, topics: &Topics, dir: &Path, input: Input, count: u64) -> Result<usize> {
    let oracle = Oracle::of(input, count);
    let read = |topic: &str| kafka.read(topic).into_iter().map(|record| record.value).collect::<Vec<_>>();
    let (counts, windows) = (read(&topics.counts), read(&topics.windows));
    let mut faults = Faults::default();
    audit::counts_at_least_once(&mut faults, &counts, input, count, &oracle);
    audit::windows_at_least_once(&mut faults, &windows, &oracle);
    audit::counts_exactly_once(&mut faults, &audit::published(&dir.join("counts"))?, &oracle);
    audit::windows_exactly_once(&mut faults, &audit::published(&dir.join("windows"))?, &oracle);
    faults.result()?;
    Ok(counts.len() + windows.len() - count as usize - oracle.windows.len())
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::new(ErrorKind::Unavailable, format!("{what}: {error}")).with_cause(error)
}
