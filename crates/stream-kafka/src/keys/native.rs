//! The property names of librdkafka 2.12.1: who may set which, and what nobody may set.
//!
//! librdkafka itself would say so as well, but only when a client is created, without a line number, and with the
//! value in the message. Names are sorted, so that lookups are a binary search.

use super::Role;

/// What the name is to librdkafka, seen from one role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Native {
    /// The role may set it.
    Ours,
    /// Only the other role may set it.
    Theirs,
    /// No such property.
    Unknown,
}

/// Looks a name up for one role.
pub(crate) fn lookup(role: Role, name: &str) -> Native {
    let (own, other) = match role {
        Role::Source => (SOURCE_ONLY, SINK_ONLY),
        Role::Sink => (SINK_ONLY, SOURCE_ONLY),
    };
    if contains(SHARED, name) || contains(own, name) {
        Native::Ours
    } else if contains(other, name) {
        Native::Theirs
    } else {
        Native::Unknown
    }
}

/// Every name a role may set, for suggestions.
pub(crate) fn names(role: Role) -> impl Iterator<Item = &'static str> {
    let own = match role {
        Role::Source => SOURCE_ONLY,
        Role::Sink => SINK_ONLY,
    };
    SHARED.iter().chain(own).copied()
}

/// The one spelling under which we keep a property that has several; where Java has a name, it is Java's.
pub(crate) fn preferred(name: &str) -> &str {
    SPELLINGS.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, preferred)| preferred)
}

/// Why a name may not be set by configuration at all: code loading, commands, callbacks, and what the engine owns.
pub(crate) fn denied(name: &str) -> Option<&'static str> {
    if let Some((_, reason)) = DENIED.iter().find(|(denied, _)| *denied == name) {
        return Some(reason);
    }
    if name.ends_with("_cb") || contains(API_ONLY, name) {
        return Some("it takes a function or pointer of the C library, which a setting cannot hold");
    }
    if name.starts_with("statistics.") {
        return Some("the engine owns the statistics of the client");
    }
    None
}

fn contains(sorted: &[&str], name: &str) -> bool {
    sorted.binary_search(&name).is_ok()
}

const SPELLINGS: &[(&str, &str)] = &[
    ("compression.codec", "compression.type"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("message.send.max.retries", "retries"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
    ("sasl.mechanisms", "sasl.mechanism"),
    ("sasl.oauthbearer.client.id", "sasl.oauthbearer.client.credentials.client.id"),
    ("sasl.oauthbearer.client.secret", "sasl.oauthbearer.client.credentials.client.secret"),
];

const DENIED: &[(&str, &str)] = &[
    ("auto.commit.enable", "it belongs to a consumer that librdkafka has retired; use `enable.auto.commit`"),
    ("consume.callback.max.messages", "the engine takes messages in batches, not by callback; use `max.poll.records`"),
    ("delivery.report.only.error", "the engine decides which deliveries it hears of"),
    ("enable.auto.offset.store", "the engine stores positions itself; use `enable.auto.commit`"),
    ("enable.partition.eof", "the engine always turns it on, to know when a partition is read to its end"),
    ("enabled_events", "the engine owns the event queue of the client"),
    ("internal.termination.signal", "it would send a signal through the whole process"),
    ("log.queue", "the engine owns the log of the client; use `log_level` or `debug`"),
    ("offset.store.method", "the engine keeps positions in checkpoints and in the group"),
    ("offset.store.path", "the engine keeps positions in checkpoints and in the group"),
    ("offset.store.sync.interval.ms", "the engine keeps positions in checkpoints and in the group"),
    ("plugin.library.paths", "it loads a shared library into the process"),
    ("queuing.strategy", "the engine relies on first in, first out"),
    ("ssl.engine.id", "it loads a shared library into the process; use `ssl.providers`"),
    ("ssl.engine.location", "it loads a shared library into the process; use `ssl.providers`"),
];

const SHARED: &[&str] = &[
    "allow.auto.create.topics",
    "api.version.fallback.ms",
    "api.version.request",
    "api.version.request.timeout.ms",
    "bootstrap.servers",
    "broker.address.family",
    "broker.address.ttl",
    "broker.version.fallback",
    "builtin.features",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "debug",
    "enable.metrics.push",
    "enable.random.seed",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "enable.ssl.certificate.verification",
    "enabled_events",
    "https.ca.location",
    "https.ca.pem",
    "internal.termination.signal",
    "log.connection.close",
    "log.queue",
    "log.thread.name",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.copy.max.bytes",
    "message.max.bytes",
    "metadata.broker.list",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "plugin.library.paths",
    "receive.message.max.bytes",
    "reconnect.backoff.jitter.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.metadata.authentication.type",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "socket.blocking.max.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.id",
    "ssl.engine.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.providers",
    "ssl.sigalgs.list",
    "statistics.interval.ms",
    "topic.blacklist",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.cnt",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
];

const SOURCE_ONLY: &[&str] = &[
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "check.crcs",
    "consume.callback.max.messages",
    "coordinator.query.interval.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "offset.store.method",
    "offset.store.path",
    "offset.store.sync.interval.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
];

const SINK_ONLY: &[&str] = &[
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "linger.ms",
    "message.send.max.retries",
    "message.timeout.ms",
    "partitioner",
    "produce.offset.report",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queuing.strategy",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "sticky.partitioning.linger.ms",
    "transaction.timeout.ms",
    "transactional.id",
];

const API_ONLY: &[&str] = &[
    "background_event_cb",
    "closesocket_cb",
    "connect_cb",
    "consume_cb",
    "default_topic_conf",
    "dr_cb",
    "dr_msg_cb",
    "error_cb",
    "interceptors",
    "log_cb",
    "msg_order_cmp",
    "oauthbearer_token_refresh_cb",
    "offset_commit_cb",
    "opaque",
    "open_cb",
    "partitioner_cb",
    "rebalance_cb",
    "resolve_cb",
    "socket_cb",
    "ssl.certificate.verify_cb",
    "ssl_ca",
    "ssl_certificate",
    "ssl_engine_callback_data",
    "ssl_key",
    "stats_cb",
    "throttle_cb",
];
