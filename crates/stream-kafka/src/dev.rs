//! `bootstrap.servers: dev`: a broker inside the process, for the first run.
//!
//! It speaks the real protocol, so the job takes the same path as in production, but it is no place for data:
//! it keeps 5 MiB per partition, ignores isolation and answers every question about timestamps with "the end".
//! So whatever it can't do honestly is refused, with the way to a real broker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use stream_core::{Error, ErrorKind, Result};

use crate::record::Topic;

/// The word that stands for the dev broker.
const DEV: &str = "dev";

const HINT: &str = "`cargo xtask kafka up` starts a real Kafka on 127.0.0.1:19092";

/// How many bytes may be written to a topic: below what it keeps per partition, should all go to one.
const MAX_BYTES: usize = 4 << 20;

/// What a record takes besides its own bytes, if it is alone in its batch.
const ENVELOPE: usize = 80;

/// Whether these settings mean the dev broker.
pub(crate) fn is_dev(client: &BTreeMap<String, String>) -> bool {
    client.get("bootstrap.servers").is_some_and(|servers| servers == DEV)
}

/// Puts the dev broker's address in place of the word, starts it if need be and makes the topics.
/// Returns the brokers as people know them.
pub(crate) fn resolve(client: &mut BTreeMap<String, String>, topics: &[String]) -> Result<String> {
    if !is_dev(client) {
        return Ok(client.get("bootstrap.servers").cloned().unwrap_or_default());
    }
    if client.contains_key("transactional.id") {
        return Err(no_transactions());
    }
    let address = broker::address(topics)?;
    client.insert("bootstrap.servers".to_owned(), address);
    if client.contains_key("enable.idempotence") {
        // librdkafka waits half a second before it asks for a producer id a second time, and the first time no
        // broker is connected yet. Inside the process no answer gets lost, so a first run need not wait.
        client.insert("enable.idempotence".to_owned(), "false".to_owned());
    }
    Ok("dev".to_owned())
}

/// The dev broker is asked for what it has not.
pub(crate) fn no_transactions() -> Error {
    Error::new(ErrorKind::Config, "the dev broker has no transactions").with_hint(HINT)
}

/// How much was written to one topic of the dev broker, by all jobs of this process.
#[derive(Clone, Default)]
pub(crate) struct Volume(Arc<AtomicUsize>);

impl Volume {
    pub(crate) fn of(topic: Topic) -> Volume {
        static VOLUMES: Mutex<BTreeMap<Topic, Volume>> = Mutex::new(BTreeMap::new());
        VOLUMES.lock().unwrap_or_else(PoisonError::into_inner).entry(topic).or_default().clone()
    }

    /// Counts a record; refuses more than the dev broker keeps.
    pub(crate) fn add(&self, bytes: usize) -> Result<()> {
        let written = self.0.fetch_add(bytes + ENVELOPE, Ordering::Relaxed) + bytes + ENVELOPE;
        if written <= MAX_BYTES {
            return Ok(());
        }
        let message = "the dev broker keeps 5 MiB per partition and drops the oldest: 4 MiB is all it takes per topic";
        Err(Error::new(ErrorKind::Config, message).with_hint(HINT))
    }
}

#[cfg(feature = "dev-broker")]
mod broker {
    //! The broker itself: librdkafka's mock cluster, one per process, alive as long as it.
    //!
    //! The cluster's handle can't change threads, so a thread of its own owns it and makes topics on request.

    use std::collections::BTreeSet;
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::sync::{Mutex, PoisonError};

    use rdkafka::mocking::MockCluster;
    use stream_core::{Error, ErrorKind, Result};

    /// How many partitions a topic of the dev broker has.
    const PARTITIONS: i32 = 2;

    struct Request {
        topics: Vec<String>,
        answer: Sender<Result<String>>,
    }

    /// Starts the broker if need be, makes the topics and returns the address.
    pub(super) fn address(topics: &[String]) -> Result<String> {
        static BROKER: Mutex<Option<Sender<Request>>> = Mutex::new(None);
        let mut broker = BROKER.lock().unwrap_or_else(PoisonError::into_inner);
        if broker.is_none() {
            let (requests, receiver) = mpsc::channel();
            stream_core::thread::spawn("dev-broker", move || serve(&receiver))?;
            *broker = Some(requests);
        }
        let (answer, answers) = mpsc::channel();
        let gone = || Error::new(ErrorKind::Unavailable, "the dev broker has ended");
        let requests = broker.as_ref().ok_or_else(gone)?;
        requests.send(Request { topics: topics.to_vec(), answer }).map_err(|_| gone())?;
        answers.recv().map_err(|_| gone())?
    }

    fn serve(requests: &Receiver<Request>) {
        let failed = |e| Error::new(ErrorKind::Unavailable, format!("can't start the dev broker: {e}"));
        let cluster = MockCluster::new(1);
        let mut known = BTreeSet::new();
        while let Ok(request) = requests.recv() {
            let made = match &cluster {
                Ok(cluster) => request
                    .topics
                    .into_iter()
                    .filter(|t| known.insert(t.clone()))
                    .try_for_each(|topic| cluster.create_topic(&topic, PARTITIONS, 1).map_err(failed))
                    .map(|()| cluster.bootstrap_servers()),
                Err(error) => Err(failed(error.clone())),
            };
            // Whoever asked may have given up.
            let _ = request.answer.send(made);
        }
    }
}

#[cfg(not(feature = "dev-broker"))]
mod broker {
    //! Says how to get the dev broker.

    use stream_core::{Error, ErrorKind, Result};

    pub(super) fn address(_topics: &[String]) -> Result<String> {
        let message = "`bootstrap.servers: dev` needs the cargo feature `dev-broker` of stream-kafka";
        Err(Error::new(ErrorKind::Config, message).with_hint("add features = [\"dev-broker\"], or name a real broker"))
    }
}
