//! Functions that fail or panic: the job ends, and the error says where and at which source position.

mod common;

use std::sync::Arc;

use common::{context, ends};
use stream_core::{
    Barrier, Batch, DataStream, Error, ErrorKind, Opened, Operator, OperatorContext, Output, Poll, Result, Sink,
    SinkContext, SinkWriter, Source, SourceContext, SourceReader, SplitPosition, StreamingContext, Timestamp,
};

/// The record that nobody can take.
const BAD: u64 = 1234;
const RECORDS: u64 = 3000;

fn check(record: u64) {
    assert!(record != BAD, "record {record} broke it");
}

fn run(parallelism: usize, describe: impl FnOnce(&StreamingContext) + Send + 'static) -> Error {
    ends(move || {
        let ctx = context(parallelism).exchange_bytes(1);
        describe(&ctx);
        ctx.execute("failing").expect_err("the job fails")
    })
}

/// The job fails at every parallelism, and the error names the operator, its subtask and the position of [`BAD`].
fn fails_at_the_record(operator: &str, describe: fn(DataStream<u64>)) {
    for parallelism in 1..=3 {
        let error = run(parallelism, move |ctx| describe(ctx.generate(RECORDS, |i| i)));
        let subtask = (BAD * parallelism as u64 / RECORDS) as usize;
        let place = error.place().expect("a place");
        assert_eq!(error.kind(), ErrorKind::User);
        assert_eq!((&*place.operator, place.subtask, place.parallelism), (operator, subtask, parallelism));
        assert!(place.uid.starts_with(operator), "{}", place.uid);
        assert_eq!(place.position, Some(format!("generate[{subtask}] offset {BAD}")));
    }
}

