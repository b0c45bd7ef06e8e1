//! Which checkpoint of a store a run goes on from: the newest, one that was asked for, or the one that a marker names.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checkpoint::inspection::check_job;
use crate::checkpoint::ledger::{From, Listing, Restored, Writer, load, number};
use crate::checkpoint::manifest::{CommittedBy, Manifest, damaged};
use crate::checkpoint::store::CheckpointStore;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::checkpoint::Checkpoint;
use crate::transaction::Marker;

/// The checkpoint to go on from, as it is in the store and in memory.
pub(crate) fn choose(
    store: &dyn CheckpointStore,
    listing: &Listing,
    writer: &Writer,
    from: &From,
) -> Result<(Manifest, Restored)> {
    if let From::Marked(marker) = from {
        return match choose_marked(store, listing, writer, marker.as_ref())? {
            Some(chosen) => Ok(chosen),
            None => Ok((anew(writer), Restored { checkpoint: None, sequence: 0, skipped: Vec::new() })),
        };
    }
    let mut skipped = Vec::new();
    let candidates = listing.manifests.iter().rev().filter(|(sequence, manifest)| match from {
        From::Sequence(wanted) => *sequence == wanted,
        _ => manifest.as_ref().map_or(true, |manifest| manifest.committed_by == CommittedBy::Own),
    });
    for (sequence, manifest) in candidates {
        match loaded(store, manifest, writer) {
            Ok((manifest, checkpoint)) => {
                return Ok((manifest, Restored { checkpoint, sequence: *sequence, skipped }));
            }
            Err(error) if error.kind() == ErrorKind::Corrupt && *from == From::Newest => skipped.push(error),
            Err(error) if error.kind() == ErrorKind::Corrupt && *from == From::NewestStrictly => {
                let hint = format!(
                    "a sink of this job publishes what a checkpoint names, so an older one can't stand in for it unasked; \
                     restore the file, or choose an older checkpoint of {} with `run --from`: what was published since \
                     then appears again",
                    store.location()
                );
                return Err(error.with_hint(hint));
            }
            Err(error) => return Err(error),
        }
    }
    if let From::Sequence(wanted) = from {
        let there: Vec<String> = listing.manifests.keys().map(u64::to_string).collect();
        let message = format!("there is no checkpoint {wanted} in {}", store.location());
        let hint = match there.is_empty() {
            true => "there is none at all".to_owned(),
            false => format!("there are: {}", there.join(", ")),
        };
        return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
    }
    if let Some(first) = skipped.first() {
        let message = format!("no checkpoint in {} can be read; the newest: {}", store.location(), first.message());
        let hint = "restore the files, or begin anew with an empty directory: what was read is then read again";
        return Err(Error::new(ErrorKind::Corrupt, message).with_hint(hint));
    }
    Ok((anew(writer), Restored { checkpoint: None, sequence: 0, skipped }))
}

/// What comes before the first checkpoint of a job.
fn anew(writer: &Writer) -> Manifest {
    Manifest {
        job: writer.job.clone(),
        sequence: 0,
        lineage: 1,
        epoch: 0,
        incarnation: String::new(),
        committed_by: writer.mode,
        created_millis: 0,
        max_parallelism: number(writer.max_parallelism),
        files: Vec::new(),
        sources: BTreeMap::new(),
        operators: BTreeMap::new(),
        staged: BTreeMap::new(),
    }
}

type Loaded = (Manifest, Option<Arc<Checkpoint>>);

fn loaded(store: &dyn CheckpointStore, manifest: &Result<Manifest>, writer: &Writer) -> Result<Loaded> {
    let manifest = manifest.clone()?;
    check_owner(&manifest, writer)?;
    let checkpoint = (manifest.epoch > 0).then(|| load(store, &manifest)).transpose()?;
    Ok((manifest, checkpoint.map(Arc::new)))
}

