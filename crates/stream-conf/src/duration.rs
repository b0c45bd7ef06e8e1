//! Durations as people and Java programs write them: `10s`, `500 ms`, `1 min`, `60000`.
//!
//! A plain number is milliseconds, as in every Kafka and Flink key. Units: `ns`, `us`, `ms`, `s`,
//! `min` (or `m`), `h`, `d`, and their English names. One number and one unit; `1h 30min` is
//! written `90 min`.
//!
//! A field of type [`std::time::Duration`] in settings read by
//! [`Section::deserialize`](crate::Section::deserialize) needs nothing else; this module is for
//! other deserializers (`#[serde(with = "stream_conf::duration")]`) and for parsing by hand.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

pub use crate::quantity::QuantityError as DurationError;
use crate::quantity::{self, Unit};

const UNITS: [Unit; 7] = [
    Unit::new(&["ns", "nano", "nanos", "nanosecond", "nanoseconds"], 1),
    Unit::new(&["us", "µs", "μs", "micro", "micros", "microsecond", "microseconds"], 1_000),
    Unit::new(&["", "ms", "milli", "millis", "millisecond", "milliseconds"], 1_000_000),
    Unit::new(&["s", "sec", "secs", "second", "seconds"], 1_000_000_000),
    Unit::new(&["m", "min", "mins", "minute", "minutes"], 60_000_000_000),
    Unit::new(&["h", "hour", "hours"], 3_600_000_000_000),
    Unit::new(&["d", "day", "days"], 86_400_000_000_000),
];

/// Reads a duration.
///
/// # Errors
/// When the text is not a whole number with one of the units, or too large.
///
/// # Example
/// ```
/// use std::time::Duration;
///
/// assert_eq!(stream_conf::duration::parse("1 min")?, Duration::from_secs(60));
/// assert_eq!(stream_conf::duration::parse("500")?, Duration::from_millis(500));
/// # Ok::<(), stream_conf::duration::DurationError>(())
/// ```
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let nanos = quantity::parse(text, &UNITS, "a duration", "write a duration such as `10s`, `500 ms` or `1 min`")?;
    let seconds = u64::try_from(nanos / 1_000_000_000);
    match seconds {
        // The remainder of a division by 10^9 fits.
        Ok(seconds) => Ok(Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).unwrap_or(0))),
        Err(_) => Err(DurationError::too_large(text, "a duration")),
    }
}

/// For `#[serde(with = "stream_conf::duration")]`.
///
/// # Errors
/// As [`parse`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(|error| D::Error::custom(format!("{error}; {}", error.hint())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("10s", Duration::from_secs(10)),
            (" 500 ms ", Duration::from_millis(500)),
            ("1 min", Duration::from_secs(60)),
            ("2 Hours", Duration::from_secs(7200)),
            ("0", Duration::ZERO),
            ("250", Duration::from_millis(250)),
            ("7us", Duration::from_micros(7)),
            ("1d", Duration::from_secs(86_400)),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", "s", "-1", "1.5s", "10 fortnights", "1h 30min", "99999999999999999999999999999999999999999 d"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("340282366920938463463374607431768211455 ns").is_err());
    }
}
