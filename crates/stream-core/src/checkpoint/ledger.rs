//! [`Ledger`]: the checkpoints of one job in its store. Which exist, which one counts, who may write the next.
//!
//! 1. A checkpoint is its data file, then its manifest. The manifests are numbered; of two that create the next one
//!    notices ([`CheckpointStore::create`]). Numbers become free again when manifests are deleted, so whoever has
//!    created one looks whether it is the newest: the newest is never deleted, so its number was never used before.
//!    One that is not is a *stray* and counts for nobody.
//! 2. A run begins by *adopting*: it creates the next manifest, a copy of the one it goes on from under its own
//!    incarnation. Whoever wrote before is told so by its next write, and ends.
//! 3. A run deletes what its own checkpoints have replaced, and what it found unused in the listing from before its
//!    adoption: nobody who came later can need that. What a later listing shows it never deletes. Manifests go before
//!    the files they need.
//! 4. An earlier run that wakes up late deletes by the same rule: never anything that the newest manifest it knew
//!    needs. So the newest may be adopted as it is; going on from another one copies its bytes into a new file first.
//! 5. A create that fails may have been done. So no data file is written a second time under one name, and a run that
//!    begins again first settles whether its last manifest is there, by creating another one under that number.
//!
//! Where a transaction of an outside system commits checkpoints ([`CommittedBy::Marker`]), a manifest counts only once a
//! marker names it: what [`Ledger::write`] has written replaces nothing before [`Ledger::committed`], and a run goes on
//! from the checkpoint that the marker names. Manifests that no marker has named are leftovers of a run that died.
//!
//! The rules are points 10 and 11 of section 1b of the commit protocol (docs/decisions/0009-checkpoints.md).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::checkpoint::choice::choose;
use crate::checkpoint::envelope;
use crate::checkpoint::manifest::{
    CommittedBy, DataFile, FORMAT_VERSION, Manifest, OperatorState, Piece, SourceState, SplitState, StateEntry,
    SubtaskState, damaged,
};
use crate::checkpoint::store::{CheckpointStore, Creation};
use crate::error::{Error, ErrorKind, Result};
use crate::operator::{Parts, Snapshot, is_list};
use crate::runtime::checkpoint::{Checkpoint, Kept};
use crate::source::SplitPosition;
#[cfg(test)]
use crate::testing::simulation::{Bug, is_planted};
use crate::time::Timestamp;
use crate::transaction::Marker;

/// How often somebody else may come first while this run tries to adopt.
const ADOPTIONS_MAX: usize = 100;

/// What the engine knows of one job's store.
pub(crate) struct Ledger {
    store: Arc<dyn CheckpointStore>,
    job: String,
    incarnation: String,
    retained: usize,
    mode: CommittedBy,
    lineage: u64,
    /// The newest manifest of this run that counts: what changes are added to.
    newest: Manifest,
    /// The highest number that this run has used.
    last: u64,
    /// A manifest that is there and waits for its marker.
    uncommitted: Option<Manifest>,
    /// The manifests that exist, oldest first, that of `newest` included.
    kept: Vec<Entry>,
    /// What nobody needs any more, in the order in which it may go.
    superseded: Vec<String>,
    /// What could not be written yet: the next checkpoint has it, too.
    unwritten: Option<Checkpoint>,
    /// How many tries to write have failed.
    failures: u64,
    /// Whether the manifest after `newest` may be there.
    in_doubt: bool,
    /// Data files of ours that a manifest may need, or nobody.
    unsettled: Vec<String>,
}

/// A manifest that exists.
#[derive(Clone, Debug)]
struct Entry {
    sequence: u64,
    at: (u64, u64),
    files: BTreeSet<String>,
}

impl Entry {
    fn of(manifest: &Manifest) -> Entry {
        let files = manifest.files.iter().map(|file| file.name.clone()).collect();
        Entry { sequence: manifest.sequence, at: (manifest.lineage, manifest.epoch), files }
    }
}

