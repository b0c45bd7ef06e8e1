//! Properties: quoted text comes back as it was, and no text makes a parser panic.

use proptest::prelude::*;
use stream_conf::{Configuration, Format};

use crate::{text_as, yaml};

/// The text as a double-quoted YAML scalar; `${` is escaped as the manual says.
fn quoted(text: &str) -> String {
    let mut result = String::from("\"");
    for character in text.replace("${", "$${").chars() {
        match character {
            '"' => result.push_str("\\\""),
            '\\' => result.push_str("\\\\"),
            ' '..='~' => result.push(character),
            other => result.push_str(&format!("\\U{:08x}", u32::from(other))),
        }
    }
    result.push('"');
    result
}

/// Text that looks like configuration more often than chance would have it.
fn configuration_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            "a", "b.c", "password", ":", ": ", "=", "\n", "\n  ", "\n    ", "- ", "[", "]", "{", "}", "\"", "'", "|", ">", "&x",
            "*x", "<<", "#", "\\", "\\u", "12", ",", "${", "${env:", "${file:", "}", "\t", "\r", "---", "...", "!!str", "?", "~",
            "ä", "\u{feff}", "\u{2028}", "'''", "\"\"\"", "[[", "]]", "://u:p@h", "app.", "%YAML",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn quoted_text_comes_back(text in any::<String>()) {
        // A line feed of another system is a line break like any other only when it is not escaped.
        let configuration = yaml(&format!("k: {}\n", quoted(&text))).unwrap();
        prop_assert_eq!(configuration.get("k").unwrap().text(), &text);
    }

    #[test]
    fn single_quoted_text_comes_back(text in "[ -~äöü€]*") {
        let written = text.replace('\'', "''").replace("${", "$${");
        let configuration = yaml(&format!("k: '{written}'\n")).unwrap();
        prop_assert_eq!(configuration.get("k").unwrap().text(), &text);
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in configuration_like()) {
        for format in [Format::Yaml, Format::Toml, Format::Properties] {
            match text_as(format, &text) {
                Ok(configuration) => {
                    let _ = configuration.explain_all();
                    let _ = configuration.section("").check_known(&["b.c"]).map_err(|error| error.to_string());
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn no_argument_and_no_variable_panics(
        arguments in prop::collection::vec("(--)?(set|conf|a\\.b|x)?[=.\\-a-z${}:]{0,8}", 0..4),
        name in "[A-Z_a-z.]{0,12}",
        value in any::<String>(),
    ) {
        let builder = Configuration::builder().env([(format!("STREAM__{name}"), value)]).args(arguments);
        let _ = builder.build().map_err(|error| error.to_string());
    }
}
