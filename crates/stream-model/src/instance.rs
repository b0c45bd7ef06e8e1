//! What an instance does next: the protocol, step by step, and its failures.
//!
//! 1. `Look`: one that has adopted looks at the marker without waiting. A foreign one means that it was taken over from,
//!    but only when nothing is pending: it may be the marker before the own one, which is committed, but not yet visible.
//! 2. `Init`: a new producer epoch; everybody before is fenced.
//! 3. `Read`: the marker, when nothing is pending any more.
//! 4. `Restore`: the checkpoint that the marker names.
//! 5. `List`, `WriteAdoption`, `MarkAdoption`, `CommitAdoption`: the adoption. What the listing showed and the adopted
//!    manifest does not need is deleted from now on.
//! 6. Each epoch: `Produce`, `Write`, `Mark`, `Commit`; what it replaces is deleted from now on.
//! 7. With [`Policy::Always`], after each commit: `Reinit`, `Verify`.
//!
//! Deleting is a list of its own (`doomed`), worked off in order and arbitrarily late.

use crate::history::History;
use crate::rules::{Flaw, Policy, Rules};
use crate::step::{Act, Answer, Step, Then};
use crate::world::{At, Instance, Marker, Number, Stored, Violation, World, bit};

/// The steps that are found for one world.
type Found = Vec<(Step, World)>;

impl World {
    /// Everything that can happen next.
    pub(crate) fn steps(&self, rules: Rules, found: &mut Found) {
        found.clear();
        self.broker_steps(rules, found);
        let slots = self.left.slots;
        if let Some(slot) = (0..slots).find(|slot| !self.one(*slot).is_alive()).filter(|_| self.left.starts > 0) {
            let mut world = *self;
            world.left.starts -= 1;
            world.mine(slot).at = At::Init;
            found.push((Step::Start(slot), world));
        }
        for slot in (0..slots).filter(|slot| self.one(*slot).is_alive()) {
            if self.left.crashes > 0 {
                let mut world = *self;
                world.left.crashes -= 1;
                world.end(slot);
                found.push((Step::Crash(slot), world));
            }
            if self.left.failures > 0 {
                let mut world = *self;
                world.left.failures -= 1;
                let then = world.restart(slot);
                found.push((Step::Fail(slot, then), world));
            }
            let doomed = self.one(slot).doomed;
            if doomed != 0 {
                let number = doomed.trailing_zeros() as Number;
                let mut world = *self;
                world.mine(slot).doomed &= !bit(number);
                world.store[usize::from(number)] = Stored::Absent;
                found.push((Step::Delete(slot, self.shown(number)), world));
            }
            self.act(slot, rules, found);
        }
        for (_, world) in found {
            world.settle();
        }
    }

    fn one(&self, slot: u8) -> &Instance {
        &self.instances[usize::from(slot)]
    }

    fn mine(&mut self, slot: u8) -> &mut Instance {
        &mut self.instances[usize::from(slot)]
    }

    /// A number as it was before any were moved down.
    fn shown(&self, number: Number) -> Number {
        if number == 0 { 0 } else { number + self.moved }
    }

    /// The instance is no more. Its identity can't come back, so its markers are nobody's.
    fn end(&mut self, slot: u8) {
        *self.mine(slot) = Instance::NONE;
        let pending = self.transaction.iter_mut().filter_map(|transaction| transaction.marker.as_mut());
        for marker in self.marker.iter_mut().chain(pending) {
            marker.by = marker.by.filter(|by| *by != slot);
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.before = transaction.before.filter(|before| *before != slot);
        }
    }

    fn end_taken_over(&mut self, slot: u8) {
        if self.owner() == Some(slot) {
            self.violation = Some(Violation::OwnerEnds);
        }
        self.end(slot);
    }

    /// A restart inside the process: a new handle, everything again from the marker.
    fn restart(&mut self, slot: u8) -> Then {
        if self.left.restarts == 0 && !self.left.endless {
            self.end(slot);
            return Then::GiveUp;
        }
        self.left.restarts = self.left.restarts.saturating_sub(1);
        let Instance { adopted, acked, next, doomed, .. } = *self.one(slot);
        let restarted = Instance { at: At::Init, doomed, ..Instance::NONE };
        *self.mine(slot) = match adopted {
            // What it acknowledged last and what is in doubt: nothing else may be named by a marker of its own.
            true => Instance { at: At::Look, adopted, acked, next, ..restarted },
            false => restarted,
        };
        Then::BeginAgain
    }

