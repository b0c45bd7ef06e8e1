//! `cargo xtask kafka`: a real Apache Kafka on this machine, from its jars, on 127.0.0.1.
//!
//! `up` creates a cluster in a folder and starts it, `stop` and `start` keep its data, `down` removes it. The brokers
//! outlive this process; every later command finds them through the folder. Tests use the same commands with a
//! `--dir` of their own.

mod cluster;
mod java;
mod own;
mod probe;
mod settings;
mod tool;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};

use self::cluster::Cluster;
use self::java::{Jars, find_java};
use self::settings::{Access, Broker};
use crate::{place, process};

pub(crate) use self::own::OwnKafka;

/// The version that the tests run against.
pub(crate) const DEFAULT_VERSION: &str = "4.3.1";
const DEFAULT_PORT: u16 = 19092;
/// How long a broker may take to stop by itself.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// The same where its data is removed right after.
const DOWN_GRACE: Duration = Duration::from_secs(5);

/// Options of every `kafka` command.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder of the cluster [default: .kafka/cluster, or cluster under $STREAM_KAFKA_HOME]
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create a cluster and start it; does nothing when it is up.
    Up {
        /// How many brokers; each is a controller too [default: 1]
        #[arg(long, value_name = "N")]
        brokers: Option<u16>,
        /// The first broker's port; the others and the controllers follow [default: 19092]
        #[arg(long, value_name = "PORT")]
        port: Option<u16>,
        /// The version of Apache Kafka [default: 4.3.1]
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
        /// Clients need a user (admin, alice or bob, password NAME-secret; PLAIN or SCRAM-SHA-512 without TLS), and all
        /// but admin need rights, given by `tool acls`
        #[arg(long)]
        acls: bool,
        /// A second listener, two ports behind the first, that sends its clients to PORT, where a proxy has to pass
        /// them on to it; for one broker
        #[arg(long, value_name = "PORT", conflicts_with = "acls")]
        proxy: Option<u16>,
        /// A broker's setting, in place of what it would be; may be given more than once
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Stay until Ctrl-C, then stop it again (its data stays)
        #[arg(long)]
        foreground: bool,
    },
    /// Stop the brokers and remove their data.
    Down {
        /// Leave the data where it is
        #[arg(long)]
        keep: bool,
    },
    /// Stop brokers; `start` finds their data again.
    Stop {
        /// Only this broker
        #[arg(long, value_name = "ID")]
        broker: Option<u16>,
        /// With SIGKILL, as in a crash
        #[arg(long)]
        kill: bool,
    },
    /// Start brokers that were stopped.
    Start {
        /// Only this broker
        #[arg(long, value_name = "ID")]
        broker: Option<u16>,
    },
    /// Say what runs; exits 1 unless every broker does.
    Status,
    /// Run one of Kafka's own tools against the cluster, e.g. `tool topics --list`.
    Tool {
        /// `topics`, `consumer-groups`, `console-consumer`, … or a Java class
        name: String,
        /// What the tool is given; it is told the cluster's address by itself
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Runs one `kafka` command and returns the exit code.
pub(crate) fn run(arguments: Arguments) -> Result<u8> {
    let dir = arguments.dir.unwrap_or_else(|| place::kafka_home().join("cluster"));
    let dir = std::path::absolute(&dir).with_context(|| format!("{} is no folder", dir.display()))?;
    match arguments.command {
        Command::Up { brokers, port, version, acls, proxy, set, foreground } => {
            let access = Access { acls, proxy };
            up(&dir, &Wanted { brokers, port, version: version.as_deref(), access, set: &set }, foreground)
        }
        Command::Down { keep } => down(&dir, keep),
        Command::Stop { broker, kill } => stop(&dir, broker, kill),
        Command::Start { broker } => start(&dir, broker),
        Command::Status => status(&dir),
        Command::Tool { name, arguments } => {
            let cluster = existing(&dir)?;
            let jars = jars(&cluster.version)?;
            let admin = cluster.admin_properties();
            tool::run(&jars, &cluster.bootstrap(), admin.as_deref(), &name, &arguments)
        }
    }
}

/// Fetches what a cluster of `version` needs; the error names what is missing.
pub(crate) fn jars(version: &str) -> Result<Jars> {
    find_java()?;
    let jars = Jars::locate(&place::kafka_home(), version);
    jars.fetch()?;
    Ok(jars)
}

/// What `up` was asked for.
struct Wanted<'a> {
    brokers: Option<u16>,
    port: Option<u16>,
    version: Option<&'a str>,
    access: Access,
    set: &'a [String],
}

