//! How far are EMG onsets from the truth, how often are they missed or made up, and do their standard deviations say so?
//!
//! Bursts of [`generator`], 400 a cell. Of a trial, the accepted onset nearest to the truth and within 100 ms of it is the one
//! found; any other accepted onset makes the trial a false alarm, so a burst that is split in two is one. What is not found counts
//! as infinitely wrong in medians and percentiles. A trial is refused when nothing was accepted and a refusal names its burst.
//! On a recorded walk ([`recorded`]) there is no truth, but a muscle switches on once to three times a stride.

mod generator;
mod recorded;

use proprio_core::rows::{self, float_or_nan, floats, strings};
use serde_json::json;

use self::generator::{ACTIVE_S, Shape, Trial, trial};
use super::Suite;
use crate::bench::{Bench, Stream};
use crate::error::AccuracyError;
use crate::figure::Figure;
use crate::statistics::{quantile, rms};

pub const SUITE: Suite = Suite {
    name: "emg_onset",
    about: "EMG onsets of synthetic bursts with known truth (step, ramp, narrow spectrum, rest), and of a walk",
    measure,
};

const TRIALS: usize = 400;
/// The detector was developed on seed 1; these trials were looked at once, when it was done.
const SEED: u64 = 20_261_122;
/// How far from the truth an event may be and still count as found, and how long after it a refusal still names the burst.
const FOUND_MS: f64 = 100.0;
const BURST_MS: f64 = 400.0;
/// Medians over step onsets of the best detector measured before (an approximated generalised likelihood ratio).
const ANCHORS: [(f64, f64); 4] = [(10.0, 0.5), (6.0, 2.2), (3.0, 6.5), (0.0, 9.2)];
const ANCHOR: &str = "AGLR sketch, 8 % false alarms";

fn measure(bench: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let mut figures = Vec::new();
    let mut all = Cell::default();
    for (shape, levels_db) in [
        (Shape::Step, &[20.0, 10.0, 6.0, 3.0, 0.0][..]),
        (Shape::Ramp, &[20.0, 10.0, 6.0, 3.0, 0.0]),
        (Shape::Narrow, &[20.0, 10.0, 6.0]),
        (Shape::Rest, &[0.0]),
    ] {
        for level_db in levels_db {
            let cell = Cell::measured(bench, shape, *level_db)?;
            figures.extend(cell.figures(shape, *level_db));
            if *level_db >= 3.0 && matches!(shape, Shape::Step | Shape::Ramp) {
                all.extend(&cell);
            }
        }
    }
    // How far the root of the mean square error is from that of the deviations stated, either way.
    let miscalibration = |found: &Found| 100.0 * (rms(&found.errors_ms) / rms(&found.sds_ms)).ln().abs();
    figures.push(Figure::lower("emg_onset.step_and_ramp.sd_miscalibration", miscalibration(&all.onsets), "%").aim(20.0));
    figures.push(Figure::lower("emg_onset.step_and_ramp.offset_sd_miscalibration", miscalibration(&all.offsets), "%"));
    figures.extend(recorded::figures(bench)?);
    Ok(figures)
}

/// Events that were found, in milliseconds: signed errors, and the deviations stated.
#[derive(Debug, Default)]
struct Found {
    errors_ms: Vec<f64>,
    sds_ms: Vec<f64>,
}

impl Found {
    fn take(&mut self, nearest: Option<(f64, f64)>) {
        self.errors_ms.extend(nearest.map(|(error_ms, _)| error_ms));
        self.sds_ms.extend(nearest.map(|(_, sd_ms)| sd_ms));
    }

    fn absolute_ms(&self) -> Vec<f64> {
        self.errors_ms.iter().map(|error| error.abs()).collect()
    }
}

/// What came of all trials of one shape and level.
#[derive(Debug, Default)]
struct Cell {
    onsets: Found,
    offsets: Found,
    /// Absolute errors of what was found or refused: a refusal has a time, too.
    named_ms: Vec<f64>,
    refused: usize,
    false_alarms: usize,
}

