//! What people are told at the end, on standard error.

use stream_core::Error;

/// Prints an error with its place and what to do next.
#[expect(clippy::print_stderr, reason = "the end of a program tells people what happened")]
pub(crate) fn error(error: &Error) {
    eprintln!("{error}");
}

/// Prints one line.
#[expect(clippy::print_stderr, reason = "the end of a program tells people what happened")]
pub(crate) fn line(text: &str) {
    eprintln!("{text}");
}
