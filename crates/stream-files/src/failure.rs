//! What the file system says, as errors that name the path and what to do.

use std::io;
use std::path::Path;

use stream_core::{Error, ErrorKind};

/// The error for something that was tried with `path`: `Config` where trying again can't help.
pub(crate) fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let (kind, hint) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorKind::Unavailable, "free some space, or move the directory to a larger disk")
        }
        io::ErrorKind::PermissionDenied => {
            (ErrorKind::Config, "let the user that the job runs as write to this directory")
        }
        io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::Config, "name a directory on a disk that can be written to"),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            (ErrorKind::Config, "a file is in the way: name a directory, or a path where one can be made")
        }
        io::ErrorKind::NotFound => (ErrorKind::Unavailable, "has somebody removed it while the job ran?"),
        _ => (ErrorKind::Unavailable, "the disk or the network behind it has trouble: see the system's log"),
    };
    Error::new(kind, format!("can't {what} `{}`: {error}", path.display())).with_hint(hint).with_cause(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_trying_again_cannot_mend_is_a_matter_of_configuration() {
        let kind = |kind: io::ErrorKind| failed("write to", Path::new("out"), kind.into()).kind();
        for mendable in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::TimedOut] {
            assert_eq!(kind(mendable), ErrorKind::Unavailable);
        }
        for wrong in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::NotADirectory]
        {
            assert_eq!(kind(wrong), ErrorKind::Config);
        }
        let error = failed("create", Path::new("out/.part-1-0-0.csv"), io::ErrorKind::StorageFull.into());
        assert!(error.message().starts_with("can't create `out/.part-1-0-0.csv`: "), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("free some space")), "{error}");
    }
}
