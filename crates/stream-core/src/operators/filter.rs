//! Keeps the records a predicate wants, in place.

use crate::batch::Batch;
use crate::error::Result;
use crate::operator::{Operator, Output};

/// Passes on the records for which the predicate is true. Order, timestamps and watermarks stay as they are.
pub(crate) struct Filter<F> {
    predicate: F,
    seen: usize,
}

impl<F> Filter<F> {
    pub(crate) fn new(predicate: F) -> Filter<F> {
        Filter { predicate, seen: 0 }
    }
}

impl<T, F: FnMut(&T) -> bool + Send> Operator<T, T> for Filter<F> {
    fn process(&mut self, batch: &mut Batch<T>, out: &mut dyn Output<T>) -> Result<()> {
        batch.retain(&mut self.seen, &mut self.predicate);
        if batch.is_empty() { Ok(()) } else { out.batch(batch) }
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Harness;

    #[test]
    fn in_every_variation() {
        let make = || Filter::new(|x: &u64| !x.is_multiple_of(3));
        Harness::new(make).input(0..10).output([1, 2, 4, 5, 7, 8]).check();
        Harness::new(make).input([0, 3]).output([]).check();
        Harness::new(make).input_at([(1, 5), (3, 7), (2, 6)]).output_at([(1, 5), (2, 6)]).check();
    }
}
