//! [`World`]: the broker, the checkpoint store and the instances, all that can differ between two moments.

use std::fmt;

use crate::history::{History, RECORDS_MAX};
use crate::rules::Bounds;
use crate::search::Question;

/// Instances alive at once, and numbers of manifests in use at once.
pub(crate) const SLOTS: usize = 3;
const NUMBERS: usize = 16;

/// A manifest by its number; 0 is none.
pub(crate) type Number = u8;
/// Numbers of manifests, as bits.
pub(crate) type Numbers = u16;

pub(crate) fn bit(number: Number) -> Numbers {
    1 << number
}

/// Who wrote a marker: an instance that is alive, or one that is gone and can't come back.
pub(crate) type Owner = Option<u8>;

/// The marker that is committed with the output of an epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marker {
    pub(crate) by: Owner,
    pub(crate) checkpoint: Number,
    /// Its epoch is one more than that of the newest marker.
    pub(crate) is_next: bool,
}

/// The transaction of the one transactional id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transaction {
    pub(crate) output: History,
    pub(crate) marker: Option<Marker>,
    /// The broker has decided to commit it. The producer has its answer, readers don't see it yet.
    pub(crate) decided: bool,
    /// Whose marker readers see who don't wait.
    pub(crate) before: Owner,
}

/// A manifest, or what is left of it for others that need its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Absent,
    Snapshot(History),
    /// Made to adopt: the data is that of another one.
    CopyOf(Number),
}

/// Where an instance is; named after what it does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum At {
    Gone,
    Look,
    Init,
    Read,
    Restore,
    List,
    WriteAdoption,
    MarkAdoption,
    CommitAdoption,
    ListLate,
    Reinit,
    Verify,
    Produce,
    Write,
    Mark,
    Commit,
    WriteLate,
}

/// One incarnation of the job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instance {
    pub(crate) at: At,
    /// It knows that a marker of its own was committed.
    pub(crate) adopted: bool,
    /// Its producer epoch is the newest.
    pub(crate) current: bool,
    /// The epoch of the marker it knows is the newest.
    pub(crate) level: bool,
    pub(crate) state: History,
    /// The checkpoint it goes on from: the last acknowledged, or the one it has just read in the marker.
    pub(crate) acked: Number,
    /// Where the data of that is.
    pub(crate) data: Number,
    /// The manifest it writes next, or has written for the epoch that is not committed yet.
    pub(crate) next: Number,
    /// What was in the store after `init`.
    pub(crate) listing: Numbers,
    /// What it has decided to delete and has not deleted yet.
    pub(crate) doomed: Numbers,
}

impl Instance {
    pub(crate) const NONE: Instance = Instance {
        at: At::Gone,
        adopted: false,
        current: false,
        level: false,
        state: History(0),
        acked: 0,
        data: 0,
        next: 0,
        listing: 0,
        doomed: 0,
    };

    pub(crate) fn is_alive(&self) -> bool {
        self.at != At::Gone
    }
}

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Output was committed that does not begin where the committed output ends.
    Output {
        /// Records that were committed before.
        committed: u8,
        /// The record it begins with.
        with: u8,
    },
    /// The committed output and the checkpoint that the marker names are not of one execution.
    Torn {
        /// Records in the output.
        output: u8,
        /// Records in the checkpoint.
        checkpoint: u8,
    },
    /// The checkpoint that the marker names, or data it needs, is not in the store.
    Missing,
    /// Two markers have one epoch.
    EpochTwice,
    /// One that was taken over from commits again.
    TakenOverCommits,
    /// The one whose marker counts ends as if it was taken over from.
    OwnerEnds,
    /// An instance ends because of damage, and nothing is damaged.
    NotDamaged,
    /// An own marker names a checkpoint that is neither the last acknowledged nor the one in doubt.
    Unknown,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Output { committed, with } if with <= committed => {
                write!(f, "record {with} is in the committed output twice")
            }
            Violation::Output { committed: 0, with } => write!(f, "the committed output begins with record {with}"),
            Violation::Output { committed, with } => {
                write!(f, "after record {committed} the committed output goes on with record {with}")
            }
            Violation::Torn { output, checkpoint } if output == checkpoint => {
                f.write_str("the committed output and the checkpoint that the marker names are of different executions")
            }
            Violation::Torn { output, checkpoint } => write!(
                f,
                "the committed output holds {output} of the records, the checkpoint that the marker names {checkpoint}"
            ),
            Violation::Missing => f.write_str("the checkpoint that the marker names is not in the store"),
            Violation::EpochTwice => f.write_str("two markers have one epoch"),
            Violation::TakenOverCommits => f.write_str("an instance that was taken over from commits again"),
            Violation::OwnerEnds => f.write_str("the instance whose marker counts ends as taken over"),
            Violation::NotDamaged => f.write_str("an instance ends because of damage, and nothing is damaged"),
            Violation::Unknown => f.write_str("an own marker names a checkpoint that its instance does not know"),
        }
    }
}

/// Everything at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) committed: History,
    pub(crate) marker: Option<Marker>,
    pub(crate) transaction: Option<Transaction>,
    /// Requests to commit that are still on their way and of the newest producer epoch. Older ones do nothing.
    pub(crate) late: u8,
    pub(crate) store: [Stored; NUMBERS],
    pub(crate) instances: [Instance; SLOTS],
    /// What may still happen.
    pub(crate) left: Bounds,
    /// How far numbers were moved down, for people who read traces. Not part of what is compared.
    pub(crate) moved: u8,
    pub(crate) violation: Option<Violation>,
}

