//! [`KeyedStream`]: a stream whose records are grouped by a key, so that operators can keep state per key.

use crate::key::{Key, Keyed};
use crate::operator::Record;
use crate::stream::DataStream;

/// A stream whose records are grouped by a key of type `K`: made by [`DataStream::key_by`].
///
/// All records with one key reach the same subtask of the next operator, in the order in which each subtask before it
/// had them.
#[must_use = "a stream does nothing until it ends in a sink"]
pub struct KeyedStream<K, T> {
    stream: DataStream<Keyed<K, T>>,
}

impl<K: Key, T: Record> KeyedStream<K, T> {
    pub(crate) fn new(stream: DataStream<Keyed<K, T>>) -> KeyedStream<K, T> {
        KeyedStream { stream }
    }

    /// The stream of records with their keys, each still going to the subtask of its key; for operators of your own.
    pub fn keyed(self) -> DataStream<Keyed<K, T>> {
        self.stream
    }
}
