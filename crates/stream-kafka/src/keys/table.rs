//! The table: every key of the Java clients (and of StreamPark, Flink and older Kafka) and what becomes of it.
//!
//! One row per key, in the order of Kafka's documentation: alphabetical, then removed keys, then other tools' keys.
//! The rule on a row checks the value; the `transform` modules hold what one row cannot say. `docs/src/kafka-keys.md`
//! is printed from this table, and a test keeps it fresh.

use super::Role;
use super::rule::{INT, LONG, Rule, clamped, int, mapped};

/// Which role a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// A consumer.
    Source,
    /// A producer.
    Sink,
    /// Either.
    Both,
}

impl Applies {
    /// Whether the role may set the key.
    pub fn to(self, role: Role) -> bool {
        match self {
            Applies::Both => true,
            Applies::Source => role == Role::Source,
            Applies::Sink => role == Role::Sink,
        }
    }
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// librdkafka knows it under the same name and with the same meaning.
    Same,
    /// librdkafka knows it under another name.
    Rename,
    /// Its value, or what it is said with, changes.
    Transform,
    /// The engine does what it says.
    Engine,
    /// It has no effect here; one warning lists all such keys.
    Ignore,
    /// It cannot be honoured, and leaving it out would change what the user gets.
    Reject,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name. `<...>` in it stands for any text.
    pub key: &'static str,
    /// Who may set it.
    pub applies: Applies,
    /// The properties of librdkafka that it ends up in.
    pub native: &'static [&'static str],
    /// What becomes of it.
    pub action: Action,
    /// What its value must look like.
    pub(crate) rule: Rule,
    /// What a reader of the documentation, or of a warning, should know.
    pub note: &'static str,
}

/// Finds the row of a key, also of a key that only fits a row with `<...>`.
pub fn find(key: &str) -> Option<&'static Row> {
    let family = || {
        let (head, rest) =
            FAMILIES.iter().find_map(|(prefix, row)| key.strip_prefix(prefix).map(|rest| (row, rest)))?;
        (!rest.is_empty()).then_some(*head)
    };
    let name = RELATIVES.iter().find(|(relative, _)| *relative == key).map_or(key, |(_, row)| *row);
    let exact = |name: &str| ROWS.iter().find(|row| row.key == name);
    exact(name).or_else(|| exact(family()?))
}

/// Keys that belong to a row by their beginning.
const FAMILIES: &[(&str, &str)] = &[
    ("start.from.offset.", "start.from.offset.<topic>"),
    ("config.providers.", "config.providers"),
    ("schema.registry.", "schema.registry.url"),
];

/// Keys of Confluent's serializers, which go with the schema registry.
pub(crate) const RELATIVES: &[(&str, &str)] = &[
    ("auto.register.schemas", "schema.registry.url"),
    ("basic.auth.credentials.source", "schema.registry.url"),
    ("basic.auth.user.info", "schema.registry.url"),
    ("bearer.auth.credentials.source", "schema.registry.url"),
    ("bearer.auth.token", "schema.registry.url"),
    ("json.value.type", "schema.registry.url"),
    ("key.subject.name.strategy", "schema.registry.url"),
    ("specific.avro.reader", "schema.registry.url"),
    ("specific.protobuf.value.type", "schema.registry.url"),
    ("use.latest.version", "schema.registry.url"),
    ("value.subject.name.strategy", "schema.registry.url"),
];

const TEXT: Rule = Rule::Text;
const NAME: Rule = Rule::NonEmpty;
const FLAG: Rule = Rule::Flag;
const CODECS: Rule = Rule::Words(&["none", "gzip", "snappy", "lz4", "zstd"]);
const LINGER_MAX: i64 = 900_000;

/// Builds a row per line; rustfmt leaves the lines alone, so that the table stays one.
macro_rules! rows {
    ($($key:literal $applies:ident $action:ident [$($native:literal)*] ($rule:expr) $note:literal)*) => {
        &[$(Row {
            key: $key,
            applies: Applies::$applies,
            native: &[$($native),*],
            action: Action::$action,
            rule: $rule,
            note: $note,
        }),*]
    };
}

