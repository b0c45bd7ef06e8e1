//! Several runs of one job over one store, stopped between any two operations on it, under ten thousand seeds.
//!
//! Every run is a thread that drives a real [`Ledger`], and only one of them moves at a time: before each operation the
//! seed decides who goes on. So a run can sleep between any two operations while others take the store over, write and
//! delete, and wake up again as a zombie; it can be stopped there for ever, and an operation can fail before or after it
//! was done.
//!
//! Objects never change, so it is enough to look when one is created or deleted:
//!
//! 1. Whoever creates the newest manifest names bytes that are there and are those of the checkpoint it means.
//! 2. That checkpoint goes on from the one before it, or an adoption has gone back on purpose.
//! 3. Only the run that has adopted last creates one; the number was never used before.
//! 4. Nothing that such a manifest names is deleted as long as the manifest is there, and the newest never is.
//! 5. What sinks publish belongs to a checkpoint that counts, and no later run has thrown it away.
//!
//! A manifest below the newest is a *stray*: a run that woke up too late has created it under a number that was free
//! again. It counts for nobody, above all not for whoever has created it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::checkpoint::ledger::{From, Ledger, Restored, Writer, load};
use crate::checkpoint::manifest::{CommittedBy, Manifest};
use crate::checkpoint::store::{CheckpointStore, Creation, MemoryStore, StoredObject};
use crate::error::{Error, ErrorKind, Result};
use crate::operator::{Parts, Snapshot};
use crate::random::Random;
use crate::runtime::checkpoint::{Checkpoint, Kept};
use crate::source::SplitPosition;
use crate::testing::simulation::{Bug, with_bug};
use crate::{Timestamp, thread};

/// More operations than any history takes that ends at all.
const OPERATIONS_MAX: u64 = 10_000;

const GROUPS: u32 = 3;

/// Keyed state: by key group, by key.
type State = BTreeMap<u32, BTreeMap<u8, u64>>;

/// What a checkpoint holds in truth.
#[derive(Clone, Default)]
struct Truth {
    parent: u64,
    generation: u64,
    state: State,
}

/// Everything that all runs share; the one whose turn it is may touch it.
struct World {
    history: Mutex<History>,
    /// One per run.
    turns: Vec<Condvar>,
    objects: MemoryStore,
}

struct History {
    random: Random,
    odds: Odds,
    turn: usize,
    over: bool,
    ended: Vec<bool>,
    /// Until which operation a run sleeps.
    asleep: Vec<u64>,
    operations: u64,
    /// None if nobody asks: writing it takes longer than the rest.
    trace: Option<Vec<String>>,
    failure: Option<String>,
    model: Model,
}

/// How likely things are, chosen by the seed.
struct Odds {
    /// In 100.
    stays: u64,
    /// One in that many.
    sleeps: u64,
    crashes: u64,
    fails: u64,
}

/// How often something happened that the histories are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    takeovers: u64,
    /// Runs that were told that they are over.
    fenced: u64,
    strays: u64,
    /// Manifests that were created by an operation that failed.
    in_doubt: u64,
    rewinds: u64,
}

/// What must be so.
#[derive(Default)]
struct Model {
    seen: Seen,
    /// By stamp; 0 is the beginning.
    truths: BTreeMap<u64, Truth>,
    existing: BTreeMap<u64, Existing>,
    used_numbers: BTreeSet<u64>,
    owner: Option<usize>,
    adopting: BTreeSet<usize>,
    /// The stamp of the newest checkpoint, and its line of history.
    tip: u64,
    lineage: u64,
    /// Stamps of checkpoints that count, or did before somebody went back.
    counted: BTreeSet<u64>,
    published: BTreeSet<u64>,
    discarded: BTreeSet<u64>,
    /// Stamps that somebody has gone back behind.
    went_back: BTreeSet<u64>,
}

struct Existing {
    is_stray: bool,
    files: BTreeSet<String>,
}

