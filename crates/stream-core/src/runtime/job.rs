//! Running a plan: building subtasks, dealing them to threads, coordinating epochs, ending well.
//!
//! 1. The job thread opens sinks and sources and builds every chain, from its end to its head.
//! 2. One thread per slot drives all subtasks with that index (docs/decisions/0001-execution-model.md).
//! 3. The job thread goes on as the coordinator: it starts epochs, collects reports and lets sources commit.
//! 4. When every thread has ended, the final positions are committed and the result is handed over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Erased, Graph, Logic, NodeId, Partitioning};
use crate::operator::OperatorContext;
use crate::plan::Plan;
use crate::runtime::coordinator::{CompletedEpoch, Control, Epochs, Report, Reporter};
use crate::runtime::link::{LinkContext, guard};
use crate::runtime::subtask::{Step, Subtask};
use crate::source::{Committer, SourceContext};
use crate::thread::{self, Waker};

/// How long an idle thread sleeps at most. Every event wakes it; this only bounds what a lost wake could cost. Our own
/// tests don't forgive one.
const MAX_SLEEP: Duration = if cfg!(test) { Duration::from_secs(3600) } else { Duration::from_millis(100) };

/// How long to wait before a final commit is tried again.
const COMMIT_RETRY: Duration = Duration::from_millis(500);

/// A running job.
///
/// Dropping the handle does not stop the job.
#[derive(Clone)]
pub struct JobHandle {
    name: Arc<str>,
    control: Arc<Control>,
    finished: Arc<AtomicBool>,
    result: Arc<Mutex<Option<JoinHandle<Result<JobReport>>>>>,
}

/// What a finished job has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobReport {
    /// How many epochs were completed, the final one included.
    pub epochs: u64,
}

impl JobHandle {
    /// The job's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends the job well: sources stop where they are, what is under way is drained and flushed, positions are
    /// committed. Returns at once; [`JobHandle::wait`] tells when it is done.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Ends the job now: nothing is drained, flushed or committed. What was read since the last commit is read again
    /// by the next run.
    pub fn abort(&self) {
        self.control.abort();
    }

    /// Waits until the job has ended.
    ///
    /// # Errors
    /// The first error that stopped the job; `Internal` if somebody has already waited for it.
    pub fn wait(&self) -> Result<JobReport> {
        let thread = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread.map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(Error::internal("the job's thread panicked")),
            None => {
                let error = Error::internal(format!("the result of job `{}` was already taken", self.name));
                Err(error.with_hint("call wait on one clone of the handle only"))
            }
        }
    }

    /// Whether the job has ended.
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }
}

/// Starts a planned job.
pub(crate) fn start(plan: Plan, graph: Graph, exchange_bytes: usize) -> Result<JobHandle> {
    let control = Arc::new(Control::default());
    let name: Arc<str> = plan.job.as_str().into();
    let finished = Arc::new(AtomicBool::new(false));
    let (shared, over) = (control.clone(), finished.clone());
    let thread = thread::spawn(&format!("{name}-coordinator"), move || {
        let result = coordinate(Job::new(plan, graph, shared, exchange_bytes));
        over.store(true, Ordering::Release);
        result
    })?;
    Ok(JobHandle { name, control, finished, result: Arc::new(Mutex::new(Some(thread))) })
}

/// Everything the job's thread does. The threads have ended and user objects are dropped when it returns.
fn coordinate(mut job: Job) -> Result<JobReport> {
    let control = job.control.clone();
    let result = guard(|| job.open().and_then(|()| job.run()));
    if result.is_err() {
        control.abort();
    }
    job.join();
    // Dropping sources, sinks and committers runs user code.
    let dropped = guard(|| {
        drop(job);
        Ok(())
    });
    result.and_then(|report| dropped.map(|()| report))
}

/// Subtasks of one slot, driven by one thread.
#[derive(Default)]
struct Slot {
    waker: Waker,
    subtasks: Vec<Box<dyn Subtask>>,
}

