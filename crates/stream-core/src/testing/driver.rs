//! [`TestDriver`]: a user's job between typed inputs and outputs, run by the stepped scheduler.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use stream_conf::Configuration;

use crate::context::StreamingContext;
use crate::error::{Error, Result};
use crate::operator::Record;
use crate::runtime::job::JobReport;
use crate::state::StateBackend;
use crate::stream::DataStream;
use crate::testing::input::{TestInput, TestSource};
use crate::testing::output::TestOutput;
use crate::testing::stepped::SteppedJob;
use crate::time::Timestamp;

/// The name of the job in errors.
const JOB: &str = "test";

/// Runs a typed job without a broker, without threads and without real time.
///
/// First the job is described: [`job`](TestDriver::job) for a function from one stream to another,
/// [`input`](TestDriver::input) and [`output`](TestDriver::output) for any other shape. Then records are pushed, the job
/// is run, and results are taken, as often as the test likes. The first call that runs the job opens its sources and
/// sinks. Errors are those of production: kind, message, hint, and the operator and record they happened at.
///
/// # Example
/// ```
/// use stream_core::DataStream;
/// use stream_core::testing::TestDriver;
///
/// struct User {
///     name: String,
///     age: u8,
/// }
///
/// fn adults(users: DataStream<User>) -> DataStream<String> {
///     users.filter(|user| user.age >= 18).map(|user| user.name)
/// }
///
/// let mut driver = TestDriver::new();
/// let (users, names) = driver.job(adults);
///
/// users.push(User { name: "ada".into(), age: 36 });
/// users.push(User { name: "tim".into(), age: 7 });
/// driver.run_until_idle()?;
/// assert_eq!(names.take(), ["ada"]);
///
/// users.push(User { name: "bob".into(), age: 18 });
/// driver.finish()?;
/// assert_eq!(names.take(), ["bob"]);
/// # Ok::<(), stream_core::Error>(())
/// ```
///
/// Several inputs and outputs:
/// ```
/// # use stream_core::testing::TestDriver;
/// let mut driver = TestDriver::new().parallelism(3);
/// let (small, smalls) = driver.input("small");
/// let (large, larges) = driver.input("large");
/// let both = smalls.union([larges.map(|x| x * 100)]).rebalance();
/// let squares = driver.output(both.clone().map(|x| x * x));
/// let numbers = driver.output(both);
///
/// small.push_all([1, 2]);
/// large.push(3);
/// driver.finish()?;
/// assert_eq!(numbers.take_sorted(), [1, 2, 300]);
/// assert_eq!(squares.take_sorted(), [1, 4, 90_000]);
/// # Ok::<(), stream_core::Error>(())
/// ```
pub struct TestDriver {
    seed: u64,
    phase: Phase,
    /// Ends an input, whatever its type.
    ends: Vec<Box<dyn Fn()>>,
    /// Takes back what came out of an output after an epoch.
    outputs: Mutex<Vec<RollBack>>,
}

/// Takes back what came after an epoch.
type RollBack = Box<dyn Fn(u64) + Send>;

enum Phase {
    Described(StreamingContext),
    Running(Box<SteppedJob>),
    /// The job was refused before it could run.
    Refused(Error),
}

impl TestDriver {
    /// A driver for a job without configuration.
    pub fn new() -> TestDriver {
        TestDriver::with(Configuration::empty())
    }

    /// A driver for a job that reads `configuration`.
    pub fn with(configuration: Configuration) -> TestDriver {
        TestDriver {
            seed: 0,
            phase: Phase::Described(StreamingContext::new(configuration)),
            ends: Vec::new(),
            outputs: Mutex::default(),
        }
    }

    /// Sets the parallelism of operators that don't set their own; 1 by default.
    ///
    /// # Panics
    /// If `parallelism` is 0, or the job runs already.
    #[must_use]
    #[track_caller]
    pub fn parallelism(self, parallelism: usize) -> TestDriver {
        self.describe(|context| context.parallelism(parallelism))
    }

    /// Sets how many bytes of records each exchange holds; with 1, there is back pressure after every batch.
    ///
    /// # Panics
    /// If the job runs already.
    #[must_use]
    #[track_caller]
    pub fn exchange_bytes(self, bytes: usize) -> TestDriver {
        self.describe(|context| context.exchange_bytes(bytes))
    }

