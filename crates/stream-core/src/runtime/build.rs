//! Building a job: from the plan to subtasks that wait to be driven.
//!
//! 1. The exchanges between all chains are made.
//! 2. Every chain that reads from an exchange is built, from its end to its head; sinks open with it.
//! 3. Sources open last, when all they feed exists.
//!
//! Nothing here starts a thread or moves a record: threads drive what was built in production ([`super::job`]), the
//! stepped scheduler drives it in tests.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Erased, Graph, Logic, NodeId, Partitioning};
use crate::operator::OperatorContext;
use crate::plan::Plan;
use crate::runtime::checkpoint::Checkpoint;
use crate::runtime::control::Control;
use crate::runtime::coordinator::{Committers, Epochs, Report, Reporter};
use crate::runtime::link::{LinkContext, guard};
use crate::runtime::storing::{self, StagedCommitters};
use crate::runtime::subtask::Subtask;
use crate::source::SourceContext;
use crate::thread::Waker;

/// Subtasks of one slot, driven together.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) waker: Waker,
    pub(crate) subtasks: Vec<Box<dyn Subtask>>,
}

/// A job being built, and what has been built of it.
///
/// Whoever builds owns this outside the guarded call, so that a failure halfway leaves the user's objects to be
/// dropped after everybody has been told.
pub(crate) struct Build {
    plan: Plan,
    graph: Graph,
    control: Arc<Control>,
    clock: Arc<dyn Clock>,
    checkpoints: bool,
    /// What the job goes on from.
    restored: Option<Arc<Checkpoint>>,
    /// The epoch that has ended.
    epoch: u64,
    /// Whether sources go on at the positions of the checkpoint.
    positions: bool,
    /// The number of the newest checkpoint: higher for every run that begins later.
    pub(crate) generation: u64,
    pub(crate) reporter: Arc<Reporter>,
    /// One per subtask index.
    pub(crate) slots: Vec<Slot>,
    /// Knows every source and sink subtask.
    pub(crate) epochs: Epochs,
    pub(crate) committers: Committers,
    pub(crate) staged_committers: StagedCommitters,
}

/// The channel ends that wait for their subtasks: senders by (edge, sender), receivers by (edge, receiver).
#[derive(Default)]
struct Exchanges {
    senders: BTreeMap<(usize, usize), Vec<Erased>>,
    receivers: BTreeMap<(usize, usize), Vec<Erased>>,
}

impl Build {
    /// Empty slots for `plan`, and the end of the wire on which its subtasks will report.
    pub(crate) fn new(
        plan: Plan,
        graph: Graph,
        control: Arc<Control>,
        clock: Arc<dyn Clock>,
    ) -> (Build, mpsc::Receiver<Report>) {
        let (sender, reports) = mpsc::channel();
        let slots = plan.chains.iter().map(|c| c.parallelism).max().unwrap_or(0);
        let slots: Vec<Slot> = (0..slots).map(|_| Slot::default()).collect();
        for slot in &slots {
            control.add_waker(slot.waker.clone());
        }
        let build = Build {
            plan,
            graph,
            control,
            clock,
            checkpoints: false,
            restored: None,
            epoch: 0,
            positions: true,
            generation: 0,
            reporter: Arc::new(Reporter::new(sender)),
            slots,
            epochs: Epochs::default(),
            committers: Committers::new(),
            staged_committers: StagedCommitters::new(),
        };
        (build, reports)
    }

    /// Lets operators write snapshots, and go on from `restored` if there is something, after the end of `epoch`. Without
    /// `positions` sources find their own.
    pub(crate) fn checkpointed(mut self, restored: Option<Arc<Checkpoint>>, epoch: u64, positions: bool) -> Build {
        self.epochs = Epochs::after(epoch);
        if epoch > 0 {
            self.control.start_barrier(epoch);
            self.control.release(epoch);
        }
        Build { checkpoints: true, restored, epoch, positions, ..self }
    }

    /// Whether sources find their own positions.
    pub(crate) fn begins_anew(&self) -> bool {
        self.restored.is_none() || !self.positions
    }

    /// Whether operators write snapshots.
    pub(crate) fn takes_checkpoints(&self) -> bool {
        self.checkpoints
    }

    /// What another build of the same job is made of.
    pub(crate) fn into_parts(self) -> (Plan, Graph) {
        (self.plan, self.graph)
    }

