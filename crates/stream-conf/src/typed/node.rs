//! One key of a section on its way into a field: its own value, and the keys below it.

use std::collections::BTreeMap;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::error::Refusal;
use super::scalar::Scalar;
use super::{Findings, SECRET_REFUSED};
use crate::error::Problem;
use crate::secret::SECRET_NEWTYPE;
use crate::section::Section;
use crate::value::{Entry, Value};

/// A key with its value and everything below it.
#[derive(Clone)]
pub(super) struct Node<'n> {
    findings: &'n Findings,
    /// Full key.
    key: String,
    own: Option<&'n Entry>,
    below: BTreeMap<&'n str, &'n Entry>,
    /// A field of type `Secret` asks for it: the value must not be quoted.
    secret: bool,
}

impl<'n> Node<'n> {
    pub(super) fn top(section: &'n Section, findings: &'n Findings) -> Self {
        let mut node = Self::new(findings, findings.prefix.clone());
        for (key, entry) in section.iter() {
            if !findings.is_refused(&section.full_key(key)) {
                node.below.insert(key, entry);
            }
        }
        node
    }

    fn new(findings: &'n Findings, key: String) -> Self {
        Self { findings, key, own: None, below: BTreeMap::new(), secret: false }
    }

    fn is_top(&self) -> bool {
        self.key == self.findings.prefix
    }

    fn full_key(&self, key: &str) -> String {
        if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) }
    }

    /// Connects a refusal with this key.
    fn refuse(&self, refusal: Refusal) -> Refusal {
        let (Refusal::Words { message, hint }, Some(entry)) = (&refusal, self.own) else {
            return refusal;
        };
        let entry = entry.clone().marked_secret(self.secret);
        let (message, hint) = if entry.is_secret() {
            (SECRET_REFUSED.to_owned(), entry.cleaned(hint.clone()))
        } else {
            (message.clone(), hint.clone())
        };
        let problem = Problem::for_entry(&self.key, &entry, message).with_hint(hint);
        self.findings.report(&self.key, problem);
        Refusal::Reported { key: self.key.clone() }
    }

    /// The value, for a field that wants one; keys below it are then unknown.
    fn scalar(&self) -> Result<&'n Entry, Refusal> {
        let Some(entry) = self.own else {
            let first = self.below.iter().next();
            if let Some((rest, entry)) = first {
                let message = format!("`{}` is a value, not a section", self.key);
                let full_key = self.full_key(rest);
                let problem = Problem::for_key(&full_key, entry, message);
                self.findings.report(&full_key, problem.with_hint("write the value behind the key"));
                return Err(Refusal::Reported { key: full_key });
            }
            return Err(Refusal::new(format!("`{}` has no value", self.key), ""));
        };
        for (rest, below) in &self.below {
            let full_key = self.full_key(rest);
            self.findings.report(&full_key, Problem::unknown_key(&full_key, below, &full_key, &[]));
        }
        Ok(entry)
    }

    /// The keys below, for a field that wants a section.
    fn section(&self, expected: &str) -> Result<(), Refusal> {
        match self.own {
            Some(entry) => {
                let message = format!("`{}` does not fit here", crate::value::shown(entry.text()));
                Err(self.refuse(Refusal::new(message, format!("write {expected} below `{}`", self.key))))
            }
            None => Ok(()),
        }
    }

    /// Sorts the keys below into `fields`; what fits none is unknown.
    fn fields(&self, fields: &'static [&'static str]) -> BTreeMap<&'static str, Node<'n>> {
        let mut nodes: BTreeMap<&'static str, Node<'n>> = BTreeMap::new();
        for (key, entry) in &self.below {
            let fitting = fields.iter().filter_map(|field| Some((*field, rest_behind(field, key)?)));
            let Some((field, rest)) = fitting.min_by_key(|(_, rest)| rest.len()) else {
                self.unknown(key, entry, fields);
                continue;
            };
            let name = key[..key.len() - rest.len()].trim_end_matches('.');
            let new = || Node::new(self.findings, self.full_key(name));
            let node = nodes.entry(field).or_insert_with(new);
            if !rest.is_empty() {
                node.below.insert(rest, entry);
            } else if let Some(first) = node.own {
                let full_key = self.full_key(key);
                let problem = Problem::for_key(&full_key, entry, format!("`{field}` is given in two spellings"))
                    .with_note(format!("also given as `{}` at {}", node.key, first.origin()))
                    .with_hint("keep one of the two");
                self.findings.report(&full_key, problem);
            } else {
                node.own = Some(entry);
                node.key = self.full_key(name);
            }
        }
        nodes
    }

    fn unknown(&self, key: &str, entry: &Entry, fields: &[&str]) {
        if self.findings.keep_rest && self.is_top() {
            self.findings.rest.borrow_mut().insert(key.to_owned());
            return;
        }
        let full_key = self.full_key(key);
        // Below a misspelt section every key is unknown; the section's name is the one to compare.
        let dotted: Vec<String> = fields.iter().map(|field| field_as_key(field, key)).collect();
        let known: Vec<&str> = dotted.iter().map(String::as_str).collect();
        self.findings.report(&full_key, Problem::unknown_key(&full_key, entry, key, &known));
    }

    /// Whether a value of `field` was left out because it was refused before.
    fn was_refused(&self, field: &str) -> bool {
        let refused = self.findings.refused.iter().filter_map(|key| crate::key::below(key, &self.key));
        refused.into_iter().any(|key| rest_behind(field, key).is_some())
    }

    fn missing(&self, field: &'static str) -> Refusal {
        if !self.was_refused(field) {
            let full_key = self.full_key(field);
            let problem = Problem::new(format!("the key `{field}` is missing")).with_key(&full_key);
            let places = self.below.values().filter_map(|entry| entry.place());
            let first = places.min_by_key(|place| (place.key.line, place.key.column));
            let hint = format!("add `{field}` to the section `{}`", self.key);
            let problem = match first {
                Some(place) => problem.at(&place.source, place.key),
                None => problem,
            };
            self.findings.report(&full_key, problem.with_hint(hint));
        }
        if self.is_top() {
            return Refusal::Stop;
        }
        // Leaves out this section, so that the fields behind it are looked at as well.
        Refusal::Reported { key: self.key.clone() }
    }
}

