//! Tumbling and sliding windows of event time that fire once, at the watermark: the fast path.
//!
//! ```text
//!   record ──▶ open slices: one table of key -> state each      one lookup per record, no timer, no window in sight
//!                    │ the watermark passes the end of a window
//!                    ▼
//!   tumbling:  the table is the result
//!   sliding:   closed slices by key ──▶ one merge per key and window     (slices.rs)
//! ```
//!
//! 1. A record goes to the table of its slice. The slice of the record before is remembered, so most records only
//!    compare two numbers to find it.
//! 2. A watermark completes windows, one after another in the order of their ends. The tables of their slices are taken
//!    apart into the results of tumbling windows, or moved to the closed slices and merged.
//! 3. A record behind the watermark finds its slice closed. If a window over it is still open, or lateness is allowed,
//!    it is added there, and every window that has fired with it fires again. Otherwise it is late.
//!
//! Whether a window has fired follows from the watermark alone, so a snapshot holds slices and the watermark. The tables
//! are those that all keyed state is made of, so the job's backend decides what they hold: objects or bytes.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::batch::{BATCH_SIZE, Batch, Tally};
use crate::error::{Error, Result};
use crate::key::{Key, Keyed};
use crate::operator::{Operator, OperatorContext, Output, Snapshot};
use crate::state::StateBackend;
use crate::state::groups::corrupt;
use crate::state::table::Budget;
use crate::state::values::{Entries, Then, Values};
use crate::time::Timestamp;
use crate::window::aggregate::Aggregator;
use crate::window::grid::Slicing;
use crate::window::late::{Emit, LateRecords};
use crate::window::outbox::{Outbox, no_timestamps, read_watermark, write_watermark};
use crate::window::slices::Slices;
use crate::window::time_window::{TimeWindow, WindowResult};

/// What snapshots call the table of an open slice, its index following, and that of the closed slices.
const OPEN: &str = "open slice ";
const CLOSED: &str = "closed slices";

/// The operator of the fast path.
pub(crate) struct SlicedWindows<K, T, A: Aggregator<T>, E, O> {
    windows: Core<K, T, A, E, O>,
    seen: usize,
}

/// How windows of this kind behave.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) slicing: Slicing,
    /// For how long windows that have fired are kept.
    pub(crate) lateness: i64,
    /// Whether merges are prepared in advance: not if a merge is as large as its parts.
    pub(crate) premerge: bool,
}

struct Core<K, T, A: Aggregator<T>, E, O> {
    rules: Rules,
    aggregator: A,
    emit: E,
    late: LateRecords,
    context: Option<OperatorContext>,
    backend: StateBackend,
    /// The slices that no window has fired with, in order.
    open: Vec<OpenSlice<K, A::State>>,
    /// The slice of the record before: its bounds and where it is. The bounds are empty if there is none.
    current: (i64, i64, usize),
    /// The slices that some window has fired with. Tumbling windows without lateness have none.
    closed: Values<K, Slices<A::State>>,
    /// The greatest index of a closed slice.
    newest_closed: i64,
    watermark: i64,
    /// The end of the last window that has fired, and of the last one that is complete.
    fired: i64,
    complete: i64,
    firing: Firing<K, A::State>,
    window: TimeWindow,
    outbox: Outbox<O>,
    /// Whether a snapshot still needs what the tables hold: nothing is taken apart before it has it.
    is_writing: bool,
    records: PhantomData<fn(T)>,
}

struct OpenSlice<K, S> {
    index: i64,
    table: Values<K, S>,
}

impl<K, S> OpenSlice<K, S> {
    /// What snapshots call it.
    fn name(&self) -> String {
        format!("{OPEN}{}", self.index)
    }
}

/// The states of the window that is firing.
enum Firing<K, S> {
    Nothing,
    Table(Entries<K, S>),
    List(std::vec::IntoIter<(K, S)>),
}

impl<K: DeserializeOwned, S: DeserializeOwned> Firing<K, S> {
    /// Hands up to `limit` states to `f`.
    fn hand_out(&mut self, limit: usize, mut f: impl FnMut(K, S)) {
        match self {
            Firing::Nothing => {}
            // Each kind of table has a loop of its own, which costs less than a choice per state.
            Firing::Table(Entries::Memory(entries)) => entries.hand_out(limit, f),
            Firing::Table(entries) => entries.take(limit).for_each(|(key, state)| f(key, state)),
            Firing::List(list) => list.take(limit).for_each(|(key, state)| f(key, state)),
        }
    }
}

/// Where a record that is not in the current slice belongs.
enum Place {
    /// To the slice that is the current one now.
    Open,
    /// To a closed slice.
    Closed(i64),
    Late,
    /// To no window.
    Nowhere,
}

