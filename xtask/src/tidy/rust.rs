//! Checks on Rust files: the module line, the size, and what only some files may name.

use super::code::{blank, find_word, line_of, without_tests};
use super::{Finding, TextFile};

const MAX_LINES: usize = 800;

/// Who may use `unsafe`: the Kafka client, and the bare loop that it is measured against.
const MAY_BE_UNSAFE: &[&str] = &["crates/stream-kafka/src/client/", "crates/stream-bench/src/raw"];

/// Words that only some files may contain.
struct Ban {
    words: &'static [&'static str],
    /// Whether the ban covers the file at this path.
    covers: fn(&str) -> bool,
    /// Whether `#[cfg(test)]` items are excepted.
    spares_tests: bool,
    message: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        words: &["rdkafka", "rdkafka_sys"],
        covers: |path| !is_in(path, &["crates/stream-kafka/", "crates/stream-bench/"]),
        spares_tests: false,
        message: "only stream-kafka (and the raw loop of stream-bench) names the Kafka client",
    },
    Ban {
        words: &["std::env::var", "std::env::vars", "std::env::var_os", "env::var", "env::vars", "env::var_os"],
        covers: |path| {
            is_crate_source(path)
                && !is_in(
                    path,
                    &["crates/stream-conf/", "crates/stream-bench/", "crates/stream-chaos/", "crates/stream-testkit/"],
                )
        },
        spares_tests: true,
        message: "only stream-conf reads the environment; hint: ask the configuration",
    },
    Ban {
        words: &["std::fs", "File::open", "File::create", "fs::read", "fs::read_to_string", "fs::write", "OpenOptions"],
        covers: |path| is_in(path, &["crates/stream-core/src/", "crates/stream-kafka/src/"]),
        spares_tests: true,
        message: "this crate touches no disk; hint: stream-conf reads configuration, stream-store holds state",
    },
    Ban {
        words: &["std::net", "TcpStream", "TcpListener", "UdpSocket"],
        covers: |path| is_in(path, &["crates/stream-core/src/"]),
        spares_tests: true,
        message: "stream-core opens no socket",
    },
    Ban {
        words: &[
            "std::thread::spawn",
            "std::thread::scope",
            "std::thread::Builder",
            "thread::Builder",
            "thread::scope",
        ],
        covers: starts_no_thread,
        spares_tests: true,
        message: THREADS,
    },
    Ban {
        words: &["Instant::now", "std::time::Instant::now", "SystemTime::now", "std::time::SystemTime::now"],
        covers: |path| path != "crates/stream-core/src/clock.rs" && is_engine_source(path),
        spares_tests: true,
        message: "only crates/stream-core/src/clock.rs reads the clock; hint: stream_core::clock, which tests move by hand",
    },
    Ban {
        words: &["unsafe"],
        covers: |path| !is_in(path, MAY_BE_UNSAFE),
        spares_tests: false,
        message: "only the Kafka client module (crates/stream-kafka/src/client/) may be unsafe",
    },
    Ban {
        words: &["todo!", "unimplemented!", "dbg!"],
        covers: |_| true,
        spares_tests: false,
        message: "a placeholder; hint: finish it, or return an error that says what is not supported",
    },
];

const THREADS: &str = "only crates/stream-core/src/thread.rs starts threads; hint: stream_core::thread::spawn";

/// All checks on one Rust file.
pub(super) fn check(file: &TextFile) -> Vec<Finding> {
    let TextFile { path, text } = file;
    let mut findings = Vec::new();
    if needs_module_line(path) && !opens_with_module_line(text) {
        findings.push(Finding::new(
            path,
            1,
            "does not open with `//!`; hint: what it is, why it exists, where it sits",
        ));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        findings.push(Finding::new(
            path,
            0,
            format!("has {lines} lines, more than {MAX_LINES}; hint: find the theme and split"),
        ));
    }
    let all = blank(text);
    let production = without_tests(&all);
    let is_test = is_test_file(path);
    for ban in BANS.iter().filter(|ban| (ban.covers)(path) && !(ban.spares_tests && is_test)) {
        let code = if ban.spares_tests { &production } else { &all };
        for word in ban.words {
            findings.extend(
                find_word(code, word)
                    .map(|offset| Finding::new(path, line_of(code, offset), format!("`{word}`: {}", ban.message))),
            );
        }
    }
    if starts_no_thread(path) && !is_test {
        findings.extend(bare_thread_spawn(path, &production));
    }
    findings
}

