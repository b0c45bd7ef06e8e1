//! Which fault comes when: a pure function of seed and round, so that a seed says what a run does.

use std::fmt;
use std::time::Duration;

use crate::events::random;

/// The longest and the shortest life of an instance: from before it has read anything to several checkpoints.
const LIVES: (u64, u64) = (300, 3_000);

/// How long a broker is down at most, beside the time it takes to start.
const BROKER_DOWN: u64 = 2_000;

/// The same for one broker of three: others notice after nine seconds that it is gone.
const ONE_OF_THREE_DOWN: u64 = 14_000;

/// In which round the second cluster is down, and for how long.
const SECOND_DOWN_IN: u32 = 4;
const SECOND_DOWN: Duration = Duration::from_secs(60);

/// How long an instance sleeps at most while another one starts in its place.
const NAP: u64 = 3_000;

/// Of so many rounds, three have a zombie, two a crash of the broker and one a pause, where these are asked for.
const DEAL: u64 = 12;

/// The faults that are asked for beside `kill -9`.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct Choice {
    /// Kills a broker now and then, and starts it again on the same data
    #[arg(long)]
    pub(crate) brokers: bool,
    /// Freezes the job now and then, starts another instance, and wakes the first one after a while
    #[arg(long)]
    pub(crate) zombies: bool,
    /// Now and then nothing goes on for longer than a transaction may last
    #[arg(long)]
    pub(crate) pauses: bool,
    /// On a cluster of three brokers with three replicas; where brokers are killed they are so in every round, in turn,
    /// for long enough that others have to lead
    #[arg(long)]
    pub(crate) replicated: bool,
    /// Writes windows into another cluster, which is down for a minute once
    #[arg(long)]
    pub(crate) second_cluster: bool,
}

/// One life of the job, which a `kill -9` ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) parallelism: u64,
    /// How long it runs before the fault.
    pub(crate) life: Duration,
    /// How long it runs after a fault that it survives.
    pub(crate) after: Duration,
    pub(crate) fault: Fault,
    /// Whether the job restarts by itself when it fails.
    pub(crate) restarts: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing but the kill.
    Kill,
    /// A broker crashes and comes back after this time, one of the second cluster if `second` and there is one. If
    /// `job_too`, the job is killed in between.
    Broker { down: Duration, second: bool, job_too: bool },
    /// The second cluster is down for so long.
    SecondDown(Duration),
    /// The job is frozen, and woken so long after the start of another instance.
    Zombie { nap: Duration, parallelism: u64 },
    /// Nothing goes on for longer than the transaction timeout: the job is frozen, or killed and not started again.
    Pause { frozen: bool },
}

impl Round {
    pub(crate) fn of(seed: u64, number: u32, choice: Choice) -> Round {
        let chance = |what: u64| random(seed ^ 0xC4A0, u64::from(number) * 16 + what);
        let parallelism = |what| chance(what) % 3 + 1;
        let life = |what| Duration::from_millis(LIVES.0 + chance(what) % (LIVES.1 - LIVES.0));
        let millis = |what, most: u64| Duration::from_millis(chance(what) % most);
        let broker = |most| Fault::Broker {
            down: millis(3, most),
            second: choice.second_cluster && chance(7).is_multiple_of(2),
            job_too: chance(4).is_multiple_of(2),
        };
        let fault = match chance(2) % DEAL {
            _ if choice.second_cluster && number == SECOND_DOWN_IN => Fault::SecondDown(SECOND_DOWN),
            0..3 if choice.zombies => Fault::Zombie { nap: millis(3, NAP), parallelism: parallelism(4) },
            3..5 if choice.brokers && !choice.replicated => broker(BROKER_DOWN),
            5 if choice.pauses => Fault::Pause { frozen: chance(4).is_multiple_of(2) },
            _ if choice.brokers && choice.replicated => broker(ONE_OF_THREE_DOWN),
            _ => Fault::Kill,
        };
        let may_end = matches!(fault, Fault::Broker { job_too: false, .. } | Fault::Pause { frozen: true });
        let restarts = !may_end || chance(6) % 3 > 0;
        Round { parallelism: parallelism(0), life: life(1), after: life(5), fault, restarts }
    }
}

