//! Subtasks as state machines with one `step`, and the thread that drives a group of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::exchange::{Inbox, Parker, Taken};
use super::output::{Next, Output, add};
use crate::measure::thread_cost;

/// What a step achieved.
#[derive(PartialEq)]
pub(super) enum Progress {
    Worked,
    Idle,
    Blocked,
    Done,
}

/// One parallel instance of a chain.
pub(super) trait Subtask: Send {
    /// At most one batch of input.
    fn step(&mut self) -> Progress;
}

/// Drives the group until all are done, parking when none can go on; returns CPU time and switches.
pub(super) fn drive(mut group: Vec<Box<dyn Subtask>>, parker: &Parker) -> (u64, u64) {
    parker.adopt();
    let (cpu_before, switches_before) = thread_cost();
    loop {
        while round(&mut group) {}
        if group.is_empty() {
            break;
        }
        parker.prepare();
        if round(&mut group) {
            parker.cancel();
        } else {
            parker.park();
        }
    }
    let (cpu, switches) = thread_cost();
    (cpu - cpu_before, switches - switches_before)
}

/// One step each; whether any of them got on.
fn round(group: &mut Vec<Box<dyn Subtask>>) -> bool {
    let mut worked = false;
    group.retain_mut(|subtask| {
        let progress = subtask.step();
        worked |= matches!(progress, Progress::Worked | Progress::Done);
        progress != Progress::Done
    });
    worked
}

/// Counts the records that arrived and wakes the source, which waits for each.
pub(super) struct Receipt {
    arrived: AtomicU64,
    source: Arc<Parker>,
}

impl Receipt {
    pub(super) fn new(source: Arc<Parker>) -> Self {
        Receipt { arrived: AtomicU64::new(0), source }
    }
}

/// Makes the records `next..end`, a batch per step.
pub(super) struct Source {
    pub(super) next: u64,
    pub(super) end: u64,
    pub(super) size: usize,
    pub(super) make: fn(u64) -> u64,
    pub(super) buffer: Vec<u64>,
    pub(super) out: Next<u64>,
    /// With a receipt, one batch is under way at a time.
    pub(super) receipt: Option<Arc<Receipt>>,
}

impl Subtask for Source {
    fn step(&mut self) -> Progress {
        if self.next == self.end {
            self.out.end();
            return Progress::Done;
        }
        if let Some(receipt) = &self.receipt
            && receipt.arrived.load(Ordering::SeqCst) < self.next
        {
            return Progress::Idle;
        }
        if !self.out.has_room() {
            return Progress::Blocked;
        }
        let end = self.end.min(self.next + self.size as u64);
        self.buffer.extend((self.next..end).map(self.make));
        self.next = end;
        self.out.batch(&mut self.buffer);
        Progress::Worked
    }
}

/// Everything behind an exchange: takes a batch and pushes it through its chain.
pub(super) struct Relay {
    pub(super) inbox: Inbox<u64>,
    pub(super) buffer: Vec<u64>,
    pub(super) out: Next<u64>,
}

impl Subtask for Relay {
    fn step(&mut self) -> Progress {
        if !self.out.has_room() {
            return Progress::Blocked;
        }
        match self.inbox.take(&mut self.buffer) {
            Taken::Batch => {
                self.out.batch(&mut self.buffer);
                Progress::Worked
            }
            Taken::Nothing => {
                self.out.flush();
                Progress::Idle
            }
            Taken::Ended => {
                self.out.end();
                Progress::Done
            }
        }
    }
}

/// A sink that counts, sums and gives receipts.
pub(super) struct Receiver {
    pub(super) receipt: Arc<Receipt>,
    pub(super) checksum: u64,
    pub(super) total: Arc<AtomicU64>,
}

impl Output<u64> for Receiver {
    fn batch(&mut self, records: &mut Vec<u64>) {
        let count = records.len() as u64;
        self.checksum = records.drain(..).fold(self.checksum, add);
        self.receipt.arrived.fetch_add(count, Ordering::SeqCst);
        self.receipt.source.wake();
    }
    fn end(&mut self) {
        self.total.fetch_add(self.checksum, Ordering::Relaxed);
    }
}
