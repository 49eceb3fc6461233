//! How active is each muscle, in percent of what it can do, or of what it does in a stride?
//!
//! Reads envelopes (`<muscle>_envelope_v` of `emg_envelope`; its `rms` form makes the reference the usual RMS) and gives per muscle
//! `<muscle>_percent`, the reference that is 100 % as `<muscle>_reference_v`, and `<muscle>_reference_quality`. `method` and `reference`
//! stand in every row, since two methods, or the references of two sessions, are never comparable:
//! - `maximum`: the highest moving RMS of the envelope over `over` (250 to 500 ms) in `contractions` maximal voluntary contractions. One
//!   begins at four times the least RMS seen, ends at 30 % of its peak, and counts when it reaches half of the highest;
//! - `dynamic_peak`: the mean over `strides` of a stride's highest envelope. Needs a stream of gait events (columns `event` and `side`) as
//!   a second input; a stride of the muscle's own foot with missing samples doesn't count.
//!
//! A reference from an earlier session is **given**, for all muscles, with `reference_id`: it is part of the pipeline that is recorded
//! and hashed. One that is **carried over** (`proprio session start --carry`) is that of the named session. Otherwise it is learned in
//! the session, once; until then `<muscle>_percent` is null and the quality is `learning`. It is `good` when the second-highest
//! contraction reaches 90 % of the highest, or the peaks of strides scatter by less than 30 %, and `variable` when not. Samples whose
//! `<muscle>_quality` is there and not `good` are never learned from. No delay, no filter: a gap in the envelope is one in the output.
//!
//! A reference holds for the **device** that it was learned on: when another takes its place, it is learned anew, and one that was given
//! is gone for the rest of the session (quality `other_device`).
//!
//! ```yaml
//! op: mvc
//! from: envelopes
//! with: { method: maximum, over: 250 ms, contractions: 2 }
//! input:
//!   envelopes:
//!     schema:
//!       rate: 20 Hz
//!       columns:
//!         - { name: soleus_left_envelope_v, unit: V, side: left }
//!     generate:
//!       duration: 6 s
//!       columns:
//!         soleus_left_envelope_v:
//!           - { steps: [[0 s, 4e-6], [1 s, 2e-4], [2 s, 4e-6], [3 s, 1.9e-4], [4 s, 4e-6], [5 s, 5e-5]] }
//! ```
//! ```csv
//! time_ns,soleus_left_percent,soleus_left_reference_v,soleus_left_reference_quality,method,reference
//! 0,,,learning,maximum,this session
//! 50000000,,,learning,maximum,this session
//! 100000000,,,learning,maximum,this session
//! 150000000,,,learning,maximum,this session
//! 200000000,,,learning,maximum,this session
//! 250000000,,,learning,maximum,this session
//! 300000000,,,learning,maximum,this session
//! 350000000,,,learning,maximum,this session
//! 400000000,,,learning,maximum,this session
//! …
//! 5800000000,25.0,0.0002,good,maximum,this session
//! 5850000000,25.0,0.0002,good,maximum,this session
//! 5900000000,25.0,0.0002,good,maximum,this session
//! 5950000000,25.0,0.0002,good,maximum,this session
//! # 120 rows, every bit hashed: b6414cc5ba6d50c3
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use proprio_core::kind::DEVICE;
use proprio_core::quantity::{Duration, Voltage};
use proprio_core::schema::{FieldExt, column, float, meta, text};
use proprio_core::{Carried, Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::contacts::{Contact, Strides, samples_and_contacts, side_of};
use crate::kernels::device::{device_column, swaps};
use crate::kernels::emg::{Channel, keep};
use crate::kernels::gait_event::{Contacts, Foot};
use crate::kernels::mvc_reference::{Contractions, Peaks, Quality, Reference};
use crate::kernels::names::suggest;

/// Where a reference is from that was learned here.
const HERE: &str = "this session";

/// Envelopes in percent of a maximum or of a dynamic peak.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What 100 % is.
    method: Method,
    /// Muscles to take, such as `soleus_left`; all of the stream's when left out.
    muscles: Vec<String>,
    /// References from an earlier session, a voltage a muscle; learned in this session when left out.
    reference: BTreeMap<String, Voltage>,
    /// Which session or recording the given references are from.
    reference_id: Option<String>,
    /// Length of the moving RMS of a contraction, 250 to 500 ms.
    over: Duration,
    /// Contractions that a maximum is learned from, 1 to 20.
    contractions: usize,
    /// Strides that a dynamic peak is learned from, 3 to 100.
    strides: usize,
    /// Longest time between two contacts that is a stride.
    max_stride: Duration,
}

