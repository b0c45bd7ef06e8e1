//! One line of CSV (RFC 4180), read by borrowing and written in place.
//!
//! A column that needs no quotes is a slice of the record, so a number costs no allocation and a text one. An empty
//! column without quotes is an absent `Option`; `""` is an empty text.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;

use super::parts::{unreadable, write_text};
use crate::record::RawRecord;
use crate::schema::{ProducerRecord, SchemaError, tombstone};

/// The columns of a record's value, from left to right. The delimiter is part of the type, so that looking for it is a
/// comparison with a constant.
pub struct Columns<'a, const DELIMITER: u8> {
    /// What follows the last delimiter; `None` behind the last column.
    rest: Option<&'a str>,
    /// How many columns were taken.
    taken: usize,
}

struct Column<'a> {
    text: Cow<'a, str>,
    quoted: bool,
}

impl<'a, const DELIMITER: u8> Columns<'a, DELIMITER> {
    #[inline]
    pub fn new(record: &RawRecord<'a>) -> Result<Self, SchemaError> {
        let value = record.value().ok_or_else(tombstone)?;
        let line = std::str::from_utf8(value).map_err(|e| SchemaError::new(format!("the value is not UTF-8: {e}")))?;
        let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        Ok(Columns { rest: Some(line), taken: 0 })
    }

    /// The next column, which has to be there.
    #[inline]
    pub fn required<T>(&mut self, name: &str) -> Result<T, SchemaError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.taken += 1;
        match self.plain() {
            Some(text) => text.parse().map_err(|e| self.unreadable(name, text, &e)),
            None => {
                let column = self.other(name)?.ok_or_else(|| self.missing(name))?;
                column.text.parse().map_err(|e| self.unreadable(name, &column.text, &e))
            }
        }
    }

    /// The next column; `None` if it is empty or behind the end of the line.
    #[inline]
    pub fn optional<T>(&mut self, name: &str) -> Result<Option<T>, SchemaError>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.taken += 1;
        match self.plain() {
            Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|e| self.unreadable(name, text, &e)),
            None => match self.other(name)? {
                Some(column) if column.quoted || !column.text.is_empty() => {
                    column.text.parse().map(Some).map_err(|e| self.unreadable(name, &column.text, &e))
                }
                _ => Ok(None),
            },
        }
    }

    /// There must be no more columns.
    pub fn finish(&self) -> Result<(), SchemaError> {
        match self.rest {
            None => Ok(()),
            Some(_) => Err(SchemaError::new(format!("the line has more than {} columns", self.taken))),
        }
    }

    /// The next column if it has no quotes and nothing is wrong with it: nearly every one.
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        // Columns are short: a plain loop beats searching many bytes at a time.
        let end = rest.bytes().position(|byte| byte == DELIMITER || matches!(byte, b'"' | b'\n' | b'\r'));
        let Some(end) = end else {
            self.rest = None;
            return Some(rest);
        };
        if rest.as_bytes()[end] != DELIMITER {
            return None;
        }
        self.rest = Some(&rest[end + 1..]);
        Some(&rest[..end])
    }

    /// The next column if it is not a plain one: in quotes, with a quote inside, or none at all.
    #[cold]
    fn other(&mut self, name: &str) -> Result<Option<Column<'a>>, SchemaError> {
        let Some(rest) = self.rest else { return Ok(None) };
        if let Some(quoted) = rest.strip_prefix('"') {
            return self.quoted(quoted, name).map(Some);
        }
        let end = rest.bytes().position(|byte| byte == DELIMITER || byte == b'\n' || byte == b'\r');
        let (text, more) = rest.split_at(end.unwrap_or(rest.len()));
        self.go_on_at(more, name, "a second line; a record is one line, and line breaks stand in quotes")?;
        Ok(Some(Column { text: Cow::Borrowed(text), quoted: false }))
    }

    #[cold]
    fn missing(&self, name: &str) -> SchemaError {
        SchemaError::new(format!("{} is missing: the line has {} columns", self.label(name), self.taken - 1))
    }

    /// A column behind its opening quote.
    fn quoted(&mut self, inside: &'a str, name: &str) -> Result<Column<'a>, SchemaError> {
        let mut unescaped = String::new();
        let mut from = 0;
        loop {
            let Some(length) = inside[from..].find('"') else {
                return Err(SchemaError::new(format!("{} has no closing quote", self.label(name))));
            };
            let (close, after) = (from + length, &inside[from + length + 1..]);
            if after.starts_with('"') {
                unescaped.push_str(&inside[from..=close]);
                from = close + 2;
                continue;
            }
            self.go_on_at(after, name, "text after its closing quote")?;
            let text = if from == 0 {
                Cow::Borrowed(&inside[..close])
            } else {
                unescaped.push_str(&inside[from..close]);
                Cow::Owned(unescaped)
            };
            return Ok(Column { text, quoted: true });
        }
    }

    /// Goes on behind the delimiter that `more` begins with, or ends with the line.
    fn go_on_at(&mut self, more: &'a str, name: &str, otherwise: &str) -> Result<(), SchemaError> {
        self.rest = match more.as_bytes().first() {
            None => None,
            Some(byte) if *byte == DELIMITER => Some(&more[1..]),
            Some(_) => return Err(SchemaError::new(format!("{} is followed by {otherwise}", self.label(name)))),
        };
        Ok(())
    }

    #[cold]
    fn unreadable(&self, name: &str, text: &str, reason: &dyn Display) -> SchemaError {
        unreadable(&self.label(name), text, reason)
    }

    /// Number and name; fields of tuples have no name to add.
    #[cold]
    fn label(&self, name: &str) -> String {
        match name.parse::<usize>() {
            Ok(_) => format!("column {}", self.taken),
            Err(_) => format!("column {} `{name}`", self.taken),
        }
    }
}

