//! Running a job with threads: starting them, letting them drive their subtasks, ending well.
//!
//! 1. The job thread builds all subtasks ([`super::build`]).
//! 2. One thread per slot drives all subtasks with that index (docs/decisions/0001-execution-model.md).
//! 3. The job thread goes on as the coordinator ([`super::coordinator`]): it waits for reports and the next epoch.
//! 4. When every thread has ended, the final positions are committed and the result is handed over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Graph;
use crate::plan::Plan;
use crate::runtime::build::{Build, Slot};
use crate::runtime::coordinator::{Control, Coordinator, Report, Reporter};
use crate::runtime::link::guard;
use crate::runtime::subtask::{Step, Subtask};
use crate::thread::{self, Waker};

/// How long an idle thread sleeps at most. Every event wakes it; this only bounds what a lost wake could cost. Our own
/// tests don't forgive one.
const MAX_SLEEP: Duration = if cfg!(test) { Duration::from_secs(3600) } else { Duration::from_millis(100) };

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
    /// committed. A job that still waits for an outside system gives up the wait. Returns at once;
    /// [`JobHandle::wait`] tells when it is done.
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
pub(crate) fn start(plan: Plan, graph: Graph) -> Result<JobHandle> {
    let control = Arc::new(Control::default());
    let name: Arc<str> = plan.job.as_str().into();
    let finished = Arc::new(AtomicBool::new(false));
    let (shared, over) = (control.clone(), finished.clone());
    let thread = thread::spawn(&format!("{name}-coordinator"), move || {
        let result = coordinate(Job::new(plan, graph, shared));
        over.store(true, Ordering::Release);
        result
    })?;
    Ok(JobHandle { name, control, finished, result: Arc::new(Mutex::new(Some(thread))) })
}

/// Everything the job's thread does. The threads have ended and user objects are dropped when it returns.
fn coordinate(mut job: Job) -> Result<JobReport> {
    let control = job.control.clone();
    let result = guard(|| if job.open()? { job.run() } else { Ok(JobReport::default()) });
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

struct Job {
    build: Build,
    coordinator: Coordinator,
    control: Arc<Control>,
    threads: Vec<JoinHandle<()>>,
    reports: mpsc::Receiver<Report>,
    clock: Arc<SystemClock>,
    /// Wakes the coordinator when it waits for its next try of the final commit.
    waker: Waker,
}

impl Job {
    fn new(plan: Plan, graph: Graph, control: Arc<Control>) -> Job {
        let coordinator = Coordinator::new(&plan.job, control.clone());
        let (clock, waker) = (Arc::new(SystemClock::new()), Waker::new());
        let (build, reports) = Build::new(plan, graph, control.clone(), clock.clone());
        Job { build, coordinator, control, threads: Vec::new(), reports, clock, waker }
    }

    /// Opens sources, builds all subtasks and starts the threads. False if the job was stopped before that: nothing
    /// was read, so nothing is left undone.
    fn open(&mut self) -> Result<bool> {
        self.control.add_waker(self.waker.clone());
        let opened = self.build.all();
        if self.control.is_aborting() {
            // What gave up because of that is no news of its own.
            return Err(self.coordinator.aborted());
        }
        match opened {
            Err(error) if error.kind() == ErrorKind::Unavailable && self.control.is_stopping() => {
                tracing::info!("stopped before anything was read: {}", error.message());
                Ok(false)
            }
            opened => opened.and_then(|()| self.start_threads()).map(|()| true),
        }
    }

    fn start_threads(&mut self) -> Result<()> {
        for index in 0..self.build.slots.len() {
            let slot = std::mem::take(&mut self.build.slots[index]);
            let (control, reporter) = (self.control.clone(), self.build.reporter.clone());
            let name = format!("{}-slot-{index}", self.build.job());
            let clock = self.clock.clone();
            self.threads.push(thread::spawn(&name, move || drive(slot, &*clock, &control, &reporter))?);
        }
        Ok(())
    }

    /// Coordinates until every thread has ended.
    fn run(&mut self) -> Result<JobReport> {
        self.coordinator.begin(&mut self.build, self.threads.len(), self.clock.monotonic());
        while !self.coordinator.is_over() {
            let now = self.clock.monotonic();
            self.coordinator.tick(now);
            let wait = self.coordinator.due().map_or(MAX_SLEEP, |due| due.saturating_sub(now).min(MAX_SLEEP));
            if let Ok(report) = self.reports.recv_timeout(wait) {
                self.coordinator.on_report(report)?;
            }
        }
        let epochs = self.coordinator.finish(|pause| self.waker.park(pause))?;
        Ok(JobReport { epochs })
    }

    fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A panic outside user code was already reported by the thread itself.
            let _ = thread.join();
        }
    }
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
