//! A job with everything that keeps something, run under ten thousand seeds with crashes, against an oracle.
//!
//! ```text
//!   input a ─ watermarks ┐            ┌─ session windows: count, sum ─ output
//!                        ├─ by key ───┤
//!   input b ─ watermarks ┘            └─ process: a timer per record ── output
//! ```
//!
//! The seed chooses the records, their disorder, the parallelism, which subtask takes which step, how long steps take,
//! when checkpoints are taken, when the process dies, and with which parallelism the next one begins. Whatever it
//! chooses, what comes out is what the oracle says, once.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::process::{FunctionResult, ProcessContext, ProcessFunction, Timer};
use crate::random::Random;
use crate::state::{MapState, StateBackend, States};
use crate::testing::TestDriver;
use crate::window::SessionWindows;
use crate::{Timestamp, WatermarkStrategy};

const GAP: i64 = 20;
const DELAY: i64 = 15;
const DISORDER: i64 = 10;

thread_local! {
    /// The bug that this thread's jobs have.
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// A bug that can be planted, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Timers that were registered before a checkpoint are gone after a restore.
    TimersForgotten,
    /// Barriers are not aligned: a channel whose barrier has come is read on.
    BarriersNotAligned,
    /// A run that has adopted looks for files that nobody needs only then.
    OrphansListedLate,
    /// An older checkpoint is adopted as it is.
    AdoptedWithoutCopy,
    /// A manifest that was created counts, whatever else there is.
    NumbersUsedAgain,
    /// A data file is written again under its name when a checkpoint failed.
    DataNamedAgain,
    /// A run begins again without asking whether its last manifest is there.
    DoubtForgotten,
}

/// Whether this thread's jobs have a bug.
pub(crate) fn is_planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Plants a bug while `body` runs.
pub(crate) fn with_bug<R>(bug: impl Into<Option<Bug>>, body: impl FnOnce() -> R) -> R {
    PLANTED.set(bug.into());
    let result = body();
    PLANTED.set(None);
    result
}

#[derive(Clone, Debug)]
struct Event {
    key: u8,
    at: i64,
    value: u64,
}

/// Keeps what came, and says a while after each moment what the key had come to until then.
struct Totals {
    values: MapState<u8, i64, u64>,
}

impl ProcessFunction<u8, Event> for Totals {
    type Out = (u8, i64, u64);

    fn states(&mut self, states: &mut States<'_, u8>) {
        states.add(&mut self.values);
    }

    fn process(&mut self, event: Event, ctx: &mut ProcessContext<'_, u8, Self::Out>) -> FunctionResult {
        self.values.with(ctx.key(), &event.at, |sum| *sum = Some(sum.unwrap_or(0) + event.value));
        ctx.register_event_timer(Timestamp::from_millis(event.at + DELAY));
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, u8, Self::Out>) -> FunctionResult {
        let (at, mut total) = (timer.at().as_millis() - DELAY, 0);
        // Records from later on may have come already: they do not count yet.
        self.values.for_each(ctx.key(), |moment, value| total += if *moment <= at { *value } else { 0 });
        ctx.emit((*ctx.key().get(), at, total));
        Ok(())
    }
}

/// Sessions as (key, start, end, sum), totals as (key, moment, sum).
#[derive(Debug, PartialEq, Eq)]
struct Results {
    sessions: Vec<(u8, i64, i64, u64)>,
    totals: Vec<(u8, i64, u64)>,
}

/// What the records come to, however they are ordered.
fn oracle(events: &[Event]) -> Results {
    let mut by_key: BTreeMap<u8, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_key.entry(event.key).or_default().push(event);
    }
    let (mut sessions, mut totals) = (Vec::new(), Vec::new());
    for (key, mut events) in by_key {
        events.sort_by_key(|event| event.at);
        let mut open: Option<(i64, i64, u64)> = None;
        for event in &events {
            open = Some(match open {
                // Sessions that only touch stay two: `TimeWindow::joins` says why.
                Some((start, end, sum)) if event.at < end => (start, end.max(event.at + GAP), sum + event.value),
                closed => {
                    sessions.extend(closed.map(|(start, end, sum)| (key, start, end, sum)));
                    (event.at, event.at + GAP, event.value)
                }
            });
        }
        sessions.extend(open.map(|(start, end, sum)| (key, start, end, sum)));
        let moments: BTreeSet<i64> = events.iter().map(|event| event.at).collect();
        for at in moments {
            totals.push((key, at, events.iter().filter(|event| event.at <= at).map(|event| event.value).sum()));
        }
    }
    sessions.sort_unstable();
    totals.sort_unstable();
    Results { sessions, totals }
}

