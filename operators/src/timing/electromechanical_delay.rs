//! How long after its muscle does a force begin? The electromechanical delay of each contraction.
//!
//! Reads one or more streams of muscle onsets (`emg_onset`) and one stream with a mechanical `response`: a force, a torque or an
//! acceleration. For each onset one row, at the onset's time: `delay_ms` from the muscle's onset to the response's, `delay_sd_ms` from the
//! standard deviations of both (`onset_sd_ms`, `response_sd_ms`), and `response_ns`. The muscle's onset is the mean over all times that
//! its samples leave open (`onset_ahead_ms` before the row's time), and so is the response's: rest, then a straight or quadratic rise,
//! weighted over all beginnings. A threshold alone would be late by what the rise takes to reach it, which is half the delay in a slow
//! contraction.
//!
//! **Refused**, with the `reason`: `refused: …` (the muscle's onset is in doubt), `not at rest` (the response drifts before the onset by
//! more than `least` and three of its standard deviations), `no response` within `range`, `gap` (samples are missing), `uncertain`
//! (`delay_sd_ms` beyond `max_sd`), `the response comes first` (by more than two standard deviations), `the session ended`. Surface EMG to
//! force at a joint takes 30 to 100 ms (Cavanagh and Komi 1979); a filter that delayed the response counts as delay, so read the raw one.
//!
//! **Delay**: `range`'s end and 40 ms. Units: of the response's column; it needs a rate of 200 Hz or more.
//!
//! ```yaml
//! op: electromechanical_delay
//! from: [onsets, force/dynamometer]
//! with: { response: { column: force_z_n, least: 2 }, range: [0 ms, 150 ms] }
//! input:
//!   onsets:
//!     schema:
//!       keys: [muscle]
//!       columns:
//!         - { name: muscle, type: text, required: true }
//!         - { name: event, type: text, required: true }
//!         - { name: onset_sd_ms, unit: ms }
//!         - { name: onset_ahead_ms, unit: ms }
//!         - { name: reason, type: text }
//!     rows: |
//!       time_ms,muscle,event,onset_sd_ms,onset_ahead_ms,reason
//!       450,soleus_left,onset,4,2,
//!       900,soleus_left,offset,,,
//!       950,soleus_left,refused,,,weak
//!       1100,soleus_left,onset,4,0,
//!       1450,soleus_left,onset,4,0,
//!       1950,soleus_left,onset,4,0,
//!   force/dynamometer:
//!     sensor: { kind: force, rate: 500 Hz }
//!     generate:
//!       duration: 2 s
//!       gaps: [[1.2 s, 1.25 s]]
//!       columns:
//!         force_z_n:
//!           - { constant: 40 }
//!           - { noise: { amplitude: 0.4, seed: 1 } }
//!           - { pulses: { from: 500 ms, period: 1 s, width: 400 ms, amplitude: 120 } }
//! ```
//! ```csv
//! time_ns,muscle,delay_ms,delay_sd_ms,onset_sd_ms,response_sd_ms,response_ns,reason
//! 450000000,soleus_left,52.0,3.51188,3.4641,0.57735,500000000,
//! 950000000,soleus_left,,,,,,refused: weak
//! 1100000000,soleus_left,,,4.0,,,gap
//! 1450000000,soleus_left,50.0,4.04145,4.0,0.57735,1500000000,
//! 1950000000,soleus_left,,,4.0,,,gap
//! # 5 rows, every bit hashed: 417e78864c90111f
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::quantity::Duration;
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::marks::{Mark, MarkStream, Sign, mark_streams};
use crate::kernels::names::suggest;
use crate::kernels::response_onset::{Search, Way, response_onset};

/// Samples further apart, in periods, are a gap.
const GAP_PERIODS: i64 = 3;

