//! The JSON Schemas that editors complete and check with.

use proprio_core::Registration;
use proprio_core::protocol::Protocol;
use proprio_core::rig::RigFile;
use serde_json::{Map, Value, json};

use crate::check::{FILE, FileKind};
use crate::pipeline_file::PipelineFile;
use crate::reference::headline;

/// The JSON Schema of rig, pipeline or protocol files; a pipeline's knows every operator's `with:`.
pub fn schema(kind: FileKind, registry: &[Registration]) -> Value {
    match kind {
        FileKind::Rig => schemars::schema_for!(RigFile).to_value(),
        FileKind::Pipeline => pipeline_schema(registry),
        FileKind::Protocol => schemars::schema_for!(Protocol).to_value(),
    }
}

fn pipeline_schema(registry: &[Registration]) -> Value {
    let mut schema = schemars::schema_for!(PipelineFile).to_value();
    let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) else { return schema };
    for operator in registry {
        definitions.insert(operator.name.to_owned(), configuration(operator));
    }
    if let Some(step) = definitions.get_mut("StepFile").and_then(Value::as_object_mut) {
        say_operators(step, registry);
    }
    schema
}

/// An operator's configuration as a definition: its references are moved to where it stands.
fn configuration(operator: &Registration) -> Value {
    let mut schema = (operator.schema)().to_value();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
    properties.for_each(|(_, property)| allow_file(property));
    move_references(&mut schema, &format!("#/$defs/{}", operator.name));
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("$schema");
    }
    schema
}

/// Lets a file's name stand where a file's content may.
fn allow_file(property: &mut Value) {
    let Some(property) = property.as_object_mut() else { return };
    let Some(kind) = property.remove(FILE) else { return };
    let Some(content) = property.remove("$ref") else { return };
    let described = format!("Path of a {} file, from this file's folder.", kind.as_str().unwrap_or("YAML"));
    property.insert("anyOf".to_owned(), json!([{ "type": "string", "description": described }, { "$ref": content }]));
}

fn move_references(schema: &mut Value, to: &str) {
    match schema {
        Value::Object(entries) => {
            for (name, value) in entries {
                match value {
                    Value::String(path) if name == "$ref" => *path = path.replacen('#', to, 1),
                    _ => move_references(value, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_references(item, to)),
        _ => {}
    }
}

/// Names the operators under `op`, and ties `with` to the one that is named.
fn say_operators(step: &mut Map<String, Value>, registry: &[Registration]) {
    let name = |operator: &Registration| json!({ "const": operator.name, "description": headline(operator) });
    let names: Vec<Value> = registry.iter().map(name).collect();
    if let Some(op) = step.get_mut("properties").and_then(|properties| properties.get_mut("op")).and_then(Value::as_object_mut)
        && !names.is_empty()
    {
        op.insert("oneOf".to_owned(), names.into());
    }
    let cases = registry.iter().map(|operator| {
        let mut then = json!({ "properties": { "with": { "$ref": format!("#/$defs/{}", operator.name) } } });
        let has_due_keys = (operator.schema)().get("required").and_then(Value::as_array).is_some_and(|due| !due.is_empty());
        if has_due_keys {
            then["required"] = json!(["with"]);
        }
        json!({ "if": { "properties": { "op": { "const": operator.name } }, "required": ["op"] }, "then": then })
    });
    step.insert("allOf".to_owned(), cases.collect::<Vec<_>>().into());
}
