//! The watermarks of the splits of one reader, and their minimum.
//!
//! 1. [`on_records`](SplitWatermarks::on_records) sets timestamps and shows them to the split's generator.
//! 2. [`advance`](SplitWatermarks::advance) is asked after every poll. At its [pace](crate::watermark::pace) or when a
//!    split has woken the reader from idleness, it asks every generator, finds out who is idle, writes the shared table,
//!    pauses who is too far ahead, and says what is news about the whole.
//!
//! Time comes in from outside. Nothing here is done per record but two loops: the user's assigner, and the maximum.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::clock::{Clock, Now};
use crate::error::{Error, ErrorKind, Result};
use crate::source::Progress;
use crate::time::Timestamp;
use crate::watermark::WatermarkStrategy;
use crate::watermark::generator::{Assign, FarFutureHook, Generator, read_timestamp};
use crate::watermark::pace::Pace;
use crate::watermark::progress::{Row, STALL, SplitActivity, Stall};

/// The greatest watermark of a generator: the end of the stream is announced by the engine.
const LAST: Timestamp = Timestamp::from_millis(i64::MAX - 1);

/// A [`WatermarkStrategy`] at work in one reader: one generator per split, merged by the minimum over the splits that
/// are neither idle nor finished. A reader without splits is idle.
///
/// For authors of sources: [`WatermarkStrategy::reader`] makes one per subtask. The reader adds its splits, shows what
/// it has read, says when a split has been read to its end, and hands on what [`advance`](SplitWatermarks::advance)
/// and [`due`](SplitWatermarks::due) say as its [`progress`](crate::SourceReader::progress) and
/// [`due`](crate::SourceReader::due).
///
/// # Example
/// ```
/// use std::time::Duration;
/// use stream_core::clock::{Clock, SystemClock};
/// use stream_core::{Batch, OperatorContext, Progress, SourceContext, Timestamp, WatermarkStrategy};
///
/// let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(4));
/// let clock = SystemClock::new();
/// let context = SourceContext::new(OperatorContext::new("source", "source", 0, 1), Vec::new(), || false);
/// let mut watermarks = strategy.reader(&context);
/// let split = watermarks.add_split("numbers[0]");
///
/// let mut batch = Batch::new();
/// batch.push_at(7, Timestamp::from_millis(105));
/// watermarks.on_records(split, &mut batch, 0)?;
/// let drained = true;
/// let progress = watermarks.advance(clock.now(), drained);
/// assert_eq!(progress, Some(Progress::Watermark(Timestamp::from_millis(100))));
/// # Ok::<(), stream_core::Error>(())
/// ```
pub struct SplitWatermarks<T> {
    strategy: WatermarkStrategy<T>,
    assigner: Option<Box<dyn Assign<T>>>,
    on_far_future: Option<Box<dyn FarFutureHook<T>>>,
    pace: Pace,
    clock: Arc<dyn Clock>,
    /// Of the source or operator, for the log.
    name: String,
    splits: Vec<Split<T>>,
    /// The last watermark that was handed on.
    merged: Timestamp,
    /// Whether idleness was the last thing that was handed on.
    idle: bool,
    /// The greatest timestamp that moves event time. Moves with the clock, which is read again before anything is refused.
    latest: Timestamp,
    far_future: FarFuture,
    /// Whether records have come since every generator was asked.
    news: bool,
    /// Whether to speak now, whatever the interval.
    urgent: bool,
    next: Duration,
    /// The earliest time at which a split may be found idle.
    idle_due: Option<Duration>,
    /// Splits that are to be paused or read again, not yet taken.
    pauses: Vec<(usize, bool)>,
    /// While the assigner is at work, how many records it has done.
    seen: Option<usize>,
}

struct Split<T> {
    row: u64,
    generator: Generator<T>,
    watermark: Timestamp,
    life: Life,
    /// Whether records have come since the last look at the clock.
    touched: bool,
    /// Whether it has been read to what is its end for now.
    at_end: bool,
    /// When something came from it last; its silence begins there.
    active: Duration,
    /// When its watermark moved last.
    moved: Duration,
    /// Whether it has moved since the last look at the clock.
    moves: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Active,
    Idle,
    Paused,
    Finished,
}

/// Records that are dated too far ahead, and what the log still has to say about them.
#[derive(Default)]
struct FarFuture {
    unsaid: u64,
    newest: Option<Timestamp>,
    quiet_until: Duration,
}

