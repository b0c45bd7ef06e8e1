//! One operator in its link between a test and a collector that checks what may come when.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::batch::Batch;
use crate::error::Result as CoreResult;
use crate::operator::{Barrier, Operator, OperatorContext, Output, Snapshot};
use crate::runtime::link::{Link, OperatorLink, Resume};
use crate::time::Timestamp;

/// How often one event may be resumed: an operator that is pending for ever has to fail its test, not to hang it.
const RESUMES_MAX: u32 = 1_000_000;

/// What has come out of an operator, and what was wrong with it.
pub(crate) struct Seen<O> {
    pub(crate) records: Vec<(O, Option<Timestamp>)>,
    watermark: Timestamp,
    barrier: u64,
    ended: bool,
    /// Batches since the operator was last called.
    batches: usize,
    full: bool,
    /// Whether a batch fills the output.
    scarce: bool,
    /// Whether late records may come out, because late ones come in.
    may_be_late: bool,
    /// The first broken rule.
    broken: Option<String>,
}

/// The end of the chain, and the test's eye on it.
struct Collector<O>(Arc<Mutex<Seen<O>>>);

/// An operator at work, driven as a subtask drives its chain.
pub(crate) struct Rig<I, O, P> {
    link: OperatorLink<I, P, O>,
    collector: Collector<O>,
    /// What all snapshots so far have come to.
    snapshot: Snapshot,
    input: PhantomData<fn(I)>,
}

impl<I, O, P> Rig<I, O, P>
where
    I: Send + 'static,
    O: Send + 'static,
    P: Operator<I, O> + 'static,
{
    pub(crate) fn new(
        make: &impl Fn() -> P,
        context: &OperatorContext,
        scarce: bool,
        may_be_late: bool,
    ) -> Result<Self, String> {
        let seen = Seen {
            records: Vec::new(),
            watermark: Timestamp::MIN,
            barrier: 0,
            ended: false,
            batches: 0,
            full: false,
            scarce,
            may_be_late,
            broken: None,
        };
        let collector = Collector(Arc::new(Mutex::new(seen)));
        let link = collector.link(make, context, None)?;
        Ok(Rig { link, collector, snapshot: Snapshot::default(), input: PhantomData })
    }

    pub(crate) fn batch(&mut self, mut batch: Batch<I>) -> Result<(), String> {
        self.tell("a batch", |link| link.batch(&mut batch))
    }

    pub(crate) fn watermark(&mut self, watermark: Timestamp) -> Result<(), String> {
        self.tell("a watermark", |link| link.watermark(watermark))
    }

    pub(crate) fn idle(&mut self) -> Result<(), String> {
        self.tell("idleness", |link| link.idle())
    }

    /// As a subtask does when there is nothing more to read: the chain is clear then.
    pub(crate) fn drained(&mut self) -> Result<(), String> {
        self.tell("a drained input", |link| link.flush())
    }

    pub(crate) fn barrier(&mut self, epoch: u64) -> Result<(), String> {
        self.tell("a barrier", |link| link.barrier(Barrier { epoch }))?;
        let seen = self.collector.lock().barrier;
        if seen == epoch { Ok(()) } else { Err(format!("barrier {epoch} was not handed on")) }
    }

    /// Takes a snapshot and goes on with a fresh operator that is given it.
    pub(crate) fn restore(&mut self, make: &impl Fn() -> P, context: &OperatorContext) -> Result<(), String> {
        let mut snapshot = Snapshot::default();
        let operator = self.link.operator();
        let mut taken = operator.snapshot(&mut snapshot).map(|()| true);
        while let Ok(true) = taken {
            taken = operator.snapshot_more(&mut snapshot);
        }
        taken.map_err(|error| format!("the operator could not write its snapshot: {error}"))?;
        // It may say only what has changed since the one before.
        self.snapshot.follow(snapshot);
        self.link = self.collector.link(make, context, Some(&self.snapshot))?;
        Ok(())
    }

    pub(crate) fn end(mut self) -> Result<Seen<O>, String> {
        self.tell("the end", |link| link.end())?;
        drop(self.link);
        let Some(seen) = Arc::into_inner(self.collector.0) else {
            return Err("the operator's output outlives its operator".into());
        };
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        if seen.ended { Ok(seen) } else { Err("the end was not handed on".into()) }
    }

    /// Hands one event to the operator and resumes it until nothing is pending.
    fn tell(
        &mut self,
        what: &str,
        event: impl FnOnce(&mut OperatorLink<I, P, O>) -> CoreResult<()>,
    ) -> Result<(), String> {
        let failed = |error| format!("the operator failed at {what}: {error}");
        self.collector.lock().batches = 0;
        event(&mut self.link).map_err(failed)?;
        for _ in 0..RESUMES_MAX {
            self.collector.check(what)?;
            self.collector.lock().batches = 0;
            match self.link.resume().map_err(failed)? {
                Resume::Clear => {
                    // Only now may the next batch come, with or without room: a chain is asked before it takes input.
                    self.collector.lock().full = false;
                    return self.collector.check(what);
                }
                Resume::More => {}
                Resume::Blocked => self.collector.lock().full = false,
            }
        }
        Err(format!("the operator still has output pending {RESUMES_MAX} resumes after {what}"))
    }
}

