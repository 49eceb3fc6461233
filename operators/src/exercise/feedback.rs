//! Should the patient be told how this trial was? Cues under a policy that teaches and then fades, and what becomes of a trial without one.
//!
//! Reads one stream with a row a trial, such as `exercise`; `trial` says which rows are trials. `value` is compared with `target`, both SQL
//! expressions over the columns. Feedback on every trial speeds practice up and harms what is kept of it (the guidance hypothesis, Salmoni,
//! Schmidt and Walter 1984; Winstein and Schmidt 1990), so a `policy` decides:
//!
//! | policy | a cue comes |
//! |---|---|
//! | `constant` | on every trial |
//! | `bandwidth: 15 %` | where the value is further off than this share of the target |
//! | `faded: { shares: [100 %, 50 %, 25 %], block: 10 }` | on that share of a block's trials, evenly spaced; the last share stays |
//! | `summary: { after: 5 }` | after so many trials, on their mean |
//!
//! `probe: { every: 10 }` leaves the last of every ten trials without feedback, whatever the policy says. A trial is refused where a condition of
//! `refuse` is true or unknown, or where its value or target is missing; it changes nothing of what the policy does with the next ones.
//!
//! **Every trial is a row**: `action` is `cue`, `silent` (the policy's choice), `probe` or `refused`, and `reason` says why. `trial` counts them, `error_percent` is the value
//! against the target; of a summary, `summary_error_percent` is the mean over its trials. `message` is what is told: `above`, `below` or `within` the `right` share of the target, `{column}`
//! filled from the trial's row. `feedback_share_percent` is the share of trials so far that had a cue (a summary counts for all of its trials), refused ones and probes left out.
//!
//! **Dependence**: `probe_error_percent` and `feedback_error_percent` are the mean absolute errors so far of probes and of trials with the feedback that was due;
//! `dependence_percent` is their difference, `dependence_sd_percent` its standard error (Welch), null before two of each. Who needs the feedback
//! is worse without it: a dependence beyond twice its standard error.
//!
//! Cues go out on `<rig>/@cue/<step>`; the other rows are in the table alone. **Delay** none beyond the trial's row.
//!
//! ```yaml
//! op: feedback
//! from: repetitions
//! with:
//!   value: hold_s
//!   target: "5"
//!   policy: { faded: { shares: [100 %, 50 %], block: 4 } }
//!   probe: { every: 5 }
//!   refuse: { "not calibrated": not calibrated }
//!   above: "hold shorter, {hold_s} s were too long"
//!   below: "hold longer, {hold_s} s were too short"
//!   within: "well held"
//! input:
//!   repetitions:
//!     schema:
//!       columns:
//!         - { name: hold_s, unit: s }
//!         - { name: calibrated, type: boolean }
//!     rows: |
//!       time_s,hold_s,calibrated
//!       10,3.5,true
//!       20,5.1,true
//!       30,6.2,true
//!       40,5.2,false
//!       50,4.1,true
//!       60,5.0,true
//!       70,,true
//!       80,4.4,true
//!       90,4.9,true
//!       100,3.0,true
//!       110,4.7,true
//!       120,5.1,true
//! ```
//! ```csv
//! time_ns,trial,action,reason,message,value,target,error_percent,summary_error_percent,feedback_share_percent,feedback_error_percent,probe_error_percent,dependence_percent,dependence_sd_percent
//! 10000000000,1,cue,100% of trials,"hold longer, 3.5 s were too short",3.5,5.0,-30.0,,100.0,30.0,,,
//! 20000000000,2,cue,100% of trials,well held,5.1,5.0,2.0,,100.0,16.0,,,
//! 30000000000,3,cue,100% of trials,"hold shorter, 6.2 s were too long",6.2,5.0,24.0,,100.0,18.6667,,,
//! 40000000000,4,refused,not calibrated,,5.2,5.0,4.0,,100.0,18.6667,,,
//! 50000000000,5,cue,100% of trials,"hold longer, 4.1 s were too short",4.1,5.0,-18.0,,100.0,18.5,,,
//! 60000000000,6,probe,every 5th trial is without feedback,,5.0,5.0,0.0,,100.0,18.5,0.0,,
//! 70000000000,7,refused,no value,,,5.0,,,100.0,18.5,0.0,,
//! 80000000000,8,silent,50% of trials,,4.4,5.0,-12.0,,80.0,17.2,0.0,,
//! 90000000000,9,cue,50% of trials,well held,4.9,5.0,-2.0,,83.3333,14.6667,0.0,,
//! 100000000000,10,silent,50% of trials,,3.0,5.0,-40.0,,71.4286,18.2857,0.0,,
//! 110000000000,11,cue,50% of trials,well held,4.7,5.0,-6.0,,75.0,16.75,0.0,,
//! 120000000000,12,probe,every 5th trial is without feedback,,5.1,5.0,2.0,,75.0,16.75,1.0,-15.75,4.99911
//! # 12 rows, every bit hashed: 9ac20d2ad5a595a9
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::quantity::Share;
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::kernels::emg::keep;
use crate::kernels::expression::{Expression, ExpressionError};
use crate::kernels::feedback_policy::{Action, Dependence, Memory, Policy};
use crate::kernels::message::Message;

