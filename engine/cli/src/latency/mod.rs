//! How long is it from a sensor's sample to the alert that it causes, while the recording goes to a disk or to none? And to its row in
//! a live query, through a door or none, while others follow too?

mod follow;

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use futures::StreamExt as _;
use proprio_core::{Packet, Rate, Rig, Sensor, TimeNs};
use proprio_recording::{Disk, DiskFile, Folder, Lock};
use proprio_tables::{Event, Subscription};
use proprio_zenoh::{AlertSubscriber, ArrivalClock, Pacer, Publisher, PublisherOptions, SessionOptions, Speed, open_client};

use crate::engine::{Engine, Options};
use crate::plans::load;

pub use follow::Through;

/// 8 ms apart, so that the samples fall everywhere between two syncs, which are 20 ms apart.
const RIG: &str = "\
rig: bench
sensors:
  trunk: { kind: imu, rate: 125 Hz, segment: thorax, magnetometer: false }
  muscles: { kind: emg, rate: 1000 Hz, channels: { 1: vastus } }
";
const PIPELINE: &str = "\
pipeline: bench
rig: rig.yaml
steps:
  - { id: turning, op: alert, from: imu/trunk, with: { when: gyro_x_rad_per_s > 0 } }
";
/// Samples per message of the muscles.
const MUSCLES_BATCH: usize = 10;
/// Samples that warm each engine up.
const WARM_UP: i64 = 30;
/// How long anything on loopback may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the recording goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recording {
    /// To a real disk, synced.
    On,
    /// Nowhere.
    Off,
}

/// Who follows the samples in SQL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Followers {
    /// So many read every row as it comes.
    pub reading: usize,
    /// So many never read, within the engine.
    pub silent: usize,
    /// What those who read follow through.
    pub through: Through,
}

/// Milliseconds from each call that published a sample of the IMU.
#[derive(Debug, Default)]
pub struct Measured {
    /// To the alert that it toggles.
    pub alerts: Vec<f64>,
    /// To its row at the first of those who follow.
    pub rows: Vec<f64>,
    /// Rows that those who never read have missed.
    pub dropped: u64,
}

/// One round with an engine of its own. What is recorded lies under `data`, and the tables in the temporary folder, until the round is
/// over.
///
/// # Errors
/// When the engine does not come up, or its network fails.
pub async fn round(recording: Recording, followers: Followers, seconds: u32, data: &Path, endpoint: &str) -> anyhow::Result<Measured> {
    let (tables, recorded) = (scratch(&std::env::temp_dir(), "tables")?, scratch(data, "recording")?);
    let measured = measure(recording, followers, seconds, &tables, &recorded, endpoint).await;
    for folder in [tables, recorded] {
        std::fs::remove_dir_all(&folder).with_context(|| format!("{} can't be removed", folder.display()))?;
    }
    measured
}

async fn measure(
    recording: Recording,
    followers: Followers,
    seconds: u32,
    tables: &Path,
    recorded: &Path,
    endpoint: &str,
) -> anyhow::Result<Measured> {
    let pipeline = tables.join("pipeline.yaml");
    for (file, text) in [(&pipeline, PIPELINE), (&tables.join("rig.yaml"), RIG)] {
        std::fs::write(file, text).with_context(|| format!("{} can't be written", file.display()))?;
    }
    let loaded = load(&pipeline)?;
    let rig = loaded.plan.rig.clone();
    let disk: Arc<dyn Disk> = match recording {
        Recording::On => Arc::new(Folder::new(recorded)),
        Recording::Off => Arc::new(Nowhere),
    };
    let options = Options {
        pipeline,
        data: tables.to_owned(),
        tables: None,
        disk: Some(disk),
        zenoh: SessionOptions { listen: vec![endpoint.to_owned()], ..SessionOptions::default() },
        metrics: None,
        queue_bytes: 64 << 20,
        commit_every: Duration::from_secs(10),
        doors: Some(proprio_serve::Options { http_port: Some(0), postgres_port: Some(0), ..proprio_serve::Options::default() }),
    };
    let engine = Engine::start(loaded, options).await?;
    let board = Arc::new(Mutex::new(Board::default()));
    let silent = follow(&engine, followers, &board).await?;
    let published = publish(&rig, seconds, endpoint, &board, followers.reading > 0).await;
    engine.stop().await?;
    published?;
    let mut measured = std::mem::take(&mut lock(&board).measured);
    for live in silent {
        measured.dropped += missed(live).await?;
    }
    Ok(measured)
}

/// Follows the IMU: gives those who never read.
async fn follow(engine: &Engine, followers: Followers, board: &Arc<Mutex<Board>>) -> anyhow::Result<Vec<Subscription>> {
    for reader in 0..followers.reading {
        // No two ask the same.
        let sql = format!("SUBSCRIBE SELECT time_ns, gyro_x_rad_per_s * {} AS x FROM imu", reader + 1);
        let mut batches = followers.through.follow(engine, &sql).await?;
        let board = (reader == 0).then(|| board.clone());
        tokio::spawn(async move {
            while let Some(Ok(rows)) = batches.next().await {
                let now = Instant::now();
                if let Some(board) = &board {
                    let times = proprio_core::rows::integers(&rows, 0);
                    times.values().iter().for_each(|time_ns| lock(board).row(*time_ns, now));
                }
            }
        });
    }
    let store = engine.store();
    let silent = (0..followers.silent).map(|_| store.subscribe("SUBSCRIBE WITH PROGRESS TAIL 1 MB SELECT * FROM emg"));
    Ok(futures::future::try_join_all(silent).await?)
}

