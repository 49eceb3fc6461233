//! What should the patient train next time? Proposes the next session's load, tempo, hold, repetitions and share of feedback within a declared
//! safe range; nothing takes effect without a recorded approval.
//!
//! Reads a stream with a row a trial, such as `exercise`, and, where they are given, `outcomes` and `notes`. A trial is good where `good` holds: an
//! SQL condition over the stream's columns and, as `prescribed_<parameter>`, over what is in force.
//!
//! **The proposal.** Two things are learned over the sessions, each as a Gaussian process over the parameters and time: which share of
//! the trials is good, and which value each instrument of `tolerate` takes. Of all combinations within `steps` steps of what is in force the hardest one
//! is proposed whose expected share stays above `target`, and whose expected values stay below what is tolerated, by `caution` standard deviations
//! (safe exploration, Sui et al. 2015); where none does, the one that comes nearest, no harder than now. What was seen weeks ago counts less.
//! So a person is led along the edge of what can be done well. Every value stays in its safe range, whatever is seen, said or carried over.
//!
//! **Rows**, by `scope` and `parameter`. `in force`: what holds from that time on (`value`), told at the session's first row and when it
//! changes. `proposed`, after each trial, answer or word once there are `trials` trials: for each parameter `value`, `proposed` and the safe range `least` to
//! `most`; with an empty `parameter`, what was seen (`good_percent`), what is expected and how surely, `verdict` (`harder`, `easier`, `unchanged`)
//! and its `reason`. The session's last one counts. Column `course` holds all that a later session needs (`proprio session start --carry`).
//!
//! **Who decides.** A note `approve` of a name in `heed` puts what was proposed last in force: now, before the session's first trial, else
//! from the next session on. A note `override` of a parameter (with its value) does so with a value of the clinician's own, `refused` outside
//! the safe range. While one of the names is on `hold`, nothing is proposed. Each is a row with its author. **Delay** none.
//!
//! ```yaml
//! op: progression
//! from: [repetitions, outcomes, notes]
//! with:
//!   heed: [progression]
//!   good: hold_s >= 0.9 * prescribed_hold
//!   parameters:
//!     hold: { unit: s, from: 2, to: 8, step: 1, start: 3 }
//!     feedback: { unit: "%", from: 20, to: 100, step: 20, start: 100, harder: down }
//!   target: 70 %
//!   tolerate: { pain_nrs: 5 }
//!   trials: 3
//! input:
//!   repetitions:
//!     schema:
//!       columns:
//!         - { name: hold_s, unit: s }
//!     rows: |
//!       time_s,hold_s
//!       20,3.1
//!       30,2.9
//!       40,3.2
//!       50,3.0
//!   outcomes:
//!     schema:
//!       keys: [instrument]
//!       columns:
//!         - { name: instrument, type: text, required: true }
//!         - { name: value, unit: "1", required: true }
//!     rows: |
//!       time_s,instrument,value
//!       60,pain_nrs,2
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
//!       10,dr,begin with less,override,hold,2.5
//!       12,dr,more than is safe,override,hold,9
//!       70,dr,as proposed,approve,progression,
//! ```
//! ```csv
//! time_ns,scope,parameter,unit,value,proposed,least,most,verdict,reason,author,trials,good_percent,expected_good_percent,expected_good_sd_percent,expected_pain_nrs,expected_pain_nrs_sd,course
//! 10000000000,in force,feedback,%,100.0,,20.0,100.0,,,,,,,,,,
//! 10000000000,in force,hold,s,2.5,,2.0,8.0,,,,,,,,,,
//! 10000000000,override,hold,,,2.5,2.0,8.0,,begin with less,dr,,,,,,,
//! 10000000000,proposed,,,,,,,unchanged,"0 trials, and 3 are due",,0,,,,,,"{\"version\":1,\"parameters\":[\"feedback\",\"hold\"],\"in_force\":[100.0,2.5],\"next\":null,\"proposed\":null,\"held\":null,\"sessions\":{}}"
//! 12000000000,proposed,,,,,,,unchanged,"0 trials, and 3 are due",,0,,,,,,"{\"version\":1,\"parameters\":[\"feedback\",\"hold\"],\"in_force\":[100.0,2.5],\"next\":null,\"proposed\":null,\"held\":null,\"sessions\":{}}"
//! 12000000000,refused,hold,,,9.0,2.0,8.0,,9 is outside the safe range of 2 to 8,dr,,,,,,,
//! 20000000000,proposed,,,,,,,unchanged,"1 trials, and 3 are due",,1,100.0,,,,,"{\"version\":1,\"parameters\":[\"feedback\",\"hold\"],\"in_force\":[100.0,2.5],\"next\":null,\"proposed\":null,\"held\":null,\"sessions\":{}}"
//! 30000000000,proposed,,,,,,,unchanged,"2 trials, and 3 are due",,2,100.0,,,,,"{\"version\":1,\"parameters\":[\"feedback\",\"hold\"],\"in_force\":[100.0,2.5],\"next\":null,\"proposed\":null,\"held\":null,\"sessions\":{}}"
//! 40000000000,proposed,,,,,,,harder,100 % of the trials were good; there is room for more,,3,100.0,89.5397,16.4201,3.33333,2.5,"{\"version\":1,\"parameters\":[\"feedback\",\"hold\"],\"in_force\":[100.0,2.5],\"next\":null,\"proposed\":[80.0,2.5],\"held\":null,\"sessions\":{\"10000000000\":{\"values\":[100.0,2.5],\"trials\":3,\"good\":3,\"outcomes\":{}}}}"
//! …
//! 70000000000,approved,,,,,,,,as proposed,dr,,,,,,,
//! 70000000000,proposed,,,,,,,harder,100 % of the trials were good; there is room for more,,4,100.0,89.9955,15.295,2.72287,1.09086,"{\"version\":1,\"parameters\":[\"feedback\",\"hold\"],\"in_force\":[100.0,2.5],\"next\":[80.0,2.5],\"proposed\":[80.0,2.5],\"held\":null,\"sessions\":{\"10000000000\":{\"values\":[100.0,2.5],\"trials\":4,\"good\":4,\"outcomes\":{\"pain_nrs\":2.0}}}}"
//! 70000000000,proposed,feedback,%,100.0,80.0,20.0,100.0,,,,,,,,,,
//! 70000000000,proposed,hold,s,2.5,2.5,2.0,8.0,,,,,,,,,,
//! # 21 rows, every bit hashed: 5f343fa291af7fb5
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};
use proprio_core::quantity::Share;
use proprio_core::schema::float;
use proprio_core::{
    Carried, Configure, Findings, Inputs, Instrument, Operator, Output, PlanFinding, Planned, Port, StreamSchema, TimeNs, pointer_part,
    rows,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernels::course::{Course, Limits, Visit};
use crate::kernels::emg::keep;
use crate::kernels::expression::Expression;
use crate::kernels::prescription::IN_FORCE;
use crate::kernels::prescription_rows::{self, Row};
use crate::kernels::safe_range::{MAX_PARAMETERS, MAX_STEPS, SafeRange};
use crate::kernels::said::{Notes, Said};

/// What stands before a parameter's name in `good`.
const PRESCRIBED: &str = "prescribed_";
/// The most trials of a session that are counted.
const MOST_TRIALS: u32 = 10_000;

/// A prescription that follows the patient.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is prescribed, by name, 1 to 6; an override says this name.
    parameters: BTreeMap<String, Parameter>,
    /// Which rows are trials, such as `kind = 'repetition'`. Left out: all.
    #[serde(default)]
    trial: Option<String>,
    /// Which trials are good, such as `is_valid` or `hold_s >= 0.8 * prescribed_hold`.
    good: String,
    /// The least share of good trials that a proposal may expect.
    #[serde(default = "target")]
    target: Share,
    /// The highest value of an instrument that a proposal may expect, such as `{ pain_nrs: 4 }`; the step must read `outcomes`.
    #[serde(default)]
    tolerate: BTreeMap<String, f64>,
    /// How many standard deviations an expectation keeps from its limit, 0 to 5.
    #[serde(default = "caution")]
    caution: f64,
    /// Trials that a session needs to count, 1 to 1000.
    #[serde(default = "trials")]
    trials: u32,
    /// Names by which clinicians approve and hold the proposals, such as the step's; it must read `notes`.
    #[serde(default)]
    heed: Vec<String>,
}

