//! How far is a cycle from a reference, and how far are the sides from each other? Gait variable and profile score, symmetry.

use proprio_core::TimeNs;
use serde::{Deserialize, Serialize};

/// Points of a cycle: 0 %, 2 % … 100 %.
pub const POINTS: usize = 51;
/// Below this mean of both sides, a symmetry index would be a division by nothing.
const NOTHING: f64 = 1e-9;

/// A curve that repeats itself exactly has no spread, and its rounding is not outside of it.
const ROUNDING_DEG: f64 = 1e-9;

/// A curve at [`POINTS`] even points from `start_ns` to `end_ns`, by straight lines between the samples on either side; `None` where
/// these are further apart than `max_gap_ns`. Samples are in order of time and finite.
pub fn resample(samples: &[(TimeNs, f64)], start_ns: TimeNs, end_ns: TimeNs, max_gap_ns: i64) -> Option<Vec<f64>> {
    let point = |index: usize| {
        let offset = i128::from(end_ns - start_ns) * index as i128 / (POINTS as i128 - 1);
        let at = start_ns + offset as i64;
        let after = samples.partition_point(|(time, _)| *time < at);
        let (to, high) = *samples.get(after)?;
        if to == at {
            return Some(high);
        }
        let (from, low) = *samples.get(after.checked_sub(1)?)?;
        (to - from <= max_gap_ns).then(|| low + (high - low) * ((at - from) as f64 / (to - from) as f64))
    };
    (0..POINTS).map(point).collect()
}

/// Takes out the jumps by a whole turn, and the mean.
pub fn about_mean(curve: &mut [f64]) {
    for at in 1..curve.len() {
        let turns = ((curve[at] - curve[at - 1]) / 360.0).round();
        curve[at] -= 360.0 * turns;
    }
    let mean = curve.iter().sum::<f64>() / curve.len() as f64;
    curve.iter_mut().for_each(|value| *value -= mean);
}

/// Root mean square: of a curve's differences from its reference the gait variable score, of variable scores the gait profile
/// score (Baker et al. 2009, "The gait profile score and movement analysis profile"). NaN of none.
pub fn root_mean_square(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value * value, count + 1.0));
    (sum / count).sqrt()
}

/// (R − L) / (0.5 (R + L)) · 100 (Robinson et al. 1987); NaN when both sides together are nothing.
pub fn symmetry_index_percent(left: f64, right: f64) -> f64 {
    let mean = 0.5 * (left + right);
    if mean.abs() > NOTHING { (right - left) / mean * 100.0 } else { f64::NAN }
}

/// (45° − atan(L / R)) / 90° · 100 (Zifchock et al. 2008), which needs no mean to divide by; NaN when both are zero.
pub fn symmetry_angle_percent(left: f64, right: f64) -> f64 {
    if left == 0.0 && right == 0.0 {
        return f64::NAN;
    }
    let degrees = 45.0 - libm::atan(left / right).to_degrees();
    (if degrees > 90.0 { degrees - 180.0 } else { degrees }) / 90.0 * 100.0
}

/// Mean and spread of a curve over the cycles so far (Welford 1962).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Cycles taken.
    pub cycles: u32,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Baseline {
    /// Takes a cycle's curve.
    pub fn add(&mut self, curve: &[f64]) {
        self.mean.resize(curve.len(), 0.0);
        self.squares.resize(curve.len(), 0.0);
        self.cycles += 1;
        for ((value, mean), squares) in curve.iter().zip(&mut self.mean).zip(&mut self.squares) {
            let before = value - *mean;
            *mean += before / f64::from(self.cycles);
            *squares += before * (value - *mean);
        }
    }

    /// Mean and standard deviation, point by point.
    pub fn band(&self) -> Band {
        let freedom = f64::from(self.cycles.max(2) - 1);
        Band { mean: self.mean.clone(), sd: self.squares.iter().map(|squares| (squares / freedom).sqrt()).collect() }
    }
}

/// What a curve is held against, at [`POINTS`] points.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Band {
    /// Mean.
    pub mean: Vec<f64>,
    /// Standard deviation; empty where it is not known.
    pub sd: Vec<f64>,
}

impl Band {
    /// The gait variable score.
    pub fn score(&self, curve: &[f64]) -> f64 {
        root_mean_square(curve.iter().zip(&self.mean).map(|(value, mean)| value - mean))
    }

