//! Prints what the model was searched for and what was found: `cargo run --release -p stream-model`.
//!
//! `traces` prints the shortest way to every failure, too; `deep` searches larger bounds instead. The exit code is 1 if
//! anything is not as it must be.
#![allow(clippy::print_stdout, reason = "a tool for developers: it prints")]

use std::process::ExitCode;

use stream_model::{CONTROLS, DEEP, HEAD, LIVENESS, PROTOCOL, Report, run};

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let wants = |word: &str| asked.iter().any(|argument| argument == word);
    let lists = if wants("deep") { vec![DEEP] } else { vec![PROTOCOL, LIVENESS, CONTROLS] };
    println!("{HEAD}");
    let mut reports: Vec<Report> = Vec::new();
    for case in lists.into_iter().flatten() {
        let report = run(case);
        println!("{report}");
        reports.push(report);
    }
    for report in &reports {
        let is_told = wants("traces") || !report.is_expected();
        if is_told && !report.trace.is_empty() {
            println!("\n{}: {}", report.case.name, report.verdict);
            report.trace.iter().for_each(|line| println!("  {line}"));
        }
        if !report.is_expected() {
            println!("\n{}: must come to: {}", report.case.name, report.case.expected);
        }
    }
    ExitCode::from(u8::from(!reports.iter().all(Report::is_expected)))
}