/// Something that is prescribed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its unit, as people read it.
    #[serde(default = "one")]
    unit: String,
    /// The least safe value.
    from: f64,
    /// The greatest safe value.
    to: f64,
    /// By how much it can be changed, such as 2.5 kg.
    step: f64,
    /// What holds before anything was approved.
    start: f64,
    /// Which way is harder.
    #[serde(default)]
    harder: Way,
    /// The most steps of one proposal, 1 or 2.
    #[serde(default = "steps")]
    steps: u32,
}

/// Which way is harder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Way {
    /// A greater value.
    #[default]
    Up,
    /// A smaller one.
    Down,
}

fn target() -> Share {
    Share::new(80.0)
}

fn caution() -> f64 {
    1.0
}

fn trials() -> u32 {
    4
}

fn one() -> String {
    "1".to_owned()
}

fn steps() -> u32 {
    1
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::Many;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let mut findings = self.check();
        let notes = Notes::among(ports);
        if notes.is_none() && !self.heed.is_empty() {
            let finding = PlanFinding::config("/heed", "approvals are said in `notes`, which this step doesn't read");
            findings.push(finding.help("add `notes` to `from:`"));
        }
        let outcomes = ports.iter().enumerate().find_map(|(port, input)| {
            Some(Outcomes { port, instrument: input.schema.index("instrument")?, value: input.schema.index("value")? })
        });
        if outcomes.is_none() && !self.tolerate.is_empty() {
            let finding = PlanFinding::config("/tolerate", "answers are in `outcomes`, which this step doesn't read");
            findings.push(finding.help("add `outcomes` to `from:`"));
        }
        let is_said = |port: usize| notes.is_some_and(|notes| notes.port == port) || outcomes.is_some_and(|of| of.port == port);
        let others: Vec<usize> = (0..ports.len()).filter(|port| !is_said(*port)).collect();
        for second in others.iter().skip(1) {
            let message = format!("`{}` is a second stream of trials; a step has one", ports[*second].stream);
            findings.push(PlanFinding::input(*second, message));
        }
        let Some(trials) = others.first().copied() else {
            findings.push(PlanFinding::step("no input has trials").help("read an `exercise` step, too"));
            return Err(findings);
        };
        let columns = judged(&ports[trials].schema, self.parameters.iter());
        let trial = self.trial.as_ref().and_then(|text| keep(&mut findings, Expression::condition_at("/trial", text, &columns)));
        let good = keep(&mut findings, Expression::condition_at("/good", &self.good, &columns));
        let (Some(good), true) = (good, findings.is_empty()) else { return Err(findings) };
        let output = prescription_rows::schema(self.tolerate.keys());
        let limits = Limits {
            ranges: self.parameters.values().map(Parameter::range).collect(),
            good: self.target.percent() / 100.0,
            tolerated: self.tolerate.clone(),
            caution: self.caution,
        };
        let names: Vec<String> = self.parameters.keys().cloned().collect();
        let heard = self.heed.iter().chain(&names).cloned().collect();
        let step = Progression {
            ports: Heard { trials, notes, outcomes },
            columns,
            trial,
            good,
            limits,
            names,
            heard,
            config: self,
            output: output.clone(),
        };
        Ok(Planned::new(step, output).carrying("course IS NOT NULL"))
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
        refuse(!(1..=MAX_PARAMETERS).contains(&self.parameters.len()), "/parameters", "a prescription has 1 to 6 parameters");
        for (name, parameter) in &self.parameters {
            let at = |field: &str| format!("/parameters/{}/{field}", pointer_part(name));
            let is_range = parameter.from < parameter.to && (parameter.to - parameter.from).is_finite();
            refuse(!is_range, &at("to"), "a safe range ends above where it begins");
            refuse(
                !(parameter.step > 0.0 && parameter.step <= parameter.to - parameter.from),
                &at("step"),
                "a step is within the range, and more than nothing",
            );
            refuse(!(parameter.from..=parameter.to).contains(&parameter.start), &at("start"), "what holds first is within the safe range");
            refuse(!(1..=MAX_STEPS).contains(&parameter.steps), &at("steps"), "a proposal takes 1 or 2 steps");
            let is_own = self.heed.contains(name);
            refuse(is_own, &at("unit"), "a parameter of this name is overridden, and can't be approved by the same name");
        }
        for (name, most) in &self.tolerate {
            let at = format!("/tolerate/{name}");
            refuse(name.parse::<Instrument>().is_err(), &at, "there is no such instrument: `pain_nrs` or `odi`");
            refuse(!(*most > 0.0 && most.is_finite()), &at, "what is tolerated is above zero");
        }
        refuse(!(1.0..=100.0).contains(&self.target.percent()), "/target", "a target is from 1 % to 100 %");
        refuse(!(0.0..=5.0).contains(&self.caution), "/caution", "caution is from 0 to 5 standard deviations");
        refuse(!(1..=1000).contains(&self.trials), "/trials", "a session counts from 1 to 1000 trials on");
        findings
    }
}

