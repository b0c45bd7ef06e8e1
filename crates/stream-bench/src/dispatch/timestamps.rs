//! Question (c): timestamps beside each record, or in a column of their own that may be absent.
//!
//! Map, filter, map, sum over a batch that is an array of `(i64, T)` or a pair of `Vec<T>` and
//! `Vec<i64>`. The sink also takes the greatest timestamp, as a watermark generator does. Without
//! timestamps the first carries a placeholder and the second an empty column.

use std::hint::black_box;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::output::{Filter, MapInPlace, Next, Output, Sum, add, emptied, link};
use super::workload::{Line, Number, Workload};
use crate::measure::{Contender, race, table};

/// Batch sizes of the table.
const BATCHES: [usize; 2] = [256, 1024];
/// For one kind of record, with or without timestamps.
const BUDGET: Duration = Duration::from_secs(2);
/// The timestamp of a record that has none.
const ABSENT: i64 = i64::MIN;
/// Bytes of a record up to which swapping two beats moving one.
const SWAPPED_MAX: usize = 16;

/// The table of (c).
pub(super) fn report() -> String {
    let mut rows = Vec::new();
    rows_of::<Number>(&mut rows);
    rows_of::<Line>(&mut rows);
    let header = [
        "record",
        "batch",
        "none possible",
        "pairs, with",
        "columns, with",
        "columns/pairs",
        "pairs, without",
        "columns, without",
        "columns/pairs",
    ];
    let title = "(c) map, filter, map, sum with and without timestamps: ns per record";
    table(title, &header, &rows)
}

fn rows_of<W: Workload>(rows: &mut Vec<Vec<String>>) {
    for size in BATCHES {
        let mut timed = contenders::<W>(W::RECORDS, size, true);
        let mut bare = contenders::<W>(W::RECORDS, size, false);
        race(&mut timed, BUDGET / 2);
        race(&mut bare, BUDGET / 2);
        let with = [0, 1].map(|i| timed[i].wall_per_record());
        let without = [0, 1, 2].map(|i| bare[i].wall_per_record());
        rows.push(vec![
            W::NAME.to_owned(),
            size.to_string(),
            format!("{:.2}", without[2]),
            format!("{:.2}", with[0]),
            format!("{:.2}", with[1]),
            format!("{:.2}", with[1] / with[0]),
            format!("{:.2}", without[0]),
            format!("{:.2}", without[1]),
            format!("{:.2}", without[1] / without[0]),
        ]);
    }
}

fn contenders<W: Workload>(n: u64, size: usize, timed: bool) -> Vec<Contender> {
    let mut all = vec![
        Contender::timed("pairs", n, move || pairs::<W>(n, size, black_box(timed))),
        Contender::timed("columns", n, move || columns::<W>(n, size, black_box(timed))),
    ];
    if !timed {
        all.push(Contender::timed("none", n, move || bare::<W>(n, size)));
    }
    all
}

/// The timestamp of record `i`.
#[inline]
fn time(i: u64) -> i64 {
    (i ^ 21) as i64
}

/// Calls `fill` with the ranges of the batches.
fn batches(n: u64, size: usize, mut fill: impl FnMut(std::ops::Range<u64>)) {
    let mut i = 0;
    while i < n {
        let end = n.min(i + size as u64);
        fill(i..end);
        i = end;
    }
}

/// Batches that can't carry a timestamp.
#[inline(never)]
fn bare<W: Workload>(n: u64, size: usize) -> u64 {
    let total = Arc::new(AtomicU64::new(0));
    let sum = link(Sum::new(W::weigh, Arc::clone(&total)));
    let filter = link(Filter::new(W::keep, link(MapInPlace::new(W::second, sum))));
    let mut chain = link(MapInPlace::new(W::first, filter));
    let mut buffer = Vec::with_capacity(size);
    batches(n, size, |range| {
        buffer.extend(range.map(W::make));
        chain.batch(&mut buffer);
    });
    chain.end();
    total.load(Ordering::Relaxed)
}

/// [`Sum`] for pairs.
struct PairSum<W> {
    weigh: W,
    checksum: u64,
    max: i64,
    total: Arc<AtomicU64>,
}

impl<T, W: FnMut(T) -> u64 + Send> Output<(i64, T)> for PairSum<W> {
    fn batch(&mut self, records: &mut Vec<(i64, T)>) {
        let mut max = self.max;
        for (time, record) in records.drain(..) {
            max = max.max(time);
            self.checksum = add(self.checksum, (self.weigh)(record));
        }
        self.max = max;
        black_box(&self.max);
    }
    fn end(&mut self) {
        self.total.store(self.checksum, Ordering::Relaxed);
    }
}

