//! Running a job with threads: starting them, letting them drive their subtasks, ending well.
//!
//! 1. The job thread builds all subtasks ([`super::build`]).
//! 2. One thread per slot drives all subtasks with that index (docs/decisions/0001-execution-model.md).
//! 3. The job thread goes on as the coordinator ([`super::coordinator`]): it waits for reports and the next epoch.
//! 4. Checkpoints are stored by a thread of their own ([`super::storing`]).
//! 5. When every thread has ended, the final positions are committed and the result is handed over. A job that failed is
//!    built and run again, from its last checkpoint, as its restart strategy says.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::checkpoint::CheckpointStore;
use crate::checkpoint::ledger::{Ledger, Writer};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::plan::Plan;
use crate::random::Random;
use crate::runtime::adoption::{Adopted, Adoption, Commits, Wanted};
use crate::runtime::build::{Build, Slot};
use crate::runtime::checkpoint::Checkpoint;
use crate::runtime::control::Control;
use crate::runtime::coordinator::{CheckpointCounts, Coordinator, Demand, Report, Reporter, Request};
use crate::runtime::link::guard;
use crate::runtime::restart::Restarts;
use crate::runtime::restore;
use crate::runtime::schedule::Rhythm;
use crate::runtime::storing::Storing;
use crate::runtime::subtask::{Step, Subtask};
use crate::settings::RestartStrategy;
use crate::thread::{self, Waker};
use crate::transaction::TransactionRun;

/// How long an idle thread sleeps at most. Every event wakes it; this only bounds what a lost wake could cost. Our own
/// tests don't forgive one.
const MAX_SLEEP: Duration = if cfg!(test) { Duration::from_secs(3600) } else { Duration::from_millis(100) };

/// How long a job that is aborted waits for the thread that stores checkpoints.
const HURRY: Duration = Duration::from_millis(500);

/// How long a run that has not taken over yet gives way to others that try the same, in pauses of random length.
const GIVING_WAY: Duration = Duration::from_secs(120);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A running job.
///
/// Dropping the handle does not stop the job.
#[derive(Clone)]
pub struct JobHandle {
    name: Arc<str>,
    switch: Arc<Switch>,
    finished: Arc<AtomicBool>,
    result: Arc<Mutex<Option<JoinHandle<Result<JobReport>>>>>,
}

/// What a finished job has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobReport {
    /// How many epochs were completed, the final one included.
    pub epochs: u64,
    /// What became of the checkpoints of the last attempt.
    pub checkpoints: CheckpointCounts,
    /// How often the job was restarted.
    pub restarts: u32,
}

impl JobHandle {
    /// The job's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends the job well. Returns at once; [`JobHandle::wait`] tells when it is done.
    ///
    /// With checkpoints, sources stop where they are and a last checkpoint is taken; the next run goes on from it.
    /// Without, what is under way is drained and flushed, and positions are committed. A job that still waits for an
    /// outside system gives up the wait.
    pub fn stop(&self) {
        self.switch.stop();
    }

    /// Ends the job now: nothing is drained, flushed or committed. What was read since the last commit or checkpoint is
    /// read again by the next run.
    pub fn abort(&self) {
        self.switch.abort();
    }

