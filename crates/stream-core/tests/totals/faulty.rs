//! A store that fails when a test wants it to.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use stream_core::checkpoint::{CheckpointStore, Creation, MemoryStore, StoredObject};
use stream_core::{Error, ErrorKind, Result};

const DEADLINE: Duration = Duration::from_secs(30);

/// How creating an object goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is no room: nothing is there.
    DiskFull,
    /// It is there, but nobody could say that it survives, as when fsync of its directory fails.
    NotSynchronised,
}

/// A store in memory that survives its runs. Clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Faulty {
    pub(crate) inner: MemoryStore,
    shared: Arc<(Mutex<Plan>, Condvar)>,
}

#[derive(Default)]
struct Plan {
    fault: Option<(&'static str, Fault)>,
    /// How many creates of an object with that beginning fail.
    left: u32,
    failed: u64,
    /// Manifests that were created since the last failure.
    manifests_since: u32,
}

impl Faulty {
    /// Lets the next `times` creates of objects whose names begin with `prefix` fail.
    pub(crate) fn fail(&self, prefix: &'static str, fault: Fault, times: u32) {
        let mut plan = self.shared.0.lock().expect("no panic");
        (plan.fault, plan.left) = (Some((prefix, fault)), times);
    }

    /// How many creates have failed.
    pub(crate) fn failed(&self) -> u64 {
        self.shared.0.lock().expect("no panic").failed
    }

    /// Waits until another `manifests` were created.
    pub(crate) fn wait_for_more(&self, manifests: u32) {
        self.shared.0.lock().expect("no panic").manifests_since = 0;
        self.wait(manifests);
    }

    /// Waits until every failure has happened, and `manifests` were created after it.
    pub(crate) fn wait(&self, manifests: u32) {
        let (plan, changed) = &*self.shared;
        let not_yet = |plan: &mut Plan| plan.left > 0 || plan.manifests_since < manifests;
        let plan = plan.lock().expect("no panic");
        let (plan, waited) = changed.wait_timeout_while(plan, DEADLINE, not_yet).expect("no panic");
        drop(plan);
        assert!(!waited.timed_out(), "hangs: nothing is stored any more");
    }
}

impl CheckpointStore for Faulty {
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation> {
        let (plan, changed) = &*self.shared;
        let mut plan = plan.lock().expect("no panic");
        let fault = match plan.fault {
            Some((prefix, fault)) if plan.left > 0 && name.starts_with(prefix) => Some(fault),
            _ => None,
        };
        if fault.is_some() {
            (plan.left, plan.failed, plan.manifests_since) = (plan.left - 1, plan.failed + 1, 0);
        } else if name.starts_with("manifest-") {
            plan.manifests_since += 1;
        }
        let created = match fault {
            Some(Fault::DiskFull) => Err(Error::new(ErrorKind::Unavailable, "the disk is full")),
            Some(Fault::NotSynchronised) => self
                .inner
                .create(name, content)
                .and_then(|_| Err(Error::new(ErrorKind::Unavailable, "fsync failed: input/output error"))),
            None => self.inner.create(name, content),
        };
        changed.notify_all();
        created
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>> {
        self.inner.read(name)
    }

    fn list(&self) -> Result<Vec<StoredObject>> {
        self.inner.list()
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.inner.delete(name)
    }

    fn location(&self) -> String {
        "faulty".to_owned()
    }
}
