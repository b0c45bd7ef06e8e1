//! Keyed operators: more results than a batch holds, moving state, the clock, and users' mistakes.

use std::time::Duration;

use crate::key::{Keyed, key_group, key_group_subtask};
use crate::operator::{Operator, OperatorContext, Snapshot};
use crate::process::{FunctionResult, Process, ProcessContext, ProcessFunction, Timer};
use crate::state::{StateBackend, States, ValueState};
use crate::testing::crew::{BACKENDS, Collector};
use crate::testing::{Harness, TestDriver};
use crate::{Either, Error, Timestamp};

fn context(subtask: usize, parallelism: usize, backend: StateBackend) -> OperatorContext {
    OperatorContext::new("o", "o", subtask, parallelism).with_state_backend(backend)
}

fn keyed(key: &str, value: u32) -> Keyed<String, u32> {
    Keyed::new(key.to_owned(), value)
}

/// Yields as many results per record as it says, so that records have to wait.
struct Repeat;

impl ProcessFunction<String, u32> for Repeat {
    type Out = u32;

    fn process(&mut self, times: u32, ctx: &mut ProcessContext<'_, String, u32>) -> FunctionResult {
        (0..times).for_each(|i| ctx.emit(i));
        if let Some(at) = ctx.timestamp() {
            ctx.register_event_timer(Timestamp::from_millis(at.as_millis() + 1000));
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, String, u32>) -> FunctionResult {
        (0..300).for_each(|_| ctx.emit(timer.at().as_millis() as u32));
        Ok(())
    }
}

#[test]
fn more_results_than_a_batch_holds_in_every_variation() {
    let records = (0..9_u32).map(|i| (keyed(&i.to_string(), i * 100), 1000 + i64::from(i)));
    let output = (0..9_u32).flat_map(|i| 0..i * 100).chain((0..9).flat_map(|i| [2000 + i; 300]));
    for backend in BACKENDS {
        let context = context(0, 1, backend);
        let operator = context.clone();
        Harness::new(move || Process::new(Repeat, &operator))
            .context(context)
            .input_at(records.clone().collect::<Vec<_>>())
            .output(output.clone())
            .check();
    }
}

/// Counts a record of each key at this parallelism, from a snapshot to the next one; returns what came out.
fn count_once(parallelism: usize, backend: StateBackend, snapshot: &mut Snapshot) -> Vec<(String, u64)> {
    let (mut taken, mut next) = (Collector::new(), Snapshot::default());
    for subtask in 0..parallelism {
        let context = context(subtask, parallelism, backend);
        let counts = ValueState::<String, u64>::new("counts");
        let mut operator = Process::new(Counting { counts }, &context);
        operator.open(&context).expect("opens");
        operator.restore(snapshot).expect("a whole snapshot");
        let records = (0..100_u32).map(|i| keyed(&format!("key {i}"), i));
        let owns = |k: &Keyed<String, u32>| key_group_subtask(key_group(k.hash(), 256), parallelism, 256) == subtask;
        operator.process(&mut records.filter(owns).collect(), &mut taken).expect("counts");
        operator.snapshot(&mut next).expect("a snapshot");
        while operator.snapshot_more(&mut next).expect("a snapshot") {}
    }
    snapshot.follow(next);
    let mut taken: Vec<(String, u64)> = taken.records.into_iter().map(|(record, _)| record).collect();
    taken.sort();
    taken
}

struct Counting {
    counts: ValueState<String, u64>,
}

impl ProcessFunction<String, u32> for Counting {
    type Out = (String, u64);

    fn states(&mut self, states: &mut States<'_, String>) {
        states.add(&mut self.counts);
    }

    fn process(&mut self, _: u32, ctx: &mut ProcessContext<'_, String, (String, u64)>) -> FunctionResult {
        let count = self.counts.with(ctx.key(), |count| {
            *count = Some(count.unwrap_or(0) + 1);
            *count
        });
        ctx.emit((ctx.key().get().clone(), count.unwrap_or(0)));
        Ok(())
    }
}

#[test]
fn state_moves_to_another_parallelism_and_another_backend() {
    let mut snapshot = Snapshot::default();
    for (round, parallelism) in [1, 2, 5, 3, 1].into_iter().enumerate() {
        let counts = count_once(parallelism, BACKENDS[round % 2], &mut snapshot);
        assert_eq!(counts.len(), 100);
        assert!(counts.iter().all(|(_, count)| *count == round as u64 + 1), "{counts:?}");
    }
}

#[test]
fn values_that_have_expired_are_not_seen_again() {
    let mut driver = TestDriver::new();
    let (words, first) =
        driver.job(|words| words.key_by(|w: &&str| w.to_string()).dedup_within(Duration::from_secs(10)));
    words.push_all(["a", "b", "a"]);
    driver.advance(Duration::from_secs(9)).expect("runs");
    words.push("a");
    driver.advance(Duration::from_secs(2)).expect("runs");
    words.push_all(["a", "b"]);
    driver.finish().expect("ends");
    // `a` was written again after nine seconds, so only `b` has been silent for ten.
    assert_eq!(first.take(), ["a", "b", "b"]);
}

/// Says `late` two seconds after a word, unless the same word comes again.
struct Reminder {
    at: ValueState<String, Timestamp>,
}

impl ProcessFunction<String, &'static str> for Reminder {
    type Out = Either<String, Timestamp>;

