//! How are the pelvis and the joints bent? Angles from the orientations of body segments.
//!
//! Reads one stream: `orientation/pelvis` for a segment against the lab, or several orientations fused by `align`. Every rotation
//! (`…q_w …q_x …q_y …q_z`) whose columns name a segment counts: `pelvis`, `thorax`, `thigh`, `shank`, `foot`, the last three with a side.
//! Whatever these allow comes out, in degrees within ±180:
//!
//! | columns | of | positive |
//! |---|---|---|
//! | `pelvis_tilt_deg`, `_obliquity_`, `_rotation_` | pelvis in the lab | anterior tilt; right side up; right side forward |
//! | `thorax_tilt_deg`, `_lean_`, `_rotation_` | thorax in the lab | forward; to the right; right side forward |
//! | `lumbar_flexion_deg`, `_lateral_bend_`, `_rotation_` | thorax in the pelvis | flexion; to the right; right side forward |
//! | `hip_<side>_flexion_deg`, `_adduction_`, `_rotation_` | thigh in the pelvis | flexion; adduction; internal |
//! | `knee_<side>_flexion_deg`, `_adduction_`, `_rotation_` | shank in the thigh | flexion; adduction (varus); internal |
//! | `ankle_<side>_dorsiflexion_deg`, `_inversion_`, `_rotation_` | foot in the shank | dorsiflexion; inversion; internal |
//! | `foot_<side>_progression_deg` | foot seen from above, against the direction of progression | toes in |
//!
//! Segments have ISB axes, X forward, Y up, Z to the right (Wu and Cavanagh 1995). Joints are Cardan Z–X′–Y″ (Grood and Suntay 1983).
//! Against the lab the sequence is rotation, obliquity, tilt (Baker 2001), so that tilt and obliquity don't depend on where the
//! subject faces. Near ±90° of the second angle (adduction, lateral bend, obliquity) the other two become one.
//!
//! The direction of progression is the lab's forward one (`heading`, or where the subject faced in the neutral pose), as on a walkway or a
//! treadmill; with `progression: pelvis` it is where the pelvis has faced lately (a mean that forgets with 2 s), for those who walk about.
//! A foot on its toes, beyond 75°, has no progression angle.
//!
//! **Sensor to segment.** Streams of `segment_alignment` among the inputs (`from: [fused, alignment/*]`) say how each sensor sits: angles of
//! a segment with such a stream are null until its calibration has passed, and `calibration` names those in use, in the segments' order.
//! With `until_calibrated: provisional` they are given before by `mounting`, so that an alert has something to judge and says why it
//! stays silent (`withhold: { "the pelvis isn't calibrated": calibration is null }`); nothing else should use them. A segment without such a
//! stream goes by `mounting`, which says which sensor axes point forward and up; by default x forward and y up.
//! `neutral: 2 s` takes out what is left: the mean pose of the first two seconds without motion (no segment turns by more than
//! 3°) becomes the pose in which all angles are zero, each sensor's forward axis, made level, facing ahead. Until then
//! the angles are null. A sensor turned about the vertical against its segment mixes flexion with adduction still: that is what a functional
//! calibration corrects. Without `neutral`, `heading` is the compass bearing of the lab's forward direction. Frame `earth_up` has no
//! common heading, so joints between such sensors need `neutral`.
//!
//! **Another device** in a sensor's place (`…device` beside a rotation) sits otherwise: its calibration holds no longer, and a neutral pose is
//! due again; until then the angles are null.
//!
//! **Delay** none. A row comes out for every row; where a rotation is null, so are its angles. Source of the thresholds: domain practice, not a norm.
//!
//! ```yaml
//! op: joint_angles
//! from: fused
//! with: { neutral: 100 ms, mounting: { thorax: { forward: z, up: -x } } }
//! input:
//!   fused:
//!     schema:
//!       rate: 20 Hz
//!       columns:
//!         - { name: pelvis_q_w, unit: "1", frame: earth_enu, segment: pelvis }
//!         - { name: pelvis_q_x, unit: "1", frame: earth_enu, segment: pelvis }
//!         - { name: pelvis_q_y, unit: "1", frame: earth_enu, segment: pelvis }
//!         - { name: pelvis_q_z, unit: "1", frame: earth_enu, segment: pelvis }
//!         - { name: pelvis_rest, type: boolean }
//!         - { name: trunk_q_w, unit: "1", frame: earth_enu, segment: thorax }
//!         - { name: trunk_q_x, unit: "1", frame: earth_enu, segment: thorax }
//!         - { name: trunk_q_y, unit: "1", frame: earth_enu, segment: thorax }
//!         - { name: trunk_q_z, unit: "1", frame: earth_enu, segment: thorax }
//!     rows: |
//!       time_ms,pelvis_q_w,pelvis_q_x,pelvis_q_y,pelvis_q_z,trunk_q_w,trunk_q_x,trunk_q_y,trunk_q_z
//!       0,0.9,0.1,0,0,0.5,0.5,-0.5,0.5
//!       50,0.7071068,0.7071068,0,0,0.7071068,0,0.7071068,0
//!       100,0.7071068,0.7071068,0,0,0.7071068,0,0.7071068,0
//!       150,0.7071068,0.7071068,0,0,0.7071068,0,0.7071068,0
//!       200,0.7044160,0.7044160,-0.0616284,-0.0616284,0.7071068,0,0.7071068,0
//!       250,,,,,0.7071068,0,0.7071068,0
//!       300,0.7044160,0.7044160,0.0616284,-0.0616284,,,,
//!       350,0.6963642,0.6963642,0.1227878,0.1227878,0.6963642,-0.1227878,0.6963642,0.1227878
//! ```
//! ```csv
//! time_ns,pelvis_tilt_deg,pelvis_obliquity_deg,pelvis_rotation_deg,thorax_tilt_deg,thorax_lean_deg,thorax_rotation_deg,lumbar_flexion_deg,lumbar_lateral_bend_deg,lumbar_rotation_deg
//! 0,,,,,,,,,
//! 50000000,,,,,,,,,
//! 100000000,,,,,,,,,
//! 150000000,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0
//! 200000000,0.0,0.0,-10.0,0.0,0.0,0.0,0.0,0.0,10.0
//! 250000000,,,,0.0,0.0,0.0,,,
//! 300000000,10.0,0.0,0.0,,,,,,
//! 350000000,0.0,0.0,20.0,0.0,0.0,20.0,0.0,0.0,-3.18055e-15
//! # 8 rows, every bit hashed: fd633b97def901a1
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::Field;
use proprio_core::finding::{Findings, PlanFinding};
use proprio_core::quantity::{Angle, Duration};
use proprio_core::registry::{Configure, Inputs};
use proprio_core::rows::{batch, float_or_nan, floats, integer_or_none, integers, nan_as_null, times};
use proprio_core::schema::{FieldExt, float, meta, text};
use proprio_core::{Operator, Output, Planned, Port, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::angles::{cardan_zxy, rotation_obliquity_tilt};
use crate::kernels::calibrated::{Calibration, CalibrationPort, passed};
use crate::kernels::device::is_swapped;
use crate::kernels::joint_parts::{Part, Segment, parts, segments};
use crate::kernels::mounting::Mounting;
use crate::kernels::progression::{Facing, progression_deg};
use crate::kernels::quaternion::{Quaternion, accumulate, conjugate, dot, multiply, normalized, rotate};
use crate::kernels::segment::earth_from_upright;

/// Cosine of half of 3°: a segment that turns by more isn't in its neutral pose.
const STILL_HALF_COSINE: f64 = 0.999_657_324_975_557_2;

/// What `with:` holds.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How sensors sit on their segments, by segment (`pelvis`) or segment and side (`thigh_left`).
    #[serde(default)]
    pub mounting: BTreeMap<String, Mounting>,
    /// For how long, at the first moment without motion, the pose is taken whose angles are zero; at most 60 s.
    #[serde(default)]
    pub neutral: Option<Duration>,
    /// Compass bearing of the lab's forward direction, clockwise from north; without `neutral`.
    #[serde(default)]
    pub heading: Option<Angle>,
    /// What the feet's progression angles are against.
    #[serde(default)]
    pub progression: Progression,
    /// What the angles are of a segment whose calibration has not passed.
    #[serde(default)]
    pub until_calibrated: UntilCalibrated,
}

