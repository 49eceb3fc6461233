//! Does the low back turn along when a limb moves, more or earlier than it is usual for this person?
//!
//! Reads joint angles. `limb` is the angle that the subject moves on purpose (`hip_right_rotation_deg`, `knee_left_flexion_deg`,
//! `hip_left_flexion_deg`), in repetitions that begin at rest; `rotations` are the angles that should keep still. A repetition begins
//! when the limb leaves its rest in the direction `towards` and goes on for `movement` at least; it ends when the limb is still again
//! (within `still` for `rest`). Then one row comes out for each rotation, without further **delay**:
//!
//! - `start_ns`: the limb's onset, when it has gone a fifth of its way; `limb_amplitude_deg`: how far it went;
//! - `amplitude_deg`: the furthest that the rotation went from its rest, from 300 ms before the limb left its own to the end;
//! - `onset_after_ms`: the rotation's onset (a fifth of its own way, and beyond `onset`, for 50 ms) after the limb's, negative before it;
//!   null where there is none;
//! - `baseline_deg`, `deviation_deg`, `limit_deg`: against the personal baseline, the mean and SD of the first `baseline` repetitions,
//!   which so must be usual ones; the limit is 2 SD, and 5° at least, since less is within the measurement's noise;
//! - `baseline_onset_ms`: the same of the onset; `is_early`: earlier than that by more than 2 SD and `early`;
//! - `verdict`: `large`, `early`, `large_and_early`, `usual`, `learning`, or `unknown` with a `reason`.
//!
//! Onsets are crossings between two samples. A small rotation's is the later for `onset`: compare them within a person and a task. Early lumbopelvic rotation with limb movement is described in low-back pain (Scholtes, Gombatto and Van Dillen 2009); the limits are
//! engineering choices. Gaps: a null or a step beyond five periods ends a repetition as `unknown`. A movement slower than `still` a
//! `rest` (10 °/s) looks like rest.
//!
//! ```yaml
//! op: lumbar_rotation
//! from: angles
//! with: { limb: hip_right_rotation_deg, rotations: [pelvis_rotation_deg], baseline: 2 }
//! input:
//!   angles:
//!     schema:
//!       rate: 100 Hz
//!       columns:
//!         - { name: hip_right_rotation_deg, unit: deg }
//!         - { name: pelvis_rotation_deg, unit: deg }
//!     generate:
//!       duration: 14 s
//!       columns:
//!         hip_right_rotation_deg: [{ pulses: { from: 1.5 s, period: 3 s, width: 1.4 s, amplitude: 40 } }, { missing: { from: 11 s, to: 11.1 s } }]
//!         pelvis_rotation_deg:
//!           - { constant: 178 }
//!           - { noise: { amplitude: 0.1, seed: 1 } }
//!           - { pulses: { from: 1.7 s, period: 3 s, width: 1 s, amplitude: 4 } }
//!           - { pulses: { from: 7.3 s, period: 10 s, width: 1.5 s, amplitude: 9 } }
//! ```
//! ```csv
//! time_ns,rotation,start_ns,limb_amplitude_deg,amplitude_deg,onset_after_ms,baseline_deg,deviation_deg,limit_deg,baseline_onset_ms,is_early,verdict,reason
//! 2330000000,pelvis_rotation_deg,1589732479,40.0,4.16295,189.17,,,,,,learning,
//! 5330000000,pelvis_rotation_deg,4589732479,40.0,4.14344,199.323,,,,,,learning,
//! 8330000000,pelvis_rotation_deg,7589732479,40.0,12.8637,-148.233,4.15319,8.71051,5.0,194.247,true,large_and_early,
//! 11000000000,pelvis_rotation_deg,10524229657,,,,,,,,,unknown,samples are missing
//! # 4 rows, every bit hashed: 015410812527b747
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::quantity::{Angle, Duration};
use proprio_core::schema::{FieldExt, column, float, meta, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::baseline::{Band, Learner};
use crate::kernels::names::suggest;
use crate::kernels::repetition::{follow, last_departure, mean_deg, range_deg, turned_deg};

/// How far from its rest the limb has left it.
const LIMB_ONSET_DEG: f64 = 2.0;
/// How long before the limb a rotation may begin, and how long it must then stay.
const LEAD_NS: i64 = 300_000_000;
const HOLD_NS: i64 = 50_000_000;
/// Longest that a limb takes from its onset to `movement`.
const DEPARTURE_NS: i64 = 3_000_000_000;
const GAP_PERIODS: i64 = 5;
const GAP_NS: i64 = 100_000_000;

/// Rotation of the low back per repetition of a limb's movement.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The angle that the subject moves, such as `hip_right_rotation_deg`.
    limb: String,
    /// Which way it goes.
    #[serde(default)]
    towards: Towards,
    /// The angles that should keep still. Left out: those of `lumbar_rotation_deg` and `pelvis_rotation_deg` that are there.
    #[serde(default)]
    rotations: Vec<String>,
    /// How far the limb goes at least.
    #[serde(default = "movement")]
    movement: Angle,
    /// Within which the limb is still.
    #[serde(default = "still")]
    still: Angle,
    /// For how long, at least.
    #[serde(default = "rest")]
    rest: Duration,
    /// How far a rotation goes from its rest before it counts as begun.
    #[serde(default = "onset")]
    onset: Angle,
    /// Longest repetition.
    #[serde(default = "longest")]
    longest: Duration,
    /// How many of the first repetitions make the baseline; 0 for none.
    #[serde(default = "baseline")]
    baseline: u32,
    /// How far beyond the baseline an amplitude may be at least.
    #[serde(default = "limit")]
    limit: Angle,
    /// How much earlier than the baseline an onset may be at least.
    #[serde(default = "early")]
    early: Duration,
    /// Baselines of the amplitude that are known from before, by rotation.
    #[serde(default)]
    bands: BTreeMap<String, BandFile>,
}

