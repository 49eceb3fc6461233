//! How does a body move in a hip thrust? The shoulders on a bench, the feet flat on the floor, the pelvis between them lifted.
//!
//! The trunk turns about the bench's edge from the hips hanging low to lying level; thighs and shanks follow from the hips and the feet. The
//! head is in the west and the face up. What is wrong with a subject comes with the lift: the lumbar spine extends in place of the hips, or
//! the pelvis drops on one side.

use nalgebra::Vector3;
use proprio_core::rig::Side;

use crate::motion::{ANKLE_HEIGHT_M, Angles, sign};
use crate::options::{Options, PerSide};
use crate::training::{Repetition, way};

/// Height of the bench's edge.
const BENCH_M: f64 = 0.46;
/// From the bench's edge to the hips.
const TRUNK_M: f64 = 0.45;
/// How far the trunk slopes at rest, head up, in degrees.
const REST_SLOPE_DEG: f64 = 36.0;
/// The feet stand so far from the bench: the shanks are upright at the top.
const FEET_M: f64 = 0.88;
/// Half of the distance between the ankles.
const HALF_STANCE_M: f64 = 0.10;

/// The movement of one training.
#[derive(Clone, Debug)]
pub struct HipThrust {
    /// The repetitions; times count from the training's start.
    pub schedule: Vec<Repetition>,
    lumbar_extension_deg: f64,
    drop_deg: PerSide,
}

impl HipThrust {
    /// The training that `options` describe.
    pub fn new(options: &Options) -> Self {
        let impairments = &options.impairments;
        Self {
            schedule: options.training.schedule(options.seed),
            lumbar_extension_deg: impairments.lumbar_extension_deg,
            drop_deg: impairments.pelvic_drop_deg,
        }
    }

    /// How much of the way is gone.
    pub fn way(&self, time_s: f64) -> f64 {
        way(&self.schedule, time_s)
    }

    /// The pelvis' angles to the lab.
    pub fn pelvis_angles(&self, time_s: f64) -> Angles {
        let way = self.way(time_s);
        let extended = (self.lumbar_extension_deg * way).to_radians();
        let obliquity = ((self.drop_deg.left - self.drop_deg.right) * way).to_radians();
        Angles { tilt: trunk_tilt(way) - extended, obliquity, rotation: 0.0 }
    }

    /// The trunk's angles to the lab.
    pub fn thorax_angles(&self, time_s: f64) -> Angles {
        Angles { tilt: trunk_tilt(self.way(time_s)), obliquity: 0.0, rotation: 0.0 }
    }

    /// The midpoint of the hips in the lab.
    pub fn pelvis_position(&self, time_s: f64) -> Vector3<f64> {
        let (sin, cos) = libm::sincos(trunk_tilt(self.way(time_s)));
        Vector3::new(TRUNK_M * sin, 0.0, BENCH_M - TRUNK_M * cos)
    }

    /// One ankle's position in the lab; the foot is flat.
    pub fn ankle(side: Side) -> Vector3<f64> {
        Vector3::new(FEET_M, HALF_STANCE_M * sign(side), ANKLE_HEIGHT_M)
    }
}

/// How far the trunk leans back from upright, in radians: level at the top.
fn trunk_tilt(way: f64) -> f64 {
    (90.0 - REST_SLOPE_DEG * (1.0 - way)).to_radians()
}
