//! A Kafka cluster in a folder: what it is made of, and starting, watching and stopping its brokers.
//!
//! ```text
//! DIR/cluster.json              version, cluster id, brokers and ports
//! DIR/admin.properties          with --acls: what Kafka's tools need to be let in
//! DIR/broker-1/server.properties
//! DIR/broker-1/data/            the log folder
//! DIR/broker-1/kafka.log        what the broker printed, over all its starts
//! DIR/broker-1/kafka.pid        present while it is meant to run
//! ```

use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::java::{Jars, Logging, last_lines};
use super::probe;
use super::settings::{Access, Broker, USERS, admin_properties, lay_out, proxied_port, server_properties};
use crate::process;

/// Beside `cluster.json`.
pub(crate) const ADMIN_PROPERTIES: &str = "admin.properties";
/// How long a cluster may take until it answers.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// A cluster whose folder exists, running or not.
#[derive(Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) version: String,
    cluster_id: String,
    pub(crate) brokers: Vec<Broker>,
    #[serde(flatten)]
    pub(crate) access: Access,
    /// Settings that were asked for, as `KEY=VALUE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) set: Vec<String>,
    #[serde(skip)]
    dir: PathBuf,
}

impl Cluster {
    /// The cluster in `dir`, if one has been created there.
    pub(crate) fn load(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join("cluster.json");
        if !file.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
        let mut cluster: Self =
            serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))?;
        cluster.dir = dir.to_path_buf();
        Ok(Some(cluster))
    }

    /// Writes down a new cluster in `dir`. Nothing is started.
    pub(crate) fn create(
        dir: &Path,
        version: &str,
        count: u16,
        port: u16,
        access: Access,
        set: &[String],
    ) -> Result<Self> {
        ensure!((1..=9).contains(&count), "{count} brokers are not possible here; hint: 1 to 9");
        ensure!(port < u16::MAX - 2 * count, "port {port} is too high for {count} brokers");
        ensure!(access.proxy.is_none() || count == 1, "a proxy stands before one broker, not {count}");
        for setting in set {
            let is_setting = setting.split_once('=').is_some_and(|(key, _)| !key.trim().is_empty());
            ensure!(is_setting, "`--set {setting}` is no KEY=VALUE");
        }
        let cluster = Self {
            version: version.to_owned(),
            cluster_id: new_cluster_id()?,
            brokers: lay_out(count, port),
            access,
            set: set.to_vec(),
            dir: dir.to_path_buf(),
        };
        for broker in &cluster.brokers {
            cluster.require_free(broker)?;
        }
        for broker in &cluster.brokers {
            let data = cluster.folder(broker).join("data");
            fs::create_dir_all(&data).with_context(|| format!("could not create {}", data.display()))?;
            let properties = server_properties(broker, &cluster.brokers, &data, access);
            // Of a key that is there twice the last one counts.
            let set = set.iter().map(|setting| format!("{setting}\n"));
            fs::write(cluster.properties(broker), properties + &set.collect::<String>())?;
        }
        if access.acls {
            fs::write(dir.join(ADMIN_PROPERTIES), admin_properties())?;
        }
        fs::write(dir.join("cluster.json"), serde_json::to_string_pretty(&cluster)?)?;
        Ok(cluster)
    }

    /// Where clients connect: every broker, running or not.
    pub(crate) fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self.brokers.iter().map(|broker| format!("127.0.0.1:{}", broker.port)).collect();
        addresses.join(",")
    }

    /// The file by which Kafka's tools are let in, where that takes one.
    pub(crate) fn admin_properties(&self) -> Option<PathBuf> {
        self.access.acls.then(|| self.dir.join(ADMIN_PROPERTIES))
    }

    /// The process id of `broker` while it runs.
    pub(crate) fn pid(&self, broker: &Broker) -> Option<u32> {
        let pid = fs::read_to_string(self.pid_file(broker)).ok()?.trim().parse().ok()?;
        process::is_alive(pid, &self.marker(broker)).then_some(pid)
    }

    /// How long `broker` has been running, by the age of its pid file.
    pub(crate) fn uptime(&self, broker: &Broker) -> Duration {
        let started = fs::metadata(self.pid_file(broker)).and_then(|file| file.modified());
        started.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default()
    }

    /// What `broker` prints.
    pub(crate) fn log(&self, broker: &Broker) -> PathBuf {
        self.folder(broker).join("kafka.log")
    }

    /// Starts those of `chosen` that do not run and waits until every running broker answers and knows the others.
    pub(crate) fn start(&self, jars: &Jars, chosen: &[Broker]) -> Result<()> {
        for broker in chosen {
            if self.pid(broker).is_none() {
                self.require_free(broker)?;
                self.format(jars, broker)?;
                self.spawn(jars, broker)?;
            }
        }
        self.wait_until_ready(chosen)
    }

    /// Stops `chosen`: SIGTERM to all, SIGKILL to whoever is there after `grace`. Says whether they went by themselves.
    pub(crate) fn stop(&self, chosen: &[Broker], grace: Duration) -> bool {
        let gone = thread::scope(|scope| {
            let stops: Vec<_> = chosen.iter().map(|broker| scope.spawn(|| self.stop_one(broker, grace))).collect();
            stops.into_iter().map(|stop| stop.join().unwrap_or(false)).collect::<Vec<_>>()
        });
        gone.into_iter().all(|politely| politely)
    }

    fn stop_one(&self, broker: &Broker, grace: Duration) -> bool {
        let politely = match self.pid(broker) {
            Some(pid) => process::terminate(pid, &self.marker(broker), grace),
            None => true,
        };
        fs::remove_file(self.pid_file(broker)).ok();
        politely
    }

    fn require_free(&self, broker: &Broker) -> Result<()> {
        let proxied = self.access.proxy.map(|_| proxied_port(broker));
        [broker.port, broker.controller_port].into_iter().chain(proxied).try_for_each(require_free)
    }

    fn folder(&self, broker: &Broker) -> PathBuf {
        self.dir.join(format!("broker-{}", broker.id))
    }

    fn properties(&self, broker: &Broker) -> PathBuf {
        self.folder(broker).join("server.properties")
    }

    fn pid_file(&self, broker: &Broker) -> PathBuf {
        self.folder(broker).join("kafka.pid")
    }

    /// What only this broker's command line contains.
    fn marker(&self, broker: &Broker) -> String {
        self.properties(broker).display().to_string()
    }

    /// Prepares the data folder, once.
    fn format(&self, jars: &Jars, broker: &Broker) -> Result<()> {
        if self.folder(broker).join("data/meta.properties").exists() {
            return Ok(());
        }
        let output = jars
            .java(Logging::Warn)?
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format"])
            .args(["--ignore-formatted", "--cluster-id", &self.cluster_id, "--config"])
            .arg(self.properties(broker))
            .args(self.scram_users())
            .output()
            .context("could not run Kafka's StorageTool")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "Kafka's StorageTool failed; it said:\n{}", last_lines(&said, 12));
        Ok(())
    }

    /// PLAIN has its users in the properties, SCRAM has them in the log of the controllers.
    fn scram_users(&self) -> Vec<String> {
        let users = if self.access.acls { &USERS[..] } else { &[] };
        let option = |(user, password): &(&str, &str)| {
            ["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={user},password={password}]")]
        };
        users.iter().flat_map(option).collect()
    }

    fn spawn(&self, jars: &Jars, broker: &Broker) -> Result<()> {
        let mut command = jars.java(Logging::Info)?;
        match env::var("KAFKA_HEAP_OPTS") {
            Ok(options) if !options.trim().is_empty() => command.args(options.split_whitespace()),
            _ if self.brokers.len() == 1 => command.args(["-Xms512m", "-Xmx1g"]),
            _ => command.args(["-Xms256m", "-Xmx512m"]),
        };
        command.args(["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:+ExitOnOutOfMemoryError"]);
        command.arg("kafka.Kafka").arg(self.properties(broker)).current_dir(self.folder(broker));
        let child = process::spawn_detached(&mut command, &self.log(broker))?;
        fs::write(self.pid_file(broker), child.id().to_string())?;
        Ok(())
    }

    /// Ready means: each of `chosen` answers a client and knows every broker that runs.
    ///
    /// Less than a majority of controllers can elect nobody, so then it is enough that the ports are open.
    fn wait_until_ready(&self, chosen: &[Broker]) -> Result<()> {
        let running: Vec<_> = self.brokers.iter().filter(|broker| self.pid(broker).is_some()).collect();
        let quorum = running.len() * 2 > self.brokers.len();
        let wanted = running.iter().map(|broker| i32::from(broker.id)).collect::<Vec<_>>();
        let deadline = Instant::now() + START_PATIENCE;
        for broker in chosen {
            loop {
                if self.pid(broker).is_none() {
                    bail!(
                        "broker {} ended while starting; reasons, then the end of {}:\n{}",
                        broker.id,
                        self.log(broker).display(),
                        self.tail(broker)
                    );
                }
                match probe::known_brokers(broker.port, self.access.acls.then_some(USERS[0])) {
                    Ok(known) if !quorum || wanted.iter().all(|id| known.contains(id)) => break,
                    Ok(_) => {}
                    Err(_) if !quorum && !is_free(broker.port) => break,
                    Err(_) => {}
                }
                if Instant::now() > deadline || process::interrupted() {
                    let seconds = START_PATIENCE.as_secs();
                    bail!(
                        "broker {} did not answer within {seconds} s; hint: read {}",
                        broker.id,
                        self.log(broker).display()
                    );
                }
                thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }

    fn tail(&self, broker: &Broker) -> String {
        let log = fs::read_to_string(self.log(broker)).unwrap_or_default();
        // A broker says why it gives up before it says how it shuts down.
        let is_reason = |line: &&str| [" ERROR ", " FATAL ", "Exception"].iter().any(|word| line.contains(word));
        let reasons: Vec<&str> = log.lines().filter(is_reason).collect();
        let reasons = last_lines(&reasons.join("\n"), 10);
        format!("{reasons}\n…\n{}", last_lines(&log, 15))
    }
}

fn require_free(port: u16) -> Result<()> {
    is_free(port)
        .then_some(())
        .ok_or_else(|| anyhow!("port {port} is taken by another program; hint: choose one with --port"))
}

/// Whether nobody listens on 127.0.0.1:`port`.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// A new cluster id: 16 random bytes as Kafka writes a UUID. Clients notice by it that a cluster is another one.
fn new_cluster_id() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("could not read random bytes")?;
    // An id that begins with a dash would look like an option to Kafka's tools.
    bytes[0] &= 0x7f;
    Ok(base64_url(&bytes))
}

