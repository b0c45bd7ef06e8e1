//! Event time in whole jobs, with time moved by hand: when watermarks come, who is idle, what moves nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stream_core::testing::{TestDriver, TestInput, TestOutput};
use stream_core::window::TumblingWindows;
use stream_core::{
    Batch, Configuration, DataStream, Operator, Output, Record, Result, SplitActivity, StreamingContext, Timestamp,
    WatermarkStrategy,
};

const SECOND: Duration = Duration::from_secs(1);

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// What an operator behind the watermarks is told, in order.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn add(&self, text: String) {
        self.0.lock().expect("no panic").push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

struct Observer(Seen);

impl<T: Record> Operator<T, T> for Observer {
    fn process(&mut self, batch: &mut Batch<T>, out: &mut dyn Output<T>) -> Result<()> {
        self.0.add(format!("{} records", batch.len()));
        out.batch(batch)
    }

    fn watermark(&mut self, watermark: Timestamp, _out: &mut dyn Output<T>) -> Result<Option<Timestamp>> {
        self.0.add(format!("{watermark:?}"));
        Ok(Some(watermark))
    }

    fn idle(&mut self, _out: &mut dyn Output<T>) -> Result<bool> {
        self.0.add("idle".into());
        Ok(true)
    }
}

fn observed<T: Record>(stream: DataStream<T>, seen: &Seen) -> DataStream<T> {
    let seen = seen.clone();
    stream.transform("observer", move |_| Observer(seen.clone()))
}

/// Records are their own timestamps.
fn timed(strategy: WatermarkStrategy<i64>) -> WatermarkStrategy<i64> {
    strategy.with_timestamp_assigner(|millis, _| at(*millis))
}

fn bounded(bound: Duration) -> WatermarkStrategy<i64> {
    timed(WatermarkStrategy::for_bounded_out_of_orderness(bound))
}

fn job(driver: &mut TestDriver, strategy: WatermarkStrategy<i64>) -> (TestInput<i64>, TestOutput<i64>, Seen) {
    let seen = Seen::default();
    let (input, output) =
        driver.job(|stream| observed(stream.assign_timestamps_and_watermarks(strategy.clone()), &seen));
    (input, output, seen)
}

#[test]
fn a_drained_input_brings_the_watermark_and_the_end_brings_the_last() {
    let mut driver = TestDriver::new();
    let (input, output, seen) = job(&mut driver, bounded(SECOND));
    input.push_all([3_000, 5_000, 4_000]);
    driver.run_until_idle().expect("runs");
    assert_eq!(seen.take(), ["3 records", "3999ms"]);
    // Time alone brings nothing.
    driver.advance(60 * SECOND).expect("runs");
    input.push(4_500);
    driver.run_until_idle().expect("runs");
    assert_eq!(seen.take(), ["1 records"]);
    driver.finish().expect("ends");
    assert_eq!(seen.take(), ["+inf"]);
    let timestamps: Vec<_> = output.take_timed().into_iter().map(|(_, timestamp)| timestamp).collect();
    assert_eq!(timestamps, [3_000, 5_000, 4_000, 4_500].map(|millis| Some(at(millis))));
}

fn with_interval(interval: &str) -> TestDriver {
    let configuration = Configuration::builder().set("pipeline.auto-watermark-interval", interval).build();
    TestDriver::with(configuration.expect("one good setting"))
}

#[test]
fn the_jobs_interval_is_kept_by_a_stream_that_is_drained() {
    let mut driver = with_interval("10 s");
    let (input, _output, seen) = job(&mut driver, bounded(SECOND));
    for second in 1..=25 {
        input.push(second * 1_000);
        driver.run_until_idle().expect("runs");
        driver.advance(SECOND).expect("runs");
    }
    let watermarks: Vec<_> = seen.take().into_iter().filter(|event| event.ends_with("ms")).collect();
    assert_eq!(watermarks, ["-1ms", "8999ms", "18999ms"]);
    driver.finish().expect("ends");
    assert_eq!(seen.take(), ["+inf"]);
}

