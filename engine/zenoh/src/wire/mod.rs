//! What sensors send: four encodings, told apart by zenoh's `encoding`, decoded to one [`SourceMessage`].
//!
//! | encoding | what |
//! |---|---|
//! | [`ARROW`] | samples as one Arrow IPC stream, see [`arrow`] |
//! | [`PACKED`] | samples in a layout that plain C writes, see [`packed`] |
//! | [`JSON`] | samples for a first try, see [`json`] |
//! | [`SOURCE`] | `open`, `end` and `progress` of a publisher, see [`source`] |
//!
//! In all of them `boot` is a number that is new at each start of the publisher, `sequence` counts the sensor's samples
//! and is that of the first one in the message, and `time_ns` is in nanoseconds.
//!
//! **Invariant**: no bytes make decoding panic, and none make it allocate more than a few times their own length.

pub mod arrow;
pub mod json;
mod layout;
pub mod packed;
pub mod source;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field};
use proprio_core::schema::TIME;
use proprio_core::time::{Rate, TimeNs};
use proprio_core::{Rejection, Samples, Sensor, SourceMessage, rows};

pub(crate) use layout::Layout;

/// Samples as an Arrow IPC stream.
pub const ARROW: &str = "application/vnd.apache.arrow.stream";
/// Samples in the packed little-endian layout.
pub const PACKED: &str = "application/vnd.proprio.packed";
/// Samples as JSON.
pub const JSON: &str = "application/json";
/// A publisher's `open`, `end` and `progress`, as JSON.
pub const SOURCE: &str = "application/vnd.proprio.source+json";

/// The longest payload that is looked into.
pub const MAX_PAYLOAD_BYTES: usize = 4 << 20;
/// The longest payload that our own publishers send: longer ones are fragmented and dropped more easily.
pub const MESSAGE_BYTES: usize = 60 << 10;

/// Turns a sensor's payload into a message; pure, and of the type [`proprio_core::recorded::Decode`].
///
/// # Errors
/// `too_large` above [`MAX_PAYLOAD_BYTES`]; `encoding` for one that is not in the table above; `garbage` for bytes that
/// are not what the encoding says; `schema` for a missing, unknown or mistyped column or field; `unit` for a column in
/// another unit than the sensor's; `not_finite` for a sample without a time.
pub fn decode(sensor: &Sensor, encoding: &str, payload: &[u8]) -> Result<SourceMessage, Rejection> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(reject("too_large", format!("{} bytes; at most {MAX_PAYLOAD_BYTES} are taken", payload.len())));
    }
    // What follows a semicolon in a zenoh encoding is a comment to us.
    match encoding.split(';').next().unwrap_or_default().trim() {
        ARROW => arrow::decode(sensor, payload).map(SourceMessage::Samples),
        PACKED => packed::decode(sensor, payload).map(SourceMessage::Samples),
        JSON | "text/json" => json::decode(sensor, payload).map(SourceMessage::Samples),
        SOURCE => source::decode(payload),
        "" | "zenoh/bytes" => Err(reject("encoding", format!("the message names no encoding; expected one of {ARROW}, {PACKED}, {JSON}"))),
        other => Err(reject("encoding", format!("`{other}` is not one of {ARROW}, {PACKED}, {JSON}"))),
    }
}

/// The time of a payload's first sample where it can be told at a glance (the packed layout), for a recording's publish time.
pub fn peek_time_ns(encoding: &str, payload: &[u8]) -> Option<TimeNs> {
    (encoding == PACKED).then(|| packed::first_time_ns(payload)).flatten()
}

fn reject(reason: &'static str, detail: impl Into<String>) -> Rejection {
    Rejection { reason, detail: detail.into() }
}

/// Joins decoded columns, in the order of the sensor's wire schema, into samples, and checks what all encodings share.
fn samples(boot: i64, sequence: i64, layout: &Layout, columns: Vec<ArrayRef>) -> Result<Samples, Rejection> {
    let rows = columns.first().map_or(0, |times| times.len());
    if rows == 0 {
        return Err(reject("schema", "the message has no samples"));
    }
    if sequence < 0 || sequence.checked_add(rows as i64).is_none() {
        return Err(reject("schema", format!("sequence {sequence} is out of range")));
    }
    if columns[0].null_count() > 0 {
        return Err(reject("not_finite", format!("`{TIME}` is missing in {} of {rows} samples", columns[0].null_count())));
    }
    let rows = RecordBatch::try_new(layout.decoded.clone(), columns).map_err(|error| reject("schema", error.to_string()))?;
    Ok(Samples { boot, sequence, rows })
}

/// A `Float64` column as it enters a stream: where a value may be missing, NaN means that it is.
fn float_column(values: Vec<f64>, field: &Field) -> ArrayRef {
    if field.is_nullable() { rows::nan_as_null(values) } else { Arc::new(arrow_array::Float64Array::from(values)) }
}

/// The times of consecutive samples at the declared rate: `first` plus k/rate, rounded down.
///
/// # Errors
/// When the sensor has no rate, or the last time is beyond the end of time.
fn times_at_rate(first: TimeNs, rate: Option<Rate>, count: usize) -> Result<Vec<TimeNs>, Rejection> {
    if count <= 1 {
        return Ok(vec![first; count]);
    }
    let Some(rate) = rate else { return Err(reject("schema", "a sensor without a rate needs a time for each sample")) };
    let since = rate.grid_times(0).take(count);
    since
        .map(|since| first.checked_add(since))
        .collect::<Option<_>>()
        .ok_or_else(|| reject("schema", format!("`{TIME}` {first} is out of range")))
}

fn time_column(times: Vec<TimeNs>) -> ArrayRef {
    Arc::new(Int64Array::from(times))
}

/// The values of a column of samples to be sent: NaN where it is null.
///
/// Returns `None` for a column that is no `Float64`.
fn floats_with_nan(column: &ArrayRef) -> Option<Vec<f64>> {
    let floats = column.as_primitive_opt::<Float64Type>()?;
    Some((0..floats.len()).map(|row| rows::float_or_nan(floats, row)).collect())
}

fn is_text(field: &Field) -> bool {
    field.data_type() == &DataType::Utf8
}

#[cfg(test)]
mod tests;
