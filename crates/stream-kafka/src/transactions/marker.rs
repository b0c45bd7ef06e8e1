//! Where the marker of a producer's transactions lies: as metadata of offsets in a group of its own, and if that is asked
//! for as a record in a topic, too, which Kafka keeps for ever if it is compacted; a group's offsets it forgets a week
//! after the last commit.
//!
//! Both are written in the same transaction, and the highest counts. So the topic can be named and taken away again
//! between two runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stream_core::{Error, ErrorKind, Result};

use super::commit::{Call, insist};
use crate::admin::Admin;
use crate::client::ClientError;
use crate::client::last::{PARTITION, access, last_record};
use crate::client::producer::{ProducerHandle, Refused};
use crate::client::transactional::StoredOffset;
use crate::record::Topic;
use crate::schema::ProducerRecord;

/// How long to wait before the record is offered to a full queue again.
const FULL: Duration = Duration::from_millis(2);

/// Where the marker of one transactional id lies.
#[derive(Clone, Debug)]
pub(super) struct MarkerPlace {
    /// The transactional id, and the name of the group.
    pub(super) name: String,
    pub(super) topic: Option<Topic>,
}

/// A question that is asked until there is an answer: what for, and how.
pub(super) trait Ask {
    fn ask<R>(&self, what: &str, question: impl FnMut(Duration) -> Result<R, ClientError>) -> Result<R>;
}

impl MarkerPlace {
    /// Everything that is stored as the marker and decided; the reader knows which of it is the newest.
    pub(super) fn read(
        &self,
        producer: &ProducerHandle,
        settings: &BTreeMap<String, String>,
        how: &impl Ask,
    ) -> Result<Vec<String>> {
        let MarkerPlace { name, topic } = self;
        let what = format!("can't read the marker in group `{name}`");
        let stored = how.ask(&what, |limit| producer.stored_offsets(name, limit))?;
        let mut found: Vec<String> = stored.into_iter().map(|stored| stored.metadata).collect();
        let Some(topic) = topic else { return Ok(found) };
        if !is_there(producer, *topic, how)? {
            return Ok(found);
        }
        let what = format!("can't read the marker in topic `{topic}`");
        let last = how.ask(&what, |limit| last_record(settings, *topic, name, limit))?;
        if let Some(last) = last {
            let owner = String::from_utf8_lossy(&last.key).into_owned();
            if owner != *name {
                let message = format!("topic `{topic}` holds the marker of `{owner}`, not of `{name}`");
                let hint = "give each job, and each sink on another cluster, a commit.marker-topic of its own";
                return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
            }
            found.push(String::from_utf8_lossy(&last.value).into_owned());
        }
        Ok(found)
    }

    /// Sends the record of the marker, if there is a topic: before what was sent is flushed.
    pub(super) fn send(&self, producer: &Arc<ProducerHandle>, marker: &str) -> Result<()> {
        let Some(topic) = self.topic else { return Ok(()) };
        let mut record = ProducerRecord::default();
        record.set_key(self.name.as_bytes());
        record.set_value(marker.as_bytes());
        let handle = producer.topic(topic)?;
        loop {
            match handle.produce(PARTITION, &record) {
                Ok(()) => return Ok(()),
                Err(Refused::Full) => {
                    producer.check()?;
                    stream_core::thread::Waker::new().park(FULL);
                }
                Err(Refused::Failed(error)) => return Err(error),
            }
        }
    }

    /// Adds the marker to the transaction as offsets of these partitions. True if that had to be repeated.
    pub(super) fn add(&self, call: &Call<'_>, places: &[(Topic, i32)], marker: &str) -> Result<bool> {
        let stored = |(topic, partition): &(Topic, i32)| StoredOffset {
            topic: *topic,
            partition: *partition,
            offset: 0,
            metadata: marker.to_owned(),
        };
        let offsets: Vec<StoredOffset> = places.iter().map(stored).collect();
        let what = "can't add the marker of a checkpoint to its transaction";
        insist(call, what, |limit| call.producer.add_offsets(&self.name, &offsets, limit))
    }

    /// Looks at the topic before the first marker is written to it.
    ///
    /// # Errors
    /// `Config` if there is no such topic, or if it does not keep what it holds.
    pub(super) fn check(
        &self,
        producer: &ProducerHandle,
        settings: &BTreeMap<String, String>,
        how: &impl Ask,
    ) -> Result<()> {
        let Some(topic) = self.topic else { return Ok(()) };
        let create = format!(
            "kafka-topics --create --topic {topic} --partitions 1 --config cleanup.policy=compact; it is for this job alone"
        );
        if !is_there(producer, topic, how)? {
            let message = format!("there is no topic `{topic}`, which commit.marker-topic names");
            return Err(Error::new(ErrorKind::Config, message).with_hint(format!("create it: {create}")));
        }
        if producer.is_fake() {
            return Ok(());
        }
        let admin = Admin::with_properties(access(settings))?;
        match admin.topic_setting(topic.as_str(), "cleanup.policy") {
            Ok(Some(policy)) if policy != "compact" => {
                let message = format!(
                    "topic `{topic}`, which commit.marker-topic names, has cleanup.policy={policy}: it would lose the marker"
                );
                let hint = format!(
                    "kafka-configs --alter --entity-type topics --entity-name {topic} --add-config cleanup.policy=compact"
                );
                Err(Error::new(ErrorKind::Config, message).with_hint(hint))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!("nobody says whether topic `{topic}` keeps the marker (cleanup.policy): {error}");
                Ok(())
            }
        }
    }
}

fn is_there(producer: &ProducerHandle, topic: Topic, how: &impl Ask) -> Result<bool> {
    let what = format!("can't read the partitions of `{topic}`");
    let partitions = how.ask(&what, |limit| producer.partitions(topic, limit))?;
    Ok(partitions.is_some_and(|partitions| !partitions.is_empty()))
}