struct Job {
    plan: Plan,
    graph: Graph,
    control: Arc<Control>,
    exchange_bytes: usize,
    slots: Vec<Slot>,
    threads: Vec<JoinHandle<()>>,
    reporter: Arc<Reporter>,
    reports: mpsc::Receiver<Report>,
    epochs: Epochs,
    committers: Vec<(OperatorContext, Box<dyn Committer>)>,
    clock: SystemClock,
    /// Wakes the coordinator when it waits for its next try of the final commit.
    waker: Waker,
}

/// The channel ends that wait for their subtasks: senders by (edge, sender), receivers by (edge, receiver).
#[derive(Default)]
struct Exchanges {
    senders: BTreeMap<(usize, usize), Vec<Erased>>,
    receivers: BTreeMap<(usize, usize), Vec<Erased>>,
}

impl Job {
    fn new(plan: Plan, graph: Graph, control: Arc<Control>, exchange_bytes: usize) -> Job {
        let (sender, reports) = mpsc::channel();
        let slots = plan.chains.iter().map(|c| c.parallelism).max().unwrap_or(0);
        Job {
            plan,
            graph,
            control,
            exchange_bytes,
            slots: (0..slots).map(|_| Slot::default()).collect(),
            threads: Vec::new(),
            reporter: Arc::new(Reporter::new(sender)),
            reports,
            epochs: Epochs::default(),
            committers: Vec::new(),
            clock: SystemClock::new(),
            waker: Waker::new(),
        }
    }

    /// Opens sources, builds all subtasks and starts the threads.
    fn open(&mut self) -> Result<()> {
        for waker in self.slots.iter().map(|s| &s.waker).chain([&self.waker]) {
            self.control.add_waker(waker.clone());
        }
        let opened = self.build_all();
        if self.control.is_aborting() {
            // What gave up because of that is no news of its own.
            return Err(self.aborted());
        }
        opened.and_then(|()| self.start_threads())
    }

    fn build_all(&mut self) -> Result<()> {
        let mut exchanges = self.build_exchanges();
        // Sinks open before sources, receivers before senders: a chain is built when all it feeds exists.
        for chain in (0..self.plan.chains.len()).rev() {
            let (head, parallelism) = (self.plan.chains[chain].head, self.plan.chains[chain].parallelism);
            for subtask in 0..parallelism {
                if !self.plan.node(head).is_source {
                    let next = self.build_link(head, subtask, &mut exchanges)?;
                    let gate = self.gate(head, subtask, next, &mut exchanges)?;
                    self.slots[subtask].subtasks.push(gate);
                }
            }
        }
        for chain in 0..self.plan.chains.len() {
            let head = self.plan.chains[chain].head;
            if self.plan.node(head).is_source {
                self.open_source(head, &mut exchanges)?;
            }
        }
        Ok(())
    }

    fn context(&self, node: NodeId, subtask: usize) -> LinkContext {
        let planned = self.plan.node(node);
        LinkContext {
            operator: OperatorContext::new(&*planned.name, &*planned.uid, subtask, planned.parallelism),
            waker: self.slots[subtask].waker.clone(),
            reporter: self.reporter.clone(),
            control: self.control.clone(),
        }
    }

    fn build_exchanges(&self) -> Exchanges {
        let mut exchanges = Exchanges::default();
        for (index, edge) in self.plan.edges.iter().enumerate().filter(|(_, e)| !e.chained) {
            let Some(ops) = self.graph.nodes[edge.from.0].output else { continue };
            let (senders, receivers) = (self.plan.node(edge.from).parallelism, self.plan.node(edge.to).parallelism);
            for sender in 0..senders {
                for receiver in 0..receivers {
                    if edge.partitioning == Partitioning::Forward && sender != receiver {
                        continue;
                    }
                    let wakers = (self.slots[sender].waker.clone(), self.slots[receiver].waker.clone());
                    let (tx, rx) = (ops.channel)(self.exchange_bytes, wakers.0, wakers.1);
                    exchanges.senders.entry((index, sender)).or_default().push(tx);
                    exchanges.receivers.entry((index, receiver)).or_default().push(rx);
                }
            }
        }
        exchanges
    }

