//! How was the exercise done? Repetitions of a protocol: their phases, tempo, hold and compensations, and how much of it was done.
//!
//! `protocol` is a protocol file (`proprio schema protocol`; its path counts from the pipeline's folder) or stands here itself. `signal` is
//! an SQL expression over the stream's columns, such as `hip_left_flexion_deg` or `-accel_y_m_per_s2`, in the unit of the protocol's `movement`,
//! which says what the signal is at `rest` and at the `target`. `compensations` gives a signal to those that the protocol names.
//!
//! The way gone is 0 % at rest and 100 % at the target. A repetition begins where it passes `begin` and is over where it is back below
//! `end`, after `shortest` at least; from there the movement is followed back and on to where it began and ended. A **row** comes out for
//! each, `kind` `repetition`, columns with the signal's unit in their names:
//!
//! - `start_ns`, `hold_start_ns`, `hold_end_ns`, `end_ns`: where the phases meet. The ends of a smooth movement can't be seen; they
//!   are drawn on from where the speed falls to a half and a fifth of its peak, as on the minimum-jerk curve (Flash and Hogan 1985).
//! - `concentric_s`, `hold_s`, `eccentric_s`, and `rest_s` before it; `…_error_percent` against the protocol's durations;
//! - `top_deg`, the signal's mean in the hold (its peak where nothing is held), and `range_percent`, how much of the way it went;
//! - `hold_sd_deg`: steadiness, the SD about a straight line; `hold_drift_deg_per_s`: that line's slope; `hold_within_percent`: share within
//!   the band;
//! - `<compensation>_peak_deg` and `<compensation>_share_percent`, how long it went beyond what is permitted; `compensations`: those too long;
//! - a column for each condition of `require`: whether it was true on every row of the repetition, such as `calibrated`;
//! - `set`, `repetition` (its number in the set; none for one that doesn't count), `is_counted`, `is_valid` and `reasons`:
//!   `half` (range), `too long`, `gap`, `samples lost`, `unfinished` (the session ended), `concentric short`, `concentric long` and so on,
//!   `hold outside band`, `not calibrated`, and the compensations;
//! - `done`, `valid`, `prescribed`, `adherence_percent`: so far; at the session's end they come once more in a row of `kind` `session`.
//!
//! A pause of half the protocol's `set_rest` begins a new set; where it has none, all is one set. Half and lost ones aren't counted,
//! nor those for which a condition of `require` wasn't true.
//!
//! **Delay**: a row comes when the signal is still again, 0.2 s after it slowed down to a tenth of its speed, or when the next repetition
//! begins, and 3 s after `end` was passed at the latest. **Gaps** up to `gap` are bridged by a straight line; longer ones within a repetition are a reason
//! against it, and after 5 s it is lost. Samples are averaged over 10 ms, and boundaries are found on a signal smoothed over 0.2 s.
//!
//! ```yaml
//! op: exercise
//! from: angles
//! with:
//!   protocol:
//!     protocol: hip-thrust
//!     movement: { rest: 50 deg, target: 10 deg }
//!     phases:
//!       concentric: { duration: 1500 ms }
//!       hold: { duration: 2 s, band: 6 deg }
//!       eccentric: { duration: 1500 ms }
//!     repetitions: 3
//!     compensations: { lumbar_extension: { most: 10 deg } }
//!   signal: hip_left_flexion_deg
//!   compensations: { lumbar_extension: -lumbar_flexion_deg }
//! input:
//!   angles:
//!     schema:
//!       rate: 100 Hz
//!       columns:
//!         - { name: hip_left_flexion_deg, unit: deg }
//!         - { name: lumbar_flexion_deg, unit: deg }
//!     generate:
//!       duration: 21 s
//!       columns:
//!         hip_left_flexion_deg:
//!           - { constant: 30 }
//!           - { noise: { amplitude: 0.2, seed: 1 } }
//!           - { sine: { amplitude: 22.5, frequency: 0.15 Hz, phase: 90 deg } }
//!           - { sine: { amplitude: -3.5, frequency: 0.45 Hz, phase: 90 deg } }
//!           - { sine: { amplitude: 0.8, frequency: 0.75 Hz, phase: 90 deg } }
//!           - { missing: { from: 8.2 s, to: 8.7 s } }
//!         lumbar_flexion_deg:
//!           - { constant: -4 }
//!           - { pulses: { from: 16 s, period: 20 s, width: 1500 ms, amplitude: -12 } }
//! ```
//! ```csv
//! time_ns,kind,side,set,repetition,start_ns,hold_start_ns,hold_end_ns,end_ns,concentric_s,hold_s,eccentric_s,rest_s,concentric_error_percent,hold_error_percent,eccentric_error_percent,rest_error_percent,top_deg,range_percent,hold_sd_deg,hold_drift_deg_per_s,hold_within_percent,lumbar_extension_peak_deg,lumbar_extension_share_percent,compensations,is_counted,is_valid,reasons,done,valid,prescribed,adherence_percent
//! 6270000000,repetition,both,1,1,633816250,2699394687,3976439375,6024013750,2.06558,1.27704,2.04757,,37.7052,-36.1478,36.505,,10.6817,99.6727,0.45968,-0.00379591,100.0,4.0,0.0,,true,false,"concentric long, hold short, eccentric long",1,0,3,33.3333
//! 13050000000,repetition,both,1,2,7324245000,9374645625,10646212813,12687771563,2.0504,1.27157,2.04156,1.30023,36.6934,-36.4216,36.1039,,10.6892,99.7626,0.443429,0.11474,100.0,4.0,0.0,,true,false,"gap, concentric long, hold short, eccentric long",2,0,3,66.6667
//! 19830000000,repetition,both,1,3,13962411406,16035764375,17311290000,19351866250,2.07335,1.27553,2.04058,1.27464,38.2235,-36.2237,36.0384,,10.6428,99.7813,0.468035,0.0552538,100.0,16.0,18.3333,lumbar_extension,true,false,"concentric long, hold short, eccentric long, lumbar_extension",3,0,3,100.0
//! 20990000002,session,both,,,,,,,,,,,,,,,,,,,,,,,,,,3,0,3,100.0
//! # 4 rows, every bit hashed: 7b5389bb7fa95721
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_schema::{DataType, Field};
use proprio_core::protocol::{Compensation, Protocol, Side};
use proprio_core::quantity::{Duration, Share};
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{
    At, Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, pointer_part, rows,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::emg::keep;
use crate::kernels::exercise_judge::{Judge, Judged, Tally};
use crate::kernels::exercise_repetitions::{Limits, Repetitions};
use crate::kernels::expression::Expression;
use crate::kernels::names::suggest;

/// What `with:` holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The exercise.
    #[schemars(extend("x-file" = "protocol"))]
    protocol: Protocol,
    /// What moves from rest to the target, such as `hip_left_flexion_deg`.
    signal: String,
    /// The signals of the protocol's compensations, by name, such as `{ pelvic_drop: abs(pelvis_obliquity_deg) }`.
    #[serde(default)]
    compensations: BTreeMap<String, String>,
    /// What must be true all through a repetition, by name, such as `{ calibrated: calibration is not null }`; a null is none.
    #[serde(default)]
    require: BTreeMap<String, String>,
    /// Which side is trained, where the protocol is for either.
    #[serde(default)]
    side: Option<OneSide>,
    /// How much of the way begins a repetition.
    #[serde(default = "begin")]
    begin: Share,
    /// Back below how much of the way it is over.
    #[serde(default = "end")]
    end: Share,
    /// What is shorter between the two is no repetition; 0.1 s to 10 s.
    #[serde(default = "shortest")]
    shortest: Duration,
    /// What is longer is none either: 1 s to 180 s.
    #[serde(default = "longest")]
    longest: Duration,
    /// The longest step in time that is bridged, up to 1 s.
    #[serde(default = "gap")]
    gap: Duration,
}

