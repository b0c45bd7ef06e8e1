//! Links: what stands between two operators of one chain.
//!
//! A link owns its operator and the link behind it, so a chain is one owned value and a call from one
//! operator to the next is one virtual call per batch. A link also
//! - attaches operator, uid, subtask and source position to errors, and turns panics into errors;
//! - holds control events back while its operator has output pending, so that nothing is overtaken.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::clock::Now;
use crate::either::Either;
use crate::error::{Error, ErrorKind, Result};
use crate::operator::{Barrier, Operator, OperatorContext, Output, Snapshot};
use crate::position::Origin;
use crate::runtime::checkpoint::{Checkpoint, Kept};
use crate::runtime::control::Control;
use crate::runtime::coordinator::{Report, Reporter};
use crate::sink::SinkWriter;
use crate::thread::Waker;
use crate::time::Timestamp;

/// What the subtask needs of its chain besides pushing.
pub(crate) trait Link<T>: Output<T> {
    /// Goes on with what earlier calls left pending, the far end of the chain first.
    fn resume(&mut self) -> Result<Resume>;

    /// Whether everything behind has room for another batch.
    fn room(&self) -> bool;

    /// The input is drained for now: hand on what is buffered.
    fn flush(&mut self) -> Result<()>;

    /// Writes some more of the snapshots that the last barrier has begun; returns whether there is still more.
    fn snapshot_more(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// When the chain wants to be told of the time, on the monotonic clock.
    fn due(&self) -> Option<Duration> {
        None
    }

    /// Tells every operator of the chain whose time has come. Only called when everything is clear and there is room.
    fn tick(&mut self, _now: Now) -> Result<()> {
        Ok(())
    }
}

/// What [`Link::resume`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resume {
    /// Nothing is pending: the chain can take input.
    Clear,
    /// Something is pending and waits for somebody else.
    Blocked,
    /// Something moved: call again.
    More,
}

/// What a link is told when it is built.
#[derive(Clone)]
pub(crate) struct LinkContext {
    pub(crate) operator: OperatorContext,
    pub(crate) waker: Waker,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) control: Arc<Control>,
    /// Whether operators write snapshots.
    pub(crate) checkpoints: bool,
    /// What the job goes on from.
    pub(crate) restored: Option<Arc<Checkpoint>>,
    /// The epoch that has ended when the job begins.
    pub(crate) epoch: u64,
    pub(crate) job: Arc<str>,
    /// Higher for every run that begins later.
    pub(crate) generation: u64,
}

impl LinkContext {
    /// What this subtask goes on from.
    pub(crate) fn kept(&self) -> Option<Kept> {
        let operator = &self.operator;
        self.restored.as_ref()?.operator(operator.uid(), operator.subtask(), operator.parallelism())
    }
}

