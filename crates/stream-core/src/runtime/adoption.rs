//! How a run of a job takes over from the one before: of the transactions that commit its output, if there are any, and
//! of the store that keeps its checkpoints.
//!
//! 1. Take over the transactions: nobody who came before can commit any more.
//! 2. Read the marker. It decides which checkpoint the run goes on from; there is no choice.
//! 3. Adopt that checkpoint in the store, under the run's own incarnation.
//! 4. Commit a marker that names it. From here on a foreign marker means that another run has taken over, and this one
//!    ends. Before, it only means that somebody was there: of two that start at once and fence each other, the one that
//!    gets as far as this goes on.
//!
//! A restart within the process does the same again, so whatever was in doubt is decided by the marker.

use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::CheckpointStore;
use crate::checkpoint::choice;
use crate::checkpoint::ledger::{From, Ledger, Restored, Writer};
use crate::checkpoint::manifest::CommittedBy;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::checkpoint::Checkpoint;
use crate::runtime::restart::is_retryable;
use crate::transaction::{Marker, TransactionRun, Transactions};

/// What a job has of transactions.
#[derive(Default)]
pub(crate) enum Commits {
    /// Nothing: a checkpoint counts when its manifest is there.
    #[default]
    Nothing,
    /// As well, but an earlier run may have committed by these.
    Settled(Box<dyn Transactions>),
    /// They commit every checkpoint.
    All(Box<dyn Transactions>),
}

impl Commits {
    pub(crate) fn transactions(&mut self) -> Option<&mut Box<dyn Transactions>> {
        match self {
            Commits::Nothing => None,
            Commits::Settled(transactions) | Commits::All(transactions) => Some(transactions),
        }
    }

    /// What makes a checkpoint count.
    pub(crate) fn mode(&self) -> CommittedBy {
        match self {
            Commits::All(_) => CommittedBy::Marker,
            Commits::Nothing | Commits::Settled(_) => CommittedBy::Own,
        }
    }
}

/// What a run wants to go on from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// This checkpoint instead of the newest.
    pub(crate) sequence: Option<u64>,
    /// Even if what was committed since then appears again.
    pub(crate) rewind: bool,
    /// Nothing older will do.
    pub(crate) strict: bool,
    /// In a new line of history in any case.
    pub(crate) anew: bool,
}

/// What this run of the program has done so far to take over.
pub(crate) struct Adoption {
    incarnation: String,
    /// A marker of this run was committed.
    adopted: bool,
    /// A marker of another run was found after that.
    replaced: bool,
}

/// What a run goes on from, and where it writes what follows.
pub(crate) struct Adopted {
    pub(crate) ledger: Ledger,
    pub(crate) restored: Restored,
    /// The epoch that has ended.
    pub(crate) epoch: u64,
}

impl Adoption {
    pub(crate) fn new(incarnation: String) -> Adoption {
        Adoption { incarnation, adopted: false, replaced: false }
    }

    pub(crate) fn incarnation(&self) -> &str {
        &self.incarnation
    }

    /// Whether a marker of this run was committed.
    pub(crate) fn has_adopted(&self) -> bool {
        self.adopted
    }

    /// Whether this run may have lost a race that it can still win.
    pub(crate) fn may_try_again(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Fenced && !self.adopted
    }

    /// Whether a job that has failed like this may be restarted.
    pub(crate) fn may_restart(&self, error: &Error, commits: &Commits) -> bool {
        // Fenced may be a transaction that took too long, or another run that did not get far: the marker will tell.
        let may_be_ours = error.kind() == ErrorKind::Fenced && matches!(commits, Commits::All(_)) && !self.replaced;
        is_retryable(error) || may_be_ours
    }

