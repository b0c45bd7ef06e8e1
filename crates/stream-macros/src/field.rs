//! What is said about one field, and whether its type fits.

use syn::ext::IdentExt;
use syn::{ExprPath, Generics, Ident, LitStr, Member, Type};

use crate::container::{Container, Direction, Format};
use crate::items::{Items, ON_FIELD};
use crate::mistakes::{Mistakes, list};
use crate::types;

/// Where a field comes from and goes to.
#[derive(Clone)]
pub(crate) enum Role {
    /// A part of the value.
    Value,
    /// The value itself, by its own format.
    Whole(Ident),
    /// The record's key.
    Key(Ident),
    /// The header of this name.
    Header(LitStr),
    /// The headers without a field of their own.
    Headers(Ident),
    /// The record's timestamp.
    Timestamp(Ident),
    /// The partition.
    Partition(Ident),
    /// The offset; not written.
    Offset(Ident),
    /// The topic; not written.
    Topic(Ident),
    /// Neither read nor written.
    Skip(Ident),
}

impl Role {
    /// Its word in the attribute.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Role::Value | Role::Whole(_) => "value",
            Role::Key(_) => "key",
            Role::Header(_) => "header",
            Role::Headers(_) => "headers",
            Role::Timestamp(_) => "timestamp",
            Role::Partition(_) => "partition",
            Role::Offset(_) => "offset",
            Role::Topic(_) => "topic",
            Role::Skip(_) => "skip",
        }
    }

    /// Whether it is another part of the record than the value.
    pub(crate) fn is_part(&self) -> bool {
        !matches!(self, Role::Value | Role::Whole(_) | Role::Skip(_))
    }

    /// The token that gave the role.
    pub(crate) fn token(&self) -> Option<&dyn quote::ToTokens> {
        match self {
            Role::Value => None,
            Role::Header(name) => Some(name),
            Role::Whole(word)
            | Role::Key(word)
            | Role::Headers(word)
            | Role::Timestamp(word)
            | Role::Partition(word)
            | Role::Offset(word)
            | Role::Topic(word)
            | Role::Skip(word) => Some(word),
        }
    }
}

/// What a field is when the record has nothing for it.
#[derive(Clone)]
pub(crate) enum Fallback {
    /// `Default::default()`.
    Default,
    /// What the function returns.
    Function(LitStr, ExprPath),
}

/// The checked attributes of a field.
pub(crate) struct Field {
    pub(crate) member: Member,
    /// With `Self` replaced.
    pub(crate) ty: Type,
    pub(crate) role: Role,
    pub(crate) rename: Option<LitStr>,
    pub(crate) fallback: Option<Fallback>,
    pub(crate) flatten: Option<Ident>,
    /// What the field says to serde itself; goes on to serde.
    pub(crate) serde: Vec<syn::Attribute>,
}

impl Field {
    /// Reads the attributes of the field at `index`.
    pub(crate) fn of(
        field: &syn::Field,
        index: usize,
        owner: (&Ident, &Generics),
        container: &Container,
        mistakes: &mut Mistakes,
    ) -> Field {
        let mut items = Items::of(&field.attrs, mistakes);
        let mut ty = field.ty.clone();
        types::replace_self(&mut ty, owner.0, owner.1);
        let made = Field {
            member: field.ident.clone().map_or_else(|| Member::from(index), Member::Named),
            role: role(&mut items, mistakes),
            rename: items.text("rename", mistakes),
            fallback: fallback(&mut items, mistakes),
            flatten: items.flag("flatten", mistakes),
            serde: field.attrs.iter().filter(|attribute| attribute.path().is_ident("serde")).cloned().collect(),
            ty,
        };
        items.finish("a field", ON_FIELD, mistakes);
        made.check_words(container, mistakes);
        made.check_type(container, mistakes);
        made
    }

    /// Its name, as written.
    pub(crate) fn name(&self) -> String {
        match &self.member {
            Member::Named(name) => name.unraw().to_string(),
            Member::Unnamed(index) => index.index.to_string(),
        }
    }