    /// Takes a checkpoint now, besides those of the interval, and waits until it is durable and published. Returns its
    /// number, by which `run --from` finds it.
    ///
    /// # Errors
    /// `Config` if the job takes no checkpoints, `Unavailable` if this one fails, or if the job ends or is restarted first.
    pub fn checkpoint(&self) -> Result<u64> {
        if !self.switch.ends_with_checkpoint {
            let message = format!("job `{}` takes no checkpoints", self.name);
            return Err(Error::new(ErrorKind::Config, message).with_hint("set execution.checkpointing.interval"));
        }
        let (answer, answered) = mpsc::channel();
        self.switch.demand(answer);
        answered.recv().unwrap_or_else(|_| {
            let message = format!("job `{}` has ended or is restarted: no checkpoint was taken", self.name);
            Err(Error::new(ErrorKind::Unavailable, message))
        })
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

/// What the handle has asked for; it outlives the attempts to run the job.
struct Switch {
    ends_with_checkpoint: bool,
    stopping: AtomicBool,
    aborting: AtomicBool,
    /// Wakes the job's thread when it waits for its next attempt, or for the next try of the final commit.
    waker: Waker,
    /// The attempt under way.
    control: Mutex<Arc<Control>>,
}

impl Switch {
    fn new(ends_with_checkpoint: bool) -> Switch {
        Switch {
            ends_with_checkpoint,
            stopping: AtomicBool::new(false),
            aborting: AtomicBool::new(false),
            waker: Waker::new(),
            control: Mutex::new(Arc::new(Control::new(ends_with_checkpoint))),
        }
    }

    fn control(&self) -> Arc<Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another attempt; it hears of everything that was asked for before.
    fn renew(&self) -> Arc<Control> {
        let control = Arc::new(Control::new(self.ends_with_checkpoint));
        let before = {
            let mut current = self.control.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, control.clone())
        };
        before.take_demands().into_iter().for_each(|demand| control.demand(demand));
        if self.aborting.load(Ordering::Acquire) {
            control.abort();
        } else if self.is_off() {
            control.stop();
        }
        control
    }

    /// Under the lock, so that no demand stays behind with an attempt that is over.
    fn demand(&self, demand: Demand) {
        self.control.lock().unwrap_or_else(PoisonError::into_inner).demand(demand);
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.control().stop();
        self.waker.wake();
    }

    fn abort(&self) {
        self.aborting.store(true, Ordering::Release);
        self.stopping.store(true, Ordering::Release);
        self.control().abort();
        self.waker.wake();
    }

    /// Whether the job is not to go on.
    fn is_off(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn is_aborting(&self) -> bool {
        self.aborting.load(Ordering::Acquire)
    }
}

/// What lets a job survive.
pub(crate) struct Endurance {
    pub(crate) restart: RestartStrategy,
    pub(crate) durability: Option<Durability>,
    /// Keeps two deployments of one job apart.
    pub(crate) application: String,
    pub(crate) commits: Commits,
}

/// How checkpoints are taken, and what the job goes on from.
pub(crate) struct Durability {
    pub(crate) store: Arc<dyn CheckpointStore>,
    pub(crate) rhythm: Rhythm,
    pub(crate) retained: usize,
    /// A checkpoint to go on from instead of the newest.
    pub(crate) from: Option<u64>,
    /// Even if what was committed since then appears again.
    pub(crate) rewind: bool,
    /// Sources go on at the positions of their groups.
    pub(crate) accept_offset_reset: bool,
    pub(crate) allow_non_restored: bool,
}

/// Starts a planned job.
pub(crate) fn start(plan: Plan, graph: Graph, endurance: Endurance) -> Result<JobHandle> {
    let switch = Arc::new(Switch::new(endurance.durability.is_some()));
    let name: Arc<str> = plan.job.as_str().into();
    let run = transaction_run(&plan, &endurance, switch.clone());
    let finished = Arc::new(AtomicBool::new(false));
    let (shared, over) = (switch.clone(), finished.clone());
    let thread = thread::spawn(&format!("{name}-coordinator"), move || {
        let result = Attempts::new(shared.clone(), endurance, run).run(plan, graph);
        shared.control().refuse_demands();
        over.store(true, Ordering::Release);
        result
    })?;
    Ok(JobHandle { name, switch, finished, result: Arc::new(Mutex::new(Some(thread))) })
}

fn transaction_run(plan: &Plan, endurance: &Endurance, switch: Arc<Switch>) -> TransactionRun {
    let rhythm = endurance.durability.as_ref().map(|durability| durability.rhythm);
    TransactionRun {
        application: endurance.application.as_str().into(),
        job: plan.job.as_str().into(),
        interval: rhythm.map_or(Duration::ZERO, |rhythm| rhythm.interval),
        checkpoint_timeout: rhythm.and_then(|rhythm| rhythm.timeout).unwrap_or_default(),
        tolerable_failures: rhythm.and_then(|rhythm| rhythm.tolerable).unwrap_or_default(),
        stopping: Arc::new(move || switch.is_off()),
    }
}

/// Runs a job until it ends or may not be restarted any more.
struct Attempts {
    switch: Arc<Switch>,
    durability: Option<Durability>,
    run: TransactionRun,
    adoption: Adoption,
    restarts: Restarts,
    random: Random,
    /// How often the job was restarted.
    restarted: u32,
    clock: Arc<SystemClock>,
    /// Present between attempts, once the store has been taken over, if it says by itself what counts.
    ledger: Option<Ledger>,
    /// Present between attempts.
    commits: Commits,
    /// The first attempt goes on at the positions of the groups.
    accept_offset_reset: bool,
}

impl Attempts {
    fn new(switch: Arc<Switch>, endurance: Endurance, run: TransactionRun) -> Attempts {
        #[expect(clippy::disallowed_methods, reason = "every run must have another incarnation")]
        let seed = RandomState::new().hash_one(0);
        let restarts = Restarts::new(endurance.restart, seed);
        let Endurance { durability, commits, .. } = endurance;
        let (clock, adoption) = (Arc::new(SystemClock::new()), Adoption::new(format!("{seed:016x}")));
        let random = Random::new(seed);
        let accept_offset_reset = durability.as_ref().is_some_and(|durability| durability.accept_offset_reset);
        Attempts {
            accept_offset_reset,
            switch,
            durability,
            run,
            adoption,
            restarts,
            random,
            restarted: 0,
            clock,
            ledger: None,
            commits,
        }
    }

    fn run(mut self, plan: Plan, graph: Graph) -> Result<JobReport> {
        let mut parts = Some((plan, graph));
        while let Some((plan, mut graph)) = parts.take() {
            let control = self.switch.renew();
            let result = match guard(|| self.take_over(&plan, &mut graph)) {
                Ok(adopted) => {
                    let (result, rest) = self.attempt(plan, graph, control, adopted);
                    parts = rest;
                    result
                }
                Err(error) => {
                    parts = Some((plan, graph));
                    let is_stopped = self.switch.is_off() && !self.switch.is_aborting();
                    match error.kind() {
                        ErrorKind::Unavailable if is_stopped => Ok(stopped_early(&error)),
                        _ => Err(error),
                    }
                }
            };
            let goes_on = match &result {
                Ok(_) => false,
                Err(error) => parts.is_some() && self.wants_another(error),
            };
            if !goes_on {
                let result = result.map_err(|error| self.reason(error));
                if let Some(transactions) = self.commits.transactions() {
                    transactions.abandon();
                }
                // Dropping sources and sinks runs user code.
                let dropped = guard(|| {
                    drop(parts);
                    Ok(())
                });
                let report = result.and_then(|report| dropped.map(|()| report))?;
                return Ok(JobReport { restarts: self.restarted, ..report });
            }
        }
        Err(Error::internal("a job has ended without a result"))
    }

    /// Whether the job is restarted after this failure; returns when it is time.
    fn wants_another(&mut self, error: &Error) -> bool {
        if self.switch.is_off() || !self.adoption.may_restart(error, &self.commits) {
            return false;
        }
        let Some(pause) = self.restarts.failed(self.clock.monotonic()) else {
            if self.restarted > 0 {
                tracing::error!("the job was restarted {} times and is not restarted again", self.restarted);
            }
            return false;
        };
        self.restarted += 1;
        tracing::warn!(restart = self.restarted, "the job has failed and is restarted in {pause:.1?}: {error}");
        !self.wait(pause)
    }

    /// True if the job was stopped meanwhile.
    fn wait(&self, pause: Duration) -> bool {
        let until = self.clock.monotonic() + pause;
        while !self.switch.is_off() {
            let left = until.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return false;
            }
            self.switch.waker.park(left);
        }
        true
    }

    /// Why the job is over, when it is not restarted: where transactions say that it is not theirs, the marker may know
    /// more.
    fn reason(&mut self, error: Error) -> Error {
        let is_unclear = error.kind() == ErrorKind::Fenced && !self.adoption.is_replaced();
        let Commits::All(transactions) = &mut self.commits else { return error };
        if !is_unclear || self.switch.is_aborting() {
            return error;
        }
        let marker = match transactions.marker(&self.run) {
            Ok(marker) => marker,
            Err(unknown) => return error.with_cause(unknown),
        };
        match self.adoption.check(marker.as_ref()) {
            Err(replaced) => replaced,
            Ok(()) => {
                let message = format!("the transaction was lost: {}", error.message());
                let hint = "nothing of it appears, and the next run reads its input again; if it took too long, raise \
                            transaction.timeout.ms, and set a restart-strategy to go on by itself";
                Error::new(ErrorKind::Unavailable, message).with_hint(hint).with_cause(error)
            }
        }
    }

    /// What the next attempt goes on from: the newest checkpoint of this run, or at its first attempt that of the run
    /// before. A run that lost the race to take over tries again.
    fn take_over(&mut self, plan: &Plan, graph: &mut Graph) -> Result<Option<Adopted>> {
        let until = self.clock.monotonic() + GIVING_WAY;
        loop {
            match self.try_to_take_over(plan, graph) {
                Err(error) if self.adoption.may_try_again(&error) && self.clock.monotonic() < until => {
                    let longest = u64::try_from((PAUSE_MAX - PAUSE_MIN).as_millis()).unwrap_or(u64::MAX);
                    let pause = PAUSE_MIN + Duration::from_millis(self.random.next() % longest.max(1));
                    tracing::info!("another run of the job is taking over, trying again in {pause:.1?}: {error}");
                    if self.wait(pause) {
                        return Err(error);
                    }
                }
                taken => return taken,
            }
        }
    }

    fn try_to_take_over(&mut self, plan: &Plan, graph: &mut Graph) -> Result<Option<Adopted>> {
        let Some(durability) = &self.durability else { return Ok(None) };
        let adopted = match self.ledger.take() {
            Some(mut ledger) => {
                let reloaded = ledger.reload();
                match reloaded {
                    Ok(restored) => {
                        let epoch = restored.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.epoch);
                        Adopted { ledger, restored, epoch }
                    }
                    Err(error) => {
                        self.ledger = Some(ledger);
                        return Err(error);
                    }
                }
            }
            None => {
                let writer = Writer {
                    job: plan.job.clone(),
                    incarnation: self.adoption.incarnation().to_owned(),
                    attempt: u64::from(self.restarted),
                    mode: self.commits.mode(),
                    lineage: 0,
                    anew: false,
                    max_parallelism: plan.max_parallelism,
                    retained: durability.retained,
                    now: self.clock.wall(),
                };
                let wanted = Wanted {
                    // A restart goes on from what this run has written itself.
                    sequence: durability.from.filter(|_| !self.adoption.has_adopted()),
                    rewind: durability.rewind,
                    anew: durability.accept_offset_reset && !self.adoption.has_adopted(),
                    strict: plan.nodes.iter().any(|node| node.is_staged),
                };
                let allow = durability.allow_non_restored;
                let check = |checkpoint: &Checkpoint| restore::check(checkpoint, plan, graph, allow);
                self.adoption.take_over(&durability.store, &mut self.commits, &self.run, writer, wanted, check)?
            }
        };
        let restored = &adopted.restored;
        for error in &restored.skipped {
            tracing::warn!("going on from an older checkpoint, more is read again: {error}");
        }
        let location = durability.store.location();
        match &restored.checkpoint {
            Some(checkpoint) => {
                let (sequence, epoch) = (restored.sequence, checkpoint.epoch);
                tracing::info!(epoch, "going on from checkpoint {sequence} in {location}");
            }
            None => tracing::info!("no checkpoint in {location}: the job begins anew"),
        }
        Ok(Some(adopted))
    }