/// Records of one input: time goes on with steps back that are never longer than the strategy's bound.
fn records(random: &mut Random) -> Vec<Event> {
    let (count, mut latest) = (random.below(25), 0);
    (0..count)
        .map(|_| {
            latest += random.below(12) as i64;
            let at = (latest - random.below(DISORDER as u64 + 1) as i64).max(0);
            Event { key: random.below(4) as u8, at, value: 1 + random.below(9) }
        })
        .collect()
}

struct Run {
    results: Results,
    expected: Results,
    crashes: u64,
    trace: String,
}

fn run(seed: u64) -> crate::Result<Run> {
    let mut random = Random::new(seed);
    let (a, b) = (records(&mut random), records(&mut random));
    let backend = if random.below(4) == 0 { StateBackend::Bytes } else { StateBackend::Memory };
    let parallelism = 1 + random.index(3);
    let mut driver = TestDriver::new().parallelism(parallelism).state_backend(backend).seed(random.next());
    driver = driver.exchange_bytes(if random.below(2) == 0 { 1 } else { 1 << 16 });
    let mut streams = Vec::new();
    for (name, records) in [("a", &a), ("b", &b)] {
        let (input, stream) = driver.durable_input(name);
        for event in records {
            input.push_at(event.clone(), Timestamp::from_millis(event.at));
        }
        input.end();
        let bound = Duration::from_millis(DISORDER as u64);
        let strategy = WatermarkStrategy::for_bounded_out_of_orderness(bound).with_interval(Duration::from_millis(1));
        streams.push(stream.assign_timestamps_and_watermarks(strategy));
    }
    let events = streams.remove(0).union(streams);
    let sessions = events.clone().key_by(|event: &Event| event.key);
    let sessions = sessions.window(SessionWindows::with_gap(Duration::from_millis(GAP as u64))).sum(|e| e.value);
    let sessions = driver.output(sessions);
    let totals = events.key_by(|event| event.key).process(|| Totals { values: MapState::new("values") });
    let totals = driver.output(totals);
    let job = driver.running()?;
    job.set_step_time(Duration::from_millis(2));
    job.set_checkpoint_interval(Duration::from_millis(5 + random.below(40)));
    let mut crashes = 0;
    while !driver.running()?.is_over() {
        if !driver.running()?.step()? {
            driver.advance(Duration::from_millis(1))?;
        }
        if crashes < 4 && random.below(60) == 0 {
            crashes += 1;
            match random.below(3) {
                0 => driver.crash_and_rescale(1 + random.index(3))?,
                _ => driver.crash()?,
            }
        }
    }
    let sessions = sessions.take().into_iter();
    let mut sessions: Vec<_> =
        sessions.map(|r| (r.key, r.window.start().as_millis(), r.window.end().as_millis(), r.value)).collect();
    let mut totals = totals.take();
    sessions.sort_unstable();
    totals.sort_unstable();
    let expected = oracle(&[a, b].concat());
    let trace = driver.running()?.trace();
    Ok(Run { results: Results { sessions, totals }, expected, crashes, trace })
}

/// What went wrong under the first of the seeds under which something does.
fn first_failure(seeds: std::ops::Range<u64>) -> Option<String> {
    for seed in seeds {
        match run(seed) {
            Ok(run) if run.results == run.expected => {}
            Ok(run) => {
                let Run { results, expected, crashes, .. } = run;
                return Some(format!(
                    "seed {seed}, {crashes} crashes: another result than the oracle's\n{results:?}\n{expected:?}"
                ));
            }
            Err(error) => return Some(format!("seed {seed}: {error}")),
        }
    }
    None
}

#[test]
fn ten_thousand_seeds_with_crashes_give_what_the_oracle_says() {
    let failure = first_failure(0..10_000);
    assert!(failure.is_none(), "{}", failure.unwrap_or_default());
}

#[test]
fn the_same_seed_takes_the_same_steps() {
    for seed in 0..50 {
        let (first, second) = (run(seed).expect("runs"), run(seed).expect("runs"));
        assert_eq!(first.trace, second.trace, "seed {seed}");
    }
}

#[test]
fn planted_bugs_are_found() {
    for bug in [Bug::TimersForgotten, Bug::BarriersNotAligned] {
        let failure = with_bug(bug, || first_failure(0..2000));
        assert!(failure.is_some(), "{bug:?} was not found");
    }
}
