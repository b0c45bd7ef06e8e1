//! Running the job to its end: signals, grace, report.
//!
//! The first INT or TERM stops the job well: with checkpoints it takes a last one; without, sources end where they are,
//! what is under way is drained and flushed, positions are committed. When the grace time is over, or a second signal
//! comes, the job is cut off: what was read since the last commit or checkpoint is read again by the next run.

use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};
use stream_core::{Error, ErrorKind, JobHandle, JobReport, Result, StreamingContext};

use crate::report;

/// How long a job that was cut off may take to end.
const CUT_OFF: Duration = Duration::from_secs(2);

enum Notice {
    Signal,
    Ended(Result<JobReport>),
}

pub(crate) fn run(ctx: StreamingContext, name: &str, grace: Duration) -> Result<ExitCode> {
    let clock = SystemClock::new();
    let (notices, inbox) = mpsc::channel();
    let signals = notices.clone();
    let how_to_stop = match ctx.settings().checkpointing {
        Some(_) => "taking a last checkpoint",
        None => "draining, flushing, committing",
    };
    // The handler runs on a thread of its own, so that it may send. It is there before the job is: a signal that comes
    // early must not kill it.
    if let Err(error) = ctrlc::set_handler(move || drop(signals.send(Notice::Signal))) {
        tracing::warn!("signals are not handled, the job can only be killed: {error}");
    }
    let job = ctx.start(name)?;
    let waiting = job.clone();
    stream_core::thread::spawn(&format!("{name}-wait"), move || drop(notices.send(Notice::Ended(waiting.wait()))))?;
    let (ended, stopped) = wait(&job, &inbox, grace, how_to_stop);
    let done = ended?;
    let how = if stopped { "stopped" } else { "finished" };
    tracing::info!("job `{name}` {how} after {:.1?}, {} epochs committed", clock.monotonic(), done.epochs);
    Ok(ExitCode::SUCCESS)
}

/// How far stopping has come.
enum Stage {
    Running,
    /// Draining until then.
    Stopping(Duration),
    /// Cut off; what has not ended by then is left behind.
    Aborting(Duration),
}

/// Waits for the end of the job; the flag says whether it was stopped.
fn wait(job: &JobHandle, inbox: &Receiver<Notice>, grace: Duration, how_to_stop: &str) -> (Result<JobReport>, bool) {
    let clock = SystemClock::new();
    let mut stage = Stage::Running;
    loop {
        let now = clock.monotonic();
        let left = match stage {
            Stage::Running => Duration::from_secs(3600),
            Stage::Stopping(until) | Stage::Aborting(until) => until.saturating_sub(now),
        };
        let notice = inbox.recv_timeout(left);
        let now = clock.monotonic();
        stage = match (notice, stage) {
            (Ok(Notice::Ended(result)), stage) => return (result, !matches!(stage, Stage::Running)),
            (Ok(Notice::Signal), Stage::Running) => {
                report::line(&format!("stopping: {how_to_stop} for at most {grace:?} (again to stop at once)"));
                job.stop();
                Stage::Stopping(now + grace)
            }
            (Ok(Notice::Signal), Stage::Stopping(_)) => abort(job, now),
            (Err(RecvTimeoutError::Timeout), Stage::Stopping(until)) if now >= until => {
                report::line(&format!("the grace time of {grace:?} is over"));
                abort(job, now)
            }
            (Ok(Notice::Signal) | Err(_), Stage::Aborting(until)) if now >= until => return (Err(left_behind()), true),
            (_, stage) => stage,
        };
    }
}

fn abort(job: &JobHandle, now: Duration) -> Stage {
    report::line("cutting off: what was read since the last commit or checkpoint is read again by the next run");
    job.abort();
    Stage::Aborting(now + CUT_OFF)
}

/// A function of the job that waits for something outside can't be interrupted, only left behind.
fn left_behind() -> Error {
    let message = format!("the job was cut off, and some of it still waits for something outside after {CUT_OFF:?}");
    Error::new(ErrorKind::Unavailable, message)
        .with_hint("what was read since the last commit is read again by the next run")
}
