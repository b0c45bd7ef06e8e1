//! A real broker for tests: topics with names of their own, deleted when the test ends.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use stream_core::clock::{Clock, SystemClock};
use stream_core::{Configuration, StreamingContext};
use stream_kafka::admin::Admin;
use stream_kafka::{KafkaRecord, KafkaSink, KafkaSource, OffsetsInitializer, ProducerRecord};

use crate::proxy::KafkaProxy;

const HOW: &str = "run the tests by `cargo xtask test`, which starts a real Kafka, or set STREAM_TEST_KAFKA=host:port";

/// Topics and groups on a real broker that belong to one test.
///
/// # Panics
/// Methods panic with what went wrong: a test can do nothing better.
pub struct KafkaFixture {
    bootstrap: String,
    /// What it takes to be let in, beside the address.
    security: Vec<(String, String)>,
    admin: Admin,
    prefix: String,
    /// To be deleted at the end.
    topics: Mutex<Vec<String>>,
    /// Whether the broker outlives the test.
    shared: bool,
}

impl KafkaFixture {
    /// Connects to the broker of this test run.
    ///
    /// # Panics
    /// If there is none; the message says how to get one.
    #[track_caller]
    pub fn new(test: &str) -> KafkaFixture {
        let bootstrap = std::env::var("STREAM_TEST_KAFKA").unwrap_or_else(|_| fail(HOW));
        let mut fixture = KafkaFixture::on(&bootstrap, test);
        fixture.shared = true;
        fixture
    }

    /// Uses a broker of this test alone, which takes its topics with it when it goes.
    #[track_caller]
    pub fn on(bootstrap: &str, test: &str) -> KafkaFixture {
        KafkaFixture::with(bootstrap, Vec::new(), test)
    }

    /// Uses a broker with users and rights, as its `admin`.
    #[track_caller]
    pub fn on_secured(cluster: &KafkaCluster, test: &str) -> KafkaFixture {
        KafkaFixture::with(cluster.bootstrap(), KafkaCluster::login("admin", "admin-secret"), test)
    }

    #[track_caller]
    fn with(bootstrap: &str, security: Vec<(String, String)>, test: &str) -> KafkaFixture {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let admin = Admin::with_properties(properties(bootstrap, &security)).unwrap_or_else(|e| fail(&e.to_string()));
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let started = SystemClock::new().wall().as_millis();
        let prefix = format!("{test}-{}-{started}-{number}", std::process::id());
        let (bootstrap, topics) = (bootstrap.to_owned(), Mutex::default());
        KafkaFixture { bootstrap, security, admin, prefix, topics, shared: false }
    }

    /// The broker's address.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// A group of this test alone.
    pub fn group(&self) -> String {
        format!("{}-group", self.prefix)
    }

    /// Makes a topic of this test alone and returns its name.
    #[track_caller]
    pub fn topic(&self, name: &str, partitions: i32) -> String {
        let topic = format!("{}-{name}", self.prefix);
        self.admin.create_topic(&topic, partitions, BROKERS_DEFAULT).unwrap_or_else(|e| fail(&e.to_string()));
        self.topics.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(topic.clone());
        topic
    }

    /// Writes `count` records; `record(i, out)` fills the i-th, and should set its partition.
    #[track_caller]
    pub fn fill(&self, topic: &str, count: u64, record: impl FnMut(u64, &mut ProducerRecord) + Clone + Send + 'static) {
        let ctx = StreamingContext::new(Configuration::empty());
        let mut record = record;
        let sink = KafkaSink::new(&ctx).property("topic", topic);
        self.properties()
            .into_iter()
            .fold(sink, |sink, (key, value)| sink.property(key, value))
            .serializer(|_: &u64| Vec::new())
            .with(move |i: &u64, out: &mut ProducerRecord| record(*i, out))
            .sink(ctx.generate(count, |i| i));
        ctx.execute("fill").unwrap_or_else(|e| fail(&e.to_string()));
    }

    /// Reads a topic from its beginning to what is its end now, records of transactions under way and given up included.
    #[track_caller]
    pub fn read(&self, topic: &str) -> Vec<KafkaRecord<String>> {
        self.read_isolated(topic, "read_uncommitted")
    }

    /// Reads what is committed of a topic.
    #[track_caller]
    pub fn read_committed(&self, topic: &str) -> Vec<KafkaRecord<String>> {
        self.read_isolated(topic, "read_committed")
    }

    #[track_caller]
    fn read_isolated(&self, topic: &str, isolation: &str) -> Vec<KafkaRecord<String>> {
        let ctx = StreamingContext::new(Configuration::empty());
        let source = KafkaSource::<String>::new(&ctx).property("topic", topic).property("isolation.level", isolation);
        let records = self
            .properties()
            .into_iter()
            .fold(source, |source, (key, value)| source.property(key, value))
            .starting_offsets(OffsetsInitializer::Earliest)
            .bounded()
            .stream()
            .collect();
        ctx.execute("read").unwrap_or_else(|e| fail(&e.to_string()));
        records.take()
    }

