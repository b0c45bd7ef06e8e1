//! Development tasks: `cargo xtask kafka | test | ci | tidy | docs | bench | chaos`.
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

mod bench;
mod chaos;
mod ci;
mod docs;
mod kafka;
mod place;
mod process;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What `cargo xtask` understands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Development tasks of this workspace")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run a real Apache Kafka on this machine: up, stop, start, status, down, tool.
    Kafka(kafka::Arguments),
    /// Run all tests against a real Kafka, started and stopped here.
    Test(test::Arguments),
    /// Run what has to pass before a change lands: fmt, clippy, docs, tidy, test.
    Ci(test::Arguments),
    /// Check the rules of the house that no compiler knows.
    Tidy,
    /// Build the book and the API documentation.
    Docs,
    /// Run the benchmarks against a broker started for them.
    Bench(bench::Arguments),
    /// Kill a job again and again, and audit what it has written.
    Chaos(chaos::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<u8> {
    if !matches!(task, Task::Kafka(_)) {
        process::catch_interrupts()?;
    }
    match task {
        Task::Kafka(arguments) => kafka::run(arguments),
        Task::Test(arguments) => test::run(&arguments),
        Task::Ci(tests) => ci::run(&tests),
        Task::Tidy => tidy::run(),
        Task::Docs => docs::run(),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Chaos(arguments) => chaos::run(&arguments),
    }
}
