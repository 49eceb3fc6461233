//! Should the patient be told how this trial was? Cues under a policy that teaches and then fades, and what becomes of a trial without one.
//!
//! Reads a stream with a row a trial, such as `exercise`; `trial` says which rows are trials. `value` is compared with `target`, both SQL
//! expressions over the columns. Feedback on every trial speeds practice up and harms what is kept of it (the guidance hypothesis, Salmoni,
//! Schmidt and Walter 1984; Winstein and Schmidt 1990), so a `policy` decides:
//!
//! | policy | a cue comes |
//! |---|---|
//! | `constant` | on every trial |
//! | `bandwidth: 15 %` | where the value is further off than this share of the target |
//! | `faded: { shares: [100 %, 50 %, 25 %], block: 10 }` | on that share of a block's trials, evenly spaced; the last share stays |
//! | `summary: { after: 5 }` | after so many trials, on their mean |
//! | `prescribed: feedback` | on the share that this parameter of a `progression` step, which is read too, has in force; refused before |
//!
//! `probe: { every: 10 }` leaves the last of every ten trials without feedback, whatever the policy says. A trial is refused where a condition of
//! `refuse` is true or unknown, where its value or target is missing, or while a clinician holds one of the names in `heed` (`proprio session
//! hold`, where the step reads `notes`, too); it changes nothing of what the policy does with the next ones.
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
//! from: [repetitions, notes]
//! with:
//!   heed: [hold_feedback]
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
//!       130,3.9,true
//!       140,4.2,true
//!   notes:
//!     schema:
//!       keys: [author]
//!       columns:
//!         - { name: author, type: text, required: true }
//!         - { name: text, type: text, required: true }
//!         - { name: action, type: text }
//!         - { name: about, type: text }
//!         - { name: value }
//!     rows: |
//!       time_s,author,text,action,about,value
//!       50,dr,tired,note,,
//!       125,dr,pain in the left hip,hold,hold_feedback,
//!       135,dr,it is gone,release,hold_feedback,
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
//! 130000000000,13,refused,held by dr: pain in the left hip,,3.9,5.0,-22.0,,75.0,16.75,1.0,-15.75,4.99911
//! 140000000000,14,silent,50% of trials,,4.2,5.0,-16.0,,66.6667,16.6667,1.0,-15.6667,4.43471
//! # 14 rows, every bit hashed: 0cc5f1a461dfb704
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, BooleanArray};
use proprio_core::quantity::Share;
use proprio_core::{Configure, Findings, Inputs, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::emg::keep;
use crate::kernels::expression::{Expression, found_at};
use crate::kernels::feedback_file::{MOST, PRESCRIBED_BLOCK, PolicyFile};
use crate::kernels::feedback_policy::{Action, Memory, Policy};
use crate::kernels::feedback_rows::{self, Told};
use crate::kernels::message::Message;
use crate::kernels::prescription::Prescription;
use crate::kernels::said::{Held, Notes};

/// What `with:` holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which rows are trials, such as `kind = 'repetition'`. Left out: all.
    #[serde(default)]
    trial: Option<String>,
    /// What was reached, such as `hold_s`.
    value: String,
    /// What should have been, such as `"5"` or a column, or `{ prescribed: hold_s }`: a parameter of a `progression` step, which is read too.
    target: Target,
    /// When a cue comes.
    policy: PolicyFile,
    /// Trials without feedback, by which dependence is measured. Left out: there are none.
    #[serde(default)]
    probe: Option<Probe>,
    /// Names by which clinicians hold this feedback and release it, such as its step's; the step must read `notes`.
    #[serde(default)]
    heed: Vec<String>,
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

/// What should have been.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Target {
    /// An expression.
    Expression(String),
    /// What a `progression` step, which is read too, has in force.
    Prescribed(PrescribedTarget),
}

