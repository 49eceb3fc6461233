//! How far does a walker's movement lie from normal, or from their own baseline, and how symmetric is it? One row a cycle.
//!
//! Reads the joint angles of `joint_angles` and the cycles of `gait_parameters`. Each variable is cut into 51 points over the cycle
//! (0 %, 2 % … 100 %); its **gait variable score** (`gvs_…_deg`) is the root mean square of its differences from the reference, and all of
//! them are the movement analysis profile. The **gait profile score** is the root mean square of the variable scores (Baker et al.
//! 2009): `gps_deg` of the cycle's own side, `gps_overall_deg` with the other side's newest cycle, the pelvis counted once. A side has
//! nine variables, both together 15; those whose columns are not there are left out, and `gps_variables` and `gps_overall_variables`
//! say how many were in.
//!
//! | variable | column |
//! |---|---|
//! | `pelvis_tilt`, `_obliquity`, `_rotation` | `pelvis_<angle>_deg` |
//! | `hip_flexion`, `_adduction`, `_rotation` | `hip_<side>_<angle>_deg` |
//! | `knee_flexion`, `ankle_dorsiflexion` | `knee_<side>_flexion_deg`, `ankle_<side>_dorsiflexion_deg` |
//! | `foot_progression` | `foot_<side>_progression_deg` |
//!
//! Pelvic obliquity and rotation count from the cycle's own side: up and forward positive. Rotation is taken about its mean over the
//! cycle, since the lab's axes are not the walk's; a pelvis that is always turned to one side doesn't show.
//!
//! **Reference.** No norms come with it: `reference` holds the user's table, or the first `baseline` cycles of each side in the session
//! are the reference of those that follow. `outside_percent` is the share of points beyond two standard deviations of it. The
//! smallest change of the profile score that matters to clinicians is 1.6° (Baker et al. 2012).
//!
//! **Deviation index.** `gdi` is 100 − 10·z of ln(`gps_deg`) among the reference's own cycles: 100 is as they are, 90 a standard
//! deviation worse (Schwartz and Rozumalski 2008; on whole curves, as Baker et al. 2009 do, rather than on features of a norm that does
//! not come with it). `reference_spread` tells a table's mean and deviation; of a session, the next `baseline` cycles of each side
//! after those that made the reference. Null until then, and where a variable has no score.
//!
//! **Symmetry** of each parameter of the cycle with the other side's newest: `…_symmetry_index_percent` is (R − L) / mean · 100,
//! `…_symmetry_angle_percent` the arctangent form (Zifchock et al. 2008), which holds near zero; `asymmetric` when an index
//! is beyond `symmetry_limit`.
//!
//! **Gaps.** A variable with a gap beyond `max_gap` in its cycle has no score; `reason` says why there is none at all:
//! `learning_baseline`, `no_angles`, `bad_cycle` (longer than `max_cycle`). **Delay**: `max_gap` after the cycle's row.
//!
//! ```yaml
//! op: gait_scores
//! from: [angles, cycles]
//! with: { baseline: 2, symmetry: [step_time_s] }
//! input:
//!   angles:
//!     schema:
//!       rate: 50 Hz
//!       columns:
//!         - { name: pelvis_obliquity_deg, unit: deg }
//!         - { name: knee_left_flexion_deg, unit: deg }
//!         - { name: knee_right_flexion_deg, unit: deg }
//!     generate:
//!       duration: 5.4 s
//!       columns:
//!         pelvis_obliquity_deg: [{ sine: { amplitude: 4, frequency: 1 Hz } }]
//!         knee_left_flexion_deg: [{ sine: { amplitude: 30, frequency: 1 Hz } }, { steps: [[1 s, 2], [2 s, 6], [3 s, 4], [4 s, 7]] }]
//!         knee_right_flexion_deg: [{ sine: { amplitude: 30, frequency: 1 Hz } }, { missing: { from: 3.6 s, to: 3.8 s } }]
//!   cycles:
//!     schema:
//!       keys: [side]
//!       columns:
//!         - { name: side, type: text, required: true }
//!         - { name: start_ns, type: integer, required: true }
//!         - { name: step_time_s, unit: s }
//!     rows: |
//!       time_ms,side,start_ns,step_time_s
//!       1000,left,0,0.5
//!       1500,right,500000000,0.5
//!       2000,left,1000000000,0.5
//!       2500,right,1500000000,0.52
//!       3000,left,2000000000,0.46
//!       3500,right,2500000000,0.52
//!       4000,left,3000000000,
//!       4300,right,3300000000,0.5
//!       5000,left,4000000000,0.5
//! ```
//! ```csv
//! time_ns,side,start_ns,gvs_pelvis_obliquity_deg,gvs_knee_flexion_deg,gps_deg,gps_variables,gps_overall_deg,gps_overall_variables,gdi,outside_percent,reference,baseline_cycles,reason,step_time_symmetry_index_percent,step_time_symmetry_angle_percent,asymmetric
//! 1000000000,left,0,,,,0,,0,,,baseline,1,learning_baseline,,,
//! 1500000000,right,500000000,,,,0,,0,,,baseline,1,learning_baseline,0.0,0.0,false
//! 2000000000,left,1000000000,,,,0,,0,,,baseline,2,learning_baseline,0.0,0.0,false
//! 2500000000,right,1500000000,,,,0,,0,,,baseline,2,learning_baseline,3.92157,1.24811,false
//! 3000000000,left,2000000000,2.80783e-15,4.95074,3.5007,2,,0,,49.0196,baseline,2,,12.2449,3.89281,true
//! 3500000000,right,2500000000,3.54722e-15,2.67205e-14,1.906e-14,2,2.85831,3,,0.0,baseline,2,,12.2449,3.89281,true
//! 4000000000,left,3000000000,4.00463e-15,3.0,2.12132,2,1.73205,3,,49.0196,baseline,2,,,,
//! 4300000000,right,3300000000,3.33507,,3.33507,1,2.12132,2,,100.0,baseline,2,,,,
//! 5000000000,left,4000000000,7.14266e-15,5.95572,4.21133,2,4.21133,2,87.7112,49.0196,baseline,2,,0.0,0.0,false
//! # 9 rows, every bit hashed: 64b7a130471248e4
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::quantity::{Duration, Share};
use proprio_core::rows::{batch, float_or_nan, floats, integers, nan_as_null, strings, times};
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::baseline::{self, Learner};
use crate::kernels::gait_event::Foot;
use crate::kernels::gait_norm::{Norm, Spread, deviation_index};
use crate::kernels::gait_score::{Band, Baseline, about_mean, resample, root_mean_square, symmetry_angle_percent, symmetry_index_percent};
use crate::kernels::gait_variable::{self, Variable};

