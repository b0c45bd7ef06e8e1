//! [`Manifest`]: what a checkpoint consists of. It is written last, so a checkpoint whose manifest is there is whole.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::checkpoint::envelope;
use crate::error::{Error, ErrorKind, Result};

/// The version of everything that is written to a checkpoint store.
pub const FORMAT_VERSION: u16 = 1;

const PREFIX: &str = "manifest-";

/// What a checkpoint consists of: whose state is in which bytes of which file.
///
/// Encoded with postcard, field by field in this order; `docs/src/checkpoint-format.md` has every byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// The job that wrote it.
    pub job: String,
    /// Its number, by which it is named: one more than that of any manifest before it.
    pub sequence: u64,
    /// Which line of history it belongs to; going on from anything but the newest checkpoint begins a new one.
    pub lineage: u64,
    /// The epoch at whose end it was taken.
    pub epoch: u64,
    /// Which run of the program wrote it.
    pub incarnation: String,
    /// What makes it count.
    pub committed_by: CommittedBy,
    /// When it was written, in milliseconds since the epoch of Unix.
    pub created_millis: i64,
    /// How many key groups the job has.
    pub max_parallelism: u32,
    /// Every file that it needs.
    pub files: Vec<DataFile>,
    /// Where sources go on, by uid.
    pub sources: BTreeMap<String, SourceState>,
    /// What operators need, by uid.
    pub operators: BTreeMap<String, OperatorState>,
    /// What staged sinks have put aside in its epoch and publish now that it counts, by uid.
    pub staged: BTreeMap<String, Vec<Vec<u8>>>,
}

/// What makes a checkpoint count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommittedBy {
    /// Its manifest: it counts when that is there.
    Own,
    /// A marker in a Kafka transaction that names it.
    Marker,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Its name in the store.
    pub name: String,
    /// Its bytes, header and trailer included.
    pub size: u64,
    /// The xxh3-64 in its trailer.
    pub checksum: u64,
}

/// Where a source goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Its splits.
    pub splits: Vec<SplitState>,
}

/// How far one split has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitState {
    /// The split's name, such as `orders[2]`.
    pub split: String,
    /// The position of the next record.
    pub next: i64,
    /// What the reader knows of event time in this split; its own encoding.
    pub time: Vec<u8>,
}

/// What the subtasks of an operator need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorState {
    /// How many subtasks it had.
    pub parallelism: u32,
    /// What an entry of each keyed state looks like, as JSON, by the state's name.
    pub schemas: BTreeMap<String, String>,
    /// By subtask.
    pub subtasks: BTreeMap<u32, SubtaskState>,
}

/// What one subtask of an operator needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskState {
    /// It had ended, and has nothing more to say.
    pub finished: bool,
    /// State of its own, by name.
    pub entries: BTreeMap<String, StateEntry>,
    /// Keyed state, by name and key group.
    pub groups: BTreeMap<(String, u32), StateEntry>,
}

/// The bytes of one entry: the first piece is whole, those behind it are what changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateEntry {
    /// In the order in which they were written.
    pub pieces: Vec<Piece>,
}

/// Bytes of a [`DataFile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Which one of [`Manifest::files`].
    pub file: u32,
    /// Where it begins, counted from the end of the file's header.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

impl Manifest {
    /// The name in the store of the manifest with this number.
    pub fn name_of(sequence: u64) -> String {
        format!("{PREFIX}{sequence:020}")
    }

    /// The number of the manifest that has this name; none if it is no name of a manifest.
    pub fn sequence_of(name: &str) -> Option<u64> {
        let digits = name.strip_prefix(PREFIX)?;
        (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
    }

    /// Its name in the store.
    pub fn name(&self) -> String {
        Manifest::name_of(self.sequence)
    }

    /// As it is stored.
    pub(crate) fn encode(&self) -> Result<Vec<Bytes>> {
        let content = postcard::to_stdvec(self)
            .map_err(|error| Error::internal(format!("a manifest can't be encoded: {error}")))?;
        Ok(envelope::wrap(envelope::MANIFEST, FORMAT_VERSION, vec![content.into()]).0)
    }

    /// Reads a stored manifest.
    ///
    /// # Errors
    /// `Corrupt`, with what is wrong, if it is damaged, cut off, of a newer format or of another name.
    pub fn decode(name: &str, object: &Bytes) -> Result<Manifest> {
        let (_, content) =
            envelope::unwrap(envelope::MANIFEST, FORMAT_VERSION, object).map_err(|why| damaged(name, &why))?;
        let manifest: Manifest = postcard::from_bytes(&content)
            .map_err(|error| damaged(name, &format!("its checksum is right, but it can't be decoded: {error}")))?;
        if manifest.name() != name {
            return Err(damaged(name, &format!("it was written as `{}`", manifest.name())));
        }
        Ok(manifest)
    }

    /// The bytes that its files have.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Drops the files that no piece is in.
    pub(crate) fn drop_unused_files(&mut self) {
        let used: BTreeSet<u32> = self.pieces().map(|piece| piece.file).collect();
        let renumbered: BTreeMap<u32, u32> = used.iter().copied().zip(0..).collect();
        let files = std::mem::take(&mut self.files);
        self.files = (0..).zip(files).filter(|(index, _)| used.contains(index)).map(|(_, file)| file).collect();
        for piece in self.pieces_mut() {
            piece.file = renumbered.get(&piece.file).copied().unwrap_or_default();
        }
    }

    /// How many bytes are needed of which file.
    pub(crate) fn needed_bytes(&self) -> BTreeMap<u32, u64> {
        let mut needed = BTreeMap::new();
        for piece in self.pieces() {
            *needed.entry(piece.file).or_default() += piece.length;
        }
        needed
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let subtasks = self.operators.values().flat_map(|operator| operator.subtasks.values());
        let entries = subtasks.flat_map(|subtask| subtask.entries.values().chain(subtask.groups.values()));
        entries.flat_map(|entry| &entry.pieces)
    }

    pub(crate) fn pieces_mut(&mut self) -> impl Iterator<Item = &mut Piece> {
        let subtasks = self.operators.values_mut().flat_map(|operator| operator.subtasks.values_mut());
        let entries = subtasks.flat_map(|subtask| subtask.entries.values_mut().chain(subtask.groups.values_mut()));
        entries.flat_map(|entry| &mut entry.pieces)
    }
}

/// The error for a stored object that can't be used.
pub(crate) fn damaged(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("`{name}` is damaged: {why}"))
}
