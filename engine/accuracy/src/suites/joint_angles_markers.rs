//! How far are joint angles from markers from those that the labs' own software (Vicon Plug-in Gait) wrote into the same files, and
//! from the true ones of a simulated walker?
//!
//! Files that hold the subject's sizes and the offsets of the static trial are compared as they are; the others, whose sizes are not
//! known, at the operator's defaults with each angle's mean removed. Both sides count as one.
//!
//! Plug-in Gait's foot is the line from ankle to toe, raised by an offset from a static trial; by default ours is the line from heel to toe.
//! `smk_offsets` takes Plug-in Gait's foot, whose unknown offset goes with the mean. Its pelvis tilts first and rotates last, which
//! depends on where the subject faces (Baker 2001), ours the other way round: tilts are compared where the file's own pelvis
//! rotation is within 30°, since the subject of `smk` turns round at the end; so are the feet's progression angles.
//!
//! **The ankle of `smk`** misses its aim by what the two feet differ in: from ankle to toe, as Plug-in Gait's, it is 1.18° (`smk_offsets`); from
//! heel to toe, which needs no static trial and is the default for that, 1.85°.

use proprio_core::Kind;
use proprio_core::rig::Side;
use proprio_core::rows::{float_or_nan, floats, times};
use proprio_files::{OpenOptions, Recording};
use proprio_operators::kernels::angles::{cardan_zxy, rotation_obliquity_tilt};
use proprio_operators::kernels::progression::progression_deg;
use proprio_operators::kernels::quaternion::{Quaternion, conjugate, from_axes, multiply};
use proprio_operators::kernels::segment::{JOINTS, earth_from_upright};
use proprio_simulate::{Body, Clocks, Faults, Layout, Options, Segment};
use serde_json::{Value, json};

use super::Suite;
use crate::bench::{Bench, Stream, stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::simulated::Simulated;
use crate::statistics::{mean, rms};

pub const SUITE: Suite =
    Suite { name: "joint_angles_markers", about: "joint angles from markers against Plug-in Gait's in the files, RMSE", measure };

/// Name, file, whether the subject's sizes are in it, and the heading of the walkway: which way the subject goes, clockwise from the lab's Y.
const FILES: [(&str, &str, bool, &str); 4] = [
    ("biomechzoo_002", "lab/biomechzoo/HC002D06.c3d", true, "0 deg"),
    ("biomechzoo_036", "lab/biomechzoo/HC036A10.c3d", true, "180 deg"),
    ("smk", "lab/smk_overground.c3d", false, "90 deg"),
    ("vicon", "lab/Vicon_analysis.c3d", false, "90 deg"),
];

/// Middle of the column's name, Plug-in Gait's name, which of its three angles, its sign against ours, and whether it is sagittal.
const ANGLES: [(&str, &str, &str, usize, f64, bool); 10] = [
    ("hip", "flexion", "Hip", 0, 1.0, true),
    ("knee", "flexion", "Knee", 0, 1.0, true),
    ("ankle", "dorsiflexion", "Ankle", 0, 1.0, true),
    ("hip", "adduction", "Hip", 1, 1.0, false),
    ("knee", "adduction", "Knee", 1, 1.0, false),
    // The second angle of Plug-in Gait's ankle counts eversion.
    ("ankle", "inversion", "Ankle", 1, -1.0, false),
    ("hip", "rotation", "Hip", 2, 1.0, false),
    ("knee", "rotation", "Knee", 2, 1.0, false),
    ("ankle", "rotation", "Ankle", 2, 1.0, false),
    ("foot", "progression", "FootProgress", 2, 1.0, false),
];
/// Of the angles against the lab, those count at which the subject goes along the walkway.
const AHEAD_DEG: f64 = 30.0;

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = Vec::new();
    for (name, file, is_sized, heading) in FILES {
        let recording = bench.open(file, &OpenOptions::default())?;
        let config = if is_sized { sizes(&recording) } else { json!({}) };
        let found = angles(bench, &recording, config, heading)?;
        compare(name, &recording, &found, !is_sized, !name.starts_with("vicon"), &mut figures);
        if name == "smk" {
            let none = json!({ "left": "0 deg", "right": "0 deg" });
            let found = angles(bench, &recording, json!({ "plantar_flexion_offset": none }), heading)?;
            let mut ours = Vec::new();
            compare("smk_offsets", &recording, &found, true, true, &mut ours);
            figures.extend(ours.into_iter().filter(|figure| figure.name.contains(".ankle_")));
        }
        if is_sized {
            // What the sizes are worth: the same file without them.
            let found = angles(bench, &recording, json!({}), heading)?;
            compare(&format!("{name}_unsized"), &recording, &found, true, false, &mut figures);
        }
    }
    figures.extend(simulated(bench)?);
    Ok(figures)
}

