//! Whole jobs: several sources of which some fall silent, an exchange, windows on one to three subtasks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::ids::{Id, Ids};
use super::oracle::{Oracle, Shape, When, sessions};
use crate::batch::Batch;
use crate::error::Result;
use crate::random::Random;
use crate::source::{Opened, Poll, Progress, Source, SourceContext, SourceReader, SplitPosition};
use crate::stream::DataStream;
use crate::testing::TestDriver;
use crate::testing::crew::any_backend;
use crate::time::Timestamp;
use crate::window::aggregate::Aggregator;
use crate::window::{GlobalWindows, SessionWindows, SlidingWindows, TimeWindow, TumblingWindows, WindowResult};

const CASES: u64 = 1000;

type Event = (u8, Id);
type Found = Vec<(u8, TimeWindow, Vec<Id>)>;

/// Records with their milliseconds, then what the reader knows about time.
type Part = (Vec<(Event, i64)>, Option<Progress>);

/// Sources that play what was written down for each.
struct Script(Vec<VecDeque<Part>>);

struct ScriptReader {
    parts: VecDeque<Part>,
    progress: Option<Progress>,
    split: Arc<str>,
}

impl Source<Event> for Script {
    fn open(&mut self, context: &SourceContext) -> Result<Opened<Event>> {
        assert_eq!(self.0.len(), context.parallelism());
        let readers = self.0.drain(..).map(|parts| {
            Box::new(ScriptReader { parts, progress: None, split: "script".into() }) as Box<dyn SourceReader<Event>>
        });
        Ok(Opened { readers: readers.collect(), committer: None })
    }
}

impl SourceReader<Event> for ScriptReader {
    fn poll(&mut self, batch: &mut Batch<Event>) -> Result<Poll> {
        let Some((records, progress)) = self.parts.pop_front() else { return Ok(Poll::End) };
        for (record, millis) in records {
            batch.push_at(record, Timestamp::from_millis(millis));
        }
        self.progress = progress;
        Ok(Poll::Ready)
    }

    fn progress(&mut self) -> Option<Progress> {
        self.progress.take()
    }

    fn positions(&mut self, positions: &mut Vec<SplitPosition>) {
        positions.push(SplitPosition::new(self.split.clone(), 0));
    }
}

impl Aggregator<Event> for Ids {
    type State = Vec<Id>;
    type Output = Vec<Id>;

    fn create(&self) -> Vec<Id> {
        Vec::new()
    }

    fn add(&self, state: &mut Vec<Id>, (_, id): Event) {
        state.push(id);
    }

    fn merge(&self, state: &mut Vec<Id>, other: Vec<Id>) {
        Aggregator::<Id>::merge(self, state, other);
    }

    fn result(&self, state: Vec<Id>) -> Vec<Id> {
        Aggregator::<Id>::result(self, state)
    }
}

/// One source's records: out of order, but never behind its own watermark. One that falls silent comes back with records
/// that event time cannot have got to, as long as it is the only one.
fn play(random: &mut Random, falls_silent: bool, keys: u64, ids: &mut Id) -> VecDeque<Part> {
    let (mut parts, mut time, mut watermark) = (VecDeque::new(), random.below(40) as i64, i64::MIN);
    let (disorder, silent_after) = (1 + random.below(20), random.below(12));
    for part in 0..random.below(8) {
        let records = (0..random.below(6)).map(|_| {
            *ids += 1;
            time += random.below(6) as i64;
            let at = (time - random.below(disorder) as i64).max(watermark.saturating_add(1));
            (((random.below(keys) as u8), *ids), at)
        });
        let records: Vec<_> = records.collect();
        let progress = if falls_silent && part >= silent_after {
            // What comes after the silence goes to several subtasks; a watermark behind it, come over one of them, could
            // overtake the records that come over another.
            time += 100_000;
            (part == silent_after).then_some(Progress::Idle)
        } else if random.below(3) > 0 {
            watermark = watermark.max(time - random.below(2 * disorder) as i64);
            Some(Progress::Watermark(Timestamp::from_millis(watermark)))
        } else {
            None
        };
        parts.push_back((records, progress));
    }
    parts
}

