//! The command line: what clap knows, and the settings that go to the configuration as they are.
//!
//! A job is called by people (`job validate`) and by launchers that pass whatever keys they like
//! (`job --conf a.yml --kafka.source.topic t`, as StreamPark does). So the arguments are sorted before clap sees
//! them: `--conf`, `--profile`, `--set` and every option with a dot in it are settings; without a command the job runs.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

/// A sorted command line.
pub(crate) struct Invocation {
    pub(crate) command: Command,
    pub(crate) options: Options,
    /// Arguments for the configuration, in order.
    pub(crate) settings: Vec<OsString>,
}

#[derive(Parser)]
#[command(disable_version_flag = true, after_help = SETTINGS_HELP)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

const SETTINGS_HELP: &str = "\
Settings (with every command):
  --conf <FILE>…        Configuration files, later ones win [default: application.yml if it is there]
  --profile <NAME>      Adds application-NAME.yml
  --set <KEY>=<VALUE>   Sets one key; repeatable
  --<KEY> <VALUE>       The same for a key with a dot in it, such as --kafka.source.topic t

Exit codes: 0 ended well, 1 failed, 2 wrong configuration, 3 taken over by another instance";

/// Options of the program itself.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long a stopped job may drain, flush and commit before it is cut off
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) grace: Duration,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
    /// What is logged, such as debug or stream_kafka=debug,warn [default: info, or RUST_LOG]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the job until its sources end or it is stopped (the default)
    Run {
        /// Go on from this checkpoint instead of the newest: what was published since then appears again
        #[arg(long, value_name = "NUMBER")]
        from: Option<u64>,
        /// With --from, under exactly-once: go back behind what is committed; it appears again
        #[arg(long, requires = "from")]
        rewind: bool,
        /// Keep the state, but read on from the positions of the sources' groups, which were moved by hand
        #[arg(long)]
        accept_offset_reset: bool,
    },
    /// Check configuration and job without starting anything
    Validate {
        /// Ask the brokers too: topics, groups, permissions
        #[arg(long)]
        connect: bool,
        /// How long each source and sink may ask
        #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration, requires = "connect")]
        timeout: Duration,
        /// Fail on warnings too
        #[arg(long)]
        deny_warnings: bool,
    },
    /// Print the job's plan
    Graph {
        #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
        format: GraphFormat,
    },
    /// Look at what is stored of the job
    #[command(subcommand)]
    Checkpoint(CheckpointCommand),
    /// Look at the state of an operator
    #[command(subcommand)]
    State(StateCommand),
    /// Deal with dead letters
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completion { shell: clap_complete::Shell },
}

#[derive(Subcommand)]
pub(crate) enum CheckpointCommand {
    /// List the checkpoints, newest first, and whether their files are there
    List,
    /// Print what a checkpoint has: positions, state, files
    Inspect { number: u64 },
    /// Read every byte of a checkpoint (or of all) and say what is damaged, if anything is
    Verify { number: Option<u64> },
}

#[derive(Subcommand)]
pub(crate) enum StateCommand {
    /// Print the keys and values of an operator as JSON, a line each
    Read {
        /// The operator's uid
        uid: String,
        /// One of its states; all of them if not given
        state: Option<String>,
        /// The checkpoint to look into; the newest if not given
        #[arg(long, value_name = "NUMBER")]
        checkpoint: Option<u64>,
    },
}

#[derive(Subcommand)]
pub(crate) enum DlqCommand {
    /// Bring dead letters back to the topics they came from, exactly once; run it when the job can read them
    Replay {
        /// The section of the source whose dead letters they are, such as kafka.source.orders; needed if there are several
        source: Option<String>,
    },
}

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a key (or all of them) with the value in force and where it comes from; secrets are masked
    Explain { key: Option<String> },
    /// Print every key that this job understands (or those that begin with PREFIX), and what becomes of it
    Keys { prefix: Option<String> },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum GraphFormat {
    Text,
    Dot,
    Mermaid,
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    stream_conf::duration::parse(text).map_err(|e| e.to_string())
}

/// Help or a mistake in the command line: there is nothing to run.
pub(crate) struct Stopped(clap::Error);

impl Stopped {
    pub(crate) fn exit(self) -> ExitCode {
        // Nothing is left to do if the terminal is gone.
        let _ = self.0.print();
        if self.0.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
    }
}

const RUN: Command = Command::Run { from: None, rewind: false, accept_offset_reset: false };

/// Sorts and parses the arguments of the process, its own name first.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Stopped> {
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_else(|| "job".into());
    let (own, settings) = sort(arguments);
    let line = CommandLine::try_parse_from(std::iter::once(program).chain(own)).map_err(Stopped)?;
    Ok(Invocation { command: line.command.unwrap_or(RUN), options: line.options, settings })
}

/// Splits into what clap parses and what the configuration reads.
fn sort(arguments: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Vec<OsString>) {
    let (mut own, mut settings) = (Vec::new(), Vec::new());
    let mut arguments = arguments.into_iter().peekable();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy().into_owned();
        let Some(option) = text.strip_prefix("--") else {
            own.push(argument);
            continue;
        };
        let (name, attached) = option.split_once('=').map_or((option, false), |(name, _)| (name, true));
        if !matches!(name, "conf" | "profile" | "set") && !name.contains('.') {
            own.push(argument);
            continue;
        }
        let several = name == "conf";
        settings.push(argument);
        let mut wanted = if attached { 0 } else { 1 };
        // A value never looks like an option; `--conf` takes all that follow.
        while let Some(value) =
            arguments.next_if(|v| (wanted > 0 || several && !attached) && !v.to_string_lossy().starts_with("--"))
        {
            settings.push(value);
            wanted -= i32::from(wanted > 0);
        }
    }
    (own, settings)
}

/// Prints a completion script to standard output.
pub(crate) fn completion(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut CommandLine::command(), program_name(), &mut std::io::stdout());
}

/// The file name of the program, without its extension.
pub(crate) fn program_name() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    Path::new(&program).file_stem().map_or_else(|| "job".to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(line: &str) -> (String, String) {
        let (own, settings) = sort(line.split(' ').map(OsString::from));
        let text = |words: Vec<OsString>| words.iter().map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ");
        (text(own), text(settings))
    }

    #[test]
    fn settings_are_taken_out_of_the_command_line() {
        let cases = [
            ("graph --format dot --set a=1", "graph --format dot", "--set a=1"),
            ("--conf a.yml b.yml --grace 5s", "--grace 5s", "--conf a.yml b.yml"),
            ("run --kafka.source.topic t --app.name=x", "run", "--kafka.source.topic t --app.name=x"),
            ("--set a=-1 validate", "validate", "--set a=-1"),
            ("--conf=a.yml validate", "validate", "--conf=a.yml"),
        ];
        for (line, own, settings) in cases {
            assert_eq!(sorted(line), (own.to_owned(), settings.to_owned()), "{line}");
        }
    }

    #[test]
    fn the_definition_holds_together() {
        CommandLine::command().debug_assert();
    }
}
