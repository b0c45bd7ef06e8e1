//! Barriers and commits: no position is committed before every sink has flushed what lies before it, and no record
//! crosses a barrier (the sink checks both, see `common`).

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{CountingSource, Flush, LateSink, Ledger, Origin, Signal, context, ends};
use stream_core::{DataSink, DataStream, Error, ErrorKind, StreamingContext};

const RECORDS: i64 = 100;
const FLUSHES: [Flush; 3] = [Flush::Polls(0), Flush::Polls(3), Flush::Thread];

fn sink(stream: DataStream<Origin>, ledger: &Arc<Ledger>, name: &'static str, flush: Flush) -> DataSink {
    stream.sink("late", LateSink { ledger: ledger.clone(), name, flush }).uid(name)
}

fn source(ctx: &StreamingContext, source: CountingSource) -> DataStream<Origin> {
    let uid = source.name;
    ctx.source("counting", source).uid(uid)
}

/// The final positions when every subtask of every source has been read to its end.
fn complete(sources: &[&str], parallelism: usize) -> BTreeMap<String, i64> {
    let splits = |source: &&str| (0..parallelism).map(|i| (format!("{source}[{i}]"), RECORDS)).collect::<Vec<_>>();
    sources.iter().flat_map(splits).collect()
}

/// Runs the job that `describe` makes at several parallelisms and with several sinks, and expects complete commits.
fn every_commit_is_covered(sources: &[&str], describe: fn(&StreamingContext, &Arc<Ledger>, Flush)) {
    for parallelism in 1..=3 {
        for flush in FLUSHES {
            let ledger = Arc::new(Ledger::default());
            let shared = ledger.clone();
            let report = ends(move || {
                let ctx = context(parallelism).exchange_bytes(500);
                describe(&ctx, &shared, flush);
                ctx.execute("commits")
            })
            .expect("the job succeeds");
            assert!(report.epochs > 1, "the source is paced by commits");
            assert_eq!(ledger.committed(), complete(sources, parallelism), "{flush:?} at {parallelism}");
        }
    }
}

#[test]
fn in_one_chain() {
    every_commit_is_covered(&["a"], |ctx, ledger, flush| {
        sink(source(ctx, CountingSource::new(ledger, "a", RECORDS)), ledger, "s", flush);
    });
}

#[test]
fn across_a_rebalance_and_a_change_of_parallelism() {
    every_commit_is_covered(&["a"], |ctx, ledger, flush| {
        let stream = source(ctx, CountingSource::new(ledger, "a", RECORDS)).rebalance().map(|record| record);
        sink(stream.rebalance().inspect(|_| {}).parallelism(2), ledger, "s", flush).parallelism(3);
    });
}

#[test]
fn across_a_union() {
    every_commit_is_covered(&["a", "b"], |ctx, ledger, flush| {
        let [a, b] = ["a", "b"].map(|name| source(ctx, CountingSource::new(ledger, name, RECORDS)));
        sink(a.map(|record| record).union([b.rebalance()]), ledger, "s", flush);
    });
}

#[test]
fn with_sources_that_end_at_different_times_and_two_sinks() {
    every_commit_is_covered(&["a", "b"], |ctx, ledger, flush| {
        let fast = CountingSource { paced: false, batch: 50, ..CountingSource::new(ledger, "a", RECORDS) };
        let a = source(ctx, fast);
        let b = source(ctx, CountingSource::new(ledger, "b", RECORDS));
        let both = a.union([b]);
        sink(both.clone().map(|record| record), ledger, "s", flush);
        sink(both.rebalance(), ledger, "t", Flush::Polls(7));
    });
}

#[test]
fn a_flat_map_holds_the_barrier_until_it_has_handed_out_everything() {
    every_commit_is_covered(&["a"], |ctx, ledger, flush| {
        // Every record is hidden among 2000 others, so that the flat_map is nearly always in the middle of something.
        let many = source(ctx, CountingSource::new(ledger, "a", RECORDS)).flat_map(|record| {
            std::iter::repeat_n(None, 1000).chain([Some(record)]).chain(std::iter::repeat_n(None, 1000))
        });
        sink(many.flat_map(|record| record).rebalance(), ledger, "s", flush);
    });
}

#[test]
fn a_commit_that_fails_for_now_is_tried_again() {
    for refuse in [
        // Some in the middle …
        |refused: usize, _: &[stream_core::SplitPosition]| {
            (refused < 3).then(|| Error::new(ErrorKind::Unavailable, "no broker"))
        },
        // … and the final one.
        |refused: usize, positions: &[stream_core::SplitPosition]| {
            let last = positions.iter().all(|p| p.next == RECORDS);
            (last && refused < 2).then(|| Error::new(ErrorKind::Unavailable, "no broker"))
        },
    ] {
        let ledger = Arc::new(Ledger::default());
        let shared = ledger.clone();
        ends(move || {
            let ctx = context(2);
            let refusing = CountingSource { refuse, ..CountingSource::new(&shared, "a", RECORDS) };
            sink(source(&ctx, refusing), &shared, "s", Flush::Polls(1));
            ctx.execute("refused")
        })
        .expect("the job succeeds");
        assert_eq!(ledger.committed(), complete(&["a"], 2));
    }
}

