//! Several processes, one cluster, one store: whose turn it is, what goes wrong, when a process dies.
//!
//! Each slot is a thread that runs one process after the other, and only one of them moves at a time: before each step
//! of a job, each request to a broker and each operation on the store, the seed decides who goes on. So a process can
//! sleep between any two requests while another one takes over, and wake up as a zombie.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stream_core::checkpoint::{CheckpointStore, Creation, MemoryStore, StoredObject};
use stream_core::clock::Clock;
use stream_core::{Error, ErrorKind, Result};

use super::input::Input;
use crate::sim::{FakeKafka, Network, Passage, Request};

/// More operations than any history takes that ends at all.
const OPERATIONS_MAX: u64 = 60_000;

/// SplitMix64, whose sequence never changes, so that a seed in a message stays good.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap_or(0)]
    }

    /// One time in that many.
    pub(super) fn once_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// How likely things are, chosen by the seed: one time in that many, but for the first.
#[derive(Clone, Debug)]
pub(super) struct Odds {
    /// In 100.
    pub(super) stays: u64,
    pub(super) sleeps: u64,
    pub(super) crashes: u64,
    pub(super) request_fails: u64,
    pub(super) store_fails: u64,
    pub(super) records_lost: u64,
    pub(super) time_jumps: u64,
    pub(super) late_markers: u64,
    /// Whether a request to end a transaction may arrive twice although the first was answered.
    pub(super) twice: bool,
}

const NEVER: u64 = u64::MAX;

impl Odds {
    fn of(random: &mut Random, twice: bool) -> Odds {
        Odds {
            stays: random.pick(&[20, 60, 90, 97]),
            sleeps: random.pick(&[15, 60, 250, NEVER]),
            crashes: random.pick(&[100, 300, 600, NEVER]),
            request_fails: random.pick(&[4, 12, 50, NEVER]),
            store_fails: random.pick(&[4, 15, NEVER]),
            records_lost: random.pick(&[50, 300, NEVER]),
            time_jumps: random.pick(&[100, 500, NEVER]),
            late_markers: random.pick(&[2, 8, NEVER]),
            twice,
        }
    }
}

/// A process may be one of these.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) ended: bool,
    /// Until which operation it sleeps.
    pub(super) asleep: u64,
    /// Nothing to do, but at this time perhaps.
    idle: Option<Option<Duration>>,
    pub(super) client: String,
    pub(super) dead: bool,
}

pub(super) struct History {
    pub(super) random: Random,
    odds: Odds,
    turn: usize,
    pub(super) over: bool,
    pub(super) slots: Vec<Slot>,
    pub(super) operations: u64,
    calm_from: u64,
    /// None if nobody asks: writing it takes longer than the rest.
    pub(super) trace: Option<Vec<String>>,
    pub(super) failure: Option<String>,
    pub(super) seen: Seen,
    pub(super) runs: u64,
    pub(super) input: Input,
}

/// How often something happened that the histories are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) crashes: u64,
    pub(super) restarts: u64,
    pub(super) replaced: u64,
    pub(super) late_ends: u64,
    pub(super) store_faults: u64,
    pub(super) request_faults: u64,
    pub(super) lost_records: u64,
    pub(super) jumps: u64,
}

impl Seen {
    pub(super) fn add(&mut self, other: Seen) {
        self.crashes += other.crashes;
        self.restarts += other.restarts;
        self.replaced += other.replaced;
        self.late_ends += other.late_ends;
        self.store_faults += other.store_faults;
        self.request_faults += other.request_faults;
        self.lost_records += other.lost_records;
        self.jumps += other.jumps;
    }
}

impl History {
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        let at = self.operations;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at:5} {}", what()));
        }
    }

    pub(super) fn is_calm(&self) -> bool {
        self.operations >= self.calm_from
    }

    /// For how many operations nothing has gone wrong.
    pub(super) fn calm_for(&self) -> u64 {
        self.operations.saturating_sub(self.calm_from)
    }

    fn happens(&mut self, odds: fn(&Odds) -> u64) -> bool {
        let many = odds(&self.odds);
        !self.is_calm() && many != NEVER && self.random.once_in(many)
    }

    fn awake(&self, slot: usize) -> bool {
        let slot = &self.slots[slot];
        !slot.ended && slot.asleep <= self.operations
    }

    fn pass_turn(&mut self, from: usize) {
        let can = |slot: &usize| self.awake(*slot) && self.slots[*slot].idle.is_none();
        let able: Vec<usize> = (0..self.slots.len()).filter(can).collect();
        if able.contains(&from) && self.random.below(100) < self.odds.stays {
            return;
        }
        let next = match able.is_empty() {
            false => Some(self.random.pick(&able)),
            true => (0..self.slots.len())
                .filter(|slot| !self.slots[*slot].ended)
                .min_by_key(|slot| self.slots[*slot].asleep),
        };
        self.turn = next.unwrap_or(self.turn);
    }
}

