//! The exactly-once commit protocol as a model, searched exhaustively: every order of every step of a few instances, the
//! broker, the network and the checkpoint store, within bounds. It shows what crash tests only meet by luck.
//!
//! One transactional id, one checkpoint store, one input with one record for each epoch. A *marker* is committed in the
//! transaction of the output it belongs to and names the checkpoint that fits it. What an instance does is in
//! `instance.rs`, step by step; what the broker does in `broker.rs`; what may go wrong, and how often, in [`Bounds`].
//!
//! **Must hold in every state:** the committed output is each record once, in order; it and the checkpoint that the
//! marker names come from one execution (functions need not be deterministic); that checkpoint, and what it needs, is in
//! the store; no two markers have one epoch; an instance that was taken over from commits nothing; the one whose marker
//! counts never ends as taken over, nor because of damage that is none.
//!
//! **Must hold of what follows:** from every state in which somebody is left to do it, all output can still be committed
//! without another fault; of several instances one goes on in the end ([`settles`]). The latter needs both adoption and
//! random pauses between attempts: without either there is a round in which they fence each other for ever.
//!
//! # What was searched
//!
//! `alive/started`: instances at the same time, and in all. `failures`: restarts inside a process for reasons of its own.
//! `late`: `EndTxn` requests that arrive twice or late. `lost`: commits without an answer, done or not. `timeouts`: of
//! transactions whose producer is alive; others end by timeout at any time. `snapshots`: stores that fail, or seem to.
//! `restarts`: inside a process, of all together. A zombie is an instance that takes no step for a while, a deletion may
//! come arbitrarily late, and both cost nothing. States that differ in the names of instances only are one.
//!
//! | case | records | alive/started | crashes | failures | late | lost | timeouts | snapshots | restarts | states | result |
//! |---|---|---|---|---|---|---|---|---|---|---|---|
//! | always, two restarts | 3 | 2/2 | 0 | 0 | 0 | 0 | 0 | 0 | 2 | 475,401 | holds |
//! | always, one of each | 2 | 2/2 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 2,837,793 | holds |
//! | always, network | 3 | 2/2 | 0 | 0 | 2 | 1 | 0 | 0 | 1 | 812,248 | holds |
//! | always, successors | 3 | 2/3 | 1 | 0 | 0 | 0 | 0 | 0 | 1 | 2,157,844 | holds |
//! | always, three alive | 1 | 3/3 | 0 | 0 | 0 | 0 | 0 | 0 | 1 | 540,014 | holds |
//! | broker, one of each | 2 | 2/2 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1,205,232 | holds |
//! | broker, network | 3 | 2/2 | 0 | 0 | 2 | 1 | 0 | 0 | 1 | 218,844 | holds |
//! | on_disturbance, every retry noticed | 2 | 2/2 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 2,506,028 | holds |
//! | one handle, no late EndTxn | 2 | 2/2 | 1 | 1 | 0 | 1 | 1 | 1 | 1 | 863,472 | holds |
//!
//! That it goes on; ∞ are endless inputs, without numbers and store:
//!
//! | case | records | alive/started | crashes | failures | late | lost | timeouts | snapshots | restarts | states | result |
//! |---|---|---|---|---|---|---|---|---|---|---|---|
//! | always, output is finished | 2 | 2/2 | 1 | 0 | 0 | 1 | 1 | 0 | 2 | 2,300,339 | holds |
//! | broker, output is finished | 2 | 2/2 | 1 | 0 | 0 | 1 | 1 | 0 | 2 | 1,503,970 | holds |
//! | always, two settle | ∞ | 2/2 | 1 | 1 | 1 | 1 | 1 | 0 | ∞ | 33,539 | holds |
//! | broker, two settle | ∞ | 2/2 | 1 | 1 | 1 | 1 | 1 | 0 | ∞ | 20,088 | holds |
//! | one handle, two settle | ∞ | 2/2 | 0 | 0 | 0 | 0 | 0 | 0 | ∞ | 613 | holds |
//! | always, three settle | ∞ | 3/3 | 0 | 1 | 0 | 0 | 0 | 0 | ∞ | 92,989 | holds |
//!
//! With one rule not kept each must fail, or the search would be blind to it. The states are those until the failure:
//!
//! | case | records | alive/started | crashes | failures | late | lost | timeouts | snapshots | restarts | states | result |
//! |---|---|---|---|---|---|---|---|---|---|---|---|
//! | one handle, a late EndTxn | 3 | 2/2 | 0 | 0 | 1 | 0 | 0 | 0 | 2 | 81 | the committed output holds 1 of the records, the checkpoint that the marker names 0 |
//! | the same, as readers see it | 3 | 2/2 | 0 | 0 | 1 | 0 | 0 | 0 | 2 | 6,755 | record 1 is in the committed output twice |
//! | marker not read again after a commit | 3 | 2/2 | 0 | 0 | 0 | 0 | 0 | 0 | 2 | 9,693 | record 1 is in the committed output twice |
//! | listing taken after the adoption | 3 | 2/2 | 0 | 0 | 0 | 0 | 0 | 0 | 2 | 422 | the checkpoint that the marker names is not in the store |
//! | manifest written after the commit | 3 | 2/2 | 0 | 0 | 0 | 0 | 0 | 0 | 2 | 140 | the checkpoint that the marker names is not in the store |
//! | the same, as readers see it | 3 | 2/2 | 0 | 0 | 0 | 0 | 0 | 0 | 2 | 15,194 | record 1 is in the committed output twice |
//! | newest manifest restored | 3 | 2/2 | 0 | 0 | 0 | 0 | 0 | 0 | 2 | 4,853 | the committed output begins with record 2 |
//! | abort after a commit in doubt | 3 | 2/2 | 0 | 0 | 0 | 1 | 0 | 0 | 2 | 1,244 | record 1 is in the committed output twice |
//! | replaced manifest deleted before the answer | 3 | 2/2 | 0 | 0 | 0 | 1 | 0 | 0 | 2 | 402 | the checkpoint that the marker names is not in the store |
//! | the same, and what becomes of it | 3 | 1/2 | 0 | 0 | 0 | 1 | 0 | 0 | 2 | 1,009 | the output can't be finished |
//! | foreign marker believed while one is pending | 3 | 2/2 | 0 | 1 | 0 | 0 | 0 | 0 | 2 | 113 | the instance whose marker counts ends as taken over |
//! | number taken means taken over | 3 | 2/2 | 0 | 0 | 0 | 0 | 0 | 0 | 2 | 386 | the instance whose marker counts ends as taken over |
//! | checkpoint not found means damage | 3 | 2/2 | 0 | 0 | 0 | 0 | 0 | 0 | 2 | 514 | an instance ends because of damage, and nothing is damaged |
//! | no adoption | ∞ | 2/2 | 0 | 0 | 0 | 0 | 0 | 0 | ∞ | 400 | instances fence each other for ever |
//! | no random pauses | ∞ | 2/2 | 0 | 0 | 0 | 0 | 0 | 0 | ∞ | 787 | instances fence each other for ever |
//!
//! Larger bounds, run by hand (`cargo run --release -p stream-model deep`: about ten minutes and 6 GB):
//!
//! | case | records | alive/started | crashes | failures | late | lost | timeouts | snapshots | restarts | states | result |
//! |---|---|---|---|---|---|---|---|---|---|---|---|
//! | always, network, long | 3 | 2/2 | 0 | 0 | 2 | 2 | 1 | 1 | 1 | 6,653,565 | holds |
//! | always, three alive, long | 2 | 3/3 | 0 | 0 | 0 | 0 | 0 | 0 | 1 | 3,626,345 | holds |
//! | always, one of each, successors | 2 | 2/3 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 72,939,738 | holds |
//! | always, one of each, two restarts | 2 | 2/2 | 1 | 1 | 1 | 1 | 1 | 1 | 2 | 46,692,651 | holds |
//! | broker, one of each, two restarts | 2 | 2/2 | 1 | 1 | 1 | 1 | 1 | 1 | 2 | 22,596,063 | holds |
//!
//! # Left out
//!
//! - More than one lineage: going back to an older checkpoint on purpose.
//! - Several partitions: a transaction is atomic here, as it is for readers that ask for committed records.
//! - Late *produce* requests: that brokers refuse them, by sequence numbers, by epoch and by asking the coordinator
//!   (part 1 of KIP-890), is assumed.
//! - Files that several checkpoints share, beyond a copied manifest and the one it was copied from.
//! - A create that arrives at the store after its writer has been told that it failed.
//! - Time. "Sooner or later" is all that is said of time-outs and pauses.

mod broker;
mod cases;
mod history;
mod instance;
mod liveness;
mod packed;
mod rules;
mod search;
mod step;
mod world;

pub use cases::{CONTROLS, Case, Check, DEEP, HEAD, LIVENESS, PROTOCOL, Report, run};
pub use liveness::{Chance, Finishing, Settling, finishes, settles};
pub use rules::{Bounds, Flaw, Policy, Rules};
pub use search::{Outcome, Question, search};
pub use world::Violation;
