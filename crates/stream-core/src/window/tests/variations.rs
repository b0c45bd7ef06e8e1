//! Operators in the harness.
