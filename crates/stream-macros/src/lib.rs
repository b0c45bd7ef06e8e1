//! `#[derive(KafkaSchema)]`: how a type of yours is read from Kafka records and written to them;
//! `#[derive(KeyHash)]`: how it is a key.
//!
//! Use the first as `stream_kafka::KafkaSchema`; there are a runnable example and the rules for every format. This crate
//! depends on none of ours: what it generates names `::stream_kafka`, or what `#[kafka(crate = "path")]` says.
//!
//! From input to output: `items` reads the attributes, `container` and `field` give them a meaning, `check`
//! looks at what does not go together, all mistakes go into one list (`mistakes`), and `generate` writes the code.

mod check;
mod container;
mod field;
mod generate;
mod items;
mod key_hash;
mod mistakes;
mod rename;
mod schema;
mod types;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `FromKafka` and `ToKafka`, so that `KafkaSource::<T>::new` and `KafkaSink::new` need no schema.
///
/// # On the struct or enum: `#[kafka(…)]`
///
/// | Attribute | Meaning | Default |
/// |---|---|---|
/// | `format = "json"` | `json`, `csv`, `string` or `bytes` | `json` |
/// | `topic = "users"` | the topic when neither the configuration nor the code names one | none |
/// | `rename_all = "camelCase"` | names in the value; serde's eight rules | as in Rust |
/// | `rename_all_fields = "camelCase"` | the same for the fields of an enum's variants | as in Rust |
/// | `deny_unknown_fields` | JSON: a field that is not known is an error | ignored |
/// | `tag = "type"`, `content = "data"` | JSON enums: the field that names the variant, the field that holds its data | |
/// | `delimiter = ";"` | CSV: one ASCII character | `,` |
/// | `nested` | JSON: serde's traits too, for a type used inside others | |
/// | `only = "read"`, `only = "write"` | one of the two traits | both |
/// | `crate = "path"` | where stream-kafka is | `::stream_kafka` |
///
/// # On a field
///
/// | Attribute | Meaning | Types |
/// |---|---|---|
/// | `key` | the record's key | text or bytes |
/// | `header = "name"` | the last header of that name | text or bytes |
/// | `headers` | the headers that have no field of their own | `Headers` |
/// | `timestamp` | the record's timestamp | `i64` in milliseconds, `Timestamp` |
/// | `partition` | the partition: where it came from, and where it is written | `i32` |
/// | `offset`, `topic` | where it came from; not written | `i64`; `String`, `Topic` |
/// | `value` | the whole value by its own format; `Option` for tombstones | any with a format |
/// | `rename = "name"` | its name in the value | |
/// | `default`, `default = "function"` | what it is when the record has nothing for it | |
/// | `skip` | neither read nor written; needs a `default` | |
/// | `flatten` | JSON: the fields of the field's value | |
///
/// *Text* is `String` or any type with `FromStr` and `Display`: numbers are written in digits. *Bytes* are `Vec<u8>`.
/// All parts may be an `Option`: `None` when the key is null or the header is missing, and nothing is written then.
/// Fields with such an attribute are no part of the value.
#[proc_macro_derive(KafkaSchema, attributes(kafka, serde))]
pub fn kafka_schema(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    let generated = schema::Schema::of(&input).map(|schema| generate::implementations(&schema));
    generated.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Implements `KeyHash`, so that a stream can be keyed by the type: the hashes of its fields in their order, for an enum
/// the name of the variant before them.
///
/// What is part of a key's hash is part of every checkpoint: fields that are added, removed or put in another order give
/// other hashes, and so do variants with another name. Types and names of fields may change.
///
/// `#[key_hash(crate = "path")]` says where stream-core is, if not at `::stream_core`.
///
/// # Errors
/// A field whose type has no stable hash (floating point numbers, maps) does not compile.
#[proc_macro_derive(KeyHash, attributes(key_hash))]
pub fn key_hash(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    key_hash::implementation(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
