//! Does a functional calibration find how a sensor sits, refuse what it should with its reasons, and correct the joint angles?

use std::f64::consts::{PI, TAU};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use proprio_core::rig::RigFile;
use proprio_core::rows::{floats, integers, nan_as_null, strings};
use proprio_core::schema::{FieldExt, column, float, meta};
use proprio_core::{Carried, Planned, Port, Rate, StreamSchema};
use proprio_operators::kernels::quaternion::{Quaternion, conjugate, dot, multiply, normalized, rotate};
use serde_json::{Value, json};

use crate::run::Run;
use crate::signal::Random;

const RATE: i64 = 100;

/// A thigh's sensor through the procedure: stand, swing, stand.
struct Procedure {
    sensor_from_segment: Quaternion,
    swings: usize,
    /// How much of the angular rate is about the long axis instead.
    impurity: f64,
    /// By how much the wearer leans after the movement, in radians.
    lean: f64,
    noise: f64,
}

const GOOD: Procedure = Procedure { sensor_from_segment: [1.0, 0.0, 0.0, 0.0], swings: 6, impurity: 0.0, lean: 0.0, noise: 0.004 };

fn port() -> Port {
    let file = json!({ "kind": "imu", "rate": "100 Hz", "segment": "thigh", "side": "left", "magnetometer": false });
    let file = serde_json::from_value(file).expect("a sensor");
    let rig = RigFile { rig: "lab".to_owned(), sensors: [("thigh_left".to_owned(), file)].into() }.resolve();
    Port { stream: rig.sensors[0].stream(), schema: rig.sensors[0].stream_schema() }
}

impl Procedure {
    fn rows(&self, seed: u64) -> RecordBatch {
        self.rows_of(seed, 0, None)
    }

    /// Measured with a device, from a second on.
    fn rows_of(&self, seed: u64, from_s: i64, device: Option<i64>) -> RecordBatch {
        let mut random = Random::new(seed);
        let mut normal = move |sd: f64| sd * ((0..12).map(|_| random.unit()).sum::<f64>() - 6.0);
        let (still, swinging) = (4 * RATE as usize, 2 * RATE as usize * self.swings);
        let count = 2 * still + swinging;
        let mut columns: [Vec<f64>; 6] = Default::default();
        for k in 0..count {
            let t = k.saturating_sub(still) as f64 / RATE as f64;
            let is_swinging = (still..still + swinging).contains(&k);
            // Flexion to 60° and back every 2 s, about Z of the segment.
            let (angle, rate) = if is_swinging { (PI / 6.0 * (1.0 - (PI * t).cos()), PI * PI / 6.0 * (PI * t).sin()) } else { (0.0, 0.0) };
            let tilt = if k >= still + swinging { self.lean } else { angle };
            let gyro = [0.0, self.impurity * rate, rate];
            let gravity = [9.81 * tilt.sin(), 9.81 * tilt.cos(), 0.0];
            let [gyro, gravity] = [gyro, gravity].map(|vector| rotate(self.sensor_from_segment, vector));
            for axis in 0..3 {
                columns[axis].push(gyro[axis] + 0.01 + normal(self.noise));
                columns[3 + axis].push(gravity[axis] + normal(5.0 * self.noise));
            }
        }
        let times: ArrayRef =
            Arc::new((0..count as i64).map(|k| from_s * 1_000_000_000 + k * 1_000_000_000 / RATE).collect::<Int64Array>());
        let counts: ArrayRef = Arc::new((0..count as i64).collect::<Int64Array>());
        let schema = port().schema;
        let arrays = schema.columns.fields().iter().map(|field| match field.name().as_str() {
            "time_ns" | "device_time_ns" => times.clone(),
            "sequence" => counts.clone(),
            "device" => Arc::new(Int64Array::from(vec![device; count])),
            name => {
                let axis = ["_x_", "_y_", "_z_"].iter().position(|axis| name.contains(axis)).expect("an axis");
                nan_as_null(columns[axis + if name.starts_with("gyro") { 0 } else { 3 }].clone())
            }
        });
        RecordBatch::try_new(schema.columns.clone(), arrays.collect()).expect("an IMU's rows")
    }
}

fn plan(config: Value) -> Planned {
    let registration = proprio_operators::operator("segment_alignment").expect("it is registered");
    (registration.plan)(config, &[port()]).expect("an IMU plans")
}

