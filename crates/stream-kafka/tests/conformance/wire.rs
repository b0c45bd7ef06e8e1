//! C, what goes over the wire: scenarios 37 to 48, and those of B that count requests (25, 36).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stream_core::checkpoint::MemoryStore;
use stream_core::{
    Configuration, Error, ErrorKind, Marker, SplitPosition, StreamingContext, TransactionRun, Transactions,
};
use stream_kafka::{KafkaSource, OffsetsInitializer, RawRecord};
use stream_testkit::{ApiKey, Fault, KafkaFixture, wait_until};

use crate::common::copy::{Copy, Point, Setup, at};
use crate::common::{LIMIT, collect_log, context, ended, logged};
use crate::site::Site;

fn numbers(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

#[test]
fn s025_a_producer_is_kept_after_clean_commits_and_replaced_after_others() {
    const COMMITS: u64 = 10;
    let site = Site::new();
    let (kafka, inits) = (site.kafka("s025"), || site.proxy().count(ApiKey::InitProducerId));
    let job = Copy::new(&kafka, "s025");
    job.write(0..10);
    let run = job.start(&Setup { bump: "on_disturbance", ..site.setup() });
    run.sees(0..10);
    let before = inits();
    for _ in 0..COMMITS {
        run.checkpoint();
    }
    // On a busy machine a commit may take long, and then counts as disturbed.
    assert!(inits() < before + COMMITS, "no commit was clean");
    let before = inits();
    site.proxy().on(ApiKey::EndTxn.next(1), Fault::DelayRequest(Duration::from_millis(200)));
    run.checkpoint();
    assert_eq!(inits(), before + 1);
    run.stop();

    let run = job.start(&Setup { bump: "always", ..site.setup() });
    run.checkpoint();
    let before = inits();
    for _ in 0..COMMITS {
        run.checkpoint();
    }
    assert_eq!(inits(), before + COMMITS);
    run.stop();
    job.shows(0..10);
}

#[test]
fn s036_without_transactions_one_producer_serves_all_checkpoints() {
    let site = Site::new();
    let kafka = site.kafka("s036");
    let job = Copy::new(&kafka, "s036");
    let before = site.proxy().count(ApiKey::InitProducerId);
    let run = job.start(&Setup { semantic: "AT_LEAST_ONCE", bump: "", ..site.setup() });
    for round in 0..5 {
        job.write(round * 10..round * 10 + 10);
        run.sees(round * 10..round * 10 + 10);
        run.checkpoint();
    }
    run.stop();
    assert_eq!(site.proxy().count(ApiKey::InitProducerId), before + 1);
    assert_eq!(job.written(), numbers(0..50));
}

/// The transactional ids in the brokers' own log of transactions.
fn ids(kafka: &KafkaFixture) -> BTreeSet<String> {
    let ctx = StreamingContext::new(Configuration::empty());
    // Two bytes of version, two bytes of length, the id.
    let id = |record: &RawRecord<'_>| {
        let id = record.key().and_then(|key| key.get(4..)).unwrap_or_default();
        Ok::<_, String>(String::from_utf8_lossy(id).into_owned())
    };
    let ids = KafkaSource::<String>::new(&ctx)
        .property("bootstrap.servers", kafka.bootstrap())
        .property("topic", "__transaction_state")
        .starting_offsets(OffsetsInitializer::Earliest)
        .decode(id)
        .bounded()
        .values()
        .collect();
    ctx.execute("ids").expect("the job ends well");
    ids.take().into_iter().collect()
}

#[test]
fn s037_transactions_that_end_either_way_by_turns_use_one_id() {
    let site = Site::new();
    let kafka = site.kafka("s037");
    let job = Copy::new(&kafka, "s037");
    for round in 0..10 {
        let run = job.start(&at(1));
        if round % 2 == 1 {
            // What the round before has given up.
            run.sees(round - 1..round);
            run.checkpoint();
        }
        job.write(round..round + 1);
        run.sees(round..round + 1);
        if round % 2 == 1 {
            run.checkpoint();
        }
        run.abort();
        job.shows(0..round.div_ceil(2) * 2);
    }
    let of_job: Vec<String> = ids(&kafka).into_iter().filter(|id| id.contains("s037")).collect();
    assert_eq!(of_job, [job.id()]);
}

/// A run that has stored a checkpoint of `written` and not committed it, and one that follows.
fn dies_between_checkpoint_and_commit(test: &str, written: std::ops::Range<u64>) {
    let kafka = KafkaFixture::new(test);
    for (i, bump) in ["on_disturbance", "always"].into_iter().enumerate() {
        let job = Copy::new(&kafka, &format!("{test}-{i}"));
        let setup = Setup { bump, ..at(2) };
        job.write(0..10);
        let run = job.start(&setup);
        run.sees(0..10);
        run.checkpoint();
        if !written.is_empty() {
            job.write(written.clone());
            run.sees(written.clone());
        }
        let dead = run.dies_at(Point::Committing);
        job.shows(0..10);
        assert_eq!(job.finish(&setup), numbers(written.clone()), "its transaction was given up");
        assert_eq!(dead.wakes().kind(), ErrorKind::Fenced);
        job.shows((0..10).chain(written.clone()));
    }
}

