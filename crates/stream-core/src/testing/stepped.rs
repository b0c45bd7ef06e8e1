//! The stepped scheduler: a whole job on the caller's thread, one step of one subtask at a time.
//!
//! It does what the threads of production do, with chance where they have concurrency:
//!
//! 1. A subtask is awake or resting. One that has no input or no room rests; when another of its slot works, or the
//!    slot's waker is called, it is awake again. Nothing else wakes it, so a lost wake shows as a job that rests.
//! 2. A seed picks one of the subtasks that are awake, and that one takes a step.
//! 3. Reports go to the coordinator; the time it sees is a [`VirtualClock`].

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::checkpoint::CheckpointStore;
use crate::checkpoint::ledger::Writer;
use crate::clock::Clock;
use crate::context::StreamingContext;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::plan::Plan;
use crate::random::Random;
use crate::runtime::adoption::{Adopted, Adoption, Commits, Wanted};
use crate::runtime::build::{Build, Slot};
use crate::runtime::checkpoint::Checkpoint;
use crate::runtime::control::Control;
use crate::runtime::coordinator::{Coordinator, Report, Request};
use crate::runtime::job::JobReport;
use crate::runtime::link::guard;
use crate::runtime::restore;
use crate::runtime::storing::Storing;
use crate::runtime::subtask::{Step, Subtask};
use crate::testing::clock::VirtualClock;
use crate::thread::Waker;
use crate::transaction::TransactionRun;

/// How many steps one call may take: a job that never rests has to fail its test, not to hang it.
const STEPS_MAX: u64 = if cfg!(test) { 1000 } else { 1_000_000 };

/// How many steps the trace remembers.
const TRACE_MAX: usize = 100_000;

/// How often the final commit is tried before the job is given up.
const FINAL_COMMITS_MAX: u32 = 20;

/// A job whose every step is chosen by a seed: no thread is started, no real time passes.
///
/// Dropping it is a crash: nothing is drained, flushed or committed. Sources and sinks that wake their subtask from a
/// thread of their own make it depend on that thread; use ones that don't.
///
/// # Example
/// ```
/// use stream_core::testing::SteppedJob;
/// use stream_core::{Configuration, StreamingContext};
///
/// let run = |seed| {
///     let ctx = StreamingContext::new(Configuration::empty()).parallelism(2);
///     let numbers = ctx.generate(100, |x| x).rebalance().map(|x| x * x).collect();
///     let mut job = SteppedJob::new(ctx, "squares", seed)?;
///     job.run()?;
///     Ok::<_, stream_core::Error>((job.trace(), numbers.take()))
/// };
/// assert_eq!(run(7)?, run(7)?);
/// # Ok::<(), stream_core::Error>(())
/// ```
pub struct SteppedJob {
    job: String,
    control: Arc<Control>,
    /// Whether stopping takes a last checkpoint, as in production with checkpoints.
    ends_with_checkpoint: bool,
    /// Survives crashes.
    store: Arc<dyn CheckpointStore>,
    /// Tells the runs of this job from those of another on the same store.
    seed: u64,
    /// How many runs there were.
    incarnation: u64,
    adoption: Adoption,
    /// How often this run was restarted.
    restarts: u64,
    /// What to go on from in place of what counts, at the first start only.
    wanted: Wanted,
    /// Present between runs.
    commits: Commits,
    /// Present once a job that may be restarted has failed.
    rest: Option<(Plan, Graph)>,
    run: TransactionRun,
    clock: VirtualClock,
    random: Random,
    /// The longest that a step may take on the virtual clock.
    step_time: Duration,
    /// How often an epoch ends at least.
    interval: Option<Duration>,
    trace: Trace,
    /// Present until the job has ended.
    running: Option<Running>,
    outcome: Option<Result<JobReport>>,
}

/// What exists while the job runs. It is dropped in this order, as in production: subtasks, sources and sinks, committers.
struct Running {
    slots: Vec<SteppedSlot>,
    build: Build,
    coordinator: Coordinator,
    reports: mpsc::Receiver<Report>,
    storing: Storing,
    /// A checkpoint that waits to be stored.
    request: Option<Request>,
}

struct SteppedSlot {
    waker: Waker,
    subtasks: Vec<SteppedSubtask>,
    ended: bool,
}

