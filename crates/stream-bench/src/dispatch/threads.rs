//! Question (b): which threads drive the chains of a pipeline.
//!
//! *One thread per subtask* lets the system schedule; *one thread per slot* drives all chains
//! with the same index in turn. Both run the same subtasks, queues and driver: they differ only
//! in how subtasks are grouped. The pipelines are
//! - `source | hash | map, filter, sum` at parallelism 2 (4 subtasks on 2 cores);
//! - `source | rebalance | map | rebalance | sum` at parallelism 1 and 2 (3 and 6 subtasks);
//! - the same with about 100 ns of user code per record in the middle;
//! - the same with one record under way at a time, to see the latency of two hops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::chain::BATCHES;
use super::exchange::{ByHash, Inbox, Parker, Queue, Rebalance};
use super::output::{Filter, Map, Next, Sum, link};
use super::subtask::{Receipt, Receiver, Relay, Source, Subtask, drive};
use super::workload::{Number, ODD, Workload};
use crate::measure::{Contender, Sample, nanos, race, table};

/// For the pipelines of one table row group.
const BUDGET: Duration = Duration::from_secs(6);
/// Rounds of multiplication that take about 100 ns.
const HEAVY_ROUNDS: u64 = 130;

/// Which pipeline.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    /// source | hash | map, filter, sum
    Hash,
    /// source | rebalance | map | rebalance | sum
    Three,
    /// The same, its map slow.
    Heavy,
    /// The same as `Three`, one record at a time.
    PingPong,
}

/// Which threads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Threads {
    Subtask,
    Slot,
}

/// One measured pipeline.
#[derive(Clone, Copy, Debug)]
struct Setup {
    shape: Shape,
    slots: usize,
    size: usize,
    records: u64,
}

/// The tables of (b).
pub(super) fn report() -> String {
    let mut rows = Vec::new();
    for (title, shape, slots, records) in [
        ("hash, 2 slots", Shape::Hash, 2, 4_000_000),
        ("three chains, 1 slot", Shape::Three, 1, 4_000_000),
        ("three chains, 2 slots", Shape::Three, 2, 4_000_000),
    ] {
        let setups = BATCHES.map(|size| Setup { shape, slots, size, records });
        measure(title, &setups, &mut rows);
    }
    for (title, slots) in
        [("three chains, ~100 ns of user code, 1 slot", 1), ("three chains, ~100 ns of user code, 2 slots", 2)]
    {
        let setup = Setup { shape: Shape::Heavy, slots, size: 1024, records: 400_000 };
        measure(title, &[setup], &mut rows);
    }
    let ping_pong = Setup { shape: Shape::PingPong, slots: 1, size: 1, records: 5_000 };
    measure("three chains, one record at a time", &[ping_pong], &mut rows);
    let header = [
        "pipeline",
        "batch",
        "M records/s: subtask",
        "slot",
        "slot/subtask",
        "CPU ns/record: subtask",
        "slot",
        "slot/subtask",
        "switches/M records: subtask",
        "slot",
    ];
    table("(b) one thread per subtask against one per slot", &header, &rows)
}

fn measure(title: &str, setups: &[Setup], rows: &mut Vec<Vec<String>>) {
    let mut contenders = Vec::new();
    for setup in setups.iter().copied() {
        for threads in [Threads::Subtask, Threads::Slot] {
            let label = format!("{setup:?} {threads:?}");
            let turn = move || turn(setup, threads);
            contenders.push(Contender::new(label, setup.records, turn));
        }
    }
    race(&mut contenders, BUDGET.mul_f64(setups.len() as f64 / 4.0));
    for (setup, pair) in setups.iter().zip(contenders.chunks(2)) {
        let rate = [0, 1].map(|i| 1e3 / pair[i].wall_per_record());
        let cpu = [0, 1].map(|i| pair[i].cpu_per_record());
        rows.push(vec![
            title.to_owned(),
            setup.size.to_string(),
            format!("{:.3}", rate[0]),
            format!("{:.3}", rate[1]),
            format!("{:.2}", rate[1] / rate[0]),
            format!("{:.2}", cpu[0]),
            format!("{:.2}", cpu[1]),
            format!("{:.2}", cpu[1] / cpu[0]),
            format!("{:.0}", pair[0].switches_per_million()),
            format!("{:.0}", pair[1].switches_per_million()),
        ]);
    }
}

/// Builds the pipeline, runs it to its end, and takes the threads' bills.
fn turn(setup: Setup, threads: Threads) -> Sample {
    let total = Arc::new(AtomicU64::new(0));
    let groups = build(setup, threads, &total);
    let start = Instant::now();
    let bills: Vec<(u64, u64)> = thread::scope(|scope| {
        let running: Vec<_> =
            groups.into_iter().map(|(group, parker)| scope.spawn(move || drive(group, &parker))).collect();
        running.into_iter().map(|thread| thread.join().expect("a subtask does not panic")).collect()
    });
    Sample {
        wall_ns: nanos(start.elapsed()),
        cpu_ns: bills.iter().map(|bill| bill.0).sum(),
        switches: bills.iter().map(|bill| bill.1).sum(),
        checksum: total.load(Ordering::Relaxed),
    }
}