/// The payload that ends a run's thread where it stands.
struct Stopped;

fn stop() -> ! {
    // Nobody's hook is told: it is no failure.
    resume_unwind(Box::new(Stopped))
}

impl World {
    fn new(seed: u64, runs: usize, is_traced: bool) -> World {
        let mut random = Random::new(seed);
        let odds = Odds {
            stays: [20, 60, 85, 97][random.index(4)],
            sleeps: [8, 25, 100][random.index(3)],
            crashes: [30, 100, 1_000_000][random.index(3)],
            fails: [6, 25, 1_000_000][random.index(3)],
        };
        let asleep = (0..runs as u64).map(|run| run * random.below(30)).collect();
        let mut model = Model::default();
        model.truths.insert(0, Truth::default());
        let history = History {
            random,
            odds,
            turn: 0,
            over: false,
            ended: vec![false; runs],
            asleep,
            operations: 0,
            trace: is_traced.then(Vec::new),
            failure: None,
            model,
        };
        let turns = (0..runs).map(|_| Condvar::new()).collect();
        World { history: Mutex::new(history), turns, objects: MemoryStore::new() }
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_turn<'a>(&'a self, run: usize, mut history: MutexGuard<'a, History>) -> MutexGuard<'a, History> {
        while history.turn != run && !history.over {
            history = self.turns[run].wait(history).unwrap_or_else(PoisonError::into_inner);
        }
        if history.over {
            drop(history);
            stop();
        }
        history
    }

    /// Lets the seed decide who does the next operation; returns when it is this run.
    fn operation(&self, run: usize, what: &str, name: &str) -> MutexGuard<'_, History> {
        let mut history = self.lock();
        if history.happens(|odds| odds.sleeps) {
            let wakes = history.operations + 5 + history.random.below(150);
            history.asleep[run] = wakes;
        }
        history.pass_turn(Some(run));
        if history.turn != run {
            self.turns[history.turn].notify_one();
        }
        let mut history = self.wait_for_turn(run, history);
        history.operations += 1;
        if history.operations > OPERATIONS_MAX {
            self.fail(&mut history, "it never ends".to_owned());
        }
        if history.happens(|odds| odds.crashes) {
            history.note(|| format!("{run} crashes before {what} {name}"));
            drop(history);
            stop();
        }
        history.note(|| format!("{run} {what} {name}"));
        history
    }

    /// A run is over; somebody else goes on.
    fn leave(&self, run: usize) {
        let mut history = self.lock();
        history.ended[run] = true;
        history.pass_turn(None);
        self.turns[history.turn].notify_one();
    }

    /// Ends the history: what must be so is not.
    fn fail(&self, history: &mut History, why: String) {
        history.failure.get_or_insert(why);
        history.over = true;
        self.turns.iter().for_each(Condvar::notify_one);
    }

    /// Looks at what must be so; ends the history if it is not.
    fn check(&self, check: impl FnOnce(&mut Model) -> std::result::Result<(), String>) {
        let mut history = self.lock();
        if let Err(why) = check(&mut history.model) {
            self.fail(&mut history, why);
            drop(history);
            stop();
        }
    }
}

impl History {
    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    fn happens(&mut self, odds: fn(&Odds) -> u64) -> bool {
        let odds = odds(&self.odds);
        self.random.below(odds) == 0
    }

    fn pass_turn(&mut self, from: Option<usize>) {
        let is_awake = |run: usize| !self.ended[run] && self.asleep[run] <= self.operations;
        if let Some(run) = from
            && is_awake(run)
            && self.random.below(100) < self.odds.stays
        {
            return;
        }
        let awake: Vec<usize> = (0..self.ended.len()).filter(|run| is_awake(*run)).collect();
        let next = match awake.is_empty() {
            false => Some(awake[self.random.index(awake.len())]),
            true => (0..self.ended.len()).filter(|run| !self.ended[*run]).min_by_key(|run| self.asleep[*run]),
        };
        self.turn = next.unwrap_or(self.turn);
    }

