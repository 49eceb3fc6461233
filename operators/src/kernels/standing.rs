//! Is somebody standing still, for how long, and how quietly? Sums over one sensor's samples of one quiet stretch.

use serde::{Deserialize, Serialize};

use super::imu::Sample;

/// A sample that turns faster, in rad/s (15°/s), is a movement,
const TURNING_RAD_PER_S: f64 = 0.261_799_387_799_149_4;
/// as is one whose specific force is further from gravity, in m/s².
const FORCE_M_PER_S2: f64 = 1.0;
/// Standard gravity, in m/s².
pub const GRAVITY_M_PER_S2: f64 = 9.806_65;

/// Sums over a quiet stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Samples.
    pub count: u32,
    gyro: [f64; 3],
    gyro_square: f64,
    accel: [f64; 3],
    mag: [f64; 3],
    mag_count: u32,
}

/// Whether a sample may belong to a quiet stretch.
pub fn is_quiet(sample: &Sample) -> bool {
    norm(sample.gyro) <= TURNING_RAD_PER_S && (norm(sample.accel) - GRAVITY_M_PER_S2).abs() <= FORCE_M_PER_S2
}

impl Standing {
    /// Adds a sample.
    pub fn add(&mut self, sample: &Sample) {
        self.count += 1;
        add(&mut self.gyro, sample.gyro);
        add(&mut self.accel, sample.accel);
        self.gyro_square += sample.gyro.iter().map(|part| part * part).sum::<f64>();
        if sample.mag.iter().all(|part| part.is_finite()) {
            add(&mut self.mag, sample.mag);
            self.mag_count += 1;
        }
    }

    /// Mean angular rate in rad/s: the gyroscope's bias.
    pub fn bias(&self) -> [f64; 3] {
        self.gyro.map(|sum| sum / f64::from(self.count))
    }

    /// Root of the mean square of the angular rate, in degrees per second.
    pub fn gyro_rms_deg_per_s(&self) -> f64 {
        (self.gyro_square / f64::from(self.count)).sqrt().to_degrees()
    }

    /// How far the mean specific force is from gravity, in m/s².
    pub fn accel_error_m_per_s2(&self) -> f64 {
        (norm(self.accel) / f64::from(self.count) - GRAVITY_M_PER_S2).abs()
    }

    /// The direction up, as a unit vector in the sensor's frame.
    pub fn up(&self) -> [f64; 3] {
        let length = norm(self.accel);
        self.accel.map(|part| part / length)
    }

    /// Norm of the mean magnetic field in µT, and its dip below the horizon in degrees; none without a magnetometer.
    pub fn field(&self) -> Option<(f64, f64)> {
        let strength = norm(self.mag) / f64::from(self.mag_count);
        (self.mag_count > 0 && strength > 0.0).then(|| (strength, angle_deg(self.mag, self.up()) - 90.0))
    }
}

/// The angle between two vectors, in degrees from 0 to 180.
pub fn angle_deg(a: [f64; 3], b: [f64; 3]) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    libm::acos((dot / (norm(a) * norm(b))).clamp(-1.0, 1.0)).to_degrees()
}

fn norm(v: [f64; 3]) -> f64 {
    v.iter().map(|part| part * part).sum::<f64>().sqrt()
}

fn add(sum: &mut [f64; 3], v: [f64; 3]) {
    sum.iter_mut().zip(v).for_each(|(sum, part)| *sum += part);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(gyro: [f64; 3], accel: [f64; 3], mag: [f64; 3]) -> Sample {
        Sample { time: 0, sequence: None, device: None, gyro, accel, mag }
    }

    #[test]
    fn a_quiet_stretch_tells_up_bias_and_field() {
        let mut standing = Standing::default();
        for noise in [-0.01, 0.01] {
            standing.add(&sample([0.02 + noise, 0.0, 0.0], [0.0, 9.8, 0.0], [20.0, -40.0, 0.0]));
        }
        assert_eq!((standing.bias(), standing.up()), ([0.02, 0.0, 0.0], [0.0, 1.0, 0.0]));
        assert!((standing.gyro_rms_deg_per_s() - 0.0005_f64.sqrt().to_degrees()).abs() < 1e-12);
        assert!((standing.accel_error_m_per_s2() - 0.006_65).abs() < 1e-12);
        let (strength, dip) = standing.field().expect("a field");
        assert!((strength - 2000.0_f64.sqrt()).abs() < 1e-9 && (dip - 2.0_f64.atan().to_degrees()).abs() < 1e-9, "{strength} {dip}");
    }

    #[test]
    fn turning_and_pushing_are_movements() {
        assert!(is_quiet(&sample([0.1, 0.1, 0.1], [0.0, 9.5, 1.0], [f64::NAN; 3])));
        assert!(!is_quiet(&sample([0.3, 0.0, 0.0], [0.0, 9.8, 0.0], [f64::NAN; 3])));
        assert!(!is_quiet(&sample([0.0; 3], [0.0, 11.0, 0.0], [f64::NAN; 3])));
    }
}
