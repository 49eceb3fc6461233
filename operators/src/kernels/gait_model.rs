//! Where are the joint centres, and which way do the segments point, given markers on the skin? The conventional gait model.
//!
//! Segments have ISB axes: X forward, Y up, Z right. Hip centres from leg length and pelvis width (Davis et al. 1991, "A gait
//! analysis data collection and reduction technique") or from the pelvis' size alone (Harrington et al. 2007, "Prediction of
//! the hip joint centre in adults, children, and patients with cerebral palsy"); knee and ankle from a wand that lies in the
//! joint's frontal plane (Kadaba et al. 1990, "Measurement of lower extremity kinematics during level walking").

use nalgebra::{Matrix3, Vector3};
use proprio_core::rig::Side;

use super::quaternion::{Quaternion, from_axes};

/// A place in the lab, in metres.
pub type Point = Vector3<f64>;

/// Shorter than this, a direction between two points is not known.
const SHORTEST_M: f64 = 1e-3;
/// Angles of the line from the pelvis' origin to the hip centre, in radians: out of the sagittal and out of the frontal plane.
const OUTWARD_RAD: f64 = 0.5;
const BACKWARD_RAD: f64 = 0.314;

/// Axes of a segment, in the lab: columns forward, up, right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment(Matrix3<f64>);

impl Segment {
    /// The rotation from the segment's axes to the lab's.
    pub fn rotation(&self) -> Quaternion {
        let axis = |column: usize| [self.0[(0, column)], self.0[(1, column)], self.0[(2, column)]];
        from_axes(axis(0), axis(1), axis(2))
    }

    /// The axis to the right.
    pub fn right(&self) -> Point {
        self.0.column(2).into_owned()
    }

    /// From the exact up axis and the rough right one.
    fn upright(up: Point, right: Point) -> Option<Self> {
        let up = unit(up)?;
        let right = unit(across(right, up))?;
        Some(Self(Matrix3::from_columns(&[up.cross(&right), up, right])))
    }

    /// From the exact forward axis and the rough right one.
    fn along(forward: Point, right: Point) -> Option<Self> {
        let forward = unit(forward)?;
        let right = unit(across(right, forward))?;
        Some(Self(Matrix3::from_columns(&[forward, right.cross(&forward), right])))
    }
}

/// The pelvis with its origin midway between the anterior superior iliac spines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pelvis {
    /// Right along the line between the spines, forward in their plane with the sacrum.
    pub segment: Segment,
    origin: Point,
    width_m: f64,
    depth_m: f64,
}

impl Pelvis {
    /// From the markers on the spines, left and right, and the sacrum; `None` when they lie on one line.
    pub fn new([left, right]: [Point; 2], sacrum: Point) -> Option<Self> {
        let origin = (left + right) / 2.0;
        let across_m = right - left;
        let z = unit(across_m)?;
        let x = unit(across(origin - sacrum, z))?;
        let segment = Segment(Matrix3::from_columns(&[x, z.cross(&x), z]));
        Some(Self { segment, origin, width_m: across_m.norm(), depth_m: (origin - sacrum).norm() })
    }

    /// The hip centre by leg length (the mean of both legs sets how far it lies from the origin, `leg_m` of this side how far
    /// behind the spine). `width_m` and `trochanter_m`, the distance from spine to trochanter, replace what is estimated.
    pub fn hip_by_leg(&self, side: Side, size: &HipSize) -> Point {
        let (sin_out, cos_out) = libm::sincos(OUTWARD_RAD);
        let (sin_back, cos_back) = libm::sincos(BACKWARD_RAD);
        let reach_m = 0.115 * size.mean_leg_m - 0.0153;
        let behind_m = size.trochanter_m.unwrap_or(0.1288 * size.leg_m - 0.048_56) + size.marker_radius_m;
        let half_m = size.width_m.unwrap_or(self.width_m) / 2.0;
        self.place(
            side,
            [
                reach_m * cos_out * sin_back - behind_m * cos_back,
                -reach_m * cos_out * cos_back - behind_m * sin_back,
                half_m - reach_m * sin_out,
            ],
        )
    }

    /// The hip centre by the pelvis' width and depth.
    pub fn hip_by_pelvis(&self, side: Side, marker_radius_m: f64) -> Point {
        let depth_m = self.depth_m - 2.0 * marker_radius_m;
        self.place(side, [-0.24 * depth_m - 0.0099 - marker_radius_m, -0.30 * self.width_m - 0.0109, 0.33 * self.width_m + 0.0073])
    }

    /// A point given forward, up and outward of the origin.
    fn place(&self, side: Side, [forward, up, outward]: [f64; 3]) -> Point {
        self.origin + self.segment.0 * Vector3::new(forward, up, outward * outward_sign(side))
    }
}

