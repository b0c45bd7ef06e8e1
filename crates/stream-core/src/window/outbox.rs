//! What a window operator has to say and has not handed on yet, and the watermark in its snapshots.

use std::collections::VecDeque;

use crate::batch::{BATCH_SIZE, Batch};
use crate::error::{Error, ErrorKind, Result};
use crate::operator::{OperatorContext, Output, Snapshot};
use crate::state::groups::{GroupWriter, owned_groups, read_groups};
use crate::time::Timestamp;

/// Results that wait for their batch.
pub(crate) struct Outbox<O> {
    waiting: VecDeque<(O, Option<Timestamp>)>,
    pub(crate) batch: Batch<O>,
}

impl<O> Outbox<O> {
    pub(crate) fn new() -> Outbox<O> {
        Outbox { waiting: VecDeque::new(), batch: Batch::new() }
    }

    pub(crate) fn push(&mut self, result: O, timestamp: Option<Timestamp>) {
        self.waiting.push_back((result, timestamp));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= BATCH_SIZE
    }

    /// Moves what waits into the batch, as far as there is room.
    pub(crate) fn fill(&mut self) {
        while self.batch.len() < BATCH_SIZE {
            // A batch has timestamps for all its records or for none.
            let timed = !self.batch.timestamps().is_empty();
            let fits = |timestamp: &Option<Timestamp>| self.batch.is_empty() || timestamp.is_some() == timed;
            if !self.waiting.front().is_some_and(|(_, timestamp)| fits(timestamp)) {
                return;
            }
            let Some((result, timestamp)) = self.waiting.pop_front() else { return };
            self.batch.push_as(result, timestamp);
        }
    }

    /// Hands the batch on.
    pub(crate) fn send(&mut self, out: &mut dyn Output<O>) -> Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let sent = out.batch(&mut self.batch);
        self.batch.clear();
        sent
    }

    /// Hands on one batch of what waits.
    pub(crate) fn send_waiting(&mut self, out: &mut dyn Output<O>) -> Result<()> {
        self.fill();
        self.send(out)
    }
}

/// Notes the watermark in a snapshot: with it, what is late stays late after a restore.
pub(crate) fn write_watermark(watermark: i64, context: &OperatorContext, snapshot: &mut Snapshot) -> Result<()> {
    let mut writer = GroupWriter::new(context);
    for group in owned_groups(context) {
        writer.add_to(group, &watermark)?;
    }
    writer.finish("watermark", snapshot);
    Ok(())
}

/// Reads it back. A barrier reaches all subtasks at the same watermark; were they different, the least would be right.
pub(crate) fn read_watermark(context: &OperatorContext, snapshot: &Snapshot) -> Result<i64> {
    let mut watermark = i64::MAX;
    let mut found = false;
    read_groups(snapshot, "watermark", context, |noted: i64| {
        (watermark, found) = (watermark.min(noted), true);
    })?;
    Ok(if found { watermark } else { i64::MIN })
}

/// A record without a timestamp has come to a window that needs one.
pub(crate) fn no_timestamps() -> Error {
    let error = Error::new(ErrorKind::User, "a record without a timestamp came to an event-time window");
    error.with_hint(
        "give the stream timestamps and watermarks before key_by (a source that knows event time, or a watermark \
         strategy), or use windows of processing time: .processing_time()",
    )
}
