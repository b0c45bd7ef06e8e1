//! Stores positions in the group, where Kafka's own tools show them and the next run begins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stream_core::{Committer, Result, SplitPosition};

use crate::client::client_error;
use crate::client::consumer::{ConsumerHandle, TopicPartition};

pub(super) struct KafkaCommitter {
    handle: ConsumerHandle,
    splits: BTreeMap<Arc<str>, TopicPartition>,
    committed: BTreeMap<TopicPartition, i64>,
    interval: Duration,
}

impl KafkaCommitter {
    pub(super) fn new(
        handle: ConsumerHandle,
        names: Vec<(Arc<str>, TopicPartition)>,
        interval: Duration,
    ) -> KafkaCommitter {
        KafkaCommitter { handle, splits: names.into_iter().collect(), committed: BTreeMap::new(), interval }
    }
}

impl Committer for KafkaCommitter {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn commit(&mut self, _epoch: u64, positions: &[SplitPosition]) -> Result<()> {
        let known = positions.iter().filter_map(|p| Some((*self.splits.get(&p.split)?, p.next)));
        let changed: Vec<_> = known.filter(|(split, next)| self.committed.get(split) != Some(next)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.handle.commit(&changed).map_err(|e| client_error("can't commit positions to the group", &e))?;
        self.committed.extend(changed);
        Ok(())
    }
}
