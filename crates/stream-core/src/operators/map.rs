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
