//! Storage that fails, and storage that lies: what a job with checkpoints makes of it.

mod totals;

use std::collections::BTreeMap;

use bytes::Bytes;
use stream_core::checkpoint::{self, CheckpointStore, Manifest, MemoryStore};
use stream_core::{ErrorKind, Result};
use totals::faulty::{Fault, Faulty};
use totals::{END, World, log};

const TOLERANT: &str = "execution.checkpointing.tolerable-failed-checkpoints=1000";

/// Every object and every way in which creating it fails.
const FAULTS: [(&str, Fault); 4] = [
    ("data-", Fault::DiskFull),
    ("data-", Fault::NotSynchronised),
    ("manifest-", Fault::DiskFull),
    ("manifest-", Fault::NotSynchronised),
];

#[test]
fn a_checkpoint_that_fails_is_counted_logged_and_made_good_by_the_next() {
    log::listen();
    for (object, fault) in FAULTS {
        let (world, store) = (World::default(), Faulty::default());
        let job = world.start(store.clone(), &[TOLERANT]).expect("a good job");
        world.read_to(50);
        store.fail(object, fault, 3);
        world.read_to(100);
        store.wait(1);
        world.read_to(150);
        job.stop();
        let report = job.wait().expect("the job goes on");
        assert_eq!(store.failed(), 3, "{object} {fault:?}");
        assert_eq!(report.checkpoints.failed, 3, "{object} {fault:?}");
        assert!(report.checkpoints.completed > 0, "{object} {fault:?}");
        everything_is_whole(&store.inner);

        world.allow(END);
        world.start(store, &[]).expect("a good job").wait().expect("the job goes on");
        assert_eq!(world.published(), World::expected(), "{object} {fault:?}");
    }
    for reason in ["the disk is full", "fsync failed: input/output error"] {
        let line = format!("no checkpoint, the next one tries again: error[unavailable]: {reason}");
        assert!(log::warnings().contains(&line), "{}", log::warnings());
    }
}

#[test]
fn the_last_checkpoint_is_tried_until_it_is_stored() {
    let (world, store) = (World::default(), Faulty::default());
    let job = world.start(store.clone(), &[TOLERANT]).expect("a good job");
    world.read_to(50);
    store.wait(1);
    // More than what is under way can use up.
    store.fail("", Fault::DiskFull, 4);
    job.stop();
    let report = job.wait().expect("it ends well once there is room");
    assert_eq!((store.failed(), report.checkpoints.failed), (4, 4));
    everything_is_whole(&store.inner);

    world.allow(END);
    world.start(store, &[]).expect("a good job").wait().expect("the job goes on");
    assert_eq!(world.published(), World::expected());
}

#[test]
fn a_run_that_is_cut_off_after_a_failure_is_gone_on_from() {
    for (object, fault) in FAULTS {
        let (world, store) = (World::default(), Faulty::default());
        let job = world.start(store.clone(), &[TOLERANT]).expect("a good job");
        world.read_to(50);
        store.wait(2);
        // For ever: nothing is made good in this run.
        store.fail(object, fault, 5);
        world.read_to(100);
        store.wait(0);
        job.abort();
        assert!(job.wait().is_err());
        store.fail(object, fault, 0);

        world.allow(END);
        world.start(store, &[]).expect("a good job").wait().expect("the job goes on");
        assert_eq!(world.published(), World::expected(), "{object} {fault:?}");
    }
}

/// The restart goes on from what is stored, not from what was said to be stored.
#[test]
fn a_job_that_fails_for_its_checkpoints_is_restarted_and_loses_nothing() {
    let restart = ["restart-strategy=fixed-delay", "restart-strategy.fixed-delay.attempts=100"];
    let settings = [&restart[..], &["restart-strategy.fixed-delay.delay=1ms"]].concat();
    for (object, fault) in FAULTS {
        let (world, store) = (World::default(), Faulty::default());
        let job = world.start(store.clone(), &settings).expect("a good job");
        world.read_to(50);
        store.fail(object, fault, 3);
        world.read_to(100);
        store.wait(2);
        world.read_to(END);
        let report = job.wait().expect("the job goes on");
        assert_eq!((store.failed(), report.restarts), (3, 3), "{object} {fault:?}");
        assert_eq!(world.published(), World::expected(), "{object} {fault:?}");
        everything_is_whole(&store.inner);
    }
}

