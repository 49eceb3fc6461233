//! About which axis did a segment swing, how purely, how often, and which way first? From the angular rates of one movement.

use nalgebra::{Matrix3, Vector3};

/// A swing counts when it passes this share of the largest one,
const OUT: f64 = 0.6;
/// and comes back below this share.
const BACK: f64 = 0.4;

/// What a movement about one axis was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunctionalAxis {
    /// Unit vector in the sensor's frame; by the right-hand rule it turns the way of the first swing.
    pub axis: [f64; 3],
    /// Share of the angular rate's power that lies along it, 0.33–1.
    pub explained: f64,
    /// Swings out and back.
    pub repetitions: u32,
    /// Angle of the largest swing, in degrees.
    pub range_deg: f64,
}

/// The principal axis of angular rates in rad/s, free of bias, at a period in s; none when nothing moved.
pub fn functional_axis(rates: &[[f64; 3]], period_s: f64) -> Option<FunctionalAxis> {
    let power = rates.iter().map(|rate| Vector3::from(*rate)).fold(Matrix3::zeros(), |sum, rate| sum + rate * rate.transpose());
    let eigen = power.symmetric_eigen();
    let largest = (0..3).fold(0, |best, index| if eigen.eigenvalues[index] > eigen.eigenvalues[best] { index } else { best });
    let total: f64 = eigen.eigenvalues.iter().sum();
    if total <= 0.0 || !total.is_finite() {
        return None;
    }
    let axis = eigen.eigenvectors.column(largest).into_owned();
    let mut angle = 0.0;
    let angles: Vec<f64> = rates
        .iter()
        .map(|rate| {
            angle += axis.dot(&Vector3::from(*rate)) * period_s;
            angle
        })
        .collect();
    let range = angles.iter().fold(0.0_f64, |range, angle| range.max(angle.abs()));
    let first = angles.iter().find(|angle| angle.abs() >= OUT * range)?;
    let sign = first.signum();
    Some(FunctionalAxis {
        axis: (axis * sign).into(),
        explained: eigen.eigenvalues[largest] / total,
        repetitions: swings(angles.iter().map(|angle| angle * sign), range),
        range_deg: range.to_degrees(),
    })
}

/// How often an angle goes out beyond a share of its range and comes back.
fn swings(angles: impl Iterator<Item = f64>, range: f64) -> u32 {
    let (mut count, mut is_out) = (0, false);
    for angle in angles {
        if !is_out && angle >= OUT * range {
            is_out = true;
        } else if is_out && angle <= BACK * range {
            (is_out, count) = (false, count + 1);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` swings of `range_rad` a second long about an axis.
    fn rates(axis: [f64; 3], count: usize, range_rad: f64) -> Vec<[f64; 3]> {
        let rate = |k: usize| std::f64::consts::PI * range_rad * libm::sin(std::f64::consts::TAU * k as f64 / 100.0);
        (0..count * 100).map(|k| axis.map(|part| part * rate(k))).collect()
    }

    #[test]
    fn swings_about_an_axis_are_found_with_their_direction() {
        for axis in [[0.6, 0.0, 0.8], [-0.6, 0.0, -0.8], [0.0, -1.0, 0.0]] {
            let found = functional_axis(&rates(axis, 6, 1.0), 0.01).expect("it moved");
            assert!(found.axis.iter().zip(axis).all(|(found, due)| (found - due).abs() < 1e-9), "{found:?}");
            assert!((found.explained - 1.0).abs() < 1e-9 && (found.range_deg - 57.3).abs() < 1.0, "{found:?}");
            assert_eq!(found.repetitions, 6);
        }
    }

    #[test]
    fn a_movement_about_several_axes_explains_less() {
        let both: Vec<_> = rates([1.0, 0.0, 0.0], 3, 1.0).into_iter().chain(rates([0.0, 1.0, 0.0], 3, 1.0)).collect();
        assert!(functional_axis(&both, 0.01).expect("it moved").explained < 0.6);
        assert_eq!(functional_axis(&[[0.0; 3]; 100], 0.01), None);
        assert_eq!(functional_axis(&[], 0.01), None);
    }
}
