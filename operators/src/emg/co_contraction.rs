//! How much do two opposing muscles work against each other?
//!
//! Reads normalised envelopes (`<muscle>_percent` of an `mvc` step) or raw ones (`<muscle>_envelope_v` of `emg_envelope`) and gives, per
//! declared pair and per `window` of event time, two indices:
//! - Rudolph et al. (2000): the mean of L/H · (L + H), L being the lower and H the higher of the two: large when both are active, and
//!   alike. In the envelopes' unit, so only normalised ones compare between muscles and people: `rudolph_percent` or `rudolph_v`;
//! - Falconer and Winter (1985): 2 · ∫min(a, b) / (∫a + ∫b) · 100 %: how much of the activity is common.
//!
//! Where a stream of gait events (columns `event` and `side`) is a second input, a row covers a stride instead, from an initial
//! contact to the next one of the same foot: the foot that the first muscle's name ends in. A row comes at the end of its window or
//! stride; `start_ns` is its beginning. A window of which more than `missing` is null, or without a sample, has no indices but a `reason`.
//!
//! ```yaml
//! op: co_contraction
//! from: envelopes
//! with: { pairs: [[vastus_left, biceps_left]], window: 1 s }
//! input:
//!   envelopes:
//!     schema:
//!       rate: 10 Hz
//!       columns:
//!         - { name: vastus_left_percent, unit: "%" }
//!         - { name: biceps_left_percent, unit: "%" }
//!     generate:
//!       duration: 3.5 s
//!       columns:
//!         vastus_left_percent: [{ constant: 20 }]
//!         biceps_left_percent:
//!           - { steps: [[0 s, 20], [1 s, 10], [2 s, 0]] }
//!           - { missing: { from: 2.5 s, to: 3 s } }
//! ```
//! ```csv
//! time_ns,pair,start_ns,rudolph_percent,falconer_winter_percent,reason
//! 1000000000,vastus_left/biceps_left,0,40.0,100.0,
//! 2000000000,vastus_left/biceps_left,1000000000,15.0,66.6667,
//! 3000000000,vastus_left/biceps_left,2000000000,,,too many samples are missing
//! 4000000000,vastus_left/biceps_left,3000000000,0.0,0.0,
//! # 4 rows, every bit hashed: 5fd4807698123ed7
//! ```

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use proprio_core::quantity::{Duration, Share};
use proprio_core::schema::{FieldExt, column, float, meta, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::contacts::{Contact, Strides, samples_and_contacts, side_of};
use crate::kernels::gait_event::{Contacts, Foot};
use crate::kernels::names::suggest;

/// Co-contraction of pairs of muscles, by windows or by strides.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Pairs of muscles, such as `[vastus_lateralis_left, biceps_femoris_left]`.
    pairs: Vec<[String; 2]>,
    /// Length of a window, 100 ms to 60 s, when there are no gait events; windows begin at multiples of it.
    #[serde(default = "window")]
    window: Duration,
    /// Longest time between two contacts that is a stride.
    #[serde(default = "max_stride")]
    max_stride: Duration,
    /// Share of the samples that may be null.
    #[serde(default = "missing")]
    missing: Share,
}

fn window() -> Duration {
    Duration::new(1.0)
}

fn max_stride() -> Duration {
    Duration::new(3.0)
}

fn missing() -> Share {
    Share::new(10.0)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let (input, contacts) = samples_and_contacts(ports, "read an `mvc` or an `emg_envelope` step", &mut findings);
        let Some(input) = input else { return Err(findings) };
        self.check(&mut findings);
        let (kind, pairs) = self.columns(input, &ports[input], !contacts.is_empty(), &mut findings);
        if !findings.is_empty() {
            return Err(findings);
        }
        let (suffix, unit) = (kind.name, kind.unit);
        let fields = vec![
            text("pair").required(),
            column("start_ns", DataType::Int64).unit("ns").required(),
            float(format!("rudolph_{suffix}"), unit),
            float("falconer_winter_percent", "%"),
            text("reason"),
        ];
        let output = StreamSchema::new(fields, &["pair"], None);
        let operator = CoContraction {
            input,
            contacts,
            pairs,
            window_ns: self.window.nanoseconds(),
            longest_ns: self.max_stride.nanoseconds(),
            missing: self.missing.percent() / 100.0,
            output: output.clone(),
        };
        Ok(Planned::new(operator, output))
    }
}

