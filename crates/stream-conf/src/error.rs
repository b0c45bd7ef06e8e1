//! The one error type: every problem found, each with its place, its line and a next step.

use std::fmt;

use crate::key;
use crate::source::{Excerpt, Place, SourceText, Span};
use crate::value::{Entry, Origin};

/// Configuration that cannot be used. Holds every problem that could be found at once.
///
/// There is one kind, because there is one thing to do: correct the configuration. `Display` and
/// `Debug` both print the full report, so that returning it from `main` reads well.
///
/// # Example
/// ```
/// use stream_conf::{Configuration, Format};
///
/// let configuration = Configuration::builder()
///     .text("application.yml", Format::Yaml, "checkpoint:\n  interval.ms: often\n")
///     .build()?;
/// let error = configuration.section("checkpoint").parse::<u32>("interval.ms").unwrap_err();
/// assert_eq!(error.to_string(), "\
/// error[config]: `often` is not a whole number
///   --> application.yml:2:16
///    |
///  2 |   interval.ms: often
///    |                ^^^^^
///    = key: checkpoint.interval.ms
///    = help: write a whole number from 0 to 4294967295, or remove the line to use the default");
/// # Ok::<(), stream_conf::Error>(())
/// ```
pub struct Error {
    problems: Vec<Problem>,
}

impl Error {
    /// Every problem found, in the order of their places.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The problems themselves.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// One error of several checks; `None` when none of them failed.
    pub fn of(problems: impl IntoIterator<Item = Problem>) -> Option<Self> {
        let problems: Vec<Problem> = problems.into_iter().collect();
        (!problems.is_empty()).then_some(Self { problems })
    }

    /// `Ok` when there are no problems: the end of a function that collects them.
    pub fn check(problems: impl IntoIterator<Item = Problem>) -> Result<(), Self> {
        Self::of(problems).map_or(Ok(()), Err)
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

/// One thing that is wrong with the configuration.
///
/// A problem never holds the value of a secret: messages made [for an entry](Self::for_entry) are
/// cleaned of it, and the excerpt of the file is masked when the problem is made.
#[derive(Clone, Debug)]
pub struct Problem(Box<Details>);

/// Boxed, so that a `Result` with a problem stays small.
#[derive(Clone, Debug, Default)]
struct Details {
    message: String,
    key: Option<String>,
    origin: Option<Origin>,
    excerpt: Option<Excerpt>,
    hint: Option<String>,
    notes: Vec<String>,
}

impl Problem {
    /// A problem with no place: lower case, what is wrong, names in backticks.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Box::new(Details { message: message.into(), ..Details::default() }))
    }

    /// A problem with the value of `key`; takes over place and excerpt, and removes the value from
    /// message and excerpt if it is secret.
    pub fn for_entry(key: impl Into<String>, entry: &Entry, message: impl Into<String>) -> Self {
        let mut problem = Self::new(entry.cleaned(message.into())).with_key(key).with_origin(entry.origin().clone());
        if let Some(place) = entry.place() {
            problem.0.excerpt = excerpt(place, place.value, entry.is_secret());
        }
        problem
    }

    /// A problem with the key itself rather than with its value.
    pub(crate) fn for_key(key: impl Into<String>, entry: &Entry, message: impl Into<String>) -> Self {
        let problem = Self::for_entry(key, entry, message);
        match entry.place() {
            Some(place) => problem.at_key(place, entry.is_secret()),
            None => problem,
        }
    }

    fn at_key(mut self, place: &Place, secret: bool) -> Self {
        self.0.origin =
            Some(Origin::File { name: place.source.name().clone(), line: place.key.line, column: place.key.column });
        self.0.excerpt = excerpt(place, place.key, secret);
        self
    }

    /// A key that nobody knows. If the word it was meant to be is secret, so is its value here.
    pub(crate) fn unknown_key(full_key: &str, entry: &Entry, word: &str, known: &[&str]) -> Self {
        let nearest = key::did_you_mean(word, known.iter().copied());
        let hint = match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "check the spelling, or remove it".to_owned(),
        };
        let problem = Self::for_key(full_key, entry, format!("unknown key `{word}`"));
        let problem = match entry.place() {
            Some(place) if nearest.is_some_and(crate::is_secret_key) => problem.at_key(place, true),
            _ => problem,
        };
        problem.with_hint(hint)
    }

    pub(crate) fn with_message(mut self, message: String) -> Self {
        self.0.message = message;
        self
    }

    /// Points at a place in a file.
    pub(crate) fn at(mut self, source: &SourceText, span: Span) -> Self {
        self.0.origin = Some(Origin::File { name: source.name().clone(), line: span.line, column: span.column });
        self.0.excerpt = source.excerpt(span);
        self
    }

    /// Names the full key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// Says where the value came from.
    #[must_use]
    pub fn with_origin(mut self, origin: Origin) -> Self {
        self.0.origin = Some(origin);
        self
    }

    /// Says what to do next; an empty hint is none.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.0.hint = (!hint.is_empty()).then_some(hint);
        self
    }

    /// Adds a fact, such as the place of the other one of two values.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Self {
        self.0.notes.push(note.into());
        self
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The full key, if one is to blame.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Where the value came from, if known.
    pub fn origin(&self) -> Option<&Origin> {
        self.0.origin.as_ref()
    }

    /// What to do next.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Further facts.
    pub fn notes(&self) -> &[String] {
        &self.0.notes
    }

    /// The line of the file that the problem is on, secrets masked.
    pub fn snippet(&self) -> Option<&str> {
        self.0.excerpt.as_ref().map(|excerpt| excerpt.text.as_str())
    }
}

/// The line with a mark below `span`; a secret is masked even if only its type tells that it is one.
fn excerpt(place: &Place, span: Span, secret: bool) -> Option<Excerpt> {
    let hidden = if secret { place.value } else { Span::default() };
    place.source.excerpt_hiding(span, hidden)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.excerpt.as_ref().map_or_else(String::new, |excerpt| excerpt.line.to_string());
        let gutter = " ".repeat(number.len().max(1) + 2);
        write!(f, "error[config]: {}", self.0.message)?;
        if let Some(origin) = &self.0.origin {
            write!(f, "\n{}--> {origin}", &gutter[1..])?;
        }
        if let Some(excerpt) = &self.0.excerpt {
            let blank = " ".repeat(excerpt.start);
            let mark = "^".repeat(excerpt.width);
            write!(f, "\n{gutter}|\n {number} | {}\n{gutter}| {blank}{mark}", excerpt.text)?;
        }
        if let Some(key) = &self.0.key {
            write!(f, "\n{gutter}= key: {key}")?;
        }
        for note in &self.0.notes {
            write!(f, "\n{gutter}= note: {note}")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "\n{gutter}= help: {hint}")?;
        }
        Ok(())
    }
}
