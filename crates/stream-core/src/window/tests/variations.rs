//! Each operator in every variation of the harness.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{Id, Ids, OperatorOut};
use crate::batch::BATCH_SIZE;
use crate::either::Either;
use crate::key::Keyed;
use crate::operator::{Operator, OperatorContext};
use crate::state::StateBackend;
use crate::testing::crew::{Crew, Step};
use crate::testing::{Harness, VirtualClock};
use crate::time::Timestamp;
use crate::window::assign::{Assigner, Gap, Kind, TimeKind};
use crate::window::count::{CountWindows, Counts};
use crate::window::general::{GeneralWindows, Rules as GeneralRules};
use crate::window::grid::Slicing;
use crate::window::late::{LateCount, LateRecords, Results, ResultsAndLate};
use crate::window::sliced::{Rules, SlicedWindows};
use crate::window::time_window::{TimeWindow, WindowResult};
use crate::window::trigger::{EarlyTrigger, EventTimeTrigger, Trigger};
use crate::window::{Aggregator, Count, TriggerContext};

fn sliced(size: u64, slide: u64, lateness: i64) -> SlicedWindows<u8, Id, Ids, ResultsAndLate, OperatorOut> {
    let ms = std::time::Duration::from_millis;
    let rules = Rules { slicing: Slicing::even(ms(size), ms(slide)), lateness, premerge: true };
    SlicedWindows::new(rules, Ids, ResultsAndLate, LateRecords::new(LateCount::default()))
}

fn general(
    kind: Kind<Id>,
    trigger: Arc<dyn Trigger<Id>>,
    lateness: i64,
) -> GeneralWindows<u8, Id, Ids, ResultsAndLate, OperatorOut> {
    let rules = GeneralRules { assigner: Assigner { kind, time: TimeKind::Event }, trigger, lateness };
    GeneralWindows::new(rules, Ids, ResultsAndLate, LateRecords::new(LateCount::default()))
}

fn record(key: u8, id: Id, millis: i64) -> (Keyed<u8, Id>, i64) {
    (Keyed::new(key, id), millis)
}

fn result(key: u8, start: i64, end: i64, ids: &[Id]) -> (OperatorOut, i64) {
    let window = TimeWindow::of_millis(start, end);
    (Either::Left(WindowResult { key, window, value: ids.to_vec() }), end - 1)
}

fn late(id: Id, millis: i64) -> (OperatorOut, i64) {
    (Either::Right(id), millis)
}

#[test]
fn tumbling_windows() {
    let harness = Harness::new(|| sliced(10, 10, 0)).in_any_order();
    let harness = harness.input_at([record(1, 1, 3), record(2, 2, 9), record(1, 3, 12), record(1, 4, 0)]);
    let harness = harness.watermark(9).input_at([record(1, 5, 9), record(1, 6, 15)]);
    let results = [result(1, 0, 10, &[1, 4]), result(2, 0, 10, &[2]), late(5, 9), result(1, 10, 20, &[3, 6])];
    harness.output_at(results).check();
}

#[test]
fn sliding_windows_with_lateness() {
    let harness = Harness::new(|| sliced(20, 10, 5)).in_any_order();
    let harness = harness.input_at([record(1, 1, 3), record(2, 2, 9), record(1, 3, 12)]).watermark(10);
    let harness = harness.input_at([record(1, 4, 5), record(1, 5, 13)]).watermark(29).input_at([record(1, 6, 1)]);
    let early = [result(1, -10, 10, &[1]), result(2, -10, 10, &[2]), result(1, -10, 10, &[1, 4])];
    let middle = [result(1, 0, 20, &[1, 3, 4, 5]), result(2, 0, 20, &[2]), result(1, 10, 30, &[3, 5]), late(6, 1)];
    harness.output_at(early.into_iter().chain(middle)).check();
}

#[test]
fn session_windows() {
    let make = || general(Kind::Session(Gap::Fixed(10)), Arc::new(EventTimeTrigger), 0);
    let harness = Harness::new(make).in_any_order();
    let harness = harness.input_at([record(1, 1, 0), record(1, 2, 30), record(2, 3, 5), record(1, 4, 15)]);
    let harness = harness.input_at([record(1, 5, 22)]).watermark(30).input_at([record(1, 6, 28), record(2, 7, 6)]);
    let results = [result(1, 0, 10, &[1]), result(2, 5, 15, &[3]), result(1, 15, 40, &[2, 4, 5, 6]), late(7, 6)];
    harness.output_at(results).check();
}

#[test]
fn windows_that_fire_early_and_again() {
    let ms = std::time::Duration::from_millis;
    let slices = move || Kind::Slices(Slicing::even(ms(10), ms(10)));
    let make = move || general(slices(), Arc::new(EarlyTrigger::every_records(2)), 10);
    let harness = Harness::new(make).in_any_order();
    let harness = harness.input_at([record(1, 1, 0), record(1, 2, 1), record(1, 3, 2)]).watermark(9);
    let harness = harness.input_at([record(1, 4, 3)]).watermark(19).input_at([record(1, 5, 3)]);
    let results = [&[1, 2][..], &[1, 2, 3], &[1, 2, 3, 4]].map(|ids| result(1, 0, 10, ids));
    harness.output_at(results.into_iter().chain([late(5, 3)])).check();
}

#[test]
fn count_windows() {
    let counts = Counts { count: 3, step: 2, premerge: true };
    let make = move || CountWindows::new(counts, Ids, ResultsAndLate);
    let ids = |key, ids: &[Id]| Either::Left(WindowResult { key, window: TimeWindow::ALL, value: ids.to_vec() });
    let records = [(1, 1), (1, 2), (2, 3), (1, 4), (1, 5), (2, 6), (1, 7)].map(|(key, id)| Keyed::new(key, id));
    Harness::new(make).input(records).output([ids(1, &[1, 2]), ids(1, &[2, 4, 5]), ids(2, &[3, 6])]).check();
}

