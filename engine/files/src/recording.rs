//! What an opened file is: sensors with their rows, and the named values that stand beside them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use proprio_core::rig::{RigFile, SensorFile, Side};
use proprio_core::{Rate, Sensor, StreamSchema, TimeNs};

/// A file as a set of sensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Where it was read.
    pub path: PathBuf,
    /// The file's name without its extension.
    pub name: String,
    /// The sensors, in the order of their names.
    pub sensors: Vec<FileSensor>,
    /// Named values of the file worth printing beside, such as a C3D file's group ANALYSIS.
    pub parameters: Vec<Parameter>,
    /// What the file says of the subject's body, such as a C3D file's group PROCESSING: lengths in millimetres, angles in radians.
    pub subject: Vec<Parameter>,
    /// Joint angles that the lab's own software computed.
    pub angles: Vec<ComputedAngles>,
    /// Analog channels that no sensor sends, such as accelerometers without gyroscopes.
    pub analog: Vec<AnalogChannel>,
    /// How long it is, to the end of the last sample's period.
    pub duration_ns: i64,
    /// What was left out, repaired or assumed.
    pub warnings: Vec<String>,
}

/// One sensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSensor {
    /// Name in the rig.
    pub name: String,
    /// Its entry of a rig file.
    pub file: SensorFile,
    /// All rows, in the sensor's wire schema; `time_ns` counts from the recording's first frame or sample.
    pub rows: RecordBatch,
}

/// A named value of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// As the file has it: `Stride Time`.
    pub name: String,
    /// The value.
    pub value: f64,
    /// As the file has it; empty where it says none.
    pub unit: String,
    /// Side of the body that it belongs to.
    pub side: Option<Side>,
}

/// Three angles a frame that the lab's own software computed, in its own order and signs: no sensor sends them.
#[derive(Clone, Debug, PartialEq)]
pub struct ComputedAngles {
    /// As the file has it: `LKneeAngles`.
    pub label: String,
    /// Degrees, one row for each row of the markers; NaN where not known.
    pub degrees: Vec<[f64; 3]>,
}

/// A channel of a file that is no sensor's.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalogChannel {
    /// As the file has it: `Acc_1 :X`.
    pub label: String,
    /// As the file has it: `g`; empty where it says none.
    pub unit: String,
    /// Samples a second, from time zero on.
    pub rate: Rate,
    /// In the file's unit.
    pub values: Vec<f64>,
}

impl Recording {
    /// A recording of `sensors`, ordered by name.
    pub(crate) fn new(path: &std::path::Path, mut sensors: Vec<FileSensor>, parameters: Vec<Parameter>, warnings: Vec<String>) -> Self {
        sensors.sort_by(|a, b| a.name.cmp(&b.name));
        let duration_ns = sensors.iter().map(FileSensor::end_ns).max().unwrap_or(0);
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let (subject, angles, analog) = (Vec::new(), Vec::new(), Vec::new());
        Self { path: path.to_owned(), name, sensors, parameters, subject, angles, analog, duration_ns, warnings }
    }

    /// A value of [`Recording::subject`] by name.
    pub fn subject(&self, name: &str) -> Option<f64> {
        self.subject.iter().find(|parameter| parameter.name == name).map(|parameter| parameter.value)
    }

    /// Computed angles by label.
    pub fn angles(&self, label: &str) -> Option<&[[f64; 3]]> {
        self.angles.iter().find(|angles| angles.label == label).map(|angles| angles.degrees.as_slice())
    }

    /// A channel of [`Recording::analog`] by label.
    pub fn analog(&self, label: &str) -> Option<&AnalogChannel> {
        self.analog.iter().find(|channel| channel.label == label)
    }

    /// A sensor by name.
    pub fn sensor(&self, name: &str) -> Option<&FileSensor> {
        self.sensors.iter().find(|sensor| sensor.name == name)
    }

    /// The rig file that fits this recording.
    pub fn rig(&self, name: &str) -> RigFile {
        let sensors = self.sensors.iter().map(|sensor| (sensor.name.clone(), sensor.file.clone())).collect();
        RigFile { rig: name.to_owned(), sensors }
    }
}

impl FileSensor {
    /// A sampled sensor whose samples lie on the grid of its rate, from zero.
    pub(crate) fn on_grid(name: String, file: SensorFile, rate: Rate, samples: usize, columns: Vec<ArrayRef>) -> Result<Self, String> {
        let times: Vec<TimeNs> = (0..samples as i64).map(|k| rate.grid_time(k)).collect();
        Self::at_times(name, file, times, columns)
    }

    /// A sensor whose samples have times of their own.
    pub(crate) fn at_times(name: String, file: SensorFile, times: Vec<TimeNs>, columns: Vec<ArrayRef>) -> Result<Self, String> {
        let schema = wire_schema(&name, &file);
        let mut all: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(times))];
        all.extend(columns);
        let rows = RecordBatch::try_new(schema.columns, all).map_err(|error| format!("sensor `{name}`: {error}"))?;
        Ok(Self { name, file, rows })
    }

    fn end_ns(&self) -> i64 {
        let last = proprio_core::rows::times(&self.rows).last().copied();
        last.map_or(0, |time| time.saturating_add(self.file.rate.map_or(0, Rate::period_ns)))
    }
}

/// The wire schema of a sensor that is known by its rig entry alone.
pub(crate) fn wire_schema(name: &str, file: &SensorFile) -> StreamSchema {
    resolve(name, file).wire_schema()
}

fn resolve(name: &str, file: &SensorFile) -> Sensor {
    let rig = RigFile { rig: "file".to_owned(), sensors: BTreeMap::from([(name.to_owned(), file.clone())]) };
    rig.resolve().sensors.pop().expect("a rig of one sensor resolves to one sensor")
}

/// A rig entry of a kind, without anything optional.
pub(crate) fn entry(kind: proprio_core::Kind, rate: Option<Rate>) -> SensorFile {
    SensorFile { rate, ..SensorFile::new(kind) }
}

/// `text` with everything but letters, digits and single `_` replaced, so that it can stand in a column's name.
pub(crate) fn sanitise(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            name.push(character);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    name.truncate(name.trim_end_matches('_').len());
    name
}

/// Makes names differ: the second `RKNE` becomes `RKNE_2`. Returns those that changed.
pub(crate) fn make_unique(names: &mut [String]) -> Vec<String> {
    let mut taken = std::collections::BTreeSet::new();
    let mut changed = Vec::new();
    for name in names {
        if !taken.insert(name.clone()) {
            let mut count = 2;
            while !taken.insert(format!("{name}_{count}")) {
                count += 1;
            }
            *name = format!("{name}_{count}");
            changed.push(name.clone());
        }
    }
    changed
}
