//! How far are orientations from the optical truth of BROAD (Laidig et al. 2021)? Total RMSE over the moving samples,
//! of the causal form and of the one that is 2 s late.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch};
use proprio_core::kind::{DEVICE, DEVICE_TIME, SEQUENCE};
use proprio_core::rig::RigFile;
use proprio_core::rows::{float_or_nan, floats};
use proprio_core::schema::TIME;
use proprio_core::{Port, Rate};
use proprio_operators::kernels::quaternion::{Quaternion, conjugate, multiply};
use serde_json::{Value, json};

use super::Suite;
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::statistics::{mean, rms};

pub const SUITE: Suite = Suite { name: "orientation", about: "9-axis orientation on BROAD, total RMSE against optics", measure };

/// Trial, and what VQF 2.0 comes to on it. Parameters were chosen on the first two only.
const TUNED: [(&str, &str, f64); 2] =
    [("broad_16", "16_undisturbed_fast_translation_B", 0.742), ("broad_34", "34_disturbed_attached_magnet_3cm", 3.350)];
const REPORTED: [(&str, &str, f64); 4] = [
    ("broad_06", "06_undisturbed_fast_rotation_A", 4.034),
    ("broad_21", "21_undisturbed_fast_combined", 4.077),
    ("broad_28", "28_disturbed_stationary_magnet_A", 4.042),
    ("broad_32", "32_disturbed_attached_magnet_1cm", 7.673),
];

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = Vec::new();
    for (form, config) in [("", json!({})), (".lag_2s", json!({ "lag": "2 s" }))] {
        let begin = figures.len();
        for (name, file, vqf_deg) in TUNED.into_iter().chain(REPORTED) {
            let total_deg = total_rmse_deg(bench, file, &config)?;
            let figure = Figure::lower(format!("orientation.{name}{form}"), total_deg, "deg");
            figures.push(figure.gate(vqf_deg + 0.01).aim(vqf_deg).anchor("VQF", vqf_deg));
        }
        let reported: Vec<f64> = figures[begin + TUNED.len()..].iter().map(|figure| figure.value).collect();
        let figure = Figure::lower(format!("orientation.mean_of_reported{form}"), mean(&reported), "deg");
        figures.push(figure.aim(3.5).anchor("VQF", 4.957));
    }
    Ok(figures)
}

fn total_rmse_deg(bench: &mut Bench, file: &str, config: &Value) -> Result<f64, AccuracyError> {
    let table = bench.parquet(&format!("imu/broad/{file}.parquet"))?;
    let column = |name: &str| table.column_by_name(name).expect("BROAD has the column").clone();
    let reference = ["ref_w", "ref_x", "ref_y", "ref_z"].map(column);
    let reference = reference.each_ref().map(|column| column.as_any().downcast_ref::<Float64Array>().expect("floats"));
    let moving = column("movement");
    let moving = moving.as_any().downcast_ref::<BooleanArray>().expect("a mask");
    let (_, estimates) = bench.step("orientation/imu", "orientation", config.clone(), &[imu(&table)])?;
    let estimate = [1, 2, 3, 4].map(|column| floats(&estimates, column));
    let error_deg = |row: usize| {
        let truth: Quaternion = reference.map(|column| float_or_nan(column, row));
        let is_judged = moving.is_valid(row) && moving.value(row) && truth[0].is_finite();
        let [w, ..] = multiply(estimate.map(|column| column.value(row)), conjugate(truth));
        is_judged.then(|| (2.0 * w.abs().min(1.0).acos()).to_degrees())
    };
    Ok(rms(&(0..table.num_rows()).filter_map(error_deg).collect::<Vec<_>>()))
}

/// BROAD's columns as an IMU's stream, on the grid of its rate.
pub(super) fn imu(table: &RecordBatch) -> Stream {
    let rate = Rate::new(2000, 7).expect("a rate");
    let file = serde_json::from_value(json!({ "kind": "imu", "rate": rate })).expect("a sensor");
    let rig = RigFile { rig: "broad".to_owned(), sensors: [("imu".to_owned(), file)].into() }.resolve();
    let port = Port { stream: rig.sensors[0].stream(), schema: rig.sensors[0].stream_schema() };
    let count = 0..table.num_rows() as i64;
    let columns = port.schema.columns.fields().iter().map(|field| match field.name().as_str() {
        TIME | DEVICE_TIME => Arc::new(count.clone().map(|k| rate.grid_time(k)).collect::<Int64Array>()) as ArrayRef,
        SEQUENCE => Arc::new(count.clone().collect::<Int64Array>()),
        DEVICE => Arc::new(count.clone().map(|_| None).collect::<Int64Array>()),
        name => {
            let (instrument, rest) = name.split_once('_').expect("a measured column names its instrument");
            let short = if instrument == "gyro" { "gyr" } else { &instrument[..3] };
            table.column_by_name(&format!("{short}_{}", &rest[..1])).expect("BROAD has the column").clone()
        }
    });
    let rows = RecordBatch::try_new(port.schema.columns.clone(), columns.collect()).expect("BROAD fits an IMU's schema");
    (port, rows)
}
