//! `proprio test`: does a pipeline give what its file says it must?

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use proprio_core::{Carried, Decision, Event, Packet, Recorded, TableChunk, TimeNs};
use proprio_files::{OpenOptions, PACKET_NS};
use proprio_runtime::{Plan, Test, TestInput, Worker};
use proprio_zenoh::wire;

use super::earlier::Earlier;
use super::{play, simulate};

/// Runs the tests in pipeline files: each plays a recording or a simulation through the plan, straight, message by message
/// and from snapshot to snapshot, and compares tables with the files that hold what they must hold. Exits with 3 when one differs.
///
/// `UPDATE_GOLDENS=1` writes those files anew.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Pipeline files.
    #[arg(required = true, value_name = "PIPELINE")]
    files: Vec<std::path::PathBuf>,
}

/// Exit code of a test or a demo whose answers are off.
pub const ANSWERS_OFF: u8 = 3;

/// The run that a test's rows belong to.
const RUN: &str = "test";
/// How often a test's worker is resumed from a snapshot.
const RESUMED: usize = 20;

/// Runs every test of every file.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (mut passed, mut failed) = (0, 0);
    for file in &args.files {
        let loaded = match super::run::load(file) {
            Ok(loaded) => loaded,
            Err(code) => return Ok(code),
        };
        let plan = Arc::new(loaded.plan);
        for test in &loaded.tests {
            let name = name(&plan, test);
            match run_one(&plan, test).with_context(|| name.clone())? {
                differences if differences.is_empty() => {
                    passed += 1;
                    println!("ok      {name}");
                }
                differences => {
                    failed += 1;
                    println!("FAILED  {name}");
                    differences.iter().for_each(|difference| println!("        {difference}"));
                }
            }
        }
        if loaded.tests.is_empty() {
            println!("none    {}: the file has no `tests:`", file.display());
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(ANSWERS_OFF) })
}

fn name(plan: &Plan, test: &Test) -> String {
    let input = match &test.input {
        TestInput::Play { file, .. } => file.display().to_string(),
        TestInput::Simulate(file) => {
            let after = if test.after.is_empty() { String::new() } else { format!("after {} sessions ", test.after.len()) };
            format!("{after}{} s of {}, seed {} {}", file.duration.seconds(), file.layout, file.seed, file.impair.join(" "))
        }
    };
    format!("{} on {}", plan.pipeline, input.trim_end())
}

fn run_one(plan: &Arc<Plan>, test: &Test) -> anyhow::Result<Vec<String>> {
    let mut earlier = Earlier::default();
    for (day, session) in test.after.iter().enumerate() {
        let input = simulate::packets(session, &plan.rig, day)?;
        let chunks = Worker::new(plan.clone(), wire::decode, RUN.to_owned()).advance(&messages(plan, input, earlier.carried())?);
        earlier.add(plan, &format!("session {}", day + 1), &chunks)?;
    }
    let messages = messages(plan, input(plan, test)?, earlier.carried())?;
    let tables = tables(plan, &messages, usize::MAX)?;
    let mut differences = Vec::new();
    if tables != self::tables(plan, &messages, 1)? {
        differences.push("message by message it gives other rows than in one go".to_owned());
    }
    if tables != resumed(plan, &messages)? {
        differences.push("resumed from snapshots it gives other rows than in one go".to_owned());
    }
    for (table, path) in &test.expect {
        let rows = tables.get(table).map_or(&[][..], Vec::as_slice);
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            fs::write(path, csv_text(rows)?).with_context(|| format!("{} can't be written", path.display()))?;
        }
        differences.extend(compare(table, rows, path, &test.tolerance)?);
    }
    Ok(differences)
}

/// The sensors' packets, and where the session begins.
fn input(plan: &Plan, test: &Test) -> anyhow::Result<(Vec<Packet>, TimeNs)> {
    match &test.input {
        TestInput::Play { file, start } => {
            let start_ns = play::time(start.as_deref().unwrap_or(play::START)).map_err(anyhow::Error::msg)?;
            let recording = proprio_files::open(file, &OpenOptions::default())?;
            Ok((recording.packets(&plan.rig, start_ns, PACKET_NS)?.collect::<Result<_, _>>()?, start_ns - 1))
        }
        TestInput::Simulate(file) => simulate::packets(file, &plan.rig, test.after.len()),
    }
}