/// Which way an angle goes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Towards {
    /// It grows.
    #[default]
    Positive,
    /// It falls.
    Negative,
}

/// A personal baseline.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BandFile {
    /// Mean amplitude.
    mean: Angle,
    /// Its standard deviation.
    sd: Angle,
}

fn movement() -> Angle {
    Angle::new(10.0)
}

fn still() -> Angle {
    Angle::new(3.0)
}

fn rest() -> Duration {
    Duration::new(0.3)
}

fn onset() -> Angle {
    Angle::new(1.0)
}

fn longest() -> Duration {
    Duration::new(10.0)
}

fn baseline() -> u32 {
    5
}

fn limit() -> Angle {
    Angle::new(5.0)
}

fn early() -> Duration {
    Duration::new(0.05)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let schema = &ports[0].schema;
        let angles: Vec<&str> = (schema.columns.fields().iter())
            .filter(|field| *field.data_type() == DataType::Float64 && field.meta(meta::UNIT) == Some("deg"))
            .map(|field| field.name().as_str())
            .collect();
        let mut find = |pointer: String, name: &str| {
            if !angles.contains(&name) {
                let mut finding = PlanFinding::config(pointer, format!("`{}` has no angle `{name}`", ports[0].stream));
                finding.help = suggest(name, angles.iter().copied());
                findings.push(finding);
            }
            schema.index(name)
        };
        let limb = find("/limb".to_owned(), &self.limb);
        let usual = ["lumbar_rotation_deg", "pelvis_rotation_deg"].into_iter().filter(|name| angles.contains(name)).map(str::to_owned);
        let mut rotations = if self.rotations.is_empty() { usual.collect() } else { self.rotations.clone() };
        rotations.sort();
        rotations.dedup();
        let columns: Vec<Option<usize>> = rotations.iter().enumerate().map(|(n, name)| find(format!("/rotations/{n}"), name)).collect();
        if rotations.is_empty() {
            findings
                .push(PlanFinding::input(0, format!("`{}` has neither `lumbar_rotation_deg` nor `pelvis_rotation_deg`", ports[0].stream)));
        }
        if rotations.contains(&self.limb) {
            findings.push(PlanFinding::config("/limb", format!("`{}` can't be the limb and a rotation", self.limb)));
        }
        for name in self.bands.keys().filter(|name| !rotations.contains(name)) {
            let mut finding = PlanFinding::config(format!("/bands/{name}"), format!("`{name}` is none of the rotations"));
            finding.help = suggest(name, rotations.iter().map(String::as_str));
            findings.push(finding);
        }
        self.check_limits(ports, &mut findings);
        let (Some(limb), Some(columns), true) = (limb, columns.into_iter().collect::<Option<Vec<usize>>>(), findings.is_empty()) else {
            return Err(findings);
        };
        let operator = LumbarRotation {
            columns: std::iter::once(limb).chain(columns).collect(),
            bands: rotations
                .iter()
                .map(|name| self.bands.get(name).map(|band| Band { mean: band.mean.degrees(), sd: band.sd.degrees() }))
                .collect(),
            gap_ns: schema.rate.map_or(GAP_NS, |rate| GAP_PERIODS * rate.period_ns()),
            rotations,
            config: self,
            output: output(),
        };
        Ok(Planned::new(operator, output()))
    }
}

