//! A batch: what travels on every edge between operators.
//!
//! Records and timestamps lie in two vectors, and a stream without event time has no second one, so
//! that the common closures touch nothing but the records (docs/decisions/0001-execution-model.md).
//! A batch also knows roughly how many heap bytes its records hold, which is what exchanges charge,
//! and which source positions it came from, which is what an error names.

use std::fmt;
use std::sync::Arc;

use crate::time::Timestamp;

/// How many records a source puts into one batch unless it is told otherwise.
pub const BATCH_SIZE: usize = 512;

/// Records on their way between two operators, each with or all without an event-time timestamp.
///
/// # Example
/// ```
/// use stream_core::{Batch, Timestamp};
/// let mut batch = Batch::new();
/// batch.push_at("a", Timestamp::from_millis(7));
/// assert_eq!(batch.timestamp(0), Some(Timestamp::from_millis(7)));
/// assert_eq!(batch.records(), ["a"]);
/// ```
pub struct Batch<T> {
    records: Vec<T>,
    /// Empty, or one per record.
    timestamps: Vec<Timestamp>,
    heap_bytes: usize,
    positions: Vec<PositionRange>,
    /// Whether record i still is the i-th record of the positions.
    aligned: bool,
}

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

impl fmt::Display for PositionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{} offset {}", self.split, self.first)
        } else {
            write!(f, "{} offsets {} to {}", self.split, self.first, self.last)
        }
    }
}

impl<T> Batch<T> {
    /// An empty batch.
    pub const fn new() -> Batch<T> {
        Batch { records: Vec::new(), timestamps: Vec::new(), heap_bytes: 0, positions: Vec::new(), aligned: true }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records, in order.
    pub fn records(&self) -> &[T] {
        &self.records
    }

    /// The records, to change in place.
    pub fn records_mut(&mut self) -> &mut [T] {
        &mut self.records
    }

    /// One timestamp per record, or none at all.
    pub fn timestamps(&self) -> &[Timestamp] {
        &self.timestamps
    }

    /// The timestamp of record `index`, if the stream has event time.
    pub fn timestamp(&self, index: usize) -> Option<Timestamp> {
        self.timestamps.get(index).copied()
    }

    /// Adds a record without a timestamp.
    ///
    /// # Panics
    /// In debug builds, if the batch holds records with timestamps.
    #[inline]
    pub fn push(&mut self, record: T) {
        debug_assert!(self.timestamps.is_empty(), "a batch has timestamps for all records or for none");
        self.records.push(record);
    }

    /// Adds a record with a timestamp.
    ///
    /// # Panics
    /// In debug builds, if the batch holds records without timestamps.
    #[inline]
    pub fn push_at(&mut self, record: T, timestamp: Timestamp) {
        debug_assert_eq!(
            self.timestamps.len(),
            self.records.len(),
            "a batch has timestamps for all records or for none"
        );
        self.records.push(record);
        self.timestamps.push(timestamp);
    }

    /// Adds a record with the timestamp it came with, present or not.
    #[inline]
    pub(crate) fn push_as(&mut self, record: T, timestamp: Option<Timestamp>) {
        match timestamp {
            Some(timestamp) => self.push_at(record, timestamp),
            None => self.push(record),
        }
    }

    /// Takes the records out, leaving the rest of the batch as it is. Timestamps stay readable until [`Batch::clear`].
    pub fn drain(&mut self) -> std::vec::Drain<'_, T> {
        self.records.drain(..)
    }

    /// Empties the batch and keeps its buffers.
    pub fn clear(&mut self) {
        self.records.clear();
        self.timestamps.clear();
        self.positions.clear();
        self.heap_bytes = 0;
        self.aligned = true;
    }

    /// About how many bytes the batch takes: the records themselves and what their sources said they hold on the heap.
    pub fn bytes(&self) -> usize {
        self.records.len() * size_of::<T>() + self.timestamps.len() * size_of::<Timestamp>() + self.heap_bytes
    }

