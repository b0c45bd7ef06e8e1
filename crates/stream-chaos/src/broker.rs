//! Brokers from outside: crashing them, and reading topics by Kafka's own consumer, which no mistake of our client
//! can deceive.
//!
//! A read is whole if the consumer's position has reached the end of every partition. The position counts what can't
//! be seen, too: ends of transactions and aborted records. It stops before a transaction that is still open.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use stream_core::{Error, ErrorKind, Result};

use crate::audit::Line;
use crate::failed;
use crate::instance::wait;

/// The consumer ends when it has seen nothing for so long; with each attempt it is more patient.
const SILENCE: Duration = Duration::from_secs(4);

/// How long a whole read is tried for: longer than a transaction that nobody ends stays open.
const LIMIT: Duration = Duration::from_secs(150);

/// How long one call of the consumer may take.
const CALL_LIMIT: Duration = Duration::from_secs(600);

/// How long starting the broker is tried for, and how long it is to the next try.
const START_LIMIT: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(200);

/// Between headers, where nothing that is written has it.
const BETWEEN_HEADERS: char = '\u{1f}';

/// The brokers of one cluster, which xtask has started.
pub(crate) struct Broker {
    xtask: PathBuf,
    dir: PathBuf,
}

impl Broker {
    /// The broker of this run.
    ///
    /// # Errors
    /// `Config` if nothing says how to reach it.
    pub(crate) fn of_this_run() -> Result<Broker> {
        Broker::at(&variable("STREAM_TEST_KAFKA_DIR")?)
    }

    /// The brokers of a cluster in this directory.
    ///
    /// # Errors
    /// `Config` if nothing says by what program to reach them.
    pub(crate) fn at(dir: &Path) -> Result<Broker> {
        Ok(Broker { xtask: variable("STREAM_TEST_XTASK")?, dir: dir.to_owned() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.xtask);
        command.args(["kafka", "--dir"]).arg(&self.dir).stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command().args(arguments).output().map_err(failed("can't run xtask"))?;
        let Output { status, stdout, stderr } = output;
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&stderr);
        Err(Error::new(ErrorKind::Unavailable, format!("`xtask kafka {}` failed: {said}", arguments.join(" "))))
    }

    /// Ends one broker, or all there are, by SIGKILL.
    pub(crate) fn crash(&self, victim: Option<u32>) -> Result<()> {
        let victim = victim.map(|victim| victim.to_string());
        let mut line = vec!["stop", "--kill"];
        line.extend(victim.iter().flat_map(|victim| ["--broker", victim]));
        self.call(&line).map(|_| ())
    }

    /// Starts it again on its data, and waits until it answers.
    pub(crate) fn start(&self) -> Result<()> {
        let began = Instant::now();
        loop {
            // A killed process counts as gone before the last of its threads is, and until then its port is taken.
            match self.call(&["start"]) {
                Err(error) if began.elapsed() > START_LIMIT => return Err(error),
                Err(_) => std::thread::sleep(RETRY),
                Ok(_) => return Ok(()),
            }
        }
    }

    /// All committed records of a topic, up to the end of every partition.
    ///
    /// # Errors
    /// `Unavailable` if the end can't be reached: a transaction is still open, or the tools fail.
    pub(crate) fn read_committed(&self, topic: &str, partitions: i32, dir: &Path) -> Result<Vec<Line>> {
        let began = Instant::now();
        let mut attempt = 0;
        loop {
            attempt += 1;
            // A group of its own, so that it begins at the beginning.
            let group = format!("audit-{attempt}-{topic}");
            let file = dir.join(format!("read-{topic}.txt"));
            self.consume(topic, &group, SILENCE * attempt, &file)?;
            let described = self.call(&["tool", "consumer-groups", "--describe", "--group", &group])?;
            match ends(&described, topic, partitions) {
                Ok(()) => return lines(&file),
                Err(error) if began.elapsed() > LIMIT => return Err(error),
                Err(_) => {}
            }
        }
    }

    fn consume(&self, topic: &str, group: &str, silence: Duration, file: &Path) -> Result<()> {
        let out = File::create(file).map_err(failed("can't write what the consumer prints"))?;
        let mut command = self.command();
        command.args(["tool", "console-consumer", "--topic", topic, "--group", group, "--from-beginning"]);
        command.args(["--isolation-level", "read_committed", "--timeout-ms", &silence.as_millis().to_string()]);
        for part in ["partition", "offset", "headers", "key"] {
            command.args(["--formatter-property", &format!("print.{part}=true")]);
        }
        command.args(["--formatter-property", &format!("headers.separator={BETWEEN_HEADERS}")]);
        let log = file.with_extension("log");
        let err = File::create(&log).map_err(failed("can't write what the consumer logs"))?;
        let mut child = command.stdout(out).stderr(err).spawn().map_err(failed("can't run xtask"))?;
        let status = wait(&mut child, CALL_LIMIT)?;
        if status.is_none() {
            let _ = child.kill().and_then(|()| child.wait());
        }
        if status.is_some_and(|status| status.success()) {
            return Ok(());
        }
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let how = status.map_or("did not end".to_owned(), |status| format!("ended with {status}"));
        Err(Error::new(ErrorKind::Unavailable, format!("Kafka's consumer of `{topic}` {how}: {said}")))
    }
}

