//! Sizes in bytes as people and Flink write them: `64 mb`, `1 GiB`, `4096`.
//!
//! A plain number is bytes. `k`, `m`, `g`, `t` (also with `b` or `ib` behind them) are powers of
//! 1024, as in Flink: `1 kb` is 1024 bytes.
//!
//! Used as `#[serde(with = "stream_conf::byte_size")]` on a `u64`.

use serde::de::{Deserialize, Deserializer, Error};

pub use crate::quantity::QuantityError as ByteSizeError;
use crate::quantity::{self, Unit};

const UNITS: [Unit; 5] = [
    Unit::new(&["", "b", "byte", "bytes"], 1),
    Unit::new(&["k", "kb", "kib", "kibibytes"], 1 << 10),
    Unit::new(&["m", "mb", "mib", "mebibytes"], 1 << 20),
    Unit::new(&["g", "gb", "gib", "gibibytes"], 1 << 30),
    Unit::new(&["t", "tb", "tib", "tebibytes"], 1 << 40),
];

/// Reads a size.
///
/// # Errors
/// When the text is not a whole number with one of the units, or too large.
///
/// # Example
/// ```
/// assert_eq!(stream_conf::byte_size::parse("64 mb")?, 64 << 20);
/// # Ok::<(), stream_conf::byte_size::ByteSizeError>(())
/// ```
pub fn parse(text: &str) -> Result<u64, ByteSizeError> {
    let bytes = quantity::parse(text, &UNITS, "a size", "write a size such as `64 mb`, `1 gb` or `4096`")?;
    u64::try_from(bytes).map_err(|_| ByteSizeError::too_large(text, "a size"))
}

/// For `#[serde(with = "stream_conf::byte_size")]`.
///
/// # Errors
/// As [`parse`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(|error| D::Error::custom(format!("{error}; {}", error.hint())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [("64 mb", 64 << 20), ("1GiB", 1 << 30), ("4096", 4096), ("2k", 2048), ("0 b", 0)] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
        for text in ["", "mb", "1.5 mb", "-1", "1 pb", "99999999999 tb"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
