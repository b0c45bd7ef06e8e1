//! Every keyed operator, as the methods of streams make it, through the harness: over every backend, with a snapshot and
//! a restore between any two records, and restored at another parallelism and in the other backend.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use crate::either::Either;
use crate::key::{Key, Keyed};
use crate::keyed::KeyedStream;
use crate::operator::{OperatorContext, Record};
use crate::process::{FunctionResult, ProcessContext, ProcessFunction, Timer};
use crate::state::{AggregatingState, ListState, MapState, ReducingState, StateBackend, States, ValueState};
use crate::stream::DataStream;
use crate::testing::crew::{BACKENDS, Crew, Step};
use crate::testing::described::described;
use crate::testing::{Harness, VirtualClock};
use crate::time::Timestamp;
use crate::window::{
    Aggregator, ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountTrigger, EarlyTrigger,
    EventTimeTrigger, GlobalWindows, LateWindowedStream, ProcessingTimeTrigger, PurgingTrigger, SessionWindows,
    SlidingWindows, TimeWindow, TumblingWindows, WindowResult, WindowedStream,
};

type Numbers = KeyedStream<u8, u32>;
type NumberWindows = WindowedStream<u8, u32>;

/// Key, value, milliseconds; and what event time has come to after these records.
type Input<'a> = &'a [(&'a [(u8, u32, i64)], i64)];

/// Two records are late for short windows: 9 and 2.
const INPUT: Input<'static> = &[
    (&[(1, 5, 1), (2, 7, 2), (1, 6, 3), (1, 5, 14)], 12),
    (&[(1, 9, 8), (2, 3, 15), (2, 7, 31)], 33),
    (&[(1, 2, 16), (1, 4, 41), (2, 1, 42)], 42),
];

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn context(backend: StateBackend) -> OperatorContext {
    // Few key groups: a snapshot says of each how far event time has come.
    let context = OperatorContext::new("o", "o", 0, 1).with_max_parallelism(4);
    context.with_state_backend(backend).with_clock(Arc::new(VirtualClock::new()))
}

/// The operator between `u32` with a key and `O` that is described, in every variation.
fn varied<K: Key, O: Record, X>(
    input: Input<'_>,
    describe: impl Fn(DataStream<Keyed<K, u32>>) -> X + Copy,
    key: impl Fn(u8) -> K,
    show: fn(O) -> String,
    expected: &[String],
) {
    for backend in BACKENDS {
        let context = context(backend);
        let operator = context.clone();
        let mut harness = Harness::new(move || described(describe, &operator, show)).context(context).in_any_order();
        for (records, watermark) in input {
            let records = records.iter().map(|(k, value, at)| (Keyed::new(key(*k), *value), *at));
            harness = harness.input_at(records).watermark(*watermark);
        }
        harness.output(expected.to_vec()).check();
    }
}

/// The same operator, its state moved to one, three and two subtasks after every record and every watermark.
fn moved<O: Record, X>(
    input: Input<'_>,
    describe: impl Fn(Numbers) -> X + Copy + 'static,
    show: fn(O) -> String,
    expected: &[String],
) {
    for backend in BACKENDS {
        let make = move |context: &OperatorContext| described(|s| describe(KeyedStream::new(s)), context, show);
        let mut crew = Crew::new(1, backend, make);
        let mut steps = Vec::new();
        for (records, watermark) in input {
            steps.extend(records.iter().map(|record| Step::Records(vec![*record])));
            steps.push(Step::Watermark(*watermark));
        }
        steps.push(Step::Watermark(i64::MAX));
        let mut found = Vec::new();
        for (step, parallelism) in steps.iter().zip([3, 2, 1].into_iter().cycle()) {
            found.extend(crew.step(step).into_iter().map(|(text, _)| text));
            crew.step(&Step::Restore(parallelism));
        }
        found.extend(crew.step(&Step::End).into_iter().map(|(text, _)| text));
        let mut expected = expected.to_vec();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "moved to other subtasks after every step, first in {backend:?}");
    }
}

