//! Histories that are written, not drawn: the hole that `on_disturbance` leaves, and whatever was found once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stream_core::checkpoint::{CheckpointStore, MemoryStore};
use stream_core::testing::SteppedJob;
use stream_core::{ErrorKind, Result};

use super::input::{DEAD, FROM, GROUP, TO};
use super::{Bug, Policy, Settings, describe, with_bug};
use crate::sim::{FakeKafka, Network, Passage, Request};

/// More steps than anything here takes.
const STEPS_MAX: usize = 10_000;

/// One request to end a transaction arrives once more, later; nothing else goes wrong.
struct Repeats {
    which: usize,
    ends: AtomicUsize,
}

impl Network for Repeats {
    fn carry(&self, _client: &str, request: Request) -> Passage {
        match request {
            Request::EndTransaction if self.ends.fetch_add(1, Ordering::Relaxed) == self.which => Passage::Twice,
            _ => Passage::Good,
        }
    }
}

struct Stage {
    kafka: Arc<FakeKafka>,
    store: MemoryStore,
    policy: Policy,
    runs: u64,
}

impl Stage {
    fn new(policy: Policy) -> Stage {
        let kafka = Arc::new(FakeKafka::new());
        [FROM, TO, DEAD].iter().for_each(|topic| kafka.create_topic(topic, 1));
        Stage { kafka, store: MemoryStore::new(), policy, runs: 0 }
    }

    fn start(&mut self) -> SteppedJob {
        let store = self.store.clone();
        self.start_on(store)
    }

    fn start_on(&mut self, store: MemoryStore) -> SteppedJob {
        self.try_to_start(store).expect("it starts")
    }

    fn try_to_start(&mut self, store: MemoryStore) -> Result<SteppedJob> {
        self.runs += 1;
        let settings =
            Settings { policy: self.policy, interval: 50, partitions: 1, exchange_bytes: 1 << 16, marker_topic: false };
        let client = format!("p{}", self.runs);
        let ctx = describe((&self.kafka, &client), store, settings, 1).expect("a good job");
        let clock = self.kafka.clock().clone();
        let mut job = SteppedJob::on_clock(ctx, "job", self.runs, clock)?;
        job.set_step_time(Duration::from_millis(1));
        job.set_checkpoint_interval(Duration::from_millis(settings.interval));
        Ok(job)
    }

    /// Takes steps until `is_so`.
    fn step_until(&self, job: &mut SteppedJob, is_so: impl Fn(&FakeKafka) -> bool) {
        for _ in 0..STEPS_MAX {
            if is_so(&self.kafka) {
                return;
            }
            if !job.step().expect("nothing fails") {
                self.kafka.clock().advance(Duration::from_millis(1));
            }
        }
        panic!("it never came to that; {} records are committed", self.kafka.read_committed(TO).len());
    }
}

fn written(kafka: &FakeKafka) -> Vec<String> {
    let records = kafka.read_committed(TO).into_iter();
    records.map(|record| String::from_utf8_lossy(&record.value.unwrap_or_default()).into_owned()).collect()
}

/// The request that committed the first epoch arrives again while the second one is written; then the process dies.
fn a_clean_commit_arrives_again(policy: Policy) -> Vec<String> {
    let mut stage = Stage::new(policy);
    // The first one ends the transaction of adoption.
    stage.kafka.set_network(Arc::new(Repeats { which: 1, ends: AtomicUsize::new(0) }));
    stage.kafka.append(FROM, 0, "", "1:1");
    let mut job = stage.start();
    stage.step_until(&mut job, |kafka| kafka.read_committed(TO).len() == 1);
    stage.kafka.append(FROM, 0, "", "1:2");
    stage.step_until(&mut job, |kafka| kafka.read_uncommitted(TO).len() == 2);
    assert_eq!(written(&stage.kafka), ["1:1:1"], "the second epoch is under way");
    assert_eq!(stage.kafka.underway(), 1);
    stage.kafka.deliver(0);
    stage.kafka.kill("p1");
    drop(job);
    let mut job = stage.start();
    stage.step_until(&mut job, |kafka| kafka.positions(GROUP, FROM) == [(2, Some(2))]);
    job.stop();
    job.run().expect("it ends well");
    written(&stage.kafka)
}

#[test]
fn a_late_request_to_commit_tears_an_epoch_under_on_disturbance() {
    assert_eq!(a_clean_commit_arrives_again(Policy::OnDisturbance), ["1:1:1", "1:2:2", "1:2:2"]);
}

#[test]
fn a_late_request_to_commit_does_nothing_under_always() {
    assert_eq!(a_clean_commit_arrives_again(Policy::Always), ["1:1:1", "1:2:2"]);
}

