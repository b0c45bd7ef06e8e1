//! [`FakeKafka`]: a Kafka cluster inside the process, for deterministic simulation; behind the feature `sim`.
//!
//! Sources, sinks and transactions run against it as they are: `bootstrap.servers` set to
//! [`bootstrap`](FakeKafka::bootstrap) puts it behind the same handles as the real client. It has what exactly-once rests
//! on: fencing, isolation, offsets in transactions, timeouts, and requests that get lost, are answered without an answer
//! arriving, or arrive late and once more. No thread, no socket and no clock is behind it: every call returns at once,
//! and time is a [`VirtualClock`] that whoever waits moves on.
//!
//! Reading order: this file (what a test says), [`broker`] (the state machine of the brokers), [`client`] (what the
//! handles call).
//!
//! | | who decides |
//! | --- | --- |
//! | what becomes of a request | [`Network::carry`] |
//! | when records that were sent, late requests and the markers of transactions arrive | [`FakeKafka::deliver`] |
//! | when a process dies | [`FakeKafka::kill`]: its `client.id` is refused everything from then on |

mod broker;
mod client;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use stream_core::clock::Clock;
use stream_core::testing::VirtualClock;
use stream_core::thread::Waker;
use stream_core::{Error, ErrorKind, Result};

pub use broker::FakeRecord;
use broker::{Broker, Read, Writer};
use client::Sending;
pub(crate) use client::{Attended, FakeConsumer, FakeLane, FakeProducer};

use crate::client::last::LastRecord;
use crate::client::transactional::StoredOffset;
use crate::client::{ClientError, ErrorCode};
use crate::record::Topic;

/// What `bootstrap.servers` begins with.
const SCHEME: &str = "sim:";

/// What a client asks the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Which partitions a topic has.
    Metadata,
    /// Where a log begins and ends.
    LogEnds,
    /// The last record of a topic.
    Fetch,
    /// The positions of a group.
    Offsets,
    /// To store positions of a group without a transaction.
    StoreOffsets,
    /// To be the only producer of a transactional id.
    Init,
    /// To deliver all that was sent.
    Flush,
    /// To add positions of a group to the transaction.
    AddOffsets,
    /// To commit the transaction, or to abort it.
    EndTransaction,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is answered.
    Good,
    /// It never arrives; the client gives up waiting.
    RequestLost,
    /// It is served, and the client gives up waiting.
    AnswerLost,
    /// The client gives up waiting, and then it arrives: at some [`FakeKafka::deliver`]. Only a request to end a
    /// transaction; any other is lost.
    Late,
    /// It is answered, and arrives once more at some [`FakeKafka::deliver`]. As [`Passage::Late`].
    Twice,
}

/// Decides what becomes of requests. May let others act before it answers, so a process can be stopped at each of them.
pub trait Network: Send + Sync {
    /// What becomes of this request.
    fn carry(&self, client: &str, request: Request) -> Passage;

    /// Whether the markers of a transaction that is decided are written at once; otherwise at some
    /// [`FakeKafka::deliver`].
    fn writes_markers(&self) -> bool {
        true
    }

    /// Whether records that are sent wait for [`FakeKafka::deliver`] or for a flush.
    fn holds_records(&self) -> bool {
        false
    }

    /// How many records the next fetch gets at most.
    fn fetches(&self) -> usize {
        usize::MAX
    }
}

/// Everything arrives at once.
struct Perfect;

impl Network for Perfect {
    fn carry(&self, _client: &str, _request: Request) -> Passage {
        Passage::Good
    }
}

/// A Kafka cluster inside the process. Dropping it makes it unknown to new clients.
///
/// # Example
/// ```
/// use stream_core::testing::SteppedJob;
/// use stream_core::{Configuration, StreamingContext};
/// use stream_kafka::sim::FakeKafka;
/// use stream_kafka::{KafkaSink, KafkaSource};
///
/// let kafka = FakeKafka::new();
/// kafka.create_topic("from", 2);
/// kafka.create_topic("to", 1);
/// kafka.append("from", 0, "k", "ada");
///
/// let configuration = Configuration::builder()
///     .set("execution.checkpointing.interval", "1s")
///     .set("kafka.source.bootstrap.servers", kafka.bootstrap())
///     .set("kafka.source.topic", "from")
///     .set("kafka.source.group.id", "readers")
///     .set("kafka.source.auto.offset.reset", "earliest")
///     .set("kafka.sink.bootstrap.servers", kafka.bootstrap())
///     .set("kafka.sink.topic", "to")
///     .set("kafka.sink.semantic", "EXACTLY_ONCE")
///     .build()?;
/// let ctx = StreamingContext::new(configuration);
/// let names = KafkaSource::<String>::new(&ctx).bounded().values();
/// KafkaSink::new(&ctx).sink(names.map(|name| name.to_uppercase()));
/// SteppedJob::on_clock(ctx, "shout", 7, kafka.clock().clone())?.run()?;
///
/// let shouted = kafka.read_committed("to");
/// assert_eq!(shouted[0].value.as_deref(), Some(&b"ADA"[..]));
/// assert_eq!(kafka.open_transactions(), 0);
/// # Ok::<(), stream_core::Error>(())
/// ```
pub struct FakeKafka(Arc<Cluster>);

