//! Java's names of cipher suites, which are IANA's, in OpenSSL's words.

use super::common::split;
use crate::keys::draft::Draft;

/// Translates `ssl.cipher.suites`.
pub(super) fn run(draft: &mut Draft) {
    let Some(given) = draft.get("ssl.cipher.suites") else {
        return;
    };
    let key = &given.key;
    let mut kept: Vec<String> = Vec::new();
    let mut fixed: Vec<&str> = Vec::new();
    for suite in split(&given.value) {
        if !suite.contains('_') {
            // Already a list of OpenSSL, such as `ECDHE+AESGCM:!aNULL`.
            kept.push(suite.to_owned());
        } else if !suite.contains("_WITH_") && suite.starts_with("TLS_") {
            fixed.push(suite);
        } else if let Some(name) = openssl_name(suite) {
            kept.push(name);
        } else {
            let message = format!("`{key}`: `{suite}` has no name in OpenSSL");
            draft.refuse(key, message, "take it off the list, or use the names that `openssl ciphers` prints");
        }
    }
    if !fixed.is_empty() {
        draft.warn(format!("`{key}`: TLS 1.3 suites cannot be chosen here, left out: {}", fixed.join(", ")));
    }
    if !kept.is_empty() {
        draft.put("ssl.cipher.suites", kept.join(":"), key);
    }
}

/// `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` is `ECDHE-RSA-AES128-GCM-SHA256`.
fn openssl_name(suite: &str) -> Option<String> {
    let body = suite.strip_prefix("TLS_").or_else(|| suite.strip_prefix("SSL_"))?;
    let (exchange, cipher) = body.split_once("_WITH_")?;
    let (_, exchange) = EXCHANGES.iter().find(|(iana, _)| *iana == exchange)?;
    let (_, cipher) = CIPHERS.iter().find(|(iana, _)| *iana == cipher)?;
    Some(format!("{exchange}{cipher}"))
}

/// Key exchanges; RSA is OpenSSL's default and goes without saying.
const EXCHANGES: &[(&str, &str)] = &[
    ("ECDHE_ECDSA", "ECDHE-ECDSA-"),
    ("ECDHE_RSA", "ECDHE-RSA-"),
    ("DHE_RSA", "DHE-RSA-"),
    ("DHE_DSS", "DHE-DSS-"),
    ("RSA", ""),
];

/// Ciphers with their mode and hash; CBC goes without saying.
const CIPHERS: &[(&str, &str)] = &[
    ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
    ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
    ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
    ("AES_128_CCM", "AES128-CCM"),
    ("AES_256_CCM", "AES256-CCM"),
    ("AES_128_CBC_SHA256", "AES128-SHA256"),
    ("AES_256_CBC_SHA256", "AES256-SHA256"),
    ("AES_256_CBC_SHA384", "AES256-SHA384"),
    ("AES_128_CBC_SHA", "AES128-SHA"),
    ("AES_256_CBC_SHA", "AES256-SHA"),
];