/// One side of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OneSide {
    /// The left one.
    Left,
    /// The right one.
    Right,
}

fn begin() -> Share {
    Share::new(30.0)
}

fn end() -> Share {
    Share::new(20.0)
}

fn shortest() -> Duration {
    Duration::new(0.5)
}

fn longest() -> Duration {
    Duration::new(60.0)
}

fn gap() -> Duration {
    Duration::new(0.2)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let schema = &ports[0].schema;
        let mut findings = self.check();
        let signal = keep(&mut findings, Expression::number_at("/signal", &self.signal, &schema.columns));
        let unit = signal.as_ref().and_then(|signal| signal.unit(&schema.columns));
        if !self.protocol.movement.rest.fits(unit.as_deref()) {
            let message =
                format!("the signal is in {}, the protocol's rest is {}", unit.as_deref().unwrap_or_default(), self.protocol.movement.rest);
            findings.push(PlanFinding::config("/signal", message).help("give `movement` and `band` in the signal's unit"));
        }
        let mut watched = Vec::new();
        for (name, text) in &self.compensations {
            let pointer = format!("/compensations/{name}");
            let Some(permitted) = self.protocol.compensations.get(name) else {
                let finding = PlanFinding::config(pointer, format!("the protocol names no compensation `{name}`"));
                findings.push(PlanFinding { help: suggest(name, self.protocol.compensations.keys().map(String::as_str)), ..finding });
                continue;
            };
            let Some(expression) = keep(&mut findings, Expression::number_at(&pointer, text, &schema.columns)) else { continue };
            let unit = expression.unit(&schema.columns);
            if !permitted.most.fits(unit.as_deref()) {
                let message = format!("this is in {}, the protocol permits {}", unit.as_deref().unwrap_or_default(), permitted.most);
                findings.push(PlanFinding::config(pointer, message).help("give both in one unit"));
            }
            watched.push(Watched { name: name.clone(), expression, unit, permitted: permitted.clone() });
        }
        let required = self.required(schema, &mut findings);
        let (Some(signal), true) = (signal, findings.is_empty()) else { return Err(findings) };
        let output = output(unit.as_deref(), &watched, &required);
        let side = match (self.protocol.side, self.side) {
            (Side::Either, Some(OneSide::Left)) => Side::Left,
            (Side::Either, Some(OneSide::Right)) => Side::Right,
            (side, _) => side,
        };
        let limits = Limits {
            rest: self.protocol.movement.rest.value,
            target: self.protocol.movement.target.value,
            begin: self.begin.percent() / 100.0,
            end: self.end.percent() / 100.0,
            shortest_ns: self.shortest.nanoseconds(),
            longest_ns: self.longest.nanoseconds(),
            gap_ns: self.gap.nanoseconds(),
        };
        let judge = Judge {
            permitted: watched.iter().map(|watched| (watched.name.clone(), watched.permitted.clone())).collect(),
            required: required.iter().map(|(name, _)| name.clone()).collect(),
            protocol: self.protocol,
        };
        Ok(Planned::new(Exercise { signal, watched, required, side: side.name(), limits, judge, output: output.clone() }, output))
    }
}

