//! Kafka's own command-line tools by the short names of its `bin/` folder.

use std::path::Path;

use anyhow::{Result, bail};

use super::java::{Jars, Logging};

/// How a tool is told where the cluster is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bootstrap {
    /// `--bootstrap-server HOST:PORT`
    Option,
    /// It reads files, or wants something of its own.
    Own,
}

/// (short name, classes from newest to oldest Kafka, how it finds the cluster)
const TOOLS: &[(&str, &[&str], Bootstrap)] = &[
    ("acls", &["org.apache.kafka.tools.AclCommand", "kafka.admin.AclCommand"], Bootstrap::Option),
    (
        "broker-api-versions",
        &["org.apache.kafka.tools.BrokerApiVersionsCommand", "kafka.admin.BrokerApiVersionsCommand"],
        Bootstrap::Option,
    ),
    ("configs", &["org.apache.kafka.tools.ConfigCommand", "kafka.admin.ConfigCommand"], Bootstrap::Option),
    (
        "console-consumer",
        &["org.apache.kafka.tools.consumer.ConsoleConsumer", "kafka.tools.ConsoleConsumer"],
        Bootstrap::Option,
    ),
    ("console-producer", &["org.apache.kafka.tools.ConsoleProducer", "kafka.tools.ConsoleProducer"], Bootstrap::Option),
    ("consumer-groups", &["org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"], Bootstrap::Option),
    ("consumer-perf-test", &["org.apache.kafka.tools.ConsumerPerformance"], Bootstrap::Option),
    ("delete-records", &["org.apache.kafka.tools.DeleteRecordsCommand"], Bootstrap::Option),
    ("dump-log", &["org.apache.kafka.tools.DumpLogSegments", "kafka.tools.DumpLogSegments"], Bootstrap::Own),
    ("features", &["org.apache.kafka.tools.FeatureCommand"], Bootstrap::Option),
    ("get-offsets", &["org.apache.kafka.tools.GetOffsetShell"], Bootstrap::Option),
    ("groups", &["org.apache.kafka.tools.GroupsCommand"], Bootstrap::Option),
    ("leader-election", &["org.apache.kafka.tools.LeaderElectionCommand"], Bootstrap::Option),
    ("log-dirs", &["org.apache.kafka.tools.LogDirsCommand"], Bootstrap::Option),
    ("metadata-quorum", &["org.apache.kafka.tools.MetadataQuorumCommand"], Bootstrap::Option),
    ("producer-perf-test", &["org.apache.kafka.tools.ProducerPerformance"], Bootstrap::Own),
    ("reassign-partitions", &["org.apache.kafka.tools.reassign.ReassignPartitionsCommand"], Bootstrap::Option),
    ("topics", &["org.apache.kafka.tools.TopicCommand"], Bootstrap::Option),
    ("transactions", &["org.apache.kafka.tools.TransactionsCommand"], Bootstrap::Option),
];

/// Runs the tool called `name` (short, as in `kafka-topics.sh`, or a Java class) and returns its exit code.
///
/// Where the cluster asks who comes, `admin` is the file that says so.
pub(super) fn run(jars: &Jars, bootstrap: &str, admin: Option<&Path>, name: &str, arguments: &[String]) -> Result<u8> {
    let (class, way) = resolve(jars, name)?;
    let mut command = jars.java(Logging::Warn)?;
    command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", class]);
    let told = arguments.iter().any(|argument| argument.starts_with("--bootstrap-server"));
    if way == Bootstrap::Option && !told {
        command.args(["--bootstrap-server", bootstrap]);
        if let Some(admin) =
            admin.filter(|_| !arguments.iter().any(|argument| argument.starts_with("--command-config")))
        {
            command.arg("--command-config").arg(admin);
        }
    }
    let status = command.args(arguments).status()?;
    Ok(crate::process::exit_code(status))
}

fn resolve<'a>(jars: &Jars, name: &'a str) -> Result<(&'a str, Bootstrap)> {
    if name.contains('.') && !name.ends_with(".sh") {
        return Ok((name, Bootstrap::Own));
    }
    let short = short_name(name);
    let Some((_, classes, way)) = TOOLS.iter().find(|(tool, ..)| *tool == short) else {
        let known: Vec<_> = TOOLS.iter().map(|(tool, ..)| *tool).collect();
        bail!("no tool is called {name:?}; hint: a Java class, or one of {}", known.join(", "))
    };
    match jars.first_class(classes)? {
        Some(class) => Ok((class, *way)),
        None => bail!("Kafka {} has no tool {short:?}", jars.version),
    }
}

/// `kafka-topics.sh` and `kafka-topics` are `topics`.
fn short_name(name: &str) -> &str {
    let name = name.strip_suffix(".sh").unwrap_or(name);
    name.strip_prefix("kafka-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_kafkas_bin_folder_are_understood() {
        assert_eq!(short_name("kafka-topics.sh"), "topics");
        assert_eq!(short_name("kafka-topics"), "topics");
        assert_eq!(short_name("topics"), "topics");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let jars = Jars::locate(Path::new("home"), "4.3.1");
        let error = resolve(&jars, "topic").unwrap_err().to_string();
        assert!(error.starts_with("no tool is called \"topic\"; hint: a Java class, or one of acls,"), "{error}");
    }

    #[test]
    fn a_class_is_taken_as_it_is() {
        let jars = Jars::locate(Path::new("home"), "4.3.1");
        assert_eq!(resolve(&jars, "kafka.tools.Thing").unwrap(), ("kafka.tools.Thing", Bootstrap::Own));
    }
}
