//! What a user can get wrong, and what becomes of files that others touch.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Event, Faults, Replay, lines, scratch};
use stream_core::testing::{SteppedJob, TestDriver};
use stream_core::{Configuration, Error, ErrorKind, Result, StagedSink, StreamingContext};
use stream_files::FileSink;

/// A job that writes ten numbers, and stands before its end.
fn job(store: &Faults, out: &Path) -> Result<SteppedJob> {
    store.set_off(true);
    let events = (0..10).map(|at| Event { key: 0, at, value: 1 }).collect();
    let ctx = StreamingContext::new(Configuration::empty()).checkpoint_store(store.clone());
    let numbers = ctx.source("replay", Replay(Arc::new(events))).parallelism(1).map(|event| event.at);
    numbers.staged_sink("files", FileSink::json_lines(out)).uid("numbers");
    let mut job = SteppedJob::new(ctx, "mistakes", 0)?;
    job.set_step_time(Duration::from_millis(1));
    job.set_checkpoint_interval(Duration::from_millis(3));
    Ok(job)
}

fn store() -> Faults {
    Faults::new(0, false)
}

/// Runs until there is a file with a name that `is_it`.
fn run_until(job: &mut SteppedJob, out: &Path, is_it: fn(&str) -> bool) {
    while names(out).iter().all(|name| !is_it(name)) {
        assert!(!job.is_over(), "the job has ended, and no such file was there");
        job.step().expect("a step");
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

fn error_of(result: Result<impl Sized>) -> Error {
    result.err().expect("the job is refused")
}

#[test]
fn a_consumer_may_take_files_even_before_the_job_begins_again() {
    let (directory, store) = (scratch(), store());
    let mut job = job(&store, directory.path()).expect("begins");
    let mut taken = Vec::new();
    while !job.is_over() {
        job.step().expect("a step");
        for name in names(directory.path()).iter().filter(|name| !name.starts_with('.')) {
            taken.extend(fs::read_to_string(directory.path().join(name)).expect("text").lines().map(str::to_owned));
            fs::remove_file(directory.path().join(name)).expect("removed");
            if !job.is_over() {
                job.crash().expect("begins again");
            }
        }
    }
    assert_eq!(taken, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
}

#[test]
fn a_hidden_file_that_somebody_removes_is_missed() {
    let (directory, store) = (scratch(), store());
    let mut job = job(&store, directory.path()).expect("begins");
    run_until(&mut job, directory.path(), |name| name.starts_with(".part-"));
    for name in names(directory.path()).iter().filter(|name| name.starts_with(".part-")) {
        fs::remove_file(directory.path().join(name)).expect("removed");
    }
    let error = error_of(job.run());
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.message().contains("is gone before it was published"), "{error}");
}

#[test]
fn a_directory_that_was_emptied_between_two_runs_is_missed() {
    let (directory, store) = (scratch(), store());
    let out = directory.path().join("out");
    let mut first = job(&store, &out).expect("begins");
    run_until(&mut first, &out, |name| name.starts_with("part-"));
    drop(first);
    fs::remove_dir_all(&out).expect("removed");
    let error = error_of(job(&store, &out));
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn a_hidden_file_that_was_cut_off_is_not_published() {
    let (directory, store) = (scratch(), store());
    let mut job = job(&store, directory.path()).expect("begins");
    let error = loop {
        // From the moment it is closed until it is published.
        for name in names(directory.path()).iter().filter(|name| name.starts_with(".part-")) {
            let file = fs::OpenOptions::new().write(true).open(directory.path().join(name)).expect("opens");
            if file.metadata().expect("a file").len() > 1 {
                file.set_len(1).expect("cut off");
            }
        }
        match job.step() {
            Ok(_) => assert!(!job.is_over(), "nothing was noticed"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.message().contains("has 1 bytes"), "{error}");
}

#[test]
fn what_an_earlier_run_has_left_behind_is_removed_and_nothing_else() {
    let (directory, store) = (scratch(), store());
    fs::write(directory.path().join(".part-0-0-0.jsonl"), "7\n").expect("written");
    fs::write(directory.path().join(".part-900-0-0.jsonl"), "8\n").expect("written");
    fs::write(directory.path().join("notes.txt"), "mine").expect("written");
    let mut job = job(&store, directory.path()).expect("begins");
    let there = names(directory.path());
    assert_eq!(there, [".part-900-0-0.jsonl", ".stream-files", "notes.txt"], "a later run's file stays");
    fs::remove_file(directory.path().join(".part-900-0-0.jsonl")).expect("removed");
    fs::remove_file(directory.path().join("notes.txt")).expect("removed");
    job.run().expect("runs");
    assert_eq!(lines(directory.path(), None).map(|lines| lines.len()), Ok(10));
}

#[test]
fn a_directory_that_cannot_be_used_is_refused_with_its_path_and_a_hint() {
    let directory = scratch();
    let file = directory.path().join("file");
    fs::write(&file, "").expect("written");
    for path in [file.clone(), file.join("below")] {
        let error = error_of(job(&store(), &path));
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(error.message().contains(&*file.to_string_lossy()), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("name a directory")), "{error}");
        let mut sink = FileSink::csv(&path);
        let checked = StagedSink::<u64>::check(&mut sink, Duration::ZERO);
        assert_eq!(error_of(checked).kind(), ErrorKind::Config);
    }
    assert_eq!(names(directory.path()), ["file"], "nothing was made");
}

#[test]
fn a_name_that_is_taken_is_left_alone() {
    let (directory, store) = (scratch(), store());
    let mut job = job(&store, directory.path()).expect("begins");
    let taken = directory.path().join(".part-1-0-0.jsonl");
    fs::write(&taken, "not ours\n").expect("written");
    job.run().expect("runs");
    assert_eq!(fs::read_to_string(&taken).expect("is still there"), "not ours\n");
    fs::remove_file(taken).expect("removed");
    assert_eq!(lines(directory.path(), None).map(|lines| lines.len()), Ok(10));
}

#[test]
fn a_directory_has_one_owner() {
    let directory = scratch();
    job(&store(), directory.path()).and_then(|mut job| job.run()).expect("runs");
    let ctx = StreamingContext::new(Configuration::empty());
    ctx.from_iter([1]).staged_sink("files", FileSink::json_lines(directory.path())).uid("others");
    let error = error_of(SteppedJob::new(ctx, "second", 0));
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.message().contains("belongs to sink `numbers` of job `mistakes`"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("sink is now called `others` of job `second`")), "{error}");
}

#[test]
fn a_record_that_does_not_fit_the_format_is_named() {
    let directory = scratch();
    let mut driver = TestDriver::new();
    let (pairs, stream) = driver.input("pairs");
    stream.staged_sink("files", FileSink::csv(directory.path()));
    pairs.push(Nested { inner: vec![Inner { a: 1 }] });
    let error = error_of(driver.finish());
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.message().starts_with("can't write the record as CSV"), "{error}");
    assert_eq!(error.place().and_then(|place| place.position.as_deref()), Some("pairs offset 0"));
}

#[derive(serde::Serialize)]
struct Nested {
    inner: Vec<Inner>,
}

#[derive(serde::Serialize)]
struct Inner {
    a: u64,
}

#[test]
fn the_plan_says_what_is_written_where() {
    let checkpoints = Configuration::builder().set("execution.checkpointing.interval", "1s").build();
    let ctx = StreamingContext::new(checkpoints.expect("plain settings"));
    ctx.from_iter([1]).staged_sink("files", FileSink::json_lines("out"));
    let plan = ctx.plan("j").expect("a plan").explain(stream_core::ExplainFormat::Text);
    assert!(plan.contains("json lines in out"), "{plan}");
}

#[test]
fn without_checkpoints_nothing_would_ever_be_published() {
    let ctx = StreamingContext::new(Configuration::empty());
    ctx.from_iter([1]).staged_sink("files", FileSink::json_lines("out"));
    let error = ctx.plan("j").expect_err("it is refused");
    assert_eq!(error.message(), "`files` publishes its output with checkpoints, and this job takes none");
}
