//! When did a signal's variance rise above that at rest, and how sure is that?
//!
//! Gaussian samples whose variance at rest is one, and `ratio` times that once active. Every change time is weighted by the likelihood
//! that it gives, with the rise left open: at once as a rule, over some milliseconds where the samples say so, so that a muscle that
//! switches on slowly is not timed at the middle of its rise, and the standard deviation knows what it can't tell apart.
//! Whitening by a linear prediction that is learned at rest (Staude 2001) sharpens the change and takes the filter's delay away.

use std::collections::VecDeque;
use std::ops::Range;

use nalgebra::{SMatrix, SVector};
use serde::{Deserialize, Serialize};

/// Coefficients of the linear prediction.
pub const ORDER: usize = 8;
/// White noise that is taken to be in every signal, as a share of its power: where a filter has left nothing, there is nothing to find.
const FLOOR: f64 = 5e-3;
/// How likely an activity begins at once, and the rise times that share the rest, in seconds.
const STEP_SHARE: f64 = 0.8;
const RISES_S: [f64; 3] = [0.02, 0.05, 0.1];
/// Levels that a rise passes through; its amplitude is linear.
const LEVELS: usize = 4;
/// Longest lag at which neighbouring samples are taken to be correlated, in seconds.
const CORRELATED_S: f64 = 0.03;

/// What a signal is like at rest: products of each sample and the [`ORDER`] before it with one another, averaged.
///
/// All of them are kept and not just one a lag: rest is learned in pieces between bursts, over which the products of one lag don't
/// add up to an autocovariance of anything, and a prediction from them may claim an error far smaller than it makes. Of these
/// products, the error that is claimed is the one that was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rest {
    /// Rows and columns are lags; of the symmetric half, only the lower one is kept.
    products: [[f64; ORDER + 1]; ORDER + 1],
    learned: u64,
}

impl Rest {
    /// Of a stretch of samples, the first of which only predict: what is before them may not be rest.
    pub fn of(samples: &VecDeque<f64>, range: Range<usize>) -> Self {
        let mut rest = Self::default();
        range.skip(ORDER).for_each(|at| rest.learn(samples, at, u64::MAX));
        rest
    }

    /// Takes the sample at a position, with those before it; `memory` is the longest average in samples.
    pub fn learn(&mut self, samples: &VecDeque<f64>, at: usize, memory: u64) {
        self.learned = (self.learned + 1).min(memory);
        let share = 1.0 / self.learned as f64;
        let newest: [f64; ORDER + 1] = std::array::from_fn(|lag| at.checked_sub(lag).map_or(0.0, |before| samples[before]));
        for (row, products) in self.products.iter_mut().enumerate() {
            for (column, product) in products[..=row].iter_mut().enumerate() {
                *product += (newest[row] * newest[column] - *product) * share;
            }
        }
    }

    /// Mean square.
    pub const fn variance(&self) -> f64 {
        self.products[0][0]
    }

    /// Samples that it stands on.
    pub const fn learned(&self) -> u64 {
        self.learned
    }

    /// The error of predicting each sample of a stretch from those before it, over the error's deviation at rest; `None` where rest
    /// is nothing.
    pub fn whitened(&self, samples: &VecDeque<f64>, range: Range<usize>) -> Option<Vec<f64>> {
        let (coefficients, variance) = prediction(&self.products)?;
        let deviation = variance.sqrt();
        let before = |at: usize, lag: usize| at.checked_sub(lag).map_or(0.0, |before| samples[before]);
        let error = |at: usize| coefficients.iter().zip(1..).fold(samples[at], |error, (c, lag)| error - c * before(at, lag));
        Some(range.map(|at| error(at) / deviation).collect())
    }
}

