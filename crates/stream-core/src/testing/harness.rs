//! The operator harness: one operator, one input, one expected output, and every way the engine may run it.
//!
//! A [`Variation`] says how the input is cut into batches, what comes between them, after which of them the operator is
//! replaced by a fresh one that takes back its snapshot, and whether there is room behind it. All variations are run:
//!
//! | | |
//! | --- | --- |
//! | batches | of one, of all, three random splits |
//! | between two batches | nothing, a watermark, idleness, a barrier, a drained input |
//! | snapshot and restore | never, after every batch, after every other |
//! | behind the operator | always room, room only when everything else has been tried |
//!
//! The operator stands in the same link as in a job, so what it leaves pending is resumed, held back and forwarded by
//! the code of production.

use std::fmt::{self, Debug};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::batch::Batch;
use crate::operator::{Operator, OperatorContext};
use crate::random::Random;
use crate::testing::difference::difference;
use crate::testing::rig::{Rig, Seen};
use crate::time::Timestamp;

/// How the input is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Batches {
    One,
    All,
    /// With this seed.
    Random(u64),
}

/// What comes between two batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Nothing,
    Watermark,
    Idle,
    Barrier,
    /// The input is drained for the moment.
    Drained,
}

/// After which batch the operator is replaced by a fresh one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restore {
    Never,
    Every,
    EveryOther,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Always,
    Scarce,
}

/// What comes in.
enum Event<I> {
    Record(I, Option<Timestamp>),
    Watermark(Timestamp),
}

/// What is handed to the operator at once.
enum Step {
    /// The records at these indices of the input.
    Batch(usize, usize),
    Watermark(Timestamp),
}

/// One way to run an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Variation {
    batches: Batches,
    between: Between,
    restore: Restore,
    room: Room,
}

const BATCHES: [Batches; 5] = [Batches::One, Batches::All, Batches::Random(1), Batches::Random(2), Batches::Random(3)];
const BETWEEN: [Between; 5] = [Between::Nothing, Between::Watermark, Between::Idle, Between::Barrier, Between::Drained];
const RESTORES: [Restore; 3] = [Restore::Never, Restore::Every, Restore::EveryOther];
const ROOMS: [Room; 2] = [Room::Always, Room::Scarce];

impl fmt::Display for Variation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.batches {
            Batches::One => write!(f, "batches of one")?,
            Batches::All => write!(f, "one batch of all")?,
            Batches::Random(seed) => write!(f, "batches of random sizes (seed {seed})")?,
        }
        f.write_str(match self.between {
            Between::Nothing => "",
            Between::Watermark => ", a watermark after each",
            Between::Idle => ", idle after each",
            Between::Barrier => ", a barrier after each",
            Between::Drained => ", drained after each",
        })?;
        f.write_str(match self.restore {
            Restore::Never => "",
            Restore::Every => ", restored after every batch",
            Restore::EveryOther => ", restored after every other batch",
        })?;
        f.write_str(match self.room {
            Room::Always => "",
            Room::Scarce => ", a full output",
        })
    }
}

/// Runs an operator over an input in every way the engine may run it, and compares what comes out.
///
/// The records have to be the same in every variation. So an operator fails whose output depends on where a batch ends,
/// that forgets something in its snapshot, or that breaks a rule: one batch per call, watermarks that never go back, and
/// no record at or before a watermark that was handed on. A watermark put between two records is the greatest that no
/// later record contradicts.
///
/// # Example
/// ```
/// use stream_core::testing::Harness;
/// use stream_core::{Batch, Operator, Output, Result, Snapshot};
///
/// /// Passes on what is greater than everything before it.
/// #[derive(Default)]
/// struct Rising(u8);
///
/// impl Operator<u8, u8> for Rising {
///     fn process(&mut self, batch: &mut Batch<u8>, out: &mut dyn Output<u8>) -> Result<()> {
///         let greatest = &mut self.0;
///         let rising = batch.drain().filter(|x| *x > std::mem::replace(greatest, (*x).max(*greatest)));
///         out.batch(&mut rising.collect())
///     }
///
///     fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
///         snapshot.put("greatest", vec![self.0]);
///         Ok(())
///     }
///
///     fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
///         self.0 = snapshot.get("greatest").map_or(0, |bytes| bytes[0]);
///         Ok(())
///     }
/// }
///
/// Harness::new(Rising::default).input([3, 1, 4, 1, 5]).output([3, 4, 5]).check();
/// ```
#[must_use = "a harness runs nothing before check() or failure()"]
pub struct Harness<I, O, F> {
    make: F,
    input: Vec<Event<I>>,
    output: Vec<O>,
    timestamps: Option<Vec<Timestamp>>,
    any_order: bool,
    context: OperatorContext,
}