#[test]
fn s038_a_crash_between_checkpoint_and_commit_costs_work_and_nothing_else() {
    dies_between_checkpoint_and_commit("s038", 10..20);
}

#[test]
fn s039_as_well_if_nothing_was_written() {
    dies_between_checkpoint_and_commit("s039", 10..10);
}

#[test]
fn s040_a_fenced_job_leaves_the_others_of_its_process_alone() {
    let kafka = KafkaFixture::new("s040");
    let jobs = [Copy::new(&kafka, "s040-a"), Copy::new(&kafka, "s040-b")];
    let [fenced, other] = [0, 1].map(|i| {
        let run = jobs[i].start(&at(2));
        jobs[i].write(0..10);
        run.sees(0..10);
        run
    });
    drop(jobs[0].fence());
    fenced.fails_at_checkpoint();
    jobs[0].shows([]);
    assert_eq!(other.stop().restarts, 0);
    jobs[1].shows(0..10);
    // The client of the fenced one is gone; a new one of the same id works.
    jobs[0].finish(&at(2));
    jobs[0].shows(0..10);
}

/// The first request that ends a transaction is late: its client has repeated it, and the next transaction is open.
#[test]
fn s041_a_commit_that_comes_twice_does_not_commit_the_next_transaction() {
    let site = Site::new();
    for bump in ["on_disturbance", "always"] {
        let kafka = site.kafka("s041-late");
        let job = Copy::new(&kafka, "s041");
        job.write(0..10);
        let run = job.start(&Setup { bump, ..site.setup() });
        run.sees(0..10);
        let late = site.proxy().hold(ApiKey::EndTxn.next(1));
        run.begins_checkpoint();
        late.wait_until_held(LIMIT);
        late.cut_clients();
        run.checkpoint();
        job.shows(0..10);
        job.write(10..20);
        run.sees(10..20);
        job.await_written(19);
        let answers = site.proxy().answers(ApiKey::EndTxn);
        late.release();
        wait_until("the broker has answered it", LIMIT, || site.proxy().answers(ApiKey::EndTxn) > answers);
        job.shows(0..10);
        run.stop();
        job.shows(0..20);
    }
}

#[test]
fn s041_an_abort_whose_answer_is_lost_is_an_abort() {
    let site = Site::new();
    let kafka = site.kafka("s041-abort");
    let job = Copy::new(&kafka, "s041");
    let run = job.start(&site.setup());
    job.write(0..10);
    run.sees(0..10);
    job.await_written(9);
    site.proxy().on(ApiKey::EndTxn.next(1), Fault::CloseAfterRequest);
    run.abort();
    job.shows([]);
    assert_eq!(job.finish(&site.setup()), numbers(0..10));
    job.shows(0..10);
}

/// The request reaches the broker when the next run has given the transaction up.
#[test]
fn s041_a_commit_that_comes_after_the_abort_is_refused() {
    let site = Site::new();
    for bump in ["on_disturbance", "always"] {
        let kafka = site.kafka("s041-mixed");
        let job = Copy::new(&kafka, "s041");
        let setup = Setup { bump, ..site.setup() };
        let old = job.start(&setup);
        job.write(0..10);
        old.sees(0..10);
        let late = site.proxy().hold(ApiKey::EndTxn.next(1));
        old.begins_checkpoint();
        late.wait_until_held(LIMIT);
        let new = job.start(&setup);
        new.sees(0..10);
        new.checkpoint();
        job.write(10..20);
        new.sees(10..20);
        job.await_written(19);
        late.release();
        assert_eq!(old.fails_at_checkpoint().kind(), ErrorKind::Fenced);
        // The late commit has committed nothing of the new run.
        job.shows(0..10);
        new.stop();
        job.shows(0..20);
    }
}

#[test]
fn s042_the_next_run_tells_committed_open_and_aborted_apart() {
    let site = Site::new();
    let kafka = site.kafka("s042");
    let job = Copy::new(&kafka, "s042");
    // Committed, but the answer is lost, and with it the run.
    job.write(0..10);
    let run = job.start(&site.setup());
    run.sees(0..10);
    site.proxy().on(ApiKey::EndTxn.next(1), Fault::DropResponse);
    let answers = site.proxy().answers(ApiKey::EndTxn);
    run.begins_checkpoint();
    wait_until("it is committed", LIMIT, || site.proxy().answers(ApiKey::EndTxn) > answers);
    job.write(10..20);
    assert_eq!(job.finish(&at(1)), numbers(10..20), "committed");
    run.handle.abort();
    // Open.
    let run = job.start(&at(1));
    job.write(20..30);
    run.sees(20..30);
    let _dead = run.dies_at(Point::Committing);
    assert_eq!(job.finish(&at(1)), numbers(20..30), "open");
    // Aborted.
    let run = job.start(&at(1));
    job.write(30..40);
    run.sees(30..40);
    run.abort();
    assert_eq!(job.finish(&at(1)), numbers(30..40), "aborted");
    job.shows(0..40);
}

