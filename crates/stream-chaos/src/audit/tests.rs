//! What a job without faults writes passes; each kind of fault is found by the checks that are there for it.

use super::*;
use crate::events::Input;

const INPUT: Input = Input { seed: 3, start: 1_700_000_000_000 };
const COUNT: u64 = 2_000;
const TOPIC: &str = "input";

/// What is in files and topics.
struct Written {
    counts: Vec<Line>,
    windows: Vec<Line>,
    letters: Vec<Line>,
    oracle: Oracle,
}

type Check<'a> = &'a dyn Fn(&mut Audit<'_>);

/// What a job without faults writes.
fn written() -> Written {
    let oracle = Oracle::of(INPUT, COUNT);
    let mut offsets = [0; PARTITIONS as usize];
    let mut line = |key: u64, value: String| {
        let partition = (key % PARTITIONS as u64) as i32;
        offsets[partition as usize] += 1;
        let offset = offsets[partition as usize];
        Line { partition, offset, key: Some(key.to_string()), headers: Vec::new(), value }
    };
    let mut numbers: BTreeMap<u64, u64> = BTreeMap::new();
    let good = (0..COUNT).filter_map(|id| oracle.good(id));
    let counts = good.map(|event| {
        let number = numbers.entry(event.key).or_default();
        *number += 1;
        line(event.key, format!("{},{},{number}", event.id, event.key))
    });
    let counts = counts.collect();
    let windows = Audit::new(&oracle).window_lines().into_iter();
    let windows = windows.map(|window| line(window.split(',').nth(1).unwrap().parse().unwrap(), window)).collect();
    let letters = oracle.bad.iter().map(|id| {
        let origin = [TOPIC.to_owned(), partition(*id).to_string(), (id / PARTITIONS as u64).to_string()];
        let names = ["topic", "partition", "offset"].map(|of| format!("__streams.errors.{of}"));
        let headers = names.into_iter().zip(origin).collect();
        Line { partition: 0, offset: 0, key: None, headers, value: INPUT.line(*id) }
    });
    Written { counts, windows, letters: letters.collect(), oracle }
}

impl Written {
    /// The names of the checks that find something.
    fn found(&self) -> Vec<&'static str> {
        let counts = || self.counts.iter().map(|line| line.value.as_str());
        let windows = || self.windows.iter().map(|line| line.value.as_str());
        let checks: [(&str, Check<'_>); 9] = [
            ("counts at least", &|a| a.counts_at_least_once("Kafka", counts())),
            ("counts exactly", &|a| a.counts_exactly_once("Kafka", counts())),
            ("order", &|a| a.order(&self.counts)),
            ("count keys", &|a| a.keys("counts", &self.counts)),
            ("windows at least", &|a| a.windows_at_least_once("Kafka", windows())),
            ("windows exactly", &|a| a.windows_exactly_once("Kafka", windows())),
            ("window keys", &|a| a.keys("windows", &self.windows)),
            ("letters at least", &|a| a.dead_letters(&self.letters, TOPIC, false)),
            ("letters exactly", &|a| a.dead_letters(&self.letters, TOPIC, true)),
        ];
        let finds = |check: Check<'_>| {
            let mut audit = Audit::new(&self.oracle);
            check(&mut audit);
            audit.result().is_err()
        };
        checks.into_iter().filter(|(_, check)| finds(check)).map(|(name, _)| name).collect()
    }

    /// The places of the first two records of a key that has several, and more than one between them.
    fn two_of_a_key(&self) -> (usize, usize) {
        let key = self.oracle.counts.iter().find(|(_, count)| **count > 2).map(|(key, _)| key.to_string());
        let mut places = (0..self.counts.len()).filter(|at| self.counts[*at].key == key);
        (places.next().unwrap(), places.next().unwrap())
    }
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    assert_eq!(written().found(), [""; 0]);
}

#[test]
fn what_is_lost_is_found_whatever_the_promise() {
    let mut written = written();
    written.counts.remove(100);
    written.windows.remove(10);
    written.letters.remove(1);
    let found = ["counts at least", "counts exactly", "windows at least", "windows exactly"];
    assert_eq!(written.found(), [&found[..], &["letters at least", "letters exactly"]].concat());
}

#[test]
fn repeats_are_a_fault_under_exactly_once_only() {
    let mut written = written();
    let (mut count, mut window) = (written.counts[7].clone(), written.windows[7].clone());
    (count.offset, window.offset) = (1_000_000, 1_000_000);
    written.counts.push(count);
    written.windows.push(window);
    written.letters.push(written.letters[0].clone());
    assert_eq!(written.found(), ["counts exactly", "order", "windows exactly", "letters exactly"]);
}

#[test]
fn numbers_that_change_places_are_out_of_order() {
    let mut written = written();
    let (a, b) = written.two_of_a_key();
    let offset = written.counts[a].offset;
    written.counts[a].offset = written.counts[b].offset;
    written.counts[b].offset = offset;
    assert_eq!(written.found(), ["order"]);
}

#[test]
fn records_that_change_numbers_are_out_of_order() {
    // The numbers ascend, but the records behind them don't: two of one partition of the input have changed places.
    let mut written = written();
    let lines = written.counts.iter().enumerate().map(|(at, line)| (at, numbered(&line.value).unwrap()));
    let mut first = BTreeMap::new();
    let pair = lines
        .into_iter()
        .find_map(|(at, (id, key, _))| first.insert((key, partition(id)), at).map(|before| (before, at)));
    let (a, b) = pair.expect("a key has two records of one partition");
    let ((id_a, key, number_a), (id_b, _, number_b)) =
        (numbered(&written.counts[a].value).unwrap(), numbered(&written.counts[b].value).unwrap());
    written.counts[a].value = format!("{id_b},{key},{number_a}");
    written.counts[b].value = format!("{id_a},{key},{number_b}");
    assert_eq!(written.found(), ["order"]);
}

#[test]
fn a_key_in_two_partitions_and_a_wrong_key_are_found() {
    let mut written = written();
    let (_, b) = written.two_of_a_key();
    written.counts[b].partition = (written.counts[b].partition + 1) % PARTITIONS;
    written.windows[3].key = None;
    assert_eq!(written.found(), ["order", "window keys"]);
}

#[test]
fn wrong_numbers_are_found() {
    let mut written = written();
    let last = written.counts.len() - 1;
    let (id, key, number) = numbered(&written.counts[last].value).unwrap();
    written.counts[last].value = format!("{id},{key},{}", number + 1);
    written.windows[0].value = written.windows[0].value.clone() + "9";
    assert_eq!(written.found(), ["counts at least", "counts exactly", "windows at least", "windows exactly"]);
}

#[test]
fn a_bad_record_that_was_counted_is_found() {
    let mut written = written();
    let event = INPUT.event(*written.oracle.bad.first().unwrap());
    written.counts[5].value = format!("{},{},1", event.id, event.key);
    written.counts[5].key = Some(event.key.to_string());
    let found = written.found();
    assert!(found.starts_with(&["counts at least", "counts exactly"]), "{found:?}");
}

#[test]
fn a_dead_letter_that_is_changed_or_tells_another_origin_is_found() {
    let letters = ["letters at least", "letters exactly"];
    let mut changed = written();
    changed.letters[0].value.push('0');
    assert_eq!(changed.found(), letters);
    let mut elsewhere = written();
    elsewhere.letters[0].headers[2].1 = "99999".to_owned();
    assert_eq!(elsewhere.found(), letters);
    let mut silent = written();
    silent.letters[0].headers.clear();
    assert_eq!(silent.found(), letters);
}