    /// The link that takes the input of `node`, with everything behind it in the chain.
    fn build_link(&mut self, node: NodeId, subtask: usize, exchanges: &mut Exchanges) -> Result<Erased> {
        let context = self.context(node, subtask);
        let operator = context.operator.clone();
        if let Logic::Sink(sink) = &mut self.graph.nodes[node.0].logic {
            self.epochs.add_sink(operator.uid(), subtask);
            return guard(|| sink.link(context)).map_err(|e| e.at(|| operator.place(None)));
        }
        let next = self.build_next(node, subtask, exchanges)?;
        match &mut self.graph.nodes[node.0].logic {
            Logic::Operator(logic) => guard(|| logic.link(context, next)).map_err(|e| e.at(|| operator.place(None))),
            Logic::Source(_) | Logic::Sink(_) => Err(Error::internal("a source or sink stands inside a chain")),
        }
    }

    /// What `node` pushes into: its chained receivers and the writers of its exchanges.
    fn build_next(&mut self, node: NodeId, subtask: usize, exchanges: &mut Exchanges) -> Result<Erased> {
        let Some(ops) = self.graph.nodes[node.0].output else {
            return Err(Error::internal("a node without output feeds another"));
        };
        let edges: Vec<_> = self.plan.edges.iter().copied().enumerate().filter(|(_, e)| e.from == node).collect();
        let mut receivers = Vec::new();
        for (index, edge) in edges {
            if edge.chained {
                receivers.push(self.build_link(edge.to, subtask, exchanges)?);
            } else {
                let senders = exchanges.senders.remove(&(index, subtask)).unwrap_or_default();
                receivers.push((ops.writer)(senders));
            }
        }
        let name = &self.plan.node(node).name;
        match (receivers.len(), self.graph.nodes[node.0].tee) {
            (0, _) => Err(Error::internal(format!("nothing reads the output of `{name}`"))),
            (1, _) => Ok(receivers.remove(0)),
            (_, Some(tee)) => Ok(tee(receivers)),
            (_, None) => Err(Error::internal("a stream is used twice but was never cloned")),
        }
    }

    fn gate(
        &mut self,
        head: NodeId,
        subtask: usize,
        next: Erased,
        exchanges: &mut Exchanges,
    ) -> Result<Box<dyn Subtask>> {
        let edges: Vec<usize> =
            self.plan.edges.iter().enumerate().filter(|(_, e)| e.to == head).map(|(i, _)| i).collect();
        let from = edges.first().map(|i| self.plan.edges[*i].from);
        let ops = from.and_then(|from| self.graph.nodes[from.0].output);
        let Some(ops) = ops else { return Err(Error::internal("an operator has no input")) };
        let receivers =
            edges.iter().flat_map(|i| exchanges.receivers.remove(&(*i, subtask)).unwrap_or_default()).collect();
        Ok((ops.gate)(receivers, next, self.context(head, subtask)))
    }

    fn open_source(&mut self, head: NodeId, exchanges: &mut Exchanges) -> Result<()> {
        let parallelism = self.plan.node(head).parallelism;
        let mut nexts = Vec::new();
        for subtask in 0..parallelism {
            nexts.push(self.build_next(head, subtask, exchanges)?);
        }
        let operator = self.context(head, 0).operator;
        let wakers = self.slots[..parallelism].iter().map(|s| s.waker.clone()).collect();
        let control = self.control.clone();
        let context = SourceContext::new(operator.clone(), wakers, move || control.is_stopping());
        let contexts: Vec<LinkContext> = (0..parallelism).map(|subtask| self.context(head, subtask)).collect();
        let Logic::Source(source) = &mut self.graph.nodes[head.0].logic else {
            return Err(Error::internal("a chain starts with an operator that is no source"));
        };
        let committer = guard(|| source.open(&context)).map_err(|e| e.at(|| operator.place(None)))?;
        for (context, next) in contexts.into_iter().zip(nexts) {
            let subtask = context.operator.subtask();
            self.epochs.add_source(operator.uid(), subtask);
            self.slots[subtask].subtasks.push(source.subtask(context, next)?);
        }
        if let Some(committer) = committer {
            self.committers.push((operator, committer));
        }
        Ok(())
    }

