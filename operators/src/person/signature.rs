//! Is today's movement this person's, or a change? A personal baseline over sessions, and how far movements and sessions are from it.
//!
//! Reads one stream of movements: rows of one time and `side` are one movement, such as those of `gait_parameters`, or the 101 rows of a
//! stride from `phase_profile`, whose `features` are averaged over `phases` parts of the cycle (`knee_left_flexion_deg@40` begins at 40
//! %). Each side has features of its own. Three kinds of spread are told apart: from movement to movement, from session to session, and
//! where sensors were placed, which is one offset for a whole session: `centre` takes a column's mean over the cycle away, so that what is
//! left is the curve's shape; timings and ranges of motion need no such thing.
//!
//! **The signature** is the sorted set of its sessions' summaries (per side and feature: robust mean, scatter, count), merged in any order to
//! the same bytes: the oldest 16 and the newest 8 of more. At a session's end a row with `scope` `signature` holds it as a text, with this
//! session in it: a candidate, which a later session adopts (`proprio session start --carry`). From then on each row names the adopted one
//! in `signature_id`; a row `adopted` repeats its text. The person's baseline are its oldest `baseline` sessions, so what changes later
//! never moves it.
//!
//! **Deviations** are told per movement (`scope` `movement`), at the end for the session as a whole (`session`, by its robust means) and for
//! the newest `trend` sessions together (`trend`). A row per feature has `value`, `usual`, `sd`, `z` and `share_percent`, its part of the
//! squared distance; the row with an empty `feature` has `distance`: Mahalanobis' over the root of the number of features, about 1 where
//! all is usual; `verdict`: `changed` where a normal person is as far once in a hundred, else `usual`; and `drivers`, the features that
//! make most of it. A movement is judged by the spread from session to session and within one, a session by the former alone. Correlations
//! among features of one unit are shrunk (Schäfer and Strimmer 2005) and none are taken between units; variances are drawn to `session_sd`
//! by unit as `prior_sessions` more sessions would: five sessions tell a spread to within a third.
//!
//! `verdict` is `unknown` with its `reason`: `no signature`, `few sessions` (three are due), `few movements` (`movements` a session are
//! due), `other features` (the signature carried over is of another configuration), `no features`. A missing feature is left out of a
//! movement's distance. **Delay** none; the watermark stays just behind the newest movement, whose session may end.
//!
//! ```yaml
//! op: signature
//! from: strides
//! with: { features: [latency_ms, knee_range_deg], session_sd: { ms: 10, deg: 2 }, movements: 2 }
//! input:
//!   strides:
//!     schema:
//!       keys: [side]
//!       columns:
//!         - { name: side, type: text, required: true }
//!         - { name: latency_ms, unit: ms }
//!         - { name: knee_range_deg, unit: deg }
//!     rows: |
//!       time_ms,side,latency_ms,knee_range_deg
//!       1000,left,41,61
//!       1500,right,30,58
//!       2000,left,44,
//!       2000,right,32,59
//!       3000,left,39,60.5
//! ```
//! ```csv
//! time_ns,scope,side,feature,value,usual,sd,z,share_percent,distance,verdict,drivers,reason,movements,sessions,signature_id,signature
//! 1000000000,movement,left,,,,,,,,unknown,,no signature,1,,,
//! 1500000000,movement,right,,,,,,,,unknown,,no signature,1,,,
//! 2000000000,movement,left,,,,,,,,unknown,,no signature,2,,,
//! 2000000000,movement,right,,,,,,,,unknown,,no signature,2,,,
//! 3000000000,movement,left,,,,,,,,unknown,,no signature,3,,,
//! 3000000000,session,left,,,,,,,,unknown,,no signature,3,,,
//! 3000000000,session,right,,,,,,,,unknown,,no signature,2,,,
//! 3000000000,signature,,,,,,,,,,,,,1,a2c94438089d96d5,"{\"version\":1,\"definition\":\"latency_ms knee_range_deg in 1 phases,  centred\",\"sessions\":{\"1000000000\":{\"left\":{\"knee_range_deg\":{\"location\":60.75,\"scatter\":0.370651,\"count\":2},\"latency_ms\":{\"location\":41.3333,\"scatter\":2.9652,\"count\":3}},\"right\":{\"knee_range_deg\":{\"location\":58.5,\"scatter\":0.741301,\"count\":2},\"latency_ms\":{\"location\":31.0,\"scatter\":1.4826,\"count\":2}}}}}"
//! # 8 rows, every bit hashed: e4278c8c3df94b8f
//! ```

