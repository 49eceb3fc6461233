//! `proprio sql`: questions to the running engine or, when none runs, to the tables on disk; a shell when none is given.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use proprio_tables::Format;

use super::connect::ConnectArgs;
use crate::place::DataArgs;
use crate::shell::{Asked, Shell, Show};

/// Asks the tables in SQL: the running engine, with every row up to now, or the data directory when none runs.
///
/// SELECT, `DESCRIBE imu` (columns with units and frames), SHOW TABLES and EXPLAIN are answered; nothing is changed.
/// Names are written as they stand, capitals included. Without a statement it is a shell: on a terminal with history and
/// completion, `\?` lists its commands; else the statements of standard input are asked, each ended by `;`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The statement, such as `SELECT * FROM imu_latest`; a shell when absent.
    query: Option<String>,
    #[command(flatten)]
    data: DataArgs,
    /// How answers are written: table, csv, json, arrow (IPC stream) or parquet.
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: Format,
    /// Write answers into a file.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Rig to ask; by default the one that runs at the other end.
    #[arg(long, value_name = "NAME")]
    rig: Option<String>,
    /// Seconds that an answer may take.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    network: ConnectArgs,
}

/// Asks, and writes what is answered.
///
/// # Errors
/// When nothing answers, the query is refused, or the answer can't be written. In a shell these are told and end nothing.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut show = Show::new(args.format);
    let asked = Asked::find(&args.network, args.rig.as_deref(), &args.data, Duration::from_secs(args.timeout)).await?;
    let Some(query) = &args.query else {
        show.output(args.output.as_deref())?;
        let shell = Shell::new(asked, show);
        if std::io::stdin().is_terminal() {
            shell.talk().await?;
            return Ok(ExitCode::SUCCESS);
        }
        return Ok(if shell.pipe().await? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    };
    show.refuse_binary_screen(args.output.is_some())?;
    let batches = asked.ask(query).await;
    asked.close().await;
    let batches = batches?;
    show.output(args.output.as_deref())?;
    show.answer(&batches)?;
    Ok(ExitCode::SUCCESS)
}
