//! Where does the earth's magnetic field point, and what does the sensor carry with it? A linear Kalman filter over blocks of
//! magnetometer samples, in a frame that stands upright and whose heading drifts slowly (that of gyroscope and accelerometer).
//!
//! A measurement is `R·m = f + d + R·b + τ·R(ω × m)`: the field f; a local deviation d, which fades as the sensor moves on; an
//! offset b that turns with the sensor, such as a magnet stuck to it; and the magnetometer's delay τ. All four are states: f and d
//! stand still in the frame, b in the sensor, and τ shows itself as an error along ω × m, so motion tells them apart.

use serde::{Deserialize, Serialize};

/// f (3), d (3), b (3), τ.
const STATES: usize = 10;
/// Where d begins.
const DEVIATION: usize = 3;
/// Where b begins.
const OFFSET: usize = 6;
/// Where τ stands.
const DELAY: usize = 9;
/// Standard deviation of a field about which a single sample is known, and of a sensor's offset about which nothing is, in µT.
const UNKNOWN_UT: f64 = 20.0;
/// Standard deviation of a magnetometer's delay behind the gyroscope, in seconds.
const DELAY_SD_S: f64 = 0.015;
/// How far the earth's field itself wanders, in µT a root second.
const FIELD_WALK_UT: f64 = 0.005;
/// The period over which [`Noise::mag_ut`] is stated.
const NOISE_PERIOD_S: f64 = 0.02;
/// Chi-squared of a measurement, of three degrees of freedom, above which the field has jumped (p = 1e-6).
const JUMP: f64 = 30.0;

/// What the filter assumes about errors.
#[derive(Clone, Copy, Debug)]
pub struct Noise {
    /// Of the magnetometer's mean over 20 ms, in µT.
    pub mag_ut: f64,
    /// Of the field from place to place in an undisturbed room, in µT.
    pub place_ut: f64,
    /// After how long a local deviation has faded to 1/e, in seconds.
    pub place_time_s: f64,
    /// Of the frame's heading after a second of turning at 1 rad/s, in radians.
    pub heading_walk_rad: f64,
    /// The field is disturbed when its strength differs from the expected one by this share, or
    pub norm_share: f64,
    /// its dip by this angle.
    pub dip_rad: f64,
}

/// The mean of a block of samples, in the upright frame.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// How long it is.
    pub period_s: f64,
    /// Mean square of the angular rate lately, in (rad/s)².
    pub rate_squared: f64,
    /// Variance that the frame's heading gained besides, in rad².
    pub doubt: f64,
    /// Standard deviation of the frame's inclination, in radians.
    pub tilt_rad: f64,
    /// What the magnetometer saw; `None` when it gave nothing.
    pub seen: Option<Seen>,
}

/// Means over a block's magnetometer samples.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// `R·m`, in µT.
    pub field_ut: [f64; 3],
    /// `R`.
    pub rotation: [[f64; 3]; 3],
    /// `R(ω × (m − b))`, in µT/s.
    pub turning: [f64; 3],
}

/// The filter's memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FieldFilter {
    state: [f64; STATES],
    covariance: [[f64; STATES]; STATES],
    /// Variance of d lately.
    place_variance: f64,
}

/// What a block did to the filter.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Natural logarithm of how probable the measurement was, but for a constant.
    pub log_likelihood: f64,
    /// The field's strength or dip is off by more than allowed.
    pub is_disturbed: bool,
    /// Between the measured heading and the estimate before it.
    pub disagreement_rad: f64,
    fading: f64,
    seen: Seen,
    innovation: [f64; 3],
    weight: [[f64; 3]; 3],
    projected: [[f64; STATES]; 3],
}

impl FieldFilter {
    /// From one sample of the field. A `calibrated` sensor has no offset until the field says otherwise; of another one nothing is known.
    pub fn new(field_ut: [f64; 3], calibrated: bool, noise: &Noise) -> Self {
        let mut filter = Self { state: [0.0; STATES], covariance: [[0.0; STATES]; STATES], place_variance: noise.place_ut.powi(2) };
        filter.state[..3].copy_from_slice(&field_ut);
        let offset_ut = if calibrated { 0.0 } else { UNKNOWN_UT };
        let deviations = [UNKNOWN_UT, noise.place_ut, offset_ut];
        for axis in 0..DELAY {
            filter.covariance[axis][axis] = deviations[axis / 3].powi(2);
        }
        filter.covariance[DELAY][DELAY] = DELAY_SD_S.powi(2);
        filter
    }

