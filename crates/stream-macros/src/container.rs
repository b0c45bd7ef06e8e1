//! What is said about the whole struct or enum.

use syn::{DeriveInput, LitStr, Path};

use crate::items::{Items, ON_CONTAINER};
use crate::mistakes::{Mistakes, suggest};
use crate::rename::Rule;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
    Text,
    Bytes,
}

impl Format {
    const ALL: &[(&str, Format)] =
        &[("json", Format::Json), ("csv", Format::Csv), ("string", Format::Text), ("bytes", Format::Bytes)];

    /// The name in `format = "…"`.
    pub(crate) fn name(self) -> &'static str {
        Format::ALL.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }
}

/// Which of the two traits are implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Both,
    Read,
    Write,
}

impl Direction {
    pub(crate) fn reads(self) -> bool {
        self != Direction::Write
    }

    pub(crate) fn writes(self) -> bool {
        self != Direction::Read
    }
}

/// The checked attributes of a struct or enum.
pub(crate) struct Container {
    pub(crate) format: Format,
    /// The attribute, where it was written.
    pub(crate) format_given: Option<LitStr>,
    pub(crate) rename_all: Option<(Rule, LitStr)>,
    pub(crate) rename_all_fields: Option<(Rule, LitStr)>,
    pub(crate) topic: Option<LitStr>,
    pub(crate) delimiter: u8,
    pub(crate) deny_unknown_fields: Option<syn::Ident>,
    pub(crate) tag: Option<LitStr>,
    pub(crate) content: Option<LitStr>,
    /// Whether serde's traits are implemented too, for use inside other values.
    pub(crate) nested: Option<syn::Ident>,
    pub(crate) direction: Direction,
    /// Where the crate is, in place of `::stream_kafka`.
    pub(crate) krate: Path,
}

impl Container {
    /// Reads the attributes.
    pub(crate) fn of(input: &DeriveInput, mistakes: &mut Mistakes) -> Container {
        let mut items = Items::of(&input.attrs, mistakes);
        let is_enum = matches!(input.data, syn::Data::Enum(_));
        let format_given = items.text("format", mistakes);
        let format = format_given.as_ref().and_then(|text| named_format(text, mistakes));
        // A wrong name says nothing about the rest, which is then judged as JSON.
        let format = format.unwrap_or(Format::Json);
        let mut rule = |name| {
            let text = items.text(name, mistakes)?;
            if matches!(format, Format::Text | Format::Bytes) {
                let hint = format!("remove it, or choose format = {:?}", "json");
                mistakes.add(&text, format!("format = {:?} has no names", format.name()), hint);
            }
            Rule::of(&text, mistakes).map(|rule| (rule, text))
        };
        let (rename_all, rename_all_fields) = (rule("rename_all"), rule("rename_all_fields"));
        let container = Container {
            format,
            rename_all,
            rename_all_fields,
            topic: items.text("topic", mistakes).inspect(|topic| check_topic(topic, mistakes)),
            delimiter: delimiter(items.text("delimiter", mistakes), format, mistakes),
            deny_unknown_fields: items.flag("deny_unknown_fields", mistakes),
            tag: items.text("tag", mistakes),
            content: items.text("content", mistakes),
            nested: items.flag("nested", mistakes),
            direction: direction(items.text("only", mistakes), mistakes),
            krate: krate(items.text("crate", mistakes), mistakes),
            format_given,
        };
        items.finish(if is_enum { "an enum" } else { "a struct" }, ON_CONTAINER, mistakes);
        container.check(is_enum, mistakes);
        container
    }

    /// What does not go together.
    fn check(&self, is_enum: bool, mistakes: &mut Mistakes) {
        if let Some(tag) = self.tag.as_ref().filter(|_| !is_enum) {
            mistakes.add(tag, "a struct has no tag", "remove it: `tag` tells the variants of an enum apart");
        }
        if let Some(content) = &self.content {
            if self.tag.is_none() {
                mistakes.add(content, "`content` without `tag`", "add tag = \"type\"");
            } else if self.tag.as_ref().is_some_and(|tag| tag.value() == content.value()) {
                mistakes.add(content, "`tag` and `content` are the same field", "give them different names");
            }
        }
        if let Some((_, text)) = self.rename_all_fields.as_ref().filter(|_| !is_enum) {
            mistakes.add(text, "`rename_all_fields` is for the variants of an enum", "write `rename_all`");
        }
        if self.format == Format::Json {
            return;
        }
        let json_only = format!("remove it: it is about JSON, and the format is {:?}", self.format.name());
        if let Some(word) = &self.deny_unknown_fields {
            mistakes.add(word, format!("format = {:?} has no unknown fields", self.format.name()), &json_only);
        }
        if let Some(word) = &self.nested {
            mistakes.add(word, format!("`nested` does not go with format = {:?}", self.format.name()), &json_only);
        }
    }
}

fn named_format(text: &LitStr, mistakes: &mut Mistakes) -> Option<Format> {
    let name = text.value();
    let found = Format::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format);
    if found.is_none() {
        let known: Vec<&str> = Format::ALL.iter().map(|(known, _)| *known).collect();
        mistakes.add(text, format!("unknown format `{name}`"), suggest(&name, &known));
    }
    found
}

/// Kafka's rules for names of topics.
fn check_topic(topic: &LitStr, mistakes: &mut Mistakes) {
    let name = topic.value();
    let reason = if name.is_empty() {
        "the name of the topic is empty".to_owned()
    } else if name.len() > 249 {
        "the name of the topic is longer than 249 characters".to_owned()
    } else if name == "." || name == ".." {
        format!("no topic can be named `{name}`")
    } else if let Some(bad) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
        format!("the name of a topic can't contain `{bad}`")
    } else {
        return;
    };
    mistakes.add(topic, reason, "use letters, digits, `.`, `_` and `-`");
}

fn delimiter(text: Option<LitStr>, format: Format, mistakes: &mut Mistakes) -> u8 {
    let Some(text) = text else { return b',' };
    if format != Format::Csv {
        mistakes.add(&text, "`delimiter` is for CSV", "add format = \"csv\", or remove it");
    }
    match text.value().as_bytes() {
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => *byte,
        _ => {
            let hint = "write for example delimiter = \";\" or delimiter = \"\\t\"";
            mistakes.add(&text, "the delimiter must be one ASCII character, no quote and no line break", hint);
            b','
        }
    }
}

fn direction(text: Option<LitStr>, mistakes: &mut Mistakes) -> Direction {
    let Some(text) = text else { return Direction::Both };
    match text.value().as_str() {
        "read" => Direction::Read,
        "write" => Direction::Write,
        other => {
            let hint = suggest(other, &["read", "write"]);
            mistakes.add(&text, format!("`only` can't be `{other}`"), hint);
            Direction::Both
        }
    }
}

fn krate(text: Option<LitStr>, mistakes: &mut Mistakes) -> Path {
    let default = || syn::parse_quote!(::stream_kafka);
    let Some(text) = text else { return default() };
    text.parse_with(Path::parse_mod_style).unwrap_or_else(|_| {
        let error = syn::Error::new(
            text.span(),
            format!(
                "`{}` is not the path of a crate; hint: write for example crate = \"::stream_kafka\"",
                text.value()
            ),
        );
        mistakes.add_error(error);
        default()
    })
}
