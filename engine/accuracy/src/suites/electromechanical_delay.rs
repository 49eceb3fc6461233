//! How near to the truth is the time from a muscle's onset to its force's, and does its standard deviation say so?
//!
//! The generator is fixed: contractions every two seconds, whose force begins 30 to 70 ms after the muscle and rises with the square or in
//! proportion of time, at 1 kHz over a preload with 1 N of noise; onsets scatter by the 5 ms that they say. A threshold of three standard
//! deviations is the anchor: it is what is commonly used. A fourth of the contractions begin while the force still drifts, and must be
//! refused.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use proprio_core::rows::{float_or_nan, floats, strings};
use proprio_core::schema::{FieldExt, float, text};
use proprio_core::{Port, Rate, StreamSchema};
use proprio_simulate::Random;
use serde_json::json;

use super::Suite;
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::statistics::{mean, rms};

pub const SUITE: Suite =
    Suite { name: "electromechanical_delay", about: "delays of simulated contractions whose force begins at a known time", measure };

const CONTRACTIONS: usize = 120;
const RATE: Rate = Rate::hz(1000);
const ONSET_SD_MS: f64 = 5.0;

/// A contraction: when its muscle began and its force, in seconds, and whether the force drifted before.
struct Contraction {
    muscle_s: f64,
    force_s: f64,
    is_drifting: bool,
}

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = Vec::new();
    for (name, newtons, power) in [("fast", 900.0, 1), ("slow", 8_000.0, 2)] {
        let (truth, onsets, force) = session(name, newtons, power);
        let crossing = mean(&truth.iter().filter(|one| !one.is_drifting).map(|_| late_ms(newtons, power)).collect::<Vec<_>>());
        let config = json!({ "response": { "column": "force_z_n", "least": 2.0 } });
        let (_, rows) = bench.step("delays", "electromechanical_delay", config, &[onsets, force])?;
        assert_eq!(rows.num_rows(), truth.len(), "a row an onset");
        let value = |name: &str, row: usize| float_or_nan(floats(&rows, rows.schema().index_of(name).expect("its column")), row);
        let reasons = strings(&rows, rows.schema().index_of("reason").expect("its column"));
        let (mut errors, mut onsets_alone, mut within, mut clean, mut refused) = (Vec::new(), Vec::new(), 0, 0, 0);
        for (row, one) in truth.iter().enumerate() {
            if one.is_drifting {
                refused += usize::from(reasons.is_valid(row) && reasons.value(row) == "not at rest");
                continue;
            }
            clean += 1;
            let error = value("delay_ms", row) - 1e3 * (one.force_s - one.muscle_s);
            if error.is_finite() {
                within += usize::from(error.abs() <= 2.0 * value("delay_sd_ms", row));
                errors.push(error);
                let response_ns = rows.column(rows.schema().index_of("response_ns").expect("its column"));
                let response_ns = response_ns.as_any().downcast_ref::<Int64Array>().expect("nanoseconds").value(row);
                onsets_alone.push(response_ns as f64 * 1e-6 - 1e3 * one.force_s);
            }
        }
        let percent = |count: usize, of: usize| 100.0 * count as f64 / of as f64;
        let figure =
            |part: &str, value: f64, unit: &'static str| Figure::lower(format!("electromechanical_delay.{name}.{part}"), value, unit);
        let higher = |part: &str, value: f64| Figure::higher(format!("electromechanical_delay.{name}.{part}"), value, "%");
        figures.push(figure("delay_rms", rms(&errors), "ms").gate(8.0).aim(6.0));
        figures.push(figure("delay_bias", mean(&errors).abs(), "ms").gate(3.0).aim(1.0).anchor("3 SD threshold", crossing));
        figures.push(figure("force_onset_rms", rms(&onsets_alone), "ms").gate(5.0).aim(2.0));
        figures.push(higher("within_2_sd", percent(within, errors.len())).gate(85.0).aim(95.0));
        figures.push(higher("told", percent(errors.len(), clean)).gate(95.0));
        figures.push(higher("drift_refused", percent(refused, truth.len() - clean)).gate(95.0));
    }
    Ok(figures)
}

/// How late a rise crosses three standard deviations of the noise.
fn late_ms(newtons: f64, power: i32) -> f64 {
    1e3 * (3.0 / newtons).powf(1.0 / f64::from(power))
}

fn session(name: &str, newtons: f64, power: i32) -> (Vec<Contraction>, Stream, Stream) {
    let mut random = Random::new(21, name);
    let truth: Vec<Contraction> = (0..CONTRACTIONS)
        .map(|n| {
            let muscle_s = 1.0 + 2.0 * n as f64 + 0.2 * random.uniform();
            Contraction { muscle_s, force_s: muscle_s + 0.03 + 0.04 * random.uniform(), is_drifting: n % 4 == 3 }
        })
        .collect();
    let rise = |since_s: f64| match since_s {
        since_s if !(0.0..0.7).contains(&since_s) => 0.0,
        since_s => (newtons * since_s.powi(power)).min(300.0) * (1.0 - (since_s - 0.4).max(0.0) / 0.3),
    };
    let force = |k: usize, noise: f64| {
        let time_s = k as f64 * 1e-3;
        let one = &truth[((time_s - 0.5) / 2.0).clamp(0.0, (CONTRACTIONS - 1) as f64) as usize];
        let drift = if one.is_drifting { 60.0 * (time_s - one.muscle_s) } else { 0.0 };
        40.0 + drift + rise(time_s - one.force_s) + noise
    };
    let count = 2000 * CONTRACTIONS + 1000;
    let values: Float64Array = (0..count).map(|k| Some(force(k, random.normal()))).collect();
    let schema = StreamSchema::new(vec![float("force_z_n", "N").frame("lab")], &[], Some(RATE));
    let times: ArrayRef = Arc::new((0..count as i64).map(|k| RATE.grid_time(k)).collect::<Int64Array>());
    let rows = RecordBatch::try_new(schema.columns.clone(), vec![times, Arc::new(values)]).expect("a force");
    let force = (Port { stream: "force/dynamometer".into(), schema }, rows);
    let fields = vec![text("muscle").required(), text("event").required(), float("onset_sd_ms", "ms")];
    let schema = StreamSchema::new(fields, &["muscle"], None);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(truth.iter().map(|one| ((one.muscle_s + 1e-3 * ONSET_SD_MS * random.normal()) * 1e9) as i64).collect::<Int64Array>()),
        Arc::new(StringArray::from(vec!["soleus_left"; CONTRACTIONS])),
        Arc::new(StringArray::from(vec!["onset"; CONTRACTIONS])),
        Arc::new(Float64Array::from(vec![ONSET_SD_MS; CONTRACTIONS])),
    ];
    let rows = RecordBatch::try_new(schema.columns.clone(), columns).expect("onsets");
    (truth, (Port { stream: "onsets".into(), schema }, rows), force)
}
