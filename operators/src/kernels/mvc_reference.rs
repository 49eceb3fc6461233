//! What is 100 % of a muscle? Learned from maximal contractions, or from the peaks of strides.

use serde::{Deserialize, Serialize};

use super::moving_rms::MovingRms;

/// A contraction begins at this many times the least moving RMS seen, and that is at least this, in volts.
const RISE: f64 = 4.0;
const LEAST_REST_V: f64 = 0.5e-6;
/// It ends below this share of its peak.
const FALL: f64 = 0.3;
/// One that stays below this share of the highest was no attempt at a maximum.
const ATTEMPT: f64 = 0.5;
/// The second-highest contraction is at least this share of the highest in a good reference.
const REPEATED: f64 = 0.9;
/// The peaks of strides scatter by no more than this share of their mean in a good reference.
const SCATTER: f64 = 0.3;
/// How many peaks are remembered at most: of too many weak attempts the oldest go.
const MOST_PEAKS: usize = 100;

/// What 100 % is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// In volts.
    pub volts: f64,
    /// How good it is.
    pub quality: Quality,
}

/// How good a reference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quality {
    /// It was given.
    Given,
    /// Its contractions or strides agree.
    Good,
    /// They don't.
    Variable,
}

impl Quality {
    /// As written in the quality column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Good => "good",
            Self::Variable => "variable",
        }
    }
}

/// Learns from the highest moving RMS of contractions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Contractions {
    rms: MovingRms,
    lowest: Option<f64>,
    /// The highest of the contraction that is under way.
    current: Option<f64>,
    peaks: Vec<f64>,
}

impl Contractions {
    /// Takes a sample of an envelope, or NaN; the reference once `count` contractions have ended.
    pub fn push(&mut self, envelope: f64, samples: usize, count: usize) -> Option<Reference> {
        if !envelope.is_finite() {
            (self.rms, self.current) = (MovingRms::default(), None);
            return None;
        }
        let rms = self.rms.push(envelope * envelope, samples);
        if self.rms.len() < samples {
            return None;
        }
        let lowest = self.lowest.map_or(rms, |lowest| lowest.min(rms)).max(LEAST_REST_V);
        self.lowest = Some(lowest);
        let highest = self.peaks.iter().fold(0.0, |highest: f64, peak| highest.max(*peak));
        match self.current {
            Some(peak) if rms < FALL * peak => {
                self.current = None;
                self.peaks.push(peak);
                self.peaks.drain(..self.peaks.len().saturating_sub(MOST_PEAKS));
                return self.reference(count);
            }
            Some(peak) => self.current = Some(peak.max(rms)),
            None if rms >= (RISE * lowest).max(ATTEMPT * highest) => self.current = Some(rms),
            None => {}
        }
        None
    }

    fn reference(&self, count: usize) -> Option<Reference> {
        let mut peaks = self.peaks.clone();
        peaks.sort_by(f64::total_cmp);
        let highest = *peaks.last()?;
        let attempts = peaks.iter().filter(|peak| **peak >= ATTEMPT * highest).count();
        let is_repeated = peaks.len() < 2 || peaks[peaks.len() - 2] >= REPEATED * highest;
        let quality = if is_repeated { Quality::Good } else { Quality::Variable };
        (attempts >= count).then_some(Reference { volts: highest, quality })
    }
}

/// Learns from the highest envelope of every stride.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Peaks {
    highest: f64,
    is_broken: bool,
    peaks: Vec<f64>,
}

impl Peaks {
    /// Takes a sample of the stride under way, or NaN.
    pub fn push(&mut self, envelope: f64) {
        if envelope.is_finite() {
            self.highest = self.highest.max(envelope);
        } else {
            self.is_broken = true;
        }
    }

    /// The stride under way ends here, and counts where it `is_stride` and is whole; the reference once `count` have.
    pub fn end(&mut self, is_stride: bool, count: usize) -> Option<Reference> {
        let (highest, is_broken) = (std::mem::take(&mut self.highest), std::mem::take(&mut self.is_broken));
        if !is_stride || is_broken || highest <= 0.0 {
            return None;
        }
        self.peaks.push(highest);
        if self.peaks.len() < count {
            return None;
        }
        let count = self.peaks.len() as f64;
        let mean = self.peaks.iter().sum::<f64>() / count;
        let variance = self.peaks.iter().map(|peak| (peak - mean) * (peak - mean)).sum::<f64>() / count;
        let quality = if variance.sqrt() <= SCATTER * mean { Quality::Good } else { Quality::Variable };
        Some(Reference { volts: mean, quality })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At 100 samples a second, contractions of one second at these levels, a second apart.
    fn learned(levels: &[f64]) -> Option<Reference> {
        let mut contractions = Contractions::default();
        let rest = std::iter::repeat_n(4e-6, 100);
        let samples = rest.clone().chain(levels.iter().flat_map(|level| std::iter::repeat_n(*level, 100).chain(rest.clone())));
        samples.fold(None, |found, sample| found.or(contractions.push(sample, 50, 3)))
    }

    #[test]
    fn the_highest_of_three_contractions_is_the_maximum() {
        let close = |levels: &[f64], volts: f64, quality: Quality| {
            let reference = learned(levels).expect("three contractions");
            assert!((reference.volts / volts - 1.0).abs() < 1e-9 && reference.quality == quality, "{reference:?}");
        };
        close(&[200e-6, 210e-6, 205e-6], 210e-6, Quality::Good);
        close(&[200e-6, 150e-6, 120e-6], 200e-6, Quality::Variable);
        // A warming-up is no attempt.
        close(&[50e-6, 200e-6, 40e-6, 190e-6, 195e-6], 200e-6, Quality::Good);
        assert_eq!(learned(&[200e-6, 200e-6]), None);
        assert_eq!(learned(&[8e-6; 5]), None);
    }

    #[test]
    fn the_mean_peak_of_whole_strides_is_the_dynamic_peak() {
        let mut peaks = Peaks::default();
        let mut stride = |highest: f64, is_stride: bool| {
            [0.1, highest, 0.2].into_iter().for_each(|part| peaks.push(part));
            peaks.end(is_stride, 3)
        };
        assert_eq!([stride(1.0, true), stride(f64::NAN, true), stride(9.0, false), stride(2.0, true)], [None; 4]);
        assert_eq!(stride(3.0, true), Some(Reference { volts: 2.0, quality: Quality::Variable }));
    }
}
