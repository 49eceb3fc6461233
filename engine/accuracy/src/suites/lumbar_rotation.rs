//! Is a pelvis told that turns further, or sooner, with a limb than it is usual for this person?
//!
//! Generated angles, as an IMU chain gives them at 100 Hz: a hip that turns by 40° (SD 4°) in 0.8 s (SD 0.1 s) along a minimum-jerk curve,
//! rests for a second and turns back; a pelvis that follows by 5° (SD 0.7°), 60 ms (SD 15 ms) later; noise of 0.3° and a drift of 0.02°
//! a second on both. Five usual repetitions make the baseline, five usual ones follow, then five with one change. Development used seeds
//! below 100.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use proprio_core::rows::{float_or_nan, floats, integers, nan_as_null, strings};
use proprio_core::schema::float;
use proprio_core::{Port, Rate, StreamSchema};
use proprio_simulate::Random;
use serde_json::json;

use super::Suite;
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::statistics::mean;

pub const SUITE: Suite = Suite {
    name: "lumbar_rotation",
    about: "further and earlier pelvic rotation in generated repetitions, against the personal baseline",
    measure,
};

const SEEDS: std::ops::Range<u64> = 100..140;
const PERIOD_S: f64 = 5.0;
const USUAL: usize = 10;
const CHANGED: usize = 5;
const NOISE_DEG: f64 = 0.3;
const DRIFT_DEG_PER_S: f64 = 0.02;
/// What changes: degrees further, milliseconds sooner.
const CHANGES: [(&str, f64, f64); 4] =
    [("8deg_more", 8.0, 0.0), ("2deg_more", 2.0, 0.0), ("150ms_sooner", 0.0, 150.0), ("30ms_sooner", 0.0, 30.0)];

/// One repetition as it was generated.
struct Truth {
    hip_start_s: f64,
    hip_s: f64,
    hip_deg: f64,
    pelvis_start_s: f64,
    pelvis_deg: f64,
}

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let (mut amplitude_errors, mut onset_errors, mut usual) = (Vec::new(), Vec::new(), (0, 0));
    let mut figures = Vec::new();
    for (name, more_deg, sooner_ms) in CHANGES {
        let (mut large, mut early, mut changed) = (0, 0, 0);
        for seed in SEEDS {
            let (truth, stream) = session(seed, more_deg, sooner_ms / 1e3);
            let (port, rows) = bench.step("rotation", "lumbar_rotation", json!({ "limb": "hip_right_rotation_deg" }), &[stream])?;
            let column = |name: &str| port.schema.index(name).unwrap_or_else(|| panic!("there is a column {name}"));
            let (starts, verdicts) = (integers(&rows, column("start_ns")), strings(&rows, column("verdict")));
            for (n, truth) in truth.iter().enumerate() {
                let begins = |row: &usize| ((starts.value(*row) as f64 / 1e9) - truth.hip_start_s - 0.2).abs() < 0.5;
                let row = (0..rows.num_rows()).find(begins);
                let value = |name: &str| row.map_or(f64::NAN, |row| float_or_nan(floats(&rows, column(name)), row));
                let verdict = row.map_or("unknown", |row| verdicts.value(row));
                amplitude_errors.push((value("amplitude_deg") - truth.pelvis_deg).abs());
                onset_errors.push((value("onset_after_ms") - truth.onset_after_ms()).abs());
                if n >= USUAL {
                    changed += 1;
                    large += usize::from(verdict.starts_with("large"));
                    early += usize::from(verdict.ends_with("early"));
                } else if n >= USUAL - CHANGED {
                    usual = (usual.0 + 1, usual.1 + usize::from(verdict != "usual"));
                }
            }
        }
        let share = |count: usize| 100.0 * count as f64 / changed as f64;
        figures.push(match name {
            "8deg_more" => Figure::higher("lumbar_rotation.found_8deg_more", share(large), "%").gate(95.0),
            "2deg_more" => Figure::lower("lumbar_rotation.false_2deg_more", share(large), "%").gate(2.0),
            "150ms_sooner" => Figure::higher("lumbar_rotation.found_150ms_sooner", share(early), "%").gate(90.0),
            _ => Figure::lower("lumbar_rotation.false_30ms_sooner", share(early), "%"),
        });
    }
    let known = |errors: &[f64]| errors.iter().copied().filter(|error| error.is_finite()).collect::<Vec<_>>();
    figures.push(Figure::lower("lumbar_rotation.usual_not_usual", 100.0 * usual.1 as f64 / usual.0 as f64, "%").gate(5.0));
    figures.push(Figure::lower("lumbar_rotation.amplitude_error", mean(&known(&amplitude_errors)), "deg"));
    figures.push(Figure::lower("lumbar_rotation.onset_error", mean(&known(&onset_errors)), "ms"));
    let known_share = 100.0 * known(&onset_errors).len() as f64 / onset_errors.len() as f64;
    figures.push(Figure::higher("lumbar_rotation.known", known_share, "%").gate(98.0));
    Ok(figures)
}

