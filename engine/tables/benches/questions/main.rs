//! How fast are twelve questions of a movement lab answered, over 100 sessions on disk, against DuckDB on the same files?
//!
//! `cargo bench -p proprio-tables --bench questions -- [--rows 50000000] [--sessions 100] [--data DIR] [--python PYTHON] [--json]`
//!
//! The rows are made by formulas and kept in `--data` when it is given. DuckDB (`pip install duckdb deltalake`) reads the Parquet files
//! that the Delta snapshot lists, in the same run, with as many threads. Of either the best of three runs counts, and the answers must
//! agree. `taskset -c 0` in front gives both one thread.

mod lab;
mod questions;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use arrow_array::{Array, RecordBatch};
use arrow_cast::cast;
use arrow_schema::DataType;
use proprio_tables::{Place, Reader};
use serde_json::{Value, json};

use questions::{QUESTIONS, Question};

type Failure = Box<dyn std::error::Error>;

/// As in the engine.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs of each question, of which the best counts.
const RUNS: usize = 3;
/// How far two sums of floats may differ, relatively: they are summed in other orders.
const AGREEMENT: f64 = 1e-6;

struct Options {
    rows: i64,
    sessions: i64,
    data: Option<PathBuf>,
    python: String,
    json: bool,
}

impl Options {
    fn parse() -> Result<Self, Failure> {
        let mut options = Self { rows: 50_000_000, sessions: 100, data: None, python: "python3".to_owned(), json: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--rows" => options.rows = value()?.parse()?,
                "--sessions" => options.sessions = value()?.parse()?,
                "--data" => options.data = Some(value()?.into()),
                "--python" => options.python = value()?,
                "--json" => options.json = true,
                // What cargo itself passes to a benchmark.
                "--bench" => {}
                _ => return Err(format!("no option {argument}: --rows, --sessions, --data, --python, --json").into()),
            }
        }
        Ok(options)
    }
}

/// What one engine took for one question, and what it answered.
struct Run {
    seconds: f64,
    rows: usize,
    /// The sum of all numbers of the answer.
    sum: f64,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let options = Options::parse()?;
    let temporary = tempfile::tempdir()?;
    let data = options.data.clone().unwrap_or_else(|| temporary.path().to_owned());
    let rows = lab::fill(&data, options.sessions, options.rows).await?;
    let threads = std::thread::available_parallelism()?.get();
    let mut ours = Vec::new();
    for question in &QUESTIONS {
        ours.push(ask(&data, question.sql).await.map_err(|error| format!("{}: {error}", question.title))?);
    }
    let theirs = duckdb(&options.python, &data, threads)?;
    report(&options, rows, threads, &ours, &theirs)
}

async fn ask(data: &Path, sql: &str) -> Result<Run, Failure> {
    let reader = Reader::open(&Place::of_data(data)?).await?;
    let mut best: Option<Run> = None;
    for _ in 0..RUNS {
        let begun = Instant::now();
        let batches = reader.query(sql).await?.collect().await?;
        let seconds = begun.elapsed().as_secs_f64();
        let sum = batches.iter().map(sum).sum::<Result<f64, Failure>>()?;
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        best = best.filter(|best| best.seconds <= seconds).or(Some(Run { seconds, rows, sum }));
    }
    best.ok_or_else(|| "no run".into())
}

fn sum(batch: &RecordBatch) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for column in batch.columns().iter().filter(|column| column.data_type().is_numeric()) {
        let column = cast(column, &DataType::Float64)?;
        let values = column.as_any().downcast_ref::<arrow_array::Float64Array>().ok_or("a float")?;
        sum += values.iter().flatten().filter(|value| value.is_finite()).sum::<f64>();
        assert_eq!(values.len(), batch.num_rows());
    }
    Ok(sum)
}

fn duckdb(python: &str, data: &Path, threads: usize) -> Result<Vec<Run>, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/questions/duckdb_side.py");
    let statements: Vec<&str> = QUESTIONS.iter().map(Question::duckdb).collect();
    let request = json!({ "tables": data.join("tables"), "threads": threads, "runs": RUNS, "statements": statements });
    let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no pipe")?.write_all(request.to_string().as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("{python} failed; it needs: pip install duckdb deltalake").into());
    }
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let number = |answer: &Value, name: &str| answer[name].as_f64().ok_or(format!("no {name}"));
    answers
        .iter()
        .map(|answer| Ok(Run { seconds: number(answer, "seconds")?, rows: number(answer, "rows")? as usize, sum: number(answer, "sum")? }))
        .collect()
}

fn report(options: &Options, rows: i64, threads: usize, ours: &[Run], theirs: &[Run]) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours.seconds / theirs.seconds).collect();
    let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    let worst = ratios.iter().copied().fold(0.0, f64::max);
    for ((question, ours), theirs) in QUESTIONS.iter().zip(ours).zip(theirs) {
        let is_same = ours.rows == theirs.rows && (ours.sum - theirs.sum).abs() <= AGREEMENT * theirs.sum.abs().max(1.0);
        if !is_same {
            let (a, b) = ((ours.rows, ours.sum), (theirs.rows, theirs.sum));
            return Err(format!("{}: the answers differ, {a:?} and {b:?}", question.title).into());
        }
    }
    if options.json {
        let each = QUESTIONS.iter().zip(ours).zip(theirs).map(|((question, ours), theirs)| {
            json!({ "question": question.title, "proprio_s": ours.seconds, "duckdb_s": theirs.seconds, "rows": ours.rows })
        });
        let each: Vec<Value> = each.collect();
        writeln!(out, "{}", json!({ "rows": rows, "threads": threads, "geometric_mean": mean, "worst": worst, "questions": each }))?;
        return Ok(());
    }
    writeln!(out, "{rows} rows, {} sessions, {threads} threads", options.sessions)?;
    writeln!(out, "{:>10} {:>10} {:>7}  question", "proprio s", "DuckDB s", "ratio")?;
    for ((question, ours), (theirs, ratio)) in QUESTIONS.iter().zip(ours).zip(theirs.iter().zip(&ratios)) {
        writeln!(out, "{:>10.3} {:>10.3} {ratio:>7.2}  {}", ours.seconds, theirs.seconds, question.title)?;
    }
    writeln!(out, "geometric mean of the ratios {mean:.2}, worst {worst:.2}")?;
    Ok(())
}
