//! Does a prescription stay in its safe range whatever is seen and said, and does nothing take effect without an approval?

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_select::concat::concat_batches;
use proprio_core::rows::{batch, floats, nan_as_null, strings};
use proprio_core::schema::float;
use proprio_core::table::system;
use proprio_core::{At, Carried, Output, Planned, Port, StreamSchema, TimeNs};
use proprio_simulate::Random;
use serde_json::{Value, json};

const SESSION_NS: i64 = 2 * 86_400_000_000_000;

fn ports() -> [Port; 3] {
    let trials = StreamSchema::new(vec![float("hold_s", "s")], &[], None);
    [("repetitions", trials), ("outcomes", system::outcomes()), ("notes", system::notes())]
        .map(|(stream, schema)| Port { stream: stream.to_owned(), schema })
}

fn config() -> Value {
    json!({
        "parameters": {
            "hold_s": { "unit": "s", "from": 2.0, "to": 7.0, "step": 1.0, "start": 3.0, "steps": 2 },
            "load_kg": { "unit": "kg", "from": 0.0, "to": 11.0, "step": 2.5, "start": 5.0 },
            "feedback": { "from": 25.0, "to": 100.0, "step": 30.0, "start": 100.0, "harder": "down" },
        },
        "good": "hold_s >= 0.8 * prescribed_hold_s", "tolerate": { "pain_nrs": 5.0 }, "heed": ["progression"], "trials": 2,
    })
}

fn plan(config: Value) -> Planned {
    (proprio_operators::operator("progression").expect("it is registered").plan)(config, &ports()).expect("a plan")
}

/// What somebody says at a second: action, what it is about, value.
type Word = (f64, &'static str, &'static str, f64);

/// A session's rows: holds ten seconds apart from 10 s on, an answer after each.
fn session(planned: &Planned, number: i64, holds: &[f64], pain: &[f64], words: &[Word], carried: Option<&Carried>) -> RecordBatch {
    let at = |second: f64| number * SESSION_NS + (second * 1e9) as i64;
    let times = |seconds: Vec<f64>| -> ArrayRef { Arc::new(seconds.into_iter().map(at).collect::<Int64Array>()) };
    let every = |count: usize, from: f64| (0..count).map(|n| from + 10.0 * n as f64).collect::<Vec<_>>();
    let text = |value: &str, count: usize| -> ArrayRef { Arc::new(StringArray::from(vec![value; count])) };
    let words_of = |of: fn(&Word) -> &'static str| -> ArrayRef { Arc::new(StringArray::from_iter_values(words.iter().map(of))) };
    let [trials, outcomes, notes] = ports();
    let answers: Vec<ArrayRef> = vec![
        times(every(pain.len(), 15.0)),
        text("pain_nrs", pain.len()),
        Arc::new(Float64Array::from(pain.to_vec())),
        text("points", pain.len()),
        Arc::new(Int64Array::from(vec![1; pain.len()])),
        text("[]", pain.len()),
        text("patient", pain.len()),
    ];
    let said: Vec<ArrayRef> = vec![
        times(words.iter().map(|word| word.0).collect()),
        text("dr", words.len()),
        text("so be it", words.len()),
        words_of(|word| word.1),
        words_of(|word| word.2),
        nan_as_null(words.iter().map(|word| word.3).collect()),
    ];
    let inputs = [
        batch(&trials.schema, vec![times(every(holds.len(), 10.0)), nan_as_null(holds.to_vec())]),
        batch(&outcomes.schema, answers),
        batch(&notes.schema, said),
    ];
    let mut state = planned.step.start();
    if let Some(carried) = carried {
        planned.step.carry(&mut state, carried);
    }
    let mut out = Output::default();
    planned.step.process(&mut state, &inputs, TimeNs::MAX, &mut out);
    planned.step.flush(&mut state, &mut out);
    concat_batches(&planned.output.columns, &out.take()).expect("one schema")
}

