//! Where reading begins: every start (and end) offset is resolved once, before the first read.

use std::sync::Arc;
use std::time::Duration;

use crate::client::ClientError;
use stream_core::{Error, ErrorKind, Result, SourceContext};

use super::Description;
use crate::client::consumer::{ConsumerHandle, Start, TopicPartition};
use crate::client::rights::Right;
use crate::keys::AutoOffsetReset;
use crate::record::Topic;
use crate::waiting::{Limit, Question, Signs, wait_for};

/// Where a source begins to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OffsetsInitializer {
    /// At the group's committed positions; where there is none, as `auto.offset.reset` says.
    #[default]
    Committed,
    /// At the first record still there.
    Earliest,
    /// After the last record.
    Latest,
}

/// What the settings and the code say about start and end.
pub(super) struct StartPlan {
    pub(super) initializer: OffsetsInitializer,
    pub(super) reset: AutoOffsetReset,
    pub(super) bounded: bool,
}

impl StartPlan {
    pub(super) fn describe(&self) -> String {
        let start = match (self.initializer, self.reset) {
            (OffsetsInitializer::Earliest, _) => "from earliest",
            (OffsetsInitializer::Latest, _) => "from latest",
            (OffsetsInitializer::Committed, AutoOffsetReset::Earliest) => "from committed, else earliest",
            (OffsetsInitializer::Committed, AutoOffsetReset::None) => "from committed",
            (OffsetsInitializer::Committed, _) => "from committed, else latest",
        };
        if self.bounded { format!("{start} to the end at start") } else { start.to_owned() }
    }

    /// The start offset of one partition, from its committed position and its first and end offset.
    fn choose(&self, split: TopicPartition, committed: Option<i64>, first: i64, end: i64) -> Result<i64> {
        let reset = match self.initializer {
            OffsetsInitializer::Earliest => AutoOffsetReset::Earliest,
            OffsetsInitializer::Latest => AutoOffsetReset::Latest,
            OffsetsInitializer::Committed => match committed {
                Some(offset) if offset >= first && offset <= end => return Ok(offset),
                Some(offset) => return Err(lost("group", split, offset, first, end)),
                None => self.reset,
            },
        };
        match reset {
            AutoOffsetReset::Earliest => Ok(first),
            AutoOffsetReset::Latest | AutoOffsetReset::ByDuration(_) => Ok(end),
            AutoOffsetReset::None => {
                let message = format!("the group has no position for `{}` partition {}", split.0, split.1);
                let hint = "auto.offset.reset is none: commit a position first, or set it to earliest or latest";
                Err(Error::new(ErrorKind::Config, message).with_hint(hint))
            }
        }
    }
}

fn lost(whose: &str, (topic, partition): TopicPartition, offset: i64, first: i64, end: i64) -> Error {
    let message = format!(
        "the {whose}'s position {offset} of `{topic}` partition {partition} is gone: the log holds {first} to {end}"
    );
    let hint = match whose {
        "group" => {
            "records between were deleted, or the topic was created anew; move the group with Kafka's \
             consumer-groups tool (--reset-offsets) if that is acceptable"
        }
        _ => {
            "records between were deleted, or the topic was created anew; if that is acceptable, begin anew with an \
             empty checkpoint directory"
        }
    };
    Error::new(ErrorKind::Data, message).with_hint(hint)
}

/// One partition with its resolved range.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) split: TopicPartition,
    /// Such as `test_user[2]`.
    pub(super) name: Arc<str>,
    pub(super) start: i64,
    /// For a bounded source, where it ends.
    pub(super) stop: Option<i64>,
    /// What the checkpoint that the job goes on from knows of event time here.
    pub(super) time: Vec<u8>,
}

impl Resolved {
    pub(super) fn start(&self) -> Start {
        Start { split: self.split, offset: self.start }
    }
}

