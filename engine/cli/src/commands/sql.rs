//! `proprio sql`: one question, asked of the running engine or, when none runs, of the tables on disk.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, IsTerminal as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use arrow_array::RecordBatch;
use proprio_tables::{Format, Reader, output};
use proprio_zenoh::{SessionOptions, open_client, sql};

use super::connect::ConnectArgs;
use crate::running::Running;

/// How long the engine may take to be found when only the data directory says that it runs.
const NEARBY: Duration = Duration::from_secs(2);
/// How long the engine may take to be found when the command line names it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the tables in SQL: the running engine, with every row up to now, or the data directory when none runs.
///
/// SELECT, `DESCRIBE imu` (columns with units and frames), SHOW TABLES and EXPLAIN are answered; nothing is changed.
/// Names are written as they stand, capitals included.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The statement, such as `SELECT * FROM imu_latest`.
    query: String,
    /// Data directory.
    #[arg(long, default_value = "data", value_name = "DIR")]
    data: PathBuf,
    /// How the answer is written: table, csv, json, arrow (IPC stream) or parquet.
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: Format,
    /// Write the answer into a file.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Rig to ask; by default the one that runs at the other end.
    #[arg(long, value_name = "NAME")]
    rig: Option<String>,
    /// Seconds that the answer may take.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    network: ConnectArgs,
}

/// Asks, and writes the answer.
///
/// # Errors
/// When nothing answers, the query is refused, or the answer can't be written.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let binary = matches!(args.format, Format::Arrow | Format::Parquet);
    if binary && args.output.is_none() && std::io::stdout().is_terminal() {
        bail!("{} is binary: send it into a file with `--output FILE`, or into a pipe", args.format.name());
    }
    let batches = ask(&args).await?;
    match &args.output {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("{} can't be written", path.display()))?;
            output::write(&batches, args.format, BufWriter::new(file))?;
        }
        None => print(&batches, args.format)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(args: &Args) -> anyhow::Result<Vec<RecordBatch>> {
    if args.network.is_given() {
        return ask_engine(args, &args.network.options(), args.rig.as_deref().unwrap_or("*"), PATIENCE).await;
    }
    if let Some(running) = Running::find(&args.data) {
        let options = SessionOptions { connect: vec![running.endpoint.clone()], ..SessionOptions::default() };
        match open_client(&options, NEARBY).await {
            Ok(session) => return ask_session(args, session, args.rig.as_deref().unwrap_or(&running.rig)).await,
            Err(error) => tracing::warn!("the engine at {} can't be reached ({error}); reading what it has committed", running.endpoint),
        }
    }
    let reader = Reader::open(&args.data).await?;
    Ok(reader.query(&args.query).await?.collect().await?)
}

async fn ask_engine(args: &Args, options: &SessionOptions, rig: &str, patience: Duration) -> anyhow::Result<Vec<RecordBatch>> {
    let session = open_client(options, patience).await.context("no engine was found")?;
    ask_session(args, session, rig).await
}

async fn ask_session(args: &Args, session: proprio_zenoh::Session, rig: &str) -> anyhow::Result<Vec<RecordBatch>> {
    let answer = sql::query(&session, rig, &args.query, Duration::from_secs(args.timeout)).await;
    if let Err(error) = session.close().await {
        tracing::debug!("zenoh did not close: {error}");
    }
    Ok(answer?)
}

/// Writes to standard output; a reader that has seen enough, such as `head`, is no error.
pub(super) fn print(batches: &[RecordBatch], format: Format) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    output::write(batches, format, &mut bytes)?;
    match std::io::stdout().lock().write_all(&bytes) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("the answer can't be printed"),
        _ => Ok(()),
    }
}
