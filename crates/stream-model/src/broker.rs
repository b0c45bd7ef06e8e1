//! What the broker does with the one transactional id: fence, commit, abort.
//!
//! A commit has two moments. When an `EndTxn` is *decided*, nothing can undo it and the producer has its answer; when
//! it is *complete*, readers see output and marker. What must always hold is asked at the first.

use crate::history::History;
use crate::rules::{Policy, Rules};
use crate::step::Step;
use crate::world::{Marker, Owner, Transaction, Violation, World};

impl World {
    /// Whether a decided transaction is not complete: `init` and whatever would begin the next one are told to retry.
    pub(crate) fn is_deciding(&self) -> bool {
        self.transaction.is_some_and(|transaction| transaction.decided)
    }

    /// Whether a reader who waits for what is pending is still waiting.
    pub(crate) fn marker_is_pending(&self) -> bool {
        self.transaction.is_some_and(|transaction| transaction.marker.is_some())
    }

    /// A new producer epoch: what is open is aborted, what was sent before does nothing any more.
    pub(crate) fn bump(&mut self) {
        self.transaction = None;
        self.late = 0;
        self.instances.iter_mut().for_each(|instance| instance.current = false);
    }

    /// The transaction of whoever has the newest producer epoch.
    pub(crate) fn open(&mut self) -> &mut Transaction {
        let empty = Transaction { output: History(0), marker: None, decided: false, before: None };
        self.transaction.get_or_insert(empty)
    }

    /// An `EndTxn` to commit of the newest producer epoch arrives. One that finds nothing to do is answered well.
    pub(crate) fn end_transaction(&mut self, rules: Rules) {
        let before = self.marker.and_then(|marker| marker.by);
        if let Some(transaction) = self.transaction.as_mut().filter(|transaction| !transaction.decided) {
            transaction.decided = true;
            transaction.before = before;
            let (output, marker) = (transaction.output, transaction.marker);
            self.decide(output, marker);
        }
        if rules.policy == Policy::Broker {
            self.late = 0;
        }
    }

    fn decide(&mut self, output: History, marker: Option<Marker>) {
        let committed = self.committed.end();
        if output != History(0) && output.start() != committed && !self.left.endless {
            self.violation = Some(Violation::Output { committed, with: output.start() + 1 });
        }
        self.committed = self.committed.followed_by(output);
        let Some(marker) = marker else { return };
        let is_overtaken = |by: u8| self.instances[usize::from(by)].adopted && self.owner() != Some(by);
        if self.marker.is_some() && marker.by.is_some_and(is_overtaken) {
            self.violation = self.violation.or(Some(Violation::TakenOverCommits));
        }
        if !marker.is_next && !self.left.endless {
            self.violation = self.violation.or(Some(Violation::EpochTwice));
        }
        self.marker = Some(Marker { is_next: true, ..marker });
        self.instances.iter_mut().for_each(|instance| instance.level = false);
    }

    /// Whose marker counts.
    pub(crate) fn owner(&self) -> Owner {
        self.marker.and_then(|marker| marker.by)
    }

    /// What the broker and the network can do next.
    pub(crate) fn broker_steps(&self, rules: Rules, found: &mut Vec<(Step, World)>) {
        let mut add = |step, world| found.push((step, world));
        match self.transaction {
            Some(transaction) if transaction.decided => {
                let mut world = *self;
                world.transaction = None;
                add(Step::Complete, world);
            }
            Some(_) => {
                let owner = self.instances.iter().position(|instance| instance.current).map(|slot| slot as u8);
                // A transaction that nobody can commit any more ends by its timeout, faults or not.
                if owner.is_none() || self.left.timeouts > 0 {
                    let mut world = *self;
                    world.left.timeouts -= u8::from(owner.is_some());
                    world.bump();
                    add(Step::TimeOut(owner), world);
                }
            }
            None => {}
        }
        if self.late > 0 {
            let open = self.transaction.is_some() && !self.is_deciding();
            let mut world = *self;
            world.late -= 1;
            world.end_transaction(rules);
            add(Step::LateCommit { open }, world);
        }
    }
}
