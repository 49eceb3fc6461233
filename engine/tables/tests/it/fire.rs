//! Does every query agree with what was appended at its position, while a lab's rows come, rounds commit each second, files
//! are merged and rows retire?

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use proprio_core::quantity;
use proprio_core::{TableChunk, TableSpec};
use proprio_tables::{Catalog, Store};

use super::{START_NS, imu, imu_stream};

const SENSORS: [&str; 6] = ["foot_left", "foot_right", "pelvis", "shank_left", "shank_right", "trunk"];
/// A chunk of each table every 20 ms: six IMUs at 100 Hz, EMG at 2 kHz, a force plate at 1 kHz.
const CHUNK_NS: i64 = 20_000_000;
const TABLES: [(&str, i64); 3] = [("imu", 2), ("emg", 40), ("force", 20)];
/// A session every 5 s.
const SESSION_CHUNKS: i64 = 250;
/// `emg` keeps as much.
const KEPT: quantity::Duration = quantity::Duration::new(3.0);

/// Rows of a table in a chunk: sequences count on, and values are a quarter of them.
fn chunk(table: &str, per_chunk: i64, sensor: &str, position: i64) -> TableChunk {
    let sequence: Vec<i64> = (position * per_chunk..(position + 1) * per_chunk).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(sequence.iter().map(|k| START_NS + k * (CHUNK_NS / per_chunk)).collect::<Int64Array>()),
        Arc::new(Int64Array::from(sequence.clone())),
        Arc::new(sequence.iter().map(|k| *k as f64 * 0.25).collect::<Float64Array>()),
    ];
    let (session, rows) = (session(position), proprio_core::rows::batch(&imu_stream(), columns));
    let (table, run_id) = (table.to_owned(), "a".to_owned());
    TableChunk { table, key: Some(sensor.to_owned()), session, run_id, rows, position }
}

fn session(position: i64) -> String {
    format!("s{:04}", position / SESSION_CHUNKS)
}

fn chunks(position: i64) -> Vec<TableChunk> {
    let imus = SENSORS.iter().map(|sensor| chunk("imu", 2, sensor, position));
    imus.chain([chunk("emg", 40, "muscles", position), chunk("force", 20, "plate", position)]).collect()
}

/// Appends what is due by the clock, and so catches up whatever holds it.
fn write(store: &Store, done: &AtomicBool) -> i64 {
    let begun = Instant::now();
    let mut position = 0;
    while !done.load(Ordering::Acquire) {
        let due = begun.elapsed().as_nanos() as i64 / CHUNK_NS;
        while position < due {
            store.append(&chunks(position), position).expect("appended");
            position += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    position
}

/// Numbers that look random, the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as i64 % end.max(1)
    }
}

/// How many, their sum, the first and the last of the sequences in a range.
fn sums(from: i64, to: i64, copies: i64) -> [Option<f64>; 4] {
    let n = to - from;
    if n <= 0 {
        return [Some(0.0), None, None, None];
    }
    let total = (from + to - 1) as f64 / 2.0 * n as f64 * 0.25;
    [Some((n * copies) as f64), Some(total * copies as f64), Some(from as f64), Some((to - 1) as f64)]
}

const ASKED: &str = "CAST(count(*) AS DOUBLE), sum(gyro_x_rad_per_s), CAST(min(sequence) AS DOUBLE), CAST(max(sequence) AS DOUBLE)";

async fn row(catalog: &Catalog, sql: &str) -> Vec<Option<f64>> {
    let batches = catalog.query(sql).await.expect("an answer").collect().await.expect("rows");
    let row = batches.iter().find(|batch| batch.num_rows() > 0).expect("a row");
    row.columns().iter().map(|column| column.as_primitive::<Float64Type>().iter().next().flatten()).collect()
}

