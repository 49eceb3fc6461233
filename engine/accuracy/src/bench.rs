//! What does a suite measure with? The recordings, and steps that are planned and driven as the engine does.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow_array::{RecordBatch, RecordBatchReader as _};
use arrow_select::concat::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proprio_core::rows::times;
use proprio_core::{Output, Port, TimeNs};
use proprio_files::{FileSensor, OpenOptions, Recording};
use serde_json::Value;

use crate::error::AccuracyError;

/// How much event time one call gives a step: what a live rig's packets come to.
const ADVANCE_NS: TimeNs = 100_000_000;

/// A stream and all its rows.
pub type Stream = (Port, RecordBatch);

/// What an operator took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Rows of all its inputs.
    pub rows: u64,
    /// Time in its calls.
    pub took: Duration,
}

impl Cost {
    /// Nanoseconds a row.
    pub fn ns_a_row(self) -> u64 {
        self.took.as_nanos() as u64 / self.rows.max(1)
    }
}

/// Where the recordings lie, and what the operators took so far.
#[derive(Debug)]
pub struct Bench {
    recordings: PathBuf,
    costs: BTreeMap<String, Cost>,
}

impl Bench {
    /// A bench over a folder of recordings, laid out as the project's `shared/data`.
    pub fn new(recordings: PathBuf) -> Self {
        Self { recordings, costs: BTreeMap::new() }
    }

    /// A bench over the recordings of `PROPRIO_DATA`, or over those beside the repository.
    pub fn of_environment() -> Self {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
        Self::new(std::env::var_os("PROPRIO_DATA").unwrap_or_else(|| beside.into()).into())
    }

    /// What each operator took.
    pub fn costs(&self) -> &BTreeMap<String, Cost> {
        &self.costs
    }

    /// A file of the recordings.
    ///
    /// # Errors
    /// [`AccuracyError::Absent`].
    pub fn path(&self, file: &str) -> Result<PathBuf, AccuracyError> {
        let path = self.recordings.join(file);
        if path.exists() { Ok(path) } else { Err(AccuracyError::Absent { path }) }
    }

    /// A recording as the sensors that it holds.
    ///
    /// # Errors
    /// When it is absent or can't be read.
    pub fn open(&self, file: &str, options: &OpenOptions) -> Result<Recording, AccuracyError> {
        Ok(proprio_files::open(&self.path(file)?, options)?)
    }

    /// All rows of a Parquet file, with the columns that no sensor sends.
    ///
    /// # Errors
    /// When it is absent or can't be read.
    pub fn parquet(&self, file: &str) -> Result<RecordBatch, AccuracyError> {
        let path = self.path(file)?;
        read_parquet(&path).map_err(|error| AccuracyError::Malformed { path, what: error.to_string() })
    }

    /// Plans a step over whole streams and drives it in advances of a tenth of a second, then to the session's end.
    ///
    /// # Errors
    /// When the operator refuses.
    ///
    /// # Panics
    /// When there is no such operator.
    pub fn step(&mut self, stream: &str, op: &str, config: Value, inputs: &[Stream]) -> Result<Stream, AccuracyError> {
        let ports: Vec<Port> = inputs.iter().map(|(port, _)| port.clone()).collect();
        let registration = proprio_operators::operator(op).unwrap_or_else(|| panic!("there is no operator `{op}`"));
        let planned = (registration.plan)(config, &ports).map_err(|findings| AccuracyError::Plan { op: op.to_owned(), findings })?;
        let mut state = planned.step.start();
        let mut out = Output::default();
        let mut taken = vec![0; inputs.len()];
        let ends = |(_, rows): &Stream| Some((*times(rows).first()?, *times(rows).last()?));
        let (first, last) =
            inputs.iter().filter_map(ends).fold((TimeNs::MAX, TimeNs::MIN), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        let mut watermark = first;
        let begun = Instant::now();
        loop {
            watermark = if watermark >= last { TimeNs::MAX } else { watermark.saturating_add(ADVANCE_NS) };
            let due = inputs.iter().zip(&mut taken).map(|((_, rows), taken)| {
                let end = times(rows).partition_point(|time| *time <= watermark).max(*taken);
                let rows = rows.slice(*taken, end - *taken);
                *taken = end;
                rows
            });
            let due: Vec<RecordBatch> = due.collect();
            planned.step.process(&mut state, &due, watermark, &mut out);
            if watermark == TimeNs::MAX {
                break;
            }
        }
        planned.step.flush(&mut state, &mut out);
        let cost = self.costs.entry(op.to_owned()).or_default();
        cost.took += begun.elapsed();
        cost.rows += inputs.iter().map(|(_, rows)| rows.num_rows() as u64).sum::<u64>();
        let rows = concat_batches(&planned.output.columns, &out.take()).expect("a step's batches have its schema");
        Ok((Port { stream: stream.to_owned(), schema: planned.output }, rows))
    }
}

/// The stream of one of a recording's sensors.
pub fn stream(recording: &Recording, sensor: &FileSensor) -> Stream {
    let rig = recording.rig("lab").resolve();
    let known = &rig.sensors[rig.sensor(&sensor.name).expect("a file's sensor is in its rig")];
    (Port { stream: known.stream(), schema: known.wire_schema() }, sensor.rows.clone())
}

fn read_parquet(path: &Path) -> Result<RecordBatch, Box<dyn std::error::Error>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()?;
    let schema = reader.schema();
    Ok(concat_batches(&schema, &reader.collect::<Result<Vec<_>, _>>()?)?)
}
