//! Is a muscle that lets go told from a usual one? Simulated walkers whose left gluteus medius loses 60 % of its activity within each
//! burst, after healthy strides; all other channels stay as they were. And against the other side: one that has let go from the first
//! stride on, which no personal band shows. Both sides' electrodes have the same gain, as if normalised alike.
//!
//! The generator is `proprio-simulate` as it stands. Development used seeds below 100.

use arrow_select::concat::concat_batches;
use proprio_core::rows::{strings, times};
use proprio_simulate::{Impairments, Layout, Options, PerSide};
use serde_json::{Value, json};

use super::Suite;
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::simulated::Simulated;

pub const SUITE: Suite =
    Suite { name: "activation", about: "under-activity of a simulated gluteus medius against the personal band", measure };

const SEEDS: std::ops::Range<u64> = 100..112;
const SENSORS: [&str; 3] = ["muscles", "plate_1", "plate_2"];
const WEAK: &str = "gluteus_medius_left_envelope_v";
const WEAK_HOLD: f64 = 0.6;
const DURATION_S: f64 = 50.0;
const SETS_IN_S: f64 = 22.0;
/// A trend needs so many strides, the one in which the change sets in beside.
const TREND_STRIDES: usize = 6;

/// Rows that were judged, and how many of them had a verdict, a trend out of the band.
#[derive(Default)]
struct Tally {
    rows: usize,
    out: usize,
    trend: usize,
}

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let (mut weak, mut usual) = (Tally::default(), Tally::default());
    for seed in SEEDS {
        session(bench, seed, &mut weak, &mut usual)?;
    }
    let (mut other_weak, mut other_usual) = (Tally::default(), Tally::default());
    for seed in SEEDS {
        contralateral(bench, seed, WEAK_HOLD, &mut other_weak)?;
        contralateral(bench, seed, 0.0, &mut other_usual)?;
    }
    let share = |count: usize, tally: &Tally| 100.0 * count as f64 / tally.rows as f64;
    Ok(vec![
        Figure::higher("activation.weak_trend", share(weak.trend, &weak), "%").gate(90.0),
        Figure::higher("activation.weak_strides_out", share(weak.out, &weak), "%"),
        Figure::lower("activation.usual_trend", share(usual.trend, &usual), "%").gate(5.0),
        Figure::lower("activation.usual_strides_out", share(usual.out, &usual), "%"),
        Figure::higher("activation.contralateral_weak_trend", share(other_weak.trend, &other_weak), "%").gate(90.0),
        Figure::lower("activation.contralateral_usual_trend", share(other_usual.trend, &other_usual), "%").gate(5.0),
    ])
}

fn session(bench: &mut Bench, seed: u64, weak: &mut Tally, usual: &mut Tally) -> Result<(), AccuracyError> {
    let (healthy, letting_go) = (Simulated::new(options(seed, 0.0), &SENSORS)?, Simulated::new(options(seed, WEAK_HOLD), &SENSORS)?);
    let [muscles, left, right] = SENSORS.map(|sensor| {
        let ((port, before), (_, after)) = (healthy.stream(sensor), letting_go.stream(sensor));
        let at = times(&before).partition_point(|time| healthy.seconds(*time) < SETS_IN_S);
        let parts = [before.slice(0, at), after.slice(at, after.num_rows() - at)];
        let rows = concat_batches(&port.schema.columns, &parts).expect("one schema");
        (port, rows)
    });
    let (port, rows) = judged(bench, json!({}), &muscles, [left, right])?;
    let column = |name: &str| port.schema.index(name).unwrap_or_else(|| panic!("there is a column {name}"));
    let (channels, verdicts) = (strings(&rows, column("channel")), strings(&rows, column("verdict")));
    let trends = strings(&rows, column("trend"));
    let mut since = 0;
    for (row, trend) in trends.iter().enumerate() {
        let is_weak = channels.value(row) == WEAK && healthy.seconds(times(&rows)[row]) > SETS_IN_S;
        since += usize::from(is_weak);
        // An unknown stride of the weak muscle counts as not found; one of another says nothing.
        if (is_weak && since < TREND_STRIDES) || (!is_weak && trend.is_none()) {
            continue;
        }
        let tally = if is_weak { &mut *weak } else { &mut *usual };
        let is_out = |verdict: &str| if is_weak { verdict == "under" } else { verdict == "over" || verdict == "under" };
        tally.rows += 1;
        tally.out += usize::from(is_out(verdicts.value(row)));
        tally.trend += usize::from(trend.is_some_and(is_out));
    }
    Ok(())
}

/// A walker whose left gluteus medius has let go by `hold` from the first stride on, judged against the right one.
fn contralateral(bench: &mut Bench, seed: u64, hold: f64, tally: &mut Tally) -> Result<(), AccuracyError> {
    let walker = Simulated::new(options(seed, hold), &SENSORS)?;
    let [muscles, left, right] = SENSORS.map(|sensor| walker.stream(sensor));
    let (port, rows) = judged(bench, json!({ "baseline": "contralateral", "channels": [WEAK] }), &muscles, [left, right])?;
    let trends = strings(&rows, port.schema.index("trend").expect("there is a trend"));
    for trend in trends.iter().flatten() {
        tally.rows += 1;
        tally.trend += usize::from(if hold > 0.0 { trend == "under" } else { trend != "in_band" });
    }
    Ok(())
}

fn options(seed: u64, hold: f64) -> Options {
    let impairments = Impairments { weak_hold: PerSide { left: hold, right: 0.0 }, ..Impairments::default() };
    Options { seed, impairments, duration_s: DURATION_S, ..Options::of(Layout::Walking) }
}

fn judged(bench: &mut Bench, config: Value, muscles: &Stream, plates: [Stream; 2]) -> Result<Stream, AccuracyError> {
    let envelope = bench.step("envelope", "emg_envelope", json!({ "rate": "200 Hz" }), std::slice::from_ref(muscles))?;
    let contacts = bench.step("contacts", "force_events", json!({ "side": { "plate_1": "left", "plate_2": "right" } }), &plates)?;
    let profile = bench.step("profile", "phase_profile", json!({}), &[envelope, contacts])?;
    bench.step("activation", "activation", config, &[profile])
}
