//! What serde's callbacks say when a value does not fit, in our words.

use std::fmt;

use serde::de::{Expected, Unexpected};

use crate::key::did_you_mean;

/// Why a value was refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Not yet connected with a key.
    Words { message: String, hint: String },
    /// A field without a value; the struct around it knows the section.
    Missing { field: &'static str },
    /// Noted as a problem of this full key.
    Reported { key: String },
    /// Noted, or a consequence of something noted; there is nothing to leave out.
    Stop,
}

impl Refusal {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Words { message: message.into(), hint: hint.into() }
    }

    pub(crate) fn into_words(self) -> (String, String) {
        match self {
            Self::Words { message, hint } => (message, hint),
            Self::Missing { field } => (format!("the key `{field}` is missing"), format!("set `{field}`")),
            Self::Reported { .. } | Self::Stop => ("the value does not fit".to_owned(), String::new()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words { message, .. } => f.write_str(message),
            Self::Missing { field } => write!(f, "the key `{field}` is missing"),
            Self::Reported { key } => write!(f, "the value of `{key}` does not fit"),
            Self::Stop => f.write_str("the value does not fit"),
        }
    }
}

impl std::error::Error for Refusal {}

/// The value as a message quotes it.
struct Quoted<'u>(Unexpected<'u>);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Unexpected::Bool(value) => write!(f, "`{value}`"),
            Unexpected::Unsigned(value) => write!(f, "`{value}`"),
            Unexpected::Signed(value) => write!(f, "`{value}`"),
            Unexpected::Float(value) => write!(f, "`{value}`"),
            Unexpected::Char(value) => write!(f, "`{value}`"),
            Unexpected::Str(value) => write!(f, "`{}`", crate::value::shown(value)),
            Unexpected::Map => f.write_str("a section"),
            Unexpected::Seq => f.write_str("a list"),
            other => write!(f, "{other}"),
        }
    }
}

impl serde::de::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string(), "")
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("{} does not fit here", Quoted(found)), format!("write {expected}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        if expected.to_string().starts_with("a nonzero") {
            return Self::new(format!("{} is out of range", Quoted(found)), "write a whole number of at least 1");
        }
        Self::new(format!("{} does not fit here", Quoted(found)), format!("write {expected}"))
    }

    fn invalid_length(found: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("a list of {found} values does not fit here"), format!("write {expected}"))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        let choices: Vec<String> = expected.iter().map(|choice| format!("`{choice}`")).collect();
        let hint = match did_you_mean(found, expected.iter().copied()) {
            Some(nearest) => format!("did you mean `{nearest}`? possible are {}", choices.join(", ")),
            None => format!("possible are {}", choices.join(", ")),
        };
        Self::new(format!("`{}` is not one of the possible values", crate::value::shown(found)), hint)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing { field }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("`{field}` is given in two spellings"), "keep one of the two")
    }
}
