//! Topics from code: for examples, tests and tools. Jobs never create or delete topics by themselves.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use stream_core::clock::{Clock, SystemClock};
use stream_core::{Configuration, Error, ErrorKind, Result};

use crate::client::consumer::{ConsumerHandle, TopicPartition};
use crate::client::{ClientError, client_error};
use crate::keys::{self, Role};
use crate::record::Topic;
use crate::settings::{Chosen, Settings};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Creates, deletes and looks at topics of one cluster.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    consumer: ConsumerHandle,
}

impl Admin {
    /// For the cluster behind these brokers, without security.
    ///
    /// # Errors
    /// `Config` if the client can't be created.
    pub fn new(bootstrap_servers: &str) -> Result<Admin> {
        Admin::in_group(bootstrap_servers, "stream-rs-admin")
    }

    /// As [`Admin::new`], to look at the positions of a group.
    ///
    /// # Errors
    /// `Config` if the client can't be created.
    pub fn in_group(bootstrap_servers: &str, group: &str) -> Result<Admin> {
        Admin::with_properties([("bootstrap.servers", bootstrap_servers), ("group.id", group)])
    }

    /// With properties as a source takes them, such as those of a cluster that asks for a user.
    ///
    /// # Errors
    /// `Config` if a property is wrong or the client can't be created.
    pub fn with_properties<K, V>(properties: impl IntoIterator<Item = (K, V)>) -> Result<Admin>
    where
        K: Into<String>,
        V: Into<String>,
    {
        let properties = properties.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let chosen = Chosen { alias: None, properties };
        let mut settings = Settings::read(&Configuration::empty(), Role::Source, &chosen)?.translation.client;
        settings.entry("group.id".to_owned()).or_insert_with(|| "stream-rs-admin".to_owned());
        let mut config = ClientConfig::new();
        for (key, value) in settings.iter().filter(|(key, _)| keys::is_property_of(Role::Sink, key)) {
            config.set(key, value);
        }
        let client = config.create().map_err(|e| client_error("can't create an admin client", &e))?;
        Ok(Admin { client, consumer: ConsumerHandle::new(&settings)? })
    }

    /// Creates a topic; fails if it exists.
    ///
    /// # Errors
    /// `Config` if the broker refuses, `Unavailable` if it does not answer.
    pub fn create_topic(&self, name: &str, partitions: i32, replication: i32) -> Result<()> {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
        let options = AdminOptions::new().operation_timeout(Some(LIMIT)).request_timeout(Some(LIMIT));
        let answers = pollster::block_on(self.client.create_topics([&topic], &options));
        self.check(&format!("can't create topic `{name}`"), answers)?;
        // The answer comes before every broker has heard of it.
        for _ in 0..100 {
            if matches!(self.partitions(name), Ok(n) if n == usize::try_from(partitions).unwrap_or(0)) {
                return Ok(());
            }
            stream_core::thread::Waker::new().park(Duration::from_millis(50));
        }
        Err(Error::new(ErrorKind::Unavailable, format!("topic `{name}` was created, but its partitions don't show up")))
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// `Config` if the broker refuses, `Unavailable` if it does not answer.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        let options = AdminOptions::new().operation_timeout(Some(LIMIT)).request_timeout(Some(LIMIT));
        let answers = pollster::block_on(self.client.delete_topics(&[name], &options));
        self.check(&format!("can't delete topic `{name}`"), answers)
    }

    /// A setting of a topic, as the brokers have it; none if they know no such setting.
    ///
    /// # Errors
    /// `Config` if the brokers refuse, `Unavailable` if they do not answer.
    pub fn topic_setting(&self, topic: &str, key: &str) -> Result<Option<String>> {
        let what = format!("can't read the settings of topic `{topic}`");
        let options = AdminOptions::new().request_timeout(Some(LIMIT));
        let answers = pollster::block_on(self.client.describe_configs(&[ResourceSpecifier::Topic(topic)], &options));
        let mut answers = answers.map_err(|e| client_error(&what, &e))?.into_iter();
        match answers.next() {
            Some(Ok(resource)) => Ok(resource.get(key).and_then(|entry| entry.value.clone())),
            Some(Err(code)) => Err(Error::new(ErrorKind::Config, format!("{what}: {code}"))),
            None => Ok(None),
        }
    }

    fn check(
        &self,
        what: &str,
        answers: rdkafka::error::KafkaResult<Vec<Result<String, (String, RDKafkaErrorCode)>>>,
    ) -> Result<()> {
        for answer in answers.map_err(|e| client_error(what, &e))? {
            if let Err((_, code)) = answer {
                return Err(Error::new(ErrorKind::Config, format!("{what}: {code}")));
            }
        }
        Ok(())
    }

    /// How many partitions a topic has; 0 if there is no such topic.
    ///
    /// # Errors
    /// `Unavailable` if the broker does not answer.
    pub fn partitions(&self, topic: &str) -> Result<usize> {
        Ok(self.splits(topic)?.len())
    }

    /// For each partition, the first offset and the one after the last.
    ///
    /// # Errors
    /// `Unavailable` if the broker does not answer.
    pub fn offsets(&self, topic: &str) -> Result<Vec<(i64, i64)>> {
        let splits = self.splits(topic)?.into_iter();
        splits.map(|split| self.ask("can't read the log's ends", |c| c.watermarks(split, LIMIT))).collect()
    }

    /// For each partition, the group's position.
    ///
    /// # Errors
    /// `Unavailable` if the broker does not answer.
    pub fn committed(&self, topic: &str) -> Result<Vec<Option<i64>>> {
        let splits = self.splits(topic)?;
        self.ask("can't read the group's positions", |c| c.committed(&splits, LIMIT))
    }

    fn splits(&self, topic: &str) -> Result<Vec<TopicPartition>> {
        let partitions = self.ask("can't read the topic", |c| c.partitions(topic, LIMIT))?;
        Ok(partitions.unwrap_or_default().into_iter().map(|p| (Topic::new(topic), p)).collect())
    }

    /// Asks again while the answer is one that passes: a topic that was just created has no leader for a moment.
    fn ask<R>(&self, what: &str, question: impl Fn(&ConsumerHandle) -> Result<R, ClientError>) -> Result<R> {
        let clock = SystemClock::new();
        loop {
            let error = match question(&self.consumer) {
                Ok(answer) => return Ok(answer),
                Err(error) => client_error(what, &error),
            };
            if error.kind() != ErrorKind::Unavailable || clock.monotonic() >= LIMIT {
                return Err(error);
            }
            stream_core::thread::Waker::new().park(Duration::from_millis(50));
        }
    }
}
