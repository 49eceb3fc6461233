//! How the example in an operator's header becomes a planned step and its input.
//!
//! # Writing an example
//! After the prose, the `//!` header holds two fenced blocks. The first is the step as in a pipeline, without an id, and
//! `input:`, by stream. A stream says what it looks like by `sensor:` (as in a rig file) or `schema:`, and what it holds by
//! `rows:` or `generate:`.
//!
//! ```yaml
//! op: emg_envelope
//! from: emg/muscles              # or a list; `imu/*` takes every input that fits, by name
//! with: { lowpass: 6 Hz }
//! input:
//!   emg/muscles:
//!     sensor: { kind: emg, rate: 2000 Hz, channels: { 1: gluteus_medius_left } }
//!     generate:
//!       duration: 2 s
//!       start: 0 s                 # this and gaps may be left out
//!       gaps: [[0.5 s, 0.6 s]]     # rows that were lost; `sequence` counts on
//!       columns:                   # one that isn't named is 0, or null where it may be
//!         gluteus_medius_left_v:
//!           - { noise: { amplitude: 5e-6, seed: 1 } }
//!           - { burst: { from: 0.8 s, to: 1.4 s, amplitude: 2e-4, seed: 2 } }
//!   events:
//!     schema:
//!       keys: [event, side]
//!       columns:
//!         - { name: event, type: text, required: true }
//!         - { name: side, type: text, required: true }
//!     rows: |
//!       time_ms,event,side
//!       100,initial_contact,left
//! ```
//!
//! Column types are `float` (the default), `integer`, `text` and `boolean`; `unit frame segment side sensor` become the
//! column's metadata. Terms are in [`signal`](crate::signal). Rows begin with `time_ns`, `time_ms` or `time_s`; an empty
//! cell is null. The second block, `csv`, is written by `UPDATE_GOLDENS=1 cargo test -p proprio-operators`: put an empty
//! one there, and read what it then says before you commit it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field};
use proprio_core::kind::{DEVICE_TIME, SEQUENCE};
use proprio_core::quantity::Duration;
use proprio_core::rig::{RigFile, SensorFile};
use proprio_core::rows::nan_as_null;
use proprio_core::schema::{FieldExt, TIME, column, meta};
use proprio_core::{Planned, Port, Rate, Registration, StreamSchema, TimeNs};
use serde::Deserialize;
use serde_json::Value;

use crate::signal::{Term, value};

/// An operator's example, read.
pub struct Example {
    /// The operator.
    pub registration: &'static Registration,
    /// The `with:` block.
    pub config: Value,
    /// The streams it reads.
    pub ports: Vec<Port>,
    /// Their rows, one batch a port.
    pub inputs: Vec<RecordBatch>,
}

impl Example {
    /// Reads the header of one operator.
    ///
    /// # Panics
    /// When there is no example or it doesn't fit, saying which and why.
    pub fn of(registration: &'static Registration) -> Self {
        let name = registration.name;
        let text = registration.example("yaml").unwrap_or_else(|| panic!("{name}: the header has no ```yaml example"));
        let file: ExampleFile = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(file.op, name, "the example is of another operator");
        let streams = matching(file.from.list(), &file.input);
        assert!(!streams.is_empty(), "{name}: no input fits `from:`");
        let (ports, inputs) = streams
            .iter()
            .map(|stream| {
                let (schema, rows) = file.input[*stream].read(stream);
                (Port { stream: (*stream).to_owned(), schema }, rows)
            })
            .unzip();
        Self { registration, config: file.with.unwrap_or_else(|| Value::Object(serde_json::Map::new())), ports, inputs }
    }

