//! The same types as somebody writes them who does without the derive and knows what is fast.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write as _;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stream_kafka::{FromKafka, ProducerRecord, RawRecord, SchemaError, ToKafka};

use super::Checksum;

#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bid {
    auction: u64,
    bidder: u64,
    price: u64,
    channel: String,
    url: String,
    date_time: u64,
}

impl FromKafka for Bid {
    fn from_kafka(record: &RawRecord<'_>) -> Result<Bid, SchemaError> {
        let value = record.value().ok_or_else(tombstone)?;
        serde_json::from_slice(value).map_err(|e| SchemaError::new(format!("not the expected JSON: {e}")))
    }
}

impl ToKafka for Bid {
    fn to_kafka(&self, record: &mut ProducerRecord) -> Result<(), SchemaError> {
        serde_json::to_writer(record.value_buffer(), self)
            .map_err(|e| SchemaError::new(format!("can't write as JSON: {e}")))
    }
}

#[derive(Debug)]
pub(super) struct User {
    id: u64,
    name: String,
    age: u8,
    gender: u8,
    score: Option<f64>,
    address: Option<String>,
}

impl FromKafka for User {
    fn from_kafka(record: &RawRecord<'_>) -> Result<User, SchemaError> {
        let value = record.value().ok_or_else(tombstone)?;
        let line = std::str::from_utf8(value).map_err(|e| SchemaError::new(format!("the value is not UTF-8: {e}")))?;
        let line = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        let mut rest = Some(line);
        let user = User {
            id: number(1, "id", &mut rest)?,
            name: required(2, "name", column(2, "name", &mut rest)?)?.0.into_owned(),
            age: number(3, "age", &mut rest)?,
            gender: number(4, "gender", &mut rest)?,
            score: match column(5, "score", &mut rest)? {
                Some((text, quoted)) if quoted || !text.is_empty() => Some(parse(5, "score", &text)?),
                _ => None,
            },
            address: match column(6, "address", &mut rest)? {
                Some((text, quoted)) if quoted || !text.is_empty() => Some(text.into_owned()),
                _ => None,
            },
        };
        match rest {
            None => Ok(user),
            Some(_) => Err(SchemaError::new("the line has more than 6 columns")),
        }
    }
}

/// A text and whether it stood in quotes.
type Column<'a> = (Cow<'a, str>, bool);

fn number<T>(index: usize, name: &str, rest: &mut Option<&str>) -> Result<T, SchemaError>
where
    T: FromStr,
    T::Err: Display,
{
    parse(index, name, &required(index, name, column(index, name, rest)?)?.0)
}

fn required<'a>(index: usize, name: &str, column: Option<Column<'a>>) -> Result<Column<'a>, SchemaError> {
    column.ok_or_else(|| {
        SchemaError::new(format!("column {index} `{name}` is missing: the line has {} columns", index - 1))
    })
}

fn parse<T>(index: usize, name: &str, text: &str) -> Result<T, SchemaError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|e| SchemaError::new(format!("column {index} `{name}`: can't read `{text}`: {e}")))
}

/// Takes the next column off the line: up to the comma, or in quotes.
fn column<'a>(index: usize, name: &str, rest: &mut Option<&'a str>) -> Result<Option<Column<'a>>, SchemaError> {
    let Some(line) = *rest else { return Ok(None) };
    if let Some(inside) = line.strip_prefix('"') {
        return in_quotes(index, name, inside, rest).map(Some);
    }
    let end = line.bytes().position(|byte| matches!(byte, b',' | b'\n' | b'\r')).unwrap_or(line.len());
    let (text, after) = line.split_at(end);
    *rest = behind(index, name, after, "a second line; a record is one line, and line breaks stand in quotes")?;
    Ok(Some((Cow::Borrowed(text), false)))
}

fn in_quotes<'a>(
    index: usize,
    name: &str,
    inside: &'a str,
    rest: &mut Option<&'a str>,
) -> Result<Column<'a>, SchemaError> {
    let mut doubled = false;
    let mut from = 0;
    loop {
        let Some(length) = inside[from..].find('"') else {
            return Err(SchemaError::new(format!("column {index} `{name}` has no closing quote")));
        };
        let close = from + length;
        let after = &inside[close + 1..];
        if after.starts_with('"') {
            doubled = true;
            from = close + 2;
            continue;
        }
        *rest = behind(index, name, after, "text after its closing quote")?;
        let text = &inside[..close];
        let text = if doubled { Cow::Owned(text.replace("\"\"", "\"")) } else { Cow::Borrowed(text) };
        return Ok((text, true));
    }
}

fn behind<'a>(index: usize, name: &str, after: &'a str, otherwise: &str) -> Result<Option<&'a str>, SchemaError> {
    match after.as_bytes().first() {
        None => Ok(None),
        Some(b',') => Ok(Some(&after[1..])),
        Some(_) => Err(SchemaError::new(format!("column {index} `{name}` is followed by {otherwise}"))),
    }
}

impl ToKafka for User {
    fn to_kafka(&self, record: &mut ProducerRecord) -> Result<(), SchemaError> {
        let out = record.value_buffer();
        let failed = |e: std::io::Error| SchemaError::new(format!("can't write as text: {e}"));
        write!(out, "{},", self.id).map_err(failed)?;
        write_text(&self.name, out);
        write!(out, ",{},{},", self.age, self.gender).map_err(failed)?;
        if let Some(score) = self.score {
            write!(out, "{score}").map_err(failed)?;
        }
        out.push(b',');
        match self.address.as_deref() {
            Some("") => out.extend_from_slice(b"\"\""),
            Some(address) => write_text(address, out),
            None => {}
        }
        Ok(())
    }
}

/// In quotes if it needs them.
fn write_text(text: &str, out: &mut Vec<u8>) {
    if !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn tombstone() -> SchemaError {
    SchemaError::new("the value is null (a tombstone); use Option<…> to accept those")
}

impl Checksum for Bid {
    fn checksum(&self) -> u64 {
        let numbers = self.auction ^ self.bidder ^ self.price ^ self.date_time;
        numbers.wrapping_add((self.channel.len() + self.url.len()) as u64)
    }
}

impl Checksum for User {
    fn checksum(&self) -> u64 {
        let numbers = self.id ^ u64::from(self.age) ^ u64::from(self.gender) ^ self.score.unwrap_or(0.5).to_bits();
        let texts = self.name.len() + self.address.as_ref().map_or(7, String::len);
        numbers.wrapping_add(texts as u64)
    }
}
