//! The page about errors is printed from the golden texts in `mistakes/` and the causes below; `UPDATE_DOCS=1` rewrites it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/errors.md");
const TEXTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mistakes");

#[test]
fn page_is_fresh() {
    let fresh = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(Path::new(PAGE), &fresh).expect("the page can be written");
    }
    let found = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(found == fresh, "docs/src/errors.md is stale: run the test with UPDATE_DOCS=1");
}

#[test]
fn every_text_has_its_cause() {
    let texts = fs::read_dir(TEXTS).expect("the folder of the texts").map(|entry| entry.expect("an entry").path());
    let texts = texts.filter(|path| path.extension().is_some_and(|e| e == "txt"));
    let texts: BTreeSet<String> =
        texts.map(|p| p.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    let causes: BTreeSet<String> = CASES.iter().flat_map(|(_, cases)| *cases).map(|(n, _)| (*n).to_owned()).collect();
    assert_eq!(texts, causes);
}

fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    for (theme, cases) in CASES {
        writeln!(page, "\n## {theme}").expect("a line");
        for (name, cause) in *cases {
            let text = fs::read_to_string(Path::new(TEXTS).join(format!("{name}.txt"))).unwrap_or_default();
            write!(page, "\n### {}\n\n{cause}\n\n```text\n{text}```\n", title(name)).expect("some lines");
        }
    }
    page
}

