//! The input, read and checked: what the generators work from.

use syn::{Data, DeriveInput, Fields, Generics, Ident, LitStr};

use crate::container::{Container, Format};
use crate::field::{Field, Role};
use crate::items::{Items, ON_VARIANT};
use crate::mistakes::Mistakes;

/// A struct or enum with its attributes.
pub(crate) struct Schema {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    pub(crate) container: Container,
    /// What the type says to serde itself; goes on to serde.
    pub(crate) serde: Vec<syn::Attribute>,
    pub(crate) shape: Shape,
}

/// What the type consists of.
pub(crate) enum Shape {
    /// With names or without.
    Struct { fields: Vec<Field>, named: bool },
    /// Of JSON only.
    Enum(Vec<Variant>),
}

/// One variant of an enum.
pub(crate) struct Variant {
    pub(crate) ident: Ident,
    pub(crate) rename: Option<LitStr>,
    pub(crate) skip: bool,
    pub(crate) serde: Vec<syn::Attribute>,
    pub(crate) fields: Vec<Field>,
    /// As written, for the shape of its fields.
    pub(crate) style: Fields,
}

impl Schema {
    /// Reads and checks the input; all mistakes are in the error.
    pub(crate) fn of(input: &DeriveInput) -> syn::Result<Schema> {
        let mut mistakes = Mistakes::default();
        let container = Container::of(input, &mut mistakes);
        for lifetime in input.generics.lifetimes() {
            let hint = "own the data: String for &str, Vec<u8> for &[u8]; while a record is decoded its bytes belong \
                        to the client, and the value outlives that";
            mistakes.add(lifetime, "a schema can't have lifetimes", hint);
        }
        let owner = (&input.ident, &input.generics);
        let shape = match &input.data {
            Data::Struct(data) => Shape::Struct {
                fields: fields(&data.fields, owner, &container, &mut mistakes),
                named: matches!(data.fields, Fields::Named(_)),
            },
            Data::Enum(data) => Shape::Enum(
                data.variants.iter().map(|variant| Variant::of(variant, owner, &container, &mut mistakes)).collect(),
            ),
            Data::Union(data) => {
                let hint = "use a struct, or an enum with a tag";
                mistakes.add(data.union_token, "a union can't be a schema", hint);
                return mistakes.into_result().map(|()| unreachable!("a mistake was just added"));
            }
        };
        let schema = Schema {
            ident: input.ident.clone(),
            generics: input.generics.clone(),
            container,
            serde: input.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")).cloned().collect(),
            shape,
        };
        crate::check::check(&schema, &mut mistakes);
        mistakes.into_result().map(|()| schema)
    }

    /// The fields with this kind of role.
    pub(crate) fn fields(&self) -> &[Field] {
        match &self.shape {
            Shape::Struct { fields, .. } => fields,
            Shape::Enum(_) => &[],
        }
    }

    /// Whether some fields are other parts of the record than the value.
    pub(crate) fn has_parts(&self) -> bool {
        self.fields().iter().any(|field| field.role.is_part())
    }

    /// The field that is the value by itself.
    pub(crate) fn whole(&self) -> Option<&Field> {
        self.fields().iter().find(|field| matches!(field.role, Role::Whole(_)))
    }

    /// The fields that the value consists of.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Field> {
        self.fields().iter().filter(|field| matches!(field.role, Role::Value))
    }

    /// Whether the value is JSON that serde reads and writes.
    pub(crate) fn is_json(&self) -> bool {
        self.container.format == Format::Json && self.whole().is_none()
    }
}

impl Variant {
    fn of(
        variant: &syn::Variant,
        owner: (&Ident, &Generics),
        container: &Container,
        mistakes: &mut Mistakes,
    ) -> Variant {
        let mut items = Items::of(&variant.attrs, mistakes);
        let made = Variant {
            ident: variant.ident.clone(),
            rename: items.text("rename", mistakes),
            skip: items.flag("skip", mistakes).is_some(),
            serde: variant.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")).cloned().collect(),
            fields: fields(&variant.fields, owner, container, mistakes),
            style: variant.fields.clone(),
        };
        items.finish("a variant", ON_VARIANT, mistakes);
        made
    }
}

fn fields(fields: &Fields, owner: (&Ident, &Generics), container: &Container, mistakes: &mut Mistakes) -> Vec<Field> {
    fields.iter().enumerate().map(|(index, field)| Field::of(field, index, owner, container, mistakes)).collect()
}