/// Which checkpoint to go on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum From {
    /// The newest that is whole.
    #[default]
    Newest,
    /// The newest, or nothing.
    NewestStrictly,
    /// The one with this number, in a new line of history.
    Sequence(u64),
    /// The one that this marker names, unless a later one needs none.
    Marked(Option<Marker>),
}

/// Who writes, and how.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    pub(crate) job: String,
    /// Another one for every run of the program.
    pub(crate) incarnation: String,
    /// How often this run has begun again.
    pub(crate) attempt: u64,
    /// What makes its checkpoints count.
    pub(crate) mode: CommittedBy,
    /// A new line of history has a higher number than this one.
    pub(crate) lineage: u64,
    /// Begins one in any case.
    pub(crate) anew: bool,
    pub(crate) max_parallelism: usize,
    /// How many checkpoints are kept.
    pub(crate) retained: usize,
    pub(crate) now: Timestamp,
}

/// What a run goes on from.
pub(crate) struct Restored {
    /// None if the job begins anew.
    pub(crate) checkpoint: Option<Arc<Checkpoint>>,
    /// The number of the checkpoint it was taken from, and what was wrong with newer ones.
    pub(crate) sequence: u64,
    pub(crate) skipped: Vec<Error>,
}

/// A checkpoint that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) sequence: u64,
    /// Bytes of state that were new.
    pub(crate) bytes: u64,
    /// What staged sinks have to publish, by uid.
    pub(crate) staged: BTreeMap<String, Vec<Vec<u8>>>,
}

/// Everything in a store, read once.
pub(crate) struct Listing {
    /// The highest number there was.
    newest: u64,
    /// By number.
    pub(crate) manifests: BTreeMap<u64, Result<Manifest>>,
    /// The names of data files, in order.
    data: Vec<String>,
}

impl Listing {
    pub(crate) fn read(store: &dyn CheckpointStore) -> Result<Listing> {
        let (mut newest, mut manifests, mut data) = (0, BTreeMap::new(), Vec::new());
        for object in store.list()? {
            let Some(sequence) = Manifest::sequence_of(&object.name) else {
                // What is neither is somebody else's.
                if object.name.starts_with(DATA_PREFIX) {
                    data.push(object.name);
                }
                continue;
            };
            newest = newest.max(sequence);
            // One that is gone now was deleted by an earlier run that is still at it.
            if let Some(bytes) = store.read(&object.name)? {
                manifests.insert(sequence, Manifest::decode(&object.name, &bytes));
            }
        }
        data.sort_unstable();
        Ok(Listing { newest, manifests, data })
    }
}

/// The highest number of a manifest; 0 if there is none.
fn newest(store: &dyn CheckpointStore) -> Result<u64> {
    let numbers = store.list()?.into_iter().filter_map(|object| Manifest::sequence_of(&object.name)).max();
    Ok(numbers.unwrap_or(0))
}

/// Every manifest of a store, newest first, those that can't be read with the reason.
pub(crate) fn manifests(store: &dyn CheckpointStore) -> Result<Vec<(u64, Result<Manifest>)>> {
    Ok(Listing::read(store)?.manifests.into_iter().rev().collect())
}

