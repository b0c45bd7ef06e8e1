//! Every kind of windows, a thousand random streams each, step by step beside the oracle.

use std::sync::Arc;
use std::time::Duration;

use super::ids::{Ids, OperatorOut, Out, step};
use super::oracle::{CountRun, Oracle, Shape, When, own_gap};
use crate::clock::Clock;
use crate::random::Random;
use crate::state::StateBackend;
use crate::testing::crew::{Crew, Step, any_backend};
use crate::window::assign::{Assigner, Gap, Kind, TimeKind};
use crate::window::count::{CountWindows, Counts};
use crate::window::general::{GeneralWindows, Rules as GeneralRules};
use crate::window::grid::Slicing;
use crate::window::late::{LateCount, LateRecords, ResultsAndLate};
use crate::window::sliced::{Rules, SlicedWindows};
use crate::window::trigger::{
    ContinuousEventTimeTrigger, CountTrigger, EarlyTrigger, EventTimeTrigger, PurgingTrigger, Trigger,
};

const CASES: u64 = 1000;

/// Which operator is to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// With and without merges made in advance.
    Sliced(bool),
    General,
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn slicing(size: i64, slide: i64, offset: i64) -> Slicing {
    Slicing::even(ms(size), ms(slide)).moved(ms(offset))
}

fn crew(path: Path, oracle: Oracle, parallelism: usize, backend: StateBackend) -> Crew<OperatorOut> {
    let late = LateCount::default();
    if let (Path::Sliced(premerge), Shape::Sliding { size, slide, offset }) = (path, oracle.shape) {
        let rules = Rules { slicing: slicing(size, slide, offset), lateness: oracle.lateness, premerge };
        return Crew::new(parallelism, backend, move |_| {
            SlicedWindows::new(rules.clone(), Ids, ResultsAndLate, LateRecords::new(late.clone()))
        });
    }
    let kind = match oracle.shape {
        Shape::Sliding { size, slide, offset } => Kind::Slices(slicing(size, slide, offset)),
        Shape::Session { gap } => Kind::Session(Gap::Fixed(gap)),
        Shape::Dynamic { gap } => Kind::Session(Gap::Of(Arc::new(move |id: &u32| ms(own_gap(*id, gap))))),
        Shape::Global => Kind::Global,
    };
    let trigger: Arc<dyn Trigger<u32>> = match (oracle.when, oracle.purging) {
        (When::End, false) => Arc::new(EventTimeTrigger),
        (When::End, true) => Arc::new(PurgingTrigger::of(EventTimeTrigger)),
        (When::Early(n), false) => Arc::new(EarlyTrigger::every_records(n as u32)),
        (When::Early(n), true) => Arc::new(PurgingTrigger::of(EarlyTrigger::every_records(n as u32))),
        (When::Continuous(n), false) => Arc::new(ContinuousEventTimeTrigger::every(ms(n))),
        (When::Continuous(n), true) => Arc::new(PurgingTrigger::of(ContinuousEventTimeTrigger::every(ms(n)))),
        (When::Count(n), false) => Arc::new(CountTrigger::of(n as u32)),
        (When::Count(n), true) => Arc::new(PurgingTrigger::of(CountTrigger::of(n as u32))),
    };
    let time = if oracle.processing_time { TimeKind::Processing } else { TimeKind::Event };
    let rules = GeneralRules { assigner: Assigner { kind, time }, trigger, lateness: oracle.lateness };
    Crew::new(parallelism, backend, move |_| {
        GeneralWindows::new(rules.clone(), Ids, ResultsAndLate, LateRecords::new(late.clone()))
    })
}

/// A stream with disorder, in which time sometimes stands and sometimes leaps, and watermarks that are sometimes wrong.
fn script(random: &mut Random, processing_time: bool) -> Vec<Step> {
    let (mut steps, mut id, mut time) = (Vec::new(), 0, random.below(100) as i64 - 50);
    let (keys, disorder, leap) = (1 + random.below(5), 1 + random.below(30), 1 + random.below(40));
    for _ in 0..random.below(30) {
        match random.below(10) {
            0..5 => {
                let records = (0..random.below(12)).map(|_| {
                    id += 1;
                    time += random.below(4) as i64;
                    (random.below(keys) as u8, id, time - random.below(disorder) as i64)
                });
                steps.push(Step::Records(records.collect()));
            }
            5..8 => {
                time += random.below(leap) as i64;
                // Half of them are ahead of records that are still to come.
                steps.push(Step::Watermark(time - random.below(2 * disorder) as i64));
            }
            8 if processing_time => steps.push(Step::Pass(random.below(leap))),
            _ => steps.push(Step::Restore(1 + random.index(3))),
        }
    }
    steps.push(Step::Watermark(i64::MAX));
    steps
}

fn check(path: Path, describe: impl Fn(&mut Random) -> Oracle) {
    for seed in 0..CASES {
        let mut random = Random::new(seed);
        let oracle = describe(&mut random);
        let mut crew = crew(path, oracle, 1 + random.index(3), any_backend(&mut random));
        let mut run = oracle.run(crew.clock.now().wall.as_millis());
        let steps = script(&mut random, oracle.processing_time);
        compare(&format!("seed {seed}, {path:?}, {oracle:?}"), &steps, &mut crew, |step| run.step(step));
    }
}