use std::collections::BTreeMap;

use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use proprio_core::schema::{FieldExt, meta};
use proprio_core::{Carried, Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::names::suggest;
use crate::kernels::signature::{
    Deviation, Feature, MAX_FEATURES, MAX_MOVEMENTS, NEWEST, OLDEST, Prior, Signature, Summary, Usual, summarise,
};
use crate::kernels::signature_movement::{FeatureColumn, MAX_SIDES, Movement, by_side, locations, means};
use crate::kernels::signature_rows::{self, Row};

/// A personal baseline over sessions.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Columns that make the signature, such as `latency_ms`; times `phases` 32 at the most.
    features: Vec<String>,
    /// Parts of the cycle that each column is averaged over, for streams with `phase_percent`; 1 to 32.
    #[serde(default = "phases")]
    phases: usize,
    /// Those of the features whose mean over the movement says where a sensor was put and is taken away.
    #[serde(default)]
    centre: Vec<String>,
    /// Sessions that make the baseline, 3 to 16.
    #[serde(default = "baseline")]
    baseline: usize,
    /// Newest sessions that are judged together, 2 to 8.
    #[serde(default = "trend")]
    trend: usize,
    /// Movements that a session needs, 1 to 512.
    #[serde(default = "movements")]
    movements: usize,
    /// Standard deviation from session to session that is known of people, by unit: `{ ms: 10, deg: 2 }`.
    #[serde(default)]
    session_sd: BTreeMap<String, f64>,
    /// How many sessions that knowledge is worth, above 0 to 100.
    #[serde(default = "prior_sessions")]
    prior_sessions: f64,
}

fn phases() -> usize {
    1
}

fn baseline() -> usize {
    8
}

fn trend() -> usize {
    4
}

fn movements() -> usize {
    5
}

fn prior_sessions() -> f64 {
    8.0
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let schema = &ports[0].schema;
        self.check(&mut findings);
        let of_type = |name: &str, due: DataType| schema.index(name).filter(|index| *schema.columns.field(*index).data_type() == due);
        let phase = of_type("phase_percent", DataType::Int64);
        if phase.is_none() && (self.phases > 1 || !self.centre.is_empty()) {
            let finding = PlanFinding::input(0, format!("`{}` has no phases: its rows are whole movements", ports[0].stream));
            findings.push(finding.help("read a `phase_profile` step, or leave `phases` and `centre` out"));
        }
        if let Some(key) = schema.keys.iter().find(|key| !matches!(key.as_str(), "side" | "phase_percent")) {
            findings.push(PlanFinding::input(
                0,
                format!("rows of `{}` differ by `{key}`, and a movement is a row of its own", ports[0].stream),
            ));
        }
        let columns = self.columns(&ports[0], &mut findings);
        if !findings.is_empty() {
            return Err(findings);
        }
        let output = signature_rows::schema();
        let definition = format!("{} in {} phases, {} centred", self.features.join(" "), self.phases, self.centre.join(" "));
        let step = Sign { side: of_type("side", DataType::Utf8), phase, columns, definition, config: self, output: output.clone() };
        Ok(Planned::new(step, output).carrying("signature IS NOT NULL"))
    }
}