impl<O: Send + 'static> Collector<O> {
    fn lock(&self) -> MutexGuard<'_, Seen<O>> {
        // A panic while it was locked fails the variation anyway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link<I, P>(
        &self,
        make: &impl Fn() -> P,
        context: &OperatorContext,
        snapshot: Option<&Snapshot>,
    ) -> Result<OperatorLink<I, P, O>, String>
    where
        P: Operator<I, O>,
    {
        let mut operator = make();
        operator.open(context).map_err(|error| format!("the operator could not be opened: {error}"))?;
        if let Some(snapshot) = snapshot {
            let restored = operator.restore(snapshot);
            restored.map_err(|error| format!("the operator could not take back its snapshot: {error}"))?;
        }
        Ok(OperatorLink::new(operator, context.clone(), Box::new(Collector(self.0.clone()))))
    }

    /// Whether the operator has kept the rules while it was told of `what`.
    fn check(&self, what: &str) -> Result<(), String> {
        match self.lock().broken.take() {
            Some(broken) => Err(format!("{broken}, at {what}")),
            None => Ok(()),
        }
    }
}

impl<O> Seen<O> {
    fn rule(&mut self, kept: bool, broken: impl FnOnce() -> String) {
        if !kept && self.broken.is_none() {
            self.broken = Some(broken());
        }
    }
}

impl<O: Send + 'static> Output<O> for Collector<O> {
    fn batch(&mut self, batch: &mut Batch<O>) -> CoreResult<()> {
        let mut seen = self.lock();
        seen.batches += 1;
        let (batches, full, ended, watermark) = (seen.batches, seen.full, seen.ended, seen.watermark);
        seen.rule(batches == 1, || "the operator pushed more than one batch in one call".into());
        seen.rule(!full, || "the operator was resumed although its output was full".into());
        seen.rule(!ended, || "the operator pushed a batch after the end".into());
        // Before the first watermark nothing is late; after the last one, what comes at the end may still carry its time.
        if !seen.may_be_late
            && watermark > Timestamp::MIN
            && watermark < Timestamp::MAX
            && let Some(late) = batch.timestamps().iter().find(|timestamp| **timestamp <= watermark)
        {
            seen.rule(false, || format!("a record of {late:?} came after watermark {watermark:?}"));
        }
        let timestamps: Vec<Option<Timestamp>> = (0..batch.len()).map(|index| batch.timestamp(index)).collect();
        seen.records.extend(batch.drain().zip(timestamps));
        seen.full = seen.scarce;
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp) -> CoreResult<()> {
        let mut seen = self.lock();
        let before = seen.watermark;
        seen.rule(watermark >= before, || format!("the watermark went back from {before:?} to {watermark:?}"));
        seen.watermark = watermark;
        Ok(())
    }

    fn idle(&mut self) -> CoreResult<()> {
        Ok(())
    }

    fn barrier(&mut self, barrier: Barrier) -> CoreResult<()> {
        self.lock().barrier = barrier.epoch;
        Ok(())
    }

    fn end(&mut self) -> CoreResult<()> {
        let mut seen = self.lock();
        let ended = std::mem::replace(&mut seen.ended, true);
        seen.rule(!ended, || "the end was handed on twice".into());
        Ok(())
    }
}

impl<O: Send + 'static> Link<O> for Collector<O> {
    fn resume(&mut self) -> CoreResult<Resume> {
        Ok(Resume::Clear)
    }

    fn room(&self) -> bool {
        !self.lock().full
    }

    fn flush(&mut self) -> CoreResult<()> {
        Ok(())
    }
}
