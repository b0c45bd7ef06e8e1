//! Contestants as processes of their own: this very program, on core 0.

use std::process::Command;

use stream_core::{Error, ErrorKind, Result};

/// This program again, pinned to core 0 where `taskset` is there.
///
/// # Errors
/// `Unavailable` if the system does not say which program this is.
pub fn pinned() -> Result<Command> {
    let program = std::env::current_exe().map_err(|error| failed(format!("no path of this program: {error}")))?;
    if Command::new("taskset").arg("--version").output().is_err() {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    Ok(command)
}

/// A process that could not be run, or said that it failed.
pub fn failed(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, why)
}
