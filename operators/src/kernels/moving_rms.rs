//! What is the root mean square over a trailing window?

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// A trailing sum of squares, summed anew once a window so that rounding never piles up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MovingRms {
    window: VecDeque<f64>,
    sum: f64,
    since_exact: usize,
}

impl MovingRms {
    /// Takes a square; the root mean square of the newest `samples`, of those there are at the start.
    pub fn push(&mut self, square: f64, samples: usize) -> f64 {
        self.sum += square;
        self.window.push_back(square);
        if self.window.len() > samples {
            self.sum -= self.window.pop_front().expect("the window is longer than one sample");
        }
        self.since_exact += 1;
        if self.since_exact >= samples {
            self.sum = self.window.iter().sum();
            self.since_exact = 0;
        }
        (self.sum.max(0.0) / self.window.len() as f64).sqrt()
    }

    /// How many samples it holds.
    pub fn len(&self) -> usize {
        self.window.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }
}
