//! `cargo xtask chaos`: kills a job again and again against a broker of its own, and audits what it has written.

use std::time::Duration;

use anyhow::Result;

use crate::kafka::OwnKafka;
use crate::process;
use crate::test::cargo;

/// No run may hold a machine longer than this.
const LIMIT: Duration = Duration::from_secs(6 * 60 * 60);

/// What `cargo xtask chaos` is given.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Handed to the chaos program: --mode, --kills, --seed, --brokers, --zombies, --pauses, --plant-bug, --dir
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CHAOS ARGUMENTS")]
    chaos: Vec<String>,
}

/// Builds first, so that the broker does not idle meanwhile, then runs the chaos program.
pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    const PROGRAM: [&str; 3] = ["--release", "-p", "stream-chaos"];
    let built = process::run_interruptible(cargo().arg("build").args(PROGRAM), None)?;
    if !built.success() {
        return Ok(process::exit_code(built));
    }
    let kafka = OwnKafka::start()?;
    let mut command = cargo();
    command.args(["run", "--quiet"]).args(PROGRAM).args(["--", "run"]).args(&arguments.chaos);
    command.envs(kafka.environment()).env("BOOTSTRAP", kafka.bootstrap());
    let status = process::run_interruptible(&mut command, Some(LIMIT))?;
    drop(kafka);
    Ok(process::exit_code(status))
}
