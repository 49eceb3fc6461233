//! How do pelvis, trunk and feet move over a stride? Curves over phase, for walking and for standing on alternate legs.
//!
//! Shapes and ranges are those that gait textbooks agree on (stance 62 %, foot flat from 11 to 44 %, obliquity with the
//! swing side low, two vertical oscillations of the pelvis a stride); the coefficients are this project's own.

use std::f64::consts::TAU;

use nalgebra::{Matrix3, Vector3};
use proprio_core::rig::Side;

use crate::curve::{Curve, Knot, pass, rest};
use crate::hip_thrust::HipThrust;
use crate::options::{Impairments, Layout, Options, PerSide};
use crate::random::Random;
use crate::rhythm::Rhythm;

/// Half the distance between the hip joint centres.
pub const HALF_HIP_WIDTH_M: f64 = 0.085;
/// Height of the ankle over the sole.
pub const ANKLE_HEIGHT_M: f64 = 0.08;
/// Where the heel meets the ground, from the ankle, in the foot's axes.
pub const HEEL_M: (f64, f64) = (-0.055, -ANKLE_HEIGHT_M);
/// Where the ball of the foot meets the ground.
const BALL_M: (f64, f64) = (0.13, -ANKLE_HEIGHT_M);
/// The phase at which the pelvis passes over the flat ankle.
const REACH: f64 = 0.235;
/// Share of the obliquity that a gluteus medius which holds nothing lets through.
const SINK_DEG: f64 = 10.0;

/// A segment's orientation as angles about its ISB axes, in radians: first rotation about the vertical, then obliquity
/// about the forward axis, then tilt about the axis to the right.
#[derive(Clone, Copy, Debug, Default)]
pub struct Angles {
    /// About the axis to the right: positive leans back.
    pub tilt: f64,
    /// About the forward axis: positive has the right side down.
    pub obliquity: f64,
    /// About the vertical: positive turns left.
    pub rotation: f64,
}

impl Angles {
    /// These angles by a share, and others by the rest.
    pub fn mixed(self, share: f64, other: Self) -> Self {
        let mix = |a: f64, b: f64| share * a + (1.0 - share) * b;
        Self {
            tilt: mix(self.tilt, other.tilt),
            obliquity: mix(self.obliquity, other.obliquity),
            rotation: mix(self.rotation, other.rotation),
        }
    }
}

/// The movement of a subject as functions of phase; the left foot makes contact at whole phases, the right one at halves.
#[derive(Clone, Debug)]
pub struct Motion {
    /// Phase over time.
    pub rhythm: Rhythm,
    /// Share of the cycle in which a foot is on the ground.
    pub stance: f64,
    is_walking: bool,
    hip_height_m: f64,
    bounce_m: f64,
    /// Individual size of the pelvis' and trunk's rotations.
    expression: f64,
    half_step_width_m: f64,
    drop: PerSide,
    sink: PerSide,
    foot: FootCurves,
    /// What the subject does instead of walking or standing; phases are seconds then.
    pub training: Option<HipThrust>,
    drop_window: Curve,
    sink_window: Curve,
    weight_shift: Curve,
}

#[derive(Clone, Debug)]
struct FootCurves {
    pitch: Curve,
    /// Over the swing, from 0 to 1: how much of the stride the foot has gone.
    advance: Curve,
    /// Over the swing: forward and upward offset of the ankle from its place on the flat foot.
    forward: Curve,
    upward: Curve,
    flat_from: f64,
    flat_to: f64,
    toe_out: f64,
}

