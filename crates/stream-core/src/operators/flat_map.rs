//! One record in, any number out, at most one batch of them per step.

use crate::batch::{BATCH_SIZE, Batch};
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::time::Timestamp;

/// Applies a function that returns an iterator. Results of one record stay together, in order, with its timestamp.
///
/// A record may yield any number of results, even without end: they leave in batches, and between two
/// batches the subtask can answer to back pressure. Barriers wait until what was taken in is handed out.
pub(crate) struct FlatMap<F, I, R: IntoIterator> {
    function: F,
    /// Records taken in and not yet expanded, last first.
    waiting: Vec<(I, Option<Timestamp>)>,
    /// The record being expanded.
    current: Option<(R::IntoIter, Option<Timestamp>)>,
    results: Batch<R::Item>,
    taken: usize,
}

impl<F, I, R: IntoIterator> FlatMap<F, I, R> {
    pub(crate) fn new(function: F) -> FlatMap<F, I, R> {
        FlatMap { function, waiting: Vec::new(), current: None, results: Batch::new(), taken: 0 }
    }
}

impl<I, F, R> FlatMap<F, I, R>
where
    F: FnMut(I) -> R,
    R: IntoIterator,
{
    /// Expands until one batch is full or nothing is left.
    fn expand(&mut self, out: &mut dyn Output<R::Item>) -> Result<()> {
        loop {
            if self.current.is_none() {
                let Some((record, timestamp)) = self.waiting.pop() else { break };
                self.current = Some(((self.function)(record).into_iter(), timestamp));
            }
            if let Some((results, timestamp)) = &mut self.current {
                let room = BATCH_SIZE.saturating_sub(self.results.len());
                let before = self.results.len();
                for result in results.by_ref().take(room) {
                    self.results.push_as(result, *timestamp);
                }
                if self.results.len() - before == room {
                    break;
                }
                self.current = None;
            }
        }
        if self.results.is_empty() {
            return Ok(());
        }
        out.batch(&mut self.results)?;
        // Later batches of the same input come from the same positions.
        self.results.clear_records();
        Ok(())
    }
}

impl<I, F, R> Operator<I, R::Item> for FlatMap<F, I, R>
where
    I: Send,
    F: FnMut(I) -> R + Send,
    R: IntoIterator,
    R::IntoIter: Send,
    R::Item: Send,
{
    fn process(&mut self, batch: &mut Batch<I>, out: &mut dyn Output<R::Item>) -> Result<()> {
        self.results.clear();
        self.results.copy_positions(batch);
        self.taken = batch.len();
        let timestamps: Vec<Option<Timestamp>> = (0..batch.len()).map(|i| batch.timestamp(i)).collect();
        self.waiting.extend(batch.drain().zip(timestamps).rev());
        self.expand(out)
    }

    fn pending(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty()
    }

    fn resume(&mut self, out: &mut dyn Output<R::Item>) -> Result<()> {
        self.expand(out)
    }

    fn failed_at(&self) -> Option<usize> {
        // The record in hand is the one taken off `waiting` last.
        (self.taken - self.waiting.len()).checked_sub(1)
    }
}
