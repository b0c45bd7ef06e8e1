//! The plan as text for people, DOT and Mermaid for pictures, JSON for tools.

use std::fmt::Write;

use serde_json::json;

use super::{Plan, PlannedNode};
use crate::graph::{NodeId, Partitioning};

/// How to print a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainFormat {
    /// Indented text for a terminal.
    Text,
    /// Graphviz.
    Dot,
    /// A Mermaid flowchart, as Markdown renderers show it.
    Mermaid,
    /// JSON for tools; the field names are stable.
    Json,
}

pub(super) fn explain(plan: &Plan, format: ExplainFormat) -> String {
    match format {
        ExplainFormat::Text => text(plan),
        ExplainFormat::Dot => dot(plan),
        ExplainFormat::Mermaid => mermaid(plan),
        ExplainFormat::Json => json(plan),
    }
}

fn word(partitioning: Partitioning) -> &'static str {
    match partitioning {
        Partitioning::Forward => "forward",
        Partitioning::Rebalance => "rebalance",
    }
}

fn title(node: &PlannedNode) -> String {
    let role = if node.is_source {
        "source "
    } else if node.is_sink {
        "sink "
    } else {
        ""
    };
    let name = if node.name == node.kind { String::new() } else { format!(" `{}`", node.name) };
    format!("{role}{}{name}", node.kind)
}

fn count(n: usize, word: &str) -> String {
    format!("{n} {word}{}", if n == 1 { "" } else { "s" })
}

fn text(plan: &Plan) -> String {
    let subtasks: usize = plan.chains.iter().map(|c| c.parallelism).sum();
    let mut out =
        format!("job `{}`: {}, {}\n", plan.job, count(plan.chains.len(), "chain"), count(subtasks, "subtask"));
    for (index, chain) in plan.chains.iter().enumerate() {
        let _ = writeln!(out, "chain {} ×{}", index + 1, chain.parallelism);
        for &id in &chain.nodes {
            text_node(plan, id, &mut out);
        }
    }
    out
}

fn text_node(plan: &Plan, id: NodeId, out: &mut String) {
    let node = plan.node(id);
    let depth = depth(plan, id);
    let arrow = if depth == 0 { "" } else { "→ " };
    let mut line = format!("  {}{arrow}{}", "  ".repeat(depth.saturating_sub(1)), title(node));
    if !node.detail.is_empty() {
        let _ = write!(line, "  ({})", node.detail);
    }
    let _ = writeln!(out, "{line}");
    for edge in plan.edges_from(id).filter(|e| !e.chained) {
        let to = plan.node(edge.to);
        let indent = "  ".repeat(depth);
        let _ = writeln!(out, "  {indent}⇢ {} to chain {}", word(edge.partitioning), to.chain + 1);
    }
}

/// How many branch points lie between the head of the chain and this node, the head itself being 0.
fn depth(plan: &Plan, id: NodeId) -> usize {
    let Some(edge) = plan.edges_to(id).find(|e| e.chained) else { return 0 };
    let parent = depth(plan, edge.from);
    let branches = plan.edges_from(edge.from).count() > 1;
    parent.max(1) + usize::from(branches && parent > 0)
}

fn label(node: &PlannedNode) -> String {
    let detail = if node.detail.is_empty() { String::new() } else { format!("\n{}", node.detail) };
    format!("{} ×{}{detail}", title(node), node.parallelism)
}

fn dot(plan: &Plan) -> String {
    let quote = |s: &str| format!("\"{}\"", s.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    let mut out = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", quote(&plan.job));
    for (index, chain) in plan.chains.iter().enumerate() {
        let _ = writeln!(out, "  subgraph cluster_{index} {{\n    label=\"chain {}\";", index + 1);
        for id in &chain.nodes {
            let _ = writeln!(out, "    n{} [label={}];", id.0, quote(&label(plan.node(*id))));
        }
        out.push_str("  }\n");
    }
    for edge in &plan.edges {
        let style = if edge.chained { "" } else { ", style=dashed" };
        let _ = writeln!(out, "  n{} -> n{} [label=\"{}\"{style}];", edge.from.0, edge.to.0, word(edge.partitioning));
    }
    out.push_str("}\n");
    out
}

fn mermaid(plan: &Plan) -> String {
    // Mermaid reads labels as HTML.
    let quote = |s: &str| s.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('\n', "<br/>");
    let mut out = String::from("flowchart LR\n");
    for (index, chain) in plan.chains.iter().enumerate() {
        let _ = writeln!(out, "  subgraph c{index}[\"chain {}\"]", index + 1);
        for id in &chain.nodes {
            let _ = writeln!(out, "    n{}[\"{}\"]", id.0, quote(&label(plan.node(*id))));
        }
        out.push_str("  end\n");
    }
    for edge in &plan.edges {
        let arrow = if edge.chained { "-->".to_owned() } else { format!("-. {} .->", word(edge.partitioning)) };
        let _ = writeln!(out, "  n{} {arrow} n{}", edge.from.0, edge.to.0);
    }
    out
}

fn json(plan: &Plan) -> String {
    let nodes: Vec<_> = plan
        .nodes
        .iter()
        .enumerate()
        .map(|(id, n)| {
            let role = if n.is_source {
                "source"
            } else if n.is_sink {
                "sink"
            } else {
                "operator"
            };
            json!({"id": id, "role": role, "kind": n.kind, "name": n.name, "uid": n.uid, "detail": n.detail,
                   "parallelism": n.parallelism, "chain": n.chain + 1})
        })
        .collect();
    let edges: Vec<_> = plan
        .edges
        .iter()
        .map(|e| json!({"from": e.from.0, "to": e.to.0, "partitioning": word(e.partitioning), "chained": e.chained}))
        .collect();
    let plan = json!({"job": plan.job, "nodes": nodes, "edges": edges});
    format!("{plan:#}\n")
}
