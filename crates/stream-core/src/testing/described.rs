//! Operators as the methods of streams make them: taken out of the graph that a job's description has made.
//!
//! What comes out of them is turned to text, so that operators of any type can stand in one table.

use std::time::Duration;

use crate::batch::Batch;
use crate::clock::Now;
use crate::error::Result;
use crate::graph::Logic;
use crate::operator::{Barrier, Operator, OperatorContext, Output, Record, Snapshot};
use crate::sources::IteratorSource;
use crate::stream::{DataStream, SharedGraph};
use crate::time::Timestamp;

/// An operator from `I` to `O`, its results shown as text with their milliseconds.
pub(crate) struct Described<I, O> {
    operator: Box<dyn Operator<I, O>>,
    show: fn(O) -> String,
}

/// The operator from `I` to `O` that is described.
pub(crate) fn described<I: Record, O: Record, X>(
    describe: impl FnOnce(DataStream<I>) -> X,
    context: &OperatorContext,
    show: fn(O) -> String,
) -> Described<I, O> {
    let graph = SharedGraph::default();
    drop(describe(graph.source("nothing", IteratorSource(Some(std::iter::empty())))));
    let mut graph = graph.lock();
    let operator = graph.nodes.iter_mut().find_map(|node| match &mut node.logic {
        Logic::Operator(logic) => logic.operator(context)?.downcast::<Box<dyn Operator<I, O>>>().ok(),
        _ => None,
    });
    Described { operator: *operator.expect("an operator between these types"), show }
}

/// What shows results on their way out.
struct Showing<'a, O> {
    out: &'a mut dyn Output<String>,
    show: fn(O) -> String,
}

impl<O> Output<O> for Showing<'_, O> {
    fn batch(&mut self, batch: &mut Batch<O>) -> Result<()> {
        let timestamps: Vec<_> = (0..batch.len()).map(|index| batch.timestamp(index)).collect();
        let mut shown = Batch::new();
        for (record, at) in batch.drain().zip(timestamps) {
            let text = (self.show)(record);
            shown.push_as(at.map_or(text.clone(), |at| format!("{text} @{}", at.as_millis())), at);
        }
        self.out.batch(&mut shown)
    }

    fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.out.watermark(watermark)
    }

    fn idle(&mut self) -> Result<()> {
        self.out.idle()
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.out.barrier(barrier)
    }

    fn end(&mut self) -> Result<()> {
        self.out.end()
    }
}

impl<I: Send, O: Send> Operator<I, String> for Described<I, O> {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.open(context)
    }

    fn process(&mut self, batch: &mut Batch<I>, out: &mut dyn Output<String>) -> Result<()> {
        self.operator.process(batch, &mut Showing { out, show: self.show })
    }

    fn watermark(&mut self, watermark: Timestamp, out: &mut dyn Output<String>) -> Result<Option<Timestamp>> {
        self.operator.watermark(watermark, &mut Showing { out, show: self.show })
    }

    fn idle(&mut self, out: &mut dyn Output<String>) -> Result<bool> {
        self.operator.idle(&mut Showing { out, show: self.show })
    }

    fn flush(&mut self, out: &mut dyn Output<String>) -> Result<()> {
        self.operator.flush(&mut Showing { out, show: self.show })
    }

    fn due(&self) -> Option<Duration> {
        self.operator.due()
    }

    fn tick(&mut self, now: Now, out: &mut dyn Output<String>) -> Result<()> {
        self.operator.tick(now, &mut Showing { out, show: self.show })
    }

    fn end(&mut self, out: &mut dyn Output<String>) -> Result<()> {
        self.operator.end(&mut Showing { out, show: self.show })
    }

    fn pending(&self) -> bool {
        self.operator.pending()
    }

    fn resume(&mut self, out: &mut dyn Output<String>) -> Result<()> {
        self.operator.resume(&mut Showing { out, show: self.show })
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        self.operator.snapshot(snapshot)
    }

    fn snapshot_more(&mut self, snapshot: &mut Snapshot) -> Result<bool> {
        self.operator.snapshot_more(snapshot)
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.operator.restore(snapshot)
    }

    fn failed_at(&self) -> Option<usize> {
        self.operator.failed_at()
    }
}
