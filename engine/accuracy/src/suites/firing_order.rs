//! Is the probability that one muscle came before another what it says, and how far off are latencies? Simulated walkers whose gluteus
//! medius is delayed by known amounts.
//!
//! The generator is `proprio-simulate`, as it stands: bursts of band-limited noise that rise over 0, 5 and 30 ms, at four ratios of
//! active over resting amplitude, onsets that vary by 5 ms from stride to stride. Development used seeds 1 to 3, the figures others.
//! Every true pair of onsets counts, and one that isn't found counts as missed.

use proprio_core::rows::{float_or_nan, floats, strings, times};
use proprio_simulate::{Impairments, Layout, Options, PerSide};
use serde_json::json;

use super::Suite;
use crate::bench::Bench;
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::simulated::{Simulated, nearest};
use crate::statistics::{mean, quantile};

pub const SUITE: Suite =
    Suite { name: "firing_order", about: "P(A before B) and latencies of simulated walkers with known delays", measure };

const SEEDS: std::ops::RangeInclusive<u64> = 101..=108;
/// Left, right: between −10 and +35 ms around the erector spinae, which comes on 15 ms before the contact.
const DELAYS_MS: [(f64, f64); 4] = [(0.0, 5.0), (10.0, 15.0), (20.0, 30.0), (45.0, 60.0)];
const SNRS_DB: [f64; 4] = [6.0, 10.0, 14.0, 20.0];
const RISES_MS: [f64; 3] = [0.0, 5.0, 30.0];
const DURATION_S: f64 = 24.0;
/// Onsets within this after the start fall into the detector's learning, and pairs there aren't asked for.
const LEARNING_S: f64 = 2.0;
/// Bins of the reliability curve.
const BINS: usize = 10;
/// A bin with fewer of the cases isn't shown for itself.
const LEAST_SHARE: f64 = 0.01;

/// One reference event that the simulation holds.
struct Case {
    snr_db: f64,
    rise_ms: f64,
    is_pair_truth: bool,
    /// P(gluteus medius before erector spinae), where it was told.
    p: Option<f64>,
    /// The same before the initial contact.
    p_contact: Option<f64>,
    is_before_contact: bool,
    /// Error of the gluteus medius' latency after the initial contact, where it was told, in milliseconds.
    error_ms: Option<f64>,
    sd_ms: f64,
}

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut cases = Vec::new();
    for seed in SEEDS {
        for (n, (left, right)) in DELAYS_MS.into_iter().enumerate() {
            for snr_db in SNRS_DB {
                let rise_ms = RISES_MS[(n + seed as usize) % RISES_MS.len()];
                let delay = PerSide { left, right };
                cases.extend(session(bench, seed * 1000 + n as u64 * 10 + snr_db as u64, delay, snr_db, rise_ms)?);
            }
        }
    }
    Ok(figures(&cases))
}

fn figures(cases: &[Case]) -> Vec<Figure> {
    let told: Vec<(f64, bool)> = cases.iter().filter_map(|case| Some((case.p?, case.is_pair_truth))).collect();
    let against_contacts: Vec<(f64, bool)> = cases.iter().filter_map(|case| Some((case.p_contact?, case.is_before_contact))).collect();
    let curve = reliability(&told);
    let brier = mean(&told.iter().map(|(p, was)| (p - f64::from(u8::from(*was))).powi(2)).collect::<Vec<_>>());
    let mut figures = vec![
        Figure::lower("firing_order.calibration_error", calibration_error(&curve), "%").gate(5.0).aim(3.0),
        Figure::lower("firing_order.calibration_error_to_contact", calibration_error(&reliability(&against_contacts)), "%")
            .gate(5.0)
            .aim(3.0),
        Figure::lower("firing_order.brier", brier, "1"),
    ];
    for (k, bin) in curve.iter().enumerate().filter(|(_, bin)| bin.share >= LEAST_SHARE) {
        let name = format!("firing_order.reliability_{:02}_to_{:02}", k * 100 / BINS, (k + 1) * 100 / BINS);
        figures.push(Figure::lower(name, 100.0 * (bin.said - bin.was).abs(), "%"));
    }
    for snr_db in SNRS_DB {
        let at: Vec<&Case> = cases.iter().filter(|case| case.snr_db == snr_db).collect();
        let errors: Vec<f64> = at.iter().filter_map(|case| case.error_ms).map(f64::abs).collect();
        let name = |what: &str| format!("firing_order.{what}_{snr_db}db");
        let is_gated = snr_db == 10.0;
        let mut mean_error = Figure::lower(name("latency_error"), mean(&errors), "ms");
        let mut known = Figure::higher(name("known"), 100.0 * errors.len() as f64 / at.len() as f64, "%");
        if is_gated {
            (mean_error, known) = (mean_error.gate(10.0).aim(5.0), known.gate(95.0));
        }
        figures.extend([mean_error, Figure::lower(name("latency_error_median"), quantile(&errors, 0.5, at.len()), "ms"), known]);
        figures.push(Figure::lower(name("latency_error_p95"), quantile(&errors, 0.95, at.len()), "ms"));
    }
    figures.extend(by_rise(cases));
    figures
}

