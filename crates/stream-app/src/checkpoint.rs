//! `checkpoint list`, `inspect` and `verify`: what is stored of a job, for people. Nothing is changed.

use std::collections::BTreeMap;
use std::process::ExitCode;

use stream_core::checkpoint::{self, CheckpointStore, CommittedBy, Listed, Manifest, OperatorState, StateEntry};
use stream_core::{Error, ErrorKind, Result};

use crate::arguments::{CheckpointCommand, StateCommand};
use crate::commands::{say, table};
use crate::report;

pub(crate) fn look(store: &dyn CheckpointStore, job: &str, command: &CheckpointCommand) -> Result<ExitCode> {
    let listed = checkpoint::list(store, job)?;
    match command {
        CheckpointCommand::List => list(store, &listed),
        CheckpointCommand::Inspect { number } => {
            let one = find(store, &listed, *number)?;
            say(&inspected(one.manifest.as_ref().map_err(Clone::clone)?))?;
            Ok(ExitCode::SUCCESS)
        }
        CheckpointCommand::Verify { number: Some(number) } => verify(store, &[find(store, &listed, *number)?]),
        CheckpointCommand::Verify { number: None } => verify(store, &listed.iter().collect::<Vec<_>>()),
    }
}

/// Prints the entries of a state, a line of JSON each.
pub(crate) fn read_state(store: &dyn CheckpointStore, job: &str, command: &StateCommand) -> Result<ExitCode> {
    let StateCommand::Read { uid, state, checkpoint } = command;
    let listed = checkpoint::list(store, job)?;
    let one = match (checkpoint, listed.first()) {
        (Some(number), _) => find(store, &listed, *number)?,
        (None, Some(newest)) => newest,
        (None, None) => {
            let error = Error::new(ErrorKind::Config, format!("no checkpoint in {}", store.location()));
            return Err(error.with_hint("the job writes the first one soon after it starts"));
        }
    };
    let manifest = one.manifest.as_ref().map_err(Clone::clone)?;
    let entries = checkpoint::read_state(store, manifest, uid, state.as_deref())?;
    say(&entries.iter().map(|entry| format!("{entry}\n")).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

fn find<'a>(store: &dyn CheckpointStore, listed: &'a [Listed], number: u64) -> Result<&'a Listed> {
    listed.iter().find(|listed| listed.sequence == number).ok_or_else(|| {
        let message = format!("there is no checkpoint {number} in {}", store.location());
        Error::new(ErrorKind::Config, message).with_hint("`checkpoint list` shows which there are")
    })
}

fn list(store: &dyn CheckpointStore, listed: &[Listed]) -> Result<ExitCode> {
    if listed.is_empty() {
        report::line(&format!("no checkpoint in {}", store.location()));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["NUMBER", "LINEAGE", "EPOCH", "TIME", "BYTES", "FILES", "STATE"].map(str::to_owned)];
    for one in listed {
        let state = one.damages().next().map_or("all there", Error::message).to_owned();
        let number = one.sequence.to_string();
        rows.push(match &one.manifest {
            Ok(of) => {
                let (lineage, epoch) = (of.lineage.to_string(), of.epoch.to_string());
                let (bytes, files) = (of.size().to_string(), of.files.len().to_string());
                [number, lineage, epoch, time(of.created_millis), bytes, files, state]
            }
            Err(_) => [number, "-".into(), "-".into(), "-".into(), "-".into(), "-".into(), state],
        });
    }
    say(&table(&rows))?;
    Ok(ExitCode::SUCCESS)
}

