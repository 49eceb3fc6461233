//! What does a movement resemble? An ONNX model over a window of a stream, with the probability of each class.
//!
//! The model is a file beside the pipeline; its bytes are recorded with every session that ran by it, and are part of its run. It has one
//! input, 32-bit floats of the shape `[1, rows, columns]`, and one output, `[1, classes]`: scores, of which the softmax makes
//! probabilities. `columns` names what goes in and `classes` what comes out, in the model's order; both are checked against the file when the
//! pipeline is planned. Scaling belongs in the model.
//!
//! **The window.** Of a stream of movements, such as `phase_profile` (rows of one time and `side`), it is every movement, of whose rows each
//! `every`-th is taken: of 101 points every fifth makes 21. Of a stream with a rate it is the newest rows, each time another `every` have come.
//!
//! `class` is the likeliest, `probability` its probability; below `sure` it is `unsure`. `p_<class>` has each. Where a value is missing, `class` is
//! null and `reason` says `missing values`; `wrong length` where a movement has other rows than the model. The model knows nothing but its
//! classes: a movement that is none of them still resembles one. It reports resemblance, and diagnoses nothing. No delay.
//!
//! The same bytes on every processor: the operations run as plain loops. There are those of dense layers (Add, Div, Flatten, Gemm, Identity,
//! MatMul, Mul, Relu, Reshape, Sigmoid, Sub, Tanh); a model with another is refused by name.
//!
//! ```yaml
//! op: model
//! from: strides
//! with: { model: "CAg6wgEKEgoBeAoBcxIBZiIHUmVzaGFwZQoSCgFmCgF3CgFiEgFoIgRHZW1tCgwKAWgSAXkiBFJlbHUSAWcqGQgCEAdCAXNKEAEAAAAAAAAABAAAAAAAAAAqKwgECAIQAUIBd0ogAACAvwAAgD8AAAC/AAAAPwAAgL4AAIA+AAAAAAAAAAAqEQgCEAFCAWJKCM3MzD3NzMw9WhcKAXgSEgoQCAESDAoCCAEKAggCCgIIAmITCgF5Eg4KDAgBEggKAggBCgIIAkIECgAQEQ==", columns: [a_deg, b_deg], classes: [low, high], every: 2 }
//! input:
//!   strides:
//!     schema:
//!       keys: [side, phase_percent]
//!       columns:
//!         - { name: side, type: text, required: true }
//!         - { name: phase_percent, type: integer, unit: "%", required: true }
//!         - { name: a_deg, unit: deg }
//!         - { name: b_deg, unit: deg }
//!     rows: |
//!       time_ms,side,phase_percent,a_deg,b_deg
//!       1000,left,0,1,2
//!       1000,left,50,9,9
//!       1000,left,100,1,0
//!       1500,right,0,-1,-2
//!       1500,right,50,0,0
//!       1500,right,100,-1,0
//!       2000,left,0,1,
//!       2000,left,50,0,0
//!       2000,left,100,1,0
//!       3000,left,0,0.1,0
//!       3000,left,50,0,0
//!       3000,left,100,0,0
//!       4000,left,0,0.1,0
//! ```
//! ```csv
//! time_ns,side,class,probability,p_low,p_high,reason
//! 1000000000,left,high,0.912934,0.0870658,0.912934,
//! 1500000000,right,low,0.912934,0.912934,0.0870658,
//! 2000000000,left,,,,,missing values
//! 3000000000,left,high,0.549834,0.450166,0.549834,
//! 4000000000,left,,,,,wrong length
//! # 5 rows, every bit hashed: 6f3d390472c0bf8b
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use base64::Engine as _;
use proprio_core::quantity::Share;
use proprio_core::schema::{FieldExt, float, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::names::suggest;
use crate::kernels::onnx::{MOST_CLASSES, Network};

/// What is said where no class is likely enough.
const UNSURE: &str = "unsure";
/// Sides that a movement may have, `left`, `right` and none.
const MAX_SIDES: usize = 3;

/// A model over windows of a stream.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file, `<name>.onnx`.
    #[schemars(extend("x-file" = "onnx"))]
    model: String,
    /// The stream's columns that go in, in the model's order.
    columns: Vec<String>,
    /// What comes out, in the model's order; letters, digits and `_`.
    classes: Vec<String>,
    /// Of a movement, which of its rows are taken: each so-manyth; of a stream with a rate, after how many rows there is another answer. 1 to 1000000.
    #[serde(default = "one")]
    every: usize,
    /// The probability that a class needs to be told.
    #[serde(default = "sure")]
    sure: Share,
}

