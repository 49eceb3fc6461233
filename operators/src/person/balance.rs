//! How is the weight spread over the plates, and how much does the centre of pressure sway?
//!
//! Reads one or more `force/…` streams and gives a row for every `window` (30 s), one `every` so often (by default they lie end to end),
//! counted from the first sample; a session that ends within a window gives what there is of it.
//!
//! Samples are averaged over the cells of a grid of `rate` (100 Hz), centres of pressure weighted by their force. In each cell a plate
//! counts as loaded from `threshold` (20 N) on, above the offset that it shows while nothing stands on it (as `force_events` learns it,
//! `<plate>_offset_n`, null while it never was empty). Below the threshold there is no centre of pressure: that of a plate is the
//! force-weighted mean over its loaded cells, the combined one Σ F·cop / Σ F over the loaded plates, cell by cell. Only the force's offset
//! is removed here; one of the moments, which moves the centre of pressure, can't be told from the stream: tare the plate.
//!
//! Per plate: `<plate>_load_n`, the mean over all complete cells, `<plate>_load_percent` of the total, `<plate>_cop_x_m`,
//! `<plate>_cop_y_m` in the lab frame. Where plates have a `side` in the rig or in `side`, `left_percent` and `right_percent` are their
//! shares. Of the combined centre of pressure: its mean (`cop_x_m`, `cop_y_m`), `path_length_m`, `mean_velocity_m_per_s` (path over the
//! time in which it was followed), largest less smallest value and standard deviation forwards and sideways (`range_ap_m range_ml_m
//! rms_ap_m rms_ml_m`; `anterior` says which axis of the lab the subject faces along), and `sway_area_m2`, the ellipse that holds 95 %:
//! π·χ²₀.₉₅,₂·√det Σ (Schubert and Kirchner 2014; Prieto et al. 1996 with F for χ²/2). These go through a Butterworth low-pass of second
//! order at `lowpass` (10 Hz; Ruhe et al. 2010), forwards and backwards within the window, so no delay: a row comes with its window's end.
//!
//! `covered_percent` is the share of the window's cells with a centre of pressure. Below `coverage` (90 %) there are shares and means
//! but no sway, and `reason` says why: `no load`, `gap` (a plate's samples are missing), `no cop` (a loaded plate doesn't say where) or
//! `short` (the session ended).
//!
//! ```yaml
//! op: balance
//! from: force/*
//! with: { window: 2 s, side: { plate_1: left, plate_2: right } }
//! input:
//!   force/plate_1:
//!     sensor: { kind: force, rate: 500 Hz }
//!     generate:
//!       duration: 5 s
//!       columns:
//!         force_z_n:
//!           - { noise: { amplitude: 0.5, seed: 1 } }
//!           - { steps: [[0 s, 12], [0.4 s, 312], [4.5 s, 12]] }
//!         cop_x_m: [{ constant: 0.1 }, { sine: { amplitude: 0.008, frequency: 0.5 Hz } }, { noise: { amplitude: 0.001, seed: 3 } }]
//!         cop_y_m: [{ constant: 0.2 }, { sine: { amplitude: 0.003, frequency: 1 Hz } }]
//!   force/plate_2:
//!     sensor: { kind: force, rate: 1000 Hz }
//!     generate:
//!       duration: 5 s
//!       gaps: [[3 s, 3.1 s]]
//!       columns:
//!         force_z_n:
//!           - { noise: { amplitude: 0.5, seed: 2 } }
//!           - { steps: [[0 s, 0], [0.4 s, 500], [4.5 s, 0]] }
//!         cop_x_m: [{ constant: 0.1 }, { sine: { amplitude: 0.008, frequency: 0.5 Hz } }]
//!         cop_y_m: [{ constant: -0.2 }]
//! ```
//! ```csv
//! time_ns,load_n,left_percent,right_percent,plate_1_load_n,plate_1_load_percent,plate_1_cop_x_m,plate_1_cop_y_m,plate_1_offset_n,plate_2_load_n,plate_2_load_percent,plate_2_cop_x_m,plate_2_cop_y_m,plate_2_offset_n,cop_x_m,cop_y_m,path_length_m,mean_velocity_m_per_s,range_ap_m,range_ml_m,rms_ap_m,rms_ml_m,sway_area_m2,covered_percent,reason
//! 2000000000,640.031,37.5012,62.4988,240.02,37.5012,0.0989339,0.199461,11.9606,400.012,62.4988,0.0989028,-0.2,0.0,0.0989145,-0.0501964,,,,,,,,80.0,no load
//! 4000000000,800.043,37.5,62.5,300.016,37.5,0.100042,0.199953,11.9606,500.027,62.5,0.100065,-0.2,0.0,0.100056,-0.0500176,0.0315409,0.0167771,0.0161871,0.00226868,0.00579605,0.000798432,8.75622e-5,95.0,
//! 6000000000,400.061,37.5011,62.4989,150.027,37.5011,0.105134,0.20191,11.943,250.033,62.4989,0.105085,-0.2,0.0,0.105103,-0.0492803,,,,,,,,25.0,short
//! # 3 rows, every bit hashed: 4532767ed298b2f2
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, StringArray};
use proprio_core::quantity::{Duration, Force, Frequency, Share};
use proprio_core::rig::Side;
use proprio_core::schema::{FieldExt, float, meta, text};
use proprio_core::{
    Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, Rate, RecordBatch, StreamSchema, TimeNs, rows,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::filter::Filter;
use crate::kernels::gait_event::Foot;
use crate::kernels::plate_contact::{Plate, Rule, Sample};
use crate::kernels::sway;

/// Order of the low-pass, one way.
const ORDER: usize = 2;
/// Samples that each end is reflected by, as scipy does for a second-order section.
const PAD: usize = 9;
/// Most plates that a step takes.
const MAX_PLATES: usize = 8;

/// Weight distribution and sway from force plates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Length of what is summed up in one row, 1 to 120 s.
    window: Duration,
    /// Time from one window's beginning to the next one's; the window's length when left out.
    every: Option<Duration>,
    /// Vertical force from which a plate counts as loaded.
    threshold: Force,
    /// Largest offset of an empty plate that is removed.
    max_offset: Force,
    /// Cells a second that samples are averaged over, 10 to 200 Hz.
    rate: Frequency,
    /// Edge of the low-pass of the centre of pressure.
    lowpass: Frequency,
    /// Which axis of the lab the subject faces along.
    anterior: Axis,
    /// The side of the body that a plate carries, by the plate's name; by default the plate's `side` in the rig.
    side: BTreeMap<String, Side>,
    /// Share of a window's cells that must have a centre of pressure for its sway to be told.
    coverage: Share,
}

