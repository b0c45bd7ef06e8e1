//! Subtasks: one parallel instance of a chain, driven one step at a time.
//!
//! A step does one thing: goes on with what is pending, or takes one batch or control event and pushes it
//! through the chain. It never waits, sleeps or reads a clock, so threads and a seeded scheduler can drive it alike.

use std::time::Duration;

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::Barrier;
#[cfg(feature = "testing")]
use crate::operator::OperatorContext;
use crate::runtime::alignment::{Aligned, Alignment, Merged, WatermarkMerge};
use crate::runtime::exchange::{Event, Receiver};
use crate::runtime::link::{Link, LinkContext, Resume, earlier, guard};
use crate::source::{Poll, Progress, SourceReader};
use crate::time::Timestamp;

/// What a step achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something moved: step again.
    Worked,
    /// There was no input; the waker is called when there is.
    Idle,
    /// There was no room or a flush is under way; the waker is called when that changes.
    Blocked,
    /// Finished; never step again.
    Done,
}

impl Step {
    /// What is to be told if something besides the input wants to go on.
    fn while_there_is(self, more: bool) -> Step {
        if more && matches!(self, Step::Idle | Step::Blocked) { Step::Worked } else { self }
    }
}

/// One parallel instance of a chain.
pub(crate) trait Subtask: Send {
    fn step(&mut self) -> Result<Step>;

    /// How many steps it takes in a row, if each achieves something, before the others of its slot have theirs.
    fn turn(&self) -> usize {
        1
    }

    /// When to step again although nobody called the waker, on the monotonic clock of the job. None while there is no
    /// room, because then somebody will.
    fn due(&self) -> Option<Duration>;

    /// The operator at the head of the chain.
    #[cfg(feature = "testing")]
    fn operator(&self) -> &OperatorContext;
}

/// Steps of a gate to one of a source. What a source reads in a step comes to the gates as several batches and
/// watermarks. A gate that took one of them at a time would fall behind until the exchange is full, and find every batch
/// where it costs most: no longer in the cache.
const GATE_TURN: usize = 8;

/// Where a subtask is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    /// The input is complete and its last watermark is on its way; the end follows.
    Completing,
    /// The end is on its way through the chain.
    Ending,
    Done,
}

/// Goes on with what the chain has pending: nothing is taken in before that is done.
fn go_on<T>(chain: &mut dyn Link<T>) -> Result<Option<Step>> {
    Ok(match chain.resume()? {
        Resume::More => Some(Step::Worked),
        Resume::Blocked => Some(Step::Blocked),
        Resume::Clear => None,
    })
}

/// Tells the chain of the time, if it wants to know. The clock is only read if it does.
fn tick<T>(chain: &mut dyn Link<T>, context: &LinkContext) -> Result<bool> {
    let Some(due) = chain.due() else { return Ok(false) };
    let now = context.operator.now();
    if due > now.monotonic {
        return Ok(false);
    }
    chain.tick(now).map(|()| true)
}

/// A chain that starts with a source.
pub(crate) struct SourceSubtask<T> {
    reader: Box<dyn SourceReader<T>>,
    next: Box<dyn Link<T>>,
    context: LinkContext,
    batch: Batch<T>,
    epoch: u64,
    life: Life,
    /// Whether something was pushed since the last flush.
    dirty: bool,
}

impl<T: Send> SourceSubtask<T> {
    pub(crate) fn new(
        reader: Box<dyn SourceReader<T>>,
        next: Box<dyn Link<T>>,
        context: LinkContext,
    ) -> SourceSubtask<T> {
        // The epoch that a job goes on from has ended already.
        let epoch = context.control.epoch();
        SourceSubtask { reader, next, context, batch: Batch::new(), epoch, life: Life::Running, dirty: false }
    }