/// Runs `body`, turning a panic into an error of kind `User`.
pub(crate) fn guard<R>(body: impl FnOnce() -> Result<R>) -> Result<R> {
    // After a panic the subtask is never stepped again, so no half-changed state is seen.
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> Error {
    let text =
        panic.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    Error::new(ErrorKind::User, format!("panicked: {}", text.unwrap_or_else(|| "(no text)".into())))
        .with_hint("the line that panicked is in the message on standard error; set RUST_BACKTRACE=1 for the way there")
}

/// A control event.
#[derive(Clone, Copy)]
enum Event {
    Watermark(Timestamp),
    End,
}

/// A control event that waits for pending output; there is one at most, because the subtask takes nothing new before
/// [`Link::resume`] has found everything clear.
#[derive(Clone, Copy)]
enum Held {
    Nothing,
    /// The operator has not been told yet.
    Before(Event),
    /// The operator has been told, what follows it in the chain has not.
    After(Event),
}

/// One operator in its chain.
pub(crate) struct OperatorLink<I, P, O> {
    operator: P,
    context: OperatorContext,
    next: Box<dyn Link<O>>,
    held: Held,
    /// Where the pending output comes from, and how many records that were.
    origin: (Origin, usize),
    /// Where snapshots go, if anybody wants them.
    reporter: Option<Arc<Reporter>>,
    /// The snapshot that is being written, and the epoch that ends with it.
    writing: Option<(u64, Snapshot)>,
    /// The last snapshot came to nothing: what has changed since then is not known any more.
    everything: bool,
    /// The input had ended when the job was restored from: the operator has said all it had to say.
    finished: bool,
    input: PhantomData<fn(I)>,
}

impl<I, P, O> OperatorLink<I, P, O>
where
    O: 'static,
    P: Operator<I, O>,
{
    pub(crate) fn new(operator: P, context: OperatorContext, next: Box<dyn Link<O>>) -> OperatorLink<I, P, O> {
        OperatorLink {
            operator,
            context,
            next,
            held: Held::Nothing,
            origin: (Origin::new(), 0),
            reporter: None,
            writing: None,
            everything: false,
            finished: false,
            input: PhantomData,
        }
    }

    /// Sends snapshots to `reporter` from now on; goes on from `restored`, if there is something.
    pub(crate) fn checkpointed(mut self, reporter: Arc<Reporter>, restored: Option<Kept>) -> Result<Self> {
        match restored {
            Some(Kept::State(snapshot)) => self.guarded(|operator, _| operator.restore(&snapshot))?,
            Some(Kept::Finished) => self.finished = true,
            None => {}
        }
        self.reporter = Some(reporter);
        Ok(self)
    }

    fn report(&mut self, barrier: Barrier) -> Result<()> {
        let Some(reporter) = self.reporter.clone() else { return Ok(()) };
        let (uid, subtask, epoch) = (self.context.uid().to_owned(), self.context.subtask(), barrier.epoch);
        if self.finished {
            reporter.send(Report::Kept { uid, subtask, epoch, kept: Kept::Finished });
            return Ok(());
        }
        // The epoch before was given up while its snapshot was being written; the next checkpoint needs it.
        self.write_rest(&reporter);
        let mut snapshot = if self.everything { Snapshot::of_everything() } else { Snapshot::default() };
        reporter.send(Report::Keeping { uid, subtask, epoch });
        match self.guarded(|operator, _| operator.snapshot(&mut snapshot)) {
            Ok(()) => {
                self.everything = false;
                self.writing = Some((epoch, snapshot));
                self.write_more(&reporter);
            }
            Err(error) => self.snapshot_failed(epoch, error, &reporter),
        }
        Ok(())
    }

    /// Writes some more of the snapshot under way; returns whether there is still more.
    fn write_more(&mut self, reporter: &Reporter) -> bool {
        let Some((epoch, mut snapshot)) = self.writing.take() else { return false };
        match self.guarded(|operator, _| operator.snapshot_more(&mut snapshot)) {
            Ok(true) => {
                self.writing = Some((epoch, snapshot));
                return true;
            }
            Ok(false) => {
                let (uid, subtask) = (self.context.uid().to_owned(), self.context.subtask());
                reporter.send(Report::Kept { uid, subtask, epoch, kept: Kept::State(snapshot) });
            }
            Err(error) => self.snapshot_failed(epoch, error, reporter),
        }
        false
    }

    fn write_rest(&mut self, reporter: &Reporter) {
        while self.write_more(reporter) {}
    }

    fn snapshot_failed(&mut self, epoch: u64, error: Error, reporter: &Reporter) {
        self.everything = true;
        let (uid, subtask) = (self.context.uid().to_owned(), self.context.subtask());
        reporter.send(Report::SnapshotFailed { uid, subtask, epoch, error });
    }

    /// The operator itself, for a harness that takes its snapshot.
    #[cfg(feature = "testing")]
    pub(crate) fn operator(&mut self) -> &mut P {
        &mut self.operator
    }

    fn guarded<R>(&mut self, body: impl FnOnce(&mut P, &mut dyn Link<O>) -> Result<R>) -> Result<R> {
        let (operator, next) = (&mut self.operator, &mut *self.next);
        guard(|| body(operator, next)).map_err(|e| e.at(|| self.context.place(None)))
    }

    /// Tells the operator of `event`, then what follows it, each after what is pending.
    fn tell(&mut self, event: Event) -> Result<()> {
        if self.finished {
            return self.forward(event);
        }
        if self.operator.pending() {
            self.held = Held::Before(event);
            return Ok(());
        }
        let event = match event {
            Event::Watermark(watermark) => {
                self.guarded(|operator, next| operator.watermark(watermark, next))?.map(Event::Watermark)
            }
            Event::End => self.guarded(|operator, next| operator.end(next)).map(|()| Some(Event::End))?,
        };
        self.origin.0.clear();
        match event {
            Some(event) if self.operator.pending() => {
                self.held = Held::After(event);
                Ok(())
            }
            Some(event) => self.forward(event),
            None => Ok(()),
        }
    }

    fn forward(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Watermark(watermark) => self.next.watermark(watermark),
            Event::End => {
                if let Some(reporter) = self.reporter.clone() {
                    self.write_rest(&reporter);
                    let (uid, subtask) = (self.context.uid().to_owned(), self.context.subtask());
                    reporter.send(Report::Finished { uid, subtask });
                }
                self.next.end()
            }
        }
    }
}

