//! What becomes of a sample: the checks that need nothing but the rows themselves.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, FieldRef};
use proprio_core::{StreamSchema, rows};

/// What becomes of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is a row of the stream.
    Accepted,
    /// It is at or behind the watermark.
    Late,
    /// Its sequence was seen before.
    Duplicate,
    /// A new sequence with the time and keys of another row.
    EqualTime,
    /// A value is missing or not finite.
    NotFinite,
    /// Its time is outside 1970 to 2100.
    BadTime,
}

impl Fate {
    /// The reason that `rejected` shows, and what it means.
    pub(super) fn reason(self) -> (&'static str, &'static str) {
        match self {
            Self::Accepted | Self::Late => ("", ""),
            Self::Duplicate => ("duplicate", "a sample with this sequence came before"),
            Self::EqualTime => ("equal_time", "another sample has the same time"),
            Self::NotFinite => ("not_finite", "a value is missing, NaN or infinite"),
            Self::BadTime => ("bad_time", "the time is outside the years 1970 to 2100"),
        }
    }
}

/// Per row, whether every required value is there and every value is finite; `None` when all are. `measured` are the columns after the
/// time, as the stream has them.
pub(super) fn finite_rows(samples: &RecordBatch, measured: &[FieldRef]) -> Option<Vec<bool>> {
    let mut fine: Option<Vec<bool>> = None;
    for (field, index) in measured.iter().zip(1..) {
        let column = samples.column(index);
        let must = !field.is_nullable();
        let numbers = (column.data_type() == &DataType::Float64).then(|| rows::floats(samples, index));
        let all_finite = numbers.is_none_or(|numbers| numbers.values().iter().all(|value| value.is_finite()));
        if all_finite && !(must && column.null_count() > 0) {
            continue;
        }
        let fine = fine.get_or_insert_with(|| vec![true; samples.num_rows()]);
        for (row, fine) in fine.iter_mut().enumerate() {
            let null = column.is_null(row);
            *fine &= if null { !must } else { numbers.is_none_or(|numbers| numbers.value(row).is_finite()) };
        }
    }
    fine.filter(|fine| fine.contains(&false))
}

/// Refuses accepted rows whose time and keys equal those of a waiting row or of an earlier one of the same message.
pub(super) fn refuse_equal_keys(samples: &RecordBatch, waiting: &[RecordBatch], schema: &StreamSchema, fates: &mut [Fate]) {
    for row in 0..samples.num_rows() {
        if fates[row] != Fate::Accepted {
            continue;
        }
        let among_waiting = waiting.iter().any(|batch| (0..batch.num_rows()).any(|other| same_key(samples, row, batch, other, schema)));
        let in_message = (0..row).any(|other| fates[other] == Fate::Accepted && same_key(samples, row, samples, other, schema));
        if among_waiting || in_message {
            fates[row] = Fate::EqualTime;
        }
    }
}

/// The rows of a stream in (time, keys) order.
pub(super) fn sort_rows(batch: &RecordBatch, keys: &[String]) -> RecordBatch {
    let times = rows::times(batch);
    let keys: Vec<usize> = keys.iter().filter_map(|key| batch.schema_ref().index_of(key).ok()).collect();
    let mut order: Vec<u32> = (0..batch.num_rows() as u32).collect();
    order.sort_by(|a, b| {
        let (a, b) = (*a as usize, *b as usize);
        let by_keys = || keys.iter().map(|key| compare_text(batch, *key, a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal);
        times[a].cmp(&times[b]).then_with(by_keys)
    });
    if order.is_sorted() {
        return batch.clone();
    }
    let order = UInt32Array::from(order);
    let columns = batch.columns().iter().map(|column| arrow_select::take::take(column, &order, None).expect("indices are of this batch"));
    RecordBatch::try_new(batch.schema(), columns.collect()).expect("a permutation keeps the schema")
}

/// One row as a JSON object, for the tables that keep what was not accepted.
pub(super) fn row_as_json(samples: &RecordBatch, row: usize) -> String {
    let mut object = serde_json::Map::new();
    for (field, column) in samples.schema_ref().fields().iter().zip(samples.columns()) {
        object.insert(field.name().clone(), value_as_json(column, row));
    }
    serde_json::Value::Object(object).to_string()
}

fn value_as_json(column: &Arc<dyn Array>, row: usize) -> serde_json::Value {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type};
    if column.is_null(row) {
        return serde_json::Value::Null;
    }
    match column.data_type() {
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Into::into)
        }
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        other => format!("{other}").into(),
    }
}

fn same_key(a: &RecordBatch, row_a: usize, b: &RecordBatch, row_b: usize, schema: &StreamSchema) -> bool {
    rows::times(a)[row_a] == rows::times(b)[row_b]
        && schema.keys.iter().all(|key| {
            let text = |batch: &RecordBatch, row: usize| batch.column_by_name(key).map(|column| value_as_json(column, row));
            text(a, row_a) == text(b, row_b)
        })
}

fn compare_text(batch: &RecordBatch, column: usize, a: usize, b: usize) -> Ordering {
    let texts = rows::strings(batch, column);
    texts.value(a).cmp(texts.value(b))
}
