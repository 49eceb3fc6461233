//! Which rows are asked? Sessions of one subject each, made by formulas: EMG at 1 kHz, two IMUs and two knees at 100 Hz, strides of 1.1 s.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::schema::{column, float, text};
use proprio_core::table::system;
use proprio_core::{StreamSchema, TableChunk, TableSpec};
use proprio_tables::{Place, Reader, Store};

const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;
/// 1 January 2026.
const FIRST_DAY: i64 = 20_454;
const STRIDE_NS: i64 = 1_100_000_000;
/// EMG 1000, two IMUs 200, angles 100.
const ROWS_PER_SECOND: i64 = 1_300;
/// Seconds that are appended at once.
const CHUNK_S: i64 = 30;

/// Fills a data directory unless it holds tables, and gives the number of rows at high rates.
pub(crate) async fn fill(data: &Path, sessions: i64, rows: i64) -> Result<i64, super::Failure> {
    let seconds = (rows / ROWS_PER_SECOND / sessions).max(10);
    if Reader::open(&Place::of_data(data)?).await.is_ok() {
        return Ok(seconds * sessions * ROWS_PER_SECOND);
    }
    let store = Store::open(&Place::of_data(data)?, "bench", &specs()).await?;
    let mut position = 0;
    for number in 0..sessions {
        let session = Session { name: format!("s{number:03}"), number, start_ns: (FIRST_DAY + number) * DAY_NS };
        let mut add = |table: &str, key: Option<&str>, schema: &StreamSchema, columns: Vec<ArrayRef>| {
            position += 1;
            let rows = proprio_core::rows::batch(schema, columns);
            let (session, run_id) = (session.name.clone(), "run".to_owned());
            let chunk = TableChunk { table: table.to_owned(), key: key.map(str::to_owned), session, run_id, rows, position };
            store.append(std::slice::from_ref(&chunk), position).map(drop)
        };
        add("sessions", None, &system::sessions(), session.row(seconds))?;
        for (trial, second) in [("standing", 0), ("walking", seconds / 5), ("turning", seconds / 2)] {
            let columns = vec![session.times(&[second * SECOND_NS]), texts(&[trial])];
            add("trials", None, &system::trials(), columns)?;
        }
        for from_s in (0..seconds).step_by(CHUNK_S as usize) {
            let until_s = (from_s + CHUNK_S).min(seconds);
            for sensor in ["pelvis", "trunk"] {
                add("imu", Some(sensor), &imu(), session.imu(from_s, until_s, sensor))?;
            }
            add("emg", Some("muscles"), &emg(), session.emg(from_s, until_s))?;
            add("angles", None, &angles(), session.angles(from_s, until_s))?;
        }
        add("cycles", None, &cycles(), session.cycles(seconds))?;
        store.commit(position).await?;
    }
    Ok(seconds * sessions * ROWS_PER_SECOND)
}

fn specs() -> Vec<TableSpec> {
    let spec = |name: &str, key: Option<&str>, schema: StreamSchema, high_rate| TableSpec {
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
        spec("cycles", None, cycles(), false),
    ]
}

fn imu() -> StreamSchema {
    let sequence = column("sequence", DataType::Int64);
    StreamSchema::new(vec![sequence, float("gyro_y_rad_per_s", "rad/s"), float("accel_z_m_per_s2", "m/s^2")], &[], None)
}

fn emg() -> StreamSchema {
    StreamSchema::new(vec![float("gluteus_medius_left_v", "V"), float("gluteus_medius_right_v", "V")], &[], None)
}

fn angles() -> StreamSchema {
    StreamSchema::new(vec![float("knee_left_flexion_deg", "deg"), float("knee_right_flexion_deg", "deg")], &[], None)
}