    /// The same sensor in a new frame: offset and delay stay, the field is begun anew.
    pub fn in_new_frame(&self, field_ut: [f64; 3], noise: &Noise) -> Self {
        let mut filter = Self::new(field_ut, true, noise);
        filter.state[OFFSET..].copy_from_slice(&self.state[OFFSET..]);
        for row in OFFSET..STATES {
            filter.covariance[row][OFFSET..].copy_from_slice(&self.covariance[row][OFFSET..]);
        }
        filter
    }

    /// Angle about the vertical that takes the frame to one whose y axis points to magnetic north.
    pub fn heading_rad(&self) -> f64 {
        libm::atan2(self.state[0], self.state[1])
    }

    /// Standard deviation of the heading to the field about the sensor.
    pub fn heading_sd_rad(&self) -> f64 {
        let [x, y] = self.heading_gradient();
        let p = &self.covariance;
        (x * x * p[0][0] + 2.0 * x * y * p[0][1] + y * y * p[1][1]).max(0.0).sqrt()
    }

    /// Standard deviation of that field's direction from magnetic north: by as much as it varies from place to place, the field of all
    /// the places together is off, and no measurement there tells.
    pub fn place_sd_rad(&self, noise: &Noise) -> f64 {
        let [x, y, _] = self.field();
        noise.place_ut / libm::hypot(x, y).max(noise.place_ut)
    }

    /// The sensor's own offset, in its coordinates, in µT.
    pub fn offset_ut(&self) -> [f64; 3] {
        [self.state[OFFSET], self.state[OFFSET + 1], self.state[OFFSET + 2]]
    }

    /// Takes a block; without a measurement only time passes.
    pub fn step(&mut self, block: &Block, noise: &Noise) -> Option<Step> {
        let fading = libm::exp(-block.period_s / noise.place_time_s);
        let norm = length(self.field());
        self.predict(block, norm, fading, noise);
        let seen = block.seen.as_ref()?;
        let innovation = self.innovation(seen);
        let (residual, is_disturbed, disagreement_rad) = self.against_field(innovation, noise);
        self.place_variance += (residual.max(noise.place_ut.powi(2)) - self.place_variance) * (1.0 - fading);
        let strength = length(seen.field_ut);
        let variance = (noise.mag_ut.powi(2) * NOISE_PERIOD_S / block.period_s) + (block.tilt_rad * strength).powi(2);
        if is_disturbed {
            // The sensor's own offset may have changed, slowly enough to be no jump.
            let change = self.place_variance * block.period_s / noise.place_time_s;
            (OFFSET..DELAY).for_each(|axis| self.covariance[axis][axis] += change);
        }
        let (mut projected, spread) = self.project(seen, variance);
        let (mut weight, mut determinant) = inverse(&spread);
        if dot(innovation, times(&weight, innovation)) > JUMP {
            // What has jumped isn't known: the place or the sensor's own offset. Motion will tell.
            let change = dot(innovation, innovation) / 3.0;
            (DEVIATION..DELAY).for_each(|axis| self.covariance[axis][axis] += change);
            let (again, spread) = self.project(seen, variance);
            projected = again;
            (weight, determinant) = inverse(&spread);
        }
        let gains: [[f64; 3]; STATES] = std::array::from_fn(|row| times(&weight, std::array::from_fn(|axis| projected[axis][row])));
        for (row, gain) in gains.iter().enumerate() {
            self.state[row] += dot(*gain, innovation);
        }
        self.reduce(&gains, &projected);
        let log_likelihood = -0.5 * (dot(innovation, times(&weight, innovation)) + libm::log(determinant));
        Some(Step { log_likelihood, is_disturbed, disagreement_rad, fading, seen: *seen, innovation, weight, projected })
    }

    fn field(&self) -> [f64; 3] {
        [self.state[0], self.state[1], self.state[2]]
    }

