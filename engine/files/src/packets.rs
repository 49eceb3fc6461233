//! In which messages a recording goes out: cut per sensor, merged in time order, under the size that a network carries whole.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, DataType};
use proprio_core::recorded::Packet;
use proprio_core::rows::times;
use proprio_core::{Kind, Rig, Sensor, TimeNs};

use crate::error::FileError;
use crate::recording::{FileSensor, Recording};

/// How much time a message of a sampled sensor spans, unless told otherwise.
pub const PACKET_NS: i64 = 10_000_000;

/// Bytes of values in one message: half of 64 KiB, so that names and framing fit beside.
const MAX_VALUES_BYTES: usize = 32 << 10;

/// The messages of a recording, in the order of their last sample's time; equal ones in the order of the rig's sensors.
#[derive(Debug)]
pub struct Packets {
    path: PathBuf,
    feeds: Vec<Feed>,
    start_ns: TimeNs,
    packet_ns: i64,
}

/// One sensor's rows and how far they are sent.
#[derive(Debug)]
struct Feed {
    sensor: usize,
    rows: RecordBatch,
    max_rows: usize,
    sent: usize,
    /// The message that comes next: its last sample's time and how many rows it has.
    next: Option<(TimeNs, usize)>,
}

impl Recording {
    /// The messages of the rig's sensors, event time = `start_ns` + sample time, sequences from 0, each spanning at most
    /// `packet_ns` and holding at most 32 KiB of values. Sensors of the file that the rig lacks are not sent. An EMG sensor's
    /// channels go by their number, so that the rig names the muscles; markers go by label, so that the rig may leave some
    /// out; a rig's IMU without magnetometer leaves that out.
    ///
    /// # Errors
    /// When the rig has a sensor, label or channel that the file lacks, another kind or rate, or rows too wide for a message.
    pub fn packets(&self, rig: &Rig, start_ns: TimeNs, packet_ns: i64) -> Result<Packets, FileError> {
        let packet_ns = packet_ns.max(1);
        let feed = |(index, sensor)| Ok(Feed::new(index, self.rows_for(rig, sensor)?, packet_ns));
        let feeds = rig.sensors.iter().enumerate().map(feed).collect::<Result<Vec<_>, FileError>>()?;
        for feed in &feeds {
            if row_bytes(&feed.rows) > MAX_VALUES_BYTES {
                let what = format!("one row of sensor `{}` has more than 32 KiB: leave labels out", rig.sensors[feed.sensor].name);
                return Err(FileError::format(&self.path, what));
            }
        }
        Ok(Packets { path: self.path.clone(), feeds, start_ns, packet_ns })
    }

    /// The rows of a rig's sensor, in the rig's columns.
    fn rows_for(&self, rig: &Rig, sensor: &Sensor) -> Result<RecordBatch, FileError> {
        let mismatch = |what: &str, in_rig: String, in_file: String| FileError::Mismatch {
            path: self.path.clone(),
            rig: rig.name.clone(),
            sensor: sensor.name.clone(),
            difference: format!("{what} is {in_rig} in the rig and {in_file} in the file"),
        };
        let Some(file) = self.sensor(&sensor.name) else {
            let names: Vec<String> = self.sensors.iter().map(|sensor| format!("`{}`", sensor.name)).collect();
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(FileError::NoSensor { path: self.path.clone(), rig: rig.name.clone(), sensor: sensor.name.clone(), found });
        };
        if sensor.kind != file.file.kind {
            return Err(mismatch("the kind", sensor.kind.to_string(), file.file.kind.to_string()));
        }
        if sensor.rate != file.file.rate {
            let rate = |rate: Option<proprio_core::Rate>| rate.map_or_else(|| "absent".to_owned(), |rate| rate.to_string());
            return Err(mismatch("the rate", rate(sensor.rate), rate(file.file.rate)));
        }
        let schema = sensor.wire_schema();
        let mut columns = vec![file.rows.column(0).clone()];
        for (theirs, ours) in file_columns(sensor, file).into_iter().zip(schema.names()) {
            let found = theirs.as_deref().and_then(|name| file.rows.column_by_name(name));
            let Some(column) = found else {
                let have: Vec<&str> = file.rows.schema_ref().fields().iter().skip(1).map(|field| field.name().as_str()).collect();
                return Err(mismatch("a column", format!("`{ours}`"), format!("none of {}", have.join(", "))));
            };
            columns.push(column.clone());
        }
        RecordBatch::try_new(schema.columns, columns)
            .map_err(|error| FileError::format(&self.path, format!("sensor `{}`: {error}", sensor.name)))
    }
}

/// For each measured column of the rig's sensor the file's column that it comes from.
fn file_columns(sensor: &Sensor, file: &FileSensor) -> Vec<Option<String>> {
    if sensor.kind == Kind::Emg {
        let theirs = |number: &u32| file.file.channels.get(number).map(|muscle| format!("{muscle}_v"));
        sensor.channels.keys().map(theirs).collect()
    } else {
        sensor.wire_schema().names().map(|name| Some(name.to_owned())).collect()
    }
}

/// The most that one row's values take.
fn row_bytes(rows: &RecordBatch) -> usize {
    let width = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8 => 4 + column.as_string::<i32>().iter().flatten().map(str::len).max().unwrap_or(0),
        _ => 8,
    };
    rows.columns().iter().map(width).sum()
}

impl Feed {
    fn new(sensor: usize, rows: RecordBatch, packet_ns: i64) -> Self {
        let max_rows = (MAX_VALUES_BYTES / row_bytes(&rows)).max(1);
        let mut feed = Self { sensor, rows, max_rows, sent: 0, next: None };
        feed.look_ahead(packet_ns);
        feed
    }

    /// Finds the rows after `sent` that lie in one span of `packet_ns`.
    fn look_ahead(&mut self, packet_ns: i64) {
        let rest = &times(&self.rows)[self.sent..];
        self.next = rest.first().map(|first| {
            let span = first.div_euclid(packet_ns);
            let count = rest.iter().take(self.max_rows).take_while(|time| time.div_euclid(packet_ns) == span).count();
            (rest[count - 1], count)
        });
    }
}

impl Iterator for Packets {
    type Item = Result<Packet, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let due = |feed: &&mut Feed| feed.next.is_some();
        let feed = self.feeds.iter_mut().filter(due).min_by_key(|feed| feed.next.map(|(time, _)| (time, feed.sensor)))?;
        let (_, count) = feed.next?;
        let rows = match shift(&feed.rows.slice(feed.sent, count), self.start_ns) {
            Ok(rows) => rows,
            Err(error) => return Some(Err(FileError::format(&self.path, error.to_string()))),
        };
        let packet = Packet { sensor: feed.sensor, sequence: feed.sent as i64, rows };
        feed.sent += count;
        feed.look_ahead(self.packet_ns);
        Some(Ok(packet))
    }
}

/// The rows with `start_ns` added to their times.
fn shift(rows: &RecordBatch, start_ns: TimeNs) -> Result<RecordBatch, ArrowError> {
    let moved: Int64Array = rows.column(0).as_primitive::<Int64Type>().unary(|time: i64| time.saturating_add(start_ns));
    let mut columns = rows.columns().to_vec();
    columns[0] = Arc::new(moved);
    RecordBatch::try_new(rows.schema(), columns)
}
