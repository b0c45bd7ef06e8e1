//! The protocol on the brokers: taking over, committing, renewing the producer's epoch.
//!
//! Librdkafka speaks the first version of transactions, in which a delayed retry of one transaction's end can end the
//! next one (KAFKA-17754). A new producer epoch between the two closes that hole, because a broker refuses what comes
//! from an older one; it costs a new client handle. [`EpochBump`] says when one is made. Whoever makes one reads the
//! marker again: a run that woke up late would otherwise be the newest, and go on from what is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stream_core::thread;
use stream_core::{Error, ErrorKind, Marker, Result, SplitPosition, TransactionRun, Transactions};

use super::marker::{Ask, MarkerPlace};
#[cfg(test)]
use super::simulation::{Bug, is_planted};
use super::{Cluster, name, places};
use crate::client::producer::ProducerHandle;
use crate::client::rights::Right;
use crate::client::time::Time;
use crate::client::transactional::{CallError, StoredOffset};
use crate::client::{ClientError, ErrorCode};
use crate::keys::{EngineSettings, EpochBump};
use crate::record::Topic;
use crate::waiting::{Limit, Question, Signs, wait_for};

/// How long one call waits before it is looked at whether waiting still makes sense.
const TRY: Duration = Duration::from_secs(2);

/// A clean commit takes a millisecond or a few. One that took longer may have been sent twice.
pub(super) const CLEAN: Duration = Duration::from_millis(50);

/// Positions that don't change are stored again so often: the broker forgets them one by one.
const REFRESH: Duration = Duration::from_secs(30 * 60);

/// How long the end of a job waits for its last transaction to be given up.
const ABANDON: Duration = Duration::from_secs(2);

/// The interval from which a new producer epoch for every transaction is cheap enough.
const ALWAYS_FROM: Duration = Duration::from_secs(5);

/// The positions of a group, and when each was stored.
type Stored = BTreeMap<(Topic, i32), (i64, Duration)>;

/// The transactions of one job on one cluster.
pub(super) struct KafkaTransactions {
    cluster: Arc<Cluster>,
    run: Option<TransactionRun>,
    /// The partitions that the marker is written to.
    places: Vec<(Topic, i32)>,
    /// By uid of a source.
    positions: BTreeMap<String, Stored>,
    time: Time,
    /// A commit has failed: it must not be given up, only found out.
    in_doubt: bool,
}

impl KafkaTransactions {
    pub(super) fn new(cluster: Arc<Cluster>) -> KafkaTransactions {
        let time = Time::of(&cluster.parts().settings);
        KafkaTransactions { cluster, time, run: None, places: Vec::new(), positions: BTreeMap::new(), in_doubt: false }
    }

    fn settings(&self) -> BTreeMap<String, String> {
        self.cluster.parts().settings.clone()
    }

    /// A producer that may take the job's transactions over.
    fn transactional(&self, run: &TransactionRun) -> Result<Arc<ProducerHandle>> {
        let timeout = self.timeout(run)?;
        let mut settings = self.settings();
        let millis = timeout.as_millis().to_string();
        for (key, limit) in [("message.timeout.ms", 0), ("delivery.timeout.ms", 0), ("socket.timeout.ms", 100)] {
            // A record that outlives its transaction is of no use, and librdkafka refuses to wait for one.
            let longest = timeout.as_millis() + limit;
            let given = settings.get(key).and_then(|given| given.parse::<u128>().ok());
            if given.is_some_and(|given| given > longest || given == 0) {
                settings.insert(key.to_owned(), longest.to_string());
            }
        }
        settings.entry("partitioner".to_owned()).or_insert_with(|| "murmur2_random".to_owned());
        if self.cluster.parts().dead_letters {
            // What was read can be written, as far as the client is concerned: the topic decides.
            settings.insert("message.max.bytes".to_owned(), "1000000000".to_owned());
        }
        settings.insert("transactional.id".to_owned(), name::of_job(run));
        settings.insert("transaction.timeout.ms".to_owned(), millis);
        settings.insert("enable.idempotence".to_owned(), "true".to_owned());
        ProducerHandle::new(&format!("{}-transactions", run.job()), &settings, capacity(&settings), false)
    }

