//! Doing it: links, exchanges, subtasks, the threads that drive them and the coordinator.
//!
//! Reading order: [`link`] (one operator in its chain), [`exchange`] (between chains), [`subtask`]
//! (one step of one chain), [`build`] (from plan to subtasks), [`coordinator`] (epochs), [`job`] (threads).

pub(crate) mod alignment;
pub(crate) mod build;
pub(crate) mod checkpoint;
pub(crate) mod coordinator;
pub(crate) mod exchange;
pub(crate) mod job;
pub(crate) mod link;
pub(crate) mod subtask;