impl Ledger {
    /// Takes the store over: from now on nobody who came before can write.
    ///
    /// # Errors
    /// `Corrupt` if what there is can't be read, `Config` if it is another job's; whatever `check` and the store say.
    pub(crate) fn adopt(
        store: Arc<dyn CheckpointStore>,
        writer: &Writer,
        from: From,
        mut check: impl FnMut(&Checkpoint) -> Result<()>,
    ) -> Result<(Ledger, Restored)> {
        let mut wanted = None;
        for _ in 0..ADOPTIONS_MAX {
            let listing = Listing::read(&*store)?;
            let (chosen, restored) = match choose(&*store, &listing, writer, &from) {
                // Not damaged: whoever still writes has replaced and deleted it meanwhile.
                Err(error) if error.kind() == ErrorKind::Corrupt && newest(&*store)? > listing.newest => continue,
                chosen => chosen?,
            };
            if let From::Sequence(sequence) = from
                && *wanted.get_or_insert_with(|| chosen.clone()) != chosen
            {
                // Others have deleted it meanwhile, and a run that woke up late has used its number again.
                let message = format!("checkpoint {sequence} in {} was deleted by another run", store.location());
                return Err(Error::new(ErrorKind::Config, message).with_hint("run one instance of a job at a time"));
            }
            // Before anybody is told to end: a job that can't go on must not take over from one that can.
            restored.checkpoint.as_deref().map_or(Ok(()), &mut check)?;
            let mut ledger = Ledger {
                store: store.clone(),
                job: writer.job.clone(),
                incarnation: writer.incarnation.clone(),
                retained: writer.retained.max(1),
                mode: writer.mode,
                lineage: writer.lineage,
                last: listing.newest,
                uncommitted: None,
                kept: Vec::new(),
                superseded: Vec::new(),
                unwritten: None,
                // No file of an earlier attempt is written again under its name.
                failures: writer.attempt,
                newest: chosen,
                in_doubt: false,
                unsettled: Vec::new(),
            };
            ledger.sort_out(&listing, &from);
            if ledger.try_adopt(&listing, &restored, &from, writer)? {
                #[cfg(test)]
                let listing = if is_planted(Bug::OrphansListedLate) { Listing::read(&*store)? } else { listing };
                let used: BTreeSet<&String> = ledger.kept.iter().flat_map(|entry| &entry.files).collect();
                let orphans = listing.data.iter().filter(|name| !used.contains(name)).cloned();
                ledger.superseded.extend(orphans.collect::<Vec<_>>());
                return Ok((ledger, restored));
            }
        }
        let message = format!("other runs of job `{}` kept writing to {} first", writer.job, store.location());
        Err(Error::new(ErrorKind::Unavailable, message).with_hint("run one instance of a job at a time"))
    }

    /// Tells what is kept from what no marker has named and none will any more.
    fn sort_out(&mut self, listing: &Listing, from: &From) {
        let chosen = self.newest.sequence;
        let is_leftover = |manifest: &&Manifest| {
            let is_unnamed = manifest.committed_by == CommittedBy::Marker && manifest.sequence > chosen;
            is_unnamed && matches!(from, From::Marked(_))
        };
        let (leftovers, kept): (Vec<&Manifest>, Vec<&Manifest>) =
            listing.manifests.values().flatten().partition(is_leftover);
        self.kept = kept.into_iter().map(Entry::of).collect();
        self.superseded = leftovers.into_iter().map(Manifest::name).collect();
    }

    /// Creates the manifest of adoption. False if somebody else was first.
    fn try_adopt(&mut self, listing: &Listing, restored: &Restored, from: &From, writer: &Writer) -> Result<bool> {
        let mut next = Manifest {
            sequence: listing.newest + 1,
            incarnation: self.incarnation.clone(),
            created_millis: writer.now.as_millis(),
            ..self.newest.clone()
        };
        let marked = match from {
            From::Marked(marker) => marker.as_ref(),
            _ => None,
        };
        let is_marked = marked.is_some_and(|marker| marker.checkpoint == restored.sequence);
        // Whoever still writes keeps what it has named last.
        let is_protected = is_marked || restored.sequence == listing.newest;
        let switches = next.committed_by != self.mode && restored.checkpoint.is_some();
        if marked.is_some() && !is_marked || !is_protected || switches || writer.anew {
            let lineages = listing.manifests.values().flatten().map(|manifest| manifest.lineage);
            let lineages = lineages.chain([self.lineage]);
            next.lineage = lineages.max().unwrap_or(0).max(next.lineage) + 1;
        }
        if self.mode == CommittedBy::Own || restored.sequence == 0 {
            // The copy of a checkpoint that counts by itself does so, too, until a marker says more.
            next.committed_by = self.mode;
        }
        if !is_protected {
            let copied = restored.checkpoint.as_ref();
            #[cfg(test)]
            let copied = copied.filter(|_| !is_planted(Bug::AdoptedWithoutCopy));
            if let Some(checkpoint) = copied {
                // Whoever wrote the newest may still delete what only this one needs.
                let (copy, content) = self.described(checkpoint, next)?;
                next = copy;
                if let Some((file, content)) = content {
                    self.create_data(&file, &content)?;
                }
            }
        }
        let is_ours = self.store.create(&next.name(), &next.encode()?)? == Creation::Created;
        if !is_ours || self.overtaken(next.sequence)?.is_some() {
            return Ok(false);
        }
        self.take_note(next);
        Ok(true)
    }