/// What the envelopes are in.
#[derive(Clone, Copy)]
struct Kind {
    suffix: &'static str,
    name: &'static str,
    unit: &'static str,
}

const KINDS: [Kind; 2] = [Kind { suffix: "_percent", name: "percent", unit: "%" }, Kind { suffix: "_envelope_v", name: "v", unit: "V" }];

impl Config {
    fn check(&self, findings: &mut Findings) {
        if self.pairs.is_empty() {
            findings.push(PlanFinding::config("/pairs", "no pair of muscles").help("write `pairs: [[vastus_left, biceps_left]]`"));
        }
        if !(0.1..=60.0).contains(&self.window.seconds()) {
            findings.push(PlanFinding::config("/window", format!("a window of {} is not within 100 ms to 60 s", self.window)));
        }
        if !(0.3..=60.0).contains(&self.max_stride.seconds()) {
            findings.push(PlanFinding::config("/max_stride", "the longest stride must lie between 0.3 s and 60 s"));
        }
        if !(0.0..=100.0).contains(&self.missing.percent()) {
            findings.push(PlanFinding::config("/missing", "a share lies within 0 to 100 %"));
        }
    }

    /// The pairs, in the order of their names; all in the unit that the stream has, normalised before raw.
    fn columns(&self, index: usize, port: &Port, by_strides: bool, findings: &mut Findings) -> (Kind, Vec<Pair>) {
        let fields = port.schema.columns.fields();
        let of = |kind: &Kind| {
            let is_kind = |field: &Arc<arrow_schema::Field>| {
                field.data_type() == &DataType::Float64 && field.name().ends_with(kind.suffix) && field.meta(meta::UNIT) == Some(kind.unit)
            };
            fields.iter().filter(|field| is_kind(field)).filter_map(|field| field.name().strip_suffix(kind.suffix)).collect::<Vec<_>>()
        };
        let Some((kind, muscles)) = KINDS.iter().map(|kind| (*kind, of(kind))).find(|(_, muscles)| !muscles.is_empty()) else {
            let message = format!("`{}` has no column `<muscle>_percent` in % and none `<muscle>_envelope_v` in V", port.stream);
            findings.push(PlanFinding::input(index, message));
            return (KINDS[0], Vec::new());
        };
        let mut pairs = Vec::new();
        for (n, names) in self.pairs.iter().enumerate() {
            for (m, muscle) in names.iter().enumerate().filter(|(_, muscle)| !muscles.contains(&muscle.as_str())) {
                let mut finding = PlanFinding::config(format!("/pairs/{n}/{m}"), format!("`{}` has no muscle `{muscle}`", port.stream));
                finding.help = suggest(muscle, muscles.iter().copied());
                findings.push(finding);
            }
            if names[0] == names[1] {
                findings.push(PlanFinding::config(format!("/pairs/{n}"), "a muscle doesn't work against itself"));
            }
            let foot = side_of(&names[0]);
            if by_strides && foot == Foot::Unknown {
                let message = format!("`{}` doesn't end in a side, and strides are a foot's", names[0]);
                findings.push(PlanFinding::config(format!("/pairs/{n}/0"), message).help("name it `<muscle>_left` or `<muscle>_right`"));
            }
            let columns = [0, 1].map(|m| port.schema.index(&format!("{}{}", names[m], kind.suffix)).unwrap_or_default());
            pairs.push(Pair { name: format!("{}/{}", names[0], names[1]), columns, foot });
        }
        pairs.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(twice) = pairs.windows(2).find(|two| two[0].name == two[1].name) {
            findings.push(PlanFinding::config("/pairs", format!("`{}` stands twice", twice[0].name)));
        }
        (kind, pairs)
    }
}

struct Pair {
    name: String,
    columns: [usize; 2],
    foot: Foot,
}

struct CoContraction {
    input: usize,
    contacts: Contacts,
    /// By name, which is the order of rows at one instant.
    pairs: Vec<Pair>,
    window_ns: i64,
    longest_ns: i64,
    missing: f64,
    output: StreamSchema,
}

/// What the step remembers: the sums of every open window.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    strides: Strides,
    /// End of the open window.
    end: Option<TimeNs>,
    sums: Vec<Sums>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sums {
    rudolph: f64,
    common: f64,
    all: f64,
    samples: u64,
    missing: u64,
}

