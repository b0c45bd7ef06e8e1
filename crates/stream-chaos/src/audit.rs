//! The audit: everything that was written against what the input comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use stream_core::{Error, ErrorKind, Result};

use crate::events::{Input, Oracle};
use crate::job::window_line;

/// How many faults of a kind are told.
const TOLD: usize = 5;

/// What is wrong, one line each.
#[derive(Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, what: &str, faults: impl IntoIterator<Item = String>) {
        let faults: Vec<String> = faults.into_iter().collect();
        if !faults.is_empty() {
            let more = faults.len().saturating_sub(TOLD);
            let told = faults.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            self.0.push(format!("{what}: {told}{more}"));
        }
    }

    pub(crate) fn result(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Data, format!("the audit has found faults\n  {}", self.0.join("\n  "))))
    }
}

/// A line of the running counts.
fn numbered(line: &str) -> Option<(u64, u64, u64)> {
    let mut parts = line.split(',').map(str::parse);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(id)), Some(Ok(key)), Some(Ok(number)), None) => Some((id, key, number)),
        _ => None,
    }
}

/// Every record is there, and when repeats are removed every count is what it should be.
pub(crate) fn counts_at_least_once(faults: &mut Faults, lines: &[String], input: Input, count: u64, oracle: &Oracle) {
    let (mut seen, mut greatest, mut strange) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
    for line in lines {
        match numbered(line) {
            Some((id, key, number)) if id < count && input.event(id).key == key => {
                seen.insert(id);
                let greatest: &mut u64 = greatest.entry(key).or_default();
                *greatest = number.max(*greatest);
            }
            _ => strange.push(line.clone()),
        }
    }
    faults.add("counts: lines that nobody wrote", strange);
    faults.add("counts: records lost", (0..count).filter(|id| !seen.contains(id)).map(|id| id.to_string()));
    let wrong = oracle.counts.iter().filter(|(key, count)| greatest.get(key) != Some(count));
    faults.add("counts: wrong", wrong.map(|(key, count)| format!("key {key} {:?}, not {count}", greatest.get(key))));
}

/// Every window is there with its result, and with no other.
pub(crate) fn windows_at_least_once(faults: &mut Faults, lines: &[String], oracle: &Oracle) {
    let expected: BTreeSet<String> = window_lines(oracle).into_iter().collect();
    let found: BTreeSet<String> = lines.iter().cloned().collect();
    faults.add("windows: missing", expected.difference(&found).cloned());
    faults.add("windows: too much", found.difference(&expected).cloned());
}

fn window_lines(oracle: &Oracle) -> Vec<String> {
    oracle.windows.iter().map(|((start, key), (count, sum))| window_line(*start, *key, *count, *sum)).collect()
}

/// Each key shows 1 to n, each once.
pub(crate) fn counts_exactly_once(faults: &mut Faults, lines: &[String], oracle: &Oracle) {
    let mut numbers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let (mut ids, mut twice) = (BTreeSet::new(), Vec::new());
    for (id, key, number) in lines.iter().filter_map(|line| numbered(line)) {
        numbers.entry(key).or_default().push(number);
        if !ids.insert(id) {
            twice.push(id.to_string());
        }
    }
    faults.add("counts in files: records twice", twice);
    let wrong = oracle.counts.iter().filter_map(|(key, count)| {
        let mut shown = numbers.remove(key).unwrap_or_default();
        shown.sort_unstable();
        (!shown.iter().copied().eq(1..=*count))
            .then(|| format!("key {key} shows {} numbers, not 1 to {count}", shown.len()))
    });
    faults.add("counts in files: wrong", wrong.collect::<Vec<_>>());
    faults.add("counts in files: keys that do not exist", numbers.keys().map(u64::to_string));
}

/// The sorted lines are those of the oracle, byte for byte.
pub(crate) fn windows_exactly_once(faults: &mut Faults, lines: &[String], oracle: &Oracle) {
    let (mut expected, mut found) = (window_lines(oracle), lines.to_vec());
    expected.sort_unstable();
    found.sort_unstable();
    if expected == found {
        return;
    }
    let twice = found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone());
    faults.add("windows in files: twice", twice.collect::<Vec<_>>());
    let differs = expected.iter().zip(&found).find(|(a, b)| a != b);
    let told = differs.map(|(expected, found)| format!("{found}, expected {expected}"));
    let told = told.unwrap_or_else(|| format!("{} lines, expected {}", found.len(), expected.len()));
    faults.add("windows in files: first difference", [told]);
}

/// All lines of the files that are published in a directory.
pub(crate) fn published(dir: &Path) -> Result<Vec<String>> {
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Unavailable, format!("can't read {}: {error}", dir.display())).with_cause(error)
    };
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).map_err(failed)?;
        // JSON strings without anything to escape.
        lines.extend(text.lines().map(|line| line.trim_matches('"').to_owned()));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: Input = Input { seed: 3, start: 1_700_000_000_000 };
    const COUNT: u64 = 2_000;

    /// What a job without faults writes.
    fn written() -> (Vec<String>, Vec<String>, Oracle) {
        let mut numbers: BTreeMap<u64, u64> = BTreeMap::new();
        let counts = (0..COUNT).map(|id| {
            let key = INPUT.event(id).key;
            let number = numbers.entry(key).or_default();
            *number += 1;
            format!("{id},{key},{number}")
        });
        let oracle = Oracle::of(INPUT, COUNT);
        (counts.collect(), window_lines(&oracle), oracle)
    }

    fn faults(counts: &[String], windows: &[String], oracle: &Oracle) -> [bool; 4] {
        let check = |check: &dyn Fn(&mut Faults)| {
            let mut faults = Faults::default();
            check(&mut faults);
            faults.result().is_err()
        };
        [
            check(&|f| counts_at_least_once(f, counts, INPUT, COUNT, oracle)),
            check(&|f| windows_at_least_once(f, windows, oracle)),
            check(&|f| counts_exactly_once(f, counts, oracle)),
            check(&|f| windows_exactly_once(f, windows, oracle)),
        ]
    }

    #[test]
    fn nothing_is_found_where_nothing_is_wrong() {
        let (counts, windows, oracle) = written();
        assert_eq!(faults(&counts, &windows, &oracle), [false; 4]);
    }

    #[test]
    fn what_is_lost_is_found_in_both_modes() {
        let (mut counts, mut windows, oracle) = written();
        counts.remove(100);
        windows.remove(10);
        assert_eq!(faults(&counts, &windows, &oracle), [true; 4]);
    }

    #[test]
    fn repeats_are_a_fault_in_files_only() {
        let (mut counts, mut windows, oracle) = written();
        counts.push(counts[7].clone());
        windows.push(windows[7].clone());
        assert_eq!(faults(&counts, &windows, &oracle), [false, false, true, true]);
    }

    #[test]
    fn wrong_numbers_are_found() {
        let (mut counts, mut windows, oracle) = written();
        let key = INPUT.event(0).key;
        let last =
            counts.iter().rposition(|line| numbered(line).is_some_and(|(_, k, _)| k == key)).expect("there is one");
        let (id, _, number) = numbered(&counts[last]).expect("a line");
        counts[last] = format!("{id},{key},{}", number + 1);
        windows[0] = windows[0].replacen(',', ",9", 1);
        assert_eq!(faults(&counts, &windows, &oracle), [true; 4]);
    }
}
