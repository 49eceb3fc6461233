//! Does each feedback policy keep what it promises, is a bad calibration refused, and is dependence found where it is?
//!
//! **Promise**: 1,000 trials whose errors are normal (SD 20 % of the target), every tenth a probe, by each policy: `share_off` is how far the
//! share of cues is from the promised one, in percentage points. Promised are, of the 900 trials that are no probes: by `constant` all; by
//! `bandwidth` (15 %) those that are further off, counted here anew; by `faded` (100, 50, 25 % over blocks of 100) 100 + 50 + 25 % of 700;
//! by `summary` one of five. `refused_otherwise` are trials of a session without calibration that end as anything but a refusal.
//!
//! **Dependence**: 200 patients of 300 trials, every fifth a probe, whose error grows by half without feedback, and 200 for whom it makes no difference.
//! Found is who is beyond twice the standard error at the end.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch};
use arrow_schema::DataType;
use proprio_core::rows::{batch, float_or_nan, floats, strings};
use proprio_core::schema::{column, float};
use proprio_core::{Port, StreamSchema};
use proprio_simulate::Random;
use serde_json::{Value, json};

use super::Suite;
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;

pub const SUITE: Suite = Suite {
    name: "feedback",
    about: "1,000 simulated trials by each feedback policy, and 400 patients with and without dependence",
    measure,
};

const TRIALS: usize = 1000;
const TARGET: f64 = 5.0;
const PROBE_EVERY: usize = 10;
const PATIENTS: u64 = 200;
const PATIENT_TRIALS: usize = 300;
const PATIENT_PROBE_EVERY: usize = 5;

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut random = Random::new(1, "feedback");
    let errors: Vec<f64> = (0..TRIALS).map(|_| 0.2 * random.normal()).collect();
    let counted = errors.iter().enumerate().filter(|(trial, _)| !(trial + 1).is_multiple_of(PROBE_EVERY));
    let beyond = counted.clone().filter(|(_, error)| error.abs() > 0.15).count() as f64;
    let counted = counted.count() as f64;
    let policies = [
        ("constant", json!("constant"), counted),
        ("bandwidth", json!({ "bandwidth": "15 %" }), beyond),
        ("faded", json!({ "faded": { "shares": ["100 %", "50 %", "25 %"], "block": 100 } }), 100.0 + 50.0 + 0.25 * (counted - 200.0)),
        ("summary", json!({ "summary": { "after": 5 } }), counted / 5.0),
    ];
    let mut figures = Vec::new();
    let mut refused_otherwise = 0;
    for (name, policy, promised) in policies {
        let config = config(policy, PROBE_EVERY);
        let (_, rows) = bench.step("feedback", "feedback", config.clone(), &[trials(&errors, true)])?;
        let off = 100.0 * (count(&rows, "cue") as f64 - promised).abs() / counted;
        figures.push(Figure::lower(format!("feedback.{name}.share_off"), off, "%").gate(0.0));
        let probes_off = count(&rows, "probe").abs_diff(TRIALS / PROBE_EVERY) as f64;
        figures.push(Figure::lower(format!("feedback.{name}.probes_off"), probes_off, "1").gate(0.0));
        let (_, rows) = bench.step("feedback", "feedback", config, &[trials(&errors, false)])?;
        refused_otherwise += TRIALS - count(&rows, "refused");
    }
    figures.push(Figure::lower("feedback.uncalibrated.refused_otherwise", refused_otherwise as f64, "1").gate(0.0));
    let [dependent, independent] = [dependent(bench, 0.5)?, dependent(bench, 0.0)?];
    figures.push(Figure::higher("feedback.dependence.found", dependent, "%").gate(80.0));
    figures.push(Figure::lower("feedback.dependence.false", independent, "%").gate(5.0));
    Ok(figures)
}

fn config(policy: Value, probe_every: usize) -> Value {
    json!({
        "value": "hold_s", "target": "5", "policy": policy, "probe": { "every": probe_every },
        "refuse": { "not calibrated": "not calibrated" },
    })
}

/// Trials a second apart, with these errors as shares of the target.
fn trials(errors: &[f64], is_calibrated: bool) -> Stream {
    let schema = StreamSchema::new(vec![float("hold_s", "s"), column("calibrated", DataType::Boolean)], &[], None);
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..errors.len() as i64).map(|k| 1_000_000_000 * (k + 1)).collect::<Int64Array>()),
        Arc::new(errors.iter().map(|error| TARGET * (1.0 + error)).collect::<Float64Array>()),
        Arc::new(BooleanArray::from(vec![is_calibrated; errors.len()])),
    ];
    let rows = batch(&schema, columns);
    (Port { stream: "repetitions".to_owned(), schema }, rows)
}

fn count(rows: &RecordBatch, action: &str) -> usize {
    let actions = strings(rows, rows.schema().index_of("action").expect("a column of `feedback`"));
    actions.iter().filter(|is| *is == Some(action)).count()
}

/// The share of patients who are told dependent, whose errors grow by `worse` in probes.
fn dependent(bench: &mut Bench, worse: f64) -> Result<f64, AccuracyError> {
    let mut found = 0;
    for seed in 0..PATIENTS {
        let mut random = Random::new(seed, "dependence");
        let size = |trial: usize| if (trial + 1).is_multiple_of(PATIENT_PROBE_EVERY) { 0.15 * (1.0 + worse) } else { 0.15 };
        let errors: Vec<f64> = (0..PATIENT_TRIALS).map(|trial| size(trial) * random.normal()).collect();
        let (_, rows) = bench.step("feedback", "feedback", config(json!("constant"), PATIENT_PROBE_EVERY), &[trials(&errors, true)])?;
        let last =
            |name: &str| float_or_nan(floats(&rows, rows.schema().index_of(name).expect("a column of `feedback`")), rows.num_rows() - 1);
        found += usize::from(last("dependence_percent") > 2.0 * last("dependence_sd_percent"));
    }
    Ok(100.0 * found as f64 / PATIENTS as f64)
}
