//! The keys that need more than a new name, by theme, in the order in which they build on each other.

mod bad_records;
mod ciphers;
mod codec;
mod common;
mod consumer;
mod login;
mod producer;
mod refuse;
mod role;
mod security;
mod start;
mod stores;

pub(crate) use common::is_topic_name;

use super::draft::Draft;
use super::{ReadHead, Role};

/// Runs every theme over what was taken in.
pub(crate) fn run(draft: &mut Draft, read_head: &ReadHead<'_>) {
    refuse::run(draft);
    common::run(draft);
    codec::run(draft);
    match draft.role {
        Role::Source => {
            start::run(draft);
            consumer::run(draft);
            bad_records::run(draft);
        }
        Role::Sink => producer::run(draft),
    }
    security::run(draft);
    login::run(draft);
    stores::run(draft, read_head);
    ciphers::run(draft);
    role::run(draft);
}
