//! Do hot and cold rows answer as one table, exactly once, whatever commits, fails, restarts, is adopted or forgotten?

mod adopted;
mod examples;
mod fire;
mod forget;
mod lab;
mod layout;
mod lineage;
mod live;
mod merge;
mod object_store;
mod questions;
mod rounds;
mod rows;
mod sessions;
mod streams;

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use proprio_core::schema::{FieldExt, column, float, meta};
use proprio_core::table::system;
use proprio_core::{StreamSchema, TableChunk, TableSpec};
use proprio_tables::{Format, Place, Reader, Store, TablesError, output};

pub(crate) const DAY_NS: i64 = 86_400_000_000_000;
/// 31 January 2026, 23:59:59.5, so that a second of rows spans two months.
pub(crate) const START_NS: i64 = 20_484 * DAY_NS + DAY_NS - 500_000_000;

pub(crate) fn imu_stream() -> StreamSchema {
    let gyro = float("gyro_x_rad_per_s", "rad/s").frame("sensor").with(meta::SEGMENT, "pelvis").with(meta::SIDE, "left");
    StreamSchema::new(vec![column("sequence", DataType::Int64).required(), gyro.required()], &[], None)
}

pub(crate) fn imu() -> TableSpec {
    TableSpec { name: "imu".to_owned(), key: Some("sensor".to_owned()), columns: imu_stream().columns, high_rate: true, operational: false }
}

/// `count` samples of a sensor from `first` on, 10 ms and 7 ns apart.
pub(crate) fn samples(sensor: &str, first: i64, count: i64, position: i64) -> TableChunk {
    samples_of(("s1", "run-a"), sensor, first, count, position)
}

/// The same of any session and run.
pub(crate) fn samples_of((session, run_id): (&str, &str), sensor: &str, first: i64, count: i64, position: i64) -> TableChunk {
    let sequence: Vec<i64> = (first..first + count).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(sequence.iter().map(|k| START_NS + k * 10_000_007).collect::<Int64Array>()),
        Arc::new(Int64Array::from(sequence.clone())),
        Arc::new(sequence.iter().map(|k| *k as f64 * 0.25).collect::<Float64Array>()),
    ];
    let rows = proprio_core::rows::batch(&imu_stream(), columns);
    TableChunk {
        table: "imu".to_owned(),
        key: Some(sensor.to_owned()),
        session: session.to_owned(),
        run_id: run_id.to_owned(),
        rows,
        position,
    }
}

/// The tables of a data directory.
pub(crate) fn place(data: &Path) -> Place {
    Place::of_data(data).expect("a path")
}

pub(crate) async fn open(dir: &Path) -> Store {
    Store::open(&crate::place(dir), "lab-1", &[imu()]).await.expect("the store opens")
}

pub(crate) fn append(store: &Store, chunk: &TableChunk) -> Result<usize, TablesError> {
    store.append(std::slice::from_ref(chunk), chunk.position)
}

pub(crate) async fn csv(store: &Store, sql: &str) -> String {
    let batches = store.query(sql).await.expect("an answer").collect().await.expect("rows");
    as_csv(&batches)
}

pub(crate) async fn read_csv(dir: &Path, sql: &str) -> String {
    let reader = Reader::open(&crate::place(dir)).await.expect("tables");
    as_csv(&reader.query(sql).await.expect("an answer").collect().await.expect("rows"))
}

pub(crate) fn as_csv(batches: &[RecordBatch]) -> String {
    let mut out = Vec::new();
    output::write(batches, Format::Csv, &mut out).expect("written");
    String::from_utf8(out).expect("text")
}

/// A row of a system table from its columns after `time_ns`.
pub(crate) fn row(
    table: &str,
    schema: &StreamSchema,
    time_ns: i64,
    texts: &[Option<&str>],
    (session, run_id): (&str, &str),
    position: i64,
) -> TableChunk {
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![time_ns]))];
    columns.extend(texts.iter().map(|text| Arc::new(StringArray::from(vec![*text])) as ArrayRef));
    let rows = proprio_core::rows::batch(schema, columns);
    TableChunk { table: table.to_owned(), key: None, session: session.to_owned(), run_id: run_id.to_owned(), rows, position }
}

/// That a run of a session began.
pub(crate) fn lineage(of: (&str, &str), origin: &str, position: i64) -> TableChunk {
    let texts = [origin, "lumbopelvic", "5d1c", "pipeline: lumbopelvic", "rig: lab-1", "[]", "0.1", "x86", "{}"].map(Some);
    row(system::LINEAGE, &system::lineage(), START_NS, &texts, of, position)
}

/// That a session shows some runs from now on.
pub(crate) fn adoption(session: &str, runs: &[&str], time_ns: i64, position: i64) -> TableChunk {
    let runs = system::runs_to_text(runs.iter().copied());
    row(system::ADOPTIONS, &system::adoptions(), time_ns, &[Some(&runs), None], (session, "run-a"), position)
}

/// That something was done.
pub(crate) fn audit(kind: &str, time_ns: i64) -> TableChunk {
    row(system::AUDIT, &system::audit(), time_ns, &[Some(kind), Some("someone"), None, None, None], ("s1", "run-a"), 0)
}