    /// Its name in the value.
    pub(crate) fn outer_name(&self, rule: Option<crate::rename::Rule>) -> String {
        match (&self.rename, rule) {
            (Some(rename), _) => rename.value(),
            (None, Some(rule)) => rule.field(&self.name()),
            (None, None) => self.name(),
        }
    }

    fn check_words(&self, container: &Container, mistakes: &mut Mistakes) {
        let role = &self.role;
        if let Some(rename) = self.rename.as_ref().filter(|_| !matches!(role, Role::Value)) {
            let hint = match role {
                Role::Header(_) => "the header's name is in `header = \"…\"`; remove `rename`",
                _ => "remove `rename`",
            };
            mistakes.add(rename, format!("a field marked `{}` has no name in the value", role.word()), hint);
        }
        if let Some(rename) = self.rename.as_ref().filter(|_| matches!(container.format, Format::Text | Format::Bytes))
        {
            let message = format!("format = {:?} has no names", container.format.name());
            mistakes.add(rename, message, "remove `rename`");
        }
        if let Some(flatten) = &self.flatten {
            if container.format != Format::Json || !matches!(role, Role::Value) {
                mistakes.add(flatten, "`flatten` is for JSON objects inside the value", "remove it");
            }
            if let Some(deny) = container.deny_unknown_fields.as_ref().filter(|_| container.format == Format::Json) {
                let hint = "remove one of them: what is unknown here may belong to the flattened field";
                mistakes.add(deny, "`deny_unknown_fields` does not go with `flatten`", hint);
            }
            if let Some(rename) = &self.rename {
                mistakes.add(rename, "a flattened field has no name of its own", "remove `rename`");
            }
        }
        if let Role::Skip(word) = role
            && self.fallback.is_none()
            && container.direction.reads()
        {
            let hint = "add `default` or `default = \"function\"`: a decoded value needs something there";
            mistakes.add(word, "`skip` without `default`", hint);
        }
        if let (Some(token), Direction::Write, Role::Offset(_) | Role::Topic(_)) =
            (role.token(), container.direction, role)
        {
            let message = format!("`{}` is not written", role.word());
            let hint = "remove it: offset and topic are only known of records that were read";
            mistakes.add(token, message, hint);
        }
        if self.fallback.is_some() && matches!(role, Role::Offset(_) | Role::Topic(_) | Role::Partition(_)) {
            let message = format!("every record has a {}, so there is nothing to default", role.word());
            mistakes.add(role.token().map(|token| token.to_token_stream()), message, "remove `default`");
        }
    }

    /// Refuses what surely can't work. What may work is left to the compiler, which knows the types.
    fn check_type(&self, container: &Container, mistakes: &mut Mistakes) {
        let written = types::written(&self.ty);
        if let Some(reference) = types::reference(&self.ty).filter(|_| container.direction.reads()) {
            let hint = "own the data: String for &str, Vec<u8> for &[u8]";
            mistakes.add(reference, "a decoded value can't borrow, because it outlives the record", hint);
            return;
        }
        let inner = types::without_option(&self.ty);
        let mut refuse = |allowed: &str| {
            mistakes.add(&self.ty, format!("a field marked `{}` can't be `{written}`", self.role.word()), allowed);
        };
        match &self.role {
            Role::Key(_) | Role::Header(_) if !types::is_bytes(inner) && types::is_no_text(inner) => {
                refuse("use String, Vec<u8>, a number, another type with FromStr and Display, or an Option of these");
            }
            Role::Timestamp(_) if surely_not(inner, &["i64", "Timestamp"]) => {
                refuse("use i64 (milliseconds since 1970), Timestamp, or an Option of these");
            }
            Role::Partition(_) if surely_not(inner, &["i32"]) => refuse("use i32 or Option<i32>"),
            Role::Offset(_) if surely_not(&self.ty, &["i64"]) => refuse("use i64"),
            Role::Topic(_) if surely_not(&self.ty, &["String", "Topic"]) => refuse("use String or Topic"),
            Role::Headers(_) if surely_not(&self.ty, &["Headers"]) => refuse("use Headers"),
            Role::Value => self.check_value_type(inner, container, mistakes),
            _ => {}
        }
    }

