//! The contestant for side-by-side runs with other stream processors: environment variables in, one JSON line out.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "that is its contract")]

use std::process::ExitCode;

use stream_bench::copy::Copy;
use stream_bench::usage::now_ms;
use stream_bench::{auctions, bidders, prices};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn main() -> ExitCode {
    let workload = variable("WORKLOAD", "W1");
    let commit_ms = if workload == "W5" { "5000" } else { "1000" };
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let copy = Copy {
        bootstrap: variable("BOOTSTRAP", "127.0.0.1:19092"),
        from: variable("IN_TOPIC", "bids"),
        to: variable("OUT_TOPIC", "out"),
        group: variable("GROUP", "ours"),
        exactly_once: (workload != "W1").then(|| variable("STATE_DIR", "state").into()),
        commit_ms: variable("COMMIT_MS", commit_ms).parse().unwrap_or(1000),
        parallelism: variable("PARALLELISM", "1").parse().unwrap_or(1),
        total: Default::default(),
        first: Default::default(),
    };
    let run = match &*workload {
        "W1" | "W2" => copy.run(),
        "W3" => prices::run(&copy),
        "W4" => auctions::run(&copy),
        "W5" => bidders::run(&copy, variable("STATE_DIR", "state").as_ref()),
        other => {
            eprintln!("workload {other} is not supported yet");
            return ExitCode::from(2);
        }
    };
    match run {
        Ok(copied) => {
            let (records, first, last) = (copied.records, copied.first_ms, now_ms());
            println!(r#"{{"peer":"stream-rs","processed":{records},"first_ms":{first},"last_ms":{last}}}"#);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
