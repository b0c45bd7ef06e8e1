//! What we decided: which operators share a chain, how parallel each chain is, what lies between.
//!
//! 1. Every node gets its parallelism: its own, the one it is fixed to, or the job's.
//! 2. An edge is *chained* when it is forward, both ends have the same parallelism and the receiver has
//!    no other input. All other edges become exchanges.
//! 3. A chain is a node without a chained input and everything reachable from it over chained edges.
//!
//! The plan is plain data, so that golden tests can pin what it prints.

mod explain;

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Logic, NodeId, Partitioning};
use crate::settings::JobSettings;
use crate::state::StateBackend;

pub use explain::ExplainFormat;

/// The plan of a job; prints as text, DOT, Mermaid or JSON by [`Plan::explain`].
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) job: String,
    pub(crate) nodes: Vec<PlannedNode>,
    pub(crate) chains: Vec<Chain>,
    pub(crate) edges: Vec<PlannedEdge>,
    /// How many key groups there are: the most subtasks that a keyed operator can have.
    pub(crate) max_parallelism: usize,
    pub(crate) state_backend: StateBackend,
    pub(crate) watermark_interval: Option<Duration>,
    /// How many bytes of records each exchange channel holds before its sender waits.
    pub(crate) exchange_bytes: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct PlannedNode {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) detail: String,
    pub(crate) parallelism: usize,
    pub(crate) chain: usize,
    pub(crate) is_source: bool,
    pub(crate) is_sink: bool,
    /// Whether its output waits for the checkpoint.
    pub(crate) is_staged: bool,
    /// Whether the uid was given, and not made from the place in the graph.
    pub(crate) has_own_uid: bool,
    /// Whether it keeps keyed state.
    pub(crate) keeps_state: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) head: NodeId,
    pub(crate) parallelism: usize,
    /// All nodes of the chain, the head first, in order of description.
    pub(crate) nodes: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PlannedEdge {
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    /// Which of the receiver's inputs this is.
    pub(crate) input: usize,
    pub(crate) partitioning: Partitioning,
    pub(crate) chained: bool,
}

impl Plan {
    /// Plans a graph.
    pub(crate) fn new(job: &str, graph: &Graph, settings: &JobSettings, exchange_bytes: usize) -> Result<Plan> {
        let mut errors = graph.errors.clone();
        let mut nodes = Vec::with_capacity(graph.nodes.len());
        for (index, node) in graph.nodes.iter().enumerate() {
            let planned = PlannedNode {
                kind: node.kind,
                name: node.name().to_owned(),
                uid: node.uid(NodeId(index)),
                detail: node.detail.clone(),
                parallelism: node.fixed_parallelism.or(node.parallelism).unwrap_or(settings.parallelism),
                chain: 0,
                is_source: matches!(node.logic, Logic::Source(_)),
                is_sink: matches!(node.logic, Logic::Sink(_)),
                is_staged: matches!(&node.logic, Logic::Sink(sink) if sink.is_staged()),
                has_own_uid: node.uid.is_some(),
                keeps_state: node.inputs.iter().any(|input| input.partitioning == Partitioning::Key),
            };
            if let (Some(fixed), Some(asked)) = (node.fixed_parallelism, node.parallelism)
                && fixed != asked
            {
                let message = format!("`{}` can only run with parallelism {fixed}, not {asked}", planned.name);
                errors.push(
                    Error::new(ErrorKind::Config, message).with_hint("set the parallelism of the operators behind it"),
                );
            }
            nodes.push(planned);
        }
        if nodes.is_empty() && errors.is_empty() {
            let empty = Error::new(ErrorKind::Config, format!("the job `{job}` has no operators"));
            errors.push(empty.with_hint("start with a source, for instance KafkaSource, and end in a sink"));
        }
        check_uids(&nodes, &mut errors);
        if let Some(error) = Error::join(errors) {
            return Err(error);
        }
        let edges = plan_edges(graph, &nodes);
        if let Some(error) = Error::join(check_key_groups(&nodes, &edges, settings.max_parallelism)) {
            return Err(error);
        }
        let chains = plan_chains(&mut nodes, &edges);
        Ok(Plan {
            job: job.to_owned(),
            nodes,
            chains,
            edges,
            max_parallelism: settings.max_parallelism,
            state_backend: settings.state.backend,
            watermark_interval: settings.auto_watermark_interval,
            exchange_bytes,
        })
    }

