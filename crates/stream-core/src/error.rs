//! The one error of this crate: a kind that tells the caller what to do, a message, a hint, and
//! the operator it happened in, attached once by the chain link that called it.

use std::fmt;
use std::sync::Arc;

/// What went wrong, as a shorthand for what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is wrong: mend the configuration. Never retried.
    Config,
    /// A record can't be read or written as it is: mend the data or choose what to do with bad records.
    Data,
    /// A broker, disk or network did not answer: trying again later may help.
    Unavailable,
    /// Another instance has taken over: this one must not go on.
    Fenced,
    /// Stored data is damaged or missing.
    Corrupt,
    /// A user function returned an error or panicked.
    User,
    /// A broken promise inside the engine: please report it.
    Internal,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Config => "config",
            ErrorKind::Data => "data",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Fenced => "fenced",
            ErrorKind::Corrupt => "corrupt",
            ErrorKind::User => "user",
            ErrorKind::Internal => "internal",
        })
    }
}

/// Where in the job an error happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The operator's name, as people read it.
    pub operator: String,
    /// The operator's stable id.
    pub uid: String,
    /// Which parallel instance, counted from 0.
    pub subtask: usize,
    /// How many parallel instances there are.
    pub parallelism: usize,
    /// The source positions of the records in hand, where they are known.
    pub position: Option<String>,
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error with a kind, a message, a hint and the place in the job it comes from.
///
/// # Example
/// ```
/// use stream_core::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::Data, "`x` is not a number").with_hint("write digits only");
/// assert_eq!(error.kind(), ErrorKind::Data);
/// assert_eq!(error.to_string(), "error[data]: `x` is not a number\n   = help: write digits only");
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    place: Option<Place>,
    cause: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; the message is lower case and says what was tried.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, message: message.into(), hint: None, place: None, cause: None }))
    }

    /// What a user function returned; an [`Error`] of this crate stays what it is.
    pub fn user(cause: impl Into<Cause>) -> Error {
        match cause.into().downcast::<Error>() {
            Ok(error) => *error,
            Err(cause) => Error::new(ErrorKind::User, cause.to_string()).with_cause(cause),
        }
    }

    /// A broken promise inside the engine.
    pub fn internal(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Internal, message).with_hint("this is a bug in stream-rs: please report it")
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the underlying error, reachable through [`std::error::Error::source`].
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Cause>) -> Error {
        self.0.cause = Some(Arc::from(cause.into()));
        self
    }

    /// Attaches the operator; an error that already has a place keeps it, so that the innermost operator is named.
    #[must_use]
    pub(crate) fn at(mut self, place: impl FnOnce() -> Place) -> Error {
        if self.0.place.is_none() {
            self.0.place = Some(place());
        }
        self
    }

    /// The kind, which says what to do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message without place and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, if there is something to say.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The operator it happened in, if it happened in one.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// Puts several errors into one, so that a user sees every mistake at once.
    pub fn join(errors: Vec<Error>) -> Option<Error> {
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        let rest: Vec<Error> = errors.collect();
        if rest.is_empty() {
            return Some(first);
        }
        let kind = first.kind();
        let text: Vec<String> = std::iter::once(first).chain(rest).map(|e| e.to_string()).collect();
        // The parts keep their own `error[kind]` heads; the sum shows them one after another.
        let mut joined = Error::new(kind, "");
        joined.0.message = text.join("\n\n");
        joined.0.cause = Some(Arc::new(Joined));
        Some(joined)
    }
}

/// Marks an [`Error`] whose message already holds complete, formatted errors.
#[derive(Debug)]
struct Joined;

impl fmt::Display for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("several errors")
    }
}

impl std::error::Error for Joined {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let complete = inner.cause.as_ref().is_some_and(|c| c.is::<Joined>() || c.is::<stream_conf::Error>());
        if complete {
            f.write_str(&inner.message)?;
        } else {
            write!(f, "error[{}]: {}", inner.kind, inner.message)?;
        }
        if let Some(place) = &inner.place {
            let (subtask, parallelism) = (place.subtask + 1, place.parallelism);
            write!(f, "\n  --> operator `{}` (uid {}), subtask {subtask} of {parallelism}", place.operator, place.uid)?;
            if let Some(position) = &place.position {
                write!(f, "\n  --> source position {position}")?;
            }
        }
        if let Some(hint) = &inner.hint {
            write!(f, "\n   = help: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    /// The same text as `Display`: it is what `fn main() -> Result<()>` prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref().map(|c| c as &(dyn std::error::Error + 'static))
    }
}

impl From<stream_conf::Error> for Error {
    fn from(error: stream_conf::Error) -> Error {
        Error::new(ErrorKind::Config, error.to_string()).with_cause(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(operator: &str) -> Place {
        Place { operator: operator.into(), uid: "u".into(), subtask: 0, parallelism: 2, position: None }
    }

    #[test]
    fn the_innermost_operator_is_named() {
        let error = Error::new(ErrorKind::Data, "bad").at(|| place("inner")).at(|| place("outer"));
        assert_eq!(error.to_string(), "error[data]: bad\n  --> operator `inner` (uid u), subtask 1 of 2");
    }

    #[test]
    fn an_error_of_ours_from_a_user_function_keeps_its_kind_and_hint() {
        let error = Error::user(Error::new(ErrorKind::Data, "bad").with_hint("mend it"));
        assert_eq!((error.kind(), error.hint()), (ErrorKind::Data, Some("mend it")));
        assert_eq!(Error::user("plain").to_string(), "error[user]: plain");
    }

    #[test]
    fn joined_errors_are_shown_one_after_another() {
        let errors = vec![Error::new(ErrorKind::Config, "a").with_hint("h"), Error::new(ErrorKind::Config, "b")];
        let joined = Error::join(errors).expect("two errors");
        assert_eq!(joined.to_string(), "error[config]: a\n   = help: h\n\nerror[config]: b");
    }
}
