//! A small rig, operators with memory, and a lab that records what happens to them.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::note::{Action, Note};
use proprio_core::recorded::Rejection;
use proprio_core::rig::RigFile;
use proprio_core::schema::float;
use proprio_core::{
    Carried, Decision, Event, Operator, Output, Planned, Recorded, Samples, Sensor, SourceMessage, StreamSchema, TableChunk, TableSpec,
    TimeNs, rows,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::*;
use crate::plan::{PlannedStep, sources};

/// Where the first session begins.
pub const START: TimeNs = 1_000_000_000_000;

/// Adds up the first number of every row of its ports, in time order, `lag_ns` behind the watermark. What is held back at a
/// session's end comes out then.
pub struct Sum {
    scale: f64,
    lag_ns: i64,
}

#[derive(Default, Serialize, Deserialize)]
pub struct SumState {
    sum: f64,
    held: Vec<(TimeNs, f64)>,
}

impl Operator for Sum {
    type State = SumState;

    fn start(&self) -> SumState {
        SumState::default()
    }

    fn process(&self, state: &mut SumState, inputs: &[RecordBatch], watermark: TimeNs, out: &mut Output) -> TimeNs {
        for input in inputs {
            let number = |row: usize| {
                let column = input.schema_ref().fields().iter().position(|field| field.data_type() == &DataType::Float64);
                column.map_or(1.0, |column| rows::float_or_nan(rows::floats(input, column), row))
            };
            state.held.extend(rows::times(input).iter().enumerate().map(|(row, time)| (*time, number(row))));
        }
        state.held.sort_by_key(|(time, _)| *time);
        let promised = watermark.saturating_sub(self.lag_ns);
        let ready = state.held.partition_point(|(time, _)| *time <= promised);
        self.emit(state, ready, out);
        promised
    }

    fn carry(&self, state: &mut SumState, carried: &Carried) {
        let rows = carried.batch(&sum_schema()).expect("the worker gives what fits");
        state.sum = rows::floats(&rows, 1).value(0);
    }

    fn flush(&self, state: &mut SumState, out: &mut Output) {
        let all = state.held.len();
        self.emit(state, all, out);
    }
}

impl Sum {
    fn emit(&self, state: &mut SumState, count: usize, out: &mut Output) {
        let (mut times, mut sums): (Vec<i64>, Vec<f64>) = (Vec::new(), Vec::new());
        for (time, number) in state.held.drain(..count) {
            state.sum += number * self.scale;
            // Rows of several ports may share an instant.
            if times.last() == Some(&time) {
                sums.pop();
                times.pop();
            }
            times.push(time);
            sums.push(state.sum);
        }
        out.push(rows::batch(&sum_schema(), vec![Arc::new(Int64Array::from(times)), Arc::new(Float64Array::from(sums))]));
    }
}

fn sum_schema() -> StreamSchema {
    StreamSchema::new(vec![float("sum", "1")], &[], None)
}

/// A sampled sensor in order, one with stragglers, one without a rate.
pub fn rig() -> serde_json::Value {
    json!({ "rig": "r", "sensors": {
        "a": { "kind": "imu", "rate": "10 Hz", "magnetometer": false },
        "b": { "kind": "imu", "rate": "10 Hz", "magnetometer": false, "out_of_order": "500 ms" },
        "c": { "kind": "events", "out_of_order": "200 ms" },
    }})
}

/// As [`rig`], with short gaps covered, and a sensor with a clock of its own.
pub fn full_rig() -> serde_json::Value {
    let mut rig = rig();
    let sensors = &mut rig["sensors"];
    (sensors["a"]["loss"], sensors["a"]["fill_up_to"]) = ("fill".into(), "300 ms".into());
    (sensors["b"]["loss"], sensors["b"]["fill_up_to"]) = ("hold".into(), "400 ms".into());
    sensors["d"] = json!({ "kind": "imu", "rate": "10 Hz", "magnetometer": false, "clock": "device", "out_of_order": "300 ms" });
    rig
}

/// The steps over [`full_rig`].
pub fn full_plan() -> Arc<Plan> {
    let mut steps = STEPS.to_vec();
    steps.push(("mapped", 1.0, 1, &["imu/d", "imu/a"]));
    plan(full_rig(), &steps)
}

/// A step that sums: its id, scale, lag in ticks and what it reads.
pub type Step<'s> = (&'s str, f64, i64, &'s [&'s str]);

