//! How are two segments turned to each other across a joint? A Kalman filter on the constraint that the acceleration of the joint's
//! centre, worked out from either segment's sensor, is one and the same (after Weygers and Kok 2020, IEEE Sensors Journal 20).
//!
//! States: the error of the rotation and the two vectors from a sensor to the joint's centre. Gravity, which is part of what
//! accelerometers measure, holds the inclination; the joint's horizontal acceleration the heading.

use serde::{Deserialize, Serialize};

use super::field_filter::inverse;
use super::quaternion::{Quaternion, conjugate, multiply, normalized, rotate};

/// Rotation (3), proximal vector (3), distal vector (3).
const STATES: usize = 9;
/// Where the vectors begin.
const LEVERS: usize = 3;
/// Chi-squared of three degrees of freedom above which a measurement is trusted less, as for an impact.
const OUTLIER: f64 = 9.0;
/// The period over which [`Noise::joint_m_per_s2`] is stated.
const NOISE_PERIOD_S: f64 = 0.02;
/// Standard deviations at the start, of inclination and, within one of the headings tried, of heading.
const FIRST_TILT_RAD: f64 = 0.3;
const FIRST_HEADING_RAD: f64 = 0.5;

/// What the filter assumes about errors.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// Of the difference of the two accelerations, over 20 ms, in m/s².
    pub joint_m_per_s2: f64,
    /// Of the rotation after a second of turning at 1 rad/s, in radians.
    pub walk_rad: f64,
}

/// What is known of the vectors from sensor to joint, in each sensor's coordinates.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Levers {
    /// Proximal, then distal, in m.
    pub to_joint_m: [[f64; 3]; 2],
    /// Their covariance.
    pub covariance: [[f64; 6]; 6],
}

impl Levers {
    /// Known to a standard deviation, each.
    pub fn known(to_joint_m: [[f64; 3]; 2], sd_m: [f64; 2]) -> Self {
        let covariance = std::array::from_fn(|row| std::array::from_fn(|column| if row == column { sd_m[row / 3].powi(2) } else { 0.0 }));
        Self { to_joint_m, covariance }
    }
}

/// One sensor's motion at an instant.
#[derive(Clone, Copy, Debug)]
pub struct Motion {
    /// Angular rate in rad/s.
    pub rate: [f64; 3],
    /// Angular acceleration in rad/s².
    pub rate_change: [f64; 3],
    /// Specific force in m/s².
    pub force: [f64; 3],
}

impl Motion {
    /// Takes a vector from the sensor to what its end feels more than the sensor: `ω̇ × r + ω × (ω × r)`.
    fn lever_matrix(&self) -> [[f64; 3]; 3] {
        let ([x, y, z], [a, b, c]) = (self.rate, self.rate_change);
        [[-y * y - z * z, x * y - c, x * z + b], [x * y + c, -x * x - z * z, y * z - a], [x * z - b, y * z + a, -x * x - y * y]]
    }
}

/// The filter's memory: one heading that was tried.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JointFilter {
    /// `proximal_from_distal`.
    pub rotation: Quaternion,
    to_joint_m: [[f64; 3]; 2],
    covariance: [[f64; STATES]; STATES],
    /// Of all measurements, but for a constant.
    pub log_likelihood: f64,
}

/// What a measurement said.
#[derive(Clone, Copy, Debug)]
pub struct Residual {
    /// The joint's acceleration with gravity, in the proximal sensor's coordinates.
    pub force: [f64; 3],
    /// How far the distal sensor's lay from it, in m/s².
    pub apart: f64,
}

impl JointFilter {
    /// Both sensors feel the same force; about it, the distal one is turned by a heading.
    pub fn new(proximal_force: [f64; 3], distal_force: [f64; 3], heading_rad: f64, levers: &Levers) -> Self {
        let (up, distal_up) = (unit(proximal_force), unit(distal_force));
        let level = normalized(from_to(distal_up, up));
        let turn = exponential(up.map(|part| part * heading_rad));
        let mut covariance = [[0.0; STATES]; STATES];
        for row in 0..3 {
            for column in 0..3 {
                let about = up[row] * up[column];
                let tilt = if row == column { 1.0 - about } else { -about };
                covariance[row][column] = tilt * FIRST_TILT_RAD.powi(2) + about * FIRST_HEADING_RAD.powi(2);
            }
        }
        for (row, values) in levers.covariance.iter().enumerate() {
            covariance[LEVERS + row][LEVERS..].copy_from_slice(values);
        }
        Self { rotation: multiply(turn, level), to_joint_m: levers.to_joint_m, covariance, log_likelihood: 0.0 }
    }

    /// Standard deviation of the rotation, about all axes together.
    pub fn sd_rad(&self) -> f64 {
        (0..3).map(|axis| self.covariance[axis][axis]).sum::<f64>().max(0.0).sqrt()
    }

    /// What is known of the vectors.
    pub fn levers(&self) -> Levers {
        let covariance = std::array::from_fn(|row| std::array::from_fn(|column| self.covariance[LEVERS + row][LEVERS + column]));
        Levers { to_joint_m: self.to_joint_m, covariance }
    }

