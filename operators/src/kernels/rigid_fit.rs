//! Which rotation and translation take a body's points to where they are seen?

use nalgebra::{Matrix3, Matrix4};

use super::quaternion::{Quaternion, conjugate, rotate};

/// A point in metres.
pub type Point = [f64; 3];

/// Points whose second axis is shorter, as a standard deviation in metres, lie on one line.
const COLLINEAR_M: f64 = 0.005;

/// A pose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pose {
    /// Takes directions in the body to the lab; its first part is not negative.
    pub lab_from_body: Quaternion,
    /// Where the body's origin is in the lab, in metres.
    pub origin_m: Point,
    /// Root mean square distance from where the points are to where the pose puts them, in metres.
    pub residual_m: f64,
}

/// Why there is no pose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Fewer than three points.
    TooFew,
    /// The points lie on one line.
    Collinear,
}

impl Pose {
    /// Where a point of the body is in the lab.
    pub fn to_lab(&self, point: Point) -> Point {
        add(rotate(self.lab_from_body, point), self.origin_m)
    }

    /// Which point of the body is there in the lab.
    pub fn to_body(&self, point: Point) -> Point {
        rotate(conjugate(self.lab_from_body), subtract(point, self.origin_m))
    }
}

/// The pose with the least squares of distances, in closed form: the largest eigenvector of a symmetric 4 × 4 matrix (Horn 1987).
///
/// # Errors
/// When the points don't tell one.
pub fn fit(body: &[Point], lab: &[Point]) -> Result<Pose, Unfit> {
    if body.len() < 3 {
        return Err(Unfit::TooFew);
    }
    let (body_middle, lab_middle) = (mean(body), mean(lab));
    let (mut scatter, mut products) = (Matrix3::<f64>::zeros(), [[0.0; 3]; 3]);
    for (from, to) in body.iter().zip(lab) {
        let (from, to) = (subtract(*from, body_middle), subtract(*to, lab_middle));
        for a in 0..3 {
            for b in 0..3 {
                scatter[(a, b)] += from[a] * from[b];
                products[a][b] += from[a] * to[b];
            }
        }
    }
    let mut axes: [f64; 3] = scatter.symmetric_eigenvalues().into();
    axes.sort_by(f64::total_cmp);
    if axes[1] < COLLINEAR_M * COLLINEAR_M * body.len() as f64 {
        return Err(Unfit::Collinear);
    }
    let lab_from_body = rotation(&products);
    let origin_m = subtract(lab_middle, rotate(lab_from_body, body_middle));
    let pose = Pose { lab_from_body, origin_m, residual_m: 0.0 };
    let squares = body.iter().zip(lab).map(|(from, to)| square(subtract(pose.to_lab(*from), *to)));
    Ok(Pose { residual_m: (squares.sum::<f64>() / body.len() as f64).sqrt(), ..pose })
}

/// The rotation from the sums of products of body and lab coordinates.
fn rotation(s: &[[f64; 3]; 3]) -> Quaternion {
    let [[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]] = *s;
    #[rustfmt::skip]
    let matrix = Matrix4::new(
        xx + yy + zz, yz - zy,      zx - xz,      xy - yx,
        yz - zy,      xx - yy - zz, xy + yx,      zx + xz,
        zx - xz,      xy + yx,      yy - xx - zz, yz + zy,
        xy - yx,      zx + xz,      yz + zy,      zz - xx - yy,
    );
    let eigen = matrix.symmetric_eigen();
    let largest = (1..4).fold(0, |best, n| if eigen.eigenvalues[n] > eigen.eigenvalues[best] { n } else { best });
    let column = eigen.eigenvectors.column(largest);
    let sign = if column[0] < 0.0 { -1.0 } else { 1.0 };
    [0, 1, 2, 3].map(|n| sign * column[n])
}

/// The mean of points; NaN of none.
pub fn mean(points: &[Point]) -> Point {
    [0, 1, 2].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64)
}

/// `a + b`.
pub fn add(a: Point, b: Point) -> Point {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// `a − b`.
pub fn subtract(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn square(a: Point) -> f64 {
    a[0] * a[0] + a[1] * a[1] + a[2] * a[2]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::quaternion::{dot, normalized};

    const BODY: [Point; 4] = [[0.1, 0.0, 0.02], [-0.1, 0.05, 0.0], [0.0, 0.12, 0.03], [0.02, -0.08, -0.09]];

    #[test]
    fn a_moved_body_is_found() {
        for turn in [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.3, -0.5, 0.7, 0.1], [0.001, 0.2, -0.9, 0.4]].map(normalized) {
            let moved = Pose { lab_from_body: turn, origin_m: [1.0, -2.0, 0.5], residual_m: 0.0 };
            for count in [3, 4] {
                let lab: Vec<Point> = BODY[..count].iter().map(|point| moved.to_lab(*point)).collect();
                let found = fit(&BODY[..count], &lab).expect("a pose");
                assert!(1.0 - dot(found.lab_from_body, turn).abs() < 1e-12, "{turn:?}: {found:?}");
                assert!(found.residual_m < 1e-12 && square(subtract(found.to_body(lab[2]), BODY[2])) < 1e-20);
            }
        }
    }

    #[test]
    fn a_marker_off_its_place_is_in_the_residual() {
        let mut lab = BODY;
        lab[3][0] += 0.01;
        let found = fit(&BODY, &lab).expect("a pose");
        // The fit takes part of a centimetre on one of four markers: less than 10/√4 mm are left.
        assert!((0.002..0.005).contains(&found.residual_m), "{found:?}");
    }

    #[test]
    fn too_few_points_and_a_line_give_no_pose() {
        assert_eq!(fit(&BODY[..2], &BODY[..2]), Err(Unfit::TooFew));
        let line = [[0.0, 0.0, 0.0], [0.1, 0.0, 0.001], [0.2, 0.001, 0.0]];
        assert_eq!(fit(&line, &line), Err(Unfit::Collinear));
    }
}