/// What a `progression` step has in force.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PrescribedTarget {
    /// The parameter.
    prescribed: String,
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
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = self.check();
        let notes = Notes::among(ports);
        let prescription = Prescription::among(ports, &self.prescribed());
        self.check_ports(ports, notes, prescription.as_ref(), &mut findings);
        let is_other =
            |port: usize| notes.is_some_and(|notes| notes.port == port) || prescription.as_ref().is_some_and(|of| of.port == port);
        let Some(trials) = (0..ports.len()).find(|port| !is_other(*port)) else {
            findings.push(PlanFinding::step("no input has trials").help("read an `exercise` step, too"));
            return Err(findings);
        };
        let schema = &ports[trials].schema;
        let trial = self.trial.as_ref().and_then(|text| keep(&mut findings, Expression::condition_at("/trial", text, &schema.columns)));
        let value = keep(&mut findings, Expression::number_at("/value", &self.value, &schema.columns));
        let target = match &self.target {
            Target::Expression(text) => keep(&mut findings, Expression::number_at("/target", text, &schema.columns).map(Aim::Expression)),
            Target::Prescribed(target) => Some(Aim::Prescribed(target.prescribed.clone())),
        };
        let refuse = keep(&mut findings, Expression::conditions_at("/refuse", &self.refuse, &schema.columns)).unwrap_or_default();
        let message = |text: &str, pointer: &str| Message::plan(text, &schema.columns).map_err(|errors| found_at(pointer, errors));
        let above = keep(&mut findings, message(&self.above, "/above"));
        let below = keep(&mut findings, message(&self.below, "/below"));
        let within = keep(&mut findings, message(&self.within, "/within"));
        let (Some(value), Some(target), Some(above), Some(below), Some(within), true) =
            (value, target, above, below, within, findings.is_empty())
        else {
            return Err(findings);
        };
        let of_value = value.unit(&schema.columns);
        let of_target = if let Aim::Expression(target) = &target { target.unit(&schema.columns) } else { None };
        let output = feedback_rows::schema(of_value.as_deref().unwrap_or("1"), of_target.as_deref().or(of_value.as_deref()).unwrap_or("1"));
        let feedback = Feedback {
            trial,
            value,
            target,
            trials,
            notes,
            prescription,
            heed: self.heed,
            share: self.policy.prescribed().cloned(),
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
        self.policy.check(&mut say);
        if let Some(probe) = self.probe.as_ref().filter(|probe| !(2..=MOST).contains(&probe.every)) {
            say("/probe/every", format!("{} is outside 2 to {MOST}", probe.every));
        }
        if !within(self.right, 0.0) {
            say("/right", format!("{} is outside 0 % to 100 %", self.right));
        }
        findings
    }
}

impl Config {
    /// The parameters of a `progression` step that are followed.
    fn prescribed(&self) -> Vec<String> {
        let target = if let Target::Prescribed(target) = &self.target { Some(&target.prescribed) } else { None };
        self.policy.prescribed().into_iter().chain(target).cloned().collect()
    }

    /// Beside one stream of trials there may be `notes` and a `progression`, where they are heeded.
    fn check_ports(&self, ports: &[Port], notes: Option<Notes>, prescription: Option<&Prescription>, findings: &mut Findings) {
        if notes.is_none() && !self.heed.is_empty() {
            let finding = PlanFinding::config("/heed", "holds are said in `notes`, which this step doesn't read");
            findings.push(finding.help("add `notes` to `from:`"));
        }
        let share = self.policy.prescribed().map(|_| "/policy/prescribed");
        let target = matches!(self.target, Target::Prescribed(_)).then_some("/target/prescribed");
        for at in share.into_iter().chain(target).filter(|_| prescription.is_none()) {
            let finding = PlanFinding::config(at, "no input says what is prescribed");
            findings.push(finding.help("read a `progression` step, too"));
        }
        let others = usize::from(notes.is_some()) + usize::from(prescription.is_some());
        if ports.len() > others + 1 {
            let port = ports.len() - 1;
            findings.push(PlanFinding::input(port, format!("`{}` is a second stream of trials; a step has one", ports[port].stream)));
        }
    }
}

/// What a value is compared with.
enum Aim {
    Expression(Expression),
    /// A parameter that is in force.
    Prescribed(String),
}

