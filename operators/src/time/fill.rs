//! What stands in the place of lost samples? Rows for them, with the mean of their window.
//!
//! Takes every column of numbers of a stream with a rate and one row an instant. Between two rows that are more than one and a half periods
//! and at most `longest` apart rows are put in, evenly, as many as were lost; each of their values, and each null of a row that came, is
//! the mean of what came of that column within the tumbling window around it. `filled` says which rows are not wholly measured. Windows
//! tile time from the epoch, the same for every run. A column without any value in a window stays null there, and what is longer than
//! `longest` stays a gap, which ends the window before it. Columns of other types are left out.
//!
//! Short losses can also be covered at their source (`loss: fill` in the rig file), without waiting for a window.
//!
//! **Delay**: a window's rows come with the first row after its end, at the latest when the watermark is `longest` ahead of its last row.
//! Memory: the rows of one window.
//!
//! ```yaml
//! op: fill
//! from: emg/muscles
//! with: { window: 500 ms, longest: 100 ms }
//! input:
//!   emg/muscles:
//!     schema:
//!       rate: 100 Hz
//!       columns:
//!         - { name: gluteus_medius_left_v, unit: V, segment: pelvis, side: left }
//!         - { name: gluteus_medius_right_v, unit: V, segment: pelvis, side: right }
//!     rows: |
//!       time_ms,gluteus_medius_left_v,gluteus_medius_right_v
//!       450,1e-5,
//!       460,2e-5,
//!       500,4e-5,1e-6
//!       510,,2e-6
//!       520,8e-5,3e-6
//!       970,1e-5,4e-6
//!       1030,3e-5,8e-6
//!       1040,5e-5,9e-6
//!       1200,7e-5,7e-6
//! ```
//! ```csv
//! time_ns,gluteus_medius_left_v,gluteus_medius_right_v,filled
//! 450000000,1e-5,,false
//! 460000000,2e-5,,false
//! 470000000,1.5e-5,,true
//! 480000000,1.5e-5,,true
//! 490000000,1.5e-5,,true
//! 500000000,4e-5,1e-6,false
//! 510000000,6e-5,2e-6,true
//! 520000000,8e-5,3e-6,false
//! 970000000,1e-5,4e-6,false
//! …
//! 1020000000,4e-5,8.5e-6,true
//! 1030000000,3e-5,8e-6,false
//! 1040000000,5e-5,9e-6,false
//! 1200000000,7e-5,7e-6,false
//! # 17 rows, every bit hashed: f0b724792aca1be1
//! ```

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field};
use proprio_core::quantity::Duration;
use proprio_core::schema::{FieldExt, column};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::tumbling::{WindowRows, mean, numbers, window_end, window_ns};

/// Rows for lost samples, and values for missing ones: the mean of their window.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Length of the windows whose means are taken, at most 10 min.
    window: Duration,
    /// The longest step from row to row that is filled, at most the window; left out: the window.
    #[serde(default)]
    longest: Option<Duration>,
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let mut noted = |found: Findings| findings.extend(found);
        let numbers = numbers(&ports[0]).map_err(&mut noted).unwrap_or_default();
        let window_ns = window_ns(self.window).map_err(&mut noted).unwrap_or(i64::MAX);
        let Some(rate) = ports[0].schema.rate else {
            noted(vec![PlanFinding::input(0, format!("`{}` has no rate, so nothing tells what is lost", ports[0].stream))]);
            return Err(findings);
        };
        let longest_ns = self.longest.map_or(window_ns, Duration::nanoseconds);
        if !(rate.period_ns()..=window_ns).contains(&longest_ns) {
            let message = "the longest step that is filled lies between the stream's period and the window";
            findings.push(PlanFinding::config("/longest", message));
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let mut fields: Vec<Field> = numbers.iter().map(|(_, field)| field.clone().with_nullable(true)).collect();
        fields.push(column("filled", DataType::Boolean).required());
        let output = StreamSchema::new(fields, &[], Some(rate));
        let operator = Fill { numbers, window_ns, longest_ns, period_ns: rate.period_ns(), output: output.clone() };
        Ok(Planned::new(operator, output))
    }
}