    /// Everything from opening sources to the end. The threads have ended and user objects are dropped when it returns.
    fn attempt(
        &mut self,
        plan: Plan,
        graph: Graph,
        control: Arc<Control>,
        adopted: Option<Adopted>,
    ) -> (Result<JobReport>, Option<(Plan, Graph)>) {
        let rhythm = self.durability.as_ref().map(|durability| durability.rhythm);
        let mut job = Job::new(plan, graph, control.clone(), self.clock.clone(), rhythm);
        if let Some(Adopted { ledger, restored, epoch }) = adopted {
            let own_positions = !std::mem::take(&mut self.accept_offset_reset);
            job.build = job.build.checkpointed(restored.checkpoint, epoch, own_positions);
            job.build.generation = ledger.newest().0;
            job.storing = Some(Storing::new(ledger, std::mem::take(&mut self.commits)));
        }
        let waker = &self.switch.waker;
        control.add_waker(waker.clone());
        let result = guard(|| if job.open()? { job.run(waker) } else { Ok(JobReport::default()) });
        control.abort();
        if let Some(storing) = job.join(self.switch.is_aborting()) {
            (self.ledger, self.commits) = storing.into_parts();
        }
        // Dropping committers and whatever else is left runs user code.
        let mut parts = None;
        let dropped = guard(|| {
            parts = Some(job.build.into_parts());
            Ok(())
        });
        (result.and_then(|report| dropped.map(|()| report)), parts)
    }
}

