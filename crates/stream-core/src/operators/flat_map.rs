//! One record in, any number out, at most one batch of them per step.

use std::collections::VecDeque;

use crate::batch::{BATCH_SIZE, Batch};
use crate::error::Result;
use crate::operator::{Operator, Output};
use crate::position::Origin;
use crate::time::Timestamp;

/// Applies a function that returns an iterator. Results of one record stay together, in order, with its timestamp.
///
/// A record may yield any number of results, even without end: they leave in batches, and between two
/// batches the subtask can answer to back pressure. Barriers wait until what was taken in is handed out.
pub(crate) struct FlatMap<F, I, R: IntoIterator> {
    function: F,
    /// Records taken in and not yet expanded, with the timestamps of those that have one.
    waiting: VecDeque<I>,
    timestamps: VecDeque<Timestamp>,
    /// The record being expanded.
    current: Option<(R::IntoIter, Option<Timestamp>)>,
    results: Batch<R::Item>,
    /// Where what is being expanded comes from.
    origin: Origin,
    taken: usize,
}

impl<F, I, R: IntoIterator> FlatMap<F, I, R> {
    pub(crate) fn new(function: F) -> FlatMap<F, I, R> {
        FlatMap {
            function,
            waiting: VecDeque::new(),
            timestamps: VecDeque::new(),
            current: None,
            results: Batch::new(),
            origin: Origin::new(),
            taken: 0,
        }
    }
}

impl<I, F, R> FlatMap<F, I, R>
where
    F: FnMut(I) -> R,
    R: IntoIterator,
{
    /// Expands until one batch is full or nothing is left.
    fn expand(&mut self, out: &mut dyn Output<R::Item>) -> Result<()> {
        self.results.clear();
        while self.results.len() < BATCH_SIZE {
            let (results, timestamp) = match &mut self.current {
                Some(current) => current,
                none => {
                    let Some(record) = self.waiting.pop_front() else { break };
                    let timestamp = self.timestamps.pop_front();
                    none.insert(((self.function)(record).into_iter(), timestamp))
                }
            };
            let room = BATCH_SIZE - self.results.len();
            let mut pushed = 0;
            for result in results.by_ref().take(room) {
                self.results.push_as(result, *timestamp);
                pushed += 1;
            }
            if pushed < room {
                self.current = None;
            }
        }
        if self.results.is_empty() {
            return Ok(());
        }
        self.results.come_from(&self.origin);
        out.batch(&mut self.results)
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
        // An operator of the user's own may push two batches at once; then nobody can say which record is in hand.
        self.taken = if self.current.is_some() || !self.waiting.is_empty() { 0 } else { batch.len() };
        self.origin.clone_from(batch.origin());
        self.timestamps.extend(batch.timestamps());
        self.waiting.extend(batch.drain());
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
        self.taken.checked_sub(self.waiting.len() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Harness;

    #[test]
    fn in_every_variation() {
        let make = || FlatMap::new(|x: usize| vec![x; x % 4]);
        Harness::new(make).input(0..7).output([1, 2, 2, 3, 3, 3, 5, 6, 6]).check();
        Harness::new(make).input_at([(1, 9), (0, 8), (2, 7)]).output_at([(1, 9), (2, 7), (2, 7)]).check();
    }

    #[test]
    fn more_results_than_a_batch_holds_in_every_variation() {
        let sizes = [0, BATCH_SIZE, 1, BATCH_SIZE + 1, 2 * BATCH_SIZE, 3];
        let make = || FlatMap::new(|size: usize| 0..size);
        Harness::new(make).input(sizes).output(sizes.into_iter().flat_map(|size| 0..size)).check();
    }
}