/// A direction of progression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Progression {
    /// The lab's forward direction.
    #[default]
    Lab,
    /// Where the pelvis has faced lately.
    Pelvis,
}

/// What angles are before a calibration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UntilCalibrated {
    /// Null.
    #[default]
    Missing,
    /// By `mounting`, which may be far off; `calibration` doesn't name the segment's then.
    Provisional,
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let (calibrations, others): (Vec<_>, Vec<_>) =
            ports.iter().enumerate().map(|(input, port)| CalibrationPort::of(input, port).ok_or(input)).partition(Result::is_ok);
        let calibrations: Vec<CalibrationPort> = calibrations.into_iter().filter_map(Result::ok).collect();
        let [Err(input)] = others[..] else {
            findings.push(
                PlanFinding::step("one stream of rotations is due, and beside it calibrations only").help("fuse several with `align`"),
            );
            return Err(findings);
        };
        let port = &ports[input];
        let segments = segments(&self.mounting, port, &mut findings);
        self.check(port, &segments, &calibrations, &mut findings);
        let (parts, fields): (Vec<Part>, Vec<[Field; 3]>) = parts(&segments).into_iter().unzip();
        if parts.is_empty() && findings.is_empty() {
            let message = format!("`{}` has no rotation (q_w, q_x, q_y, q_z) of a segment that makes an angle", port.stream);
            let help = "give the sensors a `segment` in the rig file: pelvis and thorax, or thigh, shank and foot with a `side`";
            findings.push(PlanFinding::input(0, message).help(help));
        }
        if self.neutral.is_none() {
            for part in &parts {
                let loose = |segment: usize| segments[segment].frame == "earth_up";
                if let Some(proximal) = part.proximal.filter(|proximal| loose(*proximal) || loose(part.distal)) {
                    let message = format!("`{}` and `{}` have no common heading", segments[proximal].key, segments[part.distal].key);
                    findings.push(PlanFinding::step(message).help("with: { neutral: 2 s }, or sensors with a magnetometer"));
                }
            }
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let mut fields: Vec<Field> = fields.into_iter().flatten().collect();
        let feet = self.feet(&segments);
        fields.extend(feet.iter().map(|foot| {
            let field = float(format!("{}_progression_deg", segments[foot.segment].key), "deg").frame("lab").with(meta::SEGMENT, "foot");
            segments[foot.segment].side.as_ref().map_or(field.clone(), |side| field.with(meta::SIDE, side))
        }));
        fields.extend((!calibrations.is_empty()).then(|| text("calibration")));
        let output = StreamSchema::new(fields, &[], port.schema.rate);
        let lab_from_earth = conjugate(earth_from_upright((90.0 - self.heading.map_or(0.0, Angle::degrees)).to_radians()));
        let calibrated = |segment: &Segment| calibrations.iter().position(|port| port.segment == segment.key);
        let mounted = |segment: &Segment| {
            let waits = self.until_calibrated == UntilCalibrated::Missing && calibrated(segment).is_some();
            let unknown = waits.then_some([f64::NAN; 4]);
            Alignment { lab_from_earth, sensor_from_segment: unknown.unwrap_or(segment.sensor_from_segment) }
        };
        let operator = JointAngles {
            input,
            mounted: segments.iter().map(mounted).collect(),
            calibrated: segments.iter().map(calibrated).collect(),
            neutral_ns: self.neutral.map(Duration::nanoseconds),
            columns: segments.iter().map(|segment| segment.column).collect(),
            devices: segments.iter().map(|segment| segment.device).collect(),
            calibrations: calibrations.clone(),
            parts,
            feet,
            pelvis: segments.iter().position(|segment| segment.name == "pelvis").filter(|_| self.progression == Progression::Pelvis),
            output: output.clone(),
        };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    /// The feet whose progression the input tells: those that have a heading in common with the lab, or with the pelvis.
    fn feet(&self, segments: &[Segment]) -> Vec<FootPart> {
        let is_headed = |segment: &Segment| self.neutral.is_some() || segment.frame != "earth_up";
        let is_told = self.progression == Progression::Lab || segments.iter().any(|segment| segment.name == "pelvis" && is_headed(segment));
        let feet = segments.iter().enumerate().filter(|(_, segment)| is_told && segment.name == "foot" && is_headed(segment));
        feet.map(|(index, segment)| FootPart { segment: index, sign: if segment.side.as_deref() == Some("left") { -1.0 } else { 1.0 } })
            .collect()
    }

    fn check(&self, port: &Port, segments: &[Segment], calibrations: &[CalibrationPort], findings: &mut Findings) {
        for calibration in calibrations {
            let known: Vec<&str> = segments.iter().map(|segment| segment.key.as_str()).collect();
            if !known.contains(&calibration.segment.as_str()) {
                let finding =
                    PlanFinding::input(calibration.input, format!("`{}` has no rotation of `{}`", port.stream, calibration.segment));
                findings.push(finding.help(format!("it has {}", known.join(", "))));
            }
        }
        if self.neutral.is_some() && !calibrations.is_empty() {
            findings.push(
                PlanFinding::config("/neutral", "a calibration says how sensors sit").help("leave `neutral` or the calibrations out"),
            );
        }
        if !port.schema.keys.is_empty() {
            findings.push(PlanFinding::input(0, format!("`{}` has several rows an instant", port.stream)));
        }
        if self.progression == Progression::Pelvis && segments.iter().all(|segment| segment.name != "pelvis") {
            findings.push(PlanFinding::config("/progression", format!("`{}` has no rotation of `pelvis`", port.stream)));
        }
        if self.until_calibrated == UntilCalibrated::Provisional && calibrations.is_empty() {
            let finding = PlanFinding::config("/until_calibrated", "no calibration is among the inputs");
            findings.push(finding.help("from: [fused, alignment/*], with a step `segment_alignment`"));
        }
        if self.neutral.is_some_and(|neutral| !(1..=60_000_000_000).contains(&neutral.nanoseconds())) {
            findings.push(PlanFinding::config("/neutral", "a neutral pose takes more than 0 s and at most 60 s"));
        }
        if self.neutral.is_some() && self.heading.is_some() {
            findings.push(
                PlanFinding::config("/heading", "with `neutral`, forward is where the subject faces then").help("leave one of the two out"),
            );
        }
        for (key, mounting) in &self.mounting {
            let at = format!("/mounting/{key}");
            let known: Vec<&str> = segments.iter().map(|segment| segment.key.as_str()).collect();
            if !known.contains(&key.as_str()) {
                let finding = PlanFinding::config(&at, format!("`{}` has no rotation of `{key}`", port.stream));
                findings.push(finding.help(format!("it has {}", known.join(", "))));
            }
            if mounting.is_flat() {
                findings.push(PlanFinding::config(at, "forward and up are along the same axis"));
            }
        }
    }
}