impl Config {
    fn check(&self, findings: &mut Findings) {
        let mut refuse = |is_wrong: bool, at: &str, message: &str| {
            if is_wrong {
                findings.push(PlanFinding::config(at, message));
            }
        };
        refuse(!(1..=MAX_FEATURES).contains(&self.phases), "/phases", "a cycle has 1 to 32 parts");
        let count = self.features.len().saturating_mul(self.phases);
        refuse(!(1..=MAX_FEATURES).contains(&count), "/features", "features times phases are 1 to 32");
        refuse(!(3..=OLDEST).contains(&self.baseline), "/baseline", "a baseline stands on 3 to 16 sessions");
        refuse(!(2..=NEWEST).contains(&self.trend), "/trend", "a trend is of 2 to 8 sessions");
        refuse(!(1..=MAX_MOVEMENTS).contains(&self.movements), "/movements", "a session's summary stands on 1 to 512 movements");
        refuse(
            !(self.prior_sessions > 0.0 && self.prior_sessions <= 100.0),
            "/prior_sessions",
            "a prior is worth 100 sessions at the most, and more than none",
        );
        for (n, name) in self.features.iter().enumerate() {
            refuse(self.features[..n].contains(name), &format!("/features/{n}"), "this feature is named twice");
        }
        for (n, name) in self.centre.iter().enumerate() {
            refuse(!self.features.contains(name), &format!("/centre/{n}"), "this is none of the `features`");
        }
        for (unit, sd) in &self.session_sd {
            refuse(!(*sd > 0.0 && sd.is_finite()), &format!("/session_sd/{unit}"), "a standard deviation is above zero");
        }
    }

    fn columns(&self, port: &Port, findings: &mut Findings) -> Vec<FeatureColumn> {
        let fields = port.schema.columns.fields();
        let measured = || fields.iter().filter(|field| *field.data_type() == DataType::Float64).map(|field| field.name().as_str());
        let (mut columns, mut units) = (Vec::new(), Vec::new());
        for (n, name) in self.features.iter().enumerate() {
            let found = port.schema.index(name).filter(|index| *fields[*index].data_type() == DataType::Float64);
            let Some(index) = found else {
                let finding = PlanFinding::config(format!("/features/{n}"), format!("`{}` has no measured column `{name}`", port.stream));
                findings.push(PlanFinding { help: suggest(name, measured().collect::<Vec<_>>()), ..finding });
                continue;
            };
            let unit = fields[index].meta(meta::UNIT).unwrap_or_default();
            let prior_sd = self.session_sd.get(unit).copied();
            let group = units.iter().position(|known| *known == unit).unwrap_or(units.len());
            if group == units.len() {
                units.push(unit);
            }
            columns.push(FeatureColumn { name: name.clone(), index, is_centred: self.centre.contains(name), group, prior_sd });
        }
        for unit in self.session_sd.keys().filter(|unit| !units.contains(&unit.as_str())) {
            let finding = PlanFinding::config(format!("/session_sd/{unit}"), format!("no feature has the unit `{unit}`"));
            findings.push(PlanFinding { help: suggest(unit, units.clone()), ..finding });
        }
        columns
    }
}

struct Sign {
    side: Option<usize>,
    phase: Option<usize>,
    columns: Vec<FeatureColumn>,
    definition: String,
    config: Config,
    output: StreamSchema,
}

/// What is remembered: the signature that was carried over, and this session's movements.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    adopted: Option<Signature>,
    /// Whether one was carried over that is of other features.
    is_foreign: bool,
    /// Times of the first and the newest movement.
    range: Option<(TimeNs, TimeNs)>,
    /// By side and feature.
    values: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
    /// By side.
    movements: BTreeMap<String, u32>,
}

impl Operator for Sign {
    type State = State;

    fn start(&self) -> State {
        State::default()
    }

