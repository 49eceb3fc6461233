//! What is in a window of EMG that isn't muscle: hum, movement, the heart, a neighbour, a rail?
//!
//! Everything is a share of power or of samples, over one window that is looked at as a whole.

use std::collections::VecDeque;
use std::f64::consts::TAU;

use crate::kernels::filter::Filter;

/// The mains frequencies of the world, in hertz.
pub const MAINS_HZ: [f64; 2] = [50.0, 60.0];
/// Up to where harmonics of the mains are looked for.
const HIGHEST_HARMONIC_HZ: f64 = 450.0;
/// Bins beside a harmonic, in hertz, that say what the spectrum holds there without hum.
const BESIDE_HZ: [f64; 4] = [-3.0, -2.0, 2.0, 3.0];
/// The band of a heart beat's spike in surface EMG, in hertz, and half its width in seconds.
const SPIKE_HZ: [f64; 2] = [5.0, 30.0];
const SPIKE_S: f64 = 0.06;
/// Times between beats, in seconds: 2 to 0.8 Hz. How much they may scatter, relative to their mean.
const BEAT_S: [f64; 2] = [0.5, 1.25];
const BEAT_SCATTER: f64 = 0.15;
/// How much of the energy around the beats must be the same in all of them.
const BEAT_LIKENESS: f64 = 0.6;
/// Beats that make a rhythm.
const BEATS: usize = 3;
/// Percentiles of a channel's blocks that are rest and activity.
const REST: f64 = 0.05;
const ACTIVE: f64 = 0.95;
/// Blocks of flatness, and how many in a row make a stretch.
const FLAT_BLOCK_S: f64 = 0.05;
const FLAT_BLOCKS: usize = 5;

/// Least power, (0.1 nV)², below any amplifier's: what rounding leaves of a constant.
pub const LEAST_POWER: f64 = 1e-20;

/// Share of the power, mean taken off, that hum and its harmonics hold: of the mains frequency for which that is more.
pub fn powerline_share(samples: &[f64], mains_hz: &[f64], rate_hz: f64) -> f64 {
    let second = rate_hz.round() as usize;
    let mean = samples.iter().sum::<f64>() / samples.len().max(1) as f64;
    let power = samples.iter().map(|sample| (sample - mean) * (sample - mean)).sum::<f64>() / samples.len().max(1) as f64;
    if power < LEAST_POWER || samples.len() < second {
        return 0.0;
    }
    let seconds = samples.chunks_exact(second);
    let count = seconds.len() as f64;
    let at = |hertz: f64| seconds.clone().map(|second| tone_power(second, mean, hertz / rate_hz)).sum::<f64>() / count;
    let hum = |mains: &f64| {
        let highest = HIGHEST_HARMONIC_HZ.min(0.45 * rate_hz);
        let harmonics = (1..).map(|n| f64::from(n) * mains).take_while(|hertz| *hertz <= highest);
        harmonics.map(|hertz| at(hertz) - BESIDE_HZ.iter().map(|beside| at(hertz + beside)).sum::<f64>() / 4.0).sum::<f64>()
    };
    mains_hz.iter().map(|mains| hum(mains) / power).fold(0.0, f64::max).min(1.0)
}

/// Power of the sine of this frequency, in cycles a sample (Goertzel).
fn tone_power(samples: &[f64], mean: f64, frequency: f64) -> f64 {
    let angle = TAU * frequency;
    let twice = 2.0 * libm::cos(angle);
    let (mut last, mut before) = (0.0, 0.0);
    for sample in samples {
        (last, before) = (sample - mean + twice * last - before, last);
    }
    let count = samples.len() as f64;
    2.0 * (last * last + before * before - twice * last * before) / (count * count)
}

/// Mean square of a filtered signal whose filter has settled over the first `skip` samples.
pub fn power(filtered: &[f64], skip: usize) -> f64 {
    let settled = &filtered[skip.min(filtered.len())..];
    settled.iter().map(|value| value * value).sum::<f64>() / settled.len().max(1) as f64
}