impl<K: Key, T, A: Aggregator<T>, E, O> SlicedWindows<K, T, A, E, O> {
    pub(crate) fn new(rules: Rules, aggregator: A, emit: E, late: LateRecords) -> Self {
        let windows = Core {
            rules,
            aggregator,
            emit,
            late,
            context: None,
            backend: StateBackend::Memory,
            open: Vec::new(),
            current: (0, 0, 0),
            closed: Values::closed(),
            newest_closed: i64::MIN,
            watermark: i64::MIN,
            fired: i64::MIN,
            complete: i64::MIN,
            firing: Firing::Nothing,
            window: TimeWindow::ALL,
            outbox: Outbox::new(),
            is_writing: false,
            records: PhantomData,
        };
        SlicedWindows { windows, seen: 0 }
    }
}

impl<K, T, A, E, O> Core<K, T, A, E, O>
where
    K: Key,
    A: Aggregator<T>,
    E: Emit<K, A::Output, T, O>,
{
    /// Whether a slice is a window, and gone when it has fired.
    fn is_direct(&self) -> bool {
        self.rules.slicing.size == 1 && self.rules.lateness == 0
    }

    fn process(&mut self, batch: &mut Batch<Keyed<K, T>>, seen: &mut usize) -> Result<()> {
        let (records, timestamps) = batch.drain_timed();
        if records.len() != timestamps.len() {
            return Err(no_timestamps());
        }
        let (mut tally, mut late) = (Tally::new(seen), 0);
        for (keyed, timestamp) in records.zip(timestamps) {
            let (start, end, mut at) = self.current;
            let millis = timestamp.as_millis();
            if millis < start || millis >= end {
                match self.turn_to(millis) {
                    Place::Open => at = self.current.2,
                    other => {
                        late += self.add_behind(other, keyed, *timestamp);
                        tally.count += 1;
                        continue;
                    }
                }
            }
            let (hash, key, record) = keyed.into_parts();
            let aggregator = &self.aggregator;
            self.open[at].table.upsert(
                hash,
                key,
                || aggregator.create(),
                |_, state| {
                    aggregator.add(state, record);
                    ((), Then::Keep)
                },
            );
            tally.count += 1;
        }
        self.late.add(late, self.context.as_ref());
        self.check()
    }

    /// Finds the slice of a moment, and makes it the current one if it is open.
    #[cold]
    #[inline(never)]
    fn turn_to(&mut self, millis: i64) -> Place {
        let slicing = &self.rules.slicing;
        let index = slicing.grid.slice(millis);
        if !slicing.covers(index) {
            return Place::Nowhere;
        }
        if index < self.complete {
            let expired = self.expired(slicing.last_end(index));
            return if expired { Place::Late } else { Place::Closed(index) };
        }
        let (start, end) = (slicing.grid.start(index), slicing.grid.start(index + 1));
        let at = self.open.binary_search_by_key(&index, |slice| slice.index).unwrap_or_else(|at| {
            // As large as its neighbour was: growing is what a fresh table costs most.
            let capacity = at.checked_sub(1).and_then(|before| self.open.get(before)).map_or(0, |s| s.table.len());
            let table =
                self.context.as_ref().map_or_else(Values::closed, |context| Values::with_capacity(context, capacity));
            self.open.insert(at, OpenSlice { index, table });
            at
        });
        self.current = (start, end, at);
        Place::Open
    }

    /// Whether the windows with this end are gone for good.
    fn expired(&self, end: i64) -> bool {
        let last = self.rules.slicing.grid.start(end).saturating_sub(1);
        last.saturating_add(self.rules.lateness) <= self.watermark
    }

    /// Takes in a record behind the watermark; returns 1 if it is late.
    fn add_behind(&mut self, place: Place, keyed: Keyed<K, T>, timestamp: Timestamp) -> u64 {
        let index = match place {
            Place::Closed(index) => index,
            Place::Late => {
                if let Some(late) = self.emit.late(keyed.into_parts().2) {
                    self.outbox.push(late, Some(timestamp));
                }
                return 1;
            }
            Place::Open | Place::Nowhere => return 0,
        };
        let (hash, key, record) = keyed.into_parts();
        let slicing = &self.rules.slicing;
        let fired: Vec<i64> = slicing.ends(index).filter(|e| *e <= self.complete && !self.expired(*e)).collect();
        let mut state = self.aggregator.create();
        self.aggregator.add(&mut state, record);
        self.newest_closed = self.newest_closed.max(index);
        let Core { aggregator, emit, outbox, closed, .. } = self;
        closed.upsert(hash, key, Slices::new, |key, slices| {
            slices.put(aggregator, index, state);
            for end in fired {
                if let Some(state) = slices.over(aggregator, end - slicing.size, end) {
                    let (window, value) = (slicing.window(end), aggregator.result(state));
                    let result = emit.result(WindowResult { key: key.clone(), window, value });
                    outbox.push(result, Some(window.max_timestamp()));
                }
            }
            ((), Then::Keep)
        });
        0
    }

    /// Moves an open slice to the closed ones.
    fn close(&mut self, slice: OpenSlice<K, A::State>) -> Result<()> {
        self.newest_closed = self.newest_closed.max(slice.index);
        let Core { aggregator, closed, .. } = self;
        let mut entries = slice.table.into_entries();
        for (key, state) in entries.by_ref() {
            closed.upsert(key.key_hash(), key, Slices::new, |_, slices| {
                slices.put(aggregator, slice.index, state);
                ((), Then::Keep)
            });
        }
        entries.check()
    }

    /// Tells of a state that could not be encoded or decoded.
    fn check(&mut self) -> Result<()> {
        if self.backend == StateBackend::Memory {
            return Ok(());
        }
        self.open.iter_mut().try_for_each(|slice| slice.table.check())?;
        self.closed.check()
    }

    /// Hands on one batch of what is ready, windows that are complete included.
    fn fire(&mut self, out: &mut dyn Output<O>) -> Result<()> {
        self.outbox.fill();
        // Without a window to fire nothing is taken apart, but what is complete has fired.
        if self.outbox.is_empty() && (!self.is_writing || self.next_end().is_none()) {
            let Core { aggregator, emit, outbox, .. } = self;
            let (aggregator, emit) = (aggregator.clone(), emit.clone());
            let mut batch = std::mem::take(&mut outbox.batch);
            while batch.len() < BATCH_SIZE {
                let (window, last) = (self.window, self.window.max_timestamp());
                self.firing.hand_out(BATCH_SIZE - batch.len(), |key, state| {
                    let value = aggregator.result(state);
                    batch.push_at(emit.result(WindowResult { key, window, value }), last);
                });
                if batch.len() < BATCH_SIZE && !self.next_window()? {
                    break;
                }
            }
            self.outbox.batch = batch;
            self.check()?;
        }
        self.outbox.send(out)
    }

    /// Begins with the next window that is complete. False if there is none.
    fn next_window(&mut self) -> Result<bool> {
        if let Firing::Table(fired) = &mut self.firing {
            fired.check()?;
        }
        self.firing = Firing::Nothing;
        let Some(end) = self.next_end() else {
            self.fired = self.complete;
            if !self.is_writing
                && !self.closed.is_empty()
                && self.expired(self.rules.slicing.last_end(self.newest_closed))
            {
                self.closed.clear();
            }
            return Ok(false);
        };
        self.current = (0, 0, 0);
        self.fired = end;
        self.window = self.rules.slicing.window(end);
        let slices = self.open.partition_point(|slice| slice.index < end);
        if self.is_direct() {
            // There is just one, because every slice is the end of a window.
            if let Some(slice) = self.open.drain(..slices).next() {
                self.firing = Firing::Table(slice.table.into_entries());
            }
            return Ok(true);
        }
        for slice in self.open.drain(..slices).collect::<Vec<_>>() {
            self.close(slice)?;
        }
        self.firing = Firing::List(self.merge_window(end).into_iter());
        Ok(true)
    }

    /// The end of the first window that is complete, has not fired and is not empty.
    fn next_end(&self) -> Option<i64> {
        let slicing = &self.rules.slicing;
        let of_open = self.open.first().map(|slice| slicing.first_end(slice.index));
        let of_closed = (!self.closed.is_empty())
            .then(|| self.fired + slicing.slide)
            .filter(|end| end - slicing.size <= self.newest_closed);
        of_open.into_iter().chain(of_closed).min().filter(|end| *end <= self.complete)
    }

    /// The states of a window, over all keys; forgets what no window needs any more.
    fn merge_window(&mut self, end: i64) -> Vec<(K, A::State)> {
        let Core { rules: Rules { slicing, lateness, premerge }, aggregator, watermark, .. } = self;
        // The windows up to this end are gone; the slice after it begins the first window that may be needed.
        let gone = slicing.complete(watermark.saturating_sub(*lateness)).min(end);
        let needed = gone - slicing.size + slicing.slide;
        let start = end - slicing.size;
        // A restored subtask may own slices that another one had closed at a later watermark.
        let slides = *premerge && self.newest_closed < end;
        let mut merged = Vec::with_capacity(self.closed.len());
        self.closed.visit_all(|key, slices| {
            let state = match slides {
                true => slices.slide(aggregator, start),
                false => slices.over(aggregator, start, end),
            };
            if let Some(state) = state {
                merged.push((key.clone(), state));
            }
            slices.forget_before(needed);
            Then::keep_if(!slices.is_empty())
        });
        merged
    }

    /// Writes more of the snapshot that was begun. Returns whether there is still more.
    fn write_snapshot(&mut self, snapshot: &mut Snapshot) -> Result<bool> {
        let mut budget = Budget::slice();
        for slice in self.open.iter_mut().filter(|slice| slice.table.is_writing()) {
            if slice.table.write_snapshot(&slice.name(), &mut budget, snapshot)? {
                return Ok(true);
            }
        }
        self.closed.write_snapshot(CLOSED, &mut budget, snapshot)
    }

    fn set_watermark(&mut self, watermark: i64) {
        self.watermark = watermark;
        self.complete = self.rules.slicing.complete(watermark);
    }

    fn pending(&self) -> bool {
        let fires = match &self.firing {
            Firing::Nothing => false,
            Firing::Table(table) => table.len() > 0,
            Firing::List(list) => list.len() > 0,
        };
        fires || !self.outbox.is_empty() || self.fired != self.complete && self.next_end().is_some()
    }
}