    fn start_threads(&mut self) -> Result<()> {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let slot = std::mem::take(slot);
            let (control, reporter) = (self.control.clone(), self.reporter.clone());
            let name = format!("{}-slot-{index}", self.plan.job);
            self.threads.push(thread::spawn(&name, move || drive(slot, &control, &reporter))?);
        }
        Ok(())
    }

    /// Coordinates until every thread has ended.
    fn run(&mut self) -> Result<JobReport> {
        let interval = self.committers.iter().map(|(_, c)| c.interval()).min();
        let mut next_epoch = interval.map(|i| self.clock.monotonic() + i);
        let mut alive = self.threads.len();
        while alive > 0 {
            let now = self.clock.monotonic();
            if let (Some(interval), Some(due)) = (interval, next_epoch)
                && now >= due
            {
                next_epoch = Some(now + interval);
                if let Some(epoch) = self.epochs.start() {
                    self.control.start_barrier(epoch);
                }
            }
            let wait = next_epoch.map_or(MAX_SLEEP, |due| due.saturating_sub(now).min(MAX_SLEEP));
            match self.reports.recv_timeout(wait) {
                Ok(Report::Failed(error)) => return Err(error),
                Ok(Report::ThreadEnded) => alive -= 1,
                Ok(Report::Positions { uid, subtask, epoch, positions }) => {
                    self.epochs.positions(uid, subtask, epoch, positions);
                }
                Ok(Report::Flushed { uid, subtask, epoch }) => self.epochs.flushed(uid, subtask, epoch),
                Err(_) => {}
            }
            if let Some(completed) = self.epochs.complete() {
                self.commit(&completed)?;
            }
        }
        self.finish()
    }

    /// Lets every source store its positions. An outside system that is away now is tried again with the next epoch.
    fn commit(&mut self, completed: &CompletedEpoch) -> Result<()> {
        if self.control.is_aborting() {
            return Ok(());
        }
        for (operator, committer) in &mut self.committers {
            match commit_one(operator, &mut **committer, completed) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    let (epoch, uid) = (completed.epoch, operator.uid());
                    tracing::warn!(epoch, uid, "positions not committed, the next epoch tries again: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<JobReport> {
        if self.control.is_aborting() {
            return Err(self.aborted());
        }
        let Some(last) = self.epochs.finish() else {
            return Err(Error::internal("the job has ended, but not every sink has flushed"));
        };
        for (operator, committer) in &mut self.committers {
            while let Err(error) = commit_one(operator, &mut **committer, &last) {
                if error.kind() != ErrorKind::Unavailable {
                    return Err(error);
                }
                if self.control.is_aborting() {
                    return Err(aborted(&self.plan.job).with_cause(error));
                }
                tracing::warn!(uid = operator.uid(), "final positions not committed yet: {error}");
                self.waker.park(COMMIT_RETRY);
            }
        }
        Ok(JobReport { epochs: last.epoch })
    }

    fn aborted(&self) -> Error {
        aborted(&self.plan.job)
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic outside user code was already reported by the thread itself.
            let _ = thread.join();
        }
    }
}

fn aborted(job: &str) -> Error {
    Error::new(ErrorKind::User, format!("job `{job}` was aborted"))
        .with_hint("what was read since the last commit is read again by the next run")
}

