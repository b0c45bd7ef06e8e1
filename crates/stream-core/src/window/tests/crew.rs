//! A few subtasks of one window operator, driven by hand, and what comes out of them.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::{BATCH_SIZE, Batch};
use crate::error::Result;
use crate::key::{KeyHash, Keyed, key_group, key_group_subtask};
use crate::operator::{Barrier, Operator, OperatorContext, Output, Snapshot};
use crate::testing::VirtualClock;
use crate::time::Timestamp;
use crate::window::aggregate::Aggregator;
use crate::window::late::ResultOrLate;
use crate::window::time_window::{TimeWindow, WindowResult};

/// What the records of the tests are: their number.
pub(super) type Id = u32;

/// What comes out, in a form that both sides of a comparison can make.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Out {
    Result { at: Option<i64>, key: u8, window: TimeWindow, ids: Vec<Id> },
    Late(Id),
}

pub(super) type OperatorOut = ResultOrLate<WindowResult<u8, Vec<Id>>, Id>;

/// Keeps the numbers of the records.
#[derive(Clone)]
pub(super) struct Ids;

impl Aggregator<Id> for Ids {
    type State = Vec<Id>;
    type Output = Vec<Id>;

    fn create(&self) -> Vec<Id> {
        Vec::new()
    }

    fn add(&self, state: &mut Vec<Id>, record: Id) {
        state.push(record);
    }

    fn merge(&self, state: &mut Vec<Id>, mut other: Vec<Id>) {
        state.append(&mut other);
    }

    fn result(&self, mut state: Vec<Id>) -> Vec<Id> {
        state.sort_unstable();
        state
    }
}

/// One thing that happens to all subtasks.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Key, number, milliseconds.
    Records(Vec<(u8, Id, i64)>),
    Watermark(i64),
    /// The clock goes on by so many milliseconds.
    Pass(u64),
    /// Snapshot, then other subtasks take over: so many.
    Restore(usize),
}

type Make = Box<dyn Fn() -> Box<dyn Operator<Keyed<u8, Id>, OperatorOut>>>;

pub(super) struct Crew {
    make: Make,
    subtasks: Vec<Box<dyn Operator<Keyed<u8, Id>, OperatorOut>>>,
    pub(super) clock: VirtualClock,
}

#[derive(Default)]
struct Collector {
    records: Vec<Out>,
    batches: usize,
}

impl Output<OperatorOut> for Collector {
    fn batch(&mut self, batch: &mut Batch<OperatorOut>) -> Result<()> {
        assert!(batch.len() <= BATCH_SIZE, "a batch of {}", batch.len());
        self.batches += 1;
        let timestamps: Vec<_> = (0..batch.len()).map(|index| batch.timestamp(index)).collect();
        self.records.extend(batch.drain().zip(timestamps).map(|(out, at)| match out {
            ResultOrLate::Late(id) => Out::Late(id),
            ResultOrLate::Result(WindowResult { key, window, value }) => {
                Out::Result { at: at.map(Timestamp::as_millis), key, window, ids: value }
            }
        }));
        Ok(())
    }

    fn watermark(&mut self, _watermark: Timestamp) -> Result<()> {
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        Ok(())
    }

    fn barrier(&mut self, _barrier: Barrier) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Crew {
    pub(super) fn new<P>(parallelism: usize, make: impl Fn() -> P + 'static) -> Crew
    where
        P: Operator<Keyed<u8, Id>, OperatorOut> + 'static,
    {
        let make: Make = Box::new(move || Box::new(make()));
        let mut crew = Crew { make, subtasks: Vec::new(), clock: VirtualClock::new() };
        crew.start(parallelism, None);
        crew
    }

    fn start(&mut self, parallelism: usize, snapshot: Option<&Snapshot>) {
        self.subtasks.clear();
        for subtask in 0..parallelism {
            let context = OperatorContext::new("windows", "windows", subtask, parallelism);
            let mut operator = (self.make)();
            operator.open(&context.with_clock(Arc::new(self.clock.clone()))).expect("it opens");
            if let Some(snapshot) = snapshot {
                operator.restore(snapshot).expect("it takes its state back");
            }
            self.subtasks.push(operator);
        }
    }

    /// What comes out, sorted.
    pub(super) fn step(&mut self, step: &Step) -> Vec<Out> {
        let mut out = Collector::default();
        match step {
            Step::Restore(parallelism) => self.restore(*parallelism),
            Step::Records(records) => self.records(records, &mut out),
            Step::Watermark(watermark) => {
                for subtask in &mut self.subtasks {
                    let watermark = Timestamp::from_millis(*watermark);
                    let passed = tell(&mut **subtask, &mut out, |subtask, out| subtask.watermark(watermark, out));
                    assert_eq!(passed, Some(watermark));
                }
            }
            Step::Pass(time) => {
                self.clock.advance(Duration::from_millis(*time));
                self.tick(&mut out);
            }
        }
        out.records.sort();
        out.records
    }

    fn tick(&mut self, out: &mut Collector) {
        let context = OperatorContext::new("", "", 0, 1).with_clock(Arc::new(self.clock.clone()));
        let now = context.now();
        for subtask in &mut self.subtasks {
            while subtask.due().is_some_and(|due| due <= now.monotonic) {
                tell(&mut **subtask, out, |subtask, out| subtask.tick(now, out));
            }
        }
    }

    fn records(&mut self, records: &[(u8, Id, i64)], out: &mut Collector) {
        let parallelism = self.subtasks.len();
        let mut batches: Vec<Batch<Keyed<u8, Id>>> = (0..parallelism).map(|_| Batch::new()).collect();
        for (key, id, millis) in records {
            let owner = key_group_subtask(key_group(key.key_hash(), 256), parallelism, 256);
            batches[owner].push_at(Keyed::new(*key, *id), Timestamp::from_millis(*millis));
        }
        for (subtask, mut batch) in self.subtasks.iter_mut().zip(batches) {
            tell(&mut **subtask, out, |subtask, out| subtask.process(&mut batch, out));
        }
    }

    fn restore(&mut self, parallelism: usize) {
        let mut whole = Snapshot::default();
        for subtask in &mut self.subtasks {
            let mut part = Snapshot::default();
            subtask.snapshot(&mut part).expect("it writes its state");
            let twice = part.groups().keys().find(|group| whole.groups().contains_key(*group));
            assert_eq!(twice, None, "two subtasks have it");
            whole.merge(&part);
        }
        self.start(parallelism, Some(&whole));
    }
}

/// Calls an operator as its link does: then resumes it until nothing is pending, one batch each time.
fn tell<R>(
    subtask: &mut dyn Operator<Keyed<u8, Id>, OperatorOut>,
    out: &mut Collector,
    call: impl FnOnce(&mut dyn Operator<Keyed<u8, Id>, OperatorOut>, &mut Collector) -> Result<R>,
) -> R {
    let before = out.batches;
    let result = call(subtask, out).expect("no failure");
    assert!(out.batches <= before + 1, "more than one batch in one call");
    while subtask.pending() {
        let before = out.batches;
        subtask.resume(out).expect("no failure");
        assert!(out.batches <= before + 1, "more than one batch in one call");
    }
    result
}
