//! A few kills on the broker of the test run, and the audit that must notice when something is wrong.

use std::process::{Command, Output};

/// Whether it ended well, and what it said.
fn chaos(arguments: &[&str]) -> (bool, String) {
    let broker = std::env::var("STREAM_TEST_KAFKA").expect("run the tests by `cargo xtask test`, which starts a Kafka");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-chaos"));
    let output = command.env("BOOTSTRAP", broker).arg("run").args(arguments).output();
    let Output { status, stdout, stderr } = output.expect("the program is built");
    (status.success(), format!("{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[test]
fn at_least_once_a_job_that_is_killed_loses_nothing_and_its_files_have_nothing_twice() {
    let (ok, said) = chaos(&["--mode", "at-least-once", "--kills", "5", "--seed", "1"]);
    assert!(ok && said.contains("chaos: ok. 5 kills; mode at-least-once"), "{said}");
}

#[test]
fn the_audit_of_files_finds_a_planted_bug() {
    let (ok, said) = chaos(&["--mode", "at-least-once", "--kills", "5", "--seed", "1", "--plant-bug"]);
    assert!(!ok && said.contains("counts in files: records twice"), "{said}");
}

#[test]
fn exactly_once_a_job_that_is_killed_writes_everything_once() {
    let (ok, said) = chaos(&["--kills", "20", "--seed", "1"]);
    assert!(ok && said.contains("chaos: ok. 20 kills; mode exactly-once"), "{said}");
}

#[test]
fn exactly_once_with_windows_on_another_cluster() {
    let (ok, said) = chaos(&["--kills", "4", "--seed", "1", "--second-cluster"]);
    assert!(ok && said.contains("chaos: ok. 4 kills; mode exactly-once"), "{said}");
}

#[test]
#[ignore = "takes two minutes, one of which the second cluster is down"]
fn exactly_once_while_another_cluster_is_down_for_a_minute() {
    let (ok, said) = chaos(&["--kills", "20", "--seed", "2026", "--second-cluster"]);
    assert!(ok && said.contains("chaos: ok. 20 kills, second cluster down for a minute"), "{said}");
}

#[test]
#[ignore = "takes five minutes and three brokers"]
fn exactly_once_while_each_of_three_brokers_is_killed_five_times() {
    let (ok, said) = chaos(&["--kills", "15", "--seed", "1", "--replicated", "--brokers"]);
    assert!(ok && said.contains("15 broker crashes"), "{said}");
}

#[test]
fn the_audit_of_exactly_once_finds_sinks_that_write_at_least_once() {
    let (ok, said) = chaos(&["--kills", "8", "--seed", "1", "--plant-bug"]);
    assert!(!ok && said.contains("counts in Kafka: records twice"), "{said}");
    assert!(!said.contains("lost") && !said.contains("in files"), "{said}");
}

#[test]
fn the_audit_of_exactly_once_finds_nothing_where_nothing_was_killed() {
    let (ok, said) = chaos(&["--kills", "0", "--seed", "1", "--plant-bug"]);
    assert!(ok && said.contains("chaos: ok. 0 kills; mode exactly-once"), "{said}");
}