    /// How many subtasks each operator has, by uid.
    pub(crate) fn parallelism(&self) -> BTreeMap<String, usize> {
        self.plan.nodes.iter().map(|node| (node.uid.clone(), node.parallelism)).collect()
    }

    /// The job's name.
    pub(crate) fn job(&self) -> &str {
        &self.plan.job
    }

    /// Opens sinks and sources and fills the slots.
    pub(crate) fn all(&mut self) -> Result<()> {
        self.open_committers()?;
        let mut exchanges = self.build_exchanges();
        // Sinks open before sources, receivers before senders: a chain is built when all it feeds exists.
        for chain in (0..self.plan.chains.len()).rev() {
            let (head, parallelism) = (self.plan.chains[chain].head, self.plan.chains[chain].parallelism);
            for subtask in 0..parallelism {
                if !self.plan.node(head).is_source {
                    let next = self.build_link(head, subtask, &mut exchanges)?;
                    let gate = self.gate(head, subtask, next, &mut exchanges)?;
                    self.slots[subtask].subtasks.push(gate);
                }
            }
        }
        for chain in 0..self.plan.chains.len() {
            let head = self.plan.chains[chain].head;
            if self.plan.node(head).is_source {
                self.open_source(head, &mut exchanges)?;
            }
        }
        Ok(())
    }

