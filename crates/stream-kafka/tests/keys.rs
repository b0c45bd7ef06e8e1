//! The page about Kafka keys is printed from the table of `stream_kafka::keys`; `UPDATE_DOCS=1` rewrites it.

use std::fmt::Write as _;
use std::path::Path;

use stream_kafka::keys::table::{Action, Applies, ROWS};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/kafka-keys.md");

#[test]
fn page_is_fresh() {
    let fresh = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(Path::new(PAGE), &fresh).expect("the page can be written");
    }
    let found = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(found == fresh, "docs/src/kafka-keys.md is stale: run the test with UPDATE_DOCS=1");
}

fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    for row in ROWS {
        let applies = match row.applies {
            Applies::Source => "source",
            Applies::Sink => "sink",
            Applies::Both => "both",
        };
        let action = match row.action {
            Action::Same => "same",
            Action::Rename => "renamed",
            Action::Transform => "translated",
            Action::Engine => "engine",
            Action::Ignore => "no effect",
            Action::Reject => "refused",
        };
        let native: Vec<String> = row.native.iter().map(|name| format!("`{name}`")).collect();
        let native = if row.native == [row.key] { String::new() } else { native.join(", ") };
        writeln!(page, "| `{}` | {applies} | {action} | {native} | {} |", row.key, row.note).expect("a line");
    }
    page
}

const INTRODUCTION: &str = "\
# Kafka keys

<!-- Printed from crates/stream-kafka/src/keys/table.rs: change the table, then run its tests with UPDATE_DOCS=1. -->

Every key of Kafka's Java clients may stand under `kafka.source` and `kafka.sink`, and keys that StreamPark and Flink add.
This table says what becomes of each. Names that only librdkafka knows pass as they are; where both clients know a name
and mean something else, Java's meaning wins. The same setting under two names is an error, and so is an unknown key.

- **same**: librdkafka has it under the same name.
- **renamed**: librdkafka has it under the name in the fourth column.
- **translated**: its value changes too.
- **engine**: the engine does it.
- **no effect**: accepted; one warning at the start lists all of these.
- **refused**: an error, because leaving it out would change what you get.

Some librdkafka properties are refused as well: those that load code or run commands (`plugin.library.paths`,
`ssl.engine.location`, a whole command as `sasl.kerberos.kinit.cmd`), callbacks, and those that the engine owns
(`enable.auto.offset.store`, `enable.partition.eof`, `delivery.report.only.error`, `statistics.*`, ...).

What is set without being asked for, to keep what Java does:

| role | property | value |
| --- | --- | --- |
| both | `allow.auto.create.topics` | `false` (Java: `true`): a misspelt topic is an error |
| both | `socket.timeout.ms` | `30000`, Java's `request.timeout.ms`; left to librdkafka in a transaction |
| source | `check.crcs` | `true` |
| source | `isolation.level` | `read_uncommitted` |
| source | `enable.auto.commit`, `enable.auto.offset.store` | `false`: the engine commits |
| source | `enable.partition.eof` | `true` |
| sink | `enable.idempotence` | `true`, unless `acks`, `retries` or in-flight requests rule it out |
| sink | `partitioner` | `murmur2_random`, Java's hash |
| sink | `delivery.timeout.ms` | `120000`; in a transaction at most `transaction.timeout.ms` |
| sink | `max.in.flight.requests.per.connection` | `5` |
| sink | `message.max.bytes` | `1048576`, Java's `max.request.size` |

| key | for | what becomes of it | librdkafka | notes |
| --- | --- | --- | --- | --- |
";