    /// The marker by which a transaction names the newest checkpoint that is there, as of `epoch`.
    pub(crate) fn marker(&self, epoch: u64) -> Marker {
        let newest = self.uncommitted.as_ref().unwrap_or(&self.newest);
        Marker::new(&self.job, (newest.lineage, epoch), newest.sequence, &self.incarnation)
    }

    /// A marker names the checkpoint that was written last: what it replaces may go.
    pub(crate) fn committed(&mut self) {
        if let Some(manifest) = self.uncommitted.take() {
            self.take_note(manifest);
        }
    }

    /// Takes a checkpoint in that is to be written, together with those that could not be.
    pub(crate) fn keep(&mut self, checkpoint: Checkpoint) {
        self.unwritten = Some(match self.unwritten.take() {
            Some(before) => before.followed_by(checkpoint),
            None => checkpoint,
        });
    }

    /// What the next [`Ledger::write`] writes.
    pub(crate) fn kept(&self) -> Option<&Checkpoint> {
        self.unwritten.as_ref()
    }

    /// Makes what was kept durable. What can't be written stays for the next try.
    ///
    /// # Errors
    /// `Fenced` if another run has taken over; whatever the store says.
    pub(crate) fn write(&mut self, now: Timestamp) -> Result<Written> {
        let Some(checkpoint) = self.unwritten.take() else {
            return Err(Error::internal("there is no checkpoint to write"));
        };
        let written = self.try_write(&checkpoint, now);
        if written.is_err() {
            self.unwritten = Some(checkpoint);
            self.failures += 1;
        }
        written
    }

    fn try_write(&mut self, checkpoint: &Checkpoint, now: Timestamp) -> Result<Written> {
        loop {
            let header = Manifest {
                sequence: self.last + 1,
                epoch: checkpoint.epoch,
                committed_by: self.mode,
                incarnation: self.incarnation.clone(),
                created_millis: now.as_millis(),
                ..self.newest.clone()
            };
            let (manifest, content) = self.described(checkpoint, header)?;
            let bytes = content.as_ref().map_or(0, |(file, _)| file.size);
            if let Some((file, content)) = &content {
                self.unsettled.push(file.name.clone());
                self.create_data(file, content)?;
            }
            let (sequence, staged) = (manifest.sequence, manifest.staged.clone());
            // If it is another one, an earlier try was told that it failed, but it did not: its checkpoint exists.
            if self.claim(manifest)? {
                return Ok(Written { sequence, bytes, staged });
            }
        }
    }

    /// Creates the manifest after the newest, unless an earlier try has done so without our knowledge. Either one is
    /// the newest then; true if it is this one.
    fn claim(&mut self, manifest: Manifest) -> Result<bool> {
        self.in_doubt = true;
        let there = match self.store.create(&manifest.name(), &manifest.encode()?)? {
            Creation::Created => manifest.clone(),
            Creation::AlreadyThere => self.our_own(&manifest.name())?,
        };
        if let Some(newest) = self.overtaken(there.sequence)? {
            return Err(self.taken_over_at(newest));
        }
        let is_this = there == manifest;
        self.last = there.sequence;
        match self.mode {
            CommittedBy::Own => self.take_note(there),
            CommittedBy::Marker if is_this => self.uncommitted = Some(there),
            // An earlier try's, which no marker will name.
            CommittedBy::Marker => self.superseded.push(there.name()),
        }
        Ok(is_this)
    }