/// Signed errors by how fast the muscle rises, over all ratios: what a detector of steps can't know.
fn by_rise(cases: &[Case]) -> Vec<Figure> {
    let bias = |rise_ms: f64| {
        let errors: Vec<f64> = cases.iter().filter(|case| case.rise_ms == rise_ms).filter_map(|case| case.error_ms).collect();
        Figure::lower(format!("firing_order.bias_rise_{rise_ms}ms"), mean(&errors).abs(), "ms")
    };
    let scores: Vec<f64> = cases.iter().filter_map(|case| Some((case.error_ms? / case.sd_ms).abs())).collect();
    let within = scores.iter().filter(|score| **score <= 2.0).count() as f64 / scores.len() as f64;
    let mut figures: Vec<Figure> = RISES_MS.into_iter().map(bias).collect();
    figures.push(Figure::higher("firing_order.latency_within_2_sd", 100.0 * within, "%"));
    figures
}

/// Expected calibration error in percent: how far what was said is from what was, over all bins by their share.
fn calibration_error(curve: &[Bin]) -> f64 {
    100.0 * curve.iter().map(|bin| bin.share * (bin.said - bin.was).abs()).sum::<f64>()
}

struct Bin {
    share: f64,
    said: f64,
    was: f64,
}

/// What was said and what was, by probability.
fn reliability(told: &[(f64, bool)]) -> Vec<Bin> {
    let bin = |k: usize| {
        let within: Vec<(f64, bool)> = told.iter().filter(|(p, _)| ((p * BINS as f64) as usize).min(BINS - 1) == k).copied().collect();
        let of = |value: &dyn Fn(&(f64, bool)) -> f64| mean(&within.iter().map(value).collect::<Vec<_>>());
        let share = within.len() as f64 / told.len() as f64;
        if within.is_empty() {
            Bin { share, said: 0.0, was: 0.0 }
        } else {
            Bin { share, said: of(&|(p, _)| *p), was: of(&|(_, was)| f64::from(u8::from(*was))) }
        }
    };
    (0..BINS).map(bin).collect()
}

/// One walker: the gluteus medius before the erector spinae of its own side, around the initial contacts of the plates.
fn session(bench: &mut Bench, seed: u64, delay: PerSide, snr_db: f64, rise_ms: f64) -> Result<Vec<Case>, AccuracyError> {
    let impairments = Impairments { gluteus_medius_delay_ms: delay, ..Impairments::default() };
    let options =
        Options { seed, impairments, duration_s: DURATION_S, emg_snr_db: snr_db, emg_rise_ms: rise_ms, ..Options::of(Layout::Walking) };
    let session = Simulated::new(options, &["muscles", "plate_1", "plate_2"])?;
    let muscles = json!({ "muscles": ["gluteus_medius_left", "gluteus_medius_right", "erector_spinae_left", "erector_spinae_right"] });
    let onsets = bench.step("onsets", "emg_onset", muscles, &[session.stream("muscles")])?;
    let plates = [session.stream("plate_1"), session.stream("plate_2")];
    let contacts = bench.step("contacts", "force_events", json!({ "side": { "plate_1": "left", "plate_2": "right" } }), &plates)?;
    let expect = "gluteus_medius_ipsilateral before erector_spinae_ipsilateral before initial_contact within -100..50 ms";
    let (port, rows) = bench.step("order", "firing_order", json!({ "expect": expect }), &[onsets, contacts])?;
    let column = |name: &str| port.schema.index(name).unwrap_or_else(|| panic!("there is a column {name}"));
    let value = |name: &str, row: usize| Some(float_or_nan(floats(&rows, column(name)), row)).filter(|value| value.is_finite());
    let told = times(&rows);
    let sides = strings(&rows, column("side"));
    let mut cases = Vec::new();
    for side in ["left", "right"] {
        let truth = |muscle: &str| session.times_s(&format!("onset_{muscle}_{side}"));
        let (gluteus, erector) = (truth("gluteus_medius"), truth("erector_spinae"));
        for contact_s in session.times_s(&format!("initial_contact_{side}")) {
            if !(LEARNING_S..DURATION_S - 1.0).contains(&contact_s) {
                continue;
            }
            let (Some(a_s), Some(b_s)) = (nearest(&gluteus, contact_s, 0.15), nearest(&erector, contact_s, 0.15)) else { continue };
            let row = (0..rows.num_rows()).find(|row| sides.value(*row) == side && (session.seconds(told[*row]) - contact_s).abs() < 0.1);
            let latency = row.and_then(|row| value("gluteus_medius_ipsilateral_latency_ms", row));
            cases.push(Case {
                snr_db,
                rise_ms,
                is_pair_truth: a_s < b_s,
                p: row.and_then(|row| value("p_gluteus_medius_ipsilateral_before_erector_spinae_ipsilateral", row)),
                p_contact: row.and_then(|row| value("gluteus_medius_ipsilateral_p_before", row)),
                is_before_contact: a_s < contact_s,
                error_ms: latency.map(|latency| latency - (a_s - contact_s) * 1e3),
                sd_ms: row.and_then(|row| value("gluteus_medius_ipsilateral_sd_ms", row)).unwrap_or(f64::NAN),
            });
        }
    }
    Ok(cases)
}
