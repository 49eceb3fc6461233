//! What is normal, as a user's table says it: a curve of each gait variable, and how far the table's own people lie from it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::baseline;
use super::gait_score::{Band, POINTS};

/// A norm: a value every 2 % of the cycle (51), or every 1 % (101).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Norm {
    /// Mean, in degrees.
    mean: Vec<f64>,
    /// Standard deviation, in degrees.
    #[serde(default)]
    sd: Vec<f64>,
}

impl Norm {
    /// Whether it has as many values as it should, all of them numbers.
    pub fn fits(&self) -> bool {
        let fits = |values: &[f64]| matches!(values.len(), POINTS | 101) && values.iter().all(|value| value.is_finite());
        fits(&self.mean) && (self.sd.is_empty() || fits(&self.sd))
    }

    /// At [`POINTS`] points.
    pub fn band(&self) -> Band {
        let thin = |values: &[f64]| values.iter().step_by(if values.len() == POINTS { 1 } else { 2 }).copied().collect();
        Band { mean: thin(&self.mean), sd: thin(&self.sd) }
    }
}

/// How far the table's own people lie from it: ln of their profile scores in degrees.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Mean of ln(`gps_deg`).
    pub log_mean: f64,
    /// Its standard deviation.
    pub log_sd: f64,
}

impl Spread {
    /// Whether it is one.
    pub fn fits(&self) -> bool {
        self.log_mean.is_finite() && self.log_sd > 0.0 && self.log_sd.is_finite()
    }

    /// As mean and standard deviation.
    pub const fn band(&self) -> baseline::Band {
        baseline::Band { mean: self.log_mean, sd: self.log_sd }
    }
}

/// 100 − 10·z of the logarithm of a profile score among those of the reference (Schwartz and Rozumalski 2008); NaN where either says
/// nothing.
pub fn deviation_index(log_score: f64, reference: baseline::Band) -> f64 {
    let index = 100.0 - 10.0 * (log_score - reference.mean) / reference.sd;
    if index.is_finite() { index } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_points_are_a_standard_deviation() {
        let reference = Spread { log_mean: 1.5, log_sd: 0.2 };
        assert!(reference.fits() && (deviation_index(1.9, reference.band()) - 80.0).abs() < 1e-9);
        assert!((deviation_index(1.3, reference.band()) - 110.0).abs() < 1e-9);
        assert!(deviation_index(f64::NEG_INFINITY, reference.band()).is_nan());
        assert!(deviation_index(1.0, baseline::Band { mean: 1.0, sd: 0.0 }).is_nan());
        assert!(!Spread { log_mean: 1.0, log_sd: 0.0 }.fits());
    }

    #[test]
    fn a_norm_is_thinned_to_the_points() {
        let norm = Norm { mean: (0..101).map(f64::from).collect(), sd: Vec::new() };
        assert!(norm.fits() && norm.band().mean.len() == POINTS && norm.band().mean[50] == 100.0);
        assert!(!Norm { mean: vec![0.0; 50], sd: Vec::new() }.fits());
        assert!(!Norm { mean: vec![f64::NAN; 51], sd: Vec::new() }.fits());
    }
}
