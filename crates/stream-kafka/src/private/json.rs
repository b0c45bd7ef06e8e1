//! JSON for the derive: the same calls as [`JsonSchema`](crate::JsonSchema), around code that serde has derived.

use serde_json::de::SliceRead;
use serde_json::{Deserializer, Serializer};

use crate::record::RawRecord;
use crate::schema::{ProducerRecord, SchemaError, tombstone};

/// Decodes the whole value.
#[inline]
pub fn read<'a, T>(
    record: &RawRecord<'a>,
    decode: impl FnOnce(&mut Deserializer<SliceRead<'a>>) -> serde_json::Result<T>,
) -> Result<T, SchemaError> {
    let value = record.value().ok_or_else(tombstone)?;
    let mut deserializer = Deserializer::from_slice(value);
    let decoded = decode(&mut deserializer).and_then(|decoded| deserializer.end().map(|()| decoded));
    decoded.map_err(|e| SchemaError::new(format!("not the expected JSON: {e}")))
}

/// Encodes the value.
#[inline]
pub fn write(
    record: &mut ProducerRecord,
    encode: impl FnOnce(&mut Serializer<&mut Vec<u8>>) -> serde_json::Result<()>,
) -> Result<(), SchemaError> {
    let mut serializer = Serializer::new(record.value_buffer());
    encode(&mut serializer).map_err(|e| SchemaError::new(format!("can't write as JSON: {e}")))
}