impl Motion {
    /// The movement of the subject that `options` describe.
    pub fn new(options: &Options) -> Self {
        let is_walking = options.layout.is_walking();
        let training = (options.layout == Layout::HipThrust).then(|| HipThrust::new(options));
        let mut random = Random::new(options.seed, "subject");
        let Impairments { pelvic_drop_deg, weak_hold, .. } = options.impairments;
        let sink = PerSide { left: (weak_hold.left * SINK_DEG).to_radians(), right: (weak_hold.right * SINK_DEG).to_radians() };
        let drop = PerSide { left: pelvic_drop_deg.left.to_radians(), right: pelvic_drop_deg.right.to_radians() };
        let expression = 1.0 + 0.1 * random.signed();
        let (cycle_s, length_m, stance) =
            if is_walking { (120.0 / options.cadence_steps_per_min, options.stride_length_m(), 0.62) } else { (16.0, 0.0, 0.625) };
        // Who sets off does so from a phase in which both feet are on the ground.
        let phase_at_start = match (is_walking, options.calibration.is_some()) {
            (true, false) => 0.7,
            (true, true) => 0.06,
            (false, _) => 0.53,
        };
        let rhythm = match &training {
            Some(_) => Rhythm::new(options.seed, 1.0, 0.0, 0.0, 0.0),
            None => Rhythm::new(options.seed, cycle_s, length_m, phase_at_start, options.stride_variation),
        };
        let mut motion = Self {
            rhythm: match &options.calibration {
                Some(calibration) => rhythm.setting_off(calibration.task_s()),
                None => rhythm,
            },
            stance,
            is_walking,
            training,
            hip_height_m: 0.0,
            bounce_m: 0.018 * (length_m / 1.36) * (length_m / 1.36),
            expression,
            half_step_width_m: if is_walking { 0.055 } else { 0.085 },
            drop,
            sink,
            foot: if is_walking { FootCurves::walking(stance) } else { FootCurves::standing(stance) },
            drop_window: Curve::new(&if is_walking {
                [rest(0.06, 0.0), rest(0.20, 1.0), rest(0.40, 1.0), rest(0.54, 0.0)]
            } else {
                [rest(0.125, 0.0), rest(0.18, 1.0), rest(0.47, 1.0), rest(0.52, 0.0)]
            }),
            sink_window: Curve::new(&if is_walking {
                [rest(0.12, 0.0), rest(0.46, 1.0), rest(0.47, 1.0), rest(0.60, 0.0)]
            } else {
                [rest(0.14, 0.0), rest(0.485, 1.0), rest(0.49, 1.0), rest(0.54, 0.0)]
            }),
            weight_shift: Curve::new(&[rest(0.0, -1.0), rest(0.12, 1.0), rest(0.5, 1.0), rest(0.62, -1.0), rest(1.0, -1.0)]),
        };
        motion.hip_height_m = if motion.training.is_some() { 0.0 } else { motion.highest_hips() };
        motion
    }

    /// The phase of one side: whole at its initial contacts.
    pub fn side_phase(side: Side, phase: f64) -> f64 {
        match side {
            Side::Left => phase,
            Side::Right => phase - 0.5,
        }
    }

    /// The subject's phase when one side's phase is `side_phase`.
    pub fn phase_of(side: Side, side_phase: f64) -> f64 {
        match side {
            Side::Left => side_phase,
            Side::Right => side_phase + 0.5,
        }
    }

    /// The pelvis' angles to the lab.
    pub fn pelvis_angles(&self, phase: f64) -> Angles {
        if let Some(training) = &self.training {
            return training.pelvis_angles(phase);
        }
        let extra = self.extra_obliquity(Side::Left, phase) - self.extra_obliquity(Side::Right, phase);
        let degrees = if self.is_walking {
            Angles {
                tilt: 1.2 * wave(2.0, phase, 0.15),
                obliquity: 3.4 * wave(1.0, phase, 0.05) + 0.6 * wave(3.0, phase, 0.65),
                rotation: -4.5 * wave(1.0, phase, 0.25),
            }
        } else {
            let shift = self.weight_shift.value(phase - phase.floor());
            Angles {
                tilt: 0.4 * wave(5.3, phase, 0.1) + 0.2 * wave(12.1, phase, 0.7),
                obliquity: 0.8 * shift + 0.3 * wave(6.7, phase, 0.3),
                rotation: 0.5 * wave(4.1, phase, 0.4),
            }
        };
        let scale = self.expression.to_radians();
        Angles { tilt: degrees.tilt * scale, obliquity: degrees.obliquity * scale + extra, rotation: degrees.rotation * scale }
    }