    fn run(&mut self) -> Result<Step> {
        // Before asking for room: a source that can't go on still answers barriers and stops.
        let epoch = self.context.control.epoch();
        if epoch > self.epoch {
            self.epoch = epoch;
            self.report(epoch)?;
            let (reader, operator) = (&mut self.reader, &self.context.operator);
            guard(|| reader.barrier(Barrier { epoch })).map_err(|e| e.at(|| operator.place(None)))?;
            self.next.barrier(Barrier { epoch })?;
            return Ok(Step::Worked);
        }
        if self.context.control.is_stopping() {
            if !self.context.control.ends_with_checkpoint() {
                return self.end();
            }
            // The last checkpoint holds everything up to here: nothing may follow.
            if std::mem::take(&mut self.dirty) {
                self.next.flush()?;
            }
            return Ok(Step::Idle);
        }
        if self.context.control.is_holding() {
            return Ok(Step::Idle);
        }
        if !self.next.room() {
            return Ok(Step::Blocked);
        }
        if tick(&mut *self.next, &self.context)? {
            self.dirty = true;
            return Ok(Step::Worked);
        }
        let (reader, batch) = (&mut self.reader, &mut self.batch);
        batch.clear();
        let poll = guard(|| reader.poll(batch)).map_err(|error| {
            let position = self.reader.failed_at().map(|at| format!("{} offset {}", at.split, at.next));
            error.at(|| self.context.operator.place(position))
        })?;
        match poll {
            Poll::Ready => {
                self.next.batch(&mut self.batch)?;
                self.dirty = true;
                self.progress()?;
                Ok(Step::Worked)
            }
            Poll::Idle => {
                self.dirty |= self.progress()?;
                if std::mem::take(&mut self.dirty) {
                    self.next.flush()?;
                }
                Ok(Step::Idle)
            }
            Poll::End => {
                self.next.watermark(Timestamp::MAX)?;
                self.life = Life::Completing;
                Ok(Step::Worked)
            }
        }
    }

    /// Hands on what the reader knows about event time.
    fn progress(&mut self) -> Result<bool> {
        let (reader, operator) = (&mut self.reader, &self.context.operator);
        match guard(|| Ok(reader.progress())).map_err(|e| e.at(|| operator.place(None)))? {
            None => return Ok(false),
            Some(Progress::Watermark(watermark)) => self.next.watermark(watermark)?,
            Some(Progress::Idle) => self.next.idle()?,
        }
        Ok(true)
    }

    fn end(&mut self) -> Result<Step> {
        self.report(u64::MAX)?;
        self.next.end()?;
        self.life = Life::Ending;
        Ok(Step::Worked)
    }

    fn report(&mut self, epoch: u64) -> Result<()> {
        let (reader, operator) = (&mut self.reader, &self.context.operator);
        let mut positions = Vec::new();
        guard(|| {
            reader.positions(&mut positions);
            Ok(())
        })
        .map_err(|e| e.at(|| operator.place(None)))?;
        self.context.reporter.positions(operator.uid(), operator.subtask(), epoch, positions);
        Ok(())
    }
}

impl<T: Send> Subtask for SourceSubtask<T> {
    #[cfg(feature = "testing")]
    fn operator(&self) -> &OperatorContext {
        &self.context.operator
    }

    fn due(&self) -> Option<Duration> {
        if self.life != Life::Running || !self.next.room() {
            return None;
        }
        earlier(self.reader.due(), self.next.due())
    }

    fn step(&mut self) -> Result<Step> {
        if self.life == Life::Done {
            return Ok(Step::Done);
        }
        let more = self.next.snapshot_more()?;
        self.go().map(|step| step.while_there_is(more))
    }
}

impl<T: Send> SourceSubtask<T> {
    fn go(&mut self) -> Result<Step> {
        if let Some(step) = go_on(&mut *self.next)? {
            // What it brought may wait in a buffer for more.
            self.dirty |= step == Step::Worked;
            return Ok(step);
        }
        match self.life {
            Life::Running => self.run(),
            Life::Completing => self.end(),
            Life::Ending | Life::Done => {
                self.life = Life::Done;
                Ok(Step::Done)
            }
        }
    }
}

/// A chain that reads from exchanges.
pub(crate) struct GateSubtask<T> {
    receivers: Vec<Receiver<T>>,
    next: Box<dyn Link<T>>,
    context: LinkContext,
    alignment: Alignment,
    watermarks: WatermarkMerge,
    /// The channel to look at first, so that a busy one can't starve the others.
    cursor: usize,
    life: Life,
    dirty: bool,
}

