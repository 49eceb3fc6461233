//! Which calibrations does an operator use, from when on? Rows of `segment_alignment` beside the rows of what it corrects.

use arrow_array::RecordBatch;
use proprio_core::kind::DEVICE;
use proprio_core::rows::{floats, integer_or_none, integers, strings, times};
use proprio_core::schema::{FieldExt, meta};
use proprio_core::{Port, TimeNs};

use super::quaternion::Quaternion;

/// First of the four columns that hold a calibration's rotation.
const ROTATION: &str = "segment_from_sensor_q_w";

/// A port that gives calibrations of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalibrationPort {
    /// Which input it is.
    pub input: usize,
    /// `pelvis`, `thigh_left`.
    pub segment: String,
    rotation: usize,
    id: usize,
    verdict: usize,
    device: usize,
}

/// A calibration that passed.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// From when on it holds.
    pub time: TimeNs,
    /// Number of its port among those that were given.
    pub port: usize,
    /// Rotation from sensor to segment.
    pub segment_from_sensor: Quaternion,
    /// Its id.
    pub id: String,
    /// The device that it was measured with, where it says which it is.
    pub device: Option<i64>,
}

impl CalibrationPort {
    /// The calibrations that an input gives; none for another stream.
    pub fn of(input: usize, port: &Port) -> Option<Self> {
        let index = |name: &str| port.schema.index(name);
        let (rotation, id, verdict, device) = (index(ROTATION)?, index("calibration")?, index("verdict")?, index(DEVICE)?);
        let field = port.schema.columns.field(rotation);
        let (segment, side) = (field.meta(meta::SEGMENT)?, field.meta(meta::SIDE));
        let segment = side.map_or_else(|| segment.to_owned(), |side| format!("{segment}_{side}"));
        Some(Self { input, segment, rotation, id, verdict, device })
    }
}

/// The calibrations among the rows that passed, in the order of time.
pub fn passed(ports: &[CalibrationPort], inputs: &[RecordBatch]) -> Vec<Calibration> {
    let mut found = Vec::new();
    for (number, port) in ports.iter().enumerate() {
        let rows = &inputs[port.input];
        let (ids, verdicts, devices) = (strings(rows, port.id), strings(rows, port.verdict), integers(rows, port.device));
        let parts = [0, 1, 2, 3].map(|part| floats(rows, port.rotation + part));
        for (row, time) in times(rows).iter().enumerate().filter(|(row, _)| verdicts.value(*row) == "pass") {
            let segment_from_sensor = parts.map(|part| part.value(row));
            let device = integer_or_none(devices, row);
            found.push(Calibration { time: *time, port: number, segment_from_sensor, id: ids.value(row).to_owned(), device });
        }
    }
    found.sort_by_key(|calibration| calibration.time);
    found
}