impl Wanted<'_> {
    /// Whether a cluster that is there will do.
    fn accepts(&self, cluster: &Cluster) -> bool {
        self.brokers.is_none_or(|count| usize::from(count) == cluster.brokers.len())
            && self.port.is_none_or(|port| port == cluster.brokers[0].port)
            && self.version.is_none_or(|version| version == cluster.version)
            && (!self.access.acls || cluster.access.acls)
            && (self.access.proxy.is_none() || self.access.proxy == cluster.access.proxy)
            && (self.set.is_empty() || self.set == cluster.set)
    }
}

fn up(dir: &Path, wanted: &Wanted<'_>, foreground: bool) -> Result<u8> {
    if foreground {
        process::catch_interrupts()?;
    }
    let lock = lock(dir)?;
    let cluster = match Cluster::load(dir)? {
        Some(cluster) => {
            if !wanted.accepts(&cluster) {
                bail!(
                    "there is another cluster already: {}; hint: `cargo xtask kafka down` removes it",
                    describe(&cluster)
                );
            }
            if cluster.brokers.iter().all(|broker| cluster.pid(broker).is_some()) {
                println!("kafka {} is already up: {}", cluster.version, describe(&cluster));
                return Ok(0);
            }
            cluster
        }
        None => {
            let version = wanted.version.unwrap_or(DEFAULT_VERSION);
            jars(version)?;
            let (count, port) = (wanted.brokers.unwrap_or(1), wanted.port.unwrap_or(DEFAULT_PORT));
            Cluster::create(dir, version, count, port, wanted.access, wanted.set)?
        }
    };
    cluster.start(&jars(&cluster.version)?, &cluster.brokers)?;
    println!("kafka {} is up: {}", cluster.version, describe(&cluster));
    drop(lock);
    if foreground {
        println!("Ctrl-C stops it");
        process::wait_for_interrupt();
        return stop(dir, None, false);
    }
    Ok(0)
}

fn down(dir: &Path, keep: bool) -> Result<u8> {
    if !dir.exists() {
        println!("kafka is not up: there is no cluster in {}", dir.display());
        return Ok(0);
    }
    let lock = lock(dir)?;
    if let Some(cluster) = Cluster::load(dir)? {
        cluster.stop(&cluster.brokers, if keep { STOP_GRACE } else { DOWN_GRACE });
    }
    if !keep {
        // Only what `create` made: the folder may be somebody's own.
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("broker-") {
                fs::remove_dir_all(&path).with_context(|| format!("could not remove {}", path.display()))?;
            }
        }
        fs::remove_file(dir.join(cluster::ADMIN_PROPERTIES)).ok();
        fs::remove_file(dir.join("cluster.json")).ok();
    }
    drop(lock);
    if !keep {
        fs::remove_file(dir.join("lock")).ok();
        // Stays if it holds anything else.
        fs::remove_dir(dir).ok();
    }
    println!("kafka is down{}", if keep { "; its data stays" } else { "" });
    Ok(0)
}

fn stop(dir: &Path, only: Option<u16>, kill: bool) -> Result<u8> {
    let cluster = existing(dir)?;
    let _lock = lock(dir)?;
    let chosen = choose(&cluster, only)?;
    let grace = if kill { Duration::ZERO } else { STOP_GRACE };
    let politely = cluster.stop(&chosen, grace) || kill;
    let who = only.map_or(String::new(), |id| format!("broker {id} of "));
    let how = if politely { "" } else { "; it had to be killed" };
    println!("{who}kafka {} is stopped{how}: {}", cluster.version, describe(&cluster));
    Ok(0)
}

