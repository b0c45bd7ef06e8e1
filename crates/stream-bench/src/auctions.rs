//! W4 on the public API, as a user would write it: bids per auction in windows of ten seconds, at least once.

use std::time::Duration;

use stream_core::window::{Aggregator, TumblingWindows};
use stream_core::{Result, Timestamp, WatermarkStrategy};
use stream_kafka::{KafkaRecord, KafkaSchema, KafkaSink, KafkaSource, OffsetsInitializer};

use crate::copy::{Copied, Copy};

/// What of a bid is looked at.
#[derive(KafkaSchema)]
#[kafka(rename_all = "camelCase", only = "read")]
struct Bid {
    auction: u64,
    price: u64,
    date_time: i64,
}

/// What is said of a window.
#[derive(KafkaSchema)]
#[kafka(only = "write")]
struct Row {
    auction: u64,
    start: i64,
    count: u64,
    max: u64,
}

/// How many bids, and the greatest price.
#[derive(Clone)]
struct CountAndMax;

impl Aggregator<KafkaRecord<Bid>> for CountAndMax {
    type State = (u64, u64);
    type Output = (u64, u64);

    fn create(&self) -> (u64, u64) {
        (0, 0)
    }

    fn add(&self, (count, max): &mut (u64, u64), bid: KafkaRecord<Bid>) {
        *count += 1;
        *max = bid.value.price.max(*max);
    }

    fn merge(&self, (count, max): &mut (u64, u64), other: (u64, u64)) {
        *count += other.0;
        *max = other.1.max(*max);
    }

    fn result(&self, state: (u64, u64)) -> (u64, u64) {
        state
    }
}

/// Runs W4 over the topics of `copy`; the watermark is two seconds behind.
///
/// # Errors
/// What the job failed with.
pub fn run(copy: &Copy) -> Result<Copied> {
    let (ctx, mut counter) = copy.context()?;
    let time = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(2))
        .with_timestamp_assigner(|bid: &KafkaRecord<Bid>, _| Timestamp::from_millis(bid.value.date_time));
    let rows = KafkaSource::<Bid>::new(&ctx)
        .starting_offsets(OffsetsInitializer::Earliest)
        .bounded()
        .watermarks(time)
        .stream()
        .inspect(move |_| counter.count())
        .key_by(|bid| bid.value.auction)
        .window(TumblingWindows::of(Duration::from_secs(10)))
        .aggregate(CountAndMax)
        .map(|result| {
            let (count, max) = result.value;
            Row { auction: result.key, start: result.window.start().as_millis(), count, max }
        });
    KafkaSink::new(&ctx).sink(rows);
    copy.execute(ctx, "auctions")
}
