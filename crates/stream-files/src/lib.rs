//! Streams to files in a directory, exactly once.
//!
//! ```text
//!   records ──▶ FileWriter ──▶ .part-7-0-0.jsonl      out of sight      writer.rs
//!                  │ barrier: the name goes into the checkpoint
//!                  ▼
//!   checkpoint ─▶ FileCommitter ──▶ part-0000000042-00000-7.jsonl       committer.rs
//! ```
//!
//! Depends on stream-core only. Why it is as it is: docs/decisions/0012-file-sink.md.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use stream_core::{Result, SinkContext, StagedCommitter, StagedSink, StagedWriter};

mod committer;
mod failure;
mod format;
mod name;
mod writer;

use committer::FileCommitter;
use format::Format;
use writer::FileWriter;

/// Writes records to files in a directory, each record exactly once; give it to
/// [`staged_sink`](stream_core::DataStream::staged_sink).
///
/// Files appear with the checkpoint that they belong to, whole and never changed again: one per epoch and subtask that
/// had records, named `part-<epoch>-<subtask>-<run>.<format>`, so that a sorted listing is in the order of epochs. Records
/// of one subtask stay in order. What waits for its checkpoint, and what the sink needs for itself, is in files whose
/// names begin with a dot: leave these alone. All others may be read, moved and deleted at any time.
///
/// The directory is made if it is not there. It belongs to this sink of this job alone: others are refused.
///
/// # Errors
/// The job fails with `Config` if the directory can't be used, `Data` for a record that the format can't hold, and
/// `Unavailable` for a disk that is full or fails, so that its restart strategy applies.
///
/// # Example
/// ```
/// use serde::Serialize;
/// use stream_core::testing::TestDriver;
/// use stream_files::FileSink;
///
/// #[derive(Serialize)]
/// struct Reading {
///     sensor: String,
///     celsius: f64,
/// }
///
/// # let directory = tempfile::tempdir()?;
/// # let out = directory.path().join("out");
/// let mut driver = TestDriver::new();
/// let (readings, stream) = driver.input("readings");
/// stream.staged_sink("files", FileSink::json_lines(&out));
/// readings.push(Reading { sensor: "roof".into(), celsius: 21.5 });
/// driver.finish()?;
///
/// let file = std::fs::read_to_string(out.join("part-0000000001-00000-1.jsonl"))?;
/// assert_eq!(file, "{\"sensor\":\"roof\",\"celsius\":21.5}\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FileSink {
    directory: Arc<Path>,
    format: Format,
}

impl FileSink {
    /// One line of JSON per record.
    pub fn json_lines(directory: impl Into<PathBuf>) -> FileSink {
        FileSink { directory: directory.into().into(), format: Format::JsonLines }
    }

    /// One line of CSV per record. Each file begins with the names of the fields, if the records are structs.
    pub fn csv(directory: impl Into<PathBuf>) -> FileSink {
        FileSink { directory: directory.into().into(), format: Format::Csv }
    }
}

impl<T: Serialize + Send + 'static> StagedSink<T> for FileSink {
    fn open(&mut self, context: &SinkContext) -> Result<Box<dyn StagedWriter<T>>> {
        Ok(Box::new(FileWriter::new(self.directory.clone(), self.format, context)))
    }

    fn committer(&mut self, context: &SinkContext) -> Result<Box<dyn StagedCommitter>> {
        Ok(Box::new(FileCommitter::new(self.directory.clone(), context)?))
    }

    fn check(&mut self, _limit: Duration) -> Result<String> {
        committer::check(&self.directory)
    }

    fn describe(&self) -> String {
        format!("{} in {}", self.format.name(), self.directory.display())
    }
}
