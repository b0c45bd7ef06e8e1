//! Checkpoints that outlive the process: where they are kept, what they look like there, how a job goes on from one.
//!
//! ```text
//!   Checkpoint          a job at the end of an epoch, in memory            runtime::checkpoint
//!      │ write                              ▲ restore
//!   Checkpoints         names, order of writes, fencing, retention         ledger.rs
//!      │ Manifest: which bytes of which file are whose state               manifest.rs
//!      │ list, verify, read_state                                        inspection.rs, read.rs
//!   CheckpointStore     named objects that are created once                store.rs; stream-store has durable ones
//! ```

pub(crate) mod choice;
mod envelope;
mod inspection;
pub(crate) mod ledger;
pub(crate) mod manifest;
mod read;
#[cfg(test)]
mod simulation;
mod store;
#[cfg(test)]
mod tests;

pub use inspection::{Listed, list, verify};
pub use manifest::{
    CommittedBy, DataFile, FORMAT_VERSION, Manifest, OperatorState, Piece, SourceState, SplitState, StateEntry,
    SubtaskState,
};
pub use read::read_state;
pub use store::{CheckpointStore, Creation, MemoryStore, StoredObject};