    /// The highest number there is, if it is above this one, which we have just used: it was free because the manifest
    /// that had it is deleted, and others have gone on.
    fn overtaken(&self, sequence: u64) -> Result<Option<u64>> {
        #[cfg(test)]
        if is_planted(Bug::NumbersUsedAgain) {
            return Ok(None);
        }
        Ok(Some(newest(&*self.store)?).filter(|newest| *newest > sequence))
    }

    /// Whether this is still the run that writes, as far as the store knows.
    ///
    /// # Errors
    /// `Fenced` if another run has taken over; whatever the store says.
    pub(crate) fn check_ownership(&self) -> Result<()> {
        let Some(newest) = self.overtaken(self.last)? else { return Ok(()) };
        self.our_own(&Manifest::name_of(newest)).map(|_| ())
    }

    /// The manifest of that name, which is there and should be ours.
    fn our_own(&self, name: &str) -> Result<Manifest> {
        let Some(there) = self.store.read(name)? else {
            let message =
                format!("`{name}` was there and is gone: somebody else deletes from {}", self.store.location());
            return Err(Error::new(ErrorKind::Fenced, message));
        };
        match Manifest::decode(name, &there) {
            Ok(there) if there.incarnation == self.incarnation => Ok(there),
            Ok(there) => Err(self.taken_over(&there)),
            Err(error) => Err(error),
        }
    }

    fn taken_over_at(&self, newest: u64) -> Error {
        match self.our_own(&Manifest::name_of(newest)) {
            Err(error) => error,
            Ok(_) => Error::internal(format!("checkpoint {newest} is ours, and this run does not know of it")),
        }
    }

    fn taken_over(&self, by: &Manifest) -> Error {
        let (job, location) = (&self.job, self.store.location());
        let message = format!(
            "another run of job `{job}` (incarnation {}) has taken over: it wrote `{}` to {location}",
            by.incarnation,
            by.name()
        );
        let hint = "this run has ended without publishing anything since then; run one instance of a job at a time";
        Error::new(ErrorKind::Fenced, message).with_hint(hint)
    }

    /// Deletes what nobody needs any more. What can't be deleted now is tried again next time.
    pub(crate) fn delete_superseded(&mut self) {
        while let Some(name) = self.superseded.first() {
            if let Err(error) = self.store.delete(name) {
                tracing::warn!("`{name}` in {} can't be deleted yet: {error}", self.store.location());
                return;
            }
            self.superseded.remove(0);
        }
    }

    /// The number of the newest checkpoint, and its epoch.
    pub(crate) fn newest(&self) -> (u64, u64) {
        (self.newest.sequence, self.newest.epoch)
    }

    /// Loads the newest checkpoint again, for a restart of the same run.
    pub(crate) fn reload(&mut self) -> Result<Restored> {
        self.unwritten = None;
        if self.in_doubt {
            self.settle()?;
        }
        let checkpoint = (self.newest.epoch > 0).then(|| load(&*self.store, &self.newest)).transpose();
        if checkpoint.is_err() {
            // Whoever has taken over may have replaced and deleted it.
            self.check_ownership()?;
        }
        let checkpoint = checkpoint?.map(Arc::new);
        Ok(Restored { checkpoint, sequence: self.newest.sequence, skipped: Vec::new() })
    }

    /// Finds out whether the manifest that could not be written is there. If it is, it counts, and the job goes on from
    /// it: a later run would, too. If not, a copy of the newest takes its number, so that it can't appear any more.
    fn settle(&mut self) -> Result<()> {
        #[cfg(test)]
        if is_planted(Bug::DoubtForgotten) {
            return Ok(());
        }
        let copy = Manifest { sequence: self.last + 1, incarnation: self.incarnation.clone(), ..self.newest.clone() };
        self.claim(copy).map(|_| ())
    }

    fn create_data(&self, file: &DataFile, content: &[Bytes]) -> Result<()> {
        // Its name is of one try: only an adoption that is tried again by the same run finds it there, and no manifest
        // names it then.
        while self.store.create(&file.name, content)? == Creation::AlreadyThere {
            self.store.delete(&file.name)?;
        }
        Ok(())
    }