/// A walker whose segments are known, with the sizes and wand angles that put the joint centres where they are, and nothing removed: a test of
/// the geometry. The markers of pelvis and foot are tilted by 1.3° and 2.9° against their axes, which stays in hip and ankle.
fn simulated(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let options = Options { duration_s: 20.0, faults: Faults { jitter_ms: 0.0, ..Faults::default() }, ..Options::of(Layout::FullLab) };
    let options = Options { start_ns: 0, clocks: Clocks { drift_ppm: 0.0, ..Clocks::default() }, ..options };
    let walker = Simulated::of_kinds(options, &[Kind::Markers])?;
    let both = |value: &str| json!({ "left": value, "right": value });
    let config = json!({
        "leg_length": both("581 mm"),
        "asis_trochanter": both("113 mm"),
        "inter_asis": "219 mm",
        "knee_width": both("96 mm"),
        "ankle_width": both("66 mm"),
        "thigh_wand_offset": { "left": "18.0 deg", "right": "18.8 deg" },
        "shank_wand_offset": { "left": "13.6 deg", "right": "14.2 deg" },
    });
    let segments = bench.step("segments", "marker_segments", config, &walker.streams())?;
    // The subject walks east.
    let (port, rows) = bench.step("angles", "joint_angles", json!({ "heading": "90 deg" }), &[segments])?;
    let mut figures = Vec::new();
    for joint in &JOINTS {
        for angle in &joint.angles {
            let mut errors = Vec::new();
            let is_single = ["pelvis", "thorax"].contains(&joint.distal);
            for side in if is_single { vec![None] } else { vec![Some(Side::Left), Some(Side::Right)] } {
                let start = side.map_or_else(|| joint.name.to_owned(), |side| format!("{}_{}", joint.name, side.name()));
                let ours = floats(&rows, port.schema.index(&format!("{start}_{}_deg", angle.name)).expect("the walker has all markers"));
                let of = |name: &str, time_s: f64| lab_from_segment(&walker.body, name, side, time_s);
                for (row, time_ns) in times(&rows).iter().enumerate() {
                    let time_s = *time_ns as f64 * 1e-9;
                    let distal = of(joint.distal, time_s);
                    let angles = match joint.proximal {
                        Some(proximal) => cardan_zxy(multiply(conjugate(of(proximal, time_s)), distal)),
                        None => rotation_obliquity_tilt(multiply(conjugate(earth_from_upright(0.0)), distal)),
                    };
                    let truth_deg = angle.factor(side.map(Side::name)) * angles.about(angle.axis);
                    errors.push(float_or_nan(ours, row) - truth_deg);
                }
            }
            let figure = Figure::lower(format!("joint_angles_markers.simulated.{}_{}", joint.name, angle.name), rms(&errors), "deg");
            let is_gated = matches!((joint.name, angle.name), ("pelvis", "tilt") | ("hip" | "knee", "flexion"));
            figures.push(if is_gated { figure.gate(3.0).aim(1.5) } else { figure });
        }
    }
    let mut errors = Vec::new();
    for (side, sign) in [(Side::Left, -1.0), (Side::Right, 1.0)] {
        let name = format!("foot_{}_progression_deg", side.name());
        let ours = floats(&rows, port.schema.index(&name).expect("the walker has feet"));
        for (row, time_ns) in times(&rows).iter().enumerate() {
            let foot = lab_from_segment(&walker.body, "foot", Some(side), *time_ns as f64 * 1e-9);
            errors.push(float_or_nan(ours, row) - sign * progression_deg(multiply(conjugate(earth_from_upright(0.0)), foot), 0.0));
        }
    }
    figures.push(Figure::lower("joint_angles_markers.simulated.foot_progression", rms(&errors), "deg").gate(3.0));
    Ok(figures)
}

/// A true orientation.
fn lab_from_segment(body: &Body, name: &str, side: Option<Side>, time_s: f64) -> Quaternion {
    let side = side.unwrap_or(Side::Left);
    let segment = match name {
        "pelvis" => Segment::Pelvis,
        "thorax" => Segment::Thorax,
        "thigh" => Segment::Thigh(side),
        "shank" => Segment::Shank(side),
        _ => Segment::Foot(side),
    };
    let axes = body.pose(segment, time_s).lab_from_segment;
    let [x, y, z] = [0, 1, 2].map(|column| [0, 1, 2].map(|row| axes[(row, column)]));
    from_axes(x, y, z)
}