/// An axis of the floor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Axis {
    /// The lab's X.
    #[default]
    X,
    /// The lab's Y.
    Y,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: Duration::new(30.0),
            every: None,
            threshold: Force::new(20.0),
            max_offset: Force::new(50.0),
            rate: Frequency::new(100.0),
            lowpass: Frequency::new(10.0),
            anterior: Axis::X,
            side: BTreeMap::new(),
            coverage: Share::new(90.0),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let grid = self.check(&mut findings);
        let plates: Vec<Option<PlateInput>> =
            ports.iter().enumerate().map(|(port, input)| self.plate(port, input, &mut findings)).collect();
        for name in self.side.keys().filter(|name| !ports.iter().any(|port| port.prefix() == name.as_str())) {
            let known: Vec<&str> = ports.iter().map(Port::prefix).collect();
            let finding = PlanFinding::config(format!("/side/{name}"), format!("there is no plate `{name}`"));
            findings.push(finding.help(format!("the plates are {}", known.join(", "))));
        }
        if ports.len() > MAX_PLATES {
            findings.push(PlanFinding::step(format!("{} plates are more than the {MAX_PLATES} that one step takes", ports.len())));
        }
        let (Some(grid), true) = (grid, findings.is_empty()) else { return Err(findings) };
        let plates: Vec<PlateInput> = plates.into_iter().flatten().collect();
        let cells = |length: Duration| ((length.seconds() * grid.hertz()).round() as i64).max(1);
        let has_sides = [Foot::Left, Foot::Right].map(|foot| plates.iter().any(|plate| plate.foot == foot)) == [true; 2];
        let output = output(&plates, ports, has_sides);
        let step = Balance {
            grid,
            window: cells(self.window),
            every: cells(self.every.unwrap_or(self.window)),
            low_pass: Filter::low_pass(ORDER, self.lowpass.hertz(), grid.hertz()),
            lateral: if self.anterior == Axis::X { 1 } else { 0 },
            least_covered_percent: self.coverage.percent(),
            has_sides,
            plates,
            output: output.clone(),
        };
        Ok(Planned::new(step, output))
    }
}

