//! Does the pelvis drop to the swinging side while one leg carries, more than it is usual for this person, or does the trunk make up for it?
//!
//! Reads joint angles (`joint_angles`' rows: `pelvis_obliquity_deg`; where they are there `hip_<side>_adduction_deg` and
//! `thorax_lean_deg`) and, to know which leg carries, gait events (`event`, `side`): single support of one foot lasts from the other
//! foot's final contact to its next initial contact, walking or standing. Without an event stream the subject stands, and a foot counts
//! as lifted while its knee (`knee_<side>_flexion_deg`) is bent further than the other by `lift`, until half of that. The row of a
//! single support comes at its end, without further **delay**:
//!
//! - `peak_drop_deg`: greatest obliquity towards the swinging side (positive: that side is down);
//! - `pelvic_on_femoral_deg`: least angle between pelvis and carrying thigh, 90° less hip adduction (83 ± 3° in single-leg stance);
//! - `trunk_lean_deg`: greatest lean of the thorax over the carrying leg;
//! - `baseline_deg`, `deviation_deg`: the personal baseline of this side and how far the peak is beyond it; `limit_deg` how far it may
//!   be: 2 SD of the baseline, and 4° at least, the least change that can be detected;
//! - `is_beyond`: beyond the limit; `is_flagged`: so in 3 of this side's newest 5 known steps, this one included; `is_cue`: the peak is
//!   above 8°, whatever the baseline; `is_compensated`: the trunk leans over the carrying leg by more than 5° and the pelvis is level;
//! - `verdict`: `drop` (beyond the limit), `compensated`, `level`, `learning`, or `unknown` with a `reason`.
//!
//! **The baseline** is the mean and standard deviation of a side's first `baseline_steps` peaks in the session, so those must be healthy
//! ones: a drop that is there from the first step on is the baseline, and then only `is_cue` tells. Where a healthy session is known,
//! give its figures as `bands`. The angles' zero is that of `joint_angles` with `neutral`.
//!
//! Deviations from a personal baseline are engineering choices on published figures (single-leg stance, minimal detectable change 4°),
//! not a norm. Gaps: a support whose angles are missing for more than a fifth of it is `unknown`, and so is one whose events don't
//! follow each other; neither enters the baseline nor the five.
//!
//! ```yaml
//! op: pelvic_drop
//! from: [angles, contacts]
//! with: { baseline_steps: 2 }
//! input:
//!   angles:
//!     schema:
//!       rate: 50 Hz
//!       columns:
//!         - { name: pelvis_obliquity_deg, unit: deg }
//!         - { name: thorax_lean_deg, unit: deg }
//!         - { name: hip_left_adduction_deg, unit: deg }
//!         - { name: hip_right_adduction_deg, unit: deg }
//!     generate:
//!       duration: 9 s
//!       columns:
//!         pelvis_obliquity_deg: [{ sine: { amplitude: -4, frequency: 1 Hz } }, { pulses: { from: 4 s, period: 1 s, width: 0.5 s, amplitude: -6 } }]
//!         thorax_lean_deg: [{ steps: [[3.5 s, 6], [4 s, 0]] }, { missing: { from: 8.1 s, to: 8.3 s } }]
//!         hip_left_adduction_deg: [{ sine: { amplitude: 5, frequency: 1 Hz } }]
//!         hip_right_adduction_deg: [{ sine: { amplitude: -5, frequency: 1 Hz } }]
//!   contacts:
//!     schema:
//!       keys: [event, side]
//!       columns:
//!         - { name: event, type: text, required: true }
//!         - { name: side, type: text, required: true }
//!     rows: |
//!       time_ms,event,side
//!       50,final_contact,right
//!       450,initial_contact,right
//!       550,final_contact,left
//!       950,initial_contact,left
//!       1050,final_contact,right
//!       1450,initial_contact,right
//!       1550,final_contact,left
//!       1950,initial_contact,left
//!       2050,final_contact,right
//!       2450,initial_contact,right
//!       3550,final_contact,left
//!       3950,initial_contact,left
//!       4050,final_contact,right
//!       4450,initial_contact,right
//!       5050,final_contact,right
//!       5450,initial_contact,right
//!       6050,final_contact,right
//!       6450,initial_contact,right
//!       7050,final_contact,right
//!       7200,final_contact,left
//!       7450,initial_contact,right
//!       8800,final_contact,right
//!       9450,initial_contact,right
//! ```
//! ```csv
//! time_ns,side,start_ns,peak_drop_deg,pelvic_on_femoral_deg,trunk_lean_deg,baseline_deg,deviation_deg,limit_deg,is_beyond,is_flagged,is_cue,is_compensated,verdict,reason
//! 450000000,left,50000000,3.99211,85.0099,0.0,,,,,,false,,learning,
//! 950000000,right,550000000,3.99211,85.0099,0.0,,,,,,false,,learning,
//! 1450000000,left,1050000000,3.99211,85.0099,0.0,,,,,,false,,learning,
//! 1950000000,right,1550000000,3.99211,85.0099,0.0,,,,,,false,,learning,
//! 2450000000,left,2050000000,3.99211,85.0099,0.0,3.99211,8.88178e-16,4.0,false,false,false,false,level,
//! 3950000000,right,3550000000,3.99211,85.0099,6.0,3.99211,8.88178e-16,4.0,false,false,false,true,compensated,
//! 4450000000,left,4050000000,9.98027,85.0099,0.0,3.99211,5.98816,4.0,true,false,true,false,drop,
//! 5450000000,left,5050000000,9.98027,85.0099,0.0,3.99211,5.98816,4.0,true,false,true,false,drop,
//! 6450000000,left,6050000000,9.98027,85.0099,0.0,3.99211,5.98816,4.0,true,true,true,false,drop,
//! 7200000000,left,7050000000,,,,,,,,,,,unknown,the carrying foot left as well
//! 8800000000,right,7200000000,,,,,,,,,,,unknown,the carrying foot left as well
//! 9450000000,left,8800000000,,,,,,,,,,,unknown,angles are missing
//! # 12 rows, every bit hashed: 8cf61e29847a6f81
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::quantity::{Angle, Duration};
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::baseline::{Band, Learner, Recent};
use crate::kernels::gait_event::{Contacts, Foot, GaitEvent, Kind};
use crate::kernels::names::suggest;