    /// Publishes what the checkpoint that the job goes on from has put aside, before anybody writes.
    fn open_committers(&mut self) -> Result<()> {
        for index in 0..self.graph.nodes.len() {
            let context = self.context(NodeId(index), 0);
            let operator = context.operator.clone();
            let Logic::Sink(sink) = &mut self.graph.nodes[index].logic else { continue };
            if let Some(committer) = guard(|| sink.committer(&context)).map_err(|e| e.at(|| operator.place(None)))? {
                self.staged_committers.push((operator, committer));
            }
        }
        if let Some(restored) = &self.restored {
            storing::publish(&mut self.staged_committers, &restored.staged)?;
        }
        for (operator, committer) in &mut self.staged_committers {
            match guard(|| committer.discard_leftovers()) {
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(uid = operator.uid(), "leftovers of earlier runs stay for now: {error}");
                }
                discarded => discarded.map_err(|e| e.at(|| operator.place(None)))?,
            }
        }
        Ok(())
    }

    fn context(&self, node: NodeId, subtask: usize) -> LinkContext {
        let planned = self.plan.node(node);
        LinkContext {
            operator: OperatorContext::new(&*planned.name, &*planned.uid, subtask, planned.parallelism)
                .with_clock(self.clock.clone())
                .with_max_parallelism(self.plan.max_parallelism)
                .with_state_backend(self.plan.state_backend)
                .with_watermark_interval(self.plan.watermark_interval),
            waker: self.slots[subtask].waker.clone(),
            reporter: self.reporter.clone(),
            control: self.control.clone(),
            checkpoints: self.checkpoints,
            restored: self.restored.clone(),
            epoch: self.epoch,
            job: self.plan.job.as_str().into(),
            generation: self.generation,
        }
    }

    fn build_exchanges(&self) -> Exchanges {
        let mut exchanges = Exchanges::default();
        for (index, edge) in self.plan.edges.iter().enumerate().filter(|(_, e)| !e.chained) {
            let Some(ops) = self.graph.nodes[edge.from.0].output else { continue };
            let (senders, receivers) = (self.plan.node(edge.from).parallelism, self.plan.node(edge.to).parallelism);
            for sender in 0..senders {
                for receiver in 0..receivers {
                    if edge.partitioning == Partitioning::Forward && sender != receiver {
                        continue;
                    }
                    let wakers = (self.slots[sender].waker.clone(), self.slots[receiver].waker.clone());
                    let (tx, rx) = (ops.channel)(self.plan.exchange_bytes, wakers.0, wakers.1);
                    exchanges.senders.entry((index, sender)).or_default().push(tx);
                    exchanges.receivers.entry((index, receiver)).or_default().push(rx);
                }
            }
        }
        exchanges
    }

    /// The link that takes the input of `node`, with everything behind it in the chain.
    fn build_link(&mut self, node: NodeId, subtask: usize, exchanges: &mut Exchanges) -> Result<Erased> {
        let context = self.context(node, subtask);
        let operator = context.operator.clone();
        if let Logic::Sink(sink) = &mut self.graph.nodes[node.0].logic {
            self.epochs.add_sink(operator.uid(), subtask);
            return guard(|| sink.link(context)).map_err(|e| e.at(|| operator.place(None)));
        }
        let next = self.build_next(node, subtask, exchanges)?;
        match &mut self.graph.nodes[node.0].logic {
            Logic::Operator(logic) => guard(|| logic.link(context, next)).map_err(|e| e.at(|| operator.place(None))),
            Logic::Source(_) | Logic::Sink(_) => Err(Error::internal("a source or sink stands inside a chain")),
        }
    }

    /// What `node` pushes into: its chained receivers and the writers of its exchanges.
    fn build_next(&mut self, node: NodeId, subtask: usize, exchanges: &mut Exchanges) -> Result<Erased> {
        let Some(ops) = self.graph.nodes[node.0].output else {
            return Err(Error::internal("a node without output feeds another"));
        };
        let edges: Vec<_> = self.plan.edges.iter().copied().enumerate().filter(|(_, e)| e.from == node).collect();
        let mut receivers = Vec::new();
        for (index, edge) in edges {
            if edge.chained {
                receivers.push(self.build_link(edge.to, subtask, exchanges)?);
            } else {
                let senders = exchanges.senders.remove(&(index, subtask)).unwrap_or_default();
                let route = self.graph.nodes[edge.to.0].inputs.get(edge.input).and_then(|input| input.route.clone());
                receivers.push(match route {
                    Some(route) => route(senders, self.plan.max_parallelism),
                    None => (ops.writer)(senders),
                });
            }
        }
        let name = &self.plan.node(node).name;
        match (receivers.len(), self.graph.nodes[node.0].tee) {
            (0, _) => Err(Error::internal(format!("nothing reads the output of `{name}`"))),
            (1, _) => Ok(receivers.remove(0)),
            (_, Some(tee)) => Ok(tee(receivers)),
            (_, None) => Err(Error::internal("a stream is used twice but was never cloned")),
        }
    }

    fn gate(
        &mut self,
        head: NodeId,
        subtask: usize,
        next: Erased,
        exchanges: &mut Exchanges,
    ) -> Result<Box<dyn Subtask>> {
        let edges: Vec<usize> =
            self.plan.edges.iter().enumerate().filter(|(_, e)| e.to == head).map(|(i, _)| i).collect();
        let from = edges.first().map(|i| self.plan.edges[*i].from);
        let ops = from.and_then(|from| self.graph.nodes[from.0].output);
        let Some(ops) = ops else { return Err(Error::internal("an operator has no input")) };
        let receivers =
            edges.iter().flat_map(|i| exchanges.receivers.remove(&(*i, subtask)).unwrap_or_default()).collect();
        Ok((ops.gate)(receivers, next, self.context(head, subtask)))
    }

    fn open_source(&mut self, head: NodeId, exchanges: &mut Exchanges) -> Result<()> {
        let parallelism = self.plan.node(head).parallelism;
        let mut nexts = Vec::new();
        for subtask in 0..parallelism {
            nexts.push(self.build_next(head, subtask, exchanges)?);
        }
        let operator = self.context(head, 0).operator;
        let wakers = self.slots[..parallelism].iter().map(|s| s.waker.clone()).collect();
        let control = self.control.clone();
        let restored = self.restored.as_ref().filter(|_| self.positions);
        let positions = restored.map(|checkpoint| checkpoint.positions(operator.uid()).to_vec());
        let released = self.control.clone();
        let context = SourceContext::new(operator.clone(), wakers, move || control.is_stopping())
            .going_on(positions)
            .released_by(move |epoch| released.is_released(epoch));
        let contexts: Vec<LinkContext> = (0..parallelism).map(|subtask| self.context(head, subtask)).collect();
        let Logic::Source(source) = &mut self.graph.nodes[head.0].logic else {
            return Err(Error::internal("a chain starts with an operator that is no source"));
        };
        let committer = guard(|| source.open(&context)).map_err(|e| e.at(|| operator.place(None)))?;
        for (context, next) in contexts.into_iter().zip(nexts) {
            let subtask = context.operator.subtask();
            self.epochs.add_source(operator.uid(), subtask);
            self.slots[subtask].subtasks.push(source.subtask(context, next)?);
        }
        if let Some(committer) = committer {
            self.committers.push((operator, committer));
        }
        Ok(())
    }
}
