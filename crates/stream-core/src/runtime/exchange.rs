//! Exchanges: bounded channels of batches between subtasks of different chains.
//!
//! Every pair of sender and receiver subtask has one channel. Who may touch what:
//!
//! | field | sender | receiver | why it is safe |
//! | --- | --- | --- | --- |
//! | `queue`, `free` | push, take a free buffer | take all, give buffers back | one mutex, held for a push or a swap, never while an operator runs |
//! | `bytes` | add, read for `room` | subtract | atomic; a stale `room` is wrong by what is just being received, on the safe side |
//!
//! A channel is bounded in bytes: the sender asks for room before its subtask takes input, so at most one
//! batch goes over the limit. Control events are always accepted. They are few: one barrier is under way at
//! a time, a newer watermark replaces what the end of the queue says about time, and there is one end.
//!
//! Every touch of a channel may fetch cache lines from another core. So a watermark waits for the next batch of its
//! channel ([`Lane`]): one that comes with every batch of a source would else send the `n` receivers what each has of it,
//! however little. And a receiver takes all that has come at once (docs/decisions/0008-two-cores.md).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::{BATCH_SIZE, Batch};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Erased;
use crate::operator::{Barrier, Output, Record};
use crate::runtime::link::{Link, LinkContext, Resume, Split, Tee, guard};
use crate::runtime::subtask::{GateSubtask, Subtask};
use crate::thread::Waker;
use crate::time::Timestamp;

/// How many empty buffers a channel keeps for its sender. They go round in turn: the longer ago the receiver has read a
/// buffer, the less it costs to take its cache lines back.
const FREE_BUFFERS: usize = 64;

/// What travels through a channel.
pub(crate) enum Event<T> {
    Batch(Batch<T>),
    Watermark(Timestamp),
    Idle,
    Barrier(Barrier),
    End,
}

struct Channel<T> {
    state: Mutex<ChannelState<T>>,
    bytes: AtomicUsize,
    capacity: usize,
    sender: Waker,
    receiver: Waker,
}

struct ChannelState<T> {
    queue: VecDeque<Event<T>>,
    free: VecDeque<Batch<T>>,
}

impl<T> Channel<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, ChannelState<T>> {
        // A push or pop can't stop halfway, so the state behind a poisoned lock is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a batch takes of a channel's capacity. Its own size counts too, or records without a size would be unbounded.
fn charge<T>(batch: &Batch<T>) -> usize {
    batch.bytes() + size_of::<Batch<T>>()
}

/// The sending end of a channel.
pub(crate) struct Sender<T>(Arc<Channel<T>>);

/// The receiving end of a channel.
pub(crate) struct Receiver<T> {
    channel: Arc<Channel<T>>,
    /// What was taken out of the channel and is still to be handed on. It counts against the capacity until then.
    inbox: VecDeque<Event<T>>,
    /// Empty buffers on their way back.
    used: Vec<Batch<T>>,
}

/// A channel for about `capacity` bytes of records.
pub(crate) fn channel<T>(capacity: usize, sender: Waker, receiver: Waker) -> (Sender<T>, Receiver<T>) {
    let state = ChannelState { queue: VecDeque::new(), free: VecDeque::new() };
    let channel = Channel { state: Mutex::new(state), bytes: AtomicUsize::new(0), capacity, sender, receiver };
    let channel = Arc::new(channel);
    (Sender(channel.clone()), Receiver { channel, inbox: VecDeque::new(), used: Vec::new() })
}

impl<T> Sender<T> {
    fn room(&self) -> bool {
        self.0.bytes.load(Ordering::Acquire) < self.0.capacity
    }

