//! Typed streams, operators, time, state and checkpoints
