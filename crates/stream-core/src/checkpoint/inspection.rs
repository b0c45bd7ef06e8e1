//! Looking at what is stored without running the job: [`list`] reads the manifests, [`verify`] every byte.

use std::collections::BTreeMap;

use crate::checkpoint::ledger;
use crate::checkpoint::manifest::{Manifest, damaged};
use crate::checkpoint::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};

/// A checkpoint that is, or was, in a store.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listed {
    /// Its number.
    pub sequence: u64,
    /// What it consists of, or why that can't be read.
    pub manifest: Result<Manifest>,
    /// Which of its files are missing or of the wrong size; [`verify`] finds the rest.
    pub damage: Vec<Error>,
}

impl Listed {
    /// Everything that is known to be wrong with it.
    pub fn damages(&self) -> impl Iterator<Item = &Error> {
        self.manifest.as_ref().err().into_iter().chain(&self.damage)
    }
}

/// Every checkpoint of the job `job`, newest first. Reads the manifests, and no state.
///
/// # Errors
/// `Unavailable` or `Config` if the store can't be read. What is wrong with a single checkpoint is in its [`Listed`].
///
/// # Example
/// ```
/// use stream_core::checkpoint::{self, MemoryStore};
/// use stream_core::{Configuration, StreamingContext};
///
/// let store = MemoryStore::new();
/// let settings = ["--set".to_owned(), "execution.checkpointing.interval=1s".to_owned()];
/// let ctx = StreamingContext::new(Configuration::builder().args(settings).build()?);
/// let ctx = ctx.checkpoint_store(store.clone());
/// ctx.from_iter(0..10).print();
/// ctx.execute("count")?;
///
/// for listed in checkpoint::list(&store, "count")? {
///     let manifest = listed.manifest?;
///     assert!(checkpoint::verify(&store, &manifest)?.is_empty());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn list(store: &dyn CheckpointStore, job: &str) -> Result<Vec<Listed>> {
    let sizes: BTreeMap<String, u64> = store.list()?.into_iter().map(|object| (object.name, object.size)).collect();
    let manifests = ledger::manifests(store)?.into_iter();
    let listed = manifests.map(|(sequence, manifest)| {
        let manifest = manifest.and_then(|manifest| check_job(&manifest, job).map(|()| manifest));
        let files = manifest.as_ref().map_or(&[][..], |manifest| &manifest.files);
        let damage = files.iter().filter_map(|file| match sizes.get(&file.name) {
            None => Some(damaged(&file.name, "it is missing")),
            Some(size) if *size != file.size => Some(ledger::of_wrong_size(file, *size)),
            Some(_) => None,
        });
        Listed { sequence, damage: damage.collect(), manifest }
    });
    Ok(listed.collect())
}

/// Everything that is wrong with a checkpoint: reads all of it and compares checksums. Nothing if it is whole.
///
/// # Errors
/// `Unavailable` or `Config` if the store can't be read.
pub fn verify(store: &dyn CheckpointStore, manifest: &Manifest) -> Result<Vec<Error>> {
    let mut damage = Vec::new();
    let mut files = Vec::new();
    for file in &manifest.files {
        match ledger::read_data(store, file) {
            Ok(content) => files.push(content),
            Err(error) if error.kind() == ErrorKind::Corrupt => damage.push(error),
            Err(error) => return Err(error),
        }
    }
    if damage.is_empty() {
        damage.extend(ledger::assemble(manifest, &files).err());
    }
    Ok(damage)
}

/// Refuses a manifest of another job.
pub(crate) fn check_job(manifest: &Manifest, job: &str) -> Result<()> {
    if manifest.job == job {
        return Ok(());
    }
    let message = format!("`{}` is of job `{}`, this is job `{job}`", manifest.name(), manifest.job);
    Err(Error::new(ErrorKind::Config, message).with_hint("give each job a checkpoint directory of its own"))
}
