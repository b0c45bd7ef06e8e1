//! [`CheckpointStore`]: named objects, created once, never changed. That is all a checkpoint asks of a disk or bucket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::error::Result;

/// Keeps the checkpoints of one job.
///
/// Objects are created and deleted, never changed. Everything the engine promises about checkpoints rests on two rules:
/// - when [`create`](CheckpointStore::create) says that it created an object, the object is whole and survives a crash
///   of the machine; before that, nobody sees it;
/// - of two that create an object of one name at the same time, one is told that it was already there.
///
/// Called from one thread of the job at a time; calls may wait.
pub trait CheckpointStore: Send + Sync {
    /// Creates the object `name` from `content`, one part after the other, unless there is one of that name.
    ///
    /// # Errors
    /// `Unavailable` if it could not be stored, or nobody can say: it may be there, and may even come to be there later,
    /// but whole; `Config` if it never can be stored, as without permission.
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation>;

    /// The object `name`; none if there is no such object.
    ///
    /// # Errors
    /// `Unavailable` if the store does not answer.
    fn read(&self, name: &str) -> Result<Option<Bytes>>;

    /// Every object there is, in no order.
    ///
    /// # Errors
    /// As [`read`](CheckpointStore::read).
    fn list(&self) -> Result<Vec<StoredObject>>;

    /// Deletes the object `name`; well done if there is no such object.
    ///
    /// # Errors
    /// As [`read`](CheckpointStore::read).
    fn delete(&self, name: &str) -> Result<()>;

    /// Where this is, for people.
    fn location(&self) -> String;
}

/// What became of [`CheckpointStore::create`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The object is there now, and durable.
    Created,
    /// There was one of that name; it is as it was, and durable.
    AlreadyThere,
}

/// An object in a [`CheckpointStore`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredObject {
    /// Its name, unique in the store.
    pub name: String,
    /// Its bytes.
    pub size: u64,
}

/// Checkpoints in memory: they survive a restart inside the process, nothing else. Clones share them.
///
/// # Example
/// ```
/// use stream_core::checkpoint::{CheckpointStore, Creation, MemoryStore};
///
/// let store = MemoryStore::new();
/// assert_eq!(store.create("a", &["one".into()])?, Creation::Created);
/// assert_eq!(store.create("a", &["two".into()])?, Creation::AlreadyThere);
/// assert_eq!(store.read("a")?.as_deref(), Some(&b"one"[..]));
/// # Ok::<(), stream_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<BTreeMap<String, Bytes>>>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn objects(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Bytes>> {
        // One insert or remove is all that is ever done under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CheckpointStore for MemoryStore {
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation> {
        let mut objects = self.objects();
        if objects.contains_key(name) {
            return Ok(Creation::AlreadyThere);
        }
        let whole = match content {
            [one] => one.clone(),
            parts => parts.concat().into(),
        };
        objects.insert(name.to_owned(), whole);
        Ok(Creation::Created)
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>> {
        Ok(self.objects().get(name).cloned())
    }

    fn list(&self) -> Result<Vec<StoredObject>> {
        let objects = self.objects();
        Ok(objects.iter().map(|(name, bytes)| StoredObject { name: name.clone(), size: bytes.len() as u64 }).collect())
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.objects().remove(name);
        Ok(())
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}
