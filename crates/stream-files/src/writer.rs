//! Puts the records of one subtask aside, one file per epoch.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use stream_core::{Batch, Result, SinkContext, StagedWriter};

use crate::failure::failed;
use crate::format::{Encoder, Failure, Format};
use crate::name::{self, Staged};

/// The writer of one subtask.
pub(crate) struct FileWriter {
    directory: Arc<Path>,
    format: Format,
    generation: u64,
    subtask: usize,
    /// How many names were tried.
    count: u64,
    /// The file of this epoch, once it has a record.
    open: Option<(String, Encoder)>,
    seen: usize,
}

impl FileWriter {
    pub(crate) fn new(directory: Arc<Path>, format: Format, context: &SinkContext) -> FileWriter {
        let (generation, subtask) = (context.generation(), context.operator.subtask());
        FileWriter { directory, format, generation, subtask, count: 0, open: None, seen: 0 }
    }

    fn create(&mut self) -> Result<(String, Encoder)> {
        loop {
            let hidden = name::hidden(self.generation, self.subtask, self.count, self.format.extension());
            self.count += 1;
            let path = self.directory.join(&hidden);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((hidden, Encoder::new(self.format, file))),
                // This run has failed before, and what it had put aside could not be removed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed("create", &path, error)),
            }
        }
    }
}

impl<T: Serialize + Send> StagedWriter<T> for FileWriter {
    fn write(&mut self, batch: &mut Batch<T>) -> Result<()> {
        self.seen = 0;
        for record in batch.records() {
            if self.open.is_none() {
                self.open = Some(self.create()?);
            }
            if let Some((hidden, encoder)) = &mut self.open {
                encoder.write(record).map_err(|failure| match failure {
                    Failure::Record(error) => error,
                    Failure::File(error) => failed("write to", &self.directory.join(&*hidden), error),
                })?;
            }
            self.seen += 1;
        }
        Ok(())
    }

    fn stage(&mut self, epoch: u64) -> Result<Option<Vec<u8>>> {
        let Some((hidden, encoder)) = self.open.take() else { return Ok(None) };
        let bytes = encoder.close().map_err(|error| failed("write to", &self.directory.join(&hidden), error))?;
        let published = name::published(epoch, self.subtask, self.generation, self.format.extension());
        Staged { hidden, published, bytes }.encode().map(Some)
    }

    fn failed_at(&self) -> Option<usize> {
        Some(self.seen)
    }
}

/// Makes a file or directory durable.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
