//! What does a plan look like as text, and as JSON?

use std::fmt::Write as _;

use proprio_core::StreamSchema;
use proprio_core::kind::is_bookkeeping;
use proprio_core::schema::{FieldExt, meta};
use serde_json::{Value, json};

use crate::plan::{Plan, PlannedStep};

/// Columns that are written out; a wider stream says how many more there are.
const LISTED_COLUMNS: usize = 12;

/// The plan as text: sources, steps in the order they run, and tables.
pub fn graph(plan: &Plan) -> String {
    let sources = plan.rig.sensors.iter().zip(&plan.sources).map(|(sensor, schema)| {
        let title = format!("{}{}  key {}", sensor.stream(), rate(schema), sensor.key);
        (title, columns(schema))
    });
    let steps = plan.steps.iter().map(|step| {
        let schema = &step.planned.output;
        let table = match &step.table {
            Some(table) if *table != step.id => format!("  → table {table}"),
            Some(_) => String::new(),
            None => "  (no table)".to_owned(),
        };
        let title = format!("{} = {}({}){}{table}", step.stream, step.op, inputs(plan, step).join(", "), rate(schema));
        (title, columns(schema))
    });
    let tables = plan.tables.iter().map(|table| {
        let key = table.key.as_ref().map_or_else(String::new, |key| format!(" by {key}"));
        let layout = if table.high_rate { ", partitioned by month" } else { "" };
        (format!("{}{key}: {} columns{layout}", table.name, table.columns.fields().len()), Vec::new())
    });
    let mut text = format!("pipeline {} on rig {}\n", plan.pipeline, plan.rig.name);
    branch(&mut text, "sources", sources.collect(), false);
    branch(&mut text, "steps", steps.collect(), false);
    branch(&mut text, "tables", tables.collect(), true);
    text
}

/// The plan as JSON, for programs.
pub fn graph_json(plan: &Plan) -> Value {
    let fields = |schema: &arrow_schema::Schema| -> Value {
        let field = |field: &std::sync::Arc<arrow_schema::Field>| {
            json!({
                "name": field.name(), "type": field.data_type().to_string(), "nullable": field.is_nullable(),
                "unit": field.meta(meta::UNIT), "frame": field.meta(meta::FRAME),
            })
        };
        schema.fields().iter().map(field).collect()
    };
    let rate = |schema: &StreamSchema| schema.rate.map(|rate| rate.to_string());
    let source = |(sensor, schema): (&proprio_core::Sensor, &StreamSchema)| {
        json!({
            "stream": sensor.stream(), "kind": sensor.kind, "key": sensor.key, "rate": rate(schema),
            "keys": schema.keys, "columns": fields(&schema.columns),
        })
    };
    let step = |step: &PlannedStep| {
        let schema = &step.planned.output;
        json!({
            "stream": step.stream, "id": step.id, "op": step.op, "inputs": inputs(plan, step), "rate": rate(schema),
            "keys": schema.keys, "table": step.table, "alert": step.planned.is_alert, "columns": fields(&schema.columns),
        })
    };
    let table = |table: &proprio_core::TableSpec| json!({ "name": table.name, "key": table.key, "high_rate": table.high_rate, "columns": fields(&table.columns) });
    json!({
        "pipeline": plan.pipeline,
        "rig": plan.rig.name,
        "sources": plan.rig.sensors.iter().zip(&plan.sources).map(source).collect::<Vec<_>>(),
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "tables": plan.tables.iter().map(table).collect::<Vec<_>>(),
    })
}

/// One branch of the tree: its title, and per entry a line and the lines under it.
fn branch(text: &mut String, title: &str, entries: Vec<(String, Vec<String>)>, is_last: bool) {
    let (fork, trunk) = if is_last { ("└─", "  ") } else { ("├─", "│ ") };
    let _ = writeln!(text, "{fork} {title}");
    let count = entries.len();
    for (index, (line, below)) in entries.into_iter().enumerate() {
        let (fork, under) = if index + 1 == count { ("└─", "  ") } else { ("├─", "│ ") };
        let _ = writeln!(text, "{trunk} {fork} {line}");
        for line in below {
            let _ = writeln!(text, "{trunk} {under}    {line}");
        }
    }
}

fn inputs(plan: &Plan, step: &PlannedStep) -> Vec<String> {
    step.inputs.iter().map(|stream| plan.stream_name(*stream).to_owned()).collect()
}

fn rate(schema: &StreamSchema) -> String {
    schema.rate.map_or_else(String::new, |rate| format!("  {rate}"))
}

fn type_name(data_type: &arrow_schema::DataType) -> String {
    match data_type {
        arrow_schema::DataType::Utf8 => "text".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

/// The columns with their units, one a line, without those that every stream has.
fn columns(schema: &StreamSchema) -> Vec<String> {
    let fields: Vec<_> = schema.columns.fields().iter().filter(|field| !is_bookkeeping(field.name())).collect();
    let width = fields.iter().take(LISTED_COLUMNS).map(|field| field.name().chars().count()).max().unwrap_or(0);
    let line = |field: &&std::sync::Arc<arrow_schema::Field>| {
        let is_key = schema.keys.contains(field.name());
        let unit = field.meta(meta::UNIT).map_or_else(|| type_name(field.data_type()), str::to_owned);
        let frame = field.meta(meta::FRAME).map_or_else(String::new, |frame| format!(" in {frame}"));
        format!("{:width$}  {unit}{frame}{}", field.name(), if is_key { " (key)" } else { "" })
    };
    let mut lines: Vec<String> = fields.iter().take(LISTED_COLUMNS).map(line).collect();
    if fields.len() > LISTED_COLUMNS {
        lines.push(format!("… and {} more", fields.len() - LISTED_COLUMNS));
    }
    lines
}
