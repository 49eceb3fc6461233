//! When does each stride happen, and how far does it go? A phase that advances at a slowly wandering rate.
//!
//! Stride times of walking people wander over many strides rather than jump, so the rate is modulated by slow waves;
//! everything stays smooth, and any instant can be asked for without the ones before it. A subject who does something else first
//! stands in the first phase until then, and sets off smoothly.

use std::f64::consts::TAU;

use crate::random::Random;

/// How long the rate takes from nothing to that of the task, for a subject who sets off.
const SETTING_OFF_S: f64 = 1.5;
/// Phases before the first one of a subject who sets off never were: their times lie so far before the start at least.
const NEVER_S: f64 = -1.0;

/// Phase, in cycles, as a function of time, and the distance walked as a function of phase.
#[derive(Clone, Debug)]
pub struct Rhythm {
    cycles_per_s: f64,
    phase_at_start: f64,
    /// When the subject sets off; none who has been moving before the start.
    sets_off_s: Option<f64>,
    time_waves: [Wave; 4],
    length_m: f64,
    length_waves: [Wave; 3],
}

#[derive(Clone, Copy, Debug)]
struct Wave {
    amplitude: f64,
    frequency: f64,
    phase: f64,
}

impl Wave {
    fn value(&self, x: f64) -> f64 {
        self.amplitude * libm::sin(TAU * (self.frequency * x + self.phase))
    }

    fn rate(&self, x: f64) -> f64 {
        self.amplitude * TAU * self.frequency * libm::cos(TAU * (self.frequency * x + self.phase))
    }

    /// Waves whose rates together have the standard deviation `deviation`.
    fn slow<const N: usize>(frequencies: [f64; N], deviation: f64, random: &mut Random) -> [Self; N] {
        let rate = deviation * (2.0 / N as f64).sqrt();
        frequencies.map(|nominal| {
            let frequency = nominal * (1.0 + 0.2 * random.signed());
            Self { amplitude: rate / (TAU * frequency), frequency, phase: random.uniform() }
        })
    }
}

impl Rhythm {
    /// `variation` is the standard deviation of stride time, and of stride length, as a share of the mean.
    pub fn new(seed: u64, cycle_s: f64, length_m: f64, phase_at_start: f64, variation: f64) -> Self {
        let mut random = Random::new(seed, "rhythm");
        let cycles_per_s = 1.0 / cycle_s;
        let mut time_waves = Wave::slow([0.047, 0.105, 0.21, 0.34], variation, &mut random);
        for wave in &mut time_waves {
            wave.frequency *= cycles_per_s;
        }
        let length_waves = Wave::slow([0.061, 0.13, 0.27], variation, &mut random);
        Self { cycles_per_s, phase_at_start, sets_off_s: None, time_waves, length_m, length_waves }
    }

    /// The same rhythm of a subject who stands in its first phase until `sets_off_s`.
    pub fn setting_off(mut self, sets_off_s: f64) -> Self {
        self.phase_at_start -= self.time_waves.iter().map(|wave| wave.value(0.0)).sum::<f64>();
        self.sets_off_s = Some(sets_off_s);
        self
    }

    /// Whether the subject stands in the first phase before setting off.
    pub fn sets_off(&self) -> bool {
        self.sets_off_s.is_some()
    }

    /// Phase in cycles at `time_s` since the start.
    pub fn phase(&self, time_s: f64) -> f64 {
        let time_s = self.sets_off_s.map_or(time_s, |from_s| gone_s(time_s - from_s));
        let wander: f64 = self.time_waves.iter().map(|wave| wave.value(time_s)).sum();
        self.phase_at_start + self.cycles_per_s * time_s + wander
    }

    /// The time at which `phase` is reached: the inverse of [`phase`](Self::phase), to better than a nanosecond. For one before the
    /// first phase of a subject who sets off, a time before the start.
    pub fn time_at(&self, phase: f64) -> f64 {
        let gone_s = self.gone_at(phase);
        self.sets_off_s.map_or(gone_s, |from_s| if gone_s < 0.0 { gone_s + NEVER_S } else { from_s + since_setting_off_s(gone_s) })
    }

    /// How long the subject has gone at full rate when `phase` is reached.
    fn gone_at(&self, phase: f64) -> f64 {
        let mut time_s = (phase - self.phase_at_start) / self.cycles_per_s;
        for _ in 0..12 {
            let rate: f64 = self.cycles_per_s + self.time_waves.iter().map(|wave| wave.rate(time_s)).sum::<f64>();
            let wander: f64 = self.time_waves.iter().map(|wave| wave.value(time_s)).sum();
            let step = (self.phase_at_start + self.cycles_per_s * time_s + wander - phase) / rate;
            time_s -= step;
            if step.abs() < 1e-11 {
                break;
            }
        }
        time_s
    }

    /// Distance walked, in metres, at `phase`.
    pub fn distance_m(&self, phase: f64) -> f64 {
        self.length_m * (phase + self.length_waves.iter().map(|wave| wave.value(phase)).sum::<f64>())
    }
}

/// How long someone would have gone at full rate who set off `since_s` ago: the integral of a quintic step of the rate.
fn gone_s(since_s: f64) -> f64 {
    let x = (since_s / SETTING_OFF_S).clamp(0.0, 1.0);
    let rising = SETTING_OFF_S * x * x * x * x * (2.5 + x * (x - 3.0));
    rising + (since_s - SETTING_OFF_S).max(0.0)
}

/// The inverse of [`gone_s`], by halving, to better than a nanosecond.
fn since_setting_off_s(gone: f64) -> f64 {
    let rising_s = SETTING_OFF_S / 2.0;
    if gone >= rising_s {
        return gone + rising_s;
    }
    let (mut from, mut to) = (0.0, SETTING_OFF_S);
    while to - from > 1e-11 {
        let middle = 0.5 * (from + to);
        if gone_s(middle) < gone { from = middle } else { to = middle }
    }
    0.5 * (from + to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sets_off_stands_first_and_goes_on_as_everybody() {
        let rhythm = Rhythm::new(7, 1.09, 1.36, 0.06, 0.02).setting_off(20.0);
        assert!((0..=20).all(|second| (rhythm.phase(f64::from(second)) - 0.06).abs() < 1e-12));
        for phase in [0.061, 0.2, 0.6, 0.75, 3.0, 40.0] {
            let time_s = rhythm.time_at(phase);
            assert!(time_s > 20.0 && (rhythm.phase(time_s) - phase).abs() < 1e-9, "{phase} at {time_s}");
        }
        assert!(rhythm.time_at(0.05) < 0.0, "what was before never was");
    }

    #[test]
    fn times_invert_phases_and_strides_vary_as_asked() {
        let rhythm = Rhythm::new(7, 1.09, 1.36, 0.7, 0.02);
        let times: Vec<f64> = (1..1000).map(|n| rhythm.time_at(f64::from(n))).collect();
        for (n, time) in (1..1000).zip(&times) {
            assert!((rhythm.phase(*time) - f64::from(n)).abs() < 1e-9);
        }
        let strides: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = strides.iter().sum::<f64>() / strides.len() as f64;
        let deviation = (strides.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>() / strides.len() as f64).sqrt();
        assert!((mean - 1.09).abs() < 0.002, "{mean}");
        assert!((0.013..0.024).contains(&(deviation / mean)), "{}", deviation / mean);
    }
}