#[test]
fn with_an_interval_of_zero_bounded_strategies_are_silent_and_punctuations_come() {
    let mut driver = with_interval("0");
    let (input, _output, seen) = job(&mut driver, bounded(SECOND));
    input.push_all([5_000, 9_000]);
    driver.advance(60 * SECOND).expect("runs");
    driver.finish().expect("ends");
    assert_eq!(seen.take(), ["2 records", "+inf"]);

    let mut driver = with_interval("0");
    let marks = WatermarkStrategy::punctuated(|millis: &i64, t| (millis % 10 == 0).then_some(t));
    let (input, _output, seen) = job(&mut driver, timed(marks));
    input.push_all([3, 10, 12]);
    driver.run_until_idle().expect("runs");
    assert_eq!(seen.take(), ["3 records", "10ms"]);
}

/// The interval is the job's, also after it was rescaled.
#[test]
fn a_job_that_goes_on_elsewhere_keeps_its_interval() {
    let mut driver = with_interval("0");
    let seen = Seen::default();
    let (input, stream) = driver.durable_input("input");
    let _output = driver.output(observed(stream.assign_timestamps_and_watermarks(bounded(SECOND)), &seen));
    input.push(5_000);
    driver.advance(SECOND).expect("runs");
    driver.crash_and_rescale(2).expect("a checkpoint was made");
    input.push(9_000);
    driver.advance(SECOND).expect("runs");
    assert!(seen.take().iter().all(|event| event.ends_with("records")));
}

#[test]
fn upstream_watermarks_and_idleness_end_at_the_strategy() {
    let mut driver = TestDriver::new();
    let (input, _output, seen) = job(&mut driver, bounded(SECOND));
    input.push_watermark(at(99_000));
    input.push(5_000);
    input.push_idle();
    driver.run_until_idle().expect("runs");
    assert_eq!(seen.take(), ["1 records", "3999ms"]);
    driver.finish().expect("ends");
    assert_eq!(seen.take(), ["+inf"]);
}

#[test]
fn what_a_test_pushes_comes_in_order() {
    let seen = Seen::default();
    let mut driver = TestDriver::new();
    let (input, _output) = driver.job(|stream| observed(stream, &seen));
    input.push_watermark(at(1));
    input.push_idle();
    input.push_at(7, at(7));
    input.push_at(8, at(8));
    input.push_watermark(at(8));
    input.push_at(9, at(9));
    input.push_idle();
    assert_eq!(input.waiting(), 3);
    driver.run_until_idle().expect("runs");
    assert_eq!(seen.take(), ["1ms", "idle", "2 records", "8ms", "1 records", "idle"]);
    input.push_watermark(at(20));
    driver.finish().expect("ends");
    assert_eq!(seen.take(), ["20ms", "+inf"]);
}

#[test]
fn a_quiet_input_becomes_idle_and_comes_back() {
    let mut driver = TestDriver::new();
    let (input, _output, seen) = job(&mut driver, bounded(SECOND).with_idleness(10 * SECOND));
    input.push(5_000);
    driver.run_until_idle().expect("runs");
    driver.advance(Duration::from_millis(9_999)).expect("runs");
    assert_eq!(seen.take(), ["1 records", "3999ms"]);
    driver.advance(Duration::from_millis(1)).expect("runs");
    assert_eq!(seen.take(), ["idle"]);
    driver.advance(60 * SECOND).expect("runs");
    input.push(1_000);
    driver.run_until_idle().expect("runs");
    assert_eq!(seen.take(), ["1 records", "3999ms"]);
}

#[test]
fn an_input_that_is_silent_from_the_beginning_becomes_idle_too() {
    let mut driver = TestDriver::new();
    let (_input, _output, seen) = job(&mut driver, bounded(SECOND).with_idleness(10 * SECOND));
    driver.advance(10 * SECOND).expect("runs");
    assert_eq!(seen.take(), ["idle"]);
}