impl Parameter {
    fn range(&self) -> SafeRange {
        SafeRange { from: self.from, to: self.to, step: self.step, steps: self.steps, is_harder_up: self.harder == Way::Up }
    }
}

/// A trial's columns, and what is prescribed.
fn judged<'p>(schema: &StreamSchema, parameters: impl Iterator<Item = (&'p String, &'p Parameter)>) -> SchemaRef {
    let prescribed = parameters.map(|(name, parameter)| Arc::new(float(format!("{PRESCRIBED}{name}"), &parameter.unit)));
    Arc::new(Schema::new(schema.columns.fields().iter().cloned().chain(prescribed).collect::<Vec<Arc<Field>>>()))
}

/// Where the answers stand among the inputs.
#[derive(Clone, Copy, Debug)]
struct Outcomes {
    port: usize,
    instrument: usize,
    value: usize,
}

struct Heard {
    trials: usize,
    notes: Option<Notes>,
    outcomes: Option<Outcomes>,
}

struct Progression {
    ports: Heard,
    columns: SchemaRef,
    trial: Option<Expression>,
    good: Expression,
    limits: Limits,
    /// Of the parameters, in their order.
    names: Vec<String>,
    /// Names that notes are heard by.
    heard: Vec<String>,
    config: Config,
    output: StreamSchema,
}

