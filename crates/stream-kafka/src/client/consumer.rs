//! The consumer handle and its lanes.
//!
//! Every partition's queue in librdkafka is forwarded to the queue of one lane *before* the partition is
//! assigned, so that no message takes the way over the handle's main queue. A lane takes whole batches off its
//! queue (`rd_kafka_consume_batch_queue`: less than half the cost per message of `poll`) and lends each message
//! out as a [`RawRecord`]; the message is destroyed when the borrow ends.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use stream_core::clock::SystemClock;
use stream_core::thread::Waker;
use stream_core::{Error, Result, Timestamp};

use super::connection::Connection;
use super::rights::{Account, Resource, Right, may, members};
use super::time::Time;
use super::{client_error, partitions};
use crate::record::{Headers, RawRecord, ReadHeaders, TimestampType, Topic};
#[cfg(feature = "sim")]
use crate::sim::{FakeConsumer, FakeLane};

/// How many messages a lane takes off its queue at once.
const FETCH: usize = 512;

/// Milliseconds that a commit waits for a coordinator that is away; the next commit tries again.
const COORDINATOR: &str = "3000";

/// One partition of one topic.
pub(crate) type TopicPartition = (Topic, i32);

/// Where reading a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) split: TopicPartition,
    pub(crate) offset: i64,
}

/// The consumer handle of one source.
#[derive(Clone)]
pub(crate) enum ConsumerHandle {
    Native(NativeConsumer),
    #[cfg(feature = "sim")]
    Fake(Arc<FakeConsumer>),
}

type NativeConsumer = Arc<BaseConsumer<Connection>>;

impl ConsumerHandle {
    /// Creates the handle; nothing is connected before it is needed.
    pub(crate) fn new(settings: &BTreeMap<String, String>) -> Result<ConsumerHandle> {
        #[cfg(feature = "sim")]
        if let Some(fake) = FakeConsumer::new(settings)? {
            return Ok(ConsumerHandle::Fake(Arc::new(fake)));
        }
        let mut config: ClientConfig = settings.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        if settings.get("group.protocol").is_none_or(|protocol| protocol == "classic") {
            // The group is never joined, so this is only how long a commit waits for a coordinator that is away; the
            // handle can't be closed before.
            config.set("session.timeout.ms", COORDINATOR);
        }
        let consumer = config.create_with_context(Connection::new(settings)).map_err(|e| creation_error(&e))?;
        Ok(ConsumerHandle::Native(Arc::new(consumer)))
    }

    /// Serves log lines and errors, for at most `wait`.
    pub(crate) fn serve(&self, wait: Duration) {
        let native = match self {
            ConsumerHandle::Native(native) => native,
            #[cfg(feature = "sim")]
            ConsumerHandle::Fake(_) => return,
        };
        while let Some(event) = native.poll(wait) {
            if let Err(error) = event {
                tracing::debug!(target: "stream_kafka::client", "{error}");
            }
            if !wait.is_zero() {
                break;
            }
        }
    }

    fn connection(&self) -> &Connection {
        match self {
            ConsumerHandle::Native(native) => native.client().context(),
            #[cfg(feature = "sim")]
            ConsumerHandle::Fake(fake) => fake.connection(),
        }
    }

    /// The time that waiting for its brokers takes.
    pub(crate) fn time(&self) -> Time {
        match self {
            ConsumerHandle::Native(_) => Time::System(SystemClock::new()),
            #[cfg(feature = "sim")]
            ConsumerHandle::Fake(fake) => Time::Virtual(fake.clock().clone()),
        }
    }