/// What all clients of one fake share.
struct Cluster {
    name: String,
    clock: VirtualClock,
    state: Mutex<State>,
    network: Mutex<Arc<dyn Network>>,
}

#[derive(Default)]
struct State {
    broker: Broker,
    /// By number of the handle.
    producers: BTreeMap<u64, Sending>,
    /// Readers, to be woken when there may be more.
    readers: BTreeMap<u64, Waker>,
    woken_at: u64,
    /// Requests to end a transaction that are still on their way.
    late: Vec<(String, Writer, bool)>,
    dead: BTreeSet<String>,
    handles: u64,
}

/// Something that is on its way.
enum Underway {
    Record(u64, (Topic, i32)),
    Late(usize),
    Markers(String),
}

fn clusters() -> MutexGuard<'static, BTreeMap<String, Weak<Cluster>>> {
    static CLUSTERS: Mutex<BTreeMap<String, Weak<Cluster>>> = Mutex::new(BTreeMap::new());
    CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cluster that these settings name, if they name a fake one.
fn named(settings: &BTreeMap<String, String>) -> Result<Option<Arc<Cluster>>> {
    let Some(name) = settings.get("bootstrap.servers").filter(|servers| servers.starts_with(SCHEME)) else {
        return Ok(None);
    };
    match clusters().get(name).and_then(Weak::upgrade) {
        Some(cluster) => Ok(Some(cluster)),
        None => {
            let message = format!("there is no FakeKafka `{name}` in this process, or it was dropped");
            Err(Error::new(ErrorKind::Config, message))
        }
    }
}

/// The clock of the fake cluster that these settings name.
pub(crate) fn clock(settings: &BTreeMap<String, String>) -> Option<VirtualClock> {
    named(settings).ok().flatten().map(|cluster| cluster.clock.clone())
}

/// The last committed record of a topic, if the cluster that these settings name is a fake one.
pub(crate) fn last_record(
    settings: &BTreeMap<String, String>,
    topic: Topic,
    limit: Duration,
) -> Option<std::result::Result<Option<LastRecord>, ClientError>> {
    let cluster = named(settings).ok().flatten()?;
    let client = settings.get("client.id").cloned().unwrap_or_default();
    let answer = cluster.carry(&client, Request::Fetch, limit, |state, _, _| Ok(state.broker.last(topic)));
    Some(answer.map_err(ClientError::MessageConsumption))
}

impl Default for FakeKafka {
    fn default() -> FakeKafka {
        FakeKafka::new()
    }
}

impl FakeKafka {
    /// A cluster without topics, whose network is perfect.
    pub fn new() -> FakeKafka {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        // As a port, for whoever checks that there is one.
        let name = loop {
            let number = NUMBERS.fetch_add(1, Ordering::Relaxed) % 60_000 + 1;
            let name = format!("{SCHEME}{number}");
            if clusters().get(&name).is_none_or(|known| known.strong_count() == 0) {
                break name;
            }
        };
        let cluster = Arc::new(Cluster {
            name: name.clone(),
            clock: VirtualClock::new(),
            state: Mutex::default(),
            network: Mutex::new(Arc::new(Perfect)),
        });
        clusters().insert(name, Arc::downgrade(&cluster));
        FakeKafka(cluster)
    }

    /// What to set `bootstrap.servers` to.
    pub fn bootstrap(&self) -> String {
        self.0.name.clone()
    }

    /// The time that it lives by.
    pub fn clock(&self) -> &VirtualClock {
        &self.0.clock
    }

    /// Lets somebody else decide what becomes of requests.
    pub fn set_network(&self, network: Arc<dyn Network>) {
        *self.0.network.lock().unwrap_or_else(PoisonError::into_inner) = network;
    }

