//! Which crate may depend on which: the one-way arrow, read from the manifests.

use toml::Table;

use super::{Finding, TextFile};

/// (crate, the crates of ours that it may depend on). A new arrow needs a decision file and a line here.
const ARROWS: &[(&str, &[&str])] = &[
    ("stream-conf", &[]),
    ("stream-macros", &[]),
    // What it proves must not lean on the code it is about.
    ("stream-model", &[]),
    ("stream-kafka-wire", &[]),
    ("stream-core", &["stream-conf", "stream-macros"]),
    ("stream-store", &["stream-core", "stream-conf", "stream-macros"]),
    ("stream-files", &["stream-core", "stream-conf", "stream-macros"]),
    ("stream-kafka", &["stream-core", "stream-conf", "stream-macros", "stream-kafka-wire"]),
    ("stream-sql", &["stream-core", "stream-conf", "stream-macros"]),
    ("stream-app", &["stream-core", "stream-store", "stream-conf", "stream-macros"]),
    ("stream-testkit", &["stream-core", "stream-kafka", "stream-conf", "stream-macros"]),
    ("xtask", &[]),
];

/// Programs, published nowhere: they may depend on anything.
const PROGRAMS: &[&str] = &["stream-bench", "stream-chaos", "stream-examples"];

/// Only these name the Kafka client.
const KAFKA_CLIENT: &[&str] = &["stream-kafka", "stream-bench"];

/// What tests may use on top of their crate's arrows.
const FOR_TESTS: &[(&str, &[&str])] = &[
    ("stream-macros", &["stream-core"]),
    // Themselves, with their features `testing` and `sim`.
    ("stream-core", &["stream-core"]),
    ("stream-kafka", &["stream-kafka"]),
];

/// Checks every manifest, and that every crate is on the map.
pub(super) fn check(files: &[TextFile]) -> Vec<Finding> {
    let manifests = files.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    let mut findings = Vec::new();
    for file in manifests {
        match file.text.parse::<Table>() {
            Ok(table) => {
                findings.extend(check_manifest(file, &table));
                findings.extend(on_the_map(file, &table, files));
            }
            Err(error) => findings.push(Finding::new(&file.path, 0, format!("is not TOML: {}", error.message()))),
        }
    }
    findings
}

fn check_manifest(file: &TextFile, manifest: &Table) -> Vec<Finding> {
    let name = package_name(manifest);
    let mut findings = Vec::new();
    let arrows = ARROWS.iter().find(|(of, _)| *of == name).map(|(_, arrows)| *arrows);
    let is_program = PROGRAMS.contains(&name);
    if arrows.is_none() && !is_program {
        let message =
            format!("crate `{name}` has no place in the arrows; hint: write a decision, then xtask/src/tidy/arrows.rs");
        findings.push(Finding::new(&file.path, 0, message));
    }
    for (dependency, is_dev) in dependencies(manifest) {
        let line = line_naming(&file.text, &dependency);
        if dependency.starts_with("rdkafka") && !KAFKA_CLIENT.contains(&name) {
            findings.push(Finding::new(
                &file.path,
                line,
                "only stream-kafka (and stream-bench) depends on the Kafka client",
            ));
        }
        let ours = dependency.starts_with("stream-") || dependency == "xtask";
        let in_tests = is_dev && (dependency == "stream-testkit" || for_tests(name).contains(&dependency.as_str()));
        let allowed = is_program || in_tests || arrows.is_none_or(|arrows| arrows.contains(&dependency.as_str()));
        if ours && !allowed {
            let message =
                format!("`{name}` may not depend on `{dependency}`; hint: a new arrow needs a decision first");
            findings.push(Finding::new(&file.path, line, message));
        }
    }
    findings
}

fn for_tests(name: &str) -> &'static [&'static str] {
    FOR_TESTS.iter().find(|(of, _)| *of == name).map_or(&[], |(_, more)| more)
}

/// Every crate under crates/ stands in ARCHITECTURE.md and in README.md, where these exist.
fn on_the_map(file: &TextFile, manifest: &Table, files: &[TextFile]) -> Vec<Finding> {
    if !file.path.starts_with("crates/") {
        return Vec::new();
    }
    let name = package_name(manifest);
    let maps = files.iter().filter(|file| ["ARCHITECTURE.md", "README.md"].contains(&file.path.as_str()));
    maps.filter(|map| !map.text.contains(name))
        .map(|map| Finding::new(&map.path, 0, format!("does not name the crate `{name}`")))
        .collect()
}

