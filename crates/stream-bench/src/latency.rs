//! How long a record takes from one topic through a job to a reader of another one, at 20,000 records a second; and how
//! long it takes a job that was killed to commit something new.
//!
//! ```text
//!   Feed ─▶ topic ─▶ job, a process of its own ─▶ topic ─▶ Reader, committed records only
//!    └── the time of each record is its value ──────────────┘
//! ```
//!
//! Feed and reader are the bare client. A record passes two hops that no job can make faster; the first line of the table
//! is one of them, without a job.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stream_core::{Configuration, Result, StreamingContext};
use stream_kafka::admin::Admin;
use stream_kafka::{KafkaSink, KafkaSource};

use crate::figures::{quantile, sorted};
use crate::process::{failed, pinned};
use crate::usage::now_ms;

const PARTITIONS: i32 = 4;

/// 20,000 records a second, in steps of a millisecond.
const STEP: Duration = Duration::from_millis(1);
const RECORDS_OF_STEP: u32 = 20;

/// About as long as a bid.
const VALUE: usize = 148;

/// What is measured, after what it takes until all is warm.
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);

/// How often a job is killed, how long it lives before, and how long it is down.
const KILLS: usize = 9;
const LIFE: Duration = Duration::from_secs(4);
const DOWN: Duration = Duration::from_millis(500);

const LIMIT: Duration = Duration::from_secs(30);

/// The kinds of job: what they are called in the table, the interval of their checkpoints, whether those are in memory, and
/// what the target is.
const JOBS: [(&str, Option<u64>, bool, &str); 4] = [
    ("at least once", None, false, "p50 2, p99 10"),
    ("exactly once, 100 ms, checkpoints in memory", Some(100), true, "p95 120"),
    ("exactly once, 100 ms, checkpoints on disk", Some(100), false, ""),
    ("exactly once, 1 s, checkpoints on disk", Some(1000), false, ""),
];

/// The job, in a process of its own, until it is killed.
///
/// # Errors
/// What the job failed with.
pub fn child(bootstrap: &str, from: &str, to: &str, interval: Option<u64>, dir: &Path) -> Result<()> {
    let mut configuration = Configuration::builder()
        .set("application.id", to)
        .set("kafka.source.bootstrap.servers", bootstrap)
        .set("kafka.source.topic", from)
        .set("kafka.source.group.id", format!("{to}-group"))
        .set("kafka.source.auto.offset.reset", "earliest")
        .set("kafka.sink.bootstrap.servers", bootstrap)
        .set("kafka.sink.topic", to)
        .set("kafka.sink.linger.ms", "0");
    let place = dir.display().to_string();
    if let Some(interval) = interval {
        configuration = configuration
            .set("kafka.sink.semantic", "EXACTLY_ONCE")
            .set("execution.checkpointing.interval", format!("{interval} ms"))
            .set("execution.checkpointing.dir", &place);
    }
    let mut ctx = StreamingContext::new(configuration.build()?);
    if interval.is_some() {
        ctx = ctx.checkpoint_store(stream_store::open(&place, "bench")?);
    }
    let values = KafkaSource::<Vec<u8>>::new(&ctx).values().uid("values");
    KafkaSink::new(&ctx).sink(values).uid("copies");
    ctx.execute("copy").map(|_| ())
}

