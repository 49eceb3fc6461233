//! How somebody walks, cycle by cycle: times, supports and lengths from the gait events of one or several methods.
//!
//! Reads event streams in the order in which they are believed, best first (force plates, then markers), and at most one
//! `markers/…` stream for lengths. Events of one foot and name within `window` are the same contact: the stream named
//! first wins, unless its confidence is below a half and another's isn't. Every cycle, from a foot's initial contact to its next, gives one row at the cycle's end, keyed by `side`.
//!
//! Step time is from the other foot's contact to this foot's at the cycle's end; double support is the sum of both halves.
//! Lengths are between placements of the heel 100 ms after its contact, when it rests. `source` is `force` or `markers` when all of the
//! cycle's events come from there, else `mixed`; the five `…_method` columns tell each event's method, and `confidence` is the
//! least of theirs. What can't be told is null: an event that is missing or there twice, a double support without both
//! feet on the ground. Events of an unknown foot, and cycles longer than `max_stride`, are left out.
//! Rows come out when twice the window (at least 150 ms) has passed, so that every method had its say.
//!
//! ```yaml
//! op: gait_parameters
//! from: [plates, feet, markers/subject]
//! input:
//!   plates:
//!     schema:
//!       keys: [event, side]
//!       columns:
//!         - { name: event, type: text, required: true }
//!         - { name: side, type: text, required: true }
//!         - { name: confidence, unit: "1", required: true }
//!         - { name: method, type: text, required: true }
//!     rows: |
//!       time_ms,event,side,confidence,method
//!       500,initial_contact,left,0.9,force
//!       620,final_contact,unknown,0.5,force
//!       1140,final_contact,left,0.9,force
//!   feet:
//!     schema:
//!       keys: [event, side]
//!       columns:
//!         - { name: event, type: text, required: true }
//!         - { name: side, type: text, required: true }
//!         - { name: confidence, unit: "1", required: true }
//!         - { name: method, type: text, required: true }
//!     rows: |
//!       time_ms,event,side,confidence,method
//!       490,initial_contact,left,0.8,foot_velocity
//!       625,final_contact,right,0.8,foot_velocity
//!       1010,initial_contact,right,0.8,foot_velocity
//!       1150,final_contact,left,0.8,foot_velocity
//!       1520,initial_contact,left,0.8,foot_velocity
//!       2030,initial_contact,right,0.4,foot_velocity
//!   markers/subject:
//!     sensor: { kind: markers, rate: 100 Hz, labels: [LHEE, RHEE] }
//!     generate:
//!       duration: 2.1 s
//!       columns:
//!         LHEE_x_m: [{ steps: [[0 s, 0.2], [1.3 s, 1.4]] }]
//!         LHEE_y_m: [{ constant: 0.1 }]
//!         LHEE_z_m: [{ constant: 0.05 }]
//!         RHEE_x_m: [{ steps: [[0.8 s, 0.8], [1.8 s, 2]] }, { missing: { from: 2.05 s, to: 2.2 s } }]
//!         RHEE_y_m: [{ constant: -0.1 }]
//!         RHEE_z_m: [{ constant: 0.05 }]
//! ```
//! ```csv
//! time_ns,side,start_ns,stride_time_s,step_time_s,cadence_steps_per_min,stance_percent,swing_percent,single_support_s,initial_double_support_s,terminal_double_support_s,double_support_s,stride_length_m,step_length_m,step_width_m,speed_m_per_s,source,confidence,start_method,opposite_off_method,opposite_contact_method,off_method,end_method
//! 1520000000,left,500000000,1.02,0.51,117.647,62.7451,37.2549,0.385,0.125,0.13,0.255,1.2,0.6,0.2,1.17647,mixed,0.8,force,foot_velocity,foot_velocity,force,foot_velocity
//! 2030000000,right,1010000000,1.02,0.51,117.647,,,0.38,0.13,,,,,,,mixed,0.4,foot_velocity,force,foot_velocity,,foot_velocity
//! # 2 rows, every bit hashed: 4174e4911e23fe29
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::quantity::Duration;
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::foot_markers::{self, Axes, position};
use crate::kernels::gait_cycle::{Candidate, Contact, Cycle, Merger, Parameters, Timeline};
use crate::kernels::gait_event::{Foot, Kind};