/// What sets a hip centre apart from the markers, in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HipSize {
    /// Length of this leg.
    pub leg_m: f64,
    /// Mean of both legs.
    pub mean_leg_m: f64,
    /// Distance between the spines; that of the markers where it is not known.
    pub width_m: Option<f64>,
    /// From spine to trochanter along the body; estimated from the leg's length where it is not known.
    pub trochanter_m: Option<f64>,
    /// Half of a marker's diameter.
    pub marker_radius_m: f64,
}

/// The centre of a joint whose marker sits `offset_m` to its side: at a right angle to the line from the proximal centre, in the plane
/// of that centre, the marker and the wand. `wand_ahead_rad` is how far the wand stands in front of that plane. `None`
/// when the points lie on one line, or the marker is nearer to the proximal centre than `offset_m`.
pub fn joint_centre(side: Side, proximal: Point, marker: Point, wand: Point, offset_m: f64, wand_ahead_rad: f64) -> Option<Point> {
    let to_proximal = proximal - marker;
    let distance_m = to_proximal.norm();
    let up = unit(to_proximal)?;
    let wand = unit(across(wand - marker, up))?;
    let backward = up.cross(&wand) * -outward_sign(side);
    let (sin, cos) = libm::sincos(wand_ahead_rad);
    let outward = wand * cos + backward * sin;
    let share = offset_m / distance_m;
    (share < 1.0).then(|| marker + up * (offset_m * share) - outward * (offset_m * (1.0 - share * share).sqrt()))
}

/// Thigh or shank: up from its distal to its proximal joint centre, its flexion axis through the distal joint's marker.
pub fn limb(side: Side, proximal: Point, distal: Point, marker: Point) -> Option<Segment> {
    Segment::upright(proximal - distal, (marker - distal) * outward_sign(side))
}

/// The foot along the line from heel to toe, its flexion axis that of the shank.
pub fn foot(shank: &Segment, heel: Point, toe: Point) -> Option<Segment> {
    Segment::along(toe - heel, shank.right())
}

/// The foot along the line from ankle centre to toe, raised by its plantar flexion offset and turned inward by its rotation
/// offset, which a static trial has measured.
pub fn foot_by_offsets(side: Side, shank: &Segment, ankle: Point, toe: Point, raised_rad: f64, inward_rad: f64) -> Option<Segment> {
    let line = Segment::along(toe - ankle, shank.right())?;
    let (sin_raised, cos_raised) = libm::sincos(raised_rad);
    let (sin_turned, cos_turned) = libm::sincos(-inward_rad * outward_sign(side));
    let raise = Matrix3::new(cos_raised, -sin_raised, 0.0, sin_raised, cos_raised, 0.0, 0.0, 0.0, 1.0);
    let turn = Matrix3::new(cos_turned, 0.0, -sin_turned, 0.0, 1.0, 0.0, sin_turned, 0.0, cos_turned);
    Some(Segment(line.0 * raise * turn))
}

/// The thorax: up from the middle of sternum and tenth vertebra to that of clavicle and seventh, forward from back to breast.
pub fn thorax(c7: Point, t10: Point, clavicle: Point, sternum: Point) -> Option<Segment> {
    let up = (c7 + clavicle) - (t10 + sternum);
    let forward = (clavicle + sternum) - (c7 + t10);
    Segment::upright(up, forward.cross(&up))
}

const fn outward_sign(side: Side) -> f64 {
    match side {
        Side::Left => -1.0,
        Side::Right => 1.0,
    }
}

/// What of `v` is at a right angle to the unit vector `axis`.
fn across(v: Point, axis: Point) -> Point {
    v - axis * v.dot(&axis)
}

