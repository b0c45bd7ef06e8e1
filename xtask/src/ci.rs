//! `cargo xtask ci`: what has to pass before a change lands, the quick checks first, the tests last.

use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::test::cargo;
use crate::{process, test, tidy};

/// Runs all stages; the first that fails ends it with its exit code.
pub(crate) fn run(tests: &test::Arguments) -> Result<u8> {
    let started = Instant::now();
    for stage in ["fmt", "clippy", "docs", "tidy", "test"] {
        eprintln!("==> {stage} (after {} s)", started.elapsed().as_secs());
        let code = match stage {
            "fmt" => cargo_stage(cargo().args(["fmt", "--all", "--check"]))?,
            "clippy" => cargo_stage(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?,
            "docs" => {
                cargo_stage(cargo().args(["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-D warnings"))?
            }
            "tidy" => tidy::run()?,
            _ => test::run(tests)?,
        };
        if code != 0 {
            eprintln!("==> {stage} failed (after {} s)", started.elapsed().as_secs());
            return Ok(code);
        }
    }
    Ok(0)
}

fn cargo_stage(command: &mut Command) -> Result<u8> {
    Ok(process::exit_code(process::run_interruptible(command, None)?))
}
