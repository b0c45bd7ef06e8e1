//! W1 and W2 on the public API, as a user would write them: copy the values of one topic to another, at least once or
//! exactly once.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stream_core::{Configuration, Result, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource, OffsetsInitializer};

use crate::usage::now_ms;

/// What to copy.
pub struct Copy {
    /// `host:port` of the broker.
    pub bootstrap: String,
    /// Read from its beginning to what is its end at the start.
    pub from: String,
    /// Written to.
    pub to: String,
    /// The group that positions are committed to.
    pub group: String,
    /// How often, and how often a checkpoint is taken.
    pub commit_ms: u64,
    /// Where checkpoints go, for exactly once.
    pub exactly_once: Option<PathBuf>,
    /// How many subtasks.
    pub parallelism: usize,
    /// How many records have been read.
    pub total: Arc<AtomicU64>,
    /// When the first one came, in wall-clock milliseconds.
    pub first: Arc<AtomicU64>,
}

/// What was copied.
pub struct Copied {
    /// How many records.
    pub records: u64,
    /// When the first one came, in wall-clock milliseconds.
    pub first_ms: u64,
}

impl Copy {
    /// Runs the job to its end.
    ///
    /// # Errors
    /// What the job failed with.
    pub fn run(&self) -> Result<Copied> {
        let (ctx, mut counter) = self.context()?;
        let values = KafkaSource::<Vec<u8>>::new(&ctx)
            .starting_offsets(OffsetsInitializer::Earliest)
            .bounded()
            .values()
            .uid("values")
            .inspect(move |_| counter.count());
        KafkaSink::new(&ctx).sink(values).uid("copies");
        self.execute(ctx, "copy")
    }

    /// A context for a job between the two topics, and what counts its records.
    pub(crate) fn context(&self) -> Result<(StreamingContext, Counter)> {
        self.context_with(&[])
    }

    /// As [`context`](Copy::context), with more keys.
    pub(crate) fn context_with(&self, more: &[(&str, String)]) -> Result<(StreamingContext, Counter)> {
        let configuration = Configuration::builder()
            .set("kafka.source.bootstrap.servers", &self.bootstrap)
            .set("kafka.source.topic", &self.from)
            .set("kafka.source.group.id", &self.group)
            .set("kafka.source.auto.commit.interval.ms", self.commit_ms.to_string())
            .set("kafka.sink.bootstrap.servers", &self.bootstrap)
            .set("kafka.sink.topic", &self.to)
            .set("kafka.sink.linger.ms", "20");
        let mut configuration = more.iter().fold(configuration, |builder, (key, value)| builder.set(*key, value));
        let dir = self.exactly_once.as_ref().map(|dir| dir.display().to_string());
        if let Some(dir) = &dir {
            configuration = configuration
                .set("kafka.sink.semantic", "EXACTLY_ONCE")
                .set("application.id", &self.to)
                .set("execution.checkpointing.interval", format!("{} ms", self.commit_ms))
                .set("execution.checkpointing.dir", dir);
        }
        let mut ctx = StreamingContext::new(configuration.build()?).parallelism(self.parallelism);
        if let Some(dir) = &dir {
            ctx = ctx.checkpoint_store(stream_store::open(dir, "bench")?);
        }
        let counter = Counter { records: 0, total: Arc::clone(&self.total), first: Arc::clone(&self.first) };
        Ok((ctx, counter))
    }

    /// Runs the job that was described to its end.
    pub(crate) fn execute(&self, ctx: StreamingContext, job: &str) -> Result<Copied> {
        ctx.execute(job)?;
        Ok(Copied { records: self.total.load(Ordering::Relaxed), first_ms: self.first.load(Ordering::Relaxed) })
    }
}

/// Counts in a subtask of its own and adds up when the subtask ends.
#[derive(Clone)]
pub(crate) struct Counter {
    records: u64,
    total: Arc<AtomicU64>,
    first: Arc<AtomicU64>,
}

impl Counter {
    pub(crate) fn count(&mut self) {
        if self.records == 0 {
            let now = u64::try_from(now_ms()).unwrap_or(u64::MAX);
            // Whoever comes first; a subtask a few milliseconds later does not matter.
            let _ = self.first.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        }
        self.records += 1;
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.total.fetch_add(self.records, Ordering::Relaxed);
    }
}
