//! The loop of one subtask: take what its lane has, decode, note positions.

use std::sync::Arc;
use std::time::Duration;

use crate::client::ErrorCode;
use stream_core::clock::Clock;
use stream_core::thread::Waker;
use stream_core::{
    Barrier, Batch, Error, ErrorKind, Poll, Progress, Record, Result, SourceReader, SplitPosition, SplitWatermarks,
};

use super::bad_records::Triage;
use super::start::Resolved;
use crate::client::consumer::{Fetched, Lane, TopicPartition};
use crate::client::rights::{Account, Right};
use crate::record::{KafkaRecord, RawRecord};
use crate::schema::KafkaDeserializationSchema;

/// How many polls go by before the client's log lines and errors are served, when there is always something to read.
const SERVE_EVERY: u32 = 1024;

/// How many fetches in a row may yield nothing before barriers and stops get a turn.
const EMPTY_FETCHES: u32 = 16;

/// What the stream carries of a record.
pub(crate) trait Shape<T>: 'static {
    type Output: Record;
    fn make(raw: &RawRecord<'_>, value: T) -> Self::Output;
}

/// The decoded value alone.
pub(crate) struct ValueOnly;

impl<T: Record> Shape<T> for ValueOnly {
    type Output = T;
    #[inline]
    fn make(_raw: &RawRecord<'_>, value: T) -> T {
        value
    }
}

/// Everything Kafka knows about the record.
pub(crate) struct WholeRecord;

impl<T: Record> Shape<T> for WholeRecord {
    type Output = KafkaRecord<T>;
    #[inline]
    fn make(raw: &RawRecord<'_>, value: T) -> KafkaRecord<T> {
        KafkaRecord::new(raw, value)
    }
}

/// One partition being read.
struct Split {
    id: TopicPartition,
    name: Arc<str>,
    next: i64,
    stop: Option<i64>,
    finished: bool,
}

impl Split {
    fn new(resolved: Resolved) -> Split {
        let Resolved { split, name, start, stop, .. } = resolved;
        Split { id: split, name, next: start, stop, finished: stop.is_some_and(|stop| start >= stop) }
    }

    /// The log has been read up to `offset`, control records included. What lies behind the end of this split was not
    /// read, whatever the client says about the end of the partition.
    fn advance(&mut self, offset: i64) {
        if self.finished {
            return;
        }
        let offset = self.stop.map_or(offset, |stop| offset.min(stop));
        self.next = self.next.max(offset);
        self.finished = self.stop == Some(self.next);
    }
}

pub(super) struct KafkaReader<T, D, S: Shape<T>> {
    lane: Lane,
    state: State<T, D, S>,
    /// One reader per source serves the handle's own events.
    serves: bool,
    polls: u32,
    /// Whether an outage was reported and not yet over.
    trouble: bool,
    /// Wakes this reader's own subtask.
    waker: Waker,
    clock: Arc<dyn Clock>,
    /// Whether the last poll found nothing more to read.
    drained: bool,
}