    /// Sets where operators keep their state; [`StateBackend::Memory`] by default.
    ///
    /// # Panics
    /// If the job runs already.
    #[must_use]
    #[track_caller]
    pub fn state_backend(self, backend: StateBackend) -> TestDriver {
        self.describe(|context| context.state_backend(backend))
    }

    /// Chooses another order in which subtasks take their steps. The same seed always gives the same run.
    #[must_use]
    pub fn seed(self, seed: u64) -> TestDriver {
        TestDriver { seed, ..self }
    }

    /// The context of the job, for what needs more than streams: its configuration, sources of its own.
    ///
    /// # Panics
    /// If the job runs already.
    #[track_caller]
    pub fn context(&self) -> &StreamingContext {
        match &self.phase {
            Phase::Described(context) => context,
            Phase::Running(_) | Phase::Refused(_) => too_late(),
        }
    }

    /// Puts a job with one input and one output between the two.
    ///
    /// # Panics
    /// If the job runs already.
    #[track_caller]
    pub fn job<I: Record, O: Record>(
        &mut self,
        job: impl FnOnce(DataStream<I>) -> DataStream<O>,
    ) -> (TestInput<I>, TestOutput<O>) {
        let (input, records) = self.input("input");
        (input, self.output(job(records)))
    }

    /// An input that errors call `name`, and the stream of what is pushed into it.
    ///
    /// # Panics
    /// If the job runs already.
    #[track_caller]
    pub fn input<T: Record>(&mut self, name: &str) -> (TestInput<T>, DataStream<T>) {
        self.input_of(name, TestInput::new())
    }

    /// As [`input`](TestDriver::input); what was read is kept, so that a job that has [crashed](TestDriver::crash) can
    /// read it again.
    ///
    /// # Panics
    /// If the job runs already.
    #[track_caller]
    pub fn durable_input<T: Record + Clone>(&mut self, name: &str) -> (TestInput<T>, DataStream<T>) {
        self.input_of(name, TestInput::durable())
    }

    #[track_caller]
    fn input_of<T: Record>(&mut self, name: &str, input: TestInput<T>) -> (TestInput<T>, DataStream<T>) {
        let stream = self.context().source("input", TestSource(input.clone())).name(name).fixed_parallelism(1);
        let ended = input.clone();
        self.ends.push(Box::new(move || ended.end()));
        (input, stream)
    }