    fn act(&self, slot: u8, rules: Rules, found: &mut Found) {
        let mut world = *self;
        let act = match self.one(slot).at {
            At::Gone => return,
            At::Look => world.look(slot, rules),
            At::Init | At::Reinit => world.init(slot, rules),
            At::Read => world.read(slot, rules),
            At::Restore => Some(world.restore(slot, rules)),
            At::List => Some(world.take_listing(slot, rules)),
            At::WriteAdoption => Some(world.write_adoption(slot, rules)),
            At::ListLate => Some(world.list_late(slot, rules)),
            At::Verify => world.verify(slot, rules),
            At::Produce => world.produce(slot, rules),
            At::Write | At::WriteLate => {
                self.fail_snapshot(slot, found);
                Some(world.write(slot, rules))
            }
            At::MarkAdoption | At::Mark => world.mark(slot),
            At::CommitAdoption | At::Commit => return self.commit(slot, rules, found),
        };
        found.extend(act.map(|act| (Step::Act(slot, act), world)));
    }

    fn look(&mut self, slot: u8, rules: Rules) -> Option<Act> {
        // Whoever does not wait sees what was there before the transaction that is being committed.
        let decided = self.transaction.filter(|transaction| transaction.decided);
        if decided.map_or(self.owner(), |decided| decided.before) == Some(slot) {
            self.mine(slot).at = At::Init;
            return Some(Act::Look);
        }
        if self.marker_is_pending() && !rules.has(Flaw::UnstableLook) {
            return None;
        }
        self.end_taken_over(slot);
        Some(Act::TakenOver)
    }

    fn init(&mut self, slot: u8, rules: Rules) -> Option<Act> {
        if self.is_deciding() {
            return None;
        }
        self.bump();
        let me = self.mine(slot);
        me.current = true;
        me.at = match me.at {
            At::Init => At::Read,
            _ if rules.has(Flaw::NotVerified) => At::Produce,
            _ => At::Verify,
        };
        Some(Act::Init)
    }

    fn read(&mut self, slot: u8, rules: Rules) -> Option<Act> {
        if self.marker_is_pending() {
            return None;
        }
        let Instance { adopted, acked, next, .. } = *self.one(slot);
        let named = self.marker.map_or(0, |marker| marker.checkpoint);
        if self.owner() == Some(slot) {
            if adopted && named != acked && named != next {
                self.violation = Some(Violation::Unknown);
            }
            // After an adoption in doubt this is how it is known.
            self.mine(slot).adopted = !rules.has(Flaw::NoAdoption);
        } else if adopted {
            self.end_taken_over(slot);
            return Some(Act::TakenOver);
        }
        let me = self.mine(slot);
        (me.acked, me.next, me.level, me.at) = (named, 0, true, At::Restore);
        Some(Act::Read(self.marker.map(|_| self.shown(named))))
    }

    fn restore(&mut self, slot: u8, rules: Rules) -> Act {
        let newest = 15_u32.saturating_sub(self.list().leading_zeros()) as Number;
        let number = if rules.has(Flaw::NewestRestored) { newest } else { self.one(slot).acked };
        let data = self.data_of(number);
        let content = if number == 0 { Some(History(0)) } else { self.content(number) };
        let Some(state) = content.or(self.left.endless.then_some(History(0))) else {
            // Others may have gone on meanwhile and have deleted it. If not, the search has said so already.
            if rules.has(Flaw::MissingIsDamage) {
                self.violation = Some(Violation::NotDamaged);
                return Act::Damaged(self.shown(number));
            }
            let then = self.restart(slot);
            return Act::NothingToRestore(self.shown(number), then);
        };
        let me = self.mine(slot);
        (me.state, me.acked, me.data, me.at) = (state, number, data, At::List);
        Act::Restore((number > 0 || self.left.endless).then(|| self.shown(number)))
    }

