//! Checks on pages and other text: the book is whole, links lead somewhere, code blocks compile, no machine's paths.

use super::code::{blank, line_of, test_items};
use super::{Finding, TextFile};

const BOOK: &str = "docs/src/";
const SUMMARY: &str = "docs/src/SUMMARY.md";
/// Doctests of the book live in the examples crate: `#[doc = include_str!("../../docs/src/page.md")]`.
const BOOK_TESTS: &str = "examples/src/";

/// All checks that look at pages.
pub(super) fn check(files: &[TextFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in files.iter().filter(|file| file.path.ends_with(".md")) {
        findings.extend(broken_links(page, files));
        findings.extend(ignored_blocks(page));
        if page.path.starts_with(BOOK) && page.path != SUMMARY {
            findings.extend(in_summary(page, files));
            findings.extend(compiled(page, files));
        }
    }
    for source in files.iter().filter(|file| file.path.ends_with(".rs")) {
        findings.extend(ignored_blocks(source));
    }
    findings
}

/// A page that the table of contents does not name is never shown.
fn in_summary(page: &TextFile, files: &[TextFile]) -> Option<Finding> {
    let summary = files.iter().find(|file| file.path == SUMMARY);
    let named = summary.is_some_and(|summary| links(summary).any(|(_, target)| resolve(SUMMARY, &target) == page.path));
    (!named).then(|| Finding::new(&page.path, 0, format!("is not in {SUMMARY}")))
}

/// A page with Rust blocks is a doctest of the examples crate.
fn compiled(page: &TextFile, files: &[TextFile]) -> Option<Finding> {
    let (line, _) = fences(&page.text).find(|(_, info)| is_rust(info))?;
    let included = format!("{}\")", page.path);
    let is_test = files.iter().any(|file| file.path.starts_with(BOOK_TESTS) && file.text.contains(&included));
    let hint = format!("hint: `#[doc = include_str!(\"../../{}\")]` in {BOOK_TESTS}lib.rs", page.path);
    (!is_test).then(|| Finding::new(&page.path, line, format!("this Rust block is compiled by no test; {hint}")))
}

/// ` ```ignore ` is a block that rots.
fn ignored_blocks(file: &TextFile) -> Vec<Finding> {
    let message = "an ignored code block never compiles; hint: no_run, compile_fail, or text";
    let is_ignored = |info: &str| info.split([',', ' ']).any(|word| word.trim() == "ignore");
    fences(&file.text)
        .filter(|(_, info)| is_ignored(info))
        .map(|(line, _)| Finding::new(&file.path, line, message))
        .collect()
}

fn is_rust(info: &str) -> bool {
    info.split([',', ' ']).next().is_some_and(|language| language == "rust")
}

/// (line, info string) of every opened code block, in Markdown or in documentation comments.
fn fences(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut open = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let line = line.trim_start();
        let line = ["///", "//!"].iter().find_map(|comment| line.strip_prefix(comment)).unwrap_or(line);
        let info = line.trim_start().strip_prefix("```")?;
        open = !open;
        open.then_some((index + 1, info.trim()))
    })
}

/// Every relative link leads to a file or folder of the repository.
fn broken_links(page: &TextFile, files: &[TextFile]) -> Vec<Finding> {
    let exists = |path: &str| {
        let folder = format!("{path}/");
        path.is_empty() || files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    };
    links(page)
        .filter(|(_, target)| !target.contains("://") && !target.starts_with("mailto:") && !target.starts_with('#'))
        .filter(|(_, target)| !exists(&resolve(&page.path, target)))
        .map(|(line, target)| Finding::new(&page.path, line, format!("the link `{target}` leads nowhere")))
        .collect()
}

/// (line, target) of every `[text](target)` and `[name]: target` outside code.
fn links(page: &TextFile) -> impl Iterator<Item = (usize, String)> {
    let mut in_code = false;
    let mut found = Vec::new();
    for (index, line) in page.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // The parts at odd places are inline code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for (at, _) in prose.match_indices("](") {
            let target = prose[at + 2..].split([')', ' ']).next().unwrap_or_default();
            found.push((index + 1, target.to_owned()));
        }
        if let Some((_, target)) = prose.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            found.push((index + 1, target.split_whitespace().next().unwrap_or_default().to_owned()));
        }
    }
    found.into_iter()
}