#[test]
fn s043_a_commit_that_may_be_repeated_is_repeated() {
    let site = Site::new();
    let kafka = site.kafka("s043");
    let job = Copy::new(&kafka, "s043");
    job.write(0..10);
    let run = job.start(&site.setup());
    run.sees(0..10);
    let before = site.proxy().count(ApiKey::EndTxn);
    site.proxy().on(ApiKey::EndTxn.next(2), Fault::CloseAfterRequest);
    run.checkpoint();
    assert!(site.proxy().count(ApiKey::EndTxn) >= before + 3);
    job.shows(0..10);
    assert_eq!(run.stop().restarts, 0);
}

/// Transactions in memory, whose second commit fails: `applied` says whether it has committed all the same.
struct Unclear {
    applied: bool,
    commits: u32,
    marker: Option<Marker>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Unclear {
    fn say(&self, what: String) {
        self.said.lock().expect("no panic").push(what);
    }
}

impl Transactions for Unclear {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    fn marker(&mut self, _run: &TransactionRun) -> Result<Option<Marker>, Error> {
        Ok(self.marker.clone())
    }

    fn take_over(&mut self, _run: &TransactionRun) -> Result<Option<Marker>, Error> {
        self.say("take over".to_owned());
        Ok(self.marker.clone())
    }

    fn commit(&mut self, marker: &Marker, _positions: &BTreeMap<String, Vec<SplitPosition>>) -> Result<(), Error> {
        self.commits += 1;
        self.say(format!("commit {}", marker.checkpoint));
        let fails = self.commits == 2;
        if !fails || self.applied {
            self.marker = Some(marker.clone());
        }
        if fails { Err(Error::new(ErrorKind::Internal, "nobody knows")) } else { Ok(()) }
    }
}

#[test]
fn s044_a_commit_that_fails_for_an_unknown_reason_is_found_out_by_taking_over_again() {
    for applied in [false, true] {
        let ctx = context(
            "execution.checkpointing.interval: 1 h\nrestart-strategy.type: fixed-delay\n\
             restart-strategy.fixed-delay.attempts: 1\nrestart-strategy.fixed-delay.delay: 1 ms\n",
        );
        let ctx = ctx.checkpoint_store(MemoryStore::new());
        let said = Arc::default();
        ctx.commit_by(Unclear { applied, commits: 0, marker: None, said: Arc::clone(&said) });
        ctx.generate(1000, |i| i).for_each(|_| {});
        let job = ctx.start("s044").expect("a good plan");
        assert_eq!(ended(&job).expect("it ends well").restarts, 1);
        let said = said.lock().expect("no panic").clone();
        let again = said.iter().rposition(|what| what == "take over").expect("said");
        assert_eq!(said[..3], ["take over", "commit 1", "commit 2"], "{said:?}");
        assert_eq!(again, 3, "nothing is tried again before that: {said:?}");
        assert!(said.len() > 4, "{said:?}");
    }
}

#[test]
fn s045_a_fenced_commit_is_not_dropped_but_done_again() {
    let kafka = KafkaFixture::new("s045");
    let job = Copy::new(&kafka, "s045");
    let run = job.start(&Setup { restarts: 3, ..at(2) });
    job.write(0..10);
    run.sees(0..10);
    let stopped = run.dies_at(Point::Committing);
    drop(job.fence());
    // By a producer of its own: the one before is of no use any more (46).
    let run = stopped.resumes();
    wait_until("all is committed", LIMIT, || {
        let _ = run.handle.checkpoint();
        run.handle.is_finished() || job.committed().len() == 10
    });
    assert_eq!(run.stop().restarts, 1);
    job.shows(0..10);
}

#[test]
fn s047_a_job_that_is_stopped_during_a_commit_ends_well() {
    collect_log();
    let site = Site::new();
    let kafka = site.kafka("s047-stop");
    let job = Copy::new(&kafka, "s047-stop");
    job.write(0..10);
    let run = job.start(&site.setup());
    run.sees(0..10);
    let held = site.proxy().hold(ApiKey::EndTxn.next(1));
    run.begins_checkpoint();
    held.wait_until_held(LIMIT);
    run.handle.stop();
    held.release();
    run.stop();
    job.shows(0..10);
    let errors = || logged().lines().filter(|line| line.contains("ERROR") && line.contains("s047-stop")).count();
    assert_eq!(errors(), 0, "{}", logged());
}

#[test]
fn s047_a_job_can_be_aborted_during_a_commit_that_nobody_answers() {
    let site = Site::new();
    let kafka = site.kafka("s047-abort");
    let job = Copy::new(&kafka, "s047-abort");
    job.write(0..10);
    let run = job.start(&site.setup());
    run.sees(0..10);
    let held = site.proxy().hold(ApiKey::EndTxn);
    run.begins_checkpoint();
    held.wait_until_held(LIMIT);
    run.handle.abort();
    ended(&run.handle).expect_err("aborted");
    held.release();
    // What is left of the aborted run may go on for a moment, and fence this one once.
    job.finish(&Setup { restarts: 3, ..site.setup() });
    job.shows(0..10);
}
