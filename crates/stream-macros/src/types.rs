//! What can be told from a type as it is written: a macro sees words, not types.
//!
//! A type alias therefore hides what stands behind it; such a field is taken for one that reads and writes itself as
//! text, and the compiler says so if it does not.

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{GenericArgument, Generics, Ident, PathArguments, PathSegment, Type, TypePath, TypeReference};

/// The type without the parentheses and invisible groups around it.
fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Paren(inner) => bare(&inner.elem),
        Type::Group(inner) => bare(&inner.elem),
        other => other,
    }
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match bare(ty) {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        _ => None,
    }
}

fn only_argument(segment: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(ty)) if arguments.args.len() == 1 => Some(ty),
        _ => None,
    }
}

/// `T` of an `Option<T>`.
pub(crate) fn option_inner(ty: &Type) -> Option<&Type> {
    last_segment(ty).filter(|segment| segment.ident == "Option").and_then(only_argument)
}

/// The type, or what its `Option` holds.
pub(crate) fn without_option(ty: &Type) -> &Type {
    option_inner(ty).unwrap_or(ty)
}

/// Whether it is `Vec<u8>`.
pub(crate) fn is_bytes(ty: &Type) -> bool {
    last_segment(ty)
        .is_some_and(|segment| segment.ident == "Vec" && only_argument(segment).is_some_and(|ty| is(ty, &["u8"])))
}

/// Whether it is one of these names, behind any path.
pub(crate) fn is(ty: &Type, names: &[&str]) -> bool {
    last_segment(ty).is_some_and(|segment| names.iter().any(|name| segment.ident == name))
}

/// The type as a person would write it.
pub(crate) fn written(ty: &Type) -> String {
    let mut text = ty.to_token_stream().to_string();
    for (spaced, tight) in
        [(" < ", "<"), (" >", ">"), (" ,", ","), (" :: ", "::"), ("< ", "<"), ("& ", "&"), (" ;", ";")]
    {
        text = text.replace(spaced, tight);
    }
    text
}

/// Whether a value of this type surely can't be written as one text.
pub(crate) fn is_no_text(ty: &Type) -> bool {
    const CONTAINERS: &[&str] =
        &["Vec", "VecDeque", "HashMap", "BTreeMap", "HashSet", "BTreeSet", "Box", "Rc", "Arc", "Option", "PhantomData"];
    match bare(ty) {
        Type::Path(_) => is(ty, CONTAINERS),
        Type::Macro(_) | Type::Verbatim(_) => false,
        _ => true,
    }
}

/// The first reference inside the type.
pub(crate) fn reference(ty: &Type) -> Option<&TypeReference> {
    struct Finder<'a>(Option<&'a TypeReference>);
    impl<'a> Visit<'a> for Finder<'a> {
        fn visit_type_reference(&mut self, reference: &'a TypeReference) {
            self.0.get_or_insert(reference);
        }
        // What a function type borrows is not stored.
        fn visit_type_fn_ptr(&mut self, _: &'a syn::TypeFnPtr) {}
    }
    let mut finder = Finder(None);
    finder.visit_type(ty);
    finder.0
}

/// What of the type parameters a type uses: the parameters themselves, and types they name (`T::Item`).
#[derive(Default)]
pub(crate) struct Used {
    pub(crate) parameters: Vec<Ident>,
    pub(crate) associated: Vec<TypePath>,
}

impl Used {
    /// What the types use; what only a `PhantomData` names does not count.
    pub(crate) fn of<'t>(types: impl IntoIterator<Item = &'t Type>, generics: &Generics) -> Used {
        let mut finder = UsedFinder { generics, used: Used::default() };
        types.into_iter().for_each(|ty| finder.visit_type(ty));
        finder.used
    }

    /// Whether nothing is used.
    pub(crate) fn is_empty(&self) -> bool {
        self.parameters.is_empty() && self.associated.is_empty()
    }
}

struct UsedFinder<'g> {
    generics: &'g Generics,
    used: Used,
}

impl<'a> Visit<'a> for UsedFinder<'_> {
    fn visit_type_path(&mut self, path: &'a TypePath) {
        if path.path.segments.last().is_some_and(|segment| segment.ident == "PhantomData") {
            return;
        }
        let first = path.path.segments.first().filter(|_| path.qself.is_none() && path.path.leading_colon.is_none());
        let parameter = first.filter(|first| self.generics.type_params().any(|p| p.ident == first.ident));
        match parameter {
            Some(parameter) if path.path.segments.len() == 1 => {
                if !self.used.parameters.contains(&parameter.ident) {
                    self.used.parameters.push(parameter.ident.clone());
                }
            }
            Some(_) => {
                let known = self
                    .used
                    .associated
                    .iter()
                    .any(|known| known.to_token_stream().to_string() == path.to_token_stream().to_string());
                if !known {
                    self.used.associated.push(path.clone());
                }
            }
            None => visit::visit_type_path(self, path),
        }
    }
}

/// Replaces `Self`, which inside a generated type would mean that type.
pub(crate) fn replace_self(ty: &mut Type, name: &Ident, generics: &Generics) {
    struct Replace<'a>(&'a Ident, &'a Generics);
    impl VisitMut for Replace<'_> {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            if let Type::Path(path) = ty
                && path.qself.is_none()
                && path.path.is_ident("Self")
            {
                let (_, arguments, _) = self.1.split_for_impl();
                let name = self.0;
                *ty = syn::parse_quote!(#name #arguments);
            } else {
                visit_mut::visit_type_mut(self, ty);
            }
        }
    }
    Replace(name, generics).visit_type_mut(ty);
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    #[test]
    fn types_are_told_apart_as_written() {
        assert!(is_bytes(&parse_quote!(std::vec::Vec<u8>)));
        assert!(!is_bytes(&parse_quote!(Vec<u16>)));
        let optional: Type = parse_quote!(core::option::Option<Vec<u8>>);
        assert!(option_inner(&optional).is_some_and(is_bytes));
        assert!(is_no_text(&parse_quote!((u8, u8))) && is_no_text(&parse_quote!(Vec<String>)));
        assert!(!is_no_text(&parse_quote!(uuid::Uuid)));
        assert_eq!(written(&parse_quote!(Vec<(u8, std::net::IpAddr)>)), "Vec<(u8, std::net::IpAddr)>");
    }

    #[test]
    fn parameters_are_found_where_they_are_used() {
        let generics: Generics = parse_quote!(<T, U, I>);
        let types: [Type; 3] = [parse_quote!(Vec<Option<T>>), parse_quote!(PhantomData<U>), parse_quote!(I::Item)];
        let used = Used::of(&types, &generics);
        assert_eq!(used.parameters, ["T"]);
        assert_eq!(used.associated.len(), 1);
    }

    #[test]
    fn self_becomes_the_type() {
        let generics: Generics = parse_quote!(<T: Clone>);
        let mut ty: Type = parse_quote!(Vec<Box<Self>>);
        replace_self(&mut ty, &parse_quote!(Node), &generics);
        assert_eq!(written(&ty), "Vec<Box<Node<T>>>");
    }
}