    /// Creates a topic, unless there is one of that name.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        self.0.lock().broker.create_topic(Topic::new(name), partitions);
    }

    /// Appends a record. One for a partition that does not exist goes nowhere.
    pub fn append(&self, topic: &str, partition: i32, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (key, value) = (Some(key.as_ref().to_vec()), Some(value.as_ref().to_vec()));
        let mut state = self.0.lock();
        let _ = state.broker.append(Topic::new(topic), FakeRecord { partition, key, value, ..FakeRecord::default() });
        state.wake_readers();
    }

    /// Begins and leaves a transaction of some other program that holds this record; it is aborted or committed.
    pub fn append_in_transaction(&self, topic: &str, partition: i32, value: impl AsRef<[u8]>, commit: bool) {
        const ID: &str = "somebody else's";
        let (value, now) = (Some(value.as_ref().to_vec()), self.0.clock.monotonic());
        let mut state = self.0.lock();
        let record = FakeRecord { partition, value, ..FakeRecord::default() };
        if let Ok(writer) = state.broker.init(ID, Duration::MAX / 2) {
            let _ = state.broker.produce((ID, writer), Topic::new(topic), record, now);
            let _ = state.broker.end_transaction(ID, writer, commit);
            state.broker.complete(ID);
        }
        state.wake_readers();
    }

    /// What a reader of committed records gets of a topic, partition by partition.
    pub fn read_committed(&self, topic: &str) -> Vec<FakeRecord> {
        self.read(topic, true)
    }

    /// What is in a topic, whether it is committed or not.
    pub fn read_uncommitted(&self, topic: &str) -> Vec<FakeRecord> {
        self.read(topic, false)
    }

    fn read(&self, topic: &str, committed: bool) -> Vec<FakeRecord> {
        let (topic, state, mut records) = (Topic::new(topic), self.0.lock(), Vec::new());
        for partition in state.broker.partitions(topic).unwrap_or_default() {
            for offset in 0.. {
                match state.broker.read((topic, partition), offset, committed) {
                    Ok(Read::Record(_, record)) => records.push(record.clone()),
                    Ok(Read::Hidden) => {}
                    Ok(Read::End) | Err(_) => break,
                }
            }
        }
        records
    }

    /// The offset after the last committed record of each partition, and the position of the group there, if it has one
    /// and none of its positions waits for a transaction.
    pub fn positions(&self, group: &str, topic: &str) -> Vec<(i64, Option<i64>)> {
        let (topic, state) = (Topic::new(topic), self.0.lock());
        let stored = state.broker.offsets(group).unwrap_or_default();
        let partitions = state.broker.partitions(topic).unwrap_or_default().into_iter();
        let position = |partition| stored.iter().find(|at| (at.topic, at.partition) == (topic, partition));
        partitions
            .map(|partition| {
                let end = state.broker.end((topic, partition), true).unwrap_or(0);
                (end, position(partition).map(|stored| stored.offset))
            })
            .collect()
    }

    /// How many transactions have begun on the brokers and are not over.
    pub fn open_transactions(&self) -> usize {
        self.0.lock().broker.ongoing()
    }

    /// A client dies: it is refused everything, and what it has sent and not delivered is gone.
    pub fn kill(&self, client: &str) {
        let mut state = self.0.lock();
        state.dead.insert(client.to_owned());
        state.producers.retain(|_, sending| sending.client != client);
    }

    /// How many things are on their way: records, late requests, markers.
    pub fn underway(&self) -> usize {
        self.0.lock().underway().len()
    }

    /// Lets the thing with this index arrive; returns what it was, for people.
    pub fn deliver(&self, index: usize) -> Option<&'static str> {
        self.0.arrive(index, false)
    }

    /// Loses the thing with this index for good, if it is a record: its producer learns that it was not delivered.
    pub fn lose(&self, index: usize) -> Option<&'static str> {
        self.0.arrive(index, true)
    }
}

impl Drop for FakeKafka {
    fn drop(&mut self) {
        clusters().remove(&self.0.name);
    }
}

impl State {
    fn underway(&self) -> Vec<Underway> {
        let mut found = Vec::new();
        for (handle, sending) in &self.producers {
            found.extend(sending.splits().map(|split| Underway::Record(*handle, split)));
        }
        found.extend((0..self.late.len()).map(Underway::Late));
        found.extend(self.broker.decided().into_iter().map(Underway::Markers));
        found
    }

