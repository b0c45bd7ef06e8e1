//! One configured value: its text, where it came from, and whether it may be shown.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::source::{MASK, Place, address_passwords};

/// A value as it was written: text, or a list of texts.
///
/// Numbers and booleans are text on purpose. `007`, `on`, `1e3` and `0:182,1:183` mean something
/// to whoever reads the key, and only they know which type it is. `Debug` prints `***`, because a
/// value alone does not know whether its key is secret; print the [`Entry`] instead.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A scalar.
    Text(String),
    /// A YAML or TOML sequence of scalars.
    List(Vec<String>),
}

impl Value {
    /// The value as one text; a list is joined by commas.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::List(items) => Cow::Owned(items.join(",")),
        }
    }

    /// The items of a list, or of a text cut at its commas; blanks around items and empty items
    /// of a text are dropped.
    pub fn items(&self) -> Vec<&str> {
        match self {
            Self::Text(text) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
            Self::List(items) => items.iter().map(String::as_str).collect(),
        }
    }

    fn parts(&self) -> &[String] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::List(items) => items,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A value alone does not know its key, so it cannot know whether it is secret.
        f.write_str(MASK)
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Origin {
    /// A default built into the program.
    Default,
    /// A place in a file; line and column count from 1 and point at the value.
    File {
        /// The path as it was given.
        name: Arc<str>,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// The environment variable of this name.
    Environment(String),
    /// An argument of the command line, without its value (which may be a secret).
    Argument(String),
    /// Set by the program itself, above every other layer.
    Set,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Argument(argument) => write!(f, "command line {argument}"),
            Self::Set => f.write_str("set by the program"),
        }
    }
}

/// A value with its provenance.
///
/// `Debug` shows the value only when it is not secret.
#[derive(Clone)]
pub struct Entry {
    value: Value,
    text: Arc<str>,
    origin: Origin,
    secret: bool,
    under_app: bool,
    place: Option<Place>,
}

impl Entry {
    pub(crate) fn new(value: Value, origin: Origin) -> Self {
        let text = Arc::from(value.text().as_ref());
        Self { value, text, origin, secret: false, under_app: false, place: None }
    }

    pub(crate) fn with_place(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    pub(crate) fn marked_secret(mut self, secret: bool) -> Self {
        self.secret |= secret;
        self
    }

    pub(crate) fn marked_under_app(mut self, under_app: bool) -> Self {
        self.under_app |= under_app;
        self
    }

    /// The value as it was written, substitutions done.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The value as one text; a list is joined by commas.
    ///
    /// This is the value in clear, even when it [is secret](Self::is_secret).
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the value came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the value is masked when printed: its key looks like a secret's, or it was read
    /// through `${file:…}`.
    pub fn is_secret(&self) -> bool {
        self.secret
    }

    /// Whether some layer wrote the key below `app:`, where a user's own parameters stand.
    pub fn is_under_app(&self) -> bool {
        self.under_app
    }

    /// The value for people: masked when secret, control characters escaped, long text cut.
    pub fn shown(&self) -> String {
        if self.secret { MASK.to_owned() } else { shown(&self.text) }
    }

    pub(crate) fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// `message` without the value, if the value is secret.
    pub(crate) fn cleaned(&self, message: String) -> String {
        if self.secret { hide(message, &self.value) } else { message }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.shown(), self.origin)
    }
}

/// Longest value printed in full.
const SHOWN_CHARS_MAX: usize = 200;

/// Text for a terminal: control characters escaped, quoted where its ends would not be seen.
pub(crate) fn shown(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let passwords = address_passwords(&characters);
    let mut shown = String::new();
    for (index, character) in characters.iter().enumerate() {
        let column = index + 1;
        if index == SHOWN_CHARS_MAX {
            shown.push('…');
            break;
        }
        match passwords.iter().find(|(start, end)| (*start..*end).contains(&column)) {
            Some((start, _)) if *start == column => shown.push_str(MASK),
            Some(_) => {}
            None if character.is_control() => shown.extend(character.escape_default()),
            None => shown.push(*character),
        }
    }
    if shown.trim() != shown || shown.is_empty() {
        shown = format!("\"{shown}\"");
    }
    shown
}

/// Removes a secret from a message that somebody else wrote: as it is, line by line, and as
/// [`shown`] prints it.
///
/// Short values are only removed as whole words: a password `a` should not blank every `a`.
fn hide(mut message: String, value: &Value) -> String {
    let mut words: Vec<String> = vec![value.text().into_owned()];
    for part in value.parts() {
        words.extend([part.clone(), part.trim().to_owned()]);
        words.extend(part.lines().map(str::to_owned));
    }
    let printed: Vec<String> = words.iter().map(|word| shown(word)).collect();
    let printed = printed.iter().map(|word| word.trim_matches(['"', '…']).to_owned());
    words.extend(printed.collect::<Vec<_>>());
    words.retain(|word| !word.trim().is_empty());
    words.sort_unstable_by_key(|word| std::cmp::Reverse(word.len()));
    for word in words {
        message = if word.chars().count() >= 4 { message.replace(&word, MASK) } else { hide_word(&message, &word) };
    }
    message
}

fn hide_word(message: &str, word: &str) -> String {
    let mut result = String::new();
    let mut rest = message;
    while let Some(at) = rest.find(word) {
        let (before, from) = rest.split_at(at);
        let after = &from[word.len()..];
        let bounded = !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric);
        result.push_str(before);
        result.push_str(if bounded { MASK } else { word });
        rest = after;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_leave_messages() {
        let hidden = |value: &str, message: &str| {
            Entry::new(Value::Text(value.into()), Origin::Default).marked_secret(true).cleaned(message.into())
        };
        assert_eq!(hidden("hunter2", "`hunter2` is bad"), "`***` is bad");
        assert_eq!(hidden("a", "`a` is a bad day"), "`***` is *** bad day");
        assert_eq!(hidden("", "nothing"), "nothing");
        assert_eq!(hidden("two\nlines", "saw lines"), "saw ***");
    }

    #[test]
    fn shown_text_is_safe() {
        assert_eq!(shown("a\u{1b}[0m\n"), "a\\u{1b}[0m\\n");
        assert_eq!(shown(" x"), "\" x\"");
        assert_eq!(shown(""), "\"\"");
    }
}
