//! The traps, each with the exact text that a user reads.

use std::collections::BTreeSet;

use super::super::check;
use super::super::{
    IsolationLevel, PartitionerChoice, Role, begins_known_key, is_known_key, translate, translate_with,
};
use super::table::Live;
use super::{lines, problems, raw, sink, source};

#[test]
fn defaults_of_a_source() {
    let translation = source(&[]);
    let found: Vec<String> = translation.client.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        found,
        [
            "allow.auto.create.topics=false",
            "check.crcs=true",
            "enable.auto.commit=false",
            "enable.auto.offset.store=false",
            "enable.partition.eof=true",
            "isolation.level=read_uncommitted",
            "socket.timeout.ms=30000",
        ]
    );
    assert_eq!(translation.engine.isolation_level, IsolationLevel::ReadUncommitted);
    assert!(translation.warnings.is_empty());
}

#[test]
fn defaults_of_a_sink() {
    let translation = sink(&[]);
    let found: Vec<String> = translation.client.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(
        found,
        [
            "allow.auto.create.topics=false",
            "delivery.timeout.ms=120000",
            "enable.idempotence=true",
            "max.in.flight.requests.per.connection=5",
            "message.max.bytes=1048576",
            "partitioner=murmur2_random",
            "socket.timeout.ms=30000",
        ]
    );
    assert_eq!(translation.engine.partitioner, PartitionerChoice::Unset);
    assert!(translation.warnings.is_empty());
}

#[test]
fn samples_of_the_documentation() {
    let sample = source(&[
        ("bootstrap.servers", "kfk1:9092,kfk2:9092,kfk3:9092"),
        ("topic", "topic1,topic2,topic3..."),
        ("group.id", "user_01"),
        ("auto.offset.reset", "earliest"),
        ("enable.auto.commit", "true"),
        ("start.from.timestamp", "1591286400000"),
        ("start.from.offset.topic", "topic_abc,topic_123"),
        ("start.from.offset.topic_abc", "0:182,1:183,2:182"),
        ("start.from.offset.topic_123", "0:182,1:183,2:182"),
    ]);
    assert_eq!(sample.engine.start_from_offsets.len(), 2);
    assert_eq!(sample.engine.topics, ["topic1", "topic2", "topic3..."]);
    let sample = sink(&[
        ("bootstrap.servers", "kfk1:9092,kfk2:9092,kfk3:9092"),
        ("topic", "kfk_sink"),
        ("transaction.timeout.ms", "1000"),
        ("semantic", "AT_LEAST_ONCE"),
        ("batch.size", "1"),
    ]);
    assert!(sample.warnings.is_empty(), "{:?}", sample.warnings);
    assert!(Live::new(&sample, Role::Sink).is_ok());
}

/// Java's plain defaults do not even start as a transactional producer of librdkafka; ours do.
#[test]
fn transactional_producers_start() {
    for settings in [
        &[("transactional.id", "x")][..],
        &[("transactional.id", "x"), ("transaction.timeout.ms", "1000")],
        &[("transactional.id", "x"), ("transaction.timeout.ms", "1000"), ("request.timeout.ms", "30000")],
        &[("transactional.id", "x"), ("delivery.timeout.ms", "120000"), ("linger.ms", "100")],
        &[("transactional.id", "x"), ("acks", "all"), ("retries", "3")],
    ] {
        let translation = sink(settings);
        assert!(Live::new(&translation, Role::Sink).is_ok(), "{settings:?} {translation:?}");
    }
}