fn run(
    seed: u64,
    describe: impl FnOnce(&mut Random, DataStream<Event>) -> DataStream<WindowResult<u8, Vec<Id>>>,
    expect: impl FnOnce(&mut Random, BTreeMap<u8, Vec<(i64, Id)>>) -> Found,
) {
    let mut random = Random::new(seed);
    let (sources, keys, mut ids) = (1 + random.index(3), 1 + random.below(4), 0);
    let scripts: Vec<_> = (0..sources).map(|source| play(&mut random, source == 0, keys, &mut ids)).collect();
    let mut records = BTreeMap::<u8, Vec<(i64, Id)>>::new();
    for ((key, id), millis) in scripts.iter().flatten().flat_map(|(records, _)| records) {
        records.entry(*key).or_default().push((*millis, *id));
    }
    let driver = TestDriver::new().seed(seed).parallelism(1 + random.index(3));
    let mut driver = driver.state_backend(any_backend(&mut random));
    if random.below(3) == 0 {
        driver = driver.exchange_bytes(1);
    }
    let events = driver.context().source("script", Script(scripts)).parallelism(sources);
    // Both sides choose the same windows.
    let mut again = random.clone();
    let output = driver.output(describe(&mut random, events));
    let job = driver.running().expect("a valid job");
    while !job.is_over() {
        assert!(job.step().expect("no failure") || job.is_over(), "seed {seed}: the job rests before its end");
    }
    let mut expected = expect(&mut again, records);
    let mut found: Found = output.take().into_iter().map(|result| (result.key, result.window, result.value)).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "seed {seed}");
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

fn grid(shape: Shape, records: BTreeMap<u8, Vec<(i64, Id)>>) -> Found {
    let oracle = Oracle { shape, when: When::End, purging: false, lateness: 0, processing_time: false };
    let mut windows = BTreeMap::<(u8, TimeWindow), Vec<Id>>::new();
    for (key, records) in records {
        for (time, id) in records {
            for window in oracle.windows(time, id) {
                windows.entry((key, window)).or_default().push(id);
            }
        }
    }
    let sorted = windows.into_iter().map(|((key, window), mut ids)| {
        ids.sort_unstable();
        (key, window, ids)
    });
    sorted.collect()
}

#[test]
fn tumbling_and_sliding_windows() {
    let shape = |random: &mut Random| {
        let (size, slide) = (1 + random.below(30) as i64, 1 + random.below(10) as i64);
        (size, if random.below(2) == 0 { size } else { slide }, random.below(20) as i64)
    };
    for seed in 0..CASES {
        let describe = |random: &mut Random, events: DataStream<Event>| {
            let (size, slide, offset) = shape(random);
            let keyed = events.key_by(|(key, _)| *key);
            match size == slide {
                true => keyed.window(TumblingWindows::of(ms(size)).offset(ms(offset))).aggregate(Ids),
                false => keyed.window(SlidingWindows::of(ms(size), ms(slide)).offset(ms(offset))).aggregate(Ids),
            }
        };
        run(seed, describe, |random, records| {
            let (size, slide, offset) = shape(random);
            grid(Shape::Sliding { size, slide, offset }, records)
        });
    }
}

#[test]
fn session_windows() {
    for seed in 0..CASES {
        let describe = |random: &mut Random, events: DataStream<Event>| {
            let gap = ms(1 + random.below(12) as i64);
            events.key_by(|(key, _)| *key).window(SessionWindows::with_gap(gap)).aggregate(Ids)
        };
        run(seed, describe, |random, records| {
            let gap = 1 + random.below(12) as i64;
            let of_key =
                |(key, records)| sessions(records, gap).into_iter().map(move |(window, ids)| (key, window, ids));
            records.into_iter().flat_map(of_key).collect()
        });
    }
}

#[test]
fn global_windows_and_windows_without_a_key() {
    for seed in 0..CASES {
        let describe = |_: &mut Random, events: DataStream<Event>| match seed % 2 {
            0 => events.key_by(|(key, _)| *key).window(GlobalWindows).aggregate(Ids),
            _ => {
                let all = events.window_all(TumblingWindows::of(ms(10))).aggregate(Ids);
                all.map(|result| WindowResult { key: 0, window: result.window, value: result.value })
            }
        };
        run(seed, describe, |_, records| match seed % 2 {
            0 => grid(Shape::Global, records),
            _ => {
                let all = records.into_values().flatten().collect();
                grid(Shape::Sliding { size: 10, slide: 10, offset: 0 }, BTreeMap::from([(0, all)]))
            }
        });
    }
}
