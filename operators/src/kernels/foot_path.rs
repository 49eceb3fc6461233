//! Which way did a sensor on the foot take from one rest to the next? Strapdown integration with zero velocity at both ends.
//!
//! The angular rate is integrated from the tilt that gravity gives at the first rest, and the tilt that is left over at the
//! second one is taken back evenly. Velocity errors do not grow evenly: they come where the acceleration changes faster than the
//! samples follow, at the heel's impact above all. So the velocity that is left over at the end is taken back in proportion to
//! the summed squares of the acceleration's steps, which is what a smoother of a random walk with that much noise in each step
//! gives (Rauch, Tung and Striebel 1965).

use super::foot_motion::{Motion, Vector, cross, norm, unit};
use super::quaternion::{Quaternion, conjugate, from_axes, multiply, normalized, rotate};

/// Noise of every step of the acceleration beside its own size, in m/s².
const STEP_NOISE_M_PER_S2: f64 = 1.0;

/// The way of a foot from rest to rest, in the earth frame that the foot's first rest gives: x ahead, y left, z up.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Index in the motion's samples of the first position.
    pub from: usize,
    /// Positions of the sensor, the first of them zero.
    pub position_m: Vec<Vector>,
    /// Orientations, `earth_from_sensor`.
    pub orientation: Vec<Quaternion>,
    /// How fast the sensor still seemed to be at the end, before that was taken back.
    pub residual_m_per_s: f64,
    /// By how much the heading changed, to the left.
    pub turned_rad: f64,
}

impl Path {
    /// Integrates a whole motion; `left` is the axis to the subject's left at the first rest, in the sensor's frame.
    pub fn integrate(motion: &Motion, left: Vector) -> Option<Self> {
        if !motion.is_complete() || motion.first == 0 {
            return None;
        }
        let (before, after) = (motion.accel_before(), motion.accel_after());
        let up = unit(before)?;
        let forward = unit(cross(left, up))?;
        // In the middle of what is known of each rest the sensor surely stands still.
        let (from, to) = (motion.first / 2, motion.end + (motion.samples.len() - motion.end) / 2);
        let start = conjugate(from_axes(forward, cross(up, forward), up));
        let orientation = levelled(integrate_rate(motion, from, to, start), unit(after)?);
        let gravity_m_per_s2 = 0.5 * (norm(before) + norm(after));
        let (position_m, residual_m_per_s) = integrate_force(motion, from, &orientation, gravity_m_per_s2);
        let [ahead, aside, _] = rotate(orientation[orientation.len() - 1], forward);
        Some(Self { from, position_m, orientation, residual_m_per_s, turned_rad: libm::atan2(aside, ahead) })
    }

    /// Where it ends.
    pub fn displacement_m(&self) -> Vector {
        self.position_m[self.position_m.len() - 1]
    }

    /// Heights over the floor of a point that lies `offset_m` from the sensor in the sensor's frame, less its height at the first
    /// rest; with `level` the floor is as high at both rests.
    pub fn heights_m(&self, offset_m: Vector, level: bool) -> Vec<f64> {
        let height = |row: usize| self.position_m[row][2] + rotate(self.orientation[row], offset_m)[2];
        let last = self.position_m.len() - 1;
        let (start, rise) = (height(0), if level { height(last) - height(0) } else { 0.0 });
        (0..=last).map(|row| height(row) - start - rise * row as f64 / last as f64).collect()
    }
}

/// Orientations from sample `from` to `to`.
fn integrate_rate(motion: &Motion, from: usize, to: usize, start: Quaternion) -> Vec<Quaternion> {
    let mut orientation = Vec::with_capacity(to - from + 1);
    let mut now = start;
    orientation.push(now);
    for pair in motion.samples[from..=to].windows(2) {
        let half_s = 0.25 * (pair[1].time_ns - pair[0].time_ns) as f64 * 1e-9;
        let half: Vector = std::array::from_fn(|axis| half_s * (pair[0].gyro_rad_per_s[axis] + pair[1].gyro_rad_per_s[axis]));
        now = normalized(multiply(now, turned_by_half(half)));
        orientation.push(now);
    }
    orientation
}

/// Takes back evenly what the last orientation says of gravity beside the truth, `up` in the sensor's frame.
fn levelled(mut orientation: Vec<Quaternion>, up: Vector) -> Vec<Quaternion> {
    let last = orientation.len() - 1;
    let seen = rotate(orientation[last], up);
    let axis = cross(seen, [0.0, 0.0, 1.0]);
    let Some(direction) = unit(axis) else { return orientation };
    let angle = libm::atan2(norm(axis), seen[2]);
    for (row, one) in orientation.iter_mut().enumerate() {
        let half = 0.5 * angle * row as f64 / last as f64;
        *one = normalized(multiply(turned_by_half(direction.map(|part| half * part)), *one));
    }
    orientation
}