/// One watermark completes more windows than a batch holds.
#[test]
fn many_windows_fire_batch_by_batch() {
    let keys = BATCH_SIZE as u32 * 5 / 2;
    let make = || {
        let ms = std::time::Duration::from_millis;
        let rules = Rules { slicing: Slicing::even(ms(10), ms(10)), lateness: 0, premerge: true };
        SlicedWindows::new(rules, Count, Results, LateRecords::new(LateCount::default()))
    };
    let window = TimeWindow::of_millis(0, 10);
    let records = (0..keys).map(|key| (Keyed::new(key, ()), 5));
    let results = (0..keys).map(|key| (WindowResult { key, window, value: 1 }, 9));
    Harness::new(make).in_any_order().input_at(records).output_at(results).check();
}

#[test]
fn records_at_the_ends_of_time() {
    for slide in [10, 3] {
        let make = move || sliced(10, slide, 0);
        let input = [record(1, 1, i64::MIN), record(1, 2, 0), record(1, 3, i64::MAX)];
        let mut crew = Crew::new(1, StateBackend::Memory, move |_| make());
        let records = input.map(|(keyed, at)| (1, keyed.into_parts().2, at)).to_vec();
        assert!(crew.step(&Step::Records(records)).is_empty());
        let found = crew.step(&Step::Watermark(i64::MAX));
        assert!(found.len() >= 3, "{found:?}");
    }
}

#[test]
fn a_record_without_time_is_an_error_that_helps() {
    let harness = Harness::new(|| sliced(10, 10, 0)).input([Keyed::new(1, 1)]);
    let failure = harness.failure().expect("there is no time");
    assert!(failure.contains("a record without a timestamp came to an event-time window"), "{failure}");
    assert!(failure.contains("give the stream timestamps and watermarks before key_by"), "{failure}");
    let make = || general(Kind::Session(Gap::Fixed(10)), Arc::new(EventTimeTrigger), 0);
    assert!(Harness::new(make).input([Keyed::new(1, 1)]).failure().is_some());
}

/// A trigger of a user's own, by the clock on the wall, on windows of event time.
#[test]
fn a_trigger_of_ones_own() {
    struct AfterASecond;
    impl Trigger<Id> for AfterASecond {
        fn on_record(&self, _: &Id, _: Timestamp, context: &mut TriggerContext<'_>) -> crate::window::Fire {
            context.at_processing_time(Timestamp::from_millis(context.now().as_millis() + 1000));
            crate::window::Fire::No
        }

        fn on_processing_time(&self, _: Timestamp, _: &mut TriggerContext<'_>) -> crate::window::Fire {
            crate::window::Fire::AndPurge
        }
    }
    let mut crew = Crew::new(2, StateBackend::Memory, |_| general(Kind::Global, Arc::new(AfterASecond), 0));
    assert!(crew.step(&Step::Records(vec![(1, 1, 0), (1, 2, 5), (2, 3, 0)])).is_empty());
    crew.step(&Step::Restore(3));
    assert!(crew.step(&Step::Pass(1000)).is_empty());
    assert_eq!(crew.step(&Step::Pass(1)).len(), 2);
    assert!(crew.step(&Step::Watermark(i64::MAX)).is_empty());
    let context = OperatorContext::new("o", "o", 0, 1).with_clock(Arc::new(VirtualClock::new()));
    let make = || general(Kind::Global, Arc::new(AfterASecond), 0);
    Harness::new(make).context(context).input_at([record(1, 1, 5)]).output([]).check();
}

/// A state that can't be written down.
#[derive(Clone)]
struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no words"))
    }
}

impl<'de> Deserialize<'de> for Unspeakable {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Unspeakable, D::Error> {
        Ok(Unspeakable)
    }
}

impl Aggregator<Id> for Unspeakable {
    type State = Unspeakable;
    type Output = Id;

    fn create(&self) -> Unspeakable {
        Unspeakable
    }

    fn add(&self, _: &mut Unspeakable, _: Id) {}

    fn merge(&self, _: &mut Unspeakable, _: Unspeakable) {}

    fn result(&self, _: Unspeakable) -> Id {
        0
    }
}

fn failure<P>(make: impl Fn() -> P) -> String
where
    P: Operator<Keyed<u8, Id>, WindowResult<u8, Id>> + 'static,
{
    let context = OperatorContext::new("o", "o", 0, 1).with_state_backend(StateBackend::Bytes);
    let harness = Harness::new(make).context(context).input_at([record(1, 1, 5)]).output([]);
    harness.failure().expect("bytes have to be written")
}

#[test]
fn a_state_that_is_no_bytes_fails_the_job() {
    let late = || LateRecords::new(LateCount::default());
    let ms = std::time::Duration::from_millis;
    let slicing = || Slicing::even(ms(10), ms(10));
    let sliced = Rules { slicing: slicing(), lateness: 0, premerge: true };
    let assigner = Assigner { kind: Kind::Slices(slicing()), time: TimeKind::Event };
    let general = GeneralRules { assigner, trigger: Arc::new(EventTimeTrigger), lateness: 0 };
    let counts = Counts { count: 2, step: 2, premerge: true };
    let failures = [
        failure(|| SlicedWindows::new(sliced.clone(), Unspeakable, Results, late())),
        failure(|| GeneralWindows::new(general.clone(), Unspeakable, Results, late())),
        failure(|| CountWindows::new(counts, Unspeakable, Results)),
    ];
    for failure in failures {
        assert!(failure.contains("the operator failed at a batch: error[user]: a value can't be encoded"), "{failure}");
    }
}
