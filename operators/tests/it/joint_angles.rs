//! Do joint angles have the right size and sign for poses whose angles are known, whatever the mounting and the heading?

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;
use proprio_core::rig::{RigFile, SensorFile};
use proprio_core::rows::{floats, nan_as_null};
use proprio_core::schema::{FieldExt, column, float, meta};
use proprio_core::{Planned, Port, Rate, StreamSchema};
use proprio_operators::kernels::quaternion::{Quaternion, multiply, normalized};
use proprio_operators::kernels::segment::earth_from_upright;
use serde_json::{Value, json};

use crate::run::Run;
use crate::signal::Random;

const SEGMENTS: [(&str, Option<&str>); 8] = [
    ("pelvis", None),
    ("thorax", None),
    ("thigh", Some("left")),
    ("shank", Some("left")),
    ("foot", Some("left")),
    ("thigh", Some("right")),
    ("shank", Some("right")),
    ("foot", Some("right")),
];

/// Where each segment hangs: index of its proximal one.
const PROXIMAL: [Option<usize>; 8] = [None, Some(0), Some(0), Some(2), Some(3), Some(0), Some(5), Some(6)];

fn port(frame: &str) -> Port {
    let fields = SEGMENTS.iter().enumerate().flat_map(|(k, (segment, side))| {
        ["w", "x", "y", "z"].map(|part| {
            let field = float(format!("s{k}_q_{part}"), "1").frame(frame).with("segment", segment);
            side.map_or(field.clone(), |side| field.with("side", side))
        })
    });
    Port { stream: "fused".to_owned(), schema: StreamSchema::new(fields.collect(), &[], Some(Rate::hz(100))) }
}

fn plan(frame: &str, config: Value) -> Result<Planned, proprio_core::Findings> {
    let registration = proprio_operators::operator("joint_angles").expect("joint_angles is registered");
    (registration.plan)(config, &[port(frame)])
}

/// A turn about an ISB axis (x forward, y up, z right) by the right-hand rule.
fn turn(axis: char, degrees: f64) -> Quaternion {
    let half = degrees.to_radians() / 2.0;
    let mut q = [half.cos(), 0.0, 0.0, 0.0];
    q["xyz".find(axis).expect("an axis") + 1] = half.sin();
    q
}

/// The segments' orientations in the earth frame, when each is turned against its proximal one, and the pelvis against
/// an upright body that faces `azimuth`.
fn pose(azimuth_deg: f64, turns: &[(usize, Quaternion)]) -> Vec<Quaternion> {
    let mut out: Vec<Quaternion> = Vec::new();
    for (k, proximal) in PROXIMAL.iter().enumerate() {
        let base = proximal.map_or_else(|| earth_from_upright(azimuth_deg.to_radians()), |proximal| out[proximal]);
        let own = turns.iter().filter(|(segment, _)| *segment == k).fold([1.0, 0.0, 0.0, 0.0], |q, (_, turn)| multiply(q, *turn));
        out.push(multiply(base, own));
    }
    out
}

/// The value of an angle in the last of these poses, 10 ms apart.
fn angle(planned: &Planned, frame: &str, poses: &[Vec<Quaternion>], name: &str) -> f64 {
    let times: ArrayRef = Arc::new((0..poses.len() as i64).map(|k| k * 10_000_000).collect::<Int64Array>());
    let part = |segment: usize, part: usize| nan_as_null(poses.iter().map(|pose| pose[segment][part]).collect());
    let parts = (0..SEGMENTS.len()).flat_map(|segment| (0..4).map(move |k| part(segment, k)));
    let rows = RecordBatch::try_new(port(frame).schema.columns, std::iter::once(times).chain(parts).collect()).expect("poses fit");
    let out = Run::whole(planned, &[rows]);
    let index = planned.output.index(name).unwrap_or_else(|| panic!("no column {name}"));
    floats(&out, index).value(poses.len() - 1)
}

#[test]
fn every_angle_is_positive_in_the_direction_that_the_manual_says() {
    // Turned by the right-hand rule about z: front up. About x: right side down. About y: to the left.
    let cases = [
        (0, 'z', -1.0, "pelvis_tilt_deg"),
        (0, 'x', -1.0, "pelvis_obliquity_deg"),
        (0, 'y', 1.0, "pelvis_rotation_deg"),
        (1, 'z', -1.0, "lumbar_flexion_deg"),
        (1, 'x', 1.0, "lumbar_lateral_bend_deg"),
        (1, 'y', 1.0, "lumbar_rotation_deg"),
        (1, 'z', -1.0, "thorax_tilt_deg"),
        (1, 'x', 1.0, "thorax_lean_deg"),
        (2, 'z', 1.0, "hip_left_flexion_deg"),
        (2, 'x', -1.0, "hip_left_adduction_deg"),
        (5, 'x', 1.0, "hip_right_adduction_deg"),
        (2, 'y', -1.0, "hip_left_rotation_deg"),
        (5, 'y', 1.0, "hip_right_rotation_deg"),
        (3, 'z', -1.0, "knee_left_flexion_deg"),
        (6, 'x', 1.0, "knee_right_adduction_deg"),
        (4, 'z', 1.0, "ankle_left_dorsiflexion_deg"),
        (4, 'x', -1.0, "ankle_left_inversion_deg"),
        (7, 'x', 1.0, "ankle_right_inversion_deg"),
        (7, 'y', 1.0, "ankle_right_rotation_deg"),
        (4, 'y', -1.0, "foot_left_progression_deg"),
        (7, 'y', 1.0, "foot_right_progression_deg"),
    ];
    let planned = plan("earth_enu", json!({ "heading": "90 deg" })).expect("it plans");
    for (segment, axis, sign, name) in cases {
        let value = angle(&planned, "earth_enu", &[pose(0.0, &[(segment, turn(axis, sign * 20.0))])], name);
        assert!((value - 20.0).abs() < 1e-9, "{name}: {value}");
    }
}