#[test]
fn two_spellings() {
    assert_eq!(
        problems(Role::Source, &[("bootstrap.servers", "a:1"), ("metadata.broker.list", "a:1")]),
        "metadata.broker.list: `bootstrap.servers` and `metadata.broker.list` both set `bootstrap.servers` of the client; hint: keep one of the two"
    );
    assert_eq!(
        problems(Role::Source, &[("fetch.wait.max.ms", "1"), ("fetch.max.wait.ms", "1")]),
        "fetch.max.wait.ms: `fetch.wait.max.ms` and `fetch.max.wait.ms` both set `fetch.wait.max.ms` of the client; hint: keep one of the two"
    );
    assert_eq!(
        problems(Role::Source, &[("group.id", "g"), ("properties.group.id", "g")]),
        "properties.group.id: `group.id` and `properties.group.id` are the same setting; hint: keep one of the two"
    );
    for (role, first, second) in [
        (Role::Source, "sasl.mechanism", "sasl.mechanisms"),
        (Role::Sink, "request.timeout.ms", "socket.timeout.ms"),
        (Role::Sink, "delivery.timeout.ms", "message.timeout.ms"),
        (Role::Sink, "buffer.memory", "queue.buffering.max.kbytes"),
        (Role::Sink, "linger.ms", "queue.buffering.max.ms"),
        (Role::Sink, "retries", "message.send.max.retries"),
        (Role::Source, "metadata.max.age.ms", "topic.metadata.refresh.interval.ms"),
        (Role::Source, "receive.buffer.bytes", "socket.receive.buffer.bytes"),
        (Role::Source, "client.id", "client.id.prefix"),
        (Role::Source, "partition.discovery.interval.ms", "flink.partition-discovery.interval-millis"),
        (Role::Source, "exclude.internal.topics", "topic.blacklist"),
    ] {
        let value = match first {
            "sasl.mechanism" => "PLAIN",
            "exclude.internal.topics" => "true",
            _ => "1000",
        };
        let text = problems(role, &[(first, value), (second, value)]);
        assert!(text.contains(&format!("`{first}`")) && text.contains(&format!("`{second}`")), "{text}");
    }
    let login = "a.PlainLoginModule required username=u password=p;";
    let text = problems(Role::Source, &[("sasl.jaas.config", login), ("sasl.username", "u")]);
    assert!(text.contains("`sasl.username` and `sasl.jaas.config` both set `sasl.username`"), "{text}");
}

#[test]
fn unknown_and_denied() {
    assert_eq!(
        problems(Role::Source, &[("auto.ofset.reset", "earliest")]),
        "auto.ofset.reset: unknown key `auto.ofset.reset`; hint: did you mean `auto.offset.reset`?"
    );
    assert_eq!(
        problems(Role::Source, &[("bootstrap_servers", "a:1")]),
        "bootstrap_servers: unknown key `bootstrap_servers`; hint: did you mean `bootstrap.servers`?"
    );
    assert_eq!(
        problems(Role::Source, &[("plugin.library.paths", "/tmp/x.so")]),
        "plugin.library.paths: `plugin.library.paths` cannot be set: it loads a shared library into the process; hint: remove the line"
    );
    for key in [
        "properties.plugin.library.paths",
        "ssl.engine.location",
        "log_cb",
        "rebalance_cb",
        "made_up_cb",
        "opaque",
        "default_topic_conf",
        "statistics.interval.ms",
        "enable.auto.offset.store",
        "enable.partition.eof",
    ] {
        assert!(problems(Role::Source, &[(key, "1")]).contains("cannot be set"), "{key}");
    }
    assert!(source(&[("debug", "fetch")]).warnings[0].starts_with("`debug`"));
    assert_eq!(source(&[("queued.min.messages", "5")]).client["queued.min.messages"], "5");
}

#[test]
fn the_other_role() {
    assert_eq!(
        problems(Role::Source, &[("acks", "all")]),
        "acks: `acks` is a producer setting and has no meaning for a source; hint: move it to `kafka.sink`, or remove it"
    );
    assert_eq!(
        problems(Role::Sink, &[("group.id", "g")]),
        "group.id: `group.id` is a consumer setting and has no meaning for a sink; hint: move it to `kafka.source`, or remove it"
    );
    assert!(problems(Role::Sink, &[("queued.min.messages", "1")]).contains("is a consumer setting"));
}

#[test]
fn idempotence() {
    assert_eq!(
        problems(Role::Sink, &[("enable.idempotence", "true"), ("acks", "1"), ("retries", "0")]),
        "acks: `acks` contradicts `enable.idempotence: true`: it needs `acks: all`; hint: change one of the two\n\
         retries: `retries` contradicts `enable.idempotence: true`: it needs retries; hint: change one of the two"
    );
    assert_eq!(
        problems(Role::Sink, &[("semantic", "EXACTLY_ONCE"), ("acks", "1")]),
        "acks: `acks` contradicts exactly-once, which is idempotent: it needs `acks: all`; hint: remove the line"
    );
    assert_eq!(
        problems(Role::Sink, &[("semantic", "EXACTLY_ONCE"), ("enable.idempotence", "false")]),
        "enable.idempotence: `enable.idempotence: false` contradicts exactly-once; hint: remove the line"
    );
    let threshold = problems(Role::Sink, &[("queue.buffering.backpressure.threshold", "5")]);
    assert!(threshold.contains("above 1 does not go with an idempotent producer"), "{threshold}");
    for rival in [("acks", "0"), ("request.required.acks", "1"), ("retries", "0"), ("max.in.flight", "6")] {
        let translation = sink(&[rival]);
        assert_eq!(translation.client["enable.idempotence"], "false", "{rival:?}");
        assert!(Live::new(&translation, Role::Sink).is_ok(), "{rival:?}");
        assert!(translation.warnings[0].contains("turns idempotence off"), "{rival:?}");
    }
}