/// The most trials of a block, of a summary, and between two probes.
const MOST: u32 = 1000;

/// What `with:` holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which rows are trials, such as `kind = 'repetition'`. Left out: all.
    #[serde(default)]
    trial: Option<String>,
    /// What was reached, such as `hold_s`.
    value: String,
    /// What should have been, such as `"5"` or a column.
    target: String,
    /// When a cue comes.
    policy: PolicyFile,
    /// Trials without feedback, by which dependence is measured. Left out: there are none.
    #[serde(default)]
    probe: Option<Probe>,
    /// Reasons for which there is no feedback, each with its condition, such as `{ "not calibrated": "calibration is null" }`. A condition that
    /// can't be told refuses too.
    #[serde(default)]
    refuse: BTreeMap<String, String>,
    /// How far off the target is right.
    #[serde(default = "right")]
    right: Share,
    /// What to say where the value is above; `{column}` is filled from the trial's row.
    #[serde(default = "above")]
    above: String,
    /// What to say where it is below.
    #[serde(default = "below")]
    below: String,
    /// What to say where it is right.
    #[serde(default = "within")]
    within: String,
}

/// When a cue comes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum PolicyFile {
    /// On every trial.
    Constant,
    /// Where the value is further off than this share of the target.
    Bandwidth(Share),
    /// On ever fewer trials.
    Faded(Faded),
    /// After several trials, on their mean.
    Summary(Summary),
}

/// On ever fewer trials.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Faded {
    /// The share of trials with a cue, block by block; the last one stays.
    #[serde(default = "fading")]
    #[schemars(length(min = 1, max = 100))]
    shares: Vec<Share>,
    /// How many trials a block has, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    block: u32,
}

/// After several trials, on their mean.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Summary {
    /// After how many, 2 to 1000.
    #[schemars(range(min = 2, max = 1000))]
    after: u32,
}

/// Trials without feedback.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Probe {
    /// The last of so many, 2 to 1000.
    #[schemars(range(min = 2, max = 1000))]
    every: u32,
}

fn right() -> Share {
    Share::new(15.0)
}

fn fading() -> Vec<Share> {
    [100.0, 50.0, 25.0].map(Share::new).to_vec()
}

fn above() -> String {
    "too much".to_owned()
}

fn below() -> String {
    "too little".to_owned()
}

