//! Puts any number of streams on one grid, so that later steps see one row an instant: what was each sensor's value then?
//!
//! The grid is k/rate seconds from the epoch, the same for every run. Per input and column a method says what a grid point
//! takes: `linear` (the default) lies between the row before and the row after, and on the shorter arc (slerp) where four
//! columns `…q_w …q_x …q_y …q_z` are a rotation; `nearest` is the nearer row, of two equally near the earlier; `as_of` the last row at
//! or before the point, with its nulls; `hold` the same, with each null filled from the rows before it; `mean` the mean
//! over the point's cell, which reaches halfway to its neighbours (rotations: the normalised sum). Columns that aren't
//! floats can't be averaged: `linear` takes them from the nearer row, `mean` from the last one of the cell.
//!
//! No row further from the point than the tolerance is used; by default that is twice the input's period, which bridges
//! one lost sample, and 20 ms for an input without a rate. The column `<prefix>_reason` says per row how the input's
//! value came about: `exact`, `interpolated`, `held` or `missing`; a missing input's columns are null. A point for which
//! all inputs are missing gives no row.
//!
//! Columns become `<prefix>_<column>`, the prefix being the part of the stream's name after the slash; their unit, frame,
//! segment, side and sensor stay. `sequence` and `device_time_ns` are left out. Rows with key columns, such as events, can't be aligned.
//!
//! **Delay**: a point waits for the next row of each input (`mean`: the cell's end; `as_of` and `hold`: nothing), at most
//! for the tolerance, and never for a period of its own. Memory: the rows within the tolerance of the point that waits.
//!
//! ```yaml
//! op: align
//! from: [orientation/*, imu/pelvis, envelope]
//! with:
//!   rate: 50 Hz
//!   tolerance: 30 ms
//!   inputs:
//!     imu/pelvis: { as: pelvis_imu, method: mean }
//!     envelope: { method: hold, tolerance: 60 ms }
//! input:
//!   orientation/pelvis:
//!     schema:
//!       rate: 100 Hz
//!       columns:
//!         - { name: q_w, unit: "1", frame: earth, segment: pelvis }
//!         - { name: q_x, unit: "1", frame: earth, segment: pelvis }
//!         - { name: q_y, unit: "1", frame: earth, segment: pelvis }
//!         - { name: q_z, unit: "1", frame: earth, segment: pelvis }
//!         - { name: rest, type: boolean, required: true }
//!     rows: |
//!       time_ms,q_w,q_x,q_y,q_z,rest
//!       3,1,0,0,0,true
//!       13,0.9848077530122081,0,0,0.17364817766693033,true
//!       23,0.9396926207859084,0,0,0.3420201433256687,false
//!       33,,,,,false
//!       43,-0.7660444431189781,0,0,-0.6427876096865393,false
//!       83,0.17364817766693041,0,0,0.984807753012208,false
//!       120,0,0,0,1,true
//!   imu/pelvis:
//!     sensor: { kind: imu, rate: 200 Hz, segment: pelvis, magnetometer: false }
//!     generate:
//!       start: 20 ms
//!       duration: 400 ms
//!       gaps: [[70 ms, 300 ms]]
//!       columns:
//!         gyro_z_rad_per_s: [{ ramp: 10 }, { noise: { amplitude: 0.01, seed: 1 } }]
//!         accel_z_m_per_s2: [{ constant: 9.81 }]
//!   envelope:
//!     schema:
//!       columns:
//!         - { name: gluteus_medius_left_v, unit: V, segment: pelvis, side: left }
//!         - { name: quality, type: text }
//!         - { name: count, type: integer }
//!     rows: |
//!       time_ms,gluteus_medius_left_v,quality,count
//!       0,1e-5,good,1
//!       35,2e-5,good,2
//!       60,,poor,
//!       390,3e-5,good,4
//! ```
//! ```csv
//! time_ns,pelvis_q_w,pelvis_q_x,pelvis_q_y,pelvis_q_z,pelvis_rest,pelvis_reason,pelvis_imu_gyro_x_rad_per_s,pelvis_imu_gyro_y_rad_per_s,pelvis_imu_gyro_z_rad_per_s,pelvis_imu_accel_x_m_per_s2,pelvis_imu_accel_y_m_per_s2,pelvis_imu_accel_z_m_per_s2,pelvis_imu_device,pelvis_imu_reason,envelope_gluteus_medius_left_v,envelope_quality,envelope_count,envelope_reason
//! 0,,,,,,missing,,,,,,,,missing,1e-5,good,1,exact
//! 20000000,0.956305,0.0,0.0,0.292372,false,interpolated,0.0,0.0,0.25912,0.0,0.0,9.81,,interpolated,1e-5,good,1,held
//! 40000000,,,,,false,interpolated,0.0,0.0,0.423651,0.0,0.0,9.81,,interpolated,2e-5,good,2,held
//! 60000000,-0.544639,0.0,0.0,-0.838671,false,interpolated,0.0,0.0,0.589787,0.0,0.0,9.81,,interpolated,2e-5,poor,2,held
//! 80000000,,,,,,missing,,,,,,,,missing,2e-5,poor,2,held
//! 100000000,0.0942022,0.0,0.0,0.995553,false,interpolated,,,,,,,,missing,,poor,,held
//! 120000000,0.0,0.0,0.0,1.0,true,exact,,,,,,,,missing,,poor,,held
//! 300000000,,,,,,missing,0.0,0.0,3.05489,0.0,0.0,9.81,,interpolated,,,,missing
//! 320000000,,,,,,missing,0.0,0.0,3.2266,0.0,0.0,9.81,,interpolated,,,,missing
//! …
//! 380000000,,,,,,missing,0.0,0.0,3.82087,0.0,0.0,9.81,,interpolated,,,,missing
//! 400000000,,,,,,missing,0.0,0.0,4.01572,0.0,0.0,9.81,,interpolated,3e-5,good,4,held
//! 420000000,,,,,,missing,0.0,0.0,4.16192,0.0,0.0,9.81,,interpolated,3e-5,good,4,held
//! 440000000,,,,,,missing,,,,,,,,missing,3e-5,good,4,held
//! # 15 rows, every bit hashed: 1e7734cd559d69e5
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::Field;
use proprio_core::finding::{Findings, PlanFinding, pointer_part};
use proprio_core::kind::is_bookkeeping;
use proprio_core::quantity::Duration;
use proprio_core::registry::{Configure, Inputs};
use proprio_core::rows::{batch, times};
use proprio_core::schema::text;
use proprio_core::{Operator, Output, Planned, Port, Rate, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::column::{Column, Group};
use crate::kernels::pick::{self, Pick, Point, Reason, reasons};

/// A tolerance above this would keep the rows of minutes waiting.
const LONGEST_TOLERANCE_NS: i64 = 60_000_000_000;
/// The tolerance of an input without a rate.
const DEFAULT_TOLERANCE_NS: i64 = 20_000_000;

/// What `with:` holds.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Rows a second of the grid; by default the rate of the fastest input.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// How far from a grid point a row may lie, at most 60 s; by default twice the input's period, or 20 ms without a rate.
    #[serde(default)]
    pub tolerance: Option<Duration>,
    /// What is different for single inputs, by stream (`imu/pelvis`) or prefix (`pelvis`).
    #[serde(default)]
    pub inputs: BTreeMap<String, InputConfig>,
}

