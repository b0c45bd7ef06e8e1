//! Finding out what serde sees of a type: the type deserializes itself from a source that takes notes.
//!
//! 1. Every request of the type (`deserialize_u64`, `deserialize_struct`, …) is noted as a [`Format`] and answered with
//!    some value.
//! 2. An enum is answered with a variant that it has not shown yet, so the type is read until no enum has more.
//! 3. A type inside itself is answered with nothing where that is possible: no element, no value, the first variant.
//!
//! A type that refuses what it is offered, or asks what is there (which postcard could not tell it either), has no
//! schema.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::{Container, Format, Schema, Variant};

/// How often a type is read to see all variants of its enums.
const READS_MAX: usize = 4096;

/// How many types may be inside each other before nothing more is offered.
const DEPTH_MAX: usize = 24;

/// The schema of a type, if it has one.
pub(super) fn trace<T: DeserializeOwned>() -> Option<Schema> {
    let mut notes = Notes::default();
    for _ in 0..READS_MAX {
        notes.is_incomplete = false;
        let mut root = Format::Unknown;
        T::deserialize(Source { notes: &mut notes, format: &mut root, depth: 0 }).ok()?;
        if !notes.is_incomplete {
            let names: BTreeMap<&str, &str> = notes.types.iter().map(|(path, noted)| (*path, &*noted.name)).collect();
            let mut schema = Schema { root, types: BTreeMap::new() };
            schema.root.rename(&names);
            for noted in notes.types.values() {
                let mut container = noted.container.clone();
                container.rename(&names);
                schema.types.insert(noted.name.clone(), container);
            }
            return Some(schema);
        }
    }
    None
}

/// What is known so far.
#[derive(Default)]
struct Notes {
    /// By the path of the type, which tells apart what serde gives the same name.
    types: BTreeMap<&'static str, Noted>,
    /// How many types have which name.
    names: BTreeMap<&'static str, usize>,
    /// Whether some enum has variants that it has not shown.
    is_incomplete: bool,
}

struct Noted {
    name: String,
    container: Container,
}

impl Notes {
    /// What is noted of the type, which begins as `empty`.
    fn of(&mut self, path: &'static str, name: &'static str, empty: Container) -> &mut Container {
        let names = &mut self.names;
        let noted = self.types.entry(path).or_insert_with(|| {
            let count = names.entry(name).or_default();
            *count += 1;
            let name = if *count == 1 { name.to_owned() } else { format!("{name} {count}") };
            Noted { name, container: empty }
        });
        &mut noted.container
    }
}

#[derive(Debug)]
struct Refused;

impl Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused")
    }
}

impl std::error::Error for Refused {}

impl Error for Refused {
    fn custom<T: Display>(_: T) -> Refused {
        Refused
    }
}

struct Source<'n> {
    notes: &'n mut Notes,
    /// Where to write down what was asked for.
    format: &'n mut Format,
    depth: usize,
}

impl Source<'_> {
    fn is_deep(&self) -> bool {
        self.depth >= DEPTH_MAX
    }
}

macro_rules! plain {
    ($($method:ident $visit:ident $format:ident $value:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            *self.format = Format::$format;
            visitor.$visit($value)
        }
    )*};
}

