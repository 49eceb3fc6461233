//! Is a channel worth looking at: flat, clipped, nothing but amplifier noise, or good?
//!
//! Judged causally at the end of every block of 50 ms over a trailing window, from the raw samples (flat, clipped) and the
//! band-passed ones (noise).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::kernels::emg::noise_correlation;
use crate::kernels::filter::Filter;

/// What a row says about its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quality {
    /// Nothing against it.
    Good,
    /// The session has just begun: filters and window are filling.
    Settling,
    /// Samples are missing: as [`Quality::Settling`], after a loss.
    Gap,
    /// Constant, or below the floor, for the last 250 ms.
    Flat,
    /// More than the allowed share of the window lies at a rail.
    Clipped,
    /// Over the whole window as white and as steady as an amplifier without a muscle.
    Noise,
}

impl Quality {
    /// As written in the quality column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Settling => "settling",
            Self::Gap => "gap",
            Self::Flat => "flat",
            Self::Clipped => "clipped",
            Self::Noise => "noise",
        }
    }
}

/// Seconds in a block.
const BLOCK_S: f64 = 0.05;
/// Blocks that `flat` is judged on.
const FLAT_BLOCKS: usize = 5;
/// Blocks before the first judgement.
const FIRST_BLOCKS: usize = 10;
/// Equal samples in a row that make a plateau: a peak of band-limited EMG bends by more than the tolerance over three samples.
const PLATEAU: usize = 3;
/// What counts as equal, as a share of the range.
const TOLERANCE: f64 = 1e-3;
/// Below this many quantisation steps of range, a plateau is the converter's resolution and no rail.
const STEPS: f64 = 16.0;

/// Thresholds, resolved when the step is planned.
#[derive(Clone, Debug)]
pub struct QualitySettings {
    block: usize,
    blocks: usize,
    floor_squared: f64,
    rail_share: f64,
    /// Correlation of neighbouring samples under which a spectrum counts as white.
    white_correlation: f64,
    /// Highest power of a block over the median one, under which a window counts as steady.
    steady_power_ratio: f64,
}

impl QualitySettings {
    /// `window_s` of trailing window, `floor_v` as RMS, `rail_share` of samples; `noise_frequency` is the mean-square frequency
    /// relative to white noise behind `filter` above which a spectrum counts as white, `noise_crest` the highest RMS of a block
    /// over the median below which a window counts as steady.
    pub fn new(
        filter: &Filter,
        rate_hz: f64,
        window_s: f64,
        floor_v: f64,
        rail_share: f64,
        noise_frequency: f64,
        noise_crest: f64,
    ) -> Self {
        let white = noise_correlation(filter, rate_hz, 2)[1].clamp(-1.0, 1.0);
        let block = ((rate_hz * BLOCK_S).round() as usize).max(4);
        let blocks = ((window_s / BLOCK_S).round() as usize).max(FIRST_BLOCKS);
        let white_correlation = libm::cos(noise_frequency * libm::acos(white));
        Self {
            block,
            blocks,
            floor_squared: floor_v * floor_v,
            rail_share,
            white_correlation,
            steady_power_ratio: noise_crest * noise_crest,
        }
    }
}

/// What a channel's judge remembers: the open block's samples and the window's block sums.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Monitor {
    quality: Quality,
    at_first: Quality,
    raw: Vec<f64>,
    power: f64,
    lagged: f64,
    last: f64,
    window: VecDeque<Block>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Block {
    /// Mean square of the filtered samples.
    power: f64,
    /// Mean product of neighbouring filtered samples.
    lagged: f64,
    lowest: f64,
    highest: f64,
    /// Smallest change between neighbouring raw samples that is not zero.
    step: f64,
    /// Samples on plateaus at the block's extremes.
    at_lowest: u32,
    at_highest: u32,
}

impl Monitor {
    /// At a session's start (`Settling`) or after a loss (`Gap`).
    pub fn new(quality: Quality) -> Self {
        Self { quality, at_first: quality, raw: Vec::new(), power: 0.0, lagged: 0.0, last: 0.0, window: VecDeque::new() }
    }

