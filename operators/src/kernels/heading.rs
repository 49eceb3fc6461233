//! How far is an upright frame turned from magnetic north? Two [`FieldFilter`]s over the magnetometer: one is trusted, the other
//! challenges it.
//!
//! The trusted filter takes the magnetometer for calibrated until the field jumps. That is wrong where a magnet was on the sensor
//! from the start, and it can't see it by itself. The challenger assumes nothing and begins anew after 5, 10, 20, 20 … seconds; when it
//! explains what the magnetometer said since then far better, it takes the other's place.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::field_filter::{Block, FieldFilter, Noise, PastHeading, Seen};
use super::quaternion::{Quaternion, multiply, rotate};

/// How long a block of samples is about.
const BLOCK_S: f64 = 0.02;
/// Over how long the mean square of the angular rate is taken.
const RATE_TIME_S: f64 = 1.0;
/// Inclination's standard deviation at the first sample.
const FIRST_TILT_RAD: f64 = 0.3;
/// A challenger's first and longest life.
const CHALLENGE_S: [f64; 2] = [5.0, 20.0];
/// The logarithm of the odds by which it must have been better. Neighbouring blocks share their errors, so this is far above what
/// independent ones would need.
const EVIDENCE: f64 = 200.0;
/// It must know its heading by then.
const CHALLENGE_SD_RAD: f64 = 0.087;
/// A disturbance is over when the field was as expected for so long.
const CALM_S: f64 = 0.5;
/// Fields that no sensor near a person meets, in µT, and the angular rate that counts no further, in rad/s.
const FIELD_LIMIT_UT: f64 = 10_000.0;
const RATE_LIMIT: f64 = 100.0;

/// How headings are estimated.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Between samples.
    pub period_s: f64,
    /// Time constant of the frame's inclination.
    pub tau_accel_s: f64,
    /// For how long past headings are improved.
    pub lag_s: f64,
    /// What errors are assumed.
    pub noise: Noise,
}

impl Method {
    fn block_samples(&self) -> u32 {
        ((BLOCK_S / self.period_s + 0.5) as u32).max(1)
    }

    fn past_blocks(&self) -> usize {
        if self.lag_s <= 0.0 { 0 } else { (self.lag_s / (self.period_s * f64::from(self.block_samples()))) as usize + 2 }
    }
}

/// The estimate and all that it remembers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Heading {
    rivals: Option<Rivals>,
    /// From before a restart.
    kept: Option<FieldFilter>,
    sums: Sums,
    rate_squared: f64,
    /// Of the frame's inclination, in rad²; `None` at the start.
    tilt_variance: Option<f64>,
    calm_s: f64,
    disagreement_rad: Option<f64>,
    past: VecDeque<PastHeading>,
    /// Blocks since the start.
    blocks: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rivals {
    trusted: FieldFilter,
    challenger: FieldFilter,
    /// For the challenger.
    evidence: f64,
    challenger_age_s: f64,
    challenger_life_s: f64,
}

/// Over the block that has begun.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Sums {
    samples: u32,
    measured: u32,
    rate_squared: f64,
    /// Variance of the heading that was added, in rad².
    doubt: f64,
    field_ut: [f64; 3],
    rotation: [[f64; 3]; 3],
    turning: [f64; 3],
}

impl Heading {
    /// Takes a sample: the rotation that stands the sensor upright, its angular rate without bias and the magnetic field in it, which
    /// may be missing. Returns the block that it belongs to, for [`Heading::at`].
    pub fn update(&mut self, upright: Quaternion, rate: [f64; 3], mag_ut: Option<[f64; 3]>, method: &Method) -> u64 {
        let usable = |field: &[f64; 3]| (1e-6..FIELD_LIMIT_UT).contains(&dot(*field, *field).sqrt());
        let mag_ut = mag_ut.filter(usable).filter(|_| upright.iter().all(|part| part.is_finite()));
        if let Some(mag_ut) = mag_ut {
            let kept = self.kept.take();
            let rivals = self.rivals.get_or_insert_with(|| Rivals::new(rotate(upright, mag_ut), kept.as_ref(), &method.noise));
            let offset = rivals.trusted.offset_ut();
            self.sums.add(upright, rate, mag_ut, std::array::from_fn(|axis| mag_ut[axis] - offset[axis]));
        }
        let limited = dot(rate, rate).min(RATE_LIMIT * RATE_LIMIT);
        self.sums.rate_squared += if limited.is_nan() { 0.0 } else { limited };
        self.sums.samples += 1;
        let block = self.blocks;
        if self.sums.samples == method.block_samples() {
            self.end_block(method);
        }
        block
    }

    /// The frame may have turned by this much unseen.
    pub fn doubt(&mut self, sd_rad: f64) {
        let variance = sd_rad.min(std::f64::consts::PI).powi(2);
        self.sums.doubt += variance;
        self.tilt_variance = Some((self.tilt_variance.unwrap_or(0.0) + variance).min(FIRST_TILT_RAD * FIRST_TILT_RAD));
    }

    /// The frame begins anew, and with it the field; what is known of the sensor stays.
    pub fn restart(&mut self) {
        let kept = self.rivals.take().map(|rivals| rivals.trusted).or(self.kept.take());
        *self = Self { kept, ..Self::default() };
    }

    /// Heading and its standard deviation about magnetic north in a block, as all samples until now tell them; `None` before any field
    /// was measured.
    pub fn at(&self, block: u64, noise: &Noise) -> Option<(f64, f64)> {
        let trusted = &self.rivals.as_ref()?.trusted;
        let place_sd_rad = trusted.place_sd_rad(noise);
        let back = self.blocks.checked_sub(block).and_then(|back| self.past.len().checked_sub(back as usize));
        let past = back.and_then(|index| self.past.get(index));
        let (heading_rad, sd_rad) =
            past.map_or_else(|| (trusted.heading_rad(), trusted.heading_sd_rad()), |past| (past.heading_rad, past.sd_rad()));
        Some((heading_rad, libm::hypot(sd_rad, place_sd_rad)))
    }