/// The linear prediction of least squares from products of samples, and the variance of its error.
fn prediction(products: &[[f64; ORDER + 1]; ORDER + 1]) -> Option<([f64; ORDER], f64)> {
    let product = |i: usize, j: usize| products[i.max(j)][i.min(j)];
    let floor = FLOOR * products[0][0];
    let before = SMatrix::<f64, ORDER, ORDER>::from_fn(|i, j| product(i + 1, j + 1) + if i == j { floor } else { 0.0 });
    let solution = before.cholesky()?.solve(&SVector::<f64, ORDER>::from_fn(|i, _| product(i + 1, 0)));
    let coefficients: [f64; ORDER] = solution.into();
    // The floor itself is not in the samples, so it is not in their error.
    let error: [f64; ORDER + 1] = std::array::from_fn(|lag| if lag == 0 { 1.0 } else { -coefficients[lag - 1] });
    let row = |i: usize| (0..=ORDER).map(|j| error[j] * product(i, j)).sum::<f64>();
    let variance = (0..=ORDER).map(|i| error[i] * row(i)).sum::<f64>();
    (variance > 0.0 && variance.is_finite()).then_some((coefficients, variance))
}

/// A stretch of activity in samples whose variance at rest is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Activity {
    /// Its variance.
    pub ratio: f64,
    /// How much one sample's square is correlated with the others': the sum of the squared autocorrelation over all lags but zero.
    correlation: f64,
    samples: usize,
}

impl Activity {
    /// From its samples.
    pub fn of(samples: &[f64], rate_hz: f64) -> Self {
        let count = samples.len().max(1) as f64;
        let at = |lag: usize| samples.iter().zip(&samples[lag..]).map(|(a, b)| a * b).sum::<f64>() / count;
        let power = at(0);
        let lags = 1..((CORRELATED_S * rate_hz) as usize).min(samples.len() / 4);
        // Of independent samples, each squared autocorrelation is 1/count by chance.
        let correlation: f64 = lags.map(|lag| at(lag) / power).map(|r| r * r - 1.0 / count).sum();
        Self { ratio: power, correlation: if power > 0.0 { 2.0 * correlation.max(0.0) } else { 0.0 }, samples: samples.len() }
    }

    /// Degrees of freedom a sample.
    pub fn freedom(&self) -> f64 {
        1.0 / (1.0 + self.correlation)
    }

    /// How much the samples speak for activity, in nats.
    pub fn evidence(&self) -> f64 {
        let ratio = self.ratio.max(1.0);
        0.5 * self.freedom() * self.samples as f64 * (ratio - 1.0 - libm::log(ratio))
    }
}

/// A change time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The first active sample.
    pub at: usize,
    /// Standard deviation about it, in samples.
    pub sd: f64,
    /// How much earlier the change lies in the mean over all times and rises: what rises slowly shows late.
    pub ahead: f64,
}

/// The likeliest change among `candidates` in `samples` (variance one at rest), which end in the activity.
///
/// # Panics
/// When there is no candidate, or one beyond the samples.
pub fn likeliest_change(samples: &[f64], candidates: Range<usize>, activity: Activity, rate_hz: f64) -> Change {
    let levels = cumulated_levels(samples, activity);
    let rises = std::iter::once((0.0, STEP_SHARE)).chain(RISES_S.map(|rise_s| (rise_s, (1.0 - STEP_SHARE) / RISES_S.len() as f64)));
    let mut logarithms = vec![Vec::with_capacity(candidates.len()); RISES_S.len() + 1];
    for ((rise_s, share), logarithms) in rises.zip(&mut logarithms) {
        // Level n holds while the amplitude is nearer to n/LEVELS than to its neighbours.
        let begins: [usize; LEVELS] = std::array::from_fn(|n| ((n as f64 + 0.5) / LEVELS as f64 * rise_s * rate_hz).round() as usize);
        let prior = libm::log(share);
        logarithms.extend(candidates.clone().map(|candidate| {
            let edge = |n: usize| begins.get(n).map_or(samples.len(), |begin| (candidate + begin).min(samples.len()));
            prior + (0..LEVELS).map(|n| levels[n][edge(n + 1)] - levels[n][edge(n)]).sum::<f64>()
        }));
    }
    let highest = logarithms.iter().flatten().fold(f64::NEG_INFINITY, |highest, next| highest.max(*next));
    let weight = |k: usize| logarithms.iter().map(|logarithms| libm::exp(logarithms[k] - highest)).sum::<f64>();
    let weights: Vec<f64> = (0..candidates.len()).map(weight).collect();
    let at = weights.iter().enumerate().fold((0, 0.0), |best, (k, weight)| if *weight > best.1 { (k, *weight) } else { best }).0;
    let total: f64 = weights.iter().sum();
    let ahead = weights.iter().enumerate().map(|(k, weight)| (at as f64 - k as f64) * weight).sum::<f64>() / total;
    let square = |k: usize| (k as f64 - at as f64) * (k as f64 - at as f64);
    let variance = weights.iter().enumerate().map(|(k, weight)| square(k) * weight).sum::<f64>() / total;
    // A change lies anywhere within its sample's width.
    Change { at: candidates.start + at, sd: (variance + 1.0 / 12.0).sqrt(), ahead }
}

