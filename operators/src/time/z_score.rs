//! How far is each value from the mean of its window, in standard deviations?
//!
//! Takes every column of numbers of a stream with one row an instant and gives `<column>_z`, without a unit: the value less the mean of
//! its tumbling window, over the window's population standard deviation. Windows tile time from the epoch, the same for every run; nulls
//! take no part and stay. A window whose values are all equal gives nulls: nothing is to be said of them.
//!
//! **Delay**: a window's rows come when the watermark has passed its end, or with the session's end. Memory: the rows of one window.
//!
//! ```yaml
//! op: z_score
//! from: emg/muscles
//! with: { window: 1 s }
//! input:
//!   emg/muscles:
//!     sensor: { kind: emg, rate: 1000 Hz, channels: { 1: gluteus_medius_left, 2: gluteus_medius_right } }
//!     generate:
//!       start: 300 ms
//!       duration: 2.4 s
//!       gaps: [[1.5 s, 1.53 s]]
//!       columns:
//!         gluteus_medius_left_v: [{ constant: 0.002 }, { sine: { amplitude: 1e-4, frequency: 5 Hz } }, { noise: { amplitude: 5e-6, seed: 1 } }]
//!         gluteus_medius_right_v: [{ constant: 0.002 }]
//! ```
//! ```csv
//! time_ns,gluteus_medius_left_v_z,gluteus_medius_right_v_z
//! 300000000,0.23002,
//! 301000000,0.0649366,
//! 302000000,0.101129,
//! 303000000,0.0884276,
//! 304000000,-0.0231786,
//! 305000000,-0.177482,
//! 306000000,-0.0977711,
//! 307000000,-0.282831,
//! 308000000,-0.0779294,
//! …
//! 2696000000,0.115631,
//! 2697000000,-0.00725533,
//! 2698000000,-0.11449,
//! 2699000000,-0.160639,
//! # 2370 rows, every bit hashed: 5fbdb193858b160d
//! ```

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::Field;
use proprio_core::quantity::Duration;
use proprio_core::schema::FieldExt;
use proprio_core::{Configure, Findings, Inputs, Operator, Output, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::kernels::tumbling::{WindowRows, mean_and_sd, numbers, window_end, window_ns};

/// Values as standard deviations from the mean of their window.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Length of the windows, at most 10 min.
    window: Duration,
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let (numbers, window_ns) = match (numbers(&ports[0]), window_ns(self.window)) {
            (Ok(numbers), Ok(window_ns)) => (numbers, window_ns),
            (numbers, window_ns) => return Err(numbers.err().into_iter().chain(window_ns.err()).flatten().collect()),
        };
        let column = |(_, field): &(usize, Field)| field.clone().with_name(format!("{}_z", field.name())).with_nullable(true).unit("1");
        let output = StreamSchema::new(numbers.iter().map(column).collect(), &[], ports[0].schema.rate);
        Ok(Planned::new(ZScore { numbers, window_ns, output: output.clone() }, output))
    }
}

struct ZScore {
    numbers: Vec<(usize, Field)>,
    window_ns: i64,
    output: StreamSchema,
}

impl Operator for ZScore {
    /// The rows of the open window.
    type State = WindowRows;

    fn start(&self) -> WindowRows {
        WindowRows::new(self.numbers.len())
    }

    fn process(&self, state: &mut WindowRows, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let times = rows::times(&inputs[0]);
        let mut from = 0;
        while from < times.len() {
            let end = window_end(state.times.first().copied().unwrap_or(times[from]), self.window_ns);
            let to = from + times[from..].partition_point(|time| *time < end);
            state.extend(&inputs[0], &self.numbers, from, to);
            if to < times.len() {
                self.close(state, out);
            }
            from = to;
        }
        match state.times.first().copied() {
            Some(first) if window_end(first, self.window_ns).saturating_sub(1) > watermark => watermark.min(first.saturating_sub(1)),
            _ => {
                self.close(state, out);
                watermark
            }
        }
    }

    fn flush(&self, state: &mut WindowRows, out: &mut Output) {
        self.close(state, out);
    }
}

impl ZScore {
    fn close(&self, state: &mut WindowRows, out: &mut Output) {
        if state.is_empty() {
            return;
        }
        let WindowRows { times, columns } = state.take();
        let scores = columns.into_iter().map(|mut values| {
            let (mean, sd) = mean_and_sd(&values).unwrap_or((0.0, 0.0));
            let per_sd = if sd > 0.0 { 1.0 / sd } else { f64::NAN };
            values.iter_mut().for_each(|value| *value = (*value - mean) * per_sd);
            rows::nan_as_null(values)
        });
        let columns: Vec<ArrayRef> = std::iter::once(Arc::new(Int64Array::from(times)) as ArrayRef).chain(scores).collect();
        out.push(rows::batch(&self.output, columns));
    }
}
