//! Does a tree fit a JSON Schema, and where not? Covers the part of JSON Schema that schemars writes.

use std::collections::BTreeMap;

use proprio_core::quantity::check_format;
use serde_json::Value as Json;

use crate::check::FILE;
use crate::diagnostic::{Diagnostic, Report, Span, nearest};
use crate::tree::{Key, Node, Value};

/// Reports everything in `node` that doesn't fit `schema`; `name` is the key that holds it, if any, and `owner` where a
/// missing key of `node` itself is shown.
pub fn validate(node: &Node, schema: &Json, name: Option<&str>, owner: Span, report: &mut Report<'_>) {
    let mut validator = Validator { root: schema, report };
    validator.check(node, schema, &Place { name, owner });
}

/// What a node is called, and where it is shown when something is missing in it.
struct Place<'n> {
    name: Option<&'n str>,
    owner: Span,
}

impl Place<'_> {
    /// `` `rate` ``, or `this`.
    fn called(&self) -> String {
        self.name.map_or_else(|| "this".to_owned(), |name| format!("`{name}`"))
    }
}

struct Validator<'v, 'r> {
    root: &'v Json,
    report: &'v mut Report<'r>,
}

impl<'v> Validator<'v, '_> {
    fn check(&mut self, node: &Node, schema: &'v Json, place: &Place<'_>) {
        if schema == &Json::Bool(false) {
            self.report.error("unknown-key", node.span, format!("{} has no place here", place.called()));
            return;
        }
        if schema.get(FILE).is_some() && node.text().is_some() {
            // A file's name; what the file holds is checked where it is read.
            return;
        }
        if let Some(target) = self.target(schema) {
            self.check(node, target, place);
        }
        for part in list(schema, "allOf") {
            self.check(node, part, place);
        }
        if !self.check_type(node, schema, place) {
            return;
        }
        self.check_choice(node, schema, place);
        match &node.value {
            Value::Text(text) => self.check_text(node, text, schema, place),
            Value::Number(number) => self.check_number(node, number, schema, place),
            Value::List(items) => self.check_list(node, items, schema, place),
            Value::Map(entries) => self.check_map(entries, schema, place),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// What a `$ref` points to.
    fn target(&self, schema: &'v Json) -> Option<&'v Json> {
        self.root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
    }

    /// `type`: whether the node is of it.
    fn check_type(&mut self, node: &Node, schema: &Json, place: &Place<'_>) -> bool {
        let types = types(schema);
        if types.is_empty() || types.iter().any(|name| is_of_type(node, name)) {
            return true;
        }
        let format = schema.get("format").and_then(Json::as_str);
        if let (Value::Number(number), Some(format)) = (&node.value, format)
            && let Some(Err(error)) = check_format(format, &number.to_string())
        {
            self.report.error("quantity", node.span, error.to_string()).help(units_help(&error.units));
            return false;
        }
        let due = format.and_then(|format| check_format(format, "")).and_then(Result::err);
        let due = due.map_or_else(|| describe_types(&types), |error| format!("{}, such as `{}`,", error.due, error.example));
        let message = format!("{} is {}; {due} is due here", place.called(), describe(node));
        let finding = self.report.error("wrong-type", node.span, message);
        help_type(finding, node, &types);
        false
    }

    /// `enum`, `const`, `oneOf` and `anyOf`.
    fn check_choice(&mut self, node: &Node, schema: &'v Json, place: &Place<'_>) {
        let fixed: Vec<&Json> = list(schema, "enum").iter().chain(schema.get("const")).collect();
        if !fixed.is_empty() {
            self.check_fixed(node, &fixed, place);
        }
        for keyword in ["oneOf", "anyOf"] {
            let branches = list(schema, keyword);
            if branches.is_empty() {
                continue;
            }
            let constants: Option<Vec<&Json>> = self.constants(branches);
            match constants {
                Some(constants) => self.check_fixed(node, &constants, place),
                None => self.check_branches(node, branches, place),
            }
        }
    }

    /// The values of branches that each hold fixed values only.
    fn constants(&self, branches: &'v [Json]) -> Option<Vec<&'v Json>> {
        let mut all = Vec::new();
        for branch in branches {
            let branch = self.target(branch).unwrap_or(branch);
            match (branch.get("const"), list(branch, "enum"), list(branch, "oneOf")) {
                (Some(value), ..) => all.push(value),
                (None, values, _) if !values.is_empty() => all.extend(values),
                (None, _, nested) if !nested.is_empty() => all.extend(self.constants(nested)?),
                _ => return None,
            }
        }
        Some(all)
    }

    fn check_fixed(&mut self, node: &Node, fixed: &[&Json], place: &Place<'_>) {
        let value = node.to_json();
        if fixed.contains(&&value) {
            return;
        }
        let names: Vec<String> = fixed.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        let message = match &node.value {
            Value::Text(text) => format!("`{text}` is no value of {}", place.called()),
            _ => format!("{} is {}; one of a few names is due here", place.called(), describe(node)),
        };
        self.report.error("unknown-value", node.span, message).help_names(node.text().unwrap_or(""), names.iter().map(String::as_str));
    }

    /// At least one branch must fit; when none does, the findings of the likeliest one are kept.
    fn check_branches(&mut self, node: &Node, branches: &'v [Json], place: &Place<'_>) {
        let tried: Vec<(bool, Vec<Diagnostic>)> = branches.iter().map(|branch| self.attempt(node, branch, place)).collect();
        if tried.iter().any(|(_, findings)| findings.is_empty()) {
            return;
        }
        let likely = tried.into_iter().filter(|(fits, _)| *fits).min_by_key(|(_, findings)| findings.len());
        if let Some((_, findings)) = likely {
            self.report.found.extend(findings);
            return;
        }
        let kinds: Vec<String> = branches.iter().flat_map(|branch| self.kinds(branch)).collect();
        let shapes: Vec<&str> = kinds.iter().map(String::as_str).filter(|kind| *kind != "nothing").collect();
        let message = format!("{} is {}; {} is due here", place.called(), describe(node), shapes.join(" or "));
        self.report.error("wrong-type", node.span, message);
    }

    /// Whether the branch is of the node's type and, where it is told apart by a tag, of its tag; and its findings.
    fn attempt(&mut self, node: &Node, branch: &'v Json, place: &Place<'_>) -> (bool, Vec<Diagnostic>) {
        let mut report = Report::new(self.report.source);
        Validator { root: self.root, report: &mut report }.check(node, branch, place);
        let shape = self.target(branch).unwrap_or(branch);
        let types = types(shape);
        let of_type = types.is_empty() || types.iter().any(|name| is_of_type(node, name));
        let quantity = matches!(node.value, Value::Number(_)) && shape.get("format").is_some();
        let of_value = shape.get("const").is_none_or(|value| node.to_json() == *value);
        let properties = shape.get("properties").and_then(Json::as_object);
        let of_tag = properties.is_none_or(|properties| {
            properties.iter().all(|(name, property)| match (property.get("const"), node.get(name)) {
                (Some(value), Some(written)) => written.to_json() == *value,
                _ => true,
            })
        });
        ((of_type || quantity) && of_tag && of_value, report.found)
    }

    /// What a branch takes, in words.
    fn kinds(&self, branch: &'v Json) -> Vec<String> {
        let shape = self.target(branch).unwrap_or(branch);
        if let Some(value) = shape.get("const") {
            return vec![format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned))];
        }
        let format = shape.get("format").and_then(Json::as_str);
        match format.and_then(|format| check_format(format, "")).and_then(Result::err) {
            Some(error) => vec![format!("{} such as `{}`", error.due, error.example)],
            None => types(shape).iter().map(|name| describe_types(&[*name])).collect(),
        }
    }

    fn check_text(&mut self, node: &Node, text: &str, schema: &Json, place: &Place<'_>) {
        if let Some(format) = schema.get("format").and_then(Json::as_str)
            && let Some(Err(error)) = check_format(format, text)
        {
            self.report.error("quantity", node.span, error.to_string()).help(units_help(&error.units));
        }
        if let Some(pattern) = schema.get("pattern").and_then(Json::as_str)
            && !matches_pattern(pattern, text)
        {
            let message = format!("`{text}` doesn't fit `{pattern}`, as {} must", place.called());
            let finding = self.report.error("pattern", node.span, message);
            finding.help = summary(schema).map(str::to_owned);
        }
        let length = text.chars().count() as u64;
        if schema.get("minLength").and_then(Json::as_u64).is_some_and(|least| length < least) {
            self.report.error("range", node.span, format!("{} is too short", place.called()));
        }
        if schema.get("maxLength").and_then(Json::as_u64).is_some_and(|most| length > most) {
            self.report.error("range", node.span, format!("{} is too long", place.called()));
        }
    }

    fn check_number(&mut self, node: &Node, number: &serde_json::Number, schema: &Json, place: &Place<'_>) {
        let value = number.as_f64().unwrap_or(f64::NAN);
        let implied = schema.get("format").and_then(Json::as_str).and_then(integer_range);
        let bound = |keyword: &str| schema.get(keyword).and_then(Json::as_f64);
        let least = bound("minimum").or(implied.map(|(least, _)| least));
        let most = bound("maximum").or(implied.map(|(_, most)| most));
        let broken = [
            (least.is_some_and(|bound| value < bound), "at least", least),
            (most.is_some_and(|bound| value > bound), "at most", most),
            (bound("exclusiveMinimum").is_some_and(|bound| value <= bound), "more than", bound("exclusiveMinimum")),
            (bound("exclusiveMaximum").is_some_and(|bound| value >= bound), "less than", bound("exclusiveMaximum")),
        ];
        for (_, words, limit) in broken.into_iter().filter(|(is_broken, ..)| *is_broken) {
            let limit = limit.unwrap_or_default();
            self.report.error("range", node.span, format!("{} is {number}; it must be {words} {limit}", place.called()));
        }
    }

    fn check_list(&mut self, node: &Node, items: &[Node], schema: &'v Json, place: &Place<'_>) {
        let positions = list(schema, "prefixItems");
        for (index, item) in items.iter().enumerate() {
            let name = place.name.map(|name| format!("{name}[{index}]"));
            let place = Place { name: name.as_deref(), owner: item.span };
            match positions.get(index).or_else(|| schema.get("items")) {
                Some(schema) => self.check(item, schema, &place),
                None => continue,
            }
        }
        let count = items.len() as u64;
        let least = schema.get("minItems").and_then(Json::as_u64);
        let most = schema.get("maxItems").and_then(Json::as_u64);
        let due = match (least, most) {
            (Some(least), Some(most)) if least == most && count != least => format!("{least}"),
            (Some(least), _) if count < least => format!("at least {least}"),
            (_, Some(most)) if count > most => format!("at most {most}"),
            _ => return,
        };
        self.report.error("range", node.span, format!("{} has {count} items; {due} are due", place.called()));
    }

    fn check_map(&mut self, entries: &[(Key, Node)], schema: &'v Json, place: &Place<'_>) {
        let Some(schema) = schema.as_object() else { return };
        let mut properties = BTreeMap::new();
        self.properties(schema, &mut properties);
        let patterns = schema.get("patternProperties").and_then(Json::as_object);
        let other = schema.get("additionalProperties").or_else(|| schema.get("unevaluatedProperties"));
        for (key, value) in entries {
            let place = Place { name: Some(&key.name), owner: key.span };
            let own = schema.get("properties").and_then(|own| own.get(&key.name));
            let pattern = patterns.and_then(|patterns| patterns.iter().find(|(pattern, _)| matches_pattern(pattern, &key.name)));
            match (own, pattern, other) {
                (Some(schema), ..) | (None, Some((_, schema)), _) => self.check(value, schema, &place),
                (None, None, Some(Json::Bool(false))) if !properties.contains_key(key.name.as_str()) => {
                    self.say_unknown_key(key, &properties, patterns.is_some());
                }
                (None, None, Some(schema)) if !properties.contains_key(key.name.as_str()) => self.check(value, schema, &place),
                _ => {}
            }
        }
        for name in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if !entries.iter().any(|(key, _)| key.name == name) {
                // A misspelt key is one mistake, not two.
                let unknown = entries.iter().map(|(key, _)| key.name.as_str()).filter(|key| !properties.contains_key(key));
                if unknown.into_iter().any(|key| nearest(key, properties.keys().copied()) == Some(name)) {
                    continue;
                }
                let message =
                    place.name.map_or_else(|| format!("the key `{name}` is missing"), |of| format!("`{of}` lacks the key `{name}`"));
                let finding = self.report.error("missing-key", place.owner, message);
                if let Some(description) = properties.get(name).and_then(|schema| summary(schema)) {
                    finding.help(format!("`{name}`: {description}"));
                }
            }
        }
    }

    /// Every key that a mapping may have, through references and parts.
    fn properties(&self, schema: &'v serde_json::Map<String, Json>, into: &mut BTreeMap<&'v str, &'v Json>) {
        if let Some(own) = schema.get("properties").and_then(Json::as_object) {
            into.extend(own.iter().map(|(name, schema)| (name.as_str(), schema)));
        }
        let target = schema.get("$ref").and_then(Json::as_str).and_then(|path| self.root.pointer(path.strip_prefix('#')?));
        let parts = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|keyword| schema.get(keyword)?.as_array()).flatten();
        for part in parts.chain(target).filter_map(Json::as_object) {
            self.properties(part, into);
        }
    }

    fn say_unknown_key(&mut self, key: &Key, properties: &BTreeMap<&str, &Json>, has_patterns: bool) {
        let finding = if has_patterns && properties.is_empty() {
            self.report.error("unknown-key", key.span, format!("the key `{}` is not a whole number, as keys are here", key.name))
        } else {
            self.report.error("unknown-key", key.span, format!("unknown key `{}`", key.name))
        };
        finding.help_names(&key.name, properties.keys().copied());
    }
}