    fn heading_gradient(&self) -> [f64; 2] {
        let [x, y, _] = self.field();
        let squared = (x * x + y * y).max(1e-12);
        [y / squared, -x / squared]
    }

    fn predict(&mut self, block: &Block, norm: f64, fading: f64, noise: &Noise) {
        for axis in DEVIATION..OFFSET {
            self.state[axis] *= fading;
            for other in 0..STATES {
                self.covariance[axis][other] *= fading;
                self.covariance[other][axis] *= fading;
            }
            self.covariance[axis][axis] += self.place_variance * (1.0 - fading * fading);
        }
        let turned = noise.heading_walk_rad.powi(2) * block.rate_squared * block.period_s + block.doubt;
        let [x, y, _] = self.field();
        let p = &mut self.covariance;
        p[0][0] += turned * y * y;
        p[1][1] += turned * x * x;
        p[0][1] -= turned * x * y;
        p[1][0] = p[0][1];
        // While its inclination settles, the frame itself turns under the field.
        let walked = (FIELD_WALK_UT.powi(2) + (block.tilt_rad * norm).powi(2)) * block.period_s;
        (0..3).for_each(|axis| p[axis][axis] += walked);
    }

    fn innovation(&self, seen: &Seen) -> [f64; 3] {
        let offset = times(&seen.rotation, self.offset_ut());
        let expected =
            |axis: usize| self.state[axis] + self.state[DEVIATION + axis] + offset[axis] + self.state[DELAY] * seen.turning[axis];
        std::array::from_fn(|axis| seen.field_ut[axis] - expected(axis))
    }

    /// How the measurement, less the sensor's own, lies to the field: mean square along strength and dip, whether that is too far, and the
    /// angle of heading between.
    fn against_field(&self, innovation: [f64; 3], noise: &Noise) -> (f64, bool, f64) {
        let field = self.field();
        let apart: [f64; 3] = std::array::from_fn(|axis| innovation[axis] + self.state[DEVIATION + axis]);
        let measured: [f64; 3] = std::array::from_fn(|axis| field[axis] + apart[axis]);
        let [along, up] = along_and_up(field, apart);
        let (expected_norm, norm) = (length(field).max(1e-9), length(measured).max(1e-9));
        let dip_apart_rad = libm::asin((measured[2] / norm).clamp(-1.0, 1.0)) - libm::asin((field[2] / expected_norm).clamp(-1.0, 1.0));
        let is_disturbed = (norm - expected_norm).abs() > noise.norm_share * expected_norm || dip_apart_rad.abs() > noise.dip_rad;
        let cross = field[0] * measured[1] - field[1] * measured[0];
        let disagreement_rad = libm::atan2(cross, field[0] * measured[0] + field[1] * measured[1]).abs();
        (0.5 * (along * along + up * up), is_disturbed, disagreement_rad)
    }

    /// `P − G·H·P`, kept symmetric.
    fn reduce(&mut self, gains: &[[f64; 3]; STATES], projected: &[[f64; STATES]; 3]) {
        let columns: [[f64; 3]; STATES] = std::array::from_fn(|column| projected.map(|row| row[column]));
        for (row, gain) in gains.iter().enumerate() {
            for (column, part) in columns.iter().enumerate().skip(row) {
                self.covariance[row][column] -= dot(*gain, *part);
                self.covariance[column][row] = self.covariance[row][column];
            }
            self.covariance[row][row] = self.covariance[row][row].max(0.0);
        }
    }

    /// `H·P` and `H·P·Hᵀ + R`.
    fn project(&self, seen: &Seen, variance: f64) -> ([[f64; STATES]; 3], [[f64; 3]; 3]) {
        let p = &self.covariance;
        let projected: [[f64; STATES]; 3] = std::array::from_fn(|axis| {
            let [a, b, c] = seen.rotation[axis];
            let turning = seen.turning[axis];
            std::array::from_fn(|column| {
                let offset = a * p[OFFSET][column] + b * p[OFFSET + 1][column] + c * p[OFFSET + 2][column];
                p[axis][column] + p[DEVIATION + axis][column] + offset + turning * p[DELAY][column]
            })
        });
        let mut spread = projected.map(|row| observe(&row, seen));
        (0..3).for_each(|axis| spread[axis][axis] += variance);
        (projected, spread)
    }
}

