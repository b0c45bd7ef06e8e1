//! Feeding and killing.

use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use stream_core::clock::{Clock, SystemClock};
use stream_core::{Error, ErrorKind, Result};
use stream_kafka::ProducerRecord;
use stream_testkit::KafkaFixture;

use crate::clusters::{Cluster, Clusters};
use crate::events::{Input, Oracle, partition, random};
use crate::faults::{Fault, Round, Tally};
use crate::instance::Instance;
use crate::job::SHORT_TRANSACTION;
use crate::written::{Records, Topics};
use crate::{Mode, Run, TAKEN_OVER, failed};

/// How many records are written at once, and how long it is to the next ones.
const CHUNK: u64 = 500;
const PAUSE: Duration = Duration::from_millis(100);

/// There is so much input at least, however few kills there are.
const LEAST: u64 = 5_000;

/// How long ago the input begins, in milliseconds: within Kafka's retention, and never in the future.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// The last instance has all the time it needs, but not for ever.
const LAST: Duration = Duration::from_secs(300);

/// How long two instances may go on beside each other.
const TWO: Duration = Duration::from_secs(20);

/// How long a pause is: beside the timeout, the broker looks for such transactions once in a second.
const LONG_PAUSE: Duration = SHORT_TRANSACTION.saturating_add(Duration::from_secs(3));

pub(crate) fn run(run: &Run) -> Result<()> {
    let clusters = Clusters::start(run)?;
    let kafka = clusters.main.kafka.clone();
    let temporary = tempfile::tempdir().map_err(failed("can't make a directory"))?;
    let dir = run.dir.as_deref().unwrap_or(temporary.path());
    let topics = Topics::create(&clusters);
    let input = Input { seed: run.seed, start: SystemClock::new().wall().as_millis() - DAY };
    let bug = if run.plant_bug { ", with a planted bug" } else { "" };
    println!("chaos: mode {}{bug}, {} kills, seed {}, in {}", run.mode, run.kills, run.seed, dir.display());

    let feeder = Feeder::start(kafka.clone(), topics.input.clone(), input);
    let mut chaos = Chaos { run, clusters: &clusters, topics: &topics, dir, started: 0, tally: Tally::default() };
    feeder.wait(CHUNK);
    let began = Instant::now();
    for number in 0..run.kills {
        let round = Round::of(run.seed, number, run.faults);
        let what = chaos.round(&round)?;
        println!("  {:>4}: {what}; {} records written", number + 1, feeder.written());
    }
    let count = feeder.stop()?;
    chaos.last()?;
    println!("  the rest is done after {:.0?}; auditing {count} records", began.elapsed());
    // What was written to the input is what the audit believes to be there.
    let written: i64 = kafka.counts(&topics.input).iter().sum();
    if written != count.cast_signed() {
        return Err(Error::new(ErrorKind::Internal, format!("the input holds {written} records, not {count}")));
    }
    let oracle = Oracle::of(input, count);
    let records = match run.mode {
        Mode::ExactlyOnce => Records::committed(&clusters, &topics, dir)?,
        Mode::AtLeastOnce => Records::all(&clusters, &topics),
    };
    records.audit(run.mode, &topics, dir, &oracle)?;
    println!("{}", verdict(run, &chaos.tally, &oracle, records.repeats(&oracle)));
    Ok(())
}

/// What was done and what was found.
fn verdict(run: &Run, tally: &Tally, oracle: &Oracle, repeats: usize) -> String {
    let kafka = match run.mode {
        Mode::ExactlyOnce => {
            "in Kafka, as its own consumer reads them when they are committed, each once, counts in the order of their keys".to_owned()
        }
        Mode::AtLeastOnce => format!("in Kafka nothing lost, {repeats} repeats"),
    };
    format!(
        "chaos: ok. {tally}; mode {}, {} records, {} of them bad; counts, {} windows and dead letters: {kafka}; in files \
         counts and windows each once; seed {}",
        run.mode,
        oracle.records,
        oracle.bad.len(),
        oracle.windows.len(),
        run.seed
    )
}

