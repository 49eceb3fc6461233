//! Do gait events and parameters agree with what laboratories marked in their own recordings, with one set of defaults?

use arrow_array::{Array, RecordBatch};
use proprio_core::rig::RigFile;
use proprio_core::rows::{float_or_nan, floats, integers, strings, times};
use proprio_core::schema::{FieldExt, float};
use proprio_core::{Kind, Port, Rate, StreamSchema};
use proprio_files::{FileSensor, OpenOptions, Recording};
use proprio_operators::operator;
use serde_json::{Value, json};

use crate::run::Run;

/// A file of the labs, or `None` where it is absent.
fn recording(file: &str) -> Option<Recording> {
    let path = crate::recordings::recording(&format!("gait of {file}"), &format!("lab/{file}"))?;
    Some(proprio_files::open(&path, &OpenOptions::default()).unwrap_or_else(|error| panic!("{file}: {error}")))
}

/// A stream and all its rows.
type Stream = (Port, RecordBatch);

fn stream(recording: &Recording, sensor: &FileSensor) -> Stream {
    let rig = recording.rig("lab").resolve();
    let known = &rig.sensors[rig.sensor(&sensor.name).expect("a file's sensor is in its rig")];
    (Port { stream: known.stream(), schema: known.wire_schema() }, sensor.rows.clone())
}

fn streams(recording: &Recording, kind: Kind) -> Vec<Stream> {
    recording.sensors.iter().filter(|sensor| sensor.file.kind == kind).map(|sensor| stream(recording, sensor)).collect()
}

/// Runs one step over whole streams.
fn step(name: &str, op: &str, config: Value, inputs: &[Stream]) -> Stream {
    let (ports, rows): (Vec<Port>, Vec<RecordBatch>) = inputs.iter().cloned().unzip();
    let registration = operator(op).expect("the operator is registered");
    let planned = (registration.plan)(config, &ports).unwrap_or_else(|findings| panic!("{op}: {findings:#?}"));
    let found = Run::whole(&planned, &rows);
    (Port { stream: name.to_owned(), schema: planned.output }, found)
}

/// Plate events, marker events and parameters of a recording, with every other option left at its default.
fn analyse(recording: &Recording, plate_config: Value) -> [Stream; 3] {
    let (plates, markers) = (streams(recording, Kind::Force), streams(recording, Kind::Markers));
    let force = step("plates", "force_events", plate_config, &[plates, markers.clone()].concat());
    let feet = step("feet", "marker_events", json!({}), &markers);
    let cycles = step("cycles", "gait_parameters", json!({}), &[vec![force.clone(), feet.clone()], markers].concat());
    [force, feet, cycles]
}

/// (seconds, event, side) of every row.
fn events((port, rows): &Stream) -> Vec<(f64, String, String)> {
    let [event, side] = ["event", "side"].map(|name| strings(rows, port.schema.index(name).expect("an event stream")));
    let row = |(index, time): (usize, &i64)| (*time as f64 * 1e-9, event.value(index).to_owned(), side.value(index).to_owned());
    times(rows).iter().enumerate().map(row).collect()
}

#[test]
fn parameters_agree_with_those_of_the_annotated_events() {
    let Some(vicon) = recording("Vicon_analysis.c3d") else { return };
    let expected = step("expected", "gait_parameters", json!({}), &streams(&vicon, Kind::Events));
    // As in the pipeline `gait-lab`: this lab's marks lie where the force is near 15 N. 20 N moves single support by 6 ms.
    let [_, _, found] = analyse(&vicon, json!({ "threshold": "15 N" }));
    let mut compared = 0;
    for row in 0..found.1.num_rows() {
        let side = strings(&found.1, 1).value(row);
        let near = |other: &usize| {
            strings(&expected.1, 1).value(*other) == side && (times(&expected.1)[*other] - times(&found.1)[row]).abs() < 100_000_000
        };
        let Some(other) = (0..expected.1.num_rows()).find(near) else { panic!("the cycle at {} is not annotated", times(&found.1)[row]) };
        compared += compare_cycle(&expected, other, &found, row);
    }
    assert_eq!(found.1.num_rows(), 6, "the annotated cycles whose markers are there to the end");
    assert!(compared >= 30, "{compared} parameters were compared");
}