fn one() -> usize {
    1
}

fn sure() -> Share {
    Share::new(50.0)
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = self.check();
        let schema = &ports[0].schema;
        let side = schema.index("side").filter(|index| *schema.columns.field(*index).data_type() == DataType::Utf8);
        let is_movement = schema.keys.iter().any(|key| key == "phase_percent");
        if !is_movement && (schema.rate.is_none() || !schema.keys.is_empty()) {
            let message = format!("`{}` has neither movements nor a rate, so there are no windows", ports[0].stream);
            findings.push(PlanFinding::input(0, message).help("read a `phase_profile` or an `align` step"));
        }
        let columns = self.indices(&ports[0], &mut findings);
        let network = match read(&self.model) {
            Ok(network) => Some(network),
            Err(message) => {
                findings.push(PlanFinding::config("/model", message));
                None
            }
        };
        if let Some(network) = &network {
            if network.columns != self.columns.len() {
                let message = format!("the model reads {} columns, and {} are named", network.columns, self.columns.len());
                findings.push(PlanFinding::config("/columns", message));
            }
            if network.classes != self.classes.len() {
                let message = format!("the model gives {} numbers, and {} classes are named", network.classes, self.classes.len());
                findings.push(PlanFinding::config("/classes", message));
            }
        }
        let (Some(network), true) = (network, findings.is_empty()) else { return Err(findings) };
        let output = output(&self.classes, side.is_some() && is_movement);
        let step = Model { network, side: side.filter(|_| is_movement), is_movement, columns, config: self, output: output.clone() };
        Ok(Planned::new(step, output))
    }
}

impl Config {
    fn check(&self) -> Findings {
        let mut findings = Findings::new();
        let mut refuse = |is_wrong: bool, at: &str, message: &str| {
            if is_wrong {
                findings.push(PlanFinding::config(at, message));
            }
        };
        for (n, class) in self.classes.iter().enumerate() {
            let is_name = !class.is_empty() && class.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            refuse(!is_name || class == UNSURE, &format!("/classes/{n}"), "a class is of letters, digits and `_`, and not `unsure`");
            refuse(self.classes[..n].contains(class), &format!("/classes/{n}"), "this class is named twice");
        }
        refuse(!(2..=MOST_CLASSES).contains(&self.classes.len()), "/classes", "there are 2 to 64 classes");
        refuse(!(1..=1_000_000).contains(&self.every), "/every", "a number of rows from 1 to 1000000 is due");
        refuse(!(0.0..=100.0).contains(&self.sure.percent()), "/sure", "a probability is from 0 % to 100 %");
        findings
    }

    fn indices(&self, port: &Port, findings: &mut Findings) -> Vec<usize> {
        let fields = port.schema.columns.fields();
        let is_measured = |index: usize| *fields[index].data_type() == DataType::Float64;
        let mut indices = Vec::new();
        for (n, name) in self.columns.iter().enumerate() {
            match port.schema.index(name).filter(|index| is_measured(*index)) {
                Some(index) => indices.push(index),
                None => {
                    let known: Vec<&str> =
                        (0..fields.len()).filter(|index| is_measured(*index)).map(|index| fields[index].name().as_str()).collect();
                    let finding =
                        PlanFinding::config(format!("/columns/{n}"), format!("`{}` has no measured column `{name}`", port.stream));
                    findings.push(PlanFinding { help: suggest(name, known), ..finding });
                }
            }
        }
        indices
    }
}

/// The model behind the text that stands for the file's bytes.
fn read(text: &str) -> Result<Network, String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| "this is no file of a model".to_owned())?;
    Network::read(&bytes)
}

