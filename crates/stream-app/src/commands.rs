//! The commands that look at the job or its configuration without running it. Data goes to standard output.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

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

/// How `validate` is to look.
pub(crate) struct Validate {
    /// Ask the outside systems, each for at most this long.
    pub(crate) connect: Option<Duration>,
    pub(crate) deny_warnings: bool,
}

pub(crate) fn validate(ctx: &StreamingContext, name: &str, how: &Validate) -> Result<ExitCode> {
    let plan = ctx.plan(name)?;
    say(&plan.explain(ExplainFormat::Text))?;
    let mut unreachable = 0;
    for check in how.connect.map_or(Ok(Vec::new()), |limit| ctx.check_ends(name, limit))? {
        match check.found {
            Ok(found) => report::line(&format!("ok: {}: {found}", check.end)),
            Err(error) => {
                unreachable += 1;
                report::line(&format!("failed: {}", check.end));
                report::error(&error);
            }
        }
    }
    if unreachable > 0 {
        return Ok(ExitCode::from(2));
    }
    let warnings = logs::warnings();
    if how.deny_warnings && warnings > 0 {
        let plural = if warnings == 1 { "warning" } else { "warnings" };
        report::line(&format!("{warnings} {plural}, and warnings are denied"));
        return Ok(ExitCode::from(2));
    }
    report::line("configuration and job are valid");
    Ok(ExitCode::SUCCESS)
}