/// What is different for one input.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InputConfig {
    /// How a grid point takes its value.
    #[serde(default)]
    pub method: Method,
    /// How far from a grid point this input's rows may lie.
    #[serde(default)]
    pub tolerance: Option<Duration>,
    /// Prefix of its columns.
    #[serde(default, rename = "as")]
    pub prefix: Option<String>,
}

/// How a grid point takes its value from rows beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Between the row before and the row after; rotations along the shorter arc.
    #[default]
    Linear,
    /// The nearer row.
    Nearest,
    /// The last row at or before the point, each null filled from the rows before it.
    Hold,
    /// The mean over the cell around the point.
    Mean,
    /// The last row at or before the point, nulls included.
    AsOf,
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = self.check(ports);
        let rate = self.rate.or_else(|| ports.iter().filter_map(|port| port.schema.rate).max_by(|a, b| a.hertz().total_cmp(&b.hertz())));
        let (mut inputs, mut fields) = (Vec::new(), Vec::<Field>::new());
        for (index, port) in ports.iter().enumerate() {
            let (input, columns) = self.plan_input(index, port, &mut findings);
            for field in columns {
                if let Some(taken) = fields.iter().find(|taken| taken.name() == field.name()) {
                    let message = format!("the column `{}` of `{}` is there already", taken.name(), port.stream);
                    let help = format!("give the input another prefix: inputs: {{ {}: {{ as: … }} }}", port.stream);
                    findings.push(PlanFinding::input(index, message).help(help));
                    break;
                }
                fields.push(field);
            }
            inputs.push(input);
        }
        match rate {
            Some(rate) if findings.is_empty() => {
                let output = StreamSchema::new(fields, &[], Some(rate));
                Ok(Planned::new(Align { rate, inputs, output: output.clone() }, output))
            }
            Some(_) => Err(findings),
            None => {
                let finding = PlanFinding::step("no input has a rate, so the grid's has to be said").help("with: { rate: 100 Hz }");
                findings.push(finding);
                Err(findings)
            }
        }
    }
}

