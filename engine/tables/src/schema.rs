//! Which columns does a table have in SQL and on disk, and when do two tables of one name agree?

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array, temporal_conversions};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use proprio_core::TableSpec;
use proprio_core::schema::{FieldExt, TIME, column, meta, text};
use proprio_core::time::DAY_NS;

use crate::error::TablesError;

/// Event time in microseconds, UTC: the floor of `time_ns`.
pub(crate) const TIME_UTC: &str = "time";
/// Rig of a row.
pub(crate) const RIG: &str = "rig";
/// Session of a row.
pub(crate) const SESSION: &str = "session";
/// Run of a row.
pub(crate) const RUN: &str = "run_id";
/// Partition column of high-rate tables, `yyyy-mm`: on disk only.
pub(crate) const MONTH: &str = "month";
/// Metadata that marks a table's key column, so that a reader without the plan knows it.
const KEY: &str = "key";

/// The columns of a table in SQL: `time`, `time_ns`, key, measured, `rig`, `session`, `run_id`.
pub(crate) fn of_spec(spec: &TableSpec) -> Result<Schema, TablesError> {
    let name_is_fine = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !name_is_fine(&spec.name) {
        return Err(TablesError::TableName { name: spec.name.clone() });
    }
    let mut fields = vec![utc_field(), column(TIME, DataType::Int64).unit("ns").required()];
    fields.extend(spec.key.as_ref().map(|key| text(key).with(KEY, "true")));
    for field in spec.columns.fields().iter().filter(|field| field.name() != TIME) {
        let reserved = [TIME_UTC, RIG, SESSION, RUN, MONTH].contains(&field.name().as_str()) || spec.key.as_ref() == Some(field.name());
        if reserved {
            return Err(TablesError::ReservedColumn { table: spec.name.clone(), column: field.name().clone() });
        }
        if !is_storable(field.data_type()) {
            let data_type = field.data_type().clone();
            return Err(TablesError::UnsupportedType { table: spec.name.clone(), column: field.name().clone(), data_type });
        }
        // Nullable, whatever a stream promises: other streams of the table may lack the column.
        fields.push(field.as_ref().clone().with_nullable(true));
    }
    fields.extend([RIG, SESSION, RUN].map(|name| text(name).required()));
    Ok(Schema::new(fields))
}

/// The columns of `wanted` that `existing` lacks; a column that both have must agree in type and unit.
pub(crate) fn gained(table: &str, existing: &Schema, wanted: &Schema) -> Result<Vec<Field>, TablesError> {
    let mut gained = Vec::new();
    for field in wanted.fields() {
        match existing.field_with_name(field.name()) {
            Err(_) => gained.push(field.as_ref().clone()),
            Ok(held) if held.data_type() == field.data_type() && held.meta(meta::UNIT) == field.meta(meta::UNIT) => {}
            Ok(held) => {
                let (existing, wanted) = (describe(held), describe(field));
                return Err(TablesError::Conflict { table: table.to_owned(), column: field.name().clone(), existing, wanted });
            }
        }
    }
    Ok(gained)
}

/// A table's columns in SQL order, whatever order the columns were added in; without the partition column.
pub(crate) fn arranged(stored: &Schema) -> SchemaRef {
    let rank = |field: &Field| match field.name().as_str() {
        TIME_UTC => 0,
        TIME => 1,
        RIG => 4,
        SESSION => 5,
        RUN => 6,
        _ if field.meta(KEY).is_some() => 2,
        _ => 3,
    };
    let mut fields: Vec<Arc<Field>> = stored.fields().iter().filter(|field| field.name() != MONTH).cloned().collect();
    fields.sort_by_key(|field| rank(field));
    Arc::new(Schema::new(fields))
}

/// The key column of a table.
pub(crate) fn key(schema: &Schema) -> Option<&str> {
    schema.fields().iter().find(|field| field.meta(KEY).is_some()).map(|field| field.name().as_str())
}

