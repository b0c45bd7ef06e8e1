//! The producer handle of one sink, shared by its subtasks, and the thread that looks after it.
//!
//! | field | who | why it is safe |
//! | --- | --- | --- |
//! | librdkafka's queue | any subtask produces; the thread flushes and serves events | librdkafka's handles are thread-safe |
//! | `state` | subtasks arrive and look, the thread answers | one mutex, taken for moments, once or twice per batch |
//! | `waiting` in it | a subtask without room or in a flush sets it, the thread wakes them all | as above |
//! | `failed` | the thread sets it once, subtasks look before every batch | atomic; the reason is in `state` |
//!
//! A barrier is flushed once for all subtasks: the one that arrives last starts it. Until it is done no subtask
//! adds records, so "the queue is empty" means that everything before the barrier was acknowledged.

use std::collections::BTreeMap;
use std::ffi::{CString, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaRespErr;
use stream_core::clock::SystemClock;
use stream_core::thread::{self, Waker};
use stream_core::{Error, ErrorKind, Result};

use super::connection::Connection;
use super::consumer::creation_error;
use super::rights::{Account, Resource, Right, may};
use super::time::Time;
use super::{client_error, partitions};
use crate::record::Topic;
use crate::schema::ProducerRecord;
#[cfg(feature = "sim")]
use crate::sim::{Attended, FakeProducer};

/// How often the thread serves events when nobody asks for anything.
const SERVE: Duration = Duration::from_millis(50);

/// How long one flush call waits before the thread looks around.
const FLUSH: Duration = Duration::from_millis(200);

/// How often a sink that waits for room is looked after.
const ROOM: Duration = Duration::from_millis(2);

/// How often it is looked for the reason of a failure, with as long a pause.
const REASON_TRIES: u32 = 50;

/// Room is reported while this many records fit: a batch for each of many subtasks.
const HEADROOM: usize = 16 * stream_core::BATCH_SIZE;

/// The producer of one sink.
pub(crate) struct ProducerHandle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What takes records to the brokers.
pub(super) enum Wire {
    Native(BaseProducer<Connection>),
    #[cfg(feature = "sim")]
    Fake(FakeProducer),
}

struct Shared {
    wire: Wire,
    capacity: usize,
    /// Nothing was promised: a lost record is worth a line, not the job.
    lossy: bool,
    state: Mutex<State>,
    closing: AtomicBool,
    /// Whether `state` holds a failure.
    failed: AtomicBool,
    /// Wakes the thread.
    waker: Waker,
}

#[derive(Default)]
struct State {
    /// Subtasks that take part in a flush: those that joined and have not left.
    members: usize,
    /// Wakes them.
    wakers: Vec<Waker>,
    /// Subtasks that have reached the end of the round.
    arrived: usize,
    /// Rounds started and rounds done.
    round: u64,
    flushed: u64,
    /// Whether a subtask waits for a flush or for room.
    waiting: bool,
    failure: Option<Failure>,
}

/// The first thing that went wrong for good; every subtask reports it.
#[derive(Clone)]
struct Failure {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl Failure {
    fn error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone());
        match &self.hint {
            Some(hint) => error.with_hint(hint.clone()),
            None => error,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outstanding(&self) -> usize {
        match &self.wire {
            Wire::Native(native) => {
                // SAFETY: the handle lives as long as `wire`.
                usize::try_from(unsafe { rd::rd_kafka_outq_len(native.client().native_ptr()) }).unwrap_or(0)
            }
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => fake.outstanding(),
        }
    }

    fn connection(&self) -> &Connection {
        match &self.wire {
            Wire::Native(native) => native.context(),
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => fake.connection(),
        }
    }

    /// Waits for what was sent, for at most [`FLUSH`].
    fn flush(&self) {
        match &self.wire {
            // Calling it directly: the crate's `flush` sleeps a flat 100 ms.
            // SAFETY: the handle lives as long as `wire`.
            Wire::Native(native) => unsafe {
                rd::rd_kafka_flush(native.client().native_ptr(), millis(FLUSH));
            },
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => fake.flush(FLUSH),
        }
    }

    /// Has somebody look after the handle now.
    fn call(&self) {
        match &self.wire {
            Wire::Native(_) => self.waker.wake(),
            #[cfg(feature = "sim")]
            Wire::Fake(_) => self.attend(),
        }
    }

    fn has_room(&self) -> bool {
        self.outstanding() + HEADROOM.min(self.capacity / 2) <= self.capacity
    }

    fn fail(&self, error: &Error) {
        let mut state = self.lock();
        state.failure.get_or_insert_with(|| Failure {
            kind: error.kind(),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
        });
        self.failed.store(true, Ordering::Release);
    }

    /// Serves events, turns delivery failures into the sink's failure.
    fn serve(&self) {
        let fatal = match &self.wire {
            Wire::Native(native) => {
                native.poll(Duration::ZERO);
                native.client().fatal_error()
            }
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => {
                if let Some((error, (topic, partition))) = fake.take_lost() {
                    fake.connection().note_lost(topic.as_str(), partition, &error);
                }
                fake.fatal().map(|code| (code, "simulated".to_owned()))
            }
        };
        match self.connection().take_delivery_failure() {
            Some(error) if self.lossy => tracing::warn!("{}", error.message()),
            Some(error) => self.fail(&error),
            None => {}
        }
        if let Some((code, reason)) = fatal {
            let error = client_error("the producer can't go on", &KafkaError::MessageProduction(code));
            tracing::error!(target: "stream_kafka::client", "fatal producer error: {reason}");
            self.fail(&error);
        }
    }

    /// The thread: flushes when all subtasks have arrived, wakes those who wait for room, serves events.
    fn look_after(&self) {
        let mut said = false;
        while !self.closing.load(Ordering::Acquire) {
            self.serve();
            let (flushing, waiting) = {
                let state = self.lock();
                (state.round > state.flushed, state.waiting)
            };
            if flushing {
                self.flush();
                self.serve();
                self.after_flush(&mut said);
                continue;
            }
            if waiting && self.has_room() {
                self.wake_waiting();
            }
            self.waker.park(if waiting { ROOM } else { SERVE });
        }
    }

    fn after_flush(&self, said: &mut bool) {
        // Under the lock: a round that begins after this look must not count as done by it.
        let mut state = self.lock();
        let left = self.outstanding();
        if left == 0 || state.failure.is_some() {
            state.flushed = state.round;
            drop(state);
            self.wake_waiting();
            if std::mem::take(said) {
                tracing::info!("brokers answer again, all records are delivered");
            }
        } else {
            drop(state);
            if let Some(trouble) = self.connection().take_trouble()
                && !std::mem::replace(said, true)
            {
                tracing::warn!("waiting to deliver {left} records: {trouble}");
            }
        }
    }

    /// Wakes all subtasks: one that waits for nothing only looks once more.
    fn wake_waiting(&self) {
        let mut state = self.lock();
        if std::mem::take(&mut state.waiting) {
            state.wakers.iter().for_each(Waker::wake);
        }
    }
}

#[cfg(feature = "sim")]
impl Attended for Shared {
    /// One turn of what the thread does: a fake handle has none.
    fn attend(&self) {
        self.serve();
        let (flushing, waiting) = {
            let state = self.lock();
            (state.round > state.flushed, state.waiting)
        };
        if flushing {
            self.after_flush(&mut false);
        } else if waiting && self.has_room() {
            self.wake_waiting();
        }
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

impl ProducerHandle {
    /// Creates the handle and its thread; nothing is connected before it is needed.
    pub(crate) fn new(
        name: &str,
        settings: &BTreeMap<String, String>,
        capacity: usize,
        lossy: bool,
    ) -> Result<Arc<ProducerHandle>> {
        let shared = |wire| {
            Arc::new(Shared {
                wire,
                capacity,
                lossy,
                state: Mutex::default(),
                closing: AtomicBool::new(false),
                failed: AtomicBool::new(false),
                waker: Waker::new(),
            })
        };
        #[cfg(feature = "sim")]
        if let Some(fake) = FakeProducer::new(settings)? {
            let shared = shared(Wire::Fake(fake));
            if let Wire::Fake(fake) = &shared.wire {
                let attended: std::sync::Weak<dyn Attended> = Arc::<Shared>::downgrade(&shared);
                fake.set_attended(attended);
            }
            return Ok(Arc::new(ProducerHandle { shared, thread: Mutex::default() }));
        }
        let mut config: ClientConfig = settings.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        // Successes are counted by the queue's length; only failures are worth an event each.
        config.set("delivery.report.only.error", "true");
        let producer = config.create_with_context(Connection::new(settings)).map_err(|e| creation_error(&e))?;
        let shared = shared(Wire::Native(producer));
        let for_thread = shared.clone();
        let thread = thread::spawn(&format!("{name}-producer"), move || for_thread.look_after())?;
        Ok(Arc::new(ProducerHandle { shared, thread: Mutex::new(Some(thread)) }))
    }

    /// Adds a subtask whose barriers every flush waits for.
    pub(crate) fn join(&self, waker: Waker) {
        let mut state = self.shared.lock();
        state.members += 1;
        state.wakers.push(waker);
    }

    /// Wakes one more subtask when there is room; flushes don't wait for it.
    pub(crate) fn watch(&self, waker: Waker) {
        self.shared.lock().wakers.push(waker);
    }

    /// A subtask has ended and flushed: later flushes don't wait for it.
    pub(crate) fn leave(&self) {
        let mut state = self.shared.lock();
        state.members -= 1;
        self.start_if_all_arrived(state);
    }

    /// This subtask adds nothing more to the round; returns the round to wait for.
    pub(crate) fn arrive(&self) -> u64 {
        let mut state = self.shared.lock();
        state.arrived += 1;
        state.waiting = true;
        let round = state.round + 1;
        self.start_if_all_arrived(state);
        round
    }

    fn start_if_all_arrived(&self, mut state: MutexGuard<'_, State>) {
        if state.arrived > 0 && state.arrived >= state.members {
            state.arrived = 0;
            state.round += 1;
            drop(state);
            self.shared.call();
        }
    }

    /// Whether everything up to this round was acknowledged; if not, the subtask is woken when it is.
    ///
    /// # Errors
    /// What [`ProducerHandle::check`] says.
    pub(crate) fn flushed(&self, round: u64) -> Result<bool> {
        self.check()?;
        let mut state = self.shared.lock();
        if state.flushed >= round {
            // A failure may have ended the flush since the first look.
            return state.failure.as_ref().map_or(Ok(true), |failure| Err(failure.error()));
        }
        state.waiting = true;
        Ok(false)
    }

    /// Whether a batch fits; if not, the subtask is woken when one does.
    pub(crate) fn has_room(&self) -> bool {
        if self.shared.has_room() {
            return true;
        }
        self.shared.lock().waiting = true;
        self.shared.call();
        false
    }

    /// Cheap as long as all is well.
    ///
    /// # Errors
    /// The first reason why a record was lost or no more can be sent.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.shared.failed.load(Ordering::Acquire) {
            return Ok(());
        }
        self.shared.lock().failure.as_ref().map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// Why a transaction takes no more records: the report of the record that has failed comes at about the same time.
    ///
    /// # Errors
    /// The reason, unless it does not come.
    fn reason(&self) -> Result<()> {
        for _ in 0..REASON_TRIES {
            self.shared.serve();
            self.check()?;
            Waker::new().park(ROOM);
        }
        Ok(())
    }

    /// A topic to produce to.
    pub(crate) fn topic(self: &Arc<ProducerHandle>, topic: Topic) -> Result<ProducerTopic> {
        let raw = match &self.shared.wire {
            Wire::Native(native) => {
                let name = CString::new(topic.as_str()).map_err(|_| Error::internal("a topic name with a NUL byte"))?;
                let client = native.client().native_ptr();
                // SAFETY: the handle is alive, the name is NUL-terminated, a null configuration means defaults.
                let raw = unsafe { rd::rd_kafka_topic_new(client, name.as_ptr(), std::ptr::null_mut()) };
                NonNull::new(raw)
                    .ok_or_else(|| Error::internal(format!("the client has no handle for topic `{topic}`")))?
            }
            // Never looked at.
            #[cfg(feature = "sim")]
            Wire::Fake(_) => NonNull::dangling(),
        };
        Ok(ProducerTopic { raw, topic, producer: self.clone() })
    }

    /// The client library's producer, or what stands in for it.
    pub(super) fn wire(&self) -> &Wire {
        &self.shared.wire
    }

    /// The time that waiting for its brokers takes.
    pub(crate) fn time(&self) -> Time {
        match &self.shared.wire {
            Wire::Native(_) => Time::System(SystemClock::new()),
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => Time::Virtual(fake.clock().clone()),
        }
    }

    /// Whether it is that of a fake cluster.
    pub(crate) fn is_fake(&self) -> bool {
        !matches!(self.shared.wire, Wire::Native(_))
    }

    /// Waits until everything that was sent is acknowledged.
    ///
    /// # Errors
    /// What [`ProducerHandle::check`] says.
    pub(crate) fn flush_now(&self) -> Result<()> {
        loop {
            self.shared.flush();
            self.shared.serve();
            self.check()?;
            if self.shared.outstanding() == 0 {
                return Ok(());
            }
        }
    }

    /// Whether a connection was lost or refused since the last call.
    pub(crate) fn was_disturbed(&self) -> bool {
        self.shared.connection().take_disturbance()
    }

    /// Takes over the subtasks of another handle, which nobody uses any more.
    pub(crate) fn succeed(&self, other: &ProducerHandle) {
        let (mut own, other) = (self.shared.lock(), other.shared.lock());
        own.members = other.members;
        own.wakers.clone_from(&other.wakers);
    }

    /// Who the handle is to the brokers.
    pub(crate) fn account(&self) -> &Account {
        self.shared.connection().account()
    }

    /// Whether a broker has not let the user in.
    pub(crate) fn is_refused(&self) -> bool {
        self.shared.connection().is_refused()
    }

    /// Whether the user has the right; `None` if the brokers don't tell.
    pub(crate) fn may(&self, right: Right, resource: Resource<'_>, limit: Duration) -> Option<bool> {
        match &self.shared.wire {
            Wire::Native(native) => may(native.client(), right, resource, limit),
            #[cfg(feature = "sim")]
            Wire::Fake(_) => None,
        }
    }

    /// The partitions of a topic, in order; `None` if there is no such topic.
    pub(crate) fn partitions(&self, topic: Topic, limit: Duration) -> Result<Option<Vec<i32>>, KafkaError> {
        match &self.shared.wire {
            Wire::Native(native) => partitions(native.client(), topic.as_str(), limit),
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => fake.partitions(topic, limit),
        }
    }

    /// Why a broker could not be reached, if that happened since the last call.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.shared.serve();
        self.shared.connection().take_trouble()
    }
}

impl Drop for ProducerHandle {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.waker.wake();
        match &self.shared.wire {
            // Records of an aborted job are not waited for: they were never promised.
            // SAFETY: the handle is alive.
            Wire::Native(native) => unsafe {
                rd::rd_kafka_purge(
                    native.client().native_ptr(),
                    rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_INFLIGHT | rd::RD_KAFKA_PURGE_F_NON_BLOCKING,
                );
            },
            #[cfg(feature = "sim")]
            Wire::Fake(_) => {}
        }
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the thread was already printed; nothing is left to do with it.
            let _ = thread.join();
        }
    }
}

