//! A job that copies numbers from one topic to others, in the hands of a test: it takes checkpoints when it is told to,
//! and stops for good at the points where a crash is worst.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::TopicPartitionList;
use stream_core::checkpoint::{CheckpointStore, Creation, Manifest, MemoryStore, StoredObject};
use stream_core::clock::{Clock, SystemClock};
use stream_core::thread::{Waker, spawn};
use stream_core::{DataStream, Error, JobHandle, JobReport, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource, ProducerRecord};
use stream_testkit::{KafkaFixture, wait_until};

use super::{LIMIT, context, ended, sorted_numbers};

/// A decided transaction shows earlier than this, and long before one that waits for its timeout.
const LATE: Duration = Duration::from_secs(10);

/// How many partitions the topic has that is copied.
pub(crate) const PARTITIONS: u64 = 3;

/// How one run of the job is set up.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) parallelism: usize,
    pub(crate) semantic: &'static str,
    /// `commit.epoch-bump`; none where there are no transactions.
    pub(crate) bump: &'static str,
    /// By default so long that checkpoints are taken on demand only.
    pub(crate) interval: &'static str,
    /// Whether sinks are behind an exchange instead of in the chain of the source.
    pub(crate) apart: bool,
    /// Whether the job ends when everything is copied.
    pub(crate) bounded: bool,
    /// The number at which the job fails, the first time it meets it.
    pub(crate) fails_at: Option<u64>,
    /// How often it may be restarted.
    pub(crate) restarts: u32,
    /// Other lines of the configuration: of the job, of the sink.
    pub(crate) job: String,
    pub(crate) sink: String,
    /// In place of the fixture's.
    pub(crate) servers: Option<String>,
    pub(crate) restore_from: Option<u64>,
    pub(crate) rewind: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            parallelism: 1,
            semantic: "EXACTLY_ONCE",
            bump: "on_disturbance",
            interval: "5 min",
            apart: false,
            bounded: false,
            fails_at: None,
            restarts: 0,
            job: String::new(),
            sink: String::new(),
            servers: None,
            restore_from: None,
            rewind: false,
        }
    }
}

/// With this parallelism, and otherwise as usual.
pub(crate) fn at(parallelism: usize) -> Setup {
    Setup { parallelism, ..Setup::default() }
}

/// Exactly-once with a producer epoch per commit and without, in one chain and behind an exchange.
pub(crate) fn every_shape() -> [Setup; 2] {
    let kept = Setup { bump: "on_disturbance", apart: false, ..at(2) };
    [kept, Setup { bump: "always", apart: true, ..at(2) }]
}

/// The job, and what outlives its runs.
#[derive(Clone)]
pub(crate) struct Copy<'a> {
    pub(crate) kafka: &'a KafkaFixture,
    pub(crate) name: String,
    pub(crate) application: String,
    pub(crate) objects: MemoryStore,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
}

