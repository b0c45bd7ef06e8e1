//! [`JobSettings`]: what the configuration says about the job as a whole, checked.
//!
//! The keys are Flink's current ones, at the top level. The same keys below `flink.property.` (StreamPark 2) and the
//! keys of StreamPark 1 (`flink.checkpoints.*`, `flink.deployment.property.*`, …) mean the same, so that the
//! configuration of a project moves over as it is. Three steps:
//!
//! 1. `table`: one row per key with its spellings, type, default, meaning and fate. All else is driven by it.
//! 2. `intake`: every key of the configuration finds its row; bad values, two spellings that disagree and unknown
//!    keys become problems; what has no effect becomes a warning.
//! 3. `draft`: the values, laid over the defaults, become settings; what does not go together becomes a problem.
//!
//! `rule` says what a value must look like.

mod draft;
mod intake;
mod rule;
mod table;

use std::time::Duration;

use stream_conf::{Configuration, Problem};

use crate::catalogue::KeyInfo;
use crate::state::StateBackend;

/// What the configuration says about the job as a whole.
///
/// A value without a unit is milliseconds where a duration is meant, as in Flink; units are `ms`, `s`, `min`, `h`,
/// `d` and their English names.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use stream_conf::Format;
/// use stream_core::settings::RestartStrategy;
/// use stream_core::{Configuration, StreamingContext};
///
/// let file = "\
/// flink.property:
///   parallelism.default: 2
///   execution.checkpointing.interval: 30s
///   restart-strategy: fixed-delay
///   restart-strategy.fixed-delay.delay: 5000
/// ";
/// let configuration = Configuration::builder().text("application.yml", Format::Yaml, file).build()?;
/// let ctx = StreamingContext::new(configuration);
/// let settings = ctx.settings();
/// assert_eq!(settings.parallelism, 2);
/// assert_eq!(settings.checkpointing.as_ref().map(|c| c.interval), Some(Duration::from_secs(30)));
/// assert_eq!(settings.restart, RestartStrategy::FixedDelay { attempts: 1, delay: Duration::from_secs(5) });
/// # Ok::<(), stream_conf::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobSettings {
    /// `pipeline.name`: what the job is called where its program gives it no name.
    pub name: Option<String>,
    /// `application.id`: keeps deployments of one job on one Kafka cluster apart; `default` by default.
    pub application: String,
    /// `parallelism.default`: how many subtasks run an operator that sets no number itself; 1 by default, at most
    /// 32,768.
    pub parallelism: usize,
    /// `pipeline.max-parallelism`: how many key groups there are, 1 to 32,768; the largest parallelism that an operator
    /// with keys may ever have, and fixed for the life of a job. 256 by default.
    pub max_parallelism: usize,
    /// `execution.runtime-mode`. Has no effect: every job runs as a stream, and one whose sources are bounded ends.
    pub runtime_mode: RuntimeMode,
    /// `pipeline.auto-watermark-interval`: how often the generators of
    /// [`WatermarkStrategy`](crate::WatermarkStrategy)s are asked, 0 for never; a strategy's own interval wins. None is
    /// the default: every 200 ms, and at once when there is nothing more to read.
    pub auto_watermark_interval: Option<Duration>,
    /// `execution.checkpointing.*`; `None` is off, the default.
    pub checkpointing: Option<Checkpointing>,
    /// `restart-strategy.*`.
    pub restart: RestartStrategy,
    /// `state.*` and the directories of checkpoints.
    pub state: StateSettings,
}

/// How a job runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuntimeMode {
    /// Records are handed on as they come.
    #[default]
    Streaming,
    /// Flink's way for bounded sources: stage by stage.
    Batch,
    /// [`Batch`](RuntimeMode::Batch) if every source is bounded.
    Automatic,
}

/// When and how checkpoints are taken.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Checkpointing {
    /// `execution.checkpointing.interval`: from the start of one to the start of the next; at least 10 ms.
    pub interval: Duration,
    /// `execution.checkpointing.mode`; exactly once by default.
    pub mode: CheckpointMode,
    /// `execution.checkpointing.timeout`: one that takes longer is given up; by default after 10 min, after 60 s where a
    /// transaction commits it.
    pub timeout: Option<Duration>,
    /// `execution.checkpointing.min-pause`: from the end of one to the start of the next, at least; 0 by default.
    pub min_pause: Duration,
    /// `execution.checkpointing.max-concurrent-checkpoints`: what was asked for. One is under way at a time.
    pub max_concurrent: u32,
    /// `execution.checkpointing.unaligned.enabled`: what was asked for. Barriers are always aligned here.
    pub unaligned: bool,
    /// `execution.checkpointing.externalized-checkpoint-retention`: what was asked for. Checkpoints are always kept.
    pub retention: CheckpointRetention,
    /// `execution.checkpointing.tolerable-failed-checkpoints`: so many in a row don't fail the job; 0 by default.
    pub tolerable_failures: u32,
}