/// Writes the input until it is told to stop; never half a chunk.
struct Feeder {
    stop: Arc<AtomicBool>,
    fed: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Feeder {
    fn start(kafka: Arc<KafkaFixture>, topic: String, input: Input) -> Feeder {
        let (stop, fed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, written) = (stop.clone(), fed.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let from = written.load(Ordering::Relaxed);
                kafka.fill(&topic, CHUNK, move |i, out: &mut ProducerRecord| {
                    out.set_value(input.line(from + i));
                    out.set_partition(partition(from + i));
                });
                written.store(from + CHUNK, Ordering::Relaxed);
                std::thread::sleep(PAUSE);
            }
        });
        Feeder { stop, fed, thread }
    }

    fn written(&self) -> u64 {
        self.fed.load(Ordering::Relaxed)
    }

    /// Waits until there is so much, or nothing more will come.
    fn wait(&self, count: u64) {
        while self.written() < count && !self.thread.is_finished() {
            std::thread::sleep(PAUSE);
        }
    }

    /// Returns how many records there are.
    fn stop(self) -> Result<u64> {
        self.wait(LEAST);
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| Error::new(ErrorKind::Unavailable, "the input could not be written"))?;
        Ok(self.fed.load(Ordering::Relaxed))
    }
}

/// One run: what it takes to start the job and to do something to it.
struct Chaos<'a> {
    run: &'a Run,
    clusters: &'a Clusters,
    topics: &'a Topics,
    dir: &'a Path,
    /// How many instances were started.
    started: u32,
    tally: Tally,
}

