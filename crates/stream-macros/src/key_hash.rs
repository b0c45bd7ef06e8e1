//! `#[derive(KeyHash)]`: the fields' hashes one after another, an enum's variant by its name before them.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Path, Result, parse_quote};

pub(crate) fn implementation(input: &DeriveInput) -> Result<TokenStream> {
    let stream_core = stream_core(input)?;
    let body = match &input.data {
        Data::Struct(data) => {
            let (pattern, feeds) = fields(&data.fields, &stream_core);
            quote! { let Self #pattern = self; #feeds }
        }
        Data::Enum(data) if data.variants.is_empty() => quote! { match *self {} },
        Data::Enum(data) => {
            let arms = data.variants.iter().map(|variant| {
                let (name, text) = (&variant.ident, variant.ident.to_string());
                let (pattern, feeds) = fields(&variant.fields, &stream_core);
                // By name, so that variants may be added and put in another order.
                quote! { Self::#name #pattern => { #stream_core::KeyHasher::bytes(hasher, #text.as_bytes()); #feeds } }
            });
            quote! { match self { #(#arms)* } }
        }
        Data::Union(_) => {
            let message = "a union can't be a key: nobody knows which of its fields is set\nhelp: use an enum";
            return Err(syn::Error::new_spanned(input, message));
        }
    };
    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#stream_core::KeyHash));
    }
    let (name, (impl_generics, type_generics, bounds)) = (&input.ident, generics.split_for_impl());
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #stream_core::KeyHash for #name #type_generics #bounds {
            fn feed(&self, hasher: &mut #stream_core::KeyHasher) {
                #body
            }
        }
    })
}

/// A pattern that names all fields, and the statements that feed them. A field without a hash is blamed on its type.
fn fields(fields: &Fields, stream_core: &Path) -> (TokenStream, TokenStream) {
    let names: Vec<_> = fields.iter().enumerate().map(|(index, _)| format_ident!("field_{index}")).collect();
    let feeds = fields.iter().zip(&names).map(|(field, name)| {
        let (span, ty) = (field.ty.span(), &field.ty);
        quote_spanned! { span => <#ty as #stream_core::KeyHash>::feed(#name, hasher); }
    });
    let pattern = match fields {
        Fields::Named(named) => {
            let given = named.named.iter().map(|field| &field.ident);
            quote! { { #(#given: #names),* } }
        }
        Fields::Unnamed(_) => quote! { ( #(#names),* ) },
        Fields::Unit => TokenStream::new(),
    };
    (pattern, quote! { #(#feeds)* })
}

/// Where stream-core is: `::stream_core`, or what `#[key_hash(crate = "path")]` says.
fn stream_core(input: &DeriveInput) -> Result<Path> {
    let mut path = parse_quote!(::stream_core);
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("key_hash")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                let message = "unknown attribute\nhelp: there is only `crate = \"path\"`";
                return Err(syn::Error::new_spanned(&meta.path, message));
            }
            path = meta.value()?.parse::<syn::LitStr>()?.parse()?;
            Ok(())
        })?;
    }
    Ok(path)
}