/// A window, less its first sample, through a filter that begins at rest: for filters that take the mean away.
pub fn filtered(samples: &[f64], filter: &Filter) -> Vec<f64> {
    filtered_from(samples, samples.first().copied().unwrap_or(0.0), filter)
}

/// A window, less an offset, through a filter that begins at rest.
pub fn filtered_from(samples: &[f64], offset: f64, filter: &Filter) -> Vec<f64> {
    let mut state = filter.start();
    samples.iter().map(|sample| filter.step(&mut state, sample - offset)).collect()
}

/// What heart beats are found by.
pub fn spike_filter(rate_hz: f64) -> Filter {
    Filter::band_pass(2, SPIKE_HZ[0], SPIKE_HZ[1], rate_hz)
}

/// Mean square of a spike that repeats like a heart beat, and its rate in hertz; `None` where nothing does. `spikes` is the window
/// behind [`spike_filter`].
pub fn heart_beat(spikes: &[f64], rate_hz: f64) -> Option<(f64, f64)> {
    let half = (SPIKE_S * rate_hz) as usize;
    let refractory = (BEAT_S[0] * rate_hz) as usize;
    let at = peaks(spikes, half, refractory);
    if at.len() < BEATS {
        return None;
    }
    let intervals: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / rate_hz).collect();
    let mean = intervals.iter().sum::<f64>() / intervals.len() as f64;
    let is_beat = |interval: &f64| (interval - mean).abs() <= BEAT_SCATTER * mean;
    if !(BEAT_S[0]..=BEAT_S[1]).contains(&mean) || !intervals.iter().all(is_beat) {
        return None;
    }
    let template: Vec<f64> = (0..=2 * half).map(|k| at.iter().map(|peak| spikes[peak + k - half]).sum::<f64>() / at.len() as f64).collect();
    let common = template.iter().map(|value| value * value).sum::<f64>() * at.len() as f64;
    let all: f64 = at.iter().flat_map(|peak| &spikes[peak - half..=peak + half]).map(|value| value * value).sum();
    (common > BEAT_LIKENESS * all).then(|| (common / spikes.len() as f64, 1.0 / mean))
}

/// The largest absolute values at least `refractory` apart, above half of the typical largest one.
fn peaks(spikes: &[f64], half: usize, refractory: usize) -> Vec<usize> {
    if spikes.len() <= 2 * half + refractory {
        return Vec::new();
    }
    let mut highest: Vec<f64> = spikes.chunks(2 * refractory).map(|chunk| chunk.iter().fold(0.0, |most, x| x.abs().max(most))).collect();
    highest.sort_by(f64::total_cmp);
    let threshold = 0.5 * highest[highest.len() / 2];
    let mut found: Vec<usize> = Vec::new();
    for at in half..spikes.len() - half {
        let height = spikes[at].abs();
        if height <= threshold {
            continue;
        }
        match found.last_mut() {
            Some(last) if at - *last < refractory => {
                if height > spikes[*last].abs() {
                    *last = at;
                }
            }
            _ => found.push(at),
        }
    }
    found
}

/// The largest absolute correlation of two signals of one length over lags up to `lags` samples either way.
pub fn correlation(a: &[f64], b: &[f64], lags: usize) -> f64 {
    let energy = |x: &[f64]| x.iter().map(|value| value * value).sum::<f64>();
    let scale = (energy(a) * energy(b)).sqrt();
    if scale < LEAST_POWER {
        return 0.0;
    }
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lags = 0..=lags.min(a.len().min(b.len()).saturating_sub(1));
    lags.map(|lag| product(&a[lag..], b).abs().max(product(a, &b[lag..]).abs())).fold(0.0, f64::max) / scale
}

/// Every missing sample at the value before it; at the first one's where none is before.
pub fn held(mut raw: Vec<f64>) -> Vec<f64> {
    let mut last = raw.iter().copied().find(|sample| sample.is_finite()).unwrap_or(0.0);
    for sample in &mut raw {
        if sample.is_finite() {
            last = *sample;
        } else {
            *sample = last;
        }
    }
    raw
}

