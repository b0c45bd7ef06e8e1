//! What the job reads, and whether what it has written is what it should have.

use std::collections::BTreeMap;

use super::world::Random;
use crate::sim::{FakeKafka, FakeRecord};

pub(super) const FROM: &str = "from";
pub(super) const TO: &str = "to";
pub(super) const DEAD: &str = "dead";
pub(super) const MARKERS: &str = "markers";
pub(super) const GROUP: &str = "readers";

/// Records, some of them bad, in the order in which they are appended.
#[derive(Clone, Debug)]
pub(super) struct Input {
    pub(super) partitions: i32,
    records: Vec<Appended>,
    appended: usize,
    /// By partition, the offset after the last record.
    ends: BTreeMap<i32, i64>,
    /// The offset after the last record that anybody sees.
    seen: BTreeMap<i32, i64>,
}

#[derive(Clone, Debug)]
struct Appended {
    partition: i32,
    value: String,
    /// Whether a transaction of somebody else holds it, and how that ends.
    transaction: Option<bool>,
}

impl Input {
    pub(super) fn new(random: &mut Random) -> Input {
        let partitions = 1 + random.below(3) as i32;
        let mut counts = BTreeMap::new();
        let records = (0..6 + random.below(20)).map(|index| {
            let key = random.below(4) as i32;
            let transaction = random.once_in(8).then(|| random.once_in(2));
            let value = match random.once_in(6) {
                true => format!("bad-{index}"),
                // What nobody will read does not count.
                false if transaction == Some(false) => format!("{key}:-1"),
                false => {
                    let count: &mut i32 = counts.entry(key).or_default();
                    *count += 1;
                    format!("{key}:{count}")
                }
            };
            Appended { partition: key % partitions, value, transaction }
        });
        let records = records.collect();
        Input { partitions, records, appended: 0, ends: BTreeMap::new(), seen: BTreeMap::new() }
    }

    /// Appends the next record, or half of the rest.
    pub(super) fn append(&mut self, kafka: &FakeKafka, random: &mut Random) {
        let left = self.records.len() - self.appended;
        let count = if random.once_in(2) { left.min(1) } else { left.div_ceil(2) };
        for record in &self.records[self.appended..self.appended + count] {
            let Appended { partition, value, transaction } = record;
            let end = self.ends.entry(*partition).or_default();
            if *transaction != Some(false) {
                self.seen.insert(*partition, *end + 1);
            }
            match transaction {
                None => kafka.append(FROM, *partition, "", value),
                Some(commit) => {
                    kafka.append_in_transaction(FROM, *partition, value, *commit);
                    *end += 1;
                }
            }
            *end += 1;
        }
        self.appended += count;
    }

    fn read(&self) -> impl Iterator<Item = &str> {
        let read = self.records.iter().filter(|record| record.transaction != Some(false));
        read.map(|record| record.value.as_str())
    }

    /// How many records the job writes in the end: to its topic, and as dead letters.
    pub(super) fn expected(&self) -> (usize, usize) {
        let bad = self.read().filter(|value| value.starts_with("bad")).count();
        (self.read().count() - bad, bad)
    }

    pub(super) fn is_all_there(&self) -> bool {
        self.appended == self.records.len()
    }

    /// What is wrong with what readers of committed records see.
    pub(super) fn audit(&self, kafka: &FakeKafka) -> std::result::Result<(), String> {
        let text =
            |record: &FakeRecord| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        let mut expected: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let good = self.read().filter(|value| !value.starts_with("bad"));
        for (key, count) in good.filter_map(|value| value.split_once(':')) {
            // The job counts; the input has counted, too.
            expected.entry(key).or_default().push(format!("{key}:{count}:{count}"));
        }
        let written: Vec<String> = kafka.read_committed(TO).iter().map(text).collect();
        for (key, expected) in &expected {
            let begins = format!("{key}:");
            let found: Vec<&String> = written.iter().filter(|value| value.starts_with(&begins)).collect();
            if found != expected.iter().collect::<Vec<_>>() {
                return Err(format!("key {key}: {found:?} was written, not {expected:?}"));
            }
        }
        let count: usize = expected.values().map(Vec::len).sum();
        if written.len() != count {
            return Err(format!("{} records were written, not {count}: {written:?}", written.len()));
        }
        let mut dead: Vec<String> = kafka.read_committed(DEAD).iter().map(text).collect();
        let mut bad: Vec<&str> = self.read().filter(|value| value.starts_with("bad")).collect();
        dead.sort_unstable();
        bad.sort_unstable();
        if dead != bad {
            return Err(format!("dead letters {dead:?}, not {bad:?}"));
        }
        let positions = kafka.positions(GROUP, FROM);
        for (partition, seen) in &self.seen {
            // What nobody sees at the end may or may not have been passed.
            let passed = *seen..=self.ends.get(partition).copied().unwrap_or(*seen);
            let found = usize::try_from(*partition).ok().and_then(|partition| positions.get(partition)?.1);
            if !found.is_some_and(|found| passed.contains(&found)) {
                return Err(format!("the group's position in partition {partition} is {found:?}, not in {passed:?}"));
            }
        }
        match kafka.open_transactions() {
            0 => Ok(()),
            open => Err(format!("{open} transactions are open for ever")),
        }
    }
}