/// Scores of gait cycles.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Norms by variable (`knee_flexion`), for both sides. Only these variables are scored. Without it, the session's own
    /// baseline is the reference.
    #[serde(default)]
    reference: BTreeMap<String, Norm>,
    /// How far the people of `reference` lie from it themselves, for the gait deviation index.
    #[serde(default)]
    reference_spread: Option<Spread>,
    /// How many cycles of each side make the baseline, 2 to 200; 10 by default.
    #[serde(default)]
    baseline: Option<u32>,
    /// Columns of the cycles whose symmetry is given. By default step time, stance, single support, step and stride length.
    #[serde(default)]
    symmetry: Option<Vec<String>>,
    /// Symmetry index beyond which a cycle is called asymmetric.
    #[serde(default = "symmetry_limit")]
    symmetry_limit: Share,
    /// Longest cycle.
    #[serde(default = "max_cycle")]
    max_cycle: Duration,
    /// Longest gap within a cycle that is bridged.
    #[serde(default = "max_gap")]
    max_gap: Duration,
}

fn symmetry_limit() -> Share {
    Share::new(10.0)
}

fn max_cycle() -> Duration {
    Duration::new(3.0)
}

fn max_gap() -> Duration {
    Duration::new(0.1)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        self.check_ranges(&mut findings);
        let angles = ports.iter().position(|port| !gait_variable::variables(&port.schema).is_empty());
        let cycles = ports.iter().position(|port| gait_variable::cycle_columns(&port.schema).is_some());
        if angles.is_none() {
            let finding = PlanFinding::step("no stream of joint angles among the inputs");
            findings.push(finding.help("the output of `joint_angles`, with columns such as `knee_left_flexion_deg`"));
        }
        if cycles.is_none() {
            let finding = PlanFinding::step("no stream of gait cycles among the inputs");
            findings.push(finding.help("the output of `gait_parameters`, with the columns `side` and `start_ns`"));
        }
        for (port, input) in ports.iter().enumerate().filter(|(port, _)| ![angles, cycles].contains(&Some(*port))) {
            findings.push(PlanFinding::input(port, format!("`{}` is neither joint angles nor gait cycles, or a second one", input.stream)));
        }
        let variables = angles.map(|port| (port, self.variables(&ports[port].schema, &mut findings)));
        let parameters = cycles.map(|port| (port, gait_variable::symmetric(&ports[port], port, self.symmetry.as_deref(), &mut findings)));
        let (Some((angles, variables)), Some((cycles, parameters)), true) = (variables, parameters, findings.is_empty()) else {
            return Err(findings);
        };
        let output = output(&variables, &parameters);
        let operator = GaitScores {
            angles,
            cycles,
            cycle_columns: gait_variable::cycle_columns(&ports[cycles].schema).unwrap_or_default(),
            variables,
            parameters: parameters.iter().map(|(column, _)| *column).collect(),
            baseline: self.reference.is_empty().then(|| self.baseline.unwrap_or(10)),
            spread: self.reference_spread.map(|spread| spread.band()),
            symmetry_limit: self.symmetry_limit.percent(),
            max_cycle_ns: self.max_cycle.nanoseconds(),
            max_gap_ns: self.max_gap.nanoseconds(),
            output: output.clone(),
        };
        Ok(Planned::new(operator, output))
    }
}

