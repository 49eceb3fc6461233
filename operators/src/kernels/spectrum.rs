//! At which frequencies is a signal's power?
//!
//! The periodogram of the samples without their mean, filled up with zeros to a power of two: no window, as is usual for the
//! surface EMG of a contraction.

use libm::{cos, sin};

/// Power from zero to half the rate, in even steps, in no particular unit; empty of fewer than two samples.
pub fn power(samples: &[f64]) -> Vec<f64> {
    if samples.len() < 2 {
        return Vec::new();
    }
    let mean = samples.iter().sum::<f64>() / samples.len() as f64;
    let mut real: Vec<f64> = samples.iter().map(|sample| sample - mean).collect();
    real.resize(samples.len().next_power_of_two(), 0.0);
    let mut imaginary = vec![0.0; real.len()];
    transform(&mut real, &mut imaginary);
    (0..=real.len() / 2).map(|at| real[at] * real[at] + imaginary[at] * imaginary[at]).collect()
}

/// The frequency below which half of the power lies, in hertz, straight between two steps (Stulen and De Luca 1981); NaN without power.
pub fn median_frequency_hz(samples: &[f64], rate_hz: f64) -> f64 {
    let power = power(samples);
    let half = power.iter().sum::<f64>() / 2.0;
    let mut below = 0.0;
    for (at, power_here) in power.iter().enumerate().filter(|(_, power)| **power > 0.0) {
        if below + power_here >= half {
            let share = (half - below) / power_here;
            return (at as f64 - 0.5 + share).max(0.0) * step_hz(&power, rate_hz);
        }
        below += power_here;
    }
    f64::NAN
}

/// The mean of the frequencies, each weighted by its power, in hertz; NaN without power.
pub fn mean_frequency_hz(samples: &[f64], rate_hz: f64) -> f64 {
    let power = power(samples);
    let weighted: f64 = power.iter().enumerate().map(|(at, power)| at as f64 * power).sum();
    weighted / power.iter().sum::<f64>() * step_hz(&power, rate_hz)
}

fn step_hz(power: &[f64], rate_hz: f64) -> f64 {
    rate_hz / 2.0 / power.len().saturating_sub(1) as f64
}

/// The discrete Fourier transform of a power of two of values, in place (Cooley and Tukey 1965).
fn transform(real: &mut [f64], imaginary: &mut [f64]) {
    let length = real.len();
    let bits = length.trailing_zeros();
    for at in 0..length {
        let mirrored = at.reverse_bits() >> (usize::BITS - bits);
        if at < mirrored {
            real.swap(at, mirrored);
            imaginary.swap(at, mirrored);
        }
    }
    let mut width = 2;
    while width <= length {
        let angle = -std::f64::consts::TAU / width as f64;
        let turns: Vec<(f64, f64)> = (0..width / 2).map(|k| (cos(angle * k as f64), sin(angle * k as f64))).collect();
        for first in (0..length).step_by(width) {
            for (k, (cosine, sine)) in turns.iter().enumerate() {
                let (a, b) = (first + k, first + k + width / 2);
                let turned = (real[b] * cosine - imaginary[b] * sine, real[b] * sine + imaginary[b] * cosine);
                (real[b], imaginary[b]) = (real[a] - turned.0, imaginary[a] - turned.1);
                (real[a], imaginary[a]) = (real[a] + turned.0, imaginary[a] + turned.1);
            }
        }
        width *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, amplitude: f64, count: usize) -> Vec<f64> {
        (0..count).map(|k| 3.0 + amplitude * (std::f64::consts::TAU * hz * k as f64 / 1000.0).sin()).collect()
    }

    #[test]
    fn the_transform_is_the_sum_that_defines_it() {
        let samples: Vec<f64> = (0..16).map(|k| f64::from((k * 7 + 3) % 11)).collect();
        let (mut real, mut imaginary) = (samples.clone(), vec![0.0; 16]);
        transform(&mut real, &mut imaginary);
        for (at, (real, imaginary)) in real.iter().zip(&imaginary).enumerate() {
            let turn = |k: usize| -std::f64::consts::TAU * (at * k) as f64 / 16.0;
            let wanted: (f64, f64) =
                samples.iter().enumerate().fold((0.0, 0.0), |sum, (k, x)| (sum.0 + x * turn(k).cos(), sum.1 + x * turn(k).sin()));
            assert!((real - wanted.0).abs() < 1e-9 && (imaginary - wanted.1).abs() < 1e-9, "{at}");
        }
    }

    #[test]
    fn a_tone_lies_at_its_frequency_and_two_tones_between() {
        assert!((median_frequency_hz(&tone(80.0, 1.0, 2000), 1000.0) - 80.0).abs() < 0.5);
        assert!((mean_frequency_hz(&tone(125.0, 2.0, 2048), 1000.0) - 125.0).abs() < 1e-6);
        // Powers 4 and 1 at 62.5 and 250 Hz: the median stays with the stronger, the mean is 100 Hz.
        let both: Vec<f64> = tone(62.5, 2.0, 2048).iter().zip(tone(250.0, 1.0, 2048)).map(|(a, b)| a + b).collect();
        assert!((median_frequency_hz(&both, 1000.0) - 62.5).abs() < 0.5);
        assert!((mean_frequency_hz(&both, 1000.0) - 100.0).abs() < 1e-6);
    }

    #[test]
    fn what_has_no_power_has_no_frequency() {
        for samples in [vec![], vec![1.0], vec![2.0; 64]] {
            assert!(median_frequency_hz(&samples, 1000.0).is_nan() && mean_frequency_hz(&samples, 1000.0).is_nan(), "{samples:?}");
        }
    }
}