/// How long after its contact the heel rests.
const SETTLED_NS: i64 = 100_000_000;
/// How far a marker's rows may lie around the instant that is asked for.
const AROUND_NS: i64 = 50_000_000;

/// Gait parameters per cycle.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Events of one foot and name that are no further apart are the same contact.
    #[serde(default = "window")]
    window: Duration,
    /// Longest cycle.
    #[serde(default = "max_stride")]
    max_stride: Duration,
    /// Heel markers, for lengths. By default `HEE`, `CAL` or `ANK` of both sides.
    #[serde(default)]
    heels: Option<Heels>,
}

/// Labels of the heel markers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Heels {
    /// Such as `LHEE`.
    left: String,
    /// Such as `RHEE`.
    right: String,
}

fn window() -> Duration {
    Duration::new(0.1)
}

fn max_stride() -> Duration {
    Duration::new(3.0)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let (mut streams, mut markers) = (Vec::new(), None);
        for (port, input) in ports.iter().enumerate() {
            if let Some(events) = EventColumns::of(port, input, streams.len()) {
                streams.push(events);
            } else if !foot_markers::is_markers(&input.schema) {
                let help = "event streams have the text columns `event` and `side`; markers have labels such as `LHEE_x_m`";
                findings.push(PlanFinding::input(port, format!("`{}` is neither events nor markers", input.stream)).help(help));
            } else if markers.is_some() {
                findings.push(PlanFinding::input(port, "lengths come from one marker stream only"));
            } else {
                markers = Some(port);
            }
        }
        if streams.is_empty() {
            findings.push(
                PlanFinding::step("no stream of gait events among the inputs").help("read a `force_events` or a `marker_events` step"),
            );
        }
        if !(0.0..=0.5).contains(&self.window.seconds()) {
            findings.push(PlanFinding::config(
                "/window",
                "the window must lie between 0 ms and 500 ms: a foot has two contacts a second at most",
            ));
        }
        if !(0.3..=60.0).contains(&self.max_stride.seconds()) {
            findings.push(PlanFinding::config("/max_stride", "the longest stride must lie between 0.3 s and 60 s"));
        }
        let heels = self.heel_columns(markers.map(|port| &ports[port]), &mut findings);
        if !findings.is_empty() {
            return Err(findings);
        }
        let step = GaitParameters {
            streams,
            markers: markers.zip(heels),
            window_ns: self.window.nanoseconds(),
            hold_ns: (2 * self.window.nanoseconds()).max(SETTLED_NS + AROUND_NS),
            max_stride_ns: self.max_stride.nanoseconds(),
            output: output(),
        };
        Ok(Planned::new(step, output()))
    }
}

impl Config {
    fn heel_columns(&self, port: Option<&Port>, findings: &mut Findings) -> Option<[Axes; 2]> {
        let Some(port) = port else {
            if self.heels.is_some() {
                findings.push(
                    PlanFinding::config("/heels", "there is no marker stream to take the heels from")
                        .help("add a `markers/…` stream to `from:`"),
                );
            }
            return None;
        };
        let label = |side: &str, letter: char, configured: Option<&String>| {
            let label = configured.cloned().or_else(|| foot_markers::first_present(&port.schema, letter, &foot_markers::HEEL));
            let found = label.as_ref().and_then(|label| foot_markers::find(&port.schema, label));
            found.ok_or_else(|| {
                let name = label.map_or_else(
                    || format!("no heel label of a common marker set is there for the {side} foot"),
                    |label| format!("there is no marker `{label}`"),
                );
                PlanFinding::config(format!("/heels/{side}"), name).help(foot_markers::known_labels(&port.schema))
            })
        };
        let left = label("left", 'L', self.heels.as_ref().map(|heels| &heels.left));
        let right = label("right", 'R', self.heels.as_ref().map(|heels| &heels.right));
        match (left, right) {
            (Ok(left), Ok(right)) => Some([left, right]),
            (left, right) => {
                findings.extend([left, right].into_iter().filter_map(Result::err));
                None
            }
        }
    }
}