impl Config {
    fn check_limits(&self, ports: &[Port], findings: &mut Findings) {
        if !ports[0].schema.keys.is_empty() {
            findings.push(PlanFinding::input(0, format!("`{}` has several rows an instant", ports[0].stream)));
        }
        let angles = [("/movement", self.movement), ("/still", self.still), ("/onset", self.onset), ("/limit", self.limit)];
        for (at, angle) in angles.into_iter().filter(|(_, angle)| !(0.0..=90.0).contains(&angle.degrees())) {
            findings.push(PlanFinding::config(at, format!("{angle} is not within 0 deg to 90 deg")));
        }
        if self.movement.degrees() <= self.still.degrees().max(LIMB_ONSET_DEG) {
            findings.push(PlanFinding::config("/movement", format!("a movement goes further than `still`, and than {LIMB_ONSET_DEG} deg")));
        }
        let durations = [("/rest", self.rest, 0.05, 5.0), ("/longest", self.longest, 0.5, 60.0), ("/early", self.early, 0.0, 5.0)];
        for (at, value, low, high) in durations.into_iter().filter(|(_, value, low, high)| !(*low..=*high).contains(&value.seconds())) {
            findings.push(PlanFinding::config(at, format!("{value} is not within {low} s to {high} s")));
        }
        if self.baseline == 1 || self.baseline > 1000 {
            findings.push(PlanFinding::config("/baseline", "a baseline stands on 2 to 1000 repetitions; 0 for none"));
        }
    }
}

fn output() -> StreamSchema {
    let mut fields = vec![text("rotation").required(), column("start_ns", DataType::Int64).unit("ns")];
    fields.extend(NUMBERS.map(|name| float(name, if name.ends_with("_ms") { "ms" } else { "deg" })));
    fields.extend([column("is_early", DataType::Boolean), text("verdict").required(), text("reason")]);
    StreamSchema::new(fields, &["rotation"], None)
}

const NUMBERS: [&str; 7] =
    ["limb_amplitude_deg", "amplitude_deg", "onset_after_ms", "baseline_deg", "deviation_deg", "limit_deg", "baseline_onset_ms"];

struct LumbarRotation {
    /// The limb's column, then the rotations'.
    columns: Vec<usize>,
    rotations: Vec<String>,
    /// Known baselines of the amplitude, by rotation.
    bands: Vec<Option<Band>>,
    gap_ns: i64,
    config: Config,
    output: StreamSchema,
}

/// What is remembered: the rows since the last rest, and the baselines.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    times: Vec<TimeNs>,
    /// The limb, then the rotations.
    values: Vec<Vec<f64>>,
    phase: Phase,
    /// Of amplitude and onset, by rotation.
    learners: Vec<[Learner; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    /// No rest yet.
    Seeking,
    /// The limb rests at this angle.
    Resting { limb_deg: f64 },
    /// It moves, since then.
    Moving { onset: TimeNs },
}

