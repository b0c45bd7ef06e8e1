//! What is searched: the protocol under each policy, and what happens if one of its rules is not kept.

use std::fmt;

use crate::liveness::{Chance, Finishing, Settling, finishes, settles};
use crate::rules::{Bounds, Flaw, Policy, Rules};
use crate::search::{Outcome, Question, search};

/// One search, and what it must come to.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What is special about it.
    pub name: &'static str,
    /// The protocol.
    pub rules: Rules,
    /// How much may happen.
    pub bounds: Bounds,
    /// What is asked.
    pub check: Check,
    /// The verdict it must come to.
    pub expected: &'static str,
}

/// What is asked of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing that must never be can be reached.
    Safety(Question),
    /// All output can still be committed, from everywhere.
    Finishing,
    /// Instances don't fence each other for ever.
    Settling(Chance),
}

/// What a case came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The case.
    pub case: Case,
    /// States that were searched; of those that fail, until the failure was found.
    pub states: usize,
    /// What was found.
    pub verdict: String,
    /// The shortest way to what must not be, one step a line.
    pub trace: Vec<String>,
}

impl Report {
    /// Whether it came to what it must come to.
    pub fn is_expected(&self) -> bool {
        self.verdict == self.case.expected
    }
}

/// The head of the table of [`Report`]s.
pub const HEAD: &str = "\
| case | records | alive/started | crashes | failures | late | lost | timeouts | snapshots | restarts | states | result |
|---|---|---|---|---|---|---|---|---|---|---|---|";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bounds { slots, starts, crashes, failures, delays, lost, timeouts, snapshots, .. } = self.case.bounds;
        let (records, restarts) = match self.case.bounds.endless {
            true => ("∞".to_owned(), "∞".to_owned()),
            false => (self.case.bounds.records.to_string(), self.case.bounds.restarts.to_string()),
        };
        write!(f, "| {} | {records} | {slots}/{starts} | {crashes} | {failures} | {delays} | {lost} ", self.case.name)?;
        write!(f, "| {timeouts} | {snapshots} | {restarts} | {} | {} |", grouped(self.states), self.verdict)
    }
}

/// A number with a comma after each thousand.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let comma_before = |index: usize| index > 0 && (digits.len() - index).is_multiple_of(3);
    let parts = digits.chars().enumerate();
    parts.flat_map(|(index, digit)| comma_before(index).then_some(',').into_iter().chain([digit])).collect()
}

/// Runs a case.
pub fn run(case: &Case) -> Report {
    let report =
        |states: usize, verdict: &str, trace| Report { case: *case, states, verdict: verdict.to_owned(), trace };
    match case.check {
        Check::Safety(question) => match search(case.rules, case.bounds, question) {
            Outcome::Holds { states } => report(states, HOLDS, Vec::new()),
            Outcome::Violated { violation, trace, states } => report(states, &violation.to_string(), trace),
        },
        Check::Finishing => match finishes(case.rules, case.bounds) {
            Ok(Finishing::Always { states, .. }) => report(states, HOLDS, Vec::new()),
            Ok(Finishing::Stuck { states, trace }) => report(states, STUCK, trace),
            Err(violation) => report(0, &violation.to_string(), Vec::new()),
        },
        Check::Settling(chance) => match settles(case.rules, case.bounds, chance) {
            Ok(Settling::Settles { states }) => report(states, HOLDS, Vec::new()),
            Ok(Settling::Livelock { states, before, again }) => {
                let mut trace = before;
                trace.push("then, again and again:".to_owned());
                trace.extend(again.into_iter().map(|line| format!("  {line}")));
                report(states, LIVELOCK, trace)
            }
            Err(violation) => report(0, &violation.to_string(), Vec::new()),
        },
    }
}

const HOLDS: &str = "holds";
const LIVELOCK: &str = "instances fence each other for ever";
const STUCK: &str = "the output can't be finished";
const MISSING: &str = "the checkpoint that the marker names is not in the store";
const OWNER_ENDS: &str = "the instance whose marker counts ends as taken over";
const TWICE: &str = "record 1 is in the committed output twice";

const ONE_OF_EACH: Bounds = Bounds {
    records: 2,
    crashes: 1,
    failures: 1,
    delays: 1,
    lost: 1,
    timeouts: 1,
    snapshots: 1,
    restarts: 1,
    ..Bounds::CALM
};
const NETWORK: Bounds = Bounds { delays: 2, lost: 1, restarts: 1, ..Bounds::CALM };
const SUCCESSORS: Bounds = Bounds { starts: 3, crashes: 1, restarts: 1, ..Bounds::CALM };
const ENDLESS: Bounds = Bounds { records: 0, restarts: 0, endless: true, ..Bounds::CALM };
const ENDLESS_FAULTS: Bounds = Bounds { crashes: 1, failures: 1, delays: 1, lost: 1, timeouts: 1, ..ENDLESS };

const fn holds(name: &'static str, policy: Policy, bounds: Bounds, check: Check) -> Case {
    Case { name, rules: Rules { policy, flaw: None }, bounds, check, expected: HOLDS }
}

const fn safe(name: &'static str, policy: Policy, bounds: Bounds) -> Case {
    holds(name, policy, bounds, Check::Safety(Question::Everything))
}