    /// Why a broker could not be reached, if that happened since the last call.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.connection().take_trouble()
    }

    /// Who the handle is to the brokers.
    pub(crate) fn account(&self) -> &Account {
        self.connection().account()
    }

    /// Whether a broker has not let the user in.
    pub(crate) fn is_refused(&self) -> bool {
        self.connection().is_refused()
    }

    /// Whether the user has the right; `None` if the brokers don't tell.
    pub(crate) fn may(&self, right: Right, resource: Resource<'_>, limit: Duration) -> Option<bool> {
        match self {
            ConsumerHandle::Native(native) => may(native.client(), right, resource, limit),
            #[cfg(feature = "sim")]
            ConsumerHandle::Fake(_) => None,
        }
    }

    /// How many live members a group has; `None` if the brokers don't tell.
    pub(crate) fn members(&self, group: &str, limit: Duration) -> Option<usize> {
        match self {
            ConsumerHandle::Native(native) => members(native.client(), group, limit),
            #[cfg(feature = "sim")]
            ConsumerHandle::Fake(_) => None,
        }
    }

    /// The partitions of a topic, in order; `None` if there is no such topic.
    pub(crate) fn partitions(&self, topic: &str, limit: Duration) -> Result<Option<Vec<i32>>, KafkaError> {
        match self {
            ConsumerHandle::Native(native) => partitions(native.client(), topic, limit),
            #[cfg(feature = "sim")]
            ConsumerHandle::Fake(fake) => fake.partitions(topic, limit),
        }
    }

    /// The group's committed position of each split.
    pub(crate) fn committed(&self, splits: &[TopicPartition], limit: Duration) -> Result<Vec<Option<i64>>, KafkaError> {
        let native = match self {
            ConsumerHandle::Native(native) => native,
            #[cfg(feature = "sim")]
            ConsumerHandle::Fake(fake) => return fake.committed(splits, limit),
        };
        let mut list = TopicPartitionList::with_capacity(splits.len());
        for (topic, partition) in splits {
            list.add_partition(topic.as_str(), *partition);
        }
        let committed = native.committed_offsets(list, limit)?;
        Ok(splits
            .iter()
            .map(|(topic, partition)| {
                let found = committed.find_partition(topic.as_str(), *partition)?;
                match found.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                }
            })
            .collect())
    }

    /// The first offset and the one after the last of a partition.
    pub(crate) fn watermarks(&self, split: TopicPartition, limit: Duration) -> Result<(i64, i64), KafkaError> {
        match self {
            ConsumerHandle::Native(native) => native.fetch_watermarks(split.0.as_str(), split.1, limit),
            #[cfg(feature = "sim")]
            ConsumerHandle::Fake(fake) => fake.watermarks(split, limit),
        }
    }

    /// Begins to store positions in the group; never waits.
    pub(crate) fn start_commit(&self, positions: &[(TopicPartition, i64)]) -> Result<Commit, KafkaError> {
        let native = match self {
            ConsumerHandle::Native(native) => native,
            #[cfg(feature = "sim")]
            ConsumerHandle::Fake(fake) => return Ok(Commit::Fake(fake.commit(positions))),
        };
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for ((topic, partition), offset) in positions {
            list.add_partition_offset(topic.as_str(), *partition, Offset::Offset(*offset))?;
        }
        let client = native.client().native_ptr();
        // SAFETY: the handle is alive; rd_kafka_queue_new never returns null.
        let raw = unsafe { rd::rd_kafka_queue_new(client) };
        let answers = Queue(NonNull::new(raw).expect("librdkafka aborts when it is out of memory"));
        // SAFETY: handle, list and queue are alive; librdkafka copies the list and counts its reference to the queue.
        // Without a callback the answer comes as an event on the queue.
        let code =
            unsafe { rd::rd_kafka_commit_queue(client, list.ptr(), answers.0.as_ptr(), None, std::ptr::null_mut()) };
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(Commit::Native { answers, _handle: native.clone() }),
            code => Err(KafkaError::ConsumerCommit(code.into())),
        }
    }

    /// Begins to read: lane i gets the splits of `starts[i]` and wakes `wakers[i]`.
    pub(crate) fn assign(&self, starts: &[Vec<Start>], wakers: Vec<Waker>) -> Result<Vec<Lane>> {
        let native = match self {
            ConsumerHandle::Native(native) => native,
            #[cfg(feature = "sim")]
            ConsumerHandle::Fake(fake) => {
                let lanes = starts.iter().zip(wakers);
                let lane =
                    |(starts, waker): (&Vec<Start>, Waker)| FakeLane::new(self.clone(), fake.clone(), starts, waker);
                return Ok(lanes.map(|lane_of| Lane::Fake(lane(lane_of))).collect());
            }
        };
        let mut lanes = Vec::with_capacity(starts.len());
        // Held until the assignment has taken over, so that librdkafka keeps the forwarding.
        let mut queues = Vec::new();
        let mut list = TopicPartitionList::new();
        for (starts, waker) in starts.iter().zip(wakers) {
            let lane = NativeLane::new(native, waker);
            for start in starts {
                let (topic, partition) = start.split;
                queues.push(forward(native, topic, partition, &lane)?);
                list.add_partition_offset(topic.as_str(), partition, Offset::Offset(start.offset))
                    .map_err(|e| client_error("can't assign partitions", &e))?;
            }
            lanes.push(Lane::Native(lane));
        }
        native.assign(&list).map_err(|e| client_error("can't assign partitions", &e))?;
        Ok(lanes)
    }

    /// Stops fetching a split, or goes on with it at `next`. What was fetched and not taken off its lane is thrown away.
    ///
    /// Asks the client's own thread, which answers in microseconds.
    pub(crate) fn set_paused(&self, split: TopicPartition, paused: bool, next: i64) -> Result<(), KafkaError> {
        let native = match self {
            ConsumerHandle::Native(native) => native,
            #[cfg(feature = "sim")]
            ConsumerHandle::Fake(fake) => {
                fake.set_paused(split, paused);
                return Ok(());
            }
        };
        let (topic, partition) = split;
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(topic.as_str(), partition, Offset::Offset(next))?;
        if paused {
            return native.pause(&list);
        }
        // librdkafka would go on at its own idea of our position, which the report of a partition's end moves one
        // record too far (rd_kafka_q_serve_rkmessages, 2.12). A limit of zero means not to wait for the seek; the
        // resume is queued behind it.
        native.seek_partitions(list.clone(), Duration::ZERO)?;
        native.resume(&list)
    }
}

