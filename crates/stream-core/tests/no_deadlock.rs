//! The property that the engine is built around: any job ends, however it is shaped, however little room
//! there is, with barriers all the time; and every record arrives exactly once per path.
//!
//! A job is described by a list of nodes. [`expected`] computes from the description what has to arrive,
//! [`run`] builds the job and runs it with `exchange_bytes(1)`.

mod common;

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{context, ends};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use stream_core::thread::Waker;
use stream_core::{
    Barrier, Batch, Committer, DataStream, JobReport, Opened, Poll, Result, Sink, SinkContext, SinkWriter, Source,
    SourceContext, SourceReader, SplitPosition,
};

const CASES: u32 = 400;

/// How many barriers every source waits for before it ends.
const BARRIERS: u64 = 3;

/// More than this and a flat_map passes its records on one to one, so that no job explodes.
const RECORDS_MAX: usize = 20_000;

/// A record and the path it has come: every node mixes itself in.
type Path = u64;

#[derive(Clone, Debug)]
struct Node {
    kind: Kind,
    /// Indices of the nodes before this one, modulo their number.
    inputs: Vec<usize>,
    rebalance: bool,
    parallelism: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Source { records: u64, batch: u64 },
    Map,
    FlatMap(usize),
    Union,
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let kind = prop_oneof![
        2 => (0u64..60, 1u64..20).prop_map(|(records, batch)| Kind::Source { records, batch }),
        2 => Just(Kind::Map),
        2 => prop_oneof![0usize..4, Just(700)].prop_map(Kind::FlatMap),
        3 => Just(Kind::Union),
    ];
    let inputs = prop::collection::vec(any::<usize>(), 1..4);
    let node = (kind, inputs, any::<bool>(), prop::option::of(1usize..4));
    let node = node.prop_map(|(kind, inputs, rebalance, parallelism)| Node { kind, inputs, rebalance, parallelism });
    prop::collection::vec(node, 1..9)
}

/// Makes the first node a source and every index one of a node before.
fn tidy(mut nodes: Vec<Node>) -> Vec<Node> {
    if !matches!(nodes[0].kind, Kind::Source { .. }) {
        nodes[0].kind = Kind::Source { records: 50, batch: 3 };
    }
    for (index, node) in nodes.iter_mut().enumerate() {
        node.inputs.iter_mut().for_each(|input| *input = input.checked_rem(index).unwrap_or(0));
        match node.kind {
            Kind::Source { .. } => node.inputs.clear(),
            Kind::Map | Kind::FlatMap(_) => node.inputs.truncate(1),
            Kind::Union => {}
        }
    }
    let mut sizes = Vec::new();
    for node in &mut nodes {
        let size = node.inputs.iter().map(|input| sizes[*input]).sum::<usize>();
        if let Kind::FlatMap(factor) = &mut node.kind
            && size * *factor > RECORDS_MAX
        {
            *factor = 1;
        }
        sizes.push(match node.kind {
            Kind::Source { records, .. } => records as usize,
            Kind::FlatMap(factor) => size * factor,
            Kind::Map | Kind::Union => size,
        });
    }
    nodes
}

fn mix(path: Path, step: usize) -> Path {
    (path ^ step as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
}

fn record(node: usize, index: u64) -> Path {
    mix(index, 1000 + node)
}

fn is_read(nodes: &[Node], index: usize) -> bool {
    nodes.iter().any(|node| node.inputs.contains(&index))
}

/// What arrives at the sink of every node that no other node reads, sorted.
fn expected(nodes: &[Node]) -> Vec<Vec<Path>> {
    let mut outputs: Vec<Vec<Path>> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let input = node.inputs.iter().flat_map(|input| outputs[*input].iter().copied());
        let output = match node.kind {
            Kind::Source { records, .. } => (0..records).map(|i| record(index, i)).collect(),
            Kind::Map => input.map(|path| mix(path, index)).collect(),
            Kind::FlatMap(factor) => input.flat_map(|path| (0..factor).map(move |i| mix(path, i))).collect(),
            Kind::Union => input.collect(),
        };
        outputs.push(output);
    }
    let ends = outputs.into_iter().enumerate().filter(|(index, _)| !is_read(nodes, *index));
    ends.map(|(_, mut output)| {
        output.sort_unstable();
        output
    })
    .collect()
}

/// Runs the job and returns what has arrived at its sinks, sorted.
fn run(nodes: &[Node], parallelism: usize) -> Result<(JobReport, Vec<Vec<Path>>)> {
    let ctx = context(parallelism).exchange_bytes(1);
    let mut streams: Vec<DataStream<Path>> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let mut inputs = node.inputs.iter().map(|input| {
            let stream = streams[*input].clone();
            if node.rebalance { stream.rebalance() } else { stream }
        });
        let stream = match (node.kind, inputs.next()) {
            (Kind::Map, Some(input)) => input.map(move |path| mix(path, index)),
            (Kind::FlatMap(factor), Some(input)) => {
                input.flat_map(move |path| (0..factor).map(move |i| mix(path, i)).collect::<Vec<_>>())
            }
            (Kind::Union, Some(input)) => input.union(inputs),
            (Kind::Source { records, batch }, _) => ctx.source("restless", Restless { node: index, records, batch }),
            (kind, None) => unreachable!("{kind:?} without input"),
        };
        streams.push(match node.parallelism {
            Some(parallelism) => stream.parallelism(parallelism),
            None => stream,
        });
    }
    let ends: Vec<usize> = (0..nodes.len()).filter(|index| !is_read(nodes, *index)).collect();
    let results: Vec<SlowSink> = ends.iter().map(|_| SlowSink::default()).collect();
    for (index, sink) in ends.iter().zip(&results) {
        streams[*index].clone().sink("slow", sink.clone());
    }
    let report = ctx.execute("random")?;
    let sorted = |SlowSink(paths): SlowSink| {
        let mut paths = std::mem::take(&mut *paths.lock().expect("no writer has panicked"));
        paths.sort_unstable();
        paths
    };
    Ok((report, results.into_iter().map(sorted).collect()))
}

