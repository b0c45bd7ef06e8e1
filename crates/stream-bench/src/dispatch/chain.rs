//! Question (a): how the operators of one chain call each other.
//!
//! The same map, filter, map, sum runs
//! 1. as one iterator type, pulled by the sink (*fused pull*): the least a chain can cost;
//! 2. the same with watermarks among the records, as an engine of this kind needs (Renoir's way);
//! 3. as typed batches behind `dyn`, one virtual call per batch and operator;
//! 4. as 3 with maps that write over the batch they were given, where sizes allow;
//! 5. as 4 with the three operators fused into one stage by hand;
//! 6. with one virtual call per record and operator (Flink's way).

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::output::{Filter, Map, MapInPlace, Next, Stage, Sum, add, link};
use super::workload::{Line, Number, Text, Workload};
use crate::measure::{Contender, race, table};

/// Batch sizes of the tables (a) and (b).
pub(super) const BATCHES: [usize; 4] = [64, 256, 1024, 4096];
/// For one kind of record.
const BUDGET: Duration = Duration::from_secs(5);
/// Records between two watermarks of the pulled chain.
const WATERMARK_EVERY: u64 = 1024;

/// The table of (a).
pub(super) fn report() -> String {
    let columns = [compare::<Number>(), compare::<Line>(), compare::<Text>()];
    let rows: Vec<Vec<String>> = (0..columns[0].len())
        .map(|i| {
            let mut row = vec![columns[0][i].label.clone()];
            for column in &columns {
                let ns = column[i].wall_per_record();
                row.push(format!("{ns:.2}"));
                row.push(format!("{:.2}", ns / column[0].wall_per_record()));
            }
            row
        })
        .collect();
    table(
        "(a) map, filter, map, sum in one chain: ns per record, and times fused pull",
        &["dispatch", Number::NAME, "x", Line::NAME, "x", Text::NAME, "x"],
        &rows,
    )
}

fn compare<W: Workload>() -> Vec<Contender> {
    let mut contenders = contenders::<W>(W::RECORDS);
    race(&mut contenders, BUDGET);
    contenders
}

fn contenders<W: Workload>(n: u64) -> Vec<Contender> {
    let mut all = vec![
        Contender::timed("fused pull", n, move || fused_pull::<W>(n)),
        Contender::timed("fused pull with watermarks", n, move || fused_control::<W>(n)),
        Contender::timed("per-record dyn", n, move || per_record::<W>(n)),
    ];
    for (label, build) in [
        ("typed batches", copying::<W> as fn(Arc<AtomicU64>) -> Next<W::Record>),
        ("typed batches, maps in place", in_place::<W>),
        ("typed batches, one fused stage", fused_stage::<W>),
    ] {
        for size in BATCHES {
            all.push(Contender::timed(format!("{label}, {size}"), n, move || {
                let total = Arc::new(AtomicU64::new(0));
                // Which chain it is, is known only at run time.
                let mut chain = black_box(build)(Arc::clone(&total));
                feed::<W>(n, size, &mut chain);
                total.load(Ordering::Relaxed)
            }));
        }
    }
    all
}

/// The source of a batched chain.
#[inline(never)]
fn feed<W: Workload>(n: u64, size: usize, chain: &mut Next<W::Record>) {
    let mut buffer = Vec::with_capacity(size);
    let mut i = 0;
    while i < n {
        let end = n.min(i + size as u64);
        buffer.extend((i..end).map(W::make));
        chain.batch(&mut buffer);
        i = end;
    }
    chain.end();
}

#[inline(never)]
fn copying<W: Workload>(total: Arc<AtomicU64>) -> Next<W::Record> {
    let sum = link(Sum::new(W::weigh, total));
    let second = link(Map::new(W::second, sum));
    let filter = link(Filter::new(W::keep, second));
    link(Map::new(W::first, filter))
}

#[inline(never)]
fn in_place<W: Workload>(total: Arc<AtomicU64>) -> Next<W::Record> {
    let sum = link(Sum::new(W::weigh, total));
    let second = link(MapInPlace::new(W::second, sum));
    let filter = link(Filter::new(W::keep, second));
    link(MapInPlace::new(W::first, filter))
}

#[inline(never)]
fn fused_stage<W: Workload>(total: Arc<AtomicU64>) -> Next<W::Record> {
    let sum = link(Sum::new(W::weigh, total));
    link(Stage::new(W::first, W::keep, W::second, sum))
}

#[inline(never)]
fn fused_pull<W: Workload>(n: u64) -> u64 {
    let mut checksum = 0;
    let records = (0..black_box(n)).map(W::make).map(W::first);
    for record in records.filter(W::keep).map(W::second) {
        checksum = add(checksum, W::weigh(record));
    }
    checksum
}

