//! The splits of one reader against what the rules say, with time moved by hand.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::batch::Batch;
use crate::clock::Clock;
use crate::operator::OperatorContext;
use crate::source::Progress;
use crate::testing::VirtualClock;

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn bounded(bound: u64) -> WatermarkStrategy<u32> {
    WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(bound))
}

/// A reader with its clock.
struct Reader {
    clock: VirtualClock,
    watermarks: SplitWatermarks<u32>,
}

impl Reader {
    fn new(strategy: &WatermarkStrategy<u32>, splits: usize) -> Reader {
        Reader::in_job(None, strategy, splits)
    }

    /// In a job with this interval.
    fn in_job(interval: Option<Duration>, strategy: &WatermarkStrategy<u32>, splits: usize) -> Reader {
        let clock = VirtualClock::new();
        let operator = OperatorContext::new("source", "source", 0, 1).with_clock(std::sync::Arc::new(clock.clone()));
        let operator = operator.with_watermark_interval(interval);
        let mut watermarks = strategy.reader(&SourceContext::new(operator, Vec::new(), || false));
        for split in 0..splits {
            watermarks.add_split(format!("t[{split}]"));
        }
        Reader { clock, watermarks }
    }

    fn read(&mut self, split: usize, timestamps: &[i64]) {
        let mut batch = Batch::new();
        for timestamp in timestamps {
            batch.push_at(0, at(*timestamp));
        }
        self.watermarks.on_records(split, &mut batch, 0).expect("records have timestamps");
    }

    fn drained(&mut self) -> Option<Progress> {
        self.watermarks.advance(self.clock.now(), true)
    }

    fn polled(&mut self) -> Option<Progress> {
        self.watermarks.advance(self.clock.now(), false)
    }

    fn pass(&mut self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }
}

fn watermark(millis: i64) -> Option<Progress> {
    Some(Progress::Watermark(at(millis)))
}

#[test]
fn the_watermark_is_the_minimum_over_splits() {
    let mut reader = Reader::new(&bounded(4), 2);
    reader.read(0, &[100, 105, 103]);
    assert_eq!(reader.drained(), None);
    reader.read(1, &[50]);
    assert_eq!(reader.drained(), watermark(45));
    reader.read(1, &[200]);
    assert_eq!(reader.drained(), watermark(100));
    assert_eq!(reader.drained(), None);
}

#[test]
fn watermarks_are_sent_once_per_interval_or_when_drained() {
    let mut reader = Reader::new(&bounded(0), 1);
    reader.read(0, &[11]);
    assert_eq!(reader.polled(), watermark(10));
    reader.read(0, &[21]);
    assert_eq!((reader.polled(), reader.watermarks.due()), (None, Some(Duration::from_millis(200))));
    reader.pass(199);
    assert_eq!(reader.polled(), None);
    reader.pass(1);
    assert_eq!(reader.polled(), watermark(20));
    assert_eq!(reader.watermarks.due(), None);
    reader.read(0, &[31]);
    assert_eq!(reader.drained(), watermark(30));
}

#[test]
fn an_interval_that_somebody_chose_holds_for_drained_input_too() {
    let second = Some(Duration::from_secs(1));
    let by_strategy = bounded(0).with_interval(Duration::from_secs(1));
    let readers = [
        Reader::in_job(second, &bounded(0), 1),
        Reader::in_job(None, &by_strategy, 1),
        // The strategy's own wins.
        Reader::in_job(Some(Duration::from_secs(9)), &by_strategy, 1),
        Reader::in_job(Some(Duration::ZERO), &by_strategy, 1),
    ];
    for mut reader in readers {
        reader.read(0, &[11]);
        assert_eq!(reader.drained(), watermark(10));
        reader.read(0, &[21]);
        reader.pass(999);
        assert_eq!((reader.drained(), reader.watermarks.due()), (None, second));
        reader.read(0, &[31]);
        reader.pass(1);
        assert_eq!(reader.polled(), watermark(30));
    }
}

#[test]
fn with_an_interval_of_zero_only_records_move_event_time() {
    let never = Some(Duration::ZERO);
    for mut reader in [Reader::in_job(never, &bounded(0), 1), Reader::new(&bounded(0).with_interval(Duration::ZERO), 1)]
    {
        reader.read(0, &[11]);
        assert_eq!((reader.polled(), reader.drained()), (None, None));
        reader.pass(60_000);
        assert_eq!((reader.drained(), reader.watermarks.due()), (None, None));
    }
    let marks = WatermarkStrategy::punctuated(|_: &u32, t| (t.as_millis() % 10 == 0).then_some(t));
    let mut reader = Reader::in_job(never, &marks.with_idleness(Duration::from_secs(5)), 2);
    reader.read(0, &[10, 11]);
    reader.read(1, &[20]);
    assert_eq!(reader.polled(), watermark(10));
    // Idleness is not a matter of the interval.
    reader.watermarks.at_end(0);
    reader.pass(5_000);
    assert_eq!(reader.drained(), watermark(20));
}