/// Share of a support that its angles must cover.
const LEAST_COVERED: f64 = 0.8;
/// Longest step between rows that still covers the time between them, in periods, or in nanoseconds without a rate.
const GAP_PERIODS: i64 = 5;
const GAP_NS: i64 = 100_000_000;
/// Below this share of `lift` a lifted foot stands again.
const LOWERED: f64 = 0.5;

/// Peak pelvic drop per single support, against the personal baseline.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How many of a side's first steps make its baseline; 0 for none.
    baseline_steps: u32,
    /// Baselines that are known from before, by side, `left` and `right`.
    bands: BTreeMap<String, BandFile>,
    /// How far beyond the baseline a peak may be at least, in standard deviations of the baseline.
    limit_sd: f64,
    /// And in degrees.
    limit: Angle,
    /// How many of the newest steps must be beyond the limit for a flag.
    flag_steps: u32,
    /// Of how many, 32 at most.
    of_steps: u32,
    /// Peak drop above which a step is a screening cue, whatever the baseline.
    cue: Angle,
    /// Lean over the carrying leg above which a level pelvis is called compensated.
    lean: Angle,
    /// Shortest single support that counts.
    shortest: Duration,
    /// Longest one.
    longest: Duration,
    /// How much further than the other a knee is bent while its foot is lifted, without an event stream.
    lift: Angle,
}

/// A personal baseline.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BandFile {
    /// Mean peak drop.
    mean: Angle,
    /// Its standard deviation.
    sd: Angle,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            baseline_steps: 10,
            bands: BTreeMap::new(),
            limit_sd: 2.0,
            limit: Angle::new(4.0),
            flag_steps: 3,
            of_steps: 5,
            cue: Angle::new(8.0),
            lean: Angle::new(5.0),
            shortest: Duration::new(0.1),
            longest: Duration::new(60.0),
            lift: Angle::new(20.0),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let contacts = Contacts::of(ports);
        let angles = self.angles(ports, &contacts, &mut findings);
        self.check_limits(&mut findings);
        let (Some(angles), true) = (angles, findings.is_empty()) else { return Err(findings) };
        let band = |side: &str| self.bands.get(side).map(|band| Band { mean: band.mean.degrees(), sd: band.sd.degrees() });
        let bands = [band("left"), band("right")];
        let operator = PelvicDrop { contacts, angles, bands, config: self, output: output() };
        Ok(Planned::new(operator, output()))
    }
}

