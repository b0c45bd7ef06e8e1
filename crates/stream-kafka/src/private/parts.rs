//! The parts of a record as texts, numbers and timestamps.

use std::fmt::{self, Display, Write};
use std::str::FromStr;

use stream_core::Timestamp;

use crate::record::{Headers, RawRecord, Topic};
use crate::schema::{ProducerRecord, SchemaError};

/// Reads a part that is text; `what` is its name in errors.
pub fn read_text<T>(what: &str, bytes: Option<&[u8]>) -> Result<Option<T>, SchemaError>
where
    T: FromStr,
    T::Err: Display,
{
    let Some(bytes) = bytes else { return Ok(None) };
    let text = std::str::from_utf8(bytes).map_err(|e| SchemaError::new(format!("{what} is not UTF-8: {e}")))?;
    text.parse().map(Some).map_err(|e| unreadable(what, text, &e))
}

/// The part, or an error that says how to do without it.
#[inline]
pub fn required<T>(what: &str, absent: &str, part: Option<T>) -> Result<T, SchemaError> {
    part.ok_or_else(|| SchemaError::new(format!("{what} is {absent}; use Option<…> to accept that")))
}

/// The record's timestamp, if the broker keeps one.
pub fn timestamp<T: Millis>(record: &RawRecord<'_>) -> Option<T> {
    let timestamp = record.timestamp();
    (timestamp != Timestamp::MIN).then(|| T::of(timestamp))
}

/// Adds the text to the buffer.
pub fn write_text(buffer: &mut Vec<u8>, value: &impl Display) -> Result<(), SchemaError> {
    write!(Utf8(buffer), "{value}").map_err(|e| SchemaError::new(format!("can't write as text: {e}")))
}

/// A buffer that is written to as text: cheaper than as a file, because it can't fail.
struct Utf8<'b>(&'b mut Vec<u8>);

impl Write for Utf8<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Adds a header that is text.
pub fn write_header(record: &mut ProducerRecord, name: &str, value: &impl Display) -> Result<(), SchemaError> {
    let mut bytes = Vec::new();
    write_text(&mut bytes, value)?;
    record.add_header(name, Some(&bytes));
    Ok(())
}

/// The headers but for those of these names, which other fields hold and write.
pub fn other_headers(headers: &Headers, named: &[&str]) -> Headers {
    let mut others = Headers::default();
    for (name, value) in headers.iter().filter(|(name, _)| !named.contains(name)) {
        others.push(name, value);
    }
    others
}

/// Adds all headers.
pub fn write_headers(record: &mut ProducerRecord, headers: &Headers) {
    headers.iter().for_each(|(name, value)| record.add_header(name, value));
}

/// The error about a text that is no `T`; long texts are cut.
pub(super) fn unreadable(what: &str, text: &str, reason: &dyn Display) -> SchemaError {
    const SHOWN: usize = 40;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    SchemaError::new(format!("{what}: can't read `{shown}{more}`: {reason}"))
}

/// Types that are points in time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a timestamp",
    note = "use i64 (milliseconds since 1970), stream_core::Timestamp, or an Option of these"
)]
pub trait Millis: Sized {
    fn of(timestamp: Timestamp) -> Self;
    fn timestamp(&self) -> Timestamp;
}

impl Millis for i64 {
    fn of(timestamp: Timestamp) -> i64 {
        timestamp.as_millis()
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(*self)
    }
}

impl Millis for Timestamp {
    fn of(timestamp: Timestamp) -> Timestamp {
        timestamp
    }

    fn timestamp(&self) -> Timestamp {
        *self
    }
}

/// Types that hold the name of a topic.
#[diagnostic::on_unimplemented(message = "`{Self}` can't hold the topic", note = "use String or stream_kafka::Topic")]
pub trait TopicName {
    fn of(topic: Topic) -> Self;
}

impl TopicName for String {
    fn of(topic: Topic) -> String {
        topic.as_str().to_owned()
    }
}

impl TopicName for Topic {
    fn of(topic: Topic) -> Topic {
        topic
    }
}
