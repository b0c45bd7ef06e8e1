//! From values to settings: defaults, what was given, and what does not go together.

use std::time::Duration;

use super::intake::Intake;
use super::table::{Fate, ROWS, Spelling, Theme};
use super::{
    CheckpointMode, CheckpointRetention, CheckpointStorage, Checkpointing, JobSettings, RestartStrategy, RuntimeMode,
    StateSettings,
};
use crate::operator::MAX_PARALLELISM;
use crate::state::StateBackend;

/// The values of all rows, side by side. Words are their positions in the list of the row.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) name: Option<String>,
    pub(super) application: Option<String>,
    pub(super) parallelism: u32,
    pub(super) max_parallelism: Option<u32>,
    pub(super) runtime_mode: usize,
    pub(super) auto_watermark_interval: Option<Duration>,
    pub(super) checkpoints_enabled: Option<bool>,
    pub(super) interval: Option<Duration>,
    pub(super) mode: usize,
    pub(super) timeout: Option<Duration>,
    pub(super) min_pause: Duration,
    pub(super) max_concurrent: u32,
    pub(super) unaligned: bool,
    pub(super) retention: usize,
    pub(super) tolerable_failures: u32,
    pub(super) restart: Option<usize>,
    pub(super) fixed_attempts: u32,
    pub(super) fixed_delay: Duration,
    pub(super) initial_backoff: Duration,
    pub(super) max_backoff: Duration,
    pub(super) multiplier: f64,
    pub(super) reset_after: Duration,
    pub(super) jitter: f64,
    pub(super) exponential_attempts: Option<u32>,
    pub(super) rate_failures: u32,
    pub(super) rate_interval: Duration,
    pub(super) rate_delay: Duration,
    pub(super) backend: usize,
    pub(super) incremental: bool,
    pub(super) storage: Option<usize>,
    pub(super) checkpoints_dir: Option<String>,
    pub(super) savepoints_dir: Option<String>,
    pub(super) retained: u32,
    pub(super) allow_non_restored: bool,
}

const INTERVAL: &str = "execution.checkpointing.interval";
const SWITCH: &str = "flink.checkpoints.enable";
const RESTART: &str = "restart-strategy.type";

/// Makes settings of what was taken in; what does not go together becomes problems.
pub(super) fn settle(intake: &mut Intake) -> JobSettings {
    let draft = filled(intake);
    let checkpointing = checkpointing(&draft, intake);
    let restart = restart(&draft, checkpointing.is_some(), intake);
    compare_parallelism(&draft, intake);
    let files = draft.checkpoints_dir.is_some();
    let storage = draft.storage.map_or(files, |storage| storage == 1);
    JobSettings {
        name: draft.name,
        application: draft.application.unwrap_or_default(),
        parallelism: usize::try_from(draft.parallelism).unwrap_or(1),
        max_parallelism: draft.max_parallelism.and_then(|most| usize::try_from(most).ok()).unwrap_or(MAX_PARALLELISM),
        runtime_mode: match draft.runtime_mode {
            1 => RuntimeMode::Batch,
            2 => RuntimeMode::Automatic,
            _ => RuntimeMode::Streaming,
        },
        auto_watermark_interval: draft.auto_watermark_interval,
        checkpointing,
        restart,
        state: StateSettings {
            backend: if draft.backend == 2 { StateBackend::Bytes } else { StateBackend::Memory },
            incremental: draft.incremental,
            checkpoint_storage: if storage { CheckpointStorage::Files } else { CheckpointStorage::Memory },
            checkpoints_dir: draft.checkpoints_dir,
            savepoints_dir: draft.savepoints_dir,
            retained: usize::try_from(draft.retained).unwrap_or(usize::MAX),
            allow_non_restored: draft.allow_non_restored,
        },
    }
}

/// The defaults, and what was given over them.
fn filled(intake: &Intake) -> Draft {
    let mut draft = Draft::default();
    for row in ROWS {
        let old = matches!(row.fate, Fate::Within(theme) if intake.is_old(theme));
        let default = if old && !row.old_default.is_empty() { row.old_default } else { row.default };
        let given = intake.given(row.key).map(|given| given.value.clone());
        if let Some(value) = given.or_else(|| row.rule.parse(default).ok().filter(|_| !default.is_empty())) {
            row.rule.put(&mut draft, &value);
        }
    }
    draft
}