struct SteppedSubtask {
    /// Its index in the trace's names.
    name: usize,
    subtask: Box<dyn Subtask>,
    resting: bool,
}

#[derive(Default)]
struct Trace {
    names: Vec<String>,
    steps: VecDeque<(Duration, usize, Done)>,
}

/// What there is to be said of a step, or of what came between two.
#[derive(Clone, Copy)]
enum Done {
    Step(Step),
    /// A checkpoint was stored.
    Store,
    /// The job crashed and went on from this epoch.
    Crash(u64),
}

impl SteppedJob {
    /// Plans the job and opens its sinks and sources; the same `seed` gives the same trace.
    ///
    /// # Errors
    /// `Config` for mistakes in the description; whatever sinks and sources return when they open.
    pub fn new(context: StreamingContext, job: &str, seed: u64) -> Result<SteppedJob> {
        SteppedJob::on_clock(context, job, seed, VirtualClock::new())
    }

    /// As [`new`](SteppedJob::new), on a clock that others live by, too. The seed is part of what the run is called: jobs
    /// on the same store and cluster need different ones.
    ///
    /// # Errors
    /// As [`new`](SteppedJob::new).
    pub fn on_clock(context: StreamingContext, job: &str, seed: u64, clock: VirtualClock) -> Result<SteppedJob> {
        let (ends_with_checkpoint, store) = context.stepped_durability();
        let (commits, run) = context.stepped_commits(job);
        let wanted = context.stepped_wanted();
        let (plan, graph) = context.planned(job)?;
        let mut stepped = SteppedJob {
            job: job.to_owned(),
            control: Arc::new(Control::default()),
            ends_with_checkpoint,
            store,
            seed,
            incarnation: 0,
            adoption: Adoption::new(String::new()),
            restarts: 0,
            wanted,
            commits,
            rest: None,
            run,
            clock,
            random: Random::new(seed),
            step_time: Duration::ZERO,
            interval: None,
            trace: Trace::default(),
            running: None,
            outcome: None,
        };
        stepped.renew_incarnation();
        stepped.launch(plan, graph)?;
        stepped.open()?;
        Ok(stepped)
    }

    /// Lets every step take a random time of up to `limit` on the virtual clock, so that epochs end between any two
    /// steps; by default steps take no time.
    pub fn set_step_time(&mut self, limit: Duration) {
        self.step_time = limit;
    }

    /// Lets an epoch end at least this often, with a checkpoint; by default as often as sources want to commit.
    pub fn set_checkpoint_interval(&mut self, interval: Duration) {
        self.interval = Some(interval);
        if let Some(running) = &mut self.running {
            running.coordinator.shorten_interval(interval, self.clock.monotonic());
        }
    }

    /// Ends the job as `kill -9` would, and goes on from its last checkpoint, or from the beginning: sources are read
    /// again from the positions of the checkpoint, operators get back what they wrote at its barrier. Returns the epoch
    /// it goes on from, 0 for the beginning.
    ///
    /// # Errors
    /// `Config` if a source can't be read again; whatever operators return when they restore.
    pub fn crash(&mut self) -> Result<u64> {
        self.crash_into(None)
    }

    /// As [`crash`](SteppedJob::crash), with another parallelism of all operators that have no parallelism of their
    /// own.
    ///
    /// # Errors
    /// As [`crash`](SteppedJob::crash).
    ///
    /// # Panics
    /// If `parallelism` is 0.
    pub fn crash_and_rescale(&mut self, parallelism: usize) -> Result<u64> {
        assert!(parallelism > 0, "parallelism counts subtasks: at least 1");
        self.crash_into(Some(parallelism))
    }

    /// Restarts a job that has failed, within the process, as its restart strategy would: the run keeps its incarnation.
    /// May be called again when it fails.
    ///
    /// # Errors
    /// Why the job has failed, if no strategy would restart it after that; as [`crash`](SteppedJob::crash).
    pub fn restart(&mut self) -> Result<()> {
        let Some(Err(error)) = &self.outcome else { return Ok(()) };
        let error = error.clone();
        let Some((plan, graph)) = self.rest.take().filter(|_| self.adoption.may_restart(&error, &self.commits)) else {
            return Err(error);
        };
        self.outcome = None;
        self.restarts += 1;
        if let Err(error) = self.launch(plan, graph) {
            self.outcome = Some(Err(error.clone()));
            return Err(error);
        }
        self.open()
    }

