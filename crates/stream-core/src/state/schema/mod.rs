//! What the entries of a state look like: written into every checkpoint, compared before one is restored, and enough to
//! show the entries to people without the program that wrote them.
//!
//! postcard writes no names and no types, so bytes of another type are not noticed but misread. [`schema_of`] finds out
//! what serde sees of a type ([`trace`]). A type that does not let itself be looked at is [`OPAQUE`]: it is not compared.

mod trace;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The schema of a type of which nothing could be found out.
pub(crate) const OPAQUE: &str = "opaque";

/// The schema of a type as JSON: its own format, and those of the types it consists of.
pub(crate) fn schema_of<T: DeserializeOwned>() -> Arc<str> {
    static KNOWN: Mutex<Option<HashMap<&'static str, Arc<str>>>> = Mutex::new(None);
    let name = std::any::type_name::<T>();
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(schema) = known().get_or_insert_default().get(name) {
        return schema.clone();
    }
    // Not under the lock: this runs code of the type.
    let schema = trace::trace::<T>().and_then(|schema| serde_json::to_string(&schema).ok());
    let schema: Arc<str> = schema.map_or_else(|| OPAQUE.into(), Into::into);
    known().get_or_insert_default().entry(name).or_insert(schema).clone()
}

/// What serde sees of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// Never seen, because there never was one.
    #[default]
    Unknown,
    Unit,
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    Str,
    Bytes,
    Option(Box<Format>),
    Seq(Box<Format>),
    Map(Box<(Format, Format)>),
    Tuple(Vec<Format>),
    /// One of [`Schema::types`].
    Named(String),
}

/// A type with a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Container {
    Struct(Vec<(String, Format)>),
    /// By index, as postcard writes it.
    Enum(Vec<(String, Variant)>),
}

/// What a variant of an enum carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Variant {
    #[default]
    Unknown,
    Unit,
    Tuple(Vec<Format>),
    Struct(Vec<(String, Format)>),
}

impl Format {
    /// Takes over what was found out now, where nothing was known.
    fn learn(&mut self, found: Format) {
        match (self, found) {
            (known @ Format::Unknown, found) => *known = found,
            (Format::Option(known), Format::Option(found)) | (Format::Seq(known), Format::Seq(found)) => {
                known.learn(*found);
            }
            (Format::Map(known), Format::Map(found)) => {
                known.0.learn(found.0);
                known.1.learn(found.1);
            }
            (Format::Tuple(known), Format::Tuple(found)) => learn_all(known, found),
            _ => {}
        }
    }

    fn option(&mut self) -> &mut Format {
        if !matches!(self, Format::Option(_)) {
            *self = Format::Option(Box::default());
        }
        match self {
            Format::Option(inner) => inner,
            other => other,
        }
    }

    fn seq(&mut self) -> &mut Format {
        if !matches!(self, Format::Seq(_)) {
            *self = Format::Seq(Box::default());
        }
        match self {
            Format::Seq(inner) => inner,
            other => other,
        }
    }

    fn rename(&mut self, names: &BTreeMap<&str, &str>) {
        match self {
            Format::Named(path) => *path = names.get(path.as_str()).map_or_else(String::new, |name| (*name).to_owned()),
            Format::Option(inner) | Format::Seq(inner) => inner.rename(names),
            Format::Map(pair) => {
                pair.0.rename(names);
                pair.1.rename(names);
            }
            Format::Tuple(formats) => formats.iter_mut().for_each(|format| format.rename(names)),
            _ => {}
        }
    }
}

fn learn_all(known: &mut [Format], found: Vec<Format>) {
    for (known, found) in known.iter_mut().zip(found) {
        known.learn(found);
    }
}

impl Variant {
    fn learn(&mut self, found: Variant) {
        match (self, found) {
            (known @ Variant::Unknown, found) => *known = found,
            (Variant::Tuple(known), Variant::Tuple(found)) => learn_all(known, found),
            (Variant::Struct(known), Variant::Struct(found)) => {
                for ((_, known), (_, found)) in known.iter_mut().zip(found) {
                    known.learn(found);
                }
            }
            _ => {}
        }
    }
}

