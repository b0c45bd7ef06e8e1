//! The samples about watermarks as a person runs them: alone, and on a real Kafka with windows that close while they run.

mod common;

use common::{LIMIT, Program};
use stream_kafka::ProducerRecord;
use stream_testkit::KafkaFixture;

const SAMPLES: [&str; 3] = ["watermarks_bounded", "watermarks_periodic", "watermarks_punctuated"];

/// 2026-01-01 10:00 UTC.
const TEN: i64 = 1_767_261_600_000;
const MINUTE: i64 = 60_000;

fn line(user: &str, orders: u64, minute: i64) -> String {
    let start = TEN + minute * MINUTE;
    format!("{user}: {orders} orders in [{start}ms, {}ms)", start + MINUTE)
}

#[test]
fn each_sample_runs_without_anything_and_counts_every_order() {
    for sample in SAMPLES {
        let (code, text) = Program::start_to_print(sample, &[]).end(LIMIT);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let expected = [line("ada", 6, 0), line("ada", 6, 1), line("bob", 5, 0), line("bob", 5, 1)];
        assert_eq!((code, lines), (Some(0), expected.iter().map(String::as_str).collect()), "{sample}");
    }
}

#[test]
fn each_sample_closes_a_minute_on_a_real_kafka_while_it_runs() {
    for sample in SAMPLES {
        let kafka = KafkaFixture::new("watermarks");
        let topic = kafka.topic("test_user", 2);
        // The newest of each partition is three minutes on, and a mark; the oldest come behind newer ones.
        let orders = [
            ("ada", TEN + 50_000, 0),
            ("bob", TEN + 30_000, 1),
            ("ada", TEN, 0),
            ("bob", TEN + MINUTE, 1),
            ("mark", TEN + 3 * MINUTE, 0),
            ("mark", TEN + 3 * MINUTE, 1),
        ];
        kafka.fill(&topic, orders.len() as u64, move |i, out: &mut ProducerRecord| {
            let (name, time, partition) = orders[i as usize];
            let user = r#""age":36,"gender":2,"address":"london""#;
            out.set_value(format!(r#"{{"name":"{name}",{user},"orderTime":{time}}}"#));
            out.set_partition(partition);
        });
        let (servers, group) = (kafka.bootstrap(), kafka.group());
        let source = [
            ("bootstrap.servers", servers),
            ("topic", &topic),
            ("group.id", &group),
            ("auto.offset.reset", "earliest"),
        ];
        let settings = source.map(|(key, value)| format!("kafka.source.{key}={value}"));
        let program = Program::start_to_print(sample, &settings);
        let mut lines = [program.line_with(": ", LIMIT), program.line_with(": ", LIMIT)];
        lines.sort_unstable();
        assert_eq!(lines, [Some(line("ada", 2, 0)), Some(line("bob", 1, 0))], "{sample}");
        program.terminate();
        let (code, text) = program.end(LIMIT);
        assert_eq!(code, Some(0), "{sample}: {text}");
    }
}
