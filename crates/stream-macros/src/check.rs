//! What fits together: rules about several fields, or about a format and a shape.

use std::collections::BTreeMap;

use syn::Fields;

use crate::container::{Container, Format};
use crate::field::{Field, Role};
use crate::mistakes::Mistakes;
use crate::rename::Rule;
use crate::schema::{Schema, Shape, Variant};

/// Notes what does not fit together.
pub(crate) fn check(schema: &Schema, mistakes: &mut Mistakes) {
    match &schema.shape {
        Shape::Struct { fields, named } => {
            one_of_each(fields, mistakes);
            whole_value(schema, mistakes);
            if schema.whole().is_none() {
                amount_of_values(schema, *named, mistakes);
                let rule = schema.container.rename_all.as_ref().map(|(rule, _)| *rule);
                distinct_names(schema.values(), rule, None, mistakes);
            }
            if let Some(nested) = schema.container.nested.as_ref().filter(|_| schema.has_parts()) {
                let hint = "remove `nested`, or those fields: inside another value there is no record to keep them";
                mistakes.add(nested, "a nested type has no key, headers or other parts of a record", hint);
            }
        }
        Shape::Enum(variants) => check_enum(schema, variants, mistakes),
    }
}

/// No part of the record is claimed by two fields.
fn one_of_each(fields: &[Field], mistakes: &mut Mistakes) {
    let mut parts: BTreeMap<&str, &Field> = BTreeMap::new();
    let mut headers: BTreeMap<String, ()> = BTreeMap::new();
    for field in fields {
        let Some(token) = field.role.token() else { continue };
        match &field.role {
            Role::Skip(_) => {}
            Role::Header(name) => {
                if headers.insert(name.value(), ()).is_some() {
                    let message = format!("two fields are the header `{}`", name.value());
                    mistakes.add(token.to_token_stream(), message, "give one another name, or remove it");
                }
            }
            role => {
                if let Some(first) = parts.insert(role.word(), field) {
                    let message = format!("two fields are the {}", role.word());
                    let hint = format!("the first is `{}`; remove one `{}`", first.name(), role.word());
                    mistakes.add(token.to_token_stream(), message, hint);
                }
            }
        }
    }
}

/// A field that is the whole value leaves no room for others, nor for a format.
fn whole_value(schema: &Schema, mistakes: &mut Mistakes) {
    let Some(whole) = schema.whole() else { return };
    for other in schema.values() {
        let hint = format!("mark it as key, header, … or skip, or remove `value` from `{}`", whole.name());
        let message = format!("`{}` has no place, because `{}` is the whole value", other.name(), whole.name());
        mistakes.add(at(other), message, hint);
    }
    if let Some(format) = &schema.container.format_given {
        let hint = format!("remove it: the format is that of the type of `{}`", whole.name());
        mistakes.add(format, "a format beside a `value` field", hint);
    }
}

/// Whether the format has a place for that many values, named or not.
fn amount_of_values(schema: &Schema, named: bool, mistakes: &mut Mistakes) {
    let format = schema.container.format;
    let values: Vec<&Field> = schema.values().collect();
    if values.is_empty() {
        let hint = match schema.fields().is_empty() {
            true => "give it fields, or use Vec<u8> or String in its place",
            false => "add a field for the value, or mark a field of type Option<…> as `value`",
        };
        mistakes.add(&schema.ident, format!("`{}` has no field for the record's value", schema.ident), hint);
    }
    match format {
        Format::Json if !named && schema.fields().len() > 1 => {
            let hint = "give the fields names, or choose format = \"csv\"";
            mistakes.add(&schema.ident, "a tuple struct has no names for the fields of JSON", hint);
        }
        Format::Text | Format::Bytes => {
            for other in values.iter().skip(1) {
                let message =
                    format!("format = {:?} writes one field, and `{}` is another", format.name(), other.name());
                let hint = "mark it as key, header, … or skip, or choose format = \"json\" or \"csv\"";
                mistakes.add(at(other), message, hint);
            }
        }
        _ => {}
    }
}

