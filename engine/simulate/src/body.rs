//! Where is each body segment at an instant? A skeleton hung between the pelvis and the feet.

use nalgebra::{Matrix3, Vector3};
use proprio_core::rig::Side;

use crate::calibration::{Held, Procedure};
use crate::motion::{Angles, HALF_HIP_WIDTH_M, Motion, about_forward, about_right, about_up, rotation, sign, upright};
use crate::options::Options;

/// Length of the thigh.
pub const THIGH_M: f64 = 0.43;
/// Length of the shank.
pub const SHANK_M: f64 = 0.43;
/// Length of the stretched leg from hip to ankle.
pub const LEG_M: f64 = THIGH_M + SHANK_M;
const UPPER_ARM_M: f64 = 0.30;
/// From the midpoint of the hips to the lowest lumbar joint, in the pelvis' axes.
const LUMBAR_M: [f64; 3] = [-0.03, 0.11, 0.0];
/// From the lowest lumbar joint to a shoulder, in the trunk's axes, on the right.
const SHOULDER_M: [f64; 3] = [0.0, 0.40, 0.18];

/// A rigid part of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Origin: midpoint of the hip joint centres.
    Pelvis,
    /// Trunk and head. Origin: lowest lumbar joint.
    Thorax,
    /// Origin: hip joint centre.
    Thigh(Side),
    /// Origin: knee.
    Shank(Side),
    /// Origin: ankle.
    Foot(Side),
    /// Origin: shoulder.
    UpperArm(Side),
    /// Forearm and hand. Origin: elbow.
    Forearm(Side),
}

/// A segment's place in the lab.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// From the segment's ISB axes to the lab's.
    pub lab_from_segment: Matrix3<f64>,
    /// The segment's origin in the lab, in metres.
    pub origin_m: Vector3<f64>,
}

impl Pose {
    /// A point given in the segment's axes, in the lab, in metres.
    pub fn point_m(&self, in_segment_m: [f64; 3]) -> Vector3<f64> {
        self.origin_m + self.lab_from_segment * Vector3::from(in_segment_m)
    }
}

/// The subject's true movement, for any instant.
#[derive(Clone, Debug)]
pub struct Body {
    /// The curves behind it.
    pub(crate) motion: Motion,
    /// What comes before it.
    procedure: Option<Procedure>,
    /// Body weight in newtons.
    pub(crate) weight_n: f64,
}

/// Where the body is in its movement at an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Phase of the task.
    pub(crate) phase: f64,
    /// How a calibration procedure has the body before the task, and where its flat ankles are ahead of the lab's origin, in metres.
    pub(crate) held: Option<(Held, f64)>,
}

impl Body {
    /// The body that `options` describe.
    pub fn new(options: &Options) -> Self {
        let weight_n = options.mass_kg * crate::sensors::GRAVITY_M_PER_S2;
        Self { motion: Motion::new(options), procedure: options.calibration.as_ref().map(Procedure::new), weight_n }
    }

    /// The pose of `segment`, `time_s` seconds after the start.
    pub fn pose(&self, segment: Segment, time_s: f64) -> Pose {
        self.pose_at(segment, &self.moment(time_s))
    }

    /// Pelvic obliquity in degrees, positive with the right side up: the angle of the pelvis' axis to the right above the
    /// horizontal.
    pub fn pelvis_obliquity_deg(&self, time_s: f64) -> f64 {
        -self.pelvis_angles(&self.moment(time_s)).obliquity.to_degrees()
    }

    pub(crate) fn moment(&self, time_s: f64) -> Moment {
        let phase = self.motion.rhythm.phase(time_s);
        let held = self.procedure.as_ref().and_then(|procedure| procedure.held(time_s));
        // The task has not begun: the phase is its first one, over which the subject stands.
        Moment { phase, held: held.map(|held| (held, self.motion.pelvis_position(phase).x)) }
    }

    pub(crate) fn pose_at(&self, segment: Segment, at: &Moment) -> Pose {
        match segment {
            Segment::Pelvis => self.pelvis(at),
            Segment::Thorax => self.thorax(at),
            Segment::Thigh(side) => self.leg(side, at)[0],
            Segment::Shank(side) => self.leg(side, at)[1],
            Segment::Foot(side) => self.foot(side, at),
            Segment::UpperArm(side) => self.arm(side, at)[0],
            Segment::Forearm(side) => self.arm(side, at)[1],
        }
    }