    /// How many records each partition holds.
    #[track_caller]
    pub fn counts(&self, topic: &str) -> Vec<i64> {
        let ends = self.admin.offsets(topic).unwrap_or_else(|e| fail(&e.to_string()));
        ends.into_iter().map(|(first, end)| end - first).collect()
    }

    /// How far a group is behind the end of each partition; a partition without a position counts in full.
    #[track_caller]
    pub fn lag(&self, group: &str, topic: &str) -> Vec<i64> {
        let group = ("group.id".to_owned(), group.to_owned());
        let admin = Admin::with_properties(self.properties().into_iter().chain([group]));
        let admin = admin.unwrap_or_else(|e| fail(&e.to_string()));
        let ends = admin.offsets(topic).unwrap_or_else(|e| fail(&e.to_string()));
        let committed = admin.committed(topic).unwrap_or_else(|e| fail(&e.to_string()));
        ends.into_iter().zip(committed).map(|((first, end), at)| end - at.unwrap_or(first)).collect()
    }

    fn properties(&self) -> Vec<(String, String)> {
        properties(&self.bootstrap, &self.security)
    }

    /// Makes room for another topic under an old name.
    pub fn delete_topic(&self, topic: &str) {
        self.topics.lock().unwrap_or_else(std::sync::PoisonError::into_inner).retain(|t| t != topic);
        self.admin.delete_topic(topic).unwrap_or_else(|e| fail(&e.to_string()));
    }
}

fn properties(bootstrap: &str, security: &[(String, String)]) -> Vec<(String, String)> {
    let address = ("bootstrap.servers".to_owned(), bootstrap.to_owned());
    security.iter().cloned().chain([address]).collect()
}

impl Drop for KafkaFixture {
    fn drop(&mut self) {
        if self.shared {
            for topic in self.topics.lock().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..) {
                // Failing here would hide why the test failed; the whole broker goes away after the run.
                let _ = self.admin.delete_topic(&topic);
            }
        }
    }
}

/// As many replicas as the cluster gives a topic by itself (KIP-464).
const BROKERS_DEFAULT: i32 = -1;

/// How often a cluster is tried to be started.
const START_ATTEMPTS: u32 = 3;

/// A Kafka cluster of one test alone, to be stopped and started; gone when the test ends.
pub struct KafkaCluster {
    xtask: PathBuf,
    dir: PathBuf,
    port: u16,
    bootstrap: String,
}

impl KafkaCluster {
    /// Starts one broker on a free port.
    ///
    /// # Panics
    /// If it can't be started; the message says why.
    #[track_caller]
    pub fn start_new(test: &str) -> KafkaCluster {
        KafkaCluster::start_with(test, 1, &[])
    }

    /// Starts one broker with these settings, each `KEY=VALUE`, in place of what they would be.
    ///
    /// # Panics
    /// If it can't be started; the message says why.
    #[track_caller]
    pub fn start_set(test: &str, settings: &[&str]) -> KafkaCluster {
        let options: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        KafkaCluster::start_with(test, 1, &options)
    }

    /// Starts three brokers, each of which is a controller, too: three replicas of every partition, two of which have to
    /// have a record before it is acknowledged.
    ///
    /// # Panics
    /// If they can't be started; the message says why.
    #[track_caller]
    pub fn start_replicated(test: &str) -> KafkaCluster {
        KafkaCluster::start_with(test, REPLICATED, &[])
    }

    /// Starts one broker that asks for a user and checks rights: `admin` may do everything, `alice` and `bob` what
    /// [`KafkaCluster::allow`] allows. The password of NAME is `NAME-secret`, by PLAIN or SCRAM-SHA-512.
    ///
    /// # Panics
    /// If it can't be started; the message says why.
    #[track_caller]
    pub fn start_secured(test: &str) -> KafkaCluster {
        KafkaCluster::start_with(test, 1, &["--acls"])
    }

    /// Starts one broker and a proxy before it: clients that begin at [`KafkaProxy::bootstrap`] stay behind the proxy,
    /// those that begin at [`KafkaCluster::bootstrap`] go round it.
    ///
    /// # Panics
    /// If it can't be started; the message says why.
    #[track_caller]
    pub fn start_proxied(test: &str) -> (KafkaCluster, KafkaProxy) {
        // The proxy has its port from the beginning, so that nobody can take it while the broker starts.
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap_or_else(|e| fail(&e.to_string()));
        let address = listener.local_addr().unwrap_or_else(|e| fail(&e.to_string()));
        let cluster = KafkaCluster::start_with(test, 1, &["--proxy", &address.port().to_string()]);
        let proxied = SocketAddr::from(([127, 0, 0, 1], cluster.port + PROXIED));
        let proxy = KafkaProxy::start(listener, proxied).unwrap_or_else(|e| fail(&e.to_string()));
        (cluster, proxy)
    }