impl Config {
    fn angles(&self, ports: &[Port], contacts: &Contacts, findings: &mut Findings) -> Option<AngleColumns> {
        let is_float = |port: &Port, index: &usize| *port.schema.columns.field(*index).data_type() == DataType::Float64;
        let find = |port: &Port, name: &str| port.schema.index(name).filter(|index| is_float(port, index));
        let mut with: Vec<(usize, usize)> =
            ports.iter().enumerate().filter_map(|(port, input)| Some((port, find(input, "pelvis_obliquity_deg")?))).collect();
        for (port, input) in ports.iter().enumerate() {
            if !contacts.has(port) && !with.iter().any(|(other, _)| *other == port) {
                let message = format!("`{}` holds neither `pelvis_obliquity_deg` nor gait events", input.stream);
                findings.push(PlanFinding::input(port, message).help("read a `joint_angles` step and a step that finds gait events"));
            }
        }
        if with.len() != 1 {
            let message = format!("one input must hold `pelvis_obliquity_deg`, and {} do", with.len());
            findings.push(PlanFinding::step(message).help("read a `joint_angles` step over a stream with the pelvis"));
            return None;
        }
        let (port, obliquity) = with.pop()?;
        let named = |joint: &str, angle: &str| ["left", "right"].map(|side| find(&ports[port], &format!("{joint}_{side}_{angle}_deg")));
        let knees = named("knee", "flexion");
        let knees = knees[0].zip(knees[1]);
        if contacts.is_empty() && knees.is_none() {
            let help = "read a stream with `event` and `side`, or angles with `knee_left_flexion_deg` and `knee_right_flexion_deg`";
            findings.push(PlanFinding::step("nothing tells which leg carries").help(help));
        }
        let gap_ns = ports[port].schema.rate.map_or(GAP_NS, |rate| GAP_PERIODS * rate.period_ns());
        let lean = find(&ports[port], "thorax_lean_deg");
        Some(AngleColumns { port, obliquity, adduction: named("hip", "adduction"), lean, knees, gap_ns })
    }

    fn check_limits(&self, findings: &mut Findings) {
        let angles = [("/limit", self.limit), ("/cue", self.cue), ("/lean", self.lean), ("/lift", self.lift)];
        for (at, angle) in angles {
            if !(0.0..=90.0).contains(&angle.degrees()) {
                findings.push(PlanFinding::config(at, format!("{angle} is not within 0 deg to 90 deg")));
            }
        }
        if !(0.0..=10.0).contains(&self.limit_sd) {
            findings.push(PlanFinding::config("/limit_sd", format!("{} standard deviations are not within 0 to 10", self.limit_sd)));
        }
        if self.baseline_steps == 1 || self.baseline_steps > 1000 {
            findings.push(PlanFinding::config("/baseline_steps", "a baseline stands on 2 to 1000 steps; 0 for none"));
        }
        if !(1..=32).contains(&self.of_steps) || !(1..=self.of_steps).contains(&self.flag_steps) {
            findings.push(PlanFinding::config("/flag_steps", "a flag needs 1 to `of_steps` steps, of 32 at most"));
        }
        let (shortest, longest) = (self.shortest.seconds(), self.longest.seconds());
        if !(shortest >= 0.0 && shortest < longest && longest <= 600.0) {
            findings.push(PlanFinding::config("/longest", "a support lasts from `shortest` to `longest`, 10 min at most"));
        }
        for side in self.bands.keys().filter(|side| !matches!(side.as_str(), "left" | "right")) {
            let mut finding = PlanFinding::config(format!("/bands/{side}"), format!("`{side}` is no side"));
            finding.help = suggest(side, ["left", "right"]);
            findings.push(finding);
        }
    }
}

fn output() -> StreamSchema {
    let mut fields = vec![text("side").required(), column("start_ns", DataType::Int64).unit("ns").required()];
    fields.extend(DEGREES.map(|name| float(name, "deg")));
    fields.extend(FLAGS.map(|name| column(name, DataType::Boolean)));
    fields.extend([text("verdict").required(), text("reason")]);
    StreamSchema::new(fields, &["side"], None)
}

const DEGREES: [&str; 6] = ["peak_drop_deg", "pelvic_on_femoral_deg", "trunk_lean_deg", "baseline_deg", "deviation_deg", "limit_deg"];
const FLAGS: [&str; 4] = ["is_beyond", "is_flagged", "is_cue", "is_compensated"];

/// Where the angles are.
struct AngleColumns {
    port: usize,
    obliquity: usize,
    /// Of the left and the right hip.
    adduction: [Option<usize>; 2],
    lean: Option<usize>,
    /// Left and right flexion.
    knees: Option<(usize, usize)>,
    gap_ns: i64,
}

