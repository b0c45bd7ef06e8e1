//! The three kinds of record that run through map, filter, map, sum.
//!
//! The work is small on purpose, so that the calls around it show. The filter drops every eighth
//! record in a regular pattern: a branch the processor learns, because mispredictions would cost
//! more than what is measured. Every field takes part in the sum, so no contender may skip one.

/// A record type and what the operators do with it.
pub(super) trait Workload: 'static {
    /// What flows.
    type Record: Send + 'static;
    /// Name of the column.
    const NAME: &'static str;
    /// Records in one turn: some milliseconds.
    const RECORDS: u64;

    /// The source.
    fn make(i: u64) -> Self::Record;
    /// The first map.
    fn first(record: Self::Record) -> Self::Record;
    /// The filter.
    fn keep(record: &Self::Record) -> bool;
    /// The second map.
    fn second(record: Self::Record) -> Self::Record;
    /// What the sink adds up.
    fn weigh(record: Self::Record) -> u64;
}

/// An odd constant, so that multiplying keeps the low bits regular.
pub(super) const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number.
pub(super) struct Number;

impl Workload for Number {
    type Record = u64;
    const NAME: &'static str = "u64";
    const RECORDS: u64 = 4_000_000;

    #[inline]
    fn make(i: u64) -> u64 {
        i.wrapping_mul(ODD)
    }
    #[inline]
    fn first(record: u64) -> u64 {
        record.wrapping_mul(ODD).wrapping_add(1)
    }
    #[inline]
    fn keep(record: &u64) -> bool {
        record & 7 != 0
    }
    #[inline]
    fn second(record: u64) -> u64 {
        record.rotate_left(17) ^ ODD
    }
    #[inline]
    fn weigh(record: u64) -> u64 {
        record
    }
}

/// A plain struct of one cache line.
pub(super) struct Line;

impl Workload for Line {
    type Record = [u64; 8];
    const NAME: &'static str = "64-byte struct";
    const RECORDS: u64 = 1_000_000;

    #[inline]
    fn make(i: u64) -> [u64; 8] {
        std::array::from_fn(|field| i.wrapping_mul(ODD) ^ ((field as u64) << 32))
    }
    #[inline]
    fn first(mut record: [u64; 8]) -> [u64; 8] {
        record[0] = Number::first(record[0]);
        record[3] ^= ODD;
        record
    }
    #[inline]
    fn keep(record: &[u64; 8]) -> bool {
        Number::keep(&record[0])
    }
    #[inline]
    fn second(mut record: [u64; 8]) -> [u64; 8] {
        record[1] = record[0].rotate_left(17);
        record[7] = record[7].wrapping_add(1);
        record
    }
    #[inline]
    fn weigh(record: [u64; 8]) -> u64 {
        record.iter().fold(0, |sum: u64, field| sum.wrapping_add(*field))
    }
}

/// An owned string of 24 characters, allocated by the source and freed by the filter or the sink.
pub(super) struct Text;

/// The filter drops the last.
const WORDS: [&str; 8] = [
    "ada-lovelace-1815-london",
    "bob-kahn-1938-new-york-x",
    "carl-gauss-1777-bruneswk",
    "dana-scott-1932-berkeley",
    "emmy-noether-1882-erlang",
    "frances-allen-1932-peru-",
    "grace-hopper-1906-new-yk",
    "x-is-not-wanted-anywhere",
];

impl Workload for Text {
    type Record = String;
    const NAME: &'static str = "String";
    const RECORDS: u64 = 400_000;

    #[inline]
    fn make(i: u64) -> String {
        // Room for the character that the first map adds.
        let mut record = String::with_capacity(25);
        record.push_str(WORDS[(i % 8) as usize]);
        record
    }
    #[inline]
    fn first(mut record: String) -> String {
        record.push('!');
        record
    }
    #[inline]
    fn keep(record: &String) -> bool {
        record.as_bytes()[0] != b'x'
    }
    #[inline]
    fn second(mut record: String) -> String {
        if let Some(head) = record.get_mut(0..1) {
            head.make_ascii_uppercase();
        }
        record
    }
    #[inline]
    fn weigh(record: String) -> u64 {
        record.len() as u64 + u64::from(record.as_bytes()[0])
    }
}