impl Config {
    /// Checks what stands alone; the grid of cells.
    fn check(&self, findings: &mut Findings) -> Option<Rate> {
        if !(1.0..=120.0).contains(&self.window.seconds()) {
            findings.push(PlanFinding::config("/window", format!("a window of {} is not within 1 to 120 s", self.window)));
        }
        if self.every.is_some_and(|every| every.seconds() < 0.1 || every.seconds() > self.window.seconds()) {
            findings.push(PlanFinding::config("/every", "windows follow each other after 100 ms at the least and one window at the most"));
        }
        if self.threshold.newtons() <= 0.0 {
            findings.push(PlanFinding::config("/threshold", "the threshold must be above 0 N"));
        }
        if !(0.0..=100.0).contains(&self.coverage.percent()) {
            findings.push(PlanFinding::config("/coverage", "a share lies between 0 % and 100 %"));
        }
        if !(10.0..=200.0).contains(&self.rate.hertz()) {
            findings.push(PlanFinding::config("/rate", format!("{} is not within 10 to 200 Hz", self.rate)));
            return None;
        }
        if !(self.lowpass.hertz() > 0.0 && self.lowpass.hertz() < self.rate.hertz() / 2.0) {
            findings.push(PlanFinding::config("/lowpass", format!("{} is not below half of {}", self.lowpass, self.rate)));
        }
        let grid = Rate::from_decimal(self.rate.hertz());
        if grid.is_none() {
            findings.push(PlanFinding::config("/rate", format!("{} is no exact rate", self.rate)));
        }
        grid
    }

    fn plate(&self, port: usize, input: &Port, findings: &mut Findings) -> Option<PlateInput> {
        let columns = ["force_z_n", "cop_x_m", "cop_y_m"].map(|name| input.schema.index(name));
        let [Some(force), Some(x), Some(y)] = columns else {
            let finding = PlanFinding::input(port, format!("`{}` is no force plate", input.stream));
            findings.push(finding.help("it needs the columns `force_z_n`, `cop_x_m` and `cop_y_m`: read `force/*`"));
            return None;
        };
        let period_ns = input.schema.rate.map_or(1_000_000, Rate::period_ns);
        if period_ns as f64 > 1.001e9 / self.rate.hertz() {
            findings.push(PlanFinding::input(port, format!("`{}` is slower than the cells of {}", input.stream, self.rate)));
        }
        let rule = Rule {
            threshold_n: self.threshold.newtons(),
            persistence_ns: 0,
            max_offset_n: self.max_offset.newtons(),
            gap_ns: period_ns.saturating_mul(5),
        };
        let declared = input.schema.columns.field(force).meta(meta::SIDE).map_or(Foot::Unknown, Foot::parse);
        let foot = self.side.get(input.prefix()).map_or(declared, |side| Foot::parse(side.name()));
        Some(PlateInput { port, force, cop: [x, y], rule, foot })
    }
}

