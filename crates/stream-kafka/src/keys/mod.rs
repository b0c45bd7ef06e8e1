//! Kafka settings: the keys of the Java clients, as everybody knows them, become what librdkafka wants.
//!
//! Pure functions: settings in, a [`Translation`] or every [`KeyProblem`] out. Nothing here opens a file or a socket;
//! the one question about a file ("which kind of key store is this?") goes through a closure.
//!
//! 1. `intake`: strip `properties.`, refuse what is denied, unknown or for the other role, check each value's shape.
//! 2. `transform`: the keys that need more than a new name, by theme.
//! 3. `transform::role`: defaults that keep Java's behaviour, and what the engine owns, written last.
//!
//! Where both clients know a name but mean something else, Java's meaning wins: users write what Kafka documents.
//! Names that only librdkafka knows pass through.
//!
//! Decisions worth knowing: `isolation.level` is `read_uncommitted` unless set (Java, Flink), always written out;
//! `allow.auto.create.topics` is false on both sides unless set, so that a misspelt topic is an error; hashes are
//! Java's murmur2; a producer is idempotent unless its settings rule that out.

pub(crate) mod catalogue;
mod draft;
mod engine;
mod intake;
mod jaas;
mod native;
mod rule;
mod secret;
mod suggest;
pub mod table;
mod transform;

pub mod check;

use std::collections::BTreeMap;
use std::fmt;

pub use engine::{
    AutoOffsetReset, BadRecords, Codec, DeadLetterFormat, EngineSettings, EpochBump, IsolationLevel, PartitionerChoice,
    SchemaRegistry, Semantic,
};
pub use secret::is_secret;
pub(crate) use transform::is_topic_name;

use draft::Draft;

/// What the settings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A consumer (`kafka.source`).
    Source,
    /// A producer (`kafka.sink`).
    Sink,
}

/// One setting as the user wrote it, below `kafka.source[.alias]` or `kafka.sink[.alias]`.
#[derive(Clone)]
pub struct RawSetting<'a> {
    /// The key, without the section and the alias.
    pub key: &'a str,
    /// The value's text; lists joined with commas.
    pub value: String,
    /// Where it was set, such as `application.yml:4:23`.
    pub origin: Option<String>,
}

impl<'a> RawSetting<'a> {
    /// A setting of unknown origin.
    pub fn new(key: &'a str, value: impl Into<String>) -> Self {
        Self { key, value: value.into(), origin: None }
    }
}

impl fmt::Debug for RawSetting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Any value may be a secret under a misspelt key, so no value is printed.
        f.debug_struct("RawSetting").field("key", &self.key).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// Settings, translated.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Translation {
    /// Properties for librdkafka. A property with several spellings stands under Java's.
    pub client: BTreeMap<String, String>,
    /// What the engine handles itself.
    pub engine: EngineSettings,
    /// Lines for the log; each names the key and says what happens instead.
    pub warnings: Vec<String>,
    /// For each property that a setting led to, that setting's key as the user wrote it.
    pub written_by: BTreeMap<String, String>,
}

impl fmt::Debug for Translation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked: BTreeMap<&str, &str> = self
            .client
            .iter()
            .map(|(key, value)| (key.as_str(), if is_secret(key) { "***" } else { value.as_str() }))
            .collect();
        f.debug_struct("Translation")
            .field("client", &masked)
            .field("engine", &self.engine)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// One thing wrong with one key. The caller adds where the key was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProblem {
    /// The key as the user wrote it.
    pub key: String,
    /// What is wrong; never contains the value of a secret.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Reads the first bytes of a file, or nothing where it cannot.
pub type ReadHead<'a> = dyn Fn(&str) -> Option<Vec<u8>> + 'a;

/// Translates the settings of one source or sink; key stores are told apart by the endings of their names.
///
/// # Errors
/// Every problem found, each under its key.
pub fn translate(role: Role, settings: &[RawSetting<'_>]) -> Result<Translation, Vec<KeyProblem>> {
    translate_with(role, settings, &|_| None)
}

/// As [`translate`]; key stores without a type are told apart by the first bytes of the file.
///
/// # Errors
/// Every problem found, each under its key.
pub fn translate_with(
    role: Role,
    settings: &[RawSetting<'_>],
    read_head: &ReadHead<'_>,
) -> Result<Translation, Vec<KeyProblem>> {
    let mut draft = Draft::new(role);
    intake::take_in(&mut draft, settings);
    transform::run(&mut draft, read_head);
    draft.finish()
}

/// Whether a key is one of Kafka's (or librdkafka's, StreamPark's, Flink's), so that no alias may be called so.
pub fn is_known_key(key: &str) -> bool {
    table::find(key).is_some()
        || [Role::Source, Role::Sink].into_iter().any(|role| native::names(role).any(|name| name == key))
}

/// Whether the value may be a secret although the key does not look like it: a secret key, or a misspelt one, that only
/// Kafka knows.
pub(crate) fn may_hold_secret(key: &str) -> bool {
    let near = [Role::Source, Role::Sink].into_iter().filter_map(|role| suggest::nearest(role, key));
    !stream_conf::is_secret_key(key) && std::iter::once(key).chain(near).any(is_secret)
}

/// Whether librdkafka lets this role set the property.
pub(crate) fn is_property_of(role: Role, property: &str) -> bool {
    native::lookup(role, property) == native::Native::Ours
}

/// Whether known keys begin with `word.`, as `group.id` begins with `group`: below a section, such a first part is not
/// by itself an alias.
pub fn begins_known_key(word: &str) -> bool {
    let begins = |known: &str| known.strip_prefix(word).is_some_and(|rest| rest.starts_with('.'));
    table::ROWS.iter().any(|row| begins(row.key))
        || [Role::Source, Role::Sink].into_iter().any(|role| native::names(role).any(begins))
}

#[cfg(test)]
mod tests;