    /// The manifest of a checkpoint, and the file that it needs besides those of the one before.
    fn described(&self, checkpoint: &Checkpoint, header: Manifest) -> Result<(Manifest, Option<NewFile>)> {
        let mut data = Data { file: number(self.newest.files.len()), offset: 0, content: Vec::new() };
        let mut operators = BTreeMap::new();
        for (uid, kept) in &checkpoint.operators {
            let before = self.newest.operators.get(uid);
            let subtasks = kept.iter().map(|(subtask, kept)| Ok((number(*subtask), data.subtask(kept, before)?)));
            let subtasks = subtasks.collect::<Result<_>>()?;
            let parallelism = number(checkpoint.parallelism.get(uid).copied().unwrap_or(0));
            let schemas = kept.values().filter_map(Kept::state).flat_map(Snapshot::schemas);
            let schemas = schemas.map(|(name, schema)| (name.clone(), schema.to_string())).collect();
            operators.insert(uid.clone(), OperatorState { parallelism, schemas, subtasks });
        }
        let sources = checkpoint.positions.iter().map(|(uid, positions)| (uid.clone(), source_state(positions)));
        let mut manifest = Manifest {
            sources: sources.collect(),
            operators,
            staged: checkpoint.staged.clone(),
            files: self.newest.files.clone(),
            ..header
        };
        self.copy_remains(&mut manifest, &mut data);
        let mut content = None;
        if !data.content.is_empty() {
            let (parts, checksum) = envelope::wrap(envelope::DATA, FORMAT_VERSION, data.content);
            let mut name = format!("{DATA_PREFIX}{:020}-{}", manifest.sequence, self.incarnation);
            // A manifest of an earlier try may be there after all, and need the file of that try.
            let failures = self.failures;
            #[cfg(test)]
            let failures = if is_planted(Bug::DataNamedAgain) { 0 } else { failures };
            if failures > 0 {
                name.push_str(&format!("-{failures}"));
            }
            let size = parts.iter().map(|part| part.len() as u64).sum();
            let file = DataFile { name, size, checksum };
            manifest.files.push(file.clone());
            content = Some((file, parts));
        }
        manifest.drop_unused_files();
        Ok((manifest, content))
    }

    /// Copies what is still needed of files that hold little of that, so that they may go.
    ///
    /// A key group that never changes would keep the file it is in for ever, and all that was once beside it.
    fn copy_remains(&self, manifest: &mut Manifest, data: &mut Data) {
        let needed = manifest.needed_bytes();
        let mut used: Vec<(u64, u32)> = needed.iter().map(|(file, bytes)| (*bytes, *file)).collect();
        used.retain(|(_, file)| *file < data.file);
        used.sort_unstable();
        let too_many = used.len().saturating_sub(FILES_MAX);
        let is_waste = |(bytes, file): &&(u64, u32)| {
            let size = manifest.files.get(*file as usize).map_or(0, |file| file.size);
            size >= WASTE_MIN && *bytes < size / 4
        };
        let copied: BTreeSet<u32> = match too_many {
            0 => used.iter().find(is_waste).map(|(_, file)| *file).into_iter().collect(),
            _ => used.iter().take(too_many).map(|(_, file)| *file).collect(),
        };
        for index in copied {
            let Some(file) = manifest.files.get(index as usize) else { continue };
            let content = match read_data(&*self.store, file) {
                Ok(content) => content,
                Err(error) => {
                    // It stays as it is; whoever needs it will be told if that is not well.
                    tracing::warn!("what is left of a data file can't be copied to a new one: {error}");
                    continue;
                }
            };
            for piece in manifest.pieces_mut().filter(|piece| piece.file == index) {
                let end = piece.offset.saturating_add(piece.length);
                let range = usize::try_from(piece.offset).ok().zip(usize::try_from(end).ok());
                if let Some((start, end)) = range.filter(|(_, end)| *end <= content.len()) {
                    *piece = data.piece(&content.slice(start..end));
                }
            }
        }
    }

