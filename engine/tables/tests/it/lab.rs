//! Which small lab do the `.slt` files ask? Three visits of two subjects, made of formulas alone.
//!
//! Each visit lasts 10 s from `time_ns` 0 of its day: two IMUs at 100 Hz, two muscles at 1 kHz, a knee angle at 100 Hz, three markers
//! at 50 Hz, and cycles of 1.1 s. The left step is longer than the right one, and a packet of the pelvis is missing in `s2`.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field};
use proprio_core::schema::{FieldExt, column, float, text};
use proprio_core::table::system;
use proprio_core::{StreamSchema, TableChunk, TableSpec};

use super::DAY_NS;

const SECOND_NS: i64 = 1_000_000_000;
/// Chunks that each visit's streams come in.
const CHUNKS: i64 = 10;
const SECONDS: i64 = 10;

struct Visit {
    session: &'static str,
    subject: &'static str,
    /// 1 February, 2 March and 3 March 2026, at midnight UTC.
    start_ns: i64,
    /// How much longer the left step is than the right one, in seconds.
    limp_s: f64,
}

const VISITS: [Visit; 3] = [
    Visit { session: "s1", subject: "P01", start_ns: 20_485 * DAY_NS, limp_s: 0.10 },
    Visit { session: "s2", subject: "P01", start_ns: 20_514 * DAY_NS, limp_s: 0.04 },
    Visit { session: "s3", subject: "P02", start_ns: 20_515 * DAY_NS, limp_s: 0.0 },
];

/// The tables beside the system's.
pub(crate) fn specs() -> Vec<TableSpec> {
    let spec = |name: &str, key: Option<&str>, schema: StreamSchema, high_rate: bool| TableSpec {
        name: name.to_owned(),
        key: key.map(str::to_owned),
        columns: schema.columns,
        high_rate,
        operational: false,
    };
    vec![
        spec("imu", Some("sensor"), imu(), true),
        spec("emg", Some("sensor"), emg(), true),
        spec("angles", None, angles(), true),
        spec("markers", Some("sensor"), markers(), true),
        spec("contacts", None, contacts(), false),
        spec("cycles", None, cycles(), false),
    ]
}

fn imu() -> StreamSchema {
    let gyro = float("gyro_y_rad_per_s", "rad/s").frame("sensor");
    let accel = float("accel_z_m_per_s2", "m/s^2").frame("sensor");
    StreamSchema::new(vec![column("sequence", DataType::Int64).required(), gyro.required(), accel.required()], &[], None)
}

fn emg() -> StreamSchema {
    let muscles = ["gluteus_medius_left", "gluteus_medius_right"].map(|muscle| float(format!("{muscle}_v"), "V").required());
    StreamSchema::new([vec![column("sequence", DataType::Int64).required()], muscles.to_vec()].concat(), &[], None)
}

fn angles() -> StreamSchema {
    StreamSchema::new(vec![float("knee_left_flexion_deg", "deg"), float("knee_right_flexion_deg", "deg")], &[], None)
}

fn markers() -> StreamSchema {
    let heel = ["LHEE", "RHEE", "SACR"].map(|label| float(format!("{label}_x_m"), "m").frame("lab"));
    StreamSchema::new(heel.to_vec(), &[], None)
}

fn contacts() -> StreamSchema {
    StreamSchema::new(vec![text("event").required(), text("side").required()], &["event", "side"], None)
}

fn cycles() -> StreamSchema {
    let start = column("start_ns", DataType::Int64).unit("ns").required();
    let fields: Vec<Field> = vec![text("side").required(), start, float("stride_time_s", "s"), float("step_time_s", "s")];
    StreamSchema::new(fields, &["side"], None)
}

/// Everything that was recorded, in the order of positions.
pub(crate) fn chunks() -> Vec<TableChunk> {
    let mut chunks = Vec::new();
    for visit in &VISITS {
        let mut add = |table: &str, key: Option<&str>, rows: RecordBatch| {
            let (session, run_id) = (visit.session.to_owned(), "run-a".to_owned());
            let position = chunks.len() as i64;
            chunks.push(TableChunk { table: table.to_owned(), key: key.map(str::to_owned), session, run_id, rows, position });
        };
        add(system::SESSIONS, None, session(visit, "started"));
        for (trial, second) in [("standing", 0), ("walking", 2)] {
            add(system::TRIALS, None, batch(&system::trials(), visit.start_ns + second * SECOND_NS, &[0], vec![texts(&[trial])]));
        }
        for chunk in 0..CHUNKS {
            for sensor in ["pelvis", "trunk"] {
                add("imu", Some(sensor), imu_rows(visit, sensor, chunk));
            }
            add("emg", Some("muscles"), emg_rows(visit, chunk));
            add("angles", None, angle_rows(visit, chunk));
            add("markers", Some("optical"), marker_rows(visit, chunk));
        }
        add("contacts", None, contact_rows(visit));
        add("cycles", None, cycle_rows(visit));
        add(system::SESSIONS, None, session(visit, "ended"));
    }
    chunks
}

/// Sample numbers of a chunk of a stream.
fn samples(chunk: i64, rate_hz: i64) -> Vec<i64> {
    let each = SECONDS * rate_hz / CHUNKS;
    (chunk * each..(chunk + 1) * each).collect()
}

