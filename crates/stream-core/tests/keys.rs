//! The page about the keys of a job is printed from the table of `stream_core::settings`; `UPDATE_DOCS=1` rewrites it.

use std::fmt::Write as _;
use std::path::Path;

use stream_core::{KeyInfo, KeyState, settings};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/configuration-keys.md");

#[test]
fn page_is_fresh() {
    let fresh = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(Path::new(PAGE), &fresh).expect("the page can be written");
    }
    let found = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(found == fresh, "docs/src/configuration-keys.md is stale: run the test with UPDATE_DOCS=1");
}

fn page() -> String {
    let (settings, foreign): (Vec<KeyInfo>, Vec<KeyInfo>) =
        settings::keys().into_iter().partition(|info| !info.kind.is_empty());
    let mut page = String::from(INTRODUCTION);
    for info in &settings {
        let state = match info.state {
            KeyState::ActedOn => "yes",
            KeyState::NotYet => "not yet",
            _ => "no",
        };
        let default = if info.default.is_empty() { String::new() } else { format!("`{}`", info.default) };
        // The prefixes are told once, above the table; here only what they can't explain.
        let spellings = info.spellings.iter().filter(|name| !name.starts_with("flink.property."));
        let spellings = spellings.filter(|name| !name.starts_with("flink.deployment."));
        let also: Vec<String> = spellings.map(|name| format!("`{name}`")).collect();
        let (key, kind, meaning) = (&info.key, &info.kind, &info.meaning);
        writeln!(page, "| `{key}` | {kind} | {default} | {state} | {meaning} | {} |", also.join(", ")).expect("a line");
    }
    page.push_str(FOREIGN);
    for info in &foreign {
        writeln!(page, "| `{}` | {} |", info.key, info.meaning).expect("a line");
    }
    page
}

const INTRODUCTION: &str = "\
# Keys of a job

<!-- Printed from crates/stream-core/src/settings/table.rs: change the table, then run the crate's tests with UPDATE_DOCS=1. -->

What the configuration may say about a job as a whole. `job config keys` prints the same for a program, with the keys
of the sources and sinks that it uses; those of Kafka are on [a page of their own](kafka-keys.md).

The names are Flink's. Each of them may stand

- at the top level, or below `app:`;
- below `flink.property.`, as in StreamPark 2;
- below `flink.deployment.property.`, as in StreamPark 1, which has short names too: they are in the last column, with
  earlier names of Flink's.

A number without a unit is milliseconds where a duration is meant; units are `ms`, `s`, `min`, `h`, `d` and their
English names. Words may be written in any case, with `-` or `_`. Two spellings of one setting must agree: if they do
not, that is an error which names both places. A misspelt key is an error, and so is a value that cannot be read.
What is not acted on gets a warning, unless what it asks for holds anyway.

Where checkpoints or the restart strategy are written with StreamPark 1's short names, StreamPark 1's defaults hold: an
interval of 1 s, `RETAIN_ON_CANCELLATION`, 3 attempts after 5 s each, 3 failures in 5 min. As there, checkpoints are off
then unless `flink.checkpoints.enable` is `true`.

| key | type | default | acted on | meaning | other spellings |
| --- | --- | --- | --- | --- | --- |
";

const FOREIGN: &str = "
## Without effect

Flink's and StreamPark's keys that mean nothing here. Each gets a warning that says what holds instead. A key below
`flink.` that is neither here nor above gets a warning too, or is an error with \"did you mean\" if it is nearly one of
them.

| key | what holds instead |
| --- | --- |
";
