//! Does the judgement of windows find what the optical truth of BROAD (Laidig et al. 2021) says about the magnetic field? Windows whose
//! field, turned to the earth by optics, is off the first half minute's by more than 10 % or 10° in more than half of the samples are
//! disturbed, those with less than a tenth are not, and between them is no truth: the magnetometer's own delay makes a fast turn look like
//! it.

use arrow_array::{Array, BooleanArray, Float64Array, RecordBatch};
use proprio_core::rows::{float_or_nan, times};
use proprio_core::schema::TIME;
use proprio_operators::kernels::quaternion::{Quaternion, rotate};
use serde_json::json;

use super::Suite;
use super::orientation::imu;
use crate::bench::Bench;
use crate::error::AccuracyError;
use crate::figure::Figure;

pub const SUITE: Suite = Suite { name: "imu_quality", about: "disturbed windows found on BROAD, against optics", measure };

const FILES: [&str; 6] = [
    "06_undisturbed_fast_rotation_A",
    "16_undisturbed_fast_translation_B",
    "21_undisturbed_fast_combined",
    "28_disturbed_stationary_magnet_A",
    "32_disturbed_attached_magnet_1cm",
    "34_disturbed_attached_magnet_3cm",
];
/// A window is truly disturbed when more than this share of its samples is, and
const DISTURBED_SHARE: f64 = 0.5;
/// truly not when less than this is.
const CLEAN_SHARE: f64 = 0.1;
const NORM_SHARE: f64 = 0.1;
const DIP_DEG: f64 = 10.0;
/// The first half minute is at rest and undisturbed in every trial.
const REFERENCE_NS: i64 = 30_000_000_000;

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let (mut disturbed, mut found, mut clean, mut false_alarms) = (0.0, 0.0, 0.0, 0.0);
    for file in FILES {
        let table = bench.parquet(&format!("imu/broad/{file}.parquet"))?;
        let stream = imu(&table);
        let sample_times = times(&stream.1).to_vec();
        let truth = disturbed_samples(&table, &sample_times);
        let (_, windows) = bench.step("quality/imu", "imu_quality", json!({}), &[stream])?;
        let judged = windows.column_by_name("mag_disturbed").expect("the operator has the column");
        let judged = judged.as_any().downcast_ref::<BooleanArray>().expect("a flag");
        let mut begin = 0;
        for (row, end_ns) in times(&windows).iter().enumerate() {
            let end = sample_times.partition_point(|time| time < end_ns);
            let known: Vec<bool> = truth[begin..end].iter().flatten().copied().collect();
            begin = end;
            if known.is_empty() || judged.is_null(row) {
                continue;
            }
            let is_found = f64::from(u8::from(judged.value(row)));
            let share = known.iter().filter(|is_off| **is_off).count() as f64 / known.len() as f64;
            if share > DISTURBED_SHARE {
                disturbed += 1.0;
                found += is_found;
            } else if share < CLEAN_SHARE {
                clean += 1.0;
                false_alarms += is_found;
            }
        }
    }
    Ok(vec![
        Figure::higher("imu_quality.disturbed_windows_found", 100.0 * found / disturbed, "%").gate(90.0).aim(98.0),
        Figure::lower("imu_quality.false_alarms", 100.0 * false_alarms / clean, "%").gate(5.0).aim(1.0),
    ])
}

/// By sample, whether the field is off; `None` where optics saw nothing.
fn disturbed_samples(table: &RecordBatch, sample_times: &[i64]) -> Vec<Option<bool>> {
    assert!(table.column_by_name(TIME).is_none(), "BROAD's times are in seconds");
    let column = |name: &str| table.column_by_name(name).expect("BROAD has the column").clone();
    let read = |name: &str| {
        let column = column(name);
        let column = column.as_any().downcast_ref::<Float64Array>().expect("floats").clone();
        (0..column.len()).map(|row| float_or_nan(&column, row)).collect::<Vec<f64>>()
    };
    let (q, mag) = (["ref_w", "ref_x", "ref_y", "ref_z"].map(read), ["mag_x", "mag_y", "mag_z"].map(read));
    let field = |row: usize| {
        let rotation: Quaternion = q.each_ref().map(|column| column[row]);
        let [x, y, z] = rotate(rotation, mag.each_ref().map(|column| column[row]));
        let norm = (x * x + y * y + z * z).sqrt();
        norm.is_finite().then(|| [norm, (-z / norm).asin().to_degrees()])
    };
    let fields: Vec<Option<[f64; 2]>> = (0..sample_times.len()).map(field).collect();
    let first: Vec<[f64; 2]> =
        fields.iter().zip(sample_times).filter(|(_, time)| **time < REFERENCE_NS).filter_map(|(field, _)| *field).collect();
    let mean = |k: usize| first.iter().map(|field| field[k]).sum::<f64>() / first.len() as f64;
    let (norm, dip_deg) = (mean(0), mean(1));
    let is_off = |field: [f64; 2]| (field[0] / norm - 1.0).abs() > NORM_SHARE || (field[1] - dip_deg).abs() > DIP_DEG;
    fields.into_iter().map(|field| field.map(is_off)).collect()
}
