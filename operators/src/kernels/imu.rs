//! What an IMU's stream holds: its instruments' columns, found and checked when a step is planned, and its samples, of which some get lost.

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field};
use proprio_core::finding::{Findings, PlanFinding};
use proprio_core::kind::SEQUENCE;
use proprio_core::rows::{float_or_nan, floats, integer_or_none, integers, times};
use proprio_core::schema::{FieldExt, meta};
use proprio_core::{Port, Rate, TimeNs};
use serde::{Deserialize, Serialize};

use super::device::{device_column, whole_column};

/// Up to this much a sequence number is believed against the times.
const SEQUENCE_SLACK_NS: i64 = 100_000_000;

/// An instrument of an IMU: what its columns are called, their suffix and their unit.
#[derive(Clone, Copy, Debug)]
struct Instrument {
    /// `gyro` in `gyro_x_rad_per_s`.
    name: &'static str,
    /// `rad_per_s` in `gyro_x_rad_per_s`.
    suffix: &'static str,
    /// The unit in the column's metadata.
    unit: &'static str,
}

/// Angular rate.
const GYRO: Instrument = Instrument { name: "gyro", suffix: "rad_per_s", unit: "rad/s" };
/// Specific force.
const ACCEL: Instrument = Instrument { name: "accel", suffix: "m_per_s2", unit: "m/s^2" };
/// Magnetic flux density.
const MAG: Instrument = Instrument { name: "mag", suffix: "ut", unit: "uT" };

/// Indices of an instrument's columns x, y, z on an input; a finding says which is missing or of another kind. `prefix` is what fusing
/// streams has put before the names, such as `thigh_`.
fn triple(port: &Port, input: usize, prefix: &str, instrument: Instrument, findings: &mut Findings) -> Option<[usize; 3]> {
    let Instrument { name, suffix, unit } = instrument;
    let mut indices = [0; 3];
    for (slot, axis) in indices.iter_mut().zip(["x", "y", "z"]) {
        let wanted = format!("{prefix}{name}_{axis}_{suffix}");
        let Some(found) = port.schema.index(&wanted) else {
            let finding = PlanFinding::input(input, format!("`{}` has no column `{wanted}`", port.stream));
            findings.push(finding.help("the stream of an IMU is due, such as imu/pelvis"));
            return None;
        };
        let field = port.schema.columns.field(found);
        if *field.data_type() != DataType::Float64 || field.meta(meta::UNIT) != Some(unit) {
            let is = format!("{} in {}", field.data_type(), field.meta(meta::UNIT).unwrap_or("no unit"));
            findings.push(PlanFinding::input(input, format!("`{wanted}` of `{}` is {is}, where Float64 in {unit} is due", port.stream)));
            return None;
        }
        *slot = found;
    }
    Some(indices)
}

/// The rate of a stream that has one row an instant; findings say what it lacks.
pub fn steady_rate(port: &Port, input: usize, findings: &mut Findings) -> Option<Rate> {
    if !port.schema.keys.is_empty() {
        findings.push(PlanFinding::input(input, format!("`{}` has several rows an instant", port.stream)));
    }
    if port.schema.rate.is_none() {
        findings.push(PlanFinding::input(input, format!("`{}` has no rate, so lost samples can't be told", port.stream)));
    }
    port.schema.rate
}

/// A column with the sensor, segment and side of another one.
pub fn placed_as(field: Field, other: &Field) -> Field {
    let keys = [meta::SENSOR, meta::SEGMENT, meta::SIDE];
    keys.iter().filter_map(|key| Some((key, other.meta(key)?))).fold(field, |field, (key, value)| field.with(key, value))
}

/// Indices of an IMU's columns.
#[derive(Clone, Copy, Debug)]
pub struct ImuColumns {
    /// Angular rate.
    pub gyro: [usize; 3],
    /// Specific force.
    pub accel: [usize; 3],
    /// Magnetic flux density, where it is used.
    pub mag: Option<[usize; 3]>,
    /// The sensor's own count.
    pub sequence: Option<usize>,
    /// Which device measured.
    pub device: Option<usize>,
}

impl ImuColumns {
    /// The columns of an input's IMU, its magnetometer's only where they are there and wanted; findings say which are missing or of
    /// another kind.
    pub fn of(port: &Port, input: usize, prefix: &str, magnetometer: bool, findings: &mut Findings) -> Option<Self> {
        let [gyro, accel] = [GYRO, ACCEL].map(|instrument| triple(port, input, prefix, instrument, findings));
        let has_mag = magnetometer && port.schema.index(&format!("{prefix}mag_x_ut")).is_some();
        let mag = if has_mag { Some(triple(port, input, prefix, MAG, findings)?) } else { None };
        Some(Self { gyro: gyro?, accel: accel?, mag, sequence: whole_column(port, SEQUENCE), device: device_column(port) })
    }

    /// The sample of a row; `None` when gyroscope or accelerometer have none.
    pub fn sample(&self, rows: &RecordBatch, row: usize) -> Option<Sample> {
        let values = |columns: [usize; 3]| columns.map(|column| float_or_nan(floats(rows, column), row));
        let whole = |column: Option<usize>| column.and_then(|column| integer_or_none(integers(rows, column), row));
        let sample = Sample {
            time: times(rows)[row],
            sequence: whole(self.sequence),
            device: whole(self.device),
            gyro: values(self.gyro),
            accel: values(self.accel),
            mag: self.mag.map_or([f64::NAN; 3], values),
        };
        sample.gyro.iter().chain(&sample.accel).all(|value| value.is_finite()).then_some(sample)
    }
}

/// One sample of all instruments; NaN where the magnetometer has none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Event time.
    pub time: TimeNs,
    /// The sensor's own count.
    pub sequence: Option<i64>,
    /// The device that measured, where it says which it is.
    pub device: Option<i64>,
    /// Angular rate in rad/s.
    pub gyro: [f64; 3],
    /// Specific force in m/s².
    pub accel: [f64; 3],
    /// Magnetic flux density in µT.
    pub mag: [f64; 3],
}

impl Sample {
    /// How many samples were lost before `next`: by the sensor's own count where the times bear it out, otherwise by the times.
    pub fn lost_until(&self, next: &Self, rate: Rate) -> i64 {
        let between = next.time.saturating_sub(self.time);
        let by_sequence = self.sequence.zip(next.sequence).map(|(last, next)| next.saturating_sub(last).saturating_sub(1));
        if by_sequence == Some(0) && (0..=SEQUENCE_SLACK_NS).contains(&between) {
            // What nearly every sample comes to, without the divisions below.
            return 0;
        }
        let half_ns = rate.period_ns() / 2;
        let by_time = (rate.grid_index_at_or_after(between.saturating_sub(half_ns)) - 1).max(0);
        let agrees = |lost: &i64| *lost >= 0 && rate.grid_time(lost.saturating_sub(by_time)).saturating_abs() <= SEQUENCE_SLACK_NS;
        by_sequence.filter(agrees).unwrap_or(by_time)
    }

    /// A sample on the straight line to `next`, this far along it.
    pub fn towards(&self, next: &Self, weight: f64) -> Self {
        let between = |a: [f64; 3], b: [f64; 3]| std::array::from_fn(|i| a[i] + (b[i] - a[i]) * weight);
        let (gyro, accel, mag) = (between(self.gyro, next.gyro), between(self.accel, next.accel), between(self.mag, next.mag));
        Self { gyro, accel, mag, ..*self }
    }
}
