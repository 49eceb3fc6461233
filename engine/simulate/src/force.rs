//! What does the ground push back with? Force, free moment and centre of pressure under each foot.

use std::f64::consts::{FRAC_2_PI, PI, TAU};

use proprio_core::rig::Side;

use crate::body::{Body, Moment};
use crate::curve::{Curve, rest};
use crate::motion::{ANKLE_HEIGHT_M, Motion};
use crate::options::Options;

/// A landing or leaving foot passes 20 N within this scale of its contact: 0.67 ms.
const EDGE_S: f64 = 0.002;
/// The force that the edge alone leads to.
const EDGE_N: f64 = 80.0;
/// Below this vertical force there is no centre of pressure.
pub const LOADED_N: f64 = 20.0;

/// Ground reaction as a function of phase.
#[derive(Clone, Debug)]
pub struct Ground {
    is_walking: bool,
    cycle_s: f64,
    first: f64,
    third: f64,
    load: Curve,
}

/// What one plate measures, in the lab frame, Z up: the force on the subject.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reaction {
    /// Force in newtons.
    pub force_n: [f64; 3],
    /// Moment about the vertical through the centre of pressure.
    pub free_moment_n_m: f64,
    /// Centre of pressure in metres; meaningless without load.
    pub cop_m: [f64; 2],
}

impl Reaction {
    /// This reaction by a share, and another by the rest.
    fn mixed(self, share: f64, other: Self) -> Self {
        let mix = |a: f64, b: f64| share * a + (1.0 - share) * b;
        Self {
            force_n: std::array::from_fn(|i| mix(self.force_n[i], other.force_n[i])),
            free_moment_n_m: mix(self.free_moment_n_m, other.free_moment_n_m),
            cop_m: std::array::from_fn(|i| mix(self.cop_m[i], other.cop_m[i])),
        }
    }
}

impl Ground {
    /// The ground under the subject that `options` describe.
    pub fn new(options: &Options, motion: &Motion) -> Self {
        // Two humps from a first and a third harmonic of stance; each foot carries half the weight over a stride.
        let ratio = 0.38 / 1.2;
        let first = 0.5 / (motion.stance * FRAC_2_PI * (1.0 + ratio / 3.0));
        let is_walking = options.layout.is_walking();
        let cycle_s = if is_walking { 120.0 / options.cadence_steps_per_min } else { 16.0 };
        let load = Curve::new(&[rest(0.0, 0.0), rest(0.12, 1.0), rest(0.5, 1.0), rest(0.62, 0.0), rest(1.0, 0.0)]);
        Self { is_walking, cycle_s, first, third: first * ratio, load }
    }

    /// What the plate under one foot measures without noise; exactly zero in swing. In a calibration procedure it carries half of the weight.
    pub(crate) fn reaction(&self, body: &Body, side: Side, at: &Moment) -> Reaction {
        let task = self.of_task(body, side, at.phase);
        let Some((held, ahead_m)) = &at.held else { return task };
        let ankle = held.ankle(side, *ahead_m);
        let upright = Reaction { force_n: [0.0, 0.0, 0.5 * body.weight_n], free_moment_n_m: 0.0, cop_m: [ankle.x + 0.03, ankle.y] };
        upright.mixed(held.share, task)
    }

    fn of_task(&self, body: &Body, side: Side, phase: f64) -> Reaction {
        let stride = Motion::side_phase(side, phase);
        let u = stride - stride.floor();
        if u >= body.motion.stance {
            return Reaction::default();
        }
        if self.is_walking { self.walking(body, side, stride.floor(), u) } else { self.standing(body, side, phase, u) }
    }

    fn walking(&self, body: &Body, side: Side, n: f64, u: f64) -> Reaction {
        let s = u / body.motion.stance;
        let base = self.first * libm::sin(PI * s) + self.third * libm::sin(3.0 * PI * s);
        let vertical = (base * body.weight_n).max(self.edge(u, body.motion.stance));
        let (shear, _) = libm::sincos(TAU * s);
        let outward = crate::motion::sign(side);
        // From the heel to the ball along the foot, as fast as the body passes over it.
        let along = -0.045 + 0.195 * s;
        let (ankle, _, toe_out) = body.motion.foot(side, Motion::phase_of(side, n + 0.2));
        Reaction {
            force_n: [-0.19 * shear * vertical, -0.05 * outward * vertical, vertical],
            free_moment_n_m: outward * 0.006 * shear * vertical,
            cop_m: [body.motion.footprint_m(side, n) + along, ankle.y + toe_out * along],
        }
    }

    fn standing(&self, body: &Body, side: Side, phase: f64, u: f64) -> Reaction {
        // Where both feet are down, the one that lands or leaves takes its share and the other the rest.
        let other = (u + 0.5) - (u + 0.5).floor();
        let leads = !(0.0625..0.5625).contains(&u);
        let vertical = match (other < body.motion.stance, leads) {
            (false, _) => body.weight_n,
            (true, true) => self.carried(body, u),
            (true, false) => body.weight_n - self.carried(body, other),
        };
        let (ankle, _, _) = body.motion.foot(side, phase);
        debug_assert!(ankle.z < ANKLE_HEIGHT_M + 1e-9, "a loaded foot is on the ground");
        let pelvis = body.motion.pelvis_position(phase);
        Reaction {
            force_n: [0.0, 0.0, vertical],
            free_moment_n_m: 0.0,
            cop_m: [ankle.x + 0.03 + 0.5 * (pelvis.x - 0.03), ankle.y + 0.2 * (pelvis.y - ankle.y)],
        }
    }

    fn carried(&self, body: &Body, u: f64) -> f64 {
        (self.load.value(u) * body.weight_n).max(self.edge(u, body.motion.stance))
    }

    /// The steep beginning and end of a contact.
    fn edge(&self, u: f64, stance: f64) -> f64 {
        let since_s = u.min(stance - u) * self.cycle_s;
        EDGE_N * since_s / (since_s + EDGE_S)
    }
}
