//! Checkpoints of every version of the format that was ever written: this program goes on from them.
//!
//! `tests/checkpoints/v<version>/totals` is a store after half of the job. A new version gets a new directory:
//! `cargo test -p stream-core --test checkpoint_files -- --ignored`. What is there is never written again.

mod totals;

use std::fs;
use std::path::{Path, PathBuf};

use stream_core::checkpoint::{self, CheckpointStore, FORMAT_VERSION, MemoryStore};
use totals::{END, World};

fn directory(version: u16) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/checkpoints/v{version}/totals"))
}

/// The stored files, in memory.
fn stored(version: u16) -> MemoryStore {
    let store = MemoryStore::new();
    for entry in fs::read_dir(directory(version)).expect("it is in the repository") {
        let entry = entry.expect("readable");
        let name = entry.file_name().into_string().expect("text");
        store.create(&name, &[fs::read(entry.path()).expect("readable").into()]).expect("memory");
    }
    store
}

#[test]
fn every_version_can_be_gone_on_from() {
    for version in 1..=FORMAT_VERSION {
        let store = stored(version);
        let listed = checkpoint::list(&store, "totals").expect("memory");
        let newest = listed.first().and_then(|newest| newest.manifest.as_ref().ok()).expect("it is whole");
        assert!(checkpoint::verify(&store, newest).expect("memory").is_empty());
        assert!(newest.operators.contains_key("sums") && newest.sources["numbers"].splits.len() == 2, "{newest:?}");

        // What earlier checkpoints have put aside was published by the run that wrote them.
        let world = World::with_aside(newest.staged.values().flatten().cloned());
        world.allow(END);
        let job = world.start(store.clone(), &[]).expect("a good job");
        job.wait().expect("the job succeeds");
        let published = world.published();
        let expected = World::expected();
        let missing: Vec<&String> = expected.iter().filter(|line| !published.contains(line)).collect();
        // The first half of the counts came out before.
        let counts =
            |lines: &[&String]| lines.iter().all(|line| line.starts_with("count ") || line.starts_with("window "));
        assert!(counts(&missing) && missing.len() < expected.len() / 2, "version {version}: {missing:?}");
        let total: usize = published.len() + missing.len();
        assert_eq!(total, expected.len(), "version {version}: nothing is there twice, and nothing that should not be");
        for key in 0..7 {
            let last = expected.iter().filter(|line| line.starts_with(&format!("window {key} ")));
            let sums: Vec<&String> = last.filter(|line| published.contains(line)).collect();
            assert!(sums.len() >= 6, "version {version}: windows that were open are complete: {sums:?}");
        }
    }
}

#[test]
#[ignore = "writes files of a new version of the format into the repository"]
fn write_files_of_this_version() {
    let directory = directory(FORMAT_VERSION);
    assert!(!directory.exists(), "files of a version are written once, for ever: {}", directory.display());
    let store = MemoryStore::new();
    let world = World::default();
    let settings = ["execution.checkpointing.interval=1h", "execution.checkpointing.num-retained=2"];
    let job = world.start(store.clone(), &settings).expect("a good job");
    world.read_to(END / 2);
    job.stop();
    job.wait().expect("the job succeeds");
    fs::create_dir_all(&directory).expect("room");
    for object in store.list().expect("memory") {
        let content = store.read(&object.name).expect("memory").expect("it is there");
        fs::write(directory.join(object.name), content).expect("room");
    }
}