impl<I, O, P, F> Harness<I, O, F>
where
    I: Clone + Send + 'static,
    O: Debug + PartialEq + Send + 'static,
    P: Operator<I, O> + 'static,
    F: Fn() -> P,
{
    /// A harness for the operators that `make` makes: one at the start, and one for every restore.
    pub fn new(make: F) -> Harness<I, O, F> {
        let context = OperatorContext::new("operator", "operator", 0, 1);
        Harness { make, input: Vec::new(), output: Vec::new(), timestamps: None, any_order: false, context }
    }

    /// Adds records that come in, without timestamps.
    pub fn input(mut self, records: impl IntoIterator<Item = I>) -> Harness<I, O, F> {
        self.input.extend(records.into_iter().map(|record| Event::Record(record, None)));
        self
    }

    /// Adds records that come in, with the milliseconds of their timestamps.
    pub fn input_at(mut self, records: impl IntoIterator<Item = (I, i64)>) -> Harness<I, O, F> {
        let timed = |(record, millis)| Event::Record(record, Some(Timestamp::from_millis(millis)));
        self.input.extend(records.into_iter().map(timed));
        self
    }

    /// Adds a watermark between the records before and those that follow, for operators whose output depends on it.
    /// A record that follows may be late.
    pub fn watermark(mut self, millis: i64) -> Harness<I, O, F> {
        self.input.push(Event::Watermark(Timestamp::from_millis(millis)));
        self
    }

    /// Sets the records that have to come out, in this order, what comes at the end of the input included.
    pub fn output(mut self, records: impl IntoIterator<Item = O>) -> Harness<I, O, F> {
        self.output = records.into_iter().collect();
        self
    }

    /// As [`output`](Harness::output), with the milliseconds of their timestamps.
    pub fn output_at(mut self, records: impl IntoIterator<Item = (O, i64)>) -> Harness<I, O, F> {
        let (records, timestamps) = records.into_iter().map(|(r, millis)| (r, Timestamp::from_millis(millis))).unzip();
        self.output = records;
        self.timestamps = Some(timestamps);
        self
    }

    /// Lets the records come out in any order: of an operator that keeps its state in a hash table.
    pub fn in_any_order(mut self) -> Harness<I, O, F> {
        self.any_order = true;
        self
    }

    /// Sets who the operator is told that it is.
    pub fn context(mut self, context: OperatorContext) -> Harness<I, O, F> {
        self.context = context;
        self
    }

    /// Runs all variations.
    ///
    /// # Panics
    /// If one fails; the text names the variation and shows the difference.
    #[track_caller]
    #[expect(clippy::panic, reason = "this is an assertion")]
    pub fn check(self) {
        if let Some(failure) = self.failure() {
            panic!("{failure}");
        }
    }

    /// Runs all variations and describes the first that fails.
    pub fn failure(&self) -> Option<String> {
        for restore in RESTORES {
            for room in ROOMS {
                for between in BETWEEN {
                    for batches in BATCHES {
                        let variation = Variation { batches, between, restore, room };
                        if let Err(failure) = self.run(variation) {
                            return Some(failure);
                        }
                    }
                }
            }
        }
        None
    }

    fn run(&self, variation: Variation) -> Result<(), String> {
        let ran = catch_unwind(AssertUnwindSafe(|| self.collect(variation)));
        let seen = match ran {
            Ok(Ok(seen)) => seen,
            Ok(Err(failure)) => return Err(format!("{failure}, with {variation}")),
            Err(_) => return Err(format!("a panic, shown above, with {variation}")),
        };
        let mut records: Vec<&O> = seen.records.iter().map(|(record, _)| record).collect();
        let mut expected: Vec<&O> = self.output.iter().collect();
        self.order(&mut records);
        self.order(&mut expected);
        if records != expected {
            let difference = difference(&expected, &records);
            return Err(format!("another output than expected with {variation}\n{difference}"));
        }
        let Some(expected) = &self.timestamps else { return Ok(()) };
        let mut expected: Vec<_> = self.output.iter().zip(expected.iter().map(|t| Some(*t))).collect();
        let mut actual: Vec<_> = seen.records.iter().map(|(record, timestamp)| (record, *timestamp)).collect();
        self.order(&mut expected);
        self.order(&mut actual);
        if expected != actual {
            let difference = difference(&expected, &actual);
            return Err(format!("other timestamps than expected with {variation}\n{difference}"));
        }
        Ok(())
    }

    /// Brings records into an order of their own, if they may come in any.
    fn order(&self, records: &mut [impl Debug]) {
        if self.any_order {
            records.sort_by_cached_key(|record| format!("{record:?}"));
        }
    }

    fn collect(&self, variation: Variation) -> Result<Seen<O>, String> {
        let mut rig = Rig::new(&self.make, &self.context, variation.room == Room::Scarce, self.has_late_records())?;
        let mut time = Timestamp::MIN;
        for (index, step) in self.steps(variation.batches).into_iter().enumerate() {
            match step {
                Step::Batch(start, end) => {
                    rig.batch(self.batch(start, end))?;
                    self.between(&mut rig, variation.between, end, &mut time)?;
                }
                Step::Watermark(watermark) => {
                    time = watermark;
                    rig.watermark(watermark)?;
                }
            }
            let restore = match variation.restore {
                Restore::Never => false,
                Restore::Every => true,
                Restore::EveryOther => index % 2 == 1,
            };
            if restore {
                rig.restore(&self.make, &self.context)?;
            }
        }
        rig.watermark(Timestamp::MAX)?;
        rig.end()
    }

    /// What the variation puts after the records before `next`; event time has reached `time`.
    fn between(
        &self,
        rig: &mut Rig<I, O, P>,
        between: Between,
        next: usize,
        time: &mut Timestamp,
    ) -> Result<(), String> {
        match between {
            Between::Nothing => Ok(()),
            Between::Watermark => match self.watermark_before(next).filter(|watermark| watermark > time) {
                Some(watermark) => {
                    *time = watermark;
                    rig.watermark(watermark)
                }
                None => Ok(()),
            },
            Between::Idle => rig.idle(),
            Between::Drained => rig.drained(),
            // Any number will do, as long as each barrier has its own.
            Between::Barrier => rig.barrier(next as u64),
        }
    }

    fn batch(&self, start: usize, end: usize) -> Batch<I> {
        let mut batch = Batch::new();
        for event in &self.input[start..end] {
            if let Event::Record(record, timestamp) = event {
                batch.push_as(record.clone(), *timestamp);
            }
        }
        batch
    }

    fn steps(&self, batches: Batches) -> Vec<Step> {
        let mut random = Random::new(if let Batches::Random(seed) = batches { seed } else { 0 });
        let (mut start, mut steps) = (0, Vec::new());
        while let Some(event) = self.input.get(start) {
            if let Event::Watermark(watermark) = event {
                steps.push(Step::Watermark(*watermark));
                start += 1;
                continue;
            }
            let longest = self.input[start..].iter().take_while(|other| event.may_share_a_batch_with(other)).count();
            let size = match batches {
                Batches::One => 1,
                Batches::All => longest,
                Batches::Random(_) => 1 + random.index(longest),
            };
            steps.push(Step::Batch(start, start + size));
            start += size;
        }
        steps
    }

    /// The greatest watermark that neither a record nor a watermark from `next` on contradicts; none after the last
    /// record, because the end of the input brings its own. Without event time nothing is contradicted, and it counts.
    fn watermark_before(&self, next: usize) -> Option<Timestamp> {
        let rest = self.input.get(next..).unwrap_or_default();
        if !rest.iter().any(|event| matches!(event, Event::Record(..))) {
            return None;
        }
        let limits = rest.iter().filter_map(|event| match event {
            Event::Record(_, timestamp) => timestamp.map(|timestamp| timestamp.as_millis().saturating_sub(1)),
            Event::Watermark(watermark) => Some(watermark.as_millis()),
        });
        limits.min().or_else(|| i64::try_from(next).ok()).map(Timestamp::from_millis)
    }

    fn has_late_records(&self) -> bool {
        let mut time = Timestamp::MIN;
        self.input.iter().any(|event| match event {
            Event::Record(_, timestamp) => timestamp.is_some_and(|timestamp| timestamp <= time),
            Event::Watermark(watermark) => {
                time = *watermark;
                false
            }
        })
    }
}

