//! Sinks without an outside system: print, for_each, collect.

use std::fmt::Display;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::{Batch, Tally};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Sink, SinkContext, SinkWriter};

/// Writes one line per record to standard output, with the subtask in front where there are several.
pub(crate) struct Print;

impl<T: Display + Send> Sink<T> for Print {
    fn open(&mut self, context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        let operator = &context.operator;
        let several = operator.parallelism() > 1;
        let prefix = if several { format!("{}> ", operator.subtask() + 1) } else { String::new() };
        Ok(Box::new(PrintWriter { prefix, lines: Vec::new() }))
    }
}

struct PrintWriter {
    prefix: String,
    lines: Vec<u8>,
}

impl<T: Display> SinkWriter<T> for PrintWriter {
    fn write(&mut self, batch: &mut Batch<T>) -> Result<()> {
        self.lines.clear();
        for record in batch.records() {
            writeln!(self.lines, "{}{record}", self.prefix).map_err(failed)?;
        }
        // One write per batch, so that lines of several subtasks don't mix.
        let mut out = std::io::stdout().lock();
        out.write_all(&self.lines).and_then(|()| out.flush()).map_err(failed)
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("can't write to standard output: {error}")).with_cause(error)
}

/// Calls a function with every record.
pub(crate) struct ForEach<F>(pub(crate) F);

impl<T: Send, F: FnMut(T) + Clone + Send + 'static> Sink<T> for ForEach<F> {
    fn open(&mut self, _context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        Ok(Box::new(ForEachWriter { function: self.0.clone(), seen: 0 }))
    }
}

struct ForEachWriter<F> {
    function: F,
    seen: usize,
}

impl<T, F: FnMut(T) + Send> SinkWriter<T> for ForEachWriter<F> {
    fn write(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let mut tally = Tally::new(&mut self.seen);
        for record in batch.drain() {
            (self.function)(record);
            tally.count += 1;
        }
        Ok(())
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.seen)
    }
}

/// The records that a collect sink has received so far.
///
/// # Example
/// ```
/// # use stream_core::{Configuration, StreamingContext};
/// let ctx = StreamingContext::new(Configuration::empty());
/// let squares = ctx.from_iter(1..=3).map(|x| x * x).collect();
/// ctx.execute("squares")?;
/// assert_eq!(squares.take(), [1, 4, 9]);
/// # Ok::<(), stream_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Collected<T>(Arc<Mutex<Vec<T>>>);

impl<T> Collected<T> {
    pub(crate) fn new() -> Collected<T> {
        Collected(Arc::default())
    }

    /// Takes what has arrived; records of one subtask are in order.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many records wait to be taken.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing has arrived since the last take.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Collected<T> {
    fn clone(&self) -> Collected<T> {
        Collected(self.0.clone())
    }
}

impl<T: Send + 'static> Sink<T> for Collected<T> {
    fn open(&mut self, _context: &SinkContext) -> Result<Box<dyn SinkWriter<T>>> {
        Ok(Box::new(self.clone()))
    }
}

impl<T: Send> SinkWriter<T> for Collected<T> {
    fn write(&mut self, batch: &mut Batch<T>) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(batch.drain());
        Ok(())
    }
}
