//! Body segments, the joints between them, and what their angles are called and which way they count.

use super::angles::Angles;
use super::quaternion::{Quaternion, multiply};

/// A segment as columns name it, and whether there is one on each side.
pub const SEGMENTS: [(&str, bool); 5] = [("pelvis", false), ("thorax", false), ("thigh", true), ("shank", true), ("foot", true)];

/// An ISB axis that an angle turns about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Forward.
    X,
    /// Up.
    Y,
    /// To the right.
    Z,
}

/// One angle of a joint.
#[derive(Clone, Copy, Debug)]
pub struct JointAngle {
    /// Middle of the column's name, such as `flexion`.
    pub name: &'static str,
    /// What it turns about.
    pub axis: Axis,
    /// −1 where the movement is positive against the right-hand rule.
    pub sign: f64,
    /// Whether the left side counts the other way, being the mirror image.
    pub mirrored: bool,
}

/// A segment relative to another, or to the lab.
#[derive(Clone, Copy, Debug)]
pub struct Joint {
    /// Start of the columns' names, such as `hip`.
    pub name: &'static str,
    /// The segment it is seen from; none for the lab.
    pub proximal: Option<&'static str>,
    /// The segment that moves.
    pub distal: &'static str,
    /// In the order of the columns.
    pub angles: [JointAngle; 3],
}

const fn angle(name: &'static str, axis: Axis, sign: f64, mirrored: bool) -> JointAngle {
    JointAngle { name, axis, sign, mirrored }
}

/// Every joint, in the order of the columns.
pub const JOINTS: [Joint; 6] = [
    Joint {
        name: "pelvis",
        proximal: None,
        distal: "pelvis",
        angles: [angle("tilt", Axis::Z, -1.0, false), angle("obliquity", Axis::X, -1.0, false), angle("rotation", Axis::Y, 1.0, false)],
    },
    Joint {
        name: "thorax",
        proximal: None,
        distal: "thorax",
        angles: [angle("tilt", Axis::Z, -1.0, false), angle("lean", Axis::X, 1.0, false), angle("rotation", Axis::Y, 1.0, false)],
    },
    Joint {
        name: "lumbar",
        proximal: Some("pelvis"),
        distal: "thorax",
        angles: [
            angle("flexion", Axis::Z, -1.0, false),
            angle("lateral_bend", Axis::X, 1.0, false),
            angle("rotation", Axis::Y, 1.0, false),
        ],
    },
    Joint {
        name: "hip",
        proximal: Some("pelvis"),
        distal: "thigh",
        angles: [angle("flexion", Axis::Z, 1.0, false), angle("adduction", Axis::X, 1.0, true), angle("rotation", Axis::Y, 1.0, true)],
    },
    Joint {
        name: "knee",
        proximal: Some("thigh"),
        distal: "shank",
        angles: [angle("flexion", Axis::Z, -1.0, false), angle("adduction", Axis::X, 1.0, true), angle("rotation", Axis::Y, 1.0, true)],
    },
    Joint {
        name: "ankle",
        proximal: Some("shank"),
        distal: "foot",
        angles: [angle("dorsiflexion", Axis::Z, 1.0, false), angle("inversion", Axis::X, 1.0, true), angle("rotation", Axis::Y, 1.0, true)],
    },
];

/// +1 where flexion turns the segment by the right-hand rule about its Z axis, to the right; −1 where against it.
pub fn flexion_sign(segment: &str) -> f64 {
    JOINTS.iter().find(|joint| joint.distal == segment).map_or(1.0, |joint| joint.angles[0].sign)
}

impl JointAngle {
    /// The factor from the right-hand rule to this angle, for a side.
    pub fn factor(&self, side: Option<&str>) -> f64 {
        if self.mirrored && side == Some("left") { -self.sign } else { self.sign }
    }
}

impl Angles {
    /// The angle about one axis, in degrees.
    pub fn about(&self, axis: Axis) -> f64 {
        match axis {
            Axis::X => self.x_deg,
            Axis::Y => self.y_deg,
            Axis::Z => self.z_deg,
        }
    }
}

/// The orientation, in a frame with Z up, of an upright body whose forward direction is turned by this much from that frame's X,
/// counter-clockwise seen from above.
pub fn earth_from_upright(azimuth_rad: f64) -> Quaternion {
    let half = azimuth_rad / 2.0;
    let lying = std::f64::consts::FRAC_1_SQRT_2;
    multiply([libm::cos(half), 0.0, 0.0, libm::sin(half)], [lying, lying, 0.0, 0.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::quaternion::rotate;

    #[test]
    fn upright_and_facing_north_means_right_is_east() {
        let q = earth_from_upright(std::f64::consts::FRAC_PI_2);
        for (segment, earth) in [([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]), ([0.0, 1.0, 0.0], [0.0, 0.0, 1.0]), ([0.0, 0.0, 1.0], [1.0, 0.0, 0.0])]
        {
            let error: f64 = rotate(q, segment).iter().zip(earth).map(|(a, b)| (a - b).abs()).sum();
            assert!(error < 1e-15, "{segment:?}");
        }
    }
}
