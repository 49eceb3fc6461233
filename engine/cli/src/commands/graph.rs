//! `proprio graph`: which streams, steps and tables does a pipeline file make?

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use proprio_operators::REGISTRY;
use proprio_runtime::{graph, graph_json, load};

use super::check::FINDINGS;

/// Prints the plan of a pipeline file: sources, steps in the order they run, columns with units, tables.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The pipeline file.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the plan, or what keeps the file from having one.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let loaded = match load(&args.file, REGISTRY) {
        Ok(loaded) => loaded,
        Err(findings) => {
            let mut out = std::io::stderr().lock();
            for finding in findings {
                writeln!(out, "{finding}")?;
            }
            return Ok(ExitCode::from(FINDINGS));
        }
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&graph_json(&loaded.plan))?)?;
    } else {
        write!(out, "{}", graph(&loaded.plan))?;
    }
    Ok(ExitCode::SUCCESS)
}