/// A source that is often idle for a moment and wants a commit every millisecond.
struct Restless {
    node: usize,
    records: u64,
    batch: u64,
}

impl Source<Path> for Restless {
    fn open(&mut self, context: &SourceContext) -> Result<Opened<Path>> {
        let n = context.parallelism() as u64;
        let reader = |subtask: u64| {
            Box::new(RestlessReader {
                node: self.node,
                start: self.records * subtask / n,
                next: self.records * subtask / n,
                end: self.records * (subtask + 1) / n,
                batch: self.batch,
                barriers: 0,
                idle: false,
                waker: context.waker(subtask as usize),
            }) as Box<dyn SourceReader<Path>>
        };
        Ok(Opened { readers: (0..n).map(reader).collect(), committer: Some(Box::new(EveryMillisecond)) })
    }
}

/// Spreads its records over a few barriers.
struct RestlessReader {
    node: usize,
    start: u64,
    next: u64,
    end: u64,
    batch: u64,
    barriers: u64,
    idle: bool,
    waker: Waker,
}

impl SourceReader<Path> for RestlessReader {
    fn poll(&mut self, batch: &mut Batch<Path>) -> Result<Poll> {
        self.idle = !self.idle;
        let allowed = self.end.min(self.start + (self.end - self.start) * self.barriers / BARRIERS);
        if self.barriers >= BARRIERS && self.next == self.end {
            return Ok(Poll::End);
        }
        if self.idle || self.next == allowed {
            self.waker.wake();
            return Ok(Poll::Idle);
        }
        let until = allowed.min(self.next + self.batch);
        for index in self.next..until {
            batch.push(record(self.node, index));
        }
        self.next = until;
        Ok(Poll::Ready)
    }

    fn positions(&mut self, _positions: &mut Vec<SplitPosition>) {
        self.barriers += 1;
    }
}

struct EveryMillisecond;

impl Committer for EveryMillisecond {
    fn interval(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn commit(&mut self, _epoch: u64, _positions: &[SplitPosition]) -> Result<()> {
        Ok(())
    }
}

/// A sink that has no room now and then and needs a moment to flush.
#[derive(Clone, Default)]
struct SlowSink(Arc<Mutex<Vec<Path>>>);

struct SlowWriter {
    paths: Arc<Mutex<Vec<Path>>>,
    waker: Waker,
    full: Cell<bool>,
    flush_polls: usize,
}

impl Sink<Path> for SlowSink {
    fn open(&mut self, context: &SinkContext) -> Result<Box<dyn SinkWriter<Path>>> {
        let (paths, waker) = (self.0.clone(), context.waker.clone());
        Ok(Box::new(SlowWriter { paths, waker, full: Cell::new(false), flush_polls: 0 }))
    }
}

impl SinkWriter<Path> for SlowWriter {
    fn write(&mut self, batch: &mut Batch<Path>) -> Result<()> {
        assert_eq!(self.flush_polls, 0, "a batch was written while a flush was under way");
        self.full.set(true);
        self.paths.lock().expect("no writer has panicked").extend(batch.drain());
        Ok(())
    }

    fn room(&self) -> bool {
        if self.full.take() {
            self.waker.wake();
            return false;
        }
        true
    }

    fn barrier(&mut self, _barrier: Barrier) -> Result<()> {
        self.flush_polls = 3;
        Ok(())
    }

    fn flushed(&mut self) -> Result<bool> {
        self.flush_polls = self.flush_polls.saturating_sub(1);
        if self.flush_polls > 0 {
            self.waker.wake();
        }
        Ok(self.flush_polls == 0)
    }
}

#[test]
fn any_job_ends_and_every_record_arrives_once_per_path() {
    let config = Config { cases: CASES, max_shrink_iters: 100, failure_persistence: None, ..Config::default() };
    // The seed is fixed: the same jobs every time, only the threads differ.
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let jobs = (nodes().prop_map(tidy), 1usize..4);
    let result = runner.run(&jobs, |(nodes, parallelism)| {
        let job = nodes.clone();
        let (report, arrived) = ends(move || run(&job, parallelism)).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert!(report.epochs > BARRIERS);
        prop_assert!(arrived == expected(&nodes), "records are missing, changed or repeated");
        Ok(())
    });
    assert!(result.is_ok(), "{}", result.expect_err("it failed"));
}