/// Positions, and the speed that was left over.
fn integrate_force(motion: &Motion, from: usize, orientation: &[Quaternion], gravity_m_per_s2: f64) -> (Vec<Vector>, f64) {
    let accel = |row: usize| {
        let [x, y, z] = rotate(orientation[row], motion.samples[from + row].accel_m_per_s2);
        [x, y, z - gravity_m_per_s2]
    };
    let count = orientation.len();
    let step_s = |row: usize| (motion.samples[from + row].time_ns - motion.samples[from + row - 1].time_ns) as f64 * 1e-9;
    let mut velocity = vec![[0.0; 3]; count];
    // What has come together so far of the noise that the velocity's error is made of.
    let mut noise = vec![0.0; count];
    let mut last = accel(0);
    for row in 1..count {
        let now = accel(row);
        velocity[row] = std::array::from_fn(|axis| velocity[row - 1][axis] + 0.5 * step_s(row) * (last[axis] + now[axis]));
        let [a, b] = [row - 1, row].map(|row| motion.samples[from + row].accel_m_per_s2);
        let step = norm(std::array::from_fn(|axis| b[axis] - a[axis]));
        noise[row] = noise[row - 1] + STEP_NOISE_M_PER_S2 * STEP_NOISE_M_PER_S2 + step * step;
        last = now;
    }
    let (left_over, total) = (velocity[count - 1], noise[count - 1]);
    let mut position = vec![[0.0; 3]; count];
    let corrected = |row: usize| -> Vector { std::array::from_fn(|axis| velocity[row][axis] - noise[row] / total * left_over[axis]) };
    for row in 1..count {
        let (a, b) = (corrected(row - 1), corrected(row));
        position[row] = std::array::from_fn(|axis| position[row - 1][axis] + 0.5 * step_s(row) * (a[axis] + b[axis]));
    }
    (position, norm(left_over))
}

/// The rotation by twice this vector.
fn turned_by_half(half: Vector) -> Quaternion {
    let angle = norm(half);
    if angle < 1e-12 {
        return [1.0, half[0], half[1], half[2]];
    }
    let share = libm::sin(angle) / angle;
    [libm::cos(angle), share * half[0], share * half[1], share * half[2]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::foot_motion::{GRAVITY_M_PER_S2, Sample};

    /// A sensor that is carried 1.2 m ahead and up and down by 0.1 m within 0.6 s, while it turns to the left by 30° and its
    /// acceleration is measured `bias` too high in x; rests of 0.1 s before and after, at 200 Hz, in a mounting.
    fn motion(mounting: Quaternion, bias: f64) -> Motion {
        let turn = 2.0 * std::f64::consts::PI;
        let sample = |k: i64| {
            let u = ((k as f64 * 0.005 - 0.1) / 0.6).clamp(0.0, 1.0);
            let moves = u > 0.0 && u < 1.0;
            let ahead = 1.2 * turn / 0.36 * libm::sin(turn * u);
            let upward = 0.05 * turn * turn / 0.36 * libm::cos(turn * u);
            // Turning at a rate that begins and ends at zero.
            let rate = if moves { 30_f64.to_radians() / 0.6 * (1.0 - libm::cos(turn * u)) } else { 0.0 };
            let heading = 30_f64.to_radians() * (u - libm::sin(turn * u) / turn);
            let earth = if moves { [ahead, 0.0, GRAVITY_M_PER_S2 + upward] } else { [0.0, 0.0, GRAVITY_M_PER_S2] };
            let from_earth = conjugate([libm::cos(heading / 2.0), 0.0, 0.0, libm::sin(heading / 2.0)]);
            let [x, y, z] = rotate(from_earth, earth);
            Sample {
                time_ns: k * 5_000_000,
                accel_m_per_s2: rotate(mounting, [x + if moves { bias } else { 0.0 }, y, z]),
                gyro_rad_per_s: rotate(mounting, [0.0, 0.0, rate]),
            }
        };
        Motion { samples: (0..160).map(sample).collect(), first: 20, end: 140, rested_since_ns: 0 }
    }

    #[test]
    fn the_way_is_found_in_any_mounting() {
        for mounting in [[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, -0.5, 0.5], [0.1, 0.9, -0.2, 0.3]].map(normalized) {
            let path = Path::integrate(&motion(mounting, 0.0), rotate(mounting, [0.0, 1.0, 0.0])).expect("a way");
            let [ahead, aside, up] = path.displacement_m();
            assert!((ahead - 1.2).abs() < 0.01 && aside.abs() < 0.01 && up.abs() < 0.02, "{:?}", path.displacement_m());
            assert!((path.turned_rad.to_degrees() - 30.0).abs() < 0.5, "{}", path.turned_rad.to_degrees());
            let highest = path.heights_m([0.0; 3], true).into_iter().fold(0.0, f64::max);
            assert!((highest - 0.1).abs() < 0.01, "{highest}");
        }
    }

    #[test]
    fn a_bias_is_taken_back() {
        let path = Path::integrate(&motion([1.0, 0.0, 0.0, 0.0], 1.0), [0.0, 1.0, 0.0]).expect("a way");
        assert!((path.residual_m_per_s - 0.58).abs() < 0.05, "{}", path.residual_m_per_s);
        assert!((path.displacement_m()[0] - 1.2).abs() < 0.03, "{:?}", path.displacement_m());
    }

    #[test]
    fn a_motion_without_a_second_rest_has_no_way() {
        let mut cut = motion([1.0, 0.0, 0.0, 0.0], 0.0);
        cut.samples.truncate(140);
        assert_eq!(Path::integrate(&cut, [0.0, 1.0, 0.0]), None);
    }
}