impl Config {
    fn check_ranges(&self, findings: &mut Findings) {
        if self.baseline.is_some_and(|cycles| !(2..=200).contains(&cycles)) {
            findings.push(PlanFinding::config("/baseline", "a baseline has 2 to 200 cycles"));
        }
        if self.baseline.is_some() && !self.reference.is_empty() {
            findings.push(PlanFinding::config("/baseline", "with `reference` there is no baseline").help("leave one of the two out"));
        }
        if self.reference_spread.is_some_and(|spread| self.reference.is_empty() || !spread.fits()) {
            let message = "the spread of a `reference` has a mean and a standard deviation above 0";
            findings.push(PlanFinding::config("/reference_spread", message));
        }
        if !(0.3..=20.0).contains(&self.max_cycle.seconds()) {
            findings.push(PlanFinding::config("/max_cycle", "the longest cycle must lie between 0.3 s and 20 s"));
        }
        if !(0.001..=0.5).contains(&self.max_gap.seconds()) {
            findings.push(PlanFinding::config("/max_gap", "the longest gap must lie between 1 ms and 500 ms"));
        }
        if self.symmetry_limit.percent() <= 0.0 {
            findings.push(PlanFinding::config("/symmetry_limit", "the limit must be above 0 %"));
        }
        for (name, norm) in &self.reference {
            if !norm.fits() {
                findings.push(PlanFinding::config(format!("/reference/{name}"), "a norm has 51 values (every 2 %) or 101 (every 1 %)"));
            }
        }
    }

    /// The variables that the angles have, and the reference knows.
    fn variables(&self, schema: &StreamSchema, findings: &mut Findings) -> Vec<(Variable, Option<Band>)> {
        let there = gait_variable::variables(schema);
        for name in self.reference.keys().filter(|name| !there.iter().any(|variable| variable.name == name.as_str())) {
            findings.push(PlanFinding::config(format!("/reference/{name}"), format!("the angles have no `{name}` of both sides")));
        }
        let with_norm = there.into_iter().map(|variable| (variable, self.reference.get(variable.name).map(Norm::band)));
        with_norm.filter(|(_, norm)| norm.is_some() || self.reference.is_empty()).collect()
    }
}

