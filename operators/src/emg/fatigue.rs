//! Does a muscle tire? The median and mean frequency of its EMG over a steady contraction, and how fast they fall.
//!
//! Reads a raw `emg/…` stream and, from it or from a further input, the column that says when the contraction is **isometric**: a Boolean,
//! or a joint angle in degrees that stays within `isometric.within` over a window and over the whole contraction. Per `window` (0.5 to 1
//! s, end to end on a grid from the epoch) and muscle one row, at the window's end: `median_hz` and `mean_hz` of the periodogram of the
//! band-passed signal (20–450 Hz as in `emg_envelope`; Stulen and De Luca 1981) and `rms_v`. Over the windows of one contraction,
//! `slope_hz_per_s` of the median frequency by least squares with the 95 % interval `slope_low_hz_per_s` to `slope_high_hz_per_s`
//! (Student's t), `slope_percent_per_s` relative to the line's beginning `initial_hz`: from five windows on. A muscle tires where even
//! `slope_high_hz_per_s` is below zero.
//!
//! **Refused**, with the `reason`: `not isometric` (in motion the spectrum follows the muscle's length under the electrodes, and not
//! fatigue; so does one that the angle has drifted away from), `unknown` (the column was not there), `gap` (samples are missing), `rest`
//! (RMS below `least`), and, where the stream has the column, `quality: …` as `<muscle>_quality` says. A refused window ends the muscle's
//! contraction; the next line begins anew. **Delay**: none beyond the window; a window that the session's end cuts gives nothing. The
//! slope holds for one contraction at a constant force: that it was constant shows in `rms_v` alone.
//!
//! ```yaml
//! op: fatigue
//! from: [emg/muscles, task]
//! with: { window: 500 ms, isometric: { column: holding } }
//! input:
//!   emg/muscles:
//!     sensor: { kind: emg, rate: 1000 Hz, channels: { 1: vastus_lateralis_left } }
//!     generate:
//!       duration: 4.2 s
//!       gaps: [[0.2 s, 0.25 s]]
//!       columns:
//!         vastus_lateralis_left_v:
//!           - { constant: 0.001 }
//!           - { noise: { amplitude: 1e-6, seed: 1 } }
//!           - { burst: { from: 0.1 s, to: 3.4 s, amplitude: 1e-4, seed: 2 } }
//!           - { burst: { from: 2 s, to: 3.4 s, amplitude: 4e-5, seed: 3 } }
//!   task:
//!     schema:
//!       rate: 20 Hz
//!       columns:
//!         - { name: holding, type: boolean }
//!     generate:
//!       duration: 4.2 s
//!       columns:
//!         holding: [{ constant: 1 }, { steps: [[0 s, 0], [3.1 s, -1], [3.3 s, 0]] }]
//! ```
//! ```csv
//! time_ns,muscle,median_hz,mean_hz,rms_v,windows,initial_hz,slope_hz_per_s,slope_low_hz_per_s,slope_high_hz_per_s,slope_percent_per_s,reason
//! 500000000,vastus_lateralis_left,,,,,,,,,,gap
//! 1000000000,vastus_lateralis_left,244.535,242.818,9.3841e-5,1,,,,,,
//! 1500000000,vastus_lateralis_left,206.975,226.789,8.88746e-5,2,,,,,,
//! 2000000000,vastus_lateralis_left,252.504,238.351,8.98378e-5,3,,,,,,
//! 2500000000,vastus_lateralis_left,221.241,231.331,9.86649e-5,4,,,,,,
//! 3000000000,vastus_lateralis_left,216.451,224.267,9.86448e-5,5,236.722,-8.38062,-50.2707,33.5095,-3.54028,
//! 3500000000,vastus_lateralis_left,,,,,,,,,,not isometric
//! 4000000000,vastus_lateralis_left,,,,,,,,,,rest
//! 4500000000,vastus_lateralis_left,,,,,,,,,,gap
//! # 9 rows, every bit hashed: 07e4d3bca32099b2
//! ```

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::quantity::{Angle, Duration, Frequency, Voltage};
use proprio_core::schema::{FieldExt, column, float, meta, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::emg::{Channel, band_filter, channels, keep, longest_step_ns, rate};
use crate::kernels::filter::{Filter, FilterState};
use crate::kernels::names::suggest;
use crate::kernels::spectrum::{mean_frequency_hz, median_frequency_hz};
use crate::kernels::trend::Trend;

/// Order of the band-pass at each edge.
const ORDER: usize = 2;
/// Share of a window's samples that may be missing without it being a gap.
const LOST: f64 = 0.01;

/// Median frequency over isometric contractions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What says when a contraction is isometric.
    isometric: Isometric,
    /// Muscles to take, such as `vastus_lateralis_left`; all of the stream's when left out.
    #[serde(default)]
    muscles: Vec<String>,
    /// Length of one spectrum, 0.5 to 1 s.
    #[serde(default = "window")]
    window: Duration,
    /// Edges of the band-pass.
    #[serde(default)]
    band: Option<[Frequency; 2]>,
    /// RMS below which a muscle is at rest.
    #[serde(default = "least")]
    least: Voltage,
}