    /// A signature of other features is not comparable, and stays where it is.
    fn carry(&self, state: &mut State, carried: &Carried) {
        let rows = carried.batch(&self.output).expect("the worker gives what fits");
        let index = self.output.index("signature").expect("its own column");
        let texts = rows::strings(&rows, index);
        let read = (0..rows.num_rows()).filter(|row| texts.is_valid(*row)).filter_map(|row| Signature::parse(texts.value(row)));
        let (own, other): (Vec<Signature>, Vec<Signature>) = read.partition(|signature| signature.definition == self.definition);
        state.adopted = own.iter().fold(state.adopted.take(), |all: Option<Signature>, next| match all {
            Some(all) => all.merged(next),
            None => Some(next.clone()),
        });
        state.is_foreign = state.adopted.is_none() && (state.is_foreign || !other.is_empty());
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let batch = &inputs[0];
        let times = rows::times(batch);
        let sides = if times.is_empty() { &[][..] } else { &["", "left", "right"] };
        let usual: BTreeMap<&str, Option<Usual>> = sides.iter().map(|side| (*side, self.usual(state, side))).collect();
        let mut found: Vec<Row> = Vec::new();
        let mut from = 0;
        while from < times.len() {
            let to = from + times[from..].partition_point(|time| *time == times[from]);
            let is_first = state.range.is_none();
            state.range = Some((state.range.map_or(times[from], |(first, _)| first), times[from]));
            let mut here = Vec::new();
            if let (true, Some(adopted)) = (is_first, &state.adopted) {
                here.push(Row { signature: Some(adopted.text()), ..self.about(state, times[from], "adopted", "") });
            }
            for (side, movement) in by_side(batch, from..to, self.side, &self.columns, (self.phase, self.config.phases)) {
                self.keep(state, &side, &movement);
                let judged = usual.get(side.as_str()).and_then(Option::as_ref).map(|usual| usual.deviation(&movement, 0));
                here.extend(self.tell(state, self.about(state, times[from], "movement", &side), judged));
            }
            signature_rows::sort(&mut here);
            found.extend(here);
            from = to;
        }
        out.push(signature_rows::batch(&self.output, &found));
        state.range.map_or(watermark, |(_, newest)| watermark.min(newest - 1))
    }

    /// The session's own deviation, that of the newest ones, and the candidate for a later session.
    fn flush(&self, state: &mut State, out: &mut Output) {
        let Some((first, newest)) = state.range else { return };
        let summary = self.summary(state);
        let mut found = Vec::new();
        for side in state.movements.keys() {
            let Some(own) = summary.get(side) else {
                let row = self.about(state, newest, "session", side);
                found.push(Row { verdict: Some("unknown"), reason: Some("few movements"), ..row });
                continue;
            };
            let usual = self.usual(state, side);
            let judged = usual.as_ref().map(|usual| usual.deviation(&locations(own), 1));
            found.extend(self.tell(state, self.about(state, newest, "session", side), judged));
            let before =
                state.adopted.as_ref().map_or_else(Vec::new, |adopted| adopted.newest(side, self.config.trend - 1, self.config.baseline));
            if let (Some(usual), true) = (&usual, before.len() + 1 == self.config.trend) {
                let all: Vec<&BTreeMap<String, Feature>> = before.into_iter().chain([own]).collect();
                let judged = Some(usual.deviation(&means(&all), all.len()));
                found.extend(self.tell(state, self.about(state, newest, "trend", side), judged));
            }
        }
        if !summary.is_empty() {
            let this = Signature::of(&*self.definition, first, summary);
            let candidate = state.adopted.as_ref().map_or(Some(this.clone()), |adopted| adopted.merged(&this));
            let candidate = candidate.expect("only one of this definition was adopted");
            let row = self.about(state, newest, "signature", "");
            let sessions = Some(candidate.sessions.len() as i64);
            found.push(Row { sessions, signature_id: Some(candidate.id()), signature: Some(candidate.text()), ..row });
        }
        signature_rows::sort(&mut found);
        out.push(signature_rows::batch(&self.output, &found));
    }
}

impl Sign {
    /// Keeps a movement for the session's summary.
    fn keep(&self, state: &mut State, side: &str, movement: &Movement) {
        let is_known = state.values.contains_key(side) || state.values.len() < MAX_SIDES;
        if movement.is_empty() || !is_known {
            return;
        }
        *state.movements.entry(side.to_owned()).or_default() += 1;
        let all = state.values.entry(side.to_owned()).or_default();
        for (name, value) in movement {
            let values = all.entry(name.clone()).or_default();
            if values.len() < MAX_MOVEMENTS {
                values.push(*value);
            }
        }
    }