impl<'de> Deserializer<'de> for Source<'_> {
    type Error = Refused;

    fn is_human_readable(&self) -> bool {
        false
    }

    // One and not zero: some types have no zero.
    plain! {
        deserialize_bool visit_bool Bool false;
        deserialize_i8 visit_i8 I8 1;
        deserialize_i16 visit_i16 I16 1;
        deserialize_i32 visit_i32 I32 1;
        deserialize_i64 visit_i64 I64 1;
        deserialize_i128 visit_i128 I128 1;
        deserialize_u8 visit_u8 U8 1;
        deserialize_u16 visit_u16 U16 1;
        deserialize_u32 visit_u32 U32 1;
        deserialize_u64 visit_u64 U64 1;
        deserialize_u128 visit_u128 U128 1;
        deserialize_f32 visit_f32 F32 1.0;
        deserialize_f64 visit_f64 F64 1.0;
        deserialize_char visit_char Char 'a';
        deserialize_str visit_str Str "";
        deserialize_string visit_string Str String::new();
        deserialize_bytes visit_bytes Bytes &[];
        deserialize_byte_buf visit_byte_buf Bytes Vec::new();
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        *self.format = Format::Unit;
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let is_deep = self.is_deep();
        let inner = self.format.option();
        if is_deep {
            return visitor.visit_none();
        }
        visitor.visit_some(Source { notes: self.notes, format: inner, depth: self.depth + 1 })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let left = usize::from(!self.is_deep());
        let element = self.format.seq();
        visitor.visit_seq(Elements {
            notes: self.notes,
            formats: std::slice::from_mut(element),
            left,
            depth: self.depth,
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let left = usize::from(!self.is_deep());
        if !matches!(self.format, Format::Map(_)) {
            *self.format = Format::Map(Box::default());
        }
        let Format::Map(pair) = self.format else { return Err(Refused) };
        let (key, value) = &mut **pair;
        visitor.visit_map(Pairs { notes: self.notes, key, value, left, depth: self.depth })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        if !matches!(self.format, Format::Tuple(_)) {
            *self.format = Format::Tuple(vec![Format::Unknown; len]);
        }
        let Format::Tuple(formats) = self.format else { return Err(Refused) };
        visitor.visit_seq(Elements { notes: self.notes, formats, left: len, depth: self.depth })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        // postcard writes what is inside and nothing else.
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let path = std::any::type_name::<V::Value>();
        *self.format = Format::Named(path.to_owned());
        let empty = fields.iter().map(|field| ((*field).to_owned(), Format::Unknown)).collect();
        self.notes.of(path, name, Container::Struct(empty));
        let mut formats = vec![Format::Unknown; fields.len()];
        let depth = self.depth + 1;
        let elements = Elements { notes: &mut *self.notes, formats: &mut formats, left: fields.len(), depth };
        let value = visitor.visit_seq(elements)?;
        if let Container::Struct(noted) = self.notes.of(path, name, Container::Struct(Vec::new())) {
            for ((_, noted), found) in noted.iter_mut().zip(formats) {
                noted.learn(found);
            }
        }
        Ok(value)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let path = std::any::type_name::<V::Value>();
        *self.format = Format::Named(path.to_owned());
        let empty = variants.iter().map(|variant| ((*variant).to_owned(), Variant::Unknown)).collect();
        let noted = self.notes.of(path, name, Container::Enum(empty));
        let is_deep = self.depth >= DEPTH_MAX;
        let mut index = 0;
        if let Container::Enum(known) = noted
            && !is_deep
        {
            let mut unknown = known.iter().enumerate().filter(|(_, (_, variant))| *variant == Variant::Unknown);
            index = unknown.next().map_or(0, |(index, _)| index);
            if unknown.next().is_some() {
                self.notes.is_incomplete = true;
            }
        }
        if self.depth >= 2 * DEPTH_MAX {
            return Err(Refused);
        }
        let mut shown = Variant::Unknown;
        let access = Choice { notes: &mut *self.notes, shown: &mut shown, index, depth: self.depth + 1 };
        let value = visitor.visit_enum(access)?;
        if let Container::Enum(known) = self.notes.of(path, name, Container::Enum(Vec::new()))
            && let Some((_, variant)) = known.get_mut(index)
        {
            variant.learn(shown);
        }
        Ok(value)
    }
}

struct Elements<'n> {
    notes: &'n mut Notes,
    /// One per element, or one for all.
    formats: &'n mut [Format],
    left: usize,
    depth: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        if self.left == 0 {
            return Ok(None);
        }
        let index = self.formats.len().saturating_sub(self.left);
        self.left -= 1;
        let format = self.formats.get_mut(index).ok_or(Refused)?;
        seed.deserialize(Source { notes: self.notes, format, depth: self.depth + 1 }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

struct Pairs<'n> {
    notes: &'n mut Notes,
    key: &'n mut Format,
    value: &'n mut Format,
    left: usize,
    depth: usize,
}

impl<'de> MapAccess<'de> for Pairs<'_> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(Source { notes: self.notes, format: self.key, depth: self.depth + 1 }).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        seed.deserialize(Source { notes: self.notes, format: self.value, depth: self.depth + 1 })
    }
}

struct Choice<'n> {
    notes: &'n mut Notes,
    shown: &'n mut Variant,
    index: usize,
    depth: usize,
}

impl<'de, 'n> EnumAccess<'de> for Choice<'n> {
    type Error = Refused;
    type Variant = Choice<'n>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Choice<'n>), Refused> {
        let index = u32::try_from(self.index).map_err(|_| Refused)?;
        let index: serde::de::value::U32Deserializer<Refused> = index.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        *self.shown = Variant::Unit;
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Refused> {
        let mut format = Format::Unknown;
        let value = seed.deserialize(Source { notes: self.notes, format: &mut format, depth: self.depth })?;
        *self.shown = Variant::Tuple(vec![format]);
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        let mut formats = vec![Format::Unknown; len];
        let elements = Elements { notes: self.notes, formats: &mut formats, left: len, depth: self.depth };
        let value = visitor.visit_seq(elements)?;
        *self.shown = Variant::Tuple(formats);
        Ok(value)
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Refused> {
        let mut formats = vec![Format::Unknown; fields.len()];
        let elements = Elements { notes: self.notes, formats: &mut formats, left: fields.len(), depth: self.depth };
        let value = visitor.visit_seq(elements)?;
        *self.shown = Variant::Struct(fields.iter().map(|field| (*field).to_owned()).zip(formats).collect());
        Ok(value)
    }
}
