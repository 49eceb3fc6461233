//! What does each signal do over a stride? Numeric columns at 101 points of the gait cycle, 0 to 100 %.
//!
//! Reads one stream of signals (an `emg_envelope` step, joint angles) and one or more streams of gait events (`event`, `side`). A stride
//! lasts from an initial contact of a foot to its next; every column is taken at each percent of it, on the straight line between the rows
//! around that instant. Per stride 101 rows come out, all at the time of the contact that ends it: `side`, `phase_percent` 0 to 100,
//! `start_ns`, `point_ns` (the instant of the point) and the columns, with their names, units and places.
//!
//! Both feet's strides come out, each with all columns; `side` takes those of one foot. A text column `<name>_quality`, as
//! `emg_envelope` has, is taken from the nearer row, so that a later step knows which points to believe.
//!
//! **Delay**: a stride comes out once the watermark is `gap` past its end. Gaps: between rows further apart than `gap`, or beside a null,
//! a point is null. A cycle longer than `max_stride` or shorter than `min_stride` is no stride: a contact was missed, or found twice.
//! Contacts of one foot within `min_stride` of another are the same, and the first counts. Phase normalisation is common practice, not a
//! norm.
//!
//! ```yaml
//! op: phase_profile
//! from: [envelope, contacts]
//! with: { columns: [gluteus_medius_left_envelope_v], side: left }
//! input:
//!   envelope:
//!     schema:
//!       rate: 50 Hz
//!       columns:
//!         - { name: gluteus_medius_left_envelope_v, unit: V }
//!         - { name: gluteus_medius_left_quality, type: text }
//!     generate:
//!       duration: 4 s
//!       columns:
//!         gluteus_medius_left_envelope_v: [{ ramp: 1 }, { missing: { from: 2.1 s, to: 2.2 s } }]
//!   contacts:
//!     schema:
//!       keys: [event, side]
//!       columns:
//!         - { name: event, type: text, required: true }
//!         - { name: side, type: text, required: true }
//!     rows: |
//!       time_ms,event,side
//!       500,initial_contact,left
//!       1000,initial_contact,right
//!       1120,final_contact,left
//!       1500,initial_contact,left
//!       1510,initial_contact,left
//!       2600,initial_contact,left
//! ```
//! ```csv
//! time_ns,side,phase_percent,start_ns,point_ns,gluteus_medius_left_envelope_v,gluteus_medius_left_quality
//! 1500000000,left,0,500000000,500000000,0.5,
//! 1500000000,left,1,500000000,510000000,0.51,
//! 1500000000,left,2,500000000,520000000,0.52,
//! 1500000000,left,3,500000000,530000000,0.53,
//! 1500000000,left,4,500000000,540000000,0.54,
//! 1500000000,left,5,500000000,550000000,0.55,
//! 1500000000,left,6,500000000,560000000,0.56,
//! 1500000000,left,7,500000000,570000000,0.57,
//! 1500000000,left,8,500000000,580000000,0.58,
//! …
//! 2600000000,left,97,1500000000,2567000000,2.567,
//! 2600000000,left,98,1500000000,2578000000,2.578,
//! 2600000000,left,99,1500000000,2589000000,2.589,
//! 2600000000,left,100,1500000000,2600000000,2.6,
//! # 202 rows, every bit hashed: 63ea0e3a5990d43a
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use arrow_schema::{DataType, Field};
use proprio_core::kind::is_bookkeeping;
use proprio_core::quantity::Duration;
use proprio_core::schema::{FieldExt, column, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::column::Column;
use crate::kernels::gait_event::{Contacts, Foot, GaitEvent, Kind};
use crate::kernels::names::suggest;
use crate::kernels::pick::{Pick, Reason};

/// Points of a cycle: 0 to 100 %.
const POINTS: i64 = 101;

/// Columns over the gait cycle.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Numeric columns to take; all of the stream's when left out.
    columns: Vec<String>,
    /// Whose strides: `left`, `right`, or both when left out.
    side: Option<String>,
    /// Longest step between two rows that a point may lie between. Left out: five periods, or 100 ms without a rate.
    gap: Option<Duration>,
    /// Shortest stride.
    min_stride: Duration,
    /// Longest stride.
    max_stride: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { columns: Vec::new(), side: None, gap: None, min_stride: Duration::new(0.4), max_stride: Duration::new(3.0) }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let contacts = Contacts::of(ports);
        let signals: Vec<usize> = (0..ports.len()).filter(|port| !contacts.has(*port)).collect();
        if contacts.is_empty() {
            findings
                .push(PlanFinding::step("no input holds gait events").help("read a step with `event` and `side`, such as `force_events`"));
        }
        if signals.len() != 1 {
            findings.push(PlanFinding::step(format!("one input must hold the signals, and {} do", signals.len())));
        }
        let (shortest, longest) = (self.min_stride.seconds(), self.max_stride.seconds());
        if !(shortest >= 0.1 && shortest < longest && longest <= 60.0) {
            findings.push(PlanFinding::config(
                "/max_stride",
                "a stride lasts from `min_stride`, 0.1 s at least, to `max_stride`, 60 s at most",
            ));
        }
        if self.gap.is_some_and(|gap| !(0.0..=1.0).contains(&gap.seconds())) {
            findings.push(PlanFinding::config("/gap", "a gap lies between 0 s and 1 s"));
        }
        let foot = self.side.as_deref().map(Foot::parse);
        if foot == Some(Foot::Unknown) {
            findings.push(PlanFinding::config("/side", "a side is `left` or `right`"));
        }
        let [port] = signals[..] else { return Err(findings) };
        let (numbers, qualities) = self.signals(&ports[port], port, &mut findings);
        if !findings.is_empty() {
            return Err(findings);
        }
        let field = |index: &usize| ports[port].schema.columns.field(*index).clone().with_nullable(true);
        let output = output(numbers.iter().map(field).chain(qualities.iter().map(field)));
        let default_gap_ns = ports[port].schema.rate.map_or(100_000_000, |rate| 5 * rate.period_ns());
        let operator = PhaseProfile {
            contacts,
            port,
            numbers,
            qualities,
            foot,
            gap_ns: self.gap.map_or(default_gap_ns, Duration::nanoseconds),
            min_ns: self.min_stride.nanoseconds(),
            max_ns: self.max_stride.nanoseconds(),
            output: output.clone(),
        };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    /// The numeric columns and the quality columns to take.
    fn signals(&self, port: &Port, at: usize, findings: &mut Findings) -> (Vec<usize>, Vec<usize>) {
        let fields = port.schema.columns.fields();
        let numeric: Vec<usize> = (0..fields.len())
            .filter(|index| *fields[*index].data_type() == DataType::Float64 && !is_bookkeeping(fields[*index].name()))
            .collect();
        let names: Vec<&str> = numeric.iter().map(|index| fields[*index].name().as_str()).collect();
        if !port.schema.keys.is_empty() {
            findings.push(PlanFinding::input(at, format!("`{}` has several rows an instant", port.stream)));
        }
        if numeric.is_empty() {
            findings.push(PlanFinding::input(at, format!("`{}` has no numeric column", port.stream)));
        }
        for (n, name) in self.columns.iter().enumerate().filter(|(_, name)| !names.contains(&name.as_str())) {
            let mut finding = PlanFinding::config(format!("/columns/{n}"), format!("`{}` has no numeric column `{name}`", port.stream));
            finding.help = suggest(name, names.iter().copied());
            findings.push(finding);
        }
        let is_taken = |index: &usize| self.columns.is_empty() || self.columns.contains(fields[*index].name());
        let taken: Vec<usize> = numeric.iter().copied().filter(is_taken).collect();
        let reserved = ["start_ns", "point_ns", "side", "phase_percent"];
        for index in taken.iter().filter(|index| reserved.contains(&fields[**index].name().as_str())) {
            findings.push(PlanFinding::input(at, format!("`{}` is a column of the output already", fields[*index].name())));
        }
        let of = |field: &Field| field.name().strip_suffix("_quality").map(str::to_owned);
        let is_quality = |index: &usize| {
            let stem = of(&fields[*index]).filter(|_| *fields[*index].data_type() == DataType::Utf8);
            stem.is_some_and(|stem| taken.iter().any(|taken| fields[*taken].name().starts_with(&stem)))
        };
        (taken.clone(), (0..fields.len()).filter(is_quality).collect())
    }
}

