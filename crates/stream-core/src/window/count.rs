//! Windows that count records: no time, no trigger.
//!
//! As time is cut into slices, so are the records of a key: a slice is as many records as divide both the count and the
//! step, and a window is a run of slices that ends with the newest one.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::key::{Key, Keyed};
use crate::operator::{Operator, OperatorContext, Output, Snapshot};
use crate::state::table::Budget;
use crate::state::values::{Then, Values};
use crate::time::Timestamp;
use crate::window::aggregate::Aggregator;
use crate::window::late::Emit;
use crate::window::outbox::Outbox;
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

/// What snapshots call the state.
const COUNTS: &str = "counts";

/// The operator of count windows.
pub(crate) struct CountWindows<K, T, A: Aggregator<T>, E, O> {
    counts: Counts,
    /// Records per slice, and slices per window.
    slice: u64,
    slices: i64,
    aggregator: A,
    context: Option<OperatorContext>,
    keys: Values<K, Counted<A::State>>,
    emit: E,
    outbox: Outbox<O>,
    seen: usize,
    records: PhantomData<fn(T)>,
}

/// What is kept of one key.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "S: Clone + Deserialize<'de>"))]
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
            keys: Values::closed(),
            outbox: Outbox::new(),
            seen: 0,
            records: PhantomData,
        }
    }

    fn record(&mut self, keyed: Keyed<K, T>, timestamp: Option<Timestamp>) {
        let (hash, key, record) = keyed.into_parts();
        let CountWindows { counts, slice, slices, aggregator, keys, emit, outbox, .. } = self;
        let init = || Counted { count: 0, open: None, full: Slices::new(), latest: None };
        keys.upsert(hash, key, init, |key, counted| {
            aggregator.add(counted.open.get_or_insert_with(|| aggregator.create()), record);
            counted.count += 1;
            counted.latest = counted.latest.max(timestamp.map(Timestamp::as_millis));
            if counted.count % *slice != 0 {
                return ((), Then::Keep);
            }
            let index = i64::try_from(counted.count / *slice).unwrap_or(i64::MAX);
            if let Some(open) = counted.open.take() {
                counted.full.put(aggregator, index, open);
            }
            let start = index.saturating_sub(*slices) + 1;
            let fires = counted.count % counts.step == 0;
            if fires {
                let state = match counts.premerge {
                    true => counted.full.slide(aggregator, start),
                    false => counted.full.over(aggregator, start, index + 1),
                };
                if let Some(state) = state {
                    let value = aggregator.result(state);
                    let result = WindowResult { key: key.clone(), window: TimeWindow::ALL, value };
                    outbox.push(emit.result(result), counted.latest.map(Timestamp::from_millis));
                }
            }
            counted.full.forget_before(start + 1);
            ((), Then::keep_if(!fires || !counted.full.is_empty()))
        });
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
        self.keys = Values::new(context);
        self.context = Some(context.clone());
        Ok(())
    }

    fn process(&mut self, batch: &mut Batch<Keyed<K, T>>, out: &mut dyn Output<O>) -> Result<()> {
        let (records, timestamps) = batch.drain_timed();
        for (index, keyed) in records.enumerate() {
            self.seen = index;
            self.record(keyed, timestamps.get(index).copied());
        }
        self.keys.check()?;
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
        self.keys.begin_snapshot(COUNTS, context, snapshot)
    }

    fn snapshot_more(&mut self, snapshot: &mut Snapshot) -> Result<bool> {
        self.keys.write_snapshot(COUNTS, &mut Budget::slice(), snapshot)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let context = self.context.as_ref().ok_or_else(|| Error::internal("a restore before open"))?;
        self.keys.restore(COUNTS, context, snapshot)
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.seen)
    }
}