impl<T: 'static> SplitWatermarks<T> {
    /// `interval` is the job's, if somebody chose one.
    pub(crate) fn new(
        strategy: &WatermarkStrategy<T>,
        name: &str,
        interval: Option<Duration>,
        clock: Arc<dyn Clock>,
    ) -> SplitWatermarks<T> {
        let mut strategy = strategy.clone();
        SplitWatermarks {
            pace: Pace::new(strategy.interval, interval),
            assigner: strategy.assigner.take(),
            on_far_future: strategy.on_far_future.take(),
            clock,
            name: name.to_owned(),
            splits: Vec::new(),
            merged: Timestamp::MIN,
            idle: false,
            latest: Timestamp::MIN,
            far_future: FarFuture::default(),
            news: false,
            // A reader without splits has to say that it is idle.
            urgent: true,
            next: Duration::ZERO,
            idle_due: None,
            pauses: Vec::new(),
            seen: None,
            strategy,
        }
    }

    /// Adds a split; returns the number by which it is called here, counted from 0.
    pub fn add_split(&mut self, name: impl Into<Arc<str>>) -> usize {
        let now = self.clock.monotonic();
        let (split, watermark, activity) = (name.into(), Timestamp::MIN, SplitActivity::Active);
        let row = self.strategy.progress.add(Row { split, watermark, activity, at_end: false, moved: now });
        let generator = self.strategy.generator.make();
        let life = Life::Active;
        let (touched, at_end, moves) = (false, false, false);
        self.splits.push(Split { row, generator, watermark, life, touched, at_end, active: now, moved: now, moves });
        self.splits.len() - 1
    }

    /// The records of `batch` from index `from` on were read from `split`: sets their timestamps and takes note of them.
    /// May be called without any, for what was read and left out.
    ///
    /// # Errors
    /// `Config` if there is neither a timestamp nor an assigner.
    ///
    /// # Panics
    /// If there is no such split.
    pub fn on_records(&mut self, split: usize, batch: &mut Batch<T>, from: usize) -> Result<()> {
        let touched = &mut self.splits[split];
        touched.touched = true;
        touched.at_end = false;
        if touched.life == Life::Idle {
            touched.life = Life::Active;
            // Whoever was told that nobody has to wait for this reader has to hear of it at once.
            self.urgent |= self.idle;
        }
        self.news = true;
        if from >= batch.len() {
            return Ok(());
        }
        self.assign(batch, from)?;
        let (records, timestamps) = (&batch.records()[from..], &batch.timestamps()[from..]);
        let newest = timestamps.iter().copied().max().unwrap_or(Timestamp::MIN);
        if newest > self.latest {
            self.latest = self.strategy.latest(self.clock.now());
        }
        let split = &mut self.splits[split];
        if newest <= self.latest {
            let reached = split.generator.on_batch(records, timestamps, newest);
            self.urgent |= split.reach(reached);
            return Ok(());
        }
        let (latest, mut hook) = (self.latest, self.on_far_future.as_mut());
        let far_future = split_by_future(timestamps, latest, |run, is_future| match &mut hook {
            _ if !is_future => {
                let newest = timestamps[run.clone()].iter().copied().max().unwrap_or(Timestamp::MIN);
                let reached = split.generator.on_batch(&records[run.clone()], &timestamps[run], newest);
                self.urgent |= split.reach(reached);
            }
            Some(hook) => run.for_each(|index| hook.show(&records[index], timestamps[index])),
            None => {}
        });
        self.far_future.unsaid += far_future;
        self.far_future.newest = self.far_future.newest.max(Some(newest));
        self.strategy.progress.add_far_future(far_future);
        Ok(())
    }

    fn assign(&mut self, batch: &mut Batch<T>, from: usize) -> Result<()> {
        let given = batch.timestamps().len() == batch.len();
        let Some(assigner) = &mut self.assigner else {
            if given {
                return Ok(());
            }
            let error =
                Error::new(ErrorKind::Config, "records have no timestamp, and the watermark strategy sets none");
            return Err(error.with_hint("add .with_timestamp_assigner(|record, _| …) to the WatermarkStrategy"));
        };
        let (records, timestamps) = batch.timed_mut();
        assigner.assign(&records[from..], &mut timestamps[from..], given, self.seen.insert(0));
        self.seen = None;
        Ok(())
    }

    /// After a panic in [`on_records`](SplitWatermarks::on_records): which of the records the assigner had in hand,
    /// counted from `from`.
    pub fn failed_at(&self) -> Option<usize> {
        self.seen
    }

    /// `split` has been read to what is its end for now: from here its silence counts.
    ///
    /// # Panics
    /// If there is no such split.
    pub fn at_end(&mut self, split: usize) {
        let split = &mut self.splits[split];
        split.at_end = true;
        if let (Some(timeout), Life::Active) = (self.strategy.idleness, split.life) {
            let due = split.active.saturating_add(timeout);
            self.idle_due = Some(self.idle_due.map_or(due, |other| other.min(due)));
        }
    }

    /// Nothing follows from `split`: it holds nobody back any more.
    ///
    /// # Panics
    /// If there is no such split.
    pub fn finished(&mut self, split: usize) {
        if self.splits[split].life != Life::Finished {
            // What it has brought counts until here.
            self.splits[split].life = Life::Finished;
            self.news = true;
        }
    }

    /// What is news about event time; to be asked after every poll, and when [`due`](SplitWatermarks::due) says so.
    /// `drained` means that there is nothing more to read now.
    pub fn advance(&mut self, now: Now, drained: bool) -> Option<Progress> {
        let drained = drained && self.pace.asks_when_drained();
        let due = self.urgent || self.due().is_some_and(|due| due <= now.monotonic);
        if !(due || self.news && (drained || self.strategy.alignment.is_some())) {
            return None;
        }
        self.refresh(now);
        if !(due || drained) {
            return None;
        }
        (self.news, self.urgent) = (false, false);
        self.next = now.monotonic.saturating_add(self.pace.interval());
        self.say_far_future(now.monotonic);
        self.decide()
    }

    /// When [`advance`](SplitWatermarks::advance) has something to say even if no record comes, on the monotonic clock.
    pub fn due(&self) -> Option<Duration> {
        let periodic = self.strategy.periodic && self.pace.asks();
        let waits = self.news || periodic || self.strategy.alignment.is_some();
        let next = waits.then_some(self.next);
        next.into_iter().chain(self.idle_due).min()
    }

    /// The splits to pause (true) or to read again (false) since the last call, for alignment.
    pub fn pauses(&mut self) -> impl Iterator<Item = (usize, bool)> + '_ {
        self.pauses.drain(..)
    }

    /// Whether there is something to say before the interval is over.
    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// What a checkpoint keeps of `split`, for [`SplitPosition::time`](crate::SplitPosition::time): its watermark, and
    /// its generator.
    ///
    /// # Panics
    /// If there is no such split.
    pub fn snapshot(&mut self, split: usize, now: Now) -> Vec<u8> {
        let split = &mut self.splits[split];
        split.look(self.pace.asks().then_some(now), now.monotonic);
        let mut bytes = split.watermark.as_millis().to_le_bytes().to_vec();
        bytes.extend(split.generator.snapshot());
        bytes
    }

    /// Takes back what [`snapshot`](SplitWatermarks::snapshot) wrote; nothing is taken back from no bytes. Idleness is
    /// found out again: the split may have got more since.
    ///
    /// # Errors
    /// `Corrupt` if the bytes can't be read.
    ///
    /// # Panics
    /// If there is no such split.
    pub fn restore(&mut self, split: usize, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let (watermark, rest) = read_timestamp(bytes)?;
        let split = &mut self.splits[split];
        split.watermark = watermark;
        // Those behind are fresh too, and have to hear it again.
        self.news = true;
        split.generator.restore(rest)
    }

    /// Asks every generator, finds out who is idle, writes the table, pauses and resumes.
    fn refresh(&mut self, now: Now) {
        let at = now.monotonic;
        self.latest = self.strategy.latest(now);
        self.idle_due = None;
        let asked = self.pace.asks().then_some(now);
        for split in self.splits.iter_mut().filter(|split| split.life != Life::Finished) {
            split.look(asked, at);
            if std::mem::take(&mut split.touched) {
                split.active = at;
            }
            let (Some(timeout), Life::Active, true) = (self.strategy.idleness, split.life, split.at_end) else {
                continue;
            };
            let due = split.active.saturating_add(timeout);
            if due <= at {
                split.life = Life::Idle;
            } else {
                self.idle_due = Some(self.idle_due.map_or(due, |other| other.min(due)));
            }
        }
        let splits = &self.splits;
        let (slowest, stall) = self.strategy.progress.publish(at, |rows| {
            for split in splits {
                if let Some(row) = rows.get_mut(&split.row) {
                    split.write(row);
                }
            }
        });
        if let Some(stall) = stall {
            self.say_stall(&stall);
        }
        self.align(slowest, at);
    }

    fn align(&mut self, slowest: Option<Timestamp>, at: Duration) {
        let (Some(drift), Some(slowest)) = (self.strategy.alignment, slowest) else { return };
        let furthest = Timestamp::from_millis(slowest.as_millis().saturating_add(drift));
        for (index, split) in self.splits.iter_mut().enumerate() {
            let pause = split.watermark > furthest;
            match split.life {
                Life::Active if pause => split.life = Life::Paused,
                Life::Paused if !pause => {
                    // Its silence was ours.
                    (split.life, split.active) = (Life::Active, at);
                }
                _ => continue,
            }
            self.pauses.push((index, pause));
        }
    }

    fn decide(&mut self) -> Option<Progress> {
        let waited_for = self.splits.iter().filter(|split| matches!(split.life, Life::Active | Life::Paused));
        match waited_for.map(|split| split.watermark).min() {
            Some(watermark) => {
                let resumed = std::mem::take(&mut self.idle);
                if watermark <= self.merged && !resumed {
                    return None;
                }
                self.merged = self.merged.max(watermark);
                Some(Progress::Watermark(self.merged))
            }
            // When all have finished, the end of the reader says more.
            None if !self.splits.is_empty() && self.splits.iter().all(|split| split.life == Life::Finished) => None,
            None => (!std::mem::replace(&mut self.idle, true)).then_some(Progress::Idle),
        }
    }

    fn say_far_future(&mut self, at: Duration) {
        let far = &mut self.far_future;
        let Some(newest) = far.newest.filter(|_| at >= far.quiet_until) else { return };
        let (records, limit) = (std::mem::take(&mut far.unsaid), self.strategy.max_future.unwrap_or_default());
        far.newest = None;
        far.quiet_until = at + STALL;
        tracing::warn!(
            records,
            newest_millis = newest.as_millis(),
            "{}: records dated more than {limit:?} ahead of the clock do not move event time; hint: check the timestamp \
             assigner's unit, or set with_max_future",
            self.name
        );
    }

    fn say_stall(&self, stall: &Stall) {
        let hint = match (stall.at_end, self.strategy.idleness) {
            (true, None) => "it is empty for now: if that is normal, add with_idleness to the watermark strategy",
            (true, Some(_)) => "it becomes idle when with_idleness is over",
            (false, _) => "it has records that are not read yet, or its broker does not answer",
        };
        let watermark = if stall.watermark == Timestamp::MIN {
            "without any record".to_owned()
        } else {
            format!("at {:?}", stall.watermark)
        };
        tracing::warn!(
            split = &*stall.split,
            "{}: `{}` holds event time back: {watermark} for {} s, while others are at {:?}; hint: {hint}",
            self.name,
            stall.split,
            stall.stands.as_secs(),
            stall.ahead
        );
    }
}