struct Feedback {
    /// Which input has the trials.
    trials: usize,
    notes: Option<Notes>,
    prescription: Option<Prescription>,
    heed: Vec<String>,
    trial: Option<Expression>,
    value: Expression,
    target: Aim,
    /// The parameter that has the share of trials with feedback.
    share: Option<String>,
    policy: Policy,
    probe_every: Option<u32>,
    refuse: Vec<(String, Expression)>,
    right_percent: f64,
    /// Below, within, above.
    messages: [Message; 3],
    output: StreamSchema,
}

/// What is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    memory: Memory,
    held: Held,
    /// What is prescribed, by parameter.
    prescribed: BTreeMap<String, f64>,
}

impl Operator for Feedback {
    type State = State;

    fn start(&self) -> State {
        State::default()
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let input = &inputs[self.trials];
        let said = self.notes.map_or_else(Vec::new, |notes| notes.said(&inputs[notes.port], &self.heed));
        let prescribed = self.prescription.as_ref().map_or_else(Vec::new, |prescription| prescription.of(&inputs[prescription.port]));
        let (mut said, mut prescribed) = (said.into_iter().peekable(), prescribed.into_iter().peekable());
        // What was said and prescribed up to an instant holds for its trial.
        let mut hear = |state: &mut State, time: TimeNs| {
            while let Some(said) = said.next_if(|said| said.time <= time) {
                state.held.obey(&said);
            }
            while let Some((_, parameter, value)) = prescribed.next_if(|(at, ..)| *at <= time) {
                state.prescribed.insert(parameter, value);
            }
        };
        let is_trial = self.trial.as_ref().map(|trial| trial.holds(input));
        let numbers = |number: &Expression| number.values(input).as_primitive::<Float64Type>().clone();
        let values = numbers(&self.value);
        let targets = if let Aim::Expression(target) = &self.target { Some(numbers(target)) } else { None };
        let refused: Vec<BooleanArray> = self.refuse.iter().map(|(_, condition)| condition.holds(input)).collect();
        let rows_of_trials =
            (0..input.num_rows()).filter(|row| is_trial.as_ref().is_none_or(|holds| holds.is_valid(*row) && holds.value(*row)));
        let told: Vec<Told> = rows_of_trials
            .map(|row| {
                hear(state, rows::times(input)[row]);
                let value = rows::float_or_nan(&values, row);
                let target = match (&self.target, &targets) {
                    (Aim::Prescribed(parameter), _) => state.prescribed.get(parameter).copied().unwrap_or(f64::NAN),
                    (Aim::Expression(_), targets) => targets.as_ref().map_or(f64::NAN, |targets| rows::float_or_nan(targets, row)),
                };
                let error_percent = if target == 0.0 { f64::NAN } else { 100.0 * (value - target) / target.abs() };
                let held = || state.held.reason().map(str::to_owned);
                let no_value = || error_percent.is_nan().then(|| "no value".to_owned());
                let (policy, unprescribed) = self.policy(state);
                let refusal = held().or_else(|| self.refusal(&refused, row)).or_else(|| unprescribed.map(str::to_owned)).or_else(no_value);
                let memory = &mut state.memory;
                let decided = memory.decide(&policy, self.probe_every, refusal, error_percent);
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
        hear(state, watermark);
        out.push(feedback_rows::batch(&self.output, &told));
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl Feedback {
    /// The policy in force, and why there may be none.
    fn policy(&self, state: &State) -> (Cow<'_, Policy>, Option<&'static str>) {
        let Some(parameter) = &self.share else { return (Cow::Borrowed(&self.policy), None) };
        match state.prescribed.get(parameter) {
            None => (Cow::Borrowed(&self.policy), Some("no share is prescribed")),
            Some(percent) => {
                let shares = vec![(percent / 100.0).clamp(0.0, 1.0)];
                (Cow::Owned(Policy::Faded { shares, block: PRESCRIBED_BLOCK }), None)
            }
        }
    }

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
}