fn output(plates: &[PlateInput], ports: &[Port], has_sides: bool) -> StreamSchema {
    let mut fields = vec![float("load_n", "N")];
    if has_sides {
        fields.extend(["left", "right"].map(|side| float(format!("{side}_percent"), "%").with(meta::SIDE, side)));
    }
    for plate in plates {
        let name = |what: &str| format!("{}_{what}", ports[plate.port].prefix());
        fields.extend([float(name("load_n"), "N"), float(name("load_percent"), "%")]);
        fields.extend([float(name("cop_x_m"), "m").frame("lab"), float(name("cop_y_m"), "m").frame("lab"), float(name("offset_n"), "N")]);
    }
    fields.extend(["cop_x_m", "cop_y_m"].map(|name| float(name, "m").frame("lab")));
    fields.extend([float("path_length_m", "m"), float("mean_velocity_m_per_s", "m/s")]);
    fields.extend(["range_ap_m", "range_ml_m", "rms_ap_m", "rms_ml_m"].map(|name| float(name, "m")));
    fields.extend([float("sway_area_m2", "m^2"), float("covered_percent", "%"), text("reason")]);
    StreamSchema::new(fields, &[], None)
}

/// One plate's port and columns.
#[derive(Clone, Copy, Debug)]
struct PlateInput {
    port: usize,
    force: usize,
    cop: [usize; 2],
    rule: Rule,
    foot: Foot,
}

struct Balance {
    grid: Rate,
    /// In cells.
    window: i64,
    /// In cells.
    every: i64,
    low_pass: Filter,
    /// Which of x and y is sideways.
    lateral: usize,
    least_covered_percent: f64,
    has_sides: bool,
    plates: Vec<PlateInput>,
    output: StreamSchema,
}

/// What is remembered: the cells of the open window, plate by plate.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    plates: Vec<Cells>,
    /// The cell that the open window ends before; none before the first sample.
    end: Option<i64>,
    /// The cell that the last window with a row ended before.
    told: Option<i64>,
    /// The newest sample's time.
    last_ns: TimeNs,
}

/// Sums over a plate's samples by cell, from `first` on.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cells {
    plate: Plate,
    first: i64,
    sums: VecDeque<Sum>,
}

/// Samples of one cell.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sum {
    count: u32,
    force_n: f64,
    /// Samples with a centre of pressure: their force, and it times x and y.
    pressed: [f64; 3],
}

impl Operator for Balance {
    type State = State;

    fn start(&self) -> State {
        State { plates: self.plates.iter().map(|_| Cells::default()).collect(), ..State::default() }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let times: Vec<&[TimeNs]> = self.plates.iter().map(|plate| rows::times(&inputs[plate.port])).collect();
        let mut taken = vec![0; self.plates.len()];
        let mut found = Vec::new();
        loop {
            let next = times.iter().zip(&taken).filter_map(|(times, taken)| times.get(*taken)).min().copied();
            self.close_until(state, watermark.min(next.unwrap_or(TimeNs::MAX)), &mut found);
            let Some(next) = next else { break };
            let end = self.open(state, self.cell(next));
            let end_ns = self.grid.grid_time(end);
            for (n, plate) in self.plates.iter().enumerate() {
                let to = taken[n] + times[n][taken[n]..].partition_point(|time| *time < end_ns);
                self.take(&mut state.plates[n], plate, &inputs[plate.port], taken[n]..to);
                state.last_ns = to.checked_sub(1).filter(|_| to > taken[n]).map_or(state.last_ns, |row| times[n][row].max(state.last_ns));
                taken[n] = to;
            }
        }
        out.push(self.batch(&found));
        if self.has_open(state) { watermark.min(state.last_ns - 1) } else { watermark }
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        if let (Some(end), true) = (state.end, self.has_open(state)) {
            out.push(self.batch(&[self.row(state, end, state.last_ns)]));
        }
    }
}

impl Balance {
    /// The cell that a time lies in.
    fn cell(&self, time: TimeNs) -> i64 {
        self.grid.grid_index_at_or_after(time.saturating_add(1)) - 1
    }

    /// The end of the open window, which holds `cell` or lies before it without any sample in the cells that it shares.
    fn open(&self, state: &mut State, cell: i64) -> i64 {
        let end = state.end.unwrap_or(cell + self.window);
        // Windows without a sample are skipped.
        let skipped = if end <= cell { (cell - end) / self.every + 1 } else { 0 };
        let end = end + skipped * self.every;
        state.end = Some(end);
        let first = end - self.window;
        for cells in &mut state.plates {
            let stale = usize::try_from(first - cells.first).unwrap_or(0).min(cells.sums.len());
            cells.sums.drain(..stale);
            cells.first = if cells.sums.is_empty() { first } else { cells.first + stale as i64 };
        }
        end
    }

