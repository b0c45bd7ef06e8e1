//! Looks at every record and passes it on.

use crate::batch::{Batch, Tally};
use crate::error::Result;
use crate::operator::{Operator, Output};

/// Calls a function with a reference to every record; the stream is unchanged.
pub(crate) struct Inspect<F> {
    function: F,
    seen: usize,
}

impl<F> Inspect<F> {
    pub(crate) fn new(function: F) -> Inspect<F> {
        Inspect { function, seen: 0 }
    }
}

impl<T, F: FnMut(&T) + Send> Operator<T, T> for Inspect<F> {
    fn process(&mut self, batch: &mut Batch<T>, out: &mut dyn Output<T>) -> Result<()> {
        let mut tally = Tally::new(&mut self.seen);
        for record in batch.records() {
            (self.function)(record);
            tally.count += 1;
        }
        drop(tally);
        out.batch(batch)
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
        let make = || Inspect::new(|_: &u64| {});
        Harness::new(make).input(0..10).output(0..10).check();
        Harness::new(make).input_at([(1, 5), (3, 7)]).output_at([(1, 5), (3, 7)]).check();
    }
}