    fn wake_readers(&mut self) {
        if std::mem::replace(&mut self.woken_at, self.broker.version) != self.broker.version {
            self.readers.values().for_each(Waker::wake);
        }
    }

    /// A request to end a transaction arrives.
    fn end_transaction(&mut self, id: &str, writer: Writer, commit: bool, markers: bool) -> Result<(), ErrorCode> {
        let ended = self.broker.end_transaction(id, writer, commit);
        if ended.is_ok() && markers {
            self.broker.complete(id);
        }
        ended
    }
}

impl Cluster {
    /// Whoever looks at the brokers sees what has expired until now.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.broker.expire(self.clock.monotonic());
        state
    }

    fn network(&self) -> Arc<dyn Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn arrive(&self, index: usize, lose: bool) -> Option<&'static str> {
        let markers = self.network().writes_markers();
        let (now, mut attended) = (self.clock.monotonic(), None);
        let mut state = self.lock();
        let what = match state.underway().into_iter().nth(index)? {
            Underway::Record(handle, split) => {
                let State { broker, producers, .. } = &mut *state;
                let sending = producers.get_mut(&handle)?;
                match lose {
                    true => sending.lose(split),
                    false => sending.deliver(broker, split, now),
                }
                attended = sending.attended.upgrade();
                "a record"
            }
            Underway::Late(index) => {
                let (id, writer, commit) = state.late.remove(index);
                // Nobody waits for the answer.
                match state.end_transaction(&id, writer, commit, markers) {
                    Ok(()) => "a late request to end a transaction, which did",
                    Err(_) => "a late request to end a transaction, in vain",
                }
            }
            Underway::Markers(id) => {
                state.broker.complete(&id);
                "markers"
            }
        };
        state.wake_readers();
        drop(state);
        if let Some(attended) = attended {
            attended.attend();
        }
        Some(what)
    }
}

/// As the client library says that there was no answer in time.
const NO_ANSWER: ErrorCode = ErrorCode::OperationTimedOut;

/// As a client that must not go on trying is told.
const DEAD: ErrorCode = ErrorCode::SaslAuthenticationFailed;

impl Cluster {
    /// Takes a request to the brokers and the answer back, as far as the network lets it.
    fn carry<R>(
        &self,
        client: &str,
        request: Request,
        limit: Duration,
        serve: impl FnOnce(&mut State, Duration, Passage) -> Result<R, ErrorCode>,
    ) -> Result<R, ErrorCode> {
        let is_dead = || self.lock().dead.contains(client);
        if is_dead() {
            return Err(DEAD);
        }
        // Others may act meanwhile, and the client may die.
        let passage = self.network().carry(client, request);
        if is_dead() {
            return Err(DEAD);
        }
        if passage == Passage::RequestLost {
            self.clock.advance(limit);
            return Err(NO_ANSWER);
        }
        let served = {
            let now = self.clock.monotonic();
            let mut state = self.lock();
            let served = serve(&mut state, now, passage);
            state.wake_readers();
            served
        };
        match passage {
            Passage::Good | Passage::Twice => served,
            Passage::RequestLost | Passage::AnswerLost | Passage::Late => {
                self.clock.advance(limit);
                Err(NO_ANSWER)
            }
        }
    }

    /// As [`carry`](Cluster::carry) for what waits while the transaction before is not quite over.
    fn carry_patiently<R>(
        &self,
        client: &str,
        request: Request,
        limit: Duration,
        id: &str,
        mut serve: impl FnMut(&mut State, Duration, Passage) -> Result<R, ErrorCode>,
    ) -> Result<R, ErrorCode> {
        let network = self.network();
        let answer = self.carry(client, request, limit, |state, now, passage| {
            for _ in 0..2 {
                match serve(state, now, passage) {
                    Err(ErrorCode::ConcurrentTransactions) if network.writes_markers() => state.broker.complete(id),
                    served => return served,
                }
            }
            serve(state, now, passage)
        });
        match answer {
            // The client library tries again until its time is over.
            Err(ErrorCode::ConcurrentTransactions) => {
                self.clock.advance(limit);
                Err(NO_ANSWER)
            }
            answer => answer,
        }
    }
}

fn stored(splits: &[((Topic, i32), i64)]) -> Vec<StoredOffset> {
    let stored = splits.iter().map(|((topic, partition), offset)| StoredOffset {
        topic: *topic,
        partition: *partition,
        offset: *offset,
        metadata: String::new(),
    });
    stored.collect()
}
