//! The plan as text for people, DOT and Mermaid for pictures, JSON for tools.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Plan, PlannedEdge, PlannedNode};
use crate::graph::{NodeId, Partitioning};

/// How to print a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExplainFormat {
    /// Indented text for a terminal: one block per chain, its operators from top to bottom.
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
        Partitioning::Key => "key",
        Partitioning::Broadcast => "broadcast",
        Partitioning::Global => "global",
        Partitioning::Custom => "custom",
    }
}

fn role(node: &PlannedNode) -> &'static str {
    match (node.is_source, node.is_sink) {
        (true, _) => "source",
        (_, true) => "sink",
        _ => "operator",
    }
}

/// What a node is, such as `source kafka` or `map`.
fn what(node: &PlannedNode) -> String {
    match role(node) {
        "operator" => node.kind.to_owned(),
        role => format!("{role} {}", node.kind),
    }
}

/// The name that was given, if it says more than the kind.
fn name(node: &PlannedNode) -> Option<&str> {
    (node.name != node.kind).then_some(&node.name)
}

fn text(plan: &Plan) -> String {
    let count = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let subtasks: usize = plan.chains.iter().map(|c| c.parallelism).sum();
    let (chains, subtasks) = (count(plan.chains.len(), "chain"), count(subtasks, "subtask"));
    let blocks: Vec<Vec<Row>> = plan
        .chains
        .iter()
        .map(|chain| {
            let mut rows = Vec::new();
            node_rows(plan, chain.head, "  ", "  ", &mut rows);
            rows
        })
        .collect();
    // Columns are as wide as the widest line that has something to the right of it, over all chains.
    let rows = || blocks.iter().flatten();
    let titles = rows().filter(|r| !(r.uid.is_empty() && r.detail.is_empty())).map(|r| r.title.chars().count()).max();
    let uids = rows().filter(|r| !r.detail.is_empty()).map(|r| r.uid.chars().count()).max();
    let (titles, uids) = (titles.unwrap_or(0), uids.unwrap_or(0));
    let mut out = format!("job `{}`: {chains}, {subtasks}\n", plan.job);
    for (index, (chain, rows)) in plan.chains.iter().zip(&blocks).enumerate() {
        let _ = writeln!(out, "\nchain {} ×{}", index + 1, chain.parallelism);
        for Row { title, uid, detail } in rows {
            let gap = if uids == 0 { "" } else { "  " };
            let line = format!("{title:<titles$}  {uid:<uids$}{gap}{detail}");
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
    out
}

/// One line of the text, in columns.
struct Row {
    title: String,
    uid: String,
    detail: String,
}

/// The node, then what it feeds: below it if that is one, as a tree if there are several.
fn node_rows(plan: &Plan, id: NodeId, first: &str, rest: &str, rows: &mut Vec<Row>) {
    let node = plan.node(id);
    let name = name(node).map(|name| format!(" `{name}`")).unwrap_or_default();
    // A uid that was made up says nothing.
    let given = node.uid != format!("{}-{}", node.kind, id.0 + 1);
    let uid = if given { format!("uid {}", node.uid) } else { String::new() };
    rows.push(Row { title: format!("{first}{}{name}", what(node)), uid, detail: node.detail.clone() });
    let edges: Vec<&PlannedEdge> = plan.edges_from(id).collect();
    for (index, edge) in edges.iter().enumerate() {
        let (branch, below) = match (edges.len(), index + 1 == edges.len()) {
            (1, _) => ("", ""),
            (_, false) => ("├ ", "│ "),
            (_, true) => ("└ ", "  "),
        };
        let (first, rest) = (format!("{rest}{branch}"), format!("{rest}{below}"));
        if edge.chained {
            node_rows(plan, edge.to, &first, &rest, rows);
        } else {
            let (how, chain) = (word(edge.partitioning), plan.node(edge.to).chain + 1);
            let title = format!("{first}⇢ {how} to chain {chain}");
            rows.push(Row { title, uid: String::new(), detail: String::new() });
        }
    }
}

/// The lines of a node in a picture.
fn label(node: &PlannedNode) -> String {
    let lines = [Some(&*what(node)), name(node), Some(&*node.detail).filter(|d| !d.is_empty())];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn dot(plan: &Plan) -> String {
    let quote = |s: &str| format!("\"{}\"", s.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    let mut out = format!("digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n", quote(&plan.job));
    for (index, chain) in plan.chains.iter().enumerate() {
        let _ =
            writeln!(out, "  subgraph cluster_{index} {{\n    label=\"chain {} ×{}\";", index + 1, chain.parallelism);
        for id in &chain.nodes {
            let _ = writeln!(out, "    n{} [label={}];", id.0, quote(&label(plan.node(*id))));
        }
        out.push_str("  }\n");
    }
    for edge in &plan.edges {
        let style = match edge.chained {
            true => String::new(),
            false => format!(" [label=\"{}\", style=dashed]", word(edge.partitioning)),
        };
        let _ = writeln!(out, "  n{} -> n{}{style};", edge.from.0, edge.to.0);
    }
    out.push_str("}\n");
    out
}

fn mermaid(plan: &Plan) -> String {
    // Mermaid reads labels as HTML, and `#…;` as a character's code.
    let escapes = [("&", "&amp;"), ("#", "#35;"), ("\"", "&quot;"), ("<", "&lt;"), ("\n", "<br/>")];
    let quote = |s: &str| escapes.iter().fold(s.to_owned(), |s, (from, to)| s.replace(from, to));
    let mut out = String::from("flowchart LR\n");
    for (index, chain) in plan.chains.iter().enumerate() {
        let _ = writeln!(out, "  subgraph c{index}[\"chain {} ×{}\"]", index + 1, chain.parallelism);
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

/// Valid JSON with one node or edge per line, so that a person can read it and a diff is short.
fn json(plan: &Plan) -> String {
    let nodes = plan.nodes.iter().enumerate().map(|(id, n)| {
        object(&[
            ("id", json!(id)),
            ("role", json!(role(n))),
            ("kind", json!(n.kind)),
            ("name", json!(n.name)),
            ("uid", json!(n.uid)),
            ("detail", json!(n.detail)),
            ("parallelism", json!(n.parallelism)),
            ("chain", json!(n.chain + 1)),
        ])
    });
    let edges = plan.edges.iter().map(|e| {
        object(&[
            ("from", json!(e.from.0)),
            ("to", json!(e.to.0)),
            ("partitioning", json!(word(e.partitioning))),
            ("chained", json!(e.chained)),
        ])
    });
    let (job, nodes, edges) = (json!(plan.job), array(nodes.collect()), array(edges.collect()));
    format!("{{\n  \"job\": {job},\n  \"nodes\": {nodes},\n  \"edges\": {edges}\n}}\n")
}

/// An object on one line, its fields in this order.
fn object(fields: &[(&str, Value)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
    format!("{{{}}}", fields.join(", "))
}

/// An array with one element per line.
fn array(lines: Vec<String>) -> String {
    if lines.is_empty() { "[]".to_owned() } else { format!("[\n    {}\n  ]", lines.join(",\n    ")) }
}
