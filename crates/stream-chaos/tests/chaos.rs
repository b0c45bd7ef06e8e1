//! A few kills on the broker of the test run, and the audit that must notice when something is wrong.

use std::process::{Command, Output};

fn chaos(arguments: &[&str]) -> Output {
    let broker = std::env::var("STREAM_TEST_KAFKA").expect("run the tests by `cargo xtask test`, which starts a Kafka");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-chaos"));
    command.env("BOOTSTRAP", broker).arg("run").args(arguments).output().expect("the program is built")
}

#[test]
fn a_job_that_is_killed_loses_nothing_and_its_files_have_nothing_twice() {
    let Output { status, stdout, stderr } = chaos(&["--mode", "at-least-once", "--kills", "5", "--seed", "1"]);
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && out.contains("chaos: ok. 5 kills"), "{out}\n{err}");
}

#[test]
fn the_audit_finds_a_planted_bug() {
    let Output { status, stdout, stderr } = chaos(&["--kills", "5", "--seed", "1", "--plant-bug"]);
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(!status.success() && err.contains("counts in files: records twice"), "{out}\n{err}");
}
