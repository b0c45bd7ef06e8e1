//! Benchmarks, load generators and the contestant for side-by-side runs
