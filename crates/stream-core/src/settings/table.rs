//! The table: every key of the job as a whole, and Flink's and StreamPark's keys that mean nothing here.
//!
//! One row per key. `docs/src/configuration-keys.md` is printed from it, and a test keeps that page fresh. A new
//! setting is one row here, one field in `draft`, and one in the settings.

use std::time::Duration;

use super::draft::Draft;
use super::rule::{Rule, Value};
use crate::catalogue::{KeyInfo, KeyState};

/// One key.
pub(super) struct Row {
    /// The name: Flink's current one. `<...>` at its end stands for any text.
    pub(super) key: &'static str,
    place: Place,
    /// Flink's earlier names; they stand wherever `key` may stand.
    also: &'static [&'static str],
    /// StreamPark 1's spellings, in full.
    old: &'static [&'static str],
    pub(super) rule: Rule,
    /// What holds when it is not given; empty for nothing.
    pub(super) default: &'static str,
    /// The same where the theme's keys are written in StreamPark 1's spelling; empty if it is no other.
    pub(super) old_default: &'static str,
    /// Values that need no warning, because what they ask for holds anyway.
    silent: &'static [&'static str],
    pub(super) fate: Fate,
    meaning: &'static str,
}

/// Where a key may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At the top level and wherever Flink's options may stand.
    Job,
    /// Only where Flink's options stand: `flink.property`, `flink.deployment.property`.
    Property,
    /// Where the options of Flink's command line stand: `flink.option`, `flink.deployment.option`.
    Option,
    /// As it is.
    Whole,
}

impl Place {
    /// What stands in front of a key, the preferred one first.
    pub(super) fn prefixes(self) -> &'static [&'static str] {
        match self {
            Place::Job => &["", "flink.property.", "flink.deployment.property."],
            Place::Property => &["flink.property.", "flink.deployment.property."],
            Place::Option => &["flink.option.", "flink.deployment.option."],
            Place::Whole => &[""],
        }
    }
}

/// What becomes of a key.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// It does what it says.
    Acts,
    /// It does what it says if the theme is switched on.
    Within(Theme),
    /// It has no effect, because of this.
    NoEffect(&'static str),
}

/// What one key switches on and others say more about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theme {
    Checkpoints,
    Restart,
}

impl Row {
    const fn new(key: &'static str, rule: Rule, fate: Fate, meaning: &'static str) -> Row {
        let place = Place::Job;
        Row { key, place, also: &[], old: &[], rule, default: "", old_default: "", silent: &[], fate, meaning }
    }

    /// A key that means nothing here, because of `why`.
    const fn foreign(place: Place, key: &'static str, why: &'static str) -> Row {
        Row { place, ..Row::new(key, Rule::Any, Fate::NoEffect(why), "") }
    }

    const fn default(self, default: &'static str) -> Row {
        Row { default, ..self }
    }

    const fn old_default(self, old_default: &'static str) -> Row {
        Row { old_default, ..self }
    }