/// A record's value, written column by column.
pub struct Line<'r, const DELIMITER: u8> {
    buffer: &'r mut Vec<u8>,
    is_first: bool,
}

impl<'r, const DELIMITER: u8> Line<'r, DELIMITER> {
    #[inline]
    pub fn new(record: &'r mut ProducerRecord) -> Self {
        Line { buffer: record.value_buffer(), is_first: true }
    }

    /// Writes a column, in quotes if it needs them.
    #[inline]
    pub fn column(&mut self, value: &impl Display) -> Result<(), SchemaError> {
        self.separate();
        let start = self.buffer.len();
        write_text(self.buffer, value)?;
        let special = |byte: &u8| *byte == DELIMITER || matches!(*byte, b'"' | b'\r' | b'\n');
        if self.buffer[start..].iter().any(special) {
            self.quote(start);
        }
        Ok(())
    }

    /// Puts what was written since `start` in quotes.
    #[cold]
    fn quote(&mut self, start: usize) {
        let text = self.buffer.split_off(start);
        self.buffer.push(b'"');
        for byte in text {
            if byte == b'"' {
                self.buffer.push(b'"');
            }
            self.buffer.push(byte);
        }
        self.buffer.push(b'"');
    }

    /// Writes a column that is empty for `None`, and `""` for an empty text.
    #[inline]
    pub fn optional(&mut self, value: Option<&impl Display>) -> Result<(), SchemaError> {
        let Some(value) = value else {
            self.separate();
            return Ok(());
        };
        let before = self.buffer.len() + usize::from(!self.is_first);
        self.column(value)?;
        if self.buffer.len() == before {
            self.buffer.extend_from_slice(b"\"\"");
        }
        Ok(())
    }

    #[inline]
    fn separate(&mut self) {
        if !std::mem::replace(&mut self.is_first, false) {
            self.buffer.push(DELIMITER);
        }
    }
}
