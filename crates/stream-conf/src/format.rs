//! File formats: each parses a text into flat dotted keys with the places of key and value.
//!
//! All three give the same [`Document`], so that `kafka.source:`, `kafka: source:` and
//! `[kafka.source]` are one key from here on. Scalars are text; what a text means is decided by
//! whoever reads the key.

mod properties;
mod toml;
mod yaml;

use std::path::Path;

use crate::error::Problem;
use crate::key;
use crate::source::Span;

/// The formats a configuration file can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// YAML 1.2 (and therefore JSON): `.yml`, `.yaml`, `.json`.
    Yaml,
    /// TOML: `.toml`.
    Toml,
    /// Java properties: `.properties`.
    Properties,
}

impl Format {
    /// The format that the extension of a file name stands for.
    ///
    /// # Example
    /// ```
    /// use stream_conf::Format;
    ///
    /// assert_eq!(Format::of_path("conf/application.yml"), Some(Format::Yaml));
    /// assert_eq!(Format::of_path("application.conf"), None);
    /// ```
    pub fn of_path(path: impl AsRef<Path>) -> Option<Self> {
        let extension = path.as_ref().extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "yml" | "yaml" | "json" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            "properties" => Some(Self::Properties),
            _ => None,
        }
    }

    /// Parses `text`; line breaks must already be `\n`.
    pub(crate) fn parse(self, text: &str) -> Result<Document, Fault> {
        match self {
            Self::Yaml => yaml::parse(text),
            Self::Toml => toml::parse(text),
            Self::Properties => properties::parse(text),
        }
    }
}

/// What a file says, in the order it says it.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) items: Vec<Item>,
    /// Faults that did not stop the parser.
    pub(crate) faults: Vec<Fault>,
}

/// One key of a file.
pub(crate) struct Item {
    /// Flat and dotted, as written: an `app.` prefix is still there.
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: RawValue,
    pub(crate) span: Span,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The value may be secret.
        write!(f, "Item({})", self.key)
    }
}

/// A value before substitution.
pub(crate) enum RawValue {
    /// Nothing, `~` or `null`: the key counts as not given.
    Absent,
    Scalar(RawScalar),
    List(Vec<RawScalar>),
}

/// A scalar before substitution.
#[derive(Clone)]
pub(crate) struct RawScalar {
    pub(crate) text: String,
    /// Written without quotes: a substitution that gives nothing makes it absent.
    pub(crate) plain: bool,
}

/// Something wrong with a file; becomes a [`Problem`] once the file's text is known.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) span: Span,
    pub(crate) key: Option<Box<str>>,
    /// The whole value that the fault is in; hidden when the key is secret.
    pub(crate) value: Span,
    pub(crate) hint: &'static str,
}

impl Fault {
    fn new(message: impl Into<String>, span: Span, hint: &'static str) -> Self {
        Self { message: message.into(), span, key: None, value: span, hint }
    }

    fn within(mut self, value: Span) -> Self {
        self.value = value;
        self
    }

    fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.into());
        self
    }

    pub(crate) fn problem(self) -> Problem {
        let problem = Problem::new(self.message).with_hint(self.hint);
        match self.key {
            Some(key) => problem.with_key(key),
            None => problem,
        }
    }
}

/// `prefix.name`, or why `name` cannot be part of a key.
fn join(prefix: &str, name: &str, span: Span) -> Result<String, Fault> {
    if let Some(fault) = key::fault(name) {
        return Err(Fault::new(fault, span, "name the key"));
    }
    if prefix.is_empty() { Ok(name.to_owned()) } else { Ok(format!("{prefix}.{name}")) }
}
