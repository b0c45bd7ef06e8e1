//! Encoded entries in the order of their keys: what a disk would offer, in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::IntoIter;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::operator::{OperatorContext, Snapshot};
use crate::state::groups::GroupWriter;

/// An ordered map of byte strings. A key is one postcard value or several in a row: none is the beginning of another
/// one, so everything that begins with a value belongs to that value.
#[derive(Debug, Default)]
pub(crate) struct ByteTable {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The key being looked up; kept for its memory.
    key: Vec<u8>,
    /// The first value that could not be encoded or decoded.
    failure: Option<Error>,
}

impl ByteTable {
    /// Lets `f` change the value of `key`.
    pub(crate) fn with<V, R>(&mut self, key: &impl Serialize, f: impl FnOnce(&mut Option<V>) -> R) -> R
    where
        V: Serialize + DeserializeOwned,
    {
        let mut encoded = std::mem::take(&mut self.key);
        encoded.clear();
        match postcard::to_extend(key, encoded) {
            Ok(bytes) => self.key = bytes,
            Err(error) => {
                self.fail("key", error);
                return f(&mut None);
            }
        }
        let old = self.entries.get_mut(&self.key);
        let mut value = None;
        if let Some(bytes) = &old {
            match postcard::from_bytes(bytes) {
                Ok(decoded) => value = Some(decoded),
                Err(error) => {
                    self.fail("value", error);
                    return f(&mut None);
                }
            }
        }
        let result = f(&mut value);
        match (&value, self.entries.get_mut(&self.key)) {
            (Some(value), old) => {
                let buffer = old.map(|bytes| {
                    bytes.clear();
                    std::mem::take(bytes)
                });
                match postcard::to_extend(value, buffer.unwrap_or_default()) {
                    Ok(bytes) => {
                        self.entries.insert(self.key.clone(), bytes);
                    }
                    Err(error) => self.fail("value", error),
                }
            }
            (None, Some(_)) => {
                self.entries.remove(&self.key);
            }
            (None, None) => {}
        }
        result
    }

    /// Hands every entry whose key begins with `prefix` to `f`, in order: what follows the prefix, and the value.
    /// Removes those for which it returns false.
    pub(crate) fn scan<S, V>(&mut self, prefix: &impl Serialize, mut f: impl FnMut(S, V) -> bool)
    where
        S: DeserializeOwned,
        V: DeserializeOwned,
    {
        let prefix = match postcard::to_extend(prefix, Vec::new()) {
            Ok(prefix) => prefix,
            Err(error) => return self.fail("key", error),
        };
        let (mut removed, mut failure) = (Vec::new(), None);
        for (key, value) in self.entries.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
            match (postcard::from_bytes(&key[prefix.len()..]), postcard::from_bytes(value)) {
                (Ok(rest), Ok(value)) => {
                    if !f(rest, value) {
                        removed.push(key.clone());
                    }
                }
                (Err(error), _) | (_, Err(error)) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        for key in removed {
            self.entries.remove(&key);
        }
        if let Some(error) = failure {
            self.fail("value", error);
        }
    }

    /// What follows `prefix` in the last key that begins with it.
    pub(crate) fn last<S: DeserializeOwned>(&mut self, prefix: &impl Serialize) -> Option<S> {
        let prefix = match postcard::to_extend(prefix, Vec::new()) {
            Ok(prefix) => prefix,
            Err(error) => {
                self.fail("key", error);
                return None;
            }
        };
        // The first key that does not begin with the prefix; none if the prefix is the greatest of its length.
        let mut behind = prefix.clone();
        while behind.last() == Some(&0xFF) {
            behind.pop();
        }
        let last = match behind.last_mut() {
            Some(byte) => {
                *byte += 1;
                self.entries.range(prefix.clone()..behind).next_back()
            }
            None => self.entries.range(prefix.clone()..).next_back(),
        };
        match postcard::from_bytes(&last?.0[prefix.len()..]) {
            Ok(rest) => Some(rest),
            Err(error) => {
                self.fail("key", error);
                None
            }
        }
    }

    /// Lets `f` see and change every entry; removes those for which it returns false.
    pub(crate) fn retain<K, V>(&mut self, mut f: impl FnMut(K, &mut V) -> bool)
    where
        K: DeserializeOwned,
        V: Serialize + DeserializeOwned,
    {
        let mut failure = None;
        self.entries.retain(|key, bytes| {
            let decoded = postcard::from_bytes(key).and_then(|key| Ok((key, postcard::from_bytes(bytes)?)));
            let encoded = decoded.and_then(|(key, mut value)| {
                let keep = f(key, &mut value);
                bytes.clear();
                *bytes = postcard::to_extend(&value, std::mem::take(bytes))?;
                Ok(keep)
            });
            encoded.unwrap_or_else(|error| {
                failure.get_or_insert(error);
                true
            })
        });
        if let Some(error) = failure {
            self.fail("value", error);
        }
    }

    /// Writes all entries into a snapshot; `entry` makes of a key and its value what is written, and the hash of its key.
    pub(crate) fn snapshot<K, V, E>(
        &mut self,
        name: &str,
        context: &OperatorContext,
        snapshot: &mut Snapshot,
        entry: impl Fn(K, V) -> (u64, E),
    ) -> Result<()>
    where
        K: DeserializeOwned,
        V: DeserializeOwned,
        E: Serialize + DeserializeOwned,
    {
        let (mut writer, mut written) = (GroupWriter::new(context), Ok(0));
        self.scan(&(), |key, value| {
            if written.is_ok() {
                let (hash, entry) = entry(key, value);
                written = writer.add(hash, &entry);
            }
            true
        });
        written?;
        self.check()?;
        writer.finish_as::<E>(name, snapshot);
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// All entries, in order.
    pub(crate) fn into_entries(self) -> ByteEntries {
        ByteEntries { entries: self.entries.into_iter(), failure: self.failure }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }

    #[cold]
    fn fail(&mut self, what: &str, error: postcard::Error) {
        self.failure.get_or_insert(failure(what, error));
    }
}

/// The entries of a table that was taken apart.
#[derive(Debug)]
pub(crate) struct ByteEntries {
    entries: IntoIter<Vec<u8>, Vec<u8>>,
    failure: Option<Error>,
}

impl ByteEntries {
    /// The next entry. One that can't be decoded is the last.
    #[inline(never)]
    pub(crate) fn next<K: DeserializeOwned, V: DeserializeOwned>(&mut self) -> Option<(K, V)> {
        let (key, value) = self.entries.next()?;
        let decoded = postcard::from_bytes(&key).and_then(|key| Ok((key, postcard::from_bytes(&value)?)));
        decoded.map_err(|error| self.failure.get_or_insert(failure("value", error))).ok()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

fn failure(what: &str, error: postcard::Error) -> Error {
    let hint = "types in state must not need a self-describing format: no #[serde(flatten)], no untagged enums";
    Error::new(ErrorKind::User, format!("a {what} can't be encoded or decoded: {error}")).with_hint(hint)
}
