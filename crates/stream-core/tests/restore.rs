//! Going on from a checkpoint: at another parallelism with everything open, and what is refused.

use std::collections::BTreeMap;
use std::time::Duration;

use stream_core::checkpoint::{self, CheckpointStore, MemoryStore};
use stream_core::clock::{Clock, SystemClock};
use stream_core::testing::TestDriver;
use stream_core::window::{SessionWindows, SlidingWindows, TumblingWindows};
use stream_core::{
    Configuration, DataStream, Error, FunctionResult, MapState, ProcessContext, ProcessFunction, Result, States,
    StreamingContext, Timer, Timestamp, WatermarkStrategy,
};

const KEYS: u64 = 40;
const RECORDS: u64 = 1_200;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// (key, time), in order of time.
fn record(i: u64) -> (u64, i64) {
    ((i * 7 + i / 11) % KEYS, (i * 10).cast_signed())
}

/// Tells, 300 ms of event time after a record, how many records its key had up to its time.
struct Later(MapState<u64, i64, u64>);

impl ProcessFunction<u64, (u64, i64)> for Later {
    type Out = (u64, i64, u64);

    fn states(&mut self, states: &mut States<'_, u64>) {
        states.add(&mut self.0);
    }

    fn process(&mut self, (_, at): (u64, i64), ctx: &mut ProcessContext<'_, u64, Self::Out>) -> FunctionResult {
        self.0.with(ctx.key(), &at, |count| *count.get_or_insert(0) += 1);
        ctx.register_event_timer(Timestamp::from_millis(at + 300));
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, u64, Self::Out>) -> FunctionResult {
        let (at, mut count) = (timer.at().as_millis() - 300, 0);
        self.0.for_each(ctx.key(), |time, records| count += if *time <= at { *records } else { 0 });
        ctx.emit((*ctx.key().get(), at, count));
        Ok(())
    }
}

/// By key, start and end, how many records the sessions with a gap of 350 ms have.
fn sessions_of(times: &BTreeMap<u64, Vec<i64>>) -> BTreeMap<(u64, i64, i64), u64> {
    let mut sessions: BTreeMap<(u64, i64, i64), u64> = BTreeMap::new();
    for (key, times) in times {
        let mut open: Option<(i64, i64, u64)> = None;
        for at in times {
            open = Some(match open {
                Some((start, end, count)) if *at < end => (start, at + 350, count + 1),
                closed => {
                    sessions.extend(closed.map(|(start, end, count)| ((*key, start, end), count)));
                    (*at, at + 350, 1)
                }
            });
        }
        sessions.extend(open.map(|(start, end, count)| ((*key, start, end), count)));
    }
    sessions
}

#[test]
fn from_one_to_three_to_two_to_five_with_windows_open_and_timers_pending() -> Result<()> {
    let mut driver = TestDriver::new().parallelism(1).seed(5);
    let (input, stream) = driver.durable_input("records");
    let strategy = WatermarkStrategy::for_bounded_out_of_orderness(ms(50)).with_interval(ms(1));
    let records = stream.assign_timestamps_and_watermarks(strategy);
    let key = |record: &(u64, i64)| record.0;
    let later = driver.output(records.clone().key_by(key).process(|| Later(MapState::new("times"))));
    let tumbling = records.clone().key_by(key).window(TumblingWindows::of(ms(1000))).count();
    let tumbling = driver.output(tumbling);
    let sliding = records.clone().key_by(key).window(SlidingWindows::of(ms(1000), ms(250))).count();
    let sliding = driver.output(sliding);
    let sessions = driver.output(records.key_by(key).window(SessionWindows::with_gap(ms(350))).count());
    driver.running()?.set_checkpoint_interval(ms(20));
    let mut parallelism = [3, 2, 5].into_iter();
    for i in 0..RECORDS {
        let (key, at) = record(i);
        input.push_at((key, at), Timestamp::from_millis(at));
        driver.advance(ms(1))?;
        if i % 300 == 299
            && let Some(parallelism) = parallelism.next()
        {
            driver.crash_and_rescale(parallelism)?;
        }
    }
    input.end();
    driver.finish()?;

    let mut times: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
    for (key, at) in (0..RECORDS).map(record) {
        times.entry(key).or_default().push(at);
    }
    let all = || times.iter().flat_map(|(key, times)| times.iter().map(|at| (*key, *at)));
    let counted = |results: Vec<(u64, i64, i64, u64)>| {
        let count = results.len();
        let by_window: BTreeMap<(u64, i64, i64), u64> =
            results.into_iter().map(|(key, start, end, value)| ((key, start, end), value)).collect();
        assert_eq!(by_window.len(), count, "a window fired twice");
        by_window
    };
    let grid = |size: i64, slide: i64| {
        let mut windows: BTreeMap<(u64, i64, i64), u64> = BTreeMap::new();
        for (key, at) in all() {
            let mut start = at.div_euclid(slide) * slide;
            while start + size > at {
                *windows.entry((key, start, start + size)).or_default() += 1;
                start -= slide;
            }
        }
        windows
    };
    let found = |results: Vec<stream_core::window::WindowResult<u64, u64>>| {
        let line = |r: stream_core::window::WindowResult<u64, u64>| {
            (r.key, r.window.start().as_millis(), r.window.end().as_millis(), r.value)
        };
        counted(results.into_iter().map(line).collect())
    };
    assert_eq!(found(tumbling.take()), grid(1000, 1000));
    assert_eq!(found(sliding.take()), grid(1000, 250));
    assert_eq!(found(sessions.take()), sessions_of(&times));
    let mut expected: Vec<(u64, i64, u64)> = Vec::new();
    for (key, times) in &times {
        expected.extend(times.iter().enumerate().map(|(index, at)| (*key, *at, index as u64 + 1)));
    }
    assert_eq!(later.take_sorted(), expected);
    Ok(())
}

