//! Java properties, as `java.util.Properties` reads them.
//!
//! Comments begin with `#` or `!`, the separator is `=`, `:` or blanks, a line that ends in an odd
//! number of backslashes goes on in the next, `\uXXXX` and the short escapes work. Two differences:
//! blanks behind a value are dropped (as StreamPark does; nobody means them), and a key given
//! twice is an error. A key without a value counts as not given.

use super::{Document, Fault, Item, RawScalar, RawValue, join};
use crate::source::Span;

pub(super) fn parse(text: &str) -> Result<Document, Fault> {
    let mut document = Document::default();
    let mut lines = text.split('\n').enumerate();
    while let Some((index, first)) = lines.next() {
        let start = first.trim_start();
        if start.is_empty() || start.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = Logical::default();
        logical.push(index + 1, first);
        while logical.continues() {
            match lines.next() {
                Some((index, next)) => logical.push(index + 1, next),
                None => break,
            }
        }
        match logical.item() {
            Ok(item) => document.items.push(item),
            Err(fault) => document.faults.push(fault),
        }
    }
    Ok(document)
}

/// A line with its continuations; every character knows its place.
#[derive(Default)]
struct Logical {
    characters: Vec<(char, usize, usize)>,
    open: bool,
}

impl Logical {
    fn push(&mut self, line: usize, text: &str) {
        let text_end = text.trim_end_matches('\\').len();
        self.open = (text.len() - text_end) % 2 == 1;
        let kept = if self.open { text.len() - 1 } else { text.len() };
        let characters = text[..kept].chars().enumerate();
        let characters = characters.skip_while(|(_, character)| is_blank(*character));
        self.characters.extend(characters.map(|(column, character)| (character, line, column + 1)));
    }

    fn continues(&self) -> bool {
        self.open
    }

    fn item(&self) -> Result<Item, Fault> {
        let characters = &self.characters;
        let key_end = self.find_separator();
        let mut value_start = self.skip_blanks(key_end);
        if matches!(characters.get(value_start), Some(('=' | ':', ..))) {
            value_start = self.skip_blanks(value_start + 1);
        }
        let mut value_end = characters.len();
        while value_end > value_start && self.is_bare_blank(value_end - 1) {
            value_end -= 1;
        }
        let (key_span, span) = (self.span(0, key_end), self.span(value_start, value_end));
        // The key as written tells whether the value may be shown.
        let written: String = characters[..key_end].iter().map(|(c, ..)| c).collect();
        let locate = |fault: Fault| fault.with_key(&written).within(span);
        let key = self.unescape(0, key_end).map_err(locate)?;
        let key = join("", &key, key_span).map_err(locate)?;
        let text = self.unescape(value_start, value_end).map_err(locate)?;
        let value = if text.is_empty() { RawValue::Absent } else { RawValue::Scalar(RawScalar { text, plain: true }) };
        Ok(Item { key, key_span, value, span })
    }

    fn is_bare_blank(&self, index: usize) -> bool {
        is_blank(self.characters[index].0) && !self.escaped(index)
    }

    /// Whether the character at `index` has an odd number of backslashes before it.
    fn escaped(&self, index: usize) -> bool {
        let before = self.characters[..index].iter().rev();
        before.take_while(|(character, ..)| *character == '\\').count() % 2 == 1
    }

    fn find_separator(&self) -> usize {
        let found = self.characters.iter().enumerate().position(|(index, (character, ..))| {
            (matches!(character, '=' | ':') || is_blank(*character)) && !self.escaped(index)
        });
        found.unwrap_or(self.characters.len())
    }

    fn skip_blanks(&self, from: usize) -> usize {
        let rest = self.characters.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|(character, ..)| is_blank(*character)).count()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let last = self.characters.last().map_or((1, 1), |(_, line, column)| (*line, column + 1));
        let at = |index: usize| self.characters.get(index).map(|(_, line, column)| (*line, *column));
        let (line, column) = at(start).unwrap_or(last);
        let (end_line, end_column) = match end.checked_sub(1).filter(|index| *index >= start).and_then(at) {
            Some((line, column)) => (line, column + 1),
            None => (line, column),
        };
        Span { line, column, end_line, end_column }
    }

    fn unescape(&self, start: usize, end: usize) -> Result<String, Fault> {
        let mut units: Vec<u16> = Vec::new();
        let mut buffer = [0; 2];
        let mut index = start;
        while index < end {
            let (mut character, ..) = self.characters[index];
            index += 1;
            if character == '\\' && index < end {
                character = self.characters[index].0;
                index += 1;
                character = match character {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    'f' => '\u{c}',
                    'u' => {
                        units.push(self.unicode(index, end)?);
                        index += 4;
                        continue;
                    }
                    other => other,
                };
            }
            units.extend_from_slice(character.encode_utf16(&mut buffer));
        }
        String::from_utf16(&units).map_err(|_| {
            let hint = "write both halves of the surrogate pair, or the character itself";
            Fault::new("half of a surrogate pair", self.span(start, end), hint)
        })
    }

    fn unicode(&self, start: usize, end: usize) -> Result<u16, Fault> {
        let digits: String =
            self.characters[start..end.min(start + 4)].iter().map(|(character, ..)| character).collect();
        let valid = digits.len() == 4 && digits.chars().all(|digit| digit.is_ascii_hexdigit());
        match u16::from_str_radix(&digits, 16) {
            Ok(unit) if valid => Ok(unit),
            _ => {
                let hint = "write four hexadecimal digits; a single backslash is written `\\\\`";
                Err(Fault::new("`\\u` without four hexadecimal digits", self.span(start - 2, start), hint))
            }
        }
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\u{c}')
}
