//! What happens to a checkpoint once it is complete: made durable, counted, published.
//!
//! 1. What staged sinks have put aside is made durable.
//! 2. The checkpoint is written, its manifest last. From here on it counts, unless transactions commit it.
//! 3. Where they do, the transaction is committed, with a marker that names the checkpoint. From here on it counts.
//! 4. What was put aside is published. A crash before or in this step changes nothing: the next run publishes it.
//! 5. What the checkpoint has replaced is deleted.
//!
//! All of it may wait for a disk, so production does it on a thread of its own; the stepped scheduler does it as one of
//! its steps.

use std::collections::BTreeMap;

use crate::checkpoint::ledger::Ledger;
use crate::error::Result;
use crate::operator::OperatorContext;
use crate::runtime::adoption::Commits;
use crate::runtime::coordinator::Request;
use crate::runtime::link::guard;
use crate::sink::StagedCommitter;
use crate::time::Timestamp;

/// Who publishes for which sink.
pub(crate) type StagedCommitters = Vec<(OperatorContext, Box<dyn StagedCommitter>)>;

/// Stores the checkpoints of a job.
pub(crate) struct Storing {
    pub(crate) ledger: Ledger,
    committers: StagedCommitters,
    /// What a checkpoint that counts has put aside and nobody could publish yet.
    unpublished: BTreeMap<String, Vec<Vec<u8>>>,
    commits: Commits,
    /// A commit has failed: what counts is not known before somebody takes over again.
    is_lost: bool,
}

/// A checkpoint that is durable and published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) epoch: u64,
    /// Bytes of state that were written.
    pub(crate) bytes: u64,
}

impl Storing {
    pub(crate) fn new(ledger: Ledger, commits: Commits) -> Storing {
        let (committers, unpublished) = (StagedCommitters::new(), BTreeMap::new());
        Storing { ledger, committers, unpublished, commits, is_lost: false }
    }

    /// Whether this attempt can't go on, because a commit has failed.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// What an attempt leaves to the next one: the ledger, too, if it says by itself what counts.
    pub(crate) fn into_parts(self) -> (Option<Ledger>, Commits) {
        let ledger = (!matches!(self.commits, Commits::All(_))).then_some(self.ledger);
        (ledger, self.commits)
    }

    /// Who publishes in this run of the job.
    pub(crate) fn set_committers(&mut self, committers: StagedCommitters) {
        self.committers = committers;
    }

    pub(crate) fn take_committers(&mut self) -> StagedCommitters {
        self.unpublished.clear();
        std::mem::take(&mut self.committers)
    }

    /// Stores one checkpoint. What failed is done again with the next one.
    ///
    /// # Errors
    /// `Fenced` if another run has taken over; whatever store and sinks say.
    pub(crate) fn store(&mut self, request: Request, now: Timestamp) -> Result<Stored> {
        if let Request::Store(checkpoint) = request {
            self.ledger.keep(*checkpoint);
        }
        self.publish()?;
        let Some(epoch) = self.ledger.kept().map(|checkpoint| checkpoint.epoch) else {
            // It was written, and only publishing it had failed.
            let (sequence, epoch) = self.ledger.newest();
            return Ok(Stored { sequence, epoch, bytes: 0 });
        };
        for (operator, committer) in &mut self.committers {
            if let Some(staged) = self.ledger.kept().and_then(|kept| kept.staged.get(operator.uid()))
                && let Err(error) = guard(|| committer.prepare(staged))
            {
                // A run that has taken over throws away what others have put aside: that is the reason to name.
                self.ledger.check_ownership()?;
                return Err(error.at(|| operator.place(None)));
            }
        }
        let positions = self.ledger.kept().map(|kept| kept.positions.clone()).unwrap_or_default();
        let written = self.ledger.write(now)?;
        if let Commits::All(transactions) = &mut self.commits {
            let marker = self.ledger.marker(epoch);
            let committed = guard(|| transactions.commit(&marker, &positions));
            self.is_lost = committed.is_err();
            committed?;
            self.ledger.committed();
        }
        self.unpublished = written.staged;
        self.publish()?;
        self.ledger.delete_superseded();
        Ok(Stored { sequence: written.sequence, epoch, bytes: written.bytes })
    }

    fn publish(&mut self) -> Result<()> {
        let published = publish(&mut self.committers, &self.unpublished);
        if published.is_err() {
            // A run that has taken over has published it, and what became of that since then is not ours to judge.
            self.ledger.check_ownership()?;
        }
        published?;
        self.unpublished.clear();
        Ok(())
    }
}

/// Publishes what was put aside; the same may be published again.
pub(crate) fn publish(committers: &mut StagedCommitters, staged: &BTreeMap<String, Vec<Vec<u8>>>) -> Result<()> {
    for (operator, committer) in committers {
        if let Some(staged) = staged.get(operator.uid()) {
            guard(|| committer.publish(staged)).map_err(|e| e.at(|| operator.place(None)))?;
        }
    }
    Ok(())
}