    /// Adds to the estimate of heap bytes held by the records; sources call this with payload sizes.
    pub fn add_heap_bytes(&mut self, bytes: usize) {
        self.heap_bytes += bytes;
    }

    /// Notes that the next records come from `split`, positions `first` to `last`.
    pub fn add_position(&mut self, split: &Arc<str>, first: i64, last: i64) {
        match self.positions.last_mut() {
            Some(range) if Arc::ptr_eq(&range.split, split) && first > range.last => range.last = last,
            _ => self.positions.push(PositionRange { split: split.clone(), first, last }),
        }
    }

    /// The source positions the records came from, as far as they are known.
    pub fn positions(&self) -> &[PositionRange] {
        &self.positions
    }

    /// The positions as people read them; the exact one of record `index` where that is known.
    pub(crate) fn describe_position(&self, index: Option<usize>, records: usize) -> Option<String> {
        let covered: i64 = self.positions.iter().map(|r| r.last - r.first + 1).sum();
        let exact = self.aligned && usize::try_from(covered).is_ok_and(|n| n == records);
        if let (true, Some(index)) = (exact, index) {
            let mut left = i64::try_from(index).ok()?;
            for range in &self.positions {
                let length = range.last - range.first + 1;
                if left < length {
                    let at = range.first + left;
                    return Some(PositionRange { split: range.split.clone(), first: at, last: at }.to_string());
                }
                left -= length;
            }
        }
        match &self.positions[..] {
            [] => None,
            [range] => Some(range.to_string()),
            [first, .., last] => Some(format!("{first} … {last}")),
        }
    }

    /// Keeps the records for which `keep` says so, in order, with their timestamps.
    ///
    /// `seen` counts the records looked at, so that a panic in `keep` can be placed.
    #[inline]
    pub(crate) fn retain(&mut self, seen: &mut usize, mut keep: impl FnMut(&T) -> bool) {
        let before = self.records.len();
        *seen = 0;
        if self.timestamps.is_empty() {
            self.records.retain(|record| {
                let kept = keep(record);
                *seen += 1;
                kept
            });
        } else {
            let (timestamps, mut kept) = (&mut self.timestamps, 0);
            self.records.retain(|record| {
                let keeps = keep(record);
                if keeps {
                    timestamps[kept] = timestamps[*seen];
                    kept += 1;
                }
                *seen += 1;
                keeps
            });
            timestamps.truncate(kept);
        }
        self.shrink_estimate(before);
    }

    fn shrink_estimate(&mut self, before: usize) {
        if self.records.len() < before {
            self.heap_bytes = self.heap_bytes / before.max(1) * self.records.len();
            self.aligned = false;
        }
    }

    /// Fills this empty batch with `f` of every record of `input`; timestamps and positions move over.
    #[inline]
    pub(crate) fn fill_from<I>(&mut self, input: &mut Batch<I>, f: impl FnMut(I) -> T) {
        self.records.extend(input.records.drain(..).map(f));
        self.take_header(input);
    }

    /// Adds records without touching the header; [`Batch::take_header`] follows.
    #[inline]
    pub(crate) fn extend_untimed(&mut self, records: impl Iterator<Item = T>) {
        for record in records {
            self.records.push(record);
        }
    }

    /// Forgets the records and keeps the positions, for an operator that expands one input over several batches.
    pub(crate) fn clear_records(&mut self) {
        self.records.clear();
        self.timestamps.clear();
        self.heap_bytes = 0;
    }

    /// Takes over timestamps, positions and the heap estimate of `input`, whose records became ours one to one.
    pub(crate) fn take_header<I>(&mut self, input: &mut Batch<I>) {
        self.timestamps.clear();
        std::mem::swap(&mut self.timestamps, &mut input.timestamps);
        self.take_origin(input);
        self.aligned = input.aligned;
    }

    /// Takes over positions and the heap estimate, where records did not become ours one to one.
    pub(crate) fn take_origin<I>(&mut self, input: &mut Batch<I>) {
        self.positions.clear();
        std::mem::swap(&mut self.positions, &mut input.positions);
        self.heap_bytes = std::mem::take(&mut input.heap_bytes);
        self.aligned = false;
    }