/// Asks the brokers for partitions, committed positions and the ends of the logs.
pub(super) fn resolve(
    handle: &ConsumerHandle,
    description: &Description,
    context: &SourceContext,
) -> Result<Vec<Resolved>> {
    let splits = find_partitions(handle, description, context)?;
    let plan = &description.start;
    let wants_committed = description.commits && plan.initializer == OffsetsInitializer::Committed;
    let committed = if wants_committed && context.positions().is_none() {
        let topics = description.topics.join(",");
        let what = "can't read the group's positions";
        ask((what, Right::Read, &topics), handle, description, context, |h, limit| h.committed(&splits, limit))?
    } else {
        vec![None; splits.len()]
    };
    let mut resolved = Vec::with_capacity(splits.len());
    for (split, committed) in splits.into_iter().zip(committed) {
        let what = ("can't read the ends of the log", Right::Read, split.0.as_str());
        let (first, end) = ask(what, handle, description, context, |h, limit| h.watermarks(split, limit))?;
        let name: Arc<str> = format!("{}[{}]", split.0, split.1).into();
        let start = match context.position(&name) {
            Some(next) if next >= first && next <= end => next,
            Some(next) => return Err(lost("checkpoint", split, next, first, end)),
            None => plan.choose(split, committed, first, end)?,
        };
        let stop = plan.bounded.then_some(end);
        tracing::debug!(split = &*name, start, ?stop, ?committed, "start resolved");
        let time = context.restored(&name).map(|restored| restored.time.clone()).unwrap_or_default();
        resolved.push(Resolved { split, name, start, stop, time });
    }
    Ok(resolved)
}

fn find_partitions(
    handle: &ConsumerHandle,
    description: &Description,
    context: &SourceContext,
) -> Result<Vec<TopicPartition>> {
    let mut splits = Vec::new();
    let mut missing = Vec::new();
    for name in &description.topics {
        let topic = Topic::new(name);
        let what = ("can't read the topics", Right::Read, &**name);
        match ask(what, handle, description, context, |h, limit| h.partitions(name, limit))? {
            Some(partitions) => splits.extend(partitions.into_iter().map(|p| (topic, p))),
            None => missing.push(name.as_str()),
        }
    }
    if missing.is_empty() {
        return Ok(splits);
    }
    let message = format!("no such topic on {}: `{}`", description.brokers, missing.join("`, `"));
    Err(Error::new(ErrorKind::Config, message).with_hint("create it first; topics are not created by reading them"))
}

/// Repeats a question to the brokers, each try within the given limit, until it is answered or the job gives up.
///
/// It says what fails without an answer, and which right on which topic it needs.
pub(super) fn ask<R>(
    (what, right, topic): (&str, Right, &str),
    handle: &ConsumerHandle,
    description: &Description,
    context: &SourceContext,
    mut question: impl FnMut(&ConsumerHandle, Duration) -> Result<R, ClientError>,
) -> Result<R> {
    let limit = Limit { time: description.engine.default_api_timeout, key: "default.api.timeout.ms" };
    let trouble = || {
        handle.serve(Duration::ZERO);
        handle.trouble()
    };
    let asked = Question { what, brokers: &description.brokers, account: handle.account(), right, topic };
    let signs = Signs { time: &handle.time(), trouble: &trouble, refused: &|| handle.is_refused() };
    wait_for(&asked, limit, &|| context.is_stopping(), &signs, |patience| question(handle, patience))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(initializer: OffsetsInitializer, reset: AutoOffsetReset, committed: Option<i64>) -> Result<i64> {
        let plan = StartPlan { initializer, reset, bounded: false };
        plan.choose((Topic::new("t"), 0), committed, 10, 20)
    }

    #[test]
    fn committed_positions_win_over_the_reset() {
        use AutoOffsetReset as Reset;
        use OffsetsInitializer as Start;
        assert_eq!(choose(Start::Committed, Reset::Earliest, Some(15)).ok(), Some(15));
        assert_eq!(choose(Start::Committed, Reset::Earliest, None).ok(), Some(10));
        assert_eq!(choose(Start::Committed, Reset::Latest, None).ok(), Some(20));
        assert_eq!(choose(Start::Earliest, Reset::Latest, Some(15)).ok(), Some(10));
        assert_eq!(choose(Start::Latest, Reset::Earliest, Some(15)).ok(), Some(20));
    }

    #[test]
    fn a_lost_position_is_an_error_not_a_jump() {
        let error = choose(OffsetsInitializer::Committed, AutoOffsetReset::Earliest, Some(5)).expect_err("lost");
        assert_eq!(error.message(), "the group's position 5 of `t` partition 0 is gone: the log holds 10 to 20");
        let error = choose(OffsetsInitializer::Committed, AutoOffsetReset::None, None).expect_err("none");
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