    /// The epoch that a crash would go on from.
    pub(crate) fn checkpointed_epoch(&self) -> u64 {
        self.running.as_ref().map_or(0, |running| running.storing.ledger.newest().1)
    }

    fn crash_into(&mut self, parallelism: Option<usize>) -> Result<u64> {
        let Some(running) = self.running.take() else { return self.outcome().map(|_| 0) };
        // Whoever is told to give up now drops what it has without another word.
        self.control.abort();
        let Running { slots, build, coordinator, reports, storing, request: _ } = running;
        drop((slots, coordinator, reports));
        self.commits = storing.into_parts().1;
        let (plan, graph) = build.into_parts();
        let plan = match parallelism {
            Some(parallelism) => plan.rescaled(&graph, parallelism)?,
            None => plan,
        };
        self.renew_incarnation();
        let epoch = self.launch(plan, graph)?;
        self.trace.crashed(self.clock.monotonic(), epoch);
        self.open()?;
        Ok(epoch)
    }

    /// What follows is another run of the program.
    fn renew_incarnation(&mut self) {
        self.incarnation += 1;
        self.restarts = 0;
        self.adoption = Adoption::new(format!("{:x}.{}", self.seed, self.incarnation));
    }

    /// Takes the store over and makes everything that a run of the job needs. Returns the epoch that it goes on from.
    fn launch(&mut self, plan: Plan, mut graph: Graph) -> Result<u64> {
        self.control = Arc::new(Control::new(self.ends_with_checkpoint));
        let adoption = &mut self.adoption;
        let writer = Writer {
            job: self.job.clone(),
            incarnation: adoption.incarnation().to_owned(),
            attempt: self.restarts,
            mode: self.commits.mode(),
            lineage: 0,
            anew: false,
            max_parallelism: plan.max_parallelism,
            retained: 3,
            now: self.clock.wall(),
        };
        let check = |checkpoint: &Checkpoint| restore::check(checkpoint, &plan, &mut graph, false);
        let adopted =
            guard(|| adoption.take_over(&self.store, &mut self.commits, &self.run, writer, self.wanted, check));
        let adopted = match adopted {
            Ok(adopted) => adopted,
            Err(error) => {
                self.rest = Some((plan, graph));
                return Err(error);
            }
        };
        self.wanted = Wanted { strict: true, ..Wanted::default() };
        let Adopted { ledger, restored, epoch } = adopted;
        let coordinator = Coordinator::new(&plan.job, self.control.clone());
        let (mut build, reports) = Build::new(plan, graph, self.control.clone(), Arc::new(self.clock.clone()));
        build.generation = ledger.newest().0;
        self.running = Some(Running {
            slots: Vec::new(),
            build: build.checkpointed(restored.checkpoint, epoch, true),
            coordinator,
            reports,
            storing: Storing::new(ledger, std::mem::take(&mut self.commits)),
            request: None,
        });
        Ok(epoch)
    }

    /// The clock that the job lives by.
    pub fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    /// Takes one step, of a subtask that the seed picks. False if every subtask rests or the job has ended.
    ///
    /// # Errors
    /// The first error that stopped the job, at every call from then on.
    pub fn step(&mut self) -> Result<bool> {
        let Some(running) = &mut self.running else { return self.outcome().map(|_| false) };
        if self.control.is_aborting() {
            let aborted = running.coordinator.aborted();
            return self.end(Err(aborted)).map(|_| false);
        }
        if let Err(error) = running.coordinate(self.clock.monotonic()) {
            return self.end(Err(error)).map(|_| false);
        }
        let stepped = running.step(&mut self.random, &mut self.trace, &self.clock);
        if self.step_time > Duration::ZERO {
            let limit = u64::try_from(self.step_time.as_nanos()).unwrap_or(u64::MAX);
            self.clock.advance(Duration::from_nanos(self.random.below(limit)));
        }
        match stepped {
            Ok(_) if running.coordinator.is_over() => {
                let finished = self.final_commit();
                self.end(finished).map(|_| true)
            }
            Ok(stepped) => Ok(stepped),
            Err(error) => self.end(Err(error)).map(|_| false),
        }
    }