/// Two inputs that meet: without idleness the silent one holds both back, and it has a name.
#[test]
fn a_silent_input_holds_back_unless_it_may_be_idle() {
    for idleness in [None, Some(10 * SECOND)] {
        let seen = Seen::default();
        let mut driver = TestDriver::new();
        let (talks, talking) = driver.input("talks");
        let (_silent, silent) = driver.input("silent");
        let mut strategy = bounded(Duration::ZERO);
        if let Some(timeout) = idleness {
            strategy = strategy.with_idleness(timeout);
        }
        let progress = strategy.progress();
        let talking = talking.assign_timestamps_and_watermarks(strategy.clone()).name("times of talks");
        let silent = silent.assign_timestamps_and_watermarks(strategy).name("times of silent");
        let _output = driver.output(observed(talking.union([silent]), &seen));
        for second in 1..=12 {
            talks.push(second * 1_000);
            driver.run_until_idle().expect("runs");
            driver.advance(SECOND).expect("runs");
        }
        let seen = seen.take();
        let watermarks: Vec<_> = seen.iter().filter(|event| !event.contains("record")).collect();
        let holding_back = progress.holding_back().expect("somebody is read");
        match idleness {
            None => {
                assert_eq!(watermarks, Vec::<&String>::new());
                assert_eq!(&*holding_back.split, "times of silent[0]");
                assert_eq!(holding_back.watermark, Timestamp::MIN);
            }
            Some(_) => {
                assert_eq!(watermarks, ["9999ms", "10999ms", "11999ms"]);
                assert_eq!(&*holding_back.split, "times of talks[0]");
                assert_eq!(progress.splits()[1].activity, SplitActivity::Idle);
            }
        }
    }
}

/// Two inputs of two types, so that one strategy can't be cloned for both.
#[test]
fn strategies_that_share_a_table_see_who_holds_back_whom() {
    let mut driver = TestDriver::new();
    let (talks, talking) = driver.input::<i64>("talks");
    let (_silent, silent) = driver.input::<String>("silent");
    let strategy = bounded(Duration::ZERO);
    let progress = strategy.progress();
    let talking = talking.assign_timestamps_and_watermarks(strategy).name("talks").map(|millis| millis.to_string());
    let other = WatermarkStrategy::for_monotonous_timestamps().with_progress(progress.clone());
    let silent = silent.assign_timestamps_and_watermarks(other).name("silent");
    let _output = driver.output(talking.union([silent]));
    talks.push(1_000);
    driver.run_until_idle().expect("runs");
    assert_eq!(progress.splits().len(), 2);
    assert_eq!(&*progress.holding_back().expect("both are read").split, "silent[0]");
}

#[test]
fn a_record_dated_2099_moves_nothing() {
    let mut driver = TestDriver::new();
    let strategy = bounded(SECOND);
    let progress = strategy.progress();
    let (input, output, seen) = job(&mut driver, strategy);
    let (today, far) = (1_800_000_000_000, 4_070_908_800_000);
    driver.set_wall(at(today)).expect("runs");
    input.push_all([today, far, today + 500]);
    driver.run_until_idle().expect("runs");
    assert_eq!(seen.take(), ["3 records".to_owned(), format!("{}ms", today - 501)]);
    assert_eq!(progress.far_future_records(), 1);
    // It is still there, with its date.
    assert_eq!(output.take_timed()[1], (far, Some(at(far))));
}