impl Container {
    fn rename(&mut self, names: &BTreeMap<&str, &str>) {
        let fields =
            |fields: &mut Vec<(String, Format)>| fields.iter_mut().for_each(|(_, format)| format.rename(names));
        match self {
            Container::Struct(known) => fields(known),
            Container::Enum(variants) => {
                for (_, variant) in variants {
                    match variant {
                        Variant::Struct(known) => fields(known),
                        Variant::Tuple(formats) => formats.iter_mut().for_each(|format| format.rename(names)),
                        Variant::Unit | Variant::Unknown => {}
                    }
                }
            }
        }
    }
}

/// A type, and the types it consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schema {
    root: Format,
    types: BTreeMap<String, Container>,
}

impl Schema {
    /// What the elements of a tuple look like.
    pub(crate) fn elements(&self) -> Option<Vec<Schema>> {
        let Format::Tuple(elements) = &self.root else { return None };
        let schema = |root: &Format| Schema { root: root.clone(), types: self.types.clone() };
        Some(elements.iter().map(schema).collect())
    }

    /// None for what is opaque or no schema.
    pub(crate) fn read(text: &str) -> Option<Schema> {
        serde_json::from_str(text).ok()
    }

    /// One line per part of it. postcard knows fields and variants by their places alone, so those belong to it.
    fn lines(&self) -> BTreeMap<String, String> {
        let mut lines = BTreeMap::from([("entry".to_owned(), self.name(&self.root))]);
        for (name, container) in &self.types {
            match container {
                Container::Struct(fields) => {
                    for (place, (field, format)) in fields.iter().enumerate() {
                        lines.insert(format!("{name}.{field}"), format!("{} (field {place})", self.name(format)));
                    }
                }
                Container::Enum(variants) => {
                    for (index, (variant, carries)) in variants.iter().enumerate() {
                        let text = match carries {
                            Variant::Unknown => "?".to_owned(),
                            Variant::Unit => "()".to_owned(),
                            Variant::Tuple(formats) => self.names(formats),
                            Variant::Struct(fields) => {
                                let fields =
                                    fields.iter().map(|(field, format)| format!("{field}: {}", self.name(format)));
                                format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
                            }
                        };
                        lines.insert(format!("{name}::{variant}"), format!("{text} (variant {index})"));
                    }
                }
            }
        }
        lines
    }

    fn names(&self, formats: &[Format]) -> String {
        format!("({})", formats.iter().map(|format| self.name(format)).collect::<Vec<_>>().join(", "))
    }

    fn name(&self, format: &Format) -> String {
        match format {
            Format::Named(name) => name.clone(),
            Format::Option(inner) => format!("Option<{}>", self.name(inner)),
            Format::Seq(inner) => format!("[{}]", self.name(inner)),
            Format::Map(pair) => format!("{{{}: {}}}", self.name(&pair.0), self.name(&pair.1)),
            Format::Tuple(formats) => self.names(formats),
            Format::Unknown => "?".to_owned(),
            plain => format!("{plain:?}").to_lowercase(),
        }
    }
}

