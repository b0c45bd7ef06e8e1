//! Keys: one spelling for every layout, and the nearest known word for a misspelt one.

/// The prefix of StreamPark's `app:` layout. It says where a value was written, not what it means.
const APP_PREFIX: &str = "app.";

/// The key without the `app.` prefix, and whether it had one.
pub(crate) fn canonical(key: &str) -> (&str, bool) {
    match key.strip_prefix(APP_PREFIX) {
        Some(rest) if !rest.is_empty() => (rest, true),
        _ => (key, false),
    }
}

/// Lower case, with every run of `.`, `-` and `_` as one `_`: two keys that an environment
/// variable cannot tell apart have the same fold.
pub(crate) fn fold(key: &str) -> String {
    let mut folded = String::with_capacity(key.len());
    for character in key.chars() {
        if matches!(character, '.' | '-' | '_') {
            if !folded.ends_with('_') {
                folded.push('_');
            }
        } else {
            folded.extend(character.to_lowercase());
        }
    }
    folded
}

/// Whether `key` is `prefix` or lies below it; gives what is left behind the dot.
pub(crate) fn below<'k>(key: &'k str, prefix: &str) -> Option<&'k str> {
    if prefix.is_empty() {
        return Some(key);
    }
    key.strip_prefix(prefix)?.strip_prefix('.')
}

/// Why a key cannot be used, if it cannot.
pub(crate) fn fault(key: &str) -> Option<&'static str> {
    if key.trim().is_empty() {
        Some("the key is empty")
    } else if key.starts_with('.') || key.ends_with('.') || key.contains("..") {
        Some("the key has an empty part between its dots")
    } else if key.chars().any(char::is_control) {
        Some("the key holds a control character")
    } else {
        None
    }
}

/// The candidate that `word` is most likely a misspelling of, if one is near enough.
///
/// Case and the choice between `.`, `-` and `_` do not count as differences. About one wrong
/// letter in three is forgiven; among equals the first candidate wins.
///
/// # Example
/// ```
/// use stream_conf::did_you_mean;
///
/// let known = ["topic", "group.id", "bootstrap.servers"];
/// assert_eq!(did_you_mean("bootstrap_server", known), Some("bootstrap.servers"));
/// assert_eq!(did_you_mean("colour", known), None);
/// ```
pub fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let folded = fold(word);
    let length = folded.chars().count();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other = fold(candidate);
        let allowed = (length.max(other.chars().count()) / 3).max(1);
        let distance = strsim::osa_distance(&folded, &other);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words() {
        let known = ["topic", "group.id", "auto.offset.reset", "enable.auto.commit"];
        for (word, expected) in [
            ("topci", Some("topic")),
            ("groupid", Some("group.id")),
            ("Group_Id", Some("group.id")),
            ("auto.ofset.reset", Some("auto.offset.reset")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(word, known), expected, "{word}");
        }
    }

    #[test]
    fn folds() {
        assert_eq!(fold("Kafka.my-alias__x"), "kafka_my_alias_x");
        assert_eq!(below("a.b.c", "a.b"), Some("c"));
        assert_eq!(below("a.bc", "a.b"), None);
        assert_eq!(canonical("app.kafka"), ("kafka", true));
        assert_eq!(canonical("application"), ("application", false));
    }
}
