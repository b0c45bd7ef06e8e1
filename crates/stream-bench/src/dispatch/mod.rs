//! The execution-model benchmark: what a record pays for dispatch, threads and timestamps.
//!
//! It was written before the engine and answers three questions of
//! `docs/decisions/0001-execution-model.md`, each with code as small as the question allows:
//! how operators of a chain call each other (`chain`), which threads drive the chains
//! (`threads`), and where a batch keeps its timestamps (`timestamps`).
//!
//! Every contender computes a checksum that is compared with the others, the contenders of one
//! table take turns, and the best turn counts: noise from neighbours only ever adds time.

mod output;
mod workload;

mod chain;
mod exchange;
mod subtask;
mod threads;
mod timestamps;

/// Measures everything, in about a minute, and returns the tables as Markdown.
pub fn run() -> String {
    [chain::report(), threads::report(), timestamps::report()].join("\n")
}
