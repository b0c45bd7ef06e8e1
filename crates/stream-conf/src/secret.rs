//! Secrets: a type that cannot be printed, and the words by which a key is taken for a secret.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Visitor};
use zeroize::Zeroize;

/// A value that is never shown: `Debug` and `Display` print `***`, it cannot be serialized, and
/// its memory is overwritten when it is dropped.
///
/// Overwriting is best effort: copies that were made before (by a parser, by `expose().clone()`)
/// are not found.
///
/// # Example
/// ```
/// use stream_conf::Secret;
///
/// let password = Secret::new(String::from("hunter2"));
/// assert_eq!(format!("{password} {password:?}"), "*** ***");
/// assert_eq!(password.expose(), "hunter2");
/// ```
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize>(T);

/// Tells the deserializer of a section that the value must not appear in an error.
pub(crate) const SECRET_NEWTYPE: &str = "$stream_conf::Secret";

impl<T: Zeroize> Secret<T> {
    /// Hides `value`.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value in clear, for the one place that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Zeroize + FromStr> FromStr for Secret<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        text.parse().map(Self)
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::source::MASK)
    }
}

impl<T: Zeroize> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::source::MASK)
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Inner<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Inner<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a secret")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<T, D::Error> {
                T::deserialize(inner)
            }
        }
        deserializer.deserialize_newtype_struct(SECRET_NEWTYPE, Inner(std::marker::PhantomData)).map(Self)
    }
}

/// Parts of a word that make a key secret wherever they stand.
const SECRET_PARTS: [&str; 7] = ["password", "passwd", "passphrase", "secret", "credential", "jaas", "apikey"];

/// Whole words that make a key secret; as parts they would hit `tokenizer` or `tempem`.
const SECRET_WORDS: [&str; 6] = ["pem", "token", "tokens", "pwd", "pw", "pass"];

/// Words that make a key secret even with one letter wrong: a misspelt `pasword` holds a password.
const SECRET_NEARLY: [&str; 5] = ["password", "passphrase", "secret", "credential", "credentials"];

/// Neighbouring words that make a key secret.
const SECRET_PAIRS: [[&str; 2]; 6] = [
    ["oauthbearer", "config"],
    // PEM text of the private key, for a Java client.
    ["keystore", "key"],
    ["private", "key"],
    ["api", "key"],
    ["access", "key"],
    // `user:password` of a schema registry.
    ["user", "info"],
];

/// Whether the value of `key` has to be masked, judged by the key's words: password, secret, PEM
/// text, token, credential, JAAS, passphrase, private and API keys, `user.info`,
/// `sasl.oauthbearer.config`; the long ones also with one letter wrong.
///
/// Every part of the key counts, so everything below a section `credentials` is secret too. A
/// public value that is masked is a nuisance, a secret that is shown is an accident.
///
/// # Example
/// ```
/// use stream_conf::is_secret_key;
///
/// assert!(is_secret_key("kafka.source.sasl.jaas.config"));
/// assert!(is_secret_key("ssl.key.pem"));
/// assert!(!is_secret_key("kafka.source.topic"));
/// ```
pub fn is_secret_key(key: &str) -> bool {
    let words = words(key);
    let lower = key.to_ascii_lowercase();
    SECRET_PARTS.iter().any(|part| lower.contains(part))
        || words.iter().any(|word| SECRET_WORDS.contains(&word.as_str()))
        || words.iter().any(|word| {
            let nearly = |secret: &&str| strsim::osa_distance(word, secret) <= 1;
            SECRET_NEARLY.iter().any(nearly)
        })
        // librdkafka's name for the text of a private key; `ssl.key.location` is none.
        || lower.ends_with("ssl_key")
        || words.windows(2).any(|pair| SECRET_PAIRS.iter().any(|[a, b]| pair[0] == *a && pair[1] == *b))
}

/// Keys that the program calls secret, whatever they look like.
#[derive(Default)]
pub(crate) struct SecretKeys(BTreeSet<String>);

impl SecretKeys {
    pub(crate) fn add(&mut self, key: String) {
        self.0.insert(key);
    }

    /// Whether the key looks secret, or is or ends in a registered one.
    pub(crate) fn contains(&self, key: &str) -> bool {
        let ends_in = |name: &String| {
            key.strip_suffix(name.as_str()).is_some_and(|front| front.is_empty() || front.ends_with('.'))
        };
        is_secret_key(key) || self.0.iter().any(ends_in)
    }
}

/// Lower-case words of a key, cut at punctuation and where camelCase begins a new word.
fn words(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for character in key.chars() {
        let starts_word = character.is_uppercase() && after_lower;
        if (starts_word || !character.is_alphanumeric()) && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if character.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(character.to_lowercase());
        }
        after_lower = character.is_lowercase() || character.is_numeric();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_secret() {
        for key in [
            "sasl.password",
            "ssl.key.password",
            "ssl.keystore.key",
            "sasl.jaas.config",
            "sasl.oauthbearer.config",
            "ssl.key.pem",
            "ssl_key_pem",
            "client.accessToken",
            "api.key",
            "AWS_SECRET_ACCESS_KEY",
            "passphrase",
            "credentials.json",
            "sasl.pasword",
            "sasl.passwrod",
            "schema.registry.basic.auth.user.info",
            "kafka.source.ssl_key",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in
            ["topic", "tokenizer", "bootstrap.servers", "temperature", "compass", "key.serializer", "ssl.key.location"]
        {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn a_secret_parses_and_hides() {
        let secret: Secret<u32> = "42".parse().unwrap();
        assert_eq!(*secret.expose(), 42);
        assert_eq!(format!("{secret:?}/{secret}"), "***/***");
    }
}