impl Config {
    fn check(&self, ports: &[Port]) -> Findings {
        let mut findings = Findings::new();
        let tolerances = self.inputs.iter().map(|(name, input)| (format!("/inputs/{}/tolerance", pointer_part(name)), input.tolerance));
        for (at, tolerance) in tolerances.chain([("/tolerance".to_owned(), self.tolerance)]) {
            if tolerance.is_some_and(|tolerance| !(0..=LONGEST_TOLERANCE_NS).contains(&tolerance.nanoseconds())) {
                findings.push(PlanFinding::config(at, "a tolerance is between 0 s and 60 s"));
            }
        }
        for name in self.inputs.keys().filter(|name| !ports.iter().any(|port| port.stream == **name || port.prefix() == *name)) {
            let known: Vec<_> = ports.iter().map(|port| port.stream.as_str()).collect();
            let finding = PlanFinding::config(format!("/inputs/{}", pointer_part(name)), format!("`{name}` is no input of this step"));
            findings.push(finding.help(format!("its inputs are {}", known.join(", "))));
        }
        findings
    }

    fn plan_input(&self, index: usize, port: &Port, findings: &mut Findings) -> (Input, Vec<Field>) {
        let own = self.inputs.get(&port.stream).or_else(|| self.inputs.get(port.prefix())).cloned().unwrap_or_default();
        let prefix = own.prefix.as_deref().unwrap_or_else(|| port.prefix());
        if !port.schema.keys.is_empty() {
            let keys = port.schema.keys.join(", ");
            findings.push(PlanFinding::input(
                index,
                format!("`{}` has several rows an instant (keys: {keys}), so it can't be aligned", port.stream),
            ));
        }
        let default_ns = port.schema.rate.map_or(DEFAULT_TOLERANCE_NS, |rate| rate.period_ns().saturating_mul(2).min(LONGEST_TOLERANCE_NS));
        let tolerance_ns = own.tolerance.or(self.tolerance).map_or(default_ns, Duration::nanoseconds);
        if let Some(rate) = port.schema.rate.filter(|rate| own.method == Method::Linear && tolerance_ns < rate.period_ns() / 2) {
            let message = format!("`{}` comes at {rate}: within this tolerance there are never a row before and a row after", port.stream);
            findings.push(PlanFinding::input(index, message).help("a longer tolerance, or `method: nearest`"));
        }
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        for (column, field) in port.schema.columns.fields().iter().enumerate().filter(|(_, field)| !is_bookkeeping(field.name())) {
            if Column::of(field.data_type()).is_none() {
                findings.push(PlanFinding::input(
                    index,
                    format!("`{}` of `{}` is {}, which can't be aligned", field.name(), port.stream, field.data_type()),
                ));
            }
            columns.push(column);
            fields.push(field.as_ref().clone().with_name(format!("{prefix}_{}", field.name())).with_nullable(true));
        }
        let groups = Group::of(&columns.iter().map(|column| port.schema.columns.field(*column)).collect::<Vec<_>>());
        fields.push(text(format!("{prefix}_reason")).with_nullable(false));
        (Input { columns, groups, method: own.method, tolerance_ns, schema: port.schema.clone() }, fields)
    }
}

struct Align {
    rate: Rate,
    inputs: Vec<Input>,
    output: StreamSchema,
}

struct Input {
    /// Indices of the columns that are carried over.
    columns: Vec<usize>,
    /// Which of them are done together.
    groups: Vec<Group>,
    method: Method,
    tolerance_ns: i64,
    schema: StreamSchema,
}

/// The rows of one input that a later grid point may need.
#[derive(Serialize, Deserialize)]
struct Track {
    times: Vec<TimeNs>,
    columns: Vec<Column>,
}

