//! One record in, one record out; the second form may fail.

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::operator::{Operator, Output};

/// Applies a function to every record. Order, timestamps and watermarks stay as they are.
pub(crate) struct Map<F, O> {
    function: F,
    results: Batch<O>,
    seen: usize,
}

impl<F, O> Map<F, O> {
    pub(crate) fn new(function: F) -> Map<F, O> {
        Map { function, results: Batch::new(), seen: 0 }
    }
}

impl<I, O: Send, F: FnMut(I) -> O + Send> Operator<I, O> for Map<F, O> {
    fn process(&mut self, batch: &mut Batch<I>, out: &mut dyn Output<O>) -> Result<()> {
        self.results.clear();
        self.results.fill_from(batch, &mut self.seen, &mut self.function);
        out.batch(&mut self.results)?;
        self.results.give_back(batch);
        Ok(())
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.seen)
    }
}

/// Applies a function that may fail; its error fails the job.
pub(crate) struct TryMap<F, O> {
    function: F,
    results: Batch<O>,
    seen: usize,
}

impl<F, O> TryMap<F, O> {
    pub(crate) fn new(function: F) -> TryMap<F, O> {
        TryMap { function, results: Batch::new(), seen: 0 }
    }
}

impl<I, O, E, F> Operator<I, O> for TryMap<F, O>
where
    O: Send,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
    F: FnMut(I) -> Result<O, E> + Send,
{
    fn process(&mut self, batch: &mut Batch<I>, out: &mut dyn Output<O>) -> Result<()> {
        self.results.clear();
        let (function, mut failure) = (&mut self.function, None);
        self.results.fill_while(batch, &mut self.seen, |record| match function(record) {
            Ok(result) => Some(result),
            Err(error) => {
                failure = Some(Error::user(error));
                None
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        out.batch(&mut self.results)?;
        self.results.give_back(batch);
        Ok(())
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
        Harness::new(|| Map::new(|x: u64| x * 2)).input(0..10).output((0..10).map(|x| x * 2)).check();
        // To a type of another size.
        let make = || Map::new(|x: u8| x.to_string());
        Harness::new(make).input_at([(1, 5), (3, 7)]).output_at([("1".to_owned(), 5), ("3".to_owned(), 7)]).check();
    }

    #[test]
    fn a_map_that_may_fail_in_every_variation() {
        let make = || TryMap::new(|text: &str| text.parse::<u64>());
        Harness::new(make).input(["1", "2", "3"]).output([1, 2, 3]).check();
        Harness::new(make).input_at([("1", 5), ("2", 3)]).output_at([(1, 5), (2, 3)]).check();
        let failure = Harness::new(make).input(["1", "x"]).output([1]).failure().expect("`x` is no number");
        assert!(failure.contains("invalid digit found in string"), "{failure}");
    }
}
