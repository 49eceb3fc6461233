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
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use proprio_core::schema::{FieldExt, column, float, meta, text};
use proprio_core::{Carried, Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::names::suggest;
use crate::kernels::signature::{
    Deviation, Feature, MAX_FEATURES, MAX_MOVEMENTS, NEWEST, OLDEST, Prior, Signature, Summary, Usual, summarise,
};

/// How many features are named as drivers.
const DRIVERS: usize = 3;
/// Sides that a stream may name, `left`, `right` and none.
const MAX_SIDES: usize = 3;

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
        let output = output();
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

fn output() -> StreamSchema {
    let mut fields = vec![text("scope").required(), text("side").required(), text("feature").required()];
    fields.extend(["value", "usual", "sd"].map(|name| float(name, "1")));
    fields.extend([float("z", "1"), float("share_percent", "%"), float("distance", "1")]);
    fields.extend([text("verdict"), text("drivers"), text("reason")]);
    fields.extend(["movements", "sessions"].map(|name| column(name, DataType::Int64).unit("1")));
    fields.extend([text("signature_id"), text("signature")]);
    StreamSchema::new(fields, &["scope", "side", "feature"], None)
}

#[derive(Debug)]
struct FeatureColumn {
    name: String,
    index: usize,
    is_centred: bool,
    /// Features of one unit share it.
    group: usize,
    prior_sd: Option<f64>,
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

/// A row of the output.
#[derive(Clone, Debug, Default)]
struct Row {
    time: TimeNs,
    scope: &'static str,
    side: String,
    feature: String,
    /// Value, usual, standard deviation and share of the squared distance.
    part: Option<[f64; 4]>,
    distance: Option<f64>,
    verdict: Option<&'static str>,
    drivers: Option<String>,
    reason: Option<&'static str>,
    movements: Option<i64>,
    sessions: Option<i64>,
    signature_id: Option<String>,
    signature: Option<String>,
}

/// One movement: its features by name.
type Movement = BTreeMap<String, f64>;

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
        state.is_foreign = own.is_empty() && !other.is_empty();
        state.adopted = own.iter().fold(None, |all: Option<Signature>, next| match all {
            Some(all) => all.merged(next),
            None => Some(next.clone()),
        });
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
            for (side, movement) in self.movements(batch, from..to) {
                self.keep(state, &side, &movement);
                let judged = usual.get(side.as_str()).and_then(Option::as_ref).map(|usual| usual.deviation(&movement, 0));
                self.tell(state, times[from], "movement", &side, judged, &mut here);
            }
            here.sort_by(|a, b| (a.scope, &a.side, &a.feature).cmp(&(b.scope, &b.side, &b.feature)));
            found.extend(here);
            from = to;
        }
        out.push(self.batch(&found));
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
            self.tell(state, newest, "session", side, judged, &mut found);
            let before =
                state.adopted.as_ref().map_or_else(Vec::new, |adopted| adopted.newest(side, self.config.trend - 1, self.config.baseline));
            if let (Some(usual), true) = (&usual, before.len() + 1 == self.config.trend) {
                let all: Vec<&BTreeMap<String, Feature>> = before.into_iter().chain([own]).collect();
                self.tell(state, newest, "trend", side, Some(usual.deviation(&means(&all), all.len())), &mut found);
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
        found.sort_by(|a, b| (a.scope, &a.side, &a.feature).cmp(&(b.scope, &b.side, &b.feature)));
        out.push(self.batch(&found));
    }
}

impl Sign {
    /// The movements of one instant, by side.
    fn movements(&self, batch: &RecordBatch, range: std::ops::Range<usize>) -> BTreeMap<String, Movement> {
        let sides = self.side.map(|index| rows::strings(batch, index));
        let mut by_side: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for row in range {
            let side = sides.filter(|sides| sides.is_valid(row)).map_or("", |sides| sides.value(row));
            if by_side.contains_key(side) || by_side.len() < MAX_SIDES {
                by_side.entry(side.to_owned()).or_default().push(row);
            }
        }
        by_side.into_iter().map(|(side, rows)| (side, self.movement(batch, &rows))).collect()
    }

