//! What do the sensors of the real bench send? Four of them at their own rates, over zenoh, whatever the engine does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{ArrayRef, PrimitiveArray, RecordBatch, StringArray, new_null_array};
use proprio_core::{Packet, Rate, Rig, Sensor, TimeNs};
use proprio_zenoh::{ArrivalClock, Publisher, PublisherOptions, SessionOptions, open_client};
use tokio::task::JoinHandle;

use super::super::chance::Chance;

/// The rig.
pub const RIG: &str = "\
rig: bench
sensors:
  cached: { kind: imu, rate: 100 Hz, segment: pelvis, magnetometer: false }
  clicks: { kind: events }
  muscles: { kind: emg, rate: 1000 Hz, channels: { 1: vastus } }
  plain: { kind: imu, rate: 100 Hz, segment: thigh, magnetometer: false }
";
/// Steps with memory, that wait for several sensors, and an alert.
pub const PIPELINE: &str = "\
pipeline: bench
rig: rig.yaml
steps:
  - { id: orientation, op: orientation, from: imu/* }
  - { id: envelope, op: emg_envelope, from: emg/muscles, with: { rate: 100 Hz } }
  - { id: fused, op: align, from: [orientation/*, envelope], with: { rate: 100 Hz, tolerance: 30 ms } }
";

/// The sensor with a cache, and how many messages it keeps: all of a round.
const CACHED: &str = "cached";
const CACHE: usize = 4_000;
/// How often a sensor sends.
const PACKET: Duration = Duration::from_millis(20);
/// Probability that someone clicks within a packet's time.
const CLICKS: f64 = 0.15;
/// How long an engine may be away, or take to acknowledge.
const PATIENCE: Duration = Duration::from_secs(60);

/// The sensors at work.
pub struct Lab {
    stop: Arc<AtomicBool>,
    publishing: Vec<JoinHandle<anyhow::Result<Published>>>,
}

/// How many samples each sensor has published, by its stream.
pub type Published = BTreeMap<String, i64>;

impl Lab {
    /// Starts the sensors, in two sessions: the one with a cache, and the others.
    pub fn start(endpoint: &str, rig: &Rig, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (cached, plain): (Vec<usize>, Vec<usize>) = (0..rig.sensors.len()).partition(|index| rig.sensors[*index].name == CACHED);
        let publishing = [(cached, Some(CACHE)), (plain, None)].map(|(sensors, cache)| {
            let options = PublisherOptions { sensors: Some(sensors), cache, patience: PATIENCE, ..PublisherOptions::default() };
            tokio::spawn(publish(endpoint.to_owned(), rig.clone(), options, Chance::new(seed, "clicks"), stop.clone()))
        });
        Self { stop, publishing: publishing.into() }
    }

    /// Stops the sensors, and waits until every sample is acknowledged.
    pub async fn finish(self) -> anyhow::Result<Published> {
        self.stop.store(true, Ordering::Relaxed);
        let mut published = Published::new();
        for publishing in self.publishing {
            published.extend(publishing.await.context("a sensor panicked")??);
        }
        Ok(published)
    }
}

async fn publish(
    endpoint: String,
    rig: Rig,
    options: PublisherOptions,
    mut chance: Chance,
    stop: Arc<AtomicBool>,
) -> anyhow::Result<Published> {
    let sensors = options.sensors.clone().unwrap_or_default();
    let session = open_client(&SessionOptions { connect: vec![endpoint], ..SessionOptions::default() }, PATIENCE).await?;
    let publisher = Publisher::open(&session, &rig, options).await?;
    let clock = ArrivalClock::start();
    let start_ns = clock.now_ns();
    let mut sent = vec![0; rig.sensors.len()];
    let mut tick = tokio::time::interval(PACKET);
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        let now_ns = clock.now_ns();
        for &index in &sensors {
            let sensor = &rig.sensors[index];
            let times = match sensor.rate {
                Some(rate) => due(rate, start_ns, sent[index], now_ns),
                None if chance.happens(CLICKS) => vec![now_ns],
                None => Vec::new(),
            };
            if !times.is_empty() {
                let rows = rows(sensor, sent[index], &times);
                sent[index] += times.len() as i64;
                publisher.publish(Packet { sensor: index, sequence: sent[index] - times.len() as i64, rows }).await?;
            }
        }
    }
    publisher.end().await?;
    session.close().await.map_err(|error| anyhow::anyhow!("zenoh did not close: {error}"))?;
    Ok(sensors.iter().map(|&index| (rig.sensors[index].stream(), sent[index])).collect())
}

/// Times of a sensor's samples that are due by now.
fn due(rate: Rate, start_ns: TimeNs, sent: i64, now_ns: TimeNs) -> Vec<TimeNs> {
    (sent..).map(|sequence| start_ns + rate.grid_time(sequence)).take_while(|time_ns| *time_ns <= now_ns).collect()
}

/// Rows in a sensor's wire schema, every value a function of its sequence.
fn rows(sensor: &Sensor, sequence: i64, times: &[TimeNs]) -> RecordBatch {
    let schema = sensor.wire_schema().columns;
    let value = |row: usize, index: usize| (0.1 * (sequence + row as i64) as f64 + index as f64).sin();
    let column = |index: usize| -> ArrayRef {
        let field = schema.field(index);
        if field.data_type().is_floating() {
            Arc::new((0..times.len()).map(|row| value(row, index)).collect::<PrimitiveArray<Float64Type>>())
        } else if field.data_type().is_integer() {
            Arc::new(PrimitiveArray::<Int64Type>::from(times.to_vec()))
        } else if field.is_nullable() {
            new_null_array(field.data_type(), times.len())
        } else {
            Arc::new(StringArray::from(vec!["left"; times.len()]))
        }
    };
    let columns = (0..schema.fields().len()).map(column).collect();
    RecordBatch::try_new(schema.clone(), columns).expect("the columns are the schema's")
}
