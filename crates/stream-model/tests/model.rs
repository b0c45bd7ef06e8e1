//! The searches, each of which must come to its verdict; the table in the crate's documentation is checked with them.

use stream_model::{Bounds, CONTROLS, Case, LIVENESS, Outcome, PROTOCOL, Policy, Question, Report, Rules, run, search};

const DOCS: &str = include_str!("../src/lib.rs");

/// Runs the cases whose names begin so, and returns how many there are.
fn check(cases: &[Case], prefix: &str) -> usize {
    let chosen = cases.iter().filter(|case| case.name.starts_with(prefix));
    let reports: Vec<Report> = chosen.map(run).collect();
    for report in &reports {
        let trace = report.trace.join("\n  ");
        assert!(report.is_expected(), "{}: {}\n  {trace}", report.case.name, report.verdict);
        assert!(DOCS.contains(&format!("//! {report}\n")), "not in the documentation of the crate:\n{report}");
        assert_eq!(report.trace.is_empty(), report.verdict == "holds", "{}: a failure has a trace", report.case.name);
    }
    reports.len()
}

#[test]
fn a_new_epoch_after_every_commit_is_safe() {
    assert_eq!(check(PROTOCOL, "always"), 5);
}

#[test]
fn the_other_policies_are_safe() {
    let checked = check(PROTOCOL, "broker") + check(PROTOCOL, "on_disturbance") + check(PROTOCOL, "one handle");
    assert_eq!(checked, PROTOCOL.len() - 5);
}

#[test]
fn output_can_always_be_finished_and_instances_settle() {
    assert_eq!(check(LIVENESS, ""), LIVENESS.len());
}

#[test]
fn every_broken_rule_is_found() {
    assert_eq!(check(CONTROLS, ""), CONTROLS.len());
}

fn control(name: &str) -> Report {
    run(CONTROLS.iter().find(|case| case.name == name).expect("there is such a case"))
}

/// Whether these steps are in the trace, in this order.
fn assert_steps(trace: &[String], steps: &[&str]) {
    let mut rest = trace.iter();
    for step in steps {
        assert!(rest.any(|line| line.trim() == *step), "no `{step}` there, in\n{}", trace.join("\n"));
    }
}

#[test]
fn the_shortest_trace_of_a_late_commit_reads_well() {
    let report = control("one handle, a late EndTxn");
    let expected = "\
A starts, a new incarnation
A calls init: all before it are fenced
A reads the marker: none
A begins with empty state
A lists the store
A writes manifest 1 to adopt
A adds the marker for manifest 1 to the transaction
A commits, a second EndTxn is on its way
broker: the commit becomes visible
A produces the output of record 1
network: a late EndTxn arrives and commits the open transaction";
    assert_eq!(report.trace.join("\n"), expected);
}

#[test]
fn a_zombie_that_does_not_read_the_marker_again_doubles_output() {
    let steps = [
        "A commits",
        "B calls init: all before it are fenced",
        "B reads the marker: manifest 1",
        "B produces the output of record 1",
        "B commits",
        "A calls init: all before it are fenced",
        "A produces the output of record 1",
        "A commits",
    ];
    assert_steps(&control("marker not read again after a commit").trace, &steps);
}

#[test]
fn a_listing_after_the_adoption_shows_a_successors_files() {
    let steps = [
        "A commits",
        "B calls init: all before it are fenced",
        "B writes manifest 2 to adopt",
        "A lists the store, after its adoption",
        "A deletes manifest 2",
        "B commits",
    ];
    assert_steps(&control("listing taken after the adoption").trace, &steps);
}

#[test]
fn without_adoption_each_takes_its_turn_for_ever() {
    let trace = control("no adoption").trace;
    let begin = trace.iter().position(|line| line == "then, again and again:").expect("there is a cycle");
    let round = [
        "A commits",
        "B calls init: all before it are fenced",
        "B commits",
        "A is fenced, begins again",
        "A calls init: all before it are fenced",
    ];
    assert_steps(&trace[begin..], &round);
}

#[test]
fn a_search_is_the_same_every_time() {
    let rules = Rules { policy: Policy::Always, flaw: None };
    let bounds = Bounds { records: 1, restarts: 1, ..Bounds::CALM };
    let states = |outcome| match outcome {
        Outcome::Holds { states } => states,
        Outcome::Violated { violation, .. } => panic!("{violation}"),
    };
    let first = states(search(rules, bounds, Question::Everything));
    assert_eq!(first, states(search(rules, bounds, Question::Everything)));
}