impl<K, T, A, E, O> Operator<Keyed<K, T>, O> for SlicedWindows<K, T, A, E, O>
where
    K: Key,
    A: Aggregator<T>,
    E: Emit<K, A::Output, T, O>,
    O: Send,
{
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.windows.context = Some(context.clone());
        self.windows.backend = context.state_backend();
        self.windows.closed = Values::new(context);
        self.windows.set_watermark(i64::MIN);
        self.windows.fired = self.windows.complete;
        Ok(())
    }

    fn process(&mut self, batch: &mut Batch<Keyed<K, T>>, out: &mut dyn Output<O>) -> Result<()> {
        self.windows.process(batch, &mut self.seen)?;
        self.windows.outbox.send_waiting(out)
    }

    fn watermark(&mut self, watermark: Timestamp, out: &mut dyn Output<O>) -> Result<Option<Timestamp>> {
        if watermark.as_millis() > self.windows.watermark {
            self.windows.set_watermark(watermark.as_millis());
            self.windows.fire(out)?;
        }
        Ok(Some(watermark))
    }

    fn pending(&self) -> bool {
        self.windows.pending()
    }

    fn resume(&mut self, out: &mut dyn Output<O>) -> Result<()> {
        self.windows.fire(out)
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        let windows = &mut self.windows;
        let context = windows.context.as_ref().ok_or_else(|| Error::internal("a snapshot before open"))?;
        for slice in &mut windows.open {
            slice.table.begin_snapshot(&slice.name(), context, snapshot)?;
        }
        windows.closed.begin_snapshot(CLOSED, context, snapshot)?;
        write_watermark(windows.watermark, context, snapshot)?;
        windows.is_writing = true;
        Ok(())
    }

    fn snapshot_more(&mut self, snapshot: &mut Snapshot) -> Result<bool> {
        let written = self.windows.write_snapshot(snapshot);
        self.windows.is_writing = *written.as_ref().unwrap_or(&false);
        if written.is_err() {
            self.windows.open.iter_mut().for_each(|slice| slice.table.give_snapshot_up());
            self.windows.closed.give_snapshot_up();
        }
        written
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let windows = &mut self.windows;
        let context = windows.context.clone().ok_or_else(|| Error::internal("a restore before open"))?;
        windows.set_watermark(read_watermark(&context, snapshot)?);
        windows.fired = windows.complete;
        for index in open_slices(snapshot)? {
            let mut slice = OpenSlice { index, table: Values::new(&context) };
            slice.table.restore(&slice.name(), &context, snapshot)?;
            if !slice.table.is_empty() {
                let at = windows.open.partition_point(|slice| slice.index < index);
                windows.open.insert(at, slice);
            }
        }
        windows.closed.restore(CLOSED, &context, snapshot)?;
        let newest = &mut windows.newest_closed;
        windows.closed.for_each(|_, slices| *newest = (*newest).max(slices.newest().unwrap_or(i64::MIN)));
        windows.check()
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.seen)
    }
}

/// The slices that were open when a snapshot was taken.
fn open_slices(snapshot: &Snapshot) -> Result<BTreeSet<i64>> {
    let names = snapshot.states().filter_map(|state| state.strip_prefix(OPEN));
    let index = |name: &str| {
        let index = name.parse().ok();
        index.ok_or_else(|| corrupt("open slices", &format!("`{name}` begins with no index")))
    };
    names.map(index).collect()
}