    /// Takes steps until every subtask rests or the job has ended. Time does not pass, but for what steps take.
    ///
    /// # Errors
    /// The first error that stopped the job; `Internal` if the job never rests, as one with an endless source.
    pub fn run_until_idle(&mut self) -> Result<()> {
        let mut steps = 0;
        while self.step()? {
            self.count(&mut steps)?;
        }
        Ok(())
    }

    /// Moves the clock by `by`; whatever falls due on the way is done when it is due.
    ///
    /// # Errors
    /// As [`run_until_idle`](SteppedJob::run_until_idle).
    pub fn advance(&mut self, by: Duration) -> Result<()> {
        let target = self.clock.monotonic() + by;
        self.run_until_idle()?;
        while let Some(due) = self.due().filter(|due| *due <= target) {
            self.clock.advance(due.saturating_sub(self.clock.monotonic()));
            self.run_until_idle()?;
        }
        self.clock.advance(target.saturating_sub(self.clock.monotonic()));
        Ok(())
    }

    /// Runs to the end; when every subtask rests, the clock jumps to what is due next.
    ///
    /// # Errors
    /// The first error that stopped the job; `Internal` if it never ends or rests with nothing due.
    pub fn run(&mut self) -> Result<JobReport> {
        let mut steps = 0;
        loop {
            while self.step()? {
                self.count(&mut steps)?;
            }
            if self.is_over() {
                return self.outcome();
            }
            self.count(&mut steps)?;
            let Some(due) = self.due() else { return Err(self.stuck()) };
            self.clock.advance(due.saturating_sub(self.clock.monotonic()));
        }
    }

    /// Ends the job well with the steps that follow, as [`JobHandle::stop`](crate::JobHandle::stop).
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Ends the job with the next step, as [`JobHandle::abort`](crate::JobHandle::abort).
    pub fn abort(&self) {
        self.control.abort();
    }

    /// Whether the job has ended.
    pub fn is_over(&self) -> bool {
        self.outcome.is_some()
    }

    /// Which subtask took which step when, one line per step; the last 100,000 of them.
    pub fn trace(&self) -> String {
        let mut text = String::new();
        for (at, name, done) in &self.trace.steps {
            let at = at.as_secs_f64();
            // Writing to a string does not fail.
            let _ = match done {
                Done::Step(step) => writeln!(text, "{at:.6} {} {step:?}", self.trace.names[*name]),
                Done::Store => writeln!(text, "{at:.6} checkpoint stored"),
                Done::Crash(epoch) => writeln!(text, "{at:.6} crash, on from epoch {epoch}"),
            };
        }
        text
    }

    fn open(&mut self) -> Result<()> {
        let (clock, control) = (&self.clock, &self.control);
        let Some(running) = &mut self.running else { return Ok(()) };
        let opened = guard(|| {
            running.build.all()?;
            running.slots = running.build.slots.iter_mut().map(|slot| self.trace.slot(std::mem::take(slot))).collect();
            running.storing.set_committers(std::mem::take(&mut running.build.staged_committers));
            running.coordinator.begin(&mut running.build, None, running.slots.len(), clock.monotonic());
            if let Some(interval) = self.interval {
                running.coordinator.shorten_interval(interval, clock.monotonic());
            }
            Ok(())
        });
        match opened {
            Ok(()) => Ok(()),
            Err(_) if control.is_aborting() => {
                let aborted = running.coordinator.aborted();
                self.end(Err(aborted)).map(|_| ())
            }
            Err(error) => self.end(Err(error)).map(|_| ()),
        }
    }

    /// When something is due that a step would do, on the job's [`clock`](SteppedJob::clock).
    pub fn due(&self) -> Option<Duration> {
        let running = self.running.as_ref()?;
        let subtasks = running.slots.iter().flat_map(|slot| &slot.subtasks).filter_map(|s| s.subtask.due());
        subtasks.chain(running.coordinator.due()).min()
    }

    fn final_commit(&mut self) -> Result<JobReport> {
        let (clock, control, mut tries) = (&self.clock, &self.control, 0);
        let Some(running) = &mut self.running else { return self.outcome() };
        let checkpoints = running.coordinator.counts();
        let epochs = running.coordinator.finish(|pause| {
            clock.advance(pause);
            tries += 1;
            if tries >= FINAL_COMMITS_MAX {
                control.abort();
            }
        })?;
        Ok(JobReport { epochs, checkpoints, restarts: 0 })
    }

