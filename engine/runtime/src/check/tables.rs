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
        let mut schemas: Vec<_> = rig.sensors.iter().filter(|sensor| sensor.kind == kind).map(|sensor| sensor.stream_schema()).collect();
        if schemas.is_empty() {
            continue;
        }
        let name = kind.name().to_owned();
        // Marks share a table with the sensors of kind `events`, and people's words with those of kind `notes`.
        let of_engine = tables.get(&name).map(|table| table.columns.clone());
        let high_rate = of_engine.is_none();
        schemas.splice(0..0, of_engine.map(|columns| StreamSchema { columns, keys: Vec::new(), rate: None }));
        let columns = union(&schemas, None, &name, &mut conflicts);
        tables.insert(name.clone(), TableSpec { name, key: Some("sensor".to_owned()), columns, high_rate, operational: false });
    }
    for group in steps.chunk_by(|a, b| a.id == b.id) {
        let Some(name) = group[0].table.clone().filter(|name| name != system::ALERTS) else { continue };
        let schemas: Vec<_> = group.iter().map(|step| step.planned.output.clone()).collect();
        let columns = union(&schemas, Some(&group[0].id), &name, &mut conflicts);
        let key = group[0].key.is_some().then(|| "sensor".to_owned());
        let high_rate = schemas.iter().any(|schema| schema.rate.is_some_and(|rate| rate.hertz() >= HIGH_RATE_HZ));
        tables.insert(name.clone(), TableSpec { name, key, columns, high_rate, operational: false });
    }
    (tables.into_values().collect(), conflicts)
}

/// A table's schema: all columns of its streams; one that a stream lacks may be null.
fn union(schemas: &[StreamSchema], step: Option<&str>, table: &str, conflicts: &mut Vec<Conflict>) -> Arc<Schema> {
    let mut columns = Vec::new();
    for schema in schemas {
        merge(&mut columns, schema, step, table, conflicts);
    }
    let everywhere = |name: &str| schemas.iter().all(|schema| schema.index(name).is_some());
    let optional = |field: Arc<Field>| {
        if everywhere(field.name()) { field } else { Arc::new(field.as_ref().clone().with_nullable(true)) }
    };
    Arc::new(Schema::new(columns.into_iter().map(optional).collect::<Vec<_>>()))
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
