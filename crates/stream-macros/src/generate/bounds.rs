//! What the implementations of a generic type ask of its parameters: what the fields need, and no more.

use proc_macro2::TokenStream;
use quote::quote;
use syn::WhereClause;

use crate::container::Format;
use crate::field::{Fallback, Field, Role};
use crate::schema::{Schema, Shape};
use crate::types::{self, Used};

/// Reading or writing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Read,
    Write,
}

/// The where clause of `impl FromKafka` or `impl ToKafka`.
pub(super) fn of_impl(schema: &Schema, side: Side) -> WhereClause {
    let mut predicates = Vec::new();
    if side == Side::Read {
        // FromKafka asks it of the type, so every parameter has to have it, PhantomData or not.
        let parameters = schema.generics.type_params().map(|parameter| &parameter.ident);
        predicates.extend(parameters.map(|name| quote!(#name: ::core::marker::Send + 'static)));
    }
    if schema.is_json() {
        let bound = match side {
            Side::Read => quote!(__kafka::serde::de::DeserializeOwned),
            Side::Write => quote!(__kafka::serde::Serialize),
        };
        predicates.extend(of_serde(schema, side, &bound));
    }
    for field in schema.fields() {
        predicates.extend(of_field(schema, field, side));
    }
    join(schema, &predicates)
}

/// The where clause of the generics, with more.
pub(super) fn join(schema: &Schema, more: &[TokenStream]) -> WhereClause {
    let own = schema.generics.where_clause.iter().flat_map(|clause| clause.predicates.iter());
    syn::parse_quote!(where #(#own,)* #(#more,)*)
}

/// What serde needs of the parameters that the value uses; `bound` is the trait.
pub(super) fn of_serde(schema: &Schema, side: Side, bound: &TokenStream) -> Vec<TokenStream> {
    let values: Vec<&Field> = match &schema.shape {
        Shape::Struct { .. } => schema.values().collect(),
        Shape::Enum(variants) => {
            let fields = variants.iter().filter(|variant| !variant.skip).flat_map(|variant| &variant.fields);
            fields.filter(|field| matches!(field.role, Role::Value)).collect()
        }
    };
    let used = Used::of(values.iter().map(|field| &field.ty), &schema.generics);
    let Used { parameters, associated } = &used;
    let mut predicates: Vec<TokenStream> = Vec::new();
    predicates.extend(parameters.iter().map(|name| quote!(#name: #bound)));
    predicates.extend(associated.iter().map(|path| quote!(#path: #bound)));
    if side == Side::Read {
        let all = match &schema.shape {
            Shape::Struct { fields, .. } => fields.iter().collect::<Vec<_>>(),
            Shape::Enum(variants) => variants.iter().flat_map(|variant| &variant.fields).collect(),
        };
        let defaulted = all.into_iter().filter(|field| matches!(field.fallback, Some(Fallback::Default)));
        let defaulted = defaulted.filter(|field| !field.role.is_part() && uses_parameters(schema, field));
        predicates.extend(defaulted.map(|field| {
            let ty = &field.ty;
            quote!(#ty: ::core::default::Default)
        }));
    }
    predicates
}

fn uses_parameters(schema: &Schema, field: &Field) -> bool {
    !Used::of([&field.ty], &schema.generics).is_empty()
}

/// What one field needs that serde does not handle.
fn of_field(schema: &Schema, field: &Field, side: Side) -> Vec<TokenStream> {
    if !uses_parameters(schema, field) {
        return Vec::new();
    }
    let (whole, ty) = (&field.ty, types::without_option(&field.ty));
    let text = || match side {
        Side::Read => {
            vec![quote!(#ty: ::core::str::FromStr), quote!(<#ty as ::core::str::FromStr>::Err: ::core::fmt::Display)]
        }
        Side::Write => vec![quote!(#ty: ::core::fmt::Display)],
    };
    let one = |read: TokenStream, write: TokenStream| match side {
        Side::Read => vec![quote!(#ty: #read)],
        Side::Write => vec![quote!(#ty: #write)],
    };
    let mut needed = match (&field.role, schema.container.format) {
        (Role::Key(_) | Role::Header(_), _) if types::is_bytes(ty) => Vec::new(),
        (Role::Key(_) | Role::Header(_), _) => text(),
        (Role::Whole(_), _) => match side {
            Side::Read => vec![quote!(#whole: __kafka::FromKafka)],
            Side::Write => vec![quote!(#whole: __kafka::ToKafka)],
        },
        (Role::Timestamp(_), _) => one(quote!(__kafka::parts::Millis), quote!(__kafka::parts::Millis)),
        (Role::Value, Format::Csv | Format::Text) => text(),
        (Role::Value, Format::Bytes) => {
            one(quote!(for<'__b> ::core::convert::From<&'__b [u8]>), quote!(::core::convert::AsRef<[u8]>))
        }
        _ => Vec::new(),
    };
    let by_serde = schema.is_json() && !field.role.is_part();
    if side == Side::Read && matches!(field.fallback, Some(Fallback::Default)) && !by_serde {
        needed.push(quote!(#whole: ::core::default::Default));
    }
    needed
}
