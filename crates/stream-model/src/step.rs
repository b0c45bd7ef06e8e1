//! [`Step`]: what can happen between two worlds, in words.

use std::fmt;

use crate::world::Number;

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Start(u8),
    Crash(u8),
    Fail(u8, Then),
    /// The broker makes a decided transaction visible.
    Complete,
    /// The broker aborts a transaction that is open for too long. `Some`: the producer that has it is alive.
    TimeOut(Option<u8>),
    /// A request to commit that was sent before arrives.
    LateCommit {
        open: bool,
    },
    Delete(u8, Number),
    Act(u8, Act),
}

/// What an instance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Look,
    TakenOver,
    Init,
    Read(Option<Number>),
    Restore(Option<Number>),
    NothingToRestore(Number, Then),
    List,
    WriteAdoption(Number),
    NumberTaken(Number, Then),
    Mark(Number),
    Fenced(Then),
    Commit(Answer),
    ListLate,
    Verify,
    ForeignAtVerify(Then),
    Produce(u8),
    Write(Number),
    SnapshotFails { stored: bool },
    Damaged(Number),
    NumberTakenEnds(Number),
}

/// What an instance learns of its commit, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Done, and no request is left in the network.
    Done,
    /// Done, and the request was sent twice: the other one is still on its way.
    DoneAndLate,
    /// No answer. The commit was done, or not; a request is still on its way, or not.
    Lost { done: bool, late: bool, then: Then },
}

/// What follows on a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    BeginAgain,
    GiveUp,
    /// Only with [`crate::rules::Flaw::AbortInDoubt`].
    AbortAndRedo,
}

impl Step {
    /// Whether faults have stopped if such steps don't happen any more.
    pub(crate) fn is_fault(self) -> bool {
        match self {
            Step::Crash(_) | Step::Fail(..) | Step::TimeOut(Some(_)) | Step::LateCommit { .. } => true,
            Step::Act(_, Act::SnapshotFails { .. }) => true,
            Step::Act(_, Act::Commit(answer)) => answer != Answer::Done,
            _ => false,
        }
    }
}

/// A manifest by its number, if they are counted.
struct Manifest(Number);

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("a manifest"),
            number => write!(f, "manifest {number}"),
        }
    }
}

/// Names of instances.
pub(crate) fn name(slot: u8) -> char {
    char::from(b'A' + slot)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Step::Start(who) => write!(f, "{} starts, a new incarnation", name(who)),
            Step::Crash(who) => write!(f, "{} crashes", name(who)),
            Step::Fail(who, then) => write!(f, "{} fails for a reason of its own, {then}", name(who)),
            Step::Complete => f.write_str("broker: the commit becomes visible"),
            Step::TimeOut(Some(who)) => write!(f, "broker: {}'s transaction took too long, aborted", name(who)),
            Step::TimeOut(None) => f.write_str("broker: the transaction that nobody owns took too long, aborted"),
            Step::LateCommit { open: true } => {
                f.write_str("network: a late EndTxn arrives and commits the open transaction")
            }
            Step::LateCommit { open: false } => f.write_str("network: a late EndTxn arrives, nothing is open"),
            Step::Delete(who, number) => write!(f, "{} deletes {}", name(who), Manifest(number)),
            Step::Act(who, act) => write!(f, "{} {act}", name(who)),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Look => f.write_str("looks at the marker: its own"),
            Act::TakenOver => f.write_str("finds a foreign marker and ends: taken over"),
            Act::Init => f.write_str("calls init: all before it are fenced"),
            Act::Read(None) => f.write_str("reads the marker: none"),
            Act::Read(Some(number)) => write!(f, "reads the marker: {}", Manifest(*number)),
            Act::Restore(None) => f.write_str("begins with empty state"),
            Act::Restore(Some(number)) => write!(f, "restores {}", Manifest(*number)),
            Act::NothingToRestore(number, then) => write!(f, "finds that manifest {number} is gone, {then}"),
            Act::List => f.write_str("lists the store"),
            Act::WriteAdoption(number) => write!(f, "writes {} to adopt", Manifest(*number)),
            Act::NumberTaken(number, then) => write!(f, "finds number {number} taken, {then}"),
            Act::Mark(number) => write!(f, "adds the marker for {} to the transaction", Manifest(*number)),
            Act::Fenced(then) => write!(f, "is fenced, {then}"),
            Act::Commit(answer) => write!(f, "{answer}"),
            Act::ListLate => f.write_str("lists the store, after its adoption"),
            Act::Verify => f.write_str("reads the marker again: its own"),
            Act::ForeignAtVerify(then) => write!(f, "reads the marker again: foreign, {then}"),
            Act::Produce(0) => f.write_str("produces the output of an epoch"),
            Act::Produce(record) => write!(f, "produces the output of record {record}"),
            Act::Write(number) => write!(f, "writes {}", Manifest(*number)),
            Act::SnapshotFails { stored: false } => f.write_str("can't store its snapshot, the next epoch joins"),
            Act::SnapshotFails { stored: true } => {
                f.write_str("stores its snapshot, but is not told so; the next epoch joins")
            }
            Act::NumberTakenEnds(number) => write!(f, "finds number {number} taken, and ends: taken over"),
            Act::Damaged(number) => write!(f, "finds that manifest {number} is gone, and ends: damaged"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Answer::Lost { done, late, then } = self else {
            f.write_str("commits")?;
            return if *self == Answer::Done { Ok(()) } else { f.write_str(", a second EndTxn is on its way") };
        };
        f.write_str("commits, gets no answer")?;
        f.write_str(if *done { " (done" } else { " (not done" })?;
        f.write_str(if *late { ", an EndTxn is on its way), " } else { "), " })?;
        write!(f, "{then}")
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Then::BeginAgain => "begins again",
            Then::GiveUp => "gives up",
            Then::AbortAndRedo => "aborts and does the epoch again",
        })
    }
}
