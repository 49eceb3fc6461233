//! What would a person answer to parameters that were not tried yet? A Gaussian process over the parameters and time (Rasmussen and Williams
//! 2006, algorithm 2.1), in which what was long ago counts less (Bogunovic, Scarlett and Cevher 2016).

/// How far a parameter may move, as a share of its safe range, until answers are hardly alike.
const LENGTH: f64 = 0.5;
/// Time in which what was seen loses most of its weight, in days.
const MEMORY_DAYS: f64 = 42.0;

/// What one session showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Where each parameter stood in its safe range: 0 is the easiest, 1 the hardest.
    pub at: Vec<f64>,
    /// When, in days.
    pub day: f64,
    /// The answer.
    pub value: f64,
    /// How uncertain it is, as a variance.
    pub variance: f64,
}

/// What is believed before anything was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Before {
    /// The answer to the easiest parameters.
    pub easiest: f64,
    /// And to the hardest; between them it is taken to change evenly.
    pub hardest: f64,
    /// Standard deviation of that.
    pub sd: f64,
}

/// What is expected of parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// The mean.
    pub mean: f64,
    /// Its standard deviation.
    pub sd: f64,
}

/// What was seen, ready to be asked.
#[derive(Clone, Debug)]
pub struct Response {
    seen: Vec<Seen>,
    before: Before,
    /// The Cholesky factor of the covariance of what was seen, row by row.
    lower: Vec<Vec<f64>>,
    /// The covariance's inverse times what was seen beyond what was believed.
    weights: Vec<f64>,
}

impl Response {
    /// Takes in what was seen; each `variance` must be above zero.
    pub fn new(seen: Vec<Seen>, before: Before) -> Self {
        let mut lower: Vec<Vec<f64>> = Vec::with_capacity(seen.len());
        for (a, one) in seen.iter().enumerate() {
            let with: Vec<f64> = seen[..=a].iter().map(|other| before.covariance((&one.at, one.day), (&other.at, other.day))).collect();
            let mut row = forward(&lower, &with[..a]);
            let left = with[a] + one.variance - row.iter().map(|part| part * part).sum::<f64>();
            // The noise keeps it positive; rounding takes less than a millionth.
            row.push(left.max(1e-6 * one.variance).sqrt());
            lower.push(row);
        }
        let off: Vec<f64> = seen.iter().map(|one| one.value - before.mean(&one.at)).collect();
        let mut weights = forward(&lower, &off);
        for a in (0..weights.len()).rev() {
            let known: f64 = (a + 1..weights.len()).map(|b| lower[b][a] * weights[b]).sum();
            weights[a] = (weights[a] - known) / lower[a][a];
        }
        Self { seen, before, lower, weights }
    }

    /// What is expected of parameters on a day.
    pub fn expect(&self, at: &[f64], day: f64) -> Expected {
        let with: Vec<f64> = self.seen.iter().map(|one| self.before.covariance((at, day), (&one.at, one.day))).collect();
        let mean = self.before.mean(at) + with.iter().zip(&self.weights).map(|(with, weight)| with * weight).sum::<f64>();
        let known: f64 = forward(&self.lower, &with).iter().map(|part| part * part).sum();
        Expected { mean, sd: (self.before.sd * self.before.sd - known).max(0.0).sqrt() }
    }
}

impl Before {
    fn mean(&self, at: &[f64]) -> f64 {
        let hardness = at.iter().sum::<f64>() / at.len() as f64;
        self.easiest + (self.hardest - self.easiest) * hardness
    }

    fn covariance(&self, a: (&[f64], f64), b: (&[f64], f64)) -> f64 {
        let apart: f64 = a.0.iter().zip(b.0).map(|(a, b)| (a - b) * (a - b)).sum::<f64>() / a.0.len() as f64;
        self.sd * self.sd * libm::exp(-0.5 * apart / (LENGTH * LENGTH) - (a.1 - b.1).abs() / MEMORY_DAYS)
    }
}

/// Solves the lower triangle for the first values of the right side.
fn forward(lower: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut solved: Vec<f64> = Vec::with_capacity(right.len() + 1);
    for (row, value) in lower.iter().zip(right) {
        let known: f64 = row.iter().zip(&solved).map(|(part, solved)| part * solved).sum();
        solved.push((value - known) / row[solved.len()]);
    }
    solved
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Before = Before { easiest: 1.0, hardest: 0.0, sd: 0.5 };

    fn seen(at: f64, day: f64, value: f64) -> Seen {
        Seen { at: vec![at], day, value, variance: 1e-4 }
    }

    #[test]
    fn what_was_seen_is_expected_and_what_was_not_is_uncertain() {
        let nothing = Response::new(Vec::new(), BEFORE).expect(&[0.25], 0.0);
        assert_eq!((nothing.mean, nothing.sd), (0.75, 0.5));
        let response = Response::new(vec![seen(0.2, 0.0, 0.5), seen(0.4, 1.0, 0.3)], BEFORE);
        let [here, near, far] = [0.4, 0.5, 1.0].map(|at| response.expect(&[at], 1.0));
        assert!((here.mean - 0.3).abs() < 0.01 && here.sd < 0.02, "{here:?}");
        assert!(near.sd > here.sd && far.sd > 2.0 * near.sd, "{near:?} {far:?}");
        let later = response.expect(&[0.4], 100.0);
        assert!(later.sd > 0.45 && later.mean > 0.5, "after months it is nearly as before: {later:?}");
    }

    #[test]
    fn it_is_the_textbook_posterior_of_two_points() {
        // By hand: k = [[a, b], [b, a]] with a = s² + noise.
        let response = Response::new(vec![seen(0.0, 0.0, 1.2), seen(0.5, 0.0, 0.4)], BEFORE);
        let k = |apart: f64| 0.25 * libm::exp(-0.5 * apart * apart / 0.25);
        let (a, b) = (0.25 + 1e-4, k(0.5));
        let (u, v) = (0.2, -0.1);
        let determinant = a * a - b * b;
        let weights = [(a * u - b * v) / determinant, (a * v - b * u) / determinant];
        let with = [k(0.3), k(0.2)];
        let mean = 0.7 + with[0] * weights[0] + with[1] * weights[1];
        let known = (a * (with[0] * with[0] + with[1] * with[1]) - 2.0 * b * with[0] * with[1]) / determinant;
        let found = response.expect(&[0.3], 0.0);
        assert!((found.mean - mean).abs() < 1e-12 && (found.sd - (0.25 - known).sqrt()).abs() < 1e-12, "{found:?}");
    }
}