#[test]
fn too_many_failures_end_the_job_with_the_reason() {
    let (world, store) = (World::default(), Faulty::default());
    let job = world.start(store.clone(), &[]).expect("a good job");
    world.read_to(50);
    store.fail("data-", Fault::DiskFull, 1);
    let error = job.wait().expect_err("none may fail");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("1 checkpoints in a row have failed; the last: the disk is full"), "{error}");
}

fn everything_is_whole(store: &dyn CheckpointStore) {
    for listed in checkpoint::list(store, "totals").expect("memory") {
        let manifest = listed.manifest.expect("whole");
        assert!(listed.damage.is_empty(), "{:?}", listed.damage);
        assert!(checkpoint::verify(store, &manifest).expect("memory").is_empty(), "checkpoint {}", listed.sequence);
    }
}

/// What a store has, to be copied and damaged.
type Objects = BTreeMap<String, Bytes>;

fn objects(store: &MemoryStore) -> Objects {
    let names = store.list().expect("memory").into_iter().map(|object| object.name);
    names.map(|name| (name.clone(), store.read(&name).expect("memory").expect("it is there"))).collect()
}

fn with(objects: &Objects) -> MemoryStore {
    let store = MemoryStore::new();
    for (name, content) in objects {
        store.create(name, std::slice::from_ref(content)).expect("memory");
    }
    store
}

/// A store with several checkpoints, and one of another job.
fn examples() -> (Objects, Objects) {
    let run = |job: &str| {
        let (world, store) = (World::default(), Faulty::default());
        let settings = ["execution.checkpointing.num-retained=2"];
        let job = world.start_as(job, store.clone(), &settings).expect("a good job");
        for limit in (30..=150).step_by(30) {
            world.read_to(limit);
            store.wait_for_more(2);
        }
        job.stop();
        job.wait().expect("the job succeeds");
        objects(&store.inner)
    };
    (run("totals"), run("another"))
}

/// SplitMix64, so that a seed in a message stays good.
struct Random(u64);

