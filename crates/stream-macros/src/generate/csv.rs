//! CSV: column by column, in the order of the fields.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::field::{Fallback, Field};
use crate::schema::Schema;
use crate::types;

/// What stands before and after the columns are read.
pub(super) fn around(schema: &Schema) -> (TokenStream, TokenStream) {
    let delimiter = schema.container.delimiter;
    (quote!(let mut __columns = __kafka::csv::Columns::<#delimiter>::new(__record)?;), quote!(__columns.finish()?;))
}

/// Reads one column.
pub(super) fn read(schema: &Schema, field: &Field) -> TokenStream {
    let name = field.outer_name(schema.container.rename_all.as_ref().map(|(rule, _)| *rule));
    let ty = &field.ty;
    match (types::option_inner(ty), &field.fallback) {
        (Some(inner), None) => quote_spanned!(ty.span()=> __columns.optional::<#inner>(#name)?),
        (Some(inner), Some(_)) => {
            let fallback = super::fallback(field);
            quote_spanned!(ty.span()=> match __columns.optional::<#inner>(#name)? {
                ::core::option::Option::None => #fallback,
                __some => __some,
            })
        }
        (None, None) => quote_spanned!(ty.span()=> __columns.required::<#ty>(#name)?),
        (None, Some(Fallback::Default)) => {
            quote_spanned!(ty.span()=> __columns.optional::<#ty>(#name)?.unwrap_or_default())
        }
        (None, Some(Fallback::Function(_, path))) => {
            quote_spanned!(ty.span()=> __columns.optional::<#ty>(#name)?.unwrap_or_else(#path))
        }
    }
}

/// Writes all columns.
pub(super) fn write(schema: &Schema) -> TokenStream {
    let delimiter = schema.container.delimiter;
    let columns = schema.values().map(|field| {
        let (member, ty) = (&field.member, &field.ty);
        match (types::option_inner(ty), &field.fallback) {
            (Some(_), _) => quote_spanned!(ty.span()=> __line.optional(self.#member.as_ref())?;),
            // Where an empty column stands for something else, an empty text has to look different.
            (None, Some(_)) => {
                quote_spanned!(ty.span()=> __line.optional(::core::option::Option::Some(&self.#member))?;)
            }
            (None, None) => quote_spanned!(ty.span()=> __line.column(&self.#member)?;),
        }
    });
    quote! {
        let mut __line = __kafka::csv::Line::<#delimiter>::new(__record);
        #(#columns)*
    }
}