/// What 100 % is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The highest of several maximal voluntary contractions.
    #[default]
    Maximum,
    /// The mean peak of several strides.
    DynamicPeak,
}

impl Method {
    const fn name(self) -> &'static str {
        match self {
            Self::Maximum => "maximum",
            Self::DynamicPeak => "dynamic_peak",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            method: Method::Maximum,
            muscles: Vec::new(),
            reference: BTreeMap::new(),
            reference_id: None,
            over: Duration::new(0.5),
            contractions: 3,
            strides: 8,
            max_stride: Duration::new(3.0),
        }
    }
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = Findings::new();
        let (input, contacts) = samples_and_contacts(ports, "read an `emg_envelope` step", &mut findings);
        let Some(input) = input else { return Err(findings) };
        let learns_strides = self.method == Method::DynamicPeak && self.reference.is_empty();
        if learns_strides && contacts.is_empty() {
            let message = "a dynamic peak is learned from strides, and there are no gait events among the inputs";
            findings.push(PlanFinding::step(message).help("read a step such as `force_events`, too, or give the references"));
        }
        self.check(&mut findings);
        let rate = ports[input].schema.rate;
        if rate.is_none() {
            findings.push(PlanFinding::input(input, format!("`{}` has no rate, and a moving window needs one", ports[input].stream)));
        }
        let channels = keep(&mut findings, self.channels(input, &ports[input]));
        let (Some(rate), Some(channels), true) = (rate, channels, findings.is_empty()) else { return Err(findings) };
        if let Some(channel) = channels.iter().find(|channel| learns_strides && side_of(&channel.muscle) == Foot::Unknown) {
            let message = format!("`{}` doesn't end in a side, and strides are a foot's", channel.muscle);
            findings.push(PlanFinding::config("/muscles", message).help("name it `<muscle>_left` or `<muscle>_right`"));
            return Err(findings);
        }
        let device = device_column(&ports[input]);
        let output = self.output(&channels, rate, device.is_some());
        let quality = |channel: &Channel| {
            let index = ports[input].schema.index(&format!("{}_quality", channel.muscle))?;
            (ports[input].schema.columns.field(index).data_type() == &DataType::Utf8).then_some(index)
        };
        let is_given = !self.reference.is_empty();
        let operator = Normalise {
            input,
            device,
            contacts: if learns_strides { contacts } else { Contacts::default() },
            muscles: channels
                .iter()
                .map(|channel| Muscle {
                    envelope: channel.index,
                    quality: quality(channel),
                    foot: side_of(&channel.muscle),
                    given: self.reference.get(&channel.muscle).map(|volts| volts.volts()),
                    reference: output.index(&format!("{}_reference_v", channel.muscle)).expect("its own column"),
                })
                .collect(),
            samples: ((self.over.seconds() * rate.hertz()).round() as usize).max(1),
            longest_ns: self.max_stride.nanoseconds(),
            config: self,
            output: output.clone(),
        };
        // Given references stand in the pipeline: there is nothing to carry over.
        let known: Vec<String> = channels.iter().map(|channel| format!("\"{}_reference_v\" IS NOT NULL", channel.muscle)).collect();
        let planned = Planned::new(operator, output);
        Ok(if is_given { planned } else { planned.carrying(known.join(" AND ")) })
    }
}