#[test]
fn no_length_of_time_is_too_long() {
    let strategy = bounded(0).with_interval(Duration::MAX).with_idleness(Duration::MAX).with_max_future(Duration::MAX);
    let mut reader = Reader::new(&strategy, 1);
    reader.pass(1);
    reader.read(0, &[11]);
    reader.watermarks.at_end(0);
    assert_eq!(reader.drained(), watermark(10));
    assert_eq!(reader.watermarks.due(), Some(Duration::MAX));
}

#[test]
fn a_reader_without_splits_is_idle() {
    let mut reader = Reader::new(&bounded(0), 0);
    assert_eq!(reader.drained(), Some(Progress::Idle));
    assert_eq!(reader.drained(), None);
}

#[test]
fn a_split_is_idle_only_when_it_is_silent_and_read_to_its_end() {
    let mut reader = Reader::new(&bounded(0).with_idleness(Duration::from_secs(5)), 2);
    reader.read(0, &[11]);
    reader.watermarks.at_end(0);
    reader.pass(60_000);
    // Split 1 has said nothing, but what it holds has not been read.
    reader.read(0, &[21]);
    assert_eq!(reader.drained(), None);
    reader.watermarks.at_end(1);
    assert_eq!(reader.polled(), watermark(20));
    reader.watermarks.at_end(0);
    assert_eq!(reader.watermarks.due(), Some(Duration::from_secs(65)));
    reader.pass(4_999);
    assert_eq!(reader.drained(), None);
    reader.pass(1);
    assert_eq!(reader.drained(), Some(Progress::Idle));
    assert_eq!((reader.drained(), reader.watermarks.due()), (None, None));
    // Those who have forgotten this reader have to hear at once that it is back, interval or not.
    reader.read(1, &[5]);
    assert_eq!(reader.polled(), watermark(20));
}

#[test]
fn finished_splits_hold_nobody_back() {
    let mut reader = Reader::new(&bounded(0), 3);
    reader.read(0, &[11]);
    reader.read(1, &[91]);
    reader.watermarks.finished(2);
    assert_eq!(reader.drained(), watermark(10));
    reader.watermarks.finished(0);
    assert_eq!(reader.drained(), watermark(90));
    reader.watermarks.finished(1);
    assert_eq!(reader.drained(), None);
}

#[test]
fn a_record_dated_far_ahead_moves_nothing_and_is_shown() {
    let (shown, seen) = std::sync::mpsc::channel();
    let strategy = bounded(0).on_far_future(move |_, timestamp| shown.send(timestamp).expect("the test listens"));
    let progress = strategy.progress();
    let mut reader = Reader::new(&strategy, 1);
    let now = 1_800_000_000_000;
    let day = 24 * 3_600_000;
    reader.clock.set_wall(at(now));
    reader.read(0, &[now, 4_070_908_800_000, now + 5, now + day + 1]);
    assert_eq!(reader.drained(), watermark(now + 4));
    assert_eq!(progress.far_future_records(), 2);
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [at(4_070_908_800_000), at(now + day + 1)]);
    // The clock goes on, and what was far ahead is so no more.
    reader.pass(1);
    reader.read(0, &[now + day + 1]);
    assert_eq!(reader.drained(), watermark(now + day));
    assert_eq!(progress.far_future_records(), 2);
}

#[test]
fn a_clock_that_was_never_set_judges_nothing() {
    let mut reader = Reader::new(&bounded(0), 1);
    reader.read(0, &[4_070_908_800_000]);
    assert_eq!(reader.drained(), watermark(4_070_908_799_999));
}

#[test]
fn punctuations_do_not_wait_and_custom_generators_are_asked_by_the_clock() {
    let mut reader =
        Reader::new(&WatermarkStrategy::punctuated(|_: &u32, t| (t.as_millis() % 10 == 0).then_some(t)), 1);
    reader.read(0, &[3]);
    assert_eq!(reader.polled(), None);
    reader.read(0, &[20, 10, 25]);
    assert_eq!(reader.polled(), watermark(20));
    reader.read(0, &[10]);
    assert_eq!(reader.drained(), None);

    struct TimeLag;
    impl WatermarkGenerator<u32> for TimeLag {
        fn on_event(&mut self, _record: &u32, _timestamp: Timestamp) -> Option<Timestamp> {
            None
        }
        fn on_periodic(&mut self, now: Now) -> Option<Timestamp> {
            Some(at(now.wall.as_millis() - 50))
        }
    }
    let mut reader = Reader::new(&WatermarkStrategy::custom(|| TimeLag), 1);
    assert_eq!(reader.polled(), watermark(-50));
    assert_eq!(reader.watermarks.due(), Some(Duration::from_millis(200)));
    reader.pass(200);
    assert_eq!(reader.polled(), watermark(150));
}