impl Random {
    fn index(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// Damages one object in one of many ways, or two of them: which, and what was done.
fn mutate(objects: &mut Objects, foreign: &Objects, random: &mut Random) -> (Vec<String>, String) {
    let names: Vec<String> = objects.keys().cloned().collect();
    let name = names[random.index(names.len())].clone();
    let content = objects[&name].clone();
    let what = match random.index(6) {
        0 => {
            let length = random.index(content.len());
            objects.insert(name.clone(), content.slice(..length));
            format!("cut to {length}")
        }
        1 => {
            let (at, bit) = (random.index(content.len()), random.index(8));
            let mut bytes = content.to_vec();
            bytes[at] ^= 1 << bit;
            objects.insert(name.clone(), bytes.into());
            format!("bit {bit} of byte {at} flipped")
        }
        2 => {
            let more = random.index(100) + 1;
            objects.insert(name.clone(), [&content[..], &vec![0; more]].concat().into());
            format!("{more} bytes added")
        }
        3 if name.starts_with("data-") => {
            objects.remove(&name);
            "removed".to_owned()
        }
        4 => {
            let others: Vec<&Bytes> = foreign.values().collect();
            let other = others[random.index(others.len())].clone();
            if other == content {
                // The same state at the same place.
                return mutate(objects, foreign, random);
            }
            objects.insert(name.clone(), other);
            "replaced by another job's".to_owned()
        }
        _ => {
            let other = names[random.index(names.len())].clone();
            if objects[&other] == content {
                return mutate(objects, foreign, random);
            }
            let swapped = objects.insert(other.clone(), content).expect("it was there");
            objects.insert(name.clone(), swapped);
            return (vec![name, other], "swapped".to_owned());
        }
    };
    (vec![name], what)
}

/// What is wrong with any checkpoint of the store, as text.
fn damages(store: &MemoryStore) -> Vec<String> {
    let mut damages = Vec::new();
    for listed in checkpoint::list(store, "totals").expect("memory") {
        match listed.manifest {
            Ok(manifest) => damages.extend(checkpoint::verify(store, &manifest).expect("memory")),
            Err(error) => damages.push(error),
        }
    }
    let allowed = |error: &stream_core::Error| {
        error.kind() == ErrorKind::Corrupt || error.message().contains("is of job") && error.kind() == ErrorKind::Config
    };
    assert!(damages.iter().all(allowed), "{damages:?}");
    damages.iter().map(|error| error.message().to_owned()).collect()
}

#[test]
fn ten_thousand_kinds_of_damage_are_recognised_and_named() {
    const CAUSES: [&str; 8] = [
        "it is cut off",
        "something was added to it",
        "its bytes were changed",
        "it is missing",
        "its manifest says",
        "it is whole, but another file than its manifest means",
        "it was written as",
        "it is no file of this kind",
    ];
    let (good, foreign) = examples();
    assert!(damages(&with(&good)).is_empty(), "it is whole before");
    let needed: Vec<String> = good.keys().cloned().collect();
    assert!(needed.iter().filter(|name| name.starts_with("data-")).count() > 1, "{needed:?}");
    let mut random = Random(17);
    for round in 0..10_000 {
        let mut objects = good.clone();
        let (names, what) = mutate(&mut objects, &foreign, &mut random);
        let found = damages(&with(&objects));
        let is_named = |text: &&String| {
            names.iter().any(|name| text.contains(name))
                && (CAUSES.iter().any(|cause| text.contains(cause)) || text.contains("is of job `another`"))
        };
        assert!(found.iter().any(|text| is_named(&text)), "round {round}: {names:?}, {what}: {found:?}");
    }
}

#[test]
fn a_job_with_a_staged_sink_refuses_damage_and_any_other_falls_back() {
    let (good, foreign) = examples();
    let newest = good.keys().filter_map(|name| Manifest::sequence_of(name)).max().expect("there are some");
    let name = Manifest::name_of(newest);
    let staged = Manifest::decode(&name, &good[&name]).expect("whole").staged;
    let staged: Vec<Vec<u8>> = staged.into_values().flatten().collect();
    let mut random = Random(4);
    let mut fallen_back = 0;
    log::listen();
    for round in 0..50 {
        let mut objects = good.clone();
        let (names, what) = mutate(&mut objects, &foreign, &mut random);
        let store = with(&objects);
        let whole: Vec<u64> = checkpoint::list(&store, "totals")
            .expect("memory")
            .into_iter()
            .filter_map(|listed| listed.manifest.ok())
            .filter(|manifest| checkpoint::verify(&store, manifest).expect("memory").is_empty())
            .map(|manifest| manifest.sequence)
            .collect();
        let hit_newest = !whole.contains(&newest);

        let world = World::with_aside(staged.clone());
        world.allow(END);
        match world.start(with(&objects), &[]).and_then(|job| job.wait()) {
            Ok(_) => assert!(!hit_newest, "round {round}: {names:?}, {what}: went on from an older one"),
            Err(error) => {
                let refused = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Config);
                assert!(hit_newest && refused && error.hint().is_some(), "round {round}: {names:?}, {what}: {error}");
            }
        }

        // The same store under a job without such a sink.
        match count_lines(store) {
            Ok(lines) => {
                fallen_back += usize::from(hit_newest);
                assert!(!whole.is_empty() && lines > 0, "round {round}: {names:?}, {what}");
            }
            Err(error) => {
                let refused = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Config);
                assert!(refused && hit_newest, "round {round}: {names:?}, {what}: {error}");
            }
        }
    }
    assert!(fallen_back > 5, "only {fallen_back} went on from an older checkpoint");
    let told =
        log::warnings().matches("going on from an older checkpoint, more is read again: error[corrupt]: `").count();
    assert!(told >= fallen_back, "{told} of {fallen_back} times");
}

/// Goes on without the staged sink, whose state is dropped.
fn count_lines(store: MemoryStore) -> Result<usize> {
    let world = World::default();
    world.allow(END);
    let settings = ["execution.state-recovery.ignore-unclaimed-state=true"];
    let (ctx, lines) = world.describe(&settings);
    let lines = lines.collect();
    ctx.checkpoint_store(store).execute("totals")?;
    Ok(lines.take().len())
}
