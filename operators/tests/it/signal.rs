//! How an example's columns are generated: sums of simple terms, the same bits on every machine.

use std::f64::consts::TAU;

use proprio_core::TimeNs;
use proprio_core::quantity::{Angle, Duration, Frequency};
use proprio_core::time::SECOND_NS;
use serde::Deserialize;

/// One term of a column; a column is the sum of its terms. Times count from zero, as the rows' times do.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Term {
    /// The same value in every row.
    Constant(f64),
    /// A value that grows by so much a second.
    Ramp(f64),
    /// `amplitude · sin(2π · frequency · t + phase)`.
    Sine {
        amplitude: f64,
        frequency: Frequency,
        #[serde(default = "no_angle")]
        phase: Angle,
    },
    /// Nearly normal noise of zero mean and this standard deviation, of its own for every seed.
    Noise { amplitude: f64, seed: u64 },
    /// Noise from one time to another, such as a muscle's activity.
    Burst { from: Duration, to: Duration, amplitude: f64, seed: u64 },
    /// The value of the last step at or before the row's time; zero before the first.
    Steps(Vec<(Duration, f64)>),
    /// Half sines of one width and height, such as the load of one foot, every `period`, at most so many.
    Pulses {
        from: Duration,
        period: Duration,
        width: Duration,
        amplitude: f64,
        #[serde(default = "any_number")]
        count: i64,
    },
    /// Null from one time to another; for nullable columns.
    Missing { from: Duration, to: Duration },
}

/// The sum of `terms` at row `k` of time `time`; NaN where it is missing.
pub fn value(terms: &[Term], k: u64, time: TimeNs) -> f64 {
    let seconds = time as f64 / SECOND_NS as f64;
    let within = |from: &Duration, to: &Duration| (from.nanoseconds()..to.nanoseconds()).contains(&time);
    let term = |term: &Term| match term {
        Term::Constant(value) => *value,
        Term::Ramp(slope) => slope * seconds,
        Term::Sine { amplitude, frequency, phase } => {
            amplitude * libm::sin(TAU * frequency.hertz() * seconds + phase.degrees().to_radians())
        }
        Term::Noise { amplitude, seed } => amplitude * normal(*seed, k),
        Term::Burst { from, to, amplitude, seed } => f64::from(u8::from(within(from, to))) * amplitude * normal(*seed, k),
        Term::Steps(steps) => steps.iter().rev().find(|(from, _)| from.nanoseconds() <= time).map_or(0.0, |(_, value)| *value),
        Term::Pulses { from, period, width, amplitude, count } => {
            let number = (time - from.nanoseconds()).div_euclid(period.nanoseconds());
            let phase = (time - from.nanoseconds()).rem_euclid(period.nanoseconds()) as f64 / width.nanoseconds() as f64;
            let on = (0..*count).contains(&number) && phase < 1.0;
            if on { amplitude * libm::sin(phase * TAU / 2.0) } else { 0.0 }
        }
        Term::Missing { from, to } => {
            if within(from, to) {
                f64::NAN
            } else {
                0.0
            }
        }
    };
    terms.iter().map(term).sum()
}

/// The sum of twelve uniform values less six: zero mean, unit variance, and nothing but additions.
fn normal(seed: u64, k: u64) -> f64 {
    let mut random = Random::new(seed.wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ k);
    (0..12).map(|_| random.unit()).sum::<f64>() - 6.0
}

/// The generator splitmix64 (Steele, Lea and Flood 2014).
pub struct Random(u64);

impl Random {
    /// A sequence of its own for every seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// In [0, below).
    pub fn index(&mut self, below: usize) -> usize {
        (self.unit() * below as f64) as usize
    }
}

fn any_number() -> i64 {
    i64::MAX
}

fn no_angle() -> Angle {
    Angle::new(0.0)
}
