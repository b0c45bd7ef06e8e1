//! A job without Kafka: squares, as many as `app.count` says.

use std::process::ExitCode;

use stream_core::{Result, StreamingContext};

fn handle(ctx: &StreamingContext) -> Result<()> {
    let count = ctx.configuration().section("app").parse("count")?.unwrap_or(3);
    ctx.generate(count, |i| i * i).name("squares").filter(|n| n % 2 == 0).print();
    Ok(())
}

fn main() -> ExitCode {
    stream_app::run(handle)
}
