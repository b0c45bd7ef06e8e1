//! What is modelled: the variant of the protocol, the rule that is broken on purpose, and how much may happen.

/// When a producer gets a new epoch from the broker, by which delayed requests of before are shut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Never while all is well: one handle from the start of an attempt to its end.
    OneHandle,
    /// After a commit that was not clean: its request was sent more than once, and the client noticed.
    OnDisturbance,
    /// After every commit, in a new handle; the marker is read again and has to be the own one.
    Always,
    /// With every `EndTxn`, by the broker: part 2 of KIP-890.
    Broker,
}

/// A rule of the protocol that is left out or turned round. Each must be found by the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The new handle after a commit goes on without reading the marker again.
    NotVerified,
    /// An attempt begins with its first epoch; a foreign marker then says nothing.
    NoAdoption,
    /// The listing from which unused manifests are deleted is taken after the adoption.
    ListedAfterAdoption,
    /// A manifest is written when its transaction is committed.
    ManifestAfterCommit,
    /// An attempt goes on from the newest manifest, whatever the marker names.
    NewestRestored,
    /// A commit without an answer is aborted, and the epoch done again under the same handle.
    AbortInDoubt,
    /// What an epoch replaces is deleted before the answer to its commit is there.
    DeletedBeforeAnswer,
    /// A foreign marker counts although something is pending: a commit that is decided, but not yet visible.
    UnstableLook,
    /// A checkpoint that can't be found is taken for a damaged one.
    MissingIsDamage,
    /// A number that somebody else has used for a manifest is taken for a takeover.
    TakenNumberEnds,
}

/// How much of everything may happen in one run. The search tries every order of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Records of the input, one for each epoch; at most 4.
    pub records: u8,
    /// Instances that may be alive at the same time; at most 3.
    pub slots: u8,
    /// Incarnations that are started, one after the other or beside each other.
    pub starts: u8,
    /// Instances that stop without a word, at any step.
    pub crashes: u8,
    /// Instances that fail for a reason of their own, at any step, and restart inside the process.
    pub failures: u8,
    /// `EndTxn` requests that arrive a second time, or late.
    pub delays: u8,
    /// Commits whose answer is lost, whether they were done or not.
    pub lost: u8,
    /// Transactions of living producers that the broker aborts because they took too long.
    pub timeouts: u8,
    /// Snapshots that can't be stored, or are stored though nobody can say so.
    pub snapshots: u8,
    /// Restarts inside a process, of all instances together; whoever needs one more gives up.
    pub restarts: u8,
    /// The input never ends, nothing is counted, and there is no limit to restarts: for liveness. Positions, numbers
    /// of manifests and what is in the store are left out, so that the states are finite.
    pub endless: bool,
}

impl Bounds {
    /// Nothing goes wrong.
    pub const CALM: Bounds = Bounds {
        records: 3,
        slots: 2,
        starts: 2,
        crashes: 0,
        failures: 0,
        delays: 0,
        lost: 0,
        timeouts: 0,
        snapshots: 0,
        restarts: 2,
        endless: false,
    };
}

/// The protocol as it is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// When producer epochs change.
    pub policy: Policy,
    /// What is wrong with it, if anything.
    pub flaw: Option<Flaw>,
}

impl Rules {
    pub(crate) fn has(self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }
}