impl Config {
    fn check(&self, findings: &mut Findings) {
        if !(0.25..=0.5).contains(&self.over.seconds()) {
            findings.push(PlanFinding::config("/over", format!("a moving RMS over {} is not within 250 to 500 ms", self.over)));
        }
        if !(1..=20).contains(&self.contractions) {
            findings.push(PlanFinding::config("/contractions", "1 to 20 contractions make a reference"));
        }
        if !(3..=100).contains(&self.strides) {
            findings.push(PlanFinding::config("/strides", "3 to 100 strides make a reference"));
        }
        if !(0.3..=60.0).contains(&self.max_stride.seconds()) {
            findings.push(PlanFinding::config("/max_stride", "the longest stride must lie between 0.3 s and 60 s"));
        }
        if self.reference_id.is_some() == self.reference.is_empty() {
            let message = "`reference` and `reference_id` are given together: what is 100 %, and where that was measured";
            findings.push(PlanFinding::config("/reference_id", message));
        }
        for (muscle, volts) in self.reference.iter().filter(|(_, volts)| volts.volts() <= 0.0) {
            findings.push(PlanFinding::config(format!("/reference/{muscle}"), format!("{volts} is not above zero")));
        }
    }

    /// The envelopes to take, each with its reference where any is given.
    fn channels(&self, index: usize, port: &Port) -> Result<Vec<Channel>, Findings> {
        let fields = port.schema.columns.fields().iter().enumerate();
        let is_volts = |field: &arrow_schema::Field| field.data_type() == &DataType::Float64 && field.meta(meta::UNIT) == Some("V");
        let all: Vec<Channel> = fields
            .filter(|(_, field)| is_volts(field))
            .filter_map(|(index, field)| {
                let muscle = field.name().strip_suffix("_envelope_v")?.to_owned();
                Some(Channel { muscle, index, field: field.as_ref().clone() })
            })
            .collect();
        if all.is_empty() {
            let message = format!("`{}` has no Float64 column `<muscle>_envelope_v` with the unit V", port.stream);
            return Err(vec![PlanFinding::input(index, message).help("read an `emg_envelope` step")]);
        }
        let named = self.muscles.iter().enumerate().map(|(n, muscle)| (format!("/muscles/{n}"), muscle));
        let given = self.reference.keys().map(|muscle| (format!("/reference/{muscle}"), muscle));
        let unknown = named.chain(given).filter(|(_, muscle)| all.iter().all(|channel| channel.muscle != **muscle));
        let mut findings: Findings = unknown
            .map(|(pointer, muscle)| PlanFinding {
                help: suggest(muscle, all.iter().map(|channel| channel.muscle.as_str())),
                ..PlanFinding::config(pointer, format!("`{}` has no muscle `{muscle}`", port.stream))
            })
            .collect();
        let taken: Vec<Channel> =
            all.into_iter().filter(|channel| self.muscles.is_empty() || self.muscles.contains(&channel.muscle)).collect();
        for channel in taken.iter().filter(|channel| !self.reference.is_empty() && !self.reference.contains_key(&channel.muscle)) {
            let message = format!("`{}` has no reference: given and learned ones are not mixed", channel.muscle);
            findings.push(PlanFinding::config("/reference", message).help("give it one, or leave it out of `muscles`"));
        }
        if findings.is_empty() { Ok(taken) } else { Err(findings) }
    }

    fn output(&self, channels: &[Channel], rate: proprio_core::Rate, has_device: bool) -> StreamSchema {
        let columns = channels.iter().flat_map(|channel| {
            let name = |what: &str| format!("{}_{what}", channel.muscle);
            [
                channel.place(float(name("percent"), "%").with("method", self.method.name())),
                channel.place(float(name("reference_v"), "V")),
                channel.place(text(name("reference_quality"))),
            ]
        });
        let columns = columns.chain([text("method").required(), text("reference").required()]);
        let columns = columns.chain(has_device.then(|| column(DEVICE, DataType::Int64)));
        StreamSchema::new(columns.collect(), &[], Some(rate))
    }
}

struct Muscle {
    envelope: usize,
    quality: Option<usize>,
    foot: Foot,
    given: Option<f64>,
    /// Index of its reference in the output.
    reference: usize,
}

struct Normalise {
    input: usize,
    /// Index of the input's device.
    device: Option<usize>,
    /// Only where strides are learned from.
    contacts: Contacts,
    muscles: Vec<Muscle>,
    samples: usize,
    longest_ns: i64,
    config: Config,
    output: StreamSchema,
}

/// What the step remembers: what it has learned, or is learning from.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    strides: Strides,
    muscles: Vec<Learned>,
    /// Where the references are from, when not from this session.
    from: Option<String>,
    /// The newest device that is known: what was learned, or carried over, is of it.
    device: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Learned {
    Reference(Reference),
    Contractions(Contractions),
    Peaks(Peaks),
    /// It was given, and is of another device.
    Lost,
}