/// In every variation, and moved.
fn check<O: Record, X>(
    input: Input<'_>,
    describe: impl Fn(Numbers) -> X + Copy + 'static,
    show: fn(O) -> String,
    expected: &[String],
) {
    varied(input, |stream| describe(KeyedStream::new(stream)), |key| key, show, expected);
    moved(input, describe, show, expected);
}

/// Uses one state of every kind, and timers.
struct Everything {
    count: ValueState<u8, u32>,
    recent: ListState<u8, u32>,
    words: MapState<u8, u32, u32>,
    greatest: ReducingState<u8, u32>,
    sum: AggregatingState<u8, u64, u32>,
}

impl Everything {
    fn new() -> Everything {
        Everything {
            count: ValueState::new("count"),
            recent: ListState::new("recent"),
            words: MapState::new("words"),
            greatest: ReducingState::new("greatest", u32::max),
            sum: AggregatingState::new("sum", |sum, value| *sum += u64::from(value)),
        }
    }
}

impl ProcessFunction<u8, u32> for Everything {
    type Out = String;

    fn states(&mut self, states: &mut States<'_, u8>) {
        let Everything { count, recent, words, greatest, sum } = self;
        states.add(count).add(recent).add(words).add(greatest).add(sum);
    }

    fn process(&mut self, value: u32, ctx: &mut ProcessContext<'_, u8, String>) -> FunctionResult {
        let key = ctx.key();
        let count = self.count.update(
            key,
            || 0,
            |count| {
                *count += 1;
                *count
            },
        );
        self.recent.push(key, value);
        if count.is_multiple_of(3) {
            let recent = self.recent.take(key);
            ctx.emit(format!("{}: {recent:?}", key.get()));
        }
        self.words.with(key, &(value % 4), |times| *times = Some(times.unwrap_or(0) + 1));
        self.greatest.add(key, value);
        self.sum.add(key, value);
        if let Some(at) = ctx.timestamp() {
            ctx.register_event_timer(Timestamp::from_millis(at.as_millis() + 10));
            ctx.register_event_timer(Timestamp::from_millis(at.as_millis() + 11));
            ctx.delete_event_timer(Timestamp::from_millis(at.as_millis() + 11));
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, u8, String>) -> FunctionResult {
        let key = ctx.key();
        let (greatest, sum) = (self.greatest.take(key), self.sum.get(key));
        let words = self.words.take(key);
        let at = timer.at().as_millis();
        ctx.emit(format!("{} at {at}: greatest {greatest:?}, sum {sum:?}, {words:?}", key.get()));
        Ok(())
    }
}

#[test]
fn states_and_timers() {
    // The watermark is where the timers fire with and without those that the harness puts between two records.
    let input: Input<'_> =
        &[(&[(1, 5, 1), (2, 7, 2), (1, 6, 3), (1, 1, 3)], 20), (&[(1, 9, 30), (2, 3, 31), (2, 2, 32)], 32)];
    let expected = [
        "1: [5, 6, 1] @3",
        "1 at 11: greatest Some(6), sum Some(12), [(1, 2), (2, 1)] @11",
        "2 at 12: greatest Some(7), sum Some(7), [(3, 1)] @12",
        "1 at 13: greatest None, sum Some(12), [] @13",
        "2: [7, 3, 2] @32",
        "1 at 40: greatest Some(9), sum Some(21), [(1, 1)] @40",
        "2 at 41: greatest Some(3), sum Some(12), [(2, 1), (3, 1)] @41",
        "2 at 42: greatest None, sum Some(12), [] @42",
    ];
    check(input, |s| s.process(Everything::new), |text: String| text, &expected.map(str::to_owned));
}

/// What comes of every record, given its key and all values of the key so far.
fn each<V: Display>(result: impl Fn(u8, &[u32]) -> Option<V>) -> Vec<String> {
    let mut values = BTreeMap::<u8, Vec<u32>>::new();
    let records = INPUT.iter().flat_map(|(records, _)| records.iter());
    let results = records.filter_map(|(key, value, at)| {
        let values = values.entry(*key).or_default();
        values.push(*value);
        result(*key, values).map(|result| format!("{result} @{at}"))
    });
    results.collect()
}

/// What is said of a key.
fn pair<V: Display>((key, value): (u8, V)) -> String {
    format!("{key}: {value}")
}

fn plain<V: Display>(value: V) -> String {
    value.to_string()
}

fn last(values: &[u32]) -> Option<u32> {
    values.last().copied()
}

/// What a key had before its newest value.
fn before(values: &[u32]) -> Option<u32> {
    values.iter().rev().nth(1).copied()
}

#[test]
fn results_of_every_record() {
    let of_key = |f: fn(&[u32]) -> u64| each(|key, values| Some(format!("{key}: {}", f(values))));
    let sum = |values: &[u32]| values.iter().map(|v| u64::from(*v)).sum();
    let least = |values: &[u32]| values.iter().min().map_or(0, |v| u64::from(*v));
    let greatest = |values: &[u32]| values.iter().max().map_or(0, |v| u64::from(*v));
    check(INPUT, |s| s.count(), pair::<u64>, &of_key(|values| values.len() as u64));
    check(INPUT, |s| s.sum(|n| u64::from(*n)), pair::<u64>, &of_key(sum));
    check(INPUT, |s| s.min(|n| *n), pair::<u32>, &of_key(least));
    check(INPUT, |s| s.max(|n| *n), pair::<u32>, &of_key(greatest));
    let fold = |_, values: &[u32]| values.iter().copied().reduce(|a, b| 2 * a + b);
    check(INPUT, |s| s.reduce(|a, b| 2 * a + b), plain::<u32>, &each(fold));
    let first = |_, values: &[u32]| last(values).filter(|_| values.len() == 1);
    check(INPUT, |s| s.dedup(), plain::<u32>, &each(first));
    check(INPUT, |s| s.dedup_within(ms(1)), plain::<u32>, &each(first));
    let change = |_, values: &[u32]| Some(format!("{:?}", before(values)));
    let replace = |n, last: &mut Option<u32>| last.replace(n);
    check(INPUT, move |s| s.map_with_state(replace), |n: Option<u32>| format!("{n:?}"), &each(change));
    check(INPUT, move |s| s.flat_map_with_state(replace), plain::<u32>, &each(|_, values| before(values)));
}

/// What windows have to give: key, start, end and values of each, and the records that are late, with their milliseconds.
struct Given {
    windows: Vec<(u8, i64, i64, &'static [u32])>,
    late: Vec<(u32, i64)>,
}

impl Given {
    fn results<V: Display>(&self, value: impl Fn(&[u32]) -> V) -> Vec<String> {
        let shown = self.windows.iter().map(|(key, start, end, values)| {
            let window = TimeWindow::of_millis(*start, *end);
            // A window without end is as old as its newest record.
            let newest = INPUT.iter().flat_map(|(records, _)| *records).filter(|record| record.0 == *key).map(|r| r.2);
            let at = if window == TimeWindow::ALL { newest.max() } else { Some(window.last()) };
            format!("{key} {window} {} @{}", value(values), at.unwrap_or_default())
        });
        shown.collect()
    }

