//! Whether the worker keeps its laws: chunking is invisible, every sample is accounted for, barriers deliver all.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use proprio_core::recorded::Rejection;
use proprio_core::rig::RigFile;
use proprio_core::{
    Decision, Event, Operator, Output, Planned, Recorded, Samples, Sensor, SourceMessage, StreamSchema, TableChunk, TableSpec, TimeNs, rows,
};

use super::watermarks::WAITING_BYTES_MAX;
use super::*;
use crate::plan::PlannedStep;

const START: TimeNs = 1_000_000_000_000;

#[test]
fn chunking_is_invisible_and_every_sample_is_accounted_for() {
    for seed in 0..40 {
        let messages = scenario(seed);
        let whole = run(&messages, usize::MAX, seed);
        let by_one = run(&messages, 1, seed);
        let by_some = run(&messages, 7, seed);
        assert_eq!(whole, by_one, "seed {seed}");
        assert_eq!(whole, by_some, "seed {seed}");
        assert!(whole.0.contains("imu/a") && whole.0.contains("pairs"), "the scenario gives rows: {}", whole.0);
        for (sensor, (published, counts)) in whole.1.iter().enumerate() {
            let accounted = counts.rows as i64 + counts.late as i64 + counts.rejected as i64 + counts.lost;
            assert_eq!(accounted, *published, "seed {seed}, sensor {sensor}: {counts:?}");
        }
    }
}

#[test]
fn a_sample_that_comes_after_all_is_taken_back_from_the_losses() {
    let messages =
        record(vec![start(), samples(0, 0, START + 1, &[1.0]), samples(0, 2, START + 3, &[1.0]), samples(0, 1, START + 2, &[1.0]), stop()]);
    let mut worker = worker();
    let chunks = worker.advance(&messages);
    let counts = worker.sources().next().expect("a sensor").0;
    assert_eq!((counts.rows, counts.lost, counts.late), (2, 0, 1));
    let losses: Vec<i64> =
        chunks.iter().filter(|chunk| chunk.table == "losses").flat_map(|chunk| rows::integers(&chunk.rows, 3).values().to_vec()).collect();
    assert_eq!(losses, [1, -1]);
}

#[test]
fn bad_samples_are_rejected_with_their_reason() {
    let events = vec![
        start(),
        samples(0, 0, START + 1, &[1.0, f64::NAN, 3.0]),
        samples(0, 0, START + 1, &[1.0]),
        samples(0, 3, START + 3, &[1.0]),
        samples(0, 4, -5, &[1.0]),
        payload(0, "no such encoding", vec![1, 2, 3]),
        stop(),
    ];
    let chunks = worker().advance(&record(events));
    let rejected: Vec<String> = chunks.iter().filter(|chunk| chunk.table == "rejected").flat_map(|chunk| texts(&chunk.rows, 3)).collect();
    assert_eq!(rejected, ["not_finite", "duplicate", "equal_time", "bad_time", "encoding"]);
}

#[test]
fn a_silent_source_holds_others_until_it_is_idle() {
    let mut worker = worker();
    worker.advance(&record(vec![start(), Event::Decision(Decision::Idle { sensor: 2 })]));
    let mut tables = |events| worker.advance(&record(events)).iter().map(|chunk| chunk.table.clone()).collect::<Vec<_>>();
    assert!(!tables(vec![samples(0, 0, START + 1, &[1.0, 2.0])]).contains(&"pairs".to_owned()));
    assert!(tables(vec![Event::Decision(Decision::Idle { sensor: 1 })]).contains(&"pairs".to_owned()));
}

#[test]
fn what_waits_beyond_the_bound_makes_the_lowest_source_idle() {
    let rows_of_bound = WAITING_BYTES_MAX / 8 / 9 + 1;
    let ones = vec![1.0; 1000];
    let mut events = vec![start()];
    let messages = rows_of_bound / 1000 + 1;
    events.extend((0..messages as i64).map(|k| samples(0, k * 1000, START + 1 + k * 1000, &ones)));
    let mut worker = worker();
    let chunks = worker.advance(&record(events));
    assert!(chunks.iter().any(|chunk| chunk.table == "pairs"), "sensor 1 never spoke, and no longer holds the others");
}

/// Counts rows of both ports at each advance, and emits each row of port 0 that is at or before the watermark.
struct Pairs;

impl Operator for Pairs {
    type State = ();

    fn start(&self) {}

    fn process(&self, _state: &mut (), inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        let columns = vec![inputs[0].column(0).clone()];
        out.push(rows::batch(&StreamSchema::new(vec![], &[], None), columns));
        watermark
    }

    fn flush(&self, _state: &mut (), _out: &mut Output) {}
}