impl<'a> Copy<'a> {
    pub(crate) fn new(kafka: &'a KafkaFixture, name: &str) -> Copy<'a> {
        Copy::to(kafka, name, &[2])
    }

    /// Into topics with so many partitions.
    pub(crate) fn to(kafka: &'a KafkaFixture, name: &str, partitions: &[i32]) -> Copy<'a> {
        let from = kafka.topic(&format!("{name}-from"), i32::try_from(PARTITIONS).expect("small"));
        let to = partitions.iter().enumerate().map(|(i, count)| kafka.topic(&format!("{name}-to-{i}"), *count));
        let (name, to) = (name.to_owned(), to.collect());
        Copy { kafka, name, application: kafka.group(), objects: MemoryStore::new(), from, to }
    }

    /// Writes these numbers into the topic that is copied.
    pub(crate) fn write(&self, numbers: Range<u64>) {
        let first = numbers.start;
        self.kafka.fill(&self.from, numbers.end - first, move |i, out: &mut ProducerRecord| {
            out.set_value((first + i).to_string());
            out.set_partition(i32::try_from((first + i) % PARTITIONS).expect("small"));
        });
    }

    /// The transactional id of the job, which is the name of the group with its marker, too.
    pub(crate) fn id(&self) -> String {
        let Copy { application, name, .. } = self;
        format!("stream-rs/{}:{application}/{}:{name}", application.len(), name.len())
    }

    /// The group with the positions.
    pub(crate) fn group(&self) -> String {
        format!("{}-{}", self.kafka.group(), self.name)
    }

    /// A context set up like this, and the run's own way into the store.
    pub(crate) fn context(&self, setup: &Setup) -> (StreamingContext, Arc<Gate>) {
        let servers = setup.servers.as_deref().unwrap_or(self.kafka.bootstrap());
        let Setup { semantic, interval, job, sink, restarts, .. } = setup;
        let (Copy { application, from, .. }, group) = (self, self.group());
        let bump = match setup.bump {
            "" => String::new(),
            bump => format!("  commit.epoch-bump: {bump}\n"),
        };
        let application = match application.as_str() {
            "default" => String::new(),
            named => format!("application.id: {named}\n"),
        };
        let ctx = context(&format!(
            "{application}execution.checkpointing.interval: {interval}\n\
             restart-strategy.type: fixed-delay\nrestart-strategy.fixed-delay.attempts: {restarts}\n\
             restart-strategy.fixed-delay.delay: 10 ms\n{job}\
             kafka.source:\n  bootstrap.servers: {servers}\n  topic: {from}\n  group.id: {group}\n  auto.offset.reset: earliest\n\
             kafka.sink:\n  bootstrap.servers: {servers}\n  semantic: {semantic}\n{bump}{sink}"
        ));
        let gate = Arc::new(Gate::default());
        let store = GatedStore { objects: self.objects.clone(), gate: gate.clone() };
        let ctx = ctx.checkpoint_store(store).parallelism(setup.parallelism);
        let ctx = if let Some(sequence) = setup.restore_from { ctx.restore_from(sequence) } else { ctx };
        (if setup.rewind { ctx.rewind() } else { ctx }, gate)
    }

    /// Starts the job and waits for the checkpoint that comes soon after every start. Others come when they are asked
    /// for.
    #[track_caller]
    pub(crate) fn start(&self, setup: &Setup) -> Run {
        let run = self.launch(setup);
        run.checkpoint();
        run
    }

    /// Starts a job that dies in its first checkpoint.
    #[track_caller]
    pub(crate) fn start_dying(&self, setup: &Setup, point: Point) -> Dead {
        let (ctx, gate) = self.context(setup);
        // The first manifest says who has taken over.
        gate.close(point, 1);
        let run = self.run(ctx, gate, setup);
        run.dies()
    }

    /// Starts the job, and waits for nothing.
    #[track_caller]
    pub(crate) fn launch(&self, setup: &Setup) -> Run {
        let (ctx, gate) = self.context(setup);
        self.run(ctx, gate, setup)
    }

    #[track_caller]
    fn run(&self, ctx: StreamingContext, gate: Arc<Gate>, setup: &Setup) -> Run {
        let (numbers, seen) = self.numbers(&ctx, setup);
        let numbers = if setup.apart { numbers.rebalance() } else { numbers };
        for (i, to) in self.to.iter().enumerate() {
            KafkaSink::new(&ctx).topic(to).sink(numbers.clone()).uid(format!("sink-{i}"));
        }
        drop(numbers);
        Run { handle: ctx.start(&self.name).expect("a good plan"), seen, gate }
    }

    /// What is copied, as the run sees it.
    pub(crate) fn numbers(&self, ctx: &StreamingContext, setup: &Setup) -> (DataStream<String>, Seen) {
        let seen = Seen::default();
        let (seen_by_job, fails_at, failed) = (seen.clone(), setup.fails_at, Arc::new(AtomicBool::new(false)));
        let source = KafkaSource::<String>::new(ctx);
        let source = if setup.bounded { source.bounded() } else { source };
        let numbers = source.values().uid("source").map(move |line| {
            let number: u64 = line.parse().expect("a number");
            assert!(fails_at != Some(number) || failed.swap(true, Ordering::Relaxed), "fails at {number}");
            lock(&seen_by_job).insert(number);
            line
        });
        (numbers, seen)
    }

    /// A run to the end of what is there now; returns what it has read.
    #[track_caller]
    pub(crate) fn finish(&self, setup: &Setup) -> Vec<u64> {
        let run = self.launch(&Setup { bounded: true, ..setup.clone() });
        ended(&run.handle).expect("the job ends well");
        let seen = lock(&run.seen);
        seen.iter().copied().collect()
    }

    /// Lets runs that are set up like this follow one another. Each commits what the one before has left open, and dies
    /// with a transaction of its own; it wakes up when the next one has taken over. What is left is copied at the end.
    #[track_caller]
    pub(crate) fn chain(&self, setups: &[Setup]) {
        const STEP: u64 = 6;
        let mut open = Vec::new();
        let mut all = 0..0;
        for setup in setups {
            let run = self.start(setup);
            if !all.is_empty() {
                run.sees(all.end - STEP..all.end);
                run.checkpoint();
            }
            self.write(all.end..all.end + STEP);
            all.end += STEP;
            run.sees(all.end - STEP..all.end);
            open.push(run.dies_at(Point::Storing));
            if let [_, _] = open[..] {
                // It ends, and takes nothing with it.
                drop(open.remove(0));
            }
        }
        self.finish(setups.last().expect("a setup"));
        self.shows(all);
    }

    /// What a reader of committed records sees now in every topic; nothing if they differ.
    #[track_caller]
    pub(crate) fn committed(&self) -> Vec<u64> {
        let mut of_topics: Vec<_> = self.to.iter().map(|topic| self.committed_in(topic)).collect();
        let last = of_topics.pop().expect("a topic");
        // Topics of one transaction show it one after the other.
        if of_topics.iter().all(|numbers| *numbers == last) { last } else { Vec::new() }
    }

    /// Checks what a reader of committed records sees. The end of a transaction is decided a moment before it shows, so
    /// this waits for it.
    #[track_caller]
    pub(crate) fn shows(&self, numbers: impl IntoIterator<Item = u64>) {
        let expected: Vec<u64> = numbers.into_iter().collect();
        let clock = SystemClock::new();
        let mut committed = self.committed();
        while committed != expected && clock.monotonic() < LATE {
            Waker::new().park(Duration::from_millis(50));
            committed = self.committed();
        }
        assert_eq!(committed, expected);
    }

    pub(crate) fn committed_in(&self, topic: &str) -> Vec<u64> {
        sorted_numbers(self.kafka.read_committed(topic).into_iter().map(|record| record.value))
    }

    /// What is in the first topic, committed or not.
    pub(crate) fn written(&self) -> Vec<u64> {
        sorted_numbers(self.kafka.read(&self.to[0]).into_iter().map(|record| record.value))
    }

    /// Waits until a checkpoint has all of the input behind it: a job that has failed may have seen some of it before
    /// that only.
    #[track_caller]
    pub(crate) fn await_read(&self, run: &Run) {
        let is_read = || self.kafka.lag(&self.group(), &self.from).iter().all(|behind| *behind == 0);
        let is_over = || run.handle.is_finished();
        wait_until("all is read", LIMIT, || is_over() || run.handle.checkpoint().is_ok() && is_read());
    }

    /// Waits until this number is in the first topic, committed or not.
    #[track_caller]
    pub(crate) fn await_written(&self, number: u64) {
        wait_until(&format!("{number} is written"), LIMIT, || self.written().contains(&number));
    }

    /// Does what another run of the job, or a stranger with its id, does first: fences all who came before.
    pub(crate) fn fence(&self) -> BaseProducer {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", self.kafka.bootstrap()).set("transactional.id", self.id());
        let producer: BaseProducer = settings.create().expect("a producer");
        producer.init_transactions(LIMIT).expect("init");
        producer
    }

    /// The newest marker as it is stored; none if there is none.
    pub(crate) fn marker(&self) -> Option<String> {
        let consumer = self.marker_consumer();
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in self.to.iter().map(|to| (to, 2)).chain([(&self.from, 3)]) {
            for partition in 0..partitions {
                list.add_partition(topic, partition);
            }
        }
        let committed = consumer.committed_offsets(list, LIMIT).expect("offsets");
        let markers = committed.elements().iter().map(|e| e.metadata().to_owned()).collect::<Vec<_>>();
        markers.into_iter().filter(|m| !m.is_empty()).max_by_key(|marker| epoch(marker))
    }

    /// A member of the group that holds the marker.
    pub(crate) fn marker_consumer(&self) -> BaseConsumer {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", self.kafka.bootstrap()).set("group.id", self.id());
        settings.create().expect("a consumer")
    }
}

/// The epoch in a marker.
pub(crate) fn epoch(marker: &str) -> u64 {
    let marker: serde_json::Value = serde_json::from_str(marker).expect("JSON");
    marker["epoch"].as_u64().expect("an epoch")
}

/// The numbers that a run has read.
pub(crate) type Seen = Arc<Mutex<BTreeSet<u64>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One run of the job.
pub(crate) struct Run {
    pub(crate) handle: JobHandle,
    pub(crate) seen: Seen,
    gate: Arc<Gate>,
}

impl Run {
    /// Waits until the run has read these numbers, so that they are in its next checkpoint.
    #[track_caller]
    pub(crate) fn sees(&self, numbers: Range<u64>) {
        let all = || numbers.clone().all(|number| lock(&self.seen).contains(&number));
        wait_until(&format!("{numbers:?} are read"), LIMIT, || self.handle.is_finished() || all());
        // Looked at once more: it may have ended after the last look.
        let seen = all();
        assert!(seen, "the job has ended: {:?}", self.handle.wait());
    }

    /// Takes a checkpoint and so commits the transaction.
    #[track_caller]
    pub(crate) fn checkpoint(&self) -> u64 {
        self.handle.checkpoint().expect("a checkpoint")
    }

    /// Begins a checkpoint, and does not wait for it.
    pub(crate) fn begins_checkpoint(&self) {
        let handle = self.handle.clone();
        spawn("checkpoint", move || handle.checkpoint()).expect("a thread");
    }

    /// Ends it well, with a last checkpoint.
    #[track_caller]
    pub(crate) fn stop(self) -> JobReport {
        self.handle.stop();
        ended(&self.handle).expect("the job ends well")
    }

    /// Ends it now. The transaction is given up.
    #[track_caller]
    pub(crate) fn abort(self) {
        self.handle.abort();
        ended(&self.handle).expect_err("aborted");
    }

    /// The error that it ends with.
    #[track_caller]
    pub(crate) fn fails(&self) -> Error {
        ended(&self.handle).expect_err("the job should have failed")
    }

    /// The error that it ends with, at its next checkpoint at the latest.
    #[track_caller]
    pub(crate) fn fails_at_checkpoint(&self) -> Error {
        wait_until("the job has ended", LIMIT, || self.handle.is_finished() || self.handle.checkpoint().is_err());
        self.fails()
    }

    /// Begins a checkpoint and goes no further than this, like a process that is stopped there: its transaction is open,
    /// and nothing more comes from it.
    #[track_caller]
    pub(crate) fn dies_at(self, point: Point) -> Dead {
        self.gate.close(point, 0);
        self.begins_checkpoint();
        self.dies()
    }

    #[track_caller]
    fn dies(self) -> Dead {
        wait_until("the run is where it dies", LIMIT, || self.handle.is_finished() || self.gate.holds());
        assert!(self.gate.holds(), "{:?}", self.handle.wait());
        Dead(Some(self))
    }
}

/// A run that goes no further, unless it wakes up.
pub(crate) struct Dead(Option<Run>);

impl Dead {
    /// Goes on where it was.
    pub(crate) fn resumes(mut self) -> Run {
        let run = self.0.take().expect("it is taken once");
        run.gate.open();
        run
    }

    /// Goes on where it was, long after others have taken over. Returns the error that it ends with.
    #[track_caller]
    pub(crate) fn wakes(self) -> Error {
        self.resumes().fails_at_checkpoint()
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run.handle.abort();
            run.gate.open();
        }
    }
}

/// Where a run can be stopped within a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    /// Records are flushed; the manifest is not there.
    Storing,
    /// The manifest is there; the transaction is not committed.
    Committing,
    /// The transaction is committed; what it has replaced is not deleted.
    Deleting,
}