fn output(classes: &[String], has_side: bool) -> StreamSchema {
    let mut fields = if has_side { vec![text("side").required()] } else { Vec::new() };
    fields.extend([text("class"), float("probability", "1")]);
    fields.extend(classes.iter().map(|class| float(format!("p_{class}"), "1")));
    fields.push(text("reason"));
    StreamSchema::new(fields, if has_side { &["side"] } else { &[] }, None)
}

struct Model {
    network: Network,
    side: Option<usize>,
    is_movement: bool,
    columns: Vec<usize>,
    config: Config,
    output: StreamSchema,
}

/// What is remembered of a stream with a rate.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The newest rows, one after the other.
    window: Vec<f64>,
    /// Rows since the last answer.
    since: usize,
}

/// An answer, or why there is none.
struct Answer {
    time: TimeNs,
    side: String,
    probabilities: Result<Vec<f64>, &'static str>,
}

impl Operator for Model {
    type State = State;

    fn start(&self) -> State {
        State::default()
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let batch = &inputs[0];
        let answers = if self.is_movement { self.movements(batch) } else { self.windows(state, batch) };
        out.push(self.batch(&answers));
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl Model {
    /// An answer a movement: all rows of a time and side.
    fn movements(&self, batch: &RecordBatch) -> Vec<Answer> {
        let sides = self.side.map(|index| rows::strings(batch, index));
        let side = |row: usize| sides.filter(|sides| sides.is_valid(row)).map_or("", |sides| sides.value(row));
        let times = rows::times(batch);
        let (mut answers, mut from) = (Vec::new(), 0);
        while from < times.len() {
            let to = from + times[from..].partition_point(|time| *time == times[from]);
            let mut by_side: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for row in from..to {
                if by_side.contains_key(side(row)) || by_side.len() < MAX_SIDES {
                    by_side.entry(side(row)).or_default().push(row);
                }
            }
            for (side, rows) in by_side {
                let window: Vec<f64> = rows.iter().step_by(self.config.every).flat_map(|row| self.row(batch, *row)).collect();
                answers.push(Answer { time: times[from], side: side.to_owned(), probabilities: self.ask(&window) });
            }
            from = to;
        }
        answers
    }

    /// An answer whenever another `every` rows have come, once the window is full.
    fn windows(&self, state: &mut State, batch: &RecordBatch) -> Vec<Answer> {
        let full = self.network.rows * self.columns.len();
        let mut answers = Vec::new();
        for (row, time) in rows::times(batch).iter().enumerate() {
            state.window.extend(self.row(batch, row));
            state.window.drain(..state.window.len().saturating_sub(full));
            state.since += 1;
            if state.window.len() == full && state.since >= self.config.every {
                state.since = 0;
                answers.push(Answer { time: *time, side: String::new(), probabilities: self.ask(&state.window) });
            }
        }
        answers
    }

    fn row(&self, batch: &RecordBatch, row: usize) -> impl Iterator<Item = f64> {
        self.columns.iter().map(move |index| rows::float_or_nan(rows::floats(batch, *index), row)).collect::<Vec<_>>().into_iter()
    }

    fn ask(&self, window: &[f64]) -> Result<Vec<f64>, &'static str> {
        if window.len() != self.network.rows * self.columns.len() {
            return Err("wrong length");
        }
        self.network.probabilities(window).ok_or("missing values")
    }

    fn batch(&self, answers: &[Answer]) -> RecordBatch {
        let floats = |value: &dyn Fn(&[f64]) -> f64| -> ArrayRef {
            rows::nan_as_null(answers.iter().map(|answer| answer.probabilities.as_ref().map_or(f64::NAN, |all| value(all))).collect())
        };
        let words =
            |value: &dyn Fn(&Answer) -> Option<String>| -> ArrayRef { Arc::new(answers.iter().map(value).collect::<StringArray>()) };
        let likeliest = |all: &[f64]| (0..all.len()).fold(0, |best, n| if all[n] > all[best] { n } else { best });
        let class = |all: &Vec<f64>| {
            let best = likeliest(all);
            if 100.0 * all[best] >= self.config.sure.percent() { self.config.classes[best].clone() } else { UNSURE.to_owned() }
        };
        let mut columns: Vec<ArrayRef> = vec![Arc::new(answers.iter().map(|answer| answer.time).collect::<Int64Array>())];
        if self.side.is_some() {
            columns.push(words(&|answer| Some(answer.side.clone())));
        }
        columns.push(words(&|answer| answer.probabilities.as_ref().ok().map(class)));
        columns.push(floats(&|all| all[likeliest(all)]));
        columns.extend((0..self.config.classes.len()).map(|n| floats(&|all| all[n])));
        columns.push(words(&|answer| answer.probabilities.as_ref().err().map(|reason| (*reason).to_owned())));
        rows::batch(&self.output, columns)
    }
}

#[cfg(test)]
mod tests {
    use proprio_core::At;
    use proprio_core::schema::column;
    use serde_json::{Value, json};