fn text(planned: &Planned, rows: &RecordBatch, name: &str) -> Option<String> {
    let column = strings(rows, planned.output.index(name).expect("a column"));
    column.is_valid(0).then(|| column.value(0).to_owned())
}

fn number(planned: &Planned, rows: &RecordBatch, name: &str) -> f64 {
    floats(rows, planned.output.index(name).expect("a column")).value(0)
}

fn random_rotation(seed: u64) -> Quaternion {
    let mut random = Random::new(seed);
    normalized([(); 4].map(|()| (0..12).map(|_| random.unit()).sum::<f64>() - 6.0))
}

#[test]
fn any_mounting_is_found() {
    let planned = plan(json!({}));
    for seed in 0..40 {
        let sensor_from_segment = random_rotation(seed);
        let found = Run::whole(&planned, &[Procedure { sensor_from_segment, ..GOOD }.rows(seed)]);
        assert_eq!(found.num_rows(), 1, "seed {seed}");
        assert_eq!(text(&planned, &found, "verdict").as_deref(), Some("pass"), "seed {seed}: {:?}", text(&planned, &found, "reasons"));
        let start = planned.output.index("segment_from_sensor_q_w").expect("a rotation");
        let estimate = [0, 1, 2, 3].map(|part| floats(&found, start + part).value(0));
        let error_deg = 2.0 * dot(multiply(estimate, sensor_from_segment), [1.0, 0.0, 0.0, 0.0]).abs().min(1.0).acos().to_degrees();
        assert!(error_deg < 0.5, "seed {seed}: {error_deg}°");
        assert_eq!(integers(&found, planned.output.index("repetitions").expect("a count")).value(0), 6);
        assert!((number(&planned, &found, "range_deg") - 60.0).abs() < 1.0);
        // 4 s of standing, 12 s of swinging, and 3 s of standing again.
        assert!((proprio_core::rows::times(&found)[0] - 19_000_000_000).abs() <= 60_000_000, "{:?}", proprio_core::rows::times(&found));
    }
}

#[test]
fn what_fails_says_why() {
    let cases = [
        (Procedure { swings: 3, ..GOOD }, "too few repetitions"),
        (Procedure { lean: 0.15, ..GOOD }, "pose not repeated"),
        (Procedure { noise: 0.03, ..GOOD }, "turning at rest"),
        (Procedure { impurity: 0.3, ..GOOD }, "axis not level"),
    ];
    for (procedure, reason) in cases {
        let planned = plan(json!({}));
        let found = Run::whole(&planned, &[procedure.rows(1)]);
        assert_eq!(text(&planned, &found, "verdict").as_deref(), Some("fail"), "{reason}");
        assert_eq!(text(&planned, &found, "reasons").as_deref(), Some(reason));
    }
    let extension = plan(json!({ "first": "extension" }));
    let found = Run::whole(&extension, &[GOOD.rows(1)]);
    let start = extension.output.index("segment_from_sensor_q_w").expect("a rotation");
    assert!(floats(&found, start).value(0).abs() < 0.01, "the other way round it faces backwards");
}

#[test]
fn another_device_is_calibrated_anew() {
    let planned = plan(json!({}));
    let found = |second: Option<i64>| {
        let parts = [GOOD.rows_of(1, 0, Some(1)), GOOD.rows_of(2, 20, second)];
        let rows = arrow_select::concat::concat_batches(&port().schema.columns, &parts).expect("parts of one stream");
        let found = Run::whole(&planned, &[rows]);
        integers(&found, planned.output.index("device").expect("the device")).iter().collect::<Vec<_>>()
    };
    assert_eq!(found(Some(1)), [Some(1)], "the first calibration that passes holds");
    assert_eq!(found(None), [Some(1)], "and a device that says nothing is taken for the same");
    assert_eq!(found(Some(2)), [Some(1), Some(2)]);
}