/// The operator's configuration from group PROCESSING.
fn sizes(recording: &Recording) -> Value {
    let value = |name: &str| recording.subject(name).unwrap_or_else(|| panic!("PROCESSING has {name}"));
    let pair = |unit: &str, name: &str| json!({ "left": format!("{} {unit}", value(&format!("L{name}"))), "right": format!("{} {unit}", value(&format!("R{name}"))) });
    json!({
        "leg_length": pair("mm", "LEGLENGTH"),
        "asis_trochanter": pair("mm", "ASISTROCANTERDISTANCE"),
        "inter_asis": format!("{} mm", value("INTERASISDISTANCE")),
        "knee_width": pair("mm", "KNEEWIDTH"),
        "ankle_width": pair("mm", "ANKLEWIDTH"),
        "marker_diameter": format!("{} mm", value("MARKERDIAMETER")),
        "thigh_wand_offset": pair("rad", "THIGHROTATION"),
        "shank_wand_offset": pair("rad", "SHANKROTATION"),
        "plantar_flexion_offset": pair("rad", "STATICPLANTFLEX"),
        "foot_rotation_offset": pair("rad", "STATICROTOFF"),
    })
}

fn angles(bench: &mut Bench, recording: &Recording, config: Value, heading: &str) -> Result<Stream, AccuracyError> {
    let markers = recording.sensors.iter().find(|sensor| sensor.file.kind == Kind::Markers).expect("the file has markers");
    let segments = bench.step("segments", "marker_segments", config, &[stream(recording, markers)])?;
    bench.step("angles", "joint_angles", json!({ "heading": heading }), &[segments])
}

/// One figure an angle: gated where `is_gated` and sagittal.
fn compare(name: &str, recording: &Recording, found: &Stream, without_mean: bool, is_gated: bool, figures: &mut Vec<Figure>) {
    let mut push = |angle: String, errors: &[f64], is_sagittal: bool| {
        let figure = Figure::lower(format!("joint_angles_markers.{name}.{angle}"), rms(errors), "deg");
        figures.push(if is_sagittal && is_gated { figure.gate(3.0).aim(1.5) } else { figure });
    };
    let (mut due, mut known) = (0, 0);
    let is_ahead = |angles: &[f64; 3]| angles[2].abs() < AHEAD_DEG;
    for (joint, angle, theirs, index, sign, is_sagittal) in ANGLES {
        let mut errors = Vec::new();
        for (side, letter) in [("left", "L"), ("right", "R")] {
            let column = format!("{joint}_{side}_{angle}_deg");
            let one = differences(
                recording,
                found,
                &column,
                &format!("{letter}{theirs}Angles"),
                (index, sign),
                |angles| joint != "foot" || is_ahead(angles),
                &mut due,
            );
            known += one.len();
            errors.extend(if without_mean { centred(&one) } else { one });
        }
        push(format!("{joint}_{angle}"), &errors, is_sagittal);
    }
    let tilt = differences(recording, found, "pelvis_tilt_deg", "LPelvisAngles", (0, 1.0), is_ahead, &mut due);
    known += tilt.len();
    push("pelvis_tilt".to_owned(), &if without_mean { centred(&tilt) } else { tilt }, true);
    figures.push(Figure::higher(format!("joint_angles_markers.{name}.known"), 100.0 * known as f64 / due as f64, "%"));
}

/// Ours less theirs, in the frames that both have and that count; adds up how many of theirs count.
fn differences(
    recording: &Recording,
    (port, rows): &Stream,
    column: &str,
    label: &str,
    (index, sign): (usize, f64),
    counts: impl Fn(&[f64; 3]) -> bool,
    due: &mut usize,
) -> Vec<f64> {
    let theirs = recording.angles(label).unwrap_or_else(|| panic!("the file has {label}"));
    let ours = floats(rows, port.schema.index(column).unwrap_or_else(|| panic!("joint_angles has {column}")));
    assert_eq!(ours.len(), theirs.len(), "a row for every frame");
    let given: Vec<_> = theirs.iter().enumerate().filter(|(_, angles)| angles[index].is_finite() && counts(angles)).collect();
    *due += given.len();
    given.into_iter().map(|(row, angles)| float_or_nan(ours, row) - sign * angles[index]).filter(|error| error.is_finite()).collect()
}

fn centred(errors: &[f64]) -> Vec<f64> {
    let middle = mean(errors);
    errors.iter().map(|error| error - middle).collect()
}
