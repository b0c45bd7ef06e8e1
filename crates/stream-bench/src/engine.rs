//! The engine alone, without Kafka: M1 (generate, map, filter, count), an exchange by key, running counts and what they
//! take of memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use stream_core::{Configuration, DataStream, Error, ErrorKind, Result, StreamingContext};

use crate::usage::resident_bytes;

/// Keys of the count whose memory is measured.
const KEYS: u64 = 4_000_000;

/// What a run took.
struct Run {
    seconds: f64,
    /// How much more memory the process had at the end than at the start.
    grown: u64,
}

/// Runs a job over the numbers below `events`; `expected` is how many records have to come out.
fn run(
    events: u64,
    parallelism: usize,
    expected: u64,
    job: impl FnOnce(DataStream<u64>) -> DataStream<u64>,
) -> Result<Run> {
    let ctx = StreamingContext::new(Configuration::empty()).parallelism(parallelism);
    let (total, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tally = Tally { seen: 0, total: total.clone(), most: most.clone() };
    job(ctx.generate(events, |i| i)).for_each(move |_| tally.count());
    let (start, before) = (Instant::now(), resident_bytes());
    ctx.execute("engine")?;
    let (seconds, total) = (start.elapsed().as_secs_f64(), total.load(Ordering::Relaxed));
    if total != expected {
        return Err(Error::new(ErrorKind::Internal, format!("{total} records came out, not {expected}")));
    }
    Ok(Run { seconds, grown: most.load(Ordering::Relaxed).saturating_sub(before) })
}

/// Counts in a subtask of its own, and looks at the memory when the last records come.
#[derive(Clone)]
struct Tally {
    seen: u64,
    total: Arc<AtomicU64>,
    most: Arc<AtomicU64>,
}

impl Tally {
    fn count(&mut self) {
        self.seen += 1;
        if self.seen.is_multiple_of(1 << 20) {
            self.most.fetch_max(resident_bytes(), Ordering::Relaxed);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.total.fetch_add(self.seen, Ordering::Relaxed);
    }
}

fn scattered(i: u64, keys: u64) -> u64 {
    (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % keys
}

fn m1(events: u64, parallelism: usize) -> Result<Run> {
    run(events, parallelism, events - events.div_ceil(4), |numbers| {
        numbers.map(|i| i.wrapping_mul(3)).filter(|i| !i.is_multiple_of(4))
    })
}

fn exchange(events: u64, parallelism: usize) -> Result<Run> {
    run(events, parallelism, events, |numbers| {
        numbers.key_by(|i| scattered(*i, 1000)).keyed().map(|keyed| *keyed.key())
    })
}

fn count(events: u64, parallelism: usize, keys: u64) -> Result<Run> {
    run(events, parallelism, events, move |numbers| {
        numbers.key_by(move |i| scattered(*i, keys)).count().map(|(_, count)| count)
    })
}

/// All of it as a table.
///
/// # Errors
/// If a job fails or a result is wrong.
pub fn table(runs: usize) -> Result<String> {
    type Scenario = (&'static str, u64, fn(u64) -> Result<Run>);
    let scenarios: [Scenario; 8] = [
        ("M1: generate, map, filter, count; one core", 400_000_000, |n| m1(n, 1)),
        ("M1, two cores", 400_000_000, |n| m1(n, 2)),
        ("by key, one core (chained)", 100_000_000, |n| exchange(n, 1)),
        ("by key, two cores (an exchange)", 100_000_000, |n| exchange(n, 2)),
        ("running count, 1,000 keys, one core", 50_000_000, |n| count(n, 1, 1000)),
        ("running count, 1,000 keys, two cores", 50_000_000, |n| count(n, 2, 1000)),
        ("running count, 1 M keys, one core", 20_000_000, |n| count(n, 1, 1_000_000)),
        ("running count, 4 M keys, one core", 20_000_000, |n| count(n, 1, KEYS)),
    ];
    let mut table = String::from("| | events/s | target | ns/event |\n| --- | ---: | --- | ---: |\n");
    for (name, events, scenario) in scenarios {
        let mut measured = (0..runs).map(|_| scenario(events)).collect::<Result<Vec<_>>>()?;
        measured.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Some(median) = measured.get(measured.len() / 2) else { continue };
        let rate = events as f64 / median.seconds;
        let target = if name.ends_with("count; one core") { "45 M" } else { "" };
        table.push_str(&format!("| {name} | {:.1} M | {target} | {:.1} |\n", rate / 1e6, 1e9 / rate));
    }
    Ok(table)
}

/// What a running count takes of memory, per key; for a process that has done nothing else.
///
/// # Errors
/// If the job fails.
pub fn memory() -> Result<String> {
    let run = count(5 * KEYS, 1, KEYS)?;
    let per_key = run.grown as f64 / KEYS as f64;
    Ok(format!(
        "A running count of {KEYS} keys of 64 bits grows the process by {per_key:.1} bytes per key (target: 48). The \
         table has just doubled: it takes 36 of them, the rest is smaller tables that the allocator has not given back."
    ))
}