/// The rows: times in seconds, lengths in metres.
fn output() -> StreamSchema {
    let mut fields = vec![text("side").required(), column("start_ns", DataType::Int64).unit("ns").required()];
    fields.extend(MEASURES.iter().map(|(name, unit, _)| float(*name, unit)));
    fields.extend([text("source").required(), float("confidence", "1").required()]);
    fields.extend(METHODS.map(text));
    StreamSchema::new(fields, &["side"], None)
}

/// A measured column: its name, its unit and where its value stands.
type Measure = (&'static str, &'static str, fn(&Parameters) -> f64);

const MEASURES: [Measure; 13] = [
    ("stride_time_s", "s", |found| found.stride_time_s),
    ("step_time_s", "s", |found| found.step_time_s),
    ("cadence_steps_per_min", "1/min", |found| found.cadence_steps_per_min),
    ("stance_percent", "%", |found| found.stance_percent),
    ("swing_percent", "%", |found| found.swing_percent),
    ("single_support_s", "s", |found| found.single_support_s),
    ("initial_double_support_s", "s", |found| found.initial_double_support_s),
    ("terminal_double_support_s", "s", |found| found.terminal_double_support_s),
    ("double_support_s", "s", |found| found.double_support_s),
    ("stride_length_m", "m", |found| found.stride_length_m),
    ("step_length_m", "m", |found| found.step_length_m),
    ("step_width_m", "m", |found| found.step_width_m),
    ("speed_m_per_s", "m/s", |found| found.speed_m_per_s),
];

const METHODS: [&str; 5] = ["start_method", "opposite_off_method", "opposite_contact_method", "off_method", "end_method"];

/// Where an event stream's columns are.
#[derive(Clone, Debug)]
struct EventColumns {
    port: usize,
    rank: u32,
    event: usize,
    side: usize,
    confidence: Option<usize>,
    method: Option<usize>,
    /// Stands for the method of streams that don't tell it.
    name: String,
}

impl EventColumns {
    /// The columns of a port that holds events; `None` for any other.
    fn of(port: usize, input: &Port, rank: usize) -> Option<Self> {
        let find = |name: &str, data_type: DataType| {
            input.schema.index(name).filter(|index| *input.schema.columns.field(*index).data_type() == data_type)
        };
        Some(Self {
            port,
            rank: rank as u32,
            event: find("event", DataType::Utf8)?,
            side: find("side", DataType::Utf8)?,
            confidence: find("confidence", DataType::Float64),
            method: find("method", DataType::Utf8),
            name: input.prefix().to_owned(),
        })
    }

    /// The gait events of a batch, of known feet.
    fn read(&self, batch: &RecordBatch, add: &mut impl FnMut(Candidate)) {
        let (events, sides) = (rows::strings(batch, self.event), rows::strings(batch, self.side));
        let confidence = self.confidence.map(|index| rows::floats(batch, index));
        let method = self.method.map(|index| rows::strings(batch, index));
        for (row, time_ns) in rows::times(batch).iter().enumerate() {
            let foot = Foot::parse(sides.value(row));
            let Some(kind) = Kind::parse(events.value(row)).filter(|_| foot != Foot::Unknown) else { continue };
            let confidence = confidence.map_or(1.0, |column| rows::float_or_nan(column, row));
            let method = method.map_or(self.name.as_str(), |column| column.value(row)).to_owned();
            add(Candidate { time_ns: *time_ns, kind, foot, confidence, method, rank: self.rank });
        }
    }
}

#[derive(Debug)]
struct GaitParameters {
    streams: Vec<EventColumns>,
    /// The marker port, and the columns of the left and the right heel.
    markers: Option<(usize, [Axes; 2])>,
    window_ns: i64,
    hold_ns: i64,
    max_stride_ns: i64,
    output: StreamSchema,
}

/// What is remembered: events that wait for their neighbours, one stride's events, and the heels while they are asked for.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    merger: Merger,
    decided: Vec<Candidate>,
    timeline: Timeline,
    heels: [VecDeque<(TimeNs, [f64; 2])>; 2],
}