impl Config {
    /// The conditions of `require`.
    fn required(&self, schema: &StreamSchema, findings: &mut Findings) -> Vec<(String, Expression)> {
        let mut required = Vec::new();
        for (name, text) in &self.require {
            let pointer = format!("/require/{}", pointer_part(name));
            if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                let message = format!("`{name}` becomes a column: lower-case letters, digits and `_` only");
                findings.push(PlanFinding::config(pointer.clone(), message).help("write it such as `calibrated`"));
            }
            let found = Expression::condition_at(&pointer, text, &schema.columns);
            required.extend(keep(findings, found).map(|condition| (name.clone(), condition)));
        }
        required
    }

    /// What is wrong with the protocol and the numbers.
    fn check(&self) -> Findings {
        let inner = |finding: PlanFinding| match finding.at {
            At::Config(pointer) => PlanFinding { at: At::Config(format!("/protocol{pointer}")), ..finding },
            _ => finding,
        };
        let mut findings: Findings = self.protocol.findings().into_iter().map(inner).collect();
        match (self.protocol.side, self.side) {
            (Side::Either, None) => findings.push(
                PlanFinding::step("the protocol is for either side: which one is trained is missing")
                    .help("add `side: left` or `side: right`"),
            ),
            (Side::Either, _) | (_, None) => {}
            (side, Some(_)) => {
                let message = format!("the protocol says which side is trained already: {}", side.name());
                findings.push(PlanFinding::config("/side", message).help("leave it out, or write `side: either` in the protocol"));
            }
        }
        let (begin, end) = (self.begin.percent(), self.end.percent());
        if !(5.0..=90.0).contains(&begin) {
            findings.push(PlanFinding::config("/begin", format!("{} is outside 5 % to 90 %", self.begin)));
        }
        if !(end >= 0.0 && end < begin) {
            findings.push(PlanFinding::config("/end", format!("{} must be less than `begin`, {}, and not negative", self.end, self.begin)));
        }
        for (pointer, value, from, to) in
            [("/shortest", self.shortest, 0.1, 10.0), ("/longest", self.longest, 1.0, 180.0), ("/gap", self.gap, 0.01, 1.0)]
        {
            if !(from..=to).contains(&value.seconds()) {
                findings.push(PlanFinding::config(pointer, format!("{value} is outside {from} s to {to} s")));
            }
        }
        findings
    }
}