async fn integers(catalog: &Catalog, sql: &str) -> Vec<i64> {
    let batches: Vec<RecordBatch> = catalog.query(sql).await.expect("an answer").collect().await.expect("rows");
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

/// Asks one question and compares. `cuts` holds every sequence at which rows of `emg` may begin.
async fn ask(catalog: &Catalog, dice: &mut Dice, cuts: &Mutex<BTreeSet<i64>>) {
    let chunks = catalog.position() + 1;
    let (table, per_chunk) = TABLES[dice.below(3) as usize];
    let copies = if table == "imu" { SENSORS.len() as i64 } else { 1 };
    let (end, retires) = (chunks * per_chunk, table == "emg");
    match dice.below(6) {
        0 => {
            let found = row(catalog, &format!("SELECT {ASKED} FROM {table}")).await;
            // What has retired has done so at one of the cuts, and nothing after it is missing.
            let from = if retires { found[2].map_or(end, |first| first as i64) } else { 0 };
            assert_eq!(found, sums(from, end, copies), "{table} at {chunks}");
            assert!(from == 0 || from == end || cuts.lock().expect("no panic").contains(&from), "{table} begins at {from}");
        }
        1 if !retires => {
            let of = dice.below(chunks);
            let from = of / SESSION_CHUNKS * SESSION_CHUNKS;
            let found = row(catalog, &format!("SELECT {ASKED} FROM {table} WHERE session = '{}'", session(of))).await;
            assert_eq!(found, sums(from * per_chunk, ((from + SESSION_CHUNKS) * per_chunk).min(end), copies), "{table}, session of {of}");
        }
        2 if !retires => {
            let (from, length) = (dice.below(end), dice.below(end));
            let ns = |k: i64| START_NS + k * (CHUNK_NS / per_chunk);
            let within = format!("time_ns >= {} AND time_ns < {}", ns(from), ns(from + length));
            let found = row(catalog, &format!("SELECT {ASKED} FROM {table} WHERE {within}")).await;
            assert_eq!(found, sums(from, (from + length).min(end), copies), "{table}, {within}");
        }
        3 => {
            let sensor = SENSORS[dice.below(6) as usize];
            let found = row(catalog, &format!("SELECT {ASKED} FROM imu WHERE sensor = '{sensor}'")).await;
            assert_eq!(found, sums(0, chunks * 2, 1), "{sensor} at {chunks}");
        }
        4 => {
            // Every table stands at one position.
            let sql = "SELECT (SELECT CAST(count(*) AS DOUBLE) FROM imu) AS imu, (SELECT CAST(count(*) AS DOUBLE) FROM force) AS force, \
                (SELECT CAST(max(sequence) AS DOUBLE) FROM emg) AS emg, (SELECT CAST(max(sequence) AS DOUBLE) FROM imu_latest) AS latest";
            let newest = |per_chunk: i64| (chunks > 0).then(|| (chunks * per_chunk - 1) as f64);
            let expected = vec![Some((chunks * 12) as f64), Some((chunks * 20) as f64), newest(40), newest(2)];
            assert_eq!(row(catalog, sql).await, expected, "at {chunks}");
        }
        _ => {
            let first = dice.below(chunks) / SESSION_CHUNKS * SESSION_CHUNKS;
            let session = session(first);
            let sql = format!("SELECT sequence FROM force WHERE session = '{session}' ORDER BY time_ns LIMIT 300 OFFSET 100");
            let last = ((first + SESSION_CHUNKS) * 20).min(chunks * 20).min(first * 20 + 400);
            assert_eq!(integers(catalog, &sql).await, (first * 20 + 100..last).collect::<Vec<i64>>(), "{session} at {chunks}");
        }
    }
}

/// A thousand: `PROPRIO_FIRE_QUERIES=1000 cargo test -p proprio-tables --test it -- --nocapture fire`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_query_agrees_with_what_was_appended_at_its_position() {
    let queries: usize = std::env::var("PROPRIO_FIRE_QUERIES").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let dir = tempfile::tempdir().expect("a folder");
    let specs = TABLES.map(|(name, _)| TableSpec { name: name.to_owned(), ..imu() });
    let store = Arc::new(Store::open(&crate::place(dir.path()), "lab-1", &specs).await.expect("opens"));
    let done = Arc::new(AtomicBool::new(false));
    let cuts = Arc::new(Mutex::new(BTreeSet::new()));
    let writer = std::thread::spawn({
        let (store, done) = (store.clone(), done.clone());
        move || write(&store, &done)
    });
    let rounds = Arc::new(AtomicI64::new(0));
    let committer = tokio::spawn({
        let (store, done, rounds) = (store.clone(), done.clone(), rounds.clone());
        async move {
            while !done.load(Ordering::Acquire) {
                store.commit(store.tables_position()).await.expect("committed");
                rounds.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    });
    let upkeep = tokio::spawn({
        let (store, done, cuts) = (store.clone(), done.clone(), cuts.clone());
        async move {
            let (mut merged, mut retired) = (0, 0);
            while !done.load(Ordering::Acquire) {
                merged += store.merge(3, || true).await.expect("merged").files;
                let Some(position) = store.committed_position("emg") else { continue };
                let now_ns = START_NS + position * CHUNK_NS;
                let oldest = (now_ns - KEPT.nanoseconds() - START_NS).max(0);
                cuts.lock().expect("no panic").insert((oldest + 499_999) / 500_000);
                let limits = BTreeMap::from([("emg".to_owned(), KEPT)]);
                retired += store.retain(&limits, now_ns).await.expect("retained").values().sum::<u64>();
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            (merged, retired)
        }
    });

    let begun = Instant::now();
    let askers = (0..2u64).map(|asker| {
        let (store, cuts) = (store.clone(), cuts.clone());
        tokio::spawn(async move {
            let mut dice = Dice(0x9E37_79B9 + asker);
            for _ in 0..queries / 2 {
                ask(&store.catalog(), &mut dice, &cuts).await;
                tokio::time::sleep(Duration::from_millis(dice.below(40) as u64)).await;
            }
        })
    });
    for asker in askers.collect::<Vec<_>>() {
        asker.await.expect("every answer agrees");
    }
    // Short runs too see merges and a retirement.
    while begun.elapsed() < Duration::from_secs(8) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        ask(&store.catalog(), &mut Dice(begun.elapsed().as_nanos() as u64), &cuts).await;
    }
    done.store(true, Ordering::Release);
    let chunks = writer.join().expect("the writer ends");
    committer.await.expect("the committer ends");
    let (merged, retired) = upkeep.await.expect("the upkeep ends");
    let (rounds, rows) = (rounds.load(Ordering::Relaxed), chunks * (12 + 40 + 20));
    let took = begun.elapsed();
    let figures =
        format!("{queries} queries in {took:?} beside {rows} rows, {rounds} rounds, {merged} files merged, {retired} rows retired");
    writeln!(std::io::stderr(), "{figures}").expect("written");
    assert!(rounds > 2 && merged > 0 && retired > 0, "{figures}");
    store.commit(store.tables_position()).await.expect("committed");
    let catalog = store.catalog();
    for (table, expected) in [("imu", chunks * 12), ("force", chunks * 20)] {
        assert_eq!(integers(&catalog, &format!("SELECT count(*) FROM {table}")).await, [expected]);
    }
}