    /// A manifest of ours exists: what it replaces may go.
    fn take_note(&mut self, manifest: Manifest) {
        self.kept.push(Entry::of(&manifest));
        self.last = self.last.max(manifest.sequence);
        self.newest = manifest;
        self.in_doubt = false;
        // A copy that was made to adopt is the same checkpoint as the one it was made from.
        let newest_first: Vec<(u64, u64)> = self.kept.iter().rev().map(|entry| entry.at).collect();
        let mut distinct = newest_first.clone();
        distinct.dedup();
        distinct.truncate(self.retained);
        let mut seen = BTreeSet::new();
        let mut keep: Vec<bool> = newest_first.iter().map(|at| distinct.contains(at) && seen.insert(*at)).collect();
        keep.reverse();
        let mut keep = keep.into_iter();
        let (kept, gone): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.kept).into_iter().partition(|_| keep.next().unwrap_or(true));
        self.kept = kept;
        let used: BTreeSet<&String> = self.kept.iter().flat_map(|entry| &entry.files).collect();
        self.superseded.extend(gone.iter().map(|entry| Manifest::name_of(entry.sequence)));
        let files: BTreeSet<&String> = gone.iter().flat_map(|entry| &entry.files).collect();
        self.superseded.extend(files.difference(&used).map(|name| (*name).clone()));
        // Every try is known to have come to something or to nothing now.
        self.superseded.extend(self.unsettled.drain(..).filter(|name| !used.contains(name)));
    }
}

const DATA_PREFIX: &str = "data-";

/// Of how many older files a checkpoint may consist.
const FILES_MAX: usize = if cfg!(test) { 3 } else { 64 };
/// The size from which a file is not worth its place if it holds little that is needed.
const WASTE_MIN: u64 = if cfg!(test) { 16 } else { 1024 * 1024 };

pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A data file to be created, and its bytes.
type NewFile = (DataFile, Vec<Bytes>);

/// The content of a data file while it is put together.
struct Data {
    file: u32,
    offset: u64,
    content: Vec<Bytes>,
}

impl Data {
    fn piece(&mut self, bytes: &Bytes) -> Piece {
        let piece = Piece { file: self.file, offset: self.offset, length: bytes.len() as u64 };
        self.offset += piece.length;
        if !bytes.is_empty() {
            self.content.push(bytes.clone());
        }
        piece
    }

    fn subtask(&mut self, kept: &Kept, before: Option<&OperatorState>) -> Result<SubtaskState> {
        let Kept::State(snapshot) = kept else {
            return Ok(SubtaskState { finished: true, ..SubtaskState::default() });
        };
        let entries = snapshot.entries().iter();
        let entries = entries.map(|(name, bytes)| (name.clone(), StateEntry { pieces: vec![self.piece(bytes)] }));
        let mut entries: BTreeMap<String, StateEntry> = entries.collect();
        for (name, items) in snapshot.lists() {
            let pieces = items.iter().map(|bytes| self.piece(bytes)).collect();
            entries.insert(name.clone(), StateEntry { pieces });
        }
        let mut groups = BTreeMap::new();
        for (name, parts) in snapshot.groups() {
            let mut pieces = Vec::new();
            if !parts.whole
                && let Some(before) = before
            {
                // Whichever subtask had the key group then.
                let mut there = before.subtasks.values().filter_map(|subtask| subtask.groups.get(name));
                pieces.extend(there.next().iter().flat_map(|entry| &entry.pieces));
            }
            if !parts.whole && pieces.is_empty() && !parts.parts.is_empty() {
                let (state, group) = name;
                let message = format!("key group {group} of the state `{state}` has changes, and nothing they changed");
                return Err(Error::internal(message));
            }
            pieces.extend(parts.parts.iter().map(|bytes| self.piece(bytes)));
            if !pieces.is_empty() {
                groups.insert(name.clone(), StateEntry { pieces });
            }
        }
        Ok(SubtaskState { finished: false, entries, groups })
    }
}