/// Per level of a rise, the cumulated log-likelihood ratio of that level against rest.
fn cumulated_levels(samples: &[f64], activity: Activity) -> [Vec<f64>; LEVELS] {
    std::array::from_fn(|n| {
        let amplitude = (n + 1) as f64 / LEVELS as f64;
        let ratio = 1.0 + (activity.ratio - 1.0).max(1e-3) * amplitude * amplitude;
        let (half, slope, logarithm) = (0.5 * activity.freedom(), 1.0 - 1.0 / ratio, libm::log(ratio));
        let mut sum = 0.0;
        let increments = samples.iter().map(|sample| {
            sum += half * (sample * sample * slope - logarithm);
            sum
        });
        std::iter::once(0.0).chain(increments).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Noise;

    #[test]
    fn whitening_leaves_independent_samples_of_unit_variance() {
        let samples: VecDeque<f64> = Noise::new(1).band_limited(8000, 2000.0).into();
        let rest = Rest::of(&samples, 0..4000);
        let white = rest.whitened(&samples, 4000..8000).expect("there is noise");
        let activity = Activity::of(&white, 2000.0);
        assert!((activity.ratio - 1.0).abs() < 0.1, "{activity:?}");
        let band_limited: Vec<f64> = samples.range(4000..).copied().collect();
        assert!(activity.correlation < 0.7 * Activity::of(&band_limited, 2000.0).correlation);
        assert_eq!(Rest::default().whitened(&samples, 0..10), None);
    }

    #[test]
    fn rest_in_pieces_between_bursts_whitens_as_well() {
        for seed in 0..20 {
            let noise = Noise::new(seed).band_limited(8000, 2000.0);
            let burst = |at: usize| if at % 100 < 80 { 10.0 } else { 1.0 };
            let pieces: VecDeque<f64> = noise.iter().enumerate().map(|(at, sample)| burst(at) * sample).collect();
            let mut rest = Rest::of(&pieces, 80..100);
            (0..8000).filter(|at| at % 100 >= 80 + ORDER).for_each(|at| rest.learn(&pieces, at, 4000));
            let white = rest.whitened(&noise.into(), 4000..8000).expect("there is noise");
            let variance = Activity::of(&white, 2000.0).ratio;
            assert!((0.85..1.15).contains(&variance), "seed {seed}: {variance}");
        }
    }

    #[test]
    fn a_change_is_found_where_it_is() {
        let mut noise = Noise::new(2);
        let mut errors = Vec::new();
        let mut deviations = Vec::new();
        for _ in 0..200 {
            let samples: Vec<f64> = (0..1000).map(|k| noise.gaussian() * if k < 500 { 1.0 } else { 2.0 }).collect();
            let change = likeliest_change(&samples, 0..800, Activity::of(&samples[500..], 2000.0), 2000.0);
            errors.push((change.at as f64 - 500.0).powi(2));
            deviations.push(change.sd * change.sd);
        }
        let rms = |squares: &[f64]| (squares.iter().sum::<f64>() / squares.len() as f64).sqrt();
        let (error, deviation) = (rms(&errors), rms(&deviations));
        assert!(error < 10.0 && (1.0..4.0).contains(&(deviation / error)), "{error} for {deviation}");
    }
}