/// A row of the output.
struct Judged {
    time: TimeNs,
    rotation: usize,
    start: Option<TimeNs>,
    numbers: [f64; NUMBERS.len()],
    is_early: Option<bool>,
    verdict: &'static str,
    reason: Option<&'static str>,
}

impl Operator for LumbarRotation {
    type State = State;

    fn start(&self) -> State {
        let count = self.columns.len();
        State { times: Vec::new(), values: vec![Vec::new(); count], phase: Phase::Seeking, learners: vec![Default::default(); count - 1] }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let columns: Vec<_> = self.columns.iter().map(|index| rows::floats(&inputs[0], *index)).collect();
        let mut judged = Vec::new();
        for (row, time) in rows::times(&inputs[0]).iter().enumerate() {
            let values = columns.iter().map(|column| rows::float_or_nan(column, row));
            let is_lost = values.clone().any(|value| !value.is_finite());
            if is_lost || state.times.last().is_some_and(|last| time - last > self.gap_ns) {
                self.lose(state, *time, &mut judged);
            }
            if !is_lost {
                state.times.push(*time);
                state.values.iter_mut().zip(values).for_each(|(kept, value)| kept.push(value));
                self.step(state, *time, &mut judged);
            }
        }
        if !judged.is_empty() {
            out.push(self.batch(&judged));
        }
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl LumbarRotation {
    /// Samples are missing: a repetition under way is lost, and rest is looked for anew.
    fn lose(&self, state: &mut State, time: TimeNs, judged: &mut Vec<Judged>) {
        if let Phase::Moving { onset } = state.phase {
            judged.extend(self.unknown(time, onset, "samples are missing"));
        }
        state.phase = Phase::Seeking;
        state.times.clear();
        state.values.iter_mut().for_each(Vec::clear);
    }

    fn step(&self, state: &mut State, time: TimeNs, judged: &mut Vec<Judged>) {
        let from = state.times.partition_point(|row| *row < time.saturating_sub(self.config.rest.nanoseconds()));
        let is_full = from > 0;
        let window = &state.values[0][from..];
        let is_still = is_full && range_deg(window) < self.config.still.degrees();
        let limb_deg = mean_deg(window);
        let now_deg = *state.values[0].last().expect("a row was just added");
        match state.phase {
            Phase::Seeking | Phase::Resting { .. } if is_still => state.phase = Phase::Resting { limb_deg },
            Phase::Resting { limb_deg } => {
                let sign = if matches!(self.config.towards, Towards::Positive) { 1.0 } else { -1.0 };
                let gone_deg = sign * turned_deg(now_deg, limb_deg);
                if gone_deg > self.config.movement.degrees() {
                    let onset = last_departure(&state.times, &state.values[0], limb_deg, LIMB_ONSET_DEG);
                    state.phase = Phase::Moving { onset };
                } else if gone_deg < -self.config.movement.degrees() {
                    state.phase = Phase::Seeking;
                }
            }
            Phase::Moving { onset } => {
                if is_still {
                    judged.extend(self.judge(state, onset, time));
                    state.phase = Phase::Resting { limb_deg };
                } else if time.saturating_sub(onset) > self.config.longest.nanoseconds() {
                    judged.extend(self.unknown(time, onset, "longer than the longest repetition"));
                    state.phase = Phase::Seeking;
                }
            }
            Phase::Seeking => {}
        }
        let kept_ns = LEAD_NS + self.config.rest.nanoseconds();
        let oldest = match state.phase {
            Phase::Moving { onset } => onset.saturating_sub(kept_ns),
            _ => time.saturating_sub(kept_ns + DEPARTURE_NS),
        };
        // A row more is kept, so that the window of rest can be told to be full.
        let stale = state.times.partition_point(|row| *row < oldest).saturating_sub(1);
        if stale > 0 {
            state.times.drain(..stale);
            state.values.iter_mut().for_each(|values| drop(values.drain(..stale)));
        }
    }

    fn judge(&self, state: &mut State, left: TimeNs, time: TimeNs) -> Vec<Judged> {
        let begins = left.saturating_sub(LEAD_NS);
        let first = state.times.partition_point(|row| *row < begins);
        let rest_from = state.times.partition_point(|row| *row < begins.saturating_sub(self.config.rest.nanoseconds()));
        if first - rest_from < 3 {
            return self.unknown(time, left, "no rest before it").collect();
        }
        let rest_deg = |column: usize| mean_deg(&state.values[column][rest_from..first]);
        let over = |column: usize| (&state.times[first..], &state.values[column][first..]);
        let (times, limb) = over(0);
        let limb = follow(times, limb, rest_deg(0), LIMB_ONSET_DEG, 0);
        let start = limb.onset.unwrap_or(left);
        let found = |rotation: usize| {
            let (times, values) = over(rotation + 1);
            follow(times, values, rest_deg(rotation + 1), self.config.onset.degrees(), HOLD_NS)
        };
        let found: Vec<_> = (0..self.rotations.len()).map(found).collect();
        let mut judged = Vec::new();
        for (rotation, found) in found.into_iter().enumerate() {
            let [amplitude, onsets] = &mut state.learners[rotation];
            let band = self.bands[rotation].or(amplitude.band(self.config.baseline));
            let after_ms = found.onset.map_or(f64::NAN, |at| (at - start) as f64 / 1e6);
            let onset_band = onsets.band(self.config.baseline);
            let limit_deg = band.map_or(f64::NAN, |band| (2.0 * band.sd).max(self.config.limit.degrees()));
            let deviation_deg = band.map_or(f64::NAN, |band| found.amplitude_deg - band.mean);
            let is_early = onset_band.map(|band| after_ms < band.mean - (2.0 * band.sd).max(self.config.early.seconds() * 1e3));
            amplitude.learn(found.amplitude_deg, self.config.baseline);
            onsets.learn(after_ms, self.config.baseline);
            let verdict = match (band.map(|_| deviation_deg > limit_deg), is_early == Some(true)) {
                (None, _) => "learning",
                (Some(true), true) => "large_and_early",
                (Some(true), false) => "large",
                (Some(false), true) => "early",
                (Some(false), false) => "usual",
            };
            let mean = |band: Option<Band>| band.map_or(f64::NAN, |band| band.mean);
            let numbers = [limb.amplitude_deg, found.amplitude_deg, after_ms, mean(band), deviation_deg, limit_deg, mean(onset_band)];
            judged.push(Judged { time, rotation, start: Some(start), numbers, is_early, verdict, reason: None });
        }
        judged
    }

    fn unknown(&self, time: TimeNs, onset: TimeNs, reason: &'static str) -> impl Iterator<Item = Judged> {
        let numbers = [f64::NAN; NUMBERS.len()];
        (0..self.rotations.len()).map(move |rotation| Judged {
            time,
            rotation,
            start: Some(onset),
            numbers,
            is_early: None,
            verdict: "unknown",
            reason: Some(reason),
        })
    }

    fn batch(&self, judged: &[Judged]) -> RecordBatch {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(judged.iter().map(|row| row.time).collect::<Int64Array>()),
            Arc::new(StringArray::from_iter_values(judged.iter().map(|row| &self.rotations[row.rotation]))),
            Arc::new(judged.iter().map(|row| row.start).collect::<Int64Array>()),
        ];
        columns.extend((0..NUMBERS.len()).map(|n| rows::nan_as_null(judged.iter().map(|row| row.numbers[n]).collect())));
        columns.push(Arc::new(judged.iter().map(|row| row.is_early).collect::<BooleanArray>()));
        columns.push(Arc::new(StringArray::from_iter_values(judged.iter().map(|row| row.verdict))));
        columns.push(Arc::new(judged.iter().map(|row| row.reason).collect::<StringArray>()));
        rows::batch(&self.output, columns)
    }
}