    fn take_listing(&mut self, slot: u8, rules: Rules) -> Act {
        let listing = self.list();
        let me = self.mine(slot);
        me.next = (16 - listing.leading_zeros()).max(1) as Number;
        if rules.has(Flaw::NoAdoption) {
            me.at = At::Produce;
        } else {
            (me.listing, me.at) = (listing, At::WriteAdoption);
        }
        Act::List
    }

    fn write_adoption(&mut self, slot: u8, rules: Rules) -> Act {
        let Instance { next, data, .. } = *self.one(slot);
        let shown = self.shown(next);
        let stored = if data == 0 { Stored::Snapshot(History(0)) } else { Stored::CopyOf(data) };
        if !self.create(next, stored) {
            return self.number_taken(slot, rules);
        }
        let me = self.mine(slot);
        me.at = At::MarkAdoption;
        if data == 0 {
            me.data = next;
        }
        Act::WriteAdoption(shown)
    }

    fn list_late(&mut self, slot: u8, rules: Rules) -> Act {
        let listing = self.list();
        let me = self.mine(slot);
        me.doomed |= listing & !bit(me.acked) & !bit(me.data);
        self.after_commit(slot, rules, false);
        Act::ListLate
    }

    fn verify(&mut self, slot: u8, rules: Rules) -> Option<Act> {
        if self.marker_is_pending() {
            return None;
        }
        if self.owner() != Some(slot) {
            if rules.has(Flaw::NoAdoption) {
                return Some(Act::ForeignAtVerify(self.restart(slot)));
            }
            self.end_taken_over(slot);
            return Some(Act::TakenOver);
        }
        if self.marker.is_some_and(|marker| marker.checkpoint != self.one(slot).acked) {
            self.violation = Some(Violation::Unknown);
        }
        self.mine(slot).at = At::Produce;
        Some(Act::Verify)
    }

    fn produce(&mut self, slot: u8, rules: Rules) -> Option<Act> {
        let record = self.one(slot).state.end();
        if record == self.left.records && !self.left.endless {
            return None;
        }
        if !self.one(slot).current {
            return Some(Act::Fenced(self.restart(slot)));
        }
        if self.is_deciding() {
            return None;
        }
        if self.left.endless {
            self.open();
        } else {
            let label = self.new_label(record);
            self.open().output.set(record, label);
            self.mine(slot).state.set(record, label);
        }
        self.mine(slot).at = if rules.has(Flaw::ManifestAfterCommit) { At::Mark } else { At::Write };
        Some(Act::Produce(if self.left.endless { 0 } else { record + 1 }))
    }

    fn fail_snapshot(&self, slot: u8, found: &mut Found) {
        let has_more = self.one(slot).state.end() < self.left.records;
        if self.left.snapshots == 0 || !has_more || self.one(slot).at != At::Write {
            return;
        }
        for stored in [false, true] {
            let mut world = *self;
            let Instance { next, state, .. } = *self.one(slot);
            if stored && !world.create(next, Stored::Snapshot(state)) {
                continue;
            }
            world.left.snapshots -= 1;
            // The number may be used, and by another content than that of the next epoch.
            (world.mine(slot).at, world.mine(slot).next) = (At::Produce, next + 1);
            found.push((Step::Act(slot, Act::SnapshotFails { stored }), world));
        }
    }

    fn write(&mut self, slot: u8, rules: Rules) -> Act {
        let Instance { next, state, .. } = *self.one(slot);
        let shown = self.shown(next);
        if !self.create(next, Stored::Snapshot(state)) {
            return self.number_taken(slot, rules);
        }
        match self.one(slot).at {
            At::WriteLate => self.acknowledge(slot, rules, false),
            _ => self.mine(slot).at = At::Mark,
        }
        Act::Write(shown)
    }

    /// Somebody else is at work here; whether it has taken over, the marker says.
    fn number_taken(&mut self, slot: u8, rules: Rules) -> Act {
        let shown = self.shown(self.one(slot).next);
        if rules.has(Flaw::TakenNumberEnds) && self.one(slot).adopted {
            self.end_taken_over(slot);
            return Act::NumberTakenEnds(shown);
        }
        Act::NumberTaken(shown, self.restart(slot))
    }

