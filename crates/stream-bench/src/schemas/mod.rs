//! What a derived schema costs beside one written by hand for the same type, by the same rules and with the same errors.
//!
//! The target is 5 %: nobody should have to give up the derive for speed. The hand-written ones are in `hand`, in the
//! way somebody writes them who knows the type: serde's derive and one call for JSON; for CSV a scanner that borrows,
//! reads RFC 4180 quotes and names the column in every error. That both say the same is checked record by record before
//! the race, mistakes included.

mod derived;
mod hand;

use std::fmt::Debug;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use stream_kafka::testing::RecordBuilder;
use stream_kafka::{FromKafka, ProducerRecord, ToKafka};

use crate::bids::write_bid;
use crate::measure::{Contender, race, table};

const RECORDS: u64 = 4096;
/// How often each turn goes over the records.
const ROUNDS: u64 = 24;
const BUDGET: Duration = Duration::from_secs(8);

/// Adds up something of every field, so that none may be left out.
trait Checksum {
    fn checksum(&self) -> u64;
}

/// Races all pairs and returns the table as Markdown.
pub fn run() -> String {
    let (bids, users) = (bids(), users());
    let rows = [compare::<derived::Bid, hand::Bid>("JSON", &bids), compare::<derived::User, hand::User>("CSV", &users)];
    let header = ["schema", "derived ns/record", "by hand ns/record", "ratio (target: at most 1.05)"];
    table("Derived schemas beside hand-written ones", &header, &rows.concat())
}

fn compare<D, H>(format: &str, lines: &[Vec<u8>]) -> [Vec<String>; 2]
where
    D: FromKafka + ToKafka + Checksum + Debug,
    H: FromKafka + ToKafka + Checksum + Debug,
{
    let records: Vec<RecordBuilder> = lines.iter().map(|line| RecordBuilder::new().value(line)).collect();
    for (record, line) in records.iter().zip(lines) {
        assert_same::<D, H>(record, line);
    }
    let mut decoders = [reader::<D>("derived", records.clone()), reader::<H>("by hand", records.clone())];
    race(&mut decoders, BUDGET);
    let mut encoders = [writer::<D>("derived", &records), writer::<H>("by hand", &records)];
    race(&mut encoders, BUDGET);
    [row(format!("{format}, decode"), &decoders), row(format!("{format}, encode"), &encoders)]
}

fn row(what: String, [derived, hand]: &[Contender; 2]) -> Vec<String> {
    let (derived, hand) = (derived.wall_per_record(), hand.wall_per_record());
    vec![what, format!("{derived:.1}"), format!("{hand:.1}"), format!("{:.3}", derived / hand)]
}

fn reader<T: FromKafka + Checksum>(label: &str, records: Vec<RecordBuilder>) -> Contender {
    Contender::timed(label, RECORDS * ROUNDS, move || {
        let mut sum = 0u64;
        for _ in 0..ROUNDS {
            for record in &records {
                let value = record.with(|raw| T::from_kafka(black_box(raw)));
                sum = sum.wrapping_add(value.as_ref().map_or(1, Checksum::checksum));
            }
        }
        sum
    })
}

fn writer<T: FromKafka + ToKafka>(label: &str, records: &[RecordBuilder]) -> Contender {
    let values: Vec<T> = records.iter().filter_map(|record| record.decode().ok()).collect();
    let mut record = ProducerRecord::default();
    Contender::timed(label, RECORDS * ROUNDS, move || {
        let mut sum = 0u64;
        for _ in 0..ROUNDS {
            for value in &values {
                let written = black_box(value).to_kafka(&mut record).is_ok();
                let value = black_box(&record).value().unwrap_or_default();
                let last = value.last().copied().map_or(0, u64::from);
                sum = sum.wrapping_add(u64::from(written) + value.len() as u64 + last);
            }
        }
        sum
    })
}

/// Both read the same, write the same, and refuse the same for the same reason.
///
/// # Panics
/// If they don't.
fn assert_same<D, H>(record: &RecordBuilder, line: &[u8])
where
    D: FromKafka + ToKafka + Checksum + Debug,
    H: FromKafka + ToKafka + Checksum + Debug,
{
    let (derived, hand) = (record.decode::<D>(), record.decode::<H>());
    let said = |what: &dyn Debug| format!("{what:?}");
    let text = String::from_utf8_lossy(line);
    assert_eq!(said(&derived), said(&hand), "{text}");
    if let (Ok(derived), Ok(hand)) = (derived, hand) {
        let (mut by_derive, mut by_hand) = (ProducerRecord::default(), ProducerRecord::default());
        assert_eq!(derived.to_kafka(&mut by_derive).is_ok(), hand.to_kafka(&mut by_hand).is_ok());
        assert_eq!(by_derive.value(), by_hand.value(), "{text}");
    }
}

fn bids() -> Vec<Vec<u8>> {
    let bid = |i| {
        let mut bid = Vec::new();
        write_bid(i, &mut bid);
        bid
    };
    (0..RECORDS).map(bid).collect()
}

/// Lines of about 60 bytes; one of 16 has quotes.
fn users() -> Vec<Vec<u8>> {
    let user = |i: u64| {
        let (id, age, gender, score) = (i * 7919, i % 90, i % 3, i as f64 / 8.0);
        let mut line = String::new();
        // Writing to a String can't fail.
        let _ = match i % 16 {
            3 => write!(line, "{id},\"Ann \"\"{i}\"\" Lee\",{age},{gender},{score},\"12, Long Road, York\""),
            9 => write!(line, "{id},user number {i},{age},{gender},,"),
            _ => write!(line, "{id},user number {i},{age},{gender},{score},{i} Some Street Newtown"),
        };
        line.into_bytes()
    };
    (0..RECORDS).map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_and_hand_written_say_the_same() {
        for line in users() {
            assert_same::<derived::User, hand::User>(&RecordBuilder::new().value(&line), &line);
        }
        for line in bids() {
            assert_same::<derived::Bid, hand::Bid>(&RecordBuilder::new().value(&line), &line);
        }
        for line in [
            "",
            "1",
            "x,a,1,1,,",
            "1,a,1,1,,b\r\n",
            "1,a,1,1,,b\n",
            "1,a,300,1,,b,",
            "1,\"a,1,1,,b",
            "1,\"a\"b,1,1,,b",
            "1,a,1,1,,b\n2,a,1,1,,b",
            "1,\"\",1,1,\"\",\"\"",
            "1,a,1,1,2.5",
            "1,\"a\n\",1,1,2.5,\"c\"\"\"",
        ] {
            assert_same::<derived::User, hand::User>(&RecordBuilder::new().value(line), line.as_bytes());
        }
        let not_utf8 = b"1,\xff,1,1,,";
        assert_same::<derived::User, hand::User>(&RecordBuilder::new().value(not_utf8), not_utf8);
        assert_same::<derived::User, hand::User>(&RecordBuilder::new(), b"");
        for json in ["", "{}", "[1]", r#"{"auction":1}x"#] {
            assert_same::<derived::Bid, hand::Bid>(&RecordBuilder::new().value(json), json.as_bytes());
        }
    }
}
