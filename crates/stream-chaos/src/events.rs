//! The input: a pure function of seed, start and a number, so that the audit knows it without having seen it.

use std::collections::{BTreeMap, BTreeSet};

/// How far apart records are in event time, in milliseconds.
const STEP: i64 = 10;

/// How far behind its place a record may be dated.
pub(crate) const DISORDER: i64 = 2_000;

/// The length of the job's windows.
pub(crate) const WINDOW: i64 = 10_000;

pub(crate) const PARTITIONS: i32 = 4;

/// One of so many records can't be decoded.
const SPOILED: u64 = 200;

/// What the value of such a record begins with.
const SPOILED_PREFIX: &str = "spoiled,";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) key: u64,
    pub(crate) at: i64,
}

/// SplitMix64, by Sebastiano Vigna: the `index`-th number of the sequence of a seed.
pub(crate) fn random(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What decides all of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input {
    pub(crate) seed: u64,
    /// The time of the first record. Not long ago: a sink writes the time of a record into the topic, and Kafka deletes
    /// what is older than its retention.
    pub(crate) start: i64,
}

impl Input {
    /// Record `id`. Few keys get half of the records, so that counts go up; many get the others, so that there is more
    /// state than a snapshot writes at once.
    pub(crate) fn event(self, id: u64) -> Event {
        let r = random(self.seed, id);
        let key = if r & 1 == 0 { (r >> 8) % 60_000 } else { (r >> 8) % 333 * 3 };
        let behind = ((r >> 32) % DISORDER.unsigned_abs()).cast_signed();
        Event { id, key, at: self.start + id.cast_signed() * STEP - behind }
    }

    /// Whether record `id` can't be decoded.
    pub(crate) fn is_bad(self, id: u64) -> bool {
        random(self.seed ^ 0xBAD, id).is_multiple_of(SPOILED)
    }

    /// What is written for record `id`.
    pub(crate) fn line(self, id: u64) -> String {
        let line = self.event(id).line();
        if self.is_bad(id) { format!("{SPOILED_PREFIX}{line}") } else { line }
    }

    /// The bad record that was written like this.
    pub(crate) fn bad(self, line: &str) -> Option<u64> {
        let id = Event::parse(line.strip_prefix(SPOILED_PREFIX)?)?.id;
        (self.is_bad(id) && self.line(id) == line).then_some(id)
    }
}

/// The partition that record `id` is written to. There it is number `id / PARTITIONS`, as all are written in order.
pub(crate) fn partition(id: u64) -> i32 {
    (id % PARTITIONS as u64) as i32
}

impl Event {
    fn line(self) -> String {
        format!("{},{},{}", self.id, self.key, self.at)
    }

    pub(crate) fn parse(line: &str) -> Option<Event> {
        let mut parts = line.split(',');
        let event = Event {
            id: parts.next()?.parse().ok()?,
            key: parts.next()?.parse().ok()?,
            at: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(event)
    }

    /// The start of its window.
    pub(crate) fn window(self) -> i64 {
        self.at.div_euclid(WINDOW) * WINDOW
    }
}

/// What so many records come to.
pub(crate) struct Oracle {
    pub(crate) input: Input,
    /// How many records were written, bad ones included.
    pub(crate) records: u64,
    /// The bad ones.
    pub(crate) bad: BTreeSet<u64>,
    /// How many records each key has.
    pub(crate) counts: BTreeMap<u64, u64>,
    /// By window and key: how many records, and the sum of their ids.
    pub(crate) windows: BTreeMap<(i64, u64), (u64, u64)>,
}

impl Oracle {
    pub(crate) fn of(input: Input, records: u64) -> Oracle {
        let (mut counts, mut windows) = (BTreeMap::new(), BTreeMap::new());
        let bad: BTreeSet<u64> = (0..records).filter(|id| input.is_bad(*id)).collect();
        for event in (0..records).filter(|id| !bad.contains(id)).map(|id| input.event(id)) {
            *counts.entry(event.key).or_default() += 1;
            let window: &mut (u64, u64) = windows.entry((event.window(), event.key)).or_default();
            *window = (window.0 + 1, window.1 + event.id);
        }
        Oracle { input, records, bad, counts, windows }
    }

    /// The record, if it was written and can be decoded.
    pub(crate) fn good(&self, id: u64) -> Option<Event> {
        (id < self.records && !self.bad.contains(&id)).then(|| self.input.event(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: Input = Input { seed: 7, start: 1_700_000_000_000 };

    #[test]
    fn lines_come_back() {
        let event = INPUT.event(12);
        assert_eq!(Event::parse(&event.line()), Some(event));
        assert_eq!(Event::parse("1,2"), None);
        assert_eq!(Event::parse("1,2,3,4"), None);
    }

    #[test]
    fn bad_records_are_known_by_their_value_and_no_events() {
        let oracle = Oracle::of(INPUT, 5_000);
        assert!((10..50).contains(&oracle.bad.len()), "{}", oracle.bad.len());
        for id in 0..5_000 {
            let line = INPUT.line(id);
            assert_eq!((Event::parse(&line), INPUT.bad(&line).is_some()), (oracle.good(id), oracle.bad.contains(&id)));
        }
        let spoiled = INPUT.line(*oracle.bad.first().expect("there is one"));
        assert_eq!(INPUT.bad(&spoiled.replacen(',', ",1", 1)), None);
    }

    #[test]
    fn every_good_record_counts_once_in_each_result() {
        let oracle = Oracle::of(INPUT, 5_000);
        let good: Vec<u64> = (0..5_000).filter(|id| !oracle.bad.contains(id)).collect();
        assert_eq!(oracle.counts.values().sum::<u64>(), good.len() as u64);
        assert_eq!(oracle.windows.values().map(|(count, _)| count).sum::<u64>(), good.len() as u64);
        assert_eq!(oracle.windows.values().map(|(_, sum)| sum).sum::<u64>(), good.iter().sum::<u64>());
    }
}
