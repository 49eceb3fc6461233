//! What does a step bring into a session from an earlier one? Rows of its own output, recorded in the session's start (contract 6).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::display::array_value_to_string;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::ArrowError;
use serde::{Deserialize, Serialize};

use crate::schema::StreamSchema;

/// Rows that a step gave in an earlier session, such as the calibration that passed. As texts, which keep every bit of a number
/// and are read by people in the recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The step's stream.
    pub stream: String,
    /// The session that gave them.
    pub session: String,
    /// A text for each value by its column; a null is absent.
    pub rows: Vec<BTreeMap<String, String>>,
}

impl Carried {
    /// The rows of a batch, of the columns that `schema` has.
    ///
    /// # Errors
    /// When a value has no text.
    pub fn of(stream: &str, session: &str, schema: &StreamSchema, batch: &RecordBatch) -> Result<Self, ArrowError> {
        let columns: Vec<(&str, &ArrayRef)> =
            schema.columns.fields().iter().filter_map(|field| Some((field.name().as_str(), batch.column_by_name(field.name())?))).collect();
        let row = |row: usize| {
            let known = columns.iter().filter(|(_, column)| !column.is_null(row));
            known.map(|(name, column)| Ok(((*name).to_owned(), array_value_to_string(column, row)?))).collect()
        };
        let rows = (0..batch.num_rows()).map(row).collect::<Result<_, ArrowError>>()?;
        Ok(Self { stream: stream.to_owned(), session: session.to_owned(), rows })
    }

    /// The rows in a step's schema; a column that they lack is null.
    ///
    /// # Errors
    /// When a text doesn't fit its column's type, or a column that is required is missing.
    pub fn batch(&self, schema: &StreamSchema) -> Result<RecordBatch, ArrowError> {
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let column = |field: &Arc<arrow_schema::Field>| {
            let texts = self.rows.iter().map(|row| row.get(field.name()).map(String::as_str));
            cast_with_options(&arrow_array::StringArray::from_iter(texts), field.data_type(), &strict)
        };
        let columns = schema.columns.fields().iter().map(column).collect::<Result<_, _>>()?;
        RecordBatch::try_new(schema.columns.clone(), columns)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{BooleanArray, Float64Array, Int64Array, StringArray};
    use arrow_schema::DataType;

    use super::*;
    use crate::schema::{FieldExt, column, float, text};

    #[test]
    fn rows_come_back_bit_for_bit() {
        let fields = vec![float("x", "1"), text("name"), column("flag", DataType::Boolean), column("count", DataType::Int64)];
        let schema = StreamSchema::new(fields, &[], None);
        let numbers = [0.1 + 0.2, -0.0, f64::MIN_POSITIVE, 1e300, 5e-324, 123_456_789.123_456_78];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(0..6)),
            Arc::new(Float64Array::from(numbers.to_vec())),
            Arc::new(StringArray::from(vec![Some("a, \"b\""), None, Some(""), Some("ü"), None, Some("null")])),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None, None, Some(true), None])),
            Arc::new(Int64Array::from(vec![Some(i64::MAX), None, Some(i64::MIN), Some(0), None, Some(-1)])),
        ];
        let batch = RecordBatch::try_new(schema.columns.clone(), columns).expect("they fit");
        let carried = Carried::of("alignment/pelvis", "s", &schema, &batch).expect("each has a text");
        let json = serde_json::to_string(&carried).expect("texts");
        let read: Carried = serde_json::from_str(&json).expect("it was just written");
        let back = read.batch(&schema).expect("they fit");
        assert_eq!(back, batch);
        let bits = |batch: &RecordBatch| crate::rows::floats(batch, 1).values().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&batch));
    }

    #[test]
    fn rows_that_do_not_fit_are_refused() {
        let carried = |value: &str| Carried {
            stream: "s".to_owned(),
            session: "t".to_owned(),
            rows: vec![[("time_ns", "1"), ("x", value)].map(|(name, value)| (name.to_owned(), value.to_owned())).into()],
        };
        let schema = |required: bool| {
            let other = float("y", "1");
            StreamSchema::new(vec![float("x", "1"), if required { other.required() } else { other }], &[], None)
        };
        assert!(carried("2.5").batch(&schema(false)).is_ok());
        assert!(carried("two").batch(&schema(false)).is_err());
        assert!(carried("2.5").batch(&schema(true)).is_err());
    }
}
