//! What the job has written, and the audit of it.

use std::path::Path;

use stream_core::Result;
use stream_kafka::KafkaRecord;

use crate::Mode;
use crate::audit::{Audit, Line};
use crate::clusters::{Cluster, Clusters};
use crate::events::{Oracle, PARTITIONS};
use crate::failed;

/// The topics of one run.
pub(crate) struct Topics {
    pub(crate) input: String,
    pub(crate) counts: String,
    pub(crate) windows: String,
    pub(crate) dead_letters: String,
}

impl Topics {
    pub(crate) fn create(clusters: &Clusters) -> Topics {
        let kafka = &clusters.main.kafka;
        Topics {
            input: kafka.topic("input", PARTITIONS),
            counts: kafka.topic("counts", PARTITIONS),
            windows: clusters.of_windows().kafka.topic("windows", PARTITIONS),
            dead_letters: kafka.topic("dead-letters", 1),
        }
    }
}

/// All records of the three output topics.
pub(crate) struct Records {
    counts: Vec<Line>,
    windows: Vec<Line>,
    letters: Vec<Line>,
}

impl Records {
    /// By Kafka's own consumer, those that are committed.
    pub(crate) fn committed(clusters: &Clusters, topics: &Topics, dir: &Path) -> Result<Records> {
        let broker = clusters.main.broker()?;
        Ok(Records {
            counts: broker.read_committed(&topics.counts, PARTITIONS, dir)?,
            windows: clusters.of_windows().broker()?.read_committed(&topics.windows, PARTITIONS, dir)?,
            letters: broker.read_committed(&topics.dead_letters, 1, dir)?,
        })
    }

    /// By the engine's source, all of them.
    pub(crate) fn all(clusters: &Clusters, topics: &Topics) -> Records {
        let read = |cluster: &Cluster, topic: &str| cluster.kafka.read(topic).into_iter().map(Line::from).collect();
        Records {
            counts: read(&clusters.main, &topics.counts),
            windows: read(clusters.of_windows(), &topics.windows),
            letters: read(&clusters.main, &topics.dead_letters),
        }
    }

    /// How many records are repeats of others, if nothing is lost.
    pub(crate) fn repeats(&self, oracle: &Oracle) -> usize {
        let found = self.counts.len() + self.windows.len() + self.letters.len();
        found.saturating_sub(oracle.records as usize + oracle.windows.len())
    }

    /// Compares them, and what is in the files below `dir`, with what should be there.
    pub(crate) fn audit(&self, mode: Mode, topics: &Topics, dir: &Path, oracle: &Oracle) -> Result<()> {
        const PLACE: &str = "Kafka";
        let mut audit = Audit::new(oracle);
        let (counts, windows) = (values(&self.counts), values(&self.windows));
        match mode {
            Mode::ExactlyOnce => {
                audit.counts_exactly_once(PLACE, counts);
                audit.order(&self.counts);
                audit.windows_exactly_once(PLACE, windows);
            }
            Mode::AtLeastOnce => {
                audit.counts_at_least_once(PLACE, counts);
                audit.windows_at_least_once(PLACE, windows);
            }
        }
        audit.keys("counts", &self.counts);
        audit.keys("windows", &self.windows);
        audit.dead_letters(&self.letters, &topics.input, mode == Mode::ExactlyOnce);
        let (counts, windows) = (published(&dir.join("counts"))?, published(&dir.join("windows"))?);
        audit.counts_exactly_once("files", counts.iter().map(String::as_str));
        audit.windows_exactly_once("files", windows.iter().map(String::as_str));
        audit.result()
    }
}

fn values(records: &[Line]) -> impl Iterator<Item = &str> {
    records.iter().map(|record| record.value.as_str())
}

impl From<KafkaRecord<String>> for Line {
    fn from(record: KafkaRecord<String>) -> Line {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = record.headers.iter().map(|(name, value)| (name.to_owned(), text(value.unwrap_or_default())));
        Line {
            partition: record.partition,
            offset: record.offset,
            headers: headers.collect(),
            key: record.key.as_deref().map(text),
            value: record.value,
        }
    }
}

/// All lines of the files that are published in a directory.
fn published(dir: &Path) -> Result<Vec<String>> {
    let failed = failed("can't read the files");
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).map_err(&failed)?;
        // JSON strings without anything to escape.
        lines.extend(text.lines().map(|line| line.trim_matches('"').to_owned()));
    }
    Ok(lines)
}