    /// Copies positions, for outputs that take only part of the input.
    pub(crate) fn copy_positions<I>(&mut self, input: &Batch<I>) {
        self.positions.clone_from(&input.positions);
        self.aligned = false;
    }

    /// Moves all records of `other` behind ours.
    pub(crate) fn append(&mut self, other: &mut Batch<T>) {
        if self.is_empty() {
            std::mem::swap(self, other);
            other.clear();
            return;
        }
        self.records.append(&mut other.records);
        self.timestamps.append(&mut other.timestamps);
        self.positions.append(&mut other.positions);
        self.heap_bytes += other.heap_bytes;
        self.aligned &= other.aligned;
        other.clear();
    }

    /// Deals the records out as one run per target, sizes given by `sizes`; they must add up to [`Batch::len`].
    pub(crate) fn deal(&mut self, sizes: &[usize], targets: &mut [Batch<T>]) {
        let (total, heap_bytes) = (self.records.len().max(1), self.heap_bytes);
        let timed = !self.timestamps.is_empty();
        let mut records = self.records.drain(..);
        let mut timestamps = self.timestamps.drain(..);
        for (&size, target) in sizes.iter().zip(targets) {
            target.records.extend(records.by_ref().take(size));
            if timed {
                target.timestamps.extend(timestamps.by_ref().take(size));
            }
            if size > 0 {
                target.heap_bytes += heap_bytes / total * size;
                target.positions.extend_from_slice(&self.positions);
                target.aligned = false;
            }
        }
        drop((records, timestamps));
        self.clear();
    }
}

impl<T: Clone> Batch<T> {
    /// Fills this batch with a copy of `other`, reusing the buffers.
    pub(crate) fn copy_from(&mut self, other: &Batch<T>) {
        self.records.clone_from(&other.records);
        self.timestamps.clone_from(&other.timestamps);
        self.positions.clone_from(&other.positions);
        self.heap_bytes = other.heap_bytes;
        self.aligned = other.aligned;
    }
}

impl<T> Default for Batch<T> {
    fn default() -> Batch<T> {
        Batch::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("records", &self.records)
            .field("timestamps", &self.timestamps)
            .finish_non_exhaustive()
    }
}

impl<T> FromIterator<T> for Batch<T> {
    fn from_iter<I: IntoIterator<Item = T>>(records: I) -> Batch<T> {
        Batch { records: records.into_iter().collect(), ..Batch::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(n: i64) -> Batch<i64> {
        let mut batch = Batch::new();
        for i in 0..n {
            batch.push_at(i, Timestamp::from_millis(100 + i));
        }
        let split: Arc<str> = "t[0]".into();
        batch.add_position(&split, 40, 40 + n - 1);
        batch
    }

    #[test]
    fn retain_keeps_records_and_timestamps_together() {
        let mut batch = timed(6);
        batch.retain(&mut 0, |x| x % 2 == 1);
        assert_eq!(batch.records(), [1, 3, 5]);
        assert_eq!(batch.timestamps(), [101, 103, 105].map(Timestamp::from_millis));
    }

    #[test]
    fn positions_are_exact_until_records_are_dropped() {
        let mut batch = timed(4);
        assert_eq!(batch.describe_position(Some(2), 4).as_deref(), Some("t[0] offset 42"));
        batch.retain(&mut 0, |x| *x > 0);
        assert_eq!(batch.describe_position(Some(0), 3).as_deref(), Some("t[0] offsets 40 to 43"));
    }

    #[test]
    fn dealing_moves_every_record_once() {
        let mut targets = [Batch::new(), Batch::new(), Batch::new()];
        timed(5).deal(&[2, 1, 2], &mut targets);
        let dealt: Vec<_> = targets.iter().map(|b| (b.records().to_vec(), b.timestamps().len())).collect();
        assert_eq!(dealt, [(vec![0, 1], 2), (vec![2], 1), (vec![3, 4], 2)]);
    }
}
