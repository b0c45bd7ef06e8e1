//! Where the job's checkpoints are, by its settings.

use stream_core::checkpoint::CheckpointStore;
use stream_core::settings::CheckpointStorage;
use stream_core::{Error, ErrorKind, Result, StreamingContext};
use stream_store::Store;

/// Gives the context the store that its settings name, if the job takes checkpoints and doesn't keep them in memory.
pub(crate) fn stored(ctx: StreamingContext, job: &str) -> Result<StreamingContext> {
    Ok(match wanted(&ctx, job)? {
        Some(store) => ctx.checkpoint_store(store),
        None => ctx,
    })
}

/// The store that a run of the job would use. Nothing is made or asked yet.
pub(crate) fn wanted(ctx: &StreamingContext, job: &str) -> Result<Option<Store>> {
    let settings = ctx.settings();
    if settings.checkpointing.is_none() || settings.state.checkpoint_storage == CheckpointStorage::Memory {
        return Ok(None);
    }
    open(ctx, job).map(Some)
}

/// The store that the settings name, whether checkpoints are taken or not.
pub(crate) fn open(ctx: &StreamingContext, job: &str) -> Result<Store> {
    let Some(directory) = &ctx.settings().state.checkpoints_dir else {
        let message = "execution.checkpointing.dir is not set: checkpoints have no place";
        let hint = "set it to a directory that outlives the process, such as /var/lib/streams, or to s3://bucket/path";
        return Err(Error::new(ErrorKind::Config, message).with_hint(hint));
    };
    stream_store::open(directory, job)
}

/// Whether a run could write its checkpoints, for `validate`; what it says for people. A bucket is asked only if
/// `connect` says so.
pub(crate) fn check(ctx: &StreamingContext, job: &str, connect: bool) -> Result<Option<String>> {
    let Some(store) = wanted(ctx, job)? else { return Ok(None) };
    if store.is_remote() && !connect {
        return Ok(None);
    }
    store.check()?;
    Ok(Some(format!("checkpoints go to {}", store.location())))
}
