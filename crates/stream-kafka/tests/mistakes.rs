//! What people read for every mistake they are likely to make: each `mistakes/NAME.yml` gives the text in `NAME.txt`.
//!
//! `UPDATE=1 cargo test -p stream-kafka --test mistakes` writes the texts anew; read them before you commit them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use stream_conf::{Configuration, Format};
use stream_core::{Error, ExplainFormat, Plan, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource};

/// A job over whatever ends the text configures; its plan or its mistakes, without a broker being asked.
fn planned(yaml: &str) -> Result<Plan, Error> {
    let configuration = Configuration::builder().text("application.yml", Format::Yaml, yaml).build()?;
    let ctx = StreamingContext::new(configuration);
    let sink = !ctx.configuration().section("kafka.sink").is_empty();
    let source = !ctx.configuration().section("kafka.source").is_empty();
    if sink {
        KafkaSink::new(&ctx).sink(ctx.from_iter(["a"]));
    }
    if source || !sink {
        KafkaSource::<String>::new(&ctx).values().for_each(|_| {});
    }
    ctx.plan("job")
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let entries = fs::read_dir(folder).expect("the folder of the cases").map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "yml")).collect();
    cases.sort();
    cases
}

#[test]
fn every_mistake_is_explained() {
    let cases = cases();
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let name = case.file_stem().expect("a name").to_string_lossy().into_owned();
        let yaml = fs::read_to_string(&case).expect("readable");
        let said = planned(&yaml).map_or_else(|error| format!("{error}\n"), |_| "no mistake found\n".to_owned());
        let text = case.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&text, &said).expect("writable");
        }
        let expected = fs::read_to_string(&text).unwrap_or_default();
        if said != expected {
            wrong.push(format!("== {name}: said\n{said}== but should say\n{expected}"));
        }
        if said == "no mistake found\n" {
            wrong.push(format!("== {name} is no mistake"));
        }
        assert!(!said.contains("hunter2"), "{name} shows a secret");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A small generator of its own, so that a seed names a run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % n as u64).expect("below a usize")
    }

    /// A few bytes changed, dropped, doubled or taken from elsewhere.
    fn mutate(&mut self, text: &str, all: &[String]) -> String {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let noise = b"\t\n :-#{}[]&*!|>'\"%@`$?,0aZ\\\xc3";
            match self.below(4) {
                0 => bytes.insert(at, noise[self.below(noise.len())]),
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 if at < bytes.len() => bytes[at] = noise[self.below(noise.len())],
                _ => {
                    let other = all[self.below(all.len())].as_bytes();
                    let from = self.below(other.len());
                    let to = from + self.below(other.len() - from);
                    bytes.splice(at..at, other[from..to].iter().copied());
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Everything that is said about a text, however it is asked: the error, the log, the configuration and the plan.
fn everything_said(yaml: &str) -> String {
    let mut said = String::new();
    let mut say = |part: String| said.push_str(&(part + "\n"));
    match Configuration::builder().text("application.yml", Format::Yaml, yaml).build() {
        Err(error) => say(format!("{error}\n{error:?}\n{:?}", error.problems())),
        Ok(configuration) => {
            say(format!("{}\n{configuration:?}\n{configuration:#?}", configuration.explain_all()));
            let keys: Vec<String> = configuration.keys().map(str::to_owned).collect();
            for key in &keys {
                let entry = configuration.get(key);
                say(format!("{}\n{entry:?}", configuration.explain(key)));
            }
            // A typing mistake in the question is answered, too.
            say(configuration.explain("kafka.sink.more.sasl.pasword"));
            for section in ["", "app", "kafka", "kafka.source", "kafka.sink", "kafka.sink.more"] {
                say(format!("{:?}", configuration.section(section)));
            }
            say(configuration
                .check_claimed(&["kafka.source"])
                .map_or_else(|e| format!("{e}{e:?}"), |()| String::new()));
        }
    }
    match planned(yaml) {
        Err(error) => say(format!("{error}\n{error:?}\n{}", error.hint().unwrap_or_default())),
        Ok(plan) => {
            for format in [ExplainFormat::Text, ExplainFormat::Dot, ExplainFormat::Mermaid, ExplainFormat::Json] {
                say(plan.explain(format));
            }
        }
    }
    said
}

/// What was logged on this thread since the last look.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().expect("no panic while logging"));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic while logging").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

const CANARY: &str = "cAnArY-0815";

/// Keys that hold a secret by Kafka's rules or by their name, and ways to misspell them.
const SECRETS: &[&str] = &[
    "sasl.password",
    "sasl.pasword",
    "SASL.PASSWORD",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.truststore.password",
    "ssl.keystore.key",
    "ssl.key.pem",
    "ssl_key",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.jaas.config",
    "schema.registry.basic.auth.user.info",
    "basic.auth.user.info",
    "schema.registry.ssl.keystore.password",
    "bearer.auth.token",
    "my.api.key",
];

/// No text makes it panic, and no value under a key that stands for a secret is ever shown: not by errors, not in the
/// log, not by `explain`, not by `Debug`, not in the plan.
#[test]
fn mutated_files_never_panic_and_never_show_a_secret() {
    let full = std::env::var_os("STREAM_TEST_FULL").is_some();
    let (files, mut random) = (if full { 100_000 } else { 10_000 }, Random(7));
    let mut texts: Vec<String> = cases().iter().map(|case| fs::read_to_string(case).expect("readable")).collect();
    // Some that are no mistakes, so that there is more to be planned and explained.
    let good = "kafka.source:\n  bootstrap.servers: h:9092\n  topic: t\n  group.id: g\n";
    texts.extend(std::iter::repeat_n(good.to_owned(), 20));
    texts.extend(std::iter::repeat_n(format!("{good}kafka.sink:\n  bootstrap.servers: h:9092\n  topic: u\n"), 20));
    let log = Log::default();
    let writer = log.clone();
    let logging = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    let logging = logging.with_writer(move || writer.clone()).finish();
    let (mut planned, mut logged, mut masked) = (0, 0, 0);
    tracing::subscriber::with_default(logging, || {
        for _ in 0..files {
            let text = &texts[random.below(texts.len())];
            let secret = SECRETS[random.below(SECRETS.len())];
            let place = ["kafka.sink.more", "kafka.source", "kafka.sink", "app", "my"][random.below(5)];
            let value = match random.below(4) {
                0 if secret.ends_with("jaas.config") => format!(
                    "'org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" \
                     password=\"{CANARY}\";'"
                ),
                0 => format!("[a, {CANARY}]"),
                1 => format!("\"x\\n{CANARY}\""),
                2 => format!("|\n    first\n    {CANARY}"),
                _ => CANARY.to_owned(),
            };
            // Half of them are mutated elsewhere only, half stand as they are.
            let before = if random.below(2) == 0 { random.mutate(text, &texts) } else { text.clone() };
            let written = match place {
                "kafka.source" | "kafka.sink" if text.contains(place) => format!("{place}.{secret}: {value}\n"),
                _ => format!("{place}:\n  {secret}: {value}\n"),
            };
            let yaml = format!("{before}\n{written}");
            let said = everything_said(&yaml);
            let log = log.take();
            assert!(!said.contains(CANARY), "shows a secret:\n{yaml}\n--\n{said}");
            assert!(!log.contains(CANARY), "logs a secret:\n{yaml}\n--\n{log}");
            planned += usize::from(said.contains("digraph"));
            logged += usize::from(!log.is_empty());
            masked += usize::from(said.contains("***"));
        }
    });
    // Or it shows nothing.
    let enough = [planned, logged, masked].map(|count| count > files / 100);
    assert_eq!(enough, [true; 3], "planned {planned}, logged {logged}, masked {masked} of {files}");
}
