//! Does `align` agree with its definition, taken point by point and at leisure, and does it wait for no more than it must?

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use proprio_core::rows::{float_or_nan, floats, nan_as_null, strings, times};
use proprio_core::schema::float;
use proprio_core::{At, Planned, Port, Rate, StreamSchema, TimeNs};
use serde_json::{Value, json};

use crate::laws::check_chunkings;
use crate::run::Run;
use crate::signal::Random;

const MS: i64 = 1_000_000;

fn port(stream: &str, rate: Option<Rate>) -> Port {
    Port { stream: stream.to_owned(), schema: StreamSchema::new(vec![float("value", "V")], &[], rate) }
}

fn rows(port: &Port, samples: &[(TimeNs, f64)]) -> RecordBatch {
    let times: ArrayRef = Arc::new(samples.iter().map(|(time, _)| *time).collect::<Int64Array>());
    let values = nan_as_null(samples.iter().map(|(_, value)| *value).collect());
    RecordBatch::try_new(port.schema.columns.clone(), vec![times, values]).expect("two columns")
}

fn plan(config: Value, ports: &[Port]) -> Planned {
    let registration = proprio_operators::operator("align").expect("align is registered");
    (registration.plan)(config, ports).expect("the configuration plans")
}

/// Irregular rows with holes, some of them on the grid.
fn samples(random: &mut Random) -> Vec<(TimeNs, f64)> {
    let mut time = random.index(40) as i64 * MS;
    let sample = |random: &mut Random, time| (time, if random.index(9) == 0 { f64::NAN } else { random.unit() });
    (0..60)
        .map(|_| {
            time += 1 + [random.index(9) as i64 * MS, random.index(20_000_000) as i64, 10 * MS - 1 - time % (10 * MS)][random.index(3)];
            time += if random.index(12) == 0 { 70 * MS } else { 0 };
            sample(random, time)
        })
        .collect()
}

/// Reason and value of one input at one grid point; the definition, over all of its rows.
fn defined(method: &str, samples: &[(TimeNs, f64)], time: TimeNs, tolerance_ns: i64) -> (&'static str, f64) {
    let near = |sample: &&(TimeNs, f64)| (sample.0 - time).abs() <= tolerance_ns;
    let before = samples.iter().rev().find(|sample| sample.0 <= time).filter(near);
    let after = samples.iter().find(|sample| sample.0 > time).filter(near);
    let exactly = |sample: &(TimeNs, f64)| if sample.0 == time { "exact" } else { "held" };
    let missing = ("missing", f64::NAN);
    match method {
        "linear" => match (before, after) {
            (Some((at, value)), _) if *at == time => ("exact", *value),
            (Some((t0, v0)), Some((t1, v1))) => ("interpolated", v0 + (v1 - v0) * ((time - t0) as f64 / (t1 - t0) as f64)),
            _ => missing,
        },
        "nearest" => {
            let nearest = before.into_iter().chain(after).min_by_key(|sample| (sample.0 - time).abs());
            nearest.map_or(missing, |sample| (exactly(sample), sample.1))
        }
        "as_of" => before.map_or(missing, |sample| (exactly(sample), sample.1)),
        "hold" => {
            let value = samples.iter().rev().filter(|sample| sample.0 <= time).take_while(near).find(|sample| !sample.1.is_nan());
            before.map_or(missing, |sample| {
                let own = value.is_none_or(|value| value.0 == sample.0);
                (if own { exactly(sample) } else { "held" }, value.map_or(f64::NAN, |value| value.1))
            })
        }
        "mean" => {
            let half = 5 * MS;
            let cell: Vec<_> = samples.iter().filter(|sample| sample.0 > time - half && sample.0 <= time + half).collect();
            let values: Vec<f64> = cell.iter().map(|sample| sample.1).filter(|value| !value.is_nan()).collect();
            let reason = match cell.as_slice() {
                [] => "missing",
                [only] if only.0 == time => "exact",
                _ => "interpolated",
            };
            (reason, values.iter().sum::<f64>() / values.len() as f64)
        }
        other => unreachable!("{other} is no method"),
    }
}

#[test]
fn every_method_is_what_its_definition_says() {
    let methods = ["linear", "nearest", "as_of", "hold", "mean"];
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let tolerance_ms = [0, 3, 10, 25][random.index(4)];
        let ports: Vec<Port> = methods.iter().map(|method| port(method, None)).collect();
        let inputs: serde_json::Map<String, Value> =
            methods.iter().map(|method| ((*method).to_owned(), json!({ "method": method }))).collect();
        let planned = plan(json!({ "rate": "100 Hz", "tolerance": format!("{tolerance_ms} ms"), "inputs": inputs }), &ports);
        let data: Vec<_> = methods.iter().map(|_| samples(&mut random)).collect();
        let batches: Vec<_> = ports.iter().zip(&data).map(|(port, data)| rows(port, data)).collect();
        let out = Run::whole(&planned, &batches);
        let mut row = 0;
        for time in (-10..400).map(|k| k * 10 * MS) {
            let due: Vec<_> = methods.iter().zip(&data).map(|(method, data)| defined(method, data, time, tolerance_ms * MS)).collect();
            if due.iter().all(|(reason, _)| *reason == "missing") {
                continue;
            }
            assert_eq!(times(&out)[row], time, "seed {seed}");
            for (index, (reason, value)) in due.iter().enumerate() {
                let got = (strings(&out, 2 + 2 * index).value(row), float_or_nan(floats(&out, 1 + 2 * index), row));
                let same = got.0 == *reason && ((got.1 - value).abs() < 1e-12 || got.1.is_nan() && value.is_nan());
                assert!(same, "seed {seed}, {} at {time}: {got:?}, due {reason} {value}", methods[index]);
            }
            row += 1;
        }
        assert_eq!(row, out.num_rows(), "seed {seed}: more rows came than are defined");
        check_chunkings(&planned, &batches, seed);
    }
}

