//! `cargo xtask docs`: the book (docs/, by mdBook) and the API documentation.

use std::process::Command;

use anyhow::Result;

use crate::test::cargo;
use crate::{place, process};

/// Builds both; without mdBook only the API documentation.
pub(crate) fn run() -> Result<u8> {
    match place::find_program("mdbook") {
        Some(mdbook) => {
            let mut command = Command::new(mdbook);
            command.arg("build").arg(place::workspace().join("docs"));
            let code = process::exit_code(process::run_interruptible(&mut command, None)?);
            if code != 0 {
                return Ok(code);
            }
        }
        None => eprintln!("mdbook is not installed, so the book is not built; hint: cargo install mdbook"),
    }
    let status = process::run_interruptible(cargo().args(["doc", "--no-deps", "--workspace"]), None)?;
    println!("API documentation: {}", place::target().join("doc").display());
    Ok(process::exit_code(status))
}