impl Chaos<'_> {
    /// Lets the job live, does to it what the round says, kills it. Returns what has happened.
    fn round(&mut self, round: &Round) -> Result<String> {
        let mut job = self.start(round.parallelism, round.restarts, false)?;
        Self::live(&mut job, round.life)?;
        let head = format!("after {:>7.1?} at parallelism {}", round.life, round.parallelism);
        let fault = match &round.fault {
            Fault::Kill => None,
            Fault::Broker { down, second, job_too } => {
                let cluster = self.clusters.of_crash(*second);
                Some(self.crash_broker(&mut job, round, cluster, *down, *job_too)?)
            }
            Fault::SecondDown(down) => Some(self.second_down(&mut job, round, *down)?),
            Fault::Zombie { nap, parallelism } => {
                let (survivor, what) = self.zombie(job, round, *nap, *parallelism)?;
                job = survivor;
                Some(what)
            }
            Fault::Pause { frozen } => Some(self.pause(&mut job, round, *frozen)?),
        };
        if job.ended()?.is_none() {
            job.kill()?;
            self.tally.kills += 1;
        }
        self.tally.restarted += job.restarts();
        Ok(fault.map_or_else(|| format!("killed {head}"), |fault| format!("{fault}, {head}")))
    }

    /// The last instance reads the rest and ends well.
    fn last(&mut self) -> Result<()> {
        let parallelism = random(self.run.seed, u64::MAX) % 3 + 1;
        let mut job = self.start(parallelism, true, true)?;
        let status = job.wait(LAST)?;
        self.tally.restarted += job.restarts();
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(job.error(format!("is the last one and ended with {status}"))),
            None => Err(job.error("is the last one and did not end")),
        }
    }

    fn start(&mut self, parallelism: u64, restarts: bool, bounded: bool) -> Result<Instance> {
        let Topics { input, counts, windows, dead_letters } = self.topics;
        let exactly_once = self.run.mode == Mode::ExactlyOnce && !self.run.plant_bug;
        let semantic = if exactly_once { "EXACTLY_ONCE" } else { "AT_LEAST_ONCE" };
        let (dir, parallelism) = (self.dir.display().to_string(), parallelism.to_string());
        let mut arguments: Vec<String> = [
            ("bootstrap", self.clusters.main.bootstrap()),
            ("windows-bootstrap", self.clusters.of_windows().bootstrap()),
            ("input", input),
            ("counts", counts),
            ("windows", windows),
            ("dead-letters", dead_letters),
            ("dir", &dir),
            ("parallelism", &parallelism),
            ("semantic", semantic),
        ]
        .into_iter()
        .flat_map(|(name, value)| [format!("--{name}"), value.to_owned()])
        .collect();
        for (name, set) in [
            ("bounded", bounded),
            ("eager-files", self.run.plant_bug && self.run.mode == Mode::AtLeastOnce),
            ("short-transactions", exactly_once && self.run.faults.pauses),
            ("no-restarts", !restarts),
        ] {
            arguments.extend(set.then(|| format!("--{name}")));
        }
        self.started += 1;
        Instance::start(&arguments, self.dir, &format!("instance-{}", self.started))
    }

    /// An instance that nothing was done to does not end.
    fn live(job: &mut Instance, time: Duration) -> Result<()> {
        match job.wait(time)? {
            Some(status) => Err(job.error(format!("ended by itself ({status})"))),
            None => Ok(()),
        }
    }

    fn crash_broker(
        &mut self,
        job: &mut Instance,
        round: &Round,
        cluster: &Cluster,
        down: Duration,
        job_too: bool,
    ) -> Result<String> {
        let (broker, victim) = (cluster.broker()?, cluster.victim(self.tally.brokers));
        let name = victim.map_or("broker".to_owned(), |victim| format!("broker {victim}"));
        broker.crash(victim)?;
        self.tally.brokers += 1;
        std::thread::sleep(down);
        if job_too && job.ended()?.is_none() {
            job.kill()?;
            self.tally.kills += 1;
        }
        broker.start()?;
        if job_too {
            return Ok(format!("{name} down for {down:.1?} and more, job killed meanwhile"));
        }
        let end = self.live_with_a_fault(job, round)?;
        Ok(format!("{name} down for {down:.1?} and more, {end}"))
    }

    /// The second cluster goes away under the running job, which has to say what it waits for, and to go on.
    fn second_down(&mut self, job: &mut Instance, round: &Round, down: Duration) -> Result<String> {
        let broker = self.clusters.of_windows().broker()?;
        broker.crash(None)?;
        Self::live(job, down)?;
        broker.start()?;
        if !job.has_said(self.clusters.of_windows().bootstrap()) {
            return Err(job.error("has not said that it waits for the second cluster"));
        }
        Self::live(job, round.after)?;
        self.tally.second_down += 1;
        Ok(format!("second cluster down for {down:.0?} and more, killed"))
    }

    fn pause(&mut self, job: &mut Instance, round: &Round, frozen: bool) -> Result<String> {
        if frozen {
            self.tally.frozen += 1;
            job.freeze()?;
            std::thread::sleep(LONG_PAUSE);
            job.wake()?;
            let end = self.live_with_a_fault(job, round)?;
            return Ok(format!("frozen for {LONG_PAUSE:.0?}, {end}"));
        }
        self.tally.down += 1;
        job.kill()?;
        self.tally.kills += 1;
        std::thread::sleep(LONG_PAUSE);
        Ok(format!("killed and down for {LONG_PAUSE:.0?}"))
    }

    /// Without restarts a fault may end the job, but never for the reason that another instance has taken over.
    fn live_with_a_fault(&mut self, job: &mut Instance, round: &Round) -> Result<String> {
        let Some(status) = job.wait(round.after)? else { return Ok("killed".to_owned()) };
        if round.restarts || status.code() != Some(1) {
            return Err(job.error(format!("was ended by a fault ({status})")));
        }
        self.tally.ended += 1;
        Ok("job ended".to_owned())
    }

    /// Freezes the job and starts another instance. Once the first one is awake again, one of the two has to give way.
    /// Returns the other.
    fn zombie(
        &mut self,
        first: Instance,
        round: &Round,
        nap: Duration,
        parallelism: u64,
    ) -> Result<(Instance, String)> {
        self.tally.zombies += 1;
        first.freeze()?;
        let mut two = [first, self.start(parallelism, true, false)?];
        Self::live(&mut two[1], nap)?;
        two[0].wake()?;
        let woken = Instant::now();
        let ended = loop {
            let ended = [two[0].ended()?, two[1].ended()?];
            if ended != [None, None] || woken.elapsed() > TWO {
                break ended;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let [mut first, second] = two;
        let (gone, mut left, what) = match ended {
            [Some(status), None] => (first, second, gave_way("zombie", status, woken)),
            // It was frozen before it had taken its place, and takes that of the second one.
            [None, Some(status)] => (second, first, gave_way("instance after the zombie", status, woken)),
            [None, None] => {
                first.kill()?;
                self.tally.kills += 1;
                (first, second, Ok("zombie killed".to_owned()))
            }
            [Some(one), Some(other)] => {
                return Err(
                    first.error(format!("is a zombie, and both it and its successor have ended: {one}, {other}"))
                );
            }
        };
        let what = what.map_err(|what| gone.error(what))?;
        self.tally.gave_way += u32::from(ended != [None, None]);
        self.tally.restarted += gone.restarts();
        Self::live(&mut left, round.after)?;
        Ok((left, format!("{what} after a nap of {nap:.1?}")))
    }
}

/// Who has been taken over from says so by its exit code.
fn gave_way(who: &str, status: ExitStatus, woken: Instant) -> Result<String, String> {
    match status.code() {
        Some(code) if code == i32::from(TAKEN_OVER) => Ok(format!("{who} gave way in {:.1?}", woken.elapsed())),
        _ => Err(format!("is the {who} and ended with {status}, not with code {TAKEN_OVER}")),
    }
}