#[test]
fn group_protocol_consumer() {
    let wanted = "cannot be set together with `group.protocol: consumer`";
    for (key, value) in [
        ("session.timeout.ms", "45000"),
        ("heartbeat.interval.ms", "3000"),
        ("partition.assignment.strategy", "range"),
        ("group.protocol.type", "consumer"),
    ] {
        let text = problems(Role::Source, &[("group.protocol", "consumer"), (key, value)]);
        assert!(text.starts_with(&format!("{key}: `{key}` {wanted}")), "{text}");
    }
    let translation = source(&[("group.protocol", "consumer"), ("group.id", "g"), ("max.poll.interval.ms", "1000")]);
    assert!(!translation.client.contains_key("session.timeout.ms"));
    assert!(Live::new(&translation, Role::Source).is_ok());
}

#[test]
fn timeouts_that_do_not_go_together() {
    assert_eq!(
        problems(Role::Source, &[("session.timeout.ms", "60000"), ("max.poll.interval.ms", "50000")]),
        "session.timeout.ms: `session.timeout.ms` (60000) is more than `max.poll.interval.ms` (50000); hint: lower the session timeout, or raise the poll interval"
    );
    let translation = source(&[("reconnect.backoff.ms", "500"), ("reconnect.backoff.max.ms", "100")]);
    assert_eq!(translation.client["reconnect.backoff.max.ms"], "500");
    assert_eq!(
        translation.warnings,
        ["`reconnect.backoff.max.ms` was raised to 500, because `reconnect.backoff.ms` is that long"]
    );
    let translation = sink(&[("linger.ms", "200000")]);
    assert_eq!(translation.client["delivery.timeout.ms"], "230000");
    assert_eq!(
        problems(Role::Sink, &[("linger.ms", "5s")]),
        "linger.ms: `5s` under `linger.ms` is not a number of milliseconds from 0 to 900000; hint: write milliseconds, without a unit"
    );
}

#[test]
fn topics_patterns_offsets() {
    let text = problems(Role::Source, &[("topic", "a"), ("pattern", "b.*")]);
    assert_eq!(
        text,
        "pattern: `topic` and `pattern` are both set; hint: keep one: a list of topics, or a pattern of their names"
    );
    for (pattern, what) in [
        ("a(?!b)", "look-around"),
        ("(?<=a)b", "look-around"),
        ("(a)\\1", "a back reference"),
        ("(?>a)", "an atomic group"),
        ("a*+", "a possessive quantifier"),
    ] {
        assert!(problems(Role::Source, &[("pattern", pattern)]).contains(what), "{pattern}");
    }
    for pattern in ["a\\+\\(\\?=", "(?:a|b)+", "(?<name>a)?", "t[1-9]{2}"] {
        assert_eq!(source(&[("pattern", pattern)]).engine.pattern.as_deref(), Some(pattern));
    }
    assert_eq!(
        problems(Role::Source, &[("start.from.offset.a", "0:182, 1;183")]),
        "start.from.offset.a: `start.from.offset.a`: expected `partition:offset`, found `1;183` at column 8 of the value; hint: write `partition:offset`, several with commas: `0:182,1:183`"
    );
    assert!(
        problems(Role::Source, &[("start.from.offset.a", "0:1,0:2")]).contains("partition 0 appears twice at column 5")
    );
    assert!(problems(Role::Source, &[("start.from.offset.a", "0:-1")]).contains("`-1` is not an offset at column 1"));
    assert!(
        problems(Role::Source, &[("start.from.offset.topic", "a")])
            .contains("lists `a`, but `start.from.offset.a` is not set")
    );
    let other = [("start.from.offset.topic", "a"), ("start.from.offset.a", "0:1"), ("start.from.offset.b", "0:1")];
    assert!(problems(Role::Source, &other).contains("does not list `b`"));
    assert!(problems(Role::Source, &[("topic", "a/b")]).contains("`a/b` under `topic` is not a topic name"));
}