    /// The midpoint of the hip joint centres in the lab.
    pub fn pelvis_position(&self, phase: f64) -> Vector3<f64> {
        if let Some(training) = &self.training {
            return training.pelvis_position(phase);
        }
        let extra = self.extra_obliquity(Side::Left, phase) + self.extra_obliquity(Side::Right, phase);
        // The hip that carries stays where it was: the middle of the pelvis goes down with the other side.
        let up = self.hip_height_m - HALF_HIP_WIDTH_M * libm::sin(extra);
        if self.is_walking {
            Vector3::new(
                self.rhythm.distance_m(phase) + 0.008 * wave(2.0, phase, -0.2),
                0.022 * wave(1.0, phase, -0.05),
                up - self.bounce_m * wave(2.0, phase, 0.15),
            )
        } else {
            let shift = self.weight_shift.value(phase - phase.floor());
            Vector3::new(
                0.03 + 0.004 * wave(5.3, phase, 0.0) + 0.002 * wave(13.7, phase, 0.6),
                0.075 * shift + 0.004 * wave(6.7, phase, 0.2) + 0.002 * wave(15.1, phase, 0.9),
                up - 0.002 * wave(6.1, phase, 0.5),
            )
        }
    }

    /// The trunk's angles to the lab.
    pub fn thorax_angles(&self, phase: f64) -> Angles {
        if let Some(training) = &self.training {
            return training.thorax_angles(phase);
        }
        let degrees = if self.is_walking {
            Angles {
                tilt: -2.5 + 0.8 * wave(2.0, phase, 0.4),
                obliquity: -1.2 * wave(1.0, phase, 0.05),
                rotation: 3.2 * wave(1.0, phase, 0.25),
            }
        } else {
            Angles {
                tilt: -1.0 + 0.3 * wave(5.3, phase, 0.2),
                obliquity: -0.6 * wave(6.7, phase, 0.35),
                rotation: 0.3 * wave(4.1, phase, 0.1),
            }
        };
        let scale = self.expression.to_radians();
        Angles { tilt: degrees.tilt * scale, obliquity: degrees.obliquity * scale, rotation: degrees.rotation * scale }
    }

    /// Forward swing of one arm at the shoulder, in radians.
    pub fn arm_swing(&self, side: Side, phase: f64) -> f64 {
        let swing = if self.is_walking { 18.0 } else { 1.0 };
        (5.0 - swing * wave(1.0, Self::side_phase(side, phase), 0.25)).to_radians()
    }

    /// The ankle's position in the lab, the foot's pitch (toes up positive) and toe-out (left positive), in radians.
    pub fn foot(&self, side: Side, phase: f64) -> (Vector3<f64>, f64, f64) {
        if self.training.is_some() {
            return (HipThrust::ankle(side), 0.0, 0.0);
        }
        let stride = Self::side_phase(side, phase);
        let (n, u) = (stride.floor(), stride - stride.floor());
        let (forward, upward) = self.foot.ankle_offset(u, self.stance);
        let mut x = self.footprint_m(side, n);
        if u > self.stance && self.is_walking {
            x += (self.footprint_m(side, n + 1.0) - x) * self.foot.advance.value(u);
        }
        let toe_out = self.foot.toe_out * sign(side);
        let y = self.half_step_width_m * sign(side);
        let along = Vector3::new(libm::cos(toe_out), libm::sin(toe_out), 0.0) * forward;
        (Vector3::new(x, y, ANKLE_HEIGHT_M + upward) + along, self.foot.pitch.value(u), toe_out)
    }