/// What has happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: u32,
    pub(crate) brokers: u32,
    pub(crate) second_down: u32,
    pub(crate) zombies: u32,
    /// Zombies, or those that a zombie has taken over from, that have ended by themselves.
    pub(crate) gave_way: u32,
    pub(crate) frozen: u32,
    pub(crate) down: u32,
    /// Jobs without a restart strategy that a fault has ended.
    pub(crate) ended: u32,
    /// Restarts inside a process.
    pub(crate) restarted: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kills", self.kills)?;
        if self.brokers > 0 {
            write!(f, ", {} broker crashes", self.brokers)?;
        }
        if self.second_down > 0 {
            write!(f, ", second cluster down for a minute")?;
        }
        if self.zombies > 0 {
            let killed = self.zombies - self.gave_way;
            write!(f, ", {} zombies ({} gave way, {killed} killed)", self.zombies, self.gave_way)?;
        }
        if self.frozen + self.down > 0 {
            write!(f, ", {} pauses ({} frozen, {} down)", self.frozen + self.down, self.frozen, self.down)?;
        }
        if self.ended > 0 {
            write!(f, ", {} jobs ended by a fault", self.ended)?;
        }
        if self.restarted > 0 {
            write!(f, ", {} restarts inside a process", self.restarted)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Choice = Choice { brokers: true, zombies: true, pauses: true, replicated: false, second_cluster: false };

    fn kinds(choice: Choice) -> [usize; 5] {
        let mut kinds = [0; 5];
        for number in 0..1_200 {
            let kind = match Round::of(7, number, choice).fault {
                Fault::Kill => 0,
                Fault::Broker { .. } => 1,
                Fault::SecondDown(_) => 4,
                Fault::Zombie { .. } => 2,
                Fault::Pause { .. } => 3,
            };
            kinds[kind] += 1;
        }
        kinds
    }

    #[test]
    fn only_what_is_asked_for_happens_and_all_of_that() {
        assert_eq!(kinds(Choice::default()), [1_200, 0, 0, 0, 0]);
        let [kills, brokers, zombies, pauses, _] = kinds(ALL);
        assert!((500..700).contains(&kills) && (150..250).contains(&brokers), "{kills} {brokers}");
        assert!((250..350).contains(&zombies) && (60..140).contains(&pauses), "{zombies} {pauses}");
        let [_, brokers, zombies, pauses, _] = kinds(Choice { zombies: false, ..ALL });
        assert!(zombies == 0 && brokers > 0 && pauses > 0);
        let replicated = Choice { brokers: true, replicated: true, ..Choice::default() };
        assert_eq!(kinds(replicated), [0, 1_200, 0, 0, 0]);
        assert_eq!(kinds(Choice { second_cluster: true, ..Choice::default() }), [1_199, 0, 0, 0, 1]);
    }

    #[test]
    fn a_seed_decides() {
        assert_eq!(Round::of(7, 3, ALL), Round::of(7, 3, ALL));
        assert!((0..20).any(|number| Round::of(7, number, ALL) != Round::of(8, number, ALL)));
    }

    #[test]
    fn only_a_job_that_lives_through_a_fault_goes_without_restarts() {
        let rounds: Vec<Round> = (0..1_200).map(|number| Round::of(7, number, ALL)).collect();
        for round in rounds.iter().filter(|round| !round.restarts) {
            assert!(matches!(round.fault, Fault::Broker { job_too: false, .. } | Fault::Pause { frozen: true }));
        }
        assert!(rounds.iter().any(|round| !round.restarts));
    }
}