    const fn also(self, also: &'static [&'static str]) -> Row {
        Row { also, ..self }
    }

    const fn old(self, old: &'static [&'static str]) -> Row {
        Row { old, ..self }
    }

    const fn silent(self, silent: &'static [&'static str]) -> Row {
        Row { silent, ..self }
    }

    const fn at(self, place: Place) -> Row {
        Row { place, ..self }
    }

    /// Whether what the value asks for holds anyway.
    pub(super) fn is_silent(&self, value: &Value) -> bool {
        self.silent.iter().any(|silent| self.rule.parse(silent).as_ref() == Ok(value))
    }

    /// The spelling of `key`, if it is one of this row.
    pub(super) fn spelling(&self, key: &str) -> Option<Spelling> {
        if self.old.contains(&key) {
            return Some(Spelling::Old);
        }
        let named = |name: &str| match self.key.strip_suffix("<...>") {
            Some(head) => name.strip_prefix(head).is_some_and(|rest| !rest.is_empty()),
            None => name == self.key || self.also.contains(&name),
        };
        let mut names = self.place.prefixes().iter().filter_map(|prefix| key.strip_prefix(prefix));
        names.any(named).then_some(Spelling::Current)
    }

    /// The names of a setting that stand behind `prefix`, without it.
    pub(super) fn names_behind(&self, prefix: &str) -> impl Iterator<Item = &'static str> {
        let stands = self.place.prefixes().contains(&prefix) && !self.key.ends_with("<...>");
        let names = std::iter::once(self.key).chain(self.also.iter().copied());
        names.filter(move |_| stands)
    }

    pub(super) fn old_names(&self) -> &'static [&'static str] {
        self.old
    }

    pub(super) fn info(&self) -> KeyInfo {
        let names = std::iter::once(&self.key).chain(self.also);
        let full = names.flat_map(|name| self.place.prefixes().iter().map(move |prefix| format!("{prefix}{name}")));
        let mut spellings: Vec<String> = full.chain(self.old.iter().map(|old| (*old).to_owned())).collect();
        let key = spellings.remove(0);
        spellings.retain(|other| *other != key);
        let (state, meaning) = match self.fate {
            Fate::Acts | Fate::Within(_) => (KeyState::ActedOn, self.meaning.to_owned()),
            Fate::NoEffect(why) if self.meaning.is_empty() => (KeyState::NoEffect, why.to_owned()),
            Fate::NoEffect(why) => (KeyState::NoEffect, format!("{}; {why}", self.meaning)),
        };
        KeyInfo { key, spellings, kind: self.rule.kind(), default: self.default.to_owned(), meaning, state }
    }
}

/// How a key was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As Flink names it.
    Current,
    /// As StreamPark 1 named it.
    Old,
}

const INT: u32 = i32::MAX.cast_unsigned();
/// Flink's largest number of key groups.
pub(super) const PARALLELISM_MAX: u32 = 32_768;

const fn whole(low: u32, high: u32, put: fn(&mut Draft, u32)) -> Rule {
    Rule::Whole { low, high, put }
}

const fn duration(put: fn(&mut Draft, Duration)) -> Rule {
    Rule::Duration { least: Duration::ZERO, put }
}

const CHECKPOINTS: Fate = Fate::Within(Theme::Checkpoints);
const RESTART: Fate = Fate::Within(Theme::Restart);

const NO_CLUSTER: &str = "there is no cluster: the job is one process";
const MEMORY: &str = "there is no cluster: set a limit for the process, for instance by systemd or a container";
const NO_ROCKSDB: &str = "there is no RocksDB here: state on disk, once it is built, needs no such tuning";
const ALIGNED: &str = "barriers are always aligned here";
const NO_SQL: &str = "there are no tables and no SQL here";
const ONE_PROCESS: &str = "one process, no deployment target: it runs where it is started";