fn commit_one(operator: &OperatorContext, committer: &mut dyn Committer, completed: &CompletedEpoch) -> Result<()> {
    let positions = completed.positions.get(operator.uid()).map_or(&[][..], Vec::as_slice);
    guard(|| committer.commit(completed.epoch, positions)).map_err(|e| e.at(|| operator.place(None)))?;
    tracing::debug!(epoch = completed.epoch, uid = operator.uid(), "positions committed");
    Ok(())
}

/// The body of a slot's thread. Whatever happens, the coordinator hears of the thread's end.
fn drive(slot: Slot, control: &Control, reporter: &Reporter) {
    let Slot { waker, mut subtasks } = slot;
    let fail = |error| {
        reporter.send(Report::Failed(error));
        control.abort();
    };
    if let Err(error) = guard(|| drive_subtasks(&mut subtasks, &waker, control)) {
        fail(error);
    }
    // After the failure is known, because dropping readers and writers runs their code: it may take its time or panic.
    if let Err(error) = guard(|| {
        subtasks.clear();
        Ok(())
    }) {
        fail(error);
    }
    reporter.send(Report::ThreadEnded);
}

/// Drives the subtasks of one slot until all are done, one step each in turn.
fn drive_subtasks(subtasks: &mut Vec<Box<dyn Subtask>>, waker: &Waker, control: &Control) -> Result<()> {
    while !subtasks.is_empty() && !control.is_aborting() {
        let (mut worked, mut index) = (false, 0);
        while let Some(subtask) = subtasks.get_mut(index) {
            match subtask.step()? {
                Step::Done => {
                    worked = true;
                    drop(subtasks.remove(index));
                }
                step => {
                    worked |= step == Step::Worked;
                    index += 1;
                }
            }
        }
        if !worked {
            waker.park(MAX_SLEEP);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::{Configuration, StreamingContext};

    /// Runs `body` on another thread and fails if it does not end.
    fn ends(body: impl FnOnce() + Send + 'static) {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn("test-body", move || {
            body();
            sender.send(())
        });
        let ended = receiver.recv_timeout(Duration::from_secs(30));
        assert!(ended != Err(mpsc::RecvTimeoutError::Timeout), "hangs: a wake was lost");
        thread.expect("a thread").join().expect("the body has not panicked").expect("the receiver is alive");
    }

    fn context(parallelism: usize) -> StreamingContext {
        StreamingContext::new(Configuration::empty()).parallelism(parallelism).exchange_bytes(1)
    }

    #[test]
    fn no_wake_is_lost_between_subtasks() {
        for round in 0..150 {
            let (parallelism, seen) = (round % 3 + 1, Arc::new(AtomicU64::new(0)));
            let count = seen.clone();
            ends(move || {
                let ctx = context(parallelism);
                let numbers = ctx.generate(2000, |x| x).rebalance().flat_map(|x| [x; 3]);
                let odd = numbers.clone().filter(|x| x % 2 == 1).rebalance().map(|x| x).parallelism(2);
                numbers.union([odd]).rebalance().for_each(move |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
                ctx.execute("wakes").expect("the job succeeds");
            });
            assert_eq!(seen.load(Ordering::Relaxed), 9000);
        }
    }

    #[test]
    fn stop_and_abort_wake_everybody() {
        for round in 0..60 {
            ends(move || {
                let (sender, receiver) = mpsc::channel();
                let ctx = context(round % 3 + 1);
                ctx.generate(u64::MAX, |x| x).rebalance().for_each(move |_| {
                    // Nobody listens any more after the first record.
                    let _ = sender.send(());
                });
                let handle = ctx.start("endless").expect("a valid job");
                receiver.recv().expect("a first record");
                if round % 2 == 0 {
                    handle.stop()
                } else {
                    handle.abort()
                }
                assert_eq!(handle.wait().is_ok(), round % 2 == 0);
            });
        }
    }
}
