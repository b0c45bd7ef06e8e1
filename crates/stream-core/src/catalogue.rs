//! The catalogue: every key a job understands. Core brings its own, connectors add theirs when the job uses them.

use std::fmt;

/// One key of the configuration, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The full key; `<...>` in it stands for any text.
    pub key: String,
    /// Other full spellings that mean the same.
    pub spellings: Vec<String>,
    /// What its value looks like, such as `duration`; empty if any text will do.
    pub kind: String,
    /// What holds when it is not given; empty if nothing does.
    pub default: String,
    /// One line.
    pub meaning: String,
    /// What becomes of it.
    pub state: KeyState,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// The engine or a connector does what it says.
    ActedOn,
    /// It goes to the client of an outside system, such as `Kafka`.
    PassedTo(&'static str),
    /// It is read and checked; what it asks for is not built yet, and a warning at the start says so.
    NotYet,
    /// It has no effect here, and a warning at the start says so.
    NoEffect,
    /// It is an error.
    Refused,
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyState::ActedOn => f.write_str("acted on"),
            KeyState::PassedTo(system) => write!(f, "passed to {system}"),
            KeyState::NotYet => f.write_str("warned, not yet"),
            KeyState::NoEffect => f.write_str("warned"),
            KeyState::Refused => f.write_str("refused"),
        }
    }
}
