//! How near to the truth is the slope of the median frequency, and is what can't be judged refused?
//!
//! The generator is fixed: a muscle's noise between 40 and 180 Hz, played slower by 0.4 % of its first speed each second, so that its
//! whole spectrum, and with it the median frequency, falls by just that. A contraction lasts 40 s, in 20 trials; in 20 more it doesn't
//! tire. Then the joint moves.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use proprio_core::rows::{float_or_nan, floats, strings};
use proprio_core::schema::{column, float};
use proprio_core::{Port, Rate, StreamSchema};
use proprio_operators::kernels::filter::Filter;
use proprio_simulate::Random;
use serde_json::json;

use super::Suite;
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::statistics::{mean, rms};

pub const SUITE: Suite = Suite { name: "fatigue", about: "slopes of the median frequency on muscles that tire by a known share", measure };

const RATE: Rate = Rate::hz(1000);
const HELD_S: usize = 40;
const MOVED_S: usize = 10;
const TRIALS: u64 = 20;

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = Vec::new();
    for (name, loss_percent_per_s) in [("tiring", 0.4), ("steady", 0.0)] {
        let (mut errors, mut within, mut tired, mut refused, mut moved) = (Vec::new(), 0, 0, 0, 0);
        for trial in 0..TRIALS {
            let (emg, held) = contraction(trial, loss_percent_per_s / 100.0);
            let (_, rows) = bench.step("fatigue", "fatigue", json!({ "isometric": { "column": "holding" } }), &[emg, held])?;
            let value = |name: &str, row: usize| float_or_nan(floats(&rows, rows.schema().index_of(name).expect("its column")), row);
            let last = HELD_S - 1;
            let slope = value("slope_percent_per_s", last);
            errors.push(slope + loss_percent_per_s);
            // The interval is in hertz, relative to the line's beginning as the slope is.
            let [low, high] =
                ["slope_low_hz_per_s", "slope_high_hz_per_s"].map(|name| 100.0 * value(name, last) / value("initial_hz", last));
            within += usize::from((low..=high).contains(&-loss_percent_per_s));
            tired += usize::from(high < 0.0);
            let reasons: &StringArray = strings(&rows, rows.schema().index_of("reason").expect("its column"));
            for row in HELD_S..rows.num_rows() {
                moved += 1;
                refused += usize::from(reasons.value(row) == "not isometric" && value("median_hz", row).is_nan());
            }
        }
        let percent = |count: usize, of: usize| 100.0 * count as f64 / of as f64;
        let trials = TRIALS as usize;
        figures.push(Figure::lower(format!("fatigue.{name}.slope_rms"), rms(&errors), "%/s").gate(0.1).aim(0.05));
        figures.push(Figure::lower(format!("fatigue.{name}.slope_bias"), mean(&errors).abs(), "%/s").gate(0.05).aim(0.02));
        figures.push(Figure::higher(format!("fatigue.{name}.interval_holds_truth"), percent(within, trials), "%").gate(85.0).aim(95.0));
        let told = percent(tired, trials);
        figures.push(match name {
            "tiring" => Figure::higher("fatigue.tiring.told", told, "%").gate(95.0),
            _ => Figure::lower("fatigue.steady.told_tiring", told, "%").gate(10.0).aim(2.5),
        });
        figures.push(Figure::higher(format!("fatigue.{name}.motion_refused"), percent(refused, moved), "%").gate(100.0));
    }
    Ok(figures)
}

/// EMG and the column that tells when it is isometric; the muscle is active all the while.
fn contraction(trial: u64, loss_per_s: f64) -> (Stream, Stream) {
    let mut random = Random::new(trial, "fatigue");
    let count = (HELD_S + MOVED_S) * 1000;
    // Eight samples for one, so that what lies between them may be read along the straight line.
    const FINE: usize = 8;
    let filter = Filter::band_pass(2, 40.0, 180.0, 1000.0 * FINE as f64);
    let mut state = filter.start();
    let fine: Vec<f64> = (0..(count + 200) * FINE).map(|_| filter.step(&mut state, random.normal())).collect();
    let fine = &fine[100 * FINE..];
    let gain = 1e-4 / rms(fine);
    let sample = |k: usize| {
        let time_s = k as f64 / 1000.0;
        let tiring_s = time_s.min(HELD_S as f64);
        let played_s = time_s - loss_per_s * (tiring_s * tiring_s / 2.0 + tiring_s * (time_s - tiring_s));
        let at = played_s * 1000.0 * FINE as f64;
        let (before, share) = (at as usize, at.fract());
        gain * ((1.0 - share) * fine[before] + share * fine[before + 1])
    };
    let times = |rate: Rate, count: usize| -> ArrayRef { Arc::new((0..count as i64).map(|k| rate.grid_time(k)).collect::<Int64Array>()) };
    let schema = StreamSchema::new(vec![float("vastus_lateralis_left_v", "V")], &[], Some(RATE));
    let columns = vec![times(RATE, count), Arc::new((0..count).map(|k| Some(sample(k))).collect::<Float64Array>()) as ArrayRef];
    let emg = (Port { stream: "emg/muscles".into(), schema: schema.clone() }, batch(&schema, columns));
    let slow = Rate::hz(10);
    let schema = StreamSchema::new(vec![column("holding", DataType::Boolean)], &[], Some(slow));
    let count = (HELD_S + MOVED_S) * 10;
    let holding = (0..count).map(|k| Some(k < HELD_S * 10)).collect::<BooleanArray>();
    let held = (Port { stream: "task".into(), schema: schema.clone() }, batch(&schema, vec![times(slow, count), Arc::new(holding)]));
    (emg, held)
}

fn batch(schema: &StreamSchema, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(schema.columns.clone(), columns).expect("columns of this schema")
}
