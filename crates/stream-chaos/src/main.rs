//! What `cargo xtask chaos` runs: a job is killed at random instants, started again at another parallelism, and in the
//! end everything it has written is compared with what the input comes to.
//!
//! One program in two parts: `run` feeds, kills and audits; `job` is what it kills. A seed decides the input, the times
//! of the kills, the other faults and the parallelism; what the operating system and Kafka do in between it does not
//! decide.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a tool for developers: it prints, sleeps, starts threads and reads the clock"
)]

mod audit;
mod broker;
mod clusters;
mod events;
mod faults;
mod instance;
mod job;
mod kills;
mod steps;
mod written;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stream_core::{Error, ErrorKind};

#[derive(Parser)]
#[command(name = "chaos", about = "Kills a job again and again, and audits what it has written")]
struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Feeds a job, kills it, audits it. Needs a broker at BOOTSTRAP.
    Run(Run),
    /// The job itself.
    #[command(hide = true)]
    Job(job::Arguments),
    /// A job that stands still at a step of the commit protocol.
    #[command(hide = true)]
    Step(steps::Arguments),
}

#[derive(clap::Args)]
struct Run {
    /// What is promised of the records in Kafka; files are exactly once in every mode
    #[arg(long, value_enum, default_value_t = Mode::ExactlyOnce)]
    mode: Mode,
    /// How often the job is killed
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// Decides input, faults and parallelism
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    faults: faults::Choice,
    /// Breaks the promise, to see that the audit notices: the job writes to Kafka at least once where exactly once is
    /// audited; under at-least-once its files appear before their checkpoint counts
    #[arg(long)]
    plant_bug: bool,
    /// Where checkpoints, files and logs go; a directory that is deleted at the end if not given
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    ExactlyOnce,
    AtLeastOnce,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::ExactlyOnce => "exactly-once",
            Mode::AtLeastOnce => "at-least-once",
        })
    }
}

/// The exit code of a job that another instance has taken over from, as that of `stream-app`.
const TAKEN_OVER: u8 = 3;

fn main() -> ExitCode {
    let result = match Arguments::parse().part {
        Part::Run(run) => kills::run(&run),
        Part::Job(arguments) => job::run(&arguments),
        Part::Step(arguments) => steps::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            if error.kind() == ErrorKind::Fenced { ExitCode::from(TAKEN_OVER) } else { ExitCode::FAILURE }
        }
    }
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |error| Error::new(ErrorKind::Unavailable, format!("{what}: {error}")).with_cause(error)
}
