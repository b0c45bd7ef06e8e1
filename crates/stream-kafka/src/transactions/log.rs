//! Sinks that can't share the job's transaction, because they write to another cluster: a write-ahead log.
//!
//! 1. The records of an epoch are stored with its checkpoint.
//! 2. When the checkpoint counts, they are written to the cluster in a transaction of the sink's own, together with a
//!    marker that says which epoch they are of.
//! 3. Whoever is to write an epoch whose marker is there already, after a crash, leaves it.
//!
//! So such a sink is level with the job or one epoch behind, and the log of that epoch is durable. No timeout matters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stream_core::{Error, ErrorKind, Result, StagedCommitter};

use super::buffer::RecordBuffer;
use super::commit::{CLEAN, Call, drop_aside, insist};
use super::marker::{Ask, MarkerPlace};
use super::{name, places};
use crate::client::ClientError;
use crate::client::producer::{ProducerHandle, Refused};
use crate::client::rights::Right;
use crate::keys::{EngineSettings, EpochBump};
use crate::record::Topic;
use crate::schema::ProducerRecord;
use crate::waiting::{Limit, Question, Signs, wait_for};

/// How long the transaction that writes an epoch may take.
const TIMEOUT: &str = "60000";

/// How long to wait before a record is offered to a full queue again.
const FULL: Duration = Duration::from_millis(2);

/// Which epoch a record of the log belongs to: of two runs the later one has the higher generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LogPlace {
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
}

const PLACE: usize = 16;

/// What one subtask stores of an epoch.
pub(crate) fn staged(place: LogPlace, records: &mut RecordBuffer) -> Option<Vec<u8>> {
    let records = records.take_encoded()?;
    let mut staged = Vec::with_capacity(PLACE + records.len());
    staged.extend_from_slice(&place.generation.to_le_bytes());
    staged.extend_from_slice(&place.epoch.to_le_bytes());
    staged.extend_from_slice(&records);
    Some(staged)
}

fn read(staged: &[u8]) -> Result<(LogPlace, RecordBuffer)> {
    let damaged = || Error::new(ErrorKind::Corrupt, "the log of a Kafka sink in a checkpoint can't be read");
    let (generation, rest) = staged.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (epoch, records) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let place = LogPlace { generation: u64::from_le_bytes(*generation), epoch: u64::from_le_bytes(*epoch) };
    Ok((place, RecordBuffer::decode(records).ok_or_else(damaged)?))
}

/// Writes the logged epochs of one sink.
pub(crate) struct LogCommitter {
    settings: BTreeMap<String, String>,
    brokers: String,
    topic: Topic,
    marker: MarkerPlace,
    patience: Limit,
    bump: EpochBump,
    stopping: Box<dyn Fn() -> bool + Send>,
    session: Option<Session>,
}

struct Session {
    producer: Arc<ProducerHandle>,
    places: Vec<(Topic, i32)>,
    /// What is known to be written.
    written: Option<LogPlace>,
}

impl LogCommitter {
    #[expect(clippy::too_many_arguments, reason = "the parts of one sink, put together in one place")]
    pub(crate) fn new(
        settings: &BTreeMap<String, String>,
        brokers: &str,
        topic: Topic,
        application: &str,
        job: &str,
        uid: &str,
        engine: &EngineSettings,
        bump: EpochBump,
        stopping: impl Fn() -> bool + Send + 'static,
    ) -> LogCommitter {
        let name = name::of_sink(application, job, uid);
        let mut settings = settings.clone();
        for (key, value) in
            [("transactional.id", &*name), ("transaction.timeout.ms", TIMEOUT), ("message.timeout.ms", TIMEOUT)]
        {
            settings.insert(key.to_owned(), value.to_owned());
        }
        settings.insert("enable.idempotence".to_owned(), "true".to_owned());
        settings.remove("delivery.timeout.ms");
        let patience = Limit { time: engine.max_block, key: "max.block.ms" };
        let marker = MarkerPlace { name, topic: engine.marker_topic.as_deref().map(Topic::new) };
        LogCommitter {
            settings,
            brokers: brokers.to_owned(),
            topic,
            marker,
            patience,
            bump,
            stopping: Box::new(stopping),
            session: None,
        }
    }

    fn ask<R>(
        &self,
        producer: &ProducerHandle,
        what: &str,
        question: impl FnMut(Duration) -> Result<R, ClientError>,
    ) -> Result<R> {
        let (account, topic) = (producer.account(), self.topic.as_str());
        let asked = Question { what, brokers: &self.brokers, account, right: Right::Write, topic };
        let (time, trouble, refused) = (producer.time(), || producer.trouble(), || producer.is_refused());
        let signs = Signs { time: &time, trouble: &trouble, refused: &refused };
        wait_for(&asked, self.patience, &*self.stopping, &signs, question)
    }

