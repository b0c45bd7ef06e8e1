//! Typed batches behind `dyn`: the interface between two operators and the operators themselves.
//!
//! One virtual call carries a batch; the closure is inlined in the operator's loop; the callee
//! drains the batch and the caller uses the buffer again. [`link`] hides the type of the next
//! operator, so the compiler can't undo the virtual call.

use std::hint::black_box;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the next operator of a chain, or the exchange behind it, offers.
pub(super) trait Output<T>: Send {
    /// Takes the records and leaves the buffer empty.
    fn batch(&mut self, records: &mut Vec<T>);
    /// Whether a batch would find room; asked before input is taken.
    fn has_room(&self) -> bool {
        true
    }
    /// Sends on what an exchange still holds back, because the input is drained.
    fn flush(&mut self) {}
    /// No more batches.
    fn end(&mut self);
}

/// The next operator, its type forgotten.
pub(super) type Next<T> = Box<dyn Output<T>>;

/// Forgets the type of an operator, for the compiler as well.
#[inline(never)]
pub(super) fn link<T: 'static>(output: impl Output<T> + 'static) -> Next<T> {
    black_box(Box::new(output))
}

/// One result for each record, written to a buffer of its own.
pub(super) struct Map<F, U> {
    f: F,
    buffer: Vec<U>,
    next: Next<U>,
}

impl<F, U> Map<F, U> {
    pub(super) fn new(f: F, next: Next<U>) -> Self {
        Map { f, buffer: Vec::new(), next }
    }
}

impl<T, U: Send, F: FnMut(T) -> U + Send> Output<T> for Map<F, U> {
    fn batch(&mut self, records: &mut Vec<T>) {
        self.buffer.extend(records.drain(..).map(&mut self.f));
        self.next.batch(&mut self.buffer);
    }
    fn has_room(&self) -> bool {
        self.next.has_room()
    }
    fn flush(&mut self) {
        self.next.flush();
    }
    fn end(&mut self) {
        self.next.end();
    }
}

/// One result for each record, written over the record where the sizes allow it: the standard
/// library collects in place, and the emptied buffer goes back to the caller.
pub(super) struct MapInPlace<F, U> {
    f: F,
    next: Next<U>,
}

impl<F, U> MapInPlace<F, U> {
    pub(super) fn new(f: F, next: Next<U>) -> Self {
        MapInPlace { f, next }
    }
}

impl<T, U, F: FnMut(T) -> U + Send> Output<T> for MapInPlace<F, U> {
    fn batch(&mut self, records: &mut Vec<T>) {
        let mut mapped: Vec<U> = mem::take(records).into_iter().map(&mut self.f).collect();
        self.next.batch(&mut mapped);
        *records = emptied(mapped);
    }
    fn has_room(&self) -> bool {
        self.next.has_room()
    }
    fn flush(&mut self) {
        self.next.flush();
    }
    fn end(&mut self) {
        self.next.end();
    }
}

/// The same memory as an empty buffer for another type, if the sizes allow it.
pub(super) fn emptied<U, T>(mut buffer: Vec<U>) -> Vec<T> {
    buffer.clear();
    buffer.into_iter().filter_map(|_| None).collect()
}

/// The records that pass, moved together within their buffer.
pub(super) struct Filter<P, T> {
    keep: P,
    next: Next<T>,
}

impl<P, T> Filter<P, T> {
    pub(super) fn new(keep: P, next: Next<T>) -> Self {
        Filter { keep, next }
    }
}

impl<T, P: FnMut(&T) -> bool + Send> Output<T> for Filter<P, T> {
    fn batch(&mut self, records: &mut Vec<T>) {
        records.retain(&mut self.keep);
        self.next.batch(records);
    }
    fn has_room(&self) -> bool {
        self.next.has_room()
    }
    fn flush(&mut self) {
        self.next.flush();
    }
    fn end(&mut self) {
        self.next.end();
    }
}

/// Map, filter and map in one loop, in place: what an explicit fused stage would do.
pub(super) struct Stage<F, P, G, U> {
    first: F,
    keep: P,
    second: G,
    next: Next<U>,
}

impl<F, P, G, U> Stage<F, P, G, U> {
    pub(super) fn new(first: F, keep: P, second: G, next: Next<U>) -> Self {
        Stage { first, keep, second, next }
    }
}

impl<T, M, U, F, P, G> Output<T> for Stage<F, P, G, U>
where
    U: Send,
    F: FnMut(T) -> M + Send,
    P: FnMut(&M) -> bool + Send,
    G: FnMut(M) -> U + Send,
{
    fn batch(&mut self, records: &mut Vec<T>) {
        let passed = mem::take(records).into_iter().map(&mut self.first).filter(&mut self.keep);
        let mut mapped: Vec<U> = passed.map(&mut self.second).collect();
        self.next.batch(&mut mapped);
        *records = emptied(mapped);
    }
    fn has_room(&self) -> bool {
        self.next.has_room()
    }
    fn flush(&mut self) {
        self.next.flush();
    }
    fn end(&mut self) {
        self.next.end();
    }
}

/// Counts and sums, and publishes the checksum at the end.
pub(super) struct Sum<W> {
    weigh: W,
    checksum: u64,
    total: Arc<AtomicU64>,
}

impl<W> Sum<W> {
    /// Adds its checksum to `total` at the end: several subtasks may share one.
    pub(super) fn new(weigh: W, total: Arc<AtomicU64>) -> Self {
        Sum { weigh, checksum: 0, total }
    }
}

impl<T, W: FnMut(T) -> u64 + Send> Output<T> for Sum<W> {
    fn batch(&mut self, records: &mut Vec<T>) {
        for record in records.drain(..) {
            self.checksum = add(self.checksum, (self.weigh)(record));
        }
    }
    fn end(&mut self) {
        self.total.fetch_add(self.checksum, Ordering::Relaxed);
    }
}

/// Sum and count in one number; independent of the order of the records.
#[inline]
pub(super) fn add(checksum: u64, weight: u64) -> u64 {
    checksum.wrapping_add(weight).wrapping_add(1 << 40)
}