    /// How long a transaction may stay open: from its first record over an epoch and the checkpoints that may fail.
    fn timeout(&self, run: &TransactionRun) -> Result<Duration> {
        let (interval, checkpoint) = (run.interval(), run.checkpoint_timeout());
        let least = interval + checkpoint;
        match self.cluster.parts().engine.transaction_timeout {
            None => {
                let failures = run.tolerable_failures().saturating_add(1);
                Ok(interval + checkpoint.saturating_mul(failures) + Duration::from_secs(30))
            }
            Some(given) if given >= least => Ok(given),
            Some(given) => {
                let message = format!(
                    "transaction.timeout.ms is {given:?}: a transaction is open for an interval ({interval:?}) and a \
                     checkpoint (up to {checkpoint:?})"
                );
                let hint = format!(
                    "raise it to {least:?} or more, lower execution.checkpointing.interval or \
                     execution.checkpointing.timeout, or remove the line"
                );
                Err(Error::new(ErrorKind::Config, message).with_hint(hint))
            }
        }
    }

    fn bump(&self, run: &TransactionRun) -> EpochBump {
        bump(&self.cluster.parts().engine, run.interval())
    }

    /// What the promise rests on, once.
    fn introduce(&self, run: &TransactionRun) -> Result<()> {
        let (name, brokers, timeout) = (name::of_job(run), self.cluster.brokers(), self.timeout(run)?);
        match self.bump(run) {
            EpochBump::Always => tracing::info!(
                "exactly once into Kafka at {brokers}: transactions `{name}`, timeout {timeout:?}, a new producer epoch \
                 for each"
            ),
            EpochBump::OnDisturbance => tracing::info!(
                "exactly once into Kafka at {brokers}: transactions `{name}`, timeout {timeout:?}, a new producer epoch \
                 after disturbed commits; a request to end a transaction that is late and comes twice could still end \
                 the next one (KAFKA-17754), which commit.epoch-bump: always rules out"
            ),
        }
        Ok(())
    }

    /// Asks until there is an answer, and says meanwhile what is waited for.
    fn ask<R>(
        &self,
        producer: &ProducerHandle,
        stopping: &dyn Fn() -> bool,
        what: &str,
        question: impl FnMut(Duration) -> Result<R, ClientError>,
    ) -> Result<R> {
        let limit = Limit { time: self.cluster.parts().engine.max_block, key: "max.block.ms" };
        let (account, brokers) = (producer.account(), self.cluster.brokers());
        let asked = Question { what, brokers, account, right: Right::Write, topic: "" };
        let (time, trouble, refused) = (producer.time(), || producer.trouble(), || producer.is_refused());
        let signs = Signs { time: &time, trouble: &trouble, refused: &refused };
        wait_for(&asked, limit, stopping, &signs, question)
    }

    fn read_marker(
        &self,
        producer: &ProducerHandle,
        run: &TransactionRun,
        stopping: &dyn Fn() -> bool,
    ) -> Result<Option<Marker>> {
        let place = self.place(run);
        let found = place.read(producer, &self.settings(), &Asking { of: self, producer, stopping })?;
        let markers = found.iter().map(|text| Marker::decode(text)).collect::<Result<Vec<_>>>();
        let markers = markers.map_err(|error| {
            let message = format!("can't read the marker in group `{}`: {}", place.name, error.message());
            Error::new(error.kind(), message).with_hint(error.hint().unwrap_or_default())
        })?;
        Ok(markers.into_iter().max_by_key(Marker::place))
    }

    fn place(&self, run: &TransactionRun) -> MarkerPlace {
        let topic = self.cluster.parts().engine.marker_topic.as_deref().map(Topic::new);
        MarkerPlace { name: name::of_job(run), topic }
    }

    /// Existing partitions, of several topics if there are some: whoever deletes a topic deletes what lies on it.
    fn find_places(&self, producer: &ProducerHandle, run: &TransactionRun) -> Result<Vec<(Topic, i32)>> {
        let topics = self.cluster.parts().topics.clone();
        let mut found: Vec<Vec<(Topic, i32)>> = Vec::new();
        for topic in &topics {
            let what = format!("can't read the partitions of `{topic}`");
            let partitions =
                self.ask(producer, &|| run.is_stopping(), &what, |limit| producer.partitions(*topic, limit))?;
            found.extend(partitions.map(|partitions| partitions.into_iter().map(|p| (*topic, p)).collect()));
            if found.len() == places::COPIES {
                break;
            }
        }
        let places = places::spread(&found);
        if places.is_empty() {
            let names: Vec<&str> = topics.iter().map(Topic::as_str).collect();
            let message = format!("no such topic on {}: `{}`", self.cluster.brokers(), names.join("`, `"));
            let hint = "create it first; topics are not created by writing to them";
            return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
        }
        Ok(places)
    }

