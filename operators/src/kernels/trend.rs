//! How fast does a value change, and how sure is that? A straight line by least squares, sample by sample.

use serde::{Deserialize, Serialize};

/// 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Sums over samples of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trend {
    /// Samples.
    pub count: u32,
    mean_x: f64,
    mean_y: f64,
    xx: f64,
    xy: f64,
    yy: f64,
}

/// A fitted line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Change of y by one of x.
    pub slope: f64,
    /// y at x = 0.
    pub intercept: f64,
    /// Half the width of the slope's 95 % confidence interval, for independent, normal deviations.
    pub slope_margin: f64,
}

impl Trend {
    /// Takes a sample (Welford 1962, for both at once).
    pub fn push(&mut self, x: f64, y: f64) {
        self.count += 1;
        let (from_x, from_y) = (x - self.mean_x, y - self.mean_y);
        self.mean_x += from_x / f64::from(self.count);
        self.mean_y += from_y / f64::from(self.count);
        self.xx += from_x * (x - self.mean_x);
        self.xy += from_x * (y - self.mean_y);
        self.yy += from_y * (y - self.mean_y);
    }

    /// The line through at least five samples.
    pub fn line(&self) -> Option<Line> {
        let freedom = self.count.checked_sub(2).filter(|freedom| *freedom >= 3 && self.xx > 0.0)?;
        let slope = self.xy / self.xx;
        let left = (self.yy - slope * self.xy).max(0.0) / f64::from(freedom);
        Some(Line { slope, intercept: self.mean_y - slope * self.mean_x, slope_margin: student_975(freedom) * (left / self.xx).sqrt() })
    }
}

/// 97.5 % quantile of Student's t, within 1 % from three degrees of freedom on (Abramowitz and Stegun 26.7.5).
pub fn student_975(freedom: u32) -> f64 {
    let nu = f64::from(freedom);
    let (z2, z3) = (Z * Z, Z * Z * Z);
    let (z5, z7) = (z3 * z2, z3 * z2 * z2);
    Z + (z3 + Z) / (4.0 * nu)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / (96.0 * nu * nu)
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * Z) / (384.0 * nu * nu * nu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_and_its_margin_are_those_of_the_textbook() {
        let mut trend = Trend::default();
        let samples = [(0.0, 1.0), (1.0, 3.1), (2.0, 4.9), (3.0, 7.2), (4.0, 8.8), (5.0, 11.0)];
        for (x, y) in samples {
            assert!(trend.count > 4 || trend.line().is_none());
            trend.push(x, y);
        }
        let line = trend.line().expect("six samples");
        // By hand: Sxy = 34.7, Sxx = 17.5, means 2.5 and 6; t(0.975, 4) = 2.776445 (tables).
        let (slope, intercept) = (34.7 / 17.5, 6.0 - 2.5 * 34.7 / 17.5);
        assert!((line.slope - slope).abs() < 1e-12 && (line.intercept - intercept).abs() < 1e-12, "{line:?}");
        let left: f64 = samples.iter().map(|(x, y)| (y - intercept - slope * x) * (y - intercept - slope * x)).sum();
        assert!((line.slope_margin / (2.776_445 * (left / 4.0 / 17.5).sqrt()) - 1.0).abs() < 4e-3, "{line:?}");
    }

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (freedom, due) in [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)] {
            assert!((student_975(freedom) / due - 1.0).abs() < 0.01, "{freedom}");
        }
    }
}