/// The protocol, in bounds that take less than a minute together.
pub const PROTOCOL: &[Case] = &[
    safe("always, two restarts", Policy::Always, Bounds::CALM),
    safe("always, one of each", Policy::Always, ONE_OF_EACH),
    safe("always, network", Policy::Always, NETWORK),
    safe("always, successors", Policy::Always, SUCCESSORS),
    safe(
        "always, three alive",
        Policy::Always,
        Bounds { records: 1, slots: 3, starts: 3, restarts: 1, ..Bounds::CALM },
    ),
    safe("broker, one of each", Policy::Broker, ONE_OF_EACH),
    safe("broker, network", Policy::Broker, NETWORK),
    safe("on_disturbance, every retry noticed", Policy::OnDisturbance, ONE_OF_EACH),
    safe("one handle, no late EndTxn", Policy::OneHandle, Bounds { delays: 0, ..ONE_OF_EACH }),
];

/// That the protocol goes on.
pub const LIVENESS: &[Case] = &[
    holds("always, output is finished", Policy::Always, FINISHING, Check::Finishing),
    holds("broker, output is finished", Policy::Broker, FINISHING, Check::Finishing),
    holds("always, two settle", Policy::Always, ENDLESS_FAULTS, Check::Settling(Chance::Some)),
    holds("broker, two settle", Policy::Broker, ENDLESS_FAULTS, Check::Settling(Chance::Some)),
    holds("one handle, two settle", Policy::OneHandle, ENDLESS, Check::Settling(Chance::Some)),
    holds(
        "always, three settle",
        Policy::Always,
        Bounds { slots: 3, starts: 3, failures: 1, ..ENDLESS },
        Check::Settling(Chance::Some),
    ),
];

const FINISHING: Bounds = Bounds { records: 2, crashes: 1, lost: 1, timeouts: 1, restarts: 2, ..Bounds::CALM };

const fn broken(name: &'static str, flaw: Flaw, bounds: Bounds, expected: &'static str) -> Case {
    let rules = Rules { policy: Policy::Always, flaw: Some(flaw) };
    Case { name, rules, bounds, check: Check::Safety(Question::Everything), expected }
}

const fn visible(case: Case) -> Case {
    Case { check: Check::Safety(Question::Output), ..case }
}

/// The protocol with one rule not kept: each must fail, or the search could not see it.
pub const CONTROLS: &[Case] = &[
    Case {
        expected: "the committed output holds 1 of the records, the checkpoint that the marker names 0",
        ..safe("one handle, a late EndTxn", Policy::OneHandle, ONE_LATE)
    },
    visible(Case { expected: TWICE, ..safe("the same, as readers see it", Policy::OneHandle, ONE_LATE) }),
    visible(broken("marker not read again after a commit", Flaw::NotVerified, Bounds::CALM, TWICE)),
    broken("listing taken after the adoption", Flaw::ListedAfterAdoption, Bounds::CALM, MISSING),
    broken("manifest written after the commit", Flaw::ManifestAfterCommit, Bounds::CALM, MISSING),
    visible(broken("the same, as readers see it", Flaw::ManifestAfterCommit, Bounds::CALM, TWICE)),
    visible(broken(
        "newest manifest restored",
        Flaw::NewestRestored,
        Bounds::CALM,
        "the committed output begins with record 2",
    )),
    visible(broken("abort after a commit in doubt", Flaw::AbortInDoubt, ONE_LOST, TWICE)),
    broken("replaced manifest deleted before the answer", Flaw::DeletedBeforeAnswer, ONE_LOST, MISSING),
    Case {
        check: Check::Finishing,
        ..broken("the same, and what becomes of it", Flaw::DeletedBeforeAnswer, Bounds { slots: 1, ..ONE_LOST }, STUCK)
    },
    broken(
        "foreign marker believed while one is pending",
        Flaw::UnstableLook,
        Bounds { failures: 1, ..Bounds::CALM },
        OWNER_ENDS,
    ),
    broken("number taken means taken over", Flaw::TakenNumberEnds, Bounds::CALM, OWNER_ENDS),
    broken(
        "checkpoint not found means damage",
        Flaw::MissingIsDamage,
        Bounds::CALM,
        "an instance ends because of damage, and nothing is damaged",
    ),
    Case {
        rules: Rules { policy: Policy::OneHandle, flaw: Some(Flaw::NoAdoption) },
        expected: LIVELOCK,
        ..holds("no adoption", Policy::OneHandle, ENDLESS, Check::Settling(Chance::Some))
    },
    Case { expected: LIVELOCK, ..holds("no random pauses", Policy::Always, ENDLESS, Check::Settling(Chance::None)) },
];

const ONE_LATE: Bounds = Bounds { delays: 1, ..Bounds::CALM };
const ONE_LOST: Bounds = Bounds { lost: 1, ..Bounds::CALM };

/// Larger bounds, for the program only: about ten minutes and 6 GB.
pub const DEEP: &[Case] = &[
    safe("always, network, long", Policy::Always, Bounds { lost: 2, timeouts: 1, snapshots: 1, ..NETWORK }),
    safe(
        "always, three alive, long",
        Policy::Always,
        Bounds { slots: 3, starts: 3, records: 2, restarts: 1, ..Bounds::CALM },
    ),
    safe("always, one of each, successors", Policy::Always, Bounds { starts: 3, ..ONE_OF_EACH }),
    safe("always, one of each, two restarts", Policy::Always, Bounds { restarts: 2, ..ONE_OF_EACH }),
    safe("broker, one of each, two restarts", Policy::Broker, Bounds { restarts: 2, ..ONE_OF_EACH }),
];