/// What a pulled chain carries once it has control events.
enum Element<T> {
    Record(T),
    Watermark(u64),
    End,
}

/// An iterator over [`Element`]s.
trait Pull {
    type Record;
    fn next(&mut self) -> Element<Self::Record>;
}

struct PullSource<W> {
    i: u64,
    n: u64,
    watermark_at: u64,
    make: W,
}

impl<T, W: Fn(u64) -> T> Pull for PullSource<W> {
    type Record = T;
    #[inline]
    fn next(&mut self) -> Element<T> {
        if self.i == self.watermark_at {
            self.watermark_at += WATERMARK_EVERY;
            return Element::Watermark(self.i);
        }
        if self.i == self.n {
            return Element::End;
        }
        self.i += 1;
        Element::Record((self.make)(self.i - 1))
    }
}

struct PullMap<P, F> {
    upstream: P,
    f: F,
}

impl<P: Pull, U, F: FnMut(P::Record) -> U> Pull for PullMap<P, F> {
    type Record = U;
    #[inline]
    fn next(&mut self) -> Element<U> {
        match self.upstream.next() {
            Element::Record(record) => Element::Record((self.f)(record)),
            Element::Watermark(time) => Element::Watermark(time),
            Element::End => Element::End,
        }
    }
}

struct PullFilter<P, F> {
    upstream: P,
    keep: F,
}

impl<P: Pull, F: FnMut(&P::Record) -> bool> Pull for PullFilter<P, F> {
    type Record = P::Record;
    #[inline]
    fn next(&mut self) -> Element<P::Record> {
        loop {
            match self.upstream.next() {
                Element::Record(record) if !(self.keep)(&record) => {}
                element => return element,
            }
        }
    }
}

#[inline(never)]
fn fused_control<W: Workload>(n: u64) -> u64 {
    let upstream = PullSource { i: 0, n: black_box(n), watermark_at: WATERMARK_EVERY, make: W::make };
    let f = W::first;
    let upstream = PullMap { upstream, f };
    let keep = W::keep;
    let upstream = PullFilter { upstream, keep };
    let f = W::second;
    let mut chain = PullMap { upstream, f };
    let mut checksum = 0;
    loop {
        match chain.next() {
            Element::Record(record) => checksum = add(checksum, W::weigh(record)),
            Element::Watermark(time) => {
                black_box(time);
            }
            Element::End => return checksum,
        }
    }
}

/// The next operator when every record is a call.
trait Push<T> {
    fn push(&mut self, record: T);
    fn end(&mut self);
}

/// The counterpart of [`link`].
#[inline(never)]
fn push_link<T: 'static>(push: impl Push<T> + 'static) -> Box<dyn Push<T>> {
    black_box(Box::new(push))
}

struct PushMap<F, U> {
    f: F,
    next: Box<dyn Push<U>>,
}

impl<T, U, F: FnMut(T) -> U> Push<T> for PushMap<F, U> {
    fn push(&mut self, record: T) {
        self.next.push((self.f)(record));
    }
    fn end(&mut self) {
        self.next.end();
    }
}

struct PushFilter<P, T> {
    keep: P,
    next: Box<dyn Push<T>>,
}

impl<T, P: FnMut(&T) -> bool> Push<T> for PushFilter<P, T> {
    fn push(&mut self, record: T) {
        if (self.keep)(&record) {
            self.next.push(record);
        }
    }
    fn end(&mut self) {
        self.next.end();
    }
}

struct PushSum<W> {
    weigh: W,
    checksum: u64,
    total: Arc<AtomicU64>,
}

impl<T, W: FnMut(T) -> u64> Push<T> for PushSum<W> {
    fn push(&mut self, record: T) {
        self.checksum = add(self.checksum, (self.weigh)(record));
    }
    fn end(&mut self) {
        self.total.store(self.checksum, Ordering::Relaxed);
    }
}

#[inline(never)]
fn per_record<W: Workload>(n: u64) -> u64 {
    let total = Arc::new(AtomicU64::new(0));
    let next = push_link(PushSum { weigh: W::weigh, checksum: 0, total: Arc::clone(&total) });
    let f = W::second;
    let next = push_link(PushMap { f, next });
    let keep = W::keep;
    let next = push_link(PushFilter { keep, next });
    let f = W::first;
    let mut chain = push_link(PushMap { f, next });
    for i in 0..black_box(n) {
        chain.push(W::make(i));
    }
    chain.end();
    total.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dispatch_computes_the_same() {
        race(&mut contenders::<Number>(5_000), Duration::ZERO);
        race(&mut contenders::<Line>(5_000), Duration::ZERO);
        race(&mut contenders::<Text>(5_000), Duration::ZERO);
    }
}