    /// Sends the batch, then the watermark, and leaves an empty batch, with a used buffer if there is one.
    fn send(&self, batch: &mut Batch<T>, watermark: Option<Timestamp>) {
        if batch.is_empty() {
            if let Some(watermark) = watermark {
                self.control(Event::Watermark(watermark));
            }
            return;
        }
        self.0.bytes.fetch_add(charge(batch), Ordering::AcqRel);
        let mut state = self.0.lock();
        let empty = state.free.pop_front().unwrap_or_else(|| batch.sibling());
        state.queue.push_back(Event::Batch(std::mem::replace(batch, empty)));
        state.queue.extend(watermark.map(Event::Watermark));
        drop(state);
        self.0.receiver.wake();
    }

    fn control(&self, event: Event<T>) {
        let mut state = self.0.lock();
        let overtakes = |last: &Event<T>| match event {
            Event::Watermark(_) => matches!(last, Event::Watermark(_) | Event::Idle),
            Event::Idle => matches!(last, Event::Idle),
            Event::Batch(_) | Event::Barrier(_) | Event::End => false,
        };
        while state.queue.back().is_some_and(overtakes) {
            state.queue.pop_back();
        }
        state.queue.push_back(event);
        drop(state);
        self.0.receiver.wake();
    }
}

impl<T> Receiver<T> {
    pub(crate) fn receive(&mut self) -> Option<Event<T>> {
        if self.inbox.is_empty() {
            let mut state = self.channel.lock();
            std::mem::swap(&mut self.inbox, &mut state.queue);
            let missing = FREE_BUFFERS.saturating_sub(state.free.len()).min(self.used.len());
            state.free.extend(self.used.drain(..missing));
        }
        let event = self.inbox.pop_front()?;
        if let Event::Batch(batch) = &event {
            let (bytes, capacity) = (charge(batch), self.channel.capacity);
            let before = self.channel.bytes.fetch_sub(bytes, Ordering::AcqRel);
            if before >= capacity && before - bytes < capacity {
                self.channel.sender.wake();
            }
        }
        Some(event)
    }

    /// Gives the buffer of a received batch back to the sender, when the channel is locked next.
    pub(crate) fn recycle(&mut self, mut batch: Batch<T>) {
        batch.clear();
        if self.used.len() < FREE_BUFFERS {
            self.used.push(batch);
        }
    }
}

/// The end of a chain that feeds other chains.
pub(crate) struct ExchangeWriter<T> {
    lanes: Vec<Lane<T>>,
    /// Records waiting for a full batch, one buffer per receiver.
    buffers: Vec<Batch<T>>,
    sizes: Vec<usize>,
    /// The receiver that gets the next record, so that remainders rotate.
    cursor: usize,
}

/// What the writer has for one receiver, beside the buffer.
struct Lane<T> {
    sender: Sender<T>,
    /// The last watermark, if it was not sent yet. It may fall behind the records of the next batch, never before.
    watermark: Option<Timestamp>,
    /// How many batches and watermarks the writer has taken while one waited.
    waited: usize,
}

impl<T> Lane<T> {
    fn send(&mut self, buffer: &mut Batch<T>) {
        self.waited = 0;
        self.sender.send(buffer, self.watermark.take());
    }
}

impl<T> ExchangeWriter<T> {
    fn new(senders: Vec<Sender<T>>) -> ExchangeWriter<T> {
        let (buffers, sizes) = (senders.iter().map(|_| Batch::new()).collect(), vec![0; senders.len()]);
        let lanes = senders.into_iter().map(|sender| Lane { sender, watermark: None, waited: 0 }).collect();
        ExchangeWriter { lanes, buffers, sizes, cursor: 0 }
    }

    fn flush_buffers(&mut self) {
        for (lane, buffer) in self.lanes.iter_mut().zip(&mut self.buffers) {
            lane.send(buffer);
        }
    }

    /// Streams with and without event time can meet in a union; a batch is either one or the other.
    fn keep_time_apart(&mut self, batch: &Batch<T>) {
        if self.buffers.iter().any(|buffer| buffer.differs_in_time(batch)) {
            self.flush_buffers();
        }
    }

    fn send_full(&mut self) {
        let patience = self.patience();
        for (lane, buffer) in self.lanes.iter_mut().zip(&mut self.buffers) {
            lane.waited += usize::from(lane.watermark.is_some());
            if buffer.len() >= BATCH_SIZE / 2 || lane.waited >= patience {
                lane.send(buffer);
            }
        }
    }

