//! A job's command line.
//!
//! One function that describes the job is all a program needs; [`run`] makes the rest: layered configuration from
//! files, environment and arguments, `run`, `validate`, `graph`, `checkpoint`, `config` and `completion`, logs on standard error,
//! data on standard output, signals that stop the job well, and exit codes that supervisors can act on.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use stream_core::{Result, StreamingContext};
//!
//! fn handle(ctx: &StreamingContext) -> Result<()> {
//!     ctx.from_iter(1..=3).map(|n| n * n).print();
//!     Ok(())
//! }
//!
//! fn main() -> ExitCode {
//!     stream_app::run(handle)
//! }
//! ```
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | the job ended well, or was stopped well, also before it had read anything |
//! | 1 | the job failed, or was cut off |
//! | 2 | the configuration or the command line is wrong, or a topic, a right or the user is missing at the brokers |
//! | 3 | another instance has taken over: don't restart this one |

mod arguments;
mod checkpoint;
mod commands;
mod logs;
mod report;
mod running;
mod stores;

use std::ffi::OsString;
use std::process::ExitCode;

use stream_core::{Configuration, ErrorKind, Result, StreamingContext};

use arguments::{Command, ConfigCommand, DlqCommand, Invocation};

/// The file that is read when the command line names none.
const DEFAULT_FILE: &str = "application.yml";

/// Runs the program's command line with the job that `handle` describes.
///
/// `handle` is called once, for every command that needs the job, with a context that holds the configuration.
pub fn run(handle: impl FnOnce(&StreamingContext) -> Result<()>) -> ExitCode {
    let invocation = match arguments::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(stopped) => return stopped.exit(),
    };
    match logs::init(&invocation.options).and_then(|()| dispatch(&invocation, handle)) {
        Ok(code) => code,
        Err(error) => {
            report::error(&error);
            exit_code(error.kind())
        }
    }
}

fn exit_code(kind: ErrorKind) -> ExitCode {
    match kind {
        ErrorKind::Config => ExitCode::from(2),
        ErrorKind::Fenced => ExitCode::from(3),
        _ => ExitCode::FAILURE,
    }
}

fn dispatch(invocation: &Invocation, handle: impl FnOnce(&StreamingContext) -> Result<()>) -> Result<ExitCode> {
    if let Command::Completion { shell } = &invocation.command {
        arguments::completion(*shell);
        return Ok(ExitCode::SUCCESS);
    }
    let configuration = read_configuration(&invocation.settings)?;
    if let Command::Config(ConfigCommand::Explain { key }) = &invocation.command {
        return commands::explain(&configuration, key.as_deref());
    }
    let ctx = StreamingContext::new(configuration);
    let described = handle(&ctx);
    if let Command::Config(ConfigCommand::Keys { prefix }) = &invocation.command {
        // Somebody who looks for the right key may have a wrong one in the file.
        let code = commands::keys(&ctx, prefix.as_deref().unwrap_or_default())?;
        return described.map(|()| code);
    }
    let name = job_name(&ctx);
    if let Command::Checkpoint(command) = &invocation.command {
        // Where it is follows from the settings alone: a job that can't start may be looked at.
        return checkpoint::look(&stores::open(&ctx, &name)?, &name, command);
    }
    if let Command::State(command) = &invocation.command {
        return checkpoint::read_state(&stores::open(&ctx, &name)?, &name, command);
    }
    described?;
    match &invocation.command {
        Command::Graph { format } => commands::graph(&ctx, &name, *format),
        Command::Validate { connect, timeout, deny_warnings } => {
            let how = commands::Validate { connect: connect.then_some(*timeout), deny_warnings: *deny_warnings };
            commands::validate(&ctx, &name, &how)
        }
        Command::Run { from, rewind, accept_offset_reset } => {
            let ctx = stores::stored(ctx, &name)?;
            let ctx = from.iter().fold(ctx, |ctx, sequence| ctx.restore_from(*sequence));
            let ctx = if *rewind { ctx.rewind() } else { ctx };
            let ctx = if *accept_offset_reset { ctx.accept_offset_reset() } else { ctx };
            running::run(ctx, &name, invocation.options.grace)
        }
        Command::Dlq(DlqCommand::Replay { source }) => {
            let replay = commands::side_job(&ctx, "dlq replay", source.as_deref())?;
            // One position for each source.
            let name = format!("{name}.dlq-replay.{}", replay.of());
            let side = stores::stored(replay.context(&ctx)?, &name)?;
            running::run(side, &name, invocation.options.grace)
        }
        // They need no job and were answered above.
        Command::Completion { .. } | Command::Config(_) | Command::Checkpoint(_) | Command::State(_) => {
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn read_configuration(settings: &[OsString]) -> Result<Configuration> {
    let texts = settings.iter().map(|s| s.to_string_lossy().into_owned());
    // So that `STREAM__RESTART_STRATEGY__FIXED_DELAY__DELAY` finds its key.
    let known = stream_core::settings::keys().into_iter().map(|info| info.key).filter(|key| !key.contains('<'));
    let builder = Configuration::builder().default_file(DEFAULT_FILE).known_keys(known).process_env().args(texts);
    Ok(builder.build()?)
}

/// `app.name`, as StreamPark passes it, `pipeline.name`, as Flink calls it, or the program's own name.
fn job_name(ctx: &StreamingContext) -> String {
    match (ctx.configuration().get("app.name"), &ctx.settings().name) {
        (Some(entry), _) => entry.text().to_owned(),
        (None, Some(name)) => name.clone(),
        (None, None) => arguments::program_name(),
    }
}