/// What has changed between two schemas, a line each; None if nothing that matters, as far as that can be known.
pub(crate) fn difference(stored: &str, current: &str) -> Option<String> {
    if stored == current {
        return None;
    }
    let (stored, current) = (Schema::read(stored)?.lines(), Schema::read(current)?.lines());
    let mut lines = Vec::new();
    for (place, is) in &stored {
        match current.get(place) {
            Some(now) if now == is => {}
            Some(now) => lines.push(format!("   ~ {place}: was {is}, is {now}")),
            None => lines.push(format!("   - {place}: {is}")),
        }
    }
    let added = current.iter().filter(|(place, _)| !stored.contains_key(*place));
    lines.extend(added.map(|(place, now)| format!("   + {place}: {now}")));
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Bytes that do not fit the schema.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misfit;

/// Reads one entry that postcard has written, as JSON; `bytes` is what follows then.
pub(crate) fn to_json(schema: &Schema, bytes: &mut &[u8]) -> Result<Value, Misfit> {
    Decoder { types: &schema.types, bytes, depth: 0 }.value(&schema.root)
}

/// Types that contain themselves end here.
const DEPTH_MAX: usize = 200;

struct Decoder<'s, 'b, 'a> {
    types: &'s BTreeMap<String, Container>,
    bytes: &'b mut &'a [u8],
    depth: usize,
}

