//! Input for the Kafka workloads: bids of an auction as JSON, about 148 bytes, event `i` a pure function of `i`.

use std::io::Write;

/// A well-mixed function of `x`, so that neighbouring events don't look alike.
fn scatter(x: u64) -> u64 {
    let x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// Appends event `i`.
pub fn write_bid(i: u64, out: &mut Vec<u8>) {
    let (a, b) = (scatter(i + 1), scatter(i ^ 0x5eed_5eed));
    let auction = 1000 + if a & 1 == 0 { (a >> 9) % 100 } else { (a >> 9) % 10_000 };
    let channel = ["Google", "Facebook", "Baidu", "Apple", "channel-7"][usize::try_from(b % 5).unwrap_or(0)];
    let (bidder, price, at) = (1 + (a >> 30) % 1_000_000, 100 + (b >> 20) % 10_000_000, 1_700_000_000_000 + i / 10);
    let page = b >> 44;
    // Writing to a Vec can't fail.
    let _ = write!(
        out,
        r#"{{"auction":{auction},"bidder":{bidder},"price":{price},"channel":"{channel}","url":"https://www.nexmark.com/{page:05x}/item.htm?query=1","dateTime":{at}}}"#
    );
}

/// An order-independent fingerprint of a set of values, to compare what was written with what should be.
pub fn fingerprint(value: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in value {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    scatter(hash)
}
