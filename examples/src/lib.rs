//! What the examples share: logs. README and book are compiled here too.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Logs go to standard error, so that data has standard output to itself. `RUST_LOG` chooses what is said.
pub fn init_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Colours are for terminals: a log file with escape codes in it can't be searched.
    let colours = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    logs.with_ansi(colours).with_target(false).init();
}

/// The Rust blocks of README and book, each page one item of documentation tests.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/src/write-a-job.md")]
    struct WriteAJob;
    #[doc = include_str!("../../docs/src/windows.md")]
    struct Windows;
    #[doc = include_str!("../../docs/src/derive.md")]
    struct Derive;
    #[doc = include_str!("../../docs/src/configuration.md")]
    struct Configuration;
    #[doc = include_str!("../../docs/src/kafka-source.md")]
    struct KafkaSource;
    #[doc = include_str!("../../docs/src/kafka-sink.md")]
    struct KafkaSink;
    #[doc = include_str!("../../docs/src/how-to-staged-sink.md")]
    struct HowToStagedSink;
    #[doc = include_str!("../../docs/src/event-time.md")]
    struct EventTime;
    #[doc = include_str!("../../docs/src/state.md")]
    struct State;
    #[doc = include_str!("../../docs/src/testing.md")]
    struct Testing;
    #[doc = include_str!("../../docs/src/coming-from-streampark.md")]
    struct ComingFromStreamPark;
}
