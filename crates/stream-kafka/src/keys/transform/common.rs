//! Keys of both roles: servers, client ids, buffers, timeouts, topics, providers of settings.

use std::time::Duration;

use crate::keys::draft::{Draft, Given};
use crate::keys::engine::SchemaRegistry;
use crate::keys::{Role, is_known_key};

/// Translates them.
pub(super) fn run(draft: &mut Draft) {
    servers(draft);
    names(draft);
    topics(draft);
    renamed_numbers(draft);
    request_timeout(draft);
    reconnect(draft);
    config_providers(draft);
    schema_registry(draft);
}

fn servers(draft: &mut Draft) {
    let Some(given) = draft.get("bootstrap.servers").or_else(|| draft.get("metadata.broker.list")) else {
        return;
    };
    let servers: Vec<&str> = split(&given.value).collect();
    for server in &servers {
        if let Some(problem) = wrong_server(server) {
            let message = format!("`{server}` under `{}` {problem}", given.key);
            draft.refuse(&given.key, message, "write `host:port`, several with commas, IPv6 as `[::1]:9092`");
        }
    }
    draft.overwrite("bootstrap.servers", servers.join(","));
}

/// What is wrong with one server, if anything. A missing port is fine: librdkafka knows 9092.
fn wrong_server(server: &str) -> Option<&'static str> {
    let address = server.split_once("://").map_or(server, |(_, address)| address);
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => return Some("lacks the closing `]`"),
        },
        None if address.matches(':').count() > 1 => {
            return Some("looks like IPv6 without brackets");
        }
        None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Some("has no host");
    }
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => None,
        Some(_) => Some("has no valid port"),
    }
}

fn names(draft: &mut Draft) {
    if let Some(given) = draft.get("client.id.prefix") {
        draft.put("client.id", given.value.clone(), &given.key);
    }
    let prefix = draft.get("client.id.prefix").or_else(|| draft.get("client.id"));
    draft.engine.client_id_prefix = prefix.map(|given| given.value).filter(|prefix| !prefix.is_empty());
    if let Some(given) = draft.get("alias").filter(|given| !given.value.is_empty()) {
        if is_known_key(&given.value) {
            let message = format!("the alias `{}` is also the name of a Kafka key", given.value);
            draft.refuse(&given.key, message, "choose another name for this instance");
        }
        draft.engine.alias = Some(given.value);
    }
}

fn topics(draft: &mut Draft) {
    let Some(given) = draft.get("topic") else {
        return;
    };
    let mut topics: Vec<String> = Vec::new();
    for topic in split(&given.value) {
        if !is_topic_name(topic) {
            let message = format!("`{topic}` under `{}` is not a topic name", given.key);
            draft.refuse(
                &given.key,
                message,
                "up to 249 letters, digits, `.`, `_` and `-`; for an expression use `pattern`",
            );
        } else if !topics.iter().any(|known| known == topic) {
            topics.push(topic.to_owned());
        }
    }
    if draft.role == Role::Sink && topics.len() > 1 {
        let message = format!("`{}` of a sink names {} topics, it takes one", given.key, topics.len());
        draft.refuse(&given.key, message, "use one sink per topic, or choose the topic per record in the serializer");
    }
    draft.engine.topics = topics;
}

/// Kafka's own rule for names of topics.
pub(crate) fn is_topic_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.chars().all(legal)
}

/// The parts of a list, which may use commas or blanks.
pub(super) fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty())
}

fn renamed_numbers(draft: &mut Draft) {
    for (key, property) in [
        ("metadata.max.age.ms", "topic.metadata.refresh.interval.ms"),
        ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
        ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ] {
        if let Some(given) = draft.get(key) {
            draft.put(property, given.value, &given.key);
        }
    }
}

fn request_timeout(draft: &mut Draft) {
    let Some(given) = draft.get("request.timeout.ms") else {
        return;
    };
    draft.engine.request_timeout = millis(&given).unwrap_or(draft.engine.request_timeout);
    draft.put("socket.timeout.ms", given.value.clone(), &given.key);
    if draft.role == Role::Sink {
        draft.put("request.timeout.ms", given.value, &given.key);
    }
}

