//! Layers, and laying them over each other with figment.
//!
//! figment splits dotted keys into nested dictionaries as soon as it is asked for one, and Kafka's
//! keys are prefixes of each other (`partitioner`, `partitioner.class`). So every layer hands
//! figment one flat dictionary with literal dotted keys, figment decides which layer wins and
//! tags each value with the layer it came from, and the entries with their places stay here.

use std::collections::BTreeMap;
use std::sync::Arc;

use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider, Source};

use crate::error::{Error, Problem};
use crate::format::{Document, Format, Item, RawScalar, RawValue};
use crate::key;
use crate::secret::{SecretKeys, is_secret_key};
use crate::source::{Place, SourceText, Span};
use crate::substitute::{Substituted, Surroundings};
use crate::text;
use crate::value::{Entry, Origin, Value};

/// What one source says, by canonical key.
#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) entries: BTreeMap<String, Entry>,
}

impl Layer {
    /// Adds a value that did not come from a file; gives the entry it replaces.
    pub(crate) fn insert(&mut self, key: &str, entry: Entry) -> Option<Entry> {
        let (key, under_app) = key::canonical(key);
        let entry = entry.marked_secret(is_secret_key(key)).marked_under_app(under_app);
        self.entries.insert(key.to_owned(), entry)
    }

    /// Marks the entries that `secret_keys` calls secret.
    pub(crate) fn mark_secrets(&mut self, secret_keys: &SecretKeys) {
        for (key, entry) in &mut self.entries {
            *entry = entry.clone().marked_secret(secret_keys.contains(key));
        }
    }
}

/// Parses a file into a layer. What is wrong goes to `problems`; what is right is kept, so that
/// later checks can report their problems in the same run.
pub(crate) fn parse(
    name: &str,
    format: Format,
    raw: &str,
    surroundings: &Surroundings<'_>,
    secret_keys: &SecretKeys,
    problems: &mut Vec<Problem>,
) -> Layer {
    let text: Arc<str> = Arc::from(text::normal(raw));
    let name: Arc<str> = Arc::from(name);
    let document = match format.parse(&text) {
        Ok(document) => document,
        Err(fault) => {
            let source = SourceText::unparsed(name, text);
            let span = fault.span;
            let problem = fault.problem().at(&source, span);
            problems.push(without_hidden_words(problem));
            return Layer::default();
        }
    };
    let Document { items, faults } = document;
    let secret_items = items.iter().filter(|item| secret_keys.contains(&item.key));
    let mut secrets: Vec<Span> = secret_items.map(|item| item.span).collect();
    let faulty = faults.iter().filter(|fault| fault.key.as_deref().is_some_and(|key| secret_keys.contains(key)));
    secrets.extend(faulty.map(|fault| fault.value));
    let source = Arc::new(SourceText::parsed(name, text, secrets));
    for fault in faults {
        let span = fault.span;
        problems.push(fault.problem().at(&source, span));
    }
    let mut reader =
        FileReader { source, surroundings, secret_keys, problems, layer: Layer::default(), seen: BTreeMap::new() };
    items.into_iter().for_each(|item| reader.item(item));
    reader.layer
}

/// A parser's message may quote the text it stumbled over; if that line is masked, so is the
/// message.
fn without_hidden_words(problem: Problem) -> Problem {
    let masked = problem.snippet().is_some_and(|line| line.contains(crate::source::MASK));
    if !masked {
        return problem;
    }
    let head = problem.message().split(':').next().unwrap_or_default().to_owned();
    problem.with_message(head)
}

struct FileReader<'r> {
    source: Arc<SourceText>,
    surroundings: &'r Surroundings<'r>,
    secret_keys: &'r SecretKeys,
    problems: &'r mut Vec<Problem>,
    layer: Layer,
    /// Canonical key to the first place it was given at, and how it was written there.
    seen: BTreeMap<String, (String, Span)>,
}

