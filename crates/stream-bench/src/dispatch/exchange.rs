//! A bounded queue of batches between two subtasks, and the parker their threads sleep on.
//!
//! One lock per batch and side: pushing a full buffer returns an empty one, popping takes the
//! emptied one back. Nobody waits inside: a subtask asks first, and its thread parks.
//!
//! No wake-up is lost. A thread that finds nothing to do (1) says `asleep`, (2) looks at the
//! queues once more, (3) parks. The other side (a) changes `len`, (b) reads `asleep`. All four
//! are sequentially consistent, so either (2) sees (a) or (b) sees (1).

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};

use super::output::Output;
use super::workload::ODD;

/// Records a queue holds before its producer is held back: 128 KiB of `u64`.
const CAPACITY: usize = 16 * 1024;

/// Where a thread sleeps when none of its subtasks can go on.
#[derive(Default)]
pub(super) struct Parker {
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Parker {
    /// The calling thread will sleep here.
    pub(super) fn adopt(&self) {
        let _ = self.thread.set(thread::current());
    }

    /// Says that the thread is about to sleep; it must look for work once more.
    pub(super) fn prepare(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// There was work after all.
    pub(super) fn cancel(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Sleeps until woken.
    pub(super) fn park(&self) {
        while self.asleep.load(Ordering::SeqCst) {
            thread::park();
        }
    }

    /// Wakes the thread if it sleeps.
    pub(super) fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

/// One edge from one subtask to another.
pub(super) struct Queue<T> {
    batches: Mutex<Batches<T>>,
    /// Records in the queue, for both sides to read without the lock.
    len: AtomicUsize,
    ended: AtomicBool,
    producer: Arc<Parker>,
    consumer: Arc<Parker>,
}

struct Batches<T> {
    full: VecDeque<Vec<T>>,
    free: Vec<Vec<T>>,
}

impl<T> Queue<T> {
    pub(super) fn new(producer: Arc<Parker>, consumer: Arc<Parker>) -> Self {
        let batches = Mutex::new(Batches { full: VecDeque::new(), free: Vec::new() });
        Queue { batches, len: AtomicUsize::new(0), ended: AtomicBool::new(false), producer, consumer }
    }

    fn has_room(&self) -> bool {
        self.len.load(Ordering::SeqCst) < CAPACITY
    }

    /// Takes a full buffer and gives an empty one.
    fn push(&self, full: Vec<T>) -> Vec<T> {
        let added = full.len();
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.full.push_back(full);
        let empty = batches.free.pop().unwrap_or_default();
        self.len.fetch_add(added, Ordering::SeqCst);
        drop(batches);
        self.consumer.wake();
        empty
    }

    /// Swaps the empty buffer for a full one, if there is one.
    fn pop(&self, buffer: &mut Vec<T>) -> bool {
        if self.len.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(full) = batches.full.pop_front() else {
            return false;
        };
        let removed = full.len();
        batches.free.push(mem::replace(buffer, full));
        let before = self.len.fetch_sub(removed, Ordering::SeqCst);
        drop(batches);
        // Half empty, not merely below the limit: the producer then has something to do.
        if before > CAPACITY / 2 && before - removed <= CAPACITY / 2 {
            self.producer.wake();
        }
        true
    }

    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.consumer.wake();
    }
}

/// What an [`Inbox`] had.
pub(super) enum Taken {
    Batch,
    Nothing,
    Ended,
}

/// The consumer's side: the queues of all producers, asked in turn.
pub(super) struct Inbox<T> {
    queues: Vec<Arc<Queue<T>>>,
    next: usize,
}

impl<T> Inbox<T> {
    pub(super) fn new(queues: Vec<Arc<Queue<T>>>) -> Self {
        Inbox { queues, next: 0 }
    }

    /// Swaps the empty buffer for the next batch.
    pub(super) fn take(&mut self, buffer: &mut Vec<T>) -> Taken {
        // Read before looking: what was pushed before the end is then seen.
        let ended = self.queues.iter().all(|q| q.ended.load(Ordering::SeqCst));
        for _ in 0..self.queues.len() {
            self.next = (self.next + 1) % self.queues.len();
            if self.queues[self.next].pop(buffer) {
                return Taken::Batch;
            }
        }
        if ended { Taken::Ended } else { Taken::Nothing }
    }
}

/// Whole batches to each consumer in turn.
pub(super) struct Rebalance<T> {
    queues: Vec<Arc<Queue<T>>>,
    next: usize,
}

impl<T> Rebalance<T> {
    pub(super) fn new(queues: Vec<Arc<Queue<T>>>) -> Self {
        Rebalance { queues, next: 0 }
    }
}

impl<T: Send> Output<T> for Rebalance<T> {
    fn batch(&mut self, records: &mut Vec<T>) {
        if records.is_empty() {
            return;
        }
        self.next = (self.next + 1) % self.queues.len();
        *records = self.queues[self.next].push(mem::take(records));
    }
    fn has_room(&self) -> bool {
        self.queues.iter().all(|queue| queue.has_room())
    }
    fn end(&mut self) {
        self.queues.iter().for_each(|queue| queue.end());
    }
}

/// Each record to the consumer its hash names, in batches of their own.
pub(super) struct ByHash {
    lanes: Vec<(Vec<u64>, Arc<Queue<u64>>)>,
    size: usize,
}

impl ByHash {
    pub(super) fn new(queues: Vec<Arc<Queue<u64>>>, size: usize) -> Self {
        let lane = |queue| (Vec::with_capacity(size), queue);
        ByHash { lanes: queues.into_iter().map(lane).collect(), size }
    }
}

impl Output<u64> for ByHash {
    fn batch(&mut self, records: &mut Vec<u64>) {
        let lanes = self.lanes.len() as u64;
        for record in records.drain(..) {
            let hash = (record ^ (record >> 32)).wrapping_mul(ODD) >> 32;
            let (buffer, queue) = &mut self.lanes[((hash * lanes) >> 32) as usize];
            buffer.push(record);
            if buffer.len() == self.size {
                *buffer = queue.push(mem::take(buffer));
            }
        }
    }
    fn has_room(&self) -> bool {
        self.lanes.iter().all(|(_, queue)| queue.has_room())
    }
    fn flush(&mut self) {
        for (buffer, queue) in &mut self.lanes {
            if !buffer.is_empty() {
                *buffer = queue.push(mem::take(buffer));
            }
        }
    }
    fn end(&mut self) {
        self.flush();
        self.lanes.iter().for_each(|(_, queue)| queue.end());
    }
}
