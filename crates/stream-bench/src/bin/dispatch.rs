//! Prints the tables of the execution-model benchmark (`docs/decisions/0001-execution-model.md`).
#![allow(clippy::print_stdout, reason = "printing the tables is what this binary is for")]

fn main() {
    print!("{}", stream_bench::dispatch::run());
}