/// A job that was stopped while it waited for something outside: nothing was read, so nothing is left undone.
fn stopped_early(error: &Error) -> JobReport {
    tracing::info!("stopped before anything was read: {}", error.message());
    JobReport::default()
}

struct Job {
    build: Build,
    coordinator: Coordinator,
    control: Arc<Control>,
    rhythm: Option<Rhythm>,
    threads: Vec<JoinHandle<()>>,
    reports: mpsc::Receiver<Report>,
    clock: Arc<SystemClock>,
    /// Until its thread starts.
    storing: Option<Storing>,
    storer: Option<(mpsc::Sender<Request>, JoinHandle<Storing>)>,
}

impl Job {
    fn new(plan: Plan, graph: Graph, control: Arc<Control>, clock: Arc<SystemClock>, rhythm: Option<Rhythm>) -> Job {
        let coordinator = Coordinator::new(&plan.job, control.clone());
        let (build, reports) = Build::new(plan, graph, control.clone(), clock.clone());
        let threads = Vec::new();
        Job { build, coordinator, control, rhythm, threads, reports, clock, storing: None, storer: None }
    }

    /// Opens sources, builds all subtasks and starts the threads. False if the job was stopped before that: nothing
    /// was read, so nothing is left undone.
    fn open(&mut self) -> Result<bool> {
        let opened = self.build.all();
        if self.control.is_aborting() {
            // What gave up because of that is no news of its own.
            return Err(self.coordinator.aborted());
        }
        match opened {
            Err(error) if error.kind() == ErrorKind::Unavailable && self.control.is_stopping() => {
                stopped_early(&error);
                Ok(false)
            }
            opened => opened.and_then(|()| self.start_threads()).map(|()| true),
        }
    }