/// A foot, and what makes toes in positive.
struct FootPart {
    segment: usize,
    sign: f64,
}

struct JointAngles {
    /// Number of the input with the rotations.
    input: usize,
    calibrations: Vec<CalibrationPort>,
    /// Number of each segment's calibrations, where it has any.
    calibrated: Vec<Option<usize>>,
    /// Index of `…q_w`, by segment.
    columns: Vec<usize>,
    /// Index of its device's column, by segment.
    devices: Vec<Option<usize>>,
    /// How sensors sit by `mounting` alone, by segment.
    mounted: Vec<Alignment>,
    neutral_ns: Option<i64>,
    parts: Vec<Part>,
    feet: Vec<FootPart>,
    /// The pelvis, where it tells the direction of progression.
    pelvis: Option<usize>,
    output: StreamSchema,
}

/// What a sensor's rotation stands between to become its segment's.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Alignment {
    lab_from_earth: Quaternion,
    sensor_from_segment: Quaternion,
}

/// What is known of how the sensors sit.
#[derive(Serialize, Deserialize)]
struct State {
    pose: Pose,
    /// Calibrations in use, by port.
    ids: Vec<Option<String>>,
    /// The device that a segment's rotations come from, or its calibration is of, by segment.
    devices: Vec<Option<i64>>,
    /// Where the pelvis has faced lately.
    facing: Facing,
}

