//! `proprio tables`: what the tables take up, and their files put in order when no engine runs.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use proprio_tables::{Format, TableSize, TablesError, merge_tables, table_sizes, vacuum_tables};
use proprio_zenoh::ArrivalClock;

use crate::place::DataArgs;
use crate::running::Running;
use crate::shell::Show;

/// Shows each table's committed rows, files, bytes, and the times of its oldest and newest row.
///
/// A running engine merges small files and deletes old ones by itself. Without one, `--merge` and `--vacuum` do it here.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Merge small files into large ones first; no row changes.
    #[arg(long)]
    merge: bool,
    /// Delete the files first that no version of a table has named for a week.
    #[arg(long)]
    vacuum: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Puts in order what was asked, and prints.
///
/// # Errors
/// When there are no tables, an engine has them open, or a file can't be written.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if (args.merge || args.vacuum)
        && args.data.is_of_data()
        && let Some(running) = Running::find(&args.data.data)
    {
        bail!("rig {} is running on {} and does this by itself: leave out --merge and --vacuum", running.rig, args.data.data.display());
    }
    let place = args.data.place()?;
    if args.merge {
        let merged = merge_tables(&place).await?;
        eprintln!("merged {} files into {}, {} rows", merged.files, merged.into, merged.rows);
    }
    if args.vacuum {
        vacuum_tables(&place, ArrivalClock::start().now_ns()).await?;
    }
    let sizes = table_sizes(&place).await?;
    if sizes.is_empty() {
        return Err(TablesError::NoTables { place: place.to_string() }.into());
    }
    Show::new(if args.json { Format::Json } else { Format::Table }).answer(&[rows(&sizes)?])?;
    Ok(ExitCode::SUCCESS)
}

fn rows(sizes: &[TableSize]) -> anyhow::Result<RecordBatch> {
    let number =
        |of: &dyn Fn(&TableSize) -> u64| -> ArrayRef { Arc::new(sizes.iter().map(|size| of(size).cast_signed()).collect::<Int64Array>()) };
    let time = |of: &dyn Fn(&TableSize) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = sizes.iter().map(|size| of(size).map(|ns| ns.div_euclid(1000))).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let names: ArrayRef = Arc::new(sizes.iter().map(|size| Some(size.table.as_str())).collect::<StringArray>());
    let columns = [
        ("table", names),
        ("rows", number(&|size| size.rows)),
        ("files", number(&|size| size.files as u64)),
        ("bytes", number(&|size| size.bytes)),
        ("oldest", time(&|size| size.oldest_ns)),
        ("newest", time(&|size| size.newest_ns)),
    ];
    Ok(RecordBatch::try_from_iter(columns)?)
}