    #[track_caller]
    fn start_with(test: &str, brokers: u16, options: &[&str]) -> KafkaCluster {
        let xtask = PathBuf::from(std::env::var_os("STREAM_TEST_XTASK").unwrap_or_else(|| fail(HOW)));
        let mut failure = String::new();
        // A free port can be taken by somebody else before the broker has it: then another one will do.
        for attempt in 0..START_ATTEMPTS {
            let port = free_port();
            let dir = std::env::temp_dir().join(format!("stream-test-{test}-{}-{attempt}", std::process::id()));
            let addresses: Vec<_> = (port..port + brokers).map(|port| format!("127.0.0.1:{port}")).collect();
            let cluster = KafkaCluster { xtask: xtask.clone(), dir, port, bootstrap: addresses.join(",") };
            let (brokers, port) = (brokers.to_string(), port.to_string());
            match cluster.xtask(&[&["up", "--brokers", &brokers, "--port", &port], options].concat()) {
                Ok(()) => return cluster,
                Err(error) => failure = error,
            }
        }
        fail(&failure)
    }

    /// The brokers' addresses.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where it lies, for `cargo xtask kafka --dir`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The settings by which a user of a secured broker is let in, in the spelling of Java's clients.
    pub fn login(user: &str, password: &str) -> Vec<(String, String)> {
        let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
        let jaas = format!("{module} required username=\"{user}\" password=\"{password}\";");
        [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", &jaas)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec()
    }

    /// Allows a user what the options of Kafka's `acls` tool say, such as `--operation Read --topic t`.
    #[track_caller]
    pub fn allow(&self, user: &str, options: &[&str]) {
        self.acls(&["--add", "--allow-principal", &format!("User:{user}")], options);
    }

    /// Takes back what [`KafkaCluster::allow`] has given.
    #[track_caller]
    pub fn forbid(&self, user: &str, options: &[&str]) {
        self.acls(&["--remove", "--force", "--allow-principal", &format!("User:{user}")], options);
    }

    #[track_caller]
    fn acls(&self, what: &[&str], options: &[&str]) {
        // The tool's own arguments have to stand last.
        let dir = self.dir.to_string_lossy().into_owned();
        let line = [&["kafka", "--dir", &dir, "tool", "acls"], what, options].concat();
        self.call(&line).unwrap_or_else(|error| fail(&error));
    }

    /// Stops the broker and keeps its data.
    #[track_caller]
    pub fn stop(&self) {
        self.run(&["stop"]);
    }

    /// Starts the stopped broker again.
    #[track_caller]
    pub fn start(&self) {
        self.run(&["start"]);
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) {
        self.xtask(arguments).unwrap_or_else(|error| fail(&error));
    }

    fn xtask(&self, arguments: &[&str]) -> Result<(), String> {
        let dir = self.dir.to_string_lossy().into_owned();
        self.call(&[&["kafka"], arguments, &["--dir", &dir]].concat())
    }

    fn call(&self, line: &[&str]) -> Result<(), String> {
        match Command::new(&self.xtask).args(line).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("{line:?} failed: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("can't run {}: {error}", self.xtask.display())),
        }
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        // Failing here would hide why the test failed.
        let _ = Command::new(&self.xtask).args(["kafka", "down", "--dir"]).arg(&self.dir).output();
    }
}

/// The brokers of a replicated cluster.
const REPLICATED: u16 = 3;

/// Behind the broker's port, where `xtask kafka up --proxy` lets it listen for a proxy.
const PROXIED: u16 = 2;

/// How many neighbouring ports a cluster takes at most: each broker one for clients and one as a controller, a single one
/// a third for what comes over a proxy.
const PORTS: u16 = 2 * REPLICATED;

/// The first of [`PORTS`] neighbouring free ports, below the range from which clients' own ports are taken.
///
/// A port that was given out is not yet taken, so it is locked, for other processes that run tests, too.
fn free_port() -> u16 {
    // Kept until this process ends: the port of a broker that is down looks free to the tests of another process.
    static TAKEN: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let start = 20_000 + u16::try_from(std::process::id() % 500).unwrap_or(0) * PORTS;
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let step = usize::from(PORTS);
    for port in (start..31_994).step_by(step).chain((20_000..start).step_by(step)) {
        let lock = File::create(std::env::temp_dir().join(format!("stream-test-port-{port}.lock")));
        let Ok(lock) = lock else { continue };
        if lock.try_lock().is_ok() && (0..PORTS).all(|behind| free(port + behind)) {
            taken.push(lock);
            return port;
        }
    }
    fail("no free port")
}

#[track_caller]
#[expect(clippy::panic, reason = "a fixture that can't do its work fails the test")]
fn fail(message: &str) -> ! {
    panic!("{message}")
}
