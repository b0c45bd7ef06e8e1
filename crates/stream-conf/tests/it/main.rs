//! What a configuration promises, seen from outside. One binary, so that it links once.

// The lints know `#[test]` functions as tests, but not the helpers beside them.
#![allow(clippy::unwrap_used, clippy::panic)]

mod files;
mod golden;
mod layers;
mod layouts;
mod never_panics;
mod secrets;
mod substitution;
mod typed;

use stream_conf::{Configuration, Error, Format};

/// A configuration of one YAML text.
fn yaml(text: &str) -> Result<Configuration, Error> {
    text_as(Format::Yaml, text)
}

/// A configuration of one text, named after its format.
fn text_as(format: Format, text: &str) -> Result<Configuration, Error> {
    let name = match format {
        Format::Yaml => "application.yml",
        Format::Toml => "application.toml",
        Format::Properties => "application.properties",
        _ => "application",
    };
    Configuration::builder().text(name, format, text).build()
}

/// The report of a text that must be refused.
fn refused(format: Format, text: &str) -> String {
    match text_as(format, text) {
        Ok(configuration) => panic!("accepted: {}", configuration.explain_all()),
        Err(error) => error.to_string(),
    }
}

/// `key = value` lines.
fn flat(configuration: &Configuration) -> Vec<String> {
    let keys = configuration.keys();
    keys.map(|key| format!("{key} = {}", configuration.get(key).map_or("", |entry| entry.text()))).collect()
}
