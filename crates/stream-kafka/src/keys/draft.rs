//! The translation while it is being made: what was given, what was written so far and by which key, what went wrong.

use std::collections::BTreeMap;

use super::engine::EngineSettings;
use super::{KeyProblem, Role, Translation, is_secret, native};

/// A setting of the table that passed its rule.
#[derive(Clone)]
pub(crate) struct Given {
    /// The key as the user wrote it.
    pub(crate) key: String,
    /// The checked value.
    pub(crate) value: String,
}

/// The unfinished translation.
pub(crate) struct Draft {
    pub(crate) role: Role,
    /// Settings by the key of the table, or by the key itself where a row stands for many.
    pub(crate) given: BTreeMap<String, Given>,
    pub(crate) client: BTreeMap<String, String>,
    pub(crate) engine: EngineSettings,
    pub(crate) warnings: Vec<String>,
    /// Keys without effect and why, for the one line that lists them.
    pub(crate) ignored: Vec<(String, &'static str)>,
    /// Where each key was set, for problems that name two.
    pub(crate) origins: BTreeMap<String, String>,
    written_by: BTreeMap<String, String>,
    problems: Vec<KeyProblem>,
}

impl Draft {
    /// An empty draft.
    pub(crate) fn new(role: Role) -> Self {
        Self {
            role,
            given: BTreeMap::new(),
            client: BTreeMap::new(),
            engine: EngineSettings::default(),
            warnings: Vec::new(),
            ignored: Vec::new(),
            origins: BTreeMap::new(),
            written_by: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// The value given under a key of the table.
    pub(crate) fn get(&self, key: &str) -> Option<Given> {
        self.given.get(key).cloned()
    }

    /// The value of a property as far as it has been written.
    pub(crate) fn written(&self, property: &str) -> Option<&str> {
        self.client.get(native::preferred(property)).map(String::as_str)
    }

    /// A property's value as a number, or a default where it is not written or not a number.
    pub(crate) fn number(&self, property: &str, default: i64) -> i64 {
        self.written(property).and_then(|text| text.parse::<f64>().ok()).map_or(default, |number| number as i64)
    }

    /// The key that wrote a property, or the property's own name.
    pub(crate) fn writer(&self, property: &str) -> String {
        let property = native::preferred(property);
        self.written_by.get(property).cloned().unwrap_or_else(|| property.to_owned())
    }

    /// Where a key was set, in brackets; empty where that is unknown.
    pub(crate) fn place(&self, key: &str) -> String {
        self.origins.get(key).map_or_else(String::new, |origin| format!(" ({origin})"))
    }

    /// Whether a setting of the user led to this property.
    pub(crate) fn is_explicit(&self, property: &str) -> bool {
        self.written_by.contains_key(native::preferred(property))
    }

    /// Writes a property on behalf of a key; a second key for the same property is a problem naming both.
    pub(crate) fn put(&mut self, property: &str, value: impl Into<String>, key: &str) {
        let property = native::preferred(property);
        if let Some(first) = self.written_by.get(property).filter(|first| *first != key) {
            let message = format!("`{first}`{} and `{key}` both set `{property}` of the client", self.place(first));
            return self.refuse(key, message, "keep one of the two");
        }
        self.client.insert(property.to_owned(), value.into());
        self.written_by.insert(property.to_owned(), key.to_owned());
    }

    /// Writes a property that follows from a key, unless a key has said it outright.
    pub(crate) fn put_derived(&mut self, property: &str, value: impl Into<String>) {
        if !self.is_explicit(property) {
            self.client.insert(native::preferred(property).to_owned(), value.into());
        }
    }

    /// Writes a property whatever was said before; the caller has warned.
    pub(crate) fn overwrite(&mut self, property: &str, value: impl Into<String>) {
        self.client.insert(native::preferred(property).to_owned(), value.into());
    }

    /// Takes a property out again.
    pub(crate) fn withdraw(&mut self, property: &str) {
        self.client.remove(native::preferred(property));
    }

    /// Adds a line for the log.
    pub(crate) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Adds a problem with a next step.
    pub(crate) fn refuse(&mut self, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        let hint = Some(hint.into());
        self.problems.push(KeyProblem { key: key.to_owned(), message: message.into(), hint });
    }

    /// Adds a problem that speaks for itself.
    pub(crate) fn refuse_plainly(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(KeyProblem { key: key.to_owned(), message: message.into(), hint: None });
    }

    /// The finished translation, or every problem.
    pub(crate) fn finish(mut self) -> Result<Translation, Vec<KeyProblem>> {
        if !self.problems.is_empty() {
            return Err(self.problems);
        }
        if !self.ignored.is_empty() {
            let list: Vec<String> = self.ignored.iter().map(|(key, why)| format!("`{key}` ({why})")).collect();
            self.warnings.push(format!("without effect here: {}", list.join(", ")));
        }
        Ok(Translation {
            client: self.client,
            engine: self.engine,
            warnings: self.warnings,
            written_by: self.written_by,
        })
    }
}

/// A value for a message: quoted, or left out where the key holds a secret.
pub(crate) fn shown(key: &str, value: &str) -> String {
    if is_secret(key) { "the value".to_owned() } else { format!("`{value}`") }
}
