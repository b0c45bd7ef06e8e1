//! Keys without effect and keys that are refused, with the values and classes that make no difference.

use crate::keys::draft::{Draft, Given};
use crate::keys::table::{self, Action, Row};

/// Sorts the rows that are ignored or rejected.
pub(super) fn run(draft: &mut Draft) {
    let given: Vec<(&'static Row, Given)> =
        draft.given.iter().filter_map(|(key, given)| Some((table::find(key)?, given.clone()))).collect();
    for (row, given) in given {
        match row.action {
            Action::Ignore => ignore(draft, row, &given),
            Action::Reject => reject(draft, row, &given),
            _ => {}
        }
    }
}

fn ignore(draft: &mut Draft, row: &'static Row, given: &Given) {
    if row.key == "ssl.enabled.protocols" || row.key == "ssl.protocol" {
        warn_of_protocols(draft, given);
    }
    if !is_quiet(row.key, &given.value) {
        draft.ignored.push((given.key.clone(), row.note));
    }
}

/// Someone who leaves TLS 1.2 out means it: a line of its own.
fn warn_of_protocols(draft: &mut Draft, given: &Given) {
    let names: Vec<&str> = given.value.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if !names.is_empty() && names.iter().all(|name| *name == "TLSv1.3") {
        let key = &given.key;
        draft.warn(format!(
            "`{key}` excludes TLS 1.2, which cannot be enforced here: OpenSSL would still accept it; set MinProtocol in openssl.cnf"
        ));
    }
}

fn reject(draft: &mut Draft, row: &'static Row, given: &Given) {
    if given.value.is_empty() || is_quiet(row.key, &given.value) {
        return;
    }
    if row.key == "interceptor.classes" {
        return interceptors(draft, given);
    }
    // AWS_MSK_IAM is refused under its mechanism, once.
    if row.key == "sasl.client.callback.handler.class" && simple_name(&given.value) == "IAMClientCallbackHandler" {
        return;
    }
    let key = &given.key;
    draft.refuse(key, format!("`{key}` is not supported: {}", row.note), hint(row.key));
}

fn interceptors(draft: &mut Draft, given: &Given) {
    let key = &given.key;
    for class in given.value.split(',').map(str::trim).filter(|class| !class.is_empty()) {
        let name = simple_name(class);
        if name.starts_with("Tracing") && name.ends_with("Interceptor") && class.starts_with("io.opentelemetry.") {
            draft.warn(format!("`{key}`: `{name}` is left out; trace headers are the engine's business"));
        } else if class.starts_with("io.confluent.monitoring.clients.interceptor.") {
            draft.warn(format!("`{key}`: `{name}` is left out; the engine exports its own metrics"));
        } else {
            let message = format!("`{key}`: `{class}` is a Java class and cannot run here");
            draft.refuse(key, message, "remove it, and do the same with `map` or `inspect` on the stream");
        }
    }
}

/// Values that ask for nothing, so that nothing need be said about them.
fn is_quiet(key: &str, value: &str) -> bool {
    let named = |names: &[&str]| {
        value.split(',').map(str::trim).filter(|name| !name.is_empty()).all(|name| names.contains(&simple_name(name)))
    };
    match key {
        "metric.reporters" => named(&["JmxReporter"]),
        "ssl.keymanager.algorithm" => value == "SunX509" || value.is_empty(),
        "ssl.trustmanager.algorithm" => value == "PKIX" || value.is_empty(),
        "sasl.oauthbearer.jwt.validator.class" => {
            named(&["DefaultJwtValidator", "ClientJwtValidator", "BrokerJwtValidator"])
        }
        "sasl.oauthbearer.header.urlencode" | "transaction.two.phase.commit.enable" => value == "false",
        "share.acknowledgement.mode" => value.eq_ignore_ascii_case("implicit"),
        "share.acquire.mode" => value.eq_ignore_ascii_case("batch_optimized"),
        _ => false,
    }
}

fn hint(key: &str) -> &'static str {
    match key {
        "security.providers" | "ssl.provider" => "set `ssl.providers: default,fips` (names of OpenSSL 3 providers)",
        "ssl.engine.factory.class" => "set PEM files under `ssl.keystore.location` and `ssl.truststore.location`",
        "ssl.truststore.pem" => "did you mean `ssl.truststore.certificates`?",
        "zookeeper.connect" => "set `bootstrap.servers`",
        "sasl.login.class" | "sasl.client.callback.handler.class" => {
            "use a mechanism that librdkafka has: PLAIN, SCRAM, OAUTHBEARER with OpenID Connect, or Kerberos"
        }
        "transaction.two.phase.commit.enable" => "set `semantic: EXACTLY_ONCE`",
        _ => "remove the line",
    }
}

/// A class name without its package.
pub(super) fn simple_name(class: &str) -> &str {
    class.rsplit(['.', '$']).next().unwrap_or(class)
}