    /// Keeps the watermark for the next batch of each receiver.
    fn hold(&mut self, watermark: Timestamp) {
        let patience = self.patience();
        for (lane, buffer) in self.lanes.iter_mut().zip(&mut self.buffers) {
            lane.watermark = Some(watermark);
            lane.waited += 1;
            if lane.waited >= patience {
                lane.send(buffer);
            }
        }
    }

    /// How long a watermark waits: about as long as a source takes to fill a batch for each receiver, so that one with
    /// few records learns of time too. A single receiver learns of it at once.
    fn patience(&self) -> usize {
        (2 * self.lanes.len()).saturating_sub(1)
    }

    fn control(&mut self, event: impl Fn() -> Event<T>) {
        self.flush_buffers();
        for lane in &self.lanes {
            lane.sender.control(event());
        }
    }
}

/// Splits `records` over `sizes.len()` receivers as evenly as whole records allow, the remainder
/// starting at `cursor`, which moves on so that over time every receiver gets the same number.
pub fn even_split(records: usize, sizes: &mut [usize], cursor: &mut usize) {
    let n = sizes.len();
    sizes.fill(records / n);
    for i in 0..records % n {
        sizes[(*cursor + i) % n] += 1;
    }
    *cursor = (*cursor + records % n) % n;
}

impl<T: Send> Output<T> for ExchangeWriter<T> {
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<()> {
        self.keep_time_apart(batch);
        if self.lanes.len() == 1 {
            self.buffers[0].append(batch);
        } else {
            even_split(batch.len(), &mut self.sizes, &mut self.cursor);
            batch.deal(&self.sizes, &mut self.buffers);
        }
        self.send_full();
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.hold(watermark);
        Ok(())
    }

    fn idle(&mut self) -> Result<()> {
        self.control(|| Event::Idle);
        Ok(())
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.control(|| Event::Barrier(barrier));
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.control(|| Event::End);
        Ok(())
    }
}

impl<T: Send> Link<T> for ExchangeWriter<T> {
    fn resume(&mut self) -> Result<Resume> {
        Ok(Resume::Clear)
    }

    fn room(&self) -> bool {
        self.lanes.iter().all(|lane| lane.sender.room())
    }

    fn flush(&mut self) -> Result<()> {
        self.flush_buffers();
        Ok(())
    }
}

/// Hands every record to the receiver that a function chooses.
pub(crate) struct RoutedWriter<T, F> {
    writer: ExchangeWriter<T>,
    /// The receiver of a record, given their number.
    choose: F,
    seen: usize,
}

impl<T, F> RoutedWriter<T, F> {
    pub(crate) fn new(senders: Vec<Erased>, choose: F) -> RoutedWriter<T, F>
    where
        T: 'static,
    {
        let writer = ExchangeWriter::new(senders.into_iter().map(typed).collect());
        RoutedWriter { writer, choose, seen: 0 }
    }
}

impl<T, F> Output<T> for RoutedWriter<T, F>
where
    T: Send,
    F: FnMut(&T, usize) -> usize + Send,
{
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let n = self.writer.lanes.len();
        self.writer.keep_time_apart(batch);
        let RoutedWriter { writer, choose, seen } = self;
        let routed = guard(|| {
            batch.scatter(&mut writer.buffers, seen, |record| choose(record, n)).map_err(|wrong| {
                let message = format!("a partitioner chose subtask {wrong} of {n}");
                Error::new(ErrorKind::User, message).with_hint("return a number below the second argument")
            })
        });
        routed?;
        self.writer.send_full();
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.writer.watermark(watermark)
    }

    fn idle(&mut self) -> Result<()> {
        self.writer.idle()
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.writer.barrier(barrier)
    }

    fn end(&mut self) -> Result<()> {
        self.writer.end()
    }
}