    fn check_value_type(&self, inner: &Type, container: &Container, mistakes: &mut Mistakes) {
        let written = types::written(&self.ty);
        match container.format {
            Format::Csv if types::is_no_text(inner) => {
                let hint = "a column is text, a number, another type with FromStr and Display, or an Option of these; \
                            for nested values choose format = \"json\"";
                mistakes.add(&self.ty, format!("`{written}` is no column of CSV"), hint);
            }
            Format::Text if types::is_no_text(inner) => {
                let hint = match types::is_bytes(inner) {
                    true => "for bytes choose format = \"bytes\"",
                    false => "use String or another type with FromStr and Display",
                };
                mistakes.add(&self.ty, format!("`{written}` is not one text"), hint);
            }
            Format::Bytes if types::is(inner, NOT_BYTES) => {
                let hint = "use Vec<u8>, or choose format = \"string\"";
                mistakes.add(&self.ty, format!("`{written}` is not bytes"), hint);
            }
            _ => {}
        }
    }
}

const NUMBERS: &[&str] =
    &["u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32", "f64"];

const NOT_BYTES: &[&str] =
    &["String", "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "f32", "f64"];

/// Whether it is a well-known type, and not one of these: a name that is not known may be an alias.
fn surely_not(ty: &Type, allowed: &[&str]) -> bool {
    let known = types::is_no_text(ty) || types::is(ty, NUMBERS) || types::is(ty, &["String", "bool", "char"]);
    known && !types::is(ty, allowed)
}

fn role(items: &mut Items, mistakes: &mut Mistakes) -> Role {
    let mut roles: Vec<Role> = Vec::new();
    let mut flag = |name, make: fn(Ident) -> Role, mistakes: &mut Mistakes| {
        items.flag(name, mistakes).map(make).into_iter().for_each(|role| roles.push(role));
    };
    flag("key", Role::Key, mistakes);
    flag("timestamp", Role::Timestamp, mistakes);
    flag("partition", Role::Partition, mistakes);
    flag("offset", Role::Offset, mistakes);
    flag("topic", Role::Topic, mistakes);
    flag("headers", Role::Headers, mistakes);
    flag("value", Role::Whole, mistakes);
    flag("skip", Role::Skip, mistakes);
    if let Some((word, name)) = items.flag_or_text("header", mistakes) {
        match name {
            Some(name) if name.value().is_empty() => {
                mistakes.add(&name, "a header needs a name", "write header = \"name\"");
            }
            Some(name) => roles.push(Role::Header(name)),
            None => mistakes.add(&word, "a header needs a name", "write header = \"name\""),
        }
    }
    let mut roles = roles.into_iter();
    let first = roles.next().unwrap_or(Role::Value);
    for other in roles {
        let words = list(&[first.word(), other.word()]);
        let hint = "a field has one place in the record: choose one";
        mistakes.add(other.token().map(|token| token.to_token_stream()), format!("{words} on one field"), hint);
    }
    first
}

fn fallback(items: &mut Items, mistakes: &mut Mistakes) -> Option<Fallback> {
    let (_, function) = items.flag_or_text("default", mistakes)?;
    let Some(text) = function else { return Some(Fallback::Default) };
    match text.parse::<ExprPath>() {
        Ok(path) => Some(Fallback::Function(text, path)),
        Err(_) => {
            let message = format!("`{}` is not the path of a function", text.value());
            mistakes.add_error(syn::Error::new(
                text.span(),
                format!("{message}; hint: write `default` for Default::default(), or default = \"a_function\""),
            ));
            Some(Fallback::Default)
        }
    }
}