/// A topic of one producer, with librdkafka's handle for it.
pub(crate) struct ProducerTopic {
    raw: NonNull<rd::rd_kafka_topic_t>,
    topic: Topic,
    producer: Arc<ProducerHandle>,
}

// SAFETY: topic handles are thread-safe and counted; the producer they belong to is kept alive.
unsafe impl Send for ProducerTopic {}

impl Drop for ProducerTopic {
    fn drop(&mut self) {
        if self.producer.is_fake() {
            return;
        }
        // SAFETY: gives back the one reference this value owns, before the producer goes.
        unsafe { rd::rd_kafka_topic_destroy(self.raw.as_ptr()) };
    }
}

/// Why a record was not taken.
pub(crate) enum Refused {
    /// The send queue is full: try again later.
    Full,
    /// It can't be sent at all.
    Failed(Error),
}

impl ProducerTopic {
    /// Copies a record into the send queue, for one partition.
    pub(crate) fn produce(&self, partition: i32, record: &ProducerRecord) -> Result<(), Refused> {
        match &self.producer.shared.wire {
            Wire::Native(native) => self.produce_native(native, partition, record),
            #[cfg(feature = "sim")]
            Wire::Fake(fake) => {
                let produced = fake.produce(self.topic, partition, record);
                produced.map_err(|error| self.refused(partition, record.value().map_or(0, <[u8]>::len), &error))
            }
        }
    }