/// What is remembered.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    course: Course,
    visit: Visit,
    /// When the session's first row came.
    start: Option<TimeNs>,
}

/// Something that happens, in the order in which it counts at one instant.
enum Event {
    Said(Said),
    Answer(String, f64),
    Trial(usize),
}

impl Operator for Progression {
    type State = State;

    fn start(&self) -> State {
        let start = self.config.parameters.values().map(|parameter| parameter.start).collect();
        State { course: Course::new(self.names.clone(), start), visit: Visit::default(), start: None }
    }

    /// A course of other parameters says nothing of these.
    fn carry(&self, state: &mut State, carried: &Carried) {
        let rows = carried.batch(&self.output).expect("the worker gives what fits");
        let texts = rows::strings(&rows, self.output.index("course").expect("its own column"));
        let courses = (0..rows.num_rows()).filter(|row| texts.is_valid(*row));
        if let Some(course) = courses.filter_map(|row| Course::resumed(texts.value(row), &self.names, &self.limits.ranges)).next_back() {
            state.course = course;
        }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let mut found = Vec::new();
        let trials = &inputs[self.ports.trials];
        for (time, event) in self.events(inputs) {
            let before = state.start.map(|_| state.course.in_force.clone());
            state.start.get_or_insert(time);
            let row = |scope| Row { time, scope, ..Row::default() };
            match event {
                Event::Said(said) => found.push(self.obey(state, said, row(""))),
                Event::Answer(instrument, value) => drop(state.visit.outcomes.insert(instrument, value)),
                Event::Trial(index) => self.count(state, &trials.slice(index, 1)),
            }
            if before.is_none_or(|before| before != state.course.in_force) {
                found.extend(self.rows(state, row(IN_FORCE), state.course.proposed.as_deref()));
            }
            found.extend(self.propose(state, row("proposed")));
        }
        out.push(prescription_rows::batch(&self.output, found, self.limits.tolerated.len()));
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl Progression {
    /// What happens, in order: words before answers before trials.
    fn events(&self, inputs: &[RecordBatch]) -> Vec<(TimeNs, Event)> {
        let mut events = Vec::new();
        if let Some(notes) = self.ports.notes {
            events.extend(notes.said(&inputs[notes.port], &self.heard).into_iter().map(|said| (said.time, Event::Said(said))));
        }
        if let Some(Outcomes { port, instrument, value }) = self.ports.outcomes {
            let (instruments, values) = (rows::strings(&inputs[port], instrument), rows::floats(&inputs[port], value));
            let is_own = |row: &usize| values.is_valid(*row) && self.limits.tolerated.contains_key(instruments.value(*row));
            let own = (0..inputs[port].num_rows()).filter(is_own);
            let answer =
                |row: usize| (rows::times(&inputs[port])[row], Event::Answer(instruments.value(row).to_owned(), values.value(row)));
            events.extend(own.map(answer));
        }
        let trials = &inputs[self.ports.trials];
        let is_trial = self.trial.as_ref().map(|trial| trial.holds(trials));
        let holds = |row: &usize| is_trial.as_ref().is_none_or(|holds| holds.is_valid(*row) && holds.value(*row));
        events.extend((0..trials.num_rows()).filter(holds).map(|row| (rows::times(trials)[row], Event::Trial(row))));
        // Stable: those of one instant stay in the order above.
        events.sort_by_key(|(time, _)| *time);
        events
    }

    /// Obeys a word; the row says what became of it.
    fn obey(&self, state: &mut State, said: Said, about: Row) -> Row {
        let parameter = self.names.iter().position(|name| *name == said.about);
        let range = parameter.map(|index| (self.limits.ranges[index].from, self.limits.ranges[index].to));
        let obeyed = state.course.obey(&said, parameter, &self.limits.ranges, state.visit.trials > 0);
        let (scope, reason) = match obeyed {
            Ok(scope) => (scope, said.text),
            Err(why) => ("refused", why),
        };
        let name = if parameter.is_some() { said.about } else { String::new() };
        let proposed = Some(said.value).filter(|value| value.is_finite());
        Row { scope, parameter: name, proposed, range, reason: Some(reason), author: Some(said.author), ..about }
    }

    /// Counts a trial.
    fn count(&self, state: &mut State, trial: &RecordBatch) {
        if state.visit.trials >= MOST_TRIALS {
            return;
        }
        let prescribed = state.course.in_force.iter().map(|value| Arc::new(Float64Array::from(vec![*value])) as ArrayRef);
        let columns = trial.columns().iter().cloned().chain(prescribed).collect();
        let judged = RecordBatch::try_new(self.columns.clone(), columns).expect("a trial's columns and a number for each parameter");
        let good = self.good.holds(&judged);
        state.visit.trials += 1;
        state.visit.good += u32::from(good.is_valid(0) && good.value(0));
    }

    /// What is proposed as things stand, and all that a later session needs to know.
    fn propose(&self, state: &mut State, about: Row) -> Vec<Row> {
        let start = state.start.expect("something has happened");
        let (trials, good) = (state.visit.trials, state.visit.good);
        if trials >= self.config.trials {
            let visit = Visit { values: state.course.in_force.clone(), ..state.visit.clone() };
            state.course.keep(start, visit);
        }
        let whole = Row { trials: Some((trials, good)), ..about.clone() };
        let reason = state
            .course
            .held
            .reason()
            .map(str::to_owned)
            .or_else(|| (trials < self.config.trials).then(|| format!("{trials} trials, and {} are due", self.config.trials)));
        if reason.is_some() {
            return vec![Row { verdict: Some("unchanged"), reason, course: Some(state.course.text()), ..whole }];
        }
        let choice = state.course.choose(&self.limits, about.time);
        let hardness = |values: &[f64]| self.limits.ranges.iter().zip(values).map(|(range, value)| range.hardness(*value)).sum::<f64>();
        let harder = hardness(&choice.values) - hardness(&state.course.in_force);
        let percent = 100.0 * f64::from(good) / f64::from(trials);
        let seen = format!("{percent:.0} % of the trials were good");
        let (verdict, reason) = match (choice.is_safe, choice.values == state.course.in_force) {
            (true, true) => ("unchanged", format!("{seen}; nothing harder is likely enough to be done well and tolerated")),
            (true, false) if harder > 0.0 => ("harder", format!("{seen}; there is room for more")),
            (true, false) => ("easier", format!("{seen}; less is more likely to be done well and tolerated")),
            (false, true) => ("unchanged", format!("{seen}; nothing easier promises more")),
            (false, false) => ("easier", format!("{seen}; what is in force is not likely enough to be done well and tolerated")),
        };
        state.course.proposed = (choice.values != state.course.in_force).then(|| choice.values.clone());
        let mut rows = self.rows(state, about, Some(&choice.values));
        let course = Some(state.course.text());
        rows.push(Row { verdict: Some(verdict), reason: Some(reason), expected: choice.expected, course, ..whole });
        rows
    }

    /// A row a parameter, with what is in force and what is proposed.
    fn rows(&self, state: &State, about: Row, proposed: Option<&[f64]>) -> Vec<Row> {
        let row = |(index, (name, parameter)): (usize, (&String, &Parameter))| Row {
            parameter: name.clone(),
            unit: Some(parameter.unit.clone()),
            value: Some(state.course.in_force[index]),
            proposed: proposed.map(|values| values[index]),
            range: Some((parameter.from, parameter.to)),
            ..about.clone()
        };
        self.config.parameters.iter().enumerate().map(row).collect()
    }
}