#[test]
fn a_calibration_is_carried_over_to_the_same_device_alone() {
    let planned = plan(json!({}));
    let first = [GOOD.rows_of(1, 0, Some(1))];
    let found = Run::whole(&planned, &first);
    let id = text(&planned, &found, "calibration");
    let carried = Carried::of("alignment/thigh_left", "first", &planned.output, &found).expect("each has a text");
    let later = |device: i64| {
        let rows = [GOOD.rows_of(2, 100, Some(device))];
        let mut run = Run::carrying(&planned, &rows, &carried);
        run.reload();
        run.advance(100_500_000_000);
        run.reload();
        run.advance(i64::MAX);
        run.flush()
    };
    let same = later(1);
    assert_eq!((same.num_rows(), proprio_core::rows::times(&same)[0]), (1, 100_000_000_000), "it holds from the first sample on");
    assert_eq!(text(&planned, &same, "calibration"), id);
    assert_eq!(same.columns()[1..], found.columns()[1..]);
    let other = later(2);
    assert_eq!(other.num_rows(), 1);
    assert_ne!(text(&planned, &other, "calibration"), id, "another device is calibrated anew");
}

#[test]
fn joint_angles_wait_for_a_calibration_name_it_and_drop_it_with_its_device() {
    let sensor_from_segment = random_rotation(7);
    let alignment = plan(json!({}));
    let calibrated = Run::whole(&alignment, &[Procedure { sensor_from_segment, ..GOOD }.rows(7)]);
    let id = text(&alignment, &calibrated, "calibration").expect("an id");
    let rotation = |prefix: &str, segment: &str, side: Option<&str>| {
        let field = |part: &str| {
            let field = float(format!("{prefix}_q_{part}"), "1").frame("earth_enu").with(meta::SEGMENT, segment);
            side.map_or(field.clone(), |side| field.with(meta::SIDE, side))
        };
        ["w", "x", "y", "z"].map(field)
    };
    let mut fields = [rotation("pelvis", "pelvis", None), rotation("thigh", "thigh", Some("left"))].concat();
    fields.push(column("thigh_device", DataType::Int64));
    let fused = Port { stream: "fused".to_owned(), schema: StreamSchema::new(fields, &[], Some(Rate::hz(10))) };
    let upright = [0.5_f64.sqrt(), 0.5_f64.sqrt(), 0.0, 0.0];
    let flexed = |k: i64| {
        let half = 0.5 * (TAU / 12.0) * (k % 2) as f64;
        multiply(multiply(upright, [half.cos(), 0.0, 0.0, half.sin()]), conjugate(sensor_from_segment))
    };
    let count = 250;
    let times: ArrayRef = Arc::new((0..count).map(|k| k * 100_000_000).collect::<Int64Array>());
    let parts = |rotation: &dyn Fn(i64) -> Quaternion, part: usize| nan_as_null((0..count).map(|k| rotation(k)[part]).collect());
    let mut columns = vec![times];
    columns.extend((0..4).map(|part| parts(&|_| upright, part)));
    columns.extend((0..4).map(|part| parts(&flexed, part)));
    // Another device takes the sensor's place.
    let swapped = 230;
    columns.push(Arc::new((0..count).map(|k| (k % 7 > 0).then_some(if k < swapped { 1 } else { 2 })).collect::<Int64Array>()));
    let rows = RecordBatch::try_new(fused.schema.columns.clone(), columns).expect("rotations");
    let ports = [fused, Port { stream: "alignment/thigh_left".to_owned(), schema: alignment.output.clone() }];
    let registration = proprio_operators::operator("joint_angles").expect("it is registered");
    let angles = (registration.plan)(json!({ "heading": "90 deg" }), &ports).expect("it plans");
    let inputs = [rows, calibrated];
    let found = Run::whole(&angles, &inputs);
    let flexion = floats(&found, angles.output.index("hip_left_flexion_deg").expect("a hip"));
    let names = strings(&found, angles.output.index("calibration").expect("a name"));
    let known = (0..found.num_rows()).find(|row| flexion.is_valid(*row)).expect("angles after the calibration");
    assert!((188..=192).contains(&known), "row {known}");
    let swapped = swapped as usize;
    assert!((known..swapped).all(|row| names.value(row) == id && (flexion.value(row) - 30.0 * (row % 2) as f64).abs() < 0.5));
    assert!((0..known).all(|row| names.is_null(row)), "no calibration was in use before");
    assert!((swapped..found.num_rows()).all(|row| names.is_null(row) && flexion.is_null(row)), "nor with another device");
    let mut pieces = Run::new(&angles, &inputs);
    for advance in 0..60 {
        pieces.advance(advance * 433_000_000);
        pieces.reload();
    }
    assert_eq!(pieces.flush(), found);
}
