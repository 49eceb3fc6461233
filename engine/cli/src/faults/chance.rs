//! What does chance decide? The same for the same seed, on every machine.

use proprio_simulate::Random;

/// A stream of decisions.
#[derive(Clone, Debug)]
pub struct Chance(Random);

impl Chance {
    /// Of a seed and of what it is for, so that one kind of event does not shift another.
    pub fn new(seed: u64, purpose: &str) -> Self {
        Self(Random::new(seed, purpose))
    }

    /// From 0 to 1.
    pub fn share(&mut self) -> f64 {
        self.0.uniform()
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// A whole number from `from` to `to`, both included.
    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + (self.0.bits() % (to - from + 1) as u64) as i64
    }

    /// An index below `length`.
    pub fn index(&mut self, length: usize) -> usize {
        (self.0.bits() % length as u64) as usize
    }

    /// About |N(0, 1)|: the sum of twelve uniform numbers.
    pub fn half_normal(&mut self) -> f64 {
        ((0..12).map(|_| self.share()).sum::<f64>() - 6.0).abs()
    }
}