/// A column of any of the inputs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Isometric {
    /// Its name: a Boolean that is true during the contraction, or an angle in degrees.
    column: String,
    /// By how much an angle may change.
    #[serde(default = "within")]
    within: Angle,
}

fn window() -> Duration {
    Duration::new(1.0)
}

fn least() -> Voltage {
    Voltage::new(10e-6)
}

fn within() -> Angle {
    Angle::new(5.0)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let is_emg = |port: &Port| {
            let fields = port.schema.columns.fields();
            fields.iter().any(|field| field.name().ends_with("_v") && field.meta(meta::UNIT) == Some("V"))
        };
        let emg: Vec<usize> = (0..ports.len()).filter(|port| is_emg(&ports[*port])).collect();
        let Some(&input) = emg.first() else {
            let finding = PlanFinding::step("no EMG stream among the inputs").help("read a stream of kind `emg`");
            return Err(vec![finding]);
        };
        if let Some(extra) = emg.get(1) {
            findings.push(PlanFinding::input(*extra, "one EMG stream a step").help("write a step for each"));
        }
        if !(0.5..=1.0).contains(&self.window.seconds()) {
            findings.push(PlanFinding::config("/window", format!("a window of {} is not within 0.5 to 1 s", self.window)));
        }
        if self.least.volts() < 0.0 {
            findings.push(PlanFinding::config("/least", "an RMS is not negative"));
        }
        if !(self.isometric.within.degrees() > 0.0 && self.isometric.within.degrees() <= 30.0) {
            findings.push(PlanFinding::config("/isometric/within", "an angle that stays put stays within 30°, more than 0°"));
        }
        let gate = self.gate(ports, &mut findings);
        let rate = keep(&mut findings, rate(&ports[input]));
        let channels = keep(&mut findings, channels(&ports[input], &self.muscles));
        let filter = rate.and_then(|rate| keep(&mut findings, band_filter(self.band, ORDER, None, rate)));
        let longest_step_ns = rate.and_then(|rate| keep(&mut findings, longest_step_ns(Duration::new(0.001), rate)));
        let parts = (rate, channels, filter, longest_step_ns, gate);
        let ((Some(rate), Some(mut channels), Some(filter), Some(longest_step_ns), Some(gate)), true) = (parts, findings.is_empty()) else {
            return Err(findings);
        };
        channels.sort_by(|a, b| a.muscle.cmp(&b.muscle));
        let quality = |channel: &Channel| {
            let index = ports[input].schema.index(&format!("{}_quality", channel.muscle))?;
            (ports[input].schema.columns.field(index).data_type() == &DataType::Utf8).then_some(index)
        };
        let step = Fatigue {
            input,
            quality: channels.iter().map(quality).collect(),
            channels,
            gate,
            filter,
            rate_hz: rate.hertz(),
            window_ns: self.window.nanoseconds(),
            longest_step_ns,
            least_v: self.least.volts(),
            output: output(),
        };
        Ok(Planned::new(step, output()))
    }
}