#[test]
fn joints_come_apart_in_the_order_flexion_adduction_rotation() {
    let planned = plan("earth_enu", json!({})).expect("it plans");
    let poses = [pose(77.0, &[(5, turn('z', 50.0)), (5, turn('x', -12.0)), (5, turn('y', 7.0)), (6, turn('z', -60.0))])];
    for (name, due) in [
        ("hip_right_flexion_deg", 50.0),
        ("hip_right_adduction_deg", -12.0),
        ("hip_right_rotation_deg", 7.0),
        ("knee_right_flexion_deg", 60.0),
    ] {
        let value = angle(&planned, "earth_enu", &poses, name);
        assert!((value - due).abs() < 1e-9, "{name}: {value}");
    }
}

#[test]
fn tilt_and_obliquity_do_not_depend_on_the_heading() {
    let planned = plan("earth_enu", json!({})).expect("it plans");
    for azimuth in [-170.0, -45.0, 0.0, 90.0, 135.0] {
        let poses = [pose(azimuth, &[(0, turn('x', -6.0)), (0, turn('z', -12.0))])];
        let (tilt, obliquity) =
            (angle(&planned, "earth_enu", &poses, "pelvis_tilt_deg"), angle(&planned, "earth_enu", &poses, "pelvis_obliquity_deg"));
        assert!((tilt - 12.0).abs() < 1e-9 && (obliquity - 6.0).abs() < 1e-9, "facing {azimuth}: {tilt}, {obliquity}");
    }
}

#[test]
fn feet_progress_against_the_lab_or_against_where_the_pelvis_faces() {
    let feet = [(4, turn('y', 12.0)), (4, turn('z', -40.0)), (7, turn('y', -9.0)), (7, turn('z', 15.0))];
    let (lab, pelvis) = (json!({ "heading": "60 deg" }), json!({ "progression": "pelvis" }));
    for (config, azimuth_deg) in [(lab, 30.0), (pelvis.clone(), 30.0), (pelvis, -110.0)] {
        let planned = plan("earth_enu", config).expect("it plans");
        for (name, due) in [("foot_left_progression_deg", -12.0), ("foot_right_progression_deg", -9.0)] {
            let value = angle(&planned, "earth_enu", &[pose(azimuth_deg, &feet)], name);
            assert!((value - due).abs() < 1e-9, "{name} facing {azimuth_deg}: {value}");
        }
    }
    let neutral = plan("earth_up", json!({ "neutral": "100 ms" })).expect("it plans");
    assert!(neutral.output.index("foot_left_progression_deg").is_some(), "a neutral pose is a common heading");
}

#[test]
fn a_neutral_pose_takes_out_how_sensors_sit_and_where_their_heading_began() {
    let mut random = Random::new(3);
    // Each sensor is tipped in its own forward plane and has a heading of its own, as without a magnetometer.
    let tipped: Vec<Quaternion> = SEGMENTS.iter().map(|_| turn('z', 60.0 * random.unit() - 30.0)).collect();
    let headings: Vec<Quaternion> = SEGMENTS
        .iter()
        .map(|_| {
            let half = 3.0 * random.unit();
            [half.cos(), 0.0, 0.0, half.sin()]
        })
        .collect();
    let sensed = |pose: Vec<Quaternion>| -> Vec<Quaternion> {
        pose.iter().zip(&tipped).zip(&headings).map(|((q, tip), heading)| normalized(multiply(*heading, multiply(*q, *tip)))).collect()
    };
    let mut poses: Vec<_> = (0..50).map(|_| sensed(pose(30.0, &[]))).collect();
    poses.push(sensed(pose(30.0, &[(1, turn('z', -25.0)), (2, turn('z', 40.0)), (3, turn('z', -70.0))])));
    let planned = plan("earth_up", json!({ "neutral": "300 ms" })).expect("it plans");
    for (name, due) in [
        ("lumbar_flexion_deg", 25.0),
        ("hip_left_flexion_deg", 40.0),
        ("knee_left_flexion_deg", 70.0),
        ("knee_left_rotation_deg", 0.0),
        ("knee_right_flexion_deg", 0.0),
    ] {
        let value = angle(&planned, "earth_up", &poses, name);
        assert!((value - due).abs() < 1e-6, "{name}: {value}");
    }
}

