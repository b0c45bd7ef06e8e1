//! Stores positions in the group, where Kafka's own tools show them and the next run begins; dead letters go before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use stream_core::{Committer, Error, ErrorKind, Result, SplitPosition};

use super::dead_letters::DeadLetterFlush;
use crate::client::consumer::{Commit, ConsumerHandle, TopicPartition};
use crate::client::rights::Right;
use crate::client::{ClientError, ErrorCode, client_error};

/// How long a commit may hold up the coordinator. Without a broker librdkafka itself would wait for 45 s.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct KafkaCommitter {
    handle: ConsumerHandle,
    splits: BTreeMap<Arc<str>, TopicPartition>,
    committed: Positions,
    /// A commit that was not answered in time. The next one waits for it, lest an old position overtakes a new one.
    pending: Option<(Commit, Positions)>,
    interval: Duration,
    dead_letters: Option<DeadLetterFlush>,
}

type Positions = BTreeMap<TopicPartition, i64>;

impl KafkaCommitter {
    /// Commits `splits` only; without any, dead letters are flushed and nothing is stored.
    pub(super) fn new(
        handle: ConsumerHandle,
        splits: BTreeMap<Arc<str>, TopicPartition>,
        interval: Duration,
        dead_letters: Option<DeadLetterFlush>,
    ) -> KafkaCommitter {
        KafkaCommitter { handle, splits, committed: BTreeMap::new(), pending: None, interval, dead_letters }
    }

    /// The answer does not say which topic it is about, so that only a single one can be named.
    fn explain(&self, error: &ClientError) -> Error {
        let topics: BTreeSet<&str> = self.splits.values().map(|(topic, _)| topic.as_str()).collect();
        match (topics.len(), topics.first()) {
            (1, Some(topic)) => self.handle.account().explain(WHAT, error, Right::Read, topic),
            _ if error.rdkafka_error_code() == Some(ErrorCode::TopicAuthorizationFailed) => client_error(WHAT, error),
            _ => self.handle.account().explain(WHAT, error, Right::Read, ""),
        }
    }

    /// Waits for the commit under way, if there is one.
    fn settle(&mut self) -> Result<()> {
        let Some((commit, positions)) = self.pending.take() else { return Ok(()) };
        match commit.answer(PATIENCE) {
            Some(Ok(())) => {
                self.committed.extend(positions);
                Ok(())
            }
            Some(Err(error)) => Err(self.explain(&error)),
            None => {
                self.pending = Some((commit, positions));
                Err(Error::new(ErrorKind::Unavailable, format!("{WHAT}: no answer for {PATIENCE:?}")))
            }
        }
    }
}

const WHAT: &str = "can't commit positions to the group";

impl Committer for KafkaCommitter {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn prepare(&mut self) -> Result<()> {
        self.dead_letters.as_mut().map_or(Ok(()), |dead_letters| dead_letters.run(PATIENCE))
    }

    fn commit(&mut self, _epoch: u64, positions: &[SplitPosition]) -> Result<()> {
        self.settle()?;
        let known = positions.iter().filter_map(|p| Some((*self.splits.get(&p.split)?, p.next)));
        let changed: Vec<_> = known.filter(|(split, next)| self.committed.get(split) != Some(next)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let commit = self.handle.start_commit(&changed).map_err(|e| self.explain(&e))?;
        self.pending = Some((commit, changed.into_iter().collect()));
        self.settle()
    }
}
