//! Which parameters come next, within a declared safe range? Every combination a few steps away is looked at, and the hardest one that is
//! likely to be done well and tolerated is proposed (safe exploration, Sui et al. 2015).
//!
//! Parameters move in steps (a weight of 2.5 kg, one repetition), so there are few thousand neighbours at most: looking at all of them is
//! exact and gives the same bytes, which a continuous optimiser with rounding behind it is not and does not.

use super::response::{Expected, Response};

/// The most parameters of a prescription.
pub const MAX_PARAMETERS: usize = 6;
/// The most steps of one proposal.
pub const MAX_STEPS: u32 = 2;

/// Where a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SafeRange {
    /// The least value.
    pub from: f64,
    /// The greatest value.
    pub to: f64,
    /// What one step is.
    pub step: f64,
    /// How many steps a proposal may take.
    pub steps: u32,
    /// Whether greater is harder.
    pub is_harder_up: bool,
}

impl SafeRange {
    /// Where a value stands: 0 is the easiest, 1 the hardest.
    pub fn hardness(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        if self.is_harder_up { share } else { 1.0 - share }
    }

    /// Whether a value is within.
    pub fn holds(&self, value: f64) -> bool {
        (self.from..=self.to).contains(&value)
    }

    /// The values that a proposal may take from one, the nearest first.
    fn around(&self, value: f64) -> Vec<f64> {
        let mut values = vec![value];
        for count in 1..=self.steps {
            for sign in [1.0, -1.0] {
                let next = (value + sign * f64::from(count) * self.step).clamp(self.from, self.to);
                if !values.contains(&next) {
                    values.push(next);
                }
            }
        }
        values
    }
}

/// An answer that must stay on one side of a limit.
#[derive(Clone, Debug)]
pub struct Limited {
    /// What is known of it.
    pub response: Response,
    /// The limit.
    pub limit: f64,
    /// Whether the answer must stay above it, else below.
    pub is_least: bool,
}

/// A choice, and what is expected of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// By parameter.
    pub values: Vec<f64>,
    /// By answer.
    pub expected: Vec<Expected>,
    /// Whether every answer keeps its limit by the caution that was asked for.
    pub is_safe: bool,
}

/// Chooses among the neighbours of `now`: of those whose every answer keeps its limit by `caution` standard deviations the hardest; where none
/// does, the one that comes nearest to it, and it is no harder than `now`. Equally good ones: the one that changes least.
pub fn choose(ranges: &[SafeRange], now: &[f64], answers: &[Limited], caution: f64, day: f64) -> Choice {
    let around: Vec<Vec<f64>> = ranges.iter().zip(now).map(|(range, value)| range.around(*value)).collect();
    let hardness = |values: &[f64]| ranges.iter().zip(values).map(|(range, value)| range.hardness(*value)).sum::<f64>();
    let of_now = hardness(now);
    let mut best: Option<(Choice, [f64; 3])> = None;
    for values in combinations(&around) {
        let at: Vec<f64> = ranges.iter().zip(&values).map(|(range, value)| range.hardness(*value)).collect();
        let expected: Vec<Expected> = answers.iter().map(|answer| answer.response.expect(&at, day)).collect();
        let margin =
            answers.iter().zip(&expected).map(|(answer, expected)| answer.margin(*expected, caution)).fold(f64::INFINITY, f64::min);
        let (is_safe, hard) = (margin >= 0.0, hardness(&values));
        if !is_safe && hard > of_now + 1e-9 {
            continue;
        }
        let changed = values.iter().zip(now).filter(|(value, now)| value != now).count() as f64;
        // What counts, in order; a safe one is better than any other.
        let worth = if is_safe { [1.0, hard, -changed] } else { [0.0, margin, -changed] };
        let is_better = best
            .as_ref()
            .is_none_or(|(_, least)| worth.iter().zip(least).find(|(a, b)| (*a - *b).abs() > 1e-9).is_some_and(|(a, b)| a > b));
        if is_better {
            best = Some((Choice { values, expected, is_safe }, worth));
        }
    }
    best.expect("what stands now is among the neighbours, and no harder than itself").0
}

impl Limited {
    /// How far the answer keeps from its limit, in its standard deviations beyond the caution; negative where it doesn't.
    fn margin(&self, expected: Expected, caution: f64) -> f64 {
        let off = if self.is_least { expected.mean - self.limit } else { self.limit - expected.mean };
        off / expected.sd.max(1e-9) - caution
    }
}

/// Every combination of one value a parameter, the nearest first.
fn combinations(around: &[Vec<f64>]) -> Vec<Vec<f64>> {
    around.iter().fold(vec![Vec::new()], |before, values| {
        let with = |one: &Vec<f64>| -> Vec<Vec<f64>> { values.iter().map(|value| one.iter().copied().chain([*value]).collect()).collect() };
        before.iter().flat_map(with).collect()
    })
}