fn worker() -> Worker {
    let text = serde_json::json!({ "rig": "r", "sensors": {
        "a": { "kind": "imu", "rate": "1000/1 Hz", "magnetometer": false },
        "b": { "kind": "imu", "rate": "1000 Hz", "magnetometer": false, "out_of_order": "5 ns" },
        "c": { "kind": "events" },
    }});
    let rig = serde_json::from_value::<RigFile>(text).expect("a rig").resolve();
    let step = PlannedStep {
        id: "pairs".into(),
        op: "pairs",
        stream: "pairs".into(),
        key: None,
        config: serde_json::json!({}),
        inputs: vec![0, 1],
        planned: Planned::new(Pairs, StreamSchema::new(vec![], &[], None)),
        table: Some("pairs".into()),
    };
    let plan = Plan {
        pipeline: "p".into(),
        source_names: rig.sensors.iter().map(Sensor::stream).collect(),
        sources: rig.sensors.iter().map(Sensor::stream_schema).collect(),
        rig,
        steps: vec![step],
        tables: ["imu", "events"]
            .map(|name| TableSpec {
                name: name.into(),
                key: None,
                columns: Arc::new(arrow_schema::Schema::empty()),
                high_rate: false,
                operational: false,
            })
            .into(),
        rig_text: String::new(),
        pipeline_text: String::new(),
    };
    Worker::new(Arc::new(plan), decode, "run".into())
}

/// A test encoding: JSON `{sequence, time, values}`, one value for all of an IMU's columns.
fn decode(sensor: &Sensor, encoding: &str, payload: &[u8]) -> Result<SourceMessage, Rejection> {
    if encoding == "open" {
        return Ok(SourceMessage::Open { boot: 1, paced: false, serial: None });
    }
    if encoding != "test" {
        return Err(Rejection { reason: "encoding", detail: encoding.to_owned() });
    }
    let (sequence, time, values): (i64, i64, Vec<Option<f64>>) = serde_json::from_slice(payload).expect("the test's own payload");
    let times: ArrayRef = Arc::new(Int64Array::from_iter_values((0..values.len() as i64).map(|k| time + k)));
    let schema = sensor.wire_schema();
    let values: ArrayRef = Arc::new(values.iter().map(|value| value.unwrap_or(f64::NAN)).collect::<Float64Array>());
    let columns = std::iter::once(times).chain((1..schema.columns.fields().len()).map(|_| values.clone()));
    let rows = RecordBatch::try_new(schema.columns.clone(), columns.collect()).expect("columns fit");
    Ok(SourceMessage::Samples(Samples { boot: 1, sequence, rows }))
}

fn samples(sensor: usize, sequence: i64, time: TimeNs, values: &[f64]) -> Event {
    payload(sensor, "test", serde_json::to_vec(&(sequence, time, values)).expect("plain data"))
}

fn payload(sensor: usize, encoding: &str, payload: Vec<u8>) -> Event {
    Event::Payload { sensor, encoding: encoding.into(), payload }
}

fn start() -> Event {
    Event::Decision(Decision::SessionStart { session: "s".into(), subject: None, task: None, from_ns: START, sources: Default::default() })
}

fn stop() -> Event {
    Event::Decision(Decision::SessionStop)
}

fn record(events: Vec<Event>) -> Vec<Recorded> {
    events.into_iter().zip(0..).map(|(event, position)| Recorded { position, log_time_ns: START + position * 1000, event }).collect()
}

/// Two sensors whose messages are delayed, lost, doubled and spoilt, in a fixed order for each seed.
fn scenario(seed: u64) -> Vec<Recorded> {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let mut events = vec![
        start(),
        payload(0, "open", vec![]),
        payload(1, "open", vec![]),
        samples(0, 0, START + 1, &[0.0]),
        samples(1, 0, START + 1, &[0.0]),
    ];
    let mut sent = [1i64, 1];
    for _ in 0..200 {
        let sensor = next(2) as usize;
        let count = 1 + next(4) as i64;
        let spoilt = next(20) == 0;
        let values = vec![if spoilt { f64::NAN } else { 0.5 }; count as usize];
        let message = samples(sensor, sent[sensor], START + 1 + sent[sensor], &values);
        sent[sensor] += count;
        match next(12) {
            0 => {}
            1 => events.extend([message.clone(), message]),
            2 => events.insert(events.len() - 1, message),
            3 => events.extend([message, Event::Decision(Decision::Idle { sensor: 1 - sensor })]),
            _ => events.push(message),
        }
    }
    let last = |sensor: usize| samples(sensor, sent[sensor], START + 1 + sent[sensor], &[0.0]);
    events.extend([last(0), last(1), stop()]);
    record(events)
}

/// All rows by table, and per sensor the samples published with what became of them.
fn run(messages: &[Recorded], chunk: usize, _seed: u64) -> (String, Vec<(i64, SourceCounts)>) {
    let mut worker = worker();
    let chunks: Vec<TableChunk> = messages.chunks(chunk.min(messages.len())).flat_map(|messages| worker.advance(messages)).collect();
    let mut lines: Vec<String> = Vec::new();
    for chunk in &chunks {
        let name = format!("{}/{}", chunk.table, chunk.key.as_deref().unwrap_or(""));
        for row in 0..chunk.rows.num_rows() {
            lines.push(format!("{name} {:?}", chunk.rows.slice(row, 1).columns()));
        }
    }
    lines.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
    let published = worker.sequences().iter().map(|sequence| sequence.map_or(0, |sequence| sequence.last + 1)).collect::<Vec<_>>();
    (lines.join("\n"), published.into_iter().zip(worker.sources().map(|(counts, _)| counts)).take(2).collect())
}

fn texts(batch: &RecordBatch, column: usize) -> Vec<String> {
    rows::strings(batch, column).iter().flatten().map(str::to_owned).collect()
}
