//! What does a window of an IMU's samples tell about the sensor? Motion, noise, plateaus at the rails and the magnetic field.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// So many equal values in a row, at the highest seen, are a rail: the peak of a motion bends by more than a step of the converter over them.
const PLATEAU: usize = 5;
/// Next to a range that is known, this share of it is its end.
const RAIL: f64 = 0.999;

/// One sample, with the magnetic field's dip that the inclination gives; NaN where the magnetometer has none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Reading {
    /// Angular rate in rad/s.
    pub gyro: [f64; 3],
    /// Specific force in m/s².
    pub accel: [f64; 3],
    /// Magnetic flux density in µT.
    pub mag: [f64; 3],
    /// Angle of the field below the horizon.
    pub dip_rad: f64,
}

/// Mean of an instrument and how its samples lie about it.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Mean vector.
    pub mean: [f64; 3],
    /// Root of the mean square of the distance from it.
    pub deviation: f64,
    /// The longest distance from it.
    pub furthest: f64,
}

/// How an instrument's samples lie; NaN of none.
pub fn spread(samples: impl Iterator<Item = [f64; 3]> + Clone) -> Spread {
    let count = samples.clone().count() as f64;
    let sum = samples.clone().fold([0.0; 3], |sum: [f64; 3], sample| std::array::from_fn(|axis| sum[axis] + sample[axis]));
    let mean = sum.map(|part| part / count);
    let squares = samples.map(|sample| (0..3).map(|axis| (sample[axis] - mean[axis]).powi(2)).sum::<f64>());
    let (sum, furthest) = squares.fold((0.0, 0.0_f64), |(sum, furthest), square| (sum + square, furthest.max(square)));
    Spread { mean, deviation: (sum / count).sqrt(), furthest: furthest.sqrt() }
}

/// What ends an instrument's range.
#[derive(Clone, Copy, Debug)]
pub enum Range {
    /// Known, in the instrument's unit.
    Known(f64),
    /// Whatever plateau lies at the session's highest value, once that is above this.
    LearntAbove(f64),
}

/// How many samples lie at a rail on any axis. `highest` is each axis's highest value of the session, these samples included.
pub fn at_rails(samples: &[[f64; 3]], range: Range, highest: [f64; 3]) -> usize {
    let mut flags = vec![false; samples.len()];
    for axis in 0..3 {
        match range {
            Range::Known(limit) => {
                flags.iter_mut().zip(samples).for_each(|(flag, sample)| *flag |= sample[axis].abs() >= RAIL * limit);
            }
            Range::LearntAbove(floor) if highest[axis] >= floor => {
                let mut first = 0;
                for run in samples.chunk_by(|a, b| a[axis].to_bits() == b[axis].to_bits()) {
                    if run.len() >= PLATEAU && run[0][axis].abs() >= highest[axis] {
                        flags[first..first + run.len()].fill(true);
                    }
                    first += run.len();
                }
            }
            Range::LearntAbove(_) => {}
        }
    }
    flags.into_iter().filter(|flag| *flag).count()
}

/// The value in the middle; NaN of none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Adds a value to at most `most`; the oldest goes.
pub fn push_newest<T>(values: &mut VecDeque<T>, value: T, most: usize) {
    if values.len() >= most {
        values.pop_front();
    }
    values.push_back(value);
}

/// Length of a vector.
pub fn length(vector: [f64; 3]) -> f64 {
    vector.iter().map(|part| part * part).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plateau_at_the_highest_value_is_a_rail_and_a_peak_is_none() {
        let along_x = |values: &[f64]| values.iter().map(|value| [*value, 0.0, 0.0]).collect::<Vec<_>>();
        let clipped = along_x(&[1.0, 30.0, 34.9, 34.9, 34.9, 34.9, 34.9, 34.9, 20.0]);
        let peak = along_x(&[30.0, 34.5, 34.8, 34.9, 34.9, 34.8, 34.5]);
        let learnt = Range::LearntAbove(3.5);
        assert_eq!(at_rails(&clipped, learnt, [34.9, 0.0, 0.0]), 6);
        assert_eq!(at_rails(&clipped, learnt, [40.0, 0.0, 0.0]), 0, "the session has seen more");
        assert_eq!(at_rails(&peak, learnt, [34.9, 0.0, 0.0]), 0);
        assert_eq!(at_rails(&peak, Range::Known(34.9), [34.9, 0.0, 0.0]), 2);
    }

    #[test]
    fn a_spread_is_about_its_mean() {
        let spread = spread([[1.0, 0.0, 0.0], [3.0, 0.0, 0.0]].into_iter());
        assert_eq!((spread.mean, spread.deviation, spread.furthest), ([2.0, 0.0, 0.0], 1.0, 1.0));
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
    }
}
