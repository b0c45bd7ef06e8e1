//! `dlq replay`: brings dead letters back to the topics they came from, exactly once, so that a mended job reads them.
//!
//! A job of its own: it reads the dead-letter topic from where the last replay ended to what is its end now, and writes
//! in transactions. What is still bad becomes a dead letter again, behind that end.

use std::collections::BTreeMap;

use stream_core::{Result, SideJob, StreamingContext};

use super::KafkaSource;
use super::start::OffsetsInitializer;
use crate::keys::{self, Role};
use crate::record::{Headers, KafkaRecord, RawRecord, Topic};
use crate::schema::{KafkaDeserializationSchema, ProducerRecord, SchemaError, SerializationSchema};
use crate::sink::KafkaSink;

/// What the command line calls it.
pub(super) const KIND: &str = "dlq replay";

/// What a dead letter was before.
struct Letter {
    topic: Topic,
    partition: i32,
    record: KafkaRecord<Option<Vec<u8>>>,
}

/// The side job for the dead letters of one source, with these properties of the client.
pub(super) fn side_job(source: &str, client: BTreeMap<String, String>, dead_letters: String) -> SideJob {
    SideJob::new(KIND, source, move |ctx| describe(ctx, &client, &dead_letters))
}

fn describe(ctx: &StreamingContext, client: &BTreeMap<String, String>, dead_letters: &str) -> Result<()> {
    let shared = |key: &str| keys::is_property_of(Role::Sink, key) && keys::is_property_of(Role::Source, key);
    let shared: Vec<(&String, &String)> = client.iter().filter(|(key, _)| shared(key)).collect();
    let source =
        shared.iter().fold(KafkaSource::<Letter>::new(ctx), |source, (key, value)| source.property(*key, *value));
    let letters = source
        .property("isolation.level", "read_committed")
        .topic(dead_letters)
        .starting_offsets(OffsetsInitializer::Earliest)
        .bounded()
        .deserializer(Letters)
        .values()
        .name("dead letters")
        .uid("dead-letters");
    let sink = shared.iter().fold(KafkaSink::new(ctx), |sink, (key, value)| sink.property(*key, *value));
    sink.property("semantic", "EXACTLY_ONCE")
        .property("max.request.size", "1000000000")
        .topic(dead_letters)
        .serializer(Originals)
        .sink(letters)
        .name("where they came from")
        .uid("replay");
    Ok(())
}

/// Reads dead letters of either format.
#[derive(Clone)]
struct Letters;

const PREFIXES: [&str; 2] = ["__streams.errors.", "__connect.errors."];

fn find<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    // A record may have been a dead letter before: the last time counts.
    let found = PREFIXES.iter().find_map(|prefix| headers.last(&format!("{prefix}{name}")));
    found.and_then(|value| std::str::from_utf8(value).ok())
}

impl KafkaDeserializationSchema<Letter> for Letters {
    fn deserialize(&mut self, raw: &RawRecord<'_>, out: &mut Vec<Letter>) -> Result<(), SchemaError> {
        let record = KafkaRecord::new(raw, raw.value().map(<[u8]>::to_vec));
        let topic = find(&record.headers, "topic").ok_or_else(|| SchemaError::new("it is no dead letter: no topic"))?;
        let partition = find(&record.headers, "partition").and_then(|partition| partition.parse().ok());
        let partition = partition.ok_or_else(|| SchemaError::new("it is no dead letter: no partition"))?;
        out.push(Letter { topic: Topic::new(topic), partition, record });
        Ok(())
    }
}

/// Writes the record as it was.
#[derive(Clone)]
struct Originals;

impl SerializationSchema<Letter> for Originals {
    fn serialize(&mut self, letter: &Letter, out: &mut ProducerRecord) -> Result<(), SchemaError> {
        let record = &letter.record;
        if let Some(value) = &record.value {
            out.set_value(value);
        }
        if let Some(key) = &record.key {
            out.set_key(key);
        }
        for (name, value) in record.headers.iter() {
            if !PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
                out.add_header(name, value);
            }
        }
        out.set_timestamp(record.timestamp);
        out.set_topic(letter.topic);
        out.set_partition(letter.partition);
        Ok(())
    }
}
