//! `proprio faults`: what goes wrong in labs, by the thousand, and whether the promises hold.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::test::ANSWERS_OFF;
use crate::faults::{self, Tally};

/// Failing seeds that are shown before the bench gives up.
const FAILURES_SHOWN: usize = 10;

/// Runs a whole rig in process under simulated faults, with a scripted clock: delay, reorder, duplication, loss, drifting and
/// resetting clocks, pauses, garbage, full and failing disks, power cuts.
///
/// For each seed, live = replay = recovered, every sample is in a table, in `late`, in `rejected` or in `losses`, and nothing
/// acknowledged is missing. Exits with 3 at a seed that fails, which is named and fails again with `--seed`.
///
/// With `--real N`, N rounds with the real engine instead, killed with `kill -9` while real sensors publish.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
    /// Rounds with the real engine, of about 7 s each, instead of simulated seeds.
    #[arg(long, value_name = "ROUNDS", conflicts_with = "seeds")]
    real: Option<u64>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Outcome {
    seeds: u64,
    tally: Tally,
    took_s: f64,
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct Failure {
    seed: u64,
    what: String,
}

/// Runs the seeds, on all cores.
///
/// # Errors
/// When the bench's own files are wrong.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(rounds) = args.real {
        let held = faults::real::run(rounds, args.seed, args.json)?;
        return Ok(if held { ExitCode::SUCCESS } else { ExitCode::from(ANSWERS_OFF) });
    }
    let begun = Instant::now();
    let plans = faults::plans()?;
    let bar = ProgressBar::new(args.seeds);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left").expect("the template is right"));
    let next = AtomicU64::new(args.seed);
    let (tally, failures) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    let end = args.seed.saturating_add(args.seeds);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                // What a script makes the engine say, thousands of times, is no news; of a single seed it is the story.
                let _quiet = (args.seeds > 1).then(|| tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default()));
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || failures.lock().unwrap_or_else(PoisonError::into_inner).len() >= FAILURES_SHOWN {
                        return;
                    }
                    match faults::seed(seed, &plans) {
                        Ok(more) => *tally.lock().unwrap_or_else(PoisonError::into_inner) += more,
                        Err(error) => {
                            let what = format!("{error:#}");
                            bar.println(format!("FAILED {what}\n       again with: proprio faults --seed {seed} --seeds 1"));
                            failures.lock().unwrap_or_else(PoisonError::into_inner).push(Failure { seed, what });
                        }
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let outcome = Outcome { seeds: args.seeds, tally, took_s: begun.elapsed().as_secs_f64(), failures };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        outcome.print();
    }
    Ok(if outcome.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(ANSWERS_OFF) })
}

impl Outcome {
    fn print(&self) {
        let Self { seeds, tally, took_s, failures } = self;
        for Failure { seed, what } in failures {
            println!("seed {seed}: {what}");
        }
        println!(
            "{seeds} seeds in {took_s:.1} s: {} scripts, {} power cuts, {} recoveries from a snapshot, {} messages run again",
            tally.scripts, tally.power_cuts, tally.from_snapshot, tally.recovered_messages
        );
        println!(
            "  {} reloads, {} takeovers by another build, {} power cuts in rounds of a recovery, {} messages dropped while the disk was full, \
             {} acknowledged starts",
            tally.reloads, tally.takeovers, tally.rounds_cut, tally.overflowed, tally.acknowledged
        );
        println!("{}", if failures.is_empty() { "every promise held" } else { "PROMISES WERE BROKEN" });
    }
}