#[test]
fn records_dated_too_far_ahead_are_handed_out() {
    let mut driver = TestDriver::new();
    let (strategy, seen) = (bounded(SECOND).with_max_future(60 * SECOND), Seen::default());
    let progress = strategy.progress();
    let (input, stream) = driver.input("input");
    let (sound, far) = stream.assign_timestamps_and_watermarks(strategy).split_far_future(60 * SECOND);
    let counts = sound.clone().key_by(|_| 0).window(TumblingWindows::of(60 * SECOND)).count();
    let (counts, far) = (driver.output(counts), driver.output(observed(far, &seen)));
    let minute = 30_000_000 * 60_000;
    driver.set_wall(at(minute)).expect("runs");
    input.push_all([minute, minute + 60_001, minute + 60_000, 4_070_908_800_000]);
    driver.run_until_idle().expect("runs");
    assert_eq!(progress.far_future_records(), 2);
    assert_eq!(far.take_timed(), [minute + 60_001, 4_070_908_800_000].map(|millis| (millis, Some(at(millis)))));
    assert_eq!(seen.take(), ["2 records".to_owned(), format!("{}ms", minute + 59_000 - 1)]);
    input.push(minute + 50_000);
    // It is still in time: what was far ahead has closed nothing.
    driver.advance(2 * SECOND).expect("runs");
    input.push(minute + 61_001);
    driver.finish().expect("ends");
    assert_eq!(counts.take().iter().map(|result| result.value).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(far.take(), Vec::<i64>::new());
}

#[test]
fn punctuations_come_behind_their_batch() {
    let mut driver = TestDriver::new();
    let marks = WatermarkStrategy::punctuated(|millis: &i64, t| (millis % 10 == 0).then_some(t));
    let (input, _output, seen) = job(&mut driver, timed(marks));
    input.push_all([3, 10, 12]);
    driver.run_until_idle().expect("runs");
    input.push_all([15]);
    driver.run_until_idle().expect("runs");
    assert_eq!(seen.take(), ["3 records", "10ms", "1 records"]);
}

#[test]
fn a_stream_that_is_never_drained_gets_watermarks_by_the_interval() {
    let seen = Seen::default();
    let mut driver = TestDriver::new();
    let numbers = driver.context().generate(512 * 20, |index| i64::try_from(index).expect("small"));
    let output = driver.output(observed(numbers.assign_timestamps_and_watermarks(bounded(Duration::ZERO)), &seen));
    // Each step takes up to 100 ms, so that not each of the 20 batches can have a watermark, but many do.
    driver.running().expect("a good plan").set_step_time(Duration::from_millis(100));
    driver.finish().expect("ends");
    let watermarks = seen.take().into_iter().filter(|event| event.ends_with("ms")).count();
    assert!((3..=12).contains(&watermarks), "{watermarks} watermarks");
    assert_eq!(output.take().len(), 512 * 20);
}

/// On threads, which have to sleep until something is due.
#[test]
fn no_interval_and_no_timeout_is_too_long() {
    let ctx = StreamingContext::new(Configuration::empty());
    let strategy = bounded(Duration::MAX).with_interval(Duration::MAX).with_idleness(Duration::MAX);
    let numbers = ctx.generate(10, |index| i64::try_from(index).expect("small"));
    let seen = numbers.assign_timestamps_and_watermarks(strategy).collect();
    ctx.execute("long").expect("ends");
    assert_eq!(seen.take().len(), 10);
}

#[test]
fn alignment_in_the_middle_of_a_stream_is_refused() {
    let mut driver = TestDriver::new();
    job(&mut driver, bounded(SECOND).with_alignment(SECOND));
    let error = driver.finish().expect_err("an operator never chooses its input");
    assert!(error.to_string().contains("with_alignment has no effect in the middle of a stream"), "{error}");
}

#[test]
fn records_without_a_time_are_named() {
    let mut driver = TestDriver::new();
    let (input, _output, _seen) = job(&mut driver, WatermarkStrategy::for_monotonous_timestamps());
    input.push(1);
    let error = driver.finish().expect_err("there is no timestamp");
    assert!(error.to_string().contains("records have no timestamp"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("with_timestamp_assigner")), "{error}");
}

#[test]
fn an_assigner_that_panics_is_placed() {
    let mut driver = TestDriver::new();
    let strategy = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|millis: &i64, _| {
        assert!(*millis < 12, "no such time");
        at(*millis)
    });
    let (input, _output, _seen) = job(&mut driver, strategy);
    input.push_all([10, 11, 12, 13]);
    let error = driver.finish().expect_err("it panics");
    assert!(error.to_string().contains("input offset 2"), "{error}");
}
