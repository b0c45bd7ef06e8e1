//! The ledger over a store that fails, and over one that somebody else writes to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::checkpoint::ledger::{From, Ledger, Restored, Writer};
use crate::checkpoint::{CheckpointStore, CommittedBy, Creation, MemoryStore, StoredObject};
use crate::error::{Error, ErrorKind, Result};
use crate::operator::Snapshot;
use crate::runtime::checkpoint::{Checkpoint, Kept};
use crate::time::Timestamp;

/// Name and content.
type Request = (String, Vec<Bytes>);

/// A store whose next create of a manifest is carried out and reported as failed, as by a network that breaks before
/// the answer is there.
#[derive(Clone, Default)]
struct Doubtful {
    inner: MemoryStore,
    breaks: Arc<AtomicBool>,
    /// A request that was sent and will be carried out later.
    late: Arc<Mutex<Option<Request>>>,
    delays: Arc<AtomicBool>,
}

impl Doubtful {
    fn arrives(&self) {
        if let Some((name, content)) = self.late.lock().expect("no panic").take() {
            self.inner.create(&name, &content).expect("memory");
        }
    }
}

fn no_answer() -> Error {
    Error::new(ErrorKind::Unavailable, "no answer")
}

impl CheckpointStore for Doubtful {
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation> {
        if name.starts_with("manifest-") && self.delays.swap(false, Ordering::Relaxed) {
            *self.late.lock().expect("no panic") = Some((name.to_owned(), content.to_vec()));
            return Err(no_answer());
        }
        let created = self.inner.create(name, content);
        let breaks = name.starts_with("manifest-") && self.breaks.swap(false, Ordering::Relaxed);
        if breaks { Err(no_answer()) } else { created }
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
        "doubtful".to_owned()
    }
}

fn adopt(store: &Doubtful, incarnation: &str) -> (Ledger, Restored) {
    let writer = Writer {
        job: "job".to_owned(),
        incarnation: incarnation.to_owned(),
        attempt: 0,
        mode: CommittedBy::Own,
        lineage: 0,
        anew: false,
        max_parallelism: 256,
        retained: 3,
        now: Timestamp::from_millis(1),
    };
    Ledger::adopt(Arc::new(store.clone()), &writer, From::NewestStrictly, |_| Ok(())).expect("it can be taken over")
}

/// A checkpoint whose state and output are its epoch.
fn checkpoint(epoch: u64) -> Checkpoint {
    let mut snapshot = Snapshot::default();
    snapshot.put("v", vec![u8::try_from(epoch).expect("few")]);
    Checkpoint {
        epoch,
        operators: [("o".to_owned(), [(0, Kept::State(snapshot))].into())].into(),
        parallelism: [("o".to_owned(), 1)].into(),
        staged: [("s".to_owned(), vec![format!("file {epoch}").into_bytes()])].into(),
        ..Checkpoint::default()
    }
}

fn write(ledger: &mut Ledger, epoch: u64) -> Result<u64> {
    ledger.keep(checkpoint(epoch));
    ledger.write(Timestamp::from_millis(2)).map(|written| written.sequence)
}

/// Otherwise what the stored checkpoint will publish counts as left over, is discarded, and is missing when the next
/// run goes on from that checkpoint.
#[test]
fn a_restart_goes_on_from_a_checkpoint_whose_creation_was_in_doubt() {
    let store = Doubtful::default();
    let (mut ledger, _) = adopt(&store, "a");
    write(&mut ledger, 1).expect("room");
    store.breaks.store(true, Ordering::Relaxed);
    assert!(write(&mut ledger, 2).is_err());

    let restored = ledger.reload().expect("it is whole").checkpoint.expect("there is one");
    let (_, next) = adopt(&store, "b");
    assert_eq!(next.checkpoint.expect("there is one").epoch, 2, "what another run goes on from");
    assert_eq!(restored.epoch, 2, "so this one must, too");
    assert_eq!(restored.staged["s"], [b"file 2"]);
}

#[test]
fn a_creation_that_arrives_after_the_restart_counts_for_nothing() {
    let store = Doubtful::default();
    let (mut ledger, _) = adopt(&store, "a");
    write(&mut ledger, 1).expect("room");
    store.delays.store(true, Ordering::Relaxed);
    assert!(write(&mut ledger, 2).is_err());

    let restored = ledger.reload().expect("it is whole").checkpoint.expect("there is one");
    assert_eq!(restored.epoch, 1);
    store.arrives();
    let (_, next) = adopt(&store, "b");
    assert_eq!(next.checkpoint.expect("there is one").epoch, 1, "its number was taken");
}

#[test]
fn a_checkpoint_in_doubt_is_followed_by_one_that_has_both() {
    let store = Doubtful::default();
    let (mut ledger, _) = adopt(&store, "a");
    store.breaks.store(true, Ordering::Relaxed);
    assert!(write(&mut ledger, 1).is_err());
    write(&mut ledger, 2).expect("room");
    for listed in super::list(&store, "job").expect("memory") {
        let manifest = listed.manifest.expect("whole");
        assert_eq!(super::verify(&store, &manifest).expect("memory").len(), 0, "{manifest:?}");
    }
    let (_, next) = adopt(&store, "b");
    let next = next.checkpoint.expect("there is one");
    assert_eq!((next.epoch, &next.staged["s"]), (2, &vec![b"file 1".to_vec(), b"file 2".to_vec()]));
}

#[test]
fn a_restart_after_a_takeover_ends_the_run() {
    let store = Doubtful::default();
    let (mut ledger, _) = adopt(&store, "a");
    write(&mut ledger, 1).expect("room");
    store.delays.store(true, Ordering::Relaxed);
    assert!(write(&mut ledger, 2).is_err());
    adopt(&store, "b");
    let error = ledger.reload().err().expect("somebody else writes");
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
}
