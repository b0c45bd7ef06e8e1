//! What checkpoints cost: a running count of a million keys, without Kafka, with its checkpoints in a temporary directory.
//!
//! ```text
//!   numbers.rs ─▶ key_by ─▶ count ─▶ job.rs: Watch          one process, pinned to one core
//!       └─ barriers ──▶ Log ◀── batches ──┘
//!                        ▲ bytes, when durable
//!                     job.rs: Observed (a store)
//! ```
//!
//! Everything is seen from outside of the engine: a source is asked for its positions at a barrier, a store is given the
//! bytes, an operator sees when batches come. So it measures whatever way of taking checkpoints the engine has.

mod figures;
mod job;
mod numbers;
mod restart;

use std::path::Path;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stream_core::{Error, ErrorKind, Result};

use crate::figures::{quantile, sorted};
use crate::process::{failed, pinned};
use crate::usage::usage;
use figures::{Span, millis, spans};
use job::{Checkpointing, Says};
use numbers::{KEYS, Log, Numbers, Pace};

/// How often the checkpoints come whose pauses are measured.
const INTERVAL: Duration = Duration::from_millis(250);

/// A tenth of the keys changes between two of them.
const PACE: Pace = Pace { every: Duration::from_millis(1), numbers: KEYS / 10 / 250 };

/// How many checkpoints, the first one and the last one apart.
const CHECKPOINTS: u32 = 120;

/// How many numbers are counted at full speed, and how often.
const NUMBERS: u64 = 100_000_000;
const ROUNDS: usize = 5;

/// How often a process is started with and without state.
const RESTARTS: usize = 9;

/// What a job in step with the clock went through.
#[derive(Serialize, Deserialize)]
struct Paced {
    /// The span after the first checkpoint, which has every key.
    first: Option<Span>,
    spans: Vec<Span>,
    checkpoints: Vec<Taken>,
}

/// One checkpoint.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Taken {
    bytes: u64,
    millis: f64,
    /// How many numbers were read since the one before, and so how many keys have changed.
    changed: u64,
}

/// What a job at full speed took.
#[derive(Serialize, Deserialize)]
struct Full {
    per_second: f64,
    /// Of all threads.
    cpu_nanos: f64,
    checkpoints: u64,
}

/// One measurement, in a process of its own; the result is a line of JSON.
///
/// # Errors
/// If the job fails or counts wrong, or a checkpoint comes to nothing.
pub fn child(scenario: &str, dir: &Path) -> Result<String> {
    let json = match scenario {
        "paced" => serde_json::to_string(&paced(Some(dir))?),
        "paced-without" => serde_json::to_string(&paced(None)?),
        "full" => serde_json::to_string(&full(Some(dir))?),
        "full-without" => serde_json::to_string(&full(None)?),
        "restart" => return restart(dir).map(|()| String::new()),
        other => return Err(failed(format!("there is no measurement `{other}`"))),
    };
    json.map_err(|error| failed(error.to_string()))
}

fn paced(dir: Option<&Path>) -> Result<Paced> {
    // Room for the first and the last checkpoint, and for some that come late.
    let batches = (u64::from(CHECKPOINTS) + 5) * (INTERVAL.as_millis() / PACE.every.as_millis()) as u64;
    let numbers =
        Numbers { end: KEYS + batches * PACE.numbers, fills_at_once: true, pace: Some(PACE), log: Default::default() };
    let checkpointing = dir.map(|dir| Checkpointing { interval: INTERVAL, dir });
    let (report, log) = job::run(numbers, checkpointing, Says::Nothing)?;
    if report.checkpoints.failed > 0 {
        return Err(failed(format!("{} checkpoints came to nothing", report.checkpoints.failed)));
    }
    // The engine hands on what came at once in batches of its own.
    let fill = log.left.len().saturating_sub(usize::try_from(batches).unwrap_or(usize::MAX));
    let edges = match dir {
        // The last barrier is the end of the source, and comes when that is.
        Some(_) => log.barriers.split_last().map_or(&[][..], |(_, before)| before).iter().map(|(at, _)| *at).collect(),
        None => ticks(&log, CHECKPOINTS + 2),
    };
    let mut spans = spans(&log, fill, PACE.every, &edges).into_iter();
    let first = spans.next();
    let checkpoints = taken(&log, &edges);
    Ok(Paced { first, spans: spans.collect(), checkpoints })
}