struct Row {
    time: TimeNs,
    pair: usize,
    start: TimeNs,
    sums: Sums,
}

impl Operator for CoContraction {
    type State = State;

    fn start(&self) -> State {
        State { sums: vec![Sums::default(); self.pairs.len()], ..State::default() }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let mut found = Vec::new();
        let mut contacts = self.contacts.initial(inputs).into_iter().peekable();
        let envelopes = &inputs[self.input];
        let columns: Vec<[&Float64Array; 2]> =
            self.pairs.iter().map(|pair| pair.columns.map(|column| rows::floats(envelopes, column))).collect();
        for (row, time) in rows::times(envelopes).iter().enumerate() {
            while let Some((at, foot)) = contacts.next_if(|(at, _)| at <= time) {
                self.contact(state, at, foot, &mut found);
            }
            if self.contacts.is_empty() {
                self.open(state, *time, &mut found);
            }
            for (sums, [a, b]) in state.sums.iter_mut().zip(&columns) {
                sums.add(rows::float_or_nan(a, row), rows::float_or_nan(b, row));
            }
        }
        contacts.for_each(|(at, foot)| self.contact(state, at, foot, &mut found));
        if state.end.is_some_and(|end| watermark >= end) {
            self.close(state, &mut found);
        }
        found.sort_by_key(|row| (row.time, row.pair));
        out.push(self.rows(&found));
        watermark
    }

    fn flush(&self, state: &mut State, out: &mut Output) {
        let mut found = Vec::new();
        self.close(state, &mut found);
        out.push(self.rows(&found));
    }
}

impl CoContraction {
    fn contact(&self, state: &mut State, time: TimeNs, foot: Foot, found: &mut Vec<Row>) {
        let contact = state.strides.take(time, foot, self.longest_ns);
        if contact == Contact::Repeated {
            return;
        }
        for (pair, sums) in state.sums.iter_mut().enumerate().filter(|(pair, _)| self.pairs[*pair].foot == foot) {
            let sums = std::mem::take(sums);
            if let Contact::Ends(start) = contact {
                found.push(Row { time, pair, start, sums });
            }
        }
    }

    /// The window that holds an instant is the open one from here on.
    fn open(&self, state: &mut State, time: TimeNs, found: &mut Vec<Row>) {
        if state.end.is_some_and(|end| time >= end) {
            self.close(state, found);
        }
        state.end.get_or_insert(time.div_euclid(self.window_ns).saturating_add(1).saturating_mul(self.window_ns));
    }

    fn close(&self, state: &mut State, found: &mut Vec<Row>) {
        let Some(end) = state.end.take() else { return };
        let start = end.saturating_sub(self.window_ns);
        found.extend(state.sums.iter_mut().enumerate().map(|(pair, sums)| Row { time: end, pair, start, sums: std::mem::take(sums) }));
    }

    fn rows(&self, found: &[Row]) -> RecordBatch {
        let reason = |sums: &Sums| {
            if sums.samples == 0 {
                Some("no samples")
            } else if sums.missing as f64 > self.missing * (sums.samples + sums.missing) as f64 {
                Some("too many samples are missing")
            } else if sums.all <= 0.0 {
                Some("neither muscle is active")
            } else {
                None
            }
        };
        let index = |row: &Row, of: fn(&Sums) -> f64| reason(&row.sums).is_none().then(|| of(&row.sums));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(found.iter().map(|row| row.time).collect::<Int64Array>()),
            Arc::new(found.iter().map(|row| Some(self.pairs[row.pair].name.as_str())).collect::<StringArray>()),
            Arc::new(found.iter().map(|row| row.start).collect::<Int64Array>()),
            Arc::new(found.iter().map(|row| index(row, |sums| sums.rudolph / sums.samples as f64)).collect::<Float64Array>()),
            Arc::new(found.iter().map(|row| index(row, |sums| 200.0 * sums.common / sums.all)).collect::<Float64Array>()),
            Arc::new(found.iter().map(|row| reason(&row.sums)).collect::<StringArray>()),
        ];
        rows::batch(&self.output, columns)
    }
}

