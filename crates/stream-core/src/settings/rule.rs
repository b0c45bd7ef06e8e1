//! What a value must look like, and where it goes.

use std::time::Duration;

use super::draft::Draft;

/// The shape of a value, with the place of the draft that takes it.
pub(super) enum Rule {
    /// A whole number in a range.
    Whole { low: u32, high: u32, put: fn(&mut Draft, u32) },
    /// A number in a range, both ends included.
    Number { low: f64, high: f64, put: fn(&mut Draft, f64) },
    /// A duration that is 0 or at least `least`.
    Duration { least: Duration, put: fn(&mut Draft, Duration) },
    /// `true` or `false`.
    Flag(fn(&mut Draft, bool)),
    /// One of these words, which may each be spelt in several ways; case, `-` and `_` do not count.
    Word { words: &'static [&'static [&'static str]], put: fn(&mut Draft, usize) },
    /// Any text but the empty one.
    Text(fn(&mut Draft, String)),
    /// Nobody looks at it.
    Any,
}

/// A value that passed its rule; equal values mean the same, however they were written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Whole(u32),
    Number(f64),
    Duration(Duration),
    Flag(bool),
    Word(usize),
    Text(String),
}

impl Rule {
    /// Reads a value.
    ///
    /// # Errors
    /// When it does not pass; [`Rule::expected`] says why.
    pub(super) fn parse(&self, text: &str) -> Result<Value, ()> {
        let text = text.trim();
        let value = match self {
            Rule::Whole { low, high, .. } => {
                text.parse().ok().filter(|number| (*low..=*high).contains(number)).map(Value::Whole)
            }
            Rule::Number { low, high, .. } => {
                text.parse().ok().filter(|number| (*low..=*high).contains(number)).map(Value::Number)
            }
            Rule::Duration { least, .. } => stream_conf::duration::parse(text)
                .ok()
                .filter(|duration| duration.is_zero() || duration >= least)
                .map(Value::Duration),
            Rule::Flag(_) => text.to_ascii_lowercase().parse().ok().map(Value::Flag),
            Rule::Word { words, .. } => {
                let folded = folded(text);
                let found =
                    words.iter().position(|spellings| spellings.iter().any(|word| self::folded(word) == folded));
                found.map(Value::Word)
            }
            Rule::Text(_) | Rule::Any => {
                let fits = matches!(self, Rule::Any) || !text.is_empty();
                fits.then(|| Value::Text(text.to_owned()))
            }
        };
        value.ok_or(())
    }

    /// Hands a value that has passed to the draft.
    pub(super) fn put(&self, draft: &mut Draft, value: &Value) {
        match (self, value) {
            (Rule::Whole { put, .. }, Value::Whole(number)) => put(draft, *number),
            (Rule::Number { put, .. }, Value::Number(number)) => put(draft, *number),
            (Rule::Duration { put, .. }, Value::Duration(duration)) => put(draft, *duration),
            (Rule::Flag(put), Value::Flag(flag)) => put(draft, *flag),
            (Rule::Word { put, .. }, Value::Word(index)) => put(draft, *index),
            (Rule::Text(put), Value::Text(text)) => put(draft, text.clone()),
            (Rule::Any, _) => {}
            _ => debug_assert!(false, "a value has passed another rule"),
        }
    }

    /// What a value has to be, for "`x` is not …" and "write …".
    pub(super) fn expected(&self) -> String {
        match self {
            Rule::Whole { low, high, .. } if *high == i32::MAX.cast_unsigned() => {
                format!("a whole number, {low} or more")
            }
            Rule::Whole { low, high, .. } => format!("a whole number from {low} to {high}"),
            Rule::Number { low, high, .. } if high.is_infinite() => format!("a number, {low} or more"),
            Rule::Number { low, high, .. } => format!("a number from {low} to {high}"),
            Rule::Duration { least, .. } if least.is_zero() => {
                "a duration such as `10s`, `500 ms` or `1 min`".to_owned()
            }
            Rule::Duration { least, .. } => {
                format!("a duration such as `10s` or `1 min`, at least {} ms", least.as_millis())
            }
            Rule::Flag(_) => "`true` or `false`".to_owned(),
            Rule::Word { words, .. } => {
                let words: Vec<String> = words.iter().map(|spellings| format!("`{}`", spellings[0])).collect();
                match words.as_slice() {
                    [one] => one.clone(),
                    words => format!("one of {}", words.join(", ")),
                }
            }
            Rule::Text(_) | Rule::Any => "a text".to_owned(),
        }
    }

    /// The type in a word or two, for the list of keys.
    pub(super) fn kind(&self) -> String {
        match self {
            Rule::Whole { .. } => "whole number".to_owned(),
            Rule::Number { .. } => "number".to_owned(),
            Rule::Duration { .. } => "duration".to_owned(),
            Rule::Flag(_) => "true, false".to_owned(),
            Rule::Word { words, .. } => words.iter().map(|spellings| spellings[0]).collect::<Vec<_>>().join(", "),
            Rule::Text(_) => "text".to_owned(),
            Rule::Any => String::new(),
        }
    }
}

fn folded(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}