    fn states(&mut self, states: &mut States<'_, String>) {
        states.add(&mut self.at);
    }

    fn process(&mut self, _: &'static str, ctx: &mut ProcessContext<'_, String, Self::Out>) -> FunctionResult {
        let at = Timestamp::from_millis(ctx.processing_time().as_millis() + 2000);
        if let Some(before) = self.at.set(ctx.key(), at) {
            ctx.delete_processing_timer(before);
        }
        ctx.register_processing_timer(at);
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut ProcessContext<'_, String, Self::Out>) -> FunctionResult {
        ctx.emit(Either::Left(ctx.key().get().clone()));
        ctx.emit(Either::Right(timer.at()));
        Ok(())
    }
}

#[test]
fn processing_time_timers_fire_by_the_clock_and_at_the_end_of_the_input() {
    let mut driver = TestDriver::new();
    let (input, words) = driver.input("words");
    let both = words.key_by(|w: &&str| w.to_string()).process(|| Reminder { at: ValueState::new("at") });
    let (words, times) = both.split();
    let (words, times) = (driver.output(words), driver.output(times));
    input.push_all(["a", "b"]);
    driver.advance(Duration::from_millis(1500)).expect("runs");
    input.push("a");
    driver.advance(Duration::from_millis(400)).expect("runs");
    assert_eq!(words.len(), 0);
    driver.advance(Duration::from_millis(100)).expect("runs");
    assert_eq!((words.take(), times.take()), (vec!["b".to_owned()], vec![Timestamp::from_millis(2000)]));
    driver.advance(Duration::from_millis(1500)).expect("runs");
    assert_eq!((words.take(), times.take()), (vec!["a".to_owned()], vec![Timestamp::from_millis(3500)]));
    input.push("c");
    driver.finish().expect("ends");
    assert_eq!((words.take(), times.take()), (vec!["c".to_owned()], vec![Timestamp::from_millis(5500)]));
}

/// Has a state that is not on its list.
struct Forgetful(ValueState<String, u32>);

impl ProcessFunction<String, u32> for Forgetful {
    type Out = u32;

    fn process(&mut self, value: u32, ctx: &mut ProcessContext<'_, String, u32>) -> FunctionResult {
        self.0.set(ctx.key(), value);
        Ok(())
    }
}

fn failure<F: ProcessFunction<String, u32>>(make: fn() -> F) -> Error {
    let mut driver = TestDriver::new();
    let (numbers, _results) = driver.job(|numbers| numbers.key_by(|n: &u32| n.to_string()).process(make));
    numbers.push(1);
    driver.run_until_idle().expect_err("must fail")
}

#[test]
fn a_state_that_is_not_on_the_list_is_named() {
    let error = failure(|| Forgetful(ValueState::new("last")));
    let expected = "panicked: the state `last` is not open: add it to the list in ProcessFunction::states";
    assert_eq!(error.message(), expected);
    assert_eq!(error.place().expect("a place").position.as_deref(), Some("input offset 0"));
}

/// Has two states with one name.
struct Twice(ValueState<String, u32>, ValueState<String, u32>);

impl ProcessFunction<String, u32> for Twice {
    type Out = u32;

    fn states(&mut self, states: &mut States<'_, String>) {
        states.add(&mut self.0).add(&mut self.1);
    }

    fn process(&mut self, _: u32, _: &mut ProcessContext<'_, String, u32>) -> FunctionResult {
        Ok(())
    }
}

#[test]
fn two_states_with_one_name_are_refused() {
    let error = failure(|| Twice(ValueState::new("n"), ValueState::new("n")));
    assert_eq!(error.message(), "`n` can't be the name of this state: it is taken, empty or has a `/`");
}

type Pairs = crate::KeyedStream<String, (&'static str, i32)>;

#[test]
fn built_in_operators() {
    let numbers = [("a", 3), ("b", 1), ("a", 1), ("a", 2), ("b", 5)];
    let run = |job: fn(Pairs) -> crate::DataStream<(String, i32)>| {
        let mut driver = TestDriver::new();
        let (input, output) = driver.job(|records| job(records.key_by(|(key, _): &(&str, i32)| key.to_string())));
        input.push_all(numbers);
        driver.finish().expect("ends");
        output.take().into_iter().map(|(_, n)| n).collect::<Vec<_>>()
    };
    assert_eq!(run(|s| s.sum(|(_, n)| *n)), [3, 1, 4, 6, 6]);
    assert_eq!(run(|s| s.min(|(_, n)| *n)), [3, 1, 1, 1, 1]);
    assert_eq!(run(|s| s.max(|(_, n)| *n)), [3, 1, 3, 3, 5]);
    let reduced = |s: Pairs| {
        let owned = s.keyed().map(|k| (k.key().clone(), k.record().1)).key_by(|(key, _)| key.clone());
        owned.reduce(|a, b| (a.0, a.1 * b.1))
    };
    assert_eq!(run(reduced), [3, 1, 3, 6, 5]);
    let repeats = |s: Pairs| {
        s.flat_map_with_state(|(key, n), last: &mut Option<i32>| last.replace(n).map(|last| (key.to_owned(), last)))
    };
    assert_eq!(run(repeats), [3, 1, 1]);
}
