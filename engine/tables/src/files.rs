//! Which Parquet files does a version of a table hold, and what does the log say of each before it is opened?

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, UInt64Array};
use arrow_cast::cast;
use arrow_schema::{DataType, Schema, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DataFusionError, Result, ScalarValue, Statistics};
use deltalake_core::DeltaTable;
use deltalake_core::kernel::{LogDataHandler, LogicalFileView};
use object_store::ObjectMeta;
use object_store::path::Path;
use proprio_core::schema::TIME;
use serde_json::Value;

use crate::schema::{self, MONTH, RIG, RUN, SESSION, TIME_UTC};

/// Other writers cut texts in statistics at 32 characters; bounds that are shorter are values of the column.
const WHOLE_TEXT: usize = 32;

/// The files of one version, in the log's order. As statistics it has one container per file.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) list: Vec<DataFile>,
    rows: UInt64Array,
    bounds: BTreeMap<String, Bounds>,
}

/// One Parquet file.
#[derive(Clone, Debug)]
pub(crate) struct DataFile {
    /// Within the table's folder, as the log names it.
    pub(crate) path: String,
    /// Where it lies in the object store.
    pub(crate) meta: ObjectMeta,
    /// The month that its rows lie in, where the table is partitioned.
    pub(crate) month: Option<String>,
}

/// The smallest and the largest value of a column in each file, and how many are null; null where the log says nothing.
#[derive(Debug)]
struct Bounds {
    least: ArrayRef,
    greatest: ArrayRef,
    nulls: UInt64Array,
}

/// How many values of each measured column are null in a file.
type NullCounts = BTreeMap<String, u64>;

/// Session and time of a row, in nanoseconds.
pub(crate) type Place<'a> = (&'a str, i64);

/// From which place in the order of rows to which a file reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span<'a> {
    pub(crate) first: Place<'a>,
    pub(crate) last: Place<'a>,
}

impl Files {
    /// Reads what the log holds in memory; opens nothing.
    pub(crate) fn of(table: &DeltaTable, schema: &SchemaRef) -> Result<Self> {
        let log = table.snapshot().map_err(external)?.log_data();
        let root = Path::from_url_path(table.table_url().path()).map_err(external)?;
        let mut list = Vec::with_capacity(log.num_files());
        let mut rows = Vec::with_capacity(log.num_files());
        let mut nulls = Vec::with_capacity(log.num_files());
        for view in log.iter() {
            if view.deletion_vector_descriptor().is_some() {
                return Err(DataFusionError::NotImplemented(
                    "another program deleted rows with deletion vectors: purge the table".to_owned(),
                ));
            }
            rows.push(view.num_records().map(|rows| rows as u64));
            nulls.push(null_counts(&view));
            list.push(DataFile::of(&view, &root)?);
        }
        let mut bounds = BTreeMap::new();
        for name in [Some(TIME), schema::key(schema), Some(RIG), Some(SESSION), Some(RUN)].into_iter().flatten() {
            if let Ok(field) = schema.field_with_name(name)
                && let Some(of) = Bounds::of(&log, name, field.data_type(), &nulls)
            {
                bounds.insert(name.to_owned(), of);
            }
        }
        // The log cuts texts of times at milliseconds; `time` is the floor of `time_ns`, and so are its bounds.
        if let Some(utc) = bounds.get(TIME).and_then(Bounds::in_microseconds) {
            bounds.insert(TIME_UTC.to_owned(), utc);
        }
        Ok(Self { list, rows: UInt64Array::from(rows), bounds })
    }

    /// Rows of a file, where the log says.
    pub(crate) fn rows(&self, file: usize) -> Option<u64> {
        self.rows.is_valid(file).then(|| self.rows.value(file))
    }

    /// The rig of all of a file's rows; `None` where there are several.
    pub(crate) fn rig(&self, file: usize) -> Option<&str> {
        let bounds = self.bounds.get(RIG)?;
        let [least, greatest] = [&bounds.least, &bounds.greatest].map(|of| of.as_string::<i32>());
        let is_one = least.is_valid(file) && greatest.is_valid(file) && least.value(file) == greatest.value(file);
        is_one.then(|| least.value(file))
    }

    /// The event times between which a file's rows lie, in nanoseconds.
    pub(crate) fn times(&self, file: usize) -> Option<(i64, i64)> {
        let bounds = self.bounds.get(TIME)?;
        let [least, greatest] = [&bounds.least, &bounds.greatest].map(|of| of.as_primitive::<Int64Type>());
        (least.is_valid(file) && greatest.is_valid(file)).then(|| (least.value(file), greatest.value(file)))
    }