#[test]
fn planning_finds_what_has_no_meaning() {
    let findings = plan("earth_up", json!({})).expect_err("no common heading");
    assert!(findings.iter().all(|finding| finding.message.contains("no common heading")), "{findings:#?}");
    let bare = StreamSchema::new(
        port("earth_enu").schema.columns.fields()[17..21].iter().map(|field| field.as_ref().clone()).collect(),
        &[],
        None,
    );
    let registration = proprio_operators::operator("joint_angles").expect("joint_angles is registered");
    let config = json!({ "progression": "pelvis", "until_calibrated": "provisional" });
    let findings = (registration.plan)(config, &[Port { stream: "fused".to_owned(), schema: bare }]).expect_err("there is a foot alone");
    let with = |text: &str| findings.iter().any(|finding| finding.message.contains(text));
    assert!(with("no rotation of `pelvis`") && with("no calibration is among the inputs"), "{findings:#?}");
    let config = json!({ "neutral": "0 s", "heading": "5 deg", "mounting": { "head": { "forward": "x", "up": "-x" } } });
    let findings = plan("sensor", config).expect_err("all of it is wrong");
    let with = |text: &str| findings.iter().filter(|finding| finding.message.contains(text)).count();
    assert_eq!(
        (with("frame `sensor`"), with("neutral pose"), with("faces then"), with("`head`"), with("same axis")),
        (8, 1, 1, 1, 1),
        "{findings:#?}"
    );
}

#[test]
fn one_orientation_gives_its_segment_in_the_lab() {
    let sensor = json!({ "kind": "imu", "rate": "100 Hz", "segment": "pelvis" });
    let file: SensorFile = serde_json::from_value(sensor).expect("a sensor");
    let rig = RigFile { rig: "lab".to_owned(), sensors: [("pelvis".to_owned(), file)].into() }.resolve();
    let imu = Port { stream: rig.sensors[0].stream(), schema: rig.sensors[0].stream_schema() };
    let of = |name: &str| proprio_operators::operator(name).expect("it is registered");
    let orientation = (of("orientation").plan)(json!({}), &[imu]).expect("an IMU plans");
    let port = Port { stream: "orientation/pelvis".to_owned(), schema: orientation.output };
    let angles = (of("joint_angles").plan)(json!({}), std::slice::from_ref(&port)).expect("an orientation plans");
    assert_eq!(angles.output.names().collect::<Vec<_>>(), ["pelvis_tilt_deg", "pelvis_obliquity_deg", "pelvis_rotation_deg"]);
    assert_eq!(angles.output.rate, Some(Rate::hz(100)));
    let fused = (of("align").plan)(json!({}), &[port]).expect("an orientation aligns");
    let fused = Port { stream: "fused".to_owned(), schema: fused.output };
    let same = (of("joint_angles").plan)(json!({}), &[fused]).expect("fused, it is the same");
    assert_eq!(same.output, angles.output, "align keeps segment, frame and rate");
}

#[test]
fn another_device_needs_a_neutral_pose_of_its_own() {
    let fields = ["w", "x", "y", "z"].map(|part| float(format!("pelvis_q_{part}"), "1").frame("earth_enu").with(meta::SEGMENT, "pelvis"));
    let fields = fields.into_iter().chain([column("pelvis_device", DataType::Int64)]).collect();
    let port = Port { stream: "fused".to_owned(), schema: StreamSchema::new(fields, &[], Some(Rate::hz(100))) };
    let registration = proprio_operators::operator("joint_angles").expect("joint_angles is registered");
    let planned = (registration.plan)(json!({ "neutral": "100 ms" }), std::slice::from_ref(&port)).expect("it plans");
    // The second device sits 20° further back, and its wearer bends forward by 15° once it is known.
    let tilt_deg = |k: usize| {
        if k < 50 {
            0.0
        } else if k < 90 {
            20.0
        } else {
            5.0
        }
    };
    let poses: Vec<Quaternion> = (0..100).map(|k| multiply(pose(0.0, &[])[0], turn('z', tilt_deg(k)))).collect();
    let mut columns: Vec<ArrayRef> = vec![Arc::new((0..100).map(|k| k * 10_000_000).collect::<Int64Array>())];
    columns.extend((0..4).map(|part| nan_as_null(poses.iter().map(|pose| pose[part]).collect())));
    columns.push(Arc::new((0..100).map(|k| Some(i64::from(k >= 50))).collect::<Int64Array>()));
    let rows = RecordBatch::try_new(port.schema.columns.clone(), columns).expect("poses fit");
    let out = Run::whole(&planned, &[rows]);
    let tilt = floats(&out, planned.output.index("pelvis_tilt_deg").expect("a pelvis"));
    let known: Vec<usize> = (0..100).filter(|row| tilt.is_valid(*row)).collect();
    assert_eq!(known, (10..50).chain(60..100).collect::<Vec<_>>());
    assert!(tilt.value(60).abs() < 1e-9 && (tilt.value(99) - 15.0).abs() < 1e-9, "{} {}", tilt.value(60), tilt.value(99));
}