impl<I, P, O> Output<I> for OperatorLink<I, P, O>
where
    O: 'static,
    P: Operator<I, O>,
{
    fn batch(&mut self, batch: &mut Batch<I>) -> Result<()> {
        let records = batch.len();
        let (operator, next) = (&mut self.operator, &mut *self.next);
        guard(|| operator.process(batch, next)).map_err(|error| {
            error.at(|| self.context.place(batch.origin().describe(self.operator.failed_at(), records)))
        })?;
        if self.operator.pending() {
            self.origin.0.clone_from(batch.origin());
            self.origin.1 = records;
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.tell(Event::Watermark(watermark))
    }

    fn idle(&mut self) -> Result<()> {
        match self.guarded(|operator, next| operator.idle(next))? {
            true => self.next.idle(),
            false => Ok(()),
        }
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        // Only comes when `resume` has just found everything clear, so there is nothing it could overtake.
        self.report(barrier)?;
        self.next.barrier(barrier)
    }

    fn end(&mut self) -> Result<()> {
        self.tell(Event::End)
    }
}

impl<I, P, O> Link<I> for OperatorLink<I, P, O>
where
    O: 'static,
    P: Operator<I, O>,
{
    fn resume(&mut self) -> Result<Resume> {
        let behind = self.next.resume()?;
        if behind != Resume::Clear {
            return Ok(behind);
        }
        if self.operator.pending() {
            if !self.next.room() {
                return Ok(Resume::Blocked);
            }
            let (operator, next) = (&mut self.operator, &mut *self.next);
            guard(|| operator.resume(next)).map_err(|error| {
                let (origin, records) = &self.origin;
                error.at(|| self.context.place(origin.describe(self.operator.failed_at(), *records)))
            })?;
            return Ok(Resume::More);
        }
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Before(event) => self.tell(event)?,
            Held::After(event) => self.forward(event)?,
            Held::Nothing => return Ok(Resume::Clear),
        }
        Ok(Resume::More)
    }

    fn room(&self) -> bool {
        self.next.room()
    }

    fn flush(&mut self) -> Result<()> {
        if !self.operator.pending() {
            self.guarded(|operator, next| operator.flush(next))?;
        }
        self.next.flush()
    }

    fn snapshot_more(&mut self) -> Result<bool> {
        if self.writing.is_some()
            && let Some(reporter) = self.reporter.clone()
            && self.write_more(&reporter)
        {
            return Ok(true);
        }
        self.next.snapshot_more()
    }

    fn due(&self) -> Option<Duration> {
        earlier(self.operator.due(), self.next.due())
    }

    fn tick(&mut self, now: Now) -> Result<()> {
        if !self.operator.pending() && self.operator.due().is_some_and(|due| due <= now.monotonic) {
            self.origin.0.clear();
            self.guarded(|operator, next| operator.tick(now, next))?;
        }
        self.next.tick(now)
    }
}

/// The earlier of two times that may not come.
pub(crate) fn earlier(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    a.into_iter().chain(b).min()
}

/// The end of a chain: a sink's writer.
pub(crate) struct SinkLink<T> {
    writer: Box<dyn SinkWriter<T>>,
    context: LinkContext,
    state: SinkState,
}

#[derive(Clone, Copy)]
enum SinkState {
    Open,
    /// Flushing up to this epoch; `u64::MAX` at the end.
    Flushing(u64),
}

impl<T> SinkLink<T> {
    pub(crate) fn new(writer: Box<dyn SinkWriter<T>>, context: LinkContext) -> SinkLink<T> {
        SinkLink { writer, context, state: SinkState::Open }
    }

    fn guarded<R>(&mut self, body: impl FnOnce(&mut dyn SinkWriter<T>) -> Result<R>) -> Result<R> {
        let writer = &mut *self.writer;
        guard(|| body(writer)).map_err(|e| e.at(|| self.context.operator.place(None)))
    }
}

impl<T: Send> Output<T> for SinkLink<T> {
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let records = batch.len();
        let writer = &mut *self.writer;
        guard(|| writer.write(batch)).map_err(|error| {
            error.at(|| self.context.operator.place(batch.origin().describe(self.writer.failed_at(), records)))
        })
    }

    fn watermark(&mut self, _watermark: Timestamp) -> Result<()> {
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        Ok(())
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.state = SinkState::Flushing(barrier.epoch);
        self.guarded(|writer| writer.barrier(barrier))
    }

    fn end(&mut self) -> Result<()> {
        self.state = SinkState::Flushing(u64::MAX);
        self.guarded(|writer| writer.end())
    }
}