fn output(columns: impl Iterator<Item = Field>) -> StreamSchema {
    let mut fields = vec![text("side").required(), column("phase_percent", DataType::Int64).unit("%").required()];
    fields.extend(["start_ns", "point_ns"].map(|name| column(name, DataType::Int64).unit("ns").required()));
    fields.extend(columns);
    StreamSchema::new(fields, &["side", "phase_percent"], None)
}

struct PhaseProfile {
    contacts: Contacts,
    port: usize,
    numbers: Vec<usize>,
    qualities: Vec<usize>,
    foot: Option<Foot>,
    gap_ns: i64,
    min_ns: i64,
    max_ns: i64,
    output: StreamSchema,
}

/// What is remembered: one stride's rows, the contacts that wait, and the newest contact of each foot.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    times: Vec<TimeNs>,
    columns: Vec<Column>,
    waiting: VecDeque<GaitEvent>,
    last: [Option<TimeNs>; 2],
}

/// A stride that has ended.
struct Stride {
    foot: Foot,
    start: TimeNs,
    end: TimeNs,
}

impl Operator for PhaseProfile {
    type State = State;

    fn start(&self) -> State {
        let numbers = self.numbers.iter().map(|_| Column::Float(Vec::new()));
        let columns = numbers.chain(self.qualities.iter().map(|_| Column::Text(Vec::new()))).collect();
        State { times: Vec::new(), columns, waiting: VecDeque::new(), last: [None; 2] }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let is_start = |event: &GaitEvent| event.kind == Kind::InitialContact && self.foot.is_none_or(|foot| foot == event.foot);
        state.waiting.extend(self.contacts.read(inputs).into_iter().filter(is_start));
        let signals = &inputs[self.port];
        state.times.extend(rows::times(signals));
        for (column, index) in state.columns.iter_mut().zip(self.numbers.iter().chain(&self.qualities)) {
            column.extend(signals.column(*index).as_ref());
        }
        let promised = watermark.saturating_sub(self.gap_ns);
        self.advance(state, promised, out);
        let oldest = promised.saturating_sub(self.max_ns.saturating_add(self.gap_ns));
        let stale = state.times.partition_point(|time| *time < oldest);
        state.times.drain(..stale);
        state.columns.iter_mut().for_each(|column| column.drop_first(stale));
        promised
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        self.advance(state, TimeNs::MAX, out);
    }
}