    fn results_and_late<V: Display>(&self, value: impl Fn(&[u32]) -> V) -> Vec<String> {
        let late = self.late.iter().map(|(value, at)| format!("late {value} @{at}"));
        self.results(value).into_iter().chain(late).collect()
    }
}

fn window<V: Display>(result: WindowResult<u8, V>) -> String {
    format!("{} {} {}", result.key, result.window, result.value)
}

fn elements(result: WindowResult<u8, Vec<u32>>) -> String {
    format!("{} {} {}", result.key, result.window, sorted(&result.value))
}

fn window_or_late<V: Display>(either: Either<WindowResult<u8, V>, u32>) -> String {
    match either {
        Either::Left(result) => window(result),
        Either::Right(late) => format!("late {late}"),
    }
}

fn elements_or_late(either: Either<WindowResult<u8, Vec<u32>>, u32>) -> String {
    match either {
        Either::Left(result) => elements(result),
        Either::Right(late) => format!("late {late}"),
    }
}

fn sorted(values: &[u32]) -> String {
    let mut values = values.to_vec();
    values.sort_unstable();
    format!("{values:?}")
}

/// The number of records and their sum, as a user would write it.
#[derive(Clone)]
struct Both;

impl Aggregator<u32> for Both {
    type State = (u32, u32);
    type Output = String;

