//! Short ways between Arrow batches and the slices that operators work on.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, Float64Array, Int64Array, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat as concat_arrays;

use crate::schema::StreamSchema;
use crate::time::TimeNs;

/// The event times of a batch: its first column.
///
/// # Panics
/// When the first column is not `Int64`: every planned stream's is.
pub fn times(batch: &RecordBatch) -> &[TimeNs] {
    batch.column(0).as_primitive::<Int64Type>().values()
}

/// A `Float64` column with nulls as they are.
///
/// # Panics
/// When the column has another type: planning resolves indices and checks types.
pub fn floats(batch: &RecordBatch, index: usize) -> &Float64Array {
    batch.column(index).as_primitive::<Float64Type>()
}

/// An `Int64` column.
///
/// # Panics
/// As [`floats`].
pub fn integers(batch: &RecordBatch, index: usize) -> &Int64Array {
    batch.column(index).as_primitive::<Int64Type>()
}

/// A `Utf8` column.
///
/// # Panics
/// As [`floats`].
pub fn strings(batch: &RecordBatch, index: usize) -> &StringArray {
    batch.column(index).as_string::<i32>()
}

/// The value at `row`, or NaN where it is null.
pub fn float_or_nan(column: &Float64Array, row: usize) -> f64 {
    if column.is_null(row) { f64::NAN } else { column.value(row) }
}

/// The value at `row`, where it isn't null.
pub fn integer_or_none(column: &Int64Array, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.value(row))
}

/// A `Float64` column from values in which NaN stands for null.
pub fn nan_as_null(values: Vec<f64>) -> ArrayRef {
    if values.iter().any(|value| value.is_nan()) {
        Arc::new(values.into_iter().map(|value| (!value.is_nan()).then_some(value)).collect::<Float64Array>())
    } else {
        Arc::new(Float64Array::from(values))
    }
}

/// A batch from a stream's schema and its columns, `time_ns` first.
///
/// # Panics
/// When the columns don't fit the schema, which is a bug in the operator that made them.
pub fn batch(schema: &StreamSchema, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(schema.columns.clone(), columns).expect("an operator's columns fit the schema it planned")
}

/// The rows of many small batches of one stream as one.
///
/// # Panics
/// When a batch has other columns than `schema`.
pub fn concat(schema: &SchemaRef, batches: &[RecordBatch]) -> RecordBatch {
    let column = |index: usize| {
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(index).as_ref()).collect();
        joined::<Float64Type>(&parts).or_else(|| joined::<Int64Type>(&parts)).unwrap_or_else(|| concat_arrays(&parts).expect("one type"))
    };
    let columns = (0..schema.fields().len()).map(column).collect();
    RecordBatch::try_new(schema.clone(), columns).expect("rows of one stream share its schema")
}

/// The values of arrays of one type without nulls, one after the other: a copy each, where arrow's own way costs a hundred times that.
fn joined<T: ArrowPrimitiveType>(parts: &[&dyn Array]) -> Option<ArrayRef> {
    parts.first()?.as_primitive_opt::<T>()?;
    let count = parts.iter().map(|part| part.len()).sum();
    let mut values = Vec::with_capacity(count);
    for part in parts {
        let part = part.as_primitive_opt::<T>().filter(|part| part.null_count() == 0)?;
        values.extend_from_slice(part.values());
    }
    Some(Arc::new(PrimitiveArray::<T>::new(values.into(), None)))
}

/// The rows of `batch` with time ≤ `watermark`, and those after it; both share memory with `batch`.
pub fn split_at_watermark(batch: &RecordBatch, watermark: TimeNs) -> (RecordBatch, RecordBatch) {
    let cut = times(batch).partition_point(|time| *time <= watermark);
    (batch.slice(0, cut), batch.slice(cut, batch.num_rows() - cut))
}