    /// Bounds of a file's rows in the order (session, time).
    pub(crate) fn span(&self, file: usize) -> Option<Span<'_>> {
        let (first_ns, last_ns) = self.times(file)?;
        let sessions = self.bounds.get(SESSION)?;
        let [least, greatest] = [&sessions.least, &sessions.greatest].map(|of| of.as_string::<i32>());
        let is_known = least.is_valid(file) && greatest.is_valid(file);
        is_known.then(|| Span { first: (least.value(file), first_ns), last: (greatest.value(file), last_ns) })
    }

    /// What is known of a file's columns.
    pub(crate) fn statistics(&self, file: usize, columns: &Schema) -> Result<Statistics> {
        let mut statistics = Statistics::new_unknown(columns);
        if let Some(rows) = self.rows(file) {
            statistics.num_rows = Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX));
        }
        for (column, field) in statistics.column_statistics.iter_mut().zip(columns.fields()) {
            if let Some(bounds) = self.bounds.get(field.name()) {
                *column = bounds.at(file)?;
            }
        }
        Ok(statistics)
    }
}

impl DataFile {
    fn of(view: &LogicalFileView, root: &Path) -> Result<Self> {
        let within = view.object_store_path();
        let meta = ObjectMeta {
            location: root.parts().chain(within.parts()).collect(),
            size: view.size().cast_unsigned(),
            last_modified: view.modification_datetime().map_err(external)?,
            e_tag: None,
            version: None,
        };
        let month = view.partition_values_map().remove(MONTH).flatten();
        Ok(Self { path: view.path().into_owned(), meta, month })
    }
}

impl Bounds {
    fn of(log: &LogDataHandler<'_>, name: &str, data_type: &DataType, nulls: &[NullCounts]) -> Option<Self> {
        let column = Column::from_name(name);
        let nulls = nulls.iter().map(|file| file.get(name).copied()).collect();
        let typed = |values: ArrayRef| cast(&values, data_type).ok();
        Some(Self { least: typed(log.min_values(&column)?)?, greatest: typed(log.max_values(&column)?)?, nulls })
    }

    fn in_microseconds(&self) -> Option<Self> {
        let floor = |times: &ArrayRef| -> Option<ArrayRef> {
            let times = times.as_primitive_opt::<Int64Type>()?;
            Some(Arc::new(times.unary::<_, TimestampMicrosecondType>(|ns| ns.div_euclid(1000)).with_timezone("UTC")))
        };
        Some(Self { least: floor(&self.least)?, greatest: floor(&self.greatest)?, nulls: self.nulls.clone() })
    }

    fn at(&self, file: usize) -> Result<ColumnStatistics> {
        let bound = |of: &ArrayRef| -> Result<Precision<ScalarValue>> {
            let value = ScalarValue::try_from_array(of, file)?;
            Ok(match &value {
                value if value.is_null() => Precision::Absent,
                ScalarValue::Utf8(Some(text)) if text.chars().count() >= WHOLE_TEXT => Precision::Inexact(value),
                _ => Precision::Exact(value),
            })
        };
        let null_count = if self.nulls.is_valid(file) { Precision::Exact(self.nulls.value(file) as usize) } else { Precision::Absent };
        Ok(ColumnStatistics {
            null_count,
            min_value: bound(&self.least)?,
            max_value: bound(&self.greatest)?,
            ..ColumnStatistics::new_unknown()
        })
    }
}

impl PruningStatistics for Files {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds.get(&column.name).map(|bounds| bounds.least.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds.get(&column.name).map(|bounds| bounds.greatest.clone())
    }

    fn num_containers(&self) -> usize {
        self.list.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        Some(Arc::new(self.bounds.get(&column.name)?.nulls.clone()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.rows.clone()))
    }

    fn contained(&self, _: &Column, _: &std::collections::HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Read from each file's entry: the log's own array of them takes the type of its column, which no text has.
fn null_counts(view: &LogicalFileView) -> NullCounts {
    let stats: Option<Value> = view.stats().and_then(|stats| serde_json::from_str(&stats).ok());
    let counts = stats.as_ref().and_then(|stats| stats["nullCount"].as_object());
    counts.into_iter().flatten().filter_map(|(column, nulls)| Some((column.clone(), nulls.as_u64()?))).collect()
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