/// Steps over two sensors, over all, one after another, and over what people say.
pub const STEPS: [Step<'static>; 5] = [
    ("of_a", 1.0, 0, &["imu/a"]),
    ("both", 0.5, 3, &["imu/a", "imu/b"]),
    ("all", 2.0, 0, &["both", "events/c", "imu/b"]),
    ("last", 1.0, 7, &["all"]),
    ("told", 1.0, 2, &["imu/a", "notes"]),
];

pub fn plan(rig: serde_json::Value, steps: &[Step<'_>]) -> Arc<Plan> {
    let rig = serde_json::from_value::<RigFile>(rig).expect("a rig").resolve();
    let (source_names, sources): (Vec<String>, Vec<StreamSchema>) = sources(&rig).into_iter().unzip();
    let mut streams = source_names.clone();
    let mut planned = Vec::new();
    for (id, scale, lag_ticks, from) in steps {
        let inputs = from.iter().map(|name| streams.iter().position(|stream| stream == name).expect("a stream")).collect();
        planned.push(PlannedStep {
            id: (*id).to_owned(),
            op: "sum",
            stream: (*id).to_owned(),
            key: None,
            config: json!({ "scale": scale, "lag_ticks": lag_ticks }),
            inputs,
            planned: Planned::new(Sum { scale: *scale, lag_ns: lag_ticks * TICK }, sum_schema()).carrying("sum > 0"),
            table: Some((*id).to_owned()),
        });
        streams.push((*id).to_owned());
    }
    let table = |name: &str| TableSpec {
        name: name.into(),
        key: None,
        columns: Arc::new(arrow_schema::Schema::empty()),
        operational: false,
        high_rate: false,
    };
    Arc::new(Plan {
        pipeline: "p".into(),
        source_names,
        sources,
        rig,
        steps: planned,
        tables: ["imu", "events"].map(table).into(),
        rig_text: String::new(),
        pipeline_text: String::new(),
        assets: std::collections::BTreeMap::new(),
    })
}

pub fn worker(plan: &Arc<Plan>) -> Worker {
    Worker::new(plan.clone(), decode, "run".into())
}

/// From one message, and from one sample, to the next.
pub const TICK: i64 = 100_000_000;

/// The test encodings: JSON of what the message holds, samples a tick apart on the device's clock.
pub fn decode(sensor: &Sensor, encoding: &str, payload: &[u8]) -> Result<SourceMessage, Rejection> {
    fn read<'p, T: Deserialize<'p>>(payload: &'p [u8]) -> T {
        serde_json::from_slice(payload).expect("the test's own payload")
    }
    match encoding {
        "open" => {
            let (boot, paced, serial) = read(payload);
            Ok(SourceMessage::Open { boot, paced, serial })
        }
        "end" => {
            let (boot, last_sequence) = read(payload);
            Ok(SourceMessage::End { boot, last_sequence })
        }
        "progress" => Ok(SourceMessage::Progress { time_ns: read(payload) }),
        "samples" => {
            let (boot, sequence, time, values): (i64, i64, TimeNs, Vec<Option<f64>>) = read(payload);
            let schema = sensor.wire_schema();
            let column = |field: &arrow_schema::FieldRef| -> ArrayRef {
                match field.data_type() {
                    DataType::Int64 => Arc::new(Int64Array::from_iter_values((0..values.len() as i64).map(|k| time + k * TICK))),
                    DataType::Utf8 => Arc::new(StringArray::from_iter_values(values.iter().map(|value| format!("{value:?}")))),
                    _ if field.is_nullable() => Arc::new(values.iter().copied().collect::<Float64Array>()),
                    _ => Arc::new(values.iter().map(|value| value.unwrap_or(f64::NAN)).collect::<Float64Array>()),
                }
            };
            let columns = schema.columns.fields().iter().map(column).collect();
            let rows = RecordBatch::try_new(schema.columns.clone(), columns).expect("columns fit");
            Ok(SourceMessage::Samples(Samples { boot, sequence, rows }))
        }
        other => Err(Rejection { reason: "encoding", detail: other.to_owned() }),
    }
}

fn payload(sensor: usize, encoding: &str, content: &impl Serialize) -> Event {
    Event::Payload { sensor, encoding: encoding.into(), payload: serde_json::to_vec(content).expect("plain data") }
}

pub fn open(sensor: usize, boot: i64, paced: bool, serial: Option<&str>) -> Event {
    payload(sensor, "open", &(boot, paced, serial))
}

pub fn end(sensor: usize, boot: i64, last_sequence: i64) -> Event {
    payload(sensor, "end", &(boot, last_sequence))
}

pub fn progress(sensor: usize, time_ns: TimeNs) -> Event {
    payload(sensor, "progress", &time_ns)
}

/// Samples of boot 1; NaN is what JSON writes as null.
pub fn samples(sensor: usize, sequence: i64, time: TimeNs, values: &[f64]) -> Event {
    samples_of(1, sensor, sequence, time, values)
}

pub fn samples_of(boot: i64, sensor: usize, sequence: i64, time: TimeNs, values: &[f64]) -> Event {
    payload(sensor, "samples", &(boot, sequence, time, values))
}

pub fn garbage(sensor: usize) -> Event {
    payload(sensor, "no such encoding", &[1, 2, 3])
}

pub fn decide(decision: Decision) -> Event {
    Event::Decision(decision)
}

pub fn idle(sensor: usize) -> Event {
    decide(Decision::Idle { sensor })
}

pub fn start() -> Event {
    start_at("s", START, BTreeMap::new())
}

pub fn start_at(session: &str, from_ns: TimeNs, sources: BTreeMap<String, SourceStart>) -> Event {
    decide(Decision::SessionStart { session: session.into(), subject: None, task: None, from_ns, sources, carried: Vec::new() })
}

/// An override of this value.
pub fn say(time_ns: TimeNs, value: f64) -> Event {
    let note = Note { action: Action::Override, value: Some(value), ..Note::plain("anna", "enough") };
    decide(Decision::Note { time_ns, note })
}

pub fn stop() -> Event {
    decide(Decision::SessionStop)
}

/// Events as a recording holds them, one a tick from `START` on.
pub fn record(events: Vec<Event>) -> Vec<Recorded> {
    events.into_iter().zip(0..).map(|(event, position)| Recorded { position, log_time_ns: START + position * TICK, event }).collect()
}

/// Numbers by chance, the same for each seed.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Below `bound`.
    pub fn next(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A worker that lives while its recording is written.
pub struct Lab {
    pub worker: Worker,
    pub recording: Vec<Recorded>,
    pub chunks: Vec<TableChunk>,
}

impl Lab {
    pub fn new(plan: &Arc<Plan>) -> Self {
        Self { worker: worker(plan), recording: Vec::new(), chunks: Vec::new() }
    }

    /// The arrival clock: a tick a message.
    pub fn now_ns(&self) -> TimeNs {
        START + self.recording.len() as i64 * TICK
    }

    pub fn tell(&mut self, event: Event) {
        let message = Recorded { position: self.recording.len() as i64, log_time_ns: self.now_ns(), event };
        self.chunks.extend(self.worker.advance(std::slice::from_ref(&message)));
        self.recording.push(message);
    }

    /// Begins a session as the engine does: with what each sensor brings along.
    pub fn start(&mut self, session: &str, from_ns: TimeNs) {
        let sources = self.worker.source_starts();
        self.tell(start_at(session, from_ns, sources));
    }
}

/// Rows by table, key and session, each with all its bits; positions and chunks left out.
pub fn lines(chunks: &[TableChunk]) -> Vec<String> {
    let mut lines = Vec::new();
    for chunk in chunks {
        let TableChunk { table, key, session, run_id, .. } = chunk;
        for row in 0..chunk.rows.num_rows() {
            lines.push(format!("{table}/{}/{session}/{run_id} {:?}", key.as_deref().unwrap_or(""), chunk.rows.slice(row, 1).columns()));
        }
    }
    // Within a stream the order counts; between streams it is the chunks' own.
    lines.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
    lines
}

/// Rows of one table.
pub fn table<'c>(chunks: &'c [TableChunk], name: &str) -> Vec<&'c RecordBatch> {
    chunks.iter().filter(|chunk| chunk.table == name).map(|chunk| &chunk.rows).collect()
}

pub fn texts(chunks: &[TableChunk], name: &str, column: &str) -> Vec<String> {
    let of = |batch: &&RecordBatch| {
        let index = batch.schema_ref().index_of(column).expect("a column");
        rows::strings(batch, index).iter().flatten().map(str::to_owned).collect::<Vec<_>>()
    };
    table(chunks, name).iter().flat_map(of).collect()
}

pub fn integers(chunks: &[TableChunk], name: &str, column: &str) -> Vec<Option<i64>> {
    let of = |batch: &&RecordBatch| {
        let index = batch.schema_ref().index_of(column).expect("a column");
        rows::integers(batch, index).iter().collect::<Vec<_>>()
    };
    table(chunks, name).iter().flat_map(of).collect()
}

pub fn floats(chunks: &[TableChunk], name: &str, column: &str) -> Vec<Option<f64>> {
    let of = |batch: &&RecordBatch| {
        let index = batch.schema_ref().index_of(column).expect("a column");
        rows::floats(batch, index).iter().collect::<Vec<_>>()
    };
    table(chunks, name).iter().flat_map(of).collect()
}
