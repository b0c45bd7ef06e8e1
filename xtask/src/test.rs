//! `cargo xtask test`: every test of the workspace, against a real Kafka that this command starts and stops.
//!
//! Nothing is printed after cargo's own output: its last lines are the result that people and CI look for.

use std::process::Command;

use anyhow::Result;

use crate::kafka::OwnKafka;
use crate::{place, process};

/// What `cargo xtask test` is given.
#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Run the long tests too: sets STREAM_TEST_FULL=1 and includes the ignored tests
    #[arg(long)]
    full: bool,
    /// Handed to `cargo test`, e.g. `-- -p stream-kafka name -- --nocapture`
    #[arg(last = true, value_name = "CARGO TEST ARGUMENTS")]
    cargo: Vec<String>,
}

/// Runs the tests and returns the exit code of `cargo test`.
pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let kafka = OwnKafka::start()?;
    let mut command = cargo();
    command.args(test_arguments(arguments)).envs(kafka.environment());
    if arguments.full {
        command.env("STREAM_TEST_FULL", "1");
    }
    let status = process::run_interruptible(&mut command, None)?;
    drop(kafka);
    Ok(process::exit_code(status))
}

/// A cargo command in the workspace, by the cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(place::workspace());
    command
}

/// All crates unless some are named, and all failures in one run.
fn test_arguments(arguments: &Arguments) -> Vec<String> {
    let split = arguments.cargo.iter().position(|argument| argument == "--").unwrap_or(arguments.cargo.len());
    let (own, harness) = arguments.cargo.split_at(split);
    let names_crates = own.iter().any(|argument| argument.starts_with("-p") || argument.starts_with("--package"));
    let mut line = vec!["test".to_owned()];
    if !names_crates {
        line.push("--workspace".to_owned());
    }
    line.push("--no-fail-fast".to_owned());
    line.extend_from_slice(own);
    let harness = harness.get(1..).unwrap_or_default();
    if arguments.full || !harness.is_empty() {
        line.push("--".to_owned());
    }
    if arguments.full {
        line.push("--include-ignored".to_owned());
    }
    line.extend_from_slice(harness);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(full: bool, cargo: &[&str]) -> String {
        let cargo = cargo.iter().map(|&argument| argument.to_owned()).collect();
        test_arguments(&Arguments { full, cargo }).join(" ")
    }

    #[test]
    fn arguments_land_on_their_side_of_the_dashes() {
        assert_eq!(line(false, &[]), "test --workspace --no-fail-fast");
        assert_eq!(line(true, &[]), "test --workspace --no-fail-fast -- --include-ignored");
        assert_eq!(line(false, &["-p", "stream-kafka", "name"]), "test --no-fail-fast -p stream-kafka name");
        assert_eq!(
            line(true, &["name", "--", "--nocapture"]),
            "test --workspace --no-fail-fast name -- --include-ignored --nocapture"
        );
    }
}
