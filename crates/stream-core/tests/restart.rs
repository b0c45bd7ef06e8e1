//! A job that fails and is built again inside the process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stream_core::checkpoint::{self, MemoryStore};
use stream_core::clock::{Clock, SystemClock};
use stream_core::{Configuration, Error, ErrorKind, JobReport, Result, StreamingContext};

const KEYS: u64 = 10;

/// What the sink has seen of a key: the number of its first and its last record in each attempt.
type Seen = Arc<Mutex<Vec<BTreeMap<u64, (u64, u64)>>>>;

/// Runs a job that counts per key and fails as soon as there is a checkpoint, so many times; it is stopped when it has
/// gone on after that.
fn run(failures: u64, settings: &[(&str, &str)]) -> (Result<JobReport>, Seen) {
    let store = MemoryStore::new();
    let builder = Configuration::builder().set("execution.checkpointing.interval", "10ms");
    let configuration = settings.iter().fold(builder, |builder, (key, value)| builder.set(*key, *value)).build();
    let ctx = StreamingContext::new(configuration.expect("plain settings")).checkpoint_store(store.clone());
    let (failed, seen) = (Arc::new(AtomicU64::new(0)), Seen::default());
    seen.lock().expect("no panic").push(BTreeMap::new());
    let (so_far, attempts) = (failed.clone(), seen.clone());
    let epoch = move || {
        let all = checkpoint::list(&store, "numbers").expect("memory");
        all.first().and_then(|newest| newest.manifest.as_ref().ok().map(|manifest| manifest.epoch)).unwrap_or(0)
    };
    let (mut looks, newest) = (0_u64, epoch.clone());
    let numbers = ctx.generate(u64::MAX, |i| i).uid("numbers").try_map(move |i| {
        looks += 1;
        let failed = so_far.load(Ordering::Relaxed);
        // The first checkpoint comes before the first record.
        if failed < failures && looks.is_multiple_of(1 << 12) && newest() > failed + 1 {
            so_far.store(failed + 1, Ordering::Relaxed);
            attempts.lock().expect("no panic").push(BTreeMap::new());
            return Err(Error::new(ErrorKind::User, format!("failure {}", failed + 1)));
        }
        Ok(i)
    });
    let sink = seen.clone();
    numbers.key_by(|i| i % KEYS).count().uid("count").for_each(move |(key, number)| {
        let mut seen = sink.lock().expect("no panic");
        let entry = seen.last_mut().expect("the first attempt").entry(key).or_insert((number, number));
        entry.1 = number;
    });
    let job = ctx.start("numbers").expect("a good job");
    let clock = SystemClock::new();
    while !job.is_finished() && (failed.load(Ordering::Relaxed) < failures || epoch() < failures + 2) {
        assert!(clock.monotonic() < Duration::from_secs(60), "the job does not go on");
        std::thread::yield_now();
    }
    job.stop();
    (job.wait(), seen)
}

#[test]
fn it_goes_on_from_its_last_checkpoint() {
    let strategy = [
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "3"),
        ("restart-strategy.fixed-delay.delay", "10ms"),
    ];
    let (report, seen) = run(2, &strategy);
    let report = report.expect("it ends well");
    assert_eq!(report.restarts, 2);
    assert!(report.checkpoints.completed > 0, "{report:?}");
    let seen = seen.lock().expect("no panic");
    assert_eq!(seen.len(), 3);
    for attempts in seen.windows(2) {
        for (key, (first, _)) in &attempts[1] {
            let (_, last) = attempts[0][key];
            assert!(*first > 1, "key {key} begins anew");
            assert!(*first <= last + 1, "key {key} goes on with {first} after {last}: records are lost");
        }
    }
}

#[test]
fn it_fails_for_good_when_its_attempts_are_used_up() {
    let strategy = [
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "1"),
        ("restart-strategy.fixed-delay.delay", "10ms"),
    ];
    let (report, _) = run(2, &strategy);
    let error = report.expect_err("one restart is not enough");
    assert_eq!((error.kind(), error.message()), (ErrorKind::User, "failure 2"));
}

#[test]
fn it_is_not_restarted_where_nobody_wants_that() {
    let (report, _) = run(1, &[("restart-strategy.type", "none")]);
    assert_eq!(report.expect_err("it fails").message(), "failure 1");
}

#[test]
fn a_checkpoint_is_taken_when_somebody_asks_for_it() {
    let store = MemoryStore::new();
    let job = |settings: &[(&str, &str)]| {
        let builder = settings.iter().fold(Configuration::builder(), |builder, (key, value)| builder.set(*key, *value));
        let ctx = StreamingContext::new(builder.build().expect("plain settings")).checkpoint_store(store.clone());
        ctx.generate(u64::MAX, |i| i).uid("numbers").for_each(|_| {});
        ctx.start("asked").expect("a good job")
    };
    let asked = job(&[("execution.checkpointing.interval", "1h")]);
    let first = asked.checkpoint().expect("it is taken");
    let second = asked.checkpoint().expect("it is taken");
    assert!(first < second);
    let newest = checkpoint::list(&store, "asked").expect("memory");
    assert_eq!(newest.first().map(|newest| newest.sequence), Some(second));
    asked.abort();
    asked.wait().expect_err("it was aborted");
    let error = asked.checkpoint().expect_err("it has ended");
    assert_eq!(error.message(), "job `asked` has ended or is restarted: no checkpoint was taken");

    let never = job(&[]);
    let error = never.checkpoint().expect_err("it takes none");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Config, "job `asked` takes no checkpoints"));
    never.abort();
    never.wait().expect_err("it was aborted");
}
