//! A job that fails, to see what a failure looks like: a closure panics at the first record that is no number.
//!
//! ```sh
//! cargo run --example failing
//! ```
//! The error names the operator, the subtask and the record; the exit code is 1. Name a real broker and topic by
//! `--set kafka.source.bootstrap.servers=…` and `--set kafka.source.topic=…`.

use std::process::ExitCode;

use stream_core::{Configuration, StreamingContext};
use stream_examples::run_until_stopped;
use stream_kafka::{KafkaSink, KafkaSource};

fn main() -> ExitCode {
    run_until_stopped(|| {
        let configuration = Configuration::builder()
            .defaults([
                ("kafka.source.bootstrap.servers", "dev"),
                ("kafka.source.topic", "numbers"),
                ("kafka.source.auto.offset.reset", "earliest"),
            ])
            .process_env()
            .process_args()
            .build()?;
        let ctx = StreamingContext::new(configuration);
        let numbers = KafkaSource::<String>::new(&ctx).values().uid("numbers");
        numbers.map(|text| text.parse::<i64>().expect("a number")).uid("parse").name("parse").print();
        // Something to read, where the broker is the one inside the process.
        if ctx.configuration().get("kafka.source.bootstrap.servers").is_some_and(|servers| servers.text() == "dev") {
            let sink = KafkaSink::new(&ctx).property("bootstrap.servers", "dev").property("topic", "numbers");
            sink.sink(ctx.from_iter(["1", "2", "three"]));
        }
        ctx.start("failing")
    })
}
