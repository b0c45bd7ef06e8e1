//! A few subtasks of one keyed operator, driven by hand: state moves between them when their number changes.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::{BATCH_SIZE, Batch};
use crate::error::Result;
use crate::key::{KeyHash, Keyed, key_group, key_group_subtask};
use crate::operator::{Barrier, Operator, OperatorContext, Output, Snapshot};
use crate::random::Random;
use crate::state::StateBackend;
use crate::testing::VirtualClock;
use crate::time::Timestamp;

/// Where state may live.
pub(crate) const BACKENDS: [StateBackend; 2] = [StateBackend::Memory, StateBackend::Bytes];

pub(crate) fn any_backend(random: &mut Random) -> StateBackend {
    BACKENDS[random.index(2)]
}

/// One thing that happens to all subtasks.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Key, number, milliseconds.
    Records(Vec<(u8, u32, i64)>),
    Watermark(i64),
    /// The clock goes on by so many milliseconds.
    Pass(u64),
    /// Snapshot, then other subtasks take over: so many.
    Restore(usize),
    /// The input is over.
    End,
}

type Instance<O> = Box<dyn Operator<Keyed<u8, u32>, O>>;
type Make<O> = Box<dyn Fn(&OperatorContext) -> Instance<O>>;

struct Subtask<O> {
    operator: Instance<O>,
    /// The snapshot that it is writing, little by little while other things happen.
    writing: Option<Snapshot>,
}

/// Every so many steps a snapshot begins.
const STEPS_PER_SNAPSHOT: usize = 3;

pub(crate) struct Crew<O> {
    make: Make<O>,
    subtasks: Vec<Subtask<O>>,
    backend: StateBackend,
    pub(crate) clock: VirtualClock,
    steps: usize,
    /// What all snapshots so far have come to.
    snapshot: Snapshot,
}

/// Takes whatever comes out of an operator.
pub(crate) struct Collector<O> {
    /// With their milliseconds.
    pub(crate) records: Vec<(O, Option<i64>)>,
    batches: usize,
}

impl<O> Collector<O> {
    pub(crate) fn new() -> Collector<O> {
        Collector { records: Vec::new(), batches: 0 }
    }
}

impl<O: Send> Output<O> for Collector<O> {
    fn batch(&mut self, batch: &mut Batch<O>) -> Result<()> {
        assert!(batch.len() <= BATCH_SIZE, "a batch of {}", batch.len());
        self.batches += 1;
        let timestamps: Vec<_> = (0..batch.len()).map(|index| batch.timestamp(index)).collect();
        self.records.extend(batch.drain().zip(timestamps.into_iter().map(|at| at.map(Timestamp::as_millis))));
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

impl<O: Send + 'static> Crew<O> {
    pub(crate) fn new<P>(
        parallelism: usize,
        backend: StateBackend,
        make: impl Fn(&OperatorContext) -> P + 'static,
    ) -> Crew<O>
    where
        P: Operator<Keyed<u8, u32>, O> + 'static,
    {
        let make: Make<O> = Box::new(move |context| Box::new(make(context)));
        let (clock, snapshot) = (VirtualClock::new(), Snapshot::default());
        let mut crew = Crew { make, subtasks: Vec::new(), backend, clock, steps: 0, snapshot };
        crew.start(parallelism);
        crew
    }

    fn start(&mut self, parallelism: usize) {
        self.subtasks.clear();
        for subtask in 0..parallelism {
            let context = OperatorContext::new("crew", "crew", subtask, parallelism);
            let context = context.with_state_backend(self.backend).with_clock(Arc::new(self.clock.clone()));
            let mut operator = (self.make)(&context);
            operator.open(&context).expect("it opens");
            if !self.snapshot.is_empty() {
                operator.restore(&self.snapshot).expect("it takes its state back");
            }
            self.subtasks.push(Subtask { operator, writing: None });
        }
    }

    /// What comes out, with its milliseconds.
    pub(crate) fn step(&mut self, step: &Step) -> Vec<(O, Option<i64>)> {
        let mut out = Collector::new();
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_PER_SNAPSHOT) {
            self.complete_snapshot();
            self.begin_snapshot();
        }
        match step {
            Step::Restore(parallelism) => self.restore(*parallelism),
            Step::Records(records) => self.records(records, &mut out),
            Step::Watermark(watermark) => {
                for subtask in &mut self.subtasks {
                    let watermark = Timestamp::from_millis(*watermark);
                    let passed = tell(subtask, &mut out, |subtask, out| subtask.watermark(watermark, out));
                    assert_eq!(passed, Some(watermark));
                }
            }
            Step::Pass(time) => {
                self.clock.advance(Duration::from_millis(*time));
                self.tick(&mut out);
            }
            Step::End => {
                for subtask in &mut self.subtasks {
                    tell(subtask, &mut out, |subtask, out| subtask.end(out));
                }
            }
        }
        out.records
    }