    /// Whether the operation under way is to fail, and whether it is done all the same.
    fn fault(&mut self) -> Option<bool> {
        self.happens(|odds| odds.fails).then(|| self.random.below(2) == 0)
    }
}

/// The store as one run sees it.
struct Shared {
    world: Arc<World>,
    run: usize,
}

fn unavailable() -> Error {
    Error::new(ErrorKind::Unavailable, "the store does not answer")
}

impl CheckpointStore for Shared {
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation> {
        let mut history = self.world.operation(self.run, "creates", name);
        let fault = history.fault();
        if fault == Some(false) {
            history.note(|| "  fails, not done".to_owned());
            return Err(unavailable());
        }
        let created = self.world.objects.create(name, content)?;
        let is_manifest = Manifest::sequence_of(name).is_some();
        history.model.seen.in_doubt += u64::from(is_manifest && created == Creation::Created && fault.is_some());
        if created == Creation::Created
            && let Err(why) = history.model.created(self.run, name, &self.world.objects)
        {
            self.world.fail(&mut history, why);
        }
        history.note(|| format!("  {created:?}, fault {fault:?}"));
        fault.map_or(Ok(created), |_| Err(unavailable()))
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>> {
        let mut history = self.world.operation(self.run, "reads", name);
        history.fault().map_or_else(|| self.world.objects.read(name), |_| Err(unavailable()))
    }

    fn list(&self) -> Result<Vec<StoredObject>> {
        let mut history = self.world.operation(self.run, "lists", "");
        history.fault().map_or_else(|| self.world.objects.list(), |_| Err(unavailable()))
    }

    fn delete(&self, name: &str) -> Result<()> {
        let mut history = self.world.operation(self.run, "deletes", name);
        let fault = history.fault();
        if fault != Some(false) {
            if let Err(why) = history.model.deleted(self.run, name) {
                self.world.fail(&mut history, why);
            }
            self.world.objects.delete(name)?;
        }
        fault.map_or(Ok(()), |_| Err(unavailable()))
    }

    fn location(&self) -> String {
        "memory".to_owned()
    }
}

impl Model {
    fn newest(&self) -> u64 {
        self.existing.last_key_value().map_or(0, |(sequence, _)| *sequence)
    }

    fn created(&mut self, run: usize, name: &str, objects: &MemoryStore) -> std::result::Result<(), String> {
        let Some(sequence) = Manifest::sequence_of(name) else { return Ok(()) };
        let object = objects.read(name).ok().flatten().unwrap_or_default();
        let manifest = Manifest::decode(name, &object).map_err(|error| error.to_string())?;
        let is_stray = sequence < self.newest();
        let files = manifest.files.iter().map(|file| file.name.clone()).collect();
        self.existing.insert(sequence, Existing { is_stray, files });
        if is_stray {
            self.seen.strays += 1;
            return Ok(());
        }
        if !self.used_numbers.insert(sequence) {
            return Err(format!("number {sequence} is used twice"));
        }
        let checkpoint = load(objects, &manifest).map_err(|error| format!("the newest is not whole: {error}"))?;
        let stamp = self.verify(&checkpoint)?;
        if self.adopting.contains(&run) {
            self.seen.takeovers += u64::from(self.owner.is_some_and(|owner| owner != run));
            self.owner = Some(run);
            if manifest.lineage > self.lineage {
                self.seen.rewinds += 1;
                self.went_back.extend(self.counted.iter().filter(|counted| **counted != stamp));
                (self.tip, self.lineage) = (stamp, manifest.lineage);
            }
        }
        if self.owner != Some(run) {
            return Err(format!("run {run} writes {name}, but {:?} has taken over", self.owner));
        }
        let staged: BTreeSet<u64> = stamps(&checkpoint.staged).into_iter().collect();
        let mut at = stamp;
        while at != self.tip {
            if at == 0 {
                return Err(format!("{name} has {stamp:x}, which does not go on from the newest, {:x}", self.tip));
            }
            if !staged.contains(&at) {
                return Err(format!("{name} does not publish {at:x}"));
            }
            self.counted.insert(at);
            at = self.truths[&at].parent;
        }
        self.tip = stamp;
        Ok(())
    }

