//! Does a functional calibration find how a sensor sits, refuse what it should with its reasons, and correct the joint angles?

use std::f64::consts::TAU;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use proprio_core::rows::{floats, integers, nan_as_null, strings};
use proprio_core::schema::{FieldExt, column, float, meta};
use proprio_core::{Carried, Planned, Port, Rate, StreamSchema};
use proprio_operators::kernels::quaternion::{Quaternion, conjugate, dot, from_axes, multiply, rotate};
use proprio_simulate::{Calibration, Options, Placement, Simulation};
use serde_json::{Value, json};

use crate::run::Run;

const SENSOR: &str = "thigh_left";

/// The left thigh's sensor through the squats of a procedure, sitting in any direction.
fn procedure(calibration: Calibration, seed: u64) -> Simulation {
    let duration_s = calibration.squats_s().1 + calibration.still_s;
    let mut options = Options { seed, duration_s, placement: Placement::Anyhow, calibration: Some(calibration), ..Options::default() };
    options.faults.dropout = 0.0;
    Simulation::of_sensors(options, |name| name == SENSOR).expect("sound options")
}

fn good() -> Calibration {
    Calibration { still_s: 3.5, squat_s: 2.0, ..Calibration::default() }
}

fn port() -> Port {
    let simulation = procedure(good(), 0);
    let sensor = &simulation.rig().sensors[0];
    Port { stream: sensor.stream(), schema: sensor.stream_schema() }
}

fn rows(calibration: Calibration, seed: u64) -> RecordBatch {
    rows_of(calibration, seed, 0, None)
}

/// What the sensor sends, from a second of event time on, by a device.
fn rows_of(calibration: Calibration, seed: u64, from_s: i64, device: Option<i64>) -> RecordBatch {
    let simulation = procedure(calibration, seed);
    let (start_ns, schema) = (simulation.options().start_ns - from_s * 1_000_000_000, port().schema);
    let sent: Vec<RecordBatch> = simulation.map(|packet| packet.rows).collect();
    let sent = arrow_select::concat::concat_batches(&sent[0].schema(), &sent).expect("packets of one stream");
    let count = sent.num_rows();
    let times: ArrayRef = Arc::new(proprio_core::rows::times(&sent).iter().map(|time| time - start_ns).collect::<Int64Array>());
    let arrays = schema.columns.fields().iter().map(|field| match field.name().as_str() {
        "time_ns" | "device_time_ns" => times.clone(),
        "sequence" => Arc::new((0..count as i64).collect::<Int64Array>()),
        "device" => Arc::new(Int64Array::from(vec![device; count])),
        name => sent.column_by_name(name).expect("what the sensor measures").clone(),
    });
    RecordBatch::try_new(schema.columns.clone(), arrays.collect()).expect("an IMU's rows")
}

