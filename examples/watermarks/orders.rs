//! The orders that the three samples read: from the topic that is configured, or else from a broker inside the process,
//! which gets two minutes of them first.

use stream_core::{Configuration, Result, StreamingContext};
use stream_kafka::{KafkaSchema, KafkaSink, KafkaSource};

/// The user of StreamPark's page on its Kafka connector.
#[derive(KafkaSchema)]
#[kafka(rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) age: u32,
    pub(crate) gender: u8,
    pub(crate) address: String,
    /// When the user ordered, in milliseconds since 1970.
    pub(crate) order_time: i64,
}

/// 2026-01-01 10:00 UTC.
const TEN: i64 = 1_767_261_600_000;

/// An order every five seconds, in the second half of each minute up to thirty seconds late; the last one of each minute
/// is a mark: what follows is of the next minute.
fn order(i: u64) -> User {
    let (second, of_minute) = (i as i64 * 5, i % 12);
    let (name, second) = match of_minute {
        11 => ("mark", second + 5),
        6.. => (["ada", "bob"][i as usize % 2], second - i as i64 % 3 * 15),
        _ => (["ada", "bob"][i as usize % 2], second),
    };
    User { name: name.into(), age: 36, gender: 2, address: "london".into(), order_time: TEN + second * 1_000 }
}

/// A source of users; without a topic in the configuration, those of two minutes, with marks or without.
pub(crate) fn source(ctx: &StreamingContext, marks: bool) -> Result<KafkaSource<'_, User>> {
    let source = KafkaSource::new(ctx);
    if ctx.configuration().get("kafka.source.bootstrap.servers").is_some() {
        return Ok(source);
    }
    let dev = [("bootstrap.servers", "dev"), ("topic", "test_user")];
    let fill = StreamingContext::new(Configuration::empty());
    let sink = dev.iter().fold(KafkaSink::new(&fill), |sink, (key, value)| sink.property(*key, *value));
    sink.sink(fill.generate(24, order).filter(move |user| marks || user.name != "mark"));
    fill.execute("fill")?;
    let source = dev.iter().fold(source, |source, (key, value)| source.property(*key, *value));
    Ok(source.property("auto.offset.reset", "earliest").bounded())
}