    /// Forward position in the lab of the flat ankle of a side's contact `n`.
    pub fn footprint_m(&self, side: Side, n: f64) -> f64 {
        if self.is_walking { self.rhythm.distance_m(Self::phase_of(side, n + REACH)) } else { 0.0 }
    }

    /// Seconds since the start of a side's initial contact `n`.
    pub fn initial_contact_s(&self, side: Side, n: i64) -> f64 {
        self.rhythm.time_at(Self::phase_of(side, n as f64))
    }

    /// Seconds since the start of the final contact that ends the stance of initial contact `n`.
    pub fn final_contact_s(&self, side: Side, n: i64) -> f64 {
        self.rhythm.time_at(Self::phase_of(side, n as f64 + self.stance))
    }

    /// Obliquity in radians that the impairments of the stance side add, positive for either side.
    fn extra_obliquity(&self, side: Side, phase: f64) -> f64 {
        let (drop, sink) = (self.drop.of(side), self.sink.of(side));
        if drop == 0.0 && sink == 0.0 {
            return 0.0;
        }
        let stride = Self::side_phase(side, phase);
        let u = stride - stride.floor();
        drop * self.drop_window.value(u) + sink * self.sink_window.value(u)
    }

    /// The greatest height of the hips at which no leg is stretched beyond 99.4 % in the first 128 cycles, whose variety stands for
    /// all others'.
    fn highest_hips(&self) -> f64 {
        let reach_m = 0.994 * crate::body::LEG_M;
        let height_at = |i: usize| {
            let phase = i as f64 / 64.0;
            let pelvis = self.pelvis_position(phase);
            let angles = self.pelvis_angles(phase);
            let height = |side| {
                let hip = pelvis + rotation(angles) * Vector3::new(0.0, 0.0, -HALF_HIP_WIDTH_M * sign(side));
                let ankle = self.foot(side, phase).0;
                let level_sq = (hip.x - ankle.x) * (hip.x - ankle.x) + (hip.y - ankle.y) * (hip.y - ankle.y);
                // `pelvis_position` has a hip height of zero here, so hip.z is only the offset from it.
                ankle.z - hip.z + (reach_m * reach_m - level_sq).max(0.04).sqrt()
            };
            height(Side::Left).min(height(Side::Right))
        };
        (0..64 * 128).map(height_at).fold(f64::INFINITY, f64::min)
    }
}

impl FootCurves {
    fn walking(stance: f64) -> Self {
        let (flat_from, flat_to) = (0.107, 0.44);
        let degrees = |at: f64, value: f64, rate: f64| pass(at, value.to_radians(), rate.to_radians());
        let pitch = Curve::new(&[
            degrees(0.0, 18.0, -350.0),
            degrees(flat_from, 0.0, 0.0),
            degrees(flat_to, 0.0, 0.0),
            degrees(stance, -48.0, -700.0),
            degrees(0.655, -55.0, 0.0),
            degrees(0.802, -22.0, 375.0),
            degrees(0.965, 20.0, 0.0),
            degrees(1.0, 18.0, -350.0),
        ]);
        let mut curves = Self {
            pitch,
            // The heel brakes late and hard: what an accelerometer on the foot feels as the strike.
            advance: Curve::new(&[rest(stance, 0.0), pass(0.8265, 0.5, 3.4), Knot { acceleration: -90.0, ..rest(1.0, 1.0) }]),
            forward: Curve::new(&[rest(0.0, 0.0), rest(1.0, 0.0)]),
            upward: Curve::new(&[rest(0.0, 0.0), rest(1.0, 0.0)]),
            flat_from,
            flat_to,
            toe_out: 6.0_f64.to_radians(),
        };
        let ([forward_off, upward_off], [forward_on, upward_on]) = (curves.rolling(stance, BALL_M), curves.rolling(0.0, HEEL_M));
        let knot = |at: f64, [value, rate, acceleration]: [f64; 3]| Knot { at, value, rate, acceleration };
        curves.forward = Curve::new(&[knot(stance, forward_off), knot(1.0, forward_on)]);
        let mut strike = knot(1.0, upward_on);
        strike.acceleration += 29.0;
        curves.upward = Curve::new(&[knot(stance, upward_off), pass(0.78, 0.0725, -0.57), strike]);
        curves
    }