    /// The stamp of a checkpoint whose state is what it was.
    fn verify(&self, checkpoint: &Checkpoint) -> std::result::Result<u64, String> {
        let (stamp, state) = decode(checkpoint);
        match self.truths.get(&stamp) {
            Some(truth) if truth.state == state => Ok(stamp),
            Some(truth) => Err(format!("checkpoint {stamp:x} holds {state:?}, it was written as {:?}", truth.state)),
            None => Err(format!("nobody has written {stamp:x}")),
        }
    }

    fn deleted(&mut self, run: usize, name: &str) -> std::result::Result<(), String> {
        if let Some(sequence) = Manifest::sequence_of(name) {
            if sequence == self.newest() {
                return Err(format!("run {run} deletes the newest, {name}"));
            }
            self.existing.remove(&sequence);
            return Ok(());
        }
        let user = self.existing.iter().find(|(_, existing)| !existing.is_stray && existing.files.contains(name));
        user.map_or(Ok(()), |(sequence, _)| Err(format!("run {run} deletes {name}, which manifest {sequence} needs")))
    }

    /// Sinks publish what a checkpoint that counts has put aside.
    fn publish(&mut self, run: usize, staged: &BTreeMap<String, Vec<Vec<u8>>>) -> std::result::Result<(), String> {
        for stamp in stamps(staged) {
            if !self.counted.contains(&stamp) {
                return Err(format!("run {run} publishes {stamp:x}, which does not count"));
            }
            // Whoever goes back behind a checkpoint throws away what it had not published; coming back to it is a choice.
            if self.published.insert(stamp) && self.discarded.contains(&stamp) && !self.went_back.contains(&stamp) {
                return Err(format!("run {run} publishes {stamp:x}, which was thrown away"));
            }
        }
        Ok(())
    }

    /// A run begins, or begins again: it publishes what it goes on from and throws away what else was put aside.
    fn begin(&mut self, run: usize, restored: &Restored) -> std::result::Result<u64, String> {
        let Some(checkpoint) = &restored.checkpoint else { return Ok(0) };
        let stamp = self.verify(checkpoint)?;
        self.publish(run, &checkpoint.staged)?;
        Ok(stamp)
    }

    /// What earlier runs have put aside is thrown away; a run that began later has a higher generation.
    fn discard(&mut self, generation: u64) {
        let old = self.truths.iter().filter(|(_, truth)| truth.generation <= generation).map(|(stamp, _)| *stamp);
        self.discarded.extend(old.filter(|stamp| !self.published.contains(stamp)));
    }
}

fn stamps(staged: &BTreeMap<String, Vec<Vec<u8>>>) -> Vec<u64> {
    let all = staged.values().flatten();
    all.map(|bytes| bytes.as_slice().try_into().map(u64::from_le_bytes).unwrap_or_default()).collect()
}

fn decode(checkpoint: &Checkpoint) -> (u64, State) {
    let mut state = State::new();
    let Some(Kept::State(snapshot)) = checkpoint.operators.get("op").and_then(|subtasks| subtasks.get(&0)) else {
        return (0, state);
    };
    for ((_, group), parts) in snapshot.groups() {
        let keys = state.entry(*group).or_default();
        for pair in parts.parts.iter().flat_map(|part| part.chunks_exact(9)) {
            keys.insert(pair[0], u64::from_le_bytes(pair[1..].try_into().expect("eight bytes")));
        }
    }
    let stamp = snapshot.get("stamp").and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes);
    (stamp, state)
}

