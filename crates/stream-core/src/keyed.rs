//! [`KeyedStream`]: a stream whose records are grouped by a key, so that operators can keep state per key.

use crate::key::{Key, Keyed};
use crate::operator::Record;
use crate::stream::DataStream;
use crate::window::{CountWindowedStream, WindowedStream, Windows};

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

    /// Groups the records of each key into windows; what follows says what comes of them
    /// ([`WindowedStream`](crate::window::WindowedStream)).
    pub fn window(self, windows: impl Windows<T>) -> WindowedStream<K, T> {
        WindowedStream::new(self.stream, windows.assigner())
    }

    /// Windows of `count` records with the same key each (Flink: `countWindow`). What is left at the end of the input is
    /// no window.
    ///
    /// # Panics
    /// If `count` is 0.
    #[track_caller]
    pub fn count_window(self, count: u64) -> CountWindowedStream<K, T> {
        CountWindowedStream::new(self.stream, count, count)
    }

    /// Every `step` records with the same key, a window of the last `count` of them, or of all if there were not as many
    /// yet (Flink: `countWindow(size, slide)`).
    ///
    /// # Panics
    /// If one of them is 0.
    #[track_caller]
    pub fn sliding_count_window(self, count: u64, step: u64) -> CountWindowedStream<K, T> {
        CountWindowedStream::new(self.stream, count, step)
    }

    /// The stream of records with their keys, each still going to the subtask of its key; for operators of your own.
    pub fn keyed(self) -> DataStream<Keyed<K, T>> {
        self.stream
    }
}