    /// Refuses sinks that wait for checkpoints in a job that takes none.
    pub(crate) fn check_staged(&self, settings: &JobSettings) -> Result<()> {
        let Some(sink) = self.nodes.iter().find(|node| node.is_staged && settings.checkpointing.is_none()) else {
            return Ok(());
        };
        let message = format!("`{}` publishes its output with checkpoints, and this job takes none", sink.name);
        let hint = "set execution.checkpointing.interval, for instance to 10s";
        Err(Error::new(ErrorKind::Config, message).with_hint(hint))
    }

    /// The plan of the same job with another default parallelism.
    #[cfg(feature = "testing")]
    pub(crate) fn rescaled(self, graph: &Graph, parallelism: usize) -> Result<Plan> {
        let (max_parallelism, state_backend) = (self.max_parallelism, self.state_backend);
        let mut settings = JobSettings { parallelism, max_parallelism, ..JobSettings::default() };
        settings.state.backend = state_backend;
        settings.auto_watermark_interval = self.watermark_interval;
        Plan::new(&self.job, graph, &settings, self.exchange_bytes)
    }

    /// The plan as text, DOT, Mermaid or JSON.
    pub fn explain(&self, format: ExplainFormat) -> String {
        explain::explain(self, format)
    }

    pub(crate) fn node(&self, id: NodeId) -> &PlannedNode {
        &self.nodes[id.0]
    }

    pub(crate) fn edges_from(&self, node: NodeId) -> impl Iterator<Item = &PlannedEdge> {
        self.edges.iter().filter(move |e| e.from == node)
    }
}

/// State is found by uid, so two operators with one uid would take each other's.
fn check_uids(nodes: &[PlannedNode], errors: &mut Vec<Error>) {
    let mut seen = std::collections::BTreeMap::new();
    for node in nodes {
        if let Some(first) = seen.insert(&node.uid, &node.name) {
            let message = format!("two operators have the uid `{}`: `{first}` and `{}`", node.uid, node.name);
            errors.push(Error::new(ErrorKind::Config, message).with_hint("give each operator a uid of its own"));
        }
    }
}

/// A subtask without a key group would never get a record.
fn check_key_groups(nodes: &[PlannedNode], edges: &[PlannedEdge], max: usize) -> Vec<Error> {
    let keyed = edges.iter().filter(|edge| edge.partitioning == Partitioning::Key).map(|edge| &nodes[edge.to.0]);
    let too_many = keyed.filter(|node| node.parallelism > max).map(|node| {
        let message = format!("`{}` has parallelism {}, but keys fall into {max} groups", node.name, node.parallelism);
        Error::new(ErrorKind::Config, message).with_hint(format!("set its parallelism to {max} or less"))
    });
    too_many.collect()
}

fn plan_edges(graph: &Graph, nodes: &[PlannedNode]) -> Vec<PlannedEdge> {
    let mut edges = Vec::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for (number, input) in node.inputs.iter().enumerate() {
            let (from, to) = (nodes[input.from.0].parallelism, nodes[index].parallelism);
            let partitioning = match input.partitioning {
                // A forward edge between different parallelisms has no subtask to go forward to.
                Partitioning::Forward if from != to => Partitioning::Rebalance,
                // With one subtask on each side there is nothing to choose.
                Partitioning::Key | Partitioning::Broadcast | Partitioning::Global | Partitioning::Custom
                    if from == 1 && to == 1 =>
                {
                    Partitioning::Forward
                }
                asked => asked,
            };
            let chained = partitioning == Partitioning::Forward && node.inputs.len() == 1;
            edges.push(PlannedEdge { from: input.from, to: NodeId(index), input: number, partitioning, chained });
        }
    }
    edges
}

fn plan_chains(nodes: &mut [PlannedNode], edges: &[PlannedEdge]) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    for index in 0..nodes.len() {
        let id = NodeId(index);
        // Nodes are numbered in order of description, so the chain of a sender is known before its receivers.
        let chain = match edges.iter().find(|e| e.to == id && e.chained) {
            Some(edge) => nodes[edge.from.0].chain,
            None => {
                chains.push(Chain { head: id, parallelism: nodes[index].parallelism, nodes: Vec::new() });
                chains.len() - 1
            }
        };
        nodes[index].chain = chain;
        chains[chain].nodes.push(id);
    }
    chains
}
