//! Processes: is it alive, end it politely, start one that outlives us, run one that obeys Ctrl-C.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

const POLL: Duration = Duration::from_millis(50);
/// How long an interrupted child may take before it is killed.
const INTERRUPT_GRACE: Duration = Duration::from_secs(10);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C, SIGTERM and SIGHUP raise a flag and no longer end this process, so that it can clean up.
pub(crate) fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst)).context("could not install a signal handler")
}

/// Whether somebody asked this process to end (after [`catch_interrupts`]).
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Blocks until somebody asks this process to end.
pub(crate) fn wait_for_interrupt() {
    while !interrupted() {
        thread::sleep(POLL);
    }
}

/// Whether process `pid` runs and has `marker` on its command line.
///
/// The marker guards against a process id that the system gave to somebody else; a zombie counts as gone, because
/// nobody may be there to reap it (a container without an init).
pub(crate) fn is_alive(pid: u32, marker: &str) -> bool {
    let (state, command) = if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default().trim().to_owned();
        (state, String::from_utf8_lossy(&command).into_owned())
    } else {
        let listing = Command::new("ps").args(["-ww", "-o", "stat=,command=", "-p", &pid.to_string()]).output();
        let line = listing.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        (line.trim().to_owned(), line)
    };
    // Between fork and the end of exec a process has no command line yet: whoever has just started it must not take it for
    // gone.
    !state.is_empty() && !state.starts_with(['Z', 'X']) && (command.is_empty() || command.contains(marker))
}

/// Ends process `pid`: SIGTERM, and SIGKILL once `grace` is over. Says whether it went by itself.
pub(crate) fn terminate(pid: u32, marker: &str, grace: Duration) -> bool {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(target) = target.filter(|_| is_alive(pid, marker)) else {
        return true;
    };
    // A failed signal means that the process has just gone.
    if !grace.is_zero() {
        let _ = kill_process(target, Signal::TERM);
        if wait_until_gone(pid, marker, grace) {
            return true;
        }
    }
    let _ = kill_process(target, Signal::KILL);
    wait_until_gone(pid, marker, Duration::from_secs(5));
    false
}

fn wait_until_gone(pid: u32, marker: &str, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while is_alive(pid, marker) {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

/// Starts `command` so that it outlives this process and never sees the terminal's Ctrl-C. Its output is appended to `log`.
pub(crate) fn spawn_detached(command: &mut Command, log: &Path) -> Result<Child> {
    let open = || File::options().create(true).append(true).open(log);
    let (out, err) =
        open().and_then(|out| Ok((out, open()?))).with_context(|| format!("could not open {}", log.display()))?;
    command.process_group(0).stdin(Stdio::null()).stdout(out).stderr(err);
    command.spawn().with_context(|| format!("could not start {:?}", command.get_program()))
}

/// Runs `command` to its end in a process group of its own; an interrupt of this process is passed on to the whole
/// group, and so is the end of `limit`.
///
/// The group of its own matters when only this process gets the signal (a CI runner, `kill`): the test programs that
/// cargo started have to go too.
pub(crate) fn run_interruptible(command: &mut Command, limit: Option<Duration>) -> Result<ExitStatus> {
    let started = Instant::now();
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("could not start {:?}", command.get_program()))?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let mut asked: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait()? {
            // Cargo goes at once; a test program that ignores the signal would stay.
            if let (Some(group), Some(_)) = (group, asked) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            return Ok(status);
        }
        let over = limit.is_some_and(|limit| started.elapsed() > limit);
        let signal = match asked {
            None if interrupted() || over => Some(Signal::INT),
            Some(at) if at.elapsed() > INTERRUPT_GRACE => Some(Signal::KILL),
            _ => None,
        };
        if let (Some(group), Some(signal)) = (group, signal) {
            asked = Some(Instant::now());
            // A failed signal means that the group has just gone.
            let _ = kill_process_group(group, signal);
        }
        thread::sleep(POLL);
    }
}

/// The exit code to hand on for `status`; a child ended by a signal counts as 130, as a shell says for Ctrl-C.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    status.code().map_or(130, |code| u8::try_from(code).unwrap_or(1))
}
