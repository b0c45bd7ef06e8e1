//! W3 on the public API, as a user would write it: JSON in, another price, JSON out.

use stream_core::Result;
use stream_kafka::{KafkaSchema, KafkaSink, KafkaSource, OffsetsInitializer};

use crate::copy::{Copied, Copy};

#[derive(KafkaSchema)]
#[kafka(rename_all = "camelCase")]
struct Bid {
    auction: u64,
    bidder: u64,
    price: u64,
    channel: String,
    url: String,
    date_time: i64,
}

/// Runs W3 over the topics of `copy`.
///
/// # Errors
/// What the job failed with.
pub fn run(copy: &Copy) -> Result<Copied> {
    let (ctx, mut counter) = copy.context()?;
    let bids = KafkaSource::<Bid>::new(&ctx)
        .starting_offsets(OffsetsInitializer::Earliest)
        .bounded()
        .values()
        .uid("bids")
        .inspect(move |_| counter.count())
        .map(|bid| Bid { price: bid.price * 908 / 1000, ..bid });
    KafkaSink::new(&ctx).sink(bids).uid("prices");
    copy.execute(ctx, "prices")
}
