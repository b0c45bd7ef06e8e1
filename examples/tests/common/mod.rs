//! Examples run as programs: their standard error, signals, exit codes.
#![allow(dead_code, reason = "every test file takes what it needs")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};
use stream_testkit::wait_until;

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

const BUILT: &str = "the example is built with the tests";

/// Examples are built beside the tests.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    test.ancestors().nth(2).expect("target/<profile>").join("examples").join(name)
}

/// A running example and the lines of its standard error, or of what it prints.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    pub(crate) fn start(name: &str, settings: &[String]) -> Program {
        Program::start_with(name, &[], settings)
    }

    pub(crate) fn start_with(name: &str, arguments: &[&str], settings: &[String]) -> Program {
        let mut command = Program::command(name, arguments, settings);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect(BUILT);
        let lines = lines_of(child.stderr.take().expect("a pipe"));
        Program { child, lines }
    }

    /// The lines are those of standard output.
    pub(crate) fn start_to_print(name: &str, settings: &[String]) -> Program {
        let mut command = Program::command(name, &[], settings);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect(BUILT);
        let lines = lines_of(child.stdout.take().expect("a pipe"));
        Program { child, lines }
    }

    fn command(name: &str, arguments: &[&str], settings: &[String]) -> Command {
        let mut command = Command::new(example(name));
        command.args(arguments);
        for setting in settings {
            command.args(["--set", setting]);
        }
        command
    }

    /// The first line with these words, if it comes in time.
    pub(crate) fn line_with(&self, words: &str, limit: Duration) -> Option<String> {
        let clock = SystemClock::new();
        loop {
            let line = self.lines.recv_timeout(limit.saturating_sub(clock.monotonic())).ok()?;
            if line.contains(words) {
                return Some(line);
            }
        }
    }

    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill");
        assert!(status.success(), "the program is no longer there");
    }

    /// The exit code, and what standard error said that was not read yet.
    pub(crate) fn end(mut self, limit: Duration) -> (Option<i32>, String) {
        let mut status = None;
        wait_until("the program has ended", limit, || {
            status = self.child.try_wait().expect("a child of ours");
            status.is_some()
        });
        let text: Vec<String> = self.lines.iter().collect();
        (status.and_then(|status| status.code()), text.join("\n"))
    }
}

fn lines_of(text: impl Read + Send + 'static) -> Receiver<String> {
    let text = BufReader::new(text);
    let (sender, lines) = mpsc::channel();
    let read = move || text.lines().map_while(Result::ok).try_for_each(|line| sender.send(line));
    stream_core::thread::spawn("lines", read).expect("a thread");
    lines
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ = self.child.kill();
    }
}
