//! Whether it goes on: that all output can still be committed, and that two instances do not fence each other for ever.
//!
//! The second is asked of [`Bounds::endless`] worlds, by strong fairness over strongly connected sets of states: a
//! *livelock* is a set of states with two or more instances alive that can be walked through without end, such that
//!
//! - whoever can do something again and again does something again and again, the broker too, and
//! - whoever begins again and again gets as far as a commit again and again. That is what a random pause before each
//!   new attempt is for; [`Chance::None`] leaves it out.
//!
//! No fault is in such a walk: there are only so many of them, so what can be repeated without end has none.

use crate::packed::Names;
use crate::rules::{Bounds, Rules};
use crate::search::{Edge, Question, Reached, reach};
use crate::step::{Act, Answer, Step};
use crate::world::{Violation, World};

/// Whether attempts to commit get through now and then, if there are enough of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chance {
    /// The others may come between every time.
    None,
    /// Pauses are random: sooner or later one attempt is not disturbed.
    Some,
}

/// Whether two instances can go on against each other without end.
#[derive(Clone, Debug)]
pub enum Settling {
    /// In the end one goes on at most.
    Settles {
        /// States that were searched.
        states: usize,
    },
    /// They can.
    Livelock {
        /// States that were searched.
        states: usize,
        /// The shortest way there.
        before: Vec<String>,
        /// What then repeats without end.
        again: Vec<String>,
    },
}

/// Whether all output can still be committed.
#[derive(Clone, Debug)]
pub enum Finishing {
    /// From every state in which somebody is left to do it.
    Always {
        /// States that were searched.
        states: usize,
        /// In how many of them somebody is left.
        viable: usize,
    },
    /// Not from the state at the end of this trace.
    Stuck {
        /// States that were searched.
        states: usize,
        /// The shortest way there.
        trace: Vec<String>,
    },
}

const DONE: u8 = 1;
const VIABLE: u8 = 2;

/// Searches for a state from which the rest of the input can't be committed any more, although no more faults happen
/// and somebody is left: an instance that was not taken over from and may restart once more, or one to be started.
///
/// # Errors
/// What readers of the output must never see, if the search meets that first.
pub fn finishes(rules: Rules, bounds: Bounds) -> Result<Finishing, Violation> {
    let note = |world: &World| {
        let done = world.committed.end() == world.left.records;
        u8::from(done) * DONE + u8::from(somebody_is_left(world)) * VIABLE
    };
    let reached =
        reach(rules, bounds, true, Names::DontMatter, Question::Output, note).map_err(|(violation, ..)| violation)?;
    let can_finish = can_reach_done(&reached);
    let is_viable = |state: &u32| reached.notes[*state as usize] & VIABLE > 0;
    let states = 0..reached.len() as u32;
    match states.clone().filter(is_viable).find(|state| !can_finish[*state as usize]) {
        Some(stuck) => Ok(Finishing::Stuck { states: reached.len(), trace: reached.trace(stuck) }),
        None => Ok(Finishing::Always { states: reached.len(), viable: states.filter(is_viable).count() }),
    }
}

fn somebody_is_left(world: &World) -> bool {
    let slots = &world.instances[..usize::from(world.left.slots)];
    let can_start = world.left.starts > 0 && slots.iter().any(|instance| !instance.is_alive());
    let goes_on = |(slot, adopted): (usize, bool)| !adopted || world.owner() == Some(slot as u8);
    let alive = slots.iter().enumerate().filter(|(_, instance)| instance.is_alive());
    can_start || world.left.restarts > 0 && alive.map(|(slot, instance)| (slot, instance.adopted)).any(goes_on)
}

/// Backwards from where all is done, over every step that is no fault.
fn can_reach_done(reached: &Reached) -> Vec<bool> {
    let count = reached.len();
    let mut begins = vec![0_u32; count + 1];
    let calm = |state: usize| reached.edges(state as u32).iter().filter(|edge| !edge.step.is_fault());
    for edge in (0..count).flat_map(calm) {
        begins[edge.to as usize + 1] += 1;
    }
    for state in 0..count {
        begins[state + 1] += begins[state];
    }
    let mut filled = begins.clone();
    let mut from = vec![0_u32; begins[count] as usize];
    for state in 0..count {
        for edge in calm(state) {
            let place = &mut filled[edge.to as usize];
            from[*place as usize] = state as u32;
            *place += 1;
        }
    }
    let mut can: Vec<bool> = reached.notes.iter().map(|note| note & DONE > 0).collect();
    let mut open: Vec<usize> = (0..count).filter(|state| can[*state]).collect();
    while let Some(state) = open.pop() {
        for before in &from[begins[state] as usize..begins[state + 1] as usize] {
            if !std::mem::replace(&mut can[*before as usize], true) {
                open.push(*before as usize);
            }
        }
    }
    can
}