/// URL-safe base64 without padding.
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * index)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACLS: Access = Access { acls: true, proxy: None };

    #[test]
    fn base64_as_kafka_writes_it() {
        assert_eq!(base64_url(b""), "");
        assert_eq!(base64_url(b"a"), "YQ");
        assert_eq!(base64_url(b"ab"), "YWI");
        assert_eq!(base64_url(b"abc"), "YWJj");
        assert_eq!(base64_url(&[0xff; 16]), "_____________________w");
        assert_eq!(new_cluster_id().unwrap().len(), 22);
    }

    #[test]
    fn a_cluster_is_found_again_as_it_was_created() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Cluster::load(dir.path()).unwrap().is_none());
        let created = Cluster::create(dir.path(), "4.3.1", 2, 10_500, ACLS, &[]).unwrap();
        let found = Cluster::load(dir.path()).unwrap().unwrap();
        assert_eq!((&found.brokers, found.access), (&created.brokers, ACLS));
        assert_eq!(found.bootstrap(), "127.0.0.1:10500,127.0.0.1:10501");
        assert_eq!(found.pid(&found.brokers[0]), None);
        assert!(dir.path().join("broker-2/server.properties").is_file());
    }

    #[test]
    fn a_taken_port_is_named() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = require_free(port).unwrap_err().to_string();
        assert_eq!(error, format!("port {port} is taken by another program; hint: choose one with --port"));
    }

    #[test]
    fn settings_that_are_asked_for_come_last() {
        let dir = tempfile::tempdir().unwrap();
        let set =
            |setting: &str| Cluster::create(dir.path(), "4.3.1", 1, 10_700, Access::default(), &[setting.to_owned()]);
        assert_eq!(set("retention").err().unwrap().to_string(), "`--set retention` is no KEY=VALUE");
        set("num.partitions=7").unwrap();
        let properties = fs::read_to_string(dir.path().join("broker-1/server.properties")).unwrap();
        assert!(properties.ends_with("num.partitions=7\n"), "{properties}");
        assert_eq!(Cluster::load(dir.path()).unwrap().unwrap().set, ["num.partitions=7"]);
    }

    #[test]
    fn a_cluster_of_an_older_description_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"{"version": "4.3.1", "cluster_id": "x", "brokers": []}"#;
        fs::write(dir.path().join("cluster.json"), text).unwrap();
        assert_eq!(Cluster::load(dir.path()).unwrap().unwrap().access, Access::default());
    }

    #[test]
    fn a_proxy_stands_before_one_broker() {
        let dir = tempfile::tempdir().unwrap();
        let proxied = Access { acls: false, proxy: Some(10_650) };
        assert!(Cluster::create(dir.path(), "4.3.1", 2, 10_600, proxied, &[]).is_err());
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        // The port behind the controller's is needed too.
        assert!(Cluster::create(dir.path(), "4.3.1", 1, port - 2, proxied, &[]).is_err());
    }

    #[test]
    fn too_many_brokers_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Cluster::create(dir.path(), "4.3.1", 10, 10_600, Access::default(), &[]).is_err());
        assert!(Cluster::create(dir.path(), "4.3.1", 0, 10_600, Access::default(), &[]).is_err());
    }
}
