//! Java's (de)serializer classes: the known ones name a codec, the others cannot run here.

use super::refuse::simple_name;
use crate::keys::Role;
use crate::keys::draft::Draft;
use crate::keys::engine::Codec;

/// Reads the two keys of the role.
pub(super) fn run(draft: &mut Draft) {
    let word = match draft.role {
        Role::Source => "deserializer",
        Role::Sink => "serializer",
    };
    draft.engine.key_codec = read(draft, &format!("key.{word}"), word);
    draft.engine.value_codec = read(draft, &format!("value.{word}"), word);
}

fn read(draft: &mut Draft, key: &str, word: &str) -> Option<Codec> {
    let given = draft.get(key)?;
    let key = &given.key;
    let class = given.value.as_str();
    if let Some(codec) = codec(class, word) {
        return Some(codec);
    }
    let opposite = if word == "serializer" { "deserializer" } else { "serializer" };
    match codec(class, opposite) {
        Some(_) => {
            let message = format!("`{class}` under `{key}` is a {opposite}");
            draft.refuse(key, message, format!("name the {word} of the same kind, or remove the line"));
        }
        None => {
            let message = format!("`{class}` under `{key}` is a Java class and cannot run here");
            draft.refuse(
                key,
                message,
                "derive the schema with #[derive(KafkaSchema)], or give the source or sink a schema of your own",
            );
        }
    }
    None
}

fn codec(class: &str, word: &str) -> Option<Codec> {
    let name = simple_name(class);
    let package = class.strip_suffix(name)?;
    let ending = if word == "serializer" { "Serializer" } else { "Deserializer" };
    let stem = name.strip_suffix(ending)?;
    let (_, _, codec) = CODECS.iter().find(|(known, home, _)| {
        *known == stem && (package.is_empty() || package == *home || package.ends_with(&format!(".{home}")))
    })?;
    Some(*codec)
}

const KAFKA: &str = "org.apache.kafka.common.serialization.";
const CONFLUENT: &str = "io.confluent.kafka.serializers.";

/// Class name without its ending, home package (perhaps shaded under another), codec.
const CODECS: &[(&str, &str, Codec)] = &[
    ("String", KAFKA, Codec::String),
    ("ByteArray", KAFKA, Codec::Bytes),
    ("Bytes", KAFKA, Codec::Bytes),
    ("ByteBuffer", KAFKA, Codec::Bytes),
    ("Short", KAFKA, Codec::Short),
    ("Integer", KAFKA, Codec::Integer),
    ("Long", KAFKA, Codec::Long),
    ("Float", KAFKA, Codec::Float),
    ("Double", KAFKA, Codec::Double),
    ("UUID", KAFKA, Codec::Uuid),
    ("Boolean", KAFKA, Codec::Boolean),
    ("Void", KAFKA, Codec::Void),
    ("Json", "org.springframework.kafka.support.serializer.", Codec::Json),
    ("Json", "org.apache.kafka.connect.json.", Codec::Json),
    ("KafkaJson", CONFLUENT, Codec::Json),
    ("KafkaAvro", CONFLUENT, Codec::Avro),
    ("KafkaProtobuf", "io.confluent.kafka.serializers.protobuf.", Codec::Protobuf),
    ("KafkaJsonSchema", "io.confluent.kafka.serializers.json.", Codec::JsonSchema),
];
