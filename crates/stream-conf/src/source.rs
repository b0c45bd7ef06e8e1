//! The text of one configuration file and the places in it: what an error needs to show its line.
//!
//! A file's text holds secrets in clear, so nothing outside this module sees a line of it before
//! the spans of secret values have been replaced by `***`. Spans are known once the file has been
//! parsed; for a file that could not be parsed, [`SourceText::unparsed`] guesses them from the
//! words in front of the separator and prefers to hide too much.

use std::fmt;
use std::sync::Arc;

use crate::secret::is_secret_key;

/// What stands in place of a secret.
pub(crate) const MASK: &str = "***";

/// Longest excerpt shown of one line; longer lines are cut around the place of the problem.
const EXCERPT_CHARS_MAX: usize = 120;

/// A range of characters; lines and columns count from 1, the end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Span {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) end_line: usize,
    pub(crate) end_column: usize,
}

impl Span {
    /// The part of the span on `line`, as start and end column; `usize::MAX` is the end of line.
    fn on_line(&self, line: usize) -> Option<(usize, usize)> {
        if line < self.line || line > self.end_line {
            return None;
        }
        let start = if line == self.line { self.column } else { 1 };
        let end = if line == self.end_line { self.end_column } else { usize::MAX };
        (start < end).then_some((start, end))
    }
}

/// One file (or text handed in by the program) with the spans of its secrets.
pub(crate) struct SourceText {
    name: Arc<str>,
    text: Arc<str>,
    masks: Masks,
}

enum Masks {
    Known(Vec<Span>),
    Guessed,
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may hold secrets.
        write!(f, "SourceText({})", self.name)
    }
}

impl SourceText {
    /// A parsed file, with the spans of its secret values.
    pub(crate) fn parsed(name: Arc<str>, text: Arc<str>, secrets: Vec<Span>) -> Self {
        Self { name, text, masks: Masks::Known(secrets) }
    }

