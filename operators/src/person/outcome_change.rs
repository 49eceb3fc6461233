//! Is this person better than when the treatment began, by enough to matter, and has it come back?
//!
//! Reads `outcomes`, what a person answered (`proprio session outcome`, or an amendment of the day after), and gives a row for each
//! answer. `baseline_value` is the instrument's first value; `change` and `change_percent` count from it, and less is better. A change
//! is **important** (`is_important`, and `course` says `improved`, `worsened` or `unchanged`) when it reaches the instrument's minimal
//! important change, in points or in percent of the baseline; `rule: both` asks for both (Ostelo et al. 2008):
//!
//! | instrument | points | percent | remission, *proposed* |
//! |---|---|---|---|
//! | `odi` | 10 | 30 | at most 20, the end of minimal disability (Fairbank and Pynsent 2000) |
//! | `pain_nrs` | 2 | 30 | at most 1 |
//!
//! **Recurrence.** Values that stay in remission for `remission` (30 days by default) and then rise above it by the important change in
//! points are a recurrence, counted in `recurrences`; `remission_since_ns` says since when there is none. What the answers between two
//! sessions would have been, nobody knows: a remission is what was answered.
//!
//! The course goes on over sessions: `proprio session start --carry` brings the newest row of each instrument along. No delay. An
//! instrument that this table doesn't hold gives no row.
//!
//! ```yaml
//! op: outcome_change
//! from: outcomes
//! with: { remission: 20 d }
//! input:
//!   outcomes:
//!     schema:
//!       keys: [instrument]
//!       columns:
//!         - { name: instrument, type: text, required: true }
//!         - { name: value, unit: "1", required: true }
//!     rows: |
//!       time_ms,instrument,value
//!       0,odi,40
//!       1000,pain_nrs,6
//!       1209600000,odi,32
//!       1209601000,pain_nrs,4
//!       2419200000,odi,18
//!       3628800000,odi,14
//!       4838400000,odi,34
//!       4838401000,pain_nrs,7
//! ```
//! ```csv
//! time_ns,instrument,value,baseline_value,baseline_ns,change,change_percent,is_important,course,remission_since_ns,is_recurrence,recurrences
//! 0,odi,40.0,40.0,0,0.0,0.0,false,unchanged,,false,0
//! 1000000000,pain_nrs,6.0,6.0,1000000000,0.0,0.0,false,unchanged,,false,0
//! 1209600000000000,odi,32.0,40.0,0,-8.0,-20.0,false,unchanged,,false,0
//! 1209601000000000,pain_nrs,4.0,6.0,1000000000,-2.0,-33.3333,true,improved,,false,0
//! 2419200000000000,odi,18.0,40.0,0,-22.0,-55.0,true,improved,2419200000000000,false,0
//! 3628800000000000,odi,14.0,40.0,0,-26.0,-65.0,true,improved,2419200000000000,false,0
//! 4838400000000000,odi,34.0,40.0,0,-6.0,-15.0,false,unchanged,,true,1
//! 4838401000000000,pain_nrs,7.0,6.0,1000000000,1.0,16.6667,false,unchanged,,false,0
//! # 8 rows, every bit hashed: cc43451fb394f4ea
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::quantity::Duration;
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::{
    Carried, Configure, Findings, Inputs, Instrument, Operator, Output, PlanFinding, Planned, Port, RecordBatch, StreamSchema, TimeNs, rows,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest remission that may be asked for.
const LONGEST_S: f64 = 3660.0 * 86_400.0;

/// Changes of questionnaires' values.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether a change matters when it reaches either of the two limits, or both.
    rule: Rule,
    /// How long values must have stayed in remission for a rise to be a recurrence.
    remission: Duration,
}

/// When a change is important.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Rule {
    /// In points or in percent of the baseline.
    #[default]
    Either,
    /// In points and in percent.
    Both,
}

impl Default for Config {
    fn default() -> Self {
        Self { rule: Rule::Either, remission: Duration::new(30.0 * 86_400.0) }
    }
}

/// What a change of an instrument means.
#[derive(Clone, Copy, Debug)]
struct Meaning {
    /// Minimal important change, in the instrument's unit.
    points: f64,
    /// And in percent of the baseline.
    percent: f64,
    /// The highest value in remission.
    remission: f64,
}

fn meaning(instrument: &str) -> Option<Meaning> {
    Some(match instrument.parse().ok()? {
        Instrument::Odi => Meaning { points: 10.0, percent: 30.0, remission: 20.0 },
        Instrument::PainNrs => Meaning { points: 2.0, percent: 30.0, remission: 1.0 },
    })
}

impl Configure for Config {
    const INPUTS: Inputs = Inputs::One;

