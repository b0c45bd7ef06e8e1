//! [`Control`]: what the coordinator and the job's handle tell the subtasks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::runtime::coordinator::Demand;
use crate::thread::Waker;

/// What the coordinator and the job's handle tell the subtasks.
#[derive(Default)]
pub(crate) struct Control {
    /// Whether a job that is stopped takes a last checkpoint and ends there, instead of draining.
    ends_with_checkpoint: bool,
    epoch: AtomicU64,
    /// The last epoch that is decided: what follows it may be written outside.
    released: AtomicU64,
    /// Whether sources wait until the positions they begin at are stored.
    holding: AtomicBool,
    stopping: AtomicBool,
    aborting: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
    /// Checkpoints that somebody has asked for; none once nobody would take them.
    demands: Mutex<Option<Vec<Demand>>>,
}

impl Control {
    pub(crate) fn new(ends_with_checkpoint: bool) -> Control {
        Control { ends_with_checkpoint, demands: Mutex::new(Some(Vec::new())), ..Control::default() }
    }

    /// Asks for a checkpoint. The sender is dropped if there will be none.
    pub(crate) fn demand(&self, demand: Demand) {
        if let Some(demands) = &mut *self.demands() {
            demands.push(demand);
        }
    }

    pub(crate) fn has_demands(&self) -> bool {
        self.demands().as_ref().is_some_and(|demands| !demands.is_empty())
    }

    pub(crate) fn take_demands(&self) -> Vec<Demand> {
        self.demands().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// There are no checkpoints any more.
    pub(crate) fn refuse_demands(&self) {
        *self.demands() = None;
    }

    fn demands(&self) -> std::sync::MutexGuard<'_, Option<Vec<Demand>>> {
        self.demands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ends_with_checkpoint(&self) -> bool {
        self.ends_with_checkpoint
    }

    /// Whoever must notice a change at once adds a waker.
    pub(crate) fn add_waker(&self, waker: Waker) {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
    }

    fn wake_all(&self) {
        for waker in self.wakers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            waker.wake();
        }
    }

    /// Whether `epoch` was stored or given up.
    pub(crate) fn is_released(&self, epoch: u64) -> bool {
        self.released.load(Ordering::Acquire) >= epoch
    }

    pub(crate) fn release(&self, epoch: u64) {
        self.released.fetch_max(epoch, Ordering::AcqRel);
        self.wake_all();
    }

    /// Whether nothing may be read yet.
    pub(crate) fn is_holding(&self) -> bool {
        self.holding.load(Ordering::Acquire)
    }

    pub(crate) fn hold(&self) {
        self.holding.store(true, Ordering::Release);
    }

    pub(crate) fn let_read(&self) {
        if self.holding.swap(false, Ordering::AcqRel) {
            self.wake_all();
        }
    }

    /// The epoch that sources should have closed.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn start_barrier(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Release);
        self.wake_all();
    }

    /// Whether sources should end where they are.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Whether to drop everything now.
    pub(crate) fn is_aborting(&self) -> bool {
        self.aborting.load(Ordering::Acquire)
    }

    pub(crate) fn abort(&self) {
        self.aborting.store(true, Ordering::Release);
        self.stop();
    }
}