fn output(variables: &[(Variable, Option<Band>)], parameters: &[(usize, String)]) -> StreamSchema {
    let mut fields = vec![text("side").required(), column("start_ns", DataType::Int64).unit("ns").required()];
    fields.extend(variables.iter().map(|(variable, _)| float(format!("gvs_{}_deg", variable.name), "deg")));
    fields.extend([float("gps_deg", "deg"), column("gps_variables", DataType::Int64).required()]);
    fields.extend([float("gps_overall_deg", "deg"), column("gps_overall_variables", DataType::Int64).required()]);
    fields.extend([
        float("gdi", "1"),
        float("outside_percent", "%"),
        text("reference").required(),
        column("baseline_cycles", DataType::Int64),
        text("reason"),
    ]);
    for (_, name) in parameters {
        let stem = gait_variable::without_unit(name);
        fields.extend(["index", "angle"].map(|form| float(format!("{stem}_symmetry_{form}_percent"), "%")));
    }
    fields.push(column("asymmetric", DataType::Boolean));
    StreamSchema::new(fields, &["side"], None)
}

#[derive(Debug)]
struct GaitScores {
    angles: usize,
    cycles: usize,
    /// `side` and `start_ns`.
    cycle_columns: [usize; 2],
    /// With their norms.
    variables: Vec<(Variable, Option<Band>)>,
    parameters: Vec<usize>,
    /// Cycles of a baseline; none where norms are given.
    baseline: Option<u32>,
    /// Of the norms.
    spread: Option<baseline::Band>,
    symmetry_limit: f64,
    max_cycle_ns: i64,
    max_gap_ns: i64,
    output: StreamSchema,
}

/// What is remembered: the angles of the longest cycle, cycles that wait for their last angle, and per side baseline and newest cycle.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// Per row its time, and per variable the angle of the left and of the right.
    rows: VecDeque<(TimeNs, Vec<[f64; 2]>)>,
    waiting: Vec<Cycle>,
    baselines: [Vec<Baseline>; 2],
    /// Of the logarithms of the profile scores that followed.
    spreads: [Learner; 2],
    newest: [Option<Newest>; 2],
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cycle {
    end_ns: TimeNs,
    side: usize,
    start_ns: TimeNs,
    parameters: Vec<f64>,
}

/// What the other side needs of a side's newest cycle.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Newest {
    end_ns: TimeNs,
    /// By variable; NaN where not scored.
    scores: Vec<f64>,
    parameters: Vec<f64>,
}

/// A row of the output.
struct Row {
    cycle: Cycle,
    scores: Vec<f64>,
    own: (f64, i64),
    overall: (f64, i64),
    gdi: f64,
    outside_percent: f64,
    baseline_cycles: Option<i64>,
    reason: Option<&'static str>,
    /// Index and angle, by parameter.
    symmetry: Vec<[f64; 2]>,
}

impl Operator for GaitScores {
    type State = State;

    fn start(&self) -> State {
        let none = || vec![Baseline::default(); self.variables.len()];
        State { baselines: [none(), none()], ..State::default() }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        self.take(state, inputs);
        let ready = if watermark == TimeNs::MAX { watermark } else { watermark.saturating_sub(self.max_gap_ns) };
        self.emit(state, ready, out);
        let oldest = ready.saturating_sub(self.max_cycle_ns).saturating_sub(self.max_gap_ns);
        while state.rows.front().is_some_and(|(time, _)| *time < oldest) {
            state.rows.pop_front();
        }
        ready
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        self.emit(state, TimeNs::MAX, out);
    }
}

impl GaitScores {
    fn take(&self, state: &mut State, inputs: &[RecordBatch]) {
        let rows = &inputs[self.angles];
        let angles: Vec<_> = self.variables.iter().map(|(variable, _)| variable.columns.map(|column| floats(rows, column))).collect();
        for (row, time) in times(rows).iter().enumerate() {
            let values = angles.iter().map(|sides| sides.map(|column| float_or_nan(column, row))).collect();
            state.rows.push_back((*time, values));
        }
        let rows = &inputs[self.cycles];
        let (sides, starts) = (strings(rows, self.cycle_columns[0]), integers(rows, self.cycle_columns[1]));
        for (row, end_ns) in times(rows).iter().enumerate().filter(|(row, _)| sides.is_valid(*row) && starts.is_valid(*row)) {
            let side = match Foot::parse(sides.value(row)) {
                Foot::Left => 0,
                Foot::Right => 1,
                Foot::Unknown => continue,
            };
            let parameters = self.parameters.iter().map(|column| float_or_nan(floats(rows, *column), row)).collect();
            state.waiting.push(Cycle { end_ns: *end_ns, side, start_ns: starts.value(row), parameters });
        }
    }