    fn start_threads(&mut self) -> Result<()> {
        if self.rhythm.is_some() && self.build.begins_anew() {
            // Before a source can read anything: the coordinator, which says the same, may be late.
            self.control.hold();
        }
        if let Some(mut storing) = self.storing.take() {
            storing.set_committers(std::mem::take(&mut self.build.staged_committers));
            let (sender, requests) = mpsc::channel();
            let (reporter, clock) = (self.build.reporter.clone(), self.clock.clone());
            let name = format!("{}-checkpoints", self.build.job());
            let thread = thread::spawn(&name, move || store(storing, &requests, &reporter, &*clock))?;
            self.storer = Some((sender, thread));
        }
        for index in 0..self.build.slots.len() {
            let slot = std::mem::take(&mut self.build.slots[index]);
            let (control, reporter) = (self.control.clone(), self.build.reporter.clone());
            let name = format!("{}-slot-{index}", self.build.job());
            let clock = self.clock.clone();
            self.threads.push(thread::spawn(&name, move || drive(slot, &*clock, &control, &reporter))?);
        }
        Ok(())
    }

    /// Coordinates until every thread has ended, or the last checkpoint is stored.
    fn run(&mut self, waker: &Waker) -> Result<JobReport> {
        self.coordinator.begin(&mut self.build, self.rhythm, self.threads.len(), self.clock.monotonic());
        loop {
            let now = self.clock.monotonic();
            self.coordinator.tick(now)?;
            if let (Some(request), Some((storer, _))) = (self.coordinator.take_request(), &self.storer)
                && storer.send(request).is_err()
            {
                return Err(Error::internal("the thread that stores checkpoints has ended"));
            }
            if self.coordinator.is_over() || self.control.is_aborting() {
                break;
            }
            let wait = self.coordinator.due().map_or(MAX_SLEEP, |due| due.saturating_sub(now).min(MAX_SLEEP));
            if let Ok(report) = self.reports.recv_timeout(wait) {
                self.coordinator.on_report(report, self.clock.monotonic())?;
            }
        }
        // The failure that made the threads give up comes before their ends.
        while let Ok(report) = self.reports.try_recv() {
            self.coordinator.on_report(report, self.clock.monotonic())?;
        }
        let epochs = self.coordinator.finish(|pause| waker.park(pause))?;
        Ok(JobReport { epochs, checkpoints: self.coordinator.counts(), ..JobReport::default() })
    }

