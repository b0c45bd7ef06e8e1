//! Sources without an outside system: an iterator, and a generator that every subtask runs a share of.

use std::sync::Arc;

use crate::batch::{BATCH_SIZE, Batch, Tally};
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Opened, Poll, Source, SourceContext, SourceReader, SplitPosition};

/// The records of an iterator, read by one subtask.
pub(crate) struct IteratorSource<I>(pub(crate) Option<I>);

impl<I> Source<I::Item> for IteratorSource<I>
where
    I: Iterator + Send + 'static,
    I::Item: Send + 'static,
{
    fn open(&mut self, context: &SourceContext) -> Result<Opened<I::Item>> {
        let Some(mut records) = self.0.take() else {
            let error = Error::new(ErrorKind::Config, "an iterator can be read only once, so this job can't go on");
            return Err(error.with_hint("use generate(), or a source that can be read from a position"));
        };
        let split: Arc<str> = context.name().into();
        // In a later run of the program, which makes the same iterator again.
        let next = context.position(&split).unwrap_or(0);
        if let Some(last) = usize::try_from(next).ok().and_then(|read| read.checked_sub(1)) {
            records.nth(last);
        }
        let reader = CountedReader { next, split, records, taken: 0 };
        Ok(Opened { readers: vec![Box::new(reader)], committer: None })
    }
}

/// `count` records, each a pure function of its index; the indices are dealt to the subtasks in contiguous ranges.
pub(crate) struct GeneratorSource<F> {
    pub(crate) count: u64,
    pub(crate) function: F,
}

impl<T, F> Source<T> for GeneratorSource<F>
where
    T: Send + 'static,
    F: FnMut(u64) -> T + Clone + Send + 'static,
{
    fn open(&mut self, context: &SourceContext) -> Result<Opened<T>> {
        let n = context.parallelism() as u64;
        if context.positions().is_some_and(|positions| positions.len() as u64 != n) {
            let error = Error::new(ErrorKind::Config, "a generator goes on only with the parallelism it had before");
            return Err(error.with_hint("set the parallelism of the source itself"));
        }
        let readers = (0..n).map(|subtask| {
            // In 128 bits, because count * n may not fit into 64.
            let bound =
                |i: u64| u64::try_from(u128::from(self.count) * u128::from(i) / u128::from(n)).unwrap_or(u64::MAX);
            let (start, end) = (bound(subtask), bound(subtask + 1));
            let split: Arc<str> = format!("{}[{subtask}]", context.name()).into();
            let start = context.position(&split).and_then(|next| u64::try_from(next).ok()).unwrap_or(start);
            let next = i64::try_from(start).unwrap_or(i64::MAX);
            let reader = CountedReader { next, split, records: (start..end).map(self.function.clone()), taken: 0 };
            Box::new(reader) as Box<dyn SourceReader<T>>
        });
        Ok(Opened { readers: readers.collect(), committer: None })
    }

    fn describe(&self) -> String {
        format!("{} record{}", self.count, if self.count == 1 { "" } else { "s" })
    }
}

/// Reads an iterator and counts.
struct CountedReader<I> {
    next: i64,
    split: Arc<str>,
    records: I,
    /// How many records the last poll took.
    taken: usize,
}

impl<I: Iterator + Send> SourceReader<I::Item> for CountedReader<I> {
    fn poll(&mut self, batch: &mut Batch<I::Item>) -> Result<Poll> {
        let mut tally = Tally::new(&mut self.taken);
        for record in self.records.by_ref().take(BATCH_SIZE) {
            batch.push(record);
            tally.count += 1;
        }
        drop(tally);
        if batch.is_empty() {
            return Ok(Poll::End);
        }
        let first = self.next;
        // An endless generator counts in 64 bits without sign; what a position can't hold stays at the greatest one.
        self.next = self.next.saturating_add(batch.len() as i64);
        batch.add_position(&self.split, first, self.next - 1);
        Ok(Poll::Ready)
    }

    fn positions(&mut self, positions: &mut Vec<SplitPosition>) {
        positions.push(SplitPosition::new(self.split.clone(), self.next));
    }

    fn failed_at(&self) -> Option<SplitPosition> {
        Some(SplitPosition::new(self.split.clone(), self.next.saturating_add(self.taken as i64)))
    }
}
