//! What do lost samples, long gaps and a missing magnetometer cost an orientation?

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch};
use arrow_select::filter::filter_record_batch;
use proprio_core::kind::{DEVICE, DEVICE_TIME, SEQUENCE};
use proprio_core::rig::{RigFile, SensorFile};
use proprio_core::rows::{float_or_nan, floats};
use proprio_core::schema::TIME;
use proprio_core::{Planned, Port, Rate};
use proprio_operators::kernels::quaternion::{Quaternion, conjugate, multiply};
use serde_json::{Value, json};

use crate::example::Example;
use crate::laws::check_chunkings;
use crate::recordings::{parquet, recording};
use crate::run::Run;
use crate::signal::Random;

const TRIALS: [&str; 2] = ["16_undisturbed_fast_translation_B", "34_disturbed_attached_magnet_3cm"];

/// An IMU stream with the truth beside it.
struct Trial {
    port: Port,
    rows: RecordBatch,
    truth: Vec<Quaternion>,
    moving: Vec<bool>,
}

impl Trial {
    fn read(test: &str, name: &str, magnetometer: bool) -> Option<Self> {
        let table = parquet(&recording(test, &format!("imu/broad/{name}.parquet"))?);
        let port = imu_port(magnetometer);
        let rate = port.schema.rate.expect("an IMU has a rate");
        let column = |name: &str| table.column_by_name(name).expect("BROAD has the column").clone();
        let counts: ArrayRef = Arc::new((0..table.num_rows() as i64).collect::<Int64Array>());
        let times: ArrayRef = Arc::new((0..table.num_rows() as i64).map(|k| rate.grid_time(k)).collect::<Int64Array>());
        let measured = |name: &str| {
            let (instrument, rest) = name.split_once('_').expect("a measured column names its instrument");
            let short = if instrument == "gyro" { "gyr" } else { &instrument[..3] };
            column(&format!("{short}_{}", &rest[..1]))
        };
        let columns = port.schema.columns.fields().iter().map(|field| match field.name().as_str() {
            TIME | DEVICE_TIME => times.clone(),
            SEQUENCE => counts.clone(),
            DEVICE => Arc::new(Int64Array::from(vec![None; table.num_rows()])),
            name => measured(name),
        });
        let rows = RecordBatch::try_new(port.schema.columns.clone(), columns.collect()).expect("BROAD fits an IMU's schema");
        let reference = ["ref_w", "ref_x", "ref_y", "ref_z"].map(column);
        let reference = reference.each_ref().map(|column| column.as_any().downcast_ref::<Float64Array>().expect("floats"));
        let moving = column("movement");
        let moving = moving.as_any().downcast_ref::<BooleanArray>().expect("a mask");
        let truth = (0..table.num_rows()).map(|row| reference.map(|column| float_or_nan(column, row))).collect();
        Some(Self { port, rows, truth, moving: moving.iter().map(|value| value == Some(true)).collect() })
    }

    fn plan(&self, config: Value) -> Planned {
        let registration = proprio_operators::operator("orientation").expect("orientation is registered");
        (registration.plan)(config, std::slice::from_ref(&self.port)).expect("an IMU plans")
    }

    /// RMSE in degrees, of the whole, of heading and of inclination, over the moving samples with a truth. `kept` are the rows that were not lost.
    fn errors(&self, estimates: &RecordBatch, kept: &[usize]) -> [f64; 3] {
        let columns = [1, 2, 3, 4].map(|column| floats(estimates, column));
        let (mut sums, mut count) = ([0.0; 3], 0.0);
        for (row, sample) in kept.iter().enumerate().filter(|(_, sample)| self.moving[**sample] && self.truth[**sample][0].is_finite()) {
            let [w, _, _, z] = multiply(columns.map(|column| column.value(row)), conjugate(self.truth[*sample]));
            let angles = [2.0 * w.abs().min(1.0).acos(), 2.0 * (z / w).atan(), 2.0 * (w * w + z * z).sqrt().min(1.0).acos()];
            sums.iter_mut().zip(angles).for_each(|(sum, angle)| *sum += angle.to_degrees().powi(2));
            count += 1.0;
        }
        sums.map(|sum: f64| (sum / count).sqrt())
    }
}

fn imu_port(magnetometer: bool) -> Port {
    let rate = Rate::new(2000, 7);
    let file: SensorFile = serde_json::from_value(json!({ "kind": "imu", "rate": rate, "magnetometer": magnetometer })).expect("a sensor");
    let rig = RigFile { rig: "broad".to_owned(), sensors: [("imu".to_owned(), file)].into() }.resolve();
    Port { stream: rig.sensors[0].stream(), schema: rig.sensors[0].stream_schema() }
}

#[test]
fn the_form_without_a_lag_keeps_the_laws_too() {
    let registration = proprio_operators::operator("orientation").expect("orientation is registered");
    let example = Example { config: json!({ "rest_duration": "500 ms", "longest_gap": "200 ms" }), ..Example::of(registration) };
    check_chunkings(&example.plan(), &example.inputs, 11);
}