#[test]
fn kerberos_values_cannot_extend_the_command() {
    for (key, value) in [
        ("sasl.kerberos.principal", "ann; rm -rf /"),
        ("sasl.kerberos.principal", "$(id)"),
        ("sasl.kerberos.keytab", "/a\" ; id \""),
        ("sasl.kerberos.keytab", "`id`"),
    ] {
        assert!(problems(Role::Source, &[(key, value)]).contains("a sign that a shell would act on"), "{value}");
    }
    let login = "Krb5LoginModule required keyTab=\"/a\" principal=\"x|y\";";
    assert!(problems(Role::Source, &[("sasl.jaas.config", login)]).contains("a shell would act on"));
}

#[test]
fn stores_by_their_first_bytes() {
    let head = |path: &str| -> Option<Vec<u8>> {
        Some(match path {
            "/jks" => vec![0xFE, 0xED, 0xFE, 0xED, 0, 0, 0, 2],
            "/jceks" => vec![0xCE, 0xCE, 0xCE, 0xCE],
            "/p12" => vec![0x30, 0x82],
            "/pem" => b"Bag Attributes\n-----BEGIN CERTIFICATE-----".to_vec(),
            _ => return None,
        })
    };
    let of = |settings: &[(&str, &str)]| translate_with(Role::Source, &raw(settings), &head);
    let refused = |settings: &[(&str, &str)]| lines(&of(settings).expect_err("refused"));
    assert!(of(&[("ssl.keystore.location", "/pem")]).is_ok());
    assert!(of(&[("ssl.keystore.location", "/p12"), ("ssl.keystore.password", "x")]).is_ok());
    // Java reads PKCS12 under its default type.
    let named = [("ssl.keystore.location", "/p12"), ("ssl.keystore.password", "x"), ("ssl.keystore.type", "JKS")];
    assert!(of(&named).is_ok());
    assert_eq!(
        refused(&[("ssl.keystore.location", "/jks"), ("ssl.keystore.password", "x")]),
        "ssl.keystore.location: `ssl.keystore.location` is a Java key store, which only Java reads; hint: keytool -importkeystore -srckeystore /jks -destkeystore /jks.p12 -deststoretype PKCS12"
    );
    assert!(refused(&[("ssl.keystore.location", "/jceks")]).contains("is a Java key store"));
    assert!(refused(&[("ssl.keystore.location", "/what")]).contains("cannot tell what kind of store"));
    assert!(refused(&[("ssl.keystore.location", "/p12")]).contains("`ssl.keystore.password` is not set"));
    assert_eq!(
        refused(&[("ssl.truststore.location", "/p12")]),
        "ssl.truststore.location: `ssl.truststore.location` is a PKCS12 trust store, which librdkafka cannot read; hint: openssl pkcs12 -in /p12 -nokeys -out /p12.pem"
    );
    let differs = [("ssl.keystore.location", "/p12"), ("ssl.keystore.password", "x"), ("ssl.key.password", "y")];
    assert!(refused(&differs).contains("a PKCS12 store has one password here"));
}

#[test]
fn malformed_logins_name_the_place() {
    for (login, wanted) in [
        ("a.PlainLoginModule", "expected `required` after the class (character 19)"),
        ("a.PlainLoginModule required username", "expected `=` after the name of an option"),
        ("a.PlainLoginModule required username=\"u\"", "expected an option or the closing `;`"),
        ("a.PlainLoginModule required username=\"u", "a quote is never closed (character 39)"),
        ("a.P required; b.P required;", "only one login is possible"),
        ("a.PlainLoginModule required username=\"u\";", "lacks the option `password`"),
    ] {
        let text = problems(Role::Source, &[("sasl.jaas.config", login)]);
        assert!(text.contains(wanted), "{login}: {text}");
    }
}

#[test]
fn known_words() {
    assert!(is_known_key("topic") && is_known_key("group.id") && is_known_key("start.from.offset.x"));
    assert!(!is_known_key("kafka1") && !is_known_key("batch"));
    assert!(begins_known_key("batch") && !begins_known_key("kafka1") && !begins_known_key("topi"));
}