    /// What this session gives to the signature: the sides and features with enough movements.
    fn summary(&self, state: &State) -> Summary {
        let features = |all: &BTreeMap<String, Vec<f64>>| -> BTreeMap<String, Feature> {
            let enough = all.iter().filter(|(_, values)| values.len() >= self.config.movements);
            enough.filter_map(|(name, values)| Some((name.clone(), summarise(values)?))).collect()
        };
        state.values.iter().map(|(side, all)| (side.clone(), features(all))).filter(|(_, features)| !features.is_empty()).collect()
    }

    fn usual(&self, state: &State, side: &str) -> Option<Usual> {
        let sessions = state.adopted.as_ref()?.oldest(side, self.config.baseline);
        Usual::of(&sessions, |feature| {
            let name = feature.split_once('@').map_or(feature, |(name, _)| name);
            let column = self.columns.iter().find(|column| column.name == name);
            let (group, sd) = column.map_or((0, None), |column| (column.group, column.prior_sd));
            Prior { group, sd, sessions: self.config.prior_sessions }
        })
    }

    /// A row about a session's side, with what was adopted.
    fn about(&self, state: &State, time: TimeNs, scope: &'static str, side: &str) -> Row {
        Row {
            time,
            scope,
            side: side.to_owned(),
            movements: state.movements.get(side).map(|count| i64::from(*count)),
            sessions: state.adopted.as_ref().map(|adopted| adopted.sessions.len() as i64),
            signature_id: state.adopted.as_ref().map(Signature::id),
            ..Row::default()
        }
    }

    /// The rows of a deviation; of none where nothing is usual yet.
    fn tell(&self, state: &State, about: Row, judged: Option<Option<Deviation>>) -> Vec<Row> {
        let unknown = match (&judged, &state.adopted) {
            (Some(_), _) => "no features",
            (None, Some(_)) => "few sessions",
            (None, None) if state.is_foreign => "other features",
            (None, None) => "no signature",
        };
        signature_rows::tell(about, judged.flatten().ok_or(unknown))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use proprio_core::schema::{float, text};
    use proprio_core::{At, rows};
    use serde_json::{Value, json};

    use super::*;
    use crate::kernels::testing::{Noise, numbers, texts};

    fn port() -> Port {
        let fields = vec![text("side").required(), float("latency_ms", "ms"), float("range_deg", "deg")];
        Port { stream: "strides".into(), schema: StreamSchema::new(fields, &["side"], None) }
    }

    fn plan(config: Value) -> Result<Planned, Findings> {
        (crate::operator("signature").expect("the operator is registered").plan)(config, &[port()])
    }

    /// A session of ten movements, from `start` on, with what was carried over; its rows.
    fn session(planned: &Planned, noise: &mut Noise, start: i64, shift_ms: f64, carried: Option<&Carried>) -> RecordBatch {
        let offset = 10.0 * noise.gaussian() + shift_ms;
        let latency: Vec<f64> = (0..10).map(|_| 40.0 + offset + 5.0 * noise.gaussian()).collect();
        let range: Vec<f64> = (0..10).map(|_| 60.0 + noise.gaussian()).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new((0..10).map(|k| start + k * 1_000_000_000).collect::<Int64Array>()),
            Arc::new(StringArray::from(vec!["left"; 10])),
            rows::nan_as_null(latency),
            rows::nan_as_null(range),
        ];
        let mut state = planned.step.start();
        if let Some(carried) = carried {
            planned.step.carry(&mut state, carried);
        }
        let mut out = Output::default();
        planned.step.process(&mut state, &[rows::batch(&port().schema, columns)], TimeNs::MAX, &mut out);
        planned.step.flush(&mut state, &mut out);
        arrow_select::concat::concat_batches(&planned.output.columns, &out.take()).expect("one schema")
    }

    /// The newest row with a signature, as the engine carries it over.
    fn candidate(planned: &Planned, rows: &RecordBatch) -> Carried {
        let at = (0..rows.num_rows()).rev().find(|row| !texts(rows, "signature")[*row].is_empty()).expect("a candidate");
        Carried::of("signature", "s", &planned.output, &rows.slice(at, 1)).expect("texts")
    }

