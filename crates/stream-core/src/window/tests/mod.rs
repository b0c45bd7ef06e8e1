//! Windows against brute force: random streams with disorder, late records, idle inputs and restores at another
//! parallelism. Every case has a seed, which a failure names.

mod ids;
mod jobs;
mod oracle;
mod random;
mod variations;