impl FileReader<'_> {
    fn item(&mut self, item: Item) {
        let (key, under_app) = key::canonical(&item.key);
        let key = key.to_owned();
        if let Some((written, first)) = self.seen.get(&key) {
            let problem = Problem::new(format!("`{}` is given twice in this file", item.key))
                .with_key(key.as_str())
                .at(&self.source, item.key_span)
                .with_note(format!(
                    "first given as `{written}` at {}:{}:{}",
                    self.source.name(),
                    first.line,
                    first.column
                ))
                .with_hint("keep one of the two");
            self.problems.push(problem);
            return;
        }
        self.seen.insert(key.clone(), (item.key.clone(), item.key_span));
        let mut from_file = false;
        let value = match self.value(&item, &mut from_file) {
            Ok(Some(value)) => value,
            Ok(None) => return,
            Err(problem) => return self.problems.push(problem.with_key(key)),
        };
        let origin = Origin::File { name: self.source.name().clone(), line: item.span.line, column: item.span.column };
        let place = Place { source: self.source.clone(), value: item.span, key: item.key_span };
        let entry = Entry::new(value, origin)
            .with_place(place)
            .marked_secret(from_file || self.secret_keys.contains(&key))
            .marked_under_app(under_app);
        self.layer.entries.insert(key, entry);
    }

    fn value(&self, item: &Item, from_file: &mut bool) -> Result<Option<Value>, Problem> {
        let mut substitute = |scalar: &RawScalar| match self.surroundings.substitute(&scalar.text) {
            Ok(Substituted { text, secret }) => {
                *from_file |= secret;
                Ok((!text.is_empty() || !scalar.plain).then_some(text))
            }
            Err(failure) => Err(Problem::new(failure.message).at(&self.source, item.span).with_hint(failure.hint)),
        };
        match &item.value {
            RawValue::Absent => Ok(None),
            RawValue::Scalar(scalar) => Ok(substitute(scalar)?.map(Value::Text)),
            RawValue::List(scalars) => {
                let items: Result<Vec<Option<String>>, Problem> = scalars.iter().map(substitute).collect();
                Ok(Some(Value::List(items?.into_iter().flatten().collect())))
            }
        }
    }
}

/// The layers laid over each other.
#[derive(Default)]
pub(crate) struct Merged {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Per key the entries that a higher layer replaced, highest first.
    pub(crate) overridden: BTreeMap<String, Vec<Entry>>,
}

/// Lays `layers` (lowest first) over each other.
pub(crate) fn merge(layers: &[Layer]) -> Result<Merged, Error> {
    let mut figment = Figment::new();
    for (index, layer) in layers.iter().enumerate() {
        figment = figment.merge(Flat { index, layer });
    }
    let winners = figment.data().map_err(internal)?.remove(&Profile::Default).unwrap_or_default();
    let mut merged = Merged::default();
    for (key, value) in winners {
        let metadata = figment.get_metadata(value.tag());
        let index = metadata.and_then(|metadata| metadata.source.as_ref()?.custom()?.parse::<usize>().ok());
        let Some(entry) = index.and_then(|index| layers.get(index)?.entries.get(&key)) else {
            return Err(internal(format!("figment lost the origin of `{key}`")));
        };
        let lower: Vec<Entry> =
            layers.iter().take(index.unwrap_or(0)).rev().filter_map(|layer| layer.entries.get(&key).cloned()).collect();
        // A lower layer may know what the winner cannot: that the key stood below `app:`.
        let under_app = lower.iter().any(Entry::is_under_app);
        if !lower.is_empty() {
            merged.overridden.insert(key.clone(), lower);
        }
        merged.entries.insert(key, entry.clone().marked_under_app(under_app));
    }
    Ok(merged)
}

fn internal(error: impl std::fmt::Display) -> Error {
    Problem::new(format!("could not merge the layers: {error}"))
        .with_hint("this is a bug in stream-conf, report it")
        .into()
}

/// A layer as figment wants to see it: literal dotted keys, no nesting.
struct Flat<'l> {
    index: usize,
    layer: &'l Layer,
}

impl Provider for Flat<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("configuration layer").source(Source::Custom(self.index.to_string()))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let entries = self.layer.entries.iter();
        let dict: Dict = entries.map(|(key, entry)| (key.clone(), entry.text().into())).collect();
        Ok(Profile::Default.collect(dict))
    }
}
