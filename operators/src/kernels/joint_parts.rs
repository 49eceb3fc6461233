//! Which joints do the rotations of a stream make? Its segments by their columns' metadata, and the angles between them.

use std::collections::BTreeMap;

use arrow_schema::{DataType, Field};
use proprio_core::Port;
use proprio_core::finding::{Findings, PlanFinding};
use proprio_core::kind::DEVICE;
use proprio_core::schema::{FieldExt, float, meta};

use super::column::is_rotation;
use super::mounting::Mounting;
use super::quaternion::Quaternion;
use super::segment::{JOINTS, Joint, SEGMENTS};

/// Frames with Z up that a segment's rotation may lead to.
const FRAMES: [&str; 3] = ["earth_enu", "earth_up", "lab"];

/// A segment whose rotation the input holds.
pub struct Segment {
    /// As columns name it: `thigh`.
    pub name: &'static str,
    /// `left` or `right`, of the segments that there are two of.
    pub side: Option<String>,
    /// `pelvis`, `thigh_left`: as in `mounting`.
    pub key: String,
    /// What the rotation leads to.
    pub frame: String,
    /// Index of `…q_w`.
    pub column: usize,
    /// Index of the `…device` beside it.
    pub device: Option<usize>,
    /// How its sensor sits by `mounting`.
    pub sensor_from_segment: Quaternion,
}

/// The segments of a port, in the order of its columns, with what is wrong with them.
pub fn segments(mounting: &BTreeMap<String, Mounting>, port: &Port, findings: &mut Findings) -> Vec<Segment> {
    let fields: Vec<&Field> = port.schema.columns.fields().iter().map(AsRef::as_ref).collect();
    let mut segments: Vec<Segment> = Vec::new();
    for column in (0..fields.len()).filter(|column| is_rotation(&fields[*column..])) {
        let field = fields[column];
        let Some((name, sided)) = SEGMENTS.into_iter().find(|(name, _)| field.meta(meta::SEGMENT) == Some(name)) else { continue };
        let side = if sided { field.meta(meta::SIDE).map(str::to_owned) } else { None };
        if sided && !matches!(side.as_deref(), Some("left" | "right")) {
            let message = format!("`{}` is of a {name} without a side", field.name());
            findings.push(PlanFinding::input(0, message).help("side: left or side: right, in the rig file"));
            continue;
        }
        let frame = field.meta(meta::FRAME).unwrap_or("none").to_owned();
        if !FRAMES.contains(&frame.as_str()) {
            let message = format!("`{}` leads to frame `{frame}`, and angles need one with Z up: {}", field.name(), FRAMES.join(", "));
            findings.push(PlanFinding::input(0, message));
        }
        let key = side.as_ref().map_or_else(|| name.to_owned(), |side| format!("{name}_{side}"));
        if segments.iter().any(|other| other.key == key) {
            findings.push(PlanFinding::input(0, format!("`{}` is a second rotation of {key}", field.name())));
        }
        let sensor_from_segment = mounting.get(&key).map_or(Mounting::DEFAULT.sensor_from_segment(), Mounting::sensor_from_segment);
        let device = field.name().strip_suffix("q_w").and_then(|prefix| port.schema.index(&format!("{prefix}{DEVICE}")));
        let device = device.filter(|index| *fields[*index].data_type() == DataType::Int64);
        segments.push(Segment { name, side, key, frame, column, device, sensor_from_segment });
    }
    segments
}

/// A joint of this input: indices of its segments.
pub struct Part {
    /// The one it is seen from; none for the lab.
    pub proximal: Option<usize>,
    /// The one that moves.
    pub distal: usize,
    /// The joint itself.
    pub joint: &'static Joint,
    /// From the right-hand rule to each of its angles.
    pub factors: [f64; 3],
}

/// The joints that the segments allow, with their columns.
pub fn parts(segments: &[Segment]) -> Vec<(Part, [Field; 3])> {
    let mut parts = Vec::new();
    for joint in &JOINTS {
        for (distal, segment) in segments.iter().enumerate().filter(|(_, segment)| segment.name == joint.distal) {
            let side = segment.side.as_deref();
            let is_proximal = |other: &Segment| Some(other.name) == joint.proximal && (other.side.is_none() || other.side == segment.side);
            let proximal = segments.iter().position(is_proximal);
            if joint.proximal.is_some() && proximal.is_none() {
                continue;
            }
            let start = side.map_or_else(|| joint.name.to_owned(), |side| format!("{}_{side}", joint.name));
            let fields = joint.angles.map(|angle| {
                let field = float(format!("{start}_{}_deg", angle.name), "deg").frame(joint.proximal.unwrap_or("lab"));
                let field = field.with(meta::SEGMENT, joint.distal);
                side.map_or(field.clone(), |side| field.with(meta::SIDE, side))
            });
            parts.push((Part { proximal, distal, joint, factors: joint.angles.map(|angle| angle.factor(side)) }, fields));
        }
    }
    parts
}