    /// Both sensors turn for a while at a rate.
    pub fn turn(&mut self, rates: [[f64; 3]; 2], period_s: f64, noise: &Noise) {
        let back = exponential(rates[0].map(|rate| -rate * period_s));
        let on = exponential(rates[1].map(|rate| rate * period_s));
        self.rotation = normalized(multiply(multiply(back, self.rotation), on));
        // The error stands in the proximal sensor's coordinates, which turn with it.
        let p = &mut self.covariance;
        (0..STATES).for_each(|column| {
            let turned = rotate(back, [p[0][column], p[1][column], p[2][column]]);
            (0..3).for_each(|axis| p[axis][column] = turned[axis]);
        });
        for row in p.iter_mut() {
            let turned = rotate(back, [row[0], row[1], row[2]]);
            row[..3].copy_from_slice(&turned);
        }
        let squared: f64 = rates.iter().map(|rate| dot(*rate, *rate)).sum();
        let walked = (noise.walk_rad.powi(2) * squared + 1e-6) * period_s;
        (0..3).for_each(|axis| p[axis][axis] += walked);
    }

    /// Compares the joint's acceleration as the two sensors tell it.
    pub fn measure(&mut self, motions: [&Motion; 2], period_s: f64, noise: &Noise) -> Residual {
        let matrices = motions.map(Motion::lever_matrix);
        let forces: [[f64; 3]; 2] = std::array::from_fn(|k| add(motions[k].force, times(&matrices[k], self.to_joint_m[k])));
        let distal = rotate(self.rotation, forces[1]);
        let residual: [f64; 3] = std::array::from_fn(|axis| forces[0][axis] - distal[axis]);
        let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| rotate(self.rotation, times(&matrices[1], axis)));
        let [x, y, z] = distal;
        let skew = [[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]];
        let observed: [[f64; STATES]; 3] = std::array::from_fn(|row| {
            std::array::from_fn(|column| match column / 3 {
                0 => skew[row][column],
                1 => matrices[0][row][column - 3],
                _ => -columns[column - 6][row],
            })
        });
        let variance = noise.joint_m_per_s2.powi(2) * NOISE_PERIOD_S / period_s;
        self.correct(&observed, residual, variance);
        Residual { force: forces[0], apart: dot(residual, residual).sqrt() }
    }

    fn correct(&mut self, observed: &[[f64; STATES]; 3], residual: [f64; 3], variance: f64) {
        let projected: [[f64; STATES]; 3] = observed
            .map(|row| std::array::from_fn(|column| row.iter().zip(&self.covariance).map(|(part, values)| part * values[column]).sum()));
        let mut spread: [[f64; 3]; 3] =
            std::array::from_fn(|row| std::array::from_fn(|column| (0..STATES).map(|k| projected[row][k] * observed[column][k]).sum()));
        (0..3).for_each(|axis| spread[axis][axis] += variance);
        let (mut weight, mut determinant) = inverse(&spread);
        let chi_squared = dot(residual, times(&weight, residual));
        if chi_squared > OUTLIER {
            (0..3).for_each(|axis| spread[axis][axis] += variance * (chi_squared / OUTLIER - 1.0));
            (weight, determinant) = inverse(&spread);
        }
        self.log_likelihood -= 0.5 * (dot(residual, times(&weight, residual)) + libm::log(determinant));
        let columns: [[f64; 3]; STATES] = std::array::from_fn(|column| projected.map(|row| row[column]));
        let gains = columns.map(|column| times(&weight, column));
        let change = gains.map(|gain| -dot(gain, residual));
        self.rotation = normalized(multiply(exponential([change[0], change[1], change[2]]), self.rotation));
        (0..6).for_each(|k| self.to_joint_m[k / 3][k % 3] += change[LEVERS + k]);
        for (row, gain) in gains.iter().enumerate() {
            for (column, part) in columns.iter().enumerate().skip(row) {
                self.covariance[row][column] -= dot(*gain, *part);
                self.covariance[column][row] = self.covariance[row][column];
            }
            self.covariance[row][row] = self.covariance[row][row].max(0.0);
        }
    }
}

/// The angle between two rotations.
pub fn angle_between_rad(a: Quaternion, b: Quaternion) -> f64 {
    let [w, x, y, z] = multiply(a, conjugate(b));
    2.0 * libm::atan2((x * x + y * y + z * z).sqrt(), w.abs())
}

/// The rotation by a vector's length about it.
pub fn exponential(vector: [f64; 3]) -> Quaternion {
    let angle = dot(vector, vector).sqrt();
    let share = if angle < 1e-9 { 0.5 } else { libm::sin(0.5 * angle) / angle };
    [libm::cos(0.5 * angle), share * vector[0], share * vector[1], share * vector[2]]
}

