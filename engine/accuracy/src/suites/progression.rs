//! Does a prescription that follows the patient do more than a fixed one, and is it safe?
//!
//! 200 virtual patients (seeds from 1000 on; development used those below) train three times a week for eight weeks, several times over:
//! `adaptive` by what `progression` proposes, session by session, each proposal approved and carried over as the engine does it; `constant` by
//! what they began with; `weekly_step` a step further every week in each parameter; `best_ramp` along a straight line to the same share of each
//! range for everybody, of eleven lines the one that, seen afterwards, was best for these very patients. How patients respond was fixed first
//! (`proprio_simulate::Patient`), and the operator knows nothing of it: it sees the holds of the repetitions and the answers.
//!
//! `odi_gain` is the fall of the Oswestry Disability Index, `important_change` the share of patients whose index fell by 10 points, `severe_sessions`
//! how many of 24 ended with a pain of 6 and more. `over_<other>.odi` is by how much more it fell than under the other programme, patient by
//! patient, and `odi_low` the lower end of that mean's 95 % interval. `differing_sessions` are those whose rows differ when 20 patients begin anew.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_select::concat::concat_batches;
use proprio_core::rows::{batch, floats, strings};
use proprio_core::schema::float;
use proprio_core::table::system;
use proprio_core::time::DAY_NS;
use proprio_core::{Carried, Output, Planned, Port, StreamSchema, TimeNs};
use proprio_simulate::{Patient, Prescription, Session};
use serde_json::{Value, json};

use super::Suite;
use crate::bench::Bench;
use crate::error::AccuracyError;
use crate::figure::Figure;

pub const SUITE: Suite =
    Suite { name: "progression", about: "a prescription that follows 200 virtual patients against fixed ones, eight weeks", measure };

const FIRST_SEED: u64 = 1000;
const PATIENTS: u64 = 200;
/// So many are asked twice.
const AGAIN: usize = 20;
const SESSIONS: usize = 24;
/// Days from a session to the next one: Monday, Wednesday, Friday.
const REST_DAYS: [f64; 3] = [3.0, 2.0, 2.0];
/// What is important of the Oswestry Disability Index.
const IMPORTANT: f64 = 10.0;
/// Pain that is called severe.
const SEVERE: u8 = 6;
/// The normal distribution's 97.5 % quantile.
const Z_97: f64 = 1.96;
/// As in pipelines/programme, by name: from, to, step, start, whether greater is harder.
const PARAMETERS: [(&str, f64, f64, f64, f64, bool); 5] = [
    ("eccentric_s", 1.5, 4.0, 0.5, 2.0, true),
    ("feedback_percent", 20.0, 100.0, 20.0, 100.0, false),
    ("hold_s", 2.0, 6.0, 1.0, 3.0, true),
    ("load_kg", 0.0, 20.0, 2.5, 0.0, true),
    ("repetitions", 4.0, 10.0, 1.0, 5.0, true),
];

/// What eight weeks came to.
#[derive(Clone, Copy, Default)]
struct Course {
    odi_before: f64,
    odi_after: f64,
    severe_sessions: f64,
}

impl Course {
    fn gain(&self) -> f64 {
        self.odi_before - self.odi_after
    }
}

fn measure(_: &mut Bench) -> Result<Vec<Figure>, AccuracyError> {
    let planned = plan()?;
    let (mut adaptive, mut differing, mut outside) = (Vec::new(), 0, 0);
    for patient in FIRST_SEED..FIRST_SEED + PATIENTS {
        let (done, rows) = followed(&planned, patient);
        if adaptive.len() < AGAIN {
            differing += followed(&planned, patient).1.iter().zip(&rows).filter(|(again, first)| again != first).count();
        }
        outside += rows.iter().map(beyond).sum::<usize>();
        adaptive.push(done);
    }
    let under = |programme: &dyn Fn(usize) -> [f64; 5]| -> Vec<Course> {
        (FIRST_SEED..FIRST_SEED + PATIENTS).map(|patient| course(patient, |session, _| programme(session))).collect()
    };
    let ramps = (0..=10).map(|tenths| under(&|session| ramp(session, f64::from(tenths) / 10.0)));
    let best = ramps.max_by(|a, b| mean(a, Course::gain).total_cmp(&mean(b, Course::gain))).expect("there are eleven");
    let others = [("constant", under(&|_| ramp(0, 0.0))), ("weekly_step", under(&|session| weekly(session / 3))), ("best_ramp", best)];
    let mut figures = vec![
        Figure::lower("progression.outside_safe_range", outside as f64, "1").gate(0.0),
        Figure::lower("progression.differing_sessions", f64::from(differing as u32), "1").gate(0.0),
    ];
    for (name, of) in std::iter::once(("adaptive", &adaptive)).chain(others.iter().map(|(name, of)| (*name, of))) {
        let name = |what: &str| format!("progression.{name}.{what}");
        figures.push(Figure::higher(name("odi_gain"), mean(of, Course::gain), "%"));
        let is_important = |course: &Course| f64::from(u8::from(course.gain() >= IMPORTANT));
        figures.push(Figure::higher(name("important_change"), 100.0 * mean(of, is_important), "%"));
        figures.push(Figure::lower(name("severe_sessions"), mean(of, |course| course.severe_sessions), "1"));
    }
    for (name, of) in &others {
        let more: Vec<f64> = adaptive.iter().zip(of).map(|(own, other)| own.gain() - other.gain()).collect();
        let (mean, low) = interval(&more);
        figures.push(Figure::higher(format!("progression.over_{name}.odi"), mean, "%"));
        figures.push(Figure::higher(format!("progression.over_{name}.odi_low"), low, "%").gate(0.0));
    }
    Ok(figures)
}