/// `thread::spawn` is ours or the standard library's; the `use` lines tell.
fn bare_thread_spawn(path: &str, code: &str) -> Vec<Finding> {
    let finding = |offset, what: &str| Finding::new(path, line_of(code, offset), format!("`{what}`: {THREADS}"));
    let mut findings = Vec::new();
    let mut module_imported = false;
    for (offset, _) in code.match_indices("use std::") {
        let import = code[offset..].split(';').next().unwrap_or_default();
        // One name stands right behind `thread::`, several in braces.
        let names = |word: &str| find_word(import, word).next().is_some() || import.ends_with(&format!("::{word}"));
        if !names("thread") && !import.starts_with("use std::thread::") {
            continue;
        }
        module_imported |= names("self") || !import.contains("thread::");
        let starters = ["spawn", "Builder", "scope"].into_iter();
        findings.extend(starters.filter(|word| names(word)).map(|word| finding(offset, word)));
    }
    if module_imported {
        findings.extend(find_word(code, "thread::spawn").map(|offset| finding(offset, "thread::spawn")));
    }
    findings
}

fn is_in(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

fn is_crate_source(path: &str) -> bool {
    path.strip_prefix("crates/").is_some_and(|rest| rest.split('/').nth(1) == Some("src"))
}

/// The crates that run under the stepped scheduler, or are run by it.
fn is_engine_source(path: &str) -> bool {
    is_crate_source(path) && !is_in(path, &["crates/stream-bench/", "crates/stream-chaos/", "crates/stream-testkit/"])
}

fn starts_no_thread(path: &str) -> bool {
    path != "crates/stream-core/src/thread.rs" && is_engine_source(path)
}

/// `tests.rs` and what lies in a folder `tests` belongs to a `#[cfg(test)] mod tests;` or to an integration test.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/benches/")
}

fn needs_module_line(path: &str) -> bool {
    is_crate_source(path) || is_in(path, &["xtask/src/", "examples/"])
}

