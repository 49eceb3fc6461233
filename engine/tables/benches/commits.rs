//! Do 10,000 sessions, each with small commits of its own, stay queryable: how long until the first row, as an engine leaves its
//! files and after they are merged?
//!
//! `cargo bench -p proprio-tables --bench commits -- [--sessions 10000] [--place PLACE]`
//!
//! Every session commits a second of one IMU and its own row of `sessions`: a file and a log entry in each of two tables; after each
//! minute of such commits small files are merged, as a running engine does, and that time is told apart. A place may
//! be a folder that isn't there yet or `s3://<bucket>/<prefix>`; by default it is a temporary folder. Each time is that of a reader
//! that opens the tables anew, as `proprio sql` does; the best of three counts.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{ArrayRef, Float64Array, Int64Array, StringArray};
use arrow_schema::DataType;
use proprio_core::schema::{column, float};
use proprio_core::table::system;
use proprio_core::{StreamSchema, TableChunk, TableSpec};
use proprio_tables::{Place, Reader, Store, merge_tables, table_sizes};

type Failure = Box<dyn std::error::Error>;

/// As in the engine.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SAMPLES: i64 = 100;
const SECOND_NS: i64 = 1_000_000_000;
/// 1 January 2026; sessions follow each other each ten minutes, so that 10,000 of them last ten weeks.
const BEGIN_NS: i64 = 20_454 * 86_400 * SECOND_NS;
const EVERY_NS: i64 = 600 * SECOND_NS;
const RUNS: usize = 3;
/// An engine commits each second, looks for small files each minute, and merges where so many have come together.
const COMMITS_PER_MERGE: i64 = 60;
const MERGE_FROM: usize = 8;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (mut sessions, mut place) = (10_000, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--sessions" => sessions = value()?.parse()?,
            "--place" => place = Some(value()?),
            // What cargo itself passes to a benchmark.
            "--bench" => {}
            _ => return Err(format!("no option {argument}: --sessions, --place").into()),
        }
    }
    let temporary = tempfile::tempdir()?;
    let place = Place::parse(&place.unwrap_or_else(|| temporary.path().join("tables").display().to_string()))?;
    let (commits, merges) = fill(&place, sessions).await?;
    for (what, mut took) in [("commits of two tables", commits), ("merges", merges)] {
        let (count, tenth) = (took.len(), took.len() / 10);
        let (first, last) = (median(&mut took.clone()[..tenth]), median(&mut took[9 * tenth..]));
        println!("{count} {what}: {:.1} ms in the first tenth, {:.1} ms in the last (medians)", first * 1e3, last * 1e3);
    }
    measure("as the engine leaves them", &place, sessions).await?;
    let begun = Instant::now();
    let merged = merge_tables(&place).await?;
    println!("merged {} files into {} in {:.1} s", merged.files, merged.into, begun.elapsed().as_secs_f64());
    measure("merged", &place, sessions).await
}

/// Makes the sessions, and gives the seconds that each commit and each merge took.
async fn fill(place: &Place, sessions: i64) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let samples = StreamSchema::new(vec![column("sequence", DataType::Int64), float("gyro_y_rad_per_s", "rad/s")], &[], None);
    let imu = TableSpec {
        name: "imu".to_owned(),
        key: Some("sensor".to_owned()),
        columns: samples.columns.clone(),
        high_rate: true,
        operational: false,
    };
    let store = Store::open(place, "bench", &[imu]).await?;
    let (mut commits, mut merges) = (Vec::new(), Vec::new());
    for number in 0..sessions {
        let (session, run_id, start_ns) = (format!("s{number:06}"), "run".to_owned(), BEGIN_NS + number * EVERY_NS);
        let of = |table: &str, key: Option<&str>, schema: &StreamSchema, columns: Vec<ArrayRef>| TableChunk {
            table: table.to_owned(),
            key: key.map(str::to_owned),
            session: session.clone(),
            run_id: run_id.clone(),
            rows: proprio_core::rows::batch(schema, columns),
            position: number,
        };
        let sequence: Vec<i64> = (0..SAMPLES).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(sequence.iter().map(|k| start_ns + k * SECOND_NS / SAMPLES).collect::<Int64Array>()),
            Arc::new(Int64Array::from(sequence.clone())),
            Arc::new(sequence.iter().map(|k| (k * number % 97) as f64).collect::<Float64Array>()),
        ];
        let times: ArrayRef = Arc::new(Int64Array::from(vec![start_ns]));
        let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
        let none = |schema: &StreamSchema| {
            schema.columns.fields().iter().skip(2).map(|field| arrow_array::new_null_array(field.data_type(), 1)).collect::<Vec<_>>()
        };
        let schema = system::sessions();
        let row: Vec<ArrayRef> = [times, text("ended")].into_iter().chain(none(&schema)).collect();
        let chunks = [of("imu", Some("pelvis"), &samples, columns), of("sessions", None, &schema, row)];
        let begun = Instant::now();
        store.append(&chunks, number)?;
        store.commit(number).await?;
        commits.push(begun.elapsed().as_secs_f64());
        if (number + 1) % COMMITS_PER_MERGE == 0 {
            let begun = Instant::now();
            store.merge(MERGE_FROM, || true).await?;
            merges.push(begun.elapsed().as_secs_f64());
        }
    }
    Ok((commits, merges))
}

async fn measure(when: &str, place: &Place, sessions: i64) -> Result<(), Failure> {
    let sizes = table_sizes(place).await?;
    let files: usize = sizes.iter().map(|size| size.files).sum();
    let bytes: u64 = sizes.iter().map(|size| size.bytes).sum();
    println!("{when}: {files} files, {:.1} MB", bytes as f64 / 1e6);
    for table in ["imu", "sessions"] {
        if let Some((entries, bytes)) = log_of(&Path::new(&place.to_string()).join(table).join("_delta_log")) {
            println!("  log of {table:<19} {entries:>8} entries and checkpoints, {:.1} MB", bytes as f64 / 1e6);
        }
    }
    let middle = format!("s{:06}", sessions / 2);
    for (what, sql) in [
        ("first row of one session", format!("SELECT * FROM imu WHERE session = '{middle}' LIMIT 1")),
        ("rows of one session", format!("SELECT count(*), sum(gyro_y_rad_per_s) FROM imu WHERE session = '{middle}'")),
        ("newest row", "SELECT * FROM sessions ORDER BY time_ns DESC LIMIT 1".to_owned()),
        ("all rows", "SELECT count(*), sum(gyro_y_rad_per_s) FROM imu".to_owned()),
    ] {
        let (mut opened, mut answered) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..RUNS {
            let begun = Instant::now();
            let reader = Reader::open(place).await?;
            let open = begun.elapsed().as_secs_f64();
            let rows: usize = reader.query(&sql).await?.collect().await?.iter().map(arrow_array::RecordBatch::num_rows).sum();
            if rows != 1 {
                return Err(format!("{sql} gives {rows} rows").into());
            }
            let all = begun.elapsed().as_secs_f64();
            if all < answered {
                (opened, answered) = (open, all);
            }
        }
        println!("  {what:<26} {:>8.1} ms, of which {:.1} ms open the tables", answered * 1e3, opened * 1e3);
    }
    Ok(())
}

/// Files of a log that lies in a folder, and their bytes.
fn log_of(folder: &Path) -> Option<(usize, u64)> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let bytes = entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len());
    Some(bytes.fold((0, 0), |(files, all), bytes| (files + 1, all + bytes)))
}

fn median(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}
