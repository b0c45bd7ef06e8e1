//! `cargo xtask bench`: the benchmarks of stream-bench, against a broker of their own.

use std::time::Duration;

use anyhow::Result;

use crate::kafka::OwnKafka;
use crate::process;
use crate::test::cargo;

/// No run may hold a machine longer than this.
const LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

/// What `cargo xtask bench` is given.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Start no broker; what needs one reads BOOTSTRAP from the environment
    #[arg(long)]
    no_kafka: bool,
    /// Handed to the bench program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "BENCH ARGUMENTS")]
    bench: Vec<String>,
}

/// Builds first, so that the broker does not idle meanwhile, then runs the bench program.
pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    const PROGRAM: [&str; 5] = ["--release", "-p", "stream-bench", "--bin", "bench"];
    let built = process::run_interruptible(cargo().arg("build").args(PROGRAM), None)?;
    if !built.success() {
        return Ok(process::exit_code(built));
    }
    let kafka = if arguments.no_kafka { None } else { Some(OwnKafka::start()?) };
    let mut command = cargo();
    command.args(["run", "--quiet"]).args(PROGRAM).arg("--").args(&arguments.bench);
    if let Some(kafka) = &kafka {
        command.envs(kafka.environment()).env("BOOTSTRAP", kafka.bootstrap());
    }
    let status = process::run_interruptible(&mut command, Some(LIMIT))?;
    drop(kafka);
    Ok(process::exit_code(status))
}
