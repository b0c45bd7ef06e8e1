//! YAML by its events: flat keys, the text of scalars as written, and where each stands.
//!
//! Events rather than serde, because serde would turn `007` into a number before anybody could
//! ask for its text. Anchors, aliases and `<<` work; what they expand to is limited, so that a
//! small file cannot become a large one. A document has one mapping at its top.

use std::collections::{BTreeMap, BTreeSet};

use serde_saphyr::granit_parser::{self as granit, Event, Parser, ScalarStyle};

use super::{Document, Fault, Item, RawScalar, RawValue, join};
use crate::source::Span;

/// Deepest nesting; deeper than any layout we know, shallow enough for the stack.
const DEPTH_MAX: usize = 64;

/// Most nodes a file may have once its aliases are expanded.
const NODES_MAX: usize = 100_000;

#[derive(Clone)]
enum Node {
    Scalar(Option<RawScalar>),
    List(Vec<Tree>),
    Mapping(Vec<(Tree, Tree)>),
}

#[derive(Clone)]
struct Tree {
    node: Node,
    span: Span,
    /// Nodes in this tree, itself included.
    size: usize,
}

pub(super) fn parse(text: &str) -> Result<Document, Fault> {
    let mut reader = Reader { events: Parser::new_from_str(text), anchors: BTreeMap::new(), nodes: 0 };
    let mut top = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::StreamStart | Event::DocumentEnd => {}
            Event::DocumentStart(..) if top.is_some() => {
                return Err(Fault::new(
                    "the file holds a second YAML document",
                    span,
                    "remove the `---` line; put the other document into a file of its own",
                ));
            }
            Event::DocumentStart(..) => {}
            other => top = Some(reader.tree(other, span, 0)?),
        }
    }
    let mut flat = Flat::default();
    match top {
        None => {}
        Some(Tree { node: Node::Scalar(None), .. }) => {}
        Some(Tree { node: Node::Mapping(pairs), .. }) => flat.mapping("", pairs, &BTreeSet::new()),
        Some(tree) => {
            let hint = "begin with a key, as in `kafka.source:`";
            return Err(Fault::new("the file does not hold a mapping of keys to values", tree.span, hint));
        }
    }
    Ok(flat.document)
}

struct Reader<'t> {
    events: Parser<'t, granit::StrInput<'t>>,
    anchors: BTreeMap<usize, Tree>,
    nodes: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.events.next() {
            Some(Ok((event, at))) => Ok((event, span(&at))),
            Some(Err(error)) => {
                let at = error.marker();
                let point = Span {
                    line: at.line().max(1),
                    column: at.col() + 1,
                    end_line: at.line().max(1),
                    end_column: at.col() + 2,
                };
                Err(Fault::new(format!("not valid YAML: {}", error.info()), point, syntax_hint(&error.info())))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn tree(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Tree, Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::new(format!("nested deeper than {DEPTH_MAX} levels"), span, "write dotted keys"));
        }
        let (node, anchor, span) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                check_tag(tag.as_deref(), span)?;
                let text_tag = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                (Node::Scalar(scalar(&text, style, text_tag)), anchor, span)
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), span)?;
                let (items, end) = self.children(depth)?;
                (Node::List(items), anchor, covering(span, end))
            }
            Event::MappingStart(_, anchor, tag) => {
                check_tag(tag.as_deref(), span)?;
                let (children, end) = self.children(depth)?;
                let mut pairs = Vec::with_capacity(children.len() / 2);
                let mut children = children.into_iter();
                while let (Some(key), Some(value)) = (children.next(), children.next()) {
                    pairs.push((key, value));
                }
                (Node::Mapping(pairs), anchor, covering(span, end))
            }
            Event::Alias(anchor) => {
                let Some(tree) = self.anchors.get(&anchor).cloned() else {
                    return Err(Fault::new("the alias stands inside its own anchor", span, "write the value out"));
                };
                self.count(tree.size, span)?;
                return Ok(tree);
            }
            _ => return Err(Fault::new("not valid YAML here", span, "")),
        };
        self.count(1, span)?;
        let size = 1 + match &node {
            Node::Scalar(_) => 0,
            Node::List(items) => items.iter().map(|item| item.size).sum(),
            Node::Mapping(pairs) => pairs.iter().map(|(key, value)| key.size + value.size).sum(),
        };
        let tree = Tree { node, span, size };
        if anchor != 0 {
            self.anchors.insert(anchor, tree.clone());
        }
        Ok(tree)
    }

    /// Nodes up to the end of the sequence or mapping that has just begun.
    fn children(&mut self, depth: usize) -> Result<(Vec<Tree>, Span), Fault> {
        let mut children = Vec::new();
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::SequenceEnd | Event::MappingEnd => return Ok((children, span)),
                Event::StreamEnd => return Err(Fault::new("the file ends too early", span, "")),
                other => children.push(self.tree(other, span, depth + 1)?),
            }
        }
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            let message = format!("the file has more than {NODES_MAX} values once its aliases are expanded");
            return Err(Fault::new(message, span, "write the values out"));
        }
        Ok(())
    }
}