fn mean(of: &[Course], value: impl Fn(&Course) -> f64) -> f64 {
    of.iter().map(value).sum::<f64>() / of.len() as f64
}

/// The mean, and the lower end of its 95 % interval.
fn interval(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (count - 1.0);
    (mean, mean - Z_97 * (variance / count).sqrt())
}

/// Eight weeks as `progression` proposes them, with each session's rows.
fn followed(planned: &Planned, patient: u64) -> (Course, Vec<RecordBatch>) {
    let (mut carried, mut now, mut all) = (None, ramp(0, 0.0), Vec::new());
    let mut ended = |session: usize, before: &Session, now: &[f64; 5], all: &mut Vec<RecordBatch>| {
        let rows = told(planned, carried.as_ref(), now, session, before);
        carried = Some(candidate(planned, &rows));
        let next = proposed(&rows);
        all.push(rows);
        next
    };
    let done = course(patient, |session, before| {
        if let Some(before) = before {
            now = ended(session - 1, before, &now, &mut all);
        }
        now
    });
    (done, all)
}

/// How many values in a session's rows, in force or proposed, are outside their safe range.
fn beyond(rows: &RecordBatch) -> usize {
    let column = |name: &str| rows.schema().index_of(name).expect("its column");
    let names = strings(rows, column("parameter"));
    let is_outside = |of: &str, row: usize| {
        let values = floats(rows, column(of));
        let range = PARAMETERS.iter().find(|(name, ..)| *name == names.value(row));
        range.is_some_and(|(_, from, to, ..)| values.is_valid(row) && !(*from..=*to).contains(&values.value(row)))
    };
    (0..rows.num_rows()).map(|row| ["value", "proposed"].iter().filter(|of| is_outside(of, row)).count()).sum()
}

/// Eight weeks of one patient; `next` gives a session's parameters from its number and from how the one before it went.
fn course(seed: u64, mut next: impl FnMut(usize, Option<&Session>) -> [f64; 5]) -> Course {
    let mut patient = Patient::new(seed);
    let mut course = Course { odi_before: patient.odi_percent(), ..Course::default() };
    let mut before: Option<Session> = None;
    for session in 0..SESSIONS {
        let values = next(session, before.as_ref());
        patient.rest(REST_DAYS[session % 3]);
        let done = patient.train(&prescription(values));
        course.severe_sessions += f64::from(u8::from(done.pain_nrs >= SEVERE));
        before = Some(done);
    }
    course.odi_after = patient.odi_percent();
    course
}

fn prescription([eccentric_s, feedback_percent, hold_s, load_kg, repetitions]: [f64; 5]) -> Prescription {
    Prescription { load_kg, hold_s, repetitions: repetitions as u32, eccentric_s, feedback_percent }
}

/// A step further each week in each parameter.
fn weekly(week: usize) -> [f64; 5] {
    PARAMETERS.map(|(_, from, to, step, start, is_up)| {
        let sign = if is_up { 1.0 } else { -1.0 };
        (start + sign * step * week as f64).clamp(from, to)
    })
}

/// In a straight line from what is done first to a share of what is left of each range, in whole steps.
fn ramp(session: usize, share: f64) -> [f64; 5] {
    PARAMETERS.map(|(_, from, to, step, start, is_up)| {
        let way = if is_up { to - start } else { from - start };
        let gone = share * way * session as f64 / (SESSIONS - 1) as f64;
        start + step * (gone / step).round()
    })
}

