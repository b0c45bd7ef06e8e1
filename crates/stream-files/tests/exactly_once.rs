//! Whole jobs that write files and die at any step, under a thousand seeds, against what the input comes to.
//!
//! The seed chooses the records, the parallelism, the interleaving, when checkpoints are taken and which of their parts
//! fail, when the process dies and how many subtasks the next one has.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Event, Faults, Random, Replay, Watched, lines, scratch};
use serde::Serialize;
use stream_core::testing::SteppedJob;
use stream_core::window::TumblingWindows;
use stream_core::{Configuration, ErrorKind, Result, StreamingContext, WatermarkStrategy};
use stream_files::FileSink;

const WINDOW: i64 = 20;
const DISORDER: u64 = 10;

#[derive(Serialize)]
struct Window {
    key: u8,
    start: i64,
    sum: u64,
}

fn records(random: &mut Random) -> Vec<Event> {
    let (count, mut latest) = (10 + random.below(40), 0);
    let event = |_| {
        latest += random.below(12) as i64;
        let at = (latest - random.below(DISORDER + 1) as i64).max(0);
        Event { key: random.below(4) as u8, at, value: 1 + random.below(9) }
    };
    (0..count).map(event).collect()
}

/// Describes the job: a running count per key and tumbling windows, each into a directory of its own.
fn job(events: &Arc<Vec<Event>>, out: &std::path::Path, faults: &Faults, parallelism: usize) -> StreamingContext {
    let ctx = StreamingContext::new(Configuration::empty()).parallelism(parallelism).exchange_bytes(1);
    let ctx = ctx.checkpoint_store(faults.clone());
    let stream = ctx.source("replay", Replay(events.clone())).parallelism(1);
    let counts = stream.clone().key_by(|event: &Event| event.key).count();
    counts.staged_sink("files", Watched::new(FileSink::json_lines(out.join("counts")), faults)).uid("counts");
    let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(DISORDER));
    let timed = stream.assign_timestamps_and_watermarks(strategy.with_interval(Duration::ZERO));
    let windows = timed.key_by(|event| event.key);
    let windows = windows.window(TumblingWindows::of(Duration::from_millis(WINDOW as u64))).sum(|event| event.value);
    let windows = windows.map(|w| Window { key: w.key, start: w.window.start().as_millis(), sum: w.value });
    windows.staged_sink("files", Watched::new(FileSink::csv(out.join("windows")), faults)).uid("windows");
    ctx
}

/// The lines of all files, sorted, as they must be: (counts, windows).
fn oracle(events: &[Event]) -> (Vec<String>, Vec<String>) {
    let (mut counts, mut windows) = (Vec::new(), std::collections::BTreeMap::<(u8, i64), u64>::new());
    let mut seen = [0; 4];
    for event in events {
        seen[usize::from(event.key)] += 1;
        counts.push(format!("[{},{}]", event.key, seen[usize::from(event.key)]));
        *windows.entry((event.key, event.at / WINDOW * WINDOW)).or_default() += event.value;
    }
    let mut windows: Vec<String> = windows.iter().map(|((k, start), sum)| format!("{k},{start},{sum}")).collect();
    counts.sort_unstable();
    windows.sort_unstable();
    (counts, windows)
}

/// Runs one seed; says what is wrong with the files.
fn run(seed: u64, is_eager: bool) -> Result<std::result::Result<(), String>> {
    let mut random = Random::new(seed);
    let events = Arc::new(records(&mut random));
    let directory = scratch();
    let faults = Faults::new(random.next(), is_eager);
    let ctx = job(&events, directory.path(), &faults, 1 + random.below(3) as usize);
    faults.set_off(true);
    let mut job = SteppedJob::new(ctx, "crashing", random.next())?;
    faults.set_off(false);
    job.set_step_time(Duration::from_millis(2));
    job.set_checkpoint_interval(Duration::from_millis(5 + random.below(40)));
    let mut crashes = 0;
    while !job.is_over() {
        if !job.step()? {
            job.advance(Duration::from_millis(1))?;
        }
        let just_failed = faults.take_just_failed();
        if crashes < 5 && !job.is_over() && random.below(if just_failed { 2 } else { 60 }) == 0 {
            crashes += 1;
            // The job that begins again has a disk that works, so that it begins at all.
            faults.set_off(true);
            match random.below(3) {
                0 => job.crash_and_rescale(1 + random.below(3) as usize)?,
                _ => job.crash()?,
            };
            faults.set_off(crashes == 5);
        }
    }
    let (counts, windows) = oracle(&events);
    let counted = lines(&directory.path().join("counts"), None).and_then(|found| compare(&found, &counts));
    let header = Some("key,start,sum");
    Ok(counted.and_then(|()| compare(&lines(&directory.path().join("windows"), header)?, &windows)))
}

fn compare(found: &[String], expected: &[String]) -> std::result::Result<(), String> {
    (found == expected).then_some(()).ok_or_else(|| format!("found\n{found:?}\nexpected\n{expected:?}"))
}

fn first_failure(seeds: std::ops::Range<u64>, is_eager: bool) -> Option<String> {
    seeds.into_iter().find_map(|seed| match run(seed, is_eager) {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(format!("seed {seed}: {why}")),
        Err(error) => Some(format!("seed {seed}: {error}")),
    })
}

#[test]
fn whatever_dies_every_line_is_published_once() {
    let failure = first_failure(0..1000, false);
    assert!(failure.is_none(), "{}", failure.unwrap_or_default());
}

#[test]
fn a_committer_that_publishes_before_the_checkpoint_counts_is_found() {
    assert!(first_failure(0..200, true).is_some());
}

/// Two runs of one job over one store and one directory, step by step as the seed says: one of them ends as fenced.
#[test]
fn of_two_runs_at_a_time_only_the_later_publishes() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let events = Arc::new(records(&mut random));
        let directory = scratch();
        let faults = Faults::new(random.next(), false);
        faults.set_off(true);
        let start = |seed| {
            let mut job = SteppedJob::new(job(&events, directory.path(), &faults, 2), "twice", seed)?;
            job.set_step_time(Duration::from_millis(2));
            job.set_checkpoint_interval(Duration::from_millis(8));
            Ok::<_, stream_core::Error>(job)
        };
        let mut first = start(random.next()).expect("the first run begins");
        for _ in 0..random.below(200) {
            first.step().expect("nobody disturbs the first run");
        }
        let was_over = first.is_over();
        let mut second = start(random.next()).expect("the second run takes over");
        let mut failure = None;
        while !(first.is_over() && second.is_over()) {
            let is_first = random.below(2) == 0;
            let job = if is_first { &mut first } else { &mut second };
            if job.is_over() {
                continue;
            }
            let stepped = job.step().and_then(|stepped| match stepped {
                true => Ok(()),
                false => job.advance(Duration::from_millis(1)),
            });
            if let Err(error) = stepped {
                assert!(is_first, "seed {seed}: the second run fails: {error}");
                failure = Some(error);
            }
        }
        if !was_over {
            let failure = failure.expect("the first run does not end well");
            assert_eq!(failure.kind(), ErrorKind::Fenced, "seed {seed}: {failure}");
        }
        // What the first one has put aside since the second has begun stays until somebody begins again.
        start(random.next()).and_then(|mut third| third.run()).expect("a third run has nothing to do");
        let (counts, windows) = oracle(&events);
        assert_eq!(lines(&directory.path().join("counts"), None).expect("files"), counts, "seed {seed}");
        let found = lines(&directory.path().join("windows"), Some("key,start,sum")).expect("files");
        assert_eq!(found, windows, "seed {seed}");
    }
}