impl<T: Send> Link<T> for SinkLink<T> {
    fn resume(&mut self) -> Result<Resume> {
        let SinkState::Flushing(epoch) = self.state else {
            self.guarded(|writer| writer.resume())?;
            return Ok(Resume::Clear);
        };
        if !self.guarded(|writer| writer.flushed())? {
            return Ok(Resume::Blocked);
        }
        self.state = SinkState::Open;
        let staged = self.writer.staged();
        let operator = &self.context.operator;
        self.context.reporter.flushed(operator.uid(), operator.subtask(), epoch, staged);
        Ok(Resume::Clear)
    }

    fn room(&self) -> bool {
        matches!(self.state, SinkState::Open) && self.writer.room()
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Hands every event to several receivers; the last one gets the original.
pub(crate) struct Tee<T> {
    receivers: Vec<Box<dyn Link<T>>>,
    copy: Batch<T>,
}

impl<T> Tee<T> {
    pub(crate) fn new(receivers: Vec<Box<dyn Link<T>>>) -> Tee<T> {
        Tee { receivers, copy: Batch::new() }
    }

    fn snapshot_more_of_each(&mut self) -> Result<bool> {
        for receiver in &mut self.receivers {
            if receiver.snapshot_more()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn resume_each(&mut self) -> Result<Resume> {
        let mut all = Resume::Clear;
        for receiver in &mut self.receivers {
            all = all.max(receiver.resume()?);
        }
        Ok(all)
    }

    fn each(&mut self, f: impl FnMut(&mut Box<dyn Link<T>>) -> Result<()>) -> Result<()> {
        self.receivers.iter_mut().try_for_each(f)
    }
}

impl<T: Send + Clone> Output<T> for Tee<T> {
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let Some((last, others)) = self.receivers.split_last_mut() else { return Ok(()) };
        for receiver in others {
            self.copy.copy_from(batch);
            receiver.batch(&mut self.copy)?;
        }
        last.batch(batch)
    }

    fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.each(|r| r.watermark(watermark))
    }

    fn idle(&mut self) -> Result<()> {
        self.each(|r| r.idle())
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.each(|r| r.barrier(barrier))
    }

    fn end(&mut self) -> Result<()> {
        self.each(|r| r.end())
    }
}

impl<T: Send + Clone> Link<T> for Tee<T> {
    fn resume(&mut self) -> Result<Resume> {
        self.resume_each()
    }

    fn room(&self) -> bool {
        self.receivers.iter().all(|r| r.room())
    }

    fn flush(&mut self) -> Result<()> {
        self.each(|r| r.flush())
    }

    fn snapshot_more(&mut self) -> Result<bool> {
        self.snapshot_more_of_each()
    }

    fn due(&self) -> Option<Duration> {
        self.receivers.iter().filter_map(|r| r.due()).min()
    }

    fn tick(&mut self, now: Now) -> Result<()> {
        self.each(|r| r.tick(now))
    }
}

/// Hands every record to one of two receivers, by its type, and every other event to both.
pub(crate) struct Split<L, R> {
    tee: Tee<Either<L, R>>,
    sides: [Batch<Either<L, R>>; 2],
}

impl<L, R> Split<L, R> {
    pub(crate) fn new(receivers: Vec<Box<dyn Link<Either<L, R>>>>) -> Split<L, R> {
        Split { tee: Tee::new(receivers), sides: [Batch::new(), Batch::new()] }
    }
}

impl<L: Send, R: Send> Output<Either<L, R>> for Split<L, R> {
    fn batch(&mut self, batch: &mut Batch<Either<L, R>>) -> Result<()> {
        let right = |record: &Either<L, R>| usize::from(matches!(record, Either::Right(_)));
        let split = batch.scatter(&mut self.sides, &mut 0, right);
        split.map_err(|side| Error::internal(format!("a split has no side {side}")))?;
        for (receiver, side) in self.tee.receivers.iter_mut().zip(&mut self.sides) {
            if !side.is_empty() {
                receiver.batch(side)?;
                side.clear();
            }
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.tee.each(|r| r.watermark(watermark))
    }

    fn idle(&mut self) -> Result<()> {
        self.tee.each(|r| r.idle())
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.tee.each(|r| r.barrier(barrier))
    }

    fn end(&mut self) -> Result<()> {
        self.tee.each(|r| r.end())
    }
}

impl<L: Send, R: Send> Link<Either<L, R>> for Split<L, R> {
    fn resume(&mut self) -> Result<Resume> {
        self.tee.resume_each()
    }

    fn room(&self) -> bool {
        self.tee.receivers.iter().all(|r| r.room())
    }

    fn flush(&mut self) -> Result<()> {
        self.tee.each(|r| r.flush())
    }

    fn snapshot_more(&mut self) -> Result<bool> {
        self.tee.snapshot_more_of_each()
    }

    fn due(&self) -> Option<Duration> {
        self.tee.receivers.iter().filter_map(|r| r.due()).min()
    }

    fn tick(&mut self, now: Now) -> Result<()> {
        self.tee.each(|r| r.tick(now))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// The end of a test's chain: writes down what comes, and has room only when it is told so.
    #[derive(Clone, Default)]
    struct Log {
        events: Arc<Mutex<Vec<String>>>,
        full: bool,
    }

    impl Log {
        fn add(&self, event: String) -> Result<()> {
            self.events.lock().expect("not poisoned").push(event);
            Ok(())
        }
    }

    impl Output<u64> for Log {
        fn batch(&mut self, batch: &mut Batch<u64>) -> Result<()> {
            self.add(format!("{:?}", batch.records()))
        }

        fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
            self.add(format!("watermark {watermark:?}"))
        }

        fn idle(&mut self) -> Result<()> {
            self.add("idle".into())
        }

        fn barrier(&mut self, barrier: Barrier) -> Result<()> {
            self.add(format!("barrier {}", barrier.epoch))
        }

        fn end(&mut self) -> Result<()> {
            self.add("end".into())
        }
    }

    impl Link<u64> for Log {
        fn resume(&mut self) -> Result<Resume> {
            Ok(Resume::Clear)
        }

        fn room(&self) -> bool {
            !self.full
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    /// Pushes one record per call, and has more to say at a watermark and at the end.
    #[derive(Default)]
    struct OneByOne(Vec<u64>);

    impl OneByOne {
        fn push(&mut self, out: &mut dyn Output<u64>) -> Result<()> {
            out.batch(&mut Batch::from_iter([self.0.remove(0)]))
        }
    }

    impl Operator<u64, u64> for OneByOne {
        fn process(&mut self, batch: &mut Batch<u64>, out: &mut dyn Output<u64>) -> Result<()> {
            self.0.extend(batch.drain());
            self.push(out)
        }

        fn watermark(&mut self, watermark: Timestamp, _out: &mut dyn Output<u64>) -> Result<Option<Timestamp>> {
            assert!(!self.pending(), "told of a watermark while something was pending");
            self.0 = vec![10, 11];
            Ok(Some(watermark))
        }

        fn end(&mut self, _out: &mut dyn Output<u64>) -> Result<()> {
            assert!(!self.pending(), "told of the end while something was pending");
            self.0 = vec![20];
            Ok(())
        }

        fn pending(&self) -> bool {
            !self.0.is_empty()
        }

        fn resume(&mut self, out: &mut dyn Output<u64>) -> Result<()> {
            self.push(out)
        }
    }

    fn link(log: &Log) -> OperatorLink<u64, OneByOne, u64> {
        let context = OperatorContext::new("one by one", "o", 0, 1);
        OperatorLink::new(OneByOne::default(), context, Box::new(log.clone()))
    }

    #[test]
    fn nothing_overtakes_what_an_operator_has_pending() {
        let log = Log::default();
        let mut link = link(&log);
        // An operator before this one pushes a batch and its watermark in one call.
        link.batch(&mut Batch::from_iter([1, 2, 3])).expect("a batch");
        link.watermark(Timestamp::from_millis(5)).expect("a watermark");
        while link.resume().expect("no failure") == Resume::More {}
        link.barrier(Barrier { epoch: 1 }).expect("a barrier");
        link.end().expect("an end");
        while link.resume().expect("no failure") == Resume::More {}
        let events = log.events.lock().expect("not poisoned").join(", ");
        assert_eq!(events, "[1], [2], [3], [10], [11], watermark 5ms, barrier 1, [20], end");
    }

    #[test]
    fn an_operator_is_not_resumed_without_room_behind_it() {
        let log = Log { full: true, ..Log::default() };
        let mut link = link(&log);
        link.batch(&mut Batch::from_iter([1, 2])).expect("a batch");
        assert_eq!(link.resume().expect("no failure"), Resume::Blocked);
        assert_eq!(*log.events.lock().expect("not poisoned"), ["[1]"]);
    }
}