    fn mark(&mut self, slot: u8) -> Option<Act> {
        let Instance { at, current, level, next, .. } = *self.one(slot);
        if !current {
            return Some(Act::Fenced(self.restart(slot)));
        }
        if self.is_deciding() {
            return None;
        }
        self.open().marker = Some(Marker { by: Some(slot), checkpoint: next, is_next: level });
        self.mine(slot).at = if at == At::Mark { At::Commit } else { At::CommitAdoption };
        Some(Act::Mark(self.shown(next)))
    }

    fn commit(&self, slot: u8, rules: Rules, found: &mut Found) {
        let mut add = |answer, world| found.push((Step::Act(slot, Act::Commit(answer)), world));
        if !self.one(slot).current {
            let mut world = *self;
            let act = Act::Fenced(world.restart(slot));
            found.push((Step::Act(slot, act), world));
            return;
        }
        let mut sent = *self;
        if rules.has(Flaw::DeletedBeforeAnswer) && sent.one(slot).at == At::Commit {
            sent.doom_replaced(slot);
        }
        let mut done = sent;
        done.end_transaction(rules);
        // The broker's own bump makes a second request void at once.
        let may_be_late = self.left.delays > 0 && rules.policy != Policy::Broker;
        for late in [false, true].into_iter().filter(|late| !late || may_be_late) {
            let mut world = done;
            if late {
                world.delay();
            }
            world.acknowledge(slot, rules, late);
            add(if late { Answer::DoneAndLate } else { Answer::Done }, world);
        }
        if self.left.lost == 0 {
            return;
        }
        for (is_done, late) in [(true, false), (false, false), (true, true), (false, true)] {
            if late && (self.left.delays == 0 || is_done && !may_be_late) {
                continue;
            }
            let mut world = if is_done { done } else { sent };
            world.left.lost -= 1;
            if late {
                world.delay();
            }
            let then = if rules.has(Flaw::AbortInDoubt) { world.abort_and_redo(slot) } else { world.restart(slot) };
            add(Answer::Lost { done: is_done, late, then }, world);
        }
    }

    fn delay(&mut self) {
        self.left.delays -= 1;
        self.late += 1;
    }

    /// The answer to a commit is good.
    fn acknowledge(&mut self, slot: u8, rules: Rules, disturbed: bool) {
        let me = *self.one(slot);
        if rules.has(Flaw::ManifestAfterCommit) && me.at == At::Commit {
            self.mine(slot).at = At::WriteLate;
            return;
        }
        match me.at {
            At::CommitAdoption => self.mine(slot).doomed |= me.listing & !bit(me.data) & !bit(me.next),
            _ => self.doom_replaced(slot),
        }
        let level = self.marker.is_some_and(|marker| marker.by == Some(slot) && marker.checkpoint == me.next);
        let adoption = me.at == At::CommitAdoption;
        let me = self.mine(slot);
        me.data = if adoption { me.data } else { me.next };
        (me.acked, me.next, me.level, me.listing) = (me.next, me.next + 1, level, 0);
        me.adopted = !rules.has(Flaw::NoAdoption);
        if adoption && rules.has(Flaw::ListedAfterAdoption) {
            (me.doomed, me.at) = (0, At::ListLate);
        } else {
            self.after_commit(slot, rules, disturbed);
        }
    }

    /// What the manifest of this epoch replaces may go.
    fn doom_replaced(&mut self, slot: u8) {
        let me = self.mine(slot);
        me.doomed |= (bit(me.acked) | bit(me.data)) & !1;
    }

    fn after_commit(&mut self, slot: u8, rules: Rules, disturbed: bool) {
        let again = match rules.policy {
            Policy::Always => true,
            Policy::OnDisturbance => disturbed,
            Policy::OneHandle | Policy::Broker => false,
        };
        self.mine(slot).at = if again { At::Reinit } else { At::Produce };
    }

    /// Takes "no answer" for "not done".
    fn abort_and_redo(&mut self, slot: u8) -> Then {
        if !self.is_deciding() {
            self.transaction = None;
        }
        let me = *self.one(slot);
        if me.at == At::CommitAdoption {
            return self.restart(slot);
        }
        let state = self.content(me.acked).unwrap_or_default();
        let me = self.mine(slot);
        (me.state, me.next, me.at) = (state, me.next + 1, At::Produce);
        Then::AbortAndRedo
    }
}