    /// Waits for the threads; for the one that stores checkpoints only if nobody is in a hurry.
    fn join(&mut self, in_a_hurry: bool) -> Option<Storing> {
        for thread in self.threads.drain(..) {
            // A panic outside user code was already reported by the thread itself.
            let _ = thread.join();
        }
        let Some((requests, thread)) = self.storer.take() else { return self.storing.take() };
        drop(requests);
        // Not if it waits for somebody; but whoever has nothing to do can still give its transaction up.
        let since = self.clock.monotonic();
        while in_a_hurry && !thread.is_finished() {
            if self.clock.monotonic() > since + HURRY {
                return None;
            }
            Waker::new().park(Duration::from_millis(5));
        }
        thread.join().ok()
    }
}

/// The body of the thread that stores checkpoints.
fn store(mut storing: Storing, requests: &mpsc::Receiver<Request>, reporter: &Reporter, clock: &dyn Clock) -> Storing {
    while let Ok(request) = requests.recv() {
        let stored = guard(|| storing.store(request, clock.wall()));
        reporter.send(match stored {
            Err(error) if storing.is_lost() => Report::Failed(error),
            stored => Report::Stored(stored),
        });
    }
    // User code, whose panic must not take the ledger along.
    let committers = storing.take_committers();
    let _ = guard(|| {
        drop(committers);
        Ok(())
    });
    storing
}

/// The body of a slot's thread. Whatever happens, the coordinator hears of the thread's end.
fn drive(slot: Slot, clock: &dyn Clock, control: &Control, reporter: &Reporter) {
    let Slot { waker, mut subtasks } = slot;
    let fail = |error| {
        reporter.send(Report::Failed(error));
        control.abort();
    };
    if let Err(error) = guard(|| drive_subtasks(&mut subtasks, &waker, clock, control)) {
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

/// Drives the subtasks of one slot until all are done, each in turn.
fn drive_subtasks(
    subtasks: &mut Vec<Box<dyn Subtask>>,
    waker: &Waker,
    clock: &dyn Clock,
    control: &Control,
) -> Result<()> {
    while !subtasks.is_empty() && !control.is_aborting() {
        let (mut worked, mut index) = (false, 0);
        while let Some(subtask) = subtasks.get_mut(index) {
            let mut step = subtask.step()?;
            for _ in 1..subtask.turn() {
                if step != Step::Worked {
                    break;
                }
                worked = true;
                step = subtask.step()?;
            }
            match step {
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
            let due = subtasks.iter().filter_map(|subtask| subtask.due()).min();
            waker.park(due.map_or(MAX_SLEEP, |due| due.saturating_sub(clock.monotonic()).min(MAX_SLEEP)));
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