    /// Whether the field is not as expected, or was so within the last half second.
    pub fn is_disturbed(&self) -> bool {
        self.calm_s < CALM_S
    }

    /// How far the magnetometer's heading lay from the estimate in the last block.
    pub fn disagreement_rad(&self) -> Option<f64> {
        self.disagreement_rad
    }

    /// Strength of what the sensor carries with it.
    pub fn offset_ut(&self) -> Option<f64> {
        self.rivals.as_ref().map(|rivals| {
            let offset = rivals.trusted.offset_ut();
            dot(offset, offset).sqrt()
        })
    }

    fn end_block(&mut self, method: &Method) {
        let sums = std::mem::take(&mut self.sums);
        let period_s = f64::from(sums.samples) * method.period_s;
        let lately = (period_s / RATE_TIME_S).min(1.0);
        self.rate_squared += (sums.rate_squared / f64::from(sums.samples) - self.rate_squared) * lately;
        let settling = libm::exp(-2.0 * period_s / method.tau_accel_s);
        let tilt_variance = settling * self.tilt_variance.unwrap_or(FIRST_TILT_RAD * FIRST_TILT_RAD);
        self.tilt_variance = Some(tilt_variance);
        let block =
            Block { period_s, rate_squared: self.rate_squared, doubt: sums.doubt, tilt_rad: tilt_variance.sqrt(), seen: sums.mean() };
        self.blocks += 1;
        let Some(rivals) = &mut self.rivals else { return };
        let before_rad = rivals.trusted.heading_rad();
        let step = rivals.trusted.step(&block, &method.noise);
        let challenge = rivals.challenger.step(&block, &method.noise);
        if let Some(step) = &step {
            self.calm_s = if step.is_disturbed { 0.0 } else { self.calm_s + period_s };
            self.disagreement_rad = Some(step.disagreement_rad);
            self.past.iter_mut().for_each(|past| past.improve(step));
        }
        if let (Some(step), Some(challenge)) = (step, challenge) {
            let is_replaced = rivals.judge(challenge.log_likelihood - step.log_likelihood, period_s, &block, &method.noise);
            if is_replaced {
                let turned_rad = rivals.trusted.heading_rad() - before_rad;
                self.past.iter_mut().for_each(|past| past.turn(turned_rad, &rivals.trusted));
            }
        }
        if method.past_blocks() > 0 {
            self.past.push_back(PastHeading::of(&rivals.trusted));
            while self.past.len() > method.past_blocks() {
                self.past.pop_front();
            }
        }
    }
}

impl Rivals {
    fn new(field_ut: [f64; 3], kept: Option<&FieldFilter>, noise: &Noise) -> Self {
        let filter = |calibrated: bool| FieldFilter::new(field_ut, calibrated, noise);
        let trusted = kept.map_or_else(|| filter(true), |kept| kept.in_new_frame(field_ut, noise));
        Self { trusted, challenger: filter(false), evidence: 0.0, challenger_age_s: 0.0, challenger_life_s: CHALLENGE_S[0] }
    }

    /// Counts evidence; whether the challenger has taken the other's place.
    fn judge(&mut self, evidence: f64, period_s: f64, block: &Block, noise: &Noise) -> bool {
        self.evidence += evidence;
        self.challenger_age_s += period_s;
        let is_replaced = self.evidence > EVIDENCE && self.challenger.heading_sd_rad() < CHALLENGE_SD_RAD;
        if is_replaced {
            self.trusted = self.challenger.clone();
            self.evidence = 0.0;
        }
        if let Some(seen) = block.seen.filter(|_| self.challenger_age_s >= self.challenger_life_s) {
            self.challenger = FieldFilter::new(seen.field_ut, false, noise);
            self.challenger_life_s = (2.0 * self.challenger_life_s).min(CHALLENGE_S[1]);
            (self.evidence, self.challenger_age_s) = (0.0, 0.0);
        }
        is_replaced
    }
}

impl Sums {
    fn add(&mut self, upright: Quaternion, rate: [f64; 3], mag_ut: [f64; 3], earth_ut: [f64; 3]) {
        let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(|axis| rotate(upright, axis));
        let in_frame =
            |v: [f64; 3]| -> [f64; 3] { std::array::from_fn(|row| axes[0][row] * v[0] + axes[1][row] * v[1] + axes[2][row] * v[2]) };
        let (field, turning) = (in_frame(mag_ut), in_frame(cross(rate, earth_ut)));
        for row in 0..3 {
            self.field_ut[row] += field[row];
            self.turning[row] += turning[row];
            (0..3).for_each(|column| self.rotation[row][column] += axes[column][row]);
        }
        self.measured += 1;
    }

    fn mean(&self) -> Option<Seen> {
        let count = f64::from(self.measured);
        let mean = |sum: [f64; 3]| sum.map(|part| part / count);
        let seen = Seen { field_ut: mean(self.field_ut), rotation: self.rotation.map(mean), turning: mean(self.turning) };
        (self.measured > 0 && seen.turning.iter().all(|part| part.is_finite())).then_some(seen)
    }
}

/// The rotation `upright`, turned by a heading about the vertical.
pub fn turned(upright: Quaternion, heading_rad: f64) -> Quaternion {
    multiply([libm::cos(heading_rad / 2.0), 0.0, 0.0, libm::sin(heading_rad / 2.0)], upright)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}
