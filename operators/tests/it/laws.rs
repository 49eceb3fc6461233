//! The laws of every registered operator, over its example: chunking is invisible, snapshots are complete, promises hold,
//! runs repeat bit for bit, unknown keys are refused, and neither silence nor missing values do harm.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::{RecordBatch, new_null_array};
use proprio_core::rows::times;
use proprio_core::{Output, Planned, Rate, TimeNs};
use proprio_operators::REGISTRY;
use serde_json::{Value, json};

use crate::example::Example;
use crate::run::Run;
use crate::signal::Random;

/// Watermarks at which every chunking is held against a run of one call.
const CHECKPOINTS: usize = 8;
/// How many watermarks a random chunking has.
const CHUNKINGS: [usize; 5] = [3, 7, 20, 60, 200];
/// The longest run of single-row steps.
const SINGLE_STEPS: usize = 400;

#[test]
fn chunking_and_snapshots_are_invisible() {
    each(|example, seed| {
        let planned = example.plan();
        let rows = Run::whole(&planned, &example.inputs).num_rows();
        assert!(rows > 0, "the example gives no rows");
        check_chunkings(&planned, &example.inputs, seed);
    });
}

#[test]
fn missing_values_do_no_harm() {
    each(|example, seed| {
        let planned = example.plan();
        let nulled: Vec<RecordBatch> = example.inputs.iter().map(all_null).collect();
        check_chunkings(&planned, &nulled, seed);
        for port in 0..example.inputs.len() {
            let mut one_missing = example.inputs.clone();
            one_missing[port] = nulled[port].clone();
            Run::whole(&planned, &one_missing);
            one_missing[port] = example.inputs[port].slice(0, 0);
            check_chunkings(&planned, &one_missing, seed);
        }
    });
}

#[test]
fn two_runs_agree_bit_for_bit() {
    each(|example, _| {
        let first = Run::whole(&example.plan(), &example.inputs);
        assert_same(&first, &Run::whole(&example.plan(), &example.inputs), "a second run");
    });
}

#[test]
fn silence_gives_nothing() {
    each(|example, _| {
        let planned = example.plan();
        let none: Vec<RecordBatch> = example.ports.iter().map(|port| port.schema.empty()).collect();
        let mut state = planned.step.start();
        let mut out = Output::default();
        for watermark in [TimeNs::MIN, -1, 0, 1_000_000_000, 1_000_000_000, i64::MAX - 1, TimeNs::MAX] {
            let promised = planned.step.process(&mut state, &none, watermark, &mut out);
            assert!(promised <= watermark, "{promised} was promised at watermark {watermark}");
        }
        planned.step.flush(&mut state, &mut out);
        assert!(out.take().is_empty(), "rows came out of nothing");
    });
}

#[test]
fn unknown_keys_are_refused() {
    each(|example, _| {
        let schema = (example.registration.schema)();
        assert_closed(schema.as_value(), "");
        let mut config = example.config.clone();
        config.as_object_mut().expect("`with:` is a mapping").insert("no_such_key".to_owned(), json!(1));
        let findings = (example.registration.plan)(config, &example.ports).expect_err("an unknown key is a finding");
        assert!(findings.iter().any(|finding| finding.message.contains("no_such_key")), "{findings:?}");
    });
}

#[test]
fn every_operator_has_a_manual() {
    each(|example, _| {
        assert!(example.registration.manual().len() > 200, "the header says what the operator does, its source, delay, units and gaps");
        let schema = (example.registration.schema)();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            assert!(property.get("description").is_some(), "the configuration `{name}` has no doc comment");
        }
    });
}

/// Runs a check over every operator's example, and names all that fail it.
pub fn each(check: impl Fn(&Example, u64)) {
    assert!(!REGISTRY.is_empty(), "no operator is registered");
    let failed = REGISTRY.iter().zip(0..).filter(|(registration, seed)| {
        let result = catch_unwind(AssertUnwindSafe(|| check(&Example::of(registration), *seed)));
        result.is_err()
    });
    let failed: Vec<&str> = failed.map(|(registration, _)| registration.name).collect();
    assert!(failed.is_empty(), "in this order, the panics above are of {failed:?}");
}