/// The shortest rotation from one unit vector to another.
fn from_to(from: [f64; 3], to: [f64; 3]) -> Quaternion {
    let cosine = dot(from, to);
    if cosine < -0.999_999 {
        // Half a turn about any axis across it.
        let across = if from[0].abs() < 0.7 { [0.0, from[2], -from[1]] } else { [from[1], -from[0], 0.0] };
        return [0.0, across[0], across[1], across[2]];
    }
    let [x, y, z] = [from[1] * to[2] - from[2] * to[1], from[2] * to[0] - from[0] * to[2], from[0] * to[1] - from[1] * to[0]];
    [1.0 + cosine, x, y, z]
}

fn unit(vector: [f64; 3]) -> [f64; 3] {
    let length = dot(vector, vector).sqrt();
    if length > 1e-9 { vector.map(|part| part / length) } else { [0.0, 0.0, 1.0] }
}

fn add(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn times(matrix: &[[f64; 3]; 3], vector: [f64; 3]) -> [f64; 3] {
    [dot(matrix[0], vector), dot(matrix[1], vector), dot(matrix[2], vector)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: Noise = Noise { joint_m_per_s2: 0.5, walk_rad: 0.01 };
    const TO_JOINT_M: [[f64; 3]; 2] = [[0.12, 0.01, -0.02], [-0.15, 0.0, 0.03]];

    /// Two sensors on a joint that is shaken, over 20 s at 100 Hz; what the filter tells at the end of a first heading error.
    fn shaken(heading_error_rad: f64) -> (JointFilter, Quaternion) {
        let levers = Levers::known([[0.0; 3]; 2], [0.2; 2]);
        let (mut earth_from_proximal, mut earth_from_distal) = (exponential([0.3, 0.1, 0.0]), exponential([0.0, 0.4, 1.0]));
        let mut filter: Option<JointFilter> = None;
        for k in 0..2000 {
            let t = f64::from(k) * 0.01;
            let proximal =
                ([2.0 * libm::sin(3.0 * t), libm::cos(2.0 * t), 0.5], [6.0 * libm::cos(3.0 * t), -2.0 * libm::sin(2.0 * t), 0.0]);
            let distal = ([libm::cos(4.0 * t), 0.3, 1.5 * libm::sin(2.5 * t)], [-4.0 * libm::sin(4.0 * t), 0.0, 3.75 * libm::cos(2.5 * t)]);
            let joint = [2.0 * libm::sin(5.0 * t), libm::cos(3.3 * t), 9.81 + libm::sin(4.1 * t)];
            let turns = [(earth_from_proximal, proximal), (earth_from_distal, distal)];
            let motions: [Motion; 2] = std::array::from_fn(|k| {
                let (q, (rate, rate_change)) = turns[k];
                let still = Motion { rate, rate_change, force: [0.0; 3] };
                let more = times(&still.lever_matrix(), TO_JOINT_M[k]);
                let force = rotate(conjugate(q), joint);
                Motion { force: std::array::from_fn(|axis| force[axis] - more[axis]), ..still }
            });
            let truth = multiply(conjugate(earth_from_proximal), earth_from_distal);
            let filter = filter.get_or_insert_with(|| {
                let turn = exponential(unit(motions[0].force).map(|part| part * heading_error_rad));
                JointFilter { rotation: multiply(turn, truth), ..JointFilter::new(motions[0].force, motions[1].force, 0.0, &levers) }
            });
            filter.measure([&motions[0], &motions[1]], 0.01, &NOISE);
            if k == 1999 {
                return (filter.clone(), truth);
            }
            filter.turn([proximal.0, distal.0], 0.01, &NOISE);
            earth_from_proximal = multiply(earth_from_proximal, exponential(proximal.0.map(|rate| rate * 0.01)));
            earth_from_distal = multiply(earth_from_distal, exponential(distal.0.map(|rate| rate * 0.01)));
        }
        unreachable!("the last sample returns")
    }

    #[test]
    fn motion_finds_rotation_and_vectors() {
        for heading_error_rad in [-0.5, 0.0, 0.5] {
            let (filter, truth) = shaken(heading_error_rad);
            let error_deg = angle_between_rad(filter.rotation, truth).to_degrees();
            assert!(error_deg < 1.0, "{error_deg}° from {heading_error_rad} rad");
            let apart = filter.to_joint_m.iter().flatten().zip(TO_JOINT_M.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart < 0.01, "{:?} m", filter.to_joint_m);
        }
    }

    #[test]
    fn the_first_rotation_takes_force_to_force() {
        let levers = Levers::known([[0.0; 3]; 2], [0.2; 2]);
        for (proximal, distal) in
            [([0.0, 0.0, 9.8], [9.8, 0.0, 0.0]), ([0.0, 9.8, 0.0], [0.0, -9.8, 0.0]), ([9.8, 0.0, 0.0], [-9.8, 0.0, 0.0])]
        {
            let filter = JointFilter::new(proximal, distal, 2.0, &levers);
            let apart = rotate(filter.rotation, distal).iter().zip(proximal).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart < 1e-9, "{apart}");
        }
    }
}