fn unit(v: Point) -> Option<Point> {
    let length = v.norm();
    (length > SHORTEST_M).then(|| v / length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::quaternion::rotate;

    fn near(a: Point, b: [f64; 3]) {
        assert!((a - Point::from(b)).norm() < 1e-9, "{a:?} is not {b:?}");
    }

    /// Facing along x, spines 0.24 m apart.
    fn pelvis() -> Pelvis {
        Pelvis::new([Point::new(0.1, 0.12, 1.0), Point::new(0.1, -0.12, 1.0)], Point::new(-0.1, 0.0, 1.0)).expect("a pelvis")
    }

    #[test]
    fn a_pelvis_points_forward_up_and_right() {
        let q = pelvis().segment.rotation();
        for (axis, lab) in [([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]), ([0.0, 1.0, 0.0], [0.0, 0.0, 1.0]), ([0.0, 0.0, 1.0], [0.0, -1.0, 0.0])] {
            near(Point::from(rotate(q, axis)), lab);
        }
        let line = [0.0, 0.1, 0.2].map(|y| Point::new(0.0, y, 1.0));
        assert!(Pelvis::new([line[0], line[1]], line[2]).is_none());
    }

    #[test]
    fn hips_lie_where_the_regressions_put_them() {
        // Leg 0.9 m: reach 0.0882 m; behind 0.06736 + 0.007 m. By hand from Davis' formula, forward, left and up of the origin.
        let size = HipSize { leg_m: 0.9, mean_leg_m: 0.9, width_m: None, trochanter_m: None, marker_radius_m: 0.007 };
        let (forward, up, outward) = (
            0.0882 * 0.877_582_561_890 * 0.308_865_520_099 - 0.074_36 * 0.951_105_719_935,
            -0.0882 * 0.877_582_561_890 * 0.951_105_719_935 - 0.074_36 * 0.308_865_520_099,
            0.12 - 0.0882 * 0.479_425_538_604,
        );
        near(pelvis().hip_by_leg(Side::Left, &size), [0.1 + forward, outward, 1.0 + up]);
        near(pelvis().hip_by_leg(Side::Right, &size), [0.1 + forward, -outward, 1.0 + up]);
        // Harrington: depth 0.2 − 0.014 m, width 0.24 m.
        near(pelvis().hip_by_pelvis(Side::Right, 0.007), [0.1 - 0.24 * 0.186 - 0.0099 - 0.007, -(0.33 * 0.24 + 0.0073), 1.0 - 0.0829]);
    }

    #[test]
    fn a_joint_centre_lies_inward_of_its_marker_at_a_right_angle() {
        for (side, out) in [(Side::Left, 1.0), (Side::Right, -1.0)] {
            // The centre is the origin: the marker 0.05 m outward of it, the hip 0.4 m above it, the wand in their plane.
            let (hip, marker) = (Point::new(0.0, 0.0, 0.4), Point::new(0.0, 0.05 * out, 0.0));
            let centre = joint_centre(side, hip, marker, Point::new(0.0, 0.12 * out, 0.2), 0.05, 0.0).expect("a centre");
            near(centre, [0.0; 3]);
            // A wand that stands 30° in front of the plane gives the same when the offset says so.
            let up = (hip - marker).normalize();
            let outward = Point::new(0.0, out, 0.0);
            let outward = (outward - up * outward.dot(&up)).normalize();
            let wand = marker + up * 0.2 + (outward * 0.75f64.sqrt() + Point::new(0.5, 0.0, 0.0)) * 0.1;
            near(joint_centre(side, hip, marker, wand, 0.05, 30f64.to_radians()).expect("a centre"), [0.0; 3]);
            assert!(joint_centre(side, hip, marker, wand, 0.5, 0.0).is_none(), "no centre is further from the marker than the hip");
            let shank = limb(side, hip, centre, marker).expect("axes");
            near(shank.right(), [0.0, -1.0, 0.0]);
        }
    }

    #[test]
    fn offsets_raise_the_foot_and_turn_it_inward() {
        for (side, out) in [(Side::Left, 1.0), (Side::Right, -1.0)] {
            let shank = limb(side, Point::new(0.0, 0.0, 0.4), Point::zeros(), Point::new(0.0, 0.04 * out, 0.0)).expect("axes");
            let forward = |foot: Segment| Point::from(rotate(foot.rotation(), [1.0, 0.0, 0.0]));
            let toe = Point::new(0.2, 0.0, -0.2);
            near(forward(foot_by_offsets(side, &shank, Point::zeros(), toe, 45f64.to_radians(), 0.0).expect("a foot")), [1.0, 0.0, 0.0]);
            let turned = forward(foot_by_offsets(side, &shank, Point::zeros(), toe, 45f64.to_radians(), 0.1).expect("a foot"));
            near(turned, [libm::cos(0.1), -out * libm::sin(0.1), 0.0]);
            near(forward(foot(&shank, Point::new(-0.1, 0.0, -0.2), toe).expect("a foot")), [1.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn a_thorax_that_leans_forward_has_its_up_axis_forward() {
        let lean = |x: f64, z: f64| Point::new(x * libm::cos(0.2) + z * libm::sin(0.2), 0.0, z * libm::cos(0.2) - x * libm::sin(0.2));
        let found = thorax(lean(-0.1, 0.4), lean(-0.1, 0.2), lean(0.1, 0.4), lean(0.1, 0.2)).expect("a thorax");
        near(Point::from(rotate(found.rotation(), [0.0, 1.0, 0.0])), [libm::sin(0.2), 0.0, libm::cos(0.2)]);
        near(found.right(), [0.0, -1.0, 0.0]);
    }
}
