//! A job that fails, to see what a failure looks like: a closure panics at the first record that is no number.
//!
//! ```sh
//! cargo run --example failing
//! ```
//! The error names the operator, the subtask and the record; the exit code is 1. Name a real broker and topic by
//! `--set kafka.source.bootstrap.servers=…` and `--set kafka.source.topic=…`.

use std::process::ExitCode;

use stream_core::{Result, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource};

fn handle(ctx: &StreamingContext) -> Result<()> {
    let configured = ctx.configuration().get("kafka.source.bootstrap.servers").is_some();
    let mut source = KafkaSource::<String>::new(ctx);
    if !configured {
        // Something to read, on the broker inside the process.
        source = source.property("bootstrap.servers", "dev").property("topic", "numbers");
        let sink = KafkaSink::new(ctx).property("bootstrap.servers", "dev").property("topic", "numbers");
        sink.sink(ctx.from_iter(["1", "2", "three"]));
    }
    let numbers = source.property("auto.offset.reset", "earliest").values().uid("numbers");
    numbers.map(|text| text.parse::<i64>().expect("a number")).uid("parse").name("parse").print();
    Ok(())
}

fn main() -> ExitCode {
    stream_app::run(handle)
}