/// What the reader of one subtask works with.
pub(super) struct Parts<D, O> {
    /// One reader per source serves the handle's own events.
    pub(super) serves: bool,
    pub(super) lane: Lane,
    /// Wakes the reader's own subtask.
    pub(super) waker: Waker,
    pub(super) splits: Vec<Resolved>,
    pub(super) bounded: bool,
    pub(super) deserializer: D,
    pub(super) triage: Triage,
    /// Without splits yet.
    pub(super) watermarks: Option<SplitWatermarks<O>>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What decoding needs, apart from the lane that lends the messages.
struct State<T, D, S: Shape<T>> {
    splits: Vec<Split>,
    /// The split of the message before: messages come in runs.
    current: usize,
    /// First and last offset of the run being read, not yet noted in the batch.
    run: Option<(i64, i64)>,
    /// The offset being decoded, so that an error or a panic can be placed.
    in_hand: Option<i64>,
    bounded: bool,
    deserializer: D,
    decoded: Vec<T>,
    triage: Triage,
    /// Whose rights are checked.
    account: Account,
    /// The generators of the splits, by the same index; none without a strategy.
    watermarks: Option<SplitWatermarks<S::Output>>,
    /// How long the batch was when the run began.
    run_from: usize,
}

impl<T, D, S> KafkaReader<T, D, S>
where
    T: Record,
    D: KafkaDeserializationSchema<T>,
    S: Shape<T>,
{
    /// The reader of one subtask.
    ///
    /// # Errors
    /// `Corrupt` if what a checkpoint has of event time can't be read.
    pub(super) fn new(parts: Parts<D, S::Output>) -> Result<Self> {
        let Parts { serves, lane, waker, splits, bounded, deserializer, triage, mut watermarks, clock } = parts;
        let (times, splits): (Vec<_>, Vec<_>) =
            splits.into_iter().map(|mut split| (std::mem::take(&mut split.time), Split::new(split))).unzip();
        if let Some(watermarks) = &mut watermarks {
            for (split, time) in splits.iter().zip(times) {
                let index = watermarks.add_split(Arc::clone(&split.name));
                watermarks.restore(index, &time)?;
                if split.finished {
                    watermarks.finished(index);
                }
            }
        }
        let (current, run, run_from, in_hand, decoded) = (0, None, 0, None, Vec::new());
        let account = lane.handle().account().clone();
        let state = State {
            splits,
            current,
            run,
            in_hand,
            bounded,
            deserializer,
            decoded,
            triage,
            account,
            watermarks,
            run_from,
        };
        Ok(KafkaReader { lane, state, serves, polls: 0, trouble: false, waker, clock, drained: false })
    }

    fn serve(&mut self) {
        if self.serves {
            self.lane.handle().serve(Duration::ZERO);
            if let Some(trouble) = self.lane.handle().trouble()
                && !std::mem::replace(&mut self.trouble, true)
            {
                tracing::warn!("reading waits for a broker: {trouble}");
            }
        }
    }
}

impl<T, D, S> State<T, D, S>
where
    T: Record,
    D: KafkaDeserializationSchema<T>,
    S: Shape<T>,
{
    fn take(&mut self, fetched: Fetched<'_>, batch: &mut Batch<S::Output>) -> Result<()> {
        match fetched {
            Fetched::Record(raw) => self.record(&raw, batch),
            Fetched::PartitionEnd(split, offset) => {
                self.note_run(batch)?;
                if let Some(index) = self.splits.iter().position(|s| s.id == split) {
                    self.splits[index].advance(offset);
                    if let Some(watermarks) = &mut self.watermarks {
                        watermarks.at_end(index);
                        if self.splits[index].finished {
                            watermarks.finished(index);
                        }
                    }
                }
                Ok(())
            }
            Fetched::Failed(split, code) => self.failed(split, code),
        }
    }

    #[inline]
    fn record(&mut self, raw: &RawRecord<'_>, batch: &mut Batch<S::Output>) -> Result<()> {
        let id = (raw.topic(), raw.partition());
        if self.splits.get(self.current).is_none_or(|s| s.id != id) {
            self.note_run(batch)?;
            let found = self.splits.iter().position(|s| s.id == id);
            self.current = found
                .ok_or_else(|| Error::internal(format!("a record of {}[{}] came to the wrong lane", id.0, id.1)))?;
        }
        let split = &mut self.splits[self.current];
        if split.finished {
            return Ok(());
        }
        if split.stop.is_some_and(|stop| raw.offset() >= stop) {
            // The range was deleted or compacted away up to here, so no record before the stop follows.
            split.finished = true;
            return Ok(());
        }
        self.in_hand = Some(raw.offset());
        self.triage.count();
        if let Err(reason) = self.deserializer.deserialize(raw, &mut self.decoded) {
            // It may have given values before it gave up.
            self.decoded.clear();
            self.triage.refused(&split.name, raw, &reason)?;
        }
        split.advance(raw.offset() + 1);
        for value in self.decoded.drain(..) {
            if self.deserializer.is_end_of_stream(&value) {
                split.finished = true;
                self.bounded = true;
                break;
            }
            batch.push_at(S::make(raw, value), raw.timestamp());
        }
        self.in_hand = None;
        batch.add_heap_bytes(raw.value().map_or(0, <[u8]>::len));
        let first = self.run.map_or(raw.offset(), |(first, _)| first);
        self.run = Some((first, raw.offset()));
        Ok(())
    }

    /// Notes the run of offsets read since the last change of partition.
    fn note_run(&mut self, batch: &mut Batch<S::Output>) -> Result<()> {
        let Some(split) = self.splits.get(self.current) else { return Ok(()) };
        let run = self.run.take();
        if let Some((first, last)) = run {
            batch.add_position(&split.name, first, last);
        }
        match &mut self.watermarks {
            Some(watermarks) => {
                if let Some((first, last)) = run {
                    // Only where every offset of the run has one record is it known which one an assigner has in hand.
                    let records = batch.len() - self.run_from;
                    self.in_hand = (last - first + 1 == records as i64).then_some(first);
                    watermarks.on_records(self.current, batch, self.run_from)?;
                    self.in_hand = None;
                }
                if split.finished {
                    watermarks.finished(self.current);
                }
                self.run_from = batch.len();
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn failed(&self, split: Option<TopicPartition>, code: ErrorCode) -> Result<()> {
        let place =
            split.map_or("the source".to_owned(), |(topic, partition)| format!("`{topic}` partition {partition}"));
        let next = split.and_then(|id| self.splits.iter().find(|s| s.id == id)).map(|s| s.next);
        match code {
            ErrorCode::AutoOffsetReset | ErrorCode::OffsetOutOfRange => {
                let position = next.map_or(String::new(), |next| format!(" {next}"));
                let message =
                    format!("the position{position} of {place} is gone: retention deleted it before it was read");
                let hint = "raise the topic's retention; to go on without the lost records, move the group with Kafka's \
                            consumer-groups tool (--reset-offsets --to-earliest)";
                Err(Error::new(ErrorKind::Data, message).with_hint(hint))
            }
            code => {
                let topic = split.map_or("", |(topic, _)| topic.as_str());
                let error = crate::client::ClientError::MessageConsumption(code);
                let error = self.account.explain(&format!("can't read {place}"), &error, Right::Read, topic);
                if error.kind() == ErrorKind::Unavailable {
                    // librdkafka repeats what can pass by itself.
                    tracing::warn!("{}; reading goes on when it has passed", error.message());
                    return Ok(());
                }
                Err(error)
            }
        }
    }

    /// The end, as soon as nothing waits to be written.
    fn end(&mut self) -> Result<Poll> {
        Ok(if self.triage.is_settled()? { Poll::End } else { Poll::Idle })
    }

    fn is_finished(&self) -> bool {
        // Without a partition there will never be anything: new ones are not looked for.
        (self.bounded || self.splits.is_empty()) && self.splits.iter().all(|s| s.finished)
    }
}

impl<T, D, S> SourceReader<S::Output> for KafkaReader<T, D, S>
where
    T: Record,
    D: KafkaDeserializationSchema<T>,
    S: Shape<T>,
{
    fn poll(&mut self, batch: &mut Batch<S::Output>) -> Result<Poll> {
        let mut empty = 0;
        (self.drained, self.state.run_from) = (false, 0);
        loop {
            if self.state.is_finished() {
                return self.state.end();
            }
            if !self.state.triage.ready()? {
                return Ok(Poll::Idle);
            }
            let state = &mut self.state;
            let taken = self.lane.fetch(|fetched| state.take(fetched, batch))?;
            state.note_run(batch)?;
            self.polls = self.polls.wrapping_add(1);
            if !batch.is_empty() {
                if std::mem::take(&mut self.trouble) {
                    tracing::info!("the broker answers again, reading goes on");
                }
                if self.polls.is_multiple_of(SERVE_EVERY) {
                    self.serve();
                }
                return Ok(Poll::Ready);
            }
            // Idle only once the queue is empty: the client calls again when it stops being empty.
            if taken == 0 {
                self.drained = true;
                self.serve();
                return if self.state.is_finished() { self.state.end() } else { Ok(Poll::Idle) };
            }
            // Records without values in any number must not keep the subtask from anything else.
            empty += 1;
            if empty == EMPTY_FETCHES && !self.state.is_finished() {
                self.serve();
                self.waker.wake();
                return Ok(Poll::Idle);
            }
        }
    }

    fn progress(&mut self) -> Option<Progress> {
        let watermarks = self.state.watermarks.as_mut()?;
        let progress = watermarks.advance(self.clock.now(), self.drained);
        for (index, pause) in watermarks.pauses() {
            let split = &self.state.splits[index];
            if let Err(error) = self.lane.handle().set_paused(split.id, pause, split.next) {
                // It is read further, or later: neither costs a record.
                tracing::warn!("{}: can't be aligned to the others: {error}", split.name);
            }
        }
        progress
    }

    fn due(&self) -> Option<Duration> {
        self.state.watermarks.as_ref().and_then(SplitWatermarks::due)
    }

    fn positions(&mut self, positions: &mut Vec<SplitPosition>) {
        let now = self.clock.now();
        for (index, split) in self.state.splits.iter().enumerate() {
            let time = self.state.watermarks.as_mut().map(|watermarks| watermarks.snapshot(index, now));
            let (split, next) = (split.name.clone(), split.next);
            positions.push(SplitPosition { split, next, time: time.unwrap_or_default() });
        }
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.state.triage.barrier(barrier)
    }

    fn failed_at(&self) -> Option<SplitPosition> {
        let split = self.state.splits.get(self.state.current)?;
        let in_run = self.state.watermarks.as_ref().and_then(SplitWatermarks::failed_at).unwrap_or(0);
        self.state.in_hand.map(|first| SplitPosition::new(split.name.clone(), first + in_run as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::Split;

    fn split(next: i64, stop: Option<i64>) -> Split {
        Split { id: (crate::Topic::new("t"), 0), name: "t-0".into(), next, stop, finished: false }
    }

    #[test]
    fn the_end_of_a_partition_moves_no_split_that_ended_before_it() {
        let mut by_schema = split(3, None);
        by_schema.finished = true;
        by_schema.advance(8);
        assert_eq!(by_schema.next, 3);
    }

    #[test]
    fn a_split_ends_at_its_stop_and_not_behind_it() {
        let mut bounded = split(3, Some(6));
        bounded.advance(5);
        assert!(!bounded.finished);
        bounded.advance(8);
        assert!(bounded.finished);
        assert_eq!(bounded.next, 6);
    }
}