fn ports() -> [Port; 3] {
    let trials = StreamSchema::new(vec![float("hold_s", "s")], &[], None);
    [("repetitions", trials), ("outcomes", system::outcomes()), ("notes", system::notes())]
        .map(|(stream, schema)| Port { stream: stream.to_owned(), schema })
}

fn plan() -> Result<Planned, AccuracyError> {
    let parameters: serde_json::Map<String, Value> = PARAMETERS
        .iter()
        .map(|(name, from, to, step, start, is_up)| {
            let harder = if *is_up { "up" } else { "down" };
            ((*name).to_owned(), json!({ "from": from, "to": to, "step": step, "start": start, "harder": harder }))
        })
        .collect();
    let config = json!({
        "parameters": parameters, "good": "hold_s >= 0.8 * prescribed_hold_s", "target": "80 %", "tolerate": { "pain_nrs": 6.0 },
        "heed": ["progression"],
    });
    let registration = proprio_operators::operator("progression").unwrap_or_else(|| panic!("there is no operator `progression`"));
    (registration.plan)(config, &ports()).map_err(|findings| AccuracyError::Plan { op: "progression".to_owned(), findings })
}

/// A session as the step sees it: the approval, the repetitions, the answer; its rows.
fn told(planned: &Planned, carried: Option<&Carried>, now: &[f64; 5], session: usize, done: &Session) -> RecordBatch {
    let start = (session / 3 * 7 + [0, 2, 4][session % 3]) as TimeNs * DAY_NS + 1;
    let repetitions = done.training.schedule(done.seed);
    let times = |seconds: Vec<f64>| -> ArrayRef { Arc::new(seconds.iter().map(|s| start + (s * 1e9) as i64).collect::<Int64Array>()) };
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let end_s = repetitions.last().map_or(1.0, |last| last.end_s + 1.0);
    let holds: Vec<f64> = repetitions.iter().map(|repetition| repetition.lower_s - repetition.top_s).collect();
    let [trials, outcomes, notes] = ports();
    let inputs = [
        batch(
            &trials.schema,
            vec![times(repetitions.iter().map(|repetition| repetition.end_s).collect()), Arc::new(Float64Array::from(holds))],
        ),
        batch(
            &outcomes.schema,
            vec![
                times(vec![end_s]),
                text("pain_nrs"),
                Arc::new(Float64Array::from(vec![f64::from(done.pain_nrs)])),
                text("points"),
                Arc::new(Int64Array::from(vec![1])),
                text("[]"),
                text("patient"),
            ],
        ),
        batch(
            &notes.schema,
            vec![
                times(vec![0.0]),
                text("dr"),
                text("as proposed"),
                text("approve"),
                text("progression"),
                Arc::new(Float64Array::from(vec![None])),
            ],
        ),
    ];
    let mut state = planned.step.start();
    if let Some(carried) = carried {
        planned.step.carry(&mut state, carried);
    }
    let mut out = Output::default();
    planned.step.process(&mut state, &inputs, TimeNs::MAX, &mut out);
    planned.step.flush(&mut state, &mut out);
    let rows = concat_batches(&planned.output.columns, &out.take()).expect("a step's batches have its schema");
    let in_force = values(&rows, "in force", "value");
    assert_eq!(in_force, now.to_vec(), "what was approved is in force in session {session}");
    rows
}

/// The last row's course, as `session start --carry` takes it over.
fn candidate(planned: &Planned, rows: &RecordBatch) -> Carried {
    let texts = strings(rows, rows.schema().index_of("course").expect("its column"));
    let row = (0..rows.num_rows()).rev().find(|row| texts.is_valid(*row)).expect("a session has a course");
    Carried::of("progression", "session", &planned.output, &rows.slice(row, 1)).expect("each value has a text")
}

/// The last proposal; where none is made, what was in force.
fn proposed(rows: &RecordBatch) -> [f64; 5] {
    let found = values(rows, "proposed", "proposed");
    let found = if found.is_empty() { values(rows, "in force", "value") } else { found };
    found.try_into().expect("a value for each parameter")
}

/// The last value of each parameter, in the order of their names.
fn values(rows: &RecordBatch, scope: &str, column: &str) -> Vec<f64> {
    let text = |name: &str| strings(rows, rows.schema().index_of(name).expect("its column"));
    let numbers = floats(rows, rows.schema().index_of(column).expect("its column"));
    let last =
        |name: &str| (0..rows.num_rows()).rev().find(|row| text("scope").value(*row) == scope && text("parameter").value(*row) == name);
    PARAMETERS.iter().filter_map(|(name, ..)| last(name)).map(|row| numbers.value(row)).collect()
}