/// Searches for a livelock.
///
/// # Errors
/// What must never be, if the search meets that first.
pub fn settles(rules: Rules, bounds: Bounds, chance: Chance) -> Result<Settling, Violation> {
    assert!(bounds.endless, "an input that ends hides a livelock");
    let note = |world: &World| world.instances.iter().filter(|instance| instance.is_alive()).count() as u8;
    let reached =
        reach(rules, bounds, true, Names::Matter, Question::Everything, note).map_err(|(violation, ..)| violation)?;
    let states = reached.len();
    let search = Livelocks { reached: &reached, chance };
    Ok(match search.first() {
        None => Settling::Settles { states },
        Some(part) => {
            let first = part.states.iter().copied().min().unwrap_or(0);
            Settling::Livelock { states, before: reached.trace(first), again: search.walk(&part, first) }
        }
    })
}

/// Actors as bits: instances by slot, then the broker.
type Actors = u8;
const BROKER: u8 = 7;

fn actor(step: Step) -> Actors {
    match step {
        Step::Act(who, _) if !step.is_fault() => 1 << who,
        Step::Complete | Step::TimeOut(None) => 1 << BROKER,
        _ => 0,
    }
}

fn inits(step: Step) -> Actors {
    if matches!(step, Step::Act(_, Act::Init)) { actor(step) } else { 0 }
}

fn commits(step: Step) -> Actors {
    if matches!(step, Step::Act(_, Act::Commit(Answer::Done))) { actor(step) } else { 0 }
}

/// A set of states, and whose `init` is left out between them.
struct Part {
    states: Vec<u32>,
    without_init: Actors,
}

impl Part {
    fn allows(&self, edge: &Edge) -> bool {
        inits(edge.step) & self.without_init == 0
    }
}

struct Livelocks<'a> {
    reached: &'a Reached,
    chance: Chance,
}

