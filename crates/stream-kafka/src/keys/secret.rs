//! Which Kafka keys hold secrets: those that every configuration hides, and a few that only Kafka knows.

use stream_conf::is_secret_key;

/// Whether the value under a key must never be shown.
///
/// Rather one too many: a hidden path costs a look into the file, a shown password a rotation.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    is_secret_key(&key) || KAFKAS.iter().any(|part| key.contains(part))
}

const KAFKAS: &[&str] = &["user.info", "ssl.keystore.key", "ssl.keystore.certificate", "ssl_key"];
