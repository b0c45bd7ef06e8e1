//! Where records come from: the source positions that an error names.
//!
//! An [`Origin`] travels with every batch. It stays *exact* as long as record i of the batch is the i-th position of
//! its ranges; a filter or a flat_map blurs it, and then an error can only name the ranges.

use std::fmt;
use std::sync::Arc;

/// How many ranges an origin keeps apart before it merges those of one split.
const RANGES_MAX: usize = 8;

/// A run of records of one split, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionRange {
    /// The split's name, such as `test_user[2]`.
    pub split: Arc<str>,
    /// The first record's position.
    pub first: i64,
    /// The last record's position.
    pub last: i64,
}

impl PositionRange {
    fn len(&self) -> usize {
        usize::try_from(self.last.saturating_sub(self.first).saturating_add(1)).unwrap_or(0)
    }
}

impl fmt::Display for PositionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{} offset {}", self.split, self.first)
        } else {
            write!(f, "{} offsets {} to {}", self.split, self.first, self.last)
        }
    }
}

/// The positions of one batch.
#[derive(Debug)]
pub(crate) struct Origin {
    ranges: Vec<PositionRange>,
    /// Whether record i still is the i-th record of the ranges.
    exact: bool,
}

impl Origin {
    pub(crate) const fn new() -> Origin {
        Origin { ranges: Vec::new(), exact: true }
    }

    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.exact = true;
    }

    pub(crate) fn ranges(&self) -> &[PositionRange] {
        &self.ranges
    }

    /// Records and positions no longer go together one to one.
    pub(crate) fn blur(&mut self) {
        self.exact = false;
    }

    /// Notes that the next records come from `split`, positions `first` to `last`.
    pub(crate) fn note(&mut self, split: &Arc<str>, first: i64, last: i64) {
        let many = self.ranges.len() >= RANGES_MAX;
        match self.ranges.last_mut() {
            Some(range) if Arc::ptr_eq(&range.split, split) && range.last.checked_add(1) == Some(first) => {
                range.last = last
            }
            Some(_) if many => self.merge(split, first, last),
            _ => self.ranges.push(PositionRange { split: split.clone(), first, last }),
        }
    }

    /// Widens the range of `split`, so that there is no more than one more range per split, however small the pieces.
    fn merge(&mut self, split: &Arc<str>, first: i64, last: i64) {
        self.exact = false;
        match self.ranges.iter_mut().find(|r| Arc::ptr_eq(&r.split, split)) {
            Some(range) => {
                range.first = range.first.min(first);
                range.last = range.last.max(last);
            }
            None => self.ranges.push(PositionRange { split: split.clone(), first, last }),
        }
    }

    /// Adds the origin of records that were put behind ours.
    pub(crate) fn append(&mut self, other: &Origin) {
        for range in &other.ranges {
            self.note(&range.split, range.first, range.last);
        }
        self.exact &= other.exact;
    }

    /// Adds the part of `whole` (of a batch of `records`) that belongs to its records `start` to `start + size`.
    pub(crate) fn append_part(&mut self, whole: &Origin, records: usize, start: usize, size: usize) {
        if !whole.is_exact(records) {
            self.append(whole);
            self.exact = false;
            return;
        }
        let (mut skip, mut left) = (start, size);
        for range in &whole.ranges {
            let taken = range.len().saturating_sub(skip).min(left);
            if taken > 0 {
                let first = range.first + skip as i64;
                self.note(&range.split, first, first + taken as i64 - 1);
            }
            skip = skip.saturating_sub(range.len());
            left -= taken;
        }
    }

    fn is_exact(&self, records: usize) -> bool {
        self.exact && self.ranges.iter().map(PositionRange::len).sum::<usize>() == records
    }

    /// The positions as people read them; the exact one of record `index` where that is known.
    pub(crate) fn describe(&self, index: Option<usize>, records: usize) -> Option<String> {
        if let (true, Some(index)) = (self.is_exact(records), index) {
            let mut left = index;
            for range in &self.ranges {
                if left < range.len() {
                    let at = range.first + left as i64;
                    return Some(PositionRange { split: range.split.clone(), first: at, last: at }.to_string());
                }
                left -= range.len();
            }
        }
        match &self.ranges[..] {
            [] => None,
            [range] => Some(range.to_string()),
            [first, .., last] => Some(format!("{first} … {last}")),
        }
    }
}

impl Clone for Origin {
    fn clone(&self) -> Origin {
        Origin { ranges: self.ranges.clone(), exact: self.exact }
    }

    fn clone_from(&mut self, other: &Origin) {
        // Uses the buffer again, which the derived one would not.
        self.ranges.clone_from(&other.ranges);
        self.exact = other.exact;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(name: &str) -> Arc<str> {
        name.into()
    }

    #[test]
    fn gaps_stay_exact_and_neighbours_melt() {
        let (mut origin, a) = (Origin::new(), split("a"));
        origin.note(&a, 0, 4);
        origin.note(&a, 5, 6);
        origin.note(&a, 10, 11);
        assert_eq!(origin.ranges().len(), 2);
        assert_eq!(origin.describe(Some(8), 9).as_deref(), Some("a offset 11"));
        assert_eq!(origin.describe(None, 9).as_deref(), Some("a offsets 0 to 6 … a offsets 10 to 11"));
    }

    #[test]
    fn many_small_pieces_are_merged_per_split() {
        let (mut origin, a, b) = (Origin::new(), split("a"), split("b"));
        for i in 0..1000 {
            origin.note(&a, 10 * i, 10 * i);
            origin.note(&b, i, i);
        }
        assert!(origin.ranges().len() <= RANGES_MAX);
        assert!(!origin.is_exact(2000));
        assert_eq!((origin.ranges()[0].first, origin.ranges()[0].last), (0, 9990));
    }

    #[test]
    fn a_part_knows_its_own_positions() {
        let (mut whole, mut part) = (Origin::new(), Origin::new());
        whole.note(&split("a"), 100, 104);
        whole.note(&split("b"), 7, 9);
        part.append_part(&whole, 8, 3, 4);
        let named: Vec<_> = (0..4).filter_map(|i| part.describe(Some(i), 4)).collect();
        assert_eq!(named, ["a offset 103", "a offset 104", "b offset 7", "b offset 8"]);
        whole.blur();
        part.append_part(&whole, 8, 0, 1);
        assert!(!part.is_exact(5));
    }
}