fn within() -> String {
    "right".to_owned()
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let schema = &ports[0].schema;
        let mut findings = self.check();
        let trial = self.trial.as_ref().and_then(|text| keep(&mut findings, condition(text, schema, "/trial")));
        let value = keep(&mut findings, number(&self.value, schema, "/value"));
        let target = keep(&mut findings, number(&self.target, schema, "/target"));
        let refuse: Vec<(String, Expression)> = self
            .refuse
            .iter()
            .filter_map(|(reason, text)| {
                let pointer = format!("/refuse/{}", reason.replace('~', "~0").replace('/', "~1"));
                Some((reason.clone(), keep(&mut findings, condition(text, schema, &pointer))?))
            })
            .collect();
        let message = |text: &str, pointer: &str| Message::plan(text, &schema.columns).map_err(|errors| at(pointer, errors));
        let above = keep(&mut findings, message(&self.above, "/above"));
        let below = keep(&mut findings, message(&self.below, "/below"));
        let within = keep(&mut findings, message(&self.within, "/within"));
        let (Some(value), Some(target), Some(above), Some(below), Some(within), true) =
            (value, target, above, below, within, findings.is_empty())
        else {
            return Err(findings);
        };
        let (of_value, of_target) = (value.unit(&schema.columns), target.unit(&schema.columns));
        let output = output(of_value.as_deref().unwrap_or("1"), of_target.as_deref().or(of_value.as_deref()).unwrap_or("1"));
        let feedback = Feedback {
            trial,
            value,
            target,
            policy: self.policy.planned(),
            probe_every: self.probe.map(|probe| probe.every),
            refuse,
            right_percent: self.right.percent(),
            messages: [below, within, above],
            output: output.clone(),
        };
        Ok(Planned::cue(feedback, output))
    }
}

impl Config {
    fn check(&self) -> Findings {
        let mut findings = Findings::new();
        let mut say = |pointer: &str, message: String| findings.push(PlanFinding::config(pointer, message));
        let within = |share: Share, from: f64| (from..=100.0).contains(&share.percent());
        match &self.policy {
            PolicyFile::Bandwidth(share) if !within(*share, 0.0) => say("/policy/bandwidth", format!("{share} is outside 0 % to 100 %")),
            PolicyFile::Faded(faded) => {
                if faded.shares.is_empty() || !faded.shares.iter().all(|share| within(*share, 0.0)) {
                    say("/policy/faded/shares", "each share is from 0 % to 100 %, and there is one at least".to_owned());
                }
                if !(1..=MOST).contains(&faded.block) {
                    say("/policy/faded/block", format!("{} is outside 1 to {MOST}", faded.block));
                }
            }
            PolicyFile::Summary(summary) if !(2..=MOST).contains(&summary.after) => {
                say("/policy/summary/after", format!("{} is outside 2 to {MOST}", summary.after));
            }
            _ => {}
        }
        if let Some(probe) = self.probe.as_ref().filter(|probe| !(2..=MOST).contains(&probe.every)) {
            say("/probe/every", format!("{} is outside 2 to {MOST}", probe.every));
        }
        if !within(self.right, 0.0) {
            say("/right", format!("{} is outside 0 % to 100 %", self.right));
        }
        findings
    }
}

impl PolicyFile {
    fn planned(&self) -> Policy {
        match self {
            Self::Constant => Policy::Faded { shares: vec![1.0], block: 1 },
            Self::Bandwidth(share) => Policy::Bandwidth { percent: share.percent() },
            Self::Faded(faded) => {
                Policy::Faded { shares: faded.shares.iter().map(|share| share.percent() / 100.0).collect(), block: faded.block }
            }
            Self::Summary(summary) => Policy::Summary { after: summary.after },
        }
    }
}

fn condition(text: &str, schema: &StreamSchema, pointer: &str) -> Result<Expression, Findings> {
    Expression::condition(text, &schema.columns).map_err(|errors| at(pointer, errors))
}

fn number(text: &str, schema: &StreamSchema, pointer: &str) -> Result<Expression, Findings> {
    Expression::number(text, &schema.columns).map_err(|errors| at(pointer, errors))
}

fn at(pointer: &str, errors: Vec<ExpressionError>) -> Findings {
    errors.into_iter().map(|error| PlanFinding { help: error.help, ..PlanFinding::config(pointer, error.message) }).collect()
}

fn output(value_unit: &str, target_unit: &str) -> StreamSchema {
    let percent = |name: &str| float(name, "%");
    let fields = vec![
        column("trial", DataType::Int64).unit("1").required(),
        text("action").required(),
        text("reason").required(),
        text("message"),
        float("value", value_unit),
        float("target", target_unit),
        percent("error_percent"),
        percent("summary_error_percent"),
        percent("feedback_share_percent"),
        percent("feedback_error_percent"),
        percent("probe_error_percent"),
        percent("dependence_percent"),
        percent("dependence_sd_percent"),
    ];
    StreamSchema::new(fields, &[], None)
}