pub(super) struct World {
    history: Mutex<History>,
    turns: Vec<Condvar>,
    pub(super) kafka: FakeKafka,
    pub(super) objects: MemoryStore,
    pub(super) started: Mutex<Vec<std::thread::JoinHandle<()>>>,
}

thread_local! {
    /// The slot of this thread.
    static SLOT: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn set_slot(slot: usize) {
    SLOT.set(slot);
}

impl World {
    pub(super) fn new(mut random: Random, slots: usize, input: Input, twice: bool, is_traced: bool) -> Arc<World> {
        let odds = Odds::of(&mut random, twice);
        let slots_of = (0..slots).map(|slot| Slot { asleep: slot as u64 * random.below(300), ..Slot::default() });
        let slots_of: Vec<Slot> = slots_of.collect();
        let calm_from = 60 + random.below(450);
        let history = History {
            random,
            odds,
            turn: 0,
            over: false,
            slots: slots_of,
            operations: 0,
            calm_from,
            trace: is_traced.then(Vec::new),
            failure: None,
            seen: Seen::default(),
            runs: 0,
            input,
        };
        let world = Arc::new(World {
            history: Mutex::new(history),
            turns: (0..slots).map(|_| Condvar::new()).collect(),
            kafka: FakeKafka::new(),
            objects: MemoryStore::new(),
            started: Mutex::default(),
        });
        world.kafka.set_network(Arc::new(Wires(Arc::downgrade(&world))));
        world
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the history: what must be so is not.
    pub(super) fn fail(&self, why: String) {
        let mut history = self.lock();
        history.failure.get_or_insert(why);
        history.over = true;
        self.turns.iter().for_each(Condvar::notify_one);
    }

    fn wait_for_turn(&self, slot: usize) {
        let mut history = self.lock();
        while history.turn != slot && !history.over {
            history = self.turns[slot].wait(history).unwrap_or_else(PoisonError::into_inner);
        }
        if history.over {
            self.die(&mut history, slot);
        }
    }

    fn die(&self, history: &mut History, slot: usize) {
        history.slots[slot].dead = true;
        self.kafka.kill(&history.slots[slot].client);
    }

    /// Waits for the first turn of a slot.
    pub(super) fn enter(&self, slot: usize) {
        self.wait_for_turn(slot);
    }

    /// Lets the seed decide who does the next operation; returns when it is this slot. It may be dead then.
    pub(super) fn operation(&self, slot: usize, what: impl FnOnce() -> String) {
        {
            let mut history = self.lock();
            if history.over || history.slots[slot].dead {
                return;
            }
            history.operations += 1;
            if history.operations > OPERATIONS_MAX {
                drop(history);
                self.fail("it never ends".to_owned());
                return self.wait_for_turn(slot);
            }
            if history.happens(|odds| odds.sleeps) {
                let wakes = history.operations + 5 + history.random.below(200);
                history.slots[slot].asleep = wakes;
                history.note(|| format!("{slot} sleeps until {wakes}"));
            }
        }
        self.elsewhere();
        {
            let mut history = self.lock();
            history.pass_turn(slot);
            if history.turn != slot {
                self.turns[history.turn].notify_one();
            }
        }
        self.wait_for_turn(slot);
        let mut history = self.lock();
        if history.happens(|odds| odds.crashes) {
            history.note(|| format!("{slot} crashes before: {}", what()));
            history.seen.crashes += 1;
            self.die(&mut history, slot);
            return;
        }
        history.note(|| format!("{slot} {}", what()));
    }

    /// A slot has nothing to do before `due`.
    pub(super) fn idle(&self, slot: usize, due: Option<Duration>) {
        self.lock().slots[slot].idle = Some(due);
    }

    /// Somebody has worked, so others may have something to do.
    pub(super) fn worked(&self) {
        self.lock().slots.iter_mut().for_each(|slot| slot.idle = None);
    }

    /// What goes on besides the processes: records, requests and time are under way.
    fn elsewhere(&self) {
        let (nobody, arrives, appends, jump, lost) = {
            let mut history = self.lock();
            let nobody =
                (0..history.slots.len()).all(|slot| !history.awake(slot) || history.slots[slot].idle.is_some());
            let arrives = history.random.once_in(3);
            let appends = nobody || history.is_calm() || history.random.once_in(20);
            let jump = history.happens(|odds| odds.time_jumps);
            (nobody, arrives, appends, jump, history.happens(|odds| odds.records_lost))
        };
        if appends {
            let mut history = self.lock();
            let History { input, random, .. } = &mut *history;
            input.append(&self.kafka, random);
        }
        let underway = self.kafka.underway();
        if underway > 0 && (nobody || arrives) {
            let index = usize::try_from(self.lock().random.below(underway as u64)).unwrap_or(0);
            let what = if lost { self.kafka.lose(index) } else { self.kafka.deliver(index) };
            let mut history = self.lock();
            history.seen.lost_records += u64::from(lost);
            history.note(|| format!("  {} {}", if lost { "lost:" } else { "arrives:" }, what.unwrap_or("nothing")));
        } else if nobody {
            let history = self.lock();
            let now = self.kafka.clock().monotonic();
            let due = history.slots.iter().filter(|slot| !slot.ended).filter_map(|slot| slot.idle.flatten()).min();
            drop(history);
            let until = due.unwrap_or(now + Duration::from_secs(1)).max(now + Duration::from_millis(1));
            self.kafka.clock().advance((until - now).min(Duration::from_secs(10)));
        }
        if jump {
            let by = { self.lock().random.pick(&[1, 6, 40, 1900]) };
            self.kafka.clock().advance(Duration::from_secs(by));
            let mut history = self.lock();
            history.seen.jumps += 1;
            history.note(|| format!("  {by} s go by"));
        }
        if nobody {
            self.worked();
        }
    }

    /// A slot is over; somebody else goes on.
    pub(super) fn leave(&self, slot: usize) {
        let mut history = self.lock();
        history.slots[slot].ended = true;
        history.pass_turn(slot);
        self.turns[history.turn].notify_one();
    }

    pub(super) fn is_dead(&self, slot: usize) -> bool {
        let history = self.lock();
        history.over || history.slots[slot].dead
    }
}

/// The network of the cluster; it goes when the world does.
struct Wires(std::sync::Weak<World>);

impl Network for Wires {
    fn carry(&self, _client: &str, request: Request) -> Passage {
        let Some(world) = self.0.upgrade() else { return Passage::Good };
        let slot = SLOT.get();
        world.operation(slot, || format!("{request:?}"));
        let mut history = world.lock();
        if !history.happens(|odds| odds.request_fails) {
            return Passage::Good;
        }
        let twice = history.odds.twice;
        let passage = match request {
            Request::EndTransaction if twice => {
                history.random.pick(&[Passage::RequestLost, Passage::AnswerLost, Passage::Late, Passage::Twice])
            }
            Request::EndTransaction => history.random.pick(&[Passage::RequestLost, Passage::AnswerLost, Passage::Late]),
            _ => history.random.pick(&[Passage::RequestLost, Passage::AnswerLost]),
        };
        history.seen.request_faults += 1;
        history.seen.late_ends += u64::from(matches!(passage, Passage::Late | Passage::Twice));
        history.note(|| format!("  {passage:?}"));
        passage
    }

    fn writes_markers(&self) -> bool {
        self.0.upgrade().is_none_or(|world| !world.lock().happens(|odds| odds.late_markers))
    }

    fn holds_records(&self) -> bool {
        true
    }

    fn fetches(&self) -> usize {
        let Some(world) = self.0.upgrade() else { return usize::MAX };
        let fetches = world.lock().random.below(4);
        usize::try_from(fetches).unwrap_or(0)
    }
}

/// The store as one process sees it.
pub(super) struct Disk {
    pub(super) world: Arc<World>,
    pub(super) slot: usize,
}

fn unavailable(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the store does not answer: {why}"))
}

impl Disk {
    fn operation<R>(&self, what: &str, name: &str, serve: impl FnOnce(&MemoryStore) -> Result<R>) -> Result<R> {
        if self.world.is_dead(self.slot) {
            return Err(unavailable("its process is dead"));
        }
        self.world.operation(self.slot, || format!("{what} {name}"));
        if self.world.is_dead(self.slot) {
            return Err(unavailable("its process is dead"));
        }
        let fault = {
            let mut history = self.world.lock();
            let fault = history.happens(|odds| odds.store_fails).then(|| history.random.once_in(2));
            history.seen.store_faults += u64::from(fault.is_some());
            if let Some(done) = fault {
                history.note(|| format!("  fails, done: {done}"));
            }
            fault
        };
        match fault {
            None => serve(&self.world.objects),
            Some(false) => Err(unavailable("not done")),
            Some(true) => serve(&self.world.objects).and_then(|_| Err(unavailable("done"))),
        }
    }
}

impl CheckpointStore for Disk {
    fn create(&self, name: &str, content: &[bytes::Bytes]) -> Result<Creation> {
        self.operation("creates", name, |objects| objects.create(name, content))
    }

    fn read(&self, name: &str) -> Result<Option<bytes::Bytes>> {
        self.operation("reads", name, |objects| objects.read(name))
    }

    fn list(&self) -> Result<Vec<StoredObject>> {
        self.operation("lists", "", MemoryStore::list)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.operation("deletes", name, |objects| objects.delete(name))
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}