/// The table of latencies, for docs/benchmarks.md.
///
/// # Errors
/// If a job does not run, or nothing comes out of it.
pub fn table(bootstrap: &str) -> Result<String> {
    let admin = Admin::new(bootstrap)?;
    let mut text = format!(
        "From just before a record is sent to just after it was received, 20,000 records of {VALUE} bytes a second, \
         `linger.ms` 0, {} seconds after {} of warm-up. Milliseconds.\n\n\
         | | p50 | p95 | p99 | target |\n| --- | ---: | ---: | ---: | --- |\n",
        MEASURED.as_secs(),
        WARM_UP.as_secs(),
    );
    let mut row = |name: &str, latencies: &[f64], target: &str| {
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|q| quantile(latencies, q));
        text.push_str(&format!("| {name} | {p50:.2} | {p95:.2} | {p99:.2} | {target} |\n"));
    };
    let input = Input::start(bootstrap, &admin)?;
    row("one hop, without a job", &Reader::start(bootstrap, &input.topic)?.measure()?, "");
    input.stop(&admin)?;
    for (name, interval, in_memory, target) in JOBS {
        let input = Input::start(bootstrap, &admin)?;
        let job = Job::new(bootstrap, &admin, &input, interval, in_memory)?;
        let running = job.start()?;
        let latencies = Reader::start(bootstrap, &job.to)?.measure();
        running.kill()?;
        row(name, &latencies?, target);
        job.end(&admin)?;
        input.stop(&admin)?;
    }
    Ok(text)
}

/// The line about restarts, for docs/benchmarks.md.
///
/// # Errors
/// As [`table`].
pub fn restarts(bootstrap: &str) -> Result<String> {
    let admin = Admin::new(bootstrap)?;
    let input = Input::start(bootstrap, &admin)?;
    let job = Job::new(bootstrap, &admin, &input, Some(1000), false)?;
    let reader = Reader::start(bootstrap, &job.to)?;
    let mut millis = Vec::new();
    for _ in 0..KILLS {
        let running = job.start()?;
        std::thread::sleep(LIFE);
        running.kill()?;
        std::thread::sleep(DOWN);
        reader.forget();
        let begun = Instant::now();
        let again = job.start()?;
        let first = reader.next()?;
        millis.push((first - begun).as_secs_f64() * 1e3);
        again.kill()?;
    }
    drop(reader);
    job.end(&admin)?;
    input.stop(&admin)?;
    let millis = sorted(millis);
    Ok(format!(
        "`kill -9` under 20,000 records a second, exactly once, checkpoints every second on disk: from the start of the next \
         process to the first record that a reader of committed records gets of it, medians of {KILLS}: {:.0} ms, at most \
         {:.0} ms (target: at most 1500).\n",
        quantile(&millis, 0.5),
        quantile(&millis, 1.0),
    ))
}

fn micros() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

type Feeder = ThreadedProducer<DefaultProducerContext>;

/// A topic that is written to at a steady pace.
struct Input {
    topic: String,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::result::Result<(), String>>,
}

impl Input {
    fn start(bootstrap: &str, admin: &Admin) -> Result<Input> {
        let topic = format!("bench-latency-{}", now_ms());
        admin.create_topic(&topic, PARTITIONS, 1)?;
        let producer: Feeder = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("linger.ms", "0")
            .create()
            .map_err(|error| failed(error.to_string()))?;
        let (stop, to) = (Arc::new(AtomicBool::new(false)), topic.clone());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || feed(&producer, &to, &stopped));
        Ok(Input { topic, stop, thread })
    }

    fn stop(self, admin: &Admin) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| failed("the feed has panicked"))?.map_err(failed)?;
        admin.delete_topic(&self.topic)
    }
}

fn feed(producer: &Feeder, topic: &str, stop: &AtomicBool) -> std::result::Result<(), String> {
    let (begun, mut steps, mut value) = (Instant::now(), 0_u32, vec![b'.'; VALUE]);
    while !stop.load(Ordering::Relaxed) {
        // Those of one step in one partition: a request for each of four partitions in each step would keep the broker busy
        // with the feed alone.
        let partition = i32::try_from(steps).unwrap_or(0) % PARTITIONS;
        for _ in 0..RECORDS_OF_STEP {
            value[..8].copy_from_slice(&micros().to_le_bytes());
            let record = BaseRecord::<(), _>::to(topic).payload(&value).partition(partition);
            producer.send(record).map_err(|(error, _)| error.to_string())?;
        }
        steps += 1;
        // It catches up after a stall, and a record's time is the one at which it is sent.
        std::thread::sleep((begun + STEP * steps).saturating_duration_since(Instant::now()));
    }
    producer.flush(LIMIT).map_err(|error| error.to_string())
}