/// Edges of spans as long as those between two checkpoints.
fn ticks(log: &Log, count: u32) -> Vec<Instant> {
    let from = log.paced_from.into_iter();
    from.flat_map(|from| (0..count).map(move |tick| from + INTERVAL * tick)).collect()
}

/// The checkpoints that began at these times.
fn taken(log: &Log, edges: &[Instant]) -> Vec<Taken> {
    let mut before = 0;
    let stored = log.stored.iter().filter(|stored| edges.contains(&stored.began));
    let taken = stored.map(|stored| {
        let changed = stored.next - before;
        before = stored.next;
        Taken { bytes: stored.bytes, millis: millis(stored.took), changed }
    });
    taken.collect()
}

fn full(dir: Option<&Path>) -> Result<Full> {
    let numbers = Numbers { end: NUMBERS, fills_at_once: false, pace: None, log: Default::default() };
    let checkpointing = dir.map(|dir| Checkpointing { interval: Duration::from_secs(1), dir });
    let (report, log) = job::run(numbers, checkpointing, Says::Nothing)?;
    let (Some(first), Some(last)) = (log.left.first(), log.left.last()) else { return Err(failed("nothing came out")) };
    let seconds = last.duration_since(*first).as_secs_f64();
    Ok(Full {
        per_second: NUMBERS as f64 / seconds,
        cpu_nanos: usage().cpu_seconds * 1e9 / NUMBERS as f64,
        checkpoints: report.checkpoints.completed,
    })
}

/// Runs until it is killed.
fn restart(dir: &Path) -> Result<()> {
    let numbers = Numbers { end: u64::MAX, fills_at_once: false, pace: Some(PACE), log: Default::default() };
    job::run(numbers, Some(Checkpointing { interval: INTERVAL, dir }), Says::FirstAndDurable).map(|_| ())
}

/// Runs a measurement in a process of its own, on core 0.
fn measure<T: DeserializeOwned>(scenario: &str) -> Result<T> {
    let dir = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let output = pinned()?.args(["checkpoints-child", scenario]).arg(dir.path()).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap_or_default()).map_err(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        Error::new(ErrorKind::Internal, format!("the measurement `{scenario}` failed: {said}"))
    })
}

/// All of it as tables.
///
/// # Errors
/// If a job fails or counts wrong, or a process can't be run.
pub fn table() -> Result<String> {
    let mut text = format!(
        "A running count of {KEYS} keys of 64 bits, all of them there from the beginning, on one core, with the thread that \
         stores checkpoints on it too. Checkpoints go to a temporary directory. Every count is compared with what it has to \
         be.\n\n"
    );
    text.push_str(&pauses()?);
    text.push_str(&throughput()?);
    let restart::Restarts { without_state, with_state } = restart::measure(RESTARTS)?;
    text.push_str(&format!(
        "### Restart after SIGKILL\n\nFrom the start of the process to the first result; medians of {RESTARTS}. What is restored is \
         what a process had left that was killed after {} checkpoints of all keys.\n\n\
         | | ms | target |\n| --- | ---: | --- |\n\
         | no state | {without_state:.0} | 150 |\n| {KEYS} keys restored | {with_state:.0} | |\n",
        restart::CHECKPOINTS
    ));
    Ok(text)
}