/// A heading of the past that later measurements still improve: its covariance with the filter's state is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PastHeading {
    /// As [`FieldFilter::heading_rad`].
    pub heading_rad: f64,
    variance: f64,
    covariance: [f64; STATES],
}

impl PastHeading {
    /// The heading now.
    pub fn of(filter: &FieldFilter) -> Self {
        let [x, y] = filter.heading_gradient();
        let covariance = std::array::from_fn(|column| x * filter.covariance[0][column] + y * filter.covariance[1][column]);
        Self { heading_rad: filter.heading_rad(), variance: filter.heading_sd_rad().powi(2), covariance }
    }

    /// Standard deviation.
    pub fn sd_rad(&self) -> f64 {
        self.variance.max(0.0).sqrt()
    }

    /// Another filter was right all along: this heading lay wrong by as much as the one it replaces, and is as well known as that filter's.
    pub fn turn(&mut self, by_rad: f64, filter: &FieldFilter) {
        *self = Self { heading_rad: self.heading_rad + by_rad, ..Self::of(filter) };
    }

    /// Takes what a later block told the filter.
    pub fn improve(&mut self, step: &Step) {
        self.covariance[DEVIATION..OFFSET].iter_mut().for_each(|part| *part *= step.fading);
        let together = observe(&self.covariance, &step.seen);
        let gain = times(&step.weight, together);
        self.heading_rad += dot(gain, step.innovation);
        self.variance -= dot(gain, together);
        for (column, part) in self.covariance.iter_mut().enumerate() {
            *part -= (0..3).map(|axis| gain[axis] * step.projected[axis][column]).sum::<f64>();
        }
    }
}

/// A row of covariances with the state as covariances with a measurement.
fn observe(row: &[f64; STATES], seen: &Seen) -> [f64; 3] {
    let offset = times(&seen.rotation, [row[OFFSET], row[OFFSET + 1], row[OFFSET + 2]]);
    std::array::from_fn(|axis| row[axis] + row[DEVIATION + axis] + offset[axis] + seen.turning[axis] * row[DELAY])
}