/// The table.
pub const ROWS: &[Row] = rows! {
    "acks" Sink Same ["acks"] (Rule::Words(&["all", "-1", "0", "1"])) "idempotence, the default, needs `all`"
    "allow.auto.create.topics" Source Same ["allow.auto.create.topics"] (FLAG) "default here: false (Java: true), so that a misspelt topic is an error and not a new topic"
    "auto.commit.interval.ms" Source Engine [] (int(0, INT)) "used only while checkpoints are off; default 5 s"
    "auto.offset.reset" Source Transform ["auto.offset.reset"] (NAME) "`none` becomes `error`; `by_duration:PT1H` is resolved by the engine; default `latest`"
    "batch.size" Sink Same ["batch.size"] (mapped((0, INT), (1, INT), &[(0, 1)])) "0 becomes 1; default here 1000000 (Java: 16384)"
    "bootstrap.servers" Both Same ["bootstrap.servers"] (NAME) "a list or commas; `[::1]:9092` for IPv6"
    "buffer.memory" Sink Transform ["queue.buffering.max.kbytes"] (clamped((0, LONG), (1, INT * 1024))) "rounded up to KiB; the limit on the number of records is lifted with it"
    "check.crcs" Source Same ["check.crcs"] (FLAG) "default here: true, as in Java"
    "client.dns.lookup" Both Same ["client.dns.lookup"] (Rule::Words(&["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"])) "same two values"
    "client.id" Both Same ["client.id"] (TEXT) "the engine appends operator and subtask"
    "client.rack" Source Same ["client.rack"] (TEXT) "reads from the nearest replica, where the brokers allow it"
    "compression.gzip.level" Sink Transform ["compression.level"] (int(-1, 9)) "only with `compression.type: gzip`"
    "compression.lz4.level" Sink Transform ["compression.level"] (clamped((1, 17), (-1, 12))) "only with `compression.type: lz4`; at most 12 here"
    "compression.type" Sink Same ["compression.type"] (CODECS) "zstd needs the cargo feature `zstd`"
    "compression.zstd.level" Sink Transform ["compression.level"] (clamped((-131_072, 22), (-1, 12))) "only with `compression.type: zstd`; -1 to 12 here"
    "config.providers" Both Engine [] (TEXT) "the classes for files, directories and environment; any other is refused"
    "connections.max.idle.ms" Both Same ["connections.max.idle.ms"] (mapped((-1, LONG), (0, INT), &[(-1, 0)])) "-1 (never) becomes 0; default here: never (Java: 9 minutes)"
    "default.api.timeout.ms" Source Engine [] (int(0, INT)) "limit for metadata, committed positions and offsets by time; default 60 s"
    "delivery.timeout.ms" Sink Transform ["delivery.timeout.ms"] (int(1, INT)) "default 120000 as in Java; in a transaction at most `transaction.timeout.ms`"
    "enable.auto.commit" Source Engine ["enable.auto.commit"] (FLAG) "the client's own commit is always off; the engine commits after checkpoints, or every `auto.commit.interval.ms` without them"
    "enable.idempotence" Sink Same ["enable.idempotence"] (FLAG) "default here: true, as in Java, unless `acks`, `retries` or in-flight requests rule it out"
    "enable.metrics.push" Both Same ["enable.metrics.push"] (FLAG) "broker-side collection of client metrics; default true"
    "exclude.internal.topics" Source Transform ["topic.blacklist"] (FLAG) "leaves Kafka's own topics out of a pattern; default true"
    "fetch.max.bytes" Source Same ["fetch.max.bytes"] (clamped((0, INT), (1_000_000, 2_147_483_135))) "at least 1000000 here"
    "fetch.max.wait.ms" Source Rename ["fetch.wait.max.ms"] (clamped((0, INT), (0, 300_000))) "librdkafka swaps the words"
    "fetch.min.bytes" Source Same ["fetch.min.bytes"] (mapped((0, INT), (1, 100_000_000), &[(0, 1)])) "0 becomes 1"
    "group.id" Source Same ["group.id"] (NAME) "positions show up in this group after each checkpoint"
    "group.instance.id" Source Transform ["group.instance.id"] (NAME) "no effect: the engine assigns partitions itself"
    "group.protocol" Source Same ["group.protocol"] (Rule::Words(&["classic", "consumer"])) "`consumer` takes no session, heartbeat or assignor settings"
    "group.remote.assignor" Source Same ["group.remote.assignor"] (NAME) "only with `group.protocol: consumer`"
    "heartbeat.interval.ms" Source Same ["heartbeat.interval.ms"] (clamped((1, INT), (1, 3_600_000))) "not with `group.protocol: consumer`"
    "interceptor.classes" Both Reject [] (TEXT) "Java classes cannot run here; use `map` on the stream"
    "internal.throw.on.fetch.stable.offset.unsupported" Source Ignore [] (TEXT) "a switch inside Kafka Streams"
    "isolation.level" Source Same ["isolation.level"] (Rule::Words(&["read_uncommitted", "read_committed"])) "always written out; default `read_uncommitted`, as in Java and Flink (librdkafka alone: `read_committed`)"
    "key.deserializer" Source Engine [] (NAME) "a known class selects the codec; the Rust type has the last word"
    "key.serializer" Sink Engine [] (NAME) "a known class selects the codec; the Rust type has the last word"
    "linger.ms" Sink Same ["linger.ms"] (Rule::Millis(LINGER_MAX)) "default 5 in both; at most 900000"
    "max.block.ms" Sink Engine [] (int(0, LONG)) "how long a full send queue may hold the sink up; default 60 s"
    "max.in.flight.requests.per.connection" Sink Same ["max.in.flight.requests.per.connection"] (clamped((1, INT), (1, 1_000_000))) "default 5 as in Java; more rules out idempotence"
    "max.partition.fetch.bytes" Source Same ["max.partition.fetch.bytes"] (mapped((0, INT), (1, 1_000_000_000), &[(0, 1)])) "0 becomes 1"
    "max.poll.interval.ms" Source Same ["max.poll.interval.ms"] (clamped((1, INT), (1, 86_400_000))) "not less than `session.timeout.ms`"
    "max.poll.records" Source Engine [] (int(1, INT)) "the size of a batch"
    "max.request.size" Sink Rename ["message.max.bytes"] (clamped((0, INT), (1_000, 1_000_000_000))) "default 1048576 as in Java"
    "metadata.max.age.ms" Both Transform ["topic.metadata.refresh.interval.ms"] (mapped((0, LONG), (1, 3_600_000), &[(0, 1)])) "always the meaning of Java, forced refresh; librdkafka's property of the same name is something else"
    "metadata.max.idle.ms" Sink Ignore [] (TEXT) "only topics in use are refreshed"
    "metadata.recovery.rebootstrap.trigger.ms" Both Same ["metadata.recovery.rebootstrap.trigger.ms"] (int(0, INT)) "default 300000 in both"
    "metadata.recovery.strategy" Both Same ["metadata.recovery.strategy"] (Rule::Words(&["none", "rebootstrap"])) "default `rebootstrap` in both"
    "metric.reporters" Both Ignore [] (TEXT) "the engine exports its own metrics"
    "metrics.num.samples" Both Ignore [] (TEXT) "the engine counts, it does not sample"
    "metrics.recording.level" Both Ignore [] (TEXT) "the engine exports its own metrics"
    "metrics.sample.window.ms" Both Ignore [] (TEXT) "the engine counts, it does not sample"
    "partition.assignment.strategy" Source Transform ["partition.assignment.strategy"] (TEXT) "class names become short names; eager and cooperative do not mix"
    "partitioner.adaptive.partitioning.enable" Sink Ignore [] (TEXT) "the sticky partitioner does not look at queues"
    "partitioner.availability.timeout.ms" Sink Ignore [] (TEXT) "the sticky partitioner does not look at queues"
    "partitioner.class" Sink Transform ["partitioner"] (TEXT) "hashes are always Java's murmur2, never the CRC32 of librdkafka; a class of one's own is refused"
    "partitioner.ignore.keys" Sink Transform ["partitioner"] (FLAG) "true: random sticky partitions"
    "receive.buffer.bytes" Both Transform ["socket.receive.buffer.bytes"] (mapped((-1, INT), (0, 100_000_000), &[(-1, 0)])) "-1 (system default) becomes 0"
    "reconnect.backoff.max.ms" Both Same ["reconnect.backoff.max.ms"] (clamped((0, LONG), (0, 3_600_000))) "raised to `reconnect.backoff.ms` where that is more"
    "reconnect.backoff.ms" Both Same ["reconnect.backoff.ms"] (clamped((0, LONG), (0, 3_600_000))) "default here 100 (Java: 50)"
    "request.timeout.ms" Both Transform ["socket.timeout.ms"] (clamped((0, INT), (10, 300_000))) "always the meaning of Java; a producer's `request.timeout.ms` in librdkafka follows it; default 30000"
    "retries" Sink Same ["retries"] (int(0, INT)) "default 2147483647 in both; 0 rules out idempotence"
    "retry.backoff.max.ms" Both Same ["retry.backoff.max.ms"] (mapped((0, LONG), (1, 300_000), &[(0, 1)])) "default 1000 in both"
    "retry.backoff.ms" Both Same ["retry.backoff.ms"] (mapped((0, LONG), (1, 300_000), &[(0, 1)])) "0 becomes 1"
    "sasl.client.callback.handler.class" Both Reject [] (TEXT) "a Java class cannot run here"
    "sasl.jaas.config" Both Transform ["sasl.username" "sasl.password"] (NAME) "taken apart: PLAIN, SCRAM, OAUTHBEARER and Kerberos logins"
    "sasl.kerberos.kinit.cmd" Both Transform ["sasl.kerberos.kinit.cmd"] (NAME) "the path of kinit, as in Java; a shell command is refused"
    "sasl.kerberos.min.time.before.relogin" Both Same ["sasl.kerberos.min.time.before.relogin"] (clamped((0, LONG), (0, 86_400_000))) "0 turns kinit off"
    "sasl.kerberos.service.name" Both Same ["sasl.kerberos.service.name"] (NAME) "default here: kafka"
    "sasl.kerberos.ticket.renew.jitter" Both Ignore [] (TEXT) "librdkafka runs kinit at a fixed interval"
    "sasl.kerberos.ticket.renew.window.factor" Both Ignore [] (TEXT) "librdkafka runs kinit at a fixed interval"
    "sasl.login.callback.handler.class" Both Transform ["sasl.oauthbearer.method"] (TEXT) "Kafka's own OAuthBearerLoginCallbackHandler becomes `oidc`; others are refused"
    "sasl.login.class" Both Reject [] (TEXT) "a Java class cannot run here"
    "sasl.login.connect.timeout.ms" Both Ignore [] (TEXT) "librdkafka fixes the timeouts of the token request"
    "sasl.login.read.timeout.ms" Both Ignore [] (TEXT) "librdkafka fixes the timeouts of the token request"
    "sasl.login.refresh.buffer.seconds" Both Ignore [] (TEXT) "librdkafka renews tokens at 80 % of their life"
    "sasl.login.refresh.min.period.seconds" Both Ignore [] (TEXT) "librdkafka renews tokens at 80 % of their life"
    "sasl.login.refresh.window.factor" Both Ignore [] (TEXT) "librdkafka renews tokens at 80 % of their life"
    "sasl.login.refresh.window.jitter" Both Ignore [] (TEXT) "librdkafka renews tokens at 80 % of their life"
    "sasl.login.retry.backoff.max.ms" Both Ignore [] (TEXT) "librdkafka fixes the retries of the token request"
    "sasl.login.retry.backoff.ms" Both Ignore [] (TEXT) "librdkafka fixes the retries of the token request"
    "sasl.mechanism" Both Same ["sasl.mechanism"] (Rule::Words(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI", "AWS_MSK_IAM"])) "SCRAM and OAUTHBEARER need the cargo feature `tls`, GSSAPI needs `kerberos`; AWS_MSK_IAM is not built yet"
    "sasl.oauthbearer.assertion.algorithm" Both Same ["sasl.oauthbearer.assertion.algorithm"] (Rule::Words(&["RS256", "ES256"])) "sets the grant to jwt-bearer; needs the cargo feature `oidc`"
    "sasl.oauthbearer.assertion.claim.aud" Both Same ["sasl.oauthbearer.assertion.claim.aud"] (NAME) "sets the grant to jwt-bearer; needs the cargo feature `oidc`"
    "sasl.oauthbearer.assertion.claim.exp.seconds" Both Same ["sasl.oauthbearer.assertion.claim.exp.seconds"] (int(1, INT)) "sets the grant to jwt-bearer; needs the cargo feature `oidc`"
    "sasl.oauthbearer.assertion.claim.iss" Both Same ["sasl.oauthbearer.assertion.claim.iss"] (NAME) "sets the grant to jwt-bearer; needs the cargo feature `oidc`"
    "sasl.oauthbearer.assertion.claim.jti.include" Both Same ["sasl.oauthbearer.assertion.claim.jti.include"] (FLAG) "sets the grant to jwt-bearer; needs the cargo feature `oidc`"
    "sasl.oauthbearer.assertion.claim.nbf.seconds" Both Same ["sasl.oauthbearer.assertion.claim.nbf.seconds"] (int(0, INT)) "sets the grant to jwt-bearer; needs the cargo feature `oidc`"
    "sasl.oauthbearer.assertion.claim.sub" Both Same ["sasl.oauthbearer.assertion.claim.sub"] (NAME) "sets the grant to jwt-bearer; needs the cargo feature `oidc`"
    "sasl.oauthbearer.assertion.file" Both Same ["sasl.oauthbearer.assertion.file"] (NAME) "sets the grant to jwt-bearer; needs the cargo feature `oidc`"
    "sasl.oauthbearer.assertion.private.key.file" Both Same ["sasl.oauthbearer.assertion.private.key.file"] (NAME) "sets the grant to jwt-bearer; needs the cargo feature `oidc`"
    "sasl.oauthbearer.assertion.private.key.passphrase" Both Same ["sasl.oauthbearer.assertion.private.key.passphrase"] (TEXT) "sets the grant to jwt-bearer; needs the cargo feature `oidc`"
    "sasl.oauthbearer.assertion.template.file" Both Rename ["sasl.oauthbearer.assertion.jwt.template.file"] (NAME) "librdkafka adds the word jwt; needs the cargo feature `oidc`"
    "sasl.oauthbearer.client.credentials.client.id" Both Same ["sasl.oauthbearer.client.credentials.client.id"] (NAME) "needs the cargo feature `oidc`"
    "sasl.oauthbearer.client.credentials.client.secret" Both Same ["sasl.oauthbearer.client.credentials.client.secret"] (NAME) "needs the cargo feature `oidc`"
    "sasl.oauthbearer.clock.skew.seconds" Both Ignore [] (TEXT) "brokers validate tokens"
    "sasl.oauthbearer.expected.audience" Both Ignore [] (TEXT) "brokers validate tokens"
    "sasl.oauthbearer.expected.issuer" Both Ignore [] (TEXT) "brokers validate tokens"
    "sasl.oauthbearer.header.urlencode" Both Reject [] (FLAG) "librdkafka cannot encode the header; false, the default, is fine"
    "sasl.oauthbearer.jwks.endpoint.refresh.ms" Both Ignore [] (TEXT) "brokers validate tokens"
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms" Both Ignore [] (TEXT) "brokers validate tokens"
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms" Both Ignore [] (TEXT) "brokers validate tokens"
    "sasl.oauthbearer.jwks.endpoint.url" Both Ignore [] (TEXT) "brokers validate tokens"
    "sasl.oauthbearer.jwt.retriever.class" Both Transform ["sasl.oauthbearer.grant.type"] (TEXT) "Kafka's own classes select the grant; others are refused"
    "sasl.oauthbearer.jwt.validator.class" Both Ignore [] (TEXT) "brokers validate tokens"
    "sasl.oauthbearer.scope" Both Same ["sasl.oauthbearer.scope"] (TEXT) "needs the cargo feature `oidc`"
    "sasl.oauthbearer.scope.claim.name" Both Ignore [] (TEXT) "brokers validate tokens"
    "sasl.oauthbearer.sub.claim.name" Both Ignore ["sasl.oauthbearer.sub.claim.name"] (TEXT) "unknown to librdkafka before 2.14"
    "sasl.oauthbearer.token.endpoint.url" Both Same ["sasl.oauthbearer.token.endpoint.url"] (NAME) "turns OpenID Connect on; `file:` is refused; needs the cargo feature `oidc`"
    "security.protocol" Both Same ["security.protocol"] (Rule::Words(&["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"])) "any case; TLS needs the cargo feature `tls`"
    "security.providers" Both Reject [] (TEXT) "leaving a Java security provider out could drop a requirement such as FIPS; use `ssl.providers`"
    "send.buffer.bytes" Both Transform ["socket.send.buffer.bytes"] (mapped((-1, INT), (0, 100_000_000), &[(-1, 0)])) "-1 (system default) becomes 0"
    "session.timeout.ms" Source Same ["session.timeout.ms"] (clamped((1, INT), (1, 3_600_000))) "not with `group.protocol: consumer`"
    "share.acknowledgement.mode" Source Reject [] (TEXT) "share groups are not built; `implicit`, the default, is fine"
    "share.acquire.mode" Source Reject [] (TEXT) "share groups are not built; `batch_optimized`, the default, is fine"
    "socket.connection.setup.timeout.max.ms" Both Ignore [] (TEXT) "librdkafka's connection timeout does not grow"
    "socket.connection.setup.timeout.ms" Both Same ["socket.connection.setup.timeout.ms"] (clamped((0, LONG), (1_000, INT))) "at least 1000 here; default 30000 (Java: 10000)"
    "ssl.cipher.suites" Both Transform ["ssl.cipher.suites"] (TEXT) "Java's names become OpenSSL's; TLS 1.3 suites cannot be chosen"
    "ssl.enabled.protocols" Both Ignore [] (TEXT) "OpenSSL decides: TLS 1.2 and later; openssl.cnf has MinProtocol"
    "ssl.endpoint.identification.algorithm" Both Transform ["ssl.endpoint.identification.algorithm"] (TEXT) "the empty text (off) becomes `none`"
    "ssl.engine.factory.class" Both Reject [] (TEXT) "a Java class cannot run here; use PEM files"
    "ssl.key.password" Both Same ["ssl.key.password"] (TEXT) "of a PEM key; a PKCS12 store has one password only"
    "ssl.keymanager.algorithm" Both Ignore [] (TEXT) "a setting of the Java machine"
    "ssl.keystore.certificate.chain" Both Rename ["ssl.certificate.pem"] (NAME) "PEM text, own certificate first"
    "ssl.keystore.key" Both Rename ["ssl.key.pem"] (NAME) "PEM text"
    "ssl.keystore.location" Both Transform ["ssl.keystore.location"] (NAME) "PKCS12, or one PEM file with key and chain; JKS is refused with the command that converts it"
    "ssl.keystore.password" Both Transform ["ssl.keystore.password"] (TEXT) "of a PKCS12 store; refused for PEM, as in Java"
    "ssl.keystore.type" Both Engine [] (Rule::Words(&["PKCS12", "PEM", "JKS", "JCEKS"])) "when absent, the file's first bytes decide"
    "ssl.protocol" Both Ignore [] (TEXT) "OpenSSL decides: TLS 1.2 and later; openssl.cnf has MinProtocol"
    "ssl.provider" Both Reject [] (TEXT) "names a Java security provider; use `ssl.providers`"
    "ssl.secure.random.implementation" Both Ignore [] (TEXT) "a setting of the Java machine"
    "ssl.trustmanager.algorithm" Both Ignore [] (TEXT) "a setting of the Java machine"
    "ssl.truststore.certificates" Both Rename ["ssl.ca.pem"] (NAME) "PEM text"
    "ssl.truststore.location" Both Transform ["ssl.ca.location"] (NAME) "a PEM file; PKCS12 and JKS are refused with the command that converts them"
    "ssl.truststore.password" Both Engine [] (TEXT) "refused for PEM, as in Java"
    "ssl.truststore.type" Both Engine [] (Rule::Words(&["PKCS12", "PEM", "JKS", "JCEKS"])) "when absent, the file's first bytes decide"
    "transaction.timeout.ms" Sink Same ["transaction.timeout.ms"] (clamped((1, INT), (1_000, INT))) "at least 1000; brokers refuse more than their `transaction.max.timeout.ms`, 900000 by default"
    "transaction.two.phase.commit.enable" Sink Reject [] (FLAG) "librdkafka cannot resume a prepared transaction; exactly-once commits output and positions in one; false is fine"
    "transactional.id" Sink Engine ["transactional.id"] (NAME) "refused under exactly-once, where the engine names its own"
    "value.deserializer" Source Engine [] (NAME) "a known class selects the codec; the Rust type has the last word"
    "value.serializer" Sink Engine [] (NAME) "a known class selects the codec; the Rust type has the last word"
    "auto.include.jmx.reporter" Both Ignore [] (TEXT) "removed in Kafka 4.0"
    "block.on.buffer.full" Sink Ignore [] (TEXT) "removed long ago; see `max.block.ms`"
    "metadata.fetch.timeout.ms" Sink Ignore [] (TEXT) "removed long ago; see `max.block.ms`"
    "timeout.ms" Sink Ignore [] (TEXT) "removed long ago; see `request.timeout.ms`"
    "zookeeper.connect" Source Reject [] (TEXT) "consumers left ZooKeeper with Kafka 0.9; use `bootstrap.servers`"
    "ssl.truststore.pem" Both Reject ["ssl.ca.pem"] (TEXT) "no such key; use `ssl.truststore.certificates`"
    "sasl.mechanisms" Both Same ["sasl.mechanisms"] (Rule::Words(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI", "AWS_MSK_IAM"])) "librdkafka's spelling of `sasl.mechanism`"
    "metadata.broker.list" Both Rename ["bootstrap.servers"] (NAME) "the old spelling of `bootstrap.servers`"
    "schema.registry.url" Both Engine [] (NAME) "kept, with its relatives, for the schema registry client, which is not built yet"
    "topic" Both Engine [] (NAME) "StreamPark: one name, a list, commas or spaces; a sink has one"
    "pattern" Source Engine [] (NAME) "StreamPark: regular expression of topic names; not together with `topic`"
    "semantic" Sink Engine [] (NAME) "StreamPark: `AT_LEAST_ONCE` (default), `EXACTLY_ONCE`, `NONE`"
    "commit.epoch-bump" Sink Engine [] (Rule::Words(&["always", "on_disturbance"])) "stream-rs: when the producer of exactly-once gets a new epoch; default `always` for checkpoint intervals of 5 s and more, else `on_disturbance`"
    "commit.marker-topic" Sink Engine [] (NAME) "stream-rs: a compacted topic that holds the marker of exactly-once, too, for a job that rests longer than Kafka remembers groups (`offsets.retention.minutes`)"
    "start.from.timestamp" Source Engine [] (int(0, LONG)) "StreamPark: milliseconds since the epoch, for partitions without an offset of their own"
    "start.from.offset.topic" Source Engine [] (NAME) "StreamPark: the topics that have a `start.from.offset.<topic>`"
    "start.from.offset.<topic>" Source Engine [] (NAME) "StreamPark: `0:182,1:183` is partition:offset"
    "alias" Both Engine [] (TEXT) "StreamPark: the name of this instance; not the name of a key"
    "flink.partition-discovery.interval-millis" Source Engine [] (int(i64::MIN, LONG)) "Flink: how often to look for new partitions; 0 or less is off, the default"
    "partition.discovery.interval.ms" Source Engine [] (int(i64::MIN, LONG)) "Flink: the newer name of the same"
    "client.id.prefix" Both Engine ["client.id"] (TEXT) "Flink: as `client.id`"
    "commit.offsets.on.checkpoint" Source Engine [] (FLAG) "Flink: show positions in the group; default true"
    "on_bad_record" Source Engine [] (NAME) "stream-rs: `fail` (default), `skip` or `dead_letter(TOPIC)`, for records that cannot be decoded"
    "bad_records.max_ratio" Source Engine [] (NAME) "stream-rs: the job stops when more than this part of `bad_records.window` records in a row is bad; default 0.9; 1 never stops it"
    "bad_records.window" Source Engine [] (int(1, 1_000_000)) "stream-rs: how many records `bad_records.max_ratio` looks at, per subtask; default 1000"
    "dead_letter.format" Source Engine [] (Rule::Words(&["streams", "connect"])) "stream-rs: whose headers dead letters get; default `streams`"
    "register.consumer.metrics" Source Ignore [] (TEXT) "the engine exports its own metrics"
    "properties.<key>" Both Engine ["<key>"] (TEXT) "Flink SQL: the prefix is dropped, then this table applies"
};
