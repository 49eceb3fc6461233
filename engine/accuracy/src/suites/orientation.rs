//! How far are orientations from the optical truth of BROAD (Laidig et al. 2021), and is the heading as sure as it says? Total RMSE over
//! the moving samples, of the causal form and of the one that is 2 s late; the share of their headings within two standard deviations, over
//! all trials and in the one where it is least (an error that lasts for a whole trial is one draw), and how far the RMS of error over
//! standard deviation is from 1.

use arrow_array::{Array, BooleanArray, Float64Array, RecordBatch};
use proprio_core::Rate;
use proprio_core::rows::{float_or_nan, floats};
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
        let (mut within, mut over_sd) = (Vec::new(), Vec::new());
        for (name, file, vqf_deg) in TUNED.into_iter().chain(REPORTED) {
            let errors = errors(bench, file, &config)?;
            let figure = Figure::lower(format!("orientation.{name}{form}"), rms(&errors.total_deg), "deg");
            figures.push(figure.gate(vqf_deg + 0.01).aim(vqf_deg).anchor("VQF", vqf_deg));
            let count = errors.heading_over_sd.iter().filter(|ratio| ratio.abs() <= 2.0).count();
            within.push(100.0 * count as f64 / errors.heading_over_sd.len() as f64);
            over_sd.push(rms(&errors.heading_over_sd));
        }
        let reported: Vec<f64> = figures[begin + TUNED.len()..].iter().map(|figure| figure.value).collect();
        let figure = Figure::lower(format!("orientation.mean_of_reported{form}"), mean(&reported), "deg");
        figures.push(figure.aim(3.5).anchor("VQF", 4.957));
        figures.push(Figure::higher(format!("orientation.heading_within_2_sd{form}"), mean(&within), "%").aim(95.0));
        let least = within.iter().copied().fold(100.0, f64::min);
        figures.push(Figure::higher(format!("orientation.heading_within_2_sd{form}.least"), least, "%"));
        figures.push(Figure::lower(format!("orientation.heading_sd_miscalibration{form}"), 100.0 * (rms(&over_sd) - 1.0).abs(), "%"));
    }
    Ok(figures)
}

/// Errors of the moving samples.
#[derive(Default)]
struct Errors {
    total_deg: Vec<f64>,
    /// The heading's, over its standard deviation.
    heading_over_sd: Vec<f64>,
}

fn errors(bench: &mut Bench, file: &str, config: &Value) -> Result<Errors, AccuracyError> {
    let table = bench.parquet(&format!("imu/broad/{file}.parquet"))?;
    let column = |name: &str| table.column_by_name(name).expect("BROAD has the column").clone();
    let reference = ["ref_w", "ref_x", "ref_y", "ref_z"].map(column);
    let reference = reference.each_ref().map(|column| column.as_any().downcast_ref::<Float64Array>().expect("floats"));
    let moving = column("movement");
    let moving = moving.as_any().downcast_ref::<BooleanArray>().expect("a mask");
    let (port, estimates) = bench.step("orientation/imu", "orientation", config.clone(), &[imu(&table)])?;
    let estimate = [1, 2, 3, 4].map(|column| floats(&estimates, column));
    let heading_sd_deg = floats(&estimates, port.schema.index("heading_sd_deg").expect("there is a magnetometer"));
    let mut errors = Errors::default();
    for row in 0..table.num_rows() {
        let truth: Quaternion = reference.map(|column| float_or_nan(column, row));
        if moving.is_valid(row) && moving.value(row) && truth[0].is_finite() {
            let [w, _, _, z] = multiply(estimate.map(|column| column.value(row)), conjugate(truth));
            errors.total_deg.push((2.0 * w.abs().min(1.0).acos()).to_degrees());
            errors.heading_over_sd.push((2.0 * (z / w).atan()).to_degrees() / heading_sd_deg.value(row));
        }
    }
    Ok(errors)
}

/// BROAD's columns as an IMU's stream, on the grid of its rate.
pub(super) fn imu(table: &RecordBatch) -> Stream {
    let rate = Rate::new(2000, 7).expect("a rate");
    crate::imu::imu("imu", json!({}), rate, table.num_rows(), |instrument, axis| {
        let short = if instrument == "gyro" { "gyr" } else { &instrument[..3] };
        table.column_by_name(&format!("{short}_{}", ["x", "y", "z"][axis])).expect("BROAD has the column").clone()
    })
}
