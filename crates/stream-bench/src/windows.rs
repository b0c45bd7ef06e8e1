//! Windows without Kafka: M2 (key by auction, 10 s window, count and greatest price) and sliding windows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stream_core::window::{Aggregator, SlidingWindows, TumblingWindows};
use stream_core::{Batch, Configuration, DataStream, Operator, Output, Result, StreamingContext, Timestamp};

/// How far the watermark is behind the newest record.
const DISORDER_MS: i64 = 2000;

/// Why targets are missed, and what was tried.
const MISSED: &str = "
Two cores: on one core the window and all before it are one chain, on two every bid travels. Profile, ceiling of the
machine and everything that was tried: [decision 0008](decisions/0008-two-cores.md).

Sliding windows at size/slide 100 have 100 times as many windows to merge, though not to count in. By the profile moving
slices takes 13 % of the time, retaining closed ones 9 %, sliding the merge 8 %. What the code does about it: a
slice lies beside its place in the prepared merge, a fresh table begins as large as its neighbour was.
";

/// A bid, as the other contestants of M2 have it.
#[derive(Clone, Copy)]
pub struct Bid {
    /// What is bid for: half of the bids are for a hundred auctions.
    pub auction: u64,
    /// Who bids.
    pub bidder: u64,
    /// How much.
    pub price: u64,
    /// Where.
    pub channel: u8,
    /// When, in milliseconds since the epoch.
    pub at: i64,
}

fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Bid `i`, as the other contestants make it: ten in a millisecond, up to a second out of order.
pub fn bid(i: u64) -> Bid {
    let a = mix(i);
    let b = mix(a);
    let c = mix(b);
    Bid {
        auction: 1000 + if a & 1 == 0 { (a >> 8) % 100 } else { (a >> 8) % 10_000 },
        bidder: 1 + (b >> 8) % 1_000_000,
        price: 100 + (c >> 20) % 10_000_000,
        channel: (c & 3) as u8,
        at: 1_700_000_001_000 + (i / 10) as i64 - ((a >> 40) % 1000) as i64,
    }
}

/// Gives bids their timestamps and the stream a watermark after each batch.
struct Stamp {
    newest: i64,
    stamped: Batch<Bid>,
}

impl Operator<Bid, Bid> for Stamp {
    fn process(&mut self, batch: &mut Batch<Bid>, out: &mut dyn Output<Bid>) -> Result<()> {
        for bid in batch.drain() {
            self.newest = self.newest.max(bid.at);
            self.stamped.push_at(bid, Timestamp::from_millis(bid.at));
        }
        out.batch(&mut self.stamped)?;
        self.stamped.clear();
        out.watermark(Timestamp::from_millis(self.newest - DISORDER_MS - 1))
    }
}

/// Count and greatest price.
#[derive(Clone)]
struct CountAndMax;

impl Aggregator<Bid> for CountAndMax {
    type State = (u64, u64);
    type Output = (u64, u64);

    fn create(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, (count, max): &mut (u64, u64), bid: Bid) {
        *count += 1;
        *max = bid.price.max(*max);
    }

    fn merge(&self, (count, max): &mut (u64, u64), other: (u64, u64)) {
        *count += other.0;
        *max = other.1.max(*max);
    }

    fn result(&self, state: (u64, u64)) -> (u64, u64) {
        state
    }
}

/// What a run took and found.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Bids per second.
    pub per_second: f64,
    /// How many results there were.
    pub rows: u64,
    /// The sum of the counts: in a tumbling window, the number of bids.
    pub sum: u64,
}

/// Deals the bids to the subtasks of a source in turn, as partitions of a topic would hold them: all of them pass
/// through the same time. The generator's own ranges would have subtask 1 begin where subtask 0 ends, and every
/// window of the second half open until the first half is read: that measures memory.
#[derive(Clone)]
struct Dealt {
    events: u64,
    subtasks: u64,
    /// The first index of this subtask, and the number of its first bid.
    first: Option<(u64, u64)>,
}

impl Dealt {
    #[inline(always)]
    fn bid(&mut self, index: u64) -> Bid {
        let (first, subtask) =
            *self.first.get_or_insert_with(|| (index, (index * self.subtasks).div_ceil(self.events)));
        bid((index - first) * self.subtasks + subtask)
    }
}

fn stamped(ctx: &StreamingContext, events: u64, parallelism: usize) -> DataStream<Bid> {
    let mut dealt = Dealt { events, subtasks: parallelism as u64, first: None };
    ctx.generate(events, move |i| dealt.bid(i))
        .transform("stamp", |_| Stamp { newest: i64::MIN + DISORDER_MS + 1, stamped: Batch::new() })
}