impl Decoder<'_, '_, '_> {
    fn value(&mut self, format: &Format) -> Result<Value, Misfit> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Misfit);
        }
        let value = self.shallow(format)?;
        self.depth -= 1;
        Ok(value)
    }

    fn shallow(&mut self, format: &Format) -> Result<Value, Misfit> {
        Ok(match format {
            Format::Unknown => return Err(Misfit),
            Format::Named(name) => return self.container(name),
            Format::Unit => Value::Null,
            Format::Bool => json!(self.byte()? != 0),
            Format::U8 => json!(self.byte()?),
            Format::I8 => json!(self.byte()?.cast_signed()),
            Format::U16 | Format::U32 | Format::U64 => json!(u64::try_from(self.varint()?).map_err(|_| Misfit)?),
            Format::I16 | Format::I32 | Format::I64 => json!(i64::try_from(self.zigzag()?).map_err(|_| Misfit)?),
            Format::U128 => json!(self.varint()?.to_string()),
            Format::I128 => json!(self.zigzag()?.to_string()),
            Format::F32 => json!(f32::from_le_bytes(self.array()?)),
            Format::F64 => json!(f64::from_le_bytes(self.array()?)),
            Format::Char | Format::Str => {
                let length = self.length()?;
                json!(std::str::from_utf8(self.take(length)?).map_err(|_| Misfit)?)
            }
            Format::Bytes => {
                let length = self.length()?;
                json!(self.take(length)?.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
            }
            Format::Option(inner) => match self.byte()? {
                0 => Value::Null,
                _ => self.value(inner)?,
            },
            Format::Seq(inner) => {
                let length = self.length()?;
                (0..length).map(|_| self.value(inner)).collect::<Result<Vec<_>, _>>()?.into()
            }
            Format::Map(pair) => {
                let length = self.length()?;
                let mut pairs = Vec::new();
                for _ in 0..length {
                    pairs.push((self.value(&pair.0)?, self.value(&pair.1)?));
                }
                // JSON knows maps with text as keys only.
                match pairs.iter().all(|(key, _)| key.is_string()) {
                    true => pairs
                        .into_iter()
                        .map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), value))
                        .collect(),
                    false => pairs.into_iter().map(|(key, value)| json!([key, value])).collect(),
                }
            }
            Format::Tuple(formats) => self.tuple(formats)?,
        })
    }

    fn tuple(&mut self, formats: &[Format]) -> Result<Value, Misfit> {
        Ok(formats.iter().map(|format| self.value(format)).collect::<Result<Vec<_>, _>>()?.into())
    }

    fn fields(&mut self, fields: &[(String, Format)]) -> Result<Value, Misfit> {
        let mut object = Map::new();
        for (field, format) in fields {
            object.insert(field.clone(), self.value(format)?);
        }
        Ok(object.into())
    }

    fn container(&mut self, name: &str) -> Result<Value, Misfit> {
        let types = self.types;
        match types.get(name).ok_or(Misfit)? {
            Container::Struct(fields) => self.fields(fields),
            Container::Enum(variants) => {
                let index = self.length()?;
                let (name, carries) = variants.get(index).ok_or(Misfit)?;
                let value = match carries {
                    Variant::Unknown => return Err(Misfit),
                    Variant::Unit => return Ok(json!(name)),
                    Variant::Tuple(formats) => match &formats[..] {
                        [one] => self.value(one)?,
                        several => self.tuple(several)?,
                    },
                    Variant::Struct(fields) => self.fields(fields)?,
                };
                Ok(Map::from_iter([(name.clone(), value)]).into())
            }
        }
    }

    fn byte(&mut self) -> Result<u8, Misfit> {
        let (first, rest) = self.bytes.split_first().ok_or(Misfit)?;
        *self.bytes = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&[u8], Misfit> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Misfit)?;
        *self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Misfit> {
        self.take(N)?.try_into().map_err(|_| Misfit)
    }

    fn length(&mut self) -> Result<usize, Misfit> {
        usize::try_from(self.varint()?).map_err(|_| Misfit)
    }

    fn varint(&mut self) -> Result<u128, Misfit> {
        let mut value = 0;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Misfit)
    }

    fn zigzag(&mut self) -> Result<i128, Misfit> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Order {
        id: u64,
        item: Item,
        notes: Vec<Note>,
        price: Option<f64>,
        by_day: BTreeMap<String, i32>,
        pair: (bool, char),
    }

    #[derive(Serialize, Deserialize)]
    enum Item {
        Nothing,
        Book(String),
        Set { size: u8, parts: Vec<u16> },
        Range(i64, i64),
    }

    #[derive(Serialize, Deserialize)]
    enum Note {
        Late,
        Gift(i128),
    }

    fn order(item: Item) -> Order {
        let notes = vec![Note::Gift(-5), Note::Late];
        let by_day = BTreeMap::from([("mon".to_owned(), -3), ("tue".to_owned(), 300)]);
        Order { id: 70_000, item, notes, price: Some(1.5), by_day, pair: (true, 'ß') }
    }

    #[test]
    fn every_kind_of_value_reads_back_as_json() {
        let schema = Schema::read(&schema_of::<(u32, Order)>()).expect("it can be traced");
        let items =
            [Item::Nothing, Item::Book("a".into()), Item::Set { size: 200, parts: vec![1, 500] }, Item::Range(-1, 1)];
        let mut lines = String::new();
        for item in items {
            let bytes = postcard::to_stdvec(&(7_u32, order(item))).expect("plain values");
            let mut rest = &bytes[..];
            lines.push_str(&to_json(&schema, &mut rest).expect("it fits").to_string());
            lines.push('\n');
            assert!(rest.is_empty());
        }
        insta::assert_snapshot!(lines, @r#"
        [7,{"by_day":{"mon":-3,"tue":300},"id":70000,"item":"Nothing","notes":[{"Gift":"-5"},"Late"],"pair":[true,"ß"],"price":1.5}]
        [7,{"by_day":{"mon":-3,"tue":300},"id":70000,"item":{"Book":"a"},"notes":[{"Gift":"-5"},"Late"],"pair":[true,"ß"],"price":1.5}]
        [7,{"by_day":{"mon":-3,"tue":300},"id":70000,"item":{"Set":{"parts":[1,500],"size":200}},"notes":[{"Gift":"-5"},"Late"],"pair":[true,"ß"],"price":1.5}]
        [7,{"by_day":{"mon":-3,"tue":300},"id":70000,"item":{"Range":[-1,1]},"notes":[{"Gift":"-5"},"Late"],"pair":[true,"ß"],"price":1.5}]
        "#);
    }

    #[test]
    fn bytes_that_do_not_fit_are_no_panic() {
        let schema = Schema::read(&schema_of::<Order>()).expect("it can be traced");
        let good = postcard::to_stdvec(&order(Item::Range(1, 2))).expect("plain values");
        for cut in 0..good.len() {
            assert_eq!(to_json(&schema, &mut &good[..cut]), Err(Misfit));
        }
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 0xFF;
            let _ = to_json(&schema, &mut &changed[..]);
        }
    }

    #[test]
    fn what_has_changed_is_told() {
        mod newer {
            #[derive(serde::Serialize, serde::Deserialize)]
            pub(super) struct Order {
                id: u32,
                item: Item,
                added: bool,
            }
            #[derive(serde::Serialize, serde::Deserialize)]
            enum Item {
                Book(String),
                Nothing,
            }
        }
        let (old, new) = (schema_of::<(u8, Order)>(), schema_of::<(u8, newer::Order)>());
        assert_eq!(difference(&old, &old), None);
        insta::assert_snapshot!(difference(&old, &new).expect("they differ"), @r"
           ~ Item::Book: was (str) (variant 1), is (str) (variant 0)
           ~ Item::Nothing: was () (variant 0), is () (variant 1)
           - Item::Range: (i64, i64) (variant 3)
           - Item::Set: { size: u8, parts: [u16] } (variant 2)
           - Note::Gift: (i128) (variant 1)
           - Note::Late: () (variant 0)
           - Order.by_day: {str: i32} (field 4)
           ~ Order.id: was u64 (field 0), is u32 (field 0)
           - Order.notes: [Note] (field 2)
           - Order.pair: (bool, char) (field 5)
           - Order.price: Option<f64> (field 3)
           + Order.added: bool (field 2)
        ");
    }

    #[test]
    fn types_that_contain_themselves_and_types_of_one_name_have_a_schema() {
        #[derive(Serialize, Deserialize)]
        struct Tree {
            value: u8,
            children: Vec<Tree>,
            parent: Option<Box<Tree>>,
            shape: Shape,
        }
        #[derive(Serialize, Deserialize)]
        enum Shape {
            Leaf,
            Both(Box<Shape>, Box<Shape>),
        }
        #[derive(Serialize, Deserialize)]
        struct Pair<A, B>(A, B);
        #[derive(Serialize, Deserialize)]
        struct Held<T> {
            held: T,
        }
        type Both = Pair<Held<u8>, Held<Held<String>>>;
        let schema = schema_of::<(Tree, Both)>();
        let text = Schema::read(&schema).expect("a schema").lines();
        let text = text.iter().map(|(place, is)| format!("{place}: {is}\n")).collect::<String>();
        insta::assert_snapshot!(text, @r"
        Held 2.held: Held 3 (field 0)
        Held 3.held: str (field 0)
        Held.held: u8 (field 0)
        Shape::Both: (Shape, Shape) (variant 1)
        Shape::Leaf: () (variant 0)
        Tree.children: [Tree] (field 1)
        Tree.parent: Option<Tree> (field 2)
        Tree.shape: Shape (field 3)
        Tree.value: u8 (field 0)
        entry: (Tree, (Held, Held 2))
        ");
        let tree = Tree {
            value: 3,
            children: Vec::new(),
            parent: None,
            shape: Shape::Both(Box::new(Shape::Leaf), Box::new(Shape::Leaf)),
        };
        let bytes =
            postcard::to_stdvec(&(tree, Pair(Held { held: 1_u8 }, Held { held: Held { held: "x".to_owned() } })));
        let json = to_json(&Schema::read(&schema).expect("a schema"), &mut &bytes.expect("plain values")[..]);
        insta::assert_snapshot!(
            json.expect("it fits").to_string(),
            @r#"[{"children":[],"parent":null,"shape":{"Both":["Leaf","Leaf"]},"value":3},[{"held":1},{"held":{"held":"x"}}]]"#
        );
    }

    #[test]
    fn a_type_that_takes_nothing_is_opaque_and_never_refused() {
        #[derive(Debug)]
        struct Picky;
        impl<'de> Deserialize<'de> for Picky {
            fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Picky, D::Error> {
                Err(serde::de::Error::custom("never"))
            }
        }
        assert_eq!(&*schema_of::<Picky>(), OPAQUE);
        assert_eq!(difference(OPAQUE, &schema_of::<u8>()), None);
    }
}
