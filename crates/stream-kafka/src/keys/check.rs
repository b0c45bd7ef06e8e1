//! Asks librdkafka itself about translated properties, one by one, so that its refusals carry the user's key.
//!
//! librdkafka's own error names only the first bad property and quotes its value; here every property is asked about,
//! and the reason is passed on only where it cannot hold a secret. A refusal because of how the library was built says
//! which cargo feature to turn on.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use super::{KeyProblem, Translation, is_secret, native};

/// Checks each property on its own. What librdkafka only sees when properties meet shows when a client is created.
///
/// # Errors
/// Every property that librdkafka refuses.
pub fn check(translation: &Translation) -> Result<(), Vec<KeyProblem>> {
    let mut problems: Vec<KeyProblem> = translation
        .client
        .iter()
        .filter_map(|(property, value)| {
            let mut config = ClientConfig::new();
            config.set(property, value);
            let reason = match config.create_native_config() {
                Ok(_) => return None,
                Err(KafkaError::ClientConfig(_, reason, _, _)) => reason,
                Err(_) => "the text holds a zero byte".to_owned(),
            };
            let key = translation.written_by.get(property).unwrap_or(property);
            Some(problem(key, property, &reason))
        })
        .collect();
    problems.extend(missing_mechanism(translation, &features()));
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// Why a client could not be created, without any secret value, under the first key of the user that librdkafka names
/// (empty where it names none).
pub fn creation_problem(translation: &Translation, error: &KafkaError) -> KeyProblem {
    let reason = match error {
        KafkaError::ClientConfig(_, reason, property, _) => {
            let key = translation.written_by.get(property).unwrap_or(property);
            return problem(key, property, reason);
        }
        KafkaError::ClientCreation(reason) => reason.clone(),
        other => other.to_string(),
    };
    // librdkafka names the properties in backticks: "`a` must be >= `b`".
    let named = reason.split('`').skip(1).step_by(2).map(native::preferred);
    let key = named.filter_map(|property| translation.written_by.get(property)).next();
    let secrets = translation.client.iter().filter(|(key, value)| is_secret(key) && !value.is_empty());
    let shown = secrets.fold(reason, |reason, (_, value)| reason.replace(value.as_str(), "***"));
    KeyProblem {
        key: key.cloned().unwrap_or_default(),
        message: format!("librdkafka refuses these settings: {shown}"),
        hint: Some("change one of the properties it names".to_owned()),
    }
}

/// The features of this build of librdkafka: `gzip`, `ssl`, `zstd`, `oidc` ...
pub fn features() -> Vec<String> {
    let list = ClientConfig::new().create_native_config().and_then(|config| config.get("builtin.features"));
    list.unwrap_or_default().split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// A SASL mechanism that this build does not have; librdkafka would say so only when the client is created.
fn missing_mechanism(translation: &Translation, features: &[String]) -> Option<KeyProblem> {
    let client = &translation.client;
    client.get("security.protocol").filter(|protocol| protocol.starts_with("sasl_"))?;
    // GSSAPI is what both clients take when no mechanism is set.
    let mechanism = client.get("sasl.mechanism").map_or("GSSAPI", String::as_str);
    let (needed, feature) = match mechanism {
        "GSSAPI" => ("sasl_gssapi", "kerberos"),
        "OAUTHBEARER" => ("sasl_oauthbearer", "tls"),
        scram if scram.starts_with("SCRAM-") => ("sasl_scram", "tls"),
        _ => return None,
    };
    if features.iter().any(|known| known == needed) {
        return None;
    }
    let property =
        ["sasl.mechanism", "security.protocol"].into_iter().find(|property| client.contains_key(*property))?;
    let key = translation.written_by.get(property).map_or(property, String::as_str);
    let mut problem = needs_feature(key, feature);
    if property == "security.protocol" {
        problem.message = format!(
            "`{key}` without `sasl.mechanism` means GSSAPI (Kerberos), which needs the cargo feature `{feature}` of \
             stream-kafka, off in this build"
        );
        problem.hint = Some("set `sasl.mechanism`, or turn the feature on".to_owned());
    }
    Some(problem)
}

fn needs_feature(key: &str, feature: &str) -> KeyProblem {
    KeyProblem {
        key: key.to_owned(),
        message: format!("`{key}` needs the cargo feature `{feature}` of stream-kafka, which is off in this build"),
        hint: Some(format!("add features = [\"{feature}\"] to the dependency on stream-kafka")),
    }
}

fn problem(key: &str, property: &str, reason: &str) -> KeyProblem {
    if let Some(feature) = missing_feature(reason) {
        return needs_feature(key, feature);
    }
    let message = match is_secret(key) || is_secret(property) {
        true => format!("librdkafka refuses the value of `{key}`"),
        false => format!("librdkafka refuses `{key}`: {reason}"),
    };
    KeyProblem { key: key.to_owned(), message, hint: Some("correct the value, or remove the line".to_owned()) }
}

fn missing_feature(reason: &str) -> Option<&'static str> {
    let is_about_build = reason.contains("at build time") || reason.contains("not supported in this build");
    let features = [
        ("libcurl", "oidc"),
        ("OIDC", "oidc"),
        ("HTTP", "oidc"),
        ("zstd", "zstd"),
        ("OpenSSL", "tls"),
        ("OAUTHBEARER", "tls"),
        ("SCRAM", "tls"),
        ("GSSAPI", "kerberos"),
    ];
    features.iter().find(|(word, _)| is_about_build && reason.contains(word)).map(|(_, feature)| *feature)
}

#[cfg(test)]
mod tests {
    use super::{missing_feature, problem};

    #[test]
    fn a_reason_is_left_out_where_it_may_quote_a_secret() {
        let reason = "Invalid value \"hush\" for configuration property";
        for (key, property) in [("sasl.jaas.config", "sasl.username"), ("sasl.username", "sasl.password")] {
            assert!(!format!("{:?}", problem(key, property, reason)).contains("hush"));
        }
        let shown = problem("broker.address.family", "broker.address.family", reason);
        assert!(shown.message.contains(reason));
    }
    #[test]
    fn a_build_without_something_names_the_feature() {
        for (reason, feature) in [
            ("OAuth/OIDC depends on libcurl and OpenSSL which were not available at build time", Some("oidc")),
            ("libzstd not available at build time", Some("zstd")),
            ("OpenSSL not available at build time", Some("tls")),
            ("Invalid value \"OpenSSL\"", None),
        ] {
            assert_eq!(missing_feature(reason), feature, "{reason}");
        }
    }
}
