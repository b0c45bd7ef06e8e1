//! A part of the configuration: the keys below one prefix, parsed into settings or walked over.

use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::DeserializeOwned;

use crate::error::{Error, Problem};
use crate::key::below;
use crate::typed;
use crate::value::{Entry, Origin};

/// The keys below one prefix, without the prefix.
#[derive(Clone, Default)]
pub struct Section {
    prefix: String,
    entries: BTreeMap<String, Entry>,
}

impl Section {
    pub(crate) fn new(prefix: &str, entries: BTreeMap<String, Entry>) -> Self {
        Self { prefix: prefix.to_owned(), entries }
    }

    /// The prefix, without a dot at its end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether nothing is set here.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many keys are set here.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The keys (without the prefix) and their entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// The entry of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// `prefix.key`: the key as errors and `explain` name it.
    pub fn full_key(&self, key: &str) -> String {
        match (self.prefix.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}.{key}"),
        }
    }

    /// The keys below `name.`; empty if there are none.
    pub fn subsection(&self, name: &str) -> Section {
        let entries = self.entries.iter();
        let inside = entries.filter_map(|(key, entry)| Some((below(key, name)?.to_owned(), entry.clone())));
        Section::new(&self.full_key(name), inside.collect())
    }

    /// First parts of the keys that have further parts, sorted: aliases among them. Kafka's own
    /// dotted keys are cut too (`group.id` gives `group`); whoever knows the keys sorts them out.
    pub fn child_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.entries.keys().filter_map(|key| Some(key.split_once('.')?.0)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The section without some of its keys.
    #[must_use]
    pub fn without(&self, keys: &[&str]) -> Section {
        let kept = self.entries.iter().filter(|(key, _)| !keys.contains(&key.as_str()));
        Section::new(&self.prefix, kept.map(|(key, entry)| (key.clone(), entry.clone())).collect())
    }

    /// Parses the section into settings.
    ///
    /// - Text becomes what the field asks for: whole numbers, numbers, `true` / `false` (in any
    ///   case, nothing else: `on` and `yes` would mean something here and something else to
    ///   Kafka), characters, text, unit variants of enums (case, `-` and `_` do not count), and
    ///   `std::time::Duration` as [`duration`](crate::duration) reads it.
    /// - A field `max_poll_records` takes the key `max_poll_records`, `max-poll-records` or
    ///   `max.poll.records`. A field that is a struct takes the keys below its name.
    /// - `Vec` takes a list, or a text cut at its commas.
    /// - `BTreeMap<String, String>` takes the flat keys below its name.
    /// - A key that no field takes is an error, always, with the nearest field as a hint.
    ///
    /// # Errors
    /// Every unknown key, every value that does not fit, and the first key that is missing.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// use stream_conf::{Configuration, Format};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Checkpoints {
    ///     interval: Duration,
    ///     #[serde(default)]
    ///     tolerable_failures: u32,
    /// }
    ///
    /// let configuration = Configuration::builder()
    ///     .text("a.yml", Format::Yaml, "checkpoint:\n  interval: 10s\n  tolerable.failures: 3\n")
    ///     .build()?;
    /// let checkpoints: Checkpoints = configuration.section("checkpoint").deserialize()?;
    /// assert_eq!(checkpoints.interval, Duration::from_secs(10));
    /// assert_eq!(checkpoints.tolerable_failures, 3);
    /// # Ok::<(), stream_conf::Error>(())
    /// ```
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, Error> {
        typed::deserialize(self, false).map(|(settings, _)| settings)
    }

    /// As [`deserialize`](Self::deserialize), but keys that no field takes are given back instead
    /// of refused: for sections that mix own settings with free keys of Kafka.
    ///
    /// # Errors
    /// As [`deserialize`](Self::deserialize), without the unknown keys of the section itself.
    pub fn deserialize_some<T: DeserializeOwned>(&self) -> Result<(T, Section), Error> {
        typed::deserialize(self, true)
    }

    /// Parses the value of one key; `None` when it is not set.
    ///
    /// # Errors
    /// When the text does not parse; the message names the kind of value for numbers and
    /// booleans, and is the type's own message otherwise.
    pub fn parse<T: FromStr>(&self, key: &str) -> Result<Option<T>, Error>
    where
        T::Err: fmt::Display,
    {
        let Some(entry) = self.get(key) else {
            return Ok(None);
        };
        let text = entry.text().trim();
        text.parse().map(Some).map_err(|error: T::Err| {
            let (message, hint) = typed::refusal(type_name::<T>(), text, &error.to_string());
            // The type's own message may quote any part of the text.
            let message = if entry.is_secret() { typed::SECRET_REFUSED.to_owned() } else { message };
            self.problem(key, message, hint).into()
        })
    }

    /// A problem with one key, with its place, for checks that only the caller can make. When the
    /// key is not set, it points at the section. An empty hint is none.
    ///
    /// # Example
    /// ```
    /// use stream_conf::{Configuration, Format};
    ///
    /// let configuration = Configuration::builder()
    ///     .text("application.yml", Format::Yaml, "kafka.source:\n  topic: a,,b\n")
    ///     .build()?;
    /// let section = configuration.section("kafka.source");
    /// let error = section.error("topic", "a topic has no name", "remove the doubled comma");
    /// assert_eq!(error.to_string(), "\
    /// error[config]: a topic has no name
    ///   --> application.yml:2:10
    ///    |
    ///  2 |   topic: a,,b
    ///    |          ^^^^
    ///    = key: kafka.source.topic
    ///    = help: remove the doubled comma");
    /// # Ok::<(), stream_conf::Error>(())
    /// ```
    pub fn error(&self, key: &str, message: impl Into<String>, hint: impl Into<String>) -> Error {
        self.problem(key, message, hint).into()
    }

    /// As [`error`](Self::error), as one [`Problem`] among several.
    pub fn problem(&self, key: &str, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        let (message, hint) = (message.into(), hint.into());
        match self.get(key) {
            Some(entry) => {
                let hint = entry.cleaned(hint);
                Problem::for_entry(self.full_key(key), entry, message).with_hint(hint)
            }
            None => {
                let problem = Problem::new(message).with_key(self.full_key(key)).with_hint(hint);
                match self.first_origin() {
                    Some(origin) => problem.with_origin(origin),
                    None => problem,
                }
            }
        }
    }

    /// As [`problem`](Self::problem), pointing at the key in place of its value: for keys that should not be there.
    pub fn key_problem(&self, key: &str, message: impl Into<String>, hint: impl Into<String>) -> Problem {
        match self.get(key) {
            Some(entry) => {
                let hint = entry.cleaned(hint.into());
                Problem::for_key(self.full_key(key), entry, entry.cleaned(message.into())).with_hint(hint)
            }
            None => self.problem(key, message, hint),
        }
    }

    /// The place of the key that stands first in its file: where to look for what is missing.
    fn first_origin(&self) -> Option<Origin> {
        let places = self.entries.values().filter_map(|entry| {
            let place = entry.place()?;
            let name = place.source.name().clone();
            let (line, column) = (place.key.line, place.key.column);
            Some(Origin::File { name, line, column })
        });
        places.min()
    }

    /// Refuses keys that are not among `known`.
    ///
    /// # Errors
    /// Every unknown key, with the nearest known one as a hint.
    pub fn check_known(&self, known: &[&str]) -> Result<(), Error> {
        let unknown = self.iter().filter(|(key, _)| !known.contains(key));
        Error::check(unknown.map(|(key, _)| self.unknown_key(key, known)))
    }

    /// The problem of a key that nobody knows, with the nearest of `known` as a hint.
    pub fn unknown_key(&self, key: &str, known: &[&str]) -> Problem {
        match self.get(key) {
            Some(entry) => Problem::unknown_key(&self.full_key(key), entry, key, known),
            None => Problem::new(format!("unknown key `{key}`")).with_key(self.full_key(key)),
        }
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries.iter().map(|(key, entry)| (self.full_key(key), entry))).finish()
    }
}
