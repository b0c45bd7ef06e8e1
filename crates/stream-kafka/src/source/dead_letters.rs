//! Dead letters: bad records as they came, with headers that say where from and what is wrong, in a topic of the same
//! cluster.
//!
//! In the job's transaction, if it has one on this cluster: then they appear exactly once, together with what else the
//! epoch has written. Otherwise at least once: before the source's positions are committed, every dead letter read before them is acknowledged.
//! Readers write while the committer waits for that, so it first holds them back, lest the queue never gets empty:
//!
//! ```text
//!   readers ---- send ----> producer's queue ----> brokers
//!      ^  (no reading while held)     |
//!      +-- held, woken -- committer --+-- hold, flush, release, commit positions
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use stream_core::clock::{Clock, SystemClock};
use stream_core::thread::Waker;
use stream_core::{Barrier, Error, ErrorKind, Released, Result, SourceContext};

use super::Description;
use crate::client::consumer::ConsumerHandle;
use crate::client::producer::ProducerHandle;
use crate::client::rights::Right;
use crate::dev;
use crate::keys::{self, BadRecords, DeadLetterFormat, Role};
use crate::record::{RawRecord, Topic};
use crate::schema::{ProducerRecord, SchemaError};
use crate::transactions::{Cluster, Lane};

/// How many records the producer's queue takes: librdkafka's own default.
const CAPACITY: usize = 100_000;

/// Stands for "the client library's partitioner decides".
const BY_CLIENT: i32 = -1;

/// How long a full queue may hold up a reader, as `max.block.ms` for a sink.
const MAX_BLOCK: Duration = Duration::from_secs(60);

/// What Java's viewers show as the class of the exception.
const EXCEPTION: &str = "stream_kafka::SchemaError";

/// The dead letters of one source, shared by its readers and its committer.
pub(super) struct DeadLetters {
    producer: Arc<ProducerHandle>,
    /// The job's transactions, if they are written in them.
    cluster: Option<Arc<Cluster>>,
    released: Released,
    topic: Topic,
    format: DeadLetterFormat,
    /// The source's name in the job.
    source: String,
    /// How many were handed to the producer.
    sent: AtomicU64,
    /// Whether the committer waits for the queue to get empty.
    held: AtomicBool,
    /// The readers'.
    wakers: Vec<Waker>,
    /// Bytes written, where the broker is one that keeps little.
    volume: Option<dev::Volume>,
}

impl DeadLetters {
    /// The dead letters of a source whose policy asks for them.
    ///
    /// # Errors
    /// There is no such topic, or no broker answers.
    pub(super) fn open(
        handle: &ConsumerHandle,
        description: &Description,
        context: &SourceContext,
        cluster: Option<&Arc<Cluster>>,
    ) -> Result<Option<Arc<DeadLetters>>> {
        let BadRecords::DeadLetter(name) = &description.bad_records.policy else { return Ok(None) };
        let what = ("can't look at the dead-letter topic", Right::Write, &**name);
        if super::start::ask(what, handle, description, context, |h, limit| h.partitions(name, limit))?.is_none() {
            let message = format!("no such topic on {}: `{name}`, the dead-letter topic", description.brokers);
            return Err(Error::new(ErrorKind::Config, message)
                .with_hint("create it first, or correct on_bad_record; the topic is not created by writing to it"));
        }
        let producer = match cluster {
            Some(cluster) => cluster.producer()?,
            None => {
                let settings = producer_settings(&description.client, description.is_dev);
                ProducerHandle::new(&format!("{}-dead-letters", context.name()), &settings, CAPACITY, false)?
            }
        };
        let wakers: Vec<Waker> = (0..context.parallelism()).map(|subtask| context.waker(subtask)).collect();
        wakers.iter().for_each(|waker| producer.watch(waker.clone()));
        let topic = Topic::new(name);
        Ok(Some(Arc::new(DeadLetters {
            producer,
            cluster: cluster.cloned(),
            released: context.released(),
            topic,
            format: description.bad_records.format,
            source: context.name().to_owned(),
            sent: AtomicU64::new(0),
            held: AtomicBool::new(false),
            wakers,
            volume: description.is_dev.then(|| dev::Volume::of(topic)),
        })))
    }