/// The partition column.
pub(crate) fn month_field() -> Field {
    text(MONTH).required()
}

/// The columns on disk of a table that is partitioned by month.
pub(crate) fn with_month_field(columns: &Schema) -> SchemaRef {
    let month = Arc::new(month_field());
    Arc::new(Schema::new(columns.fields().iter().cloned().chain([month]).collect::<Vec<_>>()))
}

/// Rows with the columns of a table that has gained some since.
pub(crate) fn widened(rows: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
    let column = |field: &Arc<Field>| {
        let held = rows.column_by_name(field.name());
        held.cloned().unwrap_or_else(|| new_null_array(field.data_type(), rows.num_rows()))
    };
    let columns = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema.clone(), columns).expect("a table's columns keep their types and gain only nullable ones")
}

/// The `yyyy-mm` of each row.
pub(crate) fn months(times: &Int64Array) -> ArrayRef {
    let mut day = None;
    let mut month = String::new();
    let names = times.values().iter().map(|time| {
        let this = time.div_euclid(DAY_NS);
        if day != Some(this) {
            day = Some(this);
            let start = temporal_conversions::timestamp_s_to_datetime(this * 86_400);
            month = start.map_or_else(String::new, |start| start.format("%Y-%m").to_string());
        }
        month.clone()
    });
    Arc::new(StringArray::from_iter_values(names))
}

fn utc_field() -> Field {
    column(TIME_UTC, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))).required()
}

pub(crate) fn utc_times(times: &Int64Array) -> TimestampMicrosecondArray {
    let micros = times.values().iter().map(|time| time.div_euclid(1000));
    TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC")
}

fn is_storable(data_type: &DataType) -> bool {
    use DataType::{Binary, Boolean, Float32, Float64, Int8, Int16, Int32, Int64, Utf8};
    matches!(data_type, Boolean | Int8 | Int16 | Int32 | Int64 | Float32 | Float64 | Utf8 | Binary)
}

/// Type and unit, for errors.
fn describe(field: &Field) -> String {
    let unit = field.meta(meta::UNIT).map_or_else(String::new, |unit| format!(" in {unit}"));
    format!("{}{unit}", type_name(field.data_type()))
}

/// A type's name in SQL.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 => "tinyint".to_owned(),
        DataType::Int16 => "smallint".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Utf8 => "text".to_owned(),
        DataType::Binary => "binary".to_owned(),
        DataType::Timestamp(_, _) => "timestamp".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;

    use super::*;

    #[test]
    fn months_follow_the_calendar_on_both_sides_of_the_epoch() {
        let day = DAY_NS;
        let times = Int64Array::from(vec![0, -1, 31 * day - 1, 31 * day, 59 * day, i64::MAX, i64::MIN]);
        let names = months(&times);
        let names: Vec<_> = names.as_string::<i32>().iter().flatten().collect();
        assert_eq!(names, ["1970-01", "1969-12", "1970-01", "1970-02", "1970-03", "2262-04", "1677-09"]);
    }

    #[test]
    fn microseconds_are_floored_before_the_epoch_too() {
        let times = utc_times(&Int64Array::from(vec![1_999, 0, -1, -1_000, -1_001]));
        assert_eq!(times.values(), &[1, 0, -1, -1, -2]);
    }

    #[test]
    fn a_column_in_another_unit_or_type_is_a_conflict() {
        let existing = Schema::new(vec![proprio_core::schema::float("angle", "deg")]);
        let same = gained("t", &existing, &existing).expect("no conflict");
        assert!(same.is_empty());
        for (wanted, says) in [
            (proprio_core::schema::float("angle", "rad"), "column `angle` holds double in deg already, and can't take double in rad"),
            (column("angle", DataType::Int64), "holds double in deg already, and can't take bigint"),
        ] {
            let error = gained("t", &existing, &Schema::new(vec![wanted])).expect_err("a conflict").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