impl<T> Split<T> {
    /// Whether that is further than before.
    fn reach(&mut self, watermark: Option<Timestamp>) -> bool {
        let Some(watermark) = watermark.map(|w| w.min(LAST)).filter(|w| *w > self.watermark) else { return false };
        self.watermark = watermark;
        self.moves = true;
        true
    }

    /// Asks the generator, if it is asked at all, and notes whether the split has moved.
    fn look(&mut self, asked: Option<Now>, at: Duration) {
        let reached = asked.and_then(|now| self.generator.on_periodic(now));
        self.reach(reached);
        if std::mem::take(&mut self.moves) {
            self.moved = at;
        }
    }

    fn write(&self, row: &mut Row) {
        row.watermark = self.watermark;
        row.at_end = self.at_end;
        row.moved = self.moved;
        row.activity = match self.life {
            Life::Active => SplitActivity::Active,
            Life::Idle => SplitActivity::Idle,
            Life::Paused => SplitActivity::Paused,
            Life::Finished => SplitActivity::Finished,
        };
    }
}

impl<T> Drop for SplitWatermarks<T> {
    fn drop(&mut self) {
        for split in &self.splits {
            self.strategy.progress.remove(split.row);
        }
    }
}

/// Cuts `timestamps` into runs that lie beyond `latest` and runs that don't; returns how many lie beyond.
fn split_by_future(
    timestamps: &[Timestamp],
    latest: Timestamp,
    mut each: impl FnMut(std::ops::Range<usize>, bool),
) -> u64 {
    let (mut start, mut beyond) = (0, 0);
    for run in timestamps.chunk_by(|a, b| (*a > latest) == (*b > latest)) {
        let is_future = run[0] > latest;
        each(start..start + run.len(), is_future);
        start += run.len();
        beyond += if is_future { run.len() as u64 } else { 0 };
    }
    beyond
}
