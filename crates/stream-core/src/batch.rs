//! A batch: what travels on every edge between operators.
//!
//! Records and timestamps lie in two vectors, and a stream without event time has no second one, so
//! that the common closures touch nothing but the records (docs/decisions/0001-execution-model.md).
//! A batch also knows roughly how many heap bytes its records hold, which is what exchanges charge,
//! and which source positions it came from, which is what an error names.

use std::fmt;
use std::sync::Arc;

use crate::position::{Origin, PositionRange};
use crate::time::Timestamp;

/// How many records a source puts into one batch unless it is told otherwise.
pub const BATCH_SIZE: usize = 512;

/// Bytes of a record up to which swapping two beats moving one.
const SWAPPED_MAX: usize = 16;

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
    origin: Origin,
}

impl<T> Batch<T> {
    /// An empty batch.
    pub const fn new() -> Batch<T> {
        Batch { records: Vec::new(), timestamps: Vec::new(), heap_bytes: 0, origin: Origin::new() }
    }

    /// An empty batch with as much room as this one has.
    pub(crate) fn sibling(&self) -> Batch<T> {
        let records = Vec::with_capacity(self.records.capacity());
        Batch { records, timestamps: Vec::with_capacity(self.timestamps.capacity()), ..Batch::new() }
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

    /// The records, and a timestamp for each: [`Timestamp::MIN`] where there was none.
    pub(crate) fn timed_mut(&mut self) -> (&[T], &mut [Timestamp]) {
        self.timestamps.resize(self.records.len(), Timestamp::MIN);
        (&self.records, &mut self.timestamps)
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

    /// As [`Batch::drain`], with the timestamps beside: one per record, or none at all.
    pub fn drain_timed(&mut self) -> (std::vec::Drain<'_, T>, &[Timestamp]) {
        (self.records.drain(..), &self.timestamps)
    }

    /// Empties the batch and keeps its buffers.
    pub fn clear(&mut self) {
        self.records.clear();
        self.timestamps.clear();
        self.origin.clear();
        self.heap_bytes = 0;
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
        self.origin.note(split, first, last);
    }

    /// The source positions the records came from, as far as they are known.
    pub fn positions(&self) -> &[PositionRange] {
        self.origin.ranges()
    }

    /// Where the records came from.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether our records carry timestamps and those of `other` don't, or the other way round.
    pub(crate) fn differs_in_time(&self, other: &Batch<T>) -> bool {
        !self.is_empty() && !other.is_empty() && self.timestamps.is_empty() != other.timestamps.is_empty()
    }

    /// Keeps the records for which `keep` says so, in order, with their timestamps.
    ///
    /// `seen` becomes the number of records looked at, so that a panic in `keep` can be placed.
    #[inline]
    pub(crate) fn retain(&mut self, seen: &mut usize, mut keep: impl FnMut(&T) -> bool) {
        let before = self.records.len();
        if self.timestamps.is_empty() {
            let mut tally = Tally::new(seen);
            self.records.retain(|record| {
                let kept = keep(record);
                tally.count += 1;
                kept
            });
        } else {
            self.retain_timed(seen, keep);
        }
        self.shrink_estimate(before);
    }

    /// Two columns at once: small records are swapped, large ones moved by the real `retain`, and nothing is
    /// written before the first record is dropped (measured in `stream_bench::dispatch`).
    #[inline]
    fn retain_timed(&mut self, seen: &mut usize, mut keep: impl FnMut(&T) -> bool) {
        let (mut tally, mut kept) = (Tally::new(seen), 0);
        // Slices of the known length free the loop of bounds checks.
        let len = self.records.len();
        let timestamps = &mut self.timestamps[..len];
        if size_of::<T>() <= SWAPPED_MAX {
            let records = &mut self.records[..len];
            while tally.count < len {
                let from = tally.count;
                if keep(&records[from]) {
                    if kept < from {
                        records.swap(kept, from);
                        timestamps[kept] = timestamps[from];
                    }
                    kept += 1;
                }
                tally.count += 1;
            }
            self.records.truncate(kept);
        } else {
            self.records.retain(|record| {
                let keeps = keep(record);
                if keeps {
                    if kept < tally.count {
                        timestamps[kept] = timestamps[tally.count];
                    }
                    kept += 1;
                }
                tally.count += 1;
                keeps
            });
        }
        self.timestamps.truncate(kept);
    }

    fn shrink_estimate(&mut self, before: usize) {
        if self.records.len() < before {
            self.heap_bytes = share(self.heap_bytes, self.records.len(), before);
            self.origin.blur();
        }
    }

    /// Fills this empty batch with `f` of every record of `input`; timestamps and origin move over.
    ///
    /// `seen` becomes the number of records done, so that a panic in `f` can be placed. Where a result takes the place
    /// of its record the results are written over the records; [`Batch::give_back`] then returns the buffer.
    #[inline]
    pub(crate) fn fill_from<I>(&mut self, input: &mut Batch<I>, seen: &mut usize, mut f: impl FnMut(I) -> T) {
        let mut tally = Tally::new(seen);
        let counted = |record| {
            let result = f(record);
            tally.count += 1;
            result
        };
        if const { same_layout::<I, T>() } {
            // The standard library collects into the memory it takes from.
            self.records = std::mem::take(&mut input.records).into_iter().map(counted).collect();
        } else {
            self.records.extend(input.records.drain(..).map(counted));
        }
        self.take_header(input);
    }

    /// As [`Batch::fill_from`] with a function that may give up; then the header stays where it is.
    #[inline]
    pub(crate) fn fill_while<I>(&mut self, input: &mut Batch<I>, seen: &mut usize, mut f: impl FnMut(I) -> Option<T>) {
        let records = input.len();
        let mut tally = Tally::new(seen);
        let counted = |record| {
            let result = f(record)?;
            tally.count += 1;
            Some(result)
        };
        if const { same_layout::<I, T>() } {
            self.records = std::mem::take(&mut input.records).into_iter().map_while(counted).collect();
        } else {
            self.records.extend(input.records.drain(..).map_while(counted));
        }
        if self.records.len() == records {
            self.take_header(input);
        }
    }

    /// After [`Batch::fill_from`]: empties this batch and returns the buffer to `input`, if it was taken from there.
    #[inline]
    pub(crate) fn give_back<I>(&mut self, input: &mut Batch<I>) {
        self.records.clear();
        if const { same_layout::<I, T>() } {
            // Collects nothing into the same memory, now as the other type.
            input.records = std::mem::take(&mut self.records).into_iter().filter_map(|_| None).collect();
        }
    }

    /// Takes over timestamps, origin and the heap estimate of `input`, whose records became ours one to one.
    pub(crate) fn take_header<I>(&mut self, input: &mut Batch<I>) {
        self.timestamps.clear();
        std::mem::swap(&mut self.timestamps, &mut input.timestamps);
        self.origin.clear();
        std::mem::swap(&mut self.origin, &mut input.origin);
        self.heap_bytes = std::mem::take(&mut input.heap_bytes);
    }

    /// Notes that the records come from somewhere in `origin`, not one to one.
    pub(crate) fn come_from(&mut self, origin: &Origin) {
        self.origin.clone_from(origin);
        self.origin.blur();
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
        self.origin.append(&other.origin);
        self.heap_bytes += other.heap_bytes;
        other.clear();
    }

    /// Moves every record to the target that `choose` names, in order.
    ///
    /// `seen` becomes the number of records moved, so that an error can be placed.
    ///
    /// # Errors
    /// The first choice that is no target; then the records from there on are dropped.
    #[inline]
    pub(crate) fn scatter(
        &mut self,
        targets: &mut [Batch<T>],
        seen: &mut usize,
        mut choose: impl FnMut(&T) -> usize,
    ) -> Result<(), usize> {
        let (total, mut tally, mut wrong) = (self.records.len(), Tally::new(seen), None);
        // The heap of a target's share is charged by its number of records, counted by how much it grows.
        for target in targets.iter_mut() {
            target.heap_bytes = target.heap_bytes.wrapping_sub(share(self.heap_bytes, target.records.len(), total));
        }
        let (mut records, mut timestamps) = (self.records.drain(..), self.timestamps.iter());
        // A record is looked at where it lies and moved when it has a place: one that is taken first goes over the
        // stack. Both columns in one loop, because each waits for the length that the push before has stored.
        while let Some(record) = records.as_slice().first() {
            let to = choose(record);
            let Some(target) = targets.get_mut(to) else {
                wrong = Some(to);
                break;
            };
            target.records.extend(records.by_ref().take(1));
            target.timestamps.extend(timestamps.next());
            tally.count += 1;
        }
        drop((records, tally));
        for target in targets.iter_mut() {
            target.heap_bytes = target.heap_bytes.wrapping_add(share(self.heap_bytes, target.records.len(), total));
            if !target.is_empty() {
                target.origin.append(&self.origin);
                target.origin.blur();
            }
        }
        match wrong {
            Some(wrong) => Err(wrong),
            None => {
                self.clear();
                Ok(())
            }
        }
    }

    /// Deals the records out as one run per target, sizes given by `sizes`; they must add up to [`Batch::len`].
    pub(crate) fn deal(&mut self, sizes: &[usize], targets: &mut [Batch<T>]) {
        let (total, mut dealt) = (self.records.len(), 0);
        let timed = !self.timestamps.is_empty();
        let mut records = self.records.drain(..);
        let mut timestamps = self.timestamps.drain(..);
        for (&size, target) in sizes.iter().zip(targets) {
            target.records.extend(records.by_ref().take(size));
            if timed {
                target.timestamps.extend(timestamps.by_ref().take(size));
            }
            if size > 0 {
                target.heap_bytes += share(self.heap_bytes, size, total);
                target.origin.append_part(&self.origin, total, dealt, size);
            }
            dealt += size;
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
        self.origin.clone_from(&other.origin);
        self.heap_bytes = other.heap_bytes;
    }
}

/// The share of `whole` that `part` of `total` records have.
fn share(whole: usize, part: usize, total: usize) -> usize {
    // In two steps: the product of two large numbers may not fit.
    whole / total.max(1) * part + whole % total.max(1) * part / total.max(1)
}

/// Whether a `U` fits exactly where a `T` was, so that a vector's memory can be used again.
const fn same_layout<T, U>() -> bool {
    size_of::<T>() == size_of::<U>() && align_of::<T>() == align_of::<U>()
}

/// Counts records in a loop and writes the count down once, when the loop ends or panics.
///
/// A count that lives in the operator itself would be stored for every record: the compiler must assume
/// that somebody looks at it after a panic. This one stays in a register.
pub(crate) struct Tally<'a> {
    pub(crate) count: usize,
    out: &'a mut usize,
}

impl Tally<'_> {
    pub(crate) fn new(out: &mut usize) -> Tally<'_> {
        Tally { count: 0, out }
    }
}

