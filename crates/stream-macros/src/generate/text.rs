//! Formats of one field: text and bytes. `None` of an `Option` is a tombstone.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::field::Field;
use crate::types;

pub(super) fn read_text(field: &Field) -> TokenStream {
    let ty = types::without_option(&field.ty);
    let read = quote_spanned!(ty.span()=> __kafka::parts::read_text::<#ty>("the value", __record.value())?);
    super::parts::present(field, &quote!("the value"), "null", &read)
}

pub(super) fn read_bytes(field: &Field) -> TokenStream {
    let ty = types::without_option(&field.ty);
    let read = quote_spanned!(ty.span()=> __record.value().map(<#ty as ::core::convert::From<&[u8]>>::from));
    super::parts::present(field, &quote!("the value"), "null", &read)
}

pub(super) fn write_text(field: &Field) -> TokenStream {
    let ty = types::without_option(&field.ty);
    let write = |value| quote_spanned!(ty.span()=> __kafka::parts::write_text(__record.value_buffer(), #value)?;);
    super::parts::for_some(field, write)
}

pub(super) fn write_bytes(field: &Field) -> TokenStream {
    let ty = types::without_option(&field.ty);
    let write = |value| quote_spanned!(ty.span()=> __record.set_value(::core::convert::AsRef::<[u8]>::as_ref(#value)););
    super::parts::for_some(field, write)
}
