//! What records look like in a file.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use serde::Serialize;
use stream_core::{Error, ErrorKind};

/// Bytes that are collected before they go to the file.
const BUFFER: usize = 64 * 1024;

/// What the lines of a file look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    JsonLines,
    Csv,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::JsonLines => "json lines",
            Format::Csv => "csv",
        }
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Format::JsonLines => "jsonl",
            Format::Csv => "csv",
        }
    }
}

/// Writes records to one file.
pub(crate) enum Encoder {
    JsonLines { file: BufWriter<File>, line: Vec<u8> },
    Csv(Box<csv::Writer<File>>),
}

/// Why a record was not written.
pub(crate) enum Failure {
    /// The format can't hold it.
    Record(Error),
    File(io::Error),
}

impl Encoder {
    pub(crate) fn new(format: Format, file: File) -> Encoder {
        match format {
            Format::JsonLines => Encoder::JsonLines { file: BufWriter::with_capacity(BUFFER, file), line: Vec::new() },
            Format::Csv => Encoder::Csv(Box::new(csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(file))),
        }
    }

    pub(crate) fn write(&mut self, record: &impl Serialize) -> Result<(), Failure> {
        match self {
            Encoder::JsonLines { file, line } => {
                line.clear();
                serde_json::to_writer(&mut *line, record).map_err(|error| {
                    let hint = "JSON has no maps whose keys are not text: give the record another shape with serde";
                    Failure::Record(unfit("JSON", &error.to_string()).with_hint(hint).with_cause(error))
                })?;
                line.push(b'\n');
                file.write_all(line).map_err(Failure::File)
            }
            Encoder::Csv(file) => file.serialize(record).map_err(|error| match error.into_kind() {
                csv::ErrorKind::Io(error) => Failure::File(error),
                kind => {
                    let hint = "CSV has no nesting: write a flat struct whose fields are numbers and texts";
                    let why = match kind {
                        csv::ErrorKind::Serialize(why) => why,
                        other => format!("{other:?}"),
                    };
                    Failure::Record(unfit("CSV", &why).with_hint(hint))
                }
            }),
        }
    }

    /// Hands everything to the file; returns how long it is.
    pub(crate) fn close(self) -> io::Result<u64> {
        let file = match self {
            Encoder::JsonLines { file, .. } => file.into_inner().map_err(io::IntoInnerError::into_error)?,
            Encoder::Csv(file) => file.into_inner().map_err(csv::IntoInnerError::into_error)?,
        };
        Ok(file.metadata()?.len())
    }
}

fn unfit(format: &str, why: &str) -> Error {
    Error::new(ErrorKind::Data, format!("can't write the record as {format}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `/dev/full` answers every write as a full disk does.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_noticed_when_the_file_is_closed_at_the_latest() {
        for format in [Format::JsonLines, Format::Csv] {
            let file = File::options().write(true).open("/dev/full").expect("every Linux has it");
            let mut encoder = Encoder::new(format, file);
            assert!(encoder.write(&1).is_ok(), "it is in the buffer");
            let error = encoder.close().expect_err("there is no room");
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_noticed_when_the_buffer_is_full() {
        for format in [Format::JsonLines, Format::Csv] {
            let file = File::options().write(true).open("/dev/full").expect("every Linux has it");
            let mut encoder = Encoder::new(format, file);
            let failure = (0..BUFFER).find_map(|number| encoder.write(&number).err());
            assert!(matches!(failure, Some(Failure::File(error)) if error.kind() == io::ErrorKind::StorageFull));
        }
    }
}