/// From a muscle's onset to its force's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the muscle moves.
    response: Response,
    /// Muscles to take, such as `soleus_left`; all of the onsets' when left out.
    #[serde(default)]
    muscles: Vec<String>,
    /// When the response begins after the muscle's onset, from −50 ms to 500 ms.
    #[serde(default = "range")]
    range: [Duration; 2],
    /// How long the response must have been at rest before, 50 ms to 2 s.
    #[serde(default = "rest")]
    rest: Duration,
    /// Largest standard deviation of a delay that is told.
    #[serde(default = "max_sd")]
    max_sd: Duration,
}

/// The response's column.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Response {
    /// Its name, such as `force_z_n`.
    column: String,
    /// The least change that is a response, in the column's unit; never less than three standard deviations of its rest.
    #[serde(default)]
    least: f64,
    /// Which way it goes.
    #[serde(default)]
    way: Direction,
}

/// Which way a response goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Direction {
    /// It grows.
    #[default]
    Up,
    /// It falls.
    Down,
    /// Either.
    Either,
}

fn range() -> [Duration; 2] {
    [Duration::new(0.0), Duration::new(0.2)]
}

fn rest() -> Duration {
    Duration::new(0.2)
}

fn max_sd() -> Duration {
    Duration::new(0.02)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let onsets: Vec<MarkStream> = mark_streams(ports, None, 0.0).into_iter().filter(|stream| stream.is_onsets).collect();
        if onsets.is_empty() {
            findings.push(PlanFinding::step("no stream of muscle onsets among the inputs").help("read an `emg_onset` step"));
        }
        self.check(&mut findings);
        let response = self.response(ports, &onsets, &mut findings);
        let (Some((port, column, rate_hz)), true) = (response, findings.is_empty()) else { return Err(findings) };
        let way = match self.response.way {
            Direction::Up => Way::Up,
            Direction::Down => Way::Down,
            Direction::Either => Way::Either,
        };
        let [from_s, to_s] = self.range.map(Duration::seconds);
        let search = Search { rest_from_s: from_s - self.rest.seconds(), from_s, to_s, least: self.response.least, way };
        let step = ElectromechanicalDelay {
            onsets,
            muscles: self.muscles.into_iter().collect(),
            port,
            column,
            rate_hz,
            search,
            lag_ns: Duration::new(search.end_s()).nanoseconds(),
            max_sd_ms: 1e3 * self.max_sd.seconds(),
            output: output(),
        };
        Ok(Planned::new(step, output()))
    }
}

impl Config {
    fn check(&self, findings: &mut Findings) {
        let [from_s, to_s] = self.range.map(Duration::seconds);
        if !(from_s >= -0.05 && from_s < to_s && to_s <= 0.5) {
            let finding =
                PlanFinding::config("/range", format!("{} to {} does not lie in order within -50 to 500 ms", self.range[0], self.range[1]));
            findings.push(finding.help("write the earlier time first, such as `[0 ms, 200 ms]`"));
        }
        if !(0.05..=2.0).contains(&self.rest.seconds()) {
            findings.push(PlanFinding::config("/rest", format!("a rest of {} is not within 50 ms to 2 s", self.rest)));
        }
        if self.max_sd.seconds() <= 0.0 {
            findings.push(PlanFinding::config("/max_sd", "the largest standard deviation must be above 0 ms"));
        }
        if !(self.response.least >= 0.0 && self.response.least.is_finite()) {
            findings.push(PlanFinding::config("/response/least", "the least change is not negative"));
        }
    }

