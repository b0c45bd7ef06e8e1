//! Runnable examples of stream-rs.