/// Hands every record to every receiver.
pub(crate) struct BroadcastWriter<T> {
    writer: ExchangeWriter<T>,
    copy: Batch<T>,
}

impl<T: 'static> BroadcastWriter<T> {
    pub(crate) fn new(senders: Vec<Erased>) -> BroadcastWriter<T> {
        BroadcastWriter { writer: ExchangeWriter::new(senders.into_iter().map(typed).collect()), copy: Batch::new() }
    }
}

impl<T: Send + Clone> Output<T> for BroadcastWriter<T> {
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<()> {
        self.writer.keep_time_apart(batch);
        let Some((last, others)) = self.writer.buffers.split_last_mut() else { return Ok(()) };
        for buffer in others {
            self.copy.copy_from(batch);
            buffer.append(&mut self.copy);
        }
        last.append(batch);
        self.writer.send_full();
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.writer.watermark(watermark)
    }

    fn idle(&mut self) -> Result<()> {
        self.writer.idle()
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.writer.barrier(barrier)
    }

    fn end(&mut self) -> Result<()> {
        self.writer.end()
    }
}

macro_rules! links_as_their_writer {
    ($($writer:ty, [$($bounds:tt)*];)*) => {$(
        impl<$($bounds)*> Link<T> for $writer {
            fn resume(&mut self) -> Result<Resume> {
                self.writer.resume()
            }

            fn room(&self) -> bool {
                self.writer.room()
            }

            fn flush(&mut self) -> Result<()> {
                self.writer.flush()
            }
        }
    )*};
}

links_as_their_writer! {
    RoutedWriter<T, F>, [T: Send, F: FnMut(&T, usize) -> usize + Send];
    BroadcastWriter<T>, [T: Send + Clone];
}

/// What the planner can do with streams of one record type without knowing the type.
#[derive(Clone, Copy)]
pub(crate) struct TypeOps {
    /// A channel: `(Sender<T>, Receiver<T>)`.
    pub(crate) channel: fn(capacity: usize, sender: Waker, receiver: Waker) -> (Erased, Erased),
    /// The `Box<dyn Link<T>>` that writes to these `Sender<T>`s.
    pub(crate) writer: fn(senders: Vec<Erased>) -> Erased,
    /// The subtask that reads these `Receiver<T>`s and pushes into the `Box<dyn Link<T>>`.
    pub(crate) gate: fn(receivers: Vec<Erased>, next: Erased, context: LinkContext) -> Box<dyn Subtask>,
}

impl TypeOps {
    pub(crate) fn of<T: Record>() -> TypeOps {
        TypeOps {
            channel: |capacity, sender, receiver| {
                let (sender, receiver) = channel::<T>(capacity, sender, receiver);
                (Box::new(sender), Box::new(receiver))
            },
            writer: |senders| erase_link(ExchangeWriter::new(senders.into_iter().map(typed::<Sender<T>>).collect())),
            gate: |receivers, next, context| {
                let receivers = receivers.into_iter().map(typed::<Receiver<T>>).collect();
                Box::new(GateSubtask::new(receivers, typed::<Box<dyn Link<T>>>(next), context))
            },
        }
    }
}

/// The receivers of a stream that is used more than once.
pub(crate) fn tee<T: Record + Clone>(receivers: Vec<Erased>) -> Erased {
    erase_link(Tee::new(receivers.into_iter().map(typed::<Box<dyn Link<T>>>).collect()))
}

/// The two receivers of a stream that is split: the one of the left records and the one of the right ones.
pub(crate) fn split<L: Record, R: Record>(receivers: Vec<Erased>) -> Erased {
    erase_link(Split::<L, R>::new(receivers.into_iter().map(typed).collect()))
}

pub(crate) fn erase_link<T: 'static>(link: impl Link<T> + 'static) -> Erased {
    Box::new(Box::new(link) as Box<dyn Link<T>>)
}