/// One run of the job: what it holds in memory.
struct Run {
    world: Arc<World>,
    run: usize,
    random: Random,
    generation: u64,
    epoch: u64,
    stamp: u64,
    stamps: u64,
    state: State,
}

impl Run {
    /// Works off records, and returns the checkpoint behind them.
    fn checkpoint(&mut self) -> Checkpoint {
        self.stamps += 1;
        let stamp = ((self.run as u64 + 1) << 32) + self.stamps;
        let mut groups = BTreeMap::new();
        for group in 0..GROUPS {
            let keys = self.state.entry(group).or_default();
            let mut changed = BTreeMap::new();
            for _ in 0..self.random.below(3) {
                changed.insert(self.random.below(4) as u8, stamp);
            }
            keys.extend(changed.clone());
            let whole = self.random.below(4) == 0 || self.epoch == 0;
            let part: Vec<u8> = match whole {
                true => keys.iter().flat_map(pair).collect(),
                false => changed.iter().flat_map(pair).collect(),
            };
            let parts = if part.is_empty() && !whole { Vec::new() } else { vec![part.into()] };
            groups.insert(("m".to_owned(), group), Parts { whole, parts });
        }
        let entries = [("stamp".to_owned(), Bytes::copy_from_slice(&stamp.to_le_bytes()))].into();
        let truth = Truth { parent: self.stamp, generation: self.generation, state: self.state.clone() };
        self.world.lock().model.truths.insert(stamp, truth);
        (self.epoch, self.stamp) = (self.epoch + 1, stamp);
        Checkpoint {
            epoch: self.epoch,
            positions: [("src".to_owned(), vec![SplitPosition::new("s", stamp as i64)])].into(),
            operators: [(
                "op".to_owned(),
                [(0, Kept::State(Snapshot::from_parts(entries, BTreeMap::new(), groups, BTreeMap::new())))].into(),
            )]
            .into(),
            parallelism: [("op".to_owned(), 1)].into(),
            staged: [("sink".to_owned(), vec![stamp.to_le_bytes().to_vec()])].into(),
        }
    }

