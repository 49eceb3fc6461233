//! What does the subject do before the task, so that the sensors can be calibrated? Standing still, squats, standing still, raising
//! the toes, standing still; then the task's first pose is taken up.
//!
//! In a squat the trunk bows, so that pelvis, thorax, thighs and shanks all swing about their medio-lateral axes; the feet do when the
//! toes are raised. Muscles rest meanwhile, and either plate carries half of the weight. What may go wrong with a procedure are
//! figures of [`Calibration`], so that good ones and bad ones come from one generator.

use std::f64::consts::TAU;

use nalgebra::{Matrix3, Vector3};
use proprio_core::rig::Side;

use crate::body::{SHANK_M, THIGH_M};
use crate::curve::{Curve, rest};
use crate::motion::{ANKLE_HEIGHT_M, Angles, HALF_HIP_WIDTH_M, HEEL_M, about_forward, about_right, about_up, roll, sign, upright};
use crate::truth::TruthEvent;

/// How long the subject takes for the way from standing upright to the task's first pose.
const TAKING_UP_S: f64 = 2.0;
/// How high the toes are raised.
const TOE_RAISE_DEG: f64 = 22.0;
/// How long one raising of the toes takes.
const TOE_RAISE_S: f64 = 0.8;
/// How far other segments turn in a squat, as shares of the thigh: a leaning shank, a tilting pelvis, a bowing thorax.
const SHANK_SHARE: f64 = 0.7;
const PELVIS_SHARE: f64 = 0.5;
const THORAX_SHARE: f64 = 0.8;
/// Nobody stands like a statue: the pace of the body's sway.
const SWAY_HZ: f64 = 0.4;

/// The calibration procedure that a session begins with, and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// How long each quiet standing takes, in seconds.
    pub still_s: f64,
    /// How many squats, and how many raisings of the toes; with none, the subject stands still once.
    pub repetitions: u32,
    /// How long one squat takes, in seconds.
    pub squat_s: f64,
    /// How far the thigh flexes in a squat, in degrees.
    pub flexion_deg: f64,
    /// Swing about the forward axis beside each flexion, at twice its pace, as a share of its rate.
    pub aside: f64,
    /// Swing of the legs about their long axes beside each flexion, at twice its pace, as a share of its rate.
    pub twist: f64,
    /// The axis of flexion is off the medio-lateral one by so much, towards the long axis, in degrees.
    pub slant_deg: f64,
    /// How far off upright the body stands: forward, and to the right, in degrees.
    pub lean_deg: [f64; 2],
    /// After the squats the body leans so much further forward than before, in degrees.
    pub pose_change_deg: f64,
    /// Peak rate at which the standing body sways forward and back, in degrees a second.
    pub sway_deg_per_s: f64,
}

impl Default for Calibration {
    /// A procedure as it should be.
    fn default() -> Self {
        Self {
            still_s: 3.2,
            repetitions: 6,
            squat_s: 1.2,
            flexion_deg: 50.0,
            aside: 0.0,
            twist: 0.0,
            slant_deg: 0.0,
            lean_deg: [0.0; 2],
            pose_change_deg: 0.0,
            sway_deg_per_s: 0.3,
        }
    }
}

impl Calibration {
    /// Procedures by name: a good one, and one for each thing that wearers get wrong.
    pub const NAMES: [&str; 5] = ["good", "few-repetitions", "twisting", "other-pose", "swaying"];

    /// The procedure of one of [`Self::NAMES`].
    pub fn named(name: &str) -> Option<Self> {
        let good = Self::default();
        match name {
            "good" => Some(good),
            "few-repetitions" => Some(Self { repetitions: 3, ..good }),
            "twisting" => Some(Self { twist: 1.0, ..good }),
            "other-pose" => Some(Self { pose_change_deg: 10.0, ..good }),
            "swaying" => Some(Self { sway_deg_per_s: 6.0, ..good }),
            _ => None,
        }
    }