fn package_name(manifest: &Table) -> &str {
    manifest.get("package").and_then(|package| package.get("name")).and_then(|name| name.as_str()).unwrap_or("?")
}

/// (package, whether it is for tests only) of every dependency, those of single targets included.
fn dependencies(manifest: &Table) -> Vec<(String, bool)> {
    let of_targets = manifest.get("target").and_then(|targets| targets.as_table()).into_iter().flat_map(Table::values);
    let tables = of_targets.filter_map(|target| target.as_table()).chain([manifest]);
    let mut found = Vec::new();
    for table in tables {
        for (kind, is_dev) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
            for (key, value) in table.get(kind).and_then(|kind| kind.as_table()).into_iter().flatten() {
                let package = value.get("package").and_then(|package| package.as_str()).unwrap_or(key);
                found.push((package.to_owned(), is_dev));
            }
        }
    }
    found
}

/// The first line that begins with `word`, or 0.
fn line_naming(text: &str, word: &str) -> usize {
    text.lines().position(|line| line.trim_start().starts_with(word)).map_or(0, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, rest: &str) -> TextFile {
        let text = format!("[package]\nname = \"{name}\"\n{rest}\n");
        TextFile { path: format!("crates/{name}/Cargo.toml"), text }
    }

    fn found(files: &[TextFile]) -> Vec<String> {
        check(files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_point_one_way() {
        let good = manifest("stream-kafka", "[dependencies]\nstream-core.workspace = true");
        assert_eq!(found(&[good]), [""; 0]);
        let bad = manifest("stream-core", "[dependencies]\nstream-kafka.workspace = true");
        assert_eq!(
            found(&[bad]),
            [
                "crates/stream-core/Cargo.toml:4: `stream-core` may not depend on `stream-kafka`; hint: a new arrow needs a decision first"
            ]
        );
    }

    #[test]
    fn renamed_and_target_dependencies_count() {
        let renamed = manifest("stream-conf", "[dependencies]\ncore = { package = \"stream-core\", path = \"x\" }");
        assert_eq!(found(&[renamed]).len(), 1);
        let of_target = manifest("stream-conf", "[target.'cfg(unix)'.dependencies]\nstream-core.workspace = true");
        assert_eq!(found(&[of_target]).len(), 1);
    }

    #[test]
    fn the_testkit_is_for_tests_and_programs() {
        let tests = manifest("stream-kafka", "[dev-dependencies]\nstream-testkit.workspace = true");
        let program = manifest("stream-bench", "[dependencies]\nstream-testkit.workspace = true");
        assert_eq!(found(&[tests, program]), [""; 0]);
        let library = manifest("stream-kafka", "[dependencies]\nstream-testkit.workspace = true");
        assert_eq!(found(&[library]).len(), 1);
    }

    #[test]
    fn only_stream_kafka_depends_on_the_client() {
        assert_eq!(found(&[manifest("stream-kafka", "[dependencies]\nrdkafka.workspace = true")]), [""; 0]);
        assert_eq!(found(&[manifest("stream-core", "[dev-dependencies]\nrdkafka-sys = \"4\"")]).len(), 1);
    }

    #[test]
    fn an_unknown_crate_needs_a_decision() {
        assert!(found(&[manifest("stream-extra", "")])[0].contains("`stream-extra` has no place in the arrows"));
    }

    #[test]
    fn every_crate_is_on_the_map() {
        let map = TextFile { path: "ARCHITECTURE.md".to_owned(), text: "stream-conf".to_owned() };
        assert_eq!(found(&[map.clone(), manifest("stream-conf", "")]), [""; 0]);
        let missing = found(&[map, manifest("stream-core", "")]);
        assert_eq!(missing, ["ARCHITECTURE.md: does not name the crate `stream-core`"]);
    }

    #[test]
    fn a_broken_manifest_is_a_finding() {
        assert_eq!(found(&[manifest("stream-core", "[dependencies")]).len(), 1);
    }
}
