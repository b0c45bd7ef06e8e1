//! What the examples share: logs, signals, exit codes.

use std::process::ExitCode;

use stream_core::{ErrorKind, JobHandle, Result};
use tracing_subscriber::EnvFilter;

/// Logs go to standard error, so that data has standard output to itself. `RUST_LOG` chooses what is said.
pub fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
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
