//! [`TestDriver`]: typed inputs and outputs, virtual time, and the errors of production.

use std::time::Duration;

use stream_core::testing::TestDriver;
use stream_core::{DataStream, ErrorKind, Timestamp};

fn parse(lines: DataStream<String>) -> DataStream<u32> {
    lines.try_map(|line| line.parse::<u32>()).uid("parse")
}

#[test]
fn records_are_pushed_and_taken_as_often_as_the_test_likes() {
    let mut driver = TestDriver::new();
    let (lines, numbers) = driver.job(parse);
    for i in 0..5u32 {
        lines.push(i.to_string());
        assert!(numbers.is_empty(), "nothing runs by itself");
        driver.run_until_idle().expect("no failure");
        assert_eq!(numbers.take(), [i]);
    }
    driver.finish().expect("the job succeeds");
    assert_eq!(lines.committed(), 5);
}

#[test]
fn an_error_names_the_operator_and_the_record_and_stays() {
    let mut driver = TestDriver::new();
    let (lines, _numbers) = driver.job(parse);
    lines.push_all(["1", "2", "three", "4"].map(str::to_owned));
    let error = driver.run_until_idle().expect_err("`three` is no number");
    let place = error.place().expect("a place");
    assert_eq!((error.kind(), place.uid.as_str()), (ErrorKind::User, "parse"));
    assert_eq!(place.position.as_deref(), Some("input offset 2"));
    assert_eq!(driver.finish().expect_err("still").to_string(), error.to_string());
    assert_eq!(lines.committed(), 0);
}

#[test]
fn a_panic_of_a_closure_is_an_error_too() {
    let mut driver = TestDriver::new();
    let (numbers, _halves) = driver.job(|numbers: DataStream<u32>| numbers.map(|x| 10 / x));
    numbers.push(0);
    let error = driver.run_until_idle().expect_err("a division by zero");
    assert!(error.message().contains("divide by zero"), "{error}");
}

#[test]
fn mistakes_in_the_description_are_reported_by_the_first_run() {
    let mut driver = TestDriver::new();
    let (_input, stream) = driver.input::<u32>("unread");
    drop(stream);
    for _ in 0..2 {
        let error = driver.run_until_idle().expect_err("nobody reads the input");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("unread"), "{error}");
    }
}

#[test]
fn positions_are_committed_when_time_passes() {
    let mut driver = TestDriver::new().parallelism(2);
    let (numbers, _sums) = driver.job(|numbers: DataStream<u32>| numbers.rebalance().map(|x| x + 1));
    for (pushed, committed) in [(10, 10), (20, 20), (30, 30)] {
        numbers.push_all(0..10);
        driver.advance(Duration::from_millis(999)).expect("no failure");
        assert_eq!((numbers.waiting(), numbers.committed()), (0, committed - 10));
        driver.advance(Duration::from_millis(1)).expect("no failure");
        assert_eq!(numbers.committed(), pushed);
    }
}

#[test]
fn timestamps_travel_with_their_records() {
    let mut driver = TestDriver::new();
    let (numbers, doubled) = driver.job(|numbers: DataStream<u32>| numbers.map(|x| x * 2).filter(|x| *x != 4));
    let at = |millis| Timestamp::from_millis(millis);
    numbers.push_at(1, at(10));
    numbers.push_at(2, at(20));
    numbers.push(3);
    numbers.push_at(4, at(5));
    driver.finish().expect("the job succeeds");
    assert_eq!(doubled.take_timed(), [(2, Some(at(10))), (6, None), (8, Some(at(5)))]);
}

#[test]
fn an_input_that_has_ended_lets_the_others_go_on() {
    let mut driver = TestDriver::new();
    let ((first, a), (second, b)) = (driver.input("a"), driver.input("b"));
    let both = driver.output(a.union([b]));
    first.push(1);
    first.end();
    driver.advance(Duration::from_secs(5)).expect("no failure");
    second.push(2);
    driver.run_until_idle().expect("no failure");
    assert_eq!(both.take(), [1, 2]);
    driver.finish().expect("the job succeeds");
    assert_eq!((first.committed(), second.committed()), (1, 1));
}

#[test]
#[should_panic(expected = "pushed into an input that has ended")]
fn a_push_after_the_end_is_a_mistake_of_the_test() {
    let mut driver = TestDriver::new();
    let (numbers, _output) = driver.job(|numbers: DataStream<u32>| numbers.map(|x| x));
    driver.finish().expect("the job succeeds");
    numbers.push(1);
}

#[test]
#[should_panic(expected = "the job runs already")]
fn a_job_described_too_late_is_a_mistake_of_the_test() {
    let mut driver = TestDriver::new();
    let _first = driver.job(|numbers: DataStream<u32>| numbers.map(|x| x));
    driver.run_until_idle().expect("no failure");
    let _second = driver.input::<u32>("late");
}