fn span(at: &granit::Span) -> Span {
    Span {
        line: at.start.line().max(1),
        column: at.start.col() + 1,
        end_line: at.end.line().max(1),
        end_column: at.end.col() + 1,
    }
}

fn covering(start: Span, end: Span) -> Span {
    Span { end_line: end.end_line, end_column: end.end_column, ..start }
}

fn syntax_hint(info: &str) -> &'static str {
    if info.contains("mapping values are not allowed") {
        "put the value in quotes if it contains `: `, and check the indentation"
    } else if info.contains("duplicate") {
        "keep one of the two"
    } else if info.contains("tab") {
        "indent with blanks"
    } else {
        "check quotes and indentation at this place and just above"
    }
}

fn check_tag(tag: Option<&granit::Tag>, span: Span) -> Result<(), Fault> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() && tag.original() != "!" => {
            // What stands behind `!` is not shown: it may be a password that nobody quoted.
            let hint = "put a text that begins with `!` in quotes, or remove the tag";
            Err(Fault::new("a YAML tag has no meaning here", span, hint))
        }
        _ => Ok(()),
    }
}

/// The text of a scalar; `None` when YAML calls it null.
fn scalar(text: &str, style: ScalarStyle, text_tag: bool) -> Option<RawScalar> {
    let plain = style == ScalarStyle::Plain && !text_tag;
    if plain && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return None;
    }
    Some(RawScalar { text: text.to_owned(), plain })
}

#[derive(Default)]
struct Flat {
    document: Document,
}

impl Flat {
    fn fault(&mut self, fault: Fault) {
        self.document.faults.push(fault);
    }

    /// Adds the keys of a mapping; `shadowed` are names that an outer mapping has already given.
    fn mapping(&mut self, prefix: &str, pairs: Vec<(Tree, Tree)>, shadowed: &BTreeSet<String>) {
        let mut own = shadowed.clone();
        let mut merges = Vec::new();
        for (name, value) in pairs {
            let Some(text) = key_text(&name) else {
                let hint = "write the key as plain text";
                self.fault(Fault::new("the key is not a text", name.span, hint));
                continue;
            };
            if text.plain && text.text == "<<" {
                merges.push(value);
                continue;
            }
            if shadowed.contains(&text.text) {
                continue;
            }
            own.insert(text.text.clone());
            match join(prefix, &text.text, name.span) {
                Ok(key) => self.value(key, name.span, value),
                Err(fault) => self.fault(fault),
            }
        }
        for merge in merges {
            self.merge(prefix, merge, &mut own);
        }
    }

    /// `<<: *anchor` or `<<: [*one, *two]`: keys that are not given otherwise, the first wins.
    fn merge(&mut self, prefix: &str, merge: Tree, own: &mut BTreeSet<String>) {
        match merge.node {
            Node::Mapping(pairs) => {
                let names: Vec<String> =
                    pairs.iter().filter_map(|(key, _)| key_text(key)).map(|key| key.text).collect();
                self.mapping(prefix, pairs, own);
                own.extend(names);
            }
            Node::List(items) => items.into_iter().for_each(|item| self.merge(prefix, item, own)),
            Node::Scalar(_) => {
                let hint = "write `<<: *name` with the anchor of a mapping";
                self.fault(Fault::new("`<<` needs a mapping", merge.span, hint));
            }
        }
    }

    fn value(&mut self, key: String, key_span: Span, tree: Tree) {
        let span = tree.span;
        let value = match tree.node {
            Node::Mapping(pairs) => return self.mapping(&key, pairs, &BTreeSet::new()),
            Node::Scalar(None) => RawValue::Absent,
            Node::Scalar(Some(scalar)) => RawValue::Scalar(scalar),
            Node::List(items) => match list(&items) {
                Ok(items) => RawValue::List(items),
                Err(at) => {
                    let fault = Fault::new(
                        "a list of lists or sections has no meaning here",
                        at,
                        "write a list of plain values, or give each section a name of its own",
                    );
                    return self.fault(fault.with_key(&key));
                }
            },
        };
        self.document.items.push(Item { key, key_span, value, span });
    }
}

/// The scalars of a list without its nulls, or the place of something that is not a scalar.
fn list(items: &[Tree]) -> Result<Vec<RawScalar>, Span> {
    let mut scalars = Vec::with_capacity(items.len());
    for item in items {
        match &item.node {
            Node::Scalar(Some(scalar)) => scalars.push(scalar.clone()),
            Node::Scalar(None) => {}
            _ => return Err(item.span),
        }
    }
    Ok(scalars)
}

fn key_text(tree: &Tree) -> Option<RawScalar> {
    match &tree.node {
        Node::Scalar(Some(scalar)) => Some(scalar.clone()),
        _ => None,
    }
}
