//! Where checkpoints are kept, so that they outlive the process and the machine.
//!
//! [`open`] takes what `execution.checkpointing.dir` says, and gives a [`Store`] for one job:
//!
//! ```text
//!   /var/lib/jobs, file:///var/lib/jobs       a directory        directory.rs
//!   s3://bucket/jobs, gs://…, az://…          a bucket           bucket.rs    features aws, gcp, azure
//!        └── <job>/manifest-…, <job>/data-…                      location.rs
//! ```
//!
//! Knows stream-core only, and names no format: what is in the objects is stream-core's business.

#[cfg(any(feature = "bucket", test))]
mod bucket;
mod directory;
mod location;

use bytes::Bytes;
use stream_core::checkpoint::{CheckpointStore, Creation, StoredObject};
use stream_core::{Error, ErrorKind, Result};

use directory::Directory;
use location::Location;

/// The checkpoints of one job, in a directory or a bucket. Made by [`open`].
pub struct Store(Box<dyn Place>);

/// A store that can say more of itself.
trait Place: CheckpointStore {
    /// As [`Store::check`].
    fn check(&self) -> Result<()>;

    /// As [`Store::is_remote`].
    fn is_remote(&self) -> bool;
}

/// Opens the store of the job `job` below `location`: a path, or an address that begins with `file:`, `s3://`, `gs://`
/// or `az://`.
///
/// Opening changes nothing and asks nobody: a directory is made when the first object is created in it. The secrets of a
/// bucket come from where the tools of its provider look for them, such as `AWS_ACCESS_KEY_ID`; an address never has
/// any.
///
/// # Errors
/// `Config` if the address can't be understood, or is one of a kind that the program was built without.
///
/// # Example
/// ```
/// use stream_core::checkpoint::{CheckpointStore, Creation};
///
/// let directory = tempfile::tempdir()?;
/// let location = directory.path().to_string_lossy();
/// let store = stream_store::open(&location, "orders")?;
/// assert_eq!(store.create("a", &["one".into()])?, Creation::Created);
///
/// // Another run of the job finds it; another job has a store of its own.
/// assert_eq!(stream_store::open(&location, "orders")?.read("a")?.as_deref(), Some(&b"one"[..]));
/// assert_eq!(stream_store::open(&location, "payments")?.list()?, []);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(location: &str, job: &str) -> Result<Store> {
    match Location::parse(location)? {
        Location::Directory(path) => Ok(Store(Box::new(Directory::new(path.join(location::directory_of(job)))))),
        Location::Bucket { provider, url } => open_bucket(provider, &url, job),
    }
}

#[cfg(feature = "bucket")]
fn open_bucket(provider: location::Provider, url: &str, job: &str) -> Result<Store> {
    match bucket::connect(provider, url)? {
        Some(bucket) => Ok(Store(Box::new(bucket.below(&location::directory_of(job))))),
        None => Err(provider.is_off(url)),
    }
}

#[cfg(not(feature = "bucket"))]
fn open_bucket(provider: location::Provider, url: &str, _job: &str) -> Result<Store> {
    Err(provider.is_off(url))
}

impl Store {
    /// Whether checkpoints could be written. Changes nothing; a bucket is asked, so it may take the time of a request.
    ///
    /// # Errors
    /// `Config` if they never could, as without permission; `Unavailable` if it can't be said now.
    pub fn check(&self) -> Result<()> {
        self.0.check()
    }

    /// Whether it is reached over a network.
    pub fn is_remote(&self) -> bool {
        self.0.is_remote()
    }
}

