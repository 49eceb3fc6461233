//! Which kinds of sensor there are, and the columns that each one's stream has.

use std::fmt;

use arrow_schema::{DataType, Field};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rig::{Clock, Sensor};
use crate::schema::{FieldExt, StreamSchema, TIME, column, float, meta, text};

/// What a sensor measures; also the name of the table that its rows land in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Gyroscope, accelerometer and, unless declared absent, magnetometer, in the sensor's frame.
    Imu,
    /// Electromyogram: one column a channel, in volts.
    Emg,
    /// Force plate: ground reaction force on the subject, free moment and centre of pressure, in the lab frame, Z up.
    Force,
    /// Optical markers: three columns a label, in metres, in the lab frame, Z up; null where a marker is not seen.
    Markers,
    /// Events with a name and a side, such as a file's gait events.
    Events,
    /// Free text from a person.
    Notes,
    /// A simulator's truth: one named value a row.
    Truth,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [Self::Imu, Self::Emg, Self::Force, Self::Markers, Self::Events, Self::Notes, Self::Truth];

    /// As written in files and keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Imu => "imu",
            Self::Emg => "emg",
            Self::Force => "force",
            Self::Markers => "markers",
            Self::Events => "events",
            Self::Notes => "notes",
            Self::Truth => "truth",
        }
    }

    /// Whether sensors of this kind sample at a rate that must be declared.
    pub const fn is_sampled(self) -> bool {
        matches!(self, Self::Imu | Self::Emg | Self::Force | Self::Markers)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Column of a source stream that holds the sensor's own count of samples.
pub const SEQUENCE: &str = "sequence";
/// Column of a source stream that holds the time on the sensor's own clock.
pub const DEVICE_TIME: &str = "device_time_ns";
/// Column of a stream that tells which device measured a row: a hash of its serial number, null where it doesn't say one.
pub const DEVICE: &str = "device";
/// Column of a source stream whose times were mapped from the device's clock: how far they may be off.
pub const TIME_UNCERTAINTY: &str = "time_uncertainty_ns";

impl Sensor {
    /// What a publisher of this sensor sends: `time_ns` on its own clock, then the measured columns.
    ///
    /// A column that is nullable here may be missing in a sample; in any other a missing or non-finite value makes the
    /// sample `rejected`.
    pub fn wire_schema(&self) -> StreamSchema {
        StreamSchema::new(self.measured(), self.wire_keys(), self.rate)
    }

    /// What operators and tables see: `time_ns` on the rig's clock, `sequence`, `device_time_ns`, for a sensor with a clock of
    /// its own `time_uncertainty_ns`, the measured columns, `device`.
    pub fn stream_schema(&self) -> StreamSchema {
        let mut fields = vec![column(SEQUENCE, DataType::Int64).required(), column(DEVICE_TIME, DataType::Int64).unit("ns").required()];
        fields.extend((self.clock == Clock::Device).then(|| column(TIME_UNCERTAINTY, DataType::Int64).unit("ns")));
        fields.extend(self.measured());
        fields.push(self.placed(column(DEVICE, DataType::Int64)));
        StreamSchema::new(fields, self.wire_keys(), self.rate)
    }

    /// The name of this sensor's stream: `<kind>/<sensor>`.
    pub fn stream(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    fn wire_keys(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Events => &["event", "side"],
            Kind::Notes => &["author"],
            Kind::Truth => &["name"],
            Kind::Imu | Kind::Emg | Kind::Force | Kind::Markers => &[],
        }
    }

    fn measured(&self) -> Vec<Field> {
        match self.kind {
            Kind::Imu => self.imu_columns(),
            Kind::Emg => self.channels.values().map(|muscle| self.placed(float(format!("{muscle}_v"), "V").required())).collect(),
            Kind::Force => force_columns().into_iter().map(|field| self.placed(field.frame("lab"))).collect(),
            Kind::Markers => {
                let axes = |label: &String| ["x", "y", "z"].map(|axis| float(format!("{label}_{axis}_m"), "m").frame("lab"));
                self.labels.iter().flat_map(axes).map(|field| self.placed(field)).collect()
            }
            Kind::Events => vec![text("event").required(), text("side").required(), text("label")],
            Kind::Notes => vec![text("author").required(), text("text").required()],
            Kind::Truth => vec![text("name").required(), float("value", "1").required()],
        }
    }

    fn imu_columns(&self) -> Vec<Field> {
        let triple = |name: &str, suffix: &str, unit: &str| {
            ["x", "y", "z"].map(|axis| float(format!("{name}_{axis}_{suffix}"), unit).frame("sensor").required())
        };
        let mut fields = triple("gyro", "rad_per_s", "rad/s").to_vec();
        fields.extend(triple("accel", "m_per_s2", "m/s^2"));
        if self.magnetometer {
            fields.extend(triple("mag", "ut", "uT"));
        }
        fields.into_iter().map(|field| self.placed(field)).collect()
    }

    /// Adds where the sensor sits: sensor, segment and side.
    fn placed(&self, field: Field) -> Field {
        let places = [(meta::SENSOR, Some(&self.name)), (meta::SEGMENT, self.segment.as_ref()), (meta::SIDE, self.side.as_ref())];
        places.into_iter().fold(field, |field, (key, value)| match value {
            Some(value) => field.with(key, value),
            None => field,
        })
    }
}

fn force_columns() -> Vec<Field> {
    let force = ["x", "y", "z"].map(|axis| float(format!("force_{axis}_n"), "N").required());
    let mut fields = force.to_vec();
    fields.push(float("free_moment_n_m", "N*m").required());
    fields.extend(["x", "y"].map(|axis| float(format!("cop_{axis}_m"), "m")));
    fields
}

/// Whether a column name is one that every stream of a sensor has beside the measured ones.
pub fn is_bookkeeping(name: &str) -> bool {
    matches!(name, TIME | SEQUENCE | DEVICE_TIME | TIME_UNCERTAINTY)
}