impl Sums {
    /// Takes a sample of both muscles; an envelope is never negative.
    fn add(&mut self, a: f64, b: f64) {
        if !(a.is_finite() && b.is_finite()) {
            self.missing += 1;
            return;
        }
        let (a, b) = (a.max(0.0), b.max(0.0));
        let (low, high) = if a < b { (a, b) } else { (b, a) };
        self.samples += 1;
        self.rudolph += if high > 0.0 { low / high * (low + high) } else { 0.0 };
        self.common += low;
        self.all += a + b;
    }
}

#[cfg(test)]
mod tests {
    use proprio_core::{At, Rate};
    use serde_json::{Value, json};

    use super::*;
    use crate::kernels::testing::numbers;

    fn envelopes() -> Port {
        let fields = ["vastus_left", "biceps_left", "vastus"].map(|muscle| float(format!("{muscle}_percent"), "%"));
        Port { stream: "mvc".into(), schema: StreamSchema::new(fields.to_vec(), &[], Some(Rate::hz(100))) }
    }

    fn events() -> Port {
        let schema = StreamSchema::new(vec![text("event").required(), text("side").required()], &["event", "side"], None);
        Port { stream: "contacts".into(), schema }
    }

    fn plan(config: Value, ports: &[Port]) -> Result<Planned, Findings> {
        (crate::operator("co_contraction").expect("the operator is registered").plan)(config, ports)
    }

    #[test]
    fn a_row_covers_a_stride() {
        let (envelopes, events) = (envelopes(), events());
        let times: Int64Array = (0..300).map(|k| k * 10_000_000).collect();
        let constant = |value: f64| Arc::new(Float64Array::from(vec![value; 300])) as ArrayRef;
        let biceps: Float64Array = (0..300).map(|k| if k < 120 { 10.0 } else { 30.0 }).collect();
        let samples = rows::batch(&envelopes.schema, vec![Arc::new(times), constant(20.0), Arc::new(biceps), constant(1.0)]);
        let contacts = rows::batch(
            &events.schema,
            vec![
                Arc::new(Int64Array::from(vec![200_000_000, 700_000_000, 1_200_000_000, 2_200_000_000])),
                Arc::new(StringArray::from(vec!["initial_contact"; 4])),
                Arc::new(StringArray::from(vec!["left", "right", "left", "left"])),
            ],
        );
        let planned = plan(json!({ "pairs": [["vastus_left", "biceps_left"]] }), &[envelopes, events]).expect("a plan");
        let mut state = planned.step.start();
        let mut out = Output::default();
        planned.step.process(&mut state, &[samples, contacts], TimeNs::MAX, &mut out);
        let found = &out.take()[0];
        assert_eq!(rows::times(found), [1_200_000_000, 2_200_000_000]);
        let close = |name: &str, due: [f64; 2]| {
            let column = numbers(found, name);
            assert!(due.iter().enumerate().all(|(row, due)| (column.value(row) - due).abs() < 1e-9), "{name}: {column:?}");
        };
        close("rudolph_percent", [0.5 * 30.0, 2.0 / 3.0 * 50.0]);
        close("falconer_winter_percent", [200.0 * 10.0 / 30.0, 200.0 * 20.0 / 50.0]);
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_pointer() {
        let both = [envelopes(), events()];
        for (config, ports, at) in [
            (json!({ "pairs": [] }), &both[..1], "/pairs"),
            (json!({ "pairs": [["vastus_left", "bicps_left"]] }), &both[..1], "/pairs/0/1"),
            (json!({ "pairs": [["vastus", "biceps_left"]] }), &both[..], "/pairs/0/0"),
            (json!({ "pairs": [["vastus", "vastus"]] }), &both[..1], "/pairs/0"),
            (json!({ "pairs": [["vastus", "biceps_left"]], "window": "1 ms" }), &both[..1], "/window"),
            (json!({ "pairs": [["vastus", "biceps_left"]], "missing": "200 %" }), &both[..1], "/missing"),
        ] {
            let findings = plan(config.clone(), ports).expect_err(&config.to_string());
            assert_eq!(findings[0].at, At::Config(at.into()), "{config}: {findings:?}");
        }
        let pairs = json!({ "pairs": [["vastus_left", "biceps_left"]] });
        assert_eq!(plan(pairs, &both[1..]).expect_err("no envelopes")[0].at, At::Step);
    }
}
