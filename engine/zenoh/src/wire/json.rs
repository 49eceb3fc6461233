//! JSON, for a first try from a shell or a browser: one object, columns by name.
//!
//! ```json
//! {"boot": 1, "sequence": 0, "time_ns": 1700000000000000000, "event": "initial_contact", "side": "left", "label": null}
//! {"boot": 1, "sequence": 0, "time_ns": [0, 500000], "vastus_v": [1e-5, 2e-5], "units": {"vastus_v": "V"}}
//! ```
//!
//! A column is one value or an array with one per sample; `null`, or a missing name where the column may miss values, is
//! a missing value. With one `time_ns` and several samples the rest follow at the declared rate. `units` is optional.
//! A value may differ from its decimal text in the last bit; the other encodings are exact.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_schema::Field;
use proprio_core::schema::{FieldExt, TIME, meta};
use proprio_core::{Rejection, Samples, Sensor, rows};
use serde_json::{Map, Value};

use super::{Layout, float_column, floats_with_nan, is_text, reject, samples, time_column, times_at_rate};

const BOOT: &str = "boot";
const SEQUENCE: &str = "sequence";
const UNITS: &str = "units";

/// Samples as JSON. Non-finite values become `null`.
pub fn encode(boot: i64, sequence: i64, rows: &RecordBatch) -> Vec<u8> {
    let mut object = Map::from_iter([(BOOT.to_owned(), Value::from(boot)), (SEQUENCE.to_owned(), Value::from(sequence))]);
    object.insert(TIME.to_owned(), Value::from(rows::times(rows).to_vec()));
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()).skip(1) {
        object.insert(field.name().clone(), values(column));
    }
    Value::Object(object).to_string().into_bytes()
}

fn values(column: &ArrayRef) -> Value {
    match (floats_with_nan(column), column.as_string_opt::<i32>()) {
        (Some(floats), _) => Value::from(floats),
        (None, Some(texts)) => texts.iter().map(Value::from).collect(),
        (None, None) => Value::from(vec![Value::Null; column.len()]),
    }
}

pub(super) fn decode(sensor: &Sensor, payload: &[u8]) -> Result<Samples, Rejection> {
    let object: Map<String, Value> = serde_json::from_slice(payload).map_err(|error| reject("garbage", error.to_string()))?;
    let layout = Layout::of(sensor);
    let fields = layout.fields();
    check_names(&object, &layout)?;
    let integer = |name: &str| {
        let value = object.get(name).and_then(Value::as_i64);
        value.ok_or_else(|| reject("schema", format!("`{name}` must be an integer")))
    };
    let (boot, sequence) = (integer(BOOT)?, integer(SEQUENCE)?);
    let count = object.values().find_map(|value| value.as_array().map(Vec::len)).unwrap_or(1);

    let times = match object.get(TIME) {
        Some(Value::Array(times)) => {
            let whole = times.iter().map(Value::as_i64).collect::<Option<Vec<_>>>();
            whole.ok_or_else(|| reject("schema", format!("`{TIME}` must be integers, in nanoseconds")))?
        }
        _ => times_at_rate(integer(TIME)?, sensor.rate, count)?,
    };
    let mut columns = vec![time_column(times)];
    for field in &fields[1..] {
        columns.push(column(object.get(field.name()), field, count)?);
    }
    samples(boot, sequence, &layout, columns)
}

fn check_names(object: &Map<String, Value>, layout: &Layout) -> Result<(), Rejection> {
    let field = |name: &str| layout.fields().iter().find(|field| field.name() == name);
    for name in object.keys().filter(|name| ![BOOT, SEQUENCE, UNITS].contains(&name.as_str())) {
        if field(name).is_none() {
            return Err(reject("schema", format!("`{name}` is no column of the sensor; they are {}", layout.names())));
        }
    }
    for (name, unit) in object.get(UNITS).and_then(Value::as_object).into_iter().flatten() {
        let due = field(name).and_then(|field| field.meta(meta::UNIT));
        if due.is_none() || due != unit.as_str() {
            return Err(reject("unit", format!("`{name}` is in {unit}, but must be in `{}`", due.unwrap_or_default())));
        }
    }
    Ok(())
}

fn column(value: Option<&Value>, field: &Field, count: usize) -> Result<ArrayRef, Rejection> {
    let name = field.name();
    let cells = match value {
        None if !field.is_nullable() => return Err(reject("schema", format!("column `{name}` is missing"))),
        None => vec![&Value::Null; count],
        Some(Value::Array(cells)) => cells.iter().collect(),
        Some(one) => vec![one],
    };
    if cells.len() != count {
        return Err(reject("schema", format!("column `{name}` has {} values for {count} samples", cells.len())));
    }
    if is_text(field) {
        let text = |cell: &Value| match cell {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            other => Err(reject("schema", format!("column `{name}` takes text, not {other}"))),
        };
        let texts = cells.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        return Ok(Arc::new(StringArray::from(texts)));
    }
    let float = |cell: &Value| match cell {
        Value::Null => Ok(f64::NAN),
        other => other.as_f64().ok_or_else(|| reject("schema", format!("column `{name}` takes numbers, not {other}"))),
    };
    Ok(float_column(cells.into_iter().map(float).collect::<Result<_, _>>()?, field))
}