fn source_state(positions: &[SplitPosition]) -> SourceState {
    let splits = positions.iter().map(|position| SplitState {
        split: position.split.to_string(),
        next: position.next,
        time: position.time.clone(),
    });
    SourceState { splits: splits.collect() }
}

/// Reads a checkpoint back, every byte of it verified.
pub(crate) fn load(store: &dyn CheckpointStore, manifest: &Manifest) -> Result<Checkpoint> {
    let files = manifest.files.iter().map(|file| read_data(store, file)).collect::<Result<Vec<_>>>()?;
    assemble(manifest, &files)
}

/// A checkpoint from its manifest and the contents of its files.
pub(crate) fn assemble(manifest: &Manifest, files: &[Bytes]) -> Result<Checkpoint> {
    let name = manifest.name();
    let piece = |piece: &Piece| {
        let file = files.get(piece.file as usize);
        let end = piece.offset.checked_add(piece.length);
        let range = usize::try_from(piece.offset).ok().zip(end.and_then(|end| usize::try_from(end).ok()));
        let bytes = file.zip(range).filter(|(file, (_, end))| *end <= file.len());
        let bytes = bytes.map(|(file, (start, end))| file.slice(start..end));
        bytes.ok_or_else(|| damaged(&name, &format!("it names bytes that are not there: {piece:?}")))
    };
    let pieces = |entry: &StateEntry| entry.pieces.iter().map(piece).collect::<Result<Vec<Bytes>>>();
    let (mut operators, mut parallelism) = (BTreeMap::new(), BTreeMap::new());
    for (uid, operator) in &manifest.operators {
        let mut subtasks = BTreeMap::new();
        let schemas: BTreeMap<String, Arc<str>> =
            operator.schemas.iter().map(|(name, schema)| (name.clone(), schema.as_str().into())).collect();
        for (subtask, state) in &operator.subtasks {
            let (mut entries, mut lists, mut groups) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
            for (name, entry) in &state.entries {
                match is_list(name) {
                    true => lists.insert(name.clone(), pieces(entry)?).map(|_| ()),
                    false => entries.insert(name.clone(), pieces(entry)?.concat().into()).map(|_| ()),
                };
            }
            for (name, entry) in &state.groups {
                groups.insert(name.clone(), Parts { whole: true, parts: pieces(entry)? });
            }
            let kept = Kept::State(Snapshot::from_parts(entries, lists, groups, schemas.clone()));
            subtasks.insert(*subtask as usize, if state.finished { Kept::Finished } else { kept });
        }
        operators.insert(uid.clone(), subtasks);
        parallelism.insert(uid.clone(), operator.parallelism as usize);
    }
    let positions = manifest.sources.iter().map(|(uid, source)| {
        let splits = source.splits.iter().map(|split| SplitPosition {
            split: split.split.as_str().into(),
            next: split.next,
            time: split.time.clone(),
        });
        (uid.clone(), splits.collect())
    });
    Ok(Checkpoint {
        epoch: manifest.epoch,
        positions: positions.collect(),
        operators,
        parallelism,
        staged: manifest.staged.clone(),
    })
}

pub(crate) fn of_wrong_size(file: &DataFile, size: u64) -> Error {
    damaged(&file.name, &format!("it has {size} bytes, its manifest says {}", file.size))
}

/// The content of a data file.
pub(crate) fn read_data(store: &dyn CheckpointStore, file: &DataFile) -> Result<Bytes> {
    let Some(object) = store.read(&file.name)? else {
        return Err(damaged(&file.name, "it is missing"));
    };
    if object.len() as u64 != file.size {
        return Err(of_wrong_size(file, object.len() as u64));
    }
    let (_, content) =
        envelope::unwrap(envelope::DATA, FORMAT_VERSION, &object).map_err(|why| damaged(&file.name, &why))?;
    let stored = object.last_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
    if stored != Some(file.checksum) {
        return Err(damaged(&file.name, "it is whole, but another file than its manifest means: the checksums differ"));
    }
    Ok(content)
}
