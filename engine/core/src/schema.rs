//! What a stream looks like: its columns with units and frames, its key columns and its rate.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::time::Rate;

/// The event-time column that every stream begins with: `i64`, nanoseconds, never null.
pub const TIME: &str = "time_ns";

/// Keys of the metadata that a column carries.
pub mod meta {
    /// Unit of the values, such as `deg`.
    pub const UNIT: &str = "unit";
    /// Frame the values are expressed in, such as `lab` or `sensor`.
    pub const FRAME: &str = "frame";
    /// Body segment, in lower snake case: `pelvis`, `thorax`, `thigh`, `shank`, `foot`.
    pub const SEGMENT: &str = "segment";
    /// `left` or `right`.
    pub const SIDE: &str = "side";
    /// Sensor that the column's values come from.
    pub const SENSOR: &str = "sensor";
}

/// The columns of a stream, which of them are keys, and its rate where it has one.
///
/// Within a stream (`time_ns`, key columns) is strictly increasing (contract 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSchema {
    /// Arrow schema; the first column is `time_ns`.
    pub columns: SchemaRef,
    /// Names of the columns that tell rows of one instant apart; empty for a plain time series.
    pub keys: Vec<String>,
    /// Rows a second, for streams on a grid or from a sampled sensor.
    pub rate: Option<Rate>,
}

impl StreamSchema {
    /// A stream of `time_ns` and `fields`.
    pub fn new(fields: Vec<Field>, keys: &[&str], rate: Option<Rate>) -> Self {
        let mut all = vec![column(TIME, DataType::Int64).unit("ns").required()];
        all.extend(fields);
        Self { columns: Arc::new(Schema::new(all)), keys: keys.iter().map(|key| (*key).to_owned()).collect(), rate }
    }

    /// A column's index by name.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.columns.index_of(name).ok()
    }

    /// The column names after `time_ns`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.fields().iter().skip(1).map(|field| field.name().as_str())
    }

    /// A batch without rows.
    pub fn empty(&self) -> RecordBatch {
        RecordBatch::new_empty(self.columns.clone())
    }
}

/// A nullable column of any type.
pub fn column(name: impl Into<String>, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// A nullable `Float64` column with its unit.
pub fn float(name: impl Into<String>, unit: &str) -> Field {
    column(name, DataType::Float64).unit(unit)
}

/// A nullable `Utf8` column.
pub fn text(name: impl Into<String>) -> Field {
    column(name, DataType::Utf8)
}

/// Metadata on a column, set one by one.
pub trait FieldExt: Sized {
    /// Sets one metadata entry.
    #[must_use]
    fn with(self, key: &str, value: &str) -> Self;

    /// The value of one metadata entry.
    fn meta(&self, key: &str) -> Option<&str>;

    /// The column never holds a null.
    #[must_use]
    fn required(self) -> Self;

    /// Sets the unit.
    #[must_use]
    fn unit(self, unit: &str) -> Self {
        self.with(meta::UNIT, unit)
    }

    /// Sets the frame.
    #[must_use]
    fn frame(self, frame: &str) -> Self {
        self.with(meta::FRAME, frame)
    }
}

impl FieldExt for Field {
    fn with(self, key: &str, value: &str) -> Self {
        let mut metadata: HashMap<String, String> = self.metadata().clone();
        metadata.insert(key.to_owned(), value.to_owned());
        self.with_metadata(metadata)
    }

    fn meta(&self, key: &str) -> Option<&str> {
        self.metadata().get(key).map(String::as_str)
    }

    fn required(self) -> Self {
        self.with_nullable(false)
    }
}
