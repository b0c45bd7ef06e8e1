//! Exchanges: bounded channels of batches between subtasks of different chains.
//!
//! Every pair of sender and receiver subtask has one channel. Who may touch what:
//!
//! | field | sender | receiver | why it is safe |
//! | --- | --- | --- | --- |
//! | `queue`, `free` | push, take a free buffer | pop, give a buffer back | one mutex, held for a push or a pop, never while an operator runs |
//! | `bytes` | add, read for `room` | subtract | atomic; a stale `room` is wrong by what is just being received, on the safe side |
//!
//! A channel is bounded in bytes: the sender asks for room before its subtask takes input, so at most one
//! batch goes over the limit. Control events are always accepted. They are few: one barrier is under way at
//! a time, a newer watermark replaces what the end of the queue says about time, and there is one end.

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

/// How many empty buffers a channel keeps for its sender.
const FREE_BUFFERS: usize = 4;

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
    free: Vec<Batch<T>>,
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
pub(crate) struct Receiver<T>(Arc<Channel<T>>);

/// A channel for about `capacity` bytes of records.
pub(crate) fn channel<T>(capacity: usize, sender: Waker, receiver: Waker) -> (Sender<T>, Receiver<T>) {
    let state = ChannelState { queue: VecDeque::new(), free: Vec::new() };
    let channel = Channel { state: Mutex::new(state), bytes: AtomicUsize::new(0), capacity, sender, receiver };
    let channel = Arc::new(channel);
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Sender<T> {
    fn room(&self) -> bool {
        self.0.bytes.load(Ordering::Acquire) < self.0.capacity
    }

    /// Sends the batch and leaves an empty one, with a used buffer if there is one.
    fn send(&self, batch: &mut Batch<T>) {
        if batch.is_empty() {
            return;
        }
        self.0.bytes.fetch_add(charge(batch), Ordering::AcqRel);
        let mut state = self.0.lock();
        let empty = state.free.pop().unwrap_or_default();
        state.queue.push_back(Event::Batch(std::mem::replace(batch, empty)));
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
    pub(crate) fn receive(&self) -> Option<Event<T>> {
        let event = self.0.lock().queue.pop_front()?;
        if let Event::Batch(batch) = &event {
            let bytes = charge(batch);
            let before = self.0.bytes.fetch_sub(bytes, Ordering::AcqRel);
            if before >= self.0.capacity && before - bytes < self.0.capacity {
                self.0.sender.wake();
            }
        }
        Some(event)
    }

    /// Gives the buffer of a received batch back to the sender.
    pub(crate) fn recycle(&self, mut batch: Batch<T>) {
        batch.clear();
        let mut state = self.0.lock();
        if state.free.len() < FREE_BUFFERS {
            state.free.push(batch);
        }
    }
}

/// The end of a chain that feeds other chains.
pub(crate) struct ExchangeWriter<T> {
    senders: Vec<Sender<T>>,
    /// Records waiting for a full batch, one buffer per receiver.
    buffers: Vec<Batch<T>>,
    sizes: Vec<usize>,
    /// The receiver that gets the next record, so that remainders rotate.
    cursor: usize,
}

impl<T> ExchangeWriter<T> {
    fn new(senders: Vec<Sender<T>>) -> ExchangeWriter<T> {
        let buffers = senders.iter().map(|_| Batch::new()).collect();
        ExchangeWriter { sizes: vec![0; senders.len()], senders, buffers, cursor: 0 }
    }

    fn flush_buffers(&mut self) {
        for (sender, buffer) in self.senders.iter().zip(&mut self.buffers) {
            sender.send(buffer);
        }
    }

    /// Streams with and without event time can meet in a union; a batch is either one or the other.
    fn keep_time_apart(&mut self, batch: &Batch<T>) {
        if self.buffers.iter().any(|buffer| buffer.differs_in_time(batch)) {
            self.flush_buffers();
        }
    }

    fn send_full(&mut self) {
        for (sender, buffer) in self.senders.iter().zip(&mut self.buffers) {
            if buffer.len() >= BATCH_SIZE / 2 {
                sender.send(buffer);
            }
        }
    }

    fn control(&mut self, event: impl Fn() -> Event<T>) {
        self.flush_buffers();
        for sender in &self.senders {
            sender.control(event());
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
        if self.senders.len() == 1 {
            self.buffers[0].append(batch);
        } else {
            even_split(batch.len(), &mut self.sizes, &mut self.cursor);
            batch.deal(&self.sizes, &mut self.buffers);
        }
        self.send_full();
        Ok(())
    }

    fn watermark(&mut self, watermark: Timestamp) -> Result<()> {
        self.control(|| Event::Watermark(watermark));
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
        self.senders.iter().all(Sender::room)
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
    routes: Vec<u32>,
    seen: usize,
}

impl<T, F> RoutedWriter<T, F> {
    pub(crate) fn new(senders: Vec<Erased>, choose: F) -> RoutedWriter<T, F>
    where
        T: 'static,
    {
        let writer = ExchangeWriter::new(senders.into_iter().map(typed).collect());
        RoutedWriter { writer, choose, routes: Vec::new(), seen: 0 }
    }
}

impl<T, F> Output<T> for RoutedWriter<T, F>
where
    T: Send,
    F: FnMut(&T, usize) -> usize + Send,
{
    fn batch(&mut self, batch: &mut Batch<T>) -> Result<()> {
        let n = self.writer.senders.len();
        self.writer.keep_time_apart(batch);
        let RoutedWriter { writer, choose, routes, seen } = self;
        let routed = guard(|| {
            batch.scatter(&mut writer.buffers, routes, seen, |record| choose(record, n)).map_err(|wrong| {
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
        let (sender, receiver) = channel::<u64>(16, Waker::new(), Waker::new());
        assert!(sender.room());
        sender.send(&mut Batch::from_iter([1, 2]));
        assert!(!sender.room());
        assert!(matches!(receiver.receive(), Some(Event::Batch(b)) if b.records() == [1, 2]));
        assert!(sender.room());
    }

    #[test]
    fn watermarks_do_not_pile_up() {
        let (sender, receiver) = channel::<u64>(16, Waker::new(), Waker::new());
        for ms in 0..100 {
            sender.control(Event::Watermark(Timestamp::from_millis(ms)));
        }
        assert!(matches!(receiver.receive(), Some(Event::Watermark(at)) if at.as_millis() == 99));
        assert!(receiver.receive().is_none());
    }

    #[test]
    fn watermarks_and_idleness_do_not_pile_up_either() {
        let (sender, receiver) = channel::<u64>(16, Waker::new(), Waker::new());
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
        sender.send(&mut Batch::from_iter([(), ()]));
        assert!(!sender.room());
    }

    #[test]
    fn a_blocked_sender_is_woken_when_room_comes_back() {
        let waker = Waker::new();
        let (sender, receiver) = channel::<u64>(1, waker.clone(), Waker::new());
        sender.send(&mut Batch::from_iter([1]));
        sender.send(&mut Batch::from_iter([2]));
        receiver.receive();
        assert!(!sender.room(), "the second batch is still over the limit");
        receiver.receive();
        assert!(sender.room());
        // Would sleep far beyond any test's patience without the wake.
        waker.park(std::time::Duration::from_secs(3600));
    }

    #[test]
    fn records_with_and_without_time_never_share_a_batch() {
        let (sender, receiver) = channel::<u64>(1 << 20, Waker::new(), Waker::new());
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
