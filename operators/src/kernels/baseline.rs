//! What is usual for this person? Mean and standard deviation over a session's first repetitions, and how often in a row it isn't.

use serde::{Deserialize, Serialize};

/// What is usual: known from before, or learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
}

/// A baseline on its way (Welford 1962): the first `wanted` values make it, and later ones no longer change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learner {
    count: u32,
    mean: f64,
    squares: f64,
}

impl Learner {
    /// The baseline, once it stands on `wanted` values, two at least.
    pub fn band(&self, wanted: u32) -> Option<Band> {
        let is_known = wanted >= 2 && self.count >= wanted;
        is_known.then(|| Band { mean: self.mean, sd: (self.squares / f64::from(self.count - 1)).sqrt() })
    }

    /// Takes a value, unless there are enough already.
    pub fn learn(&mut self, value: f64, wanted: u32) {
        if self.count < wanted && value.is_finite() {
            self.count += 1;
            let off = value - self.mean;
            self.mean += off / f64::from(self.count);
            self.squares += off * (value - self.mean);
        }
    }
}

/// Which of the newest judgements were true, the newest in the lowest bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent(u32);

impl Recent {
    /// Takes the next judgement.
    pub fn push(&mut self, is_true: bool) {
        self.0 = self.0 << 1 | u32::from(is_true);
    }

    /// How many of the newest `of` were true, of 32 at most.
    pub fn count(self, of: u32) -> u32 {
        let mask = if of >= 32 { u32::MAX } else { (1 << of) - 1 };
        (self.0 & mask).count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_values_are_the_baseline() {
        let mut learner = Learner::default();
        for value in [1.0, f64::NAN, 3.0, 100.0] {
            assert_eq!(learner.band(2).is_some(), value == 100.0);
            learner.learn(value, 2);
        }
        assert_eq!(learner.band(2), Some(Band { mean: 2.0, sd: 2.0_f64.sqrt() }));
        assert_eq!(Learner::default().band(0), None);
    }

    #[test]
    fn the_newest_judgements_are_counted() {
        let mut recent = Recent::default();
        [true, true, false, true, false, false].into_iter().for_each(|is_true| recent.push(is_true));
        assert_eq!([1, 3, 5, 32].map(|of| recent.count(of)), [0, 1, 2, 3]);
    }
}