impl World {
    pub(crate) fn new(bounds: Bounds) -> World {
        assert!(
            bounds.records <= RECORDS_MAX && usize::from(bounds.slots) <= SLOTS,
            "more than the model has room for"
        );
        World {
            committed: History(0),
            marker: None,
            transaction: None,
            late: 0,
            store: [Stored::Absent; NUMBERS],
            instances: [Instance::NONE; SLOTS],
            left: bounds,
            moved: 0,
            violation: None,
        }
    }

    /// The numbers of the manifests there are.
    pub(crate) fn list(&self) -> Numbers {
        let there = (0..NUMBERS).filter(|number| self.store[*number] != Stored::Absent);
        there.fold(0, |numbers, number| numbers | 1 << number)
    }

    /// The number of the manifest that has the data of this one.
    pub(crate) fn data_of(&self, number: Number) -> Number {
        match self.store[usize::from(number)] {
            Stored::CopyOf(data) => data,
            _ => number,
        }
    }

    /// What is in the checkpoint of this number; none if it, or its data, is not there.
    pub(crate) fn content(&self, number: Number) -> Option<History> {
        let stored = match self.store[usize::from(number)] {
            Stored::CopyOf(data) => self.store[usize::from(data)],
            stored => stored,
        };
        match stored {
            Stored::Snapshot(history) => Some(history),
            _ => None,
        }
    }

    /// Creates a manifest, unless there is one of that number.
    pub(crate) fn create(&mut self, number: Number, stored: Stored) -> bool {
        let is_free = self.store[usize::from(number)] == Stored::Absent;
        if is_free {
            self.store[usize::from(number)] = stored;
        }
        is_free || self.left.endless
    }

    /// A label that no execution of this record has.
    pub(crate) fn new_label(&mut self, record: u8) -> u8 {
        let mut label = 0;
        self.each_history(|history| label = label.max(history.at(record)));
        label + 1
    }

    /// Whether everything that must always hold does; what was noted on the way counts first.
    pub(crate) fn check(&self, question: Question) -> Option<Violation> {
        if question == Question::Output {
            return self.violation.filter(|violation| matches!(violation, Violation::Output { .. }));
        }
        if self.violation.is_some() || self.left.endless {
            return self.violation;
        }
        let output = self.committed.end();
        let Some(marker) = self.marker else {
            return (output > 0).then_some(Violation::Torn { output, checkpoint: 0 });
        };
        match self.content(marker.checkpoint) {
            None => Some(Violation::Missing),
            Some(content) if content != self.committed => Some(Violation::Torn { output, checkpoint: content.end() }),
            Some(_) => None,
        }
    }

    /// Brings worlds that differ in nothing that matters to one form.
    pub(crate) fn settle(&mut self) {
        if self.left.endless {
            self.forget_numbers();
            return;
        }
        for record in 0..self.left.records {
            let (mut names, mut count) = ([0; 16], 0);
            self.each_history(|history| {
                let label = history.at(record);
                if label > 0 {
                    let name = &mut names[usize::from(label)];
                    if *name == 0 {
                        count += 1;
                        *name = count;
                    }
                    history.set(record, *name);
                }
            });
        }
        self.move_numbers_down();
    }

    fn each_history(&mut self, mut visit: impl FnMut(&mut History)) {
        visit(&mut self.committed);
        self.transaction.iter_mut().for_each(|transaction| visit(&mut transaction.output));
        self.instances.iter_mut().for_each(|instance| visit(&mut instance.state));
        for stored in &mut self.store {
            if let Stored::Snapshot(history) = stored {
                visit(history);
            }
        }
    }

    /// Numbers are only ever compared, and the next one is the highest plus one: if nobody knows the lowest ones any
    /// more, all the others move down.
    fn move_numbers_down(&mut self) {
        let mut used = self.list();
        self.each_number(|number| used |= bit(*number));
        self.instances.iter().for_each(|instance| used |= instance.listing | instance.doomed);
        let down = (used & !1).trailing_zeros() as u8 - 1;
        if used & !1 == 0 || down == 0 {
            return;
        }
        self.each_number(|number| *number = number.saturating_sub(down));
        for instance in &mut self.instances {
            instance.listing >>= down;
            instance.doomed >>= down;
        }
        self.store[1..].rotate_left(usize::from(down));
        self.moved += down;
    }

    fn each_number(&mut self, mut visit: impl FnMut(&mut Number)) {
        let pending = self.transaction.iter_mut().filter_map(|transaction| transaction.marker.as_mut());
        self.marker.iter_mut().chain(pending).for_each(|marker| visit(&mut marker.checkpoint));
        for instance in &mut self.instances {
            visit(&mut instance.acked);
            visit(&mut instance.data);
            visit(&mut instance.next);
        }
        for stored in &mut self.store {
            if let Stored::CopyOf(data) = stored {
                visit(data);
            }
        }
    }

    fn forget_numbers(&mut self) {
        self.each_number(|number| *number = 0);
        self.each_history(|history| *history = History(0));
        self.store = [Stored::Absent; NUMBERS];
        for instance in &mut self.instances {
            (instance.listing, instance.doomed, instance.level) = (0, 0, true);
        }
    }
}
