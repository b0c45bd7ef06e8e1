//! What stands in `#[kafka(…)]`: words, some with a text. Each is taken by name, and what nobody takes is a mistake.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitStr, Token, parenthesized, token};

use crate::mistakes::{Mistakes, suggest};

/// Words that stand on a struct or enum.
pub(crate) const ON_CONTAINER: &[&str] = &[
    "format",
    "rename_all",
    "rename_all_fields",
    "topic",
    "delimiter",
    "deny_unknown_fields",
    "tag",
    "content",
    "nested",
    "only",
    "crate",
];

/// Words that stand on a field.
pub(crate) const ON_FIELD: &[&str] = &[
    "key",
    "value",
    "header",
    "headers",
    "timestamp",
    "partition",
    "offset",
    "topic",
    "rename",
    "default",
    "skip",
    "flatten",
];

/// Words that stand on a variant of an enum.
pub(crate) const ON_VARIANT: &[&str] = &["rename", "skip"];

/// One word of an attribute, with what was given to it.
struct Item {
    name: Ident,
    given: Given,
}

enum Given {
    Nothing,
    Text(LitStr),
    Other(TokenStream),
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Item> {
        let name = input.call(Ident::parse_any)?;
        let given = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            match input.parse::<Expr>()? {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Given::Text(text),
                other => Given::Other(other.into_token_stream()),
            }
        } else if input.peek(token::Paren) {
            let inside;
            parenthesized!(inside in input);
            let tokens: TokenStream = inside.parse()?;
            Given::Other(if tokens.is_empty() { name.to_token_stream() } else { tokens })
        } else {
            Given::Nothing
        };
        Ok(Item { name, given })
    }
}

impl Item {
    fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

/// The words on one container, field or variant, from all its `#[kafka(…)]`.
pub(crate) struct Items(Vec<Item>);

impl Items {
    /// Reads the attributes; a word given twice is a mistake.
    pub(crate) fn of(attributes: &[Attribute], mistakes: &mut Mistakes) -> Items {
        let mut items: Vec<Item> = Vec::new();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("kafka")) {
            match attribute.parse_args_with(Punctuated::<Item, Token![,]>::parse_terminated) {
                Ok(parsed) => items.extend(parsed),
                Err(error) => {
                    let hint = "write #[kafka(word, word = \"text\")]";
                    mistakes.add_error(syn::Error::new(error.span(), format!("{error}; hint: {hint}")));
                }
            }
        }
        let mut kept: Vec<Item> = Vec::new();
        for item in items {
            if kept.iter().any(|known| known.name == item.name) {
                mistakes.add(&item.name, format!("`{}` is given twice", item.name), "remove one of them");
            } else {
                kept.push(item);
            }
        }
        Items(kept)
    }

    fn take(&mut self, name: &str) -> Option<Item> {
        let index = self.0.iter().position(|item| item.is(name))?;
        Some(self.0.remove(index))
    }

    /// Takes a word that stands alone.
    pub(crate) fn flag(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<Ident> {
        let item = self.take(name)?;
        if !matches!(item.given, Given::Nothing) {
            let hint = format!("write `{name}` alone");
            mistakes.add(given(&item), format!("`{name}` takes nothing here"), hint);
        }
        Some(item.name)
    }

    /// Takes a word that needs a text.
    pub(crate) fn text(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<LitStr> {
        let item = self.take(name)?;
        match &item.given {
            Given::Text(text) => return Some(text.clone()),
            Given::Nothing => {
                mistakes.add(&item.name, format!("`{name}` needs a text"), format!("write `{name} = \"…\"`"));
            }
            Given::Other(_) => {
                mistakes.add(given(&item), format!("`{name}` needs a text"), format!("write `{name} = \"…\"`"));
            }
        }
        None
    }

    /// Takes a word that may stand alone or have a text.
    pub(crate) fn flag_or_text(&mut self, name: &str, mistakes: &mut Mistakes) -> Option<(Ident, Option<LitStr>)> {
        let item = self.take(name)?;
        match item.given {
            Given::Nothing => Some((item.name, None)),
            Given::Text(text) => Some((item.name, Some(text))),
            Given::Other(other) => {
                let hint = format!("write `{name}` or `{name} = \"…\"`");
                mistakes.add(other, format!("`{name}` takes nothing but a text"), hint);
                None
            }
        }
    }

    /// What was not taken is unknown; `place` is what the words stand on.
    pub(crate) fn finish(self, place: &str, known: &[&str], mistakes: &mut Mistakes) {
        for item in self.0 {
            let name = item.name.to_string();
            let belongs = [(ON_CONTAINER, "the struct or enum"), (ON_FIELD, "a field"), (ON_VARIANT, "a variant")];
            let hint = match belongs.iter().find(|(words, _)| words.contains(&name.as_str())) {
                Some((_, elsewhere)) => format!("`{name}` stands on {elsewhere}"),
                None => suggest(&name, known),
            };
            mistakes.add(&item.name, format!("unknown attribute `{name}` on {place}"), hint);
        }
    }
}

/// The tokens to point at when what was given is wrong.
fn given(item: &Item) -> TokenStream {
    match &item.given {
        Given::Nothing => item.name.to_token_stream(),
        Given::Text(text) => text.to_token_stream(),
        Given::Other(other) => other.clone(),
    }
}
