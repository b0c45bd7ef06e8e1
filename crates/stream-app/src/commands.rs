//! The commands that look at the job or its configuration without running it. Data goes to standard output.

use std::io::Write;
use std::process::ExitCode;

use stream_core::{Configuration, Error, ErrorKind, ExplainFormat, Result, StreamingContext};

use crate::arguments::{ConfigCommand, GraphFormat};
use crate::{logs, report};

/// Writes to standard output; a reader that has gone away is no error.
fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Unavailable, format!("can't write to standard output: {error}"))
                .with_cause(error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn config(configuration: &Configuration, what: &ConfigCommand) -> Result<ExitCode> {
    let ConfigCommand::Explain { key } = what;
    let text = match key {
        Some(key) => configuration.explain(key),
        None => configuration.explain_all(),
    };
    say(&format!("{}\n", text.trim_end()))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn graph(ctx: &StreamingContext, name: &str, format: GraphFormat) -> Result<ExitCode> {
    let format = match format {
        GraphFormat::Text => ExplainFormat::Text,
        GraphFormat::Dot => ExplainFormat::Dot,
        GraphFormat::Mermaid => ExplainFormat::Mermaid,
        GraphFormat::Json => ExplainFormat::Json,
    };
    say(&ctx.plan(name)?.explain(format))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn validate(ctx: &StreamingContext, name: &str, deny_warnings: bool) -> Result<ExitCode> {
    let plan = ctx.plan(name)?;
    say(&plan.explain(ExplainFormat::Text))?;
    let warnings = logs::warnings();
    if deny_warnings && warnings > 0 {
        report::line(&format!(
            "{warnings} {}, and warnings are denied",
            if warnings == 1 { "warning" } else { "warnings" }
        ));
        return Ok(ExitCode::from(2));
    }
    report::line("configuration and job are valid");
    Ok(ExitCode::SUCCESS)
}