/// The same steps for both, and the same results after each of them.
fn compare(case: &str, steps: &[Step], crew: &mut Crew<OperatorOut>, mut oracle: impl FnMut(&Step) -> Vec<Out>) {
    let mut last = i64::MIN;
    for (index, now) in steps.iter().enumerate() {
        if let Step::Watermark(watermark) = now {
            // Watermarks never go back on a stream.
            if *watermark <= last {
                continue;
            }
            last = *watermark;
        }
        let (expected, actual) = (oracle(now), step(crew, now));
        if expected != actual {
            let more = |of: &[Out], than: &[Out]| of.iter().filter(|o| !than.contains(o)).cloned().collect::<Vec<_>>();
            panic!(
                "{case}: step {index} of {:#?}\nmissing: {:#?}\ntoo much: {:#?}",
                &steps[..=index],
                more(&expected, &actual),
                more(&actual, &expected),
            );
        }
    }
}

fn at_end(shape: Shape, lateness: i64) -> Oracle {
    Oracle { shape, when: When::End, purging: false, lateness, processing_time: false }
}

fn lateness(random: &mut Random) -> i64 {
    if random.below(2) == 0 { 0 } else { random.below(60) as i64 }
}

fn tumbling(random: &mut Random) -> Shape {
    let size = 1 + random.below(30) as i64;
    Shape::Sliding { size, slide: size, offset: random.below(40) as i64 }
}

fn sliding(random: &mut Random) -> Shape {
    let (slide, size) = (1 + random.below(12) as i64, 1 + random.below(30) as i64);
    Shape::Sliding { size, slide, offset: random.below(40) as i64 }
}

fn session(random: &mut Random) -> Shape {
    Shape::Session { gap: 1 + random.below(12) as i64 }
}

fn dynamic(random: &mut Random) -> Shape {
    Shape::Dynamic { gap: 1 + random.below(24) as i64 }
}

fn when(random: &mut Random) -> When {
    let n = 1 + random.below(4) as i64;
    [When::End, When::Early(n), When::Count(n)][random.index(3)]
}

#[test]
fn tumbling_windows() {
    check(Path::Sliced(true), |random| at_end(tumbling(random), 0));
}

#[test]
fn tumbling_windows_with_lateness() {
    check(Path::Sliced(true), |random| at_end(tumbling(random), lateness(random)));
}

#[test]
fn tumbling_windows_without_slices() {
    check(Path::General, |random| at_end(tumbling(random), lateness(random)));
}

#[test]
fn sliding_windows() {
    check(Path::Sliced(true), |random| at_end(sliding(random), 0));
}

#[test]
fn sliding_windows_with_lateness() {
    check(Path::Sliced(true), |random| at_end(sliding(random), lateness(random)));
}

#[test]
fn sliding_windows_of_all_elements() {
    check(Path::Sliced(false), |random| at_end(sliding(random), lateness(random)));
}

#[test]
fn sliding_windows_without_slices() {
    check(Path::General, |random| at_end(sliding(random), lateness(random)));
}

#[test]
fn session_windows() {
    check(Path::General, |random| at_end(session(random), 0));
}

#[test]
fn session_windows_with_lateness() {
    check(Path::General, |random| at_end(session(random), lateness(random)));
}

#[test]
fn sessions_with_a_gap_of_their_records() {
    check(Path::General, |random| at_end(dynamic(random), lateness(random)));
}

#[test]
fn windows_with_continuous_triggers() {
    check(Path::General, |random| {
        let shape = [tumbling, sliding, session, dynamic, |_: &mut Random| Shape::Global][random.index(5)](random);
        let (when, purging) = (When::Continuous(1 + random.below(20) as i64), random.below(2) == 0);
        let lateness = if matches!(shape, Shape::Global) { 0 } else { lateness(random) };
        Oracle { when, purging, ..at_end(shape, lateness) }
    });
}

#[test]
fn global_windows() {
    check(Path::General, |random| Oracle { when: when(random), ..at_end(Shape::Global, 0) });
}

#[test]
fn windows_with_triggers() {
    check(Path::General, |random| {
        let shape = [tumbling, sliding, session, dynamic][random.index(4)](random);
        let purging = random.below(2) == 0;
        Oracle { when: when(random), purging, ..at_end(shape, lateness(random)) }
    });
}

#[test]
fn windows_by_the_clock_on_the_wall() {
    check(Path::General, |random| {
        let shape = [tumbling, sliding, session, dynamic][random.index(4)](random);
        let purging = random.below(2) == 0;
        Oracle { when: when(random), purging, processing_time: true, ..at_end(shape, 0) }
    });
}

#[test]
fn count_windows() {
    for seed in 0..CASES {
        let mut random = Random::new(seed);
        let (count, step) = (1 + random.below(8), 1 + random.below(8));
        let counts =
            Counts { count, step: if random.below(2) == 0 { count } else { step }, premerge: random.below(2) == 0 };
        let (parallelism, backend) = (1 + random.index(3), any_backend(&mut random));
        let mut crew = Crew::new(parallelism, backend, move |_| CountWindows::new(counts, Ids, ResultsAndLate));
        let mut run = CountRun::new(counts.count as usize, counts.step as usize);
        let steps = script(&mut random, false);
        let case = format!("seed {seed}, {} every {}", counts.count, counts.step);
        compare(&case, &steps, &mut crew, |step| run.step(step));
    }
}
