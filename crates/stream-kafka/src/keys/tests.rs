//! Tests of the keys: every row of the table against a live client, the traps, and secrets.

mod cases;
mod secrets;
mod table;
mod traps;

#[path = "../client/conf.rs"]
mod conf;

use super::{KeyProblem, RawSetting, Role, Translation, translate};

/// Settings as pairs.
fn raw<'a>(settings: &[(&'a str, &str)]) -> Vec<RawSetting<'a>> {
    settings.iter().map(|(key, value)| RawSetting::new(key, *value)).collect()
}

fn source(settings: &[(&str, &str)]) -> Translation {
    translate(Role::Source, &raw(settings)).expect("a valid source")
}

fn sink(settings: &[(&str, &str)]) -> Translation {
    translate(Role::Sink, &raw(settings)).expect("a valid sink")
}

/// Problems as `key: message; hint: hint`, a line each.
fn problems(role: Role, settings: &[(&str, &str)]) -> String {
    let problems = translate(role, &raw(settings)).expect_err("problems");
    lines(&problems)
}

fn lines(problems: &[KeyProblem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{}: {problem}", problem.key)).collect();
    lines.join("\n")
}