#[test]
fn a_commit_that_can_never_succeed_stops_the_job() {
    let error = ends(|| {
        let (ctx, ledger) = (context(2), Arc::new(Ledger::default()));
        let refuse = |_: usize, _: &[stream_core::SplitPosition]| Some(Error::new(ErrorKind::Fenced, "someone else"));
        let fenced = CountingSource { refuse, records: None, ..CountingSource::new(&ledger, "a", 0) };
        sink(source(&ctx, fenced), &ledger, "s", Flush::Thread);
        ctx.execute("fenced")
    })
    .expect_err("the committer is fenced");
    assert_eq!((error.kind(), error.place().map(|p| p.uid.as_str())), (ErrorKind::Fenced, Some("a")));
}

#[test]
fn a_committer_that_panics_stops_the_job() {
    let error = ends(|| {
        let (ctx, ledger) = (context(2), Arc::new(Ledger::default()));
        let refuse = |_: usize, _: &[stream_core::SplitPosition]| std::panic::panic_any("committer broke");
        let broken = CountingSource { refuse, records: None, ..CountingSource::new(&ledger, "a", 0) };
        sink(source(&ctx, broken), &ledger, "s", Flush::Thread);
        ctx.execute("broken")
    })
    .expect_err("the committer panics");
    assert_eq!((error.kind(), error.message()), (ErrorKind::User, "panicked: committer broke"));
}

/// A job without end whose sink raises the signal after some records, already started.
fn endless(ledger: &Arc<Ledger>, parallelism: usize, refuse: bool) -> (stream_core::JobHandle, Signal) {
    let (ctx, reached) = (context(parallelism).exchange_bytes(500), Signal::default());
    let unavailable = |_: usize, _: &[stream_core::SplitPosition]| Some(Error::new(ErrorKind::Unavailable, "away"));
    let base = CountingSource::new(ledger, "a", 0);
    let refuse = if refuse { unavailable } else { base.refuse };
    let [a, b] = ["a", "b"].map(|name| CountingSource { name, records: None, refuse, ..base.clone() });
    let signal = reached.clone();
    let stream = source(&ctx, a).union([source(&ctx, b)]).rebalance().inspect(move |record| {
        if record.position == 50 {
            signal.raise();
        }
    });
    sink(stream, ledger, "s", Flush::Thread);
    (ctx.start("endless").expect("a valid job"), reached)
}

#[test]
fn stop_drains_and_commits_everything_that_was_read() {
    for parallelism in 1..=3 {
        let ledger = Arc::new(Ledger::default());
        let shared = ledger.clone();
        ends(move || {
            let (handle, reached) = endless(&shared, parallelism, false);
            reached.wait();
            assert!(!handle.is_finished());
            handle.stop();
            handle.wait()
        })
        .expect("a stopped job has succeeded");
        assert_eq!(ledger.committed(), ledger.flushed("s"), "at {parallelism}");
        assert!(ledger.committed().values().any(|next| *next > 50));
    }
}

#[test]
fn abort_ends_at_once_and_commits_nothing_that_was_not_flushed() {
    for parallelism in 1..=3 {
        let ledger = Arc::new(Ledger::default());
        let shared = ledger.clone();
        let (handle, error) = ends(move || {
            let (handle, reached) = endless(&shared, parallelism, false);
            reached.wait();
            handle.abort();
            let error = handle.wait().expect_err("an aborted job has not succeeded");
            (handle, error)
        });
        assert_eq!((error.kind(), error.message()), (ErrorKind::User, "job `endless` was aborted"));
        assert!(handle.is_finished());
        // That it is covered by flushed records is checked inside the committer.
        assert!(ledger.committed().iter().all(|(split, next)| *next <= ledger.flushed("s")[split]));
    }
}

#[test]
fn abort_ends_the_wait_for_the_final_commit() {
    let error = ends(move || {
        let ledger = Arc::new(Ledger::default());
        let (handle, reached) = endless(&ledger, 2, true);
        reached.wait();
        handle.stop();
        // Whether the final commit is already being tried or not, this ends the job.
        handle.abort();
        handle.wait()
    });
    assert_eq!(error.expect_err("aborted").message(), "job `endless` was aborted");
}

#[test]
fn stop_before_anything_was_read_ends_well() {
    ends(|| {
        let ledger = Arc::new(Ledger::default());
        let (handle, _reached) = endless(&ledger, 3, false);
        handle.stop();
        handle.wait().expect("a stopped job has succeeded");
        assert!(
            ledger
                .committed()
                .iter()
                .all(|(split, next)| *next == ledger.flushed("s").get(split).copied().unwrap_or(0))
        );
    });
}

#[test]
fn waiting_twice_is_told() {
    let error = ends(|| {
        let ctx = context(1);
        ctx.from_iter(0..3).for_each(|_| {});
        let handle = ctx.start("twice").expect("a valid job");
        handle.clone().wait().expect("the first wait gets the result");
        handle.wait()
    });
    insta::assert_snapshot!(error.expect_err("taken"), @r"
    error[internal]: the result of job `twice` was already taken
       = help: call wait on one clone of the handle only
    ");
}
