//! Publishes the files that a durable checkpoint names, by giving them another name.
//!
//! What can be found of a file, and what it means:
//!
//! | hidden | published | it is |
//! | --- | --- | --- |
//! | there | – | put aside: renamed now |
//! | – | there | published by an earlier try |
//! | – | – | published by an earlier run, and a consumer has taken it; lost, if this run has prepared it |
//! | there | there | something that this sink never does: refused |
//!
//! A rename is atomic, only this sink touches hidden files, and a file was there when its checkpoint was written. So a
//! hidden file that is gone was published. One exception can be seen: the whole directory is new.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use stream_core::{Error, ErrorKind, Result, SinkContext, StagedCommitter};

use crate::failure::failed;
use crate::name::{self, OWNER, Staged};
use crate::writer::sync;

/// Publishes for one sink.
pub(crate) struct FileCommitter {
    directory: Arc<Path>,
    generation: u64,
    /// Nobody had written here before this run.
    is_new: bool,
    /// Hidden names that this run has made durable and not renamed yet.
    prepared: BTreeSet<String>,
}

/// Whose directory it is, as its owner file says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    job: String,
    sink: String,
}

impl FileCommitter {
    /// Makes the directory and takes it.
    pub(crate) fn new(directory: Arc<Path>, context: &SinkContext) -> Result<FileCommitter> {
        fs::create_dir_all(&directory).map_err(|error| failed("make the directory", &directory, error))?;
        let owner = Owner { job: context.job().to_owned(), sink: context.operator.uid().to_owned() };
        let is_new = take(&directory, &owner)?;
        Ok(FileCommitter { directory, generation: context.generation(), is_new, prepared: BTreeSet::new() })
    }

    fn publish_one(&mut self, staged: &Staged) -> Result<()> {
        let (hidden, published) = (self.directory.join(&staged.hidden), self.directory.join(&staged.published));
        let is_published = published.try_exists().map_err(|error| failed("look for", &published, error))?;
        match fs::metadata(&hidden) {
            Ok(_) if is_published => {
                let message = format!("`{}` and `{}` are both there", hidden.display(), published.display());
                return Err(Error::new(ErrorKind::Corrupt, message).with_hint(
                    "a file gets its name by being renamed, so one of them is a copy of somebody else: move it away",
                ));
            }
            Ok(found) if found.len() != staged.bytes => {
                let (has, had) = (found.len(), staged.bytes);
                let message = format!("`{}` has {has} bytes, {had} were written", hidden.display());
                return Err(Error::new(ErrorKind::Corrupt, message).with_hint(TOUCHED));
            }
            Ok(_) => match fs::rename(&hidden, &published) {
                // An earlier run has woken up and published the same meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed.map_err(|error| failed("publish", &hidden, error))?,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !is_published && (self.is_new || self.prepared.contains(&staged.hidden)) {
                    return Err(lost(&hidden));
                }
                if !is_published {
                    tracing::info!("`{}` was published before, and somebody has taken it", published.display());
                }
            }
            Err(error) => return Err(failed("look for", &hidden, error)),
        }
        self.prepared.remove(&staged.hidden);
        Ok(())
    }
}

const TOUCHED: &str = "files whose names begin with a dot are this sink's own, until it publishes them: somebody has \
                       touched one";

fn lost(hidden: &Path) -> Error {
    let message = format!("`{}` is gone before it was published: its records are lost", hidden.display());
    let hint =
        format!("{TOUCHED}, or emptied the directory; to read the records again, go on from an older checkpoint");
    Error::new(ErrorKind::Corrupt, message).with_hint(hint)
}

impl StagedCommitter for FileCommitter {
    fn prepare(&mut self, staged: &[Vec<u8>]) -> Result<()> {
        for staged in staged {
            let staged = Staged::decode(staged)?;
            let path = self.directory.join(&staged.hidden);
            match sync(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(lost(&path)),
                synced => synced.map_err(|error| failed("make durable", &path, error))?,
            }
            self.prepared.insert(staged.hidden);
        }
        match staged.is_empty() {
            true => Ok(()),
            false => sync(&self.directory).map_err(|error| failed("make durable", &self.directory, error)),
        }
    }

    fn publish(&mut self, staged: &[Vec<u8>]) -> Result<()> {
        for staged in staged {
            self.publish_one(&Staged::decode(staged)?)?;
        }
        match staged.is_empty() {
            true => Ok(()),
            // Also if all were renamed before: the crash may have come in between.
            false => sync(&self.directory).map_err(|error| failed("make durable", &self.directory, error)),
        }
    }

    fn discard_leftovers(&mut self) -> Result<()> {
        let entries = fs::read_dir(&self.directory).map_err(|error| failed("list", &self.directory, error))?;
        for entry in entries {
            let path = entry.map_err(|error| failed("list", &self.directory, error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // A later run may be at work already, if this one has slept since it began: its files are not ours.
            if name::generation_of(&name).is_none_or(|generation| generation > self.generation) {
                continue;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &path, error)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Takes the directory for `owner`, who may have it already. True if nobody had it.
fn take(directory: &Path, owner: &Owner) -> Result<bool> {
    let path = directory.join(OWNER);
    let is_new = match fs::read(&path) {
        // Without content: a crash came between the two steps below.
        Ok(content) if content.is_empty() => true,
        Ok(content) => {
            check_owner(directory, owner, &content)?;
            return Ok(false);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed("read", &path, error)),
    };
    let content = serde_json::to_vec(owner).map_err(|e| Error::internal(format!("an owner can't be encoded: {e}")))?;
    let written = OpenOptions::new().write(true).create(true).truncate(true).open(&path).and_then(|mut file| {
        file.write_all(&content)?;
        file.sync_all()
    });
    written.map_err(|error| failed("write", &path, error))?;
    for directory in directory.ancestors().take(2) {
        // The parent of a bare name is where the process runs.
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        sync(directory).map_err(|error| failed("make durable", directory, error))?;
    }
    Ok(is_new)
}

fn check_owner(directory: &Path, owner: &Owner, content: &[u8]) -> Result<()> {
    let (place, file) = (directory.display(), directory.join(OWNER));
    let found: Owner = serde_json::from_slice(content).map_err(|error| {
        let message = format!("`{}` does not say whose directory it is: {error}", file.display());
        Error::new(ErrorKind::Corrupt, message).with_hint("if only this sink writes there, delete the file")
    })?;
    if found == *owner {
        return Ok(());
    }
    let message = format!("the directory `{place}` belongs to sink `{}` of job `{}`", found.sink, found.job);
    let hint = format!(
        "give each sink a directory of its own; if that sink is now called `{}` of job `{}`, or is gone for good, \
         delete `{}`",
        owner.sink,
        owner.job,
        file.display()
    );
    Err(Error::new(ErrorKind::Config, message).with_hint(hint))
}

/// Whether the directory could be used, without touching it.
pub(crate) fn check(directory: &Path) -> Result<String> {
    let place = directory.display();
    let existing = directory.ancestors().find(|path| path.exists());
    match existing {
        Some(path) if !path.is_dir() => Err(failed("write to", path, io::ErrorKind::NotADirectory.into())),
        Some(path) if path == directory => Ok(format!("the directory `{place}` is there")),
        _ => Ok(format!("the directory `{place}` will be made")),
    }
}
