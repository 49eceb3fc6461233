//! Nine-axis orientation on a recording of BROAD (Laidig et al. 2021), beside the official VQF in C++.

use arrow_array::{Array as _, BooleanArray, Float64Array, RecordBatch};
use proprio_accuracy::streams;
use proprio_core::rows::{float_or_nan, floats};
use proprio_operators::kernels::quaternion::{Quaternion, conjugate, multiply};

use crate::answer::Answer;
use crate::error::BenchError;
use crate::peer::Peer;
use crate::replay::{Replay, Tables};
use crate::work::{Bench, Prepared, Work};

pub const WORK: Work =
    Work { name: "orientation", about: "nine-axis orientation of one IMU, BROAD trial 16, in packets of a second", prepare };

const FILE: &str = "imu/broad/16_undisturbed_fast_translation_B.parquet";
const PACKET_NS: i64 = 1_000_000_000;
const RIG: &str = "
rig: bench
sensors:
  imu: { kind: imu, rate: 2000/7 Hz }
";
const PIPELINE: &str = "
pipeline: bench
rig: rig.yaml
steps:
  - { id: orientation, op: orientation, from: imu/imu }
";
const PARTS: [&str; 4] = ["q_w", "q_x", "q_y", "q_z"];

fn prepare(bench: &Bench) -> Result<Prepared, BenchError> {
    let recordings = proprio_accuracy::Bench::new(bench.recordings.clone());
    let (_, rows) = streams(&recordings, FILE, &Default::default())?.remove(0);
    let ours = Replay::new(bench.wire, RIG, PIPELINE, &[("imu", rows.clone())], PACKET_NS)?;
    let measured =
        rows.schema_ref().fields().iter().zip(0..).filter(|(field, _)| field.name().contains('_') && !field.name().ends_with("_ns"));
    let inputs = measured.fold(Answer::default(), |inputs, (field, column)| inputs.with(field.name(), numbers(floats(&rows, column))));
    let inputs = truth(&recordings.parquet(FILE)?).into_iter().fold(inputs, |inputs, (name, values)| inputs.with(name, values));
    let peer = Peer {
        name: "VQF (C++)",
        packages: &["numpy==2.4.6", "vqf==2.1.2"],
        script: include_str!("../peers/orientation.py"),
        agree,
        at_least: 1.0,
        aim: 2.0,
    };
    Ok(Prepared::new(9 * rows.num_rows() as u64, ours, answer, inputs, vec![peer]))
}

/// The optical orientation, NaN where it isn't judged.
fn truth(table: &RecordBatch) -> Vec<(String, Vec<f64>)> {
    let column = |name: &str| table.column_by_name(name).expect("BROAD has the column").clone();
    let moving = column("movement");
    let moving = moving.as_any().downcast_ref::<BooleanArray>().expect("a mask");
    let parts = ["ref_w", "ref_x", "ref_y", "ref_z"].into_iter().zip(PARTS);
    let part = |(theirs, name): (&str, &str)| {
        let values = column(theirs);
        let values = values.as_any().downcast_ref::<Float64Array>().expect("floats");
        let judged = |row: usize| if moving.is_valid(row) && moving.value(row) { float_or_nan(values, row) } else { f64::NAN };
        (format!("truth_{name}"), (0..values.len()).map(judged).collect())
    };
    parts.map(part).collect()
}

fn numbers(column: &Float64Array) -> Vec<f64> {
    (0..column.len()).map(|row| float_or_nan(column, row)).collect()
}

fn answer(tables: &Tables) -> Answer {
    let rows = &tables["orientation"];
    let column = |name: &str| numbers(floats(rows, rows.schema_ref().index_of(name).expect("an orientation's column")));
    PARTS.iter().fold(Answer::default(), |answer, name| answer.with(*name, column(name)))
}

/// Ours does more (it takes the field apart into the earth's and the sensor's own), so the headings are meant to differ: ours must be at
/// least as near to the optical truth, and the inclinations the same.
fn agree(ours: &Answer, theirs: &Answer) -> Result<String, String> {
    let quaternion = |answer: &Answer, prefix: &str, row: usize| -> Quaternion {
        PARTS.map(|name| answer.column(&format!("{prefix}{name}")).get(row).copied().unwrap_or(f64::NAN))
    };
    let count = theirs.column("q_w").len();
    let (mut inclination_deg, mut errors, mut judged) = (0.0_f64, [0.0, 0.0], 0.0);
    for row in 0..count {
        let (our, their, truth) = (quaternion(ours, "", row), quaternion(theirs, "", row), quaternion(theirs, "truth_", row));
        let [w, _, _, z] = multiply(our, conjugate(their));
        let cosine = (w * w + z * z).sqrt();
        inclination_deg = if cosine.is_nan() { f64::INFINITY } else { inclination_deg.max(2.0 * libm::acos(cosine.min(1.0)).to_degrees()) };
        if truth[0].is_finite() {
            judged += 1.0;
            for (error, estimate) in errors.iter_mut().zip([our, their]) {
                let angle_deg = 2.0 * libm::acos(multiply(estimate, conjugate(truth))[0].abs().min(1.0)).to_degrees();
                *error += angle_deg * angle_deg;
            }
        }
    }
    let [our_deg, their_deg] = errors.map(|sum| (sum / judged).sqrt());
    let says = format!("{our_deg:.3}° RMS from optics, theirs {their_deg:.3}°; the inclinations are within {inclination_deg:.0e}°");
    if ours.column("q_w").len() == count && inclination_deg < 1e-3 && our_deg <= their_deg + 0.01 { Ok(says) } else { Err(says) }
}