    /// Closes the windows that end at or before `until` and hold a sample that no row has told of.
    fn close_until(&self, state: &mut State, until: TimeNs, found: &mut Vec<Row>) {
        while let Some(end) = state.end {
            let time = self.grid.grid_time(end);
            if time > until || !self.has_open(state) {
                return;
            }
            found.push(self.row(state, end, time));
            state.told = Some(end);
            self.open(state, end);
        }
    }

    /// Whether samples came that no row has told of.
    fn has_open(&self, state: &State) -> bool {
        state.end.is_some() && state.told.is_none_or(|told| state.last_ns >= self.grid.grid_time(told))
    }

    /// Adds samples of one plate, all before the open window's end.
    fn take(&self, cells: &mut Cells, plate: &PlateInput, batch: &RecordBatch, range: std::ops::Range<usize>) {
        let times = rows::times(batch);
        let force = rows::floats(batch, plate.force);
        let cop = plate.cop.map(|column| rows::floats(batch, column));
        let mut changes = Vec::new();
        for row in range {
            let force_n = force.value(row);
            let cop_m = [0, 1].map(|axis| rows::float_or_nan(cop[axis], row));
            cells.plate.step(&plate.rule, Sample { time_ns: times[row], force_n, cop_m }, &mut changes);
            changes.clear();
            let at = (self.cell(times[row]) - cells.first) as usize;
            if at >= cells.sums.len() {
                cells.sums.resize(at + 1, Sum::default());
            }
            let sum = &mut cells.sums[at];
            sum.count += 1;
            sum.force_n += force_n;
            if cop_m[0].is_finite() && cop_m[1].is_finite() {
                [force_n, force_n * cop_m[0], force_n * cop_m[1]].iter().zip(&mut sum.pressed).for_each(|(term, sum)| *sum += term);
            }
        }
    }
}

/// A window's measures.
#[derive(Clone, Debug)]
struct Row {
    time: TimeNs,
    load_n: f64,
    plates: Vec<PlateRow>,
    sway: sway::Spread,
    path_m: f64,
    followed_s: f64,
    mean_m: [f64; 2],
    covered_percent: f64,
    reason: Option<&'static str>,
}

/// What one plate carried.
#[derive(Clone, Copy, Debug, Default)]
struct PlateRow {
    load_n: f64,
    /// Force over the loaded cells, and it times the centre of pressure.
    pressed: [f64; 3],
    offset_n: Option<f64>,
}

/// The plates together, in one cell.
enum Combined {
    /// A plate's samples are missing.
    Gap,
    /// A loaded plate doesn't say where.
    Unknown,
    /// No plate is loaded.
    Unloaded,
    /// The centre of pressure.
    At([f64; 2]),
}