/// The grid point that is due next, and the rows around it.
#[derive(Serialize, Deserialize)]
struct State {
    next: i64,
    tracks: Vec<Track>,
}

impl Operator for Align {
    type State = State;

    fn start(&self) -> State {
        let track = |input: &Input| Track { times: Vec::new(), columns: input.empty_columns() };
        State { next: self.rate.grid_index_at_or_after(TimeNs::MIN), tracks: self.inputs.iter().map(track).collect() }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        for ((track, input), rows) in state.tracks.iter_mut().zip(&self.inputs).zip(inputs) {
            track.extend(input, rows);
        }
        let (grid, picks) = self.pick(state, watermark);
        if !grid.is_empty() {
            out.push(self.gather(state, grid, picks));
        }
        let due = self.rate.grid_time(state.next);
        for (track, input) in state.tracks.iter_mut().zip(&self.inputs) {
            track.drop_before(input, due, self.cell_after(state.next));
        }
        if watermark == TimeNs::MAX { watermark } else { watermark.min(due.saturating_sub(1)) }
    }

    /// What waits is waiting for rows that never come: the last points are those up to the last row.
    fn flush(&self, state: &mut State, out: &mut Output) {
        let nothing: Vec<RecordBatch> = self.inputs.iter().map(|input| input.schema.empty()).collect();
        self.process(state, &nothing, TimeNs::MAX, out);
    }
}

impl Align {
    /// The grid points that are certain at this watermark and for which any input has a value, and what each input takes.
    /// Moves `state.next` to the first point that isn't certain.
    fn pick(&self, state: &mut State, watermark: TimeNs) -> (Vec<TimeNs>, Vec<Vec<Pick>>) {
        let waiting = state.tracks.iter().map(|track| track.times.len()).max().unwrap_or(0);
        let mut grid = Vec::with_capacity(waiting);
        let mut picks: Vec<Vec<Pick>> = self.inputs.iter().map(|_| Vec::with_capacity(waiting)).collect();
        let mut cursors = vec![Cursor::default(); self.inputs.len()];
        let mut row = vec![Pick::MISSING; self.inputs.len()];
        let mut place = Place::at(self.rate, state.next);
        loop {
            let time = place.time;
            if time > watermark || time == TimeNs::MAX {
                break;
            }
            let (cell_after, cell_to) = (middle(place.before, time), middle(time, place.after));
            let mut certain = true;
            for (index, input) in self.inputs.iter().enumerate() {
                let point = Point { time, cell_after, cell_to, watermark, tolerance_ns: input.tolerance_ns };
                match cursors[index].pick(input.method, &state.tracks[index].times, &point) {
                    Some(pick) => row[index] = pick,
                    None => certain = false,
                }
            }
            if !certain {
                break;
            }
            if row.iter().all(|pick| pick.reason == Reason::Missing) {
                state.next = self.next_with_rows(state, &cursors, watermark);
                place = Place::at(self.rate, state.next);
                continue;
            }
            grid.push(time);
            picks.iter_mut().zip(&row).for_each(|(picks, pick)| picks.push(*pick));
            state.next += 1;
            place.step();
        }
        (grid, picks)
    }

    /// Where to look on after a point at which every input is missing: the first point that a later row can reach.
    fn next_with_rows(&self, state: &State, cursors: &[Cursor], watermark: TimeNs) -> i64 {
        let reached = self.inputs.iter().zip(&state.tracks).zip(cursors).map(|((input, track), cursor)| {
            let reach_ns = match input.method {
                Method::Linear | Method::Nearest => input.tolerance_ns,
                Method::Mean => self.rate.period_ns(),
                Method::Hold | Method::AsOf => 0,
            };
            match track.times.get(cursor.to) {
                Some(time) => time.saturating_sub(reach_ns),
                None if watermark == TimeNs::MAX => TimeNs::MAX,
                None => watermark.saturating_add(1).saturating_sub(reach_ns),
            }
        });
        let reached = reached.min().unwrap_or(TimeNs::MAX);
        self.rate.grid_index_at_or_after(reached).max(state.next.saturating_add(1))
    }

