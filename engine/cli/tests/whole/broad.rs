//! Does orientation keep VQF's accuracy when the samples go over zenoh and come back from SQL? On BROAD (Laidig et al. 2021).

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::harness::{Engine, finish, path, proprio, recording};

const TRIALS: [(&str, f64); 2] = [("16_undisturbed_fast_translation_B", 0.75), ("34_disturbed_attached_magnet_3cm", 3.36)];

#[test]
fn broad_over_zenoh_and_back_from_sql_has_vqf_accuracy() {
    for (trial, bound_deg) in TRIALS {
        let Some(file) = recording("BROAD over zenoh", &format!("imu/broad/{trial}.parquet")) else { return };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let rig = folder.path().join("rig.yaml");
        let output = finish(proprio().args(["play", path(&file), "--sensor", "imu", "--write-rig", path(&rig)]));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pipeline = folder.path().join("pipeline.yaml");
        let text = "pipeline: broad\nrig: rig.yaml\nsteps:\n  - { id: orientation, op: orientation, from: imu/* }\n";
        std::fs::write(&pipeline, text).expect("a temporary file");

        let engine = Engine::run(&pipeline);
        engine.command(&["play", path(&file), "--sensor", "imu", "--speed", "max"]);
        let found: Vec<[f64; 4]> = engine
            .sql("SELECT q_w, q_x, q_y, q_z FROM orientation ORDER BY time_ns")
            .iter()
            .map(|row| std::array::from_fn(|index| row[index].parse().expect("a quaternion has no gaps")))
            .collect();
        let truth = truth(&file);
        assert_eq!(found.len(), truth.len(), "every sample has its orientation");
        let error_deg = total_rmse_deg(&found, &truth);
        println!("{trial}: total RMSE {error_deg:.3}°, at most {bound_deg}°");
        assert!(error_deg <= bound_deg, "{trial}: {error_deg:.4}°");
    }
}

/// Optical quaternion per sample, where the trial counts and the optics saw it.
fn truth(file: &Path) -> Vec<Option<[f64; 4]>> {
    let file = std::fs::File::open(file).expect("the recording opens");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build()).expect("it is Parquet");
    let mut truth = Vec::new();
    for batch in reader {
        let batch: RecordBatch = batch.expect("it can be read");
        let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("it has {name}")).clone();
        let movement = column("movement");
        let reference = ["ref_w", "ref_x", "ref_y", "ref_z"].map(column);
        for row in 0..batch.num_rows() {
            let counts =
                movement.as_boolean_opt().map_or_else(|| movement.as_primitive::<Float64Type>().value(row) > 0.0, |moves| moves.value(row));
            let quaternion: [f64; 4] = std::array::from_fn(|index| {
                let values = reference[index].as_primitive::<Float64Type>();
                if values.is_null(row) { f64::NAN } else { values.value(row) }
            });
            truth.push((counts && quaternion.iter().all(|value| value.is_finite())).then_some(quaternion));
        }
    }
    truth
}

/// Root mean square of 2·acos|w| of the error quaternion, over the samples that count.
fn total_rmse_deg(found: &[[f64; 4]], truth: &[Option<[f64; 4]>]) -> f64 {
    let squares: Vec<f64> = found
        .iter()
        .zip(truth)
        .filter_map(|(found, truth)| {
            let w: f64 = found.iter().zip(&(*truth)?).map(|(a, b)| a * b).sum();
            Some((2.0 * w.abs().min(1.0).acos().to_degrees()).powi(2))
        })
        .collect();
    (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
}
