//! Exactly once into Kafka: all sinks of a job that promise it, and the dead letters of its sources, write through one
//! transactional producer. The transaction of an epoch is committed with the marker that names the epoch's checkpoint.
//!
//! Sinks on another cluster than the first keep a write-ahead log in the checkpoint ([`log`]).
//!
//! Reading order: this file (who takes part), [`commit`] (the protocol), [`lane`] (how a subtask writes), [`buffer`]
//! (what waits meanwhile), [`marker`], [`name`] and [`places`] (what is where on the brokers).

mod buffer;
mod commit;
mod lane;
pub(crate) mod log;
mod marker;
mod name;
mod places;
mod simulation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stream_core::thread::Waker;
use stream_core::{Error, ErrorKind, Released, Result, StreamingContext};

pub(crate) use buffer::RecordBuffer;
pub(crate) use commit::capacity;
pub(crate) use lane::Lane;

use crate::client::consumer::TopicPartition;
use crate::client::producer::ProducerHandle;
use crate::keys::{EngineSettings, EpochBump};
use crate::record::Topic;
use commit::KafkaTransactions;

/// What the sources and sinks of one job know of its transactions.
#[derive(Default)]
pub(crate) struct JobTransactions(Mutex<Known>);

#[derive(Default)]
struct Known {
    cluster: Option<Arc<Cluster>>,
    inputs: Vec<Input>,
}

/// What a source reads, and whether it writes dead letters.
#[derive(Clone)]
struct Input {
    bootstrap: String,
    topics: Vec<Topic>,
    dead_letters: bool,
}

/// A Kafka cluster that a job writes to in transactions.
pub(crate) struct Cluster {
    /// As people know it.
    brokers: String,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    /// The properties of the one producer, and which sink has set them.
    settings: BTreeMap<String, String>,
    set_by: String,
    engine: EngineSettings,
    /// Topics that records are written to or read from, sinks' first: the marker lies on partitions of some.
    topics: Vec<Topic>,
    /// Whether dead letters are written, which may be larger than what sinks write.
    dead_letters: bool,
    /// By uid of a source on this cluster, the group that gets its positions.
    groups: BTreeMap<String, Group>,
    /// The producer of the transaction under way.
    producer: Option<Arc<ProducerHandle>>,
}

/// The group of a source, which shows people and tools how far the job has read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) id: String,
    /// By the name of the split.
    pub(crate) splits: BTreeMap<Arc<str>, TopicPartition>,
}

/// What a sink that takes part says of itself.
pub(crate) struct Member<'a> {
    /// Its section of the configuration.
    pub(crate) section: &'a str,
    /// librdkafka's properties.
    pub(crate) client: &'a BTreeMap<String, String>,
    pub(crate) engine: &'a EngineSettings,
    pub(crate) brokers: &'a str,
    pub(crate) topic: Topic,
}

impl JobTransactions {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a source. What it reads and writes on the cluster of the transactions may take part in them.
    pub(crate) fn note_source(&self, bootstrap: &str, topics: &[String], dead_letters: bool) {
        let topics = topics.iter().map(|topic| Topic::new(topic)).collect();
        let input = Input { bootstrap: bootstrap.to_owned(), topics, dead_letters };
        let mut known = self.known();
        if let Some(cluster) = &known.cluster {
            cluster.note(&input);
        }
        known.inputs.push(input);
    }

    /// Lets a sink take part in the job's transactions; none if it is on another cluster than they are: then it keeps a
    /// log.
    ///
    /// # Errors
    /// Its settings contradict those of a sink that takes part already: they share one producer.
    pub(crate) fn join(&self, context: &StreamingContext, member: &Member<'_>) -> Result<Option<Arc<Cluster>>> {
        let mut known = self.known();
        if let Some(cluster) = &known.cluster {
            if !member.client.get("bootstrap.servers").is_some_and(|servers| cluster.is_at(servers)) {
                return Ok(None);
            }
            cluster.join(member)?;
            return Ok(Some(cluster.clone()));
        }
        let made = Cluster::of(member);
        known.inputs.iter().for_each(|input| made.note(input));
        context.commit_by(KafkaTransactions::new(made.clone()));
        Ok(Some(known.cluster.insert(made).clone()))
    }

