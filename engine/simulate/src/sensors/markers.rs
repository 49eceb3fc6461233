//! What do the cameras see? The places of the markers in the lab, with noise.

use proprio_core::rig::Side;

use crate::body::{Body, Pose, Segment};
use crate::layout::Marker;
use crate::random::Random;

const NOISE_M: f64 = 0.0003;

/// A camera system with its markers.
#[derive(Clone, Debug)]
pub struct Markers {
    markers: Vec<Marker>,
    /// Every segment with markers, once.
    segments: Vec<Segment>,
    random: Random,
    noise: f64,
}

impl Markers {
    /// Cameras that see `markers`; `noise` is a factor on noise.
    pub fn new(markers: Vec<Marker>, noise: f64, random: Random) -> Self {
        let sides = [Side::Left, Side::Right];
        let limbs = [Segment::Thigh, Segment::Shank, Segment::Foot, Segment::UpperArm, Segment::Forearm];
        let all = [Segment::Pelvis, Segment::Thorax].into_iter().chain(limbs.into_iter().flat_map(|limb| sides.map(limb)));
        let segments = all.filter(|segment| markers.iter().any(|(_, on, _)| on == segment)).collect();
        Self { markers, segments, random, noise }
    }

    /// Metres, x, y, z a marker: one column of samples a channel.
    pub fn measure(&mut self, body: &Body, times_s: &[f64]) -> Vec<Vec<f64>> {
        let mut columns = super::columns(3 * self.markers.len(), times_s.len());
        for &time_s in times_s {
            let moment = body.moment(time_s);
            let poses: Vec<(Segment, Pose)> = self.segments.iter().map(|&segment| (segment, body.pose_at(segment, &moment))).collect();
            for ((_, on, place_m), columns) in self.markers.iter().zip(columns.chunks_exact_mut(3)) {
                let pose = poses.iter().find(|(segment, _)| segment == on).map(|(_, pose)| pose).expect("every marker's segment is listed");
                let point = pose.point_m(*place_m);
                for (column, value) in columns.iter_mut().zip(point.iter()) {
                    column.push(value + NOISE_M * self.noise * self.random.normal());
                }
            }
        }
        columns
    }
}
