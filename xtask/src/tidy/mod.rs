//! `cargo xtask tidy`: the rules of the house that no compiler knows. `cargo test -p xtask` runs it too.
//!
//! Every check is a function from files to findings and reads nothing by itself, so that its tests are an input and
//! the findings expected.

mod arrows;
mod code;
mod pages;
mod rust;

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::place;

/// A text file of the repository; the path is relative, with slashes.
#[derive(Clone, Debug)]
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// What a check has to say about one place. Line 0 means the file as a whole.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Prints what is wrong; the exit code is 1 if anything is.
pub(crate) fn run() -> Result<u8> {
    let findings = check(&place::workspace())?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(0),
        count => {
            eprintln!("tidy: {count} finding{}", if count == 1 { "" } else { "s" });
            Ok(1)
        }
    }
}

/// All checks over the repository at `root`.
fn check(root: &Path) -> Result<Vec<Finding>> {
    let files = text_files(root)?;
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        findings.extend(rust::check(file));
    }
    let machine = root.display().to_string();
    for file in &files {
        findings.extend(pages::machine_paths(file, &machine));
    }
    findings.extend(arrows::check(&files));
    findings.extend(pages::check(&files));
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// The text files that git knows or would add; what is ignored and what is not text is left out.
fn text_files(root: &Path) -> Result<Vec<TextFile>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .context("could not run git, which lists the files of the repository")?;
    let said = String::from_utf8_lossy(&listing.stderr);
    ensure!(listing.status.success(), "`git ls-files` failed: {}", said.trim());
    let paths = String::from_utf8_lossy(&listing.stdout).into_owned();
    let mut files = Vec::new();
    for path in paths.split('\0').filter(|path| !path.is_empty() && *path != "Cargo.lock") {
        // A file that is deleted but not yet committed, or that is no text, has nothing to check.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            files.push(TextFile { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let findings = check(root).unwrap();
        let text: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(text.is_empty(), "{} findings:\n{}", text.len(), text.join("\n"));
    }

    #[test]
    fn findings_read_like_a_compilers() {
        assert_eq!(Finding::new("a.rs", 7, "bad").to_string(), "a.rs:7: bad");
        assert_eq!(Finding::new("a.rs", 0, "bad").to_string(), "a.rs: bad");
    }
}