fn start(dir: &Path, only: Option<u16>) -> Result<u8> {
    let cluster = existing(dir)?;
    let _lock = lock(dir)?;
    cluster.start(&jars(&cluster.version)?, &choose(&cluster, only)?)?;
    let who = only.map_or(String::new(), |id| format!("broker {id} of "));
    println!("{who}kafka {} is up: {}", cluster.version, describe(&cluster));
    Ok(0)
}

fn status(dir: &Path) -> Result<u8> {
    let Some(cluster) = Cluster::load(dir)? else {
        println!("kafka is down: there is no cluster in {}", dir.display());
        return Ok(1);
    };
    let up = cluster.brokers.iter().filter(|broker| cluster.pid(broker).is_some()).count();
    let state = match up {
        0 => "stopped",
        up if up == cluster.brokers.len() => "up",
        _ => "partly up",
    };
    println!("kafka {} is {state}: {}", cluster.version, describe(&cluster));
    for broker in &cluster.brokers {
        let Broker { id, port, .. } = broker;
        let state = match cluster.pid(broker) {
            Some(pid) => format!("up for {}, pid {pid}", duration(cluster.uptime(broker))),
            None => "down".to_owned(),
        };
        println!("  broker {id}  127.0.0.1:{port}  {state}");
    }
    Ok(if up == cluster.brokers.len() { 0 } else { 1 })
}

fn existing(dir: &Path) -> Result<Cluster> {
    Cluster::load(dir)?.ok_or_else(|| anyhow!("there is no cluster in {}; hint: `cargo xtask kafka up`", dir.display()))
}

fn choose(cluster: &Cluster, only: Option<u16>) -> Result<Vec<Broker>> {
    let Some(id) = only else {
        return Ok(cluster.brokers.clone());
    };
    let chosen = cluster.brokers.iter().find(|broker| broker.id == id).cloned();
    let chosen = chosen.ok_or_else(|| anyhow!("there is no broker {id}; hint: 1 to {}", cluster.brokers.len()))?;
    Ok(vec![chosen])
}

/// One command at a time works on a cluster: two `up` at once would both create it.
fn lock(dir: &Path) -> Result<File> {
    fs::create_dir_all(dir).with_context(|| format!("could not create {}", dir.display()))?;
    let file = File::create(dir.join("lock"))?;
    file.lock().with_context(|| format!("could not lock {}", dir.display()))?;
    Ok(file)
}

/// `bootstrap 127.0.0.1:19092 (1 broker, pid 17, log …)`
fn describe(cluster: &Cluster) -> String {
    let count = cluster.brokers.len();
    let brokers = if count == 1 { "1 broker".to_owned() } else { format!("{count} brokers") };
    let pids: Vec<_> =
        cluster.brokers.iter().filter_map(|broker| cluster.pid(broker)).map(|pid| pid.to_string()).collect();
    let pids = if pids.is_empty() { String::new() } else { format!(", pid {}", pids.join(" ")) };
    let acls = if cluster.access.acls { ", users and ACLs" } else { "" };
    format!(
        "bootstrap {} ({brokers}{acls}{pids}, log {})",
        cluster.bootstrap(),
        cluster.log(&cluster.brokers[0]).display()
    )
}

/// `1h 2m`, `3m 4s`, `5s`
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_for_people() {
        let text = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!([text(5), text(65), text(3725)], ["5s", "1m 5s", "1h 2m"]);
    }

    #[test]
    fn down_leaves_a_strangers_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("notes"), "mine").unwrap();
        Cluster::create(dir.path(), "4.3.1", 1, 10_700, Access { acls: true, proxy: None }, &[]).unwrap();
        down(dir.path(), false).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["notes"]);
    }
}
