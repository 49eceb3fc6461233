//! Which tables does a plan write to, and with which columns?

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{Field, Schema};
use proprio_core::schema::{FieldExt, StreamSchema, meta};
use proprio_core::table::system;
use proprio_core::{Kind, Rig, TableSpec};

use crate::plan::PlannedStep;

/// Rows a second from which on a table is partitioned by month.
const HIGH_RATE_HZ: f64 = 10.0;

/// Two streams of one table with a column of the same name and another type or unit.
pub(super) struct Conflict {
    /// Id of the step whose streams disagree; none for sensors.
    pub step: Option<String>,
    pub message: String,
}

/// Every table of the rig's kinds, of the steps, and of the engine.
pub(super) fn tables(rig: &Rig, steps: &[PlannedStep]) -> (Vec<TableSpec>, Vec<Conflict>) {
    let mut conflicts = Vec::new();
    let mut tables: BTreeMap<String, TableSpec> = system::tables().into_iter().map(|table| (table.name.clone(), table)).collect();
    for kind in Kind::ALL {
        let schemas: Vec<_> = rig.sensors.iter().filter(|sensor| sensor.kind == kind).map(|sensor| sensor.stream_schema()).collect();
        if schemas.is_empty() {
            continue;
        }
        let name = kind.name().to_owned();
        let mut columns: Vec<Arc<Field>> = tables.get(&name).map(|table| table.columns.fields().to_vec()).unwrap_or_default();
        let of_engine = !columns.is_empty();
        for schema in &schemas {
            merge(&mut columns, schema, None, &name, &mut conflicts);
        }
        let columns = with_optional(columns, schemas.len() > 1 || of_engine, &schemas);
        let table = TableSpec { name: name.clone(), key: Some("sensor".to_owned()), columns, high_rate: !of_engine };
        tables.insert(name, table);
    }
    for group in steps.chunk_by(|a, b| a.id == b.id) {
        let Some(name) = group[0].table.clone().filter(|name| name != system::ALERTS) else { continue };
        let mut columns = Vec::new();
        for step in group {
            merge(&mut columns, &step.planned.output, Some(&step.id), &name, &mut conflicts);
        }
        let schemas: Vec<_> = group.iter().map(|step| step.planned.output.clone()).collect();
        let columns = with_optional(columns, schemas.len() > 1, &schemas);
        let key = group[0].key.is_some().then(|| "sensor".to_owned());
        let high_rate = schemas.iter().any(|schema| schema.rate.is_some_and(|rate| rate.hertz() >= HIGH_RATE_HZ));
        tables.insert(name.clone(), TableSpec { name, key, columns, high_rate });
    }
    (tables.into_values().collect(), conflicts)
}

/// Adds a stream's columns to a table's; what they don't agree on is a conflict, or, in a column's metadata, left out.
fn merge(columns: &mut Vec<Arc<Field>>, schema: &StreamSchema, step: Option<&str>, table: &str, conflicts: &mut Vec<Conflict>) {
    for field in schema.columns.fields() {
        let Some(known) = columns.iter_mut().find(|known| known.name() == field.name()) else {
            columns.push(field.clone());
            continue;
        };
        let unit = |field: &Field| field.meta(meta::UNIT).unwrap_or("none").to_owned();
        let difference = if known.data_type() != field.data_type() {
            format!("is once {} and once {}", known.data_type(), field.data_type())
        } else if unit(known) != unit(field) {
            format!("is once in {} and once in {}", unit(known), unit(field))
        } else {
            let common = known.metadata().iter().filter(|(key, value)| field.metadata().get(*key) == Some(value));
            let metadata = common.map(|(key, value)| (key.clone(), value.clone())).collect();
            let nullable = known.is_nullable() || field.is_nullable();
            *known = Arc::new(known.as_ref().clone().with_metadata(metadata).with_nullable(nullable));
            continue;
        };
        let message = format!("in the table `{table}` the column `{}` {difference}", field.name());
        conflicts.push(Conflict { step: step.map(str::to_owned), message });
    }
}

/// A table's schema: a column that one of its streams lacks may be null.
fn with_optional(columns: Vec<Arc<Field>>, is_shared: bool, schemas: &[StreamSchema]) -> Arc<Schema> {
    let everywhere = |name: &str| schemas.iter().all(|schema| schema.index(name).is_some());
    let fields = columns.into_iter().map(|field| {
        if is_shared && !everywhere(field.name()) { Arc::new(field.as_ref().clone().with_nullable(true)) } else { field }
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