/// How far the neutral pose is.
#[derive(Serialize, Deserialize)]
enum Pose {
    /// No row with all segments yet.
    Waiting,
    /// Without motion since a row: its time and rotations, and the sums since.
    Still { since: TimeNs, first: Vec<Quaternion>, sums: Vec<Quaternion> },
    /// Known, by segment.
    Aligned(Vec<Alignment>),
}

impl Operator for JointAngles {
    type State = State;

    fn start(&self) -> State {
        let pose = if self.neutral_ns.is_some() { Pose::Waiting } else { Pose::Aligned(self.mounted.clone()) };
        State { pose, ids: vec![None; self.calibrations.len()], devices: vec![None; self.columns.len()], facing: Facing::default() }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let rows = &inputs[self.input];
        let mut calibrations = passed(&self.calibrations, inputs).into_iter().peekable();
        let mut names: Vec<Option<String>> = Vec::new();
        let mut columns: Vec<Vec<f64>> = (0..self.parts.len() * 3 + self.feet.len()).map(|_| Vec::with_capacity(rows.num_rows())).collect();
        let parts = self.columns.iter().map(|column| [0, 1, 2, 3].map(|part| floats(rows, column + part))).collect::<Vec<_>>();
        let mut rotations = vec![[f64::NAN; 4]; self.columns.len()];
        for (row, time) in times(rows).iter().enumerate() {
            for (rotation, parts) in rotations.iter_mut().zip(&parts) {
                *rotation = normalized(parts.map(|part| float_or_nan(part, row)));
            }
            while let Some(calibration) = calibrations.next_if(|calibration| calibration.time <= *time) {
                self.apply(state, calibration);
            }
            self.notice_swaps(state, rows, row);
            if !self.calibrations.is_empty() {
                names.push(names_of(&state.ids));
            }
            self.settle(&mut state.pose, *time, &rotations);
            match &state.pose {
                Pose::Aligned(alignments) => {
                    self.push_angles(alignments, &mut rotations, &mut columns);
                    self.push_progression(&mut state.facing, *time, &rotations, &mut columns);
                }
                _ => columns.iter_mut().for_each(|column| column.push(f64::NAN)),
            }
        }
        let angles = columns.into_iter().map(nan_as_null);
        let mut all: Vec<ArrayRef> = std::iter::once(rows.column(0).clone()).chain(angles).collect();
        if !self.calibrations.is_empty() {
            all.push(Arc::new(StringArray::from(names)));
        }
        calibrations.for_each(|calibration| self.apply(state, calibration));
        out.push(batch(&self.output, all));
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

/// The calibrations in use, joined by blanks; none while there is none.
fn names_of(ids: &[Option<String>]) -> Option<String> {
    let names: Vec<&str> = ids.iter().flatten().map(String::as_str).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

impl JointAngles {
    /// From now on a segment's sensor sits as a calibration says.
    fn apply(&self, state: &mut State, calibration: Calibration) {
        let segment = self.calibrated.iter().position(|port| *port == Some(calibration.port));
        if let (Some(segment), Pose::Aligned(alignments)) = (segment, &mut state.pose) {
            alignments[segment].sensor_from_segment = conjugate(calibration.segment_from_sensor);
            state.ids[calibration.port] = Some(calibration.id);
            state.devices[segment] = calibration.device.or(state.devices[segment]);
        }
    }

    /// Another device in a sensor's place sits otherwise: what was calibrated of its segment holds no longer, nor does the neutral pose.
    fn notice_swaps(&self, state: &mut State, rows: &RecordBatch, row: usize) {
        for (segment, column) in self.devices.iter().enumerate() {
            let device = column.and_then(|column| integer_or_none(integers(rows, column), row));
            if is_swapped(state.devices[segment], device) {
                match (&mut state.pose, self.calibrated[segment]) {
                    (Pose::Aligned(alignments), Some(port)) => {
                        alignments[segment] = self.mounted[segment];
                        state.ids[port] = None;
                    }
                    (pose, _) if self.neutral_ns.is_some() => *pose = Pose::Waiting,
                    _ => {}
                }
            }
            state.devices[segment] = device.or(state.devices[segment]);
        }
    }

    /// Takes a row towards the neutral pose; motion begins it anew.
    fn settle(&self, state: &mut Pose, time: TimeNs, rotations: &[Quaternion]) {
        if matches!(state, Pose::Aligned(_)) || rotations.iter().any(|rotation| rotation[0].is_nan()) {
            return;
        }
        let begin = || Pose::Still { since: time, first: rotations.to_vec(), sums: rotations.to_vec() };
        let Pose::Still { since, first, sums } = state else {
            *state = begin();
            return;
        };
        if first.iter().zip(rotations).any(|(first, now)| dot(*first, *now).abs() < STILL_HALF_COSINE) {
            *state = begin();
            return;
        }
        sums.iter_mut().zip(rotations).for_each(|(sum, rotation)| accumulate(sum, *rotation));
        if self.neutral_ns.is_some_and(|neutral_ns| time.saturating_sub(*since) >= neutral_ns) {
            let aligned = sums.iter().zip(&self.mounted).map(|(sum, mounted)| mounted.at_neutral(normalized(*sum))).collect();
            *state = Pose::Aligned(aligned);
        }
    }

    /// Turns the sensors' rotations into the segments', in place, and adds a row of angles. Adding zero makes −0 plain zero.
    fn push_angles(&self, alignments: &[Alignment], rotations: &mut [Quaternion], columns: &mut [Vec<f64>]) {
        for (rotation, alignment) in rotations.iter_mut().zip(alignments) {
            *rotation = multiply(multiply(alignment.lab_from_earth, *rotation), alignment.sensor_from_segment);
        }
        for (part, columns) in self.parts.iter().zip(columns[..self.parts.len() * 3].chunks_exact_mut(3)) {
            let distal = rotations[part.distal];
            let angles = match part.proximal {
                Some(proximal) => cardan_zxy(multiply(conjugate(rotations[proximal]), distal)),
                None => rotation_obliquity_tilt(distal),
            };
            for ((column, angle), factor) in columns.iter_mut().zip(&part.joint.angles).zip(part.factors) {
                column.push(factor * angles.about(angle.axis) + 0.0);
            }
        }
    }
}

impl JointAngles {
    /// Adds the feet's progression angles, of segments' rotations to the lab.
    fn push_progression(&self, facing: &mut Facing, time: TimeNs, rotations: &[Quaternion], columns: &mut [Vec<f64>]) {
        let azimuth_rad = self.pelvis.map_or(0.0, |pelvis| {
            facing.update(rotations[pelvis], time);
            facing.azimuth_rad()
        });
        for (foot, column) in self.feet.iter().zip(&mut columns[self.parts.len() * 3..]) {
            column.push(foot.sign * progression_deg(rotations[foot.segment], azimuth_rad) + 0.0);
        }
    }
}

impl Alignment {
    /// The alignment for which the segment is upright in the neutral pose, facing where the sensor's forward axis points. NaN, and so no angles,
    /// when that axis is more than 60° from level: then the sensor doesn't sit as `mounting` says.
    fn at_neutral(&self, earth_from_sensor: Quaternion) -> Self {
        let earth_from_segment = multiply(earth_from_sensor, self.sensor_from_segment);
        let [x, y, z] = rotate(earth_from_segment, [1.0, 0.0, 0.0]);
        let azimuth_rad = if z.abs() > 0.75f64.sqrt() { f64::NAN } else { libm::atan2(y, x) };
        let upright = earth_from_upright(azimuth_rad);
        Self { lab_from_earth: conjugate(upright), sensor_from_segment: multiply(conjugate(earth_from_sensor), upright) }
    }
}