    fn standing(stance: f64) -> Self {
        let lift = |value: f64| Curve::new(&[rest(stance, 0.0), rest(stance + 0.06, value), rest(0.94, value), rest(1.0, 0.0)]);
        Self {
            pitch: lift(-20.0_f64.to_radians()),
            advance: lift(0.0),
            forward: lift(-0.10),
            upward: lift(0.13),
            flat_from: 0.0,
            flat_to: stance,
            toe_out: 6.0_f64.to_radians(),
        }
    }

    fn ankle_offset(&self, u: f64, stance: f64) -> (f64, f64) {
        if u < self.flat_from {
            roll(self.pitch.value(u), HEEL_M)
        } else if u < self.flat_to {
            (0.0, 0.0)
        } else if u < stance {
            roll(self.pitch.value(u), BALL_M)
        } else {
            (self.forward.value(u), self.upward.value(u))
        }
    }

    /// Value, rate and acceleration over phase of the ankle's forward and upward offset while rolling at `u`.
    fn rolling(&self, u: f64, pivot: (f64, f64)) -> [[f64; 3]; 2] {
        let [pitch, rate, acceleration] = self.pitch.derivatives(u);
        let (forward, upward) = roll(pitch, pivot);
        // From the pivot, the ankle turns about the axis to the right: (x, y)' = pitch' · (−y, x).
        let (x, y) = (forward - pivot.0, upward - pivot.1);
        let forward_acceleration = -y * acceleration - x * rate * rate;
        let upward_acceleration = x * acceleration - y * rate * rate;
        [[forward, -y * rate, forward_acceleration], [upward, x * rate, upward_acceleration]]
    }
}

/// Forward and upward offset of the ankle when the foot is pitched about a point of its sole that stays in place.
pub fn roll(pitch: f64, pivot: (f64, f64)) -> (f64, f64) {
    let (sin, cos) = libm::sincos(pitch);
    (pivot.0 - pivot.0 * cos + pivot.1 * sin, pivot.1 - pivot.0 * sin - pivot.1 * cos)
}

/// A wave of `harmonic` periods a cycle, ahead by `lead` of its own periods.
fn wave(harmonic: f64, phase: f64, lead: f64) -> f64 {
    libm::sin(TAU * (harmonic * phase + lead))
}

/// 1 on the left, −1 on the right.
pub fn sign(side: Side) -> f64 {
    match side {
        Side::Left => 1.0,
        Side::Right => -1.0,
    }
}

/// The matrix from segment axes (X forward, Y up, Z right) to the lab's (east, north, up), walking east.
pub fn rotation(angles: Angles) -> Matrix3<f64> {
    upright() * about_up(angles.rotation) * about_forward(angles.obliquity) * about_right(angles.tilt)
}

/// Segment axes of someone upright who faces east.
pub fn upright() -> Matrix3<f64> {
    Matrix3::new(1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0)
}

/// A turn about a segment's Y axis.
pub fn about_up(angle: f64) -> Matrix3<f64> {
    let (s, c) = libm::sincos(angle);
    Matrix3::new(c, 0.0, s, 0.0, 1.0, 0.0, -s, 0.0, c)
}

/// A turn about a segment's X axis.
pub fn about_forward(angle: f64) -> Matrix3<f64> {
    let (s, c) = libm::sincos(angle);
    Matrix3::new(1.0, 0.0, 0.0, 0.0, c, -s, 0.0, s, c)
}

/// A turn about a segment's Z axis.
pub fn about_right(angle: f64) -> Matrix3<f64> {
    let (s, c) = libm::sincos(angle);
    Matrix3::new(c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0)
}
