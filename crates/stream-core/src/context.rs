//! [`StreamingContext`]: where a job begins. It holds the configuration and the graph being described.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stream_conf::Configuration;

use crate::catalogue::KeyInfo;
use crate::checkpoint::{CheckpointStore, MemoryStore};
use crate::error::ErrorKind;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::graph::Logic;
use crate::operator::Record;
use crate::plan::Plan;
use crate::runtime::adoption::Commits;
use crate::runtime::job::{self, Durability, Endurance, JobHandle, JobReport};
use crate::runtime::link::guard;
use crate::runtime::schedule::Rhythm;
use crate::settings::{self, CheckpointStorage, JobSettings, Reading};
use crate::side_job::SideJob;
use crate::source::Source;
use crate::sources::{GeneratorSource, IteratorSource};
use crate::state::StateBackend;
use crate::stream::{DataStream, SharedGraph};
#[cfg(feature = "testing")]
use crate::transaction::TransactionRun;
use crate::transaction::Transactions;

/// How many bytes an exchange channel holds before its sender waits.
const EXCHANGE_BYTES: usize = 1 << 20;

/// How long a checkpoint may take: by itself, and where a transaction stays open for it.
const TIMEOUT: Duration = Duration::from_secs(600);
const TIMEOUT_IN_TRANSACTION: Duration = Duration::from_secs(60);

/// The sections of connectors; parameters of the job's own belong under `app:`.
const CONNECTORS: [&str; 2] = ["kafka.source", "kafka.sink"];