/// At every checkpoint a chunked run has given the rows, and promised the watermark, of a run in one call, and would end
/// as it does.
pub fn check_chunkings(planned: &Planned, inputs: &[RecordBatch], seed: u64) {
    let mut random = Random::new(seed);
    let instants = instants(inputs);
    let mut checkpoints: Vec<TimeNs> = (0..CHECKPOINTS).map(|_| near(&instants, &mut random)).collect();
    checkpoints.push(TimeNs::MAX);
    checkpoints.sort_unstable();
    let expected: Vec<Run> = checkpoints.iter().map(|watermark| one_call(planned, inputs, *watermark)).collect();
    for size in CHUNKINGS {
        let watermarks = (0..size).map(|_| near(&instants, &mut random)).collect();
        check_chunking(planned, inputs, watermarks, &checkpoints, &expected, &mut random);
    }
    let from = random.index(instants.len().saturating_sub(SINGLE_STEPS) + 1);
    let single = instants[from..].iter().take(SINGLE_STEPS).copied().collect();
    check_chunking(planned, inputs, single, &checkpoints, &expected, &mut random);
    let rate = Rate::hz(25);
    let ticks = instants.first().map_or(0, |first| rate.grid_index_at_or_after(*first));
    check_chunking(planned, inputs, (ticks..ticks + 250).map(|k| rate.grid_time(k)).collect(), &checkpoints, &expected, &mut random);
}

fn one_call<'a>(planned: &'a Planned, inputs: &'a [RecordBatch], watermark: TimeNs) -> Run<'a> {
    let mut run = Run::new(planned, inputs);
    run.advance(watermark);
    run
}

fn check_chunking(
    planned: &Planned,
    inputs: &[RecordBatch],
    mut watermarks: Vec<TimeNs>,
    checkpoints: &[TimeNs],
    expected: &[Run],
    random: &mut Random,
) {
    watermarks.extend(checkpoints);
    watermarks.sort_unstable();
    let what = format!("{} watermarks", watermarks.len());
    let mut run = Run::new(planned, inputs);
    for watermark in watermarks {
        run.advance(watermark);
        if random.index(3) == 0 {
            run.reload();
        }
        if let Ok(checkpoint) = checkpoints.binary_search(&watermark) {
            let what = format!("{what}, at {watermark}");
            assert_same(&expected[checkpoint].rows(), &run.rows(), &what);
            assert_eq!(expected[checkpoint].promised(), run.promised(), "the promise after {what}");
            assert_same(&expected[checkpoint].flush(), &run.flush(), &format!("{what}, flushed"));
        }
    }
}

/// The distinct times of all inputs, in order.
fn instants(inputs: &[RecordBatch]) -> Vec<TimeNs> {
    let mut instants: Vec<TimeNs> = inputs.iter().flat_map(|input| times(input).iter().copied()).collect();
    instants.sort_unstable();
    instants.dedup();
    instants
}

/// A time at, just beside, or between rows, or some way outside them.
fn near(instants: &[TimeNs], random: &mut Random) -> TimeNs {
    let (Some(first), Some(last)) = (instants.first(), instants.last()) else { return random.index(1_000_000_000) as TimeNs };
    let instant = instants[random.index(instants.len())];
    let span = last - first + 1_000_000_000;
    match random.index(8) {
        0 => instant - 1,
        1 => instant + 1,
        2 => first - 1 - random.index(1_000_000_000) as TimeNs,
        3 | 4 => first + (random.unit() * span as f64) as TimeNs,
        _ => instant,
    }
}

/// The rows with every nullable column null.
fn all_null(rows: &RecordBatch) -> RecordBatch {
    let schema = rows.schema();
    let columns = schema
        .fields()
        .iter()
        .zip(rows.columns())
        .map(|(field, column)| if field.is_nullable() { new_null_array(field.data_type(), rows.num_rows()) } else { column.clone() });
    RecordBatch::try_new(schema.clone(), columns.collect()).expect("the schema stays")
}

/// Every object in the schema that names properties refuses others.
fn assert_closed(schema: &Value, path: &str) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") || object.get("type") == Some(&json!("object")) {
                let closed = object.get("additionalProperties");
                let is_map = closed.is_some_and(|values| values.is_object());
                assert!(is_map || closed == Some(&json!(false)), "the schema takes unknown keys at `{path}`: deny_unknown_fields is due");
            }
            object.iter().for_each(|(key, value)| assert_closed(value, &format!("{path}/{key}")));
        }
        Value::Array(values) => values.iter().for_each(|value| assert_closed(value, path)),
        _ => {}
    }
}

/// Equal to the last bit; otherwise says where the rows part.
fn assert_same(expected: &RecordBatch, actual: &RecordBatch, what: &str) {
    if expected == actual {
        return;
    }
    let common = expected.num_rows().min(actual.num_rows());
    let parted = (0..common).find(|row| expected.slice(*row, 1) != actual.slice(*row, 1)).unwrap_or(common);
    let show = |rows: &RecordBatch| (parted < rows.num_rows()).then(|| format!("{:?}", rows.slice(parted, 1).columns()));
    panic!(
        "{what}: {} rows are due and {} came; they part at row {parted}: due {:?}, came {:?}",
        expected.num_rows(),
        actual.num_rows(),
        show(expected),
        show(actual)
    );
}