impl Livelocks<'_> {
    fn first(&self) -> Option<Part> {
        let all = Part { states: (0..self.reached.len() as u32).collect(), without_init: 0 };
        let mut open = vec![all];
        while let Some(part) = open.pop() {
            for states in strongly_connected(self.reached, &part) {
                let part = Part { states, ..part };
                if self.reached.notes[part.states[0] as usize] < 2 {
                    continue;
                }
                match self.judge(&part) {
                    Verdict::Livelock => return Some(part),
                    Verdict::Never => {}
                    Verdict::Rather(smaller) => open.push(smaller),
                }
            }
        }
        None
    }

    fn judge(&self, part: &Part) -> Verdict {
        let (mut enabled, mut acting, mut beginning, mut committing) = (0, 0, 0, 0);
        for (edge, inside) in self.edges(part) {
            enabled |= actor(edge.step);
            if inside && part.allows(edge) {
                acting |= actor(edge.step);
                beginning |= inits(edge.step);
                committing |= commits(edge.step);
            }
        }
        if acting == 0 {
            return Verdict::Never;
        }
        let starving = enabled & !acting;
        if starving > 0 {
            // A walk in which these are never able to do anything has to keep to the other states.
            let is_able = |state: &u32| self.reached.edges(*state).iter().any(|edge| actor(edge.step) & starving > 0);
            let states: Vec<u32> = part.states.iter().copied().filter(|state| !is_able(state)).collect();
            return if states.is_empty() { Verdict::Never } else { Verdict::Rather(Part { states, ..*part }) };
        }
        let unlucky = beginning & !committing;
        if unlucky > 0 && self.chance == Chance::Some {
            let without_init = part.without_init | unlucky;
            return Verdict::Rather(Part { states: part.states.clone(), without_init });
        }
        Verdict::Livelock
    }

    /// The steps from a part, and whether they stay in it.
    fn edges<'b>(&'b self, part: &'b Part) -> impl Iterator<Item = (&'b Edge, bool)> {
        let mut is_inside = vec![false; self.reached.len()];
        part.states.iter().for_each(|state| is_inside[*state as usize] = true);
        let edges = part.states.iter().flat_map(|state| self.reached.edges(*state));
        edges.map(move |edge| (edge, is_inside[edge.to as usize]))
    }

    /// A round through the part, back to where it begins, in which everybody who commits does so once.
    fn walk(&self, part: &Part, start: u32) -> Vec<String> {
        let inside: Vec<&Edge> = self.edges(part).filter(|(_, inside)| *inside).map(|(edge, _)| edge).collect();
        let all = |of: fn(Step) -> Actors| inside.iter().fold(0, |all, edge| all | of(edge.step));
        let (acting, committing) = (all(actor), all(commits));
        let (mut at, mut lines) = (start, Vec::new());
        for slot in 0..BROKER {
            let wanted: Actors = 1 << slot;
            if acting & wanted > 0 {
                let of = if committing & wanted > 0 { commits } else { inits };
                at = self.walk_on(part, at, &mut lines, |edge| of(edge.step) & wanted > 0);
            }
        }
        if at != start {
            self.walk_on(part, at, &mut lines, |edge| edge.to == start);
        }
        lines
    }

    /// The shortest way from a state to the next step that is wanted, that step included.
    fn walk_on(&self, part: &Part, from: u32, lines: &mut Vec<String>, wanted: impl Fn(&Edge) -> bool) -> u32 {
        let mut before: Vec<Option<(u32, Edge)>> = vec![None; self.reached.len()];
        let mut is_inside = vec![false; self.reached.len()];
        part.states.iter().for_each(|state| is_inside[*state as usize] = true);
        let mut queue = std::collections::VecDeque::from([from]);
        while let Some(state) = queue.pop_front() {
            for edge in self.reached.edges(state).iter().filter(|edge| part.allows(edge) && is_inside[edge.to as usize])
            {
                if wanted(edge) {
                    let (mut way, mut at) = (vec![edge.step.to_string()], state);
                    while at != from {
                        let Some((previous, edge)) = before[at as usize] else { break };
                        way.push(edge.step.to_string());
                        at = previous;
                    }
                    lines.extend(way.into_iter().rev());
                    return edge.to;
                }
                if edge.to != from && before[edge.to as usize].is_none() {
                    before[edge.to as usize] = Some((state, *edge));
                    queue.push_back(edge.to);
                }
            }
        }
        from
    }
}

enum Verdict {
    Livelock,
    Never,
    /// Not in all of it, but perhaps in a part.
    Rather(Part),
}

/// The sets of states in which each can be reached from each (Tarjan's algorithm, with a stack of its own).
fn strongly_connected(reached: &Reached, part: &Part) -> Vec<Vec<u32>> {
    const UNSEEN: u32 = u32::MAX;
    // What is not in the part counts as finished.
    let mut order = vec![0_u32; reached.len()];
    let mut low = vec![0_u32; reached.len()];
    let mut on_stack = vec![false; reached.len()];
    part.states.iter().for_each(|state| order[*state as usize] = UNSEEN);
    let (mut stack, mut sets, mut next) = (Vec::new(), Vec::new(), 1);
    for root in &part.states {
        let mut calls = Vec::new();
        if order[*root as usize] == UNSEEN {
            calls.push((*root, 0));
        }
        while let Some((state, edge)) = calls.pop() {
            let at = state as usize;
            if edge == 0 {
                (order[at], low[at], on_stack[at]) = (next, next, true);
                next += 1;
                stack.push(state);
            }
            let edges = reached.edges(state);
            let Some(step) = edges.get(edge) else {
                if low[at] == order[at] {
                    let begin = stack.iter().rposition(|other| *other == state).unwrap_or(0);
                    let set = stack.split_off(begin);
                    set.iter().for_each(|state| on_stack[*state as usize] = false);
                    sets.push(set);
                }
                if let Some((caller, _)) = calls.last() {
                    low[*caller as usize] = low[*caller as usize].min(low[at]);
                }
                continue;
            };
            calls.push((state, edge + 1));
            let to = step.to as usize;
            match part.allows(step) {
                true if order[to] == UNSEEN => calls.push((step.to, 0)),
                true if on_stack[to] => low[at] = low[at].min(order[to]),
                _ => {}
            }
        }
    }
    sets
}
