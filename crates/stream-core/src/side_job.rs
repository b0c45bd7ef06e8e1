//! [`SideJob`]: a job that a connector offers beside the one that is described, such as one that brings dead letters back.

use stream_conf::Configuration;

use crate::context::StreamingContext;
use crate::error::{Error, ErrorKind, Result};

type Describe = Box<dyn FnOnce(&StreamingContext) -> Result<()> + Send>;

/// A job beside the job. It has state of its own: its checkpoints are kept under a name of its own.
pub struct SideJob {
    kind: &'static str,
    source: String,
    describe: Describe,
}

impl SideJob {
    /// A side job of this kind, such as `dlq replay`, for this source or sink of the job; `describe` describes it in a
    /// context that has the job's settings for checkpoints, and no sources and sinks.
    pub fn new(
        kind: &'static str,
        of: impl Into<String>,
        describe: impl FnOnce(&StreamingContext) -> Result<()> + Send + 'static,
    ) -> SideJob {
        SideJob { kind, source: of.into(), describe: Box::new(describe) }
    }

    /// What it does.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Which source or sink it belongs to.
    pub fn of(&self) -> &str {
        &self.source
    }

    /// The context to run it in.
    ///
    /// # Errors
    /// `Config` if the job keeps no checkpoints in files: a side job that is run again could not go on where it was.
    pub fn context(self, job: &StreamingContext) -> Result<StreamingContext> {
        let settings = job.settings();
        let Some(dir) = &settings.state.checkpoints_dir else {
            let message =
                format!("`{}` keeps its position in checkpoints, and the job has no place for them", self.kind);
            return Err(Error::new(ErrorKind::Config, message).with_hint("set execution.checkpointing.dir"));
        };
        let configuration = Configuration::builder()
            .set("application.id", &settings.application)
            .set("execution.checkpointing.interval", "1s")
            .set("execution.checkpointing.dir", dir)
            .build()?;
        let context = StreamingContext::new(configuration);
        (self.describe)(&context)?;
        Ok(context)
    }
}
