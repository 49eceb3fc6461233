//! Rotations as unit quaternions `[w, x, y, z]` (Hamilton), with the same bits on every machine.

/// A rotation, `[w, x, y, z]`. Named `earth_from_sensor`, it takes sensor coordinates to earth coordinates.
pub type Quaternion = [f64; 4];

/// No rotation.
pub const IDENTITY: Quaternion = [1.0, 0.0, 0.0, 0.0];

/// Above this cosine of half the angle, about 3.6°, the chord and the arc differ by less than 1e-4 of the angle and the arc's
/// sine is too small to divide by.
const NEARLY_EQUAL: f64 = 0.9995;

/// `a ∘ b`: first `b`, then `a`.
pub fn multiply(a: Quaternion, b: Quaternion) -> Quaternion {
    [
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    ]
}

/// The opposite rotation of a unit quaternion.
pub fn conjugate(q: Quaternion) -> Quaternion {
    [q[0], -q[1], -q[2], -q[3]]
}

/// Cosine of half the angle between two rotations, with the sign that their signs give it.
pub fn dot(a: Quaternion, b: Quaternion) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
}

/// The unit quaternion of this direction; NaN when it has no length or isn't finite.
pub fn normalized(q: Quaternion) -> Quaternion {
    let norm = dot(q, q).sqrt();
    if norm > 0.0 && norm.is_finite() { q.map(|part| part / norm) } else { [f64::NAN; 4] }
}

/// The vector `v` rotated by `q`.
pub fn rotate(q: Quaternion, v: [f64; 3]) -> [f64; 3] {
    let [_, x, y, z] = multiply(multiply(q, [0.0, v[0], v[1], v[2]]), conjugate(q));
    [x, y, z]
}

/// The rotation that takes x, y and z to these orthonormal, right-handed axes (Shepperd 1978).
pub fn from_axes(x: [f64; 3], y: [f64; 3], z: [f64; 3]) -> Quaternion {
    let squares = [1.0 + x[0] + y[1] + z[2], 1.0 + x[0] - y[1] - z[2], 1.0 - x[0] + y[1] - z[2], 1.0 - x[0] - y[1] + z[2]];
    let (wx, wy, wz) = (y[2] - z[1], z[0] - x[2], x[1] - y[0]);
    let (xy, xz, yz) = (x[1] + y[0], x[2] + z[0], y[2] + z[1]);
    let largest = (0..4).fold(0, |best, i| if squares[i] > squares[best] { i } else { best });
    normalized(match largest {
        0 => [squares[0], wx, wy, wz],
        1 => [wx, squares[1], xy, xz],
        2 => [wy, xy, squares[2], yz],
        _ => [wz, xz, yz, squares[3]],
    })
}

/// Spherical interpolation along the shorter arc, from `a` (`weight` 0) to `b` (`weight` 1); NaN when either is.
pub fn slerp(a: Quaternion, b: Quaternion, weight: f64) -> Quaternion {
    let cosine = dot(a, b);
    let (b, cosine) = if cosine < 0.0 { (b.map(|part| -part), -cosine) } else { (b, cosine) };
    let (from, to) = if cosine > NEARLY_EQUAL {
        (1.0 - weight, weight)
    } else {
        let angle = libm::acos(cosine);
        let sine = libm::sin(angle);
        (libm::sin((1.0 - weight) * angle) / sine, libm::sin(weight * angle) / sine)
    };
    normalized(std::array::from_fn(|i| from * a[i] + to * b[i]))
}

/// Adds `q` to a sum of rotations, with the sign that points its way; a NaN is left out. Normalise the sum to get the mean.
pub fn accumulate(sum: &mut Quaternion, q: Quaternion) {
    let cosine = dot(*sum, q);
    if cosine.is_finite() {
        let sign = if cosine < 0.0 { -1.0 } else { 1.0 };
        *sum = std::array::from_fn(|i| sum[i] + sign * q[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about_z(degrees: f64) -> Quaternion {
        let half = degrees.to_radians() / 2.0;
        [libm::cos(half), 0.0, 0.0, libm::sin(half)]
    }

    #[test]
    fn slerp_turns_at_a_constant_rate_the_short_way() {
        for (angle, weight) in [(2.0, 0.3), (90.0, 0.25), (170.0, 0.5)] {
            let middle = slerp(about_z(10.0), about_z(10.0 + angle).map(|part| -part), weight);
            let error = 1.0 - dot(middle, about_z(10.0 + angle * weight)).abs();
            assert!(error < 1e-12, "{angle}° at {weight}: {error}");
        }
        assert!(slerp(IDENTITY, [f64::NAN; 4], 0.5)[0].is_nan());
    }

    #[test]
    fn a_rotation_about_z_takes_x_to_y() {
        let [x, y, z] = rotate(about_z(90.0), [1.0, 0.0, 0.0]);
        assert!(x.abs() < 1e-15 && (y - 1.0).abs() < 1e-15 && z == 0.0);
    }

    #[test]
    fn axes_give_the_rotation_that_leads_to_them() {
        for q in [[0.5, 0.5, 0.5, 0.5], [0.1, 0.9, -0.2, 0.3], [0.0, 0.0, 1.0, 0.0], [0.05, 0.1, 0.2, -0.9], IDENTITY].map(normalized) {
            let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| rotate(q, axis));
            assert!(1.0 - dot(from_axes(axes[0], axes[1], axes[2]), q).abs() < 1e-14, "{q:?}");
        }
    }

    #[test]
    fn the_mean_does_not_depend_on_signs() {
        let mut sum = [0.0; 4];
        for q in [about_z(10.0), about_z(20.0).map(|part| -part), [f64::NAN; 4], about_z(30.0)] {
            accumulate(&mut sum, q);
        }
        assert!(1.0 - dot(normalized(sum), about_z(20.0)).abs() < 1e-12);
    }
}