/// How the sensor sits, in truth.
fn sensor_from_segment(seed: u64) -> Quaternion {
    let turn = procedure(good(), seed).segment_from_sensor(SENSOR);
    let [forward, up, right] = [0, 1, 2].map(|axis| [0, 1, 2].map(|row| turn[(row, axis)]));
    conjugate(from_axes(forward, up, right))
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

#[test]
fn any_mounting_is_found() {
    let planned = plan(json!({}));
    for seed in 0..40 {
        let found = Run::whole(&planned, &[rows(good(), seed)]);
        assert_eq!(found.num_rows(), 1, "seed {seed}");
        assert_eq!(text(&planned, &found, "verdict").as_deref(), Some("pass"), "seed {seed}: {:?}", text(&planned, &found, "reasons"));
        let start = planned.output.index("segment_from_sensor_q_w").expect("a rotation");
        let estimate = [0, 1, 2, 3].map(|part| floats(&found, start + part).value(0));
        let error_deg = 2.0 * dot(multiply(estimate, sensor_from_segment(seed)), [1.0, 0.0, 0.0, 0.0]).abs().min(1.0).acos().to_degrees();
        assert!(error_deg < 0.5, "seed {seed}: {error_deg}°");
        assert_eq!(integers(&found, planned.output.index("repetitions").expect("a count")).value(0), 6);
        assert!((number(&planned, &found, "range_deg") - 50.0).abs() < 1.0);
        // 3.5 s of standing, 12 s of squats, and 3 s of standing again, which begins as the last squat ends slowly.
        let at_ns = proprio_core::rows::times(&found)[0];
        assert!((18_300_000_000..18_520_000_000).contains(&at_ns), "{at_ns}");
    }
}

#[test]
fn what_fails_says_why() {
    let cases = [
        (Calibration { repetitions: 3, ..good() }, "too few repetitions"),
        (Calibration { pose_change_deg: 9.0, ..good() }, "pose not repeated"),
        (Calibration { sway_deg_per_s: 6.0, ..good() }, "turning at rest"),
        (Calibration { slant_deg: 16.0, ..good() }, "axis not level"),
        (Calibration { twist: 1.0, ..good() }, "movement about several axes; axis not level"),
    ];
    for (procedure, reason) in cases {
        let planned = plan(json!({}));
        let found = Run::whole(&planned, &[rows(procedure, 1)]);
        assert_eq!(text(&planned, &found, "verdict").as_deref(), Some("fail"), "{reason}");
        assert_eq!(text(&planned, &found, "reasons").as_deref(), Some(reason));
    }
    let extension = plan(json!({ "first": "extension" }));
    let found = Run::whole(&extension, &[rows(good(), 1)]);
    let start = extension.output.index("segment_from_sensor_q_w").expect("a rotation");
    let estimate = [0, 1, 2, 3].map(|part| floats(&found, start + part).value(0));
    let forward = rotate(multiply(estimate, sensor_from_segment(1)), [1.0, 0.0, 0.0]);
    assert!(forward[0] < -0.999, "the other way round it faces backwards: {forward:?}");
}

#[test]
fn another_device_is_calibrated_anew() {
    let planned = plan(json!({}));
    let found = |second: Option<i64>| {
        let parts = [rows_of(good(), 1, 0, Some(1)), rows_of(good(), 2, 20, second)];
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
    let first = [rows_of(good(), 1, 0, Some(1))];
    let found = Run::whole(&planned, &first);
    let id = text(&planned, &found, "calibration");
    let carried = Carried::of("alignment/thigh_left", "first", &planned.output, &found).expect("each has a text");
    let later = |device: i64| {
        let rows = [rows_of(good(), 2, 100, Some(device))];
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
    let anew = plan(json!({ "carry": false }));
    assert_eq!((planned.carries.as_deref(), anew.carries), (Some("verdict = 'pass'"), None), "what is put on anew carries nothing");
}

#[test]
fn joint_angles_wait_for_a_calibration_name_it_and_drop_it_with_its_device() {
    let sensor_from_segment = sensor_from_segment(7);
    let alignment = plan(json!({}));
    let calibrated = Run::whole(&alignment, &[rows(good(), 7)]);
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
    assert!((183..=186).contains(&known), "row {known}");
    let swapped = swapped as usize;
    assert!((known..swapped).all(|row| names.value(row) == id && (flexion.value(row) - 30.0 * (row % 2) as f64).abs() < 0.5));
    assert!((0..known).all(|row| names.is_null(row)), "no calibration was in use before");
    assert!((swapped..found.num_rows()).all(|row| names.is_null(row) && flexion.is_null(row)), "nor with another device");
    let provisional = (registration.plan)(json!({ "heading": "90 deg", "until_calibrated": "provisional" }), &ports).expect("it plans");
    let early = Run::whole(&provisional, &inputs);
    assert!((0..early.num_rows()).all(|row| floats(&early, 1).is_valid(row) && floats(&early, 4).is_valid(row)), "angles all along");
    assert_eq!(early.slice(known, swapped - known), found.slice(known, swapped - known), "and the same once it is calibrated");
    assert_eq!(early.columns().last(), found.columns().last(), "calibrations in use are named alike");
    let mut pieces = Run::new(&angles, &inputs);
    for advance in 0..60 {
        pieces.advance(advance * 433_000_000);
        pieces.reload();
    }
    assert_eq!(pieces.flush(), found);
}