pub(crate) fn typed<X: 'static>(erased: Erased) -> X {
    *erased.downcast::<X>().expect("only DataStream<T> connects nodes, and it connects equal types")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn room_ends_at_the_capacity_and_comes_back() {
        let (sender, mut receiver) = channel::<u64>(16, Waker::new(), Waker::new());
        assert!(sender.room());
        sender.send(&mut Batch::from_iter([1, 2]), None);
        assert!(!sender.room());
        assert!(matches!(receiver.receive(), Some(Event::Batch(b)) if b.records() == [1, 2]));
        assert!(sender.room());
    }

    #[test]
    fn watermarks_do_not_pile_up() {
        let (sender, mut receiver) = channel::<u64>(16, Waker::new(), Waker::new());
        for ms in 0..100 {
            sender.control(Event::Watermark(Timestamp::from_millis(ms)));
        }
        assert!(matches!(receiver.receive(), Some(Event::Watermark(at)) if at.as_millis() == 99));
        assert!(receiver.receive().is_none());
    }

    #[test]
    fn watermarks_and_idleness_do_not_pile_up_either() {
        let (sender, mut receiver) = channel::<u64>(16, Waker::new(), Waker::new());
        for ms in 0..100 {
            sender.control(Event::Watermark(Timestamp::from_millis(ms)));
            sender.control(Event::Idle);
            sender.control(Event::Idle);
        }
        assert!(matches!(receiver.receive(), Some(Event::Watermark(at)) if at.as_millis() == 99));
        assert!(matches!(receiver.receive(), Some(Event::Idle)));
        assert!(receiver.receive().is_none());
    }

    #[test]
    fn records_without_size_take_room_too() {
        let (sender, _receiver) = channel::<()>(1, Waker::new(), Waker::new());
        sender.send(&mut Batch::from_iter([(), ()]), None);
        assert!(!sender.room());
    }

    #[test]
    fn a_blocked_sender_is_woken_when_room_comes_back() {
        let waker = Waker::new();
        let (sender, mut receiver) = channel::<u64>(1, waker.clone(), Waker::new());
        sender.send(&mut Batch::from_iter([1]), None);
        sender.send(&mut Batch::from_iter([2]), None);
        receiver.receive();
        assert!(!sender.room(), "the second batch is still over the limit");
        receiver.receive();
        assert!(sender.room());
        // Would sleep far beyond any test's patience without the wake.
        waker.park(std::time::Duration::from_secs(3600));
    }

    #[test]
    fn records_with_and_without_time_never_share_a_batch() {
        let (sender, mut receiver) = channel::<u64>(1 << 20, Waker::new(), Waker::new());
        let mut writer = ExchangeWriter::new(vec![sender]);
        let mut timed = Batch::new();
        timed.push_at(1, Timestamp::from_millis(5));
        writer.batch(&mut Batch::from_iter([0])).expect("room");
        writer.batch(&mut timed).expect("room");
        writer.batch(&mut Batch::from_iter([2])).expect("room");
        writer.flush().expect("room");
        let batches: Vec<(u64, usize)> = std::iter::from_fn(|| receiver.receive())
            .map(|event| match event {
                Event::Batch(batch) => (batch.records()[0], batch.timestamps().len()),
                _ => panic!("only batches were sent"),
            })
            .collect();
        assert_eq!(batches, [(0, 0), (1, 1), (2, 0)]);
    }

    /// What was sent, in words.
    fn sent(receiver: &mut Receiver<u64>) -> String {
        let said = |event| match event {
            Event::Batch(batch) => format!("{}", batch.len()),
            Event::Watermark(at) => format!("{}ms", at.as_millis()),
            Event::Idle => "idle".to_owned(),
            Event::Barrier(_) => "barrier".to_owned(),
            Event::End => "end".to_owned(),
        };
        std::iter::from_fn(|| receiver.receive()).map(said).collect::<Vec<_>>().join(" ")
    }

    type Parity = RoutedWriter<u64, fn(&u64, usize) -> usize>;

    /// A writer for two receivers that gets even numbers for the first one, odd ones for the second.
    fn parity() -> (Parity, [Receiver<u64>; 2]) {
        let [a, b] = [(); 2].map(|()| channel::<u64>(1 << 20, Waker::new(), Waker::new()));
        let senders: Vec<Erased> = vec![Box::new(a.0), Box::new(b.0)];
        (RoutedWriter::new(senders, |number: &u64, _| (*number % 2) as usize), [a.1, b.1])
    }

    #[test]
    fn a_watermark_goes_with_the_next_batch() {
        let (mut writer, [mut even, mut odd]) = parity();
        let full = || (0..BATCH_SIZE as u64).collect::<Batch<u64>>();
        writer.batch(&mut full()).expect("room");
        writer.watermark(Timestamp::from_millis(1)).expect("room");
        assert_eq!((sent(&mut even), sent(&mut odd)), ("256".into(), "256".into()));
        writer.batch(&mut full()).expect("room");
        writer.watermark(Timestamp::from_millis(2)).expect("room");
        assert_eq!((sent(&mut even), sent(&mut odd)), ("256 1ms".into(), "256 1ms".into()));
        writer.flush().expect("room");
        assert_eq!((sent(&mut even), sent(&mut odd)), ("2ms".into(), "2ms".into()));
    }

    #[test]
    fn a_receiver_with_few_records_learns_of_time_too() {
        let (mut writer, [mut even, mut odd]) = parity();
        for ms in 1..=4 {
            writer.batch(&mut Batch::from_iter([0])).expect("room");
            writer.watermark(Timestamp::from_millis(ms)).expect("room");
        }
        assert_eq!((sent(&mut even), sent(&mut odd)), ("2 2ms 2 4ms".into(), "4ms".into()));
        // A watermark that nothing but records follow does not wait for the next one either.
        writer.watermark(Timestamp::from_millis(5)).expect("room");
        for _ in 0..3 {
            writer.batch(&mut Batch::from_iter([0])).expect("room");
        }
        assert_eq!((sent(&mut even), sent(&mut odd)), ("2 5ms".into(), "5ms".into()));
    }

    #[test]
    fn a_watermark_that_waits_goes_before_barrier_and_end() {
        let (mut writer, [mut even, mut odd]) = parity();
        for ms in [1, 2] {
            writer.batch(&mut Batch::from_iter([0])).expect("room");
            writer.watermark(Timestamp::from_millis(ms)).expect("room");
            match ms {
                1 => writer.barrier(Barrier { epoch: 1 }).expect("room"),
                _ => writer.end().expect("room"),
            }
        }
        assert_eq!((sent(&mut even), sent(&mut odd)), ("1 1ms barrier 1 2ms end".into(), "1ms barrier 2ms end".into()));
    }

    #[test]
    fn buffers_come_back() {
        let (sender, mut receiver) = channel::<u64>(1 << 20, Waker::new(), Waker::new());
        let mut batch = (0..100).collect::<Batch<u64>>();
        let memory = batch.records().as_ptr().addr();
        sender.send(&mut batch, None);
        match receiver.receive() {
            Some(Event::Batch(batch)) => receiver.recycle(batch),
            _ => panic!("a batch was sent"),
        }
        assert!(receiver.receive().is_none());
        batch.push(0);
        sender.send(&mut batch, None);
        batch.push(1);
        assert_eq!(batch.records().as_ptr().addr(), memory);
    }

    proptest! {
        #[test]
        fn splits_stay_within_one_record(batches in prop::collection::vec(0usize..600, 0..50), n in 1usize..7) {
            let (mut sizes, mut cursor, mut totals) = (vec![0; n], 0, vec![0usize; n]);
            for records in batches {
                even_split(records, &mut sizes, &mut cursor);
                prop_assert_eq!(sizes.iter().sum::<usize>(), records);
                totals.iter_mut().zip(&sizes).for_each(|(t, s)| *t += s);
                let (min, max) = (totals.iter().min().unwrap(), totals.iter().max().unwrap());
                prop_assert!(max - min <= 1);
            }
        }
    }
}