impl PhaseProfile {
    /// Emits the strides that end up to `until`.
    fn advance(&self, state: &mut State, until: TimeNs, out: &mut Output) {
        let mut strides = Vec::new();
        while let Some(event) = state.waiting.front().filter(|event| event.time_ns <= until).copied() {
            state.waiting.pop_front();
            let last = &mut state.last[usize::from(event.foot == Foot::Right)];
            let lasted_ns = last.map(|last| event.time_ns.saturating_sub(last));
            if lasted_ns.is_some_and(|lasted_ns| lasted_ns < self.min_ns) {
                continue;
            }
            if let Some(start) = last.replace(event.time_ns).filter(|_| lasted_ns.is_some_and(|lasted_ns| lasted_ns <= self.max_ns)) {
                strides.push(Stride { foot: event.foot, start, end: event.time_ns });
            }
        }
        strides.sort_by_key(|stride| (stride.end, stride.foot));
        if !strides.is_empty() {
            out.push(self.batch(state, &strides));
        }
    }

    fn batch(&self, state: &State, strides: &[Stride]) -> RecordBatch {
        let points: Vec<(&Stride, i64, TimeNs)> = strides
            .iter()
            .flat_map(|stride| {
                let lasted_ns = i128::from(stride.end - stride.start);
                let at = move |k: i64| stride.start + (lasted_ns * i128::from(k) / i128::from(POINTS - 1)) as i64;
                (0..POINTS).map(move |k| (stride, k, at(k)))
            })
            .collect();
        let integers =
            |value: &dyn Fn(&(&Stride, i64, TimeNs)) -> i64| -> ArrayRef { Arc::new(points.iter().map(value).collect::<Int64Array>()) };
        let mut columns: Vec<ArrayRef> = vec![
            integers(&|point| point.0.end),
            Arc::new(StringArray::from_iter_values(points.iter().map(|point| point.0.foot.name()))),
            integers(&|point| point.1),
            integers(&|point| point.0.start),
            integers(&|point| point.2),
        ];
        // Each point's rows are looked up once for all columns.
        let picks: Vec<Pick> = points.iter().map(|point| self.pick(&state.times, point.2)).collect();
        state.columns.iter().for_each(|column| column.gather(&picks, &mut columns));
        rows::batch(&self.output, columns)
    }

    /// The rows around an instant; missing beside a gap.
    fn pick(&self, times: &[TimeNs], time: TimeNs) -> Pick {
        let after = times.partition_point(|row| *row < time);
        if times.get(after) == Some(&time) {
            return Pick { reason: Reason::Exact, from: after, to: after, weight: 0.0 };
        }
        let (Some(from), Some(to)) = (after.checked_sub(1), times.get(after)) else { return Pick::MISSING };
        let step_ns = to - times[from];
        if step_ns > self.gap_ns {
            return Pick::MISSING;
        }
        Pick { reason: Reason::Interpolated, from, to: after, weight: (time - times[from]) as f64 / step_ns as f64 }
    }
}