    #[inline]
    fn produce_native(
        &self,
        native: &BaseProducer<Connection>,
        partition: i32,
        record: &ProducerRecord,
    ) -> Result<(), Refused> {
        let (value, key) = (as_raw(record.value()), as_raw(record.key()));
        let plain = record.timestamp().is_none() && record.headers().is_empty();
        let code = if plain {
            // SAFETY: topic handle and buffers are live; F_COPY copies the value, and the key is always copied.
            let answer = unsafe {
                rd::rd_kafka_produce(
                    self.raw.as_ptr(),
                    partition,
                    rd::RD_KAFKA_MSG_F_COPY,
                    value.0,
                    value.1,
                    key.0,
                    key.1,
                    std::ptr::null_mut(),
                )
            };
            // SAFETY: reads the error of this thread's last call.
            if answer == 0 { return Ok(()) } else { unsafe { rd::rd_kafka_last_error() } }
        } else {
            self.produce_va(native, partition, record)
        };
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__QUEUE_FULL => Err(Refused::Full),
            code => {
                if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__STATE {
                    self.producer.reason().map_err(Refused::Failed)?;
                }
                Err(self.refused(partition, value.1, &KafkaError::MessageProduction(code.into())))
            }
        }
    }

    fn refused(&self, partition: i32, size: usize, error: &KafkaError) -> Refused {
        let what = format!("can't send a record of {size} bytes to `{}` partition {partition}", self.topic);
        Refused::Failed(self.producer.account().explain(&what, error, Right::Write, self.topic.as_str()))
    }

    /// With timestamp and headers, which the plain call can't carry.
    fn produce_va(&self, native: &BaseProducer<Connection>, partition: i32, record: &ProducerRecord) -> RDKafkaRespErr {
        use rd::rd_kafka_vtype_t as kind;
        let (value, key) = (as_raw(record.value()), as_raw(record.key()));
        let headers = native_headers(record);
        let argument = |vtype, fill: &dyn Fn(&mut rd::rd_kafka_vu_s__bindgen_ty_1)| {
            // SAFETY: all-zero bytes are valid for this C struct of integers and pointers.
            let mut argument: rd::rd_kafka_vu_t = unsafe { std::mem::zeroed() };
            argument.vtype = vtype;
            fill(&mut argument.u);
            argument
        };
        let bytes = |(ptr, size): (*mut c_void, usize)| rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size };
        let mut arguments = [
            argument(kind::RD_KAFKA_VTYPE_RKT, &|u| u.rkt = self.raw.as_ptr()),
            argument(kind::RD_KAFKA_VTYPE_PARTITION, &|u| u.i32_ = partition),
            argument(kind::RD_KAFKA_VTYPE_VALUE, &|u| u.mem = bytes(value)),
            argument(kind::RD_KAFKA_VTYPE_KEY, &|u| u.mem = bytes(key)),
            argument(kind::RD_KAFKA_VTYPE_MSGFLAGS, &|u| u.i = rd::RD_KAFKA_MSG_F_COPY),
            argument(kind::RD_KAFKA_VTYPE_TIMESTAMP, &|u| {
                u.i64_ = record.timestamp().map_or(0, |t| t.as_millis().max(0))
            }),
            argument(kind::RD_KAFKA_VTYPE_HEADERS, &|u| u.headers = headers),
        ];
        let count = if headers.is_null() { arguments.len() - 1 } else { arguments.len() };
        let client = native.client().native_ptr();
        // SAFETY: `arguments` holds `count` tagged values, each with the field its tag names; what they point to is live.
        let error = unsafe { rd::rd_kafka_produceva(client, arguments.as_mut_ptr(), count) };
        if error.is_null() {
            return RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        }
        // SAFETY: a live error object, destroyed once; the headers were not taken over, so they are still ours.
        unsafe {
            let code = rd::rd_kafka_error_code(error);
            rd::rd_kafka_error_destroy(error);
            if !headers.is_null() {
                rd::rd_kafka_headers_destroy(headers);
            }
            code
        }
    }
}

fn as_raw(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    match bytes {
        None => (std::ptr::null_mut(), 0),
        // librdkafka copies and never writes, in spite of the type. An empty slice's pointer is not null.
        Some(bytes) => (bytes.as_ptr().cast_mut().cast(), bytes.len()),
    }
}

/// Headers for one record, handed over to librdkafka if it takes the record; null if there are none.
fn native_headers(record: &ProducerRecord) -> *mut rd::rd_kafka_headers_t {
    let headers = record.headers();
    if headers.is_empty() {
        return std::ptr::null_mut();
    }
    // SAFETY: names and values are copied by the call; lengths are those of live slices.
    unsafe {
        let list = rd::rd_kafka_headers_new(headers.len());
        for (name, value) in headers.iter() {
            let (value, length) = as_raw(value);
            let name_length = isize::try_from(name.len()).unwrap_or(isize::MAX);
            rd::rd_kafka_header_add(
                list,
                name.as_ptr().cast(),
                name_length,
                value,
                isize::try_from(length).unwrap_or(0),
            );
        }
        list
    }
}