impl Operator for GaitParameters {
    type State = State;

    fn start(&self) -> State {
        State::default()
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        for stream in &self.streams {
            stream.read(&inputs[stream.port], &mut |candidate| state.merger.insert(candidate));
        }
        if let Some((port, heels)) = &self.markers {
            for (axes, path) in heels.iter().zip(&mut state.heels) {
                extend(path, &inputs[*port], *axes);
            }
        }
        let promised = watermark.saturating_sub(self.hold_ns);
        self.advance(state, promised, out);
        for path in &mut state.heels {
            let stale = path.partition_point(|(time_ns, _)| *time_ns < promised);
            path.drain(..stale);
        }
        promised
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        self.advance(state, TimeNs::MAX, out);
    }
}

impl GaitParameters {
    /// Completes the timeline up to `until_ns`, and emits the cycles that end there.
    fn advance(&self, state: &mut State, until_ns: TimeNs, out: &mut Output) {
        state.decided.extend(state.merger.decide(until_ns, self.window_ns));
        state.decided.sort_by_key(|event| (event.time_ns, event.kind, event.foot));
        let ready = state.decided.partition_point(|event| event.time_ns <= until_ns);
        let mut cycles: Vec<Cycle> = Vec::new();
        for event in state.decided.drain(..ready) {
            let path = &state.heels[usize::from(event.foot == Foot::Right)];
            let heel_m = (event.kind == Kind::InitialContact).then(|| place_at(path, event.time_ns.saturating_add(SETTLED_NS))).flatten();
            cycles.extend(state.timeline.push(Contact { event, heel_m }, self.max_stride_ns));
        }
        if !cycles.is_empty() {
            out.push(self.batch(&cycles));
        }
    }

    fn batch(&self, cycles: &[Cycle]) -> RecordBatch {
        let found: Vec<Parameters> = cycles.iter().map(Cycle::parameters).collect();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(cycles.iter().map(|cycle| cycle.end.event.time_ns).collect::<Int64Array>()),
            Arc::new(StringArray::from_iter_values(cycles.iter().map(|cycle| cycle.end.event.foot.name()))),
            Arc::new(cycles.iter().map(|cycle| cycle.start.event.time_ns).collect::<Int64Array>()),
        ];
        columns.extend(MEASURES.iter().map(|(_, _, measure)| rows::nan_as_null(found.iter().map(measure).collect())));
        columns.push(Arc::new(StringArray::from_iter_values(cycles.iter().map(Cycle::source))));
        columns.push(rows::nan_as_null(cycles.iter().map(Cycle::confidence).collect()));
        columns.extend((0..METHODS.len()).map(|place| -> ArrayRef {
            Arc::new(cycles.iter().map(|cycle| cycle.events()[place].map(|contact| contact.event.method.as_str())).collect::<StringArray>())
        }));
        rows::batch(&self.output, columns)
    }
}

/// Adds the rows in which a heel was seen.
fn extend(path: &mut VecDeque<(TimeNs, [f64; 2])>, batch: &RecordBatch, axes: Axes) {
    let times = rows::times(batch).iter().enumerate();
    path.extend(times.filter_map(|(row, time_ns)| position(batch, axes, row).map(|[x, y, _]| (*time_ns, [x, y]))));
}

/// Where a heel was, on the straight line between the rows around `time_ns`; `None` without a near row on each side.
fn place_at(path: &VecDeque<(TimeNs, [f64; 2])>, time_ns: TimeNs) -> Option<[f64; 2]> {
    let after = path.partition_point(|(row_ns, _)| *row_ns < time_ns);
    let (to_ns, to) = *path.get(after).filter(|(row_ns, _)| row_ns - time_ns <= AROUND_NS)?;
    if to_ns == time_ns {
        return Some(to);
    }
    let (from_ns, from) = *path.get(after.checked_sub(1)?).filter(|(row_ns, _)| time_ns - row_ns <= AROUND_NS)?;
    let share = (time_ns - from_ns) as f64 / (to_ns - from_ns) as f64;
    Some([from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])])
}
