//! Text to numbers and booleans, and the words for text that is neither.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{IntoDeserializer, Visitor};

use super::error::Refusal;
use crate::value::shown;

/// What a type wants to be written, if it is one of the types with words of their own.
fn wanted(type_name: &str) -> Option<(&'static str, String)> {
    let range = |from: &dyn Display, to: &dyn Display| format!("a whole number from {from} to {to}");
    let name = type_name.trim_end_matches('>').rsplit([':', '<']).next().unwrap_or(type_name);
    let whole = match name {
        "u8" => range(&u8::MIN, &u8::MAX),
        "u16" => range(&u16::MIN, &u16::MAX),
        "u32" => range(&u32::MIN, &u32::MAX),
        "i8" => range(&i8::MIN, &i8::MAX),
        "i16" => range(&i16::MIN, &i16::MAX),
        "i32" => range(&i32::MIN, &i32::MAX),
        "u64" | "u128" | "usize" => "a whole number of at least 0".to_owned(),
        "i64" | "i128" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => return Some(("number", "a number such as `0.5`".to_owned())),
        "bool" => return Some(("boolean", "`true` or `false`".to_owned())),
        "char" => return Some(("single character", "one character".to_owned())),
        _ => return None,
    };
    let whole = if type_name.contains("NonZero") {
        whole.replace("from 0 to", "from 1 to").replace("at least 0", "at least 1")
    } else {
        whole
    };
    Some(("whole number", whole))
}

/// Message and hint for `text` that does not parse as the type; `error` is the type's own message.
pub(crate) fn refusal(type_name: &str, text: &str, error: &str) -> (String, String) {
    let Some((noun, wanted)) = wanted(type_name) else {
        return (format!("`{}` cannot be used: {error}", shown(text)), String::new());
    };
    let message = match noun {
        "whole number" if text.parse::<i128>().is_ok() => {
            format!("`{}` is out of range", shown(text))
        }
        "boolean" => format!("`{}` is neither `true` nor `false`", shown(text)),
        noun => format!("`{}` is not a {noun}", shown(text)),
    };
    (message, format!("write {wanted}, or remove the line to use the default"))
}

/// The text of a scalar, on its way into a visitor.
#[derive(Clone, Copy)]
pub(super) struct Scalar<'s>(pub(super) &'s str);

impl Scalar<'_> {
    fn number<N: FromStr<Err: Display>>(self) -> Result<N, Refusal> {
        let text = self.0.trim();
        text.parse().map_err(|error: N::Err| {
            let (message, hint) = refusal(std::any::type_name::<N>(), text, &error.to_string());
            Refusal::new(message, hint)
        })
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident;)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
                visitor.$visit(self.number()?)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Scalar<'_> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.0.trim() {
            text if text.eq_ignore_ascii_case("true") => visitor.visit_bool(true),
            text if text.eq_ignore_ascii_case("false") => visitor.visit_bool(false),
            text => {
                let (message, hint) = refusal("bool", text, "");
                Err(Refusal::new(message, hint))
            }
        }
    }

    numbers! {
        deserialize_i8 visit_i8;
        deserialize_i16 visit_i16;
        deserialize_i32 visit_i32;
        deserialize_i64 visit_i64;
        deserialize_i128 visit_i128;
        deserialize_u8 visit_u8;
        deserialize_u16 visit_u16;
        deserialize_u32 visit_u32;
        deserialize_u64 visit_u64;
        deserialize_u128 visit_u128;
        deserialize_f32 visit_f32;
        deserialize_f64 visit_f64;
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_char(Scalar(self.0).character()?)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_bytes(self.0.as_bytes())
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_bytes(self.0.as_bytes())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        let text = self.0.trim();
        let squeeze = |name: &str| name.to_lowercase().replace(['-', '_', '.', ' '], "");
        let exact = variants.iter().find(|variant| **variant == text);
        let near = || variants.iter().find(|variant| squeeze(variant) == squeeze(text));
        let variant: StrDeserializer<'_, Refusal> = exact.or_else(near).copied().unwrap_or(text).into_deserializer();
        visitor.visit_enum(variant)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        // serde reads a std Duration as this struct; people write `10s`.
        if name == "Duration" && fields == ["secs", "nanos"] {
            let duration =
                crate::duration::parse(self.0).map_err(|error| Refusal::new(error.to_string(), error.hint()))?;
            let parts = [duration.as_secs(), u64::from(duration.subsec_nanos())];
            return visitor.visit_seq(serde::de::value::SeqDeserializer::new(parts.into_iter()));
        }
        visitor.visit_str(self.0)
    }

    serde::forward_to_deserialize_any! {
        str string unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl Scalar<'_> {
    fn character(self) -> Result<char, Refusal> {
        let mut characters = self.0.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => {
                let (message, hint) = refusal("char", self.0, "");
                Err(Refusal::new(message, hint))
            }
        }
    }
}