impl<T: Send> GateSubtask<T> {
    pub(crate) fn new(receivers: Vec<Receiver<T>>, next: Box<dyn Link<T>>, context: LinkContext) -> GateSubtask<T> {
        let n = receivers.len();
        GateSubtask {
            receivers,
            next,
            context,
            alignment: Alignment::new(n),
            watermarks: WatermarkMerge::new(n),
            cursor: 0,
            life: Life::Running,
            dirty: false,
        }
    }

    fn run(&mut self) -> Result<Step> {
        if self.alignment.is_ended() {
            self.life = Life::Ending;
            self.next.end()?;
            return Ok(Step::Worked);
        }
        if !self.next.room() {
            return Ok(Step::Blocked);
        }
        if tick(&mut *self.next, &self.context)? {
            self.dirty = true;
            return Ok(Step::Worked);
        }
        let n = self.receivers.len();
        for i in 0..n {
            let channel = (self.cursor + i) % n;
            if !self.alignment.is_open(channel) {
                continue;
            }
            if let Some(event) = self.receivers[channel].receive() {
                self.cursor = (channel + 1) % n;
                self.take(channel, event)?;
                return Ok(Step::Worked);
            }
        }
        if std::mem::take(&mut self.dirty) {
            self.next.flush()?;
        }
        Ok(Step::Idle)
    }

    fn take(&mut self, channel: usize, event: Event<T>) -> Result<()> {
        let merged = match event {
            Event::Batch(mut batch) => {
                self.dirty = true;
                self.next.batch(&mut batch)?;
                self.receivers[channel].recycle(batch);
                return Ok(());
            }
            Event::Barrier(barrier) => {
                let aligned = self.alignment.barrier(channel, barrier);
                return self.decided(aligned);
            }
            Event::Watermark(watermark) => self.watermarks.watermark(channel, watermark),
            Event::Idle => self.watermarks.idle(channel),
            Event::End => {
                // An ended channel may be the last one a barrier was waiting for. The end itself is passed on by the
                // next step, after whatever that barrier has left pending. An end says nothing about event time: a
                // sender that has read everything has sent its last watermark, one that was stopped never does.
                let aligned = self.alignment.end(channel);
                return self.decided(aligned);
            }
        };
        // A writer may hold a watermark back until it is flushed.
        self.dirty = true;
        match merged {
            Merged::Nothing => Ok(()),
            Merged::Watermark(watermark) => self.next.watermark(watermark),
            Merged::Idle => self.next.idle(),
        }
    }

    fn decided(&mut self, aligned: Aligned) -> Result<()> {
        match aligned {
            Aligned::Barrier(barrier) => self.next.barrier(barrier),
            Aligned::NotYet | Aligned::End => Ok(()),
        }
    }
}

impl<T: Send> Subtask for GateSubtask<T> {
    fn turn(&self) -> usize {
        GATE_TURN
    }

    #[cfg(feature = "testing")]
    fn operator(&self) -> &OperatorContext {
        &self.context.operator
    }

    fn due(&self) -> Option<Duration> {
        if self.life != Life::Running || !self.next.room() {
            return None;
        }
        self.next.due()
    }

    fn step(&mut self) -> Result<Step> {
        if self.life == Life::Done {
            return Ok(Step::Done);
        }
        let more = self.next.snapshot_more()?;
        self.go().map(|step| step.while_there_is(more))
    }
}

impl<T: Send> GateSubtask<T> {
    fn go(&mut self) -> Result<Step> {
        if let Some(step) = go_on(&mut *self.next)? {
            // What it brought may wait in a buffer for more.
            self.dirty |= step == Step::Worked;
            return Ok(step);
        }
        match self.life {
            Life::Running => self.run(),
            Life::Completing | Life::Ending | Life::Done => {
                self.life = Life::Done;
                let operator = &self.context.operator;
                tracing::debug!(operator = operator.name(), subtask = operator.subtask(), "finished");
                Ok(Step::Done)
            }
        }
    }
}
