//! The finished configuration: every key with its value, its origin and what it overrides.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;
use std::sync::Arc;

use crate::builder::ConfigurationBuilder;
use crate::error::{Error, Problem};
use crate::key::{below, canonical, did_you_mean};
use crate::layer::Merged;
use crate::section::Section;
use crate::value::Entry;

/// All layers as one: flat dotted keys, each with its value and where it came from.
///
/// Cheap to clone. Keys may be asked for with or without the prefix `app.`, which says where a
/// value was written, not what it means. `Debug` masks secrets.
#[derive(Clone, Default)]
pub struct Configuration {
    merged: Arc<Merged>,
}

impl Configuration {
    /// Begins with no sources.
    pub fn builder() -> ConfigurationBuilder {
        ConfigurationBuilder::default()
    }

    /// A configuration that says nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    pub(crate) fn new(merged: Merged) -> Self {
        Self { merged: Arc::new(merged) }
    }

    /// The value of a full key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.merged.entries.get(canonical(key).0)
    }

    /// All keys, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.merged.entries.keys().map(String::as_str)
    }

    /// The keys below `prefix.`; an empty section if there are none. The empty prefix gives
    /// everything, and `app` gives what was written below `app:`.
    pub fn section(&self, prefix: &str) -> Section {
        let entries = self.merged.entries.iter();
        if prefix == "app" {
            let own = entries.filter(|(_, entry)| entry.is_under_app());
            return Section::new("", own.map(|(key, entry)| (key.clone(), entry.clone())).collect());
        }
        let prefix = canonical(prefix).0;
        let inside: BTreeMap<String, Entry> =
            entries.filter_map(|(key, entry)| Some((below(key, prefix)?.to_owned(), entry.clone()))).collect();
        Section::new(prefix, inside)
    }

    /// What a key is set to, by whom, and which lower layers it overrides; secrets masked.
    ///
    /// # Example
    /// ```
    /// use stream_conf::{Configuration, Format};
    ///
    /// let configuration = Configuration::builder()
    ///     .defaults([("parallelism", "1")])
    ///     .text("application.yml", Format::Yaml, "parallelism: 4\n")
    ///     .build()?;
    /// assert_eq!(configuration.explain("parallelism"), "\
    /// parallelism = 4
    ///   from application.yml:1:14
    ///   overrides 1 from default");
    /// # Ok::<(), stream_conf::Error>(())
    /// ```
    pub fn explain(&self, key: &str) -> String {
        let key = canonical(key).0;
        if let Some(entry) = self.merged.entries.get(key) {
            return self.explain_entry(key, entry);
        }
        let inside = self.section(key);
        if !inside.is_empty() {
            let explained = inside.iter().map(|(name, entry)| self.explain_entry(&inside.full_key(name), entry));
            return explained.collect::<Vec<_>>().join("\n");
        }
        match did_you_mean(key, self.keys()) {
            Some(nearest) => format!("{key} is not set; did you mean `{nearest}`?"),
            None => format!("{key} is not set"),
        }
    }

    /// [`explain`](Self::explain) for every key.
    pub fn explain_all(&self) -> String {
        let explained = self.merged.entries.iter().map(|(key, entry)| self.explain_entry(key, entry));
        explained.collect::<Vec<_>>().join("\n")
    }

    fn explain_entry(&self, key: &str, entry: &Entry) -> String {
        let mut text = format!("{key} = {}\n  from {}", entry.shown(), entry.origin());
        for lower in self.merged.overridden.get(key).into_iter().flatten() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  overrides {} from {}", lower.shown(), lower.origin());
        }
        text
    }

    /// Refuses keys that no part of the application has claimed.
    ///
    /// A key is claimed when it is one of `claimed` or lies below one. A user's own parameters
    /// below `app:` are allowed, unless they begin like a claimed section: `app: kafka.sorce:` is
    /// a mistake, `app: my.limit:` is not.
    ///
    /// # Errors
    /// Every unclaimed key, with the claimed one it may have been meant to be.
    ///
    /// # Example
    /// ```
    /// use stream_conf::{Configuration, Format};
    ///
    /// let configuration = Configuration::builder()
    ///     .text("a.yml", Format::Yaml, "kafka.sorce:\n  topic: t\napp:\n  my.limit: 3\n")
    ///     .build()?;
    /// let error = configuration.check_claimed(&["kafka.source", "kafka.sink"]).unwrap_err();
    /// assert_eq!(error.problems().len(), 1);
    /// assert_eq!(error.problems()[0].hint(), Some("did you mean `kafka.source`?"));
    /// # Ok::<(), stream_conf::Error>(())
    /// ```
    pub fn check_claimed(&self, claimed: &[&str]) -> Result<(), Error> {
        let first = |key: &str| key.split('.').next().unwrap_or_default().to_owned();
        let unclaimed = self.merged.entries.iter().filter(|(key, entry)| {
            let is_claimed = claimed.iter().any(|claim| key == claim || below(key, claim).is_some());
            let is_own = entry.is_under_app() && !claimed.iter().any(|claim| first(claim) == first(key));
            !is_claimed && !is_own
        });
        Error::check(unclaimed.map(|(key, entry)| unclaimed_problem(key, entry, claimed)))
    }
}

/// Compares the beginning of `key` with each claimed key of as many parts.
fn unclaimed_problem(key: &str, entry: &Entry, claimed: &[&str]) -> Problem {
    let dots: Vec<usize> = key.match_indices('.').map(|(at, _)| at).chain([key.len()]).collect();
    let mut beginnings: Vec<&str> = dots.into_iter().map(|at| &key[..at]).collect();
    beginnings.truncate(4);
    for beginning in beginnings.iter().rev() {
        let parts = beginning.matches('.').count();
        let same = claimed.iter().copied().filter(|claim| claim.matches('.').count() == parts);
        if did_you_mean(beginning, same.clone()).is_some() {
            return Problem::unknown_key(key, entry, beginning, &same.collect::<Vec<_>>());
        }
    }
    Problem::unknown_key(key, entry, key, &[])
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.merged.entries.iter()).finish()
    }
}