    fn whole(rows: &RecordBatch, scope: &str) -> Option<usize> {
        (0..rows.num_rows()).find(|row| texts(rows, "scope")[*row] == scope && texts(rows, "feature")[*row].is_empty())
    }

    #[test]
    fn a_later_session_adopts_the_candidate_and_is_judged_by_it() {
        let config =
            json!({ "features": ["latency_ms", "range_deg"], "baseline": 6, "trend": 2, "session_sd": { "ms": 10.0, "deg": 1.0 } });
        let planned = plan(config).expect("a plan");
        let mut noise = Noise::new(5);
        let mut carried = None;
        for n in 0..6 {
            let rows = session(&planned, &mut noise, n * 1_000_000_000_000, 0.0, carried.as_ref());
            let at = whole(&rows, "session").expect("a row of the session");
            let due = match n {
                0 => "no signature",
                1 | 2 => "few sessions",
                _ => "",
            };
            assert_eq!(texts(&rows, "reason")[at], due, "session {n}");
            carried = Some(candidate(&planned, &rows));
        }
        let id = carried.as_ref().expect("six sessions").rows[0]["signature_id"].clone();
        let usual = session(&planned, &mut noise, 7_000_000_000_000, 0.0, carried.as_ref());
        let changed = session(&planned, &mut noise, 7_000_000_000_000, 80.0, carried.as_ref());
        let adopted = whole(&changed, "adopted").expect("what was adopted");
        assert_eq!((adopted, texts(&changed, "signature_id")[adopted].as_str()), (0, id.as_str()));
        assert!((0..changed.num_rows() - 1).all(|row| texts(&changed, "signature_id")[row] == id), "each row names the adopted one");
        let [same, off] = [&usual, &changed].map(|rows| {
            let at = whole(rows, "session").expect("a row of the session");
            (texts(rows, "verdict")[at].clone(), numbers(rows, "distance").value(at), texts(rows, "drivers")[at].clone())
        });
        assert!(same.0 == "usual" && off.0 == "changed" && off.1 > 3.0 && off.2.starts_with("latency_ms +"), "{same:?} {off:?}");
        assert!(whole(&usual, "trend").is_none(), "one session after the baseline is no trend");
        let second = session(&planned, &mut noise, 8_000_000_000_000, 80.0, Some(&candidate(&planned, &changed)));
        let trend = whole(&second, "trend").expect("two sessions after the baseline");
        assert_eq!(texts(&second, "verdict")[trend], "changed");
        let other = plan(json!({ "features": ["latency_ms"] })).expect("a plan");
        let foreign = session(&other, &mut noise, 9_000_000_000_000, 0.0, carried.as_ref());
        assert_eq!(texts(&foreign, "reason")[0], "other features");
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_pointer() {
        let with = |key: &str, value: Value| {
            let mut config = json!({ "features": ["latency_ms"] });
            config[key] = value;
            config
        };
        for (config, pointer) in [
            (json!({ "features": [] }), "/features"),
            (json!({ "features": ["latncy_ms"] }), "/features/0"),
            (json!({ "features": ["latency_ms", "latency_ms"] }), "/features/1"),
            (with("baseline", json!(2)), "/baseline"),
            (with("trend", json!(9)), "/trend"),
            (with("movements", json!(0)), "/movements"),
            (with("prior_sessions", json!(0.0)), "/prior_sessions"),
            (with("session_sd", json!({ "ms": 0.0 })), "/session_sd/ms"),
            (with("session_sd", json!({ "deg": 2.0 })), "/session_sd/deg"),
            (with("centre", json!(["range_deg"])), "/centre/0"),
        ] {
            let findings = plan(config.clone()).err().unwrap_or_else(|| panic!("{config} is taken"));
            assert_eq!(findings[0].at, At::Config(pointer.into()), "{config}: {findings:?}");
        }
        assert_eq!(plan(with("phases", json!(4))).expect_err("no phases")[0].at, At::Input(0));
    }
}