#[test]
fn no_watermarks_means_none() {
    let mut reader = Reader::new(&WatermarkStrategy::no_watermarks(), 1);
    reader.read(0, &[7]);
    assert_eq!((reader.drained(), reader.watermarks.due()), (None, None));
}

#[test]
fn a_split_that_is_too_far_ahead_waits_for_the_others() {
    let strategy = bounded(0).with_alignment(Duration::from_millis(100)).with_idleness(Duration::from_secs(5));
    let progress = strategy.progress();
    let mut reader = Reader::new(&strategy, 3);
    // The third is empty, which stops nobody.
    reader.watermarks.at_end(2);
    reader.read(0, &[1_001]);
    reader.polled();
    // Nothing is known of split 1 yet.
    assert_eq!(reader.watermarks.pauses().collect::<Vec<_>>(), [(0, true)]);
    reader.read(1, &[901]);
    reader.polled();
    assert_eq!(reader.watermarks.pauses().collect::<Vec<_>>(), [(0, false)]);
    reader.read(0, &[1_002]);
    reader.polled();
    assert_eq!(reader.watermarks.pauses().collect::<Vec<_>>(), [(0, true)]);
    let activity = progress.splits().iter().map(|split| split.activity).collect::<Vec<_>>();
    assert_eq!(activity, [SplitActivity::Active, SplitActivity::Active, SplitActivity::Active]);
    assert_eq!(progress.holding_back().map(|split| split.split.to_string()).as_deref(), Some("t[2]"));
    // A paused split is silent because of us: never idle, and counted from when it is read again.
    reader.watermarks.at_end(0);
    reader.watermarks.at_end(1);
    reader.pass(5_000);
    assert_eq!(reader.polled(), watermark(1_001));
    // Now nobody else is waited for.
    assert_eq!(reader.watermarks.pauses().collect::<Vec<_>>(), [(0, false)]);
    assert_eq!(reader.drained(), None);
}

#[test]
fn readers_of_one_source_are_aligned_to_each_other() {
    let strategy = bounded(0).with_alignment(Duration::from_millis(100));
    let (mut fast, mut slow) = (Reader::new(&strategy, 1), Reader::new(&strategy, 1));
    slow.read(0, &[1]);
    slow.polled();
    fast.read(0, &[1_000]);
    fast.polled();
    assert_eq!(fast.watermarks.pauses().collect::<Vec<_>>(), [(0, true)]);
    slow.read(0, &[950]);
    slow.pass(200);
    slow.polled();
    let due = fast.watermarks.due().expect("somebody else may have caught up");
    fast.clock.advance(due);
    fast.polled();
    assert_eq!(fast.watermarks.pauses().collect::<Vec<_>>(), [(0, false)]);
    drop(slow);
    assert_eq!(strategy.progress().splits().len(), 1);
}

#[test]
fn strategies_with_one_table_are_aligned_whatever_their_records() {
    let fast = bounded(0).with_alignment(Duration::from_millis(100));
    let slow = WatermarkStrategy::<u64>::for_monotonous_timestamps().with_progress(fast.progress());
    let mut fast = Reader::new(&fast, 1);
    let context = SourceContext::new(OperatorContext::new("slow", "slow", 0, 1), Vec::new(), || false);
    let mut slow = slow.reader(&context);
    slow.add_split("slow[0]");
    fast.read(0, &[1_000]);
    fast.polled();
    assert_eq!(fast.watermarks.pauses().collect::<Vec<_>>(), [(0, true)]);
}

#[test]
fn records_without_any_timestamp_are_refused() {
    let mut reader = Reader::new(&bounded(0), 1);
    let error = reader.watermarks.on_records(0, &mut Batch::from_iter([1, 2]), 0).expect_err("no timestamps");
    assert_eq!(error.message(), "records have no timestamp, and the watermark strategy sets none");
}

#[test]
fn an_assigner_sees_the_timestamp_that_a_record_came_with() {
    let strategy = bounded(0).with_timestamp_assigner(|record: &u32, given| {
        given.map_or(at(i64::from(*record)), |given| at(given.as_millis() + 1))
    });
    let mut reader = Reader::new(&strategy, 1);
    let mut untimed = Batch::from_iter([5, 6]);
    reader.watermarks.on_records(0, &mut untimed, 0).expect("assigned");
    assert_eq!(untimed.timestamps(), [at(5), at(6)]);
    let mut timed = Batch::new();
    timed.push_at(1, at(100));
    timed.push_at(2, Timestamp::MIN);
    timed.push_at(3, at(300));
    // Only what this split has brought is its own.
    reader.watermarks.on_records(0, &mut timed, 1).expect("assigned");
    assert_eq!(timed.timestamps(), [at(100), at(2), at(301)]);
}