impl Balance {
    /// The measures of the window that ends before cell `end`.
    fn row(&self, state: &State, end: i64, time: TimeNs) -> Row {
        let last = self.cell(state.last_ns).min(end - 1);
        let mut plates: Vec<PlateRow> =
            state.plates.iter().map(|cells| PlateRow { offset_n: cells.plate.offset_n(), ..PlateRow::default() }).collect();
        let (mut gaps, mut unknown, mut unloaded) = (0i64, 0i64, 0i64);
        let mut runs: Vec<Vec<[f64; 2]>> = Vec::new();
        let mut is_followed = false;
        for cell in end - self.window..=last {
            let combined = self.combined(state, cell, &mut plates);
            let was_followed = std::mem::replace(&mut is_followed, matches!(combined, Combined::At(_)));
            match combined {
                Combined::At(point) if was_followed => runs.last_mut().expect("one was begun").push(point),
                Combined::At(point) => runs.push(vec![point]),
                Combined::Gap => gaps += 1,
                Combined::Unknown => unknown += 1,
                Combined::Unloaded => unloaded += 1,
            }
        }
        let seen = last + 1 - (end - self.window);
        plates.iter_mut().for_each(|plate| plate.load_n /= (seen - gaps) as f64);
        let smooth: Vec<Vec<[f64; 2]>> = runs.iter().map(|run| self.smooth(run)).collect();
        let points = smooth.concat();
        let covered_percent = 100.0 * points.len() as f64 / self.window as f64;
        let reasons = [("no load", unloaded), ("gap", gaps), ("no cop", unknown), ("short", self.window - seen)];
        let most = reasons.iter().fold(reasons[0], |most, next| if next.1 > most.1 { *next } else { most });
        Row {
            time,
            load_n: plates.iter().map(|plate| plate.load_n).sum(),
            sway: sway::spread(&points),
            path_m: smooth.iter().map(|run| sway::path_m(run)).sum(),
            followed_s: smooth.iter().map(|run| run.len().saturating_sub(1)).sum::<usize>() as f64 / self.grid.hertz(),
            mean_m: [0, 1].map(|axis| runs.iter().flatten().map(|point| point[axis]).sum::<f64>() / points.len() as f64),
            covered_percent,
            reason: (covered_percent < self.least_covered_percent || points.len() < 2).then_some(most.0),
            plates,
        }
    }

    /// The plates in one cell; adds to what each carried.
    fn combined(&self, state: &State, cell: i64, plates: &mut [PlateRow]) -> Combined {
        let sum = |cells: &Cells| usize::try_from(cell - cells.first).ok().and_then(|at| cells.sums.get(at)).copied().unwrap_or_default();
        if state.plates.iter().any(|cells| sum(cells).count == 0) {
            return Combined::Gap;
        }
        let (mut pressed, mut is_known) = ([0.0; 3], true);
        for ((cells, input), row) in state.plates.iter().zip(&self.plates).zip(plates) {
            let sum = sum(cells);
            let load_n = sum.force_n / f64::from(sum.count) - row.offset_n.unwrap_or(0.0);
            row.load_n += load_n;
            if load_n >= input.rule.threshold_n {
                is_known &= sum.pressed[0] > 0.0;
                let cop_m = [sum.pressed[1] / sum.pressed[0], sum.pressed[2] / sum.pressed[0]];
                for (n, term) in [load_n, load_n * cop_m[0], load_n * cop_m[1]].into_iter().enumerate().filter(|(_, term)| term.is_finite())
                {
                    row.pressed[n] += term;
                    pressed[n] += term;
                }
            }
        }
        match (is_known, pressed[0] > 0.0) {
            (true, true) => Combined::At([pressed[1] / pressed[0], pressed[2] / pressed[0]]),
            (true, false) => Combined::Unloaded,
            (false, _) => Combined::Unknown,
        }
    }

    fn smooth(&self, run: &[[f64; 2]]) -> Vec<[f64; 2]> {
        let axis = |axis: usize| self.low_pass.forward_backward(&run.iter().map(|point| point[axis]).collect::<Vec<_>>(), PAD);
        axis(0).into_iter().zip(axis(1)).map(|(x, y)| [x, y]).collect()
    }

    fn batch(&self, found: &[Row]) -> RecordBatch {
        let column = |value: &dyn Fn(&Row) -> f64| rows::nan_as_null(found.iter().map(value).collect());
        let of_sway = |value: &dyn Fn(&Row) -> f64| column(&|row| if row.reason.is_none() { value(row) } else { f64::NAN });
        let mut columns: Vec<ArrayRef> =
            vec![Arc::new(found.iter().map(|row| row.time).collect::<Int64Array>()), column(&|row| row.load_n)];
        if self.has_sides {
            columns.extend([Foot::Left, Foot::Right].map(|foot| column(&|row| self.side_percent(row, foot))));
        }
        for n in 0..self.plates.len() {
            columns.push(column(&|row| row.plates[n].load_n));
            columns.push(column(&|row| self.percent(row, row.plates[n].load_n)));
            columns.extend([1, 2].map(|axis| column(&|row| row.plates[n].pressed[axis] / row.plates[n].pressed[0])));
            columns.push(column(&|row| row.plates[n].offset_n.unwrap_or(f64::NAN)));
        }
        columns.extend([0, 1].map(|axis| column(&|row| row.mean_m[axis])));
        columns.extend([of_sway(&|row| row.path_m), of_sway(&|row| row.path_m / row.followed_s)]);
        let (ml, ap) = (self.lateral, 1 - self.lateral);
        columns.extend([ap, ml].map(|axis| of_sway(&|row| row.sway.range_m[axis])));
        columns.extend([ap, ml].map(|axis| of_sway(&|row| row.sway.rms_m[axis])));
        columns.extend([of_sway(&|row| row.sway.area_m2), column(&|row| row.covered_percent)]);
        columns.push(Arc::new(found.iter().map(|row| row.reason).collect::<StringArray>()));
        rows::batch(&self.output, columns)
    }