/// What came last, and how long each record took.
#[derive(Default)]
struct Received {
    millis: Vec<f64>,
}

/// Reads committed records on a thread of its own.
struct Reader {
    received: Arc<Mutex<Received>>,
    arrivals: Receiver<Instant>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn start(bootstrap: &str, topic: &str) -> Result<Reader> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "bench-latency")
            .set("isolation.level", "read_committed")
            .create()
            .map_err(|error| failed(error.to_string()))?;
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let added = all.add_partition_offset(topic, partition, Offset::Beginning);
            added.map_err(|error| failed(error.to_string()))?;
        }
        consumer.assign(&all).map_err(|error| failed(error.to_string()))?;
        let (stop, received) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Received>>::default());
        let (stopped, taken) = (stop.clone(), received.clone());
        let (sender, arrivals) = channel();
        let thread = std::thread::spawn(move || {
            let mut last = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) else { continue };
                let stamp = message.payload().and_then(|value| value.get(..8)?.try_into().ok());
                let sent = stamp.map_or(0, u64::from_le_bytes);
                let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                taken.millis.push(micros().saturating_sub(sent) as f64 / 1e3);
                drop(taken);
                // The first of a burst is enough.
                if last.elapsed() > STEP {
                    last = Instant::now();
                    let _ = sender.send(last);
                }
            }
        });
        Ok(Reader { received, arrivals, stop, thread: Some(thread) })
    }

    /// What the records took that come from now on, after a while to warm up, in rising order.
    fn measure(self) -> Result<Vec<f64>> {
        std::thread::sleep(WARM_UP);
        self.received.lock().unwrap_or_else(PoisonError::into_inner).millis.clear();
        std::thread::sleep(MEASURED);
        let millis = std::mem::take(&mut self.received.lock().unwrap_or_else(PoisonError::into_inner).millis);
        let expected = MEASURED.as_secs_f64() / STEP.as_secs_f64() * f64::from(RECORDS_OF_STEP);
        if (millis.len() as f64) < expected * 0.9 {
            return Err(failed(format!("{} records came, not about {expected}", millis.len())));
        }
        Ok(sorted(millis))
    }

    /// Whatever has come until now does not count.
    fn forget(&self) {
        while self.arrivals.try_recv().is_ok() {}
    }

    /// When the next record comes.
    fn next(&self) -> Result<Instant> {
        self.arrivals.recv_timeout(LIMIT).map_err(|_| failed("no record has come"))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of it shows as records that do not come.
            let _ = thread.join();
        }
    }
}

/// A job between two topics, and where its checkpoints are.
struct Job {
    bootstrap: String,
    from: String,
    to: String,
    interval: Option<u64>,
    dir: tempfile::TempDir,
}

impl Job {
    fn new(bootstrap: &str, admin: &Admin, input: &Input, interval: Option<u64>, in_memory: bool) -> Result<Job> {
        let to = format!("{}-copy", input.topic);
        admin.create_topic(&to, PARTITIONS, 1)?;
        let parent = if in_memory { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        let dir = tempfile::tempdir_in(parent).map_err(|error| failed(error.to_string()))?;
        Ok(Job { bootstrap: bootstrap.to_owned(), from: input.topic.clone(), to, interval, dir })
    }

    fn start(&self) -> Result<Running> {
        let interval = self.interval.map_or(String::new(), |interval| interval.to_string());
        let mut command = pinned()?;
        command.args(["latency-child", &self.bootstrap, &self.from, &self.to, &interval]).arg(self.dir.path());
        Ok(Running(command.spawn().map_err(|error| failed(error.to_string()))?))
    }

    fn end(self, admin: &Admin) -> Result<()> {
        admin.delete_topic(&self.to)
    }
}

/// Killed when it is dropped.
struct Running(Child);

impl Running {
    /// As `kill -9`; a job that has ended by itself is a failure.
    fn kill(mut self) -> Result<()> {
        match self.0.try_wait() {
            Ok(None) => Ok(()),
            ended => Err(failed(format!("the job has ended by itself: {ended:?}"))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