    use super::*;
    use crate::kernels::testing::{numbers, texts};

    /// Of the example: two rows of two columns to two classes.
    fn model() -> String {
        let example = crate::operator("model").expect("it is registered").example("yaml").expect("an example");
        let from = example.find("model: \"").expect("a model in it") + 8;
        example[from..].split('"').next().expect("its end").to_owned()
    }

    fn plan(port: &Port, config: Value) -> Result<Planned, Findings> {
        (crate::operator("model").expect("it is registered").plan)(config, std::slice::from_ref(port))
    }

    fn port(rate: bool) -> Port {
        let rate = rate.then(|| "10 Hz".parse().expect("a rate"));
        Port { stream: "angles".into(), schema: StreamSchema::new(vec![float("a_deg", "deg"), float("b_deg", "deg")], &[], rate) }
    }

    fn config() -> Value {
        json!({ "model": model(), "columns": ["a_deg", "b_deg"], "classes": ["low", "high"], "every": 2 })
    }

    #[test]
    fn a_stream_with_a_rate_is_asked_window_by_window() {
        let planned = plan(&port(true), config()).expect("a plan");
        let rows_of = |values: &[f64]| {
            let times: ArrayRef = Arc::new((0..values.len() as i64).map(|n| n * 100_000_000).collect::<Int64Array>());
            rows::batch(&port(true).schema, vec![times, rows::nan_as_null(values.to_vec()), rows::nan_as_null(values.to_vec())])
        };
        let mut out = Output::default();
        planned.step.process(&mut planned.step.start(), &[rows_of(&[1.0, 1.0, -1.0, -1.0, f64::NAN, 1.0])], 1_000_000_000, &mut out);
        let found = out.take().remove(0);
        assert_eq!(texts(&found, "class"), ["high", "low", ""]);
        assert_eq!(texts(&found, "reason"), ["", "", "missing values"]);
        // 1 + ½ + ¼ to either side of 0.1, and what is below zero cut off.
        let expected = 1.0 / (1.0 + libm::exp(-(1.75 + f64::from(0.1_f32))));
        assert!((numbers(&found, "probability").value(0) - expected).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn what_does_not_fit_the_model_is_refused_with_its_pointer() {
        let with = |key: &str, value: Value| {
            let mut config = config();
            config[key] = value;
            config
        };
        for (config, pointer) in [
            (with("model", json!("bm8gbW9kZWw=")), "/model"),
            (with("columns", json!(["a_deg"])), "/columns"),
            (with("columns", json!(["a_deg", "c_deg"])), "/columns/1"),
            (with("classes", json!(["low", "high", "higher"])), "/classes"),
            (with("classes", json!(["low", "low"])), "/classes/1"),
            (with("every", json!(0)), "/every"),
        ] {
            let findings = plan(&port(true), config.clone()).err().unwrap_or_else(|| panic!("{config} is taken"));
            assert_eq!(findings[0].at, At::Config(pointer.into()), "{config}: {findings:?}");
        }
        assert_eq!(plan(&port(false), config()).map(drop).expect_err("no windows")[0].at, At::Input(0));
        let keyed = StreamSchema::new(vec![text("side").required(), column("n", DataType::Int64)], &["side"], None);
        assert!(plan(&Port { stream: "s".into(), schema: keyed }, config()).is_err());
    }
}