/// Sends what is fetched for a partition to a lane's queue from now on.
fn forward(native: &NativeConsumer, topic: Topic, partition: i32, lane: &NativeLane) -> Result<Queue> {
    let name = CString::new(topic.as_str()).map_err(|_| Error::internal("a topic name with a NUL byte"))?;
    // SAFETY: the handle outlives the call, `name` is NUL-terminated; the result is checked for null.
    let raw = unsafe { rd::rd_kafka_queue_get_partition(native.client().native_ptr(), name.as_ptr(), partition) };
    let queue = Queue(NonNull::new(raw).ok_or_else(|| {
        Error::internal(format!("the client has no queue for `{}` partition {partition}", topic.as_str()))
    })?);
    // SAFETY: both queues are alive; librdkafka counts the reference it keeps on the target.
    unsafe { rd::rd_kafka_queue_forward(queue.0.as_ptr(), lane.queue.0.as_ptr()) };
    Ok(queue)
}

pub(super) fn creation_error(error: &KafkaError) -> Error {
    // The crate's own text of a refused setting contains the value, which may be a secret.
    let message = match error {
        KafkaError::ClientConfig(_, reason, key, _) => {
            let reason = reason.split(" for configuration property").next().unwrap_or("refused");
            format!("the Kafka client refused `{key}`: {reason}")
        }
        KafkaError::ClientCreation(reason) => format!("the Kafka client can't be created: {reason}"),
        other => format!("the Kafka client can't be created: {:?}", other.rdkafka_error_code()),
    };
    Error::new(stream_core::ErrorKind::Config, message)
        .with_hint("see docs/src/kafka-keys.md for what each key becomes")
}

