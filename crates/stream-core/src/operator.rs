//! The two interfaces of the data plane: [`Operator`], which turns batches into batches, and
//! [`Output`], the one thing anybody pushes at.
//!
//! Chain links, exchange writers and test collectors implement `Output`; nothing else is needed to
//! run an operator alone. An operator never waits, never starts a thread and never asks whether
//! there is room: it takes one batch and pushes what comes of it. One whose output can be much
//! larger than its input keeps the rest and says so by [`Operator::pending`].

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::Batch;
use crate::error::{Place, Result};
use crate::time::Timestamp;

/// What can travel on a stream: any owned type that can be sent to another thread.
pub trait Record: Send + 'static {}

impl<T: Send + 'static> Record for T {}

/// Separates the records of one epoch from those of the next; flows between records, through every edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Barrier {
    /// The epoch that ends here, counted from 1.
    pub epoch: u64,
}

/// What comes next in the dataflow.
pub trait Output<T>: Send {
    /// Takes the records of a batch; the caller keeps the buffer and clears it.
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<()>;

    /// No record with a timestamp at or before `watermark` follows.
    fn watermark(&mut self, watermark: Timestamp) -> Result<()>;

    /// Nothing comes for now: don't wait for this input's watermark.
    fn idle(&mut self) -> Result<()>;

    /// An epoch ends here.
    fn barrier(&mut self, barrier: Barrier) -> Result<()>;

    /// Nothing follows, ever.
    fn end(&mut self) -> Result<()>;
}

/// One step of processing from records of type `I` to records of type `O`.
///
/// The engine calls `open` once, then `process`, `watermark` and `snapshot` in stream order, `end` last. While
/// [`pending`](Operator::pending) is true it calls nothing but `resume`. Barriers and the end are forwarded by
/// the engine, so an operator can neither lose nor reorder them.
///
/// # Example
/// ```
/// use stream_core::{Batch, Operator, Output, Result};
///
/// /// Sums every batch into one record.
/// struct SumBatch;
///
/// impl Operator<u64, u64> for SumBatch {
///     fn process(&mut self, batch: &mut Batch<u64>, out: &mut dyn Output<u64>) -> Result<()> {
///         let mut sums = Batch::from_iter([batch.drain().sum()]);
///         out.batch(&mut sums)
///     }
/// }
/// ```
pub trait Operator<I, O>: Send {
    /// Called once, before anything else.
    ///
    /// # Errors
    /// Any error stops the job before it has read a record.
    fn open(&mut self, _context: &OperatorContext) -> Result<()> {
        Ok(())
    }

    /// Takes one batch and pushes at most one batch of results; what is left over makes `pending` true.
    ///
    /// # Errors
    /// Any error fails the subtask; the engine attaches operator, uid, subtask and source position.
    fn process(&mut self, batch: &mut Batch<I>, out: &mut dyn Output<O>) -> Result<()>;

    /// Event time has reached `watermark`; returns the watermark to pass on, if any. It is passed on
    /// after what this call left pending.
    ///
    /// # Errors
    /// As [`process`](Operator::process).
    fn watermark(&mut self, watermark: Timestamp, _out: &mut dyn Output<O>) -> Result<Option<Timestamp>> {
        Ok(Some(watermark))
    }

    /// The input has ended: push what is still held back.
    ///
    /// # Errors
    /// As [`process`](Operator::process).
    fn end(&mut self, _out: &mut dyn Output<O>) -> Result<()> {
        Ok(())
    }

    /// Whether an earlier call left output behind that did not fit into one batch.
    fn pending(&self) -> bool {
        false
    }

    /// Pushes at most one more batch of what is pending.
    ///
    /// # Errors
    /// As [`process`](Operator::process).
    fn resume(&mut self, _out: &mut dyn Output<O>) -> Result<()> {
        Ok(())
    }

    /// Writes this operator's part of a checkpoint; called at a barrier, between two records.
    ///
    /// # Errors
    /// An error fails the checkpoint, not the job.
    fn snapshot(&mut self, _snapshot: &mut Snapshot) -> Result<()> {
        Ok(())
    }

    /// Takes back what [`snapshot`](Operator::snapshot) wrote; called after `open`, before the first record.
    ///
    /// # Errors
    /// `Corrupt` if the bytes can't be read.
    fn restore(&mut self, _snapshot: &Snapshot) -> Result<()> {
        Ok(())
    }

    /// After an error or a panic in `process`: which record of the batch was in hand, where that is known.
    fn failed_at(&self) -> Option<usize> {
        None
    }
}

/// One operator's part of a checkpoint: named byte strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    entries: BTreeMap<String, Vec<u8>>,
}

impl Snapshot {
    /// Stores `bytes` under `name`, in place of what was there.
    pub fn put(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.entries.insert(name.into(), bytes);
    }

    /// What was stored under `name`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.entries.get(name).map(Vec::as_slice)
    }
}

/// Who an operator is: its names and its place among the parallel instances.
#[derive(Clone, Debug)]
pub struct OperatorContext(Arc<Identity>);

#[derive(Debug)]
struct Identity {
    name: String,
    uid: String,
    subtask: usize,
    parallelism: usize,
}

impl OperatorContext {
    /// Subtask `subtask` (from 0) of `parallelism` of the operator `name` with stable id `uid`.
    pub fn new(name: impl Into<String>, uid: impl Into<String>, subtask: usize, parallelism: usize) -> OperatorContext {
        OperatorContext(Arc::new(Identity { name: name.into(), uid: uid.into(), subtask, parallelism }))
    }

    /// What people read.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The stable id by which state is found.
    pub fn uid(&self) -> &str {
        &self.0.uid
    }

    /// Which parallel instance this is, from 0.
    pub fn subtask(&self) -> usize {
        self.0.subtask
    }

    /// How many parallel instances there are.
    pub fn parallelism(&self) -> usize {
        self.0.parallelism
    }

    pub(crate) fn place(&self, position: Option<String>) -> Place {
        Place {
            operator: self.0.name.clone(),
            uid: self.0.uid.clone(),
            subtask: self.0.subtask,
            parallelism: self.0.parallelism,
            position,
        }
    }
}
