//! A store in a directory: one file per object, written so that a crash of the machine leaves it whole or not there.
//!
//! 1. The content goes to a file of another name, `.new-<process>-<count>`, and is synchronised.
//! 2. A hard link gives it its name. The system makes one only if there is no file of that name, so of two that
//!    create one object, in whatever process, one is told.
//! 3. The other name is removed and the directory synchronised. From here on the object survives.
//!
//! If step 3 fails the object may be there or not, and whoever creates it again is told so: "already there" is only
//! said of an object that survives. It is never removed again, because somebody may have seen it.
//!
//! A writer holds a lock on its `.new-` file. One without lock was left by a process that ended; it is removed by
//! the first create of a later run. If the file system has no locks all of them count as held, and if they don't reach
//! from machine to machine, a writer may lose its file: it finds out at step 2 and begins again.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use stream_core::checkpoint::{CheckpointStore, Creation, StoredObject};
use stream_core::{Error, ErrorKind, Result};

use crate::{Place, is_name};

const TEMPORARY: &str = ".new-";

/// How often a writer's file may be taken away under its hands.
const TRIES_MAX: u32 = 5;

/// The files of one job.
pub(crate) struct Directory {
    path: PathBuf,
    /// It has been made, and swept.
    ready: AtomicBool,
}

impl Directory {
    pub(crate) fn new(path: PathBuf) -> Directory {
        Directory { path, ready: AtomicBool::new(false) }
    }

    fn make_ready(&self) -> Result<()> {
        if !self.ready.load(Ordering::Acquire) {
            make_durably(&self.path)?;
            self.sweep()?;
            self.ready.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Removes what writers have left that ended before they were done.
    fn sweep(&self) -> Result<()> {
        for (path, name) in self.files()? {
            if !name.starts_with(TEMPORARY) {
                continue;
            }
            // Held until the file is gone, so that its writer, if it has only just made it, finds out.
            let Ok(file) = File::open(&path) else { continue };
            if file.try_lock().is_ok()
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!("{} was left by an earlier run and can't be removed: {error}", path.display());
            }
        }
        Ok(())
    }

    /// What is in the directory, with names as text; none if it is not there.
    fn files(&self) -> Result<Vec<(PathBuf, String)>> {
        let failed = |error| failure("list the directory of checkpoints", &self.path, error);
        let entries = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().into_string() {
                files.push((entry.path(), name));
            }
        }
        Ok(files)
    }

    /// Writes a whole file that nobody looks at yet, and keeps it locked.
    fn write_temporary(&self, content: &[Bytes]) -> io::Result<(PathBuf, File)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (path, mut file) = loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = self.path.join(format!("{TEMPORARY}{}-{count}", std::process::id()));
            match private(OpenOptions::new().write(true).create_new(true)).open(&path) {
                // Left by another process that had our number, or at work on another machine.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => {
                    let file = opened?;
                    match file.try_lock() {
                        // Somebody who sweeps was faster, and will remove it.
                        Err(TryLockError::WouldBlock) => {}
                        // A file system without locks.
                        Ok(()) | Err(TryLockError::Error(_)) => break (path, file),
                    }
                }
            }
        };
        match content.iter().try_for_each(|part| file.write_all(part)).and_then(|()| file.sync_all()) {
            Ok(()) => Ok((path, file)),
            Err(error) => {
                // If it can't be removed now, the next run does.
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    /// One try; none if our file was taken away before it had its name.
    fn try_create(&self, path: &Path, content: &[Bytes]) -> Result<Option<Creation>> {
        let failed = |error| failure("write", path, error);
        let (temporary, file) = self.write_temporary(content).map_err(failed)?;
        let linked = fs::hard_link(&temporary, path);
        let removed = fs::remove_file(&temporary);
        drop(file);
        let creation = match linked {
            Ok(()) => Creation::Created,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Creation::AlreadyThere,
            Err(error) if error.kind() == io::ErrorKind::NotFound && removed.is_err() && self.path.is_dir() => {
                return Ok(None);
            }
            Err(error) if has_no_links(&error) => return Err(no_links(&self.path, error)),
            Err(error) => return Err(failed(error)),
        };
        // What is there already may have been left by a writer that came no further than to its name.
        sync_directory(&self.path).map_err(failed)?;
        Ok(Some(creation))
    }
}

impl CheckpointStore for Directory {
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation> {
        self.make_ready()?;
        let path = self.path.join(name);
        for _ in 0..TRIES_MAX {
            if let Some(creation) = self.try_create(&path, content)? {
                return Ok(creation);
            }
        }
        let message = format!("can't write {}: somebody removes files from its directory", path.display());
        Err(Error::new(ErrorKind::Unavailable, message).with_hint("nobody but the job may delete there"))
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failure("read", &path, error)),
        }
    }

    fn list(&self) -> Result<Vec<StoredObject>> {
        let mut objects = Vec::new();
        for (path, name) in self.files()? {
            match fs::metadata(&path) {
                Ok(found) if found.is_file() && is_name(&name) => {
                    objects.push(StoredObject { name, size: found.len() });
                }
                Ok(_) => {}
                // Deleted meanwhile, or a link that leads nowhere.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failure("look at", &path, error)),
            }
        }
        Ok(objects)
    }

    fn delete(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => {
                removed.and_then(|()| sync_directory(&self.path)).map_err(|error| failure("delete", &path, error))
            }
        }
    }

    fn location(&self) -> String {
        self.path.display().to_string()
    }
}