    /// A load's share of all; NaN while nothing stands on the plates.
    fn percent(&self, row: &Row, load_n: f64) -> f64 {
        let is_loaded = self.plates.iter().any(|plate| row.load_n >= plate.rule.threshold_n);
        if is_loaded { 100.0 * load_n / row.load_n } else { f64::NAN }
    }

    fn side_percent(&self, row: &Row, foot: Foot) -> f64 {
        let of = |foot: Foot| -> f64 {
            self.plates.iter().zip(&row.plates).filter(|(plate, _)| plate.foot == foot).map(|(_, plate)| plate.load_n).sum()
        };
        // A plate without a side belongs to neither, so the two make a whole.
        100.0 * self.percent(row, of(foot)) / self.percent(row, of(Foot::Left) + of(Foot::Right))
    }
}

#[cfg(test)]
mod tests {
    use proprio_core::At;
    use proprio_core::kind::Kind;
    use proprio_core::rig::{RigFile, SensorFile};
    use serde_json::{Value, json};

    use super::*;

    fn port(name: &str, side: Option<Side>) -> Port {
        let sensor = SensorFile { rate: Some(Rate::hz(100)), side, ..SensorFile::new(Kind::Force) };
        let rig = RigFile { rig: "test".to_owned(), sensors: [(name.to_owned(), sensor)].into() }.resolve();
        Port { stream: rig.sensors[0].stream(), schema: rig.sensors[0].stream_schema() }
    }

    fn plan(config: Value, ports: &[Port]) -> Result<Planned, Findings> {
        (crate::operator("balance").expect("the operator is registered").plan)(config, ports)
    }

    #[test]
    fn sides_of_the_rig_give_their_shares() {
        let ports = [port("a", Some(Side::Left)), port("b", Some(Side::Right))];
        let names = |ports: &[Port]| plan(json!({}), ports).expect("a plan").output.names().map(str::to_owned).collect::<Vec<_>>();
        assert!(names(&ports).contains(&"left_percent".to_owned()));
        assert!(!names(&ports[..1]).contains(&"left_percent".to_owned()), "one side has no share of two");
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_pointer() {
        for (config, pointer) in [
            (json!({ "window": "200 s" }), "/window"),
            (json!({ "every": "40 s" }), "/every"),
            (json!({ "threshold": "0 N" }), "/threshold"),
            (json!({ "coverage": "120 %" }), "/coverage"),
            (json!({ "rate": "1000 Hz" }), "/rate"),
            (json!({ "lowpass": "50 Hz" }), "/lowpass"),
            (json!({ "side": { "plate_3": "left" } }), "/side/plate_3"),
        ] {
            let findings = plan(config.clone(), &[port("plate_1", None)]).err().unwrap_or_else(|| panic!("{config} is taken"));
            assert_eq!(findings[0].at, At::Config(pointer.into()), "{config}: {findings:?}");
        }
        let slow = plan(json!({ "rate": "200 Hz" }), &[port("plate_1", None)]).expect_err("a plate slower than the cells");
        assert_eq!(slow[0].at, At::Input(0));
        let nine: Vec<Port> = (0..9).map(|n| port(&format!("plate_{n}"), None)).collect();
        assert_eq!(plan(json!({}), &nine).expect_err("too many")[0].at, At::Step);
    }
}