    /// Whether the run is over because another one has taken over.
    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced
    }

    /// Refuses a marker of another run, once this one has committed its own.
    pub(crate) fn check(&mut self, marker: Option<&Marker>) -> Result<()> {
        let Some(other) = marker.filter(|marker| self.adopted && marker.incarnation != self.incarnation) else {
            return Ok(());
        };
        self.replaced = true;
        let message = format!(
            "another run of job `{}` (incarnation {}) has taken over: it has committed epoch {}",
            other.job, other.incarnation, other.epoch
        );
        let hint = "this run has ended, and nothing of it appears after that; run one instance of a job at a time";
        Err(Error::new(ErrorKind::Fenced, message).with_hint(hint))
    }

    /// Takes over.
    ///
    /// # Errors
    /// `Fenced` if another run does the same; whatever transactions, store and `check` say.
    pub(crate) fn take_over(
        &mut self,
        store: &Arc<dyn CheckpointStore>,
        commits: &mut Commits,
        run: &TransactionRun,
        mut writer: Writer,
        wanted: Wanted,
        check: impl FnMut(&Checkpoint) -> Result<()>,
    ) -> Result<Adopted> {
        // Whether only a marker says which checkpoint counts.
        let mut is_marked = matches!(commits, Commits::All(_));
        let mut marker = None;
        if let Commits::All(transactions) = commits {
            if self.adopted {
                // Before anybody is fenced: whoever has taken over is not disturbed. Without an answer the marker that is
                // read below decides.
                if let Ok(marker) = transactions.marker(run) {
                    self.check(marker.as_ref())?;
                }
            }
            marker = transactions.take_over(run)?;
            self.check(marker.as_ref())?;
        } else if wanted.sequence.is_none() && choice::needs_marker(&**store)? {
            let Commits::Settled(transactions) = commits else {
                let location = store.location();
                let message = format!("the newest checkpoint in {location} was written under exactly-once");
                let hint = "whether it counts is known to the Kafka cluster that the job wrote to: write to it still, or \
                            choose a checkpoint with `run --from N`";
                return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
            };
            // Nothing will be written into the transaction that this begins.
            let (interval, checkpoint_timeout) = (Duration::ZERO, Duration::ZERO);
            marker = transactions.take_over(&TransactionRun { interval, checkpoint_timeout, ..run.clone() })?;
            transactions.abandon();
            is_marked = true;
        }
        writer.lineage = marker.as_ref().map_or(0, |marker| marker.lineage);
        writer.anew = wanted.anew;
        let from = match wanted {
            Wanted { sequence: Some(sequence), rewind, .. } => {
                check_rewind(marker.as_ref(), sequence, rewind)?;
                From::Sequence(sequence)
            }
            _ if is_marked => From::Marked(marker.clone()),
            Wanted { strict: true, .. } => From::NewestStrictly,
            _ => From::Newest,
        };
        let adopted = Ledger::adopt(store.clone(), &writer, from, check);
        if let (Err(error), Commits::All(transactions)) = (&adopted, &mut *commits)
            && !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Fenced)
            // Without an answer nobody can say whose fault it is: to be tried again.
            && transactions.marker(run).map_err(|unknown| unknown.with_cause(error.clone()))? != marker
        {
            // The store does not fit the marker because another run has committed meanwhile: what the marker named is
            // replaced and deleted, or there was none yet.
            let message = "another run of the job has committed meanwhile";
            return Err(Error::new(ErrorKind::Fenced, message));
        }
        let (mut ledger, restored) = adopted?;
        let mut epoch = restored.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.epoch);
        if let Commits::All(transactions) = commits {
            // Lower than in an earlier line of history it may be, but not within one.
            let before = marker.filter(|marker| marker.lineage == ledger.marker(0).lineage);
            epoch = epoch.max(before.map_or(0, |marker| marker.epoch)) + 1;
            let positions = restored.checkpoint.as_ref().map(|checkpoint| checkpoint.positions.clone());
            transactions.commit(&ledger.marker(epoch), &positions.unwrap_or_default())?;
            ledger.committed();
            self.adopted = true;
        }
        Ok(Adopted { ledger, restored, epoch })
    }
}

/// Refuses to go back unasked: what was committed since then would appear again.
fn check_rewind(marker: Option<&Marker>, sequence: u64, rewind: bool) -> Result<()> {
    let Some(marker) = marker.filter(|marker| marker.checkpoint != sequence) else { return Ok(()) };
    let (job, newest, epoch) = (&marker.job, marker.checkpoint, marker.epoch);
    if rewind {
        tracing::warn!(
            "job `{job}` goes back from checkpoint {newest} (epoch {epoch}) to {sequence}: what was committed since then \
             appears again"
        );
        return Ok(());
    }
    let message = format!("the output of job `{job}` is committed up to checkpoint {newest}, not {sequence}");
    let hint = format!(
        "leave --from out to go on from there; `--from {sequence} --rewind` goes back, and what was committed since \
         then appears again"
    );
    Err(Error::new(ErrorKind::Config, message).with_hint(hint))
}