    /// An output that takes the records of `stream`.
    ///
    /// # Panics
    /// If the job runs already.
    #[track_caller]
    pub fn output<T: Record>(&self, stream: DataStream<T>) -> TestOutput<T> {
        // A stream described later belongs to no job any more.
        self.context();
        let output = TestOutput::new();
        stream.sink("output", output.clone());
        let rolled_back = output.clone();
        let roll_back = Box::new(move |epoch| rolled_back.roll_back(epoch));
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).push(roll_back);
        output
    }

    /// Runs until everything that was pushed has been worked off and the job waits for more.
    ///
    /// # Errors
    /// The first error that stopped the job, `Config` for mistakes in its description included.
    pub fn run_until_idle(&mut self) -> Result<()> {
        self.running()?.run_until_idle()
    }

    /// Lets virtual time pass: runs until idle, then does what falls due, such as commits.
    ///
    /// # Errors
    /// As [`run_until_idle`](TestDriver::run_until_idle).
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// # use stream_core::testing::TestDriver;
    /// let mut driver = TestDriver::new();
    /// let (numbers, doubled) = driver.job(|numbers| numbers.map(|x: u64| x * 2));
    /// numbers.push_all([1, 2, 3]);
    /// driver.run_until_idle()?;
    /// assert_eq!((doubled.len(), numbers.committed()), (3, 0));
    /// driver.advance(Duration::from_secs(1))?;
    /// assert_eq!(numbers.committed(), 3);
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    pub fn advance(&mut self, by: Duration) -> Result<()> {
        self.running()?.advance(by)
    }

    /// Sets the wall clock of the job, which shows 1970-01-01T00:00:00Z before; no time passes by that.
    ///
    /// # Errors
    /// As [`run_until_idle`](TestDriver::run_until_idle).
    pub fn set_wall(&mut self, wall: Timestamp) -> Result<()> {
        self.running()?.clock().set_wall(wall);
        Ok(())
    }

    /// Ends every input and runs the job to its end.
    ///
    /// # Errors
    /// The first error that stopped the job, `Config` for mistakes in its description included.
    pub fn finish(&mut self) -> Result<JobReport> {
        for end in &self.ends {
            end();
        }
        self.running()?.run()
    }

    /// Ends the job as `kill -9` would, and goes on from its last checkpoint, or from the beginning: inputs are read again
    /// from there, operators get their state back, and what has come out since is taken back from the outputs.
    ///
    /// Checkpoints are taken once every second of virtual time, or as
    /// [`SteppedJob::set_checkpoint_interval`] says. What the test has taken from an output it keeps.
    ///
    /// # Errors
    /// `Config` if an input can't be read again; whatever operators return when they restore.
    ///
    /// # Example
    /// ```
    /// use std::time::Duration;
    /// # use stream_core::testing::TestDriver;
    /// let mut driver = TestDriver::new();
    /// let (words, stream) = driver.durable_input("words");
    /// let counts = driver.output(stream.key_by(|word: &String| word.clone()).count());
    /// words.push("a".to_owned());
    /// driver.advance(Duration::from_secs(1))?;
    /// words.push("a".to_owned());
    /// driver.run_until_idle()?;
    /// driver.crash()?;
    /// driver.finish()?;
    /// assert_eq!(counts.take(), [("a".to_owned(), 1), ("a".to_owned(), 2)]);
    /// # Ok::<(), stream_core::Error>(())
    /// ```
    pub fn crash(&mut self) -> Result<()> {
        if !self.roll_back()? {
            return Ok(());
        }
        self.running()?.crash().map(|_| ())
    }

    /// As [`crash`](TestDriver::crash), with another parallelism of all operators that have no parallelism of their
    /// own.
    ///
    /// # Errors
    /// As [`crash`](TestDriver::crash).
    ///
    /// # Panics
    /// If `parallelism` is 0.
    pub fn crash_and_rescale(&mut self, parallelism: usize) -> Result<()> {
        if !self.roll_back()? {
            return Ok(());
        }
        self.running()?.crash_and_rescale(parallelism).map(|_| ())
    }

    /// Takes back what came out after the checkpoint that a crash goes on from. False if the job has ended: what is over
    /// can't crash any more.
    fn roll_back(&mut self) -> Result<bool> {
        let job = self.running()?;
        if job.is_over() {
            return Ok(false);
        }
        let epoch = job.checkpointed_epoch();
        for roll_back in self.outputs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            roll_back(epoch);
        }
        Ok(true)
    }

    /// The scheduler, for tests that look closer: single steps, the trace, stop and abort.
    ///
    /// # Errors
    /// `Config` for mistakes in the job's description; whatever sinks and sources return when they open.
    pub fn running(&mut self) -> Result<&mut SteppedJob> {
        if let Phase::Described(context) = &mut self.phase {
            let context = std::mem::replace(context, StreamingContext::new(Configuration::empty()));
            self.phase = match SteppedJob::new(context, JOB, self.seed) {
                Ok(job) => Phase::Running(Box::new(job)),
                Err(error) => Phase::Refused(error),
            };
        }
        match &mut self.phase {
            Phase::Running(job) => Ok(job),
            Phase::Refused(error) => Err(error.clone()),
            Phase::Described(_) => Err(Error::internal("a described job did not start")),
        }
    }

    #[track_caller]
    fn describe(self, change: impl FnOnce(StreamingContext) -> StreamingContext) -> TestDriver {
        match self.phase {
            Phase::Described(context) => TestDriver { phase: Phase::Described(change(context)), ..self },
            Phase::Running(_) | Phase::Refused(_) => too_late(),
        }
    }
}

impl Default for TestDriver {
    fn default() -> TestDriver {
        TestDriver::new()
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "a mistake in a test, to be shown where it stands")]
fn too_late() -> ! {
    panic!("the job runs already: describe all of it before the first run_until_idle, advance or finish")
}
