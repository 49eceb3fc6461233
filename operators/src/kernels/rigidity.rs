//! Do the markers of a segment keep their distances? A label on the wrong marker, or a marker that slid, shows there.

use serde::{Deserialize, Serialize};

/// How many pairs of markers a segment has at most.
pub const PAIRS: usize = 6;
/// The mean distances follow the newest so many frames, so that a bad start is forgotten.
const HORIZON: u32 = 1000;

/// Mean distances between the markers of one segment, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rigidity {
    mean_m: [f64; PAIRS],
    frames: u32,
}

impl Rigidity {
    /// Takes a frame's distances, always the same pairs; gives their root mean square deviation from the means before.
    pub fn residual_m(&mut self, distances_m: &[f64]) -> f64 {
        let pairs = distances_m.iter().zip(&mut self.mean_m);
        self.frames = (self.frames + 1).min(HORIZON);
        let weight = 1.0 / f64::from(self.frames);
        let mut squares = 0.0;
        for (distance, mean) in pairs {
            if self.frames == 1 {
                *mean = *distance;
            }
            let deviation = distance - *mean;
            squares += deviation * deviation;
            *mean += weight * deviation;
        }
        (squares / distances_m.len() as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_that_jumps_leaves_a_residual() {
        let mut rigidity = Rigidity::default();
        assert_eq!(rigidity.residual_m(&[0.2, 0.3, 0.4]), 0.0);
        assert_eq!(rigidity.residual_m(&[0.2, 0.3, 0.4]), 0.0);
        let residual = rigidity.residual_m(&[0.2, 0.33, 0.44]);
        assert!((residual - (0.0025f64 / 3.0).sqrt()).abs() < 1e-12, "{residual}");
    }

    #[test]
    fn a_bad_start_is_forgotten() {
        let mut rigidity = Rigidity::default();
        rigidity.residual_m(&[0.5]);
        let last = (0..20).map(|_| rigidity.residual_m(&[0.2])).last();
        assert!(last.is_some_and(|residual| residual < 0.02), "{last:?}");
    }
}
