//! What a value has to look like, per key, and how a value that only Java takes becomes one that librdkafka takes.
//!
//! Three outcomes: the value as librdkafka wants it, the same with a warning because its meaning changed a little
//! (clamped), or a reason to refuse. Refusals never repeat the value; the caller adds it where it is no secret.

/// The largest value of Java's `int`.
pub(crate) const INT: i64 = i32::MAX as i64;
/// The largest value of Java's `long`.
pub(crate) const LONG: i64 = i64::MAX;

/// The shape of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rule {
    /// Any text.
    Text,
    /// Any text but the empty one.
    NonEmpty,
    /// `true` or `false`, any case.
    Flag,
    /// A whole number.
    Int(IntRule),
    /// A number of milliseconds with an optional fraction.
    Millis(i64),
    /// One of these words, any case; passed on as written here.
    Words(&'static [&'static str]),
}

/// The range of a whole number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IntRule {
    /// What Java takes; anything else is refused.
    java: (i64, i64),
    /// What librdkafka takes; anything else is moved to the nearer end, with a warning.
    native: (i64, i64),
    /// Values that mean the same under another number.
    same_as: &'static [(i64, i64)],
}

/// A whole number in a range that both clients share.
pub(crate) const fn int(low: i64, high: i64) -> Rule {
    clamped((low, high), (low, high))
}

/// A whole number whose range is narrower in librdkafka.
pub(crate) const fn clamped(java: (i64, i64), native: (i64, i64)) -> Rule {
    Rule::Int(IntRule { java, native, same_as: &[] })
}

/// As [`clamped`], with values that have another number in librdkafka.
pub(crate) const fn mapped(java: (i64, i64), native: (i64, i64), same_as: &'static [(i64, i64)]) -> Rule {
    Rule::Int(IntRule { java, native, same_as })
}

/// A value that passed its rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// As librdkafka wants it.
    pub(crate) value: String,
    /// What changed, when the meaning changed: "became 300000, the most that librdkafka takes".
    pub(crate) change: Option<String>,
}

impl Rule {
    /// Checks a value.
    ///
    /// # Errors
    /// What was expected, for "`x` is not ...".
    pub(crate) fn check(&self, text: &str) -> Result<Checked, String> {
        let text = text.trim();
        let plain = |value: &str| Ok(Checked { value: value.to_owned(), change: None });
        match self {
            Rule::Text => plain(text),
            Rule::NonEmpty if text.is_empty() => Err("a text that is not empty".to_owned()),
            Rule::NonEmpty => plain(text),
            Rule::Flag => match text.to_ascii_lowercase().as_str() {
                word @ ("true" | "false") => plain(word),
                _ => Err("`true` or `false`".to_owned()),
            },
            Rule::Int(rule) => rule.check(text),
            Rule::Millis(high) => match text.parse::<f64>() {
                Ok(number) if (0.0..=*high as f64).contains(&number) => plain(text),
                _ => Err(format!("a number of milliseconds from 0 to {high}")),
            },
            Rule::Words(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
                Some(word) => plain(word),
                None => Err(one_of(words)),
            },
        }
    }
}

impl Rule {
    /// The type in a word or two, for the list of keys; empty if any text will do.
    pub(crate) fn kind(&self) -> String {
        match self {
            Rule::Text => String::new(),
            Rule::NonEmpty => "text".to_owned(),
            Rule::Flag => "true, false".to_owned(),
            Rule::Int(_) => "whole number".to_owned(),
            Rule::Millis(_) => "milliseconds".to_owned(),
            Rule::Words(words) => words.join(", "),
        }
    }
}

impl IntRule {
    fn check(&self, text: &str) -> Result<Checked, String> {
        let (low, high) = self.java;
        let expected = || match (low, high) {
            (i64::MIN, LONG) => "a whole number".to_owned(),
            (low, INT | LONG) => format!("a whole number, {low} or more"),
            (low, high) => format!("a whole number from {low} to {high}"),
        };
        let number: i64 = text.parse().map_err(|_| expected())?;
        if !(low..=high).contains(&number) {
            return Err(expected());
        }
        let number = self.same_as.iter().find(|(java, _)| *java == number).map_or(number, |(_, native)| *native);
        let (least, most) = self.native;
        let kept = number.clamp(least, most);
        let change = (kept != number).then(|| {
            let end = if kept == least { "least" } else { "most" };
            format!("became {kept}, the {end} that librdkafka takes")
        });
        Ok(Checked { value: kept.to_string(), change })
    }
}

fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    format!("one of {}", quoted.join(", "))
}
