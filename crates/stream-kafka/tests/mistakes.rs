//! What people read for every mistake they are likely to make: each `mistakes/NAME.yml` gives the text in `NAME.txt`.
//!
//! `UPDATE=1 cargo test -p stream-kafka --test mistakes` writes the texts anew; read them before you commit them.

use std::fs;
use std::path::{Path, PathBuf};

use stream_conf::{Configuration, Format};
use stream_core::{Error, StreamingContext};
use stream_kafka::{KafkaSink, KafkaSource};

/// A job over whatever ends the text configures; its mistakes, without a broker being asked.
fn mistakes(yaml: &str) -> Result<(), Error> {
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
    ctx.plan("job").map(|_| ())
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
        let said = mistakes(&yaml).map_or_else(|error| format!("{error}\n"), |()| "no mistake found\n".to_owned());
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

/// No text makes it panic, and no value under a key that stands for a secret is ever shown.
#[test]
fn mutated_files_never_panic_and_never_show_a_secret() {
    let full = std::env::var_os("STREAM_TEST_FULL").is_some();
    let (files, mut random) = (if full { 100_000 } else { 10_000 }, Random(7));
    let texts: Vec<String> = cases().iter().map(|case| fs::read_to_string(case).expect("readable")).collect();
    for _ in 0..files {
        let text = &texts[random.below(texts.len())];
        let secret = "  sasl.password: cAnArY-0815\n";
        let mutated = random.mutate(text, &texts) + "\nkafka.sink.more:\n" + secret;
        let said = mistakes(&mutated).map_or_else(|error| format!("{error}\n{error:?}"), |()| String::new());
        assert!(!said.contains("cAnArY-0815"), "shows a secret:\n{mutated}\n--\n{said}");
    }
}