    /// A file that could not be parsed: which parts are secret has to be guessed.
    pub(crate) fn unparsed(name: Arc<str>, text: Arc<str>) -> Self {
        Self { name, text, masks: Masks::Guessed }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The line of `span` with a mark below the span, every secret masked.
    pub(crate) fn excerpt(&self, span: Span) -> Option<Excerpt> {
        self.excerpt_hiding(span, Span::default())
    }

    /// As [`Self::excerpt`], and `secret` is masked too.
    pub(crate) fn excerpt_hiding(&self, span: Span, secret: Span) -> Option<Excerpt> {
        let line: Vec<char> = self.text.lines().nth(span.line.checked_sub(1)?)?.chars().collect();
        let mut hidden = self.hidden_parts(span.line, &line);
        hidden.extend(secret.on_line(span.line));
        hidden.extend(address_passwords(&line));
        hidden.sort_unstable();
        let (mark_start, mark_end) = span.on_line(span.line).unwrap_or((span.column, span.column));
        let shown = mask_line(&line, &hidden);
        let position = |column: usize| {
            let at = shown.iter().position(|(_, source)| *source >= column);
            at.unwrap_or(shown.len())
        };
        // A mark that begins inside a masked part moves to the beginning of that part.
        let inside = hidden.iter().find(|(start, end)| *start <= mark_start && mark_start < *end);
        let start = position(inside.map_or(mark_start, |(start, _)| *start));
        let width = position(mark_end).saturating_sub(start).max(1);
        let text: Vec<char> = shown.into_iter().map(|(character, _)| character).collect();
        Some(cut(span.line, &text, start, width))
    }

    /// Column ranges of `line` that must not be shown.
    fn hidden_parts(&self, number: usize, line: &[char]) -> Vec<(usize, usize)> {
        match &self.masks {
            Masks::Known(spans) => spans.iter().filter_map(|span| span.on_line(number)).collect(),
            Masks::Guessed => self.guess_hidden(number, line),
        }
    }

    /// Hides everything behind the first secret-looking key of the line, and a whole line that
    /// stands below a secret-looking key or continues its value.
    fn guess_hidden(&self, number: usize, line: &[char]) -> Vec<(usize, usize)> {
        let text: String = line.iter().collect();
        if let Some(start) = secret_value_start(&text) {
            return vec![(start, usize::MAX)];
        }
        let everything = vec![(1, usize::MAX)];
        // A line without a key continues a value, at whatever indentation.
        let mut owner_indent = leading_key(&text).map_or(usize::MAX, |_| indent(&text));
        let above: Vec<&str> = self.text.lines().take(number.saturating_sub(1)).collect();
        for line in above.iter().rev() {
            let Some(key) = leading_key(line) else {
                continue;
            };
            let is_table = line.trim_start().starts_with('[');
            if indent(line) < owner_indent || is_table {
                if is_secret_key(key) {
                    return everything;
                }
                owner_indent = indent(line);
            }
            if is_table {
                break;
            }
        }
        Vec::new()
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Column ranges of passwords in addresses: `scheme://user:password@host`.
pub(crate) fn address_passwords(line: &[char]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = line[from..].windows(3).position(|part| part == [':', '/', '/']) {
        let start = from + at + 3;
        let rest = &line[start..];
        let end = rest.iter().position(|c| c.is_whitespace() || "/\"'".contains(*c)).unwrap_or(rest.len());
        let user = &rest[..end];
        let host = user.iter().rposition(|c| *c == '@');
        let colon = user.iter().position(|c| *c == ':');
        if let (Some(colon), Some(host)) = (colon, host)
            && colon + 1 < host
        {
            // Columns count from 1.
            found.push((start + colon + 2, start + host + 1));
        }
        from = start;
    }
    found
}

/// The key that a line of YAML, TOML or properties begins with, if it begins with one.
fn leading_key(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches("- ").trim_start_matches('[');
    let end = line.find(|c: char| !(c.is_alphanumeric() || "._-\"'".contains(c)))?;
    let rest = line[end..].trim_start();
    let separated = match rest.chars().next()? {
        // Base64 ends in `=`, so a separator must have something behind it.
        '=' => !rest[1..].trim_start_matches('=').trim().is_empty(),
        ':' => rest.len() == 1 || rest[1..].starts_with([' ', '\t']),
        ']' => true,
        _ => false,
    };
    (end > 0 && separated).then(|| &line[..end])
}

/// The column (from 1) behind the separator of the first secret-looking key of the line.
fn secret_value_start(line: &str) -> Option<usize> {
    let mut word = String::new();
    let is_separator = |character: char| matches!(character, ':' | '=' | ' ' | '\t');
    for (index, character) in line.chars().enumerate() {
        match character {
            _ if is_separator(character) => {
                if is_secret_key(&word) {
                    let separators = line.chars().skip(index).take_while(|c| is_separator(*c)).count();
                    return Some(index + separators + 1);
                }
                word.clear();
            }
            ',' | '{' | '[' => word.clear(),
            _ => word.push(character),
        }
    }
    None
}

/// The characters to show, each with the source column it stands for. Control characters become
/// blanks, so that a file cannot steer the terminal.
fn mask_line(line: &[char], hidden: &[(usize, usize)]) -> Vec<(char, usize)> {
    let mut shown = Vec::with_capacity(line.len());
    let mut masked_until = 0;
    for (index, character) in line.iter().enumerate() {
        let column = index + 1;
        if column < masked_until {
            continue;
        }
        if let Some((start, end)) = hidden.iter().find(|(start, end)| *start <= column && column < *end) {
            masked_until = *end;
            shown.extend(MASK.chars().map(|mask| (mask, *start)));
            continue;
        }
        let character = if character.is_control() { ' ' } else { *character };
        shown.push((character, column));
    }
    shown
}

fn cut(line: usize, text: &[char], start: usize, width: usize) -> Excerpt {
    if text.len() <= EXCERPT_CHARS_MAX {
        let text: String = text.iter().collect();
        return Excerpt { line, text: text.trim_end().to_owned(), start, width };
    }
    let first = start.saturating_sub(EXCERPT_CHARS_MAX / 2);
    let last = (first + EXCERPT_CHARS_MAX).min(text.len());
    let mut shown = String::new();
    if first > 0 {
        shown.push('…');
    }
    shown.extend(&text[first..last]);
    if last < text.len() {
        shown.push('…');
    }
    Excerpt {
        line,
        text: shown,
        start: start - first + usize::from(first > 0),
        width: width.min(last.saturating_sub(start)).max(1),
    }
}

/// One line of a file, safe to print, and where to mark it (`start` counts from 0).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) start: usize,
    pub(crate) width: usize,
}

/// Where in which file a value stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) source: Arc<SourceText>,
    /// The value.
    pub(crate) value: Span,
    /// The last part of its key.
    pub(crate) key: Span,
}