    /// Takes one sample, raw and filtered, and says what the channel is worth now.
    pub fn push(&mut self, settings: &QualitySettings, raw: f64, filtered: f64) -> Quality {
        self.power += filtered * filtered;
        self.lagged += filtered * self.last;
        self.last = filtered;
        self.raw.push(raw);
        if self.raw.len() == settings.block {
            self.close_block(settings);
        }
        self.quality
    }

    fn close_block(&mut self, settings: &QualitySettings) {
        let count = settings.block as f64;
        if self.window.len() == settings.blocks {
            self.window.pop_front();
        }
        self.window.push_back(block(&self.raw, self.power / count, self.lagged / count));
        self.raw.clear();
        (self.power, self.lagged) = (0.0, 0.0);
        if self.window.len() >= FLAT_BLOCKS && is_flat(self.window.range(self.window.len() - FLAT_BLOCKS..), settings) {
            self.quality = Quality::Flat;
        } else {
            self.quality = if self.window.len() < FIRST_BLOCKS {
                self.at_first
            } else if is_clipped(&self.window, settings) {
                Quality::Clipped
            } else if is_noise(&self.window, settings) {
                Quality::Noise
            } else {
                Quality::Good
            };
        }
    }
}

/// Share of samples on plateaus at a window's extremes; zero where the extremes are only few steps of the converter apart.
pub fn share_at_rails(raw: &[f64]) -> f64 {
    let Block { lowest, highest, step, at_lowest, at_highest, .. } = block(raw, 0.0, 0.0);
    let is_coarse = step.is_finite() && highest - lowest < STEPS * step;
    if is_coarse || lowest >= highest { 0.0 } else { f64::from(at_lowest + at_highest) / raw.len().max(1) as f64 }
}

fn block(raw: &[f64], power: f64, lagged: f64) -> Block {
    let (lowest, highest) = extremes(raw.iter().map(|value| (*value, *value)));
    let steps = raw.windows(2).map(|pair| (pair[1] - pair[0]).abs()).filter(|step| *step > 0.0);
    let tolerance = TOLERANCE * (highest - lowest);
    let at = |extreme: f64| {
        let runs = raw.chunk_by(|a, b| ((a - extreme).abs() <= tolerance) == ((b - extreme).abs() <= tolerance));
        runs.filter(|run| run.len() >= PLATEAU && (run[0] - extreme).abs() <= tolerance).map(|run| run.len() as u32).sum()
    };
    let (at_lowest, at_highest) = (at(lowest), at(highest));
    Block { power, lagged, lowest, highest, step: steps.fold(f64::INFINITY, f64::min), at_lowest, at_highest }
}

fn extremes(values: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value.0), high.max(value.1)))
}

fn is_flat<'a>(newest: impl Iterator<Item = &'a Block> + Clone, settings: &QualitySettings) -> bool {
    let (lowest, highest) = extremes(newest.clone().map(|block| (block.lowest, block.highest)));
    let power = newest.map(|block| block.power).sum::<f64>() / FLAT_BLOCKS as f64;
    lowest == highest || power < settings.floor_squared
}

fn is_clipped(window: &VecDeque<Block>, settings: &QualitySettings) -> bool {
    let (lowest, highest) = extremes(window.iter().map(|block| (block.lowest, block.highest)));
    let step = window.iter().fold(f64::INFINITY, |step, block| step.min(block.step));
    if step.is_finite() && highest - lowest < STEPS * step {
        return false;
    }
    let tolerance = TOLERANCE * (highest - lowest);
    let at_rails = window.iter().map(|block| {
        let low = if block.lowest - lowest <= tolerance { block.at_lowest } else { 0 };
        let high = if highest - block.highest <= tolerance { block.at_highest } else { 0 };
        low + high
    });
    f64::from(at_rails.sum::<u32>()) > settings.rail_share * (window.len() * settings.block) as f64
}

fn is_noise(window: &VecDeque<Block>, settings: &QualitySettings) -> bool {
    let power: f64 = window.iter().map(|block| block.power).sum();
    let lagged: f64 = window.iter().map(|block| block.lagged).sum();
    let mut powers: Vec<f64> = window.iter().map(|block| block.power).collect();
    powers.sort_by(f64::total_cmp);
    let (median, highest) = (powers[powers.len() / 2], powers[powers.len() - 1]);
    lagged < settings.white_correlation * power && highest < settings.steady_power_ratio * median
}
