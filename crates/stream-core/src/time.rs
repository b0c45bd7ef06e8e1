//! Event time: milliseconds since the epoch, as Kafka and Flink count it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in event time, in milliseconds since 1970-01-01T00:00:00Z; may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Before every record: the watermark of a stream that has said nothing yet.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every record: the watermark at the end of a bounded stream.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Timestamp::MIN => f.write_str("-inf"),
            Timestamp::MAX => f.write_str("+inf"),
            Timestamp(millis) => write!(f, "{millis}ms"),
        }
    }
}