/// The parts of a vector along the field's horizontal direction and up: what heading doesn't change.
fn along_and_up(field: [f64; 3], vector: [f64; 3]) -> [f64; 2] {
    let horizontal = (field[0] * field[0] + field[1] * field[1]).sqrt().max(1e-9);
    [(vector[0] * field[0] + vector[1] * field[1]) / horizontal, vector[2]]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn length(a: [f64; 3]) -> f64 {
    dot(a, a).sqrt()
}

fn times(matrix: &[[f64; 3]; 3], vector: [f64; 3]) -> [f64; 3] {
    [dot(matrix[0], vector), dot(matrix[1], vector), dot(matrix[2], vector)]
}

/// Inverse and determinant of a symmetric positive definite matrix.
pub(super) fn inverse(m: &[[f64; 3]; 3]) -> ([[f64; 3]; 3], f64) {
    let minor = |a: usize, b: usize, c: usize, d: usize| m[a][c] * m[b][d] - m[a][d] * m[b][c];
    let (xx, xy, xz) = (minor(1, 2, 1, 2), -minor(1, 2, 0, 2), minor(1, 2, 0, 1));
    let (yy, yz, zz) = (minor(0, 2, 0, 2), -minor(0, 2, 0, 1), minor(0, 1, 0, 1));
    let determinant = (m[0][0] * xx + m[0][1] * xy + m[0][2] * xz).max(f64::MIN_POSITIVE);
    ([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]].map(|row| row.map(|part| part / determinant)), determinant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::quaternion::{multiply, normalized, rotate};
    use crate::kernels::testing::Noise as Random;

    const NOISE: Noise =
        Noise { mag_ut: 0.7, place_ut: 0.5, place_time_s: 1.0, heading_walk_rad: 0.002, norm_share: 0.1, dip_rad: 0.174_532_925 };
    const FIELD_UT: [f64; 3] = [5.0, 16.0, -42.0];

    /// A sensor that tumbles at 2 rad/s, with an offset and a delay; the filter after each block.
    fn tumble(
        blocks: usize,
        calibrated: bool,
        offset: impl Fn(usize) -> [f64; 3],
        mut each: impl FnMut(usize, &FieldFilter, Option<Step>),
    ) {
        let (mut random, mut q) = (Random::new(3), [1.0, 0.0, 0.0, 0.0]);
        let mut filter: Option<FieldFilter> = None;
        for block in 0..blocks {
            let phase = block as f64 * 0.02;
            let rate = [2.0 * libm::sin(0.7 * phase), 2.0 * libm::cos(0.5 * phase), 1.5 * libm::sin(0.3 * phase)];
            q = normalized(multiply(q, [1.0, rate[0] * 0.01, rate[1] * 0.01, rate[2] * 0.01]));
            let conjugate = [q[0], -q[1], -q[2], -q[3]];
            let own = offset(block);
            let in_sensor = rotate(conjugate, FIELD_UT);
            let late = cross(rate, in_sensor).map(|part| 0.015 * part);
            let mag: [f64; 3] = std::array::from_fn(|k| in_sensor[k] + late[k] + own[k] + 0.5 * random.gaussian());
            let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| rotate(q, axis));
            let known = filter.as_ref().map_or([0.0; 3], FieldFilter::offset_ut);
            let seen = Seen {
                field_ut: rotate(q, mag),
                rotation: std::array::from_fn(|row| std::array::from_fn(|column| axes[column][row])),
                turning: rotate(q, cross(rate, std::array::from_fn(|k| mag[k] - known[k]))),
            };
            let filter = filter.get_or_insert_with(|| FieldFilter::new(seen.field_ut, calibrated, &NOISE));
            let block_of = Block { period_s: 0.02, rate_squared: 6.0, doubt: 0.0, tilt_rad: 0.0, seen: Some(seen) };
            let step = filter.step(&block_of, &NOISE);
            each(block, filter, step);
        }
    }

    fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    }

    fn heading_error_deg(filter: &FieldFilter) -> f64 {
        (filter.heading_rad() - libm::atan2(FIELD_UT[0], FIELD_UT[1])).to_degrees()
    }

    #[test]
    fn a_magnet_stuck_to_the_sensor_later_does_not_turn_the_heading() {
        let magnet = [3.0, -20.0, 9.0];
        tumble(
            2000,
            true,
            |block| if block < 500 { [0.0; 3] } else { magnet },
            |block, filter, _| {
                assert!(block < 100 || heading_error_deg(filter).abs() < 4.0, "block {block}: {}°", heading_error_deg(filter));
                if block == 1999 {
                    let apart = filter.offset_ut().iter().zip(magnet).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                    assert!(apart < 1.0, "{:?} µT", filter.offset_ut());
                    assert!((filter.state[DELAY] - 0.015).abs() < 0.003, "{} s", filter.state[DELAY]);
                }
            },
        );
    }

    #[test]
    fn an_uncalibrated_sensor_is_calibrated_by_motion() {
        tumble(
            1500,
            false,
            |_| [15.0, 8.0, -12.0],
            |block, filter, _| {
                let sd_deg = filter.heading_sd_rad().to_degrees();
                assert!(block > 1 || sd_deg > 20.0, "{sd_deg}° after one sample");
                assert!(block < 1000 || heading_error_deg(filter).abs() < 3.0, "block {block}: {}°", heading_error_deg(filter));
            },
        );
    }

    #[test]
    fn a_past_heading_is_known_better_later() {
        let (mut past, mut first) = (None, (0.0, 0.0));
        tumble(
            100,
            true,
            |_| [0.0; 3],
            |block, filter, step| match &mut past {
                None if block == 3 => {
                    past = Some(PastHeading::of(filter));
                    first = (heading_error_deg(filter).abs(), filter.heading_sd_rad());
                }
                Some(past) => past.improve(&step.expect("every block was measured")),
                None => {}
            },
        );
        let past = past.expect("it was begun");
        assert!(past.sd_rad() < 0.7 * first.1, "{} of {}", past.sd_rad(), first.1);
        let error_deg = (past.heading_rad - libm::atan2(FIELD_UT[0], FIELD_UT[1])).to_degrees().abs();
        assert!(error_deg < first.0.max(1.0), "{error_deg}° after {}°", first.0);
    }
}