#[test]
fn the_whole_error() {
    let error = run(2, |ctx| {
        let prices = ctx.generate(RECORDS, |i| i).map(|i| i * 2).name("price").uid("price-of-order");
        prices.inspect(|price| assert!(*price != 2 * 2000, "no price")).name("look").for_each(|_| {});
    });
    insta::assert_snapshot!(error, @r"
    error[user]: panicked: no price
      --> operator `look` (uid inspect-3), subtask 2 of 2
      --> source position generate[1] offset 2000
       = help: the line that panicked is in the message on standard error; set RUST_BACKTRACE=1 for the way there
    ");
}

#[test]
fn an_error_returned_by_try_map() {
    let error = run(1, |ctx| {
        ctx.from_iter(["1", "2", "x"]).try_map(|text| text.parse::<u64>()).for_each(|_| {});
    });
    insta::assert_snapshot!(error, @r"
    error[user]: invalid digit found in string
      --> operator `try_map` (uid try_map-2), subtask 1 of 1
      --> source position from_iter offset 2
    ");
    assert!(std::error::Error::source(&error).is_some_and(|cause| cause.is::<std::num::ParseIntError>()));
}

#[test]
fn in_map_in_place() {
    fails_at_the_record("map", |numbers| {
        numbers
            .map(|i| {
                check(i);
                i
            })
            .for_each(|_| {});
    });
}

#[test]
fn in_map_to_another_type() {
    fails_at_the_record("map", |numbers| {
        numbers
            .map(|i| {
                check(i);
                i.to_string()
            })
            .for_each(|_| {});
    });
}

#[test]
fn in_filter() {
    fails_at_the_record("filter", |numbers| {
        numbers
            .filter(|i| {
                check(*i);
                i % 2 == 0
            })
            .for_each(|_| {});
    });
}

#[test]
fn in_flat_map() {
    fails_at_the_record("flat_map", |numbers| {
        numbers
            .flat_map(|i| {
                check(i);
                Some(i)
            })
            .for_each(|_| {});
    });
}

#[test]
fn in_flat_map_after_it_was_resumed() {
    fails_at_the_record("flat_map", |numbers| {
        // Every record fills several batches, so the bad one is met in `resume`.
        numbers
            .flat_map(|i| {
                check(i);
                0..1200
            })
            .rebalance()
            .for_each(|_| {});
    });
}

#[test]
fn in_the_iterator_of_flat_map() {
    fails_at_the_record("flat_map", |numbers| {
        numbers
            .flat_map(|i| {
                (0..1200).map(move |n| {
                    if n == 1000 {
                        check(i)
                    }
                })
            })
            .for_each(|()| {});
    });
}

#[test]
fn in_inspect() {
    fails_at_the_record("inspect", |numbers| {
        numbers.inspect(|i| check(*i)).for_each(|_| {});
    });
}

#[test]
fn in_for_each() {
    fails_at_the_record("for_each", |numbers| {
        numbers.for_each(check);
    });
}

#[test]
fn in_try_map_by_panic_and_by_error() {
    fails_at_the_record("try_map", |numbers| {
        numbers
            .try_map(|i| {
                check(i);
                Ok::<_, Error>(i)
            })
            .for_each(|_| {});
    });
    fails_at_the_record("try_map", |numbers| {
        numbers.try_map(|i| if i == BAD { Err("bad") } else { Ok(i) }).for_each(|_| {});
    });
    fails_at_the_record("try_map", |numbers| {
        numbers.try_map(|i| if i == BAD { Err("bad".to_owned()) } else { Ok(i.to_string()) }).for_each(|_| {});
    });
}

#[test]
fn behind_other_operators_that_keep_records_one_to_one() {
    fails_at_the_record("inspect", |numbers| {
        let doubled = numbers.map(|i| (i, i)).map(|(i, _)| i.to_string()).inspect(|_| {});
        doubled.try_map(|i| i.parse::<u64>()).inspect(|i| check(*i)).for_each(|_| {});
    });
}

#[test]
fn in_the_function_of_a_generator() {
    for parallelism in 1..=3 {
        let error = run(parallelism, |ctx| {
            ctx.generate(RECORDS, |i| {
                check(i);
                i
            })
            .for_each(|_| {});
        });
        let subtask = BAD as usize * parallelism / RECORDS as usize;
        let place = error.place().expect("a place");
        assert_eq!((error.kind(), &*place.operator, place.subtask), (ErrorKind::User, "generate", subtask));
        assert_eq!(place.position, Some(format!("generate[{subtask}] offset {BAD}")));
    }
}

#[test]
fn behind_a_filter_or_a_flat_map_the_batch_is_named() {
    let of = |describe: fn(DataStream<u64>)| {
        let error = run(1, move |ctx| describe(ctx.generate(RECORDS, |i| i)));
        error.place().and_then(|place| place.position.clone()).expect("a position")
    };
    let filtered = of(|numbers| {
        numbers.filter(|i| i % 2 == 0).inspect(|i| check(*i)).for_each(|_| {});
    });
    let expanded = of(|numbers| {
        numbers.flat_map(|i| [i; 3]).inspect(|i| check(*i)).for_each(|_| {});
    });
    // The batches after the first of one record know where they come from as well.
    let resumed = of(|numbers| {
        numbers.flat_map(|i| vec![i; 2000]).map(|i| i).inspect(|i| check(*i)).for_each(|_| {});
    });
    for position in [filtered, expanded, resumed] {
        assert_eq!(position, "generate[0] offsets 1024 to 1535");
    }
    let nothing_dropped = of(|numbers| {
        numbers.filter(|_| true).inspect(|i| check(*i)).for_each(|_| {});
    });
    assert_eq!(nothing_dropped, "generate[0] offset 1234");
}

#[test]
fn behind_exchanges_the_position_stays_exact() {
    for parallelism in 1..=3 {
        let error = run(parallelism, move |ctx| {
            let [a, b] = ["a", "b"].map(|name| ctx.generate(RECORDS, |i| i).name(name));
            let both = a.map(|i| i + 10_000).union([b]).rebalance();
            both.inspect(|i| check(*i)).parallelism(2).for_each(|_| {});
        });
        let subtask = BAD as usize * parallelism / RECORDS as usize;
        assert_eq!(error.place().and_then(|p| p.position.clone()), Some(format!("b[{subtask}] offset {BAD}")));
    }
}

#[test]
fn one_failing_subtask_ends_the_endless_others() {
    for parallelism in 1..=3 {
        let error = run(parallelism, |ctx| {
            let endless = ctx.generate(u64::MAX, |i| i).map(|i| i).rebalance().filter(|i| *i < u64::MAX);
            endless.clone().rebalance().for_each(|_| {});
            let bad = ctx.from_iter(0..RECORDS).rebalance().flat_map(|i| vec![i; 700]);
            bad.union([endless.clone()]).inspect(|i| check(*i)).for_each(|_| {});
        });
        assert_eq!((error.kind(), error.message()), (ErrorKind::User, "panicked: record 1234 broke it"));
    }
}

/// Where a [`Picky`] sink, operator or source gives up.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    Open,
    Write,
    Watermark,
    Barrier,
    End,
    Flushed,
    Drop,
}

/// Fails in one of its methods, by panic or by an error; drops always panic.
#[derive(Clone)]
struct Picky {
    at: At,
    panics: bool,
}

impl Picky {
    fn fail(&self, at: At) -> Result<()> {
        if self.at != at {
            return Ok(());
        }
        assert!(!self.panics, "at {at:?}");
        Err(Error::user(format!("at {at:?}")))
    }
}

struct PickySink(Picky);

struct PickyWriter(Picky);

impl Sink<u64> for PickySink {
    fn open(&mut self, _context: &SinkContext) -> Result<Box<dyn SinkWriter<u64>>> {
        self.0.fail(At::Open)?;
        Ok(Box::new(PickyWriter(self.0.clone())))
    }
}

impl SinkWriter<u64> for PickyWriter {
    fn write(&mut self, _batch: &mut Batch<u64>) -> Result<()> {
        self.0.fail(At::Write)
    }

    fn barrier(&mut self, _barrier: Barrier) -> Result<()> {
        self.0.fail(At::Barrier)
    }

    fn end(&mut self) -> Result<()> {
        self.0.fail(At::End)
    }

    fn flushed(&mut self) -> Result<bool> {
        self.0.fail(At::Flushed).map(|()| true)
    }
}

impl Drop for PickyWriter {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.0.fail(At::Drop);
        }
    }
}

