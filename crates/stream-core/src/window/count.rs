//! Windows that count records: no time, no trigger.
//!
//! As time is cut into slices, so are the records of a key: a slice is as many records as divide both the count and the
//! step, and a window is a run of slices that ends with the newest one.

use std::marker::PhantomData;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::key::{Key, Keyed};
use crate::operator::{Operator, OperatorContext, Output, Snapshot};
use crate::state::groups::{GroupWriter, read_groups};
use crate::time::Timestamp;
use crate::window::aggregate::Aggregator;
use crate::window::late::Emit;
use crate::window::outbox::Outbox;
use crate::window::sliced::table_hash;
use crate::window::slices::Slices;
use crate::window::time_window::{TimeWindow, WindowResult};

/// How many records.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) count: u64,
    pub(crate) step: u64,
    pub(crate) premerge: bool,
}

impl Counts {
    fn slice(self) -> u64 {
        let (mut a, mut b) = (self.count, self.step);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    }
}

/// The operator of count windows.
pub(crate) struct CountWindows<K, T, A: Aggregator<T>, E, O> {
    counts: Counts,
    /// Records per slice, and slices per window.
    slice: u64,
    slices: i64,
    aggregator: A,
    context: Option<OperatorContext>,
    keys: HashTable<(K, Counted<A::State>)>,
    emit: E,
    outbox: Outbox<O>,
    seen: usize,
    records: PhantomData<fn(T)>,
}

/// What is kept of one key.
struct Counted<S> {
    /// How many records there were.
    count: u64,
    /// The slice that is not full yet.
    open: Option<S>,
    full: Slices<S>,
    latest: Option<i64>,
}

impl<K, T, A, E, O> CountWindows<K, T, A, E, O>
where
    K: Key,
    A: Aggregator<T>,
    E: Emit<K, A::Output, T, O>,
{
    pub(crate) fn new(counts: Counts, aggregator: A, emit: E) -> Self {
        let slice = counts.slice();
        CountWindows {
            counts,
            slice,
            slices: i64::try_from(counts.count / slice).unwrap_or(i64::MAX),
            aggregator,
            emit,
            context: None,
            keys: HashTable::new(),
            outbox: Outbox::new(),
            seen: 0,
            records: PhantomData,
        }
    }

    fn record(&mut self, keyed: Keyed<K, T>, timestamp: Option<Timestamp>) {
        let (hash, key, record) = keyed.into_parts();
        let entry =
            self.keys.entry(table_hash(hash), |(other, _)| *other == key, |(other, _)| table_hash(other.key_hash()));
        let mut entry = match entry {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => {
                entry.insert((key, Counted { count: 0, open: None, full: Slices::new(), latest: None }))
            }
        };
        let (key, counted) = entry.get_mut();
        let aggregator = &self.aggregator;
        aggregator.add(counted.open.get_or_insert_with(|| aggregator.create()), record);
        counted.count += 1;
        counted.latest = counted.latest.max(timestamp.map(Timestamp::as_millis));
        if counted.count % self.slice != 0 {
            return;
        }
        let index = i64::try_from(counted.count / self.slice).unwrap_or(i64::MAX);
        if let Some(open) = counted.open.take() {
            counted.full.put(aggregator, index, open);
        }
        let start = index.saturating_sub(self.slices) + 1;
        if counted.count % self.counts.step == 0 {
            let state = match self.counts.premerge {
                true => counted.full.slide(aggregator, start),
                false => counted.full.over(aggregator, start, index + 1),
            };
            if let Some(state) = state {
                let value = aggregator.result(state);
                let result = WindowResult { key: key.clone(), window: TimeWindow::ALL, value };
                self.outbox.push(self.emit.result(result), counted.latest.map(Timestamp::from_millis));
            }
        }
        counted.full.forget_before(start + 1);
        if counted.full.is_empty() && counted.count % self.counts.step == 0 {
            entry.remove();
        }
    }
}

impl<K, T, A, E, O> Operator<Keyed<K, T>, O> for CountWindows<K, T, A, E, O>
where
    K: Key,
    A: Aggregator<T>,
    E: Emit<K, A::Output, T, O>,
    O: Send,
{
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.context = Some(context.clone());
        Ok(())
    }

    fn process(&mut self, batch: &mut Batch<Keyed<K, T>>, out: &mut dyn Output<O>) -> Result<()> {
        let (records, timestamps) = batch.drain_timed();
        for (index, keyed) in records.enumerate() {
            self.seen = index;
            self.record(keyed, timestamps.get(index).copied());
        }
        self.outbox.send_waiting(out)
    }

    fn pending(&self) -> bool {
        !self.outbox.is_empty()
    }

    fn resume(&mut self, out: &mut dyn Output<O>) -> Result<()> {
        self.outbox.send_waiting(out)
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let context = self.context.as_ref().ok_or_else(|| Error::internal("a snapshot before open"))?;
        let mut writer = GroupWriter::new(context);
        for (key, counted) in &self.keys {
            let full: Vec<_> = counted.full.iter().collect();
            writer.add(key.key_hash(), &(key, counted.count, &counted.open, full, counted.latest))?;
        }
        writer.finish("counts", snapshot);
        Ok(())
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let context = self.context.clone().ok_or_else(|| Error::internal("a restore before open"))?;
        type Entry<K, S> = (K, u64, Option<S>, Vec<(i64, S)>, Option<i64>);
        read_groups(snapshot, "counts", &context, |(key, count, open, slices, latest): Entry<K, A::State>| {
            let mut full = Slices::new();
            for (index, state) in slices {
                full.put(&self.aggregator, index, state);
            }
            let hash = table_hash(key.key_hash());
            let counted = Counted { count, open, full, latest };
            self.keys.insert_unique(hash, (key, counted), |(other, _)| table_hash(other.key_hash()));
        })
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.seen)
    }
}
