//! How good is `emg_onset` on bursts whose onset is known? The gates of the project's EMG page, on the registered operator.
//!
//! A trial: Gaussian noise of 20–450 Hz at 2 kHz, 5 µV RMS; 1.5 to 2.5 s of rest, 400 ms of activity with a step (or a 50 ms ramp) of
//! 20·log10(active/rest) decibels, 1 s of rest. A false alarm is a trial with an accepted onset further than 100 ms from the true one.

use proprio_core::{Rate, rows};
use serde_json::json;

use crate::kernels::testing::{Noise, emg_batch, emg_schema, numbers, plan, run, texts};

const RATE_HZ: f64 = 2000.0;
const TRIALS: u64 = 300;

struct Trial {
    onset_s: f64,
    samples: Vec<f64>,
}

fn trial(snr_db: f64, ramp_s: f64, seed: u64) -> Trial {
    let mut noise = Noise::new(seed);
    let onset_s = 1.5 + noise.uniform();
    let gain = libm::pow(10.0, snr_db / 20.0);
    let length = ((onset_s + 1.4) * RATE_HZ) as usize;
    let level = |t: f64| match t - onset_s {
        t if !(0.0..0.4).contains(&t) => 1.0,
        t if t < ramp_s => 1.0 + (gain - 1.0) * t / ramp_s,
        _ => gain,
    };
    let samples = noise.band_limited(length, RATE_HZ).into_iter().enumerate();
    Trial { onset_s, samples: samples.map(|(k, x)| 5e-6 * level(k as f64 / RATE_HZ) * x).collect() }
}

#[derive(Default)]
struct Cell {
    /// Signed, in milliseconds, of the accepted onset nearest to the truth, where one is within 100 ms.
    errors: Vec<f64>,
    deviations: Vec<f64>,
    accepted: usize,
    refused: usize,
    false_alarms: usize,
}

impl Cell {
    fn absolute(&self, share: f64) -> f64 {
        let mut errors: Vec<f64> = self.errors.iter().map(|error| error.abs()).collect();
        errors.sort_by(f64::total_cmp);
        // Trials without an onset count as infinitely wrong.
        let rank = (share * TRIALS as f64).ceil() as usize;
        errors.get(rank.max(1) - 1).copied().unwrap_or(f64::INFINITY)
    }

    fn within(&self, limit_ms: f64) -> f64 {
        self.errors.iter().filter(|error| error.abs() <= limit_ms).count() as f64 / TRIALS as f64
    }

    fn share(count: usize) -> f64 {
        count as f64 / TRIALS as f64
    }
}

#[allow(clippy::print_stdout, reason = "figures are what a reader of the log looks for")]
fn bench(name: &str, snr_db: f64, ramp_s: f64, seed: u64) -> Cell {
    let schema = emg_schema(&["soleus_left"], Rate::hz(2000));
    let planned = plan("emg_onset", json!({}), &schema).expect("a plan");
    let mut cell = Cell::default();
    for n in 0..TRIALS {
        let Trial { onset_s, samples } = trial(snr_db, ramp_s, seed * 1_000_000 + n);
        let found = run(&planned, &emg_batch(&schema, &[samples]));
        let (events, sds) = (texts(&found, "event"), numbers(&found, "onset_sd_ms"));
        let onsets = rows::times(&found).iter().zip(&events).enumerate().filter(|(_, (_, event))| *event == "onset");
        let errors: Vec<(f64, f64)> = onsets.map(|(row, (time, _))| (*time as f64 / 1e6 - onset_s * 1e3, sds.value(row))).collect();
        let nearest = errors.iter().filter(|error| error.0.abs() <= 100.0).min_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
        if let Some((error, sd)) = nearest {
            cell.errors.push(*error);
            cell.deviations.push(*sd);
        }
        cell.accepted += usize::from(!errors.is_empty());
        cell.refused += usize::from(events.iter().any(|event| event == "refused"));
        cell.false_alarms += usize::from(errors.iter().any(|error| error.0.abs() > 100.0));
    }
    let rms = |values: &[f64]| (values.iter().map(|v| v * v).sum::<f64>() / values.len().max(1) as f64).sqrt();
    println!(
        "{name:>10} {snr_db:>5.1} dB: found {:5.1} %, |error| median {:5.2} ms, p95 {:6.2} ms, within 50 ms {:5.1} %, bias {:5.2} ms, RMS error {:5.2} ms for RMS sd {:5.2} ms, refused {:5.1} %, false alarms {:4.2} %",
        100.0 * Cell::share(cell.errors.len()),
        cell.absolute(0.5),
        cell.absolute(0.95),
        100.0 * cell.within(50.0),
        cell.errors.iter().sum::<f64>() / cell.errors.len().max(1) as f64,
        rms(&cell.errors),
        rms(&cell.deviations),
        100.0 * Cell::share(cell.refused),
        100.0 * Cell::share(cell.false_alarms),
    );
    cell
}

#[test]
fn step_onsets_at_ten_decibels_are_within_five_milliseconds() {
    let cell = bench("step", 10.0, 0.0, 1);
    assert!(cell.absolute(0.5) <= 5.0 && cell.absolute(0.95) <= 25.0);
    assert!(Cell::share(cell.false_alarms) < 0.01);
    let cell = bench("step", 6.0, 0.0, 2);
    assert!(cell.absolute(0.5) <= 5.0 && Cell::share(cell.false_alarms) < 0.01);
    let cell = bench("step", 20.0, 0.0, 3);
    assert!(cell.absolute(0.95) <= 5.0 && Cell::share(cell.false_alarms) < 0.01);
}

#[test]
fn step_onsets_at_three_decibels_are_within_ten_milliseconds() {
    let cell = bench("step", 3.0, 0.0, 4);
    assert!(cell.absolute(0.5) <= 10.0 && cell.within(50.0) >= 0.9);
    assert!(Cell::share(cell.false_alarms) < 0.03, "at the limit a burst may be split in two");
}

#[test]
fn onsets_below_three_decibels_are_refused_and_rest_has_none() {
    for (snr_db, seed, most) in [(2.0, 5, 0.3), (1.5, 6, 0.15), (1.0, 7, 0.05)] {
        let cell = bench("step", snr_db, 0.0, seed);
        assert!(Cell::share(cell.accepted) < most, "{snr_db} dB");
        assert!(snr_db < 1.5 || cell.refused > 2 * cell.accepted, "{snr_db} dB");
    }
    let rest = bench("rest", 0.0, 0.0, 8);
    assert!(Cell::share(rest.accepted) < 0.01);
}

#[test]
fn ramps_are_measured() {
    for (snr_db, seed) in [(20.0, 9), (10.0, 10), (6.0, 11), (3.0, 12)] {
        let cell = bench("ramp 50 ms", snr_db, 0.05, seed);
        // A ramp is found once it stands out, so late by a part of its length.
        assert!(snr_db < 6.0 || cell.absolute(0.95) <= 50.0 && Cell::share(cell.false_alarms) < 0.01);
    }
}
