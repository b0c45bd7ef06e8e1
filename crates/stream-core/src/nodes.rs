//! Typed sources, operators and sinks behind the graph's untyped traits.

use std::marker::PhantomData;
use std::time::Duration;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::graph::{Erased, OperatorLogic, SinkLogic, SourceLogic};
use crate::operator::{Barrier, Operator, OperatorContext, Record, Snapshot};
use crate::runtime::exchange::{erase_link, typed};
use crate::runtime::link::{Link, LinkContext, OperatorLink, SinkLink};
use crate::runtime::subtask::{SourceSubtask, Subtask};
use crate::sink::{Sink, SinkContext, SinkWriter, StagedCommitter, StagedSink, StagedWriter};
use crate::source::{Committer, Source, SourceContext, SourceReader};

pub(crate) struct SourceNode<T> {
    source: Box<dyn Source<T>>,
    /// Made by `open`, taken by the subtasks.
    readers: Vec<Option<Box<dyn SourceReader<T>>>>,
}

impl<T> SourceNode<T> {
    pub(crate) fn new(source: impl Source<T> + 'static) -> SourceNode<T> {
        SourceNode { source: Box::new(source), readers: Vec::new() }
    }
}

impl<T: Record> SourceLogic for SourceNode<T> {
    fn open(&mut self, context: &SourceContext) -> Result<Option<Box<dyn Committer>>> {
        let opened = self.source.open(context)?;
        if opened.readers.len() != context.parallelism() {
            let (made, wanted) = (opened.readers.len(), context.parallelism());
            let error = Error::internal(format!("the source made {made} readers for {wanted} subtasks"));
            return Err(error.with_hint("Source::open has to make one reader per subtask"));
        }
        self.readers = opened.readers.into_iter().map(Some).collect();
        Ok(opened.committer)
    }

    fn check(&mut self, limit: Duration) -> Result<String> {
        self.source.check(limit)
    }

    fn subtask(&mut self, context: LinkContext, next: Erased) -> Result<Box<dyn Subtask>> {
        let reader = self.readers.get_mut(context.operator.subtask()).and_then(Option::take);
        let reader = reader.ok_or_else(|| Error::internal("a source subtask has no reader"))?;
        Ok(Box::new(SourceSubtask::new(reader, typed::<Box<dyn Link<T>>>(next), context)))
    }
}

pub(crate) struct OperatorNode<I, O, F> {
    make: F,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O, F> OperatorNode<I, O, F> {
    pub(crate) fn new(make: F) -> OperatorNode<I, O, F> {
        OperatorNode { make, types: PhantomData }
    }
}

impl<I, O, P, F> OperatorLogic for OperatorNode<I, O, F>
where
    I: Record,
    O: Record,
    P: Operator<I, O> + 'static,
    F: FnMut(&OperatorContext) -> P + Send,
{
    fn link(&mut self, context: LinkContext, next: Erased) -> Result<Erased> {
        let mut operator = (self.make)(&context.operator);
        operator.open(&context.operator)?;
        let kept = context.kept();
        let link = OperatorLink::<I, P, O>::new(operator, context.operator, typed(next));
        if !context.checkpoints {
            return Ok(erase_link(link));
        }
        Ok(erase_link(link.checkpointed(context.reporter, kept)?))
    }

    fn try_restore(&mut self, context: &OperatorContext, snapshot: &Snapshot) -> Result<()> {
        let mut operator = (self.make)(context);
        operator.open(context)?;
        operator.restore(snapshot)
    }

    #[cfg(test)]
    fn operator(&mut self, context: &OperatorContext) -> Option<Erased> {
        let operator: Box<dyn Operator<I, O>> = Box::new((self.make)(context));
        Some(Box::new(operator))
    }
}

/// Where streams meet: several inputs, no operator of its own.
pub(crate) struct UnionNode;

impl OperatorLogic for UnionNode {
    fn link(&mut self, _context: LinkContext, next: Erased) -> Result<Erased> {
        Ok(next)
    }

    #[cfg(test)]
    fn operator(&mut self, _context: &OperatorContext) -> Option<Erased> {
        None
    }
}

pub(crate) struct SinkNode<T> {
    sink: Box<dyn Sink<T>>,
}

impl<T> SinkNode<T> {
    pub(crate) fn new(sink: impl Sink<T> + 'static) -> SinkNode<T> {
        SinkNode { sink: Box::new(sink) }
    }
}

impl<T: Record> SinkLogic for SinkNode<T> {
    fn check(&mut self, limit: Duration) -> Result<String> {
        self.sink.check(limit)
    }

    fn link(&mut self, context: LinkContext) -> Result<Erased> {
        let writer = self.sink.open(&sink_context(&context))?;
        Ok(erase_link(SinkLink::new(writer, context)))
    }
}

pub(crate) struct StagedSinkNode<T> {
    sink: Box<dyn StagedSink<T>>,
}

impl<T> StagedSinkNode<T> {
    pub(crate) fn new(sink: impl StagedSink<T> + 'static) -> StagedSinkNode<T> {
        StagedSinkNode { sink: Box::new(sink) }
    }
}

impl<T: Record> SinkLogic for StagedSinkNode<T> {
    fn check(&mut self, limit: Duration) -> Result<String> {
        self.sink.check(limit)
    }

    fn is_staged(&self) -> bool {
        true
    }

    fn committer(&mut self, context: &LinkContext) -> Result<Option<Box<dyn StagedCommitter>>> {
        self.sink.committer(&sink_context(context)).map(Some)
    }

    fn link(&mut self, context: LinkContext) -> Result<Erased> {
        let writer = Staging { writer: self.sink.open(&sink_context(&context))?, epoch: context.epoch, staged: None };
        Ok(erase_link(SinkLink::new(Box::new(writer), context)))
    }
}

/// A staged writer as one that is flushed when it has put everything aside.
struct Staging<T> {
    writer: Box<dyn StagedWriter<T>>,
    /// The last one that ended.
    epoch: u64,
    staged: Option<Vec<u8>>,
}

impl<T> SinkWriter<T> for Staging<T> {
    fn write(&mut self, batch: &mut Batch<T>) -> Result<()> {
        self.writer.write(batch)
    }

    fn room(&self) -> bool {
        self.writer.room()
    }

    fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.epoch = barrier.epoch;
        self.staged = self.writer.stage(self.epoch)?;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.staged = self.writer.stage(self.epoch + 1)?;
        Ok(())
    }

    fn failed_at(&self) -> Option<usize> {
        self.writer.failed_at()
    }

    fn staged(&mut self) -> Vec<Vec<u8>> {
        self.staged.take().into_iter().collect()
    }
}

fn sink_context(context: &LinkContext) -> SinkContext {
    let (control, released) = (context.control.clone(), context.control.clone());
    SinkContext::new(context.operator.clone(), context.waker.clone(), move || control.is_stopping())
        .in_run(&context.job, context.generation)
        .released_by(move |epoch| released.is_released(epoch))
}