    fn tick(&mut self, out: &mut Collector<O>) {
        let context = OperatorContext::new("", "", 0, 1).with_clock(Arc::new(self.clock.clone()));
        let now = context.now();
        for subtask in &mut self.subtasks {
            while subtask.operator.due().is_some_and(|due| due <= now.monotonic) {
                tell(subtask, out, |subtask, out| subtask.tick(now, out));
            }
        }
    }

    fn records(&mut self, records: &[(u8, u32, i64)], out: &mut Collector<O>) {
        let parallelism = self.subtasks.len();
        let mut batches: Vec<Batch<Keyed<u8, u32>>> = (0..parallelism).map(|_| Batch::new()).collect();
        for (key, id, millis) in records {
            let owner = key_group_subtask(key_group(key.key_hash(), 256), parallelism, 256);
            batches[owner].push_at(Keyed::new(*key, *id), Timestamp::from_millis(*millis));
        }
        for (subtask, mut batch) in self.subtasks.iter_mut().zip(batches) {
            tell(subtask, out, |subtask, out| subtask.process(&mut batch, out));
        }
    }

    fn begin_snapshot(&mut self) {
        for subtask in &mut self.subtasks {
            let mut snapshot = Snapshot::default();
            subtask.operator.snapshot(&mut snapshot).expect("it writes its state");
            subtask.writing = Some(snapshot);
        }
    }

    fn complete_snapshot(&mut self) {
        let mut whole = Snapshot::default();
        for subtask in &mut self.subtasks {
            while subtask.write_more() {}
            let Some(part) = subtask.writing.take() else { return };
            let twice = part.groups().keys().find(|group| whole.groups().contains_key(*group));
            assert_eq!(twice, None, "two subtasks have it");
            whole.merge(&part);
        }
        self.snapshot.follow(whole);
    }

    /// What one backend has written the other one reads, so they take turns.
    fn restore(&mut self, parallelism: usize) {
        self.complete_snapshot();
        self.begin_snapshot();
        self.complete_snapshot();
        self.backend = BACKENDS[usize::from(self.backend == StateBackend::Memory)];
        self.start(parallelism);
    }
}

impl<O> Subtask<O> {
    fn write_more(&mut self) -> bool {
        let Some(snapshot) = &mut self.writing else { return false };
        self.operator.snapshot_more(snapshot).expect("it writes its state")
    }
}

/// Calls an operator as its link does: then resumes it until nothing is pending, one batch each time.
fn tell<O: Send, R>(
    subtask: &mut Subtask<O>,
    out: &mut Collector<O>,
    call: impl FnOnce(&mut dyn Operator<Keyed<u8, u32>, O>, &mut Collector<O>) -> Result<R>,
) -> R {
    let before = out.batches;
    subtask.write_more();
    let result = call(&mut *subtask.operator, out).expect("no failure");
    assert!(out.batches <= before + 1, "more than one batch in one call");
    while subtask.operator.pending() {
        let before = out.batches;
        subtask.write_more();
        subtask.operator.resume(out).expect("no failure");
        assert!(out.batches <= before + 1, "more than one batch in one call");
    }
    result
}