    /// Goes on from what was restored.
    fn begin(&mut self, restored: &Restored, generation: u64) {
        self.generation = generation;
        self.world.check(|model| {
            self.stamp = model.begin(self.run, restored)?;
            model.discard(generation);
            Ok(())
        });
        self.epoch = restored.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.epoch);
        self.state = restored.checkpoint.as_ref().map(|checkpoint| decode(checkpoint).1).unwrap_or_default();
        (0..GROUPS).for_each(|group| {
            self.state.entry(group).or_default();
        });
    }

    fn adopt(&mut self) -> Option<Ledger> {
        let store = Arc::new(Shared { world: self.world.clone(), run: self.run });
        let writer = Writer {
            job: "j".to_owned(),
            incarnation: self.run.to_string(),
            attempt: 0,
            mode: CommittedBy::Own,
            lineage: 0,
            anew: false,
            max_parallelism: 8,
            retained: 1 + self.random.index(3),
            now: Timestamp::from_millis(0),
        };
        for _ in 0..3 {
            let from = match self.random.below(3) {
                0 => self.any_of_them().map_or(From::NewestStrictly, From::Sequence),
                _ => From::NewestStrictly,
            };
            self.world.lock().model.adopting.insert(self.run);
            let adopted = Ledger::adopt(store.clone(), &writer, from.clone(), |_| Ok(()));
            self.world.lock().model.adopting.remove(&self.run);
            match adopted {
                Ok((ledger, restored)) => {
                    let (run, sequence) = (self.run, ledger.newest().0);
                    self.world.check(|model| {
                        match model.owner == Some(run) && model.existing.get(&sequence).is_some_and(|e| !e.is_stray) {
                            true => Ok(()),
                            false => Err(format!("run {run} believes that it has adopted with {sequence}")),
                        }
                    });
                    self.begin(&restored, sequence);
                    return Some(ledger);
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                // What somebody chose may be gone, or be a stray.
                Err(_) if from != From::NewestStrictly => {}
                Err(error) => self.world.check(|_| Err(format!("the newest can't be adopted: {error}"))),
            }
        }
        None
    }

    /// Who chooses a checkpoint chooses one that counts: a stray is whole at best.
    fn any_of_them(&mut self) -> Option<u64> {
        let history = self.world.lock();
        let counting = history.model.existing.iter().filter(|(_, existing)| !existing.is_stray);
        let there: Vec<u64> = counting.map(|(sequence, _)| *sequence).collect();
        drop(history);
        (!there.is_empty()).then(|| there[self.random.index(there.len())])
    }

    fn run(&mut self) {
        let Some(mut ledger) = self.adopt() else { return };
        for _ in 0..2 + self.random.below(8) {
            ledger.keep(self.checkpoint());
            let run = self.run;
            match ledger.write(Timestamp::from_millis(0)) {
                Ok(written) => {
                    self.world.check(|model| {
                        if model.existing.get(&written.sequence).is_some_and(|existing| existing.is_stray) {
                            return Err(format!("run {run} counts {}, which is below the newest", written.sequence));
                        }
                        model.publish(run, &written.staged)
                    });
                    ledger.delete_superseded();
                }
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    // The job goes on and tries again with its next checkpoint, or fails and is restarted.
                    if self.random.below(2) == 0 {
                        match ledger.reload() {
                            Ok(restored) => self.begin(&restored, ledger.newest().0),
                            Err(error) if error.kind() == ErrorKind::Unavailable => return,
                            Err(error) => return self.ended(&error),
                        }
                    }
                }
                Err(error) => return self.ended(&error),
            }
        }
    }

    /// A run may end for one reason only.
    fn ended(&self, error: &Error) {
        self.world.check(|model| match error.kind() == ErrorKind::Fenced && model.owner != Some(self.run) {
            true => {
                model.seen.fenced += 1;
                Ok(())
            }
            false => Err(format!("run {} ends, and {:?} owns the store: {error}", self.run, model.owner)),
        });
    }
}

fn pair((key, value): (&u8, &u64)) -> [u8; 9] {
    let mut pair = [*key; 9];
    pair[1..].copy_from_slice(&value.to_le_bytes());
    pair
}

/// One history: what was wrong with it, and what happened.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    failure: Option<String>,
    trace: Vec<String>,
    seen: Seen,
}

fn history(seed: u64, bug: Option<Bug>, is_traced: bool) -> Outcome {
    let runs = 2 + (seed % 3) as usize;
    let world = Arc::new(World::new(seed, runs, is_traced));
    let threads = (0..runs).map(|run| {
        let world = world.clone();
        let body = move || {
            let ended = catch_unwind(AssertUnwindSafe(|| {
                drop(world.wait_for_turn(run, world.lock()));
                let random = Random::new(seed.wrapping_mul(31).wrapping_add(run as u64));
                let mut run = Run {
                    world: world.clone(),
                    run,
                    random,
                    generation: 0,
                    epoch: 0,
                    stamp: 0,
                    stamps: 0,
                    state: State::new(),
                };
                with_bug(bug, || run.run());
            }));
            if ended.is_err_and(|payload| !payload.is::<Stopped>()) {
                world.fail(&mut world.lock(), format!("run {run} panicked"));
            }
            world.leave(run);
        };
        thread::spawn("run", body).expect("a thread")
    });
    let threads: Vec<_> = threads.collect();
    for thread in threads {
        thread.join().expect("a thread that catches its panics");
    }
    let mut history = world.lock();
    let failure = history.failure.take().or_else(|| last_run(&history.model, &world.objects).err());
    Outcome { failure, trace: history.trace.take().unwrap_or_default(), seen: history.model.seen }
}

