//! What the examples share: logs, signals, exit codes. README and book are compiled here too.

use std::io::IsTerminal;
use std::process::ExitCode;

use stream_core::{ErrorKind, JobHandle, Result};
use tracing_subscriber::EnvFilter;

/// Logs go to standard error, so that data has standard output to itself. `RUST_LOG` chooses what is said.
pub fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Colours are for terminals: a log file with escape codes in it can't be searched.
    let colours = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    logs.with_ansi(colours).with_target(false).init();
}

/// Starts a job and waits for it; the first Ctrl-C or TERM stops it well, the second at once.
///
/// Exit code 0 if it ended well, 1 if it failed, 2 if its configuration is wrong.
#[expect(clippy::print_stderr, reason = "the end of a program tells people what happened")]
pub fn run_until_stopped(start: impl FnOnce() -> Result<JobHandle>) -> ExitCode {
    init_logs();
    let result = start().and_then(|job| {
        let stopped = job.clone();
        let mut signals = 0;
        let installed = ctrlc::set_handler(move || {
            signals += 1;
            if signals == 1 {
                eprintln!("stopping: draining, flushing, committing positions (again to stop at once)");
                stopped.stop();
            } else {
                stopped.abort();
            }
        });
        if let Err(error) = installed {
            tracing::warn!("signals are not handled: {error}");
        }
        job.wait()
    });
    match result {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            if error.kind() == ErrorKind::Config { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// The Rust blocks of README and book, each page one item of documentation tests.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/src/write-a-job.md")]
    struct WriteAJob;
    #[doc = include_str!("../../docs/src/configuration.md")]
    struct Configuration;
    #[doc = include_str!("../../docs/src/kafka-source.md")]
    struct KafkaSource;
    #[doc = include_str!("../../docs/src/kafka-sink.md")]
    struct KafkaSink;
    #[doc = include_str!("../../docs/src/testing.md")]
    struct Testing;
    #[doc = include_str!("../../docs/src/coming-from-streampark.md")]
    struct ComingFromStreamPark;
}