    /// The end that one subtask writes to; `schema` is the name of what refuses records.
    pub(super) fn lane(self: &Arc<Self>, subtask: usize, schema: &'static str) -> Result<DeadLetterLane> {
        // A waker of its own: parking on the subtask's would swallow what others wake it for.
        let waker = Waker::new();
        let output = match &self.cluster {
            Some(cluster) => cluster.lane(self.released.clone(), waker, MAX_BLOCK)?,
            None => Lane::direct(self.producer.clone(), waker, MAX_BLOCK),
        };
        Ok(DeadLetterLane { letters: self.clone(), output, record: ProducerRecord::default(), subtask, schema })
    }

    /// The committer's end; none where a transaction commits them.
    pub(super) fn flush(self: &Arc<Self>) -> Option<DeadLetterFlush> {
        if self.cluster.is_some() {
            return None;
        }
        let waker = Waker::new();
        self.producer.join(waker.clone());
        Some(DeadLetterFlush { letters: self.clone(), flushed: 0, waker })
    }
}

/// The producer's properties: what the source says about connection, security and client, and what keeps a dead
/// letter as it is.
fn producer_settings(source: &BTreeMap<String, String>, is_dev: bool) -> BTreeMap<String, String> {
    let shared = source.iter().filter(|(key, _)| keys::is_property_of(Role::Sink, key));
    let mut settings: BTreeMap<String, String> = shared.map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in [
        // librdkafka waits half a second before it asks the dev broker for a producer id, and no answer gets lost there.
        ("enable.idempotence", if is_dev { "false" } else { "true" }),
        ("partitioner", "murmur2_random"),
        ("delivery.timeout.ms", "120000"),
        // What was read can be written, as far as the client is concerned: the topic decides.
        ("message.max.bytes", "1000000000"),
    ] {
        settings.insert(key.to_owned(), value.to_owned());
    }
    settings
}

/// Where one subtask's bad records go.
pub(super) struct DeadLetterLane {
    letters: Arc<DeadLetters>,
    output: Lane,
    record: ProducerRecord,
    subtask: usize,
    schema: &'static str,
}

impl DeadLetterLane {
    /// Whether a whole fetch of bad records could be sent now; if not, the subtask is woken when it could.
    ///
    /// # Errors
    /// A dead letter was lost.
    pub(super) fn ready(&mut self) -> Result<bool> {
        self.output.producer().check().map_err(lost)?;
        self.output.open().map_err(lost)?;
        Ok(!self.letters.held.load(Ordering::Acquire) && self.output.has_room())
    }

    /// What is sent from here on belongs to the next epoch.
    ///
    /// # Errors
    /// What waits can't be sent.
    pub(super) fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        // The epoch before is decided, or there would be no barrier: only a full queue can be in the way.
        self.output.open_in_time().map_err(lost)?;
        self.output.close(barrier.epoch);
        Ok(())
    }

    /// Whether nothing waits for its transaction.
    ///
    /// # Errors
    /// What waits can't be sent.
    pub(super) fn is_settled(&mut self) -> Result<bool> {
        self.output.open().map_err(lost)
    }

    /// Sends a copy of the record.
    ///
    /// # Errors
    /// It is refused, or the queue stays full.
    pub(super) fn send(&mut self, raw: &RawRecord<'_>, reason: &SchemaError) -> Result<()> {
        self.copy(raw);
        match self.letters.format {
            DeadLetterFormat::Streams => self.add_streams_headers(raw, reason),
            DeadLetterFormat::Connect => self.add_connect_headers(raw, reason),
        }
        if let Some(volume) = &self.letters.volume {
            volume.add(self.record.bytes())?;
        }
        // Before it is sent: a committer that sees the record's position sees this too.
        self.letters.sent.fetch_add(1, Ordering::Release);
        self.output.send(self.letters.topic, BY_CLIENT, &self.record).map_err(lost)
    }

    fn copy(&mut self, raw: &RawRecord<'_>) {
        let record = &mut self.record;
        record.reset(Some(raw.timestamp()));
        if let Some(value) = raw.value() {
            record.set_value(value);
        }
        if let Some(key) = raw.key() {
            record.set_key(key);
        }
        for (name, value) in raw.headers().iter() {
            record.add_header(name, value);
        }
    }

    /// In the order in which Kafka Streams 4.3 adds them.
    fn add_streams_headers(&mut self, raw: &RawRecord<'_>, reason: &SchemaError) {
        for (name, value) in [
            ("__streams.errors.exception", EXCEPTION),
            ("__streams.errors.message", &reason.to_string()),
            ("__streams.errors.stacktrace", ""),
            ("__streams.errors.topic", raw.topic().as_str()),
            ("__streams.errors.partition", &raw.partition().to_string()),
            ("__streams.errors.offset", &raw.offset().to_string()),
        ] {
            self.record.add_header(name, Some(value.as_bytes()));
        }
    }

    fn add_connect_headers(&mut self, raw: &RawRecord<'_>, reason: &SchemaError) {
        for (name, value) in [
            ("__connect.errors.topic", raw.topic().as_str()),
            ("__connect.errors.partition", &raw.partition().to_string()),
            ("__connect.errors.offset", &raw.offset().to_string()),
            ("__connect.errors.connector.name", &self.letters.source),
            ("__connect.errors.task.id", &self.subtask.to_string()),
            ("__connect.errors.stage", "VALUE_CONVERTER"),
            ("__connect.errors.class.name", self.schema),
            ("__connect.errors.exception.class.name", EXCEPTION),
            ("__connect.errors.exception.message", &reason.to_string()),
            ("__connect.errors.exception.stacktrace", ""),
        ] {
            self.record.add_header(name, Some(value.as_bytes()));
        }
    }
}