struct Feedback {
    trial: Option<Expression>,
    value: Expression,
    target: Expression,
    policy: Policy,
    probe_every: Option<u32>,
    refuse: Vec<(String, Expression)>,
    right_percent: f64,
    /// Below, within, above.
    messages: [Message; 3],
    output: StreamSchema,
}

/// What is told of one trial.
struct Told {
    time: TimeNs,
    trial: i64,
    action: Action,
    reason: String,
    message: Option<String>,
    value: f64,
    target: f64,
    error_percent: f64,
    summary_error_percent: f64,
    share_percent: f64,
    dependence: Dependence,
}

impl Operator for Feedback {
    type State = Memory;

    fn start(&self) -> Memory {
        Memory::default()
    }

    fn process(&self, memory: &mut Memory, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let input = &inputs[0];
        if input.num_rows() == 0 {
            return watermark;
        }
        let is_trial = self.trial.as_ref().map(|trial| trial.holds(input));
        let [values, targets] = [&self.value, &self.target].map(|number| number.values(input).as_primitive::<Float64Type>().clone());
        let refused: Vec<BooleanArray> = self.refuse.iter().map(|(_, condition)| condition.holds(input)).collect();
        let rows_of_trials =
            (0..input.num_rows()).filter(|row| is_trial.as_ref().is_none_or(|holds| holds.is_valid(*row) && holds.value(*row)));
        let told: Vec<Told> = rows_of_trials
            .map(|row| {
                let (value, target) = (rows::float_or_nan(&values, row), rows::float_or_nan(&targets, row));
                let error_percent = if target == 0.0 { f64::NAN } else { 100.0 * (value - target) / target.abs() };
                let refusal = self.refusal(&refused, row).or_else(|| error_percent.is_nan().then(|| "no value".to_owned()));
                let decided = memory.decide(&self.policy, self.probe_every, refusal, error_percent);
                let error = if decided.summary_percent.is_nan() { error_percent } else { decided.summary_percent };
                let message = (decided.action == Action::Cue).then(|| self.message(error).fill(input, row));
                Told {
                    time: rows::times(input)[row],
                    trial: decided.trial,
                    action: decided.action,
                    reason: decided.reason,
                    message,
                    value,
                    target,
                    error_percent,
                    summary_error_percent: decided.summary_percent,
                    share_percent: memory.share_percent(),
                    dependence: memory.dependence(),
                }
            })
            .collect();
        out.push(self.batch(&told));
        watermark
    }

    fn flush(&self, _: &mut Memory, _: &mut Output) {}
}

impl Feedback {
    /// Why there is no feedback on a row: the first condition that is true or can't be told.
    fn refusal(&self, refused: &[BooleanArray], row: usize) -> Option<String> {
        let holds = |holds: &BooleanArray| holds.is_null(row) || holds.value(row);
        self.refuse.iter().zip(refused).find(|(_, condition)| holds(condition)).map(|((reason, _), _)| reason.clone())
    }

    fn message(&self, error_percent: f64) -> &Message {
        let [below, within, above] = &self.messages;
        if error_percent > self.right_percent {
            above
        } else if error_percent < -self.right_percent {
            below
        } else {
            within
        }
    }

    fn batch(&self, told: &[Told]) -> RecordBatch {
        let floats = |value: fn(&Told) -> f64| -> ArrayRef { rows::nan_as_null(told.iter().map(value).collect()) };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(told.iter().map(|told| told.time).collect::<Int64Array>()),
            Arc::new(told.iter().map(|told| told.trial).collect::<Int64Array>()),
            Arc::new(told.iter().map(|told| Some(told.action.name())).collect::<StringArray>()),
            Arc::new(told.iter().map(|told| Some(told.reason.as_str())).collect::<StringArray>()),
            Arc::new(told.iter().map(|told| told.message.as_deref()).collect::<StringArray>()),
            floats(|told| told.value),
            floats(|told| told.target),
            floats(|told| told.error_percent),
            floats(|told| told.summary_error_percent),
            floats(|told| told.share_percent),
            floats(|told| told.dependence.feedback_percent),
            floats(|told| told.dependence.probe_percent),
            floats(|told| told.dependence.difference_percent),
            floats(|told| told.dependence.sd_percent),
        ];
        rows::batch(&self.output, columns)
    }
}