/// A session as a recording would hold it.
fn messages(plan: &Plan, (packets, from_ns): (Vec<Packet>, TimeNs), carried: Vec<Carried>) -> anyhow::Result<Vec<Recorded>> {
    let start =
        Decision::SessionStart { session: "test".to_owned(), subject: None, task: None, from_ns, sources: BTreeMap::new(), carried };
    let source = |sensor, payload| Event::Payload { sensor, encoding: wire::SOURCE.to_owned(), payload };
    let mut last = vec![-1; plan.rig.sensors.len()];
    let mut events = vec![Event::Decision(start)];
    events.extend((0..last.len()).map(|sensor| source(sensor, wire::source::open(1, false, None))));
    for packet in packets {
        last[packet.sensor] = last[packet.sensor].max(packet.sequence + packet.rows.num_rows() as i64 - 1);
        let payload = wire::arrow::encode(1, packet.sequence, &packet.rows)?;
        events.push(Event::Payload { sensor: packet.sensor, encoding: wire::ARROW.to_owned(), payload });
    }
    events.extend(last.iter().enumerate().map(|(sensor, last)| source(sensor, wire::source::end(1, *last))));
    events.push(Event::Decision(Decision::SessionStop));
    Ok(events.into_iter().zip(0..).map(|(event, position)| Recorded { position, log_time_ns: from_ns + position, event }).collect())
}

/// Rows by table, as `chunk` messages at a time give them.
fn tables(plan: &Arc<Plan>, messages: &[Recorded], chunk: usize) -> anyhow::Result<BTreeMap<String, Vec<RecordBatch>>> {
    let mut worker = Worker::new(plan.clone(), wire::decode, RUN.to_owned());
    by_table(messages.chunks(chunk.min(messages.len())).flat_map(|messages| worker.advance(messages)))
}

/// Rows by table, when a worker after the other takes over from a snapshot.
fn resumed(plan: &Arc<Plan>, messages: &[Recorded]) -> anyhow::Result<BTreeMap<String, Vec<RecordBatch>>> {
    let mut worker = Worker::new(plan.clone(), wire::decode, RUN.to_owned());
    let mut chunks = Vec::new();
    for messages in messages.chunks(messages.len().div_ceil(RESUMED)) {
        chunks.extend(worker.advance(messages));
        worker = Worker::restore(plan.clone(), wire::decode, RUN.to_owned(), &worker.snapshot())?;
    }
    by_table(chunks.into_iter())
}

fn by_table(chunks: impl Iterator<Item = TableChunk>) -> anyhow::Result<BTreeMap<String, Vec<RecordBatch>>> {
    let mut by_stream: BTreeMap<(String, Option<String>), Vec<RecordBatch>> = BTreeMap::new();
    for TableChunk { table, key, rows, .. } in chunks {
        by_stream.entry((table, key)).or_default().push(rows);
    }
    let mut tables: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    for ((table, _), batches) in by_stream {
        let schema = batches[0].schema();
        tables.entry(table).or_default().push(arrow_select::concat::concat_batches(&schema, &batches)?);
    }
    Ok(tables)
}

/// What differs between a table's rows and the file that holds what they must be.
fn compare(table: &str, rows: &[RecordBatch], path: &Path, tolerance: &BTreeMap<String, f64>) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let (expected, found) = (records(&text)?, records(&csv_text(rows)?)?);
    // An empty file says that there must be no row.
    let (no_header, no_rows) = (Vec::new(), &[][..]);
    let (header, expected) = expected.split_first().unwrap_or((&no_header, no_rows));
    let (found_header, found) = found.split_first().unwrap_or((header, no_rows));
    if expected.len() != found.len() {
        return Ok(vec![format!("{table}: {} rows, {} expected", found.len(), expected.len())]);
    }
    for name in header {
        let (Some(due), Some(column)) = (index(header, name), index(found_header, name)) else {
            return Ok(vec![format!("{table}: no column {name}")]);
        };
        for (row, (expected, found)) in expected.iter().zip(found).enumerate() {
            let (expected, found) = (&expected[due], &found[column]);
            let is_near = || {
                let [expected, found] = [expected, found].map(|text| text.parse::<f64>().ok());
                expected
                    .zip(found)
                    .zip(tolerance.get(name))
                    .is_some_and(|((expected, found), tolerance)| (expected - found).abs() <= *tolerance)
            };
            if expected != found && !is_near() {
                return Ok(vec![format!("{table}: row {}, {name}: {found}, expected {expected}", row + 1)]);
            }
        }
    }
    Ok(Vec::new())
}

fn index(header: &[String], name: &str) -> Option<usize> {
    header.iter().position(|other| other == name)
}

fn records(text: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|record| Ok(record?.iter().map(str::to_owned).collect())).collect()
}

/// Rows as CSV; floats in the shortest form that reads back to the same bits.
fn csv_text(rows: &[RecordBatch]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let options = FormatOptions::default();
    for (index, batch) in rows.iter().enumerate() {
        if index == 0 {
            writer.write_record(batch.schema().fields().iter().map(|field| field.name()))?;
        }
        let columns: Vec<_> = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            writer.write_record(columns.iter().map(|column| column.value(row).to_string()))?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
