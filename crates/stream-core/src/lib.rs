//! Typed streams of records: the dataflow engine of stream-rs.
//!
//! A job is described through a [`StreamingContext`] as a graph of [`DataStream`]s, planned into chains, and run by
//! a few threads. The three steps are three modules: `graph` (what the user said), `plan` (what we decided),
//! `runtime` (doing it). Every edge carries [`Batch`]es; every part of a chain is an [`Operator`] that pushes into an
//! [`Output`].
//!
//! This crate opens no socket, touches no disk, starts threads in one file and reads the clock in one file.
//! Outside systems come in through [`Source`] and [`Sink`].
//!
//! ```
//! use stream_core::{Configuration, StreamingContext};
//!
//! let ctx = StreamingContext::new(Configuration::empty()).parallelism(2);
//! let words = ctx
//!     .from_iter(["to be", "or not"])
//!     .flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>())
//!     .collect();
//! ctx.execute("words")?;
//! let mut words = words.take();
//! words.sort();
//! assert_eq!(words, ["be", "not", "or", "to"]);
//! # Ok::<(), stream_core::Error>(())
//! ```

mod batch;
mod catalogue;
pub mod checkpoint;
pub mod clock;
mod context;
mod either;
mod error;
mod graph;
mod key;
mod keyed;
mod nodes;
mod operator;
mod operators;
mod plan;
mod position;
mod process;
mod random;
mod runtime;
pub mod settings;
mod side_job;
mod sink;
mod sinks;
mod source;
mod sources;
mod state;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
pub mod thread;
mod time;
mod transaction;
mod watermark;
pub mod window;

pub use batch::{BATCH_SIZE, Batch};
pub use catalogue::{KeyInfo, KeyState};
pub use context::{EndCheck, StreamingContext};
pub use either::Either;
pub use error::{Error, ErrorKind, Place, Result};
pub use key::{Key, KeyHash, KeyHasher, Keyed, key_group, key_group_subtask};
pub use keyed::KeyedStream;
pub use operator::{Barrier, Operator, OperatorContext, Output, Record, Snapshot};
pub use plan::{ExplainFormat, Plan};
pub use position::PositionRange;
pub use process::{FunctionResult, ProcessContext, ProcessFunction, Timer};
pub use runtime::exchange::even_split;
pub use runtime::job::{JobHandle, JobReport};
pub use settings::JobSettings;
pub use side_job::SideJob;
pub use sink::{Released, Sink, SinkContext, SinkWriter, StagedCommitter, StagedSink, StagedWriter};
pub use sinks::Collected;
pub use source::{Committer, Opened, Poll, Progress, Source, SourceContext, SourceReader, SplitPosition};
pub use state::{
    AggregatingState, CurrentKey, KeyedState, ListState, MapState, ReducingState, StateBackend, States, ValueState,
};
pub use stream::{DataSink, DataStream};
pub use time::Timestamp;
pub use transaction::{Marker, TransactionRun, Transactions};
pub use watermark::{
    SplitActivity, SplitProgress, SplitWatermarks, WatermarkGenerator, WatermarkProgress, WatermarkStrategy,
};

pub use stream_conf::Configuration;
pub use stream_macros::KeyHash;