/// `bad-jaas` becomes `Bad jaas`.
fn title(name: &str) -> String {
    let mut words = name.replace('-', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

const INTRODUCTION: &str = "\
# Errors

<!-- Printed by crates/stream-kafka/tests/errors_page.rs from the texts in tests/mistakes: change those, then run it with
UPDATE_DOCS=1. -->

## The shape of a message

```text
error[config]: `committed` under `isolation.level` is not one of `read_uncommitted`, `read_committed`
  --> application.yml:4:20
   |
 4 |   isolation.level: committed
   |                    ^^^^^^^^^
   = key: kafka.source.isolation.level
   = help: correct the value, or remove the line to use the default
```

The first line says the kind and what is wrong, `-->` where: a place in a file, an environment variable, an argument, or
the operator and the source position of a running job. `key` is the full key, whatever way the file nests it, and
`help` is what to do. All mistakes in the settings are shown at once. Secrets are masked. On a terminal kind, caret and
help are coloured; `NO_COLOR=1` turns that off, and so does a pipe.

## Kinds and exit codes

| Kind | Exit code | What it means | What to do |
| --- | --- | --- | --- |
| `config` | 2 | a setting is wrong, a topic, a right or a user is missing | mend it: starting again does not help |
| `data` | 1 | a record can't be read or written, a position is gone | mend the data, or say what becomes of [bad records](kafka-source.md) |
| `unavailable` | 1 | brokers did not answer in time, or the job was cut off | start again |
| `user` | 1 | a function of the job failed or panicked | mend the function; the record is named |
| `fenced` | 3 | another instance has taken over | leave it to that one |
| `corrupt` | 1 | stored data is damaged | restore it |
| `internal` | 1 | a broken promise inside the engine | please report it |

A job that ends by itself or is stopped well exits with 0, also one that was stopped while it waited for its brokers:
nothing was read. A second signal, or the end of the grace time, cuts the job off: 1, and what was read since the last
commit is read again by the next run. Mistakes in the command line exit with 2.

## While the job runs

| Message | Cause | What to do |
| --- | --- | --- |
| `waiting for broker h:9092: … Connection refused` | nobody listens there yet | nothing, if the broker comes; the wait ends after `default.api.timeout.ms` (source) or `max.block.ms` (sink) |
| ``broker h:9092 refused user `alice`: …`` | wrong user, password or mechanism | correct `sasl.jaas.config`; the job does not wait |
| ``user `alice` may not read topic `t` `` | an ACL is missing, at the start or taken away later | the help line holds the `kafka-acls.sh` command for an administrator; `validate --connect` names all that is missing |
| ``no such topic on h:9092: `t` `` | topics are not made by reading or writing | create it, or correct the name |
| ``the group's position 5 of `t` partition 0 is gone`` | retention deleted records before they were read | raise the retention; move the group if the loss is acceptable |
| `can't decode t[0] offset 2: …` | a record is not what the schema expects | correct the writer, or set `on_bad_record` |
| `can't send a record of 60000 bytes` | larger than `max.request.size` or the topic's `max.message.bytes` | raise them, or write smaller records |
| `panicked: …` with an operator | a closure of the job panicked | the source position names the record |
";

type Case = (&'static str, &'static str);

/// Every text, by theme, with its cause in a sentence.
const CASES: &[(&str, &[Case])] = &[
    (
        "The file itself",
        &[
            ("tab-in-yaml", "YAML takes blanks only for indentation."),
            ("bad-indentation", "A line stands further left or right than its neighbours of the same block."),
            ("unclosed-quote", "A text begins with a quote and does not end with one."),
            ("duplicate-key", "The same key stands twice in one file; which one counts would be a guess."),
            (
                "app-and-top-level",
                "What stands below `app:`, as StreamPark writes it, is the same as without; the file has both.",
            ),
            ("missing-variable", "A value takes an environment variable that is not set, and gives no default."),
            ("unknown-substitution", "`${…}` takes only `env:` and `file:`."),
            ("unreadable-file", "A value is to be read from a file that is not there."),
        ],
    ),
    (
        "Keys",
        &[
            (
                "unknown-key-with-suggestion",
                "A key is misspelt. Unknown keys are errors: else the default would apply in silence.",
            ),
            ("unknown-key-without-suggestion", "A key that neither Kafka nor this library knows."),
            ("secret-under-a-misspelt-key", "A misspelt key may hold a secret, so its value is masked, too."),
            ("unknown-section", "The section's own name is misspelt, so nothing in it would be found."),
            ("unknown-top-level-key", "A key of the job itself is misspelt."),
            ("misspelt-job-setting", "The same below one of Flink's names for settings of the job."),
            ("job-setting-twice", "StreamPark's or Flink's old name and the new one are both there, and disagree."),
            ("several-at-once", "Mistakes are collected: one run shows them all."),
            ("both-spellings", "Java's and librdkafka's name of one setting are both there."),
            ("both-broker-spellings", "The same for the brokers' addresses."),
            ("consumer-key-on-a-sink", "A setting of consumers stands at a sink, which has no consumer."),
            ("key-of-the-other-role", "A setting of producers stands at a source."),
        ],
    ),
    (
        "Sections, topics, brokers",
        &[
            ("missing-section", "The job reads from Kafka, and the configuration has no section about it."),
            ("missing-brokers", "The section does not say where the brokers are."),
            ("missing-topic", "Neither the section, nor the code, nor the type names a topic."),
            ("topic-and-pattern", "Both choose what is read."),
            ("ambiguous-alias", "The section holds several instances, and the code does not say which one it wants."),
            ("zookeeper", "The address of ZooKeeper was needed by clients before Kafka 0.9."),
        ],
    ),
    (
        "Values",
        &[
            ("wrong-type-boolean", "The value has to be `true` or `false`."),
            ("wrong-type-whole-number", "The value has to be a number."),
            ("negative-number", "A time can't be negative."),
            ("parallelism-text", "The parallelism has to be a number."),
            ("parallelism-zero", "Nobody would do the work."),
            ("job-settings", "Values of Flink's settings have to be of Flink's types."),
            ("bad-enum", "The value is not one of those that the setting knows."),
            ("bad-semantic", "The value is none of Flink's guarantees."),
            ("bad-offset-reset", "The value is no place where reading can begin."),
            ("bad-offset-list", "A list of start positions has the wrong form."),
            ("idempotence-against-acks", "An idempotent producer needs the acknowledgement of all replicas."),
            ("too-many-in-flight", "An idempotent producer can keep order for five requests at most."),
            ("auto-commit-off", "Without checkpoints the commit is the only thing that stores positions."),
        ],
    ),
    (
        "Bad records",
        &[
            ("bad-record-policy", "The value is no policy."),
            ("bad-ratio", "The limit is a share of all records, not a percentage or a count."),
            ("dead-letter-without-topic", "Bad records have to go somewhere."),
            ("dead-letter-into-the-source", "Bad records would be read again, and be bad again, for ever."),
        ],
    ),
    (
        "Security",
        &[
            ("bad-jaas", "The login module is none that Kafka's clients know."),
            ("jks-key-store", "Java's own format of key stores is read by Java only."),
            ("jks-trust-store", "The same for the certificates that are trusted."),
            ("runs-a-command", "A configuration file must not be able to run commands."),
            ("loads-code", "Nor to load code."),
            ("ssl-engine", "The same for TLS engines."),
        ],
    ),
    (
        "What Java can do and this can't",
        &[
            ("custom-deserializer", "The class is Java's; the types of the job are Rust's."),
            ("custom-partitioner", "The same for partitioners."),
            ("jvm-class", "The same for interceptors, reporters and their like."),
        ],
    ),
    (
        "What is not built yet",
        &[
            ("exactly-once", "The guarantee would not be kept, so it is refused."),
            ("transactional-id", "Transactions belong to exactly-once."),
            ("start-at-timestamp", "Only group positions, the earliest and the latest record are known as starts."),
        ],
    ),
];