    /// Makes a producer, fences all earlier ones and reads what they have left.
    fn init(&self, run: &TransactionRun, stopping: &dyn Fn() -> bool) -> Result<(Arc<ProducerHandle>, Option<Marker>)> {
        let producer = self.transactional(run)?;
        let what = format!("can't take over the transactions of `{}`", name::of_job(run));
        let mut code = None;
        let taken = self.ask(&producer, stopping, &what, |limit| {
            let init = producer.init_transactions(limit);
            code = init.as_ref().err().and_then(ClientError::rdkafka_error_code);
            init
        });
        if let Err(error) = taken {
            drop_aside(producer);
            if code == Some(ErrorCode::InvalidTransactionTimeout) {
                let timeout = self.timeout(run)?;
                let message = format!("{what}: the brokers allow no transaction timeout of {timeout:?}");
                let hint = "lower transaction.timeout.ms, or the checkpoint interval and timeout that it is made of, or \
                            raise the brokers' transaction.max.timeout.ms (15 minutes by default)";
                return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
            }
            return Err(error);
        }
        let marker = self.read_marker(&producer, run, stopping)?;
        Ok((producer, marker))
    }

    fn begin(&self, producer: &ProducerHandle) -> Result<()> {
        let what = "can't begin a transaction";
        producer.begin_transaction().map_err(|error| producer.account().explain(what, &error, Right::Write, ""))
    }

    /// What of the positions its group does not have yet, or has not had for long.
    fn news(&self, uid: &str, positions: &[SplitPosition], now: Duration) -> Option<(String, Vec<StoredOffset>)> {
        let parts = self.cluster.parts();
        let group = parts.groups.get(uid)?;
        let known = self.positions.get(uid);
        let news = positions.iter().filter_map(|position| {
            let split = *group.splits.get(&position.split)?;
            let is_known = known.and_then(|known| known.get(&split));
            if is_known.is_some_and(|(next, at)| *next == position.next && now < *at + REFRESH) {
                return None;
            }
            let (topic, partition) = split;
            Some(StoredOffset { topic, partition, offset: position.next, metadata: String::new() })
        });
        Some((group.id.clone(), news.collect()))
    }

    fn try_commit(&mut self, marker: &Marker, positions: &BTreeMap<String, Vec<SplitPosition>>) -> Result<()> {
        let run = self.run.clone().ok_or_else(|| Error::internal("a commit before anybody has taken over"))?;
        let producer = self.cluster.producer()?;
        let call = Call { producer: &producer, brokers: self.cluster.brokers() };
        let (place, text) = (self.place(&run), marker.encode()?);
        place.send(&producer, &text)?;
        producer.flush_now()?;
        let now = self.time.now();
        let mut repeated = place.add(&call, &self.places, &text)?;
        let mut stored = Vec::new();
        for (uid, positions) in positions {
            let Some((group, news)) = self.news(uid, positions, now) else { continue };
            if news.is_empty() {
                continue;
            }
            let what = format!("can't add positions to group `{group}`");
            repeated |= insist(&call, &what, |limit| producer.add_offsets(&group, &news, limit))?;
            stored.push((uid.clone(), news));
        }
        let sent = self.time.now();
        let what = "can't commit a checkpoint";
        self.in_doubt = true;
        repeated |= insist(&call, what, |limit| producer.commit_transaction(limit))?;
        self.in_doubt = false;
        for (uid, news) in stored {
            let known = self.positions.entry(uid).or_default();
            known.extend(news.iter().map(|news| ((news.topic, news.partition), (news.offset, now))));
        }
        let disturbed = repeated || self.time.now() - sent > CLEAN || producer.was_disturbed();
        if self.bump(&run) == EpochBump::Always || disturbed {
            return self.renew(&run, producer, marker);
        }
        self.begin(&producer)
    }

    /// Gives the producer a new epoch. Nobody writes meanwhile.
    fn renew(&mut self, run: &TransactionRun, old: Arc<ProducerHandle>, own: &Marker) -> Result<()> {
        // Even if the job is being stopped: what follows may be its last transaction.
        let (new, marker) = self.init(run, &|| false)?;
        let is_own = marker.as_ref() == Some(own);
        #[cfg(test)]
        let is_own = is_own || is_planted(Bug::RenewedUnread);
        if !is_own {
            // Whatever it is: recovery finds out.
            drop_aside(new);
            let message = "another run of the job has committed meanwhile";
            return Err(Error::new(ErrorKind::Fenced, message));
        }
        new.succeed(&old);
        self.begin(&new)?;
        self.cluster.parts().producer = Some(new);
        drop_aside(old);
        Ok(())
    }
}

