//! The first run, without any Kafka: `bootstrap.servers: dev`. And what the dev broker refuses, because it could not do
//! it honestly.

mod common;

use common::{context, failure};
use stream_core::{ErrorKind, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource};

/// Every test has topics of its own: the broker is one for the whole process.
fn dev(topic: &str, more: &str) -> StreamingContext {
    context(&format!(
        "kafka.source:\n  bootstrap.servers: dev\n  topic: {topic}\n  group.id: {topic}\n  \
         auto.offset.reset: earliest\nkafka.sink:\n  bootstrap.servers: dev\n  topic: {topic}\n{more}"
    ))
}

#[cfg(not(feature = "dev-broker"))]
#[test]
fn without_the_feature_the_way_to_it_is_told() {
    let ctx = dev("off", "");
    KafkaSource::<String>::new(&ctx).values().for_each(|_| {});
    KafkaSink::new(&ctx).sink(ctx.from_iter(["a"]));
    let error = failure(ctx);
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(text.contains("needs the cargo feature `dev-broker` of stream-kafka"), "{text}");
    assert!(text.contains(r#"help: add features = ["dev-broker"], or name a real broker"#), "{text}");
}

#[cfg(feature = "dev-broker")]
mod with_the_feature {
    use stream_kafka::{BadRecords, RawRecord};

    use super::*;
    use crate::common::{run_until_collected, sorted_numbers};

    const REFUSED: &str =
        "the dev broker keeps 5 MiB per partition and drops the oldest: 4 MiB is all it takes per topic";
    const HINT: &str = "`cargo xtask kafka up` starts a real Kafka on 127.0.0.1:19092";

    #[test]
    fn what_is_written_is_read() {
        let ctx = dev("first-run", "");
        KafkaSink::new(&ctx).sink(ctx.generate(10_000, |i| i.to_string()));
        ctx.execute("write").expect("the job ends well");

        let ctx = dev("first-run", "");
        let values = KafkaSource::<String>::new(&ctx).bounded().values().collect();
        ctx.execute("read").expect("the job ends well");
        assert_eq!(sorted_numbers(values.take()), (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn one_job_writes_and_another_reads_at_the_same_time() {
        let ctx = dev("both-ends", "");
        KafkaSink::new(&ctx).sink(ctx.generate(500, |i| i.to_string()));
        let values = KafkaSource::<String>::new(&ctx).values().collect();
        assert_eq!(sorted_numbers(run_until_collected(ctx, &values, 500)), (0..500).collect::<Vec<_>>());
    }

    #[test]
    fn dead_letters_have_their_topic_too() {
        let ctx = dev("some-bad", "");
        KafkaSink::new(&ctx).sink(ctx.generate(300, |i| if i % 3 == 0 { "x".to_owned() } else { i.to_string() }));
        ctx.execute("write").expect("the job ends well");

        let ctx = dev("some-bad", "");
        let source = KafkaSource::new(&ctx).decode(|record: &RawRecord<'_>| {
            let text = std::str::from_utf8(record.value().unwrap_or_default()).map_err(|e| e.to_string())?;
            text.parse::<u64>().map_err(|e| e.to_string())
        });
        let numbers = source.on_bad_record(BadRecords::dead_letter("some-bad-dead")).bounded().values().collect();
        ctx.execute("read").expect("the job ends well");
        assert_eq!(numbers.take().len(), 200);

        let ctx = dev("some-bad-dead", "");
        let letters = KafkaSource::<String>::new(&ctx).bounded().stream().collect();
        ctx.execute("letters").expect("the job ends well");
        let letters = letters.take();
        assert_eq!(letters.len(), 100);
        let message = letters[0].headers.last("__streams.errors.message");
        assert_eq!(message, Some(&b"invalid digit found in string"[..]));
    }

    #[test]
    fn more_than_it_keeps_is_refused() {
        for parallelism in [1, 3] {
            let ctx = dev(&format!("too-much-{parallelism}"), "").parallelism(parallelism);
            KafkaSink::new(&ctx).sink(ctx.generate(5_000, |_| "x".repeat(1_000)));
            let error = failure(ctx);
            assert_eq!((error.kind(), error.message(), error.hint()), (ErrorKind::Config, REFUSED, Some(HINT)));
        }
    }

    #[test]
    fn transactions_are_refused() {
        let ctx = dev("exactly", "  semantic: EXACTLY_ONCE\n");
        KafkaSink::new(&ctx).sink(ctx.from_iter(["a"]));
        let error = failure(ctx);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("the dev broker has no transactions"), "{error}");

        let ctx = dev("transactional", "  transactional.id: mine\n");
        KafkaSink::new(&ctx).sink(ctx.from_iter(["a"]));
        assert_eq!(failure(ctx).kind(), ErrorKind::Config);
    }
}