/// The table: settings by theme, then what Flink and StreamPark have and this engine has not.
pub(super) const ROWS: &[Row] = &[
    Row::new("pipeline.name", Rule::Text(|d, v| d.name = Some(v)), Fate::Acts, "name of the job; `app.name` wins"),
    Row::new(
        "application.id",
        Rule::Text(|d, v| d.application = Some(v)),
        Fate::Acts,
        "keeps deployments of one job on one Kafka cluster apart: it is in the names of transactions and of the group that holds their markers",
    )
    .default("default"),
    Row::new(
        "parallelism.default",
        whole(1, PARALLELISM_MAX, |d, v| d.parallelism = v),
        Fate::Acts,
        "how many subtasks run an operator that sets no number itself",
    )
    .default("1")
    .old(&["flink.option.parallelism", "flink.deployment.option.parallelism"]),
    Row::new(
        "pipeline.max-parallelism",
        whole(1, PARALLELISM_MAX, |d, v| d.max_parallelism = Some(v)),
        Fate::Acts,
        "how many key groups there are: the largest parallelism that an operator with keys may ever have; fixed for the life of a job",
    )
    .default("256"),
    Row::new(
        "execution.runtime-mode",
        Rule::Word { words: &[&["STREAMING"], &["BATCH"], &["AUTOMATIC"]], put: |d, v| d.runtime_mode = v },
        Fate::NoEffect("every job runs as a stream, and one whose sources are bounded ends by itself"),
        "whether Flink runs a job as a stream or in stages",
    )
    .default("STREAMING")
    .silent(&["STREAMING"])
    .old(&["flink.execution.runtime-mode"]),
    Row::new(
        "pipeline.auto-watermark-interval",
        duration(|d, v| d.auto_watermark_interval = Some(v)),
        Fate::Acts,
        "how often watermarks are made, 0 for never (those in records themselves still are); not given, every 200 ms and whenever all input has been read",
    )
    .old(&["flink.watermark.interval"]),
    // Checkpoints.
    Row::new(
        "flink.checkpoints.enable",
        Rule::Flag(|d, v| d.checkpoints_enabled = Some(v)),
        CHECKPOINTS,
        "StreamPark 1's switch for checkpoints; with Flink's names the interval is the switch",
    )
    .at(Place::Whole)
    .old(&["flink.checkpoints.enable"]),
    Row::new(
        "execution.checkpointing.interval",
        Rule::Duration { least: Duration::from_millis(10), put: |d, v| d.interval = Some(v) },
        CHECKPOINTS,
        "time between the starts of checkpoints; not given, or 0, is off",
    )
    .old_default("1 s")
    .old(&["flink.checkpoints.interval"]),
    Row::new(
        "execution.checkpointing.mode",
        Rule::Word { words: &[&["EXACTLY_ONCE"], &["AT_LEAST_ONCE"]], put: |d, v| d.mode = v },
        CHECKPOINTS,
        "how often a record counts in the state after a failure",
    )
    .default("EXACTLY_ONCE")
    .also(&["execution.checkpointing.consistency-mode"])
    .old(&["flink.checkpoints.mode"]),
    Row::new(
        "execution.checkpointing.timeout",
        Rule::Duration { least: Duration::from_millis(10), put: |d, v| d.timeout = Some(v) },
        CHECKPOINTS,
        "a checkpoint that takes longer is given up; not given, 10 min, and 60 s where a transaction commits it",
    )
    .old(&["flink.checkpoints.timeout"]),
    Row::new(
        "execution.checkpointing.min-pause",
        duration(|d, v| d.min_pause = v),
        CHECKPOINTS,
        "time between the end of a checkpoint and the start of the next, at least",
    )
    .default("0 ms")
    .old(&["flink.checkpoints.minPauseBetween"]),
    Row::new(
        "execution.checkpointing.max-concurrent-checkpoints",
        whole(1, INT, |d, v| d.max_concurrent = v),
        Fate::NoEffect("one checkpoint is under way at a time"),
        "how many checkpoints may be under way",
    )
    .default("1")
    .silent(&["1"])
    .old(&["flink.checkpoints.maxConcurrent"]),
    Row::new(
        "execution.checkpointing.unaligned.enabled",
        Rule::Flag(|d, v| d.unaligned = v),
        Fate::NoEffect(ALIGNED),
        "whether barriers may overtake records",
    )
    .default("false")
    .silent(&["false"])
    .also(&["execution.checkpointing.unaligned"])
    .old(&["flink.checkpoints.unaligned"]),
    Row::new(
        "execution.checkpointing.externalized-checkpoint-retention",
        Rule::Word {
            words: &[&["NO_EXTERNALIZED_CHECKPOINTS"], &["DELETE_ON_CANCELLATION"], &["RETAIN_ON_CANCELLATION"]],
            put: |d, v| d.retention = v,
        },
        Fate::NoEffect("checkpoints are always kept: the next run goes on from the newest"),
        "what becomes of the last checkpoint when the job is cancelled",
    )
    .default("RETAIN_ON_CANCELLATION")
    .silent(&["RETAIN_ON_CANCELLATION"])
    .old(&["flink.checkpoints.cleanup"]),
    Row::new(
        "execution.checkpointing.tolerable-failed-checkpoints",
        whole(0, INT, |d, v| d.tolerable_failures = v),
        CHECKPOINTS,
        "so many failed checkpoints in a row don't fail the job",
    )
    .default("0"),
    // Restart strategy.
    Row::new(
        "restart-strategy.type",
        Rule::Word {
            words: &[&["none", "off", "disable"], &["fixed-delay"], &["exponential-delay"], &["failure-rate"]],
            put: |d, v| d.restart = Some(v),
        },
        RESTART,
        "what happens when the job fails; not given, it is exponential-delay with checkpoints and none without",
    )
    .also(&["restart-strategy"])
    .old(&["flink.restart-strategy.value"])
    .silent(&["none"]),
    Row::new(
        "restart-strategy.fixed-delay.attempts",
        whole(0, INT, |d, v| d.fixed_attempts = v),
        RESTART,
        "how often a failed job is restarted",
    )
    .default("1")
    .old_default("3")
    .old(&["flink.restart-strategy.fixed-delay.attempts"]),
    Row::new(
        "restart-strategy.fixed-delay.delay",
        duration(|d, v| d.fixed_delay = v),
        RESTART,
        "time before each restart",
    )
    .default("1 s")
    .old_default("5 s")
    .old(&["flink.restart-strategy.fixed-delay.delay"]),
    Row::new(
        "restart-strategy.exponential-delay.initial-backoff",
        duration(|d, v| d.initial_backoff = v),
        RESTART,
        "the first pause",
    )
    .default("1 s"),
    Row::new(
        "restart-strategy.exponential-delay.max-backoff",
        duration(|d, v| d.max_backoff = v),
        RESTART,
        "the longest pause",
    )
    .default("1 min"),
    Row::new(
        "restart-strategy.exponential-delay.backoff-multiplier",
        Rule::Number { low: 1.0, high: f64::INFINITY, put: |d, v| d.multiplier = v },
        RESTART,
        "what a pause is multiplied by to get the next",
    )
    .default("1.5"),
    Row::new(
        "restart-strategy.exponential-delay.reset-backoff-threshold",
        duration(|d, v| d.reset_after = v),
        RESTART,
        "after so long without failure it begins with the first pause again",
    )
    .default("1 h"),
    Row::new(
        "restart-strategy.exponential-delay.jitter-factor",
        Rule::Number { low: 0.0, high: 1.0, put: |d, v| d.jitter = v },
        RESTART,
        "the part of a pause that is left to chance",
    )
    .default("0.1"),
    Row::new(
        "restart-strategy.exponential-delay.attempts-before-reset-backoff",
        whole(1, INT, |d, v| d.exponential_attempts = Some(v)),
        RESTART,
        "so many failures without a reset end the job; not given, none do",
    ),
    Row::new(
        "restart-strategy.failure-rate.max-failures-per-interval",
        whole(1, INT, |d, v| d.rate_failures = v),
        RESTART,
        "so many failures in an interval are accepted",
    )
    .default("1")
    .old_default("3")
    .old(&["flink.restart-strategy.failure-rate.max-failures-per-interval"]),
    Row::new(
        "restart-strategy.failure-rate.failure-rate-interval",
        duration(|d, v| d.rate_interval = v),
        RESTART,
        "the interval in which failures are counted",
    )
    .default("1 min")
    .old_default("5 min")
    .old(&["flink.restart-strategy.failure-rate.failure-rate-interval"]),
    Row::new(
        "restart-strategy.failure-rate.delay",
        duration(|d, v| d.rate_delay = v),
        RESTART,
        "time before each restart",
    )
    .default("1 s")
    .old_default("5 s")
    .old(&["flink.restart-strategy.failure-rate.delay"]),
    // State.
    Row::new(
        "state.backend.type",
        Rule::Word {
            words: &[&["hashmap", "memory", "jobmanager", "filesystem"], &["rocksdb", "disk"], &["bytes"]],
            put: |d, v| d.backend = v,
        },
        Fate::NoEffect("state on disk is not built yet, so it lives in memory"),
        "where a running job keeps its state: as objects in memory, on disk (not yet), or as bytes in memory",
    )
    .default("hashmap")
    .silent(&["hashmap", "bytes"])
    .also(&["state.backend"])
    .old(&["flink.state.backend.value"]),
    Row::new(
        "execution.checkpointing.incremental",
        Rule::Flag(|d, v| d.incremental = v),
        Fate::NoEffect("checkpoints always are"),
        "whether a checkpoint writes only what has changed",
    )
    .default("true")
    .silent(&["true", "false"])
    .also(&["state.backend.incremental"])
    .old(&["flink.state.backend.incremental"]),
    Row::new(
        "execution.checkpointing.storage",
        Rule::Word { words: &[&["jobmanager", "memory"], &["filesystem", "files"]], put: |d, v| d.storage = Some(v) },
        Fate::Acts,
        "where checkpoints go; not given, to files if there is a directory",
    )
    .also(&["state.checkpoint-storage"])
    .old(&["flink.state.checkpoint-storage"]),
    Row::new(
        "execution.checkpointing.dir",
        Rule::Text(|d, v| d.checkpoints_dir = Some(v)),
        Fate::Acts,
        "directory or address of checkpoints",
    )
    .also(&["state.checkpoints.dir"])
    .old(&["flink.state.checkpoints.dir"]),
    Row::new(
        "execution.checkpointing.savepoint-dir",
        Rule::Text(|d, v| d.savepoints_dir = Some(v)),
        Fate::NoEffect("there are no savepoints yet"),
        "directory or address of savepoints",
    )
    .also(&["state.savepoints.dir"])
    .old(&["flink.state.savepoints.dir"]),
    Row::new(
        "execution.checkpointing.num-retained",
        whole(1, INT, |d, v| d.retained = v),
        Fate::Acts,
        "how many checkpoints are kept",
    )
    .default("3")
    .also(&["state.checkpoints.num-retained"]),
    Row::new(
        "execution.state-recovery.ignore-unclaimed-state",
        Rule::Flag(|d, v| d.allow_non_restored = v),
        Fate::Acts,
        "whether state in a checkpoint that no operator claims is dropped, instead of refusing to start",
    )
    .default("false")
    .also(&["execution.savepoint.ignore-unclaimed-state"]),
    // Options of Flink that mean nothing here; they may stand at the top level like the settings beside them.
    Row::foreign(Place::Job, "execution.checkpointing.aligned-checkpoint-timeout", ALIGNED),
    Row::foreign(Place::Job, "execution.checkpointing.unaligned.<...>", ALIGNED),
    Row::foreign(Place::Job, "execution.buffer-timeout", "buffers are handed on as soon as the input is drained"),
    Row::foreign(Place::Job, "execution.buffer-timeout.<...>", "buffers are handed on as soon as the input is drained"),
    Row::foreign(Place::Job, "execution.target", ONE_PROCESS),
    Row::foreign(Place::Job, "execution.attached", ONE_PROCESS),
    Row::foreign(Place::Job, "execution.shutdown-on-attached-exit", ONE_PROCESS),
    Row::foreign(Place::Job, "execution.savepoint.<...>", "there are no savepoints yet"),
    Row::foreign(Place::Job, "execution.state-recovery.<...>", "there are no savepoints yet"),
    Row::foreign(Place::Job, "state.backend.rocksdb.<...>", NO_ROCKSDB),
    Row::foreign(Place::Job, "state.backend.local-recovery", NO_CLUSTER),
    Row::foreign(Place::Job, "state.storage.fs.<...>", "there is no state yet"),
    Row::foreign(Place::Job, "pipeline.object-reuse", "records are always moved, never copied, between operators"),
    Row::foreign(Place::Job, "pipeline.operator-chaining", "operators are always chained where they can be"),
    Row::foreign(Place::Job, "pipeline.operator-chaining.<...>", "operators are always chained where they can be"),
    Row::foreign(Place::Job, "pipeline.generic-types", "types are those of the program: there is no Kryo"),
    Row::foreign(Place::Job, "pipeline.serialization-config", "types are those of the program: there is no Kryo"),
    Row::foreign(Place::Job, "pipeline.jars", "there are no jars: the program is the job"),
    Row::foreign(Place::Job, "pipeline.classpaths", "there are no jars: the program is the job"),
    Row::foreign(Place::Job, "pipeline.global-job-parameters", "write parameters of your own below `app:`"),
    // Options of Flink's cluster.
    Row::foreign(Place::Property, "taskmanager.memory.<...>", MEMORY),
    Row::foreign(Place::Property, "jobmanager.memory.<...>", MEMORY),
    Row::foreign(
        Place::Property,
        "taskmanager.numberOfTaskSlots",
        "there is no cluster: the parallelism says how many threads the process has",
    ),
    Row::foreign(Place::Property, "taskmanager.<...>", NO_CLUSTER),
    Row::foreign(Place::Property, "jobmanager.<...>", NO_CLUSTER),
    Row::foreign(Place::Property, "yarn.<...>", "there is no YARN: start the program where it is to run"),
    Row::foreign(
        Place::Property,
        "kubernetes.<...>",
        "the job does not talk to Kubernetes: put the program in a container",
    ),
    Row::foreign(
        Place::Property,
        "high-availability",
        "there is no job manager to be replaced: let whoever starts the process start it again",
    ),
    Row::foreign(
        Place::Property,
        "high-availability.<...>",
        "there is no job manager to be replaced: let whoever starts the process start it again",
    ),
    Row::foreign(Place::Property, "cluster.<...>", NO_CLUSTER),
    Row::foreign(Place::Property, "slotmanager.<...>", NO_CLUSTER),
    Row::foreign(Place::Property, "heartbeat.<...>", NO_CLUSTER),
    Row::foreign(Place::Property, "akka.<...>", NO_CLUSTER),
    Row::foreign(Place::Property, "pekko.<...>", NO_CLUSTER),
    Row::foreign(Place::Property, "blob.<...>", NO_CLUSTER),
    Row::foreign(Place::Property, "zookeeper.<...>", NO_CLUSTER),
    Row::foreign(Place::Property, "historyserver.<...>", NO_CLUSTER),
    Row::foreign(Place::Property, "rest.<...>", "there is no REST interface and no web page yet"),
    Row::foreign(Place::Property, "web.<...>", "there is no REST interface and no web page yet"),
    Row::foreign(Place::Property, "metrics.<...>", "there are no metrics yet"),
    Row::foreign(
        Place::Property,
        "security.<...>",
        "give each source and sink its own `security.protocol` and `ssl.*` or `sasl.*` keys",
    ),
    Row::foreign(Place::Property, "env.<...>", "there is no Java machine: set the environment of the process"),
    Row::foreign(Place::Property, "classloader.<...>", "there is no Java machine: no classes are loaded"),
    Row::foreign(Place::Property, "queryable-state.<...>", "there is no state to be asked yet"),
    Row::foreign(Place::Property, "table.<...>", NO_SQL),
    Row::foreign(Place::Property, "$internal.<...>", "there is no main class: the program is the job"),
    // Options of Flink's command line.
    Row::foreign(Place::Option, "target", ONE_PROCESS),
    Row::foreign(Place::Option, "executor", ONE_PROCESS),
    Row::foreign(Place::Option, "detached", ONE_PROCESS),
    Row::foreign(Place::Option, "shutdownOnAttachedExit", ONE_PROCESS),
    Row::foreign(Place::Option, "jobmanager", ONE_PROCESS),
    Row::foreign(Place::Option, "zookeeperNamespace", NO_CLUSTER),
    Row::foreign(Place::Option, "fromSavepoint", "there are no savepoints yet"),
    Row::foreign(Place::Option, "allowNonRestoredState", "there are no savepoints yet"),
    Row::foreign(Place::Option, "restoreMode", "there are no savepoints yet"),
    Row::foreign(Place::Option, "claimMode", "there are no savepoints yet"),
    Row::foreign(Place::Option, "class", "there is no main class: the program is the job"),
    Row::foreign(Place::Option, "classpath", "there are no jars: the program is the job"),
    // StreamPark's own.
    Row::foreign(
        Place::Whole,
        "flink.watermark.time.characteristic",
        "a record has its event time or it has none: there is no switch for it",
    ),
    Row::foreign(Place::Whole, "flink.state.backend.async", "there is no state yet"),
    Row::foreign(Place::Whole, "flink.state.backend.memory", "there is no state yet"),
    Row::foreign(Place::Whole, "flink.state.backend.rocksdb.<...>", NO_ROCKSDB),
    Row::foreign(Place::Whole, "flink.table.<...>", NO_SQL),
    Row::foreign(Place::Whole, "flink.sql.<...>", NO_SQL),
    Row::foreign(Place::Whole, "flink.home", "no Flink is needed"),
];

/// The row of a key, and how the key is spelt. An exact name comes before a family.
pub(super) fn find(key: &str) -> Option<(&'static Row, Spelling)> {
    let family = |row: &Row| row.key.ends_with("<...>");
    let mut found: Option<(&'static Row, Spelling)> = None;
    for row in ROWS {
        let Some(spelling) = row.spelling(key) else {
            continue;
        };
        if !family(row) {
            return Some((row, spelling));
        }
        // Of two families the narrower one.
        if found.is_none_or(|(other, _)| other.key.len() < row.key.len()) {
            found = Some((row, spelling));
        }
    }
    found
}