    fn plan(self, ports: &[Port]) -> Result<Planned, Findings> {
        let port = &ports[0];
        let mut findings = Findings::new();
        let mut index = |name: &str, data_type: &DataType| {
            let found = port.schema.index(name).filter(|index| port.schema.columns.field(*index).data_type() == data_type);
            if found.is_none() {
                let message = format!("`{}` has no column `{name}` of type {data_type}", port.stream);
                findings.push(PlanFinding::input(0, message).help("read `outcomes`, what people answer"));
            }
            found
        };
        let columns = (index("instrument", &DataType::Utf8), index("value", &DataType::Float64));
        if !(0.0..=LONGEST_S).contains(&self.remission.seconds()) {
            findings.push(PlanFinding::config("/remission", format!("a remission of {} is not within 0 to 10 years", self.remission)));
        }
        let (Some(instrument), Some(value), true) = (columns.0, columns.1, findings.is_empty()) else { return Err(findings) };
        let output = output();
        let remission_ns = self.remission.nanoseconds();
        let operator = OutcomeChange { instrument, value, rule: self.rule, remission_ns, output: output.clone() };
        Ok(Planned::new(operator, output).carrying("true"))
    }
}

fn output() -> StreamSchema {
    let fields = vec![
        text("instrument").required(),
        float("value", "1").required(),
        float("baseline_value", "1").required(),
        column("baseline_ns", DataType::Int64).unit("ns").required(),
        float("change", "1").required(),
        float("change_percent", "%"),
        column("is_important", DataType::Boolean).required(),
        text("course").required(),
        column("remission_since_ns", DataType::Int64).unit("ns"),
        column("is_recurrence", DataType::Boolean).required(),
        column("recurrences", DataType::Int64).required(),
    ];
    StreamSchema::new(fields, &["instrument"], None)
}

struct OutcomeChange {
    instrument: usize,
    value: usize,
    rule: Rule,
    remission_ns: i64,
    output: StreamSchema,
}

/// What is known of each instrument.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    courses: BTreeMap<String, Course>,
}

/// An instrument's first value, and how often it has come back.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Course {
    baseline: f64,
    baseline_ns: TimeNs,
    remission_since_ns: Option<TimeNs>,
    recurrences: i64,
}

/// A row.
struct Change {
    time: TimeNs,
    instrument: String,
    value: f64,
    course: Course,
    is_important: bool,
    is_recurrence: bool,
}

impl Operator for OutcomeChange {
    type State = State;

    fn start(&self) -> State {
        State::default()
    }

    fn carry(&self, state: &mut State, carried: &Carried) {
        let found = carried.batch(&self.output).expect("the worker gives what fits");
        let index = |name: &str| self.output.index(name).expect("its own column");
        for row in 0..found.num_rows() {
            let integer = |name: &str| rows::integer_or_none(rows::integers(&found, index(name)), row);
            let course = Course {
                baseline: rows::floats(&found, index("baseline_value")).value(row),
                baseline_ns: integer("baseline_ns").expect("it is required"),
                remission_since_ns: integer("remission_since_ns"),
                recurrences: integer("recurrences").expect("it is required"),
            };
            state.courses.insert(rows::strings(&found, index("instrument")).value(row).to_owned(), course);
        }
    }

    fn process(&self, state: &mut State, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let input = &inputs[0];
        let (instruments, values) = (rows::strings(input, self.instrument), rows::floats(input, self.value));
        let changes = rows::times(input).iter().enumerate().filter_map(|(row, time)| {
            let (instrument, value) = (instruments.value(row), rows::float_or_nan(values, row));
            let meaning = meaning(instrument).filter(|_| value.is_finite())?;
            Some(self.change(state, *time, instrument, value, meaning))
        });
        let changes: Vec<Change> = changes.collect();
        out.push(self.batch(&changes));
        watermark
    }

    fn flush(&self, _: &mut State, _: &mut Output) {}
}

impl OutcomeChange {
    fn change(&self, state: &mut State, time: TimeNs, instrument: &str, value: f64, meaning: Meaning) -> Change {
        let first = Course { baseline: value, baseline_ns: time, remission_since_ns: None, recurrences: 0 };
        let course = state.courses.entry(instrument.to_owned()).or_insert(first);
        let change = (value - course.baseline).abs();
        let reaches = (change >= meaning.points, change * 100.0 >= meaning.percent * course.baseline && change > 0.0);
        let is_important = match self.rule {
            Rule::Either => reaches.0 || reaches.1,
            Rule::Both => reaches.0 && reaches.1,
        };
        let lasted = course.remission_since_ns.is_some_and(|since| time.saturating_sub(since) >= self.remission_ns);
        let is_recurrence = lasted && value >= meaning.remission + meaning.points;
        course.recurrences += i64::from(is_recurrence);
        if value <= meaning.remission {
            course.remission_since_ns.get_or_insert(time);
        } else if !lasted || is_recurrence {
            course.remission_since_ns = None;
        }
        Change { time, instrument: instrument.to_owned(), value, course: *course, is_important, is_recurrence }
    }