/// When everybody else is dead and nothing fails any more, the job goes on from the newest, and nothing is left over.
fn last_run(model: &Model, objects: &MemoryStore) -> std::result::Result<(), String> {
    let writer = Writer {
        job: "j".to_owned(),
        incarnation: "last".to_owned(),
        attempt: 0,
        mode: CommittedBy::Own,
        lineage: 0,
        anew: false,
        max_parallelism: 8,
        retained: 1,
        now: Timestamp::from_millis(0),
    };
    let adopted = Ledger::adopt(Arc::new(objects.clone()), &writer, From::NewestStrictly, |_| Ok(()));
    let (mut ledger, restored) = adopted.map_err(|error| format!("the last run can't adopt: {error}"))?;
    let stamp = restored.checkpoint.as_deref().map_or(Ok(0), |checkpoint| model.verify(checkpoint))?;
    if stamp != model.tip {
        return Err(format!("the last run goes on from {stamp:x}, the newest is {:x}", model.tip));
    }
    ledger.delete_superseded();
    let names: Vec<String> = objects.list().map_err(|e| e.to_string())?.into_iter().map(|object| object.name).collect();
    let name = Manifest::name_of(ledger.newest().0);
    let object = objects.read(&name).ok().flatten().unwrap_or_default();
    let mut expected: Vec<String> =
        Manifest::decode(&name, &object).map_err(|e| e.to_string())?.files.into_iter().map(|file| file.name).collect();
    expected.push(name);
    expected.sort_unstable();
    (names == expected).then_some(()).ok_or_else(|| format!("left over: {names:?}, needed: {expected:?}"))
}

/// The first of the seeds whose history is wrong, with the end of its trace.
fn first_failure(seeds: std::ops::Range<u64>, bug: Option<Bug>) -> Option<String> {
    let seed = seeds.into_iter().find(|seed| history(*seed, bug, false).failure.is_some())?;
    let Outcome { failure, trace, .. } = history(seed, bug, true);
    let why = failure.unwrap_or_else(|| "another history with a trace".to_owned());
    Some(format!("seed {seed}: {why}\n{}", trace[trace.len().saturating_sub(80)..].join("\n")))
}

// Ten thousand in two halves, which run beside each other.

#[test]
fn five_thousand_histories_damage_no_checkpoint_that_counts() {
    let failure = first_failure(0..5_000, None);
    assert!(failure.is_none(), "{}", failure.unwrap_or_default());
}

#[test]
fn five_thousand_other_histories_damage_no_checkpoint_that_counts() {
    let failure = first_failure(5_000..10_000, None);
    assert!(failure.is_none(), "{}", failure.unwrap_or_default());
}

#[test]
fn the_histories_have_what_they_are_for() {
    let seen: Vec<Seen> = (0..300).map(|seed| history(seed, None, false).seen).collect();
    let with = |what: fn(&Seen) -> u64| seen.iter().filter(|seen| what(seen) > 0).count();
    let counts =
        [with(|s| s.takeovers), with(|s| s.fenced), with(|s| s.strays), with(|s| s.in_doubt), with(|s| s.rewinds)];
    assert!(counts.iter().all(|count| *count > 10), "takeovers, fenced, strays, in doubt, rewinds: {counts:?}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..100 {
        assert_eq!(history(seed, None, true), history(seed, None, true), "seed {seed}");
    }
}

#[test]
fn planted_bugs_are_found() {
    let bugs = [
        Bug::OrphansListedLate,
        Bug::AdoptedWithoutCopy,
        Bug::NumbersUsedAgain,
        Bug::DataNamedAgain,
        Bug::DoubtForgotten,
    ];
    for bug in bugs {
        assert!(first_failure(0..10_000, Some(bug)).is_some(), "{bug:?} was not found");
    }
}