    /// Port, column and rate of the response.
    fn response(&self, ports: &[Port], onsets: &[MarkStream], findings: &mut Findings) -> Option<(usize, usize, f64)> {
        let name = &self.response.column;
        let others = || ports.iter().enumerate().filter(|(port, _)| onsets.iter().all(|stream| stream.port != *port));
        let found: Vec<(usize, usize)> = others().filter_map(|(port, input)| Some((port, input.schema.index(name)?))).collect();
        let Some(&(port, column)) = found.first() else {
            let all: Vec<&str> = others().flat_map(|(_, input)| input.schema.names()).collect();
            findings.push(PlanFinding {
                help: suggest(name, all),
                ..PlanFinding::config("/response/column", format!("none of the inputs has a column `{name}`"))
            });
            return None;
        };
        if let Some((extra, _)) = found.get(1) {
            findings.push(PlanFinding::input(*extra, format!("`{name}` stands in another input, too: one response a step")));
        }
        if ports[port].schema.columns.field(column).data_type() != &DataType::Float64 {
            findings.push(PlanFinding::config("/response/column", format!("`{name}` is no measured column")));
        }
        match ports[port].schema.rate.map(|rate| rate.hertz()) {
            Some(rate_hz) if rate_hz >= 200.0 => Some((port, column, rate_hz)),
            _ => {
                findings.push(PlanFinding::input(port, format!("`{}` needs a rate of 200 Hz or more to time a delay", ports[port].stream)));
                None
            }
        }
    }
}

fn output() -> StreamSchema {
    let mut fields = vec![text("muscle").required()];
    fields.extend(["delay_ms", "delay_sd_ms", "onset_sd_ms", "response_sd_ms"].map(|name| float(name, "ms")));
    fields.extend([column("response_ns", DataType::Int64).unit("ns"), text("reason")]);
    StreamSchema::new(fields, &["muscle"], None)
}

struct ElectromechanicalDelay {
    onsets: Vec<MarkStream>,
    /// Empty for all.
    muscles: BTreeSet<String>,
    port: usize,
    column: usize,
    rate_hz: f64,
    search: Search,
    /// For how long after an onset samples are waited for.
    lag_ns: i64,
    max_sd_ms: f64,
    output: StreamSchema,
}

/// What is remembered: onsets that wait for their response, and the newest samples.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    waiting: VecDeque<(String, Mark)>,
    samples: VecDeque<(TimeNs, f64)>,
}

/// A delay that was told or refused.
struct Row {
    time: TimeNs,
    muscle: String,
    onset_sd_ms: f64,
    found: Result<Found, String>,
}

/// A delay.
#[derive(Clone, Copy)]
struct Found {
    delay_ms: f64,
    delay_sd_ms: f64,
    response_sd_ms: f64,
    response_ns: TimeNs,
}

impl Operator for ElectromechanicalDelay {
    type State = State;

    fn start(&self) -> State {
        State::default()
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        for stream in &self.onsets {
            stream.read(&inputs[stream.port], &mut |muscle, mark| {
                let is_wanted = self.muscles.is_empty() || self.muscles.contains(muscle);
                if is_wanted && mark.sign != Sign::Offset {
                    let key = (mark.time, muscle);
                    let at = state.waiting.partition_point(|(name, other)| (other.time, name.as_str()) < key);
                    // Two streams may tell of one muscle at one instant; the first one counts.
                    if state.waiting.get(at).is_none_or(|(name, other)| (other.time, name.as_str()) != key) {
                        state.waiting.insert(at, (muscle.to_owned(), mark));
                    }
                }
            });
        }
        let batch = &inputs[self.port];
        let values = rows::floats(batch, self.column);
        state.samples.extend(rows::times(batch).iter().enumerate().map(|(row, time)| (*time, rows::float_or_nan(values, row))));
        let decided = watermark.saturating_sub(self.lag_ns);
        self.decide(state, decided, false, out);
        let oldest = decided.saturating_sub(Duration::new(self.search.from_s - self.search.rest_from_s + 0.2).nanoseconds());
        let stale = state.samples.partition_point(|(time, _)| *time < oldest);
        state.samples.drain(..stale);
        decided
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        self.decide(state, TimeNs::MAX, true, out);
    }
}