/// An owned reference to a librdkafka queue.
pub(crate) struct Queue(NonNull<rd::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues are thread-safe; this is one counted reference.
unsafe impl Send for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: gives back the one reference this value owns.
        unsafe { rd::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

/// Positions on their way to the group.
pub(crate) enum Commit {
    Native {
        answers: Queue,
        /// The queue belongs to it, so it goes last.
        _handle: NativeConsumer,
    },
    /// The answer, if there was one.
    #[cfg(feature = "sim")]
    Fake(Option<Result<(), KafkaError>>),
}

impl Commit {
    /// The answer, if it comes within `limit`; to be asked no more after that. An error of one partition is an error.
    pub(crate) fn answer(&self, limit: Duration) -> Option<Result<(), KafkaError>> {
        let answers = match self {
            Commit::Native { answers, .. } => answers,
            #[cfg(feature = "sim")]
            Commit::Fake(answer) => return answer.clone(),
        };
        let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; an event that is not null is ours to destroy.
        let event = NonNull::new(unsafe { rd::rd_kafka_queue_poll(answers.0.as_ptr(), millis) })?;
        // SAFETY: a live event, whose list lives as long as it and holds `cnt` elements.
        let codes = unsafe {
            let mut codes = vec![rd::rd_kafka_event_error(event.as_ptr())];
            if let Some(list) = rd::rd_kafka_event_topic_partition_list(event.as_ptr()).as_ref() {
                codes.extend((0..usize::try_from(list.cnt).unwrap_or(0)).map(|i| (*list.elems.add(i)).err));
            }
            rd::rd_kafka_event_destroy(event.as_ptr());
            codes
        };
        let failed = codes.into_iter().find(|code| *code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
        Some(failed.map_or(Ok(()), |code| Err(KafkaError::ConsumerCommit(code.into()))))
    }
}

/// What a lane has found.
pub(crate) enum Fetched<'a> {
    /// A message.
    Record(RawRecord<'a>),
    /// The log of a partition ends at this offset for now.
    PartitionEnd(TopicPartition, i64),
    /// A partition can't be read.
    Failed(Option<TopicPartition>, RDKafkaErrorCode),
}

/// The messages of one subtask's partitions.
pub(crate) enum Lane {
    Native(NativeLane),
    #[cfg(feature = "sim")]
    Fake(FakeLane),
}

impl Lane {
    /// The handle this lane belongs to.
    pub(crate) fn handle(&self) -> &ConsumerHandle {
        match self {
            Lane::Native(lane) => &lane.handle,
            #[cfg(feature = "sim")]
            Lane::Fake(lane) => lane.handle(),
        }
    }

    /// Lends out what has been fetched, at most one batch; never waits. Stops at the first error of `each`.
    #[inline]
    pub(crate) fn fetch(&mut self, each: impl FnMut(Fetched<'_>) -> Result<()>) -> Result<usize> {
        match self {
            Lane::Native(lane) => lane.fetch(each),
            #[cfg(feature = "sim")]
            Lane::Fake(lane) => lane.fetch(each),
        }
    }
}

/// The lane of a real client.
pub(crate) struct NativeLane {
    queue: Queue,
    /// What librdkafka calls when the queue stops being empty; owned here, freed after it was unhooked.
    waker: NonNull<Waker>,
    /// Empty but for its room, except within `fetch`.
    messages: Vec<Message>,
    last_topic: LastTopic,
    handle: ConsumerHandle,
}

// SAFETY: `messages` is empty between two calls of `fetch`, the pointer in `last_topic` is only compared; `waker`
// points to a `Waker`, which is Send and Sync.
unsafe impl Send for NativeLane {}

/// A message that is ours to destroy. One left over would keep the handle from ever being closed.
#[repr(transparent)]
struct Message(NonNull<rd::rd_kafka_message_t>);

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: each message is owned by one value, so it is destroyed once.
        unsafe { rd::rd_kafka_message_destroy(self.0.as_ptr()) };
    }
}

/// The topic of the message before, by librdkafka's pointer: messages come in runs. The pointer stays good, because
/// the assignment, which never changes, holds the topics of all its partitions.
struct LastTopic(*mut rd::rd_kafka_topic_t, Topic);

unsafe extern "C" fn wake(_client: *mut rd::rd_kafka_t, waker: *mut c_void) {
    // SAFETY: `Lane` keeps the waker alive until it has unhooked this callback.
    unsafe { &*waker.cast::<Waker>() }.wake();
}

impl NativeLane {
    fn new(native: &NativeConsumer, waker: Waker) -> NativeLane {
        // SAFETY: the handle is alive; rd_kafka_queue_new never returns null.
        let raw = unsafe { rd::rd_kafka_queue_new(native.client().native_ptr()) };
        let queue = Queue(NonNull::new(raw).expect("librdkafka aborts when it is out of memory"));
        let waker = NonNull::from(Box::leak(Box::new(waker)));
        // SAFETY: the queue is alive and the waker lives until Drop has unhooked it.
        unsafe { rd::rd_kafka_queue_cb_event_enable(queue.0.as_ptr(), Some(wake), waker.as_ptr().cast()) };
        NativeLane {
            queue,
            waker,
            messages: Vec::with_capacity(FETCH),
            last_topic: LastTopic(std::ptr::null_mut(), Topic::EMPTY),
            handle: ConsumerHandle::Native(native.clone()),
        }
    }

    fn fetch(&mut self, mut each: impl FnMut(Fetched<'_>) -> Result<()>) -> Result<usize> {
        // SAFETY: `messages` is empty and has room for FETCH pointers; that many at most are written, none of them
        // null, and `Message` is such a pointer.
        let taken = unsafe {
            let room = self.messages.as_mut_ptr().cast();
            let taken = rd::rd_kafka_consume_batch_queue(self.queue.0.as_ptr(), 0, room, FETCH);
            let taken = usize::try_from(taken).unwrap_or(0);
            self.messages.set_len(taken);
            taken
        };
        // Leaving early, by an error or by a panic of `each`, destroys the rest.
        for message in self.messages.drain(..) {
            // SAFETY: a live message, borrowed until it is destroyed at the end of this turn.
            each(self.last_topic.read(unsafe { message.0.as_ref() }))?;
        }
        Ok(taken)
    }
}

impl LastTopic {
    fn of(&mut self, raw: *mut rd::rd_kafka_topic_t) -> Topic {
        if self.0 != raw {
            // SAFETY: the topic handle of a live message; its name is NUL-terminated and lives as long as it.
            let name = unsafe { CStr::from_ptr(rd::rd_kafka_topic_name(raw)) };
            *self = LastTopic(raw, Topic::new(&name.to_string_lossy()));
        }
        self.1
    }

    fn read<'a>(&mut self, message: &'a rd::rd_kafka_message_t) -> Fetched<'a> {
        let split = (!message.rkt.is_null()).then(|| (self.of(message.rkt), message.partition));
        match (message.err, split) {
            (RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, Some((topic, partition))) => {
                let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
                // SAFETY: a live message and a live place for the answer.
                let millis = unsafe { rd::rd_kafka_message_timestamp(message, &raw mut kind) };
                let (timestamp, timestamp_type) = match kind {
                    rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => {
                        (millis, TimestampType::CreateTime)
                    }
                    rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => {
                        (millis, TimestampType::LogAppendTime)
                    }
                    _ => (i64::MIN, TimestampType::NotAvailable),
                };
                // SAFETY: payload and key are valid for `len` and `key_len` bytes as long as the message is.
                let (value, key) =
                    unsafe { (bytes(message.payload, message.len), bytes(message.key, message.key_len)) };
                Fetched::Record(RawRecord {
                    topic,
                    partition,
                    offset: message.offset,
                    timestamp: Timestamp::from_millis(timestamp),
                    timestamp_type,
                    key,
                    value,
                    rest: MessageRef::of(message),
                })
            }
            (RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF, Some(split)) => {
                Fetched::PartitionEnd(split, message.offset)
            }
            (code, split) => Fetched::Failed(split, code.into()),
        }
    }
}

impl Drop for NativeLane {
    fn drop(&mut self) {
        // SAFETY: the queue is alive; after this call librdkafka no longer knows the waker, because hooking and
        // calling happen under the queue's lock.
        unsafe { rd::rd_kafka_queue_cb_event_enable(self.queue.0.as_ptr(), None, std::ptr::null_mut()) };
        // SAFETY: leaked by `new`, freed once.
        drop(unsafe { Box::from_raw(self.waker.as_ptr()) });
    }
}

/// # Safety
/// `pointer` is null, or valid for `length` bytes during `'a`.
unsafe fn bytes<'a>(pointer: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: promised by the caller.
    (!pointer.is_null()).then(|| unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), length) })
}