/// The stream stands still, and what is written meanwhile.
fn pauses() -> Result<String> {
    let (with, without): (Paced, Paced) = (measure("paced")?, measure("paced-without")?);
    let mut text = format!(
        "### Pauses\n\nA batch of {} records enters every {} ms, a checkpoint begins every {} ms. Pause: the longest time \
         between two batches that leave the count, less the {} ms that there are anyhow. Delay: how much later than it \
         entered by the clock a batch leaves, at most; what waits behind a pause is delayed too. Both for each span from \
         one barrier to the next, and for spans of the same length in the same job without checkpoints: the noise of \
         the machine.\n\n\
         | ms | spans | pause p50 | p99 | max | delay p50 | p99 | max |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        PACE.numbers,
        PACE.every.as_millis(),
        INTERVAL.as_millis(),
        PACE.every.as_millis(),
    );
    for (name, spans) in [("with checkpoints (target: pause p99 10)", &with.spans), ("without", &without.spans)] {
        let [pause, delay] =
            [|span: &Span| span.pause, |span: &Span| span.delay].map(|of| sorted(spans.iter().map(of)));
        let columns =
            [&pause, &delay].map(|of| [0.5, 0.99, 1.0].map(|q| format!("{:.2}", quantile(of, q))).join(" | "));
        text.push_str(&format!("| {name} | {} | {} |\n", spans.len(), columns.join(" | ")));
    }
    let first = with.first.unwrap_or_default();
    text.push_str(&format!("\nThe first checkpoint, of every key, paused it for {:.2} ms.\n\n", first.pause));
    text.push_str(&sizes(&with.checkpoints));
    Ok(text)
}

fn sizes(checkpoints: &[Taken]) -> String {
    let Some((whole, steady)) = checkpoints.split_first() else { return String::new() };
    let of = |figure: fn(&Taken) -> f64| {
        let values = sorted(steady.iter().map(figure));
        [0.5, 0.99, 1.0].map(|q| quantile(&values, q))
    };
    let (bytes, took, changed) = (of(|c| c.bytes as f64), of(|c| c.millis), of(|c| c.changed as f64));
    let percent = 100.0 * changed[0] / KEYS as f64;
    let mean = steady.iter().map(|c| c.bytes as f64).sum::<f64>() / steady.len().max(1) as f64;
    let mib = f64::from(1 << 20);
    format!(
        "| checkpoints of the same job | bytes written | bytes/key | barrier to durable, ms |\n| --- | ---: | ---: | ---: |\n\
         | the first, of every key | {:.2} MiB | {:.1} | {:.0} |\n\
         | the others ({percent:.0} % of the keys changed), p50 | {:.2} MiB | {:.1} | {:.0} |\n\
         | the others, mean | {:.2} MiB | | |\n\
         | the others, p99 | {:.2} MiB | | {:.0} |\n\
         | the others, max | {:.2} MiB | | {:.0} |\n\n",
        whole.bytes as f64 / mib,
        whole.bytes as f64 / KEYS as f64,
        whole.millis,
        bytes[0] / mib,
        bytes[0] / changed[0],
        took[0],
        mean / mib,
        bytes[1] / mib,
        took[1],
        bytes[2] / mib,
        took[2],
    )
}

/// At full speed, in turns.
fn throughput() -> Result<String> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(measure::<Full>("full-without")?);
        with.push(measure::<Full>("full")?);
    }
    let median = |runs: &[Full], of: fn(&Full) -> f64| quantile(&sorted(runs.iter().map(of)), 0.5);
    let mut text = format!(
        "### Throughput\n\nAs many records as it takes; every key changes between two checkpoints. Medians of {ROUNDS} runs \
         in turns.\n\n| | events/s | CPU ns/event | checkpoints |\n| --- | ---: | ---: | ---: |\n"
    );
    for (name, runs) in [("without checkpoints", &without), ("a checkpoint every second", &with)] {
        let (rate, cpu) = (median(runs, |run| run.per_second), median(runs, |run| run.cpu_nanos));
        let checkpoints = median(runs, |run| run.checkpoints as f64);
        text.push_str(&format!("| {name} | {:.1} M | {cpu:.1} | {checkpoints:.0} |\n", rate / 1e6));
    }
    let ratio = |of: fn(&Full) -> f64| median(&with, of) / median(&without, of);
    let (rate, cpu) = (ratio(|run| run.per_second), ratio(|run| run.cpu_nanos));
    text.push_str(&format!("| ratio | {rate:.2} | {cpu:.2} | |\n\n"));
    Ok(text)
}