/// librdkafka refuses one property, the message carries the user's key and not the client's.
#[test]
fn what_only_librdkafka_refuses() {
    let translation = source(&[("properties.broker.address.family", "v5")]);
    let problems = check::check(&translation).expect_err("refused");
    let keys: BTreeSet<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, BTreeSet::from(["properties.broker.address.family"]));
}

#[test]
fn empty_values_and_flags() {
    assert_eq!(
        problems(Role::Source, &[("group.id", " ")]),
        "group.id: `group.id` is empty; hint: correct the value, or remove the line to use the default"
    );
    assert_eq!(
        problems(Role::Source, &[("check.crcs", "on")]),
        "check.crcs: `on` under `check.crcs` is not `true` or `false`; hint: correct the value, or remove the line to use the default"
    );
    assert_eq!(
        problems(Role::Source, &[("max.poll.records", "many"), ("fetch.max.wait.ms", "1s")]),
        "max.poll.records: `many` under `max.poll.records` is not a whole number, 1 or more; hint: correct the value, or remove the line to use the default\n\
         fetch.max.wait.ms: `1s` under `fetch.max.wait.ms` is not a whole number, 0 or more; hint: write milliseconds, without a unit"
    );
    assert_eq!(source(&[("bootstrap.servers", "dev")]).client["bootstrap.servers"], "dev");
}

#[test]
fn problems_with_two_keys_say_where_the_first_is() {
    let mut settings = raw(&[("acks", "all"), ("properties.request.required.acks", "1")]);
    settings[0].origin = Some("application.yml:4:23".to_owned());
    let problems = translate(Role::Sink, &settings).expect_err("two spellings");
    assert_eq!(
        lines(&problems),
        "properties.request.required.acks: `acks` (application.yml:4:23) and `properties.request.required.acks` both set `acks` of the client; hint: keep one of the two"
    );
}

#[test]
fn a_mechanism_of_another_build() {
    let kerberos = source(&[("security.protocol", "SASL_PLAINTEXT")]);
    if !check::features().iter().any(|feature| feature == "sasl_gssapi") {
        assert_eq!(
            lines(&check::check(&kerberos).expect_err("no Kerberos")),
            "security.protocol: `security.protocol` without `sasl.mechanism` means GSSAPI (Kerberos), which needs the cargo feature `kerberos` of stream-kafka, off in this build; hint: set `sasl.mechanism`, or turn the feature on"
        );
        assert!(Live::new(&kerberos, Role::Source).is_err());
    }
    let plain = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN")];
    assert!(check::check(&source(&plain)).is_ok());
}

/// The names we make are OpenSSL's: a client with TLS on refuses a list of which it knows nothing.
#[test]
fn cipher_names_are_openssls() {
    if !check::features().iter().any(|feature| feature == "ssl") {
        return;
    }
    for exchange in ["ECDHE_ECDSA", "ECDHE_RSA", "DHE_RSA", "RSA"] {
        for cipher in ["AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "AES_128_CBC_SHA256", "AES_256_CBC_SHA"] {
            let suite = format!("TLS_{exchange}_WITH_{cipher}");
            let translation = source(&[("ssl.cipher.suites", &suite), ("security.protocol", "ssl")]);
            assert!(Live::new(&translation, Role::Source).is_ok(), "{suite}");
        }
    }
    let made_up = [("ssl.cipher.suites", "ECDHE-RSA-NO-SUCH-THING"), ("security.protocol", "ssl")];
    assert!(Live::new(&source(&made_up), Role::Source).is_err());
}

#[test]
fn what_librdkafka_refuses_together() {
    let together = source(&[("fetch.max.bytes", "2000000"), ("properties.message.max.bytes", "3000000")]);
    check::check(&together).expect("each is fine by itself");
    let Err(error) = Live::new(&together, Role::Source) else { panic!("a client that cannot be") };
    let problem = check::creation_problem(&together, &error);
    assert_eq!(
        lines(&[problem]),
        "fetch.max.bytes: librdkafka refuses these settings: `fetch.max.bytes` must be >= `message.max.bytes`; hint: change one of the properties it names"
    );
}

#[test]
fn blanks_around_passwords_stay() {
    let translation = source(&[("sasl.password", " x "), ("sasl.username", " u "), ("ssl.key.password", " y ")]);
    assert_eq!(translation.client["sasl.password"], " x ");
    assert_eq!(translation.client["sasl.username"], "u");
    assert_eq!(translation.client["ssl.key.password"], " y ");
}