    fn batch(&self, changes: &[Change]) -> RecordBatch {
        let float = |value: &dyn Fn(&Change) -> f64| Arc::new(Float64Array::from_iter_values(changes.iter().map(value))) as ArrayRef;
        let integer = |value: &dyn Fn(&Change) -> Option<i64>| Arc::new(changes.iter().map(value).collect::<Int64Array>()) as ArrayRef;
        let truth = |value: &dyn Fn(&Change) -> bool| Arc::new(changes.iter().map(|change| Some(value(change))).collect::<BooleanArray>());
        let points = |change: &Change| change.value - change.course.baseline;
        let percent = |change: &Change| 100.0 * points(change) / change.course.baseline;
        let course = |change: &Change| match (change.is_important, points(change) < 0.0) {
            (false, _) => "unchanged",
            (true, true) => "improved",
            (true, false) => "worsened",
        };
        let columns: Vec<ArrayRef> = vec![
            integer(&|change| Some(change.time)),
            Arc::new(StringArray::from_iter_values(changes.iter().map(|change| change.instrument.as_str()))),
            float(&|change| change.value),
            float(&|change| change.course.baseline),
            integer(&|change| Some(change.course.baseline_ns)),
            float(&points),
            rows::nan_as_null(changes.iter().map(|change| if change.course.baseline > 0.0 { percent(change) } else { f64::NAN }).collect()),
            truth(&|change| change.is_important),
            Arc::new(StringArray::from_iter_values(changes.iter().map(course))),
            integer(&|change| change.course.remission_since_ns),
            truth(&|change| change.is_recurrence),
            integer(&|change| Some(change.course.recurrences)),
        ];
        rows::batch(&self.output, columns)
    }
}

#[cfg(test)]
mod tests {
    use proprio_core::time::DAY_NS;
    use serde_json::json;

    use super::*;
    use crate::kernels::testing::texts;

    fn answers(days: &[(i64, &str, f64)]) -> (Port, RecordBatch) {
        let schema = proprio_core::table::system::outcomes();
        let (units, answered) = (vec!["points"; days.len()], vec![1; days.len()]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(days.iter().map(|(day, ..)| day * DAY_NS).collect::<Int64Array>()),
            Arc::new(StringArray::from_iter_values(days.iter().map(|(_, instrument, _)| *instrument))),
            Arc::new(Float64Array::from_iter_values(days.iter().map(|(.., value)| *value))),
            Arc::new(StringArray::from(units.clone())),
            Arc::new(Int64Array::from(answered)),
            Arc::new(StringArray::from(units.clone())),
            Arc::new(StringArray::from(units)),
        ];
        let batch = rows::batch(&schema, columns);
        (Port { stream: "outcomes".into(), schema }, batch)
    }

    fn run(planned: &Planned, state: &mut proprio_core::StepState, batch: &RecordBatch) -> RecordBatch {
        let mut out = Output::default();
        planned.step.process(state, std::slice::from_ref(batch), TimeNs::MAX, &mut out);
        out.take().remove(0)
    }

    #[test]
    fn a_change_matters_by_points_or_by_percent() {
        let courses = |rule: &str, from: f64, to: f64| {
            let (port, batch) = answers(&[(0, "pain_nrs", from), (7, "pain_nrs", to)]);
            let planned = (crate::operator("outcome_change").expect("registered").plan)(json!({ "rule": rule }), &[port]).expect("a plan");
            texts(&run(&planned, &mut planned.step.start(), &batch), "course").remove(1)
        };
        assert_eq!((courses("either", 8.0, 6.0), courses("both", 8.0, 6.0)), ("improved".into(), "unchanged".into()), "25 %");
        assert_eq!((courses("either", 3.0, 2.0), courses("both", 3.0, 2.0)), ("improved".into(), "unchanged".into()), "one point");
        assert_eq!((courses("both", 6.0, 4.0), courses("either", 6.0, 5.0)), ("improved".into(), "unchanged".into()));
        assert_eq!((courses("both", 0.0, 2.0), courses("both", 0.0, 0.0)), ("worsened".into(), "unchanged".into()));
    }

    #[test]
    fn a_recurrence_needs_a_remission_that_lasted_and_goes_on_over_sessions() {
        let days = [(0, "odi", 40.0), (30, "odi", 18.0), (50, "odi", 32.0), (60, "odi", 12.0), (95, "odi", 24.0), (100, "odi", 31.0)];
        let recurrences =
            |found: &RecordBatch| rows::integers(found, found.schema().index_of("recurrences").expect("a column")).values().to_vec();
        let (port, batch) = answers(&days);
        let planned = (crate::operator("outcome_change").expect("registered").plan)(json!({}), &[port]).expect("a plan");
        let whole = run(&planned, &mut planned.step.start(), &batch);
        assert_eq!(recurrences(&whole), [0, 0, 0, 0, 0, 1], "20 days are no remission, and 24 is no relapse");
        for session in 1..days.len() {
            let newest = Carried::of("course", "s", &planned.output, &whole.slice(session - 1, 1)).expect("texts");
            let mut state = planned.step.start();
            planned.step.carry(&mut state, &newest);
            assert_eq!(run(&planned, &mut state, &batch.slice(session, days.len() - session)), whole.slice(session, days.len() - session));
        }
    }
}