impl Truth {
    /// Between the instants at which hip and pelvis have gone a fifth of their ways.
    fn onset_after_ms(&self) -> f64 {
        // The pelvis takes as long as the hip, so the fifths are equally long after the starts.
        (self.pelvis_start_s - self.hip_start_s) * 1e3
    }
}

fn session(seed: u64, more_deg: f64, sooner_s: f64) -> (Vec<Truth>, Stream) {
    let mut random = Random::new(seed, "lumbar rotation");
    let truth: Vec<Truth> = (0..USUAL + CHANGED)
        .map(|n| {
            let (more_deg, sooner_s) = if n < USUAL { (0.0, 0.0) } else { (more_deg, sooner_s) };
            let hip_start_s = PERIOD_S * n as f64 + 1.5 + 0.2 * random.signed();
            let pelvis_start_s = hip_start_s + 0.06 + 0.015 * random.normal() - sooner_s;
            let (hip_s, hip_deg) = (0.8 + 0.1 * random.normal(), 40.0 + 4.0 * random.normal());
            Truth { hip_start_s, hip_s, hip_deg, pelvis_start_s, pelvis_deg: 5.0 + more_deg + 0.7 * random.normal() }
        })
        .collect();
    let fields = ["hip_right_rotation_deg", "pelvis_rotation_deg"].map(|name| float(name, "deg"));
    let port = Port { stream: "angles".to_owned(), schema: StreamSchema::new(fields.to_vec(), &[], Some(Rate::hz(100))) };
    let count = (PERIOD_S * 100.0) as i64 * truth.len() as i64;
    let mut angle = |of: &dyn Fn(&Truth) -> (f64, f64)| -> Vec<f64> {
        (0..count)
            .map(|k| {
                let time_s = k as f64 / 100.0;
                let truth = &truth[(time_s / PERIOD_S) as usize];
                let (start_s, degrees) = of(truth);
                let gone =
                    minimum_jerk((time_s - start_s) / truth.hip_s) - minimum_jerk((time_s - start_s - truth.hip_s - 1.0) / truth.hip_s);
                degrees * gone + DRIFT_DEG_PER_S * time_s + NOISE_DEG * random.normal()
            })
            .collect()
    };
    let (hip, pelvis) = (angle(&|truth| (truth.hip_start_s, truth.hip_deg)), angle(&|truth| (truth.pelvis_start_s, truth.pelvis_deg)));
    let times: ArrayRef = Arc::new((0..count).map(|k| k * 10_000_000).collect::<Int64Array>());
    let rows = RecordBatch::try_new(port.schema.columns.clone(), vec![times, nan_as_null(hip), nan_as_null(pelvis)]);
    (truth, (port, rows.expect("the columns fit")))
}

/// From 0 to 1 while `s` goes there (Flash and Hogan 1985).
fn minimum_jerk(s: f64) -> f64 {
    let s = s.clamp(0.0, 1.0);
    s * s * s * (10.0 - 15.0 * s + 6.0 * s * s)
}
