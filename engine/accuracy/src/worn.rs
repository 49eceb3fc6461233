//! What do IMUs give that aren't placed as the simulation has them, on someone who stands upright first?

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow_select::concat::concat_batches;
use proprio_core::rows::{floats, times};
use proprio_operators::kernels::quaternion::{Quaternion, conjugate, from_axes, multiply, rotate, slerp};
use proprio_operators::kernels::segment::earth_from_upright;
use proprio_simulate::{Pose, Random};

use crate::bench::Stream;

const GRAVITY_M_PER_S2: [f64; 3] = [0.0, 0.0, 9.80665];
/// The simulation's field and noise.
const FIELD_UT: [f64; 3] = [0.0, 19.93, -44.76];
const NOISE: [f64; 3] = [0.003, 0.03, 0.3];
const PERIOD_NS: i64 = 10_000_000;
/// How long the subject stands upright, and then takes to reach the movement's first pose.
const QUIET_S: f64 = 3.0;
const SETTING_OFF_S: f64 = 1.0;

/// How a sensor sits on its segment: turned about each axis by a normal angle of this deviation.
pub fn placement(deviation_deg: f64, random: &mut Random) -> Quaternion {
    let turn = [0; 3].map(|_| (deviation_deg * random.normal()).to_radians());
    let angle = turn.iter().map(|part| part * part).sum::<f64>().sqrt();
    let share = if angle > 0.0 { (angle / 2.0).sin() / angle } else { 0.0 };
    [(angle / 2.0).cos(), turn[0] * share, turn[1] * share, turn[2] * share]
}

/// An IMU's stream with quiet standing before it, as the sensor measures it that sits so on its segment; `first` is the segment's pose
/// at the stream's beginning.
pub fn worn((port, rows): &Stream, first: &Pose, segment_from_sensor: Quaternion, random: &mut Random) -> Stream {
    let start = times(rows)[0];
    let axes = [0, 1, 2].map(|axis| [0, 1, 2].map(|row| first.lab_from_segment[(row, axis)]));
    // Facing east, as the simulated subject does.
    let (upright, first) = (earth_from_upright(0.0), from_axes(axes[0], axes[1], axes[2]));
    let pose = |time_s: f64| {
        let share = ((time_s + SETTING_OFF_S) / SETTING_OFF_S).clamp(0.0, 1.0);
        slerp(upright, first, share * share * (3.0 - 2.0 * share))
    };
    let count = ((QUIET_S + SETTING_OFF_S) * 1e9) as i64 / PERIOD_NS;
    let mut columns = vec![Vec::new(); 9];
    for k in -count..0 {
        let time_s = (k * PERIOD_NS) as f64 / 1e9;
        let lab_from_segment = pose(time_s);
        let turn = multiply(conjugate(pose(time_s - 0.001)), pose(time_s + 0.001));
        let gyro = [turn[1], turn[2], turn[3]].map(|part| part * turn[0].signum() / 0.001);
        let measured = [gyro, rotate(conjugate(lab_from_segment), GRAVITY_M_PER_S2), rotate(conjugate(lab_from_segment), FIELD_UT)];
        for (n, column) in columns.iter_mut().enumerate() {
            column.push(measured[n / 3][n % 3] + NOISE[n / 3] * random.normal());
        }
    }
    let stamps: Int64Array = (-count..0).map(|k| start + k * PERIOD_NS).collect();
    let quiet = std::iter::once(Arc::new(stamps) as ArrayRef)
        .chain(columns.into_iter().map(|column| Arc::new(Float64Array::from(column)) as ArrayRef));
    let quiet = RecordBatch::try_new(port.schema.columns.clone(), quiet.collect()).expect("an IMU's columns");
    let all = concat_batches(&port.schema.columns, [&quiet, rows]).expect("one schema");
    (port.clone(), turned(&all, segment_from_sensor))
}

/// The rows as measured along a sensor's axes rather than its segment's.
fn turned(rows: &RecordBatch, segment_from_sensor: Quaternion) -> RecordBatch {
    let sensor_from_segment = conjugate(segment_from_sensor);
    let mut columns: Vec<ArrayRef> = vec![rows.column(0).clone()];
    for instrument in 0..3 {
        let along = [1, 2, 3].map(|axis| floats(rows, 3 * instrument + axis).values());
        let turned: Vec<[f64; 3]> = (0..rows.num_rows()).map(|row| rotate(sensor_from_segment, along.map(|values| values[row]))).collect();
        columns.extend((0..3).map(|axis| Arc::new(turned.iter().map(|v| v[axis]).collect::<Float64Array>()) as ArrayRef));
    }
    RecordBatch::try_new(rows.schema(), columns).expect("an IMU's columns")
}