    /// The features of one movement's rows: the mean over each part of the cycle.
    fn movement(&self, batch: &RecordBatch, movement: &[usize]) -> Movement {
        let phases = self.phase.map(|index| rows::integers(batch, index));
        let parts = self.config.phases;
        let part = |row: usize| match phases {
            Some(phases) if phases.is_valid(row) => (phases.value(row).clamp(0, 100) as usize * parts / 100).min(parts - 1),
            _ => 0,
        };
        let mut features = Movement::new();
        for column in &self.columns {
            let values = rows::floats(batch, column.index);
            let known: Vec<(usize, f64)> =
                movement.iter().filter(|row| values.is_valid(**row)).map(|row| (part(*row), values.value(*row))).collect();
            let offset = if column.is_centred { mean(known.iter().map(|(_, value)| *value)) } else { 0.0 };
            for at in 0..parts {
                let value = mean(known.iter().filter(|(part, _)| *part == at).map(|(_, value)| *value)) - offset;
                if value.is_finite() {
                    features.insert(feature_name(&column.name, at, parts), value);
                }
            }
        }
        features
    }

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

    /// The rows of a deviation: one as a whole, and one a feature.
    fn tell(&self, state: &State, time: TimeNs, scope: &'static str, side: &str, judged: Option<Option<Deviation>>, rows: &mut Vec<Row>) {
        let about = self.about(state, time, scope, side);
        let reason = match (&judged, &state.adopted) {
            (Some(Some(_)), _) => None,
            (Some(None), _) => Some("no features"),
            (None, Some(_)) => Some("few sessions"),
            (None, None) => Some(if state.is_foreign { "other features" } else { "no signature" }),
        };
        let Some(deviation) = judged.flatten() else {
            rows.push(Row { verdict: Some("unknown"), reason, ..about });
            return;
        };
        let verdict = if deviation.is_changed { "changed" } else { "usual" };
        let drivers = Some(drivers(&deviation));
        rows.push(Row { distance: Some(deviation.distance), verdict: Some(verdict), drivers, ..about.clone() });
        rows.extend(deviation.parts.into_iter().map(|part| {
            let values = Some([part.value, part.usual, part.sd, 100.0 * part.share]);
            Row { feature: part.feature, part: values, ..about.clone() }
        }));
    }

    fn batch(&self, found: &[Row]) -> RecordBatch {
        let floats =
            |value: &dyn Fn(&Row) -> Option<f64>| rows::nan_as_null(found.iter().map(|row| value(row).unwrap_or(f64::NAN)).collect());
        let words = |value: &dyn Fn(&Row) -> Option<String>| -> ArrayRef { Arc::new(found.iter().map(value).collect::<StringArray>()) };
        let counts = |value: &dyn Fn(&Row) -> Option<i64>| -> ArrayRef { Arc::new(found.iter().map(value).collect::<Int64Array>()) };
        let part = |n: usize| floats(&|row| row.part.map(|part| part[n]));
        let columns = vec![
            counts(&|row| Some(row.time)),
            words(&|row| Some(row.scope.to_owned())),
            words(&|row| Some(row.side.clone())),
            words(&|row| Some(row.feature.clone())),
            part(0),
            part(1),
            part(2),
            floats(&|row| row.part.map(|[value, usual, sd, _]| (value - usual) / sd)),
            part(3),
            floats(&|row| row.distance),
            words(&|row| row.verdict.map(str::to_owned)),
            words(&|row| row.drivers.clone()),
            words(&|row| row.reason.map(str::to_owned)),
            counts(&|row| row.movements),
            counts(&|row| row.sessions),
            words(&|row| row.signature_id.clone()),
            words(&|row| row.signature.clone()),
        ];
        rows::batch(&self.output, columns)
    }
}

/// The features that make most of a distance, with their deviations: `latency_ms +2.4 SD`.
fn drivers(deviation: &Deviation) -> String {
    let mut parts: Vec<_> = deviation.parts.iter().filter(|part| part.share > 0.0).collect();
    parts.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.feature.cmp(&b.feature)));
    let words = parts.iter().take(DRIVERS).map(|part| format!("{} {:+.1} SD", part.feature, part.z()));
    words.collect::<Vec<_>>().join(", ")
}

fn feature_name(column: &str, part: usize, parts: usize) -> String {
    if parts == 1 { column.to_owned() } else { format!("{column}@{:02}", 100 * part / parts) }
}

/// NaN of none.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

fn locations(features: &BTreeMap<String, Feature>) -> Movement {
    features.iter().map(|(name, feature)| (name.clone(), feature.location)).collect()
}

/// The mean of the sessions' locations, of the features that all of them have.
fn means(sessions: &[&BTreeMap<String, Feature>]) -> Movement {
    let of = |name: &String| -> Option<f64> {
        let all: Option<Vec<f64>> = sessions.iter().map(|session| session.get(name).map(|feature| feature.location)).collect();
        all.map(|all| mean(all.into_iter()))
    };
    sessions[0].keys().filter_map(|name| Some((name.clone(), of(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use proprio_core::At;
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