/// Compares each time of a cycle: 5 ms where plates give both its events, 25 ms where markers give one. Returns how many.
fn compare_cycle(expected: &Stream, other: usize, found: &Stream, row: usize) -> usize {
    let value =
        |(port, rows): &Stream, row: usize, name: &str| float_or_nan(floats(rows, port.schema.index(name).expect("a parameter")), row);
    let is_force = |name: &str| strings(&found.1, found.0.schema.index(name).expect("a method")).value(row) == "force";
    let stance = |stream: &Stream, row: usize| 0.01 * value(stream, row, "stance_percent") * value(stream, row, "stride_time_s");
    let measures = [
        ("stride_time_s", ["start_method", "end_method"]),
        ("step_time_s", ["opposite_contact_method", "end_method"]),
        ("single_support_s", ["opposite_off_method", "opposite_contact_method"]),
        ("initial_double_support_s", ["start_method", "opposite_off_method"]),
        ("terminal_double_support_s", ["opposite_contact_method", "off_method"]),
        ("stance", ["start_method", "off_method"]),
    ];
    let mut compared = 0;
    for (name, methods) in measures {
        let of = |stream: &Stream, row: usize| if name == "stance" { stance(stream, row) } else { value(stream, row, name) };
        let (is, due) = (of(found, row), of(expected, other));
        let force = methods.iter().all(|method| is_force(method));
        if is.is_nan() {
            continue;
        }
        let side = strings(&found.1, 1).value(row);
        println!("Vicon_analysis {side:5} {name:26} {is:.4} s, annotated {due:.4} s, {:+.1} ms, plates only: {force}", (is - due) * 1e3);
        assert!((is - due).abs() <= if force { 0.005 } else { 0.025 }, "{name} of the {side} cycle: {is} s instead of {due} s");
        compared += 1;
    }
    compared
}

#[test]
fn an_offset_plate_gives_the_events_of_the_same_plate_without_offset() {
    let Some(btk) = recording("btk_Gait.c3d") else { return };
    let plates = streams(&btk, Kind::Force);
    let found = events(&step("plates", "force_events", json!({}), &plates));
    let shifted: Vec<Stream> = plates.iter().map(|(port, rows)| (port.clone(), without_offset(port, rows))).collect();
    let expected = events(&step("plates", "force_events", json!({}), &shifted));
    assert_eq!(found.len(), 4);
    for (event, other) in found.iter().zip(&expected) {
        println!("btk_Gait {event:?}, with the offset removed beforehand {:.4} s", other.0);
        assert_eq!(event.1, other.1);
        assert!((event.0 - other.0).abs() < 0.000_5, "{event:?} {other:?}");
    }
}

/// Takes off the median vertical force: most of the time nobody stands on the plate.
fn without_offset(port: &Port, rows: &RecordBatch) -> RecordBatch {
    let index = port.schema.index("force_z_n").expect("a plate");
    let force = floats(rows, index);
    let mut sorted: Vec<f64> = force.values().to_vec();
    sorted.sort_by(f64::total_cmp);
    let offset = sorted[sorted.len() / 2];
    let mut columns = rows.columns().to_vec();
    columns[index] = std::sync::Arc::new(force.values().iter().map(|value| value - offset).collect::<arrow_array::Float64Array>());
    RecordBatch::try_new(rows.schema(), columns).expect("the same columns")
}

#[test]
fn cycles_start_where_their_foot_touched_the_ground() {
    let Some(vicon) = recording("Vicon_analysis.c3d") else { return };
    let [force, feet, cycles] = analyse(&vicon, json!({}));
    let contacts = [events(&force), events(&feet)].concat();
    let starts = integers(&cycles.1, cycles.0.schema.index("start_ns").expect("a start"));
    for row in 0..cycles.1.num_rows() {
        let (start, side) = (starts.value(row) as f64 * 1e-9, strings(&cycles.1, 1).value(row));
        assert!(
            contacts.iter().any(|event| event.1 == "initial_contact" && event.2 == side && (event.0 - start).abs() < 1e-6),
            "{start} {side}"
        );
        let speed = floats(&cycles.1, cycles.0.schema.index("speed_m_per_s").expect("a speed"));
        // Vicon's own figures are 1.19 and 1.12 m/s.
        assert!(speed.is_null(row) || (1.0..1.4).contains(&speed.value(row)), "{}", speed.value(row));
        println!("Vicon_analysis {side} cycle from {start:.3} s: {:.3} m/s", float_or_nan(speed, row));
    }
}
#[test]
fn a_real_trial_in_small_pieces_gives_the_same_events() {
    let Some(vicon) = recording("Vicon_analysis.c3d") else { return };
    let (plates, markers) = (streams(&vicon, Kind::Force), streams(&vicon, Kind::Markers));
    for (op, inputs) in [("force_events", [plates, markers.clone()].concat()), ("marker_events", markers)] {
        let (ports, rows): (Vec<Port>, Vec<RecordBatch>) = inputs.into_iter().unzip();
        let planned = (operator(op).expect("the operator is registered").plan)(json!({}), &ports).expect("the defaults plan");
        let mut pieces = Run::new(&planned, &rows);
        for advance in 0..200 {
            pieces.advance(advance * 37_000_000 - 1);
            if advance % 7 == 0 {
                pieces.reload();
            }
        }
        assert_eq!(pieces.flush(), Run::whole(&planned, &rows), "{op}");
    }
}