    /// Plans the step.
    ///
    /// # Panics
    /// With the findings, where there are any.
    pub fn plan(&self) -> Planned {
        let planned = (self.registration.plan)(self.config.clone(), &self.ports);
        planned.unwrap_or_else(|findings| panic!("{}: the example doesn't plan: {findings:#?}", self.registration.name))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExampleFile {
    op: String,
    from: From,
    #[serde(default)]
    with: Option<Value>,
    input: BTreeMap<String, StreamFile>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum From {
    One(String),
    Many(Vec<String>),
}

impl From {
    fn list(&self) -> &[String] {
        match self {
            Self::One(stream) => std::slice::from_ref(stream),
            Self::Many(streams) => streams,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamFile {
    sensor: Option<SensorFile>,
    schema: Option<SchemaFile>,
    rows: Option<String>,
    generate: Option<Generate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaFile {
    rate: Option<Rate>,
    #[serde(default)]
    keys: Vec<String>,
    columns: Vec<ColumnFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnFile {
    name: String,
    #[serde(default)]
    r#type: Type,
    #[serde(default)]
    required: bool,
    unit: Option<String>,
    frame: Option<String>,
    segment: Option<String>,
    side: Option<String>,
    sensor: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    #[default]
    Float,
    Integer,
    Text,
    Boolean,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Generate {
    duration: Duration,
    #[serde(default)]
    start: Option<Duration>,
    #[serde(default)]
    gaps: Vec<(Duration, Duration)>,
    #[serde(default)]
    columns: BTreeMap<String, Vec<Term>>,
}

/// The inputs that `from:` names, in its order; a pattern's by name.
fn matching<'a>(from: &'a [String], input: &'a BTreeMap<String, StreamFile>) -> Vec<&'a str> {
    let fits = |stream: &'a String| -> Vec<&'a str> {
        match stream.strip_suffix('*') {
            Some(start) => input.keys().filter(|name| name.starts_with(start)).map(String::as_str).collect(),
            None => vec![stream.as_str()],
        }
    };
    from.iter().flat_map(fits).collect()
}

impl StreamFile {
    fn read(&self, stream: &str) -> (StreamSchema, RecordBatch) {
        let schema = match (&self.sensor, &self.schema) {
            (Some(sensor), None) => sensor_schema(stream, sensor.clone()),
            (None, Some(schema)) => schema.resolve(),
            _ => panic!("{stream}: one of `sensor` and `schema` is due"),
        };
        let columns = match (&self.rows, &self.generate) {
            (Some(rows), None) => parse_rows(stream, rows, &schema),
            (None, Some(generate)) => generate.columns(stream, &schema),
            _ => panic!("{stream}: one of `rows` and `generate` is due"),
        };
        let batch = RecordBatch::try_new(schema.columns.clone(), columns).unwrap_or_else(|error| panic!("{stream}: {error}"));
        (schema, batch)
    }
}

fn sensor_schema(stream: &str, sensor: SensorFile) -> StreamSchema {
    let name = stream.rsplit_once('/').map_or(stream, |(_, name)| name).to_owned();
    let rig = RigFile { rig: "example".to_owned(), sensors: BTreeMap::from([(name, sensor)]) }.resolve();
    assert_eq!(rig.sensors[0].stream(), stream, "a sensor's stream is named <kind>/<sensor>");
    rig.sensors[0].stream_schema()
}

impl SchemaFile {
    fn resolve(&self) -> StreamSchema {
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        StreamSchema::new(self.columns.iter().map(ColumnFile::resolve).collect(), &keys, self.rate)
    }
}

impl ColumnFile {
    fn resolve(&self) -> Field {
        let data_type = match self.r#type {
            Type::Float => DataType::Float64,
            Type::Integer => DataType::Int64,
            Type::Text => DataType::Utf8,
            Type::Boolean => DataType::Boolean,
        };
        let metadata = [
            (meta::UNIT, &self.unit),
            (meta::FRAME, &self.frame),
            (meta::SEGMENT, &self.segment),
            (meta::SIDE, &self.side),
            (meta::SENSOR, &self.sensor),
        ];
        let bare = column(&self.name, data_type).with_nullable(!self.required);
        metadata.into_iter().fold(bare, |field, (key, value)| match value {
            Some(value) => field.with(key, value),
            None => field,
        })
    }
}

impl Generate {
    fn columns(&self, stream: &str, schema: &StreamSchema) -> Vec<ArrayRef> {
        let rate = schema.rate.unwrap_or_else(|| panic!("{stream}: generated rows need a rate"));
        if let Some(unknown) = self.columns.keys().find(|name| schema.index(name).is_none()) {
            panic!("{stream}: there is no column `{unknown}`");
        }
        let start = self.start.map_or(0, Duration::nanoseconds);
        let first = rate.grid_index_at_or_after(start);
        let last = rate.grid_index_at_or_after(start + self.duration.nanoseconds());
        let lost = |time: TimeNs| self.gaps.iter().any(|(from, to)| (from.nanoseconds()..to.nanoseconds()).contains(&time));
        let rows: Vec<(i64, TimeNs)> = (first..last).map(|k| (k, rate.grid_time(k))).filter(|(_, time)| !lost(*time)).collect();
        let column = |field: &Arc<Field>| match (self.columns.get(field.name()), field.data_type()) {
            (None, _) => unnamed(field, &rows),
            (Some(terms), DataType::Float64) => nan_as_null(rows.iter().map(|(k, time)| value(terms, *k as u64, *time)).collect()),
            (Some(terms), DataType::Boolean) => {
                Arc::new(rows.iter().map(|(k, time)| Some(value(terms, *k as u64, *time) > 0.5)).collect::<BooleanArray>())
            }
            (Some(_), other) => panic!("{stream}: `{}` can't be generated, being {other}", field.name()),
        };
        schema.columns.fields().iter().map(column).collect()
    }
}

/// A column that the example doesn't give: the bookkeeping ones as a sensor would count them, others zero or null.
fn unnamed(field: &Field, rows: &[(i64, TimeNs)]) -> ArrayRef {
    match (field.name().as_str(), field.data_type()) {
        (TIME | DEVICE_TIME, _) => Arc::new(rows.iter().map(|(_, time)| *time).collect::<Int64Array>()),
        (SEQUENCE, _) => Arc::new(rows.iter().map(|(k, _)| *k).collect::<Int64Array>()),
        (_, data_type) if field.is_nullable() => arrow_array::new_null_array(data_type, rows.len()),
        (_, DataType::Float64) => nan_as_null(vec![0.0; rows.len()]),
        (_, DataType::Boolean) => Arc::new(BooleanArray::from(vec![false; rows.len()])),
        (name, other) => panic!("`{name}` is required, and {other} has no default"),
    }
}

fn parse_rows(stream: &str, text: &str, schema: &StreamSchema) -> Vec<ArrayRef> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<&str> =
        lines.next().unwrap_or_else(|| panic!("{stream}: `rows` begins with the names")).split(',').map(str::trim).collect();
    let cells: Vec<Vec<&str>> = lines.map(|line| line.split(',').map(str::trim).collect()).collect();
    if let Some(short) = cells.iter().find(|row| row.len() != names.len()) {
        panic!("{stream}: {} cells are due in {short:?}", names.len());
    }
    if let Some(unknown) = names[1..].iter().find(|name| schema.index(name).is_none()) {
        panic!("{stream}: there is no column `{unknown}`");
    }
    let scale = match names[0] {
        "time_ns" => 1.0,
        "time_ms" => 1e6,
        "time_s" => 1e9,
        other => panic!("{stream}: rows begin with time_ns, time_ms or time_s, not `{other}`"),
    };
    let time = |row: &Vec<&str>| (number(stream, row[0]).unwrap_or_else(|| panic!("{stream}: a row has no time")) * scale).round() as i64;
    let rows: Vec<(i64, TimeNs)> = cells.iter().enumerate().map(|(k, row)| (k as i64, time(row))).collect();
    let column = |field: &Arc<Field>| match names[1..].iter().position(|name| name == field.name()) {
        Some(index) => parse_column(stream, field, &cells.iter().map(|row| row[index + 1]).collect::<Vec<_>>()),
        None => unnamed(field, &rows),
    };
    schema.columns.fields().iter().map(column).collect()
}

fn parse_column(stream: &str, field: &Field, cells: &[&str]) -> ArrayRef {
    let text = || cells.iter().map(|cell| (!cell.is_empty()).then_some(*cell));
    match field.data_type() {
        DataType::Float64 => nan_as_null(cells.iter().map(|cell| number(stream, cell).unwrap_or(f64::NAN)).collect()),
        DataType::Int64 => Arc::new(text().map(|cell| cell.map(|cell| integer(stream, cell))).collect::<Int64Array>()),
        DataType::Boolean => Arc::new(text().map(|cell| cell.map(|cell| cell == "true")).collect::<BooleanArray>()),
        DataType::Utf8 => Arc::new(text().collect::<StringArray>()),
        other => panic!("{stream}: rows can't hold {other}"),
    }
}

fn number(stream: &str, cell: &str) -> Option<f64> {
    (!cell.is_empty()).then(|| cell.parse().unwrap_or_else(|_| panic!("{stream}: `{cell}` is no number")))
}

fn integer(stream: &str, cell: &str) -> i64 {
    cell.parse().unwrap_or_else(|_| panic!("{stream}: `{cell}` is no whole number"))
}