impl Cell {
    fn measured(bench: &mut Bench, shape: Shape, level_db: f64) -> Result<Self, AccuracyError> {
        let mut cell = Self::default();
        for number in 0..TRIALS as u64 {
            let Trial { onset_s, stream } = trial(shape, level_db, SEED, number);
            let (port, found) = bench.step("onsets", "emg_onset", json!({}), &[stream])?;
            let errors = |event: &str, sd: &str, truth_s: f64| errors_ms(&(port.clone(), found.clone()), event, sd, truth_s);
            let nearest = |errors_ms: &[(f64, f64)]| {
                let found = errors_ms.iter().filter(|(error_ms, _)| shape != Shape::Rest && error_ms.abs() <= FOUND_MS);
                found.min_by(|a, b| a.0.abs().total_cmp(&b.0.abs())).copied()
            };
            let onsets = errors("onset", "onset_sd_ms", onset_s);
            let onset = nearest(&onsets);
            cell.onsets.take(onset);
            cell.offsets.take(nearest(&errors("offset", "offset_sd_ms", onset_s + ACTIVE_S)));
            let refusals = errors("refused", "onset_sd_ms", onset_s).into_iter().map(|(error_ms, _)| error_ms);
            let refusals: Vec<f64> = refusals.filter(|error_ms| (-FOUND_MS..BURST_MS).contains(error_ms)).collect();
            let named = onset.map(|(error_ms, _)| error_ms).into_iter().chain(refusals.iter().copied());
            cell.named_ms.extend(named.map(f64::abs).min_by(f64::total_cmp));
            cell.refused += usize::from(onsets.is_empty() && !refusals.is_empty());
            cell.false_alarms += usize::from(onsets.len() > usize::from(onset.is_some()));
        }
        Ok(cell)
    }

    fn extend(&mut self, other: &Self) {
        for (found, other) in [(&mut self.onsets, &other.onsets), (&mut self.offsets, &other.offsets)] {
            found.errors_ms.extend(&other.errors_ms);
            found.sds_ms.extend(&other.sds_ms);
        }
    }

    fn figures(&self, shape: Shape, level_db: f64) -> Vec<Figure> {
        let name = |figure: &str| match shape {
            Shape::Rest => format!("emg_onset.rest.{figure}"),
            _ => format!("emg_onset.{}_{level_db}_db.{figure}", format!("{shape:?}").to_lowercase()),
        };
        let share = |count: usize| 100.0 * count as f64 / TRIALS as f64;
        // Below 1 %, of which a trial is a quarter.
        let false_alarms = Figure::lower(name("false_alarms"), share(self.false_alarms), "%").gate(0.99).anchor(ANCHOR, 8.0);
        if shape == Shape::Rest {
            return vec![false_alarms];
        }
        let anchored = |figure: Figure| match ANCHORS.iter().find(|(level, _)| *level == level_db && shape == Shape::Step) {
            Some((_, anchor)) => figure.aim(*anchor).anchor(ANCHOR, *anchor),
            None => figure,
        };
        if level_db < 3.0 {
            let refused = Figure::higher(name("refused"), share(self.refused), "%").gate(95.0);
            let median = Figure::lower(name("median_with_refused"), quantile(&self.named_ms, 0.5, TRIALS), "ms");
            return vec![anchored(median), refused, false_alarms];
        }
        let absolute_ms = self.onsets.absolute_ms();
        let within = share(absolute_ms.iter().filter(|error| **error <= 50.0).count());
        let within = Figure::higher(name("within_50_ms"), within, "%");
        let median = anchored(Figure::lower(name("median"), quantile(&absolute_ms, 0.5, TRIALS), "ms"));
        let p95 = Figure::lower(name("p95"), quantile(&absolute_ms, 0.95, TRIALS), "ms");
        let (median, p95, within) = match (shape, level_db) {
            (Shape::Step, 10.0) => (median.gate(5.0), p95.gate(25.0), within),
            (Shape::Step, 3.0) => (median.gate(10.0), p95, within.gate(90.0)),
            _ => (median, p95, within),
        };
        let refused = Figure::lower(name("refused"), share(self.refused), "%");
        let offset = Figure::lower(name("offset_median"), quantile(&self.offsets.absolute_ms(), 0.5, TRIALS), "ms");
        let mut figures = vec![median, p95, within, false_alarms, refused, offset];
        if shape == Shape::Narrow {
            // The deviation must not be optimistic where the spectrum is a muscle's.
            let ratio = rms(&self.onsets.errors_ms) / rms(&self.onsets.sds_ms);
            figures.push(Figure::lower(name("rms_error_over_sd"), ratio, "1").gate(1.0));
        }
        figures
    }
}

/// Error and stated deviation of all events of a kind, in milliseconds.
fn errors_ms((port, found): &Stream, event: &str, sd: &str, truth_s: f64) -> Vec<(f64, f64)> {
    let column = |name: &str| port.schema.index(name).expect("emg_onset has the column");
    let (events, sds) = (strings(found, column("event")), floats(found, column(sd)));
    let all = rows::times(found).iter().enumerate().filter(|(row, _)| events.value(*row) == event);
    all.map(|(row, time)| (*time as f64 / 1e6 - truth_s * 1e3, float_or_nan(sds, row))).collect()
}