struct PelvicDrop {
    contacts: Contacts,
    angles: AngleColumns,
    bands: [Option<Band>; 2],
    config: Config,
    output: StreamSchema,
}

/// What is remembered of the left and the right leg, and which foot is lifted.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    legs: [Leg; 2],
    lifted: Option<Foot>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Leg {
    support: Option<Support>,
    learner: Learner,
    beyond: Recent,
}

/// A single support that has begun.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Support {
    start: TimeNs,
    covered_ns: i64,
    /// The last row with an obliquity, or the start.
    seen: TimeNs,
    drop_deg: f64,
    adduction_deg: f64,
    lean_deg: f64,
}

/// What a row says.
struct Step {
    time: TimeNs,
    foot: Foot,
    start: TimeNs,
    degrees: [f64; 6],
    flags: [Option<bool>; 4],
    verdict: &'static str,
    reason: Option<&'static str>,
}

impl Operator for PelvicDrop {
    type State = State;

    fn start(&self) -> State {
        State::default()
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let mut steps = Vec::new();
        let mut events = self.contacts.read(inputs).into_iter().peekable();
        let batch = &inputs[self.angles.port];
        let column = |index: usize| rows::floats(batch, index);
        let value = |index: Option<usize>, row: usize| index.map_or(f64::NAN, |index| rows::float_or_nan(column(index), row));
        for (row, time) in rows::times(batch).iter().enumerate() {
            while let Some(event) = events.next_if(|event| event.time_ns <= *time) {
                steps.extend(self.take_event(state, event));
            }
            if let Some((left, right)) = self.angles.knees.filter(|_| self.contacts.is_empty()) {
                steps.extend(self.take_knees(state, *time, value(Some(left), row) - value(Some(right), row)));
            }
            let [left, right] = self.angles.adduction.map(|index| value(index, row));
            let (obliquity, lean) = (value(Some(self.angles.obliquity), row), value(self.angles.lean, row));
            for (leg, sign, adduction) in [(0, -1.0, left), (1, 1.0, right)] {
                if let Some(support) = &mut state.legs[leg].support {
                    support.take(*time, sign * obliquity, adduction, sign * lean, self.angles.gap_ns);
                }
            }
        }
        steps.extend(events.filter_map(|event| self.take_event(state, event)).collect::<Vec<_>>());
        self.emit(&mut steps, out);
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl Support {
    const fn new(start: TimeNs) -> Self {
        Self { start, covered_ns: 0, seen: start, drop_deg: f64::NAN, adduction_deg: f64::NAN, lean_deg: f64::NAN }
    }

    /// Takes a row; NaN is passed over.
    fn take(&mut self, time: TimeNs, drop_deg: f64, adduction_deg: f64, lean_deg: f64, gap_ns: i64) {
        if drop_deg.is_nan() {
            return;
        }
        let step_ns = time.saturating_sub(self.seen);
        self.covered_ns += if step_ns <= gap_ns { step_ns } else { 0 };
        self.seen = time;
        self.drop_deg = self.drop_deg.max(drop_deg);
        self.adduction_deg = self.adduction_deg.max(adduction_deg);
        self.lean_deg = self.lean_deg.max(lean_deg);
    }
}

impl PelvicDrop {
    fn take_event(&self, state: &mut State, event: GaitEvent) -> Option<Step> {
        let carrying = event.foot.other();
        let (own, other) = (usize::from(event.foot == Foot::Right), usize::from(carrying == Foot::Right));
        if event.kind == Kind::InitialContact {
            let support = state.legs[other].support.take()?;
            return self.judge(&mut state.legs[other], event.time_ns, carrying, &support);
        }
        // A foot that leaves doesn't carry: what it was said to carry is a mistake.
        let broken = state.legs[own].support.take();
        state.legs[other].support.get_or_insert(Support::new(event.time_ns));
        broken.map(|support| Step::unknown(event.time_ns, event.foot, &support, "the carrying foot left as well"))
    }

    /// Standing without events: `bent` is how much further the left knee is bent than the right one.
    fn take_knees(&self, state: &mut State, time: TimeNs, bent: f64) -> Option<Step> {
        let lift = self.config.lift.degrees();
        let lifted = match state.lifted {
            _ if bent.is_nan() => state.lifted,
            Some(Foot::Left) if bent > LOWERED * lift => Some(Foot::Left),
            Some(Foot::Right) if -bent > LOWERED * lift => Some(Foot::Right),
            _ if bent > lift => Some(Foot::Left),
            _ if -bent > lift => Some(Foot::Right),
            _ => None,
        };
        let before = std::mem::replace(&mut state.lifted, lifted);
        if before == lifted {
            return None;
        }
        let contact = |foot, kind| GaitEvent { time_ns: time, kind, foot, confidence: 1.0 };
        let step = before.and_then(|foot| self.take_event(state, contact(foot, Kind::InitialContact)));
        if let Some(foot) = lifted {
            self.take_event(state, contact(foot, Kind::FinalContact));
        }
        step
    }

    fn judge(&self, leg: &mut Leg, time: TimeNs, foot: Foot, support: &Support) -> Option<Step> {
        let lasted_ns = time.saturating_sub(support.start);
        if lasted_ns < self.config.shortest.nanoseconds() {
            return None;
        }
        if lasted_ns > self.config.longest.nanoseconds() {
            return Some(Step::unknown(time, foot, support, "longer than the longest support"));
        }
        let last_ns = time.saturating_sub(support.seen);
        let covered_ns = support.covered_ns + if last_ns <= self.angles.gap_ns { last_ns } else { 0 };
        if support.drop_deg.is_nan() || (covered_ns as f64) < LEAST_COVERED * lasted_ns as f64 {
            return Some(Step::unknown(time, foot, support, "angles are missing"));
        }
        let band = self.bands[usize::from(foot == Foot::Right)].or(leg.learner.band(self.config.baseline_steps));
        let limit_deg = band.map_or(f64::NAN, |band| (self.config.limit_sd * band.sd).max(self.config.limit.degrees()));
        let deviation_deg = band.map_or(f64::NAN, |band| support.drop_deg - band.mean);
        let is_beyond = band.map(|_| deviation_deg > limit_deg);
        let is_flagged = is_beyond.map(|is_beyond| {
            leg.beyond.push(is_beyond);
            leg.beyond.count(self.config.of_steps) >= self.config.flag_steps
        });
        leg.learner.learn(support.drop_deg, self.config.baseline_steps);
        let leans = (!support.lean_deg.is_nan()).then(|| support.lean_deg > self.config.lean.degrees());
        let is_compensated = is_beyond.zip(leans).map(|(is_beyond, leans)| leans && !is_beyond);
        let verdict = match (is_beyond, is_compensated) {
            (None, _) => "learning",
            (Some(true), _) => "drop",
            (_, Some(true)) => "compensated",
            _ => "level",
        };
        let mean_deg = band.map_or(f64::NAN, |band| band.mean);
        // Adding zero makes −0 plain zero.
        let degrees = [support.drop_deg + 0.0, 90.0 - support.adduction_deg, support.lean_deg + 0.0, mean_deg, deviation_deg, limit_deg];
        let is_cue = Some(support.drop_deg > self.config.cue.degrees());
        let flags = [is_beyond, is_flagged, is_cue, is_compensated];
        Some(Step { time, foot, start: support.start, degrees, flags, verdict, reason: None })
    }

    fn emit(&self, steps: &mut [Step], out: &mut Output) {
        steps.sort_by_key(|step| (step.time, step.foot));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(steps.iter().map(|step| step.time).collect::<Int64Array>()),
            Arc::new(StringArray::from_iter_values(steps.iter().map(|step| step.foot.name()))),
            Arc::new(steps.iter().map(|step| step.start).collect::<Int64Array>()),
        ];
        columns.extend((0..DEGREES.len()).map(|n| rows::nan_as_null(steps.iter().map(|step| step.degrees[n]).collect())));
        columns.extend((0..FLAGS.len()).map(|n| Arc::new(steps.iter().map(|step| step.flags[n]).collect::<BooleanArray>()) as ArrayRef));
        columns.push(Arc::new(StringArray::from_iter_values(steps.iter().map(|step| step.verdict))));
        columns.push(Arc::new(steps.iter().map(|step| step.reason).collect::<StringArray>()));
        out.push(rows::batch(&self.output, columns));
    }
}

impl Step {
    const fn unknown(time: TimeNs, foot: Foot, support: &Support, reason: &'static str) -> Self {
        let (degrees, flags) = ([f64::NAN; 6], [None; 4]);
        Self { time, foot, start: support.start, degrees, flags, verdict: "unknown", reason: Some(reason) }
    }
}