impl Config {
    /// Which column of which input tells an isometric contraction.
    fn gate(&self, ports: &[Port], findings: &mut Findings) -> Option<Gate> {
        let name = &self.isometric.column;
        let found = ports.iter().enumerate().find_map(|(port, input)| Some((port, input.schema.index(name)?)));
        let Some((port, column)) = found else {
            let all: Vec<&str> = ports.iter().flat_map(|port| port.schema.names()).collect();
            findings.push(PlanFinding {
                help: suggest(name, all).or(Some("read the step that tells it as a second input".to_owned())),
                ..PlanFinding::config("/isometric/column", format!("none of the inputs has a column `{name}`"))
            });
            return None;
        };
        let field = ports[port].schema.columns.field(column);
        let within_deg = match (field.data_type(), field.meta(meta::UNIT)) {
            (DataType::Boolean, _) => None,
            (DataType::Float64, Some("deg")) => Some(self.isometric.within.degrees()),
            _ => {
                findings.push(PlanFinding::config("/isometric/column", format!("`{name}` is neither a Boolean nor an angle in degrees")));
                return None;
            }
        };
        Some(Gate { port, column, within_deg })
    }
}

fn output() -> StreamSchema {
    let mut fields = vec![text("muscle").required(), float("median_hz", "Hz"), float("mean_hz", "Hz"), float("rms_v", "V")];
    fields.extend([column("windows", DataType::Int64).unit("1"), float("initial_hz", "Hz")]);
    fields.extend(["slope_hz_per_s", "slope_low_hz_per_s", "slope_high_hz_per_s"].map(|name| float(name, "Hz/s")));
    fields.extend([float("slope_percent_per_s", "%/s"), text("reason")]);
    StreamSchema::new(fields, &["muscle"], None)
}

/// The column that tells an isometric contraction; `within_deg` for an angle.
#[derive(Clone, Copy, Debug)]
struct Gate {
    port: usize,
    column: usize,
    within_deg: Option<f64>,
}

struct Fatigue {
    input: usize,
    channels: Vec<Channel>,
    /// By channel.
    quality: Vec<Option<usize>>,
    gate: Gate,
    filter: Filter,
    rate_hz: f64,
    window_ns: i64,
    longest_step_ns: i64,
    least_v: f64,
    output: StreamSchema,
}

/// What is remembered: the open window, and each muscle's contraction.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// Which window is open, counted from the epoch.
    window: Option<i64>,
    muscles: Vec<Memory>,
    held: Held,
    last_ns: Option<TimeNs>,
}

/// What the isometric column said in the open window; its value before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Held {
    /// NaN for null; a Boolean is 1 or 0.
    before: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    newest: Option<f64>,
    is_missing: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Memory {
    filter: FilterState,
    /// The first sample since the newest gap: the filter begins settled on it.
    offset_v: Option<f64>,
    samples: Vec<f64>,
    has_gap: bool,
    bad: Option<String>,
    contraction: Option<Contraction>,
}

/// Windows in a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Contraction {
    first: i64,
    last: i64,
    low: f64,
    high: f64,
    trend: Trend,
}

/// A row of the output.
struct Row<'a> {
    time: TimeNs,
    muscle: &'a str,
    /// Median and mean frequency and RMS.
    measured: Option<[f64; 3]>,
    contraction: Option<Contraction>,
    reason: Option<String>,
}

impl Operator for Fatigue {
    type State = State;