/// Describes and runs one job.
///
/// Mistakes in the description (a wrong setting, two operators with one uid) are collected and reported all
/// at once by [`plan`](StreamingContext::plan), [`start`](StreamingContext::start) and [`execute`](StreamingContext::execute).
///
/// # Example
/// ```
/// use stream_core::{Configuration, StreamingContext};
///
/// let ctx = StreamingContext::new(Configuration::empty());
/// let lengths = ctx.from_iter(["one", "three"]).map(str::len).collect();
/// ctx.execute("lengths")?;
/// assert_eq!(lengths.take(), [3, 5]);
/// # Ok::<(), stream_core::Error>(())
/// ```
pub struct StreamingContext {
    configuration: Configuration,
    graph: SharedGraph,
    settings: Box<JobSettings>,
    /// What connectors know beside the engine's own keys.
    keys: Mutex<Vec<KeyInfo>>,
    exchange_bytes: usize,
    checkpoint_store: Option<Arc<dyn CheckpointStore>>,
    restore_from: Option<u64>,
    rewind: bool,
    accept_offset_reset: bool,
    commits: Mutex<Commits>,
    side_jobs: Mutex<Vec<SideJob>>,
    /// What the sources and sinks of one connector share.
    shared: Mutex<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl StreamingContext {
    /// A context for one job with this configuration.
    ///
    /// What the configuration says about the job as a whole is read here; see [`settings`](StreamingContext::settings).
    /// Settings without effect are named in warnings.
    pub fn new(configuration: Configuration) -> StreamingContext {
        let Reading { settings, mut problems, warnings } = settings::read(&configuration);
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        if let Err(error) = configuration.check_claimed(&[&settings::SECTIONS[..], &CONNECTORS].concat()) {
            problems.extend(error.into_problems());
        }
        // By line, as a reader meets them; what has no place comes last.
        problems.sort_by_key(|problem| (problem.origin().is_none(), problem.origin().cloned()));
        let context = StreamingContext {
            configuration,
            graph: SharedGraph::default(),
            settings: Box::new(settings),
            keys: Mutex::default(),
            exchange_bytes: EXCHANGE_BYTES,
            checkpoint_store: None,
            restore_from: None,
            rewind: false,
            accept_offset_reset: false,
            commits: Mutex::default(),
            side_jobs: Mutex::default(),
            shared: Mutex::default(),
        };
        if let Some(error) = stream_conf::Error::of(problems) {
            context.reject(error);
        }
        context
    }

    /// Sets the parallelism of operators that don't set their own; wins over the configuration.
    ///
    /// # Panics
    /// If `parallelism` is 0.
    #[must_use]
    pub fn parallelism(mut self, parallelism: usize) -> StreamingContext {
        assert!(parallelism > 0, "parallelism counts subtasks: at least 1");
        self.settings.parallelism = parallelism;
        self
    }

    /// Sets where operators keep their state; wins over the configuration.
    #[must_use]
    pub fn state_backend(mut self, backend: StateBackend) -> StreamingContext {
        self.settings.state.backend = backend;
        self
    }

    /// Sets how many bytes of records each exchange channel holds before its sender waits; 1 MiB by default.
    #[must_use]
    pub fn exchange_bytes(mut self, bytes: usize) -> StreamingContext {
        self.exchange_bytes = bytes.max(1);
        self
    }

    /// Sets where checkpoints are kept; wins over the configuration, which `stream-store` reads.
    #[must_use]
    pub fn checkpoint_store(mut self, store: impl CheckpointStore + 'static) -> StreamingContext {
        self.checkpoint_store = Some(Arc::new(store));
        self
    }

    /// Goes on from the checkpoint with this number instead of the newest, in a new line of history: what was published
    /// since then appears again.
    #[must_use]
    pub fn restore_from(mut self, sequence: u64) -> StreamingContext {
        self.restore_from = Some(sequence);
        self
    }

    /// Lets [`restore_from`](StreamingContext::restore_from) go back behind what is committed: what was committed since
    /// then appears again.
    #[must_use]
    pub fn rewind(mut self) -> StreamingContext {
        self.rewind = true;
        self
    }

    /// Lets sources go on at the positions of their groups in place of those of the checkpoint, where somebody has moved
    /// the group on purpose. State is kept, and a new line of history begins.
    #[must_use]
    pub fn accept_offset_reset(mut self) -> StreamingContext {
        self.accept_offset_reset = true;
        self
    }

    /// Offers a job beside this one; for connectors.
    pub fn add_side_job(&self, job: SideJob) {
        lock(&self.side_jobs).push(job);
    }

    /// Takes the side jobs that sources and sinks have offered.
    pub fn take_side_jobs(&self) -> Vec<SideJob> {
        std::mem::take(&mut *lock(&self.side_jobs))
    }

    /// Lets these transactions commit every checkpoint, together with what sinks have written into them; for connectors.
    pub fn commit_by(&self, transactions: impl Transactions + 'static) {
        *lock(&self.commits) = Commits::All(Box::new(transactions));
    }

    /// Lets these transactions say what an earlier run has committed by them, in a job that commits by none; for
    /// connectors. The first that were named count.
    pub fn settle_by(&self, transactions: impl Transactions + 'static) {
        let mut commits = lock(&self.commits);
        if matches!(*commits, Commits::Nothing) {
            *commits = Commits::Settled(Box::new(transactions));
        }
    }

    /// What all sources and sinks of one connector in this job share; made at the first call.
    pub fn shared<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut shared = lock(&self.shared);
        let any = shared.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default())).clone();
        any.downcast().unwrap_or_default()
    }

    /// The configuration the context was made with.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// What the configuration says about the job as a whole.
    ///
    /// A value that is wrong has its default here; the mistake is reported with the others.
    pub fn settings(&self) -> &JobSettings {
        &self.settings
    }

    /// Every key that this job understands, as far as it has been described: those of the job as a whole, then those
    /// that its connectors have added.
    pub fn keys(&self) -> Vec<KeyInfo> {
        let mut keys = settings::keys();
        keys.extend(lock(&self.keys).iter().cloned());
        keys
    }

    /// Adds keys to [`keys`](StreamingContext::keys), for connectors; a key that is there already stays as it is.
    pub fn add_keys(&self, keys: impl IntoIterator<Item = KeyInfo>) {
        let mut known = lock(&self.keys);
        let mut names: BTreeSet<String> = known.iter().map(|info| info.key.to_string()).collect();
        known.extend(keys.into_iter().filter(|info| names.insert(info.key.to_string())));
    }

    /// A stream of the records of an iterator, read by one subtask, ending when the iterator does.
    pub fn from_iter<I>(&self, records: I) -> DataStream<I::Item>
    where
        I: IntoIterator,
        I::IntoIter: Send + 'static,
        I::Item: Record,
    {
        self.source("from_iter", IteratorSource(Some(records.into_iter()))).fixed_parallelism(1)
    }

    /// A stream of `count` records, record `i` being `function(i)`; every subtask generates a contiguous share.
    pub fn generate<T: Record>(
        &self,
        count: u64,
        function: impl FnMut(u64) -> T + Clone + Send + 'static,
    ) -> DataStream<T> {
        self.source("generate", GeneratorSource { count, function })
    }

    /// A stream from a source of your own.
    pub fn source<T: Record>(&self, kind: &'static str, source: impl Source<T> + 'static) -> DataStream<T> {
        self.graph.source(kind, source)
    }

    /// Records a mistake in the description; connectors call this so that all mistakes are reported together.
    pub fn reject(&self, error: impl Into<Error>) {
        self.graph.lock().errors.push(error.into());
    }

    /// The plan of what has been described so far, to be explained. Nothing is started, no broker is asked.
    ///
    /// # Errors
    /// `Config`, with every mistake in the description.
    pub fn plan(&self, job: &str) -> Result<Plan> {
        let plan = Plan::new(job, &self.graph.lock(), &self.settings, self.exchange_bytes)?;
        self.check_durable(&plan).map(|()| plan)
    }

    /// Asks the outside system of every source and sink, each for at most `limit`, whether the job could start.
    /// Nothing is started or changed.
    ///
    /// # Errors
    /// `Config`, with every mistake in the description. What each end found is in its [`EndCheck`].
    pub fn check_ends(&self, job: &str, limit: Duration) -> Result<Vec<EndCheck>> {
        let plan = self.plan(job)?;
        let mut graph = self.graph.lock();
        let mut checks = Vec::new();
        for (node, planned) in graph.nodes.iter_mut().zip(&plan.nodes) {
            let found = match &mut node.logic {
                Logic::Source(source) => guard(|| source.check(limit)),
                Logic::Sink(sink) => guard(|| sink.check(limit)),
                Logic::Operator(_) => continue,
            };
            let what = if planned.is_source { "source" } else { "sink" };
            let end = format!("{what} {} ({})", planned.name, planned.detail);
            checks.push(EndCheck { end, found });
        }
        Ok(checks)
    }

    /// Starts the job and returns at once.
    ///
    /// # Errors
    /// `Config`, with every mistake in the description. What goes wrong later is returned by [`JobHandle::wait`].
    pub fn start(self, job: &str) -> Result<JobHandle> {
        let durability = self.durability();
        let settings = self.settings.clone();
        let commits = std::mem::take(&mut *lock(&self.commits));
        let is_transactional = matches!(commits, Commits::All(_));
        let (plan, graph) = self.planned(job)?;
        check_durable(&plan, &settings, is_transactional)?;
        let durability = durability?;
        warn_of_state(&plan, durability.is_some());
        let application = settings.application;
        job::start(plan, graph, Endurance { restart: settings.restart, durability, application, commits })
    }

    fn check_durable(&self, plan: &Plan) -> Result<()> {
        check_durable(plan, &self.settings, matches!(*lock(&self.commits), Commits::All(_)))
    }

    /// How checkpoints are taken, if they are.
    fn durability(&self) -> Result<Option<Durability>> {
        let Some(checkpointing) = &self.settings.checkpointing else {
            return match self.restore_from {
                None => Ok(None),
                Some(sequence) => {
                    let message = format!("can't go on from checkpoint {sequence}: the job takes no checkpoints");
                    let hint = "set execution.checkpointing.interval, for instance to 10s";
                    Err(Error::new(ErrorKind::Config, message).with_hint(hint))
                }
            };
        };
        let store = match &self.checkpoint_store {
            Some(store) => store.clone(),
            None if self.settings.state.checkpoint_storage == CheckpointStorage::Memory => {
                if matches!(*lock(&self.commits), Commits::All(_)) {
                    let message = "exactly-once needs checkpoints that outlive the process: these are kept in memory";
                    let hint =
                        "set execution.checkpointing.dir to a directory, such as /var/lib/streams, or to a bucket";
                    return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
                }
                tracing::warn!(
                    "checkpoints are kept in memory: they survive a restart of the job, not of the process; \
                     execution.checkpointing.dir says where to keep them instead"
                );
                Arc::new(MemoryStore::new())
            }
            None => {
                let message = "execution.checkpointing.dir is set, but this program can't keep checkpoints in files";
                let hint = "run the job through stream-app, or add stream-store and give the context its store";
                return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
            }
        };
        let rhythm = Rhythm {
            interval: checkpointing.interval,
            min_pause: checkpointing.min_pause,
            timeout: Some(checkpointing.timeout.unwrap_or(match *lock(&self.commits) {
                Commits::All(_) => TIMEOUT_IN_TRANSACTION,
                _ => TIMEOUT,
            })),
            tolerable: Some(checkpointing.tolerable_failures),
        };
        let state = &self.settings.state;
        let (from, rewind, accept_offset_reset) = (self.restore_from, self.rewind, self.accept_offset_reset);
        let (retained, allow_non_restored) = (state.retained, state.allow_non_restored);
        Ok(Some(Durability { store, rhythm, retained, from, rewind, accept_offset_reset, allow_non_restored }))
    }

    /// Whether stopping takes a last checkpoint, and where checkpoints go, for a driver that always takes them.
    #[cfg(feature = "testing")]
    pub(crate) fn stepped_durability(&self) -> (bool, Arc<dyn CheckpointStore>) {
        let store = self.checkpoint_store.clone().unwrap_or_else(|| Arc::new(MemoryStore::new()));
        (self.settings.checkpointing.is_some(), store)
    }

    /// The transactions of the job, for a driver that needs no time for them.
    #[cfg(feature = "testing")]
    pub(crate) fn stepped_commits(&self, job: &str) -> (Commits, TransactionRun) {
        let run = TransactionRun {
            application: self.settings.application.as_str().into(),
            job: job.into(),
            interval: Duration::ZERO,
            checkpoint_timeout: Duration::ZERO,
            tolerable_failures: 0,
            stopping: Arc::new(|| false),
        };
        (std::mem::take(&mut *lock(&self.commits)), run)
    }

    /// What the job is to go on from.
    #[cfg(feature = "testing")]
    pub(crate) fn stepped_wanted(&self) -> crate::runtime::adoption::Wanted {
        let (sequence, rewind) = (self.restore_from, self.rewind);
        crate::runtime::adoption::Wanted { sequence, rewind, strict: true, ..Default::default() }
    }

    /// What a driver needs to run the job.
    pub(crate) fn planned(self, job: &str) -> Result<(Plan, Graph)> {
        let mut graph = std::mem::take(&mut *self.graph.lock());
        graph.reject_unread();
        let plan = Plan::new(job, &graph, &self.settings, self.exchange_bytes)?;
        Ok((plan, graph))
    }

    /// Runs the job until its sources end.
    ///
    /// # Errors
    /// `Config` for mistakes in the description, otherwise the first error that stopped the job.
    pub fn execute(self, job: &str) -> Result<JobReport> {
        self.start(job)?.wait()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one assignment or one push, so what a panic left is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Refuses what needs checkpoints in a job that takes none.
fn check_durable(plan: &Plan, settings: &JobSettings, is_transactional: bool) -> Result<()> {
    if is_transactional && settings.checkpointing.is_none() {
        let message = format!("job `{}` promises exactly-once, and takes no checkpoints", plan.job);
        let hint = "a transaction is committed with each checkpoint: set execution.checkpointing.interval, for instance to \
                    1s, or write semantic: AT_LEAST_ONCE";
        return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
    }
    plan.check_staged(settings)
}

/// Says what would not survive: state without checkpoints, and with them state that a changed program would not find.
fn warn_of_state(plan: &Plan, is_durable: bool) {
    let keepers = plan.nodes.iter().filter(|node| node.keeps_state && !(is_durable && node.has_own_uid));
    let names: Vec<String> = keepers.map(|node| format!("`{}` (uid {})", node.name, node.uid)).collect();
    if names.is_empty() {
        return;
    }
    let names = names.join(", ");
    match is_durable {
        true => tracing::warn!(
            "state is found by uid, and these have one that changes when the program does: {names}; give them one with \
             .uid(\"…\")"
        ),
        false => tracing::warn!(
            "no checkpoints are taken, so what these keep is gone when the job ends: {names}; \
             execution.checkpointing.interval switches checkpoints on"
        ),
    }
}

/// What a source or sink found out about its outside system.
#[derive(Debug)]
pub struct EndCheck {
    /// Which end of the job, for people.
    pub end: String,
    /// What was found, or why the job could not start.
    pub found: Result<String>,
}

// A context may be handed to helpers on other threads while the job is described.
const _: fn() = || {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<StreamingContext>();
    is_send_and_sync::<Arc<DataStream<u64>>>();
};
