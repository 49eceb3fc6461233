//! How a YAML text becomes a tree whose every key and value knows its line and column.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, MessageFormatter, NonFiniteFloatPolicy, Spanned, UserMessageFormatter};

use crate::diagnostic::{Report, Span};

/// The largest file that is read: a rig or a pipeline is a page or two.
pub const MAX_BYTES: usize = 4 << 20;
/// The deepest nesting that is read.
const MAX_DEPTH: usize = 32;
/// The most nodes that a file may have, aliases expanded.
const MAX_NODES: usize = 200_000;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands; of a mapping or a list, its first character.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order written; keys may repeat.
    Map(Vec<(Key, Node)>),
}

/// A mapping's key and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// Reads a text; what keeps it from being read, and keys that repeat, are added to the report.
pub fn parse(report: &mut Report<'_>) -> Option<Node> {
    let text = &report.source.text;
    if text.len() > MAX_BYTES {
        let megabytes = MAX_BYTES >> 20;
        report.error("too-large", Span::default(), format!("the file is larger than {megabytes} MiB"));
        return None;
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES, max_documents: 2 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_NODES },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(Spanned { value: Raw::Null, .. }) => {
            report.error("empty", Span::default(), "the file is empty");
            None
        }
        Ok(raw) => {
            let node = raw.into();
            find_duplicate_keys(&node, report);
            Some(node)
        }
        Err(error) => {
            say_unreadable(&error, report);
            None
        }
    }
}

impl Node {
    /// The value of a mapping's key; the last one where it repeats.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.entries().iter().rev().find(|(key, _)| key.name == name).map(|(_, value)| value)
    }

    /// A mapping's entries; none when it isn't one.
    pub fn entries(&self) -> &[(Key, Self)] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// A list's items; none when it isn't one.
    pub fn items(&self) -> &[Self] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// A text's content.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The node at a JSON pointer, or the deepest one on the way to it.
    pub fn at_pointer(&self, pointer: &str) -> &Self {
        let mut node = self;
        for part in pointer.split('/').skip(1) {
            let name = unescaped(part);
            let next = match &node.value {
                Value::Map(_) => node.get(&name),
                Value::List(items) => name.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// Where a JSON pointer points: the value, or the key where the value is a mapping or a list.
    pub fn span_at(&self, pointer: &str) -> Span {
        if let Some((parent, name)) = pointer.rsplit_once('/')
            && let Some((key, value)) = self.at_pointer(parent).entries().iter().rev().find(|(key, _)| key.name == unescaped(name))
        {
            let is_container = !value.entries().is_empty() || !value.items().is_empty();
            return if is_container { key.span } else { value.span };
        }
        self.at_pointer(pointer).span
    }

    /// The same without places; of a repeated key, the last value.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(value) => serde_json::Value::Number(value.clone()),
            Value::Text(value) => value.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries.iter().map(|(key, value)| (key.name.clone(), value.to_json())).collect(),
        }
    }
}

/// A part of a JSON pointer as the key that it means.
fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

fn find_duplicate_keys(node: &Node, report: &mut Report<'_>) {
    let mut seen = std::collections::BTreeMap::new();
    for (key, value) in node.entries() {
        if let Some(first) = seen.insert(key.name.as_str(), key.span) {
            let message = format!("the key `{}` stands here a second time", key.name);
            report.error("duplicate-key", key.span, message).help(format!("the first stands in line {}; remove one", first.line));
        }
        find_duplicate_keys(value, report);
    }
    node.items().iter().for_each(|item| find_duplicate_keys(item, report));
}

/// Turns the parser's error into a finding.
fn say_unreadable(error: &serde_saphyr::Error, report: &mut Report<'_>) {
    let span = error.location().map(Span::from).unwrap_or_default();
    let cause = innermost(error);
    if matches!(cause, serde_saphyr::Error::Eof { .. }) && report.source.text.lines().all(|line| line.trim().is_empty()) {
        report.error("empty", Span::default(), "the file is empty");
        return;
    }
    // The parser's words begin and end as its authors liked; ours are one sentence without a full stop.
    let words = UserMessageFormatter.format_message(cause).trim_end_matches('.').replace('\n', " ");
    if words.contains("tab")
        && let Some(tab) = indenting_tab(report, span.line)
    {
        report.error("syntax", tab, "a tab stands in the indentation").help("indent with spaces");
        return;
    }
    match cause {
        serde_saphyr::Error::MultipleDocuments { .. } => {
            report.error("syntax", span, "a second document begins here; a file holds one").help("remove the `---`, or split the file");
        }
        serde_saphyr::Error::Budget { .. } => say_too_much(span, report),
        serde_saphyr::Error::ExternalMessage { .. } if words.contains("recursion limit") => say_too_much(span, report),
        serde_saphyr::Error::AliasReplayLimitExceeded { .. } => {
            report.error("syntax", span, format!("the aliases of this file expand to more than {MAX_NODES} values"));
        }
        serde_saphyr::Error::MergeKeyNotAllowed { .. } => {
            report.error("syntax", span, "merge keys (`<<`) are not read here").help("write the keys out");
        }
        serde_saphyr::Error::UnknownAnchor { .. } => {
            let help = "a text that begins with `*` stands in quotes: `\"*\"`";
            report.error("syntax", span, "this alias refers to nothing").help(help);
        }
        _ => {
            report.error("syntax", span, words);
        }
    }
}

fn say_too_much(span: Span, report: &mut Report<'_>) {
    report.error("syntax", span, format!("the file is nested deeper than {MAX_DEPTH} levels, or has more than {MAX_NODES} values"));
}

/// The error within those that only say where it was met.
fn innermost(error: &serde_saphyr::Error) -> &serde_saphyr::Error {
    match error.without_snippet() {
        serde_saphyr::Error::AliasError { error, .. } => innermost(error),
        plain => plain,
    }
}

/// The first tab in the indentation of a line, or of the one after it, where the parser had come to.
fn indenting_tab(report: &Report<'_>, line: usize) -> Option<Span> {
    (line..=line + 1).find_map(|line| {
        let text = report.source.line(line);
        let indentation = &text[..text.len() - text.trim_start_matches([' ', '\t']).len()];
        let column = indentation.find('\t')? + 1;
        Some(Span { line, column, length: 1 })
    })
}

impl From<Location> for Span {
    fn from(location: Location) -> Self {
        let to_usize = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self { line: to_usize(location.line()), column: to_usize(location.column()), length: to_usize(location.span().len()) }
    }
}

impl From<Spanned<Raw>> for Node {
    fn from(raw: Spanned<Raw>) -> Self {
        let mut span = Span::from(raw.referenced);
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Number(value) => Value::Number(value),
            Raw::Text(value) => Value::Text(value),
            Raw::List(items) => Value::List(items.into_iter().map(Self::from).collect()),
            Raw::Map(entries) => {
                let key = |key: Spanned<String>| Key { span: key.referenced.into(), name: key.value };
                Value::Map(entries.into_iter().map(|(name, value)| (key(name), value.into())).collect())
            }
        };
        if matches!(value, Value::List(_) | Value::Map(_)) {
            span.length = 1;
        }
        Self { span, value }
    }
}

/// A node while it is read: what serde can tell, with the parser's places.
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Number::from_f64(value).map_or_else(|| Raw::Text(value.to_string()), Raw::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