struct Fill {
    numbers: Vec<(usize, Field)>,
    window_ns: i64,
    longest_ns: i64,
    period_ns: i64,
    output: StreamSchema,
}

/// The rows of the open window, with those that were put in.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    rows: WindowRows,
    /// Which of them are not wholly measured: their indices, in order.
    filled: Vec<usize>,
}

impl Operator for Fill {
    type State = State;

    fn start(&self) -> State {
        State { rows: WindowRows::new(self.numbers.len()), filled: Vec::new() }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let times = rows::times(&inputs[0]);
        let mut from = 0;
        while from < times.len() {
            self.bridge(state, times[from], out);
            let to = from + self.unbroken(&times[from..]);
            state.rows.extend(&inputs[0], &self.numbers, from, to);
            from = to;
        }
        match (state.rows.times.first(), state.rows.times.last()) {
            (Some(first), Some(last)) if last.saturating_add(self.longest_ns) > watermark => watermark.min(first.saturating_sub(1)),
            _ => {
                self.close(state, out);
                watermark
            }
        }
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        self.close(state, out);
    }
}

impl Fill {
    /// How many rows follow each other without a loss, within the window of the first.
    fn unbroken(&self, times: &[TimeNs]) -> usize {
        let end = window_end(times[0], self.window_ns);
        let steps = times.windows(2).take_while(|pair| pair[1] < end && !self.is_loss(pair[1] - pair[0]));
        steps.count() + 1
    }

    fn is_loss(&self, step_ns: i64) -> bool {
        step_ns > self.period_ns.saturating_add(self.period_ns / 2)
    }

    /// Puts in what was lost between the newest row and the next one, and closes the window where that lies in another.
    fn bridge(&self, state: &mut State, next: TimeNs, out: &mut Output) {
        let Some(last) = state.rows.times.last().copied() else { return };
        let step_ns = next.saturating_sub(last);
        if self.is_loss(step_ns) && step_ns <= self.longest_ns {
            let steps = (step_ns + self.period_ns / 2) / self.period_ns;
            for k in 1..steps {
                let time = last + (i128::from(step_ns) * i128::from(k) / i128::from(steps)) as i64;
                self.close_before(state, time, out);
                state.filled.push(state.rows.times.len());
                state.rows.times.push(time);
                state.rows.columns.iter_mut().for_each(|column| column.push(f64::NAN));
            }
        } else if step_ns > self.longest_ns {
            self.close(state, out);
        }
        self.close_before(state, next, out);
    }

    /// Closes the open window when `time` lies behind it.
    fn close_before(&self, state: &mut State, time: TimeNs, out: &mut Output) {
        if state.rows.times.first().is_some_and(|first| time >= window_end(*first, self.window_ns)) {
            self.close(state, out);
        }
    }

    fn close(&self, state: &mut State, out: &mut Output) {
        if state.rows.is_empty() {
            return;
        }
        let WindowRows { times, mut columns } = state.rows.take();
        let mut filled = vec![false; times.len()];
        std::mem::take(&mut state.filled).into_iter().for_each(|row| filled[row] = true);
        for column in &mut columns {
            if column.iter().any(|value| value.is_nan()) {
                let (count, mean) = mean(column);
                for (value, filled) in column.iter_mut().zip(&mut filled).filter(|(value, _)| count > 0 && value.is_nan()) {
                    (*value, *filled) = (mean, true);
                }
            }
        }
        let times: ArrayRef = Arc::new(Int64Array::from(times));
        let filled: ArrayRef = Arc::new(BooleanArray::from(filled));
        let columns = std::iter::once(times).chain(columns.into_iter().map(rows::nan_as_null)).chain([filled]);
        out.push(rows::batch(&self.output, columns.collect()));
    }
}
