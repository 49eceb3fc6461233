//! Which bursts are the onsets searched in? Noise of an amplifier, to which a muscle adds its own from a known instant on.
//!
//! Fixed before the detector was worked on, and not changed since. A trial is 1.5 to 2.5 s of rest, 400 ms of activity and 1 s of
//! rest at 2 kHz. Rest is Gaussian noise of 20 to 450 Hz (Butterworth, fourth order) and 5 µV RMS. **The muscle's noise is added to
//! it**, at once or over a ramp of 50 ms, and the level is its power over the resting power: 3 dB make the active RMS 4.8 dB larger
//! than the resting one, 0 dB make it 3 dB larger. That is the definition under which the table of published detectors has finite
//! medians at 0 dB. Onsets don't fall on samples.

use std::f64::consts::TAU;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array};
use proprio_core::schema::float;
use proprio_core::{Port, Rate, StreamSchema, rows};
use proprio_operators::kernels::filter::Filter;
use proprio_simulate::Random;

use crate::bench::Stream;

const RATE: Rate = Rate::hz(2000);
const RATE_HZ: f64 = 2000.0;
const REST_V: f64 = 5e-6;
/// How long a burst lasts.
pub const ACTIVE_S: f64 = 0.4;
const RAMP_S: f64 = 0.05;

/// How a burst begins, and what its muscle sounds like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// At once.
    Step,
    /// Over 50 ms.
    Ramp,
    /// At once, of noise between 30 and 150 Hz: the spectrum of a muscle through skin is narrower than the amplifier's.
    Narrow,
    /// No burst at all.
    Rest,
}

/// Samples whose onset is known.
#[derive(Debug)]
pub struct Trial {
    /// Event time of the onset, in seconds.
    pub onset_s: f64,
    /// The stream `emg/muscles` with one muscle.
    pub stream: Stream,
}

/// Trial `number` of a cell; `seed` tells the trials of development from those that are reported.
pub fn trial(shape: Shape, level_db: f64, seed: u64, number: u64) -> Trial {
    let mut random = Random::new(seed, &format!("{shape:?} at {level_db} dB, trial {number}"));
    let onset_s = 1.5 + random.uniform();
    let count = ((onset_s + ACTIVE_S + 1.0) * RATE_HZ) as usize;
    let rest = noise([20.0, 450.0], count, &mut random);
    let muscle = noise(if shape == Shape::Narrow { [30.0, 150.0] } else { [20.0, 450.0] }, count, &mut random);
    let gain = 10.0_f64.powf(level_db / 20.0);
    let level = |k: usize| match (k as f64 / RATE_HZ - onset_s, shape) {
        (_, Shape::Rest) => 0.0,
        (since_s, _) if !(0.0..ACTIVE_S).contains(&since_s) => 0.0,
        (since_s, Shape::Ramp) => gain * (since_s / RAMP_S).min(1.0),
        _ => gain,
    };
    let volts: Float64Array = (0..count).map(|k| REST_V * (rest[k] + level(k) * muscle[k])).collect();
    let times: Int64Array = (0..count as i64).map(|k| RATE.grid_time(k)).collect();
    let schema = StreamSchema::new(vec![float("muscle_v", "V")], &[], Some(RATE));
    let columns: Vec<ArrayRef> = vec![Arc::new(times), Arc::new(volts)];
    Trial { onset_s, stream: (Port { stream: "emg/muscles".to_owned(), schema: schema.clone() }, rows::batch(&schema, columns)) }
}

/// Gaussian noise of RMS one within a band.
fn noise([low_hz, high_hz]: [f64; 2], count: usize, random: &mut Random) -> Vec<f64> {
    let filter = Filter::band_pass(4, low_hz, high_hz, RATE_HZ);
    let gain = filter.impulse_response(RATE_HZ as usize).iter().map(|h| h * h).sum::<f64>().sqrt();
    let mut state = filter.start();
    let mut next = || {
        // Box and Muller: the tails matter to false alarms.
        let (u, v) = (random.uniform(), random.uniform());
        filter.step(&mut state, (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos()) / gain
    };
    for _ in 0..(0.5 * RATE_HZ) as usize {
        next();
    }
    (0..count).map(|_| next()).collect()
}