    fn start(&self) -> State {
        let memory =
            Memory { filter: self.filter.start(), offset_v: None, samples: Vec::new(), has_gap: false, bad: None, contraction: None };
        State { muscles: vec![memory; self.channels.len()], ..State::default() }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let (emg, gate) = (&inputs[self.input], &inputs[self.gate.port]);
        let (emg_times, gate_times) = (rows::times(emg), rows::times(gate));
        let (mut emg_row, mut gate_row) = (0, 0);
        let mut found = Vec::new();
        loop {
            let next = [emg_times.get(emg_row), gate_times.get(gate_row)].into_iter().flatten().min();
            self.close(state, next.copied().unwrap_or(TimeNs::MAX).min(watermark), &mut found);
            let Some(next) = next else { break };
            let window = next.div_euclid(self.window_ns);
            state.window = Some(window);
            let end = (window + 1).saturating_mul(self.window_ns);
            let to = gate_row + gate_times[gate_row..].partition_point(|time| *time < end);
            self.take_gate(&mut state.held, gate, gate_row..to);
            gate_row = to;
            let to = emg_row + emg_times[emg_row..].partition_point(|time| *time < end);
            self.take_emg(state, emg, emg_row..to);
            emg_row = to;
        }
        out.push(self.batch(&found));
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl Fatigue {
    /// Closes the open window where it ends by `until`.
    fn close<'a>(&'a self, state: &mut State, until: TimeNs, found: &mut Vec<Row<'a>>) {
        let Some(window) = state.window else { return };
        let time = (window + 1).saturating_mul(self.window_ns);
        if time > until {
            return;
        }
        let held = std::mem::take(&mut state.held);
        let gate = self.gated(held);
        for (channel, memory) in self.channels.iter().zip(&mut state.muscles) {
            let samples = std::mem::take(&mut memory.samples);
            let (has_gap, bad) = (std::mem::take(&mut memory.has_gap), memory.bad.take());
            if samples.is_empty() && !has_gap {
                memory.contraction = None;
                continue;
            }
            let due = self.window_ns as f64 * 1e-9 * self.rate_hz;
            let is_whole = !has_gap && samples.len() as f64 >= (1.0 - LOST) * due;
            let rms_v = (samples.iter().map(|sample| sample * sample).sum::<f64>() / samples.len() as f64).sqrt();
            let mut reason = gate.err().map(str::to_owned);
            reason = reason.or_else(|| (!is_whole).then(|| "gap".to_owned()));
            reason = reason.or_else(|| bad.map(|word| format!("quality: {word}")));
            reason = reason.or_else(|| (rms_v < self.least_v).then(|| "rest".to_owned()));
            // A window without any row is none of a contraction either.
            memory.contraction = memory.contraction.filter(|contraction| contraction.last + 1 == window);
            let range = gate.unwrap_or((0.0, 0.0));
            let drifted = reason.is_none() && self.gate.within_deg.is_some_and(|within| !stays(memory.contraction, range, within));
            if drifted {
                reason = Some("not isometric".to_owned());
            }
            if reason.is_some() {
                memory.contraction = None;
                found.push(Row { time, muscle: &channel.muscle, measured: None, contraction: None, reason });
                continue;
            }
            let measured = [median_frequency_hz(&samples, self.rate_hz), mean_frequency_hz(&samples, self.rate_hz), rms_v];
            let begun = Contraction { first: window, last: window, low: range.0, high: range.1, trend: Trend::default() };
            let contraction = memory.contraction.get_or_insert(begun);
            contraction.last = window;
            (contraction.low, contraction.high) = (contraction.low.min(range.0), contraction.high.max(range.1));
            contraction.trend.push((window - contraction.first) as f64 * self.window_ns as f64 * 1e-9, measured[0]);
            found.push(Row { time, muscle: &channel.muscle, measured: Some(measured), contraction: Some(*contraction), reason: None });
        }
        state.held = Held { before: held.newest.or(held.before), ..Held::default() };
        state.window = None;
    }

    /// The least and largest value of the isometric column over a window.
    fn gated(&self, held: Held) -> Result<(f64, f64), &'static str> {
        // An angle is sampled, so what it was before doesn't hold; a Boolean may be told once.
        let before = held.before.filter(|_| self.gate.within_deg.is_none());
        let all = [before, held.low, held.high];
        let (low, high) =
            all.iter().flatten().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
        if held.is_missing || all.iter().flatten().next().is_none() || before.is_some_and(f64::is_nan) {
            return Err("unknown");
        }
        let is_held = match self.gate.within_deg {
            None => low > 0.5,
            Some(within) => high - low <= within,
        };
        if is_held { Ok((low, high)) } else { Err("not isometric") }
    }