impl Drop for Tally<'_> {
    #[inline]
    fn drop(&mut self) {
        *self.out = self.count;
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
        assert_eq!(batch.origin().describe(Some(2), 4).as_deref(), Some("t[0] offset 42"));
        batch.retain(&mut 0, |x| *x > 0);
        assert_eq!(batch.origin().describe(Some(0), 3).as_deref(), Some("t[0] offsets 40 to 43"));
    }

    #[test]
    fn dealing_moves_every_record_once() {
        let mut targets = [Batch::new(), Batch::new(), Batch::new()];
        timed(5).deal(&[2, 1, 2], &mut targets);
        let dealt: Vec<_> = targets.iter().map(|b| (b.records().to_vec(), b.timestamps().len())).collect();
        assert_eq!(dealt, [(vec![0, 1], 2), (vec![2], 1), (vec![3, 4], 2)]);
    }

    #[test]
    fn a_map_between_equal_layouts_uses_the_memory_again() {
        let (mut batch, mut results) = (timed(100), Batch::<u64>::new());
        let memory = batch.records().as_ptr().addr();
        for _ in 0..3 {
            results.fill_from(&mut batch, &mut 0, |x| x as u64 + 1);
            assert_eq!(results.records().as_ptr().addr(), memory);
            assert_eq!((results.records()[99], results.timestamps().len()), (100, 100));
            results.give_back(&mut batch);
            assert!(batch.is_empty() && results.is_empty());
            batch.records.extend(0..100);
            assert_eq!(batch.records().as_ptr().addr(), memory);
            batch.timestamps.extend((100..200).map(Timestamp::from_millis));
            results.clear();
        }
    }

    #[test]
    fn a_function_that_gives_up_leaves_the_origin_to_be_named() {
        let (mut batch, mut results, mut seen) = (timed(10), Batch::<String>::new(), 0);
        results.fill_while(&mut batch, &mut seen, |x| (x < 4).then(|| x.to_string()));
        assert_eq!((seen, results.len()), (4, 4));
        assert_eq!(batch.origin().describe(Some(seen), 10).as_deref(), Some("t[0] offset 44"));
    }

    #[test]
    fn heap_bytes_are_shared_out() {
        let (mut batch, mut targets) = (timed(5), [Batch::new(), Batch::new()]);
        batch.add_heap_bytes(3);
        batch.deal(&[2, 3], &mut targets);
        let bare = size_of::<i64>() + size_of::<Timestamp>();
        assert_eq!(targets.map(|t| t.bytes() - bare * t.len()), [1, 1]);
        assert_eq!(share(usize::MAX, 1, 2), usize::MAX / 2);
    }

    proptest::proptest! {
        /// Both ways of moving two columns keep what `Vec::retain` would, and count what they have looked at.
        #[test]
        fn retain_is_retain(keeps in proptest::collection::vec(proptest::bool::ANY, 0..200), timed in proptest::bool::ANY) {
            fn check<T: Clone + PartialEq + fmt::Debug>(keeps: &[bool], timed: bool, make: impl Fn(usize) -> T) {
                let mut batch = Batch::new();
                for i in 0..keeps.len() {
                    batch.push_as(make(i), timed.then(|| Timestamp::from_millis(i as i64)));
                }
                let (mut seen, mut decisions) = (0, keeps.iter());
                batch.retain(&mut seen, |_| *decisions.next().expect("one decision per record"));
                let kept: Vec<usize> = (0..keeps.len()).filter(|i| keeps[*i]).collect();
                assert_eq!(seen, keeps.len());
                assert_eq!(batch.records(), kept.iter().map(|i| make(*i)).collect::<Vec<_>>());
                let times: Vec<_> = kept.iter().map(|i| Timestamp::from_millis(*i as i64)).collect();
                assert_eq!(batch.timestamps(), if timed { &times[..] } else { &[] });
            }
            check(&keeps, timed, |i| i);
            check(&keeps, timed, |i| [i; 8]);
            check(&keeps, timed, |i| i.to_string());
        }
    }
}