    /// What happens when the threads of production have ended: everybody is told, then user objects are dropped.
    fn end(&mut self, result: Result<JobReport>) -> Result<JobReport> {
        if result.is_err() {
            self.control.abort();
        }
        let running = self.running.take();
        // Dropping readers, writers and committers runs user code.
        let dropped = guard(|| {
            let Some(Running { slots, build, coordinator, reports, storing, request: _ }) = running else {
                return Ok(());
            };
            drop((slots, coordinator, reports));
            self.commits = storing.into_parts().1;
            let parts = build.into_parts();
            // Without transactions a restart goes on with the ledger that it has, which nobody has asked for yet.
            self.rest = Some(parts).filter(|_| result.is_err() && matches!(self.commits, Commits::All(_)));
            Ok(())
        });
        if let Some(transactions) = self.commits.transactions().filter(|_| result.is_ok()) {
            transactions.abandon();
        }
        self.outcome = Some(result.and_then(|report| dropped.map(|()| report)));
        self.outcome()
    }

    fn outcome(&self) -> Result<JobReport> {
        self.outcome.clone().unwrap_or_else(|| Err(Error::internal("the job has neither ended nor is it running")))
    }

    fn count(&self, steps: &mut u64) -> Result<()> {
        *steps += 1;
        if *steps < STEPS_MAX {
            return Ok(());
        }
        let error = Error::internal(format!("job `{}` still has work after {STEPS_MAX} steps", self.job));
        Err(error.with_hint("a source without end never rests: call stop() first, or take single steps"))
    }

    fn stuck(&self) -> Error {
        let last: Vec<String> = self.trace().lines().rev().take(5).map(str::to_owned).collect();
        let error = Error::internal(format!(
            "job `{}` rests before its end, and nothing is due; its last steps, newest first: {}",
            self.job,
            last.join("; ")
        ));
        error.with_hint("a source waits for more input, or somebody has not called a waker")
    }
}

impl Running {
    /// One step of one subtask. False if there is none that is awake.
    fn step(&mut self, random: &mut Random, trace: &mut Trace, clock: &VirtualClock) -> Result<bool> {
        let (now, wall) = (clock.monotonic(), clock.wall());
        let awake = self.awake(now);
        let choices = awake.len() + usize::from(self.request.is_some());
        if choices == 0 {
            return Ok(false);
        }
        let choice = random.index(choices);
        let Some(&(slot, index)) = awake.get(choice) else {
            let Some(request) = self.request.take() else { return Ok(false) };
            let stored = guard(|| self.storing.store(request, wall));
            trace.steps.push_back((now, 0, Done::Store));
            let report = match stored {
                Err(error) if self.storing.is_lost() => Report::Failed(error),
                stored => Report::Stored(stored),
            };
            self.coordinator.on_report(report, now)?;
            self.coordinate(now)?;
            return Ok(true);
        };
        let slot = &mut self.slots[slot];
        let stepped = &mut slot.subtasks[index];
        let step = guard(|| stepped.subtask.step())?;
        trace.add(now, stepped.name, step);
        match step {
            Step::Worked => slot.wake(),
            Step::Idle | Step::Blocked => stepped.resting = true,
            Step::Done => {
                let done = slot.subtasks.remove(index);
                guard(|| {
                    drop(done);
                    Ok(())
                })?;
                slot.wake();
            }
        }
        self.coordinate(now)?;
        Ok(true)
    }

    /// The subtasks that may take a step, as (slot, index).
    fn awake(&mut self, now: Duration) -> Vec<(usize, usize)> {
        for slot in &mut self.slots {
            for stepped in slot.subtasks.iter_mut().filter(|s| s.resting) {
                stepped.resting = stepped.subtask.due().is_none_or(|due| due > now);
            }
            // As a thread does: the waker is asked when there is nothing left to do.
            if slot.subtasks.iter().all(|s| s.resting) && slot.waker.take() {
                slot.wake();
            }
        }
        let slots = self.slots.iter().enumerate();
        let subtasks = slots.flat_map(|(i, slot)| slot.subtasks.iter().enumerate().map(move |(j, s)| (i, j, s)));
        subtasks.filter(|(_, _, s)| !s.resting).map(|(i, j, _)| (i, j)).collect()
    }