/// The path in the repository that `target` means on the page at `from`.
fn resolve(from: &str, target: &str) -> String {
    let target = target.split(['#', '?']).next().unwrap_or_default();
    if target.is_empty() {
        return from.to_owned();
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                // Above the repository is nowhere, and no file has this name.
                if parts.pop().is_none() {
                    parts.push("..");
                }
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Absolute paths of somebody's machine: home and scratch folders, and where this checkout lies. Tests may name them.
pub(super) fn machine_paths(file: &TextFile, checkout: &str) -> Vec<Finding> {
    let TextFile { path, text } = file;
    let is_rust = path.ends_with(".rs");
    if is_rust && (path.contains("/tests/") || path.ends_with("/tests.rs")) {
        return Vec::new();
    }
    let spared = if is_rust { test_items(&blank(text)) } else { Vec::new() };
    // Put together here, so that this file does not contain them.
    let mut roots: Vec<String> = ["home", "root", "tmp"].iter().map(|folder| format!("/{folder}/")).collect();
    if checkout.matches('/').count() > 1 {
        roots.push(checkout.to_owned());
    }
    let mut findings = Vec::new();
    for root in &roots {
        for (offset, _) in text.match_indices(root.as_str()) {
            // `https://host/home/` and `a/tmp/b` are no paths of a machine.
            let inside = text[..offset].ends_with(|c: char| c.is_alphanumeric() || "._-}~".contains(c));
            if !inside && !spared.iter().any(|item| item.contains(&offset)) {
                findings.push(Finding::new(path, line_of(text, offset), format!("`{root}` is a path of one machine")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    fn found(files: &[TextFile]) -> Vec<String> {
        check(files).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_page_is_in_the_summary() {
        let summary = file(SUMMARY, "- [A](guide/a.md)\n");
        let a = file("docs/src/guide/a.md", "# A\n");
        assert_eq!(found(&[summary.clone(), a.clone()]), [""; 0]);
        let b = file("docs/src/b.md", "# B\n");
        assert_eq!(found(&[summary, a, b]), ["docs/src/b.md: is not in docs/src/SUMMARY.md"]);
    }

    #[test]
    fn links_lead_to_files_and_folders() {
        let readme =
            file("README.md", "[book](docs/src/a.md#part) [map](docs) [site](https://example.com)\n[top](#top)\n");
        let summary = file(SUMMARY, "[A](a.md)\n");
        let page = file("docs/src/a.md", "[up](../../README.md)\n");
        assert_eq!(found(&[readme, summary, page]), [""; 0]);
    }

    #[test]
    fn broken_links_are_named() {
        let page = file("README.md", "one\n[gone](docs/gone.md) [above](../x.md)\n\n[ref]: missing.md\n");
        assert_eq!(
            found(&[page]),
            [
                "README.md:2: the link `docs/gone.md` leads nowhere",
                "README.md:2: the link `../x.md` leads nowhere",
                "README.md:4: the link `missing.md` leads nowhere",
            ]
        );
    }

    #[test]
    fn code_holds_no_links() {
        let page = file("README.md", "`a[0](x)` and\n```rust\nlet a = b[0](c);\n```\n");
        assert_eq!(found(&[page]), [""; 0]);
    }

    #[test]
    fn rust_blocks_of_the_book_are_compiled() {
        let summary = file(SUMMARY, "[A](a.md)\n");
        let page = file("docs/src/a.md", "# A\n```rust\nlet a = 1;\n```\n");
        let tests = file("examples/src/lib.rs", "#[doc = include_str!(\"../../docs/src/a.md\")]\n");
        assert_eq!(found(&[summary.clone(), page.clone(), tests]), [""; 0]);
        let missing = found(&[summary, page]);
        assert!(missing[0].starts_with("docs/src/a.md:2: this Rust block is compiled by no test"), "{missing:?}");
    }

    #[test]
    fn ignored_blocks_are_found_in_pages_and_sources() {
        let page = file("README.md", "```rust,ignore\n```\n```yaml\n```\n");
        let source = file("crates/a/src/lib.rs", "//! ```\n//! ```\n/// ```ignore\n/// ```\n");
        let found = found(&[page, source]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("README.md:1: ") && found[1].starts_with("crates/a/src/lib.rs:3: "));
    }

    #[test]
    fn machine_paths_are_found() {
        let count = |path: &str, text: &str| machine_paths(&file(path, text), "/srv/checkout").len();
        assert_eq!(count("docs/a.md", "see /home/me/x and /tmp/y"), 2);
        assert_eq!(count("a.yaml", "file: \"/root/.x\""), 1);
        assert_eq!(count("a.yaml", "dir: /srv/checkout/data"), 1);
        assert_eq!(count("a.md", "https://example.com/home/page, ./tmp/x, target/tmp/y"), 0);
        assert_eq!(count("a/src/b.rs", "fn f() {}\n#[cfg(test)]\nmod tests { const A: &str = \"/tmp/x\"; }"), 0);
        assert_eq!(count("a/src/b.rs", "const A: &str = \"/tmp/x\";"), 1);
        assert_eq!(count("a/tests/b.rs", "const A: &str = \"/tmp/x\";"), 0);
    }

    #[test]
    fn links_resolve_like_a_browser() {
        assert_eq!(resolve("docs/src/guide/a.md", "../b.md#x"), "docs/src/b.md");
        assert_eq!(resolve("README.md", "./docs/"), "docs");
        assert_eq!(resolve("README.md", "../x.md"), "../x.md");
    }
}
