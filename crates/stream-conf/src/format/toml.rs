//! TOML: tables become dotted keys, scalars keep their text.
//!
//! Integers are the exception to "as written": TOML's digit separators and its hexadecimal, octal
//! and binary forms mean nothing to Kafka, so they become plain decimal digits.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Document, Fault, Item, RawScalar, RawValue, join};
use crate::source::Span;

pub(super) fn parse(text: &str) -> Result<Document, Fault> {
    let lines = Lines::new(text);
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().unwrap_or(0..0);
        let message = format!("not valid TOML: {}", error.message().trim_end());
        Fault::new(message, lines.span(at), "check quotes, brackets and doubled keys")
    })?;
    let mut flat = Flat { text, lines, document: Document::default() };
    flat.table("", table.get_ref());
    // TOML tables are sorted by name; people count lines.
    flat.document.items.sort_by_key(|item| (item.key_span.line, item.key_span.column));
    Ok(flat.document)
}

struct Flat<'t> {
    text: &'t str,
    lines: Lines<'t>,
    document: Document,
}

impl Flat<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key_span = self.lines.span(name.span());
            match join(prefix, name.get_ref(), key_span) {
                Ok(key) => self.value(key, key_span, value),
                Err(fault) => self.document.faults.push(fault),
            }
        }
    }

    fn value(&mut self, key: String, key_span: Span, value: &Spanned<DeValue<'_>>) {
        let span = self.lines.span(value.span());
        let value = match value.get_ref() {
            DeValue::Table(table) => return self.table(&key, table),
            DeValue::Array(items) => {
                let scalars: Option<Vec<RawScalar>> = items.iter().map(|item| self.scalar(item)).collect();
                match scalars {
                    Some(scalars) => RawValue::List(scalars),
                    None => {
                        let fault = Fault::new(
                            "a list of lists or tables has no meaning here",
                            span,
                            "write a list of plain values, or give each table a name of its own",
                        );
                        self.document.faults.push(fault.with_key(&key));
                        return;
                    }
                }
            }
            _ => match self.scalar(value) {
                Some(scalar) => RawValue::Scalar(scalar),
                None => return,
            },
        };
        self.document.items.push(Item { key, key_span, value, span });
    }

    fn scalar(&self, value: &Spanned<DeValue<'_>>) -> Option<RawScalar> {
        let written = || self.text.get(value.span()).unwrap_or_default().to_owned();
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(integer) => {
                match (integer.radix(), i128::from_str_radix(integer.as_str(), integer.radix())) {
                    (10, _) | (_, Err(_)) => integer.as_str().to_owned(),
                    (_, Ok(number)) => number.to_string(),
                }
            }
            DeValue::Float(_) => written().replace('_', ""),
            DeValue::Boolean(_) | DeValue::Datetime(_) => written(),
            DeValue::Array(_) | DeValue::Table(_) => return None,
        };
        let plain = !matches!(value.get_ref(), DeValue::String(_));
        Some(RawScalar { text, plain })
    }
}

/// Turns byte offsets into lines and columns.
struct Lines<'t> {
    text: &'t str,
    /// Byte offset at which each line begins.
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line.saturating_sub(1)];
        let column = self.text.get(start..offset).map_or(1, |before| before.chars().count() + 1);
        (line, column)
    }

    fn span(&self, range: std::ops::Range<usize>) -> Span {
        let (line, column) = self.position(range.start);
        let (end_line, end_column) = self.position(range.end.max(range.start));
        Span { line, column, end_line, end_column }
    }
}
