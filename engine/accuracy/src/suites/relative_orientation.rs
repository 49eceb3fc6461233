//! How far is the rotation across a joint, without a magnetometer, from the optical truth of the dfjimu rig (Weygers and Kok 2020)? RMSE
//! once settled, and how long settling takes.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch};
use proprio_core::rows::floats;
use proprio_core::schema::float;
use proprio_core::{Port, Rate, StreamSchema};
use proprio_operators::kernels::joint_filter::angle_between_rad;
use proprio_operators::kernels::quaternion::{Quaternion, conjugate, multiply};
use serde_json::{Value, json};

use super::Suite;
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::statistics::rms;

pub const SUITE: Suite =
    Suite { name: "relative_orientation", about: "rotation across a joint without a magnetometer, RMSE against optics", measure };

/// Trial, its name here, and what the rig's own online filter comes to, which is told the vectors to the joint.
const TRIALS: [(&str, &str, f64); 2] = [("data_1D_02", "one_degree_of_freedom", 2.11), ("data_2D_01", "two_degrees_of_freedom", 3.00)];
/// Rows of a stretch, and from one's begin to the next's.
const STRETCH: usize = 750;
const BETWEEN_STRETCHES: usize = 200;
/// Columns 0 to 11 of the file, as this stream calls them.
const INSTRUMENTS: [(&str, &str, &str); 4] = [
    ("upper_accel", "m_per_s2", "m/s^2"),
    ("upper_gyro", "rad_per_s", "rad/s"),
    ("lower_accel", "m_per_s2", "m/s^2"),
    ("lower_gyro", "rad_per_s", "rad/s"),
];

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = Vec::new();
    for (file, name, anchor_deg) in TRIALS {
        let table = read(bench, &format!("imu/joint/{file}.csv"))?;
        let meta = read_meta(bench, &format!("imu/joint/{file}_meta.json"))?;
        let given = json!({ "proximal_to_joint_m": meta["r_12_m"], "distal_to_joint_m": meta["r_21_m"] });
        for (form, config) in [("", json!({})), (".vectors_given", given)] {
            let (_, estimates) = bench.step("relative_orientation/joint", "relative_orientation", config, &[stream(&table)])?;
            let (errors_deg, settled_s) = errors(&estimates, &table);
            let figure = Figure::lower(format!("relative_orientation.{name}{form}"), rms(&errors_deg), "deg");
            figures.push(figure.gate(anchor_deg).aim(2.0).anchor("online filter", anchor_deg));
            figures.push(Figure::lower(format!("relative_orientation.{name}{form}.settled_after"), settled_s, "s"));
        }
        let figure = Figure::lower(format!("relative_orientation.{name}.begun_in_motion"), rms(&begun_in_motion(bench, &table)?), "deg");
        figures.push(figure.gate(anchor_deg));
    }
    Ok(figures)
}

/// Errors of the settled rows of stretches of 15 s that begin every 4 s, so most of them in motion and with nothing known.
fn begun_in_motion(bench: &mut Bench, table: &[Vec<f64>]) -> Result<Vec<f64>, AccuracyError> {
    let mut all = Vec::new();
    for part in (0..table.len().saturating_sub(STRETCH)).step_by(BETWEEN_STRETCHES).map(|from| &table[from..from + STRETCH]) {
        let (_, estimates) = bench.step("relative_orientation/joint", "relative_orientation", json!({}), &[stream(part)])?;
        all.extend(errors(&estimates, part).0);
    }
    Ok(all)
}

/// Errors of the rows that aren't settling, and when the last one that is comes to an end.
fn errors(estimates: &RecordBatch, table: &[Vec<f64>]) -> (Vec<f64>, f64) {
    let columns = [1, 2, 3, 4].map(|column| floats(estimates, column));
    let settling = estimates.column(5).as_any().downcast_ref::<BooleanArray>().expect("a flag");
    let quaternion = |row: &[f64], from: usize| -> Quaternion { [row[from], row[from + 1], row[from + 2], row[from + 3]] };
    let settled: Vec<usize> = (0..table.len()).filter(|row| settling.is_valid(*row) && !settling.value(*row)).collect();
    let error_deg = |row: &usize| {
        let truth = multiply(conjugate(quaternion(&table[*row], 12)), quaternion(&table[*row], 16));
        angle_between_rad(columns.map(|column| column.value(*row)), truth).to_degrees()
    };
    let last = (0..table.len()).rev().find(|row| settling.is_valid(*row) && settling.value(*row));
    (settled.iter().map(error_deg).collect(), last.map_or(0.0, |row| (row + 1) as f64 / 50.0))
}

/// Both IMUs as `align` would fuse them.
pub(super) fn stream(table: &[Vec<f64>]) -> Stream {
    let rate = Rate::hz(50);
    let names =
        INSTRUMENTS.iter().flat_map(|(name, suffix, unit)| ["x", "y", "z"].map(|axis| float(format!("{name}_{axis}_{suffix}"), unit)));
    let schema = StreamSchema::new(names.collect(), &[], Some(rate));
    let times: ArrayRef = Arc::new((0..table.len() as i64).map(|k| rate.grid_time(k)).collect::<Int64Array>());
    let values = (0..12).map(|column| Arc::new(table.iter().map(|row| row[column]).collect::<Float64Array>()) as ArrayRef);
    let rows = RecordBatch::try_new(schema.columns.clone(), std::iter::once(times).chain(values).collect()).expect("its own schema");
    (Port { stream: "fused".to_owned(), schema }, rows)
}

pub(super) fn read(bench: &Bench, file: &str) -> Result<Vec<Vec<f64>>, AccuracyError> {
    let path = bench.path(file)?;
    let malformed = |what: String| AccuracyError::Malformed { path: path.clone(), what };
    let text = std::fs::read_to_string(&path).map_err(|error| malformed(error.to_string()))?;
    let row = |line: &str| line.split(',').map(str::parse).collect::<Result<Vec<f64>, _>>();
    text.lines().skip(1).map(|line| row(line).map_err(|error| malformed(error.to_string()))).collect()
}

fn read_meta(bench: &Bench, file: &str) -> Result<Value, AccuracyError> {
    let path = bench.path(file)?;
    let malformed = |what: String| AccuracyError::Malformed { path: path.clone(), what };
    let text = std::fs::read_to_string(&path).map_err(|error| malformed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))
}