/// Flink's switch is the interval; StreamPark 1 has one of its own.
fn checkpointing(draft: &Draft, intake: &mut Intake) -> Option<Checkpointing> {
    let interval_spelling = intake.given(INTERVAL).map(|given| given.spelling);
    let is_on = match draft.checkpoints_enabled {
        Some(false) if interval_spelling == Some(Spelling::Current) => {
            let message = "checkpoints are switched off here, but have an interval";
            intake.contradiction(SWITCH, INTERVAL, message, "keep one of the two");
            false
        }
        Some(true) if draft.interval.is_some_and(|interval| interval.is_zero()) => {
            let message = "checkpoints are switched on, but have no interval";
            intake.contradiction(INTERVAL, SWITCH, message, "write an interval such as `10s`");
            false
        }
        Some(is_on) => is_on,
        None => interval_spelling == Some(Spelling::Current),
    };
    let interval = draft.interval.filter(|interval| is_on && !interval.is_zero());
    let Some(interval) = interval else {
        if draft.checkpoints_enabled.is_none() && draft.interval.is_none_or(|interval| !interval.is_zero()) {
            let switch = if intake.is_old(Theme::Checkpoints) { "flink.checkpoints.enable: true" } else { INTERVAL };
            intake.warn_of_idle(Theme::Checkpoints, switch);
        }
        return None;
    };
    Some(Checkpointing {
        interval,
        mode: if draft.mode == 1 { CheckpointMode::AtLeastOnce } else { CheckpointMode::ExactlyOnce },
        timeout: draft.timeout,
        min_pause: draft.min_pause,
        max_concurrent: draft.max_concurrent,
        unaligned: draft.unaligned,
        retention: match draft.retention {
            0 => CheckpointRetention::None,
            1 => CheckpointRetention::DeleteOnCancellation,
            _ => CheckpointRetention::RetainOnCancellation,
        },
        tolerable_failures: draft.tolerable_failures,
    })
}

fn restart(draft: &Draft, with_checkpoints: bool, intake: &mut Intake) -> RestartStrategy {
    match draft.restart {
        Some(1) => RestartStrategy::FixedDelay { attempts: draft.fixed_attempts, delay: draft.fixed_delay },
        Some(3) => RestartStrategy::FailureRate {
            max_failures: draft.rate_failures,
            interval: draft.rate_interval,
            delay: draft.rate_delay,
        },
        Some(2) => exponential(draft, intake),
        None if with_checkpoints => exponential(draft, intake),
        None => {
            intake.warn_of_idle(Theme::Restart, RESTART);
            RestartStrategy::None
        }
        Some(_) => RestartStrategy::None,
    }
}

fn exponential(draft: &Draft, intake: &mut Intake) -> RestartStrategy {
    if draft.max_backoff < draft.initial_backoff {
        let (longest, first) =
            ("restart-strategy.exponential-delay.max-backoff", "restart-strategy.exponential-delay.initial-backoff");
        let hint = "make the longest pause at least as long as the first";
        intake.contradiction(longest, first, "the longest pause is shorter than the first", hint);
    }
    RestartStrategy::ExponentialDelay {
        initial_backoff: draft.initial_backoff,
        max_backoff: draft.max_backoff,
        multiplier: draft.multiplier,
        reset_after: draft.reset_after,
        jitter: draft.jitter,
        attempts: draft.exponential_attempts,
    }
}

fn compare_parallelism(draft: &Draft, intake: &mut Intake) {
    if draft.max_parallelism.is_some_and(|most| draft.parallelism > most) {
        let message = "the parallelism is larger than the largest that the job may ever have";
        let hint = "lower `parallelism.default`, or raise `pipeline.max-parallelism`";
        intake.contradiction("parallelism.default", "pipeline.max-parallelism", message, hint);
    }
}