/// A first delay above the last one: Java goes by the longer of the two, librdkafka refuses to start.
fn reconnect(draft: &mut Draft) {
    const JAVA_MAX: i64 = 1_000;
    let (base, max) = ("reconnect.backoff.ms", "reconnect.backoff.max.ms");
    if !draft.is_explicit(base) {
        return lower_reconnect_base(draft);
    }
    let delay = draft.number(base, 0);
    if !draft.is_explicit(max) && delay > JAVA_MAX {
        draft.put_derived(max, delay.to_string());
    } else if draft.is_explicit(max) && delay > draft.number(max, 0) {
        let (base_key, max_key) = (draft.writer(base), draft.writer(max));
        draft.warn(format!("`{max_key}` was raised to {delay}, because `{base_key}` is that long"));
        draft.overwrite(max, delay.to_string());
    }
}

/// Only the longest delay was set, below the first one that librdkafka would use.
fn lower_reconnect_base(draft: &mut Draft) {
    const CLIENT_BASE: i64 = 100;
    let longest = draft.number("reconnect.backoff.max.ms", CLIENT_BASE);
    if longest < CLIENT_BASE {
        draft.put_derived("reconnect.backoff.ms", longest.to_string());
    }
}

fn config_providers(draft: &mut Draft) {
    const KNOWN: [&str; 3] = ["FileConfigProvider", "DirectoryConfigProvider", "EnvVarConfigProvider"];
    let given: Vec<(String, Given)> = with_prefix(draft, "config.providers.");
    for (name, given) in given {
        let key = &given.key;
        if name.ends_with(".class") {
            let class = given.value.strip_prefix("org.apache.kafka.common.config.provider.").unwrap_or(&given.value);
            if !KNOWN.contains(&class) {
                let message = format!("`{key}` names a Java class, which cannot run here");
                draft.refuse(
                    key,
                    message,
                    "use `${env:NAME}` or `${file:path}`, or one of Kafka's three own providers",
                );
            }
        } else if name.contains(".param.") {
            draft.warn(format!("`{key}` is not enforced: settings are filled in before Kafka's keys are read"));
        } else {
            draft.refuse(
                key,
                format!("unknown key `{key}`"),
                "`.class` and `.param.<name>` may follow a provider's name",
            );
        }
    }
}

fn schema_registry(draft: &mut Draft) {
    const DECIDED_BY_RUST: [&str; 3] = ["specific.avro.reader", "specific.protobuf.value.type", "json.value.type"];
    let mut registry = SchemaRegistry::default();
    let mut first = None;
    let rows = draft
        .given
        .iter()
        .filter(|(key, _)| crate::keys::table::find(key).is_some_and(|row| row.key == "schema.registry.url"));
    for (key, given) in rows {
        if DECIDED_BY_RUST.contains(&key.as_str()) {
            draft.ignored.push((given.key.clone(), "the Rust type decides"));
            continue;
        }
        first.get_or_insert_with(|| given.key.clone());
        match key.as_str() {
            "schema.registry.url" => registry.url = given.value.clone(),
            _ => drop(registry.properties.insert(key.clone(), given.value.clone())),
        }
    }
    if let Some(key) = first {
        draft.warn(format!("`{key}` has no effect yet: this version has no schema registry client"));
        draft.engine.schema_registry = Some(registry);
    }
}

/// Every given key with a prefix, by what follows it.
pub(super) fn with_prefix(draft: &Draft, prefix: &str) -> Vec<(String, Given)> {
    let rest = |(key, given): (&String, &Given)| Some((key.strip_prefix(prefix)?.to_owned(), given.clone()));
    draft.given.iter().filter_map(rest).collect()
}

/// A checked whole number of milliseconds.
pub(super) fn millis(given: &Given) -> Option<Duration> {
    given.value.parse().ok().map(Duration::from_millis)
}