/// Before the next request of this kind that this process makes, something happens.
struct Meanwhile {
    before: (&'static str, Request),
    act: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Meanwhile {
    fn new(before: (&'static str, Request), act: impl FnOnce() + Send + 'static) -> Arc<Meanwhile> {
        Arc::new(Meanwhile { before, act: Mutex::new(Some(Box::new(act))) })
    }
}

impl Network for Meanwhile {
    fn carry(&self, client: &str, request: Request) -> Passage {
        if (client, request) == self.before {
            let act = self.act.lock().unwrap_or_else(PoisonError::into_inner).take();
            act.into_iter().for_each(|act| act());
        }
        Passage::Good
    }
}

/// What is in a store now, in a store of its own.
fn copied(store: &MemoryStore) -> MemoryStore {
    let copy = MemoryStore::new();
    for object in store.list().expect("memory answers") {
        let content = store.read(&object.name).expect("memory answers").expect("it was listed");
        copy.create(&object.name, &[content]).expect("memory takes it");
    }
    copy
}

/// A process sleeps between its commit and the new producer epoch. Another one takes over, commits and dies; then the
/// first one wakes up. Their stores don't know of each other, which would tell the first one as well.
fn a_zombie_renews_its_epoch() -> (Vec<String>, Result<()>) {
    let mut stage = Stage::new(Policy::Always);
    let (kafka, store) = (stage.kafka.clone(), stage.store.clone());
    kafka.append(FROM, 0, "", "1:1");
    let mut job = stage.start();
    let other = move || {
        stage.kafka.append(FROM, 0, "", "1:2");
        let mut job = stage.start_on(copied(&store));
        stage.step_until(&mut job, |kafka| kafka.positions(GROUP, FROM) == [(2, Some(2))]);
        stage.kafka.kill("p2");
    };
    // After its adoption: the next time is after its first commit.
    kafka.set_network(Meanwhile::new(("p1", Request::Init), other));
    let mut result = Ok(());
    for _ in 0..500 {
        match job.step() {
            Ok(true) => {}
            Ok(false) => kafka.clock().advance(Duration::from_millis(1)),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    (written(&kafka), result)
}

#[test]
fn a_zombie_with_a_new_epoch_reads_the_marker_and_ends() {
    let (written, result) = a_zombie_renews_its_epoch();
    assert_eq!(written, ["1:1:1", "1:2:2"]);
    assert_eq!(result.expect_err("it is over").kind(), ErrorKind::Fenced);
}

#[test]
fn a_zombie_that_does_not_read_the_marker_would_write_again() {
    let (written, result) = with_bug(Bug::RenewedUnread, a_zombie_renews_its_epoch);
    assert_eq!(written, ["1:1:1", "1:2:2", "1:2:2"]);
    assert!(result.is_ok(), "and would not even know");
}

/// A process has read the marker and sleeps before it looks into the store; meanwhile another one goes on.
fn overtaken_while_taking_over(has_marker: bool) -> ErrorKind {
    let mut stage = Stage::new(Policy::Always);
    let (kafka, store) = (stage.kafka.clone(), stage.store.clone());
    kafka.append(FROM, 0, "", "1:1");
    let mut first = has_marker.then(|| {
        let mut job = stage.start();
        stage.step_until(&mut job, |kafka| kafka.positions(GROUP, FROM) == [(1, Some(1))]);
        job
    });
    // Far more checkpoints than are kept, so that what the marker named is gone.
    let mut other = Stage { kafka: kafka.clone(), store: store.clone(), policy: Policy::Always, runs: 10 };
    let goes_on = move || {
        let mut job = first.take().unwrap_or_else(|| other.start());
        for next in 2..12 {
            other.kafka.append(FROM, 0, "", format!("1:{next}"));
            for _ in 0..STEPS_MAX {
                if other.kafka.positions(GROUP, FROM) == [(next, Some(next))] {
                    break;
                }
                // It was fenced, and nobody has adopted: it takes over again.
                match job.step() {
                    Ok(true) => {}
                    Ok(false) => other.kafka.clock().advance(Duration::from_millis(1)),
                    Err(_) => job.restart().expect("nobody has replaced it"),
                }
            }
        }
        assert!(written(&other.kafka).len() >= 10);
    };
    stage.runs = 1;
    kafka.set_network(Meanwhile::new(("p2", Request::Metadata), goes_on));
    stage.try_to_start(store).err().expect("it was overtaken").kind()
}

#[test]
fn whoever_was_overtaken_while_taking_over_tries_again_and_does_not_call_the_store_damaged() {
    assert_eq!(overtaken_while_taking_over(true), ErrorKind::Fenced, "not corrupt");
    assert_eq!(overtaken_while_taking_over(false), ErrorKind::Fenced, "not config");
}