    /// Every figure with its name and the range in which the model is sound.
    pub(crate) fn figures(&self) -> [(&'static str, f64, f64, f64); 11] {
        [
            ("the standing still in s", self.still_s, 0.5, 60.0),
            ("the repetitions", f64::from(self.repetitions), 0.0, 100.0),
            ("the squat's time in s", self.squat_s, 0.5, 10.0),
            ("the squat's flexion in deg", self.flexion_deg, 0.0, 90.0),
            ("the swing aside", self.aside, -1.0, 1.0),
            ("the twist", self.twist, -1.0, 1.0),
            ("the slant in deg", self.slant_deg, -30.0, 30.0),
            ("the lean ahead in deg", self.lean_deg[0], -20.0, 20.0),
            ("the lean to the right in deg", self.lean_deg[1], -20.0, 20.0),
            ("the change of pose in deg", self.pose_change_deg, -20.0, 20.0),
            ("the sway in deg/s", self.sway_deg_per_s, 0.0, 30.0),
        ]
    }

    /// When the squats begin and end, in seconds since the start.
    pub fn squats_s(&self) -> (f64, f64) {
        (self.still_s, self.still_s + f64::from(self.repetitions) * self.squat_s)
    }

    /// When the raising of the toes begins and ends.
    pub fn toe_raises_s(&self) -> (f64, f64) {
        let pause_s = if self.repetitions == 0 { 0.0 } else { self.still_s };
        let from_s = self.squats_s().1 + pause_s;
        (from_s, from_s + f64::from(self.repetitions) * TOE_RAISE_S)
    }

    /// How long the procedure takes, up to where the subject leaves the last pose.
    pub fn duration_s(&self) -> f64 {
        self.toe_raises_s().1 + if self.repetitions == 0 { 0.0 } else { self.still_s }
    }

    /// When the task's movement begins.
    pub fn task_s(&self) -> f64 {
        self.duration_s() + TAKING_UP_S
    }
}

impl Calibration {
    /// What really happens, in order of time within each name.
    pub(crate) fn truth(&self) -> Vec<TruthEvent> {
        let event = |time_s: f64, name: &str, value: f64| TruthEvent { time_s, name: name.to_owned(), value };
        let poses = if self.repetitions == 0 { vec![0.0] } else { vec![0.0, self.squats_s().1, self.toe_raises_s().1] };
        let mut events: Vec<TruthEvent> = poses.into_iter().map(|time_s| event(time_s, "static_pose", self.still_s)).collect();
        let movements = [("functional_squat", self.squats_s(), self.squat_s), ("functional_toe_raise", self.toe_raises_s(), TOE_RAISE_S)];
        for (name, (from_s, _), each_s) in movements {
            events.extend((0..self.repetitions).map(|n| event(from_s + f64::from(n) * each_s, name, f64::from(n + 1))));
        }
        events
    }
}

/// The body as the procedure has it, for any instant of it.
#[derive(Clone, Debug)]
pub(crate) struct Procedure {
    calibration: Calibration,
    /// Out and back, over one repetition.
    repetition: Curve,
    /// Twice out and back.
    twice: Curve,
    /// From one pose to another.
    change: Curve,
}

/// The body as it is held at an instant of the procedure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// How much of this there is yet: 1 in the procedure, then falling to 0 as the task's first pose is taken up.
    pub(crate) share: f64,
    pub(crate) pelvis: Angles,
    pub(crate) thorax: Angles,
    pub(crate) foot_pitch: f64,
    /// Of thigh and shank: positive leans back.
    tilt: [f64; 2],
    /// Of both legs, about the forward axis.
    aside: f64,
    /// Of either leg about its long axis, turning the knees out.
    twist: f64,
}

impl Procedure {
    pub(crate) fn new(calibration: &Calibration) -> Self {
        Self {
            calibration: calibration.clone(),
            repetition: Curve::new(&[rest(0.0, 0.0), rest(0.5, 1.0), rest(1.0, 0.0)]),
            twice: Curve::new(&[rest(0.0, 0.0), rest(0.25, 1.0), rest(0.5, 0.0), rest(0.75, 1.0), rest(1.0, 0.0)]),
            change: Curve::new(&[rest(0.0, 0.0), rest(1.0, 1.0)]),
        }
    }