/// What somebody finds who reads once all is over.
async fn missed(mut live: Subscription) -> anyhow::Result<u64> {
    let mut dropped = 0;
    while let Some(event) = live.events.next().await {
        if let Event::Progress(progress) = event? {
            dropped = progress.dropped;
        }
    }
    Ok(dropped)
}

/// When samples were published, and how long after that what they cause has come.
#[derive(Default)]
struct Board {
    /// Samples whose alert hasn't come.
    alerts: HashMap<TimeNs, Instant>,
    /// Samples whose row hasn't come.
    rows: HashMap<TimeNs, Instant>,
    measured: Measured,
}

impl Board {
    fn alert(&mut self, json: &[u8], now: Instant) {
        let time_ns = serde_json::from_slice::<serde_json::Value>(json).ok().and_then(|alert| alert["time_ns"].as_i64());
        if let Some(published) = time_ns.and_then(|time_ns| self.alerts.remove(&time_ns)) {
            self.measured.alerts.push((now - published).as_secs_f64() * 1e3);
        }
    }

    fn row(&mut self, time_ns: TimeNs, now: Instant) {
        if let Some(published) = self.rows.remove(&time_ns) {
            self.measured.rows.push((now - published).as_secs_f64() * 1e3);
        }
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn publish(rig: &Rig, seconds: u32, endpoint: &str, board: &Arc<Mutex<Board>>, followed: bool) -> anyhow::Result<()> {
    let session = open_client(&SessionOptions { connect: vec![endpoint.to_owned()], ..SessionOptions::default() }, PATIENCE).await?;
    let heard = board.clone();
    let alerts = AlertSubscriber::open(&session, &rig.name, "turning", move |json| lock(&heard).alert(json, Instant::now())).await?;
    let publisher = Publisher::open(&session, rig, PublisherOptions { patience: PATIENCE, ..PublisherOptions::default() }).await?;
    let start_ns = ArrivalClock::start().now_ns();
    let sensor = |name: &str| rig.sensors.iter().position(|sensor| sensor.name == name).expect("the rig declares it");
    let (trunk, muscles) = (sensor("trunk"), sensor("muscles"));
    tokio::try_join!(
        send(&publisher, rig, trunk, 1, start_ns, seconds, |sequence, time_ns| {
            if sequence >= WARM_UP {
                let (mut board, now) = (lock(board), Instant::now());
                board.alerts.insert(time_ns, now);
                if followed {
                    board.rows.insert(time_ns, now);
                }
            }
        }),
        send(&publisher, rig, muscles, MUSCLES_BATCH, start_ns, seconds, |_, _| {}),
    )?;
    publisher.end().await?;
    // All is acknowledged, and the alerts went out before that; the last one may still be on its way.
    let give_up = Instant::now() + PATIENCE;
    let waits = || {
        let board = lock(board);
        !board.alerts.is_empty() || !board.rows.is_empty()
    };
    while waits() {
        anyhow::ensure!(Instant::now() < give_up, "an alert or a row did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(alerts);
    session.close().await.map_err(|error| anyhow::anyhow!("zenoh did not close: {error}"))
}

/// Publishes a sensor at its own rate, so many samples at a time; tells the last one's sequence and time just before.
async fn send(
    publisher: &Publisher,
    rig: &Rig,
    sensor: usize,
    batch: usize,
    start_ns: TimeNs,
    seconds: u32,
    told: impl Fn(i64, TimeNs),
) -> anyhow::Result<()> {
    let rate: Rate = rig.sensors[sensor].rate.context("the rig gives a rate")?;
    let mut pacer = Pacer::new(Speed::Factor(1.0));
    for sequence in (0..).step_by(batch) {
        let times: Vec<TimeNs> = (sequence..sequence + batch as i64).map(|sequence| start_ns + rate.grid_time(sequence)).collect();
        let end_ns = times[batch - 1];
        if end_ns - start_ns >= i64::from(seconds) * 1_000_000_000 {
            break;
        }
        pacer.wait_until(end_ns).await;
        let rows = rows(&rig.sensors[sensor], sequence, &times);
        told(sequence + batch as i64 - 1, end_ns);
        publisher.publish(Packet { sensor, sequence, rows }).await?;
    }
    Ok(())
}

/// Rows in the wire schema: 1 in every column of every other row, and −1 between.
fn rows(sensor: &Sensor, sequence: i64, times: &[TimeNs]) -> RecordBatch {
    let schema = sensor.wire_schema().columns;
    let values = || (sequence..).take(times.len()).map(|sequence| if sequence % 2 == 0 { 1.0 } else { -1.0 });
    let column = |is_float: bool| -> ArrayRef {
        if is_float { Arc::new(Float64Array::from_iter_values(values())) } else { Arc::new(Int64Array::from(times.to_vec())) }
    };
    let columns = schema.fields().iter().map(|field| column(field.data_type().is_floating())).collect();
    RecordBatch::try_new(schema.clone(), columns).expect("the columns are the schema's")
}

/// A new folder.
fn scratch(below: &Path, what: &str) -> anyhow::Result<PathBuf> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let name = format!("proprio-bench-{what}-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
    let folder = below.join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    Ok(folder)
}

/// A disk that takes everything and keeps nothing.
struct Nowhere;

impl Disk for Nowhere {
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn length(&self, _: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn read(&self, _: &Path, _: u64) -> io::Result<Box<dyn Read + Send>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn open(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Self))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Lock>> {
        Ok(Some(Box::new(())))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(1 << 40)
    }
}

impl DiskFile for Nowhere {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }
}