impl Place for Directory {
    fn check(&self) -> Result<()> {
        let failed = |path: &Path, error| failure("write to", path, error);
        for path in self.path.ancestors() {
            match fs::metadata(path) {
                Ok(found) if found.is_dir() => return may_write(path).map_err(|error| failed(path, error)),
                Ok(_) => return Err(failed(path, io::ErrorKind::NotADirectory.into())),
                // It will be made, in the nearest one that exists.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(path, error)),
            }
        }
        Ok(())
    }

    fn is_remote(&self) -> bool {
        false
    }
}

/// Makes a directory and those above it, each so that it survives a crash.
fn make_durably(path: &Path) -> Result<()> {
    let failed = |error| failure("make the directory of checkpoints", path, error);
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => return Err(failed(io::ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    if let Some(parent) = path.parent() {
        make_durably(parent)?;
        match private_directory().create(path) {
            // Another run makes it, too.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(failed)?,
        }
        sync_directory(parent).map_err(failed)?;
    }
    Ok(())
}

#[cfg(unix)]
fn private_directory() -> fs::DirBuilder {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(not(unix))]
fn private_directory() -> fs::DirBuilder {
    fs::DirBuilder::new()
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_path: &Path) -> io::Result<()> {
    // A directory can't be opened; its entries are in the file system's journal.
    Ok(())
}

/// Whether this user may create files in the directory, as the system says without trying it.
#[cfg(unix)]
fn may_write(path: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    Ok(access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?)
}

#[cfg(not(unix))]
fn may_write(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether the system says that the file system makes no hard links; EACCES would be a missing permission.
#[cfg(unix)]
fn has_no_links(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    errno == Some(rustix::io::Errno::PERM) || error.kind() == io::ErrorKind::Unsupported
}

#[cfg(not(unix))]
fn has_no_links(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
}

fn no_links(path: &Path, error: io::Error) -> Error {
    let message = format!("checkpoints can't be kept in {}: its file system has no hard links", path.display());
    let hint = "they keep two runs from writing one checkpoint; choose a directory on another file system";
    Error::new(ErrorKind::Config, message).with_hint(hint).with_cause(error)
}

/// What a failure of the system means for a job.
fn failure(what: &str, path: &Path, error: io::Error) -> Error {
    use io::ErrorKind as Io;
    let (kind, why, hint) = match error.kind() {
        Io::StorageFull => (ErrorKind::Unavailable, "the disk is full", "make room on it"),
        Io::QuotaExceeded => (ErrorKind::Unavailable, "the user's disk quota is used up", "make room, or raise it"),
        Io::FileTooLarge => {
            let hint = "raise the limit (ulimit -f), or use a file system that takes larger files";
            (ErrorKind::Unavailable, "the file is larger than what is allowed", hint)
        }
        Io::ReadOnlyFilesystem => {
            let hint = "mount it writable, or set execution.checkpointing.dir to another directory; a disk with errors \
                        turns read-only, too";
            (ErrorKind::Config, "the file system is read-only", hint)
        }
        Io::PermissionDenied => {
            let hint = "give the user that runs the job read and write access to the directory of checkpoints";
            (ErrorKind::Config, "permission denied", hint)
        }
        Io::NotADirectory => {
            let hint = "set execution.checkpointing.dir to a directory, or to a path that is not there yet";
            (ErrorKind::Config, "it is a file, or a part of its path is, and no directory", hint)
        }
        Io::InvalidFilename => (ErrorKind::Config, "the system does not take such a name", "choose another path"),
        Io::NotFound => {
            (ErrorKind::Unavailable, "its directory is gone", "nobody but the job may delete in there; restore it")
        }
        _ => (ErrorKind::Unavailable, "", "look at the disk, or at the network that leads to it"),
    };
    let why = if why.is_empty() { error.to_string() } else { why.to_owned() };
    let message = format!("can't {what} {}: {why}", path.display());
    Error::new(kind, message).with_hint(hint).with_cause(error)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store() -> (tempfile::TempDir, Directory) {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Directory::new(directory.path().join("a/b"));
        (directory, store)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn nobody_else_may_read_state() {
        let (directory, store) = store();
        store.create("x", &["1".into()]).expect("room");
        assert_eq!(["a", "a/b"].map(|name| mode(&directory.path().join(name))), [0o700; 2]);
        assert_eq!(mode(&directory.path().join("a/b/x")), 0o600);
    }

    #[test]
    fn looking_changes_nothing() {
        let (directory, store) = store();
        store.check().expect("it could be made");
        assert_eq!(store.list().expect("a listing"), []);
        assert_eq!(store.read("x").expect("no failure"), None);
        store.delete("x").expect("nothing to do");
        assert_eq!(fs::read_dir(directory.path()).expect("it is there").count(), 0);
    }

    #[test]
    fn what_a_dead_writer_left_goes_and_what_a_live_one_writes_stays() {
        let (_directory, store) = store();
        fs::create_dir_all(&store.path).expect("room");
        let [dead, live] = [".new-1-1", ".new-1-2"].map(|name| store.path.join(name));
        fs::write(&dead, "half").expect("room");
        let writer = File::create(&live).expect("room");
        writer.lock().expect("a lock");
        fs::write(store.path.join("foreign file"), "").expect("room");
        store.create("x", &["1".into()]).expect("room");
        assert!(!dead.exists() && live.exists());
        let listed: Vec<String> = store.list().expect("a listing").into_iter().map(|object| object.name).collect();
        assert_eq!(listed, ["x"], "neither is an object");
    }

    #[test]
    fn a_directory_inside_is_no_object() {
        let (_directory, store) = store();
        fs::create_dir_all(store.path.join("data-1")).expect("room");
        assert_eq!(store.list().expect("a listing"), []);
    }

    #[test]
    fn a_file_in_the_way_is_a_mistake_of_the_configuration() {
        let (directory, store) = store();
        fs::write(directory.path().join("a"), "").expect("room");
        for error in [store.check(), store.create("x", &[]).map(drop)].map(|r| r.expect_err("a file is in the way")) {
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains("it is a file") && error.message().contains("/a"), "{error}");
        }
        assert_eq!(fs::read(directory.path().join("a")).expect("it is there"), b"");
    }

    #[test]
    fn a_directory_that_goes_away_is_not_made_again() {
        let (directory, store) = store();
        store.create("x", &["1".into()]).expect("room");
        fs::remove_dir_all(directory.path().join("a")).expect("it goes");
        let error = store.create("y", &[]).expect_err("the other objects are lost");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("its directory is gone"), "{error}");
    }

    #[test]
    fn failures_say_what_to_do_and_whether_to_wait() {
        use rustix::io::Errno;
        let cases = [
            (Errno::NOSPC, ErrorKind::Unavailable, "the disk is full", "make room"),
            (Errno::DQUOT, ErrorKind::Unavailable, "quota", "make room"),
            (Errno::FBIG, ErrorKind::Unavailable, "larger than", "ulimit -f"),
            (Errno::IO, ErrorKind::Unavailable, "", "look at the disk"),
            (Errno::STALE, ErrorKind::Unavailable, "", "the network"),
            (Errno::ROFS, ErrorKind::Config, "read-only", "another directory"),
            (Errno::ACCESS, ErrorKind::Config, "permission denied", "read and write access"),
            (Errno::NOTDIR, ErrorKind::Config, "no directory", "to a directory"),
        ];
        for (errno, kind, why, hint) in cases {
            let error = failure("write", Path::new("/c/x"), errno.into());
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().starts_with("can't write /c/x: ") && error.message().contains(why), "{error}");
            assert!(error.hint().is_some_and(|text| text.contains(hint)), "{error}");
        }
        assert!(has_no_links(&Errno::PERM.into()) && !has_no_links(&Errno::ACCESS.into()));
    }
}