/// Lets one run into the store, up to a point.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    closed_at: Option<Point>,
    /// How many may pass.
    lets_pass: u32,
    holds: bool,
}

impl Gate {
    fn close(&self, point: Point, lets_pass: u32) {
        let mut state = lock(&self.state);
        (state.closed_at, state.lets_pass) = (Some(point), lets_pass);
    }

    fn open(&self) {
        lock(&self.state).closed_at = None;
        self.changed.notify_all();
    }

    fn holds(&self) -> bool {
        lock(&self.state).holds
    }

    fn reach(&self, point: Point) {
        let mut state = lock(&self.state);
        if state.closed_at == Some(point) && state.lets_pass > 0 {
            state.lets_pass -= 1;
            return;
        }
        while state.closed_at == Some(point) {
            state.holds = true;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

struct GatedStore {
    objects: MemoryStore,
    gate: Arc<Gate>,
}

impl CheckpointStore for GatedStore {
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation, Error> {
        if Manifest::sequence_of(name).is_none() {
            return self.objects.create(name, content);
        }
        self.gate.reach(Point::Storing);
        let created = self.objects.create(name, content);
        self.gate.reach(Point::Committing);
        created
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>, Error> {
        self.objects.read(name)
    }

    fn list(&self) -> Result<Vec<StoredObject>, Error> {
        self.objects.list()
    }

    fn delete(&self, name: &str) -> Result<(), Error> {
        self.gate.reach(Point::Deleting);
        self.objects.delete(name)
    }

    fn location(&self) -> String {
        self.objects.location()
    }
}
