//! A whole number with a unit: what durations and sizes have in common.

use std::fmt;

use crate::value::shown;

/// The names of a unit and how many of the smallest unit it is.
pub(crate) struct Unit {
    names: &'static [&'static str],
    factor: u128,
}

impl Unit {
    pub(crate) const fn new(names: &'static [&'static str], factor: u128) -> Self {
        Self { names, factor }
    }
}

/// A text that is not a number with a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantityError {
    message: String,
    hint: &'static str,
}

impl QuantityError {
    pub(crate) fn too_large(text: &str, what: &str) -> Self {
        Self { message: format!("`{}` is too large for {what}", shown(text.trim())), hint: "write a smaller number" }
    }

    /// What to write instead.
    pub fn hint(&self) -> &str {
        self.hint
    }
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for QuantityError {}

pub(crate) fn parse(text: &str, units: &[Unit], what: &str, hint: &'static str) -> Result<u128, QuantityError> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    let unit = unit.trim().to_lowercase();
    let unit = units.iter().find(|known| known.names.contains(&unit.as_str()));
    let Some(unit) = unit.filter(|_| !digits.is_empty()) else {
        let message = format!("`{}` is not {what}", shown(text));
        return Err(QuantityError { message, hint });
    };
    let number = digits.parse::<u128>().ok().and_then(|number| number.checked_mul(unit.factor));
    number.ok_or_else(|| QuantityError::too_large(text, what))
}