/// The subtasks of one thread and where it parks.
type Group = (Vec<Box<dyn Subtask>>, Arc<Parker>);

fn build(setup: Setup, threads: Threads, total: &Arc<AtomicU64>) -> Vec<Group> {
    let chains = if setup.shape == Shape::Hash { 2 } else { 3 };
    let slots = setup.slots;
    let mut groups: Vec<Group> = match threads {
        Threads::Slot => (0..slots).map(|_| Group::default()).collect(),
        Threads::Subtask => (0..slots * chains).map(|_| Group::default()).collect(),
    };
    let home = |chain: usize, slot: usize| match threads {
        Threads::Slot => slot,
        Threads::Subtask => chain * slots + slot,
    };
    let parker = |groups: &[Group], chain, slot| Arc::clone(&groups[home(chain, slot)].1);
    let receipt = (setup.shape == Shape::PingPong).then(|| Arc::new(Receipt::new(parker(&groups, 0, 0))));
    // edges[chain][from][to] leads from `chain` to the next.
    let edges: Vec<Vec<Vec<Arc<Queue<u64>>>>> = (0..chains - 1)
        .map(|chain| {
            let queue = |from, to| {
                let producer = parker(&groups, chain, from);
                Arc::new(Queue::new(producer, parker(&groups, chain + 1, to)))
            };
            let row = |from| (0..slots).map(|to| queue(from, to)).collect();
            (0..slots).map(row).collect()
        })
        .collect();
    for chain in 0..chains {
        for slot in 0..slots {
            let out = edges.get(chain).map(|edge| edge[slot].clone());
            let input = (chain > 0).then(|| {
                let column = edges[chain - 1].iter().map(|row| Arc::clone(&row[slot]));
                Inbox::new(column.collect())
            });
            let subtask = subtask(setup, slot, input, out, receipt.as_ref(), total);
            groups[home(chain, slot)].0.push(subtask);
        }
    }
    groups
}

fn subtask(
    setup: Setup,
    slot: usize,
    input: Option<Inbox<u64>>,
    out: Option<Vec<Arc<Queue<u64>>>>,
    receipt: Option<&Arc<Receipt>>,
    total: &Arc<AtomicU64>,
) -> Box<dyn Subtask> {
    let Some(inbox) = input else {
        let queues = out.expect("the source is not the last chain");
        let out = match setup.shape {
            Shape::Hash => link(ByHash::new(queues, setup.size)),
            _ => link(Rebalance::new(queues)),
        };
        let share = setup.records / setup.slots as u64;
        return Box::new(Source {
            next: share * slot as u64,
            end: share * (slot as u64 + 1),
            size: setup.size,
            make: Number::make,
            buffer: Vec::with_capacity(setup.size),
            out,
            receipt: receipt.cloned(),
        });
    };
    let out = match (setup.shape, out) {
        (Shape::Heavy, Some(queues)) => link(Map::new(heavy, link(Rebalance::new(queues)))),
        (_, Some(queues)) => link(Map::new(Number::first, link(Rebalance::new(queues)))),
        (shape, None) => sink(shape, receipt, total),
    };
    Box::new(Relay { inbox, buffer: Vec::with_capacity(setup.size), out })
}

fn sink(shape: Shape, receipt: Option<&Arc<Receipt>>, total: &Arc<AtomicU64>) -> Next<u64> {
    if let Some(receipt) = receipt {
        return link(Receiver { receipt: Arc::clone(receipt), checksum: 0, total: Arc::clone(total) });
    }
    let sum = link(Sum::new(Number::weigh, Arc::clone(total)));
    match shape {
        Shape::Hash => link(Map::new(Number::first, link(Filter::new(Number::keep, sum)))),
        _ => sum,
    }
}

/// User code that costs something.
#[inline(never)]
fn heavy(record: u64) -> u64 {
    (0..HEAVY_ROUNDS).fold(record, |x, round| (x ^ round).wrapping_mul(ODD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grouping_computes_the_same() {
        for shape in [Shape::Hash, Shape::Three, Shape::Heavy, Shape::PingPong] {
            let mut checksums = Vec::new();
            for slots in [1, 2] {
                if shape == Shape::PingPong && slots == 2 {
                    continue;
                }
                for size in [1, 64, 20_000] {
                    for threads in [Threads::Subtask, Threads::Slot] {
                        let setup = Setup { shape, slots, size, records: 2_000 };
                        checksums.push(turn(setup, threads).checksum);
                    }
                }
            }
            assert!(checksums.iter().all(|sum| *sum == checksums[0]), "{shape:?}: {checksums:?}");
        }
    }
}