    fn coordinate(&mut self, now: Duration) -> Result<()> {
        while let Ok(report) = self.reports.try_recv() {
            self.coordinator.on_report(report, now)?;
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.subtasks.is_empty() && !slot.ended) {
            slot.ended = true;
            self.coordinator.on_report(Report::ThreadEnded, now)?;
        }
        self.coordinator.tick(now)?;
        if let Some(request) = self.coordinator.take_request() {
            self.request = Some(request);
        }
        Ok(())
    }
}

impl SteppedSlot {
    fn wake(&mut self) {
        for subtask in &mut self.subtasks {
            subtask.resting = false;
        }
    }
}

impl Trace {
    /// Makes a slot steppable and remembers the names of its subtasks.
    fn slot(&mut self, slot: Slot) -> SteppedSlot {
        let subtasks = slot.subtasks.into_iter().map(|subtask| {
            let operator = subtask.operator();
            self.names.push(format!("{}[{}]", operator.uid(), operator.subtask()));
            SteppedSubtask { name: self.names.len() - 1, subtask, resting: false }
        });
        SteppedSlot { subtasks: subtasks.collect(), waker: slot.waker, ended: false }
    }

    fn add(&mut self, at: Duration, name: usize, step: Step) {
        if self.steps.len() == TRACE_MAX {
            self.steps.pop_front();
        }
        self.steps.push_back((at, name, Done::Step(step)));
    }

    fn crashed(&mut self, at: Duration, epoch: u64) {
        self.steps.push_back((at, 0, Done::Crash(epoch)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Committer, Opened, Poll, Source, SourceContext, SourceReader, SplitPosition};
    use crate::{Batch, Configuration, ErrorKind};

    /// Has no records: says so, or never says anything again. Its positions can't be stored.
    #[derive(Clone)]
    struct Silent(Poll);

    impl Source<u64> for Silent {
        fn open(&mut self, _context: &SourceContext) -> Result<Opened<u64>> {
            let committer = (self.0 == Poll::End).then(|| Box::new(self.clone()) as Box<dyn Committer>);
            Ok(Opened { readers: vec![Box::new(self.clone())], committer })
        }
    }

    impl SourceReader<u64> for Silent {
        fn poll(&mut self, _batch: &mut Batch<u64>) -> Result<Poll> {
            Ok(self.0)
        }

        fn positions(&mut self, _positions: &mut Vec<SplitPosition>) {}
    }

    impl Committer for Silent {
        fn interval(&self) -> Duration {
            Duration::from_secs(1)
        }

        fn commit(&mut self, _epoch: u64, _positions: &[SplitPosition]) -> Result<()> {
            Err(Error::new(ErrorKind::Unavailable, "nobody answers"))
        }
    }

    fn error_of(describe: fn(&StreamingContext)) -> Error {
        let context = StreamingContext::new(Configuration::empty());
        describe(&context);
        let mut job = SteppedJob::new(context, "j", 0).expect("a valid job");
        job.run().expect_err("the job can't succeed")
    }

    #[test]
    fn a_job_without_end_is_an_error_and_not_a_hang() {
        let error = error_of(|ctx| {
            ctx.generate(u64::MAX, |x| x).for_each(|_| {});
        });
        assert_eq!(error.message(), "job `j` still has work after 1000 steps");
    }

    #[test]
    fn a_job_that_nobody_would_wake_is_an_error_and_not_a_hang() {
        let error = error_of(|ctx| {
            ctx.source("silent", Silent(Poll::Idle)).for_each(|_| {});
        });
        let expected = "job `j` rests before its end, and nothing is due; its last steps, newest first: \
                        0.000000 silent-1[0] Idle";
        assert_eq!(error.message(), expected);
    }

    #[test]
    fn a_commit_that_never_succeeds_gives_the_job_up() {
        let error = error_of(|ctx| {
            ctx.source("silent", Silent(Poll::End)).for_each(|_| {});
        });
        assert_eq!(error.message(), "job `j` was aborted");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(cause.contains("nobody answers"), "{cause}");
    }
}