/// How often a record counts in the state after a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckpointMode {
    /// Once.
    #[default]
    ExactlyOnce,
    /// Once or more often.
    AtLeastOnce,
}

/// What becomes of the last checkpoint when a job is cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckpointRetention {
    /// Checkpoints serve the running job only.
    None,
    /// It is kept when the job fails, and deleted when it is cancelled.
    DeleteOnCancellation,
    /// It is kept.
    #[default]
    RetainOnCancellation,
}

/// What happens when a job fails.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RestartStrategy {
    /// It stays down; the default without checkpoints.
    #[default]
    None,
    /// It is restarted a number of times.
    FixedDelay {
        /// How often; 1 by default.
        attempts: u32,
        /// The time before each; 1 s by default.
        delay: Duration,
    },
    /// It is restarted after pauses that grow; the default with checkpoints.
    ExponentialDelay {
        /// The first pause; 1 s by default.
        initial_backoff: Duration,
        /// The longest pause; 1 min by default.
        max_backoff: Duration,
        /// What a pause is multiplied by to get the next; 1.5 by default.
        multiplier: f64,
        /// After so long without failure it begins with the first pause again; 1 h by default.
        reset_after: Duration,
        /// The part of a pause that is left to chance, from 0 to 1; 0.1 by default.
        jitter: f64,
        /// So many failures without a reset end the job; no limit by default.
        attempts: Option<u32>,
    },
    /// It is restarted until it fails too often.
    FailureRate {
        /// So many failures in an interval are accepted; 1 by default.
        max_failures: u32,
        /// The interval; 1 min by default.
        interval: Duration,
        /// The time before each restart; 1 s by default.
        delay: Duration,
    },
}

/// Where state and its checkpoints are kept.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StateSettings {
    /// `state.backend.type`; memory by default, and for `rocksdb`, because state on disk is not built yet.
    pub backend: StateBackend,
    /// `execution.checkpointing.incremental`: what was asked for; every checkpoint is incremental anyway.
    pub incremental: bool,
    /// `execution.checkpointing.storage`; files if there is a directory, otherwise memory.
    pub checkpoint_storage: CheckpointStorage,
    /// `execution.checkpointing.dir`.
    pub checkpoints_dir: Option<String>,
    /// `execution.checkpointing.savepoint-dir`.
    pub savepoints_dir: Option<String>,
    /// `execution.checkpointing.num-retained`: how many checkpoints are kept; 3 by default.
    pub retained: usize,
    /// `execution.state-recovery.ignore-unclaimed-state`: whether state that no operator claims is dropped; false by
    /// default.
    pub allow_non_restored: bool,
}

/// Where checkpoints go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckpointStorage {
    /// Nowhere that outlives the process: Flink's `jobmanager`.
    #[default]
    Memory,
    /// To files in a directory or object store: Flink's `filesystem`.
    Files,
}

impl Default for JobSettings {
    /// What an empty configuration gives.
    fn default() -> JobSettings {
        read(&Configuration::empty()).settings
    }
}

/// Every key of the job as a whole, with what becomes of it.
///
/// # Example
/// ```
/// let keys = stream_core::settings::keys();
/// let parallelism = keys.iter().find(|info| info.key == "parallelism.default").expect("it is known");
/// assert_eq!(parallelism.default, "1");
/// assert!(parallelism.spellings.contains(&"flink.property.parallelism.default".to_owned()));
/// ```
pub fn keys() -> Vec<KeyInfo> {
    table::ROWS.iter().map(table::Row::info).collect()
}

/// The first parts of the keys that are read here; whatever is below them is checked.
pub(crate) use intake::SECTIONS;

/// Settings, and what there is to say about what they were read from.
pub(crate) struct Reading {
    /// A value that cannot be read has its default here.
    pub(crate) settings: JobSettings,
    pub(crate) problems: Vec<Problem>,
    /// One line each; names the key and says what holds instead.
    pub(crate) warnings: Vec<String>,
}

/// Reads and checks the settings of a job.
pub(crate) fn read(configuration: &Configuration) -> Reading {
    let mut intake = intake::take_in(configuration);
    let settings = draft::settle(&mut intake);
    let (problems, warnings) = intake.findings();
    Reading { settings, problems, warnings }
}

#[cfg(test)]
mod tests;