/// Counts results in a subtask of its own: counters that all cores write to would be measured with the engine.
#[derive(Clone)]
struct Tally {
    seen: (u64, u64),
    total: Arc<(AtomicU64, AtomicU64)>,
}

impl Tally {
    fn count(&mut self, count: u64) {
        self.seen.0 += 1;
        self.seen.1 += count;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.total.0.fetch_add(self.seen.0, Ordering::Relaxed);
        self.total.1.fetch_add(self.seen.1, Ordering::Relaxed);
    }
}

fn run(events: u64, parallelism: usize, counts: impl FnOnce(DataStream<Bid>) -> DataStream<(u64, u64)>) -> Result<Run> {
    let ctx = StreamingContext::new(Configuration::empty()).parallelism(parallelism);
    let total = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let mut tally = Tally { seen: (0, 0), total: total.clone() };
    counts(stamped(&ctx, events, parallelism)).for_each(move |(count, _)| tally.count(count));
    let start = Instant::now();
    ctx.execute("windows")?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Run {
        per_second: events as f64 / seconds,
        rows: total.0.load(Ordering::Relaxed),
        sum: total.1.load(Ordering::Relaxed),
    })
}

/// M2: tumbling windows of ten seconds.
///
/// # Errors
/// If the job fails.
pub fn m2(events: u64, parallelism: usize) -> Result<Run> {
    run(events, parallelism, |bids| {
        let windows = TumblingWindows::of(Duration::from_secs(10));
        bids.key_by(|bid| bid.auction).window(windows).aggregate(CountAndMax).map(|result| result.value)
    })
}

/// Windows of so many slides of ten seconds: as many results for each size, but for the windows at the edges.
///
/// # Errors
/// If the job fails.
pub fn sliding(events: u64, slides: u32) -> Result<Run> {
    run(events, 1, |bids| {
        let slide = Duration::from_secs(10);
        let windows = SlidingWindows::of(slide * slides, slide);
        bids.key_by(|bid| bid.auction).window(windows).aggregate(CountAndMax).map(|result| result.value)
    })
}

/// Only what stands before the windows: how much of the others' time is theirs.
///
/// # Errors
/// If the job fails.
pub fn without_windows(events: u64) -> Result<Run> {
    run(events, 1, |bids| bids.key_by(|bid| bid.auction).keyed().map(|keyed| (1, keyed.hash())))
}

/// All of it as a table.
///
/// # Errors
/// If a job fails or a result is wrong.
pub fn table(events: u64, runs: usize) -> Result<String> {
    type Scenario = (&'static str, fn(u64) -> Result<Run>);
    let scenarios: [Scenario; 6] = [
        ("generate, key (no window)", without_windows),
        ("M2: 10 s window, one core", |n| m2(n, 1)),
        ("M2, two cores", |n| m2(n, 2)),
        ("sliding, size/slide 2", |n| sliding(n, 2)),
        ("sliding, size/slide 10", |n| sliding(n, 10)),
        ("sliding, size/slide 100", |n| sliding(n, 100)),
    ];
    let mut table = String::from("| | events/s | target | ns/event | results |\n| --- | ---: | --- | ---: | ---: |\n");
    let mut rates = BTreeMap::new();
    for (name, scenario) in scenarios {
        let mut measured = (0..runs).map(|_| scenario(events)).collect::<Result<Vec<_>>>()?;
        measured.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let Some(median) = measured.get(measured.len() / 2) else { continue };
        if name.starts_with("M2") && median.sum != events {
            let found = format!("{name}: the windows hold {} bids of {events}", median.sum);
            return Err(stream_core::Error::new(stream_core::ErrorKind::Internal, found));
        }
        let (rate, nanos) = (median.per_second / 1e6, 1e9 / median.per_second);
        rates.insert(name, rate);
        let times = |other: &str| rate / rates.get(other).copied().unwrap_or(f64::NAN);
        let target = match name {
            "M2: 10 s window, one core" => "20 M".to_owned(),
            "M2, two cores" => format!("1.8 times one core: is {:.2}", times("M2: 10 s window, one core")),
            "sliding, size/slide 100" => {
                format!("cost 1.2 times that of 2: is {:.2}", 1.0 / times("sliding, size/slide 2"))
            }
            _ => String::new(),
        };
        table.push_str(&format!("| {name} | {rate:.1} M | {target} | {nanos:.1} | {} |\n", median.rows));
    }
    table.push_str(MISSED);
    Ok(table)
}