#[test]
fn in_every_method_of_a_sink() {
    for at in [At::Open, At::Write, At::End, At::Flushed, At::Drop] {
        for (panics, parallelism) in [(true, 1), (true, 3), (false, 2)] {
            if at == At::Drop && !panics {
                continue;
            }
            let error = run(parallelism, move |ctx| {
                ctx.generate(RECORDS, |i| i).rebalance().sink("picky", PickySink(Picky { at, panics })).name("sink");
            });
            let text = if panics { format!("panicked: at {at:?}") } else { format!("at {at:?}") };
            assert_eq!((error.kind(), error.message()), (ErrorKind::User, &*text));
            // What is dropped belongs to no operator any more.
            assert_eq!(error.place().map(|p| &*p.operator), (at != At::Drop).then_some("sink"));
        }
    }
}

#[test]
fn in_the_barrier_of_a_sink() {
    let error = run(2, |ctx| {
        let ledger = Arc::default();
        let endless = common::CountingSource { records: None, ..common::CountingSource::new(&ledger, "a", 0) };
        let numbers = ctx.source("counting", endless).map(|record| record.position as u64);
        numbers.sink("picky", PickySink(Picky { at: At::Barrier, panics: true }));
    });
    assert_eq!((error.message(), error.place().map(|p| &*p.uid)), ("panicked: at Barrier", Some("picky-3")));
}

struct PickyOperator(Picky);

impl Operator<u64, u64> for PickyOperator {
    fn open(&mut self, _context: &OperatorContext) -> Result<()> {
        self.0.fail(At::Open)
    }

    fn process(&mut self, batch: &mut Batch<u64>, out: &mut dyn Output<u64>) -> Result<()> {
        self.0.fail(At::Write)?;
        out.batch(batch)
    }

    fn watermark(&mut self, watermark: Timestamp, _out: &mut dyn Output<u64>) -> Result<Option<Timestamp>> {
        self.0.fail(At::Watermark)?;
        Ok(Some(watermark))
    }

    fn end(&mut self, _out: &mut dyn Output<u64>) -> Result<()> {
        self.0.fail(At::End)
    }
}

#[test]
fn in_every_method_of_an_operator() {
    for at in [At::Open, At::Write, At::Watermark, At::End] {
        for (panics, parallelism) in [(true, 1), (true, 3), (false, 2)] {
            let error = run(parallelism, move |ctx| {
                let picky = move |_: &OperatorContext| PickyOperator(Picky { at, panics });
                ctx.generate(RECORDS, |i| i).transform("picky", picky).uid("p").rebalance().for_each(|_| {});
            });
            assert!(error.message().ends_with(&format!("at {at:?}")), "{error}");
            assert_eq!((error.kind(), error.place().map(|p| &*p.uid)), (ErrorKind::User, Some("p")));
        }
    }
}

