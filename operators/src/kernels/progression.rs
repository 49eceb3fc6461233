//! Which way does a foot point, against the direction in which the subject goes? The foot progression angle.

use proprio_core::TimeNs;
use serde::{Deserialize, Serialize};

use super::quaternion::{Quaternion, rotate};

/// A forward axis counts as level while this share of it is: within 75° of the horizontal.
const LEAST_LEVEL: f64 = 0.258_819_045_102_520_8;
/// The pelvis turns to and fro in each stride: its facing is a mean with this time constant, in seconds.
const MEAN_S: f64 = 2.0;

/// Where the pelvis has faced lately: a mean of its forward axis, made level, that forgets exponentially.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facing {
    mean: Option<([f64; 2], TimeNs)>,
}

impl Facing {
    /// Takes the pelvis' orientation to the lab (ISB axes, Y up) at a time; one that is unknown or not level is passed over.
    pub fn update(&mut self, lab_from_pelvis: Quaternion, time: TimeNs) {
        let Some(now) = level(lab_from_pelvis) else { return };
        let Some((mean, last)) = &mut self.mean else {
            self.mean = Some((now, time));
            return;
        };
        let passed_s = time.saturating_sub(*last) as f64 * 1e-9;
        let weight = 1.0 - libm::exp(-passed_s / MEAN_S);
        mean.iter_mut().zip(now).for_each(|(mean, now)| *mean += weight * (now - *mean));
        *last = time;
    }

    /// Its angle about the vertical against the lab's forward direction, counter-clockwise seen from above, in radians; NaN before the
    /// first.
    pub fn azimuth_rad(&self) -> f64 {
        self.mean.map_or(f64::NAN, |([ahead, left], _)| libm::atan2(left, ahead))
    }
}

/// How far a foot points to the left of a direction, in degrees within ±180; NaN where it is unknown or stands on its toes.
pub fn progression_deg(lab_from_foot: Quaternion, azimuth_rad: f64) -> f64 {
    let Some([ahead, left]) = level(lab_from_foot) else { return f64::NAN };
    let (sin, cos) = libm::sincos(azimuth_rad);
    libm::atan2(left * cos - ahead * sin, ahead * cos + left * sin).to_degrees()
}

/// The forward axis seen from above, ahead and to the left, of length one; none where it isn't level.
fn level(lab_from_segment: Quaternion) -> Option<[f64; 2]> {
    let [x, _, z] = rotate(lab_from_segment, [1.0, 0.0, 0.0]);
    let length = (x * x + z * z).sqrt();
    (length >= LEAST_LEVEL).then(|| [x / length, -z / length])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::quaternion::multiply;

    fn turned_left(degrees: f64) -> Quaternion {
        let half = degrees.to_radians() / 2.0;
        [libm::cos(half), 0.0, libm::sin(half), 0.0]
    }

    #[test]
    fn a_foot_is_seen_from_above_whatever_its_pitch() {
        for pitch_deg in [-70.0_f64, -30.0, 0.0, 20.0] {
            let half = pitch_deg.to_radians() / 2.0;
            let foot = multiply(turned_left(100.0), [libm::cos(half), 0.0, 0.0, libm::sin(half)]);
            assert!((progression_deg(foot, 90_f64.to_radians()) - 10.0).abs() < 1e-9, "{pitch_deg}");
        }
        let on_its_toes = [0.5_f64.sqrt(), 0.0, 0.0, -(0.5_f64.sqrt())];
        assert!(progression_deg(on_its_toes, 0.0).is_nan() && progression_deg([f64::NAN; 4], 0.0).is_nan());
    }

    #[test]
    fn facing_is_a_mean_over_a_swinging_pelvis_and_follows_a_turn() {
        let mut facing = Facing::default();
        assert!(facing.azimuth_rad().is_nan());
        let mut worst: f64 = 0.0;
        for k in 0..4000 {
            let time_s = f64::from(k) * 0.01;
            let turn = if k < 2000 { 30.0 } else { -150.0 };
            facing.update(turned_left(turn + 8.0 * libm::sin(std::f64::consts::TAU * 0.9 * time_s)), i64::from(k) * 10_000_000);
            facing.update([f64::NAN; 4], i64::from(k) * 10_000_000);
            if (1000..2000).contains(&k) {
                worst = worst.max((facing.azimuth_rad().to_degrees() - 30.0).abs());
            }
        }
        assert!((facing.azimuth_rad().to_degrees() + 150.0).abs() < 1.5, "{facing:?}");
        assert!(worst < 1.5, "{worst}");
    }
}