    /// Scores the cycles that ended at or before `ready`.
    fn emit(&self, state: &mut State, ready: TimeNs, out: &mut Output) {
        state.waiting.sort_by_key(|cycle| (cycle.end_ns, cycle.side));
        let count = state.waiting.partition_point(|cycle| cycle.end_ns <= ready);
        let due: Vec<Cycle> = state.waiting.drain(..count).collect();
        let rows: Vec<Row> = due.into_iter().map(|cycle| self.score(state, cycle)).collect();
        if !rows.is_empty() {
            out.push(self.batch(&rows));
        }
    }

    fn score(&self, state: &mut State, cycle: Cycle) -> Row {
        let is_cycle = cycle.end_ns.checked_sub(cycle.start_ns).is_some_and(|length| (1..=self.max_cycle_ns).contains(&length));
        let curves: Vec<Option<Vec<f64>>> =
            (0..self.variables.len()).map(|index| if is_cycle { self.curve(state, &cycle, index) } else { None }).collect();
        let (mut scores, mut outside, mut compared) = (vec![f64::NAN; curves.len()], 0, 0);
        let mut is_learning = false;
        for (index, curve) in curves.iter().enumerate() {
            let Some(curve) = curve else { continue };
            let baseline = &mut state.baselines[cycle.side][index];
            let band = match (&self.variables[index].1, self.baseline) {
                (Some(norm), _) => norm.clone(),
                (None, Some(cycles)) if baseline.cycles < cycles => {
                    baseline.add(curve);
                    is_learning = true;
                    continue;
                }
                (None, _) => baseline.band(),
            };
            scores[index] = band.score(curve);
            if let Some(points) = band.outside(curve) {
                outside += points;
                compared += curve.len();
            }
        }
        let reason = match (is_cycle, scores.iter().all(|score| score.is_nan())) {
            (false, _) => Some("bad_cycle"),
            (true, true) => Some(if is_learning { "learning_baseline" } else { "no_angles" }),
            (true, false) => None,
        };
        let other = state.newest[1 - cycle.side].as_ref().filter(|other| cycle.end_ns.saturating_sub(other.end_ns) <= self.max_cycle_ns);
        let own = profile(scores.iter().copied());
        let row = Row {
            own,
            gdi: if own.1 == scores.len() as i64 { self.deviation_index(&mut state.spreads[cycle.side], own.0) } else { f64::NAN },
            overall: other.map_or((f64::NAN, 0), |other| self.overall(&cycle, &scores, other)),
            outside_percent: 100.0 * outside as f64 / compared as f64,
            baseline_cycles: self
                .baseline
                .map(|_| i64::from(state.baselines[cycle.side].iter().map(|line| line.cycles).max().unwrap_or(0))),
            reason,
            symmetry: self.symmetry(&cycle, other),
            scores,
            cycle,
        };
        let Cycle { end_ns, parameters, .. } = row.cycle.clone();
        state.newest[row.cycle.side] = Some(Newest { end_ns, scores: row.scores.clone(), parameters });
        row
    }

    /// The gait deviation index of a profile score, once it is known how far the reference's own cycles lie from it.
    fn deviation_index(&self, learned: &mut Learner, score_deg: f64) -> f64 {
        let (log_score, wanted) = (libm::log(score_deg), self.baseline.unwrap_or(0));
        let reference = self.spread.or(learned.band(wanted));
        learned.learn(log_score, wanted);
        reference.map_or(f64::NAN, |reference| deviation_index(log_score, reference))
    }