/// How a job asks about its marker.
struct Asking<'a> {
    of: &'a KafkaTransactions,
    producer: &'a ProducerHandle,
    stopping: &'a dyn Fn() -> bool,
}

impl Ask for Asking<'_> {
    fn ask<R>(&self, what: &str, question: impl FnMut(Duration) -> Result<R, ClientError>) -> Result<R> {
        self.of.ask(self.producer, self.stopping, what, question)
    }
}

/// When the producer gets a new epoch, in a job that commits so often.
pub(super) fn bump(engine: &EngineSettings, interval: Duration) -> EpochBump {
    let default = if interval >= ALWAYS_FROM { EpochBump::Always } else { EpochBump::OnDisturbance };
    engine.epoch_bump.unwrap_or(default)
}

/// Who is called about a transaction.
pub(super) struct Call<'a> {
    pub(super) producer: &'a ProducerHandle,
    pub(super) brokers: &'a str,
}

/// Makes this call until it is answered, for as long as it makes sense. True if it had to be repeated.
pub(super) fn insist(
    Call { producer, brokers }: &Call<'_>,
    what: &str,
    mut call: impl FnMut(Duration) -> Result<(), CallError>,
) -> Result<bool> {
    let mut repeated = false;
    loop {
        let failed = match call(TRY) {
            Ok(()) => return Ok(repeated),
            Err(failed) => failed,
        };
        producer.check()?;
        if !failed.may_repeat {
            return Err(producer.account().explain(what, &failed.error, Right::Write, ""));
        }
        repeated = true;
        if let Some(trouble) = producer.trouble() {
            tracing::warn!("the commit of a checkpoint waits for broker {brokers}: {trouble}");
        }
    }
}

/// What the send queue takes.
pub(crate) fn capacity(settings: &BTreeMap<String, String>) -> usize {
    let capacity = settings.get("queue.buffering.max.messages").and_then(|n| n.parse().ok());
    // Zero lifts librdkafka's limit on the number; the limit in bytes remains.
    capacity.map_or(100_000, |n: usize| if n == 0 { usize::MAX } else { n })
}

/// Closing a handle may take its time, and nobody has to wait for it.
pub(super) fn drop_aside(producer: Arc<ProducerHandle>) {
    if producer.is_fake() {
        return drop(producer);
    }
    // Without a thread it is dropped here.
    let _ = thread::spawn("producer-end", move || drop(producer));
}

impl Transactions for KafkaTransactions {
    fn describe(&self) -> String {
        format!("Kafka at {}", self.cluster.brokers())
    }

    fn marker(&mut self, run: &TransactionRun) -> Result<Option<Marker>> {
        let mut settings = self.settings();
        settings.insert("enable.idempotence".to_owned(), "false".to_owned());
        let handle = ProducerHandle::new(&format!("{}-marker", run.job()), &settings, 1, true)?;
        // Only what is decided counts: a marker of ours that is being written must not look like somebody else's before
        // it. Whether it is decided soon depends on who holds the transaction, so nobody waits for that.
        let marker = self.read_marker(&handle, run, &|| true);
        drop_aside(handle);
        marker
    }

    fn take_over(&mut self, run: &TransactionRun) -> Result<Option<Marker>> {
        if self.run.replace(run.clone()).is_none() {
            self.introduce(run)?;
        }
        self.positions.clear();
        if let Some(old) = self.cluster.parts().producer.take() {
            drop_aside(old);
        }
        let (producer, marker) = self.init(run, &|| run.is_stopping())?;
        self.in_doubt = false;
        self.places = self.find_places(&producer, run)?;
        let stopping = || run.is_stopping();
        self.place(run).check(
            &producer,
            &self.settings(),
            &Asking { of: self, producer: &producer, stopping: &stopping },
        )?;
        self.begin(&producer)?;
        self.cluster.parts().producer = Some(producer);
        Ok(marker)
    }

    fn commit(&mut self, marker: &Marker, positions: &BTreeMap<String, Vec<SplitPosition>>) -> Result<()> {
        self.try_commit(marker, positions)
    }

    fn abandon(&mut self) {
        let Some(producer) = self.cluster.parts().producer.take() else { return };
        if !self.in_doubt
            && let Err(failed) = producer.abort_transaction(ABANDON)
        {
            tracing::debug!("the last transaction is left to its timeout: {:?}", failed.error.rdkafka_error_code());
        }
        drop_aside(producer);
    }
}
