//! Environment variables as a layer: `STREAM__KAFKA__SOURCE__KAFKA1__GROUP_ID`.
//!
//! `__` stands between sections, and a single `_` may be a `.`, a `-` or a `_`. Which one is found
//! out by comparing with what is known, both sides folded so that the three are the same:
//!
//! 1. If exactly one key of the lower layers has the same fold, it is meant.
//! 2. Otherwise the longest end of the name that is a registered key gives the end, and the
//!    longest beginning that is a section of the lower layers gives the beginning (so an alias
//!    `My_Orders` of a file is found).
//! 3. What is still open is lower-cased with `_` as `.`. If nobody knows that key, the check of
//!    its section says so by the variable's name.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Problem;
use crate::key::{canonical, fold};
use crate::layer::Layer;
use crate::value::{Entry, Origin, Value};

/// What every variable of the configuration begins with.
const PREFIX: &str = "STREAM__";

/// Keys that a variable can be compared with.
#[derive(Default)]
pub(crate) struct KnownNames {
    /// Fold of a full key of the lower layers to its spellings.
    full: BTreeMap<String, BTreeSet<String>>,
    /// Fold of a section of the lower layers to its spellings.
    sections: BTreeMap<String, BTreeSet<String>>,
    /// Fold of a registered key to its spellings.
    registered: BTreeMap<String, BTreeSet<String>>,
}

impl KnownNames {
    pub(crate) fn new<'k>(layers: &'k [Layer], registered: impl IntoIterator<Item = &'k str>) -> Self {
        let mut names = Self::default();
        for key in layers.iter().flat_map(|layer| layer.entries.keys()) {
            add(&mut names.full, key);
            for (at, _) in key.match_indices('.') {
                add(&mut names.sections, &key[..at]);
            }
        }
        for key in registered {
            add(&mut names.registered, canonical(key).0);
        }
        names
    }

    /// The key that the part of a variable behind the prefix stands for.
    fn key(&self, name: &str) -> String {
        if let Some(key) = single(&self.full, &fold(name)) {
            return key.to_owned();
        }
        let parts: Vec<&str> = name.split("__").collect();
        let (head, tail) = self.tail(&parts);
        let mut key = self.head(head);
        if let Some(tail) = tail {
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(&tail);
        }
        key
    }

    /// Cuts off the longest end that is a registered key.
    fn tail<'p>(&self, parts: &'p [&'p str]) -> (&'p [&'p str], Option<String>) {
        for start in 0..parts.len() {
            if let Some(key) = single(&self.registered, &fold(&parts[start..].join("_"))) {
                return (&parts[..start], Some(key.to_owned()));
            }
        }
        (parts, None)
    }

    /// The longest beginning that is a section, and the rest by the plain rule.
    fn head(&self, parts: &[&str]) -> String {
        for end in (1..=parts.len()).rev() {
            if let Some(section) = single(&self.sections, &fold(&parts[..end].join("_"))) {
                let rest = parts[end..].iter().map(|part| plain(part));
                return std::iter::once(section.to_owned()).chain(rest).collect::<Vec<_>>().join(".");
            }
        }
        parts.iter().map(|part| plain(part)).collect::<Vec<_>>().join(".")
    }
}

fn add(names: &mut BTreeMap<String, BTreeSet<String>>, key: &str) {
    names.entry(fold(key)).or_default().insert(key.to_owned());
}

/// The spelling of a fold, if there is exactly one.
fn single<'n>(names: &'n BTreeMap<String, BTreeSet<String>>, folded: &str) -> Option<&'n str> {
    let spellings = names.get(folded)?;
    if spellings.len() == 1 { spellings.first().map(String::as_str) } else { None }
}

fn plain(part: &str) -> String {
    part.to_lowercase().replace('_', ".")
}

/// The layer of all variables that begin with `STREAM__`. Empty ones count as not set.
pub(crate) fn layer(environment: &BTreeMap<String, String>, names: &KnownNames, problems: &mut Vec<Problem>) -> Layer {
    let mut layer = Layer::default();
    for (variable, value) in environment {
        let Some(name) = variable.strip_prefix(PREFIX) else {
            continue;
        };
        let name = name.strip_prefix("APP__").unwrap_or(name);
        if name.is_empty() || value.is_empty() {
            continue;
        }
        let key = names.key(name);
        let origin = Origin::Environment(variable.clone());
        if let Some(fault) = crate::key::fault(&key) {
            let hint = "write sections with `__` between them, as in STREAM__KAFKA__SOURCE__TOPIC";
            problems.push(Problem::new(fault).with_origin(origin).with_hint(hint));
            continue;
        }
        let first = layer.insert(&key, Entry::new(Value::Text(value.clone()), origin.clone()));
        if let Some(first) = first {
            let problem = Problem::new("two environment variables set the same key")
                .with_key(key)
                .with_origin(origin)
                .with_note(format!("also set by {}", first.origin()))
                .with_hint("keep one of the two");
            problems.push(problem);
        }
    }
    layer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(lower: &[&str], registered: &[&str], variable: &str) -> String {
        let mut layer = Layer::default();
        for key in lower {
            layer.insert(key, Entry::new(Value::Text("x".into()), Origin::Default));
        }
        KnownNames::new(&[layer], registered.iter().copied()).key(variable)
    }

    #[test]
    fn variables_find_their_keys() {
        let lower = [
            "kafka.source.My_Orders.topic",
            "kafka.source.my-clicks.group.id",
            "kafka.source.kafka1.bootstrap.servers",
        ];
        let known = ["topic", "group.id", "auto.offset.reset", "on_bad_record", "start.from.timestamp"];
        for (variable, expected) in [
            ("KAFKA__SOURCE__KAFKA1__BOOTSTRAP_SERVERS", "kafka.source.kafka1.bootstrap.servers"),
            ("KAFKA__SOURCE__MY_ORDERS__TOPIC", "kafka.source.My_Orders.topic"),
            ("KAFKA__SOURCE__MY_ORDERS__AUTO_OFFSET_RESET", "kafka.source.My_Orders.auto.offset.reset"),
            ("KAFKA__SOURCE__MY_CLICKS__ON_BAD_RECORD", "kafka.source.my-clicks.on_bad_record"),
            ("KAFKA__SOURCE__MY_CLICKS__START__FROM__TIMESTAMP", "kafka.source.my-clicks.start.from.timestamp"),
            ("KAFKA__SOURCE__MY_CLICKS__START_FROM_TIMESTAMP", "kafka.source.my-clicks.start.from.timestamp"),
            ("KAFKA__SOURCE__NEW_ONE__TOPIC", "kafka.source.new.one.topic"),
            ("KAFKA__SOURCE__MY_ORDERS__NO_SUCH_KEY", "kafka.source.My_Orders.no.such.key"),
            ("parallelism", "parallelism"),
        ] {
            assert_eq!(mapped(&lower, &known, variable), expected, "{variable}");
        }
    }

    #[test]
    fn ambiguity_falls_back_to_dots() {
        assert_eq!(mapped(&["s.a-b", "s.a_b"], &[], "S__A_B"), "s.a.b");
        assert_eq!(mapped(&[], &["max-poll", "max_poll"], "S__MAX_POLL"), "s.max.poll");
    }
}
