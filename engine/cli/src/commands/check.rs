//! `proprio check`: is there anything wrong with these rig, pipeline and protocol files?

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use proprio_operators::REGISTRY;
use proprio_runtime::{Diagnostic, Severity};

/// Finds every mistake in rig, pipeline and protocol files. Exits with 0 when there is none, with 2 otherwise.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Rig, pipeline and protocol files; a pipeline's rig and protocol files are checked with it.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the findings as a JSON list.
    #[arg(long)]
    json: bool,
}

/// Exit code of a run with findings.
pub const FINDINGS: u8 = 2;

/// Checks, and prints what was found.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut found: Vec<Diagnostic> = Vec::new();
    for file in &args.files {
        // A rig that several pipelines name, or that is itself among the files, is told once.
        for finding in proprio_runtime::check(file, REGISTRY).diagnostics {
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
    } else {
        for finding in &found {
            writeln!(out, "{finding}")?;
        }
        writeln!(out, "{}", summary(&found, args.files.len()))?;
    }
    let has_errors = found.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if has_errors { ExitCode::from(FINDINGS) } else { ExitCode::SUCCESS })
}

fn summary(found: &[Diagnostic], files: usize) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    match found.len() {
        0 => format!("{} checked, nothing wrong", count(files, "file")),
        number => format!("{} in {}", count(number, "finding"), count(files, "file")),
    }
}
