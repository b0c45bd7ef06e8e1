//! The stepped scheduler: chosen by a seed, repeatable, and with the results of production.

use std::collections::BTreeSet;
use std::time::Duration;

use stream_core::testing::{SteppedJob, TestDriver};
use stream_core::{Configuration, ErrorKind, StreamingContext};

const RECORDS: u64 = 300;

/// Rebalance, union and flat_map at parallelism 3, hardly any room, barriers all the time; the trace and the results.
fn run(seed: u64) -> (String, Vec<u64>) {
    let mut driver = TestDriver::new().parallelism(3).exchange_bytes(1).seed(seed);
    let (input, pushed) = driver.input("pushed");
    input.push_all(0..RECORDS);
    let numbers = driver.context().generate(RECORDS, |x| x).rebalance().flat_map(|x| [x; 3]);
    let odd = numbers.clone().filter(|x| x % 2 == 1).rebalance().map(|x| x).parallelism(2);
    let output = driver.output(numbers.union([odd, pushed.rebalance()]).rebalance());
    driver.finish().expect("the job succeeds");
    assert_eq!(input.committed(), RECORDS as i64);
    (driver.running().expect("a job").trace(), output.take())
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..10 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
fn another_seed_gives_another_trace_and_the_same_records() {
    let mut expected: Vec<u64> = (0..RECORDS).flat_map(|x| vec![x; if x % 2 == 1 { 7 } else { 4 }]).collect();
    expected.sort_unstable();
    let mut traces = BTreeSet::new();
    for seed in 0..50 {
        let (trace, mut records) = run(seed);
        records.sort_unstable();
        assert_eq!(records, expected, "seed {seed}");
        traces.insert(trace);
    }
    assert_eq!(traces.len(), 50);
}

#[test]
fn epochs_end_between_any_two_steps_when_steps_take_time() {
    let mut epochs = BTreeSet::new();
    for seed in 0..20 {
        let mut driver = TestDriver::new().parallelism(2).exchange_bytes(1).seed(seed);
        let (input, numbers) = driver.input("numbers");
        let output = driver.output(numbers.rebalance().map(|x: u64| x + 1));
        input.push_all(0..10_000);
        driver.running().expect("a job").set_step_time(Duration::from_millis(500));
        epochs.insert(driver.finish().expect("the job succeeds").epochs);
        assert_eq!((output.len(), input.committed()), (10_000, 10_000));
    }
    assert!(epochs.iter().all(|epochs| *epochs > 1) && epochs.len() > 1, "{epochs:?}");
}

#[test]
fn a_stop_ends_a_source_without_end() {
    let ctx = StreamingContext::new(Configuration::empty());
    ctx.generate(u64::MAX, |x| x).for_each(|_| {});
    let mut job = SteppedJob::new(ctx, "endless", 0).expect("a job");
    for _ in 0..100 {
        assert!(job.step().expect("no failure"));
    }
    job.stop();
    job.run().expect("stopped");
    assert!(job.is_over());
}

#[test]
fn an_abort_ends_the_job_with_the_next_step() {
    let ctx = StreamingContext::new(Configuration::empty());
    ctx.generate(u64::MAX, |x| x).for_each(|_| {});
    let mut job = SteppedJob::new(ctx, "endless", 0).expect("a job");
    job.step().expect("no failure");
    job.abort();
    let error = job.run().expect_err("aborted");
    assert_eq!((error.kind(), error.message()), (ErrorKind::User, "job `endless` was aborted"));
}

/// Without commits nothing falls due, so nobody makes good for a wake that was lost.
#[test]
fn no_wake_is_lost_between_subtasks() {
    for seed in 0..100 {
        let ctx = StreamingContext::new(Configuration::empty()).parallelism(seed as usize % 3 + 1).exchange_bytes(1);
        let numbers = ctx.generate(3000, |x| x).rebalance().flat_map(|x| [x; 3]);
        let odd = numbers.clone().filter(|x| x % 2 == 1).rebalance().map(|x| x).parallelism(2);
        let all = numbers.union([odd]).rebalance().collect();
        let mut job = SteppedJob::new(ctx, "wakes", seed).expect("a job");
        job.run().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(all.len(), 13_500, "seed {seed}");
    }
}

/// At least once: wherever the job is killed, what was committed has reached the output.
#[test]
fn a_crash_after_any_step_loses_nothing_that_was_committed() {
    let mut positions = BTreeSet::new();
    for seed in 0..300 {
        let mut driver = TestDriver::new().parallelism(3).exchange_bytes(1).seed(seed);
        let (input, numbers) = driver.input("numbers");
        let numbers = numbers.rebalance().flat_map(|x: u64| [x, x]);
        let output = driver.output(numbers.clone().map(|x| x).union([numbers.rebalance()]).rebalance());
        input.push_all(0..5000);
        input.end();
        let job = driver.running().expect("a job");
        job.set_step_time(Duration::from_millis(300));
        for _ in 0..2 * seed {
            job.step().expect("no failure");
        }
        drop(driver);
        let (committed, mut counts) = (input.committed(), vec![0; 5000]);
        for number in output.take() {
            counts[number as usize] += 1;
        }
        assert!(counts[..committed as usize].iter().all(|count| *count == 4), "seed {seed}: {committed} committed");
        positions.insert(committed);
    }
    assert!(positions.len() > 3, "crashes before, between and after commits: {positions:?}");
}

/// Whatever goes wrong, a stepped job reports what a job with threads does.
#[test]
fn errors_are_those_of_production() {
    let jobs: [fn(&StreamingContext); 6] = [
        |ctx| drop(ctx.generate(10, |x| x).try_map(|x| x.to_string().parse::<bool>()).collect()),
        |ctx| drop(ctx.generate(10, |x| x).rebalance().map(|x| 10 / (x - 5)).uid("divide").collect()),
        |ctx| drop(ctx.generate(10, |x| x).flat_map(|x| vec![x; 2]).for_each(|x| assert!(x < 3, "too much"))),
        |ctx| drop(ctx.generate(10, |x| 5 / (x - x)).print()),
        |ctx| drop(ctx.generate(10, |x| x).map(|x| x)),
        |ctx| drop(ctx.generate(10, |x| x).uid("a").map(|x| x).uid("a").collect()),
    ];
    for (index, describe) in jobs.into_iter().enumerate() {
        let context = || {
            let ctx = StreamingContext::new(Configuration::empty());
            describe(&ctx);
            ctx
        };
        let threads = context().execute("j").expect_err("the job fails").to_string();
        let stepped = SteppedJob::new(context(), "j", index as u64).and_then(|mut job| job.run());
        assert_eq!(stepped.expect_err("the job fails").to_string(), threads, "job {index}");
    }
}
