//! How does a body move in a hip thrust? The shoulders on a bench, the feet flat on the floor, the pelvis between them lifted.
//!
//! The trunk turns about the bench's edge from the hips hanging low to lying level; thighs and shanks follow from the hips and the feet. The
//! head is in the west and the face up. What is wrong with a subject comes with the lift: the lumbar spine extends in place of the hips, or
//! the pelvis drops on one side.

use nalgebra::Vector3;
use proprio_core::rig::Side;

use crate::motion::{ANKLE_HEIGHT_M, Angles, sign};
use crate::options::{Options, PerSide};
use crate::training::{Repetition, Training, way};

/// Height of the bench's edge.
const BENCH_M: f64 = 0.46;
/// From the bench's edge to the hips.
const TRUNK_M: f64 = 0.45;
/// How far the trunk slopes at rest, head up, in degrees.
const REST_SLOPE_DEG: f64 = 36.0;
/// The feet stand so far from the bench: the shanks are upright at the top.
const FEET_M: f64 = 0.88;
/// A gluteus maximus that holds nothing lets the hips sink by so much of the way.
const SINK: f64 = 0.25;
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
        let weak = impairments.weak_hold.left.max(impairments.weak_hold.right);
        Self {
            schedule: Training { sag: options.training.sag + SINK * weak, ..options.training }.schedule(options.seed),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Body, Segment};
    use crate::options::{Impairments, Layout};

    /// Flexion of a hip in degrees, in the plane of the pelvis: positive with the knee in front.
    fn hip_flexion_deg(body: &Body, side: Side, time_s: f64) -> f64 {
        let [pelvis, thigh] = [Segment::Pelvis, Segment::Thigh(side)].map(|segment| body.pose(segment, time_s).lab_from_segment);
        let turned = pelvis.transpose() * thigh;
        libm::atan2(-turned[(0, 1)], turned[(1, 1)]).to_degrees()
    }

    #[test]
    fn the_hips_stretch_from_rest_to_the_top_and_the_feet_stay() {
        let options = Options { layout: Layout::HipThrust, ..Options::default() };
        let body = Body::new(&options);
        let first = options.training.schedule(options.seed)[0];
        let flexion = |time_s: f64| hip_flexion_deg(&body, Side::Left, time_s);
        assert!((flexion(1.0) - 75.4).abs() < 1.0, "{}", flexion(1.0));
        assert!((flexion(first.top_s + 1.0) - 6.7).abs() < 1.0, "{}", flexion(first.top_s + 1.0));
        assert!((0..200).all(|k| flexion(first.start_s + f64::from(k) / 100.0) >= flexion(first.start_s + f64::from(k + 1) / 100.0)));
        for time_s in [0.0, first.start_s + 0.7, first.top_s] {
            for side in [Side::Left, Side::Right] {
                let ankle = body.pose(Segment::Shank(side), time_s).point_m([0.0, -0.43, 0.0]);
                assert!((ankle - HipThrust::ankle(side)).norm() < 1e-9, "{ankle}");
            }
        }
    }

    #[test]
    fn compensation_comes_with_the_lift() {
        let impairments = Impairments { lumbar_extension_deg: 15.0, ..Impairments::default() };
        let options = Options { layout: Layout::HipThrust, impairments, ..Options::default() };
        let body = Body::new(&options);
        let top_s = options.training.schedule(options.seed)[0].top_s + 1.0;
        let lumbar = |time_s: f64| {
            let [pelvis, thorax] = [Segment::Pelvis, Segment::Thorax].map(|segment| body.pose(segment, time_s).lab_from_segment);
            let turned = pelvis.transpose() * thorax;
            libm::atan2(turned[(1, 0)], turned[(0, 0)]).to_degrees()
        };
        assert!(lumbar(1.0).abs() < 1e-9 && (lumbar(top_s).abs() - 15.0).abs() < 1e-9, "{} {}", lumbar(1.0), lumbar(top_s));
        assert!((hip_flexion_deg(&body, Side::Right, top_s) - 21.7).abs() < 1.0);
    }
}