/// The spelling of a field that is nearest to the way `key` is written.
fn field_as_key(field: &str, key: &str) -> String {
    if key.contains('_') || field.contains(['.', '-']) {
        field.to_owned()
    } else if key.contains('-') {
        field.replace('_', "-")
    } else if key.contains('.') {
        field.replace('_', ".")
    } else {
        field.to_owned()
    }
}

/// What is left of `key` behind `field`, where a `_` of the field may be a `.` or `-` of the key;
/// empty when the key is the field.
fn rest_behind<'k>(field: &str, key: &'k str) -> Option<&'k str> {
    let mut rest = key.chars();
    for wanted in field.chars() {
        let found = rest.next()?;
        if found != wanted && !(wanted == '_' && matches!(found, '.' | '-')) {
            return None;
        }
    }
    match rest.as_str() {
        "" => Some(""),
        rest => rest.strip_prefix('.'),
    }
}

macro_rules! scalars {
    ($($method:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
                let entry = self.scalar()?;
                Scalar(entry.text()).$method(visitor).map_err(|refusal| self.refuse(refusal))
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Node<'_> {
    type Error = Refusal;

    scalars! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.own.map(Entry::value) {
            None => self.deserialize_map(visitor),
            Some(Value::List(_)) => self.deserialize_seq(visitor),
            Some(Value::Text(_)) => self.deserialize_str(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.secret |= name == SECRET_NEWTYPE;
        let node = self.clone();
        visitor.visit_newtype_struct(self).map_err(|refusal| node.refuse(refusal))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let items = self.scalar()?.value().items();
        visitor.visit_seq(Items(items.into_iter())).map_err(|refusal| self.refuse(refusal))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.section("keys with their values")?;
        let nodes = self.below.iter().map(|(key, entry)| {
            let mut node = Node::new(self.findings, self.full_key(key));
            node.own = Some(entry);
            node.secret = self.secret;
            ((*key).to_owned(), node)
        });
        let access = Fields { nodes: nodes.collect::<Vec<_>>().into_iter(), value: None };
        visitor.visit_map(access).map_err(|refusal| match refusal {
            Refusal::Missing { field } => self.missing(field),
            refusal => refusal,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if let Some(entry) = self.own
            && name == "Duration"
        {
            let result = Scalar(entry.text()).deserialize_struct(name, fields, visitor);
            return result.map_err(|refusal| self.refuse(refusal));
        }
        self.section("its settings")?;
        let nodes = self.fields(fields).into_iter().map(|(field, mut node)| {
            node.secret |= self.secret;
            (field.to_owned(), node)
        });
        let access = Fields { nodes: nodes.collect::<Vec<_>>().into_iter(), value: None };
        visitor.visit_map(access).map_err(|refusal| match refusal {
            Refusal::Missing { field } => self.missing(field),
            refusal => refusal,
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        if self.own.is_some() {
            let entry = self.scalar()?;
            let result = Scalar(entry.text()).deserialize_enum(name, variants, visitor);
            return result.map_err(|refusal| self.refuse(refusal));
        }
        let mut nodes = self.fields(variants).into_iter();
        match (nodes.next(), nodes.next()) {
            (Some((variant, node)), None) => visitor.visit_enum(Variant { variant, node }),
            _ => {
                let choices: Vec<String> = variants.iter().map(|variant| format!("`{variant}`")).collect();
                Err(Refusal::new(format!("`{}` needs one of {}", self.key, choices.join(", ")), ""))
            }
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_unit()
    }
}

/// The fields of a struct or the entries of a map.
struct Fields<'n> {
    nodes: std::vec::IntoIter<(String, Node<'n>)>,
    value: Option<Node<'n>>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        let Some((key, node)) = self.nodes.next() else {
            return Ok(None);
        };
        self.value = Some(node);
        seed.deserialize(Scalar(&key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        let Some(node) = self.value.take() else {
            return Err(Refusal::new("a value was asked for before its key", ""));
        };
        let place = node.clone();
        // Checks of the field's own type (`try_from`, `deserialize_with`) come back without a key.
        seed.deserialize(node).map_err(|refusal| place.refuse(refusal))
    }
}

/// The items of a list.
struct Items<'n>(std::vec::IntoIter<&'n str>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Refusal;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refusal> {
        self.0.next().map(|item| seed.deserialize(Scalar(item))).transpose()
    }
}

/// A variant that is named by a section.
struct Variant<'n> {
    variant: &'static str,
    node: Node<'n>,
}

impl<'de, 'n> EnumAccess<'de> for Variant<'n> {
    type Error = Refusal;
    type Variant = Node<'n>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Node<'n>), Refusal> {
        let name: StrDeserializer<'_, Refusal> = self.variant.into_deserializer();
        Ok((seed.deserialize(name)?, self.node))
    }
}

impl<'de> VariantAccess<'de> for Node<'_> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<(), Refusal> {
        self.section("nothing")
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refusal> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_struct("", fields, visitor)
    }
}