/// Array of structs, through the plain operators.
#[inline(never)]
fn pairs<W: Workload>(n: u64, size: usize, timed: bool) -> u64 {
    let total = Arc::new(AtomicU64::new(0));
    let sum = link(PairSum { weigh: W::weigh, checksum: 0, max: ABSENT, total: Arc::clone(&total) });
    let second = link(MapInPlace::new(|(t, record)| (t, W::second(record)), sum));
    let keep = |pair: &(i64, W::Record)| W::keep(&pair.1);
    let filter: Next<(i64, W::Record)> = link(Filter::new(keep, second));
    let mut chain: Next<(i64, W::Record)> = link(MapInPlace::new(|(t, record)| (t, W::first(record)), filter));
    let mut buffer = Vec::with_capacity(size);
    batches(n, size, |range| {
        if timed {
            buffer.extend(range.map(|i| (time(i), W::make(i))));
        } else {
            buffer.extend(range.map(|i| (ABSENT, W::make(i))));
        }
        chain.batch(&mut buffer);
    });
    chain.end();
    total.load(Ordering::Relaxed)
}

/// Struct of arrays; `times` is empty or as long as `values`.
struct Columns<T> {
    values: Vec<T>,
    times: Vec<i64>,
}

impl<T> Columns<T> {
    fn with_capacity(size: usize) -> Self {
        Columns { values: Vec::with_capacity(size), times: Vec::new() }
    }
}

/// [`super::output::Output`] for columns.
trait ColumnOutput<T> {
    fn batch(&mut self, records: &mut Columns<T>);
    fn end(&mut self);
}

#[inline(never)]
fn column_link<T: 'static>(output: impl ColumnOutput<T> + 'static) -> Box<dyn ColumnOutput<T>> {
    black_box(Box::new(output))
}

struct ColumnMap<F, U> {
    f: F,
    next: Box<dyn ColumnOutput<U>>,
}

impl<T, U, F: FnMut(T) -> U> ColumnOutput<T> for ColumnMap<F, U> {
    fn batch(&mut self, records: &mut Columns<T>) {
        let values = mem::take(&mut records.values).into_iter();
        let mut mapped = Columns { values: values.map(&mut self.f).collect(), times: mem::take(&mut records.times) };
        self.next.batch(&mut mapped);
        records.values = emptied(mapped.values);
        records.times = mapped.times;
    }
    fn end(&mut self) {
        self.next.end();
    }
}

struct ColumnFilter<P, T> {
    keep: P,
    next: Box<dyn ColumnOutput<T>>,
}

impl<T, P: FnMut(&T) -> bool> ColumnOutput<T> for ColumnFilter<P, T> {
    fn batch(&mut self, records: &mut Columns<T>) {
        if records.times.is_empty() {
            records.values.retain(&mut self.keep);
        } else {
            keep_both(&mut records.values, &mut records.times, &mut self.keep);
        }
        self.next.batch(records);
    }
    fn end(&mut self) {
        self.next.end();
    }
}

/// `retain` over two columns: small records are swapped, large ones moved by the real `retain`.
fn keep_both<T>(values: &mut Vec<T>, times: &mut Vec<i64>, mut keep: impl FnMut(&T) -> bool) {
    let len = values.len();
    // A slice of the known length frees the loop of bounds checks.
    let t = &mut times[..len];
    let mut kept = 0;
    if size_of::<T>() <= SWAPPED_MAX {
        let v = &mut values[..len];
        for from in 0..len {
            if keep(&v[from]) {
                if kept < from {
                    v.swap(kept, from);
                    t[kept] = t[from];
                }
                kept += 1;
            }
        }
        values.truncate(kept);
    } else {
        let mut from = 0;
        values.retain(|record| {
            let passes = keep(record);
            if passes {
                if kept < from {
                    t[kept] = t[from];
                }
                kept += 1;
            }
            from += 1;
            passes
        });
    }
    times.truncate(kept);
}

struct ColumnSum<W> {
    weigh: W,
    checksum: u64,
    max: i64,
    total: Arc<AtomicU64>,
}

impl<T, W: FnMut(T) -> u64> ColumnOutput<T> for ColumnSum<W> {
    fn batch(&mut self, records: &mut Columns<T>) {
        for record in records.values.drain(..) {
            self.checksum = add(self.checksum, (self.weigh)(record));
        }
        self.max = records.times.drain(..).fold(self.max, i64::max);
        black_box(&self.max);
    }
    fn end(&mut self) {
        self.total.store(self.checksum, Ordering::Relaxed);
    }
}

#[inline(never)]
fn columns<W: Workload>(n: u64, size: usize, timed: bool) -> u64 {
    let total = Arc::new(AtomicU64::new(0));
    let next = column_link(ColumnSum { weigh: W::weigh, checksum: 0, max: ABSENT, total: Arc::clone(&total) });
    let next = column_link(ColumnMap { f: W::second, next });
    let keep = W::keep;
    let next = column_link(ColumnFilter { keep, next });
    let mut chain = column_link(ColumnMap { f: W::first, next });
    let mut buffer = Columns::with_capacity(size);
    batches(n, size, |range| {
        if timed {
            buffer.times.extend(range.clone().map(time));
        }
        buffer.values.extend(range.map(W::make));
        chain.batch(&mut buffer);
    });
    chain.end();
    total.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_layouts_compute_the_same() {
        for timed in [false, true] {
            race(&mut contenders::<Number>(5_000, 64, timed), Duration::ZERO);
            race(&mut contenders::<Line>(5_000, 64, timed), Duration::ZERO);
        }
    }
}