    /// A variable over the cycle; `None` where it has a gap.
    fn curve(&self, state: &State, cycle: &Cycle, index: usize) -> Option<Vec<f64>> {
        let from = state.rows.partition_point(|(time, _)| *time < cycle.start_ns.saturating_sub(self.max_gap_ns));
        let until = state.rows.partition_point(|(time, _)| *time <= cycle.end_ns.saturating_add(self.max_gap_ns));
        let samples = state.rows.range(from..until.max(from)).map(|(time, values)| (*time, values[index][cycle.side]));
        let samples: Vec<(TimeNs, f64)> = samples.filter(|(_, value)| value.is_finite()).collect();
        let mut curve = resample(&samples, cycle.start_ns, cycle.end_ns, self.max_gap_ns)?;
        let variable = &self.variables[index].0;
        if variable.is_heading {
            about_mean(&mut curve);
        }
        if variable.is_mirrored && cycle.side == 0 {
            curve.iter_mut().for_each(|value| *value = -*value);
        }
        Some(curve)
    }

    /// The profile score of both sides and its variables: the pelvis is the left cycle's; none before both sides have scores.
    fn overall(&self, cycle: &Cycle, scores: &[f64], other: &Newest) -> (f64, i64) {
        let (left, right) = if cycle.side == 0 { (scores, &other.scores[..]) } else { (&other.scores[..], scores) };
        let is_scored = |scores: &[f64]| scores.iter().any(|score| score.is_finite());
        if !is_scored(left) || !is_scored(right) {
            return (f64::NAN, 0);
        }
        let limbs = right.iter().zip(&self.variables).filter(|(_, (variable, _))| !variable.is_pelvis).map(|(score, _)| *score);
        profile(left.iter().copied().chain(limbs))
    }

    fn symmetry(&self, cycle: &Cycle, other: Option<&Newest>) -> Vec<[f64; 2]> {
        let Some(other) = other else { return vec![[f64::NAN; 2]; self.parameters.len()] };
        let of = |(own, other): (&f64, &f64)| {
            let (left, right) = if cycle.side == 0 { (*own, *other) } else { (*other, *own) };
            [symmetry_index_percent(left, right), symmetry_angle_percent(left, right)]
        };
        cycle.parameters.iter().zip(&other.parameters).map(of).collect()
    }

    fn batch(&self, rows: &[Row]) -> RecordBatch {
        let number = |value: &dyn Fn(&Row) -> f64| nan_as_null(rows.iter().map(value).collect());
        let integer = |value: &dyn Fn(&Row) -> Option<i64>| Arc::new(rows.iter().map(value).collect::<Int64Array>()) as ArrayRef;
        let reference = if self.baseline.is_some() { "baseline" } else { "table" };
        let mut columns: Vec<ArrayRef> = vec![
            integer(&|row| Some(row.cycle.end_ns)),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| ["left", "right"][row.cycle.side]))),
            integer(&|row| Some(row.cycle.start_ns)),
        ];
        columns.extend((0..self.variables.len()).map(|index| number(&|row| row.scores[index])));
        columns.extend([number(&|row| row.own.0), integer(&|row| Some(row.own.1))]);
        columns.extend([number(&|row| row.overall.0), integer(&|row| Some(row.overall.1))]);
        columns.extend([number(&|row| row.gdi), number(&|row| row.outside_percent)]);
        columns.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(reference, rows.len()))));
        columns.push(integer(&|row| row.baseline_cycles));
        columns.push(Arc::new(rows.iter().map(|row| row.reason).collect::<StringArray>()));
        for index in 0..self.parameters.len() {
            columns.extend([0, 1].map(|form| number(&|row| row.symmetry[index][form])));
        }
        let is_beyond = |row: &Row| {
            let known = row.symmetry.iter().filter(|[index, _]| index.is_finite());
            known.map(|[index, _]| index.abs() > self.symmetry_limit).reduce(|any, one| any || one)
        };
        columns.push(Arc::new(rows.iter().map(is_beyond).collect::<BooleanArray>()));
        batch(&self.output, columns)
    }
}

/// The profile score of the known variable scores, and how many they are.
fn profile(scores: impl Iterator<Item = f64> + Clone) -> (f64, i64) {
    let known = scores.filter(|score| score.is_finite());
    (root_mean_square(known.clone()), known.count() as i64)
}
