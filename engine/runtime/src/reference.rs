//! The operator's manual, made of its header and its `Config`'s doc comments.

use std::fmt::Write as _;

use proprio_core::quantity::check_format;
use proprio_core::{Inputs, Registration};
use serde_json::{Value, json};

use crate::check::FILE;
use crate::validate::{describe_types, summary};

/// One operator's manual as Markdown that reads well in a terminal: prose, configuration keys, example.
pub fn reference(operator: &Registration) -> String {
    let mut text = format!("# {} ({})\n\n{}\n", operator.name, operator.family, operator.manual());
    let reads = match operator.inputs {
        Inputs::One => "one stream; over a pattern or a list it is planned once for each",
        Inputs::Many => "all streams that `from:` names, together",
    };
    let _ = write!(text, "\nReads: {reads}.\n\n## with\n\n");
    let schema = (operator.schema)().to_value();
    let keys = keys(&schema, &schema);
    if keys.is_empty() {
        text.push_str("Nothing to configure.\n");
    }
    let width = keys.iter().map(|key| key.name.chars().count()).max().unwrap_or(0);
    for key in &keys {
        let due = if key.is_required { "due" } else { &key.default_text() };
        let _ = writeln!(text, "  {:width$}  {} ({due})", key.name, key.takes);
        for line in key.description.lines().filter(|line| !line.trim().is_empty()) {
            let _ = writeln!(text, "  {:width$}    {line}", "");
        }
        for (value, description) in &key.values {
            let _ = writeln!(text, "  {:width$}    `{value}`: {description}", "");
        }
    }
    let example = example(operator);
    if !example.is_empty() {
        let _ = write!(text, "\n## Example\n\n{example}\n");
    }
    text
}

/// The same for programs.
pub fn reference_json(operator: &Registration) -> Value {
    let inputs = match operator.inputs {
        Inputs::One => "one",
        Inputs::Many => "many",
    };
    json!({
        "name": operator.name, "family": operator.family, "inputs": inputs, "manual": operator.manual(),
        "example": example(operator), "schema": (operator.schema)().to_value(),
    })
}

/// One line for a list: the manual's first sentence.
pub fn headline(operator: &Registration) -> String {
    let manual = operator.manual();
    let paragraph = manual.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    match paragraph.find(". ") {
        Some(end) => paragraph[..=end].to_owned(),
        None => paragraph,
    }
}

/// The header's fenced blocks with what stands between them.
fn example(operator: &Registration) -> String {
    let header = operator.source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = header.map(|line| line.strip_prefix(' ').unwrap_or(line)).skip_while(|line| !line.starts_with("```"));
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// One configuration key.
struct ConfigKey {
    name: String,
    takes: String,
    is_required: bool,
    default: Option<Value>,
    description: String,
    values: Vec<(String, String)>,
}

impl ConfigKey {
    fn default_text(&self) -> String {
        match &self.default {
            None | Some(Value::Null) => "optional".to_owned(),
            Some(Value::String(text)) => format!("default `{text}`"),
            Some(value) => format!("default `{value}`"),
        }
    }
}

/// The keys of a mapping's schema, those of nested mappings with a dot, behind `*` for any name and `[]` for any item.
fn keys(schema: &Value, root: &Value) -> Vec<ConfigKey> {
    let mut all = Vec::new();
    collect(schema, root, "", 0, &mut all);
    all
}

fn collect(schema: &Value, root: &Value, prefix: &str, depth: usize, into: &mut Vec<ConfigKey>) {
    const DEEPEST: usize = 4;
    let schema = resolve(schema, root);
    let required: Vec<&str> = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let target = resolve(property, root);
        let describe = |schema: &Value| schema.get("description").and_then(Value::as_str).map(str::to_owned);
        into.push(ConfigKey {
            name: format!("{prefix}{name}"),
            takes: if property.get(FILE).is_some() {
                format!("a file's path, or {}", takes(property, root))
            } else {
                takes(property, root)
            },
            is_required: required.contains(&name.as_str()),
            default: property.get("default").cloned(),
            description: describe(property).or_else(|| describe(target)).unwrap_or_default(),
            values: values(target, root),
        });
        let inner = [("", Some(target)), (".*", target.get("additionalProperties")), ("[]", target.get("items"))];
        for (mark, inner) in inner.into_iter().filter_map(|(mark, inner)| Some((mark, resolve(inner?, root)))) {
            if depth < DEEPEST && inner.get("properties").is_some() {
                collect(inner, root, &format!("{prefix}{name}{mark}."), depth + 1, into);
            }
        }
    }
}

/// The schema behind references, and behind the one choice that isn't `null`.
fn resolve<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|path| root.pointer(path.strip_prefix('#')?)) {
        return resolve(target, root);
    }
    match real_branches(schema).as_slice() {
        [only] => resolve(only, root),
        _ => schema,
    }
}

/// The branches of `anyOf` and `oneOf`, `null` left out.
fn real_branches(schema: &Value) -> Vec<&Value> {
    let branches = ["anyOf", "oneOf"].into_iter().filter_map(|keyword| schema.get(keyword)?.as_array()).flatten();
    branches.filter(|branch| branch.get("type").and_then(Value::as_str) != Some("null")).collect()
}

/// What a value is, in words.
fn takes(schema: &Value, root: &Value) -> String {
    let schema = resolve(schema, root);
    if let Some(Err(error)) = schema.get("format").and_then(Value::as_str).and_then(|format| check_format(format, "")) {
        return format!("{}, such as `{}`", error.due, error.example);
    }
    let fixed = values(schema, root);
    if !fixed.is_empty() {
        return "one of the values below".to_owned();
    }
    let branches = real_branches(schema);
    if !branches.is_empty() {
        return branches.iter().map(|branch| takes(branch, root)).collect::<Vec<_>>().join(" or ");
    }
    let items = schema.get("items").filter(|items| items.is_object());
    let kind = match schema.get("type") {
        Some(Value::String(name)) => describe_types(&[name]),
        Some(Value::Array(names)) => describe_types(&names.iter().filter_map(Value::as_str).collect::<Vec<_>>()),
        _ => "anything".to_owned(),
    };
    match (items, schema.get("additionalProperties").filter(|other| other.is_object())) {
        (Some(items), _) => format!("{kind} of: {}", takes(items, root)),
        (None, Some(other)) => format!("{kind} of names to: {}", takes(other, root)),
        _ => kind,
    }
}

/// The fixed values that a schema allows, with what each means.
fn values(schema: &Value, root: &Value) -> Vec<(String, String)> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let mut all: Vec<_> = listed.map(|value| (plain(value), String::new())).collect();
    if let Some(value) = schema.get("const") {
        all.push((plain(value), summary(schema).unwrap_or_default().to_owned()));
    }
    let branches = real_branches(schema);
    let nested: Vec<Vec<_>> = branches.iter().map(|branch| values(resolve(branch, root), root)).collect();
    if nested.iter().all(|values| !values.is_empty()) {
        all.extend(nested.into_iter().flatten());
    }
    all
}
