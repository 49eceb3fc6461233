//! What are a stream's numbers worth at another rate?
//!
//! Takes every column of numbers of a stream with one row an instant and gives them at k/rate seconds from the epoch, the grid that all runs
//! share, on the straight line between the row before and the row after; a row that lies on the grid passes as it is. Between rows more
//! than `longest` apart there is nothing, and where either has a null there is one. Nothing is filtered: what is slowed down must have no
//! more than half the new rate in it (`emg_envelope` sees to that by itself). Columns of other types are left out.
//!
//! `align` does the same for several streams at once, with a reason for each row, for columns of other types, and for rotations, which a
//! straight line would bend: they are refused here.
//!
//! **Delay**: a point waits for the next row. Memory: one row.
//!
//! ```yaml
//! op: resample
//! from: emg/muscles
//! with: { rate: 250 Hz }
//! input:
//!   emg/muscles:
//!     schema:
//!       rate: 100 Hz
//!       columns:
//!         - { name: gluteus_medius_left_v, unit: V, segment: pelvis, side: left }
//!         - { name: gluteus_medius_right_v, unit: V, segment: pelvis, side: right }
//!     rows: |
//!       time_ms,gluteus_medius_left_v,gluteus_medius_right_v
//!       3,1e-5,1e-5
//!       13,3e-5,1e-5
//!       24,2e-5,
//!       33,4e-5,5e-5
//!       100,1e-5,1e-5
//!       110,0,2e-5
//! ```
//! ```csv
//! time_ns,gluteus_medius_left_v,gluteus_medius_right_v
//! 4000000,1.2e-5,1e-5
//! 8000000,2e-5,1e-5
//! 12000000,2.8e-5,1e-5
//! 16000000,2.72727e-5,
//! 20000000,2.36364e-5,
//! 24000000,2e-5,
//! 28000000,2.88889e-5,
//! 32000000,3.77778e-5,
//! 100000000,1e-5,1e-5
//! 104000000,6e-6,1.4e-5
//! 108000000,2e-6,1.8e-5
//! # 11 rows, every bit hashed: 8f27a0d3d090fcdf
//! ```

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::Field;
use proprio_core::quantity::Duration;
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, Rate, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::tumbling::{WindowRows, numbers};

/// Above this a straight line would tell of what nobody measured.
const LONGEST_NS: i64 = 60_000_000_000;

/// Numbers at another rate, by straight lines.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Rows a second.
    rate: Rate,
    /// The longest step from row to row that is bridged, at most 60 s; left out: twice the stream's period.
    #[serde(default)]
    longest: Option<Duration>,
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let port = &ports[0];
        let mut findings = Findings::new();
        let numbers = numbers(port).map_err(|found| findings.extend(found)).unwrap_or_default();
        if let Some((_, field)) = numbers.iter().find(|(_, field)| field.name().ends_with("q_w")) {
            let message = format!("`{}` of `{}` is part of a rotation, which a straight line would bend", field.name(), port.stream);
            findings.push(PlanFinding::input(0, message).help("put it on a grid with `align`"));
        }
        let of_rate_ns = port.schema.rate.map(|rate| rate.period_ns().saturating_mul(2).min(LONGEST_NS));
        let longest_ns = self.longest.map(Duration::nanoseconds).or(of_rate_ns);
        if longest_ns.is_some_and(|longest_ns| !(1..=LONGEST_NS).contains(&longest_ns)) {
            findings.push(PlanFinding::config("/longest", "the longest step that is bridged lies between 0 s and 60 s"));
        }
        let Some(longest_ns) = longest_ns else {
            let message = format!("`{}` has no rate, so `longest` has to say how far rows may lie apart", port.stream);
            findings.push(PlanFinding::step(message).help("with: { longest: 100 ms }"));
            return Err(findings);
        };
        if !findings.is_empty() {
            return Err(findings);
        }
        let fields = numbers.iter().map(|(_, field)| field.clone().with_nullable(true)).collect();
        let output = StreamSchema::new(fields, &[], Some(self.rate));
        Ok(Planned::new(Resample { numbers, rate: self.rate, longest_ns, output: output.clone() }, output))
    }
}

struct Resample {
    numbers: Vec<(usize, Field)>,
    rate: Rate,
    longest_ns: i64,
    output: StreamSchema,
}

/// The newest row, and the first grid point that may be after it.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    newest: WindowRows,
    next: i64,
}

/// A grid point: the row at or after it, and how far it lies from the one before to that one.
struct Place {
    after: usize,
    share: f64,
}

impl Operator for Resample {
    type State = State;

    fn start(&self) -> State {
        State { newest: WindowRows::new(self.numbers.len()), next: i64::MIN }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let count = inputs[0].num_rows();
        if count > 0 {
            let is_first = state.newest.is_empty();
            state.newest.extend(&inputs[0], &self.numbers, 0, count);
            let (grid, places) = self.places(&state.newest.times, is_first, &mut state.next);
            if !grid.is_empty() {
                let columns = state.newest.columns.iter().map(|values| rows::nan_as_null(along(values, &places)));
                let columns = std::iter::once(Arc::new(Int64Array::from(grid)) as ArrayRef).chain(columns).collect();
                out.push(rows::batch(&self.output, columns));
            }
            state.newest.keep_last();
        }
        match state.newest.times.last() {
            // No row that bridges can come any more: the next point is at or after the next row.
            Some(last) if last.saturating_add(self.longest_ns) > watermark => {
                watermark.min(self.rate.grid_time(state.next).saturating_sub(1))
            }
            _ => watermark,
        }
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl Resample {
    /// The grid points up to the last of `times` that have a value, from `next` on, and where each lies. The first time has been seen
    /// before, unless `is_first`.
    fn places(&self, times: &[TimeNs], is_first: bool, next: &mut i64) -> (Vec<TimeNs>, Vec<Place>) {
        let (mut grid, mut places) = (Vec::new(), Vec::new());
        let mut before = times[0];
        if is_first {
            *next = self.rate.grid_index_at_or_after(before);
        }
        let mut points = self.rate.grid_times(*next);
        let mut point = points.next().unwrap_or(TimeNs::MAX);
        for (after, time) in times.iter().copied().enumerate().skip(usize::from(!is_first)) {
            if time.saturating_sub(before) > self.longest_ns {
                *next = self.rate.grid_index_at_or_after(time);
                points = self.rate.grid_times(*next);
                point = points.next().unwrap_or(TimeNs::MAX);
            }
            let step_ns = (time - before).max(1) as f64;
            while point <= time {
                grid.push(point);
                let share = if point == time { 1.0 } else { (point - before) as f64 / step_ns };
                places.push(Place { after, share });
                point = points.next().unwrap_or(TimeNs::MAX);
                *next += 1;
            }
            before = time;
        }
        (grid, places)
    }
}

/// Values at the places; NaN where a value that is needed is.
fn along(values: &[f64], places: &[Place]) -> Vec<f64> {
    let at = |Place { after, share }: &Place| {
        let (before, after) = (values[after.saturating_sub(1)], values[*after]);
        if *share == 1.0 { after } else { before + (after - before) * share }
    };
    places.iter().map(at).collect()
}