/// Runs the job `name` in `store` until it has a checkpoint of its own, and stops it.
fn run(
    store: &MemoryStore,
    name: &str,
    settings: &[(&str, &str)],
    describe: impl FnOnce(StreamingContext) -> StreamingContext,
) -> Result<()> {
    let builder = Configuration::builder().set("execution.checkpointing.interval", "10ms");
    let configuration = settings.iter().fold(builder, |builder, (key, value)| builder.set(*key, *value)).build();
    let ctx = StreamingContext::new(configuration.map_err(Error::from)?).checkpoint_store(store.clone());
    let newest = || checkpoint::list(store, name).map(|all| all.first().map_or(0, |newest| newest.sequence));
    let before = newest().unwrap_or(0);
    let job = describe(ctx).start(name)?;
    let clock = SystemClock::new();
    while !job.is_finished() && newest()? < before + 3 {
        assert!(clock.monotonic() < Duration::from_secs(60), "no checkpoint comes");
        std::thread::yield_now();
    }
    job.stop();
    job.wait().map(|_| ())
}

fn numbers(ctx: &StreamingContext) -> DataStream<u64> {
    ctx.generate(u64::MAX, |i| i).uid("numbers")
}

fn counting(ctx: StreamingContext) -> StreamingContext {
    numbers(&ctx).key_by(|i| i % 10).count().uid("count").for_each(|_| {});
    ctx
}

/// What a second run of the job is told that is described otherwise.
fn refusal(
    name: &str,
    settings: &[(&str, &str)],
    describe: impl FnOnce(StreamingContext) -> StreamingContext,
) -> String {
    let store = MemoryStore::new();
    run(&store, "orders", &[], counting).expect("the first run");
    let before = store.list().expect("it is memory").len();
    let error = run(&store, name, settings, describe).expect_err("the second run is refused");
    assert_eq!(store.list().expect("it is memory").len(), before, "it took over from a job that could go on");
    without_numbers(&error.to_string())
}

/// How many checkpoints there are is a matter of time.
fn without_numbers(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for line in &mut lines {
        if let Some((before, _)) = line.split_once("there are:") {
            *line = format!("{before}there are: …");
        }
        if let Some((before, number)) = line.split_once("manifest-") {
            *line = format!("{before}manifest-{}", number.replacen(&number[..20], "…", 1));
        }
    }
    lines.join("\n")
}

#[test]
fn state_that_nobody_claims_is_refused_with_the_difference() {
    let text = refusal("orders", &[], |ctx| {
        numbers(&ctx).key_by(|i| i % 10).count().uid("counts").for_each(|_| {});
        ctx
    });
    insta::assert_snapshot!(text);
}

#[test]
fn state_that_nobody_claims_is_dropped_where_that_is_allowed() {
    let store = MemoryStore::new();
    run(&store, "orders", &[], counting).expect("the first run");
    let allowed = [("execution.state-recovery.ignore-unclaimed-state", "true")];
    let dropped = run(&store, "orders", &allowed, |ctx| {
        numbers(&ctx).for_each(|_| {});
        ctx
    });
    dropped.expect("the second run");
}

#[test]
fn a_state_of_another_type_is_refused_with_the_difference() {
    let text = refusal("orders", &[], |ctx| {
        numbers(&ctx).key_by(|i| (i % 10).to_string()).count().uid("count").for_each(|_| {});
        ctx
    });
    insta::assert_snapshot!(text);
}

#[test]
fn another_number_of_key_groups_is_refused() {
    insta::assert_snapshot!(refusal("orders", &[("pipeline.max-parallelism", "128")], counting));
}

#[test]
fn the_checkpoints_of_another_job_are_refused() {
    insta::assert_snapshot!(refusal("payments", &[], counting));
}

#[test]
fn a_checkpoint_that_does_not_exist_is_refused() {
    insta::assert_snapshot!(refusal("orders", &[], |ctx| counting(ctx.restore_from(u64::MAX))));
}

#[test]
fn going_on_from_somewhere_without_checkpoints_is_refused() {
    let ctx = counting(StreamingContext::new(Configuration::empty()).restore_from(1));
    insta::assert_snapshot!(ctx.execute("orders").expect_err("it is refused").to_string());
}

#[test]
fn two_operators_with_one_uid_are_refused() {
    let text = refusal("orders", &[], |ctx| {
        let counts = numbers(&ctx).key_by(|i| i % 10).count().uid("count");
        counts.key_by(|(key, _)| *key).count().uid("count").for_each(|_| {});
        ctx
    });
    insta::assert_snapshot!(text);
}