    fn take_gate(&self, held: &mut Held, batch: &RecordBatch, range: std::ops::Range<usize>) {
        let array = batch.column(self.gate.column);
        for row in range {
            let value = match array.data_type() {
                _ if array.is_null(row) => f64::NAN,
                DataType::Boolean => f64::from(u8::from(AsArray::as_boolean(array).value(row))),
                _ => rows::floats(batch, self.gate.column).value(row),
            };
            held.take(value);
        }
    }

    fn take_emg(&self, state: &mut State, batch: &RecordBatch, range: std::ops::Range<usize>) {
        let times = rows::times(batch);
        let columns: Vec<&Float64Array> = self.channels.iter().map(|channel| rows::floats(batch, channel.index)).collect();
        let words: Vec<Option<&StringArray>> = self.quality.iter().map(|index| index.map(|index| rows::strings(batch, index))).collect();
        for row in range {
            let is_late = state.last_ns.is_some_and(|last| times[row].saturating_sub(last) > self.longest_step_ns);
            state.last_ns = Some(times[row]);
            for (n, memory) in state.muscles.iter_mut().enumerate() {
                let sample = rows::float_or_nan(columns[n], row);
                if is_late || sample.is_nan() {
                    (memory.filter, memory.offset_v, memory.has_gap) = (self.filter.start(), None, true);
                }
                if sample.is_finite() {
                    let offset_v = *memory.offset_v.get_or_insert(sample);
                    memory.samples.push(self.filter.step(&mut memory.filter, sample - offset_v));
                }
                let word = words[n].filter(|words| words.is_valid(row)).map(|words| words.value(row));
                if let Some(word) = word.filter(|word| !["good", "poor", "settling"].contains(word)) {
                    memory.bad.get_or_insert_with(|| word.to_owned());
                }
            }
        }
    }

    fn batch(&self, found: &[Row]) -> RecordBatch {
        let line = |row: &Row| row.contraction.and_then(|contraction| contraction.trend.line());
        let floats =
            |value: &dyn Fn(&Row) -> Option<f64>| rows::nan_as_null(found.iter().map(|row| value(row).unwrap_or(f64::NAN)).collect());
        let measured = |n: usize| floats(&|row| row.measured.map(|measured| measured[n]));
        let windows = found.iter().map(|row| row.contraction.map(|contraction| i64::from(contraction.trend.count)));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(found.iter().map(|row| row.time).collect::<Int64Array>()),
            Arc::new(StringArray::from_iter_values(found.iter().map(|row| row.muscle))),
            measured(0),
            measured(1),
            measured(2),
            Arc::new(windows.collect::<Int64Array>()),
            floats(&|row| Some(line(row)?.intercept)),
            floats(&|row| Some(line(row)?.slope)),
            floats(&|row| line(row).map(|line| line.slope - line.slope_margin)),
            floats(&|row| line(row).map(|line| line.slope + line.slope_margin)),
            floats(&|row| line(row).map(|line| 100.0 * line.slope / line.intercept)),
            Arc::new(found.iter().map(|row| row.reason.as_deref()).collect::<StringArray>()),
        ];
        rows::batch(&self.output, columns)
    }
}

impl Held {
    fn take(&mut self, value: f64) {
        if value.is_nan() {
            self.is_missing = true;
        } else {
            self.low = Some(self.low.map_or(value, |low| low.min(value)));
            self.high = Some(self.high.map_or(value, |high| high.max(value)));
        }
        self.newest = Some(value);
    }
}

/// Whether a contraction's angle stays within its limit with a further window.
fn stays(contraction: Option<Contraction>, range: (f64, f64), within: f64) -> bool {
    contraction.is_none_or(|contraction| contraction.high.max(range.1) - contraction.low.min(range.0) <= within)
}