fn cycles() -> StreamSchema {
    let start = column("start_ns", DataType::Int64);
    StreamSchema::new(vec![text("side"), start, float("stride_time_s", "s"), float("step_time_s", "s")], &["side"], None)
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

/// Steady noise between −1 and 1 of a sample's number.
fn noise(k: i64) -> f64 {
    let mixed = (k as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

struct Session {
    name: String,
    number: i64,
    start_ns: i64,
}

impl Session {
    fn times(&self, since_ns: &[i64]) -> ArrayRef {
        Arc::new(since_ns.iter().map(|time| self.start_ns + time).collect::<Int64Array>())
    }

    /// Times and values of samples at a rate.
    fn sampled(&self, from_s: i64, until_s: i64, rate: i64, values: &[&dyn Fn(i64) -> f64]) -> Vec<ArrayRef> {
        let samples: Vec<i64> = (from_s * rate..until_s * rate).collect();
        let times: Vec<i64> = samples.iter().map(|k| k * (SECOND_NS / rate)).collect();
        let column = |value: &&dyn Fn(i64) -> f64| -> ArrayRef { Arc::new(samples.iter().map(|k| value(*k)).collect::<Float64Array>()) };
        [self.times(&times)].into_iter().chain(values.iter().map(column)).collect()
    }

    fn imu(&self, from_s: i64, until_s: i64, sensor: &str) -> Vec<ArrayRef> {
        let gain = if sensor == "pelvis" { 1.0 } else { 0.7 };
        let gyro = |k: i64| gain * ((k as f64 * 0.0571).sin() + 0.1 * noise(k + self.number));
        let mut columns = self.sampled(from_s, until_s, 100, &[&gyro, &|k| 9.81 + gain * noise(k)]);
        columns.insert(1, Arc::new((from_s * 100..until_s * 100).collect::<Int64Array>()));
        columns
    }

    fn emg(&self, from_s: i64, until_s: i64) -> Vec<ArrayRef> {
        let envelope = |k: i64, shift: i64| if (k + shift) % 1100 < 400 { 5e-5 } else { 5e-6 };
        self.sampled(from_s, until_s, 1000, &[&|k| envelope(k, 0) * noise(k), &|k| envelope(k, 550) * noise(k + 7)])
    }

    fn angles(&self, from_s: i64, until_s: i64) -> Vec<ArrayRef> {
        let knee = |k: i64, shift: f64| 30.0 + 30.0 * ((k as f64 / 110.0 + shift) * std::f64::consts::TAU).sin() + noise(k + self.number);
        self.sampled(from_s, until_s, 100, &[&|k| knee(k, 0.0), &|k| 0.95 * knee(k, 0.5)])
    }

    fn cycles(&self, seconds: i64) -> Vec<ArrayRef> {
        let contacts: Vec<(i64, &str)> = (0..seconds * SECOND_NS / STRIDE_NS - 1)
            .flat_map(|k| [(k * STRIDE_NS, "left"), (k * STRIDE_NS + 550_000_000 - self.number * 100_000, "right")])
            .collect();
        let ends: Vec<i64> = contacts.iter().map(|(start, _)| start + STRIDE_NS).collect();
        let sides: Vec<&str> = contacts.iter().map(|(_, side)| *side).collect();
        let starts: Vec<i64> = contacts.iter().map(|(start, _)| *start).collect();
        let step = |side: &&str| 0.55 + if *side == "left" { 1e-4 } else { -1e-4 } * self.number as f64;
        vec![
            self.times(&ends),
            texts(&sides),
            self.times(&starts),
            Arc::new(Float64Array::from(vec![1.1; ends.len()])),
            Arc::new(sides.iter().map(step).collect::<Float64Array>()),
        ]
    }

    fn row(&self, seconds: i64) -> Vec<ArrayRef> {
        let subject = format!("P{:02}", self.number % 25);
        let end = self.start_ns + seconds * SECOND_NS;
        vec![
            self.times(&[seconds * SECOND_NS]),
            texts(&["ended"]),
            texts(&[&subject]),
            texts(&["walking"]),
            Arc::new(Int64Array::from(vec![self.start_ns])),
            Arc::new(Int64Array::from(vec![end])),
        ]
    }
}
