//! Reading text files the same way everywhere.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Largest configuration file. Real ones are a few KiB; this stops a wrong path to a data file.
const CONFIGURATION_BYTES_MAX: u64 = 4 << 20;

/// The text of a configuration file, or why it cannot be read.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| io(&error))?;
    if metadata.is_dir() {
        return Err("it is a directory".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| io(&error))?;
    file.take(CONFIGURATION_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| io(&error))?;
    if bytes.len() as u64 > CONFIGURATION_BYTES_MAX {
        return Err("it is larger than 4 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8 text")
    })
}

/// The text without a byte order mark and with every line break as `\n`, so that all parsers
/// count the same lines.
pub(crate) fn normal(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() }
}

/// An I/O error in the words of a message.
pub(crate) fn io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}
