//! On which partitions markers lie: whoever deletes a topic deletes the offsets of its partitions, too.

use crate::record::Topic;

/// On how many partitions a marker lies.
pub(super) const COPIES: usize = 3;

/// A few of the partitions found, by topic: one of each topic, then the next ones.
pub(super) fn spread(found: &[Vec<(Topic, i32)>]) -> Vec<(Topic, i32)> {
    let longest = found.iter().map(Vec::len).max().unwrap_or(0);
    let places = (0..longest).flat_map(|index| found.iter().filter_map(move |places| places.get(index).copied()));
    places.take(COPIES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_come_before_partitions() {
        let (a, b) = (Topic::new("a"), Topic::new("b"));
        assert_eq!(spread(&[vec![(a, 0), (a, 1), (a, 2)], vec![(b, 0)]]), [(a, 0), (b, 0), (a, 1)]);
        assert_eq!(spread(&[vec![(a, 0)]]), [(a, 0)]);
        assert_eq!(spread(&[]), []);
    }
}
