//! One process of the job: started, frozen, woken, killed; never left behind.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use stream_core::{Error, ErrorKind, Result};

use crate::failed;

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// How many lines of its log are told.
const LAST_LINES: usize = 20;

/// A process of the job.
pub(crate) struct Instance {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Instance {
    /// Starts the job with these arguments; it logs into a file of this name.
    pub(crate) fn start(arguments: &[String], dir: &Path, name: &str) -> Result<Instance> {
        let program = std::env::current_exe().map_err(failed("can't find this program"))?;
        let log = dir.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).map_err(failed("can't write a log"))?;
        let mut command = Command::new(program);
        command.arg("job").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = command.spawn().map_err(failed("can't start the job"))?;
        Ok(Instance { name: name.to_owned(), child, log })
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(failed("can't wait for the job"))
    }

    /// Waits for its end, at most so long.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        wait(&mut self.child, limit)
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().and_then(|()| self.child.wait()).map(|_| ()).map_err(failed("can't kill the job"))
    }

    /// Stops it in the middle of whatever it does.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on as if nothing had happened.
    pub(crate) fn wake(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let sent = kill_process(Pid::from_child(&self.child), signal);
        sent.map_err(|error| failed("can't send the job a signal")(error.into()))
    }

    /// How often it has restarted by itself so far.
    pub(crate) fn restarts(&self) -> usize {
        self.text().matches("the job has failed and is restarted").count()
    }

    /// Whether it has logged this.
    pub(crate) fn has_said(&self, what: &str) -> bool {
        self.text().contains(what)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A failure of the run, with the last lines of the log.
    pub(crate) fn error(&self, what: impl Display) -> Error {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        Error::new(ErrorKind::Internal, format!("{} {what}; its log:\n{last}", self.name))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It has ended already, unless the run fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a process, at most so long.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let until = Instant::now() + limit;
    loop {
        let status = child.try_wait().map_err(failed("can't wait for a process"))?;
        if status.is_some() || Instant::now() >= until {
            return Ok(status);
        }
        std::thread::sleep(LOOK);
    }
}