    fn gather(&self, state: &State, grid: Vec<TimeNs>, mut picks: Vec<Vec<Pick>>) -> RecordBatch {
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(grid.clone()))];
        for ((input, track), picks) in self.inputs.iter().zip(&state.tracks).zip(&mut picks) {
            if input.method == Method::Hold {
                fill(track, picks, &grid, input, &mut columns);
            } else {
                input.groups.iter().for_each(|group| group.gather(&track.columns, picks, input.method == Method::Mean, &mut columns));
            }
            columns.push(Arc::new(reasons(picks)));
        }
        batch(&self.output, columns)
    }

    /// Halfway between a point and the one before, where the cell of the one ends and the other's begins.
    fn cell_after(&self, k: i64) -> TimeNs {
        middle(self.rate.grid_time(k.saturating_sub(1)), self.rate.grid_time(k))
    }
}

/// A grid point between its neighbours, on its way along the grid.
struct Place<I> {
    before: TimeNs,
    time: TimeNs,
    after: TimeNs,
    later: I,
}

impl Place<()> {
    fn at(rate: Rate, k: i64) -> Place<impl Iterator<Item = TimeNs>> {
        let mut later = rate.grid_times(k);
        let mut next = || later.next().unwrap_or(TimeNs::MAX);
        let (time, after) = (next(), next());
        Place { before: rate.grid_time(k.saturating_sub(1)), time, after, later }
    }
}

impl<I: Iterator<Item = TimeNs>> Place<I> {
    fn step(&mut self) {
        (self.before, self.time) = (self.time, self.after);
        self.after = self.later.next().unwrap_or(TimeNs::MAX);
    }
}

/// Halfway from one time to a later one, rounded down.
fn middle(before: TimeNs, after: TimeNs) -> TimeNs {
    before.saturating_add(after.saturating_sub(before) / 2)
}

/// `hold`: picks every column's last value for itself, and calls a row held once one of its values is older.
fn fill(track: &Track, picks: &mut [Pick], grid: &[TimeNs], input: &Input, columns: &mut Vec<ArrayRef>) {
    let own: Vec<Vec<Pick>> =
        track.columns.iter().map(|column| column.last_values(&track.times, picks, grid, input.tolerance_ns)).collect();
    for (column, own) in track.columns.iter().zip(&own) {
        column.gather(own, columns);
        for (pick, own) in picks.iter_mut().zip(own).filter(|(pick, own)| pick.reason == Reason::Exact && own.reason == Reason::Held) {
            pick.reason = own.reason;
        }
    }
}

/// Where in an input's rows a grid point lies: those before its cell, and those up to it.
#[derive(Clone, Copy, Default)]
struct Cursor {
    from: usize,
    to: usize,
}

impl Cursor {
    fn pick(&mut self, method: Method, times: &[TimeNs], point: &Point) -> Option<Pick> {
        advance(&mut self.to, times, if method == Method::Mean { point.cell_to } else { point.time });
        match method {
            Method::Linear => pick::linear(times, self.to, point),
            Method::Nearest => pick::nearest(times, self.to, point),
            Method::Hold | Method::AsOf => pick::last(times, self.to, point),
            Method::Mean => {
                advance(&mut self.from, times, point.cell_after);
                pick::cell(times, self.from, self.to, point)
            }
        }
    }
}

/// Moves `count` on to the number of rows at or before `time`.
fn advance(count: &mut usize, times: &[TimeNs], time: TimeNs) {
    while times.get(*count).is_some_and(|row| *row <= time) {
        *count += 1;
    }
}

impl Input {
    fn empty_columns(&self) -> Vec<Column> {
        let of = |column: &usize| Column::of(self.schema.columns.field(*column).data_type()).expect("planning refuses other types");
        self.columns.iter().map(of).collect()
    }
}

impl Track {
    fn extend(&mut self, input: &Input, rows: &RecordBatch) {
        self.times.extend_from_slice(times(rows));
        for (column, index) in self.columns.iter_mut().zip(&input.columns) {
            column.extend(rows.column(*index).as_ref());
        }
    }

    /// Forgets the rows that no point from `due` on can need.
    fn drop_before(&mut self, input: &Input, due: TimeNs, cell_after: TimeNs) {
        let count = match input.method {
            Method::Mean => self.times.partition_point(|time| *time <= cell_after),
            Method::Hold => self.times.partition_point(|time| *time < due.saturating_sub(input.tolerance_ns)),
            Method::Linear | Method::Nearest | Method::AsOf => self.times.partition_point(|time| *time <= due).saturating_sub(1),
        };
        self.times.drain(..count);
        self.columns.iter_mut().for_each(|column| column.drop_first(count));
    }
}