fn variable(name: &str) -> Result<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).ok_or_else(|| {
        Error::new(ErrorKind::Config, format!("{name} is not set"))
            .with_hint("run it by `cargo xtask chaos`, which starts a broker")
    })
}

/// Whether a group has read each of so many partitions to its end, by what Kafka's tool says about the group.
fn ends(described: &str, topic: &str, partitions: i32) -> Result<()> {
    let short =
        |what: String| Error::new(ErrorKind::Unavailable, format!("`{topic}` could not be read to its end: {what}"));
    let mut rows = described.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let header = rows.find(|row| row.contains(&"CURRENT-OFFSET")).unwrap_or_default();
    let column = |name: &str| header.iter().position(|column| *column == name);
    let (Some(of_topic), Some(of_partition), Some(of_position), Some(of_end)) =
        (column("TOPIC"), column("PARTITION"), column("CURRENT-OFFSET"), column("LOG-END-OFFSET"))
    else {
        return Err(short(format!("no positions in {described:?}")));
    };
    let mut whole = Vec::new();
    for row in rows.filter(|row| row.get(of_topic) == Some(&topic)) {
        let number = |column: usize| row.get(column).and_then(|text| text.parse::<i64>().ok());
        match (number(of_partition), number(of_position), number(of_end)) {
            (Some(partition), Some(position), Some(end)) if position == end => whole.push(partition),
            _ => return Err(short(format!("`{}` (is a transaction still open?)", row.join(" ")))),
        }
    }
    whole.sort_unstable();
    if !whole.iter().copied().eq(0..i64::from(partitions)) {
        return Err(short(format!("positions of partitions {whole:?} only")));
    }
    Ok(())
}

fn lines(file: &Path) -> Result<Vec<Line>> {
    let open = File::open(file).map_err(failed("can't read what the consumer printed"))?;
    let lines = BufReader::new(open).lines().map(|line| {
        let line = line.map_err(failed("can't read what the consumer printed"))?;
        parse(&line).ok_or_else(|| {
            let message = format!("the consumer printed what is no record: {line:?}");
            Error::new(ErrorKind::Data, message)
        })
    });
    lines.collect()
}

/// `Partition:0 Offset:5 HEADERS KEY VALUE`, with tabs between.
fn parse(line: &str) -> Option<Line> {
    let mut parts = line.splitn(5, '\t');
    let partition = parts.next()?.strip_prefix("Partition:")?.parse().ok()?;
    let offset = parts.next()?.strip_prefix("Offset:")?.parse().ok()?;
    let headers = match parts.next()? {
        "NO_HEADERS" => Vec::new(),
        headers => {
            let pairs = headers.split(BETWEEN_HEADERS).map(|header| header.split_once(':'));
            let pairs = pairs.map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
            pairs.collect::<Option<_>>()?
        }
    };
    let key = parts.next().filter(|key| *key != "null").map(str::to_owned);
    Some(Line { partition, offset, key, headers, value: parts.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\nGROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG CONSUMER-ID HOST CLIENT-ID\n";

    fn whole(rows: &str) -> bool {
        ends(&format!("{HEADER}{rows}"), "t", 2).is_ok()
    }

    #[test]
    fn a_read_is_whole_when_every_partition_was_read_to_its_end() {
        assert!(whole("g t 1 7 7 0 - - -\ng t 0 0 0 0 - - -\n"));
        assert!(!whole("g t 1 7 7 0 - - -\n"), "a partition is missing");
        assert!(!whole("g t 1 7 7 0 - - -\ng t 0 5 9 4 - - -\n"), "one is read in part");
        assert!(!whole("g t 1 7 7 0 - - -\ng t 0 - 9 - - - -\n"), "one has not been read");
        assert!(!whole("g t 1 7 7 0 - - -\ng other 0 0 0 0 - - -\n"), "another topic does not count");
        assert!(ends("Error: no such group", "t", 2).is_err());
        assert!(ends("", "t", 0).is_err(), "no answer proves nothing");
    }

    #[test]
    fn what_the_consumer_prints_is_understood() {
        let plain = parse("Partition:3\tOffset:12\tNO_HEADERS\t77\t5,77,1").expect("a record");
        assert_eq!((plain.partition, plain.offset, plain.key.as_deref()), (3, 12, Some("77")));
        assert_eq!((plain.value.as_str(), plain.headers.len()), ("5,77,1", 0));
        let letter = parse("Partition:0\tOffset:0\ta:x: y\u{1f}b:\tnull\tspoiled,1").expect("a record");
        let headers = [("a", "x: y"), ("b", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!((letter.key, letter.headers), (None, headers.to_vec()));
        assert_eq!(parse("Processed a total of 5 messages"), None);
        assert_eq!(parse("Partition:0\tOffset:0\tNO_HEADERS\t1"), None);
    }
}
