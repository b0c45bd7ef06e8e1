//! The rules of `rename_all`, as serde has them.
//!
//! For JSON serde applies them. They are here to find two fields of the same name, and for the columns of CSV.

use syn::LitStr;

use crate::mistakes::{Mistakes, suggest};

/// How names are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

const RULES: &[(&str, Rule)] = &[
    ("lowercase", Rule::Lower),
    ("UPPERCASE", Rule::Upper),
    ("PascalCase", Rule::Pascal),
    ("camelCase", Rule::Camel),
    ("snake_case", Rule::Snake),
    ("SCREAMING_SNAKE_CASE", Rule::ScreamingSnake),
    ("kebab-case", Rule::Kebab),
    ("SCREAMING-KEBAB-CASE", Rule::ScreamingKebab),
];

impl Rule {
    /// The rule that the attribute names.
    pub(crate) fn of(text: &LitStr, mistakes: &mut Mistakes) -> Option<Rule> {
        let name = text.value();
        let found = RULES.iter().find(|(known, _)| *known == name).map(|(_, rule)| *rule);
        if found.is_none() {
            let known: Vec<&str> = RULES.iter().map(|(known, _)| *known).collect();
            // Most often only the capitals differ, which the distance between words would count as many mistakes.
            let similar = known.iter().find(|known| known.replace(['_', '-'], "").eq_ignore_ascii_case(&bare(&name)));
            let hint = similar.map_or_else(|| suggest(&name, &known), |similar| format!("did you mean `{similar}`?"));
            mistakes.add(text, format!("`{name}` is no way to write names"), hint);
        }
        found
    }

    /// A field's name by this rule.
    pub(crate) fn field(self, name: &str) -> String {
        match self {
            Rule::Lower | Rule::Snake => name.to_owned(),
            Rule::Upper | Rule::ScreamingSnake => name.to_ascii_uppercase(),
            Rule::Pascal => pascal(name),
            Rule::Camel => decapitalized(&pascal(name)),
            Rule::Kebab => name.replace('_', "-"),
            Rule::ScreamingKebab => name.to_ascii_uppercase().replace('_', "-"),
        }
    }

    /// A variant's name by this rule.
    pub(crate) fn variant(self, name: &str) -> String {
        match self {
            Rule::Pascal => name.to_owned(),
            Rule::Lower => name.to_ascii_lowercase(),
            Rule::Upper => name.to_ascii_uppercase(),
            Rule::Camel => decapitalized(name),
            Rule::Snake => snake(name),
            Rule::ScreamingSnake => snake(name).to_ascii_uppercase(),
            Rule::Kebab => snake(name).replace('_', "-"),
            Rule::ScreamingKebab => snake(name).to_ascii_uppercase().replace('_', "-"),
        }
    }
}

fn bare(name: &str) -> String {
    name.replace(['_', '-', ' '], "")
}

fn pascal(name: &str) -> String {
    let mut out = String::new();
    let mut capital = true;
    for character in name.chars() {
        if character == '_' {
            capital = true;
        } else if capital {
            out.push(character.to_ascii_uppercase());
            capital = false;
        } else {
            out.push(character);
        }
    }
    out
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for (index, character) in name.char_indices() {
        if index > 0 && character.is_uppercase() {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
    }
    out
}

fn decapitalized(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().map_or(String::new(), |first| first.to_ascii_lowercase().to_string() + characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_serde_writes_them() {
        let written = |(_, rule): &(&str, Rule)| (rule.field("first_name"), rule.variant("SignUp"));
        let all: Vec<_> = RULES.iter().map(written).collect();
        let expected = [
            ("first_name", "signup"),
            ("FIRST_NAME", "SIGNUP"),
            ("FirstName", "SignUp"),
            ("firstName", "signUp"),
            ("first_name", "sign_up"),
            ("FIRST_NAME", "SIGN_UP"),
            ("first-name", "sign-up"),
            ("FIRST-NAME", "SIGN-UP"),
        ];
        assert_eq!(all, expected.map(|(field, variant)| (field.to_owned(), variant.to_owned())));
    }
}