fn text(rows: &RecordBatch, name: &str, row: usize) -> String {
    let texts = strings(rows, rows.schema().index_of(name).expect("a column"));
    if texts.is_null(row) { String::new() } else { texts.value(row).to_owned() }
}

/// Every value of a column in the rows of a scope and parameter.
fn values(rows: &RecordBatch, scope: &str, parameter: &str, column: &str) -> Vec<f64> {
    let numbers = floats(rows, rows.schema().index_of(column).expect("a column"));
    let own = (0..rows.num_rows()).filter(|row| text(rows, "scope", *row) == scope && text(rows, "parameter", *row) == parameter);
    own.filter(|row| numbers.is_valid(*row)).map(|row| numbers.value(row)).collect()
}

fn newest(planned: &Planned, rows: &RecordBatch) -> Carried {
    let row = (0..rows.num_rows()).rev().find(|row| !text(rows, "course", *row).is_empty()).expect("a course");
    Carried::of("progression", "s", &planned.output, &rows.slice(row, 1)).expect("texts")
}

#[test]
fn nothing_leaves_the_safe_range_whatever_is_seen_and_said() {
    let planned = plan(config());
    let ranges = [("hold_s", 2.0, 7.0), ("load_kg", 0.0, 11.0), ("feedback", 25.0, 100.0)];
    let mut proposals = 0;
    for seed in 0..40 {
        let mut chance = Random::new(seed, "progression");
        let mut carried = None;
        for number in 0..12 {
            let holds: Vec<f64> = (0..5).map(|_| if chance.chance(0.1) { f64::NAN } else { 2.0 + 6.0 * chance.uniform() }).collect();
            let pain: Vec<f64> = (0..2).map(|_| (10.0 * chance.uniform()).round()).collect();
            let wild = 40.0 * chance.signed();
            let words: Vec<Word> = [
                (1.0, "approve", "progression", f64::NAN),
                (2.0, "override", "load_kg", wild),
                (30.0, "override", "hold_s", wild),
                (31.0, "hold", "progression", f64::NAN),
                (32.0, "release", "progression", f64::NAN),
                (33.0, "approve", "progression", f64::NAN),
                (34.0, "approve", "hold_s", f64::NAN),
            ]
            .into_iter()
            .filter(|_| chance.chance(0.5))
            .collect();
            let rows = session(&planned, number, &holds, &pain, &words, carried.as_ref());
            for (name, from, to) in ranges {
                let found = [values(&rows, "in force", name, "value"), values(&rows, "proposed", name, "proposed")].concat();
                assert!(found.iter().all(|value| (from..=to).contains(value)), "seed {seed}, session {number}, {name}: {found:?}");
                proposals += found.len();
                let last = values(&rows, "proposed", name, "proposed").last().copied();
                let value = values(&rows, "in force", name, "value").last().copied().expect("it is told");
                let most = if name == "hold_s" {
                    2.0
                } else if name == "load_kg" {
                    2.5
                } else {
                    30.0
                };
                assert!(last.is_none_or(|last| (last - value).abs() <= most + 1e-9), "a proposal is a few steps away");
            }
            let again = session(&planned, number, &holds, &pain, &words, carried.as_ref());
            assert_eq!(rows, again, "the same session gives the same rows");
            carried = Some(newest(&planned, &rows));
        }
    }
    assert!(proposals > 5000, "{proposals}");
}

