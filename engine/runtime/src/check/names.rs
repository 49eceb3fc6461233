//! What do a pipeline's steps call themselves and read, and in which order must they be planned?

use std::collections::BTreeMap;

use proprio_core::Kind;
use proprio_core::table::system;

use crate::diagnostic::{Report, Span};
use crate::tree::{Node, Value};

/// Tables that are the engine's own though they are not among [`system::tables`] yet.
const LATER_TABLES: [&str; 5] = ["clocks", "calibrations", "outcomes", "metrics", "audit"];

/// A step as written, as far as it can be read.
pub(super) struct StepNode<'t> {
    pub node: &'t Node,
    pub id: Option<(&'t str, Span)>,
    pub op: Option<(&'t str, Span)>,
    pub from: Vec<Entry<'t>>,
    /// Whether `from:` is one plain name: then the step is planned once and its stream has no key.
    pub is_plain: bool,
    pub with: Option<&'t Node>,
}

/// One entry of `from:`.
#[derive(Clone, Copy)]
pub(super) struct Entry<'t> {
    pub text: &'t str,
    pub span: Span,
}

impl<'t> Entry<'t> {
    /// The kind or step that the entry names, and the part after the slash.
    pub fn parts(&self) -> (&'t str, Option<&'t str>) {
        match self.text.split_once('/') {
            Some((head, tail)) => (head, Some(tail)),
            None => (self.text, None),
        }
    }

    /// Whether it may match several streams.
    pub fn is_pattern(&self) -> bool {
        self.text.contains('*')
    }
}

impl StepNode<'_> {
    /// Where a finding about the step as a whole is shown.
    pub fn span(&self) -> Span {
        self.id.map_or(self.node.span, |(_, span)| span)
    }
}

/// The steps of a pipeline's tree.
pub(super) fn steps(tree: &Node) -> Vec<StepNode<'_>> {
    tree.get("steps").into_iter().flat_map(Node::items).map(step).collect()
}

fn step(node: &Node) -> StepNode<'_> {
    fn text(node: &Node) -> Option<(&str, Span)> {
        Some((node.text()?, node.span))
    }
    fn entry(node: &Node) -> Option<Entry<'_>> {
        Some(Entry { text: node.text()?, span: node.span })
    }
    let from_node = node.get("from");
    let from: Vec<Entry<'_>> = match from_node.map(|from| &from.value) {
        Some(Value::List(items)) => items.iter().filter_map(entry).collect(),
        _ => from_node.and_then(entry).into_iter().collect(),
    };
    let is_plain = from_node.is_some_and(|from| from.text().is_some_and(|text| !text.contains('*')));
    let with = node.get("with").filter(|with| with.value != Value::Null);
    StepNode { node, id: node.get("id").and_then(text), op: node.get("op").and_then(text), from, is_plain, with }
}

/// Reports ids that repeat or are taken.
pub(super) fn check_ids(steps: &[StepNode<'_>], report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    for (id, span) in steps.iter().filter_map(|step| step.id) {
        if let Some(first) = seen.insert(id, span) {
            let first: Span = first;
            report.error("duplicate-name", span, format!("a step `{id}` stands in line {} already", first.line)).help("give it another id");
        } else if let Some(owner) = reserved(id) {
            report
                .error("reserved-name", span, format!("`{id}` is {owner}"))
                .help(format!("give the step another id, such as `{id}_step`"));
        }
    }
}

/// Who owns a table name that a step may not take.
fn reserved(id: &str) -> Option<String> {
    if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == id) {
        return Some(format!("the table of the sensors of kind `{kind}`"));
    }
    if LATER_TABLES.contains(&id) || system::tables().iter().any(|table| table.name == id) {
        return Some("a table of the engine".to_owned());
    }
    let suffix = ["_latest", "_all"].into_iter().find(|suffix| id.ends_with(suffix))?;
    Some(format!("a view of the engine: every table has one that ends in `{suffix}`"))
}

/// Step numbers in an order in which each comes after those it reads; steps on a loop, and after one, are left out and
/// each loop is reported once.
pub(super) fn order(steps: &[StepNode<'_>], report: &mut Report<'_>) -> Vec<usize> {
    let mut by_id = BTreeMap::new();
    for (index, step) in steps.iter().enumerate() {
        if let Some((id, _)) = step.id {
            by_id.entry(id).or_insert(index);
        }
    }
    let reads: Vec<Vec<usize>> =
        steps.iter().map(|step| step.from.iter().filter_map(|entry| by_id.get(entry.parts().0).copied()).collect()).collect();
    let mut done = vec![false; steps.len()];
    let mut order = Vec::with_capacity(steps.len());
    while let Some(next) = (0..steps.len()).find(|index| !done[*index] && reads[*index].iter().all(|read| done[*read])) {
        done[next] = true;
        order.push(next);
    }
    say_loops(steps, &reads, &done, report);
    order
}

/// Follows, from each step that is left, what it reads among the left ones, until a step comes again.
fn say_loops(steps: &[StepNode<'_>], reads: &[Vec<usize>], done: &[bool], report: &mut Report<'_>) {
    let mut walked = done.to_vec();
    for start in 0..steps.len() {
        let mut path = Vec::new();
        let mut at = start;
        while !walked[at] {
            walked[at] = true;
            path.push(at);
            let next = reads[at].iter().copied().find(|read| !done[*read]);
            at = next.expect("a step that is left reads one that is left");
        }
        let Some(begin) = path.iter().position(|step| *step == at) else { continue };
        // Streams flow against the direction of reading.
        let mut ring: Vec<usize> = path[begin..].iter().rev().copied().collect();
        let first = ring.iter().enumerate().min_by_key(|(_, step)| **step).map_or(0, |(place, _)| place);
        ring.rotate_left(first);
        let names: Vec<&str> = ring.iter().chain(&ring[..1]).filter_map(|step| Some(steps[*step].id?.0)).collect();
        let last = ring[ring.len() - 1];
        let reader = &steps[ring[0]];
        let last_id = steps[last].id.map(|(id, _)| id);
        let span = reader.from.iter().find(|entry| Some(entry.parts().0) == last_id).map_or_else(|| reader.span(), |entry| entry.span);
        let message = match names.as_slice() {
            [only, _] => format!("`{only}` reads itself"),
            _ => format!("these steps read each other in a loop: {}", names.join(" → ")),
        };
        report.error("cycle", span, message).help("a step reads streams of sensors and of steps that don't depend on it");
    }
}