fn verify(store: &dyn CheckpointStore, listed: &[&Listed]) -> Result<ExitCode> {
    let mut damaged = 0;
    let mut rows = vec![["NUMBER", "STATE"].map(str::to_owned)];
    for one in listed {
        let found = match &one.manifest {
            Ok(manifest) => checkpoint::verify(store, manifest)?,
            Err(error) => vec![error.clone()],
        };
        damaged += usize::from(!found.is_empty());
        let number = one.sequence.to_string();
        if found.is_empty() {
            rows.push([number, "whole".to_owned()]);
        } else {
            rows.extend(found.iter().map(|error| [number.clone(), error.message().to_owned()]));
        }
    }
    match listed.len() {
        0 => report::line(&format!("no checkpoint in {}", store.location())),
        _ => say(&table(&rows))?,
    }
    if damaged > 0 {
        report::line(&format!("{damaged} of {} checkpoints can't be used as they are", listed.len()));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What a checkpoint has, in sections; one that would be empty is left out.
fn inspected(of: &Manifest) -> String {
    let counts = match of.committed_by {
        CommittedBy::Own => "counts by itself",
        CommittedBy::Marker => "counts if a Kafka transaction names it",
    };
    let mut text = format!(
        "checkpoint {} of job `{}`\nlineage {}, epoch {}, written {} by run {}, {counts}\n{} key groups, {} bytes in {} files\n",
        of.sequence,
        of.job,
        of.lineage,
        of.epoch,
        time(of.created_millis),
        of.incarnation,
        of.max_parallelism,
        of.size(),
        of.files.len(),
    );
    let mut section = |heads: [&str; 5], rows: Vec<[String; 5]>| {
        if !rows.is_empty() {
            text.push('\n');
            text.push_str(&table(&[vec![heads.map(str::to_owned)], rows].concat()));
        }
    };
    let splits = of.sources.iter().flat_map(|(uid, source)| source.splits.iter().map(move |split| (uid, split)));
    let splits = splits
        .map(|(uid, split)| [uid.clone(), split.split.clone(), split.next.to_string(), String::new(), String::new()]);
    section(["SOURCE", "SPLIT", "NEXT", "", ""], splits.collect());
    let states = of.operators.iter().flat_map(|(uid, operator)| states(uid, operator));
    section(["OPERATOR", "PARALLELISM", "STATE", "PARTS", "BYTES"], states.collect());
    let staged = of.staged.iter().map(|(uid, parts)| {
        let bytes: usize = parts.iter().map(Vec::len).sum();
        [uid.clone(), parts.len().to_string(), bytes.to_string(), String::new(), String::new()]
    });
    section(["SINK", "PUT ASIDE", "BYTES", "", ""], staged.collect());
    let files = of.files.iter().map(|file| {
        [file.name.clone(), file.size.to_string(), format!("{:016x}", file.checksum), String::new(), String::new()]
    });
    section(["FILE", "BYTES", "CHECKSUM", "", ""], files.collect());
    text
}

/// One row per state of an operator: in how many parts it is, and their bytes.
fn states(uid: &str, operator: &OperatorState) -> Vec<[String; 5]> {
    let mut states: BTreeMap<&str, (usize, u64)> = BTreeMap::new();
    let mut add = |name, entry: &StateEntry| {
        let (parts, bytes) = states.entry(name).or_default();
        *parts += 1;
        *bytes += entry.pieces.iter().map(|piece| piece.length).sum::<u64>();
    };
    for subtask in operator.subtasks.values() {
        subtask.entries.iter().for_each(|(name, entry)| add(name.as_str(), entry));
        subtask.groups.iter().for_each(|((name, _), entry)| add(name.as_str(), entry));
    }
    let finished = operator.subtasks.values().filter(|subtask| subtask.finished).count();
    let row = |state: String, parts: String, bytes: String| {
        [uid.to_owned(), operator.parallelism.to_string(), state, parts, bytes]
    };
    let mut rows: Vec<[String; 5]> = states
        .iter()
        .map(|(name, (parts, bytes))| row((*name).to_owned(), parts.to_string(), bytes.to_string()))
        .collect();
    if finished > 0 {
        rows.push(row(format!("({finished} ended)"), String::new(), String::new()));
    } else if rows.is_empty() {
        rows.push(row("-".to_owned(), String::new(), String::new()));
    }
    rows
}

fn time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| format!("{millis} ms"), |time| time.to_string())
}