/// The list under a keyword; empty when there is none.
fn list<'j>(schema: &'j Json, keyword: &str) -> &'j [Json] {
    schema.get(keyword).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name.as_str()],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_of_type(node: &Node, name: &str) -> bool {
    match (&node.value, name) {
        (Value::Null, "null") | (Value::Bool(_), "boolean") | (Value::Number(_), "number") | (Value::Text(_), "string") => true,
        (Value::Number(number), "integer") => number.is_i64() || number.is_u64(),
        (Value::List(_), "array") | (Value::Map(_), "object") => true,
        _ => false,
    }
}

/// What a node is, in words.
fn describe(node: &Node) -> String {
    match &node.value {
        Value::Null => "empty".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(value) => format!("the number {value}"),
        Value::Text(value) => format!("the text `{value}`"),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    }
}

/// JSON Schema types in words, `null` left out.
pub(crate) fn describe_types(types: &[&str]) -> String {
    let words = types.iter().filter(|name| types.len() == 1 || **name != "null").map(|name| match *name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "a mapping",
        _ => "nothing",
    });
    words.collect::<Vec<_>>().join(" or ")
}

fn help_type(finding: &mut Diagnostic, node: &Node, types: &[&str]) {
    match &node.value {
        Value::Text(text) if types.contains(&"boolean") => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" => finding.help("write `true`"),
            "no" | "off" | "n" => finding.help("write `false`"),
            _ => {}
        },
        Value::Text(text) if types.contains(&"array") => finding.help(format!("write `[{text}]`")),
        Value::Text(text) if types.iter().any(|name| matches!(*name, "number" | "integer")) => {
            let (number, unit) = proprio_core::quantity::split_number_and_unit(text);
            if !unit.is_empty() && number.parse::<f64>().is_ok() {
                finding.help(format!("write `{number}` without a unit"));
            }
        }
        Value::Bool(value) if types.contains(&"string") => finding.help(format!("write it in quotes: `\"{value}\"`")),
        Value::Number(value) if types.contains(&"string") => finding.help(format!("write it in quotes: `\"{value}\"`")),
        _ => {}
    }
}

fn units_help(units: &[&str]) -> String {
    format!("units that fit: {}", units.join(", "))
}

/// The range of an integer `format` such as `uint32`, which schemars leaves unsaid.
fn integer_range(format: &str) -> Option<(f64, f64)> {
    let (signed, bits) = match format.strip_prefix("uint") {
        Some(bits) => (false, bits),
        None => (true, format.strip_prefix("int")?),
    };
    let bits: i32 = if bits.is_empty() { 64 } else { bits.parse().ok()? };
    let power = |exponent: i32| (0..exponent).fold(1.0, |product: f64, _| product * 2.0);
    Some(if signed { (-power(bits - 1), power(bits - 1) - 1.0) } else { (0.0, power(bits) - 1.0) })
}

/// Whether a text fits a pattern; a pattern that can't be read fits everything.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    regex::Regex::new(pattern).map_or(true, |pattern| pattern.is_match(text))
}

/// The first sentence of a schema's description.
pub(crate) fn summary(schema: &Json) -> Option<&str> {
    let text = schema.get("description")?.as_str()?;
    let end = text.find("\n\n").or_else(|| text.find('\n')).unwrap_or(text.len());
    Some(text[..end].trim_end_matches('.'))
}