    fn create(&self) -> (u32, u32) {
        (0, 0)
    }

    fn add(&self, (count, sum): &mut (u32, u32), value: u32) {
        (*count, *sum) = (*count + 1, *sum + value);
    }

    fn merge(&self, (count, sum): &mut (u32, u32), other: (u32, u32)) {
        (*count, *sum) = (*count + other.0, *sum + other.1);
    }

    fn result(&self, (count, sum): (u32, u32)) -> String {
        format!("{count} are {sum}")
    }
}

fn both(values: &[u32]) -> String {
    format!("{} are {}", values.len(), sum(values))
}

fn sum(values: &[u32]) -> u32 {
    values.iter().sum()
}

fn least(values: &[u32]) -> u32 {
    values.iter().copied().min().unwrap_or_default()
}

fn greatest(values: &[u32]) -> u32 {
    values.iter().copied().max().unwrap_or_default()
}

/// Every end that windows can have, with and without late records.
fn every_end(windows: fn(Numbers) -> NumberWindows, given: &Given) {
    let late = move |s: Numbers| -> LateWindowedStream<u8, u32> { windows(s).late_records() };
    let all = |_: &u8, _: TimeWindow, values: Vec<u32>| values;
    check(INPUT, move |s| windows(s).aggregate(Both), window::<String>, &given.results(both));
    check(INPUT, move |s| windows(s).count(), window::<u64>, &given.results(|values| values.len()));
    check(INPUT, move |s| windows(s).reduce(u32::max), window::<u32>, &given.results(greatest));
    check(INPUT, move |s| windows(s).sum(|n| *n), window::<u32>, &given.results(sum));
    check(INPUT, move |s| windows(s).min(|n| *n), window::<u32>, &given.results(least));
    check(INPUT, move |s| windows(s).max(|n| *n), window::<u32>, &given.results(greatest));
    check(INPUT, move |s| windows(s).process(all), elements, &given.results(sorted));
    check(INPUT, move |s| late(s).aggregate(Both), window_or_late::<String>, &given.results_and_late(both));
    check(INPUT, move |s| late(s).count(), window_or_late::<u64>, &given.results_and_late(|values| values.len()));
    check(INPUT, move |s| late(s).reduce(u32::max), window_or_late::<u32>, &given.results_and_late(greatest));
    check(INPUT, move |s| late(s).sum(|n| *n), window_or_late::<u32>, &given.results_and_late(sum));
    check(INPUT, move |s| late(s).min(|n| *n), window_or_late::<u32>, &given.results_and_late(least));
    check(INPUT, move |s| late(s).max(|n| *n), window_or_late::<u32>, &given.results_and_late(greatest));
    check(INPUT, move |s| late(s).process(all), elements_or_late, &given.results_and_late(sorted));
}

/// One end, of which every record can be seen.
fn one_end(windows: fn(Numbers) -> NumberWindows, given: &Given) {
    let all = |_: &u8, _: TimeWindow, values: Vec<u32>| values;
    let expected = given.results_and_late(sorted);
    check(INPUT, move |s| windows(s).late_records().process(all), elements_or_late, &expected);
}

/// Windows of ten milliseconds without those of before ten, where triggers differ.
fn tumbling(first: &[(u8, i64, i64, &'static [u32])]) -> Given {
    let rest: [(_, _, _, &[u32]); 5] =
        [(1, 10, 20, &[5]), (2, 10, 20, &[3]), (2, 30, 40, &[7]), (1, 40, 50, &[4]), (2, 40, 50, &[1])];
    Given { windows: first.iter().copied().chain(rest).collect(), late: vec![(9, 8), (2, 16)] }
}

const KEY_1: &[u32] = &[5, 6, 5, 9, 2, 4];
const KEY_2: &[u32] = &[7, 3, 7, 1];

#[test]
fn tumbling_windows() {
    let tens = |s: Numbers| s.window(TumblingWindows::of(ms(10)));
    every_end(tens, &tumbling(&[(1, 0, 10, &[5, 6]), (2, 0, 10, &[7])]));
}

#[test]
fn tumbling_windows_with_lateness() {
    let tens = |s: Numbers| s.window(TumblingWindows::of(ms(10))).allowed_lateness(ms(10));
    let given = tumbling(&[(1, 0, 10, &[5, 6]), (2, 0, 10, &[7]), (1, 0, 10, &[5, 6, 9])]);
    every_end(tens, &Given { late: vec![(2, 16)], ..given });
}

#[test]
fn days() {
    let (start, end) = (-3_600_000, 82_800_000);
    let days = |s: Numbers| s.window(TumblingWindows::daily("Europe/Berlin").expect("a zone"));
    every_end(days, &Given { windows: vec![(1, start, end, KEY_1), (2, start, end, KEY_2)], late: vec![] });
}

#[test]
fn sliding_windows() {
    let windows: Vec<(_, _, _, &[u32])> = vec![
        (1, -10, 10, &[5, 6]),
        (2, -10, 10, &[7]),
        (1, 0, 20, &[5, 6, 5, 9]),
        (2, 0, 20, &[7, 3]),
        (1, 10, 30, &[5]),
        (2, 10, 30, &[3]),
        (2, 20, 40, &[7]),
        (1, 30, 50, &[4]),
        (2, 30, 50, &[7, 1]),
        (1, 40, 60, &[4]),
        (2, 40, 60, &[1]),
    ];
    let again: [(_, _, _, &[u32]); 2] = [(1, -10, 10, &[5, 6, 9]), (1, 10, 30, &[5, 2])];
    let kept = Given { windows: windows.iter().copied().chain(again).collect(), late: vec![] };
    every_end(|s| s.window(SlidingWindows::of(ms(20), ms(10))), &Given { windows, late: vec![(2, 16)] });
    every_end(|s| s.window(SlidingWindows::of(ms(20), ms(10))).allowed_lateness(ms(10)), &kept);
}

#[test]
fn session_windows() {
    let rest: [(_, _, _, &[u32]); 6] = [
        (1, 1, 13, &[5, 6]),
        (2, 2, 12, &[7]),
        (2, 15, 25, &[3]),
        (2, 31, 41, &[7]),
        (1, 41, 51, &[4]),
        (2, 42, 52, &[1]),
    ];
    let with = |more: &[(u8, i64, i64, &'static [u32])]| rest.iter().chain(more).copied().collect();
    let strict = Given { windows: with(&[(1, 8, 24, &[5, 9])]), late: vec![(2, 16)] };
    let kept = Given { windows: with(&[(1, 1, 24, &[5, 6, 5, 9]), (1, 16, 26, &[2])]), late: vec![] };
    every_end(|s| s.window(SessionWindows::with_gap(ms(10))), &strict);
    every_end(|s| s.window(SessionWindows::with_gap(ms(10))).allowed_lateness(ms(10)), &kept);
}

#[test]
fn sessions_with_a_gap_of_their_records() {
    let given = Given {
        windows: vec![(1, 1, 26, &[5, 6, 5, 9]), (1, 41, 49, &[4]), (2, 2, 21, &[7, 3]), (2, 31, 45, &[7, 1])],
        late: vec![(2, 16)],
    };
    every_end(|s| s.window(SessionWindows::with_gap_of(|n: &u32| ms(u64::from(2 * n)))), &given);
}

#[test]
fn global_windows() {
    let (start, end) = (i64::MIN, i64::MAX);
    every_end(
        |s| s.window(GlobalWindows),
        &Given { windows: vec![(1, start, end, KEY_1), (2, start, end, KEY_2)], late: vec![] },
    );
}

#[test]
fn windows_by_the_clock() {
    let given = || Given { windows: vec![(1, 0, 10, KEY_1), (2, 0, 10, KEY_2)], late: vec![] };
    every_end(|s| s.window(TumblingWindows::of(ms(10)).processing_time()), &given());
    one_end(|s| s.window(SlidingWindows::of(ms(10), ms(10)).processing_time()), &given());
    one_end(|s| s.window(SessionWindows::with_gap(ms(10)).processing_time()), &given());
    one_end(|s| s.window(SessionWindows::with_gap_of(|_: &u32| ms(10)).processing_time()), &given());
}

#[test]
fn triggers() {
    let first: [(_, _, _, &[u32]); 2] = [(1, 0, 10, &[5, 6]), (2, 0, 10, &[7])];
    let (once, twice) = (tumbling(&first), tumbling(&[first[0], first[0], first[1]]));
    every_end(|s| s.window(TumblingWindows::of(ms(10))).trigger(EarlyTrigger::every_records(2)), &twice);
    one_end(|s| s.window(TumblingWindows::of(ms(10))).trigger(EventTimeTrigger), &once);
    one_end(|s| s.window(TumblingWindows::of(ms(10))).trigger(PurgingTrigger::of(EventTimeTrigger)), &once);
    let purging =
        |s: Numbers| s.window(TumblingWindows::of(ms(10))).trigger(PurgingTrigger::of(EarlyTrigger::every_records(2)));
    one_end(purging, &once);
    let by_the_clock =
        |s: Numbers| s.window(TumblingWindows::of(ms(10))).trigger(ContinuousProcessingTimeTrigger::every(ms(5)));
    one_end(by_the_clock, &once);
    // Nothing fires at the end of a window.
    let none = || Given { windows: vec![], late: vec![(9, 8), (2, 16)] };
    let counted = Given { windows: vec![first[0]], ..none() };
    one_end(|s| s.window(TumblingWindows::of(ms(10))).trigger(CountTrigger::of(2)), &counted);
    one_end(|s| s.window(TumblingWindows::of(ms(10))).trigger(ProcessingTimeTrigger), &none());
    let all: [(_, _, _, &[u32]); 2] = [(1, i64::MIN, i64::MAX, KEY_1), (2, i64::MIN, i64::MAX, KEY_2)];
    let whole = Given { windows: all.to_vec(), late: vec![] };
    one_end(|s| s.window(GlobalWindows).trigger(EventTimeTrigger), &whole);
}

/// What such a trigger sees depends on the watermarks, so they have to be the same ones.
#[test]
fn a_trigger_that_every_watermark_moves() {
    let windows = |s: Numbers| {
        let windows = s.window(SlidingWindows::of(ms(40), ms(20))).trigger(ContinuousEventTimeTrigger::every(ms(10)));
        windows.process(|_, _, values| values)
    };
    let expected = [
        // At 12.
        "1 [-20ms, 20ms) [5, 5, 6] @19",
        "1 [0ms, 40ms) [5, 5, 6] @39",
        "2 [-20ms, 20ms) [7] @19",
        "2 [0ms, 40ms) [7] @39",
        // At 33: for two of them the end, for the others 20.
        "1 [-20ms, 20ms) [5, 5, 6, 9] @19",
        "2 [-20ms, 20ms) [3, 7] @19",
        "1 [0ms, 40ms) [5, 5, 6, 9] @39",
        "2 [0ms, 40ms) [3, 7, 7] @39",
        // At 42: for two of them the end, for the third 40.
        "1 [0ms, 40ms) [2, 5, 5, 6, 9] @39",
        "2 [0ms, 40ms) [3, 7, 7] @39",
        "2 [20ms, 60ms) [1, 7] @59",
        // At the end of time: 50, and the end of each.
        "1 [20ms, 60ms) [4] @59",
        "1 [20ms, 60ms) [4] @59",
        "2 [20ms, 60ms) [1, 7] @59",
        "2 [20ms, 60ms) [1, 7] @59",
        "1 [40ms, 80ms) [4] @79",
        "1 [40ms, 80ms) [4] @79",
        "2 [40ms, 80ms) [1] @79",
        "2 [40ms, 80ms) [1] @79",
    ];
    moved(INPUT, windows, elements, &expected.map(str::to_owned));
}

#[test]
fn count_windows() {
    let given = |windows: &[(u8, &'static [u32], i64)], value: fn(&[u32]) -> String| -> Vec<String> {
        let show = |(key, values, at): &(u8, &[u32], i64)| format!("{key} {} {} @{at}", TimeWindow::ALL, value(values));
        windows.iter().map(show).collect()
    };
    let pairs: [(u8, &[u32], i64); 5] =
        [(1, &[5, 6], 3), (1, &[5, 9], 14), (1, &[2, 4], 41), (2, &[7, 3], 15), (2, &[7, 1], 42)];
    let threes: [(u8, &[u32], i64); 5] =
        [(1, &[5, 6], 3), (1, &[6, 5, 9], 14), (1, &[9, 2, 4], 41), (2, &[7, 3], 15), (2, &[3, 7, 1], 42)];
    for (step, expected) in [(2, pairs), (3, threes)] {
        let windows = move |s: Numbers| match step {
            2 => s.count_window(2),
            _ => s.sliding_count_window(3, 2),
        };
        let given = |value| given(&expected, value);
        check(INPUT, move |s| windows(s).aggregate(Both), window::<String>, &given(both));
        check(INPUT, move |s| windows(s).count(), window::<u64>, &given(|values| values.len().to_string()));
        check(INPUT, move |s| windows(s).reduce(u32::max), window::<u32>, &given(|v| greatest(v).to_string()));
        check(INPUT, move |s| windows(s).sum(|n| *n), window::<u32>, &given(|v| sum(v).to_string()));
        check(INPUT, move |s| windows(s).min(|n| *n), window::<u32>, &given(|v| least(v).to_string()));
        check(INPUT, move |s| windows(s).max(|n| *n), window::<u32>, &given(|v| greatest(v).to_string()));
        check(INPUT, move |s| windows(s).process(|_, values| values), elements, &given(sorted));
    }
}

#[test]
fn windows_without_a_key() {
    let show = |result: WindowResult<(), u32>| format!("{} {}", result.window, result.value);
    let expected = ["[0ms, 10ms) 7 @9", "[10ms, 20ms) 5 @19", "[30ms, 40ms) 7 @39", "[40ms, 50ms) 4 @49"];
    let windows = |stream: DataStream<Keyed<(), u32>>| {
        stream.map(|keyed| keyed.into_parts().2).window_all(TumblingWindows::of(ms(10))).max(|n| *n)
    };
    varied(INPUT, windows, |_| (), show, &expected.map(str::to_owned));
}

/// Whoever adds a method to a keyed or windowed stream adds it to the tests above.
#[test]
fn no_method_is_left_out() {
    let (keyed, windowed) = (include_str!("../keyed.rs"), include_str!("../window/stream.rs"));
    let here = include_str!("coverage.rs");
    // Neither makes an operator.
    let others = ["keyed", "late_count", "window_all"];
    for (text, needed) in [(keyed, 1), (windowed, 2)] {
        let methods = text.lines().filter_map(|line| line.strip_prefix("    pub fn "));
        for method in methods.filter_map(|line| line.split(['(', '<']).next()) {
            let found = here.matches(&format!(".{method}(")).count();
            assert!(others.contains(&method) || found >= needed, "`{method}` is not covered");
        }
    }
}