/// No two fields have one name in the value.
fn distinct_names<'f>(
    fields: impl Iterator<Item = &'f Field>,
    rule: Option<Rule>,
    taken: Option<&syn::LitStr>,
    mistakes: &mut Mistakes,
) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for field in fields.filter(|field| field.flatten.is_none()) {
        let name = field.outer_name(rule);
        if taken.is_some_and(|tag| tag.value() == name) {
            let hint = "rename the field or choose another tag";
            mistakes.add(at(field), format!("field `{}` has the name of the tag, `{name}`", field.name()), hint);
        }
        if let Some(first) = names.insert(name.clone(), field.name()) {
            let message = format!("`{first}` and `{}` are both named `{name}` in the value", field.name());
            mistakes.add(at(field), message, "rename one of them");
        }
    }
}

fn check_enum(schema: &Schema, variants: &[Variant], mistakes: &mut Mistakes) {
    let container = &schema.container;
    if container.format != Format::Json {
        let at = container.format_given.as_ref().map(quote::ToTokens::to_token_stream);
        let hint = "choose format = \"json\"; or wrap it in a struct, with FromStr and Display for the enum";
        mistakes.add(at, format!("an enum can't be format = {:?}", container.format.name()), hint);
        return;
    }
    if variants.is_empty() {
        mistakes.add(&schema.ident, format!("`{}` has no variants, so no value", schema.ident), "add a variant");
    }
    let has_data = variants.iter().any(|variant| !matches!(variant.style, Fields::Unit));
    if has_data && container.tag.is_none() && !serde_tags(schema) {
        let hint = "add #[kafka(tag = \"type\")]: the field of the JSON object that names the variant";
        mistakes.add(&schema.ident, "an enum with data needs a tag", hint);
    }
    let mut names: BTreeMap<String, &Variant> = BTreeMap::new();
    for variant in variants {
        check_variant(variant, container, mistakes);
        let rule = container.rename_all.as_ref().map(|(rule, _)| *rule);
        let plain = variant.ident.to_string();
        let name = match (&variant.rename, rule) {
            (Some(rename), _) => rename.value(),
            (None, Some(rule)) => rule.variant(&plain),
            (None, None) => plain,
        };
        if let Some(first) = names.insert(name.clone(), variant) {
            let message = format!("variants `{}` and `{}` are both named `{name}`", first.ident, variant.ident);
            let at = variant.rename.as_ref().map_or(quote::quote!(), |rename| quote::quote!(#rename));
            let at = if at.is_empty() { quote::ToTokens::to_token_stream(&variant.ident) } else { at };
            mistakes.add(at, message, "rename one of them");
        }
    }
}

fn check_variant(variant: &Variant, container: &Container, mistakes: &mut Mistakes) {
    for field in &variant.fields {
        let token = field.role.token().filter(|_| field.role.is_part() || matches!(field.role, Role::Whole(_)));
        if let Some(token) = token {
            let hint = "put the enum into a struct that has this field: `#[kafka(key)] key: String, #[kafka(flatten)] \
                        event: ThisEnum`, and mark the enum as `nested`";
            let message = format!("`{}` inside an enum", field.role.word());
            mistakes.add(token.to_token_stream(), message, hint);
        }
    }
    let internally = container.tag.is_some() && container.content.is_none();
    if let Fields::Unnamed(fields) = &variant.style
        && fields.unnamed.len() > 1
        && internally
    {
        let hint = "give the fields names, or add content = \"…\" beside the tag";
        mistakes.add(&variant.ident, format!("variant `{}` has no names for its fields", variant.ident), hint);
    }
    let rule = container.rename_all_fields.as_ref().map(|(rule, _)| *rule);
    let named = variant.fields.iter().filter(|field| matches!(field.member, syn::Member::Named(_)));
    let named = named.filter(|field| matches!(field.role, Role::Value));
    distinct_names(named, rule, container.tag.as_ref().filter(|_| internally), mistakes);
}

/// Whether serde's own attributes say how variants are told apart.
fn serde_tags(schema: &Schema) -> bool {
    let texts = schema.serde.iter().map(|attribute| quote::ToTokens::to_token_stream(attribute).to_string());
    texts.into_iter().any(|text| text.contains("tag"))
}

/// Where to point for a field: at what renames it, or at its name.
fn at(field: &Field) -> proc_macro2::TokenStream {
    use quote::ToTokens;
    match (&field.rename, &field.member) {
        (Some(rename), _) => rename.to_token_stream(),
        (None, syn::Member::Named(name)) => name.to_token_stream(),
        (None, syn::Member::Unnamed(_)) => field.ty.to_token_stream(),
    }
}
