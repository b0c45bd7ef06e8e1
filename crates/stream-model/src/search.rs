//! Breadth first through every world that can come to be, so that what is found has the shortest trace.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::packed::{Names, Packed};
use crate::rules::{Bounds, Rules};
use crate::step::Step;
use crate::world::{Violation, World};

/// What is asked of every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Everything that must always hold.
    Everything,
    /// Only what readers of the output see: that no record is missing and none is there twice.
    Output,
}

/// What a search came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Every reachable state is as it must be.
    Holds {
        /// How many there are.
        states: usize,
    },
    /// One is not.
    Violated {
        /// What is wrong with it.
        violation: Violation,
        /// The shortest way to it, one step a line.
        trace: Vec<String>,
        /// States that were seen until then.
        states: usize,
    },
}

/// One step between two states.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) to: u32,
    pub(crate) step: Step,
}

/// All states in the order in which they were found, and how each was.
pub(crate) struct Reached {
    rules: Rules,
    bounds: Bounds,
    /// The state before, and which of its steps led here.
    parents: Vec<(u32, u8)>,
    /// What `note` said of each.
    pub(crate) notes: Vec<u8>,
    /// If they were kept: the steps of all states, one state behind the other, and where each begins.
    edges: Vec<Edge>,
    first_edges: Vec<u32>,
}

/// Searches all states for one that must never be.
pub fn search(rules: Rules, bounds: Bounds, question: Question) -> Outcome {
    match reach(rules, bounds, false, Names::DontMatter, question, |_| 0) {
        Ok(reached) => Outcome::Holds { states: reached.parents.len() },
        Err((violation, reached, state)) => {
            Outcome::Violated { violation, trace: reached.trace(state), states: reached.parents.len() }
        }
    }
}

/// Every state there is, with a note on each; or the first that must not be.
pub(crate) fn reach(
    rules: Rules,
    bounds: Bounds,
    keep_edges: bool,
    names: Names,
    question: Question,
    mut note: impl FnMut(&World) -> u8,
) -> Result<Reached, (Violation, Reached, u32)> {
    let mut reached =
        Reached { rules, bounds, parents: vec![(0, 0)], notes: Vec::new(), edges: Vec::new(), first_edges: Vec::new() };
    let start = World::new(bounds);
    let hasher = DefaultHashBuilder::default();
    let hash = |packed: &Packed| hasher.hash_one(packed);
    let mut packed = vec![Packed::of(&start, names)];
    let mut known = HashTable::new();
    known.insert_unique(hash(&packed[0]), 0_u32, |_| 0);
    let mut queue = VecDeque::from([start]);
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(world) = queue.pop_front() {
        reached.notes.push(note(&world));
        reached.first_edges.push(reached.edges.len() as u32);
        world.steps(rules, &mut found);
        for (index, (step, next)) in found.iter().enumerate() {
            // What was noted on the way is not part of the form, so it can't wait until the state is known to be new.
            if let Some(violation) = next.check(question) {
                reached.parents.push((from, index as u8));
                let last = reached.parents.len() as u32 - 1;
                return Err((violation, reached, last));
            }
            let form = Packed::of(next, names);
            let hash_of_form = hash(&form);
            let seen = known.find(hash_of_form, |state| packed[*state as usize] == form).copied();
            let to = seen.unwrap_or(packed.len() as u32);
            if seen.is_none() {
                packed.push(form);
                known.insert_unique(hash_of_form, to, |state| hash(&packed[*state as usize]));
                reached.parents.push((from, index as u8));
                queue.push_back(World { violation: None, ..*next });
            }
            if keep_edges {
                reached.edges.push(Edge { to, step: *step });
            }
        }
        from += 1;
    }
    reached.first_edges.push(reached.edges.len() as u32);
    Ok(reached)
}

impl Reached {
    pub(crate) fn len(&self) -> usize {
        self.notes.len()
    }

    /// The steps from a state; none unless they were kept.
    pub(crate) fn edges(&self, state: u32) -> &[Edge] {
        let state = state as usize;
        &self.edges[self.first_edges[state] as usize..self.first_edges[state + 1] as usize]
    }

    /// The shortest way to a state, in words.
    pub(crate) fn trace(&self, state: u32) -> Vec<String> {
        let (mut choices, mut at) = (Vec::new(), state);
        while at != 0 {
            let (parent, choice) = self.parents[at as usize];
            choices.push(choice);
            at = parent;
        }
        let (mut world, mut found, mut lines) = (World::new(self.bounds), Vec::new(), Vec::new());
        for choice in choices.into_iter().rev() {
            world.steps(self.rules, &mut found);
            let (step, next) = found[usize::from(choice)];
            lines.push(step.to_string());
            world = next;
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Policy;

    /// What happens at all, in words without numbers and names.
    fn happenings(rules: Rules, bounds: Bounds) -> Vec<String> {
        let Ok(reached) = reach(rules, bounds, true, Names::DontMatter, Question::Everything, |_| 0) else {
            panic!("the protocol is broken");
        };
        let mut steps: Vec<Step> = Vec::new();
        for state in 0..reached.len() as u32 {
            for edge in reached.edges(state) {
                if !steps.contains(&edge.step) {
                    steps.push(edge.step);
                }
            }
        }
        let without_numbers = |step: &Step| {
            let text = step.to_string().replace("B ", "A ").replace("B's", "A's");
            text.replace(|letter: char| letter.is_ascii_digit(), "#")
        };
        let mut words: Vec<String> = steps.iter().map(without_numbers).collect();
        words.sort_unstable();
        words.dedup();
        words
    }

    /// A model in which less happens than is meant proves less than is said.
    #[test]
    fn everything_that_is_meant_to_happen_does() {
        let rules = Rules { policy: Policy::Always, flaw: None };
        let few = Bounds { records: 2, restarts: 1, ..Bounds::CALM };
        let mut found = happenings(rules, Bounds { crashes: 1, failures: 1, timeouts: 1, snapshots: 1, ..few });
        found.extend(happenings(rules, Bounds { delays: 1, lost: 1, ..few }));
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.join("\n"), EVERYTHING);
    }

    const EVERYTHING: &str = "\
A adds the marker for manifest # to the transaction
A begins with empty state
A calls init: all before it are fenced
A can't store its snapshot, the next epoch joins
A commits
A commits, a second EndTxn is on its way
A commits, gets no answer (done), begins again
A commits, gets no answer (done), gives up
A commits, gets no answer (done, an EndTxn is on its way), begins again
A commits, gets no answer (done, an EndTxn is on its way), gives up
A commits, gets no answer (not done), begins again
A commits, gets no answer (not done), gives up
A commits, gets no answer (not done, an EndTxn is on its way), begins again
A commits, gets no answer (not done, an EndTxn is on its way), gives up
A crashes
A deletes manifest #
A fails for a reason of its own, begins again
A fails for a reason of its own, gives up
A finds a foreign marker and ends: taken over
A finds number # taken, begins again
A finds number # taken, gives up
A finds that manifest # is gone, begins again
A finds that manifest # is gone, gives up
A is fenced, begins again
A is fenced, gives up
A lists the store
A looks at the marker: its own
A produces the output of record #
A reads the marker again: its own
A reads the marker: manifest #
A reads the marker: none
A restores manifest #
A starts, a new incarnation
A stores its snapshot, but is not told so; the next epoch joins
A writes manifest #
A writes manifest # to adopt
broker: A's transaction took too long, aborted
broker: the commit becomes visible
broker: the transaction that nobody owns took too long, aborted
network: a late EndTxn arrives and commits the open transaction
network: a late EndTxn arrives, nothing is open";
}