#[test]
fn lost_samples_cost_little() {
    let Some(trial) = Trial::read("lost_samples_cost_little", TRIALS[0], true) else { return };
    let mut random = Random::new(7);
    let mut lost_until = 0;
    let kept: Vec<usize> = (0..trial.rows.num_rows())
        .filter(|row| {
            // One burst of up to 60 ms about every 0.7 s: a tenth of packets over a bad radio link.
            if random.index(200) == 0 {
                lost_until = row + 1 + random.index(17);
            }
            *row >= lost_until
        })
        .collect();
    let mut mask = vec![false; trial.rows.num_rows()];
    kept.iter().for_each(|row| mask[*row] = true);
    let rows = filter_record_batch(&trial.rows, &BooleanArray::from(mask)).expect("a mask of the same length");
    let planned = trial.plan(json!({}));
    let [bridged, heading, inclination] = trial.errors(&Run::whole(&planned, std::slice::from_ref(&rows)), &kept);
    let [unnoticed, ..] = trial.errors(&Run::whole(&planned, &[as_if_whole(&rows)]), &kept);
    let lost = 100.0 * (1.0 - kept.len() as f64 / trial.rows.num_rows() as f64);
    println!(
        "with {lost:.1} % lost in bursts: total {bridged:.3}° (heading {heading:.3}°, inclination {inclination:.3}°) bridged, {unnoticed:.3}° unnoticed"
    );
    assert!(bridged <= 2.5, "{bridged}° with {lost} % lost");
    assert!(bridged <= unnoticed / 2.0, "bridging gives {bridged}°, doing nothing {unnoticed}°");
}

/// The rows with times and counts as if none were missing.
fn as_if_whole(rows: &RecordBatch) -> RecordBatch {
    let rate = Rate::new(2000, 7).expect("a rate");
    let mut columns = rows.columns().to_vec();
    columns[0] = Arc::new((0..rows.num_rows() as i64).map(|k| rate.grid_time(k)).collect::<Int64Array>());
    columns[1] = Arc::new((0..rows.num_rows() as i64).collect::<Int64Array>());
    RecordBatch::try_new(rows.schema(), columns).expect("the schema stays")
}

#[test]
fn without_a_magnetometer_inclination_stays() {
    let Some(trial) = Trial::read("without_a_magnetometer_inclination_stays", TRIALS[1], true) else { return };
    let planned = trial.plan(json!({ "magnetometer": false }));
    let estimates = Run::whole(&planned, std::slice::from_ref(&trial.rows));
    let all: Vec<usize> = (0..estimates.num_rows()).collect();
    let inclination = trial.errors(&estimates, &all)[2];
    assert!(inclination <= 1.0, "inclination {inclination}°");
    let bare = Trial::read("without_a_magnetometer_inclination_stays", TRIALS[1], false).expect("it was there just now");
    let same = Run::whole(&bare.plan(json!({})), std::slice::from_ref(&bare.rows));
    assert_eq!(same, estimates, "a sensor without a magnetometer and one whose magnetometer isn't used are the same");
}

/// A sensor lying still, whose gyroscope has a bias about the vertical: gyro z in rad/s, gravity, no magnetometer.
fn still(port: &Port, device: i64, bias: f64, from_s: i64, to_s: i64) -> RecordBatch {
    let times: Vec<i64> = (from_s * 100..to_s * 100).map(|k| k * 10_000_000).collect();
    let columns = port.schema.columns.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            TIME | DEVICE_TIME => Arc::new(Int64Array::from(times.clone())),
            SEQUENCE => Arc::new(times.iter().map(|time| time / 10_000_000).collect::<Int64Array>()),
            DEVICE => Arc::new(Int64Array::from(vec![device; times.len()])),
            "gyro_z_rad_per_s" => Arc::new(Float64Array::from(vec![bias; times.len()])),
            "accel_z_m_per_s2" => Arc::new(Float64Array::from(vec![9.81; times.len()])),
            _ => Arc::new(Float64Array::from(vec![0.0; times.len()])),
        }
    });
    RecordBatch::try_new(port.schema.columns.clone(), columns.collect()).expect("the columns of an IMU")
}

#[test]
fn after_a_long_gap_the_filter_starts_anew_with_the_bias_it_learnt() {
    let file: SensorFile = serde_json::from_value(json!({ "kind": "imu", "rate": "100 Hz", "magnetometer": false })).expect("a sensor");
    let rig = RigFile { rig: "lab".to_owned(), sensors: [("pelvis".to_owned(), file)].into() }.resolve();
    let port = Port { stream: rig.sensors[0].stream(), schema: rig.sensors[0].stream_schema() };
    let registration = proprio_operators::operator("orientation").expect("orientation is registered");
    let planned = (registration.plan)(json!({}), std::slice::from_ref(&port)).expect("an IMU plans");
    let parts = [still(&port, 1, 0.02, 0, 20), still(&port, 1, 0.02, 30, 40), still(&port, 2, 0.02, 40, 50)];
    let rows = arrow_select::concat::concat_batches(&port.schema.columns, &parts).expect("parts of one stream");
    let out = Run::whole(&planned, &[rows]);
    assert_eq!(out.num_rows(), 4000, "no rows are made for lost samples");
    let settling = out.column(6).as_any().downcast_ref::<BooleanArray>().expect("a flag");
    let flags: Vec<bool> = [0, 299, 300, 1999, 2000, 2299, 2300].map(|row| settling.value(row)).to_vec();
    assert_eq!(flags, [true, true, false, false, true, true, false], "3 s after the start and after the restart");
    let heading_deg = |row: usize| 2.0 * (floats(&out, 4).value(row) / floats(&out, 1).value(row)).atan().to_degrees();
    // Unlearnt, the bias would turn the heading by 11° in these 10 s.
    assert!(heading_deg(2999).abs() < 0.2, "{}°", heading_deg(2999));
    assert_eq!([3000, 3299, 3300].map(|row| settling.value(row)), [true, true, false], "another device starts anew, gap or not");
    assert!(heading_deg(3100) > 0.5, "and its bias is not known yet: {}°", heading_deg(3100));
}