/// Waits for dead letters on behalf of the committer.
pub(super) struct DeadLetterFlush {
    letters: Arc<DeadLetters>,
    /// How many are known to be acknowledged.
    flushed: u64,
    /// Woken when a flush is done.
    waker: Waker,
}

impl DeadLetterFlush {
    /// Waits until all that was sent so far is acknowledged, at most for `patience`; at once if nothing was sent.
    ///
    /// # Errors
    /// `Unavailable` if it takes longer: the next commit waits on. Anything else means that a dead letter was lost.
    pub(super) fn run(&mut self, patience: Duration) -> Result<()> {
        let sent = self.letters.sent.load(Ordering::Acquire);
        if sent > self.flushed {
            self.letters.held.store(true, Ordering::Release);
            let flushed = self.wait(patience);
            self.letters.held.store(false, Ordering::Release);
            self.letters.wakers.iter().for_each(Waker::wake);
            flushed?;
            self.flushed = sent;
        }
        self.letters.producer.check().map_err(lost)
    }

    fn wait(&self, patience: Duration) -> Result<()> {
        let (clock, producer) = (SystemClock::new(), &self.letters.producer);
        let round = producer.arrive();
        while !producer.flushed(round).map_err(lost)? {
            let now = clock.monotonic();
            if now >= patience {
                let message = format!("dead letters are not acknowledged yet: no answer for {patience:?}");
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            self.waker.park(patience - now);
        }
        Ok(())
    }
}

/// A dead letter that was not written fails the job, whatever the reason: the committer repeats what is `Unavailable`,
/// and this one does not come back before a restart.
fn lost(error: Error) -> Error {
    let message = format!("a dead letter was lost: {}", error.message());
    match (error.kind(), error.hint()) {
        (ErrorKind::Unavailable, _) | (_, None) => Error::new(ErrorKind::Data, message)
            .with_hint("start the job again when the brokers answer: it reads again from the last commit"),
        (kind, Some(hint)) => Error::new(kind, message).with_hint(hint.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_producer_takes_over_connection_and_security_but_nothing_of_the_consumer() {
        let source = [
            ("bootstrap.servers", "h:9092"),
            ("security.protocol", "sasl_ssl"),
            ("sasl.password", "secret"),
            ("client.id", "job"),
            ("group.id", "g"),
            ("auto.offset.reset", "error"),
            ("fetch.queue.backoff.ms", "5"),
            ("enable.partition.eof", "true"),
            ("isolation.level", "read_committed"),
            ("message.max.bytes", "1000"),
        ];
        let source = source.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let settings = producer_settings(&source, false);
        let expected = [
            ("bootstrap.servers", "h:9092"),
            ("client.id", "job"),
            ("delivery.timeout.ms", "120000"),
            ("enable.idempotence", "true"),
            ("message.max.bytes", "1000000000"),
            ("partitioner", "murmur2_random"),
            ("sasl.password", "secret"),
            ("security.protocol", "sasl_ssl"),
        ];
        assert_eq!(settings, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }
}