/// The parts of a message that are read only if somebody asks.
#[repr(transparent)]
struct MessageRef(rd::rd_kafka_message_t);

impl MessageRef {
    fn of(message: &rd::rd_kafka_message_t) -> &dyn ReadHeaders {
        // SAFETY: a transparent wrapper has the layout of what it wraps.
        unsafe { &*std::ptr::from_ref(message).cast::<MessageRef>() }
    }
}

impl ReadHeaders for MessageRef {
    fn headers(&self) -> Headers {
        let mut list = std::ptr::null_mut();
        // SAFETY: a live message and a live place for the answer; the list belongs to the message.
        let code = unsafe { rd::rd_kafka_message_headers(&raw const self.0, &raw mut list) };
        let mut headers = Headers::default();
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return headers;
        }
        for index in 0.. {
            let (mut name, mut value, mut length) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: a live header list and live places for the answers.
            let code =
                unsafe { rd::rd_kafka_header_get_all(list, index, &raw mut name, &raw mut value, &raw mut length) };
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: name is NUL-terminated, value valid for `length` bytes, both as long as the message.
            let (name, value) = unsafe { (CStr::from_ptr(name).to_string_lossy(), bytes(value, length)) };
            headers.push(name, value);
        }
        headers
    }

    fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: a live message.
        let epoch = unsafe { rd::rd_kafka_message_leader_epoch(&raw const self.0) };
        (epoch >= 0).then_some(epoch)
    }
}
