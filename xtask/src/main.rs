//! Development tasks: `cargo xtask kafka | test | ci | tidy | docs | bench`.
//!
//! One small program in place of a folder of shell scripts, so that a developer's machine, the CI and the tests
//! themselves start Kafka, run the checks and build the book in the same way. It depends on no crate of this
//! workspace: it must build, and `kafka up` must work, while everything else is broken.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a command-line tool for developers: it prints, sleeps and reads the clock"
)]

mod kafka;
mod place;
mod process;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What `cargo xtask` understands.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Development tasks of this workspace"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run a real Apache Kafka on this machine: up, stop, start, status, down, tool.
    Kafka(kafka::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Kafka(arguments) => kafka::run(arguments),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
