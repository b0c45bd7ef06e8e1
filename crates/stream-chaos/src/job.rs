//! The job that is killed: a running count per key and windows per key, each into a topic and into files; records
//! that can't be decoded go to a topic of their own.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use stream_core::window::{Aggregator, TumblingWindows};
use stream_core::{
    Batch, Configuration, DataStream, Error, ErrorKind, FunctionResult, ProcessContext, ProcessFunction, Result, Sink,
    SinkContext, SinkWriter, States, StreamingContext, Timestamp, ValueState, WatermarkStrategy,
};
use stream_files::FileSink;
use stream_kafka::{BadRecords, KafkaSink, KafkaSource, OffsetsInitializer, RawRecord};

use crate::events::{DISORDER, Event, WINDOW};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    pub(crate) bootstrap: String,
    /// Where the topic of windows is
    #[arg(long)]
    pub(crate) windows_bootstrap: String,
    #[arg(long)]
    pub(crate) input: String,
    #[arg(long)]
    pub(crate) counts: String,
    #[arg(long)]
    pub(crate) windows: String,
    #[arg(long)]
    pub(crate) dead_letters: String,
    #[arg(long)]
    pub(crate) dir: PathBuf,
    #[arg(long)]
    pub(crate) parallelism: usize,
    /// Ends at what is the end of the input now
    #[arg(long)]
    pub(crate) bounded: bool,
    /// The property `semantic` of the Kafka sinks
    #[arg(long)]
    pub(crate) semantic: String,
    /// Writes files without waiting for checkpoints
    #[arg(long)]
    pub(crate) eager_files: bool,
    /// Lets transactions time out soon
    #[arg(long)]
    pub(crate) short_transactions: bool,
    /// Ends at the first failure
    #[arg(long)]
    pub(crate) no_restarts: bool,
}

/// How long a transaction may last where pauses are to outlast it.
pub(crate) const SHORT_TRANSACTION: Duration = Duration::from_secs(12);

/// Counts the records of a key, and emits each with its number.
struct Numbering {
    count: ValueState<u64, u64>,
}

impl ProcessFunction<u64, Event> for Numbering {
    type Out = String;

    fn states(&mut self, states: &mut States<'_, u64>) {
        states.add(&mut self.count);
    }

    fn process(&mut self, event: Event, ctx: &mut ProcessContext<'_, u64, String>) -> FunctionResult {
        let number = self.count.update(
            ctx.key(),
            || 0,
            |count| {
                *count += 1;
                *count
            },
        );
        ctx.emit(format!("{},{},{number}", event.id, event.key));
        Ok(())
    }
}

/// How many records, and the sum of their ids.
#[derive(Clone)]
struct CountAndSum;

impl Aggregator<Event> for CountAndSum {
    type State = (u64, u64);
    type Output = (u64, u64);

    fn create(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, state: &mut (u64, u64), event: Event) {
        *state = (state.0 + 1, state.1 + event.id);
    }

    fn merge(&self, state: &mut (u64, u64), other: (u64, u64)) {
        *state = (state.0 + other.0, state.1 + other.1);
    }

    fn result(&self, state: (u64, u64)) -> (u64, u64) {
        state
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let checkpoints = arguments.dir.join("checkpoints").display().to_string();
    let mut configuration = Configuration::builder()
        .set("execution.checkpointing.interval", "200 ms")
        // Topics have names of their own, so that runs on one broker stay apart.
        .set("application.id", &arguments.input)
        .set("execution.checkpointing.dir", &checkpoints);
    if arguments.short_transactions {
        // A transaction has to outlast the interval and a slow checkpoint.
        configuration = configuration.set("execution.checkpointing.timeout", "10 s");
    }
    if arguments.no_restarts {
        configuration = configuration.set("restart-strategy.type", "none");
    }
    let configuration = configuration.build().map_err(|error| Error::new(ErrorKind::Config, error.to_string()))?;
    let store = stream_store::open(&checkpoints, "chaos")?;
    let ctx = StreamingContext::new(configuration).parallelism(arguments.parallelism).checkpoint_store(store);
    let time = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(DISORDER.unsigned_abs()))
        .with_timestamp_assigner(|event: &Event, _| Timestamp::from_millis(event.at));
    let source = KafkaSource::<Event>::new(&ctx)
        .property("bootstrap.servers", &arguments.bootstrap)
        .property("topic", &arguments.input)
        .on_bad_record(BadRecords::dead_letter(&arguments.dead_letters))
        .starting_offsets(OffsetsInitializer::Earliest)
        .decode(decode);
    let source = if arguments.bounded { source.bounded() } else { source };
    let events = source.watermarks(time).values().uid("input");

    let numbered = events.clone().key_by(|event| event.key).process(|| Numbering { count: ValueState::new("count") });
    write(&ctx, arguments, numbered.uid("numbering"), "counts", (&arguments.bootstrap, &arguments.counts));

    let windows =
        events.key_by(|event| event.key).window(TumblingWindows::of(Duration::from_millis(WINDOW.unsigned_abs())));
    let lines = windows.aggregate(CountAndSum).uid("windows").map(|result| {
        let (count, sum) = result.value;
        window_line(result.window.start().as_millis(), result.key, count, sum)
    });
    write(&ctx, arguments, lines, "windows", (&arguments.windows_bootstrap, &arguments.windows));
    ctx.execute("chaos").map(|_| ())
}

fn decode(record: &RawRecord<'_>) -> Result<Event, String> {
    let line = record.value().and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
    Event::parse(line).ok_or_else(|| format!("`{line}` is no event"))
}

pub(crate) fn window_line(start: i64, key: u64, count: u64, sum: u64) -> String {
    format!("{start},{key},{count},{sum}")
}

/// Into a topic of a cluster, all records of a key into one partition, and into files.
fn write(ctx: &StreamingContext, arguments: &Arguments, lines: DataStream<String>, what: &str, topic: (&str, &str)) {
    let dir = arguments.dir.join(what);
    let uid = format!("{what}-files");
    match arguments.eager_files {
        true => lines.clone().sink("eager", Eager(dir)).uid(uid),
        false => lines.clone().staged_sink("files", FileSink::json_lines(dir)).uid(uid),
    };
    let mut sink = KafkaSink::new(ctx)
        .property("bootstrap.servers", topic.0)
        .property("topic", topic.1)
        .property("semantic", &arguments.semantic)
        .property("partitioner", "murmur2");
    if arguments.short_transactions {
        sink = sink.property("transaction.timeout.ms", SHORT_TRANSACTION.as_millis().to_string());
    }
    // Both kinds of lines have the key in second place.
    sink.key(|line: &String| line.split(',').nth(1).unwrap_or_default().into())
        .sink(lines)
        .uid(format!("{what}-topic"));
}

/// A planted bug: a file sink whose lines appear at once.
struct Eager(PathBuf);

impl Sink<String> for Eager {
    fn open(&mut self, context: &SinkContext) -> Result<Box<dyn SinkWriter<String>>> {
        let name = format!("eager-{}-{}", std::process::id(), context.operator.subtask());
        let made = std::fs::create_dir_all(&self.0).and_then(|()| File::create(self.0.join(name)));
        Ok(Box::new(EagerWriter(made.map_err(Error::user)?)))
    }
}

struct EagerWriter(File);

impl SinkWriter<String> for EagerWriter {
    fn write(&mut self, batch: &mut Batch<String>) -> Result<()> {
        let lines: String = batch.records().iter().map(|line| format!("\"{line}\"\n")).collect();
        self.0.write_all(lines.as_bytes()).map_err(Error::user)
    }
}