#[test]
fn the_rig_of_gait_lab_is_that_of_its_recording() {
    let Some(vicon) = recording("Vicon_analysis.c3d") else { return };
    let rig: RigFile = serde_saphyr::from_str(include_str!("../../../pipelines/gait-lab/rig.yaml")).expect("a rig file");
    assert_eq!(rig, vicon.rig("vicon-analysis"));
}

#[test]
fn a_trial_is_scored_against_a_table_from_its_markers_on() {
    let Some(vicon) = recording("Vicon_analysis.c3d") else { return };
    let [_, _, cycles] = analyse(&vicon, json!({}));
    let segments = step("segments", "marker_segments", json!({}), &streams(&vicon, Kind::Markers));
    let angles = step("angles", "joint_angles", json!({}), &[segments]);
    // A knee that is always bent by 20°, and a pelvis that is level.
    let norm = |degrees: f64| json!({ "mean": vec![degrees; 101] });
    let config = json!({ "reference": { "knee_flexion": norm(20.0), "pelvis_tilt": norm(0.0) }, "reference_spread": { "log_mean": 2.5, "log_sd": 0.2 } });
    let (port, scores) = step("scores", "gait_scores", config, &[angles, cycles.clone()]);
    assert_eq!(scores.num_rows(), cycles.1.num_rows());
    let value = |row: usize, name: &str| float_or_nan(floats(&scores, port.schema.index(name).expect("a score")), row);
    let variables = integers(&scores, port.schema.index("gps_variables").expect("a count"));
    let scored: Vec<usize> = (0..scores.num_rows()).filter(|row| variables.value(*row) == 2).collect();
    assert!(scored.len() >= 4, "{} of {} cycles have both variables", scored.len(), scores.num_rows());
    for row in scored {
        let (knee, tilt, profile) = (value(row, "gvs_knee_flexion_deg"), value(row, "gvs_pelvis_tilt_deg"), value(row, "gps_deg"));
        // A walking knee is between 0° and 65°, some 20° from its middle; an adult's pelvis is tilted by some 10°.
        assert!((12.0..30.0).contains(&knee) && (2.0..20.0).contains(&tilt), "{knee} {tilt}");
        assert!((profile - ((knee * knee + tilt * tilt) / 2.0).sqrt()).abs() < 1e-9);
        assert!((value(row, "gdi") - (100.0 - 10.0 * (profile.ln() - 2.5) / 0.2)).abs() < 1e-9);
        assert!(value(row, "outside_percent").is_nan(), "the table has no spread");
    }
}

#[test]
fn a_table_of_another_size_or_name_is_refused() {
    let angles = ["pelvis_tilt_deg", "knee_left_flexion_deg", "knee_right_flexion_deg"].map(|name| float(name, "deg"));
    let angles = Port { stream: "angles".to_owned(), schema: StreamSchema::new(angles.to_vec(), &[], Some(Rate::hz(100))) };
    let config =
        json!({ "baseline": 1, "reference": { "knee_flexion": { "mean": [1.0, 2.0] }, "hip_flexion": { "mean": vec![0.0; 51] } } });
    let findings = (operator("gait_scores").expect("the operator is registered").plan)(config, &[angles]).expect_err("findings");
    let said: Vec<String> = findings.into_iter().map(|finding| format!("{:?}: {}", finding.at, finding.message)).collect();
    let expected = [
        "Config(\"/baseline\"): a baseline has 2 to 200 cycles",
        "Config(\"/baseline\"): with `reference` there is no baseline",
        "Config(\"/reference/knee_flexion\"): a norm has 51 values (every 2 %) or 101 (every 1 %)",
        "Step: no stream of gait cycles among the inputs",
        "Config(\"/reference/hip_flexion\"): the angles have no `hip_flexion` of both sides",
    ];
    assert_eq!(said, expected);
}