    /// The cluster of the job's transactions, if its brokers are these.
    pub(crate) fn on(&self, bootstrap: &str) -> Option<Arc<Cluster>> {
        self.known().cluster.as_ref().filter(|cluster| cluster.is_at(bootstrap)).cloned()
    }
}

/// Lets the job find out what an earlier run has committed in transactions, in case it did so under exactly-once.
pub(crate) fn settle_by(context: &StreamingContext, member: &Member<'_>) {
    let cluster = Cluster::of(member);
    // Nothing is written by the producer that finds out, and transactions contradict these.
    let contradict = ["acks", "request.required.acks", "retries", "message.send.max.retries", "max.in.flight"];
    let more = ["max.in.flight.requests.per.connection", "enable.idempotence"];
    for key in contradict.into_iter().chain(more) {
        cluster.parts().settings.remove(key);
    }
    context.settle_by(KafkaTransactions::new(cluster));
}

/// When a transactional producer of this job gets a new epoch.
pub(crate) fn bump_in(context: &StreamingContext, engine: &EngineSettings) -> EpochBump {
    let interval = context.settings().checkpointing.as_ref().map_or(Duration::ZERO, |settings| settings.interval);
    commit::bump(engine, interval)
}

/// What the plan says of the promise of exactly-once.
pub(crate) fn promise(bump: EpochBump) -> &'static str {
    match bump {
        EpochBump::Always => "exactly once",
        EpochBump::OnDisturbance => "exactly once, but for KAFKA-17754",
    }
}

fn hosts(bootstrap: &str) -> BTreeSet<&str> {
    bootstrap.split(',').map(str::trim).filter(|host| !host.is_empty()).collect()
}

impl Cluster {
    fn of(member: &Member<'_>) -> Arc<Cluster> {
        let parts = Parts {
            settings: member.client.clone(),
            set_by: member.section.to_owned(),
            engine: member.engine.clone(),
            topics: vec![member.topic],
            ..Parts::default()
        };
        Arc::new(Cluster { brokers: member.brokers.to_owned(), parts: Mutex::new(parts) })
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_at(&self, bootstrap: &str) -> bool {
        let parts = self.parts();
        parts.settings.get("bootstrap.servers").is_some_and(|servers| hosts(servers) == hosts(bootstrap))
    }

    fn join(&self, member: &Member<'_>) -> Result<()> {
        let mut parts = self.parts();
        let keys: BTreeSet<&String> = parts.settings.keys().chain(member.client.keys()).collect();
        let differs = keys.into_iter().find(|key| {
            !matches!(key.as_str(), "bootstrap.servers" | "client.id")
                && parts.settings.get(*key) != member.client.get(*key)
        });
        let differs =
            differs.map_or_else(|| parts.engine.differs_in_transactions(member.engine), |key| Some(key.as_str()));
        if let Some(key) = differs {
            let message = format!("`{}` and `{}` differ in `{key}`", parts.set_by, member.section);
            let hint =
                "under exactly-once all sinks of a job on one cluster share a producer: give both the same value";
            return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
        }
        parts.add_topic(member.topic);
        Ok(())
    }

    /// The brokers, as people know them.
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The producer of the transaction under way.
    ///
    /// # Errors
    /// The job has none: it takes over before it opens anything.
    pub(crate) fn producer(&self) -> Result<Arc<ProducerHandle>> {
        let none = || Error::internal("a sink was opened before the job has taken over its transactions");
        self.parts().producer.clone().ok_or_else(none)
    }

    /// A subtask's way into the transaction.
    pub(crate) fn lane(self: &Arc<Self>, released: Released, waker: Waker, max_block: Duration) -> Result<Lane> {
        Ok(Lane::new(self.clone(), self.producer()?, released, waker, max_block))
    }

    /// Commits the positions of a source to its group in the same transaction.
    pub(crate) fn add_group(&self, uid: &str, group: Group) {
        self.parts().groups.insert(uid.to_owned(), group);
    }

    fn note(&self, input: &Input) {
        if self.is_at(&input.bootstrap) {
            let mut parts = self.parts();
            input.topics.iter().for_each(|topic| parts.add_topic(*topic));
            parts.dead_letters |= input.dead_letters;
        }
    }
}

impl Parts {
    fn add_topic(&mut self, topic: Topic) {
        if !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
    }
}
