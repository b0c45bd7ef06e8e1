//! From a checked schema to the code: one file per format, one for the other parts of a record.
//!
//! Everything generated stands in one `const _: () = { … };`, so its names meet no others, and calls functions of
//! `stream_kafka::__private`, so that the code that can be written once is written there.

mod bounds;
mod csv;
mod json;
mod parts;
mod text;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::container::Format;
use crate::field::{Fallback, Field, Role};
use crate::schema::{Schema, Shape};
use bounds::Side;

/// The implementations for one type.
pub(crate) fn implementations(schema: &Schema) -> TokenStream {
    let krate = &schema.container.krate;
    let proxies = if schema.is_json() { json::proxies(schema) } else { TokenStream::new() };
    let nested = schema.container.nested.as_ref().map(|_| json::serde_traits(schema));
    let read = schema.container.direction.reads().then(|| from_kafka(schema));
    let write = schema.container.direction.writes().then(|| to_kafka(schema));
    quote! {
        #[doc(hidden)]
        #[allow(non_upper_case_globals, unused_qualifications, unused_attributes, clippy::all, clippy::pedantic)]
        const _: () = {
            use #krate::__private as __kafka;
            #proxies
            #nested
            #read
            #write
        };
    }
}

fn from_kafka(schema: &Schema) -> TokenStream {
    let name = &schema.ident;
    let (generics, arguments, _) = schema.generics.split_for_impl();
    let bounds = bounds::of_impl(schema, Side::Read);
    let topic = default_topic(schema);
    let body = match (schema.is_json(), schema.has_parts()) {
        (true, false) => json::read_all(schema),
        (true, true) => json::read(schema),
        (false, _) => read_fields(schema),
    };
    quote! {
        #[automatically_derived]
        impl #generics __kafka::FromKafka for #name #arguments #bounds {
            #[inline]
            fn from_kafka(
                __record: &__kafka::RawRecord<'_>,
            ) -> ::core::result::Result<Self, __kafka::SchemaError> {
                #body
            }
            #topic
        }
    }
}

fn to_kafka(schema: &Schema) -> TokenStream {
    let name = &schema.ident;
    let (generics, arguments, _) = schema.generics.split_for_impl();
    let bounds = bounds::of_impl(schema, Side::Write);
    let topic = default_topic(schema);
    let value = match (schema.whole(), schema.container.format) {
        (Some(whole), _) => {
            let (member, ty) = (&whole.member, &whole.ty);
            quote_spanned!(ty.span()=> <#ty as __kafka::ToKafka>::to_kafka(&self.#member, __record)?;)
        }
        (None, Format::Json) => json::write(schema),
        (None, Format::Csv) => csv::write(schema),
        (None, Format::Text) => schema.values().map(text::write_text).collect(),
        (None, Format::Bytes) => schema.values().map(text::write_bytes).collect(),
    };
    let parts = schema.fields().iter().map(parts::write);
    quote! {
        #[automatically_derived]
        impl #generics __kafka::ToKafka for #name #arguments #bounds {
            #[inline]
            fn to_kafka(
                &self,
                __record: &mut __kafka::ProducerRecord,
            ) -> ::core::result::Result<(), __kafka::SchemaError> {
                #value
                #(#parts)*
                ::core::result::Result::Ok(())
            }
            #topic
        }
    }
}

fn default_topic(schema: &Schema) -> Option<TokenStream> {
    let topic = schema.container.topic.as_ref()?;
    Some(quote! {
        fn default_topic() -> ::core::option::Option<&'static str> {
            ::core::option::Option::Some(#topic)
        }
    })
}

/// Reads field by field: every format but JSON.
fn read_fields(schema: &Schema) -> TokenStream {
    let (begin, end) = match schema.container.format {
        Format::Csv if schema.whole().is_none() => csv::around(schema),
        _ => (TokenStream::new(), TokenStream::new()),
    };
    let values = schema.fields().iter().enumerate().filter(|(_, field)| !field.role.is_part());
    let values = values.map(|(index, field)| {
        let variable = quote::format_ident!("__field{index}");
        let read = match (&field.role, schema.container.format) {
            (Role::Skip(_), _) => fallback(field),
            (Role::Whole(_), _) => {
                let ty = &field.ty;
                quote_spanned!(ty.span()=> <#ty as __kafka::FromKafka>::from_kafka(__record)?)
            }
            (_, Format::Csv) => csv::read(schema, field),
            (_, Format::Bytes) => text::read_bytes(field),
            _ => text::read_text(field),
        };
        quote!(let #variable = #read;)
    });
    let headers = parts::fetch_headers(schema);
    let fields = schema.fields().iter().enumerate().map(|(index, field)| {
        let (member, variable) = (&field.member, quote::format_ident!("__field{index}"));
        let read = if field.role.is_part() { parts::read(schema, field) } else { quote!(#variable) };
        quote!(#member: #read)
    });
    quote! {
        #begin
        #(#values)*
        #end
        #headers
        ::core::result::Result::Ok(Self { #(#fields),* })
    }
}

/// What stands in for a field the record has nothing for.
fn fallback(field: &Field) -> TokenStream {
    let ty = &field.ty;
    match &field.fallback {
        Some(Fallback::Function(_, path)) => quote_spanned!(path.span()=> #path()),
        _ => quote_spanned!(ty.span()=> <#ty as ::core::default::Default>::default()),
    }
}

/// The fields of a struct, or none.
fn is_struct(schema: &Schema) -> bool {
    matches!(schema.shape, Shape::Struct { .. })
}