    /// How many points lie beyond two standard deviations; none where these are not known.
    pub fn outside(&self, curve: &[f64]) -> Option<usize> {
        let beyond = |((value, mean), sd): ((&f64, &f64), &f64)| (value - mean).abs() > 2.0 * sd + ROUNDING_DEG;
        let points = curve.iter().zip(&self.mean).zip(&self.sd);
        (!self.sd.is_empty()).then(|| points.filter(|point| beyond(*point)).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_is_cut_into_fifty_steps() {
        // 20 ms apart from −10 ms on, a ramp of 1 a millisecond: 0 … 1000 ms in steps of 20.
        let samples: Vec<(TimeNs, f64)> = (0..60).map(|k| (k * 20_000_000 - 10_000_000, (k * 20 - 10) as f64)).collect();
        let curve = resample(&samples, 0, 1_000_000_000, 20_000_000).expect("a whole cycle");
        assert_eq!(curve.len(), POINTS);
        assert!(curve.iter().enumerate().all(|(k, value)| (value - 20.0 * k as f64).abs() < 1e-9));
        assert!(resample(&samples[..50], 0, 1_000_000_000, 20_000_000).is_none(), "its end is missing");
        let with_gap: Vec<_> = samples.iter().copied().filter(|(time, _)| !(300_000_000..400_000_000).contains(time)).collect();
        assert!(resample(&with_gap, 0, 1_000_000_000, 100_000_000).is_none());
        assert!(resample(&with_gap, 0, 1_000_000_000, 120_000_000).is_some());
    }

    #[test]
    fn scores_are_those_worked_out_by_hand() {
        let band = Band { mean: vec![1.0, 2.0, 3.0], sd: vec![1.0, 1.0, 2.0] };
        // Differences 3, 0, −4: √(25/3). Beyond 2 SD: 3 > 2, 0, 4 = 4 is not.
        assert!((band.score(&[4.0, 2.0, -1.0]) - 2.886_751_345_948).abs() < 1e-11);
        assert_eq!(band.outside(&[4.0, 2.0, -1.0]), Some(1));
        // Scores 3, 4, 12: √(169/3).
        assert!((root_mean_square([3.0, 4.0, 12.0].into_iter()) - 7.505_553_499_465).abs() < 1e-11);
        assert!(root_mean_square(std::iter::empty()).is_nan());
    }

    #[test]
    fn symmetry_in_both_forms() {
        // (1.2 − 1.0) / 1.1; 45° − atan(1 / 1.2) = 45° − 39.80557° = 5.19443°.
        assert!((symmetry_index_percent(1.0, 1.2) - 18.181_818_181_818).abs() < 1e-11);
        assert!((symmetry_angle_percent(1.0, 1.2) - 5.771_587_6).abs() < 1e-6);
        assert_eq!((symmetry_index_percent(2.0, 2.0), symmetry_angle_percent(2.0, 2.0)), (0.0, 0.0));
        assert!(symmetry_index_percent(1.0, -1.0).is_nan() && symmetry_angle_percent(0.0, 0.0).is_nan());
        // Opposite signs: atan = −45°, 90°; with more on the left 45° + 63.4° becomes −71.6°.
        assert!((symmetry_angle_percent(1.0, -1.0) - 100.0).abs() < 1e-9);
        assert!((symmetry_angle_percent(2.0, -1.0) + 79.516_723_5).abs() < 1e-6);
        assert!((symmetry_angle_percent(1.0, 0.0) + 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_baseline_is_the_mean_and_spread_of_its_cycles() {
        let mut baseline = Baseline::default();
        for curve in [[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]] {
            baseline.add(&curve);
        }
        // Mean 3, squares 4 + 1 + 9 = 14 over two degrees of freedom.
        assert_eq!(baseline.band(), Band { mean: vec![3.0, 5.0], sd: vec![7f64.sqrt(), 0.0] });
    }

    #[test]
    fn a_turn_is_no_jump() {
        let mut curve = [170.0, 179.0, -172.0, -175.0];
        about_mean(&mut curve);
        // Unwrapped 170, 179, 188, 185: mean 180.5.
        assert_eq!(curve, [-10.5, -1.5, 7.5, 4.5]);
    }
}
