//! The input: a pure function of seed, start and a number, so that the audit knows it without having seen it.

use std::collections::BTreeMap;

/// How far apart records are in event time, in milliseconds.
const STEP: i64 = 10;

/// How far behind its place a record may be dated.
pub(crate) const DISORDER: i64 = 2_000;

/// The length of the job's windows.
pub(crate) const WINDOW: i64 = 10_000;

pub(crate) const PARTITIONS: i32 = 4;

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
}

impl Event {
    pub(crate) fn partition(self) -> i32 {
        (self.id % PARTITIONS as u64) as i32
    }

    pub(crate) fn line(self) -> String {
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

/// What `count` records come to.
pub(crate) struct Oracle {
    /// How many records each key has.
    pub(crate) counts: BTreeMap<u64, u64>,
    /// By window and key: how many records, and the sum of their ids.
    pub(crate) windows: BTreeMap<(i64, u64), (u64, u64)>,
}

impl Oracle {
    pub(crate) fn of(input: Input, count: u64) -> Oracle {
        let (mut counts, mut windows) = (BTreeMap::new(), BTreeMap::new());
        for event in (0..count).map(|id| input.event(id)) {
            *counts.entry(event.key).or_default() += 1;
            let window: &mut (u64, u64) = windows.entry((event.window(), event.key)).or_default();
            *window = (window.0 + 1, window.1 + event.id);
        }
        Oracle { counts, windows }
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
    fn every_record_counts_once_in_each_result() {
        let oracle = Oracle::of(INPUT, 5_000);
        assert_eq!(oracle.counts.values().sum::<u64>(), 5_000);
        assert_eq!(oracle.windows.values().map(|(count, _)| count).sum::<u64>(), 5_000);
        assert_eq!(oracle.windows.values().map(|(_, sum)| sum).sum::<u64>(), 4_999 * 5_000 / 2);
    }
}
