//! Where things are: the workspace, its target folder, and the home of the local Kafka.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the workspace.
///
/// Asked from the current folder upwards, because the executable may be a copy that a test runs, or come from a
/// target folder that several checkouts share. The folder it was built from is the answer of last resort.
pub(crate) fn workspace() -> PathBuf {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let here = env::current_dir().unwrap_or_default();
    here.ancestors().find(|folder| folder.join("xtask/Cargo.toml").is_file()).unwrap_or(built_from).to_path_buf()
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace().join(folder),
        None => workspace().join("target"),
    }
}

/// The folder of the local Kafka: jars and, unless `--dir` says otherwise, the cluster's data.
pub(crate) fn kafka_home() -> PathBuf {
    match env::var_os("STREAM_KAFKA_HOME") {
        Some(folder) if !folder.is_empty() => workspace().join(folder),
        _ => workspace().join(".kafka"),
    }
}

/// The executable called `name`, looked up in `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