#[test]
fn labels_and_plates_that_are_not_there_are_all_named() {
    let markers = Port { stream: "markers/subject".to_owned(), schema: marker_schema(&["LHEE", "LTOE", "RHEE"]) };
    let say = |op: &str, config: Value, ports: &[Port]| {
        let findings = (operator(op).expect("the operator is registered").plan)(config, ports).expect_err("findings");
        findings.into_iter().map(|finding| format!("{:?}: {}", finding.at, finding.message)).collect::<Vec<_>>()
    };
    let config = json!({ "left": { "heel": "LHEEL" }, "pelvis": ["SACR"], "bridge": "2 s" });
    let expected = [
        "Config(\"/bridge\"): only gaps of up to 500 ms can be bridged",
        "Config(\"/left/heel\"): there is no marker `LHEEL`",
        "Config(\"/right/toe\"): no toe label of a common marker set is there for the right foot",
        "Config(\"/pelvis/0\"): there is no marker `SACR`",
    ];
    assert_eq!(say("marker_events", config, std::slice::from_ref(&markers)), expected);
    let expected = ["Step: no force plate among the inputs", "Config(\"/side/plate_1\"): there is no plate `plate_1`"];
    assert_eq!(say("force_events", json!({ "side": { "plate_1": "left" } }), std::slice::from_ref(&markers)), expected);
    assert_eq!(say("gait_parameters", json!({}), &[markers]), ["Step: no stream of gait events among the inputs"]);
}

#[test]
fn sensors_that_tell_no_foot_apart_are_all_named() {
    let imu = |name: &str, rate: u64| {
        let file = serde_json::from_value(json!({ "kind": "imu", "rate": format!("{rate} Hz") })).expect("a sensor");
        let rig = RigFile { rig: "lab".to_owned(), sensors: [(name.to_owned(), file)].into() }.resolve();
        Port { stream: rig.sensors[0].stream(), schema: rig.sensors[0].stream_schema() }
    };
    let say = |op: &str, config: Value, ports: &[Port]| {
        let findings = (operator(op).expect("the operator is registered").plan)(config, ports).expect_err("findings");
        findings.into_iter().map(|finding| format!("{:?}: {}", finding.at, finding.message)).collect::<Vec<_>>()
    };
    let config = json!({ "side": { "imu_3": "left" }, "still_deg_per_s": 400.0 });
    let expected = [
        "Input(1): `imu/imu_1` and `imu/imu_2` are both on the unknown foot",
        "Config(\"/side/imu_3\"): there is no sensor `imu_3`",
        "Config(\"/still_deg_per_s\"): a flat foot turns by less than 5 to 150 degrees a second",
    ];
    assert_eq!(say("foot_imu_events", config, &[imu("imu_1", 100), imu("imu_2", 100)]), expected);
    let mut pelvis = imu("pelvis", 100);
    let fields = pelvis.schema.columns.fields().iter().map(|field| field.as_ref().clone().with("segment", "pelvis")).skip(1);
    pelvis.schema = StreamSchema::new(fields.collect(), &[], pelvis.schema.rate);
    assert_eq!(say("foot_imu_events", json!({}), &[pelvis]), ["Step: no foot's IMU among the inputs"]);
    let slow = imu("foot_left", 20);
    let expected = ["Input(0): `imu/foot_left` runs at 20 Hz, which is not between 50 Hz and 4000 Hz"];
    assert_eq!(say("foot_trajectory", json!({}), std::slice::from_ref(&slow)), expected);
    let expected = ["Input(0): `imu/foot_left` has no rate between 40 Hz and 1000 Hz"];
    assert_eq!(say("lower_back_events", json!({}), std::slice::from_ref(&slow)), expected);
    assert_eq!(say("gait_phase", json!({}), &[slow]), ["Input(0): `imu/foot_left` is no stream of gait events"]);
}

fn marker_schema(labels: &[&str]) -> StreamSchema {
    let axes = |label: &&str| ["x", "y", "z"].map(|axis| float(format!("{label}_{axis}_m"), "m").frame("lab"));
    StreamSchema::new(labels.iter().flat_map(axes).collect(), &[], Some(Rate::hz(100)))
}