/// The checkpoint that the marker names, or a later one that needs no marker; nothing if the job begins anew.
fn choose_marked(
    store: &dyn CheckpointStore,
    listing: &Listing,
    writer: &Writer,
    marker: Option<&Marker>,
) -> Result<Option<(Manifest, Restored)>> {
    let place = |manifest: &&Manifest| (manifest.lineage, manifest.epoch, manifest.sequence);
    let newest = |by: CommittedBy| {
        listing.manifests.values().flatten().filter(|m| m.committed_by == by && m.epoch > 0).max_by_key(place)
    };
    let (own, marked) = (newest(CommittedBy::Own), newest(CommittedBy::Marker));
    let is_later = |manifest: &&Manifest, than: (u64, u64)| (manifest.lineage, manifest.epoch) > than;
    let sequence = match (marker, own) {
        (Some(marker), Some(own)) if is_later(&own, marker.place()) => own.sequence,
        (Some(marker), _) => {
            if marker.job != writer.job {
                let message = format!("the marker is of job `{}`, this one is `{}`", marker.job, writer.job);
                let hint = "give each job a name, or each deployment an application.id, of its own";
                return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
            }
            let wanted = Manifest::name_of(marker.checkpoint);
            let is_named = |manifest: &Manifest| {
                (manifest.lineage, &manifest.incarnation) == (marker.lineage, &marker.incarnation)
            };
            match listing.manifests.get(&marker.checkpoint) {
                Some(Ok(manifest)) if !is_named(manifest) => {
                    let why = "it is whole, but another checkpoint than the one that was committed";
                    return Err(not_there(damaged(&wanted, why), store));
                }
                Some(_) => marker.checkpoint,
                None => return Err(not_there(damaged(&wanted, "it is missing"), store)),
            }
        }
        (None, own) => {
            let at = own.map_or((0, 0), |own| (own.lineage, own.epoch));
            if let Some(marked) = marked.filter(|marked| is_later(marked, at)) {
                let (name, location) = (marked.name(), store.location());
                let message =
                    format!("`{name}` in {location} counts only if a marker names it, and there is no marker");
                let hint = format!(
                    "Kafka has forgotten the marker (offsets.retention.minutes), or it is another cluster or \
                     application.id than before; to go on from here all the same: `run --from {} --rewind`, after a look \
                     at what is in the output already",
                    marked.sequence
                );
                return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
            }
            // A manifest that can't be read may be any.
            if let Some(error) = listing.manifests.values().find_map(|manifest| manifest.as_ref().err()) {
                return Err(error.clone());
            }
            match own {
                Some(own) => own.sequence,
                None => return Ok(None),
            }
        }
    };
    let Some(manifest) = listing.manifests.get(&sequence) else {
        return Err(Error::internal("the chosen checkpoint is not in the listing"));
    };
    let (manifest, checkpoint) = loaded(store, manifest, writer).map_err(|error| not_there(error, store))?;
    Ok(Some((manifest, Restored { checkpoint, sequence, skipped: Vec::new() })))
}

/// The checkpoint to go on from can't be used, and no other one may stand in for it.
fn not_there(error: Error, store: &dyn CheckpointStore) -> Error {
    if error.kind() != ErrorKind::Corrupt {
        return error;
    }
    let hint = format!(
        "its output is committed, so no other checkpoint of {} can stand in for it unasked; restore the \
         file, or go back to \
         an older one with `run --from N --rewind`: what was committed since then appears again",
        store.location()
    );
    error.with_hint(hint)
}

/// Whether what the store has last counts only if a marker names it.
pub(crate) fn needs_marker(store: &dyn CheckpointStore) -> Result<bool> {
    let listing = Listing::read(store)?;
    let newest = listing.manifests.values().flatten().filter(|m| m.epoch > 0).max_by_key(|m| (m.lineage, m.epoch));
    Ok(newest.is_some_and(|newest| newest.committed_by == CommittedBy::Marker))
}

fn check_owner(manifest: &Manifest, writer: &Writer) -> Result<()> {
    check_job(manifest, &writer.job)?;
    if manifest.max_parallelism != number(writer.max_parallelism) {
        let (was, is) = (manifest.max_parallelism, writer.max_parallelism);
        let name = manifest.name();
        let message = format!("`{name}` has {was} key groups, this job has {is}: they are fixed for the life of a job");
        let hint = format!("set pipeline.max-parallelism: {was}");
        return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
    }
    Ok(())
}