/// 20·log10 of the active over the resting RMS; `None` for a channel that is dead at rest.
pub fn snr_db(blocks: &VecDeque<f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = blocks.iter().copied().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted.get((share * (sorted.len().max(1) - 1) as f64).round() as usize).copied().unwrap_or(0.0);
    (at(REST) > 0.0).then(|| 20.0 * libm::log10(at(ACTIVE) / at(REST)))
}

/// Share of blocks that lie in stretches of constant samples, or of samples below the floor.
pub fn flat_share(raw: &[f64], banded: &[f64], floor: f64, rate_hz: f64) -> f64 {
    let block = (FLAT_BLOCK_S * rate_hz) as usize;
    let is_flat = |(raw, banded): (&[f64], &[f64])| raw.iter().all(|x| *x == raw[0]) || power(banded, 0).sqrt() < floor;
    let flat: Vec<bool> = raw.chunks_exact(block).zip(banded.chunks_exact(block)).map(is_flat).collect();
    let stretches = flat.chunk_by(|a, b| a == b).filter(|stretch| stretch[0] && stretch.len() >= FLAT_BLOCKS);
    stretches.map(<[bool]>::len).sum::<usize>() as f64 / flat.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Noise;

    const RATE_HZ: f64 = 2000.0;

    fn muscle(seed: u64) -> Vec<f64> {
        Noise::new(seed).band_limited(10_000, RATE_HZ)
    }

    #[test]
    fn hum_is_the_share_that_was_added() {
        let hum = |hertz: f64| (0..10_000).map(move |k| libm::sin(TAU * hertz * f64::from(k) / RATE_HZ));
        let with = |hertz: f64, gain: f64| muscle(1).iter().zip(hum(hertz)).map(|(x, h)| x + gain * h).collect::<Vec<_>>();
        assert!(powerline_share(&muscle(1), &MAINS_HZ, RATE_HZ) < 0.03);
        for hertz in [50.05, 60.0, 150.0] {
            let share = powerline_share(&with(hertz, 2.0_f64.sqrt()), &MAINS_HZ, RATE_HZ);
            assert!((share - 0.5).abs() < 0.04, "{hertz} Hz: {share}");
        }
        assert_eq!(powerline_share(&[1.0; 4000], &MAINS_HZ, RATE_HZ), 0.0);
    }

    #[test]
    fn a_heart_is_told_from_a_muscle() {
        let beat = |k: usize| {
            let since = (k % 1600) as f64 / RATE_HZ - 0.4;
            8.0 * libm::exp(-since * since / (2.0 * 0.012 * 0.012))
        };
        let spikes = |samples: Vec<f64>| filtered(&samples, &spike_filter(RATE_HZ));
        let (power, rate_hz) =
            heart_beat(&spikes(muscle(2).iter().enumerate().map(|(k, x)| x + beat(k)).collect()), RATE_HZ).expect("a heart");
        assert!((rate_hz - 1.25).abs() < 0.02 && power > 0.1, "{rate_hz} {power}");
        let walking = |k: usize| if k % 2000 < 700 { 6.0 } else { 1.0 };
        for seed in 3..23 {
            let samples = muscle(seed).iter().enumerate().map(|(k, x)| x * walking(k)).collect();
            assert_eq!(heart_beat(&spikes(samples), RATE_HZ), None, "{seed}");
        }
    }

    #[test]
    fn crosstalk_is_found_at_a_small_lag() {
        let (a, b) = (muscle(30), muscle(31));
        assert!(correlation(&a, &b, 20) < 0.1);
        let mixed: Vec<f64> = (0..a.len()).map(|k| b[k] + if k < 6 { 0.0 } else { 0.7 * a[k - 6] }).collect();
        let found = correlation(&a, &mixed, 20);
        assert!((found - 0.7 / 1.49_f64.sqrt()).abs() < 0.05, "{found}");
        assert_eq!(correlation(&a, &[0.0; 10_000], 20), 0.0);
    }
}
