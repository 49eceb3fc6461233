//! Three angles out of a rotation, in the sequences that movement science uses.

use super::quaternion::Quaternion;

/// Angles in degrees about the ISB axes, positive by the right-hand rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Angles {
    /// About X, forward.
    pub x_deg: f64,
    /// About Y, up.
    pub y_deg: f64,
    /// About Z, to the right.
    pub z_deg: f64,
}

/// Cardan Z–X′–Y″ of `proximal_from_distal`: flexion about Z, then adduction about X, then rotation about Y (Grood and Suntay
/// 1983; Wu and Cavanagh 1995). X lies within ±90°, where the other two become one.
pub fn cardan_zxy(proximal_from_distal: Quaternion) -> Angles {
    let r = matrix(proximal_from_distal);
    from_sines([r[2][1], -r[0][1], r[1][1], -r[2][0], r[2][2]])
}

/// Y–X′–Z″ of `lab_from_segment`: rotation about the vertical first, then obliquity, then tilt, so that neither of the
/// latter depends on where the subject faces (Baker 2001).
pub fn rotation_obliquity_tilt(lab_from_segment: Quaternion) -> Angles {
    let r = matrix(lab_from_segment);
    from_sines([-r[1][2], r[1][0], r[1][1], r[0][2], r[2][2]])
}

/// From the sine of X, sine and cosine of Z and of Y, the last four to a common factor.
fn from_sines([sin_x, sin_z, cos_z, sin_y, cos_y]: [f64; 5]) -> Angles {
    Angles {
        x_deg: libm::asin(sin_x.clamp(-1.0, 1.0)).to_degrees(),
        y_deg: libm::atan2(sin_y, cos_y).to_degrees(),
        z_deg: libm::atan2(sin_z, cos_z).to_degrees(),
    }
}

fn matrix([w, x, y, z]: Quaternion) -> [[f64; 3]; 3] {
    [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::quaternion::multiply;

    fn about(axis: usize, degrees: f64) -> Quaternion {
        let half = degrees.to_radians() / 2.0;
        let mut q = [libm::cos(half), 0.0, 0.0, 0.0];
        q[1 + axis] = libm::sin(half);
        q
    }

    #[test]
    fn each_sequence_gives_back_the_angles_it_was_made_of() {
        for (x, y, z) in [(0.0, 0.0, 0.0), (5.0, -12.0, 62.0), (-30.0, 170.0, -95.0), (80.0, -3.0, 179.0)] {
            let close = |angles: Angles| {
                let error = (angles.x_deg - x).abs() + (angles.y_deg - y).abs() + (angles.z_deg - z).abs();
                assert!(error < 1e-10, "{angles:?} is not {x}, {y}, {z}");
            };
            close(cardan_zxy(multiply(multiply(about(2, z), about(0, x)), about(1, y))));
            close(rotation_obliquity_tilt(multiply(multiply(about(1, y), about(0, x)), about(2, z))));
        }
    }

    #[test]
    fn beyond_rounding_the_sine_is_clamped() {
        assert!(cardan_zxy(about(0, 90.0).map(|part| part * (1.0 + 1e-15))).x_deg.is_finite());
    }
}