#[test]
fn a_row_comes_with_the_last_sample_it_needs() {
    let ports = [port("fast", Some(Rate::hz(1000))), port("slow", Some(Rate::hz(100)))];
    let planned = plan(json!({}), &ports);
    assert_eq!(planned.output.rate, Some(Rate::hz(1000)), "the grid is that of the fastest input");
    let fast: Vec<_> = (0..100).map(|k| (k * MS, k as f64)).collect();
    let slow: Vec<_> = (0..10).map(|k| (k * 10 * MS, k as f64)).collect();
    let inputs = [rows(&ports[0], &fast), rows(&ports[1], &slow)];
    let mut run = Run::new(&planned, &inputs);
    run.advance(10 * MS);
    assert_eq!(run.rows().num_rows(), 11, "both have a row at 10 ms, so nothing waits");
    assert_eq!(run.promised(), 10 * MS);
    run.advance(19 * MS);
    assert_eq!(run.rows().num_rows(), 11, "11 ms waits for the slow one's row at 20 ms");
    run.advance(20 * MS);
    assert_eq!(run.rows().num_rows(), 21);
}

#[test]
fn silence_of_one_input_holds_up_for_its_tolerance_only() {
    let ports = [port("imu/a", Some(Rate::hz(100))), port("imu/b", Some(Rate::hz(100)))];
    let planned = plan(json!({ "tolerance": "15 ms" }), &ports);
    let a: Vec<_> = (0..50).map(|k| (k * 10 * MS, 1.0)).collect();
    let b: Vec<_> = (0..10).map(|k| (k * 10 * MS + MS, 1.0)).collect();
    let inputs = [rows(&ports[0], &a), rows(&ports[1], &b)];
    let mut run = Run::new(&planned, &inputs);
    run.advance(200 * MS);
    // At 100 ms `b` has a row before, so it could be interpolated up to 115 ms; from 110 ms on it can't.
    assert_eq!((run.rows().num_rows(), run.promised()), (21, 200 * MS));
    run.advance(TimeNs::MAX);
    assert_eq!((run.rows().num_rows(), run.promised()), (50, TimeNs::MAX), "the last row bounds the grid");
}

#[test]
fn planning_finds_what_cannot_be_aligned() {
    let registration = proprio_operators::operator("align").expect("align is registered");
    let keyed = Port { stream: "events".to_owned(), schema: proprio_core::table::system::events() };
    let ports = [port("imu/pelvis", None), port("orientation/pelvis", None), keyed];
    let config = json!({ "tolerance": "2 min", "inputs": { "imu/pelvs": {} } });
    let findings = (registration.plan)(config, &ports).expect_err("all of it is wrong");
    let at: Vec<_> = findings.iter().map(|finding| finding.at.clone()).collect();
    let due = [At::Config("/tolerance".to_owned()), At::Config("/inputs/imu~1pelvs".to_owned()), At::Input(1), At::Input(2), At::Step];
    assert_eq!(at, due, "{findings:#?}");
}

#[test]
#[ignore = "a measurement: cargo test -p proprio-operators --test it -- --ignored --nocapture align_throughput"]
fn align_throughput() {
    let rates = [1000, 200, 100, 100];
    let ports: Vec<Port> = rates.iter().enumerate().map(|(k, hertz)| port(&format!("s{k}"), Some(Rate::hz(*hertz)))).collect();
    let planned = plan(json!({ "rate": "1000 Hz" }), &ports);
    let seconds = 600;
    let data = |port: &Port, hertz: u64| {
        let samples: Vec<_> = (0..seconds * hertz as i64).map(|k| (Rate::hz(hertz).grid_time(k) + 1000, k as f64)).collect();
        rows(port, &samples)
    };
    let inputs: Vec<_> = ports.iter().zip(rates).map(|(port, hertz)| data(port, hertz)).collect();
    let begin = std::time::Instant::now();
    let mut run = Run::new(&planned, &inputs);
    (1..=seconds * 10).for_each(|k| run.advance(k * 100 * MS));
    let total: usize = inputs.iter().map(RecordBatch::num_rows).sum();
    let elapsed = begin.elapsed().as_secs_f64();
    println!("{total} rows in, {} out, in {elapsed:.3} s: {:.1} M rows in a second", run.rows().num_rows(), total as f64 / elapsed / 1e6);
}
