//! Mistakes are collected, so that one compilation shows all of them, each on the token that caused it.

use std::fmt::Display;

use quote::ToTokens;
use syn::Error;

/// What is wrong with the input, so far.
#[derive(Default)]
pub(crate) struct Mistakes(Option<Error>);

impl Mistakes {
    /// Notes a mistake: what is wrong, lower case, and the next step.
    pub(crate) fn add(&mut self, at: impl ToTokens, message: impl Display, hint: impl Display) {
        self.add_error(Error::new_spanned(at, format!("{message}; hint: {hint}")));
    }

    /// Notes what `syn` could not read.
    pub(crate) fn add_error(&mut self, error: Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// All of them, if there were any.
    pub(crate) fn into_result(self) -> Result<(), Error> {
        self.0.map_or(Ok(()), Err)
    }
}

/// The known word that `word` probably was meant to be.
pub(crate) fn did_you_mean<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word = word.to_lowercase();
    let scored = known.iter().map(|known| (strsim::damerau_levenshtein(&word, known), *known));
    // A third of the word may be wrong: enough for typing errors, too little for unrelated words.
    scored.filter(|(distance, known)| *distance <= known.len().max(3) / 3).min().map(|(_, known)| known)
}

/// A hint that names the word meant, or else all known words.
pub(crate) fn suggest(word: &str, known: &[&str]) -> String {
    match did_you_mean(word, known) {
        Some(similar) => format!("did you mean `{similar}`?"),
        None => format!("known are {}", list(known)),
    }
}

/// The words in backquotes.
pub(crate) fn list(words: &[&str]) -> String {
    format!("`{}`", words.join("`, `"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_the_word() {
        let known = ["header", "headers", "key", "timestamp"];
        assert_eq!(did_you_mean("haeder", &known), Some("header"));
        assert_eq!(did_you_mean("Key", &known), Some("key"));
        assert_eq!(did_you_mean("colour", &known), None);
        assert_eq!(suggest("colour", &["key", "skip"]), "known are `key`, `skip`");
    }
}
