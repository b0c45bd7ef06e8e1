//! What `#[derive(KafkaSchema)]` calls: the code that needs no generating. Not part of the public interface.

#![allow(missing_docs, reason = "nobody but the derive calls these")]

pub mod csv;
pub mod json;
pub mod parts;

pub use serde;

pub use crate::record::RawRecord;
pub use crate::schema::{FromKafka, ProducerRecord, SchemaError, ToKafka};