impl CheckpointStore for Store {
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation> {
        check_name(name)?;
        self.0.create(name, content)
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>> {
        check_name(name)?;
        self.0.read(name)
    }

    fn list(&self) -> Result<Vec<StoredObject>> {
        self.0.list()
    }

    fn delete(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.0.delete(name)
    }

    fn location(&self) -> String {
        self.0.location()
    }
}

/// A name may not lead out of the store, and not begin as the files do that are not objects yet.
fn check_name(name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    let hint = "names are letters, digits, `-`, `_` and `.`, and don't begin with `.`";
    Err(Error::new(ErrorKind::Internal, format!("`{name}` can't be the name of an object")).with_hint(hint))
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use stream_core::checkpoint::MemoryStore;

    use super::*;

    /// What every store promises, on one that is empty.
    fn keeps_its_promises(store: &dyn CheckpointStore) {
        let bytes = |text: &str| Bytes::from(text.to_owned());
        let name = store.location();
        assert_eq!(store.list().expect("a listing"), [], "{name}");
        assert_eq!(store.read("a").expect("no failure"), None, "{name}");
        store.delete("a").expect("nothing to do is no failure");

        assert_eq!(store.create("a", &[bytes("one"), bytes(""), bytes("two")]).expect("room"), Creation::Created);
        assert_eq!(store.create("a", &[bytes("other")]).expect("room"), Creation::AlreadyThere, "{name}");
        assert_eq!(store.read("a").expect("no failure"), Some(bytes("onetwo")), "{name}");
        assert_eq!(store.create("empty", &[]).expect("room"), Creation::Created, "{name}");
        assert_eq!(store.read("empty").expect("no failure"), Some(bytes("")), "{name}");

        let mut listed = store.list().expect("a listing");
        listed.sort();
        let sizes: Vec<(&str, u64)> = listed.iter().map(|object| (object.name.as_str(), object.size)).collect();
        assert_eq!(sizes, [("a", 6), ("empty", 0)], "{name}");

        store.delete("a").expect("it goes");
        assert_eq!(store.read("a").expect("no failure"), None, "{name}");
        assert_eq!(store.create("a", &[bytes("again")]).expect("room"), Creation::Created, "{name}");
    }

    #[test]
    fn every_store_keeps_its_promises() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_string_lossy();
        keeps_its_promises(&open(&path, "job").expect("a store"));
        keeps_its_promises(&bucket::in_memory().below("job"));
        keeps_its_promises(&MemoryStore::new());
    }

    #[test]
    fn jobs_do_not_see_each_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().to_string_lossy();
        let shared = bucket::in_memory();
        let in_bucket = ["a", "a/b"].map(|job| Store(Box::new(shared.below(&location::directory_of(job)))));
        let in_directory = ["a", "a/b"].map(|job| open(&path, job).expect("a store"));
        for [one, other] in [in_bucket, in_directory] {
            one.create("x", &["1".into()]).expect("room");
            assert_eq!(other.list().expect("a listing"), []);
            other.create("x", &["2".into()]).expect("room");
            assert_eq!(one.list().expect("a listing").len(), 1);
            assert_eq!(one.read("x").expect("no failure").as_deref(), Some(&b"1"[..]));
        }
    }

    #[test]
    fn of_many_that_create_one_name_one_is_first() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = Arc::new(directory.path().to_string_lossy().into_owned());
        let gate = Arc::new(Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|writer: u32| {
                let (path, gate) = (path.clone(), gate.clone());
                stream_core::thread::spawn("writer", move || {
                    let store = open(&path, "job").expect("a store");
                    (0..50_u32)
                        .filter(|round| {
                            gate.wait();
                            let content = writer.to_string().repeat(1000);
                            let created = store.create(&format!("m-{round}"), &[content.into()]).expect("room");
                            let there = store.read(&format!("m-{round}")).expect("no failure").expect("it is there");
                            assert!(there.len() == 1000 && there.iter().all(|byte| *byte == there[0]), "half of it");
                            created == Creation::Created
                        })
                        .count()
                })
                .expect("a thread")
            })
            .collect();
        let first: usize = threads.into_iter().map(|thread| thread.join().expect("no panic")).sum();
        assert_eq!(first, 50, "each was created once");
        let left = std::fs::read_dir(directory.path().join("job")).expect("it is there").count();
        assert_eq!(left, 50, "no temporary file stays");
    }

    #[test]
    fn a_name_does_not_lead_out_of_the_store() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = open(&directory.path().to_string_lossy(), "job").expect("a store");
        for name in ["", "..", "../a", "/etc/passwd", "a/b", ".new-1-1", "a\0b"] {
            assert!(store.create(name, &[]).is_err() && store.read(name).is_err() && store.delete(name).is_err());
        }
    }
}
