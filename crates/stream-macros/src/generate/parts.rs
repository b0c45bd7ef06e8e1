//! The parts of a record beside its value: key, headers, timestamp, partition, offset, topic.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::field::{Field, Role};
use crate::schema::Schema;
use crate::types;

/// Headers are decoded once, if a field needs them.
pub(super) fn fetch_headers(schema: &Schema) -> Option<TokenStream> {
    let needs = |field: &Field| matches!(field.role, Role::Header(_) | Role::Headers(_));
    schema.fields().iter().any(needs).then(|| quote!(let __headers = __record.headers();))
}

/// The expression that reads a part.
pub(super) fn read(schema: &Schema, field: &Field) -> TokenStream {
    let ty = &field.ty;
    let inner = types::without_option(ty);
    match &field.role {
        Role::Key(_) => {
            let what = quote!("the key");
            let read = part(inner, &what, &quote!(__record.key()));
            present(field, &what, "null", &read)
        }
        Role::Header(name) => {
            let what = format!("header `{}`", name.value());
            let what = quote!(#what);
            let read = part(inner, &what, &quote!(__headers.last(#name)));
            present(field, &what, "missing", &read)
        }
        Role::Timestamp(_) => {
            let read = quote_spanned!(ty.span()=> __kafka::parts::timestamp::<#inner>(__record));
            present(field, &quote!("the timestamp"), "missing", &read)
        }
        Role::Partition(_) if types::option_inner(ty).is_some() => {
            quote_spanned!(ty.span()=> ::core::option::Option::Some(__record.partition()))
        }
        Role::Partition(_) => quote_spanned!(ty.span()=> __record.partition()),
        Role::Offset(_) => quote_spanned!(ty.span()=> __record.offset()),
        Role::Topic(_) => quote_spanned!(ty.span()=> <#ty as __kafka::parts::TopicName>::of(__record.topic())),
        Role::Headers(_) => {
            let named = schema.fields().iter().filter_map(|field| match &field.role {
                Role::Header(name) => Some(name),
                _ => None,
            });
            quote_spanned!(ty.span()=> __kafka::parts::other_headers(&__headers, &[#(#named),*]))
        }
        Role::Value | Role::Whole(_) | Role::Skip(_) => TokenStream::new(),
    }
}

/// `Option` of a part that is bytes or text.
fn part(ty: &syn::Type, what: &TokenStream, bytes: &TokenStream) -> TokenStream {
    match types::is_bytes(ty) {
        true => quote_spanned!(ty.span()=> #bytes.map(<[u8]>::to_vec)),
        false => quote_spanned!(ty.span()=> __kafka::parts::read_text::<#ty>(#what, #bytes)?),
    }
}

/// From the `Option` that was read to the field's type: as it is, by the default, or an error if there is none.
pub(super) fn present(field: &Field, what: &TokenStream, absent: &str, read: &TokenStream) -> TokenStream {
    let optional = types::option_inner(&field.ty).is_some();
    match (optional, &field.fallback) {
        (true, None) => read.clone(),
        (true, Some(_)) => {
            let fallback = super::fallback(field);
            quote!(match #read { ::core::option::Option::None => #fallback, __some => __some })
        }
        (false, Some(_)) => {
            let fallback = super::fallback(field);
            quote!(match #read { ::core::option::Option::None => #fallback, ::core::option::Option::Some(__it) => __it })
        }
        (false, None) => quote!(__kafka::parts::required(#what, #absent, #read)?),
    }
}

/// The statement with the field's value, or, of an `Option`, only if there is one.
pub(super) fn for_some(field: &Field, write: impl Fn(TokenStream) -> TokenStream) -> TokenStream {
    let member = &field.member;
    if types::option_inner(&field.ty).is_none() {
        return write(quote_spanned!(field.ty.span()=> &self.#member));
    }
    let write = write(quote_spanned!(field.ty.span()=> __some));
    quote!(if let ::core::option::Option::Some(__some) = &self.#member { #write })
}

/// The statement that writes a part; none for what is only read.
pub(super) fn write(field: &Field) -> TokenStream {
    let span = field.ty.span();
    let inner = types::without_option(&field.ty);
    // A String is written as its bytes, without going through Display.
    let is_bytes = types::is_bytes(inner) || types::is(inner, &["String"]);
    match &field.role {
        Role::Key(_) if is_bytes => for_some(field, |value| quote_spanned!(span=> __record.set_key(#value);)),
        Role::Key(_) => {
            for_some(field, |value| quote_spanned!(span=> __kafka::parts::write_text(__record.key_buffer(), #value)?;))
        }
        Role::Header(name) if is_bytes => for_some(
            field,
            |value| quote_spanned!(span=> __record.add_header(#name, ::core::option::Option::Some(::core::convert::AsRef::<[u8]>::as_ref(#value)));),
        ),
        Role::Header(name) => {
            for_some(field, |value| quote_spanned!(span=> __kafka::parts::write_header(__record, #name, #value)?;))
        }
        Role::Headers(_) => {
            for_some(field, |value| quote_spanned!(span=> __kafka::parts::write_headers(__record, #value);))
        }
        Role::Timestamp(_) => for_some(
            field,
            |value| quote_spanned!(span=> __record.set_timestamp(__kafka::parts::Millis::timestamp(#value));),
        ),
        Role::Partition(_) => for_some(field, |value| quote_spanned!(span=> __record.set_partition(*#value);)),
        Role::Offset(_) | Role::Topic(_) | Role::Value | Role::Whole(_) | Role::Skip(_) => TokenStream::new(),
    }
}