    /// The body `time_s` after the start; none once the task has begun.
    pub(crate) fn held(&self, time_s: f64) -> Option<Held> {
        let wanted = &self.calibration;
        let left = (time_s - wanted.duration_s()) / TAKING_UP_S;
        if left >= 1.0 {
            return None;
        }
        // Squared, because a stretched knee bends with the root of how far the hip comes down.
        let gone = self.change.value(left.max(0.0));
        let (squat, both) = (self.within(wanted.squats_s(), wanted.squat_s, &self.repetition, time_s), self.squat_aside(time_s));
        let flexion = wanted.flexion_deg.to_radians() * squat;
        let sway = wanted.sway_deg_per_s.to_radians() / (TAU * SWAY_HZ) * libm::sin(TAU * SWAY_HZ * time_s);
        let last_squat_s = wanted.squats_s().1 - wanted.squat_s;
        let changed = self.change.value(((time_s - last_squat_s) / wanted.squat_s).clamp(0.0, 1.0));
        let [ahead, right] = wanted.lean_deg.map(f64::to_radians);
        let lean = -(ahead + sway + wanted.pose_change_deg.to_radians() * changed);
        // A swing at twice the pace goes half as far for the same rate.
        let beside = 0.5 * wanted.flexion_deg.to_radians() * both;
        Some(Held {
            share: 1.0 - gone * gone,
            pelvis: Angles { tilt: lean - PELVIS_SHARE * flexion, ..Angles::default() },
            thorax: Angles { tilt: lean - THORAX_SHARE * flexion, ..Angles::default() },
            foot_pitch: TOE_RAISE_DEG.to_radians() * self.within(wanted.toe_raises_s(), TOE_RAISE_S, &self.repetition, time_s),
            tilt: [lean + flexion, lean - SHANK_SHARE * flexion],
            aside: right + wanted.aside * beside,
            twist: wanted.twist * beside + libm::tan(wanted.slant_deg.to_radians()) * flexion,
        })
    }

    fn squat_aside(&self, time_s: f64) -> f64 {
        self.within(self.calibration.squats_s(), self.calibration.squat_s, &self.twice, time_s)
    }

    /// A movement's curve within its repetition; 0 before the first and after the last.
    fn within(&self, (from_s, to_s): (f64, f64), each_s: f64, curve: &Curve, time_s: f64) -> f64 {
        if time_s < from_s || time_s >= to_s {
            return 0.0;
        }
        let done = (time_s - from_s) / each_s;
        curve.value(done - done.floor())
    }
}

impl Held {
    /// From the axes of thigh and shank to the lab's.
    pub(crate) fn leg(&self, side: Side) -> [Matrix3<f64>; 2] {
        self.tilt.map(|tilt| upright() * about_forward(self.aside) * about_right(tilt) * about_up(self.twist * sign(side)))
    }

    /// One side's ankle, where the flat ones are `ahead_m` of the lab's origin.
    pub(crate) fn ankle(&self, side: Side, ahead_m: f64) -> Vector3<f64> {
        let (forward, upward) = roll(self.foot_pitch, HEEL_M);
        Vector3::new(ahead_m + forward, HALF_HIP_WIDTH_M * sign(side), ANKLE_HEIGHT_M + upward)
    }

    /// The midpoint of the hips, over those ankles.
    pub(crate) fn hips(&self, ahead_m: f64) -> Vector3<f64> {
        // The legs are parallel but for their twist, which moves no end of theirs.
        let [thigh, shank] = self.leg(Side::Left).map(|leg| leg.column(1).into_owned());
        let ankles = 0.5 * (self.ankle(Side::Left, ahead_m) + self.ankle(Side::Right, ahead_m));
        ankles + shank * SHANK_M + thigh * THIGH_M
    }
}