#[test]
fn only_an_approval_puts_a_proposal_in_force() {
    let planned = plan(config());
    let well = [3.0, 3.1, 3.2, 3.0, 3.1, 3.0];
    let first = session(&planned, 0, &well, &[1.0], &[], None);
    let proposed = *values(&first, "proposed", "load_kg", "proposed").last().expect("a proposal");
    assert!(proposed > 5.0, "six good repetitions leave room: {proposed}");
    let carried = newest(&planned, &first);
    let load = |words: &[Word]| values(&session(&planned, 1, &well, &[1.0], words, Some(&carried)), "in force", "load_kg", "value");
    assert_eq!(load(&[]), [5.0], "nobody approved");
    assert_eq!(load(&[(1.0, "approve", "progression", f64::NAN)]), [proposed]);
    assert_eq!(load(&[(1.0, "approve", "somebody else", f64::NAN)]), [5.0]);
    assert_eq!(load(&[(1.0, "override", "load_kg", 2.0)]), [2.0]);
    let refused = session(&planned, 1, &well, &[1.0], &[(1.0, "override", "load_kg", 12.0)], Some(&carried));
    assert_eq!(values(&refused, "refused", "load_kg", "proposed"), [12.0]);
    assert_eq!(values(&refused, "in force", "load_kg", "value"), [5.0]);
    // While the patient trains nothing changes; it holds from the next session on.
    let late = session(&planned, 1, &well, &[1.0], &[(12.0, "override", "load_kg", 2.0)], Some(&carried));
    assert_eq!(values(&late, "in force", "load_kg", "value"), [5.0]);
    let next = session(&planned, 2, &well, &[1.0], &[], Some(&newest(&planned, &late)));
    assert_eq!(values(&next, "in force", "load_kg", "value"), [2.0]);
    let held = session(&planned, 1, &well, &[1.0], &[(1.0, "hold", "progression", f64::NAN)], Some(&carried));
    assert!(values(&held, "proposed", "load_kg", "proposed").is_empty(), "while it is held nothing is proposed");
    let still = session(&planned, 2, &well, &[1.0], &[], Some(&newest(&planned, &held)));
    assert!(values(&still, "proposed", "load_kg", "proposed").is_empty(), "a hold outlives its session");
}

#[test]
fn pain_and_bad_trials_make_it_easier() {
    let planned = plan(config());
    let of = |holds: &[f64], pain: f64| {
        let rows = session(&planned, 0, holds, &[pain], &[], None);
        let whole = (0..rows.num_rows()).rev().find(|row| !text(&rows, "verdict", *row).is_empty()).expect("a verdict");
        text(&rows, "verdict", whole)
    };
    assert_eq!(of(&[3.0; 8], 1.0), "harder");
    assert_eq!(of(&[1.0; 8], 1.0), "easier");
    assert_eq!(of(&[3.0; 8], 10.0), "easier");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_pointer() {
    let with = |pointer: &str, value: Value| {
        let mut config = config();
        *config.pointer_mut(pointer).expect("it is there") = value;
        config
    };
    for (config, pointer) in [
        (with("/parameters", json!({})), "/parameters"),
        (with("/parameters/hold_s/to", json!(1.0)), "/parameters/hold_s/to"),
        (with("/parameters/hold_s/step", json!(0.0)), "/parameters/hold_s/step"),
        (with("/parameters/hold_s/start", json!(9.0)), "/parameters/hold_s/start"),
        (with("/parameters/hold_s/steps", json!(3)), "/parameters/hold_s/steps"),
        (with("/good", json!("hold_s >= prescribed_hold")), "/good"),
        (with("/tolerate", json!({ "pain": 3.0 })), "/tolerate/pain"),
        (with("/trials", json!(0)), "/trials"),
    ] {
        let findings = (proprio_operators::operator("progression").expect("it is registered").plan)(config.clone(), &ports()).err();
        let findings = findings.unwrap_or_else(|| panic!("{config} is taken"));
        assert_eq!(findings[0].at, At::Config(pointer.into()), "{config}: {findings:?}");
    }
    let alone = (proprio_operators::operator("progression").expect("it is registered").plan)(config(), &ports()[..1]);
    let at: Vec<At> = alone.expect_err("nobody can approve").into_iter().map(|finding| finding.at).collect();
    assert_eq!(at, [At::Config("/heed".into()), At::Config("/tolerate".into())]);
}
