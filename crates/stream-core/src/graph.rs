//! What the user said: a graph of typed nodes behind untyped handles.
//!
//! A node knows how to build its part of the runtime; the types of neighbours are equal by
//! construction, because only `DataStream<T>` adds nodes and it can only attach operators that take `T`.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::operator::{OperatorContext, Snapshot};
use crate::runtime::exchange::TypeOps;
use crate::runtime::link::LinkContext;
use crate::runtime::subtask::Subtask;
use crate::sink::StagedCommitter;
use crate::source::{Committer, SourceContext};

/// Something typed whose type the planner does not know: a `Box<dyn Link<T>>`, a `Sender<T>`, a `Receiver<T>`.
pub(crate) type Erased = Box<dyn Any + Send>;

/// A node's index in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

/// The job as it was described.
#[derive(Default)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    /// Mistakes found while describing it; the plan reports all of them at once.
    pub(crate) errors: Vec<Error>,
}

impl Graph {
    pub(crate) fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// Rejects streams that nobody reads. A plan can be explained with them, a job can't be started.
    pub(crate) fn reject_unread(&mut self) {
        let read: BTreeSet<NodeId> = self.nodes.iter().flat_map(|n| &n.inputs).map(|input| input.from).collect();
        for (id, node) in self.nodes.iter().enumerate().map(|(index, node)| (NodeId(index), node)) {
            if !matches!(node.logic, Logic::Sink(_)) && !read.contains(&id) {
                let message = format!("nothing reads the output of `{}` (uid {})", node.name(), node.uid(id));
                let hint = "end the stream in a sink, for instance .for_each(|_| {})";
                self.errors.push(Error::new(ErrorKind::Config, message).with_hint(hint));
            }
        }
    }

    /// Changes a node; a handle that outlives the start of its job has no node any more and changes nothing.
    pub(crate) fn edit(&mut self, id: NodeId, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(id.0) {
            change(node);
        }
    }
}

/// How records choose the subtask of the next operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partitioning {
    /// To the subtask with the same index; order is kept, and the operators can be chained.
    Forward,
    /// Evenly over all subtasks.
    Rebalance,
    /// By the key group of its key.
    Key,
    /// To every subtask.
    Broadcast,
    /// To the first subtask.
    Global,
    /// As a function of the user's says.
    Custom,
}

/// Makes the `Box<dyn Link<T>>` that writes to these `Sender<T>`s, in a job with so many key groups.
pub(crate) type Route = Arc<dyn Fn(Vec<Erased>, usize) -> Erased + Send + Sync>;

/// One edge, seen from its receiver.
#[derive(Clone)]
pub(crate) struct Input {
    pub(crate) from: NodeId,
    pub(crate) partitioning: Partitioning,
    /// The writer of this edge, where the type of the records alone does not say how to make it.
    pub(crate) route: Option<Route>,
}

/// One source, operator or sink.
pub(crate) struct Node {
    /// What it is, such as `map`.
    pub(crate) kind: &'static str,
    /// What it reads or writes, for people.
    pub(crate) detail: String,
    pub(crate) name: Option<String>,
    pub(crate) uid: Option<String>,
    pub(crate) parallelism: Option<usize>,
    /// The only parallelism this node can have, if there is just one.
    pub(crate) fixed_parallelism: Option<usize>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) logic: Logic,
    /// How to carry this node's output over exchanges; sinks have none.
    pub(crate) output: Option<TypeOps>,
    /// How to hand this node's output to several receivers; set when a stream handle is cloned.
    pub(crate) tee: Option<fn(Vec<Erased>) -> Erased>,
}

impl Node {
    pub(crate) fn new(kind: &'static str, logic: Logic, inputs: Vec<Input>, output: Option<TypeOps>) -> Node {
        Node {
            kind,
            detail: String::new(),
            name: None,
            uid: None,
            parallelism: None,
            fixed_parallelism: None,
            inputs,
            logic,
            output,
            tee: None,
        }
    }

    /// What people read: the name that was given, or what it is.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind)
    }

    /// The stable id that was given, or one made from what it is and where it stands.
    pub(crate) fn uid(&self, id: NodeId) -> String {
        self.uid.clone().unwrap_or_else(|| format!("{}-{}", self.kind, id.0 + 1))
    }
}

/// How a node builds its part of the runtime.
pub(crate) enum Logic {
    Source(Box<dyn SourceLogic>),
    Operator(Box<dyn OperatorLogic>),
    Sink(Box<dyn SinkLogic>),
}

/// A source behind its type.
pub(crate) trait SourceLogic: Send {
    fn open(&mut self, context: &SourceContext) -> Result<Option<Box<dyn Committer>>>;
    /// The subtask that drives reader `context.subtask()` and pushes into `next`, a `Box<dyn Link<T>>`.
    fn subtask(&mut self, context: LinkContext, next: Erased) -> Result<Box<dyn Subtask>>;
    fn check(&mut self, limit: Duration) -> Result<String>;
}

/// An operator behind its types.
pub(crate) trait OperatorLogic: Send {
    /// The link that takes the operator's input and pushes into `next`, a `Box<dyn Link<O>>`.
    fn link(&mut self, context: LinkContext, next: Erased) -> Result<Erased>;
    /// Whether an operator would take back a snapshot, tried with one of its own.
    fn try_restore(&mut self, _context: &OperatorContext, _snapshot: &Snapshot) -> Result<()> {
        Ok(())
    }

    /// The operator itself, a `Box<dyn Operator<I, O>>`.
    #[cfg(test)]
    fn operator(&mut self, context: &crate::operator::OperatorContext) -> Option<Erased>;
}

/// A sink behind its type.
pub(crate) trait SinkLogic: Send {
    /// The link that ends a chain.
    fn link(&mut self, context: LinkContext) -> Result<Erased>;
    /// Whether its output waits for the checkpoint.
    fn is_staged(&self) -> bool {
        false
    }
    /// What publishes its output, if that waits for the checkpoint. Asked before the first link.
    fn committer(&mut self, _context: &LinkContext) -> Result<Option<Box<dyn StagedCommitter>>> {
        Ok(None)
    }
    fn check(&mut self, limit: Duration) -> Result<String>;
}