/// What may happen to a reader.
#[derive(Clone, Debug)]
enum Event {
    Read(usize, Vec<i64>),
    AtEnd(usize),
    Finished(usize),
    Polled { drained: bool },
    Pass(u64),
}

fn event(splits: usize) -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..splits, prop::collection::vec(0..2_000i64, 1..4)).prop_map(|(split, read)| Event::Read(split, read)),
        2 => (0..splits).prop_map(Event::AtEnd),
        1 => (0..splits * 10).prop_map(Event::Finished),
        4 => any::<bool>().prop_map(|drained| Event::Polled { drained }),
        2 => (0..400u64).prop_map(Event::Pass),
    ]
}

/// One split as the rules see it.
#[derive(Clone, Copy)]
struct Model {
    max: i64,
    at_end: bool,
    read: u64,
    finished: bool,
}

const BOUND: i64 = 30;
const IDLE: u64 = 500;

impl Model {
    /// Whether it may be idle: the engine looks at the clock once per advance, so it may find that out later.
    fn may_be_idle(&self, now: u64) -> bool {
        self.at_end && now - self.read >= IDLE
    }
}

proptest! {
    /// Never back, never beyond a split that is waited for, not behind all of them when drained, idle only in truth.
    #[test]
    fn the_merged_watermark_is_the_minimum_over_active_splits(events in prop::collection::vec(event(3), 0..120)) {
        let strategy = bounded(30).with_idleness(Duration::from_millis(IDLE));
        let mut reader = Reader::new(&strategy, 3);
        let mut models = [Model { max: i64::MIN, at_end: false, read: 0, finished: false }; 3];
        let (mut now, mut last, mut idle) = (0, i64::MIN, false);
        for event in events {
            match event {
                Event::Read(split, timestamps) if !models[split].finished => {
                    let model = &mut models[split];
                    model.max = model.max.max(timestamps.iter().copied().max().expect("not empty"));
                    (model.at_end, model.read) = (false, now);
                    reader.read(split, &timestamps);
                }
                Event::AtEnd(split) => { models[split].at_end = true; reader.watermarks.at_end(split); }
                Event::Finished(split) if split < 3 => {
                    models[split].finished = true;
                    reader.watermarks.finished(split);
                }
                Event::Pass(millis) => { now += millis; reader.pass(millis); }
                Event::Polled { drained } => {
                    let said = if drained { reader.drained() } else { reader.polled() };
                    let open = models.iter().filter(|m| !m.finished);
                    let waited_for = open.clone().filter(|m| !m.may_be_idle(now));
                    let slowest = waited_for.map(|m| m.max.saturating_sub(BOUND + 1)).min();
                    match said {
                        Some(Progress::Watermark(watermark)) => {
                            let watermark = watermark.as_millis();
                            prop_assert!(watermark > last || idle && watermark == last);
                            prop_assert!(watermark == last || slowest.is_none_or(|slowest| watermark <= slowest));
                            (last, idle) = (watermark, false);
                        }
                        Some(Progress::Idle) => {
                            prop_assert!(!idle && open.clone().all(|m| m.may_be_idle(now)));
                            idle = true;
                        }
                        None => {}
                    }
                    if let Some(slowest) = slowest && drained {
                        prop_assert!(last >= slowest || open.clone().any(|m| m.may_be_idle(now)));
                    }
                }
                Event::Read(..) | Event::Finished(_) => {}
            }
        }
    }

    /// However far apart splits are: as long as each keeps its bound and none is idle, no record is late.
    #[test]
    fn no_record_is_late_by_the_watermark_of_another_split(
        skews in prop::collection::vec(-1_000_000i64..1_000_000, 1..5),
        reads in prop::collection::vec((any::<prop::sample::Index>(), 0i64..20, 0i64..=30, any::<bool>(), 0u64..300), 0..200),
    ) {
        let mut reader = Reader::new(&bounded(30), skews.len());
        let (mut clocks, mut merged) = (skews, i64::MIN);
        for (split, step, behind, drained, millis) in reads {
            let split = split.index(clocks.len());
            clocks[split] += step;
            let timestamp = clocks[split] - behind;
            prop_assert!(timestamp > merged, "{timestamp} is late, the watermark is {merged}");
            reader.read(split, &[timestamp]);
            reader.pass(millis);
            if let Some(Progress::Watermark(watermark)) = if drained { reader.drained() } else { reader.polled() } {
                prop_assert!(watermark.as_millis() > merged);
                merged = watermark.as_millis();
            }
        }
    }
}