impl ElectromechanicalDelay {
    /// Emits the onsets up to `until`.
    fn decide(&self, state: &mut State, until: TimeNs, has_ended: bool, out: &mut Output) {
        let count = state.waiting.partition_point(|(_, mark)| mark.time <= until);
        let due: Vec<(String, Mark)> = state.waiting.drain(..count).collect();
        let row = |(muscle, mark): (String, Mark)| match mark.sign {
            Sign::Onset { ahead_ms, sd_ms } => {
                let found = self.delay(&state.samples, mark.time, ahead_ms, sd_ms, has_ended);
                Row { time: mark.time, muscle, onset_sd_ms: sd_ms, found }
            }
            Sign::Refused(reason) => Row { time: mark.time, muscle, onset_sd_ms: f64::NAN, found: Err(format!("refused: {reason}")) },
            Sign::Offset => unreachable!("offsets don't wait"),
        };
        let rows: Vec<Row> = due.into_iter().map(row).collect();
        out.push(self.batch(&rows));
    }

    fn delay(&self, samples: &VecDeque<(TimeNs, f64)>, time: TimeNs, ahead_ms: f64, sd_ms: f64, has_ended: bool) -> Result<Found, String> {
        let reference = time.saturating_sub((1e6 * ahead_ms).round() as i64);
        let seconds = |time: TimeNs| time.saturating_sub(reference) as f64 * 1e-9;
        let from = samples.partition_point(|(time, _)| seconds(*time) < self.search.rest_from_s);
        let to = samples.partition_point(|(time, _)| seconds(*time) <= self.search.end_s());
        let period_ns = (1e9 / self.rate_hz) as i64;
        let around: Vec<(TimeNs, f64)> = samples.range(from..to).copied().collect();
        let is_cut = around.last().is_none_or(|(time, _)| seconds(*time) < self.search.end_s() - 1e-9 * (GAP_PERIODS * period_ns) as f64);
        let has_gap = around.windows(2).any(|pair| pair[1].0 - pair[0].0 > GAP_PERIODS * period_ns);
        if has_gap || around.iter().any(|(_, value)| value.is_nan()) || (is_cut && !has_ended) {
            return Err("gap".to_owned());
        }
        let around: Vec<(f64, f64)> = around.into_iter().map(|(time, value)| (seconds(time), value)).collect();
        let found = response_onset(&around, &self.search, self.rate_hz);
        let onset = found.map_err(|reason| if is_cut { "the session ended" } else { reason }.to_owned())?;
        let (delay_ms, response_sd_ms) = (1e3 * onset.at_s, 1e3 * onset.sd_s);
        let delay_sd_ms = libm::hypot(sd_ms, response_sd_ms);
        if delay_sd_ms > self.max_sd_ms {
            return Err("uncertain".to_owned());
        }
        if delay_ms < -2.0 * delay_sd_ms {
            return Err("the response comes first".to_owned());
        }
        let response_ns = reference.saturating_add((1e9 * onset.at_s).round() as i64);
        Ok(Found { delay_ms, delay_sd_ms, response_sd_ms, response_ns })
    }

    fn batch(&self, found: &[Row]) -> RecordBatch {
        let floats =
            |value: &dyn Fn(&Found) -> f64| rows::nan_as_null(found.iter().map(|row| row.found.as_ref().map_or(f64::NAN, value)).collect());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(found.iter().map(|row| row.time).collect::<Int64Array>()),
            Arc::new(StringArray::from_iter_values(found.iter().map(|row| row.muscle.as_str()))),
            floats(&|found| found.delay_ms),
            floats(&|found| found.delay_sd_ms),
            rows::nan_as_null(found.iter().map(|row| row.onset_sd_ms).collect()),
            floats(&|found| found.response_sd_ms),
            Arc::new(found.iter().map(|row| row.found.as_ref().ok().map(|found| found.response_ns)).collect::<Int64Array>()),
            Arc::new(found.iter().map(|row| row.found.as_ref().err().map(String::as_str)).collect::<StringArray>()),
        ];
        rows::batch(&self.output, columns)
    }
}
