//! W5 on the public API, as a user would write it: a running count per bidder, with checkpoints.
//!
//! What is counted survives exactly once; into Kafka it is at least once unless `copy` says otherwise: after a crash the
//! rows since the last checkpoint are written again.

use std::path::Path;

use stream_core::Result;
use stream_kafka::{KafkaSchema, KafkaSink, KafkaSource, OffsetsInitializer};

use crate::copy::{Copied, Copy};

const JOB: &str = "bidders";

/// What of a bid is looked at.
#[derive(KafkaSchema)]
#[kafka(only = "read")]
struct Bid {
    bidder: u64,
}

/// What is said of a bidder.
#[derive(KafkaSchema)]
#[kafka(only = "write")]
struct Row {
    bidder: u64,
    count: u64,
}

/// Runs W5 over the topics of `copy`, with a checkpoint into `state` as often as it commits.
///
/// # Errors
/// What the job failed with.
pub fn run(copy: &Copy, state: &Path) -> Result<Copied> {
    let dir = state.display().to_string();
    let (ctx, mut counter) = copy.context_with(&[
        ("execution.checkpointing.interval", format!("{} ms", copy.commit_ms)),
        ("execution.checkpointing.dir", dir.clone()),
    ])?;
    let ctx = ctx.checkpoint_store(stream_store::open(&dir, JOB)?);
    let rows = KafkaSource::<Bid>::new(&ctx)
        .starting_offsets(OffsetsInitializer::Earliest)
        .bounded()
        .values()
        .uid("bids")
        .inspect(move |_| counter.count())
        .key_by(|bid| bid.bidder)
        .count()
        .uid("count")
        .filter(|(_, count)| count.is_multiple_of(4))
        .map(|(bidder, count)| Row { bidder, count });
    KafkaSink::new(&ctx).sink(rows);
    copy.execute(ctx, JOB)
}