    /// Fences earlier runs, and finds out what they have written.
    fn open(&self) -> Result<Session> {
        let capacity = super::commit::capacity(&self.settings);
        let MarkerPlace { name, .. } = &self.marker;
        let producer = ProducerHandle::new(name, &self.settings, capacity, false)?;
        let what = format!("can't take over the transactions of `{name}`");
        let opened = self.ask(&producer, &what, |limit| producer.init_transactions(limit)).and_then(|()| {
            let how = Asking { of: self, producer: &producer };
            self.marker.check(&producer, &self.settings, &how)?;
            let found = self.marker.read(&producer, &self.settings, &how)?;
            let written = found.iter().map(|text| serde_json::from_str::<LogPlace>(text));
            let written = written.collect::<Result<Vec<_>, _>>().map_err(|error| {
                let what = format!("can't read the marker in group `{name}`: what is there is no marker: {error}");
                Error::new(ErrorKind::Corrupt, what)
            })?;
            let what = format!("can't read the partitions of `{}`", self.topic);
            let partitions = self.ask(&producer, &what, |limit| producer.partitions(self.topic, limit))?;
            let found: Vec<_> =
                partitions.into_iter().map(|p| p.into_iter().map(|p| (self.topic, p)).collect()).collect();
            let places = places::spread(&found);
            if places.is_empty() {
                let message = format!("no such topic on {}: `{}`", self.brokers, self.topic);
                return Err(Error::new(ErrorKind::Config, message).with_hint("create it first"));
            }
            Ok((places, written.into_iter().max()))
        });
        match opened {
            Ok((places, written)) => Ok(Session { producer, places, written }),
            Err(error) => {
                drop_aside(producer);
                Err(error)
            }
        }
    }

    /// Returns whether the same producer epoch may write the next one.
    fn write(&self, session: &mut Session, place: LogPlace, logs: Vec<RecordBuffer>) -> Result<bool> {
        let producer = &session.producer;
        let call = Call { producer, brokers: &self.brokers };
        let failed = |what: &str, error: &ClientError| {
            producer.account().explain(what, error, Right::Write, self.topic.as_str())
        };
        producer.begin_transaction().map_err(|error| failed("can't begin a transaction", &error))?;
        let mut scratch = ProducerRecord::default();
        let mut topics = BTreeMap::new();
        for mut log in logs {
            while !log.is_empty() {
                log.drain(&mut scratch, |topic, partition, record| {
                    let handle = match topics.entry(topic) {
                        std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                        std::collections::btree_map::Entry::Vacant(new) => new.insert(producer.topic(topic)?),
                    };
                    match handle.produce(partition, record) {
                        Ok(()) => Ok(true),
                        Err(Refused::Full) => Ok(false),
                        Err(Refused::Failed(error)) => Err(error),
                    }
                })?;
                if !log.is_empty() {
                    producer.check()?;
                    stream_core::thread::Waker::new().park(FULL);
                }
            }
        }
        let text = serde_json::to_string(&place).map_err(|error| Error::internal(error.to_string()))?;
        self.marker.send(producer, &text)?;
        producer.flush_now()?;
        let mut repeated = self.marker.add(&call, &session.places, &text)?;
        let (time, what) = (producer.time(), "can't commit an epoch");
        let sent = time.now();
        repeated |= insist(&call, what, |limit| producer.commit_transaction(limit))?;
        session.written = Some(place);
        Ok(self.bump == EpochBump::OnDisturbance
            && !repeated
            && time.now() - sent <= CLEAN
            && !producer.was_disturbed())
    }
}

/// How a sink asks about its marker.
struct Asking<'a> {
    of: &'a LogCommitter,
    producer: &'a ProducerHandle,
}

impl Ask for Asking<'_> {
    fn ask<R>(&self, what: &str, question: impl FnMut(Duration) -> Result<R, ClientError>) -> Result<R> {
        self.of.ask(self.producer, what, question)
    }
}

impl StagedCommitter for LogCommitter {
    fn publish(&mut self, staged: &[Vec<u8>]) -> Result<()> {
        let logs = staged.iter().map(|staged| read(staged)).collect::<Result<Vec<_>>>()?;
        let Some(place) = logs.iter().map(|(place, _)| *place).max() else { return Ok(()) };
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.open()?,
        };
        if session.written.is_none_or(|written| written < place) {
            let written = self.write(&mut session, place, logs.into_iter().map(|(_, log)| log).collect());
            if !matches!(written, Ok(true)) {
                // After a failure, whatever has become of it, the next try begins with the marker.
                drop_aside(session.producer);
                return written.map(|_| ());
            }
        }
        self.session = Some(session);
        Ok(())
    }
}
