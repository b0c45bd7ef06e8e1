//! The first run: a stream job on an embedded broker. No Java, no Kafka, no network.
//!
//! One job writes clicks to a topic, a second reads them, keeps the purchases and writes them as CSV to
//! another topic, a third reads that and prints. The same code runs against a real Kafka: change
//! `bootstrap.servers` in application.yml.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stream_core::clock::{Clock, SystemClock};
use stream_core::{Configuration, Error, ErrorKind, ExplainFormat, Result, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource};

/// How many clicks are generated.
const CLICKS: u64 = 10_000;

#[derive(Debug, Serialize, Deserialize)]
struct Click {
    user: u64,
    page: String,
    cents: u32,
}

/// Click `i` is a pure function of `i`, so every run shows the same.
fn click(i: u64) -> Click {
    let page = ["home", "search", "cart", "checkout"][usize::try_from(i * 7 % 4).unwrap_or(0)];
    let cents = if page == "checkout" { 500 + u32::try_from(i * 37 % 9_500).unwrap_or(0) } else { 0 };
    Click { user: i * 31 % 97, page: page.to_owned(), cents }
}

fn run(configuration: &Configuration) -> Result<()> {
    // 1. Fill the topic, as some other service would.
    let ctx = StreamingContext::new(configuration.clone());
    KafkaSink::new(&ctx).alias("clicks").json().sink(ctx.generate(CLICKS, click));
    ctx.execute("fill")?;

    // 2. The job itself.
    let ctx = StreamingContext::new(configuration.clone());
    let purchases = KafkaSource::<Click>::new(&ctx)
        .alias("clicks")
        .json()
        .bounded()
        .values()
        .filter(|click| click.page == "checkout")
        .map(|click| format!("user-{},{}.{:02}", click.user, click.cents / 100, click.cents % 100));
    KafkaSink::new(&ctx).alias("purchases").sink(purchases);
    say(&ctx.plan("purchases")?.explain(ExplainFormat::Text));
    let clock = SystemClock::new();
    ctx.execute("purchases")?;
    let elapsed = clock.monotonic();

    // 3. Look at what it wrote.
    let ctx = StreamingContext::new(configuration.clone());
    let written = KafkaSource::<String>::new(&ctx).alias("purchases").bounded().stream().collect();
    ctx.execute("look")?;
    let written = written.take();
    for record in written.iter().take(5) {
        say(&format!("{record}\n"));
    }
    summary(written.len(), elapsed);
    Ok(())
}

fn summary(purchases: usize, elapsed: Duration) {
    let rest = purchases.saturating_sub(5);
    say(&format!("… and {rest} more\n\n{CLICKS} clicks in, {purchases} purchases out, {} ms\n", elapsed.as_millis()));
    say(
        "\nnext:\n  change the job          examples/quickstart/main.rs\n  change the wiring       examples/quickstart/application.yml\n  \
         a real Kafka            cargo xtask kafka up\n  a job that runs on it   cargo run --release --example user_csv\n  \
         the tests               cargo xtask test\n",
    );
}

/// Whoever reads may have gone away (`quickstart | head`): that is no failure.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[expect(clippy::print_stderr, reason = "the end of a program tells people what happened")]
fn main() -> ExitCode {
    stream_examples::init_logs();
    let configuration = Configuration::builder()
        .default_file(concat!(env!("CARGO_MANIFEST_DIR"), "/quickstart/application.yml"))
        .process_env()
        .process_args()
        .build();
    match configuration.map_err(Error::from).and_then(|configuration| run(&configuration)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            if error.kind() == ErrorKind::Config { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}