/// A compensation that has a signal.
struct Watched {
    name: String,
    expression: Expression,
    unit: Option<String>,
    permitted: Compensation,
}

/// What the names of columns in this unit end in.
fn suffix(unit: Option<&str>) -> String {
    match unit {
        Some("m/s^2") => "_m_per_s2".to_owned(),
        Some("rad/s") => "_rad_per_s".to_owned(),
        Some("%") => "_percent".to_owned(),
        Some(unit) if !unit.is_empty() && unit.chars().all(|c| c.is_ascii_alphabetic()) => format!("_{}", unit.to_ascii_lowercase()),
        _ => String::new(),
    }
}

/// The columns, those of the signal in its unit.
fn output(unit: Option<&str>, watched: &[Watched], required: &[(String, Expression)]) -> StreamSchema {
    let seconds = |name: &str| float(name, "s");
    let percent = |name: String| float(name, "%");
    let instant = |name: &str| column(name, DataType::Int64).unit("ns");
    let count = |name: &str| column(name, DataType::Int64).unit("1");
    let own = |name: String, unit: Option<&str>| float(format!("{name}{}", suffix(unit)), unit.unwrap_or("1"));
    let mut fields: Vec<Field> = vec![text("kind").required(), text("side").required(), count("set"), count("repetition")];
    fields.extend(["start_ns", "hold_start_ns", "hold_end_ns", "end_ns"].map(instant));
    fields.extend(["concentric_s", "hold_s", "eccentric_s", "rest_s"].map(seconds));
    fields.extend(["concentric", "hold", "eccentric", "rest"].map(|name| percent(format!("{name}_error_percent"))));
    fields.extend([own("top".to_owned(), unit), percent("range_percent".to_owned()), own("hold_sd".to_owned(), unit)]);
    fields.push(float(format!("hold_drift{}_per_s", suffix(unit)), &format!("{}/s", unit.unwrap_or("1"))));
    fields.push(percent("hold_within_percent".to_owned()));
    for Watched { name, unit, .. } in watched {
        fields.extend([own(format!("{name}_peak"), unit.as_deref()), percent(format!("{name}_share_percent"))]);
    }
    fields.extend(required.iter().map(|(name, _)| column(name, DataType::Boolean)));
    fields.push(text("compensations"));
    fields.extend(["is_counted", "is_valid"].map(|name| column(name, DataType::Boolean)));
    fields.push(text("reasons"));
    fields.extend(["done", "valid", "prescribed"].map(|name| count(name).required()));
    fields.push(percent("adherence_percent".to_owned()).required());
    StreamSchema::new(fields, &[], None)
}

struct Exercise {
    signal: Expression,
    watched: Vec<Watched>,
    required: Vec<(String, Expression)>,
    side: &'static str,
    limits: Limits,
    judge: Judge,
    output: StreamSchema,
}

/// What is remembered: the samples of the repetition that is under way, at most `longest` and ten seconds, and counts.
#[derive(Serialize, Deserialize)]
pub struct State {
    repetitions: Repetitions,
    tally: Tally,
    last_row: Option<TimeNs>,
}

impl Operator for Exercise {
    type State = State;

