//! What do the electrodes measure? Band-limited noise whose size follows each muscle's activity.

use std::f64::consts::PI;

use crate::body::Body;
use crate::muscles::{Burst, Muscle, Ramps, muscles};
use crate::options::Options;
use crate::random::Random;

/// Root mean square at rest, after the band-pass.
const REST_V: f64 = 4e-6;
/// How long a muscle takes to fall silent.
const FALL_S: f64 = 0.03;

/// All channels of one amplifier.
#[derive(Clone, Debug)]
pub struct Emg {
    channels: Vec<Channel>,
}

#[derive(Clone, Debug)]
struct Channel {
    muscle: Muscle,
    index: i64,
    burst: Burst,
    ramps: Ramps,
    /// Root mean square at full activity over that at rest, less 1.
    gain: f64,
    random: Random,
    filter: [Biquad; 2],
    scale_v: f64,
}

impl Emg {
    /// The amplifier of a layout's muscles, sampling at `rate_hz`.
    pub fn new(options: &Options, body: &Body, rate_hz: f64) -> Self {
        let ratio = libm::pow(10.0, options.emg_snr_db / 20.0);
        let ramps = Ramps { rise_s: options.emg_rise_ms / 1000.0, fall_s: FALL_S };
        let filter = [Biquad::highpass(20.0, rate_hz), Biquad::lowpass(450.0, rate_hz)];
        let scale_v = REST_V / energy(filter).sqrt();
        let channel = |muscle: Muscle| {
            let index = muscle.first_burst(body);
            let (burst, random) = (muscle.burst(body, index), Random::new(options.seed, &format!("emg {}", muscle.name)));
            Channel { muscle, index, burst, ramps, gain: ratio - 1.0, random, filter, scale_v }
        };
        Self { channels: muscles(options).into_iter().map(channel).collect() }
    }

    /// Volts: one column of samples a channel.
    pub fn measure(&mut self, body: &Body, times_s: &[f64]) -> Vec<Vec<f64>> {
        self.channels.iter_mut().map(|channel| channel.measure(body, times_s)).collect()
    }
}

impl Channel {
    fn measure(&mut self, body: &Body, times_s: &[f64]) -> Vec<f64> {
        let mut volts = Vec::with_capacity(times_s.len());
        for &time_s in times_s {
            while time_s >= self.burst.end_s + self.ramps.fall_s {
                self.index += 1;
                self.burst = self.muscle.burst(body, self.index);
            }
            let noise = self.random.normal();
            let filtered = self.filter.iter_mut().fold(noise, |value, section| section.step(value));
            volts.push(filtered * self.scale_v * (1.0 + self.gain * self.burst.level(time_s, self.ramps)));
        }
        volts
    }
}

/// A second-order Butterworth section (bilinear transform, transposed direct form II).
#[derive(Clone, Copy, Debug)]
struct Biquad {
    b: [f64; 3],
    a: [f64; 2],
    state: [f64; 2],
}

impl Biquad {
    fn lowpass(cutoff_hz: f64, rate_hz: f64) -> Self {
        let k = libm::tan(PI * cutoff_hz / rate_hz);
        Self::normalised([k * k, 2.0 * k * k, k * k], k)
    }

    fn highpass(cutoff_hz: f64, rate_hz: f64) -> Self {
        Self::normalised([1.0, -2.0, 1.0], libm::tan(PI * cutoff_hz / rate_hz))
    }

    fn normalised(b: [f64; 3], k: f64) -> Self {
        let norm = 1.0 + std::f64::consts::SQRT_2 * k + k * k;
        let a = [2.0 * (k * k - 1.0) / norm, (1.0 - std::f64::consts::SQRT_2 * k + k * k) / norm];
        Self { b: b.map(|value| value / norm), a, state: [0.0; 2] }
    }

    fn step(&mut self, x: f64) -> f64 {
        let y = self.b[0] * x + self.state[0];
        self.state[0] = self.b[1] * x - self.a[0] * y + self.state[1];
        self.state[1] = self.b[2] * x - self.a[1] * y;
        y
    }
}

/// Variance of filtered white noise of variance 1: the energy of the impulse response.
fn energy(mut filter: [Biquad; 2]) -> f64 {
    let mut response = |x: f64| filter.iter_mut().fold(x, |value, section| section.step(value));
    let first = response(1.0);
    (0..4000).map(|_| response(0.0)).fold(first * first, |sum, y| sum + y * y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Layout;

    #[test]
    fn rest_and_activity_have_the_amplitudes_asked_for() {
        let options = Options { layout: Layout::Standing, noise: 0.0, ..Options::default() };
        let body = Body::new(&options);
        let mut emg = Emg::new(&options, &body, 2000.0);
        let times: Vec<f64> = (0..64_000).map(|k| f64::from(k) / 2000.0).collect();
        let volts = emg.measure(&body, &times);
        let muscle = &muscles(&options)[0];
        let burst =
            (muscle.first_burst(&body)..).map(|index| muscle.burst(&body, index)).find(|burst| burst.onset_s > 1.0).expect("a burst");
        let rms = |from_s: f64, to_s: f64| {
            let part = &volts[0][(from_s * 2000.0) as usize..(to_s * 2000.0) as usize];
            (part.iter().map(|v| v * v).sum::<f64>() / part.len() as f64).sqrt()
        };
        let (rest, active) = (rms(burst.onset_s - 0.9, burst.onset_s), rms(burst.onset_s + 0.01, burst.end_s));
        assert!((rest / REST_V - 1.0).abs() < 0.08, "{rest}");
        assert!((20.0 * libm::log10(active / rest) - 18.0).abs() < 0.7, "{active} {rest}");
    }
}