fn batch(schema: &StreamSchema, start_ns: i64, times_ns: &[i64], columns: Vec<ArrayRef>) -> RecordBatch {
    let times: ArrayRef = Arc::new(times_ns.iter().map(|time| start_ns + time).collect::<Int64Array>());
    proprio_core::rows::batch(schema, [vec![times], columns].concat())
}

fn floats(samples: &[i64], value: impl Fn(i64) -> f64) -> ArrayRef {
    Arc::new(samples.iter().map(|k| value(*k)).collect::<Float64Array>())
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn sine(cycles: f64) -> f64 {
    (cycles * std::f64::consts::TAU).sin()
}

fn imu_rows(visit: &Visit, sensor: &str, chunk: i64) -> RecordBatch {
    let lost = |k: &i64| visit.session == "s2" && sensor == "pelvis" && (500..510).contains(k);
    let samples: Vec<i64> = samples(chunk, 100).into_iter().filter(|k| !lost(k)).collect();
    let times: Vec<i64> = samples.iter().map(|k| k * 10_000_000).collect();
    let amplitude = if sensor == "pelvis" { 2.0 } else { 1.0 };
    let gyro = floats(&samples, |k| amplitude * sine(k as f64 / 100.0));
    let accel = floats(&samples, |k| 9.81 + amplitude * sine(k as f64 / 50.0));
    batch(&imu(), visit.start_ns, &times, vec![Arc::new(Int64Array::from(samples)), gyro, accel])
}

/// The left muscle is a tone of 80 Hz that is ten times as loud from 4 s to 6 s, the right one of 125 Hz all along.
fn emg_rows(visit: &Visit, chunk: i64) -> RecordBatch {
    let samples = samples(chunk, 1000);
    let times: Vec<i64> = samples.iter().map(|k| k * 1_000_000).collect();
    let left = floats(&samples, |k| if (4000..6000).contains(&k) { 1e-4 } else { 1e-5 } * sine(k as f64 * 0.08));
    let right = floats(&samples, |k| 2e-5 * sine(k as f64 * 0.125));
    batch(&emg(), visit.start_ns, &times, vec![Arc::new(Int64Array::from(samples)), left, right])
}

fn angle_rows(visit: &Visit, chunk: i64) -> RecordBatch {
    let samples = samples(chunk, 100);
    let times: Vec<i64> = samples.iter().map(|k| k * 10_000_000).collect();
    let left = floats(&samples, |k| 30.0 + 30.0 * sine(k as f64 / 110.0));
    let right = floats(&samples, |k| 30.0 + 20.0 * sine(k as f64 / 110.0 + 0.5));
    batch(&angles(), visit.start_ns, &times, vec![left, right])
}

fn marker_rows(visit: &Visit, chunk: i64) -> RecordBatch {
    let samples = samples(chunk, 50);
    let times: Vec<i64> = samples.iter().map(|k| k * 20_000_000).collect();
    let seen = samples.iter().map(|k| (k % 25 < 20).then_some(*k as f64 * 0.02));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(seen.collect::<Float64Array>()),
        floats(&samples, |k| k as f64 * 0.02 + 0.3),
        floats(&samples, |k| k as f64 * 0.02 + 0.1),
    ];
    batch(&markers(), visit.start_ns, &times, columns)
}

/// (time, side) of the contacts: a stride lasts 1.1 s, the left step longer by the visit's limp.
fn contact_times(visit: &Visit) -> Vec<(i64, &'static str)> {
    let right_ns = 550_000_000 - (visit.limp_s * 5e8) as i64;
    (0..8).flat_map(|k| [(k * 1_100_000_000, "left"), (k * 1_100_000_000 + right_ns, "right")]).collect()
}

fn contact_rows(visit: &Visit) -> RecordBatch {
    let found = contact_times(visit);
    let times: Vec<i64> = found.iter().map(|(time, _)| *time).collect();
    let sides: Vec<&str> = found.iter().map(|(_, side)| *side).collect();
    batch(&contacts(), visit.start_ns, &times, vec![texts(&vec!["initial_contact"; sides.len()]), texts(&sides)])
}

fn cycle_rows(visit: &Visit) -> RecordBatch {
    let found = contact_times(visit);
    let ends = &found[2..];
    let times: Vec<i64> = ends.iter().map(|(time, _)| *time).collect();
    let sides: Vec<&str> = ends.iter().map(|(_, side)| *side).collect();
    let columns: Vec<ArrayRef> = vec![
        texts(&sides),
        Arc::new(times.iter().map(|time| visit.start_ns + time - 1_100_000_000).collect::<Int64Array>()),
        Arc::new(Float64Array::from(vec![1.1; times.len()])),
        Arc::new(found.windows(2).skip(1).map(|pair| (pair[1].0 - pair[0].0) as f64 / 1e9).collect::<Float64Array>()),
    ];
    batch(&cycles(), visit.start_ns, &times, columns)
}

fn session(visit: &Visit, state: &str) -> RecordBatch {
    let is_end = state == "ended";
    let at = if is_end { SECONDS * SECOND_NS } else { 0 };
    let columns: Vec<ArrayRef> = vec![
        texts(&[state]),
        texts(&[visit.subject]),
        texts(&["walking"]),
        Arc::new(Int64Array::from(vec![visit.start_ns])),
        Arc::new(Int64Array::from(vec![is_end.then_some(visit.start_ns + at)])),
    ];
    batch(&system::sessions(), visit.start_ns, &[at], columns)
}
