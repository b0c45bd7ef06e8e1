//! Doing it: links, exchanges, subtasks, the threads that drive them and the coordinator.
//!
//! Reading order: [`link`] (one operator in its chain), [`exchange`] (between chains), [`subtask`]
//! (one step of one chain), [`build`] (from plan to subtasks), [`coordinator`] (epochs; [`schedule`]: when), [`storing`]
//! (what happens to a checkpoint), [`job`] (threads).

pub(crate) mod adoption;
pub(crate) mod alignment;
pub(crate) mod build;
pub(crate) mod checkpoint;
pub(crate) mod control;
pub(crate) mod coordinator;
pub(crate) mod exchange;
pub(crate) mod job;
pub(crate) mod link;
pub(crate) mod restart;
pub(crate) mod restore;
pub(crate) mod schedule;
pub(crate) mod storing;
pub(crate) mod subtask;