impl Operator for Normalise {
    type State = State;

    fn start(&self) -> State {
        let muscles = self.muscles.iter().map(|muscle| match (muscle.given, self.config.method) {
            (Some(volts), _) => Learned::Reference(Reference { volts, quality: Quality::Given }),
            (None, Method::Maximum) => Learned::Contractions(Contractions::default()),
            (None, Method::DynamicPeak) => Learned::Peaks(Peaks::default()),
        });
        State { strides: Strides::default(), muscles: muscles.collect(), from: self.config.reference_id.clone(), device: None }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let input = &inputs[self.input];
        let times = rows::times(input);
        let mut contacts = self.contacts.initial(inputs).into_iter().peekable();
        let count = times.len();
        let read = |muscle: &Muscle| (rows::floats(input, muscle.envelope), muscle.quality.map(|index| rows::strings(input, index)));
        let columns: Vec<(&Float64Array, Option<&StringArray>)> = self.muscles.iter().map(read).collect();
        let mut percents = vec![Vec::with_capacity(count); self.muscles.len()];
        let mut references = vec![Vec::with_capacity(count); self.muscles.len()];
        let mut qualities = vec![Vec::with_capacity(count); self.muscles.len()];
        let swaps = swaps(input, self.device, &mut state.device);
        let from = state.from.clone();
        let first_swap = swaps.iter().position(|is_swap| *is_swap).unwrap_or(count);
        for (row, time) in times.iter().enumerate() {
            while let Some((at, foot)) = contacts.next_if(|(at, _)| at <= time) {
                self.contact(state, at, foot);
            }
            if swaps[row] {
                self.forget(state);
            }
            for (n, learned) in state.muscles.iter_mut().enumerate() {
                let (envelope, quality) = columns[n];
                let envelope = rows::float_or_nan(envelope, row);
                let is_good = quality.is_none_or(|quality| quality.is_valid(row) && quality.value(row) == "good");
                let reference = self.learn(learned, if is_good { envelope } else { f64::NAN });
                percents[n].push(reference.map_or(f64::NAN, |reference| 100.0 * envelope / reference.volts));
                references[n].push(reference.map_or(f64::NAN, |reference| reference.volts));
                let none = if matches!(learned, Learned::Lost) { "other_device" } else { "learning" };
                qualities[n].push(Some(reference.map_or(none, |reference| reference.quality.name())));
            }
        }
        contacts.for_each(|(at, foot)| self.contact(state, at, foot));
        let mut output: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(times.to_vec()))];
        for ((percents, references), qualities) in percents.into_iter().zip(references).zip(qualities) {
            output.extend([rows::nan_as_null(percents), rows::nan_as_null(references)]);
            output.push(Arc::new(StringArray::from(qualities)));
        }
        output.push(Arc::new(StringArray::from(vec![self.config.method.name(); count])));
        let from = |row| from.as_deref().filter(|_| row < first_swap).unwrap_or(HERE);
        output.push(Arc::new((0..count).map(|row| Some(from(row))).collect::<StringArray>()));
        output.extend(self.device.map(|device| input.column(device).clone()));
        out.push(rows::batch(&self.output, output));
        watermark
    }

    /// References of another method are not comparable, and stay where they are.
    fn carry(&self, state: &mut State, carried: &Carried) {
        let rows = carried.batch(&self.output).expect("the worker gives what fits");
        let index = |name: &str| self.output.index(name).expect("its own column");
        if rows.num_rows() == 0 || rows::strings(&rows, index("method")).value(0) != self.config.method.name() {
            return;
        }
        for (muscle, learned) in self.muscles.iter().zip(&mut state.muscles) {
            let volts = rows::float_or_nan(rows::floats(&rows, muscle.reference), 0);
            *learned = Learned::Reference(Reference { volts, quality: Quality::Given });
        }
        state.from = Some(format!("session {}", carried.session));
        state.device = self.output.index(DEVICE).and_then(|device| rows::integer_or_none(rows::integers(&rows, device), 0));
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl Normalise {
    /// Another device amplifies otherwise: what was learned on the one before holds no longer.
    fn forget(&self, state: &mut State) {
        let fresh = self.start();
        let lost = |learned| if matches!(learned, Learned::Reference(_)) { Learned::Lost } else { learned };
        *state = State { muscles: fresh.muscles.into_iter().map(lost).collect(), from: None, device: state.device, ..fresh };
    }

    /// Takes a sample, NaN where it is none to learn from; the reference once it is there.
    fn learn(&self, learned: &mut Learned, envelope: f64) -> Option<Reference> {
        match learned {
            Learned::Reference(reference) => return Some(*reference),
            Learned::Lost => {}
            Learned::Peaks(peaks) => peaks.push(envelope),
            Learned::Contractions(contractions) => {
                if let Some(reference) = contractions.push(envelope, self.samples, self.config.contractions) {
                    *learned = Learned::Reference(reference);
                    return Some(reference);
                }
            }
        }
        None
    }

    fn contact(&self, state: &mut State, time: TimeNs, foot: Foot) {
        let contact = state.strides.take(time, foot, self.longest_ns);
        if contact == Contact::Repeated {
            return;
        }
        for (_, learned) in self.muscles.iter().zip(&mut state.muscles).filter(|(muscle, _)| muscle.foot == foot) {
            if let Learned::Peaks(peaks) = learned
                && let Some(reference) = peaks.end(matches!(contact, Contact::Ends(_)), self.config.strides)
            {
                *learned = Learned::Reference(reference);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proprio_core::{At, Rate};
    use serde_json::{Value, json};

    use super::*;
    use crate::kernels::testing::{numbers, texts};

    fn envelopes(muscles: &[&str]) -> Port {
        let fields = muscles.iter().map(|muscle| float(format!("{muscle}_envelope_v"), "V"));
        Port { stream: "envelopes".into(), schema: StreamSchema::new(fields.collect(), &[], Some(Rate::hz(100))) }
    }

    fn events() -> Port {
        let schema = StreamSchema::new(vec![text("event").required(), text("side").required()], &["event", "side"], None);
        Port { stream: "contacts".into(), schema }
    }

    fn plan(config: Value, ports: &[Port]) -> Result<Planned, Findings> {
        (crate::operator("mvc").expect("the operator is registered").plan)(config, ports)
    }

    #[test]
    fn a_dynamic_peak_is_the_mean_of_strides() {
        let (envelopes, events) = (envelopes(&["soleus_left"]), events());
        let times: Int64Array = (0..600).map(|k| k * 10_000_000).collect();
        let peaks: Float64Array = (0..600).map(|k| if k % 100 == 50 { 100e-6 + 10e-6 * f64::from(k / 100) } else { 5e-6 }).collect();
        let samples = rows::batch(&envelopes.schema, vec![Arc::new(times), Arc::new(peaks)]);
        let contacts: Vec<ArrayRef> = vec![
            Arc::new((0..6).map(|k| k * 1_000_000_000).collect::<Int64Array>()),
            Arc::new(StringArray::from(vec!["initial_contact"; 6])),
            Arc::new(StringArray::from(vec!["left"; 6])),
        ];
        let contacts = rows::batch(&events.schema, contacts);
        let planned = plan(json!({ "method": "dynamic_peak", "strides": 3 }), &[envelopes, events]).expect("a plan");
        let mut state = planned.step.start();
        let mut out = Output::default();
        planned.step.process(&mut state, &[samples, contacts], TimeNs::MAX, &mut out);
        let found = &out.take()[0];
        assert_eq!(numbers(found, "soleus_left_percent").iter().position(|value| value.is_some()), Some(300));
        assert!((numbers(found, "soleus_left_reference_v").value(300) - 110e-6).abs() < 1e-12);
        assert_eq!(
            (texts(found, "soleus_left_reference_quality")[300].as_str(), texts(found, "method")[0].as_str()),
            ("good", "dynamic_peak")
        );
    }

    /// Two contractions of `volts` each, two seconds apart, measured by a device.
    fn contractions(port: &Port, first: i64, volts: f64, device: i64) -> RecordBatch {
        let times: Int64Array = (first..first + 400).map(|k| k * 10_000_000).collect();
        let envelope: Float64Array = (0..400).map(|k| if k % 200 < 100 { 4e-6 } else { volts }).collect();
        rows::batch(&port.schema, vec![Arc::new(times), Arc::new(envelope), Arc::new(Int64Array::from(vec![device; 400]))])
    }

    #[test]
    fn a_reference_holds_for_its_device() {
        let fields = vec![float("soleus_left_envelope_v", "V"), column(DEVICE, DataType::Int64)];
        let port = Port { stream: "envelopes".into(), schema: StreamSchema::new(fields, &[], Some(Rate::hz(100))) };
        let learning = || plan(json!({ "over": "250 ms", "contractions": 2 }), std::slice::from_ref(&port)).expect("a plan");
        let run = |planned: &Planned, state: &mut _, batches: &[RecordBatch]| {
            let mut out = Output::default();
            for batch in batches {
                planned.step.process(state, std::slice::from_ref(batch), *rows::times(batch).last().expect("rows"), &mut out);
            }
            arrow_select::concat::concat_batches(&planned.output.columns, &out.take()).expect("one schema")
        };
        let rest = contractions(&port, 400, 5e-6, 7);
        let batches =
            [contractions(&port, 0, 200e-6, 7), rest.clone(), contractions(&port, 800, 100e-6, 8), contractions(&port, 1200, 5e-6, 8)];
        let planned = learning();
        let found = run(&planned, &mut planned.step.start(), &batches);
        let (references, qualities) = (numbers(&found, "soleus_left_reference_v"), texts(&found, "soleus_left_reference_quality"));
        assert!((references.value(799) - 200e-6).abs() < 1e-9 && (references.value(1599) - 100e-6).abs() < 1e-9);
        assert_eq!((references.is_null(800), qualities[800].as_str()), (true, "learning"));

        let newest = Carried::of("mvc", "s-1", &planned.output, &found.slice(799, 1)).expect("texts");
        for (device, is_kept, from) in [(7, true, "session s-1"), (8, false, "this session")] {
            let (planned, rest) = (learning(), contractions(&port, 0, 5e-6, device));
            let mut state = planned.step.start();
            planned.step.carry(&mut state, &newest);
            let found = run(&planned, &mut state, &[rest]);
            let reference = numbers(&found, "soleus_left_reference_v").iter().next().flatten();
            assert_eq!(reference, is_kept.then(|| references.value(799)), "device {device}");
            assert_eq!(texts(&found, "reference")[0], from);
        }

        let given = json!({ "reference": { "soleus_left": "200 uV" }, "reference_id": "yesterday" });
        let planned = plan(given, std::slice::from_ref(&port)).expect("a plan");
        let found = run(&planned, &mut planned.step.start(), &batches);
        assert_eq!(texts(&found, "soleus_left_reference_quality")[799..801], ["given", "other_device"]);
        assert!(numbers(&found, "soleus_left_percent").iter().skip(800).all(|percent| percent.is_none()));
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_pointer() {
        let port = [envelopes(&["soleus_left", "vastus"])];
        for (config, pointer) in [
            (json!({ "over": "100 ms" }), "/over"),
            (json!({ "contractions": 0 }), "/contractions"),
            (json!({ "strides": 1 }), "/strides"),
            (json!({ "muscles": ["soleus"] }), "/muscles/0"),
            (json!({ "reference": { "soleus_left": "120 uV", "vastus": "90 uV" } }), "/reference_id"),
            (json!({ "reference_id": "a" }), "/reference_id"),
            (json!({ "reference": { "soleus_left": "120 uV" }, "reference_id": "a" }), "/reference"),
            (json!({ "reference": { "soleus_left": "0 uV", "vastus": "1 uV" }, "reference_id": "a" }), "/reference/soleus_left"),
            (json!({ "reference": { "soleus_lft": "1 uV" }, "muscles": ["vastus"], "reference_id": "a" }), "/reference/soleus_lft"),
        ] {
            let findings = plan(config.clone(), &port).expect_err(&config.to_string());
            assert_eq!(findings[0].at, At::Config(pointer.into()), "{config}: {findings:?}");
        }
        assert_eq!(plan(json!({ "method": "dynamic_peak" }), &port).expect_err("no strides")[0].at, At::Step);
        let both = [port[0].clone(), events()];
        assert_eq!(plan(json!({ "method": "dynamic_peak" }), &both).expect_err("no side")[0].at, At::Config("/muscles".into()));
    }
}
