//! The commands that look at the job or its configuration without running it. Data goes to standard output.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use stream_core::{Configuration, Error, ErrorKind, ExplainFormat, Result, SideJob, StreamingContext};

use crate::arguments::GraphFormat;
use crate::{logs, report, stores};

/// Writes to standard output; a reader that has gone away is no error.
pub(crate) fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Unavailable, format!("can't write to standard output: {error}"))
                .with_cause(error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn explain(configuration: &Configuration, key: Option<&str>) -> Result<ExitCode> {
    let text = match key {
        Some(key) => configuration.explain(key),
        None => configuration.explain_all(),
    };
    say(&format!("{}\n", text.trim_end()))?;
    Ok(ExitCode::SUCCESS)
}

/// Every key of the job that begins with `prefix`, under the spelling that does.
pub(crate) fn keys(ctx: &StreamingContext, prefix: &str) -> Result<ExitCode> {
    let mut rows = Vec::new();
    for info in ctx.keys() {
        let Some(name) = std::iter::once(&info.key).chain(&info.spellings).find(|name| name.starts_with(prefix)) else {
            continue;
        };
        let meaning = match *name == info.key {
            true => info.meaning.clone(),
            false => format!("as {}: {}", info.key, info.meaning),
        };
        rows.push([name.clone(), or_dash(&info.kind), or_dash(&info.default), info.state.to_string(), meaning]);
    }
    if rows.is_empty() {
        let message = format!("no key of this job begins with `{prefix}`");
        return Err(Error::new(ErrorKind::Config, message).with_hint("`config keys` lists all of them"));
    }
    rows.insert(0, ["KEY", "TYPE", "DEFAULT", "STATE", "MEANING"].map(str::to_owned));
    say(&table(&rows))?;
    Ok(ExitCode::SUCCESS)
}

/// The side job of this kind that the job's sources and sinks offer.
pub(crate) fn side_job(ctx: &StreamingContext, kind: &str, of: Option<&str>) -> Result<SideJob> {
    let offered: Vec<SideJob> = ctx.take_side_jobs().into_iter().filter(|job| job.kind() == kind).collect();
    let names: Vec<String> = offered.iter().map(|job| format!("`{}`", job.of())).collect();
    let mut wanted: Vec<SideJob> = offered.into_iter().filter(|job| of.is_none_or(|of| of == job.of())).collect();
    match (wanted.pop(), wanted.is_empty()) {
        (Some(job), true) => Ok(job),
        (Some(_), false) => {
            let message = format!("`{kind}` can be for one of {}", names.join(", "));
            Err(Error::new(ErrorKind::Config, message).with_hint(format!("name one: {kind} NAME")))
        }
        (None, _) if names.is_empty() => {
            let message = format!("no source of this job has anything for `{kind}`");
            Err(Error::new(ErrorKind::Config, message).with_hint("set on_bad_record: dead_letter(TOPIC) for a source"))
        }
        (None, _) => {
            let message = format!("there is no `{}`", of.unwrap_or_default());
            Err(Error::new(ErrorKind::Config, message).with_hint(format!("there are: {}", names.join(", "))))
        }
    }
}

pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// The first column and any other are not made wider than this for the sake of a few long cells.
const WIDTHS_MAX: (usize, usize) = (64, 32);

/// Lines with their cells below each other.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        let most = if column == 0 { WIDTHS_MAX.0 } else { WIDTHS_MAX.1 };
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.filter(|width| *width <= most).max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
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
    if let Some(found) = stores::check(ctx, name, how.connect.is_some())? {
        report::line(&format!("ok: {found}"));
    }
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