    fn start(&self) -> State {
        State { repetitions: Repetitions::default(), tally: Tally::default(), last_row: None }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let input = &inputs[0];
        if input.num_rows() > 0 {
            let channels = self.channels(input);
            let mut told = Vec::new();
            let mut values = vec![f64::NAN; channels.len()];
            for (row, time) in rows::times(input).iter().enumerate() {
                channels.iter().zip(&mut values).for_each(|(channel, value)| *value = rows::float_or_nan(channel, row));
                let found = if values[0].is_nan() { Vec::new() } else { state.repetitions.push(*time, &values, &self.limits) };
                told.extend(found.iter().map(|found| (*time, self.judge.judge(found, &mut state.tally))));
                state.last_row = Some(*time);
            }
            out.push(self.batch(&told));
        }
        // The session's last row comes after the last sample's.
        state.last_row.map_or(watermark, |last| watermark.min(last))
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        let Some(last) = state.last_row else { return };
        let mut told = Vec::new();
        if let Some(found) = state.repetitions.cut_off(&self.limits) {
            told.push((last + 1, self.judge.judge(&found, &mut state.tally)));
        }
        told.push((last + 2, Judged::session(&state.tally)));
        out.push(self.batch(&told));
    }
}

impl Exercise {
    /// The signal, the compensations, and each condition as 1 where it is true and 0 elsewhere.
    fn channels(&self, input: &RecordBatch) -> Vec<Float64Array> {
        let numbers = std::iter::once(&self.signal).chain(self.watched.iter().map(|watched| &watched.expression));
        let numbers = numbers.map(|expression| expression.values(input).as_primitive::<Float64Type>().clone());
        let holds = self.required.iter().map(|(_, condition)| condition.holds(input));
        let as_number = |holds: Option<bool>| f64::from(u8::from(holds == Some(true)));
        numbers.chain(holds.map(|holds| holds.iter().map(|holds| Some(as_number(holds))).collect())).collect()
    }

    fn batch(&self, told: &[(TimeNs, Judged)]) -> RecordBatch {
        let floats = |value: &dyn Fn(&Judged) -> f64| rows::nan_as_null(told.iter().map(|(_, judged)| value(judged)).collect());
        let integers = |value: &dyn Fn(&Judged) -> Option<i64>| -> ArrayRef {
            Arc::new(told.iter().map(|(_, judged)| value(judged)).collect::<Int64Array>())
        };
        let flags = |value: &dyn Fn(&Judged) -> Option<bool>| -> ArrayRef {
            Arc::new(told.iter().map(|(_, judged)| value(judged)).collect::<BooleanArray>())
        };
        let texts = |value: &dyn Fn(&Judged) -> Option<String>| -> ArrayRef {
            Arc::new(told.iter().map(|(_, judged)| value(judged)).collect::<StringArray>())
        };
        let prescribed = i64::from(self.judge.protocol.prescribed());
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(told.iter().map(|(time, _)| *time).collect::<Int64Array>()),
            texts(&|judged| Some(judged.kind().to_owned())),
            texts(&|_| Some(self.side.to_owned())),
            integers(&|judged| judged.set),
            integers(&|judged| judged.repetition),
        ];
        columns.extend((0..4).map(|at| integers(&|judged| judged.instants_ns[at])));
        columns.extend((0..4).map(|phase| floats(&|judged| judged.durations_s[phase])));
        columns.extend((0..4).map(|phase| floats(&|judged| judged.errors_percent[phase])));
        columns.extend([
            floats(&|judged| judged.top),
            floats(&|judged| judged.range_percent),
            floats(&|judged| judged.hold.sd),
            floats(&|judged| judged.hold.drift_per_s),
            floats(&|judged| judged.hold.within_percent),
        ]);
        for at in 0..self.watched.len() {
            columns.push(floats(&|judged| judged.compensations.get(at).map_or(f64::NAN, |seen| seen.peak)));
            columns.push(floats(&|judged| judged.compensations.get(at).map_or(f64::NAN, |seen| seen.share_percent)));
        }
        columns.extend((0..self.required.len()).map(|at| flags(&|judged| judged.met.get(at).copied())));
        columns.extend([
            texts(&|judged| judged.seen()),
            flags(&|judged| judged.is_counted),
            flags(&|judged| judged.is_valid()),
            texts(&|judged| judged.reasons()),
            integers(&|judged| Some(judged.done)),
            integers(&|judged| Some(judged.valid)),
            integers(&|_| Some(prescribed)),
            floats(&|judged| 100.0 * judged.done as f64 / prescribed as f64),
        ]);
        rows::batch(&self.output, columns)
    }
}
