//! What a Kafka needs on this machine: a Java runtime, and its jars, which Maven fetches once per version.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result, bail, ensure};

use crate::place;

/// What to type where something is missing.
pub(crate) const INSTALL_HINT: &str = "apt-get install openjdk-17-jre-headless maven";

const POM: &str = include_str!("pom.xml");
const LOG4J: &str = "log4j.rootLogger=LEVEL, stderr\n\
    log4j.appender.stderr=org.apache.log4j.ConsoleAppender\n\
    log4j.appender.stderr.Target=System.err\n\
    log4j.appender.stderr.layout=org.apache.log4j.PatternLayout\n\
    log4j.appender.stderr.layout.ConversionPattern=%d %p %c - %m%n\n";

/// The jars of one Kafka version in one folder.
pub(crate) struct Jars {
    pub(crate) folder: PathBuf,
    pub(crate) version: String,
}

/// How much a Java program logs.
#[derive(Clone, Copy)]
pub(crate) enum Logging {
    Info,
    Warn,
}

impl Jars {
    /// The folder where the jars of `version` are kept, present or not.
    pub(crate) fn locate(home: &Path, version: &str) -> Self {
        Self { folder: home.join("jars").join(version), version: version.to_owned() }
    }

    /// Whether they have been fetched.
    pub(crate) fn present(&self) -> bool {
        self.folder.is_dir()
    }

    /// Fetches the jars unless they are there.
    ///
    /// They arrive in a scratch folder that is renamed at the end: two fetches at once, or one cut short, leave
    /// either a whole folder or none.
    pub(crate) fn fetch(&self) -> Result<()> {
        if self.present() {
            return Ok(());
        }
        let known = self.version.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        ensure!(known, "{:?} is not a Kafka version; hint: write it as 4.3.1", self.version);
        let Some(maven) = place::find_program("mvn") else {
            bail!("mvn (Maven) is missing: it fetches the jars of Kafka {}; hint: {INSTALL_HINT}", self.version)
        };
        eprintln!("fetching the jars of kafka {} with Maven (once) ...", self.version);
        let scratch = self.folder.with_file_name(format!(".{}-{}", self.version, process::id()));
        fs::create_dir_all(&scratch).with_context(|| format!("could not create {}", scratch.display()))?;
        fs::write(scratch.join("pom.xml"), self.pom())?;
        let output = Command::new(maven)
            .args(["-B", "-q", "-Dstyle.color=never", "dependency:copy-dependencies", "-DoutputDirectory=jars"])
            .current_dir(&scratch)
            .output()
            .context("could not run mvn")?;
        if !output.status.success() {
            fs::remove_dir_all(&scratch).ok();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            // The first error names the cause; after it Maven advertises its own options.
            let cause =
                said.split_once("[ERROR] ").map_or(said.as_str(), |(_, rest)| rest.lines().next().unwrap_or(rest));
            bail!("Maven could not fetch Kafka {}; it said: {cause}", self.version);
        }
        if self.major() < 4 {
            fs::write(scratch.join("jars/log4j-info.properties"), LOG4J.replace("LEVEL", "INFO"))?;
            fs::write(scratch.join("jars/log4j-warn.properties"), LOG4J.replace("LEVEL", "WARN"))?;
        }
        // Whoever came second finds the folder there; the jars are the same.
        let moved = fs::rename(scratch.join("jars"), &self.folder);
        fs::remove_dir_all(&scratch).ok();
        if !self.present() {
            moved.with_context(|| format!("could not create {}", self.folder.display()))?;
        }
        Ok(())
    }

    /// Kafka's major version.
    pub(crate) fn major(&self) -> u32 {
        self.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }

    /// Kafka 3 brings reload4j as its log library; from 4 on we add slf4j's plain one.
    fn pom(&self) -> String {
        let binding = if self.major() < 4 {
            ""
        } else {
            "<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>"
        };
        POM.replace("@VERSION@", &self.version).replace("@BINDING@", binding)
    }

    /// A `java` command with these jars on the class path; options of the virtual machine may follow, then the class.
    pub(crate) fn java(&self, logging: Logging) -> Result<Command> {
        let level = match logging {
            Logging::Info => "info",
            Logging::Warn => "warn",
        };
        let mut command = Command::new(find_java()?);
        command.arg("-cp").arg(self.folder.join("*")).arg("-Djava.awt.headless=true");
        if self.major() < 4 {
            let file = self.folder.join(format!("log4j-{level}.properties"));
            command.arg(format!("-Dlog4j.configuration=file:{}", file.display()));
        } else {
            command.arg(format!("-Dorg.slf4j.simpleLogger.defaultLogLevel={level}"));
            command.arg("-Dorg.slf4j.simpleLogger.showDateTime=true");
            command.arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS");
        }
        Ok(command)
    }

    /// The first of `classes` (dotted names) that one of Kafka's own jars holds.
    ///
    /// A jar's table of contents spells file names in plain bytes, so a search finds them without unpacking.
    pub(crate) fn first_class<'a>(&self, classes: &[&'a str]) -> Result<Option<&'a str>> {
        let mut contents = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with("kafka-tools-") || name.starts_with("kafka_2.13-") || name.starts_with("kafka-server-")
            {
                contents.push(fs::read(&path)?);
            }
        }
        let holds = |class: &&str| {
            let file = class.replace('.', "/") + ".class";
            contents.iter().any(|jar| jar.windows(file.len()).any(|window| window == file.as_bytes()))
        };
        Ok(classes.iter().copied().find(|class| holds(class)))
    }
}

/// The Java runtime: of `JAVA_HOME`, or else in `PATH`.
pub(crate) fn find_java() -> Result<PathBuf> {
    let of_home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java")).filter(|file| file.is_file());
    match of_home.or_else(|| place::find_program("java")) {
        Some(java) => Ok(java),
        None => bail!("java (a Java runtime, 17 or newer) is missing: Kafka runs on it; hint: {INSTALL_HINT}"),
    }
}

/// The last `count` lines of `text`.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_3_keeps_its_own_log_library() {
        let pom = |version| Jars::locate(Path::new("home"), version).pom();
        assert!(pom("4.3.1").contains("slf4j-simple"));
        assert!(!pom("3.9.1").contains("slf4j-simple"));
        assert!(pom("3.9.1").contains("<version>3.9.1</version>"));
    }

    #[test]
    fn a_version_that_is_none_is_refused_before_maven_runs() {
        let error = Jars::locate(Path::new("home"), "latest").fetch().unwrap_err();
        assert_eq!(error.to_string(), "\"latest\" is not a Kafka version; hint: write it as 4.3.1");
    }

    #[test]
    fn the_tail_of_a_log() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
    }
}
