//! A job that stands still at a chosen step of the commit protocol, so that a test can do something to it there.
//!
//! Steps in the store are held by this program: it makes the file `here`, and goes on when there is one called `go`. Steps
//! on the brokers are held by the test's proxy.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use stream_core::checkpoint::{CheckpointStore, Creation, StoredObject};
use stream_core::{
    Configuration, Error, ErrorKind, FunctionResult, ProcessContext, ProcessFunction, Result, States, StreamingContext,
    ValueState,
};
use stream_kafka::{KafkaSink, KafkaSource, OffsetsInitializer};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    input: String,
    #[arg(long)]
    output: String,
    /// Where checkpoints are kept
    #[arg(long)]
    dir: PathBuf,
    /// Where `here` and `go` are
    #[arg(long)]
    signs: PathBuf,
    /// What the brokers know it by
    #[arg(long)]
    client: String,
    #[arg(long)]
    epoch_bump: String,
    #[arg(long, default_value = "60s")]
    checkpoint_timeout: String,
    /// In milliseconds
    #[arg(long, default_value = "120000")]
    transaction_timeout: String,
    /// Stands still there
    #[arg(long)]
    step: Option<String>,
    /// After so many records
    #[arg(long, default_value_t = 0)]
    after: u32,
}

/// What there is to do when a test wants the job to stand still in its store.
struct Gate {
    store: Box<dyn CheckpointStore>,
    step: String,
    signs: PathBuf,
    seen: Arc<AtomicU32>,
    after: u32,
    /// The checkpoint under way has state that changed, so its transaction has output.
    has_data: AtomicBool,
    last_was_data: AtomicBool,
}

impl Gate {
    /// Stands still if this is the step, for the first time in a checkpoint that has the last of enough records.
    fn pass(&self, step: &str) {
        let is_early = self.seen.load(Ordering::Relaxed) < self.after || !self.has_data.load(Ordering::Relaxed);
        if self.step != step || is_early || self.signs.join("here").exists() {
            return;
        }
        let _ = std::fs::write(self.signs.join("here"), "");
        while !self.signs.join("go").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl CheckpointStore for Gate {
    fn create(&self, name: &str, content: &[Bytes]) -> Result<Creation> {
        let is_data = name.starts_with("data-");
        // A checkpoint without changes has no data.
        let is_new = self.last_was_data.swap(is_data, Ordering::Relaxed);
        self.has_data.store(is_data || is_new, Ordering::Relaxed);
        self.pass(if is_data { "before-data" } else { "before-manifest" });
        let created = self.store.create(name, content);
        self.pass(if is_data { "after-data" } else { "after-manifest" });
        created
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>> {
        self.store.read(name)
    }

    fn list(&self) -> Result<Vec<StoredObject>> {
        self.store.list()
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.pass("before-delete");
        let deleted = self.store.delete(name);
        self.pass("after-delete");
        deleted
    }

    fn location(&self) -> String {
        self.store.location()
    }
}

/// Numbers the records of a key.
struct Numbering {
    count: ValueState<u64, u64>,
}

impl ProcessFunction<u64, u64> for Numbering {
    type Out = (u64, u64, u64);

    fn states(&mut self, states: &mut States<'_, u64>) {
        states.add(&mut self.count);
    }

    fn process(&mut self, id: u64, ctx: &mut ProcessContext<'_, u64, Self::Out>) -> FunctionResult {
        let number = self.count.update(
            ctx.key(),
            || 0,
            |count| {
                *count += 1;
                *count
            },
        );
        ctx.emit((id, *ctx.key().get(), number));
        Ok(())
    }
}

/// How many keys the ids fall into.
const KEYS: u64 = 7;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let configuration = Configuration::builder()
        .set("execution.checkpointing.interval", "100 ms")
        .set("execution.checkpointing.timeout", &arguments.checkpoint_timeout)
        .set("application.id", &arguments.output)
        .build()
        .map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
    let seen = Arc::new(AtomicU32::new(0));
    let store = Gate {
        store: Box::new(stream_store::open(&arguments.dir.display().to_string(), "steps")?),
        step: arguments.step.clone().unwrap_or_default(),
        signs: arguments.signs.clone(),
        seen: seen.clone(),
        after: arguments.after,
        has_data: AtomicBool::new(false),
        last_was_data: AtomicBool::new(false),
    };
    let ctx = StreamingContext::new(configuration).parallelism(2).checkpoint_store(store);
    let ids = KafkaSource::<String>::new(&ctx)
        .property("bootstrap.servers", &arguments.bootstrap)
        .property("topic", &arguments.input)
        .property("client.id", &arguments.client)
        .starting_offsets(OffsetsInitializer::Earliest)
        .values()
        .uid("input")
        .try_map(move |line: String| {
            seen.fetch_add(1, Ordering::Relaxed);
            line.parse::<u64>()
        });
    let numbered =
        ids.key_by(|id| id % KEYS).process(|| Numbering { count: ValueState::new("count") }).uid("numbering");
    KafkaSink::new(&ctx)
        .property("bootstrap.servers", &arguments.bootstrap)
        .property("topic", &arguments.output)
        .property("client.id", &arguments.client)
        .property("semantic", "EXACTLY_ONCE")
        // A lost answer is noticed after that.
        .property("socket.timeout.ms", "3000")
        .property("commit.epoch-bump", &arguments.epoch_bump)
        .property("transaction.timeout.ms", &arguments.transaction_timeout)
        .serializer(|(id, key, number): &(u64, u64, u64)| format!("{id},{key},{number}").into_bytes())
        .sink(numbered)
        .uid("output");
    let job = ctx.start("steps")?;
    // A test ends the job by a file, so that it can end well without signals.
    let (stop, end) = (arguments.signs.join("stop"), job.clone());
    stream_core::thread::spawn("stop", move || {
        while !Path::new(&stop).exists() && !end.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        end.stop();
    })?;
    job.wait().map(|_| ())
}
