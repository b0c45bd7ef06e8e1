//! What a strategy's splits have reached, in one table: for people who ask which of them holds event time back, for
//! the log line that says it unasked, and for the alignment between splits.
//!
//! The table is shared by all readers of a source. Each writes its own rows, at most once per interval or when it is
//! drained, never per record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::time::Timestamp;

/// How long the slowest split stands still before the log names it, and how often it does so then.
pub(super) const STALL: Duration = Duration::from_secs(10);

/// How far the splits of a [`WatermarkStrategy`](crate::WatermarkStrategy) are; taken from it before it is given away.
///
/// It may be asked from any thread while the job runs. A strategy and its clones share one. Rows appear when the job
/// starts and go when it ends.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use stream_core::WatermarkStrategy;
///
/// let strategy = WatermarkStrategy::<u64>::for_bounded_out_of_orderness(Duration::from_secs(5));
/// let progress = strategy.progress();
/// // … give the strategy to a source, start the job …
/// if let Some(split) = progress.holding_back() {
///     println!("{} holds event time at {:?}", split.split, split.watermark);
/// }
/// assert_eq!(progress.far_future_records(), 0);
/// ```
#[derive(Clone, Default)]
pub struct WatermarkProgress(Arc<Mutex<Table>>);

/// How far one split is in event time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SplitProgress {
    /// The split's name, such as `test_user[2]`; in the middle of a stream, operator and subtask.
    pub split: Arc<str>,
    /// What its generator has reached; [`Timestamp::MIN`] before its first record.
    pub watermark: Timestamp,
    /// Whether others wait for it.
    pub activity: SplitActivity,
}

/// What a split is doing, as far as event time is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SplitActivity {
    /// It is read; the merged watermark is not beyond its own.
    Active,
    /// It has been read to its end and nothing has come for as long as `with_idleness` says: nobody waits for it.
    Idle,
    /// It is too far ahead for the alignment and is not read before the others catch up.
    Paused,
    /// Nothing follows.
    Finished,
}

#[derive(Default)]
struct Table {
    rows: BTreeMap<u64, Row>,
    next: u64,
    far_future: u64,
    /// When the log may name a stalled split again.
    quiet_until: Duration,
}

/// One split.
pub(super) struct Row {
    pub(super) split: Arc<str>,
    pub(super) watermark: Timestamp,
    pub(super) activity: SplitActivity,
    /// Whether it has been read to what is its end for now.
    pub(super) at_end: bool,
    /// When its watermark moved last, on the monotonic clock.
    pub(super) moved: Duration,
}

/// Why event time stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    pub(super) split: Arc<str>,
    pub(super) watermark: Timestamp,
    pub(super) at_end: bool,
    pub(super) stands: Duration,
    /// The furthest of the others.
    pub(super) ahead: Timestamp,
}

impl WatermarkProgress {
    /// The split with the smallest watermark that others wait for: the one that event time depends on. None while
    /// nothing is read, or when all are idle or finished.
    pub fn holding_back(&self) -> Option<SplitProgress> {
        self.lock().slowest().map(Row::seen)
    }

    /// All splits, in the order in which readers have got them.
    pub fn splits(&self) -> Vec<SplitProgress> {
        self.lock().rows.values().map(Row::seen).collect()
    }

    /// How many records were dated too far ahead to move event time.
    pub fn far_future_records(&self) -> u64 {
        self.lock().far_future
    }

    pub(super) fn add(&self, row: Row) -> u64 {
        let mut table = self.lock();
        let id = table.next;
        table.next += 1;
        table.rows.insert(id, row);
        id
    }

    pub(super) fn remove(&self, id: u64) {
        self.lock().rows.remove(&id);
    }

    pub(super) fn add_far_future(&self, records: u64) {
        self.lock().far_future += records;
    }

    /// Lets a reader change its rows; returns the smallest watermark that others are aligned to, if there is one, and
    /// the reason of a stall that is due to be named.
    pub(super) fn publish(
        &self,
        at: Duration,
        write: impl FnOnce(&mut BTreeMap<u64, Row>),
    ) -> (Option<Timestamp>, Option<Stall>) {
        let mut table = self.lock();
        write(&mut table.rows);
        (table.aligned_to(), table.stall(at))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Rows are written one field after another; a panic between leaves an older value, which is as good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn slowest(&self) -> Option<&Row> {
        self.rows.values().filter(|row| row.is_waited_for()).min_by_key(|row| row.watermark)
    }

    /// A split that never had a record and has been read to its end has nothing by which it could catch up.
    fn aligned_to(&self) -> Option<Timestamp> {
        let rows = self.rows.values().filter(|row| row.is_waited_for());
        rows.filter(|row| row.watermark > Timestamp::MIN || !row.at_end).map(|row| row.watermark).min()
    }

    fn stall(&mut self, at: Duration) -> Option<Stall> {
        if at < self.quiet_until {
            return None;
        }
        let slowest = self.slowest()?;
        let stands = at.saturating_sub(slowest.moved);
        let others = self.rows.values().filter(|row| row.moved > slowest.moved && row.watermark > slowest.watermark);
        let ahead = others.map(|row| row.watermark).max()?;
        if stands < STALL {
            return None;
        }
        let (split, watermark, at_end) = (slowest.split.clone(), slowest.watermark, slowest.at_end);
        self.quiet_until = at + STALL;
        Some(Stall { split, watermark, at_end, stands, ahead })
    }
}

impl Row {
    fn is_waited_for(&self) -> bool {
        matches!(self.activity, SplitActivity::Active | SplitActivity::Paused)
    }

    fn seen(&self) -> SplitProgress {
        SplitProgress { split: self.split.clone(), watermark: self.watermark, activity: self.activity }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(split: &str, watermark: i64, activity: SplitActivity, moved: u64) -> Row {
        let watermark = Timestamp::from_millis(watermark);
        Row { split: split.into(), watermark, activity, at_end: true, moved: Duration::from_secs(moved) }
    }

    #[test]
    fn a_split_that_stands_while_others_move_is_named_once_per_ten_seconds() {
        let progress = WatermarkProgress::default();
        let slow = progress.add(row("slow", 5, SplitActivity::Active, 0));
        progress.add(row("fast", 90, SplitActivity::Active, 3));
        let stall = |at| progress.publish(Duration::from_secs(at), |_| {}).1.map(|stall| stall.split);
        assert_eq!(stall(9), None);
        assert_eq!(stall(10).as_deref(), Some("slow"));
        assert_eq!((stall(11), stall(19)), (None, None));
        assert_eq!(stall(20).as_deref(), Some("slow"));
        progress.publish(Duration::from_secs(30), |rows| {
            rows.get_mut(&slow).expect("added above").activity = SplitActivity::Idle;
        });
        assert_eq!(stall(60), None);
        assert_eq!(progress.holding_back().map(|s| s.split.to_string()).as_deref(), Some("fast"));
    }

    #[test]
    fn when_nothing_moves_nobody_is_to_blame() {
        let progress = WatermarkProgress::default();
        progress.add(row("slow", 5, SplitActivity::Active, 3));
        progress.add(row("fast", 90, SplitActivity::Active, 3));
        assert_eq!(progress.publish(Duration::from_secs(99), |_| {}).1, None);
    }
}