#[test]
fn in_making_an_operator() {
    let error = run(1, |ctx| {
        let make = |_: &OperatorContext| -> PickyOperator { std::panic::panic_any("cannot be made") };
        ctx.generate(RECORDS, |i| i).transform("made", make).for_each(|_| {});
    });
    assert_eq!((error.message(), error.place().map(|p| &*p.operator)), ("panicked: cannot be made", Some("made")));
}

/// Fails when it is opened, polled, asked for positions or dropped.
struct PickySource(Picky);

struct PickyReader(Picky, u64);

impl Source<u64> for PickySource {
    fn open(&mut self, context: &SourceContext) -> Result<Opened<u64>> {
        self.0.fail(At::Open)?;
        let reader = |_| Box::new(PickyReader(self.0.clone(), 0)) as Box<dyn SourceReader<u64>>;
        Ok(Opened { readers: (0..context.parallelism()).map(reader).collect(), committer: None })
    }
}

impl SourceReader<u64> for PickyReader {
    fn poll(&mut self, batch: &mut Batch<u64>) -> Result<Poll> {
        self.1 += 1;
        match self.1 {
            1 => {
                batch.push(7);
                Ok(Poll::Ready)
            }
            2 => self.0.fail(At::Write).map(|()| Poll::Ready),
            _ => Ok(Poll::End),
        }
    }

    fn positions(&mut self, _positions: &mut Vec<SplitPosition>) {
        let _ = self.0.fail(At::End);
    }
}

impl Drop for PickyReader {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.0.fail(At::Drop);
        }
    }
}

#[test]
fn in_every_method_of_a_source() {
    for at in [At::Open, At::Write, At::End, At::Drop] {
        for (panics, parallelism) in [(true, 1), (true, 3), (false, 2)] {
            if !panics && matches!(at, At::End | At::Drop) {
                continue;
            }
            let error = run(parallelism, move |ctx| {
                ctx.source("picky", PickySource(Picky { at, panics })).uid("p").rebalance().for_each(|_| {});
            });
            assert!(error.message().ends_with(&format!("at {at:?}")), "{error}");
            assert_eq!(error.kind(), ErrorKind::User);
            assert_eq!(error.place().map(|p| &*p.uid), (at != At::Drop).then_some("p"));
        }
    }
}

#[test]
fn the_wrong_number_of_readers() {
    struct OneReader;
    impl Source<u64> for OneReader {
        fn open(&mut self, _context: &SourceContext) -> Result<Opened<u64>> {
            let picky = Picky { at: At::Barrier, panics: false };
            Ok(Opened { readers: vec![Box::new(PickyReader(picky, 0))], committer: None })
        }
    }
    let error = run(2, |ctx| {
        ctx.source("one", OneReader).for_each(|_| {});
    });
    insta::assert_snapshot!(error, @r"
    error[internal]: the source made 1 readers for 2 subtasks
      --> operator `one` (uid one-1), subtask 1 of 2
       = help: Source::open has to make one reader per subtask
    ");
}

/// Waits for something outside, until the job is stopped; then it says why it gave up.
struct Absent(ErrorKind);

impl Source<u64> for Absent {
    fn open(&mut self, context: &SourceContext) -> Result<Opened<u64>> {
        while !context.is_stopping() {
            stream_core::thread::Waker::new().park(std::time::Duration::from_millis(1));
        }
        Err(Error::new(self.0, "nobody answers"))
    }
}

#[test]
fn a_job_that_is_stopped_while_it_waits_to_begin_has_ended_well() {
    let stopped = |kind| {
        ends(move || {
            let ctx = context(2);
            ctx.source("absent", Absent(kind)).for_each(|_| {});
            let job = ctx.start("waiting").expect("a good plan");
            job.stop();
            job.wait()
        })
    };
    assert_eq!(stopped(ErrorKind::Unavailable).expect("nothing was read").epochs, 0);
    // Anything else would have ended it without being stopped.
    let error = stopped(ErrorKind::Config).expect_err("wrong settings");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Config, "nobody answers"));
}
