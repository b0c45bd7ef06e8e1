//! A broker for one run of the tests or the benchmarks: free port, scratch folder, gone at the end.
//!
//! It must not meet the developer's own `kafka up`, and it must not outlive the run, whatever ends it: success,
//! failure, Ctrl-C (the guard drops), or even SIGKILL (the next run sweeps what it left behind).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self as this, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::geteuid;

use super::cluster::{Cluster, is_free};
use super::java::{INSTALL_HINT, Jars, find_java};
use super::{DEFAULT_VERSION, jars};
use crate::{place, process};

/// Ports of test brokers: below the range from which systems take ports for outgoing connections, so that nobody
/// takes the port of a broker while a test has it stopped.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
const ATTEMPTS: u16 = 5;
/// Its data is removed right after, so a hard end does no harm.
const GRACE: Duration = Duration::from_secs(5);

/// A running broker that belongs to this process; dropping it stops the broker and removes its folder.
pub(crate) struct OwnKafka {
    folder: PathBuf,
    xtask: PathBuf,
    jars: PathBuf,
    port: u16,
}

impl OwnKafka {
    /// Installs what is missing where that is possible, and starts a broker.
    pub(crate) fn start() -> Result<Self> {
        install_missing()?;
        let jars = jars(DEFAULT_VERSION)?.folder;
        let scratch = place::target().join("xtask");
        sweep(&scratch);
        let folder = scratch.join(format!("kafka-{}", this::id()));
        fs::create_dir_all(&folder).with_context(|| format!("could not create {}", folder.display()))?;
        // A copy, because cargo may rebuild the original while the tests use it.
        let xtask = folder.join("xtask");
        let mut kafka = Self { folder, xtask, jars, port: 0 };
        fs::copy(env::current_exe()?, &kafka.xtask).context("could not copy the xtask executable")?;
        let first = u16::try_from(this::id() % 1000).unwrap_or(0) * 10;
        let mut said = String::new();
        for attempt in 0..ATTEMPTS {
            let free = |port: &u16| is_free(*port) && is_free(*port + 1);
            let from = PORTS.start + (first + attempt * 997) % 9_000;
            let Some(port) = (from..PORTS.end).step_by(2).find(free) else { continue };
            ensure!(!process::interrupted(), "interrupted");
            match kafka.up(port)? {
                Ok(()) => {
                    kafka.port = port;
                    return Ok(kafka);
                }
                Err(error) => said = error,
            }
            kafka.remove_cluster();
        }
        bail!("could not start a Kafka for this run: {said}")
    }

    /// Starts the broker through another process, which ends: a broker that is our own child would stay behind as a
    /// zombie when a test stops it.
    fn up(&self, port: u16) -> Result<Result<(), String>> {
        let output = Command::new(&self.xtask)
            .args(["kafka", "up", "--port", &port.to_string(), "--dir"])
            .arg(self.cluster())
            .env("STREAM_KAFKA_HOME", place::kafka_home())
            .stdin(Stdio::null())
            .output()
            .context("could not run xtask")?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(if output.status.success() { Ok(()) } else { Err(said) })
    }

    /// Where clients connect.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The environment by which tests find this broker, and stop and start it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("STREAM_TEST_KAFKA", self.bootstrap().into()),
            ("STREAM_TEST_KAFKA_HOME", self.jars.clone()),
            ("STREAM_TEST_KAFKA_DIR", self.cluster()),
            ("STREAM_TEST_XTASK", self.xtask.clone()),
            ("STREAM_KAFKA_HOME", place::kafka_home()),
        ]
    }

    fn cluster(&self) -> PathBuf {
        self.folder.join("cluster")
    }

    fn remove_cluster(&self) {
        remove(&self.cluster());
    }
}

impl Drop for OwnKafka {
    fn drop(&mut self) {
        remove(&self.cluster());
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Stops the cluster in `dir` and removes it, without a word.
fn remove(dir: &Path) {
    if let Ok(Some(cluster)) = Cluster::load(dir) {
        cluster.stop(&cluster.brokers, GRACE);
    }
    fs::remove_dir_all(dir).ok();
}

/// Removes what runs left behind that were killed before they could clean up: `kafka-PID` without a process PID.
fn sweep(scratch: &Path) {
    for entry in fs::read_dir(scratch).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("kafka-").and_then(|pid| pid.parse().ok());
        if owner.is_some_and(|pid: u32| !process::is_alive(pid, "xtask")) {
            remove(&entry.path().join("cluster"));
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

/// Installs a Java runtime and Maven where they are missing and apt-get may be used.
fn install_missing() -> Result<()> {
    let java = find_java().is_ok();
    let maven = Jars::locate(&place::kafka_home(), DEFAULT_VERSION).present() || place::find_program("mvn").is_some();
    if java && maven {
        return Ok(());
    }
    let what = match (java, maven) {
        (false, false) => "a Java runtime and Maven are",
        (false, true) => "a Java runtime is",
        _ => "Maven is",
    };
    if place::find_program("apt-get").is_none() || !geteuid().is_root() {
        bail!("{what} missing: the tests run against a real Kafka; hint: {INSTALL_HINT}");
    }
    eprintln!("{what} missing; installing with apt-get ...");
    apt_get(&["update"])?;
    if !java {
        // Newer systems no longer carry 17, and their default is newer than what Kafka needs.
        apt_get(&["install", "-y", "--no-install-recommends", "openjdk-17-jre-headless"])
            .or_else(|_| apt_get(&["install", "-y", "--no-install-recommends", "default-jre-headless"]))?;
    }
    if !maven {
        apt_get(&["install", "-y", "--no-install-recommends", "maven"])?;
    }
    Ok(())
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .arg("-qq")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("could not run apt-get")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`apt-get {}` failed: {}", arguments.join(" "), said.trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_spares_the_living_and_the_unknown() {
        let scratch = tempfile::tempdir().unwrap();
        let dead = scratch.path().join("kafka-999999999");
        // This test's own process has "xtask" on its command line.
        let living = scratch.path().join(format!("kafka-{}", this::id()));
        let other = scratch.path().join("kafka-notes");
        for folder in [&dead, &living, &other] {
            fs::create_dir(folder).unwrap();
        }
        sweep(scratch.path());
        assert!(!dead.exists());
        assert!(living.exists() && other.exists());
    }
}
