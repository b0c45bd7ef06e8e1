//! Logs: to standard error, as text or JSON, in UTC; colour only on a terminal and where NO_COLOR does not forbid it. Warnings are counted.

use std::sync::atomic::{AtomicUsize, Ordering};

use stream_core::{Error, ErrorKind, Result};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::arguments::{LogFormat, Options};

static WARNINGS: AtomicUsize = AtomicUsize::new(0);

/// How many warnings have been logged.
pub(crate) fn warnings() -> usize {
    WARNINGS.load(Ordering::Relaxed)
}

struct CountWarnings;

impl<S: Subscriber> Layer<S> for CountWarnings {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        if *event.metadata().level() == Level::WARN {
            WARNINGS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Starts logging, unless the program already does.
///
/// # Errors
/// `Config` if `--log` is no filter.
pub(crate) fn init(options: &Options) -> Result<()> {
    let filter = match &options.log {
        Some(text) => EnvFilter::try_new(text).map_err(|e| {
            let error = Error::new(ErrorKind::Config, format!("`--log {text}` is not a filter: {e}"));
            error.with_hint("write a level such as debug, or target=level pairs such as stream_kafka=debug,warn")
        })?,
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(CountWarnings);
    // A program that has set its own subscriber keeps it.
    let _ = match options.log_format {
        LogFormat::Text => {
            let lines = lines.with_target(false).with_ansi(crate::report::is_coloured());
            registry.with(lines.with_filter(filter)).try_init()
        }
        LogFormat::Json => registry.with(lines.json().with_filter(filter)).try_init(),
    };
    Ok(())
}
