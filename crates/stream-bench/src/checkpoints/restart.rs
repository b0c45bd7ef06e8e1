//! From the start of a process to its first result: with nothing to restore, and with the state of a process that was
//! killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

use stream_core::Result;

use super::figures::millis;
use super::numbers::KEYS;
use crate::figures::{quantile, sorted};
use crate::process::{failed, pinned};

/// How many checkpoints of all keys the process has taken whose state is restored: where they hold what has changed
/// since an earlier one, it is made of several.
pub(super) const CHECKPOINTS: usize = 20;

/// Medians in milliseconds.
pub(super) struct Restarts {
    pub(super) without_state: f64,
    pub(super) with_state: f64,
}

/// Kills processes and starts others, `rounds` times each way in turns.
pub(super) fn measure(rounds: usize) -> Result<Restarts> {
    let filled = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let mut first = Running::start(filled.path())?;
    let mut whole = 0;
    while whole < CHECKPOINTS {
        whole += usize::from(first.next("durable")? >= KEYS);
    }
    drop(first);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let empty = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
        for (dir, is_filled, times) in [(empty.path(), false, &mut without), (filled.path(), true, &mut with)] {
            let mut running = Running::start(dir)?;
            let next = running.next("first")?;
            times.push(millis(running.started.elapsed()));
            if is_filled != (next >= KEYS) {
                return Err(failed(format!("a process that should go on from a checkpoint began with {next}")));
            }
        }
    }
    Ok(Restarts { without_state: quantile(&sorted(without), 0.5), with_state: quantile(&sorted(with), 0.5) })
}

/// A process that is killed, by SIGKILL, when it is dropped.
struct Running {
    child: Child,
    lines: Box<dyn Iterator<Item = std::io::Result<String>>>,
    started: Instant,
}

impl Running {
    fn start(dir: &Path) -> Result<Running> {
        let mut command = pinned()?;
        command.args(["checkpoints-child", "restart"]).arg(dir).stdout(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let Some(output) = child.stdout.take() else { return Err(failed("a process without output")) };
        Ok(Running { child, lines: Box::new(BufReader::new(output).lines()), started })
    }

    /// The number in the next line that begins with `word`.
    fn next(&mut self, word: &str) -> Result<u64> {
        for line in &mut self.lines {
            let line = line.map_err(|error| failed(error.to_string()))?;
            if let Some(number) = line.strip_prefix(word).and_then(|number| number.trim().parse().ok()) {
                return Ok(number);
            }
        }
        Err(failed(format!("a process ended before it said `{word}`")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // If it has ended by itself, that was reported by whoever waited for its next line.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
