//! [`Transactions`]: an outside system whose transaction commits a checkpoint together with the output of its epoch.
//!
//! The transaction holds the epoch's output and a [`Marker`] that names the checkpoint. Either both are there or
//! neither, so nothing is between a checkpoint and its output: a job goes on from what the marker names, and from
//! nothing else. The protocol is in docs/src/exactly-once.md.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::source::SplitPosition;

/// The version of the marker's encoding.
const VERSION: u16 = 1;

/// What a transaction says about the checkpoint that it commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Marker {
    version: u16,
    /// The job that wrote it.
    pub job: String,
    /// Which line of history it belongs to.
    pub lineage: u64,
    /// Grows from marker to marker within a lineage.
    pub epoch: u64,
    /// The number of the checkpoint.
    pub checkpoint: u64,
    /// Which run of the program wrote it.
    pub incarnation: String,
}

impl Marker {
    pub(crate) fn new(job: &str, at: (u64, u64), checkpoint: u64, incarnation: &str) -> Marker {
        let (job, incarnation) = (job.to_owned(), incarnation.to_owned());
        Marker { version: VERSION, job, lineage: at.0, epoch: at.1, checkpoint, incarnation }
    }

    /// Its place in history: of two markers the one with the higher place counts.
    pub fn place(&self) -> (u64, u64) {
        (self.lineage, self.epoch)
    }

    /// As it is stored: a line of JSON.
    ///
    /// # Errors
    /// `Internal`: it can always be encoded.
    pub fn encode(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal(format!("a marker can't be encoded: {error}")))
    }

    /// Reads a stored marker.
    ///
    /// # Errors
    /// `Corrupt` if it is none, or one of a later version.
    pub fn decode(text: &str) -> Result<Marker> {
        #[derive(Deserialize)]
        struct Header {
            version: u16,
        }
        let damaged = |error: serde_json::Error| {
            Error::new(ErrorKind::Corrupt, format!("`{text}` is no marker of a checkpoint: {error}"))
        };
        let Header { version } = serde_json::from_str(text).map_err(damaged)?;
        if version > VERSION {
            let message = format!("a marker of version {version}, this program knows up to {VERSION}");
            return Err(Error::new(ErrorKind::Corrupt, message).with_hint("run the version that wrote it, or a later"));
        }
        serde_json::from_str(text).map_err(damaged)
    }
}

/// Which run of which job a transaction belongs to.
#[derive(Clone)]
pub struct TransactionRun {
    pub(crate) application: Arc<str>,
    pub(crate) job: Arc<str>,
    pub(crate) interval: Duration,
    pub(crate) checkpoint_timeout: Duration,
    pub(crate) tolerable_failures: u32,
    pub(crate) stopping: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl TransactionRun {
    /// The name that keeps two deployments of one job apart.
    pub fn application(&self) -> &str {
        &self.application
    }

    /// The name of the job.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// How often a transaction is committed.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// How long a checkpoint may take.
    pub fn checkpoint_timeout(&self) -> Duration {
        self.checkpoint_timeout
    }

    /// How many checkpoints in a row may fail; the transaction stays open meanwhile.
    pub fn tolerable_failures(&self) -> u32 {
        self.tolerable_failures
    }

    /// Whether the job is given up, so that waiting makes no sense any more.
    pub fn is_stopping(&self) -> bool {
        (self.stopping)()
    }
}

/// The transactions of an outside system. One is open at any time between [`take_over`](Transactions::take_over) and
/// the end of the job; sinks write into it.
///
/// Everything here may wait. It is called by one thread at a time.
pub trait Transactions: Send {
    /// What people read, such as `Kafka at localhost:9092`.
    fn describe(&self) -> String;

    /// Reads the marker that counts now, without waiting. Whoever still writes is not disturbed.
    ///
    /// # Errors
    /// `Unavailable` if nobody answers, or another one is being written; `Corrupt` if what is there is no marker.
    fn marker(&mut self, run: &TransactionRun) -> Result<Option<Marker>>;

    /// Begins a transaction, in a way that no earlier run of the job can commit any more, and whatever it had under way is
    /// decided. Returns the marker that counts then.
    ///
    /// # Errors
    /// `Config` for settings that can't work, `Fenced` if yet another run did the same meanwhile; as
    /// [`marker`](Transactions::marker).
    fn take_over(&mut self, run: &TransactionRun) -> Result<Option<Marker>>;

    /// Commits the transaction, with the marker and the positions of every source by uid, and begins the next one. Every
    /// sink has flushed, and none writes before this has returned.
    ///
    /// # Errors
    /// Whether it was committed is not known, whatever the kind: only [`take_over`](Transactions::take_over) tells.
    fn commit(&mut self, marker: &Marker, positions: &BTreeMap<String, Vec<SplitPosition>>) -> Result<()>;

    /// The job has ended and leaves this transaction behind: gives it up, so that readers need not wait for its timeout.
    fn abandon(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_a_line_that_people_can_read() {
        let marker = Marker::new("copy", (2, 17), 40, "ab12");
        let text = marker.encode().expect("it can be encoded");
        let expected = r#"{"version":1,"job":"copy","lineage":2,"epoch":17,"checkpoint":40,"incarnation":"ab12"}"#;
        assert_eq!(text, expected);
        assert_eq!(Marker::decode(&text).ok(), Some(marker));
    }

    #[test]
    fn what_is_no_marker_is_named() {
        let error = |text| Marker::decode(text).expect_err("no marker").message().to_owned();
        assert_eq!(error("{\"version\":2}"), "a marker of version 2, this program knows up to 1");
        assert!(error("x").starts_with("`x` is no marker of a checkpoint"));
        assert!(error("{\"version\":1}").starts_with("`{\"version\":1}` is no marker of a checkpoint"));
    }
}
