//! JSON: hidden twins of the type, for which serde's own derive writes the code.
//!
//! `__Write` serializes the type itself (serde's `remote`). `__Read` does the same for deserialization; but if some
//! fields are other parts of the record, it is a type of its own that has the value's fields alone, and the type
//! is put together from both. So every field is decoded straight into its place, as with a derive on the type.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Fields, Generics, LitStr};

use super::bounds::{self, Side};
use super::parts;
use crate::field::{Fallback, Field, Role};
use crate::schema::{Schema, Shape, Variant};

/// The hidden twins.
pub(super) fn proxies(schema: &Schema) -> TokenStream {
    let read = schema.container.direction.reads().then(|| proxy(schema, Side::Read));
    let write = schema.container.direction.writes().then(|| proxy(schema, Side::Write));
    quote!(#read #write)
}

fn proxy(schema: &Schema, side: Side) -> TokenStream {
    let (derive, name) = match side {
        Side::Read => (quote!(__kafka::serde::Deserialize), quote!(__Read)),
        Side::Write => (quote!(__kafka::serde::Serialize), quote!(__Write)),
    };
    let attributes = container_attributes(schema, side);
    let generics = without_defaults(&schema.generics);
    let own_bounds = &schema.generics.where_clause;
    let body = match &schema.shape {
        Shape::Struct { fields, named } => struct_body(schema, side, fields, *named),
        Shape::Enum(variants) => {
            let variants = variants.iter().map(variant);
            quote!(#own_bounds { #(#variants),* })
        }
    };
    let keyword = if super::is_struct(schema) { quote!(struct) } else { quote!(enum) };
    quote! {
        #[derive(#derive)]
        #attributes
        #[allow(dead_code)]
        #keyword #name #generics #body
    }
}

fn struct_body(schema: &Schema, side: Side, fields: &[Field], named: bool) -> TokenStream {
    let own_bounds = &schema.generics.where_clause;
    let kept = fields.iter().filter(|field| !field.role.is_part()).map(proxy_field);
    // Parameters that only the left-out fields use have to be used all the same.
    let unused = schema.has_parts().then(|| {
        let parameters = schema.generics.type_params().map(|parameter| &parameter.ident);
        let skip = if side == Side::Read { quote!(skip) } else { quote!(skip_serializing) };
        quote!(#[serde(#skip)] __parameters: ::core::marker::PhantomData<fn() -> (#(#parameters,)*)>,)
    });
    match named {
        true => quote!(#own_bounds { #(#kept,)* #unused }),
        false => quote!((#(#kept,)*) #own_bounds;),
    }
}

fn container_attributes(schema: &Schema, side: Side) -> TokenStream {
    let container = &schema.container;
    let krate = &container.krate;
    let serde = LitStr::new(&path_text(&quote!(#krate::__private::serde)), proc_macro2::Span::call_site());
    let name = schema.ident.to_string();
    let plain_name = name.trim_start_matches("r#");
    let remote = (side == Side::Write || !schema.has_parts()).then(|| quote!(remote = #name,));
    let rename_all = container.rename_all.as_ref().map(|(_, text)| quote!(rename_all = #text,));
    let rename_all_fields = container.rename_all_fields.as_ref().map(|(_, text)| quote!(rename_all_fields = #text,));
    let deny = container.deny_unknown_fields.as_ref().map(|_| quote!(deny_unknown_fields,));
    let tag = container.tag.as_ref().map(|text| quote!(tag = #text,));
    let content = container.content.as_ref().map(|text| quote!(content = #text,));
    let bound = bound(schema, side);
    let own = schema.serde.iter().map(|attribute| forwarded(attribute, &["crate", "remote", "rename", "bound"]));
    quote! {
        #[serde(crate = #serde, rename = #plain_name, #remote #rename_all #rename_all_fields #deny #tag #content #bound)]
        #(#own)*
    }
}

/// The bounds in serde's attribute, so that they are the same as those of our implementations.
fn bound(schema: &Schema, side: Side) -> Option<TokenStream> {
    schema.generics.type_params().next()?;
    let krate = &schema.container.krate;
    let (word, bound) = match side {
        Side::Read => (quote!(deserialize), quote!(#krate::__private::serde::Deserialize<'de>)),
        Side::Write => (quote!(serialize), quote!(#krate::__private::serde::Serialize)),
    };
    let predicates = bounds::of_serde(schema, side, &bound);
    let text = quote!(#(#predicates),*).to_string();
    Some(quote!(bound(#word = #text),))
}

fn proxy_field(field: &Field) -> TokenStream {
    let ty = &field.ty;
    let name = match &field.member {
        syn::Member::Named(name) => Some(quote!(#name:)),
        syn::Member::Unnamed(_) => None,
    };
    let skip = matches!(field.role, Role::Skip(_)).then(|| quote!(skip,));
    let flatten = field.flatten.as_ref().map(|_| quote!(flatten,));
    let rename = field.rename.as_ref().map(|text| quote!(rename = #text,));
    let default = match &field.fallback {
        None => None,
        // serde takes Default for what it skips, and refuses to be told so on tuple structs.
        Some(Fallback::Default) if skip.is_some() => None,
        Some(Fallback::Default) => Some(quote!(default,)),
        Some(Fallback::Function(text, _)) => Some(quote!(default = #text,)),
    };
    let own = field.serde.iter();
    quote_spanned!(ty.span()=> #[serde(#skip #flatten #rename #default)] #(#own)* #name #ty)
}

fn variant(variant: &Variant) -> TokenStream {
    let name = &variant.ident;
    let rename = variant.rename.as_ref().map(|text| quote!(rename = #text,));
    let skip = variant.skip.then(|| quote!(skip,));
    let own = variant.serde.iter();
    let fields = variant.fields.iter().map(proxy_field);
    let body = match variant.style {
        Fields::Named(_) => quote!({ #(#fields),* }),
        Fields::Unnamed(_) => quote!((#(#fields),*)),
        Fields::Unit => TokenStream::new(),
    };
    quote!(#[serde(#rename #skip)] #(#own)* #name #body)
}

/// A `#[serde(…)]` of the user's, without the words that are ours to give.
fn forwarded(attribute: &syn::Attribute, ours: &[&str]) -> TokenStream {
    use syn::punctuated::Punctuated;
    let parsed = attribute.parse_args_with(Punctuated::<syn::Meta, syn::Token![,]>::parse_terminated);
    let Ok(parsed) = parsed else { return quote!(#attribute) };
    let kept = parsed.iter().filter(|meta| !ours.iter().any(|word| meta.path().is_ident(word)));
    quote!(#[serde(#(#kept),*)])
}

fn without_defaults(generics: &Generics) -> TokenStream {
    let (generics, ..) = generics.split_for_impl();
    quote!(#generics)
}

/// A path as serde's attributes take it: a text without spaces.
fn path_text(path: &TokenStream) -> String {
    path.to_string().replace(' ', "")
}

/// `from_kafka` of a type whose fields all belong to the value.
pub(super) fn read_all(schema: &Schema) -> TokenStream {
    let (_, arguments, _) = schema.generics.split_for_impl();
    let arguments = arguments.as_turbofish();
    quote!(__kafka::json::read(__record, |__json| __Read #arguments::deserialize(__json)))
}

/// `from_kafka` of a type with other parts of the record.
pub(super) fn read(schema: &Schema) -> TokenStream {
    let (_, arguments, _) = schema.generics.split_for_impl();
    let headers = parts::fetch_headers(schema);
    let fields = schema.fields().iter().map(|field| {
        let member = &field.member;
        let read = if field.role.is_part() { parts::read(schema, field) } else { quote!(__value.#member) };
        quote!(#member: #read)
    });
    quote! {
        let __value = __kafka::json::read(
            __record,
            |__json| <__Read #arguments as __kafka::serde::Deserialize>::deserialize(__json),
        )?;
        #headers
        ::core::result::Result::Ok(Self { #(#fields),* })
    }
}

/// Writes the value.
pub(super) fn write(schema: &Schema) -> TokenStream {
    let (_, arguments, _) = schema.generics.split_for_impl();
    let arguments = arguments.as_turbofish();
    quote!(__kafka::json::write(__record, |__json| __Write #arguments::serialize(self, __json))?;)
}

/// serde's traits for the type itself.
pub(super) fn serde_traits(schema: &Schema) -> TokenStream {
    let name = &schema.ident;
    let (generics, arguments, _) = schema.generics.split_for_impl();
    let turbofish = arguments.as_turbofish();
    let write = schema.container.direction.writes().then(|| {
        let bounds = bounds::join(schema, &bounds::of_serde(schema, Side::Write, &quote!(__kafka::serde::Serialize)));
        quote! {
            #[automatically_derived]
            impl #generics __kafka::serde::Serialize for #name #arguments #bounds {
                fn serialize<__S: __kafka::serde::Serializer>(
                    &self,
                    __serializer: __S,
                ) -> ::core::result::Result<__S::Ok, __S::Error> {
                    __Write #turbofish::serialize(self, __serializer)
                }
            }
        }
    });
    let read = schema.container.direction.reads().then(|| {
        let bound = quote!(__kafka::serde::Deserialize<'de>);
        let bounds = bounds::join(schema, &bounds::of_serde(schema, Side::Read, &bound));
        let parameters = &schema.generics.params.iter().map(without_default).collect::<Vec<_>>();
        quote! {
            #[automatically_derived]
            impl<'de, #(#parameters),*> __kafka::serde::Deserialize<'de> for #name #arguments #bounds {
                fn deserialize<__D: __kafka::serde::Deserializer<'de>>(
                    __deserializer: __D,
                ) -> ::core::result::Result<Self, __D::Error> {
                    __Read #turbofish::deserialize(__deserializer)
                }
            }
        }
    });
    quote!(#write #read)
}

fn without_default(parameter: &syn::GenericParam) -> syn::GenericParam {
    let mut parameter = parameter.clone();
    match &mut parameter {
        syn::GenericParam::Type(ty) => ty.default = None,
        syn::GenericParam::Const(constant) => constant.default = None,
        syn::GenericParam::Lifetime(_) => {}
    }
    parameter
}
