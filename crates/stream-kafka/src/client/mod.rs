//! The Kafka client behind small poll-style types: the only place that names rdkafka.
//!
//! A consumer handle per source deals its partitions to *lanes*, one per subtask; a lane is polled and wakes
//! its subtask. A producer handle per sink is shared by the sink's subtasks; nothing in it waits but its own
//! thread, which flushes. What may block (metadata, positions, commits) is called while the job opens or from
//! the coordinator's thread.
//!
//! `unsafe` lives in [`consumer`], [`producer`], [`rights`] and [`transactional`] alone: librdkafka's batch queue and produce calls have no
//! safe wrapper in the crate, and they are what makes the difference in speed (figures in docs/benchmarks.md); neither
//! has the question what a user may do.

pub(crate) mod connection;
#[allow(unsafe_code, reason = "the batch queue has no safe wrapper")]
pub(crate) mod consumer;
pub(crate) mod last;
#[allow(unsafe_code, reason = "the produce call by topic handle has no safe wrapper")]
pub(crate) mod producer;
#[allow(unsafe_code, reason = "asking for authorized operations has no safe wrapper")]
pub(crate) mod rights;
pub(crate) mod time;
#[allow(unsafe_code, reason = "the offsets of a whole group, and offsets for any group, have no safe wrapper")]
pub(crate) mod transactional;

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
pub(crate) use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as ErrorCode};
use stream_core::{Error, ErrorKind};

/// The partitions of a topic, in order; `None` if there is no such topic.
fn partitions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    limit: Duration,
) -> Result<Option<Vec<i32>>, ClientError> {
    let metadata = client.fetch_metadata(Some(topic), limit)?;
    let Some(found) = metadata.topics().iter().find(|t| t.name() == topic) else { return Ok(None) };
    match found.error().map(ErrorCode::from) {
        None => {}
        Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopic) => return Ok(None),
        Some(code) => return Err(ClientError::MetadataFetch(code)),
    }
    let mut partitions: Vec<i32> = found.partitions().iter().map(|p| p.id()).collect();
    partitions.sort_unstable();
    Ok(if partitions.is_empty() { None } else { Some(partitions) })
}

/// Turns what the client says into an error with a kind: what can pass by itself is `Unavailable`.
pub(crate) fn client_error(what: &str, error: &ClientError) -> Error {
    let code = error.rdkafka_error_code();
    let message = match code {
        Some(code) => format!("{what}: {code}"),
        None => format!("{what}: the client refused"),
    };
    let (kind, hint) = match code {
        Some(code) => classify(code),
        None => (ErrorKind::Config, "check the settings of this source or sink"),
    };
    Error::new(kind, message).with_hint(hint)
}

fn classify(code: ErrorCode) -> (ErrorKind, &'static str) {
    use ErrorCode as Code;
    match code {
        Code::TopicAuthorizationFailed => {
            (ErrorKind::Config, "the user needs Read (source) or Write (sink) on the topic")
        }
        Code::GroupAuthorizationFailed => (ErrorKind::Config, "the user needs Read on the group"),
        Code::ClusterAuthorizationFailed => (
            ErrorKind::Config,
            "the user needs Write on the topic; brokers before 2.8 want IdempotentWrite on the cluster, too",
        ),
        Code::Authentication | Code::SaslAuthenticationFailed => {
            (ErrorKind::Config, "check sasl.mechanism, sasl.jaas.config and the password")
        }
        Code::SSL => (ErrorKind::Config, "check the ssl.* settings and the certificates"),
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            (ErrorKind::Config, "create the topic; it is not created by itself")
        }
        Code::UnknownMemberId | Code::IllegalGeneration | Code::RebalanceInProgress => {
            (ErrorKind::Config, "another application is a live member of this group.id: use a group of its own")
        }
        Code::MessageSizeTooLarge | Code::InvalidMessage => (
            ErrorKind::Data,
            "raise max.request.size here and max.message.bytes of the topic, or write smaller records",
        ),
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::TransactionCoordinatorFenced => {
            (ErrorKind::Fenced, "another instance uses the same transactional.id, or the transaction took too long")
        }
        Code::InvalidTransactionTimeout => {
            (ErrorKind::Config, "lower transaction.timeout.ms to what the brokers allow: transaction.max.timeout.ms")
        }
        Code::TransactionalIdAuthorizationFailed => (
            ErrorKind::Config,
            "the user needs Write and Describe on the transactional id: a prefixed right on stream-rs/",
        ),
        _ => (ErrorKind::Unavailable, "the client goes on trying; check that the brokers are reachable"),
    }
}