    fn pelvis_angles(&self, at: &Moment) -> Angles {
        let angles = self.motion.pelvis_angles(at.phase);
        at.held.map_or(angles, |(held, _)| held.pelvis.mixed(held.share, angles))
    }

    fn pelvis(&self, at: &Moment) -> Pose {
        let position = self.motion.pelvis_position(at.phase);
        let origin_m = at.held.map_or(position, |(held, ahead_m)| held.hips(ahead_m) * held.share + position * (1.0 - held.share));
        Pose { lab_from_segment: rotation(self.pelvis_angles(at)), origin_m }
    }

    fn thorax(&self, at: &Moment) -> Pose {
        let angles = self.motion.thorax_angles(at.phase);
        let angles = at.held.map_or(angles, |(held, _)| held.thorax.mixed(held.share, angles));
        Pose { lab_from_segment: rotation(angles), origin_m: self.pelvis(at).point_m(LUMBAR_M) }
    }

    fn foot(&self, side: Side, at: &Moment) -> Pose {
        let (mut ankle, mut pitch, mut toe_out) = self.motion.foot(side, at.phase);
        if let Some((held, ahead_m)) = &at.held {
            let rest = 1.0 - held.share;
            ankle = held.ankle(side, *ahead_m) * held.share + ankle * rest;
            (pitch, toe_out) = (held.foot_pitch * held.share + pitch * rest, toe_out * rest);
        }
        Pose { lab_from_segment: upright() * about_up(toe_out) * about_right(pitch), origin_m: ankle }
    }

    /// Thigh and shank: the knee bends forward in the plane of hip, ankle and a heading halfway to the pelvis'.
    fn leg(&self, side: Side, at: &Moment) -> [Pose; 2] {
        let pelvis = self.pelvis(at);
        let hip = pelvis.point_m([0.0, 0.0, -HALF_HIP_WIDTH_M * sign(side)]);
        if let Some((held, _)) = at.held.filter(|(held, _)| held.share == 1.0) {
            let [thigh, shank] = held.leg(side);
            let knee = hip - thigh.column(1) * THIGH_M;
            return [Pose { lab_from_segment: thigh, origin_m: hip }, Pose { lab_from_segment: shank, origin_m: knee }];
        }
        let ankle = self.foot(side, at).origin_m;
        let heading = 0.5 * self.pelvis_angles(at).rotation;
        let (sin, cos) = libm::sincos(heading);
        let right = Vector3::new(sin, -cos, 0.0);
        let leg = hip - ankle;
        let length = leg.norm();
        let up = leg / length;
        let axis = right - up * right.dot(&up);
        let axis = axis / axis.norm();
        let forward = up.cross(&axis);
        // Who takes up the task's first pose comes from a stretched leg.
        let length = length.min(if at.held.is_some() { LEG_M } else { 0.9998 * LEG_M });
        let cos_hip = (THIGH_M * THIGH_M + length * length - SHANK_M * SHANK_M) / (2.0 * THIGH_M * length);
        let sin_hip = (1.0 - cos_hip * cos_hip).max(0.0).sqrt();
        let thigh_up = up * cos_hip - forward * sin_hip;
        let knee = hip - thigh_up * THIGH_M;
        let cos_ankle = (length - THIGH_M * cos_hip) / SHANK_M;
        let shank_up = up * cos_ankle + forward * (THIGH_M * sin_hip / SHANK_M);
        let pose = |up: Vector3<f64>, origin_m| Pose { lab_from_segment: Matrix3::from_columns(&[up.cross(&axis), up, axis]), origin_m };
        [pose(thigh_up, hip), pose(shank_up, knee)]
    }

    /// Upper arm and forearm: a pendulum from the shoulder, with the elbow bent by 20°.
    fn arm(&self, side: Side, at: &Moment) -> [Pose; 2] {
        let thorax = self.thorax(at);
        let [x, y, z] = SHOULDER_M;
        let shoulder = thorax.point_m([x, y, -z * sign(side)]);
        let swing = self.motion.arm_swing(side, at.phase) * (1.0 - at.held.map_or(0.0, |(held, _)| held.share));
        let upper = upright() * about_forward(0.12 * sign(side)) * about_right(swing);
        let elbow = shoulder - upper.column(1) * UPPER_ARM_M;
        let fore = upper * about_right(20.0_f64.to_radians());
        [Pose { lab_from_segment: upper, origin_m: shoulder }, Pose { lab_from_segment: fore, origin_m: elbow }]
    }
}
