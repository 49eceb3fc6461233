//! `proprio accuracy`: how accurate are the operators, and has any of them become worse?

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use proprio_accuracy::{Bench, Figure, Recorded, Report, chosen};
use serde::Serialize;

use super::test::ANSWERS_OFF;

/// Measures the operators on real recordings and on simulations with known truth, and prints each figure beside what must be
/// reached, what is aimed at, and what the best known method comes to. Exits with 3 when a figure is worse than the recorded one.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Suites to run, such as `orientation`; all by default.
    suites: Vec<String>,
    /// Folder of the recordings; suites whose recordings are not there are skipped, by name.
    #[arg(long, env = "PROPRIO_DATA", default_value = "../shared/data", value_name = "DIR")]
    recordings: PathBuf,
    /// Write today's figures into this file, which the next build compares with.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// A figure, for programs.
#[derive(Debug, Serialize)]
struct Row<'a> {
    figure: &'a str,
    value: f64,
    unit: &'a str,
    gate: Option<f64>,
    aim: Option<f64>,
    anchor: Option<f64>,
    anchor_method: Option<&'a str>,
    recorded: Option<f64>,
    stands: &'static str,
    worse: bool,
}

/// Measures, and prints the report.
///
/// # Errors
/// When a suite is not known, or a recording that is there can't be used.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let chosen = chosen(&args.suites)?;
    let recorded = Recorded::of_repository();
    let mut bench = Bench::new(args.recordings.clone());
    let report = proprio_accuracy::run(&chosen, &mut bench, &recorded, |suite| eprintln!("{}: {}", suite.name, suite.about))?;
    if let Some(path) = &args.record {
        let figures: Vec<Figure> = report.rows.iter().map(|row| row.figure.clone()).collect();
        std::fs::write(path, recorded.with(&figures).text()).with_context(|| format!("{} can't be written", path.display()))?;
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&json(&report))?);
    } else {
        print!("{report}");
    }
    let is_worse = report.rows.iter().any(|row| row.is_worse);
    Ok(if is_worse { ExitCode::from(ANSWERS_OFF) } else { ExitCode::SUCCESS })
}

fn json(report: &Report) -> serde_json::Value {
    let rows = report.rows.iter().map(|row| {
        let figure = &row.figure;
        Row {
            figure: &figure.name,
            value: figure.value,
            unit: figure.unit,
            gate: figure.gate,
            aim: figure.aim,
            anchor: figure.anchor.map(|(_, value)| value),
            anchor_method: figure.anchor.map(|(method, _)| method),
            recorded: row.recorded,
            stands: figure.standing().name(),
            worse: row.is_worse,
        }
    });
    let costs = report.costs.iter().map(|(op, cost)| (op.clone(), cost.ns_a_row()));
    serde_json::json!({
        "figures": rows.collect::<Vec<_>>(),
        "ns_a_row": costs.collect::<std::collections::BTreeMap<_, _>>(),
        "skipped": report.skipped.iter().map(|skipped| (skipped.suite, &skipped.why)).collect::<std::collections::BTreeMap<_, _>>(),
    })
}