/// Attributes of the file (`#![…]`, over several lines too) may come first.
fn opens_with_module_line(text: &str) -> bool {
    let mut depth = 0_i32;
    for line in text.lines().map(str::trim) {
        if depth == 0 && line.starts_with("//!") {
            return true;
        }
        if depth == 0 && !line.is_empty() && !line.starts_with("#!") {
            return false;
        }
        let code = blank(line);
        let count = |wanted: char| code.chars().filter(|c| *c == wanted).count() as i32;
        depth += count('[') - count(']');
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &str = "crates/stream-core/src/some.rs";

    /// The findings on `code` as a whole file at `path`, as text.
    fn found(path: &str, code: &str) -> Vec<String> {
        let file = TextFile { path: path.to_owned(), text: format!("//! M.\n{code}\n") };
        check(&file).iter().map(ToString::to_string).collect()
    }

    fn assert_banned(path: &str, code: &str) {
        let found = found(path, code);
        assert!(!found.is_empty(), "{code} in {path} is not found");
        assert!(found.iter().all(|finding| finding.starts_with(&format!("{path}:2: `"))), "{found:?}");
    }

    fn assert_allowed(path: &str, code: &str) {
        assert_eq!(found(path, code), [""; 0], "{code} in {path}");
    }

    #[test]
    fn a_file_opens_with_its_module_line() {
        let opens = |text: &str| {
            let file = TextFile { path: CORE.to_owned(), text: text.to_owned() };
            check(&file).is_empty()
        };
        assert!(opens("//! What it is.\n"));
        assert!(opens("#![allow(\n    dead_code\n)]\n\n//! What it is.\n"));
        assert!(!opens("use a;\n//! Late.\n"));
        assert!(!opens("// A plain comment.\n"));
        assert!(!opens(""));
        let elsewhere = TextFile { path: "crates/stream-core/tests/t.rs".to_owned(), text: String::new() };
        assert!(check(&elsewhere).is_empty());
    }

    #[test]
    fn a_file_has_800_lines_at_most() {
        assert_allowed(CORE, &"\n".repeat(798));
        let found = found(CORE, &"\n".repeat(799));
        assert_eq!(found, [format!("{CORE}: has 801 lines, more than 800; hint: find the theme and split")]);
    }

    #[test]
    fn only_stream_kafka_names_the_client() {
        assert_banned(CORE, "use rdkafka::Message;");
        assert_banned("examples/a.rs", "use rdkafka_sys as sys;");
        assert_allowed("crates/stream-kafka/src/client/mod.rs", "use rdkafka::Message;");
        assert_allowed("crates/stream-bench/src/raw.rs", "use rdkafka::Message;");
        assert_allowed(CORE, "// rdkafka says so\nconst A: &str = \"rdkafka\";");
    }

    #[test]
    fn only_stream_conf_reads_the_environment() {
        assert_banned(CORE, "let a = std::env::var(NAME);");
        assert_banned("crates/stream-kafka/src/a.rs", "let a = env::var_os(NAME);");
        assert_allowed("crates/stream-conf/src/environment.rs", "let a = std::env::var(NAME);");
        assert_allowed(CORE, "const A: &str = env!(\"CARGO_PKG_NAME\");");
        assert_allowed("crates/stream-kafka/tests/a.rs", "let a = std::env::var(NAME);");
    }

    #[test]
    fn core_and_kafka_touch_no_disk() {
        assert_banned(CORE, "use std::fs;");
        assert_banned("crates/stream-kafka/src/a.rs", "let a = File::open(path);");
        assert_allowed("crates/stream-conf/src/a.rs", "let a = std::fs::read(path);");
        assert_allowed(CORE, "#[cfg(test)]\nmod tests { use std::fs; }");
    }

    #[test]
    fn core_opens_no_socket() {
        assert_banned(CORE, "use std::net::SocketAddr;");
        assert_allowed("crates/stream-kafka/src/a.rs", "use std::net::SocketAddr;");
    }

    #[test]
    fn threads_start_in_one_file() {
        assert_banned(CORE, "let a = std::thread::spawn(f);");
        assert_banned(CORE, "let a = thread::Builder::new();");
        assert_banned("crates/stream-kafka/src/a.rs", "use std::thread; fn f() { thread::spawn(g); }");
        assert_banned(CORE, "use std::thread::{JoinHandle, spawn};");
        assert_banned(CORE, "use std::thread::scope;");
        assert_banned(CORE, "use std::{sync::Arc, thread}; fn f() { thread::spawn(g); }");
        assert_allowed(CORE, "use std::thread::JoinHandle; use crate::thread; fn f() { thread::spawn(g); }");
        assert_allowed("crates/stream-core/src/thread.rs", "let a = std::thread::Builder::new();");
        assert_allowed("crates/stream-kafka/src/a.rs", "use stream_core::thread; fn f() { thread::spawn(g); }");
        assert_allowed(CORE, "crate::thread::spawn(name, f);");
    }

    #[test]
    fn the_clock_is_read_in_one_file() {
        assert_banned(CORE, "let a = Instant::now();");
        assert_banned("crates/stream-conf/src/a.rs", "let a = std::time::SystemTime::now();");
        assert_allowed("crates/stream-core/src/clock.rs", "let a = Instant::now();");
        assert_allowed("crates/stream-bench/src/a.rs", "let a = Instant::now();");
        assert_allowed("crates/stream-core/src/some/tests.rs", "let a = Instant::now();");
    }

    #[test]
    fn unsafe_stays_in_the_client() {
        assert_banned(CORE, "unsafe { f() }");
        assert_banned("crates/stream-kafka/src/sink.rs", "unsafe impl Send for A {}");
        assert_allowed("crates/stream-kafka/src/client/queue.rs", "unsafe { f() }");
        assert_allowed(CORE, "#![forbid(unsafe_code)]");
    }

    #[test]
    fn no_placeholders() {
        for code in ["todo!()", "unimplemented!(\"x\")", "dbg!(x)"] {
            assert_banned(CORE, code);
            assert_banned("crates/stream-core/tests/t.rs", code);
        }
        assert_allowed(CORE, "// todo!() is not allowed");
    }
}
