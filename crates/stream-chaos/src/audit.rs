//! The audit: everything that was written against what the input comes to.
//!
//! Each check finds one kind of fault and says which records show it; none of them reads anything itself.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use stream_core::{Error, ErrorKind, Result};

use crate::events::{Oracle, PARTITIONS, partition};
use crate::job::window_line;

/// How many faults of a kind are told.
const TOLD: usize = 5;

/// A record of an output topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) value: String,
}

impl Line {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What is wrong, one line for each kind of fault.
pub(crate) struct Audit<'a> {
    oracle: &'a Oracle,
    faults: Vec<String>,
}

impl<'a> Audit<'a> {
    pub(crate) fn new(oracle: &'a Oracle) -> Audit<'a> {
        Audit { oracle, faults: Vec::new() }
    }

    fn add(&mut self, what: &str, faults: impl IntoIterator<Item = String>) {
        let faults: Vec<String> = faults.into_iter().collect();
        if !faults.is_empty() {
            let more = faults.len().saturating_sub(TOLD);
            let told = faults.iter().take(TOLD).map(String::as_str).collect::<Vec<_>>().join("; ");
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            self.faults.push(format!("{what}: {told}{more}"));
        }
    }

    pub(crate) fn result(self) -> Result<()> {
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Data, format!("the audit has found faults\n  {}", self.faults.join("\n  "))))
    }

    /// Every record is there, and when repeats are removed every count is what it should be.
    pub(crate) fn counts_at_least_once<'l>(&mut self, place: &str, lines: impl Iterator<Item = &'l str>) {
        let mut greatest: BTreeMap<u64, u64> = BTreeMap::new();
        for (_, key, number) in self.known(place, lines) {
            let greatest = greatest.entry(key).or_default();
            *greatest = number.max(*greatest);
        }
        let wrong = self.oracle.counts.iter().filter(|(key, count)| greatest.get(key) != Some(count));
        let told = wrong.map(|(key, count)| format!("key {key} {:?}, not {count}", greatest.get(key)));
        self.add(&format!("counts in {place}: wrong"), told.collect::<Vec<_>>());
    }

    /// Every record is there once, and each key shows 1 to n, each once.
    pub(crate) fn counts_exactly_once<'l>(&mut self, place: &str, lines: impl Iterator<Item = &'l str>) {
        let mut numbers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let (mut ids, mut twice) = (BTreeSet::new(), Vec::new());
        for (id, key, number) in self.known(place, lines) {
            numbers.entry(key).or_default().push(number);
            if !ids.insert(id) {
                twice.push(id.to_string());
            }
        }
        self.add(&format!("counts in {place}: records twice"), twice);
        let wrong = self.oracle.counts.iter().filter_map(|(key, count)| {
            let mut shown = numbers.remove(key).unwrap_or_default();
            shown.sort_unstable();
            (!shown.iter().copied().eq(1..=*count))
                .then(|| format!("key {key} shows {} numbers, not 1 to {count}", shown.len()))
        });
        self.add(&format!("counts in {place}: wrong"), wrong.collect::<Vec<_>>());
    }

    /// Id, key and number of the lines that are good records of the input; what is strange or lost is a fault.
    fn known<'l>(&mut self, place: &str, lines: impl Iterator<Item = &'l str>) -> Vec<(u64, u64, u64)> {
        let (mut known, mut seen, mut strange) = (Vec::new(), BTreeSet::new(), Vec::new());
        for line in lines {
            match numbered(line) {
                Some((id, key, number)) if self.oracle.good(id).is_some_and(|event| event.key == key) => {
                    seen.insert(id);
                    known.push((id, key, number));
                }
                _ => strange.push(line.to_owned()),
            }
        }
        self.add(&format!("counts in {place}: lines that nobody wrote"), strange);
        let expected = (0..self.oracle.records).filter(|id| !self.oracle.bad.contains(id));
        let lost: Vec<_> = expected.filter(|id| !seen.contains(id)).map(|id| id.to_string()).collect();
        self.add(&format!("counts in {place}: records lost"), lost);
        known
    }

    /// The records of a key are in one partition, in the order of their numbers; and those that came from one
    /// partition of the input are in the order in which they stood there.
    pub(crate) fn order(&mut self, records: &[Line]) {
        #[derive(Default)]
        struct Key {
            partition: i32,
            number: u64,
            /// The last id of each partition of the input.
            ids: [Option<u64>; PARTITIONS as usize],
        }
        let mut sorted: Vec<&Line> = records.iter().collect();
        sorted.sort_by_key(|record| (record.partition, record.offset));
        let mut keys: BTreeMap<u64, Key> = BTreeMap::new();
        let (mut spread, mut numbers, mut input) = (Vec::new(), Vec::new(), Vec::new());
        for record in sorted {
            let Some((id, key, number)) = numbered(&record.value) else { continue };
            let place = format!("key {key} at {}@{}", record.partition, record.offset);
            let seen = keys.entry(key).or_insert_with(|| Key { partition: record.partition, ..Key::default() });
            if seen.partition != record.partition {
                spread.push(format!("{place} and in partition {}", seen.partition));
                continue;
            }
            if number <= seen.number {
                numbers.push(format!("{place}: {number} after {}", seen.number));
            }
            let before = seen.ids[partition(id) as usize].replace(id);
            if let Some(before) = before.filter(|before| *before >= id) {
                input.push(format!("{place}: record {id} after {before}"));
            }
            seen.number = number;
        }
        self.add("order: keys in two partitions", spread);
        self.add("order: numbers", numbers);
        self.add("order: records of one input partition", input);
    }

    /// The key of each record in Kafka is the one in its line.
    pub(crate) fn keys(&mut self, what: &str, records: &[Line]) {
        let wrong = records.iter().filter(|record| record.key.as_deref() != record.value.split(',').nth(1));
        self.add(&format!("{what}: keys"), wrong.map(|record| format!("{:?} of {}", record.key, record.value)));
    }

    /// Every window is there with its result, and with no other.
    pub(crate) fn windows_at_least_once<'l>(&mut self, place: &str, lines: impl Iterator<Item = &'l str>) {
        let expected = self.window_lines();
        let (expected, found): (BTreeSet<&str>, BTreeSet<&str>) =
            (expected.iter().map(String::as_str).collect(), lines.collect());
        let told = |lines: Vec<&&str>| lines.into_iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        self.add(&format!("windows in {place}: missing"), told(expected.difference(&found).collect()));
        self.add(&format!("windows in {place}: too much"), told(found.difference(&expected).collect()));
    }

    /// The sorted lines are those of the oracle, byte for byte.
    pub(crate) fn windows_exactly_once<'l>(&mut self, place: &str, lines: impl Iterator<Item = &'l str>) {
        let (expected, mut found) = (self.window_lines(), lines.collect::<Vec<_>>());
        let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        expected.sort_unstable();
        found.sort_unstable();
        if expected == found {
            return;
        }
        let twice = found.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned());
        self.add(&format!("windows in {place}: twice"), twice.collect::<Vec<_>>());
        let differs = expected.iter().zip(&found).find(|(a, b)| a != b);
        let told = differs.map(|(expected, found)| format!("{found}, expected {expected}"));
        let told = told.unwrap_or_else(|| format!("{} lines, expected {}", found.len(), expected.len()));
        self.add(&format!("windows in {place}: first difference"), [told]);
    }

    fn window_lines(&self) -> Vec<String> {
        let windows = self.oracle.windows.iter();
        windows.map(|((start, key), (count, sum))| window_line(*start, *key, *count, *sum)).collect()
    }

    /// Every bad record is there as it came, with headers that say from where; if `once`, none of them twice.
    pub(crate) fn dead_letters(&mut self, records: &[Line], input_topic: &str, once: bool) {
        let (mut seen, mut twice, mut strange, mut origins) = (BTreeSet::new(), Vec::new(), Vec::new(), Vec::new());
        for record in records {
            let Some(id) = self.oracle.input.bad(&record.value).filter(|id| self.oracle.bad.contains(id)) else {
                strange.push(record.value.clone());
                continue;
            };
            if !seen.insert(id) {
                twice.push(id.to_string());
            }
            let origin = ["topic", "partition", "offset"].map(|of| record.header(&format!("__streams.errors.{of}")));
            let (partition, offset) = (partition(id).to_string(), (id / PARTITIONS as u64).to_string());
            if origin != [Some(input_topic), Some(&*partition), Some(&*offset)] {
                origins.push(format!("{origin:?} of {}", record.value));
            }
        }
        let missing: Vec<_> = self.oracle.bad.difference(&seen).map(u64::to_string).collect();
        self.add("dead letters: missing", missing);
        self.add("dead letters: of no bad record", strange);
        self.add("dead letters: headers", origins);
        if once {
            self.add("dead letters: twice", twice);
        }
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