impl<I> Event<I> {
    /// A batch has timestamps for all its records or for none.
    fn may_share_a_batch_with(&self, other: &Event<I>) -> bool {
        match (self, other) {
            (Event::Record(_, a), Event::Record(_, b)) => a.is_some() == b.is_some(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::error::{Error, ErrorKind, Result as CoreResult};
    use crate::operator::{Output, Snapshot};

    /// What a broken [`RunningCount`] gets wrong.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Flaw {
        None,
        Forgets,
        CountsBatches,
        TwoBatches,
        NeverEnds,
        Fails,
        Panics,
        SetsTimeBack,
        LateRecords,
        ForgetsPending,
    }

    /// Numbers every record, one result per call, and says at the end how many there were.
    struct RunningCount {
        flaw: Flaw,
        count: u64,
        waiting: Vec<(char, Option<Timestamp>)>,
    }

    impl RunningCount {
        fn push(&mut self, out: &mut dyn Output<(char, u64)>) -> CoreResult<()> {
            let (record, timestamp) = self.waiting.remove(0);
            self.count += u64::from(self.flaw != Flaw::CountsBatches);
            let mut batch = Batch::new();
            let late = self.flaw == Flaw::LateRecords;
            batch.push_as((record, self.count), timestamp.map(|t| if late { Timestamp::MIN } else { t }));
            out.batch(&mut batch)
        }
    }

    impl Operator<char, (char, u64)> for RunningCount {
        fn process(&mut self, batch: &mut Batch<char>, out: &mut dyn Output<(char, u64)>) -> CoreResult<()> {
            assert!(self.waiting.is_empty(), "input came while output was pending");
            let timestamps: Vec<_> = (0..batch.len()).map(|index| batch.timestamp(index)).collect();
            self.waiting = batch.drain().zip(timestamps).collect();
            match self.flaw {
                Flaw::CountsBatches => self.count += 1,
                Flaw::Fails if self.count == 2 => return Err(Error::new(ErrorKind::Data, "two is enough")),
                Flaw::Panics if self.count == 2 => panic!("two is enough"),
                Flaw::TwoBatches => out.batch(&mut Batch::new())?,
                _ => {}
            }
            self.push(out)
        }

        fn watermark(
            &mut self,
            watermark: Timestamp,
            _out: &mut dyn Output<(char, u64)>,
        ) -> CoreResult<Option<Timestamp>> {
            let back = Timestamp::from_millis(-watermark.as_millis());
            Ok(Some(if self.flaw == Flaw::SetsTimeBack { back } else { watermark }))
        }

        fn end(&mut self, _out: &mut dyn Output<(char, u64)>) -> CoreResult<()> {
            self.waiting.push(('=', None));
            Ok(())
        }

        fn pending(&self) -> bool {
            !self.waiting.is_empty() && self.flaw != Flaw::ForgetsPending || self.flaw == Flaw::NeverEnds
        }

        fn resume(&mut self, out: &mut dyn Output<(char, u64)>) -> CoreResult<()> {
            if self.waiting.is_empty() { Ok(()) } else { self.push(out) }
        }

        fn snapshot(&mut self, snapshot: &mut Snapshot) -> CoreResult<()> {
            snapshot.put("count", self.count.to_le_bytes().to_vec());
            Ok(())
        }

        fn restore(&mut self, snapshot: &Snapshot) -> CoreResult<()> {
            let bytes = snapshot.get("count").and_then(|bytes| bytes.try_into().ok());
            let bytes = bytes.ok_or_else(|| Error::new(ErrorKind::Corrupt, "no count"))?;
            self.count = if self.flaw == Flaw::Forgets { 0 } else { u64::from_le_bytes(bytes) };
            Ok(())
        }
    }

    fn failure(flaw: Flaw) -> Option<String> {
        let make = move || RunningCount { flaw, count: 0, waiting: Vec::new() };
        let output = [('a', 1), ('b', 2), ('c', 3), ('d', 4), ('=', 5)];
        let untimed = Harness::new(make).input(['a', 'b', 'c', 'd']).output(output);
        let timed = Harness::new(make).input_at([('a', 20), ('b', 10), ('c', 30), ('d', 40)]).output(output);
        untimed.failure().or_else(|| timed.failure())
    }

    /// Holds records back until event time has reached them, then hands them on in order of time; drops late ones.
    #[derive(Default)]
    struct Sorted {
        held: BTreeMap<i64, u8>,
        time: i64,
    }

    impl Operator<u8, u8> for Sorted {
        fn process(&mut self, batch: &mut Batch<u8>, _out: &mut dyn Output<u8>) -> CoreResult<()> {
            let times: Vec<i64> = batch.timestamps().iter().map(|timestamp| timestamp.as_millis()).collect();
            self.held.extend(times.into_iter().zip(batch.drain()).filter(|(time, _)| *time > self.time));
            Ok(())
        }

        fn watermark(&mut self, watermark: Timestamp, out: &mut dyn Output<u8>) -> CoreResult<Option<Timestamp>> {
            self.time = watermark.as_millis();
            let mut batch = Batch::new();
            while let Some(first) = self.held.first_entry().filter(|first| *first.key() <= self.time) {
                let time = Timestamp::from_millis(*first.key());
                batch.push_at(first.remove(), time);
            }
            if !batch.is_empty() {
                out.batch(&mut batch)?;
            }
            Ok(Some(watermark))
        }

        fn snapshot(&mut self, snapshot: &mut Snapshot) -> CoreResult<()> {
            let entries = self.held.iter().flat_map(|(time, record)| [*time as u8, *record]);
            snapshot.put("held", entries.chain([self.time as u8]).collect());
            Ok(())
        }

        fn restore(&mut self, snapshot: &Snapshot) -> CoreResult<()> {
            if let Some((time, held)) = snapshot.get("held").and_then(<[u8]>::split_last) {
                self.time = i64::from(*time);
                self.held = held.chunks(2).map(|entry| (i64::from(entry[0]), entry[1])).collect();
            }
            Ok(())
        }
    }

    #[test]
    fn an_operator_of_event_time_passes_with_watermarks_of_the_input_and_late_records() {
        let harness = Harness::new(Sorted::default).input_at([(3, 30), (1, 10), (2, 20)]).watermark(20);
        let harness = harness.input_at([(4, 40), (9, 15), (5, 25)]).watermark(35).input_at([(6, 60)]);
        harness.output_at([(1, 10), (2, 20), (5, 25), (3, 30), (4, 40), (6, 60)]).check();
    }

    #[test]
    fn an_operator_that_keeps_its_state_passes() {
        assert_eq!(failure(Flaw::None), None);
    }

    #[test]
    fn a_failure_names_the_variation_and_shows_the_difference() {
        let expected = "another output than expected with batches of one, restored after every batch\n  \
                        \x20 ('a', 1)\n  - ('b', 2)\n  - ('c', 3)\n  - ('d', 4)\n  - ('=', 5)\n  + ('b', 1)\n  \
                        + ('c', 1)\n  + ('d', 1)\n  + ('=', 1)\n";
        assert_eq!(failure(Flaw::Forgets).as_deref(), Some(expected));
    }

    #[test]
    fn every_flaw_is_found() {
        for (flaw, expected) in [
            (Flaw::CountsBatches, "another output than expected with batches of one\n"),
            (Flaw::TwoBatches, "pushed more than one batch in one call, at a batch, with batches of one"),
            (Flaw::NeverEnds, "still has output pending 1000000 resumes after a batch, with batches of one"),
            (Flaw::Fails, "the operator failed at a batch: error[data]: two is enough"),
            (Flaw::Panics, "two is enough"),
            (Flaw::SetsTimeBack, "the watermark went back from -1ms to -2ms, at a watermark, with batches of one, a"),
            (Flaw::LateRecords, "a record of -inf came after watermark 9ms, at a batch, with batches of one, a"),
            (Flaw::ForgetsPending, "another output than expected with batches of one\n"),
        ] {
            let failure = failure(flaw).unwrap_or_else(|| panic!("{flaw:?} was not found"));
            assert!(failure.contains(expected), "{flaw:?}: {failure}");
        }
    }

    #[test]
    fn timestamps_are_compared_when_they_are_expected() {
        let make = || RunningCount { flaw: Flaw::None, count: 0, waiting: Vec::new() };
        let harness = Harness::new(make).input_at([('a', 20)]).output_at([(('a', 1), 20), (('=', 2), 20)]);
        let failure = harness.failure().expect("the last record has no timestamp");
        assert!(failure.starts_with("other timestamps than expected with batches of one\n"), "{failure}");
        assert!(failure.contains("  - (('=', 2), Some(20ms))\n  + (('=', 2), None)\n"), "{failure}");
    }

    #[test]
    #[should_panic(expected = "another output than expected")]
    fn a_check_panics() {
        let make = || RunningCount { flaw: Flaw::None, count: 0, waiting: Vec::new() };
        Harness::new(make).input(['a']).output([('a', 1)]).check();
    }
}
